"""Lets the command line look into the running daemon and order, over its Unix socket: JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import structlog

from agent.core.model import Room, RoomId

if TYPE_CHECKING:
    from agent.settings import Configuration

log = structlog.get_logger()

LISTENER_HOLDS = 2000  # events; one who reads more slowly misses the oldest, and is told how many
PICTURE_EVERY_S = 1.0
QUESTION_WITHIN_S = 10.0
LONGEST_QUESTION = 32 * 1024  # an order with all its words, each character escaped

Picture = Callable[[], Awaitable[dict[str, Any]]]
Calendars = Callable[[], list[dict[str, Any]]]
Consent = Callable[[str], Awaitable[bool]]  # of a service by its name; whether there is one
Ready = Callable[[], Sequence[str]]  # why not, in words for a person; nothing: it is
Retry = Callable[[], Awaitable[int]]  # of dead letters; how many
Exposition = Callable[[], Awaitable[bytes]]  # what is counted and measured, as Prometheus reads it


class Order(Protocol):
    """What is ordered of a room, by the contract's names; its answers, the last one final."""

    def __call__(  # noqa: D102 (as `agent.desk` does)
        self, *, room: str, name: str, arguments: object, requested_by: str
    ) -> AsyncGenerator[dict[str, Any]]: ...


class SocketInUse(Exception):
    """Another daemon answers on this socket."""


class Broadcast:
    """Hands every envelope's payload to whoever listens; nobody is waited for."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[bytes]] = set()
        self._missed: dict[asyncio.Queue[bytes], int] = {}

    def tell(self, payload: bytes) -> None:
        """Hand it to all; who is full loses the oldest."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
                self._missed[queue] = self._missed.get(queue, 0) + 1
            queue.put_nowait(payload)

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    @contextlib.contextmanager
    def listen(self) -> Iterator[asyncio.Queue[bytes]]:
        """A queue of payloads from now on."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(LISTENER_HOLDS)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
            self._missed.pop(queue, None)

    def missed(self, queue: asyncio.Queue[bytes]) -> int:
        """How many this listener lost since it was last asked."""
        return self._missed.pop(queue, 0)


# ── the daemon's side ─────────────────────────────────────────────────────────────────────────────


async def _no_service(service: str) -> bool:  # noqa: ARG001 - as a site that has some does
    """At a site that has no calendars."""
    return False


def _nothing_missing() -> tuple[str, ...]:
    return ()


async def _no_letters() -> int:
    return 0


async def _nothing_counted() -> bytes:
    return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The rooms as they are at this moment, and what the file says of them and the site."""

    at: datetime
    configuration: Configuration
    rooms: Mapping[RoomId, Room]


@dataclass(frozen=True, slots=True)
class Inside:
    """What of the daemon the socket reaches."""

    picture: Picture
    broadcast: Broadcast
    order: Order
    calendars: Calendars = list
    consent: Consent = _no_service
    metrics: Exposition = _nothing_counted
    retry: Retry = _no_letters
    ready: Ready = _nothing_missing
    sight: Callable[[], Sight] | None = None
    site: Picture | None = None  # the picture without its rooms


@asynccontextmanager
async def serve(path: Path, inside: Inside) -> AsyncIterator[None]:
    """Answer on this socket, for its owner and group, while the context stands. Raises `SocketInUse`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    make_way(path)
    async with asyncio.TaskGroup() as tasks:
        callers: set[asyncio.Task[None]] = set()

        def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            caller = tasks.create_task(_attend(reader, writer, inside), name="caller")
            callers.add(caller)
            caller.add_done_callback(callers.discard)

        old_mask = os.umask(0o117)
        try:
            server = await asyncio.start_unix_server(welcome, path, limit=LONGEST_QUESTION)
        finally:
            os.umask(old_mask)
        try:
            yield
        finally:
            server.close()
            take_away(path)
            for caller in callers:
                caller.cancel()


async def _attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inside: Inside) -> None:
    """Answer one caller, until it has its answer or hangs up."""
    try:
        async with asyncio.timeout(QUESTION_WITHIN_S):
            question = _understand(await reader.readline())
        async with asyncio.TaskGroup() as both:
            answer = both.create_task(_answer(question, writer, inside), name="answer")
            gone = both.create_task(reader.read(), name="hang-up")
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            answer.cancel()
            gone.cancel()
    except* (OSError, ValueError, msgspec.MsgspecError) as group:
        log.debug("caller.lost", why=str(group.exceptions[0]))
    finally:
        writer.close()


@dataclass(frozen=True, slots=True)
class _Question:
    ask: str
    room: str = ""  # of an order, as the two below
    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    service: str = ""  # of a consent


_understand = msgspec.json.Decoder(_Question).decode


def take_away(path: Path) -> None:
    """So that nobody waits for an answer there."""
    path.unlink(missing_ok=True)


def make_way(path: Path) -> None:
    """Take away the socket that a killed daemon left; `SocketInUse` if another answers, or it is none."""
    if path.exists() and not path.is_socket():
        raise SocketInUse(f"{path} is there and is no socket: give roomd another path for its socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            line.connect(str(path))
        except FileNotFoundError:
            return
        except ConnectionError:
            take_away(path)
            return
    raise SocketInUse(
        f"{path}: another roomd answers there; stop it, or give this one another path for its socket"
    )


async def _answer(question: _Question, writer: asyncio.StreamWriter, inside: Inside) -> None:
    picture, broadcast = inside.picture, inside.broadcast
    match question.ask:
        case "picture":
            await _say(writer, await picture())
        case "events":
            with broadcast.listen() as queue:
                while True:
                    await _pass_on(writer, queue, broadcast, await queue.get())
        case "watch":
            with broadcast.listen() as queue:
                while True:
                    await _say(writer, await picture())
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(PICTURE_EVERY_S):
                            while True:
                                await _pass_on(writer, queue, broadcast, await queue.get())
        case "order":
            order = inside.order(
                room=question.room,
                name=question.name,
                arguments=question.arguments,
                requested_by=_caller(writer),
            )
            async with contextlib.aclosing(order) as answers:
                async for answer in answers:
                    await _say(writer, answer)
        case "calendars":
            await _say(writer, {"calendars": inside.calendars()})
        case "consent":
            log.info("calendars.consented", service=question.service, requested_by=_caller(writer))
            await _say(writer, {"known": await inside.consent(question.service)})
        case "retry":
            log.info("outbox.retry_asked", requested_by=_caller(writer))
            await _say(writer, {"retried": await inside.retry()})
        case unknown:
            await _say(writer, {"error": f"this daemon does not know {unknown!r}"})


def _caller(writer: asyncio.StreamWriter) -> str:
    """Who is at the other end, as the kernel says; their own word is not asked for."""
    line: socket.socket = writer.get_extra_info("socket")
    form = "3i"  # process, user, group
    credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(form))
    _, user, _ = struct.unpack(form, credentials)
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = str(user)
    return f"{name} at {socket.gethostname()}"


async def _pass_on(
    writer: asyncio.StreamWriter, queue: asyncio.Queue[bytes], broadcast: Broadcast, payload: bytes
) -> None:
    if missed := broadcast.missed(queue):
        await _say(writer, {"missed": missed})
    writer.write(b'{"event":' + payload + b"}\n")
    await writer.drain()


async def _say(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()
