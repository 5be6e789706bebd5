"""What `roomd doctor` says of sensors that are not Cisco's, with no daemon to ask."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from agent.findings import Part, Verdict
from cloud_link.address import Address
from cloud_link.broker import Message, connect
from tests.agent.examining import examined, installed, one
from tests.brokers import Liar, Mosquitto

ROOMS = """fjord: sensors = [{ zigbee2mqtt = "fjord" }]
skog: sensors = [{ topic = "skog", people = "count" }]
viken: sensors = [{ home_assistant = "binary_sensor.viken" }]
attic: sensors = [{ zigbee2mqtt = "attic" }]"""
KEPT = {
    "zigbee2mqtt/fjord": b'{"occupancy": true}',
    "skog": b"<html>",
    "homeassistant/binary_sensor/viken/state": b"unavailable",
}


async def test_each_sensor_is_listened_to_for_a_moment(tmp_path: Path):
    async with Mosquitto(tmp_path / "broker") as broker:
        async with connect(Address(url=broker.url, client_id="bridge"), lasting=False) as bridge:
            for topic, payload in KEPT.items():
                bridge.publish(Message(topic=topic, payload=payload, retain=True), topic)
            while bridge.under_way:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        found = await examined(installed(tmp_path, rooms=ROOMS, broker_url=broker.url), Part.SENSORS)
    assert one(found, "fjord").seen == "says presence yes (as the broker kept it)"
    odd = one(found, "skog")
    assert (odd.verdict, odd.code) == (Verdict.WRONG, os.EX_DATAERR)
    assert "no JSON" in odd.seen
    away = one(found, "viken")
    assert away.verdict is Verdict.ADVICE
    assert "offline" in away.seen
    silent = one(found, "attic")
    assert silent.verdict is Verdict.ADVICE
    assert "retain: true" in str(silent.mend)


async def test_topics_that_the_broker_refuses_are_named(tmp_path: Path):
    async with Liar() as liar:
        liar.subacks = lambda topic_filter: 0x87 if "attic" in topic_filter else None
        found = await examined(installed(tmp_path, rooms=ROOMS, broker_url=liar.url), Part.SENSORS)
    refused = one(found, "topics")
    assert refused.code == os.EX_NOPERM
    assert "zigbee2mqtt/attic" in refused.seen


async def test_a_broker_that_is_not_there_is_one_finding(tmp_path: Path):
    (found,) = await examined(installed(tmp_path, rooms=ROOMS), Part.SENSORS)
    assert (found.verdict, found.code) == (Verdict.WRONG, os.EX_UNAVAILABLE)


async def test_a_site_without_sensors_is_told_so(tmp_path: Path):
    (found,) = await examined(installed(tmp_path), Part.SENSORS)
    assert found.verdict is Verdict.OK
