"""Seals what the cloud is told as bytes: facts as CloudEvents, answers, the latest of a room or the agent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, Protocol, TypeVar, assert_never

from msgspec import UNSET, UnsetType
from msgspec.json import Encoder

from agent.core.agenda import agenda
from agent.core.facts import (
    AttendanceFact,
    BookingFact,
    CalendarFact,
    DayFact,
    DeviceFact,
    Fact,
    FactKind,
    HoldFact,
    OccupancyFact,
    ReleaseFact,
    UseFact,
)
from agent.core.model import (
    NOTHING_KNOWN,
    AgentId,
    Booking,
    BookingKey,
    CalendarPhase,
    CalendarState,
    DevicePhase,
    DeviceState,
    Evidence,
    Hold,
    HoldPhase,
    Occupancy,
    ReleasePhase,
    Room,
    RoomId,
    SensorPhase,
    SensorState,
    SiteId,
)
from agent.core.orders import Answer
from cloud_link import address, contract
from cloud_link.contract import AgentState, CalendarService, ClockState, RoomReach

SLUG: Final = re.compile(address.SLUG)
ROOT: Final = re.compile(r"[^\s/+#$\x00][^\s/+#\x00]*(/[^\s/+#\x00]+)*")
SLASHES_AT_MOST: Final = 7  # AWS IoT Core
BYTES_AT_MOST: Final = 256  # AWS IoT Core and Azure Event Grid
LONGEST_TAIL: Final = (
    f"rooms/{'r' * 63}/commands/{'c' * 32}"  # no topic of the contract is longer below its base
)

MINUTE: Final = timedelta(minutes=1)

_encode = Encoder().encode


# ── where things go ───────────────────────────────────────────────────────────────────────────────


def _slug(what: str, value: str) -> str:
    if SLUG.fullmatch(value) is None:
        raise ValueError(
            f"{what} {value!r} cannot stand in a topic: use 1 to 63 of a-z, 0-9 and -, and no - at the start"
        )
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Whose topics these are. Refuses names that no broker could carry."""

    site: SiteId
    agent: AgentId
    root: str = "roomd"

    def __post_init__(self) -> None:
        _slug("site", self.site)
        _slug("agent", self.agent)
        if ROOT.fullmatch(self.root) is None:
            raise ValueError(
                f"root {self.root!r} cannot begin a topic: use words with / between them, without spaces, "
                "+ or #, and no $ at the start"
            )
        longest = f"{self.base}/{LONGEST_TAIL}"
        if longest.count("/") > SLASHES_AT_MOST or len(longest.encode()) > BYTES_AT_MOST:
            raise ValueError(
                f"root {self.root!r} makes topics that some brokers refuse (at most {SLASHES_AT_MOST} "
                f"slashes and {BYTES_AT_MOST} bytes): use a shorter one"
            )

    @property
    def base(self) -> str:
        """What every topic of the site begins with."""
        return f"{self.root}/v1/{self.site}"

    @property
    def status(self) -> str:
        """Where the agent's birth and death are kept."""
        return f"{self.base}/agents/{self.agent}/status"

    @property
    def health(self) -> str:
        """Where the agent's health is kept."""
        return f"{self.base}/agents/{self.agent}/health"

    def availability(self, room: RoomId) -> str:
        """Where it is kept whether a room is heard."""
        return f"{self.base}/rooms/{_slug('room', room)}/availability"

    def state(self, room: RoomId) -> str:
        """Where a room's latest state is kept."""
        return f"{self.base}/rooms/{_slug('room', room)}/state"

    def room_events(self, room: RoomId, noun: str) -> str:
        """Where a room's events about such a thing go."""
        return f"{self.base}/rooms/{_slug('room', room)}/events/{noun}"

    def agent_events(self, noun: str) -> str:
        """Where the agent's events about such a thing go."""
        return f"{self.base}/agents/{self.agent}/events/{noun}"

    @property
    def commands(self) -> tuple[str, str]:
        """Filters of the topics where commands come."""
        return f"{self.base}/rooms/+/commands/+", f"{self.base}/agents/{self.agent}/commands/+"

    def responses(self, stream: str) -> str:
        """Where answers go whose command names no place for them; `stream` is one of answers."""
        return f"{self.base}/{stream}"


@lru_cache(maxsize=8192)
def _room_events(site: Site, room: RoomId, noun: str) -> str:
    return site.room_events(room, noun)


def room_stream(room: RoomId) -> str:
    """The name under which a room's events are numbered."""
    return f"rooms/{room}"


def agent_stream(agent: AgentId) -> str:
    """The name under which the agent's own events are numbered."""
    return f"agents/{agent}"


ANSWERS: Final = "/responses"


def answers_of(stream: str) -> str:
    """The name under which the answers to a room's or the agent's commands are numbered.

    A stream of their own: one that a broker refuses to carry to its Response Topic holds up no events.
    """
    return f"{stream}{ANSWERS}"


