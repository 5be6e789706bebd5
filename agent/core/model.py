"""What a site is made of: rooms, devices, bookings and people, as values that never change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import NewType

from agent.core.week import WeekHours

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

    people_for: timedelta = timedelta(seconds=60)  # somebody is there so long without a pause: no passer-by
    grace: timedelta = timedelta(minutes=10)  # after its start; nobody there by then: deserted
    empty_for: timedelta = timedelta(minutes=5)  # the room, without a pause: they have left
    overrun_after: timedelta = timedelta(minutes=5)  # its end; they are there still: it was overrun
    unbooked_for: timedelta = timedelta(minutes=10)  # a room is used without a booking before it is told


class ReleaseMode(StrEnum):
    """Whether a room that nobody came to is given to others."""

    OFF = "off"
    DRY_RUN = "dry-run"  # it is told what would have been done
    ON = "on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Releasing:
    """When and how a room that nobody came to is given to others."""

    mode: ReleaseMode = ReleaseMode.OFF
    grace: timedelta = timedelta(minutes=10)  # after its start, and after we first knew of it
    empty_for: timedelta = timedelta(minutes=5)  # the room, without a pause, before anything is done
    warning: timedelta = timedelta(seconds=120)  # stands on the screens so long; zero: none is shown
    longest: timedelta | None = timedelta(hours=4)  # longer bookings are left alone; None: none for that
    private: bool = True  # those marked private, too
    organizers: tuple[str, ...] = ()  # whose bookings are left alone; `*` stands for anything
    hours: tuple[WeekHours, ...] = ()  # of the site's week in which nothing is released
    title: str = "Is anybody here?"
    text: str = "Nobody was seen since this booking began. At {time} the room is given to others."
    answer: str = "We are here"
    countdown: str = "This room is given to others in {seconds} seconds"  # "": no line counts down


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorRules:
    """A sensor that is not Cisco's, and how much its word counts for."""

    id: SensorId
    counts_after: timedelta = timedelta(0)  # somebody is there for so long without a pause: it counts
    clears_after: timedelta = timedelta(seconds=60)  # the same for nobody
    stale_after: timedelta | None = timedelta(hours=3)  # after so long a silence nobody knows; None: never
    counts_people: bool = False  # its count goes before those of the room's devices


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
    tell_use: bool = True  # tell devices that sensors which are not Cisco's see somebody
    working: tuple[WeekHours, ...] = ()  # the hours in which rooms are there to be used
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
    organizer_address: str | None = field(default=None, repr=False)  # told to nobody: who is spared by it
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


class Sense(StrEnum):
    """What a sensor can say of people, by the names of `Occupancy`."""

    PEOPLE = "people"
    PRESENCE = "presence"
    IN_USE = "in_use"


class SensorPhase(StrEnum):
    """Whether a sensor that is not Cisco's is heard."""

    UNHEARD = "unheard"  # nobody brings us its word, or it has not spoken since
    HEARD = "heard"
    AWAY = "away"  # what stands behind it says that it is offline
    STALE = "stale"  # it has been silent for too long


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorState:
    """What the room knows of a sensor that is not Cisco's."""

    id: SensorId
    phase: SensorPhase = SensorPhase.UNHEARD
    since: datetime
    why: str | None = None
    says: Occupancy = NOTHING_KNOWN  # what counts
    heard: Occupancy = NOTHING_KNOWN  # as it said last, which may not count yet, or no more
    turned_at: datetime | None = None  # since when it has said otherwise than what counts
    said_at: datetime | None = None  # its last sign of life, give or take a minute; None: it never gave one
    yes_until: datetime | None = None  # from then on it says that nobody is there, unless it speaks before
    stale_after: timedelta | None = None  # by its own word, if that is sooner than by its rules
    counts_people: bool = False


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
    warns_of: BookingKey | None = None  # roomd asks by it whether anybody is there; no message goes before it

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


class UsePhase(StrEnum):
    """Whether a device has taken our word of what others sense."""

    ASKED = "asked"  # it has not answered
    TOLD = "told"
    REFUSED = "refused"  # it takes none, and is not told again while it is connected


