"""One connection, and everything that the library under it would do wrong."""

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud_link import broker as module
from cloud_link.address import Address, Version
from cloud_link.broker import AddressUnusable, BrokerError, Connection, Message, connect
from tests.brokers import Ack, Authority, BadLine, Liar, Mosquitto, Offer, Way, withheld
from tests.cloud_link.listener import listening
from tests.cloud_link.stand import address, forwarding, numbers, seal, until

EVENT = Message(topic="a/b", payload=b"{}", content_type="application/cloudevents+json")


@asynccontextmanager
async def connected(to: str | Address, **more: Any) -> AsyncIterator[Connection]:  # noqa: ANN401
    there = address(to) if isinstance(to, str) else to
    async with connect(there, **more) as connection:
        yield connection


async def answers(connection: Connection, count: int) -> list[tuple[object, int]]:
    await until(lambda: len(connection.answers()) >= count)
    return list(connection.answers())


# ── what it asks for, and what it is told


async def test_it_asks_for_a_session_that_stays(tmp_path: Path):
    async with Liar() as liar, connected(liar.url):
        asked = liar.connections[0].connect
        assert asked is not None
        assert (asked.clean_start, asked.properties.session_expiry_s, asked.properties.receive_maximum) == (
            False,
            24 * 3600,
            20,
        )
        assert asked.client_id == "a1"


async def test_it_says_what_the_broker_promised():
    offer = Offer(receive_maximum=7, maximum_packet_size=9000, retain_available=False)
    async with Liar(offer=offer) as liar:
        async with connected(liar.url) as connection:
            welcome = connection.welcome
            assert (welcome.receive_maximum, welcome.maximum_packet_size) == (7, 9000)
            assert (welcome.retain_available, welcome.session_present) == (False, False)
        async with connected(liar.url) as connection:
            assert connection.welcome.session_present


async def test_mqtt_311_is_spoken_where_asked():
    async with Liar() as liar, connected(replace(address(liar.url), version=Version.V311)) as connection:
        connection.publish(replace(EVENT, retain=True, expiry_s=5), "token")
        assert await answers(connection, 1) == [("token", 0)]
        (event,) = liar.received
        assert (event.topic, event.payload, event.retain) == ("a/b", b"{}", True)


