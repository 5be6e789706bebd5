"""What we ask of a device, as data: what this firmware has of what we want to hear, read and have done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from agent.core.model import BookingId, MeetingId, RequestId
from device_adapters.xapi.messages import Call
from device_adapters.xapi.schema import ANY, COMMANDS, LIGHT_MODES, Firmware, Wording, has
from device_adapters.xapi.schema import Path as Path  # noqa: PLC0414 - callers name paths by this module


@dataclass(frozen=True, slots=True, kw_only=True)
class Makeup:
    """What a device is, as far as it decides what is asked of it."""

    firmware: Firmware = ANY
    navigator: bool = False  # a Room Navigator that stands alone: no camera, no calls
    provisioned: bool | None = None  # a navigator's `Provisioning Mode` is not Off; None: not known yet
    teams: bool = False  # runs Microsoft Teams Rooms
    light: bool = False  # has one around a panel, and lets us see what it follows

    @property
    def books(self) -> bool:
        """Whether bookings apply to it; a navigator that nobody provisions has none."""
        return self.provisioned is True if self.navigator else True


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A branch to hear of, and what is lost where the device will not tell."""

    path: Path
    loses: str  # completes the sentence "Without it, …"


# Few branches, because the number is limited (38 or 50 per session) and each costs the device something;
# no overlaps, because each subscription sends a frame of its own.
BOOKINGS = Subscription(path=("Event", "Bookings"), loses="bookings are only found by listing them")
PEOPLE = Subscription(
    path=("Status", "RoomAnalytics", "PeopleCount"), loses="people are only counted now and then"
)
PROMPTS = Subscription(
    path=("Event", "UserInterface", "Message", "Prompt"),
    loses="answers to messages on its screens are not heard",
)
LIGHT = Subscription(
    path=("Configuration", "UserInterface", "LedControl", "Mode"),
    loses="its light may be left in a mode that it did not have",
)
TEAMS_CALLS = Subscription(
    path=("Status", "MicrosoftTeams", "Calling", "InCall"),
    loses="Teams calls are only looked up now and then",
)
SUBSCRIPTIONS = (
    BOOKINGS,
    PEOPLE,
    Subscription(
        path=("Status", "RoomAnalytics", "PeoplePresence"), loses="presence is only looked up now and then"
    ),
    Subscription(
        path=("Status", "RoomAnalytics", "RoomInUse"), loses="the room's use is only looked up now and then"
    ),
    Subscription(
        path=("Status", "SystemUnit", "State", "NumberOfActiveCalls"),
        loses="calls are only looked up now and then",
    ),
    TEAMS_CALLS,
    Subscription(
        path=("Status", "Conference", "Presentation"), loses="sharing is only looked up now and then"
    ),
    Subscription(path=("Configuration", "RoomAnalytics"), loses="changes of its configuration go unnoticed"),
    Subscription(
        path=("Configuration", "Bookings"), loses="changes of its booking configuration go unnoticed"
    ),
    Subscription(path=("Configuration", "Time", "Zone"), loses="a new time zone goes unnoticed"),
    PROMPTS,
    LIGHT,
)

WHO_ARE_YOU: Path = ("Status", "SystemUnit")
UPTIME: Path = ("Status", "SystemUnit", "Uptime")
TEAMS: Path = ("Status", "MicrosoftTeams")
PROVISIONING: Path = ("Configuration", "Provisioning", "Mode")
ANALYTICS: Path = ("Status", "RoomAnalytics")

# Current values: read at connect and every few minutes.
SENSORS: tuple[Path, ...] = (
    ANALYTICS,
    ("Status", "SystemUnit", "State", "NumberOfActiveCalls"),
    TEAMS_CALLS.path,
    ("Status", "Conference", "Presentation"),
)

# Configuration: read at connect, heard of afterwards.
CONFIGURATION: tuple[Path, ...] = (
    ("Configuration", "RoomAnalytics"),
    ("Configuration", "Bookings"),
    ("Configuration", "Time", "Zone"),
    LIGHT.path,
)

LISTING: Path = ()  # in the place of a path: `Bookings List`
LISTED_DAYS = 2  # today and tomorrow, as the device counts days


# ── what is asked of this device ──────────────────────────────────────────────────────────────────


def nature(makeup: Makeup) -> tuple[Path, ...]:
    """What to read first, because it decides what else is asked; a refusal only means "no"."""
    asked = (PROVISIONING if makeup.navigator else TEAMS, LIGHT.path)
    return tuple(path for path in asked if has(makeup.firmware, path))


def subscriptions(makeup: Makeup) -> tuple[Subscription, ...]:
    """What to hear of; it grows as more of the device's nature becomes known."""
    return tuple(each for each in SUBSCRIPTIONS if _applies(each.path, makeup))