# ── what is sealed ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Postage:
    """What goes along with an answer, with MQTT 5."""

    correlation: bytes | None = None
    expiry_s: int | None = None  # after it, nobody waits for the answer any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A fact or an answer as bytes: every retry sends the same."""

    stream: str  # `rooms/{room}` or `agents/{agent}`: numbered without gaps, sent in order
    number: int
    id: str  # `{epoch}-{number}`: unique within its stream
    topic: str
    payload: bytes
    kind: str  # `noun.past`
    postage: Postage | None = None  # of an answer


class AgentFactKind(StrEnum):
    """`noun.past` of what the agent tells about itself."""

    OUTBOX_GAP = "outbox.gap"
    OUTBOX_RESET = "outbox.reset"
    CALENDAR_CONNECTED = "calendar.connected"
    CALENDAR_DEGRADED = "calendar.degraded"
    CALENDAR_REVOKED = "calendar.revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxGap:
    """Envelopes were dropped: `count` of those numbered `first` to `last`."""

    at: datetime
    stream: str
    epoch: str
    first: int
    last: int
    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxReset:
    """The database was rescued: numbers start anew, under the epoch that this is sealed with."""

    at: datetime
    previous_epoch: str | None
    salvaged: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarsTurned:
    """Whether the calendars of a service can be read has changed, for all rooms."""

    at: datetime
    kind: AgentFactKind
    service: CalendarService
    phase: CalendarPhase
    why: str | None  # with the mend


AgentFact = OutboxGap | OutboxReset | CalendarsTurned

CALENDARS_TELL: Final[Mapping[CalendarPhase, AgentFactKind | None]] = {
    CalendarPhase.CONNECTING: None,
    CalendarPhase.ACTIVE: AgentFactKind.CALENDAR_CONNECTED,
    CalendarPhase.DEGRADED: AgentFactKind.CALENDAR_DEGRADED,
    CalendarPhase.CREDENTIAL: AgentFactKind.CALENDAR_DEGRADED,
    CalendarPhase.CLOCK_SKEW: AgentFactKind.CALENDAR_DEGRADED,
    CalendarPhase.REVOKED: AgentFactKind.CALENDAR_REVOKED,
}


def calendars_turned(
    service: str, phase: CalendarPhase, *, why: str | None, at: datetime
) -> CalendarsTurned | None:
    """What the cloud is told when the calendars of a service turn so; None for what is no news."""
    kind = CALENDARS_TELL[phase]
    if kind is None:
        return None
    return CalendarsTurned(at=at, kind=kind, service=CalendarService(service), phase=phase, why=why)


class PrivateField(StrEnum):
    """The fields of a booking that tell about people; descriptions and invitees do not reach us yet."""

    TITLE = "title"
    ORGANIZER = "organizer"
    JOIN = "join"


class Privacy(Protocol):
    """What becomes of a private field on its way out."""

    def __call__(
        self, field: PrivateField, value: str, /, *, booking: BookingKey, private: bool
    ) -> str | None:
        """The value as the cloud may have it; the same for the same arguments while it is remembered."""
        ...


EVENTS: Final[Mapping[FactKind | AgentFactKind, Callable[..., contract.CloudEvent]]] = {
    FactKind.BOOKING_REQUESTED: contract.BookingRequested,
    FactKind.BOOKING_CONFIRMED: contract.BookingConfirmed,
    FactKind.BOOKING_FAILED: contract.BookingFailed,
    FactKind.BOOKING_EXPIRED: contract.BookingExpired,
    FactKind.BOOKING_MOVED: contract.BookingMoved,
    FactKind.BOOKING_UPDATED: contract.BookingUpdated,
    FactKind.BOOKING_STARTED: contract.BookingStarted,
    FactKind.BOOKING_CHECKED_IN: contract.BookingCheckedIn,
    FactKind.BOOKING_ENDED: contract.BookingEnded,
    FactKind.BOOKING_DELETED: contract.BookingDeleted,
    FactKind.BOOKING_ATTENDED: contract.BookingAttended,
    FactKind.BOOKING_DESERTED: contract.BookingDeserted,
    FactKind.BOOKING_GHOST: contract.BookingGhost,
    FactKind.BOOKING_LEFT_EARLY: contract.BookingLeftEarly,
    FactKind.BOOKING_JUDGED: contract.BookingJudged,
    FactKind.BOOKING_RELEASED: contract.BookingReleased,
    FactKind.BOOKING_UNCLAIMED: contract.BookingUnclaimed,
    FactKind.BOOKING_KEPT: contract.BookingKept,
    FactKind.BOOKING_RELEASE_FAILED: contract.BookingReleaseFailed,
    FactKind.ROOM_USED_UNBOOKED: contract.RoomUsedUnbooked,
    FactKind.ROOM_DAY: contract.RoomDay,
    FactKind.OCCUPANCY_CHANGED: contract.OccupancyChanged,
    FactKind.HOLD_PLACED: contract.HoldPlaced,
    FactKind.HOLD_SHOWN: contract.HoldShown,
    FactKind.HOLD_ANSWERED: contract.HoldAnswered,
    FactKind.HOLD_EXTENDED: contract.HoldExtended,
    FactKind.HOLD_ENDED: contract.HoldEnded,
    FactKind.HOLD_FAILED: contract.HoldFailed,
    FactKind.DEVICE_CONNECTED: contract.DeviceConnected,
    FactKind.DEVICE_LOST: contract.DeviceLost,
    FactKind.DEVICE_REFUSED: contract.DeviceRefused,
    FactKind.DEVICE_REBOOTED: contract.DeviceRebooted,
    FactKind.DEVICE_UPGRADED: contract.DeviceUpgraded,
    FactKind.DEVICE_MISCONFIGURED: contract.DeviceMisconfigured,
    FactKind.CALENDAR_CONNECTED: contract.CalendarConnected,
    FactKind.CALENDAR_DEGRADED: contract.CalendarDegraded,
    FactKind.CALENDAR_REVOKED: contract.CalendarRevoked,
    FactKind.CALENDAR_SWITCHED: contract.CalendarSwitched,
    AgentFactKind.OUTBOX_GAP: contract.OutboxGap,
    AgentFactKind.OUTBOX_RESET: contract.OutboxReset,
    AgentFactKind.CALENDAR_CONNECTED: contract.CalendarConnected,
    AgentFactKind.CALENDAR_DEGRADED: contract.CalendarDegraded,
    AgentFactKind.CALENDAR_REVOKED: contract.CalendarRevoked,
}


