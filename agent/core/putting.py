"""The agenda that devices without a calendar of their own are given, so that they show a button to join."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import assert_never

from agent.core.agenda import GRANTED
from agent.core.belief import hear
from agent.core.correlation import check_in, keep, tell, told_of
from agent.core.devices import misconfigured
from agent.core.events import (
    AgendaPut,
    AgendaRefused,
    BookingCheckedIn,
    BookingCreated,
    BookingDeleted,
    BookingEnded,
    BookingEvent,
    BookingMoved,
    BookingsListed,
    BookingStarted,
)
from agent.core.facts import PutAgenda, PutBooking, Step
from agent.core.model import (
    Ability,
    BookingId,
    BookingKey,
    DeviceId,
    DevicePhase,
    DeviceState,
    Policy,
    Room,
)
from agent.core.renewing import replace

# What a device is given it lists back under the ids that we chose, and that is no news of it.
OURS = "roomd-"

PUT_EVERY = timedelta(seconds=5)
PUT_ANSWERED_WITHIN = timedelta(minutes=1)
PUT_RESTS = timedelta(minutes=10)  # before what was refused or not kept is given again
HYBRID_LASTS = timedelta(days=7)  # a device whose Hybrid Calendar is empty for so long has none any more
UNKEPT = "!"  # before the edition that a device refused, or did not keep
NOBODYS = "?"  # the edition of an earlier life of ours

SHOWS_HYBRID = (
    "It has Webex Hybrid Calendar, so that the room's agenda is not put on it: "
    "leave put_on_devices out of this room's calendar."
)


# ── what devices say of it ────────────────────────────────────────────────────────────────────────


def hear_bookings(room: Room, event: BookingEvent, *, now: datetime, policy: Policy) -> Step:
    """Follow what a device says of bookings, save what it only repeats of what we gave it."""
    match event:
        case BookingsListed():
            others = tuple(each for each in event.bookings if not _is_ours(each.booking_id))
            unreadable = frozenset(id_ for id_ in event.unreadable if not _is_ours(id_))
            step = hear(room, replace(event, bookings=others, unreadable=unreadable), now=now, policy=policy)
            return _seen(step, event, now)
        case (
            BookingCheckedIn(booking_id=id_)
            | BookingCreated(booking_id=id_)
            | BookingMoved(booking_id=id_)
            | BookingStarted(booking_id=id_)
            | BookingEnded(booking_id=id_)
            | BookingDeleted(booking_id=id_)
        ) if id_ is not None and _is_ours(id_):
            used = isinstance(event, BookingCheckedIn)
            return _used(Step(room=room), id_, now) if used else Step(room=room)
        case _:
            return hear(room, event, now=now, policy=policy)


def _used(step: Step, id_: BookingId, now: datetime) -> Step:
    booking = step.room.bookings.get(BookingKey(id_.removeprefix(OURS)))
    if booking is None or booking.checked_in_at is not None or not told_of(booking):
        return step
    booking = replace(booking, checked_in_at=now)
    return tell(keep(step, booking), check_in(booking, now))


def _seen(step: Step, event: BookingsListed, now: datetime) -> Step:
    """What a listing says of whether the device may be given an agenda, and whether it holds the last one."""
    state = step.room.devices.get(event.device)
    if state is None:
        return step
    listed = {each.booking_id for each in event.bookings if _is_ours(each.booking_id)}
    if any(each.from_webex for each in event.bookings):
        state = replace(state, hybrid_at=now)
    only_ours = listed and len(listed) == len(event.bookings)
    if state.put is None and only_ours and step.room.puts_agenda is False:
        state = replace(state, put=NOBODYS)
    wanted = _wanted(step.room)
    held = wanted is not None and state.put == _edition(wanted)
    since = state.put_next_at is None or event.asked_at + PUT_EVERY >= state.put_next_at
    if wanted is not None and held and since and not _is_there(wanted, listed, event, now):
        state = replace(state, put=UNKEPT + _edition(wanted), put_next_at=now)
    return _with(step, state)


def _is_there(
    wanted: Iterable[PutBooking], listed: set[BookingId], event: BookingsListed, now: datetime
) -> bool:
    """Whether all that is to come is listed; what is over the device may leave out, or not yet."""
    needed = {b.booking_id for b in wanted if b.starts_at > now and b.ends_at <= event.covers_until}
    return needed <= listed


def hear_put(room: Room, event: AgendaPut | AgendaRefused, *, now: datetime) -> Step:
    """Follow what a device said to the agenda that it was given."""
    state = room.devices.get(event.device)
    if state is None:
        return Step(room=room, ignored=1)
    match event:
        case AgendaPut(edition=edition):
            given = edition if room.puts_agenda else None  # what was taken back is forgotten
            state = replace(state, put=given, put_next_at=now + PUT_EVERY)
            return _explained(Step(room=room), state, None, now)
        case AgendaRefused(edition=edition, why=why):
            state = replace(state, put=UNKEPT + edition, put_next_at=now + PUT_EVERY)
            return _explained(Step(room=room), state, why, now)
        case _:
            assert_never(event)


# ── what they are given ───────────────────────────────────────────────────────────────────────────


def put(step: Step, *, now: datetime) -> Step:
    """After whatever happened: give the agenda to each device that may have it and holds another one."""
    for device in tuple(step.room.devices):
        step = _put_on(step, device, now)
    return step


def _put_on(step: Step, device: DeviceId, now: datetime) -> Step:
    room, state = step.room, step.room.devices[device]
    if _shows_hybrid(state, now):
        why = SHOWS_HYBRID if room.puts_agenda else None
        return _explained(step, replace(state, put=None), why, now)
    if state.put_why is not None and (state.put_why == SHOWS_HYBRID or not room.puts_agenda):
        step = _explained(step, state, None, now)
        state = step.room.devices[device]
    bookings = _for(room, state)
    if bookings is None or (due := _due(state, bookings)) is None or due > now:
        return step
    edition = _edition(bookings)
    step = _with(step, replace(state, put=None, put_next_at=now + PUT_ANSWERED_WITHIN))
    request = PutAgenda(device=device, edition=edition, bookings=bookings)
    return replace(step, requests=(*step.requests, request))


def next_put(room: Room) -> datetime | None:
    """When a device is to be given the agenda, that was given one a moment ago or refused it."""
    due = [
        _due(state, bookings)
        for state in room.devices.values()
        if state.put_next_at is not None
        and state.put_why != SHOWS_HYBRID
        and (bookings := _for(room, state)) is not None
    ]
    return min((instant for instant in due if instant is not None), default=None)


def _due(state: DeviceState, bookings: tuple[PutBooking, ...]) -> datetime | None:
    """When it is to be given these; None: it holds them."""
    edition = _edition(bookings)
    if state.put == edition:
        return None
    after = state.put_next_at or state.since
    return after + PUT_RESTS if state.put == UNKEPT + edition else after


def _for(room: Room, state: DeviceState) -> tuple[PutBooking, ...] | None:
    """What this device is to hold; None: it is left as it is."""
    heard = state.phase is DevicePhase.CONNECTED and not state.recovering and state.listed_at is not None
    if not heard or Ability.BOOKINGS in state.lacks:
        return None
    if room.puts_agenda:
        return _wanted(room)
    given = room.puts_agenda is False and state.put is not None
    return () if given else None  # what it was given while the site wanted it is taken back


def _wanted(room: Room) -> tuple[PutBooking, ...] | None:
    """What the believed linked calendar has; None while there is none that was ever read."""
    if not room.puts_agenda or room.believed is None or room.believed not in room.calendars:
        return None
    granted = (b for b in room.bookings.values() if b.phase in GRANTED and b.entries)
    return tuple(
        PutBooking(
            booking_id=BookingId(OURS + booking.key),
            starts_at=booking.starts_at,
            ends_at=booking.ends_at,
            title=None if booking.meeting.private else booking.meeting.title,
            join=booking.meeting.join,
            platform=booking.meeting.platform,
        )
        for booking in sorted(granted, key=lambda b: (b.starts_at, b.key))
    )


def _edition(bookings: tuple[PutBooking, ...]) -> str:
    """A short name for exactly this agenda, as a device keeps no more of it than we do."""
    said = repr([(b.booking_id, b.starts_at, b.ends_at, b.title, b.join, b.platform) for b in bookings])
    return blake2b(said.encode(errors="replace"), digest_size=8).hexdigest()


def _shows_hybrid(state: DeviceState, now: datetime) -> bool:
    return state.hybrid_at is not None and now < state.hybrid_at + HYBRID_LASTS


def _is_ours(id_: BookingId) -> bool:
    return id_.startswith(OURS)


def _explained(step: Step, state: DeviceState, why: str | None, now: datetime) -> Step:
    """The device with why it is not given the agenda, among its shortcomings; told where that is news."""
    before = state
    if state.put_why != why:
        others = tuple(words for words in state.shortcomings if words != state.put_why)
        state = replace(state, put_why=why, shortcomings=(*others, why) if why else others)
        step = replace(step, facts=(*step.facts, *(misconfigured(before, state, now) if why else ())))
    return _with(step, state)


def _with(step: Step, state: DeviceState) -> Step:
    if step.room.devices.get(state.id) == state:
        return step
    return replace(step, room=replace(step.room, devices={**step.room.devices, state.id: state}))


def shifted(state: DeviceState, by: timedelta) -> DeviceState:
    """A device after the clock jumped: what rests goes on resting as long."""

    def moved(instant: datetime | None) -> datetime | None:
        return None if instant is None else instant + by

    return replace(state, put_next_at=moved(state.put_next_at), hybrid_at=moved(state.hybrid_at))
