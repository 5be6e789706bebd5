"""Types and value spaces of the nodes that we use, and since which firmware they exist."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

# Cast by the schema and not by looks: over WebSocket integers are numbers and literals are strings, over
# SSH everything is a string, and a title "5" is text on either.


class Unreadable(ValueError):
    """A value outside its node's value space."""


# ── firmware ──────────────────────────────────────────────────────────────────────────────────────


class Firmware(NamedTuple):
    """A RoomOS or CE version, comparable."""

    major: int
    minor: int
    patch: int = 0


ANY = Firmware(0, 0)
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,6}))?")


def read_firmware(text: str) -> Firmware:
    """`ce11.27.2.0.8a5c1d`, `RoomOS 11.27.2.0 8a5c1d`, `ce 9.15.3`; ANY, older than all, if it is none."""
    found = _VERSION.search(text)
    return Firmware(*(int(part or 0) for part in found.groups())) if found else ANY


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Which versions have something: those from `since` on that are older than `until`."""

    since: Firmware = ANY
    until: Firmware | None = None

    def covers(self, firmware: Firmware) -> bool:
        """Whether this version has it."""
        return firmware >= self.since and (self.until is None or firmware < self.until)


# As Cisco's published schemas have them: the first version is the first of which there is one. What CE 9.15
# has is taken to be older than all that we meet.
ALWAYS = Life()
SINCE_10_19 = Life(since=Firmware(10, 19))
SINCE_11_14 = Life(since=Firmware(11, 14))
SINCE_11_15 = Life(since=Firmware(11, 15))
SINCE_11_16 = Life(since=Firmware(11, 16))
SINCE_11_17 = Life(since=Firmware(11, 17))
SINCE_11_18 = Life(since=Firmware(11, 18))
SINCE_11_19 = Life(since=Firmware(11, 19))
SINCE_11_23 = Life(since=Firmware(11, 23))
SINCE_11_24 = Life(since=Firmware(11, 24))
SINCE_11_26 = Life(since=Firmware(11, 26))
SINCE_26_1 = Life(since=Firmware(26, 1))
SINCE_26_5 = Life(since=Firmware(26, 5))  # of what is documented, and in no published schema (26.4) yet
UNTIL_10_19 = Life(until=Firmware(10, 19))

Path = tuple[str, ...]


def _node(text: str) -> Path:
    return tuple(text.split())


# What we read, hear and write, and which versions have it.
NODES: Mapping[Path, Life] = {
    _node("Status SystemUnit ProductId"): ALWAYS,
    _node("Status SystemUnit Uptime"): ALWAYS,
    _node("Status SystemUnit Software Version"): ALWAYS,
    _node("Status SystemUnit Software DisplayName"): ALWAYS,
    _node("Status SystemUnit Hardware Module SerialNumber"): ALWAYS,
    _node("Status SystemUnit State NumberOfActiveCalls"): ALWAYS,
    _node("Status RoomAnalytics PeopleCount Current"): ALWAYS,
    _node("Status RoomAnalytics PeopleCount Capacity"): SINCE_10_19,
    _node("Status RoomAnalytics PeoplePresence"): ALWAYS,
    _node("Status RoomAnalytics RoomInUse"): SINCE_11_14,
    _node("Status Conference Presentation Mode"): ALWAYS,
    _node("Status Conference Presentation LocalInstance"): ALWAYS,
    _node("Status Conference Presentation CallId"): ALWAYS,
    _node("Status Conference Presentation Whiteboard"): SINCE_11_14,
    # Of Microsoft Teams Rooms there is no published schema; macros of its users read these.
    _node("Status MicrosoftTeams Software Version TeamsApp"): SINCE_11_14,
    _node("Status MicrosoftTeams Calling InCall"): SINCE_11_14,
    _node("Event Bookings Updated"): ALWAYS,  # CE 9 has it, although its schema leaves out all events
    _node("Event Bookings BookingRequested"): SINCE_10_19,
    _node("Event Bookings Start"): SINCE_10_19,
    _node("Event Bookings End"): SINCE_10_19,
    _node("Event Bookings ExtensionRequested"): SINCE_10_19,
    _node("Event Bookings NotificationSnoozed"): SINCE_10_19,
    _node("Event Bookings TimeRemaining"): SINCE_10_19,
    _node("Event Bookings StartTimeBuffer"): SINCE_10_19,
    _node("Event Bookings EndTimeBuffer"): SINCE_10_19,
    _node("Event Bookings Deleted"): SINCE_11_14,
    _node("Event Bookings EditRequested"): SINCE_11_18,
    _node("Event Bookings CheckedIn"): SINCE_11_19,
    _node("Event Bookings BookingCreated"): SINCE_11_23,
    _node("Event Bookings BookingFailed"): SINCE_11_23,
    _node("Event Bookings ExtensionFailed"): SINCE_11_23,
    _node("Event Bookings BookingMoved"): SINCE_11_24,
    _node("Event Bookings SyncRequired"): SINCE_11_24,
    _node("Event Bookings EditFailed"): SINCE_26_1,
    _node("Event UserInterface Message Prompt Display"): ALWAYS,
    _node("Event UserInterface Message Prompt Response"): ALWAYS,
    _node("Event UserInterface Message Prompt Cleared"): ALWAYS,
    _node("Configuration RoomAnalytics PeopleCountOutOfCall"): ALWAYS,
    _node("Configuration RoomAnalytics PeoplePresenceDetector"): ALWAYS,
    _node("Configuration RoomAnalytics PeoplePresence Input HeadDetector"): SINCE_11_14,
    _node("Configuration RoomAnalytics RoomInUse InCall"): SINCE_11_17,
    _node("Configuration RoomAnalytics RoomInUse LocalUsage"): SINCE_11_17,
    _node("Configuration Bookings CheckIn Enabled"): SINCE_11_15,
    _node("Configuration Bookings AdhocBooking BookingTimeout"): SINCE_11_17,
    _node("Configuration Provisioning Mode"): ALWAYS,
    _node("Configuration Time Zone"): ALWAYS,
    _node("Configuration UserInterface LedControl Mode"): SINCE_10_19,
}


def has(firmware: Firmware, path: Path) -> bool:
    """Whether this version has the node, or anything that we use below it."""
    return any(life.covers(firmware) for node, life in NODES.items() if node[: len(path)] == path)


def answers_requests(firmware: Firmware) -> bool:
    """Whether the device says what became of a booking request."""
    return has(firmware, ("Event", "Bookings", "BookingCreated"))


# ── value spaces ──────────────────────────────────────────────────────────────────────────────────

_NUMBERS_BELOW = 2**64  # in the place of text; Python refuses to write very long ones
_WHOLE = re.compile(r"-?[0-9]{1,12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number within bounds."""

    least: int
    most: int = 2**40

    def cast(self, value: object) -> int:
        """The number, also from a string; Unreadable if it is none or out of bounds."""
        if type(value) is int:
            number = value
        elif type(value) is str and _WHOLE.fullmatch(value):
            number = int(value)
        else:
            raise Unreadable("not a whole number")
        if self.least <= number <= self.most:
            return number
        raise Unreadable("number out of bounds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Any text, cut where it is longer than anybody can mean it."""

    longest: int = 1024  # titles have 255 at most; a join link has a few hundred

    def cast(self, value: object) -> str | None:
        """The text, None for the empty one (how devices say "nothing"); Unreadable if it is a tree."""
        if type(value) is str:
            return value[: self.longest].strip() or None
        if type(value) is int and abs(value) < _NUMBERS_BELOW:
            return str(value)
        if value is None:
            return None
        raise Unreadable("not text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An opaque name. Never cut: two long ones would become one."""

    longest: int = 512

    def cast(self, value: object) -> str | None:
        """The name, None for the empty one; Unreadable if it is a tree or too long to be a name."""
        if type(value) is str:
            if len(value) > self.longest:
                raise Unreadable("too long for a name")
            return value or None
        if type(value) is int and abs(value) < _NUMBERS_BELOW:
            return str(value)
        if value is None:
            return None
        raise Unreadable("not a name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One of a few words, and what each means: True, False, or None for unknown."""

    meaning: Mapping[object, bool | None]

    def cast(self, value: object) -> bool | None:
        """What the word means; Unreadable for any other."""
        try:
            return self.meaning[value]
        except (KeyError, TypeError):
            raise Unreadable("not a word of its value space") from None


FIRST_YEAR, LAST_YEAR = 2000, 2200  # time zones and grace reach beyond the ends of what datetime can say


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A point in time in ISO 8601; without an offset it is UTC. Ages in which nobody books are refused."""

    def cast(self, value: object) -> datetime:
        """In UTC, to the second as devices mean it; Unreadable if it is none."""
        if type(value) is not str or len(value) < len("2026-03-02T09:00"):
            raise Unreadable("not a time")
        try:
            moment = datetime.fromisoformat(value)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise Unreadable("not a time") from None
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise Unreadable("not a time of our age")
        return moment


TEXT = Text()
IDENTITY = Identity()
MOMENT = Moment()
TRUE_FALSE = Words(meaning={"True": True, "False": False, True: True, False: False})
PEOPLE_COUNT = Whole(least=-1, most=100_000)  # -1: standby, or the feature is off
PEOPLE_PRESENCE = Words(meaning={"Yes": True, "No": False, "Unknown": None})
ACTIVE_CALLS = Whole(least=0, most=1000)
PRESENTATION_MODE = Words(meaning={"Sending": True, "Receiving": False, "Off": False})  # True: from this room
UPTIME_S = Whole(least=0, most=1_000_000_000)
DURATION_MIN = Whole(least=1, most=60 * 24 * 366)
BOOKING_TIMEOUT_S = Whole(least=1, most=3600)  # 60 to 300 by the schema; newer ones may allow more
ROWS = Whole(least=0)
OPTION = Whole(least=1, most=5)  # of a prompt
SHOWN_S = Whole(least=0, most=3600)  # 0: until it is cleared
PROVISIONED = Words(
    meaning={"Off": False, **dict.fromkeys(("Auto", "CUCM", "Edge", "TMS", "VCS", "Webex"), True)}
)


# ── commands ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Text that we send: refused, and not cut, where it is too long."""

    least: int = 0
    most: int

    def cast(self, value: object) -> str:
        """The text; Unreadable if it is too short or too long, or would break a command line."""
        if type(value) is not str or not self.least <= len(value) <= self.most:
            raise Unreadable(f"not a text of {self.least} to {self.most} characters")
        if "\n" in value or "\r" in value:
            raise Unreadable("a text of several lines")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of a few words that we send."""

    words: frozenset[str]

    def cast(self, value: object) -> str:
        """The word; Unreadable for any other."""
        if not isinstance(value, str) or value not in self.words:
            raise Unreadable(f"not one of {', '.join(sorted(self.words))}")
        return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A command's parameter, in the versions that take it with these values."""

    name: str
    space: Whole | Wording | Choice
    life: Life = ALWAYS
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command, in the versions that have it."""

    life: Life = ALWAYS
    parameters: tuple[Parameter, ...] = ()


def _words(text: str) -> Choice:
    return Choice(words=frozenset(text.split()))


LIGHT_MODES = _words("Auto Manual Off")  # of `LedControl Mode`; the same in all versions that have it

_NAME = Wording(least=1, most=128)
_MINUTES = Whole(least=1, most=1440)
_WORDS = Wording(most=255)
_ID = Parameter(name="Id", space=_NAME)
_MEETING_ID = Parameter(name="MeetingId", space=_NAME)
_FEEDBACK_ID = Parameter(name="FeedbackId", space=_WORDS)
_SHOWN_S = Parameter(name="Duration", space=SHOWN_S)
_TARGET = Parameter(name="Target", space=_words("OSD RoomScheduler Controller"), life=SINCE_26_1)
_SIGNAL_COLOURS = "Red Yellow Green Off"
_ALL_COLOURS = (
    "Green Yellow Red Purple Blue Orange Orchid Aquamarine Fuchsia Violet Magenta Scarlet Gold Lime"
    " Turquoise Cyan Off"
)

COMMANDS: Mapping[str, Command] = {
    "Bookings List": Command(
        parameters=(
            Parameter(name="Days", space=Whole(least=1, most=365)),
            Parameter(name="Offset", space=Whole(least=0, most=65534)),
        )
    ),
    "Bookings Get": Command(
        parameters=(_ID, Parameter(name="MeetingId", space=_NAME, life=SINCE_11_23)),
    ),
    "Bookings Book": Command(
        parameters=(
            Parameter(name="BookingRequestUUID", space=_NAME),
            Parameter(name="StartTime", space=Wording(most=128)),
            Parameter(name="Duration", space=_MINUTES),
            Parameter(name="Title", space=Wording(most=128)),
            Parameter(name="OrganizerName", space=Wording(most=128), life=SINCE_11_18),
        )
    ),
    "Bookings Extend": Command(
        life=SINCE_11_14,
        parameters=(
            Parameter(name="Duration", space=_MINUTES, required=True),
            _ID,
            Parameter(name="MeetingId", space=_NAME, life=SINCE_11_23),
        ),
    ),
    "Bookings Respond": Command(
        life=SINCE_10_19,
        parameters=(
            Parameter(name="MeetingId", space=_NAME, required=True),
            Parameter(name="Type", space=_words("Accept Decline"), required=True),
            Parameter(name="Comment", space=Wording(least=1, most=2048), life=SINCE_11_16),
        ),
    ),
    "Bookings Delete": Command(
        parameters=(
            Parameter(name="Id", space=_NAME, life=UNTIL_10_19),
            Parameter(name="Id", space=_NAME, life=SINCE_11_14),
            Parameter(name="MeetingId", space=_NAME, life=SINCE_10_19),
        )
    ),
    "Bookings CheckIn": Command(life=SINCE_26_1, parameters=(_ID, _MEETING_ID)),
    "Bookings CheckOut": Command(life=SINCE_11_26, parameters=(_ID, _MEETING_ID)),
    "Bookings Put": Command(),  # and a body below its line
    "UserInterface Message Prompt Display": Command(
        parameters=(
            Parameter(name="Text", space=_WORDS, required=True),
            Parameter(name="Title", space=_WORDS),
            _FEEDBACK_ID,
            *(Parameter(name=f"Option.{number}", space=_WORDS) for number in range(1, 6)),
            _SHOWN_S,
            _TARGET,
        )
    ),
    "UserInterface Message Prompt Clear": Command(parameters=(_FEEDBACK_ID, _TARGET)),
    "UserInterface Message Alert Display": Command(
        parameters=(
            Parameter(name="Text", space=_WORDS, required=True),
            Parameter(name="Title", space=_WORDS),
            _SHOWN_S,
            _TARGET,
        )
    ),
    "UserInterface Message Alert Clear": Command(parameters=(_TARGET,)),
    "UserInterface Message TextLine Display": Command(
        parameters=(Parameter(name="Text", space=Wording(most=140), required=True), _SHOWN_S, _TARGET)
    ),
    "UserInterface Message TextLine Clear": Command(parameters=(_TARGET,)),
    "UserInterface LedControl Color Set": Command(
        life=SINCE_10_19,
        parameters=(
            Parameter(
                name="Color",
                space=_words(_SIGNAL_COLOURS),
                life=Life(since=Firmware(10, 19), until=Firmware(11, 14)),
                required=True,
            ),
            Parameter(name="Color", space=_words(_ALL_COLOURS), life=SINCE_11_14, required=True),
        ),
    ),
    "Standby Deactivate": Command(),
    "RoomAnalytics RoomInUse Set": Command(
        life=SINCE_26_5,
        parameters=(
            Parameter(name="State", space=_words("InUse NotInUse"), required=True),
            Parameter(name="Duration", space=Whole(least=1, most=3600)),
            Parameter(name="ID", space=Wording(least=1, most=100)),
        ),
    ),
}
