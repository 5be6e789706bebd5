from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from agent.standing import why_not_ready
from agent.telemetry import notify
from agent.watchdog import Seen, limit_s, stuck
from cloud_link.database import Trouble

WELL = Seen(asked_s=0.0, refused_s=None, busy_s=0.0, overdue_s=0.0, late_s=0.0)
PATIENCE_S = 30.0


def words(seen: Seen) -> str:
    return "; ".join(stuck(seen, patience_s=PATIENCE_S))


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (replace(WELL, asked_s=31.0), "database"),
        (replace(WELL, busy_s=31.0), "rooms"),
        (replace(WELL, overdue_s=31.0), "broker"),
    ],
)
def test_what_does_not_move_is_named(seen: Seen, word: str):
    assert word in words(seen)
    assert "31 s" in words(seen)


def test_whoever_is_slow_is_not_stuck():
    assert words(replace(WELL, asked_s=29.0, busy_s=29.0, overdue_s=29.0)) == ""


def test_a_disk_that_refuses_and_is_asked_again_would_be_no_better_after_a_restart():
    assert words(replace(WELL, asked_s=600.0, busy_s=600.0, refused_s=2.0)) == ""


def test_a_disk_that_refused_once_and_then_hangs_is_stuck():
    assert "database" in words(replace(WELL, asked_s=600.0, busy_s=600.0, refused_s=590.0))


def test_a_full_disk_excuses_nobody_else():
    assert "broker" in words(replace(WELL, refused_s=2.0, overdue_s=60.0))


def test_rooms_that_wait_for_a_database_that_hangs_are_not_the_cause():
    assert words(replace(WELL, asked_s=40.0, busy_s=40.0)).count("for") == 1


def test_who_stood_still_with_the_whole_machine_is_not_stuck():
    seen = Seen(asked_s=55.0, refused_s=None, busy_s=55.0, overdue_s=55.0, late_s=50.0)
    assert words(seen) == ""
    assert words(replace(seen, refused_s=55.0)) == ""
    assert "database" in words(replace(seen, late_s=0.0))


@pytest.mark.parametrize(
    ("environment", "limit"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "17"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "18"}, None),  # is meant for somebody else
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_PID": "17"}, None),
    ],
)
def test_systemd_says_whether_it_watches(environment: dict[str, str], limit: float | None):
    assert limit_s(environment, process=17) == limit


def test_why_it_is_not_ready_stands_there_in_words():
    assert why_not_ready(begun=True, trouble=None, stuck=()) == ()
    full = Trouble(why="database or disk is full", full=True, since_s=0.0)
    reasons = why_not_ready(begun=False, trouble=full, stuck=("the rooms hang",))
    assert len(reasons) == 3
    assert any("make room" in reason for reason in reasons)


@pytest.mark.timeout(30)
def test_a_systemd_that_does_not_listen_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line,
    ):
        deaf.bind("notify")
        line.setblocking(False)
        with suppress(BlockingIOError):  # its queue is full then
            while True:
                line.sendto(b"WATCHDOG=1", "notify")
        monkeypatch.setenv("NOTIFY_SOCKET", "notify")
        notify("READY=1")
