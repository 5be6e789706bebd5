"""What is lost on the way is found again: devices, the broker and roomd itself go and come back."""

from __future__ import annotations

import json
import signal
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Liar, Mosquitto, withheld
from tests.brokers.packets import pingresp
from tests.brokers.records import at_once
from tests.journeys.house import HASTE, House, house
from tests.simulator.bookings import Answer
from tests.simulator.device import Device
from tests.simulator.site import Site

pytestmark = pytest.mark.slow


# ── devices ───────────────────────────────────────────────────────────────────────────────────────

over_each_line = pytest.mark.parametrize("line", ["websocket", "ssh", "http"])


def heard_over(
    line: str, directory: Path, *, rooms: int = 1, haste: str = ""
) -> AbstractAsyncContextManager[House]:
    """A house in which every device is heard over this line; over HTTP they call back."""

    def arrange(_: Site, described: list[dict[str, Any]]) -> None:
        for each in described:
            each["transport"] = line

    return house(
        directory, rooms=rooms, arrange=arrange, feedback=line == "http", haste=f"{HASTE},looks,{haste}"
    )


def turn_away(device: Device) -> None:
    """Whatever the line: it breaks, and nobody comes in any more."""
    device.fault(handshake_status=502, http_status=502)
    device.offer(ssh=False)
    device.cut()


def let_in(device: Device) -> None:
    device.clear_faults()
    device.offer(ssh=True)


@over_each_line
async def test_what_happened_while_a_device_was_away_is_told_as_recovered(tmp_path, line):
    async with heard_over(line, tmp_path, rooms=2) as h:
        away, _ = h.devices
        await h.heard()
        kept = away.book_in_outlook("Kept", start=away.now() + timedelta(hours=1))
        gone = away.book_in_outlook("Gone", start=away.now() + timedelta(hours=2))
        await h.listed(away, "Kept", "Gone")
        turn_away(away)
        lost = await h.told("device.lost", of=away)
        assert lost["data"]["phase"] == "lost"
        await h.retained(away, lambda told: told["state"] == "unavailable", what="availability")
        away.move(kept.id, start=kept.start + timedelta(minutes=5))
        away.delete(gone.id)
        away.book_in_outlook("Found", start=away.now() + timedelta(hours=3))
        away.count_people(5)
        let_in(away)
        for kind in ("booking.moved", "booking.deleted"):
            assert (await h.told(kind, of=away))["recovered"] is True
        found = await h.told("booking.confirmed", of=away, where=lambda data: data["title"] == "Found")
        assert found["recovered"] is True
        await h.listed(away, "Kept", "Found")
        people = await h.counted(away, 5)
        assert people["recovered"] is True
        told = await h.retained(away, lambda told: told["state"] == "available", what="availability")
        assert [each["transport"] for each in told["devices"]] == [line]