def seal(
    fact: Fact,
    *,
    room: RoomId,
    site: Site,
    epoch: str,
    number: int,
    recorded_at: datetime,
    clock: ClockState,
    privacy: Privacy,
) -> Envelope:
    """The fact as it will be sent, however often."""
    subject: str
    data: (
        contract.BookingData
        | contract.RoomUseData
        | contract.RoomDayData
        | contract.OccupancyData
        | contract.DeviceData
        | contract.HoldData
        | contract.CalendarData
        | contract.CalendarSwitchedData
    )
    match fact:
        case BookingFact():
            subject, data = fact.booking.key, _booking_data(fact, privacy)
        case AttendanceFact():
            subject, data = fact.booking.key, _attendance_data(fact, privacy)
        case UseFact():
            subject, data = room, _use_data(fact)
        case ReleaseFact():
            subject, data = fact.booking.key, _release_data(fact, privacy)
        case DayFact():
            subject, data = room, _day_data(fact)
        case OccupancyFact():
            subject, data = room, _occupancy_data(fact)
        case DeviceFact():
            subject, data = fact.device.id, _device_data(fact)
        case HoldFact():
            subject, data = fact.hold.id, _hold_data(fact)
        case CalendarFact():
            subject, data = _calendar_fact(fact, room)
        case _:
            assert_never(fact)
    kind = fact.kind.value
    noun = kind.partition(".")[0]
    event = EVENTS[fact.kind](
        specversion="1.0",
        id=f"{epoch}-{number}",
        source=f"/sites/{site.site}/rooms/{room}",
        subject=subject,
        time=_time(fact.at),
        sequence=str(number),
        recordedtime=_time(recorded_at),
        recovered=fact.recovered,
        clock=clock,
        data=data,
    )
    return Envelope(
        stream=room_stream(room),
        number=number,
        id=event.id,
        topic=_room_events(site, room, noun),
        payload=_encode(event),
        kind=kind,
    )


def seal_own(
    fact: AgentFact,
    *,
    site: Site,
    epoch: str,
    number: int,
    recorded_at: datetime,
    clock: ClockState,
) -> Envelope:
    """What the agent tells about itself, as it will be sent, however often."""
    kind: AgentFactKind
    data: contract.OutboxGapData | contract.OutboxResetData | contract.CalendarData
    match fact:
        case OutboxGap():
            kind, subject = AgentFactKind.OUTBOX_GAP, fact.stream
            data = contract.OutboxGapData(
                stream=fact.stream,
                epoch=fact.epoch,
                first=fact.first,
                last=fact.last,
                count=fact.count,
                reason=fact.reason,
            )
        case OutboxReset():
            kind, subject = AgentFactKind.OUTBOX_RESET, site.agent
            data = contract.OutboxResetData(
                epoch=epoch,
                previous_epoch=fact.previous_epoch,
                salvaged=fact.salvaged,
                reason=fact.reason,
            )
        case CalendarsTurned():
            kind, subject = fact.kind, fact.service
            data = contract.CalendarData(
                calendar=fact.service,
                phase=fact.phase,
                since=_time(fact.at),
                listed_at=None,
                why=fact.why,
                cause=fact.why,
            )
        case _:
            assert_never(fact)
    noun = kind.value.partition(".")[0]
    event = EVENTS[kind](
        specversion="1.0",
        id=f"{epoch}-{number}",
        source=f"/sites/{site.site}/agents/{site.agent}",
        subject=subject,
        time=_time(fact.at),
        sequence=str(number),
        recordedtime=_time(recorded_at),
        recovered=False,
        clock=clock,
        data=data,
    )
    return Envelope(
        stream=agent_stream(site.agent),
        number=number,
        id=event.id,
        topic=site.agent_events(noun),
        payload=_encode(event),
        kind=kind.value,
    )


