"""What plain paho 2.2.0 does that would lose, repeat or reorder messages: an upgrade is to be noticed.

Each test shows one behaviour that `cloud_link.broker` must guard against. One that fails says that paho has
changed: read its changelog, then mend the test and perhaps drop the guard. Numbers refer to the list of known
bugs of others (B15 to B24) that the rules for delivery were made from.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from paho.mqtt import client as library
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from tests.brokers import Ack, BadLine, Liar, Offer, Received, refusing, withheld
from tests.brokers.liar import HOST
from tests.brokers_tests.clients import connect_properties, paho

pytestmark = pytest.mark.slow

LONGER_THAN_PROMISED_S = 0.2


def plain() -> Client:
    return Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)


@pytest.fixture
def died(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The threads that died of an exception, which nobody else would notice."""
    names: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: names.append(args.exc_type.__name__))
    yield names
    assert names, "no thread died"


async def until_dead(thread: threading.Thread | None) -> None:
    assert thread is not None
    await asyncio.to_thread(thread.join, 5)
    assert not thread.is_alive()


def thread_of(client: Client) -> threading.Thread | None:
    return client._thread  # noqa: SLF001 (there is no other way to see it)


# ── B15: a reconnect sends everything at once


async def test_b15_a_reconnect_ignores_the_window():
    async with Liar() as broker, paho(broker.port, again=True) as client:
        broker.pubacks = withheld
        client.client.max_inflight_messages_set(5)
        await client.connected()
        for number in range(200):
            client.client.publish("a", str(number), qos=1)
        await broker.published(5)
        broker.cut()
        await broker.welcomed(2)
        await broker.published(5 + 200)
        assert [each.most_unacknowledged for each in broker.connections] == [5, 200]


async def test_b15_receive_maximum_is_read_and_not_kept():
    async with Liar(offer=Offer(receive_maximum=10)) as broker, paho(broker.port) as client:
        broker.pubacks, broker.enforce = withheld, True
        await client.connected()
        assert client.connacks[0][2].ReceiveMaximum == 10
        for number in range(20):  # paho's own window
            client.client.publish("a", str(number), qos=1)
        await client.until(lambda: client.lost)
        assert client.lost == [(True, 0x93)]


# ── B16: a message jumps the queue


async def test_b16_what_is_published_before_connack_overtakes_what_was_queued():
    async with Liar() as broker, paho(broker.port) as client:
        broker.hold_connack()
        for word in "123":
            client.client.publish("a", word, qos=1)
        await client.connect()
        await broker.until(lambda: broker.connections and broker.connections[0].connect)
        for word in "456":
            client.client.publish("a", word, qos=1)
        await broker.published(3)
        broker.release_connack()
        await client.until(lambda: len(client.pubacks) == 6)
        assert b"".join(each.payload for each in broker.received) == b"456123"


# ── B17: nothing outlives the process


async def test_b17_a_new_client_knows_nothing_of_what_was_not_acknowledged():
    async with Liar() as broker:
        broker.pubacks = withheld
        stays = connect_properties(SessionExpiryInterval=600)
        async with paho(broker.port) as client:
            await client.connected(clean_start=False, properties=stays)
            client.client.publish("a", "word", qos=1)
            await broker.published(1)
        async with paho(broker.port) as client:
            await client.connected(clean_start=False, properties=stays)
            assert client.connacks[0][0]  # the broker remembers the session, and paho does not
            client.client.publish("a", "next", qos=1)
            await broker.published(2)
        assert [each.payload for each in broker.received] == [b"word", b"next"]


# ── B18: "no connection" means queued


async def test_b18_who_believes_no_connection_and_tries_again_sends_copies():
    async with Liar() as broker, paho(broker.port) as client:
        for _ in range(3):
            info = client.client.publish("a", "once", qos=1)
            assert info.rc == MQTTErrorCode.MQTT_ERR_NO_CONN
            with pytest.raises(RuntimeError):
                info.wait_for_publish(0)
        await client.connected()
        assert [each.payload for each in await broker.published(3)] == [b"once"] * 3


# ── B19: refused looks like published


@pytest.mark.parametrize("code", [0x80, 0x87, 0x97])
async def test_b19_a_refused_message_counts_as_published(code: int):
    async with Liar() as broker, paho(broker.port) as client:
        broker.pubacks = refusing(code)
        await client.connected()
        info = client.client.publish("a", "word", qos=1)
        await client.until(lambda: client.pubacks)
        await asyncio.to_thread(info.wait_for_publish, 5)
        assert info.is_published()
        assert info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        assert client.pubacks == [(info.mid, code)]  # on_publish is the only one who hears it


