"""The WebSocket line, against real sockets."""

import asyncio
import base64
import contextlib
import hashlib
import itertools
import logging
import ssl
import traceback

import pytest
import trustme
import uvloop

from agent.core.model import Trust
from device_adapters.errors import (
    CertificateRefused,
    DeviceBooting,
    DeviceBusy,
    DeviceError,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PasswordRefused,
    ServiceOff,
)
from device_adapters.trust import Contexts
from device_adapters.websocket import LinePace, WebSockets
from device_adapters.xapi.messages import Feedback, Reply
from device_adapters.xapi.requests import UPTIME, get
from tests.device_adapters.stage import configured, door, scripted
from tests.simulator import Site

pytestmark = pytest.mark.slow

LOGIN = b"roomd:secret"
BEARER = base64.urlsafe_b64encode(LOGIN).rstrip(b"=")
BASIC = base64.b64encode(LOGIN)
FOREVER = float("inf")


def http(status: int, text: str = "", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} {text}", "Content-Length: 0"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


async def dialled(device, dial=None):
    """Dial, ask for the uptime, and give the answer."""
    async with (dial or WebSockets())(device, contextlib.AsyncExitStack()) as line:
        asked = line.send(get(UPTIME))
        (reply,) = await line.hear(FOREVER)
        assert isinstance(reply, Reply)
        assert reply.id == asked
        return reply.result


async def refused(device, dial=None) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        await dialled(device, dial)
    return caught.value


async def test_a_device_answers_over_tls(tmp_path):
    async with Site() as site:
        assert await dialled(configured(site.devices[0], tmp_path)) == site.devices[0].uptime_s


def test_it_works_on_uvloop_as_well(tmp_path):
    async def story() -> None:
        async with scripted() as device:
            assert await dialled(device.configured(tmp_path)) == 1000
            wrong = device.configured(tmp_path, trust=Trust(fingerprint="sha256:" + "0" * 64))
            assert isinstance(await refused(wrong), CertificateRefused)

    uvloop.run(story())


# ── trust ──


async def test_nothing_is_sent_to_a_device_with_another_fingerprint(tmp_path):
    async with door(itertools.repeat(http(403))) as (met, device):
        wrong = device.configured(tmp_path, trust=Trust(fingerprint="sha256:" + "0" * 64))
        error = await refused(wrong)
        assert isinstance(error, CertificateRefused)
        assert hashlib.sha256(device.certificate).hexdigest() in str(error)
        await met.came.wait()
        await met.empty.wait()
        assert met.received == []
        assert isinstance(await refused(device.configured(tmp_path)), PasswordRefused)
        assert met.received != []


async def test_a_fingerprint_may_be_written_with_colons_and_capitals(tmp_path):
    async with scripted() as device:
        digits = hashlib.sha256(device.certificate).hexdigest().upper()
        colons = ":".join(itertools.chain.from_iterable(zip(digits[::2], digits[1::2], strict=True)))
        for written in (digits, f"SHA256:{digits}", f"sha256:{colons}"):
            pinned = device.configured(tmp_path, trust=Trust(fingerprint=written.replace("SHA256", "sha256")))
            assert await dialled(pinned) == 1000


async def test_an_authority_vouches_for_its_devices_and_no_others(tmp_path):
    async with Site() as site:
        ca_file = tmp_path / "ca.pem"
        ca_file.write_bytes(site.authority.pem)
        trust = Trust(ca_file=ca_file)
        assert await dialled(configured(site.devices[0], tmp_path, trust=trust)) > 0
        async with scripted() as stranger:
            error = await refused(stranger.configured(tmp_path, trust=trust))
            assert isinstance(error, CertificateRefused)
            assert await dialled(stranger.configured(tmp_path, trust=Trust(unverified=True))) == 1000


async def test_a_certificate_for_another_name_is_not_believed(tmp_path):
    async with door(itertools.repeat(http(403))) as (met, _), scripted() as device:
        authority = trustme.CA()
        ca_file = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("codec.example.com").configure_cert(context)
        async with await asyncio.start_server(met.meet, "127.0.0.1", 0, ssl=context) as server:
            device.port = server.sockets[0].getsockname()[1]
            error = await refused(device.configured(tmp_path, trust=Trust(ca_file=ca_file)))
        assert isinstance(error, CertificateRefused)
        assert "127.0.0.1" in str(error)
        assert met.received == []


async def test_an_authority_that_cannot_be_read_is_a_refusal_and_no_crash(tmp_path):
    async with scripted() as device:
        error = await refused(device.configured(tmp_path, trust=Trust(ca_file=tmp_path / "none.pem")))
        assert isinstance(error, CertificateRefused)
        assert "none.pem" in str(error)


def test_devices_with_the_same_trust_share_one_context(tmp_path):
    contexts = Contexts()
    pinned = [contexts.context(Trust(fingerprint=f"sha256:{n:064x}")) for n in range(3)]
    assert len(set(map(id, pinned))) == 1
    assert contexts.context(Trust()) is not pinned[0]
    assert contexts.context(Trust()).check_hostname


