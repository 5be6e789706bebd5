"""Writes down everything that reaches a subscriber, in order: the witness that shares no code with roomd."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from tests.brokers.packets import Frames, Kind, Publish, Version, decode
from tests.brokers.waiting import Changes

HOST: Final = "127.0.0.1"
SESSION_EXPIRY_S: Final = 24 * 3600
CHUNK: Final = 1 << 18
AGAIN_AFTER_S: Final = 0.03
ANSWERS_WITHIN_S: Final = 5.0
QUIET_FOR_S: Final = 0.4  # after which a broker has sent all that it retains
SESSION_PRESENT: Final = 0x01


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A CloudEvent as it came, and what it says of itself."""

    at_s: float  # monotonic
    source: str
    id: str
    type: str
    payload: bytes
    dup: bool  # the broker's own word that it sends this again to us

    @property
    def stream(self) -> str:
        """As roomd's database names it: `rooms/fjord`."""
        return "/".join(self.source.split("/")[-2:])

    @property
    def epoch(self) -> str:
        return self.id.rpartition("-")[0]

    @property
    def number(self) -> int:
        return int(self.id.rpartition("-")[2])

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.payload)
        return body

    @property
    def kind(self) -> str:
        return self.type.removeprefix("roomd.").removesuffix(".v1")


class Recorder:
    """A subscriber with a session of its own that lasts; dials again for ever, at once."""

    def __init__(self, port: int, topic_filter: str = "roomd/#", *, client_id: str = "recorder") -> None:
        self.events: list[Event] = []
        self.latest: dict[str, bytes] = {}  # what is retained, as it passed by
        self.answers: list[dict[str, Any]] = []  # to commands, with the `topic` on which they came
        self.sessions_lost = 0
        self.listening = False
        self.also_seen: Callable[[], str] = lambda: ""  # told where something does not come
        self.on_state: Callable[[dict[str, Any]], None] = lambda _: None  # of a room, every one
        self._port = port
        self._filter = topic_filter
        self._client_id = client_id
        self._dialled = 0
        self._changes = Changes()

    async def run(self) -> None:
        """For ever."""
        while True:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                await self._listen()
            self.listening = False
            self._changes.happened()
            await asyncio.sleep(AGAIN_AFTER_S)

    async def until_listening(self, *, within_s: float = 10.0) -> None:
        """A broker knows our subscription."""
        await self._changes.until(lambda: self.listening, within_s=within_s)

    async def until_deaf(self, *, within_s: float = 10.0) -> None:
        await self._changes.until(lambda: not self.listening, within_s=within_s)

    def of_kind(self, kind: str, room: str | None = None) -> list[Event]:
        stream = None if room is None else f"rooms/{room}"
        return [e for e in self.events if e.kind == kind and (stream is None or e.stream == stream)]

    async def until(self, predicate: Callable[[], object], *, within_s: float = 10.0) -> None:
        """Looks again whenever something has come."""
        await self._changes.until(predicate, within_s=within_s, seen=self._seen)

    def _seen(self) -> str:
        last = [f"{e.stream} {e.kind} {e.number}" for e in self.events[-12:]]
        return (
            f"{len(self.events)} events, the last {last}; retained {sorted(self.latest)}; {self.also_seen()}"
        )

    async def _listen(self) -> None:
        async with _dialled(self._port, self._client_id, expiry_s=SESSION_EXPIRY_S) as line:
            self._dialled += 1
            if not line.session_present:
                self.sessions_lost += self._dialled > 1
                await line.subscribe(self._filter)
            self.listening = True
            self._changes.happened()
            async for publish in line.messages():
                self._write_down(publish)
                line.acknowledge(publish)
                self._changes.happened()

    def _write_down(self, publish: Publish) -> None:
        if "/commands/" in publish.topic:
            return
        if "/events/" not in publish.topic and b'"command_id"' in publish.payload:
            self.answers.append({**json.loads(publish.payload), "topic": publish.topic})
            return
        if "/events/" not in publish.topic:
            self.latest[publish.topic] = publish.payload
            if publish.topic.endswith("/state") and publish.payload:
                self.on_state(json.loads(publish.payload))
            return
        body = json.loads(publish.payload)
        self.events.append(
            Event(
                at_s=time.monotonic(),
                source=body["source"],
                id=body["id"],
                type=body["type"],
                payload=publish.payload,
                dup=publish.dup,
            )
        )


