"""What a broker would not take is sent again when a person says so, after the broker was mended."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from sqlite3 import Connection
from typing import Final, assert_never

import structlog

from cloud_link.database import Database
from cloud_link.delivery import Rest, Verdict
from cloud_link.envelope import ANSWERS, Envelope
from cloud_link.outbox import Posted

log = structlog.get_logger()

READ_TOGETHER: Final = 16  # envelopes in memory
LOST_WITH: Final = 5  # connections in a row that ended with the same envelope under way
ROTTEN: Final = 0  # the code of those that no broker refused: their bytes had changed on the disk
WISH: Final = "retry_until"  # in meta, while somebody wants them sent again: up to this place


# ── on disk ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An envelope that was given up, and of whose number the cloud was told as a gap."""

    place: int
    stream: str
    number: int
    id: str
    kind: str
    topic: str
    payload: bytes
    code: int  # the broker's; 0: none, its bytes had changed on the disk
    buried_ms: int

    @property
    def can_go(self) -> bool:
        """A rotten one is not what it was, and for an answer nobody waits any more."""
        return self.code != ROTTEN and not self.stream.endswith(ANSWERS)


def letters(tx: Connection, *, after: int = 0, until: int | None = None, limit: int = -1) -> list[DeadLetter]:
    """Those between these places, in order. Also for `database.open_to_read`."""
    rows = tx.execute(
        "SELECT place, stream, number, id, kind, topic, payload, code, buried_ms FROM dead_letters "
        "WHERE place > ? AND place <= coalesce(?, place) ORDER BY place LIMIT ?",
        (after, until, limit),
    )
    return [
        DeadLetter(
            place=place,
            stream=stream,
            number=number,
            id=id_,
            kind=kind,
            topic=topic,
            payload=payload,
            code=code,
            buried_ms=buried_ms,
        )
        for place, stream, number, id_, kind, topic, payload, code, buried_ms in rows
    ]


def wish(tx: Connection) -> int:
    """Notes that all that can go shall go; how many these are. It stands until each was tried once."""
    wanted = [one for one in letters(tx) if one.can_go]
    if wanted:
        tx.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (WISH, str(wanted[-1].place)))
    return len(wanted)


def wished(tx: Connection) -> int | None:
    """Up to which place they shall go; None once each of them was tried."""
    row = tx.execute("SELECT value FROM meta WHERE name = ?", (WISH,)).fetchone()
    return None if row is None else int(row[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What has become of those that were sent since the disk was last told."""

    acknowledged: tuple[int, ...] = ()  # places
    refused: tuple[tuple[int, int], ...] = ()  # code and place
    no_more: bool = False  # the others stay for another time


def turn(tx: Connection, tried: Tried, *, after: int) -> tuple[DeadLetter, ...]:
    """Forgets what the broker has by now, and reads what goes next: nothing ends the wish."""
    tx.executemany("DELETE FROM dead_letters WHERE place = ?", [(place,) for place in tried.acknowledged])
    tx.executemany("UPDATE dead_letters SET code = ? WHERE place = ?", tried.refused)
    until = wished(tx)
    if until is None:
        return ()
    while not tried.no_more and (read := letters(tx, after=after, until=until, limit=READ_TOGETHER)):
        if found := tuple(one for one in read if one.can_go):
            return found
        after = read[-1].place
    tx.execute("DELETE FROM meta WHERE name = ?", (WISH,))
    return ()


# ── on its way ────────────────────────────────────────────────────────────────────────────────────


class DeadLetters:
    """Belongs to a forwarder, which asks for the next only while nothing else may go, as with replays.

    One is under way at a time, in their old order. Each leaves the disk after its PUBACK only.
    """

    def __init__(
        self,
        database: Database,
        *,
        within_s: float,  # what is noted waits so long for somebody else's transaction
        rest: Rest,
        luck: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._within_s = within_s
        self._rest = rest
        self._luck = luck
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._something = True  # the last life may have left a wish behind
        self._turning: asyncio.Future[tuple[DeadLetter, ...]] | None = None
        self._batch: deque[DeadLetter] = deque()
        self._after = 0
        self._acknowledged: list[int] = []
        self._refused: list[tuple[int, int]] = []
        self._no_more = False
        self._sent = False
        self._resting = False
        self._failures = 0
        self._lost_with = 0

    async def retry(self) -> int:
        """Takes the wish down; how many shall go."""
        count = await self._database.write(wish)
        log.info("outbox.retried", envelopes=count)
        self._something, self._after = True, 0
        self._wake()
        return count

    def next(self) -> Posted | None:
        """What may go now; asks the disk where that is not known. Raises what the database raised."""
        if self._turning is not None:
            if not self._turning.done():
                return None
            self._batch = deque(self._turning.result())
            self._turning = None
        if self._sent or self._resting:
            return None
        if self._batch and not self._no_more:
            one = self._batch[0]
            envelope = Envelope(
                stream=one.stream,
                number=one.number,
                id=one.id,
                topic=one.topic,
                payload=one.payload,
                kind=one.kind,
            )
            return Posted(place=one.place, envelope=envelope)
        if self._something or self._acknowledged or self._refused or self._no_more:
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
        """No PUBACK will come; some brokers end the connection over what they do not take."""
        if self._sent:
            self._sent = False
            self._lost_with += 1
            if self._lost_with >= LOST_WITH:
                self._give_up("every connection ended right after one of them was sent")

    def judge(self, verdict: Verdict, code: int) -> None:
        """What the PUBACK says of the one that is under way."""
        if not self._sent:
            return
        self._sent = False
        self._lost_with = 0
        match verdict:
            case Verdict.SETTLED | Verdict.UNHEARD:
                self._failures = 0
                self._acknowledged.append(self._done().place)
            case Verdict.AGAIN:
                self._failures += 1
                self._resting = True
                self._loop.call_later(self._rest.after(self._failures, self._luck()), self._rested)
            case Verdict.PAUSE:
                self._give_up(f"the broker says that we may not publish there (0x{code:02x})")
            case Verdict.UNDELIVERABLE:
                one = self._done()
                log.warning("outbox.refused_again", stream=one.stream, number=one.number, code=code)
                self._refused.append((code, one.place))
            case _:
                assert_never(verdict)

    def _done(self) -> DeadLetter:
        one = self._batch.popleft()
        self._after = one.place
        return one

    def _give_up(self, why: str) -> None:
        log.warning("outbox.retry_ended", why=why, mend="mend it, and say `roomd outbox retry --send` again")
        self._no_more = True
        self._lost_with = self._failures = 0

    def _rested(self) -> None:
        self._resting = False
        self._wake()

    def _turn(self) -> None:
        tried = Tried(
            acknowledged=tuple(self._acknowledged), refused=tuple(self._refused), no_more=self._no_more
        )
        self._something = False  # whoever asks from now on says so anew
        self._acknowledged, self._refused, self._no_more = [], [], False
        work = partial(turn, tried=tried, after=self._after)
        self._turning = self._database.submit_with_next(lambda: work, within_s=self._within_s)
        self._turning.add_done_callback(self._turned)

    def _turned(self, done: asyncio.Future[tuple[DeadLetter, ...]]) -> None:
        if not done.cancelled():
            done.exception()  # `next` raises it, unless we have stopped
        self._wake()
