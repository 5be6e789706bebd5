"""Acknowledged events are sent again when the cloud asks for them, while nothing else wants to be sent."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from sqlite3 import Connection
from typing import Final, NamedTuple, assert_never

import structlog

from agent.core.model import CommandId
from agent.core.orders import Answer, AnswerStatus
from cloud_link import inbox, outbox
from cloud_link.commands import Command, Replay
from cloud_link.database import Database
from cloud_link.delivery import Moment, Rest, Verdict
from cloud_link.envelope import Envelope, room_stream
from cloud_link.outbox import Posted

log = structlog.get_logger()

WAITING_AT_MOST: Final = 16  # replays that are asked for and not at their end, the one under way counted
READ_TOGETHER: Final = 32  # envelopes: fewer than a window, which is what a crash may repeat
READ_BYTES: Final = 256 * 1024  # of them in memory, and one more
LOST_WITH: Final = 5  # connections in a row that ended with the same envelope under way


# ── values ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """A replay that is not at its end, as its row says."""

    place: int  # the order in which they were asked for
    command: CommandId
    stream: str
    epoch: str
    first: int  # numbers
    last: int
    after: int  # place in the outbox: what is sent again lies behind it
    until: int  # and up to here
    sent: int
    expires_ms: int

    @property
    def result(self) -> dict[str, object]:
        """What has come of it, for its answer."""
        return {
            "sent": self.sent,
            "missing": self.last - self.first + 1 - self.sent,
            "first": self.first,
            "last": self.last,
            "epoch": self.epoch,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """How far the replay under way has come since its row was written."""

    place: int
    after: int
    sent: int
    failed_why: str | None = None  # it ends with that


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What goes next, and what has come to its end."""

    going: Going | None = None  # None: nobody has asked for anything
    batch: tuple[Posted, ...] = ()
    after: int = 0  # the last place that was read
    ended: tuple[tuple[Going, Answer], ...] = ()
    posted: tuple[Posted, ...] = ()


# ── on disk ───────────────────────────────────────────────────────────────────────────────────────


def begin(
    tx: Connection, command: Command, order: Replay, *, acknowledged: int, recorded: Moment
) -> list[Posted]:
    """Takes the replay up, or refuses it, and answers so.

    `acknowledged`: a place up to which its stream is, as the forwarder knows before the disk does.
    """
    inbox.begin(tx, [command.id])
    found = _find(tx, order, acknowledged)
    waiting = int(tx.execute("SELECT count(*) FROM replays").fetchone()[0])
    if isinstance(found, _NotKept):
        told = _answer(command.id, AnswerStatus.REFUSED, recorded, reason=found.reason, result=found.kept)
    elif waiting >= WAITING_AT_MOST:
        reason = f"{waiting} replays are not at their end yet: ask again when some of them are"
        told = _answer(command.id, AnswerStatus.REFUSED, recorded, reason=reason)
    else:
        tx.execute(
            "INSERT INTO replays (command, stream, epoch, first_number, last_number, after_place, "
            "until_place, sent, expires_ms) VALUES (?,?,?,?,?,?,?,0,?) ON CONFLICT (command) DO NOTHING",
            (
                command.id,
                room_stream(order.room),
                found.epoch,
                order.first,
                found.last,
                found.after,
                found.until,
                round(command.expires_at.timestamp() * 1000),
            ),
        )
        told = _answer(command.id, AnswerStatus.ACCEPTED, recorded)
    return inbox.answer(tx, [told], recorded=recorded)


def going(tx: Connection) -> list[Going]:
    """Those that are not at their end, in the order in which they were asked for."""
    rows = tx.execute(
        "SELECT place, command, stream, epoch, first_number, last_number, after_place, until_place, sent, "
        "expires_ms FROM replays ORDER BY place"
    )
    return [
        Going(
            place=place,
            command=CommandId(command),
            stream=stream,
            epoch=epoch,
            first=first,
            last=last,
            after=after,
            until=until,
            sent=sent,
            expires_ms=expires_ms,
        )
        for place, command, stream, epoch, first, last, after, until, sent, expires_ms in rows
    ]


