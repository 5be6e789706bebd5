"""Adds up the hours of a site's rooms: what was booked, what was used, and of how much nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.core.model import ListedRoom
from agent.core.week import WeekHours
from agent.hours import Column, Hours, read
from agent.report_choice import Question

KNOWN_ENOUGH: Final = 0.5  # of its working hours: a room of which less is known is not ranked
COUNTED_ENOUGH_H: Final = 20  # hours with people counted: fewer say nothing of how large a room should be
USUALLY: Final = 0.9  # of a room's hours, in which no more people were there than its `usual_people`
TOO_BIG: Final = 0.5  # of the seats, and a room is usually not filled beyond that
HOUR_S: Final = 3600
DAY_H: Final = 24
WEEK_DAYS: Final = 7
MOST_PEOPLE: Final = 1024  # in a room: more are taken for as many

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What a room, a week or a whole site adds up to. `docs/trends.md` says what each count means."""

    span_s: float = 0.0  # that there was, of all rooms together
    in_use_s: float = 0.0
    unknown_s: float = 0.0  # nobody knows whether somebody was there
    unwatched_s: float = 0.0  # … for roomd did not run
    work_s: float = 0.0  # of that span, in working hours; so are the next two
    work_in_use_s: float = 0.0
    work_unknown_s: float = 0.0
    booked_s: float = 0.0
    attended_s: float = 0.0
    empty_s: float = 0.0
    people_min: float = 0.0
    counted_s: float = 0.0
    people_peak: int = 0
    bookings: int = 0
    attended: int = 0
    ghosts: int = 0
    left_early: int = 0
    overran: int = 0
    unknown: int = 0
    freed_min: float = 0.0
    released: int = 0
    released_min: float = 0.0
    unbooked: int = 0

    @property
    def judged(self) -> int:
        """Bookings that ended and of which it is known whether somebody came."""
        return self.attended + self.ghosts + self.left_early + self.overran

    @property
    def ghost_share(self) -> float | None:
        """Of the bookings that could be judged; None if none could."""
        return _share(self.ghosts, self.judged)

    @property
    def unjudged_share(self) -> float | None:
        """Of the bookings that ended: those of which nobody knows whether somebody came."""
        return _share(self.unknown, self.judged + self.unknown)

    @property
    def booked_unknown_s(self) -> float:
        """Booked, and nobody knows whether somebody was there."""
        return max(0.0, self.booked_s - self.attended_s - self.empty_s)

    @property
    def empty_share(self) -> float | None:
        """Of the booked time that is known: with nobody there."""
        return _share(self.empty_s, self.attended_s + self.empty_s)

    @property
    def unbooked_s(self) -> float:
        """In use while nothing was booked."""
        return max(0.0, self.in_use_s - self.attended_s)

    @property
    def people_mean(self) -> float | None:
        """People, over the time in which they were counted."""
        return _share(self.people_min * 60, self.counted_s)

    @property
    def use(self) -> float | None:
        """Share of the working hours in which somebody was seen there."""
        return _share(self.work_in_use_s, self.work_s)

    @property
    def idle(self) -> float | None:
        """Share of the working hours in which the room was known to be empty."""
        known = self.work_s - self.work_unknown_s - self.work_in_use_s
        return _share(max(0.0, known), self.work_s)

    @property
    def unknown_share(self) -> float | None:
        """Share of the working hours of which nobody knows whether somebody was there."""
        return _share(self.work_unknown_s, self.work_s)

    @property
    def use_of_known(self) -> float | None:
        """As `use`, of what is known alone: by this, rooms can be compared."""
        return _share(self.work_in_use_s, self.work_s - self.work_unknown_s)


