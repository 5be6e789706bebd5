"""Reads the hours that were counted of rooms, a year of all of them at once, as columns to be added up."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from sqlite3 import Connection

import numpy as np
from numpy.typing import NDArray

from agent import trends
from agent.core.model import RoomId
from agent.trends import COUNTS, HOUR, HOUR_S, LENGTHS, PEAK, ROOM, THERE, UNKNOWN, UNWATCHED

Column = NDArray[np.uint16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """What was counted from `since` to before `until`: one line per room and hour, in no order.

    An hour without a line was quiet: known, without a booking, and nobody there. Hours of a room's time
    that nobody recorded, after its first day, have a line of which `unknown_s` and `unwatched_s` are all.
    `room`, `day` and `hour` are as long as each column; `day` counts from `since`, `hour` is 0 to 23 by the
    room's own clock. Columns are unsigned and of 16 bits: add them up into something wider.
    """

    since: date
    until: date
    rooms: tuple[RoomId, ...]
    first_day: NDArray[np.int32]  # of each room, the first of which anything is recorded; `days` if none is
    recorded_days: int  # from `since` to the newest of which anything is recorded: later ones count nowhere
    lengths_s: Column  # [day, hour]: 7200 and 0 where clocks change, and 0 for hours that are not over
    room: Column
    day: Column
    hour: Column
    columns: Mapping[str, Column]  # by the names of `Counted`

    def __getitem__(self, name: str) -> Column:
        """The column of that name of `Counted`; KeyError if it was not asked for."""
        return self.columns[name]

    @property
    def days(self) -> int:
        """How many there are from `since` to before `until`."""
        return (self.until - self.since).days


def read(
    directory: Path,
    *,
    since: date,
    until: date,
    rooms: Sequence[RoomId] | None = None,
    names: Sequence[str] = COUNTS,
) -> Hours:
    """The hours of these days, `until` not included, of these rooms (None: all that were ever recorded).

    `directory` is the state directory; `names` are the columns that are wanted. Rooms of which nothing is
    recorded are there and have no lines. sqlite3.OperationalError if the file is not there or may not be
    read, sqlite3.DatabaseError or zlib.error if it is damaged.
    """
    chosen = (ROOM, HOUR, THERE, LENGTHS, *names)
    with closing(
        trends.open_to_read(directory)
    ) as file:  # no longer than it takes: it keeps who writes waiting
        kept = _kept(file, since.toordinal(), until.toordinal(), chosen)
    return _read(kept, since, until, rooms, names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """Rows of the file, all of one moment."""

    rooms: Sequence[tuple[int, str]]
    packed: Sequence[tuple[int, str, bytes]]  # day, name, body
    loose: Mapping[
        int, Sequence[tuple[int, int, int, int, bytes]]
    ]  # by day: start, room, hour, length, counts


def _kept(file: Connection, first: int, last: int, names: Sequence[str]) -> _Kept:
    file.execute("BEGIN")
    asked = ", ".join("?" * len(names))
    packed = file.execute(
        f"SELECT day, name, body FROM days WHERE day >= ? AND day < ? AND name IN ({asked})",  # noqa: S608
        (first, last, *names),
    ).fetchall()
    loose = file.execute(
        "SELECT DISTINCT day FROM hours WHERE day >= ? AND day < ? AND day NOT IN (SELECT day FROM days)",
        (first, last),
    ).fetchall()
    of_day = "SELECT starts_s, room, hour, length_s, counts FROM hours WHERE day = ?"
    return _Kept(
        rooms=file.execute("SELECT id, name FROM rooms").fetchall(),
        packed=packed,
        loose={day: file.execute(of_day, (day,)).fetchall() for (day,) in loose},
    )


def _read(
    kept: _Kept, since: date, until: date, rooms: Sequence[RoomId] | None, names: Sequence[str]
) -> Hours:
    numbers = {RoomId(name): number for number, name in kept.rooms}
    wanted = tuple(sorted(numbers)) if rooms is None else tuple(dict.fromkeys(rooms))
    places = np.full(trends.MOST + 1, -1, dtype=np.int32)  # by number, among the wanted
    for place, name in enumerate(wanted):
        if name in numbers:
            places[numbers[name]] = place
    first, days = since.toordinal(), max(0, (until - since).days)
    packed = _packed_days(kept) | {day: _loose_day(rows) for day, rows in kept.loose.items()}
    lengths = np.full((days, 24), HOUR_S, dtype=np.uint16)
    there = np.zeros((len(wanted), days), dtype=np.bool_)
    every: list[tuple[int, NDArray[np.int32], Mapping[str, Column]]] = []
    for day, columns in sorted(packed.items()):
        lengths[day - first] = columns[LENGTHS]
        of_day = places[columns[THERE]]
        there[of_day[of_day >= 0], day - first] = True
        every.append((day - first, places[columns[ROOM]], columns))
    return _joined(since, until, wanted, every, lengths, there, names)


def _packed_days(kept: _Kept) -> dict[int, dict[str, Column]]:
    packed: defaultdict[int, dict[str, Column]] = defaultdict(dict)
    for day, name, body in kept.packed:
        packed[day][name] = np.frombuffer(zlib.decompress(body), dtype=np.uint16)
    return {day: _whole(columns) for day, columns in packed.items()}


def _loose_day(rows: Sequence[tuple[int, int, int, int, bytes]]) -> dict[str, Column]:
    """What `trends.packed` makes of a day, made of all rows at once."""
    width = 2 * len(COUNTS)
    starts_s, numbers, hour, length_s = np.array([row[:4] for row in rows], dtype=np.int64).T
    body = b"".join(row[4].ljust(width, b"\0") for row in rows)
    counts = np.frombuffer(body, dtype=np.uint16).reshape(-1, len(COUNTS))
    there, room = np.unique(numbers, return_inverse=True)
    starts, first = np.unique(starts_s, return_index=True)
    stretches = zip(hour[first].tolist(), length_s[first].tolist(), strict=True)
    lengths = np.array(trends.lengths(dict(zip(starts.tolist(), stretches, strict=True))), dtype=np.int64)
    told = np.zeros((len(there), 24, len(COUNTS)), dtype=np.int64)
    known_s = np.zeros((len(there), 24), dtype=np.int64)
    peak = np.zeros((len(there), 24), dtype=np.int64)
    for start in starts:  # one hour of all rooms, and so no room twice
        now = starts_s == start
        told[room[now], hour[now]] += counts[now]
        known_s[room[now], hour[now]] += length_s[now]
        peak[room[now], hour[now]] = np.maximum(peak[room[now], hour[now]], counts[now, PEAK])
    told[:, :, PEAK] = peak
    missing = np.maximum(0, lengths[None, :] - known_s)  # others were recorded then
    told[:, :, UNKNOWN] += missing
    told[:, :, UNWATCHED] += missing
    place, of_day = np.nonzero(np.any(told > 0, axis=2))
    lines = np.minimum(told[place, of_day], trends.MOST).astype(np.uint16)
    return {
        ROOM: there[place].astype(np.uint16),
        HOUR: of_day.astype(np.uint16),
        **{name: lines[:, column] for column, name in enumerate(COUNTS)},
        THERE: there.astype(np.uint16),
        LENGTHS: lengths.astype(np.uint16),
    }


def _whole(columns: dict[str, Column]) -> dict[str, Column]:
    """With the columns that were nothing but 0, which are not kept."""
    length = max((len(column) for name, column in columns.items() if name not in {THERE, LENGTHS}), default=0)
    zeros = np.zeros(length, dtype=np.uint16)
    return {
        THERE: zeros[:0],
        LENGTHS: np.zeros(24, dtype=np.uint16),
        **dict.fromkeys((ROOM, HOUR, *COUNTS), zeros),
        **columns,
    }


def _joined(
    since: date,
    until: date,
    rooms: tuple[RoomId, ...],
    every: Sequence[tuple[int, NDArray[np.int32], Mapping[str, Column]]],
    lengths: Column,
    there: NDArray[np.bool_],
    names: Sequence[str],
) -> Hours:
    days = len(lengths)
    told = np.argmax(there, axis=1) if days else np.zeros(len(rooms))
    first_day = np.where(np.any(there, axis=1), told, days).astype(np.int32)
    recorded = np.flatnonzero(np.any(there, axis=0))
    newest = int(recorded[-1]) + 1 if len(recorded) else 0
    lengths[newest:] = 0
    missing = ~there[:, :newest] & (np.arange(newest)[None, :] >= first_day[:, None])
    gap_room, gap_day = np.nonzero(missing)  # days of a room without a word
    kept = [(day, place, columns, place >= 0) for day, place, columns in every]
    all_kept = [bool(mask.all()) for *_, mask in kept]

    def joined(parts: Iterable[NDArray[np.generic]], gaps: NDArray[np.generic]) -> Column:
        chosen = [
            part if whole else part[mask]
            for part, (*_, mask), whole in zip(parts, kept, all_kept, strict=True)
        ]
        return np.concatenate([*chosen, gaps], dtype=np.uint16, casting="unsafe")

    gap_lengths = lengths[gap_day].ravel()
    silent = {"unknown_s", "unwatched_s"}
    return Hours(
        since=since,
        until=until,
        rooms=rooms,
        first_day=first_day,
        recorded_days=newest,
        lengths_s=lengths,
        room=joined((place for _, place, _, _ in kept), np.repeat(gap_room, 24)),
        day=joined((np.full(len(place), day) for day, place, _, _ in kept), np.repeat(gap_day, 24)),
        hour=joined((columns[HOUR] for _, _, columns, _ in kept), np.tile(np.arange(24), len(gap_day))),
        columns={
            name: joined(
                (columns[name] for _, _, columns, _ in kept),
                gap_lengths if name in silent else np.zeros_like(gap_lengths),
            )
            for name in names
        },
    )