def turn(tx: Connection, noted: Noted | None, *, now: Moment) -> Turn:
    """Notes how far the replay under way has come, answers what is at its end, and reads what goes next."""
    if noted is not None:
        tx.execute(
            "UPDATE replays SET after_place = ?, sent = sent + ? WHERE place = ?",
            (noted.after, noted.sent, noted.place),
        )
    ended: list[tuple[Going, Answer]] = []
    rows: list[Posted] = []
    under_way: Going | None = None
    for one in going(tx):
        failed_why = noted.failed_why if noted is not None and noted.place == one.place else None
        expired = not one.sent and one.expires_ms <= now.wall_ms
        rows = [] if failed_why is not None or expired else _read(tx, one)
        if rows:
            under_way = one
            break
        ended.append((one, _last_word(one, now, failed_why=failed_why, expired=expired)))
    tx.executemany("DELETE FROM replays WHERE place = ?", [(one.place,) for one, _ in ended])
    return Turn(
        going=under_way,
        batch=tuple(row for row in rows if not row.rotten),
        after=rows[-1].place if rows else 0,
        ended=tuple(ended),
        posted=tuple(inbox.answer(tx, [told for _, told in ended], recorded=now)),
    )


def _last_word(one: Going, now: Moment, *, failed_why: str | None, expired: bool) -> Answer:
    if failed_why is not None:
        return _answer(one.command, AnswerStatus.FAILED, now, reason=failed_why, result=one.result)
    if expired:
        reason = "it expired before any of it was sent: the broker was away, or others were before it"
        return _answer(one.command, AnswerStatus.EXPIRED, now, reason=reason, result=one.result)
    if not one.sent:
        reason = "nothing of it was kept any more when its turn came"
        return _answer(one.command, AnswerStatus.FAILED, now, reason=reason, result=one.result)
    return _answer(one.command, AnswerStatus.DONE, now, result=one.result)


def _read(tx: Connection, one: Going) -> list[Posted]:
    """What comes next; not much at a time, also where envelopes are large."""
    rows = tx.execute(
        "SELECT o.place, o.number, o.id, o.topic, o.payload, o.kind, o.crc "
        "FROM outbox o JOIN streams s ON o.stream = s.id WHERE s.name = ? "
        "AND o.place > ? AND o.place <= ? ORDER BY o.place LIMIT ?",
        (one.stream, one.after, one.until, READ_TOGETHER),
    )
    found: list[Posted] = []
    count = 0
    for place, number, id_, topic, payload, kind, crc in rows:
        envelope = Envelope(stream=one.stream, number=number, id=id_, topic=topic, payload=payload, kind=kind)
        found.append(
            Posted(place=place, envelope=envelope, rotten=crc != outbox.checksum(id_, topic, payload))
        )
        count += len(payload)
        if count > READ_BYTES:
            break
    rows.close()
    return found


def _answer(
    command: CommandId,
    status: AnswerStatus,
    now: Moment,
    *,
    reason: str | None = None,
    result: dict[str, object] | None = None,
) -> Answer:
    at = datetime.fromtimestamp(now.wall_ms / 1000, UTC)
    return Answer(command=command, status=status, reason=reason, at=at, result=result)


# ── what is still kept ────────────────────────────────────────────────────────────────────────────
#
# There is no index of numbers: it would be paid for with every event. But places and numbers grow together
# within an epoch, and an epoch's rows lie together, so a few dozen rows lead to any number.


class _Row(NamedTuple):
    place: int
    number: int
    epoch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """The acknowledged rows of a stream in one epoch."""

    epoch: str
    start: int  # place of the first
    beyond: int  # a place behind the last
    first: int  # numbers
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    epoch: str
    after: int
    until: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _NotKept:
    reason: str
    kept: dict[str, object] | None


