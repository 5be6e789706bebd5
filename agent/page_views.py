"""What the page and its API show of rooms and the site, as JSON: no more than the site's privacy allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from agent.core.glance import Candidate, Glance, free_rooms, glance, reason_and_mend
from agent.core.model import (
    Booking,
    CalendarPhase,
    DeviceId,
    DevicePhase,
    DeviceState,
    Hold,
    HoldPhase,
    Room,
    RoomId,
    SensorPhase,
)
from agent.local_api import Sight
from agent.settings import RoomSettings
from cloud_link.envelope import Privacy, room_reach
from cloud_link.privacy import PrivacyMode, dropped, plain

Json = dict[str, Any]

IN_ONE_TURN: Final = 25  # rooms; each takes some 0.1 ms
PRIVATE_FIELDS: Final = ("title", "organizer", "attendees", "join", "description")


def privacy_of(privacy: Privacy) -> PrivacyMode:
    """Which of the three it is."""
    if privacy is plain:
        return PrivacyMode.PLAIN
    return PrivacyMode.DROPPED if privacy is dropped else PrivacyMode.SEALED


# ── rooms ─────────────────────────────────────────────────────────────────────────────────────────


async def rooms_shown(sight: Sight) -> list[Json]:
    """Every room of the site, in the file's order, without its day."""
    return [room_shown(sight, room, whole=False) async for room in by_turns(_configured(sight))]


T = TypeVar("T")


async def by_turns(many: Iterable[T]) -> AsyncIterator[T]:
    """The same one by one; between some of them all others have their turn: a thousand would hold them up."""
    for number, each in enumerate(many, start=1):
        yield each
        if number % IN_ONE_TURN == 0:
            await asyncio.sleep(0)


def rooms_there(sight: Sight) -> tuple[RoomId, ...]:
    """Which rooms the site has, in the file's order."""
    return tuple(room.id for room in _configured(sight))


def room_by_name(sight: Sight, name: str) -> Json | None:
    """One room with its day; None if the site has none of this id."""
    found = next((room for room in _configured(sight) if room.id == name), None)
    return None if found is None else room_shown(sight, found, whole=True)


def free_shown(sight: Sight, *, span: timedelta, people: int) -> list[Json]:
    """Rooms that are free for so long and so many, the smallest that fits first."""
    settings = {room.id: room for room in _configured(sight)}
    candidates = (
        Candidate(room=sight.rooms[room.id], name=room.name, capacity=room.capacity)
        for room in settings.values()
    )
    zone = sight.configuration.policy.timezone
    found = free_rooms(candidates, span=span, people=people, now=sight.at, zone=zone)
    return [_room(sight, settings[room], seen, whole=False) for room, seen in found]


def room_shown(sight: Sight, settings: RoomSettings, *, whole: bool) -> Json:
    """A room as the page shows it; `whole` with the bookings of its day."""
    zone = sight.configuration.policy.timezone
    seen = glance(sight.rooms[settings.id], now=sight.at, zone=zone)
    return _room(sight, settings, seen, whole=whole)


def _configured(sight: Sight) -> Iterable[RoomSettings]:
    return (room for room in sight.configuration.rooms if room.id in sight.rooms)


def _room(sight: Sight, settings: RoomSettings, seen: Glance, *, whole: bool) -> Json:
    room = sight.rooms[settings.id]
    shows = privacy_of(sight.configuration.privacy) is PrivacyMode.PLAIN
    return {
        "room": settings.id,
        "name": settings.name,
        "capacity": settings.capacity,
        "condition": seen.condition.value,
        "words": seen.words,
        "until": seen.until,
        "current": _booking(seen.current, shows=shows),
        "next": _booking(seen.next, shows=shows),
        "people": room.occupancy.people,
        "in_use": room.occupancy.in_use,
        "in_call": room.occupancy.in_call,
        "hold": _hold(seen.hold, shows=shows),
        "devices": [_device(device) for device in room.devices.values()],
        "available": room_reach(room).value,
        "calendar": _calendar(room, seen),
        **({"day": [_booking(each, shows=shows) for each in seen.day]} if whole else {}),
    }


def _booking(booking: Booking | None, *, shows: bool) -> Json | None:
    if booking is None:
        return None
    meeting = booking.meeting
    named = shows and not meeting.private
    return {
        "key": booking.key,
        "starts_at": booking.starts_at,
        "ends_at": booking.ends_at,
        "all_day": booking.all_day,
        "phase": booking.phase.value,
        "calendar": booking.calendar,
        "title": meeting.title if named else None,
        "organizer": meeting.organizer if named else None,
        "private": meeting.private,
    }


