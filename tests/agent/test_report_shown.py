"""A report as it is shown: words that hide nothing, tables for spreadsheets, plots that need no colour."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from agent.core.model import Counted
from agent.report import Report, Sums
from agent.report_html import document, fragment
from agent.report_plots import PLOTS, TONES, alone, draw_all
from agent.report_words import as_csv, figures, percent, recorded, sections, told
from tests.agent.counting import MONDAY, day_of, listed, reported

SVG = "{http://www.w3.org/2000/svg}"
STRANGE = "Fjord <b onclick=alert(1)> & $x^2$ 会议室 \x1b[31m"
MEETING = Counted(
    booked_s=3600, attended_s=1800, empty_s=1800, in_use_s=1800, counted_s=1800, people_min=60, people_peak=2,
    bookings=3, ghosts=1, attended=1, left_early=1, freed_min=30,
)  # fmt: skip
BLIND = Counted(booked_s=3600, unknown_s=3600, bookings=1, unknown=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Report:
    """Five weeks of four rooms, one of them blind, one called by whatever can be typed."""
    hours = [
        hour
        for number in range(35)
        for name, counted in (("fjord", MEETING), ("den", MEETING), ("blind", BLIND))
        for hour in day_of(name, MONDAY + timedelta(days=number), dict.fromkeys(range(8, 18), counted))
    ]
    strange = listed("fjord", 12, "floor-2")
    rooms = (replace(strange, name=STRANGE), listed("den", 4), listed("blind", 4), listed("never", None))
    return reported(tmp_path_factory.mktemp("state"), hours, *rooms, days=36)


@pytest.fixture(scope="module")
def drawn(made) -> Mapping[str, str]:
    return draw_all(made)


class Seen(HTMLParser):
    """What stands in a document."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.words.append(data)


# ── words ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("share", "words"),
    [(None, "–"), (0.0, "0%"), (0.001, "<1%"), (0.12, "12%"), (0.996, ">99%"), (1.0, "100%")],
    ids=["none", "nothing", "little", "some", "nearly", "all"],
)
def test_what_is_there_is_never_shown_as_nothing_nor_what_is_missing_as_all(share, words):
    assert percent(share) == words


def test_beside_every_number_of_the_site_stands_how_much_nobody_knows(made):
    shown = {figure.name: f"{figure.value} {figure.beside}" for figure in figures(made)}
    assert "cannot be judged" in shown["Nobody came"]
    assert "33% of it not known" in shown["Bookings"]
    assert "not known 33%" in shown["In use in working hours"]


def test_a_room_that_is_blind_is_named_and_not_ranked(made):
    (busiest,) = [section for section in sections(made) if section.name == "busiest"]
    assert any("not ranked" in says and "Blind" in says for says in busiest.says)
    assert not any("Blind" in row for table in busiest.tables for row in table.rows)


def test_days_without_a_record_are_told_of(tmp_path, made):
    assert recorded(made) == ""
    told = reported(
        tmp_path, day_of("fjord", MONDAY), listed("fjord"), since=MONDAY - timedelta(days=3), days=9
    )
    assert recorded(told) == (
        "Nothing was recorded before 2 Mar 2026 and after 2 Mar 2026: what follows is of the other days."
    )
    assert (
        recorded(reported(tmp_path, (), listed("den")))
        == "Nothing is recorded of these rooms and days: an hour is counted when it is over."
    )


# ── for machines ──────────────────────────────────────────────────────────────────────────────────


def test_json_has_the_same_numbers_and_null_where_nothing_can_be_said(made):
    document = json.loads(json.dumps(told(made)))
    assert document["total"]["ghosts"] == made.total.ghosts
    never = next(room for room in document["rooms"] if room["room"] == "never")
    assert (never["use"], never["ghost_share"], never["recorded_since"]) == (None, None, None)
    assert len(document["hours"]) == 7 * 24


@pytest.mark.parametrize(("by", "lines"), [("room", 4), ("day", 35), ("week", 5), ("hour", 168)])
def test_csv_has_a_line_for_each_and_names_above(made, by, lines):
    table = list(csv.DictReader(io.StringIO(as_csv(made, by), newline="")))
    assert len(table) == lines
    assert {"bookings", "ghosts", "unjudged_share", "unknown_share"} <= table[0].keys()


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "+44", "-1", "\t=1", " =1", "\n=1", "\uff1d1"])
def test_a_name_that_a_spreadsheet_would_calculate_stays_a_name(tmp_path, name):
    made = reported(tmp_path, day_of("fjord", MONDAY), replace(listed("fjord"), name=name))
    (line,) = csv.DictReader(io.StringIO(as_csv(made, "room"), newline=""))
    assert line["name"] == f"'{name}"


