"""The line by way of Webex, to devices that the network does not lead to: asked there, heard by its queue."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from agent.core.model import Device, DeviceId, Transport
from device_adapters.beside import beside
from device_adapters.conversation import Conversation
from device_adapters.errors import (
    BetterLine,
    CloudUnreachable,
    DeviceError,
    DeviceUnreachable,
    ManifestTooSmall,
    NotInCloud,
)
from device_adapters.lifecycle import Rest, spread
from device_adapters.xapi.messages import (
    PERMISSION_DENIED,
    Call,
    CallId,
    Feedback,
    Refusal,
    Reply,
    XapiMessage,
)
from device_adapters.xapi.requests import ANALYTICS, TEAMS, UPTIME, WHO_ARE_YOU
from device_adapters.xapi.xml import COMMAND_FAILED, NO_SUCH_NODE

Path = tuple[str | int, ...]
Tree = Mapping[str, object]

LISTING = "Bookings.List"
BOOKINGS = "Bookings."  # the others of them are orders, which done twice are two
WHY = "by way of Webex its configuration cannot be read"
STATUSES_AT_ONCE = 10  # that Webex takes in one request
WAITING = 1000  # messages; the queue is everybody's, so that nobody can be made to wait
LONGEST_WHY = 200  # characters
TIMES = 5  # that a question is asked before Webex counts as out of reach
NEVER = float("inf")

# The others that are read are leaves.
BRANCHES = frozenset({WHO_ARE_YOU, TEAMS, ANALYTICS, ("Status", "Conference", "Presentation")})


class Ear(Protocol):
    """Whoever is told what one device says; in the cloud's time, so that nothing is done there."""

    def heard(self, tree: Tree) -> None:
        """It said this: a tree from its root (`Status`, `Event`), as over its own lines."""

    def missed(self, why: str, *, again: bool) -> None:
        """What it said may be lost; `again`: it can be asked anew at once."""


class Cloud(Protocol):
    """Webex, as far as devices are reached by it.

    What it raises: LookupError where the device is not there now, ConnectionError where Webex is not,
    PermissionError for what the integration may not, ValueError where this one question was refused,
    BlockingIOError where nothing was done as we ask too much, and TimeoutError where this question had no
    answer, although it may have been understood.
    """

    async def until_heard(self) -> None:
        """Returns when devices can be heard by it, or a person must do something before they can."""

    def follow(self, device: str, ear: Ear) -> AbstractContextManager[str]:
        """Have `ear` told what a device says, until the context ends; the device by its id or serial number.

        Gives its id. LookupError and ConnectionError where it cannot be heard now.
        """

    def rest_s(self) -> float:
        """Seconds for which nothing should be asked of any device; 0 if it may."""

    def allows(self, path: Sequence[str]) -> bool:
        """Whether the integration is told of an event or a status."""

    async def status(self, device: str, names: Sequence[str]) -> Tree:
        """What a device says of itself now, from the root on; names as `RoomAnalytics.PeopleCount.*`."""

    async def command(self, device: str, name: str, arguments: Tree, *, body: str | None) -> Tree:
        """What comes of a command, named as in `Bookings.List`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudPace:
    """How much is asked of Webex, whose limits are the whole organisation's; times in seconds."""

    asked_at_once: int = 8  # questions, of all devices together
    greeted_at_once: int = 32  # devices; more than are asked at once, as one that is not answered rests
    heard_within_s: float = 15.0  # roomd and Webex begin at the same time: nothing is wrong until then
    answer_within_s: float = 30.0  # from when the question leaves for Webex, with what is asked once more
    order_within_s: float = 20.0  # what could not leave by then is refused: who gave it does not wait longer
    uptime_every_s: float = 600.0  # who restarts gives a whole picture too
    unanswered: Rest = field(default_factory=lambda: Rest(first_s=5.0, longest_s=60.0))
    throttled: Rest = field(default_factory=lambda: Rest(first_s=5.0, longest_s=60.0))  # at least
    # After what may be lost, devices are read anew within so long, and later if that comes again and again.
    anew: Rest = field(default_factory=lambda: Rest(first_s=30.0, longest_s=600.0))
    anew_each_s: float = 0.25  # at the soonest: four or five questions


@dataclass(slots=True)
class _Losses:
    """How often of late a device had to be read anew, and when it was last (loop time)."""

    times: int
    at: float


