"""Says what has become another from one configuration to the next, and what of it must wait for a restart."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path

from agent.core.model import Device, DeviceId, Policy, RoomId
from agent.settings import Configuration, RoomSettings, own_client_id
from cloud_link.envelope import Privacy
from cloud_link.privacy import Rotating


class Part(StrEnum):
    """What is applied by itself, by the file's own names."""

    ROOMS = "rooms"
    DEVICES = "rooms.devices"
    TIMEZONE = "site.timezone"
    HOLDS = "holds"
    WORKING = "site.working_hours"
    RULES = "release"  # what is wanted of rooms: when they count as used, whether they are given to others
    PRIVACY = "site.privacy"
    BROKER = "mqtt"
    WINDOW = "mqtt.window"
    BUDGET = "agent.budget_mb"
    DIALLING = "devices.dial_at_once"
    FEEDBACK = "feedback"
    PAGE = "page"
    CALENDARS = "calendars"  # Microsoft's, Google's and [pushes], and which rooms are linked with them
    WEBEX = "webex"
    SENSORS = "sensors"  # where they are heard
    SENSES = "rooms.sensors"  # what is made of what they say


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """From one configuration to the next."""

    applied: Configuration  # what holds from now on: the new one, but for what waits for a restart
    waiting: tuple[str, ...]  # keys that only a restart applies
    parts: frozenset[Part]
    rooms_new: tuple[RoomId, ...]
    rooms_gone: tuple[RoomId, ...]
    rooms_refitted: tuple[RoomId, ...]  # that stay, with others of their devices, or in another order
    devices_new: tuple[Device, ...]
    devices_gone: tuple[DeviceId, ...]
    devices_changed: tuple[Device, ...]  # that are reached otherwise
    devices_touched: frozenset[DeviceId]  # that are reached as before, with a file that has become another
    broker_touched: bool  # the same

    @property
    def nothing(self) -> bool:
        """Whether all is as it was."""
        return not (self.parts or self.waiting or self.devices_touched or self.broker_touched)


def difference(old: Configuration, new: Configuration, *, touched: Collection[Path] = frozenset()) -> Changes:
    """What is to be done to go from one to the other. `touched` are files that have become others."""
    applied, waiting = _held_back(old, new)
    before, after = {room.id: room for room in old.rooms}, {room.id: room for room in new.rooms}
    devices_before = {device.id: device for device in old.devices}
    devices_after = {device.id: device for device in new.devices}
    stay = devices_before.keys() & devices_after.keys()
    changed = tuple(
        device
        for device in new.devices
        if device.id in stay and _reached(device) != _reached(devices_before[device.id])
    )
    reached_otherwise = {device.id for device in changed}
    refitted = tuple(
        room.id for room in new.rooms if room.id in before and _fitted(room) != _fitted(before[room.id])
    )
    return Changes(
        applied=applied,
        waiting=waiting,
        parts=frozenset(_parts(old, applied, touched)),
        rooms_new=tuple(room for room in after if room not in before),
        rooms_gone=tuple(room for room in before if room not in after),
        rooms_refitted=refitted,
        devices_new=tuple(device for device in new.devices if device.id not in stay),
        devices_gone=tuple(device for device in devices_before if device not in stay),
        devices_changed=changed,
        devices_touched=frozenset(
            device.id
            for device in new.devices
            if device.id in stay - reached_otherwise and not files_of(device).isdisjoint(touched)
        ),
        broker_touched=not files_of(applied.broker).isdisjoint(touched),
    )


def files_of(value: object) -> frozenset[Path]:
    """All files that a value of the configuration names, however deep in it."""
    return frozenset(_files(value))


def _files(value: object) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif is_dataclass(value):
        for each in fields(value):
            yield from _files(getattr(value, each.name))
    elif isinstance(value, tuple):
        for one in value:
            yield from _files(one)