def sensors(makeup: Makeup) -> tuple[Path, ...]:
    """Current values to read; none of a navigator."""
    return tuple(path for path in SENSORS if _applies(path, makeup))


def configuration(makeup: Makeup) -> tuple[Path, ...]:
    """Configuration to read."""
    return tuple(path for path in CONFIGURATION if _applies(path, makeup))


def _applies(path: Path, makeup: Makeup) -> bool:
    if path[1] == "MicrosoftTeams" and not makeup.teams:
        return False
    if path == LIGHT.path and not makeup.light:
        return False
    if makeup.navigator and path != LIGHT.path and path[1] not in {"Bookings", "Time"}:
        return False
    if path[1] == "Bookings" and not makeup.books:
        return False
    return has(makeup.firmware, path)


# ── calls ─────────────────────────────────────────────────────────────────────────────────────────


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


# ── commands that not every firmware understands ──────────────────────────────────────────────────
# All of them raise NotUnderstood where this firmware cannot do it, and Unreadable (of `schema`) where an
# argument is outside the value space that this firmware has.


class NotUnderstood(ValueError):
    """A command that this firmware does not have, or not with these parameters."""

    mend = "upgrade the device, or do it in the calendar"


def book(
    firmware: Firmware,
    *,
    starts_at: datetime,
    minutes: int,
    title: str | None = None,
    request_id: RequestId | None = None,
    organizer: str | None = None,
) -> Call:
    """Book the room on the device; without a title it gets the device's own.

    An organizer is left out where firmware (before 11.18) takes none.
    """
    arguments: dict[str, object] = {
        "BookingRequestUUID": request_id,
        "StartTime": stamp(starts_at),
        "Duration": minutes,
        "Title": title,
    }
    if takes(firmware, "Bookings Book", "OrganizerName"):
        arguments["OrganizerName"] = organizer
    return _command("Bookings Book", firmware, arguments)


def stamp(instant: datetime) -> str:
    """A time as devices write it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def extend(
    firmware: Firmware, *, booking_id: BookingId | None, meeting_id: MeetingId | None, minutes: int
) -> Call:
    """Let a booking last so many minutes longer (11.14 and newer)."""
    named = _named("Bookings Extend", firmware, booking_id, meeting_id)
    return _command("Bookings Extend", firmware, {"Duration": minutes, **named})


def delete(firmware: Firmware, *, booking_id: BookingId | None, meeting_id: MeetingId | None) -> Call:
    """Delete a booking; by its id before 10.19, by its meeting id before 11.14, by either since."""
    named = _named("Bookings Delete", firmware, booking_id, meeting_id)
    return _command("Bookings Delete", firmware, named)


def respond(firmware: Firmware, *, meeting_id: MeetingId, accept: bool, comment: str | None = None) -> Call:
    """Accept or decline a meeting for the room (10.19 and newer); a comment is left out before 11.16."""
    arguments: dict[str, object] = {"MeetingId": meeting_id, "Type": "Accept" if accept else "Decline"}
    if takes(firmware, "Bookings Respond", "Comment"):
        arguments["Comment"] = comment
    return _command("Bookings Respond", firmware, arguments)


def check_in(firmware: Firmware, *, booking_id: BookingId | None, meeting_id: MeetingId | None) -> Call:
    """Say that the booking is used (26.1 and newer)."""
    named = _named("Bookings CheckIn", firmware, booking_id, meeting_id)
    return _command("Bookings CheckIn", firmware, named)


def check_out(firmware: Firmware, *, booking_id: BookingId | None, meeting_id: MeetingId | None) -> Call:
    """End a booking before its time (11.26 and newer; not on Microsoft Teams Rooms)."""
    named = _named("Bookings CheckOut", firmware, booking_id, meeting_id)
    return _command("Bookings CheckOut", firmware, named)


def put_bookings(firmware: Firmware, *, bookings: Sequence[Mapping[str, object]]) -> Call:
    """Have the device hold exactly these, each as Cisco's tools write one, whatever it held before."""
    command = _command("Bookings Put", firmware, {})
    body = json.dumps({"Bookings": bookings}, separators=(",", ":"))  # one line: a shell reads by lines
    return replace(command, params={"body": body})


class Target(StrEnum):
    """Where a message is shown; without one, the device decides. 26.1 and newer."""

    SCREEN = "OSD"
    CONTROLLER = "Controller"
    SCHEDULER = "RoomScheduler"


def show_prompt(
    firmware: Firmware,
    *,
    feedback_id: str,
    text: str,
    title: str | None = None,
    options: Sequence[str] = (),
    duration_s: int = 0,
    on: Target | None = None,
) -> Call:
    """Show a message with up to five answers, for so many seconds (3600 at most) or until it is cleared."""
    arguments: dict[str, object] = {
        "FeedbackId": feedback_id,
        "Text": text,
        "Title": title,
        **{f"Option.{number}": option for number, option in enumerate(options, 1)},
        "Duration": duration_s,
        "Target": on,
    }
    return _command("UserInterface Message Prompt Display", firmware, arguments)


