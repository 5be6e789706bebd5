"""When rooms are listed: soon after hints, seldom in bursts, daily in any case."""

from bisect import bisect_left
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.calendars import FIRST_READ_WITHIN, FRESH_FOR
from agent.core.model import RoomId
from cloud_link.calendars import hints
from cloud_link.calendars.hints import GOOGLE_QUOTA, MICROSOFT_QUOTA, RHYTHM, Look, Quota, Spent
from cloud_link.calendars.window import today_and_tomorrow

FJORD = RoomId("fjord")
NINE = datetime(2026, 1, 14, 9, tzinfo=UTC)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def at(look: Look) -> datetime | None:
    return hints.next_listing(look)


def fresh(*, pushed: bool = True, at: datetime = NINE) -> Look:
    """A room that was listed a moment ago."""
    look = hints.begun(Look(room=FJORD, since=at, pushed=pushed), at)
    return replace(hints.listed(look, luck=0.5), begun=())


@dataclass(kw_only=True)
class Told:
    """A day as it went: when listings began."""

    look: Look
    begun: list[datetime]


def live(look: Look, told: list[datetime], *, until: datetime, takes_s: float = 0.5, fail: int = 0) -> Told:
    """Let time pass: hints come when told, and each listing takes its time; the first `fail` of them fail."""
    began: list[datetime] = []
    coming = sorted(told)
    ends: datetime | None = None
    now = look.since
    while True:
        events = [time for time in (coming[0] if coming else None, ends, at(look)) if time is not None]
        now = max(now, min(events))
        if now > until:
            return Told(look=look, begun=began)
        if coming and coming[0] <= now:
            look = hints.hinted(look, coming.pop(0))
        elif ends is not None and ends <= now:
            ends = None
            failed = len(began) <= fail
            look = hints.failed(look, now, luck=0.5) if failed else hints.listed(look, luck=0.5)
        else:
            look = hints.begun(look, now)
            began.append(now)
            ends = now + seconds(takes_s)


# ── hints ──


def test_a_room_is_listed_two_seconds_after_a_hint():
    look = hints.hinted(fresh(), NINE + seconds(60))
    assert at(look) == NINE + seconds(62)


def test_hints_that_follow_each_other_wait_for_quiet_but_not_for_ever():
    look = fresh()
    for after in range(60, 75):
        look = hints.hinted(look, NINE + seconds(after))
    assert at(look) == NINE + seconds(70)


def test_a_burst_of_thirty_hints_costs_one_listing_or_two():
    quick = [NINE + seconds(60 + each / 30) for each in range(30)]
    assert len(live(fresh(), quick, until=NINE + seconds(300)).begun) == 1
    slow = [NINE + seconds(60 + each) for each in range(20)]
    assert len(live(fresh(), slow, until=NINE + seconds(300), takes_s=3).begun) == 2


def test_a_hint_during_a_listing_brings_another():
    told = [NINE + seconds(60), NINE + seconds(63)]
    assert live(fresh(), told, until=NINE + seconds(300), takes_s=5).begun == [
        NINE + seconds(62),
        NINE + seconds(67),
    ]


def test_nothing_is_asked_for_twice_at_the_same_time():
    look = hints.hinted(hints.begun(fresh(), NINE + seconds(60)), NINE + seconds(61))
    assert at(look) is None


def test_two_changes_after_each_other_are_both_seen_at_once_and_a_third_waits():
    told = [NINE + seconds(60), NINE + seconds(66), NINE + seconds(72)]
    assert live(fresh(), told, until=NINE + seconds(300)).begun == [
        NINE + seconds(62),
        NINE + seconds(68),
        NINE + seconds(92),
    ]


@given(
    after=st.lists(st.floats(0, 600), max_size=60),
    takes_s=st.floats(0.01, 40),
    fail=st.integers(0, 3),
    pushed=st.booleans(),
)
def test_every_hint_is_followed_by_a_listing_and_no_room_is_listed_thrice_in_a_burst(
    after: list[float], takes_s: float, fail: int, pushed: bool
):
    told = [NINE + seconds(each) for each in after]
    day = live(fresh(pushed=pushed), told, until=NINE + seconds(1500), takes_s=takes_s, fail=fail)
    for one, third in zip(day.begun, day.begun[2:], strict=False):
        assert third - one >= RHYTHM.burst
    good = day.begun[fail:]
    for hint in told:
        assert any(hint <= begun <= hint + seconds(120 + fail * 120 + 2 * takes_s) for begun in good)
    if day.look.asked_at is None:
        assert day.look.hinted_at is None


