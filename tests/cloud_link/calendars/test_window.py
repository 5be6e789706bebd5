"""How long a room's days are, and when they begin."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud_link.calendars.window import Window, all_day, start_of_day, today_and_tomorrow

OSLO = ZoneInfo("Europe/Oslo")
ZONES = sorted(
    name for name in available_timezones() if not name.startswith(("right/", "posix/", "localtime"))
)
A_DAY = timedelta(days=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def hours(window: Window) -> float:
    return (window.ends_at - window.starts_at) / timedelta(hours=1)


def test_it_reaches_from_the_start_of_today_to_the_end_of_tomorrow():
    assert today_and_tomorrow(at("2026-01-14T12:00Z"), OSLO) == Window(
        starts_at=at("2026-01-13T23:00Z"), ends_at=at("2026-01-15T23:00Z")
    )


@pytest.mark.parametrize(
    ("now", "starts_at", "length"),
    [
        ("2026-03-28T12:00Z", "2026-03-27T23:00Z", 47),  # tomorrow clocks go forward
        ("2026-03-29T12:00Z", "2026-03-28T23:00Z", 47),
        ("2026-03-28T22:59:59Z", "2026-03-27T23:00Z", 47),
        ("2026-03-28T23:00:00Z", "2026-03-28T23:00Z", 47),
        ("2026-03-30T12:00Z", "2026-03-29T22:00Z", 48),
        ("2026-10-24T12:00Z", "2026-10-23T22:00Z", 49),  # tomorrow clocks go back
        ("2026-10-25T12:00Z", "2026-10-24T22:00Z", 49),
        ("2026-10-26T12:00Z", "2026-10-25T23:00Z", 48),
    ],
)
def test_days_of_23_and_25_hours_are_read_whole(now: str, starts_at: str, length: int):
    window = today_and_tomorrow(at(now), OSLO)
    assert window.starts_at == at(starts_at)
    assert hours(window) == length


def test_the_rooms_zone_counts_and_not_the_servers():
    now = at("2026-06-01T23:30+02:00")
    assert today_and_tomorrow(now, ZoneInfo("Asia/Tokyo")).starts_at == at("2026-06-02T00:00+09:00")
    assert today_and_tomorrow(now, ZoneInfo("America/Los_Angeles")).starts_at == at("2026-06-01T00:00-07:00")


@pytest.mark.parametrize(
    ("zone", "day", "starts_at", "length"),
    [
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T01:00-02:00", 23),  # no midnight
        ("America/Sao_Paulo", date(2018, 2, 17), "2018-02-17T00:00-02:00", 25),  # its last hour comes twice
        ("Africa/Cairo", date(2026, 4, 24), "2026-04-24T01:00+03:00", 23),
        ("Africa/Cairo", date(2026, 10, 29), "2026-10-29T00:00+03:00", 25),
        ("Asia/Beirut", date(2026, 3, 29), "2026-03-29T01:00+03:00", 23),
        ("America/Havana", date(2026, 11, 1), "2026-11-01T00:00-04:00", 25),  # midnight comes twice
        ("America/Toronto", date(1919, 3, 31), "1919-03-31T00:30-04:00", 23.5),  # forward at half past eleven
        ("Australia/Lord_Howe", date(2026, 4, 5), "2026-04-05T00:00+11:00", 24.5),  # half an hour
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-31T00:00+14:00", 0),  # a date that never was
        ("Pacific/Apia", date(2011, 12, 29), "2011-12-29T00:00-10:00", 24),
    ],
)
def test_a_day_begins_with_its_first_moment(zone: str, day: date, starts_at: str, length: float):
    whole = all_day(day, day + A_DAY, ZoneInfo(zone))
    assert whole.starts_at == at(starts_at)
    assert hours(whole) == length


def test_an_all_day_entry_is_a_date_of_the_room_wherever_it_is():
    for zone in (OSLO, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Pacific/Pago_Pago"), UTC):
        entry = all_day(date(2026, 1, 14), date(2026, 1, 15), zone)
        assert entry.starts_at.astimezone(zone) == datetime(2026, 1, 14, tzinfo=zone)
        assert entry.ends_at.astimezone(zone) == datetime(2026, 1, 15, tzinfo=zone)


def test_an_all_day_entry_over_the_change_of_clocks_ends_at_midnight():
    entry = all_day(date(2026, 3, 28), date(2026, 3, 30), OSLO)
    assert entry.ends_at == at("2026-03-30T00:00+02:00")
    assert hours(entry) == 47


@pytest.mark.parametrize("after", [date(2026, 1, 14), date(2026, 1, 13), date(2026, 1, 15)])
def test_an_all_day_entry_lasts_its_day_at_least(after: date):
    assert hours(all_day(date(2026, 1, 14), after, OSLO)) == 24


def test_what_touches_the_window_only_at_its_ends_is_not_in_it():
    window = Window(starts_at=at("2026-01-14T00:00Z"), ends_at=at("2026-01-16T00:00Z"))
    assert not window.overlaps(at("2026-01-13T22:00Z"), at("2026-01-14T00:00Z"))
    assert not window.overlaps(at("2026-01-16T00:00Z"), at("2026-01-16T01:00Z"))
    assert window.overlaps(at("2026-01-13T22:00Z"), at("2026-01-14T00:01Z"))
    assert window.overlaps(at("2026-01-01T00:00Z"), at("2026-02-01T00:00Z"))
    assert window.overlaps(at("2026-01-14T00:00Z"), at("2026-01-14T00:00Z"))
    assert not window.overlaps(at("2026-01-16T00:00Z"), at("2026-01-16T00:00Z"))


# ── any zone, any day ──


@given(zone=st.sampled_from(ZONES), day=st.dates(min_value=date(1903, 1, 1), max_value=date(2399, 1, 1)))
@example(zone="America/St_Johns", day=date(2006, 10, 29))  # back at a minute past midnight
@example(zone="Pacific/Kwajalein", day=date(1993, 8, 21))
@example(zone="Africa/Monrovia", day=date(1972, 1, 7))  # by 44 minutes and a half
@example(zone="Europe/Amsterdam", day=date(1937, 7, 1))
def test_a_day_begins_where_its_date_does(zone: str, day: date):
    starts_at = start_of_day(day, ZoneInfo(zone))
    local = ZoneInfo(zone)
    assert starts_at.tzinfo is UTC
    assert starts_at.astimezone(local).date() >= day
    assert (starts_at - timedelta(seconds=1)).astimezone(local).date() < day


@given(zone=st.sampled_from(ZONES), day=st.dates(min_value=date(1972, 1, 1), max_value=date(2100, 1, 1)))
def test_days_follow_each_other_without_gap(zone: str, day: date):
    local = ZoneInfo(zone)
    days = [all_day(each, each + A_DAY, local) for each in (day, day + A_DAY, day + 2 * A_DAY)]
    for one, following in pairwise(days):
        assert one.ends_at == following.starts_at
    assert all(one.starts_at <= one.ends_at for one in days)


@given(
    zone=st.sampled_from(ZONES),
    now=st.datetimes(datetime(1972, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_now_is_in_the_first_of_two_days_and_a_day_is_left(zone: str, now: datetime):
    window = today_and_tomorrow(now, ZoneInfo(zone))
    assert window.starts_at <= now < window.ends_at
    assert window.ends_at - window.starts_at <= timedelta(hours=75)
    if zone not in {
        "Pacific/Apia",
        "Pacific/Fakaofo",
        "Pacific/Kwajalein",
        "Kwajalein",
    }:  # they left out a day
        assert window.ends_at - now >= timedelta(hours=20)


@given(
    first=st.dates(),
    after=st.dates(),
    zone=st.sampled_from([timezone(timedelta(hours=14)), timezone(timedelta(hours=-12)), OSLO]),
)
@example(first=date.min, after=date.min, zone=OSLO)
@example(first=date.max, after=date.max, zone=OSLO)
def test_no_date_is_too_strange(first: date, after: date, zone: timezone):
    entry = all_day(first, after, zone)
    assert entry.starts_at <= entry.ends_at
