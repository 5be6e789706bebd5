"""What can happen to a room: heard from a device, or said by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agent.core.model import (
    NO_MEETING,
    Ability,
    BookingId,
    CalendarKind,
    CalendarPhase,
    CommandId,
    DeviceId,
    EntryId,
    FeedbackId,
    Meeting,
    MeetingId,
    RequestId,
    Sense,
    SensorId,
    Surface,
)
from agent.core.orders import Order

# Times in events are UTC. `at` is when the device says that it happened; None where it does not say.


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConnected:
    """A conversation stands and the device has said who it is. Its listing and current values follow."""

    device: DeviceId
    product: str
    serial: str
    firmware: str
    transport: str
    transport_why: str | None = None  # it is not heard over a better line
    uptime_s: int | None = None
    answers_requests: bool = False
    booking_timeout_s: int = 60
    shortcomings: tuple[str, ...] = ()
    lacks: Mapping[Ability, str] = field(default_factory=dict)  # by its nature, in words
    surfaces: tuple[Surface, ...] | None = None  # on which it can show something; None: not known
    checks_in: bool | None = None  # it deletes bookings by itself that nobody checks in to; None: not known
    hears_answers: bool = True  # it tells of answers to what its screens ask


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLost:
    """The conversation is over, or could not begin; it will be tried again."""

    device: DeviceId
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRefused:
    """The device turned us away (password, certificate, service off): a person must act."""

    device: DeviceId
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UptimeRead:
    """How long the device has been up; less than before means that it was restarted."""

    device: DeviceId
    uptime_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingTimeoutRead:
    """The device's `AdhocBooking BookingTimeout`, at connect or when somebody changes it."""

    device: DeviceId
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckInRead:
    """Whether the device itself deletes bookings that nobody checks in to (`Bookings CheckIn Enabled`)."""

    device: DeviceId
    enabled: bool | None  # None: it does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortcomingsFound:
    """The device's configuration hides something from us; empty when it has been mended."""

    device: DeviceId
    shortcomings: tuple[str, ...]
    lacks: Mapping[Ability, str] | None = None  # by its nature, in words; None: as before


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingRequested:
    """Somebody asked for the room on the device."""

    device: DeviceId
    request_id: RequestId | None
    starts_at: datetime
    ends_at: datetime
    title: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingCreated:
    """A booking exists; `request_id` only if it was asked for on a device."""

    device: DeviceId
    booking_id: BookingId
    meeting_id: MeetingId | None
    starts_at: datetime
    ends_at: datetime
    request_id: RequestId | None = None
    title: str | None = None
    organizer: str | None = None
    organizer_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingFailed:
    """The backend refused a request; `cause` in the contract's words."""

    device: DeviceId
    request_id: RequestId | None
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingMoved:
    """A booking has other times now."""

    device: DeviceId
    booking_id: BookingId | None
    meeting_id: MeetingId | None
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingStarted:
    """The device says that a booking's time has come."""

    device: DeviceId
    booking_id: BookingId | None
    meeting_id: MeetingId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingCheckedIn:
    """Somebody confirmed on the device that the booking is used."""

    device: DeviceId
    booking_id: BookingId | None
    meeting_id: MeetingId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingEnded:
    """The device says that a booking is over; newer firmware says the times too."""

    device: DeviceId
    booking_id: BookingId | None
    meeting_id: MeetingId | None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingDeleted:
    """A booking was taken off the calendar; `cause` in the contract's words."""

    device: DeviceId
    booking_id: BookingId | None
    meeting_id: MeetingId | None
    cause: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingsTouched:
    """Something about the bookings changed (`Updated`, an extension or edit asked for): look again."""

    device: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequired:
    """The device itself says that what we know may be wrong (RoomOS 11.24 and newer)."""

    device: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBooking:
    """One entry of a device's `Bookings List`."""

    booking_id: BookingId
    meeting_id: MeetingId | None
    starts_at: datetime
    ends_at: datetime
    meeting: Meeting = NO_MEETING
    from_webex: bool = False  # carries the marks of Webex Hybrid Calendar


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingsListed:
    """The device's whole list from the moment of asking to `covers_until`: the truth for this span."""

    device: DeviceId
    bookings: tuple[ListedBooking, ...]
    asked_at: datetime
    covers_until: datetime
    unreadable: frozenset[BookingId] = frozenset()  # entries with impossible times: there, but not understood


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarEntry:
    """One entry of a linked calendar that occupies the room, half open; of a series, one occurrence."""

    entry_id: EntryId
    ical_uid: str | None  # shared by the occurrences of a series
    starts_at: datetime
    ends_at: datetime
    all_day: bool
    meeting: Meeting
    join_pending: bool = False  # a keyword asks for a link to join by, and none is there yet


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarListed:
    """All that occupies the room in a linked calendar from `covers_from` to `covers_until`: the truth for it.

    Cancelled entries, those that the room declined and those that keep it free are left out.
    """

    calendar: CalendarKind
    entries: tuple[CalendarEntry, ...]
    asked_at: datetime  # before the first page was asked for
    covers_from: datetime
    covers_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarTurned:
    """A linked calendar can be read for this room, or not; `why` in words with what to do about it."""

    calendar: CalendarKind
    phase: CalendarPhase
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarsLinked:
    """The room has exactly these linked calendars, the better first, as is known by now (found by name)."""

    calendars: tuple[CalendarKind, ...]
    writes: frozenset[CalendarKind] = frozenset()  # those in which the site lets us book


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarOrderTaken:
    """A linked calendar said yes to what a command asked of it; what it did is still to be seen in it."""

    calendar: CalendarKind
    command: CommandId
    entry_id: EntryId | None = None  # of the entry that it made


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarOrderRefused:
    """A linked calendar said no to what a command asked of it; `why` in words."""

    calendar: CalendarKind
    command: CommandId
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarOrderUnanswered:
    """No answer came to what a command asked of a linked calendar: its listing shows whether it was done."""

    calendar: CalendarKind
    command: CommandId


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleCounted:
    """Heads in the room; None where the device says -1: standby, or the feature is off."""

    device: DeviceId
    people: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceSensed:
    """Whether anybody is there, by head and ultrasound; clears up to two minutes late."""

    device: DeviceId
    presence: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseSensed:
    """`RoomInUse`: presence, a call or sharing, as the device itself concludes (RoomOS 11 and newer)."""

    device: DeviceId
    in_use: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsCounted:
    """How many calls the device is in."""

    device: DeviceId
    calls: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingSensed:
    """Whether somebody shares a screen, in a call or in the room."""

    device: DeviceId
    sharing: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentValuesRead:
    """Every sensor's value, read anew: closes a gap in what was heard of people."""

    device: DeviceId
    people: int | None
    presence: bool | None
    in_use: bool | None
    calls: int | None
    sharing: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorSaid:
    """A sensor that is not Cisco's gave a sign of life; `values` is what it said with it of people, if any.

    People are a number, all else yes or no; None is unknown.
    """

    sensor: SensorId
    values: Mapping[Sense, int | bool | None] = field(default_factory=dict)
    kept: bool = False  # it was said some time ago, and somebody has kept it since
    at: datetime | None = None  # when; None: nobody says
    why: str | None = None  # it cannot be understood
    yes_for: timedelta | None = None  # if it says nothing more for so long, it says that nobody is there
    stale_after: timedelta | None = None  # … that it knows nothing; None: as the configuration has it


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorAway:
    """What stands behind a sensor says that it is offline."""

    sensor: SensorId
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorCutOff:
    """Nobody brings us its word any more."""

    sensor: SensorId
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorBack:
    """Its word can reach us again; what it says now is still to be heard."""

    sensor: SensorId