# ── without hints ──


def test_a_new_room_is_listed_at_once():
    assert at(Look(room=FJORD, since=NINE)) == NINE
    assert at(Look(room=FJORD, since=NINE, pushed=True)) == NINE


def test_where_nobody_pushes_it_is_looked_at_every_five_to_fifteen_minutes():
    for luck, minutes in ((0.0, 5), (0.5, 10), (0.999999, 15)):
        look = replace(fresh(pushed=False), luck=luck)
        due = at(look)
        assert due is not None
        assert (due - NINE).total_seconds() == pytest.approx(minutes * 60, abs=1)
    assert len(live(fresh(pushed=False), [], until=NINE + timedelta(hours=1)).begun) == 6


def test_pushes_that_come_again_are_reason_to_look():
    lost = hints.push_turned(fresh(), NINE + seconds(60), pushed=False)
    assert at(lost) == NINE + timedelta(minutes=10)
    again = hints.push_turned(lost, NINE + seconds(90), pushed=True)
    assert at(again) == NINE + seconds(92)
    assert hints.push_turned(again, NINE + seconds(91), pushed=True) == again


def test_a_room_that_hears_of_nothing_is_looked_at_before_its_last_listing_is_too_old():
    for luck in (0.0, 0.5, 0.999999):
        due = at(replace(fresh(), luck=luck))
        assert due is not None
        assert timedelta(minutes=15) < due - NINE < FRESH_FOR - timedelta(minutes=4)
    day = live(fresh(), [], until=NINE + timedelta(days=1)).begun
    assert len(day) in range(60, 80)


def test_a_room_is_looked_at_in_time_although_two_listings_in_a_row_fail():
    for pushed in (True, False):
        look = replace(fresh(pushed=pushed), luck=0.999999)
        now = at(look)
        for _ in range(2):
            assert now is not None
            look = hints.failed(hints.begun(look, now), now, luck=0.999999)
            now = at(look)
        assert now is not None
        assert now - NINE < FRESH_FOR - timedelta(minutes=3)


@given(
    zone=st.sampled_from(["Europe/Oslo", "America/Sao_Paulo", "Africa/Cairo", "Australia/Lord_Howe", "UTC"]),
    start=st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    luck=st.floats(0, 0.999999),
    pushed=st.booleans(),
)
def test_the_rest_of_today_is_always_known_and_most_of_the_day_ahead(
    zone: str, start: datetime, luck: float, pushed: bool
):
    due = hints.next_listing(replace(fresh(at=start, pushed=pushed), luck=luck))
    assert due is not None
    assert today_and_tomorrow(start, ZoneInfo(zone)).ends_at - due >= timedelta(hours=22)


# ── failures ──


def test_a_listing_that_failed_is_tried_again_with_longer_rests_and_its_hint_stands():
    look = hints.hinted(fresh(), NINE + seconds(60))
    now = NINE + seconds(62)
    rests: list[float] = []
    for _ in range(12):
        look = hints.failed(hints.begun(look, now), now, luck=0.999999)
        due = at(look)
        assert due is not None
        assert look.hinted_at == NINE + seconds(60)
        rests.append((due - now).total_seconds())
        now = due
    assert rests == pytest.approx([15, 30, 60, 120, 240, 480, *[600] * 6], abs=1)
    look = hints.listed(hints.begun(look, now), luck=0.5)
    assert look.failures == 0
    assert at(look) is not None


def test_a_hint_does_not_shorten_the_rest_that_the_provider_asked_for():
    look = hints.hinted(fresh(), NINE)
    until = NINE + seconds(300)
    assert hints.next_listing(look, not_before=until) == until


