"""What really happened in a room: its bookings, and everybody who was in it; no sensor has a part in this."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from tests.prove.year.rooms import Traits

ZONE: Final = ZoneInfo("Europe/Oslo")
FIRST_DAY: Final = date(2026, 1, 1)
DAYS: Final = 365
MINUTE: Final = 60.0
NEVER: Final = math.inf
ANSWERS: Final = (6.0, 12.0, 20.0, 35.0, 50.0, 80.0, NEVER)  # s until somebody touches what asks them to


class Kind(StrEnum):
    """What became of a booking, in truth."""

    MEETING = "a meeting"
    LAPTOPS = "laptops only"  # the device is not touched
    CORNER = "out of view"
    ALONE = "one person, turned away"
    DIALLED = "joined by the device, room empty"
    LATE = "late by 10 to 25 min"
    LEFT = "left early"
    PAUSE = "a long pause"
    OTHERS = "used by others"
    NOBODY = "nobody"
    REMOTE = "all of them elsewhere"
    GLANCE = "somebody looked in"
    CLEANED = "cleaned meanwhile"
    CALLED_OFF = "called off when it had begun"


GHOSTS: Final = frozenset({Kind.NOBODY, Kind.REMOTE, Kind.GLANCE, Kind.CLEANED, Kind.CALLED_OFF})
USED: Final = (
    # what, weight
    (Kind.MEETING, 50),
    (Kind.LAPTOPS, 17),
    (Kind.ALONE, 8),
    (Kind.DIALLED, 2),
    (Kind.LATE, 6),
    (Kind.LEFT, 11),
    (Kind.PAUSE, 3),
    (Kind.OTHERS, 3),
)
FORSAKEN: Final = (
    (Kind.NOBODY, 62),
    (Kind.REMOTE, 18),
    (Kind.GLANCE, 10),
    (Kind.CLEANED, 5),
    (Kind.CALLED_OFF, 5),
)


class Purpose(StrEnum):
    """Why somebody is, or is seen, in a room."""

    MEETS = "meets"
    WALKS_IN = "walks in"  # without a booking
    LOOKS_IN = "looks in"
    CLEANS = "cleans"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Some people in the room, together from one instant to another (s since 1970)."""

    from_s: float
    to_s: float
    heads: int
    purpose: Purpose
    booking: int | None = None  # whose meeting it is
    view: float = 1.0  # how much of the time each of them faces the camera
    moves: float = 1.0  # how much of the time they move
    answers_after_s: float = NEVER  # if a screen of the room asks whether they are there


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A call of the room's device, or something shared on its screen."""

    from_s: float
    to_s: float


@dataclass(slots=True, kw_only=True)
class Booked:
    """A booking as its calendar has it. `ends_s` may change once, at `changed_s`."""

    number: int
    kind: Kind
    starts_s: float
    ends_s: float
    created_s: float
    all_day: bool = False
    deleted_s: float = NEVER
    changed_s: float = NEVER
    planned_ends_s: float = 0.0  # before the change

    def ends_at(self, now_s: float) -> float:
        """Its end as the calendar has it then."""
        return self.ends_s if now_s >= self.changed_s else self.planned_ends_s or self.ends_s


@dataclass(slots=True, kw_only=True)
class Past:
    """A room's whole year."""

    traits: Traits
    bookings: list[Booked] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    calls: list[Span] = field(default_factory=list)
    shares: list[Span] = field(default_factory=list)
    shutters: list[Span] = field(default_factory=list)  # somebody has closed the camera's lid
    begins_s: float = 0.0
    ends_s: float = 0.0


def lived(traits: Traits, *, seed: int, days: int = DAYS) -> Past:
    """All that happened in a room from the first day on."""
    luck = Random(f"{seed}/people/{traits.number}")
    past = Past(
        traits=traits,
        begins_s=_at(FIRST_DAY, 0.0),
        ends_s=_at(FIRST_DAY + timedelta(days=days), 0.0),
    )
    for number in range(days):
        _live(past, FIRST_DAY + timedelta(days=number), luck)
    past.visits.sort(key=lambda visit: visit.from_s)
    past.calls.sort(key=lambda span: span.from_s)
    past.shares.sort(key=lambda span: span.from_s)
    return past


def _at(day: date, hour: float) -> float:
    """That time of the day by the room's clock, in seconds since 1970."""
    local = datetime.combine(day, time(), tzinfo=ZONE)
    wall = local + timedelta(hours=hour)
    return wall.astimezone(UTC).timestamp()


