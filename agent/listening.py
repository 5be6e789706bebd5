"""The house's one door for callers over HTTP(S): bounded in memory, time and numbers, whoever calls."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, cast

import h11

FEW_STRANGERS: Final = 8  # of one address, where each caller has an address of its own
MANY_STRANGERS: Final = 128  # where something may stand between that all callers come from
ACCEPT_AGAIN_S: Final = 0.1  # when none could be let in
BACKLOG: Final = 128  # connections that wait to be accepted
GOOD: Final = range(200, 300)
UNTAKEN_BYTES: Final = 16 * 1024  # of answers to one caller; beyond it no further request is read


# ── what is behind the door ───────────────────────────────────────────────────────────────────────


class Reply(Protocol):
    """What is said to a caller."""

    @property
    def status(self) -> int:
        """HTTP's; after one that is not 2xx, and after any to a stranger, the line is closed."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Without its length."""
        ...

    @property
    def body(self) -> bytes:
        """Often none."""
        ...

    @property
    def known(self) -> bool:
        """Whether what came showed a secret: the caller is no stranger any more."""
        ...


class Call(Protocol):
    """A request whose head was liked, and whose body is being read."""

    @property
    def known(self) -> bool:
        """Whether its head shows a secret."""
        ...

    @property
    def most_bytes(self) -> int:
        """Of its body; with more it is refused."""
        ...

    def answer(self, body: bytes) -> Reply:
        """What to say to the whole of it; called on the event loop, so it must not wait."""
        ...

    def too_long(self) -> None:
        """There is more of it than may be read: it is refused, and will not be answered."""
        ...


class Site(Protocol):
    """Whose door it is."""

    def admits(self, method: str, target: str, headers: Mapping[str, str]) -> Call | HTTPStatus:
        """Judge a request by its head, before any room is made for its body; header names in lower case.

        The status to turn it away with, if it is not to be read.
        """
        ...


# ── bounds ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a caller may take, in seconds."""

    request_within_s: float = 10.0
    idle_s: float = 60.0  # between two requests over one connection, of who is no stranger
    greet_within_s: float = 10.0  # TLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much callers may take up."""

    callers: int = 512  # who is turned away tries again; strangers make room for one from elsewhere
    strangers: int = MANY_STRANGERS  # of one address: who has not shown a secret yet
    head_bytes: int = 16 * 1024
    strange_bytes: int = 16 * 1024 * 1024  # of bodies of strangers, all together


@dataclass(slots=True)
class Callers:
    """Who called; counted and not logged, as anybody on the network may."""

    turned_away: int = 0  # too many at once
    ill_mannered: int = 0  # too long, too slow, no TLS, no HTTP, another method

    def counts(self) -> dict[str, int]:
        """By name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class AtDoor(Protocol):
    """Takes who counts the callers at a door, by the door's name."""

    def __call__(self, door: str, *counts: Callable[[], Mapping[str, int]]) -> None:  # noqa: D102
        ...


# ── the door ──────────────────────────────────────────────────────────────────────────────────────


class Visitor(asyncio.Protocol):
    """One connection at a door."""

    __slots__ = ("address", "greeting", "stranger")

    def __init__(self, address: str) -> None:
        """`address` is where it comes from."""
        self.address = address
        self.stranger = False  # it is let in, and has shown no secret
        self.greeting: asyncio.Task[None] | None = None

    def abort(self) -> None:
        """Drop it at once."""
        raise NotImplementedError