async def publish(
    port: int, messages: Sequence[tuple[str, bytes]], *, client_id: str = "cloud", response_topic: str = ""
) -> None:
    """Publishes these with QoS 1, all at once; returns when the broker has acknowledged all of them."""
    async with _dialled(port, client_id, expiry_s=0) as line:
        for mid, (topic, payload) in enumerate(messages, 1):
            line.publish(topic, payload, mid=mid, response_topic=response_topic)
        await line.acknowledged(len(messages))


async def retained(port: int, topic_filter: str = "roomd/#") -> dict[str, bytes]:
    """What a consumer who comes now for the first time is given."""
    found: dict[str, bytes] = {}
    async with _dialled(port, "latecomer", expiry_s=0) as line:
        await line.subscribe(topic_filter)
        messages = line.messages()
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(QUIET_FOR_S):
                    publish = await anext(messages)
                if publish.retain:
                    found[publish.topic] = publish.payload
                line.acknowledge(publish)
    return found


class _Line:
    """As little of an MQTT 5 client as will do."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.session_present = False
        self._reader = reader
        self._writer = writer
        self._frames = Frames()
        self._early: list[Publish] = []

    async def greet(self, client_id: str, *, expiry_s: int) -> None:
        properties = struct.pack("!BIBH", 0x11, expiry_s, 0x21, 0xFFFF)  # session expiry, Receive Maximum
        head = _text("MQTT") + bytes((Version.V5, 0, 0, 0))  # neither clean start nor keep-alive
        self._send(Kind.CONNECT, 0, head + bytes((len(properties),)) + properties + _text(client_id))
        connack = await self._await(Kind.CONNACK)
        if connack[1]:
            raise ConnectionRefusedError(f"CONNACK 0x{connack[1]:02x}")
        self.session_present = bool(connack[0] & SESSION_PRESENT)

    async def subscribe(self, topic_filter: str) -> None:
        self._send(Kind.SUBSCRIBE, 2, b"\x00\x01" + b"\x00" + _text(topic_filter) + b"\x01")
        await self._await(Kind.SUBACK)

    async def messages(self) -> AsyncIterator[Publish]:
        """What comes, until the end of the line."""
        while True:
            early, self._early = self._early, []
            for publish in early:
                yield publish
            data = await self._reader.read(CHUNK)
            if not data:
                return
            for frame in self._frames.receive(data):
                if frame.kind is Kind.PUBLISH:
                    packet = decode(frame, Version.V5)
                    assert isinstance(packet, Publish)
                    yield packet

    def publish(self, topic: str, payload: bytes, *, mid: int, response_topic: str = "") -> None:
        properties = b"\x08" + _text(response_topic) if response_topic else b""
        head = _text(topic) + struct.pack("!H", mid) + bytes((len(properties),)) + properties
        self._send(Kind.PUBLISH, 2, head + payload)

    async def acknowledged(self, count: int) -> None:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            while count:
                data = await self._reader.read(CHUNK)
                if not data:
                    raise EOFError
                count -= sum(frame.kind is Kind.PUBACK for frame in self._frames.receive(data))

    def acknowledge(self, publish: Publish) -> None:
        if publish.mid is not None:
            self._send(Kind.PUBACK, 0, struct.pack("!H", publish.mid))

    def leave(self) -> None:
        self._send(Kind.DISCONNECT, 0, b"")

    async def _await(self, kind: Kind) -> bytes:
        """The answer; what is published before it is kept."""
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            while True:
                data = await self._reader.read(CHUNK)
                if not data:
                    raise EOFError
                answer: bytes | None = None
                for frame in self._frames.receive(data):
                    if frame.kind is kind:
                        answer = frame.body
                    elif frame.kind is Kind.PUBLISH:
                        packet = decode(frame, Version.V5)
                        assert isinstance(packet, Publish)
                        self._early.append(packet)
                if answer is not None:
                    return answer

    def _send(self, kind: Kind, flags: int, body: bytes) -> None:
        length, count = bytearray(), len(body)
        while count > 0x7F:
            length.append(count & 0x7F | 0x80)
            count >>= 7
        length.append(count)
        self._writer.write(bytes((kind << 4 | flags,)) + bytes(length) + body)


def _text(text: str) -> bytes:
    return struct.pack("!H", len(text.encode())) + text.encode()


@asynccontextmanager
async def _dialled(port: int, client_id: str, *, expiry_s: int) -> AsyncIterator[_Line]:
    reader, writer = await asyncio.open_connection(HOST, port, limit=CHUNK)
    try:
        line = _Line(reader, writer)
        await line.greet(client_id, expiry_s=expiry_s)
        yield line
        if not expiry_s:
            line.leave()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
