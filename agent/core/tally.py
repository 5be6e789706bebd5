"""Counts what becomes of a room, hour by hour and day by day of its own clock, for those who plan with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final
from zlib import crc32

from agent.core.events import ClockStepped, RoomEvent
from agent.core.facts import (
    AttendanceFact,
    BookingFact,
    DayFact,
    Fact,
    FactKind,
    OccupancyFact,
    ReleaseFact,
    Step,
    UseFact,
)
from agent.core.model import (
    NO_WORKING_HOURS,
    BookingPhase,
    Counted,
    HourTally,
    Outcome,
    Policy,
    Room,
    RoomId,
    Tally,
    WorkingHours,
)
from agent.core.noticing import people as counted_people
from agent.core.renewing import replace
from agent.core.week import MINUTES_A_DAY, WeekHours

HOUR: Final = timedelta(hours=1)
AT_A_TIME: Final = timedelta(seconds=1)  # numbers of people that change faster are one: the last of them
DAY: Final = timedelta(days=1)
SPREAD_S: Final = 8  # over which the rooms of a site end their hour: all at once would keep events waiting
MISSED_DAYS_TOLD: Final = 31  # at most, each for every room: who was away for longer knows it

NAMES: Final = tuple(each.name for each in fields(Counted))
WHOLE: Final = frozenset(each.name for each in fields(Counted) if isinstance(each.default, int))
PLACES: Final = {name: place for place, name in enumerate(NAMES)}
PEAK: Final = PLACES["people_peak"]
NOTHING: Final = (0.0,) * len(NAMES)

Values = tuple[float, ...]  # in the order of `Counted`, which costs more than all else where it is made often


def begin(room: Room, *, now: datetime, policy: Policy, alive_at: datetime | None = None) -> Room:
    """The room, counted from now on; what was counted in an earlier life of the agent goes on.

    That life counts up to `alive_at`, its last sign, if there was one. Of the time from then to now nobody
    knows anything, and nothing is counted of it but that.
    """
    before = room.tally
    if before is None or now < before.starts_at:
        told = None if before is None else before.told
        return replace(room, tally=replace(_opened(now, policy), told=told))
    if not before.watched:
        return room
    signs = (before.settled_at, alive_at, room.watch.looked_at)
    until = min(max(sign for sign in signs if sign is not None), now, before.ends_at)
    settled = replace(before, counted=_with_time(before, until), settled_at=until, watched=False)
    return replace(room, tally=settled)


def tally(before: Room, taken: Step, event: RoomEvent, *, now: datetime, policy: Policy) -> Step:
    """Count what an event has made of a room; hours that are over and days with them are told.

    `before` is the room before the event, `taken` all that came of it. Returns `taken` itself if there is
    nothing to count.
    """
    old, room = taken.room.tally, taken.room
    if old is None:
        return taken
    runs_on = old.watched and old.settled_at <= now < old.ends_at and not isinstance(event, ClockStepped)
    if (
        runs_on
        and not taken.facts
        and room.bookings is before.bookings
        and room.watch is before.watch
        and room.occupancy is before.occupancy
    ):
        return taken
    booked = any(booking.phase is BookingPhase.STARTED for booking in room.bookings.values())
    there = room.watch.there
    people = counted_people(room.watch, room, now=now) if there else None
    days: tuple[DayFact, ...] = ()
    hours: tuple[HourTally, ...] = ()
    if runs_on:
        standing = _within_the_hour(old, now, (booked, there, people))
    else:
        count = _Count(room=room.id, policy=policy, tally=old)
        count.pass_time(event, now)
        standing = replace(count.tally, booked=booked, there=there, people=people, watched=True)
        days, hours = tuple(count.facts), tuple(count.hours)
    tallied = _noted(standing, taken.facts)
    if tallied is old:
        return taken
    if tallied.ended is not standing.ended:
        hours += (_again(room.id, tallied, policy.timezone),)
    room = replace(room, tally=tallied)
    return replace(taken, room=room, facts=(*taken.facts, *days), hours=(*taken.hours, *hours))


def _within_the_hour(old: Tally, now: datetime, stands: tuple[bool, bool | None, int | None]) -> Tally:
    if stands == (old.booked, old.there, old.people):
        return old
    booked, there, people = stands
    if people and old.people and booked is old.booked and old.settled_at + AT_A_TIME > now:
        return replace(old, people=people)
    counted = _with_time(old, now)
    return replace(old, counted=counted, settled_at=now, booked=booked, there=there, people=people)


def _noted(tally: Tally, facts: tuple[Fact, ...]) -> Tally:
    """With what was told, of the hour that runs or of the one before it."""
    now: list[tuple[str, float]] = []
    late: list[tuple[str, float]] = []
    for fact in facts:
        if not isinstance(fact, OccupancyFact):  # the most of them by far, and counted by the time it lasts
            (late if _is_of_the_last(fact, tally) else now).extend(_counts(fact))
    if now:
        tally = replace(tally, counted=_more(tally.counted, now))
    if late:
        tally = replace(tally, ended=_more(tally.ended, late), today=_more(tally.today, late))
    return tally


def _is_of_the_last(fact: Fact, tally: Tally) -> bool:
    """Verdicts come some seconds or minutes after the end of what they judge, which is often a full hour."""
    return (
        isinstance(fact, AttendanceFact)
        and tally.ended_from is not None
        and tally.ended_from < fact.booking.ends_at <= tally.starts_at
    )


def _more(values: Values, counts: list[tuple[str, float]]) -> Values:
    counted = list(_whole(values))
    for name, value in counts:
        counted[PLACES[name]] += value
    return tuple(counted)


def _again(room: RoomId, tally: Tally, zone: tzinfo) -> HourTally:
    """The hour before the one that runs, with the verdicts that came since."""
    began = tally.starts_at if tally.ended_from is None else tally.ended_from
    return HourTally(
        room=room,
        starts_at=began,
        day=tally.day,
        hour=began.astimezone(zone).hour,
        length_s=round((tally.starts_at - began).total_seconds()),
        counted=_counted(tally.ended),
    )


def next_tally(room: Room) -> datetime | None:
    """When the hour is told that runs; some seconds after its end, others for other rooms."""
    if room.tally is None:
        return None
    if not room.tally.watched:
        return room.tally.settled_at
    return room.tally.ends_at + timedelta(seconds=crc32(room.id.encode()) % SPREAD_S)


@dataclass(slots=True)
class _Count:
    """One room's counting, while time is passed through it."""

    room: RoomId
    policy: Policy
    tally: Tally
    hours: list[HourTally] = field(default_factory=list)
    facts: list[DayFact] = field(default_factory=list)

    def pass_time(self, event: RoomEvent, now: datetime) -> None:
        """Up to now, whatever the clock did meanwhile."""
        if isinstance(event, ClockStepped) and (event.by > timedelta(0) or now < self.tally.starts_at):
            self._settle(now - event.by)
            self.tally = replace(self.tally, watched=False)  # so much of the day never was, or we slept
        if now < self.tally.starts_at:  # the clock was set back
            told = self.tally.told
            self.tally = replace(self.tally, watched=False)
            self._end_hour()
            self.tally = replace(_opened(now, self.policy), told=told)
        self._settle(now)

    def _settle(self, until: datetime) -> None:
        """Count all up to then as the room stands; hours and days end on the way."""
        zone = self.policy.timezone
        while until >= self.tally.ends_at:
            ends_at = self.tally.ends_at
            self._end_hour()
            next_hour = _opened_at(ends_at, self.tally, zone)
            if next_hour.day > self.tally.day:
                self._tell(self.tally.day, _counted(self.tally.today), self.tally.working)
                next_hour = self._after_days(next_hour, until)
            if not _is_hour_of(self.tally, zone):
                next_hour = _moved(next_hour, self.policy)
            self.tally = next_hour
        if until > self.tally.settled_at:
            self.tally = replace(self.tally, counted=_with_time(self.tally, until), settled_at=until)

    def _end_hour(self) -> None:
        ended = self.tally
        values = _with_time(ended, ended.ends_at)
        counted = _counted(values)
        length_s = (ended.ends_at - ended.starts_at).total_seconds()
        self.hours.append(
            HourTally(
                room=self.room,
                starts_at=ended.starts_at,
                day=ended.day,
                hour=ended.hour,
                length_s=round(length_s),
                counted=counted,
            )
        )
        share = _shares(self.policy.working)[ended.day.weekday()][ended.hour]
        working = ended.working
        if share:
            working = WorkingHours(
                length_s=working.length_s + share * length_s,
                booked_s=working.booked_s + share * counted.booked_s,
                in_use_s=working.in_use_s + share * counted.in_use_s,
                unknown_s=working.unknown_s + share * counted.unknown_s,
            )
        self.tally = replace(
            ended,
            counted=values,
            settled_at=ended.ends_at,
            today=_sum(_whole(ended.today), values),
            working=working,
        )

    def _after_days(self, morning: Tally, until: datetime) -> Tally:
        """The first hour of the day that runs; the whole days before it are told as missed."""
        zone = self.policy.timezone
        today = until.astimezone(zone).date()
        if morning.day >= today:
            return replace(morning, told=self.tally.told)
        first = max(morning.day, today - MISSED_DAYS_TOLD * DAY)
        for number in range((today - first).days):
            day = first + number * DAY
            length_s = (_midnight(day + DAY, zone) - _midnight(day, zone)).total_seconds()
            missed = Counted(unknown_s=length_s, unwatched_s=length_s)
            self._tell(day, missed, _missed_hours(self.policy.working, day))
        opened = _opened_at(_midnight(today, zone), self.tally, zone)
        return replace(opened, told=self.tally.told)

    def _tell(self, day: date, counted: Counted, working: WorkingHours) -> None:
        if self.tally.told is not None and day <= self.tally.told:
            return  # the clock was set back, and the day was lived before
        zone = self.policy.timezone
        midnight = _midnight(day + DAY, zone)
        self.facts.append(
            DayFact(
                kind=FactKind.ROOM_DAY,
                at=midnight,
                day=day,
                starts_at=_midnight(day, zone),
                counted=counted,
                working=working,
                capacity=self.policy.rules(self.room).capacity,
                recovered=not self.tally.watched,
            )
        )
        self.tally = replace(self.tally, told=day)


