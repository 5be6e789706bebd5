"""Reads a whole database, beside its daemon or alone, and says in words what is not as it should be."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Final

from cloud_link.database import APPLICATION, SCHEMA, TABLES
from cloud_link.outbox import checksum

TOLD_AT_MOST: Final = 5  # of one kind by name: the others are counted
TELL_EVERY: Final = 5000  # envelopes

MEND_DAMAGE: Final = (
    "restart roomd: at its start it carries over what can be read, sets the damaged file aside, "
    "and tells the cloud. Then look at the disk: smartctl -a, dmesg"
)
MEND_ROT: Final = (
    "nothing to do for the envelopes: what is damaged is not sent, and the cloud is told which number is "
    "missing. Look at the disk and the memory: smartctl -a, dmesg"
)
MEND_BUG: Final = "make a bug report with `roomd support`; roomd goes on meanwhile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing that was looked at."""

    what: str
    seen: str
    mend: str | None = None  # None: it is as it should be

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.mend is None


Progress = Callable[[str, int, int], None]  # what is looked at, how far, of how much


def examine(
    tx: Connection, *, readable: Callable[[bytes], None], progress: Progress = lambda *_: None
) -> Iterator[Found]:
    """Every part in turn. `tx` is in a transaction, so that all is of one moment; nothing is written.

    `readable` raises ValueError for a room's state that cannot be read. What SQLite itself cannot read is a
    finding and no error; whatever else it raises, it raises.
    """
    for part in (_file, _envelopes, _numbers, _marks, _gaps):
        try:
            yield from part(tx, progress)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "no such" not in str(error):
                raise
            yield Found(what="file", seen=f"cannot be read on: {error}", mend=MEND_DAMAGE)
            return
    yield _rooms(tx, readable)


