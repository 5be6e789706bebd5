"""Empties the outbox, oldest first; an envelope leaves it only after its acknowledgement."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from math import inf
from typing import Final, Protocol, assert_never

import structlog

from cloud_link import delivery, inbox, outbox
from cloud_link.broker import BrokerError, Connection, Dial, Lost, Message
from cloud_link.commands import Command
from cloud_link.database import Connection as Transaction
from cloud_link.database import Database
from cloud_link.dead_letters import DeadLetters
from cloud_link.delivery import Durations, Ending, Line, Moment, Pace, Rest, Verdict, Window
from cloud_link.envelope import ANSWERS
from cloud_link.hearing import Hearing
from cloud_link.outbox import Budget, Dropped, Hold, Posted, Teller
from cloud_link.replays import Replays
from cloud_link.retained import Retained

log = structlog.get_logger()

CLOUDEVENT: Final = "application/cloudevents+json"
JSON: Final = "application/json"
READ_TOGETHER: Final = 64  # streams in one reading job
READ_EACH: Final = 16  # envelopes of each
COUNTED_WITHIN_S: Final = 5.0  # a full disk must not keep us from being seen
LOOKS_EVERY_S: Final = 1.0
DIALLED_WITHIN_S: Final = 30.0  # counting and dialling together; each has its own end before
LAST_ANSWERS_WITHIN_S: Final = 2.0
GOODBYE_WITHIN_S: Final = 2.0
SETTLED_WITHIN_S: Final = 1.0
UNFIT_BEFORE_OLDER: Final = 3  # CONNECTs cut without a word, before MQTT 3.1.1 is tried
NO_RETAIN: Final = 0x9A
LOST_WITH_ANSWER: Final = 5  # connections in a row that ended with the same answer under way


# ── what it is given ──────────────────────────────────────────────────────────────────────────────


class StatusPicture(Protocol):
    """Makes the bytes of the agent's status; `reason` is "lost" in the will and "stop" at a clean stop."""

    def __call__(self, *, online: bool, connection: int, reason: str | None) -> bytes:
        """The payload."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Whose outbox this is, and how it tells about itself."""

    status_topic: str
    status: StatusPicture
    teller: Teller


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How fast and how patiently."""

    window: int = delivery.WINDOW
    per_s: float | None = None  # for a broker that counts: 80 with AWS IoT Core
    rest: Rest = field(default_factory=Rest)
    overdue_s: float = delivery.OVERDUE_S
    settle_within_s: float = 0.05  # an acknowledgement waits so long for somebody else's transaction
    memory_bytes: int = 1024 * 1024  # of envelopes at hand; the others are read when their turn comes
    budget: Budget = field(default_factory=Budget)
    house_every_s: float = 60.0
    house_every_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How the forwarder does. Counts are since the start."""

    connected: bool
    connection: int
    acknowledged: int
    since_acknowledged_s: float | None
    reconnects: int
    sent_again: int
    dead_letters: int
    dropped: int
    gaps: int
    nobody_listens: bool  # the broker's last word on an event was 0x10
    paused_why: str | None
    away_why: str | None  # why there is no connection; None while there is one
    under_way: int
    used: float  # share of the disk budget
    took: Durations  # from recorded to acknowledged
    connects: int  # that the broker took
    endings: Mapping[Ending, int]  # of connections and of attempts at one
    refusals: Mapping[Verdict, int]  # of envelopes, by what became of them


# ── a stream on its way ───────────────────────────────────────────────────────────────────────────


class _Lane:
    """One stream. A mutable class: it is touched for every envelope."""

    __slots__ = (
        "after",
        "answers",
        "behind",
        "blocked",
        "elsewhere",
        "failures",
        "holds",
        "lost_with",
        "name",
        "newest",
        "number",
        "queued",
        "reading",
        "sent",
        "waiting",
    )

    def __init__(self, name: str, *, after: int, number: int) -> None:
        self.name = name
        self.waiting: deque[Posted] = deque()
        self.sent: Posted | None = None  # published, no PUBACK yet, or being buried
        self.after = after  # place of the last that came into memory
        self.newest = after  # place of the last that was ever offered
        self.number = number  # that of the last that came into memory
        self.behind = False  # the disk has more than memory
        self.reading = False
        self.queued = False  # stands in the queue of those that may go
        self.blocked = False  # rests after a refusal
        self.failures = 0
        self.holds: list[Hold] = []
        self.answers = name.endswith(ANSWERS)
        self.elsewhere = 0  # place of the answer that cannot go to its Response Topic
        self.lost_with = 0  # connections that ended while an answer was under way to its Response Topic


class _Status(Enum):
    BIRTH = "birth"
    DEATH = "death"


class _Stage(Enum):
    """How far a connection has come; only forward."""

    BIRTH = "birth"  # our status is not acknowledged yet
    RETAINED = "retained"  # everything retained is published anew
    OPEN = "open"  # events go
    CLOSING = "closing"  # nothing new goes; what is under way is waited for
    GOODBYE = "goodbye"  # our last status is under way


