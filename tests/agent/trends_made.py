"""A file of trends as a site of any size would have it: plausible days, made at once and from one seed."""

from __future__ import annotations

import sys
from array import array
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent import trends
from agent.core.model import RoomId
from agent.trends import COUNTS, HOUR, LENGTHS, ROOM, THERE

FIRST = date(2025, 1, 1)
SLOTS = np.arange(24)
BUSY = np.interp(
    SLOTS, [0, 6, 8, 9, 11, 12, 14, 16, 18, 20, 23], [0, 0, 0.2, 0.7, 0.9, 0.4, 0.8, 0.6, 0.15, 0, 0]
)


def make(
    directory: Path, *, rooms: int = 1000, days: int = 400, first: date = FIRST, seed: int = 7
) -> tuple[RoomId, ...]:
    """Write `trends.db` there: `days` whole days from `first` on. Returns the rooms, room-0001 and so on.

    Some rooms are in demand and some are not; a few have no sensors, a few are blind every now and then.
    """
    luck = np.random.default_rng(seed)
    names = tuple(RoomId(f"room-{number:04}") for number in range(1, rooms + 1))
    capacity = luck.choice([2, 4, 4, 6, 8, 12, 20], rooms)
    demand = luck.beta(2, 2, rooms) * 1.2
    blind = luck.random(rooms) < 0.03
    with_connection = trends.open_to_write(directory)
    try:
        with trends.writing(with_connection) as tx:
            numbers = np.array([trends.numbers(tx, names)[name] for name in names])
            for day in range(days):
                today = first + timedelta(days=day)
                counted = _day(luck, today, demand, capacity, blind)
                rows, hours = np.nonzero(np.any(counted > 0, axis=0))
                columns = {name: counted[place][rows, hours] for place, name in enumerate(COUNTS)}
                trends.save_day(
                    tx,
                    today.toordinal(),
                    {
                        name: array("H", column.astype(np.uint16).tobytes())
                        for name, column in {
                            ROOM: numbers[rows],
                            HOUR: hours,
                            **columns,
                            THERE: numbers,
                            LENGTHS: np.full(24, 3600),
                        }.items()
                    },
                )
    finally:
        with_connection.close()
    return names


def _day(
    luck: np.random.Generator,
    today: date,
    demand: NDArray[np.float64],
    capacity: NDArray[np.int64],
    blind: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """[count, room, hour]."""
    shape = (len(demand), 24)
    weekday = today.weekday()
    pull = np.clip(
        demand[:, None] * BUSY[None, :] * (0.01 if weekday > 4 else 1 - 0.08 * abs(weekday - 1)), 0, 1
    )
    booked = luck.random(shape) < pull
    ghost = booked & (luck.random(shape) < 0.1 + 0.1 * (SLOTS > 15))
    used = (booked & ~ghost) | (~booked & (luck.random(shape) < pull * 0.15))
    unknown = (luck.random(shape) < 0.01) | blind[:, None]
    begun = booked & (luck.random(shape) < 0.9)
    early = booked & ~ghost & (luck.random(shape) < 0.15)
    people = np.minimum(1 + luck.poisson(capacity[:, None] * 0.3, shape), 2 * capacity[:, None])
    booked_s = booked * luck.integers(1500, 3601, shape)
    in_use_s = (
        used * ~unknown * np.where(booked, booked_s * (1 - 0.4 * early), luck.integers(300, 2000, shape))
    )
    attended_s = np.minimum(booked_s, in_use_s) * booked
    values = {
        "booked_s": booked_s,
        "attended_s": attended_s,
        "empty_s": np.where(unknown, 0, booked_s - attended_s),
        "in_use_s": in_use_s,
        "unknown_s": unknown * 3600,
        "counted_s": in_use_s * 0.9,
        "people_min": in_use_s * 0.9 / 60 * people,
        "people_peak": np.where(in_use_s > 0, people, 0),
        "bookings": begun,
        "attended": begun & used & ~early & ~unknown,
        "ghosts": begun & ghost & ~unknown,
        "left_early": begun & early & ~unknown,
        "unknown": begun & unknown,
        "freed_min": (begun & early & ~unknown) * luck.integers(5, 30, shape),
        "unbooked": (in_use_s > 0) & ~booked,
    }
    return np.stack([np.asarray(values.get(name, np.zeros(shape)), dtype=np.float64) for name in COUNTS])


if __name__ == "__main__":  # python -m tests.agent.trends_made DIRECTORY [ROOMS [DAYS]]
    where, *sizes = sys.argv[1:]
    make(Path(where), **dict(zip(("rooms", "days"), map(int, sizes), strict=False)))  # type: ignore[arg-type]
