"""Sensors that are not Cisco's: when their word counts, when it does no more, and what devices are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from agent.core.events import (
    SensorAway,
    SensorBack,
    SensorCutOff,
    SensorSaid,
    ThirdPartyEvent,
    UseRefused,
    UseTold,
)
from agent.core.facts import Step, TellUse
from agent.core.model import (
    NOTHING_KNOWN,
    DevicePhase,
    DeviceState,
    Occupancy,
    Policy,
    Room,
    Sense,
    SensorId,
    SensorPhase,
    SensorRules,
    SensorState,
    UsePhase,
    UseWord,
)
from agent.core.occupancy import SENSORS_LAST, weigh
from agent.core.renewing import replace

# So often it is noted that a sensor lives: some speak every second, and each note is written. To one whose
# silence says no each word counts, and such speak when something moves.
SIGNS_EVERY = timedelta(seconds=60)
USE_LASTS = timedelta(seconds=300)  # for so long a device takes our word, as it does by itself (1 to 3600 s)
USE_AGAIN = timedelta(seconds=180)  # it is told again: a line that breaks then is back before it runs out
ANSWERS_WITHIN = timedelta(seconds=30)  # a device that has not by then is told once more
ECHOES_FOR = timedelta(seconds=10)  # once it was told that nobody is seen, until it says so itself

# ── a sensor's life ───────────────────────────────────────────────────────────────────────────────


class SensorSign(StrEnum):
    """What happens to a sensor."""

    SAID = "said"
    KEPT = "kept"  # what it said some time ago
    OFFLINE = "offline"
    CUT = "cut off"
    BACK = "back"
    SILENT = "silent"


SENSOR_TRANSITIONS: Mapping[tuple[SensorPhase, SensorSign], SensorPhase] = {
    (SensorPhase.UNHEARD, SensorSign.SAID): SensorPhase.HEARD,
    (SensorPhase.UNHEARD, SensorSign.KEPT): SensorPhase.HEARD,
    (SensorPhase.UNHEARD, SensorSign.OFFLINE): SensorPhase.AWAY,
    (SensorPhase.UNHEARD, SensorSign.CUT): SensorPhase.UNHEARD,
    (SensorPhase.UNHEARD, SensorSign.BACK): SensorPhase.UNHEARD,
    (SensorPhase.UNHEARD, SensorSign.SILENT): SensorPhase.STALE,
    (SensorPhase.HEARD, SensorSign.SAID): SensorPhase.HEARD,
    (SensorPhase.HEARD, SensorSign.KEPT): SensorPhase.HEARD,
    (SensorPhase.HEARD, SensorSign.OFFLINE): SensorPhase.AWAY,
    (SensorPhase.HEARD, SensorSign.CUT): SensorPhase.UNHEARD,
    (SensorPhase.HEARD, SensorSign.SILENT): SensorPhase.STALE,
    (SensorPhase.AWAY, SensorSign.SAID): SensorPhase.HEARD,
    (SensorPhase.AWAY, SensorSign.OFFLINE): SensorPhase.AWAY,
    (SensorPhase.AWAY, SensorSign.CUT): SensorPhase.UNHEARD,
    (SensorPhase.AWAY, SensorSign.BACK): SensorPhase.UNHEARD,
    (SensorPhase.STALE, SensorSign.SAID): SensorPhase.HEARD,
    (SensorPhase.STALE, SensorSign.KEPT): SensorPhase.HEARD,
    (SensorPhase.STALE, SensorSign.OFFLINE): SensorPhase.AWAY,
    (SensorPhase.STALE, SensorSign.CUT): SensorPhase.UNHEARD,
}


def hear_sensor(room: Room, event: ThirdPartyEvent, *, now: datetime, policy: Policy) -> Step:
    """Follow a sensor; a fact follows if that changes what is known of the room."""
    match event:
        case UseTold() | UseRefused():
            return _hear_back(room, event)
        case SensorSaid() | SensorAway() | SensorCutOff() | SensorBack():
            state = room.third_party.get(event.sensor)
        case _:
            assert_never(event)
    if state is None:
        return Step(room=room, ignored=1)
    rules = _rules_of(room, policy).get(event.sensor) or SensorRules(id=event.sensor)
    if isinstance(event, SensorSaid) and _is_no_news(state, event, rules, now):
        return Step(room=room)
    match event:
        case SensorSaid():
            after = _said(state, event, rules, now)
        case SensorAway(why=why):
            after = replace(_waiting(_moved(state, SensorSign.OFFLINE, now, why)), says=NOTHING_KNOWN)
        case SensorCutOff(why=why):
            after = _waiting(_moved(state, SensorSign.CUT, now, why))
        case SensorBack():
            if (state.phase, SensorSign.BACK) not in SENSOR_TRANSITIONS:
                return Step(room=room)  # it was never away, for all that we know
            after = _moved(state, SensorSign.BACK, now, None)
        case _:
            assert_never(event)
    after = _settled(after, rules, now)
    if after == state:
        return Step(room=room)
    told = replace(room, third_party={**room.third_party, state.id: after})
    return Step(room=told) if after.says == state.says else weigh(told, now=now, sensor=state.id)


def _is_no_news(state: SensorState, event: SensorSaid, rules: SensorRules, now: datetime) -> bool:
    """Most of what sensors say, and some say it every second."""
    said_at = state.said_at
    return (
        state.phase is SensorPhase.HEARD
        and said_at is not None
        and event.at is None
        and event.why == state.why
        and event.yes_for is None
        and state.yes_until is None
        and event.stale_after == state.stale_after
        and timedelta(0) <= now - said_at < _noted_every(state, rules)
        and _with(state.heard, event.values) == state.heard
        and (state.turned_at is None or not event.values)
        and (_counts_at(state, rules) or now) >= now
    )


def _stale_after(state: SensorState, rules: SensorRules) -> timedelta | None:
    spans = (state.stale_after, rules.stale_after)
    return min((span for span in spans if span is not None), default=None)


def _noted_every(state: SensorState, rules: SensorRules) -> timedelta:
    stale_after = _stale_after(state, rules)
    return SIGNS_EVERY if stale_after is None else min(SIGNS_EVERY, stale_after / 4)


def _waiting(state: SensorState) -> SensorState:
    """It is not heard: of what it says, nothing is about to count or to end."""
    return replace(state, turned_at=None, yes_until=None)


def _moved(state: SensorState, sign: SensorSign, now: datetime, why: str | None) -> SensorState:
    phase = SENSOR_TRANSITIONS.get((state.phase, sign), state.phase)
    return replace(state, phase=phase, since=state.since if phase is state.phase else now, why=why)


def _said(state: SensorState, event: SensorSaid, rules: SensorRules, now: datetime) -> SensorState:
    sign = SensorSign.KEPT if event.kept else SensorSign.SAID
    moved = _moved(state, sign, now, event.why)
    if moved.phase is SensorPhase.AWAY:
        return state  # it was kept from before
    moved = replace(moved, stale_after=event.stale_after)
    said_at = _said_at(state, event, now)
    noted_at = None if event.yes_for is not None else state.said_at
    if noted_at is not None and timedelta(0) <= said_at - noted_at < _noted_every(moved, rules):
        said_at = noted_at
    if not event.values and state.phase is SensorPhase.UNHEARD:
        return replace(state, said_at=said_at)  # it lives; what it saw while nobody heard it is not known
    moved = replace(moved, said_at=said_at)
    if not event.values:
        return moved
    # What it said before it was away is not put together with what it says now.
    heard = _with(state.heard if state.phase is SensorPhase.HEARD else NOTHING_KNOWN, event.values)
    yes_until = said_at + event.yes_for if event.yes_for is not None and _anybody(heard) else None
    return _turned(replace(moved, yes_until=yes_until), heard, now)


def _said_at(state: SensorState, event: SensorSaid, now: datetime) -> datetime:
    """When it gave this sign of life."""
    if event.at is not None:
        return min(event.at, now)
    if not event.kept or state.said_at is None:
        return now
    # The same as ever may be years old; what is new was said since we looked. But of one whose silence says
    # no, a yes is kept for ever, and is new each time.
    same = event.yes_for is not None or _with(state.heard, event.values) == state.heard
    return state.said_at if same else now


def _with(heard: Occupancy, values: Mapping[Sense, int | bool | None]) -> Occupancy:
    if all(getattr(heard, sense.value) == value for sense, value in values.items()):
        return heard
    for sense, value in values.items():
        match sense:
            case Sense.PEOPLE:
                heard = replace(heard, people=value)
            case Sense.PRESENCE:
                heard = replace(heard, presence=None if value is None else bool(value))
            case Sense.IN_USE:
                heard = replace(heard, in_use=None if value is None else bool(value))
            case _:
                assert_never(sense)
    return heard


def _turned(state: SensorState, said: Occupancy, now: datetime) -> SensorState:
    """It says so now. More or fewer people are at once so many; whether there are any has to last."""
    if _anybody(said) is None or _anybody(said) == _anybody(state.says):
        return replace(state, heard=said, says=said, turned_at=None)
    same = state.turned_at is not None and _anybody(said) == _anybody(state.heard)
    return replace(state, heard=said, turned_at=state.turned_at if same else now)


def _settled(state: SensorState, rules: SensorRules, now: datetime) -> SensorState:
    """What has become of it by now: its word counts, or does no more."""
    counts_at, ends_at, yes_until = _counts_at(state, rules), _ends_at(state, rules), state.yes_until
    if yes_until is not None and yes_until <= min(at for at in (now, counts_at, ends_at) if at is not None):
        return _settled(_said_no(state, yes_until), rules, now)
    if ends_at is not None and ends_at <= now and (counts_at is None or ends_at <= counts_at):
        silent = _is_silent(state, rules, now)
        return _silent(state, now) if silent else replace(_waiting(state), says=NOTHING_KNOWN)
    if counts_at is not None and counts_at <= now:
        return _settled(replace(state, says=state.heard, turned_at=None), rules, now)
    return state


def _said_no(state: SensorState, at: datetime) -> SensorState:
    """It says so by having said nothing more."""
    said = {sense: 0 for sense in Sense if getattr(state.heard, sense.value)}
    return _turned(replace(state, yes_until=None), _with(state.heard, said), at)


def _silent(state: SensorState, now: datetime) -> SensorState:
    why = None if state.said_at is None else f"it has been silent since {state.said_at:%Y-%m-%d %H:%M} UTC"
    return replace(_waiting(_moved(state, SensorSign.SILENT, now, why)), says=NOTHING_KNOWN)


def _is_silent(state: SensorState, rules: SensorRules, now: datetime) -> bool:
    silent_at = _silent_at(state, rules)
    heard = state.phase in {SensorPhase.HEARD, SensorPhase.UNHEARD}
    return heard and silent_at is not None and silent_at <= now


def _silent_at(state: SensorState, rules: SensorRules) -> datetime | None:
    stale_after = _stale_after(state, rules)
    return None if state.said_at is None or stale_after is None else state.said_at + stale_after


def _counts_at(state: SensorState, rules: SensorRules) -> datetime | None:
    """When what it says now counts, if it lasts; None: it does, or it is not heard."""
    if state.turned_at is None or state.phase is not SensorPhase.HEARD:
        return None
    return state.turned_at + (rules.counts_after if _anybody(state.heard) else rules.clears_after)


def _ends_at(state: SensorState, rules: SensorRules) -> datetime | None:
    """When its word counts no more, if it says nothing else."""
    silent_at = _silent_at(state, rules)
    match state.phase:
        case SensorPhase.HEARD:
            return silent_at
        case SensorPhase.UNHEARD:
            lapses_at = None if state.says == NOTHING_KNOWN else state.since + SENSORS_LAST
            return min((at for at in (silent_at, lapses_at) if at is not None), default=None)
        case SensorPhase.AWAY | SensorPhase.STALE:
            return None
        case _:
            assert_never(state.phase)


def _rules_of(room: Room, policy: Policy) -> Mapping[SensorId, SensorRules]:
    return {rules.id: rules for rules in policy.rules(room.id).sensors}


# ── a room's sensors ──────────────────────────────────────────────────────────────────────────────


def settle(room: Room, *, now: datetime, policy: Policy) -> Room:
    """The room with what time has made of its sensors' words; the same object if that is nothing."""
    if not sensed_by_others(room):
        return room
    known = _rules_of(room, policy)
    states = {
        sensor: _settled(state, known.get(sensor) or SensorRules(id=sensor), now)
        for sensor, state in room.third_party.items()
    }
    devices = {
        device: replace(state, use=None) if (at := _echoes_until(state)) is not None and at <= now else state
        for device, state in room.devices.items()
    }
    if devices != room.devices:
        room = replace(room, devices=devices)
    return room if states == room.third_party else replace(room, third_party=states)


