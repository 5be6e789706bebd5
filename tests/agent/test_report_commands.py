"""`roomd report` as people run it: in a terminal, through a pipe, into a file, and when it cannot be done."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from agent import cli, report_commands, report_plots, trends
from agent.core.model import Counted
from tests.agent.counting import OSLO, day_of, listed, reported, write
from tests.agent.test_settings import GOOD

MEETING = Counted(booked_s=3600, attended_s=3000, in_use_s=3000, bookings=2, ghosts=1, attended=1)


class Site:
    """A configuration, a state directory, and somebody who types."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.state.mkdir()
        self.file = directory / "roomd.toml"
        self.file.write_text(
            GOOD.replace("capacity = 8", 'capacity = 8\ngroups = ["floor-2"]')
            + f'[[rooms]]\nid = "den"\n[agent]\nstate_directory = "{self.state}"\n',
            encoding="utf-8",
        )
        self.today = datetime.now(OSLO).date()

    def counts(self) -> None:
        days = (self.today - timedelta(days=days) for days in range(1, 4))
        workday = next(day for day in days if day.weekday() < 5)
        write(
            self.state,
            [
                hour
                for room in ("fjord", "den")
                for hour in day_of(room, workday, dict.fromkeys(range(8, 18), MEETING))
            ],
        )

    def types(self, *words: str) -> Result:
        return CliRunner().invoke(cli.app, ["report", "--config", str(self.file), *words])


