"""What the file says of attendance, and what it may not say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from agent.core.model import Judging, RoomId
from agent.settings import ConfigurationRefused, read
from tests.agent.test_release_table import FJORD, ROOMS, SITE, TARN


def said(directory: Path, table: str = "", fjord: str = "") -> dict[RoomId, Judging]:
    (directory / "device-password").write_text("secret")
    (directory / "device-password").chmod(0o600)
    file = directory / "roomd.toml"
    file.write_text(SITE + table + ROOMS.format(fjord=fjord))
    return {room: rules.judging for room, rules in read(file).policy.rooms.items()}


def test_a_room_says_what_is_otherwise_and_the_site_says_the_rest(tmp_path):
    table = "[attendance]\npeople_s = 90\ngrace_min = 15\nempty_min = 3\noverrun_min = 8\nunbooked_min = 20\n"
    rules = said(tmp_path, table, "attendance = { grace_min = 5 }")
    assert rules[TARN] == Judging(
        people_for=timedelta(seconds=90),
        grace=timedelta(minutes=15),
        empty_for=timedelta(minutes=3),
        overrun_after=timedelta(minutes=8),
        unbooked_for=timedelta(minutes=20),
    )
    assert rules[FJORD].grace == timedelta(minutes=5)
    assert rules[FJORD].people_for == timedelta(seconds=90)
    assert said(tmp_path)[FJORD] == Judging()


@pytest.mark.parametrize(
    ("table", "mend"),
    [
        ("people_s = 5", "10 or more"),
        ("people_s = true", "a number"),
        ("grace_min = 0", "1 or more"),
        ('empty_min = "five"', "integer"),
        ("overrun_min = 1000000000000000", "60 or less"),
        ("unbooked = 10", "spelling"),
    ],
    ids=lambda text: text.split(" ")[0] if "=" in text else "",
)
def test_what_makes_no_sense_is_refused_with_its_mend(tmp_path, table, mend):
    with pytest.raises(ConfigurationRefused) as why:
        said(tmp_path, f"[attendance]\n{table}\n")
    (problem,) = why.value.problems
    assert problem.key == f"attendance.{table.split(' ')[0]}"
    assert mend in f"{problem.what}. {problem.mend}"
