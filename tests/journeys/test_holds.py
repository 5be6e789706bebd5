"""Holds, messages and bookings as the cloud and people at the machine order them, and what screens say."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.journeys.house import SEEN_WITHIN_S, House, house
from tests.simulator.bookings import Answer
from tests.simulator.device import Device

pytestmark = pytest.mark.slow


def hold(hold_id: str = "h1", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "hold_id": hold_id,
        "text": "Kari is on her way",
        "title": "Held until 14:30",
        "duration_s": 600,
        "answers": ["I'm here", "Release it"],
        **more,
    }


async def seen(device: Device, text: str | None, kind: str = "prompt") -> None:
    """The device's screen says this; nothing of this kind, if None."""

    def so() -> bool:
        shown = getattr(device.screen, kind)
        return shown is None if text is None else shown is not None and text in shown.text("Text")

    async with asyncio.timeout(SEEN_WITHIN_S):
        while not so():  # noqa: ASYNC110  the simulated device tells nobody what it shows
            await asyncio.sleep(0.02)


def life(h: House, device: Device) -> list[str]:
    return [event.kind for event in h.recorder.events if event.stream == f"rooms/{device.room}"]


def once(h: House, kind: str, device: Device) -> dict[str, str]:
    """What the facts of this kind are about, by their ids: a kill repeats what was in flight."""
    return {event["id"]: event["subject"] for event in h.all_told(kind, of=device)}


