"""The one road: what is heard goes through the core into one transaction, and only then further."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from agent.clock import Clock
from agent.core.attendance import plans_anew
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
Arrange = Callable[[Mapping[RoomId, Room], datetime], Mapping[RoomId, Room]]  # from the rooms that there are
Keep = Callable[[Sequence[Room], Sequence[Room]], Awaitable[None]]  # those that changed, those that are gone
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rearrangement:
    """Other rooms and another policy, in its place among what is heard."""

    arrange: Arrange
    keep: Keep
    policy: Policy
    done: asyncio.Future[None]


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
        self._inbox: asyncio.Queue[_Heard | _Rearrangement | None] = asyncio.Queue()  # bounded by `_held`
        self._busy_since_s: float | None = None  # loop time
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

    async def rearrange(self, arrange: Arrange, *, keep: Keep, policy: Policy) -> None:
        """Have other rooms, or another policy. All that was heard before meets the rooms that there were.

        `arrange` says what the rooms are to be; those that are new or other objects are `keep`t, and those
        that it leaves out are gone, before anything is heard again. Returns when that is so.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait(_Rearrangement(arrange=arrange, keep=keep, policy=policy, done=done))
        await done

    @property
    def busy_s(self) -> float:
        """For how long it has been at what it took from the inbox last (s); 0 while nothing is there."""
        return (
            0.0
            if self._busy_since_s is None
            else max(0.0, asyncio.get_running_loop().time() - self._busy_since_s)
        )

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
            self._busy_since_s = loop.time()
            early_s = recorded_at_s + BETWEEN_RECORDS_S - loop.time()
            if early_s > 0.0 and self._held < TOGETHER_AT_MOST:
                await asyncio.sleep(early_s)  # what comes right after another waits for company
            steps, then = self._take(first)
            if self._held <= INBOX_HOLDS:
                self._room.set()
            if steps:
                await self._carry_out(steps)
                recorded_at_s = loop.time()
            if isinstance(then, _Rearrangement):
                await self._rearrange(then)
            self._busy_since_s = None
            if then is None:
                return

    async def _carry_out(self, steps: Sequence[Step]) -> None:
        await self._record(steps)
        for taken in steps:
            for request in taken.requests:
                if not self._ask(request) and isinstance(request, Book | Extend | Release):
                    self._refuse(taken.room.id, request)
            for wish in taken.calendar_requests:
                self._ask_calendar(taken.room.id, wish)

    async def _rearrange(self, wish: _Rearrangement) -> None:
        now = self._clock.now()
        rooms = dict(wish.arrange(self._rooms, now))
        changed = [room for room in rooms.values() if room is not self._rooms.get(room.id)]
        await wish.keep(changed, [room for room in self._rooms.values() if room.id not in rooms])
        self._rooms, self._policy = rooms, wish.policy
        self._deadlines.clear()
        self._due.clear()
        for room in rooms.values():
            self._plan(room)
        steps: list[Step] = []
        for room in changed:  # what is to be shown, put or weighed of it may be another now
            self._move(room.id, ClockStruck(), now, steps)
        if steps:
            await self._carry_out(steps)
        if not wish.done.done():  # nobody waits any more
            wish.done.set_result(None)

    def _refuse(self, room: RoomId, request: Book | Extend | Release) -> None:
        """Nobody was asked, and the core does not ask again: a booking that comes late is worse than none."""
        why = "the device was not connected at that moment; give it again"
        refused = OrderRefused(device=request.device, command=request.command, why=why)
        self._held += 1
        self._inbox.put_nowait(_Heard(self._clock.now(), room, (refused,)))

    def _take(self, first: _Heard | _Rearrangement) -> tuple[list[Step], _Heard | _Rearrangement | None]:
        """Move the rooms by all that waits in the inbox, up to a rearrangement.

        Second: what was taken last; None: nothing more will come.
        """
        steps: list[Step] = []
        heard: _Heard | _Rearrangement | None = first
        count = 0
        while isinstance(heard, _Heard):
            count += len(heard.events)
            if heard.room is not None:
                self._held -= len(heard.events)
                for event in heard.events:
                    self._move(heard.room, event, heard.at, steps)
            else:
                for event in heard.events:
                    self._pass_time(event, heard.at, steps)
            if count >= TOGETHER_AT_MOST or self._inbox.empty():
                break
            heard = self._inbox.get_nowait()
        return steps, heard

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
        before = self._rooms.get(room_id)
        if before is None:  # its last words: it is not configured any more
            self.events_ignored += 1
            return
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
            or plans_anew(before, taken.room)
            or taken.room.calendars is not before.calendars
            or taken.room.heard is not before.heard
            or taken.room.releases is not before.releases
            or taken.room.third_party is not before.third_party
        ):
            self._plan(taken.room)  # nothing else has deadlines while its devices are heard

    def _plan(self, room: Room) -> None:
        due = next_deadline(room, self._policy)
        if due is not None and due != self._due.get(room.id):
            heapq.heappush(self._deadlines, (due, room.id))
        self._due[room.id] = due
