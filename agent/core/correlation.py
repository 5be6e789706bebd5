"""Ties booking requests to booking ids and meeting ids, and a listing to what was known: one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from enum import StrEnum
from hashlib import blake2b
from itertools import count
from typing import assert_never

from agent.core.events import (
    BookingCheckedIn,
    BookingCreated,
    BookingDeleted,
    BookingEnded,
    BookingEvent,
    BookingFailed,
    BookingMoved,
    BookingRequested,
    BookingsListed,
    BookingStarted,
    BookingsTouched,
    ListedBooking,
    SyncRequired,
)
from agent.core.facts import BookingFact, FactKind, ListBookings, Step
from agent.core.likeness import JUST_CREATED, Sighting, find, knows, pair, twin
from agent.core.model import (
    NO_MEETING,
    UNANSWERED_PHASES,
    Ability,
    Booking,
    BookingKey,
    BookingPhase,
    CalendarKind,
    DeviceId,
    DevicePhase,
    DeviceState,
    Meeting,
    MeetingId,
    Policy,
    Room,
)
from agent.core.renewing import replace

SETTLE = timedelta(seconds=1.5)  # pokes come in bursts: one listing answers them all
LISTING_OVERDUE = timedelta(seconds=30)  # a listing that has not come by then is asked for again
DEVICE_SPEAKS_WITHIN = timedelta(seconds=15)  # after a booking's start or end; then our clock speaks
DEVICE_RETURNS_WITHIN = timedelta(seconds=120)  # a device that is away may come back and know better
TIMEOUT_GRACE = timedelta(seconds=15)  # what a device takes to clear a request that timed out
LATE_ANSWER_EVERY = timedelta(seconds=30)  # listings for a request whose time is up and that is still listed
LATE_ANSWERS_FOR = timedelta(minutes=5)  # after that, the listings that come anyway will do
LIST_LAG = timedelta(seconds=5)  # a listing may show a booking for a moment that is deleted already
CLOCKS_DIFFER = timedelta(seconds=60)  # a device's clock from ours: what it drops so near its end is over
ZERO = timedelta(0)
REMEMBER_OVER = timedelta(minutes=10)  # so that an echo of something over does not raise it again
LADDER = tuple(timedelta(seconds=s) for s in (5, 15, 30, 60, 75))  # when firmware sends no answer we look
WHOLE_DAY = timedelta(hours=23)  # a local day has 23 hours in spring

GIVEN_UP_PHASES = frozenset({BookingPhase.FAILED, BookingPhase.EXPIRED})
WEBEX_IDS = "webex-"  # Webex Hybrid Calendar numbers its bookings webex-1, webex-2, …


# ── the table ─────────────────────────────────────────────────────────────────────────────────────


class Sign(StrEnum):
    """What was seen of a booking."""

    REQUESTED = "requested"  # somebody asked for it on a device
    NAMED = "named"  # it has a booking id, which does not last
    IDENTIFIED = "identified"  # it has an identity that lasts
    REFUSED = "refused"  # the backend said no
    OVERDUE = "overdue"  # nobody answered in time, and a listing shows it gone
    STARTED = "started"
    ENDED = "ended"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Move:
    """Where a sign leads, and what the cloud is told of it."""

    to: BookingPhase
    tells: FactKind | None


TRANSITIONS: Mapping[tuple[BookingPhase | None, Sign], Move] = {
    (None, Sign.REQUESTED): Move(BookingPhase.REQUESTED, FactKind.BOOKING_REQUESTED),
    (None, Sign.NAMED): Move(BookingPhase.PENDING, None),
    (None, Sign.IDENTIFIED): Move(BookingPhase.CONFIRMED, FactKind.BOOKING_CONFIRMED),
    (BookingPhase.REQUESTED, Sign.NAMED): Move(BookingPhase.PENDING, None),
    (BookingPhase.REQUESTED, Sign.IDENTIFIED): Move(BookingPhase.CONFIRMED, FactKind.BOOKING_CONFIRMED),
    (BookingPhase.REQUESTED, Sign.REFUSED): Move(BookingPhase.FAILED, FactKind.BOOKING_FAILED),
    (BookingPhase.REQUESTED, Sign.OVERDUE): Move(BookingPhase.EXPIRED, FactKind.BOOKING_EXPIRED),
    (BookingPhase.REQUESTED, Sign.DELETED): Move(BookingPhase.DELETED, FactKind.BOOKING_DELETED),
    (BookingPhase.PENDING, Sign.IDENTIFIED): Move(BookingPhase.CONFIRMED, FactKind.BOOKING_CONFIRMED),
    (BookingPhase.PENDING, Sign.REFUSED): Move(BookingPhase.FAILED, FactKind.BOOKING_FAILED),
    (BookingPhase.PENDING, Sign.OVERDUE): Move(BookingPhase.EXPIRED, FactKind.BOOKING_EXPIRED),
    (BookingPhase.PENDING, Sign.DELETED): Move(BookingPhase.DELETED, FactKind.BOOKING_DELETED),
    (BookingPhase.CONFIRMED, Sign.STARTED): Move(BookingPhase.STARTED, FactKind.BOOKING_STARTED),
    (BookingPhase.CONFIRMED, Sign.ENDED): Move(BookingPhase.ENDED, FactKind.BOOKING_ENDED),
    (BookingPhase.CONFIRMED, Sign.DELETED): Move(BookingPhase.DELETED, FactKind.BOOKING_DELETED),
    (BookingPhase.STARTED, Sign.ENDED): Move(BookingPhase.ENDED, FactKind.BOOKING_ENDED),
    (BookingPhase.STARTED, Sign.DELETED): Move(BookingPhase.DELETED, FactKind.BOOKING_DELETED),
    # A backend may answer after the device gave up, and a listing may show alive what was thought gone.
    (BookingPhase.FAILED, Sign.IDENTIFIED): Move(BookingPhase.CONFIRMED, FactKind.BOOKING_CONFIRMED),
    (BookingPhase.EXPIRED, Sign.IDENTIFIED): Move(BookingPhase.CONFIRMED, FactKind.BOOKING_CONFIRMED),
    (BookingPhase.DELETED, Sign.IDENTIFIED): Move(BookingPhase.CONFIRMED, FactKind.BOOKING_CONFIRMED),
    (BookingPhase.ENDED, Sign.IDENTIFIED): Move(BookingPhase.CONFIRMED, FactKind.BOOKING_CONFIRMED),
}


# ── what happens ──────────────────────────────────────────────────────────────────────────────────


def correlate(room: Room, event: BookingEvent, *, now: datetime, policy: Policy) -> Step:
    """Follow the room's bookings through what a device said of them.

    Returns the room with its bookings moved on, the facts in the order in which they happened, and no
    requests: listings fall due by `next_listing`.
    """
    step = Step(room=room)
    match event:
        case BookingRequested():
            return _requested(step, event, now, policy)
        case BookingCreated():
            return _created(step, event, now, policy)
        case BookingFailed():
            return _failed(step, event, now)
        case BookingMoved():
            return _moved(step, event, now, policy)
        case BookingStarted():
            return _told(step, event, Sign.STARTED, now)
        case BookingEnded(ended_at=at):
            return _told(step, event, Sign.ENDED, now, at=at)
        case BookingDeleted(cause=cause, at=at):
            return _told(step, event, Sign.DELETED, now, at=at, cause=cause)
        case BookingCheckedIn():
            return _checked_in(step, event, now)
        case BookingsTouched(device=device):
            return _look_again(step, device, now + SETTLE)
        case SyncRequired(device=device):
            return _look_again(step, device, now, recovering=True)
        case BookingsListed():
            return _listed(step, event, now, policy)
        case _:
            assert_never(event)


def strike(step: Step, *, now: datetime, policy: Policy, recovered: bool = False) -> Step:
    """Start and end what the clock says, give up stale requests, and ask for the listings that are due."""
    for booking in tuple(step.room.bookings.values()):
        due = _clock_speaks_at(step.room, booking)
        if due is None or due > now:
            continue
        in_gap = recovered or any(
            state.recovering for state in step.room.devices.values() if knows(state.id, booking)
        )
        match booking.phase:
            case BookingPhase.REQUESTED | BookingPhase.PENDING:
                step = advance(step, booking, Sign.OVERDUE, now, recovered=in_gap)
            case BookingPhase.STARTED:
                step = advance(step, booking, Sign.ENDED, now, at=booking.ends_at, recovered=in_gap)
            case _:
                step = advance(step, booking, Sign.STARTED, now, at=booking.starts_at, recovered=in_gap)
                started = step.room.bookings[booking.key]
                if (over := _clock_speaks_at(step.room, started)) is not None and over <= now:
                    step = advance(step, started, Sign.ENDED, now, at=booking.ends_at, recovered=in_gap)
    step = replace(step, room=forget(step.room, now))
    for device in step.room.devices.values():
        due = next_listing(step.room, device, policy)
        if due is not None and due <= now:
            asked = replace(device, asked_at=now, list_at=None)
            step = replace(
                step,
                room=_with_device(step.room, asked),
                requests=(*step.requests, ListBookings(device=device.id)),
            )
    return step


def set_right(booking: Booking, now: datetime) -> Booking:
    """The booking after a clock that was ahead was set back to `now`: what has not begun has not begun.

    What that clock ended is not over; the next listing raises it, if it still stands.
    """
    match booking.phase:
        case BookingPhase.STARTED if booking.starts_at > now + CLOCKS_DIFFER:
            return replace(booking, phase=BookingPhase.CONFIRMED)
        case BookingPhase.ENDED if booking.since >= booking.ends_at > now + CLOCKS_DIFFER:
            return replace(booking, phase=BookingPhase.DELETED)
        case _:
            return booking


def next_strike(room: Room, policy: Policy) -> datetime | None:
    """When `strike` has something to do next; derived from the room, so that a restart loses none."""
    due = [_clock_speaks_at(room, booking) for booking in room.bookings.values()]
    due += [next_listing(room, device, policy) for device in room.devices.values()]
    return min((instant for instant in due if instant is not None), default=None)


def next_listing(room: Room, device: DeviceState, policy: Policy) -> datetime | None:
    """When this device is to be asked for its list next; None while it is not connected, or knows none."""
    if device.phase is not DevicePhase.CONNECTED or Ability.BOOKINGS in device.lacks:
        return None
    if device.asked_at is not None:
        return device.asked_at + LISTING_OVERDUE
    if device.listed_at is None:
        return device.since
    due = [device.listed_at + policy.relist_every + _spread(device.id)]
    if device.list_at is not None:
        due.append(device.list_at)
    for booking in room.bookings.values():
        if booking.phase in UNANSWERED_PHASES and knows(device.id, booking):
            due += [rung for rung in _ladder(booking, device) if rung > device.listed_at]
    return min(due)


# ── one event each ────────────────────────────────────────────────────────────────────────────────


def _requested(step: Step, event: BookingRequested, now: datetime, policy: Policy) -> Step:
    sighting = Sighting(
        device=event.device,
        request_id=event.request_id,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        meeting=Meeting(title=event.title),
    )
    known = find(step.room, sighting, now)
    if known is not None and known.phase in GIVEN_UP_PHASES and now - known.since > JUST_CREATED:
        known = None  # the same request id, for the same time: they try again
    if known is None:
        booking = _new(step.room, sighting, event.starts_at, event.ends_at, now, policy)
        booking = replace(booking, requested_on=event.device, requested_at=now)
        return advance(step, booking, Sign.REQUESTED, now, first=True)
    if known.request_id is None and event.request_id is not None and known.live:
        return keep(step, replace(known, request_id=event.request_id, requested_on=event.device))
    return replace(step, ignored=step.ignored + 1)


def _created(step: Step, event: BookingCreated, now: datetime, policy: Policy) -> Step:
    sighting = Sighting(
        device=event.device,
        request_id=event.request_id,
        booking_id=event.booking_id,
        meeting_id=event.meeting_id,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        meeting=Meeting(
            title=event.title, organizer=event.organizer, organizer_address=event.organizer_address
        ),
        from_webex=event.booking_id.startswith(WEBEX_IDS),
    )
    known = find(step.room, sighting, now)
    if known is not None and _another_occurrence(known, sighting):
        known = None
    if known is None:
        # Only a listing says whether what nobody asked for here is private: its title waits for that.
        unasked = replace(sighting, meeting=None) if event.request_id is None else sighting
        booking = _new(step.room, unasked, event.starts_at, event.ends_at, now, policy)
        step = advance(step, booking, _sign_of(booking), now, first=True)
        return step if unasked is sighting else _look_again(step, event.device, now + SETTLE)
    if known.requested_on is None:
        sighting = replace(sighting, meeting=None)
    if known.phase in {BookingPhase.ENDED, BookingPhase.DELETED}:
        return _look_again(replace(step, ignored=step.ignored + 1), event.device, now + SETTLE)
    return _see(step, known, sighting, now, policy)


def _another_occurrence(known: Booking, seen: Sighting) -> bool:
    """Occurrences of a series may share a meeting id; a new one has a booking id and a start of its own."""
    named_otherwise = known.booking_ids.get(seen.device) not in {None, seen.booking_id}
    return named_otherwise and known.starts_at != seen.starts_at


def _failed(step: Step, event: BookingFailed, now: datetime) -> Step:
    waiting = [
        b for b in step.room.bookings.values() if b.phase in UNANSWERED_PHASES and knows(event.device, b)
    ]
    if event.request_id is not None:
        waiting = [b for b in waiting if b.request_id == event.request_id]
    if len(waiting) == 1:
        return advance(step, waiting[0], Sign.REFUSED, now, cause=event.cause)
    # Which one it was cannot be told, so nothing is: the listing will show.
    return _look_again(replace(step, ignored=step.ignored + 1), event.device, now + SETTLE)


def _moved(step: Step, event: BookingMoved, now: datetime, policy: Policy) -> Step:
    sighting = Sighting(device=event.device, booking_id=event.booking_id, meeting_id=event.meeting_id)
    known = find(step.room, sighting, now)
    if known is None or not known.live:
        return _look_again(replace(step, ignored=step.ignored + 1), event.device, now + SETTLE)
    moved = replace(sighting, starts_at=event.starts_at, ends_at=event.ends_at)
    return _see(step, known, moved, now, policy)


def _told(
    step: Step,
    event: BookingStarted | BookingEnded | BookingDeleted,
    sign: Sign,
    now: datetime,
    *,
    at: datetime | None = None,
    cause: str | None = None,
) -> Step:
    sighting = Sighting(device=event.device, booking_id=event.booking_id, meeting_id=event.meeting_id)
    known = find(step.room, sighting, now)
    if known is None or (known.phase, sign) not in TRANSITIONS:
        # It may be news of a booking that we have not seen yet.
        return _look_again(replace(step, ignored=step.ignored + 1), event.device, now + SETTLE)
    if event.booking_id is not None and event.device not in known.booking_ids:
        known = replace(known, booking_ids={**known.booking_ids, event.device: event.booking_id})
    if event.meeting_id is not None and known.meeting_id is None:
        known = replace(known, meeting_id=event.meeting_id)
    return advance(step, replace(known, seen_at=now), sign, now, at=at, cause=cause)


def _checked_in(step: Step, event: BookingCheckedIn, now: datetime) -> Step:
    sighting = Sighting(device=event.device, booking_id=event.booking_id, meeting_id=event.meeting_id)
    known = find(step.room, sighting, now)
    if known is None or not known.live:
        return _look_again(replace(step, ignored=step.ignored + 1), event.device, now + SETTLE)
    if known.checked_in_at is not None:
        return replace(step, ignored=step.ignored + 1)
    booking = replace(known, checked_in_at=now)
    step = keep(step, booking)
    return tell(step, check_in(booking, now)) if told_of(booking) else step


def check_in(booking: Booking, now: datetime) -> BookingFact:
    """That somebody confirmed the booking on a device."""
    return BookingFact(kind=FactKind.BOOKING_CHECKED_IN, at=booking.checked_in_at or now, booking=booking)


# ── the listing ───────────────────────────────────────────────────────────────────────────────────


def _listed(step: Step, event: BookingsListed, now: datetime, policy: Policy) -> Step:
    """Compare the device's list with what was known: the list is right, the difference becomes facts."""
    device = step.room.devices.get(event.device)
    recovered = device is None or device.recovering
    pairs = pair(step.room, event, renumbered=device is not None and device.renumbered)
    paired = {known.key for known, _ in pairs}
    relist = False
    for known in tuple(step.room.bookings.values()):
        if known.key not in paired and known.live and knows(event.device, known):
            step, again = _vanished(step, known, event, now, recovered=recovered)
            relist = relist or again
    for known, listed in pairs:
        step, again = _relisted(step, known, listed, event, now, policy, recovered=recovered)
        relist = relist or again
    if len(step.room.devices) > 1:
        for known, _ in pairs:
            step = _one_of_twins(step, known.key, now, recovered=recovered)
    taken = {id(listed) for _, listed in pairs}
    for listed in sorted(event.bookings, key=lambda b: (b.starts_at, b.booking_id)):
        if id(listed) not in taken and listed.ends_at > now:
            booking = _new(
                step.room, _sight(event.device, listed), listed.starts_at, listed.ends_at, now, policy
            )
            step = advance(step, booking, _sign_of(booking), now, first=True, recovered=recovered)
    if device is not None:
        closed = replace(
            step.room.devices[event.device],
            recovering=False,
            renumbered=False,
            asked_at=None,
            listed_at=min(event.asked_at, now),
        )
        step = replace(step, room=_with_device(step.room, closed))
        relist = relist or event.asked_at > now  # the clock was set back while the list was under way
    if relist:
        step = _look_again(step, event.device, now + LIST_LAG)
    return strike(step, now=now, policy=policy, recovered=recovered)


