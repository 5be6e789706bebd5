"""Sensors heard over a real broker: what was kept, what is said, what is cut, and what a broker refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog.testing

from agent.core.events import RoomEvent, SensorAway, SensorBack, SensorCutOff, SensorSaid
from agent.core.model import RoomId, Sense, SensorId
from agent.sensing import LAST_OF_EACH, Sensing
from cloud_link.address import Address, Version
from cloud_link.broker import Connection, Message, connect
from cloud_link.delivery import Rest
from device_adapters.sensors import shapes
from device_adapters.sensors.payloads import Value
from device_adapters.sensors.shapes import Discovery, Sensor
from tests.brokers import BadLine, Liar, Mosquitto
from tests.brokers.crew import Crew
from tests.brokers.waiting import Changes

FJORD = RoomId("fjord")
ONE = SensorId("fjord-sensor")
ZIGBEE = shapes.zigbee2mqtt(ONE, FJORD, "fjord")
TOPIC = "zigbee2mqtt/fjord"
SOMEBODY, NOBODY = b'{"occupancy": true}', b'{"occupancy": false}'
IN_HASTE = Rest(shortest_s=0.01, longest_s=0.02)


class Rooms:
    """Takes what is delivered, and waits for what a test wants to see."""

    def __init__(self) -> None:
        self.events: list[RoomEvent] = []
        self.full = asyncio.Event()  # set: it takes what comes
        self.full.set()
        self._changes = Changes()

    async def take(self, room: RoomId, events: Sequence[RoomEvent]) -> None:
        await self.full.wait()
        assert room == FJORD
        self.events += events
        self._changes.happened()

    async def until(self, *wanted: RoomEvent) -> None:
        """These came, in this order, whatever came between them."""

        def came() -> bool:
            rest = iter(self.events)
            return all(any(event == each for event in rest) for each in wanted)

        await self._changes.until(came, seen=lambda: str(self.events))

    async def until_so_many(self, count: int) -> None:
        await self._changes.until(lambda: len(self.events) >= count, seen=lambda: str(self.events))

    async def until_one(self, kind: type[RoomEvent]) -> RoomEvent:
        await self._changes.until(
            lambda: any(isinstance(event, kind) for event in self.events), seen=lambda: str(self.events)
        )
        return next(event for event in self.events if isinstance(event, kind))


def said(value: bool | None, *, kept: bool = False) -> SensorSaid:
    return SensorSaid(sensor=ONE, values={Sense.PRESENCE: value}, kept=kept)


def at(url: str, client: str, **more: object) -> Address:
    return Address(url=url, client_id=client, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def sensing(
    *sensors: Sensor, url: str, gathers_s: float = 0.01
) -> AsyncIterator[tuple[Sensing, Rooms]]:
    rooms = Rooms()
    ears = Sensing(
        at(url, "roomd-sensors"),
        sensors,
        deliver=rooms.take,
        luck=lambda: 0.5,
        rest=IN_HASTE,
        gathers_s=gathers_s,
    )
    async with Crew() as crew:
        crew.start(ears.run(), name="sensing")
        yield ears, rooms


@asynccontextmanager
async def zigbee(url: str) -> AsyncIterator[Connection]:
    """Whoever publishes for the sensors."""
    async with connect(at(url, "zigbee2mqtt"), lasting=False) as connection:
        yield connection


async def publish(connection: Connection, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """Returns when the broker has it."""
    token = object()
    connection.publish(Message(topic=topic, payload=payload, retain=retain), token)
    async with asyncio.timeout(10):
        while not any(each is token for each, _ in connection.answers()):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_what_the_broker_kept_comes_first_and_says_that_it_was_kept(tmp_path: Path):
    async with Mosquitto(tmp_path) as broker, zigbee(broker.url) as bridge:
        await publish(bridge, TOPIC, SOMEBODY, retain=True)
        async with sensing(ZIGBEE, url=broker.url) as (ears, rooms):
            await rooms.until(SensorBack(sensor=ONE), said(True, kept=True))
            await publish(bridge, TOPIC, NOBODY, retain=True)
            await rooms.until(
                said(True, kept=True), said(False)
            )  # what comes live is not kept, retained or not
            assert ears.vitals.connected
            assert ears.vitals.messages == 2


async def test_a_bridge_that_goes_takes_its_sensors_along(tmp_path: Path):
    async with (
        Mosquitto(tmp_path) as broker,
        zigbee(broker.url) as bridge,
        sensing(ZIGBEE, url=broker.url) as (_, rooms),
    ):
        await rooms.until(SensorBack(sensor=ONE))
        await publish(bridge, "zigbee2mqtt/bridge/state", b'{"state":"offline"}', retain=True)
        await rooms.until_one(SensorAway)
        await publish(bridge, "zigbee2mqtt/bridge/state", b'{"state":"online"}', retain=True)
        await publish(bridge, TOPIC, SOMEBODY)
        await rooms.until(SensorBack(sensor=ONE), SensorBack(sensor=ONE), said(True))


async def test_a_line_that_breaks_is_told_once_and_dialled_until_it_stands(tmp_path: Path):
    async with Mosquitto(tmp_path / "broker") as broker, BadLine(broker.port) as line:
        with structlog.testing.capture_logs() as logged:
            async with sensing(ZIGBEE, url=f"mqtt://127.0.0.1:{line.port}") as (ears, rooms):
                await rooms.until(SensorBack(sensor=ONE))
                await broker.kill()
                cut = await rooms.until_one(SensorCutOff)
                assert isinstance(cut, SensorCutOff)
                assert "broker" in cut.why
                assert not ears.vitals.connected
                await broker.start()
                await rooms.until(cut, SensorBack(sensor=ONE))
                async with zigbee(broker.url) as bridge:
                    await publish(bridge, TOPIC, SOMEBODY)
                    await rooms.until(cut, said(True))
        assert [
            each["event"]
            for each in logged
            if each["event"] == "sensors.lost" and each["log_level"] == "warning"
        ] == ["sensors.lost"]
        assert sum(isinstance(event, SensorCutOff) for event in rooms.events) == 1


async def test_a_broker_that_is_not_there_yet_leaves_every_sensor_cut_off():
    async with sensing(ZIGBEE, url="mqtt://127.0.0.1:1") as (ears, rooms):
        assert isinstance(await rooms.until_one(SensorCutOff), SensorCutOff)
        assert ears.vitals.why is not None


async def test_a_broker_that_refuses_a_topic_is_named_with_the_mend():
    other = shapes.plain(SensorId("fjord-plain"), FJORD, "secret/fjord", value=Value(sense=Sense.PRESENCE))
    async with Liar() as liar:
        liar.subacks = lambda topic_filter: 0x87 if "secret" in topic_filter else None
        async with sensing(ZIGBEE, other, url=liar.url) as (ears, rooms):
            cut = await rooms.until_one(SensorCutOff)
            assert isinstance(cut, SensorCutOff)
            assert cut.sensor == "fjord-plain"
            assert "secret/fjord" in cut.why
            assert "right to subscribe" in cut.why
            assert SensorBack(sensor=ONE) in rooms.events
            assert ears.vitals.connected
            assert ears.vitals.why is not None


async def test_a_password_that_is_refused_is_said_in_words_and_once(tmp_path: Path):
    """Also where the broker was not there at all before: a person has something else to mend then."""
    with structlog.testing.capture_logs() as logged:
        broker = Mosquitto(tmp_path, users={"roomd": "right"})
        async with sensing(ZIGBEE, url=broker.url) as (ears, rooms):
            away = await rooms.until_one(SensorCutOff)
            assert isinstance(away, SensorCutOff)
            assert "is away" in away.why
            async with broker:
                await rooms.until_so_many(2)
                assert ears.vitals.why is not None
                assert "authori" in ears.vitals.why.lower()
                assert "username" in ears.vitals.why
                refused = rooms.events[1]
                assert isinstance(refused, SensorCutOff)
                assert "does not let us in" in refused.why
                for _ in range(3):
                    await broker.until_logged("not authorised", since=len(broker.log))
                assert len(rooms.events) == 2
                told = [each["log_level"] for each in logged if each["event"] == "sensors.lost"]
                assert [level for level in told if level != "debug"] == ["warning", "error"]


async def test_an_older_broker_is_spoken_to_in_its_own_words():
    async with Liar() as liar:
        liar.only_311()
        async with sensing(ZIGBEE, url=liar.url) as (_, rooms):
            await rooms.until(SensorBack(sensor=ONE))


async def test_a_sensor_that_announces_itself_is_heard_where_it_says(tmp_path: Path):
    config = "homeassistant/binary_sensor/fjord/config"
    found = shapes.discovered(ONE, FJORD, Discovery(topic=config))
    async with Mosquitto(tmp_path) as broker, zigbee(broker.url) as bridge:
        await publish(bridge, config, b'{"stat_t": "maker/fjord", "pl_on": "1", "pl_off": "0"}', retain=True)
        await publish(bridge, "maker/fjord", b"1", retain=True)
        async with sensing(found, url=broker.url) as (_, rooms):
            await rooms.until(said(True, kept=True))
            await publish(bridge, "maker/fjord", b"0")
            await rooms.until(said(True, kept=True), said(False))


async def test_nonsense_is_told_once_and_ends_nothing(tmp_path: Path):
    async with Mosquitto(tmp_path) as broker, zigbee(broker.url) as bridge:
        with structlog.testing.capture_logs() as logged:
            async with sensing(ZIGBEE, url=broker.url) as (ears, rooms):
                await rooms.until(SensorBack(sensor=ONE))
                for payload in (b"\xff\xfe", b"[" * 5000, b"<html>"):
                    await publish(bridge, TOPIC, payload)
                await publish(bridge, TOPIC, SOMEBODY)
                await rooms.until(said(True))
                assert ears.vitals.unreadable == 3
        assert [each["sensor"] for each in logged if each["event"] == "sensor.unreadable"] == [ONE]


async def test_while_the_rooms_are_busy_only_the_last_of_each_sensor_waits(tmp_path: Path):
    async with (
        Mosquitto(tmp_path) as broker,
        zigbee(broker.url) as bridge,
        sensing(ZIGBEE, url=broker.url) as (ears, rooms),
    ):
        await rooms.until(SensorBack(sensor=ONE))
        rooms.full.clear()
        for number in range(60):
            await publish(bridge, TOPIC, SOMEBODY if number % 2 else NOBODY)
        await publish(bridge, TOPIC, b'{"occupancy": null}')
        async with asyncio.timeout(10):
            while ears.vitals.messages < 61:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        rooms.full.set()
        await rooms.until(said(None))
        assert len([event for event in rooms.events if isinstance(event, SensorSaid)]) <= 2 * LAST_OF_EACH + 1


async def test_a_sensor_that_floods_does_not_flood_the_rooms(tmp_path: Path):
    async with (
        Mosquitto(tmp_path) as broker,
        zigbee(broker.url) as bridge,
        sensing(ZIGBEE, url=broker.url, gathers_s=600.0) as (ears, rooms),
    ):
        await rooms.until(SensorBack(sensor=ONE))
        await publish(bridge, TOPIC, SOMEBODY)
        await rooms.until(said(True))
        for number in range(60):
            await publish(bridge, TOPIC, SOMEBODY if number % 2 else NOBODY)
        async with asyncio.timeout(10):
            while ears.vitals.messages < 61:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert rooms.events == [SensorBack(sensor=ONE), said(True)]
        await broker.kill()  # and a line that is lost meanwhile is noticed at once
        await rooms.until_one(SensorCutOff)


async def test_a_topic_that_an_announcement_names_may_be_refused_too():
    config = "homeassistant/binary_sensor/fjord/config"
    found = shapes.discovered(ONE, FJORD, Discovery(topic=config))
    async with Liar() as liar:
        liar.subacks = lambda topic_filter: 0x87 if "maker" in topic_filter else None
        async with sensing(found, url=liar.url) as (_, rooms), zigbee(liar.url) as bridge:
            await rooms.until(SensorBack(sensor=ONE))
            await publish(bridge, config, b'{"stat_t": "maker/fjord"}')
            cut = await rooms.until_one(SensorCutOff)
            assert isinstance(cut, SensorCutOff)
            assert "refuses us maker/fjord" in cut.why


async def test_what_a_thousand_sensors_have_kept_is_heard_at_once(tmp_path: Path):
    """zigbee2mqtt publishes with QoS 0: what comes so is taken at once, or lost."""
    sensors = [shapes.zigbee2mqtt(SensorId(f"s{n}"), FJORD, f"s{n}") for n in range(1000)]
    extra = "max_queued_messages 0"
    async with Mosquitto(tmp_path, extra=extra) as broker, zigbee(broker.url) as bridge:
        for number in range(1000):
            bridge.publish(Message(topic=f"zigbee2mqtt/s{number}", payload=SOMEBODY, retain=True), number)
        async with asyncio.timeout(30):
            while len(bridge.answers()) < 1000:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with sensing(*sensors, url=broker.url) as (_, rooms):
            await rooms.until(SensorSaid(sensor=SensorId("s999"), values={Sense.PRESENCE: True}, kept=True))
            heard = {event.sensor for event in rooms.events if isinstance(event, SensorSaid)}
            assert len(heard) == 1000


@pytest.mark.parametrize("version", list(Version), ids=lambda version: version.name)
async def test_what_is_kept_comes_with_either_protocol(tmp_path: Path, version: Version):
    async with Mosquitto(tmp_path) as broker, zigbee(broker.url) as bridge:
        await publish(bridge, TOPIC, SOMEBODY, retain=True)
        async with connect(at(broker.url, "one", version=version), lasting=False) as connection:
            assert await connection.subscribe([TOPIC], retained=True) == [1]
            async with asyncio.timeout(10):
                while not connection.incoming:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            assert connection.incoming[0].retained
