"""What the daemon says about itself: lines that nobody else can forge, and that hold no secret."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from agent.telemetry import AGAIN_EVERY_S, BURST, KNOWN_AT_ONCE, Spare, notify

SECRET = "hunter2"
FORGED = "9999-01-01T00:00:00Z [error    ] device.forged"
SAID = f"no\n{FORGED}\r\x1b[2J\x9b\u202e\u2028 \ud800 møte"
STORY = """
import asyncio, logging, sys, threading, warnings
import structlog
from agent.telemetry import LogForm, configure_logs

said, secret, verbose = sys.argv[2].encode().decode("unicode_escape"), sys.argv[3], len(sys.argv) > 4
configure_logs(form=LogForm(sys.argv[1]), verbose=verbose)
log = structlog.get_logger()


def logs_in(_login):
    raise ZeroDivisionError(said)


log.debug("device.lost", device="fjord")
log.info("device.connected", device="fjord", people=None, why=said, seen=[said], error=ValueError(said))
log.warning(said)
logging.getLogger("asyncssh").warning("host key of %s", said)
logging.getLogger("httpx").info("GET /token")
warnings.warn("old ways")
try:
    logs_in(secret)
except ZeroDivisionError:
    log.exception("link.crashed", device="fjord")
    logging.getLogger("uvicorn.error").exception("no answer")
thread = threading.Thread(target=logs_in, args=(secret,))
thread.start()
thread.join()


async def calls_back():
    asyncio.get_running_loop().call_soon(logs_in, secret)
    await asyncio.sleep(0)


asyncio.run(calls_back())
logs_in(secret)
"""
FLOOD = """
import logging, sys
import structlog
from agent.telemetry import LogForm, configure_logs

configure_logs(form=LogForm.JSON, verbose=len(sys.argv) > 1)
log = structlog.get_logger()
for number in range(100):
    log.warning("device.lost", device="fjord", why=f"reason {number}")
    log.warning("device.lost", device="vidda", why="gone")
    log.info("command.kept", command="c", room="fjord")
    logging.getLogger("asyncio").warning("slow")
