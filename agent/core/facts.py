"""What the cloud is told and answered, and what devices are asked for: what a step brings forth."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from agent.core.model import (
    Attendance,
    Booking,
    BookingId,
    CalendarKind,
    CalendarState,
    CommandId,
    Counted,
    DeviceId,
    DeviceState,
    EntryId,
    Evidence,
    FeedbackId,
    Hold,
    HoldId,
    HourTally,
    MeetingId,
    Occupancy,
    ReleaseAttempt,
    RequestId,
    Room,
    SensorId,
    Surface,
    Use,
    WorkingHours,
)
from agent.core.orders import Answer


class FactKind(StrEnum):
    """`noun.past`, as the contract names them."""

    BOOKING_REQUESTED = "booking.requested"
    BOOKING_CONFIRMED = "booking.confirmed"
    BOOKING_FAILED = "booking.failed"
    BOOKING_EXPIRED = "booking.expired"
    BOOKING_MOVED = "booking.moved"
    BOOKING_UPDATED = "booking.updated"
    BOOKING_STARTED = "booking.started"
    BOOKING_CHECKED_IN = "booking.checked_in"
    BOOKING_ENDED = "booking.ended"
    BOOKING_DELETED = "booking.deleted"
    BOOKING_ATTENDED = "booking.attended"
    BOOKING_DESERTED = "booking.deserted"
    BOOKING_GHOST = "booking.ghost"
    BOOKING_LEFT_EARLY = "booking.left_early"
    BOOKING_JUDGED = "booking.judged"
    BOOKING_RELEASED = "booking.released"
    BOOKING_UNCLAIMED = "booking.unclaimed"
    BOOKING_KEPT = "booking.kept"
    BOOKING_RELEASE_FAILED = "booking.release_failed"
    OCCUPANCY_CHANGED = "occupancy.changed"
    ROOM_USED_UNBOOKED = "room.used_unbooked"
    ROOM_DAY = "room.day"
    HOLD_PLACED = "hold.placed"
    HOLD_SHOWN = "hold.shown"
    HOLD_ANSWERED = "hold.answered"
    HOLD_EXTENDED = "hold.extended"
    HOLD_ENDED = "hold.ended"
    HOLD_FAILED = "hold.failed"
    DEVICE_CONNECTED = "device.connected"
    DEVICE_LOST = "device.lost"
    DEVICE_REFUSED = "device.refused"
    DEVICE_REBOOTED = "device.rebooted"
    DEVICE_UPGRADED = "device.upgraded"
    DEVICE_MISCONFIGURED = "device.misconfigured"
    CALENDAR_CONNECTED = "calendar.connected"
    CALENDAR_DEGRADED = "calendar.degraded"
    CALENDAR_REVOKED = "calendar.revoked"
    CALENDAR_SWITCHED = "calendar.switched"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingFact:
    """Something became of a booking."""

    kind: FactKind
    at: datetime
    booking: Booking
    previous: Booking | None = None  # as it was, where it moved or was updated
    cause: str | None = None
    recovered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFact:
    """What became of the one attempt to release a booking."""

    kind: FactKind
    at: datetime
    booking: Booking  # as it is after it
    attempt: ReleaseAttempt
    freed_from: datetime | None = None  # the room is free from then to the end that the booking had
    witnesses: tuple[DeviceId | SensorId, ...] = ()  # who says that nobody is there
    evidence: tuple[Evidence, ...] = ()  # of people, since it began
    cause: str | None = None
    recovered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttendanceFact:
    """Somebody came, nobody is there, or a booking is over and judged."""

    kind: FactKind
    at: datetime
    booking: Booking
    attendance: Attendance
    known: timedelta  # how long it was known whether anybody was there, until `at` or its end
    unknown: timedelta
    freed: timedelta | None = None  # of those who left early: from when on nobody was there, to its end
    recovered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UseFact:
    """A room was used while it was not booked."""

    kind: FactKind
    at: datetime
    use: Use
    until: datetime
    recovered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFact:
    """A day of the room is over, by its own clock."""

    kind: FactKind
    at: datetime  # the midnight at its end
    day: date
    starts_at: datetime
    counted: Counted
    working: WorkingHours
    capacity: int | None
    recovered: bool = False  # roomd was down at that midnight


@dataclass(frozen=True, slots=True, kw_only=True)
class OccupancyFact:
    """The people of the room, or what is known of them, changed."""

    kind: FactKind
    at: datetime
    occupancy: Occupancy
    previous: Occupancy
    sensor: SensorId | None = None  # that is not Cisco's, and by whose word it changed
    recovered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFact:
    """Something became of a device; `cause` in words that a technician can act on."""

    kind: FactKind
    at: datetime
    device: DeviceState
    cause: str | None = None
    recovered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldFact:
    """Something became of a hold; `cause` in the contract's words, or for a failure in a technician's."""

    kind: FactKind
    at: datetime
    hold: Hold
    device: DeviceId | None = None  # that showed it, or on which it was answered
    surface: Surface | None = None
    answer: str | None = None  # as it stood on the screen
    previous: Hold | None = None  # as it was, where it was extended
    cause: str | None = None
    recovered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarFact:
    """Something became of a linked calendar, or another one is believed; `cause` in words with its mend."""

    kind: FactKind
    at: datetime
    calendar: CalendarKind | None  # None: nobody's word is believed for want of one
    state: CalendarState | None = None  # of a linked calendar
    previous: CalendarKind | None = None  # that was believed until now
    cause: str | None = None
    recovered: bool = False


Fact = (
    BookingFact
    | AttendanceFact
    | UseFact
    | DayFact
    | ReleaseFact
    | OccupancyFact
    | DeviceFact
    | HoldFact
    | CalendarFact
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBookings:
    """Ask this device for its whole list of bookings."""

    device: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadValues:
    """Read this device's sensors anew."""

    device: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowOn:
    """Put this on the surface, or renew it there. Answered with MessageShown or MessageRefused."""

    device: DeviceId
    surface: Surface  # not LED
    hold: HoldId
    title: str | None
    text: str
    answers: tuple[str, ...]
    feedback_id: FeedbackId
    until: datetime  # no further off than a device shows anything by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOff:
    """Take this off the surface, and nothing else. Answered with MessageTakenOff or MessageRefused."""

    device: DeviceId
    surface: Surface  # not LED
    feedback_id: FeedbackId
    answers: tuple[str, ...] | None = None  # it was shown with; None: not known, of an earlier life


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """Colour the device's light by hand. Answered with MessageShown or MessageRefused of the LED."""

    device: DeviceId
    feedback_id: FeedbackId
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreLight:
    """Let the light follow its old mode. Answered with MessageTakenOff or MessageRefused of the LED."""

    device: DeviceId
    feedback_id: FeedbackId
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """End the device's standby, so that what is shown next is read. Not answered."""

    device: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class TellUse:
    """Tell this device whether others sense anybody. Answered with UseTold or -Refused."""

    device: DeviceId
    source: str  # by which it tells our word from that of others
    in_use: bool
    lasts: timedelta  # it takes it for so long, unless it is told again


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowLine:
    """Put a line over the picture, in the place of the last, until it lapses. Not answered."""

    device: DeviceId
    text: str  # "": take it off
    lasts: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Book the room on this device. Answered with OrderTaken or OrderRefused, like the two below."""

    device: DeviceId
    command: CommandId
    request_id: RequestId
    starts_at: datetime
    ends_at: datetime
    title: str | None
    organizer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extend:
    """Let this booking end later."""

    device: DeviceId
    command: CommandId
    booking_id: BookingId | None
    meeting_id: MeetingId | None
    ends_at: datetime
    by: timedelta  # from its end until now


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Decline, delete or end this booking, whichever its calendar and the firmware understand."""

    device: DeviceId
    command: CommandId
    booking: Booking


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBooking:
    """One booking of the agenda as a device is to hold it."""

    booking_id: BookingId  # ours: the device lists it back under it
    starts_at: datetime
    ends_at: datetime
    title: str | None = field(repr=False)  # None: it has none, or it is private
    join: str | None = field(repr=False)
    platform: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutAgenda:
    """Have the device hold exactly these bookings. Answered with AgendaPut or AgendaRefused."""

    device: DeviceId
    edition: str  # stands for these bookings and no others
    bookings: tuple[PutBooking, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCalendar:
    """Read this linked calendar of the room soon. Answered with CalendarListed."""

    calendar: CalendarKind


@dataclass(frozen=True, slots=True, kw_only=True)
class BookInCalendar:
    """Book the room as itself. Answered with CalendarOrderTaken or -Refused, like the two below."""

    calendar: CalendarKind
    command: CommandId
    request_id: RequestId  # the same for the same command: fit for what keeps a calendar from booking twice
    starts_at: datetime
    ends_at: datetime
    title: str | None
    organizer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendInCalendar:
    """Let this entry end later."""

    calendar: CalendarKind
    command: CommandId
    entry_id: EntryId
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseInCalendar:
    """Decline or delete this entry, whichever the calendar lets the room do."""

    calendar: CalendarKind
    command: CommandId
    entry_id: EntryId


CalendarRequest = ListCalendar | BookInCalendar | ExtendInCalendar | ReleaseInCalendar

Request = (
    ListBookings
    | ReadValues
    | ShowOn
    | TakeOff
    | Light
    | RestoreLight
    | Wake
    | ShowLine
    | TellUse
    | Book
    | Extend
    | Release
    | PutAgenda
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The room after an event, what the cloud is told of it, and what devices and calendars are asked for."""

    room: Room
    facts: tuple[Fact, ...] = ()
    requests: tuple[Request, ...] = ()
    calendar_requests: tuple[CalendarRequest, ...] = ()
    answers: tuple[Answer, ...] = ()  # written in the same transaction as the room and its facts
    hours: tuple[HourTally, ...] = ()  # that are over, for the trends
    ignored: int = 0  # moves that the tables do not know: counted, never followed
