"""Decides what an answer of the broker means, how long to rest, and how much may be under way."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

WINDOW: Final = 40  # envelopes sent and not yet settled on disk: what a crash can repeat at most
OVERDUE_S: Final = 30.0  # nobody takes longer over a PUBACK and still means to send it (B22)
STABLE_S: Final = 60.0  # a connection that lived so long was a good one
TAKEN_OVER_REST_S: Final = (
    60.0  # somebody else has our client id: two of us would throw each other out for ever
)
BESIDES_BYTES: Final = 64  # header, packet id and our few properties, generously


# ── one envelope ──────────────────────────────────────────────────────────────────────────────────


class Verdict(Enum):
    """What becomes of an envelope after its PUBACK."""

    SETTLED = "settled"  # the broker has it
    UNHEARD = "unheard"  # the broker has it, and nobody listens: settled, and an alarm
    AGAIN = "again"  # the same again after a rest, others of its stream wait
    PAUSE = "pause"  # we may not publish: everything rests, a person must act, nothing is dropped
    UNDELIVERABLE = "undeliverable"  # no rest will help: a dead letter and a gap record


PUBACKS: Final[Mapping[int, Verdict]] = {  # MQTT 5, 3.4.2.1
    0x00: Verdict.SETTLED,
    0x10: Verdict.UNHEARD,  # no matching subscribers
    0x80: Verdict.AGAIN,  # unspecified error
    0x83: Verdict.AGAIN,  # implementation specific error
    0x87: Verdict.PAUSE,  # not authorized
    0x90: Verdict.UNDELIVERABLE,  # topic name invalid
    0x91: Verdict.AGAIN,  # packet identifier in use: it will be free
    0x97: Verdict.AGAIN,  # quota exceeded
    0x95: Verdict.UNDELIVERABLE,  # packet too large: nobody sends this, we say it ourselves (OVER_SIZE)
    0x99: Verdict.UNDELIVERABLE,  # payload format invalid
}
OVER_SIZE: Final = 0x95  # packet too large: as DISCONNECT says it, and as we say it instead of sending


def judge(code: int) -> Verdict:
    """What a PUBACK's reason code means; a code that the standard does not know is tried again."""
    return PUBACKS.get(code, Verdict.SETTLED if code < 0x80 else Verdict.AGAIN)  # noqa: PLR2004 (MQTT 5, 2.4)


def packet_bytes(topic_bytes: int, payload_bytes: int) -> int:
    """How long a PUBLISH is at most."""
    return topic_bytes + payload_bytes + BESIDES_BYTES


# ── one connection ────────────────────────────────────────────────────────────────────────────────


class Ending(Enum):
    """What to do after a connection that ended, or never began."""

    RETRY = "retry"  # dial again after a rest
    REFUSED = "refused"  # dial again, but a person must act: credentials, rights, client id
    TAKEN_OVER = "taken_over"  # another connection uses our client id: a long rest, and an alarm
    OLDER = "older"  # this broker does not speak MQTT 5: dial at once with 3.1.1
    MOVED = "moved"  # dial the server that it names, this time
    MOVED_FOR_GOOD = "moved_for_good"  # and from now on


ENDINGS: Final[Mapping[int, Ending]] = {  # of CONNACK (3.2.2.2) and DISCONNECT (3.14.2.1)
    0x00: Ending.RETRY,  # the broker said good-bye
    0x80: Ending.RETRY,  # unspecified error
    0x81: Ending.RETRY,  # malformed packet
    0x82: Ending.RETRY,  # protocol error
    0x83: Ending.RETRY,  # implementation specific error
    0x84: Ending.OLDER,  # unsupported protocol version
    0x85: Ending.REFUSED,  # client identifier not valid
    0x86: Ending.REFUSED,  # bad user name or password
    0x87: Ending.REFUSED,  # not authorized
    0x88: Ending.RETRY,  # server unavailable
    0x89: Ending.RETRY,  # server busy
    0x8A: Ending.REFUSED,  # banned
    0x8B: Ending.RETRY,  # server shutting down
    0x8C: Ending.REFUSED,  # bad authentication method
    0x8D: Ending.RETRY,  # keep alive timeout
    0x8E: Ending.TAKEN_OVER,  # session taken over
    0x8F: Ending.REFUSED,  # topic filter invalid
    0x90: Ending.REFUSED,  # topic name invalid: that of our will
    0x93: Ending.RETRY,  # receive maximum exceeded
    0x94: Ending.RETRY,  # topic alias invalid
    0x95: Ending.RETRY,  # packet too large
    0x96: Ending.RETRY,  # message rate too high
    0x97: Ending.RETRY,  # quota exceeded
    0x98: Ending.REFUSED,  # administrative action
    0x99: Ending.REFUSED,  # payload format invalid: that of our will
    0x9A: Ending.REFUSED,  # retain not supported
    0x9B: Ending.REFUSED,  # QoS 1 not supported
    0x9C: Ending.MOVED,  # use another server
    0x9D: Ending.MOVED_FOR_GOOD,  # server moved
    0x9E: Ending.REFUSED,  # shared subscriptions not supported
    0x9F: Ending.RETRY,  # connection rate exceeded
    0xA0: Ending.RETRY,  # maximum connect time: some brokers renew sessions so
    0xA1: Ending.REFUSED,  # subscription identifiers not supported
    0xA2: Ending.REFUSED,  # wildcard subscriptions not supported
}


