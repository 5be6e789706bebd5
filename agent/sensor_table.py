"""The tables of the file that are about sensors which are not Cisco's, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from agent.core.model import RoomId, Sense, SensorId, SensorRules
from agent.tables import BrokerTable, Number, Slug, Table, Words, refused
from cloud_link.address import Address
from device_adapters.sensors import payloads, shapes
from device_adapters.sensors.payloads import SOMEBODY, Path, Reading, Unreadable, Value, read_path
from device_adapters.sensors.shapes import Availability, Discovery, Sensor

LONGEST_TOPIC: Final = 1000
LONGEST_SPAN_S: Final = 7 * 24 * 3600
CLEARS_AFTER_S: Final = 60
STALE_AFTER_S: Final = 3 * 3600
STALE_HOME_ASSISTANT_S: Final = 24 * 3600  # it tells of changes only, and says itself what is offline
MOST_WORDS: Final = 20


def _topic(value: str) -> str:
    if not value or len(value) > LONGEST_TOPIC or set(value) & set("+#\0") or value != value.strip():
        raise refused("is no topic", 'Write one topic whole, without + and #, like "building/4/fjord"')
    return value


def _path(value: str) -> str:
    try:
        read_path(value)
    except Unreadable as error:
        raise refused(f"is no path: {error}", 'Write it like "zones[0].occupied"') from error
    return value


Topic = Annotated[str, AfterValidator(_topic)]
JsonPath = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_path)]
Span = Annotated[Number, Field(ge=0, le=LONGEST_SPAN_S)]
SomeWords = Annotated[tuple[Words, ...], Field(min_length=1, max_length=MOST_WORDS)]


class _Times(Table):
    counts_after_s: Span | None = None
    clears_after_s: Span | None = None
    stale_after_s: Span | None = None


class SensorsTable(_Times, BrokerTable):
    """[sensors]: their broker, and what holds for all of them."""

    url: str | None = None
    zigbee2mqtt_base: Topic = shapes.ZIGBEE2MQTT_BASE
    home_assistant_base: Topic = shapes.STATESTREAM_BASE
    tell_devices: bool = True


class SensorTable(_Times):
    """[[rooms.sensors]]: one sensor, by who publishes for it."""

    id: Slug | None = None
    zigbee2mqtt: Topic | None = None
    home_assistant: Words | None = None
    discovery: Topic | None = None
    component: Words | None = None
    topic: Topic | None = None
    says: Literal["presence", "people", "in_use"] | None = None
    presence: JsonPath | None = None
    people: JsonPath | None = None
    in_use: JsonPath | None = None
    seen_at: JsonPath | None = None
    yes: SomeWords | None = None
    no: SomeWords | None = None
    availability: Topic | None = None
    availability_path: JsonPath | None = None
    counts_people: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """The site's sensors that are not Cisco's, and the broker that they speak through."""

    broker: Address
    own_broker: bool  # it is not that of [mqtt]
    sensors: tuple[Sensor, ...]


KINDS: Final = ("zigbee2mqtt", "home_assistant", "discovery", "topic")


def id_of(room: RoomId, table: SensorTable, number: int) -> SensorId:
    """Its name: as the file has it, or `{room}-sensor`, `{room}-sensor-2`, …; `number` from 0 on."""
    return SensorId(table.id or (f"{room}-sensor-{number + 1}" if number else f"{room}-sensor"))


def rules_of(room: RoomId, tables: Sequence[SensorTable], defaults: SensorsTable) -> tuple[SensorRules, ...]:
    """How much the words of a room's sensors count for."""
    return tuple(_rules(id_of(room, table, n), table, defaults) for n, table in enumerate(tables))


def _rules(id_: SensorId, table: SensorTable, defaults: SensorsTable) -> SensorRules:
    def span(own: float | None, shared: float | None, usual: float) -> timedelta:
        found = own if own is not None else shared
        return timedelta(seconds=usual if found is None else found)

    usual_s = STALE_HOME_ASSISTANT_S if table.home_assistant is not None else STALE_AFTER_S
    return SensorRules(
        id=id_,
        counts_after=span(table.counts_after_s, defaults.counts_after_s, 0),
        clears_after=span(table.clears_after_s, defaults.clears_after_s, CLEARS_AFTER_S),
        stale_after=span(table.stale_after_s, defaults.stale_after_s, usual_s) or None,
        counts_people=table.counts_people,
    )