# ── answers ───────────────────────────────────────────────────────────────────────────────────────

ANSWERED: Final = "command.answered"  # the kind of their envelopes


def answer_body(answer: Answer) -> bytes:
    """What whoever gave the command reads; the same for the same answer."""
    return _answer_body(answer.command, answer)


def nameless_answer_body(answer: Answer) -> bytes:
    """The same for a command whose id could not be read."""
    return _answer_body(None, answer)


def _answer_body(command: str | None, answer: Answer) -> bytes:
    return _encode(
        contract.CommandAnswer(
            command_id=command,
            status=answer.status,
            reason=answer.reason,
            at=_time(answer.at),
            result=None if answer.result is None else _plain_result(answer.result),
        )
    )


def _plain_result(result: Mapping[str, object]) -> dict[str, str | int | float | bool | None]:
    plain: dict[str, str | int | float | bool | None] = {}
    for name, value in result.items():
        if isinstance(value, datetime):
            plain[name] = _time(value)
        elif value is None or isinstance(value, str | int | float):
            plain[name] = value
        else:
            raise ValueError(f"{name} of an answer is a {type(value).__name__}: use text, numbers or null")
    return plain


def seal_answer(
    body: bytes, *, stream: str, topic: str, postage: Postage, epoch: str, number: int
) -> Envelope:
    """An answer as it will be sent, however often. `stream` is one of answers."""
    return Envelope(
        stream=stream,
        number=number,
        id=f"{epoch}-{number}",
        topic=topic,
        payload=body,
        kind=ANSWERED,
        postage=postage,
    )


# ── the parts of a fact ───────────────────────────────────────────────────────────────────────────

Value = TypeVar("Value")
BookingShape = TypeVar("BookingShape", bound=contract.BookingData)
OccupancyShape = TypeVar("OccupancyShape", bound=contract.OccupancyValues)
HoldShape = TypeVar("HoldShape", bound=contract.HoldValues)
STANDING = frozenset({HoldPhase.DUE, HoldPhase.SHOWN})
DeviceShape = TypeVar("DeviceShape", bound=contract.DeviceValues)
CalendarShape = TypeVar("CalendarShape", bound=contract.CalendarValues)


@lru_cache(maxsize=256)  # what arrives together has the same moment, and all of it is recorded at one
def _time(at: datetime) -> str:
    if at.tzinfo is not UTC:
        if at.tzinfo is None:
            raise ValueError(f"{at.isoformat()} has no time zone: nobody could tell when that was")
        at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"  # without its "+00:00"


def _time_or_none(at: datetime | None) -> str | None:
    return None if at is None else _time(at)


def _booking_data(fact: BookingFact, privacy: Privacy) -> contract.BookingData:
    booking = fact.booking
    match fact.kind:
        case FactKind.BOOKING_CONFIRMED:
            return _booking(contract.BookingConfirmedData, booking, privacy, after_s=_after_s(fact))
        case FactKind.BOOKING_FAILED:
            return _booking(contract.BookingFailedData, booking, privacy, cause=fact.cause)
        case FactKind.BOOKING_DELETED:
            return _booking(contract.BookingDeletedData, booking, privacy, cause=fact.cause)
        case FactKind.BOOKING_MOVED | FactKind.BOOKING_UPDATED:
            previous = None if fact.previous is None else _previous(fact.previous, booking, privacy)
            return _booking(contract.BookingChangedData, booking, privacy, previous=previous)
        case _:
            return _booking(contract.BookingData, booking, privacy)


def _attendance_data(
    fact: AttendanceFact, privacy: Privacy
) -> contract.BookingAttendanceData | contract.BookingVerdictData:
    attendance = fact.attendance
    known: dict[str, object] = {
        "came": attendance.came_at is not None,
        "came_at": _time_or_none(attendance.came_at),
        "seen_at": _time_or_none(attendance.seen_at),
        "empty_since": _time_or_none(attendance.deserted_since),
        "evidence": tuple(_evidence(each, fact.at) for each in attendance.evidence),
        "minutes_known": _in_minutes(fact.known),
        "minutes_unknown": _in_minutes(fact.unknown),
        "people_peak": attendance.people_peak,
    }
    if attendance.outcome is None:
        return _booking(contract.BookingAttendanceData, fact.booking, privacy, **known)
    return _booking(
        contract.BookingVerdictData,
        fact.booking,
        privacy,
        **known,
        outcome=attendance.outcome,
        minutes_freed=None if fact.freed is None else _in_minutes(fact.freed),
    )


