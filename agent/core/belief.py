"""The agenda as the believed calendar has it: what linked calendars list and what devices say, made one.

A room without linked calendars believes its devices, and nothing here has a say in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.core.correlation import (
    CLOCKS_DIFFER,
    REMEMBER_OVER,
    SETTLE,
    TRANSITIONS,
    Sign,
    advance,
    asked_for_at,
    change,
    check_in,
    correlate,
    keep,
    name_booking,
    tell,
    told_of,
)
from agent.core.entries import (
    NOT_IN_CALENDAR,
    pair_echoes,
    pair_entries,
    pair_names,
    pair_words,
    taken_since,
    uid_of,
)
from agent.core.events import BookingEvent, CalendarEntry, CalendarListed
from agent.core.facts import BookingFact, Fact, FactKind, Step
from agent.core.model import (
    UNANSWERED_PHASES,
    Booking,
    BookingKey,
    BookingPhase,
    CalendarKind,
    CalendarState,
    Policy,
    Room,
)
from agent.core.renewing import replace

CALENDAR_LAG = timedelta(
    seconds=60
)  # until a calendar lists what a device has booked: the room accepts first
ANSWERS_WITHIN = timedelta(seconds=60)  # a calendar that a booking was asked of, as a device has it
CALENDAR_SPEAKS_WITHIN = timedelta(seconds=60)  # after a device gave a request up; then the device is right
GIVEN_UP_AFTER = timedelta(minutes=5)  # a booking asked of a calendar that is not read any more
RUNGS = tuple(timedelta(seconds=s) for s in (5, 15, 30, 61))  # looks for the entry of a request
DUPLICATE = "duplicate"
GRANTED = frozenset({BookingPhase.CONFIRMED, BookingPhase.STARTED})

SIGNS: Mapping[FactKind, Sign] = {
    FactKind.BOOKING_REQUESTED: Sign.REQUESTED,
    FactKind.BOOKING_CONFIRMED: Sign.IDENTIFIED,
    FactKind.BOOKING_FAILED: Sign.REFUSED,
    FactKind.BOOKING_EXPIRED: Sign.OVERDUE,
    FactKind.BOOKING_STARTED: Sign.STARTED,
    FactKind.BOOKING_ENDED: Sign.ENDED,
    FactKind.BOOKING_DELETED: Sign.DELETED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """When the agenda is settled, and by what circumstances."""

    now: datetime
    recovered: bool = False
    cause: str | None = None  # of what has to go


# ── what devices say ──────────────────────────────────────────────────────────────────────────────


def hear(room: Room, event: BookingEvent, *, now: datetime, policy: Policy) -> Step:
    """Follow what a device said of bookings. In a room with linked calendars, `settle` has the last word."""
    return through(room, lambda view: correlate(view, event, now=now, policy=policy), now=now)


def through(room: Room, take: Callable[[Room], Step], *, now: datetime) -> Step:
    """Let `take` see and move the bookings as devices have them; what it tells is told if it is believed."""
    if room.heard is None:
        return take(room)
    view = replace(room, bookings=room.heard)
    taken = take(view)
    if taken.room is view and not taken.facts:
        return replace(taken, room=room)
    after = replace(taken.room, bookings=room.bookings, heard=taken.room.bookings)
    step = replace(taken, room=after, facts=())
    step, names = _tie(step, now)
    for fact in taken.facts:
        step = _relay(step, fact, names) if isinstance(fact, BookingFact) else _pass_on(step, fact)
    return step


def _pass_on(step: Step, fact: Fact) -> Step:
    return replace(step, facts=(*step.facts, fact))


def _relay(step: Step, fact: BookingFact, names: Mapping[BookingKey, BookingKey]) -> Step:
    """Tell what a device made known, with its cause and its moment, where nobody better has a say in it."""
    room = step.room
    said = fact.booking
    key = names.get(said.key, said.key)
    booking = room.bookings.get(key)
    sign = SIGNS.get(fact.kind)
    if booking is not None and said.key != key:
        return step  # it was known by another name already: settling attaches what is new of it
    listed = booking is not None and _listed(room, booking)
    if listed and sign is Sign.DELETED and booking is not None:
        return keep(step, replace(booking, cause=fact.cause))  # the calendar will say so, and this is why
    if not _devices_say(room, booking or said) and not _may_say(booking, said, fact.kind, listed=listed):
        return step
    if sign is None:
        if booking is None or not told_of(booking):
            return step
        now_so = _as_said(booking, replace(said, phase=booking.phase))
        if booking.phase is BookingPhase.STARTED and said.starts_at > fact.at:
            now_so = replace(now_so, phase=BookingPhase.CONFIRMED)  # put off: it will start again
        return tell(keep(step, now_so), replace(fact, booking=now_so, previous=fact.previous and booking))
    move = TRANSITIONS.get((booking.phase if booking is not None else None, sign))
    if move is None or move.tells is not fact.kind:
        return step
    moved = replace(_as_said(booking, said), phase=move.to)
    if listed and booking is not None:
        moved = replace(_attached(booking, said), phase=move.to, since=said.since)
    return tell(keep(step, moved), replace(fact, booking=moved))


def _may_say(booking: Booking | None, said: Booking, kind: FactKind, *, listed: bool) -> bool:
    """Whether a device may tell this of a booking while a linked calendar is believed."""
    match kind:
        case FactKind.BOOKING_REQUESTED:
            return booking is None
        case FactKind.BOOKING_CONFIRMED | FactKind.BOOKING_FAILED:
            return booking is not None and booking.phase in UNANSWERED_PHASES
        case FactKind.BOOKING_STARTED | FactKind.BOOKING_ENDED:
            return booking is not None and _same_times(booking, said)
        case FactKind.BOOKING_DELETED | FactKind.BOOKING_MOVED | FactKind.BOOKING_UPDATED:
            return booking is not None and not listed
        case _:
            return False


def _tie(step: Step, now: datetime) -> tuple[Step, dict[BookingKey, BookingKey]]:
    """Give what devices tell of the key by which the agenda knows it. Second: new keys by old ones."""
    room, names = step.room, dict[BookingKey, BookingKey]()
    heard = room.heard or {}
    told = [b for b in room.bookings.values() if b.entries and not (b.key in heard and heard[b.key].live)]
    free = [b for b in told if b.live or b.phase is BookingPhase.DELETED]
    asked = [
        b
        for b in room.bookings.values()
        if b.live and b.entries and b.key in heard and heard[b.key].phase in UNANSWERED_PHASES
    ]
    if not free and not asked:
        return step, names
    loose = [
        _as_known(room, d)
        for d in heard.values()
        if d.live and not ((b := room.bookings.get(d.key)) is not None and b.live and b.entries)
    ]
    living = pair_words([b for b in free if b.live], loose)
    taken = {d.key for _, d in living}
    answered = pair_names(asked, [d for d in loose if d.key not in taken])
    taken |= {d.key for _, d in answered}
    left = [d for d in loose if d.key not in taken]
    dead = pair_words([b for b in free if not b.live], left, over=True)
    for booking, word in (*living, *answered, *dead):
        other = step.room.bookings.get(word.key)
        if other is not None and not booking.live:
            continue  # it goes by its newer name
        if other is not None:
            step = _one_of_two(step, booking, other, now)
        names[word.key] = booking.key
        step = replace(step, room=replace(step.room, heard=_renamed(step.room, heard[word.key], booking.key)))
    return step, names


def _as_known(room: Room, word: Booking) -> Booking:
    """What devices say, with the UID of the entry that it was when that stood: another one is another."""
    known = room.bookings.get(word.key)
    if known is None or word.meeting.ical_uid is not None or word.meeting_id != known.meeting_id:
        return word
    return replace(word, meeting=replace(word.meeting, ical_uid=known.meeting.ical_uid))


def _one_of_two(step: Step, booking: Booking, other: Booking, now: datetime) -> Step:
    """Make one of what a calendar and a device told of as two; the calendar's stays."""
    whole = replace(
        booking,
        request_id=booking.request_id or other.request_id,
        requested_on=booking.requested_on or other.requested_on,
        requested_at=booking.requested_at or other.requested_at,
        checked_in_at=booking.checked_in_at or other.checked_in_at,
    )
    gone = replace(other, booking_ids={}, meeting_id=None, request_id=None, requested_on=None, entries={})
    merged = keep(step, whole)
    return advance(merged, gone, Sign.DELETED, now, cause=DUPLICATE) if other.live else keep(merged, gone)


