"""A room at a glance: free, booked, held, in use, empty or unknown, in words; and which rooms are free."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Final, assert_never

from agent.core.agenda import GRANTED, Agenda, agenda
from agent.core.model import (
    Booking,
    BookingPhase,
    CalendarPhase,
    DevicePhase,
    Hold,
    Occupancy,
    ReleaseAttempt,
    ReleasePhase,
    Room,
    RoomId,
    Transport,
)

OF_THE_DAY = frozenset({BookingPhase.ENDED, *GRANTED, BookingPhase.REQUESTED, BookingPhase.PENDING})


class Condition(StrEnum):
    """What somebody who looks for a room wants to know first."""

    FREE = "free"
    BOOKED = "booked"  # and used, as far as can be told
    HELD = "held"
    IN_USE = "in_use"  # and not booked
    EMPTY = "empty"  # booked, and nobody is there, for sure
    UNKNOWN = "unknown"  # no device is heard, and no calendar is fresh


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """A room as it is now."""

    condition: Condition
    words: str  # such as "Free until 14:30", in the site's time
    until: datetime | None  # when bookings and holds will change that, as far as they are known; UTC
    current: Booking | None  # that is on, also one that is asked for from now on and not answered yet
    next: Booking | None
    hold: Hold | None  # that stands now
    agenda: Agenda
    day: tuple[Booking, ...]  # of the site's day, by start, with those that are just over


def glance(room: Room, *, now: datetime, zone: tzinfo) -> Glance:
    """How a room looks now; `zone` is the site's, in which the words tell times."""
    known = agenda(room, now=now)
    current = known.current or next((b for b in known.bookings if b.starts_at <= now), None)
    hold = standing_hold(room, now=now)
    condition = _condition(room, known, current, hold)
    until = _until(room, known, condition, current, hold, now)
    return Glance(
        condition=condition,
        words=_words(room, known, current, condition, until, _Times(now=now, zone=zone)),
        until=until,
        current=current,
        next=known.next,
        hold=hold,
        agenda=known,
        day=_day(room, now, zone),
    )


def standing_hold(room: Room, *, now: datetime) -> Hold | None:
    """The hold that keeps the room for somebody now; a plain message is none."""
    holds = (h for h in room.holds.values() if h.live and not h.plain)
    return min(
        (h for h in holds if h.starts_at <= now < h.ends_at), key=lambda h: (h.starts_at, h.id), default=None
    )


def warned_release(room: Room) -> ReleaseAttempt | None:
    """What is about to be released while the room is asked whether anybody is there; None: nothing is."""
    asked = (
        each
        for each in room.releases.values()
        if each.phase is ReleasePhase.WARNED and each.prompt is not None and each.acts_at is not None
    )
    return next(asked, None)


def somebody(occupancy: Occupancy) -> bool | None:
    """Whether anybody is there; None: nobody can tell, which is not no."""
    signs = (
        None if occupancy.people is None else occupancy.people > 0,
        occupancy.presence,
        occupancy.in_use,
        occupancy.in_call,
        occupancy.sharing,
    )
    if any(signs):
        return True
    return False if occupancy.in_use is False else None


# ── which rooms are free ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A room that somebody may want."""

    room: Room
    name: str
    capacity: int | None  # None: not known


def free_rooms(
    candidates: Iterable[Candidate], *, span: timedelta, people: int, now: datetime, zone: tzinfo
) -> tuple[tuple[RoomId, Glance], ...]:
    """Rooms that are free now and stay so for this span, the smallest that fits these people first.

    Rooms of unknown capacity come last. A room that is held, in use or unknown is not free, nor is one whose
    bookings nobody has ever told us of.
    """
    fitting = []
    for each in candidates:
        if each.capacity is not None and each.capacity < people:
            continue
        seen = glance(each.room, now=now, zone=zone)
        if is_free(each.room, seen, span=span, now=now):
            fitting.append((each, seen))
    fitting.sort(key=lambda found: (found[0].capacity is None, found[0].capacity or 0, found[0].name))
    return tuple((each.room.id, seen) for each, seen in fitting)


def is_free(room: Room, seen: Glance, *, span: timedelta, now: datetime) -> bool:
    """Whether a room is free now, and nothing that is booked, asked for or held begins within the span."""
    if seen.condition is not Condition.FREE or not bookings_known(seen.agenda):
        return False
    taken_at = _taken_at(room, seen.agenda, now)
    return taken_at is None or taken_at >= now + span


def bookings_known(known: Agenda) -> bool:
    """Whether anybody has told us what is booked; how long ago, `fresh` and `as_of` say."""
    return known.fresh or known.as_of is not None


def _taken_at(room: Room, known: Agenda, now: datetime) -> datetime | None:
    """When somebody else has the room next."""
    holds = (h.starts_at for h in room.holds.values() if h.live and not h.plain and h.ends_at > now)
    return min((*(b.starts_at for b in known.bookings), *holds), default=None)


# ── how it is found ───────────────────────────────────────────────────────────────────────────────


