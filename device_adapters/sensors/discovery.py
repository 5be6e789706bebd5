"""Home Assistant's MQTT discovery: what a sensor's own announcement says of where and how it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final, NamedTuple

from device_adapters.sensors.payloads import (
    ONLINE,
    SOMEBODY,
    Path,
    Reading,
    Unreadable,
    Value,
    Words,
    read_path,
    structured,
)
from device_adapters.sensors.shapes import (
    UNKNOWN_TO_HOME_ASSISTANT,
    Availability,
    Sensor,
    Together,
    sense_of,
)

# What may be written short, and how (Home Assistant, MQTT, supported abbreviations).
LONG: Final[Mapping[str, str]] = {
    "~": "~",
    "avty": "availability",
    "avty_mode": "availability_mode",
    "avty_t": "availability_topic",
    "avty_tpl": "availability_template",
    "cmps": "components",
    "exp_aft": "expire_after",
    "off_dly": "off_delay",
    "p": "platform",
    "pl_avail": "payload_available",
    "pl_not_avail": "payload_not_available",
    "pl_off": "payload_off",
    "pl_on": "payload_on",
    "stat_t": "state_topic",
    "t": "topic",
    "val_tpl": "value_template",
}
MOST_TOPICS: Final = 16  # that say whether one sensor is there
LONGEST_SPAN_S: Final = 30 * 24 * 3600

_TEMPLATE: Final = re.compile(
    r"\{\{-?\s*(?:value_json(?P<path>(?:\.[A-Za-z_]\w*|\[\s*(?:\d+|'[^']+'|\"[^\"]+\")\s*\])*)|value)"
    r"(?:\s*\|\s*(?:int|float|lower|upper|string|trim)(?:\(\s*[\w.]*\s*\))?)*\s*-?\}\}"
)


class _Told(NamedTuple):
    component: str
    keys: Mapping[str, object]
    shared: Mapping[str, object]


def announced(sensor: Sensor, payload: bytes) -> Sensor:
    """The sensor as its announcement describes it; Unreadable, which says what is wrong, if it cannot be."""
    discovery = sensor.discovery
    if discovery is None:
        raise Unreadable("it is announced nowhere")
    told = _component(_table(structured(payload)), discovery.topic, discovery.component)
    topic = _topic(told.keys.get("state_topic", told.shared.get("state_topic")))
    if topic is None:
        raise Unreadable("its announcement names no state_topic")
    template = told.keys.get("value_template")
    path = discovery.path if discovery.path is not None else _path_of(template)
    # What Home Assistant understands is exactly these two; numbers are another matter.
    words = Words(
        yes=frozenset({_word(told.keys.get("payload_on", "ON"))}),
        no=frozenset({_word(told.keys.get("payload_off", "OFF"))}),
        unknown=SOMEBODY.unknown | UNKNOWN_TO_HOME_ASSISTANT,
    )
    sense = discovery.sense or sense_of(told.component)
    value = Value(sense=sense, paths=(path or (),), words=words)
    availability = _availability({**told.shared, **told.keys})
    mode = str({**told.shared, **told.keys}.get("availability_mode", Together.LATEST))
    return replace(
        sensor,
        topic=topic,
        reading=Reading(
            values=(value,),
            structured=bool(path),
            yes_for=_span(told.keys.get("off_delay")),
            stale_after=_span(told.keys.get("expire_after")) or None,
        ),
        availability=(*sensor.availability, *availability),
        together=Together(mode) if mode in set(Together) else Together.LATEST,
    )


def _component(table: Mapping[str, object], topic: str, wanted: str | None) -> _Told:
    components = table.get("components")
    if not isinstance(components, dict):
        return _Told(_kind_of(topic), table, {})
    if wanted is None and len(components) == 1:
        (wanted,) = components
    if wanted is None:
        raise Unreadable(
            f"it announces several: name one of them as component: {', '.join(map(str, components))[:200]}"
        )
    keys = components.get(wanted)
    if not isinstance(keys, dict):
        raise Unreadable(f"it announces no {wanted!r}, but {', '.join(map(str, components))[:200]}")
    short = _table({**({"~": table["~"]} if "~" in table else {}), **keys})
    return _Told(str(short.get("platform", "")), short, table)


def _kind_of(topic: str) -> str:
    """`homeassistant/binary_sensor/…/config`: the prefix may have more than one part."""
    parts = topic.split("/")
    return next((part for part in parts if part in {"binary_sensor", "sensor"}), "")


def _table(tree: object) -> Mapping[str, object]:
    """With long keys, and with what `~` stands for in its topics."""
    if not isinstance(tree, dict):
        raise Unreadable("it is no announcement")
    base = tree.get("~")
    found = {LONG.get(str(key), str(key)): value for key, value in tree.items()}
    if isinstance(base, str):
        found = {key: _expanded(value, base) for key, value in found.items()}
    return found


def _expanded(value: object, base: str) -> object:
    if isinstance(value, list):
        return [_expanded(each, base) for each in value]
    if isinstance(value, dict):
        return {key: _expanded(each, base) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    if value.startswith("~"):
        return base + value[1:]
    return value[:-1] + base if value.endswith("~") else value


def _availability(keys: Mapping[str, object]) -> tuple[Availability, ...]:
    listed = keys.get("availability")
    tables: list[Mapping[str, object]] = []
    if isinstance(listed, list):
        tables = [_table(each) for each in listed[:MOST_TOPICS] if isinstance(each, dict)]
    elif "availability_topic" in keys:
        tables = [
            {
                "topic": keys["availability_topic"],
                "value_template": keys.get("availability_template"),
                "payload_available": keys.get("payload_available", "online"),
                "payload_not_available": keys.get("payload_not_available", "offline"),
            }
        ]
    found: list[Availability] = []
    for table in tables:
        topic = _topic(table.get("topic"))
        if topic is None:
            continue
        words = Words(
            yes=ONLINE.yes | {_word(table.get("payload_available", "online"))},
            no=ONLINE.no | {_word(table.get("payload_not_available", "offline"))},
        )
        with suppress(
            Unreadable
        ):  # what the sensor says counts without it, until it has been silent for long
            found.append(Availability(topic=topic, words=words, path=_path_of(table.get("value_template"))))
    return tuple(found)


def _topic(value: object) -> str | None:
    good = isinstance(value, str) and 0 < len(value) <= 1000 and not set(value) & set("+#\0")  # noqa: PLR2004
    return value if good and isinstance(value, str) else None


def _span(seconds: object) -> timedelta | None:
    """Whole seconds, which Home Assistant also takes as a text."""
    if isinstance(seconds, str) and len(seconds) < 10 and seconds.isascii() and seconds.isdigit():  # noqa: PLR2004
        seconds = int(seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return timedelta(seconds=int(seconds)) if 0 <= seconds <= LONGEST_SPAN_S else None


def _word(value: object) -> str:
    return str(value).strip().lower()


def _path_of(template: object) -> Path:
    """The path that a template follows; Unreadable if it does more than that."""
    if template is None:
        return ()
    found = _TEMPLATE.fullmatch(str(template).strip())
    if found is None:
        raise Unreadable(
            "its value_template does more than follow a path: write presence, people or in_use with the path "
            "beside discovery"
        )
    return read_path(re.sub(r"\[\s*(.*?)\s*\]", r"[\1]", found["path"] or ""))
