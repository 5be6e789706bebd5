"""Plain functions over an open transaction: envelopes go in numbered, and are settled once acknowledged."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import chain
from pathlib import Path
from sqlite3 import Connection
from typing import Final, Protocol
from uuid import uuid4
from zlib import crc32

from cloud_link.delivery import Moment, age_s
from cloud_link.envelope import Envelope
from cloud_link.rows import write

REPLAY_S: Final = 24 * 3600.0  # acknowledged envelopes are kept so long, for a cloud that asks again
REPLAY_BYTES: Final = 64 * 1024 * 1024
DELETED_TOGETHER: Final = 2000  # rows per transaction: others are waiting for the disk
DROPPED_TOGETHER: Final = 1000
FREE_PAGES_KEPT: Final = 1024  # 4 MB: the file does not breathe with every batch
VACUUMED_TOGETHER: Final = 2048

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


# ── values ────────────────────────────────────────────────────────────────────────────────────────


class Seal(Protocol):
    """Makes an envelope of a fact, once its number is known: `functools.partial(envelope.seal, fact, …)`."""

    def __call__(self, *, epoch: str, number: int) -> Envelope:
        """The envelope, as it will be sent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """An envelope that is on disk."""

    place: int  # its order over all streams; grows, never used twice
    envelope: Envelope
    rotten: bool = False  # came back from the disk with other bytes than it was given
    recorded: Moment | None = None  # None: nobody asks how long it took


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A stream that is not empty, or waits for the record of a gap."""

    stream: str
    settled_place: int
    last_number: int  # given in this epoch; 0: none yet
    pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A stream must not pass `from_place` before `told_stream` has settled `told_place`, its gap's record."""

    stream: str
    from_place: int
    told_stream: str
    told_place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What was dropped of one stream."""

    stream: str
    epoch: str
    first: int
    last: int
    count: int
    reason: str


class SealGap(Protocol):
    """Makes the envelope that tells of a gap; it belongs to the agent's own stream."""

    def __call__(self, gap: Gap, *, epoch: str, number: int) -> Envelope:
        """The envelope, as it will be sent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Who tells of gaps: the agent, on its own stream."""

    stream: str
    seal: SealGap


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """What a call dropped, and the records that tell of it."""

    places: frozenset[int] = frozenset()
    told: tuple[Posted, ...] = ()
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a round of housekeeping did."""

    deleted: int  # acknowledged envelopes beyond the replay window
    dropped: Dropped
    more: bool  # another round has something to do
    used: float  # share of the budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How full the outbox is."""

    depth: int  # envelopes not yet acknowledged
    bytes: int  # theirs, topic and payload
    oldest_age_s: float | None
    replayable: int  # acknowledged and still kept
    replayable_bytes: int
    dead_letters: int
    gaps: int
    dropped: int  # envelopes, over all gaps
    streams: int
    used: float  # share of the budget
    epoch: str
    connection: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Peeked:
    """One envelope, as it lies there."""

    place: int
    stream: str
    number: int
    id: str
    kind: str
    topic: str
    payload: bytes
    recorded_ms: int
    settled: bool


