"""Until it is told to lie, the liar is as good a broker as mosquitto, say mosquitto's clients and paho."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Ack, Authority, Liar, Mosquitto, Offer, Properties, Version
from tests.brokers.topics import covers
from tests.brokers_tests.clients import (
    Spoken,
    connect_properties,
    ended,
    paho,
    pub,
    publish_properties,
    running,
    sub,
    will_properties,
)

pytestmark = pytest.mark.slow

BOTH = pytest.mark.parametrize("spoken", list(Spoken))


@BOTH
@pytest.mark.parametrize("qos", ["0", "1"])
async def test_mosquitto_pub_publishes(spoken: Spoken, qos: str):
    async with Liar() as broker:
        done = await pub(broker.port, "-V", spoken, "-q", qos, "-t", "a/b", "-m", "word", "-r", "-i", "me")
        (received,) = await broker.published(1)
    assert done.code == 0, done.err
    assert (received.topic, received.payload, received.qos, received.retain) == (
        "a/b",
        b"word",
        int(qos),
        True,
    )
    assert (received.connection, received.client_id, received.dup, received.early) == (1, "me", False, False)
    assert broker.retained["a/b"].payload == b"word"
    assert broker.connections[0].version == (Version.V5 if spoken is Spoken.V5 else Version.V311)
    assert not broker.violations


@BOTH
async def test_five_hundred_lines_come_in_order_and_all(spoken: Spoken):
    lines = [str(number) for number in range(500)]
    async with (
        Liar() as broker,
        running("mosquitto_sub", broker.port, "-q", "1", "-t", "#", "-C", "500") as ear,
    ):
        await broker.subscribed("#")
        await pub(broker.port, "-V", spoken, "-q", "1", "-t", "a", "-l", given="\n".join(lines) + "\n")
        heard = await ended(ear)
        assert [each.payload.decode() for each in broker.messages()] == lines
    assert heard.lines == lines
    assert not broker.violations


@BOTH
async def test_mosquitto_sub_hears_what_its_wildcards_cover(spoken: Spoken):
    async with Liar() as broker:
        args = ("-V", spoken, "-q", "1", "-v", "-t", "rooms/+/state", "-t", "agents/#", "-C", "3")
        async with running("mosquitto_sub", broker.port, *args) as ear:
            await broker.subscribed("agents/#")
            for topic in ("rooms/fjord/state", "rooms/fjord/events", "agents", "agents/a/b", "else"):
                await pub(broker.port, "-V", spoken, "-q", "1", "-t", topic, "-m", "x")
            heard = await ended(ear)
    assert heard.lines == ["rooms/fjord/state x", "agents x", "agents/a/b x"]


@BOTH
async def test_retained_messages_greet_a_new_subscriber_until_they_are_erased(spoken: Spoken):
    async with Liar() as broker:
        await pub(broker.port, "-V", spoken, "-t", "a/1", "-m", "one", "-r")
        await pub(broker.port, "-V", spoken, "-t", "a/2", "-m", "two", "-r")
        await pub(broker.port, "-V", spoken, "-t", "a/2", "-n", "-r")
        await pub(broker.port, "-V", spoken, "-t", "a/3", "-m", "three", "-r")
        heard = await sub(broker.port, "-V", spoken, "-t", "a/#", "-F", "%t %p %r", "-C", "2")
        assert heard.lines == ["a/1 one 1", "a/3 three 1"]
        broker.forget_retained()
        assert not broker.retained


@BOTH
async def test_a_session_keeps_messages_for_one_who_is_away(spoken: Spoken):
    async with Liar() as broker:
        stays = ("-V", spoken, "-c", "-i", "sleeper", "-q", "1", "-t", "a/#")
        await sub(broker.port, *stays, "-E")
        await broker.quiet()
        for word in ("one", "two"):
            await pub(broker.port, "-V", spoken, "-q", "1", "-t", "a/b", "-m", word)
        heard = await sub(broker.port, *stays, "-C", "2")
        assert heard.lines == ["one", "two"]
        assert [each.session_present for each in broker.connections] == [False, False, False, True]
        await broker.until(lambda: broker.confirmed)  # mosquitto_sub leaves without confirming the last
        assert broker.confirmed[0].payload == b"one"


async def test_a_session_ends_at_its_expiry():
    async with Liar(second_s=0.001) as broker:
        await sub(broker.port, "-V", "mqttv5", "-c", "-x", "5", "-i", "sleeper", "-t", "a", "-E")
        await broker.until(lambda: not broker.sessions)


async def test_forgotten_sessions_are_gone():
    async with Liar() as broker, paho(broker.port) as client:
        await sub(broker.port, "-c", "-i", "sleeper", "-t", "a", "-E")
        await client.connected()
        broker.forget_sessions()
        assert list(broker.sessions) == ["paho"]


@BOTH
async def test_a_killed_client_leaves_its_will(spoken: Spoken):
    last_words = ("--will-topic", "w", "--will-payload", "gone", "--will-retain", "--will-qos", "1")
    async with Liar() as broker:
        async with running("mosquitto_sub", broker.port, "-V", spoken, "-t", "a", *last_words) as dying:
            await broker.subscribed("a")
            dying.kill()
            await broker.until(lambda: "w" in broker.retained)
        assert broker.retained["w"].payload == b"gone"


async def test_a_client_that_says_goodbye_leaves_no_will():
    async with Liar() as broker:
        await sub(broker.port, "-t", "a", "--will-topic", "w", "--will-retain", "-E")
        await broker.quiet()
        assert broker.connections[0].goodbye is not None
        assert not broker.retained


@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_will_waits_for_its_delay_and_is_dropped_if_the_client_is_back_before(*, comes_back: bool):
    async with (
        Liar(second_s=3600 if comes_back else 0.001) as broker,
        paho(broker.port, again=True) as client,
    ):
        client.client.will_set(
            "w", b"gone", qos=1, retain=True, properties=will_properties(WillDelayInterval=15)
        )
        await client.connected(properties=connect_properties(SessionExpiryInterval=60))
        assert broker.sessions["paho"].expiry_s == 60
        broker.connections[0].reset()
        await broker.welcomed(2)
        if not comes_back:
            broker.refuse(0x88)
            broker.cut()
            await broker.until(lambda: "w" in broker.retained)
        else:
            assert broker.sessions["paho"].dying is None
            assert not broker.retained


async def test_tls_is_checked_by_the_client(tmp_path: Path):
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    word = ("-q", "1", "-t", "a", "-m", "x", "--cafile")
    async with Liar(tls=ours) as broker:
        assert broker.url == f"mqtts://127.0.0.1:{broker.port}"
        assert (await pub(broker.port, *word, str(ours.ca_file))).code == 0
        assert (await pub(broker.port, *word, str(theirs.ca_file))).code != 0
        await broker.published(1)


@BOTH
async def test_users_are_asked_for_their_password(spoken: Spoken):
    async with Liar(users={"oslo": "secret"}) as broker:
        word = ("-V", spoken, "-t", "a", "-m", "x", "-u", "oslo", "-P")
        assert (await pub(broker.port, *word, "secret")).code == 0
        refused = await pub(broker.port, *word, "guess")
        assert refused.code != 0
        assert "not authorised" in refused.err.lower() or "bad user" in refused.err.lower()


async def test_the_second_client_of_a_name_takes_over_from_the_first():
    async with Liar() as broker, paho(broker.port) as first:
        await first.connected()
        await pub(broker.port, "-V", "mqttv5", "-i", "paho", "-t", "a", "-m", "x")
        await first.until(lambda: first.lost)
        assert first.lost == [(True, 0x8E)]


async def test_a_silent_client_is_dropped_after_its_keep_alive():
    async with Liar(offer=Offer(server_keep_alive_s=1)) as broker, paho(broker.port) as client:
        await client.connected(keepalive=60)
        client.client._keepalive = 60  # noqa: SLF001 (paho believes the broker, so it is told otherwise)
        await client.until(lambda: client.lost)
        assert client.lost == [(True, 0x8D)]


async def test_connack_says_what_was_offered():
    offer = Offer(
        receive_maximum=10,
        session_expiry_s=3600,
        maximum_qos=1,
        maximum_packet_size=4096,
        retain_available=False,
        topic_alias_maximum=7,
        server_keep_alive_s=30,
        assigned_client_id="you",
    )
    async with Liar(offer=offer) as broker, paho(broker.port, client_id="") as client:
        await client.connected()
        heard = client.connacks[0][2].json()
        assert heard == {
            "ReceiveMaximum": 10,
            "SessionExpiryInterval": 3600,
            "MaximumQoS": 1,
            "MaximumPacketSize": 4096,
            "RetainAvailable": 0,
            "TopicAliasMaximum": 7,
            "ServerKeepAlive": 30,
            "AssignedClientIdentifier": "you",
        }


async def test_the_brokers_own_messages_carry_all_properties():
    async with Liar() as broker, paho(broker.port) as client:
        await client.connected()
        await client.subscribe("c/#")
        broker.publish(
            "c/1",
            b"do",
            properties=Properties(
                response_topic="r",
                correlation_data=b"\x00\x01",
                message_expiry_s=60,
                content_type="application/json",
                payload_format=1,
                user=(("a", "1"), ("a", "2")),
            ),
        )
        await client.until(lambda: client.messages)
        assert client.messages[0].properties is not None
        assert client.messages[0].properties.json() == {
            "ResponseTopic": "r",
            "CorrelationData": "0001",
            "MessageExpiryInterval": 60,
            "ContentType": "application/json",
            "PayloadFormatIndicator": 1,
            "UserProperty": [("a", "1"), ("a", "2")],
        }
        await broker.until(lambda: broker.confirmed)
        assert broker.confirmed[0].topic == "c/1"


async def test_a_message_that_expired_while_the_client_was_away_is_not_delivered():
    async with Liar(second_s=0.0001) as broker, paho(broker.port) as client:
        await sub(broker.port, "-V", "mqttv5", "-c", "-i", "paho", "-q", "1", "-t", "c", "-E")
        await broker.quiet()
        broker.publish("c", b"stale", properties=Properties(message_expiry_s=1))
        broker.publish("c", b"fresh")
        await client.connected(clean_start=False)
        await client.until(lambda: client.messages)
        assert [each.payload for each in client.messages] == [b"fresh"]


async def test_unacknowledged_messages_come_again_with_dup_and_not_more_than_the_client_can_take():
    async with Liar() as broker:
        stays = connect_properties(SessionExpiryInterval=600, ReceiveMaximum=2)
        async with paho(broker.port, manual_ack=True) as client:
            await client.connected(clean_start=False, properties=stays)
            await client.subscribe("c")
            for number in range(4):
                broker.publish("c", b"%d" % number)
            await client.until(lambda: len(client.messages) >= 2)
            assert not client.messages[0].dup
        async with paho(broker.port, manual_ack=True) as client:
            await client.connected(clean_start=False, properties=stays)
            await client.until(lambda: len(client.messages) == 2)
            assert [(each.payload, each.dup) for each in client.messages] == [(b"0", True), (b"1", True)]
            client.client.ack(client.messages[0].mid, 1)
            await client.until(lambda: len(client.messages) == 3)
            assert (client.messages[2].payload, client.messages[2].dup) == (b"2", False)


async def test_stop_and_start_keep_port_sessions_and_retained():
    async with Liar() as broker, paho(broker.port, again=True) as client:
        client.client.will_set("w", b"gone", retain=True)
        await client.connected(properties=connect_properties(SessionExpiryInterval=600))
        await client.subscribe("c")
        await broker.stop()
        await client.until(lambda: client.lost)
        await broker.start()
        await broker.welcomed(2)
        assert broker.connections[-1].session_present
        assert "c" in broker.sessions["paho"].subscriptions
        assert not broker.retained  # a broker that crashed sends no wills


async def _transcript(port: int, *, modern: bool) -> list[Any]:
    """One client's whole conversation, as it saw it.

    Left out is where the standard leaves a choice and mosquitto chose otherwise: overlapping subscriptions
    (mosquitto sends a message once for each), and 0x10 where nobody listens.
    """
    stays = {"properties": connect_properties(SessionExpiryInterval=600)} if modern else {}
    seen: list[Any] = []
    async with paho(port, client_id="x", modern=modern) as client:
        await client.connected(**stays)
        await client.subscribe("t/+/c", 0)
        await client.subscribe("t/+/b", 1)
        properties = publish_properties(CorrelationData=b"c", MessageExpiryInterval=600) if modern else None
        infos = [
            client.client.publish("t/a/b", b"1", qos=1, properties=properties),
            client.client.publish("t/a/c", b"2", qos=1, retain=True),
            client.client.publish("t/a/b", b"", qos=0),
        ]
        await client.until(lambda: len(client.messages) == 3 and len(client.pubacks) == 3)
        client.client.unsubscribe("t/+/c")
        client.client.publish("t/a/c", b"4", qos=0)
        await client.subscribe("t/a/#", 1)
        await client.until(lambda: len(client.messages) == 4)
        seen += [
            [(present, code) for present, code, _ in client.connacks],
            [min(code, 1) for codes in client.subscribed for code in codes],
            sorted(client.pubacks[: len(infos)]),
            [
                (each.topic, each.payload, each.qos, each.retain, each.properties and each.properties.json())
                for each in client.messages
            ],
        ]
    async with paho(port, client_id="x", modern=modern) as client:
        await client.connected(clean_start=False, **stays) if modern else await client.connected()
        await client.leave()
        seen += [[(present, code) for present, code, _ in client.connacks], client.lost]
    return seen


@pytest.mark.parametrize("modern", [True, False])
async def test_a_client_cannot_tell_the_liar_from_mosquitto(tmp_path: Path, *, modern: bool):
    async with Liar() as liar, Mosquitto(tmp_path) as mosquitto:
        assert await _transcript(liar.port, modern=modern) == await _transcript(mosquitto.port, modern=modern)
        assert not liar.violations


@pytest.mark.parametrize(
    ("topic_filter", "topic", "does"),
    [
        ("#", "a/b", True),
        ("#", "$SYS/a", False),
        ("+/a", "$SYS/a", False),
        ("$SYS/#", "$SYS/a", True),
        ("a/#", "a", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("+/+", "/b", True),
        ("a/+/c", "a/b/c/d", False),
        ("a/b", "a/b", True),
    ],
)
def test_wildcards_cover_what_the_standard_says(topic_filter: str, topic: str, *, does: bool):
    assert covers(topic_filter, topic) is does


async def test_a_crash_of_the_broker_itself_fails_the_test():
    def broken(received: object) -> Ack:
        raise ZeroDivisionError

    with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012 (it is raised where the block ends)
        async with Liar() as broker:
            broker.pubacks = broken
            await pub(broker.port, "-q", "1", "-t", "a", "-m", "x")
    assert caught.group_contains(ZeroDivisionError)


async def test_a_failing_test_is_told_with_its_own_exception():
    with pytest.raises(LookupError):
        async with Liar():
            raise LookupError


@pytest.fixture
async def broker() -> AsyncIterator[Liar]:
    async with Liar() as broker:
        yield broker


async def test_a_fixture_may_own_it(broker: Liar):
    assert (await pub(broker.port, "-q", "1", "-t", "a", "-m", "x")).code == 0
