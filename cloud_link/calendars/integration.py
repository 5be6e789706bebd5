"""Whether a cloud's calendars can be used: the life of an integration and of each room in it, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from agent.core.model import CalendarPhase, RoomId
from cloud_link.calendars import errors


class Service(StrEnum):
    """Whose calendars they are."""

    MICROSOFT = "microsoft"
    GOOGLE = "google"
    WEBEX = "webex"


# ── what is heard ─────────────────────────────────────────────────────────────────────────────────


class Outcome(StrEnum):
    """What came of a question, sorted by what it says of the integration."""

    ANSWERED = "answered"
    TRANSIENT = "transient"  # out of reach, overloaded, broken for now
    THROTTLED = "throttled"  # we ask too much
    CREDENTIAL_WRONG = "credential wrong"  # our secret or key is not taken
    CLOCK_SKEWED = "clock skewed"  # our time of day is not
    REVOKED = "revoked"  # there is no consent
    MISCONFIGURED = "misconfigured"  # what the configuration says cannot work
    DENIED = "denied"  # this room, or the directory, may not be read by us
    UNKNOWN = "unknown"  # there is no such room
    REFUSED = "refused"  # this one question was not understood: says nothing of the others


OUTCOMES: Final[Mapping[type[errors.CalendarError], Outcome]] = {
    errors.Throttled: Outcome.THROTTLED,
    errors.Transient: Outcome.TRANSIENT,
    errors.CredentialWrong: Outcome.CREDENTIAL_WRONG,
    errors.ClockSkewed: Outcome.CLOCK_SKEWED,
    errors.Revoked: Outcome.REVOKED,
    errors.Misconfigured: Outcome.MISCONFIGURED,
    errors.RoomDenied: Outcome.DENIED,
    errors.RoomsDenied: Outcome.DENIED,
    errors.RoomUnknown: Outcome.UNKNOWN,
    errors.CalendarError: Outcome.REFUSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of a question, and when (UTC); `luck` in [0, 1) spreads what is asked next."""

    outcome: Outcome
    at: datetime
    luck: float = 0.5
    retry_after_s: float | None = None
    why: str | None = None  # for a person
    mend: str | None = None  # where more is known than what is usually to be done


def answered(at: datetime) -> Said:
    """It was answered as it should be."""
    return Said(outcome=Outcome.ANSWERED, at=at)


def said_by(error: errors.CalendarError, *, at: datetime, luck: float) -> Said:
    """What an error says."""
    kind = next(outcome for of, outcome in OUTCOMES.items() if isinstance(error, of))
    retry_after_s = error.retry_after_s if isinstance(error, errors.Transient) else None
    mend = None if error.mend == type(error).default_mend else error.mend
    return Said(outcome=kind, at=at, luck=luck, retry_after_s=retry_after_s, why=str(error), mend=mend)


# ── the integration's table ───────────────────────────────────────────────────────────────────────


class Phase(StrEnum):
    """Where an integration is in its life."""

    CONNECTING = "connecting"  # consent or a credential was given, and nothing has been read yet
    ACTIVE = "active"
    DEGRADED = "degraded"  # nothing was answered several times; what was read last still counts
    DOUBTED = "doubted"  # consent was refused once: not used, and asked again some minutes later
    CREDENTIAL = "credential"  # an operator must act; nothing is forgotten
    CLOCK_SKEW = "clock_skew"  # an operator must set the clock; nothing is forgotten
    REVOKED = "revoked"  # off, and what belonged to it is wiped, until an administrator consents again


class Sign(StrEnum):
    """What an integration is moved by."""

    CONSENTED = "consented"  # an administrator has consented, or an operator has brought other settings
    READ = "read"  # a room or the directory was read
    MENDED = "mended"  # a token is given that was refused before
    UNREACHABLE = "unreachable"  # nothing was answered, UNANSWERED times in a row
    CREDENTIAL_REFUSED = "credential_refused"
    CLOCK_REFUSED = "clock_refused"
    CONSENT_REFUSED = "consent_refused"  # once, or everything is denied
    REFUSED_AGAIN = "refused_again"  # the same once more, SECOND_LOOK later at the soonest


class Deed(StrEnum):
    """What is to be done."""

    USE = "use"  # read rooms, hold subscriptions
    STOP = "stop"  # using it
    WIPE = "wipe"  # the stored token, subscriptions and state of synchronisation


