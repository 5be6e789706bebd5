"""Rooms are counted by the hours and days of their own clock, and what nobody knows is counted as unknown."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import snapshots
from agent.core.events import ClockStepped, ClockStruck, PeopleCounted, PresenceSensed, RoomEvent
from agent.core.facts import AttendanceFact, BookingFact, DayFact, Fact, FactKind, ReleaseFact, Step, UseFact
from agent.core.model import (
    Attendance,
    AttendancePhase,
    Booking,
    BookingKey,
    BookingPhase,
    DeviceId,
    DevicePhase,
    DeviceState,
    HourTally,
    Occupancy,
    Outcome,
    Policy,
    ReleaseAttempt,
    ReleasePhase,
    Room,
    RoomId,
    Rules,
    Use,
    Watch,
)
from agent.core.tally import MISSED_DAYS_TOLD, begin, next_tally, tally
from agent.core.week import read_hours
from tests.agent.core.story import CODEC as STORIED
from tests.agent.core.story import Story, at, listed

FJORD, CODEC = RoomId("fjord"), DeviceId("fjord-codec")
OSLO = ZoneInfo("Europe/Oslo")
HOUR_S = 3600
BOOKING = Booking(
    key=BookingKey("b1"),
    phase=BookingPhase.STARTED,
    starts_at=datetime(2026, 3, 2, 9, tzinfo=UTC),
    ends_at=datetime(2026, 3, 2, 10, tzinfo=UTC),
    since=datetime(2026, 3, 2, 9, tzinfo=UTC),
    seen_at=datetime(2026, 3, 2, 9, tzinfo=UTC),
)


def moment(text: str, zone: ZoneInfo = OSLO) -> datetime:
    """As "2026-03-02 09:00" on the wall."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@dataclass
class Counting:
    """A room that is counted while time passes and it comes to stand otherwise."""

    starts: str = "2026-03-02 08:00"  # a Monday
    zone: ZoneInfo = OSLO
    hours: list[HourTally] = field(default_factory=list)
    days: list[DayFact] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.policy = Policy(
            timezone=self.zone,
            working=(read_hours("Mon-Fri 08:00-18:00"),),
            rooms={FJORD: Rules(capacity=8)},
        )
        self.now = moment(self.starts, self.zone)
        self.room = begin(Room(id=FJORD), now=self.now, policy=self.policy)

    def stands(
        self, when: str, *, booked: bool = False, there: bool | None = False, people: int | None = None
    ) -> Counting:
        """From then on the room is booked or not, and somebody is there or not."""
        self.passes(when)
        bookings = {BOOKING.key: BOOKING} if booked else {}
        room = replace(
            self.room,
            bookings=bookings,
            watch=Watch(there=there),
            devices={CODEC: DeviceState(id=CODEC, phase=DevicePhase.CONNECTED, since=self.now)},
            sensors={CODEC: Occupancy(people=people)},
            occupancy=Occupancy(people=people),
        )
        return self.take(room)

    def told(self, when: str, *facts: Fact) -> Counting:
        self.passes(when)
        return self.take(self.room, *facts)

    def passes(self, when: str) -> Counting:
        """Until then, with a stroke of the clock whenever one is due."""
        until = moment(when, self.zone)
        while (due := next_tally(self.room)) is not None and due <= until:
            self.now = max(due, self.now)
            before = self.room
            self.take(self.room)
            assert self.room is not before, "a deadline stands still"
        self.now = until
        return self

    def jumps(self, by: timedelta) -> Counting:
        self.now += by
        return self.take(self.room, event=ClockStepped(by=by))

    def restarts(self, when: str, *, alive: str | None = None) -> Counting:
        self.now = moment(when, self.zone)
        kept = snapshots.read_body(snapshots.body_of(self.room))
        kept = replace(kept, watch=Watch(), bookings={})
        alive_at = None if alive is None else moment(alive, self.zone)
        self.room = begin(kept, now=self.now, policy=self.policy, alive_at=alive_at)
        return self

    def take(self, room: Room, *facts: Fact, event: RoomEvent | None = None) -> Counting:
        taken = tally(
            self.room,
            Step(room=room, facts=facts),
            event or ClockStruck(),
            now=self.now,
            policy=self.policy,
        )
        self.room = taken.room
        self.hours += taken.hours
        self.days += [fact for fact in taken.facts if isinstance(fact, DayFact)]
        return self

    def hour(self, text: str) -> HourTally:
        """The last word on the hour that begins then."""
        return [each for each in self.hours if each.starts_at == moment(text, self.zone)][-1]