def _hold(hold: Hold | None, *, shows: bool) -> Json | None:
    if hold is None:
        return None
    return {
        "text": hold.text if shows else None,  # it names somebody, mostly
        "ends_at": hold.ends_at,
        "shown": hold.phase is HoldPhase.SHOWN,
    }


def _device(device: DeviceState) -> Json:
    return {
        "device": device.id,
        "product": device.product,
        "phase": device.phase.value,
        "why": device.why,
        "transport": device.transport,
        "firmware": device.firmware,
        "shortcomings": list(device.shortcomings),
    }


def _calendar(room: Room, seen: Glance) -> Json | None:
    known = seen.agenda
    if known.believed is None:
        return None
    linked = room.calendars.get(known.believed)
    unread = linked is not None and linked.phase is not CalendarPhase.ACTIVE
    return {
        "kind": known.believed.value,
        "fresh": known.fresh,
        "why": (linked.why or linked.phase.value) if unread and linked is not None else None,
    }


# ── facts ─────────────────────────────────────────────────────────────────────────────────────────


def fact_shown(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """A published fact as it was, but for who a booking marked private is with."""
    data = event.get("data")
    if not isinstance(data, dict):
        return event
    before = data.get("previous")
    if not data.get("private") and not (isinstance(before, dict) and before.get("private")):
        return event
    covered = _covered(data) if data.get("private") else dict(data)
    if isinstance(before, dict):
        covered["previous"] = _covered(before)
    return {**event, "data": covered}


def _covered(told: Mapping[str, Any]) -> Json:
    return {name: None if name in PRIVATE_FIELDS else value for name, value in told.items()}


# ── the site ──────────────────────────────────────────────────────────────────────────────────────


def site_shown(sight: Sight, picture: Mapping[str, Any]) -> Json:
    """How the site does; `picture` is the daemon's, without its rooms."""
    configuration = sight.configuration
    return {
        "site": picture["site"],
        "agent": picture["agent"],
        "version": picture["version"],
        "at": sight.at,
        "timezone": str(configuration.policy.timezone),
        "privacy": privacy_of(configuration.privacy).value,
        "broker": picture["broker"],
        "outbox": picture["outbox"],
        "devices": picture["devices"],
        "calendars": [_service(each) for each in picture["calendars"]],
        "clock": picture["clock"],
        "troubles": troubles(sight, picture),
    }


def _service(calendars: Mapping[str, Any]) -> Json:
    linked = [room for room in calendars["rooms"] if room["address"] is not None]
    return {
        "service": calendars["service"],
        "phase": calendars["phase"],
        "why": calendars["why"],
        "rooms": len(linked),
        "readable": sum(room["phase"] == CalendarPhase.ACTIVE.value for room in linked),
    }


def troubles(sight: Sight, picture: Mapping[str, Any]) -> list[Json]:
    """What a person must act on, the worst first, each with its mend."""
    return [
        {"what": what, "why": why, "mend": mend}
        for what, why, mend in (*_own_troubles(picture), *_troubles_of_rooms(sight, picture))
    ]


Trouble = tuple[str, str | None, str]
LONG_UNDELIVERED_S: Final = 300.0
MOST_NAMED: Final = 4  # devices with the same trouble; of more the others are counted


def _own_troubles(picture: Mapping[str, Any]) -> Iterable[Trouble]:
    broker, outbox = picture["broker"], picture["outbox"]
    if picture["database_why"]:
        yield "The disk takes nothing", picture["database_why"], "make room on it, or mend it"
    if not broker["connected"]:
        yield (
            "The broker is not reached",
            broker["why"] or "it is being dialled",
            "check mqtt.url, the network and the broker; nothing is lost meanwhile",
        )
    elif broker["deaf_why"]:
        yield "The broker brings no commands", broker["deaf_why"], "let roomd subscribe to its command topics"
    elif broker["why"]:
        yield "The broker takes nothing", broker["why"], "see the broker's log; nothing is lost meanwhile"
    elif (outbox["oldest_age_s"] or 0.0) > LONG_UNDELIVERED_S:
        minutes = outbox["oldest_age_s"] / 60
        yield (
            "Facts wait for the broker",
            f"{outbox['depth']} wait, the oldest for {minutes:.0f} minutes",
            "ask `roomd outbox stats` and the broker's log why it does not acknowledge them",
        )
    sensors = picture.get("sensors")
    if sensors is not None and sensors["why"]:
        yield (
            "Not all sensors can be heard" if sensors["connected"] else "The sensors' broker is not reached",
            sensors["why"],
            "see `roomd doctor --only sensors`; what they see is unknown until then",
        )
    if outbox["dropped"]:
        yield (
            "Facts were dropped",
            f"{outbox['dropped']} since the database was made",
            "give roomd more room with agent.budget_mb; the cloud was told which numbers",
        )
    if picture["sealing_why"]:
        yield (
            "Private fields are sealed for the old key",
            picture["sealing_why"],
            "mend site.recipient_key_file",
        )
    if picture["clock"] != "synced":
        yield (
            "No time service keeps the clock",
            "bookings may start and end at the wrong moment",
            "start one: `timedatectl set-ntp true`",
        )


_WORST_CALENDARS: Final = ("revoked", "operator credential", "clock skew", "degraded")


def _troubles_of_rooms(sight: Sight, picture: Mapping[str, Any]) -> Iterable[Trouble]:
    for phase in _WORST_CALENDARS:
        for each in picture["calendars"]:
            if each["phase"] == phase:
                mend = "see the reason; then `roomd doctor --only calendars`"
                yield f"{each['service'].title()} calendars: {phase}", each["why"], mend
    yield from _in_short(_unheard(sight, DevicePhase.REFUSED, "turns roomd away", "turn roomd away"))
    yield from _in_short(_unheard(sight, DevicePhase.LOST, "is not reached", "are not reached"))
    yield from _in_short(_misconfigured(sight))
    yield from _in_short(_sensors(sight))


@dataclass(frozen=True, slots=True)
class _Told:
    """What is wrong with one device, in a form that those with the same trouble share."""

    of_one: str  # such as "is not reached"
    of_many: str
    why: str | None
    mend: str


_MENDS: Final = {
    DevicePhase.REFUSED: "mend what the reason says; roomd dials again by itself",
    DevicePhase.LOST: "check its power and its network; roomd dials again by itself",
}


def _unheard(sight: Sight, phase: DevicePhase, of_one: str, of_many: str) -> Iterable[tuple[str, _Told]]:
    for where, device in _devices(sight):
        if device.phase is phase:
            why, mend = (None, None) if device.why is None else reason_and_mend(device.why)
            own = mend if phase is DevicePhase.REFUSED else None
            yield where, _Told(of_one, of_many, why, own or _MENDS[phase])


def _misconfigured(sight: Sight) -> Iterable[tuple[str, _Told]]:
    for where, device in _devices(sight):
        if device.phase is DevicePhase.CONNECTED and device.shortcomings:
            first, more = device.shortcomings[0], len(device.shortcomings) - 1
            why = f"{first.removesuffix('.')}; and {more} more" if more else first
            mend = "change the setting on the device; its room's page and `roomd doctor` tell more"
            yield where, _Told("is heard in part", "are heard in part", why, mend)


def _sensors(sight: Sight) -> Iterable[tuple[str, _Told]]:
    """Those that are not Cisco's: offline, silent or odd; if nobody brings their word, that is told once."""
    mend = "look at its battery, its radio and what it speaks through; `roomd doctor --only sensors`"
    odd = "mend what [[rooms.sensors]] says of its values, or what it publishes"
    for settings in _configured(sight):
        for sensor in sight.rooms[settings.id].third_party.values():
            where = f"{settings.name} ({sensor.id})"
            if sensor.phase is SensorPhase.AWAY:
                yield where, _Told("is offline", "are offline", sensor.why, mend)
            elif sensor.phase is SensorPhase.HEARD and sensor.why is not None:
                yield where, _Told("cannot be understood", "cannot be understood", sensor.why, odd)
            elif sensor.phase is SensorPhase.STALE:
                why = "its last word is too old to count"
                yield where, _Told("has fallen silent", "have fallen silent", why, mend)


def _devices(sight: Sight) -> Iterable[tuple[str, DeviceState]]:
    """Each with what people call it."""
    for settings in _configured(sight):
        for device in sight.rooms[settings.id].devices.values():
            alone = device.id == DeviceId(settings.id)
            yield settings.name if alone else f"{settings.name} ({device.id})", device


def _in_short(found: Iterable[tuple[str, _Told]]) -> Iterable[Trouble]:
    """One trouble for all that have the same: a switch that is off is one thing to mend, and not forty."""
    alike: dict[_Told, list[str]] = {}
    for where, told in found:
        alike.setdefault(told, []).append(where)
    for told, places in alike.items():
        many = len(places) > 1
        who = _and(places) if many else places[0]
        yield f"{who} {told.of_many if many else told.of_one}", told.why, told.mend


def _and(places: Sequence[str]) -> str:
    more = len(places) - MOST_NAMED
    *first, last = [*places[:MOST_NAMED], f"{more} more"] if more > 0 else places
    return f"{', '.join(first)} and {last}"
