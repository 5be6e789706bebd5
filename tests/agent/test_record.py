"""`roomd record` as a technician runs it, against a simulated device."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import stat
import sys
from collections.abc import AsyncIterator
from datetime import UTC
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent import settings
from agent.cli import app
from agent.core.events import BookingsListed, DeviceConnected, PeopleCounted
from agent.core.model import Device as Configured
from agent.core.model import Transport, Trust
from agent.record import (
    CannotRecord,
    Heard,
    NoSuchDevice,
    configured,
    described,
    kept_in_memory,
    only_over,
)
from agent.record import record as keep
from tests.device_adapters.replayed import replayed
from tests.device_adapters.stage import SYSTEM_UNIT, scripted
from tests.simulator import Device, Site
from tests.simulator.replay import read

WITHIN_S = 20.0
EX_USAGE, EX_UNAVAILABLE, EX_CANTCREAT, EX_CONFIG = 64, 69, 73, 78


def by_hand(device: Device, directory: Path, *more: str) -> list[str]:
    (directory / "password").write_text(device.password, encoding="utf-8")
    return [
        *(f"{device.host}:{device.port}", "--username", device.user),
        *("--password-file", str(directory / "password"), "--fingerprint", f"sha256:{device.fingerprint}"),
        *("-o", str(directory / "report.jsonl"), *more),
    ]


def configuration(device: Device, directory: Path) -> Path:
    (directory / "device-password").write_text(device.password, encoding="utf-8")
    file = directory / "roomd.toml"
    file.write_text(
        f"""
        [site]
        id = "oslo"
        timezone = "Europe/Oslo"
        [mqtt]
        url = "mqtt://127.0.0.1"
        [devices]
        username = "{device.user}"
        password_file = "device-password"
        [[rooms]]
        id = "fjord"
        [[rooms.devices]]
        id = "fjord-bar"
        host = "{device.host}:{device.port}"
        fingerprint = "sha256:{device.fingerprint}"
        """,
        encoding="utf-8",
    )
    return file


@contextlib.asynccontextmanager
async def recording(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.cli", "record", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def written(file: Path, words: bytes) -> None:
    """As soon as it is in the file: it is written as it is heard, and not at the end."""
    async with asyncio.timeout(WITHIN_S):
        while not file.exists() or words not in file.read_bytes():  # noqa: ASYNC110 - another process writes
            await asyncio.sleep(0.02)


async def recorded(device: Configured, file: Path, *, overwrite: bool = False) -> Heard:
    return await keep(
        device, file, minutes=0.01, overwrite=overwrite, timezone=UTC, say=lambda _: None, show=None
    )


async def record(*arguments: str) -> tuple[int, str, str]:
    async with recording(*arguments) as process, asyncio.timeout(WITHIN_S):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.slow
async def test_a_technician_records_a_device_and_gets_a_file_for_himself(tmp_path):
    async with Site() as site:
        (device,) = site.devices
        report = tmp_path / "report.jsonl"
        code, out, err = await record(*by_hand(device, tmp_path, "--minutes", "0.02", "--json"))
        assert code == 0, err
        told = json.loads(out)
        assert (told["file"], told["transport"], told["product"]) == (
            str(report),
            "websocket",
            "Cisco Room Bar Pro",
        )
        assert (told["lines"]["opened"], told["lines"]["ended"]) == (1, 1)
        assert told["events"]["DeviceConnected"] == told["facts"]["device.connected"] == 1
        assert "hearing Cisco Room Bar Pro" in err
        assert stat.S_IMODE(report.stat().st_mode) == 0o600
        text = report.read_text(encoding="utf-8")
        assert [each for each in (device.serial, device.host, device.password) if each in text] == []

        before = report.stat()
        bar = settings.read(configuration(device, tmp_path)).devices[0]
        with pytest.raises(FileExistsError, match="--force"):
            await recorded(bar, report)
        assert report.stat() == before
        heard = await recorded(bar, report, overwrite=True)
        assert heard.lines["ended"] == 1
        assert stat.S_IMODE(report.stat().st_mode) == 0o600
    outcome = await asyncio.to_thread(replayed, report)
    assert [len(outcome.of(kind)) for kind in (DeviceConnected, BookingsListed)] == [1, 1]


@pytest.mark.slow
async def test_a_configured_room_is_recorded_until_it_is_interrupted(tmp_path):
    async with Site() as site:
        (device,) = site.devices
        report = tmp_path / "report.jsonl"
        config = str(configuration(device, tmp_path))
        async with recording("fjord", "-o", str(report), "--config", config) as process:
            await site.until(lambda: bool(device.received("Bookings List")), within_s=WITHIN_S)
            device.count_people(3)
            await written(report, b'"Current":3')
            async with asyncio.timeout(WITHIN_S):
                process.send_signal(signal.SIGINT)
                out, err = await process.communicate()
            assert process.returncode == 0, err
            assert b"told unasked" in out
        assert json.loads(report.read_text(encoding="utf-8").splitlines()[-1])["ended"] is True
    outcome = await asyncio.to_thread(replayed, report)
    assert [event.people for event in outcome.of(PeopleCounted)] == [3]


@pytest.mark.slow
async def test_a_recording_whose_process_was_killed_is_kept(tmp_path):
    async with Site() as site:
        (device,) = site.devices
        report = tmp_path / "report.jsonl"
        async with recording(*by_hand(device, tmp_path)) as process:
            await site.until(lambda: bool(device.received("Bookings List")), within_s=WITHIN_S)
            device.count_people(3)
            await written(report, b'"Current":3')
            process.kill()
            await process.wait()
    assert [said.what for said in read(report).talks[0].said][-1] == "feedback"


@pytest.mark.slow
async def test_a_device_that_cannot_be_heard_is_told_and_leaves_no_file(tmp_path):
    report = tmp_path / "report.jsonl"
    async with Site() as site:
        (device,) = site.devices
        (bar,) = settings.read(configuration(device, tmp_path)).devices
        device.password = "another"
        with pytest.raises(CannotRecord, match="does not let 'roomd' in") as refusal:
            await recorded(bar, report)
        assert refusal.value.refused
    with pytest.raises(CannotRecord, match="check that it is switched on") as absence:
        await recorded(bar, report)
    assert not absence.value.refused
    assert not report.exists()


def test_what_cannot_be_recorded_is_said_with_a_code_for_scripts(tmp_path):
    password = tmp_path / "password"
    password.write_text("hemmelig", encoding="utf-8")
    report = str(tmp_path / "report.jsonl")
    jane = ["127.0.0.1:1", "--username", "jane", "--unverified", "-o", report]
    known = [*jane, "--password-file", str(password)]
    for arguments, expected, words in (
        (known, EX_UNAVAILABLE, "check that it is switched on"),
        (["lake", "-o", report, "--config", str(tmp_path / "none")], EX_CONFIG, "does not exist"),
        (jane, EX_USAGE, "--password-file"),
        ([*known, "--transport", "pigeon"], EX_USAGE, "websocket"),
        ([*known, "--minutes", "0"], EX_USAGE, "--minutes"),
        ([*known, "-o", str(tmp_path / "no" / "file")], EX_CANTCREAT, "cannot be written"),
        ([*known, "-o", str(password)], EX_USAGE, "--force"),
    ):
        result = CliRunner().invoke(app, ["record", *arguments])
        assert (result.exit_code, result.stdout) == (expected, ""), (arguments, result.output)
        assert words in result.stderr
        assert "hemmelig" not in result.stderr
    assert not (tmp_path / "report.jsonl").exists()


@pytest.mark.slow
async def test_a_recording_is_served_by_the_simulator_and_can_be_recorded_again(tmp_path):
    async with Site() as site:
        (device,) = site.devices
        code, _, err = await record(*by_hand(device, tmp_path, "--minutes", "0.02"))
        assert code == 0, err
    report = tmp_path / "report.jsonl"
    simulator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.simulator", "--replay", str(report)),
        *("--address-base", "127.0.0.1", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert simulator.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            ready = (await simulator.stdout.readline()).decode().split()
        again = by_hand(device, tmp_path, "--force", "--minutes", "0.02", "--json")
        again[0] = f"127.0.0.1:{ready[3].removeprefix('port=')}"
        again[again.index("--fingerprint") + 1] = ready[4]
        code, out, err = await record(*again)
        assert code == 0, err
        assert json.loads(out)["events"]["BookingsListed"] == 1
        simulator.send_signal(signal.SIGTERM)
        assert await simulator.wait() == 0
    finally:
        if simulator.returncode is None:
            simulator.kill()
            await simulator.wait()


# ── which device ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_a_device_is_found_by_its_id_its_room_or_its_host(tmp_path):
    async with Site() as site:
        (simulated,) = site.devices
        known = settings.read(configuration(simulated, tmp_path))
        (device,) = known.devices
        for name in ("fjord", "FJORD", "fjord-bar", simulated.host, f"{simulated.host}:{simulated.port}"):
            assert configured(known, name) is device
        with pytest.raises(NoSuchDevice, match="--username"):
            configured(known, "10.0.0.1")


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("10.0.4.21", ("10.0.4.21", 443)),
        ("board.example.com:8443", ("board.example.com", 8443)),
        ("[2001:db8::7]", ("2001:db8::7", 443)),
    ],
)
def test_a_host_may_have_a_port(host, place, tmp_path):
    device = described(host, username="u", password_file=tmp_path, judged_by=Trust(), ssh_port=22)
    assert (device.host, device.port) == place
    assert device.transports == settings.LINES
    assert only_over(device, None) is device
    assert only_over(device, (Transport.SSH,)).transports == (Transport.SSH,)


@pytest.mark.parametrize("host", ["", "u@host", "host/path", "host:0", "host:99999", "host?x", "[::1"])
def test_what_is_no_host_is_refused(host, tmp_path):
    with pytest.raises(NoSuchDevice, match="is no host"):
        described(host, username="u", password_file=tmp_path, judged_by=Trust(), ssh_port=22)


@pytest.mark.parametrize("trust", [Trust(fingerprint="sha256:12"), Trust(host_key="MD5:ab")])
def test_what_is_no_fingerprint_is_refused(trust, tmp_path):
    with pytest.raises(NoSuchDevice, match="is none"):
        described("host", username="u", password_file=tmp_path, judged_by=trust, ssh_port=22)


def test_a_password_that_was_asked_for_is_on_no_disk():
    with kept_in_memory("hemmelig") as file:
        assert file.read_text(encoding="utf-8") == file.read_text(encoding="utf-8") == "hemmelig"
        assert "memfd" in str(file.readlink())
    assert not file.exists()


@pytest.mark.slow
async def test_nothing_that_a_device_says_moves_the_cursor(tmp_path):
    said: list[str] = []
    async with scripted() as device:
        device.script["xGet Status SystemUnit"] = {
            **SYSTEM_UNIT,
            "ProductId": "Bar\x1b[2J",
            "Software": {"Version": "ce26.4.1\x1b[1A"},
        }
        only = only_over(device.configured(tmp_path), (Transport.WEBSOCKET,))
        file = tmp_path / "report.jsonl"
        heard = await keep(
            only, file, minutes=0.01, overwrite=False, timezone=UTC, say=said.append, show=None
        )
    assert any("hearing Bar" in words for words in said)
    assert not [words for words in (*said, str(heard)) if not words.isprintable()]