class CloudLines:
    """Dials devices by way of Webex, and sees to it that they do not all ask at once."""

    def __init__(
        self, cloud: Cloud, *, pace: CloudPace | None = None, luck: Callable[[], float] = random.random
    ) -> None:
        """`luck` in [0, 1) spreads what all devices have to do."""
        self.pace = pace or CloudPace()
        self.luck = luck
        self.door = asyncio.Semaphore(self.pace.greeted_at_once)
        self.places = asyncio.Semaphore(self.pace.asked_at_once)
        self._cloud = cloud
        self._standing = 0
        self._losses: dict[DeviceId, _Losses] = {}

    def forget(self, device: DeviceId) -> None:
        """Drop how often it had to be read anew."""
        self._losses.pop(device, None)

    def _anew_in_s(self, device: DeviceId) -> float:
        """When a device is to be read anew of which something may be lost now."""
        pace, now = self.pace, asyncio.get_running_loop().time()
        before = self._losses.get(device)
        lately = before is not None and now - before.at < 2 * pace.anew.longest_s
        times = before.times + 1 if before is not None and lately else 1
        self._losses[device] = _Losses(times, now)
        grown = min(pace.anew.first_s * pace.anew.factor ** (times - 1), pace.anew.longest_s)
        return self.luck() * max(grown, pace.anew_each_s * self._standing)

    @contextlib.asynccontextmanager
    async def __call__(
        self,
        device: Device,
        door: AbstractAsyncContextManager[object],  # noqa: ARG002 - the network's; Webex has one of its own
    ) -> AsyncIterator[Conversation]:
        """Follow a device; DeviceError where it cannot be heard now. Nothing is dialled."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.pace.heard_within_s):
                await self._cloud.until_heard()
        ear = _Ear(partial(self._anew_in_s, device.id))
        with contextlib.ExitStack() as following:
            try:
                known_as = following.enter_context(self._cloud.follow(device.webex or "", ear))
            except LookupError as error:
                raise NotInCloud(_words(error)) from None
            except ConnectionError as error:
                raise CloudUnreachable(_words(error)) from None
            conversation = CloudConversation(self._cloud, known_as, ear, self)
            following.callback(self._ended)
            self._standing += 1
            async with beside(conversation.work(), name=f"cloud {device.id}"):
                yield conversation

    def _ended(self) -> None:
        self._standing -= 1


class _Ear:
    """What came and is not heard yet, answers and what was told unasked in the order in which they came."""

    def __init__(self, anew_in_s: Callable[[], float]) -> None:
        """`anew_in_s`: how long it may wait to be read anew, when something may be lost."""
        self.messages: list[XapiMessage] = []
        self.error: DeviceError | None = None
        self.anew_at = NEVER  # loop time
        self.news = asyncio.Event()
        self._anew_in_s = anew_in_s
        self._why = ""

    def begin(self) -> None:
        """It is greeted now, which reads all: whatever was said or lost before is nothing."""
        self.messages.clear()
        self.anew_at = NEVER
        if not isinstance(self.error, CloudUnreachable):
            self.error = None

    def due(self) -> BetterLine | None:
        """Why to read all anew now; None while there is no need."""
        if asyncio.get_running_loop().time() < self.anew_at:
            return None
        return BetterLine(self._why, transport=Transport.CLOUD)

    def heard(self, tree: Tree) -> None:
        """The device said something; in the queue's time."""
        if len(self.messages) >= WAITING:
            self.fail(DeviceUnreachable("it says more than can be heard; all is read anew"))
            return
        self.take(Feedback(tree))

    def missed(self, why: str, *, again: bool) -> None:
        """What follows from that has to be found by reading all anew: not by all devices at once."""
        if not again:
            self.fail(CloudUnreachable(why))
        elif self.anew_at == NEVER:
            self._why = why
            self.anew_at = asyncio.get_running_loop().time() + self._anew_in_s()
            self.news.set()

    def take(self, message: XapiMessage) -> None:
        """One more to be heard; nothing after the line broke."""
        if self.error is None:
            self.messages.append(message)
            self.news.set()

    def fail(self, error: DeviceError) -> None:
        """The line is broken; the first reason counts."""
        self.error = self.error or error
        self.news.set()


