"""Carries out what commands have calendars do, and says of each order what is known of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol, assert_never

import structlog

from agent.core.commands import ANSWERS_WITHIN
from agent.core.events import (
    CalendarOrderEvent,
    CalendarOrderRefused,
    CalendarOrderTaken,
    CalendarOrderUnanswered,
)
from agent.core.facts import BookInCalendar, ExtendInCalendar, ReleaseInCalendar
from agent.core.model import CalendarKind, EntryId, RoomId
from cloud_link.calendars.errors import CalendarError, Throttled, Transient
from cloud_link.calendars.providers import Calendars
from cloud_link.calendars.reader import Deliver

log = structlog.get_logger()

# From when it was given: what is done later is done when a listing was already believed not to have it.
CARRIED_OUT_WITHIN_S: Final = ANSWERS_WITHIN.total_seconds() - 5
LAST_WORDS_WITHIN_S: Final = (
    2.0  # an order that nobody was asked about when we stop is answered, if anybody still listens
)

Order = BookInCalendar | ExtendInCalendar | ReleaseInCalendar


class Writable(Protocol):
    """One integration's rooms, as orders need them."""

    async def writing(self, room: RoomId) -> tuple[Calendars, str] | str:
        """The client to write with, and the room's address; or why there is none, in words."""
        ...

    def hint_room(self, room: RoomId) -> None:
        """Something may have changed in this room's calendar."""
        ...


class Orders:
    """What is ordered of the calendars of a site, `writable`; `deliver` takes the answers."""

    def __init__(
        self,
        writable: Mapping[CalendarKind, Writable],
        deliver: Deliver,
        *,
        within_s: float = CARRIED_OUT_WITHIN_S,
    ) -> None:
        self._writable = writable
        self._deliver = deliver
        self._within_s = within_s
        self._waiting: deque[tuple[RoomId, Order, float]] = deque()  # until when, in loop time
        self._given = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def give(self, room: RoomId, order: Order) -> None:
        """Have an order carried out; it is answered by `deliver`."""
        self._waiting.append((room, order, asyncio.get_running_loop().time() + self._within_s))
        self._given.set()

    async def run(self) -> None:
        """Until cancelled; whatever a cloud says or does is in an answer."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    while self._waiting:
                        room, order, until = self._waiting.popleft()
                        task = tasks.create_task(
                            self._answer(room, order, until), name=f"calendar order {order.command}"
                        )
                        self._under_way.add(task)
                        task.add_done_callback(self._under_way.discard)
                    self._given.clear()
                    await self._given.wait()
        finally:
            while self._waiting:
                room, order, _ = self._waiting.popleft()
                await self._refuse_unasked(room, order)

    async def until_idle(self) -> None:
        """Returns when every order that was begun is answered; each has its own end."""
        while self._waiting or self._under_way:
            self._given.set()
            await asyncio.sleep(0)  # for what waits to be begun
            if self._under_way:
                await asyncio.wait(self._under_way)

    async def _answer(self, room: RoomId, order: Order, until: float) -> None:
        # If we stop before the calendar has answered, nobody knows yet whether it was done: the next listing
        # shows it, or the core says in the end that it does not know.
        await self._deliver(room, (await self._carry_out(room, order, until),))

    async def _carry_out(self, room: RoomId, order: Order, until: float) -> CalendarOrderEvent:
        writable = self._writable.get(order.calendar)
        if writable is None:
            return _refused(order, f"no {order.calendar} account is configured")
        try:
            async with asyncio.timeout_at(until):
                found = await writable.writing(room)
        except TimeoutError:
            return _too_late(order)
        if isinstance(found, str):
            return _refused(order, found)
        if asyncio.get_running_loop().time() >= until:
            return _too_late(order)
        calendars, address = found
        try:
            async with asyncio.timeout_at(until):
                entry_id = await _write(calendars, address, order)
        except Throttled as error:
            return _refused(order, f"{error}; {error.mend}")
        except (Transient, TimeoutError) as error:
            # Perhaps it was done all the same: only the calendar itself can tell now.
            why = str(error) or "no answer in time"
            log.warning("calendars.order_unanswered", room=room, command=order.command, why=why)
            writable.hint_room(room)
            return CalendarOrderUnanswered(calendar=order.calendar, command=order.command)
        except CalendarError as error:
            return _refused(order, f"{error}; {error.mend}")
        writable.hint_room(room)
        return CalendarOrderTaken(calendar=order.calendar, command=order.command, entry_id=entry_id)

    async def _refuse_unasked(self, room: RoomId, order: Order) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS_WITHIN_S):
                await self._deliver(room, (_refused(order, "roomd stops: ask again"),))
        except TimeoutError:
            pass  # the core says itself that it does not know


async def _write(calendars: Calendars, address: str, order: Order) -> EntryId | None:
    """The id of the entry that it made, if it made one."""
    match order:
        case BookInCalendar():
            return await calendars.book(
                address,
                starts_at=order.starts_at,
                ends_at=order.ends_at,
                title=order.title,
                organizer=order.organizer,
                request_id=order.request_id,
            )
        case ExtendInCalendar():
            await calendars.extend(address, order.entry_id, ends_at=order.ends_at)
        case ReleaseInCalendar():
            await calendars.release(address, order.entry_id)
        case _:
            assert_never(order)
    return None


def _refused(order: Order, why: str) -> CalendarOrderRefused:
    return CalendarOrderRefused(calendar=order.calendar, command=order.command, why=why)


def _too_late(order: Order) -> CalendarOrderRefused:
    return _refused(order, "roomd could not turn to it in time, and nothing was done: ask again")