@dataclass(frozen=True, slots=True)
class Move:
    """Where a sign leads, and what is to be done."""

    to: Phase
    does: tuple[Deed, ...] = ()


_STOP: Final = (Deed.STOP,)
INTEGRATION_TRANSITIONS: Final[Mapping[tuple[Phase | None, Sign], Move]] = {
    (None, Sign.CONSENTED): Move(Phase.CONNECTING),
    (Phase.CONNECTING, Sign.READ): Move(Phase.ACTIVE, (Deed.USE,)),
    (Phase.CONNECTING, Sign.CREDENTIAL_REFUSED): Move(Phase.CREDENTIAL),
    (Phase.CONNECTING, Sign.CLOCK_REFUSED): Move(Phase.CLOCK_SKEW),
    (Phase.CONNECTING, Sign.CONSENT_REFUSED): Move(Phase.DOUBTED),  # it may not have got about yet
    (Phase.ACTIVE, Sign.UNREACHABLE): Move(Phase.DEGRADED),
    (Phase.ACTIVE, Sign.CREDENTIAL_REFUSED): Move(Phase.CREDENTIAL, _STOP),
    (Phase.ACTIVE, Sign.CLOCK_REFUSED): Move(Phase.CLOCK_SKEW, _STOP),
    (Phase.ACTIVE, Sign.CONSENT_REFUSED): Move(Phase.DOUBTED, _STOP),
    (Phase.DEGRADED, Sign.READ): Move(Phase.ACTIVE),
    (Phase.DEGRADED, Sign.CREDENTIAL_REFUSED): Move(Phase.CREDENTIAL, _STOP),
    (Phase.DEGRADED, Sign.CLOCK_REFUSED): Move(Phase.CLOCK_SKEW, _STOP),
    (Phase.DEGRADED, Sign.CONSENT_REFUSED): Move(Phase.DOUBTED, _STOP),
    (Phase.DOUBTED, Sign.READ): Move(Phase.ACTIVE, (Deed.USE,)),
    (Phase.DOUBTED, Sign.MENDED): Move(Phase.CONNECTING),
    (Phase.DOUBTED, Sign.CREDENTIAL_REFUSED): Move(Phase.CREDENTIAL),
    (Phase.DOUBTED, Sign.CLOCK_REFUSED): Move(Phase.CLOCK_SKEW),
    (Phase.DOUBTED, Sign.CONSENT_REFUSED): Move(Phase.DOUBTED),  # for another reason
    (Phase.DOUBTED, Sign.REFUSED_AGAIN): Move(Phase.REVOKED, (Deed.WIPE,)),
    (Phase.DOUBTED, Sign.CONSENTED): Move(Phase.CONNECTING),
    (Phase.CREDENTIAL, Sign.READ): Move(Phase.ACTIVE, (Deed.USE,)),
    (Phase.CREDENTIAL, Sign.MENDED): Move(Phase.CONNECTING),
    (Phase.CREDENTIAL, Sign.CLOCK_REFUSED): Move(Phase.CLOCK_SKEW),
    (Phase.CREDENTIAL, Sign.CONSENT_REFUSED): Move(Phase.DOUBTED),
    (Phase.CREDENTIAL, Sign.CONSENTED): Move(Phase.CONNECTING),
    (Phase.CLOCK_SKEW, Sign.MENDED): Move(Phase.CONNECTING),
    (Phase.CLOCK_SKEW, Sign.CREDENTIAL_REFUSED): Move(Phase.CREDENTIAL),
    (Phase.CLOCK_SKEW, Sign.CONSENT_REFUSED): Move(Phase.DOUBTED),
    (Phase.CLOCK_SKEW, Sign.CONSENTED): Move(Phase.CONNECTING),
    (Phase.REVOKED, Sign.CONSENTED): Move(Phase.CONNECTING),
}

READING: Final = frozenset({Phase.CONNECTING, Phase.ACTIVE, Phase.DEGRADED})  # rooms may be listed
USED: Final = frozenset({Phase.ACTIVE, Phase.DEGRADED})  # and subscriptions held


# ── a room's table ────────────────────────────────────────────────────────────────────────────────


class RoomPhase(StrEnum):
    """What one room says to us."""

    OK = "ok"
    ACCESS_DENIED = "access_denied"
    NOT_FOUND = "not_found"
    THROTTLED = "throttled"