def verdict(outcome: Outcome, *, freed_min: float | None = None) -> AttendanceFact:
    kinds = {Outcome.GHOST: FactKind.BOOKING_GHOST, Outcome.LEFT_EARLY: FactKind.BOOKING_LEFT_EARLY}
    attendance = Attendance(
        booking=BOOKING.key,
        phase=AttendancePhase.OVER,
        since=BOOKING.ends_at,
        starts_at=BOOKING.starts_at,
        outcome=outcome,
        there_since=BOOKING.starts_at,
    )
    return AttendanceFact(
        kind=kinds.get(outcome, FactKind.BOOKING_JUDGED),
        at=BOOKING.ends_at,
        booking=BOOKING,
        attendance=attendance,
        known=timedelta(hours=1),
        unknown=timedelta(0),
        freed=None if freed_min is None else timedelta(minutes=freed_min),
    )


def test_an_hour_is_counted_as_the_room_stood_in_it():
    counted = (
        Counting()
        .stands("2026-03-02 09:00", booked=True)
        .stands("2026-03-02 09:10", booked=True, there=True, people=4)
        .stands("2026-03-02 09:40", booked=True, there=None)
        .stands("2026-03-02 09:50", there=True)
        .stands("2026-03-02 09:55")
        .passes("2026-03-02 11:00")
        .hour("2026-03-02 09:00")
        .counted
    )
    assert (counted.booked_s, counted.empty_s, counted.attended_s) == (50 * 60, 10 * 60, 30 * 60)
    assert (counted.in_use_s, counted.unknown_s, counted.unwatched_s) == (35 * 60, 10 * 60, 0)
    assert (counted.people_min, counted.counted_s, counted.people_peak) == (120, 30 * 60, 4)


def test_a_quiet_hour_is_told_and_holds_nothing():
    counting = Counting().stands("2026-03-02 08:00").passes("2026-03-02 11:30")
    assert [each.hour for each in counting.hours] == [8, 9, 10]
    assert not any(vars_of(each) for each in counting.hours)


def vars_of(each: HourTally) -> bool:
    return each.counted != type(each.counted)()


def test_an_hour_that_began_before_roomd_did_is_unwatched_up_to_then():
    counting = Counting(starts="2026-03-02 08:20").stands("2026-03-02 08:20").passes("2026-03-02 09:01")
    counted = counting.hour("2026-03-02 08:00").counted
    assert (counted.unknown_s, counted.unwatched_s) == (20 * 60, 20 * 60)


def test_what_stays_the_same_costs_nothing():
    counting = Counting().stands("2026-03-02 08:00", there=True)
    step = Step(room=replace(counting.room, watch=Watch(there=True)))
    assert tally(counting.room, step, ClockStruck(), now=counting.now, policy=counting.policy) is step


def test_verdicts_count_in_the_hour_in_which_they_are_given():
    counted = (
        Counting()
        .told("2026-03-02 09:05", verdict(Outcome.GHOST), verdict(Outcome.ATTENDED))
        .told("2026-03-02 09:06", verdict(Outcome.LEFT_EARLY, freed_min=20), verdict(Outcome.OVERRUN))
        .told("2026-03-02 09:07", verdict(Outcome.UNKNOWN))
        .passes("2026-03-02 10:10")
        .hour("2026-03-02 09:00")
        .counted
    )
    verdicts = (counted.attended, counted.ghosts, counted.left_early, counted.overran, counted.unknown)
    assert verdicts == (1, 1, 1, 1, 1)
    assert counted.freed_min == 20


def test_a_verdict_counts_in_the_last_hour_of_what_it_judges_though_it_comes_after_its_end():
    counting = Counting().stands("2026-03-02 10:00", booked=True).stands("2026-03-02 11:00")
    counting.told("2026-03-02 11:00:15", verdict(Outcome.GHOST)).restarts("2026-03-02 11:04")
    counting.told("2026-03-02 11:05", verdict(Outcome.LEFT_EARLY, freed_min=5))  # of one that ended then, too
    counting.passes("2026-03-03 00:01")
    booked, after = (counting.hour(f"2026-03-02 {hour}:00").counted for hour in (10, 11))
    assert (booked.ghosts, booked.left_early, booked.freed_min, booked.booked_s) == (1, 1, 5, 3600)
    assert (after.ghosts, after.left_early, after.freed_min) == (0, 0, 0)
    (day,) = counting.days
    assert (day.counted.ghosts, day.counted.left_early) == (1, 1)
    assert [each.length_s for each in counting.hours if each.counted.ghosts] == [3600, 3600]


