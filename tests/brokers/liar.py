"""A small MQTT broker that lies on demand, for all that no honest broker does in front of a test."""

import asyncio
import itertools
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Literal, Self, assert_never

from tests.brokers import packets
from tests.brokers.authority import Authority
from tests.brokers.crew import Crew
from tests.brokers.packets import (
    NONE,
    Connect,
    Disconnect,
    Frame,
    Frames,
    Kind,
    Malformed,
    Packet,
    Ping,
    Properties,
    Puback,
    Publish,
    Subscribe,
    Unsubscribe,
    Version,
)
from tests.brokers.ports import free_port
from tests.brokers.records import REFUSED_FROM, Ack, AckRule, Confirmed, Offer, Received, Violation, at_once
from tests.brokers.sessions import FOR_EVER_S, WINDOW, Delivery, Message, Session, Subscription
from tests.brokers.topics import covers, fault
from tests.brokers.waiting import SEEN_WITHIN_S, Changes

HOST = "127.0.0.1"
CHUNK = 65536
KEEP_ALIVE_GRACE = 1.5  # MQTT 5, 3.1.2.10
CLOSED_WITHIN_S = 1.0  # a peer that does not close TLS properly is not waited for

MALFORMED = 0x81
PROTOCOL_ERROR = 0x82
UNSUPPORTED_VERSION = 0x84
BAD_CLIENT_ID = 0x85
BAD_PASSWORD = 0x86
KEEP_ALIVE_TIMEOUT = 0x8D
TAKEN_OVER = 0x8E
BAD_FILTER = 0x8F
BAD_TOPIC = 0x90
TOO_MANY_AT_ONCE = 0x93
BAD_ALIAS = 0x94
TOO_LARGE = 0x95
NO_RETAIN = 0x9A
NO_QOS = 0x9B
NO_SHARED = 0x9E
LEFT_WITH_WILL = 0x04

OLD_CODES: Final = {  # MQTT 3.1.1, 3.2.2.3: it knows five ways to say no
    0x84: 1,
    0x85: 2,
    0x86: 4,
    0x87: 5,
    0x8A: 5,
    0x8C: 5,
}
OLD_UNAVAILABLE: Final = 3
GARBAGE: Final = b"\x00\xff\xff\xff\xff\xff"  # packet type 0, and a length that never ends


