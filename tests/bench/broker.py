"""paho on the loop itself, as little as can be: a thread of its own would cost more than all else."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

HOST: Final = "127.0.0.1"


class Broker:
    """Connected, and subscribed to a filter where somebody wants to hear; what is heard waits for `take`."""

    def __init__(
        self,
        port: int,
        client_id: str,
        *,
        acknowledged: Callable[[int], None] = lambda _: None,
        listen_to: str = "",
        heard: Callable[[str, bytes, int], None] = lambda _topic, _payload, _packet: None,
    ) -> None:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        client.max_inflight_messages_set(0)  # ours is the bound: paho's own costs a look at all per PUBACK
        client.on_publish = lambda _client, _data, packet, _reason, _properties: acknowledged(packet)
        self._heard: Final = heard
        self._subscribed: Final = asyncio.Event()
        client.on_message = lambda _client, _data, message: self._message(message)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_connect = lambda *_: self._connected(listen_to)
        client.on_socket_open = self._opened
        client.on_socket_register_write = self._has_more
        client.on_socket_unregister_write = self._has_no_more
        self._client: Final = client
        self._loop: Final = asyncio.get_running_loop()
        client.connect(HOST, port)

    def publish(self, topic: str, payload: bytes) -> int:
        return self._client.publish(topic, payload, qos=1).mid

    def take(self, packet: int) -> None:
        """Acknowledges what was heard."""
        self._client.ack(packet, 1)

    async def until_subscribed(self) -> None:
        await self._subscribed.wait()

    async def keep_alive(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._client.loop_misc()

    def close(self) -> None:
        self._client.disconnect()

    def _connected(self, listen_to: str) -> None:
        if listen_to:
            self._client.subscribe(listen_to, qos=1)

    def _message(self, message: MQTTMessage) -> None:
        self._heard(message.topic, bytes(message.payload), message.mid)

    def _opened(self, client: Client, data: object, line: Any) -> None:  # noqa: ANN401 -- paho's SocketLike is private
        line.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # else a PUBLISH waits for the last one's ACK
        self._loop.add_reader(line, client.loop_read)

    def _has_more(self, client: Client, data: object, line: Any) -> None:  # noqa: ANN401
        self._loop.add_writer(line, client.loop_write)

    def _has_no_more(self, client: Client, data: object, line: Any) -> None:  # noqa: ANN401
        self._loop.remove_writer(line)
