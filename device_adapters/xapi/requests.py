"""What we ask of a device, as data: subscriptions, readings, and what the core asks for in xAPI commands."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.facts import ListBookings, Request
from device_adapters.xapi.messages import Call
from device_adapters.xapi.schema import (
    ANY,
    BOOKINGS_CONFIGURATION_SINCE,
    ROOM_IN_USE_SINCE,
    Firmware,
)

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A branch to hear of, and what is lost where the device will not tell."""

    path: Path
    loses: str  # completes the sentence "Without it, …"
    since: Firmware = ANY  # older firmware refuses, and nothing is wrong with it


# Few branches, because the number is limited (38 or 50 per session) and each costs the device something;
# no overlaps, because each subscription sends a frame of its own.
SUBSCRIPTIONS = (
    Subscription(path=("Event", "Bookings"), loses="bookings are only found by listing them"),
    Subscription(
        path=("Status", "RoomAnalytics", "PeopleCount"), loses="people are only counted now and then"
    ),
    Subscription(
        path=("Status", "RoomAnalytics", "PeoplePresence"), loses="presence is only looked up now and then"
    ),
    Subscription(
        path=("Status", "RoomAnalytics", "RoomInUse"),
        loses="the room's use is only looked up now and then",
        since=ROOM_IN_USE_SINCE,
    ),
    Subscription(
        path=("Status", "SystemUnit", "State", "NumberOfActiveCalls"),
        loses="calls are only looked up now and then",
    ),
    Subscription(
        path=("Status", "Conference", "Presentation"), loses="sharing is only looked up now and then"
    ),
    Subscription(path=("Configuration", "RoomAnalytics"), loses="changes of its configuration go unnoticed"),
    Subscription(
        path=("Configuration", "Bookings"),
        loses="changes of its booking configuration go unnoticed",
        since=BOOKINGS_CONFIGURATION_SINCE,
    ),
    Subscription(path=("Configuration", "Time", "Zone"), loses="a new time zone goes unnoticed"),
)

WHO_ARE_YOU: Path = ("Status", "SystemUnit")
UPTIME: Path = ("Status", "SystemUnit", "Uptime")

# Current values: read at connect and every few minutes.
SENSORS: tuple[Path, ...] = (
    ("Status", "RoomAnalytics"),
    ("Status", "SystemUnit", "State", "NumberOfActiveCalls"),
    ("Status", "Conference", "Presentation"),
)

# Configuration: read at connect, heard of afterwards.
CONFIGURATION: tuple[Path, ...] = (
    ("Configuration", "RoomAnalytics"),
    ("Configuration", "Bookings"),
    ("Configuration", "Time", "Zone"),
)

LISTED_DAYS = 2  # today and tomorrow, as the device counts days


def subscribe(path: Path) -> Call:
    """The call that subscribes to a branch, without its current value: that is read afterwards."""
    return Call(method="xFeedback/Subscribe", params={"Query": path, "NotifyCurrentValue": False})


def get(path: Path) -> Call:
    """The call that reads a leaf or a branch."""
    return Call(method="xGet", params={"Path": path})


def list_bookings(*, offset: int = 0) -> Call:
    """The call that lists the bookings of today and tomorrow from the `offset`-th on."""
    params: dict[str, object] = {"Days": LISTED_DAYS}
    if offset:
        params["Offset"] = offset
    return Call(method="xCommand/Bookings/List", params=params)


def command_for(request: Request) -> Call:
    """What the core asks for, as the device's command. All firmware understands those there are by now."""
    match request:
        case ListBookings():
            return list_bookings()
