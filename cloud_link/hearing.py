"""A command's way in: heard, judged, on disk, acknowledged, and only then given to the core."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import structlog

from agent.core.orders import Answer, AnswerStatus
from cloud_link import commands, inbox, outbox, replays
from cloud_link.broker import BrokerError, Connection, Incoming
from cloud_link.commands import Command, Refused, Rules
from cloud_link.database import Database
from cloud_link.envelope import Heard
from cloud_link.inbox import Again, Kept, State, Turned, Unfinished
from cloud_link.outbox import Posted

log = structlog.get_logger()

AT_HAND: Final = 64  # commands that wait for the core or the disk; beyond that none is taken from the broker
REFUSED_FROM: Final = 0x80  # SUBACK codes from here on mean no
SUBSCRIBED_WITHIN_S: Final = 30.0
ASKED_AGAIN_AFTER_S: Final = 60.0  # rights may be granted meanwhile
PRUNED_EVERY_S: Final = 3600.0

T = TypeVar("T")
Give = Callable[[Command], Awaitable[None]]
Interrupted = Callable[[Unfinished], Answer | None]


def nobody_knows(unfinished: Unfinished, *, now: datetime) -> Answer:
    """The answer to a command that was begun, and of which no trace is left."""
    return Answer(
        command=unfinished.id,
        status=AnswerStatus.UNKNOWN,
        reason="the agent was interrupted while it was doing it: look at the room, and give a new command",
        at=now,
    )


def _nothing(_: object) -> None:
    pass


class Hearing:
    """Belongs to a forwarder, which runs it, hands it every connection, and posts its answers.

    `give` takes a command to the pipeline and may wait; the commands of a room come in order. After a restart
    it is called again for those of which the core has not heard. `interrupted` is asked then about those of
    which it has: their final answer, or None where the core goes on with them and will answer.
    """

    def __init__(
        self,
        database: Database,
        *,
        rules: Callable[[], Rules],
        now: Callable[[], datetime],
        give: Give,
        interrupted: Interrupted,
    ) -> None:
        self._database = database
        self._rules = rules
        self._now = now
        self._give = give
        self._interrupted = interrupted
        self._offer: Callable[[Iterable[Posted]], None] = lambda _: None
        self._wake: Callable[[], None] = lambda: None
        self._to_give: deque[Command] = deque()
        self._something = asyncio.Event()
        self._on_their_way = 0  # to the disk
        self._taking = False
        self._failed: BaseException | None = None
        self._kept = 0  # since the start, as the two below
        self._repeated = 0
        self._refused = 0
        self._deaf_why: str | None = None

    @property
    def heard(self) -> Heard:
        """What has become of commands, for the agent's health."""
        return Heard(
            kept=self._kept,
            repeated=self._repeated,
            refused=self._refused,
            deaf_why=self._deaf_why,
        )

    # ── for the forwarder

    def responses(self, stream: str) -> str:
        """Where answers of this stream go if nowhere else."""
        return self._rules().site.responses(stream)

    def attend(self, *, offer: Callable[[Iterable[Posted]], None], wake: Callable[[], None]) -> None:
        """Before `run`: `offer` takes answers that are on disk, `wake` has `take` called soon."""
        self._offer = offer
        self._wake = wake

    async def run(self) -> None:
        """Takes up what the last life left behind, then gives the core what is kept."""
        await self._take_up_again()
        self._taking = True
        self._wake()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._prune(), name="inbox-house")
            while True:
                while self._to_give:
                    await self._hand_over(self._to_give[0])
                    self._to_give.popleft()
                    self._wake()
                self._something.clear()
                await self._something.wait()

    async def subscribe(self, connection: Connection) -> None:
        """On every connection, whatever the broker remembers; where it refuses, again and again."""
        while not connection.lost.done():
            filters = self._rules().site.commands
            try:
                async with asyncio.timeout(SUBSCRIBED_WITHIN_S):
                    codes = await connection.subscribe(filters)
            except BrokerError:
                return
            except TimeoutError:
                connection.drop(f"SUBSCRIBE was not answered within {SUBSCRIBED_WITHIN_S} s")
                return
            refused = [
                f"{each} (0x{code:02x})"
                for each, code in zip(filters, codes, strict=False)
                if code >= REFUSED_FROM
            ]
            why = f"the broker refuses {', '.join(refused)}" if refused else None
            if why is not None and why != self._deaf_why:
                log.error("commands.not_subscribed", why=why, mend="grant the right to subscribe")
            elif why is None and self._deaf_why is not None:
                log.info("commands.subscribed")
            self._deaf_why = why
            if why is None:
                return
            await asyncio.sleep(ASKED_AGAIN_AFTER_S)

    def take(self, connection: Connection) -> None:
        """Judges what has come, and has it kept; acknowledged, on its own connection only, when it is."""
        if self._failed is not None:
            raise self._failed
        if not self._taking:
            return
        while connection.incoming and self._on_their_way + len(self._to_give) < AT_HAND:
            incoming = connection.incoming.popleft()
            if not incoming.payload and incoming.response_topic is None:  # what was retained is cleared
                self._on_their_way += 1
                self._database.submit(_nothing).add_done_callback(
                    partial(self._passed_over, connection, incoming)
                )
                continue
            judged = commands.judge(incoming, now=self._now(), rules=self._rules())
            keep = partial(inbox.take, judged=judged, recorded=outbox.moment_now())
            self._on_their_way += 1
            self._database.submit(keep).add_done_callback(
                partial(self._on_disk, connection, incoming, judged)
            )

    # ── on its way

    def _passed_over(self, connection: Connection, incoming: Incoming, done: asyncio.Future[None]) -> None:
        """By way of the disk only so that PUBACKs keep their order."""
        if self._is_on_disk(done):
            connection.acknowledge(incoming)
        self._wake()

    def _is_on_disk(self, done: asyncio.Future[T]) -> bool:
        """One less is on its way. Where the disk refused it, `take` raises that."""
        self._on_their_way -= 1
        if done.cancelled():
            return False
        self._failed = done.exception() or self._failed
        return done.exception() is None

    def _on_disk(
        self,
        connection: Connection,
        incoming: Incoming,
        judged: Command | Refused,
        done: asyncio.Future[Kept | Again | Turned],
    ) -> None:
        """In the order in which they came: the database keeps it, and MQTT wants it of PUBACKs."""
        if not self._is_on_disk(done):
            self._wake()
            return
        taken = done.result()
        connection.acknowledge(incoming)
        facts = {"command": judged.id, "topic": incoming.topic, "duplicate": incoming.duplicate}
        match taken:
            case Kept(command=command):
                self._kept += 1
                self._to_give.append(command)
                self._something.set()
                log.info("command.kept", **facts, requested_by=command.requested_by)
            case Again(state=state):
                self._repeated += 1
                log.info("command.repeated", **facts, state=state.value)
            case Turned(reason=reason):
                self._refused += 1
                log.warning("command.refused", **facts, why=reason)
        self._offer(taken.posted)
        self._wake()

    async def _hand_over(self, command: Command) -> None:
        now = self._now()
        if command.expires_at <= now:
            reason = "it expired while it waited for its turn"
            await self._answer(Answer(command=command.id, status=AnswerStatus.EXPIRED, reason=reason, at=now))
        else:
            await self._give(command)

    async def _take_up_again(self) -> None:
        unfinished, replayed = await self._database.write(
            lambda tx: (inbox.unfinished(tx), {one.command for one in replays.going(tx)})
        )
        for left in unfinished:
            if left.id in replayed:  # goes on by itself
                continue
            if left.state is State.BEGUN:
                answer = self._interrupted(left)
                if answer is not None:
                    await self._answer(answer)
                continue
            now = self._now()
            judged = commands.judge(left, now=left.received_at, rules=self._rules())
            if isinstance(judged, Refused):  # its room is not configured any more
                await self._answer(
                    Answer(command=left.id, status=AnswerStatus.REFUSED, reason=judged.reason, at=now)
                )
            else:
                self._to_give.append(judged)

    async def _answer(self, answer: Answer) -> None:
        recorded = outbox.moment_now()
        self._offer(await self._database.write(lambda tx: inbox.answer(tx, [answer], recorded=recorded)))

    async def _prune(self) -> None:
        while True:
            now = outbox.moment_now()
            while await self._database.write(partial(inbox.prune, now=now)) >= inbox.PRUNED_TOGETHER:
                pass
            await asyncio.sleep(PRUNED_EVERY_S)