def _vanished(
    step: Step, known: Booking, event: BookingsListed, now: datetime, *, recovered: bool
) -> tuple[Step, bool]:
    """A booking no longer listed: over, deleted, or never answered. Second: look again soon."""
    if known.booking_ids.get(event.device) in event.unreadable or known.starts_at >= event.covers_until:
        return step, False
    if known.phase in UNANSWERED_PHASES:
        device = step.room.devices.get(event.device)
        if device is None or event.asked_at < asked_for_at(known) + device.booking_timeout:
            return step, False
        return advance(step, known, Sign.OVERDUE, now, recovered=recovered), False
    if known.ends_at <= now + (CLOCKS_DIFFER if known.phase is BookingPhase.STARTED else ZERO):
        if known.phase is BookingPhase.CONFIRMED:
            step = advance(step, known, Sign.STARTED, now, at=known.starts_at, recovered=recovered)
        known = step.room.bookings[known.key]
        return advance(step, known, Sign.ENDED, now, at=min(known.ends_at, now), recovered=recovered), False
    if known.seen_at >= event.asked_at:
        return step, True  # news of it came while the list was under way
    others = {d: b for d, b in known.booking_ids.items() if d != event.device}
    if others and any(
        d in step.room.devices and step.room.devices[d].phase is DevicePhase.CONNECTED for d in others
    ):
        return keep(
            step, replace(known, booking_ids=others)
        ), False  # another device of the room still has it
    return advance(step, known, Sign.DELETED, now, cause="deleted", recovered=recovered), False


