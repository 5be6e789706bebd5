"""Counts what becomes of a room, hour by hour and day by day of its own clock, for those who plan with it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from operator import attrgetter
from typing import Final, assert_never
from zlib import crc32

from agent.core.attendance import anybody_there, people_there
from agent.core.events import ClockStepped, RoomEvent
from agent.core.facts import AttendanceFact, BookingFact, DayFact, Fact, FactKind, ReleaseFact, Step, UseFact
from agent.core.model import (
    NO_WORKING_HOURS,
    NOTHING_COUNTED,
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
from agent.core.week import MINUTES_A_DAY, WeekHours

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
SPREAD_S: Final = 8  # over which the rooms of a site end their hour: all at once would keep events waiting
MISSED_DAYS_TOLD: Final = 31  # at most, each for every room: who was away for longer knows it

NAMES: Final = tuple(each.name for each in fields(Counted))
VALUES: Final = attrgetter(*NAMES)
PEAK: Final = NAMES.index("people_peak")


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
    settled = replace(before, counted=_with_time(before, until), settled_at=until)
    return replace(room, tally=replace(settled, watched=False))


def tally(before: Room, taken: Step, event: RoomEvent, *, now: datetime, policy: Policy) -> Step:
    """Count what an event has made of a room; hours that are over and days with them are told.

    `before` is the room before the event, `taken` all that came of it. Returns `taken` itself if there is
    nothing to count.
    """
    old, room = taken.room.tally, taken.room
    if old is None or (
        old.watched
        and not taken.facts
        and room.bookings is before.bookings
        and room.watch is before.watch
        and room.occupancy is before.occupancy
        and old.settled_at <= now < old.ends_at
        and not isinstance(event, ClockStepped)
    ):
        return taken
    count = _Count(room=room.id, policy=policy, tally=old)
    if isinstance(event, ClockStepped) and (event.by > timedelta(0) or now < old.starts_at):
        count.settle(now - event.by)
        count.tally = replace(count.tally, watched=False)  # so much of the day never was, or we slept
    if now < count.tally.starts_at:  # the clock was set back
        count.close_early(now)
    booked = any(booking.phase is BookingPhase.STARTED for booking in room.bookings.values())
    there = anybody_there(room, now=now)
    people = people_there(room, now=now) if there else None
    same = old.watched and (booked, there, people) == (old.booked, old.there, old.people)
    if not same or now >= count.tally.ends_at or not count.tally.watched:
        count.settle(now)
        count.tally = replace(count.tally, booked=booked, there=there, people=people, watched=True)
    if taken.facts:
        count.note(taken.facts)
    if count.tally is old:
        return taken
    return replace(
        taken,
        room=replace(room, tally=count.tally),
        facts=taken.facts + tuple(count.facts),
        hours=taken.hours + tuple(count.hours),
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

    def settle(self, until: datetime) -> None:
        """Count all up to then as the room stands; hours and days end on the way."""
        zone = self.policy.timezone
        while until >= self.tally.ends_at:
            ends_at = self.tally.ends_at
            self._end_hour()
            next_hour = _opened_at(ends_at, self.tally, zone)
            if next_hour.day != self.tally.day:
                self._tell(self.tally.day, self.tally.today, self.tally.working)
                next_hour = self._after_days(next_hour, until)
            self.tally = next_hour
        if until > self.tally.settled_at:
            self.tally = replace(self.tally, counted=_with_time(self.tally, until), settled_at=until)

    def close_early(self, now: datetime) -> None:
        """The clock says less than when the hour began: what was counted of it is told as it is."""
        told = self.tally.told
        self.tally = replace(self.tally, watched=False)
        self._end_hour()
        self.tally = replace(_opened(now, self.policy), told=told)

    def note(self, facts: tuple[Fact, ...]) -> None:
        """Count what was told."""
        more = [value for fact in facts if (value := _counts(fact))]
        if more:
            counted = self.tally.counted
            for each in more:
                counted = _sum(counted, each)
            self.tally = replace(self.tally, counted=counted)

    def _end_hour(self) -> None:
        ended = self.tally
        counted = _with_time(ended, ended.ends_at)
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
        share = _share(self.policy.working, ended.day.weekday(), ended.hour)
        working = ended.working
        if share:
            working = WorkingHours(
                length_s=working.length_s + share * length_s,
                booked_s=working.booked_s + share * counted.booked_s,
                in_use_s=working.in_use_s + share * counted.in_use_s,
                unknown_s=working.unknown_s + share * counted.unknown_s,
            )
        self.tally = replace(ended, today=_sum(ended.today, counted), working=working)

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
    working_s = 3600 * sum(_share(policy.working, local.weekday(), hour) for hour in range(local.hour))
    earlier_s = max(0.0, (now - into - _midnight(local.date(), zone)).total_seconds())
    return Tally(
        starts_at=now - into,
        ends_at=now - into + HOUR,
        day=local.date(),
        hour=local.hour,
        settled_at=now,
        counted=Counted(unknown_s=missed_s, unwatched_s=missed_s),
        today=Counted(unknown_s=earlier_s, unwatched_s=earlier_s),
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
        counted=NOTHING_COUNTED,
        today=before.today if same_day else NOTHING_COUNTED,
        working=before.working if same_day else NO_WORKING_HOURS,
    )


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def _share(working: tuple[WeekHours, ...], weekday: int, hour: int) -> float:
    """How much of this hour are working hours, from 0 to 1."""
    minutes = sum(
        max(0, min(each.ends_min, 60 * hour + 60) - max(each.begins_min, 60 * hour))
        for each in working
        if weekday in each.days
    )
    return min(1.0, minutes / 60)


def _missed_hours(working: tuple[WeekHours, ...], day: date) -> WorkingHours:
    length_s = 3600 * sum(_share(working, day.weekday(), hour) for hour in range(MINUTES_A_DAY // 60))
    return WorkingHours(length_s=length_s, unknown_s=length_s)


# ── counts ────────────────────────────────────────────────────────────────────────────────────────


def _with_time(tally: Tally, until: datetime) -> Counted:
    """What was counted, with the time up to then as the room stands."""
    seconds = (until - tally.settled_at).total_seconds()
    if seconds <= 0.0:
        return tally.counted
    if not tally.watched:
        return _sum(tally.counted, Counted(unknown_s=seconds, unwatched_s=seconds))
    booked_s = seconds if tally.booked else 0.0
    in_use_s = seconds if tally.there else 0.0
    people = tally.people or 0
    running = Counted(
        booked_s=booked_s,
        attended_s=min(booked_s, in_use_s),
        empty_s=booked_s if tally.there is False else 0.0,
        in_use_s=in_use_s,
        unknown_s=seconds if tally.there is None else 0.0,
        people_min=people * in_use_s / 60,
        counted_s=in_use_s if people else 0.0,
        people_peak=people,
    )
    return _sum(tally.counted, running)


def _sum(one: Counted, other: Counted) -> Counted:
    values = [a + b for a, b in zip(VALUES(one), VALUES(other), strict=True)]
    values[PEAK] = max(one.people_peak, other.people_peak)
    return Counted(**dict(zip(NAMES, values, strict=True)))


def _counts(fact: Fact) -> Counted | None:
    match fact:
        case BookingFact(kind=FactKind.BOOKING_STARTED):
            return Counted(bookings=1)
        case ReleaseFact(kind=FactKind.BOOKING_RELEASED, freed_from=freed_from, attempt=attempt):
            freed = timedelta(0) if freed_from is None else max(timedelta(0), attempt.ends_at - freed_from)
            return Counted(released=1, released_min=freed.total_seconds() / 60)
        case UseFact():
            return Counted(unbooked=1)
        case AttendanceFact(
            kind=FactKind.BOOKING_GHOST | FactKind.BOOKING_LEFT_EARLY | FactKind.BOOKING_JUDGED
        ):
            return _verdict(fact)
        case _:
            return None


def _verdict(fact: AttendanceFact) -> Counted | None:
    match fact.attendance.outcome:
        case None:
            return None
        case Outcome.ATTENDED:
            return Counted(attended=1)
        case Outcome.GHOST:
            return Counted(ghosts=1)
        case Outcome.LEFT_EARLY:
            freed = timedelta(0) if fact.freed is None else fact.freed
            return Counted(left_early=1, freed_min=freed.total_seconds() / 60)
        case Outcome.OVERRUN:
            return Counted(overran=1)
        case Outcome.UNKNOWN:
            return Counted(unknown=1)
        case _:
            assert_never(fact.attendance.outcome)
