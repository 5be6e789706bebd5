"""One connection to an MQTT broker; the only module that knows the MQTT library, and what to keep from it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from cloud_link.address import Address, Version
from cloud_link.delivery import OVER_SIZE, packet_bytes

log = structlog.get_logger()

# paho connects (TCP, TLS, websocket, CONNECT), keeps the connection alive, subscribes and receives. Our
# PUBLISH and its PUBACK do not pass through it: they are written to its line (`_Line`), and taken from it. It
# would cost 55 to 98 µs for each message, forgets Receive Maximum (B15), lets messages overtake each other
# (B16), takes a refusal for success (B19), and loses a packet of which a websocket takes only a part.

DIALS_WITHIN_S: Final = (
    20.0  # name, TCP, TLS, websocket and CONNACK together: getaddrinfo has no timeout of its own
)
STEP_WITHIN_S: Final = 5.0  # one blocking step of these
SAYS_GOODBYE_WITHIN_S: Final = 1.0
TICK_S: Final = 1.0  # paho's own clockwork: keep-alive
CHUNK_BYTES: Final = 65536
OUR_FIRST_MID: Final = 0x8000  # paho counts its own (SUBSCRIBE) from 1 and will not come so far
OUR_LAST_MID: Final = 0xFFFF
WILL_DELAY_S: Final = 15  # a short cut is nobody's business
SESSION_EXPIRY_S: Final = 24 * 3600
RECEIVE_MAXIMUM: Final = 20  # commands that the broker may send before we acknowledge
LARGEST_INCOMING: Final = 256 * 1024  # bytes of a packet: a broker of MQTT 5 keeps larger ones to itself
INCOMING_AT_MOST: Final = 256  # messages that wait for us, where the broker knows no Receive Maximum
STANDARD_WINDOW: Final = 65535  # MQTT 5, 3.2.2.3.3, where the broker names none
PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
OLD_CODES: Final = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}  # MQTT 3.1.1's CONNACK in the words of 5
PUBLISH_QOS1: Final = 0x32
PUBLISH_QOS2: Final = 0x34
PUBACK: Final = 0x40
PUBREC: Final = 0x50
ANNOUNCED_S: Final = 1  # should a broker pass on what was only announced, it does not keep it for long
CONNACK: Final = 0x20


# ── values ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is published, at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False
    expiry_s: int | None = None  # MQTT 5
    content_type: str | None = None  # MQTT 5
    correlation_data: bytes | None = None  # MQTT 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What we subscribed to. It stays with the broker until `Connection.acknowledge`."""

    topic: str
    payload: bytes
    retained: bool
    duplicate: bool
    response_topic: str | None = None
    correlation_data: bytes | None = None
    expiry_s: int | None = None
    mid: int
    qos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Why a connection is over."""

    code: int | None  # of CONNACK or DISCONNECT; None: the line broke without one
    why: str
    server_reference: str | None = None  # where the broker sends us instead: host or host:port
    person: bool = False  # the address or one of its files must be mended first
    unfit: bool = False  # the broker could not even read our CONNECT: an older protocol may do


class BrokerError(Exception):
    """The broker cannot be reached, or sent us away."""

    def __init__(self, lost: Lost) -> None:
        super().__init__(lost.why)
        self.lost = lost


class AddressUnusable(BrokerError):
    """A person must mend the address or one of its files."""

    def __init__(self, why: str) -> None:
        super().__init__(Lost(code=None, why=why, person=True))


# ── the line under paho ───────────────────────────────────────────────────────────────────────────


class _Socket(Protocol):
    """A socket, TLS socket or paho's websocket."""

    def recv(self, count: int, /) -> bytes: ...
    def send(self, data: bytes | bytearray, /) -> int: ...
    def close(self) -> None: ...
    def fileno(self) -> int: ...
    def setblocking(self, flag: bool, /) -> None: ...  # noqa: FBT001 (the socket's own)