ROOM_TRANSITIONS: Final[Mapping[tuple[RoomPhase, Outcome], RoomPhase]] = {
    (RoomPhase.OK, Outcome.DENIED): RoomPhase.ACCESS_DENIED,
    (RoomPhase.OK, Outcome.UNKNOWN): RoomPhase.NOT_FOUND,
    (RoomPhase.OK, Outcome.THROTTLED): RoomPhase.THROTTLED,
    (RoomPhase.ACCESS_DENIED, Outcome.ANSWERED): RoomPhase.OK,
    (RoomPhase.ACCESS_DENIED, Outcome.DENIED): RoomPhase.ACCESS_DENIED,
    (RoomPhase.ACCESS_DENIED, Outcome.UNKNOWN): RoomPhase.NOT_FOUND,
    (RoomPhase.NOT_FOUND, Outcome.ANSWERED): RoomPhase.OK,
    (RoomPhase.NOT_FOUND, Outcome.DENIED): RoomPhase.ACCESS_DENIED,
    (RoomPhase.NOT_FOUND, Outcome.UNKNOWN): RoomPhase.NOT_FOUND,
    (RoomPhase.THROTTLED, Outcome.ANSWERED): RoomPhase.OK,
    (RoomPhase.THROTTLED, Outcome.DENIED): RoomPhase.ACCESS_DENIED,
    (RoomPhase.THROTTLED, Outcome.UNKNOWN): RoomPhase.NOT_FOUND,
    (RoomPhase.THROTTLED, Outcome.THROTTLED): RoomPhase.THROTTLED,
}


# ── rests ─────────────────────────────────────────────────────────────────────────────────────────


UNANSWERED: Final = 3  # questions in a row: one that is lost is nothing to speak of
SECOND_LOOK: Final = timedelta(minutes=5)  # directories of a cloud tell each other of a consent by then
LONGEST_RETRY_AFTER_S: Final = 86_400.0  # what a service asks for beyond that it does not mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A series of rests, each twice as long as the one before; the later half of each is up to luck."""

    first: timedelta
    longest: timedelta

    def after(self, said: Said, times: int) -> datetime:
        """The end of the rest after so many of them; not before the service wants to be asked again."""
        rest = min(self.longest, self.first * 2.0 ** min(times, 16)) * (0.5 + said.luck / 2)
        asked_s = min(max(0.0, said.retry_after_s or 0.0), LONGEST_RETRY_AFTER_S)
        return said.at + max(rest, timedelta(seconds=asked_s))


UNREACHABLE_RESTS: Final = Rest(first=timedelta(seconds=30), longest=timedelta(minutes=15))
CREDENTIAL_RESTS: Final = Rest(first=timedelta(minutes=5), longest=timedelta(hours=1))
CLOCK_RESTS: Final = Rest(first=timedelta(minutes=1), longest=timedelta(minutes=10))
DENIED_RESTS: Final = Rest(first=timedelta(minutes=5), longest=timedelta(hours=1))  # policies take time
THROTTLED_RESTS: Final = Rest(first=timedelta(seconds=20), longest=timedelta(minutes=10))


# ── what is known ─────────────────────────────────────────────────────────────────────────────────


class Door(StrEnum):
    """Where a question is put."""

    TOKEN = "token"  # noqa: S105 (no password)
    DIRECTORY = "directory"
    ROOM = "room"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A question that is to be put, to see whether things are better."""

    door: Door
    room: RoomId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How it stands with one room, or with the directory."""

    phase: RoomPhase = RoomPhase.OK
    since: datetime | None = None
    said_at: datetime | None = None  # when it last said yes, or last said no
    why: str | None = None
    mend: str | None = None
    times: int = 0  # that it said the same, from 0 on
    retry_at: datetime | None = None


UNASKED: Final = Access()


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """All that is known of an integration. Times are UTC."""

    service: Service
    phase: Phase
    since: datetime
    outcome: Outcome | None = None  # that led here, where it is no good one
    why: str | None = None
    mend: str | None = None
    probe: Probe | None = None  # the question that was refused, and whose answer alone mends it
    times: int = 0  # that it was put again in vain
    unanswered: int = 0  # questions in a row
    retry_at: datetime | None = None
    directory: Access = UNASKED
    rooms: Mapping[RoomId, Access] = field(default_factory=dict)
    found: frozenset[RoomId] = frozenset()  # by name: no configuration has their addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """How it stands now with a room, or with the integration as a whole (None)."""

    room: RoomId | None
    phase: CalendarPhase
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """After a word: what is known now, what is to be done, and what is to be told."""

    integration: Integration
    deeds: tuple[Deed, ...] = ()
    tells: tuple[Tell, ...] = ()


