"""The SSH line, against real servers: the simulated site's, and small ones for what no device does."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import uvloop

from agent.core.events import (
    BookingRequested,
    BookingsListed,
    BookingsTouched,
    CurrentValuesRead,
    DeviceConnected,
    DeviceLost,
    PeopleCounted,
)
from agent.core.model import Credential, Device, DeviceId, RoomId, Trust
from device_adapters.errors import (
    DeviceError,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PasswordRefused,
)
from device_adapters.fleet import Fleet
from device_adapters.ssh import ShellPace, Shells, SshOff
from device_adapters.trust import HostKeyRefused
from device_adapters.xapi.messages import NOT_READY, TOO_MANY_SUBSCRIPTIONS, Call, Feedback, Refusal, Reply
from device_adapters.xapi.requests import SUBSCRIPTIONS, UPTIME, get, list_bookings, subscribe
from device_adapters.xapi.translate import Translator
from tests.device_adapters.stage import IMPATIENT, Ear
from tests.simulator import Device as Simulated
from tests.simulator import Site
from tests.simulator.firmware import ALL_VERSIONS

pytestmark = pytest.mark.slow

FOREVER = float("inf")
PEOPLE = ("Status", "RoomAnalytics", "PeopleCount")
OTHER_KEY = asyncssh.generate_private_key("ssh-ed25519")
IMPATIENT_LINE = ShellPace(ping_after_s=0.2, close_within_s=0.2)


def configured(device: Simulated, directory: Path, trust: Trust | None = None) -> Device:
    """A simulated device as the settings would have it, with its host key pinned."""
    file = directory / f"password-{device.room}"
    file.write_text(f"{device.password}\n", encoding="utf-8")
    return Device(
        id=DeviceId(device.room),
        room=RoomId(device.room),
        host=device.host,
        port=device.port,
        ssh_port=device.ssh_port,
        credential=Credential(username=device.user, password_file=file),
        trust=trust or Trust(host_key=device.host_key),
    )


def standing(device: Device, dial: Shells | None = None):
    return (dial or Shells())(device, contextlib.AsyncExitStack())


async def answer(line, call: Call) -> Any:  # noqa: ANN401 - any JSON
    """Asks, and passes over what else is heard."""
    asked = line.send(call)
    while True:
        for message in await line.hear(FOREVER):
            if not isinstance(message, Feedback) and message.id == asked:
                return message if isinstance(message, Refusal) else message.result


async def dialled(device: Device, dial: Shells | None = None) -> int:
    """Dials and asks for the uptime."""
    async with standing(device, dial) as line:
        return int(await answer(line, get(UPTIME)))


async def refused(device: Device, dial: Shells | None = None) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        await dialled(device, dial)
    return caught.value


async def tried(device: Device, dial: Shells) -> int | DeviceError:
    try:
        return await dialled(device, dial)
    except DeviceError as error:
        return error


# ── a server that does what a test wants ──


@dataclass
class Server:
    """A server at a free port of this machine, with its keys and what it was shown."""

    port: int
    keys: list[asyncssh.SSHKey]
    passwords: list[str]

    def configured(self, directory: Path, trust: Trust | None = None) -> Device:
        file = directory / "password-server"
        file.write_text("secret", encoding="utf-8")
        return Device(
            id=DeviceId("server"),
            room=RoomId("server"),
            host="127.0.0.1",
            port=1,
            ssh_port=self.port,
            credential=Credential(username="roomd", password_file=file),
            trust=trust or Trust(host_key=self.keys[0].get_fingerprint()),
        )


Act = Callable[[asyncssh.SSHServerProcess[bytes]], Awaitable[None]]


async def shell(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """As much of a device's shell as a greeting needs; then it answers with its uptime."""
    process.stdout.write(b"Welcome\nOK\n\n")
    async for line in process.stdin:
        if line.startswith(b"echo off"):
            process.stdout.write(b"\nOK\n\n")
        elif b"resultId" in line:
            number = line.split(b'resultId="')[1].split(b'"')[0]
            process.stdout.write(
                b'{"Status":{"SystemUnit":{"Uptime":{"Value":"7"}}},"ResultId":"%b"}\n' % number
            )


