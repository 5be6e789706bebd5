"""What hours add up to, and that nobody can take what is not known for emptiness."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from agent.core.model import Counted, HourTally
from agent.report import COUNTED_ENOUGH_H, Sums
from tests.agent.counting import MONDAY, day_of, hour_of, listed, reported, write

FJORD, DEN = listed("fjord", 8), listed("den", 2)
BLIND = Counted(unknown_s=3600)
BUSY = Counted(in_use_s=3600, counted_s=3600, people_min=120, people_peak=2)


def test_what_was_counted_adds_up_to_the_room_and_to_the_site(tmp_path):
    meeting = Counted(booked_s=3600, attended_s=3000, empty_s=600, in_use_s=3000, bookings=1, attended=1)
    told = reported(
        tmp_path,
        [*day_of("fjord", MONDAY, {9: meeting, 10: meeting}), *day_of("den", MONDAY, {9: meeting})],
        FJORD,
        DEN,
    )
    fjord, den = (each.sums for each in told.rooms)
    assert (fjord.bookings, fjord.booked_s, fjord.attended_s, fjord.empty_s) == (2, 7200, 6000, 1200)
    assert (den.bookings, den.in_use_s, den.span_s, den.work_s) == (1, 3000, 86_400, 36_000)
    total = told.total
    assert (total.bookings, total.booked_s, total.work_s) == (3, 10_800, 72_000)
    assert total.use == pytest.approx(9000 / 72_000)


def test_a_share_of_ghosts_is_of_the_bookings_that_could_be_judged_and_of_no_others(tmp_path):
    verdicts = Counted(bookings=10, ghosts=1, attended=2, left_early=1, unknown=6)
    total = reported(tmp_path, day_of("fjord", MONDAY, {9: verdicts}), FJORD).total
    assert (total.judged, total.ghost_share, total.unjudged_share) == (4, 0.25, 0.6)


def test_without_any_verdict_there_is_no_share(tmp_path):
    total = reported(tmp_path, day_of("fjord", MONDAY, {9: Counted(unknown=3)}), FJORD).total
    assert (total.ghost_share, total.unjudged_share) == (None, 1.0)
    assert Sums().use is None
    assert Sums().people_mean is None


def test_what_nobody_knows_is_not_empty(tmp_path):
    told = reported(tmp_path, day_of("fjord", MONDAY, dict.fromkeys(range(8, 13), BLIND)), FJORD)
    total = told.total
    assert (total.use, total.unknown_share, total.idle) == (0.0, 0.5, 0.5)
    booked = Counted(booked_s=3600, unknown_s=3600)
    write(tmp_path, [hour_of("fjord", MONDAY, 14, booked)])
    total = reported(tmp_path, (), FJORD).total
    assert (total.booked_unknown_s, total.empty_s) == (3600, 0)


def test_a_day_without_a_word_is_not_known(tmp_path):
    tuesday = MONDAY + timedelta(days=1)
    wednesday = MONDAY + timedelta(days=2)
    told = reported(
        tmp_path,
        [
            *day_of("fjord", MONDAY),
            *day_of("den", MONDAY),
            *day_of("den", tuesday),
            *day_of("den", wednesday),
        ],
        FJORD,
        DEN,
        days=3,
    )
    fjord, den = (each.sums for each in told.rooms)
    assert fjord.unknown_share == pytest.approx(2 / 3)
    assert fjord.unwatched_s == 2 * 86_400
    assert den.unknown_share == 0.0


def test_nothing_is_said_of_the_time_before_anything_was_recorded(tmp_path):
    told = reported(tmp_path, day_of("fjord", MONDAY), FJORD, since=MONDAY - timedelta(days=10), days=11)
    assert (told.since, told.recorded_since) == (MONDAY - timedelta(days=10), MONDAY)
    assert (told.total.span_s, told.total.unknown_share) == (86_400, 0.0)


def test_working_hours_are_counted_by_the_part_of_an_hour_that_is_worked(tmp_path):
    saturday = MONDAY + timedelta(days=5)
    told = reported(
        tmp_path,
        [*day_of("fjord", MONDAY, {7: BUSY, 8: BUSY}), *day_of("fjord", saturday, {12: BUSY})],
        FJORD,
        days=6,
    )
    assert (told.total.in_use_s, told.total.work_in_use_s) == (3 * 3600, 3600)


def test_the_days_of_the_clocks_changes_are_as_long_as_they_were(tmp_path):
    spring, autumn = date(2026, 3, 29), date(2026, 10, 25)
    short = [each for each in day_of("fjord", spring) if each.hour != 2]
    write(tmp_path, short)
    assert reported(tmp_path, (), FJORD, since=spring).total.span_s == 23 * 3600
    doubled = day_of("fjord", autumn, {2: BUSY})
    again = replace(doubled[2], starts_at=doubled[2].starts_at + timedelta(hours=1))
    write(tmp_path, [*doubled, again])
    total = reported(tmp_path, (), FJORD, since=autumn).total
    assert (total.span_s, total.in_use_s, total.people_peak) == (25 * 3600, 7200, 2)


def test_weeks_begin_on_monday_and_say_whether_they_are_whole(tmp_path):
    days = [MONDAY + timedelta(days=number) for number in range(-2, 9)]
    hours = [hour for day in days for hour in day_of("fjord", day, {9: Counted(bookings=1)})]
    told = reported(tmp_path, hours, FJORD, since=days[0], days=len(days))
    assert [(week.since, week.whole, week.sums.bookings) for week in told.weeks] == [
        (MONDAY - timedelta(days=2), False, 2),
        (MONDAY, True, 7),
        (MONDAY + timedelta(days=7), False, 2),
    ]
    assert [day.since for day in told.days] == days


def test_a_day_that_is_not_over_is_no_whole_day(tmp_path):
    morning = [each for each in day_of("fjord", MONDAY) if each.hour < 12]
    told = reported(tmp_path, morning, FJORD)
    assert not told.days[0].whole
    assert told.total.work_s == 4 * 3600


def test_ghosts_stand_at_their_weekday_and_hour(tmp_path):
    told = reported(
        tmp_path,
        [
            *day_of("fjord", MONDAY, {16: Counted(ghosts=2, attended=1)}),
            *day_of("fjord", MONDAY + timedelta(days=7), {16: Counted(ghosts=1)}),
            *day_of("fjord", MONDAY + timedelta(days=1), {7: Counted(bookings=1)}),
        ],
        FJORD,
        days=8,
    )
    assert (told.grid[0][16].ghosts, told.grid[0][16].judged) == (3, 4)
    assert told.shown_hours == range(7, 18)
    assert told.most_ghosts[0].sums.ghosts == 3


def counted(people: list[int], days: int) -> list[HourTally]:
    return [
        hour
        for number in range(days)
        for hour in day_of(
            "fjord",
            MONDAY + timedelta(days=number),
            {
                8 + place: Counted(in_use_s=3600, counted_s=3600, people_min=60 * each, people_peak=each)
                for place, each in enumerate(people)
            },
        )
    ]


def test_a_room_is_too_big_if_in_nine_of_ten_hours_half_of_its_seats_are_left(tmp_path):
    told = reported(tmp_path, counted([2, 2, 3, 3, 3, 3, 4, 4, 4, 7], 3), FJORD, days=3)
    (fjord,) = told.too_big
    assert (fjord.usual_people, fjord.sums.people_peak, fjord.counted_h, fjord.spare_seats) == (4, 7, 30, 4)
    assert fjord.sums.people_mean == pytest.approx(3.5)


@pytest.mark.parametrize(
    ("people", "days", "capacity"),
    [([2] * 8 + [7] * 2, 3, 8), ([2], COUNTED_ENOUGH_H - 1, 8), ([2] * 10, 3, None)],
    ids=["full now and then", "hardly counted", "seats not known"],
)
def test_a_room_is_not_called_too_big_where_that_cannot_be_said(tmp_path, people, days, capacity):
    assert reported(tmp_path, counted(people, days), listed("fjord", capacity), days=days).too_big == ()


def test_rooms_are_ranked_by_what_is_known_and_not_at_all_where_that_is_little(tmp_path):
    known = dict.fromkeys(range(8, 12), BUSY)
    half = dict.fromkeys(range(8, 11), BUSY) | dict.fromkeys(range(11, 15), BLIND)
    dark = dict.fromkeys(range(8, 14), BLIND)
    told = reported(
        tmp_path,
        [
            *day_of("known", MONDAY, known),
            *day_of("half", MONDAY, half),
            *day_of("dark", MONDAY, dark),
            *day_of("quiet", MONDAY),
        ],
        *(listed(name) for name in ("known", "half", "dark", "quiet")),
    )
    assert [each.room.id for each in told.ranked] == ["half", "known", "quiet"]
    assert [each.room.id for each in told.little_known] == ["dark"]


def test_a_room_of_which_nothing_is_recorded_is_not_empty_but_not_known(tmp_path):
    told = reported(tmp_path, day_of("fjord", MONDAY), FJORD, DEN)
    assert told.rooms[1].recorded_since is None
    assert [each.room.id for each in told.little_known] == ["den"]
    assert told.total.work_s == 36_000


def test_of_days_without_a_record_there_is_a_report_that_says_so(tmp_path):
    told = reported(tmp_path, (), FJORD, DEN, days=30)
    assert (told.recorded_since, told.weeks, told.days, told.ranked, told.too_big) == (None, (), (), (), ())
    assert told.total.use is None


def test_a_day_of_a_week_is_no_whole_week(tmp_path):
    sunday = MONDAY - timedelta(days=1)
    hours = [*day_of("fjord", sunday), *day_of("fjord", MONDAY)]
    told = reported(tmp_path, hours, FJORD, since=sunday, days=2)
    assert [(week.since, week.whole) for week in told.weeks] == [(sunday, False), (MONDAY, False)]
    assert [day.whole for day in told.days] == [True, True]
    (week,) = reported(tmp_path, (), FJORD, since=sunday, days=1).weeks
    assert not week.whole
