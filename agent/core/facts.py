"""What the cloud is told and answered, and what devices are asked for: what a step brings forth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from agent.core.model import Booking, DeviceId, DeviceState, Occupancy, Room
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
    OCCUPANCY_CHANGED = "occupancy.changed"
    DEVICE_CONNECTED = "device.connected"
    DEVICE_LOST = "device.lost"
    DEVICE_REFUSED = "device.refused"
    DEVICE_REBOOTED = "device.rebooted"
    DEVICE_UPGRADED = "device.upgraded"
    DEVICE_MISCONFIGURED = "device.misconfigured"


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
class OccupancyFact:
    """The people of the room, or what is known of them, changed."""

    kind: FactKind
    at: datetime
    occupancy: Occupancy
    previous: Occupancy
    recovered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFact:
    """Something became of a device; `cause` in words that a technician can act on."""

    kind: FactKind
    at: datetime
    device: DeviceState
    cause: str | None = None
    recovered: bool = False


Fact = BookingFact | OccupancyFact | DeviceFact


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBookings:
    """Ask this device for its whole list of bookings."""

    device: DeviceId


Request = ListBookings


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The room after an event, what the cloud is told of it, and what devices are asked for."""

    room: Room
    facts: tuple[Fact, ...] = ()
    requests: tuple[Request, ...] = ()
    answers: tuple[Answer, ...] = ()  # written in the same transaction as the room and its facts
    ignored: int = 0  # moves that the tables do not know: counted, never followed