@cache
def this_boot() -> str:
    """By which the steady clocks of one boot are told from another's."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:  # where the service may not see it, no other process is known to be of this boot
        return f"process {uuid4()}"


def moment_now() -> Moment:
    """The present, by both clocks."""
    steady_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    return Moment(wall_ms=time.time_ns() // 1_000_000, boot=this_boot(), steady_ms=steady_ms)


# ── in ────────────────────────────────────────────────────────────────────────────────────────────


def append(tx: Connection, seals: Sequence[tuple[str, Seal]], *, recorded: Moment) -> list[Posted]:
    """Numbers, seals and stores these, each for its stream, in this order."""
    if not seals:
        return []
    streams = dict.fromkeys(stream for stream, _ in seals)
    epoch, place, boot, rows, numbers = _counters(tx, streams, recorded.boot)
    wall_ms, steady_ms = recorded.wall_ms, recorded.steady_ms
    posted: list[Posted] = []
    inserted: list[tuple[int, int, int, str, str, str, bytes, int, int, int, int, int]] = []
    for stream, seal in seals:
        number = numbers[stream]
        numbers[stream] = number + 1
        envelope = seal(epoch=epoch, number=number)
        place += 1
        topic, payload = envelope.topic, envelope.payload
        count = len(topic) + len(payload)
        inserted.append(
            (
                place,
                rows[stream],
                number,
                envelope.id,
                envelope.kind,
                topic,
                payload,
                count,
                wall_ms,
                boot,
                steady_ms,
                checksum(envelope.id, topic, payload),
            )
        )
        posted.append(Posted(place=place, envelope=envelope, recorded=recorded))
    write(tx, "INSERT INTO outbox VALUES", inserted)
    write(
        tx,
        "UPDATE streams SET next_number = new.column2 FROM (VALUES",
        [(rows[name], numbers[name]) for name in rows],
        ") AS new WHERE id = new.column1",
    )
    return posted


def _counters(
    tx: Connection, streams: Collection[str], boot: str
) -> tuple[str, int, int, dict[str, int], dict[str, int]]:
    """Epoch, last place, the boot's row, and of each stream its row and next number; makes what is new."""
    wanted = json.dumps(list(streams))
    epoch, place, boot_row, found = tx.execute(_COUNTERS, (boot, wanted)).fetchone()
    known: list[tuple[str, int, int]] = json.loads(found)
    if boot_row is None or len(known) < len(streams):
        tx.execute("INSERT INTO boots (boot) VALUES (?) ON CONFLICT DO NOTHING", (boot,))
        names = {name for name, _, _ in known}
        tx.executemany("INSERT INTO streams (name) VALUES (?)", [(n,) for n in streams if n not in names])
        epoch, place, boot_row, found = tx.execute(_COUNTERS, (boot, wanted)).fetchone()
        known = json.loads(found)
    rows = {name: row for name, row, _ in known}
    return epoch, place or 0, boot_row, rows, {name: number for name, _, number in known}


# One row with everything, because each step of SQLite costs the event loop its turn once.
_COUNTERS: Final = (
    "SELECT (SELECT value FROM meta WHERE name = 'epoch'), "
    "(SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), "
    "(SELECT id FROM boots WHERE boot = ?), "
    "(SELECT json_group_array(json_array(s.name, s.id, s.next_number)) "
    "FROM json_each(?) AS wanted CROSS JOIN streams s ON s.name = wanted.value)"
)


def checksum(id_: str, topic: str, payload: bytes) -> int:
    """CRC-32 of all that is sent."""
    return crc32(payload, crc32(f"{id_} {topic}".encode()))


def next_connection(tx: Connection, *, at_least: int = 1) -> int:
    """Counts a connection before it is dialled, so that its will can carry the number."""
    row = tx.execute("SELECT value FROM meta WHERE name = 'connection'").fetchone()
    number = max(at_least, 1 if row is None else int(row[0]) + 1)
    tx.execute("INSERT OR REPLACE INTO meta VALUES ('connection', ?)", (str(number),))
    return number


# ── out ───────────────────────────────────────────────────────────────────────────────────────────


def settle(tx: Connection, places: Mapping[str, int]) -> None:
    """Everything of these streams up to these places is acknowledged; a mark never goes back."""
    write(
        tx,
        "UPDATE streams SET settled_place = new.column2 FROM (VALUES",
        list(places.items()),
        ") AS new WHERE name = new.column1 AND settled_place < new.column2",
    )


def heads(tx: Connection) -> list[Head]:
    """Every stream with how much of it waits, those whose oldest is older first."""
    found = tx.execute(
        "SELECT s.name, s.settled_place, s.next_number - 1, count(o.place), min(o.place) FROM streams s "
        "LEFT JOIN outbox o ON o.stream = s.id AND o.place > s.settled_place "
        "GROUP BY s.id ORDER BY min(o.place) IS NULL, min(o.place), s.id"
    )
    return [
        Head(stream=name, settled_place=place, last_number=number, pending=count)
        for name, place, number, count, _ in found
    ]


