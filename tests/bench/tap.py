"""Listens in between a contender and the broker: what was published and acknowledged, and when."""

import asyncio
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, cast

import msgspec

from tests.brokers.crew import Crew

HOST: Final = "127.0.0.1"
CONNECT, PUBLISH, PUBACK = 1, 3, 4
EVENTS: Final = b"/events/occupancy"
FAILED: Final = 0x80  # reason codes from here on


@dataclass(frozen=True, slots=True)
class Told:
    """A count that the broker has acknowledged; times are monotonic seconds of this machine."""

    room: str
    people: int
    published_at: float
    acknowledged_at: float


class _Data(msgspec.Struct):
    people: int | None = None


class _Event(msgspec.Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Event).decode


@dataclass(slots=True)
class Track:
    """One direction of a connection: what went by and when, kept to be read later."""

    times: "array[float]" = field(default_factory=lambda: array("d"))
    chunks: list[bytes] = field(default_factory=list)
    rest: bytes = b""  # the beginning of a packet whose end had not come when it was last read

    def keep(self, data: bytes) -> None:
        self.times.append(time.monotonic())
        self.chunks.append(data)

    def packets(self) -> Iterator[tuple[float, int, bytes]]:
        """When its last byte came, first byte, body; forgets what it has given."""
        times, chunks = self.times, [self.rest, *self.chunks]
        self.times, self.chunks = array("d"), []
        data = b"".join(chunks)
        ends, end = [], 0
        for chunk in chunks:
            end += len(chunk)
            ends.append(end)
        at, place = 0, 1
        while (bounds := _bounds(data, at)) is not None:
            begin, stop = bounds
            while ends[place] < stop:
                place += 1
            yield times[place - 1], data[at], data[begin:stop]
            at = stop
        self.rest = data[at:]


class Connection:
    """A contender's connection to the broker, both ways."""

    def __init__(self) -> None:
        self.up: Final = Track()
        self.down: Final = Track()
        self._five = False
        self._waiting: Final[dict[int, tuple[str, int, float] | None]] = {}

    def told(self) -> tuple[list[Told], int]:
        """The counts acknowledged since the last call, and how many publications were refused."""
        found: list[tuple[float, int, tuple[str, int, float] | None]] = []
        for at, first, body in self.up.packets():
            if first >> 4 == CONNECT:
                self._five = body[6] == 5  # the protocol's version follows its name
            elif first >> 4 == PUBLISH and first >> 1 & 3:
                length = int.from_bytes(body[:2], "big") + 2
                packet = int.from_bytes(body[length : length + 2], "big")
                found.append((at, packet, self._count(body, length, at)))
        return self._acknowledged(found)

    def _count(self, body: bytes, length: int, at: float) -> tuple[str, int, float] | None:
        topic = body[2:length]
        if not topic.endswith(EVENTS):
            return None
        begin = length + 2
        if self._five:
            size, begin = _number(body, begin) or (0, begin)
            begin += size
        people = _decode(body[begin:]).data.people
        return None if people is None else (topic.split(b"/")[-3].decode(), people, at)

    def _acknowledged(
        self, published: list[tuple[float, int, tuple[str, int, float] | None]]
    ) -> tuple[list[Told], int]:
        """Both directions in the order of time, because packet numbers are used again."""
        told: list[Told] = []
        refused = 0
        sent = iter(published)
        coming = next(sent, None)
        for at, first, body in self.down.packets():
            if first >> 4 != PUBACK:
                continue
            while coming is not None and coming[0] <= at:
                self._waiting[coming[1]] = coming[2]
                coming = next(sent, None)
            count = self._waiting.pop(int.from_bytes(body[:2], "big"), None)
            if len(body) > 2 and body[2] >= FAILED:
                refused += 1
            elif count is not None:
                room, people, published_at = count
                told.append(Told(room, people, published_at, at))
        while coming is not None:
            self._waiting[coming[1]] = coming[2]
            coming = next(sent, None)
        return told, refused


class Tap:
    """`async with Tap(broker.port) as tap`: whoever connects to `tap.port` talks to the broker."""

    def __init__(self, broker_port: int) -> None:
        self.port = 0
        self.connections: Final[list[Connection]] = []
        self.bytes_up = 0
        self.broker_port: Final = broker_port
        self._server: asyncio.AbstractServer | None = None
        self._halves: Final[set[_Half]] = set()
        self._dialling: Final = Crew()

    async def __aenter__(self) -> Self:
        await self._dialling.__aenter__()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._meet, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._server = server
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for half in list(self._halves):
            half.abort()
        await self._dialling.__aexit__(kind, error, trace)

    def told(self) -> tuple[list[Told], int]:
        """The counts acknowledged since the last call, over all connections, and the refusals."""
        told: list[Told] = []
        refused = 0
        for connection in self.connections:
            more, no = connection.told()
            told += more
            refused += no
        return told, refused

    def _meet(self) -> "_Half":
        connection = Connection()
        self.connections.append(connection)
        contender, broker = _Half(self, connection.up, up=True), _Half(self, connection.down, up=False)
        contender.peer, broker.peer = broker, contender
        self._halves.update((contender, broker))
        _ = self._dialling.start(self._dial(contender, broker), name="tap")
        return contender

    async def _dial(self, contender: "_Half", broker: "_Half") -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: broker, HOST, self.broker_port)
        except OSError:
            contender.abort()

    def left(self, half: "_Half") -> None:
        self._halves.discard(half)


class _Half(asyncio.Protocol):
    """One socket; writes to its peer what it reads."""

    def __init__(self, tap: Tap, track: Track, *, up: bool) -> None:
        self.peer: _Half | None = None
        self._tap: Final = tap
        self._track: Final = track
        self._up: Final = up
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []  # came before the peer was connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        for data in self._early:
            self._transport.write(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        self._track.keep(data)
        if self._up:
            self._tap.bytes_up += len(data)
        if self.peer is not None:
            self.peer.write(data)

    def write(self, data: bytes) -> None:
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.write(data)

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer._transport is not None:  # noqa: SLF001 -- a twin
            self.peer._transport.pause_reading()  # noqa: SLF001

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer._transport is not None:  # noqa: SLF001
            self.peer._transport.resume_reading()  # noqa: SLF001

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._tap.left(self)
        if self.peer is not None and self.peer._transport is not None:  # noqa: SLF001
            self.peer._transport.close()  # noqa: SLF001
        self.peer = None


def _bounds(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the body of the packet begins and ends, if all of it is there."""
    size = _number(data, at + 1)
    if size is None or size[1] + size[0] > len(data):
        return None
    return size[1], size[1] + size[0]


def _number(data: bytes, at: int) -> tuple[int, int] | None:
    """MQTT's variable byte integer, and where it ends."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < FAILED:
            return value, at
        shift += 7
    return None