def _use_data(fact: UseFact) -> contract.RoomUseData:
    return contract.RoomUseData(
        starts_at=_time(fact.use.since),
        ends_at=_time(fact.until),
        minutes=_in_minutes(fact.until - fact.use.since),
        people_peak=fact.use.people_peak,
        evidence=tuple(_evidence(each, fact.until) for each in fact.use.evidence),
    )


def _evidence(evidence: Evidence, now: datetime) -> contract.EvidenceData:
    runs = evidence.since is not None and now > evidence.since
    lasted = evidence.lasted + (now - evidence.since) if runs and evidence.since else evidence.lasted
    return contract.EvidenceData(
        kind=evidence.kind,
        by=evidence.by,
        first_at=_time(evidence.first_at),
        last_at=_time(now if runs else evidence.last_at),
        seconds=round(lasted.total_seconds(), 1),
    )


def _in_minutes(span: timedelta) -> float:
    return max(0.0, round(span / MINUTE, 1))


def _release_state(room: Room) -> contract.ReleaseState | None:
    for attempt in room.releases.values():
        if attempt.under_way and attempt.phase is not ReleasePhase.WAITING:
            return contract.ReleaseState(
                booking=attempt.booking,
                dry_run=attempt.dry_run,
                warned_at=_time_or_none(attempt.warned_at),
                acts_at=_time_or_none(attempt.acts_at),
            )
    return None


def _release_data(fact: ReleaseFact, privacy: Privacy) -> contract.BookingReleaseData:
    attempt, freed_from = fact.attempt, fact.freed_from
    freed = None if freed_from is None else attempt.ends_at - freed_from
    return _booking(
        contract.BookingReleaseData,
        fact.booking,
        privacy,
        dry_run=attempt.dry_run,
        grace_over_at=_time(attempt.due_at),
        empty_since=_time_or_none(attempt.empty_since),
        warned_at=_time_or_none(attempt.warned_at),
        witnesses=fact.witnesses,
        evidence=tuple(_evidence(each, fact.at) for each in fact.evidence),
        freed_from=_time_or_none(freed_from),
        minutes_freed=None if freed is None else max(0.0, round(freed / MINUTE, 1)),
        cause=fact.cause,
    )


def _after_s(fact: BookingFact) -> float | None:
    asked_at = fact.booking.requested_at
    if asked_at is None:
        return None
    return max(
        0.0, round((fact.at - asked_at).total_seconds(), 3)
    )  # two clocks: an answer may seem to come first


def _booking(
    shape: Callable[..., BookingShape], booking: Booking, privacy: Privacy, **more: object
) -> BookingShape:
    meeting, key = booking.meeting, booking.key
    private = meeting.private
    title, organizer, join = meeting.title, meeting.organizer, meeting.join
    return shape(
        key=key,
        request_id=booking.request_id,
        booking_id=booking.booking_id,
        meeting_id=booking.meeting_id,
        ical_uid=meeting.ical_uid,
        calendar=booking.calendar,
        starts_at=_time(booking.starts_at),
        ends_at=_time(booking.ends_at),
        all_day=booking.all_day,
        platform=meeting.platform,
        private=private,
        phase=booking.phase,
        entry_id=booking.entry_id,
        join_pending=booking.join_pending,
        title=title and privacy(PrivateField.TITLE, title, booking=key, private=private),
        organizer=organizer and privacy(PrivateField.ORGANIZER, organizer, booking=key, private=private),
        attendees=None,
        join=join and privacy(PrivateField.JOIN, join, booking=key, private=private),
        description=None,
        **more,
    )


def _previous(before: Booking, now: Booking, privacy: Privacy) -> contract.PreviousBooking:
    was, is_ = before.meeting, now.meeting
    private = was.private or is_.private  # what has become private is not told again

    def told(field: PrivateField, value: str | None, value_now: str | None) -> str | UnsetType | None:
        if value == value_now:
            return UNSET
        return value and privacy(field, value, booking=now.key, private=private)

    starts_at = _changed(before.starts_at, now.starts_at)
    ends_at = _changed(before.ends_at, now.ends_at)
    return contract.PreviousBooking(
        request_id=_changed(before.request_id, now.request_id),
        booking_id=_changed(before.booking_id, now.booking_id),
        meeting_id=_changed(before.meeting_id, now.meeting_id),
        ical_uid=_changed(was.ical_uid, is_.ical_uid),
        calendar=_changed(before.calendar, now.calendar),
        starts_at=UNSET if starts_at is UNSET else _time(starts_at),
        ends_at=UNSET if ends_at is UNSET else _time(ends_at),
        all_day=_changed(before.all_day, now.all_day),
        platform=_changed(was.platform, is_.platform),
        private=_changed(was.private, is_.private),
        phase=_changed(before.phase, now.phase),
        entry_id=_changed(before.entry_id, now.entry_id),
        join_pending=_changed(before.join_pending, now.join_pending),
        title=told(PrivateField.TITLE, was.title, is_.title),
        organizer=told(PrivateField.ORGANIZER, was.organizer, is_.organizer),
        join=told(PrivateField.JOIN, was.join, is_.join),
    )


