"""Plain functions over an open transaction: commands are kept before their PUBACK, and answered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from sqlite3 import Connection
from typing import Final

from agent.core.model import CommandId
from agent.core.orders import FINAL_ANSWERS, Answer, AnswerStatus
from cloud_link import outbox
from cloud_link.commands import Command, Refused, Return
from cloud_link.delivery import Moment
from cloud_link.envelope import ANSWERS, Postage, answer_body, nameless_answer_body, seal_answer
from cloud_link.outbox import Posted

REMEMBERED_FOR: Final = timedelta(days=1)  # beyond its expiry: no broker brings it again after that
REMEMBERED_AT_MOST: Final = 50_000  # commands; a kilobyte each until they are answered, less thereafter
REMEMBERED_AT_LEAST: Final = timedelta(hours=1)  # even where there are so many: whoever repeats does it soon
PRUNED_TOGETHER: Final = 1000


class State(StrEnum):
    """How far a command is."""

    KEPT = "kept"  # on disk; the core has not heard of it
    BEGUN = "begun"  # the core has, and a final answer will come
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """New, and to be done."""

    command: Command
    posted: tuple[Posted, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """It was here before: nothing is done; answered as far as it was answered then."""

    state: State
    posted: tuple[Posted, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """Refused, and answered so."""

    reason: str
    posted: tuple[Posted, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A command without a final answer, as a restart finds it. `commands.judge` reads it again."""

    id: CommandId
    topic: str
    payload: bytes
    state: State
    received_at: datetime
    expires_at: datetime

    retained: bool = False
    response_topic: str | None = None  # where it is answered stands in its row
    correlation_data: bytes | None = None

    @property
    def expiry_s(self) -> int:
        """Seconds from `received_at` to `expires_at`: the earlier of both that came along."""
        return max(1, -int(-(self.expires_at - self.received_at).total_seconds() // 1))


# ── in ────────────────────────────────────────────────────────────────────────────────────────────


def keep(tx: Connection, command: Command, *, recorded: Moment) -> Kept | Again | Turned:
    """Keeps a new one; one that was here before is answered again, and done no second time.

    Another content under the same id is refused: one of them would go unanswered.
    """
    found = _again(tx, command.id, command.digest, command.back, recorded)
    if found is not None:
        return found
    if not _has_room(tx, recorded):
        return _full(tx, command, recorded)
    _insert(tx, command.id, command, request=command.request, state=State.KEPT, answer=None)
    return Kept(command=command)


def refuse(tx: Connection, refused: Refused, *, recorded: Moment) -> Again | Turned:
    """Answers what is not to be done; one that was done before it expired is answered as it was then."""
    body = answer_body(refused.answer) if refused.id is not None else nameless_answer_body(refused.answer)
    if refused.id is not None:
        found = _again(tx, refused.id, refused.digest, refused.back, recorded, quietly=refused.retained)
        if found is not None:
            return found
        if _has_room(tx, recorded):
            _insert(tx, refused.id, refused, request=None, state=State.ANSWERED, answer=body)
    return Turned(reason=refused.reason, posted=_post(tx, [(body, refused.back)], recorded))


def take(tx: Connection, judged: Command | Refused, *, recorded: Moment) -> Kept | Again | Turned:
    """`keep` or `refuse`, whichever it is."""
    if isinstance(judged, Command):
        return keep(tx, judged, recorded=recorded)
    return refuse(tx, judged, recorded=recorded)


def _again(
    tx: Connection, id_: CommandId, digest: bytes, back: Return, recorded: Moment, *, quietly: bool = False
) -> Again | Turned | None:
    row = tx.execute("SELECT digest, state, answer FROM inbox WHERE command = ?", (id_,)).fetchone()
    if row is None:
        return None
    known, state, answer = row
    if known != digest:
        reason = f"command_id {id_!r} was given before with other content: every command needs its own"
        at = datetime.fromtimestamp(recorded.wall_ms / 1000, UTC)
        told = Answer(command=id_, status=AnswerStatus.REFUSED, reason=reason, at=at)
        return Turned(reason=reason, posted=_post(tx, [(answer_body(told), back)], recorded))
    if state != State.ANSWERED:  # whoever asks last is told of the end
        tx.execute(
            "UPDATE inbox SET stream = ?, answer_topic = ?, correlation = ?, answer_expiry_s = ? "
            "WHERE command = ?",
            (back.stream, back.topic, back.postage.correlation, back.postage.expiry_s, id_),
        )
    bodies = [] if answer is None or quietly else [(answer, back)]
    return Again(state=State(state), posted=_post(tx, bodies, recorded))


def _insert(
    tx: Connection,
    id_: CommandId,
    judged: Command | Refused,
    *,
    request: bytes | None,
    state: State,
    answer: bytes | None,
) -> None:
    back = judged.back
    tx.execute(
        "INSERT INTO inbox (command, digest, topic, request, state, stream, answer_topic, correlation, "
        "answer_expiry_s, answer, received_ms, expires_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            id_,
            judged.digest,
            judged.topic,
            request,
            state.value,
            back.stream,
            back.topic,
            back.postage.correlation,
            back.postage.expiry_s,
            answer,
            _ms(judged.received_at),
            _ms(judged.expires_at),
        ),
    )


def _full(tx: Connection, command: Command, recorded: Moment) -> Turned:
    reason = (
        f"{REMEMBERED_AT_MOST} commands that have not expired yet are remembered already: "
        "send fewer, or with an earlier `expires_at`"
    )
    told = Answer(command=command.id, status=AnswerStatus.REFUSED, reason=reason, at=command.received_at)
    return Turned(reason=reason, posted=_post(tx, [(answer_body(told), command.back)], recorded))


# ── its way ───────────────────────────────────────────────────────────────────────────────────────


def begin(tx: Connection, commands: Sequence[CommandId]) -> None:
    """The core has heard of these: call it in the transaction that records what came of it."""
    tx.executemany(
        "UPDATE inbox SET state = 'begun' WHERE command = ? AND state = 'kept'", [(id_,) for id_ in commands]
    )


def answer(tx: Connection, answers: Sequence[Answer], *, recorded: Moment) -> list[Posted]:
    """Answers commands, each finally once; into the outbox, in the transaction of what they tell of.

    `accepted` begins a command. What is answered already, or did not come through the inbox (somebody at the
    command line gave it), brings nothing.
    """
    bodies: list[tuple[bytes, Return]] = []
    for one in answers:
        final = one.status in FINAL_ANSWERS
        body = answer_body(one)
        row = tx.execute(
            "UPDATE inbox SET answer = ?, state = ?, request = iif(?, NULL, request) WHERE command = ? "
            "AND (state = 'kept' OR state = 'begun' AND (? OR answer IS NULL)) "
            "RETURNING stream, answer_topic, correlation, answer_expiry_s",
            (body, (State.ANSWERED if final else State.BEGUN).value, final, one.command, final),
        ).fetchall()
        for stream, topic, correlation, expiry_s in row:
            postage = Postage(correlation=correlation, expiry_s=expiry_s)
            bodies.append((body, Return(stream=stream, topic=topic, postage=postage)))
    return list(_post(tx, bodies, recorded))


def unfinished(tx: Connection) -> list[Unfinished]:
    """What a restart finds without a final answer, in the order in which it came."""
    rows = tx.execute(
        "SELECT command, topic, request, state, received_ms, expires_ms FROM inbox "
        "WHERE state <> 'answered' ORDER BY place"
    )
    return [
        Unfinished(
            id=CommandId(command),
            topic=topic,
            payload=request or b"",
            state=State(state),
            received_at=_at(received_ms),
            expires_at=_at(expires_ms),
        )
        for command, topic, request, state, received_ms, expires_ms in rows
    ]


# ── room ──────────────────────────────────────────────────────────────────────────────────────────


_FORGET_EXPIRED: Final = (
    "DELETE FROM inbox WHERE place IN (SELECT place FROM inbox WHERE state = 'answered' "
    "AND expires_ms < ? ORDER BY expires_ms LIMIT ?)"
)
_FORGET_OLDEST: Final = (
    "DELETE FROM inbox WHERE place IN (SELECT place FROM inbox WHERE state = 'answered' "
    "AND received_ms < ? ORDER BY place LIMIT ?)"
)


def prune(tx: Connection, *, now: Moment) -> int:
    """Forgets what is answered and cannot come again, and the postage of what has left. How many went."""
    before_ms = now.wall_ms - int(REMEMBERED_FOR.total_seconds() * 1000)
    tx.execute("DELETE FROM postage WHERE place NOT IN (SELECT place FROM outbox)")
    return tx.execute(_FORGET_EXPIRED, (before_ms, PRUNED_TOGETHER)).rowcount


def _has_room(tx: Connection, now: Moment) -> bool:
    """Makes it of what has expired, where it must."""
    count = int(tx.execute("SELECT count(*) FROM inbox").fetchone()[0])
    if count < REMEMBERED_AT_MOST:
        return True
    lately_ms = now.wall_ms - int(REMEMBERED_AT_LEAST.total_seconds() * 1000)
    return any(
        tx.execute(forget, (before_ms, PRUNED_TOGETHER)).rowcount
        for forget, before_ms in ((_FORGET_EXPIRED, now.wall_ms), (_FORGET_OLDEST, lately_ms))
    )


# ── answers on their way ──────────────────────────────────────────────────────────────────────────


def _post(tx: Connection, bodies: Sequence[tuple[bytes, Return]], recorded: Moment) -> tuple[Posted, ...]:
    seals = [
        (
            back.stream,
            partial(seal_answer, body, stream=back.stream, topic=back.topic, postage=back.postage),
        )
        for body, back in bodies
    ]
    posted = outbox.append(tx, seals, recorded=recorded)
    tx.executemany(
        "INSERT INTO postage VALUES (?, ?, ?)",
        [
            (one.place, back.postage.correlation, back.postage.expiry_s)
            for one, (_, back) in zip(posted, bodies, strict=True)
        ],
    )
    return tuple(posted)


def franked(tx: Connection, posted: list[Posted]) -> list[Posted]:
    """These as read from the outbox, with what goes along with them where they are answers."""
    if not posted or not posted[0].envelope.stream.endswith(ANSWERS):
        return posted
    rows = tx.execute(
        "SELECT place, correlation, expiry_s FROM postage WHERE place BETWEEN ? AND ?",
        (posted[0].place, posted[-1].place),
    )
    found = {place: Postage(correlation=data, expiry_s=expiry_s) for place, data, expiry_s in rows}
    return [
        replace(one, envelope=replace(one.envelope, postage=found.get(one.place, Postage())))
        for one in posted
    ]


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