def begin(
    service: Service, rooms: Iterable[RoomId], now: datetime, *, revoked: str | None = None
) -> Integration:
    """At the start of the daemon; `revoked`: the words for its being off when the daemon stopped."""
    return Integration(
        service=service,
        phase=INTEGRATION_TRANSITIONS[None, Sign.CONSENTED].to if revoked is None else Phase.REVOKED,
        since=now,
        outcome=None if revoked is None else Outcome.REVOKED,
        mend=revoked,  # the same words again, for what was told is not told anew
        rooms=dict.fromkeys(rooms, UNASKED),
    )


def linked(integration: Integration, rooms: Iterable[RoomId], *, found: Iterable[RoomId] = ()) -> Integration:
    """With these rooms and no others, some of them `found` by name; what is known of them stays."""
    known = {room: integration.rooms.get(room, UNASKED) for room in rooms}
    return replace(integration, rooms=known, found=frozenset(found))


def is_gone(integration: Integration, room: RoomId) -> bool:
    """Whether a room's calendar is not where it was found by name: the list of rooms may know better now."""
    access = integration.rooms.get(room, UNASKED)
    return room in integration.found and access.phase is RoomPhase.NOT_FOUND


def consented(integration: Integration, now: datetime) -> Turned:
    """After an administrator has consented, or an operator has brought another credential or other settings.

    Everything that waits is asked at once. Nothing but this leads out of REVOKED.
    """
    said = answered(now)
    fresh = replace(
        integration,
        unanswered=0,
        retry_at=None,
        directory=replace(integration.directory, retry_at=None),
        rooms={room: replace(access, retry_at=None) for room, access in integration.rooms.items()},
    )
    return _told(integration, _sign(fresh, Sign.CONSENTED, said))


def stepped(integration: Integration, by: timedelta) -> Integration:
    """After the wall clock jumped: spans that are running move with it."""

    def moved(at: datetime | None) -> datetime | None:
        return None if at is None else at + by

    def all_of(access: Access) -> Access:
        return replace(
            access,
            since=moved(access.since),
            said_at=moved(access.said_at),
            retry_at=moved(access.retry_at),
        )

    return replace(
        integration,
        since=integration.since + by,
        retry_at=moved(integration.retry_at),
        directory=all_of(integration.directory),
        rooms={room: all_of(access) for room, access in integration.rooms.items()},
    )


# ── what happens ──────────────────────────────────────────────────────────────────────────────────


def token_said(integration: Integration, said: Said) -> Turned:
    """After a token was asked for. A token that is still good says nothing: report those that are fetched."""
    return _told(integration, _of_the_token(integration, said, Probe(door=Door.TOKEN)))


def directory_said(integration: Integration, said: Said) -> Turned:
    """After the directory of rooms was read.

    Where it has a token of its own (Google), a refusal of that one is Outcome.DENIED.
    """
    if integration.phase is Phase.REVOKED:
        return Turned(integration=integration)
    probe = Probe(door=Door.DIRECTORY)
    if said.outcome is Outcome.MISCONFIGURED and integration.rooms:
        said = replace(said, outcome=Outcome.UNKNOWN)  # rooms can be read without it
    if said.outcome in _OF_ONE_PLACE:
        directory = _heard(integration.directory, said)
        after = _of_what_is_read(replace(integration, directory=directory), said, probe)
    else:
        directory = replace(integration.directory, retry_at=DENIED_RESTS.after(said, 0))
        after = _of_the_token(replace(integration, directory=directory), said, probe)
    return _told(integration, after)


def room_said(integration: Integration, room: RoomId, said: Said) -> Turned:
    """After a room was listed. A room that is no longer linked says nothing."""
    access = integration.rooms.get(room)
    if access is None or integration.phase is Phase.REVOKED:
        return Turned(integration=integration)
    probe = Probe(door=Door.ROOM, room=room)
    if said.outcome is Outcome.MISCONFIGURED and any(map(_is_read, integration.rooms.values())):
        said = replace(said, outcome=Outcome.UNKNOWN)  # others can be read: it is this room's trouble
    if said.outcome in _OF_ONE_PLACE:
        heard = _heard(access, said)
        same = heard == access
        knowing = integration if same else replace(integration, rooms={**integration.rooms, room: heard})
        after = _of_what_is_read(knowing, said, probe)
    else:
        after = _of_the_token(integration, said, probe)
    return _told(integration, after, room)