# ── time ──────────────────────────────────────────────────────────────────────────────────────────


def _opened(now: datetime, policy: Policy) -> Tally:
    """The hour that runs, of a room that is counted from now on; of its day before, nobody knows anything."""
    zone = policy.timezone
    local = now.astimezone(zone)
    into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    missed_s = into.total_seconds()
    working_s = 3600 * sum(_shares(policy.working)[local.weekday()][: local.hour])
    earlier_s = max(0.0, (now - into - _midnight(local.date(), zone)).total_seconds())
    return Tally(
        starts_at=now - into,
        ends_at=now - into + HOUR,
        day=local.date(),
        hour=local.hour,
        settled_at=now,
        counted=_unwatched(missed_s),
        today=_unwatched(earlier_s),
        working=WorkingHours(length_s=working_s, unknown_s=working_s),
    )


def _opened_at(starts_at: datetime, before: Tally, zone: tzinfo) -> Tally:
    """The hour that begins here, after another; shorter where a change of the clocks left half of one."""
    local = starts_at.astimezone(zone)
    into = timedelta(minutes=local.minute, seconds=local.second)
    same_day = local.date() == before.day
    return replace(
        before,
        starts_at=starts_at,
        ends_at=starts_at + HOUR - into,
        day=local.date(),
        hour=local.hour,
        settled_at=starts_at,
        counted=NOTHING,
        today=before.today if same_day else NOTHING,
        working=before.working if same_day else NO_WORKING_HOURS,
        ended=before.counted if same_day else (),
        ended_from=before.starts_at if same_day else None,
    )