def pending(tx: Connection, stream: str, *, after: int, limit: int) -> list[Posted]:
    """The oldest of this stream behind place `after` that are not acknowledged."""
    rows = tx.execute(
        "SELECT o.place, o.number, o.id, o.topic, o.payload, o.kind, o.crc, o.recorded_ms, b.boot, "
        "o.steady_ms FROM outbox o JOIN streams s ON o.stream = s.id LEFT JOIN boots b ON b.id = o.boot "
        "WHERE s.name = ? AND o.place > max(s.settled_place, ?) ORDER BY o.place LIMIT ?",
        (stream, after, limit),
    )
    return [
        Posted(
            place=place,
            envelope=Envelope(stream=stream, number=number, id=id_, topic=topic, payload=payload, kind=kind),
            rotten=crc != checksum(id_, topic, payload),
            recorded=Moment(wall_ms=wall_ms, boot=boot or "", steady_ms=steady_ms),
        )
        for place, number, id_, topic, payload, kind, crc, wall_ms, boot, steady_ms in rows
    ]


def holds(tx: Connection) -> list[Hold]:
    """The gaps of which the cloud has not been told yet."""
    rows = tx.execute(
        "SELECT g.stream, g.from_place, g.told_stream, g.told_place FROM gaps g "
        "JOIN streams s ON s.name = g.told_stream WHERE g.told_place > s.settled_place ORDER BY g.id"
    )
    return [
        Hold(stream=stream, from_place=from_place, told_stream=told_stream, told_place=told_place)
        for stream, from_place, told_stream, told_place in rows
    ]


# ── what is given up ──────────────────────────────────────────────────────────────────────────────


class Loss(StrEnum):
    """Why an envelope will never come, in the words of its gap record."""

    REFUSED = "refused by the broker"
    OVER_SIZE = "larger than the broker takes"
    ROTTEN = "damaged on disk"
    DIAGNOSTICS = "no room: diagnostics"
    SUPERSEDED = "no room: superseded occupancy"
    OLDEST = "no room: oldest first"


def dead_letter(
    tx: Connection, posted: Posted, *, code: int, reason: str, teller: Teller, recorded: Moment
) -> Dropped:
    """Sets an envelope aside that no broker will take, and tells of the gap; the stream goes on behind it."""
    envelope = posted.envelope
    tx.execute(
        "INSERT OR REPLACE INTO dead_letters VALUES (?,?,?,?,?,?,?,?,?)",
        (
            posted.place,
            envelope.stream,
            envelope.number,
            envelope.id,
            envelope.kind,
            envelope.topic,
            envelope.payload,
            code,
            recorded.wall_ms,
        ),
    )
    settle(tx, {envelope.stream: posted.place})
    row = (posted.place, envelope.stream, envelope.number, envelope.id, len(envelope.payload))
    _delete(tx, [row])
    return _tell(tx, [row], reason=reason, teller=teller, recorded=recorded)


_Row = tuple[int, str, int, str, int]  # place, stream, number, id, bytes


def _delete(tx: Connection, rows: Sequence[_Row]) -> None:
    tx.executemany("DELETE FROM outbox WHERE place = ?", [(row[0],) for row in rows])


def _tell(tx: Connection, rows: Sequence[_Row], *, reason: str, teller: Teller, recorded: Moment) -> Dropped:
    """One gap for each stream and epoch. A record that is itself dropped gets none: there would be no end."""
    spans: dict[tuple[str, str], list[_Row]] = {}
    for row in rows:
        spans.setdefault((row[1], row[3].rpartition("-")[0]), []).append(row)
    seals: list[tuple[str, Seal]] = []
    gaps: list[tuple[Gap, int]] = []
    for (stream, epoch), lost in spans.items():
        numbers = [row[2] for row in lost]
        gap = Gap(
            stream=stream, epoch=epoch, first=min(numbers), last=max(numbers), count=len(lost), reason=reason
        )
        gaps.append((gap, min(row[0] for row in lost)))
        if stream != teller.stream:
            seals.append((teller.stream, _sealing(teller.seal, gap)))
    told = append(tx, seals, recorded=recorded)
    following = iter(told)
    found: list[Hold] = []
    for gap, from_place in gaps:
        record = None if gap.stream == teller.stream else next(following)
        tx.execute(
            "INSERT INTO gaps (stream, epoch, first_number, last_number, dropped, reason, from_place, "
            "told_stream, told_place, recorded_ms) VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                gap.stream,
                gap.epoch,
                gap.first,
                gap.last,
                gap.count,
                gap.reason,
                from_place,
                None if record is None else teller.stream,
                None if record is None else record.place,
                recorded.wall_ms,
            ),
        )
        if record is not None:
            found.append(
                Hold(
                    stream=gap.stream,
                    from_place=from_place,
                    told_stream=teller.stream,
                    told_place=record.place,
                )
            )
    return Dropped(places=frozenset(row[0] for row in rows), told=tuple(told), holds=tuple(found))