@dataclass(frozen=True, slots=True, kw_only=True)
class UseWord:
    """What a device was told of whether sensors that are not Cisco's see somebody."""

    phase: UsePhase
    in_use: bool
    at: datetime


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
    checks_in: bool | None = None  # it deletes bookings by itself that nobody checks in to; None: not known
    hears_answers: bool = True  # it tells of answers to what its screens ask
    release_why: str | None = (
        None  # nothing of the room is released for it, in words with what to do about it
    )
    use: UseWord | None = None  # what it was told last of sensors that are not Cisco's


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was counted of a room over some time; docs/trends.md says what each of it means."""

    booked_s: float = 0.0  # a booking ran
    attended_s: float = 0.0  # … and somebody was there
    empty_s: float = 0.0  # … and nobody was
    in_use_s: float = 0.0  # somebody was there, with a booking or without
    unknown_s: float = 0.0  # nobody knows whether somebody was there
    unwatched_s: float = 0.0  # … for roomd did not run; nothing else is counted of these seconds
    people_min: float = 0.0  # minutes, each as often as people were counted in it
    counted_s: float = 0.0  # people were counted, one or more
    people_peak: int = 0
    bookings: int = 0  # that began
    attended: int = 0  # bookings that were judged so at their end; so are the next four
    ghosts: int = 0
    left_early: int = 0
    overran: int = 0
    unknown: int = 0
    freed_min: float = 0.0  # minutes, by those who left early
    released: int = 0
    released_min: float = 0.0
    unbooked: int = 0  # uses without a booking


@dataclass(frozen=True, slots=True, kw_only=True)
class HourTally:
    """What was counted in one hour of a room's own clock; half of it where a clock change falls inside."""

    room: RoomId
    starts_at: datetime  # it has one tally, and a later word on the same hour takes the place of an earlier
    day: date  # by the room's own clock, like the hour
    hour: int  # 0 to 23; the doubled one of autumn is told twice, with another start
    length_s: int
    counted: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingHours:
    """How much of a day was working hours, and what was counted in them (s)."""

    length_s: float = 0.0
    booked_s: float = 0.0
    in_use_s: float = 0.0
    unknown_s: float = 0.0


NO_WORKING_HOURS = WorkingHours()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What has been counted of a room's hour and day that run, and what is counted from `settled_at` on."""

    starts_at: datetime  # the hour
    ends_at: datetime
    day: date  # by the room's own clock, like the hour
    hour: int
    settled_at: datetime  # all before is in `counted`
    watched: bool = True  # False: roomd did not run from `settled_at` on
    booked: bool = False
    there: bool | None = None  # whether anybody is; None: nobody can tell
    people: int | None = None
    counted: tuple[float, ...] = ()  # in this hour, in the order of `Counted`; the rest is 0
    today: tuple[float, ...] = ()  # in the hours of this day before it
    ended: tuple[float, ...] = ()  # in the last of these: verdicts on what was booked then may still come
    ended_from: datetime | None = None  # when that one began; None: it was of another day, or is not known
    working: WorkingHours = NO_WORKING_HOURS  # the same
    told: date | None = None  # the last day that the cloud was told of


class ReleasePhase(StrEnum):
    """How far the question has come whether a booking's room is given to others."""

    WAITING = "waiting"  # it has begun, and nobody has come yet
    WARNED = "warned"  # the room is asked whether anybody is there
    CHECKING = "checking"  # bookings and sensors are read anew, for the last time
    ASKED = "asked"  # its calendar or a device was told to take it back, and what came of it is not known
    RELEASED = "released"  # it is gone
    UNCLAIMED = "unclaimed"  # it would have been released, and nothing was done: dry-run
    KEPT = "kept"  # somebody is there
    SPARED = "spared"  # left alone: excluded, or nobody can say that nobody is there
    FAILED = "failed"  # it could not be released, or nobody knows whether it was


