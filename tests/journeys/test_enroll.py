"""`roomd enroll` as a technician uses it on day one, and on the days on which something is odd."""

import asyncio
import json
import os
import pty
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tomllib
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trustme
from typer.testing import CliRunner

from agent import enroll_commands
from agent.rewriting import NotReplaced, need_replaceable
from agent.settings import read
from tests.brokers import Authority, BadLine
from tests.journeys.house import house
from tests.simulator.site import Site

NOBODY = 65534
PASSWORD = "three big fish"
ASKED_WITHIN_S = 40.0
COUNTS = ("Configuration", "RoomAnalytics", "PeopleCountOutOfCall")


async def invoked(*arguments):
    """`roomd enroll`, in this process and without its sister commands: it is quick then."""
    return await asyncio.to_thread(CliRunner().invoke, enroll_commands.app, arguments)


class Desk:
    """A technician's: a directory for the configuration, and the devices of a site."""

    def __init__(self, directory, site):
        self.site = site
        self.file = directory / "etc" / "roomd.toml"
        self.file.parent.mkdir()
        self.password_file = directory / "typed-once"
        self.password_file.write_text(f"{PASSWORD}\n")

    @property
    def login(self):
        return ("--username", "roomd", "--password-file", str(self.password_file))

    @property
    def all(self):
        """The devices as a range, with a few addresses more at which nobody is."""
        first = self.site.devices[0].host
        stem, _, last = first.rpartition(".")
        return f"{stem}.{last}-{int(last) + len(self.site.devices) + 2}:{self.site.port}"

    @property
    def hosts(self):
        return [f"{device.host}:{device.port}" for device in self.site.devices]

    @property
    def text(self):
        return self.file.read_text()

    @property
    def table(self):
        return tomllib.loads(self.text)

    @property
    def written(self):
        return [device["host"] for room in self.table["rooms"] for device in room["devices"]]

    async def enroll(self, *arguments):
        """Exit code, answer, complaints."""
        port = ("--ssh-port", str(self.site.ssh_port))
        result = await invoked(*arguments, *port, "--config", str(self.file))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    async def begin(self):
        """A first file with all devices in it."""
        code, _, err = await self.enroll(self.all, *self.login, *FIRST, "--yes")
        assert code == 0, err


FIRST = ("--site", "oslo", "--timezone", "Europe/Oslo", "--broker", "mqtts://broker.example.com")


@asynccontextmanager
async def desk(directory, rooms=2, profile="26.4.1", **more):
    async with Site(rooms, profile=profile, self_signed=True, address_base="127.78.0.1", **more) as site:
        for device in site.devices:
            device.password = PASSWORD
            device.configure(COUNTS, "Off")  # as it comes out of the box
        yield Desk(directory, site)


def tried(site):
    """Whom somebody has tried to log in to."""
    return [device.room for device in site.devices if device.logins or device.failed_logins]


# ── day one ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_range_becomes_a_first_configuration_that_is_good(tmp_path):
    async with desk(tmp_path, rooms=4, profile="mix") as d:
        code, out, err = await d.enroll(d.all, *d.login, *FIRST, "--yes")
        assert code == 0, err
        for device in d.site.devices:
            assert device.fingerprint in err
            assert device.host_key in err
            assert f"{device.name} " in out
            assert device.serial in out
        assert max(map(len, out.splitlines())) <= 80
        assert "3 addresses: nobody there" in out
        room = d.table["rooms"][0]
        assert room["id"] == re.sub(r"\W+", "-", d.site.devices[0].name.lower())
        assert room["devices"] == [
            {
                "host": d.hosts[0],
                "fingerprint": f"sha256:{d.site.devices[0].fingerprint}",
                "host_key": d.site.devices[0].host_key,
                "ssh_port": d.site.ssh_port,
            }
        ]
        assert d.table["site"] == {"id": "oslo", "timezone": "Europe/Oslo"}
        assert d.table["devices"] == {"username": "roomd", "password_file": "device-password"}
        assert d.file.with_name("device-password").read_text() == f"{PASSWORD}\n"
        assert stat.S_IMODE(d.file.with_name("device-password").stat().st_mode) == 0o640
        assert PASSWORD not in out + err + d.text
        good = read(d.file)
        assert (len(good.rooms), len(good.devices)) == (4, 4)