def _relisted(
    step: Step,
    known: Booking,
    listed: ListedBooking,
    event: BookingsListed,
    now: datetime,
    policy: Policy,
    *,
    recovered: bool,
) -> tuple[Step, bool]:
    """A booking that was known and is listed. Second: look again soon, for this listing may be behind."""
    sighting = _sight(event.device, listed)
    if known.live:
        if known.seen_at >= event.asked_at and (known.starts_at, known.ends_at) != (
            listed.starts_at,
            listed.ends_at,
        ):
            return step, True  # it moved while the list was under way
        if (known.starts_at, known.ends_at) != (listed.starts_at, listed.ends_at):
            first = _first_teller(step.room, known)
            if first is not None and first != event.device:  # else two that disagree would move it for ever
                sighting = replace(sighting, starts_at=None, ends_at=None)
                step = _look_again(step, first, now)
        given_up = known.phase in UNANSWERED_PHASES and _given_up(step.room, event, known)
        return _see(step, known, sighting, now, policy, recovered=recovered, given_up=given_up), False
    if listed.ends_at <= now or (known.phase is BookingPhase.ENDED and listed.ends_at <= known.ends_at):
        return step, False
    if event.asked_at < known.since + LIST_LAG:
        return step, known.phase is BookingPhase.DELETED
    raised = _merge(known, sighting, now, policy)
    sign = _sign_of(raised)
    if sign is Sign.NAMED:
        return step, False
    return advance(step, raised, sign, now, recovered=recovered), False