def _held_back(old: Configuration, new: Configuration) -> tuple[Configuration, tuple[str, ...]]:
    """The new one with what a running roomd has to keep, and the keys of that."""
    kept = {
        "site.id": old.site.site != new.site.site,
        "agent.id": old.site.agent != new.site.agent,
        "mqtt.root": old.site.root != new.site.root,
        "agent.state_directory": old.state_directory != new.state_directory,
        "agent.socket": old.socket != new.socket,
    }
    client = new.broker.client_id
    if client == _own_client(new) and old.broker.client_id == _own_client(old):
        client = old.broker.client_id
    applied = replace(
        new,
        site=old.site,
        policy=replace(new.policy, agent=old.policy.agent),
        broker=replace(new.broker, client_id=client),
        privacy=old.privacy if _same(old.privacy, new.privacy) else new.privacy,
        state_directory=old.state_directory,
        socket=old.socket,
    )
    return applied, tuple(key for key, other in kept.items() if other)


def _own_client(configuration: Configuration) -> str:
    return own_client_id(configuration.site.site, configuration.site.agent)


def _same(one: Privacy, other: Privacy) -> bool:
    """One that seals looks at its file by itself."""
    if isinstance(one, Rotating) and isinstance(other, Rotating):
        return one.file == other.file
    return one is other


def _reached(device: Device) -> Device:
    """A device as far as its line goes."""
    return replace(device, counts_people=False)


def _fitted(room: RoomSettings) -> object:
    """A room as far as what it consists of goes."""
    return [(device.id, device.counts_people) for device in room.devices], room.put_on_devices


def _webex_of(configuration: Configuration) -> Mapping[str, RoomId]:
    return {device.webex: device.room for device in configuration.devices if device.webex}


def _parts(old: Configuration, new: Configuration, touched: Collection[Path]) -> Iterator[Part]:
    def other(one: object, another: object) -> bool:
        return one != another or not files_of(another).isdisjoint(touched)

    if [replace(room, devices=()) for room in old.rooms] != [replace(room, devices=()) for room in new.rooms]:
        yield Part.ROOMS
    if old.devices != new.devices:
        yield Part.DEVICES
    yield from _policy_parts(old.policy, new.policy)
    if any(
        replace(rules, capacity=None, sensors=())
        != replace(new.policy.rooms[room], capacity=None, sensors=())
        for room, rules in old.policy.rooms.items()
        if room in new.policy.rooms
    ):
        yield Part.RULES
    if other(old.sensors, new.sensors):
        yield Part.SENSORS
    if _senses(old) != _senses(new):
        yield Part.SENSES
    if old.privacy is not new.privacy:
        yield Part.PRIVACY
    if old.broker != new.broker:
        yield Part.BROKER
    if old.window != new.window:
        yield Part.WINDOW
    if old.budget_bytes != new.budget_bytes:
        yield Part.BUDGET
    if old.dial_at_once != new.dial_at_once:
        yield Part.DIALLING
    if other(old.feedback, new.feedback):
        yield Part.FEEDBACK
    if other(old.page, new.page):
        yield Part.PAGE
    yield from _calendar_parts(old, new, touched)


def _senses(configuration: Configuration) -> object:
    """What is made of the words of sensors."""
    rooms = configuration.policy.rooms
    return configuration.policy.tell_use, {
        room: rules.sensors for room, rules in rooms.items() if rules.sensors
    }


def _policy_parts(was: Policy, is_: Policy) -> Iterator[Part]:
    if was.timezone != is_.timezone:
        yield Part.TIMEZONE
    if was.working != is_.working:
        yield Part.WORKING
    if was != replace(
        is_, timezone=was.timezone, working=was.working, rooms=was.rooms, tell_use=was.tell_use
    ):
        yield Part.HOLDS


def _calendar_parts(old: Configuration, new: Configuration, touched: Collection[Path]) -> Iterator[Part]:
    had, has = old.accounts, new.accounts
    if had is None and has is None:
        return
    webex_before, webex = None if had is None else had.webex, None if has is None else has.webex
    rest_before = None if had is None else replace(had, webex=None)
    rest = None if has is None else replace(has, webex=None)
    linked_otherwise = old.linked != new.linked or (webex is not None and _webex_of(old) != _webex_of(new))
    moved = old.policy.timezone != new.policy.timezone
    if rest_before != rest or linked_otherwise or moved or not files_of(rest).isdisjoint(touched):
        yield Part.CALENDARS
    secrets = frozenset() if webex is None else files_of(replace(webex, activation_code_file=Path()))
    if webex_before != webex or not secrets.isdisjoint(touched):
        yield Part.WEBEX