def _live(past: Past, day: date, luck: Random) -> None:
    working = day.weekday() < 5
    if working:
        for booked in _agenda(past, day, luck):
            past.bookings.append(booked)
            _meet(past, booked, luck)
        if luck.random() < 0.8:
            _pass_through(past, _at(day, luck.uniform(17.0, 19.5)), Purpose.CLEANS, luck)
    elif luck.random() < 0.05:
        past.bookings.append(booked := _book(past, luck, _at(day, 10.0), _at(day, 11.0)))
        _meet(past, booked, luck)
    for _ in range(_poisson(luck, 2.0 if working else 0.05)):
        _pass_through(past, _at(day, luck.uniform(8.0, 18.0)), Purpose.LOOKS_IN, luck)
    if working and luck.random() < 0.5:
        _walk_in(past, day, luck)


def _agenda(past: Past, day: date, luck: Random) -> Iterator[Booked]:
    if luck.random() < 0.012:
        yield _book(past, luck, _at(day, 0.0), _at(day + timedelta(days=1), 0.0), all_day=True)
        return
    hour = luck.choice((8.0, 8.5, 9.0, 9.0, 9.5))
    fill = past.traits.busy / 8.0 * (0.8 if day.weekday() == 4 else 1.05)
    while hour < 16.5:
        if luck.random() > fill:
            hour += 0.5
            continue
        lasts = luck.choices((0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 6.0), (26, 6, 44, 10, 9, 4, 1))[0]
        yield _book(past, luck, _at(day, hour), _at(day, hour + lasts))
        hour += math.ceil(lasts * 2) / 2
        if luck.random() < 0.5:  # the other half are back to back
            hour += luck.choice((0.5, 0.5, 1.0))


def _book(past: Past, luck: Random, starts_s: float, ends_s: float, *, all_day: bool = False) -> Booked:
    forsaken = past.traits.forsaken * (1.3 if starts_s % 86400 > 13 * 3600 else 1.0)
    if all_day:
        forsaken = 0.5
    if luck.random() < forsaken:
        kind = _drawn(luck, FORSAKEN)
    else:
        kind = Kind.CORNER if luck.random() < past.traits.corner else _drawn(luck, USED)
    if kind is Kind.DIALLED and not past.traits.eyes:
        kind = Kind.REMOTE
    if kind is Kind.LATE and ends_s - starts_s < 45 * MINUTE:
        kind = Kind.MEETING
    if kind is Kind.PAUSE and ends_s - starts_s < 90 * MINUTE:
        kind = Kind.LEFT
    ahead_s = 40 * 3600.0 if luck.random() < 0.85 else luck.uniform(2 * MINUTE, 5 * 3600.0)
    booked = Booked(
        number=len(past.bookings),
        kind=kind,
        starts_s=starts_s,
        ends_s=ends_s,
        created_s=starts_s - ahead_s,
        all_day=all_day,
    )
    if kind is Kind.CALLED_OFF:
        booked.deleted_s = starts_s + luck.uniform(0.3, 0.7) * (ends_s - starts_s)
    elif (
        kind not in GHOSTS and not all_day and luck.random() < 0.02
    ):  # it was to end sooner, and was extended
        booked.planned_ends_s = ends_s - 0.25 * (ends_s - starts_s)
        booked.changed_s = booked.planned_ends_s - luck.uniform(2, 8) * MINUTE
    return booked


def _drawn(luck: Random, weighted: tuple[tuple[Kind, int], ...]) -> Kind:
    kinds, weights = zip(*weighted, strict=True)
    chosen: Kind = luck.choices(kinds, weights)[0]
    return chosen


# ── meetings ──────────────────────────────────────────────────────────────────────────────────────


def _meet(past: Past, booked: Booked, luck: Random) -> None:
    starts_s, ends_s = booked.starts_s, booked.ends_s
    if booked.all_day:
        starts_s += 9 * 3600.0
        ends_s = starts_s + 7 * 3600.0
    lasts_s = ends_s - starts_s
    match booked.kind:
        case Kind.NOBODY | Kind.REMOTE | Kind.CALLED_OFF:
            return
        case Kind.GLANCE:
            for _ in range(luck.randint(1, 3)):
                _pass_through(past, starts_s + luck.random() * lasts_s * 0.9, Purpose.LOOKS_IN, luck)
            return
        case Kind.CLEANED:
            _pass_through(past, starts_s + luck.random() * lasts_s * 0.7, Purpose.CLEANS, luck)
            return
        case Kind.DIALLED:
            from_s = starts_s + luck.uniform(-1, 4) * MINUTE
            past.calls.append(Span(from_s=from_s, to_s=ends_s + luck.uniform(-8, 3) * MINUTE))
            return
        case _:
            pass
    come_s = starts_s + _lateness(booked.kind, luck, lasts_s)
    go_s = ends_s + luck.gauss(-1.5, 3.0) * MINUTE
    if booked.kind is Kind.LEFT:
        go_s = come_s + luck.uniform(0.25, 0.7) * lasts_s
    elif luck.random() < 0.12:
        go_s = ends_s + luck.uniform(3, 14) * MINUTE  # the next ones wait at the door
    go_s = max(go_s, come_s + 3 * MINUTE)
    pauses = [(come_s, go_s)]
    if booked.kind is Kind.PAUSE:
        middle_s = luck.uniform(0.35, 0.55) * lasts_s + starts_s
        pauses = [(come_s, middle_s), (middle_s + luck.uniform(12, 50) * MINUTE, go_s)]
    for part_from_s, part_to_s in pauses:
        if part_to_s - part_from_s > MINUTE:
            _sit(past, booked, part_from_s, part_to_s, luck)


