"""The judges: mosquitto's command line clients and plain paho, with what they saw."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.brokers.mosquitto import program
from tests.brokers.waiting import SEEN_WITHIN_S, Changes

HOST: Final = "127.0.0.1"


class Spoken(StrEnum):
    """As mosquitto's clients name it."""

    V5 = "mqttv5"
    V311 = "mqttv311"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    code: int | None
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@asynccontextmanager
async def running(name: str, port: int, *args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        program(name),
        *("-h", HOST, "-p", str(port), *args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(process: asyncio.subprocess.Process, given: str = "") -> Ended:
    async with asyncio.timeout(SEEN_WITHIN_S):
        out, err = await process.communicate(given.encode())
    return Ended(code=process.returncode, out=out.decode(), err=err.decode())


async def pub(port: int, *args: str, given: str = "") -> Ended:
    async with running("mosquitto_pub", port, *args) as process:
        return await ended(process, given)


async def sub(port: int, *args: str) -> Ended:
    async with running("mosquitto_sub", port, *args) as process:
        return await ended(process)


class Paho:
    """One plain paho client; its callbacks only write down."""

    def __init__(
        self,
        port: int,
        *,
        client_id: str = "paho",
        modern: bool = True,
        manual_ack: bool = False,
        again: bool = False,
        transport: Literal["tcp", "websockets"] = "tcp",
    ) -> None:
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTv5 if modern else MQTTv311,
            clean_session=None if modern else True,
            manual_ack=manual_ack,
            reconnect_on_failure=again,
            transport=transport,
        )
        self.client.reconnect_delay_set(0, 1)
        self.connacks: list[tuple[bool, int, Any]] = []  # session present, code, properties
        self.pubacks: list[tuple[int, int]] = []  # packet id, code
        self.messages: list[MQTTMessage] = []
        self.lost: list[tuple[bool, int]] = []  # said by the broker, code
        self.subscribed: list[list[int]] = []
        self._port = port
        self._changes = Changes()
        self._loop = asyncio.get_running_loop()
        self.client.on_connect = self._on_connect
        self.client.on_publish = self._on_publish
        self.client.on_message = self._on_message
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = self._on_subscribe

    async def connect(self, **how: Any) -> None:  # noqa: ANN401 (as paho's connect takes it)
        await asyncio.to_thread(self.client.connect, HOST, self._port, **how)
        self.client.loop_start()

    async def connected(self, **how: Any) -> None:  # noqa: ANN401 (as paho's connect takes it)
        before = len(self.connacks)
        await self.connect(**how)
        await self.until(lambda: len(self.connacks) > before)

    async def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        before = len(self.subscribed)
        self.client.subscribe(topic_filter, qos)
        await self.until(lambda: len(self.subscribed) > before)

    async def until(self, predicate: Callable[[], object]) -> None:
        await self._changes.until(
            predicate,
            seen=lambda: (
                f"{self.connacks} {self.pubacks} {self.lost} {[each.topic for each in self.messages]}"
            ),
        )

    async def leave(self) -> None:
        self.client.disconnect()
        await self.until(lambda: self.lost)

    async def close(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)
        line = self.client.socket()
        if line is not None:
            line.close()
        self.client._reset_sockets(sockpair_only=True)  # noqa: SLF001 - else its own pair is left to the garbage

    def _tell(self, notes: list[Any], note: object) -> None:
        self._loop.call_soon_threadsafe(self._note, notes, note)

    def _note(self, notes: list[Any], note: object) -> None:
        notes.append(note)
        self._changes.happened()

    def _on_connect(
        self,
        client: Client,
        userdata: object,
        flags: ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._tell(self.connacks, (flags.session_present, code.value, properties))

    def _on_publish(
        self, client: Client, userdata: object, mid: int, code: ReasonCode, properties: Properties
    ) -> None:
        self._tell(self.pubacks, (mid, code.value))

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        self._tell(self.messages, message)

    def _on_disconnect(
        self,
        client: Client,
        userdata: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._tell(self.lost, (flags.is_disconnect_packet_from_server, code.value))

    def _on_subscribe(
        self,
        client: Client,
        userdata: object,
        mid: int,
        codes: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        self._tell(self.subscribed, [code.value for code in codes])


@asynccontextmanager
async def paho(
    port: int,
    *,
    client_id: str = "paho",
    modern: bool = True,
    manual_ack: bool = False,
    again: bool = False,
    transport: Literal["tcp", "websockets"] = "tcp",
    trusts: ssl.SSLContext | None = None,
) -> AsyncIterator[Paho]:
    one = Paho(
        port,
        client_id=client_id,
        modern=modern,
        manual_ack=manual_ack,
        again=again,
        transport=transport,
    )
    if trusts is not None:
        one.client.tls_set_context(trusts)
    try:
        yield one
    finally:
        await one.close()


def connect_properties(**values: object) -> Properties:
    return _properties(PacketTypes.CONNECT, values)


def publish_properties(**values: object) -> Properties:
    return _properties(PacketTypes.PUBLISH, values)


def will_properties(**values: object) -> Properties:
    return _properties(PacketTypes.WILLMESSAGE, values)


def _properties(packet: int, values: dict[str, object]) -> Properties:
    properties = Properties(packet)
    for name, value in values.items():
        setattr(properties, name, value)
    return properties
