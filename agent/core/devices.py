"""The life of a room's devices: heard, lost, refused, restarted, upgraded, misconfigured."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import assert_never

from agent.core.attendance import left_attendance, left_watch
from agent.core.calendars import link
from agent.core.commands import left as left_command
from agent.core.correlation import set_right
from agent.core.events import (
    BookingTimeoutRead,
    CheckInRead,
    DeviceConnected,
    DeviceEvent,
    DeviceLost,
    DeviceRefused,
    ShortcomingsFound,
    UptimeRead,
)
from agent.core.facts import DeviceFact, FactKind, Step
from agent.core.holds import left
from agent.core.model import (
    Ability,
    Booking,
    BookingPhase,
    CalendarKind,
    Device,
    DeviceId,
    DevicePhase,
    DeviceState,
    Room,
    RoomId,
)
from agent.core.renewing import replace

OTHERS_STAY = timedelta(minutes=2)  # somebody else's prompt, for all that is known after a gap
UPTIME_TOLERANCE = timedelta(seconds=60)  # uptime is read seconds late
DRIFT = 1e-4  # of two clocks against each other, at most


def attend(room: Room, event: DeviceEvent, *, now: datetime) -> Step:
    """Follow a device's life; facts are told once for each change, not for each attempt."""
    state = room.devices.get(event.device) or DeviceState(id=event.device, since=now)
    match event:
        case DeviceConnected():
            return _connected(room, state, event, now)
        case DeviceLost(why=why):
            return _gone(room, state, DevicePhase.LOST, FactKind.DEVICE_LOST, why, now)
        case DeviceRefused(why=why):
            return _gone(room, state, DevicePhase.REFUSED, FactKind.DEVICE_REFUSED, why, now)
        case UptimeRead(uptime_s=uptime_s):
            booted_at = now - timedelta(seconds=uptime_s)
            if not _restarted(state, booted_at, now):
                return Step(room=room)
            state = _after_restart(replace(state, booted_at=booted_at, recovering=True, list_at=now))
            fact = DeviceFact(kind=FactKind.DEVICE_REBOOTED, at=booted_at, device=state)
            return Step(room=_with(room, state), facts=(fact,))
        case BookingTimeoutRead(seconds=seconds):
            return Step(room=_with(room, replace(state, booking_timeout=timedelta(seconds=seconds))))
        case CheckInRead(enabled=enabled):
            return Step(room=_with(room, replace(state, checks_in=enabled)))
        case ShortcomingsFound(shortcomings=shortcomings, lacks=lacks):
            state = replace(state, lacks=state.lacks if lacks is None else lacks)
            found = shortcomings + _missed(room, state) + _not_done(state)
            told = replace(state, shortcomings=found)
            step = Step(room=_with(room, told), facts=misconfigured(state, told, now))
            return _reweighed(step, event.device, now)
        case _:
            assert_never(event)


def furnish(
    room: Room | None,
    room_id: RoomId,
    devices: tuple[Device, ...],
    *,
    calendars: tuple[CalendarKind, ...] = (),
    writes: Collection[CalendarKind] = (),
    puts: bool | None = None,
    now: datetime,
) -> Room:
    """The room when the agent starts: its state from disk, with exactly the configured devices and calendars.

    Nothing was heard while the agent was down: no device counts as connected, every gap is to be closed.
    The first device is the one whose count of people is believed. `calendars` are the linked ones, the better
    first; in those of `writes` the site lets us book. With `puts` its devices are given what those have,
    and with False it is taken back.
    """
    room = link(room or Room(id=room_id), calendars, writes, now=now)
    devices = tuple(sorted(devices, key=lambda device: not device.counts_people))
    states = {
        device.id: _unheard(room.devices[device.id], now)
        if device.id in room.devices
        else DeviceState(id=device.id, since=now, recovering=True)
        for device in devices
    }
    return replace(
        room,
        devices=states,
        bookings={key: _left(booking, states, now) for key, booking in room.bookings.items()},
        heard=None
        if room.heard is None
        else {key: _left(booking, states, now) for key, booking in room.heard.items()},
        sensors={device: sensed for device, sensed in room.sensors.items() if device in states},
        occupancy_since=_past(room.occupancy_since, now),
        holds={key: left(hold, states, now) for key, hold in room.holds.items()},
        commands={key: left_command(command, now) for key, command in room.commands.items()},
        watch=left_watch(room.watch, now=now),
        attendances={
            key: left_attendance(each, room.watch, now=now) for key, each in room.attendances.items()
        },
        releases={key: replace(each, empty_since=None) for key, each in room.releases.items()},
        puts_agenda=puts,
    )


