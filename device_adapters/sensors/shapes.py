"""The sensors that are not Cisco's, by who publishes for them: their topics, and how those are read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agent.core.model import RoomId, Sense, SensorId
from device_adapters.sensors.payloads import ONLINE, SOMEBODY, Path, Reading, Unreadable, Value, Words

ZIGBEE2MQTT_BASE: Final = "zigbee2mqtt"
STATESTREAM_BASE: Final = "homeassistant"
HOME_ASSISTANT_STATUS: Final = "homeassistant/status"  # its birth and its will, wherever it streams to

# Of what zigbee2mqtt's converters expose, what is about people: PIR and radar sensors call it occupancy or
# presence, counters at a door people.
ZIGBEE_PRESENCE: Final[tuple[Path, ...]] = (("occupancy",), ("presence",))
ZIGBEE_PEOPLE: Final[tuple[Path, ...]] = (("people",),)

UNKNOWN_TO_HOME_ASSISTANT: Final = frozenset({"unknown", "none"})
AWAY_FROM_HOME_ASSISTANT: Final = frozenset({"unavailable"})


class Together(StrEnum):
    """What several topics of availability mean together, in Home Assistant's words."""

    ALL = "all"
    ANY = "any"
    LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """A topic that says whether a sensor, or what it speaks through, is there."""

    topic: str
    words: Words = ONLINE
    path: Path = ()  # to the word in JSON; (): plain, or under "state"
    what: str = "the sensor"  # that is offline then


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """A topic of Home Assistant's MQTT discovery, where the sensor itself says how it is to be read."""

    topic: str
    component: str | None = None  # of a device that has several
    sense: Sense | None = None  # of its value; None: presence of a binary sensor, people of another
    path: Path | None = None  # of its value, where its template is more than a path


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """One that is not Cisco's: where it is heard, and how that is read."""

    id: SensorId
    room: RoomId
    topic: str | None  # None: it says itself
    reading: Reading | None
    availability: tuple[Availability, ...] = ()
    together: Together = Together.ALL
    discovery: Discovery | None = None


def zigbee2mqtt(
    id_: SensorId, room: RoomId, name: str, *, base: str = ZIGBEE2MQTT_BASE, values: tuple[Value, ...] = ()
) -> Sensor:
    """By its friendly name; its own words of availability, plain as they were or as JSON since 2.0."""
    usual = (
        Value(sense=Sense.PRESENCE, paths=ZIGBEE_PRESENCE),
        Value(sense=Sense.PEOPLE, paths=ZIGBEE_PEOPLE),
    )
    return Sensor(
        id=id_,
        room=room,
        topic=f"{base}/{name}",
        reading=Reading(values=values or usual, at=("last_seen",)),
        availability=(
            Availability(topic=f"{base}/bridge/state", what="zigbee2mqtt"),
            Availability(topic=f"{base}/{name}/availability"),
        ),
    )


def home_assistant(
    id_: SensorId, room: RoomId, entity: str, *, base: str = STATESTREAM_BASE, sense: Sense | None = None
) -> Sensor:
    """By its entity, as the integration MQTT Statestream publishes it. Unreadable if that is none."""
    domain, dot, name = entity.partition(".")
    if not dot or not domain or not name or "." in name:
        raise Unreadable(f"{entity!r} is no entity")
    words = Words(
        yes=SOMEBODY.yes,
        no=SOMEBODY.no - UNKNOWN_TO_HOME_ASSISTANT,
        unknown=SOMEBODY.unknown | UNKNOWN_TO_HOME_ASSISTANT,
    )
    value = Value(sense=sense or sense_of(domain), words=words)
    return Sensor(
        id=id_,
        room=room,
        topic=f"{base}/{domain}/{name}/state",
        reading=Reading(values=(value,), structured=False, away=AWAY_FROM_HOME_ASSISTANT),
        availability=(Availability(topic=HOME_ASSISTANT_STATUS, what="Home Assistant"),),
    )


def sense_of(component: str) -> Sense:
    """What an entity of this kind tells of, unless somebody says otherwise: a number is one of people."""
    return Sense.PEOPLE if component in {"sensor", "number", "input_number", "counter"} else Sense.PRESENCE


def discovered(id_: SensorId, room: RoomId, discovery: Discovery) -> Sensor:
    """By the topic of its discovery."""
    return Sensor(id=id_, room=room, topic=None, reading=None, discovery=discovery)


def structured(
    id_: SensorId, room: RoomId, topic: str, *, values: tuple[Value, ...], at: Path | None = None
) -> Sensor:
    """JSON of any make."""
    return Sensor(id=id_, room=room, topic=topic, reading=Reading(values=values, at=at))


def plain(id_: SensorId, room: RoomId, topic: str, *, value: Value) -> Sensor:
    """A topic with one word or number, and nothing around it."""
    return Sensor(id=id_, room=room, topic=topic, reading=Reading(values=(value,), structured=False))
