"""Keeps what was counted of each room and hour, in a file small enough to be read whole at once."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import date, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from agent.core.model import Counted, HourTally, RoomId

Connection = sqlite3.Connection

FILE: Final = "trends.db"  # in the state directory, always
KEEP_DAYS: Final = 400
LEVEL: Final = 6  # of zlib: higher ones take longer and save next to nothing
STAY_LOOSE: Final = 3  # days, the newest: of those more hours may come, and what is older is packed
BUSY_S: Final = 5.0  # a report reads for less than a second
APPLICATION: Final = 0x726D7472  # "rmtr", in the file's header
SCHEMA: Final = 1

COUNTS: Final = tuple(field.name for field in fields(Counted))
_VALUES: Final = attrgetter(*COUNTS)
ROOM: Final = "room"  # the columns of a packed day beside the counts: of each hour its room's number …
HOUR: Final = "hour"  # … and which it was
THERE: Final = "there"  # the numbers of the rooms that the day tells of; what it does not tell of them is 0
LENGTHS: Final = "lengths"  # of the day's 24 hours (s)
NAMES: Final = "names"  # of the day's columns, and of its rooms as `there` has them
HOUR_S: Final = 3600
MOST: Final = 0xFFFF  # that a column can hold of anything
UNKNOWN: Final = COUNTS.index("unknown_s")
UNWATCHED: Final = COUNTS.index("unwatched_s")
PEAK: Final = COUNTS.index("people_peak")

_TABLES: Final = """
CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE hours (                        -- of the newest days, one row for each that is over
    starts_s INTEGER NOT NULL,              -- since 1970
    room INTEGER NOT NULL,
    day INTEGER NOT NULL,                   -- proleptic Gregorian ordinal, of the room's own calendar
    hour INTEGER NOT NULL,                  -- 0 to 23, by the room's own clock
    length_s INTEGER NOT NULL,
    watched_s INTEGER NOT NULL,             -- of that, while roomd ran
    counts BLOB NOT NULL,                   -- 16 bits each in this machine's order, as `Counted` has them
    PRIMARY KEY (starts_s, room)
) STRICT, WITHOUT ROWID;
CREATE TABLE days (                         -- all others: a column of all rooms' hours of a day, compressed
    day INTEGER NOT NULL,
    name TEXT NOT NULL,                     -- of a column that holds nothing but 0 there is none
    body BLOB NOT NULL,
    PRIMARY KEY (day, name)
) STRICT, WITHOUT ROWID;
"""


class MadeByNewer(Exception):
    """The file was made by a newer roomd, and this one would guess at it."""


def open_to_write(directory: Path) -> Connection:
    """The file, made if it is not there. Raises sqlite3.Error, or MadeByNewer."""
    return _open_to_write(directory / FILE)


def _open_to_write(path: Path) -> Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: Connection, path: Path) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA:
        raise MadeByNewer(f"{path} has format {version}, and this roomd knows up to {SCHEMA}")
    if version == 0:
        with writing(connection):
            for statement in _TABLES.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")


def open_to_read(directory: Path) -> Connection:
    """The file, for reading alone; sqlite3.OperationalError if it is not there or may not be read.

    A write that a crash cut short is undone first, by who may do that.
    """
    return _open_to_read(directory / FILE)


def _open_to_read(path: Path) -> Connection:
    file = _read_only(path)
    try:
        file.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError as error:
        file.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as cut_short:
            cut_short.execute("PRAGMA user_version").fetchone()
        return _read_only(path)
    except BaseException:
        file.close()
        raise
    return file


def _read_only(path: Path) -> Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None
    )


@contextmanager
def writing(connection: Connection) -> Iterator[Connection]:
    """One transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


# ── hours in ──────────────────────────────────────────────────────────────────────────────────────


def save(tx: Connection, tallies: Iterable[HourTally]) -> None:
    """Write these over what was known of the same hours, unless that was watched for longer.

    An hour is told twice after a crash, and once more by a clock that was set back.
    """
    rows = [(t.room, _starts_s(t), t.day.toordinal(), t.hour, t.length_s, *_packed(t)) for t in tallies]
    if not rows:
        return
    rooms = numbers(tx, {room for room, *_ in rows})
    tx.executemany(
        "INSERT INTO hours (room, starts_s, day, hour, length_s, watched_s, counts) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (starts_s, room) DO UPDATE SET day = excluded.day, "
        "hour = excluded.hour, length_s = excluded.length_s, watched_s = excluded.watched_s, "
        "counts = excluded.counts WHERE excluded.watched_s >= hours.watched_s",
        [(rooms[room], *rest) for room, *rest in rows],
    )