async def test_every_answer_comes_with_its_own_token_and_code():
    async with Liar() as liar, connected(liar.url) as connection:
        codes = iter([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
        liar.pubacks = lambda received: Ack(code=next(codes))
        for token in range(9):
            connection.publish(EVENT, token)
        told = await answers(connection, 9)
        assert told == list(enumerate([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]))


async def test_properties_go_along():
    async with Liar() as liar, connected(liar.url) as connection:
        connection.publish(replace(EVENT, expiry_s=180, retain=True), 1)
        (event,) = await liar.published(1)
        assert event.properties.message_expiry_s == 180
        assert event.properties.content_type == "application/cloudevents+json"
        assert event.qos == 1


@pytest.mark.parametrize("length", [0, 1, 100, 127, 128, 16_000, 16_400, 300_000])
async def test_packets_of_any_length_arrive_whole(length: int):
    async with Liar() as liar, connected(liar.url) as connection:
        payload = bytes(number % 251 for number in range(length))
        connection.publish(replace(EVENT, payload=payload, topic="å/ø"), 1)
        await answers(connection, 1)
        assert (liar.received[0].topic, liar.received[0].payload) == ("å/ø", payload)


async def test_a_bound_that_a_person_configured_counts_too():
    async with Liar() as liar, connected(replace(address(liar.url), largest_packet_bytes=1000)) as connection:
        connection.publish(replace(EVENT, payload=b"x" * 1000), "large")
        connection.publish(EVENT, "small")
        assert await answers(connection, 2) == [("large", 0x95), ("small", 0)]
        assert len(liar.received) == 1


async def test_packet_ids_are_used_again_only_when_they_are_free(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "OUR_LAST_MID", module.OUR_FIRST_MID + 4)
    async with Liar() as liar, connected(liar.url) as connection:
        liar.pubacks = lambda received: Ack(times=int(received.payload != b"slow"))
        connection.publish(replace(EVENT, payload=b"slow"), "slow")
        for token in range(20):
            connection.publish(EVENT, token)
            await answers(connection, token + 1)
        assert not liar.violations
        liar.acknowledge()
        assert (await answers(connection, 21))[-1] == ("slow", 0)


# ── the library's pathologies (B15 to B24): none comes through


async def test_b16_nothing_overtakes_and_b15_nothing_is_kept_for_the_next_connection():
    async with Liar() as liar:
        liar.pubacks = withheld
        async with connected(liar.url) as connection:
            for token in range(100):
                connection.publish(replace(EVENT, payload=str(token).encode()), token)
            await liar.published(100)
            assert [int(each.payload) for each in liar.received] == list(range(100))
            liar.cut()
            await connection.lost
        liar.pubacks = lambda received: Ack()
        async with connected(liar.url) as connection:
            connection.publish(EVENT, "new")
            assert await answers(connection, 1) == [("new", 0)]
        assert len(liar.received) == 101


async def test_b18_what_is_published_after_the_loss_is_neither_kept_nor_sent():
    async with Liar() as liar, connected(liar.url) as connection:
        liar.cut()
        await connection.lost
        connection.publish(EVENT, 1)
        assert connection.under_way == 0


async def test_b20_a_consumers_mistake_does_not_kill_a_thread_because_there_is_none():
    before = set(threading.enumerate())
    async with Liar() as liar, connected(liar.url) as connection:
        await until(lambda: {each.name for each in set(threading.enumerate()) - before} <= {"asyncio_0"})
        connection.publish(EVENT, 1)
        await answers(connection, 1)


async def test_b22_a_lost_puback_can_be_seen():
    async with Liar() as liar, connected(liar.url) as connection:
        liar.pubacks = withheld
        assert connection.oldest_unanswered_s() == 0.0
        connection.publish(EVENT, 1)
        await until(lambda: connection.oldest_unanswered_s() > 0.01)
        liar.acknowledge()
        await answers(connection, 1)
        assert connection.oldest_unanswered_s() == 0.0


async def test_b23_a_broker_that_accepts_and_says_nothing_is_given_up():
    async with Liar() as liar:
        liar.hold_connack()
        with pytest.raises(BrokerError, match="did not answer within"):
            async with connected(liar.url, within_s=0.1):
                pass
        await liar.quiet()


async def test_b23_a_name_that_is_never_found_does_not_hold_anybody_up(monkeypatch: pytest.MonkeyPatch):
    found = threading.Event()

    def never(*_: object, **__: object) -> None:
        found.wait(5)
        raise OSError("gave up")

    monkeypatch.setattr("socket.getaddrinfo", never)
    with pytest.raises(BrokerError, match="did not answer within"):
        async with connected("mqtt://nowhere.example:1883", within_s=0.05):
            pass
    found.set()


async def test_b24_a_command_is_acknowledged_when_we_say_so_and_not_before():
    woken = asyncio.Event()
    async with Liar() as liar, connected(liar.url, wake=woken.set) as connection:
        assert await connection.subscribe(["cmd/#"]) == [1]
        liar.publish("cmd/one", b"1")
        liar.publish("cmd/two", b"2")
        await until(lambda: len(connection.incoming) == 2)
        assert woken.is_set()
        assert liar.confirmed == []
        first = connection.incoming.popleft()
        assert (first.topic, first.payload) == ("cmd/one", b"1")
        connection.acknowledge(first)
        await liar.until(lambda: liar.confirmed)
        assert [each.payload for each in liar.confirmed] == [b"1"]


async def test_b24_what_was_not_acknowledged_comes_again_on_the_next_connection():
    async with Liar() as liar:
        async with connected(liar.url) as connection:
            await connection.subscribe(["cmd/#"])
            liar.publish("cmd/one", b"1")
            await until(lambda: connection.incoming)
            stale = connection.incoming.popleft()
        connection.acknowledge(stale)
        async with connected(liar.url) as connection:
            assert connection.welcome.session_present
            await until(lambda: connection.incoming)
            assert connection.incoming[0].payload == b"1"
            connection.acknowledge(connection.incoming[0])
            await liar.until(lambda: liar.confirmed)
        assert len(liar.confirmed) == 1


async def test_a_refused_subscription_is_told():
    async with Liar() as liar, connected(liar.url) as connection:
        liar.subacks = lambda topic_filter: 0x87
        assert await connection.subscribe(["cmd/#"]) == [0x87]


# ── its end


@pytest.mark.parametrize("code", [0x81, 0x8B, 0x8E, 0x97, 0x9C])
async def test_a_disconnect_says_why(code: int):
    async with Liar() as liar, connected(liar.url) as connection:
        liar.disconnect(code)
        assert (await connection.lost).code == code


@pytest.mark.parametrize("code", [0x80, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x97, 0x9C, 0x9D, 0x9F])
async def test_a_refusal_says_why(code: int):
    async with Liar() as liar:
        liar.refuse(code)
        with pytest.raises(BrokerError) as caught:
            async with connected(liar.url):
                pass
        assert caught.value.lost.code == code


@pytest.mark.parametrize("version", Version)
async def test_old_refusals_are_told_in_new_words(version: Version):
    async with Liar() as liar:
        liar.only_311(answer="old code") if version is Version.V5 else liar.refuse(0x86)
        with pytest.raises(BrokerError) as caught:
            async with connected(replace(address(liar.url), version=version)):
                pass
        assert caught.value.lost.code == (0x84 if version is Version.V5 else 0x86)


async def test_garbage_ends_the_connection_and_not_the_loop():
    async with Liar() as liar, connected(liar.url) as connection:
        liar.garbage()
        await connection.lost


async def test_a_disconnect_of_ours_is_a_clean_one():
    async with Liar() as liar:
        async with connected(liar.url, will=Message(topic="w", payload=b"dead")) as connection:
            connection.publish(EVENT, 1)
            await connection.disconnect()
        await liar.quiet()
        assert liar.connections[0].goodbye is not None
        assert [each.topic for each in liar.received] == ["a/b"]


async def test_leaving_the_block_without_a_word_lets_the_will_speak():
    async with Liar(second_s=0.001) as liar:
        heard: list[bytes] = []
        async with listening(liar.url, "w", heard):
            async with connected(liar.url, will=Message(topic="w", payload=b"dead", retain=True)):
                pass
            await until(lambda: heard == [b"dead"])


async def test_keep_alive_notices_a_line_that_is_dead():
    async with Liar() as liar, connected(replace(address(liar.url), keepalive_s=1)) as connection:
        liar.half_open()
        async with asyncio.timeout(8):
            await connection.lost


async def test_nobody_at_home_is_told_so():
    with pytest.raises(BrokerError, match="refused"):
        async with connected("mqtt://127.0.0.1:1"):
            pass


@pytest.mark.parametrize("url", ["http://a", "mqtt://", "a:1883", "mqtt://a:seven"])
async def test_a_url_that_means_nothing_is_a_persons_business(url: str):
    with pytest.raises(AddressUnusable):
        async with connected(url):
            pass


# ── TLS, passwords, websockets


async def test_tls_checks_certificate_and_name(tmp_path: Path):
    authority = Authority(tmp_path / "good")
    stranger = Authority(tmp_path / "other")
    misnamed = Authority(tmp_path / "misnamed", names=("elsewhere.example",))
    async with Liar(tls=authority) as liar:
        async with connected(replace(address(liar.url), ca_file=authority.ca_file)) as connection:
            for token in range(300):
                connection.publish(replace(EVENT, payload=b"x" * 5000), token)
            await answers(connection, 300)
        for bad in (None, stranger.ca_file):
            with pytest.raises(AddressUnusable, match="is not who it says"):
                async with connected(replace(address(liar.url), ca_file=bad)):
                    pass
    async with Liar(tls=misnamed) as liar:
        with pytest.raises(AddressUnusable, match="is not who it says"):
            async with connected(replace(address(liar.url), ca_file=misnamed.ca_file)):
                pass


async def test_files_that_cannot_be_read_are_named(tmp_path: Path):
    there = Address(url="mqtts://localhost:1", client_id="a1", ca_file=tmp_path / "none.pem")
    with pytest.raises(AddressUnusable, match="certificates"):
        async with connected(there):
            pass
    there = Address(url="mqtt://localhost:1", client_id="a1", username="u", password_file=tmp_path / "none")
    with pytest.raises(AddressUnusable, match="password file"):
        async with connected(there):
            pass


@pytest.mark.slow
async def test_a_real_broker_over_tls_websockets_and_with_a_password(tmp_path: Path):
    authority = Authority(tmp_path / "ca")
    (tmp_path / "password").write_text("s3cret\n")
    async with Mosquitto(
        tmp_path / "broker", tls=authority, users={"roomd": "s3cret"}, websockets=True
    ) as broker:
        for url in (broker.url, broker.websocket_url):
            there = Address(
                url=url,
                client_id="a1",
                ca_file=authority.ca_file,
                username="roomd",
                password_file=tmp_path / "password",
            )
            async with connected(there) as connection:
                for token in range(50):
                    connection.publish(replace(EVENT, payload=b"x" * 20_000), token)
                assert [code for _, code in await answers(connection, 50)] == [0x10] * 50
            (tmp_path / "wrong").write_text("wrong")
            with pytest.raises(BrokerError) as caught:
                async with connected(replace(there, password_file=tmp_path / "wrong")):
                    pass
            assert caught.value.lost.code in {0x86, 0x87}


@pytest.mark.slow
async def test_a_websocket_that_takes_half_a_packet_loses_nothing(tmp_path: Path):
    """Paho forgets the packet of which its websocket could send only a part."""
    async with Mosquitto(tmp_path / "broker", websockets=True) as broker:
        assert broker.websocket_port is not None
        heard: list[bytes] = []
        async with BadLine(broker.websocket_port) as line, listening(broker.url, "a/#", heard):
            async with connected(f"ws://127.0.0.1:{line.port}") as connection:
                line.bytes_per_s = 2_000_000
                for token in range(20):
                    payload = json.dumps({"token": token, "body": "x" * 100_000}).encode()
                    connection.publish(replace(EVENT, payload=payload), token)
                assert len(await answers(connection, 20)) == 20
            await until(lambda: len(heard) == 20)
            assert [json.loads(each)["token"] for each in heard] == list(range(20))
            assert line.carried[Way.UP] > 2_000_000


@pytest.mark.slow
async def test_events_by_websocket_keep_their_order_over_cuts(tmp_path: Path):
    async with Mosquitto(tmp_path / "broker", websockets=True) as broker:
        assert broker.websocket_port is not None
        heard: list[bytes] = []
        async with BadLine(broker.websocket_port) as line, listening(broker.url, "#", heard):
            async with forwarding(tmp_path / "state", f"ws://127.0.0.1:{line.port}/mqtt") as stand:
                for _ in range(10):
                    await stand.post([seal("rooms/fjord") for _ in range(5)])
                    line.cut()
                await stand.settled()
            await until(lambda: set(numbers(heard, "rooms/fjord")) == set(range(1, 51)))
        assert list(dict.fromkeys(numbers(heard, "rooms/fjord"))) == list(range(1, 51))


async def test_no_secret_is_in_what_an_address_shows(tmp_path: Path):
    (tmp_path / "password").write_text("s3cret")
    there = Address(url="mqtt://a", client_id="a1", username="u", password_file=tmp_path / "password")
    assert "s3cret" not in repr(there)
    assert ssl.create_default_context().check_hostname