def _renamed(room: Room, word: Booking, key: BookingKey) -> dict[BookingKey, Booking]:
    """What devices say, with this word under that key, in its place: the older ones stand first."""
    heard = room.heard or {}
    return {
        key if old == word.key else old: replace(word, key=key) if old == word.key else each
        for old, each in heard.items()
        if old != key
    }


# ── what calendars list ───────────────────────────────────────────────────────────────────────────


def take_entries(step: Step, event: CalendarListed, *, now: datetime, recovered: bool) -> Step:
    """Take a listing of the believed calendar for the truth of its span; the difference becomes facts.

    What only others know is left to `settle`.
    """
    kind, room = event.calendar, step.room
    listed = {entry.entry_id: entry for entry in event.entries if entry.ends_at > entry.starts_at}
    entries = sorted(listed.values(), key=lambda e: (e.starts_at, e.entry_id))
    told = [b for b in room.bookings.values() if b.live]
    loose = [d for d in (room.heard or {}).values() if d.live and not _stands(room, d.key)]
    heard = [_as_known(room, d) for d in loose]
    pairs = pair_entries([*told, *heard], entries, kind, event.asked_at)
    taken = {entry.entry_id for _, entry in pairs}
    paired = {booking.key for booking, _ in pairs}
    for booking in told:
        if booking.key in paired or not _listed(room, booking):
            continue
        if _overlaps(booking, event):
            step = _vanished(step, booking, _Moment(now=now, recovered=recovered))
        elif (word := (room.heard or {}).get(booking.key)) is not None and word.live:
            entries_else = {k: e for k, e in booking.entries.items() if k is not kind}
            step = keep(step, replace(booking, entries=entries_else))  # devices moved it out of its sight
    for booking, entry in pairs:
        step = _relisted(step, booking, entry, event, now, recovered=recovered)
    left = [entry for entry in entries if entry.entry_id not in taken]
    over = [b for b in step.room.bookings.values() if not b.live]
    echoes = {entry.entry_id: booking for booking, entry in pair_echoes(over, left, kind)}
    for entry in left:
        if entry.ends_at <= now or taken_since(told, entry, event.asked_at):
            continue  # the next listing, which a request has made anyway, says which of both is there
        echo = echoes.get(entry.entry_id)
        if echo is None:
            new = _lay(_blank(step.room, entry, now), entry, kind, now)
            step = advance(step, new, Sign.IDENTIFIED, now, first=True, recovered=recovered)
        elif echo.phase is not BookingPhase.ENDED or entry.ends_at > echo.ends_at:
            again = _lay(replace(echo, cause=None), entry, kind, now)
            step = advance(step, again, Sign.IDENTIFIED, now, recovered=recovered)
    return step