def turned(before: Room, after: Room) -> SensorId | None:
    """The one of whose word time has made something else; None where it is none, or several."""
    if before.third_party is after.third_party:
        return None
    known = before.third_party
    others = [each for each, state in after.third_party.items() if state.says != known[each].says]
    return others[0] if len(others) == 1 else None


def next_settling(room: Room, policy: Policy) -> datetime | None:
    """When a sensor's word counts, or counts no more, or a device is to be told anew."""
    if not sensed_by_others(room):
        return None
    known = _rules_of(room, policy)
    instants: list[datetime | None] = []
    for sensor, state in room.third_party.items():
        rules = known.get(sensor) or SensorRules(id=sensor)
        instants += (_counts_at(state, rules), _ends_at(state, rules), state.yes_until)
    seen = policy.tell_use and somebody_seen(room)
    instants += (_due(state, seen=seen) for state in room.devices.values())
    instants += (_echoes_until(state) for state in room.devices.values())
    return min((instant for instant in instants if instant is not None), default=None)


def install(room: Room, sensors: Sequence[SensorRules], *, listening: bool, now: datetime) -> Room:
    """The room with exactly these sensors; the same object if it has them.

    Without `listening` nobody has heard them for a while, as when the agent starts: their words of then
    count for as long as those of a lost device.
    """
    if not sensors and not room.third_party:
        return room
    states = {
        rules.id: _known(room.third_party.get(rules.id), rules, listening=listening, now=now)
        for rules in sensors
    }
    same = list(states.items()) == list(room.third_party.items())
    return room if same else replace(room, third_party=states)