async def test_twice_is_once(tmp_path):
    async with desk(tmp_path) as d:
        await d.begin()
        before, when = d.text, d.file.stat().st_mtime_ns
        code, out, err = await d.enroll(d.all, *d.hosts)
        assert (code, d.text, d.file.stat().st_mtime_ns) == (0, before, when), err
        assert out.count("known") == 2
        assert "nothing to write" in err


async def test_the_authority_of_the_broker_is_kept_beside_a_first_file(tmp_path):
    async with desk(tmp_path) as d:
        given = Authority(tmp_path / "given").ca_file
        code, _, err = await d.enroll(d.all, *d.login, *FIRST, "--yes", "--broker-ca", str(d.file.parent))
        assert code == os.EX_NOINPUT, err
        key = given.with_name("key.pem")
        code, _, err = await d.enroll(d.all, *d.login, *FIRST, "--yes", "--broker-ca", str(key))
        assert code == os.EX_DATAERR
        assert "no certificate" in err
        assert not tried(d.site)
        code, _, err = await d.enroll(d.all, *d.login, *FIRST, "--yes", "--broker-ca", str(given))
        assert code == 0, err
        kept = d.file.with_name("broker-ca.pem")
        assert d.table["mqtt"]["ca_file"] == kept.name
        assert kept.read_text().strip() == given.read_text().strip()
        assert read(d.file).broker.ca_file == kept


async def test_nobody_gets_the_password_before_a_person_has_seen_the_keys(tmp_path):
    async with desk(tmp_path) as d:
        code, _, err = await d.enroll(d.all, *d.login)
        assert code == os.EX_USAGE
        assert d.site.devices[1].fingerprint in err
        assert "--yes" in err
        assert not tried(d.site)
        assert not d.file.exists()


async def test_a_dry_run_prints_the_lines_and_writes_nothing(tmp_path):
    async with desk(tmp_path) as d:
        code, out, _ = await d.enroll(d.all, *d.login, "--yes", "--dry-run", "--fix")
        assert code == 0
        assert f'host = "{d.hosts[1]}"' in out
        assert list(d.file.parent.iterdir()) == []
        assert d.site.devices[0].config("RoomAnalytics", "PeopleCountOutOfCall") == "Off"


async def test_rooms_may_come_from_a_spreadsheet(tmp_path):
    async with desk(tmp_path, rooms=3) as d:
        table = tmp_path / "rooms.csv"
        rows = [
            "Host;Room;Name;Seats;Microsoft;Floor",
            f"{d.hosts[0]};stort;Stort møterom;12,0;stort@contoso.com;3",
            f"{d.hosts[1]};stort;;;;3",
            f"{d.hosts[2]};;Lite møterom;;;",
            ";;;;;",
        ]
        table.write_bytes("\r\n".join(rows).encode("utf-8-sig"))
        code, _, err = await d.enroll("--csv", str(table), *d.login, "--yes", "--dry-run")
        assert code == 0
        assert "not used: Floor" in err
        code, _, err = await d.enroll("--csv", str(table), *d.login, *FIRST, "--yes")
        assert code == os.EX_CONFIG  # [microsoft] is missing: such a file would be refused
        assert "[microsoft]" in err
        assert not d.file.exists()
        table.write_bytes("\r\n".join(rows).replace("stort@contoso.com", "").encode("utf-8-sig"))
        code, _, err = await d.enroll("--csv", str(table), *d.login, *FIRST, "--yes")
        assert code == 0, err
        big, small = d.table["rooms"]
        assert (big["id"], big["name"], big["capacity"], len(big["devices"])) == (
            "stort",
            "Stort møterom",
            12,
            2,
        )
        assert (small["id"], small["name"]) == ("lite-moeterom", "Lite møterom")


