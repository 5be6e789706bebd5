"""Rooms that nobody came to: asked on their screens, given back where nobody answers, and told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.journeys.house import HASTE, SEEN_WITHIN_S, House, house
from tests.simulator.device import Device
from tests.simulator.site import Site

pytestmark = pytest.mark.slow

ON = """[release]
mode = "on"
warning_s = 60
"""
LONG_ENOUGH_TO_ANSWER = "release = { warning_s = 600 }"
REHEARSED = 'release = { mode = "dry-run" }'


async def until(so: Callable[[], object]) -> None:
    async with asyncio.timeout(SEEN_WITHIN_S):
        while not so():  # noqa: ASYNC110  the simulated device tells nobody what it shows
            await asyncio.sleep(0.02)


def nobody_there(site: Site, _: list[dict[str, Any]]) -> None:
    for device in site.devices:
        device.configure(("Configuration", "RoomAnalytics", "PeopleCountOutOfCall"), "On")
        device.count_people(0)
        device.be_present("No")


def kinds(h: House, device: Device) -> list[str]:
    told = [event.kind for event in h.recorder.events if event.stream == f"rooms/{device.room}"]
    return [kind for kind in told if kind.startswith("booking.")]


async def test_rooms_nobody_came_to_are_asked_and_given_back_unless_somebody_is_there(tmp_path):
    def arrange(site: Site, described: list[dict[str, Any]]) -> None:
        nobody_there(site, described)
        own = site.devices[3]
        own.configure(("Configuration", "Bookings", "CheckIn", "Enabled"), "True")

    rooms = [f"room-{number:04}" for number in range(1, 5)]
    links = {rooms[1]: LONG_ENOUGH_TO_ANSWER, rooms[2]: REHEARSED}
    there = house(
        tmp_path,
        rooms=4,
        profile="26.4.1",
        haste=f"{HASTE},releases",
        tables=lambda _: ON,
        links=links,
        arrange=arrange,
    )
    async with there as h:
        given_back, answered, rehearsed, own = h.devices
        assert [device.room for device in h.devices] == rooms
        await h.heard()
        for device in h.devices:
            device.book_in_outlook("Weekly", duration_min=30)

        await until(lambda: given_back.screen.prompt)
        prompt = given_back.screen.prompt
        assert prompt is not None
        assert "We are here" in prompt.text("Option.1")
        released = await h.told("booking.released", of=given_back)
        assert not given_back.agenda()
        await until(lambda: given_back.screen.prompt is None and given_back.screen.text_line is None)
        assert released["data"]["witnesses"] == [given_back.room]
        assert 25 < released["data"]["minutes_freed"] <= 30
        told = kinds(h, given_back)
        assert told.index("booking.deleted") < told.index("booking.released")

        await until(lambda: answered.screen.prompt and answered.screen.text_line)
        answered.answer_prompt(1)
        kept = await h.told("booking.kept", of=answered)
        assert kept["data"]["cause"] == "answered"
        await until(lambda: answered.screen.prompt is None and answered.screen.text_line is None)
        assert answered.agenda()

        unclaimed = await h.told("booking.unclaimed", of=rehearsed)
        assert (unclaimed["data"]["warned_at"], unclaimed["data"]["phase"]) == (None, "started")
        assert rehearsed.agenda()

        wrong = await h.told("device.misconfigured", of=own)
        assert "Bookings CheckIn Enabled: False" in wrong["data"]["cause"]
        assert own.agenda()
        assert own.screen.prompt is rehearsed.screen.prompt is None
        code, out, err = await h.ask("rooms")
        assert code == 0, err
        assert "Bookings CheckIn" in out
        await h.delivered()
