"""Turns a recording into what the link would deliver today: a technician's bug report as a regression test.

def test_a_booking_that_was_taken_off_in_outlook_is_deleted():
    outcome = replayed(RECORDINGS / "fjord.jsonl")
    assert outcome.of(BookingDeleted)[0].cause == "deleted"
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import selectors
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TypeVar

from agent.clock import Clock
from agent.core.events import RoomEvent
from agent.core.facts import Fact
from agent.core.model import Credential, Device, DeviceId, RoomId, Trust
from agent.record import hear
from device_adapters import errors
from device_adapters.conversation import AtOnce, Conversation
from device_adapters.errors import DeviceError, DeviceUnreachable
from device_adapters.xapi.messages import Call, CallId, Feedback, Refusal, Reply, XapiMessage
from tests.simulator.replay import NOBODY_ASKS_AFTER_S, Answers, Recording, Said, Talk, question, read

Event = TypeVar("Event", bound=RoomEvent)

EARLY_S = 1.0  # a dial so long before its time does


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a recording."""

    events: Sequence[RoomEvent]
    facts: Sequence[Fact]
    unknown: Sequence[str]  # questions that nobody asked when it was recorded

    def of(self, kind: type[Event]) -> list[Event]:
        """The events of a kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]


def replayed(file: Path, *, timezone: tzinfo = UTC) -> Outcome:
    """What a link delivers, and the core makes of it, from a recording; its minutes pass in no time.

    To be called outside of a running event loop: `asyncio.to_thread` where there is one.
    """
    with asyncio.Runner(loop_factory=_LeapingLoop) as runner:
        return runner.run(_replayed(read(file), timezone))


async def _replayed(recording: Recording, timezone: tzinfo) -> Outcome:
    loop = asyncio.get_running_loop()
    began = datetime.fromisoformat(recording.header["began_at"]).timestamp() - loop.time()
    dial = _Dial(recording)
    events: list[RoomEvent] = []
    facts: list[Fact] = []
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(
            hear(
                Device(
                    id=DeviceId("recorded"),
                    room=RoomId("recorded"),
                    host="192.0.2.1",
                    port=443,
                    credential=Credential(username="roomd", password_file=Path("/dev/null")),
                    trust=Trust(),
                ),
                dial,
                tell=events.extend,
                take=lambda steps: facts.extend(fact for step in steps for fact in step.facts),
                clock=Clock(wall=lambda: began + loop.time(), steady=loop.time),
                timezone=timezone,
            ),
            name="hearing",
        )
        await dial.over.wait()
        await asyncio.sleep(EARLY_S)  # for the core to see the last of it
        hearing.cancel()
    return Outcome(events, facts, dial.unknown)


class _Dial:
    """Gives the recording's conversations, one after the other; see `Dial`."""

    def __init__(self, recording: Recording) -> None:
        self.over = asyncio.Event()
        self.unknown: list[str] = []
        self._talks = list(recording.talks)
        if not self._talks:
            self.over.set()

    def forget(self, device: DeviceId) -> None:
        """Nothing is remembered."""

    @contextlib.asynccontextmanager
    async def __call__(
        self, device: Device, door: AbstractAsyncContextManager[object]
    ) -> AsyncIterator[Conversation]:
        if not self._talks:
            self.over.set()
        if not self._talks or self._talks[0].began_at > asyncio.get_running_loop().time() + EARLY_S:
            raise DeviceUnreachable("it could not be reached when this was recorded")
        yield _Replayed(self._talks.pop(0), self)

    def ended(self, talk: Talk) -> DeviceError | None:
        """A conversation is over: what broke it, if that was not the end of all."""
        if not self._talks:
            self.over.set()
        if talk.lost is None:
            return None
        kind = getattr(errors, talk.lost, DeviceUnreachable)
        try:
            return kind("as it was recorded")
        except TypeError:
            return DeviceUnreachable(f"{talk.lost}, as it was recorded")


class _Replayed(AtOnce):
    """A conversation that was recorded; see `Conversation`."""

    def __init__(self, talk: Talk, dial: _Dial) -> None:
        self.transport = talk.transport
        self.why: str | None = None
        self._talk = talk
        self._dial = dial
        self._answers = Answers(talk)
        self._loop = asyncio.get_running_loop()
        self._place = {id(said): number for number, said in enumerate(talk.said)}
        self._waiting = [said for said in talk.said if said.asked]  # for being asked, in order
        self._due: list[
            tuple[int, int, float, XapiMessage]
        ] = []  # in the order in which it was said, and when
        self._count = itertools.count()
        self._calls = 0
        self._news = asyncio.Event()
        for said in talk.said:
            if said.what == "feedback":
                self._put(said, Feedback(said.value))
        last = max((said.at for said in talk.said), default=talk.began_at)
        self._over_at = last if math.isinf(talk.over_at) else talk.over_at

    def send(self, call: Call) -> CallId:
        self._calls += 1
        number = CallId(self._calls)
        asked = question(call.method, call.params)
        said = self._answers.to(asked)
        if said is None:
            self._dial.unknown.append(asked)
            said = Said(0.0, "refusal", {"code": -32601, "message": "not recorded"})
        if said in self._waiting:
            self._waiting.remove(said)
        if said.what == "refusal":
            self._put(said, Refusal(number, said.value["code"], said.value["message"]))
        else:
            self._put(said, Reply(number, said.value))
        self._news.set()
        return number

    def _put(self, said: Said, message: XapiMessage) -> None:
        place = self._place.get(id(said), -1)
        due = max(said.at, self._loop.time())
        heapq.heappush(self._due, (place, next(self._count), due, message))

    async def hear(self, until: float) -> Sequence[XapiMessage]:
        while True:
            now = self._loop.time()
            following = self._following()
            if following <= now and self._due:
                return (heapq.heappop(self._due)[3],)
            if now >= until:
                return ()
            if following <= now:
                following = math.inf
                error = self._dial.ended(self._talk)
                if error is not None:
                    raise error
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(following, until)):
                    await self._news.wait()

    def _following(self) -> float:
        """When there is something to hear, or the conversation is over.

        It waits for what was answered before it, as today's link may ask a little later; but not for ever.
        """
        if not self._due:
            return self._over_at
        place, _, due, _ = self._due[0]
        while self._waiting and self._place[id(self._waiting[0])] < place:
            if self._loop.time() < due + NOBODY_ASKS_AFTER_S:
                return due + NOBODY_ASKS_AFTER_S
            self._waiting.pop(0)
        return due


# ── time that passes when nothing else happens ────────────────────────────────────────────────────


class _LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock leaps to what is next instead of waiting for it."""

    def __init__(self) -> None:
        self.leapt = 0.0
        super().__init__(_LeapingSelector(self))

    def time(self) -> float:
        return self.leapt


class _LeapingSelector(selectors.SelectSelector):
    def __init__(self, loop: _LeapingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing will ever happen")
        if not ready:
            self._loop.leapt += timeout or 0.0
        return ready