def _vanished(step: Step, booking: Booking, moment: _Moment) -> Step:
    """An entry that is not listed any more: its booking is over, or deleted."""
    near = CLOCKS_DIFFER if booking.phase is BookingPhase.STARTED else timedelta(0)
    if booking.ends_at <= moment.now + near:
        return _end(step, booking.key, moment)
    return _close(step, booking.key, replace(moment, cause=booking.cause or "deleted"))


def _relisted(
    step: Step, known: Booking, entry: CalendarEntry, event: CalendarListed, now: datetime, *, recovered: bool
) -> Step:
    told = step.room.bookings.get(known.key)
    before = known if told is None else told
    booking = _lay(_attached(before, known), entry, event.calendar, now)
    if (word := (step.room.heard or {}).get(known.key)) is not None:
        booking = _joined(booking, word)  # else it would be taken away and given again with each listing
    if booking.cause is not None and event.asked_at >= _gone_since(step.room, booking) + CALENDAR_LAG:
        booking = replace(booking, cause=None)  # the calendar does not go along with the device
    if told is None:
        return (
            step
            if entry.ends_at <= now
            else advance(step, booking, Sign.IDENTIFIED, now, first=True, recovered=recovered)
        )
    if not told.live or told.phase in UNANSWERED_PHASES:
        over = told.phase is BookingPhase.ENDED and entry.ends_at <= told.ends_at
        if (told.phase, Sign.IDENTIFIED) not in TRANSITIONS or entry.ends_at <= now or over:
            return step
        raised = booking if told.live else replace(booking, cause=None)
        return advance(step, raised, Sign.IDENTIFIED, now, recovered=recovered)
    return step if booking == told else change(step, told, booking, now, recovered=recovered)