UNDER_WAY = frozenset({ReleasePhase.WAITING, ReleasePhase.WARNED, ReleasePhase.CHECKING, ReleasePhase.ASKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseAttempt:
    """The one attempt to release one booking; kept until its end, so that there is no second."""

    booking: BookingKey
    phase: ReleasePhase
    since: datetime  # when it entered this phase
    starts_at: datetime  # of the booking, when it was taken up
    ends_at: datetime
    due_at: datetime  # nobody is warned before: `grace` after its start, and after it was taken up
    names: tuple[str, ...] = ()  # by which calendars and devices know the booking, should it come again
    empty_since: datetime | None = None  # known to be empty without a pause from then on; None: it is not
    dry_run: bool = False
    prompt: FeedbackId | None = None  # by which the room is asked
    warned_at: datetime | None = None  # when that was first on a screen
    acts_at: datetime | None = None  # if nobody is there until then
    counted_s: int | None = None  # how many seconds the countdown said last
    check_at: datetime | None = None  # when the last check began
    devices_left: tuple[DeviceId, ...] = ()  # whose values were asked for in it, and have not been read yet
    command: CommandId | None = None  # by which it is released
    cause: str | None = None  # of its end, in the contract's words; of a failure in a technician's

    @property
    def under_way(self) -> bool:
        """Whether it may still be released."""
        return self.phase in UNDER_WAY


class AttendancePhase(StrEnum):
    """How a booking that has begun is attended, as far as is known."""

    AWAITED = "awaited"  # nobody came yet, or nobody can tell
    ATTENDED = "attended"  # somebody is there
    DESERTED = "deserted"  # nobody is there, for sure: not by then, or not any more
    OVER = "over"


class Outcome(StrEnum):
    """The verdict on a booking that is over."""

    ATTENDED = "attended"
    GHOST = "ghost"  # nobody came, and somebody would have told if anybody had
    LEFT_EARLY = "left_early"
    OVERRUN = "overrun"  # they stayed, past its end
    UNKNOWN = "unknown"  # nobody can tell


class EvidenceKind(StrEnum):
    """By what people are noticed."""

    PEOPLE = "people"  # heads were counted
    PRESENCE = "presence"
    IN_USE = "in_use"  # the device concludes it, from something else than the others here
    CALL = "call"
    SHARING = "sharing"
    CHECK_IN = "check_in"
    ANSWER = "answer"  # to something on a screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """That people were noticed during a booking, by what and by whom; never who they are."""

    kind: EvidenceKind
    by: str | None  # a device or a sensor; None: a calendar says so
    first_at: datetime
    last_at: datetime  # while it lasts, when it was looked at last
    lasted: timedelta = timedelta(0)  # all told, without what runs
    since: datetime | None = None  # it lasts, without a pause from then on


@dataclass(frozen=True, slots=True, kw_only=True)
class Attendance:
    """Whether a booking is used: what is known of it from its start to its end."""

    booking: BookingKey
    phase: AttendancePhase = AttendancePhase.AWAITED
    since: datetime  # when it entered this phase
    starts_at: datetime  # from when on it is watched
    begun: bool = False  # the cloud was told that it has begun
    follows: bool = False  # people of another booking may still have been there
    outcome: Outcome | None = None  # once it is over, and nothing more is waited for
    evidence: tuple[Evidence, ...] = ()
    came_at: datetime | None = None  # when somebody was there for long enough, first
    seen_at: datetime | None = None  # when somebody was there last; while somebody is, when that began
    deserted_since: datetime | None = None  # while it is deserted: since when the room has been empty
    there: bool | None = None  # whether anybody is there; None: nobody can tell
    there_since: datetime  # that has stood without a pause; accounts are settled up to then
    known: timedelta = timedelta(0)  # of what is settled: how long it was known
    unknown: timedelta = timedelta(0)  # … and not
    people_peak: int | None = None  # None: nobody was counted
    left: Booking | None = None  # as it was at its end, while the verdict waits
    ends_at: datetime | None = None  # of what was watched, once it is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is remembered of one device or sensor, beside what it says now."""

    up: Mapping[EvidenceKind, datetime] = field(
        default_factory=dict
    )  # signs of people, since when each is up
    steady: Mapping[EvidenceKind, datetime] = field(default_factory=dict)  # … and it has not said no of it
    people: int | None = None  # the last number that it counted
    same_since: datetime | None = None  # and has not counted another from then on
    picture: int | None = None  # so many of those whom it counts are none: a poster, a glass wall
    pictured_at: datetime | None = None  # when it last counted as many as that; None: it does
    tells: bool = False  # it has told whether anybody is there, so that its silence counts
    blind_since: datetime | None = None  # it is heard, and has not told that from then on
    anew: bool = True  # it was heard in this life of the agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """People are in a room while it is not booked."""

    since: datetime
    seen_at: datetime | None = None  # when the last of them was noticed; None: they are there
    lasting: bool = False  # one of them for long enough to be no passer-by
    evidence: tuple[Evidence, ...] = ()
    people_peak: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is noticed of people in a room, whether it is booked or not."""

    seen: Mapping[str, Seen] = field(default_factory=dict)  # by device or sensor
    there: bool | None = None  # whether anybody is there; None: nobody can tell
    there_since: datetime | None = None  # None: it was never looked at
    looked_at: datetime | None = None  # last, give or take some minutes
    unbooked: Use | None = None


NOT_WATCHED = Watch()


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A room's whole state: what a restart must find again."""

    id: RoomId
    devices: Mapping[DeviceId, DeviceState] = field(default_factory=dict)
    bookings: Mapping[BookingKey, Booking] = field(default_factory=dict)  # with those that are just over
    sensors: Mapping[DeviceId, Occupancy] = field(default_factory=dict)  # as each device says
    third_party: Mapping[SensorId, SensorState] = field(default_factory=dict)  # sensors that are not Cisco's
    occupancy: Occupancy = NOTHING_KNOWN  # as the cloud was told last
    occupancy_since: datetime | None = None
    holds: Mapping[FeedbackId, Hold] = field(default_factory=dict)  # with those still to be taken off
    commands: Mapping[CommandId, Command] = field(default_factory=dict)  # begun, or done lately
    calendars: Mapping[CalendarKind, CalendarState] = field(default_factory=dict)  # linked, the better first
    believed: CalendarKind | None = None  # the linked calendar whose word the agenda is; None: the devices'
    heard: Mapping[BookingKey, Booking] | None = None  # as devices say, if another's word may be believed
    puts_agenda: bool | None = None  # give devices what a linked calendar has; None: leave them as they are
    releases: Mapping[BookingKey, ReleaseAttempt] = field(default_factory=dict)  # until their bookings' ends
    watch: Watch = NOT_WATCHED
    attendances: Mapping[BookingKey, Attendance] = field(default_factory=dict)  # of those that have begun
    tally: Tally | None = None  # None: nothing is counted
