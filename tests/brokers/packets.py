"""The broker's side of MQTT 5 and 3.1.1 on the wire; shares no code with any client."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum, IntEnum
from typing import Any, Final, assert_never

VARINT_BYTES = 4  # MQTT 5, 1.5.5
CONTINUED = 0x80


class Malformed(Exception):
    """These bytes are not MQTT."""


class Version(IntEnum):
    V31 = 3
    V311 = 4
    V5 = 5


class Kind(IntEnum):
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """All properties of MQTT 5; None or empty is absent."""

    payload_format: int | None = None
    message_expiry_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_identifiers: tuple[int, ...] = ()
    session_expiry_s: int | None = None
    assigned_client_id: str | None = None
    server_keep_alive_s: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: int | None = None
    will_delay_s: int | None = None
    request_response_information: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: int | None = None
    user: tuple[tuple[str, str], ...] = ()
    maximum_packet_size: int | None = None
    wildcards_available: int | None = None
    subscription_identifiers_available: int | None = None
    shared_available: int | None = None


NONE: Final = Properties()


class _Form(Enum):
    BYTE = 1
    SHORT = 2
    LONG = 4
    VARINT = 5
    TEXT = 6
    BLOB = 7
    PAIR = 8


_FORMS: Final = {  # MQTT 5, 2.2.2.2
    1: ("payload_format", _Form.BYTE),
    2: ("message_expiry_s", _Form.LONG),
    3: ("content_type", _Form.TEXT),
    8: ("response_topic", _Form.TEXT),
    9: ("correlation_data", _Form.BLOB),
    11: ("subscription_identifiers", _Form.VARINT),
    17: ("session_expiry_s", _Form.LONG),
    18: ("assigned_client_id", _Form.TEXT),
    19: ("server_keep_alive_s", _Form.SHORT),
    21: ("authentication_method", _Form.TEXT),
    22: ("authentication_data", _Form.BLOB),
    23: ("request_problem_information", _Form.BYTE),
    24: ("will_delay_s", _Form.LONG),
    25: ("request_response_information", _Form.BYTE),
    26: ("response_information", _Form.TEXT),
    28: ("server_reference", _Form.TEXT),
    31: ("reason", _Form.TEXT),
    33: ("receive_maximum", _Form.SHORT),
    34: ("topic_alias_maximum", _Form.SHORT),
    35: ("topic_alias", _Form.SHORT),
    36: ("maximum_qos", _Form.BYTE),
    37: ("retain_available", _Form.BYTE),
    38: ("user", _Form.PAIR),
    39: ("maximum_packet_size", _Form.LONG),
    40: ("wildcards_available", _Form.BYTE),
    41: ("subscription_identifiers_available", _Form.BYTE),
    42: ("shared_available", _Form.BYTE),
}
_REPEATABLE: Final = {"user", "subscription_identifiers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties = NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    version: Version
    client_id: str
    clean_start: bool
    keep_alive_s: int
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None
    properties: Properties = NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    mid: int | None = None
    properties: Properties = NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One filter of a SUBSCRIBE, with its options."""

    topic_filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    mid: int
    wishes: tuple[Wish, ...]
    properties: Properties = NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    mid: int
    topic_filters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Puback:
    mid: int
    code: int = 0
    properties: Properties = NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    code: int = 0
    properties: Properties = NONE


@dataclass(frozen=True, slots=True)
class Ping:
    pass


Packet = Connect | Publish | Subscribe | Unsubscribe | Puback | Disconnect | Ping


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    kind: Kind
    flags: int
    body: bytes
    size: int  # with its header


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def receive(self, data: bytes) -> Iterator[Frame]:
        self._bytes += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        length = 0
        for index in range(VARINT_BYTES):
            if len(self._bytes) < index + 2:
                return None
            byte = self._bytes[index + 1]
            length |= (byte & 0x7F) << (7 * index)
            if byte < CONTINUED:
                start = index + 2
                break
        else:
            raise Malformed("remaining length longer than four bytes")
        if len(self._bytes) < start + length:
            return None
        try:
            kind = Kind(self._bytes[0] >> 4)
        except ValueError:
            raise Malformed("packet type 0") from None
        flags, body = self._bytes[0] & 0x0F, bytes(self._bytes[start : start + length])
        del self._bytes[: start + length]
        return Frame(kind=kind, flags=flags, body=body, size=start + length)


