"""The service as systemd reads it: without a word of complaint, and with as little open as it can do with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
UNIT = REPOSITORY / "systemd" / "roomd.service"
LEFT_OPEN_AT_MOST = 15  # tenths, as systemd-analyze counts


def asked(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """With commands that are here, for systemd looks whether they are."""
    copy = tmp_path / "roomd.service"
    copy.write_text(UNIT.read_text().replace("/usr/bin/roomd", "/bin/true"))
    return copy


def test_systemd_finds_nothing_to_say_about_the_unit(unit):
    said = asked("systemd-analyze", "verify", "--man=no", str(unit))
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_the_unit_leaves_little_open(unit):
    said = asked(
        "systemd-analyze", "security", "--offline=true", f"--threshold={LEFT_OPEN_AT_MOST}", str(unit)
    )
    assert said.returncode == 0, said.stdout


def test_what_a_person_must_mend_is_not_tried_again_and_all_else_for_ever():
    lines = UNIT.read_text().splitlines()
    for line in ("RestartPreventExitStatus=65 78", "Restart=always", "StartLimitIntervalSec=0"):
        assert line in lines
    for line in ("Type=notify", "WatchdogSec=60", "TimeoutStopSec=15", "LimitCORE=0"):
        assert line in lines


def test_where_a_report_takes_all_memory_the_daemon_does_not_go_with_it():
    assert "OOMPolicy=continue" in UNIT.read_text().splitlines()  # unless told, systemd stops all of it


def test_user_and_directories_are_as_systemd_can_make_them(tmp_path):
    for name in ("passwd", "group"):
        (tmp_path / "etc").mkdir(exist_ok=True)
        (tmp_path / "etc" / name).write_text(
            "root:x:0:\n" if name == "group" else "root:x:0:0::/root:/bin/sh\n"
        )
    made = asked(
        "systemd-sysusers", f"--root={tmp_path}", "--dry-run", str(REPOSITORY / "systemd/roomd.sysusers")
    )
    assert made.returncode == 0, made.stderr
    assert "roomd" in made.stdout + made.stderr
    fields = [
        line.split()
        for line in (REPOSITORY / "systemd/roomd.tmpfiles").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert fields == [
        ["d", "/etc/roomd", "2750", "root", "roomd", "-"],
        ["d", "/etc/roomd/credentials", "0700", "root", "root", "-"],
    ]