def _sealing(seal: SealGap, gap: Gap) -> Seal:
    def sealed(*, epoch: str, number: int) -> Envelope:
        return seal(gap, epoch=epoch, number=number)

    return sealed


# ── room ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Shares of the file's bound from which something is given up, and how long the acknowledged are kept."""

    no_diagnostics: float = 0.70
    no_superseded: float = 0.85
    no_oldest: float = 0.95
    oldest_until: float = 0.90  # once something must go, so much that it need not go again at once
    replay_s: float = REPLAY_S
    replay_bytes: int = REPLAY_BYTES


def keep_house(
    tx: Connection,
    *,
    budget: Budget,
    under_way: Mapping[str, int] | None,
    teller: Teller,
    now: Moment,
) -> Kept:
    """One round: the acknowledged beyond the replay window go; where room is short, others, least dear first.

    `under_way`: place per stream up to which envelopes have been sent; these are not dropped any more. None:
    nothing may be dropped this time, since somebody goes on sending.
    """
    crowded = used(tx) >= budget.no_diagnostics
    deleted, more = _forget_acknowledged(tx, budget=budget, now=now, all_of_them=crowded)
    dropped = Dropped()
    share = used(tx)
    if share >= budget.no_diagnostics and deleted:
        more = True
    elif share >= budget.no_diagnostics and under_way is not None:
        for reason, from_share, until, query in (
            (Loss.DIAGNOSTICS, budget.no_diagnostics, budget.no_diagnostics, _DIAGNOSTICS),
            (Loss.SUPERSEDED, budget.no_superseded, budget.no_superseded, _SUPERSEDED),
            (Loss.OLDEST, budget.no_oldest, budget.oldest_until, _OLDEST_OTHERS),
            (Loss.OLDEST, budget.no_oldest, budget.oldest_until, _OLDEST_DEAR),
        ):
            if used(tx) < from_share:
                continue
            gone: list[_Row] = []
            while used(tx) >= until:
                rows = _candidates(tx, query, under_way, excess_bytes=_excess_bytes(tx, until))
                if not rows:
                    break
                _delete(tx, rows)
                gone += rows
            one = _tell(tx, gone, reason=reason.value, teller=teller, recorded=now)
            dropped = Dropped(
                places=dropped.places | one.places,
                told=dropped.told + one.told,
                holds=dropped.holds + one.holds,
            )
        share = used(tx)
    _give_back(tx)
    return Kept(deleted=deleted, dropped=dropped, more=more, used=share)


def used(tx: Connection, *, bound: int = 0) -> float:
    """Share of the budget that is really taken: pages of the file without the free ones.

    `bound` in pages, for a reader beside the daemon, whose own connection has none.
    """
    pages = int(tx.execute("PRAGMA page_count").fetchone()[0])
    free = int(tx.execute("PRAGMA freelist_count").fetchone()[0])
    bound = bound or int(tx.execute("PRAGMA max_page_count").fetchone()[0])
    return (pages - free) / bound