# ── the password ──


async def test_the_password_is_shown_in_the_subprotocol_first(tmp_path):
    async with door(itertools.repeat(http(403))) as (met, device):
        error = await refused(device.configured(tmp_path))
        assert isinstance(error, PasswordRefused)
        assert error.logins == 2
        first, second = met.received
        assert b"Sec-WebSocket-Protocol: auth-" + BEARER + b"\r\n" in first
        assert b"Authorization" not in first
        assert b"Authorization: Basic " + BASIC + b"\r\n" in second
        assert b"Sec-WebSocket-Protocol" not in second


async def test_a_device_that_takes_no_subprotocol_is_shown_the_password_in_a_header(tmp_path):
    async with scripted(basic_only=True) as old:
        device, dial = old.configured(tmp_path), WebSockets()
        assert await dialled(device, dial) == 1000
        assert await dialled(device, dial) == 1000
        assert old.visits == 3  # the second time it was known what it takes


async def test_the_way_that_worked_is_the_only_one_tried_again(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        device, dial = configured(simulated, tmp_path), WebSockets()
        await dialled(device, dial)
        device.credential.password_file.write_text("wrong", encoding="utf-8")
        error = await refused(device, dial)
        assert isinstance(error, PasswordRefused)
        assert (error.logins, simulated.failed_logins) == (1, 1)


async def test_an_answer_without_the_subprotocol_is_followed_by_a_header(tmp_path):
    def silent_upgrade():
        while True:
            key = met.received[-1].split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key + guid).digest()).decode()
            if b"Authorization" in met.received[-1]:
                yield http(401)
            else:
                yield http(
                    101, "Switching", Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Accept=accept
                )

    async with door(silent_upgrade()) as (met, device):
        error = await refused(device.configured(tmp_path))
        assert isinstance(error, PasswordRefused)
        assert error.logins == 1
        assert b"Authorization: Basic " + BASIC in met.received[1]


async def test_a_password_file_that_is_not_there_is_told_and_costs_no_login(tmp_path):
    async with scripted() as device:
        found = device.configured(tmp_path)
        found.credential.password_file.unlink()
        error = await refused(found)
        assert isinstance(error, PasswordRefused)
        assert error.logins == 0
        assert device.connections == 0


async def test_the_password_is_in_no_log(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with Site() as site:
        device = configured(site.devices[0], tmp_path)
        await dialled(device)
        device.credential.password_file.write_text("wrong-secret", encoding="utf-8")
        error = await refused(device)
    for secret in (site.devices[0].password, "wrong-secret"):
        for written in (secret, base64.b64encode(f"roomd:{secret}".encode()).decode().rstrip("=")):
            assert written not in caplog.text
            assert written not in str(error)


def upgraded(request: bytes, *subprotocols: str) -> bytes:
    """An upgrade that is right but for these subprotocols."""
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    lines = ["HTTP/1.1 101 Switching", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [
        f"Sec-WebSocket-Accept: {accept}",
        *(f"Sec-WebSocket-Protocol: {each}" for each in subprotocols),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


SHOWN = f"auth-{BEARER.decode()}"


@pytest.mark.parametrize(
    "echoed",
    [
        (f"{SHOWN}==",),
        (SHOWN, SHOWN),
        (f"{SHOWN}, {SHOWN}",),
        (f"{SHOWN}, {SHOWN}==",),
        (f'"{SHOWN}',),
        (f"{SHOWN};",),
    ],
)
async def test_an_echo_that_is_not_ours_is_told_without_the_password_in_it(tmp_path, echoed):
    def answers():
        while True:
            yield upgraded(met.received[-1], *echoed)

    async with door(answers()) as (met, device):
        error = await refused(device.configured(tmp_path))
    assert isinstance(error, DeviceTalksNonsense)
    assert "Sec-WebSocket-Protocol" in str(error)
    told = "".join(traceback.format_exception(error))
    for secret in (BEARER.decode(), BASIC.decode(), BEARER.decode()[:8]):
        assert secret not in str(error)
        assert secret not in told


# ── what goes wrong ──


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(401), PasswordRefused),
        (http(403), PasswordRefused),
        (http(404), ServiceOff),
        (http(426), ServiceOff),
        (http(500), DeviceBooting),
        (http(502), DeviceBooting),
        (http(503), DeviceBusy),
        (http(200), DeviceTalksNonsense),
        (http(301, Location="/elsewhere"), DeviceTalksNonsense),
        (http(101), DeviceTalksNonsense),
        (b"220 printer ready\r\n\r\n", DeviceTalksNonsense),
    ],
)
async def test_what_the_door_answers_says_what_to_do(tmp_path, answer, kind):
    async with door(itertools.repeat(answer)) as (_, device):
        assert type(await refused(device.configured(tmp_path))) is kind


async def test_nobody_at_the_port_is_an_unreachable_device(tmp_path):
    async with scripted() as device:
        found = device.configured(tmp_path)
    assert isinstance(await refused(found), DeviceUnreachable)