def refit(
    room: Room,
    devices: tuple[Device, ...],
    *,
    closed: Collection[DeviceId],
    puts: bool | None,
    now: datetime,
) -> Room:
    """The room when the configuration has become another while the agent runs; its calendars stay.

    `closed` are those of the devices whose line was closed for it. The others are heard on, and what is known
    by them stays known.
    """
    devices = tuple(sorted(devices, key=lambda device: not device.counts_people))
    states: dict[DeviceId, DeviceState] = {}
    for device in devices:
        state = room.devices.get(device.id)
        if state is None:
            state = DeviceState(id=device.id, since=now, recovering=True)
        states[device.id] = _unheard(state, now) if device.id in closed else state
    room = replace(room, devices=states, puts_agenda=puts)
    if room.bookings.keys() and not _named_by(room) <= states.keys():
        room = replace(
            room,
            bookings={key: _left(booking, states, now) for key, booking in room.bookings.items()},
            heard=None
            if room.heard is None
            else {key: _left(booking, states, now) for key, booking in room.heard.items()},
        )
    return replace(
        room,
        sensors={device: sensed for device, sensed in room.sensors.items() if device in states},
        holds={
            key: replace(hold, showings=tuple(each for each in hold.showings if each.device in states))
            for key, hold in room.holds.items()
        },
    )


def _named_by(room: Room) -> set[DeviceId]:
    """The devices by whose ids bookings are known."""
    bookings = (*room.bookings.values(), *(room.heard or {}).values())
    asked = {booking.requested_on for booking in bookings if booking.requested_on is not None}
    return asked | {device for booking in bookings for device in booking.booking_ids}


def _unheard(state: DeviceState, now: datetime) -> DeviceState:
    phase = DevicePhase.UNHEARD if state.phase is DevicePhase.CONNECTED else state.phase
    return replace(
        state,
        phase=phase,
        since=now,
        recovering=True,
        asked_at=None,
        list_at=None,
        listed_at=_past(state.listed_at, now),
        others_until=_perhaps_still(state.others_until, now),
        booted_at=_past(state.booted_at, now),
        hybrid_at=_past(state.hybrid_at, now),
    )


def _left(booking: Booking, devices: Mapping[DeviceId, DeviceState], now: datetime) -> Booking:
    """A booking without the words of devices that are gone, and with nothing in a set-back clock's future."""
    if booking.phase is not BookingPhase.STARTED:  # a clock at start is rather behind than right
        booking = set_right(booking, now)
    return replace(
        booking,
        booking_ids={device: id_ for device, id_ in booking.booking_ids.items() if device in devices},
        requested_on=booking.requested_on if booking.requested_on in devices else None,
        since=min(booking.since, now),
        seen_at=min(booking.seen_at, now),
        requested_at=_past(booking.requested_at, now),
    )


def _past(instant: datetime | None, now: datetime) -> datetime | None:
    return None if instant is None else min(instant, now)


def _perhaps_still(others_until: datetime | None, now: datetime) -> datetime | None:
    """Somebody else's prompt after a gap, in which nobody heard whether it was cleared."""
    return None if others_until is None else min(others_until, now + OTHERS_STAY)