def test_a_verdict_on_the_day_before_counts_where_it_is_given_as_that_day_was_told():
    late = replace(verdict(Outcome.GHOST), booking=replace(BOOKING, ends_at=moment("2026-03-03 00:00")))
    counting = Counting().told("2026-03-03 00:00:15", late).passes("2026-03-04 00:01")
    assert counting.hour("2026-03-03 00:00").counted.ghosts == 1
    assert [day.counted.ghosts for day in counting.days] == [0, 1]


def test_bookings_releases_and_uses_without_a_booking_count_when_they_are_told():
    attempt = ReleaseAttempt(
        booking=BOOKING.key,
        phase=ReleasePhase.RELEASED,
        since=BOOKING.starts_at,
        starts_at=BOOKING.starts_at,
        ends_at=BOOKING.ends_at,
        due_at=BOOKING.starts_at,
    )
    freed_from = BOOKING.ends_at - timedelta(minutes=45)
    released = ReleaseFact(
        kind=FactKind.BOOKING_RELEASED, at=freed_from, booking=BOOKING, attempt=attempt, freed_from=freed_from
    )
    unclaimed = replace(released, kind=FactKind.BOOKING_UNCLAIMED)
    use = Use(since=BOOKING.ends_at)
    counted = (
        Counting()
        .told("2026-03-02 09:05", BookingFact(kind=FactKind.BOOKING_STARTED, at=freed_from, booking=BOOKING))
        .told("2026-03-02 09:15", released, unclaimed)
        .told(
            "2026-03-02 09:50",
            UseFact(kind=FactKind.ROOM_USED_UNBOOKED, at=freed_from, use=use, until=freed_from),
        )
        .passes("2026-03-02 10:10")
        .hour("2026-03-02 09:00")
        .counted
    )
    assert (counted.bookings, counted.released, counted.released_min, counted.unbooked) == (1, 1, 45, 1)


# ── days ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_day_is_told_at_the_rooms_own_midnight():
    counting = (
        Counting()
        .stands("2026-03-02 08:00")
        .stands("2026-03-02 17:30", booked=True, there=True, people=3)
        .stands("2026-03-02 18:30")
        .passes("2026-03-03 00:01")
    )
    (day,) = counting.days
    assert (day.day, day.capacity, day.recovered) == (date(2026, 3, 2), 8, False)
    assert (day.starts_at, day.at) == (moment("2026-03-02 00:00"), moment("2026-03-03 00:00"))
    assert (day.counted.booked_s, day.counted.in_use_s) == (HOUR_S, HOUR_S)
    assert (day.counted.unknown_s, day.counted.unwatched_s) == (8 * HOUR_S, 8 * HOUR_S)
    assert (day.working.length_s, day.working.booked_s) == (10 * HOUR_S, HOUR_S / 2)


@pytest.mark.parametrize(
    ("zone", "before", "day", "hours"),
    [
        ("Europe/Oslo", "2026-03-28 12:00", date(2026, 3, 29), 23),
        ("Europe/Oslo", "2026-10-24 12:00", date(2026, 10, 25), 25),
        ("Africa/Cairo", "2026-04-23 12:00", date(2026, 4, 24), 23),  # midnight itself is left out
        ("Australia/Lord_Howe", "2026-04-04 12:00", date(2026, 4, 5), 24.5),
        ("Asia/Kolkata", "2026-04-04 12:00", date(2026, 4, 5), 24),
        ("America/St_Johns", "2026-11-01 00:00", date(2026, 11, 1), 25),
    ],
)
def test_days_on_which_the_clocks_change_are_as_long_as_they_are(
    zone: str, before: str, day: date, hours: float
):
    counting = Counting(starts=before, zone=ZoneInfo(zone)).stands(before, booked=True)
    after = f"{day + timedelta(days=1)} 00:30"
    counting.passes(after)
    (told,) = [fact for fact in counting.days if fact.day == day]
    assert (told.at - told.starts_at).total_seconds() == hours * HOUR_S
    assert told.counted.booked_s == hours * HOUR_S
    of_day = [each for each in counting.hours if each.day == day]
    assert sum(each.length_s for each in of_day) == hours * HOUR_S
    assert len({each.starts_at for each in of_day}) == len(of_day)
    assert all(0 <= each.hour < 24 for each in of_day)


