"""The best line that a device offers, another while that one fails, and back again: on simulated devices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace

import pytest
import structlog

from agent.core.events import BookingsListed, DeviceConnected, DeviceLost, DeviceRefused
from agent.core.model import Device, Transport, Trust
from device_adapters.errors import CertificateRefused, DeviceUnreachable, PasswordRefused, ServiceOff
from device_adapters.fleet import Fleet
from device_adapters.http import Http
from device_adapters.lifecycle import Rest
from device_adapters.lines import Lines
from device_adapters.ssh import Shells
from device_adapters.websocket import WebSockets
from tests.device_adapters.stage import IMPATIENT, Ear, configured
from tests.simulator.device import Device as Simulated
from tests.simulator.site import Site

SOON = Rest(first_s=0.05, longest_s=0.05)
NEVER = Rest(first_s=3600.0, longest_s=3600.0)


def lines(look_again: Rest = NEVER) -> Lines:
    return Lines(
        {
            Transport.WEBSOCKET: WebSockets(),
            Transport.SSH: Shells(),
            Transport.HTTP: Http(poll_every_s=0.2),
        },
        look_again=look_again,
    )


@pytest.fixture
async def simulated() -> AsyncIterator[Simulated]:
    async with Site(rooms=1, profile="26.4.1") as site:
        yield site.devices[0]


def reached_by(simulated: Simulated, tmp_path, *transports: Transport, host_key: bool = True) -> Device:
    device = configured(simulated, tmp_path)
    trust = replace(device.trust, host_key=simulated.host_key if host_key else None)
    return replace(
        device, trust=trust, ssh_port=simulated.ssh_port, transports=transports or tuple(Transport)
    )


@asynccontextmanager
async def heard(device: Device, dial: Lines) -> AsyncIterator[Ear]:
    ear = Ear()
    fleet = Fleet([device], ear.deliver, dial=dial, luck=lambda: 0.5, patience=IMPATIENT)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run(), name="fleet")
        yield ear
        running.cancel()


async def connected(ear: Ear, times: int = 1) -> DeviceConnected:
    await ear.until(lambda: len(ear.of(DeviceConnected)) >= times)
    return ear.of(DeviceConnected)[times - 1]


@pytest.mark.parametrize(
    ("offered", "transport"),
    [
        ({"websocket": True, "ssh": True, "http": True}, "websocket"),
        ({"websocket": False, "ssh": True, "http": True}, "ssh"),
        ({"websocket": False, "ssh": False, "http": True}, "http"),
        ({"websocket": False, "ssh": True, "http": False}, "ssh"),
    ],
)
async def test_the_best_line_that_is_offered_is_taken(simulated, tmp_path, offered, transport):
    simulated.offer(**offered)
    async with heard(reached_by(simulated, tmp_path), lines()) as ear:
        event = await connected(ear)
        assert event.transport == transport
        if transport == "websocket":
            assert event.transport_why is None
        else:
            assert event.transport_why is not None
            assert event.transport_why.startswith("websocket: ")


async def test_without_a_host_key_ssh_is_not_tried(simulated, tmp_path):
    simulated.offer(websocket=False, ssh=True, http=True)
    async with heard(reached_by(simulated, tmp_path, host_key=False), lines()) as ear:
        assert (await connected(ear)).transport == "http"


async def test_only_the_configured_line_is_tried(simulated, tmp_path):
    async with lines()(reached_by(simulated, tmp_path, Transport.SSH), nullcontext()) as line:
        assert (line.transport, line.why) == ("ssh", None)
    with pytest.raises(CertificateRefused, match="host_key"):
        async with lines()(reached_by(simulated, tmp_path, Transport.SSH, host_key=False), nullcontext()):
            pass


async def test_a_line_that_breaks_is_replaced_and_nothing_is_missed(simulated, tmp_path):
    async with heard(reached_by(simulated, tmp_path), lines()) as ear:
        assert (await connected(ear)).transport == "websocket"
        simulated.offer(websocket=False, ssh=True, http=True)
        await ear.until(lambda: ear.of(DeviceLost))
        assert (await connected(ear, 2)).transport == "ssh"
        await ear.until(lambda: len(ear.of(BookingsListed)) >= 2)


async def test_it_comes_back_to_the_better_line_without_losing_the_room(simulated, tmp_path):
    simulated.offer(websocket=False, ssh=True, http=True)
    with structlog.testing.capture_logs() as logs:
        async with heard(reached_by(simulated, tmp_path), lines(SOON)) as ear:
            assert (await connected(ear)).transport == "ssh"
            simulated.offer(websocket=True, ssh=True, http=True)
            assert (await connected(ear, 2)).transport == "websocket"
            assert not ear.of(DeviceLost)
            assert not ear.of(DeviceRefused)
    assert [one["transport"] for one in logs if one["event"] == "device.better_line"] == ["websocket"]


async def test_the_line_that_worked_is_tried_first(simulated, tmp_path):
    dial, device = lines(), reached_by(simulated, tmp_path)
    simulated.offer(websocket=False, ssh=True, http=True)
    async with dial(device, nullcontext()) as line:
        assert line.transport == "ssh"
    simulated.offer(websocket=True, ssh=True, http=True)
    async with dial(device, nullcontext()) as line:
        assert line.transport == "ssh"
        assert line.why is not None
    dial.forget(device.id)
    async with dial(device, nullcontext()) as line:
        assert (line.transport, line.why) == ("websocket", None)


async def test_a_refused_password_is_not_shown_on_other_lines(simulated, tmp_path):
    device = reached_by(simulated, tmp_path)
    device.credential.password_file.write_text("wrong", encoding="utf-8")
    before = simulated.failed_logins
    with pytest.raises(PasswordRefused):
        async with lines()(device, nullcontext()):
            pass
    assert simulated.failed_logins - before <= 2  # both ways of showing it over WebSocket


async def test_if_no_line_stands_each_says_why(simulated, tmp_path):
    simulated.offer(websocket=False, ssh=False, http=False)
    with pytest.raises((DeviceUnreachable, ServiceOff)) as refused:
        async with lines()(reached_by(simulated, tmp_path), nullcontext()):
            pass
    for transport in Transport:
        assert f"{transport}: " in str(refused.value)


async def test_another_certificate_does_not_stop_a_known_host_key(simulated, tmp_path):
    device = reached_by(simulated, tmp_path)
    device = replace(device, trust=replace(device.trust, fingerprint=f"sha256:{'0' * 64}"))
    async with lines()(device, nullcontext()) as line:
        assert line.transport == "ssh"
        assert "fingerprint" in (line.why or "")
    nothing = replace(device, trust=Trust(fingerprint=f"sha256:{'0' * 64}"))
    with pytest.raises(CertificateRefused):
        async with lines()(nothing, nullcontext()):
            pass
