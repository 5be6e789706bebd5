"""Every lie of the liar, as a client hears it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.brokers import Ack, Authority, Liar, Offer, Received, late, refusing, twice, withheld
from tests.brokers.liar import HOST
from tests.brokers.waiting import NotSeen
from tests.brokers_tests.clients import Spoken, paho, pub, publish_properties, sub

pytestmark = pytest.mark.slow

# Written by hand from the standard, so that our codec does not judge itself.
CONNECT = bytes.fromhex("10 0e 0004 4d515454 05 02 0000 00 0001 78")  # MQTT 5, clean start, client id "x"
PUBLISH = bytes.fromhex("32 07 0001 61 0001 00 21")  # QoS 1, topic "a", packet id 1, "!"
CONNACK = bytes.fromhex("20 05 00 00 02 24 01")  # Maximum QoS 1
PUBACK = bytes.fromhex("40 02 0001")

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def raw(broker: Liar, authority: Authority | None = None) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection(
        HOST, broker.port, ssl=None if authority is None else authority.client_context()
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_the_handwritten_conversation_is_answered():
    async with Liar() as broker, raw(broker) as (reader, writer):
        writer.write(CONNECT + PUBLISH)
        assert await reader.readexactly(len(CONNACK + PUBACK)) == CONNACK + PUBACK


# ── about connecting


@pytest.mark.parametrize("code", [0x80, 0x84, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x95, 0x97, 0x9B, 0x9F])
async def test_connect_is_refused_with_any_code(code: int):
    async with Liar() as broker, paho(broker.port) as client:
        broker.refuse(code, times=1)
        await client.connected()
        await client.until(lambda: client.lost)
        assert [heard for _, heard, _ in client.connacks] == [code]
        assert (await pub(broker.port, "-t", "a", "-m", "x")).code == 0  # once only


async def test_a_refusal_lasts_until_it_is_lifted():
    async with Liar() as broker:
        broker.refuse(0x88)
        for _ in range(2):
            assert (await pub(broker.port, "-t", "a", "-m", "x")).code != 0
        broker.accept()
        assert (await pub(broker.port, "-t", "a", "-m", "x")).code == 0


@pytest.mark.parametrize(
    ("code", "old"), [(0x84, 1), (0x85, 2), (0x88, 3), (0x89, 3), (0x86, 4), (0x87, 5), (0x8A, 5)]
)
async def test_an_old_client_hears_the_nearest_old_code(code: int, old: int):
    async with Liar() as broker, raw(broker) as (reader, writer):
        broker.refuse(code)
        writer.write(bytes.fromhex("10 0d 0004 4d515454 04 02 0000 0001 78"))
        assert await reader.read() == bytes([0x20, 0x02, 0x00, old])


@pytest.mark.parametrize(("answer", "heard"), [("new code", [0x84]), ("old code", [0x84]), ("cut", [])])
async def test_a_broker_that_only_knows_311(answer: str, heard: list[int]):
    async with Liar() as broker:
        broker.only_311(answer=answer)  # type: ignore[arg-type]  # pytest knows no literals
        async with paho(broker.port) as client:
            await client.connect()
            await client.until(lambda: client.lost)
            assert [code for _, code, _ in client.connacks] == heard
        async with paho(broker.port, modern=False) as client:
            await client.connected()
            assert broker.connections[-1].version == 4
        broker.accept()
        async with paho(broker.port) as client:
            await client.connected()
            assert broker.connections[-1].version == 5


async def test_tcp_is_accepted_and_connack_never_comes():
    async with Liar() as broker, paho(broker.port) as client:
        broker.hold_connack()
        await client.connect()
        await broker.until(lambda: broker.connections and broker.connections[0].connect)
        assert not client.connacks
        assert not broker.connections[0].welcome
        broker.release_connack()
        await client.until(lambda: client.connacks)


async def test_a_publish_before_connack_is_noticed_and_answered_after_it():
    async with Liar() as broker, raw(broker) as (reader, writer):
        broker.hold_connack()
        writer.write(CONNECT + PUBLISH)
        (received,) = await broker.published(1)
        assert received.early
        assert [each.what for each in broker.violations] == ["PUBLISH before CONNACK"]
        broker.release_connack()
        assert await reader.readexactly(len(CONNACK + PUBACK)) == CONNACK + PUBACK


# ── about acknowledging


async def test_pubacks_are_withheld_until_they_are_given_in_any_order():
    async with Liar() as broker, paho(broker.port) as client:
        broker.pubacks = withheld
        await client.connected()
        for number in range(5):
            client.client.publish("a", str(number), qos=1)
        await broker.published(5)
        assert broker.most_unacknowledged == 5
        assert not client.pubacks
        broker.acknowledge(count=1)
        await client.until(lambda: len(client.pubacks) == 1)
        broker.acknowledge(reverse=True)
        await client.until(lambda: len(client.pubacks) == 5)
        assert [mid for mid, _ in client.pubacks] == [1, 5, 4, 3, 2]


@pytest.mark.parametrize(
    ("delay", "order"), [(0.02, [1, 2, 3]), (lambda received: 0.6 * (4 - (received.mid or 0)), [3, 2, 1])]
)
async def test_pubacks_come_late_in_order_or_not(
    delay: float | Callable[[Received], float], order: list[int]
):
    async with Liar() as broker, paho(broker.port) as client:
        broker.pubacks = late(delay)
        await client.connected()
        for number in range(3):
            client.client.publish("a", str(number), qos=1)
        await client.until(lambda: len(client.pubacks) == 3)
        assert [mid for mid, _ in client.pubacks] == order


@pytest.mark.parametrize("code", [0x80, 0x83, 0x87, 0x90, 0x97, 0x99, 0x10])
async def test_the_nth_message_of_a_topic_is_refused(code: int):
    async with Liar() as broker, paho(broker.port) as client:
        broker.pubacks = refusing(code, topic_filter="a/#", after=1, times=1)
        await client.connected()
        for topic in ("a/1", "b", "a/2", "a/3"):
            client.client.publish(topic, topic, qos=1, retain=True)
        await client.until(lambda: len(client.pubacks) == 4)
        assert client.pubacks == [(1, 0), (2, 0), (3, code), (4, 0)]
        assert ("a/2" in broker.retained) is (code < 0x80)  # what is refused goes nowhere


async def test_any_rule_will_do():
    async with Liar() as broker, paho(broker.port) as client:
        broker.pubacks = lambda received: Ack(code=0x97 if received.payload == b"too much" else 0)
        await client.connected()
        client.client.publish("a", "enough", qos=1)
        client.client.publish("a", "too much", qos=1)
        await client.until(lambda: len(client.pubacks) == 2)
        assert [code for _, code in client.pubacks] == [0, 0x97]


async def test_a_puback_comes_twice_and_one_for_an_unknown_packet():
    async with Liar() as broker, raw(broker) as (reader, writer):
        broker.pubacks = twice
        writer.write(CONNECT + PUBLISH)
        assert await reader.readexactly(len(CONNACK + PUBACK + PUBACK)) == CONNACK + PUBACK + PUBACK
        broker.send_puback(0x1234, code=0x92)
        assert await reader.readexactly(5) == bytes.fromhex("40 03 1234 92")


@pytest.mark.parametrize("most", [1, 10, 20])
async def test_a_client_beyond_receive_maximum_is_noticed(most: int):
    async with Liar(offer=Offer(receive_maximum=most)) as broker, paho(broker.port) as client:
        broker.pubacks = withheld
        client.client.max_inflight_messages_set(most + 1)
        await client.connected()
        for number in range(most):
            client.client.publish("a", str(number), qos=1)
        await broker.published(most)
        assert not broker.violations
        broker.enforce = True
        client.client.publish("a", "one too many", qos=1)
        await client.until(lambda: client.lost)
        assert client.lost == [(True, 0x93)]
        assert [each.what for each in broker.violations] == [
            f"{most + 1} unacknowledged, Receive Maximum {most}"
        ]


@pytest.mark.parametrize(
    ("offer", "message", "code"),
    [
        (Offer(maximum_packet_size=100), {"payload": "x" * 100}, 0x95),
        (Offer(retain_available=False), {"retain": True}, 0x9A),
        (Offer(maximum_qos=0), {"qos": 1}, 0x9B),
        (Offer(), {"qos": 2}, 0x9B),
        (Offer(topic_alias_maximum=1), {"properties": 2}, 0x94),
    ],
)
async def test_who_breaks_another_promise_is_sent_away(offer: Offer, message: dict[str, object], code: int):
    async with Liar(offer=offer) as broker, paho(broker.port) as client:
        broker.enforce = True
        await client.connected()
        if "properties" in message:
            message = {"properties": publish_properties(TopicAlias=message["properties"])}
        client.client.publish("a", **message)  # type: ignore[arg-type]  # one table for all
        await client.until(lambda: client.lost)
        assert client.lost == [(True, code)]
        assert len(broker.violations) == 1


async def test_topic_aliases_are_understood_where_they_are_offered():
    async with Liar(offer=Offer(topic_alias_maximum=1)) as broker, paho(broker.port) as client:
        await client.connected()
        client.client.publish("a/b", "1", qos=1, properties=publish_properties(TopicAlias=1))
        client.client.publish("", "2", qos=1, properties=publish_properties(TopicAlias=1))
        assert [each.topic for each in await broker.published(2)] == ["a/b", "a/b"]


async def test_subscriptions_are_refused():
    async with Liar() as broker, paho(broker.port) as client:
        broker.subacks = {"b": 0x87}.get
        await client.connected()
        for topic_filter in ("a", "b", "$share/g/c"):
            await client.subscribe(topic_filter)
        assert client.subscribed == [[1], [0x87], [0x9E]]


# ── about the connection


@pytest.mark.parametrize("code", [0x00, 0x8B, 0x8E, 0x93, 0x96, 0x97, 0x9C])
async def test_the_broker_disconnects_with_a_reason(code: int):
    async with Liar() as broker, paho(broker.port) as client:
        await client.connected()
        broker.disconnect(code)
        await client.until(lambda: client.lost)
        assert client.lost == [(True, code)]


async def test_one_client_is_disconnected_and_the_other_is_not():
    async with Liar() as broker, paho(broker.port) as client, paho(broker.port, client_id="other") as other:
        await client.connected()
        await other.connected()
        broker.disconnect(0x98, client_id="other")
        await other.until(lambda: other.lost)
        await broker.until(lambda: [each.client_id for each in broker.living] == ["paho"])
        assert not client.lost


async def test_an_old_client_is_only_hung_up_on():
    async with Liar() as broker, raw(broker) as (reader, writer):
        writer.write(bytes.fromhex("10 0d 0004 4d515454 04 02 0000 0001 78"))
        assert await reader.readexactly(4) == bytes.fromhex("20020000")
        broker.disconnect(0x8B)
        assert await reader.read() == b""


@pytest.mark.parametrize("count", range(len(CONNECT + PUBLISH) + 1))
async def test_the_line_is_cut_at_any_byte(count: int):
    async with Liar() as broker:
        broker.cut_after_bytes(count)
        async with raw(broker) as (reader, writer):
            writer.write(CONNECT + PUBLISH)
            heard = b""
            with pytest.raises(ConnectionResetError):  # noqa: PT012 (what was heard before the cut counts)
                while data := await reader.read(1):
                    heard += data
            assert heard == (
                CONNACK + PUBACK
                if count == len(CONNECT + PUBLISH)
                else CONNACK
                if count >= len(CONNECT)
                else b""
            )
            await broker.quiet()
            assert broker.connections[0].bytes_received == count
        async with raw(broker) as (reader, writer):  # once only
            writer.write(CONNECT)
            assert await reader.readexactly(len(CONNACK)) == CONNACK


@pytest.mark.parametrize("acknowledged", [True, False])
async def test_the_line_is_cut_at_the_nth_publish(*, acknowledged: bool):
    async with Liar() as broker, paho(broker.port) as client:
        await client.connected()
        broker.cut_after_publishes(2, acknowledged=acknowledged)
        for number in range(3):
            client.client.publish("a", str(number), qos=1)
            if number < 2:
                await broker.published(number + 1)
        await client.until(lambda: client.lost)
        assert [each.payload for each in broker.received] == [b"0", b"1"]
        assert [mid for mid, _ in client.pubacks] == ([1, 2] if acknowledged else [1])
        assert not client.lost[0][0]


@pytest.mark.parametrize("tls", [False, True])
async def test_a_half_open_line_neither_hears_nor_answers_until_it_wakes(
    tmp_path_factory: pytest.TempPathFactory, *, tls: bool
):
    authority = Authority(tmp_path_factory.mktemp("tls")) if tls else None
    async with Liar(tls=authority) as broker, raw(broker, authority) as (reader, writer):
        writer.write(CONNECT)
        assert await reader.readexactly(len(CONNACK)) == CONNACK
        broker.half_open()
        writer.write(PUBLISH)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        assert not broker.received
        assert broker.living
        broker.wake()
        assert await reader.readexactly(len(PUBACK)) == PUBACK


async def test_garbage_ends_a_client():
    async with Liar() as broker, paho(broker.port) as client:
        await client.connected()
        broker.garbage()
        await client.until(lambda: client.lost)
        assert not client.lost[0][0]


async def test_garbage_from_a_client_ends_it_and_is_written_down():
    async with Liar() as broker, raw(broker) as (reader, writer):
        writer.write(CONNECT + b"\x00\xff\xff\xff\xff\xff")
        assert await reader.read() == CONNACK + bytes.fromhex("e0 02 81 00")
        assert [each.what for each in broker.violations] == ["remaining length longer than four bytes"]


async def test_all_is_reset_at_once():
    async with Liar() as broker, paho(broker.port) as client:
        await client.connected()
        broker.cut()
        await client.until(lambda: client.lost)
        await broker.quiet()


async def test_a_puback_nobody_asked_for_is_a_violation():
    async with Liar() as broker, raw(broker) as (_, writer):
        writer.write(CONNECT + PUBACK)
        await broker.until(lambda: broker.confirmed)
        assert broker.confirmed[0].topic is None
        assert [each.what for each in broker.violations] == ["PUBACK for packet id 1, which was not sent"]


async def test_retained_messages_are_lost():
    async with Liar() as broker:
        await pub(broker.port, "-V", Spoken.V5, "-t", "a", "-m", "x", "-r")
        broker.forget_retained()
        assert (await sub(broker.port, "-t", "a", "-W", "1", "-E", "--quiet")).out == ""


async def test_what_did_not_happen_is_told_with_what_did():
    async with Liar() as broker:
        await pub(broker.port, "-t", "a/b", "-m", "seen")
        with pytest.raises(NotSeen, match="a/b"):
            await broker.published(2, within_s=0.05)