@over_each_line
async def test_a_restarted_device_keeps_the_keys_of_its_bookings(tmp_path, line):
    async with heard_over(line, tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        device.book_in_outlook("First", start=device.now() + timedelta(hours=2))
        device.book_in_outlook("Second", start=device.now() + timedelta(hours=1))
        before = await h.listed(device, "First", "Second")
        # Whoever asks now and then finds it away only if it is away for longer than that.
        device.reboot(2.0 if line == "http" else 0.5)
        await h.told("device.rebooted", of=device)
        after = await h.retained(
            device, lambda state: state["agenda"] and state["agenda"][0]["booking_id"] == "webex-1"
        )
        names = {entry["title"]: entry["key"] for entry in before["agenda"]}
        assert {entry["title"]: entry["key"] for entry in after["agenda"]} == names
        assert not h.all_told("booking.deleted")


@over_each_line
async def test_a_request_survives_the_restart_of_its_device(tmp_path, line):
    async with heard_over(line, tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        device.request_booking(
            "Ad hoc", start=device.now() + timedelta(minutes=9), answer=Answer(after_s=1.0)
        )
        requested = await h.told("booking.requested", of=device)
        device.reboot(1.5)  # the answer comes while it is away
        confirmed = await h.told("booking.confirmed", of=device)
        assert confirmed["subject"] == requested["subject"]
        assert confirmed["data"]["meeting_id"]


@pytest.mark.parametrize(("line", "why"), [("websocket", "silent"), ("http", "no answer in time")])
async def test_a_device_that_hangs_is_noticed_and_dialled_again(tmp_path, line, why):
    async with heard_over(line, tmp_path, haste="lines") as h:
        (device,) = h.devices
        await h.heard()
        device.hold_open()
        lost = await h.told("device.lost", of=device)
        assert why in lost["data"]["cause"]
        device.count_people(2)
        device.let_go()
        await h.retained(device, lambda state: state["occupancy"]["people"] == 2)


# ── the broker ────────────────────────────────────────────────────────────────────────────────────


async def test_a_broker_that_is_away_misses_nothing(tmp_path):
    async with house(tmp_path, rooms=3, broker=Mosquitto(tmp_path / "broker", persistence=True)) as h:
        await h.heard()
        await h.mosquitto.kill()
        for people in range(1, 8):
            for device in h.devices:
                device.count_people(people)
                device.book_in_outlook(f"Number {people}", start=device.now() + timedelta(hours=people))
        await h.mosquitto.start()
        for device in h.devices:
            await h.counted(device, 7)
            await h.listed(device, *(f"Number {people}" for people in range(1, 8)))
        assert (await h.delivered()).repeated <= 40


async def test_a_broker_that_forgot_everything_is_told_it_again(tmp_path):
    async with house(tmp_path, rooms=2) as h:
        await h.heard()
        h.line.refuse()
        await h.mosquitto.kill()
        await h.recorder.until_deaf()
        h.recorder.latest.clear()
        await h.mosquitto.start()
        await h.recorder.until_listening()
        await h.line.listen()
        await h.heard()
        retained = await h.latecomer()
        told = {topic.removeprefix("roomd/v1/journey/") for topic in retained}
        rooms = {f"rooms/{d.room}/{what}" for d in h.devices for what in ("state", "availability")}
        assert told == rooms | {"agents/agent-1/status", "agents/agent-1/health"}


async def test_a_line_that_is_reset_behind_an_answer_is_noticed_at_once(tmp_path):
    async with house(tmp_path, broker=Liar()) as h:
        await h.heard()
        await h.delivered()
        h.roomd.freeze()  # so that it finds both when it wakes
        for connection in h.liar.living:
            if connection.client_id == "roomd-journey-agent-1":
                connection.send(pingresp())
                connection.reset()
        h.roomd.thaw()
        await h.logged("broker.lost", within_s=5.0)
        await h.status(lambda status: status["connection"] > 1)


async def test_a_line_that_swallows_everything_is_given_up(tmp_path):
    async with house(tmp_path, haste=f"{HASTE},lines") as h:
        (device,) = h.devices
        await h.heard()
        h.line.pause()
        device.count_people(3)
        await h.logged("broker.lost")
        h.line.cut()
        h.line.resume()
        await h.counted(device, 3)
        assert (await h.delivered()).repeated <= 40


# ── roomd itself ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("point", ["after PUBLISH:9", "before it is settled:4", "before COMMIT:9"])
async def test_a_killed_roomd_loses_nothing_and_repeats_the_same_bytes(tmp_path, point):
    async with house(tmp_path, rooms=3, start=False) as h:
        await h.start(die_at=point)
        h.site.flood.start(200.0, modulo=9)
        assert await h.roomd.ended(within_s=15) == -signal.SIGKILL
        h.site.flood.stop()
        await h.start()
        await h.heard()
        found = await h.delivered()
        assert (found.lost, found.out_of_order, found.changed) == (0, 0, 0)
        assert found.repeated <= 40
        if point.startswith("after PUBLISH"):
            assert found.repeated >= 1


async def test_a_restart_finds_what_was_asked_for_before(tmp_path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        request = device.request_booking(
            "Ad hoc", start=device.now() + timedelta(minutes=9), answer=Answer(outcome="by_hand")
        )
        requested = await h.told("booking.requested", of=device)
        await h.roomd.kill()
        device.confirm(request)
        await h.start()
        confirmed = await h.told("booking.confirmed", of=device)
        assert confirmed["subject"] == requested["subject"]
        assert confirmed["recovered"] is True
        assert confirmed["data"]["after_s"] > 0


async def test_a_damaged_file_is_rescued_and_the_cloud_is_told(tmp_path):
    async with house(tmp_path, rooms=2) as h:
        await h.heard()
        h.line.refuse()
        h.line.cut()
        for device in h.devices:
            device.count_people(6)
        await h.logged("broker.")
        await h.roomd.stop()
        before = h.promised()
        file = h.installation.state / "roomd.db"
        with file.open("r+b") as database:
            database.write(b"\xff" * 100)
        await h.line.listen()
        await h.start()
        reset = await h.told("outbox.reset")
        assert reset["data"]["epoch"] not in before.epochs
        assert reset["data"]["reason"]
        assert list(h.installation.state.glob("roomd.db.corrupt-*"))
        for device in h.devices:
            await h.retained(device, lambda state: state["occupancy"]["people"] == 6)


async def test_birth_and_death_are_retained_and_the_will_waits(tmp_path):
    async with house(tmp_path, broker=Liar(), haste="devices,states") as h:
        await h.heard()
        born = await h.status(lambda status: status["state"] == "online")
        connect = h.liar.living[-1].connect
        assert connect is not None
        will = connect.will
        assert will is not None
        death = json.loads(will.payload)
        assert (will.topic, will.retain, will.qos) == ("roomd/v1/journey/agents/agent-1/status", True, 1)
        assert will.properties.will_delay_s == 15
        assert (connect.properties.session_expiry_s or 0) > 15
        assert (death["state"], death["connection"], death["reason"]) == (
            "offline",
            born["connection"],
            "lost",
        )
        assert await h.roomd.stop() == 0
        gone = await h.status(lambda status: status["state"] == "offline")
        assert (gone["reason"], gone["connection"]) == ("stop", born["connection"])
        await h.start()
        again = await h.status(lambda status: status["state"] == "online")
        assert again["connection"] > born["connection"]


async def test_after_a_kill_the_broker_tells_of_the_death(tmp_path):
    async with house(tmp_path) as h:
        await h.heard()
        born = await h.status(lambda status: status["state"] == "online")
        await h.roomd.kill()
        lost = await h.status(lambda status: status["state"] == "offline")
        assert (lost["reason"], lost["connection"]) == ("lost", born["connection"])


async def test_pubacks_that_are_withheld_keep_events_in_the_outbox(tmp_path):
    async with house(tmp_path, rooms=2, broker=Liar()) as h:
        await h.heard()
        h.liar.pubacks = withheld
        for people in (1, 2, 3):
            for device in h.devices:
                device.count_people(people)
        for device in h.devices:
            await h.retained(device, lambda state: state["room"])
        code, out, _ = await h.ask("outbox", "stats", "--json")
        assert code == 0
        assert json.loads(out)["depth"] > 0
        h.liar.pubacks = at_once
        h.liar.acknowledge(reverse=True)
        for device in h.devices:
            await h.counted(device, 3)
        assert (await h.delivered()).repeated == 0