def _lay(booking: Booking, entry: CalendarEntry, calendar: CalendarKind, now: datetime) -> Booking:
    """The booking with what the calendar says of it laid over it; the same value if nothing is new."""
    title = None if entry.meeting.private else entry.meeting.title
    laid = replace(
        booking,
        starts_at=entry.starts_at,
        ends_at=entry.ends_at,
        all_day=entry.all_day,
        meeting=replace(entry.meeting, title=title, ical_uid=uid_of(entry)),
        join_pending=entry.join_pending,
        calendar=calendar,
        entries={**booking.entries, calendar: entry.entry_id},
    )
    return booking if laid == booking else replace(laid, seen_at=now)


def _blank(room: Room, entry: CalendarEntry, now: datetime) -> Booking:
    return Booking(
        key=name_booking(room, entry.entry_id, entry.starts_at, now),
        phase=BookingPhase.REQUESTED,  # replaced by the move that follows
        since=now,
        seen_at=now,
        starts_at=entry.starts_at,
        ends_at=entry.ends_at,
    )


# ── one agenda ────────────────────────────────────────────────────────────────────────────────────


def settle(step: Step, *, now: datetime, recovered: bool = False, cause: str | None = None) -> Step:
    """Put each booking where the believed calendar has it, or our clock; the difference becomes facts."""
    step, _ = _tie(step, now)
    moment = _Moment(now=now, recovered=recovered, cause=cause)
    for key in _in_order((*step.room.bookings.values(), *(step.room.heard or {}).values())):
        booking, word = step.room.bookings.get(key), (step.room.heard or {}).get(key)
        if word is not None and booking is not None:
            step, booking = _check_in_by(step, booking, word)
        standing = booking if booking is not None and booking.live else word
        if standing is None:
            continue
        if _devices_say(step.room, standing):
            step = _as_devices_say(step, key, booking, word, moment)
        elif booking is None or not booking.live:
            step = _asked_for(step, booking, word, now)
        elif _listed(step.room, booking):
            attached = booking if word is None else _attached(booking, word)
            step = step if attached == booking else change(step, booking, attached, now, recovered=recovered)
            step = _pass_time(step, key, word, moment)
        elif booking.phase in UNANSWERED_PHASES:
            step = _await(step, booking, word, moment)
        else:
            step = _doubt(step, booking, word, moment)
    return replace(step, room=_forget(step.room, now))


def _forget(room: Room, now: datetime) -> Room:
    """The room without what is long over; what a calendar may raise again keeps its key until its end."""
    kept = {key: b for key, b in room.bookings.items() if b.live or b.ends_at > now or _just_over(b, now)}
    return room if len(kept) == len(room.bookings) else replace(room, bookings=kept)


def _just_over(booking: Booking, now: datetime) -> bool:
    return max(booking.since, booking.ends_at) + REMEMBER_OVER > now


def _in_order(bookings: Iterable[Booking]) -> dict[BookingKey, None]:
    return dict.fromkeys(b.key for b in sorted(bookings, key=lambda b: (b.starts_at, b.key)))


def _check_in_by(step: Step, booking: Booking, word: Booking) -> tuple[Step, Booking]:
    if word.checked_in_at is None or booking.checked_in_at is not None or not booking.live:
        return step, booking
    used = replace(booking, checked_in_at=word.checked_in_at)
    step = keep(step, used)
    return (tell(step, check_in(used, word.checked_in_at)) if told_of(used) else step), used


def _kept(step: Step, booking: Booking) -> Step:
    return step if step.room.bookings.get(booking.key) == booking else keep(step, booking)