def _known(state: SensorState | None, rules: SensorRules, *, listening: bool, now: datetime) -> SensorState:
    if state is None:
        return SensorState(id=rules.id, since=now, counts_people=rules.counts_people)
    if not listening:
        said_at = None if state.said_at is None else min(state.said_at, now)
        state = replace(_waiting(state), phase=SensorPhase.UNHEARD, since=now, why=None, said_at=said_at)
    return replace(state, counts_people=rules.counts_people)


def shifted_sensor(state: SensorState, by: timedelta) -> SensorState:
    """The same after the clock jumped: what is running runs on."""
    return replace(
        state,
        since=state.since + by,
        turned_at=None if state.turned_at is None else state.turned_at + by,
        said_at=None if state.said_at is None else state.said_at + by,
        yes_until=None if state.yes_until is None else state.yes_until + by,
    )


# ── what devices are told ─────────────────────────────────────────────────────────────────────────


def tell_use(step: Step, *, now: datetime, policy: Policy) -> Step:
    """Tell the room's devices whether such a sensor sees somebody, before what they were told runs out."""
    room = step.room
    seen = policy.tell_use and somebody_seen(room)
    told = [
        state.id
        for state in room.devices.values()
        if (at := _due(state, seen=seen)) is not None and at <= now
    ]
    if not told:
        return step
    word = UseWord(phase=UsePhase.ASKED, in_use=seen, at=now)
    devices = {
        device: replace(state, use=word) if device in told else state
        for device, state in room.devices.items()
    }
    source = f"roomd-{policy.agent}"
    requests = tuple(TellUse(device=device, source=source, in_use=seen, lasts=USE_LASTS) for device in told)
    return replace(step, room=replace(room, devices=devices), requests=step.requests + requests)