@given(by=st.timedeltas(timedelta(days=-400), timedelta(days=400)))
def test_a_clock_that_jumps_takes_the_deadlines_with_it(by: timedelta):
    look = hints.hinted(hints.begun(fresh(), NINE + seconds(5)), NINE + seconds(60))
    look = hints.failed(look, NINE + seconds(62), luck=0.0)
    due = at(look)
    assert due is not None
    assert at(hints.stepped(look, by)) == due + by
    new = Look(room=FJORD, since=NINE)
    assert at(hints.stepped(new, by)) == NINE + by
    busy = fresh()
    for after in (60, 64):
        busy = hints.listed(hints.begun(busy, NINE + seconds(after)), luck=0.5)
    busy = hints.hinted(busy, NINE + seconds(68))
    assert at(busy) == NINE + seconds(90)
    assert at(hints.stepped(busy, by)) == NINE + seconds(90) + by


# ── all rooms ──


def test_hints_go_first_then_the_unknown_then_the_oldest():
    looks = [
        replace(fresh(pushed=False, at=NINE - timedelta(hours=1)), room=RoomId("polled")),
        replace(fresh(pushed=False, at=NINE - timedelta(hours=2)), room=RoomId("older")),
        Look(room=RoomId("new"), since=NINE),
        hints.hinted(replace(fresh(), room=RoomId("hinted")), NINE - seconds(3)),
        hints.hinted(replace(fresh(), room=RoomId("hinted-before")), NINE - seconds(4)),
        replace(fresh(), room=RoomId("quiet")),
        hints.begun(replace(fresh(), room=RoomId("asked")), NINE),
    ]
    due = [look for look in looks if (then := at(look)) is not None and then <= NINE]
    due.sort(key=hints.urgency)
    assert [look.room for look in due] == ["hinted-before", "hinted", "new", "older", "polled"]


@pytest.mark.parametrize("quota", [GOOGLE_QUOTA, MICROSOFT_QUOTA, Quota(per_minute=60, at_once=1)])
def test_a_thousand_rooms_at_once_stay_within_the_quota(quota: Quota):
    now = NINE
    spent: Spent | None = None
    went: list[datetime] = []
    for _ in range(1000):
        now = now if spent is None else max(now, hints.free_at(spent, quota))
        went.append(now)
        spent = hints.spend(spent, quota, now)
    assert went == sorted(went)
    for number, each in enumerate(went):
        within = bisect_left(went, each + timedelta(minutes=1)) - number
        assert within <= quota.per_minute + quota.at_once
    assert went[-1] - went[0] <= 1000 * quota.each
    rested = hints.spend(spent, quota, now + timedelta(days=1))
    assert hints.free_at(rested, quota) <= now + timedelta(days=1) + quota.each


def test_a_thousand_rooms_are_read_before_the_next_calendar_is_believed():
    spent: Spent | None = None
    for _ in range(1000):
        spent = hints.spend(spent, GOOGLE_QUOTA, NINE)
    assert spent is not None
    assert hints.free_at(spent, GOOGLE_QUOTA) < NINE + FIRST_READ_WITHIN * 0.75  # some have two pages


@pytest.mark.parametrize("by", [timedelta(), timedelta(hours=-3), timedelta(hours=3)])
@pytest.mark.parametrize("quota", [GOOGLE_QUOTA, Quota(per_minute=60, at_once=1)])
def test_a_clock_that_jumps_makes_nobody_wait_longer_than_the_others_before_them(quota: Quota, by: timedelta):
    spent: Spent | None = None
    waits: list[timedelta] = []
    for number in range(100):
        now = NINE + (by if number >= 50 else timedelta())
        waiting = sum(wait > timedelta() for wait in waits)
        before = hints.bounded(spent, quota, now, waiting=waiting)
        spent = hints.spend(before, quota, now)
        waits.append(timedelta() if before is None else hints.free_at(before, quota) - now)
        assert waits[-1] <= (waiting + 1) * quota.each
    if not by:  # and it changes nothing where none did
        assert waits[quota.at_once :] == [quota.each * n for n in range(1, 101 - quota.at_once)]


def test_a_request_for_many_rooms_uses_up_as_many():
    quota = Quota(per_minute=60, at_once=3)
    assert hints.free_at(hints.spend(None, quota, NINE, requests=2), quota) <= NINE
    assert hints.free_at(hints.spend(None, quota, NINE, requests=5), quota) == NINE + seconds(3)