def _file(tx: Connection, progress: Progress) -> Iterator[Found]:
    progress("pages", 0, 1)
    ours = int(tx.execute("PRAGMA application_id").fetchone()[0]) == APPLICATION
    version = int(tx.execute("PRAGMA user_version").fetchone()[0])
    pages = int(tx.execute("PRAGMA page_count").fetchone()[0])
    if not ours or version > SCHEMA:
        whose = f"has schema {version}, and this roomd knows {SCHEMA}" if ours else "is not roomd's"
        yield Found(what="file", seen=whose, mend="use the version of roomd that wrote it")
        return
    wrong = [str(row[0]) for row in tx.execute(f"PRAGMA integrity_check({TOLD_AT_MOST})")]
    tables = {str(name) for (name,) in tx.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    missing = sorted(TABLES - tables) if version == SCHEMA else []
    if wrong != ["ok"]:
        yield Found(what="file", seen=f"is damaged: {'; '.join(wrong)}", mend=MEND_DAMAGE)
    elif missing:
        yield Found(what="file", seen=f"lacks the tables {', '.join(missing)}", mend=MEND_DAMAGE)
    else:
        yield Found(what="file", seen=f"all {pages} pages are whole, schema {version}")
    progress("pages", 1, 1)


def _envelopes(tx: Connection, progress: Progress) -> Iterator[Found]:
    """Each one's bytes against its checksum."""
    total = int(tx.execute("SELECT count(*) FROM outbox").fetchone()[0])
    waiting = int(
        tx.execute(
            "SELECT count(*) FROM outbox o JOIN streams s ON s.id = o.stream WHERE o.place > s.settled_place"
        ).fetchone()[0]
    )
    rotten: list[str] = []
    rows = tx.execute(
        "SELECT s.name, o.number, o.id, o.topic, o.payload, o.bytes, o.crc FROM outbox o "
        "LEFT JOIN streams s ON s.id = o.stream ORDER BY o.place"
    )
    for done, (stream, number, id_, topic, payload, count, crc) in enumerate(rows, 1):
        whole = (
            stream is not None
            and crc == checksum(id_, topic, payload)
            and str(id_).endswith(f"-{number}")
            and count == len(topic) + len(payload)
        )
        if not whole:
            rotten.append(f"{stream or 'no stream'} {id_}")
        if done % TELL_EVERY == 0 or done == total:
            progress("envelopes", done, total)
    if rotten:
        seen = f"{len(rotten)} of {total} are damaged: {_some(rotten)}"
        yield Found(what="envelopes", seen=seen, mend=MEND_ROT)
    else:
        yield Found(what="envelopes", seen=f"{total} are whole, {waiting} of them wait")


def _numbers(tx: Connection, progress: Progress) -> Iterator[Found]:
    """Every number of each stream is there, or a gap tells of it."""
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for stream, epoch, first, last in tx.execute("SELECT stream, epoch, first_number, last_number FROM gaps"):
        spans.setdefault((stream, epoch), []).append((first, last))
    now = _meta(tx, "epoch")
    streams = tx.execute("SELECT id, name, next_number FROM streams ORDER BY name").fetchall()
    holes: list[str] = []
    for done, (row, stream, next_number) in enumerate(streams, 1):
        before: tuple[str, int] | None = None
        for id_, number in tx.execute(
            "SELECT id, number FROM outbox WHERE stream = ? ORDER BY place", (row,)
        ):
            epoch = str(id_).rpartition("-")[0]
            if before is not None and before[0] == epoch:
                found = _holes(stream, epoch, before[1], number, spans)
                holes += found if epoch == now or number <= before[1] else []  # a reset told of older epochs
            before = (epoch, number)
        if before is not None and before[0] == now:
            holes += _holes(stream, now, before[1], next_number, spans)
        progress("streams", done, len(streams))
    if holes:
        seen = f"{len(holes)} places where numbers are missing, repeated or out of order: {_some(holes)}"
        yield Found(what="numbers", seen=seen, mend=MEND_BUG)
    else:
        yield Found(what="numbers", seen=f"no number is missing in {len(streams)} streams, epoch {now}")


def _holes(
    stream: str, epoch: str, before: int, number: int, spans: dict[tuple[str, str], list[tuple[int, int]]]
) -> list[str]:
    if number <= before:
        return [f"{stream} {epoch}-{before} is followed by {epoch}-{number}"]
    known = spans.get((stream, epoch), [])
    missing = [n for n in range(before + 1, number) if not any(first <= n <= last for first, last in known)]
    return [f"{stream} {epoch}-{missing[0]} to {epoch}-{missing[-1]}"] if missing else []


def _marks(tx: Connection, progress: Progress) -> Iterator[Found]:
    """Nothing is acknowledged that was never there, and no place can be given out twice."""
    progress("marks", 0, 1)
    wrong: list[str] = []
    top = int(
        tx.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'outbox'").fetchone()[0]
    )
    highest = int(tx.execute("SELECT coalesce(max(place), 0) FROM outbox").fetchone()[0])
    if highest > top:
        wrong.append(f"place {highest} lies beyond the last that was given out, {top}")
    wrong += [
        f"{name} is acknowledged up to place {place}, and {top} is the last that was given out"
        for name, place in tx.execute(
            "SELECT name, settled_place FROM streams WHERE settled_place > ?", (top,)
        )
    ]
    if not _meta(tx, "epoch"):
        wrong.append("there is no epoch")
    if not (_meta(tx, "connection") or "0").isdigit():
        wrong.append("the counter of connections is no number")
    if wrong:
        yield Found(what="marks", seen=_some(wrong), mend=MEND_DAMAGE)
    else:
        yield Found(what="marks", seen="what is acknowledged was there, and no place is given out twice")
    progress("marks", 1, 1)


def _gaps(tx: Connection, progress: Progress) -> Iterator[Found]:
    """Of what was dropped the cloud has been told, or will be."""
    progress("gaps", 0, 1)
    untold: list[str] = []
    waiting = dropped = count = 0
    rows = tx.execute(
        "SELECT g.stream, g.epoch, g.first_number, g.last_number, g.dropped, g.told_place, s.settled_place, "
        "o.place FROM gaps g LEFT JOIN streams s ON s.name = g.told_stream "
        "LEFT JOIN outbox o ON o.place = g.told_place ORDER BY g.id"
    )
    for stream, epoch, first, last, lost, told, settled, there in rows:
        count += 1
        dropped += lost
        if not 1 <= lost <= last - first + 1:
            untold.append(f"{stream} {epoch}-{first} to {last}: {lost} cannot have been dropped of these")
        if told is None or (settled is not None and told <= settled):
            continue
        waiting += 1
        if there is None:
            untold.append(f"{stream} {epoch}-{first} to {last}: its record is missing")
    letters = int(tx.execute("SELECT count(*) FROM dead_letters").fetchone()[0])
    if untold:
        yield Found(
            what="gaps",
            seen=f"{len(untold)} of {count} are not accounted for: {_some(untold)}",
            mend=MEND_BUG,
        )
    elif count:
        told = (
            f"the cloud is told of each ({waiting} on the way)" if waiting else "the cloud was told of each"
        )
        kept = f"; {letters} are kept as dead letters: `roomd outbox retry` shows them" if letters else ""
        yield Found(what="gaps", seen=f"{dropped} envelopes were dropped in {count} gaps, {told}{kept}")
    else:
        yield Found(what="gaps", seen="nothing was ever dropped")
    progress("gaps", 1, 1)


def _rooms(tx: Connection, readable: Callable[[bytes], None]) -> Found:
    total = 0
    unread: list[str] = []
    for room, body in tx.execute("SELECT room, body FROM snapshot ORDER BY room"):
        total += 1
        try:
            readable(body)
        except ValueError:
            unread.append(str(room))
    if unread:
        mend = (
            "nothing to do: their devices are asked anew at the next start. A bug report helps all the same"
        )
        return Found(what="rooms", seen=f"the states of {_some(unread)} cannot be read", mend=mend)
    return Found(what="rooms", seen=f"the states of {total} rooms can be read")


def _meta(tx: Connection, name: str) -> str:
    row = tx.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return "" if row is None else str(row[0])


def _some(names: list[str]) -> str:
    more = len(names) - TOLD_AT_MOST
    return ", ".join(names[:TOLD_AT_MOST]) + (f" and {more} more" if more > 0 else "")