@pytest.fixture
def site(tmp_path, monkeypatch) -> Site:
    """Its secrets are not there: who may see a report needs none of them."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "plots"))
    return Site(tmp_path)


@pytest.fixture
def counted(site: Site) -> Site:
    site.counts()
    return site


def test_without_a_word_it_tells_of_all_rooms_and_the_last_30_days(counted):
    told = counted.types()
    assert told.exit_code == 0
    assert told.stdout.startswith("all rooms, 2 rooms, ")
    assert "Nobody came" in told.stdout
    assert "20 of" in told.stdout or "20 (50%)" in told.stdout
    assert "not known" in told.stdout
    assert "\x1b" not in told.stdout  # a pipe is no terminal


def test_one_room_or_group_can_be_asked_for(counted):
    of_group = json.loads(counted.types("--group", "FLOOR-2", "--json").stdout)
    of_room = json.loads(counted.types("--room", "den", "--last", "4d", "--format", "json").stdout)
    assert [room["room"] for room in of_group["rooms"]] == ["fjord"]
    assert [room["room"] for room in of_room["rooms"]] == ["den"]
    assert of_room["total"]["ghosts"] == 10


def test_json_is_one_value_on_one_line(counted):
    (line,) = counted.types("--json").stdout.splitlines()
    assert json.loads(line)["site"] == "oslo-lysaker"


def test_csv_is_for_spreadsheets_by_room_or_otherwise(counted):
    by_room = list(csv.DictReader(io.StringIO(counted.types("--format", "csv").stdout)))
    assert [(line["room"], line["ghosts"]) for line in by_room] == [("den", "10"), ("fjord", "10")]
    by_hour = list(csv.DictReader(io.StringIO(counted.types("--format", "csv", "--by", "hour").stdout)))
    assert sum(int(line["ghosts"]) for line in by_hour) == 20


def test_a_document_is_written_as_its_name_says_and_never_over_another(counted, tmp_path):
    file = tmp_path / "report.html"
    told = counted.types("--output", str(file))
    assert (told.exit_code, told.stdout) == (0, "")
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert str(file) in told.stderr
    before = file.read_bytes()
    again = counted.types("--output", str(file))
    assert (again.exit_code, file.read_bytes()) == (os.EX_USAGE, before)
    assert "--force" in again.stderr
    assert counted.types("--output", str(file), "--force", "--format", "csv").exit_code == 0
    assert file.read_text(encoding="utf-8").startswith("room,")
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--group", "florr"), "there is floor-2"),
        (("--room", "attic"), "no room is called 'attic'"),
        (("--last", "soon"), "30d or 4w"),
        (("--from", "2026-03-01", "--last", "3d"), "name one of them"),
        (("--to", "2999-01-01"), "still to come"),
        (("--json", "--format", "csv"), "contradict"),
        (("--by", "week"), "--format csv"),
        (("--output", "report.pdf"), "a report is no .pdf"),
    ],
    ids=["group", "room", "last", "both", "future", "two forms", "by", "ending"],
)
def test_what_cannot_be_meant_is_refused_with_the_mend(site, words, why):
    told = site.types(*words)
    assert (told.exit_code, told.stdout) == (os.EX_USAGE, "")
    assert why in told.stderr


def test_before_anything_was_counted_it_says_when_that_will_be(site):
    told = site.types()
    assert (told.exit_code, told.stdout) == (os.EX_NOINPUT, "")
    assert "after its first hour" in told.stderr


def test_a_damaged_file_is_named_with_what_becomes_of_it(site):
    (site.state / trends.FILE).write_bytes(b"not a database, but long enough to be taken for one" * 99)
    told = site.types()
    assert told.exit_code == os.EX_DATAERR
    assert trends.FILE in told.stderr
    assert "saves what it can" in told.stderr


def test_days_without_a_record_are_told_and_are_no_mistake(counted):
    told = counted.types("--to", str(counted.today - timedelta(days=9)), "--last", "5d")
    assert told.exit_code == 0
    assert "Nothing is recorded of these rooms and days: an hour is counted when it is over." in told.stdout


def test_where_the_plots_process_is_killed_it_says_what_can_be_had_without(tmp_path, capsys):
    with report_commands.drawn_beside() as draw:
        (process,) = multiprocessing.active_children()
        process.kill()
        with pytest.raises(typer.Exit) as gone:
            draw(reported(tmp_path, (), listed("den")))
    assert gone.value.exit_code == os.EX_SOFTWARE
    assert "--format csv" in capsys.readouterr().err


def test_where_the_second_of_those_who_draw_is_killed_it_says_the_same(counted, monkeypatch):
    *_, last = report_plots.PLOTS
    plots = {**report_plots.PLOTS, last: lambda _: signal.raise_signal(signal.SIGKILL)}
    monkeypatch.setattr(report_plots, "PLOTS", plots)
    told = counted.types("--format", "html")
    assert (told.exit_code, told.stdout) == (os.EX_SOFTWARE, "")
    assert f"their process ended with {signal.SIGKILL}" in told.stderr


def test_where_the_first_of_those_who_draw_is_killed_the_second_waits_for_nobody(counted, monkeypatch):
    first, *_, last = report_plots.PLOTS
    plots = {
        **report_plots.PLOTS,
        first: lambda _: signal.raise_signal(signal.SIGKILL),
        last: lambda _: "more than a pipe holds" * 10_000,
    }
    monkeypatch.setattr(report_plots, "PLOTS", plots)
    told = counted.types("--format", "html")
    assert (told.exit_code, told.stdout) == (os.EX_SOFTWARE, "")
    assert "--format csv" in told.stderr


def test_a_report_for_a_spreadsheet_loads_nothing_that_only_other_forms_need(counted):
    program = (
        "import sys; from agent import cli; cli.app(sys.argv[1:], standalone_mode=False); "
        "others = {'asyncio', 'matplotlib', 'rich', 'structlog'} & sys.modules.keys(); "
        "sys.exit(', '.join(sorted(others)) or 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, "report", "--config", counted.file, "--format", "csv"],
        env={name: value for name, value in os.environ.items() if not name.startswith("ROOMD_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("room,name,groups")


def test_a_notebooks_settings_do_not_reach_the_plots(counted, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "no such backend")
    assert counted.types("--format", "html").stdout.count("<svg") == 4
