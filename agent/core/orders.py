"""What the cloud or a person orders of a room, and what they are answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.core.model import AnswerStatus, CommandId, HoldId, Surface

__all__ = [
    "FINAL_ANSWERS",
    "Answer",
    "AnswerStatus",
    "BookRoom",
    "CancelHold",
    "ClearMessage",
    "CommandId",
    "ExtendBooking",
    "ExtendHold",
    "HoldId",
    "Order",
    "PlaceHold",
    "ReleaseBooking",
    "Resync",
    "ShowMessage",
    "Surface",
]

# Times in orders are UTC.


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold:
    """Keep the room for somebody for a while, and say so on its screens."""

    hold: HoldId
    text: str
    title: str | None = None
    starts_at: datetime | None = None  # None: at once
    ends_at: datetime
    surfaces: tuple[Surface, ...] = (Surface.SCREEN,)
    answers: tuple[str, ...] = ()  # at most five, in the order in which they stand on the screen
    wake: bool = False  # bring the devices out of standby, so that it is read
    book: bool = False  # book the room for that time as well


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendHold:
    """Give a hold that stands another end."""

    hold: HoldId
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelHold:
    """Take a hold back."""

    hold: HoldId


@dataclass(frozen=True, slots=True, kw_only=True)
class BookRoom:
    """Book the room on one of its devices; done when its booking is confirmed."""

    starts_at: datetime
    duration: timedelta
    title: str | None = None
    organizer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendBooking:
    """Have a booking end later: at a time, or by so much; exactly one of the two is given."""

    booking: str  # our key, a booking id or a meeting id
    ends_at: datetime | None = None
    by: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseBooking:
    """Give the room back: decline or delete, whichever its calendar understands."""

    booking: str  # our key, a booking id or a meeting id


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowMessage:
    """A plain message on the room's screens for a while."""

    text: str
    title: str | None = None
    surfaces: tuple[Surface, ...] = (Surface.SCREEN,)
    duration: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearMessage:
    """Take the plain message off these surfaces; off all of them if none is named."""

    surfaces: tuple[Surface, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resync:
    """List bookings and read current values anew."""


Order = (
    PlaceHold
    | ExtendHold
    | CancelHold
    | BookRoom
    | ExtendBooking
    | ReleaseBooking
    | ShowMessage
    | ClearMessage
    | Resync
)


FINAL_ANSWERS = frozenset(AnswerStatus) - {AnswerStatus.ACCEPTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What whoever gave a command is told of it; `reason` in words that a person can act on."""

    command: CommandId
    status: AnswerStatus
    reason: str | None = None
    at: datetime
    result: Mapping[str, object] | None = None  # of text, numbers and None: fit for JSON
