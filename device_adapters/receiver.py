"""Where devices call back that cannot be listened to: one small HTTP server of ours for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import h11
import msgspec

from device_adapters.xapi import xml
from device_adapters.xapi.messages import Unintelligible
from device_adapters.xapi.xml import Tree

MAX_POST_BYTES = 256 * 1024  # what changed at once; a five-hundredth of that is usual
MAX_HEAD_BYTES = 16 * 1024
MAX_VISITORS = 512  # who is turned away tries again after a second, ten times
MAX_STRANGERS = 8  # of one address: who has not shown a secret yet
MAX_PROXIED_STRANGERS = 128  # of one address, where something may stand between that all devices come from
SECRET_BYTES = 32
ACCEPT_AGAIN_S = 0.1  # when none could be let in
BACKLOG = 128  # connections that wait to be accepted


class Nameless(Unintelligible):
    """What was posted does not say whose it is, and should: it is not believed."""


Take = Callable[["Tree | Unintelligible", int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverPace:
    """How long a caller may take, in seconds."""

    request_within_s: float = 10.0
    idle_s: float = 60.0  # between two posts over one connection
    greet_within_s: float = 10.0  # TLS


@dataclass(slots=True)
class Callers:
    """Who called; counted and not logged, as anybody on the network may."""

    posts: int = 0  # understood, and from whom they should be
    unreadable: int = 0
    strangers: int = 0  # to a path that nobody was told
    impostors: int = 0  # another device's serial number
    nameless: int = 0  # no serial number
    turned_away: int = 0  # too many at once
    ill_mannered: int = 0  # no POST, too long, too slow, no TLS, no HTTP

    def counts(self) -> dict[str, int]:
        """By name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class _Expected:
    serial: str  # "" where the device does not say
    take: Take


