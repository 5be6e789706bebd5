"""The HTTP line to a device: asked over getxml and putxml, it calls back, or is looked at now and then."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import structlog

from agent.core.model import Device, DeviceId, Transport
from device_adapters import trust
from device_adapters.beside import beside
from device_adapters.conversation import AtOnce, Conversation
from device_adapters.errors import (
    AdminNeeded,
    BetterLine,
    CertificateRefused,
    DeviceBooting,
    DeviceBusy,
    DeviceError,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PasswordRefused,
    ServiceOff,
)
from device_adapters.receiver import MAX_POST_BYTES, Nameless, Receiver
from device_adapters.system_words import unreachable
from device_adapters.websocket import LinePace
from device_adapters.xapi import xml
from device_adapters.xapi.messages import (
    PERMISSION_DENIED,
    TOO_MANY_SUBSCRIPTIONS,
    Call,
    CallId,
    Feedback,
    Refusal,
    Reply,
    Unintelligible,
    XapiMessage,
)
from device_adapters.xapi.requests import WHO_ARE_YOU, list_bookings
from device_adapters.xapi.schema import ANY, Firmware, read_firmware
from device_adapters.xapi.xml import COMMAND_FAILED, INVALID_PARAMETERS, NO_SUCH_NODE, Fault, Tree

log = structlog.get_logger()

# The libraries log each request, and at level DEBUG the session's cookie with it.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

Path = tuple[str | int, ...]

KEEP_ALIVE_S = 45.0  # nginx, which devices have in front, closes an idle line after 75
# So much may wait to be heard, as a device that called back cannot be made to wait: its longest post, and
# what else it says meanwhile.
WAITING_BYTES = 2 * MAX_POST_BYTES
POST_OVERHEAD_BYTES = 500  # of a post that waits, beside its text
SESSION_CLOSES = 5  # so many times as long as a line's end may a session's take: it may need a new line
LAST_WORDS = 2  # so many times as long may it take to let the slot go: it is looked at before
LEFT_OVER_SESSIONS = 4  # that are remembered for being ended later; a device has room for twenty
SESSION_COOKIE = "SessionId"  # by Cisco's guide; a prefix may say that it is a secure one

EXPRESSIONS = 15
MORE_EXPRESSIONS = 50
MORE_EXPRESSIONS_SINCE = Firmware(26, 1, 1)
JSON_FEEDBACK_SINCE = Firmware(9, 15)  # the oldest schema that there is; Format is in it
BOOKINGS: Path = ("Event", "Bookings")
SLOT_NUMBERS = range(1, 5)
SLOTS: Path = ("Status", "HttpFeedback")

CALLED_LOOKS = 2  # so many poll intervals pass between looks at a device that calls back
VALUES_EVERY_LOOKS = 5  # and at each fifth of them, its values are compared as well
CONFIGURATION_EVERY_LOOKS = 10  # of those at a device that is polled
UNHEARD_CHANGES = 2  # found by looking, with not one post: it cannot reach us
LOST_REGISTRATIONS = 2  # the same, by its own account
MENDS = "; see its `xConfiguration HttpFeedback TlsVerify` and `UseHttpProxy`"
CALENDAR_ANSWERS_WITHIN_S = 35.0  # a device may ask its calendar before it answers a command
POLL_FOR_S = 3600.0  # then it may try again to call
PLACE_CHARACTERS = 200  # of another system's address


class Http:
    """Dials devices; remembers who cannot call back, and sessions that could not be ended."""

    def __init__(
        self,
        *,
        pace: LinePace | None = None,
        contexts: trust.Contexts | None = None,
        receiver: Receiver | None = None,
        slot: int = 1,
        poll_every_s: float = 30.0,
    ) -> None:
        """`receiver` is where devices call back; without it they are polled every `poll_every_s`.

        `slot` is HttpFeedback's, from 1 to 4; other systems use the others (TMS the third). ValueError for
        any other.
        """
        self._pace = pace or LinePace()
        self._contexts = contexts or trust.Contexts()
        self.call_back(receiver, slot)
        self._poll_every_s = poll_every_s
        self._known: dict[DeviceId, _Known] = {}

    def call_back(self, receiver: Receiver | None, slot: int) -> None:
        """Where devices call back from their next conversation on; None: they are polled."""
        if slot not in SLOT_NUMBERS:
            raise ValueError("HttpFeedback has the slots 1 to 4")
        self._receiver, self._slot = receiver, slot

    def forget(self, device: DeviceId) -> None:
        """Drop what was learned of a device."""
        self._known.pop(device, None)

    @contextlib.asynccontextmanager
    async def __call__(
        self, device: Device, door: AbstractAsyncContextManager[object]
    ) -> AsyncIterator[Conversation]:
        """Open a session at `https://host:port`, ended in any case; DeviceError if there can be none now."""
        known = self._known.setdefault(device.id, _Known())
        web = _Web(device, self._contexts.context(device.trust), self._pace, known.sessions)
        try:
            async with contextlib.AsyncExitStack() as greeting:
                await web.greet(lambda: greeting.enter_async_context(door))
            conversation = HttpConversation(
                device, web, known, self._receiver, self._slot, self._poll_every_s
            )
            try:
                async with beside(conversation.work(), name=f"http {device.id}"):
                    yield conversation
            finally:
                conversation.deaf()
                with contextlib.suppress(DeviceError, TimeoutError, Unintelligible):
                    async with asyncio.timeout(self._pace.close_within_s * LAST_WORDS):
                        await conversation.last_words()
        finally:
            await web.part(within_s=self._pace.close_within_s * SESSION_CLOSES)
            await web.close()


@dataclass(slots=True)
class _Known:
    """What is remembered of a device from one conversation to the next."""

    sessions: list[str] = field(default_factory=list)  # cookies of those that were begun and not ended
    lost: int = 0  # registrations, since a post came
    polled_until: float = 0.0  # loop time
    polled_as: str = ""  # why, the last time


class _Refused(Exception):
    """The device answered, and would not."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


