"""A thousand rooms of one integration, within its quotas; and readers that have to wait, or to stop."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from agent.core.events import CalendarListed
from agent.core.facts import ListCalendar
from agent.core.model import CalendarKind, CalendarPhase, RoomId
from tests.cloud_link.calendars.reading import Hurried, Stand
from tests.cloud_link.calendars.reading import stand as standing

NAMES = [f"room{number}" for number in range(1000)]
ALL_LISTED_WITHIN_S = 40.0  # far more than it takes


async def all_listed(stand: Stand, times: int = 1) -> None:
    """Every room was listed so often."""
    async with asyncio.timeout(ALL_LISTED_WITHIN_S):
        while True:
            listed = Counter(room for room, event in stand.told if isinstance(event, CalendarListed))
            if len(listed) == len(NAMES) and min(listed.values()) >= times:
                return
            await asyncio.sleep(0.05)


async def test_a_thousand_rooms_at_microsoft_are_read_in_batches_and_nobody_is_hurried(tmp_path: Path):
    async with standing(tmp_path, Hurried(30), plain=True) as stand:
        stand.luck = lambda: 0.99  # nobody is polled again meanwhile
        stand.add_microsoft(*NAMES)
        stand.meet_at_microsoft("room999", "Budget")
        throttled = [f"{name}@contoso.example" for name in NAMES[::100]]
        for address in throttled:
            stand.microsoft.throttle(address, seconds=1)
        async with stand.running(microsoft=stand.microsoft_account()):
            await all_listed(stand)
            assert stand.listed("room999") == [["Budget"]]
            assert max(stand.microsoft.mailboxes.most.values()) <= 4
            assert not stand.microsoft.rests.broken
            assert all(stand.microsoft.asked[address] in (2, 3) for address in throttled)
            assert stand.microsoft.calls["batch"] <= 60 + len(throttled)
            assert stand.microsoft.calls["token"] == 1
            assert [turned.phase for turned in stand.turned] == [CalendarPhase.ACTIVE]


async def test_a_thousand_rooms_at_google_stay_within_a_user_s_quota(tmp_path: Path):
    async with standing(tmp_path, Hurried(60), plain=True) as stand:
        stand.luck = lambda: 0.99  # nobody is polled again meanwhile
        stand.add_google(*NAMES)
        stand.meet_at_google("room999", "Budget")
        async with stand.running(google=stand.google_account()) as site:
            await asyncio.sleep(0.3)
            site.ask(
                RoomId("room999"), ListCalendar(calendar=CalendarKind.GOOGLE)
            )  # goes first, late as it is
            await all_listed(stand)
            assert stand.google.over_quota == 0
            assert max(stand.google.most_in_a_minute.values()) <= 500
            assert max(stand.google.at_once.most.values()) == 1
            assert stand.google.count("/events") <= 1100  # some twice, on a machine that is slow
            assert [turned.phase for turned in stand.turned] == [CalendarPhase.ACTIVE]


async def test_who_takes_no_events_is_told_no_more_than_it_takes(tmp_path: Path):
    async with standing(tmp_path) as stand:
        stand.add_microsoft("fjord", "lake")
        taking = asyncio.Event()
        taking.set()
        stand.delivering = taking.wait
        async with stand.running(microsoft=stand.microsoft_account()) as site:
            await stand.until(lambda: stand.listed("fjord") and stand.listed("lake"))
            taking.clear()
            asked = len(stand.microsoft_service.seen)
            for _ in range(5):
                for room in ("fjord", "lake"):
                    site.ask(RoomId(room), ListCalendar(calendar=CalendarKind.MICROSOFT))
                await stand.go_on(minutes=5)
            assert len(stand.microsoft_service.seen) <= asked + 2
            taking.set()
            listings = len(stand.listed("fjord"))
            await stand.go_on(minutes=1)
            assert len(stand.listed("fjord")) > listings


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_it_stops_at_once_wherever_it_is(tmp_path: Path, after: int):
    async with standing(tmp_path) as stand:
        stand.add_microsoft("fjord", by_hand=False)
        stand.add_google("lake", by_hand=False)
        stand.microsoft.faults.latency_s = stand.google.faults.latency_s = 0.2
        async with stand.running(microsoft=stand.microsoft_account(), google=stand.google_account()):
            await stand.microsoft_service.until_seen(after)
    assert {task for task in asyncio.all_tasks() if "calendars" in task.get_name()} == set()


async def test_rooms_that_are_due_about_the_same_time_are_asked_for_together(tmp_path: Path):
    async with standing(tmp_path) as stand:
        stand.luck = random.Random(7).random
        stand.add_microsoft(*NAMES[:40])
        async with stand.running(microsoft=stand.microsoft_account()):
            await stand.until(lambda: all(stand.listed(name) for name in NAMES[:40]))
            batches, told = stand.microsoft.calls["batch"], len(stand.told)
            await stand.go_on(hours=2)
            listings = [event for _, event in stand.told[told:] if isinstance(event, CalendarListed)]
            assert len(listings) in range(40 * 8, 40 * 16)
            assert stand.microsoft.calls["batch"] - batches <= len(listings) / 4
