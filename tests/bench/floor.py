"""The floor: roomd's libraries and roomd's durability in one bare loop that can do nothing else.

Frame → JSON → row on disk (group commit) → PUBLISH → PUBACK → row gone from disk.
"""

import asyncio
import base64
import queue
import sqlite3
import ssl
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from websockets.asyncio.client import connect

UNSETTLED_AT_MOST: Final = 1000  # events accepted and not yet settled on disk; then no socket is read
TOGETHER_AT_MOST: Final = 1000  # rows in one transaction
DIAL_AT_ONCE: Final = 32

SUBSCRIBE: Final = (
    b'{"jsonrpc":"2.0","id":1,"method":"xFeedback/Subscribe",'
    b'"params":{"Query":["Status","RoomAnalytics","PeopleCount"]}}'
)
GET: Final = (
    b'{"jsonrpc":"2.0","id":2,"method":"xGet","params":{"Path":["Status","RoomAnalytics","PeopleCount"]}}'
)
LIST: Final = b'{"jsonrpc":"2.0","id":3,"method":"xCommand/Bookings/List","params":{"Days":2}}'


class PeopleCount(msgspec.Struct):
    current: int | None = msgspec.field(name="Current", default=None)


class RoomAnalytics(msgspec.Struct):
    count: PeopleCount | None = msgspec.field(name="PeopleCount", default=None)


class Status(msgspec.Struct):
    analytics: RoomAnalytics | None = msgspec.field(name="RoomAnalytics", default=None)


class Parameters(msgspec.Struct):
    status: Status | None = msgspec.field(name="Status", default=None)


class Frame(msgspec.Struct):
    params: Parameters | None = None


class Data(msgspec.Struct):
    people: int
    previous: dict[str, int | None]


class Event(msgspec.Struct):
    id: str
    source: str
    time: datetime
    sequence: str
    recordedtime: datetime
    data: Data
    specversion: str = "1.0"
    type: str = "roomd.occupancy.changed.v1"
    datacontenttype: str = "application/json"


Row = tuple[int, str, bytes]


class Outbox:
    """One thread that writes, publishes after the commit, and settles what was acknowledged."""

    def __init__(self, file: Path, broker: Client, settled: Callable[[int], None]) -> None:
        self.place = 0
        self._file = file
        self._broker = broker
        self._settled = settled
        self._work: queue.SimpleQueue[Row | int] = queue.SimpleQueue()  # rows to keep, packets acknowledged
        broker.on_publish = self._acknowledged
        threading.Thread(target=self._run, name="writer", daemon=True).start()

    def accept(self, topic: str, payload: bytes) -> None:
        self._work.put((self.place, topic, payload))

    def _acknowledged(
        self, client: Client, userdata: object, packet: int, reason: ReasonCode, properties: Properties
    ) -> None:
        self._work.put(packet)

    def _run(self) -> None:
        database = sqlite3.connect(self._file, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE outbox (place INTEGER PRIMARY KEY, topic TEXT, payload BLOB) STRICT")
        places: dict[int, int] = {}
        while True:
            rows: list[Row] = []
            packets: list[int] = []
            for item in self._together():
                if isinstance(item, int):
                    packets.append(item)
                else:
                    rows.append(item)
            done = [(places.pop(packet),) for packet in packets]
            database.execute("BEGIN")
            database.executemany("INSERT INTO outbox VALUES (?, ?, ?)", rows)
            database.executemany("DELETE FROM outbox WHERE place = ?", done)
            database.execute("COMMIT")
            for place, topic, payload in rows:
                places[self._broker.publish(topic, payload, qos=1).mid] = place
            if done:
                self._settled(len(done))

    def _together(self) -> list[Row | int]:
        found = [self._work.get()]
        try:
            while len(found) < TOGETHER_AT_MOST:
                found.append(self._work.get_nowait())
        except queue.Empty:
            pass
        return found


class Floor:
    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._may_accept = asyncio.Semaphore(UNSETTLED_AT_MOST)
        self._door = asyncio.Semaphore(DIAL_AT_ONCE)
        self._trust = ssl.create_default_context(cafile=config["ca"]) if config["devices"] else None
        self._decode = msgspec.json.Decoder(Frame).decode
        self._encode = msgspec.json.Encoder().encode
        broker = Client(CallbackAPIVersion.VERSION2, client_id="floor", protocol=MQTTProtocolVersion.MQTTv5)
        broker.max_inflight_messages_set(UNSETTLED_AT_MOST)
        broker.connect("127.0.0.1", config["broker_port"])
        broker.loop_start()
        self._outbox = Outbox(Path(config["directory"]) / "floor.sqlite", broker, self._settled)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for device in self._config["devices"]:
                tasks.create_task(self._hear(device), name=device["room"])
            await asyncio.Event().wait()

    async def _hear(self, device: dict[str, Any]) -> None:
        login = base64.b64encode(f"{device['user']}:{device['password']}".encode()).decode()
        async with self._door:
            line = await connect(
                device["url"],
                ssl=self._trust,
                compression=None,
                additional_headers={"Authorization": f"Basic {login}"},
            )
        room, previous, sequence = device["room"], None, 0
        topic = f"roomd/v1/demo/rooms/{room}/events/occupancy"
        async with line:
            for request in (SUBSCRIBE, GET, LIST):
                await line.send(request, text=True)
            async for frame in line:
                people = _people(self._decode(frame))
                if people is None:
                    continue
                await self._may_accept.acquire()
                sequence += 1
                self._outbox.place += 1
                now = datetime.now(UTC)
                event = Event(
                    id=f"floor-{sequence}",
                    source=f"/sites/demo/rooms/{room}",
                    time=now,
                    sequence=str(sequence),
                    recordedtime=now,
                    data=Data(people=people, previous={"people": previous}),
                )
                previous = people
                self._outbox.accept(topic, self._encode(event))

    def _settled(self, count: int) -> None:
        self._loop.call_soon_threadsafe(self._release, count)

    def _release(self, count: int) -> None:
        for _ in range(count):
            self._may_accept.release()


def _people(frame: Frame) -> int | None:
    try:
        return frame.params.status.analytics.count.current  # type: ignore[union-attr]
    except AttributeError:
        return None


async def main() -> None:
    config = msgspec.json.decode(Path(sys.argv[1]).read_bytes())
    await Floor(config).run()


if __name__ == "__main__":
    uvloop.run(main())