@contextlib.asynccontextmanager
async def server(
    act: Act = shell,
    *kinds: str,
    **options: Any,  # noqa: ANN401 - the library's
) -> AsyncIterator[Server]:
    keys = [asyncssh.generate_private_key(kind) for kind in kinds or ("ssh-ed25519",)]
    passwords: list[str] = []

    class Guest(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            passwords.append(password)
            return password == "secret"

    async def process(guest: asyncssh.SSHServerProcess[bytes]) -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            await act(guest)
        guest.exit(0)

    listening = await asyncssh.create_server(
        Guest,
        "127.0.0.1",
        0,
        server_host_keys=keys,
        process_factory=process,
        encoding=None,
        line_editor=False,
        **options,
    )
    try:
        yield Server(port=listening.get_port(), keys=keys, passwords=passwords)
    finally:
        listening.close()
        await listening.wait_closed()


# ── a device of any age ──


@pytest.mark.parametrize("version", ALL_VERSIONS.values())
@pytest.mark.parametrize(
    "faults", [{}, {"fragmented": True, "terminal_escape": "always"}, {"json_output": "refused"}]
)
async def test_a_device_answers_whatever_its_firmware_prints(tmp_path, version, faults):
    async with Site(profile=version) as site:
        simulated = site.devices[0]
        simulated.fault(**faults)
        simulated.book_in_outlook("} ** end {", duration_min=45)
        async with standing(configured(simulated, tmp_path)) as line:
            assert line.transport == "ssh"
            unit = await answer(line, get(("Status", "SystemUnit")))
            assert f"ce{version}" in unit["Software"]["Version"]
            listed = await answer(line, list_bookings())
            assert listed["status"] == "OK"
            assert [booking["Title"] for booking in listed["Booking"]] == ["} ** end {"]
            wrong = await answer(line, get(("Status", "Coffee")))
            unknown = await answer(line, Call(method="xCommand/Coffee/Brew", params={}))
            assert (wrong.code, unknown.code) == (-32601, -32601)
            assert await answer(line, subscribe(PEOPLE)) == {"Id": 5}
            simulated.count_people(4)
            (told,) = await line.hear(FOREVER)
            assert isinstance(told, Feedback)
            me = DeviceId(simulated.room)
            assert Translator(me).heard(told) == (PeopleCounted(device=me, people=4),)


@pytest.mark.parametrize("banner", ["ce9", "roomos"])
@pytest.mark.parametrize("last_login", ["before", "after", "none"])
@pytest.mark.parametrize("compact", [True, False])
async def test_every_welcome_is_understood(tmp_path, banner, last_login, compact):
    async with Site() as site:
        site.devices[0].fault(banner=banner, last_login=last_login, compact_json=compact)
        assert await dialled(configured(site.devices[0], tmp_path)) == site.devices[0].uptime_s


def test_it_works_on_uvloop_as_well(tmp_path):
    async def story() -> None:
        async with server() as known:
            assert await dialled(known.configured(tmp_path)) == 7
            other = known.configured(tmp_path, Trust(host_key=OTHER_KEY.get_fingerprint()))
            assert isinstance(await refused(other), HostKeyRefused)

    uvloop.run(story())


async def test_calls_need_not_wait_for_each_other(tmp_path):
    async with Site() as site, standing(configured(site.devices[0], tmp_path)) as line:
        asked = [line.send(get(UPTIME)) for _ in range(50)]
        heard: list[Any] = []
        while len(heard) < len(asked):
            heard.extend(await line.hear(FOREVER))
        assert [message.id for message in heard] == asked


async def test_a_body_of_many_lines_arrives_whole(tmp_path):
    received = asyncio.Queue[bytes]()

    async def count(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.stdout.write(b"OK\n")
        while line := await process.stdin.readline():
            if line.startswith(b"echo"):
                process.stdout.write(b"OK\n")
            elif line.startswith(b"{"):
                received.put_nowait(await process.stdin.readexactly(int(line.strip(b"{} \n"))))
            elif b"resultId" in line:
                process.stdout.write(b'{"ResultId":"roomd-json"}\n')

    body = "Übung\n}\n.\nxCommand SystemUnit Boot\n" * 3000
    async with server(count) as known, standing(known.configured(tmp_path)) as line:
        line.send(Call(method="xCommand/Bookings/Put", params={"body": body}))
        text = await received.get()
    assert text == f'xCommand Bookings Put | resultId="1"\n{body}\n'.encode()


# ── trust ──


async def test_nothing_is_shown_to_a_device_with_another_key(tmp_path):
    async with server() as known:
        trust = Trust(host_key=OTHER_KEY.get_fingerprint())
        error = await refused(known.configured(tmp_path, trust))
        assert isinstance(error, HostKeyRefused)
        assert known.keys[0].get_fingerprint() in str(error)
        assert "host_key" in error.mend
        assert known.passwords == []


@pytest.mark.parametrize("kind", [0, 1, 2])
async def test_any_of_a_devices_keys_may_be_pinned(tmp_path, kind):
    async with server(shell, "ssh-ed25519", "ecdsa-sha2-nistp384", "ssh-rsa") as known:
        pin = known.keys[kind].get_fingerprint()
        device, dial = known.configured(tmp_path, Trust(host_key=f" {pin}= ")), Shells()
        assert await dialled(device, dial) == 7
        assert await dialled(device, dial) == 7
        assert known.passwords == ["secret", "secret"]


async def test_a_file_of_known_hosts_vouches_for_those_in_it(tmp_path):
    async with Site(rooms=2) as site:
        first, second = site.devices
        file = tmp_path / "known_hosts"
        trust, dial = Trust(known_hosts=file), Shells()
        assert "cannot be used" in str(await refused(configured(first, tmp_path, trust), dial))
        file.write_text(first.known_hosts)
        assert await dialled(configured(first, tmp_path, trust), dial) == first.uptime_s
        error = await refused(configured(second, tmp_path, trust), dial)
        assert isinstance(error, HostKeyRefused)
        assert "no key" in str(error)
        site.renew_host_key(first)
        async with asyncio.timeout(5):
            while not isinstance(await refused(configured(first, tmp_path, trust), dial), HostKeyRefused):
                pass  # the door is still closed
        assert first.failed_logins == 0


async def test_without_a_key_to_judge_by_nobody_is_dialled(tmp_path):
    async with server() as known:
        error = await refused(known.configured(tmp_path, Trust(fingerprint="sha256:" + "0" * 64)))
        assert isinstance(error, HostKeyRefused)
        assert "known_hosts" in error.mend
        assert await dialled(known.configured(tmp_path, Trust(unverified=True))) == 7


# ── the password ──


@pytest.mark.parametrize("only", [{"ssh_password": False}, {"ssh_keyboard": False}, {}])
async def test_the_password_is_shown_once_a_dial(tmp_path, only):
    async with Site() as site:
        simulated = site.devices[0]
        simulated.fault(**only)
        device, dial = configured(simulated, tmp_path), Shells()
        assert await dialled(device, dial) == simulated.uptime_s
        device.credential.password_file.write_text("wrong", encoding="utf-8")
        for times in (1, 2):
            error = await refused(device, dial)
            assert isinstance(error, PasswordRefused)
            assert (error.logins, simulated.failed_logins) == (1, times)


async def test_a_device_that_lets_nobody_in_by_password_is_told_apart(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        simulated.fault(ssh_password=False, ssh_keyboard=False)
        assert isinstance(await refused(configured(simulated, tmp_path)), SshOff)


async def test_the_other_way_is_the_next_dials(tmp_path):
    shown: list[str] = []

    class Guest(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            shown.append("password")
            return False  # as where only the other way is switched on behind it

        def kbdint_auth_supported(self) -> bool:
            return True

        def get_kbdint_challenge(
            self, username: str, lang: str, submethods: str
        ) -> tuple[str, str, str, list[tuple[str, bool]]]:
            return "", "Please", "", [("Password: ", False)]

        def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool:
            shown.append("keyboard-interactive")
            return responses == ["secret"]

    async with server() as known:
        listening = await asyncssh.create_server(
            Guest, "127.0.0.1", 0, server_host_keys=known.keys, process_factory=shell, encoding=None
        )
        device, dial = replace(known.configured(tmp_path), ssh_port=listening.get_port()), Shells()
        assert isinstance(await refused(device, dial), PasswordRefused)
        assert await dialled(device, dial) == 7
        assert await dialled(device, dial) == 7
        assert shown == ["password", "keyboard-interactive", "keyboard-interactive"]
        listening.close()
        await listening.wait_closed()


async def test_a_line_that_breaks_at_the_password_may_have_cost_a_login(tmp_path):
    class Guest(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            self.connection = conn

        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            self.connection.abort()
            return False

    async with server() as known:
        listening = await asyncssh.create_server(Guest, "127.0.0.1", 0, server_host_keys=known.keys)
        error = await refused(replace(known.configured(tmp_path), ssh_port=listening.get_port()))
        assert isinstance(error, PasswordRefused)
        assert error.logins == 1
        listening.close()
        await listening.wait_closed()


async def test_a_password_file_that_is_not_there_costs_no_login(tmp_path):
    async with server() as known:
        device = known.configured(tmp_path)
        device.credential.password_file.unlink()
        error = await refused(device)
        assert isinstance(error, PasswordRefused)
        assert error.logins == 0


async def test_the_password_is_in_no_log(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with server() as known:
        device = known.configured(tmp_path)
        await dialled(device)
        device.credential.password_file.write_text("wrong-secret", encoding="utf-8")
        error = await refused(device)
    assert "secret" not in caplog.text
    assert "secret" not in str(error)


# ── what goes wrong ──


async def test_ssh_that_is_off_is_told_as_that_and_a_reboot_is_not(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        device, dial = configured(simulated, tmp_path), Shells()
        simulated.offer(ssh=False)
        error = await refused(device, dial)
        assert isinstance(error, SshOff)
        assert "xConfiguration NetworkServices SSH Mode: On" in error.mend
        simulated.offer(ssh=True)
        async with asyncio.timeout(5):
            while isinstance(await tried(device, dial), SshOff):
                pass  # the door is still closed
        simulated.reboot(60, answers="refuse")
        error = await refused(device, dial)
        assert (type(error), str(error)) == (DeviceUnreachable, "nobody listens there")


@pytest.mark.parametrize("how", ["reset", "close", "end", "shell"])
async def test_a_line_that_ends_is_noticed_at_once_after_what_came_before(tmp_path, how):
    async with Site() as site:
        simulated = site.devices[0]

        async def until_it_ends(heard: list[object]) -> None:
            async with standing(configured(simulated, tmp_path)) as line:
                await answer(line, subscribe(PEOPLE))
                simulated.count_people(2)
                heard.extend(await line.hear(FOREVER))
                if how == "shell":
                    simulated.close_shells()
                else:
                    simulated.cut(how)
                await line.hear(FOREVER)

        heard: list[object] = []
        with pytest.raises(DeviceUnreachable):
            await until_it_ends(heard)
        assert len(heard) == 1
        await site.until(lambda: not simulated.visitors)


async def test_a_device_that_falls_silent_is_given_up(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]

        async def until_it_ends() -> None:
            async with standing(configured(simulated, tmp_path), Shells(pace=IMPATIENT_LINE)) as line:
                simulated.hold_open()
                await line.hear(FOREVER)

        with pytest.raises(DeviceUnreachable, match="keepalive"):
            await until_it_ends()


async def test_a_device_with_nothing_to_say_is_not_given_up(tmp_path):
    async with Site() as site:
        pace = ShellPace(ping_after_s=0.1)
        async with standing(configured(site.devices[0], tmp_path), Shells(pace=pace)) as line:
            assert await line.hear(asyncio.get_running_loop().time() + 0.7) == ()


async def test_a_session_that_is_over_counts_no_more(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        async with standing(configured(simulated, tmp_path)):
            assert len(simulated.visitors) == 1
        await site.until(lambda: not simulated.visitors)
        with pytest.raises(asyncio.CancelledError):
            async with standing(configured(simulated, tmp_path)):
                raise asyncio.CancelledError
        await site.until(lambda: not simulated.visitors)


async def linux(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"Debian\nroot@host:~# ")
    await process.stdin.read()


async def mute(process: asyncssh.SSHServerProcess[bytes]) -> None:
    await process.stdin.read()


async def gone(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"Too many sessions\n")


@pytest.mark.parametrize(
    ("act", "kind"), [(linux, DeviceTalksNonsense), (mute, DeviceUnreachable), (gone, DeviceUnreachable)]
)
async def test_a_shell_of_another_kind_is_told_apart(tmp_path, act, kind):
    async with server(act) as known:
        error = await refused(known.configured(tmp_path), Shells(pace=ShellPace(greet_within_s=0.5)))
        assert type(error) is kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 1000, DeviceTalksNonsense),
        (b"SSH-1.5-old\r\n", DeviceTalksNonsense),
        (b"SSH-2.0-x\r\n" + b"\xff" * 100, DeviceTalksNonsense),
        (b"Not allowed at this time\r\n", DeviceUnreachable),
        (None, DeviceUnreachable),
    ],
)
async def test_what_is_no_ssh_server_is_told_apart(tmp_path, said, kind):
    left = asyncio.Event()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if said is None:
                await reader.read()
            else:
                writer.write(said)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        left.set()

    async with server() as known, await asyncio.start_server(meet, "127.0.0.1", 0) as listening:
        device = replace(known.configured(tmp_path), ssh_port=listening.sockets[0].getsockname()[1])
        error = await refused(device, Shells(pace=ShellPace(greet_within_s=0.5)))
        assert type(error) is kind
        await left.wait()


async def test_a_device_with_other_algorithms_only_is_told_apart(tmp_path):
    async with server(shell, kex_algs=["diffie-hellman-group1-sha1"]) as known:
        error = await refused(known.configured(tmp_path))
        assert isinstance(error, DeviceTalksNonsense)
        assert "algorithms" in str(error)


@pytest.mark.parametrize("kind", ["huge", "deep", "array", "text", "unknown_reply", "unknown_node"])
async def test_junk_ends_the_line_or_is_passed_and_never_worse(tmp_path, kind):
    async with Site() as site:
        simulated = site.devices[0]

        async def hear_it() -> None:
            async with standing(configured(simulated, tmp_path)) as line:
                await answer(line, subscribe(PEOPLE))
                simulated.send_junk(kind)
                assert int(await answer(line, get(UPTIME))) == simulated.uptime_s

        if kind in ("huge", "deep"):
            with pytest.raises(DeviceTalksNonsense):
                await hear_it()
        else:
            await hear_it()


# ── registrations ──


async def test_too_many_subscriptions_and_not_ready_are_refusals(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        simulated.fault(subscription_limit=2)
        async with standing(configured(simulated, tmp_path)) as line:
            for _, each in zip(range(2), SUBSCRIPTIONS, strict=False):
                await answer(line, subscribe(each.path))
            third = await answer(line, subscribe(SUBSCRIPTIONS[2].path))
            assert third.code == TOO_MANY_SUBSCRIPTIONS
            simulated.fault(not_ready=True)
            assert (await answer(line, get(UPTIME))).code == NOT_READY


@pytest.mark.parametrize("feedback_list", ["ended", "bare"])
@pytest.mark.parametrize("json_output", ["", "refused"])
async def test_lost_registrations_end_the_line(tmp_path, feedback_list, json_output):
    pace = ShellPace(audit_first_after_s=0.0, audit_every_s=0.05, audit_within_s=0.05)
    async with Site() as site:
        simulated = site.devices[0]
        simulated.fault(feedback_list=feedback_list, json_output=json_output)

        async def until_it_ends() -> None:
            loop = asyncio.get_running_loop()
            async with standing(configured(simulated, tmp_path), Shells(pace=pace)) as line:
                await answer(line, subscribe(PEOPLE))
                assert await line.hear(loop.time() + 0.5) == ()  # several audits, and the line stands
                simulated.lose_feedback()
                await line.hear(FOREVER)

        with pytest.raises(DeviceUnreachable, match="PeopleCount"):
            await until_it_ends()


# ── back-pressure ──


async def test_the_device_waits_while_nobody_hears(tmp_path):
    written = 0

    async def flood(process: asyncssh.SSHServerProcess[bytes]) -> None:
        nonlocal written
        greeted = asyncio.Event()

        async def talk() -> None:
            nonlocal written
            await greeted.wait()
            padding = b"x" * 1000
            while written < 50_000:
                process.stdout.write(b'{"Status":{"Padding":{"Value":"%b"}}}\n' % padding)
                await process.stdout.drain()
                written += 1

        async with asyncio.TaskGroup() as tasks:
            talking = tasks.create_task(talk(), name="talk")
            with contextlib.suppress(asyncssh.Error):
                process.stdout.write(b"OK\n")
                while line := await process.stdin.readline():
                    if line.startswith(b"echo"):
                        process.stdout.write(b"OK\n")
                    elif b"resultId" in line:
                        process.stdout.write(b'{"ResultId":"roomd-json"}\n')
                        greeted.set()
            talking.cancel()

    async with server(flood) as known, standing(known.configured(tmp_path)) as line:
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.3)
        assert 0 < written < 2_000  # the window was full
        heard = 0
        while heard < 3_000:
            heard += len(await line.hear(FOREVER))
        assert isinstance((await line.hear(FOREVER))[0], Feedback)


# ── a link over it ──


@contextlib.asynccontextmanager
async def hearing(device: Device, pace: ShellPace | None = None) -> AsyncIterator[Ear]:
    ear = Ear()
    fleet = Fleet([device], ear.deliver, dial=Shells(pace=pace), patience=IMPATIENT, luck=lambda: 0.5)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run(), name="fleet")
        yield ear
        running.cancel()


@pytest.mark.parametrize("version", ALL_VERSIONS.values())
@pytest.mark.parametrize("json_output", ["", "refused"])
async def test_a_link_hears_over_ssh_what_it_hears_over_websocket(tmp_path, version, json_output):
    async with Site(profile=version) as site:
        simulated = site.devices[0]
        simulated.fault(json_output=json_output)
        simulated.book_in_outlook("Weekly", duration_min=45)
        simulated.count_people(3)
        async with hearing(configured(simulated, tmp_path)) as ear:
            listed = await ear.until_heard(BookingsListed)
            connected, values = ear.of(DeviceConnected)[0], ear.of(CurrentValuesRead)[0]
            assert connected.transport == "ssh"
            assert connected.serial == simulated.serial
            assert connected.firmware.startswith(f"ce{version}")
            assert (values.people, values.calls, values.sharing) == (3, 0, False)
            assert [booking.meeting.title for booking in listed.bookings] == ["Weekly"]
            assert not listed.unreadable
            simulated.count_people(5)
            assert (await ear.until_heard(PeopleCounted)).people == 5
            if version.startswith("9."):
                simulated.book_in_outlook("Later", duration_min=5)
                await ear.until_heard(BookingsTouched)
            else:
                simulated.request_booking("Ad hoc")
                assert (await ear.until_heard(BookingRequested)).title == "Ad hoc"


async def test_a_link_dials_again_and_reads_everything_where_registrations_were_lost(tmp_path):
    pace = ShellPace(audit_first_after_s=0.1, audit_every_s=0.05)
    async with Site() as site:
        simulated = site.devices[0]
        async with hearing(configured(simulated, tmp_path), pace) as ear:
            await ear.until_heard(BookingsListed)
            async with asyncio.timeout(20.0):
                while simulated.lists_sent < 2:  # noqa: ASYNC110 - the first was seen to be complete by then
                    await asyncio.sleep(0.01)
            assert ear.of(DeviceLost) == []
            simulated.lose_feedback()
            simulated.count_people(7)
            simulated.book_in_outlook("Unheard", start=datetime.now(UTC), duration_min=15)
            await ear.until_heard(BookingsListed, times=2)
            assert ear.of(CurrentValuesRead)[-1].people == 7
            assert len(ear.of(BookingsListed)[-1].bookings) == 1
            assert "PeopleCount" in ear.of(DeviceLost)[0].why


async def test_a_link_comes_back_after_a_reboot(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        async with hearing(configured(simulated, tmp_path)) as ear:
            await ear.until_heard(BookingsListed)
            simulated.reboot(0.3, answers="refuse")
            await ear.until_heard(DeviceLost)
            await ear.until_heard(DeviceConnected, times=2)


async def test_a_reply_is_a_reply(tmp_path):
    async with server() as known, standing(known.configured(tmp_path)) as line:
        asked = line.send(get(UPTIME))
        assert await line.hear(FOREVER) == (Reply(asked, "7"),)
