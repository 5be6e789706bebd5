"""A bundle for a bug report says how it stands, and not one name, word or secret of the site is in it."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from agent.disguise import Disguise
from agent.support import Bundle, Wish, gather, logged
from tests.agent import trends_made
from tests.installation import Installation

SECRETS = ("kanari-device-password", "kanari mqtt password", "kanariclientsecret")
NAMES = (
    "kanarisite",
    "kanariagent",
    "kanarifjord",
    "Kanari Fjord",
    "kanarilake",
    "10.77.4.21",
    "kanarihost.contoso.com",
    "kanaribroker.contoso.com",
    "kanariuser",
    "kanarimqttuser",
    "kanarimail@contoso.com",
    "kanaritenant",
    "11111111-2222-3333-4444-kanari".replace("kanari", "777777777777"),
    "kanarititle",
    "kanariwho",
    "kanariold",
    "ab:" * 31 + "ab",
)

CONFIG = f"""
[site]
id = "kanarisite"
timezone = "Europe/Oslo"
privacy = "plain"
[agent]
id = "kanariagent"
state_directory = "%(directory)s/state"
socket = "%(directory)s/roomd.sock"
[mqtt]
url = "mqtts://kanaribroker.contoso.com:8883"
username = "kanarimqttuser"
password_file = "mqtt-password"
[devices]
username = "kanariuser"
password_file = "device-password"
[sensors]
url = "mqtts://kanaribuilding.contoso.com:8883"
username = "kanarisensoruser"
password_file = "mqtt-password"
[microsoft]
tenant = "kanaritenant.onmicrosoft.com"
client_id = "{NAMES[12]}"
secret_file = "microsoft-secret"
[[rooms]]
id = "kanarifjord"
name = "Kanari Fjord"
calendar = {{ microsoft = "kanarimail@contoso.com" }}
[[rooms.devices]]
host = "10.77.4.21:8443"
fingerprint = "sha256:{NAMES[-1]}"
[[rooms.sensors]]
zigbee2mqtt = "kanarifloor/kanariceiling"
presence = "kanarikey.occupancy"
[[rooms.sensors]]
id = "kanarisensor"
topic = "kanaritopic"
yes = ["kanariyes"]
no = ["off"]
[[rooms]]
id = "kanarilake"
[[rooms.devices]]
host = "kanarihost.contoso.com"
unverified = true
"""

LOG = (
    {
        "event": "device.lost",
        "level": "warning",
        "device": "kanarifjord",
        "why": "10.77.4.21 does not answer",
    },
    {"event": "device.lost", "level": "warning", "device": "kanariold-2", "why": "no route", "rest_s": 1.5},
    {
        "event": "command.given",
        "room": "kanarilake",
        "requested_by": "kanariwho at kanarihost",
        "name": "hold.place",
    },
    {"event": "x", "title": "kanarititle", "text": "kanarititle", "why": "mailbox kanarimail@contoso.com"},
    {"event": "calendars.doubt", "why": "Kanarilofoten could be the calendar of two rooms"},
    {
        "event": "sensor.unreadable",
        "sensor": "kanarisensor",
        "why": "'kanaripayload' means neither yes nor no",
    },
    {"event": "broker.lost", "why": "kanaribroker.contoso.com: refused", "connection": 7},
)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    (tmp_path / "roomd.toml").write_text(CONFIG % {"directory": tmp_path})
    for name, secret in zip(("device-password", "mqtt-password", "microsoft-secret"), SECRETS, strict=True):
        (tmp_path / name).write_text(f"{secret}\n")
        (tmp_path / name).chmod(0o600)
    programs = tmp_path / "bin"
    programs.mkdir()
    entries = [
        {
            "MESSAGE": json.dumps(each),
            "SYSLOG_IDENTIFIER": "roomd",
            "PRIORITY": "4",
            "__REALTIME_TIMESTAMP": "1772442000000000",
        }
        for each in LOG
    ]
    entries += [
        {"MESSAGE": "Started roomd.service of kanarisite.", "SYSLOG_IDENTIFIER": "systemd", "PRIORITY": "6"},
        {"MESSAGE": "some library says kanarititle and kanari-device-password", "SYSLOG_IDENTIFIER": "roomd"},
        {
            "MESSAGE": 'Traceback:\n  File "/usr/lib/x/agent/daemon.py", line 7, in live\n    raise\n'
            "ValueError: kanarititle",
            "SYSLOG_IDENTIFIER": "roomd",
        },
    ]
    journal = "\n".join(json.dumps(each) for each in entries)
    script = f"#!/bin/sh\ncat <<'END'\n{journal}\nEND\n"
    (programs / "journalctl").write_text(script)
    (programs / "systemctl").write_text("#!/bin/sh\necho ActiveState=active\necho NRestarts=3\n")
    for each in programs.iterdir():
        each.chmod(0o755)
    return Installation(
        directory=tmp_path,
        environment={"PATH": f"{programs}:{os.environ['PATH']}"},
    )


def unpacked(file: Path) -> Mapping[str, bytes]:
    with tarfile.open(file) as tar:
        found = {entry.name: tar.extractfile(entry) for entry in tar}
        return {name: content.read() for name, content in found.items() if content is not None}


def birds(content: bytes) -> set[str]:
    text = content.decode(errors="replace").lower()
    found = {name for name in (*NAMES, *SECRETS) if name.lower() in text}
    return found | ({"a bird"} if "kanari" in text else set())


async def test_no_name_and_no_secret_is_in_any_byte_of_it(installation: Installation):
    file = installation.directory / "bundle.tar.gz"
    code, out, err = await installation.ask("support", "-o", str(file), "--quick")
    assert (code, err) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    files = unpacked(file)
    assert {Path(name).name for name in files} == {
        "manifest.json",
        "configuration.json",
        "machine.json",
        "packages.json",
        "service.json",
        "journal.jsonl",
        "doctor.jsonl",
    }
    for name, content in {**files, "what was said": out.encode()}.items():
        if name != "what was said":  # the name of the file is the caller's own
            assert birds(content) == set(), name


async def gathered(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("PATH", installation.environment["PATH"])
    wish = Wish(file=installation.config, lines=100, examine=False)
    return await gather(wish, now=lambda: datetime.now(UTC), say=lambda words: None)


async def test_what_is_left_says_how_it_stands(installation: Installation, monkeypatch: pytest.MonkeyPatch):
    bundle = await gathered(installation, monkeypatch)
    files = {name: content.decode() for name, content in bundle.files.items()}
    tables = json.loads(files["configuration.json"])["tables"]
    assert tables["mqtt"]["url"] == "mqtts://<host-3>:8883"
    assert [room["id"] for room in tables["rooms"]] == ["<room-1>", "<room-2>"]
    assert tables["rooms"][0]["name"] == "<room-1>"
    assert tables["rooms"][0]["devices"][0]["host"] == "<host-1>:8443"
    assert tables["mqtt"]["password_file"] == "(a file)"
    assert tables["site"] == {"id": "<site-1>", "timezone": "Europe/Oslo", "privacy": "plain"}
    journal = [json.loads(line) for line in files["journal.jsonl"].splitlines()]
    assert journal[0]["event"] == "device.lost"
    assert journal[0]["why"] == "<host-1> does not answer"
    assert journal[1]["rest_s"] == 1.5
    assert journal[4]["why"] == "… could be the calendar of two rooms"
    assert journal[5]["why"] == "'…' means neither yes nor no"
    assert journal[6]["why"] == "<host-3>: refused"
    assert journal[9]["frames"] == ["agent/daemon.py:7 live"]
    assert journal[9]["raised"] == ["ValueError"]
    assert json.loads(files["service.json"])["NRestarts"] == "3"
    manifest = bundle.manifest()
    assert manifest["replaced"]["room"] >= 3
    assert "daemon.json" in manifest["missing"]
    assert "outbox.json" in manifest["missing"]
    assert "trends.json" in manifest["missing"]
    assert any('"seen"' in line for line in files["doctor.jsonl"].splitlines())


async def test_the_file_of_trends_is_told_of_in_numbers(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
):
    state = installation.state
    state.mkdir()
    trends_made.make(state, rooms=2, days=3, first=date(2026, 3, 2))
    (state / "trends.db.corrupt-20260302T120000Z").touch()
    told = json.loads((await gathered(installation, monkeypatch)).files["trends.json"])
    assert told.pop("bytes") == (state / "trends.db").stat().st_size
    held = {"days": 3, "first_day": "2026-03-02", "last_day": "2026-03-04", "rooms": 2, "hours": 0}
    assert told == {**held, "set_aside": 1}
    (state / "trends.db").write_bytes(b"\x5a" * 9000)
    bundle = await gathered(installation, monkeypatch)
    assert "not a database" in bundle.missing["trends.json"]


async def test_it_can_be_looked_at_before_it_is_written(installation: Installation):
    before = set(Path.cwd().iterdir())
    code, out, _ = await installation.ask("support", "--list", "--quick")
    assert code == 0
    assert "nothing was written" in out
    assert "journal.jsonl" in out
    assert not [each for each in set(Path.cwd().iterdir()) - before if each.name.startswith("roomd-support")]


async def test_a_configuration_that_cannot_be_used_is_told_of_without_its_words(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
):
    text = installation.config.read_text()
    wrong = (
        '[kanaritable]\npassword = "kanari-in-the-file"\npin = 7331733173\n[holds]\nlight = "Kanarigold"\n'
    )
    installation.config.write_text(f"{text}\n{wrong}")
    bundle = await gathered(installation, monkeypatch)
    assert b"is not known" in bundle.files["doctor.jsonl"]
    assert b"7331733173" not in b"".join(bundle.files.values())
    assert birds(bundle.packed()) | birds(b"".join(bundle.files.values())) == set()
    installation.config.write_text(f"{text}\nthis is no TOML")
    bundle = await gathered(installation, monkeypatch)
    assert "journal.jsonl" in bundle.missing
    assert birds(json.dumps(bundle.manifest()).encode()) | birds(b"".join(bundle.files.values())) == set()


def test_a_field_of_the_log_that_nobody_knows_is_left_out():
    told = logged({"event": "x.y", "surprise": "words", "count": 3, "nested": {"a": 1}}, Disguise())
    assert told == {"event": "x.y", "surprise": "(left out)", "count": 3, "nested": "(left out)"}