def judge_ending(code: int | None) -> Ending:
    """What a CONNACK's or DISCONNECT's reason code asks for; None: the line broke without a word."""
    return Ending.RETRY if code is None else ENDINGS.get(code, Ending.RETRY)


# ── rests ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """How long to rest after failures in a row: full jitter between `shortest_s` and a bound that doubles."""

    shortest_s: float = 1.0
    longest_s: float = 60.0

    def after(self, failures: int, luck: float) -> float:
        """Seconds; `failures` from 1 on, `luck` in [0, 1)."""
        bound = min(self.longest_s, self.shortest_s * 2.0 ** min(failures, 30))
        return self.shortest_s + luck * (bound - self.shortest_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How it went with the broker so far."""

    failures: int = 0  # in a row

    def ended(self, *, lived_s: float | None) -> Line:
        """After a connection that lived so long, or None for one that never stood."""
        return Line(failures=1 if lived_s is not None and lived_s >= STABLE_S else self.failures + 1)


def rest_s(ending: Ending, line: Line, luck: float, *, rest: Rest) -> float:
    """How long to wait before dialling again; `line` counts the failure already."""
    match ending:
        case Ending.OLDER:
            return 0.0 if line.failures == 1 else rest.after(line.failures, luck)
        case Ending.TAKEN_OVER:
            longest_s = min(TAKEN_OVER_REST_S, rest.longest_s)
            return longest_s * (1.0 + luck)
        case Ending.RETRY | Ending.REFUSED | Ending.MOVED | Ending.MOVED_FOR_GOOD:
            return rest.after(line.failures, luck)


# ── how much may be under way ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Bounds of what is under way."""

    unacknowledged: int  # sent, and no PUBACK yet
    unsettled: int  # sent, and not yet settled on disk


def window(configured: int, receive_maximum: int) -> Window:
    """The smaller of our wish and the broker's Receive Maximum; settling may lag behind by our wish."""
    return Window(unacknowledged=max(1, min(configured, receive_maximum)), unsettled=max(1, configured))


@dataclass(slots=True, kw_only=True)
class Pace:
    """A token bucket, for a broker that counts messages per second. Without `per_s` everything passes."""

    per_s: float | None = None
    tokens: float = 0.0
    at_s: float = 0.0

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next may go; 0 takes its token."""
        if self.per_s is None:
            return 0.0
        burst = max(1.0, self.per_s / 10.0)
        self.tokens = min(burst, self.tokens + (now_s - self.at_s) * self.per_s)
        self.at_s = now_s
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            return 0.0
        return (1.0 - self.tokens) / self.per_s


# ── ages ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something was: by the wall, and by the steady clock of one boot."""

    wall_ms: int
    boot: str
    steady_ms: int


def age_s(then: Moment, now: Moment) -> float:
    """By the steady clock within one boot, else by the wall; never negative, whatever the wall did (B35)."""
    if then.boot == now.boot:
        return max(0.0, (now.steady_ms - then.steady_ms) / 1000.0)
    return max(0.0, (now.wall_ms - then.wall_ms) / 1000.0)


# ── how long things take ──────────────────────────────────────────────────────────────────────────

UP_TO_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)


@dataclass(slots=True)
class Durations:
    """How many things took how long. A mutable class: it is touched for every one of them."""

    up_to_s: tuple[float, ...] = UP_TO_S
    counts: list[int] = field(default_factory=list)  # of each span, and of what took longer than all
    sum_s: float = 0.0

    def __post_init__(self) -> None:
        """Nothing was counted yet."""
        self.counts = self.counts or [0] * (len(self.up_to_s) + 1)

    def count(self, took_s: float) -> None:
        """One more."""
        self.counts[bisect_left(self.up_to_s, took_s)] += 1
        self.sum_s += took_s

    def copy(self) -> Durations:
        """As it is now."""
        return Durations(self.up_to_s, list(self.counts), self.sum_s)