async def test_all_hosts_may_be_of_one_room(tmp_path):
    async with desk(tmp_path) as d:
        await d.begin()
        room = d.table["rooms"][0]["id"]
        d.file.write_text(d.text[: d.text.rindex("[[rooms]]")])
        code, _, err = await d.enroll(d.hosts[1], "--room", room, "--yes")
        assert code == 0, err
        assert [len(each["devices"]) for each in d.table["rooms"]] == [2]


async def test_for_machines_it_is_json(tmp_path):
    async with desk(tmp_path) as d:
        code, out, _ = await d.enroll(d.all, *d.login, *FIRST, "--yes", "--json")
        *devices, last = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert [each["serial"] for each in devices] == [device.serial for device in d.site.devices]
        assert devices[0]["outcome"] == "new"
        assert devices[0]["fingerprint"] == f"sha256:{d.site.devices[0].fingerprint}"
        assert devices[0]["lines"] == {"websocket": None, "ssh": None, "http": None}
        assert last == {"file": str(d.file), "written": True, "nobody": 3}


async def test_a_device_that_is_enrolled_beside_the_daemon_is_heard_after_a_reload(tmp_path):
    def first_alone(site, described):
        del described[1:]

    async with house(tmp_path, rooms=2, arrange=first_alone) as h:
        first, second = h.devices
        await h.heard(first)
        password = tmp_path / "password"
        password.write_text(second.password)
        login = ("--username", second.user, "--password-file", str(password))
        host = f"{second.host}:{second.port}"
        code, out, err = await h.ask("enroll", host, *login, "--yes", "--room", second.room)
        assert code == 0, err
        assert second.serial in out
        assert "systemctl reload roomd" in err
        h.roomd.send(signal.SIGHUP)
        await h.heard(second)
        second.count_people(3)
        await h.counted(second, 3)


# ── by hand, in a terminal ────────────────────────────────────────────────────────────────────────


class Terminal:
    """A real process in a terminal of its own, and what a person reads and types there."""

    def __init__(self, arguments):
        self.said = ""
        self._line, far = pty.openpty()
        os.set_blocking(self._line, False)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "agent.cli", *arguments],
            stdin=far,
            stdout=far,
            stderr=far,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
            start_new_session=True,
        )
        os.close(far)

    async def until(self, words):
        """What is said, up to these words."""
        async with asyncio.timeout(ASKED_WITHIN_S):
            while words not in self.said:
                await self._read()

    def type(self, words):
        self.said = ""
        os.write(self._line, f"{words}\n".encode())

    async def end(self):
        """Its exit code."""
        async with asyncio.timeout(ASKED_WITHIN_S):
            while self._process.poll() is None:
                await self._read()
            await self._read()
        os.close(self._line)
        return self._process.returncode

    async def _read(self):
        await asyncio.sleep(0.02)
        with suppress(BlockingIOError, OSError):  # EIO: it has ended
            self.said += os.read(self._line, 65536).decode(errors="replace")


async def test_a_person_sees_keys_types_the_password_and_says_yes(tmp_path):
    async with desk(tmp_path, rooms=1) as d:
        words = ["enroll", d.hosts[0], "--ssh-port", str(d.site.ssh_port), "--config", str(d.file), "--fix"]
        there = Terminal(words)
        await there.until("[y/N]")
        assert d.site.devices[0].fingerprint in there.said
        there.type("n")
        assert await there.end() == os.EX_NOPERM
        assert not tried(d.site)
        there = Terminal(words)
        await there.until("[y/N]")
        there.type("y")
        await there.until("User on the devices")
        there.type("")
        await there.until("Password of roomd")
        there.type(PASSWORD)
        await there.until("Set it?")
        assert "xConfiguration RoomAnalytics PeopleCountOutOfCall: On" in there.said
        there.type("n")
        await there.until("Write 1 device")
        assert d.site.devices[0].config("RoomAnalytics", "PeopleCountOutOfCall") == "Off"
        there.type("y")
        assert await there.end() == 0
        assert "still to do: [site] and [mqtt]" in there.said
        assert PASSWORD not in there.said + d.text
        assert d.written == d.hosts