def test_groups_of_several_words_can_be_told_apart_in_csv(tmp_path):
    made = reported(tmp_path, day_of("fjord", MONDAY), listed("fjord", 8, "2nd floor", "north wing"))
    (line,) = csv.DictReader(io.StringIO(as_csv(made, "room"), newline=""))
    assert line["groups"] == "2nd floor, north wing"


# ── plots ─────────────────────────────────────────────────────────────────────────────────────────


def test_every_plot_can_be_read_by_day_and_by_night_and_fetches_nothing(drawn):
    for name, svg in drawn.items():
        picture = ET.fromstring(alone(svg))
        assert picture.tag == f"{SVG}svg", name
        assert not [each for each in picture.iter() if each.tag in {f"{SVG}image", f"{SVG}script"}]
        left = set(re.findall(r"(?<!, )#[0-9a-f]{6}\b", svg)) - {"#000000", "#ffffff"}
        assert not left & TONES.keys(), f"{name}: a tone of its own by night"
        assert "prefers-color-scheme:dark" in alone(svg)
        assert "http" not in svg.replace("http://www.w3.org/", ""), name


@pytest.mark.parametrize("name", PLOTS)
def test_what_is_not_known_is_hatched_and_so_seen_without_colour(drawn, name):
    if name != "too-big":
        assert "<pattern" in drawn[name]


@pytest.mark.parametrize("many", [5, 30])
def test_weeks_without_working_hours_are_not_drawn_as_empty(made, many):
    weekend = replace(made.weeks[0], sums=Sums(span_s=86_400))
    picture = ET.fromstring(PLOTS["weeks"](replace(made, weeks=(weekend,) * many)))
    drawn = [path.get("d", "") for path in picture.iter(f"{SVG}path") if "--edge" in path.get("style", "")]
    areas = [path for path in drawn if "z" in path and len(set(re.findall(r"[\d.]+ ([\d.]+)", path))) > 1]
    assert len(areas) == 1  # the legend's


def test_words_in_plots_stay_words(drawn):
    words = " ".join(ET.fromstring(drawn["too-big"]).itertext())
    assert "Fjord <b onclick=alert" in words
    assert "2 of 12" in words


def test_numbers_in_plots_are_those_of_the_tables_also_where_little_was_booked(tmp_path):
    short = Counted(booked_s=1800, attended_s=900, empty_s=900, in_use_s=900)
    made = reported(tmp_path, day_of("fjord", MONDAY, {9: short, 10: BLIND}), listed("fjord"))
    empty, ghosts = (list(ET.fromstring(PLOTS[name](made)).itertext()) for name in ("empty", "ghosts"))
    assert "50%" in empty
    assert "?" in empty
    assert "?" in ghosts
    assert "0" not in ghosts


@pytest.mark.parametrize(
    ("sign", "breadth"), [("a", 6.2), ("H", 7.6), ("会", 10)], ids=["small", "capital", "broad"]
)
def test_a_long_name_is_cut_so_that_its_begin_is_seen(made, sign, breadth):
    rooms = tuple(replace(each, room=replace(each.room, name=sign * 40)) for each in made.rooms)
    named = re.search(rf'x="([\d.]+)"[^>]*>({sign}+…)<', PLOTS["too-big"](replace(made, rooms=rooms)))
    assert named is not None
    assert len(named[2]) > 12
    assert len(named[2]) * breadth < float(named[1])


def test_the_same_report_is_drawn_the_same_way(made, drawn):
    assert PLOTS["ghosts"](made) == drawn["ghosts"]


# ── documents ─────────────────────────────────────────────────────────────────────────────────────


def test_the_document_stands_alone_and_says_in_words_and_tables_what_its_plots_show(made, drawn):
    text = document(made, drawn)
    seen = Seen(text)
    assert not [attrs for tag, attrs in seen.tags if tag in {"script", "link", "img"} or "onclick" in attrs]
    plots = [attrs for tag, attrs in seen.tags if tag == "svg"]
    assert len(plots) == len(PLOTS)
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in plots)
    assert len(seen.ids) == len(set(seen.ids)), sorted(seen.ids)
    assert [tag for tag, _ in seen.tags].count("table") >= len(PLOTS)
    assert "<b onclick" not in text
    assert "\x1b" not in text


def test_the_pages_part_has_its_plots_as_pictures_with_the_query_that_leads_to_them(made):
    pictures = [
        attrs for tag, attrs in Seen(fragment(made, asked={"group": ["floor-2 & 3"]})).tags if tag == "img"
    ]
    assert [each["src"] for each in pictures] == [
        f"/trends/{name}.svg?group=floor-2+%26+3"
        for name in ("ghosts", "empty", "too-big", "busiest", "weeks")
    ]
    assert all(each["alt"] for each in pictures)


def test_of_nothing_there_is_a_document_that_says_so(tmp_path):
    made = reported(tmp_path, (), listed("fjord"), days=30)
    assert draw_all(made) == {}
    assert "Nothing is recorded" in document(made, {})