_OF_ONE_PLACE: Final = frozenset({Outcome.ANSWERED, Outcome.DENIED, Outcome.UNKNOWN, Outcome.THROTTLED})


def _is_read(access: Access) -> bool:
    return access.phase is RoomPhase.OK and access.said_at is not None


def _heard(access: Access, said: Said) -> Access:
    """One room's state after its own word."""
    if access.phase is RoomPhase.OK and said.outcome is Outcome.ANSWERED:
        if access.said_at is not None and access.retry_at is None:
            return access
        first = access.said_at is None
        return replace(
            access,
            since=said.at if first else access.since,
            said_at=said.at if first else access.said_at,
            retry_at=None,
        )
    phase = ROOM_TRANSITIONS.get((access.phase, said.outcome))
    if phase is None:  # a room that is denied is asked too often: it is still denied
        times = access.times + 1
        return replace(access, times=times, retry_at=THROTTLED_RESTS.after(said, times))
    times = access.times + 1 if phase is access.phase else 0
    heard = replace(access, phase=phase, said_at=said.at, times=times)
    if phase is not access.phase:
        heard = replace(heard, since=said.at, why=said.why, mend=said.mend)
    match phase:
        case RoomPhase.OK:
            return replace(heard, why=None, mend=None, retry_at=None)
        case RoomPhase.ACCESS_DENIED | RoomPhase.NOT_FOUND:
            return replace(heard, retry_at=DENIED_RESTS.after(said, times))
        case RoomPhase.THROTTLED:
            return replace(heard, said_at=access.said_at, retry_at=THROTTLED_RESTS.after(said, times))
        case other:
            assert_never(other)


def _of_what_is_read(integration: Integration, said: Said, probe: Probe) -> Turned:
    """What a word of a room or of the directory says of the integration."""
    knowing = replace(integration, unanswered=0) if integration.unanswered else integration
    if said.outcome is Outcome.ANSWERED:
        # A token that was given before lives on for an hour: that says nothing of the next one.
        if integration.probe is not None and integration.probe.door is Door.TOKEN:
            return Turned(integration=knowing)
        return _sign(knowing, Sign.READ, said)
    if integration.phase is Phase.CREDENTIAL and integration.probe == probe:
        return _sign(knowing, Sign.MENDED, said)  # it is no longer misconfigured, whatever else it is
    if said.outcome is Outcome.DENIED and _everything_is_denied(knowing):
        return _doubted(knowing, said, probe)
    return Turned(integration=knowing)


def _of_the_token(integration: Integration, said: Said, probe: Probe) -> Turned:
    """What the word of whoever gives tokens says of the integration, or a service that is not to be had."""
    token = Probe(door=Door.TOKEN)
    match said.outcome:
        case Outcome.ANSWERED:
            mended = integration.probe == token
            return _sign(integration, Sign.MENDED, said) if mended else Turned(integration=integration)
        case Outcome.TRANSIENT | Outcome.THROTTLED:
            return _unanswered(integration, said)
        case Outcome.CREDENTIAL_WRONG:
            return _sign(integration, Sign.CREDENTIAL_REFUSED, said, token)
        case Outcome.MISCONFIGURED:
            return _sign(integration, Sign.CREDENTIAL_REFUSED, said, probe)
        case Outcome.CLOCK_SKEWED:
            return _sign(integration, Sign.CLOCK_REFUSED, said, token)
        case Outcome.REVOKED:
            return _doubted(integration, said, token)
        case Outcome.DENIED | Outcome.UNKNOWN | Outcome.REFUSED:
            if integration.phase in READING:
                return Turned(integration=integration)
            return _unanswered(integration, said)  # whoever probes is to rest all the same
        case other:
            assert_never(other)


def _unanswered(integration: Integration, said: Said) -> Turned:
    if integration.phase is Phase.REVOKED:
        return Turned(integration=integration)
    if integration.retry_at is not None and said.at < integration.retry_at:
        return Turned(integration=integration)  # asked before the others said so
    times = integration.unanswered + 1
    retry_at = integration.retry_at
    if integration.phase is not Phase.ACTIVE or said.retry_after_s is not None:
        retry_at = UNREACHABLE_RESTS.after(said, times - 1)
    counted = replace(integration, unanswered=times, retry_at=retry_at)
    if times < UNANSWERED:
        return Turned(integration=counted)
    return _sign(counted, Sign.UNREACHABLE, said)


