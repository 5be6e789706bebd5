"""What the file says of the hours in which rooms are there to be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.changes import Part, difference
from agent.core.week import read_hours
from agent.settings import Configuration, ConfigurationRefused, read, read_whereabouts

OFFICE = read_hours("Mon-Fri 08:00-18:00")
SATURDAY = read_hours("Sat 09:00-12:00")


def file_with(directory: Path, hours: str) -> Path:
    file = directory / "roomd.toml"
    file.write_text(
        f'[site]\nid = "oslo"\ntimezone = "Europe/Oslo"\n{hours}\n[mqtt]\nurl = "mqtt://127.0.0.1"\n'
        '[[rooms]]\nid = "fjord"\ncalendar = {}\n'
    )
    return file


def configured(directory: Path, hours: str) -> Configuration:
    return read(file_with(directory, hours))


def test_the_office_is_open_on_weekdays_unless_the_file_says_otherwise(tmp_path: Path):
    assert configured(tmp_path, "").policy.working == (OFFICE,)
    hours = 'working_hours = ["Mon-Fri 08:00-18:00", "Sat 09:00-12:00"]'
    assert configured(tmp_path, hours).policy.working == (OFFICE, SATURDAY)
    assert read_whereabouts(file_with(tmp_path, hours)).working == (OFFICE, SATURDAY)
    assert configured(tmp_path, "working_hours = []").policy.working == ()


def test_hours_that_are_none_are_refused_with_how_to_write_them(tmp_path: Path):
    with pytest.raises(ConfigurationRefused) as refusal:
        configured(tmp_path, 'working_hours = ["Mon-Fri 08:00-18:00", "Sat 9-12"]')
    (problem,) = refusal.value.problems
    assert problem.key == "site.working_hours[1]"
    assert "Mon-Fri" in problem.mend


def test_other_hours_are_taken_up_with_a_reload_and_close_nothing(tmp_path: Path):
    before = configured(tmp_path, "")
    after = configured(tmp_path, 'working_hours = ["Sat 09:00-12:00"]')
    assert difference(before, after).parts == {Part.WORKING}