class _Cursor:
    """Reads one body from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def finished(self) -> bool:
        return self._at >= len(self._data)

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise Malformed("packet ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def varint(self) -> int:
        value = 0
        for index in range(VARINT_BYTES):
            byte = self.number(1)
            value |= (byte & 0x7F) << (7 * index)
            if byte < CONTINUED:
                return value
        raise Malformed("number longer than four bytes")

    def blob(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        try:
            text = self.blob().decode()
        except UnicodeDecodeError:
            raise Malformed("text is not UTF-8") from None
        if "\0" in text:
            raise Malformed("null in a text")
        return text

    def properties(self) -> Properties:
        inner = _Cursor(self.take(self.varint()))
        values: dict[str, Any] = {}
        while not inner.finished:
            number = inner.varint()
            if number not in _FORMS:
                raise Malformed(f"unknown property {number}")
            name, form = _FORMS[number]
            value = inner.value(form)
            if name in _REPEATABLE:
                values[name] = (*values.get(name, ()), value)
            elif name in values:
                raise Malformed(f"property {name} twice")
            else:
                values[name] = value
        return Properties(**values)

    def value(self, form: _Form) -> int | str | bytes | tuple[str, str]:
        match form:
            case _Form.BYTE | _Form.SHORT | _Form.LONG:
                return self.number(form.value)
            case _Form.VARINT:
                return self.varint()
            case _Form.TEXT:
                return self.text()
            case _Form.BLOB:
                return self.blob()
            case _Form.PAIR:
                return self.text(), self.text()
            case _:
                assert_never(form)


def decode(frame: Frame, version: Version) -> Packet:
    """What a client said; raises Malformed for what no client may say to this broker."""
    cursor = _Cursor(frame.body)
    match frame.kind:
        case Kind.CONNECT:
            return _decode_connect(cursor)
        case Kind.PUBLISH:
            return _decode_publish(frame.flags, cursor, version)
        case Kind.PUBACK:
            mid = cursor.number(2)
            code = 0 if cursor.finished else cursor.number(1)
            return Puback(mid=mid, code=code, properties=NONE if cursor.finished else cursor.properties())
        case Kind.SUBSCRIBE:
            return _decode_subscribe(cursor, version)
        case Kind.UNSUBSCRIBE:
            mid = cursor.number(2)
            if version is Version.V5:
                cursor.properties()
            filters = []
            while not cursor.finished:
                filters.append(cursor.text())
            return Unsubscribe(mid=mid, topic_filters=tuple(filters))
        case Kind.DISCONNECT:
            code = 0 if cursor.finished else cursor.number(1)
            return Disconnect(code=code, properties=NONE if cursor.finished else cursor.properties())
        case Kind.PINGREQ:
            return Ping()
        case _:
            raise Malformed(f"{frame.kind.name} from a client of a broker without QoS 2")


def _decode_connect(cursor: _Cursor) -> Connect:
    name, level = cursor.text(), cursor.number(1)
    if (name, level) not in {("MQTT", 4), ("MQTT", 5), ("MQIsdp", 3)}:
        raise Malformed(f"protocol {name!r} level {level}")
    version = Version(level)
    flags, keep_alive_s = cursor.number(1), cursor.number(2)
    if flags & 0x01:
        raise Malformed("reserved flag of CONNECT is set")
    modern = version is Version.V5
    properties = cursor.properties() if modern else NONE
    client_id = cursor.text()
    will = None
    if flags & 0x04:
        will_properties = cursor.properties() if modern else NONE
        will = Will(
            topic=cursor.text(),
            payload=cursor.blob(),
            qos=flags >> 3 & 3,
            retain=bool(flags & 0x20),
            properties=will_properties,
        )
    return Connect(
        version=version,
        client_id=client_id,
        clean_start=bool(flags & 0x02),
        keep_alive_s=keep_alive_s,
        will=will,
        username=cursor.text() if flags & 0x80 else None,
        password=cursor.blob() if flags & 0x40 else None,
        properties=properties,
    )


def _decode_publish(flags: int, cursor: _Cursor, version: Version) -> Publish:
    qos = flags >> 1 & 3
    topic = cursor.text()
    return Publish(
        topic=topic,
        qos=qos,
        retain=bool(flags & 0x01),
        dup=bool(flags & 0x08),
        mid=cursor.number(2) if qos else None,
        properties=cursor.properties() if version is Version.V5 else NONE,
        payload=cursor.rest(),
    )


def _decode_subscribe(cursor: _Cursor, version: Version) -> Subscribe:
    mid = cursor.number(2)
    properties = cursor.properties() if version is Version.V5 else NONE
    wishes = []
    while not cursor.finished:
        topic_filter, options = cursor.text(), cursor.number(1)
        wishes.append(
            Wish(
                topic_filter=topic_filter,
                qos=options & 3,
                no_local=bool(options & 0x04),
                retain_as_published=bool(options & 0x08),
                retain_handling=options >> 4 & 3,
            )
        )
    return Subscribe(mid=mid, wishes=tuple(wishes), properties=properties)


def connack(
    code: int, *, version: Version, session_present: bool = False, properties: Properties = NONE
) -> bytes:
    return _frame(Kind.CONNACK, bytes([session_present, code]) + _properties(properties, version))


def publish(packet: Publish, *, version: Version) -> bytes:
    flags = packet.dup << 3 | packet.qos << 1 | packet.retain
    mid = b"" if packet.mid is None else _number(packet.mid, 2)
    return _frame(
        Kind.PUBLISH,
        _text(packet.topic) + mid + _properties(packet.properties, version) + packet.payload,
        flags=flags,
    )


def puback(mid: int, *, code: int, version: Version) -> bytes:
    """The code goes with MQTT 5 only: 3.1.1 cannot say no."""
    return _frame(Kind.PUBACK, _number(mid, 2) + (bytes([code]) if code and version is Version.V5 else b""))


def suback(mid: int, codes: tuple[int, ...], *, version: Version) -> bytes:
    return _frame(Kind.SUBACK, _number(mid, 2) + _properties(NONE, version) + bytes(codes))


def unsuback(mid: int, codes: tuple[int, ...], *, version: Version) -> bytes:
    modern = version is Version.V5
    return _frame(
        Kind.UNSUBACK, _number(mid, 2) + (_properties(NONE, version) + bytes(codes) if modern else b"")
    )


def pingresp() -> bytes:
    return _frame(Kind.PINGRESP, b"")


def disconnect(code: int, *, properties: Properties = NONE) -> bytes:
    return _frame(Kind.DISCONNECT, bytes([code]) + _properties(properties, Version.V5))


def _frame(kind: Kind, body: bytes, *, flags: int = 0) -> bytes:
    return bytes([kind << 4 | flags]) + _varint(len(body)) + body


def _number(value: int, count: int) -> bytes:
    return value.to_bytes(count, "big")


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | CONTINUED if value else low)
        if not value:
            return bytes(out)


def _text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _number(len(data), 2) + data


def _properties(properties: Properties, version: Version) -> bytes:
    if version is not Version.V5:
        return b""
    out = b""
    for number, (name, form) in _FORMS.items():
        value = getattr(properties, name)
        for one in value if name in _REPEATABLE else () if value is None else (value,):
            out += _varint(number) + _value(one, form)
    return _varint(len(out)) + out


def _value(value: Any, form: _Form) -> bytes:  # noqa: ANN401 (the table above says which type goes with which form)
    match form:
        case _Form.BYTE | _Form.SHORT | _Form.LONG:
            return _number(value, form.value)
        case _Form.VARINT:
            return _varint(value)
        case _Form.TEXT | _Form.BLOB:
            return _text(value)
        case _Form.PAIR:
            return _text(value[0]) + _text(value[1])
        case _:
            assert_never(form)


assert {name for name, _ in _FORMS.values()} == {field.name for field in fields(Properties)}
