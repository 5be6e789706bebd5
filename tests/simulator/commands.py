"""What each xCommand does to a device."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from tests.simulator.bookings import Booking, CalendarKind, NoSuchBooking, Organizer, stamp
from tests.simulator.device import Device, Received, TooManySources
from tests.simulator.faults import Spoil
from tests.simulator.firmware import Parameter
from tests.simulator.language import (
    COMMAND_ERROR,
    ILLEGAL_ARGUMENT,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    PERMISSION_DENIED,
    Refused,
)
from tests.simulator.screen import KINDS, PERIPHERALS, NotShown, Surface, addressed

Given = Mapping[str, Any]  # parameters by name, in the types of the schema
Result = dict[str, Any]


def run(device: Device, name: str, parameters: Mapping[str, object]) -> Result:
    """Checks a command against the firmware, does it, and returns the `result` of the reply."""
    known = device.firmware.commands.get(name.lower())
    if known is None:
        raise Refused(METHOD_NOT_FOUND, "Unknown command")
    proper, spec = known
    title = proper.replace("/", " ")
    device.commands.append(Received(name=title, parameters=parameters, at=device.now()))
    device.on_change()
    if title in device.faults.command_errors:
        code = device.faults.command_errors[title]
        words = "Permission denied" if code == PERMISSION_DENIED else "Simulated failure"
        raise Refused(code, words, {"Cause": 1})
    given = _checked(parameters, spec)
    act = _ACTS.get(title, _nothing)
    try:
        data = act(device, given)
    except NoSuchBooking as error:
        raise Refused(COMMAND_ERROR, "Booking not found", {"Cause": 1}) from error
    if data and not device.firmware.says_ok_beside_data:
        return data
    return {**data, "status": "OK"}


def _checked(parameters: Mapping[str, object], spec: Mapping[str, Parameter]) -> dict[str, Any]:
    given: dict[str, Any] = {
        parameter.name: parameter.default for parameter in spec.values() if parameter.default is not None
    }
    for name, value in parameters.items():
        if name == "body":
            given[name] = value
            continue
        parameter = spec.get(name.lower())
        if parameter is None:
            raise Refused(INVALID_PARAMS, f"Unknown parameter {name}")
        try:
            given[parameter.name] = parameter.cast(value)
        except ValueError as error:
            data = {"Cause": ILLEGAL_ARGUMENT}
            raise Refused(COMMAND_ERROR, f"Illegal argument {name}: {error}", data) from error
    missing = [parameter.name for parameter in spec.values() if parameter.required]
    missing = [name for name in missing if name not in given]
    if missing:
        raise Refused(INVALID_PARAMS, f"Missing parameter {', '.join(missing)}")
    return given


def _nothing(device: Device, given: Given) -> Result:
    return {}


# Bookings


def _list(device: Device, given: Given) -> Result:
    now = device.now()
    first = device.calendar.local_day(given["DayOffset"])
    last = device.calendar.local_day(given["DayOffset"] + given["Days"]) if "Days" in given else None
    rows = [
        booking
        for booking in device.agenda()
        if booking.end > first
        and (last is None or booking.start < last)
        and not (device.faults.hide_past and booking.end <= now)
        and _scheduled(booking, now, given.get("ScheduleType", ""))
    ]
    offset = given["Offset"]
    shown = rows[offset : offset + given.get("Limit", len(rows))]
    result: Result = {
        "LastUpdated": stamp(device.calendar.updated_at),
        "ResultInfo": {"TotalRows": len(rows)},
    }
    if shown:
        result["Booking"] = [
            {**describe(booking, booking.spoil or device.faults.spoil_list), "id": offset + number}
            for number, booking in enumerate(shown, start=1)
        ]
    return result


def _scheduled(booking: Booking, now: datetime, wanted: str) -> bool:
    match wanted:
        case "Current":
            return booking.start <= now < booking.end
        case "Upcoming":
            return booking.start > now
        case _:
            return True


def _get(device: Device, given: Given) -> Result:
    booking = _named(device, given)
    now = device.now()
    row = describe(booking, booking.spoil)
    row["Time"]["SecondsUntilEnd"] = max(0, math.ceil((booking.end - now).total_seconds()))
    row["Time"]["SecondsSinceStart"] = max(0, int((now - booking.start).total_seconds()))
    return {"Booking": row}


def describe(booking: Booking, spoil: Spoil = "") -> dict[str, Any]:
    """A booking as List and Get show it."""
    organizer = booking.organizer
    row: dict[str, Any] = {
        "Agenda": booking.agenda,
        "BookingStatus": "OK",
        "BookingStatusMessage": "",
        "Cancellable": "True" if booking.ad_hoc else "False",
        "DialInfo": {"Calls": {}, "ConnectMode": "OBTP"},
        "Encryption": "BestEffort",
        "Id": booking.id,
        "MaximumMeetingExtension": 30,
        "MeetingExtensionAvailability": "Guaranteed",
        "MeetingId": booking.meeting_id,
        "MeetingPlatform": booking.platform,
        "Organizer": {
            "Email": organizer.email,
            "FirstName": organizer.first_name,
            "Id": organizer.id,
            "LastName": organizer.last_name,
        },
        "Privacy": "Private" if booking.private else "Public",
        "Recording": "Disabled",
        "Time": {
            "EndTime": stamp(booking.end),
            "EndTimeBuffer": 0,
            "StartTime": stamp(booking.start),
            "StartTimeBuffer": 300,
        },
        "Title": booking.title,
        "Webex": {
            "DialInNumbers": {},
            "Enabled": "False",
            "HostKey": "",
            "MeetingNumber": "",
            "Password": "",
            "Url": "",
        },
    }
    if booking.id.startswith("webex-"):  # a pushed calendar's entries have no such part
        row["Spark"] = {
            "Alert": "True",
            "LocusActive": "False",
            "MeetingType": "Scheduled",
            "Participants": {},
            "Pending": "True" if booking.pending else "False",
        }
    if booking.number:
        row["DialInfo"]["Calls"]["Call"] = [{"Number": booking.number, "Protocol": booking.protocol, "id": 1}]
    match spoil:
        case "no_end":
            del row["Time"]["EndTime"]
        case "end_before_start":
            row["Time"]["EndTime"] = stamp(booking.start - timedelta(minutes=15))
        case "garbage_times":
            row["Time"]["StartTime"], row["Time"]["EndTime"] = "yesterday-ish", "2026-13-45T99:99:99Z"
        case "no_id":
            del row["Id"]
        case "no_title":
            del row["Title"]
        case "":
            pass
    return row


def _book(device: Device, given: Given) -> Result:
    title = given.get("Title") or device.config("UserInterface", "Bookings", "AdhocBooking", "DefaultTitle")
    name = str(given.get("OrganizerName", "")).partition(" ")
    named = {
        "first_name": name[0],
        "last_name": name[2],
        "email": given.get("OrganizerEmail", ""),
        "id": given.get("OrganizerId", ""),
    }
    organizer = Organizer(**named) if any(named.values()) else None
    device.calendar.request(
        str(title or "Ad hoc meeting"),
        start=_time(given.get("StartTime", "")),
        duration_min=given["Duration"],
        request_id=given.get("BookingRequestUUID", ""),
        organizer=organizer,
    )
    return {}


def _edit(device: Device, given: Given) -> Result:
    device.calendar.edit(
        _named(device, given).id,
        title=given.get("Title"),
        start=_time(given.get("StartTime", "")),
        duration_min=given.get("Duration"),
    )
    return {}


def _extend(device: Device, given: Given) -> Result:
    device.calendar.extend(_going(device, given).id, given["Duration"])
    return {}


def _respond(device: Device, given: Given) -> Result:
    booking = device.calendar.find(meeting_id=given["MeetingId"])
    if device.kind is not CalendarKind.HYBRID:
        raise Refused(COMMAND_ERROR, "Not supported for this calendar", {"Cause": 1})
    if given["Type"] == "Decline":
        device.calendar.release(booking.id)
    return {}


def _delete(device: Device, given: Given) -> Result:
    device.calendar.release(_named(device, given).id)
    return {}


def _check_in(device: Device, given: Given) -> Result:
    device.calendar.check_in(_going(device, given).id)
    return {}


def _check_out(device: Device, given: Given) -> Result:
    booking = _going(device, given)
    if not booking.started:
        raise Refused(COMMAND_ERROR, "The booking has not started", {"Cause": 1})
    device.calendar.release(booking.id, "ManualCheckOut")
    return {}


def _clear(device: Device, given: Given) -> Result:
    device.calendar.replace_all([])
    return {}


def _snooze(device: Device, given: Given) -> Result:
    device.calendar.snooze(_named(device, given).id)
    return {}


def _put(device: Device, given: Given) -> Result:
    """Replaces the calendar by the JSON in `body`; all that Cisco's tools put has to be there."""
    try:
        rows = orjson.loads(str(given.get("body", "")))["Bookings"]
        bookings = [_pushed(device, row) for row in rows]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise Refused(COMMAND_ERROR, "Invalid bookings", {"Cause": ILLEGAL_ARGUMENT}) from error
    device.calendar.replace_all(bookings)
    return {}