class _Shelf:
    """The rows of a stream up to the last that is acknowledged."""

    def __init__(self, tx: Connection, stream: int, top: int) -> None:
        self._tx = tx
        self._stream = stream
        self._top = top

    def at(self, place: int) -> _Row | None:
        """The first at this place or behind it."""
        return self._row("place BETWEEN ? AND ? ORDER BY place", place, self._top)

    def before(self, place: int) -> _Row | None:
        """The last that lies before this place."""
        return self._row("place BETWEEN ? AND ? ORDER BY place DESC", 0, place - 1)

    def _row(self, which: str, low: int, high: int) -> _Row | None:
        query = f"SELECT place, number, id FROM outbox WHERE stream = ? AND {which} LIMIT 1"  # noqa: S608
        row = self._tx.execute(query, (self._stream, low, high)).fetchone()
        return None if row is None else _Row(row[0], row[1], str(row[2]).rpartition("-")[0])

    def search(self, start: int, beyond: int, passed: Callable[[_Row], bool]) -> int:
        """The lowest place from `start` on where all that follows has passed; at most `beyond`."""

        def holds(place: int) -> bool:
            row = self.at(place)
            return row is None or passed(row)

        return start + bisect_left(range(start, beyond), x=True, key=holds)

    def _beyond(self, epoch: str, start: int) -> int:
        return self.search(start, self._top + 1, lambda one: one.epoch != epoch)

    def blocks(self) -> Iterator[_Block]:
        """Its epochs, the oldest first."""
        row = self.at(0)
        while row is not None:
            beyond = self._beyond(row.epoch, row.place)
            last = self.before(beyond) or row
            yield _Block(epoch=row.epoch, start=row.place, beyond=beyond, first=row.number, last=last.number)
            row = self.at(beyond)


def _find(tx: Connection, order: Replay, acknowledged: int) -> _Range | _NotKept:
    stream = room_stream(order.room)
    epoch = order.epoch or str(tx.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0])
    row = tx.execute("SELECT id, settled_place FROM streams WHERE name = ?", (stream,)).fetchone()
    if row is None:
        return _NotKept(reason=f"nothing of {stream} was ever sent", kept=None)
    shelf = _Shelf(tx, row[0], max(row[1], acknowledged))
    blocks = list(shelf.blocks())
    block = next((block for block in blocks if block.epoch == epoch), None)
    if block is None:
        return _not_kept(f"nothing of epoch {epoch}", stream, blocks[-1] if blocks else None)
    last = block.last if order.last is None else min(order.last, block.last)
    start = shelf.search(block.start, block.beyond, lambda one: one.number >= order.first)
    stop = shelf.search(block.start, block.beyond, lambda one: one.number > last)
    if start >= stop:
        upwards = " on" if order.last is None else f" to {order.last}"
        return _not_kept(f"nothing from {order.first}{upwards}", stream, block)
    return _Range(epoch=epoch, after=start - 1, until=stop - 1, last=last)


def _not_kept(what: str, stream: str, block: _Block | None) -> _NotKept:
    if block is None:
        return _NotKept(reason=f"{what} of {stream} is kept, nor anything else of it", kept=None)
    reason = (
        f"{what} of {stream} is kept; {block.first} to {block.last} of epoch {block.epoch} are. "
        "What is newer comes without being asked for"
    )
    kept: dict[str, object] = {
        "kept_first": block.first,
        "kept_last": block.last,
        "kept_epoch": block.epoch,
    }
    return _NotKept(reason=reason, kept=kept)


# ── on its way ────────────────────────────────────────────────────────────────────────────────────