def _one_of_twins(step: Step, key: BookingKey, now: datetime, *, recovered: bool) -> Step:
    """Make one of what two devices have told of as two, before they told it alike; the older one stays."""
    booking = step.room.bookings[key]
    other = twin(step.room, booking) if booking.live else None
    if other is None:
        return step
    older = next(b for b in step.room.bookings.values() if b.key in {key, other.key})
    younger = other if older.key == key else booking
    whole = replace(
        older,
        booking_ids={**older.booking_ids, **younger.booking_ids},
        meeting_id=older.meeting_id or younger.meeting_id,
        request_id=older.request_id or younger.request_id,
        requested_on=older.requested_on or younger.requested_on,
        requested_at=older.requested_at or younger.requested_at,
        checked_in_at=older.checked_in_at or younger.checked_in_at,
        seen_at=max(older.seen_at, younger.seen_at),
    )
    gone = replace(younger, booking_ids={}, meeting_id=None, request_id=None, requested_on=None)
    step = advance(step, gone, Sign.DELETED, now, cause="duplicate", recovered=recovered)
    step = keep(step, whole)
    if told_of(whole) and _told_differently(older, whole):
        fact = BookingFact(
            kind=FactKind.BOOKING_UPDATED, at=now, booking=whole, previous=older, recovered=recovered
        )
        step = tell(step, fact)
    return step