def _starts_s(tally: HourTally) -> int:
    return int(tally.starts_at.timestamp())


def _packed(tally: HourTally) -> tuple[int, bytes]:
    counts = array("H", [min(MOST, round(value)) for value in _VALUES(tally.counted)])
    return max(0, tally.length_s - counts[UNWATCHED]), counts.tobytes()


def numbers(tx: Connection, names: Iterable[RoomId]) -> Mapping[RoomId, int]:
    """By which the file knows these rooms; those that are new to it are given one."""
    tx.executemany("INSERT OR IGNORE INTO rooms (name) VALUES (?)", [(name,) for name in sorted(names)])
    return {RoomId(name): number for number, name in tx.execute("SELECT id, name FROM rooms")}


# ── days packed ───────────────────────────────────────────────────────────────────────────────────


def tidy(tx: Connection, *, today: date) -> None:
    """Pack the days that are old enough, and forget those that are too many.

    `today` is the day of the newest hour, of which more will come. Days are counted, not dated: a clock that
    was wrong for a moment must not cost a year. And none is packed that is not over: a clock that was ahead
    for days must not cost those that follow. Where a day was packed already, by a clock that was set back
    since, what tells more of it is kept.
    """
    loose = [day for (day,) in tx.execute("SELECT DISTINCT day FROM hours ORDER BY day DESC").fetchall()]
    for day in loose[STAY_LOOSE:]:
        if day > today.toordinal() - STAY_LOOSE:
            continue
        columns = packed(tx, day)
        if _told_s(columns) > _told_s(_columns_of(tx, day)):
            tx.execute("DELETE FROM days WHERE day = ?", (day,))
            save_day(tx, day, columns)
        tx.execute("DELETE FROM hours WHERE day = ?", (day,))
    kept = tx.execute(
        "SELECT DISTINCT day FROM days ORDER BY day DESC LIMIT 1 OFFSET ?", (KEEP_DAYS - STAY_LOOSE - 1,)
    ).fetchone()
    if kept is not None:
        tx.execute("DELETE FROM days WHERE day < ?", kept)


def packed(tx: Connection, day: int) -> dict[str, array[int]]:
    """The columns of a day of which hours are kept one by one, each as long as `room` but the last two."""
    told: dict[tuple[int, int], array[int]] = {}
    known_s: defaultdict[tuple[int, int], int] = defaultdict(int)
    stretches: dict[int, tuple[int, int]] = {}  # by start: the hour, and how long it is at most
    for starts_s, room, hour, length_s, body in tx.execute(
        "SELECT starts_s, room, hour, length_s, counts FROM hours WHERE day = ?", (day,)
    ):
        counts, before = array("H", body + bytes(2 * len(COUNTS) - len(body))), told.get((room, hour))
        told[room, hour] = counts if before is None else _together(before, counts)
        known_s[room, hour] += length_s
        stretches[starts_s] = hour, max(length_s, stretches.get(starts_s, (hour, 0))[1])
    lengths_s = array("H", lengths(stretches))
    there = sorted({room for room, _ in told})
    for room in there:
        for hour, length_s in enumerate(lengths_s):
            if (missing := length_s - known_s[room, hour]) > 0:  # others were recorded then
                counts = told.setdefault((room, hour), array("H", bytes(2 * len(COUNTS))))
                counts[UNKNOWN] = min(MOST, counts[UNKNOWN] + missing)
                counts[UNWATCHED] = min(MOST, counts[UNWATCHED] + missing)
    places = sorted(place for place, counts in told.items() if any(counts))
    columns = {
        name: array("H", [told[place][number] for place in places]) for number, name in enumerate(COUNTS)
    }
    return {
        ROOM: array("H", [room for room, _ in places]),
        HOUR: array("H", [hour for _, hour in places]),
        **columns,
        THERE: array("H", there),
        LENGTHS: lengths_s,
    }


