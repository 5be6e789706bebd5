"""What a site is made of: rooms, devices, bookings and people, as values that never change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import NewType

SiteId = NewType("SiteId", str)
AgentId = NewType("AgentId", str)
RoomId = NewType("RoomId", str)
DeviceId = NewType("DeviceId", str)
BookingKey = NewType("BookingKey", str)  # ours: one per booking, from its request to its end
RequestId = NewType("RequestId", str)  # `BookingRequestUUID`
BookingId = NewType("BookingId", str)  # `Id` as one device gives it; a reboot may renumber it
MeetingId = NewType("MeetingId", str)  # what the calendar backend calls it; never ""
EntryId = NewType("EntryId", str)  # what a linked calendar calls one of its entries; never ""
CommandId = NewType("CommandId", str)
HoldId = NewType("HoldId", str)  # chosen by whoever places the hold
FeedbackId = NewType("FeedbackId", str)  # by which a device tells answers to our messages from others
SensorId = NewType("SensorId", str)  # of a sensor that is not Cisco's; no device of the room has the same


# ── what is configured ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user, and the file that holds the password: the secret is read when it is needed, and not kept."""

    username: str
    password_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How a device's certificate is judged: by a pin, else an authority, else the system's authorities."""

    fingerprint: str | None = None  # "sha256:" and 64 hexadecimal digits of the DER certificate
    ca_file: Path | None = None
    host_key: str | None = None  # of SSH: "SHA256:" and base64, as ssh-keygen -l writes it
    known_hosts: Path | None = None  # of SSH, in the format of OpenSSH
    unverified: bool = False  # only where the configuration says so in so many words


class Transport(StrEnum):
    """A line to a device, the better ones first."""

    WEBSOCKET = "websocket"
    SSH = "ssh"
    HTTP = "http"
    CLOUD = "cloud"  # by way of Webex, for devices that the network does not lead to


SSH_PORT = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One codec, board or navigator, and how to reach it."""

    id: DeviceId
    room: RoomId
    host: str  # "": only Webex leads to it
    port: int  # of HTTPS: WebSocket and HTTP
    credential: Credential
    trust: Trust
    ssh_port: int = SSH_PORT
    transports: tuple[Transport, ...] = (Transport.WEBSOCKET,)  # that may be tried, in this order
    counts_people: bool = False  # its count goes before those of the devices that stand before it
    banner: bool = False  # messages without answers are a line over the picture, not a box
    webex: str | None = None  # its id in Webex, or its serial number


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """When a booking counts as attended, deserted and left."""

    people_for: timedelta = timedelta(seconds=60)  # heads are counted so long without a pause
    grace: timedelta = timedelta(minutes=10)  # after its start; nobody there by then: deserted
    empty_for: timedelta = timedelta(minutes=5)  # the room, after somebody was there: they have left


class ReleaseMode(StrEnum):
    """Whether a room that nobody came to is given to others."""

    OFF = "off"
    DRY_RUN = "dry-run"  # it is told what would have been done
    ON = "on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Releasing:
    """When and how a room that nobody came to is given to others."""

    mode: ReleaseMode = ReleaseMode.OFF


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorRules:
    """A sensor that is not Cisco's, and how much its word counts for."""

    id: SensorId


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the site wants of one room."""

    capacity: int | None = None  # seats
    judging: Judging = Judging()
    releasing: Releasing = Releasing()
    sensors: tuple[SensorRules, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRoom:
    """A room as people find it in a list."""

    id: RoomId
    name: str
    capacity: int | None = None  # seats
    groups: tuple[str, ...] = ()  # floors, houses, teams: whatever the site sorts its rooms by


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the site wants of the core; the same for all its rooms but for their `rules`."""

    timezone: tzinfo = UTC
    relist_every: timedelta = timedelta(minutes=10)  # a safety listing, should every hint have been lost
    agent: AgentId = AgentId("roomd")  # by which our messages are told from those of another agent of ours
    disturb: bool = False  # also put messages in front of people who are in a call or share a screen
    light: str = "Yellow"  # the colour of a held room
    rooms: Mapping[RoomId, Rules] = field(default_factory=dict)

    def rules(self, room: RoomId) -> Rules:
        """Those of this room."""
        return self.rooms.get(room, NO_RULES)