@dataclass(frozen=True, slots=True, kw_only=True)
class UseTold:
    """The device has taken our word of whether others sense people."""

    device: DeviceId
    in_use: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UseRefused:
    """The device takes no such word; `why` in words."""

    device: DeviceId
    in_use: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageShown:
    """The device has put up what it was asked to show, or lit its light."""

    device: DeviceId
    surface: Surface
    feedback_id: FeedbackId


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRefused:
    """The device does not show what it was asked to, or does not take it off; `why` for a technician."""

    device: DeviceId
    surface: Surface
    feedback_id: FeedbackId
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTakenOff:
    """The device has taken off what it was asked to, or its light is as it was before."""

    device: DeviceId
    surface: Surface
    feedback_id: FeedbackId


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDisplayed:
    """A prompt is on the device's screen: ours, or somebody else's that is not to be disturbed."""

    device: DeviceId
    feedback_id: FeedbackId | None
    duration_s: int | None = None  # until it lapses; 0 or None: until it is cleared


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptAnswered:
    """Somebody chose an answer: the `option`-th, from 1 on."""

    device: DeviceId
    feedback_id: FeedbackId | None
    option: int
    surface: Surface | None = None  # on which; firmware before 26.1 does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCleared:
    """A prompt is off the screen without an answer: dismissed, lapsed, replaced or taken off."""

    device: DeviceId
    feedback_id: FeedbackId | None
    surface: Surface | None = None  # None: the device does not say, or it was on several


