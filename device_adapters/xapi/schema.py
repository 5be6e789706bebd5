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


ANSWERS_REQUESTS_SINCE = Firmware(11, 23)  # BookingCreated and BookingFailed
ROOM_IN_USE_SINCE = Firmware(11, 0)
BOOKINGS_CONFIGURATION_SINCE = Firmware(11, 15)  # CheckIn; AdhocBooking BookingTimeout followed in 11.17


def answers_requests(firmware: Firmware) -> bool:
    """Whether the device says what became of a booking request."""
    return firmware >= ANSWERS_REQUESTS_SINCE


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
ON_OFF = Words(meaning={"On": True, "Off": False})
TRUE_FALSE = Words(meaning={"True": True, "False": False, True: True, False: False})
PEOPLE_COUNT = Whole(least=-1, most=100_000)  # -1: standby, or the feature is off
PEOPLE_PRESENCE = Words(meaning={"Yes": True, "No": False, "Unknown": None})
ACTIVE_CALLS = Whole(least=0, most=1000)
PRESENTATION_MODE = Words(meaning={"Sending": True, "Receiving": False, "Off": False})  # True: from this room
UPTIME_S = Whole(least=0, most=1_000_000_000)
DURATION_MIN = Whole(least=1, most=60 * 24 * 366)
BOOKING_TIMEOUT_S = Whole(least=1, most=3600)  # 60 to 300 by the schema; newer ones may allow more
ROWS = Whole(least=0)