"""
CRASHED = ["roomd.thread_crashed", "library.said", "roomd.crashed"]
EVENTS = [
    "device.connected",
    SAID,
    *["library.said"] * 2,
    "link.crashed",
    "library.said",
    *CRASHED,
]


def told(tmp_path: Path, form: str, *, journal: bool = False, verbose: bool = False) -> str:
    story, shown = tmp_path / "story.py", tmp_path / "shown"
    story.write_text(STORY, encoding="utf-8")
    said = SAID.encode("unicode_escape").decode()
    with shown.open("wb") as stream:
        to = os.fstat(stream.fileno())
        ended = subprocess.run(
            [sys.executable, story, form, said, SECRET, *(["verbose"] if verbose else [])],
            stderr=stream,
            check=False,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "JOURNAL_STREAM": f"{to.st_dev}:{to.st_ino}" if journal else "8:1",
            },
        )
    assert ended.returncode == 1
    return shown.read_text(encoding="utf-8")


def test_json_is_a_line_for_each_event_whoever_says_it(tmp_path):
    text = told(tmp_path, "json")
    assert SECRET not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == EVENTS
    first = lines[0]
    assert (first["why"], first["seen"], first["people"]) == (SAID, [SAID], None)
    assert all(line.isprintable() for line in text.split("\n"))
    libraries = {line["library"]: line for line in lines if line["event"] == "library.said"}
    assert set(libraries) == {"asyncssh", "py.warnings", "uvicorn.error", "asyncio"}
    assert libraries["asyncssh"]["words"] == f"host key of {SAID}"
    assert libraries["asyncssh"]["level"] == "warning"
    assert libraries["asyncio"]["words"] == "Exception in callback logs_in"
    for line in lines:
        broke = line["event"] in {"link.crashed", *CRASHED} and line.get("library") != "py.warnings"
        if broke and line.get("library") != "asyncssh":
            assert "logs_in" in line["exception"]
            assert "ZeroDivisionError" in line["exception"]


def test_words_are_told_from_what_others_say(tmp_path):
    text = told(tmp_path, "words")
    assert SECRET not in text
    assert all(line.isprintable() for line in text.split("\n"))
    begun = [line for line in text.splitlines() if not line.startswith("    ")]  # tracebacks are set in
    assert len(begun) == len(EVENTS)
    assert all(re.match(r"20\d\d-", line) for line in begun)
    for words in ("link.crashed", "device=fjord", "logs_in", "ZeroDivisionError", "roomd.crashed", "møte"):
        assert words in text


def test_the_journal_gets_json_behind_priorities(tmp_path):
    lines = told(tmp_path, "auto", journal=True).splitlines()
    found = [(line[:3], json.loads(line[3:])) for line in lines]
    assert [event["event"] for _, event in found] == EVENTS
    assert {(priority, event["level"]) for priority, event in found} == {
        ("<6>", "info"),
        ("<4>", "warning"),
        ("<3>", "error"),
        ("<2>", "critical"),
    }


def test_words_for_the_journal_keep_their_priority_in_every_line(tmp_path):
    lines = told(tmp_path, "words", journal=True).splitlines()
    assert all(re.match(r"<[2346]>(20\d\d-|    )", line) for line in lines)


def test_what_is_not_the_journal_gets_words(tmp_path):
    text = told(tmp_path, "auto")  # JOURNAL_STREAM is another's: the service printed into a file, say
    assert re.match(r"20\d\d-\S+ \[info", text)


def test_repeats_are_told_to_who_wants_them(tmp_path):
    lines = [json.loads(line) for line in told(tmp_path, "json", verbose=True).splitlines()]
    assert lines[0]["event"] == "device.lost"
    assert "GET /token" not in str(lines)  # what libraries do is not what happens to roomd


def test_a_day_of_trouble_is_a_few_lines():
    spare = Spare()
    day_s = 24 * 3600
    said = [spare.unsaid("fjord lost", at_s) for at_s in range(0, day_s, 60)]
    told = [unsaid for unsaid in said if unsaid is not None]
    assert len(told) <= BURST + 24
    assert sum(told) + len(told) >= len(said) - 60  # nobody is left in the dark about how many there were
    assert spare.unsaid("vidda lost", day_s) == 0  # somebody else's trouble
    assert spare.unsaid("fjord lost", day_s + BURST * AGAIN_EVERY_S) is not None


def test_it_remembers_no_more_than_so_many_things():
    spare = Spare()
    for number in range(KNOWN_AT_ONCE + 10):
        for _ in range(BURST):
            assert spare.unsaid(number, 0.0) == 0
    assert spare.unsaid(KNOWN_AT_ONCE, 0.0) is None
    assert spare.unsaid(0, 0.0) == 0  # forgotten


def test_a_flood_is_cut_short_and_whoever_wants_to_reads_all_of_it():
    def flooded(*arguments: str) -> list[str]:
        ended = subprocess.run(
            [sys.executable, "-c", FLOOD, *arguments],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        return [json.loads(line)["event"] for line in ended.stderr.splitlines()]

    said = flooded()
    assert {event: said.count(event) for event in set(said)} == {
        "device.lost": 2 * BURST,
        "library.said": BURST,
        "command.kept": 100,  # no more than were given
    }
    assert len(flooded("verbose")) == 400


def test_a_file_that_cannot_be_used_is_a_line_for_each_problem(tmp_path):
    config = tmp_path / "roomd.toml"
    config.write_text('[site]\nid = "Not A Slug"\nprivacy = "loud"\n', encoding="utf-8")
    command = [sys.executable, "-m", "agent.cli", "run", "--config", str(config), "--log-format", "json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (os.EX_CONFIG, "")
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {line["event"] for line in lines} == {"configuration.refused"}
    assert {"site.id", "site.privacy"} <= {line["at"] for line in lines}
    assert all(line["file"] == str(config) and line["mend"] for line in lines)


def test_systemd_is_told(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"
