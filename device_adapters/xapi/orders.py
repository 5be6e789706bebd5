"""What booking, extending and releasing mean as calls to a device, by what its firmware understands."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta

from agent.core.events import AgendaPut, AgendaRefused, OrderRefused, OrderTaken
from agent.core.facts import Book, Extend, PutAgenda, PutBooking, Release
from agent.core.model import BookingPhase, CalendarKind
from device_adapters.xapi import requests
from device_adapters.xapi.messages import Call
from device_adapters.xapi.plans import Plan
from device_adapters.xapi.requests import Makeup, NotUnderstood
from device_adapters.xapi.wording import fit_title

_BOOK = "Bookings Book"

TITLE_MOST = 128
UNTITLED = "Busy"  # for what has no title, or is private
NOBODY = "-"  # organizers are not for screens
WEBEX = "webex"  # of `Meeting.platform`

# Where a room is invited and can decline; on the others a booking is the device's own.
INVITES = frozenset({CalendarKind.HYBRID, CalendarKind.MICROSOFT, CalendarKind.GOOGLE})


class NoBookings(NotUnderstood):
    """A product without bookings."""

    mend = "order it of the room's codec or board, or register the Navigator"


class TeamsHasItsOwn(NotUnderstood):
    """Microsoft Teams Rooms shows what its own account has."""

    mend = "leave put_on_devices out of this room's calendar"


class NotOnTeams(NotUnderstood):
    """Microsoft Teams Rooms keeps this to itself."""

    mend = "do it in the calendar"


def book(asked: Book, makeup: Makeup) -> Plan:
    """Book the room, in whole minutes. NotUnderstood, or Unreadable of `schema`."""
    firmware = makeup.firmware
    title = fit_title(asked.title or "", requests.longest(firmware, _BOOK, "Title"))
    organizer = ""
    if requests.takes(firmware, _BOOK, "OrganizerName"):
        organizer = fit_title(asked.organizer or "", requests.longest(firmware, _BOOK, "OrganizerName"))
    call = requests.book(
        firmware,
        starts_at=asked.starts_at,
        minutes=_minutes(asked.ends_at - asked.starts_at),
        title=title or None,
        request_id=asked.request_id,
        organizer=organizer or None,
    )
    return _plan(asked, makeup, call)


def extend(asked: Extend, makeup: Makeup) -> Plan:
    """Let it last longer (11.14 and newer). `Edit`, as old, would need its start and can no more."""
    if makeup.teams:
        raise NotOnTeams("Microsoft Teams Rooms extends no bookings")
    call = requests.extend(
        makeup.firmware,
        booking_id=asked.booking_id,
        meeting_id=asked.meeting_id,
        minutes=_minutes(asked.by),
    )
    return _plan(asked, makeup, call)


def release(asked: Release, makeup: Makeup) -> Plan:
    """Check out what has started, decline an invitation, delete: what is refused makes way for the next."""
    firmware, booking = makeup.firmware, asked.booking
    meeting_id, booking_id = booking.meeting_id, booking.booking_ids.get(asked.device)
    ways: list[Callable[[], Call]] = []
    if booking.phase is BookingPhase.STARTED and not makeup.teams:
        ways.append(lambda: requests.check_out(firmware, booking_id=booking_id, meeting_id=meeting_id))
    if meeting_id is not None and booking.calendar in INVITES:
        ways.append(lambda: requests.respond(firmware, meeting_id=meeting_id, accept=False))
    ways.append(lambda: requests.delete(firmware, booking_id=booking_id, meeting_id=meeting_id))
    calls: list[Call] = []
    not_understood: NotUnderstood | None = None
    for way in ways:
        try:
            calls.append(way())
        except NotUnderstood as error:
            not_understood = error
    if not calls and not_understood is not None:
        raise not_understood
    return _plan(asked, makeup, *calls)


def put(asked: PutAgenda, makeup: Makeup) -> Plan:
    """Have the device hold this agenda, in whole minutes, and nothing of who has called for it."""
    if not makeup.books:
        raise NoBookings("a Room Navigator that stands alone has no bookings")
    if makeup.teams:
        raise TeamsHasItsOwn("Microsoft Teams Rooms shows its own calendar")
    call = requests.put_bookings(makeup.firmware, bookings=[_written(each) for each in asked.bookings])
    taken = AgendaPut(device=asked.device, edition=asked.edition)
    return Plan(calls=(call,), taken=taken, refused=not_put(asked), order=True)


def not_put(asked: PutAgenda, why: str = "") -> AgendaRefused:
    """What is told where the agenda cannot be put on the device."""
    return AgendaRefused(device=asked.device, edition=asked.edition, why=why)


def _written(booking: PutBooking) -> dict[str, object]:
    """All that Cisco's own tools put, as it is not written which of it may be left out."""
    link = booking.join or ""
    return {
        "Id": booking.booking_id,
        "Title": fit_title(booking.title or "", TITLE_MOST) or UNTITLED,
        "Number": link,
        "Protocol": _protocol(link, booking.platform),
        "Organizer": {"Name": NOBODY},
        "Time": {
            "StartTime": requests.stamp(booking.starts_at),
            "Duration": max(1, _minutes(booking.ends_at - booking.starts_at)),
        },
    }


def _protocol(link: str, platform: str | None) -> str:
    """By which the device joins: as devices list it themselves for such links."""
    if "://" not in link:
        return "SIP"
    return "Spark" if platform == WEBEX else "WebRTC"


def refused(asked: Book | Extend | Release, why: str = "") -> OrderRefused:
    """What is told where it cannot be done."""
    return OrderRefused(device=asked.device, command=asked.command, why=why)


def _plan(asked: Book | Extend | Release, makeup: Makeup, *calls: Call) -> Plan:
    if not makeup.books:
        raise NoBookings("a Room Navigator that stands alone has no bookings")
    taken = OrderTaken(device=asked.device, command=asked.command)
    return Plan(calls=calls, taken=taken, refused=refused(asked), order=True)


def _minutes(span: timedelta) -> int:
    return math.ceil(span / timedelta(minutes=1))