def _pushed(device: Device, row: Mapping[str, Any]) -> Booking:
    start = datetime.fromisoformat(row["Time"]["StartTime"])
    end = start + timedelta(minutes=int(row["Time"]["Duration"]))
    if not row["Id"] or not row["Title"] or not row["Organizer"]["Name"] or end <= start:
        raise ValueError("incomplete")
    booking = device.calendar.draft(
        row["Title"],
        start,
        end,
        meeting_id="",
        number=row["Number"],
        protocol=row["Protocol"],
        organizer=Organizer(first_name=row["Organizer"]["Name"], last_name="", email="", id=""),
        platform="",
    )
    booking.id = row["Id"]
    return booking


def _named(device: Device, given: Given) -> Booking:
    if not given.get("Id") and not given.get("MeetingId"):
        raise Refused(INVALID_PARAMS, "Id or MeetingId is required")
    return device.calendar.find(given.get("Id", ""), given.get("MeetingId", ""))


def _going(device: Device, given: Given) -> Booking:
    """The booking that is named, unless it is over."""
    booking = _named(device, given)
    if booking.ended:
        raise Refused(COMMAND_ERROR, "The booking has ended", {"Cause": 1})
    return booking


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(COMMAND_ERROR, "Invalid StartTime", {"Cause": ILLEGAL_ARGUMENT}) from error
    return when if when.tzinfo else when.replace(tzinfo=UTC)