def _first_teller(room: Room, booking: Booking) -> DeviceId | None:
    """Whose word on a booking's times counts: the first that told of it, of the devices that are heard."""
    for device in booking.booking_ids:
        state = room.devices.get(device)
        if state is not None and state.phase is DevicePhase.CONNECTED and not state.recovering:
            return device
    return None


def _given_up(room: Room, event: BookingsListed, known: Booking) -> bool:
    """A device drops a request when its timeout is over; one listed after that, it holds for booked."""
    device = room.devices.get(event.device)
    return (
        device is not None and event.asked_at >= asked_for_at(known) + device.booking_timeout + TIMEOUT_GRACE
    )


# ── moving on ─────────────────────────────────────────────────────────────────────────────────────


def _see(
    step: Step,
    known: Booking,
    seen: Sighting,
    now: datetime,
    policy: Policy,
    *,
    recovered: bool = False,
    given_up: bool = False,
) -> Step:
    """Take over what was seen of a known booking; tells its new phase, else that it moved or changed."""
    booking = _merge(known, seen, now, policy)
    if given_up and booking.meeting_id is None and booking.booking_ids:
        booking = replace(booking, calendar=CalendarKind.ON_DEVICE)  # no backend has named it, and none will
    sign = _sign_of(booking) if booking.booking_ids or booking.meeting_id else Sign.REQUESTED
    if (
        known.phase not in {BookingPhase.CONFIRMED, BookingPhase.STARTED}
        and (known.phase, sign) in TRANSITIONS
    ):
        return advance(step, booking, sign, now, recovered=recovered)
    return step if booking is known else change(step, known, booking, now, recovered=recovered)