class Door:
    """Lets visitors in as long as it is entered, and no more than it has room for."""

    def __init__(self, *, bounds: Bounds | None = None, pace: Pace | None = None) -> None:
        """Who comes in is a `visitor`; where from, `listen` says."""
        self.callers = Callers()
        self.bounds = bounds or Bounds()
        self._pace = pace or Pace()
        self._visitors: set[Visitor] = set()
        self._strangers: defaultdict[str, dict[Visitor, None]] = defaultdict(dict)  # by address, as they came
        self._listening: Sequence[socket.socket] = ()
        self._tasks = asyncio.TaskGroup()

    def visitor(self, address: str) -> Visitor:
        """One more, from there."""
        raise NotImplementedError

    async def listen(self) -> Sequence[socket.socket]:
        """Sockets that listen already; OSError if they cannot."""
        raise NotImplementedError

    def context(self) -> ssl.SSLContext | None:
        """Of TLS; None without it. OSError, also ssl.SSLError, if the certificate cannot be used."""
        return None

    async def __aenter__(self) -> Self:
        """OSError, also ssl.SSLError, if it cannot listen there or the certificate cannot be used."""
        context = self.context()
        self._listening = await self.listen()
        self._tasks = await asyncio.TaskGroup().__aenter__()
        self._serving = self._tasks.create_task(self._serve(context), name="listener")
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
                tasks.create_task(self._accept(each, context, tasks), name="listener's door")

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
            visitor = self.visitor(str(address[0]) if address else "")  # none at a socket of this machine
            if self.enter(visitor):
                visitor.greeting = tasks.create_task(
                    self._greet(visitor, accepted, context), name="a caller's TLS"
                )
            else:
                accepted.close()

    async def _greet(self, visitor: Visitor, accepted: socket.socket, context: ssl.SSLContext | None) -> None:
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

    # ── what visitors call ──

    def enter(self, visitor: Visitor) -> bool:
        """Whether there is room for one more, or a stranger made it.

        Who shows a secret does so at once, so of a full house the stranger goes that waited longest, of
        the address that has most of them: a few addresses cannot hold all places.
        """
        alike = len(self._strangers.get(visitor.address, ()))
        if not self._listening or alike >= self.bounds.strangers:
            self.callers.turned_away += 1
            return False
        if len(self._visitors) >= self.bounds.callers:
            self.callers.turned_away += 1
            most = max(self._strangers.values(), key=len, default={})
            if len(most) <= alike:
                return False
            oldest = next(iter(most))
            self.leave(oldest)
            oldest.abort()
        self._visitors.add(visitor)
        self._strangers[visitor.address][visitor] = None
        visitor.stranger = True
        return True

    def acquainted(self, visitor: Visitor) -> None:
        """It has shown a secret, or is gone."""
        if visitor.stranger:
            visitor.stranger = False
            del self._strangers[visitor.address][visitor]
            if not self._strangers[visitor.address]:
                del self._strangers[visitor.address]

    def leave(self, visitor: Visitor) -> None:
        """It is gone."""
        self.acquainted(visitor)
        self._visitors.discard(visitor)


async def listening_at(host: str, port: int) -> list[socket.socket]:
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


def serving_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """TLS as this house offers it; OSError, also ssl.SSLError, if the certificate cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key, password="")  # nobody is asked for one
    return context


# ── the house's own callers ───────────────────────────────────────────────────────────────────────


class Listener(Door):
    """Answers devices and clouds that call, each request whole."""

    def __init__(
        self,
        site: Site,
        *,
        host: str,
        port: int,
        certificate: Path | None = None,
        key: Path | None = None,
        pace: Pace | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """Listen at `host` and `port`, over TLS where there is a `certificate` (PEM, with its chain).

        `key` may be in the certificate's file.
        """
        super().__init__(bounds=bounds, pace=pace)
        self.site = site
        self._host = host
        self._port = port
        self._certificate = certificate
        self._key = key
        self._strange_bytes = 0

    @property
    def url(self) -> str:
        """Where it is, as seen from this machine's own network; without a slash at its end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http{'' if self._certificate is None else 's'}://{host}:{self._port}"

    def visitor(self, address: str) -> Visitor:
        """One more, from there."""
        return _Visitor(self, self._pace, address)

    def context(self) -> ssl.SSLContext | None:
        """Of TLS."""
        return None if self._certificate is None else serving_context(self._certificate, self._key)

    async def listen(self) -> Sequence[socket.socket]:
        """At its host and port."""
        sockets = await listening_at(self._host, self._port)
        self._port = sockets[0].getsockname()[1]
        return sockets

    def makes_room(self, strange_bytes: int) -> bool:
        """Whether a stranger may have so many bytes more of our memory; less than nothing gives them back."""
        if strange_bytes > 0 and self._strange_bytes + strange_bytes > self.bounds.strange_bytes:
            return False
        self._strange_bytes += strange_bytes
        return True


# ── one caller ────────────────────────────────────────────────────────────────────────────────────