class CloudConversation:
    """A conversation by way of the cloud; see `Conversation`. Calls are carried out one after another.

    How long that takes is Webex's doing, and not the device's: what has left is bounded here, and what waits
    for a place, or because Webex asks for less, waits as long as it must. Orders are asked once.

    What was told unasked may come a little later than an answer that knows it already; as all of it comes,
    and in its order, what is known in the end is what the device said last.
    """

    def __init__(self, cloud: Cloud, device: str, ear: _Ear, lines: CloudLines) -> None:
        self.transport: str = Transport.CLOUD
        self.why: str | None = WHY
        self._cloud = cloud
        self._device = device
        self._ear = ear
        self._lines = lines
        self._pace = lines.pace
        self._loop = asyncio.get_running_loop()
        self._numbered = 0
        self._calls: deque[tuple[CallId, Call, float]] = deque()  # and since when (loop time)
        self._work = asyncio.Event()
        self._busy_since: float | None = None  # loop time
        self._busy_s = 0.0  # before that
        self._uptime: tuple[object, float] | None = None  # and until when (loop time) that will do

    @property
    def held_s(self) -> float:
        """For how long calls waited here or were at Webex (s)."""
        since = self._busy_since
        return self._busy_s if since is None else self._busy_s + self._loop.time() - since

    @contextlib.asynccontextmanager
    async def greeting(self) -> AsyncIterator[None]:
        """Come in when it is our turn; what was said before that is read then."""
        async with self._lines.door:
            self._ear.begin()
            yield

    def send(self, call: Call) -> CallId:
        """Have a call carried out when it is its turn; lost without a word if the line is broken."""
        self._numbered += 1
        call_id = CallId(self._numbered)
        now = self._loop.time()
        self._calls.append((call_id, call, now))
        if self._busy_since is None:
            self._busy_since = now
        self._work.set()
        return call_id

    async def hear(self, until: float) -> Sequence[XapiMessage]:
        """What has come, all of it, in the order in which it came."""
        ear, held_s = self._ear, self.held_s
        while not ear.messages:
            if ear.error is not None:
                raise ear.error
            wake_at = NEVER
            if self._busy_since is None:  # else something is going to come of it first
                if (better := ear.due()) is not None:
                    raise better
                over_at = until + self.held_s - held_s
                if self._loop.time() >= over_at:
                    return ()
                wake_at = min(over_at, ear.anew_at)
            ear.news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(None if wake_at == NEVER else wake_at):
                    await ear.news.wait()
        messages, ear.messages = ear.messages, []
        return messages

    # ── carrying out ──

    async def work(self) -> None:
        """Carry out calls in their order, until the line breaks."""
        try:
            while self._ear.error is None:
                while not self._calls:
                    self._idle()
                    await self._work.wait()
                await self._next()
        except (LookupError, ConnectionError) as error:
            self._ear.fail(CloudUnreachable(_words(error)))
        except DeviceError as error:
            self._ear.fail(error)

    def _idle(self) -> None:
        self._busy_s, self._busy_since = self.held_s, None
        self._work.clear()
        self._ear.news.set()  # what waits for its time waits from now on

    async def _next(self) -> None:
        call_id, call, sent_at = self._calls.popleft()
        match call.method:
            case "xGet":
                await self._read([(call_id, call), *self._more_reads()])
            case "xFeedback/Subscribe":
                self._subscribe(call_id, call)
            case method if method.startswith("xCommand/"):
                await self._command(call_id, call, sent_at)
            case method:
                self._refuse(call_id, NO_SUCH_NODE, f"{method} is not to be done by way of the cloud")

    def _more_reads(self) -> list[tuple[CallId, Call]]:
        """Those that wait behind a read, so that all are one request."""
        more: list[tuple[CallId, Call]] = []
        while self._calls and self._calls[0][1].method == "xGet" and len(more) + 1 < STATUSES_AT_ONCE:
            more.append(self._calls.popleft()[:2])
        return more

    async def _read(self, calls: Sequence[tuple[CallId, Call]]) -> None:
        asked: list[tuple[CallId, Path]] = []
        for call_id, call in calls:
            path = _path(call.params.get("Path"))
            if path[:1] != ("Status",):
                self._refuse(call_id, NO_SUCH_NODE, "not to be read by way of the cloud")
            elif path == UPTIME and self._uptime is not None and self._loop.time() < self._uptime[1]:
                self._ear.take(Reply(call_id, self._uptime[0]))
            else:
                asked.append((call_id, path))
        if not asked:
            return
        try:
            tree = await self._status(asked)
        except (PermissionError, ValueError) as error:
            if len(asked) == 1:
                self._unread(*asked[0], error)
                return
            for one in asked:  # one that may not be read must not cost the others
                await self._read_alone(*one)
            return
        for call_id, path in asked:
            self._found(call_id, path, tree)

    async def _read_alone(self, call_id: CallId, path: Path) -> None:
        try:
            tree = await self._status([(call_id, path)])
        except (PermissionError, ValueError) as error:
            self._unread(call_id, path, error)
        else:
            self._found(call_id, path, tree)

    async def _status(self, asked: Sequence[tuple[CallId, Path]]) -> Tree:
        names = [_expression(path) for _, path in asked]
        return await self._patiently(lambda: self._cloud.status(self._device, names))

    async def _patiently(self, ask: Callable[[], Awaitable[Tree]], over_at: float = NEVER) -> Tree:
        """Ask when Webex lets us, and again while it does not answer; ConnectionError if it never does.

        What is no good later than `over_at` (loop time) is asked once: ValueError if it could not leave by
        then, TimeoutError if nothing is known of it.
        """
        pace, throttled, unanswered = self._pace, 0, 0
        while True:
            while (rest_s := self._cloud.rest_s()) > 0:
                self._in_time(over_at - rest_s)
                await asyncio.sleep(rest_s)
            try:
                return await self._once(ask, over_at)
            except BlockingIOError:
                throttled += 1
                rest_s = spread(pace.throttled, failures=throttled, luck=self._lines.luck())
            except TimeoutError as error:
                if over_at < NEVER:
                    raise
                unanswered += 1
                if unanswered == TIMES:
                    why = _words(error) or "nothing came in time"
                    raise ConnectionError(f"{TIMES} times no answer by Webex: {why}") from None
                rest_s = spread(pace.unanswered, failures=unanswered, luck=self._lines.luck())
            await asyncio.sleep(rest_s)

    async def _once(self, ask: Callable[[], Awaitable[Tree]], over_at: float) -> Tree:
        async with self._lines.places:
            self._in_time(over_at)
            async with asyncio.timeout(self._pace.answer_within_s):
                return await ask()

    def _in_time(self, over_at: float) -> None:
        if self._loop.time() > over_at:
            raise ValueError("it was not asked: Webex has had too much to do for us, and asks roomd to wait")

    def _unread(self, call_id: CallId, path: Path, error: Exception) -> None:
        if path == WHO_ARE_YOU and isinstance(error, PermissionError):
            raise ManifestTooSmall(f"the integration may not read `Status SystemUnit`: {_words(error)}")
        denied = isinstance(error, PermissionError)
        self._refuse(call_id, PERMISSION_DENIED if denied else NO_SUCH_NODE, _words(error))

    def _found(self, call_id: CallId, path: Path, tree: Tree) -> None:
        value: object = tree
        for node in path[1:]:
            value = value.get(str(node)) if isinstance(value, Mapping) else None
        if value is None:
            self._refuse(call_id, NO_SUCH_NODE, "no such path")
            return
        if path == UPTIME:
            self._uptime = value, self._loop.time() + self._pace.uptime_every_s
        elif path == WHO_ARE_YOU and isinstance(value, Mapping) and "Uptime" in value:
            self._uptime = value["Uptime"], self._loop.time() + self._pace.uptime_every_s
        self._ear.take(Reply(call_id, value))

    def _subscribe(self, call_id: CallId, call: Call) -> None:
        """What is told is in the integration's manifest. Of configuration nothing is: `why` says so."""
        path = tuple(str(node) for node in _path(call.params.get("Query")))
        if path[:1] != ("Configuration",) and not self._cloud.allows(path):
            self._refuse(call_id, PERMISSION_DENIED, "the integration's manifest does not have it")
            return
        self._ear.take(Reply(call_id, {"Id": call_id}))

    async def _command(self, call_id: CallId, call: Call, sent_at: float) -> None:
        arguments = dict(call.params)
        body = arguments.pop("body", None)
        name = call.method.removeprefix("xCommand/").replace("/", ".")
        order = name.startswith(BOOKINGS) and name != LISTING
        ask = partial(
            self._cloud.command, self._device, name, arguments, body=body if isinstance(body, str) else None
        )
        try:
            result = await self._patiently(ask, sent_at + self._pace.order_within_s if order else NEVER)
        except TimeoutError:  # it may have been done: who gave it learns that by listing
            return
        except PermissionError as error:  # elsewhere this code means that an account's role is too small
            code = PERMISSION_DENIED if name == LISTING else COMMAND_FAILED
            self._refuse(call_id, code, f"the integration's manifest lacks {name}: {_words(error)}")
        except ValueError as error:
            self._refuse(call_id, COMMAND_FAILED, _words(error))
        else:
            self._ear.take(Reply(call_id, result))

    def _refuse(self, call_id: CallId, code: int, message: str) -> None:
        self._ear.take(Refusal(call_id, code, message))


def _words(error: Exception) -> str:
    return str(error.args[0] if error.args else error)[:LONGEST_WHY]


def _path(value: object) -> Path:
    return tuple(value) if isinstance(value, list | tuple) else ()


def _expression(path: Path) -> str:
    """A path as Webex has it; of a branch, all that is below."""
    name = ".".join(str(node) for node in path[1:])
    return f"{name}.*" if path in BRANCHES else name