def _connected(room: Room, before: DeviceState, event: DeviceConnected, now: datetime) -> Step:
    booted_at = before.booted_at if event.uptime_s is None else now - timedelta(seconds=event.uptime_s)
    books = Ability.BOOKINGS not in event.lacks
    state = replace(
        before,
        phase=DevicePhase.CONNECTED,
        since=now,
        why=None,
        product=event.product,
        serial=event.serial,
        firmware=event.firmware,
        transport=event.transport,
        transport_why=event.transport_why,
        booted_at=booted_at,
        answers_requests=event.answers_requests,
        booking_timeout=timedelta(seconds=event.booking_timeout_s),
        lacks=event.lacks,
        surfaces=event.surfaces,
        checks_in=event.checks_in,
        hears_answers=event.hears_answers,
        others_until=_perhaps_still(before.others_until, now),
        recovering=books,
        asked_at=now if books else None,  # whoever connects lists: the listing is on its way
        list_at=None,
        put=None if room.puts_agenda else before.put,
        put_next_at=None,
    )
    state = replace(state, shortcomings=event.shortcomings + _missed(room, state) + _not_done(state))
    facts: tuple[DeviceFact, ...] = ()
    if booted_at is not None and _restarted(before, booted_at, now):
        state = _after_restart(state)
        facts += (DeviceFact(kind=FactKind.DEVICE_REBOOTED, at=booted_at, device=state, recovered=True),)
    if before.firmware is not None and before.firmware != event.firmware:
        was = f"was {before.firmware}"
        facts += (DeviceFact(kind=FactKind.DEVICE_UPGRADED, at=now, device=state, cause=was, recovered=True),)
    facts += (DeviceFact(kind=FactKind.DEVICE_CONNECTED, at=now, device=state),)
    step = Step(room=_with(room, state), facts=facts + misconfigured(before, state, now))
    return step if before.lacks == state.lacks else _reweighed(step, state.id, now)


def _gone(
    room: Room, before: DeviceState, phase: DevicePhase, kind: FactKind, why: str, now: datetime
) -> Step:
    if before.phase is phase and before.why == why:
        return Step(room=room)
    if before.phase is phase is DevicePhase.LOST:
        return Step(room=_with(room, replace(before, why=why)))  # still lost, for another reason
    since = before.since if before.phase is phase else now
    state = replace(before, phase=phase, since=since, why=why, recovering=True, asked_at=None, list_at=None)
    return Step(room=_with(room, state), facts=(DeviceFact(kind=kind, at=now, device=state, cause=why),))


def misconfigured(before: DeviceState, state: DeviceState, now: datetime) -> tuple[DeviceFact, ...]:
    """What is told where a device's shortcomings have become others."""
    if state.shortcomings == before.shortcomings or not state.shortcomings:
        return ()
    cause = "; ".join(state.shortcomings)
    return (DeviceFact(kind=FactKind.DEVICE_MISCONFIGURED, at=now, device=state, cause=cause),)


def _missed(room: Room, state: DeviceState) -> tuple[str, ...]:
    """What a device lacks and no other of the room has; one that was not heard yet may have it."""
    others = [other.lacks for other in room.devices.values() if other.id != state.id]
    return tuple(words for ability, words in state.lacks.items() if all(ability in lacks for lacks in others))


def _not_done(state: DeviceState) -> tuple[str, ...]:
    return tuple(why for why in (state.put_why, state.release_why) if why is not None)


def _reweighed(step: Step, changed: DeviceId, now: datetime) -> Step:
    """The other devices' shortcomings after one has changed: it may have made up for what they lack."""
    for other in step.room.devices.values():
        if other.id != changed and other.lacks:
            words = frozenset(other.lacks.values())
            own = tuple(sentence for sentence in other.shortcomings if sentence not in words)
            told = replace(other, shortcomings=own + _missed(step.room, other))
            if told.shortcomings != other.shortcomings:
                facts = (
                    misconfigured(other, told, now)
                    if set(told.shortcomings) - set(other.shortcomings)
                    else ()
                )
                step = replace(step, room=_with(step.room, told), facts=step.facts + facts)
    return step


def _restarted(before: DeviceState, booted_at: datetime, now: datetime) -> bool:
    """Clocks drift apart, the more the longer it has been up: that is no restart."""
    tolerance = UPTIME_TOLERANCE + (now - booted_at) * DRIFT
    return before.booted_at is not None and booted_at > before.booted_at + tolerance


def _after_restart(state: DeviceState) -> DeviceState:
    # `webex-7` may be another booking now, and its screen is empty.
    return replace(state, renumbered=True, others_until=None)


def _with(room: Room, device: DeviceState) -> Room:
    return replace(room, devices={**room.devices, device.id: device})
