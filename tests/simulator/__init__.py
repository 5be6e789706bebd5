"""A site of Cisco room devices as the network sees them; knows nothing of roomd, so that mistakes show."""

from tests.simulator.bookings import Answer, Booking, CalendarKind, NoSuchBooking, Organizer
from tests.simulator.clock import ManualClock, RunningClock
from tests.simulator.device import Device
from tests.simulator.faults import Faults
from tests.simulator.firmware import (
    ALL_VERSIONS,
    NO_ANALYTICS,
    STANDALONE_NAVIGATOR,
    TEAMS_ROOMS,
    VERSIONS,
)
from tests.simulator.screen import Message, NotShown, Screen
from tests.simulator.scripts import AWKWARD_TITLES
from tests.simulator.site import Site

__all__ = [
    "ALL_VERSIONS",
    "AWKWARD_TITLES",
    "NO_ANALYTICS",
    "STANDALONE_NAVIGATOR",
    "TEAMS_ROOMS",
    "VERSIONS",
    "Answer",
    "Booking",
    "CalendarKind",
    "Device",
    "Faults",
    "ManualClock",
    "Message",
    "NoSuchBooking",
    "NotShown",
    "Organizer",
    "RunningClock",
    "Screen",
    "Site",
]