# ── the conversation ──────────────────────────────────────────────────────────────────────────────


class HttpConversation(AtOnce):
    """A conversation over HTTP; see `Conversation`. Calls are carried out one after another by `work`."""

    def __init__(
        self,
        device: Device,
        web: _Web,
        known: _Known,
        receiver: Receiver | None,
        slot: int,
        poll_every_s: float,
    ) -> None:
        self.transport = "http"
        self.why: str | None = None  # it is polled
        self._device = device
        self._web = web
        self._known = known
        self._slot = slot
        self._poll_every_s = poll_every_s
        self._loop = asyncio.get_running_loop()
        # calls and what comes of them
        self._numbered = 0
        self._calls: deque[tuple[CallId, Call]] = deque()
        self._messages: list[XapiMessage] = []
        self._waiting_bytes = 0
        self._error: DeviceError | None = None
        self._news = asyncio.Event()  # for who hears
        self._work = asyncio.Event()  # for who carries out
        # what is subscribed, and how it is heard
        self._home = receiver  # where it could call back
        self._receiver = receiver  # where it does; None: it is polled
        self._expected = contextlib.ExitStack()
        self._url: str | None = None  # what the device was told
        self._told: object = None  # as it shows it
        self._subscribed: dict[Path, None] = {}  # in order
        self._posts = 0
        self._posts_seen = 0  # when values were compared
        self._unheard = 0  # changes
        # who it is
        self._serial: str | None = None
        self._firmware = ANY
        # looking
        self._look_at = float("inf")  # loop time
        self._looks = 0
        self._values: dict[Path, object] = {}
        self._listing: bytes | None = None
        if (obstacle := self._obstacle()) is not None:
            self._receiver = None
            self.why = (
                f"polling every {poll_every_s:g} s, which sees neither booking requests nor why bookings "
                f"end: {obstacle}"
            )

    def send(self, call: Call) -> CallId:
        """Have a call carried out when it is its turn; lost without a word if the line is broken."""
        self._numbered += 1
        call_id = CallId(self._numbered)
        self._calls.append((call_id, call))
        self._work.set()
        return call_id

    async def hear(self, until: float) -> Sequence[XapiMessage]:
        """What has come, all of it, in the order in which it came."""
        while not self._messages:
            if self._error is not None:
                raise self._error
            if self._loop.time() >= until:
                return ()
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(None if until == float("inf") else until):
                    await self._news.wait()
        messages, self._messages, self._waiting_bytes = self._messages, [], 0
        self._work.set()
        return messages

    def deaf(self) -> None:
        """Nothing is expected of the device any more."""
        self._expected.close()

    async def last_words(self) -> None:
        """Let the device stop calling; DeviceError if that cannot be said."""
        if self._url is not None:
            await self._deregister()

    # ── carrying out ──

    async def work(self) -> None:
        """Carry out calls in their order, and look at the device between them; until the line breaks."""
        try:
            while True:
                await self._next()
        except DeviceError as error:
            self._fail(error)
        except Unintelligible as error:
            self._fail(DeviceTalksNonsense(str(error)))

    async def _next(self) -> None:
        if self._error is not None:
            raise self._error
        if self._waiting_bytes >= WAITING_BYTES:
            await self._rest(float("inf"))
        elif self._calls:
            call_id, call = self._calls.popleft()
            if call.method == "xFeedback/Subscribe":
                await self._subscribe(call_id, call)
                return
            try:
                self._tell(Reply(call_id, await self._carry_out(call)))
            except _Refused as refused:
                self._refuse(call_id, refused.fault)
            if self._web.renewed and self._subscribed:
                self._look_at = 0.0
            self._web.renewed = False
        elif self._loop.time() >= self._look_at:
            await self._look()
            self._look_at = self._loop.time() + self._look_every_s
        else:
            await self._rest(self._look_at)

    async def _rest(self, until: float) -> None:
        """Until there is something to do, or the loop's clock (s) says `until`."""
        self._work.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(None if until == float("inf") else until):
                await self._work.wait()

    def _tell(self, message: XapiMessage, size: int = 0) -> None:
        self._messages.append(message)
        self._waiting_bytes += size + POST_OVERHEAD_BYTES
        self._news.set()

    def _refuse(self, call_id: CallId, fault: Fault) -> None:
        self._tell(Refusal(call_id, fault.code, fault.message))

    def _fail(self, error: DeviceError) -> None:
        """The line is broken; the first reason counts."""
        self._error = self._error or error
        self._news.set()
        self._work.set()

    async def _carry_out(self, call: Call) -> object:
        try:
            if call.method == "xGet":
                return await self._read_and_note(_path(call.params.get("Path")))
            if call.method == "xSet":
                await self._put(xml.configuration(call), again=True)
                return True
            if call.method == "xFeedback/Unsubscribe":
                return await self._unsubscribe(call.params.get("Id"))
            if call.method.startswith("xCommand/"):
                result = await self._command(call)
                if call == list_bookings():
                    self._listing = _essence(result)
                return result
        except ValueError as error:  # also Unintelligible, which is one
            if isinstance(error, Unintelligible):
                raise
            raise _Refused(Fault(code=INVALID_PARAMETERS, message=str(error))) from error
        raise _Refused(Fault(code=NO_SUCH_NODE, message="not to be done over HTTP"))

    # ── asking ──

    async def _read(self, path: Path) -> object:
        """What is at a path; _Refused if there is nothing, or we may not know."""
        answer = await self._web.ask("GET", f"/getxml?location={quote(xml.location(path))}")
        if (found := xml.fault(answer)) is not None:
            raise _Refused(found)
        try:
            value = xml.node(answer, path)
        except KeyError:
            raise _Refused(Fault(code=NO_SUCH_NODE, message="no such path")) from None
        if path == WHO_ARE_YOU:
            self._meet(value)
        return value

    async def _read_now(self, path: Path) -> object:
        """The same, and no older than what the device told meanwhile."""
        value: object = None
        for _ in range(3):
            posts = self._posts
            value = await self._read(path)
            if posts == self._posts:
                break
        return value

    async def _read_and_note(self, path: Path) -> object:
        """The same; what is told afterwards is what is different from it."""
        value: object = None
        try:
            value = await self._read_now(path)
        finally:
            tree = {} if value is None else _tree(path, value)
            for each in self._subscribed:
                if each[: len(path)] == path:
                    self._values[each] = _at(tree, each)
        return value

    async def _put(self, document: bytes, *, again: bool) -> Tree:
        answer = await self._web.ask("POST", "/putxml", document, again=again)
        if (found := xml.fault(answer)) is not None:
            raise _Refused(found)
        return answer

    async def _command(self, call: Call) -> object:
        again = call.method.endswith(("/List", "/Get")) or call.method.startswith("xCommand/HttpFeedback/")
        answer = await self._put(xml.command(call), again=again)
        results = answer.get("Command")
        if not isinstance(results, dict) or len(results) != 1:
            raise _Refused(Fault(code=COMMAND_FAILED, message="no result in its answer"))
        (result,) = results.values()
        return {} if result == "" else result

    def _meet(self, system_unit: object) -> None:
        """Keep who it is: a device that calls back gives its serial number, and firmware has its limits."""
        unit: Tree = {"Unit": system_unit}
        self._serial = _text(unit, "Hardware", "Module", "SerialNumber")
        self._firmware = read_firmware(
            _text(unit, "Software", "Version") or _text(unit, "Software", "DisplayName")
        )

    # ── subscribing ──

    async def _subscribe(self, call_id: CallId, call: Call) -> None:
        """Subscribe, in one registration with all subscriptions that wait behind it."""
        waiting = [(call_id, call)]
        while self._calls and self._calls[0][1].method == "xFeedback/Subscribe":
            waiting.append(self._calls.popleft())
        if self._serial is None:
            with contextlib.suppress(_Refused):
                await self._read(WHO_ARE_YOU)
        room = MORE_EXPRESSIONS if self._firmware >= MORE_EXPRESSIONS_SINCE else EXPRESSIONS
        asked: list[tuple[CallId, Path, Call]] = []
        for number, each in waiting:
            try:
                path = _path(each.params.get("Query"))
            except ValueError as error:
                self._refuse(number, Fault(code=INVALID_PARAMETERS, message=str(error)))
                continue
            if path not in self._subscribed and len(self._subscribed) >= room:
                full = Fault(code=TOO_MANY_SUBSCRIPTIONS, message=f"no room for more than {room}")
                self._refuse(number, full)
                continue
            self._subscribed[path] = None
            asked.append((number, path, each))
        refused = await self._listen([path for _, path, _ in asked])
        places = {path: place for place, path in enumerate(self._subscribed, 1)}
        for number, path, each in asked:
            if path in refused:
                self._refuse(number, refused[path])
                continue
            self._tell(Reply(number, {"Id": places[path]}))
            if each.params.get("NotifyCurrentValue") is True and path[0] != "Event":
                with contextlib.suppress(_Refused):
                    self._tell(Feedback(_tree(path, await self._read_now(path))))

    async def _unsubscribe(self, number: object) -> bool:
        paths = list(self._subscribed)
        if not isinstance(number, int) or not 1 <= number <= len(paths):
            raise _Refused(Fault(code=INVALID_PARAMETERS, message="Unknown subscription Id"))
        del self._subscribed[paths[number - 1]]
        self._values.pop(paths[number - 1], None)
        await self._listen(())
        return True

    async def _listen(self, new: Sequence[Path]) -> Mapping[Path, Fault]:
        """Hear of all that is subscribed, in the better way that works; what cannot be heard, and why."""
        refused: dict[Path, Fault] = {}
        if self._receiver is None:
            for path in new:
                if path[0] == "Event" and path[:2] != BOOKINGS:
                    refused[path] = Fault(code=NO_SUCH_NODE, message="not heard from a device that is polled")
                    self._subscribed.pop(path, None)
        elif self._subscribed:
            await self._register(self._receiver, refused)
        elif self._url is not None:
            await self._deregister()
        self._look_at = self._loop.time() + self._look_every_s
        return refused

    # ── being called back ──

    def _obstacle(self) -> str | None:
        """Why it is not to be asked to call back now; None if it is."""
        if self._home is None:
            return "roomd was not told where devices can call back ([feedback] in its configuration)"
        if not self._home.listening:
            return "roomd cannot listen where devices are to call back; see its log"
        if self._known.polled_until > self._loop.time():
            return self._known.polled_as
        return None

    async def _register(self, receiver: Receiver, refused: dict[Path, Fault]) -> None:
        """Have the device call us back; what it does not take is dropped and `refused`.

        BetterLine if it is to be looked at instead.
        """
        if self._url is None:
            state = await self._slot_state()
            if state is not None and state.get("Status") != "Failed" and not self._ours(state.get("URL")):
                raise self._better_polled(self._occupied(state))
            self._url = self._expected.enter_context(receiver.expect(self._serial or "", self._called))
        try:
            try:
                await self._command(self._registration(self._subscribed))
            except _Refused as error:
                if error.fault.code == PERMISSION_DENIED:
                    raise
                await self._register_without(refused, error)
            self._told = await self._kept()
        except _Refused as error:
            secret = self._url.rpartition("/")[2]  # the device may quote it
            why = error.fault.message.replace(secret, "…")
            raise self._better_polled(f"it cannot be told to call back: {why}") from None
        for path in refused:
            del self._subscribed[path]

    def _occupied(self, slot: Tree) -> str:
        other = place(str(slot.get("URL", "")))
        return f"{other} has its HttpFeedback slot {self._slot}; name a free one in [feedback]"

    def _ours(self, address: object) -> bool:
        """Whether it is nobody but us who is called there; a registration may be one of before a crash."""
        if not address:
            return True
        if self._home is None or not isinstance(address, str):
            return False
        return address == self._told or any(is_below(address, url) for url in self._home.urls)

    async def _kept(self) -> object:
        """The address as the device shows it; _Refused if it took the registration and shows none."""
        state = await self._slot_state()
        if state is None or state.get("Status") == "Failed":
            raise _Refused(Fault(code=COMMAND_FAILED, message="it takes it and does not keep it"))
        return state.get("URL")

    async def _register_without(self, refused: dict[Path, Fault], why: _Refused) -> None:
        """One expression that a device does not know must not cost all the others."""
        for path in self._subscribed:
            try:
                await self._command(self._registration([path]))
            except _Refused as error:
                refused[path] = error.fault
        if not refused or len(refused) == len(self._subscribed):
            raise why
        await self._command(self._registration(path for path in self._subscribed if path not in refused))

    def _registration(self, paths: Iterable[Path]) -> Call:
        params: dict[str, object] = {"FeedbackSlot": self._slot, "ServerUrl": self._url}
        if self._firmware >= JSON_FEEDBACK_SINCE:
            params["Format"] = "JSON"
        params["Expression"] = [xml.location(path) for path in paths]
        return Call(method="xCommand/HttpFeedback/Register", params=params)

    async def _deregister(self) -> None:
        """Let the slot go, if it is ours still."""
        self._url = None
        state = await self._slot_state()
        if state is None or not self._ours(state.get("URL")):
            return
        with contextlib.suppress(_Refused):
            slot = {"FeedbackSlot": self._slot}
            await self._command(Call(method="xCommand/HttpFeedback/Deregister", params=slot))

    async def _slot_state(self) -> Tree | None:
        """Our slot as the device shows it, None if nothing is registered in it."""
        try:
            slots = await self._read(SLOTS)
            state = xml.node({"HttpFeedback": slots}, ("HttpFeedback", self._slot))
        except (_Refused, KeyError):
            return None
        return state if isinstance(state, dict) else None

    def _called(self, post: Tree | Unintelligible, size: int) -> None:
        """The device called back; in the receiver's time, so nothing is done here."""
        if self._error is not None:
            return
        if isinstance(post, Nameless):
            self._fail(self._better_polled("it calls back without its serial number"))
            return
        self._posts += 1
        self._known.lost = 0
        if isinstance(post, Unintelligible):
            self._fail(DeviceTalksNonsense(str(post)))
        elif self._waiting_bytes + size > WAITING_BYTES:
            # It was told that all is well, so what follows from it has to be found by reading all anew.
            self._fail(DeviceUnreachable("it called back faster than it could be heard; all is read anew"))
        else:
            self._tell(Feedback(post), size)

    # ── looking ──

    @property
    def _look_every_s(self) -> float:
        return self._poll_every_s * (1 if self._receiver is None else CALLED_LOOKS)

    async def _look(self) -> None:
        """Find what was not told."""
        self._looks += 1
        if self._receiver is None:
            if self._obstacle() is None:  # the next conversation begins by asking for it
                raise BetterLine("it may call back again", transport=Transport.HTTP)
            await self._compare(everything=self._looks % CONFIGURATION_EVERY_LOOKS == 1)
            return
        if self._url is None:  # nothing is subscribed
            return
        await self._audit()
        if self._looks % VALUES_EVERY_LOOKS == 1:
            changed = await self._compare(everything=False)
            self._unheard += changed and self._posts_seen == self._posts
            self._posts_seen = self._posts
            if self._unheard >= UNHEARD_CHANGES and not self._posts:
                raise self._better_polled(f"it says that it calls back, and nothing arrives{MENDS}")

    async def _audit(self) -> None:
        """DeviceUnreachable if the device does not call back any more: what was missed is then read anew."""
        state = await self._slot_state()
        if state is not None and state.get("Status") != "Failed" and state.get("URL") == self._told:
            return
        self._known.lost += not self._posts
        if self._known.lost >= LOST_REGISTRATIONS:
            self._poll(f"it gives up calling back{MENDS}")
        if state is None:
            why = "it forgot where to call back"
        elif state.get("Status") == "Failed":
            why = "it could not call back and gave up"
        else:
            why = "another system took our feedback slot"
            self._poll(self._occupied(state))
        self._url = None  # there is nothing of ours to take back
        raise DeviceUnreachable(f"{why} (HttpFeedback {self._slot}); all is read anew")

    def _poll(self, why: str) -> None:
        """Remember that it is to be looked at, for some time, in this conversation and the next ones."""
        known = self._known
        tell = log.debug if why == known.polled_as else log.warning
        tell("device.polled", device=self._device.id, why=why, every_s=self._poll_every_s)
        known.lost = 0
        known.polled_until = self._loop.time() + POLL_FOR_S
        known.polled_as = why

    def _better_polled(self, why: str) -> BetterLine:
        """What ends this conversation quietly, so that the next one polls and says so from its beginning."""
        self._poll(why)
        return BetterLine(f"it is looked at instead: {why}", transport=Transport.HTTP)

    async def _compare(self, *, everything: bool) -> bool:
        """Look at what is subscribed and tell what is different from what is known; whether anything was.

        Configuration changes by hands and not by people's moves: it is looked at with `everything` only.
        """
        changed = False
        looked_at = [path for path in self._subscribed if path[0] == "Status" or everything]
        for branch in _branches([path for path in looked_at if path[0] != "Event"]):
            try:
                tree = _tree(branch, await self._read_now(branch))
            except _Refused as refused:
                if refused.fault.code != NO_SUCH_NODE:
                    continue
                tree = {}
            for path in looked_at:
                if path[: len(branch)] == branch:
                    changed |= self._compare_value(path, _at(tree, path))
        if any(path[:2] == BOOKINGS for path in self._subscribed):
            changed |= await self._compare_listing()
        return changed

    def _compare_value(self, path: Path, value: object) -> bool:
        known = path in self._values
        before = self._values.get(path)
        self._values[path] = value
        different = difference(before, value) if known else None
        if different is None:
            return False
        self._tell(Feedback(_tree(path, different)))
        return True

    async def _compare_listing(self) -> bool:
        try:
            listing = _essence(await self._command(list_bookings()))
        except _Refused:
            return False
        before, self._listing = self._listing, listing
        if before in (None, listing):
            return False
        self._tell(Feedback({"Event": {"Bookings": {"Updated": {}}}}))
        return True


