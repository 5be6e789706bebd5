"""The life of a room's linked calendars: read, out of reach, revoked; and which one is believed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from agent.core.belief import GRANTED, RUNGS, looks, next_settling, settle, take_entries
from agent.core.entries import NOT_IN_CALENDAR
from agent.core.events import CalendarListed, CalendarsLinked, CalendarTurned
from agent.core.facts import CalendarFact, FactKind, ListCalendar, Step
from agent.core.model import (
    Ability,
    Booking,
    BookingKey,
    CalendarKind,
    CalendarPhase,
    CalendarState,
    DevicePhase,
    Room,
)
from agent.core.renewing import replace
from agent.core.writing import waits_for

NEVER = datetime.max.replace(tzinfo=UTC)
FRESH_FOR = timedelta(minutes=30)  # a listing is believed so long: two or three polls may fail
FIRST_READ_WITHIN = timedelta(minutes=3)  # after a start, of 1,000 rooms; then the next is believed

TELLS: Mapping[CalendarPhase, FactKind | None] = {
    CalendarPhase.CONNECTING: None,
    CalendarPhase.ACTIVE: FactKind.CALENDAR_CONNECTED,
    CalendarPhase.DEGRADED: FactKind.CALENDAR_DEGRADED,
    CalendarPhase.CREDENTIAL: FactKind.CALENDAR_DEGRADED,
    CalendarPhase.CLOCK_SKEW: FactKind.CALENDAR_DEGRADED,
    CalendarPhase.REVOKED: FactKind.CALENDAR_REVOKED,
}
FOR_A_PERSON = frozenset({CalendarPhase.CREDENTIAL, CalendarPhase.CLOCK_SKEW, CalendarPhase.REVOKED})


# ── when the agent starts ─────────────────────────────────────────────────────────────────────────


def link(
    room: Room, kinds: tuple[CalendarKind, ...], writes: Collection[CalendarKind], *, now: datetime
) -> Room:
    """The room with exactly these linked calendars, the better first; none was read while we were down.

    A calendar that is linked no more is believed until the next one can be.
    """
    states = {
        kind: _unread(room.calendars[kind], now) if kind in room.calendars else _unknown(room, kind, now)
        for kind in kinds
    }
    states = {kind: replace(state, writes=kind in writes) for kind, state in states.items()}
    linked = bool(states) or room.believed is not None
    return replace(room, calendars=states, heard=_as_heard(room) if linked else None)


def _as_heard(room: Room) -> Mapping[BookingKey, Booking]:
    return room.bookings if room.heard is None else room.heard


def _unknown(room: Room, kind: CalendarKind, now: datetime) -> CalendarState:
    """A calendar that was not linked; if its last word stands for want of another, it does not count."""
    return CalendarState(kind=kind, since=now, stale=room.believed is kind)


def _unread(state: CalendarState, now: datetime) -> CalendarState:
    phase = state.phase if state.phase in FOR_A_PERSON else CalendarPhase.CONNECTING
    listed_at = None if state.listed_at is None else min(state.listed_at, now)
    return replace(
        state,
        phase=phase,
        since=min(state.since, now) if phase is state.phase else now,
        recovering=True,
        listed_at=listed_at,
        list_at=None,
        asked_at=None,
    )


# ── what happens to a calendar ────────────────────────────────────────────────────────────────────


def link_anew(room: Room, event: CalendarsLinked, *, now: datetime) -> Step:
    """The room with exactly these linked calendars; what was read of those that stay counts as before."""
    states = {
        kind: replace(room.calendars.get(kind) or _unknown(room, kind, now), writes=kind in event.writes)
        for kind in event.calendars
    }
    if list(states.items()) == list(room.calendars.items()):
        return Step(room=room)
    return Step(room=replace(room, calendars=states, heard=_as_heard(room)))


def turn_calendar(room: Room, event: CalendarTurned, *, now: datetime) -> Step:
    """Follow whether a linked calendar can be read; told once for each change, and when a person must act."""
    before = room.calendars.get(event.calendar)
    if before is None:
        return Step(room=room, ignored=1)
    if before.phase is event.phase and before.why == event.why:
        return Step(room=room)
    return _turned(Step(room=room), before, event.phase, event.why, now)


def _turned(step: Step, before: CalendarState, phase: CalendarPhase, why: str | None, now: datetime) -> Step:
    same = before.phase is phase
    active = phase is CalendarPhase.ACTIVE
    state = replace(
        before,
        phase=phase,
        since=before.since if same else now,
        why=None if active else why,
        recovering=before.recovering or not active,
        list_at=now
        if active and not same and before.recovering and before.list_at is None
        else before.list_at,
    )
    if phase is CalendarPhase.REVOKED:
        state = replace(
            state,
            stale=True,
            listed_at=None,
            covers_from=None,
            covers_until=None,
            list_at=None,
            asked_at=None,
        )
    step = _with(step, state)
    kind = TELLS[phase]
    if kind is None or (same and (phase not in FOR_A_PERSON or before.why == state.why)):
        return step
    cause = f"was: {before.why}" if active and before.why else state.why
    return _tell(step, CalendarFact(kind=kind, at=now, calendar=state.kind, state=state, cause=cause))


def list_calendar(room: Room, event: CalendarListed, *, now: datetime) -> Step:
    """Take in a listing: the calendar is read again, and is believed if no better one is.

    One that was asked for before another that came already knows less, and changes nothing.
    """
    state = room.calendars.get(event.calendar)
    if state is None or state.phase is CalendarPhase.REVOKED:
        return Step(room=room, ignored=1)
    asked_at = min(event.asked_at, now)
    if state.listed_at is not None and asked_at < state.listed_at:
        return Step(room=room, ignored=1)
    recovered = state.recovering
    step = Step(room=room)
    if state.phase is not CalendarPhase.ACTIVE and event.asked_at >= state.since:
        step = _turned(step, state, CalendarPhase.ACTIVE, None, now)
        state = step.room.calendars[state.kind]
    state = replace(
        state,
        listed_at=asked_at,
        covers_from=event.covers_from,
        covers_until=event.covers_until,
        recovering=state.phase is not CalendarPhase.ACTIVE,
        stale=False,
        list_at=now if event.asked_at > now else None,  # the clock was set back while it was on its way
    )
    step = _with(step, state)
    if _lapses_at(state) <= now or not _better(step.room, state.kind):
        return step
    switched = step.room.believed is not state.kind
    if switched:
        step = _switch(step, state.kind, now, cause=None)
    step = take_entries(step, event, now=now, recovered=recovered or switched)
    return settle(step, now=now, recovered=recovered or switched) if switched else step


def _better(room: Room, kind: CalendarKind) -> bool:
    """Whether this calendar goes before the believed one: it is it, or stands before, or that is lost."""
    believed = None if room.believed is None else room.calendars.get(room.believed)
    if believed is None or believed.stale or believed.kind is kind:
        return True
    order = list(room.calendars)
    return order.index(kind) < order.index(believed.kind)


# ── which one is believed ─────────────────────────────────────────────────────────────────────────


def reckon(step: Step, *, now: datetime) -> Step:
    """After whatever happened in a room with linked calendars: who is believed, and what follows from it."""
    step = _wither(step, now)
    believed = None if step.room.believed is None else step.room.calendars.get(step.room.believed)
    if step.room.believed is not None and (believed is None or believed.stale):
        step = settle(step, now=now)  # what its last word and the clock say comes before another's word
    step, left = _fall_back(step, now)
    step = settle(step, now=now, recovered=left, cause=NOT_IN_CALENDAR if left else None)
    for state in step.room.calendars.values():
        due = _next_listing(step.room, state)
        if due is not None and due <= now:
            step = _with(step, replace(state, asked_at=now, list_at=None))
            request = ListCalendar(calendar=state.kind)
            step = replace(step, calendar_requests=(*step.calendar_requests, request))
    if not step.room.calendars and step.room.believed is None:
        step = replace(step, room=replace(step.room, heard=None))
    return step


def next_reckoning(room: Room) -> datetime | None:
    """When the clock has something to say of linked calendars, or of bookings that only they know."""
    if room.heard is None:
        return None
    due = [next_settling(room)]
    due += [None if state.stale else _lapses_at(state) for state in room.calendars.values()]
    due += [_next_listing(room, state) for state in room.calendars.values()]
    return min((instant for instant in due if instant is not None and instant < NEVER), default=None)


def _wither(step: Step, now: datetime) -> Step:
    """A calendar that was not read for too long does not count, whatever it is called."""
    for state in tuple(step.room.calendars.values()):
        if state.stale or _lapses_at(state) > now:
            continue
        stale = replace(state, stale=True, recovering=True)
        step = _with(step, stale)
        if state.phase is CalendarPhase.ACTIVE and state.listed_at is not None:
            why = f"not read since {state.listed_at:%H:%M} UTC: roomd doctor says what stands in the way"
            step = _turned(step, stale, CalendarPhase.DEGRADED, why, now)
    return step


def _lapses_at(state: CalendarState) -> datetime:
    """Until when its last listing is believed."""
    if state.listed_at is None or state.covers_until is None:
        return NEVER
    until = min(state.listed_at + FRESH_FOR, state.covers_until)
    if state.phase is CalendarPhase.CONNECTING:
        until = max(until, state.since + FIRST_READ_WITHIN)
    return until


def _fall_back(step: Step, now: datetime) -> tuple[Step, bool]:
    """Believe the next calendar when the believed one does not count any more, as soon as there is a next.

    Until then its last word stands: a room is not shown as empty because nobody can be asked.
    """
    room = step.room
    if room.believed is None:
        return step, False
    state = room.calendars.get(room.believed)
    if state is not None and not state.stale:
        return step, False
    others = [other for other in room.calendars.values() if other is not state and not other.stale]
    for other in others:
        if other.phase is CalendarPhase.ACTIVE and other.listed_at is not None:
            on_its_way = other.asked_at is not None and other.asked_at > other.listed_at
            return (step if on_its_way else _with(step, replace(other, list_at=now))), False
    nobody_else = state is None and not room.devices and not room.calendars
    if not nobody_else and not (_devices_tell(room) and not _would_empty(room, now)):
        return step, False
    cause = "not linked any more" if state is None else state.why
    return _switch(step, None, now, cause=cause), True


def _switch(step: Step, believed: CalendarKind | None, now: datetime, *, cause: str | None) -> Step:
    before = step.room
    step = replace(step, room=replace(before, believed=believed))
    fact = CalendarFact(
        kind=FactKind.CALENDAR_SWITCHED,
        at=now,
        calendar=believed or devices_calendar(before),
        state=None if believed is None else step.room.calendars.get(believed),
        previous=before.believed or devices_calendar(before),
        cause=cause,
    )
    return _tell(step, fact)


def _devices_tell(room: Room) -> bool:
    """Whether devices are heard, and none of them has a list on its way."""
    connected = [
        device
        for device in room.devices.values()
        if device.phase is DevicePhase.CONNECTED and Ability.BOOKINGS not in device.lacks
    ]
    return bool(connected) and not any(d.recovering or d.listed_at is None for d in connected)


def _would_empty(room: Room, now: datetime) -> bool:
    """Whether devices know of nothing where something is booked: then they have not this calendar."""

    def granted(bookings: Mapping[BookingKey, Booking]) -> bool:
        return any(b.phase in GRANTED and b.ends_at > now for b in bookings.values())

    return granted(room.bookings) and not granted(room.heard or {})


def devices_calendar(room: Room) -> CalendarKind | None:
    """Which calendar stands behind what the devices say; None while they know of nothing."""
    kinds = [b.calendar for b in (room.heard or {}).values() if b.phase in GRANTED and b.calendar]
    if CalendarKind.HYBRID in kinds:
        return CalendarKind.HYBRID
    return kinds[-1] if kinds else None


# ── when ──────────────────────────────────────────────────────────────────────────────────────────


def _next_listing(room: Room, state: CalendarState) -> datetime | None:
    """When we want this calendar read, beside the times at which it is read anyway."""
    if state.phase is CalendarPhase.REVOKED:
        return None
    due = [] if state.list_at is None else [state.list_at]
    if room.believed is state.kind and state.listed_at is not None:
        answered = max(state.listed_at, state.asked_at or state.listed_at)
        due += [
            instant for instant in (*looks(room), *_looks_for_commands(room, state)) if instant > answered
        ]
    return min(due, default=None)


def _looks_for_commands(room: Room, state: CalendarState) -> Iterator[datetime]:
    """When a calendar is to be read for what it was ordered to do."""
    for command in room.commands.values():
        if waits_for(command, state.kind):
            yield from (command.at + rung for rung in RUNGS)


def shifted(state: CalendarState, by: timedelta, now: datetime) -> CalendarState:
    """A calendar after the clock jumped: what is fresh stays so, and by the new time another span counts."""

    def moved(instant: datetime | None) -> datetime | None:
        return None if instant is None else instant + by

    read = state.phase is not CalendarPhase.REVOKED and state.listed_at is not None
    return replace(
        state,
        since=state.since + by,
        listed_at=moved(state.listed_at),
        asked_at=moved(state.asked_at),
        list_at=now if read else None,
    )


def _with(step: Step, state: CalendarState) -> Step:
    return replace(step, room=replace(step.room, calendars={**step.room.calendars, state.kind: state}))


def _tell(step: Step, fact: CalendarFact) -> Step:
    return replace(step, facts=(*step.facts, fact))
