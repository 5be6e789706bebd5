"""What the lying broker is told to say, and what it writes down of what it heard."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.brokers.packets import NONE, Properties
from tests.brokers.topics import covers

REFUSED_FROM: Final = 0x80  # codes from here on mean no


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What CONNACK promises to a client of MQTT 5; None leaves it out, then the standard's value counts."""

    receive_maximum: int | None = None
    session_expiry_s: int | None = None
    maximum_qos: int | None = 1
    maximum_packet_size: int | None = None
    retain_available: bool | None = None
    topic_alias_maximum: int | None = None
    server_keep_alive_s: int | None = None
    assigned_client_id: str | None = None  # else one is made up where the client brings none

    def properties(self, *, assigned_client_id: str | None) -> Properties:
        return Properties(
            receive_maximum=self.receive_maximum,
            session_expiry_s=self.session_expiry_s,
            maximum_qos=self.maximum_qos,
            maximum_packet_size=self.maximum_packet_size,
            retain_available=None if self.retain_available is None else int(self.retain_available),
            topic_alias_maximum=self.topic_alias_maximum,
            server_keep_alive_s=self.server_keep_alive_s,
            assigned_client_id=assigned_client_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One PUBLISH as it arrived."""

    connection: int  # numbered from 1
    client_id: str
    topic: str
    payload: bytes
    qos: int
    dup: bool
    retain: bool
    mid: int | None
    properties: Properties = NONE
    early: bool  # before this connection's CONNACK
    at_s: float  # the event loop's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """A PUBACK from a client, for what the broker had sent it."""

    connection: int
    client_id: str
    mid: int
    code: int
    topic: str | None  # None: no message of this session waits for this id
    payload: bytes | None
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something that a client must not do."""

    connection: int
    client_id: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """How to acknowledge one PUBLISH. A code from 0x80 on also means that the message goes nowhere."""

    code: int = 0
    delay_s: float = 0.0
    times: int = 1  # 0 withholds it until `Liar.acknowledge`


AckRule = Callable[[Received], Ack]


def at_once(received: Received) -> Ack:
    return Ack()


def withheld(received: Received) -> Ack:
    return Ack(times=0)


def twice(received: Received) -> Ack:
    return Ack(times=2)


def late(delay_s: float | Callable[[Received], float]) -> AckRule:
    """The same delay keeps the order; a delay that differs by message does not."""

    def rule(received: Received) -> Ack:
        return Ack(delay_s=delay_s(received) if callable(delay_s) else delay_s)

    return rule


def refusing(
    code: int,
    *,
    topic_filter: str = "#",
    after: int = 0,
    times: int | None = None,
    otherwise: AckRule = at_once,
) -> AckRule:
    """Answers `code` on matching topics: not to the first `after` of them, and to `times` of them at most."""
    seen = 0

    def rule(received: Received) -> Ack:
        nonlocal seen
        if not covers(topic_filter, received.topic):
            return otherwise(received)
        seen += 1
        if seen <= after or (times is not None and seen > after + times):
            return otherwise(received)
        return Ack(code=code)

    return rule
