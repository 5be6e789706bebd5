"""A consumer of another make than ours: what it hears is what the cloud would hear."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion


@asynccontextmanager
async def listening(url: str, topic_filter: str, heard: list[bytes]) -> AsyncIterator[None]:
    """Everything that comes on these topics, appended as it comes."""
    subscribed, loop = asyncio.Event(), asyncio.get_running_loop()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)

    def on_connect(*_: object) -> None:
        client.subscribe(topic_filter, qos=1)

    def on_subscribe(*_: object) -> None:
        loop.call_soon_threadsafe(subscribed.set)

    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.on_message = lambda _client, _data, message: heard.append(bytes(message.payload))
    parts = urlsplit(url)
    await asyncio.to_thread(client.connect, str(parts.hostname), parts.port or 1883)
    client.loop_start()
    try:
        await subscribed.wait()
        yield
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
        client._reset_sockets(sockpair_only=True)  # noqa: SLF001 - else its own pair is left to the garbage