def _lateness(kind: Kind, luck: Random, lasts_s: float) -> float:
    if kind is Kind.LATE:
        return min(luck.uniform(10, 25) * MINUTE, 0.6 * lasts_s)
    return min(luck.gauss(0.5, 3.0), 9.5) * MINUTE  # half of them before the hour


def _sit(past: Past, booked: Booked, from_s: float, to_s: float, luck: Random) -> None:
    """A meeting in the room: the first comes, the others follow, and one by one they leave."""
    seats = past.traits.seats
    heads = 1 if booked.kind is Kind.ALONE else max(2, min(seats, int(luck.gammavariate(2.2, seats / 6)) + 1))
    view, moves = 1.0, 1.0
    match booked.kind:
        case Kind.CORNER:
            view = luck.choice((0.0, 0.0, 0.02, 0.05))
        case Kind.ALONE:
            view, moves = luck.choice((0.3, 0.6, 0.9)), 0.4
        case Kind.LAPTOPS:
            view, moves = luck.choice((0.6, 0.85, 1.0)), 0.7
        case _:
            pass
    answers = luck.choice(ANSWERS)
    first_to_s = to_s
    last_to_s = max(from_s + 2 * MINUTE, to_s - luck.uniform(0, 2) * MINUTE)
    others_from_s = min(from_s + luck.expovariate(1 / (2 * MINUTE)), to_s - MINUTE)
    there = {"purpose": Purpose.MEETS, "booking": booked.number, "view": view, "moves": moves}
    past.visits.append(
        Visit(from_s=from_s, to_s=first_to_s, heads=1, answers_after_s=answers, **there)  # type: ignore[arg-type]
    )
    if heads > 1 and others_from_s < last_to_s:
        past.visits.append(
            Visit(from_s=others_from_s, to_s=last_to_s, heads=heads - 1, answers_after_s=answers, **there)  # type: ignore[arg-type]
        )
    device_used = booked.kind not in {Kind.LAPTOPS, Kind.CORNER, Kind.ALONE, Kind.OTHERS}
    if device_used and luck.random() < 0.45:
        begin_s = from_s + luck.uniform(0.5, 5) * MINUTE
        if to_s - MINUTE > begin_s:
            past.calls.append(Span(from_s=begin_s, to_s=to_s - luck.uniform(0.2, 1) * MINUTE))
    elif device_used and luck.random() < 0.7:
        begin_s = from_s + luck.uniform(1, 8) * MINUTE
        if to_s - 2 * MINUTE > begin_s:
            past.shares.append(Span(from_s=begin_s, to_s=luck.uniform(begin_s + MINUTE, to_s)))
    if luck.random() < 0.02:
        past.shutters.append(Span(from_s=from_s + 30, to_s=to_s + luck.uniform(0, 3) * 3600))


def _pass_through(past: Past, at_s: float, purpose: Purpose, luck: Random) -> None:
    lasts_s = luck.uniform(4, 40) if purpose is Purpose.LOOKS_IN else luck.uniform(3, 9) * MINUTE
    past.visits.append(Visit(from_s=at_s, to_s=at_s + lasts_s, heads=1, purpose=purpose, view=0.8, moves=1.0))


def _walk_in(past: Past, day: date, luck: Random) -> None:
    """Some people use the room while it is free."""
    from_s = _at(day, luck.uniform(8.0, 17.0))
    to_s = from_s + luck.uniform(8, 50) * MINUTE
    if any(b.starts_s < to_s + 600 and from_s - 600 < b.ends_s for b in past.bookings[-20:]):
        return
    past.visits.append(
        Visit(
            from_s=from_s,
            to_s=to_s,
            heads=luck.randint(1, 3),
            purpose=Purpose.WALKS_IN,
            view=0.9,
            moves=0.7,
            answers_after_s=luck.choice(ANSWERS),
        )
    )


def _poisson(luck: Random, mean: float) -> int:
    limit, product, count = math.exp(-mean), luck.random(), 0
    while product > limit:
        product *= luck.random()
        count += 1
    return count
