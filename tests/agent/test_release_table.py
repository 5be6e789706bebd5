"""What the file says of releasing rooms, and what it may not say."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.core.model import ReleaseMode, Releasing, RoomId
from agent.core.week import read_hours
from agent.settings import ConfigurationRefused, read

SITE = """
[site]
id = "oslo-lysaker"
timezone = "Europe/Oslo"
[mqtt]
url = "mqtts://broker.example.com"
[devices]
username = "roomd"
password_file = "device-password"
"""
ROOMS = """
[[rooms]]
id = "fjord"
{fjord}
[[rooms.devices]]
host = "10.0.4.21"
[[rooms]]
id = "tarn"
[[rooms.devices]]
host = "10.0.4.22"
"""
FJORD, TARN = RoomId("fjord"), RoomId("tarn")


def said(directory: Path, table: str = "", fjord: str = "") -> dict[RoomId, Releasing]:
    (directory / "device-password").write_text("secret")
    (directory / "device-password").chmod(0o600)
    file = directory / "roomd.toml"
    file.write_text(SITE + table + ROOMS.format(fjord=fjord))
    return {room: rules.releasing for room, rules in read(file).policy.rooms.items()}


def refused(directory: Path, table: str) -> dict[str, str]:
    with pytest.raises(ConfigurationRefused) as why:
        said(directory, f"[release]\n{table}\n")
    return {problem.key: f"{problem.what}. {problem.mend}" for problem in why.value.problems}


def test_nothing_is_released_where_the_file_says_nothing(tmp_path):
    assert said(tmp_path)[FJORD] == Releasing()
    assert Releasing().mode is ReleaseMode.OFF


def test_a_room_says_what_is_otherwise_and_the_site_says_the_rest(tmp_path):
    table = '[release]\nmode = "on"\ngrace_min = 12\nspare_organizers = ["Eva"]\n'
    rules = said(tmp_path, table, 'release = { mode = "dry-run", warning_s = 0, spare_organizers = [] }')
    assert rules[TARN] == Releasing(mode=ReleaseMode.ON, grace=timedelta(minutes=12), organizers=("Eva",))
    assert rules[FJORD] == Releasing(
        mode=ReleaseMode.DRY_RUN, grace=timedelta(minutes=12), warning=timedelta()
    )


def test_every_key_counts(tmp_path):
    table = """[release]
mode = "on"
grace_min = 5
empty_min = 3
warning_s = 90
spare_longer_than_min = false
spare_private = true
spare_organizers = ["*@board.example.com"]
spare_hours = ["Mon-Fri 11:30-13:00", "Sat,Sun 00:00-24:00"]
title = ""
text = "Er noen her? {time}"
answer = "Ja"
countdown = ""
"""
    assert said(tmp_path, table)[FJORD] == Releasing(
        mode=ReleaseMode.ON,
        grace=timedelta(minutes=5),
        empty_for=timedelta(minutes=3),
        warning=timedelta(seconds=90),
        longest=None,
        private=False,
        organizers=("*@board.example.com",),
        hours=(read_hours("mon-fri 11:30-13:00"), read_hours("Sat-Sun 00:00-24:00")),
        title="",
        text="Er noen her? {time}",
        answer="Ja",
        countdown="",
    )
    assert said(tmp_path, "[release]\nspare_longer_than_min = 90")[FJORD].longest == timedelta(minutes=90)


def test_organizers_that_are_not_read_are_worth_a_note(tmp_path):
    microsoft = '[microsoft]\ntenant = "contoso.com"\nclient_id = "{id}"\nsecret_file = "device-password"\n'
    microsoft = microsoft.format(id="0f0e0d0c-0b0a-0908-0706-050403020100")
    said(tmp_path, microsoft + '[release]\nmode = "on"\nspare_organizers = ["Eva"]\n')
    (note,) = [note for note in read(tmp_path / "roomd.toml").notes if "release" in note]
    assert note.endswith("organizers = true in [microsoft]")


@pytest.mark.parametrize(
    ("table", "key", "mend"),
    [
        ('mode = "yes"', "release.mode", "'dry-run'"),
        ("mode = true", "release.mode", "'dry-run'"),
        ("grace_min = 0", "release.grace_min", "1 or more"),
        ("grace_min = true", "release.grace_min", "a number"),
        ("empty_min = 61", "release.empty_min", "60 or less"),
        ("warning_s = 5", "release.warning_s", "0 to warn nobody"),
        ("warning_s = 601", "release.warning_s", "600 or less"),
        ("spare_longer_than_min = true", "release.spare_longer_than_min", "false"),
        ("spare_longer_than_min = 1000000000000000", "release.spare_longer_than_min", "false"),
        ('answer = " "', "release.answer", "at least 1 character"),
        ('spare_hours = ["noon"]', "release.spare_hours[0]", "Mon-Fri 12:00-13:00"),
        ('spare_hours = ["Fri 18:00-08:00"]', "release.spare_hours[0]", "end before they begin"),
        ('spare_hours = ["Mon 12:00-25:00"]', "release.spare_hours[0]", "end before they begin"),
        ('spare_hours = ["Mon 12:75-13:00"]', "release.spare_hours[0]", "are no hours"),
        ('spare_organizers = "Eva"', "release.spare_organizers", '["…"]'),
        ('answer = ""', "release.answer", "character"),
        ("grace = 5", "release.grace", "spelling"),
    ],
    ids=lambda text: text.split(" ")[0] if "=" in text else "",
)
def test_what_makes_no_sense_is_refused_with_its_mend(tmp_path, table, key, mend):
    problems = refused(tmp_path, table)
    assert list(problems) == [key]
    assert mend in problems[key]


@pytest.mark.parametrize(
    ("written", "moment", "inside"),
    [
        ("Mon-Fri 08:00-18:00", "2026-03-02T08:00", True),  # a Monday
        ("Mon-Fri 08:00-18:00", "2026-03-02T18:00", False),
        ("Mon-Fri 08:00-18:00", "2026-03-07T12:00", False),
        ("Fri-Mon 00:00-24:00", "2026-03-08T23:59", True),
        ("Fri-Mon 00:00-24:00", "2026-03-03T00:00", False),
        ("12:00-13:00", "2026-03-08T12:30", True),
        ("mon,WED 12:00-13:00", "2026-03-04T12:30", True),
    ],
)
def test_hours_of_the_week_are_read_as_people_write_them(written, moment, inside):
    assert read_hours(written).hold(datetime.fromisoformat(moment)) is inside
