"""Bad input gets a clear error and nothing is lost: strangers, wrong secrets, nonsense, refusals."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from tests.brokers import Ack, Authority, Liar, Mosquitto, Offer
from tests.brokers.records import at_once
from tests.journeys.house import house
from tests.simulator.faults import Junk, Spoil
from tests.simulator.site import Site

pytestmark = pytest.mark.slow

ROOMD = "roomd-journey-agent-1"


# ── devices that do not let us in ─────────────────────────────────────────────────────────────────


async def test_a_wrong_password_is_tried_twice_and_no_more_until_it_is_mended(tmp_path):
    async with house(tmp_path, rooms=2, start=False) as h:
        locked, other = h.devices
        locked.password = "changed meanwhile"
        await h.start()
        refused = await h.told("device.refused", of=locked)
        assert "roomd" in refused["data"]["cause"]
        assert "secret" not in refused["data"]["cause"]
        told = await h.retained(locked, lambda told: told["state"] == "unavailable", what="availability")
        assert told["why"]
        await h.heard(other)
        for people in range(1, 6):  # time passes
            other.count_people(people)
            await h.counted(other, people)
        assert locked.failed_logins == 2
        password = h.installation.directory / f"password-{locked.room}"
        password.write_text("changed meanwhile\n")
        await h.told("device.connected", of=locked)
        assert not locked.locked


async def test_a_changed_certificate_gets_no_password(tmp_path):
    def over_websocket_only(_: Site, described: list[dict[str, Any]]) -> None:
        for each in described:
            each["transport"] = "websocket"  # else the pinned host key lets SSH take over

    async with house(tmp_path, rooms=2, pinned=True, arrange=over_websocket_only) as h:
        changed, other = h.devices
        await h.heard()
        logins = changed.logins
        h.site.renew_certificate(changed)
        changed.cut()
        refused = await h.told("device.refused", of=changed)
        assert "fingerprint" in refused["data"]["cause"]
        assert (changed.logins, changed.failed_logins) == (logins, 0)
        other.count_people(2)
        await h.counted(other, 2)


@asynccontextmanager
async def stranger(answer, *, tls=None):
    """Somebody at an address who is no device."""

    async def greet(reader, writer):
        if answer is not None:
            await reader.read(100)
            writer.write(answer)
        else:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


HTTP = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


async def test_a_host_that_is_no_device_is_named_so_and_the_others_are_heard(tmp_path):
    authority = Authority(tmp_path / "tls")
    async with (
        stranger(b"220 smtp.example.com ready\r\n") as mail,
        stranger(HTTP) as web,
        stranger(HTTP, tls=authority.server_context()) as secure,
        stranger(b"", tls=authority.server_context()) as curt,
    ):
        rooms = {"mail": mail, "web": web, "secure": secure, "curt": curt, "nobody": "127.0.0.1:9"}
        async with house(tmp_path, strangers=rooms) as h:
            (device,) = h.devices
            await h.heard(device)
            for room in rooms:
                told = await h.retained(
                    room,
                    lambda told: told["why"] and "not reached yet" not in told["why"],
                    what="availability",
                )
                assert told["state"] in {"unavailable", "unknown"}, room
                assert told["why"], room
            device.count_people(1)
            await h.counted(device, 1)
            assert "Traceback" not in h.roomd.log


async def test_nonsense_from_one_device_does_not_touch_the_others(tmp_path):
    harmful: tuple[Junk, ...] = ("text", "binary", "huge", "truncated", "deep", "array")
    async with house(tmp_path, rooms=len(harmful) + 1) as h:
        *sick, healthy = h.devices
        await h.heard()
        for device, junk in zip(sick, harmful, strict=True):
            device.send_junk(junk)
            device.count_people(3)
        healthy.count_people(4)
        await h.counted(healthy, 4)
        for device in sick:
            await h.retained(device, lambda state: state["occupancy"]["people"] == 3)
        assert not h.all_told("device.lost", of=healthy)
        for device, junk in zip(sick, harmful, strict=True):
            for lost in h.all_told("device.lost", of=device):
                assert lost["data"]["cause"], junk
        assert "Traceback" not in h.roomd.log


async def test_a_booking_that_makes_no_sense_does_not_hide_the_others(tmp_path):
    senseless: tuple[Spoil, ...] = ("no_end", "end_before_start", "garbage_times", "no_id", "no_title")
    async with house(tmp_path, rooms=len(senseless)) as h:
        await h.heard()
        booked = {}
        for device in h.devices:
            bad = device.book_in_outlook("Bad", start=device.now() + timedelta(hours=2))
            booked[device] = bad, device.book_in_outlook("Good", start=device.now() + timedelta(hours=1))
        for device, how in zip(booked, senseless, strict=True):
            await h.listed(device, "Good", "Bad")
            bad, good = booked[device]
            device.spoil(bad.id, how)
            device.retitle(good.id, "Better")
        for device in booked:
            await h.retained(
                device, lambda state: any(entry["title"] == "Better" for entry in state["agenda"])
            )
        assert not h.all_told("booking.deleted"), "what cannot be read is not gone"
        for device, (_, good) in booked.items():
            device.delete(good.id)
        for device, (_, good) in booked.items():
            deleted = await h.told("booking.deleted", of=device)
            assert deleted["data"]["booking_id"] == good.id
        assert "Traceback" not in h.roomd.log


# ── brokers that do not let us in ─────────────────────────────────────────────────────────────────


async def test_a_wrong_broker_password_loses_nothing(tmp_path):
    broker = Liar()
    async with house(
        tmp_path, broker=broker, start=False, mqtt='username = "site"\npassword_file = "broker-password"'
    ) as h:
        (device,) = h.devices
        secret = h.installation.directory / "broker-password"
        secret.write_text("not-the-right-one")
        secret.chmod(0o600)
        broker._users = {"site": "right"}  # noqa: SLF001 -- the recorder, who has no name, is in already
        await h.start()
        await h.logged("broker.refused")
        device.count_people(3)
        device.book_in_outlook("Kept", start=device.now() + timedelta(hours=1))
        code, out, _ = await h.ask("rooms", "--json")
        assert code == 0, out
        secret.write_text("right\n")
        await h.told("booking.confirmed", of=device)
        await h.counted(device, 3)
        assert (await h.delivered()).lost == 0
        assert "not-the-right-one" not in h.roomd.log


async def test_a_broker_that_refuses_loses_nothing(tmp_path):
    async with house(tmp_path, broker=Liar()) as h:
        (device,) = h.devices
        await h.heard()
        for people, code in enumerate((0x87, 0x88, 0x8A, 0x97), 1):
            h.liar.refuse(code, times=2)
            h.liar.cut(client_id=ROOMD)
            device.count_people(people)
            await h.counted(device, people)
        found = await h.delivered()
        assert (found.lost, found.out_of_order) == (0, 0)


async def test_a_broker_that_throttles_gets_no_more_than_it_takes(tmp_path):
    async with house(tmp_path, rooms=4, broker=Liar(offer=Offer(receive_maximum=2))) as h:
        await h.heard()
        h.site.flood.start(200.0, modulo=9)
        await h.recorder.until(lambda: len(h.recorder.events) > 100)
        refused = 0

        def quota(received):
            nonlocal refused
            if "/events/" in received.topic and refused < 20:
                refused += 1
                return Ack(code=0x97)
            return Ack()

        h.liar.pubacks = quota
        await h.recorder.until(lambda: refused == 20)
        h.liar.pubacks = at_once
        h.site.flood.stop()
        found = await h.delivered()
        assert (found.lost, found.out_of_order, found.repeated) == (0, 0, 0)
        assert h.liar.violations == []


async def test_a_session_that_is_taken_over_comes_back(tmp_path):
    async with house(tmp_path, broker=Liar()) as h:
        (device,) = h.devices
        await h.heard()
        h.liar.disconnect(0x8E, client_id=ROOMD)
        await h.logged("broker.taken_over")
        device.count_people(3)
        await h.counted(device, 3)
        assert (await h.delivered()).lost == 0


async def test_an_event_that_no_broker_takes_is_told_as_a_gap(tmp_path):
    async with house(tmp_path, broker=Liar()) as h:
        (device,) = h.devices
        await h.heard()
        left = 1

        def once(received):
            nonlocal left
            if received.topic.endswith("/events/occupancy") and left:
                left -= 1
                return Ack(code=0x99)
            return Ack()

        h.liar.pubacks = once
        device.count_people(3)
        device.count_people(4)
        gap = await h.told("outbox.gap")
        assert (gap["data"]["stream"], gap["data"]["count"]) == (f"rooms/{device.room}", 1)
        await h.counted(device, 4)
        found = await h.delivered()
        assert (found.lost, found.told) == (0, 1)


async def test_a_broker_with_another_certificate_is_told_nothing(tmp_path):
    other = Authority(tmp_path / "other")
    broker = Mosquitto(tmp_path / "broker", tls=Authority(tmp_path / "tls"))
    async with house(tmp_path, broker=broker, mqtt=f'ca_file = "{other.ca_file}"', listen=False) as h:
        await h.logged("is not who it says")
        assert "broker.connected" not in h.roomd.log
        code, out, _ = await h.ask("rooms", "--json")
        assert (code, '"connected": false' in out) == (0, True)