def change(step: Step, known: Booking, booking: Booking, now: datetime, *, recovered: bool = False) -> Step:
    """Keep a booking that was known otherwise, in its phase; tells that it moved, else that it changed."""
    step = keep(step, booking)
    if not told_of(known):
        return step
    if (known.starts_at, known.ends_at) != (booking.starts_at, booking.ends_at):
        kind = FactKind.BOOKING_MOVED
        if booking.phase is BookingPhase.STARTED and booking.starts_at > now:
            booking = replace(
                booking, phase=BookingPhase.CONFIRMED, since=now
            )  # put off: it will start again
            step = keep(step, booking)
    elif _told_differently(_remembered(known, booking) if recovered else known, booking):
        kind = FactKind.BOOKING_UPDATED
    else:
        return step
    return tell(step, BookingFact(kind=kind, at=now, booking=booking, previous=known, recovered=recovered))


def told_of(booking: Booking) -> bool:
    """Whether the cloud follows it: not before it is requested or confirmed, and no more when it is over."""
    return booking.live and (booking.phase is not BookingPhase.PENDING or booking.requested_at is not None)


def _remembered(known: Booking, booking: Booking) -> Booking:
    """As it was known, with what nobody keeps over a restart and is no news when it is heard again."""
    if known.meeting.organizer is not None or booking.meeting.organizer is None:
        return known
    return replace(known, meeting=replace(known.meeting, organizer=booking.meeting.organizer))


def _told_differently(known: Booking, booking: Booking) -> bool:
    was, is_ = known.meeting, booking.meeting
    if was.organizer_address != is_.organizer_address:  # nobody is told of it
        was = replace(was, organizer_address=is_.organizer_address)
    return (known.meeting_id, known.booking_id, was, known.calendar, known.join_pending) != (
        booking.meeting_id,
        booking.booking_id,
        is_,
        booking.calendar,
        booking.join_pending,
    )


def _merge(known: Booking, seen: Sighting, now: datetime, policy: Policy) -> Booking:
    """The booking with what was seen laid over it; the same value if nothing is new."""
    booking_ids = known.booking_ids
    if seen.booking_id is not None and booking_ids.get(seen.device) != seen.booking_id:
        booking_ids = {**booking_ids, seen.device: seen.booking_id}
    starts_at, ends_at = seen.starts_at or known.starts_at, seen.ends_at or known.ends_at
    merged = replace(
        known,
        request_id=known.request_id or seen.request_id,
        booking_ids=booking_ids,
        meeting_id=seen.meeting_id or known.meeting_id,
        starts_at=starts_at,
        ends_at=ends_at,
        all_day=_all_day(starts_at, ends_at, policy.timezone),
        meeting=_overlay(known, seen),
        calendar=_surer(known, _calendar(seen, requested=known.requested_on is not None), seen.meeting_id),
    )
    return known if merged == known else replace(merged, seen_at=now)