def _path(value: object) -> Path:
    """A path as calls carry it; ValueError if it is none."""
    if isinstance(value, list | tuple) and value and all(isinstance(step, str | int) for step in value):
        xml.location(value)
        return tuple(value)
    raise ValueError("no path")


def place(address: str) -> str:
    """Where an address points: without its path, which may be secret, and without any password."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        return "another system"
    return f"{url.scheme}://{url.netloc.decode('ascii')}"[:PLACE_CHARACTERS] if url.host else "another system"


def is_below(address: str, url: str) -> bool:
    """Whether an address begins with `url`, however devices write it."""
    try:
        there, here = httpx.URL(address), httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return there.netloc == here.netloc and there.path.startswith(f"{here.path.rstrip('/')}/")


def _text(tree: Tree, *path: str) -> str:
    value = _at(tree, ("Unit", *path))
    return value if isinstance(value, str) else ""


def _tree(path: Path, value: object) -> dict[str, object]:
    """The tree from its root that has `value` at `path`."""
    for step in reversed(path):
        if isinstance(step, int):
            value = [{**value, "id": step}] if isinstance(value, dict) else [value]
        else:
            value = {step: value}
    return value if isinstance(value, dict) else {}


def _at(tree: Tree, path: Path) -> object:
    try:
        return xml.node(tree, path)
    except KeyError:
        return None


def _branches(paths: Sequence[Path]) -> list[Path]:
    """What to read for all of `paths`: two or more with the same first two names are read at once."""
    heads = [path[:2] for path in paths]
    return list(
        dict.fromkeys(
            head if heads.count(head) > 1 else path for head, path in zip(heads, paths, strict=True)
        )
    )


GHOST: Mapping[str, object] = {"ghost": "True"}


def difference(before: object, after: object) -> object:
    """What has to be told of a branch that was `before` and is `after`, as devices tell it; None: nothing.

    What is gone is a ghost. None stands for what is not there.
    """
    if before == after:
        return None
    if after is None:
        return dict(GHOST)
    if isinstance(before, dict) and isinstance(after, dict):
        members = {}
        for name in (*after, *(name for name in before if name not in after)):
            if (different := difference(before.get(name), after.get(name))) is not None:
                members[name] = different
        return members
    if isinstance(before, list) and isinstance(after, list):
        old, new = _numbered(before), _numbered(after)
        if old is not None and new is not None:
            changed = {number: difference(old.get(number), new.get(number)) for number in (*new, *old)}
            told = [{**body, "id": number} for number, body in changed.items() if isinstance(body, dict)]
            return told or None
    return after


def _numbered(members: list[object]) -> dict[object, dict[str, object]] | None:
    found = {each["id"]: each for each in members if isinstance(each, dict) and "id" in each}
    return found if len(found) == len(members) else None


# Of a booking, what upper layers read; others change by themselves as time goes by.
_ESSENTIAL = ("Id", "MeetingId", "Title", "Privacy", "MeetingPlatform", "Organizer", "DialInfo")


def _essence(listing: object) -> bytes:
    """Something that changes with the bookings in a listing, and does not give them away."""
    found = listing.get("Booking", []) if isinstance(listing, dict) else []
    essence: list[object] = []
    for each in found if isinstance(found, list) else [found]:
        if isinstance(each, dict):
            time = each.get("Time")
            times = [time.get(name) for name in ("StartTime", "EndTime")] if isinstance(time, dict) else time
            essence.append((times, [each.get(name) for name in _ESSENTIAL]))
    return hashlib.sha256(repr(essence).encode(errors="replace")).digest()


# ── requests ──────────────────────────────────────────────────────────────────────────────────────

_OK = 200
_SUCCESS = range(200, 300)
_BAD_REQUEST = 400
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NO_SESSIONS = (404, 405, 501)  # older than sessions, or without them
_BUSY = 503
_SERVER_ERRORS_FROM = 500


def _session(cookies: Iterable[str]) -> str | None:
    """The session's, among the cookies that are set; None if there is none."""
    for cookie in cookies:
        pair = cookie.partition(";")[0].strip()
        name, _, value = pair.partition("=")
        if name.endswith(SESSION_COOKIE) and value:
            return pair
    return None