# ── B20: an exception in a callback ends the thread and nobody is told


async def test_b20_an_exception_in_on_publish_kills_the_thread_silently(died: list[str]):
    async with Liar() as broker, paho(broker.port) as client:

        def broken(*heard: object) -> None:
            raise ZeroDivisionError

        client.client.on_publish = broken
        await client.connected()
        thread = thread_of(client.client)
        first = client.client.publish("a", "1", qos=1)
        await until_dead(thread)
        assert died == ["ZeroDivisionError"]
        assert not client.lost
        assert client.client.is_connected()
        second = client.client.publish("a", "2", qos=1)
        assert second.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        await broker.published(2)
        assert not broker.connections[0].unacknowledged
        assert not first.is_published()  # its place in the window is lost
        assert not second.is_published()


async def test_b20_an_exception_in_on_message_kills_the_thread_silently(died: list[str]):
    async with Liar() as broker, paho(broker.port) as client:

        def broken(*heard: object) -> None:
            raise ZeroDivisionError

        await client.connected()
        await client.subscribe("a")
        client.client.on_message = broken
        thread = thread_of(client.client)
        broker.publish("a", b"word")
        await until_dead(thread)
        assert died == ["ZeroDivisionError"]
        assert not client.lost
        assert client.client.is_connected()


async def test_b20_suppressing_exceptions_keeps_the_thread():
    async with Liar() as broker, paho(broker.port) as client:

        def broken(*heard: object) -> None:
            raise ZeroDivisionError

        client.client.suppress_exceptions = True
        client.client.on_publish = broken
        await client.connected()
        info = client.client.publish("a", "1", qos=1)
        await asyncio.to_thread(info.wait_for_publish, 5)
        assert info.is_published()


# ── B21: every start of the process throws the session away


async def test_b21_the_first_connect_of_a_process_deletes_queued_commands():
    async with Liar() as broker:
        stays = connect_properties(SessionExpiryInterval=600)
        async with paho(broker.port) as client:
            await client.connected(properties=stays)
            await client.subscribe("commands")
        await broker.quiet()
        broker.publish("commands", b"hold the room")
        assert broker.sessions["paho"].waiting
        async with paho(broker.port, again=True) as client:
            await client.connected(properties=stays)
            assert not client.connacks[0][0]
            assert not broker.sessions["paho"].waiting
            broker.cut()
            await client.until(lambda: len(client.connacks) == 2)
        connects = [each.connect for each in broker.connections if each.connect is not None]
        assert [each.clean_start for each in connects] == [True, True, False]


async def test_b21_a_session_ends_with_its_connection_unless_asked_for():
    async with Liar() as broker:
        async with paho(broker.port) as client:
            await client.connected(clean_start=False)
            assert broker.connections[0].connect is not None
            assert broker.connections[0].connect.properties.session_expiry_s is None
        await broker.until(lambda: not broker.sessions)


# ── B22: no second attempt while connected, no bound on memory, 65 535 ids


async def test_b22_a_lost_puback_is_waited_for_for_ever():
    async with Liar() as broker, paho(broker.port) as client:

        def lost(received: Received) -> Ack:
            return Ack(times=0 if received.payload == b"1" else 1)

        broker.pubacks = lost
        await client.connected(keepalive=1)
        infos = [client.client.publish("a", word, qos=1) for word in ("1", "2", "3")]
        await client.until(lambda: len(client.pubacks) == 2)
        await broker.until(lambda: broker.connections[0].pings)  # paho's own housekeeping has been there
        assert [info.is_published() for info in infos] == [False, True, True]
        assert [each.payload for each in broker.received] == [b"1", b"2", b"3"]


def test_b22_the_queue_is_bounded_by_the_packet_ids_only():
    client = plain()
    infos = [client.publish("a", qos=1) for _ in range(65_536)]
    assert {info.rc for info in infos[:-1]} == {MQTTErrorCode.MQTT_ERR_NO_CONN}
    assert infos[-1].rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE  # the only code that means: not taken


# ── B23: a thousand clients come back in step, and connecting blocks


def test_b23_rests_double_without_any_luck(monkeypatch: pytest.MonkeyPatch):
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(library, "time_func", lambda: now)
    monkeypatch.setattr(library, "time", SimpleNamespace(sleep=sleep))

    def rests() -> list[float]:
        client, seen = plain(), []
        for _ in range(9):
            before = now
            client._reconnect_wait()  # noqa: SLF001 (else it takes four minutes)
            seen.append(now - before)
        return seen

    assert rests() == rests() == [1, 2, 4, 8, 16, 32, 64, 120, 120]