def _overlay(known: Booking, seen: Sighting) -> Meeting:
    """The meeting with what was seen of it. Of several devices the first one counts; others fill gaps."""
    before, said = known.meeting, seen.meeting
    if said is None:
        return before
    if seen.whole and next(iter(known.booking_ids), seen.device) == seen.device:
        return said
    return Meeting(
        title=None
        if before.private or said.private
        else (said.title if not seen.whole else None) or before.title,
        organizer=(said.organizer if not seen.whole else None) or before.organizer or said.organizer,
        organizer_address=(said.organizer_address if not seen.whole else None)
        or before.organizer_address
        or said.organizer_address,
        platform=before.platform or said.platform,
        join=before.join or said.join,
        ical_uid=before.ical_uid or said.ical_uid,
        private=before.private or said.private,
    )


def _new(
    room: Room, seen: Sighting, starts_at: datetime, ends_at: datetime, now: datetime, policy: Policy
) -> Booking:
    identity = seen.request_id or seen.meeting_id or seen.booking_id or ""
    return Booking(
        key=name_booking(room, identity, starts_at, now),
        phase=BookingPhase.REQUESTED,  # replaced by the move that follows
        since=now,
        seen_at=now,
        starts_at=starts_at,
        ends_at=ends_at,
        all_day=_all_day(starts_at, ends_at, policy.timezone),
        request_id=seen.request_id,
        meeting_id=seen.meeting_id,
        booking_ids={seen.device: seen.booking_id} if seen.booking_id is not None else {},
        meeting=seen.meeting or NO_MEETING,
        calendar=_calendar(seen, requested=seen.request_id is not None),
    )


def name_booking(room: Room, identity: str, starts_at: datetime, now: datetime) -> BookingKey:
    """A short name that no other booking of this room has: ids are reused, so the moment goes into it."""
    said = f"{room.id}\n{identity}\n{starts_at.isoformat()}\n{now.isoformat()}"
    keys = (BookingKey("b-" + _digest(f"{said}\n{turn}", 8).hex()) for turn in count())
    return next(key for key in keys if key not in room.bookings)


def _digest(text: str, size: int) -> bytes:
    return blake2b(text.encode(), digest_size=size).digest()


def _calendar(seen: Sighting, *, requested: bool) -> CalendarKind | None:
    if seen.booking_id is None:
        return None
    if seen.from_webex or seen.booking_id.startswith(WEBEX_IDS):
        return CalendarKind.HYBRID
    if requested:
        return CalendarKind.ON_DEVICE
    return CalendarKind.PUSHED if seen.meeting_id is None else CalendarKind.HYBRID


def _surer(known: Booking, seen: CalendarKind | None, meeting_id: MeetingId | None) -> CalendarKind | None:
    """A calendar once told stands, until a backend names a booking that was taken for the device's own."""
    if known.calendar is None:
        return seen
    if known.calendar is not CalendarKind.HYBRID and seen is CalendarKind.HYBRID and meeting_id is not None:
        return seen
    return known.calendar


def _all_day(starts_at: datetime, ends_at: datetime, timezone: tzinfo) -> bool:
    """No firmware says so: from midnight to midnight of the site is all day, however long that day is."""
    local = (starts_at.astimezone(timezone), ends_at.astimezone(timezone))
    return ends_at - starts_at >= WHOLE_DAY and all(t.time() == time.min for t in local)


def _sight(device: DeviceId, listed: ListedBooking) -> Sighting:
    meeting = replace(listed.meeting, title=None) if listed.meeting.private else listed.meeting
    return Sighting(
        device=device,
        booking_id=listed.booking_id,
        meeting_id=listed.meeting_id,
        starts_at=listed.starts_at,
        ends_at=listed.ends_at,
        meeting=meeting,
        whole=True,
        from_webex=listed.from_webex,
    )


def _sign_of(booking: Booking) -> Sign:
    """Whether its identity lasts: a meeting id, or its booking id on a calendar that gives nothing better."""
    if booking.meeting_id is not None or booking.calendar in {CalendarKind.ON_DEVICE, CalendarKind.PUSHED}:
        return Sign.IDENTIFIED
    return Sign.NAMED