# ── what people counting needs ────────────────────────────────────────────────────────────────────


async def test_what_people_counting_needs_is_set_after_saying_so_and_nothing_else(tmp_path):
    async with desk(tmp_path) as d:
        first = d.site.devices[0]
        code, _, err = await d.enroll(*d.hosts, *d.login, *FIRST, "--yes")
        assert code == 0, err
        assert first.config("RoomAnalytics", "PeopleCountOutOfCall") == "Off"
        code, _, err = await d.enroll("--fix", "--yes")
        assert code == 0, err
        assert "xConfiguration RoomAnalytics PeopleCountOutOfCall: On" in err
        assert "set on 2 devices" in err
        for device in d.site.devices:
            assert device.config("RoomAnalytics", "PeopleCountOutOfCall") == "On"
            assert device.config("Bookings", "CheckIn", "Enabled") == "False"
        code, _, err = await d.enroll("--fix", "--yes")
        assert (code, "nothing is to be set" in err) == (0, True)


async def test_somebody_else_may_set_it_for_this_once(tmp_path):
    async with desk(tmp_path) as d:
        await d.begin()
        before = d.text
        d.file.with_name("device-password").write_text("that does not count now")
        code, _, err = await d.enroll("--fix", *d.login, "--yes")
        assert code == 0, err
        assert d.site.devices[0].config("RoomAnalytics", "PeopleCountOutOfCall") == "On"
        assert d.text == before


async def test_what_a_device_does_not_let_be_set_is_told_with_who_may(tmp_path):
    async with desk(tmp_path) as d:
        await d.begin()
        denied, ignored = d.site.devices
        denied.faults.settings = "denied"
        ignored.faults.settings = "ignored"
        code, _, err = await d.enroll("--fix", "--yes")
        assert code == os.EX_NOPERM
        assert f"{d.hosts[0]}: RoomAnalytics PeopleCountOutOfCall is not set: the account may not" in err
        assert f"{d.hosts[1]}: RoomAnalytics PeopleCountOutOfCall is not set: it said yes" in err
        assert "read back" not in err


async def test_another_account_for_new_devices_leaves_the_known_ones_theirs(tmp_path):
    async with desk(tmp_path) as d:
        code, _, err = await d.enroll(d.hosts[0], *d.login, *FIRST, "--yes")
        assert code == 0, err
        second = d.site.devices[1]
        second.password = "one big whale"
        d.password_file.write_text(second.password)
        code, out, err = await d.enroll(*d.hosts, *d.login, "--yes")
        assert code == 0, err
        assert "known" in out
        (device,) = d.table["rooms"][1]["devices"]
        assert device["password_file"] == "device-password-roomd"
        assert d.file.with_name("device-password-roomd").read_text() == f"{second.password}\n"
        assert "username" not in device
        assert [each.failed_logins for each in d.site.devices] == [0, 0]


async def test_a_new_password_that_systemd_hands_over_needs_a_restart(tmp_path):
    async with desk(tmp_path) as d:
        d.file.with_name("credentials").mkdir()
        code, _, err = await d.enroll(d.hosts[0], *d.login, *FIRST, "--yes")
        assert code == 0, err
        line = tmp_path / "line"
        d.file.write_text(f'{d.text}\n[agent]\nsocket = "{line}"\n')
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.bind(str(line))
            daemon.listen()
            second = d.site.devices[1]
            second.password = "one big whale"
            d.password_file.write_text(second.password)
            code, _, err = await d.enroll(d.hosts[1], *d.login, "--yes")
        assert code == 0, err
        assert d.file.with_name("credentials").joinpath("device-password-roomd").exists()
        assert "`systemctl restart roomd`" in err