def _condition(room: Room, known: Agenda, current: Booking | None, hold: Hold | None) -> Condition:
    heard = any(device.phase is DevicePhase.CONNECTED for device in room.devices.values())
    if room.third_party and not room.devices and not room.calendars:
        heard = somebody(room.occupancy) is not None  # it is there to be used, and nobody books it
    if not heard and not known.fresh:
        return Condition.UNKNOWN
    there = somebody(room.occupancy)
    if current is not None:
        return Condition.EMPTY if there is False else Condition.BOOKED
    if hold is not None:
        return Condition.HELD
    return Condition.IN_USE if there else Condition.FREE


def _until(
    room: Room, known: Agenda, condition: Condition, current: Booking | None, hold: Hold | None, now: datetime
) -> datetime | None:
    match condition:
        case Condition.BOOKED | Condition.EMPTY:
            end = now if current is None else current.ends_at
            for booking in known.bookings:  # those that follow without a gap keep it booked
                if booking.starts_at <= end:
                    end = max(end, booking.ends_at)
            return end
        case Condition.HELD:
            return None if hold is None else hold.ends_at
        case Condition.FREE | Condition.IN_USE:
            return _taken_at(room, known, now)
        case Condition.UNKNOWN:
            return None
        case _:
            assert_never(condition)


def _day(room: Room, now: datetime, zone: tzinfo) -> tuple[Booking, ...]:
    today = now.astimezone(zone).date()
    begins = datetime.combine(today, time.min, zone)
    ends = datetime.combine(today + timedelta(days=1), time.min, zone)
    shown = (b for b in room.bookings.values() if b.phase in OF_THE_DAY)
    return tuple(
        sorted(
            (b for b in shown if b.starts_at < ends and b.ends_at > begins),
            key=lambda b: (b.starts_at, b.key),
        )
    )


# ── in words ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    """How people at the site tell times."""

    now: datetime
    zone: tzinfo

    def days_away(self, instant: datetime) -> int:
        return (instant.astimezone(self.zone).date() - self.now.astimezone(self.zone).date()).days

    def is_today(self, instant: datetime) -> bool:
        """Before the coming midnight."""
        return self.days_away(instant) <= 0

    def told(self, instant: datetime) -> str:
        local = instant.astimezone(self.zone)
        match self.days_away(instant):
            case 0:
                return f"{local:%H:%M}"
            case 1 if local.time() == time.min:
                return "midnight"
            case 1:
                return f"tomorrow {local:%H:%M}"
            case _:
                return f"{local:%Y-%m-%d %H:%M}"


def _words(
    room: Room,
    known: Agenda,
    current: Booking | None,
    condition: Condition,
    until: datetime | None,
    times: _Times,
) -> str:
    match condition:
        case Condition.UNKNOWN:
            return f"Not heard: {_why_unheard(room)}"
        case Condition.FREE if not bookings_known(known):
            return (
                "Nobody there, bookings not known"
                if somebody(room.occupancy) is False
                else ("Bookings not known")
            )
        case Condition.FREE:
            return (
                "Free all day"
                if until is None or not times.is_today(until)
                else (f"Free until {times.told(until)}")
            )
        case Condition.IN_USE:
            return "In use without booking" if bookings_known(known) else "In use, bookings not known"
        case Condition.EMPTY | Condition.BOOKED if (
            warned := warned_release(room)
        ) is not None and warned.acts_at is not None:
            return f"Nobody there, released at {times.told(warned.acts_at)}"
        case Condition.EMPTY:
            return "Booked, nobody there"
        case Condition.HELD:
            return "Held" if until is None else f"Held until {times.told(until)}"
        case Condition.BOOKED if until is None or (current is not None and current.all_day):
            return "Booked all day"
        case Condition.BOOKED if current is not None and current.phase not in GRANTED:
            return f"Asked for until {times.told(until)}"
        case Condition.BOOKED:
            return f"Booked until {times.told(until)}"
        case _:
            assert_never(condition)


_OF_A_LINE: Final = re.compile(rf"({'|'.join(Transport)}): ")


def reason_and_mend(why: str) -> tuple[str, str | None]:
    """Why a device is not heard, in a few words, and what mends it, out of all that is known of it.

    Which is `reason; mend`, or a reason for each line that was tried, the best first: `websocket: reason;
    ssh: reason; mend`.
    """
    first, *more = why.split("; ")
    mend = "; ".join(each for each in more if not _OF_A_LINE.match(each))
    return _OF_A_LINE.sub("", first, count=1), mend or None


def _why_unheard(room: Room) -> str:
    """In a few words, those of its devices first."""
    for device in room.devices.values():
        if device.why is not None:
            return reason_and_mend(device.why)[0]
    for calendar in room.calendars.values():
        if calendar.phase is not CalendarPhase.ACTIVE and calendar.why is not None:
            return calendar.why
    for sensor in room.third_party.values():
        if sensor.why is not None:
            return reason_and_mend(sensor.why)[0]
    if room.devices:
        return "no device has been reached yet"
    if room.third_party and not room.calendars:
        return "its sensors have said nothing yet"
    return "its calendar has not been read yet" if room.calendars else "it has neither device nor calendar"