_PENDING: Final = (
    "SELECT o.place, s.name, o.number, o.id, o.bytes FROM outbox o JOIN streams s ON s.id = o.stream "
    "WHERE o.place > s.settled_place "
    "AND o.place > coalesce((SELECT w.place FROM under_way w WHERE w.name = s.name), 0) "
)
_LIMIT: Final = f" ORDER BY o.place LIMIT {DROPPED_TOGETHER}"
_DIAGNOSTICS: Final = _PENDING + "AND o.kind LIKE 'device.%'" + _LIMIT
_SUPERSEDED: Final = (  # the newest of a room is not superseded
    _PENDING + "AND o.kind = 'occupancy.changed' AND o.place < "  # noqa: S608 (constants)
    "(SELECT max(n.place) FROM outbox n WHERE n.stream = o.stream AND n.kind = 'occupancy.changed')" + _LIMIT
)
_DEAR: Final = "(o.kind LIKE 'booking.%' OR o.kind LIKE 'command.%')"  # somebody waits for each of these
_OLDEST_OTHERS: Final = _PENDING + f"AND NOT {_DEAR} AND o.kind NOT LIKE 'outbox.%'" + _LIMIT
_OLDEST_DEAR: Final = _PENDING + f"AND {_DEAR}" + _LIMIT


def _excess_bytes(tx: Connection, until: float) -> int:
    page_bytes = int(tx.execute("PRAGMA page_size").fetchone()[0])
    bound = int(tx.execute("PRAGMA max_page_count").fetchone()[0])
    return int((used(tx) - until) * bound * page_bytes) + page_bytes


def _candidates(tx: Connection, query: str, under_way: Mapping[str, int], *, excess_bytes: int) -> list[_Row]:
    tx.execute("CREATE TEMP TABLE IF NOT EXISTS under_way (name TEXT PRIMARY KEY, place INTEGER)")
    tx.execute("DELETE FROM under_way")
    tx.executemany("INSERT INTO under_way VALUES (?, ?)", under_way.items())
    rows: list[_Row] = []
    for row in tx.execute(query).fetchall():
        rows.append(row)
        excess_bytes -= row[4]
        if excess_bytes < 0:
            break
    return rows


def _forget_acknowledged(
    tx: Connection, *, budget: Budget, now: Moment, all_of_them: bool
) -> tuple[int, bool]:
    count, kept_bytes = tx.execute(
        "SELECT coalesce(sum(n), 0), coalesce(sum(b), 0) FROM (SELECT count(*) AS n, sum(o.bytes) AS b "
        "FROM streams s JOIN outbox o ON o.stream = s.id AND o.place <= s.settled_place GROUP BY s.id)"
    ).fetchone()
    if not count:
        return 0, False
    boots: dict[int, str] = dict(tx.execute("SELECT id, boot FROM boots"))
    oldest = tx.execute(
        "SELECT o.place, o.bytes, o.recorded_ms, o.boot, o.steady_ms "
        "FROM outbox o JOIN streams s ON s.id = o.stream WHERE o.place <= s.settled_place "
        "ORDER BY o.place LIMIT ?",
        (min(count, DELETED_TOGETHER),),
    )
    gone: list[tuple[int]] = []
    for place, row_bytes, recorded_ms, boot, steady_ms in oldest.fetchall():
        then = Moment(wall_ms=recorded_ms, boot=boots.get(boot, ""), steady_ms=steady_ms)
        if not all_of_them and kept_bytes <= budget.replay_bytes and age_s(then, now) <= budget.replay_s:
            break
        gone.append((place,))
        kept_bytes -= row_bytes
    tx.executemany("DELETE FROM outbox WHERE place = ?", gone)
    return len(gone), len(gone) == DELETED_TOGETHER


def _give_back(tx: Connection) -> None:
    free = int(tx.execute("PRAGMA freelist_count").fetchone()[0])
    if free > FREE_PAGES_KEPT:
        for _ in range(min(free - FREE_PAGES_KEPT, VACUUMED_TOGETHER)):
            tx.execute("PRAGMA incremental_vacuum(1)")  # Python takes one step of it, whatever its argument


# ── looking ───────────────────────────────────────────────────────────────────────────────────────