def _columns_of(tx: Connection, day: int) -> dict[str, array[int]]:
    """As far as `_told_s` asks."""
    bodies = tx.execute("SELECT name, body FROM days WHERE day = ? AND name IN (?, ?)", (day, THERE, LENGTHS))
    return {name: array("H", zlib.decompress(body)) for name, body in bodies}


def _told_s(columns: Mapping[str, array[int]]) -> int:
    """How much of rooms' time a day tells of (s)."""
    nothing = array("H")
    return len(columns.get(THERE, nothing)) * sum(columns.get(LENGTHS, nothing))


def lengths(stretches: Mapping[int, tuple[int, int]]) -> list[int]:
    """How long each of the day's 24 hours is (s), by the hour and length of what begins at each second.

    The doubled hour of autumn begins twice. Time between two hours of which nobody wrote anything is that of
    the hours that follow the first.
    """
    lengths_s = [0] * 24
    ends_s, last = min(stretches, default=0), 0
    for starts_s, (hour, length_s) in sorted(stretches.items()):
        while starts_s > ends_s:
            last = min(last + 1, 23)
            missing_s = min(HOUR_S, starts_s - ends_s)
            lengths_s[last] += missing_s
            ends_s += missing_s
        lengths_s[hour] += length_s
        ends_s, last = starts_s + length_s, hour
    return [min(MOST, length_s) for length_s in lengths_s]


def _together(one: array[int], other: array[int]) -> array[int]:
    both = array("H", [min(MOST, a + b) for a, b in zip(one, other, strict=True)])
    both[PEAK] = max(one[PEAK], other[PEAK])
    return both


def save_day(tx: Connection, day: int, columns: Mapping[str, array[int]]) -> None:
    """Keep a day as `packed` makes it, with its columns and rooms by name, for who finds nothing else."""
    rows = [
        (day, name, zlib.compress(column.tobytes(), LEVEL)) for name, column in columns.items() if any(column)
    ]
    rooms = dict(tx.execute("SELECT id, name FROM rooms").fetchall())
    names = [[name for _, name, _ in rows], [rooms[number] for number in columns[THERE]]]
    tx.executemany(
        "INSERT INTO days (day, name, body) VALUES (?, ?, ?)",
        [*rows, (day, NAMES, zlib.compress(json.dumps(names).encode()))],
    )


# ── copies ────────────────────────────────────────────────────────────────────────────────────────


def beside(backup: Path) -> Path:
    """Where the trends of a backup are."""
    return backup.with_name(f"{backup.name}.trends")


def back_up(directory: Path, file: Path) -> int | None:
    """Write all of it as of now into this file, for its owner alone. Returns its days; None: there is none.

    Raises sqlite3.Error, where it is damaged, and OSError; then what was there before is there still.
    """
    if not (directory / FILE).exists():
        return None
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    try:
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(open_to_read(directory)) as own:
            own.execute("VACUUM INTO ?", (str(new),))
        days = look(new)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    return days