# ── what can be odd ───────────────────────────────────────────────────────────────────────────────


async def test_two_refused_passwords_end_the_run(tmp_path):
    async with desk(tmp_path, rooms=6) as d:
        d.password_file.write_text("one small fish")
        code, out, err = await d.enroll(d.all, *d.login, *FIRST, "--yes")
        assert code == os.EX_NOPERM
        assert len(tried(d.site)) == 2
        assert max(device.failed_logins for device in d.site.devices) <= 2
        assert "4 others not tried" in err
        assert "lock" in err
        assert not d.file.exists()
        assert "small" not in out + err


async def test_what_is_no_room_device_gets_no_password(tmp_path):
    heard = []

    async def answer(reader, writer):
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                heard.append(await reader.readuntil(b"\r\n\r\n"))
                body = b"A printer"
                head = (
                    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="Printer"\r\nContent-Length: 9\r\n\r\n'
                )
                writer.write(head + body)
                await writer.drain()
        writer.close()

    async with desk(tmp_path, rooms=1) as d:
        authority = trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.78.0.3").configure_cert(context)
        printer = await asyncio.start_server(answer, "127.78.0.3", d.site.port, ssl=context)
        async with printer:
            code, out, _ = await d.enroll(d.all, *d.login, *FIRST, "--yes")
            assert code == 0
            assert f"127.78.0.3:{d.site.port}: by what is shown there, no room device" in out
            assert d.written == d.hosts
            assert heard
            assert not [each for each in heard if b"uthorization" in each or b"auth-" in each]
        dead = f"127.78.0.77:{d.site.port}"
        code, out, _ = await d.enroll(dead, "--yes")
        assert code == os.EX_UNAVAILABLE
        assert f"{dead}: nobody there" in out


async def test_a_device_at_another_address_keeps_its_lines(tmp_path):
    async with desk(tmp_path) as d:
        await d.begin()
        moved = d.text.replace(d.hosts[0], "127.78.0.99:1443")
        d.file.write_text(moved)
        code, out, err = await d.enroll(d.hosts[0], "--yes")
        assert code == 0, err
        assert "at another address" in out
        assert d.text == moved.replace("127.78.0.99:1443", d.hosts[0])
        # and after a factory reset as well: by its serial number, as it stands behind its host
        reset = re.sub(r'"sha256:\w+"', f'"sha256:{"ab" * 32}"', moved, count=1)
        d.file.write_text(re.sub(r'host_key = ".*"\n', "", reset, count=1))
        code, out, err = await d.enroll(d.hosts[0], "--yes")
        assert code == 0, err
        device = d.table["rooms"][0]["devices"][0]
        assert (device["host"], device["fingerprint"]) == (
            d.hosts[0],
            f"sha256:{d.site.devices[0].fingerprint}",
        )
        assert len(d.written) == 2


async def test_a_device_that_answers_at_two_addresses_is_one(tmp_path):
    async with desk(tmp_path, rooms=1) as d, BadLine(d.site.port, host=d.site.devices[0].host) as line:
        other = f"127.0.0.1:{line.port}"
        code, out, err = await d.enroll(d.hosts[0], other, *d.login, *FIRST, "--yes")
        assert code == 0, err
        assert "same device" in out
        assert d.written == d.hosts
        code, out, err = await d.enroll(other, "--yes")
        assert (code, d.written) == (0, d.hosts), err
        assert "same device" in out