def _changed(before: Value, now: Value) -> Value | UnsetType:
    return UNSET if before == now else before


def _day_data(fact: DayFact) -> contract.RoomDayData:
    counted, working = fact.counted, fact.working
    counted_min = counted.counted_s / 60
    return contract.RoomDayData(
        day=fact.day.isoformat(),
        starts_at=_time(fact.starts_at),
        ends_at=_time(fact.at),
        length_min=_minutes((fact.at - fact.starts_at).total_seconds()),
        booked_min=_minutes(counted.booked_s),
        attended_min=_minutes(counted.attended_s),
        empty_min=_minutes(counted.empty_s),
        in_use_min=_minutes(counted.in_use_s),
        unbooked_min=_minutes(max(0.0, counted.in_use_s - counted.attended_s)),
        unknown_min=_minutes(counted.unknown_s),
        unwatched_min=_minutes(counted.unwatched_s),
        bookings=counted.bookings,
        attended=counted.attended,
        ghosts=counted.ghosts,
        left_early=counted.left_early,
        overran=counted.overran,
        unknown=counted.unknown,
        freed_min=round(counted.freed_min, 1),
        released=counted.released,
        released_min=round(counted.released_min, 1),
        unbooked=counted.unbooked,
        people_average=round(counted.people_min / counted_min, 1) if counted_min > 0 else None,
        people_peak=counted.people_peak or None,
        capacity=fact.capacity,
        working=contract.WorkingHoursData(
            length_min=_minutes(working.length_s),
            booked_min=_minutes(working.booked_s),
            in_use_min=_minutes(working.in_use_s),
            unknown_min=_minutes(working.unknown_s),
        ),
    )


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 1)


def _occupancy_data(fact: OccupancyFact) -> contract.OccupancyData:
    previous = _occupancy(contract.OccupancyValues, fact.previous)
    return _occupancy(contract.OccupancyData, fact.occupancy, previous=previous, sensor=fact.sensor)


def _occupancy(shape: Callable[..., OccupancyShape], occupancy: Occupancy, **more: object) -> OccupancyShape:
    return shape(
        people=occupancy.people,
        presence=occupancy.presence,
        in_use=occupancy.in_use,
        in_call=occupancy.in_call,
        sharing=occupancy.sharing,
        **more,
    )


def _hold_data(fact: HoldFact) -> contract.HoldData:
    return _hold(
        contract.HoldData,
        fact.hold,
        device=fact.device,
        surface=fact.surface,
        answer=fact.answer,
        previous_ends_at=None if fact.previous is None else _time(fact.previous.ends_at),
        cause=fact.cause,
    )


def _attendance_state(room: Room, current: Booking | None) -> contract.AttendanceState | None:
    attendance = None if current is None else room.attendances.get(current.key)
    if attendance is None or not attendance.begun:
        return None
    return contract.AttendanceState(
        booking=attendance.booking,
        phase=attendance.phase,
        since=_time(attendance.since),
        came_at=_time_or_none(attendance.came_at),
        empty_since=_time_or_none(attendance.deserted_since),
    )


def _hold_state(room: Room) -> contract.HoldState | None:
    hold = next((each for each in room.holds.values() if each.phase in STANDING and not each.plain), None)
    if hold is None:
        return None
    return _hold(contract.HoldState, hold, shown=hold.phase is HoldPhase.SHOWN)


def _hold(shape: Callable[..., HoldShape], hold: Hold, **more: object) -> HoldShape:
    return shape(
        hold=hold.id,
        starts_at=_time(hold.starts_at),
        ends_at=_time(hold.ends_at),
        surfaces=tuple(hold.surfaces),
        **more,
    )


def _device_data(fact: DeviceFact) -> contract.DeviceData:
    booted_at = _time_or_none(fact.device.booted_at)
    return _device(contract.DeviceData, fact.device, booted_at=booted_at, cause=fact.cause)


def _device(shape: Callable[..., DeviceShape], device: DeviceState, **more: object) -> DeviceShape:
    return shape(
        device=device.id,
        phase=device.phase,
        since=_time(device.since),
        product=device.product,
        serial=device.serial,
        firmware=device.firmware,
        transport=device.transport,
        shortcomings=device.shortcomings,
        **more,
    )


