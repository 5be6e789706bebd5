"""The phases of a link to a device, and how long it rests after each kind of failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from device_adapters.errors import (
    CertificateRefused,
    DeviceBooting,
    DeviceBusy,
    DeviceError,
    DeviceRefused,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PasswordRefused,
    PermissionRefused,
    ServiceOff,
)


class Phase(StrEnum):
    """Where a link is in its life."""

    RESTING = "resting"  # waits before it dials, also for the first time
    DIALLING = "dialling"  # TCP, TLS and the upgrade
    GREETING = "greeting"  # says who it is, subscribes, reads current values
    HEARING = "hearing"  # the device is connected
    REFUSED = "refused"  # rests as well, and a person must act


MOVES: Mapping[Phase, frozenset[Phase]] = {
    Phase.RESTING: frozenset({Phase.DIALLING}),
    Phase.DIALLING: frozenset({Phase.GREETING, Phase.RESTING, Phase.REFUSED}),
    Phase.GREETING: frozenset({Phase.HEARING, Phase.RESTING, Phase.REFUSED}),
    Phase.HEARING: frozenset({Phase.RESTING, Phase.REFUSED}),
    Phase.REFUSED: frozenset({Phase.DIALLING}),
}


def moved(phase: Phase, to: Phase) -> Phase:
    """Go to the phase `to`; AssertionError where the table knows no such way."""
    if to not in MOVES[phase]:
        raise AssertionError(f"no way from {phase} to {to}")
    return to


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A series of rests: the first, how much longer each next one is, and the longest, in seconds."""

    first_s: float
    longest_s: float
    factor: float = 2.0


def _rests() -> Mapping[type[DeviceError], Rest]:
    return {
        DeviceUnreachable: Rest(first_s=1.0, longest_s=60.0),
        DeviceBooting: Rest(
            first_s=5.0, longest_s=5.0
        ),  # a boot takes minutes: steadily, to be there at its end
        DeviceBusy: Rest(first_s=30.0, longest_s=300.0),  # each dial would prolong the 503
        DeviceTalksNonsense: Rest(first_s=30.0, longest_s=600.0),
        CertificateRefused: Rest(first_s=300.0, longest_s=900.0),
        ServiceOff: Rest(first_s=300.0, longest_s=900.0),
        PermissionRefused: Rest(first_s=300.0, longest_s=900.0),
        PasswordRefused: Rest(first_s=30.0, longest_s=30.0),  # the second refusal: see LOGINS_BEFORE_STOP
    }


LOGINS_BEFORE_STOP = 2  # RoomOS 26.2 and newer locks the account after five failed log-ins, of all its users


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a link rests, in seconds, and when its past is forgotten."""

    rests: Mapping[type[DeviceError], Rest] = field(default_factory=_rests)
    after_refused_logins_s: float = 3600.0  # unless the credential file changes before
    look_at_credential_s: float = 30.0
    stable_after_s: float = 60.0  # a line that stood for so long was a good one
    after_bug: Rest = field(default_factory=lambda: Rest(first_s=30.0, longest_s=600.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What went wrong since the line was last stable."""

    failures: int = 0
    kind: type[DeviceError] | None = None
    refused_logins: int = 0


CLEAN = Past()


def stopped(past: Past) -> bool:
    """Whether dialling must wait for another password (or an hour)."""
    return past.refused_logins >= LOGINS_BEFORE_STOP


def phase_after(error: DeviceError) -> Phase:
    """The phase in which a link rests after `error`."""
    return Phase.REFUSED if isinstance(error, DeviceRefused) else Phase.RESTING


def after(past: Past, error: DeviceError, *, stood_s: float, patience: Patience) -> Past:
    """The past with one more failure; a line that stood for `stood_s` wiped out what was before it.

    Each kind of failure has a series of its own: the first 503 after ten broken lines is a first one.
    """
    if stood_s >= patience.stable_after_s:
        past = CLEAN
    logins = past.refused_logins + error.logins if isinstance(error, PasswordRefused) else past.refused_logins
    failures = past.failures + 1 if past.kind is type(error) else 1
    return replace(past, failures=failures, kind=type(error), refused_logins=logins)


def rest_s(past: Past, *, luck: float, patience: Patience) -> float:
    """Seconds to rest after such a past; `luck` in [0, 1) spreads them from half to one and a half."""
    if past.kind is None:
        return 0.0
    if stopped(past):
        return patience.after_refused_logins_s
    return spread(_rest_after(past.kind, patience), failures=past.failures, luck=luck)


def _rest_after(kind: type[DeviceError], patience: Patience) -> Rest:
    """That of the error, or of the kind of error that it is."""
    return next((patience.rests[each] for each in kind.__mro__ if each in patience.rests), patience.after_bug)


def spread(rest: Rest, *, failures: int, luck: float) -> float:
    """The rest in seconds after the n-th failure of a series (n from 1), spread by `luck` in [0, 1)."""
    grown = rest.first_s * rest.factor ** min(failures - 1, 30)  # 2**30 is beyond any longest rest
    return min(grown, rest.longest_s) * (0.5 + luck)
