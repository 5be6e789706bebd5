"""What `roomd doctor` says of the machine: who may read what, and the names of hosts."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from agent import trends
from agent.findings import Part, Verdict, exit_code
from agent.machine_checks import Somebody
from tests.agent.examining import examined, installed, one, secret, verdicts
from tests.installation import install

SOMEBODY_ELSE = 54321


def stranger(*groups: int) -> Somebody:
    return Somebody(name="somebody", uid=SOMEBODY_ELSE, gids=frozenset(groups))


# ── trends ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_file_of_trends_that_cannot_be_read_is_pointed_out(tmp_path):
    installation = installed(tmp_path)
    installation.state.mkdir(exist_ok=True)

    async def verdicts_on_it() -> list[Verdict]:
        found = await examined(installation, Part.DISK)
        return [each.verdict for each in found if each.what == "trends"]

    assert await verdicts_on_it() == []
    trends.open_to_write(installation.state).close()
    assert await verdicts_on_it() == [Verdict.OK]
    (installation.state / trends.FILE).write_bytes(b"\x5a" * 9000)
    assert await verdicts_on_it() == [Verdict.ADVICE]


# ── permissions ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def reached():
    """A directory that everybody reaches, unlike those of pytest."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


async def test_a_secret_that_others_may_read_is_wrong(reached):
    secret(reached, "mqtt-password", "right")
    (reached / "roomd" / "mqtt-password").chmod(0o644)
    installation = installed(reached, mqtt_extra='username = "roomd"\npassword_file = "mqtt-password"')
    found = await examined(installation, Part.PERMISSIONS)
    finding = one(found, "mqtt-password")
    assert finding.verdict is Verdict.WRONG
    assert finding.mend == f"chmod 0640 {reached / 'roomd' / 'mqtt-password'}"
    assert exit_code(found) == os.EX_NOPERM
    (reached / "roomd" / "mqtt-password").chmod(0o640)
    assert one(await examined(installation, Part.PERMISSIONS), "files").verdict is Verdict.OK


async def test_a_secret_where_nobody_else_comes_is_open_to_nobody(reached):
    secret(reached, "mqtt-password", "right")
    (reached / "roomd" / "mqtt-password").chmod(0o644)
    (reached / "roomd").chmod(0o700)
    installation = installed(reached, mqtt_extra='username = "roomd"\npassword_file = "mqtt-password"')
    assert one(await examined(installation, Part.PERMISSIONS), "files").verdict is Verdict.OK


async def test_a_configuration_that_anybody_may_change_is_wrong(tmp_path):
    installation = installed(tmp_path)
    installation.config.chmod(0o666)
    finding = one(await examined(installation, Part.PERMISSIONS), "roomd.toml")
    assert "may change it" in finding.seen
    assert finding.mend == f"chmod o-w {installation.config}"


def test_what_keeps_a_user_out_is_the_first_on_the_way(reached):
    inner = reached / "etc"
    inner.mkdir(mode=0o755)
    file = inner / "roomd.toml"
    file.write_text("")
    file.chmod(0o640)
    assert stranger().may(file, 4) == file
    assert stranger(file.stat().st_gid).may(file, 4) is None
    assert stranger(file.stat().st_gid).may(file, 6) == file
    inner.chmod(0o700)
    assert stranger(file.stat().st_gid).may(file, 4) == inner
    inner.chmod(0o750)
    assert stranger(file.stat().st_gid).may(file, 4) is None


def test_the_owner_is_judged_by_what_is_his_and_root_by_nothing(tmp_path):
    file = tmp_path / "secret"
    file.write_text("")
    file.chmod(0o070)
    owner = Somebody(name="owner", uid=file.stat().st_uid, gids=frozenset({file.stat().st_gid}))
    root = Somebody(name="root", uid=0, gids=frozenset({0}))
    assert root.may(file, 4) is None
    assert (owner.may(file, 4) is None) is (owner.uid == 0)


# ── names ─────────────────────────────────────────────────────────────────────────────────────────

DEVICE = {
    "port": 443,
    "user": "roomd",
    "password": "s3cret",
    "fingerprint": "sha256:" + "0" * 64,
    "host_key": "SHA256:" + "0" * 43,
}


def named(directory, *hosts: str, broker: str = "mqtt://127.0.0.1:1"):
    devices = [
        {**DEVICE, "room": f"room-{number}", "host": host, "ssh_port": 22}
        for number, host in enumerate(hosts, 1)
    ]
    return install(directory / "roomd", devices=devices, broker_url=broker)


@pytest.fixture
def knows(monkeypatch):
    """What the machine's resolver knows: no test may hang on that of this one."""
    known: dict[str, str | int] = {}

    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        answer = known.get(host, socket.EAI_NONAME)
        if isinstance(answer, int):
            raise socket.gaierror(answer, "no")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


async def test_names_that_have_addresses_of_their_own_are_well(tmp_path, knows):
    knows |= {"fjord.example.com": "10.0.4.21", "broker.example.com": "10.0.4.2"}
    installation = named(tmp_path, "fjord.example.com", broker="mqtt://broker.example.com")
    assert verdicts(await examined(installation, Part.DNS)) == {"names": "ok"}


async def test_addresses_need_no_looking_up(tmp_path, knows):
    assert "none to look up" in one(await examined(named(tmp_path, "10.0.4.21"), Part.DNS), "names").seen


async def test_a_name_that_nobody_knows_and_one_that_leads_home_are_found(tmp_path, knows):
    knows |= {"home.example.com": "127.0.1.1", "good.example.com": "10.0.4.21"}
    hosts = ("home.example.com", "nobody.example.com", "good.example.com")
    found = await examined(named(tmp_path, *hosts), Part.DNS)
    assert "leads to this machine itself: 127.0.1.1 (room-1)" in one(found, "home").seen
    assert "has no address" in one(found, "nobody").seen
    assert "1 of 3" in one(found, "names").seen


async def test_two_names_of_one_address_are_pointed_out(tmp_path, knows):
    knows |= {"a.example.com": "10.0.4.21", "b.example.com": "10.0.4.21"}
    found = await examined(named(tmp_path, "a.example.com", "b.example.com"), Part.DNS)
    assert one(found, "a.example.com, b.example.com").verdict is Verdict.ADVICE


async def test_without_name_servers_there_is_one_finding_and_not_one_for_each(tmp_path, knows):
    hosts = [f"room-{number}.example.com" for number in range(40)]
    knows |= dict.fromkeys(hosts, socket.EAI_AGAIN)
    (finding,) = await examined(named(tmp_path, *hosts), Part.DNS)
    assert finding.what == "name servers"
    assert finding.verdict is Verdict.WRONG


async def test_what_has_no_address_is_not_dialled_and_told_together(tmp_path, knows):
    hosts = [f"room-{number}.example.com" for number in range(40)]
    knows |= dict.fromkeys(hosts, socket.EAI_AGAIN)
    installation = named(tmp_path, *hosts, broker="mqtt://broker.example.com")
    found = await examined(installation, Part.BROKER, Part.DEVICES)
    assert [each.part for each in found if each.verdict is Verdict.WRONG] == [Part.BROKER, Part.DEVICES]
    assert all("not dialled" in each.seen for each in found if each.verdict is Verdict.WRONG)
    assert "and 28 more" in found[-1].what