def _as_devices_say(
    step: Step, key: BookingKey, booking: Booking | None, word: Booking | None, moment: _Moment
) -> Step:
    """Believe the devices: where no linked calendar is believed, and beyond what it has listed."""
    if booking is None:
        return step if word is None or not word.live else _add(step, word, moment)
    if not booking.live:
        again = word is not None and word.phase in GRANTED and word.ends_at > moment.now
        if word is None or not again:
            return step
        if booking.phase is BookingPhase.ENDED and word.ends_at <= booking.ends_at:
            return step
        raised = replace(_as_said(booking, word), phase=booking.phase, cause=None)
        step = advance(step, raised, Sign.IDENTIFIED, moment.now, recovered=moment.recovered)
        return _pass_time(step, key, word, moment)
    if word is None and booking.phase in UNANSWERED_PHASES and booking.request_id is not None:
        return _await(step, booking, word, moment)  # it was asked of a calendar
    if word is None or not word.live:
        return _close_as(step, booking, word, moment)
    said = _as_said(booking, word)
    if booking.phase in UNANSWERED_PHASES:
        if word.phase in UNANSWERED_PHASES:
            return _kept(step, replace(said, phase=word.phase, since=word.since))
        step = advance(
            step, replace(said, phase=booking.phase), Sign.IDENTIFIED, moment.now, recovered=moment.recovered
        )
        return _pass_time(step, key, word, moment)
    said = replace(said, phase=booking.phase, since=booking.since)
    if said != booking:
        step = change(step, booking, said, moment.now, recovered=moment.recovered)
    return _pass_time(step, key, word, moment)


def _add(step: Step, word: Booking, moment: _Moment) -> Step:
    if word.phase in GRANTED:
        step = advance(step, word, Sign.IDENTIFIED, moment.now, first=True, recovered=moment.recovered)
        return _pass_time(step, word.key, word, moment)
    if word.requested_at is not None:
        step = advance(step, word, Sign.REQUESTED, word.requested_at, first=True, recovered=moment.recovered)
    return keep(step, word)


def _asked_for(step: Step, booking: Booking | None, word: Booking | None, now: datetime) -> Step:
    """A request on a device is told of, whichever calendar is believed; other news of it waits for that."""
    asked = word is not None and word.phase in UNANSWERED_PHASES and word.requested_at is not None
    if booking is not None or word is None or not asked:
        return step
    return _add(step, word, _Moment(now=now))


def _await(step: Step, booking: Booking, word: Booking | None, moment: _Moment) -> Step:
    """A request, which either side may confirm, and which is given up when a listing shows it gone."""
    now = moment.now
    if word is None:
        overdue = asked_for_at(booking) + ANSWERS_WITHIN
        listed = _listed_since(step.room, overdue) or now >= asked_for_at(booking) + GIVEN_UP_AFTER
        gone = listed and now >= overdue
        return advance(step, booking, Sign.OVERDUE, now, recovered=moment.recovered) if gone else step
    said = replace(_as_said(booking, word), phase=booking.phase, since=booking.since)
    match word.phase:
        case BookingPhase.REQUESTED | BookingPhase.PENDING:
            return _kept(step, replace(said, phase=word.phase, since=word.since))
        case BookingPhase.CONFIRMED | BookingPhase.STARTED:
            step = advance(step, said, Sign.IDENTIFIED, now, recovered=moment.recovered)
            return _pass_time(step, booking.key, word, moment)
        case BookingPhase.EXPIRED:
            late = now >= word.since + CALENDAR_SPEAKS_WITHIN
            if not late and not _listed_since(step.room, word.since):
                return step
    return _close_as(step, said, word, moment)


def _doubt(step: Step, booking: Booking, word: Booking | None, moment: _Moment) -> Step:
    """What was granted and is not in the believed calendar: a while for it to get there, then it goes."""
    if word is not None and not word.live:
        return _close_as(step, booking, word, moment)
    if _listed_since(step.room, booking.since + CALENDAR_LAG):
        return _close(step, booking.key, replace(moment, cause=NOT_IN_CALENDAR))
    if word is not None and word.phase in GRANTED:
        said = replace(_as_said(booking, word), phase=booking.phase, since=booking.since)
        if said != booking:
            step = change(step, booking, said, moment.now, recovered=moment.recovered)
    return _pass_time(step, booking.key, word, moment)