def _calendar_fact(
    fact: CalendarFact, room: RoomId
) -> tuple[str, contract.CalendarData | contract.CalendarSwitchedData]:
    if fact.kind is FactKind.CALENDAR_SWITCHED or fact.state is None:
        switched = contract.CalendarSwitchedData(
            calendar=fact.calendar, previous=fact.previous, cause=fact.cause
        )
        return room, switched
    return fact.state.kind, _calendar(contract.CalendarData, fact.state, cause=fact.cause)


def _calendar(shape: Callable[..., CalendarShape], calendar: CalendarState, **more: object) -> CalendarShape:
    return shape(
        calendar=CalendarService(calendar.kind.value),
        phase=calendar.phase,
        since=_time(calendar.since),
        listed_at=_time_or_none(calendar.listed_at),
        why=calendar.why,
        **more,
    )


# ── the latest of a room ──────────────────────────────────────────────────────────────────────────


def room_state(room: Room, *, now: datetime, privacy: Privacy) -> bytes:
    """The latest of everything, without the moment of asking: the same state is the same bytes."""
    known = agenda(room, now=now)
    told = {booking.key: _booking(contract.BookingData, booking, privacy) for booking in known.bookings}
    return _encode(
        contract.RoomState(
            room=room.id,
            agenda=tuple(told.values()),
            current=None if known.current is None else told[known.current.key],
            next=None if known.next is None else told[known.next.key],
            occupancy=_occupancy(
                contract.RoomOccupancy, room.occupancy, since=_time_or_none(room.occupancy_since)
            ),
            attendance=_attendance_state(room, known.current),
            hold=_hold_state(room),
            release=_release_state(room),
            calendar=contract.RoomCalendar(
                believed=known.believed, listed_at=_time_or_none(known.as_of), fresh=known.fresh
            ),
        )
    )


def availability(room: Room) -> bytes:
    """Whether the room is heard, and what is wrong if it is not."""
    devices = room.devices.values()
    reach = room_reach(room)
    calendars = room.calendars.values()
    sensors = room.third_party.values()
    changed_at = (
        *(device.since for device in devices),
        *(calendar.since for calendar in calendars),
        *(sensor.since for sensor in sensors),
    )
    troubles = [f"{device.id}: {trouble}" for device in devices for trouble in _troubles(device)]
    troubles += [
        f"{calendar.kind} calendar: {calendar.why or calendar.phase}"
        for calendar in calendars
        if calendar.phase is not CalendarPhase.ACTIVE
    ]
    troubles += [
        f"{sensor.id}: {trouble}" for sensor in sensors if (trouble := _sensor_trouble(sensor)) is not None
    ]
    if not devices and not calendars and not sensors:
        troubles = ["no device is configured for this room"]
    return _encode(
        contract.RoomAvailability(
            room=room.id,
            state=reach,
            since=_time_or_none(max(changed_at, default=None)),
            why="; ".join(troubles) or None,
            devices=tuple(
                _device(contract.DeviceReach, device, why=device.why, transport_why=device.transport_why)
                for device in devices
            ),
            calendars=tuple(_calendar(contract.CalendarValues, calendar) for calendar in calendars),
            sensors=tuple(_sensor(sensor) for sensor in sensors),
        )
    )


def room_reach(room: Room) -> RoomReach:
    """Whether a room is heard, from what its devices and linked calendars are."""
    reach = _reach_without_sensors(room)
    if not room.third_party:
        return reach
    troubled = [_sensor_trouble(sensor) is not None for sensor in room.third_party.values()]
    if room.devices or room.calendars:
        return RoomReach.DEGRADED if any(troubled) and reach is RoomReach.AVAILABLE else reach
    if not any(troubled):
        return RoomReach.AVAILABLE
    if all(troubled) and all(sensor.why is None for sensor in room.third_party.values()):
        return RoomReach.UNKNOWN
    return RoomReach.UNAVAILABLE if all(troubled) else RoomReach.DEGRADED


def _reach_without_sensors(room: Room) -> RoomReach:
    calendars = {calendar.phase for calendar in room.calendars.values()}
    reach = _reach_of_devices(room)
    if not room.devices and calendars:
        if CalendarPhase.ACTIVE in calendars:
            return RoomReach.AVAILABLE if len(calendars) == 1 else RoomReach.DEGRADED
        return RoomReach.UNKNOWN if calendars == {CalendarPhase.CONNECTING} else RoomReach.UNAVAILABLE
    if reach is RoomReach.AVAILABLE and not calendars <= {CalendarPhase.ACTIVE}:
        return RoomReach.DEGRADED
    return reach


def _reach_of_devices(room: Room) -> RoomReach:
    phases = {device.phase for device in room.devices.values()}
    if phases <= {DevicePhase.UNHEARD}:
        return RoomReach.UNKNOWN
    if DevicePhase.CONNECTED not in phases:
        return RoomReach.UNAVAILABLE
    if len(phases) > 1 or any(device.shortcomings for device in room.devices.values()):
        return RoomReach.DEGRADED
    return RoomReach.AVAILABLE