def _is_hour_of(tally: Tally, zone: tzinfo) -> bool:
    """False: another zone was configured since it was opened."""
    local = tally.starts_at.astimezone(zone)
    return (local.date(), local.hour) == (tally.day, tally.hour)


def _moved(hour: Tally, policy: Policy) -> Tally:
    """The first hour by another zone's clock: what was counted before is no part of its day."""
    fresh = _opened(hour.starts_at, policy)
    return replace(hour, today=_sum(fresh.today, fresh.counted), working=fresh.working)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


@lru_cache(maxsize=8)
def _shares(working: tuple[WeekHours, ...]) -> tuple[tuple[float, ...], ...]:
    """How much of each hour are working hours, from 0 to 1; by weekday."""
    return tuple(
        tuple(
            sum(
                any(weekday in each.days and each.begins_min <= minute < each.ends_min for each in working)
                for minute in range(begins_min, begins_min + 60)
            )
            / 60
            for begins_min in range(0, MINUTES_A_DAY, 60)
        )
        for weekday in range(7)
    )


def _missed_hours(working: tuple[WeekHours, ...], day: date) -> WorkingHours:
    length_s = 3600 * sum(_shares(working)[day.weekday()])
    return WorkingHours(length_s=length_s, unknown_s=length_s)


# ── counts ────────────────────────────────────────────────────────────────────────────────────────