def clear_prompt(firmware: Firmware, *, feedback_id: str, on: Target | None = None) -> Call:
    """Take off the prompt of this feedback id; others stay."""
    arguments: dict[str, object] = {"FeedbackId": feedback_id, "Target": on}
    return _command("UserInterface Message Prompt Clear", firmware, arguments)


def show_alert(
    firmware: Firmware,
    *,
    text: str,
    title: str | None = None,
    duration_s: int = 0,
    on: Target | None = None,
) -> Call:
    """Show a message without answers, for so many seconds (3600 at most) or until it is cleared."""
    arguments: dict[str, object] = {
        "Text": text,
        "Title": title,
        "Duration": duration_s,
        "Target": on,
    }
    return _command("UserInterface Message Alert Display", firmware, arguments)


def clear_alert(firmware: Firmware, *, on: Target | None = None) -> Call:
    """Take off the alert."""
    return _command("UserInterface Message Alert Clear", firmware, {"Target": on})


def show_line(firmware: Firmware, *, text: str, duration_s: int = 0, on: Target | None = None) -> Call:
    """Show a banner of up to 140 characters, for so many seconds (3600 at most) or until it is cleared."""
    arguments: dict[str, object] = {
        "Text": text,
        "Duration": duration_s,
        "Target": on,
    }
    return _command("UserInterface Message TextLine Display", firmware, arguments)


def clear_line(firmware: Firmware, *, on: Target | None = None) -> Call:
    """Take off the banner."""
    return _command("UserInterface Message TextLine Clear", firmware, {"Target": on})


def light(firmware: Firmware, *, colour: str) -> Call:
    """Colour the lights of the panel at the door (10.19 and newer), while their mode is Manual."""
    return _command("UserInterface LedControl Color Set", firmware, {"Color": colour})


def light_mode(firmware: Firmware, *, mode: str) -> Call:
    """Let the lights follow our colour (Manual), the room's bookings (Auto), or nothing (10.19 and newer)."""
    if not has(firmware, LIGHT.path):
        raise NotUnderstood(f"it has no `{' '.join(LIGHT.path)}`")
    return Call(method="xSet", params={"Path": LIGHT.path, "Value": LIGHT_MODES.cast(mode)})


def set_use(firmware: Firmware, *, source: str, in_use: bool, lasts_s: int) -> Call:
    """Say that others see somebody, for so long (1 to 3600 s), or that they do not (after 26.4)."""
    arguments: dict[str, object] = {
        "ID": source,
        "State": "InUse" if in_use else "NotInUse",
        "Duration": lasts_s if in_use else None,
    }
    return _command("RoomAnalytics RoomInUse Set", firmware, arguments)


def wake(firmware: Firmware) -> Call:
    """End standby: a message does not wake the screen by itself."""
    return _command("Standby Deactivate", firmware, {})


def takes(firmware: Firmware, command: str, parameter: str) -> bool:
    """Whether this version has the command and it takes this parameter."""
    known = COMMANDS[command]
    return known.life.covers(firmware) and any(
        each.name == parameter and each.life.covers(firmware) for each in known.parameters
    )


def longest(firmware: Firmware, command: str, parameter: str) -> int:
    """How long a text this version takes there. NotUnderstood if it takes none."""
    for each in COMMANDS[command].parameters:
        if each.name == parameter and isinstance(each.space, Wording) and each.life.covers(firmware):
            return each.space.most
    raise NotUnderstood(f"its `{command}` takes no {parameter}")


def _named(
    command: str, firmware: Firmware, booking_id: BookingId | None, meeting_id: MeetingId | None
) -> dict[str, object]:
    """By the meeting id where that is understood, as it lasts; else by the device's own id."""
    for name, value in (("MeetingId", meeting_id), ("Id", booking_id)):
        if value is not None and takes(firmware, command, name):
            return {name: value}
    raise NotUnderstood(f"`{command}` cannot name this booking")


def _command(name: str, firmware: Firmware, arguments: dict[str, object]) -> Call:
    """The call, its arguments cast to this version's value spaces; those that are None are left out."""
    command = COMMANDS[name]
    if not command.life.covers(firmware):
        raise NotUnderstood(f"it has no `{name}`")
    spaces = {each.name: each.space for each in command.parameters if each.life.covers(firmware)}
    params: dict[str, object] = {}
    for argument, value in arguments.items():
        if value is None:
            continue
        if argument not in spaces:
            raise NotUnderstood(f"its `{name}` takes no {argument}")
        params[argument] = spaces[argument].cast(value)
    return Call(method="xCommand/" + name.replace(" ", "/"), params=params)