# The rest


def _register(device: Device, given: Given) -> Result:
    expressions = given.get("Expression", [])
    listed = expressions if isinstance(expressions, list) else [expressions]
    device.slots.register(given["FeedbackSlot"], given["ServerUrl"], listed, given["Format"])
    return {}


def _deregister(device: Device, given: Given) -> Result:
    device.slots.deregister(given["FeedbackSlot"])
    return {}


def _enable(device: Device, given: Given) -> Result:
    device.slots.enable(given["FeedbackSlot"])
    return {}


def _display(kind: str) -> Callable[[Device, Given], Result]:
    def display(device: Device, given: Given) -> Result:
        _addressed(kind, given)
        device.screen.show(kind, given)
        return {}

    return display


def _clear_message(kind: str) -> Callable[[Device, Given], Result]:
    def clear(device: Device, given: Given) -> Result:
        device.screen.clear(kind, given.get("FeedbackId", ""), _addressed(kind, given))
        return {}

    return clear


def _addressed(kind: str, given: Given) -> tuple[Surface, ...]:
    """The surfaces that a command names; none when it leaves them to the device."""
    target, peripheral = given.get("Target"), given.get("PeripheralId")
    if target and peripheral:
        raise Refused(
            COMMAND_ERROR, "Target and PeripheralId exclude each other", {"Cause": ILLEGAL_ARGUMENT}
        )
    if peripheral and peripheral.lower() not in PERIPHERALS:
        raise Refused(COMMAND_ERROR, "No such peripheral", {"Cause": ILLEGAL_ARGUMENT})
    return addressed(kind, given) if target or peripheral else ()


