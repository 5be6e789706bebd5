"""What the sensors of a room's devices say, made into people, presence and use; unknown stays unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import assert_never

from agent.core.events import (
    CallsCounted,
    CurrentValuesRead,
    PeopleCounted,
    PresenceSensed,
    SensorEvent,
    SharingSensed,
    UseSensed,
)
from agent.core.facts import FactKind, OccupancyFact, Step
from agent.core.model import (
    NOTHING_KNOWN,
    DeviceId,
    DevicePhase,
    Occupancy,
    Room,
    SensorId,
    UsePhase,
    UseWord,
)
from agent.core.renewing import replace

Witness = DeviceId | SensorId

SENSORS_LAST = timedelta(seconds=120)  # what a lost device said last holds for so long; then nobody knows


def sense(room: Room, event: SensorEvent, *, now: datetime) -> Step:
    """Take over what a device senses; a fact follows if that changes what is known of the room."""
    before = room.sensors.get(event.device, NOTHING_KNOWN)
    match event:
        case PeopleCounted(people=people):
            after = replace(before, people=people)
        case PresenceSensed(presence=presence):
            after = replace(before, presence=presence)
        case UseSensed(in_use=in_use):
            after = replace(before, in_use=in_use)
        case CallsCounted(calls=calls):
            after = replace(before, in_call=None if calls is None else calls > 0)
        case SharingSensed(sharing=sharing):
            after = replace(before, sharing=sharing)
        case CurrentValuesRead():
            after = Occupancy(
                people=event.people,
                presence=event.presence,
                in_use=event.in_use,
                in_call=None if event.calls is None else event.calls > 0,
                sharing=event.sharing,
            )
        case _:
            assert_never(event)
    if after == before:
        return Step(room=room)
    sensors = {**room.sensors, event.device: after}
    return _weighed(room, sensors, now, recovered=isinstance(event, CurrentValuesRead))


def weigh(room: Room, *, now: datetime, sensor: SensorId | None = None) -> Step:
    """Put together what is sensed; a fact follows if the cloud was told otherwise.

    `sensor`: one that is not Cisco's, and has just spoken.
    """
    return _weighed(room, room.sensors, now, recovered=False, sensor=sensor)


def _weighed(
    room: Room,
    sensors: Mapping[DeviceId, Occupancy],
    now: datetime,
    *,
    recovered: bool,
    sensor: SensorId | None = None,
) -> Step:
    occupancy = _together(tuple(_heard(room, sensors, now).values()))
    if occupancy == room.occupancy:
        return Step(room=room if sensors is room.sensors else replace(room, sensors=sensors))
    fact = OccupancyFact(
        kind=FactKind.OCCUPANCY_CHANGED,
        at=now,
        occupancy=occupancy,
        previous=room.occupancy,
        sensor=sensor,
        recovered=recovered,
    )
    return Step(room=replace(room, sensors=sensors, occupancy=occupancy, occupancy_since=now), facts=(fact,))


def next_weighing(room: Room) -> datetime | None:
    """When the word of a lost device runs out; None while there is nothing to run out."""
    others = any(state.says != NOTHING_KNOWN for state in room.third_party.values())
    if not room.sensors and not others and room.occupancy != NOTHING_KNOWN:
        return room.occupancy_since  # whose word that was is configured no more
    return min(
        (_lasts_until(room, device) for device in room.sensors if not _connected(room, device)), default=None
    )


def forget_silent(room: Room, *, now: datetime) -> Room:
    """The room without what devices said that have been away for too long."""
    sensors = {d: o for d, o in room.sensors.items() if _connected(room, d) or _lasts_until(room, d) > now}
    return room if len(sensors) == len(room.sensors) else replace(room, sensors=sensors)


def witnesses(room: Room, *, now: datetime) -> Mapping[Witness, Occupancy]:
    """Whoever says something of the room's people that counts now, and what; the codec stands first."""
    return _heard(room, room.sensors, now)


def _heard(room: Room, sensors: Mapping[DeviceId, Occupancy], now: datetime) -> Mapping[Witness, Occupancy]:
    """Each device's sensors, in the order of the configuration; then those that are not Cisco's."""
    heard: dict[Witness, Occupancy] = {
        device: sensors[device] if state.use is None else _without_echo(sensors[device], state.use)
        for device, state in room.devices.items()
        if device in sensors and (state.phase is DevicePhase.CONNECTED or state.since + SENSORS_LAST > now)
    }
    if not room.third_party:
        return heard
    others = [state for state in room.third_party.values() if state.says != NOTHING_KNOWN]
    leading: dict[Witness, Occupancy] = {each.id: each.says for each in others if each.counts_people}
    return {**leading, **heard, **{each.id: each.says for each in others}}


def _without_echo(sensed: Occupancy, use: UseWord) -> Occupancy:
    """A device that was told that others see somebody says so itself: that is no second word."""
    if sensed.in_use and use.phase is not UsePhase.REFUSED:
        own = sensed.presence or sensed.in_call or sensed.sharing
        return sensed if own else replace(sensed, in_use=None)
    return sensed


def _connected(room: Room, device: DeviceId) -> bool:
    state = room.devices.get(device)
    return state is not None and state.phase is DevicePhase.CONNECTED


def _lasts_until(room: Room, device: DeviceId) -> datetime:
    state = room.devices.get(device)
    return datetime.min.replace(tzinfo=UTC) if state is None else state.since + SENSORS_LAST


def _together(sensors: Sequence[Occupancy]) -> Occupancy:
    if not sensors:
        return NOTHING_KNOWN
    if len(sensors) == 1:
        return _used(sensors[0])
    return Occupancy(
        people=next((o.people for o in sensors if o.people is not None), None),
        presence=_any(o.presence for o in sensors),
        in_use=_any(_used(o).in_use for o in sensors),
        in_call=_any(o.in_call for o in sensors),
        sharing=_any(o.sharing for o in sensors),
    )


def _used(sensed: Occupancy) -> Occupancy:
    """With `in_use` concluded, where firmware before RoomOS 11 does not, from people, a call or sharing."""
    if sensed.in_use is not None:
        return sensed
    in_use = _any((sensed.presence, None if sensed.people is None else sensed.people > 0))
    if sensed.in_call or sensed.sharing:
        in_use = True
    return sensed if in_use is None else replace(sensed, in_use=in_use)


def _any(values: Iterable[bool | None]) -> bool | None:
    """True if anyone says yes, False if somebody says no and nobody yes, None if nobody knows."""
    known = [value for value in values if value is not None]
    return any(known) if known else None