async def test_b23_connect_blocks_while_the_name_is_looked_up_whatever_its_timeout(
    monkeypatch: pytest.MonkeyPatch,
):
    asked, answer = threading.Event(), threading.Event()
    client = plain()
    client.connect_timeout = 0.01

    def slow(*query: object, **more: object) -> None:
        asked.set()
        answer.wait(5)
        raise socket.gaierror

    def connect() -> None:
        with pytest.raises(socket.gaierror):
            client.connect("name", 1)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    waiting = threading.Thread(target=connect)
    waiting.start()
    await asyncio.to_thread(asked.wait, 5)
    await asyncio.to_thread(waiting.join, LONGER_THAN_PROMISED_S)
    assert waiting.is_alive()
    answer.set()
    await asyncio.to_thread(waiting.join, 5)
    assert not waiting.is_alive()


class Noting(ssl.SSLContext):
    """Keeps what it made, so that a test can see whether it was closed."""

    made: list[ssl.SSLSocket]

    def wrap_socket(self, *args: Any, **how: Any) -> ssl.SSLSocket:  # noqa: ANN401 (as the library calls it)
        self.made = [super().wrap_socket(*args, **how)]
        return self.made[0]


async def test_b23_connect_blocks_its_caller_while_tls_is_not_answered_and_leaves_its_socket_open():
    async with Liar() as broker, BadLine(broker.port) as line:
        line.pause()
        client, context = plain(), Noting(ssl.PROTOCOL_TLS_CLIENT)
        client.tls_set_context(context)
        client.connect_timeout = LONGER_THAN_PROMISED_S
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(client.connect, HOST, line.port)
        assert time.monotonic() - began >= LONGER_THAN_PROMISED_S
        assert client.socket() is None
        assert context.made[0].fileno() >= 0  # until the garbage is collected
        context.made[0].close()


# ── B24: acknowledged before it is done


async def test_b24_a_message_is_acknowledged_as_soon_as_it_is_handed_over():
    async with Liar() as broker, paho(broker.port) as client:
        await client.connected()
        await client.subscribe("commands")
        broker.publish("commands", b"hold the room")
        await broker.until(lambda: broker.confirmed)  # nobody has looked at it yet


async def test_b24_with_manual_ack_it_is_not():
    async with Liar() as broker, paho(broker.port, manual_ack=True) as client:
        await client.connected()
        await client.subscribe("commands")
        broker.publish("commands", b"hold the room")
        await client.until(lambda: client.messages)
        client.client.publish("a", "afterwards", qos=1)
        await client.until(lambda: client.pubacks)
        assert not broker.confirmed
        client.client.ack(client.messages[0].mid, 1)
        await broker.until(lambda: broker.confirmed)


async def test_b24_an_acknowledgement_after_a_reconnect_hits_another_message():
    async with Liar() as broker, paho(broker.port, manual_ack=True, again=True) as client:
        await client.connected(clean_start=True)
        await client.subscribe("commands")
        broker.publish("commands", b"old")
        await client.until(lambda: client.messages)
        broker.cut()
        await client.until(lambda: len(client.connacks) == 2)
        await client.subscribe("commands")
        broker.publish("commands", b"new")
        await client.until(lambda: len(client.messages) == 2)
        client.client.ack(client.messages[0].mid, 1)  # "old" is done
        await broker.until(lambda: broker.confirmed)
        assert broker.confirmed[0].payload == b"new"


# ── found here


async def test_a_connack_with_0x99_is_never_told():
    """The standard allows it (3.2.2.2), paho does not know it: there is no on_connect, only on_disconnect."""
    async with Liar() as broker, paho(broker.port) as client:
        broker.refuse(0x99)
        await client.connect()
        await client.until(lambda: client.lost)
        assert not client.connacks
        assert client.lost == [(False, 0x82)]


async def test_a_puback_with_an_unknown_code_ends_the_connection():
    async with Liar() as broker, paho(broker.port) as client:
        broker.pubacks = refusing(0xA5)
        await client.connected()
        info = client.client.publish("a", "word", qos=1)
        await client.until(lambda: client.lost)
        assert not client.pubacks
        assert not info.is_published()


async def test_a_puback_that_comes_twice_or_for_nobody_is_passed_over():
    async with Liar() as broker, paho(broker.port) as client:
        await client.connected()
        broker.send_puback(4711)
        info = client.client.publish("a", "word", qos=1)
        await client.until(lambda: client.pubacks)
        broker.send_puback(info.mid)
        client.client.publish("a", "next", qos=1)
        await client.until(lambda: len(client.pubacks) == 2)
        assert [mid for mid, _ in client.pubacks] == [info.mid, info.mid + 1]