@dataclass(frozen=True, slots=True, kw_only=True)
class LightModeRead:
    """What the device's light follows (`LedControl Mode`), at connect or when it changes."""

    device: DeviceId
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTaken:
    """The device said yes to what a command asked of it; what it does is still to be seen."""

    device: DeviceId
    command: CommandId


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRefused:
    """The device said no to what a command asked of it; `why` in words."""

    device: DeviceId
    command: CommandId
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgendaPut:
    """The device holds the agenda that it was given."""

    device: DeviceId
    edition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgendaRefused:
    """The device does not take the agenda that it was given; `why` in words."""

    device: DeviceId
    edition: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandGiven:
    """The cloud or a person orders something; it is on disk already, and in time."""

    command: CommandId
    order: Order
    requested_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStruck:
    """A deadline of this room has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStepped:
    """The wall clock jumped by so much against the steady one; spans that are running move with it."""

    by: timedelta


ThirdPartyEvent = SensorSaid | SensorAway | SensorCutOff | SensorBack | UseTold | UseRefused
SensorEvent = PeopleCounted | PresenceSensed | UseSensed | CallsCounted | SharingSensed | CurrentValuesRead
BookingEvent = (
    BookingRequested
    | BookingCreated
    | BookingFailed
    | BookingMoved
    | BookingStarted
    | BookingCheckedIn
    | BookingEnded
    | BookingDeleted
    | BookingsTouched
    | SyncRequired
    | BookingsListed
)
DeviceEvent = (
    DeviceConnected
    | DeviceLost
    | DeviceRefused
    | UptimeRead
    | BookingTimeoutRead
    | CheckInRead
    | ShortcomingsFound
)
ScreenEvent = (
    MessageShown
    | MessageRefused
    | MessageTakenOff
    | PromptDisplayed
    | PromptAnswered
    | PromptCleared
    | LightModeRead
)
CalendarEvent = CalendarListed | CalendarTurned | CalendarsLinked
PutEvent = AgendaPut | AgendaRefused
CalendarOrderEvent = CalendarOrderTaken | CalendarOrderRefused | CalendarOrderUnanswered
OrderEvent = CommandGiven | OrderTaken | OrderRefused | CalendarOrderEvent
RoomEvent = (
    DeviceEvent
    | BookingEvent
    | SensorEvent
    | ThirdPartyEvent
    | ScreenEvent
    | CalendarEvent
    | PutEvent
    | OrderEvent
    | ClockStruck
    | ClockStepped
)