def _share(part: float, whole: float) -> float | None:
    return min(1.0, part / whole) if whole > 0 and part <= whole else (part / whole if whole > 0 else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSums:
    """One room in the report."""

    room: ListedRoom
    recorded_since: date | None  # the first day of the report of which anything is known
    sums: Sums
    counted_h: int  # hours in which people were counted there
    usual_people: int | None  # in nine of ten of these hours there were no more at once

    @property
    def too_big(self) -> bool:
        """Whether its meetings leave half of its seats or more empty, as far as that can be said."""
        seats = self.room.capacity
        return (
            seats is not None
            and self.usual_people is not None
            and self.counted_h >= COUNTED_ENOUGH_H
            and self.usual_people <= seats * TOO_BIG
        )

    @property
    def spare_seats(self) -> int:
        """That are left over when it is as full as it usually gets."""
        return (self.room.capacity or 0) - (self.usual_people or 0)

    @property
    def known_enough(self) -> bool:
        """Whether it can be said how busy it is."""
        unknown = self.sums.unknown_share
        return unknown is not None and unknown <= 1 - KNOWN_ENOUGH


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some days of all rooms together."""

    since: date
    last: date
    whole: bool  # not cut off by the beginning or the end of the report, nor by the present
    sums: Sums


@dataclass(frozen=True, kw_only=True)
class Report:
    """What there is to be said of some rooms and days."""

    site: str
    about: str  # which rooms, in words
    since: date
    last: date
    recorded_since: date | None  # None: nothing is recorded of these days
    recorded_last: date | None
    working: tuple[WeekHours, ...]
    rooms: tuple[RoomSums, ...]
    total: Sums
    grid: tuple[tuple[Sums, ...], ...]  # by weekday, Monday first, and hour of the day
    days: tuple[Span, ...]
    weeks: tuple[Span, ...]

    @cached_property
    def too_big(self) -> tuple[RoomSums, ...]:
        """Rooms whose meetings are small for them, the most seats to spare first."""
        found = (room for room in self.rooms if room.too_big)
        return tuple(sorted(found, key=lambda room: (-room.spare_seats, room.room.name.casefold())))

    @cached_property
    def ranked(self) -> tuple[RoomSums, ...]:
        """Rooms of which enough is known, the busiest first."""
        found = (room for room in self.rooms if room.known_enough)
        return tuple(
            sorted(found, key=lambda room: (-(room.sums.use_of_known or 0), room.room.name.casefold()))
        )

    @cached_property
    def little_known(self) -> tuple[RoomSums, ...]:
        """The others, the least known first."""
        found = (room for room in self.rooms if not room.known_enough)
        return tuple(
            sorted(found, key=lambda room: (-(room.sums.unknown_share or 1), room.room.name.casefold()))
        )

    @cached_property
    def most_ghosts(self) -> tuple[RoomSums, ...]:
        """Rooms to which nobody came most often, that first."""
        found = (room for room in self.rooms if room.sums.ghosts)
        return tuple(sorted(found, key=lambda room: (-room.sums.ghosts, room.room.name.casefold())))

    @cached_property
    def shown_hours(self) -> range:
        """The hours of the day of which there is something to see: working hours, and all with a booking."""
        work = _working_s(self.working)
        busy = [
            hour
            for hour in range(DAY_H)
            if work[:, hour].any() or any(day[hour].bookings or day[hour].ghosts for day in self.grid)
        ]
        return range(min(busy, default=0), max(busy, default=DAY_H - 1) + 1)


def read_report(question: Question) -> Report:
    """The report that is asked for. Raises what `agent.hours.read` does."""
    hours = read(
        Path(question.directory),
        since=question.since,
        until=question.last + timedelta(days=1),
        rooms=[room.id for room in question.rooms],
        names=NEEDED,
    )
    return _added_up(
        hours, question.rooms, site=question.site, about=question.about, working=question.working
    )


def _added_up(
    hours: Hours,
    listed: Iterable[ListedRoom],
    *,
    site: str,
    about: str,
    working: Sequence[WeekHours],
) -> Report:
    """The report over these hours; `hours.rooms` are among `listed`, which says what they are called."""
    by_id = {room.id: room for room in listed}
    rooms = tuple(by_id[room] for room in hours.rooms)
    work_s = _working_s(working)
    weekday = (np.arange(hours.days) + hours.since.weekday()) % WEEK_DAYS
    fraction = work_s[weekday] / HOUR_S  # [day, hour]
    lengths_s = hours.lengths_s.astype(np.float64)
    alive = np.arange(hours.days)[None, :] >= hours.first_day[:, None]  # [room, day]
    day_s, day_work_s = lengths_s.sum(axis=1), (lengths_s * fraction).sum(axis=1)
    there = alive.sum(axis=0)  # rooms, by day
    cell = hours.day.astype(np.intp) * DAY_H + hours.hour
    part = fraction.ravel()[cell]

    of_room, of_cell = _gathered(
        hours, ((hours.room.astype(np.intp), len(rooms)), (cell, hours.days * DAY_H)), part
    )
    of_room["span_s"], of_room["work_s"] = alive @ day_s, alive @ day_work_s
    spans = lengths_s * there[:, None]
    of_cell["span_s"], of_cell["work_s"] = spans.ravel(), (spans * fraction).ravel()

    cells = {name: column.reshape(hours.days, DAY_H) for name, column in of_cell.items()}
    counted_h, usual = _usual_people(hours, len(rooms))
    recorded = np.flatnonzero(there[: hours.recorded_days])
    return Report(
        site=site,
        about=about,
        since=hours.since,
        last=hours.until - timedelta(days=1),
        recorded_since=_day(hours, int(recorded[0])) if len(recorded) else None,
        recorded_last=_day(hours, int(recorded[-1])) if len(recorded) else None,
        working=tuple(working),
        rooms=tuple(
            RoomSums(
                room=room,
                recorded_since=_day(hours, int(first)) if first < hours.days else None,
                sums=sums,
                counted_h=int(counted),
                usual_people=people,
            )
            for room, sums, first, counted, people in zip(
                rooms, _sums(of_room), hours.first_day, counted_h, usual, strict=True
            )
        ),
        total=_one(_folded(of_cell, np.zeros(hours.days * DAY_H, dtype=np.int64), 1)),
        grid=_grid(cells, weekday),
        days=_spans(hours, cells, there, 1),
        weeks=_spans(hours, cells, there, WEEK_DAYS),
    )


# ── working hours ─────────────────────────────────────────────────────────────────────────────────


def _working_s(working: Iterable[WeekHours]) -> Numbers:
    """How much of each hour is worked, by weekday and hour of the day."""
    minutes = np.zeros((WEEK_DAYS, DAY_H * 60), dtype=np.bool_)
    for each in working:
        minutes[sorted(each.days), each.begins_min : each.ends_min] = True
    summed: Numbers = minutes.reshape(WEEK_DAYS, DAY_H, 60).sum(axis=2, dtype=np.float64) * 60
    return summed


# ── sums ──────────────────────────────────────────────────────────────────────────────────────────

PEAK: Final = "people_peak"
ADDED: Final = (
    "in_use_s",
    "unknown_s",
    "unwatched_s",
    "booked_s",
    "attended_s",
    "empty_s",
    "people_min",
    "counted_s",
    "bookings",
    "attended",
    "ghosts",
    "left_early",
    "overran",
    "unknown",
    "freed_min",
    "released",
    "released_min",
    "unbooked",
)
WORKED: Final = frozenset({"in_use_s", "unknown_s"})  # of which the share in working hours counts
NEEDED: Final = (*ADDED, PEAK)  # of `Hours`
WHOLE: Final = frozenset(
    {PEAK, "bookings", "attended", "ghosts", "left_early", "overran", "unknown", "released", "unbooked"}
)


def _gathered(
    hours: Hours, keys: Sequence[tuple[NDArray[np.intp], int]], part: Numbers
) -> list[dict[str, Numbers]]:
    """All columns added up by each key, with its size; `part` is how much of each line's hour is worked."""
    found: list[dict[str, Numbers]] = [{} for _ in keys]
    for name in ADDED:
        some = _not_0(hours[name])  # most columns hold little
        weights = hours[name][some].astype(np.float64)
        work = weights * part[some] if name in WORKED else None
        for sums, (key, size) in zip(found, keys, strict=True):
            places = key[some]
            sums[name] = _added(places, weights, size)
            if work is not None:
                sums[f"work_{name}"] = _added(places, work, size)
    some = _not_0(hours[PEAK])
    for sums, (key, size) in zip(found, keys, strict=True):
        sums[PEAK] = np.zeros(size)
        np.maximum.at(sums[PEAK], key[some], hours[PEAK][some].astype(np.float64))
    return found


def _not_0(column: Column) -> NDArray[np.intp]:
    return np.flatnonzero(column != 0)  # a fourth of the time in which NumPy looks among numbers


def _added(key: NDArray[np.integer], weights: Numbers, size: int) -> Numbers:
    added: Numbers = np.bincount(key, weights, size).astype(np.float64, copy=False)
    return added


def _folded(columns: Mapping[str, Numbers], key: NDArray[np.int64], size: int) -> dict[str, Numbers]:
    """What was added up, added up further."""
    folded = {name: _added(key, column, size) for name, column in columns.items() if name != PEAK}
    folded[PEAK] = np.zeros(size)
    np.maximum.at(folded[PEAK], key, columns[PEAK])
    return folded


def _sums(columns: Mapping[str, Numbers]) -> list[Sums]:
    lists = {
        name: (column.round().astype(np.int64) if name in WHOLE else column).tolist()
        for name, column in columns.items()
    }
    names = tuple(lists)
    return [Sums(**dict(zip(names, values, strict=True))) for values in zip(*lists.values(), strict=True)]


def _one(columns: Mapping[str, Numbers]) -> Sums:
    (sums,) = _sums(columns)
    return sums


def _grid(cells: Mapping[str, Numbers], weekday: NDArray[np.int64]) -> tuple[tuple[Sums, ...], ...]:
    key = (weekday[:, None] * DAY_H + np.arange(DAY_H)).ravel()
    flat = _sums(_folded({name: cell.ravel() for name, cell in cells.items()}, key, WEEK_DAYS * DAY_H))
    return tuple(tuple(flat[day * DAY_H : (day + 1) * DAY_H]) for day in range(WEEK_DAYS))


def _spans(
    hours: Hours, cells: Mapping[str, Numbers], there: NDArray[np.int64], length: int
) -> tuple[Span, ...]:
    """Each day, or the days of each week, on which something was recorded; `length` is 1 or 7 days."""
    if not hours.days:
        return ()
    key = (np.arange(hours.days) + hours.since.weekday() % length) // length
    size = int(key[-1]) + 1
    of_day = {name: (cell.max(axis=1) if name == PEAK else cell.sum(axis=1)) for name, cell in cells.items()}
    every = _sums(_folded(of_day, key, size))
    length_s = hours.lengths_s.sum(axis=1)
    over = length_s >= HOUR_S * (DAY_H - 1)  # whole days, that of spring too
    recorded = (there > 0) & (length_s > 0)
    edges = np.searchsorted(key, np.arange(size + 1))
    spans = []
    for sums, start, end in zip(every, edges[:-1], edges[1:], strict=True):
        days = start + np.flatnonzero(recorded[start:end])
        if len(days):
            spans.append(
                Span(
                    since=_day(hours, int(days[0])),
                    last=_day(hours, int(days[-1])),
                    whole=len(days) == length and bool(over[days].all()),
                    sums=sums,
                )
            )
    return tuple(spans)


def _day(hours: Hours, day: int) -> date:
    return hours.since + timedelta(days=day)


def _usual_people(hours: Hours, rooms: int) -> tuple[NDArray[np.int64], list[int | None]]:
    """Of each room: hours in which people were counted, and how many there were in most of them."""
    peaks = hours[PEAK]
    some = _not_0(peaks)
    key = hours.room[some].astype(np.int64) * MOST_PEOPLE + np.minimum(peaks[some], MOST_PEOPLE - 1)
    often = np.bincount(key, minlength=rooms * MOST_PEOPLE).reshape(rooms, MOST_PEOPLE)
    counted = often.sum(axis=1)
    enough = often.cumsum(axis=1) >= np.ceil(counted * USUALLY)[:, None]
    people = enough.argmax(axis=1)
    return counted, [int(most) if there else None for most, there in zip(people, counted, strict=True)]
