"""The line by way of Webex, to devices that the network does not lead to: asked there, heard by its queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
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
)
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
WHY = "by way of Webex its configuration cannot be read"
STATUSES_AT_ONCE = 10  # that Webex takes in one request
HEARD_WITHIN_S = 15.0  # roomd and Webex begin at the same time: until then nothing is wrong with a device
UPTIME_EVERY_S = 600.0  # Webex's limits are the whole organisation's; who restarts gives a whole picture too
WAITING = 1000  # messages; the queue is everybody's, so that nobody can be made to wait
LONGEST_WHY = 200  # characters

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
    PermissionError for what the integration may not, ValueError where this one question was refused.
    """

    async def until_heard(self) -> None:
        """Returns when devices can be heard by it, or a person must do something before they can."""

    def follow(self, device: str, ear: Ear) -> AbstractContextManager[str]:
        """Have `ear` told what a device says, until the context ends; the device by its id or serial number.

        Gives its id. LookupError and ConnectionError where it cannot be heard now.
        """

    def allows(self, path: Sequence[str]) -> bool:
        """Whether the integration is told of an event or a status."""

    async def status(self, device: str, names: Sequence[str]) -> Tree:
        """What a device says of itself now, from the root on; names as `RoomAnalytics.PeopleCount.*`."""

    async def command(self, device: str, name: str, arguments: Tree, *, body: str | None) -> Tree:
        """What comes of a command, named as in `Bookings.List`."""


class CloudLines:
    """Dials devices by way of Webex."""

    def __init__(
        self,
        cloud: Cloud,
        *,
        heard_within_s: float = HEARD_WITHIN_S,
        uptime_every_s: float = UPTIME_EVERY_S,
    ) -> None:
        """`uptime_every_s`: how often a device is really asked whether it was restarted."""
        self._cloud = cloud
        self._heard_within_s = heard_within_s
        self._uptime_every_s = uptime_every_s

    def forget(self, device: DeviceId) -> None:
        """Nothing is learned of devices."""

    @contextlib.asynccontextmanager
    async def __call__(
        self,
        device: Device,
        door: AbstractAsyncContextManager[object],  # noqa: ARG002 - it is for what dials
    ) -> AsyncIterator[Conversation]:
        """Follow a device; DeviceError where it cannot be heard now. Nothing is dialled."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._heard_within_s):
                await self._cloud.until_heard()
        ear = _Ear()
        with contextlib.ExitStack() as following:
            try:
                known_as = following.enter_context(self._cloud.follow(device.webex or "", ear))
            except (LookupError, ConnectionError) as error:
                raise CloudUnreachable(_words(error)) from None
            conversation = CloudConversation(self._cloud, known_as, ear, self._uptime_every_s)
            async with beside(conversation.work(), name=f"cloud {device.id}"):
                yield conversation


class _Ear:
    """What came and is not heard yet, answers and what was told unasked in the order in which they came."""

    def __init__(self) -> None:
        self.messages: list[XapiMessage] = []
        self.error: DeviceError | None = None
        self.news = asyncio.Event()

    def heard(self, tree: Tree) -> None:
        """The device said something; in the queue's time."""
        if len(self.messages) >= WAITING:
            self.fail(DeviceUnreachable("it says more than can be heard; all is read anew"))
            return
        self.take(Feedback(tree))

    def missed(self, why: str, *, again: bool) -> None:
        """What follows from that has to be found by reading all anew."""
        self.fail(BetterLine(why, transport=Transport.CLOUD) if again else CloudUnreachable(why))

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

    What was told unasked may come a little later than an answer that knows it already; as all of it comes,
    and in its order, what is known in the end is what the device said last.
    """

    def __init__(self, cloud: Cloud, device: str, ear: _Ear, uptime_every_s: float) -> None:
        self.transport: str = Transport.CLOUD
        self.why: str | None = WHY
        self._cloud = cloud
        self._device = device
        self._ear = ear
        self._uptime_every_s = uptime_every_s
        self._loop = asyncio.get_running_loop()
        self._numbered = 0
        self._calls: deque[tuple[CallId, Call]] = deque()
        self._work = asyncio.Event()
        self._uptime: tuple[object, float] | None = None  # and until when (loop time) that will do

    def send(self, call: Call) -> CallId:
        """Have a call carried out when it is its turn; lost without a word if the line is broken."""
        self._numbered += 1
        call_id = CallId(self._numbered)
        self._calls.append((call_id, call))
        self._work.set()
        return call_id

    async def hear(self, until: float) -> Sequence[XapiMessage]:
        """What has come, all of it, in the order in which it came."""
        ear = self._ear
        while not ear.messages:
            if ear.error is not None:
                raise ear.error
            if self._loop.time() >= until:
                return ()
            ear.news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(None if until == float("inf") else until):
                    await ear.news.wait()
        messages, ear.messages = ear.messages, []
        return messages

    # ── carrying out ──

    async def work(self) -> None:
        """Carry out calls in their order, until the line breaks."""
        try:
            while self._ear.error is None:
                while not self._calls:
                    self._work.clear()
                    await self._work.wait()
                await self._next()
        except (LookupError, ConnectionError) as error:
            self._ear.fail(CloudUnreachable(_words(error)))
        except DeviceError as error:
            self._ear.fail(error)

    async def _next(self) -> None:
        call_id, call = self._calls.popleft()
        match call.method:
            case "xGet":
                await self._read([(call_id, call), *self._more_reads()])
            case "xFeedback/Subscribe":
                self._subscribe(call_id, call)
            case method if method.startswith("xCommand/"):
                await self._command(call_id, call)
            case method:
                self._refuse(call_id, NO_SUCH_NODE, f"{method} is not to be done by way of the cloud")

    def _more_reads(self) -> list[tuple[CallId, Call]]:
        """Those that wait behind a read, so that all are one request."""
        more: list[tuple[CallId, Call]] = []
        while self._calls and self._calls[0][1].method == "xGet" and len(more) + 1 < STATUSES_AT_ONCE:
            more.append(self._calls.popleft())
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
            tree = await self._cloud.status(self._device, [_expression(path) for _, path in asked])
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
            tree = await self._cloud.status(self._device, [_expression(path)])
        except (PermissionError, ValueError) as error:
            self._unread(call_id, path, error)
        else:
            self._found(call_id, path, tree)

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
            self._uptime = value, self._loop.time() + self._uptime_every_s
        elif path == WHO_ARE_YOU and isinstance(value, Mapping) and "Uptime" in value:
            self._uptime = value["Uptime"], self._loop.time() + self._uptime_every_s
        self._ear.take(Reply(call_id, value))

    def _subscribe(self, call_id: CallId, call: Call) -> None:
        """What is told is in the integration's manifest. Of configuration nothing is: `why` says so."""
        path = tuple(str(node) for node in _path(call.params.get("Query")))
        if path[:1] != ("Configuration",) and not self._cloud.allows(path):
            self._refuse(call_id, PERMISSION_DENIED, "the integration's manifest does not have it")
            return
        self._ear.take(Reply(call_id, {"Id": call_id}))

    async def _command(self, call_id: CallId, call: Call) -> None:
        arguments = dict(call.params)
        body = arguments.pop("body", None)
        name = call.method.removeprefix("xCommand/").replace("/", ".")
        try:
            result = await self._cloud.command(
                self._device, name, arguments, body=body if isinstance(body, str) else None
            )
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