def advance(
    step: Step,
    booking: Booking,
    sign: Sign,
    now: datetime,
    *,
    first: bool = False,
    at: datetime | None = None,
    cause: str | None = None,
    recovered: bool = False,
) -> Step:
    """Move a booking by the table, tell what the table says; what it does not know is counted and left."""
    move = TRANSITIONS.get((None if first else booking.phase, sign))
    if move is None:
        return replace(keep(step, booking), ignored=step.ignored + 1)
    moved = replace(booking, phase=move.to, since=now)
    step = keep(step, moved)
    if move.tells is None or not (first or sign is Sign.IDENTIFIED or told_of(booking)):
        return step
    fact = BookingFact(kind=move.tells, at=at or now, booking=moved, cause=cause, recovered=recovered)
    step = tell(step, fact)
    unheard_of = sign is Sign.IDENTIFIED and not first and not told_of(booking)
    return tell(step, check_in(moved, now)) if unheard_of and moved.checked_in_at else step


def keep(step: Step, booking: Booking) -> Step:
    """The step with this booking in its room."""
    return replace(step, room=replace(step.room, bookings={**step.room.bookings, booking.key: booking}))


def tell(step: Step, fact: BookingFact) -> Step:
    """The step with one fact more."""
    return replace(step, facts=(*step.facts, fact))


def forget(room: Room, now: datetime) -> Room:
    """The room without the bookings that have been over for so long that no echo of them comes."""
    kept = {
        key: booking
        for key, booking in room.bookings.items()
        if booking.live
        or booking.since + REMEMBER_OVER > now
        or (booking.phase is BookingPhase.ENDED and booking.ends_at + REMEMBER_OVER > now)
    }
    return room if len(kept) == len(room.bookings) else replace(room, bookings=kept)


# ── when ──────────────────────────────────────────────────────────────────────────────────────────


def _look_again(step: Step, device: DeviceId, at: datetime, *, recovering: bool = False) -> Step:
    """Have the device list its bookings at that time, or sooner if that was planned already."""
    state = step.room.devices.get(device)
    if state is None:
        return step
    due = at if state.list_at is None else min(at, state.list_at)
    return replace(
        step,
        room=_with_device(step.room, replace(state, list_at=due, recovering=state.recovering or recovering)),
    )


def _with_device(room: Room, device: DeviceState) -> Room:
    return replace(room, devices={**room.devices, device.id: device})


def asked_for_at(booking: Booking) -> datetime:
    """When the request was made, as far as it is known."""
    return booking.requested_at or booking.since


def _ladder(booking: Booking, device: DeviceState) -> Iterator[datetime]:
    """When to look for the answer of a request: often where firmware sends none, and when its time is up."""
    asked = asked_for_at(booking)
    if not device.answers_requests or booking.phase is BookingPhase.PENDING:
        yield from (asked + rung for rung in LADDER)
    yield asked + device.booking_timeout
    late = asked + device.booking_timeout + TIMEOUT_GRACE
    yield late
    if device.listed_at is not None and late <= device.listed_at < late + LATE_ANSWERS_FOR:
        yield device.listed_at + LATE_ANSWER_EVERY


def _clock_speaks_at(room: Room, booking: Booking) -> datetime | None:
    """When our clock moves this booking on, should nobody else; devices may say it first."""
    match booking.phase:
        case BookingPhase.REQUESTED | BookingPhase.PENDING | BookingPhase.STARTED:
            said_at = booking.ends_at
        case BookingPhase.CONFIRMED:
            said_at = booking.starts_at
        case BookingPhase.ENDED | BookingPhase.DELETED | BookingPhase.FAILED | BookingPhase.EXPIRED:
            return None
        case _:
            assert_never(booking.phase)
    speakers = [state for state in room.devices.values() if knows(state.id, booking)]
    if any(d.phase is DevicePhase.CONNECTED for d in speakers):
        back_since = [
            d.since for d in speakers if d.recovering
        ]  # its listing is on the way, and knows better
        return (
            max(said_at, *back_since) + DEVICE_SPEAKS_WITHIN if back_since else said_at + DEVICE_SPEAKS_WITHIN
        )
    return max(said_at, *(d.since + DEVICE_RETURNS_WITHIN for d in speakers)) if speakers else said_at


def _spread(device: DeviceId) -> timedelta:
    """Up to a minute, the same for a device every time: a site must not ask all its devices at once."""
    return timedelta(seconds=int.from_bytes(_digest(device, 2)) % 60)
