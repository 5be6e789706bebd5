"""Examines the sensors that are not Cisco's: whether their broker lets us hear them, and what they say."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from agent.core.events import SensorAway, SensorSaid
from agent.core.model import SensorId
from agent.findings import Visit, some
from agent.line_words import in_words, mend_of
from agent.sensing import GRANT_IT, MENDS, subscribe
from agent.sensor_table import Sensors
from cloud_link import broker
from cloud_link.address import Version
from cloud_link.broker import BrokerError, Connection
from cloud_link.delivery import Ending, judge_ending
from device_adapters.sensors.ear import Ear

BROKER_WITHIN_S: Final = 10.0
KEPT_WITHIN_S: Final = 3.0  # what a broker has kept it sends at once
SHOWS_ALL: Final = "`mosquitto_sub -v -t '#'`, or the like, at that broker shows what really comes"
LOOK_AT_IT: Final = "look at its battery, its radio and what it speaks through"
OFFLINE: Final = "is offline"

Json = Mapping[str, Any]


async def examine_sensors(visit: Visit) -> None:
    """By the running daemon's word where it hears them, else by listening for a moment."""
    sensors = visit.configuration.sensors
    if sensors is None:
        visit.ok("sensors", "the site has none but its devices' own")
        return
    said = None if visit.picture is None else visit.picture.get("sensors")
    if visit.picture is not None and said is not None and said["connected"]:
        _by_its_word(visit, sensors, said, visit.picture["rooms"])
        return
    await _from_here(visit, sensors)
    if said is not None:
        why = said["why"] or "it is being dialled"
        mend = "see sensors.lost in the log of roomd; what they see is unknown meanwhile"
        visit.wrong(sensors.broker.url, f"roomd is not connected: {why}", mend)


def _by_its_word(visit: Visit, sensors: Sensors, said: Json, rooms: Sequence[Json]) -> None:
    url = sensors.broker.url
    if said["why"]:
        visit.wrong(url, f"connected, and not all may be heard: {said['why']}", None, code=os.EX_NOPERM)
    else:
        visit.ok(url, f"roomd is connected; {said['messages']} messages came, since it started")
    heard: list[str] = []
    silent: list[str] = []
    for room in rooms:
        for each in room["availability"].get("sensors", ()):
            what = f"{each['sensor']} ({room['room']})"
            if each["why"] is None:
                (heard if each["phase"] == "heard" else silent).append(each["sensor"])
            elif each["phase"] == "heard":
                mend = f"mend what [[rooms.sensors]] says of its values; {SHOWS_ALL}"
                visit.wrong(what, each["why"], mend, code=os.EX_DATAERR)
            elif each["phase"] == "unheard":
                mend = f"check its name in the file, and where its values stand; {SHOWS_ALL}"
                visit.advise(what, each["why"], mend)
            else:
                visit.advise(what, f"{each['phase']}: {each['why']}", LOOK_AT_IT)
    if heard:
        visit.ok("sensors", f"{some(heard)}: heard")
    if silent:
        visit.ok("sensors", f"{some(silent)}: no word of people since roomd was connected; waited for")


# ── without the daemon ────────────────────────────────────────────────────────────────────────────


async def _from_here(visit: Visit, sensors: Sensors) -> None:
    """Listen for a moment under another client id."""
    address = replace(sensors.broker, client_id=f"{sensors.broker.client_id}-doctor"[:200])
    for version in (Version.V5, Version.V311):
        try:
            async with broker.connect(
                replace(address, version=version), within_s=BROKER_WITHIN_S, lasting=False
            ) as connection:
                await _listen(visit, sensors, connection)
                await connection.disconnect()
        except BrokerError as error:
            older = error.lost.unfit or judge_ending(error.lost.code) is Ending.OLDER
            if older and version is Version.V5:
                continue
            _refused(visit, sensors, error)
        return


def _refused(visit: Visit, sensors: Sensors, error: BrokerError) -> None:
    lost = error.lost
    table = "[sensors]" if sensors.own_broker else "[mqtt], or [sensors] if theirs is another broker,"
    why, ending = in_words(lost.why.removeprefix("CONNACK: ")), judge_ending(lost.code)
    if lost.person:
        code = os.EX_CONFIG
    elif ending is Ending.REFUSED:
        code = os.EX_NOPERM
    else:
        code = os.EX_UNAVAILABLE
    usual = f"mend {table} in the configuration, or the way to the broker"
    mend = MENDS.get(ending) or mend_of(lost.why) or usual
    visit.wrong(sensors.broker.url, why, mend, code=code)


async def _listen(visit: Visit, sensors: Sensors, connection: Connection) -> None:
    ear = Ear(sensors.sensors)
    heard: dict[SensorId, str] = {}
    odd: dict[SensorId, str] = {}
    refused: set[str] = set()
    with suppress(TimeoutError):
        async with asyncio.timeout(KEPT_WITHIN_S):
            asked: Sequence[str] = ear.topics
            while True:
                refused |= await subscribe(connection, asked)
                asked = _take(ear, connection, heard, odd)
                if len(heard) == len(ear.sensors) and not asked:
                    break
                await asyncio.sleep(0.1)
    visit.ok(sensors.broker.url, f"let us in, to hear {len(ear.sensors)} sensors")
    if refused:
        visit.wrong("topics", f"the broker refuses {some(refused)}", GRANT_IT, code=os.EX_NOPERM)
    for sensor in ear.sensors.values():
        what = f"{sensor.id} ({sensor.room})"
        if sensor.id in odd:
            mend = f"mend what [[rooms.sensors]] says of its values; {SHOWS_ALL}"
            visit.wrong(what, f"says what cannot be understood: {odd[sensor.id]}", mend, code=os.EX_DATAERR)
        elif heard.get(sensor.id, "").startswith(OFFLINE):
            visit.advise(what, heard[sensor.id], LOOK_AT_IT)
        elif sensor.id in heard:
            visit.ok(what, heard[sensor.id])
        elif not refused.intersection(ear.topics_of(sensor.id)):
            seen = f"nothing is kept at {ear.topics_of(sensor.id)[0]}: it is unknown until it speaks"
            mend = (
                "have what publishes for it retain its messages (zigbee2mqtt: retain: true for the device), "
                f"and check its name; {SHOWS_ALL}"
            )
            visit.advise(what, seen, mend)


def _take(
    ear: Ear, connection: Connection, heard: dict[SensorId, str], odd: dict[SensorId, str]
) -> Sequence[str]:
    """What has come by now; topics that it told of."""
    more: list[str] = []
    while connection.incoming:
        message = connection.incoming.popleft()
        connection.acknowledge(message)
        came = ear.hear(message.topic, message.payload, kept=message.retained)
        more += came.subscribe
        odd |= dict(came.unreadable)
        for _, event in came.events:
            if isinstance(event, SensorAway):
                heard[event.sensor] = f"{OFFLINE}: {event.why}"
            elif isinstance(event, SensorSaid) and not heard.get(event.sensor, "").startswith(OFFLINE):
                heard[event.sensor] = _in_words(event)
    return more


def _in_words(said: SensorSaid) -> str:
    if not said.values:
        return "speaks, and says nothing of people in it: check where its values stand"
    words = ", ".join(
        f"{sense.value.replace('_', ' ')} {_value(value)}" for sense, value in said.values.items()
    )
    return f"says {words}{' (as the broker kept it)' if said.kept else ''}"


def _value(value: object) -> str:
    if value is None:
        return "unknown"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
