"""The best line that a device offers, another while that one fails, and back again: on simulated devices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
import structlog

from agent.core.events import (
    BookingFailed,
    BookingRequested,
    BookingsListed,
    DeviceConnected,
    DeviceLost,
    DeviceRefused,
    PeopleCounted,
)
from agent.core.model import Credential, Device, DeviceId, RoomId, Transport, Trust
from device_adapters.conversation import Conversation
from device_adapters.errors import (
    CertificateRefused,
    DeviceBooting,
    DeviceBusy,
    DeviceUnreachable,
    PasswordRefused,
    ServiceOff,
)
from device_adapters.fleet import Fleet
from device_adapters.http import Http
from device_adapters.lifecycle import Rest
from device_adapters.lines import Lines
from device_adapters.link import LinkPace
from device_adapters.ssh import Shells
from device_adapters.websocket import WebSockets
from tests.device_adapters.stage import (
    IMPATIENT,
    SILENCE,
    SYSTEM_UNIT,
    Ear,
    Scripted,
    configured,
    door,
    scripted,
)
from tests.simulator.bookings import Answer
from tests.simulator.device import Device as Simulated
from tests.simulator.site import Site

pytestmark = pytest.mark.slow

SOON = Rest(first_s=0.05, longest_s=0.05)
NEVER = Rest(first_s=3600.0, longest_s=3600.0)
ONCE = Rest(first_s=0.05, longest_s=3600.0, factor=1e6)  # and not again while a test runs
IMPATIENT_LINK = LinkPace(answer_within_s=1.0)


def lines(look_again: Rest = NEVER, *, boots_within_s: float = 3600.0) -> Lines:
    return Lines(
        {
            Transport.WEBSOCKET: WebSockets(),
            Transport.SSH: Shells(),
            Transport.HTTP: Http(poll_every_s=0.2),
        },
        look_again=look_again,
        look_within_s=0.5,
        boots_within_s=boots_within_s,
    )


@pytest.fixture
async def simulated() -> AsyncIterator[Simulated]:
    async with Site(rooms=1, profile="26.4.1", address_base="127.0.0.1") as site:
        yield site.devices[0]


def reached_by(simulated: Simulated, tmp_path, *transports: Transport, host_key: bool = True) -> Device:
    device = configured(simulated, tmp_path)
    trust = replace(device.trust, host_key=simulated.host_key if host_key else None)
    return replace(
        device, trust=trust, ssh_port=simulated.ssh_port, transports=transports or tuple(Transport)
    )


@asynccontextmanager
async def heard(device: Device, dial: Lines, pace: LinkPace | None = None) -> AsyncIterator[Ear]:
    ear = Ear()
    fleet = Fleet([device], ear.deliver, dial=dial, luck=lambda: 0.5, patience=IMPATIENT, pace=pace)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run(), name="fleet")
        yield ear
        running.cancel()


async def connected(ear: Ear, times: int = 1) -> DeviceConnected:
    await ear.until(lambda: len(ear.of(DeviceConnected)) >= times)
    return ear.of(DeviceConnected)[times - 1]


@pytest.mark.parametrize(
    ("offered", "transport"),
    [
        ({"websocket": True, "ssh": True, "http": True}, "websocket"),
        ({"websocket": False, "ssh": True, "http": True}, "ssh"),
        ({"websocket": False, "ssh": False, "http": True}, "http"),
        ({"websocket": False, "ssh": True, "http": False}, "ssh"),
    ],
)
async def test_the_best_line_that_is_offered_is_taken(simulated, tmp_path, offered, transport):
    simulated.offer(**offered)
    async with heard(reached_by(simulated, tmp_path), lines()) as ear:
        event = await connected(ear)
        assert event.transport == transport
        if transport == "websocket":
            assert event.transport_why is None
        else:
            assert event.transport_why is not None
            assert event.transport_why.startswith("websocket: ")


async def test_without_a_host_key_ssh_is_not_tried(simulated, tmp_path):
    simulated.offer(websocket=False, ssh=True, http=True)
    async with heard(reached_by(simulated, tmp_path, host_key=False), lines()) as ear:
        assert (await connected(ear)).transport == "http"


async def test_only_the_configured_line_is_tried(simulated, tmp_path):
    async with lines()(reached_by(simulated, tmp_path, Transport.SSH), nullcontext()) as line:
        assert (line.transport, line.why) == ("ssh", None)
    with pytest.raises(CertificateRefused, match="host_key"):
        async with lines()(reached_by(simulated, tmp_path, Transport.SSH, host_key=False), nullcontext()):
            pass


async def test_a_line_that_breaks_is_replaced_and_nothing_is_missed(simulated, tmp_path):
    async with heard(reached_by(simulated, tmp_path), lines()) as ear:
        assert (await connected(ear)).transport == "websocket"
        simulated.offer(websocket=False, ssh=True, http=True)
        await ear.until(lambda: ear.of(DeviceLost))
        assert (await connected(ear, 2)).transport == "ssh"
        await ear.until(lambda: len(ear.of(BookingsListed)) >= 2)


async def test_it_comes_back_to_the_better_line_without_losing_the_room(simulated, tmp_path):
    simulated.offer(websocket=False, ssh=True, http=True)
    with structlog.testing.capture_logs() as logs:
        async with heard(reached_by(simulated, tmp_path), lines(SOON)) as ear:
            assert (await connected(ear)).transport == "ssh"
            simulated.offer(websocket=True, ssh=True, http=True)
            assert (await connected(ear, 2)).transport == "websocket"
            assert not ear.of(DeviceLost)
            assert not ear.of(DeviceRefused)
    assert [one["transport"] for one in logs if one["event"] == "device.line_changed"] == ["websocket"]


async def test_the_line_that_worked_is_tried_first(simulated, tmp_path):
    dial, device = lines(), reached_by(simulated, tmp_path)
    simulated.offer(websocket=False, ssh=True, http=True)
    async with dial(device, nullcontext()) as line:
        assert line.transport == "ssh"
    simulated.offer(websocket=True, ssh=True, http=True)
    async with dial(device, nullcontext()) as line:
        assert line.transport == "ssh"
        assert line.why is not None
    dial.forget(device.id)
    async with dial(device, nullcontext()) as line:
        assert (line.transport, line.why) == ("websocket", None)


async def test_a_refused_password_is_not_shown_on_other_lines(simulated, tmp_path):
    device = reached_by(simulated, tmp_path)
    device.credential.password_file.write_text("wrong", encoding="utf-8")
    before = simulated.failed_logins
    with pytest.raises(PasswordRefused):
        async with lines()(device, nullcontext()):
            pass
    assert simulated.failed_logins - before <= 2  # both ways of showing it over WebSocket


async def test_if_no_line_stands_each_says_why(simulated, tmp_path):
    simulated.offer(websocket=False, ssh=False, http=False)
    with pytest.raises((DeviceUnreachable, ServiceOff)) as refused:
        async with lines()(reached_by(simulated, tmp_path), nullcontext()):
            pass
    for transport in (Transport.WEBSOCKET, Transport.SSH, Transport.HTTP):
        assert f"{transport}: " in str(refused.value)
    assert "nobody listens at its HTTPS port" in str(refused.value)
    assert "Errno" not in str(refused.value)


async def test_another_certificate_does_not_stop_a_known_host_key(simulated, tmp_path):
    device = reached_by(simulated, tmp_path)
    device = replace(device, trust=replace(device.trust, fingerprint=f"sha256:{'0' * 64}"))
    async with lines()(device, nullcontext()) as line:
        assert line.transport == "ssh"
        assert "fingerprint" in (line.why or "")
    nothing = replace(device, trust=Trust(fingerprint=f"sha256:{'0' * 64}"))
    with pytest.raises(CertificateRefused):
        async with lines()(nothing, nullcontext()):
            pass


# ── lines that stand and cannot be used ──


def with_web_of(web: Scripted, simulated: Simulated, tmp_path: Path) -> Device:
    """A device whose WebSocket and HTTP are the scripted one's, and whose shell is the simulated one's."""
    device = web.configured(tmp_path, trust=None)
    device.credential.password_file.write_text(simulated.password, encoding="utf-8")
    return replace(
        device,
        host=simulated.host,
        credential=replace(device.credential, username=simulated.user),
        trust=replace(device.trust, host_key=simulated.host_key),
        ssh_port=simulated.ssh_port,
        transports=tuple(Transport),
    )


async def until(happened: Callable[[], object], within_s: float = 10.0) -> None:
    """Waits for something that nobody delivers."""
    async with asyncio.timeout(within_s):
        while not happened():  # noqa: ASYNC110 -- what a server counts
            await asyncio.sleep(0.01)


async def test_a_line_that_opens_and_never_answers_is_left_for_one_that_does(simulated, tmp_path):
    async with scripted() as mute:
        mute.script["xGet Status SystemUnit"] = SILENCE
        device = with_web_of(mute, simulated, tmp_path)
        async with heard(device, lines(SOON), IMPATIENT_LINK) as ear:
            event = await connected(ear)
            assert event.transport == "ssh"
            assert (event.transport_why or "").startswith("websocket: no answer")
            # it is looked at again and again, and the line that works is kept and heard
            request = simulated.request_booking("Ad hoc", answer=Answer(outcome="by_hand"))
            await ear.until_heard(BookingRequested)
            looked = mute.connections
            await until(lambda: mute.connections >= looked + 2)
            simulated.fail(request)
            await ear.until_heard(BookingFailed)
            assert len(ear.of(DeviceConnected)) == 1
            assert len(ear.of(DeviceLost)) == 1  # the first conversation, which had no answer
            # and it is taken when it answers
            mute.script["xGet Status SystemUnit"] = SYSTEM_UNIT
            assert (await connected(ear, 2)).transport == "websocket"
            assert len(ear.of(DeviceLost)) == 1


async def test_a_look_that_found_nothing_is_remembered_when_the_line_breaks(simulated, tmp_path):
    async with scripted() as mute:
        mute.script["xGet Status SystemUnit"] = SILENCE
        device = with_web_of(mute, simulated, tmp_path)
        async with heard(device, lines(ONCE), IMPATIENT_LINK) as ear:
            await connected(ear)
            await until(lambda: mute.connections == 2)  # dialled, and looked at once
            for times in (2, 3):
                simulated.cut(service="ssh")
                assert (await connected(ear, times)).transport == "ssh"
                simulated.count_people(times)
                await ear.until_heard(PeopleCounted, times - 1)
            assert mute.connections == 2
            assert len(ear.of(DeviceLost)) == 3


async def test_a_line_that_worked_and_broke_leads_back_to_the_best(simulated, tmp_path):
    simulated.offer(websocket=False, ssh=True, http=True)
    async with heard(reached_by(simulated, tmp_path), lines()) as ear:
        assert (await connected(ear)).transport == "ssh"
        simulated.offer(websocket=True, ssh=True, http=True)
        simulated.cut(service="ssh")
        assert (await connected(ear, 2)).transport == "websocket"


def http(status: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} So", "Content-Length: 0", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    ("begins", "reads", "why"),
    [
        (http(204, "Set-Cookie: SessionId=1"), http(403), "may not read"),
        (http(403), http(403), "403"),
        (http(404), http(404), "no xAPI over HTTP"),
    ],
)
async def test_a_session_in_which_nothing_may_be_read_is_not_kept(tmp_path, begins, reads, why):
    def answers() -> Iterator[bytes]:
        while True:
            asked = met.received[-1].split(b"\r\n")[0]
            if b" /ws " in asked:
                yield http(503)
            elif b"/session/begin" in asked:
                yield begins
            else:
                yield reads if b"/getxml" in asked else http(204)

    def asked_for(path: bytes) -> int:
        return sum(b" " + path in each.split(b"\r\n")[0] for each in met.received)

    async with door(answers()) as (met, behind):
        device = replace(
            behind.configured(tmp_path), transports=(Transport.WEBSOCKET, Transport.HTTP), ssh_port=1
        )
        async with heard(device, lines(), IMPATIENT_LINK) as ear:
            await until(lambda: asked_for(b"/xmlapi/session/begin") >= 4)
            assert asked_for(b"/ws") >= 3
            lost = ear.of(DeviceLost)[0].why
            assert lost.startswith("websocket: too many connections")
            assert "; http: " in lost
            assert why in lost
            assert not ear.of(DeviceConnected)


async def test_where_only_http_is_left_its_role_is_what_is_told(tmp_path):
    def answers() -> Iterator[bytes]:
        while True:
            asked = met.received[-1].split(b"\r\n")[0]
            if b"/session/begin" in asked:
                yield http(204, "Set-Cookie: SessionId=1")
            else:
                yield http(404) if b" /ws " in asked else http(403)

    async with door(answers()) as (met, behind):
        device = replace(behind.configured(tmp_path), transports=(Transport.WEBSOCKET, Transport.HTTP))
        async with heard(device, lines(), IMPATIENT_LINK) as ear:
            refused = await ear.until_heard(DeviceRefused)
            assert "the role Admin" in refused.why
            assert "websocket: no WebSocket service" in refused.why


async def test_a_password_that_only_the_better_line_refuses_stops_nothing(simulated, tmp_path):
    def answers() -> Iterator[bytes]:
        yield http(404)
        while True:
            yield http(403)

    async with door(answers()) as (met, behind):
        device = replace(
            with_web_of(behind, simulated, tmp_path), transports=(Transport.WEBSOCKET, Transport.SSH)
        )
        async with heard(device, lines(SOON)) as ear:
            assert (await connected(ear)).transport == "ssh"
            await until(lambda: len(met.received) == 3)  # both ways of showing it
            simulated.cut(service="ssh")
            assert (await connected(ear, 2)).transport == "ssh"
            simulated.lack("Status SystemUnit")
            simulated.cut(service="ssh")
            told = (await ear.until_heard(DeviceLost, 3)).why
            assert told.startswith("websocket: it does not let")
            assert "; ssh: no room device" in told
            assert not ear.of(DeviceRefused)


async def test_a_line_that_worked_is_given_another_chance(simulated, tmp_path):
    async with scripted() as web:
        device = with_web_of(web, simulated, tmp_path)
        async with heard(device, lines(), IMPATIENT_LINK) as ear:
            await connected(ear)
            web.script["xGet Status SystemUnit"] = SILENCE
            assert web.connection is not None
            await web.connection.close()
            await web.until_called("xGet Status SystemUnit", 2)
            web.script["xGet Status SystemUnit"] = SYSTEM_UNIT
            assert (await connected(ear, 2)).transport == "websocket"


async def test_a_device_that_is_never_ready_on_one_line_is_heard_on_another(simulated, tmp_path):
    def never() -> Iterator[bytes]:
        while True:
            yield http(500)

    async with door(never()) as (_, behind):
        device = with_web_of(behind, simulated, tmp_path)
        with pytest.raises(DeviceBooting):  # it may just be starting
            async with lines()(device, nullcontext()):
                pass
        async with heard(device, lines(boots_within_s=0.1)) as ear:
            event = await connected(ear)
            assert event.transport == "ssh"
            assert event.transport_why == "websocket: it is not ready (HTTP 500)"
            assert len(ear.of(DeviceLost)) == 1


# ── what comes while a better line is looked for ──


class Meanwhile:
    """WebSockets, and something that happens at the device while one opens."""

    def __init__(self) -> None:
        self.happens: Callable[[], object] = lambda: None
        self._dial = WebSockets()

    def forget(self, device: DeviceId) -> None:
        self._dial.forget(device)

    @asynccontextmanager
    async def __call__(
        self, device: Device, door: AbstractAsyncContextManager[object]
    ) -> AsyncIterator[Conversation]:
        async with self._dial(device, door) as line:
            self.happens()
            yield line


async def test_what_comes_while_a_better_line_is_found_is_heard(simulated, tmp_path):
    meanwhile = Meanwhile()
    dial = Lines({Transport.WEBSOCKET: meanwhile, Transport.SSH: Shells()}, look_again=SOON)
    simulated.offer(websocket=False, ssh=True, http=True)
    device = reached_by(simulated, tmp_path, Transport.WEBSOCKET, Transport.SSH)
    async with heard(device, dial) as ear:
        assert (await connected(ear)).transport == "ssh"
        request = simulated.request_booking("Ad hoc", answer=Answer(outcome="by_hand"))
        await ear.until_heard(BookingRequested)
        requests = [request]
        meanwhile.happens = lambda: simulated.fail(requests.pop()) if requests else None
        simulated.offer(websocket=True, ssh=True, http=True)
        assert (await connected(ear, 2)).transport == "websocket"
        assert len(ear.of(BookingFailed)) == 1
        assert not ear.of(DeviceLost)


# ── a password that is right, and no room ──


@asynccontextmanager
async def crowded(
    tmp_path: Path, says: Callable[[asyncssh.SSHServerConnection], object]
) -> AsyncIterator[Device]:
    """A device that takes the password over SSH and then has no session left."""
    file = tmp_path / "password"
    file.write_text("secret", encoding="utf-8")
    key = asyncssh.generate_private_key("ssh-ed25519")

    class Guest(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            self.connection = conn

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return True

        def session_requested(self) -> bool:
            says(self.connection)
            return False

    async with await asyncssh.create_server(Guest, "127.0.0.1", 0, server_host_keys=[key]) as listening:
        yield Device(
            id=DeviceId("crowded"),
            room=RoomId("crowded"),
            host="127.0.0.1",
            port=1,
            ssh_port=listening.get_port(),
            credential=Credential(username="roomd", password_file=file),
            trust=Trust(host_key=key.get_fingerprint()),
            transports=(Transport.SSH,),
        )


@pytest.mark.parametrize(
    "says",
    [
        lambda _: None,
        lambda connection: connection.disconnect(asyncssh.DISC_BY_APPLICATION, "Too many sessions"),
        lambda connection: connection.disconnect(asyncssh.DISC_TOO_MANY_CONNECTIONS, "Full"),
        lambda connection: connection.abort(),
    ],
)
async def test_a_password_that_was_taken_and_no_session_is_a_busy_device(tmp_path, says):
    async with crowded(tmp_path, says) as device:
        with pytest.raises(DeviceBusy):
            async with lines()(device, nullcontext()):
                pass
