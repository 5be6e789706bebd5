"""Hears the sensors that are not Cisco's, over a line of its own to the broker that they speak through."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from agent.core.events import RoomEvent, SensorBack, SensorCutOff
from agent.core.model import RoomId, SensorId
from agent.line_words import in_words, mend_of
from cloud_link import broker
from cloud_link.address import Address, Version
from cloud_link.broker import BrokerError, Connection, Lost
from cloud_link.delivery import Ending, Line, Rest, judge_ending, rest_s
from device_adapters.sensors.ear import Ear, Heard
from device_adapters.sensors.shapes import Sensor

log = structlog.get_logger()

TOPICS_AT_ONCE: Final = 64  # in one SUBSCRIBE
REFUSED_FROM: Final = 0x80  # MQTT's reason codes: a refusal
LAST_OF_EACH: Final = 4  # words of a sensor that wait for the rooms to take them: what came before is history
GATHERS_S: Final = 0.5  # after it has handed something on: who floods us does not flood the rooms
MENDS: Final = {
    Ending.REFUSED: "check username, password_file and client_id in [sensors]; without url there, in [mqtt]",
    Ending.TAKEN_OVER: "another client uses our client id: write another as client_id in [sensors]",
}
GRANT_IT: Final = "grant the user of [sensors] the right to subscribe to it"

Deliver = Callable[[RoomId, Sequence[RoomEvent]], Awaitable[None]]


@dataclass(slots=True)
class SensingVitals:
    """How the line stands, and what has come over it since the start."""

    connected: bool = False
    why: str | None = None  # it is not, or not all topics may be heard
    messages: int = 0
    unreadable: int = 0


class Sensing:
    """Dials for ever; what is heard is put in the order in which it came, each sensor for itself."""

    def __init__(
        self,
        address: Address,
        sensors: Iterable[Sensor],
        *,
        deliver: Deliver,
        luck: Callable[[], float],
        rest: Rest | None = None,
        gathers_s: float = GATHERS_S,
    ) -> None:
        """`luck` in [0, 1)."""
        self.vitals = SensingVitals()
        self._address = address
        self._ear = Ear(sensors)
        self._deliver = deliver
        self._luck = luck
        self._rest = rest or Rest()
        self._gathers_s = gathers_s
        self._connection: Connection | None = None
        self._waiting: dict[SensorId, deque[tuple[RoomId, RoomEvent]]] = {}
        self._asked: list[str] = []  # topics to subscribe to
        self._news = asyncio.Event()
        self._odd: set[SensorId] = set()  # that have said what cannot be understood, over this connection

    async def run(self) -> None:
        """Until cancelled; nothing that a broker or a sensor does ends it."""
        line, version = Line(), Version.V5
        told: bool | None = None
        loop = asyncio.get_running_loop()
        while True:
            stood_at_s: float | None = None
            try:
                address = replace(self._address, version=version)
                async with broker.connect(address, wake=self._wake, lasting=False) as connection:
                    stood_at_s, told = loop.time(), None
                    lost = await self._listen(connection)
            except BrokerError as error:
                lost = error.lost
            finally:
                self._connection = None
            ending = judge_ending(lost.code)
            if version is Version.V5 and stood_at_s is None and (lost.unfit or ending is Ending.OLDER):
                version = Version.V311
                continue
            version = Version.V5  # whoever hung up at the first word need not be an older one
            told = await self._cut_off(lost, told=told, stood=stood_at_s is not None)
            line = line.ended(lived_s=None if stood_at_s is None else loop.time() - stood_at_s)
            await asyncio.sleep(rest_s(ending, line, self._luck(), rest=self._rest))

    # ── a connection

    async def _listen(self, connection: Connection) -> Lost:
        """Until it is lost."""
        self._ear.cut_off()
        self._waiting.clear()
        self._odd.clear()
        self._news.clear()
        self._connection = connection
        refused = await subscribe(connection, self._ear.topics)
        self.vitals.connected = True
        self.vitals.why = None
        log.info("sensors.connected", url=self._address.url, sensors=len(self._ear.sensors))
        for sensor in self._ear.sensors.values():
            await self._deliver(sensor.room, (SensorBack(sensor=sensor.id),))
        await self._tell_of(refused)
        while not connection.lost.done():
            if self._asked:
                asked, self._asked = self._asked, []
                await self._tell_of(await subscribe(connection, asked))
            elif self._waiting:
                await self._hand_on()
                await asyncio.wait({connection.lost}, timeout=self._gathers_s)
            else:
                await self._news.wait()
                self._news.clear()
        return connection.lost.result()

    async def _tell_of(self, refused: frozenset[str]) -> None:
        if not refused:
            return
        self.vitals.why = f"the broker refuses us {', '.join(sorted(refused)[:3])}; {GRANT_IT}"
        log.error("sensors.refused", topics=sorted(refused), mend=GRANT_IT)
        for sensor in self._ear.sensors.values():
            mine = next((topic for topic in self._ear.topics_of(sensor.id) if topic in refused), None)
            if mine is not None:
                why = f"the broker refuses us {mine}: {GRANT_IT}"
                await self._deliver(sensor.room, (SensorCutOff(sensor=sensor.id, why=why),))

    async def _cut_off(self, lost: Lost, *, told: bool | None, stood: bool) -> bool:
        """Whether a person must act; `told`: whether the rooms were told that one must, None: nothing yet."""
        why = in_words(lost.why.removeprefix("CONNACK: "))
        ending = judge_ending(lost.code)
        person = lost.person or ending in MENDS
        mend = MENDS.get(ending) or (None if stood else mend_of(lost.why))  # what worked just now needs none
        self.vitals.connected = False
        self.vitals.why = f"{why}; {mend}" if mend else why
        if told is person:
            log.debug("sensors.lost", url=self._address.url, why=why)
            return person
        tell = log.error if person else log.warning
        tell(
            "sensors.lost",
            url=self._address.url,
            why=why,
            mend=mend or "check [sensors], and the way to the broker",
            consequence="what they see is unknown until it is back",
        )
        how = "cannot be used" if lost.person else "does not let us in" if person else "is away"
        for sensor in self._ear.sensors.values():
            cut = SensorCutOff(sensor=sensor.id, why=f"the broker of the sensors {how}: {why}")
            await self._deliver(sensor.room, (cut,))
        return person

    # ── what is heard

    def _wake(self) -> None:
        """Messages have come, or the line is lost. Taken at once: what came with QoS 0 is not kept for us."""
        connection = self._connection
        if connection is not None:
            while connection.incoming:
                message = connection.incoming.popleft()
                connection.acknowledge(message)
                self.vitals.messages += 1
                self._hear(self._ear.hear(message.topic, message.payload, kept=message.retained))
        self._news.set()

    def _hear(self, heard: Heard) -> None:
        self._asked += heard.subscribe
        for sensor, why in heard.unreadable:
            self.vitals.unreadable += 1
            if sensor not in self._odd:
                self._odd.add(sensor)
                log.warning(
                    "sensor.unreadable",
                    sensor=sensor,
                    why=why,
                    mend="mend what [[rooms.sensors]] says of where its values stand, or its payload",
                    consequence="what it sees is unknown until it says it otherwise",
                )
        for room, event in heard.events:
            waiting = self._waiting.setdefault(event.sensor, deque(maxlen=LAST_OF_EACH))
            waiting.append((room, event))

    async def _hand_on(self) -> None:
        """What is heard meanwhile waits here, and only the last of each sensor."""
        waiting, self._waiting = self._waiting, {}
        for words in waiting.values():
            await self._deliver(words[0][0], tuple(event for _, event in words))


async def subscribe(connection: Connection, topics: Sequence[str]) -> frozenset[str]:
    """Hear these, and what is kept of them. Those that the broker refuses; raises BrokerError."""
    refused: set[str] = set()
    for first in range(0, len(topics), TOPICS_AT_ONCE):
        some = topics[first : first + TOPICS_AT_ONCE]
        codes = await connection.subscribe(some, retained=True)
        refused |= {topic for topic, code in zip(some, codes, strict=False) if code >= REFUSED_FROM}
    return frozenset(refused)