async def test_a_hold_is_shown_answered_and_taken_off(tmp_path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        answer = await h.cloud.done(device.room, "hold.place", hold())
        assert answer["status"] == "done", answer
        await seen(device, "Kari is on her way")
        shown = await h.told("hold.shown", of=device)
        assert (shown["subject"], shown["data"]["surface"]) == ("h1", "screen")
        state = await h.retained(device, lambda state: state["hold"] and state["hold"]["shown"])
        assert state["hold"]["hold"] == "h1"
        device.answer_prompt(1)
        answered = await h.told("hold.answered", of=device)
        assert answered["data"]["answer"] == "I'm here"
        ended = await h.told("hold.ended", of=device)
        assert ended["data"]["cause"] == "answered"
        await h.retained(device, lambda state: state["hold"] is None)
        await seen(device, None)
        told = [kind for kind in life(h, device) if kind.startswith("hold.")]
        assert told == ["hold.placed", "hold.shown", "hold.answered", "hold.ended"]
        await h.delivered()


async def test_every_line_and_firmware_shows_a_hold_and_hears_its_answer(tmp_path):
    def arrange(site, _):
        for device, services in zip(
            site.devices, ("websocket", "ssh", "http", "websocket", "ssh", "http"), strict=True
        ):
            device.offer(**{name: name == services for name in ("websocket", "ssh", "http")})

    profiles = ("10.19.4.2", "9.15.17.4", "11.14.5.0", "26.4.1", "26.4.1", "26.4.1")
    async with house(tmp_path, rooms=6, profile=profiles, arrange=arrange, feedback=True) as h:
        await h.heard()
        for device in h.devices:
            answer = await h.cloud.done(device.room, "hold.place", hold(f"h-{device.room}"))
            assert answer["status"] == "done", answer
        for device in h.devices:
            await seen(device, "Kari is on her way")
            await h.told("hold.shown", of=device)
            device.answer_prompt(2)
        for device in h.devices:
            answered = await h.told("hold.answered", of=device)
            assert answered["data"]["answer"] == "Release it"
            await seen(device, None)


async def test_a_hold_is_back_after_a_broken_line_a_reboot_and_a_kill_and_ends_on_time(tmp_path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        ends_at = datetime.now(UTC) + timedelta(seconds=12)
        await h.cloud.done(device.room, "hold.place", hold(duration_s=None, ends_at=ends_at.isoformat()))
        await seen(device, "Kari is on her way")
        device.reboot(0.5)
        await seen(device, None)
        await seen(device, "Kari is on her way")
        await h.told("hold.shown", of=device)
        await h.roomd.kill()
        await h.start()
        await h.told("hold.ended", of=device, where=lambda data: data["cause"] == "expired")
        await seen(device, None)
        assert len(once(h, "hold.placed", device)) == 1
        assert len(once(h, "hold.ended", device)) == 1
        await h.delivered()


async def test_a_hold_that_ends_while_nobody_is_there_is_taken_off_at_the_start(tmp_path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        ends_at = datetime.now(UTC) + timedelta(seconds=3)
        await h.cloud.done(device.room, "hold.place", hold(duration_s=None, ends_at=ends_at.isoformat()))
        await h.told("hold.shown", of=device)
        await h.roomd.kill()
        device.show_foreign("Alert", "somebody else's", options=())
        await asyncio.sleep(max(0.0, (ends_at - datetime.now(UTC)).total_seconds()))
        await h.start()
        ended = await h.told("hold.ended", of=device)
        assert datetime.fromisoformat(ended["time"]) == ends_at.replace(
            microsecond=ends_at.microsecond // 1000 * 1000
        ) or abs(datetime.fromisoformat(ended["time"]) - ends_at) < timedelta(milliseconds=2)
        await seen(device, None)
        await seen(device, "somebody else's", "alert")


async def test_a_command_is_done_once_however_often_it_comes(tmp_path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        id_ = await h.cloud.give(device.room, "hold.place", hold(), times=3)
        await h.cloud.answered(id_)
        await h.roomd.kill()
        await h.start()
        before = len(h.cloud.final(id_))
        await h.cloud.give(device.room, "hold.place", hold(), id_=id_)
        await h.recorder.until(lambda: len(h.cloud.final(id_)) > before, within_s=SEEN_WITHIN_S)
        assert {each["status"] for each in h.cloud.final(id_)} == {"done"}
        assert len(once(h, "hold.placed", device)) == 1


async def test_what_is_sent_while_the_agent_is_away_is_judged_by_its_expiry(tmp_path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        await h.roomd.kill()
        late = await h.cloud.give(device.room, "hold.place", hold("late"), expires_in_s=0.5)
        in_time = await h.cloud.give(device.room, "hold.place", hold("in-time"))
        await asyncio.sleep(0.6)
        await h.start()
        assert (await h.cloud.answered(late))["status"] == "expired"
        assert (await h.cloud.answered(in_time))["status"] == "done"
        await seen(device, "Kari is on her way")
        assert list(once(h, "hold.placed", device).values()) == ["in-time"]


async def test_bad_commands_are_refused_with_a_reason(tmp_path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        await h.cloud.done(device.room, "hold.place", hold("first"))
        in_an_hour = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        for name, arguments, word in (
            ("hold.place", hold("second"), "hold first is in the way"),
            ("hold.place", hold("third", text=" "), "text"),
            ("hold.place", hold("third", surfaces=["roof"]), "screen"),
            ("hold.extend", {"hold_id": "none", "ends_at": in_an_hour}, "no hold none"),
            ("booking.release", {"key": "none"}, "no booking none"),
            ("hold.invent", {}, "hold.place"),
        ):
            answer = await h.cloud.done(device.room, name, arguments)
            assert answer["status"] == "refused", (name, answer)
            assert word in answer["reason"], (name, answer)
        answer = await h.cloud.done(
            device.room, "hold.cancel", {"hold_id": "first"}, response_topic="elsewhere"
        )
        assert answer["status"] == "refused"
        assert "Response Topic" in answer["reason"]


async def test_a_foreign_prompt_stays_and_the_hold_comes_after_it(tmp_path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        device.show_foreign("Prompt", "somebody else's")
        await asyncio.sleep(0.3)
        await h.cloud.done(device.room, "hold.place", hold())
        await asyncio.sleep(0.5)
        await seen(device, "somebody else's")
        device.answer_prompt(1)
        await seen(device, "Kari is on her way")


async def test_a_booking_is_done_when_the_calendar_says_yes_extended_and_given_back(tmp_path):
    async with house(tmp_path, profile="26.4.1") as h:
        (device,) = h.devices
        await h.heard()
        device.answer = Answer(after_s=0.5)
        starts_at = datetime.now(UTC) + timedelta(minutes=10)
        booked = await h.cloud.done(
            device.room,
            "booking.book",
            {"starts_at": starts_at.isoformat(), "duration_min": 30, "title": "Ad hoc"},
        )
        assert booked["status"] == "done", booked
        key = booked["result"]["key"]
        assert booked["result"]["meeting_id"]
        confirmed = await h.told("booking.confirmed", of=device, key=key)
        assert confirmed["data"]["meeting_id"] == booked["result"]["meeting_id"]
        assert len(h.all_told("booking.requested", of=device)) == 1
        longer = await h.cloud.done(device.room, "booking.extend", {"key": key, "by_min": 15})
        assert longer["status"] == "done", longer
        await h.told("booking.moved", of=device, key=key)
        gone = await h.cloud.done(device.room, "booking.release", {"key": key})
        assert gone["status"] == "done", gone
        await h.told("booking.deleted", of=device, key=key)
        assert not device.agenda()


async def test_a_booking_that_the_calendar_declines_has_failed(tmp_path):
    async with house(tmp_path, profile="26.4.1") as h:
        (device,) = h.devices
        await h.heard()
        device.answer = Answer(outcome="fail", after_s=0.2)
        starts_at = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
        answer = await h.cloud.done(
            device.room, "booking.book", {"starts_at": starts_at, "duration_min": 30, "title": "Ad hoc"}
        )
        assert answer["status"] == "failed", answer
        assert "declined" in answer["reason"]


async def test_messages_and_a_resync(tmp_path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        shown = await h.cloud.done(device.room, "message.show", {"text": "Lunch is here", "duration_s": 60})
        assert shown["status"] == "done", shown
        await seen(device, "Lunch is here", "alert")
        cleared = await h.cloud.done(device.room, "message.clear")
        assert cleared["status"] == "done", cleared
        await seen(device, None, "alert")
        assert (await h.cloud.done(device.room, "room.resync"))["status"] == "done"


# ── from the command line


async def test_people_at_the_machine_hold_message_and_resync(tmp_path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        code, out, err = await h.ask(
            "hold", device.room, "--for", "15m", "--text", "Kari is on her way", "--answer", "I'm here"
        )
        assert (code, err) == (0, "")
        assert out.startswith(f"{device.room}: held from ")
        await seen(device, "Kari is on her way")
        code, out, _ = await h.ask("hold", device.room, "--extend", "--for", "30m", "--json")
        assert (code, json.loads(out)["status"]) == (0, "done")
        code, out, _ = await h.ask("rooms")
        assert "held" in out
        code, out, err = await h.ask("hold", device.room, "--for", "15m", "--text", "Ola")
        assert (code, out) == (os.EX_DATAERR, "")
        assert "is in the way" in err
        code, out, _ = await h.ask("hold", device.room, "--cancel")
        assert (code, "taken back" in out) == (0, True)
        await seen(device, None)
        code, out, _ = await h.ask("message", device.room, "--text", "Lunch is here")
        assert (code, "shown for 5m" in out) == (0, True)
        code, out, _ = await h.ask("message", device.room, "--clear")
        assert code == 0
        code, out, _ = await h.ask("resync", device.name.lower(), "--json")  # as people call it
        assert (code, json.loads(out)["status"]) == (0, "done")


@pytest.mark.parametrize("profile", ["11.14.5.0", "26.4.1"])  # the older one answers no request
async def test_people_at_the_machine_book_and_give_back(tmp_path, profile):
    async with house(tmp_path, profile=profile) as h:
        (device,) = h.devices
        await h.heard()
        device.answer = Answer(after_s=0.3)
        code, out, err = await h.ask("book", device.room, "--for", "30m", "--title", "Ad hoc")
        assert (code, "waiting" in err) == (0, True), err
        assert "meeting " in out
        code, out, err = await h.ask("book", device.room, "--extend", "now", "--for", "15m")
        assert (code, "lasts until" in out) == (0, True), err
        code, out, err = await h.ask("hold", device.room, "--for", "5m", "--text", "Kari")
        assert (code, "it is booked then" in err) == (0, True), err
        code, out, err = await h.ask("release", device.room)
        assert code == 0, err
        assert "is given back" in out
        code, out, err = await h.ask("release", device.room)
        assert (code, out) == (os.EX_DATAERR, "")
        assert "nothing is booked now" in err


@pytest.mark.parametrize(
    ("words", "code", "mend"),
    [
        (("hold", "nowhere", "--for", "15m", "--text", "x"), os.EX_DATAERR, "there are room-0001"),
        (("hold", "room-0001", "--for", "soon", "--text", "x"), os.EX_USAGE, "write it like 90s"),
        (("hold", "room-0001", "--text", "x"), os.EX_USAGE, "--until"),
        (("hold", "room-0001", "--for", "15m"), os.EX_USAGE, "--text"),
        (("hold", "room-0001", "--cancel", "--id", "x"), os.EX_DATAERR, "there is no hold x"),
        (("hold", "room-0001", "--cancel"), os.EX_DATAERR, "no hold stands"),
        (("hold", "room-0001", "--for", "15m", "--text", "x", "--on", "lamp"), os.EX_USAGE, "controller"),
        (("resync", "nowhere"), os.EX_DATAERR, "there are room-0001"),
        (("book", "room-0001", "--for", "1h", "--from", "26:00"), os.EX_USAGE, "14:30"),
        (("release", "nowhere"), os.EX_DATAERR, "room-0001"),
        (("message", "room-0001"), os.EX_USAGE, "--text"),
    ],
)
async def test_what_is_unclear_is_told_with_its_mend(one_house, words, code, mend):
    answered, out, err = await one_house.ask(*words)
    assert (answered, out) == (code, "")
    assert mend in err
    assert "Traceback" not in err


@pytest.fixture
async def one_house(tmp_path):
    async with house(tmp_path) as h:
        await h.heard()
        yield h
