from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agent.clock import Clock
from agent.core.devices import furnish
from agent.core.events import (
    BookingRequested,
    BookingsListed,
    CalendarListed,
    CalendarTurned,
    CommandGiven,
    DeviceConnected,
    PeopleCounted,
)
from agent.core.facts import BookInCalendar, CalendarRequest, FactKind, Request, Step
from agent.core.model import AnswerStatus, CalendarKind, CalendarPhase, CommandId, Policy, RoomId
from agent.core.orders import BookRoom, ShowMessage
from agent.pipeline import INBOX_HOLDS, TOGETHER_AT_MOST, Pipeline
from tests.agent.core.story import CODEC, R1, device

FJORD = RoomId("fjord")
ELV = RoomId("elv")  # has a calendar that may be written in, and no device


class Road:
    """A pipeline whose disk is a list, which can be made to take its time, and whose clock a test can set."""

    def __init__(self):
        self.wall_s = datetime(2026, 3, 2, 9, tzinfo=UTC).timestamp()
        self.steady_s = 0.0
        self.written: list[Step] = []
        self.batches: list[int] = []
        self.asked: list[Request] = []
        self.wished: list[tuple[RoomId, CalendarRequest]] = []
        self.jumps: list[timedelta] = []
        self.there = True  # the device, when it is asked
        self.disk = asyncio.Event()
        self.disk.set()
        self.changed = asyncio.Condition()
        clock = Clock(wall=lambda: self.wall_s, steady=lambda: self.steady_s)
        calendar = CalendarKind.MICROSOFT
        rooms = [
            furnish(None, FJORD, (device(),), now=clock.now()),
            furnish(None, ELV, (), calendars=(calendar,), writes=(calendar,), now=clock.now()),
        ]
        self.pipeline = Pipeline(
            rooms,
            policy=Policy(),
            clock=clock,
            record=self.record,
            ask=self.ask,
            ask_calendar=self.ask_calendar,
            stepped=self.jumps.append,
        )

    def ask(self, request: Request) -> bool:
        self.asked.append(request)
        return self.there

    def ask_calendar(self, room: RoomId, request: CalendarRequest) -> None:
        assert any(request in taken.calendar_requests for taken in self.written), (
            "recorded before it is asked"
        )
        self.wished.append((room, request))

    async def record(self, steps: Sequence[Step]) -> None:
        await self.disk.wait()
        self.written += steps
        self.batches.append(len(steps))
        async with self.changed:
            self.changed.notify_all()

    def pass_time(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall_s, UTC)

    def kinds(self) -> list[FactKind]:
        return [fact.kind for taken in self.written for fact in taken.facts]

    async def until(self, kind: FactKind) -> None:
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(lambda: kind in self.kinds())


def connected() -> DeviceConnected:
    return DeviceConnected(
        device=CODEC, product="Bar", serial="S", firmware="ce26", transport="websocket", answers_requests=True
    )


def people(count: int) -> PeopleCounted:
    return PeopleCounted(device=CODEC, people=count)


async def test_what_is_heard_is_recorded_in_order():
    road = Road()
    await road.pipeline.deliver(FJORD, [connected()])
    for count in (1, 2, 3):
        await road.pipeline.deliver(FJORD, [people(count)])
    road.pipeline.close()
    await road.pipeline.run()
    assert road.kinds() == [FactKind.DEVICE_CONNECTED, *[FactKind.OCCUPANCY_CHANGED] * 3]
    assert road.batches == [4], "what waits together is recorded together"


async def test_what_says_nothing_new_is_not_recorded():
    road = Road()
    await road.pipeline.deliver(FJORD, [connected(), people(1)])
    await road.pipeline.deliver(FJORD, [people(1)])
    road.pipeline.close()
    await road.pipeline.run()
    assert len(road.written) == 2


async def test_nobody_is_asked_before_it_is_on_disk():
    road = Road()
    road.disk.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(road.pipeline.run(), name="pipeline")
        clock = tasks.create_task(road.pipeline.watch_the_clock(), name="clock")
        await road.pipeline.deliver(FJORD, [connected()])
        road.pass_time(31)  # a listing that did not come is due again
        await asyncio.sleep(0)
        assert road.asked == []
        road.disk.set()
        await road.until(FactKind.DEVICE_CONNECTED)
        clock.cancel()
        road.pipeline.close()