def _doubted(integration: Integration, said: Said, probe: Probe) -> Turned:
    """Consent seems to be gone: by the token's word, or because nothing is left that we may read."""
    by_token = said.outcome is Outcome.REVOKED
    if integration.phase is Phase.DOUBTED and integration.outcome is Outcome.REVOKED and not by_token:
        return Turned(integration=integration)  # the token's word decides
    if integration.phase is not Phase.DOUBTED or integration.outcome is not said.outcome:
        return _sign(integration, Sign.CONSENT_REFUSED, said, probe)
    soonest = integration.since + SECOND_LOOK
    if said.at < soonest or not (by_token or _everything_is_denied(integration, since=soonest)):
        return Turned(integration=integration)
    return _sign(integration, Sign.REFUSED_AGAIN, said)


def _everything_is_denied(integration: Integration, *, since: datetime | None = None) -> bool:
    """Whether the directory and every room that exists deny us, and have said so since then."""

    def denies(access: Access) -> bool:
        if access.phase is not RoomPhase.ACCESS_DENIED or access.said_at is None:
            return False
        return since is None or access.said_at >= since

    rooms = [each for each in integration.rooms.values() if each.phase is not RoomPhase.NOT_FOUND]
    return bool(rooms) and denies(integration.directory) and all(map(denies, rooms))


def _sign(integration: Integration, sign: Sign, said: Said, probe: Probe | None = None) -> Turned:
    """Move by the table; what it does not know is no news, or comes too late to count."""
    move = INTEGRATION_TRANSITIONS.get((integration.phase, sign))
    if move is None:
        if integration.phase is Phase.REVOKED or probe is None:
            return Turned(integration=integration)
        return Turned(integration=_refused_again(integration, said))
    after = replace(
        integration,
        phase=move.to,
        since=said.at,
        outcome=said.outcome,
        why=said.why,
        mend=said.mend,
        probe=probe,
        times=0,
        unanswered=0,
        retry_at=_rest_in(move.to, said, 0),
    )
    match move.to:
        case Phase.CONNECTING | Phase.ACTIVE:
            after = replace(after, outcome=None, why=None, mend=None, probe=None)
        case Phase.DOUBTED:
            after = _all_asked_again(after) if said.outcome is Outcome.DENIED else after
        case Phase.REVOKED:
            wiped = dict.fromkeys(integration.rooms, UNASKED)
            after = replace(after, directory=UNASKED, rooms=wiped)
        case Phase.DEGRADED | Phase.CREDENTIAL | Phase.CLOCK_SKEW:
            pass
        case other:
            assert_never(other)
    return Turned(integration=after, deeds=move.does)


def _refused_again(integration: Integration, said: Said) -> Integration:
    """The same trouble once more: a longer rest follows, unless this was asked before the last one began."""
    if integration.retry_at is not None and said.at < integration.retry_at:
        return integration
    times = integration.times + 1
    return replace(integration, times=times, retry_at=_rest_in(integration.phase, said, times))


def _rest_in(phase: Phase, said: Said, times: int) -> datetime | None:
    match phase:
        case Phase.DEGRADED:
            return UNREACHABLE_RESTS.after(said, times)
        case Phase.DOUBTED:
            return said.at + SECOND_LOOK * (1.0 + said.luck / 5)
        case Phase.CREDENTIAL:
            return CREDENTIAL_RESTS.after(said, times)
        case Phase.CLOCK_SKEW:
            return CLOCK_RESTS.after(said, times)
        case Phase.CONNECTING | Phase.ACTIVE | Phase.REVOKED:
            return None
        case other:
            assert_never(other)


def _all_asked_again(integration: Integration) -> Integration:
    """Everybody who denies us is to say so a second time, at the second look."""
    at = integration.retry_at
    rooms = {room: replace(access, retry_at=at) for room, access in integration.rooms.items()}
    return replace(integration, directory=replace(integration.directory, retry_at=at), rooms=rooms)


# ── what is asked next ────────────────────────────────────────────────────────────────────────────


