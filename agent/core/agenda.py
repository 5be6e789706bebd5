"""One agenda per room: its bookings in order, the one that is on and the one that comes next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agent.core.model import Ability, Booking, BookingPhase, CalendarKind, DevicePhase, DeviceState, Room

GRANTED = frozenset({BookingPhase.CONFIRMED, BookingPhase.STARTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """What is booked, as far as it is known."""

    bookings: tuple[Booking, ...]  # all that stand, asked for or granted, by start
    current: Booking | None
    next: Booking | None
    believed: CalendarKind | None  # the calendar whose word this is; None while none has spoken
    as_of: datetime | None  # when that calendar was last compared as a whole
    fresh: bool  # whether somebody would tell us of a change


def agenda(room: Room, *, now: datetime) -> Agenda:
    """The room's agenda; of overlapping bookings the one that started first is the current one."""
    bookings = tuple(
        sorted(
            (b for b in room.bookings.values() if b.live and b.ends_at > now),
            key=lambda b: (b.starts_at, b.key),
        )
    )
    granted = [b for b in bookings if b.phase in GRANTED]
    begun = {b.key for b in granted if b.phase is BookingPhase.STARTED or b.starts_at <= now}
    return Agenda(
        bookings=bookings,
        current=next((b for b in granted if b.key in begun), None),
        next=next((b for b in granted if b.key not in begun), None),
        believed=next((b.calendar for b in reversed(granted) if b.calendar), None),
        as_of=max((d.listed_at for d in room.devices.values() if d.listed_at), default=None),
        fresh=any(_tells(device) for device in room.devices.values()),
    )


def _tells(device: DeviceState) -> bool:
    heard = device.phase is DevicePhase.CONNECTED and not device.recovering
    return heard and Ability.BOOKINGS not in device.lacks