def sensor_of(
    key: str,
    room: RoomId,
    table: SensorTable,
    number: int,
    defaults: SensorsTable,
    wrong: Callable[[str, str, str], None],
) -> Sensor | None:
    """Where it is heard and how; None if that is wrong, which is told under `key`."""
    kinds = [kind for kind in KINDS if getattr(table, kind) is not None]
    if len(kinds) != 1:
        what = "does not say where it speaks" if not kinds else f"speaks in several ways: {', '.join(kinds)}"
        wrong(key, what, f"Give it exactly one of {', '.join(KINDS)}")
        return None
    if _contradicts(key, table, kinds[0], wrong):
        return None
    id_ = id_of(room, table, number)
    try:
        sensor = _shaped(id_, room, table, defaults)
    except Unreadable as error:
        wrong(f"{key}.home_assistant", str(error), 'Write it like "binary_sensor.fjord_presence"')
        return None
    if table.availability is not None:
        path = () if table.availability_path is None else read_path(table.availability_path)
        own = Availability(topic=table.availability, path=path)
        sensor = replace(sensor, availability=(*sensor.availability, own))
    return sensor


def _contradicts(key: str, table: SensorTable, kind: str, wrong: Callable[[str, str, str], None]) -> bool:
    paths = [sense.value for sense in Sense if getattr(table, sense.value) is not None]
    found = False

    def no(name: str, what: str, mend: str) -> None:
        nonlocal found
        found = True
        wrong(f"{key}.{name}", what, mend)

    if table.says is not None and paths:
        no("says", f"stands beside {', '.join(paths)}, which says the same", "Keep one of them")
    if table.says is not None and kind == "zigbee2mqtt":
        no("says", "is nothing that zigbee2mqtt needs", 'Name the value instead, like presence = "occupancy"')
    if paths and kind == "home_assistant":
        no(paths[0], "is a path, and an entity has one value", "Write says in its place, or take it out")
    if len(paths) > 1 and kind == "discovery":
        no(paths[1], f"stands beside {paths[0]}, and an announcement is of one value", "Keep one of them")
    if table.component is not None and kind != "discovery":
        no("component", "has no discovery beside it", "Add discovery, or take it out")
    if table.availability_path is not None and table.availability is None:
        no("availability_path", "has no availability beside it", "Add availability, or take it out")
    if (table.yes is None) != (table.no is None):
        missing = "yes" if table.yes is None else "no"
        no(missing, "is not given, and its opposite is", "Write both, as the sensor says them")
    elif (
        table.yes and table.no and {each.lower() for each in table.yes} & {each.lower() for each in table.no}
    ):
        no("no", "has a word that stands in yes, too", "Keep it in one of them")
    if table.seen_at is not None and kind in {"home_assistant", "discovery"}:
        no("seen_at", "is nothing that Home Assistant tells", "Take it out")
    return found


def _shaped(id_: SensorId, room: RoomId, table: SensorTable, defaults: SensorsTable) -> Sensor:
    values = tuple(
        Value(sense=sense, paths=(read_path(text),), words=_words(table))
        for sense in Sense
        if (text := getattr(table, sense.value)) is not None
    )
    says = None if table.says is None else Sense(table.says)
    seen_at = None if table.seen_at is None else read_path(table.seen_at)
    if table.zigbee2mqtt is not None:
        base = defaults.zigbee2mqtt_base
        sensor = shapes.zigbee2mqtt(id_, room, table.zigbee2mqtt, base=base, values=values)
    elif table.home_assistant is not None:
        base = defaults.home_assistant_base
        sensor = shapes.home_assistant(id_, room, table.home_assistant, base=base, sense=says)
    elif table.discovery is not None:
        found: Path | None = values[0].paths[0] if values else None
        sense = values[0].sense if values else says
        discovery = Discovery(topic=table.discovery, component=table.component, sense=sense, path=found)
        sensor = shapes.discovered(id_, room, discovery)
    elif values:
        sensor = shapes.structured(id_, room, table.topic or "", values=values, at=seen_at)
    else:
        value = Value(sense=says or Sense.PRESENCE, words=_words(table))
        sensor = shapes.plain(id_, room, table.topic or "", value=value)
    if sensor.reading is not None and (seen_at is not None or table.yes is not None):
        sensor = replace(sensor, reading=_otherwise(sensor.reading, table, seen_at))
    return sensor


def _otherwise(reading: Reading, table: SensorTable, seen_at: Path | None) -> Reading:
    values = reading.values
    if table.yes is not None:
        values = tuple(replace(value, words=_words(table)) for value in values)
    return replace(reading, values=values, at=seen_at or reading.at)


def _words(table: SensorTable) -> payloads.Words:
    if table.yes is None or table.no is None:
        return SOMEBODY
    return payloads.Words(
        yes=frozenset(each.strip().lower() for each in table.yes),
        no=frozenset(each.strip().lower() for each in table.no),
        unknown=SOMEBODY.unknown,
    )
