"""The real broker lives, dies, freezes and comes back as a test needs it."""

from pathlib import Path

import pytest

from tests.brokers import Authority, Mosquitto
from tests.brokers.mosquitto import BrokerFailed
from tests.brokers_tests.clients import paho, pub, sub

pytestmark = pytest.mark.slow

WORD = ("-t", "a", "-m", "x", "-q", "1")


async def test_it_is_ready_at_once_and_gone_afterwards(tmp_path: Path):
    async with Mosquitto(tmp_path) as broker:
        assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
        assert (await pub(broker.port, *WORD)).code == 0
    assert not broker.running
    assert any("running" in line for line in broker.log)


async def test_it_is_killed_and_comes_back_on_the_same_port(tmp_path: Path):
    async with Mosquitto(tmp_path) as broker, paho(broker.port) as client:
        await client.connected()
        await broker.kill()
        await client.until(lambda: client.lost)
        assert (await pub(broker.port, *WORD)).code != 0
        await broker.start()
        assert (await pub(broker.port, *WORD)).code == 0
        await broker.stop()
        assert not broker.running


@pytest.mark.parametrize("persistence", [True, False])
async def test_retained_messages_survive_a_stop_only_with_persistence(tmp_path: Path, *, persistence: bool):
    async with Mosquitto(tmp_path, persistence=persistence) as broker, paho(broker.port) as client:
        await pub(broker.port, *WORD, "-r")
        await broker.stop()
        await broker.start()
        await client.connected()
        await client.subscribe("a")
        await pub(broker.port, "-t", "a", "-m", "live")
        await client.until(lambda: any(each.payload == b"live" for each in client.messages))
        assert [each.payload for each in client.messages] == ([b"x", b"live"] if persistence else [b"live"])


async def test_with_persistence_a_kill_loses_the_last_message_at_most(tmp_path: Path):
    async with Mosquitto(tmp_path, persistence=True) as broker:
        await pub(broker.port, *WORD, "-r")
        await pub(broker.port, *WORD[2:], "-t", "b")
        await broker.kill()
        await broker.start()
        assert (await sub(broker.port, "-t", "a", "-C", "1")).lines == ["x"]


async def test_a_frozen_broker_accepts_and_says_nothing(tmp_path: Path):
    async with Mosquitto(tmp_path) as broker, paho(broker.port) as client:
        await client.connected()
        broker.freeze()
        info = client.client.publish("a", "x", qos=1)
        async with paho(broker.port, client_id="other") as other:
            await other.connect()  # the kernel accepts
            assert not other.connacks
            assert not info.is_published()
            broker.thaw()
            await other.until(lambda: other.connacks)
        await client.until(lambda: client.pubacks)


async def test_a_frozen_broker_can_be_stopped_all_the_same(tmp_path: Path):
    async with Mosquitto(tmp_path) as broker:
        broker.freeze()
    assert not broker.running


async def test_tls_websockets_and_passwords(tmp_path: Path):
    authority = Authority(tmp_path / "tls")
    async with Mosquitto(tmp_path, tls=authority, users={"oslo": "secret"}, websockets=True) as broker:
        assert broker.url.startswith("mqtts://")
        assert broker.websocket_url == f"wss://127.0.0.1:{broker.websocket_port}"
        assert broker.ca_file == authority.ca_file
        trusting = (*WORD, "--cafile", str(authority.ca_file), "-u", "oslo", "-P")
        assert (await pub(broker.port, *trusting, "secret")).code == 0
        assert (await pub(broker.port, *trusting, "guess")).code != 0
        assert (await pub(broker.port, *WORD)).code != 0
        assert broker.websocket_port is not None
        async with paho(
            broker.websocket_port, transport="websockets", trusts=authority.client_context()
        ) as client:
            client.client.username_pw_set("oslo", "secret")
            await client.connected()
            assert client.connacks[0][1] == 0


async def test_receive_maximum_is_offered(tmp_path: Path):
    async with Mosquitto(tmp_path, receive_maximum=3) as broker, paho(broker.port) as client:
        await client.connected()
        assert client.connacks[0][2].ReceiveMaximum == 3


async def test_a_broker_that_does_not_start_says_why(tmp_path: Path):
    with pytest.raises(BrokerFailed, match="nonsense"):
        async with Mosquitto(tmp_path, extra="nonsense true"):
            pass
