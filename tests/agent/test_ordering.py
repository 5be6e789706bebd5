"""What people type for spans and times, and what is made of it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ordering import Unclear, end, instant, span, surfaces

OSLO = ZoneInfo("Europe/Oslo")
NOW = datetime(2026, 11, 21, 13, 20, tzinfo=UTC)  # 14:20 in Oslo


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("15min", timedelta(minutes=15)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        (" 2H ", timedelta(hours=2)),
        ("1d", timedelta(days=1)),
    ],
)
def test_spans_are_written_as_people_write_them(text, length):
    assert span(text) == length


@pytest.mark.parametrize("text", ["", "soon", "15", "-5m", "0m", "1.5h", "30m1h", "99999999999m"])
def test_what_is_no_span_is_told_with_an_example(text):
    with pytest.raises(Unclear, match="15m"):
        span(text)


def test_a_time_of_day_is_the_next_one_by_the_sites_clock():
    assert instant("14:30", NOW, OSLO) == NOW + timedelta(minutes=10)
    assert instant("14:20", NOW, OSLO) == NOW
    late = datetime(2026, 11, 21, 22, 50, tzinfo=UTC)
    assert instant("0:30", late, OSLO) == datetime(2026, 11, 21, 23, 30, tzinfo=UTC)


def test_a_time_of_day_that_has_passed_is_not_taken_for_tomorrows():
    with pytest.raises(Unclear, match="has passed"):
        instant("9:00", NOW, OSLO)


def test_a_whole_time_is_taken_as_it_stands():
    assert instant("2026-11-21T15:00+01:00", NOW, OSLO) == datetime(2026, 11, 21, 14, 0, tzinfo=UTC)
    assert instant("2026-11-21 15:00", NOW, OSLO) == datetime(2026, 11, 21, 14, 0, tzinfo=UTC)


def test_a_time_of_day_over_a_change_of_the_clocks_is_that_of_the_wall():
    evening = datetime(2026, 10, 24, 21, 0, tzinfo=UTC)  # the clocks go back in the night
    assert instant("9:00", evening, OSLO) == datetime(2026, 10, 25, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "25:00", "12:60", "tomorrow", "0001-01-01T00:00+14:00"])
def test_what_is_no_time_is_told_with_an_example(text):
    with pytest.raises(Unclear, match="14:30"):
        instant(text, NOW, OSLO)


@given(st.text(max_size=20))
def test_nothing_typed_is_worse_than_unclear(text):
    for read in (span, lambda words: instant(words, NOW, OSLO)):
        with suppress(Unclear):
            read(text)


def test_either_how_long_or_until_when():
    assert end(NOW, "15m", "", zone=OSLO) == NOW + timedelta(minutes=15)
    assert end(NOW, "", "15:00", zone=OSLO) == NOW + timedelta(minutes=40)
    for lasting, until, word in (("", "", "until when"), ("15m", "15:00", "not both")):
        with pytest.raises(Unclear, match=word):
            end(NOW, lasting, until, zone=OSLO)


def test_surfaces_are_separated_by_commas():
    assert surfaces("Screen, led,") == ["screen", "led"]
    with pytest.raises(Unclear, match="lamp is no surface: there are screen"):
        surfaces("lamp")
