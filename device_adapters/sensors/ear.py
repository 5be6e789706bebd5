"""Messages in, events out: which sensors speak where, what they say, and which are offline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.core.events import SensorAway, SensorBack, SensorSaid
from agent.core.model import RoomId, SensorId
from device_adapters.sensors.discovery import announced
from device_adapters.sensors.payloads import Unreadable, read, read_word
from device_adapters.sensors.shapes import Availability, Sensor, Together

Event = SensorSaid | SensorAway | SensorBack


@dataclass(slots=True)
class Heard:
    """What came of a message."""

    events: list[tuple[RoomId, Event]] = field(default_factory=list)
    subscribe: list[str] = field(default_factory=list)  # topics of which it told
    unreadable: list[tuple[SensorId, str]] = field(default_factory=list)  # and why


class Ear:
    """Hears all sensors of a site. Used by one connection after the other."""

    def __init__(self, sensors: Iterable[Sensor]) -> None:
        self._sensors: dict[SensorId, Sensor] = {}
        self._announced: dict[str, list[SensorId]] = {}
        self._values: dict[str, list[SensorId]] = {}
        self._availability: dict[str, list[SensorId]] = {}
        self._there: dict[SensorId, dict[str, bool]] = {}  # by topic, the newest last
        for sensor in sensors:
            if sensor.discovery is not None:
                self._announced.setdefault(sensor.discovery.topic, []).append(sensor.id)
            self._take(sensor)

    @property
    def sensors(self) -> Mapping[SensorId, Sensor]:
        """Each as it is known by now."""
        return self._sensors

    @property
    def topics(self) -> tuple[str, ...]:
        """All that is to be subscribed to, as far as it is known by now."""
        return tuple({**self._announced, **self._availability, **self._values})

    def topics_of(self, sensor: SensorId) -> tuple[str, ...]:
        """Those of one."""
        known = self._sensors[sensor]
        return (
            *(() if known.discovery is None else (known.discovery.topic,)),
            *(() if known.topic is None else (known.topic,)),
            *(each.topic for each in known.availability),
        )

    def cut_off(self) -> None:
        """The line broke: who is there will be heard anew."""
        self._there.clear()

    def hear(self, topic: str, payload: bytes, *, kept: bool) -> Heard:
        """What a message says; `kept`: the broker has kept it, and nobody knows for how long."""
        heard = Heard()
        for sensor in self._announced.get(topic, ()):
            self._hear_announcement(self._sensors[sensor], payload, heard)
        for sensor in tuple(self._availability.get(topic, ())):
            self._hear_availability(self._sensors[sensor], topic, payload, heard)
        for sensor in tuple(self._values.get(topic, ())):
            self._hear_value(self._sensors[sensor], payload, heard, kept=kept)
        return heard

    def _hear_announcement(self, sensor: Sensor, payload: bytes, heard: Heard) -> None:
        plain = Sensor(id=sensor.id, room=sensor.room, topic=None, reading=None, discovery=sensor.discovery)
        if not payload:  # that is how an announcement is taken back
            self._take(plain)
            heard.events.append((sensor.room, SensorAway(sensor=sensor.id, why="it is announced no more")))
            return
        try:
            known = announced(plain, payload)
        except Unreadable as error:
            heard.unreadable.append((sensor.id, str(error)))
            if sensor.topic is None:  # else it is heard as it was announced before
                heard.events.append((sensor.room, SensorAway(sensor=sensor.id, why=str(error))))
            return
        if known != sensor:
            self._take(known)
            heard.subscribe += self.topics_of(known.id)[1:]
            if sensor.topic is None:  # it may have been taken back before
                heard.events.append((known.room, SensorBack(sensor=known.id)))

    def _hear_availability(self, sensor: Sensor, topic: str, payload: bytes, heard: Heard) -> None:
        states = self._there.setdefault(sensor.id, {})
        before = _is_there(sensor.together, states.values())
        for each in sensor.availability:
            if each.topic != topic or not payload:  # an empty one takes back what was kept
                continue
            try:
                there = read_word(payload, each.words, each.path)
            except Unreadable as error:
                heard.unreadable.append((sensor.id, f"its availability: {error}"))
                continue
            states.pop(topic, None)
            if there is not None:
                states[topic] = there
        after = _is_there(sensor.together, states.values())
        if after is False:
            heard.events.append((sensor.room, SensorAway(sensor=sensor.id, why=_why(sensor, states))))
        elif after and before is False:
            heard.events.append((sensor.room, SensorBack(sensor=sensor.id)))

    def _hear_value(self, sensor: Sensor, payload: bytes, heard: Heard, *, kept: bool) -> None:
        if sensor.reading is None or not payload:
            return
        event: Event
        try:
            said = read(payload, sensor.reading)
        except Unreadable as error:  # it says otherwise than before, and nobody knows what
            heard.unreadable.append((sensor.id, str(error)))
            unknown = dict.fromkeys((value.sense for value in sensor.reading.values), None)
            why = f"what it says cannot be understood: {error}"
            event = SensorSaid(sensor=sensor.id, values=unknown, kept=kept, why=why)
        else:
            if said.away:
                event = SensorAway(sensor=sensor.id, why="Home Assistant says that it is unavailable")
            else:
                event = SensorSaid(
                    sensor=sensor.id,
                    values=said.values,
                    kept=kept,
                    at=said.at,
                    yes_for=sensor.reading.yes_for,
                    stale_after=sensor.reading.stale_after,
                )
        heard.events.append((sensor.room, event))

    def _take(self, sensor: Sensor) -> None:
        before = self._sensors.get(sensor.id)
        if before is not None:
            for topics in (self._values, self._availability):
                for speaking in topics.values():
                    if sensor.id in speaking:
                        speaking.remove(sensor.id)
            self._there.pop(sensor.id, None)
        self._sensors[sensor.id] = sensor
        if sensor.topic is not None:
            self._values.setdefault(sensor.topic, []).append(sensor.id)
        for each in sensor.availability:
            known = self._availability.setdefault(each.topic, [])
            if sensor.id not in known:
                known.append(sensor.id)


def _is_there(together: Together, states: Iterable[bool]) -> bool | None:
    """None: nobody says. What has said nothing counts as there."""
    known: Sequence[bool] = tuple(states)
    if not known:
        return None
    match together:
        case Together.ALL:
            return all(known)
        case Together.ANY:
            return any(known)
        case Together.LATEST:
            return known[-1]


def _why(sensor: Sensor, states: Mapping[str, bool]) -> str:
    off = (each for each in sensor.availability if states.get(each.topic) is False)
    first: Availability | None = next(off, None)
    return "it is offline" if first is None else f"{first.what} is offline, by {first.topic}"