def _sensor_trouble(sensor: SensorState) -> str | None:
    """What is wrong with it; one that spoke before a restart is waited for."""
    if sensor.phase is not SensorPhase.UNHEARD or sensor.heard != NOTHING_KNOWN or sensor.why is not None:
        return sensor.why
    if sensor.said_at is None:
        return "it has said nothing yet"
    return "it speaks, and has said nothing of people yet"


def _sensor(sensor: SensorState) -> contract.SensorReach:
    return contract.SensorReach(
        sensor=sensor.id,
        phase=sensor.phase,
        since=_time(sensor.since),
        said_at=_time_or_none(sensor.said_at),
        why=_sensor_trouble(sensor),
    )


def _troubles(device: DeviceState) -> tuple[str, ...]:
    match device.phase:
        case DevicePhase.CONNECTED:
            return device.shortcomings
        case DevicePhase.UNHEARD:
            return (device.why or "not reached yet",)
        case DevicePhase.LOST:
            return (device.why or "not reached",)
        case DevicePhase.REFUSED:
            return (device.why or "turned us away",)
        case _:
            assert_never(device.phase)


# ── the latest of the agent ───────────────────────────────────────────────────────────────────────


def agent_status(
    site: Site,
    *,
    state: AgentState,
    connection: int,
    since: datetime | None,
    version: str,
    reason: str | None = None,
) -> bytes:
    """Birth or death of a connection; in the will, `since` is None: nobody will have seen the moment."""
    return _encode(
        contract.AgentStatus(
            agent=site.agent,
            state=state,
            connection=connection,
            since=_time_or_none(since),
            version=version,
            reason=reason,
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What has become of commands from the broker since the start."""

    kept: int
    repeated: int
    refused: int
    deaf_why: str | None  # why none can come although we are connected


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendars:
    """How the calendars of one service stand."""

    service: str
    phase: CalendarPhase
    since: datetime
    why: str | None
    rooms: int  # that are linked
    readable: int  # of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What the agent measures of itself. None is not measured."""

    at: datetime
    outbox_depth: int
    outbox_oldest_age_s: float | None
    outbox_bytes: int
    outbox_drops: int
    acknowledged_at: datetime | None
    clock: ClockState
    disk_free_bytes: int | None = None
    memory_bytes: int | None = None
    loop_lag_s: float | None = None
    commands: Heard | None = None
    calendars: tuple[Calendars, ...] = ()
    sealing_why: str | None = None  # the recipient's new key cannot be used
    sensors_why: str | None = None  # those that are not Cisco's cannot be heard


def agent_health(site: Site, vitals: Vitals, *, rooms: Iterable[Room]) -> bytes:
    """How the agent and its devices do."""
    heard, all_rooms = vitals.commands, tuple(rooms)
    phases = Counter(device.phase for room in all_rooms for device in room.devices.values())
    return _encode(
        contract.AgentHealth(
            agent=site.agent,
            at=_time(vitals.at),
            outbox=contract.OutboxHealth(
                depth=vitals.outbox_depth,
                oldest_age_s=vitals.outbox_oldest_age_s,
                bytes=vitals.outbox_bytes,
                drops=vitals.outbox_drops,
            ),
            devices=contract.DeviceCounts(
                unheard=phases[DevicePhase.UNHEARD],
                connected=phases[DevicePhase.CONNECTED],
                lost=phases[DevicePhase.LOST],
                refused=phases[DevicePhase.REFUSED],
            ),
            acknowledged_at=_time_or_none(vitals.acknowledged_at),
            clock=vitals.clock,
            disk_free_bytes=vitals.disk_free_bytes,
            memory_bytes=vitals.memory_bytes,
            loop_lag_s=vitals.loop_lag_s,
            commands=None
            if heard is None
            else contract.CommandsHealth(
                kept=heard.kept,
                repeated=heard.repeated,
                refused=heard.refused,
                deaf_why=heard.deaf_why,
            ),
            calendars=tuple(
                contract.CalendarsHealth(
                    service=CalendarService(each.service),
                    phase=each.phase,
                    since=_time(each.since),
                    why=each.why,
                    rooms=each.rooms,
                    readable=each.readable,
                )
                for each in vitals.calendars
            ),
            sensors=_sensor_counts(all_rooms, vitals.sensors_why),
            sealing_why=vitals.sealing_why,
        )
    )


def _sensor_counts(rooms: Iterable[Room], why: str | None) -> contract.SensorCounts | None:
    phases = Counter(sensor.phase for room in rooms for sensor in room.third_party.values())
    if not phases:
        return None
    return contract.SensorCounts(
        unheard=phases[SensorPhase.UNHEARD],
        heard=phases[SensorPhase.HEARD],
        away=phases[SensorPhase.AWAY],
        stale=phases[SensorPhase.STALE],
        why=why,
    )
