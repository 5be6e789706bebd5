"""The floor: roomd's libraries and roomd's durability in one bare loop that can do nothing else.

Frame → JSON → row on disk (group commit) → PUBLISH → PUBACK → row gone from disk.
Command → row on disk (group commit) → PUBACK → JSON → frame; no judging, no state, no answer.
"""

import asyncio
import base64
import sqlite3
import ssl
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from tests.bench.broker import Broker

UNSETTLED_AT_MOST: Final = 1000  # events accepted and not yet settled on disk; then no socket is read
BETWEEN_COMMITS_S: Final = 0.008  # as roomd: what comes right after another waits for company
TOGETHER_AT_LEAST: Final = 128  # unless there is so much of it
SETTLES_WITHIN_S: Final = 0.05  # an acknowledged row leaves the disk, unless another transaction comes first
DIAL_AT_ONCE: Final = 32
COMMANDS: Final = "roomd/v1/demo/rooms/+/commands/+"
HOLD_S: Final = 1800

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


class Arguments(msgspec.Struct):
    hold_id: str
    text: str = ""
    answers: tuple[str, ...] = ()


class Command(msgspec.Struct):
    command_id: str
    arguments: Arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A command that the broker still has."""

    topic: str
    payload: bytes
    packet: int


class Outbox:
    """Group commit: what comes while one transaction is written goes into the next one."""

    def __init__(self, file: Path, broker_port: int, obey: Callable[[Heard], Awaitable[None]]) -> None:
        self._broker = Broker(
            broker_port, "floor", acknowledged=self._acknowledged, listen_to=COMMANDS, heard=self._hear
        )
        self._obey = obey
        self._rows: list[Row] = []
        self._commands: list[Heard] = []
        self._done: list[int] = []  # acknowledged, and to be taken off the disk with the next transaction
        self._place = 0
        self._places: dict[int, int] = {}  # by packet
        self._unsettled = 0
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._writer = ThreadPoolExecutor(1, "writer")
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(
            "CREATE TABLE outbox (place INTEGER PRIMARY KEY, topic TEXT, payload BLOB) STRICT"
        )
        self._database.execute(
            "CREATE TABLE inbox (place INTEGER PRIMARY KEY, topic TEXT, payload BLOB) STRICT"
        )

    async def accept(self, topic: str, payload: bytes) -> None:
        while self._unsettled >= UNSETTLED_AT_MOST:
            self._room.clear()
            await self._room.wait()
        self._unsettled += 1
        self._place += 1
        self._rows.append((self._place, topic, payload))
        self._something.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._broker.keep_alive(), name="broker")
            tasks.create_task(self._empty_out(), name="outbox")

    async def _empty_out(self) -> None:
        loop = asyncio.get_running_loop()
        began = 0.0
        while True:
            await self._something.wait()
            early_s = began + BETWEEN_COMMITS_S - loop.time()
            if early_s > 0 and max(len(self._rows), len(self._done)) < TOGETHER_AT_LEAST:
                await asyncio.sleep(early_s)
            began = loop.time()
            self._something.clear()
            rows, self._rows = self._rows, []
            done, self._done = self._done, []
            commands, self._commands = self._commands, []
            await loop.run_in_executor(self._writer, self._commit, rows, done, commands)
            self._unsettled -= len(done)
            self._room.set()
            for command in commands:
                self._broker.take(command.packet)
                await self._obey(command)
            for place, topic, payload in rows:
                self._places[self._broker.publish(topic, payload)] = place

    def _hear(self, topic: str, payload: bytes, packet: int) -> None:
        self._commands.append(Heard(topic=topic, payload=payload, packet=packet))
        self._something.set()

    def _commit(self, rows: list[Row], done: list[int], commands: list[Heard]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO outbox VALUES (?, ?, ?)", rows)
        self._database.executemany("DELETE FROM outbox WHERE place = ?", [(place,) for place in done])
        if commands:
            self._database.executemany(
                "INSERT INTO inbox (topic, payload) VALUES (?, ?)",
                [(one.topic, one.payload) for one in commands],
            )
        self._database.execute("COMMIT")

    def _acknowledged(self, packet: int) -> None:
        self._done.append(self._places.pop(packet))
        if len(self._done) == TOGETHER_AT_LEAST:
            self._something.set()
        elif len(self._done) == 1:
            asyncio.get_running_loop().call_later(SETTLES_WITHIN_S, self._something.set)


class Floor:
    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._door = asyncio.Semaphore(DIAL_AT_ONCE)
        self._trust = ssl.create_default_context(cafile=config["ca"]) if config["devices"] else None
        self._decode = msgspec.json.Decoder(Frame).decode
        self._encode = msgspec.json.Encoder().encode
        self._order = msgspec.json.Decoder(Command).decode
        self._outbox = Outbox(Path(config["directory"]) / "floor.sqlite", config["broker_port"], self._obey)
        self._lines: dict[str, ClientConnection] = {}  # by room

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._outbox.run(), name="outbox")
            for device in self._config["devices"]:
                tasks.create_task(self._hear(device), name=device["room"])

    async def _hear(self, device: dict[str, Any]) -> None:
        login = base64.b64encode(f"{device['user']}:{device['password']}".encode()).decode()
        async with self._door:
            line = await connect(
                device["url"],
                ssl=self._trust,
                compression=None,
                ping_interval=None,  # its pong comes behind all the frames that were not read yet
                additional_headers={"Authorization": f"Basic {login}"},
            )
        room, previous, sequence = device["room"], None, 0
        topic = f"roomd/v1/demo/rooms/{room}/events/occupancy"
        async with line:
            for request in (SUBSCRIBE, GET, LIST):
                await line.send(request, text=True)
            self._lines[room] = line
            async for frame in line:
                people = _people(self._decode(frame))
                if people is None:
                    continue
                sequence += 1
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
                await self._outbox.accept(topic, self._encode(event))

    async def _obey(self, heard: Heard) -> None:
        *_, room, _, name = heard.topic.split("/")
        hold = self._order(heard.payload).arguments
        parameters: dict[str, object] = {"FeedbackId": hold.hold_id}
        if name == "hold.place":
            parameters |= {"Text": hold.text, "Duration": HOLD_S, "Target": "OSD"}
            parameters |= {f"Option.{number}": answer for number, answer in enumerate(hold.answers, 1)}
        what = "Display" if name == "hold.place" else "Clear"
        method = f"xCommand/UserInterface/Message/Prompt/{what}"
        request = {"jsonrpc": "2.0", "id": hold.hold_id, "method": method, "params": parameters}
        await self._lines[room].send(self._encode(request), text=True)


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