def _close_as(step: Step, booking: Booking, word: Booking | None, moment: _Moment) -> Step:
    """End a booking the way in which the devices ended it."""
    step = keep(step, booking)
    if booking.phase in UNANSWERED_PHASES and word is not None:
        sign = {BookingPhase.FAILED: Sign.REFUSED, BookingPhase.EXPIRED: Sign.OVERDUE}.get(word.phase)
        if sign is not None:
            return advance(step, booking, sign, moment.now, cause=booking.cause, recovered=moment.recovered)
    if word is not None and word.phase is BookingPhase.ENDED and booking.phase in GRANTED:
        return _end(step, booking.key, moment)
    gone = booking.cause or moment.cause or (NOT_IN_CALENDAR if word is None else "deleted")
    return _close(step, booking.key, replace(moment, cause=gone))


def _close(step: Step, key: BookingKey, moment: _Moment) -> Step:
    """Take a booking off the agenda: it is over if its time is, and deleted if not."""
    booking = step.room.bookings[key]
    if booking.ends_at <= moment.now and booking.phase in GRANTED:
        return _end(step, key, moment)
    gone = replace(booking, cause=moment.cause)
    return advance(step, gone, Sign.DELETED, moment.now, cause=moment.cause, recovered=moment.recovered)


def _pass_time(step: Step, key: BookingKey, word: Booking | None, moment: _Moment) -> Step:
    """Start and end a granted booking: with the device, where one speaks of it, else by our clock."""
    booking = step.room.bookings[key]
    if word is not None and _speaks(word, booking):
        if word.phase is BookingPhase.STARTED:
            return _start(step, key, moment)
        return _end(step, key, moment) if word.phase is BookingPhase.ENDED else step
    if booking.phase in GRANTED and booking.ends_at <= moment.now:
        return _end(step, key, moment)
    return _start(step, key, moment) if booking.starts_at <= moment.now else step


def _start(step: Step, key: BookingKey, moment: _Moment) -> Step:
    booking = step.room.bookings[key]
    if booking.phase is not BookingPhase.CONFIRMED:
        return step
    at = min(booking.starts_at, moment.now)
    return advance(step, booking, Sign.STARTED, moment.now, at=at, recovered=moment.recovered)


def _end(step: Step, key: BookingKey, moment: _Moment) -> Step:
    step = _start(step, key, moment) if step.room.bookings[key].starts_at <= moment.now else step
    booking = step.room.bookings[key]
    at = min(booking.ends_at, moment.now)
    return advance(step, booking, Sign.ENDED, moment.now, at=at, recovered=moment.recovered)


# ── what is known ─────────────────────────────────────────────────────────────────────────────────


def _state(room: Room) -> CalendarState | None:
    return None if room.believed is None else room.calendars.get(room.believed)


def _devices_say(room: Room, booking: Booking) -> bool:
    """Whether the devices' word on it is believed: no calendar is, or it has not listed so far ahead."""
    if room.believed is None:
        return True
    state = _state(room)
    if state is None or state.covers_until is None or room.believed in booking.entries:
        return False
    return booking.starts_at >= state.covers_until


def _listed(room: Room, booking: Booking) -> bool:
    """Whether the believed calendar has it in its last listing."""
    return booking.phase in GRANTED and room.believed is not None and room.believed in booking.entries


def _listed_since(room: Room, instant: datetime) -> bool:
    state = _state(room)
    return state is not None and state.listed_at is not None and state.listed_at >= instant


def _stands(room: Room, key: BookingKey) -> bool:
    booking = room.bookings.get(key)
    return booking is not None and booking.live


def _overlaps(booking: Booking, event: CalendarListed) -> bool:
    return booking.starts_at < event.covers_until and booking.ends_at > event.covers_from


def _same_times(one: Booking, other: Booking) -> bool:
    return (one.starts_at, one.ends_at) == (other.starts_at, other.ends_at)


def _speaks(word: Booking, booking: Booking) -> bool:
    """Whether a device knows the booking as it is, and will say when it starts and ends."""
    return word.phase in {*GRANTED, BookingPhase.ENDED} and _same_times(word, booking)