@dataclass(slots=True)
class _Counts:
    """Since the start."""

    acknowledged: int = 0
    acknowledged_at_s: float | None = None
    reconnects: int = 0
    sent_again: int = 0
    dead_letters: int = 0
    dropped: int = 0
    gaps: int = 0
    unheard: bool = False
    paused_why: str | None = None
    used: float = 0.0
    took: Durations = field(default_factory=Durations)
    connects: int = 0
    endings: Counter[Ending] = field(default_factory=Counter)
    refusals: Counter[Verdict] = field(default_factory=Counter)


class Forwarder:
    """Owns the way from disk to broker: `run` it as a task, `offer` and `stop` on the same loop."""

    def __init__(  # noqa: PLR0915 - each is a field
        self,
        database: Database,
        dial: Dial,
        agent: Agent,
        *,
        luck: Callable[[], float],
        conduct: Conduct | None = None,
        hearing: Hearing | None = None,
    ) -> None:
        self.retained = Retained(wake=self._wake_up)
        self._database = database
        self._dial = dial
        self._agent = agent
        self._luck = luck
        self._conduct = conduct or Conduct()
        self._hearing = hearing
        if hearing is not None:
            hearing.attend(offer=self.offer, wake=self._wake_up)
        self._replays = Replays(
            database,
            within_s=self._conduct.settle_within_s,
            rest=self._conduct.rest,
            luck=luck,
            offer=self.offer,
            wake=self._wake_up,
        )
        self._dead_letters = DeadLetters(
            database,
            within_s=self._conduct.settle_within_s,
            rest=self._conduct.rest,
            luck=luck,
            wake=self._wake_up,
        )
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = inf
        self._lanes: dict[str, _Lane] = {}
        self._ready: deque[_Lane] = deque()
        self._held: dict[_Lane, None] = {}
        self._to_read: deque[_Lane] = deque()
        self._reading: asyncio.Future[dict[str, list[Posted]]] | None = None
        self._read_lanes: list[
            tuple[_Lane, int]
        ] = []  # and the newest place offered when they were asked for
        self._read_each = READ_EACH
        self._burying: list[tuple[_Lane, asyncio.Future[Dropped]]] = []
        self._started = False
        self._early: dict[str, int] = {}
        self._memory_bytes = 0
        self._bytes_since_house = 0
        self._house = asyncio.Event()
        self._to_settle: dict[str, int] = {}
        self._to_settle_count = 0
        self._settling: asyncio.Future[None] | None = None
        self._settling_count = 0
        self._settles_no_more = False  # the database may be closed
        self._unsettled = 0
        self._acknowledged_places: dict[str, int] = {}
        # the connection
        self._connection: Connection | None = None
        self._stage = _Stage.BIRTH
        self._window = Window(unacknowledged=1, unsettled=1)
        self._pace = Pace(per_s=self._conduct.per_s, at_s=self._loop.time())
        self._number = 0
        self._retains = True
        self._status_sent = False
        self._status_failures = 0
        self._paused = False
        self._quiet = False  # nothing is sent while something may be dropped
        self._pauses = 0
        self._stopping = False
        self._dialling: asyncio.Task[None] | None = None
        self._leaving = False  # for another broker
        self._turned = asyncio.Event()  # ends a rest
        self._back_at_s = inf  # when something is to be heard of the line at the latest
        self._retained_refused: set[str] = set()  # topics of which that was told
        self._told_lost = False
        self._away_why: str | None = None
        self._counts = _Counts()

    # ── for the pipeline and the daemon

    def offer(self, posted: Iterable[Posted]) -> None:
        """These are on disk, in this order; what memory has no room for will be read from there."""
        for one in posted:
            self._offer(one)
        self._event.set()

    async def replay(self, command: Command) -> None:
        """Sends acknowledged events again, as its `Replay` says, in the pauses of the new ones.

        Returns when it is on disk, with its first answer; the last comes by itself, also after a restart.
        """
        await self._replays.begin(command, acknowledged=self._acknowledged_places)

    async def retry(self) -> int:
        """Sends dead letters again, in the pauses of the new events; how many, once that is on disk."""
        return await self._dead_letters.retry()

    def turn_to(self, dial: Dial | None, *, window: int) -> None:
        """From now on to this broker, with so much under way at once; None: to the same.

        A line to another one is ended with a good-bye, and none to the same; a rest is over.
        """
        self._conduct = replace(self._conduct, window=window)
        if dial is not None:
            self._dial, self._leaving = dial, True
        if self._connection is None:
            self._turned.set()
        else:
            self._window = delivery.window(window, self._connection.welcome.receive_maximum)
        self._event.set()

    @property
    def overdue_s(self) -> float:
        """For how long the line to the broker should have moved and has not (s); a rest is no such time."""
        return max(0.0, self._loop.time() - self._back_at_s)

    def stop(self) -> None:
        """`run` returns soon: what is under way gets a moment, the broker is told, the rest stays on disk."""
        self._stopping = True
        self._event.set()
        if self._dialling is not None:
            self._dialling.cancel()

    @property
    def vitals(self) -> Vitals:
        """How it does."""
        at_s = self._counts.acknowledged_at_s
        connected = self._connection is not None and self._stage is _Stage.OPEN
        return Vitals(
            connected=connected,
            connection=self._number,
            acknowledged=self._counts.acknowledged,
            since_acknowledged_s=None if at_s is None else self._loop.time() - at_s,
            reconnects=self._counts.reconnects,
            sent_again=self._counts.sent_again,
            dead_letters=self._counts.dead_letters,
            dropped=self._counts.dropped,
            gaps=self._counts.gaps,
            nobody_listens=self._counts.unheard,
            paused_why=self._counts.paused_why,
            away_why=None if connected else self._away_why,
            under_way=self._unsettled,
            used=self._counts.used,
            took=self._counts.took.copy(),
            connects=self._counts.connects,
            endings=dict(self._counts.endings),
            refusals=dict(self._counts.refusals),
        )

    async def run(self) -> None:
        """Forwards until `stop`. Crashes with the database: systemd starts it all again."""
        heads, holds = await self._database.write(lambda tx: (outbox.heads(tx), outbox.holds(tx)))
        for head in heads:
            lane = _Lane(head.stream, after=head.settled_place, number=head.last_number)
            lane.behind = head.pending > 0 or self._early.get(head.stream, 0) > head.settled_place
            self._lanes[head.stream] = lane
            self._acknowledged_places[head.stream] = head.settled_place
            self._want_more(lane)
        self._hold(holds)
        self._started = True
        self._house.set()
        async with asyncio.TaskGroup() as tasks:
            house = tasks.create_task(self._keep_house(), name="outbox-house")
            helpers = [house]
            if self._hearing is not None:
                helpers.append(tasks.create_task(self._hearing.run(), name="commands"))
            if not self._stopping:
                self._dialling = line = tasks.create_task(self._stay_connected(), name="forwarder-line")
                await asyncio.wait({line})
            for each in helpers:
                each.cancel()
        self._back_at_s = inf
        await self._settle_last()

    # ── the line to the broker

    async def _stay_connected(self) -> None:
        dial: Dial | None = None
        line, older, unfit, server = Line(), False, 0, None
        while not self._stopping:
            self._back_at_s = self._loop.time() + DIALLED_WITHIN_S
            self._leaving = False
            if self._dial is not dial:  # what was learned is of another broker
                dial, self._retains = self._dial, True
                line, older, unfit, server = Line(), False, 0, None
            stood_at_s: float | None = None
            self._number = await self._count_connection()
            will = Message(
                topic=self._agent.status_topic,
                payload=self._agent.status(online=False, connection=self._number, reason="lost"),
                retain=self._retains,
            )
            try:
                async with dial(will=will, wake=self._event.set, older=older, server=server) as connection:
                    stood_at_s = self._loop.time()
                    dialling, self._dialling = self._dialling, None
                    try:
                        await self._converse_and_hear(connection)
                    finally:
                        self._dialling = dialling
                        self._end_connection()
                    lost = connection.lost.result() if connection.lost.done() else None
            except BrokerError as error:
                lost = error.lost
            if self._must_stop():
                return
            if lost is None or self._leaving:  # we left, however it ended then
                self._turned.clear()
                self._counts.reconnects += 1
                continue
            ending = delivery.judge_ending(lost.code)
            self._counts.endings[ending] += 1
            line = line.ended(lived_s=None if stood_at_s is None else self._loop.time() - stood_at_s)
            unfit = unfit + 1 if lost.unfit else 0
            older = self._which_version(ending, unfit, older=older)
            server = self._which_server(ending, lost, server)
            if lost.code == NO_RETAIN:
                self._retains = False
            rest_s = delivery.rest_s(ending, line, self._luck(), rest=self._conduct.rest)
            self._tell_lost(lost, ending, rest_s=rest_s, first=line.failures == 1 or stood_at_s is not None)
            await self._rest_from_dialling(rest_s)
            self._counts.reconnects += 1

    async def _rest_from_dialling(self, rest_s: float) -> None:
        self._back_at_s = self._loop.time() + rest_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._turned.wait()
        self._turned.clear()

    def _must_stop(self) -> bool:
        return self._stopping

    def _which_version(self, ending: Ending, unfit: int, *, older: bool) -> bool:
        if ending is Ending.OLDER:
            return not older
        if unfit and unfit % UNFIT_BEFORE_OLDER == 0:
            return not older
        return older

    def _which_server(self, ending: Ending, lost: Lost, server: str | None) -> str | None:
        match ending:
            case Ending.MOVED | Ending.MOVED_FOR_GOOD:
                return lost.server_reference
            case Ending.OLDER:
                return server
            case Ending.RETRY | Ending.REFUSED | Ending.TAKEN_OVER:
                return None  # back to the address that a person configured
            case _:
                assert_never(ending)

    def _tell_lost(self, lost: Lost, ending: Ending, *, rest_s: float, first: bool) -> None:
        self._away_why = lost.why
        facts = {"why": lost.why, "code": lost.code, "rest_s": round(rest_s, 1), "connection": self._number}
        if not first and self._told_lost:
            log.debug("broker.lost", **facts)
            return
        self._told_lost = True
        if lost.person:
            log.error("broker.unusable", **facts, mend="mend the address, or the file that is named")
            return
        match ending:
            case Ending.REFUSED:
                log.error("broker.refused", **facts, mend="check user, password, client id and rights")
            case Ending.TAKEN_OVER:
                log.error(
                    "broker.taken_over",
                    **facts,
                    mend="another client uses our client id: give one of us another",
                )
            case Ending.RETRY | Ending.OLDER | Ending.MOVED | Ending.MOVED_FOR_GOOD:
                log.warning("broker.lost", **facts)
            case _:
                assert_never(ending)

    async def _count_connection(self) -> int:
        least = self._number + 1
        try:
            async with asyncio.timeout(COUNTED_WITHIN_S):
                return await self._database.write(lambda tx: outbox.next_connection(tx, at_least=least))
        except TimeoutError:
            log.warning("broker.connection_not_counted", connection=least)
            return least

    async def _converse_and_hear(self, connection: Connection) -> None:
        async with asyncio.TaskGroup() as tasks:
            asking = None
            if self._hearing is not None:
                asking = tasks.create_task(self._hearing.subscribe(connection), name="commands-subscription")
            await self._converse(connection)
            if asking is not None:
                asking.cancel()

    async def _converse(self, connection: Connection) -> None:
        """From CONNACK until the line is lost or we have said good-bye."""
        self._connection = connection
        self._turned.clear()
        self._stage = _Stage.BIRTH
        self._window = delivery.window(self._conduct.window, connection.welcome.receive_maximum)
        self._status_sent = False
        self._status_failures = 0
        self._paused = False
        self.retained.begin()
        self._counts.connects += 1
        log.info(
            "broker.connected",
            connection=self._number,
            version=connection.welcome.version.name,
            window=self._window.unacknowledged,
            session_present=connection.welcome.session_present,
        )
        self._told_lost = False
        closing_until_s = inf
        while not connection.lost.done():
            self._event.clear()
            now_s = self._loop.time()
            self._back_at_s = now_s + LOOKS_EVERY_S
            self._look_at_jobs()
            self._hear(connection, now_s)
            leaving = self._stopping or self._leaving
            if self._hearing is not None and not leaving:
                self._hearing.take(connection)
            if leaving and closing_until_s == inf:
                closing_until_s = now_s + LAST_ANSWERS_WITHIN_S
                self._stage = _Stage.CLOSING
            if self._stage is _Stage.CLOSING:
                if not connection.under_way or now_s >= closing_until_s:
                    self._say_status(connection, _Status.DEATH)
                    self._stage = _Stage.GOODBYE
                    closing_until_s = now_s + GOODBYE_WITHIN_S
            elif self._stage is _Stage.GOODBYE:
                if not self._status_sent or now_s >= closing_until_s:
                    await connection.disconnect()
                    return
            else:
                self._send(connection, now_s)
            self._read_more()
            if connection.oldest_unanswered_s() > self._conduct.overdue_s:
                connection.drop(f"a PUBACK is overdue for {self._conduct.overdue_s} s")
                break
            self._wake_at(min(now_s + LOOKS_EVERY_S, closing_until_s))
            await self._event.wait()

    def _end_connection(self) -> None:
        """What was under way stands first again: however often, no more than a window is sent in vain."""
        self._connection = None
        self._replays.line_ended()
        self._dead_letters.line_ended()
        for lane in reversed(self._lanes.values()):
            if lane.sent is not None and not any(buried is lane for buried, _ in self._burying):
                self._counts.sent_again += 1
                self._suspect(lane, lane.sent)
                self._take_back(lane)
                self._queue(lane, first=True)

    # ── sending

    def _send(self, connection: Connection, now_s: float) -> None:
        if self._stage is _Stage.BIRTH:
            if not self._status_sent and not self._paused:
                self._say_status(connection, _Status.BIRTH)
            return
        bound = self._window.unacknowledged
        self._show(connection, now_s, bound)
        if self._stage is _Stage.RETAINED:
            due_s = self.retained.next_due_s()
            if due_s is not None and due_s <= now_s:
                return  # more than a window of them: the next answers bring us back
            self._stage = _Stage.OPEN
        if self._paused or self._quiet:
            return
        if self._pauses:
            bound = 1  # a cautious step after a refusal
        ready, unsettled = self._ready, self._window.unsettled
        while ready and connection.under_way < bound and self._unsettled < unsettled:
            lane = ready[0]
            one = lane.waiting[0] if lane.waiting else None
            if one is None or lane.sent is not None or lane.blocked:
                ready.popleft()
                lane.queued = False
                continue
            if lane.holds and self._is_held(lane, one):
                ready.popleft()
                lane.queued = False
                self._held[lane] = None
                continue
            wait_s = self._pace.wait_s(now_s)
            if wait_s > 0.0:
                self._wake_at(now_s + wait_s)
                return
            ready.popleft()
            lane.queued = False
            lane.waiting.popleft()
            lane.sent = one
            self._unsettled += 1
            if one.rotten:
                self._bury(lane, one, 0, outbox.Loss.ROTTEN)
                continue
            envelope = one.envelope
            if lane.answers:
                connection.publish(self._answer(lane, one), lane)
                continue
            connection.publish(
                Message(topic=envelope.topic, payload=envelope.payload, content_type=CLOUDEVENT), lane
            )
        if not ready and not self._pauses and connection.under_way < bound:
            self._send_again(connection, now_s)

    def _send_again(self, connection: Connection, now_s: float) -> None:
        """What somebody asked for once more, since nothing new is there to go."""
        if self._to_read or self._reading is not None:
            return
        if self._replays.busy or self._dead_letters.busy:
            return
        source: Replays | DeadLetters = self._replays
        one = source.next()
        if one is None:
            source = self._dead_letters
            one = source.next()
        if one is None:
            return
        wait_s = self._pace.wait_s(now_s)
        if wait_s > 0.0:
            self._wake_at(now_s + wait_s)
            return
        source.sent()
        envelope = one.envelope
        connection.publish(
            Message(topic=envelope.topic, payload=envelope.payload, content_type=CLOUDEVENT), source
        )

    def _answer(self, lane: _Lane, one: Posted) -> Message:
        envelope = one.envelope
        postage = envelope.postage
        return Message(
            topic=self._always_heard(lane, one) if lane.elsewhere == one.place else envelope.topic,
            payload=envelope.payload,
            content_type=JSON,
            correlation_data=None if postage is None else postage.correlation,
            expiry_s=None if postage is None else postage.expiry_s,
        )

    def _always_heard(self, lane: _Lane, one: Posted) -> str:
        """Where answers go whose Response Topic the broker does not take."""
        return one.envelope.topic if self._hearing is None else self._hearing.responses(lane.name)

    def _goes_elsewhere(self, lane: _Lane, one: Posted, why: str) -> bool:
        """Whether an answer has another place to go to: where the room's answers are always heard."""
        topic = one.envelope.topic
        if not lane.answers or lane.elsewhere == one.place or topic == self._always_heard(lane, one):
            return False
        lane.elsewhere = one.place
        log.warning("answer.redirected", topic=topic, why=why, to=self._always_heard(lane, one))
        return True

    def _suspect(self, lane: _Lane, one: Posted) -> None:
        """Some brokers end the connection of whoever publishes where they may not."""
        lane.lost_with = lane.lost_with + 1 if lane.answers else 0
        if lane.lost_with >= LOST_WITH_ANSWER:
            lane.lost_with = 0
            self._goes_elsewhere(lane, one, "every connection ended right after it was sent there")

    def _show(self, connection: Connection, now_s: float, bound: int) -> None:
        while connection.under_way < bound:
            shown = self.retained.take(now_s)
            if shown is None:
                break
            message = Message(
                topic=shown.topic,
                payload=shown.payload,
                retain=connection.welcome.retain_available,
                expiry_s=shown.expiry_s,
                content_type=JSON,
            )
            connection.publish(message, shown.topic)
        due_s = self.retained.next_due_s()
        if due_s is not None and due_s > now_s:
            self._wake_at(due_s)

    def _say_status(self, connection: Connection, status: _Status) -> None:
        self._status_sent = True
        online = status is _Status.BIRTH
        payload = self._agent.status(
            online=online, connection=self._number, reason=None if online else "stop"
        )
        retain = connection.welcome.retain_available
        connection.publish(
            Message(topic=self._agent.status_topic, payload=payload, retain=retain, content_type=JSON), status
        )

    # ── hearing

    def _hear(self, connection: Connection, now_s: float) -> None:
        answers = connection.answers()
        if not answers:
            return
        now = outbox.moment_now()
        while answers:
            token, code = answers.popleft()
            verdict = delivery.judge(code)
            if isinstance(token, _Lane):
                self._judge(token, verdict, code, now_s, now)
            elif isinstance(token, _Status):
                self._judge_status(token, verdict, code, now_s)
            elif isinstance(token, Replays | DeadLetters):
                token.judge(verdict, code)
                if verdict in {Verdict.SETTLED, Verdict.UNHEARD}:
                    self._counts.acknowledged_at_s = now_s
                    self._note_heard(unheard=verdict is Verdict.UNHEARD)
            elif isinstance(token, str):
                if verdict in {Verdict.SETTLED, Verdict.UNHEARD}:
                    self.retained.acknowledged(token)
                    self._retained_refused.discard(token)
                else:
                    rest_s = self._conduct.rest.longest_s
                    tell = log.debug if token in self._retained_refused else log.warning
                    tell("retained.refused", topic=token, code=code, rest_s=rest_s)
                    self._retained_refused.add(token)
                    self.retained.refused(token, not_before_s=now_s + rest_s)

    def _judge(self, lane: _Lane, verdict: Verdict, code: int, now_s: float, now: Moment) -> None:
        one = lane.sent
        if one is None:
            return
        if verdict not in {Verdict.SETTLED, Verdict.UNHEARD}:
            self._counts.refusals[verdict] += 1
        match verdict:
            case Verdict.SETTLED | Verdict.UNHEARD:
                lane.sent = None
                lane.failures = lane.lost_with = 0
                self._counts.acknowledged += 1
                self._counts.acknowledged_at_s = now_s
                if one.recorded is not None:
                    self._counts.took.count(delivery.age_s(one.recorded, now))
                self._acknowledged_places[lane.name] = one.place
                self._forget(one)
                self._settle(lane.name, one.place)
                self._note_heard(unheard=verdict is Verdict.UNHEARD)
                if self._counts.paused_why is not None:
                    self._resume()
                if self._held and lane.name == self._agent.teller.stream:
                    self._release()
                self._queue(lane)
                self._want_more(lane)
            case Verdict.AGAIN:
                self._take_back(lane)
                self._rest(lane, code)
            case Verdict.PAUSE:
                self._take_back(lane)
                if self._goes_elsewhere(lane, one, f"not authorized (0x{code:02x})"):
                    self._queue(lane, first=True)
                    return
                self._rest(lane, code)
                if not lane.answers:  # these hold up nobody else
                    self._pause(lane, code)
            case Verdict.UNDELIVERABLE:
                if code != delivery.OVER_SIZE and self._goes_elsewhere(lane, one, f"0x{code:02x}"):
                    self._take_back(lane)
                    self._queue(lane, first=True)
                    return
                self._bury(
                    lane,
                    one,
                    code,
                    outbox.Loss.OVER_SIZE if code == delivery.OVER_SIZE else outbox.Loss.REFUSED,
                )
            case _:
                assert_never(verdict)

    def _judge_status(self, status: _Status, verdict: Verdict, code: int, now_s: float) -> None:
        self._status_sent = False
        if status is _Status.DEATH:
            return
        match verdict:
            case Verdict.SETTLED | Verdict.UNHEARD:
                self._status_failures = 0
                if self._stage is _Stage.BIRTH:
                    self._stage = _Stage.RETAINED
            case Verdict.AGAIN | Verdict.PAUSE | Verdict.UNDELIVERABLE:
                self._status_failures += 1
                rest_s = self._conduct.rest.after(self._status_failures, self._luck())
                if self._status_failures == 1:
                    log.error(
                        "broker.birth_refused",
                        topic=self._agent.status_topic,
                        code=code,
                        mend="grant the right to publish there, retained; nothing is sent before",
                    )
                self._paused = True
                self._loop.call_at(now_s + rest_s, self._go_on)
            case _:
                assert_never(verdict)

    def _note_heard(self, *, unheard: bool) -> None:
        if unheard != self._counts.unheard:
            self._counts.unheard = unheard
            if unheard:
                log.warning("outbox.unheard", mend="start the consumer, or check its subscriptions")
            else:
                log.info("outbox.heard")

    def _take_back(self, lane: _Lane) -> None:
        if lane.sent is not None:
            lane.waiting.appendleft(lane.sent)
            lane.sent = None
            self._unsettled -= 1

    def _rest(self, lane: _Lane, code: int) -> None:
        lane.failures += 1
        lane.blocked = True
        rest_s = self._conduct.rest.after(lane.failures, self._luck())
        if lane.failures == 1:
            log.warning("outbox.refused", stream=lane.name, code=code, rest_s=round(rest_s, 1))
        self._loop.call_later(rest_s, self._unblock, lane)

    def _unblock(self, lane: _Lane) -> None:
        lane.blocked = False
        self._queue(lane)
        self._event.set()

    def _pause(self, lane: _Lane, code: int) -> None:
        """We may not publish there, perhaps nowhere: everything rests; the first that passes lifts it."""
        self._pauses += 1
        rest_s = self._conduct.rest.after(self._pauses, self._luck())
        why = f"not authorized to publish for {lane.name} (0x{code:02x})"
        if self._counts.paused_why is None:
            log.error("outbox.paused", why=why, mend="grant the right to publish; nothing is dropped")
        self._counts.paused_why = why
        if not self._paused:
            self._paused = True
            self._loop.call_later(rest_s, self._go_on)

    def _go_on(self) -> None:
        self._paused = False
        self._event.set()

    def _resume(self) -> None:
        if not any(lane.blocked for lane in self._lanes.values()):
            log.info("outbox.resumed")
            self._counts.paused_why = None
        self._pauses = 0

    # ── settling

    def _settle(self, stream: str, place: int) -> None:
        self._to_settle[stream] = place
        self._to_settle_count += 1
        if self._settling is None:
            self._settling = self._database.submit_with_next(
                self._prepare_settling, within_s=self._conduct.settle_within_s
            )
            self._settling.add_done_callback(self._settled)
        if self._to_settle_count * 2 > self._window.unsettled:
            self._database.hurry()

    def _prepare_settling(self) -> Callable[[Transaction], None]:
        places, self._to_settle = self._to_settle, {}
        self._settling_count += self._to_settle_count
        self._to_settle_count = 0
        return lambda tx: outbox.settle(tx, places)

    def _settled(self, done: asyncio.Future[None]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._event.set()  # `_look_at_jobs` raises it
            return
        self._unsettled -= self._settling_count
        self._settling_count = 0
        self._settling = None
        if self._to_settle_count and not self._settles_no_more:
            self._settling = self._database.submit_with_next(
                self._prepare_settling, within_s=self._conduct.settle_within_s
            )
            self._settling.add_done_callback(self._settled)
        if self._ready:
            self._event.set()

    async def _settle_last(self) -> None:
        """What a stuck disk does not take down is only sent once more after the next start."""
        self._database.hurry()
        until_s = self._loop.time() + SETTLED_WITHIN_S
        while self._settling is not None and (left_s := until_s - self._loop.time()) > 0.0:
            await asyncio.wait({self._settling}, timeout=left_s)
            self._look_at_jobs()
            self._database.hurry()
        self._settles_no_more = True

    # ── memory and disk

    def _offer(self, one: Posted) -> None:
        name = one.envelope.stream
        self._bytes_since_house += len(one.envelope.payload)
        if self._bytes_since_house > self._conduct.house_every_bytes:
            self._house.set()
        if not self._started:
            self._early[name] = one.place
            return
        lane = self._lanes.get(name)
        if lane is None:
            self._lanes[name] = lane = _Lane(name, after=0, number=0)
        if one.place <= lane.after:
            return  # was read from disk before it was offered
        lane.newest = one.place
        follows = one.envelope.number == lane.number + 1
        if lane.behind or not follows or self._memory_bytes > self._conduct.memory_bytes:
            lane.behind = True
            self._want_more(lane)
            return
        self._remember(lane, one)
        self._queue(lane)

    def _remember(self, lane: _Lane, one: Posted) -> None:
        lane.waiting.append(one)
        lane.after = one.place
        lane.number = one.envelope.number
        self._memory_bytes += len(one.envelope.payload)

    def _forget(self, one: Posted) -> None:
        self._memory_bytes -= len(one.envelope.payload)

    def _queue(self, lane: _Lane, *, first: bool = False) -> None:
        if lane.waiting and not lane.queued and lane.sent is None and not lane.blocked:
            lane.queued = True
            if first or lane.name == self._agent.teller.stream:
                self._ready.appendleft(lane)  # records of gaps hold others up
            else:
                self._ready.append(lane)

    def _want_more(self, lane: _Lane) -> None:
        if lane.behind and not lane.reading and len(lane.waiting) < READ_EACH // 2:
            lane.reading = True
            self._to_read.append(lane)

    def _read_more(self) -> None:
        """Asks the disk for what is not at hand; nothing is read while there is nobody to send it to."""
        if self._reading is not None or not self._to_read:
            return
        lanes = [self._to_read.popleft() for _ in range(min(READ_TOGETHER, len(self._to_read)))]
        self._read_lanes = [(lane, lane.newest) for lane in lanes]
        wanted = [(lane.name, lane.after) for lane in lanes]
        each = self._read_each = READ_EACH if self._memory_bytes < self._conduct.memory_bytes else 1

        def read(tx: Transaction) -> dict[str, list[Posted]]:
            return {
                name: inbox.franked(tx, outbox.pending(tx, name, after=after, limit=each))
                for name, after in wanted
            }

        self._reading = self._database.submit(read)
        self._reading.add_done_callback(lambda _: self._event.set())

    def _look_at_jobs(self) -> None:
        """Takes what the database has answered; raises what it raised."""
        if self._settling is not None and self._settling.done():
            self._settling.result()
        if self._reading is not None and self._reading.done():
            found, self._reading = self._reading.result(), None
            for lane, newest in self._read_lanes:
                rows = found[lane.name]
                for one in rows:
                    self._remember(lane, one)
                if len(rows) < self._read_each:  # nothing else was there, whatever had been offered before
                    lane.after = max(lane.after, newest)
                    lane.behind = lane.newest > lane.after
                lane.reading = False
                self._queue(lane)
                self._want_more(lane)
            self._read_lanes = []
        for lane, future in [each for each in self._burying if each[1].done()]:
            self._burying.remove((lane, future))
            self._buried(lane, future.result())

    # ── what is given up

    def _bury(self, lane: _Lane, one: Posted, code: int, reason: outbox.Loss) -> None:
        envelope = one.envelope
        log.error(
            "outbox.undeliverable",
            stream=lane.name,
            number=envelope.number,
            topic=envelope.topic,
            code=code,
            why=reason.value,
            mend="mend the broker's limit or topic, and then: roomd outbox retry",
        )
        self._counts.dead_letters += 1
        recorded, teller = outbox.moment_now(), self._agent.teller

        def bury(tx: Transaction) -> Dropped:
            return outbox.dead_letter(
                tx, one, code=code, reason=reason.value, teller=teller, recorded=recorded
            )

        future = self._database.submit(bury)
        future.add_done_callback(lambda _: self._event.set())
        self._burying.append((lane, future))

    def _buried(self, lane: _Lane, dropped: Dropped) -> None:
        one, lane.sent = lane.sent, None
        self._unsettled -= 1
        if one is not None:
            self._forget(one)
            self._acknowledged_places[lane.name] = one.place
        self._counts.gaps += len(dropped.holds)
        self._hold(dropped.holds)
        self.offer(dropped.told)
        if lane.name == self._agent.teller.stream:
            self._release()
        self._queue(lane)
        self._want_more(lane)

    def _hold(self, holds: Iterable[Hold]) -> None:
        for hold in holds:
            lane = self._lanes.get(hold.stream)
            if lane is not None:
                lane.holds.append(hold)

    def _is_held(self, lane: _Lane, one: Posted) -> bool:
        places = self._acknowledged_places
        lane.holds = [hold for hold in lane.holds if places.get(hold.told_stream, 0) < hold.told_place]
        return any(one.place > hold.from_place for hold in lane.holds)

    def _release(self) -> None:
        held, self._held = self._held, {}
        for lane in held:
            self._queue(lane)

    async def _keep_house(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                trouble = self._database.trouble
                patience_s = LOOKS_EVERY_S if trouble is not None else self._conduct.house_every_s
                async with asyncio.timeout(patience_s):
                    await self._house.wait()
            self._house.clear()
            self._bytes_since_house = 0
            more = True
            while more:
                more = await self._keep_house_once()
            if self._database.trouble is None:
                await self._find_the_forgotten()

    async def _keep_house_once(self) -> bool:
        near = (
            self._counts.used > self._conduct.budget.no_diagnostics * 0.9
            or self._database.trouble is not None
        )
        self._quiet = near
        under_way: Mapping[str, int] | None = None
        if near:
            under_way = {lane.name: lane.sent.place for lane in self._lanes.values() if lane.sent is not None}
        now, budget, teller = outbox.moment_now(), self._conduct.budget, self._agent.teller
        try:
            kept = await self._database.write(
                lambda tx: outbox.keep_house(tx, budget=budget, under_way=under_way, teller=teller, now=now),
                ahead=True,
            )
        except sqlite3.OperationalError as error:
            log.debug("outbox.no_room_made", why=str(error))
            return False
        finally:
            self._quiet = False
            self._event.set()
        self._counts.used = kept.used
        dropped = kept.dropped
        if dropped.places:
            self._counts.dropped += len(dropped.places)
            self._counts.gaps += len(dropped.holds)
            log.error(
                "outbox.dropped",
                envelopes=len(dropped.places),
                used=round(kept.used, 3),
                mend="reach the broker, or give the outbox more room; the cloud is told which numbers",
            )
            self._drop_from_memory(dropped)
        return kept.more or (not near and kept.used >= budget.no_diagnostics)

    async def _find_the_forgotten(self) -> None:
        """What is on disk and was never offered, because somebody was interrupted in between."""
        for head in await self._database.write(outbox.heads):
            lane = self._lanes.get(head.stream)
            if lane is None:
                self._lanes[head.stream] = lane = _Lane(head.stream, after=0, number=0)
            if head.pending and head.last_number != lane.number:
                lane.behind = True
                self._want_more(lane)
        self._event.set()

    def _drop_from_memory(self, dropped: Dropped) -> None:
        for lane in self._lanes.values():
            if any(one.place in dropped.places for one in lane.waiting):
                for one in lane.waiting:
                    if one.place in dropped.places:
                        self._forget(one)
                lane.waiting = deque(one for one in lane.waiting if one.place not in dropped.places)
        self._hold(dropped.holds)
        self.offer(dropped.told)

    # ── time

    def _wake_up(self) -> None:
        self._event.set()

    def _wake_at(self, when_s: float) -> None:
        if when_s >= self._timer_at_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = when_s
        self._timer = self._loop.call_at(when_s, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer_at_s = inf
        self._event.set()
