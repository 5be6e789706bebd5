"""Cisco's xows with aiomqtt, joined as their own examples do it; runs in the environment of bench-install."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiomqtt  # type: ignore[import-not-found]
import xows

DIAL_AT_ONCE: Final = 32
IN_FLIGHT: Final = 1000
PATIENCE_S: Final = 120.0  # its own 10 s would give up in a flood what the broker still gets


class Room:
    """A device whose counts go to the broker."""

    def __init__(self, device: dict[str, Any], broker: aiomqtt.Client) -> None:
        self._device = device
        self._broker = broker
        self._topic = f"roomd/v1/demo/rooms/{device['room']}/events/occupancy"
        self._sequence = 0
        self._previous: int | None = None

    async def hear(self, door: asyncio.Semaphore) -> None:
        device = self._device
        async with door:
            client = xows.XoWSClient(device["url"], device["user"], device["password"])
            await client.connect()
        await client.subscribe(["Status", "RoomAnalytics", "PeopleCount"], self._counted)
        await client.xGet(["Status", "RoomAnalytics", "PeopleCount"])
        await client.xCommand(["Bookings", "List"], Days=2)
        await client.wait_until_closed()

    async def _counted(self, params: dict[str, Any], subscription: int) -> None:
        people = params["Status"]["RoomAnalytics"]["PeopleCount"]["Current"]
        self._sequence += 1
        now = datetime.now(UTC).isoformat()
        event = {
            "id": f"xows-{self._sequence}",
            "source": f"/sites/demo/rooms/{self._device['room']}",
            "time": now,
            "sequence": str(self._sequence),
            "recordedtime": now,
            "data": {"people": people, "previous": {"people": self._previous}},
            "specversion": "1.0",
            "type": "roomd.occupancy.changed.v1",
            "datacontenttype": "application/json",
        }
        self._previous = people
        await self._broker.publish(self._topic, json.dumps(event), qos=1)


async def main() -> None:
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    door = asyncio.Semaphore(DIAL_AT_ONCE)
    async with (
        aiomqtt.Client(
            "127.0.0.1",
            config["broker_port"],
            identifier="xows",
            protocol=aiomqtt.ProtocolVersion.V5,
            timeout=PATIENCE_S,
            max_inflight_messages=IN_FLIGHT,
        ) as broker,
        asyncio.TaskGroup() as tasks,
    ):
        for device in config["devices"]:
            tasks.create_task(Room(device, broker).hear(door), name=device["room"])
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