def not_before(integration: Integration, room: RoomId) -> datetime | None:
    """Until when a room is left alone; None if it is not, or while the phase is none of READING."""
    access = integration.rooms.get(room, UNASKED)
    if integration.phase not in READING or access.retry_at is None:
        return integration.retry_at if integration.phase in READING else None
    return access.retry_at if integration.retry_at is None else max(access.retry_at, integration.retry_at)


def next_probe(integration: Integration) -> datetime | None:
    """When a question is to be put besides the listing of rooms; None: never, as far as is known now."""
    return min((at for at, _ in _probes(integration)), default=None)


def probes(integration: Integration, now: datetime) -> tuple[Probe, ...]:
    """Which questions are to be put now. They stay due until what came of them is said."""
    return tuple(probe for at, probe in _probes(integration) if at <= now)


def _probes(integration: Integration) -> Iterator[tuple[datetime, Probe]]:
    directory, at = integration.directory, integration.retry_at
    match integration.phase:
        case Phase.CONNECTING | Phase.ACTIVE | Phase.DEGRADED:
            if directory.retry_at is not None:
                yield max(directory.retry_at, at or directory.retry_at), Probe(door=Door.DIRECTORY)
        case Phase.DOUBTED if integration.outcome is Outcome.DENIED:
            second = at or integration.since
            yield max(directory.retry_at or second, second), Probe(door=Door.DIRECTORY)
            for room, access in integration.rooms.items():
                yield max(access.retry_at or second, second), Probe(door=Door.ROOM, room=room)
        case Phase.DOUBTED | Phase.CREDENTIAL | Phase.CLOCK_SKEW:
            if at is not None and integration.probe is not None:
                yield at, integration.probe
        case Phase.REVOKED:
            return
        case other:
            assert_never(other)


def wants_directory(integration: Integration) -> bool:
    """Whether all rooms are denied, so that the directory's word decides whether that is everything."""
    rooms = [each.phase for each in integration.rooms.values() if each.phase is not RoomPhase.NOT_FOUND]
    return (
        integration.phase in READING
        and integration.directory.phase is not RoomPhase.ACCESS_DENIED
        and bool(rooms)
        and all(phase is RoomPhase.ACCESS_DENIED for phase in rooms)
    )


# ── what is told ──────────────────────────────────────────────────────────────────────────────────


def _told(before: Integration, after: Turned, room: RoomId | None = None) -> Turned:
    """With what is to be told: of the integration when it turned, of rooms when it turned for them."""
    now = after.integration
    turned = (before.phase, before.outcome) != (now.phase, now.outcome)
    told = [*now.rooms] if turned else [] if room is None else [room]
    tells = [
        Tell(room=each, phase=standing(now, each)[0], why=standing(now, each)[1])
        for each in told
        if _stands(before, each) != _stands(now, each)
    ]
    if turned:
        tells.insert(0, Tell(room=None, phase=calendar_phase(now.phase), why=words(now)))
    return replace(after, tells=tuple(tells))


def _stands(integration: Integration, room: RoomId) -> object:
    access = integration.rooms.get(room, UNASKED)
    return integration.phase, integration.outcome, access.phase, access.said_at is None


def calendar_phase(phase: Phase) -> CalendarPhase:
    """The phase as the core knows it: a doubt is no more than a disturbance until it is settled."""
    match phase:
        case Phase.CONNECTING:
            return CalendarPhase.CONNECTING
        case Phase.ACTIVE:
            return CalendarPhase.ACTIVE
        case Phase.DEGRADED | Phase.DOUBTED:
            return CalendarPhase.DEGRADED
        case Phase.CREDENTIAL:
            return CalendarPhase.CREDENTIAL
        case Phase.CLOCK_SKEW:
            return CalendarPhase.CLOCK_SKEW
        case Phase.REVOKED:
            return CalendarPhase.REVOKED
        case other:
            assert_never(other)


def standing(integration: Integration, room: RoomId) -> tuple[CalendarPhase, str | None]:
    """How it stands with one room, and why in words with the mend. One that is denied is never revoked."""
    access = integration.rooms.get(room, UNASKED)
    if integration.phase not in READING:
        return calendar_phase(integration.phase), words(integration)
    match access.phase:
        case RoomPhase.OK if access.said_at is None and integration.phase is Phase.ACTIVE:
            return CalendarPhase.CONNECTING, None
        case RoomPhase.OK:
            return calendar_phase(integration.phase), words(integration)
        case RoomPhase.ACCESS_DENIED | RoomPhase.NOT_FOUND | RoomPhase.THROTTLED:
            found = room in integration.found
            return CalendarPhase.DEGRADED, room_words(integration.service, access, found=found)
        case other:
            assert_never(other)