class Replays:
    """Belongs to a forwarder, which asks for the next envelope only while nothing else may go.

    One is under way at a time, as everywhere within a room: order survives every refusal and every cut.
    """

    def __init__(
        self,
        database: Database,
        *,
        within_s: float,  # what is noted waits so long for somebody else's transaction
        rest: Rest,
        luck: Callable[[], float],
        offer: Callable[[Iterable[Posted]], None],
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._within_s = within_s
        self._rest = rest
        self._luck = luck
        self._offer = offer
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._something = True  # the disk may have one: perhaps the last life left it behind
        self._turning: asyncio.Future[Turn] | None = None
        self._going: Going | None = None
        self._batch: deque[Posted] = deque()
        self._after = 0
        self._acknowledged = 0  # of this batch
        self._sent = False  # the first of the batch is under way
        self._resting = False
        self._failures = 0
        self._lost_with = 0
        self._failed_why: str | None = None

    async def begin(self, command: Command, *, acknowledged: Mapping[str, int]) -> None:
        """Keeps it and answers `accepted`, or refuses it. `acknowledged`: up to which place, by stream."""
        order = command.order
        if not isinstance(order, Replay):
            raise TypeError(f"{command.name} is no replay")
        place, recorded = acknowledged.get(room_stream(order.room), 0), outbox.moment_now()
        self._offer(
            await self._database.write(
                lambda tx: begin(tx, command, order, acknowledged=place, recorded=recorded)
            )
        )
        self._something = True
        self._wake()

    def next(self) -> Posted | None:
        """What may go now; asks the disk where that is not known. Raises what the database raised."""
        if self._turning is not None:
            if not self._turning.done():
                return None
            self._take(self._turning.result())
            self._turning = None
        if self._sent or self._resting:
            return None
        if self._batch and self._failed_why is None:
            return self._batch[0]
        if self._going is not None or self._something:
            self._turn()
        return None

    def sent(self) -> None:
        """The next is under way."""
        self._sent = True

    @property
    def busy(self) -> bool:
        """Whether one is under way."""
        return self._sent

    def line_ended(self) -> None:
        """No PUBACK will come; some brokers end the connection of whoever publishes where they may not."""
        if self._sent:
            self._sent = False
            self._lost_with += 1
            if self._lost_with >= LOST_WITH:
                self._fail(f"{LOST_WITH} connections in a row ended right after the next of it was sent")

    def judge(self, verdict: Verdict, code: int) -> None:
        """What the PUBACK says of the one that is under way."""
        if not self._sent:
            return
        self._sent = False
        self._lost_with = 0
        match verdict:
            case Verdict.SETTLED | Verdict.UNHEARD:
                self._failures = 0
                self._batch.popleft()
                self._acknowledged += 1
            case Verdict.AGAIN:
                self._failures += 1
                self._resting = True
                self._loop.call_later(self._rest.after(self._failures, self._luck()), self._rested)
            case Verdict.PAUSE:  # those that are new tell a person
                self._fail(f"the broker says that we may not publish there (0x{code:02x})")
            case Verdict.UNDELIVERABLE:  # it was taken once; it is missing now, and lost it is not
                self._batch.popleft()
            case _:
                assert_never(verdict)

    def _fail(self, why: str) -> None:
        self._failed_why = why
        self._lost_with = self._failures = 0

    def _rested(self) -> None:
        self._resting = False
        self._wake()

    def _turn(self) -> None:
        self._something = False  # whoever asks from now on says so anew
        noted: Noted | None = None
        if self._going is not None:
            after = self._batch[0].place - 1 if self._batch else self._after
            noted = Noted(
                place=self._going.place,
                after=after,
                sent=self._acknowledged,
                failed_why=self._failed_why,
            )
        work = partial(turn, noted=noted, now=outbox.moment_now())
        self._turning = self._database.submit_with_next(lambda: work, within_s=self._within_s)
        self._turning.add_done_callback(self._turned)

    def _turned(self, done: asyncio.Future[Turn]) -> None:
        if not done.cancelled():
            done.exception()  # `next` raises it, unless we have stopped
        self._wake()

    def _take(self, turned: Turn) -> None:
        before = self._going
        self._going, self._after = turned.going, turned.after
        self._batch = deque(turned.batch)
        self._acknowledged = 0
        self._failed_why = None
        if turned.going is not None and (before is None or before.place != turned.going.place):
            log.info("replay.begun", command=turned.going.command, stream=turned.going.stream)
        for one, told in turned.ended:
            log.info("replay.ended", command=one.command, status=told.status.value, **one.result)
        self._offer(turned.posted)