class _Closable(Protocol):
    async def aclose(self) -> None: ...


class _Web:
    """Requests to one device, one after another, over a line and in a session that are kept."""

    def __init__(self, device: Device, context: ssl.SSLContext, pace: LinePace, sessions: list[str]) -> None:
        host = f"[{device.host}]" if ":" in device.host else device.host
        self._device = device
        self._pace = pace
        self._base = httpx.URL(f"https://{host}:{device.port}")
        self._left_over = sessions  # begun and not ended, by us or before us
        self._session: str | None = None
        self.renewed = False  # a session was lost: who knows what else
        self._loop = asyncio.get_running_loop()
        self._limit: asyncio.Timeout | None = None
        self._met: Callable[[], Awaitable[object]] | None = None
        self._fresh = False  # the line of this request
        self._unsecured: _Closable | None = None  # a line between TCP and TLS
        self._context = context
        self._transport = self._new_transport()
        self._torn = False  # a request was cancelled in its middle

    def _new_transport(self) -> httpx.AsyncHTTPTransport:
        """The transport alone: a client would add its own cookies, redirects and environment."""
        one = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)
        return httpx.AsyncHTTPTransport(verify=self._context, trust_env=False, limits=one)

    async def greet(self, met: Callable[[], Awaitable[object]]) -> None:
        """Begin; `met` is awaited once the device has answered at all. DeviceError if it will not have us."""
        self._met = met
        for session in self._left_over[:]:
            await self._end(session)
        await self._begin()

    async def ask(self, method: str, target: str, document: bytes = b"", *, again: bool = True) -> Tree:
        """The document that is answered. DeviceError, _Refused, Unintelligible.

        `again` if it does no harm to ask twice where the line breaks before the answer.
        """
        begun_anew = False
        within_s = self._pace.pong_within_s
        if not again:
            within_s = max(within_s, CALENDAR_ANSWERS_WITHIN_S)
        while True:
            status, _, body = await self._request(
                method, target, self._authorized(), document, within_s=within_s, again=again
            )
            match status:
                case _ if status == _OK:
                    return xml.read(body)
                case _ if status == _BAD_REQUEST:
                    raise _Refused(Fault(code=INVALID_PARAMETERS, message="not understood (HTTP 400)"))
                case _ if status == _FORBIDDEN:
                    raise _Refused(Fault(code=PERMISSION_DENIED, message="not allowed (HTTP 403)"))
                case _ if status == _UNAUTHORIZED and self._session is not None and not begun_anew:
                    self._over(self._session)  # the device forgot it, which it does when it restarts
                    begun_anew = self.renewed = True
                    await self._begin()
                case _ if status == _UNAUTHORIZED and self._session is not None:
                    await self._end(self._session)  # it does not know what to do with it
                case _:
                    raise _status_refused(status)

    async def part(self, *, within_s: float) -> None:
        """End the session; what cannot be ended now is kept for the next time."""
        if self._session is not None:
            with contextlib.suppress(DeviceError, TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._end(self._session)

    async def close(self) -> None:
        """Drop the line."""
        await self._transport.aclose()

    # ── sessions ──

    async def _begin(self) -> None:
        status, headers, _ = await self._request(
            "POST", "/xmlapi/session/begin", self._basic(), within_s=self._pace.greet_within_s
        )
        if status not in _SUCCESS and status not in _NO_SESSIONS:
            raise _status_refused(status)
        self._session = _session(headers.get_list("set-cookie")) if status in _SUCCESS else None
        if self._session is not None:
            self._left_over.append(self._session)
            del self._left_over[:-LEFT_OVER_SESSIONS]

    async def _end(self, session: str) -> None:
        within_s = self._pace.greet_within_s
        await self._request("POST", "/xmlapi/session/end", {"Cookie": session}, within_s=within_s)
        self._over(session)  # whatever it said: it may have forgotten the session before

    def _over(self, session: str) -> None:
        with contextlib.suppress(ValueError):
            self._left_over.remove(session)
        if self._session == session:
            self._session = None

    def _authorized(self) -> dict[str, str]:
        return self._basic() if self._session is None else {"Cookie": self._session}

    def _basic(self) -> dict[str, str]:
        credential = self._device.credential
        login = f"{credential.username}:{trust.password(credential)}".encode()
        return {"Authorization": f"Basic {base64.b64encode(login).decode()}"}

    # ── one request ──

    async def _request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        document: bytes = b"",
        *,
        within_s: float,
        again: bool = True,
    ) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body; DeviceError if there is no answer."""
        request_headers = {"User-Agent": "roomd", "Accept-Encoding": "identity", **headers}
        if document:
            request_headers["Content-Type"] = "text/xml; charset=utf-8"
        while True:
            request = httpx.Request(
                method,
                self._base.join(target),
                headers=request_headers,
                content=document,
                extensions={"trace": self._trace},
            )
            self._fresh = False
            try:
                return await self._exchange(request, within_s)
            except httpx.TransportError as error:
                found = _sorted(error)
                # A device may close an idle line at the moment in which we use it.
                if self._fresh or not again or not isinstance(found, DeviceUnreachable):
                    raise found from error
            except OSError as error:
                raise _sorted(error) from error

    async def _exchange(self, request: httpx.Request, within_s: float) -> tuple[int, httpx.Headers, bytes]:
        first = self._pace.connect_within_s if self._met is not None else within_s
        if self._torn:  # the library may still take its line for busy, and would wait for ever
            torn, self._transport, self._torn = self._transport, self._new_transport(), False
            await torn.aclose()
        try:
            async with asyncio.timeout(first) as self._limit:
                response = await self._transport.handle_async_request(request)
                try:
                    body = bytearray()
                    async for chunk in response.aiter_raw():
                        body += chunk
                        if len(body) > xml.MAX_BYTES:
                            raise DeviceTalksNonsense(f"an answer of more than {xml.MAX_BYTES >> 20} MiB")
                finally:
                    await response.aclose()
        except (asyncio.CancelledError, TimeoutError):
            self._torn = True
            raise
        finally:
            if self._unsecured is not None:  # the library leaves it open where TLS is given up
                await self._unsecured.aclose()
                self._unsecured = None
        return response.status_code, response.headers, bytes(body)

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """What the library does, step by step: the certificate is looked at before the password leaves."""
        match event:
            case "connection.connect_tcp.started":
                self._fresh = True
            case "connection.connect_tcp.complete":
                self._unsecured = info["return_value"]
                if self._met is not None and self._limit is not None:
                    met, self._met = self._met, None
                    self._limit.reschedule(None)
                    await met()
                    self._limit.reschedule(self._loop.time() + self._pace.greet_within_s)
            case "connection.start_tls.complete":
                tls = info["return_value"].get_extra_info("ssl_object")
                shown = None if tls is None else tls.getpeercert(binary_form=True)
                trust.verify(shown, self._device.trust)
                self._unsecured = None


# ── the library's errors, and the system's, in our words ──────────────────────────────────────────


_ILL_FORMED = ("illegal status line", "illegal header line", "illegal header value", "illegal chunk header")


def _sorted(error: BaseException) -> DeviceError:
    """What went wrong, by the innermost reason that the library gives."""
    if isinstance(error, httpx.RemoteProtocolError):
        if str(error).startswith(("Server disconnected", "peer closed")):
            return DeviceUnreachable("it closed the line before it answered")
        told = str(error).lower()  # which may quote a line, and that line a cookie or our password
        return DeviceTalksNonsense(
            f"no HTTP: {next((each for each in _ILL_FORMED if told.startswith(each)), type(error).__name__)}"
        )
    reason: BaseException = error
    while not isinstance(reason, OSError) and (below := reason.__cause__ or reason.__context__) is not None:
        reason = below
    while isinstance(reason.__cause__, OSError):
        reason = reason.__cause__
    match reason:
        case ssl.SSLCertVerificationError():
            return CertificateRefused(f"its certificate is not to be believed: {reason.verify_message}")
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return DeviceUnreachable("it closed the line during TLS")
        case ssl.SSLError():
            return DeviceTalksNonsense(f"no TLS: {reason.reason or reason}")
        case TimeoutError():
            return DeviceUnreachable("no answer in time")
        case ConnectionRefusedError():
            return DeviceUnreachable("nobody listens at its HTTPS port")
        case _:
            return unreachable(reason)


def _status_refused(status: int) -> DeviceError:
    """What the status of a refused request means."""
    match status:
        case 401:
            return PasswordRefused("it does not let this user in (HTTP 401)", logins=1)
        case 403:
            return AdminNeeded("it does not let this account use HTTP (HTTP 403)")
        case 503:
            return DeviceBusy("too many connections to it, or sessions (HTTP 503)")
        case _ if status >= _SERVER_ERRORS_FROM:
            return DeviceBooting(f"it is not ready (HTTP {status})")
        case _ if status >= _BAD_REQUEST:
            return ServiceOff(
                f"no xAPI over HTTP (HTTP {status}): set `xConfiguration NetworkServices HTTP Mode: HTTPS`"
            )
        case _:
            return DeviceTalksNonsense(f"no room device: it answers HTTP {status}")