@dataclass(slots=True, kw_only=True)
class Connection:
    """One TCP connection, and all that was seen on it."""

    number: int
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)
    opened_at_s: float
    connect: Connect | None = None
    client_id: str = ""
    session: Session | None = field(default=None, repr=False)
    session_present: bool = False
    welcome: bool = False  # CONNACK with success is sent
    alive: bool = True
    over: bool = False  # we are done with it, though TCP may not be
    goodbye: Disconnect | None = None  # the client's
    unacknowledged: dict[int, Received] = field(default_factory=dict, repr=False)
    most_unacknowledged: int = 0
    bytes_received: int = 0
    pings: int = 0
    receive_maximum: int = WINDOW
    cut_at: int | None = None
    aliases: dict[int, str] = field(default_factory=dict, repr=False)
    frames: Frames = field(default_factory=Frames, repr=False)
    early: list[tuple[Packet, Received | None]] = field(default_factory=list, repr=False)  # before CONNACK
    hearing: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def version(self) -> Version:
        return Version.V5 if self.connect is None else self.connect.version

    def send(self, data: bytes) -> None:
        if self.hearing.is_set() and not self.over and not self.writer.is_closing():
            self.writer.write(data)

    def hang_up(self) -> None:
        """Sends what is written, then FIN."""
        self.over = True
        self.hearing.set()
        self.writer.close()

    def reset(self) -> None:
        """RST at once."""
        self.over = True
        self.hearing.set()
        reset(self.writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """Closes with RST instead of FIN: what a crash, a NAT or an angry firewall looks like."""
    line = writer.get_extra_info("socket")
    if line is not None and line.fileno() >= 0:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass(slots=True)
class _Refusal:
    code: int
    left: int | None  # None: for ever


@dataclass(slots=True)
class _Cut:
    left: int
    acknowledged: bool


class Liar:
    """An honest broker of MQTT 5, 3.1.1 and 3.1 (QoS 0 and 1) until it is told otherwise.

    `second_s` is how long its own second lasts: wills, session and message expiries run by it, so that a test
    need not wait for them. Keep-alive runs by the real one, as the client's does.
    """

    def __init__(
        self,
        *,
        tls: Authority | None = None,
        offer: Offer | None = None,
        users: Mapping[str, str] | None = None,
        second_s: float = 1.0,
    ) -> None:
        self.offer = offer or Offer()
        self.pubacks: AckRule = at_once
        self.subacks: Callable[[str], int | None] = lambda topic_filter: None  # a code instead of granting it
        self.enforce = False  # disconnect those who break the rules, besides writing it down
        self.received: list[Received] = []
        self.confirmed: list[Confirmed] = []
        self.violations: list[Violation] = []
        self.connections: list[Connection] = []
        self.retained: dict[str, Message] = {}
        self.sessions: dict[str, Session] = {}
        self.port = free_port()
        self._tls = tls
        self._users = users
        self._second_s = second_s
        self._refusal: _Refusal | None = None
        self._only_311: Literal["new code", "old code", "cut"] | None = None
        self._connack_held = False
        self._next_cut_at: int | None = None
        self._cut: _Cut | None = None
        self._withheld: list[tuple[Connection, int]] = []
        self._crew = Crew()
        self._server: asyncio.Server | None = None
        self._changes = Changes()
        self._names = itertools.count(1)

    # ── its life

    @property
    def url(self) -> str:
        return f"{'mqtt' if self._tls is None else 'mqtts'}://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        await self._crew.__aenter__()
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        await self._crew.__aexit__(kind, error, trace)

    async def start(self) -> None:
        """Listens, on the same port as before; sessions and retained messages are still there."""
        self._server = await asyncio.start_server(
            self._accept,
            HOST,
            self.port,
            ssl=None if self._tls is None else self._tls.server_context(),
            ssl_shutdown_timeout=None if self._tls is None else CLOSED_WITHIN_S,
        )

    async def stop(self) -> None:
        """As a crash: nobody listens, every connection is reset, no will is sent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self.living:
            self._leave_silently(connection)
            connection.reset()

    # ── what was seen

    @property
    def living(self) -> list[Connection]:
        return [connection for connection in self.connections if connection.alive]

    @property
    def most_unacknowledged(self) -> int:
        return max((connection.most_unacknowledged for connection in self.connections), default=0)

    def messages(self, topic_filter: str = "#") -> list[Received]:
        return [each for each in self.received if covers(topic_filter, each.topic)]

    async def until(self, predicate: Callable[[], object], *, within_s: float = SEEN_WITHIN_S) -> None:
        """Waits until it is true; looks again whenever something happens here or `happened` is called."""
        await self._changes.until(predicate, within_s=within_s, seen=self._seen)

    def happened(self) -> None:
        """Something outside changed that a test's predicate looks at."""
        self._changes.happened()

    async def published(
        self, count: int, topic_filter: str = "#", *, within_s: float = SEEN_WITHIN_S
    ) -> list[Received]:
        """At least so many messages, repeats counted."""
        await self.until(lambda: len(self.messages(topic_filter)) >= count, within_s=within_s)
        return self.messages(topic_filter)

    async def welcomed(self, count: int = 1, *, within_s: float = SEEN_WITHIN_S) -> Connection:
        """The last of at least so many connections that got a CONNACK with success."""
        await self.until(lambda: sum(each.welcome for each in self.connections) >= count, within_s=within_s)
        return [each for each in self.connections if each.welcome][-1]

    async def subscribed(self, topic_filter: str, *, within_s: float = SEEN_WITHIN_S) -> None:
        await self.until(
            lambda: any(topic_filter in session.subscriptions for session in self.sessions.values()),
            within_s=within_s,
        )

    async def quiet(self, *, within_s: float = SEEN_WITHIN_S) -> None:
        """Nobody is connected."""
        await self.until(lambda: not self.living, within_s=within_s)

    # ── lies about connecting

    def refuse(self, code: int, *, times: int | None = None) -> None:
        """Refuses CONNECT (in MQTT 3.1.1 with the nearest of its five codes)."""
        self._refusal = _Refusal(code, times)

    def accept(self) -> None:
        self._refusal = self._only_311 = None

    def only_311(self, *, answer: Literal["new code", "old code", "cut"] = "old code") -> None:
        """Knows no MQTT 5, and says so with 0x84, as an old broker would (0x01), or by hanging up."""
        self._only_311 = answer

    def hold_connack(self) -> None:
        """Accepts TCP and hears, but never says CONNACK."""
        self._connack_held = True

    def release_connack(self) -> None:
        self._connack_held = False
        for connection in self.living:
            if connection.connect is not None and not connection.welcome:
                self._answer_connect(connection, connection.connect)

    # ── lies about acknowledging

    def acknowledge(self, *, count: int | None = None, reverse: bool = False, code: int = 0) -> None:
        """Sends what the rule withheld, on the connections that still live."""
        chosen = self._withheld[:count]
        del self._withheld[:count]
        for connection, mid in reversed(chosen) if reverse else chosen:
            self._puback(connection, mid, code)

    def send_puback(self, mid: int, *, code: int = 0) -> None:
        """To everybody, asked for or not."""
        for connection in self.living:
            self._puback(connection, mid, code)

    # ── lies about the connection

    def disconnect(self, code: int, *, client_id: str | None = None, properties: Properties = NONE) -> None:
        """DISCONNECT with a reason to one client or all, then FIN; to MQTT 3.1.1 only FIN."""
        for connection in self.living:
            if client_id in {None, connection.client_id}:
                self._dismiss(connection, code, properties)

    def cut(self, *, client_id: str | None = None) -> None:
        """RST to one client or all."""
        for connection in self.living:
            if client_id in {None, connection.client_id}:
                connection.reset()

    def cut_after_bytes(self, count: int) -> None:
        """The next connection is reset as soon as so many bytes were heard; what was whole is answered."""
        self._next_cut_at = count

    def cut_after_publishes(self, count: int, *, acknowledged: bool = False) -> None:
        """Cuts at the n-th PUBLISH from now, which is taken; acknowledged (then FIN) or not (then RST)."""
        self._cut = _Cut(count, acknowledged)

    def half_open(self, *, client_id: str | None = None) -> None:
        """Keeps TCP, but neither reads nor answers any more."""
        for connection in self.living:
            if client_id in {None, connection.client_id}:
                connection.hearing.clear()
                connection.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def wake(self) -> None:
        for connection in self.living:
            if not connection.hearing.is_set():
                connection.hearing.set()
                connection.writer.transport.resume_reading()  # type: ignore[attr-defined]

    def garbage(self, data: bytes = GARBAGE) -> None:
        for connection in self.living:
            connection.send(data)

    # ── lies about what it keeps, and messages of its own

    def forget_retained(self) -> None:
        self.retained.clear()

    def forget_sessions(self) -> None:
        """Those of clients who are away."""
        for session in [each for each in self.sessions.values() if self._connected(each) is None]:
            session.rest()
            del self.sessions[session.client_id]

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, properties: Properties = NONE
    ) -> None:
        """A message to the subscribers that nobody published."""
        self._route(
            Message(
                topic=topic, payload=payload, qos=qos, retain=retain, properties=properties, at_s=self._now()
            )
        )

    # ── hearing

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(
            number=len(self.connections) + 1, reader=reader, writer=writer, opened_at_s=self._now()
        )
        connection.hearing.set()
        connection.cut_at, self._next_cut_at = self._next_cut_at, None
        self.connections.append(connection)
        self._crew.start(self._serve(connection), name=f"liar-connection-{connection.number}")
        self.happened()

    async def _serve(self, connection: Connection) -> None:
        try:
            await self._hear(connection)
        except Malformed as broken:
            self._blame(connection, str(broken))
            self._dismiss(connection, MALFORMED)
        except OSError:
            pass  # reset by the peer, or by us
        finally:
            connection.alive = False
            self._left(connection)
            self.happened()
            await self._close(connection)

    async def _close(self, connection: Connection) -> None:
        connection.writer.close()
        try:
            with suppress(OSError):
                async with asyncio.timeout(CLOSED_WITHIN_S):
                    await connection.writer.wait_closed()
        except TimeoutError:
            connection.writer.transport.abort()

    async def _hear(self, connection: Connection) -> None:
        if connection.cut_at == 0:
            connection.reset()
        while True:
            try:
                async with asyncio.timeout(self._patience_s(connection)):
                    data = await connection.reader.read(CHUNK)
            except TimeoutError:
                if not connection.hearing.is_set():
                    await connection.hearing.wait()
                    continue
                self._blame(connection, "silent for longer than its keep-alive allows")
                self._dismiss(connection, KEEP_ALIVE_TIMEOUT)
                return
            if not data:
                return
            if connection.cut_at is not None:
                data = data[: connection.cut_at - connection.bytes_received]
            connection.bytes_received += len(data)
            for frame in connection.frames.receive(data):
                await connection.hearing.wait()
                if connection.over:
                    return
                self._take(connection, frame)
                self.happened()
            if connection.bytes_received == connection.cut_at:
                connection.reset()

    def _patience_s(self, connection: Connection) -> float | None:
        if connection.connect is None or not connection.hearing.is_set():
            return None
        keep_alive_s = connection.connect.keep_alive_s
        if connection.version is Version.V5 and self.offer.server_keep_alive_s is not None:
            keep_alive_s = self.offer.server_keep_alive_s
        return keep_alive_s * KEEP_ALIVE_GRACE or None

    def _take(self, connection: Connection, frame: Frame) -> None:
        packet = packets.decode(frame, connection.version)
        largest = self.offer.maximum_packet_size
        if largest is not None and frame.size > largest and connection.version is Version.V5:
            self._blame(connection, f"{frame.kind.name} of {frame.size} bytes, {largest} allowed", TOO_LARGE)
        if connection.over:
            return
        if isinstance(packet, Connect):
            self._connect(connection, packet)
        elif connection.connect is None:
            raise Malformed(f"{frame.kind.name} before CONNECT")
        elif not connection.welcome and frame.kind is not Kind.DISCONNECT:
            received = (
                self._write_down(connection, packet, early=True) if isinstance(packet, Publish) else None
            )
            self._blame(connection, f"{frame.kind.name} before CONNACK")
            connection.early.append((packet, received))
        else:
            self._obey(connection, packet)

    def _obey(self, connection: Connection, packet: Packet) -> None:
        match packet:
            case Connect():
                raise Malformed("CONNECT twice")
            case Publish():
                self._publish(connection, packet, self._write_down(connection, packet))
            case Puback():
                self._confirm(connection, packet)
            case Subscribe():
                self._subscribe(connection, packet)
            case Unsubscribe():
                self._unsubscribe(connection, packet)
            case Disconnect():
                self._farewell(connection, packet)
            case Ping():
                connection.pings += 1
                connection.send(packets.pingresp())
            case _:
                assert_never(packet)

    # ── connecting

    def _connect(self, connection: Connection, connect: Connect) -> None:
        if connection.connect is not None:
            raise Malformed("CONNECT twice")
        connection.connect = connect
        connection.client_id = connect.client_id
        if not self._connack_held:
            self._answer_connect(connection, connect)

    def _answer_connect(self, connection: Connection, connect: Connect) -> None:
        if connect.version is Version.V5 and self._only_311 is not None:
            if self._only_311 == "new code":
                connection.send(packets.connack(UNSUPPORTED_VERSION, version=Version.V5))
            elif self._only_311 == "old code":
                connection.send(packets.connack(OLD_CODES[UNSUPPORTED_VERSION], version=Version.V311))
            connection.hang_up()
            return
        code = self._refusal_of(connect)
        if code is not None:
            old = OLD_CODES.get(code, OLD_UNAVAILABLE)
            connection.send(
                packets.connack(code if connect.version is Version.V5 else old, version=connect.version)
            )
            connection.hang_up()
            return
        self._welcome(connection, connect)

    def _refusal_of(self, connect: Connect) -> int | None:
        if self._refusal is not None and self._refusal.left != 0:
            if self._refusal.left is not None:
                self._refusal.left -= 1
            return self._refusal.code
        if self._users is not None:
            password = self._users.get(connect.username or "")
            if password is None or connect.password != password.encode():
                return BAD_PASSWORD
        if not connect.client_id and not connect.clean_start and connect.version is not Version.V5:
            return BAD_CLIENT_ID
        return None

    def _welcome(self, connection: Connection, connect: Connect) -> None:
        assigned = None
        if not connect.client_id:
            connection.client_id = assigned = self.offer.assigned_client_id or f"assigned-{next(self._names)}"
        for other in self.living:
            if other is not connection and other.welcome and other.client_id == connection.client_id:
                self._dismiss(other, TAKEN_OVER)
                self._left(other)
        session, connection.session_present = self._session(connection.client_id, connect)
        connection.session = session
        connection.receive_maximum = self.offer.receive_maximum or WINDOW
        if connect.version is not Version.V5:
            connection.receive_maximum = WINDOW
        connection.send(
            packets.connack(
                0,
                version=connect.version,
                session_present=connection.session_present and connect.version is not Version.V31,
                properties=self.offer.properties(assigned_client_id=assigned),
            )
        )
        connection.welcome = True
        for mid, delivery in list(session.on_its_way.items()):
            self._send(connection, delivery, mid=mid, dup=True)
        self._pump(connection)
        for packet, received in connection.early:
            if isinstance(packet, Publish) and received is not None:
                self._publish(connection, packet, received)
            else:
                self._obey(connection, packet)
        connection.early.clear()
        self.happened()

    def _session(self, client_id: str, connect: Connect) -> tuple[Session, bool]:
        old = self.sessions.get(client_id)
        if old is not None:
            if connect.clean_start and old.dying is not None:
                old.dying.cancel()  # the session ends, so its will goes out now
                self._die(old)
            old.rest()
        present = old is not None and not connect.clean_start
        session = old if old is not None and present else Session(client_id)
        self.sessions[client_id] = session
        if connect.version is Version.V5:
            session.expiry_s = connect.properties.session_expiry_s or 0
            if self.offer.session_expiry_s is not None:
                session.expiry_s = self.offer.session_expiry_s
            session.window = connect.properties.receive_maximum or WINDOW
        else:
            session.expiry_s = 0 if connect.clean_start else FOR_EVER_S
            session.window = WINDOW
        session.will = connect.will
        return session, present

    def _farewell(self, connection: Connection, packet: Disconnect) -> None:
        connection.goodbye = packet
        session = connection.session
        if session is not None:
            if packet.properties.session_expiry_s is not None:
                session.expiry_s = packet.properties.session_expiry_s
            if packet.code != LEFT_WITH_WILL:
                session.will = None
        connection.hang_up()

    def _left(self, connection: Connection) -> None:
        """Begins the session's expiry and the will's delay."""
        session, connection.session = connection.session, None
        if session is None:
            return
        self._withheld = [each for each in self._withheld if each[0] is not connection]
        name = f"liar-{session.client_id}"
        delay_s = min(session.will.properties.will_delay_s or 0, session.expiry_s) if session.will else 0
        if delay_s:
            session.dying = self._crew.start(self._die_later(session, delay_s), name=f"{name}-will")
        else:
            self._die(session)
        if session.expiry_s == 0:
            self.sessions.pop(session.client_id, None)
        elif session.expiry_s != FOR_EVER_S:
            session.ending = self._crew.start(self._end_later(session), name=f"{name}-expiry")

    def _leave_silently(self, connection: Connection) -> None:
        session, connection.session = connection.session, None
        if session is not None and session.expiry_s == 0:
            self.sessions.pop(session.client_id, None)

    async def _die_later(self, session: Session, delay_s: float) -> None:
        await asyncio.sleep(delay_s * self._second_s)
        session.dying = None
        self._die(session)

    async def _end_later(self, session: Session) -> None:
        await asyncio.sleep(session.expiry_s * self._second_s)
        session.ending = None
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]
            self.happened()

    def _die(self, session: Session) -> None:
        will, session.will = session.will, None
        if will is not None:
            self._route(
                Message(
                    topic=will.topic,
                    payload=will.payload,
                    qos=min(will.qos, 1),
                    retain=will.retain,
                    properties=replace(will.properties, will_delay_s=None),
                    client_id=session.client_id,
                    at_s=self._now(),
                )
            )

    # ── what a client publishes

    def _write_down(self, connection: Connection, packet: Publish, *, early: bool = False) -> Received:
        topic, alias = packet.topic, packet.properties.topic_alias
        if alias is not None:
            if not 1 <= alias <= (self.offer.topic_alias_maximum or 0):
                self._blame(connection, f"topic alias {alias}", BAD_ALIAS)
            if topic:
                connection.aliases[alias] = topic
            topic = connection.aliases.get(alias, "")
        received = Received(
            connection=connection.number,
            client_id=connection.client_id,
            topic=topic,
            payload=packet.payload,
            qos=packet.qos,
            dup=packet.dup,
            retain=packet.retain,
            mid=packet.mid,
            properties=packet.properties,
            early=early,
            at_s=self._now(),
        )
        self.received.append(received)
        self._check(connection, received)
        return received

    def _check(self, connection: Connection, received: Received) -> None:
        if not received.topic or set(received.topic) & {"#", "+", "\0"}:
            self._blame(connection, f"topic {received.topic!r}", BAD_TOPIC)
        if received.qos > 1:
            self._blame(connection, f"QoS {received.qos}")
            self._dismiss(connection, NO_QOS)
        elif received.qos > (1 if self.offer.maximum_qos is None else self.offer.maximum_qos):
            self._blame(connection, f"QoS {received.qos}", NO_QOS)
        if received.retain and self.offer.retain_available is False:
            self._blame(connection, "retain, which is not available", NO_RETAIN)
        if received.mid is None:
            return
        if received.mid == 0:
            self._blame(connection, "packet id 0", PROTOCOL_ERROR)
        if received.mid in connection.unacknowledged:
            self._blame(
                connection, f"packet id {received.mid} again before its acknowledgement", PROTOCOL_ERROR
            )
        connection.unacknowledged[received.mid] = received
        at_once_now = len(connection.unacknowledged)
        connection.most_unacknowledged = max(connection.most_unacknowledged, at_once_now)
        limit = (self.offer.receive_maximum or WINDOW) if connection.version is Version.V5 else WINDOW
        if at_once_now > limit:
            self._blame(
                connection, f"{at_once_now} unacknowledged, Receive Maximum {limit}", TOO_MANY_AT_ONCE
            )

    def _publish(self, connection: Connection, packet: Publish, received: Received) -> None:
        if connection.over:
            return  # dismissed for it
        cut = self._last_before_the_cut()
        ack = Ack() if cut else self.pubacks(received)
        if ack.code < REFUSED_FROM:
            self._route(
                Message(
                    topic=received.topic,
                    payload=packet.payload,
                    qos=packet.qos,
                    retain=packet.retain,
                    properties=replace(packet.properties, topic_alias=None),
                    client_id=connection.client_id,
                    at_s=received.at_s,
                )
            )
        if cut is not None and not cut.acknowledged:
            connection.reset()
            return
        if received.mid is not None:
            if ack.times == 0:
                self._withheld.append((connection, received.mid))
            elif ack.delay_s:
                self._crew.start(self._puback_later(connection, received.mid, ack), name="liar-late-puback")
            else:
                self._pubacks(connection, received.mid, ack)
        if cut is not None:
            connection.hang_up()

    def _last_before_the_cut(self) -> _Cut | None:
        if self._cut is None:
            return None
        self._cut.left -= 1
        if self._cut.left > 0:
            return None
        cut, self._cut = self._cut, None
        return cut

    async def _puback_later(self, connection: Connection, mid: int, ack: Ack) -> None:
        await asyncio.sleep(ack.delay_s)
        self._pubacks(connection, mid, ack)
        self.happened()

    def _pubacks(self, connection: Connection, mid: int, ack: Ack) -> None:
        for _ in range(ack.times):
            self._puback(connection, mid, ack.code)

    def _puback(self, connection: Connection, mid: int, code: int) -> None:
        connection.unacknowledged.pop(mid, None)
        connection.send(packets.puback(mid, code=code, version=connection.version))

    # ── what clients are sent

    def _route(self, message: Message) -> None:
        if message.retain and self.offer.retain_available is not False:
            if message.payload:
                self.retained[message.topic] = message
            else:
                self.retained.pop(message.topic, None)
        for session in list(self.sessions.values()):
            delivery = session.wants(message)
            if delivery is not None:
                self._deliver(session, delivery)
        self.happened()

    def _deliver(self, session: Session, delivery: Delivery) -> None:
        connection = self._connected(session)
        if delivery.qos:
            session.waiting.append(delivery)
            if connection is not None:
                self._pump(connection)
        elif connection is not None:
            self._send(connection, delivery)

    def _connected(self, session: Session) -> Connection | None:
        return next((each for each in self.connections if each.session is session and each.welcome), None)

    def _pump(self, connection: Connection) -> None:
        while connection.session is not None and (sendable := connection.session.next()) is not None:
            mid, delivery = sendable
            self._send(connection, delivery, mid=mid)

    def _send(
        self, connection: Connection, delivery: Delivery, *, mid: int | None = None, dup: bool = False
    ) -> None:
        message, expiry_s = delivery.message, delivery.message.properties.message_expiry_s
        if expiry_s is not None:
            expiry_s = max(0, expiry_s - int((self._now() - message.at_s) / self._second_s))
        data = packets.publish(
            Publish(
                topic=message.topic,
                payload=message.payload,
                qos=delivery.qos,
                retain=delivery.retain,
                dup=dup,
                mid=mid,
                properties=replace(
                    message.properties,
                    message_expiry_s=expiry_s,
                    subscription_identifiers=delivery.identifiers,
                ),
            ),
            version=connection.version,
        )
        largest = None if connection.connect is None else connection.connect.properties.maximum_packet_size
        expired = expiry_s == 0 and not dup
        if expired or (largest is not None and len(data) > largest):
            if mid is not None and connection.session is not None:
                del connection.session.on_its_way[mid]
            return
        connection.send(data)

    def _confirm(self, connection: Connection, packet: Puback) -> None:
        session = connection.session
        delivery = None if session is None else session.on_its_way.pop(packet.mid, None)
        self.confirmed.append(
            Confirmed(
                connection=connection.number,
                client_id=connection.client_id,
                mid=packet.mid,
                code=packet.code,
                topic=None if delivery is None else delivery.message.topic,
                payload=None if delivery is None else delivery.message.payload,
                at_s=self._now(),
            )
        )
        if delivery is None:
            self._blame(connection, f"PUBACK for packet id {packet.mid}, which was not sent")
        self._pump(connection)

    def _subscribe(self, connection: Connection, packet: Subscribe) -> None:
        session = connection.session
        if session is None:
            return
        codes, fresh = [], []
        for wish in packet.wishes:
            code = self.subacks(wish.topic_filter)
            if code is None and wish.topic_filter.startswith("$share/"):
                code = NO_SHARED
            if code is None and (wrong := fault(wish.topic_filter)) is not None:
                self._blame(connection, wrong)
                code = BAD_FILTER
            if code is not None:
                codes.append(code if connection.version is Version.V5 else 0x80)
                continue
            granted = replace(wish, qos=min(wish.qos, 1))
            codes.append(granted.qos)
            if wish.retain_handling == 0 or (
                wish.retain_handling == 1 and wish.topic_filter not in session.subscriptions
            ):
                fresh.append(granted)
            session.subscriptions[wish.topic_filter] = Subscription(
                wish=granted, identifiers=packet.properties.subscription_identifiers
            )
        connection.send(packets.suback(packet.mid, tuple(codes), version=connection.version))
        for wish in fresh:
            for message in list(self.retained.values()):
                if covers(wish.topic_filter, message.topic):
                    delivery = Delivery(
                        message=message,
                        qos=min(wish.qos, message.qos),
                        retain=True,
                        identifiers=packet.properties.subscription_identifiers,
                    )
                    self._deliver(session, delivery)

    def _unsubscribe(self, connection: Connection, packet: Unsubscribe) -> None:
        if connection.session is None:
            return
        gone = [connection.session.subscriptions.pop(each, None) for each in packet.topic_filters]
        codes = tuple(0x11 if each is None else 0 for each in gone)  # 0x11: there was none
        connection.send(packets.unsuback(packet.mid, codes, version=connection.version))

    # ── odds and ends

    def _blame(self, connection: Connection, what: str, code: int | None = None) -> None:
        self.violations.append(
            Violation(connection=connection.number, client_id=connection.client_id, what=what)
        )
        if self.enforce and code is not None:
            self._dismiss(connection, code)

    def _dismiss(self, connection: Connection, code: int, properties: Properties = NONE) -> None:
        if connection.version is Version.V5 and connection.connect is not None:
            connection.send(packets.disconnect(code, properties=properties))
        connection.hang_up()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _seen(self) -> str:
        return (
            f"{len(self.connections)} connections ({len(self.living)} alive), {len(self.received)} messages "
            f"{[(each.topic, each.payload[:20]) for each in self.received[-5:]]}, "
            f"violations {self.violations}"
        )