class _Line:
    """Stands where paho expects its socket: gathers what is written, and keeps PUBACKs from it."""

    def __init__(self, under: _Socket) -> None:
        self._under = under
        self._written = bytearray()
        self._chunk: bytes | None = None  # under way: a websocket wants the very same bytes again
        self._heard = bytearray()  # packets not whole yet
        self._for_paho = bytearray()
        self._taken = 0
        self.acknowledged: list[tuple[int, int]] = []  # packet id, reason code
        self.received: list[tuple[int, int]] = []  # of what was announced: the same
        self.welcome: bytes | None = None  # the first CONNACK's variable header, as it came
        self.ended = False
        self.error: OSError | None = None

    # paho's side

    def recv(self, count: int) -> bytes:
        if self._taken >= len(self._for_paho):
            self._for_paho.clear()
            self._taken = 0
            if self.ended:
                return b""
            raise BlockingIOError
        data = bytes(self._for_paho[self._taken : self._taken + count])
        self._taken += len(data)
        return data

    def send(self, data: bytes | bytearray) -> int:
        self._written += data
        return len(data)

    def pending(self) -> int:
        return len(self._for_paho) - self._taken

    def fileno(self) -> int:
        return self._under.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001
        self._under.setblocking(flag)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.flush()  # DISCONNECT is written a moment before paho closes
        with contextlib.suppress(OSError):
            self._under.close()

    # our side

    def flush(self) -> bool:
        """Writes what the socket takes. True if all of it; raises OSError."""
        while self._written or self._chunk is not None:
            if self._chunk is None:
                self._chunk = bytes(self._written)
                self._written.clear()
            try:
                sent = self._under.send(self._chunk)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
            if sent == 0:
                return False
            self._chunk = self._chunk[sent:] or None
        return True

    @property
    def waiting_bytes(self) -> int:
        """Written, and not yet taken by the socket."""
        return len(self._written) + len(self._chunk or b"")

    def fill(self) -> None:
        """Reads what is there, and sorts it: PUBACKs for us, the rest for paho."""
        while not self.ended:
            try:
                data = self._under.recv(CHUNK_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if self._has_more():  # a websocket's own frame, and more behind it within TLS
                    continue
                break
            except OSError as error:
                self.error, self.ended = error, True
                break
            if not data:
                self.ended = True
                break
            self._heard += data  # and again: of a reset behind these bytes uvloop tells only once
        self._sort()

    def _has_more(self) -> bool:
        pending = getattr(self._under, "pending", None)
        return pending is not None and pending() > 0

    def _sort(self) -> None:
        heard, at, end = self._heard, 0, len(self._heard)
        while end - at >= 2:  # noqa: PLR2004 (fixed header)
            length, shift, body = 0, 0, at + 1
            while body < end:
                byte = heard[body]
                body += 1
                length |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80 or shift > 21:  # noqa: PLR2004 (four bytes at most; paho complains of more)
                    break
            else:
                break
            if heard[body - 1] & 0x80:
                self._for_paho += heard[at:]  # malformed: paho ends the connection
                at = end
                break
            after = body + length
            if after > end:
                break
            first = heard[at]
            if first in {PUBACK, PUBREC} and length >= 2:  # noqa: PLR2004
                code = heard[body + 2] if length > 2 else 0  # noqa: PLR2004
                codes = self.acknowledged if first == PUBACK else self.received
                codes.append((heard[body] << 8 | heard[body + 1], code))
            else:
                if first == CONNACK and self.welcome is None:
                    self.welcome = bytes(heard[body:after])
                self._for_paho += heard[at:after]
            at = after
        if at:
            del heard[:at]


class _Client(paho.Client):
    """paho's client upon our line. It closes what it opened where a handshake fails; paho forgets to."""

    line: _Line
    context: ssl.SSLContext | None = None
    _newest: socket.socket | None = None

    def _create_socket(self) -> Any:  # noqa: ANN401 (paho's SocketLike is private)
        try:
            under = cast("_Socket", super()._create_socket())
        except BaseException:
            if self._newest is not None:
                self._newest.close()
            raise
        self.line = _Line(under)
        return self.line

    def _create_socket_connection(self) -> socket.socket:
        self._newest = super()._create_socket_connection()
        self._newest.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # we gather ourselves
        return self._newest

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        if self.context is None:
            raise ValueError("TLS without a context")
        tcp_sock.settimeout(STEP_WITHIN_S)
        wrapped = self.context.wrap_socket(tcp_sock, server_hostname=self.host, do_handshake_on_connect=False)
        self._newest = wrapped
        wrapped.do_handshake()  # checks the name too: create_default_context says so
        return wrapped


# ── packets ───────────────────────────────────────────────────────────────────────────────────────


def _new_properties(kind: int) -> Properties:
    return cast("Properties", cast("Any", Properties)(kind))  # paho types its client, not its properties


@lru_cache(maxsize=64)
def _properties(content_type: str | None, expiry_s: int | None) -> bytes:
    return _pack(content_type, expiry_s, None)


def _pack(content_type: str | None, expiry_s: int | None, correlation_data: bytes | None) -> bytes:
    properties = _new_properties(PacketTypes.PUBLISH)
    if correlation_data is not None:
        properties.CorrelationData = correlation_data
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    if content_type is not None:
        properties.ContentType = content_type
        properties.PayloadFormatIndicator = 1  # UTF-8
    return bytes(cast("Any", properties).pack())


def _publish(message: Message, mid: int, version: Version, *, first: int = PUBLISH_QOS1) -> bytes:
    topic = message.topic.encode()
    if version is not Version.V5:
        properties = b""
    elif message.correlation_data is None:
        properties = _properties(message.content_type, message.expiry_s)
    else:
        properties = _pack(message.content_type, message.expiry_s, message.correlation_data)
    length = 4 + len(topic) + len(properties) + len(message.payload)
    head = bytearray((first | message.retain,))
    while length > 0x7F:  # noqa: PLR2004 (seven bits a byte)
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return b"".join(
        (head, struct.pack("!H", len(topic)), topic, struct.pack("!H", mid), properties, message.payload)
    )


# ── a connection ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What CONNACK promised."""

    session_present: bool
    receive_maximum: int
    maximum_packet_size: int | None
    retain_available: bool
    version: Version
    maximum_qos: int = 2


class Connection:
    """Stands until `lost` is done. Made by `connect`, used on the event loop only."""

    def __init__(
        self, client: _Client, version: Version, wake: Callable[[], None], *, largest: int | None
    ) -> None:
        self.welcome = Welcome(
            session_present=False,
            receive_maximum=STANDARD_WINDOW,
            maximum_packet_size=None,
            retain_available=True,
            version=version,
        )
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[Lost] = self._loop.create_future()
        self.incoming: deque[Incoming] = deque()
        self._client = client
        self._version = version
        self._wake = wake
        self._largest = largest
        self._welcomed: asyncio.Future[None] = self._loop.create_future()
        self._answers: deque[tuple[object, int]] = deque()
        self._sent: dict[int, tuple[object, float]] = {}  # oldest first
        self._mid = OUR_FIRST_MID - 1
        self._flushing = False
        self._writer = False
        self._reader: int | None = None
        self._misc: asyncio.TimerHandle | None = None
        self._goodbye: Lost | None = None
        self._granted: dict[int, asyncio.Future[list[int]]] = {}
        self._announced: dict[int, asyncio.Future[int]] = {}
        self._unacknowledged = 0  # by us
        self._deaf = False  # not read from: too much waits for us
        self._deaf_until_s = 0.0

    # ── sending

    def publish(self, message: Message, token: object) -> None:
        """Writes it; its token comes back in `answers` with the PUBACK's reason code. Nothing after `lost`.

        The caller keeps the window: no more than `welcome.receive_maximum` without an answer.
        """
        if self.lost.done():
            return
        size, besides = self._largest, len(message.correlation_data or b"")
        if (
            size is not None
            and packet_bytes(len(message.topic.encode()), len(message.payload) + besides) > size
        ):
            self._answers.append((token, OVER_SIZE))
            self._wake()
            return
        mid = self._next_mid()
        self._sent[mid] = (token, self._loop.time())
        self._client.line.send(_publish(message, mid, self._version))
        self._flush_soon()

    def answers(self) -> deque[tuple[object, int]]:
        """(token, reason code) as they came; the caller takes them out. `wake` says that there are more."""
        return self._answers

    @property
    def under_way(self) -> int:
        """Published, and no answer yet."""
        return len(self._sent)

    def oldest_unanswered_s(self) -> float:
        """For how long the oldest has waited for its PUBACK while we listened; 0 if none does."""
        if not self._sent or self._deaf:
            return 0.0
        return self._loop.time() - max(next(iter(self._sent.values()))[1], self._deaf_until_s)

    async def announce(self, topic: str) -> int:
        """Ask whether this may be published to, without publishing: the broker's reason code. BrokerError.

        A message at QoS 2, empty and not retained, that is never released: brokers that wait for the release
        (mosquitto does) show it to nobody. Each takes a place of `welcome.receive_maximum` until the end.
        """
        mid = self._next_mid()
        code: asyncio.Future[int] = self._loop.create_future()
        self._announced[mid] = code
        expiry_s = ANNOUNCED_S if self._version is Version.V5 else None
        message = Message(topic=topic, payload=b"", expiry_s=expiry_s)
        self._client.line.send(_publish(message, mid, self._version, first=PUBLISH_QOS2))
        self._flush_soon()
        either: set[asyncio.Future[Any]] = {code, self.lost}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not code.done():
            raise BrokerError(self.lost.result())
        return code.result()

    # ── receiving

    async def subscribe(self, filters: Sequence[str], *, retained: bool = False) -> list[int]:
        """Asks for these at QoS 1. The broker's reason codes, in this order. Raises BrokerError.

        What is retained there does not come with MQTT 5, and what is published to be retained says so. With
        `retained` it comes, and nothing else says that it is.
        """
        options = None
        if self._version is Version.V5 and retained:
            options = SubscribeOptions(qos=1)
        elif self._version is Version.V5:
            never = SubscribeOptions.RETAIN_DO_NOT_SEND
            options = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=never)
        wanted: list[Any] = [(each, options or 1) for each in filters]
        code, mid = self._client.subscribe(wanted)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise BrokerError(Lost(code=None, why=f"SUBSCRIBE could not be sent: {code.name}"))
        granted: asyncio.Future[list[int]] = self._loop.create_future()
        self._granted[mid] = granted
        either: set[asyncio.Future[Any]] = {granted, self.lost}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not granted.done():
            raise BrokerError(self.lost.result())
        return granted.result()

    def acknowledge(self, incoming: Incoming) -> None:
        """Sends its PUBACK; on a lost connection nothing: the broker will send it again on the next."""
        if not self.lost.done() and incoming.qos > 0:
            self._unacknowledged -= 1
            self._client.ack(incoming.mid, incoming.qos)
            self._listen_again()

    # ── ending

    async def disconnect(self) -> None:
        """DISCONNECT 0x00: the broker drops the will."""
        if not self.lost.done():
            self._client.disconnect()
            self._flush_soon()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SAYS_GOODBYE_WITHIN_S):
                    await asyncio.wait({self.lost})

    def drop(self, why: str) -> None:
        """Breaks the line, as seen from the broker: it will publish our will."""
        self._end(Lost(code=None, why=why))

    # ── the line's life

    def _stand(self) -> None:
        """The dialling thread is done with the client; from here on only the loop touches it."""
        self._reader = self._client.line.fileno()
        self._loop.add_reader(self._reader, self._read)
        self._misc = self._loop.call_later(TICK_S, self._tick)
        self._flush()
        self._read()

    def _next_mid(self) -> int:
        while True:
            self._mid = OUR_FIRST_MID if self._mid >= OUR_LAST_MID else self._mid + 1
            if self._mid not in self._sent and self._mid not in self._announced:
                return self._mid

    def _flush_soon(self, *_: object) -> None:
        if not self._flushing and self._reader is not None:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Once for a burst of messages: one system call instead of one for each."""
        self._flushing = False
        if self.lost.done():
            return
        line = self._client.line
        if self._client.want_write():
            self._check(self._client.loop_write())
        try:
            done = line.flush()
        except OSError as error:
            self._end(Lost(code=None, why=f"the line broke: {error}"))
            return
        if done == self._writer and self._reader is not None:
            if done:
                self._loop.remove_writer(self._reader)
            else:
                self._loop.add_writer(self._reader, self._flush)
            self._writer = not done

    def _read(self) -> None:
        line = self._client.line
        line.fill()
        if line.acknowledged:
            for mid, code in line.acknowledged:
                sent = self._sent.pop(mid, None)
                if sent is not None:  # else: asked for twice, or by somebody before us
                    self._answers.append((sent[0], code))
            line.acknowledged.clear()
            self._wake()
        for mid, code in line.received:
            announced = self._announced.get(mid)
            if announced is not None and not announced.done():
                announced.set_result(code)
        line.received.clear()
        if (
            line.welcome is not None
            and not self._welcomed.done()
            and self._refused_in_old_words(line.welcome)
        ):
            return
        while not self.lost.done() and line.pending():
            self._check(self._client.loop_read())
        if line.ended and not self.lost.done():
            why = "the broker closed the line" if line.error is None else f"the line broke: {line.error}"
            self._end(self._goodbye or Lost(code=None, why=why, unfit=not self._welcomed.done()))

    def _refused_in_old_words(self, welcome: bytes) -> bool:
        """An old broker answers in the words of 3.1.1, which paho misreads or keeps to itself."""
        old = len(welcome) == 2  # noqa: PLR2004 (flags and code, no properties)
        if not old or (self._version is Version.V311 and welcome[1] == 0):
            return False
        code = OLD_CODES.get(welcome[1], 0x80)
        self._end(Lost(code=code, why=f"CONNACK of MQTT 3.1.1 with code {welcome[1]}", unfit=True))
        return True

    def _tick(self) -> None:
        self._misc = self._loop.call_later(TICK_S, self._tick)
        self._check(self._client.loop_misc())
        self._flush()

    def _check(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS and not self.lost.done():
            self._end(self._goodbye or Lost(code=None, why=f"paho: {code.name}"))

    def _end(self, lost: Lost) -> None:
        if self._reader is not None:
            self._loop.remove_reader(self._reader)
            if self._writer:
                self._loop.remove_writer(self._reader)
            self._reader = None
        if self._misc is not None:
            self._misc.cancel()
        if not self.lost.done():
            self.lost.set_result(lost)
        if not self._welcomed.done():
            self._welcomed.set_exception(BrokerError(lost))
            self._welcomed.exception()  # looked at: nobody may wait for it any more
        if hasattr(self._client, "line"):
            self._client.line.close()
        self._wake()

    # ── what paho calls back, on the loop

    def _bind(self) -> None:
        client = self._client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._flush_soon
        client.on_socket_unregister_write = lambda *_: None

    def _on_connect(
        self,
        _client: object,
        _data: object,
        flags: paho.ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if code.is_failure:
            self._goodbye = Lost(
                code=code.value,
                why=f"CONNACK: {code}",
                server_reference=getattr(properties, "ServerReference", None),
            )
            self._end(self._goodbye)
            return
        self.welcome = Welcome(
            session_present=bool(flags.session_present),
            receive_maximum=getattr(properties, "ReceiveMaximum", STANDARD_WINDOW),
            maximum_packet_size=getattr(properties, "MaximumPacketSize", None),
            retain_available=bool(getattr(properties, "RetainAvailable", 1)),
            version=self._version,
            maximum_qos=getattr(properties, "MaximumQoS", 2),
        )
        bounds = [each for each in (self._largest, self.welcome.maximum_packet_size) if each is not None]
        self._largest = min(bounds, default=None)
        if not self._welcomed.done():
            self._welcomed.set_result(None)

    def _on_disconnect(
        self,
        _client: object,
        _data: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._goodbye = Lost(
                code=code.value,
                why=f"DISCONNECT: {code}",
                server_reference=getattr(properties, "ServerReference", None),
            )
        self._end(self._goodbye or Lost(code=None, why=f"the line is closed: {code}"))

    def _on_subscribe(
        self, _client: object, _data: object, mid: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        granted = self._granted.pop(mid, None)
        if granted is not None and not granted.done():
            granted.set_result([code.value for code in codes])

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        if not self._has_room_for(message):
            return
        properties = message.properties
        self.incoming.append(
            Incoming(
                topic=message.topic,
                payload=bytes(message.payload),
                retained=message.retain,
                duplicate=message.dup,
                response_topic=getattr(properties, "ResponseTopic", None),
                correlation_data=getattr(properties, "CorrelationData", None),
                expiry_s=getattr(properties, "MessageExpiryInterval", None),
                mid=message.mid,
                qos=message.qos,
            )
        )
        self._wake()

    def _has_room_for(self, message: paho.MQTTMessage) -> bool:
        """What a broker sends must not fill our memory: nothing more is read until we have caught up.

        To end the connection would help nobody: all of it would come at once again, on the next.
        """
        if message.qos == 0:
            if len(self.incoming) < INCOMING_AT_MOST:
                return True
            log.warning("broker.message_dropped", topic=message.topic, consequence="it came with QoS 0")
            return False
        self._unacknowledged += 1
        if self._unacknowledged >= INCOMING_AT_MOST and not self._deaf and self._reader is not None:
            self._deaf = True
            self._loop.remove_reader(self._reader)
        return True

    def _listen_again(self) -> None:
        if self._deaf and self._unacknowledged * 2 < INCOMING_AT_MOST and self._reader is not None:
            self._deaf, self._deaf_until_s = False, self._loop.time()
            self._loop.add_reader(self._reader, self._read)
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        """What TLS or paho holds already does not wake us."""
        if not self.lost.done():
            self._read()

    def _on_socket_close(self, *_: object) -> None:
        """Before paho closes the descriptor: a number that is used again must not be watched for us."""
        if self._reader is not None:
            self._loop.remove_reader(self._reader)
            if self._writer:
                self._loop.remove_writer(self._reader)
                self._writer = False
            self._reader = None


@asynccontextmanager
async def connect(
    address: Address,
    *,
    will: Message | None = None,
    wake: Callable[[], None] = lambda: None,
    within_s: float = DIALS_WITHIN_S,
    lasting: bool = True,
) -> AsyncIterator[Connection]:
    """A connection after its CONNACK. The block's end cuts the line, unless it was disconnected before.

    `lasting`: the broker keeps the session when the line is gone. `wake` is called on the loop whenever
    answers or messages have come, or the connection is lost. Raises BrokerError if it cannot be had, and
    AddressUnusable if a person must act first.
    """
    secure, websocket, host, port, path = _parts(address.url)
    context = await _off_loop(lambda: _tls(address)) if secure else None
    password = await _off_loop(lambda: _password(address))
    client = _new_client(address, context, password, will, path=path if websocket else None, lasting=lasting)
    connection = Connection(client, address.version, wake, largest=address.largest_packet_bytes)
    connection._bind()  # noqa: SLF001 (its maker)
    properties = None
    if address.version is Version.V5:
        properties = _new_properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_EXPIRY_S if lasting else 0
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = LARGEST_INCOMING

    def dial() -> None:
        client.connect(
            host,
            port,
            address.keepalive_s,
            clean_start=not lasting if properties is not None else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
        )

    try:
        async with asyncio.timeout(within_s):
            await _off_loop(dial, undo=lambda: _hang_up(client))
            connection._stand()  # noqa: SLF001
            await connection._welcomed  # noqa: SLF001
    except TimeoutError as error:
        connection.drop("no CONNACK in time")
        raise BrokerError(Lost(code=None, why=f"{host}:{port} did not answer within {within_s} s")) from error
    except ssl.SSLCertVerificationError as error:
        connection.drop("certificate")
        raise AddressUnusable(f"{host}:{port} is not who it says: {error.verify_message}") from error
    except (OSError, paho.WebsocketConnectionError, ValueError) as error:
        connection.drop("no line")
        raise BrokerError(Lost(code=None, why=f"{host}:{port}: {error}")) from error
    except BaseException:
        connection.drop("given up")
        raise
    try:
        yield connection
    finally:
        connection.drop("closed by us")


def _new_client(
    address: Address,
    context: ssl.SSLContext | None,
    password: str | None,
    will: Message | None,
    *,
    path: str | None,
    lasting: bool,
) -> _Client:
    """A new one for each connection: nothing of the last can come through. `path`: by websocket."""
    modern = address.version is Version.V5
    client = _Client(
        CallbackAPIVersion.VERSION2,
        client_id=address.client_id,
        protocol=MQTTProtocolVersion(address.version.value),
        clean_session=None if modern else not lasting,
        transport="tcp" if path is None else "websockets",
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.suppress_exceptions = True
    client.connect_timeout = STEP_WITHIN_S
    if context is not None:
        client.tls_set_context(context)
        client.context = context
    if path is not None:
        client.ws_set_options(path=path)
    if address.username is not None:
        client.username_pw_set(address.username, password)
    if will is not None:
        properties = None
        if modern:
            properties = _new_properties(PacketTypes.WILLMESSAGE)
            properties.WillDelayInterval = WILL_DELAY_S
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain, properties=properties)
    return client


class Dial(Protocol):
    """Reaches one broker."""

    def __call__(
        self, *, will: Message, wake: Callable[[], None], older: bool, server: str | None
    ) -> AbstractAsyncContextManager[Connection]:
        """`older`: speak MQTT 3.1.1. `server`: host or host:port, where the broker sent us instead."""
        ...


def dialling(address: Address) -> Dial:
    """Reaches this address, or where its broker sends us."""

    def dial(
        *, will: Message, wake: Callable[[], None], older: bool, server: str | None
    ) -> AbstractAsyncContextManager[Connection]:
        there = replace(address, version=Version.V311) if older else address
        if server is not None:
            there = replace(there, url=_elsewhere(address.url, server))
        return connect(there, will=will, wake=wake)

    return dial


def _elsewhere(url: str, server: str) -> str:
    """The same way to another server; a reference may name several, of which the first is taken."""
    parts = urlsplit(url)
    first = server.split(maxsplit=1)[0] if server.split() else parts.netloc
    named = urlsplit(f"//{first}")
    port = named.port or parts.port
    host = f"[{named.hostname}]" if ":" in (named.hostname or "") else named.hostname
    return parts._replace(netloc=f"{host}:{port}" if port else f"{host}").geturl()


def _hang_up(client: _Client) -> None:
    if hasattr(client, "line"):
        client.line.close()


def _parts(url: str) -> tuple[bool, bool, str, int, str]:
    """TLS, websocket, host, port, path."""
    parts = urlsplit(url)
    try:
        port = parts.port or PORTS[parts.scheme]
    except (KeyError, ValueError) as error:
        raise AddressUnusable(f"{url!r}: use mqtt://, mqtts://, ws:// or wss:// and a host") from error
    if not parts.hostname:
        raise AddressUnusable(f"{url!r} names no host")
    path = (parts.path or "/mqtt") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme in {"mqtts", "wss"}, parts.scheme in {"ws", "wss"}, parts.hostname, port, path


def _tls(address: Address) -> ssl.SSLContext:
    """Certificate and name are always checked (B14)."""
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
        if address.certificate_file is not None:
            context.load_cert_chain(address.certificate_file, address.key_file, password="")
    except (OSError, ssl.SSLError) as error:
        raise AddressUnusable(f"certificates for {address.url}: {error}") from error
    return context


def _password(address: Address) -> str | None:
    if address.password_file is None:
        return None
    try:
        return address.password_file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise AddressUnusable(f"password file {address.password_file}: {error.strerror}") from error


async def _off_loop(work: Callable[[], Any], *, undo: Callable[[], None] = lambda: None) -> Any:  # noqa: ANN401
    """Runs blocking work on a thread of its own, for which no exit waits: getaddrinfo may hang for ever.

    If the caller gives up meanwhile, `undo` runs after the work, on its thread.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    lock = threading.Lock()
    abandoned = False

    def told(result: Any, error: BaseException | None) -> None:  # noqa: ANN401
        if not done.done():
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 (told to the caller)
            error = raised
        with lock:
            if abandoned:
                undo()
                return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(told, result, error)

    threading.Thread(target=run, name="dial", daemon=True).start()
    try:
        return await done
    except asyncio.CancelledError:
        with lock:
            abandoned = True
        if done.done():
            undo()
        raise