class _Visitor(Visitor):
    """One connection: requests one after another, each read when the answers before it were taken."""

    __slots__ = (
        "_begun",
        "_body",
        "_call",
        "_http",
        "_listener",
        "_pace",
        "_strange_bytes",
        "_timer",
        "_transport",
        "_untaken",
    )

    def __init__(self, listener: Listener, pace: Pace, address: str) -> None:
        super().__init__(address)
        self._listener = listener
        self._pace = pace
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=listener.bounds.head_bytes)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._call: Call | None = None
        self._begun = False  # with a request
        self._body = bytearray()
        self._strange_bytes = 0  # of the body, asked for as a stranger
        self._untaken = False  # it reads its answers slower than it asks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by name
        self._transport.set_write_buffer_limits(high=UNTAKEN_BYTES)
        self._wait(self._pace.request_within_s)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if not self._begun:  # whoever sends a byte now and then wins no time by it
            self._begun = True
            self._wait(self._pace.request_within_s)
        try:
            self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint)
        else:
            self._read_on()

    def pause_writing(self) -> None:
        """It has not taken what it was answered: no more is read of it, nor answered."""
        self._untaken = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It has."""
        self._untaken = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._read_on()
            if self._call is None and not self._untaken and not self._transport.is_closing():
                self._begun = bool(self._http.trailing_data[0])
                self._wait(self._pace.request_within_s if self._begun else self._pace.idle_s)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None
        self._emptied()
        self._listener.leave(self)
        if self._timer is not None:
            self._timer.cancel()

    def abort(self) -> None:
        """Drop it at once."""
        if self._transport is not None:
            self._transport.abort()
        elif self.greeting is not None:
            self.greeting.cancel()

    def _read_on(self) -> None:
        try:
            while not self._untaken and self._next():
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint)

    def _next(self) -> bool:
        """Whether there may be more to read; h11.RemoteProtocolError if it is no HTTP."""
        event = self._http.next_event()
        match event:
            case h11.Request():
                return self._asked(event)
            case h11.Data():
                return self._said(event.data)
            case h11.EndOfMessage():
                return self._answer()
            case h11.ConnectionClosed():
                self.abort()
                return False
            case _:  # NEED_DATA or PAUSED
                return False

    def _asked(self, request: h11.Request) -> bool:
        if _size(request) > self._listener.bounds.head_bytes:  # it came at once, or h11 would have said so
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return False
        judged = self._listener.site.admits(
            request.method.decode("ascii"),
            request.target.decode("ascii", errors="replace"),
            {name.decode("ascii"): value.decode("latin-1") for name, value in request.headers},
        )
        if isinstance(judged, HTTPStatus):  # before its body: whoever is not liked has no room in our memory
            if judged != HTTPStatus.NOT_FOUND:
                self._listener.callers.ill_mannered += 1
            self._end(judged)
            return False
        self._call = judged
        if judged.known:
            self._listener.acquainted(self)
        if self._http.they_are_waiting_for_100_continue:
            self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
        return True

    def _said(self, more: bytes) -> bool:
        assert self._call is not None  # noqa: S101 - h11 gives no data without a request
        if len(self._body) + len(more) > self._call.most_bytes:
            self._call.too_long()
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return False
        if self.stranger:
            if not self._listener.makes_room(len(more)):
                self._listener.callers.turned_away += 1
                self._end(HTTPStatus.SERVICE_UNAVAILABLE)
                return False
            self._strange_bytes += len(more)
        self._body += more
        return True

    def _answer(self) -> bool:
        assert self._call is not None  # noqa: S101 - nor the end of one
        reply = self._call.answer(bytes(self._body))
        self._emptied()
        if reply.known:
            self._listener.acquainted(self)
        if reply.status not in GOOD:
            self._end(reply.status)
            return False
        closing = {"Connection": "close"} if self.stranger else {}
        self._reply(reply.status, {**reply.headers, **closing}, reply.body)
        if self._http.our_state is not h11.DONE:  # a stranger, or who wants no further request
            self._close()
            return False
        self._http.start_next_cycle()
        self._begun = self._untaken
        self._wait(self._pace.request_within_s if self._untaken else self._pace.idle_s)
        return True

    def _emptied(self) -> None:
        self._body.clear()
        self._call = None
        self._listener.makes_room(-self._strange_bytes)
        self._strange_bytes = 0

    def _refuse(self, status: int) -> None:
        self._listener.callers.ill_mannered += 1
        self._end(status)

    def _end(self, status: int) -> None:
        """Answer without a detail, and listen to it no more."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._reply(status, {"Connection": "close"}, b"")
        self._emptied()
        self._close()

    def _reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        said = [*headers.items(), ("Content-Length", str(len(body)))]
        parts = [h11.Response(status_code=status, headers=said), h11.Data(data=body), h11.EndOfMessage()]
        # At once, as some transports call `resume_writing` before they return.
        self._write(b"".join(self._http.send(each) or b"" for each in parts))

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
            self._listener.callers.ill_mannered += 1
        self.abort()


def _size(request: h11.Request) -> int:
    """Bytes of a head, but for its punctuation."""
    return len(request.target) + sum(len(name) + len(value) for name, value in request.headers)