class Receiver:
    """Listens as long as it is entered. Each device is told a path that nobody can guess."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        url: str | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        pace: ReceiverPace | None = None,
    ) -> None:
        """Listen at `host` and `port`, over TLS where there is a `certificate` (PEM, with its chain).

        `url` is how devices reach it, where that differs: `https://roomd.example.com:8443/feedback`.
        `key` may be in the certificate's file.
        """
        self.callers = Callers()
        self._host = host
        self._port = port
        self._url = url
        self._certificate = certificate
        self._key = key
        self._pace = pace or ReceiverPace()
        self._expected: dict[str, _Expected] = {}
        self._visitors: set[_Visitor] = set()
        self._strangers: Counter[str] = Counter()  # by address
        self._listening: Sequence[socket.socket] = ()
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        """OSError, also ssl.SSLError, if it cannot listen there or the certificate cannot be used."""
        context = None
        if self._certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(self._certificate, self._key)
        self._listening = await _listening(self._host, self._port)
        self._port = self._listening[0].getsockname()[1]
        self._tasks = await asyncio.TaskGroup().__aenter__()
        self._serving = self._tasks.create_task(self._serve(context), name="receiver")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        listening, self._listening = self._listening, ()
        self._serving.cancel()
        for visitor in list(self._visitors):
            visitor.abort()
        await self._tasks.__aexit__(None, None, None)  # an error of the body's stays what it is
        for each in listening:
            each.close()

    async def _serve(self, context: ssl.SSLContext | None) -> None:
        async with asyncio.TaskGroup() as tasks:
            for each in self._listening:
                tasks.create_task(self._accept(each, context, tasks), name="receiver's door")

    async def _accept(
        self, listening: socket.socket, context: ssl.SSLContext | None, tasks: asyncio.TaskGroup
    ) -> None:
        """Let visitors in, for ever; counted before TLS, for which they could let us wait."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listening)
            except OSError:  # it is gone again, or we have no file left
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            visitor = _Visitor(self, self._pace, str(address[0]))
            if self.enter(visitor):
                tasks.create_task(self._greet(visitor, accepted, context), name="a caller's TLS")
            else:
                accepted.close()

    async def _greet(
        self, visitor: _Visitor, accepted: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        loop = asyncio.get_running_loop()
        within_s = None if context is None else self._pace.greet_within_s
        try:
            await loop.connect_accepted_socket(
                lambda: visitor, accepted, ssl=context, ssl_handshake_timeout=within_s
            )
        except OSError:  # also ssl.SSLError
            self.callers.ill_mannered += 1
            self.leave(visitor)
        except asyncio.CancelledError:
            self.leave(visitor)
            raise

    @property
    def listening(self) -> bool:
        """Whether anybody can call."""
        return bool(self._listening)

    @property
    def url(self) -> str:
        """How devices reach it, without a slash at its end."""
        if self._url is not None:
            return self._url.rstrip("/")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http{'' if self._certificate is None else 's'}://{host}:{self._port}"

    @contextlib.contextmanager
    def expect(self, serial: str, take: Take) -> Iterator[str]:
        """The URL for one device, as long as it is expected; `take` gets what it posts, and its bytes.

        What it posts is a tree from its root, or Unintelligible. With a serial number, posts that name
        another one are refused, and what does not name it is Nameless.
        """
        secret = secrets.token_urlsafe(SECRET_BYTES)
        self._expected[secret] = _Expected(serial, take)
        try:
            yield f"{self.url}/{secret}"
        finally:
            del self._expected[secret]

    # ── what visitors call ──

    def enter(self, visitor: _Visitor) -> bool:
        """Whether there is room for one more."""
        most = MAX_STRANGERS if self._url is None else MAX_PROXIED_STRANGERS
        if (
            not self._listening
            or len(self._visitors) >= MAX_VISITORS
            or self._strangers[visitor.address] >= most
        ):
            self.callers.turned_away += 1
            return False
        self._visitors.add(visitor)
        self._strangers[visitor.address] += 1
        visitor.stranger = True
        return True

    def acquainted(self, visitor: _Visitor) -> None:
        """It has shown a secret, or is gone."""
        if visitor.stranger:
            visitor.stranger = False
            self._strangers[visitor.address] -= 1
            if not self._strangers[visitor.address]:
                del self._strangers[visitor.address]

    def leave(self, visitor: _Visitor) -> None:
        """It is gone."""
        self.acquainted(visitor)
        self._visitors.discard(visitor)

    def expects(self, target: bytes) -> str | None:
        """The secret in a request's target; None if it is nobody's. What is before it is a proxy's matter."""
        secret = target.partition(b"?")[0].rpartition(b"/")[2].decode("ascii", errors="replace")
        return secret if secret in self._expected else None

    def judge(self, secret: str, body: bytes) -> int:
        """Hand on what a device posted; the HTTP status to answer with.

        A device that is answered with an error stops calling, so only an impostor is.
        """
        expected = self._expected.get(secret)
        if expected is None:  # it was, when the request began
            self.callers.strangers += 1
            return 404
        try:
            serials, tree = read_post(body)
        except Unintelligible as error:
            self.callers.unreadable += 1
            expected.take(error, len(body))
            return 200
        if expected.serial and serials != {expected.serial}:
            if not serials <= {expected.serial, None}:
                self.callers.impostors += 1
                return 403
            self.callers.nameless += 1
            expected.take(Nameless("a post without its serial number"), 0)
            return 200
        self.callers.posts += 1
        expected.take(tree, len(body))
        return 200

    def too_long(self, secret: str) -> None:
        """A device says more than we read: whom it concerns has to know that something was missed."""
        expected = self._expected.get(secret)
        if expected is not None:
            expected.take(Unintelligible(f"a post of more than {MAX_POST_BYTES >> 10} KiB"), 0)


async def _listening(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at all addresses of a host; OSError if one cannot."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with contextlib.ExitStack() as opened:
        sockets = [
            opened.enter_context(socket.create_server(address, family=family, backlog=BACKLOG))
            for family, _, _, _, address in dict.fromkeys(found)
        ]
        for each in sockets:
            each.settimeout(0)
        opened.pop_all()
    return sockets


# ── one caller ────────────────────────────────────────────────────────────────────────────────────


class _Visitor(asyncio.Protocol):
    """One connection: requests one after another, each with an empty answer."""

    __slots__ = (
        "_begun",
        "_body",
        "_http",
        "_pace",
        "_receiver",
        "_secret",
        "_timer",
        "_transport",
        "address",
        "stranger",
    )

    def __init__(self, receiver: Receiver, pace: ReceiverPace, address: str) -> None:
        self.address = address
        self.stranger = False  # it is let in, and has shown no secret
        self._receiver = receiver
        self._pace = pace
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._secret = ""
        self._begun = False  # with a request
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by name
        self._wait(self._pace.request_within_s)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if not self._begun:  # whoever sends a byte now and then wins no time by it
            self._begun = True
            self._wait(self._pace.request_within_s)
        try:
            self._http.receive_data(data)
            while self._next():
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None
        self._receiver.leave(self)
        if self._timer is not None:
            self._timer.cancel()

    def abort(self) -> None:
        """Drop it at once."""
        if self._transport is not None:
            self._transport.abort()

    def _next(self) -> bool:
        """Whether there may be more to read; h11.RemoteProtocolError if it is no HTTP."""
        event = self._http.next_event()
        match event:
            case h11.Request():
                return self._asked(event)
            case h11.Data():
                self._body += event.data
                if len(self._body) > MAX_POST_BYTES:
                    self._receiver.too_long(self._secret)
                    self._refuse(413)
                    return False
                return True
            case h11.EndOfMessage():
                return self._answer(self._receiver.judge(self._secret, bytes(self._body)))
            case h11.ConnectionClosed():
                self.abort()
                return False
            case _:  # NEED_DATA or PAUSED
                return False

    def _asked(self, request: h11.Request) -> bool:
        secret = self._receiver.expects(request.target)
        if secret is None:
            self._receiver.callers.strangers += 1
            self._end(404)  # before its body: whoever has no secret has no room in our memory
            return False
        if request.method != b"POST":
            self._refuse(405)
            return False
        self._secret = secret
        self._receiver.acquainted(self)
        if self._http.they_are_waiting_for_100_continue:
            self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        return True

    def _answer(self, status: int) -> bool:
        self._body.clear()
        if status != 200:  # noqa: PLR2004
            self._end(status)
            return False
        self._write(self._http.send(h11.Response(status_code=200, headers=_EMPTY)))
        self._write(self._http.send(h11.EndOfMessage()))
        if self._http.our_state is not h11.DONE:  # it wants no further request, or speaks HTTP/1.0
            self._close()
            return False
        self._http.start_next_cycle()
        self._begun = False
        self._wait(self._pace.idle_s)
        return True

    def _refuse(self, status: int) -> None:
        self._receiver.callers.ill_mannered += 1
        self._end(status)

    def _end(self, status: int) -> None:
        """Answer, and listen to it no more."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [*_EMPTY, ("Connection", "close")]
            self._write(self._http.send(h11.Response(status_code=status, headers=headers)))
            self._write(self._http.send(h11.EndOfMessage()))
        self._close()

    def _write(self, data: bytes | None) -> None:
        if data and self._transport is not None:
            self._transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._wait(self._pace.request_within_s)  # for one that does not take its answer

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._late)

    def _late(self) -> None:
        if self._begun:
            self._receiver.callers.ill_mannered += 1
        self.abort()


_EMPTY = [("Content-Length", "0")]


# ── what is posted ────────────────────────────────────────────────────────────────────────────────

_ROOTS = ("Status", "Event", "Configuration")
_decode = msgspec.json.Decoder(dict[str, object]).decode
_NUMBER = re.compile(r"[0-9]{1,9}")


def read_post(body: bytes) -> tuple[AbstractSet[str | None], Tree]:
    """Who posts, and what, as a tree from its root.

    Who: the serial number that each root names, None where one does not. Both formats of HttpFeedback, told
    apart by their first character. Unintelligible if it is neither.
    """
    text = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    tree = _from_json(text) if text.startswith(b"{") else xml.read(text)
    serials: set[str | None] = set()
    heard: dict[str, object] = {}
    for root in _ROOTS:
        branch = tree.get(root)
        if branch is None:
            continue
        who = branch.get("Identification") if isinstance(branch, dict) else None
        number = who.get("SerialNumber") if isinstance(who, dict) else None
        serials.add(number if isinstance(number, str) else None)
        if isinstance(branch, dict):
            branch = {name: below for name, below in branch.items() if name != "Identification"}
        heard[root] = branch
    if not heard:
        raise Unintelligible("neither status nor event nor configuration")
    return serials, heard


def _from_json(text: bytes) -> Tree:
    try:
        tree = _decode(text)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Unintelligible(f"not JSON: {error}"[:200]) from None
    except RecursionError:
        raise Unintelligible("not JSON: nested too deeply") from None
    return {root: plain(branch) for root, branch in tree.items()}


def plain(value: object, depth: int = 0) -> object:
    """JSON as terminals have it (`{"Value": "50", "id": "1"}`), as WebSocket has it; leaves stay strings.

    Unintelligible where it is nested beyond reason.
    """
    if depth > xml.MAX_DEPTH:
        raise Unintelligible("not JSON: nested too deeply")
    if isinstance(value, list):
        return [_numbered(each, plain(each, depth + 1)) for each in value]
    if not isinstance(value, dict):
        return value
    if "Value" in value and not isinstance(value["Value"], dict | list) and value.get("ghost") != "True":
        return value["Value"]
    # Each level of an event is numbered 1, which says nothing; in an array it does.
    return {name: plain(below, depth + 1) for name, below in value.items() if name != "id"}


def _numbered(value: object, tree: object) -> object:
    if isinstance(value, dict) and isinstance(tree, dict) and "id" in value:
        number = value["id"]
        whole = isinstance(number, str) and _NUMBER.fullmatch(number)
        tree["id"] = int(cast("str", number)) if whole else number
    return tree