def stats(tx: Connection, *, now: Moment) -> Stats:
    """How full it is. Reads the index and no payloads. Also for `database.open_to_read`."""
    depth, pending_bytes, oldest = tx.execute(
        "SELECT coalesce(sum(n), 0), coalesce(sum(b), 0), min(p) FROM ("
        "SELECT count(*) AS n, sum(o.bytes) AS b, min(o.place) AS p FROM streams s "
        "JOIN outbox o ON o.stream = s.id AND o.place > s.settled_place GROUP BY s.id)"
    ).fetchone()
    rows, row_bytes = tx.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM outbox").fetchone()
    letters = tx.execute("SELECT count(*) FROM dead_letters").fetchone()[0]
    gaps, dropped = tx.execute("SELECT count(*), coalesce(sum(dropped), 0) FROM gaps").fetchone()
    streams = tx.execute("SELECT count(*) FROM streams").fetchone()[0]
    meta: dict[str, str] = dict(tx.execute("SELECT name, value FROM meta"))
    oldest_age_s: float | None = None
    if oldest is not None:
        wall_ms, boot, steady_ms = tx.execute(
            "SELECT o.recorded_ms, b.boot, o.steady_ms FROM outbox o JOIN boots b ON b.id = o.boot "
            "WHERE o.place = ?",
            (oldest,),
        ).fetchone()
        oldest_age_s = age_s(Moment(wall_ms=wall_ms, boot=boot, steady_ms=steady_ms), now)
    return Stats(
        depth=depth,
        bytes=pending_bytes,
        oldest_age_s=oldest_age_s,
        replayable=rows - depth,
        replayable_bytes=row_bytes - pending_bytes,
        dead_letters=letters,
        gaps=gaps,
        dropped=dropped,
        streams=streams,
        used=used(tx, bound=int(meta.get("budget_pages", "0"))),
        epoch=meta["epoch"],
        connection=int(meta.get("connection", "0")),
    )


def peek(
    tx: Connection, *, stream: str | None = None, limit: int = 20, settled: bool = False
) -> list[Peeked]:
    """The oldest that wait, of one stream or of all; with `settled`, the acknowledged that are still kept."""
    rows = tx.execute(
        "SELECT o.place, s.name, o.number, o.id, o.kind, o.topic, o.payload, o.recorded_ms FROM outbox o "
        "JOIN streams s ON s.id = o.stream "
        "WHERE s.name = coalesce(?, s.name) AND (o.place <= s.settled_place) = ? ORDER BY o.place LIMIT ?",
        (stream, settled, limit),
    )
    return [
        Peeked(
            place=place,
            stream=name,
            number=number,
            id=id_,
            kind=kind,
            topic=topic,
            payload=payload,
            recorded_ms=recorded_ms,
            settled=settled,
        )
        for place, name, number, id_, kind, topic, payload, recorded_ms in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """One envelope, as it lies there or was set aside."""

    place: int
    stream: str
    number: int
    id: str
    kind: str
    topic: str
    payload: bytes
    at_ms: int  # when it was recorded; of a dead letter, when it was given up
    state: str  # waiting, acknowledged, dead


def every(tx: Connection, *, everything: bool) -> Iterator[Exported]:
    """All that wait, in order, one at a time; with `everything`, also the acknowledged, and dead letters."""
    rows = tx.execute(
        "SELECT o.place, s.name, o.number, o.id, o.kind, o.topic, o.payload, o.recorded_ms, "
        "iif(o.place > s.settled_place, 'waiting', 'acknowledged') FROM outbox o "
        "JOIN streams s ON s.id = o.stream WHERE ? OR o.place > s.settled_place ORDER BY o.place",
        (everything,),
    )
    dead = tx.execute(
        "SELECT place, stream, number, id, kind, topic, payload, buried_ms, 'dead' FROM dead_letters "
        "WHERE ? ORDER BY place",
        (everything,),
    )
    for place, stream, number, id_, kind, topic, payload, at_ms, state in chain(rows, dead):
        yield Exported(
            place=place,
            stream=stream,
            number=number,
            id=id_,
            kind=kind,
            topic=topic,
            payload=payload,
            at_ms=at_ms,
            state=state,
        )
