"""The one road: what is heard goes through the core into one transaction, and only then further."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from agent.clock import Clock
from agent.core.events import ClockStepped, ClockStruck, OrderRefused, RoomEvent
from agent.core.facts import Book, CalendarRequest, Extend, Release, Request, Step
from agent.core.model import Policy, Room, RoomId
from agent.core.step import next_deadline, step

log = structlog.get_logger()

INBOX_HOLDS = 2048  # events; beyond that no socket is read, and TCP tells the devices to wait
TOGETHER_AT_MOST = 128  # events in one transaction: more would make deliveries wait for their settling
BETWEEN_RECORDS_S = 0.008  # while much is heard: a transaction costs about as much as twenty events
LOOK_EVERY_S = 0.25  # at the clock, for deadlines and for jumps

Record = Callable[[Sequence[Step]], Awaitable[None]]
Ask = Callable[[Request], bool]  # whether the device was there to be asked
AskCalendar = Callable[[RoomId, CalendarRequest], None]


def nobody(room: RoomId, request: CalendarRequest) -> None:
    """Who is asked where no calendars are linked."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was heard of a room; of no room: time has passed."""

    at: datetime
    room: RoomId | None
    events: Sequence[RoomEvent]


class Pipeline:
    """Holds every room's state in memory, moves it, and has it recorded before anybody learns of it."""

    def __init__(
        self,
        rooms: Iterable[Room],
        *,
        policy: Policy,
        clock: Clock,
        record: Record,
        ask: Ask,
        ask_calendar: AskCalendar = nobody,
        stepped: Callable[[timedelta], None] = lambda _: None,
    ) -> None:
        """`stepped` is told when the wall clock has jumped, and by how much."""
        self._rooms = {room.id: room for room in rooms}
        self._policy = policy
        self._clock = clock
        self._record = record
        self._ask = ask
        self._ask_calendar = ask_calendar
        self._stepped = stepped
        self._inbox: asyncio.Queue[_Heard | None] = asyncio.Queue()  # bounded by `_held`, for devices
        self._held = 0
        self._room = asyncio.Event()
        self._deadlines: list[tuple[datetime, RoomId]] = []
        self._due: dict[RoomId, datetime | None] = {}
        self._struck = False
        self.events_heard = 0
        self.events_ignored = 0
        for room in self._rooms.values():
            self._plan(room)

    @property
    def rooms(self) -> Mapping[RoomId, Room]:
        """Every room as it stands now; not all of it need be on disk yet."""
        return self._rooms

    async def deliver(self, room: RoomId, events: Sequence[RoomEvent]) -> None:
        """Take in what a device said. Waits while the inbox is full: that is the back-pressure."""
        now, by = self._clock.look()
        if by is not None:
            self._step_the_clock(now, by)  # before what was heard by the new time
        self._held += len(events)
        self._inbox.put_nowait(_Heard(now, room, events))
        while self._held > INBOX_HOLDS:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Take in nothing more; `run` returns when all that was taken in is recorded."""
        self._inbox.put_nowait(None)

    async def watch_the_clock(self) -> None:
        """Let time pass: deadlines strike when they are due, and a clock that jumps is noticed."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now, by = self._clock.look()
            if by is not None:
                self._step_the_clock(now, by)
            elif not self._struck and self._deadlines and self._deadlines[0][0] <= now:
                self._struck = True  # one stroke at a time: a disk that is stuck must not fill the inbox
                self._inbox.put_nowait(_Heard(now, None, (ClockStruck(),)))

    def _step_the_clock(self, now: datetime, by: timedelta) -> None:
        log.warning("clock.stepped", by_s=round(by.total_seconds(), 3))
        self._inbox.put_nowait(_Heard(now, None, (ClockStepped(by=by),)))
        self._stepped(by)

    async def run(self) -> None:
        """Record what is heard, together what arrives together, until `close`."""
        loop = asyncio.get_running_loop()
        recorded_at_s = 0.0
        while (first := await self._inbox.get()) is not None:
            early_s = recorded_at_s + BETWEEN_RECORDS_S - loop.time()
            if early_s > 0.0 and self._held < TOGETHER_AT_MOST:
                await asyncio.sleep(early_s)  # what comes right after another waits for company
            steps, closing = self._take(first)
            if self._held <= INBOX_HOLDS:
                self._room.set()
            if steps:
                await self._record(steps)
                recorded_at_s = loop.time()
                for taken in steps:
                    for request in taken.requests:
                        if not self._ask(request) and isinstance(request, Book | Extend | Release):
                            self._refuse(taken.room.id, request)
                    for wish in taken.calendar_requests:
                        self._ask_calendar(taken.room.id, wish)
            if closing:
                return

    def _refuse(self, room: RoomId, request: Book | Extend | Release) -> None:
        """Nobody was asked, and the core does not ask again: a booking that comes late is worse than none."""
        why = "the device was not connected at that moment; give it again"
        refused = OrderRefused(device=request.device, command=request.command, why=why)
        self._held += 1
        self._inbox.put_nowait(_Heard(self._clock.now(), room, (refused,)))

    def _take(self, first: _Heard) -> tuple[list[Step], bool]:
        """Move the rooms by all that waits in the inbox. Second: whether nothing more will come."""
        steps: list[Step] = []
        heard: _Heard | None = first
        count = 0
        while heard is not None:
            count += len(heard.events)
            if heard.room is not None:
                self._held -= len(heard.events)
                for event in heard.events:
                    self._move(heard.room, event, heard.at, steps)
            else:
                for event in heard.events:
                    self._pass_time(event, heard.at, steps)
            if count >= TOGETHER_AT_MOST or self._inbox.empty():
                return steps, False
            heard = self._inbox.get_nowait()
        return steps, True

    def _pass_time(self, event: RoomEvent, now: datetime, steps: list[Step]) -> None:
        if isinstance(event, ClockStepped):
            for room in tuple(self._rooms):
                self._move(room, event, now, steps)
            return
        self._struck = False
        struck: list[RoomId] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            due, room = heapq.heappop(self._deadlines)
            if self._due.get(room) == due:
                self._due[room] = None
                struck.append(room)
        for room in struck:  # once each: a deadline that stays due must not hold up everybody else
            self._move(room, event, now, steps)
            if self._due[room] is None:
                self._plan(self._rooms[room])

    def _move(self, room_id: RoomId, event: RoomEvent, now: datetime, steps: list[Step]) -> None:
        before = self._rooms[room_id]
        taken = step(before, event, now=now, policy=self._policy)
        self.events_heard += 1
        self.events_ignored += taken.ignored
        told = taken.facts or taken.requests or taken.calendar_requests or taken.answers
        if taken.room is before and not told:
            return
        self._rooms[room_id] = taken.room
        steps.append(taken)
        if (
            taken.room.holds  # what is on a screen depends on all else
            or taken.room.commands is not before.commands
            or taken.room.bookings is not before.bookings
            or taken.room.devices is not before.devices
            or taken.room.calendars is not before.calendars
            or taken.room.heard is not before.heard
        ):
            self._plan(taken.room)  # nothing else has deadlines while its devices are heard

    def _plan(self, room: Room) -> None:
        due = next_deadline(room, self._policy)
        if due is not None and due != self._due.get(room.id):
            heapq.heappush(self._deadlines, (due, room.id))
        self._due[room.id] = due