NO_RULES = Rules()


# ── what is known ─────────────────────────────────────────────────────────────────────────────────


class CalendarKind(StrEnum):
    """Where a booking's word comes from."""

    HYBRID = "hybrid"  # Webex Hybrid Calendar: `webex-N` at once, the meeting id up to a minute later
    ON_DEVICE = "on_device"  # the device's own calendar
    PUSHED = "pushed"  # TMS or `Bookings Put`: no meeting id, ever
    MICROSOFT = "microsoft"
    GOOGLE = "google"


class CalendarPhase(StrEnum):
    """Whether a linked calendar of a room can be read."""

    CONNECTING = "connecting"  # linked, and not read yet
    ACTIVE = "active"
    DEGRADED = "degraded"  # not read for a while; tried again by itself
    CREDENTIAL = "operator credential"  # the secret or key is refused: a person must give another
    CLOCK_SKEW = "clock skew"  # the cloud refuses us for our clock: a person must set it
    REVOKED = "revoked"  # consent is gone: an administrator must give it again


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarState:
    """What the room knows of one of its linked calendars."""

    kind: CalendarKind  # MICROSOFT or GOOGLE
    phase: CalendarPhase = CalendarPhase.CONNECTING
    since: datetime
    why: str | None = None  # in words, with what to do about it
    listed_at: datetime | None = None  # when the listing was asked for that came last
    covers_from: datetime | None = None  # that listing says all from here …
    covers_until: datetime | None = None  # … to here
    recovering: bool = True  # a gap lies behind us, and no listing has closed it yet
    stale: bool = False  # not listed for so long, or revoked, that its word does not count
    list_at: datetime | None = None  # something changed: list it then
    asked_at: datetime | None = None  # when a listing was asked for last
    writes: bool = False  # the site lets us book, extend and release in it


class BookingPhase(StrEnum):
    """Where a booking is in its life."""

    REQUESTED = "requested"  # asked for on a device, no answer yet
    PENDING = "pending"  # has a booking id, and waits for the meeting id
    CONFIRMED = "confirmed"  # has an identity that lasts
    STARTED = "started"  # its time has come
    ENDED = "ended"  # its time is over
    DELETED = "deleted"  # taken off the calendar before its end
    FAILED = "failed"  # the backend refused the request
    EXPIRED = "expired"  # nobody answered the request