async def test_a_server_without_tls_is_no_room_device(tmp_path):
    async with door(itertools.repeat(http(200)), tls=False) as (met, device):
        error = await refused(device.configured(tmp_path), WebSockets(pace=LinePace(greet_within_s=0.5)))
        assert isinstance(error, DeviceTalksNonsense | DeviceUnreachable)
        assert not any(BASIC in request or BEARER in request for request in met.received)


async def test_a_server_that_never_answers_the_upgrade_is_given_up(tmp_path):
    async with door(itertools.repeat(b"")) as (_, device):
        error = await refused(device.configured(tmp_path), WebSockets(pace=LinePace(greet_within_s=0.1)))
        assert isinstance(error, DeviceUnreachable)


async def test_a_device_that_falls_silent_is_pinged_and_given_up(tmp_path):
    async with Site() as site:
        device = configured(site.devices[0], tmp_path)
        dial = WebSockets(pace=LinePace(ping_after_s=0.05, pong_within_s=0.1, close_within_s=0.05))
        async with asyncio.timeout(5):
            with pytest.raises(DeviceUnreachable, match="silent"):
                await heard_nothing(site.devices[0], device, dial)


async def heard_nothing(simulated, device, dial):
    async with dial(device, contextlib.AsyncExitStack()) as line:
        simulated.hold_open()
        await line.hear(FOREVER)


async def test_a_device_that_answers_pings_is_not_given_up(tmp_path):
    async with Site() as site:
        device = configured(site.devices[0], tmp_path)
        dial = WebSockets(pace=LinePace(ping_after_s=0.02, pong_within_s=0.1))
        async with dial(device, contextlib.AsyncExitStack()) as line:
            until = asyncio.get_running_loop().time() + 0.5
            assert await line.hear(until) == ()


async def test_frames_that_wait_are_heard_together_and_in_order(tmp_path):
    async with (
        scripted() as device,
        WebSockets()(device.configured(tmp_path), contextlib.AsyncExitStack()) as line,
    ):
        line.send(get(UPTIME))
        heard = list(await line.hear(FOREVER))
        for number in range(20):
            await device.tell(Status={"Number": number})
        while len(heard) < 21:
            heard.extend(await line.hear(FOREVER))
        assert [message.tree["Status"] for message in heard if isinstance(message, Feedback)] == [
            {"Number": number} for number in range(20)
        ]


async def test_a_message_in_fragments_is_one_message(tmp_path):
    async with (
        scripted() as device,
        WebSockets()(device.configured(tmp_path), contextlib.AsyncExitStack()) as line,
    ):
        line.send(get(UPTIME))
        await line.hear(FOREVER)
        assert device.connection is not None
        frame = '{"jsonrpc":"2.0","method":"xFeedback/Event","params":{"Id":1,"Status":{"Title":"Übung"}}}'
        await device.connection.send([frame[:40], frame[40:77], frame[77:]])
        (message,) = await line.hear(FOREVER)
        assert message == Feedback({"Id": 1, "Status": {"Title": "Übung"}})


async def test_the_device_waits_while_nobody_hears(tmp_path):
    async with (
        scripted() as device,
        WebSockets()(device.configured(tmp_path), contextlib.AsyncExitStack()) as line,
    ):
        line.send(get(UPTIME))
        await line.hear(FOREVER)
        told = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while told < 50_000:
                    await device.tell(Status={"Padding": "x" * 1000})
                    told += 1
        assert told < 50_000  # TCP told the device to wait
        heard = 0
        while heard < told:
            heard += len(await line.hear(FOREVER))
        assert await dialled_again(line) == 1000


async def dialled_again(line):
    asked = line.send(get(UPTIME))
    while True:
        for message in await line.hear(FOREVER):
            if isinstance(message, Reply) and message.id == asked:
                return message.result


@pytest.mark.parametrize(
    ("nonsense", "why", "code"),
    [
        ("*r Login successful\r\nOK", "not JSON-RPC", 1007),
        (b"\x00\x01", "a binary frame", 1007),
        ("x" * (5 * 1024 * 1024), "more than 4 MiB", 1009),
    ],
)
async def test_what_came_before_a_bad_frame_is_heard(tmp_path, nonsense, why, code):
    async with scripted() as device:
        with pytest.raises(DeviceTalksNonsense, match=why):
            await heard_to_the_end(device, tmp_path, nonsense)
        assert device.connection is not None
        await device.connection.wait_closed()
        assert device.connection.close_code == code


async def heard_to_the_end(device, tmp_path, nonsense):
    async with WebSockets()(device.configured(tmp_path), contextlib.AsyncExitStack()) as line:
        line.send(get(UPTIME))
        await line.hear(FOREVER)
        await device.tell(Status={})
        await device.say(nonsense)
        assert list(await line.hear(FOREVER)) == [Feedback({"Id": 1, "Status": {}})]
        await line.hear(FOREVER)