def look(file: Path) -> int:
    """Of how many days a copy tells; sqlite3.Error if it is damaged, or no such file."""
    with closing(_open_to_read(file)) as copy:
        (made_by,) = copy.execute("PRAGMA application_id").fetchone()
        (sound,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        if made_by != APPLICATION or sound != "ok":
            raise sqlite3.DatabaseError(f"{file} is no file of trends, or it is damaged: {sound}")
        (days,) = copy.execute(
            "SELECT count(*) FROM (SELECT day FROM days UNION SELECT day FROM hours)"
        ).fetchone()
    return int(days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the file holds, in numbers alone."""

    bytes: int
    days: int
    first_day: str | None  # ISO 8601
    last_day: str | None
    rooms: int
    hours: int  # that are not packed
    set_aside: int  # damaged files beside it


def survey(directory: Path) -> Survey:
    """What it holds. Raises sqlite3.Error, where it is damaged or may not be read, and OSError."""
    path = directory / FILE
    size = path.stat().st_size
    days = look(path)
    with closing(open_to_read(directory)) as file:
        first, last = file.execute(
            "SELECT min(day), max(day) FROM (SELECT day FROM days UNION SELECT day FROM hours)"
        ).fetchone()
        (rooms,) = file.execute("SELECT count(*) FROM rooms").fetchone()
        (hours,) = file.execute("SELECT count(*) FROM hours").fetchone()
    return Survey(
        bytes=size,
        days=days,
        first_day=None if first is None else date.fromordinal(first).isoformat(),
        last_day=None if last is None else date.fromordinal(last).isoformat(),
        rooms=rooms,
        hours=hours,
        set_aside=len(list(directory.glob(f"{FILE}.corrupt-*"))),
    )


def restore(file: Path, directory: Path) -> int:
    """Put a copy in the place of the file, which is kept as `trends.db.replaced`. Returns its days.

    Nobody may write meanwhile. Raises sqlite3.Error where the copy is damaged, and OSError.
    """
    days = look(file)
    new = directory / f"{FILE}.new"
    try:
        shutil.copyfile(file, new)
        new.chmod(0o640)
        if (directory / FILE).exists():
            (directory / FILE).replace(directory / f"{FILE}.replaced")
        (directory / f"{FILE}-journal").unlink(missing_ok=True)
        new.replace(directory / FILE)
    finally:
        new.unlink(missing_ok=True)
    return days


# ── damage ────────────────────────────────────────────────────────────────────────────────────────


def rescue(directory: Path, *, now: datetime) -> tuple[Path, int]:
    """Put a new file in the place of a damaged one, with all that can be read of that.

    Returns where the damaged one is kept, for a person to look at, and of how many days the new one tells.
    One that was kept before is deleted. Raises sqlite3.Error and OSError; whatever ends it before its end,
    the damaged file is in its place still.
    """
    path, new = directory / FILE, directory / f"{FILE}.new"
    for rest in (new, directory / f"{FILE}.new-journal", directory / f"{FILE}-journal"):
        rest.unlink(missing_ok=True)
    days = _salvage(path, new)
    for old in directory.glob(f"{FILE}.corrupt-*"):
        old.unlink()
    aside = directory / f"{FILE}.corrupt-{now:%Y%m%dT%H%M%SZ}"
    aside.hardlink_to(path)
    new.replace(path)
    return aside, days


def _salvage(damaged: Path, new: Path) -> int:
    days: defaultdict[int, dict[str, bytes]] = defaultdict(dict)
    for day, name, body in _readable(damaged, "days"):
        days[day][name] = body
    with closing(_open_to_write(new)) as file, writing(file) as tx:
        for day, columns in days.items():
            rooms = _rooms_of(columns)
            if rooms is not None:
                _copy(tx, "rooms", "?, ?", rooms)
                _copy(tx, "days", "?, ?, ?", [(day, name, body) for name, body in columns.items()])
        _copy(tx, "rooms", "?, ?", _readable(damaged, "rooms"))
        _copy(tx, "hours", "?, ?, ?, ?, ?, ?, ?", _readable(damaged, "hours"))
        tx.execute("DELETE FROM hours WHERE room NOT IN (SELECT id FROM rooms)")
        (saved,) = tx.execute(
            "SELECT count(*) FROM (SELECT day FROM days UNION SELECT day FROM hours)"
        ).fetchone()
    return int(saved)


def _copy(tx: Connection, table: str, marks: str, rows: Iterable[tuple[Any, ...]]) -> None:
    for row in rows:
        with suppress(sqlite3.Error):  # what should be a number is none
            tx.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608


def _readable(damaged: Path, table: str) -> Iterator[tuple[Any, ...]]:
    """From both ends up to the damage, where there is any."""
    for order in ("ASC", "DESC"):
        with (
            suppress(sqlite3.Error),
            closing(_read_only(damaged)) as old,
        ):
            yield from old.execute(f"SELECT * FROM {table} ORDER BY 1 {order}")  # noqa: S608


def _rooms_of(columns: Mapping[str, bytes]) -> list[tuple[int, str]] | None:
    """The numbers and names of a day's rooms; None if something of the day is lost."""
    try:
        whole = {name: zlib.decompress(body) for name, body in columns.items()}
        names, rooms = json.loads(whole[NAMES])
        numbers = array("H", whole[THERE])
    except (KeyError, TypeError, ValueError, zlib.error):
        return None  # a column that is lost would count as nothing but 0
    return list(zip(numbers, rooms, strict=True)) if {*names, NAMES} == columns.keys() else None
