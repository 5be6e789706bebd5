"""What commands have linked calendars do: book, extend and release, where the site lets us write in them."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from agent.core.correlation import Sign, advance, keep, name_booking
from agent.core.events import (
    CalendarOrderEvent,
    CalendarOrderRefused,
    CalendarOrderTaken,
    CalendarOrderUnanswered,
)
from agent.core.facts import BookInCalendar, CalendarRequest, ExtendInCalendar, ReleaseInCalendar, Step
from agent.core.model import (
    UNANSWERED_PHASES,
    AnswerStatus,
    Booking,
    BookingPhase,
    CalendarKind,
    CalendarPhase,
    CalendarState,
    Command,
    CommandId,
    EntryId,
    Meeting,
    Room,
)
from agent.core.renewing import replace


def written_calendar(room: Room) -> CalendarKind | None:
    """The linked calendar to write in, before any device: the believed one, if it is reached and lets us."""
    state = believed_calendar(room)
    if state is None or not state.writes or state.phase is not CalendarPhase.ACTIVE:
        return None
    return state.kind


def believed_calendar(room: Room) -> CalendarState | None:
    """The linked calendar whose word counts now; None where the devices' word does."""
    state = None if room.believed is None else room.calendars.get(room.believed)
    return None if state is None or state.stale else state


def written_entry(room: Room, booking: Booking) -> tuple[CalendarKind, EntryId] | None:
    """Where a booking can be extended or released in a linked calendar; None: only a device may know how."""
    kind = written_calendar(room)
    entry_id = None if kind is None else booking.entries.get(kind)
    return None if kind is None or entry_id is None else (kind, entry_id)


def ask_to_book(step: Step, book: BookInCalendar, *, now: datetime) -> Step:
    """Have a calendar book the room: its booking waits for the listing that shows it."""
    booking = Booking(
        key=name_booking(step.room, book.request_id, book.starts_at, now),
        phase=BookingPhase.REQUESTED,
        since=now,
        seen_at=now,
        starts_at=book.starts_at,
        ends_at=book.ends_at,
        request_id=book.request_id,
        requested_at=now,
        meeting=Meeting(title=book.title),
    )
    return _ask(advance(step, booking, Sign.REQUESTED, now, first=True), book)


def ask_to_extend(
    step: Step, command: CommandId, entry: tuple[CalendarKind, EntryId], *, ends_at: datetime
) -> Step:
    """Have a calendar let an entry end later."""
    kind, entry_id = entry
    return _ask(step, ExtendInCalendar(calendar=kind, command=command, entry_id=entry_id, ends_at=ends_at))


def take_back(step: Step, command: Command, booking: Booking) -> Step:
    """Have a calendar remove what it made for a command and does not show as booked: the room declined."""
    for kind in command.calendars:
        if (entry_id := booking.entries.get(kind)) is not None:
            step = ask_to_release(step, command.id, (kind, entry_id))
    return step


def ask_to_release(step: Step, command: CommandId, entry: tuple[CalendarKind, EntryId]) -> Step:
    """Have a calendar decline or delete an entry."""
    kind, entry_id = entry
    return _ask(step, ReleaseInCalendar(calendar=kind, command=command, entry_id=entry_id))


def hear_calendar_back(
    step: Step,
    booking: Booking | None,
    event: CalendarOrderEvent,
    *,
    now: datetime,
) -> Step:
    """What a calendar's answer means to the booking that was asked for, which has not to be listed yet."""
    waiting = booking is not None and booking.phase in UNANSWERED_PHASES
    match event:
        case CalendarOrderTaken(calendar=kind, entry_id=entry_id):
            if booking is not None and waiting and entry_id is not None:
                step = keep(step, replace(booking, entries={**booking.entries, kind: entry_id}))
            return read_soon(step, kind, now=now)
        case CalendarOrderUnanswered(calendar=kind):
            return read_soon(step, kind, now=now)
        case CalendarOrderRefused():
            if booking is None or not waiting:
                return step
            return advance(step, booking, Sign.REFUSED, now, cause="declined")
        case _:
            assert_never(event)


def read_soon(step: Step, kind: CalendarKind, *, now: datetime) -> Step:
    """Have this calendar read at once, if it may be."""
    state = step.room.calendars.get(kind)
    if state is None or state.phase is CalendarPhase.REVOKED:
        return step
    calendars = {**step.room.calendars, kind: replace(state, list_at=now)}
    return replace(step, room=replace(step.room, calendars=calendars))


def waits_for(command: Command, kind: CalendarKind) -> bool:
    """Whether a command waits for what a listing of this calendar shows."""
    return command.status is AnswerStatus.ACCEPTED and kind in command.calendars


def _ask(step: Step, request: CalendarRequest) -> Step:
    return replace(step, calendar_requests=(*step.calendar_requests, request))