LIVE_PHASES = frozenset(
    {BookingPhase.REQUESTED, BookingPhase.PENDING, BookingPhase.CONFIRMED, BookingPhase.STARTED}
)
UNANSWERED_PHASES = frozenset({BookingPhase.REQUESTED, BookingPhase.PENDING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """The gathering, as a calendar tells it; without description and invitees, which never touch the disk."""

    title: str | None = field(default=None, repr=False)  # nothing that prints a meeting prints these
    organizer: str | None = field(default=None, repr=False)
    platform: str | None = None
    join: str | None = field(default=None, repr=False)
    ical_uid: str | None = None
    private: bool = False


NO_MEETING = Meeting()


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A reserved interval of a room, half open: it holds `starts_at` and not `ends_at`. Times are UTC."""

    key: BookingKey
    phase: BookingPhase
    starts_at: datetime
    ends_at: datetime
    since: datetime  # when it entered this phase
    calendar: CalendarKind | None = None
    request_id: RequestId | None = None
    requested_on: DeviceId | None = None
    requested_at: datetime | None = None
    meeting_id: MeetingId | None = None
    booking_ids: Mapping[DeviceId, BookingId] = field(default_factory=dict)
    meeting: Meeting = NO_MEETING
    all_day: bool = False
    checked_in_at: datetime | None = None
    entries: Mapping[CalendarKind, EntryId] = field(default_factory=dict)  # by which linked calendars know it
    join_pending: bool = False  # the calendar says that a link to join by is still to be written into it
    cause: str | None = None  # why a device says that it is gone, while the calendar has not said so yet
    seen_at: datetime  # when somebody's word last changed it: a listing asked for before that knows less

    @property
    def live(self) -> bool:
        """Whether it still stands, asked for or granted."""
        return self.phase in LIVE_PHASES

    @property
    def entry_id(self) -> EntryId | None:
        """What the calendar whose word it is calls its entry; else the first that knows it."""
        own = None if self.calendar is None else self.entries.get(self.calendar)
        return own or next(iter(self.entries.values()), None)

    @property
    def booking_id(self) -> BookingId | None:
        """The id by which the first of its devices knows it."""
        return next(iter(self.booking_ids.values()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """What sensors say. None is unknown, never empty and never no."""

    people: int | None = None
    presence: bool | None = None
    in_use: bool | None = None
    in_call: bool | None = None
    sharing: bool | None = None


NOTHING_KNOWN = Occupancy()


class DevicePhase(StrEnum):
    """Whether a device is heard."""

    UNHEARD = "unheard"  # configured, and never reached
    CONNECTED = "connected"
    LOST = "lost"  # not reached; dialled again and again
    REFUSED = "refused"  # it turned us away: a person must act


class Ability(StrEnum):
    """What devices of a room can do for each other: one that cannot is made up for by one that can."""

    BOOKINGS = "bookings"
    PEOPLE = "people"


class Surface(StrEnum):
    """Where a room can show something."""

    SCREEN = "screen"  # what everybody in the room sees
    CONTROLLER = "controller"  # the panel on the table
    SCHEDULER = "scheduler"  # the panel at the door (RoomOS 26.1 and newer)
    LED = "led"  # the light around a panel: a colour, no words


class HoldPhase(StrEnum):
    """Where a hold is in its life."""

    PLACED = "placed"  # its time has not come
    DUE = "due"  # its time has come, and nothing shows it yet
    SHOWN = "shown"  # it was shown on one surface at least
    ENDED = "ended"
    FAILED = "failed"  # it could not be shown, or not be booked


LIVE_HOLDS = frozenset({HoldPhase.PLACED, HoldPhase.DUE, HoldPhase.SHOWN})


class ShowingPhase(StrEnum):
    """What is known of one surface of one device that a hold is, was or is to be on."""

    ASKED = "asked"  # it may be there: the device has not answered, or is to be asked anew
    UP = "up"  # it is there
    CLEARED = "cleared"  # somebody or something took it off before its time
    REFUSED = "refused"  # the device does not show it, and is not asked again while it is connected
    LEAVING = "leaving"  # it is to be taken off, and the device has not said that it has


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """A hold on one surface of one device; kept after the hold's end until it is off."""

    device: DeviceId
    surface: Surface
    phase: ShowingPhase
    asked_at: datetime | None = None  # when the device was asked last, or it was cleared; None: ask at once
    until: datetime | None = None  # when the device lets it lapse by itself; a light never does
    cleared: int = 0  # how often it was taken off before its time
    refused: int = 0  # how often the device refused to take it off
    told: bool = False  # the cloud knows that it was shown here
    anew: bool = False  # it was asked for while it was there, and the word that the old one is off may follow
    why: str | None = None  # it was refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Words on a room's screens that keep it for somebody for a while, half open; or a plain message."""

    feedback_id: FeedbackId  # ours: one for each placing
    id: HoldId
    plain: bool = False  # a message, of which no facts are told; holds go before it
    phase: HoldPhase
    since: datetime  # when it entered this phase
    text: str
    title: str | None = None
    starts_at: datetime
    ends_at: datetime
    surfaces: tuple[Surface, ...]
    answers: tuple[str, ...] = ()
    wake: bool = False
    request_id: RequestId | None = None  # of the booking that goes with it
    requested_by: str | None = None
    showings: tuple[Showing, ...] = ()
    answer: str | None = None
    cause: str | None = None  # of its end or failure

    @property
    def live(self) -> bool:
        """Whether it stands, now or later."""
        return self.phase in LIVE_HOLDS


class AnswerStatus(StrEnum):
    """How far a command has come, as the contract names it."""

    ACCEPTED = "accepted"  # begun; a final answer follows
    DONE = "done"
    REFUSED = "refused"  # nothing was done: the order cannot be carried out as it stands
    EXPIRED = "expired"  # it came too late
    FAILED = "failed"  # begun, and a device or calendar said no
    UNKNOWN = "unknown"  # begun, and nobody knows what became of it


class Errand(StrEnum):
    """What a command that is begun waits for."""

    BOOKING = "booking"  # the answer to a request to book
    EXTENSION = "extension"  # a booking's new end
    RELEASE = "release"  # that a booking is gone
    MESSAGE = "message"  # that it is shown somewhere
    LISTING = "listing"  # that every connected device has listed its bookings


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An order that was taken up, and what it was answered last: a repeated one is not done twice."""

    id: CommandId
    status: AnswerStatus
    at: datetime
    reason: str | None = None
    result: Mapping[str, str | None] | None = None
    errand: Errand | None = None
    give_up_at: datetime | None = None
    devices: tuple[DeviceId, ...] = ()  # that were asked
    calendars: tuple[CalendarKind, ...] = ()  # linked ones that were asked
    taken: bool = False  # the device said yes; what it did is still to be seen
    request_id: RequestId | None = None
    booking: BookingKey | None = None
    ends_at: datetime | None = None
    feedback_id: FeedbackId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """What the room knows of one of its devices."""

    id: DeviceId
    phase: DevicePhase = DevicePhase.UNHEARD
    since: datetime
    why: str | None = None
    product: str | None = None
    serial: str | None = None
    firmware: str | None = None
    transport: str | None = None
    transport_why: str | None = None  # it is not a better one
    booted_at: datetime | None = None
    answers_requests: bool = False  # sends BookingCreated and BookingFailed (RoomOS 11.23 and newer)
    booking_timeout: timedelta = timedelta(seconds=60)  # its `AdhocBooking BookingTimeout`
    shortcomings: tuple[str, ...] = ()  # what is misconfigured on it or missing in the room, in words
    lacks: Mapping[Ability, str] = field(default_factory=dict)  # by its nature, and what to do about it
    recovering: bool = False  # a gap lies behind us, and no listing has closed it yet
    renumbered: bool = False  # restarted, and its booking ids mean nothing until the next listing
    list_at: datetime | None = None  # something changed: list it then
    asked_at: datetime | None = None  # a listing has been asked for and has not come yet
    listed_at: datetime | None = None  # when the listing was asked for that came last
    surfaces: tuple[Surface, ...] | None = None  # on which it can show something; None: not known
    light_mode: str | None = None  # of its light before we lit it
    others_until: datetime | None = None  # somebody else's prompt is on its screen until then at most
    put: str | None = None  # the edition of the room's agenda that it holds; None: not known
    put_next_at: datetime | None = None  # it is given no other one before
    put_why: str | None = None  # it is not given the room's agenda, in words with what to do about it
    hybrid_at: datetime | None = None  # when it last listed what Webex Hybrid Calendar gave it


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A room's whole state: what a restart must find again."""

    id: RoomId
    devices: Mapping[DeviceId, DeviceState] = field(default_factory=dict)
    bookings: Mapping[BookingKey, Booking] = field(default_factory=dict)  # with those that are just over
    sensors: Mapping[DeviceId, Occupancy] = field(default_factory=dict)  # as each device says
    occupancy: Occupancy = NOTHING_KNOWN  # as the cloud was told last
    occupancy_since: datetime | None = None
    holds: Mapping[FeedbackId, Hold] = field(default_factory=dict)  # with those still to be taken off
    commands: Mapping[CommandId, Command] = field(default_factory=dict)  # begun, or done lately
    calendars: Mapping[CalendarKind, CalendarState] = field(default_factory=dict)  # linked, the better first
    believed: CalendarKind | None = None  # the linked calendar whose word the agenda is; None: the devices'
    heard: Mapping[BookingKey, Booking] | None = None  # as devices say, if another's word may be believed
    puts_agenda: bool | None = None  # give devices what a linked calendar has; None: leave them as they are