def sensed_by_others(room: Room) -> bool:
    """Whether it has sensors that are not Cisco's, or a device that was told of some."""
    if room.third_party:
        return True
    for state in room.devices.values():  # noqa: SIM110 - asked after each event: `any` takes twice as long
        if state.use is not None:
            return True
    return False


def somebody_seen(room: Room) -> bool:
    """Whether any of the room's sensors that are not Cisco's sees somebody."""
    return any(_anybody(state.says) for state in room.third_party.values())


def shifted_use(state: DeviceState, by: timedelta) -> DeviceState:
    """The same after the clock jumped."""
    return state if state.use is None else replace(state, use=replace(state.use, at=state.use.at + by))


def _due(state: DeviceState, *, seen: bool) -> datetime | None:
    """When this device is to be told; None: it knows, or it cannot be told."""
    use = state.use
    if state.phase is not DevicePhase.CONNECTED:
        return None
    if use is None or use.at < state.since:  # said over another line: it may have been restarted since
        stands = use is not None and use.in_use and use.phase is not UsePhase.REFUSED
        return state.since if seen or stands else None
    match use.phase:
        case UsePhase.REFUSED:
            return None
        case UsePhase.ASKED if use.in_use is seen:
            return use.at + ANSWERS_WITHIN
        case UsePhase.TOLD if use.in_use is seen:
            return use.at + USE_AGAIN if seen else None
        case UsePhase.ASKED | UsePhase.TOLD:
            return use.at
        case _:
            assert_never(use.phase)


def _echoes_until(state: DeviceState) -> datetime | None:
    use = state.use
    return None if use is None or use.in_use or use.phase is not UsePhase.TOLD else use.at + ECHOES_FOR


def _hear_back(room: Room, event: UseTold | UseRefused) -> Step:
    state = room.devices.get(event.device)
    use = None if state is None else state.use
    if state is None or use is None or use.phase is not UsePhase.ASKED or use.in_use is not event.in_use:
        return Step(room=room, ignored=1)  # another word is under way
    phase = UsePhase.TOLD if isinstance(event, UseTold) else UsePhase.REFUSED
    told = replace(state, use=replace(use, phase=phase))
    return Step(room=replace(room, devices={**room.devices, state.id: told}))


def _anybody(says: Occupancy) -> bool | None:
    """Whether a sensor says that somebody is there; None where it says neither."""
    said = (None if says.people is None else says.people > 0, says.presence, says.in_use)
    known = [each for each in said if each is not None]
    return any(known) if known else None