def words(integration: Integration) -> str | None:
    """Why an integration is as it is, and what to do about it; None while all is well."""
    if integration.phase is Phase.ACTIVE:
        return None
    if integration.phase in (Phase.CREDENTIAL, Phase.REVOKED):
        return f"{cause(integration)}; then: roomd calendars connect {integration.service}"
    return cause(integration)


def cause(integration: Integration) -> str:
    """The same, without the last step: what is kept of a revocation."""
    mend = integration.mend or _MENDS[integration.phase][integration.service]
    return mend if integration.why is None else f"{integration.why}; {mend}"


def room_words(service: Service, access: Access, *, found: bool = False) -> str | None:
    """Why one room is as it is, and what to do about it; None while all is well.

    `found`: by name, so that there is no address in the configuration to be checked.
    """
    if access.phase is RoomPhase.OK:
        return None
    if found and access.phase is RoomPhase.NOT_FOUND:
        mend = _FOUND_MENDS[service]
    else:
        mend = access.mend or _ROOM_MENDS[access.phase][service]
    return mend if access.why is None else f"{access.why}; {mend}"


def _the_same(mend: str) -> Mapping[Service, str]:
    return dict.fromkeys(Service, mend)


_MENDS: Final[Mapping[Phase, Mapping[Service, str]]] = {
    Phase.CONNECTING: _the_same("it is being asked for the first time: nothing to do"),
    Phase.DEGRADED: _the_same(
        "it is tried again by itself; if it lasts, check the way to the internet and the status page "
        "of the service"
    ),
    Phase.DOUBTED: _the_same(
        "it is asked again in some minutes, then taken for revoked; if nobody took the consent back, "
        "nothing to do"
    ),
    Phase.CREDENTIAL: {
        Service.MICROSOFT: "make a new client secret or certificate for the app registration in Entra, "
        "put it where the configuration says",
        Service.GOOGLE: "make a new key for the service account in the Google Cloud console, "
        "put it where the configuration says",
        Service.WEBEX: "activate the workspace integration anew in Control Hub, put the activation code "
        "where the configuration says",
    },
    Phase.CLOCK_SKEW: _the_same("set this machine's clock and keep it set (NTP); see `timedatectl`"),
    Phase.REVOKED: {
        Service.MICROSOFT: "an administrator of the tenant must consent again to the application "
        "(Entra, Enterprise applications, Permissions)",
        Service.GOOGLE: "an administrator must authorise the client id of the service account again "
        "(Admin console, Security, API controls, Domain-wide delegation)",
        Service.WEBEX: "an administrator must activate the workspace integration again (Control Hub, "
        "Workspaces, Integrations)",
    },
}
_ROOM_MENDS: Final[Mapping[RoomPhase, Mapping[Service, str]]] = {
    RoomPhase.ACCESS_DENIED: {
        Service.MICROSOFT: "put the room's mailbox into the scope of the application's access policy "
        "(Exchange, RBAC for Applications); that takes effect within some hours",
        Service.GOOGLE: "share the room's calendar with the user whom roomd acts for, with all event details",
        Service.WEBEX: "give the workspace integration access to the room's location in Control Hub",
    },
    RoomPhase.NOT_FOUND: {
        Service.MICROSOFT: "check the mailbox address in the configuration; a new room may need two days, "
        "and one on a server of your own cannot be read",
        Service.GOOGLE: "check the resource's address in the configuration against the Admin console",
        Service.WEBEX: "check the workspace in the configuration against Control Hub",
    },
    RoomPhase.THROTTLED: _the_same(
        "it is asked less often for a while; if it lasts, look for others who read the same room"
    ),
}
_FOUND_MENDS: Final[Mapping[Service, str]] = {
    Service.MICROSOFT: "it was found by the room's name: if the tenant's list of rooms does not have it any "
    "more, roomd looks for another; if it was moved, name the room's mailbox in the configuration "
    "(see roomd link)",
    Service.GOOGLE: "it was found by the room's name: share its calendar with the user whom roomd acts for; "
    "if the Admin console does not have it any more, roomd looks for another (see roomd link)",
    Service.WEBEX: "it was found by the room's name: if Control Hub does not have it any more, roomd looks "
    "for another (see roomd link)",
}