def test_the_time_of_a_restart_is_unwatched_from_the_last_sign_of_life():
    counting = (
        Counting()
        .stands("2026-03-02 08:00", booked=True, there=True)
        .restarts("2026-03-02 09:40", alive="2026-03-02 08:45")
        .stands("2026-03-02 09:40", there=None)
        .stands("2026-03-02 09:50")
        .passes("2026-03-02 10:10")
    )
    eight, nine = counting.hour("2026-03-02 08:00").counted, counting.hour("2026-03-02 09:00").counted
    assert (eight.attended_s, eight.unknown_s, eight.unwatched_s) == (45 * 60, 15 * 60, 15 * 60)
    assert (nine.booked_s, nine.unknown_s, nine.unwatched_s) == (0, 50 * 60, 40 * 60)


def test_without_a_sign_of_life_only_what_was_settled_is_known():
    counting = (
        Counting()
        .stands("2026-03-02 08:00", there=True)
        .restarts("2026-03-02 08:45")
        .stands("2026-03-02 08:45")
        .passes("2026-03-02 09:10")
    )
    counted = counting.hour("2026-03-02 08:00").counted
    assert (counted.in_use_s, counted.unwatched_s) == (0, 45 * 60)


def test_days_that_roomd_missed_are_told_at_its_next_start_as_unknown():
    counting = (
        Counting()
        .stands("2026-03-02 08:00", booked=True)
        .passes("2026-03-02 12:30")
        .restarts("2026-03-05 10:00", alive="2026-03-02 12:30")
        .stands("2026-03-05 10:00")
    )
    monday, tuesday, wednesday = counting.days
    assert [day.day.day for day in counting.days] == [2, 3, 4]
    assert all(day.recovered for day in counting.days)
    assert (monday.counted.booked_s, monday.counted.unwatched_s) == (4.5 * HOUR_S, 19.5 * HOUR_S)
    assert tuesday.counted.unwatched_s == wednesday.counted.unknown_s == 24 * HOUR_S
    assert tuesday.working.unknown_s == tuesday.working.length_s == 10 * HOUR_S
    assert {each.day.day for each in counting.hours} == {2, 5}  # a day without an hour is unknown as a whole
    counting.passes("2026-03-06 00:01")
    assert counting.days[-1].counted.unwatched_s == 10 * HOUR_S


def test_who_was_away_for_months_is_not_told_of_every_day():
    counting = Counting().restarts("2026-09-01 10:00").stands("2026-09-01 10:00")
    assert len(counting.days) == MISSED_DAYS_TOLD + 1
    assert counting.days[-1].day == date(2026, 8, 31)


@pytest.mark.parametrize(
    ("when", "zone"),
    [
        ("2026-03-03 01:30", "America/New_York"),  # yesterday evening there
        ("2026-03-03 13:30", "America/New_York"),
        ("2026-03-03 20:30", "Asia/Kolkata"),  # tomorrow there, and half past
        ("2026-03-03 13:30", "UTC"),
    ],
)
def test_a_day_by_another_zone_holds_what_was_counted_by_that_zone(when: str, zone: str):
    counting = Counting(starts="2026-03-02 00:00").stands("2026-03-02 00:00", there=None).passes(when)
    counting.zone = ZoneInfo(zone)
    counting.policy = replace(counting.policy, timezone=counting.zone)
    counting.passes("2026-03-06 00:30")
    days = [fact.day.day for fact in counting.days]
    assert days == [2, 3, 4, 5]
    for fact in counting.days[1:]:  # nobody could tell all the time
        length_s = (fact.at - fact.starts_at).total_seconds()
        assert fact.counted.unknown_s <= length_s
        if fact.day.day > 3:
            assert (fact.counted.unknown_s, fact.working.length_s) == (length_s, 10 * HOUR_S)
    starts = [hour.starts_at for hour in counting.hours]
    ends = [hour.starts_at + timedelta(seconds=hour.length_s) for hour in counting.hours]
    assert starts[1:] == ends[:-1]


def test_working_hours_that_overlap_count_once():
    counting = Counting()
    twice = (read_hours("Mon-Fri 08:00-12:30"), read_hours("Mon 12:00-12:30"))
    counting.policy = replace(counting.policy, working=twice)
    counting.passes("2026-03-03 00:30")
    assert counting.days[0].working.length_s == 4.5 * HOUR_S


def test_a_clock_that_jumps_ahead_leaves_the_time_between_unknown():
    counting = (
        Counting()
        .stands("2026-03-02 08:00", there=True)
        .passes("2026-03-02 08:10")
        .jumps(timedelta(minutes=40))
    )
    counting.passes("2026-03-02 09:10")
    counted = counting.hour("2026-03-02 08:00").counted
    assert (counted.in_use_s, counted.unwatched_s) == (20 * 60, 40 * 60)


