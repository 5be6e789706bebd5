"""A colleague in the group roomd asks the daemon and reads its database, and sees no secret on the way."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from typer.testing import CliRunner, Result

from agent import cli
from cloud_link.database import FILE, LOCK, Limits, open_database

COLLEAGUE = 65534  # "nobody" as Debian and others number it
CONFIGURATION = """
[site]
id = "oslo"
timezone = "Europe/Oslo"
[agent]
state_directory = "{place}/state"
socket = "{place}/run/roomd.sock"
[mqtt]
url = "mqtts://broker.example.com"
username = "oslo"
password_file = "mqtt-password"
[devices]
username = "roomd"
password_file = "credentials/device-password"
[google]
key_file = "google.json"
[[rooms]]
id = "fjord"
[[rooms.devices]]
host = "10.0.4.21"
"""
ASKING = (
    "rooms",
    "events",
    "calendars",
    "calendars connect google",
    "link",
    "hold fjord --for 10",
    "hold fjord --cancel",
    "book fjord --for 10",
    "release fjord x",
    "message fjord --text hello",
    "resync fjord",
)
READING = (
    "outbox stats",
    "outbox peek",
    "outbox export -",
    "outbox verify",
    "outbox retry",
    "backup {place}/desk/{who}",
)


@pytest.fixture
async def place() -> AsyncIterator[Path]:
    """As the package lays it out, for a colleague of another name; on /tmp, which all may enter."""
    with TemporaryDirectory() as name:
        place = Path(name)
        (place / "credentials").mkdir()
        (place / "credentials" / "device-password").write_text("three big fish\n")
        for secret in ("mqtt-password", "google.json"):
            (place / secret).write_text("three small fish\n")
            (place / secret).chmod(0)
        (place / "roomd.toml").write_text(CONFIGURATION.format(place=place))
        async with open_database(place / "state", limits=Limits(ballast_bytes=4096)):
            pass
        (place / "credentials").chmod(0)
        (place / "desk").mkdir()
        for path, mode in ((place, 0o755), (place / "state", 0o755), (place / "desk", 0o777)):
            path.chmod(mode)
        yield place
        (place / "credentials").chmod(0o700)


REFUSED = (  # who may not look there is told so
    ("backup {place}/closed/copy", os.EX_CANTCREAT, "Permission denied"),
    ("restore {place}/closed/copy", os.EX_NOPERM, "Run with sudo"),
    ("restore {place}/desk", os.EX_USAGE, "is a directory"),
    ("outbox export {place}/closed/lines", os.EX_CANTCREAT, "Permission denied"),
    ("support --quick --output {place}/closed/bundle", os.EX_CANTCREAT, "Permission denied"),
)


@contextmanager
def colleague() -> Iterator[None]:
    """Who is not root meanwhile."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(COLLEAGUE)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.parametrize(
    ("command", "code"),
    [*((each, os.EX_UNAVAILABLE) for each in ASKING), *((each, os.EX_OK) for each in READING)],
)
async def test_who_asks_needs_no_secret(
    place: Path, command: str, code: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importlib.metadata, "version", cache(importlib.metadata.version))  # that as well
    for somebody in (nullcontext, colleague):  # first as we are: everything that it imports is read then
        told = await asked(place, command, somebody)
        assert told.exit_code == code, (somebody, told.stderr, told.exception)


async def asked(place: Path, command: str, somebody: Callable[[], AbstractContextManager[object]]) -> Result:
    words = command.format(place=place, who=somebody.__name__).split()
    with somebody():
        return await asyncio.to_thread(
            CliRunner().invoke, cli.app, [*words, "--config", str(place / "roomd.toml")]
        )


@pytest.mark.parametrize(("command", "code", "words"), REFUSED)
async def test_what_may_not_be_looked_at_is_told(place: Path, command: str, code: int, words: str):
    (place / "closed").mkdir(mode=0)
    try:
        await asked(place, command.replace("closed", "nowhere"), nullcontext)  # all is imported then
        told = await asked(place, command, colleague)
    finally:
        (place / "closed").rmdir()
    assert (told.exit_code, words in told.stderr) == (code, True), (told.stderr, told.exception)


@pytest.mark.parametrize("command", ["outbox stats", "outbox export -", "backup {place}/desk/copy"])
async def test_a_damaged_database_is_called_so(place: Path, command: str):
    (place / "state" / FILE).write_bytes(b"a letter to my aunt" * 1000)
    told = await asked(place, command, nullcontext)
    assert told.exit_code == os.EX_DATAERR, told.exception
    assert "`roomd outbox verify` says what to do" in told.stderr


async def test_a_restore_for_which_there_is_no_room_changes_nothing(place: Path):
    assert (await asked(place, "backup {place}/desk/copy", nullcontext)).exit_code == 0
    before = held(place)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        told = await asked(place, "restore {place}/desk/copy", nullcontext)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (told.exit_code, "disk has room" in told.stderr) == (os.EX_IOERR, True), told.stderr
    assert held(place) == before


def held(place: Path) -> dict[str, bytes]:
    """What the state directory holds, but for who had it last."""
    return {path.name: path.read_bytes() for path in (place / "state").iterdir() if path.name != LOCK}
