"""One agenda per room: its bookings in order, the one that is on and the one that comes next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agent.core.model import (
    Ability,
    Booking,
    BookingPhase,
    CalendarKind,
    CalendarPhase,
    DevicePhase,
    DeviceState,
    Room,
)

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
    linked = None if room.believed is None else room.calendars.get(room.believed)
    devices_listed_at = max((d.listed_at for d in room.devices.values() if d.listed_at), default=None)
    return Agenda(
        bookings=bookings,
        current=next((b for b in granted if b.key in begun), None),
        next=next((b for b in granted if b.key not in begun), None),
        believed=room.believed or next((b.calendar for b in reversed(granted) if b.calendar), None),
        as_of=devices_listed_at if room.believed is None else linked.listed_at if linked else None,
        fresh=any(_tells(device) for device in room.devices.values())
        if room.believed is None
        else linked is not None and linked.phase is CalendarPhase.ACTIVE and not linked.recovering,
    )


def _tells(device: DeviceState) -> bool:
    heard = device.phase is DevicePhase.CONNECTED and not device.recovering
    return heard and Ability.BOOKINGS not in device.lacks