async def test_deadlines_strike_though_nothing_is_heard():
    road = Road()
    starts_at = datetime(2026, 3, 2, 9, 5, tzinfo=UTC)
    request = BookingRequested(
        device=CODEC, request_id=R1, starts_at=starts_at, ends_at=starts_at + timedelta(minutes=30)
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(road.pipeline.run(), name="pipeline")
        clock = tasks.create_task(road.pipeline.watch_the_clock(), name="clock")
        await road.pipeline.deliver(FJORD, [connected(), request])
        await road.until(FactKind.BOOKING_REQUESTED)
        listing = BookingsListed(
            device=CODEC, bookings=(), asked_at=road.now(), covers_until=starts_at + timedelta(days=1)
        )
        await road.pipeline.deliver(FJORD, [listing])
        road.pass_time(61)  # the request's time is up, and nobody has answered
        async with asyncio.timeout(5):
            while not road.asked:  # noqa: ASYNC110  the pipeline asks
                await asyncio.sleep(0.01)
        clock.cancel()
        road.pipeline.close()


async def test_a_clock_that_jumps_moves_what_is_waiting():
    road = Road()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(road.pipeline.run(), name="pipeline")
        clock = tasks.create_task(road.pipeline.watch_the_clock(), name="clock")
        await road.pipeline.deliver(FJORD, [connected()])
        await road.until(FactKind.DEVICE_CONNECTED)
        before = road.pipeline.rooms[FJORD].devices[CODEC].since
        road.wall_s += 3 * 3600
        async with asyncio.timeout(5), road.changed:
            await road.changed.wait_for(lambda: road.pipeline.rooms[FJORD].devices[CODEC].since != before)
        clock.cancel()
        road.pipeline.close()
    assert road.pipeline.rooms[FJORD].devices[CODEC].since - before >= timedelta(hours=2.9)
    assert road.asked == []


async def test_a_slow_disk_makes_devices_wait_and_loses_nothing():
    road = Road()
    road.disk.clear()
    many = INBOX_HOLDS + 2 * TOGETHER_AT_MOST

    async def device_talks() -> None:
        for count in range(many):
            await road.pipeline.deliver(FJORD, [people(count)])
        road.pipeline.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(road.pipeline.run(), name="pipeline")
        talk = tasks.create_task(device_talks(), name="device")
        await asyncio.sleep(0.1)
        assert not talk.done(), "the inbox is bounded"
        road.disk.set()
    assert len(road.kinds()) == many


async def test_an_order_for_which_the_device_was_not_there_is_refused_and_not_kept_for_later():
    road = Road()
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(road.pipeline.run(), name="pipeline")
        await road.pipeline.deliver(FJORD, [connected()])
        road.there = False
        order = BookRoom(starts_at=road.now(), duration=timedelta(minutes=30))
        await road.pipeline.deliver(FJORD, [CommandGiven(command=CommandId("c1"), order=order)])
        await road.until(FactKind.BOOKING_FAILED)
        run.cancel()
    answers = [answer for taken in road.written for answer in taken.answers]
    assert [answer.status for answer in answers] == [AnswerStatus.ACCEPTED, AnswerStatus.FAILED]
    assert "not connected" in (answers[-1].reason or "")


async def test_a_deadline_that_stays_due_holds_up_nobody():
    road = Road()
    message = ShowMessage(text="Lunch", duration=timedelta(hours=1))
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(road.pipeline.run(), name="pipeline")
        clock = tasks.create_task(road.pipeline.watch_the_clock(), name="clock")
        await road.pipeline.deliver(FJORD, [CommandGiven(command=CommandId("c1"), order=message)])
        road.wall_s -= 5.0
        await asyncio.sleep(0.6)
        await road.pipeline.deliver(FJORD, [connected()])
        await road.until(FactKind.DEVICE_CONNECTED)
        run.cancel()
        clock.cancel()


async def test_a_calendar_is_asked_once_it_is_recorded_that_it_shall_be():
    road = Road()
    calendar, now = CalendarKind.MICROSOFT, road.now()
    listed = CalendarListed(
        calendar=calendar,
        entries=(),
        asked_at=now,
        covers_from=now - timedelta(hours=9),
        covers_until=now + timedelta(days=1),
    )
    book = BookRoom(starts_at=now + timedelta(hours=1), duration=timedelta(minutes=30))
    command = CommandGiven(command=CommandId("c1"), order=book)
    turned = CalendarTurned(calendar=calendar, phase=CalendarPhase.ACTIVE)
    await road.pipeline.deliver(ELV, [turned, listed, command])
    road.pipeline.close()
    await road.pipeline.run()
    booked = [(room, wish) for room, wish in road.wished if isinstance(wish, BookInCalendar)]
    assert [(room, wish.command) for room, wish in booked] == [(ELV, "c1")]


async def test_calendars_are_told_of_a_clock_that_jumps():
    road = Road()
    road.wall_s += 3600
    await road.pipeline.deliver(FJORD, [people(1)])
    assert [round(by.total_seconds()) for by in road.jumps] == [3600]