def _gone_since(room: Room, booking: Booking) -> datetime:
    word = (room.heard or {}).get(booking.key)
    return booking.seen_at if word is None else word.since


def _attached(booking: Booking, word: Booking) -> Booking:
    """The booking as a calendar has it, with the ids by which devices know it, and their link to join by."""
    return replace(
        _joined(booking, word),
        request_id=booking.request_id or word.request_id,
        requested_on=booking.requested_on or word.requested_on,
        requested_at=booking.requested_at or word.requested_at,
        meeting_id=word.meeting_id or booking.meeting_id,
        booking_ids=word.booking_ids if word.live else booking.booking_ids,
        checked_in_at=booking.checked_in_at or word.checked_in_at,
    )


def _joined(booking: Booking, word: Booking) -> Booking:
    """The booking with the device's link to join by, where the calendar has none."""
    if booking.meeting.join is not None or word.meeting.join is None or not word.live:
        return booking
    joined = replace(booking.meeting, join=word.meeting.join, platform=word.meeting.platform)
    return replace(booking, meeting=joined, join_pending=False)


def _as_said(booking: Booking | None, word: Booking) -> Booking:
    """The booking as devices have it, with the ids by which calendars know it."""
    if booking is None:
        return word
    meeting = replace(word.meeting, ical_uid=word.meeting.ical_uid or booking.meeting.ical_uid)
    if booking.entries and meeting.join is None:  # a calendar out of reach has not taken its link back
        meeting = replace(meeting, join=booking.meeting.join, platform=booking.meeting.platform)
    return replace(
        word,
        key=booking.key,
        request_id=word.request_id or booking.request_id,
        requested_on=word.requested_on or booking.requested_on,
        requested_at=word.requested_at or booking.requested_at,
        meeting_id=word.meeting_id or booking.meeting_id,
        meeting=meeting,
        calendar=word.calendar or booking.calendar,
        checked_in_at=word.checked_in_at or booking.checked_in_at,
        entries=booking.entries,
        cause=booking.cause,
    )


# ── when ──────────────────────────────────────────────────────────────────────────────────────────


def next_settling(room: Room) -> datetime | None:
    """When our clock moves a booking on that no device speaks of, or a request is given up."""
    heard = room.heard or {}
    due = (_settles_at(booking, heard.get(key)) for key, booking in room.bookings.items())
    return min((instant for instant in due if instant is not None), default=None)


def _settles_at(booking: Booking, word: Booking | None) -> datetime | None:
    match booking.phase:
        case BookingPhase.REQUESTED | BookingPhase.PENDING if word is None:
            return asked_for_at(booking) + GIVEN_UP_AFTER
        case BookingPhase.REQUESTED | BookingPhase.PENDING:
            expired = word is not None and word.phase is BookingPhase.EXPIRED
            return word.since + CALENDAR_SPEAKS_WITHIN if expired and word is not None else None
        case BookingPhase.CONFIRMED if word is None or not _speaks(word, booking):
            return booking.starts_at
        case BookingPhase.STARTED if word is None or not _speaks(word, booking):
            return booking.ends_at
        case _:
            return None


def looks(room: Room) -> Iterable[datetime]:
    """When the believed calendar is to be read for what devices say and it has not listed yet."""
    heard = room.heard or {}
    for key, booking in room.bookings.items():
        word = heard.get(key)
        if not booking.live:
            continue
        if booking.phase in UNANSWERED_PHASES:
            yield from (asked_for_at(booking) + rung for rung in RUNGS)
            if word is not None and not word.live:
                yield word.since
        elif not _listed(room, booking) and not _devices_say(room, booking):
            yield booking.since + CALENDAR_LAG
        elif word is not None and _listed(room, booking):
            gone = word.phase is BookingPhase.DELETED and booking.cause is not None
            if gone or (word.live and not _same_times(word, booking)):
                yield word.since + SETTLE
                yield word.seen_at + SETTLE
                yield word.seen_at + CALENDAR_LAG
    for key, word in heard.items():
        fresh = word.phase is BookingPhase.CONFIRMED  # once begun, it was looked for already
        if fresh and not _devices_say(room, word) and not _stands(room, key):
            yield word.since + SETTLE
            yield word.since + CALENDAR_LAG