async def test_another_certificate_is_told_and_not_believed_until_a_person_says_so(tmp_path):
    async with desk(tmp_path) as d:
        await d.begin()
        before, device = d.text, d.site.devices[0]
        logins = device.logins
        d.site.renew_certificate(device)
        await asyncio.sleep(0)
        code, out, _ = await d.enroll(d.all, "--yes")
        assert code == os.EX_NOPERM
        assert f"{d.hosts[0]}: shows other keys than it should: another certificate" in out
        assert "--repin" in out
        assert (d.text, device.logins) == (before, logins)
        code, _, err = await d.enroll(d.hosts[0], "--repin", "--yes")
        assert code == 0, err
        assert device.fingerprint in err
        assert d.table["rooms"][0]["devices"][0]["fingerprint"] == f"sha256:{device.fingerprint}"
        assert len(d.text.splitlines()) == len(before.splitlines())


async def test_a_file_that_people_wrote_keeps_its_words_its_rights_and_its_former_self(tmp_path):
    async with desk(tmp_path, rooms=1) as d:
        mine = '# mine\n[mqtt]\nurl = "mqtt://localhost"  # here\n\n\n[site]\ntimezone = "UTC"\nid = "s"\n'
        d.file.write_text(mine)
        d.file.chmod(0o604)
        link = d.file.with_name("link.toml")
        link.symlink_to(d.file.name)
        d.file = link
        code, _, err = await d.enroll(d.hosts[0], *d.login, "--yes")
        assert code == 0, err
        assert d.text.startswith(mine)
        assert link.is_symlink()
        assert stat.S_IMODE(d.file.stat().st_mode) == 0o604
        assert link.with_name("roomd.toml.bak").read_text() == mine
        assert {each.name for each in link.parent.iterdir()} == {
            "roomd.toml",
            "roomd.toml.bak",
            "link.toml",
            "device-password",
        }


@pytest.mark.parametrize("kind", ["write-protected", "broken", "absent"])
async def test_what_cannot_be_written_is_told_before_anybody_is_asked(tmp_path, kind):
    async with desk(tmp_path, rooms=1) as d:
        match kind:
            case "write-protected":
                d.file.write_text("")
                d.file.chmod(0o444)
            case "broken":
                d.file.write_text("no toml")
            case "absent":
                d.file.parent.rmdir()
        code, _, err = await d.enroll(d.hosts[0], *d.login, "--yes")
        assert code in {os.EX_NOPERM, os.EX_CONFIG, os.EX_CANTCREAT}
        assert {"write-protected": "chmod u+w", "broken": "not TOML", "absent": "install -d"}[kind] in err
        assert not tried(d.site)


@pytest.mark.parametrize(("mode", "told"), [(0o555, "sudo"), (0o777, "another user's"), (0o700, "sudo")])
def test_another_users_file_needs_that_user(mode, told):
    if os.geteuid() != 0 and mode != 0o555:
        return  # one's own directory is one's own
    with TemporaryDirectory() as name:
        file = Path(name) / "roomd.toml"
        file.write_text("")
        file.parent.chmod(mode)
        with somebody_else(), pytest.raises(NotReplaced, match=told) as error:
            need_replaceable(file)
        assert error.value.code == os.EX_NOPERM
        file.parent.chmod(0o700)


@contextmanager
def somebody_else():
    """Another user than root, for as long as it lasts."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("10.0.4.300",), "no host"),
        (("10.0.4.9-3",), "ends before it begins"),
        (("10.0.0.0/8",), "a /22"),
        (("10.0.4.1", "--room", "Fjord!"), "room's id"),
        (("10.0.4.1", "--timezone", "UTC"), "--site"),
        ((), "name hosts"),
        (("--csv", "/nowhere.csv"), "cannot be read"),
    ],
)
async def test_what_was_written_wrong_is_told_with_a_mend(tmp_path, words, told):
    result = await invoked(*words, "--config", str(tmp_path / "roomd.toml"))
    assert result.exit_code in {os.EX_USAGE, os.EX_NOINPUT}
    assert told in result.stderr
    assert not Path(tmp_path / "roomd.toml").exists()
