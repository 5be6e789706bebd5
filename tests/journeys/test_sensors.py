"""Sensors that are not Cisco's, from what a bridge publishes to what the cloud and a device learn."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from cloud_link.address import Address
from cloud_link.broker import Connection, Message, connect
from tests.journeys.house import SEEN_WITHIN_S, House, house

pytestmark = pytest.mark.slow

FJORD, ATTIC = "room-0001", "attic"
LINES = {
    FJORD: 'sensors = [{ zigbee2mqtt = "fjord", clears_after_s = 0 }]',
    ATTIC: 'sensors = [{ id = "hatch", zigbee2mqtt = "attic", clears_after_s = 0 }]',
}


@asynccontextmanager
async def bridge(h: House) -> AsyncIterator[Connection]:
    there = Address(url=f"mqtt://127.0.0.1:{h.broker.port}", client_id="zigbee2mqtt")
    async with connect(there, lasting=False) as connection:
        yield connection


async def publish(connection: Connection, name: str, **said: object) -> None:
    payload = json.dumps(said).encode()
    connection.publish(Message(topic=f"zigbee2mqtt/{name}", payload=payload, retain=True), name)
    async with asyncio.timeout(SEEN_WITHIN_S):
        while connection.under_way:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until(so: Callable[[], object]) -> None:
    async with asyncio.timeout(SEEN_WITHIN_S):
        while not so():  # noqa: ASYNC110  the simulated device tells nobody
            await asyncio.sleep(0.02)


async def test_what_a_bridge_publishes_is_told_to_the_cloud_and_to_the_rooms_device(tmp_path):
    bare = [(ATTIC, "Attic")]
    async with (
        house(tmp_path, profile="26.8", links=LINES, bare=bare, start=False) as h,
        bridge(h) as zigbee,
    ):
        (device,) = h.devices
        await publish(zigbee, "bridge/state", state="online")
        await publish(zigbee, "attic", occupancy=True, battery=97)
        await h.start()
        await h.heard(device)

        # A room without any device knows by what the broker has kept.
        there = await h.told("occupancy.changed", of=ATTIC, where=lambda data: data["presence"])
        assert there["data"]["sensor"] == "hatch"
        reach = await h.retained(ATTIC, lambda room: room["state"] == "available", what="availability")
        assert [each["phase"] for each in reach["sensors"]] == ["heard"]

        # The device is told, and what it makes of it is no second word.
        assert not device.sources
        await publish(zigbee, "fjord", occupancy=True)
        await until(lambda: device.sources)
        assert device.truth()["in_use"] == "True"
        told = await h.told("occupancy.changed", of=device, where=lambda data: data["presence"])
        assert told["data"]["sensor"] == f"{FJORD}-sensor"
        await publish(zigbee, "fjord", occupancy=False)
        await until(lambda: not device.sources)
        await h.retained(device, lambda state: state["occupancy"]["in_use"] is False)

        # What is offline says nothing, and everybody can see why.
        await publish(zigbee, "bridge/state", state="offline")
        await h.retained(ATTIC, lambda state: state["occupancy"]["presence"] is None)
        reach = await h.retained(ATTIC, lambda room: room["state"] == "unavailable", what="availability")
        assert "zigbee2mqtt is offline" in reach["why"]
        code, shown, _ = await h.ask("rooms")
        assert code == 0
        assert "zigbee2mqtt is offline" in " ".join(shown.split())
        code, found, _ = await h.ask("doctor", "--only", "sensors", "--json")
        assert code == 0
        assert any("hatch" in finding["what"] for finding in map(json.loads, found.splitlines()))

        # A file that names another sensor is taken up.
        await publish(zigbee, "bridge/state", state="online")
        await publish(zigbee, "hatch", presence=True)
        file = h.installation.config
        file.write_text(file.read_text().replace('zigbee2mqtt = "attic"', 'zigbee2mqtt = "hatch"'))
        h.roomd.send(signal.SIGHUP)
        await h.logged("reload.applied")
        await h.retained(ATTIC, lambda state: state["occupancy"]["presence"] is True)
        await h.delivered()