def _with_time(tally: Tally, until: datetime) -> Values:
    """What was counted, with the time up to then as the room stands."""
    counted = _whole(tally.counted)
    seconds = (until - tally.settled_at).total_seconds()
    if seconds <= 0.0:
        return counted
    if not tally.watched:
        return _sum(counted, _unwatched(seconds))
    booked_s, attended_s, empty_s, in_use_s, unknown_s, unwatched_s, people_min, counted_s, peak, *rest = (
        counted
    )
    if tally.booked:
        booked_s += seconds
    if tally.there is None:
        unknown_s += seconds
    elif tally.there:
        in_use_s += seconds
        if tally.booked:
            attended_s += seconds
        if tally.people:
            people_min += seconds / 60 * tally.people
            counted_s += seconds
            peak = max(peak, tally.people)
    elif tally.booked:
        empty_s += seconds
    time = (booked_s, attended_s, empty_s, in_use_s, unknown_s, unwatched_s, people_min, counted_s, peak)
    return (*time, *rest)


def _whole(values: Values) -> Values:
    """As many as there are: none are kept of a room that is new, and fewer by an older roomd."""
    return values if len(values) == len(NOTHING) else (*values, *NOTHING[len(values) :])


def _sum(one: Values, other: Values) -> Values:
    values = [a + b for a, b in zip(one, other, strict=True)]
    values[PEAK] = max(one[PEAK], other[PEAK])
    return tuple(values)


def _unwatched(seconds: float) -> Values:
    values = list(NOTHING)
    values[PLACES["unknown_s"]] = values[PLACES["unwatched_s"]] = seconds
    return tuple(values)


def _counted(values: Values) -> Counted:
    named: dict[str, Any] = dict(zip(NAMES, _whole(values), strict=True))
    return Counted(**named | {name: round(named[name]) for name in WHOLE})


def _counts(fact: Fact) -> Iterator[tuple[str, float]]:
    match fact:
        case BookingFact(kind=FactKind.BOOKING_STARTED):
            yield "bookings", 1
        case ReleaseFact(kind=FactKind.BOOKING_RELEASED, freed_from=freed_from, attempt=attempt):
            freed = timedelta(0) if freed_from is None else attempt.ends_at - freed_from
            yield "released", 1
            yield "released_min", max(0.0, freed.total_seconds() / 60)
        case UseFact():
            yield "unbooked", 1
        case AttendanceFact(
            kind=FactKind.BOOKING_GHOST | FactKind.BOOKING_LEFT_EARLY | FactKind.BOOKING_JUDGED
        ):
            if fact.attendance.outcome is not None:
                yield VERDICTS[fact.attendance.outcome], 1
            if fact.kind is FactKind.BOOKING_LEFT_EARLY and fact.freed is not None:
                yield "freed_min", fact.freed.total_seconds() / 60
        case _:
            return


VERDICTS: Final = {
    Outcome.ATTENDED: "attended",
    Outcome.GHOST: "ghosts",
    Outcome.LEFT_EARLY: "left_early",
    Outcome.OVERRUN: "overran",
    Outcome.UNKNOWN: "unknown",
}