def test_a_clock_set_back_within_the_hour_counts_none_of_it_twice():
    counting = (
        Counting()
        .stands("2026-03-02 08:00", there=True)
        .passes("2026-03-02 08:50")
        .jumps(-timedelta(minutes=20))
    )
    counting.passes("2026-03-02 09:10")
    assert counting.hour("2026-03-02 08:00").counted.in_use_s == HOUR_S


def test_a_clock_set_back_over_midnight_tells_no_day_twice():
    counting = (
        Counting()
        .stands("2026-03-02 08:00", there=True)
        .passes("2026-03-03 00:20")
        .jumps(-timedelta(hours=1))
        .passes("2026-03-04 00:20")
    )
    assert [day.day.day for day in counting.days] == [2, 3]
    relived = [each for each in counting.hours if each.starts_at == moment("2026-03-02 23:00")]
    assert [each.counted.unwatched_s for each in relived] == [0, 20 * 60]
    assert all(each.counted.in_use_s + each.counted.unknown_s <= HOUR_S for each in counting.hours)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 200),  # minutes
            st.booleans(),
            st.sampled_from([True, False, None]),
            st.integers(0, 9),
            st.sampled_from(["stands", "jumps", "restarts"]),
        ),
        max_size=30,
    )
)
def test_whatever_happens_no_hour_holds_more_than_it_is_long(moves):
    counting = Counting()
    for minutes, booked, there, people, what in moves:
        later = counting.now + timedelta(minutes=minutes)
        text = f"{later.astimezone(OSLO):%Y-%m-%d %H:%M}"
        if what == "jumps":
            counting.jumps(timedelta(minutes=minutes - 100))
        elif what == "restarts":
            counting.restarts(text, alive=text if booked else None)
        counting.stands(
            max(text, f"{counting.now.astimezone(OSLO):%Y-%m-%d %H:%M}"),
            booked=booked,
            there=there,
            people=people,
        )
    for each in counting.hours:
        counted, length_s = each.counted, each.length_s + 1e-6
        assert 0 < each.length_s <= HOUR_S
        assert max(counted.booked_s, counted.in_use_s + counted.unknown_s) <= length_s
        assert counted.attended_s + counted.empty_s <= counted.booked_s + 1e-6
        assert counted.attended_s <= counted.in_use_s + 1e-6
        assert counted.unwatched_s <= counted.unknown_s + 1e-6
    told = [day.day for day in counting.days]
    assert told == sorted(set(told))


# ── all of the core ───────────────────────────────────────────────────────────────────────────────


def test_a_day_of_the_whole_core_is_counted_as_it_was():
    story = Story()
    story.room = begin(story.room, now=story.now, policy=story.policy)
    story.connected("08:00")
    story.lists(
        "08:00:01",
        listed("1", "m1", "09:00", "10:00"),
        listed("2", "m2", "11:00", "12:00"),
        tells=(FactKind.BOOKING_CONFIRMED, FactKind.BOOKING_CONFIRMED),
    )
    senses = [
        ("08:00:02", 0, False),
        ("09:02", 3, True),
        ("10:02", 0, False),
        ("14:00", 1, True),
        ("14:30", 0, False),
    ]
    for clock, people, presence in senses:
        story._run_to(at(clock))  # noqa: SLF001 - what else is told is told by other tests
        for event in (
            PresenceSensed(device=STORIED, presence=presence),
            PeopleCounted(device=STORIED, people=people),
        ):
            story._happen(event)  # noqa: SLF001
    story._run_to(at("+1 00:01"))  # noqa: SLF001
    (day,) = [fact for fact in story.told if isinstance(fact, DayFact)]
    counted = day.counted
    assert (counted.bookings, counted.attended, counted.ghosts, counted.unbooked) == (2, 1, 1, 1)
    late = 15  # the device is given so long to say itself that a booking begins, and ends
    assert (counted.booked_s, counted.attended_s) == (2 * HOUR_S, 58 * 60 + late)
    assert counted.empty_s == HOUR_S + 2 * 60 - late
    assert (counted.in_use_s, counted.people_min) == (90 * 60, 3 * 60 + 30)
    assert counted.unwatched_s == 7 * HOUR_S
    assert 8 * HOUR_S <= counted.unknown_s < 8 * HOUR_S + 10
    assert story.room.tally is not None