def _respond_prompt(device: Device, given: Given) -> Result:
    try:
        device.screen.respond(given["OptionId"], given.get("FeedbackId", ""), given.get("Origin", ""))
    except NotShown as error:
        raise Refused(COMMAND_ERROR, str(error), {"Cause": 1}) from error
    return {}


def _web_view(device: Device, given: Given) -> Result:
    device.screen.web_views[given.get("Target", "OSD")] = given
    return {}


def _clear_web_view(device: Device, given: Given) -> Result:
    if "Target" in given:
        device.screen.web_views.pop(given["Target"], None)
    else:
        device.screen.web_views.clear()
    return {}


def _light(device: Device, given: Given) -> Result:
    device.screen.colour = given["Color"]
    device.refresh_light()
    return {}


def _use(device: Device, given: Given) -> Result:
    try:
        device.sense_elsewhere(given.get("ID", ""), given["State"] == "InUse", lasts_s=given["Duration"])
    except TooManySources as error:
        raise Refused(COMMAND_ERROR, str(error), {"Cause": 1}) from error
    return {}


def _activate(device: Device, given: Given) -> Result:
    device.stand_by("Standby")
    return {}


def _deactivate(device: Device, given: Given) -> Result:
    device.stand_by("Off")
    return {}


def _halfwake(device: Device, given: Given) -> Result:
    device.stand_by("Halfwake")
    return {}


def _sessions(device: Device, given: Given) -> Result:
    """Who is there now. No source shows an answer; that there is a list of sessions is all to rely on."""
    return {"Session": [{"id": number} for number, _ in enumerate([*device.visitors, *device.sessions], 1)]}


def _boot(device: Device, given: Given) -> Result:
    device.reboot()
    return {}


def _clock(device: Device, given: Given) -> Result:
    now = device.now()
    return {
        "Day": now.day,
        "Hour": now.hour,
        "Minute": now.minute,
        "Month": now.month,
        "Second": now.second,
        "Year": now.year,
    }


_ACTS: Final[Mapping[str, Callable[[Device, Given], Result]]] = {
    "Bookings List": _list,
    "Bookings Get": _get,
    "Bookings Book": _book,
    "Bookings Edit": _edit,
    "Bookings Extend": _extend,
    "Bookings Respond": _respond,
    "Bookings Delete": _delete,
    "Bookings CheckIn": _check_in,
    "Bookings CheckOut": _check_out,
    "Bookings Clear": _clear,
    "Bookings NotificationSnooze": _snooze,
    "Bookings Put": _put,
    "HttpFeedback Register": _register,
    "HttpFeedback Deregister": _deregister,
    "HttpFeedback Enable": _enable,
    "RoomAnalytics RoomInUse Set": _use,
    "Security Session List": _sessions,
    "Standby Activate": _activate,
    "Standby Deactivate": _deactivate,
    "Standby Halfwake": _halfwake,
    "SystemUnit Boot": _boot,
    "Time DateTime Get": _clock,
    "UserInterface LedControl Color Set": _light,
    "UserInterface Message Prompt Response": _respond_prompt,
    "UserInterface WebView Display": _web_view,
    "UserInterface WebView Clear": _clear_web_view,
    **{f"UserInterface Message {kind} Display": _display(kind) for kind in KINDS},
    **{f"UserInterface Message {kind} Clear": _clear_message(kind) for kind in KINDS},
}
