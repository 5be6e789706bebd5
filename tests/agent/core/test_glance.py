"""How a room looks to somebody who wants one: stories of a day, and any room at any moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.events import CalendarTurned, DeviceLost, DeviceRefused, PeopleCounted, UseSensed
from agent.core.facts import FactKind
from agent.core.glance import Candidate, Condition, Glance, free_rooms, glance, is_free, reason_and_mend
from agent.core.model import (
    NOTHING_KNOWN,
    Booking,
    BookingKey,
    BookingPhase,
    CalendarKind,
    CalendarPhase,
    DeviceId,
    DevicePhase,
    DeviceState,
    FeedbackId,
    Hold,
    HoldId,
    HoldPhase,
    Occupancy,
    Room,
    RoomId,
    Surface,
)
from tests.agent.core.story import CODEC, DAY, Story, at, entry, listed

OSLO = ZoneInfo("Europe/Oslo")  # an hour ahead of the stories, which tell UTC
CHANGED = FactKind.OCCUPANCY_CHANGED
CONFIRMED, STARTED, ENDED = (
    FactKind.BOOKING_CONFIRMED,
    FactKind.BOOKING_STARTED,
    FactKind.BOOKING_ENDED,
)
SWITCHED = FactKind.CALENDAR_SWITCHED


def look(story: Story, clock: str) -> Glance:
    story._run_to(at(clock))  # noqa: SLF001 - whatever the cloud is told meanwhile
    return glance(story.room, now=story.now, zone=OSLO)


def said(story: Story, clock: str) -> tuple[str, str]:
    seen = look(story, clock)
    return seen.condition.value, seen.words


def people(count: int | None) -> PeopleCounted:
    return PeopleCounted(device=CODEC, people=count)


# ── a day ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_day_with_one_meeting():
    story = Story().connected("08:00").lists("08:00", listed("1", "m", "10:00", "11:00"), tells=(CONFIRMED,))
    assert said(story, "08:01") == ("free", "Free until 11:00")
    assert look(story, "08:02").until == at("10:00")
    assert said(story, "10:00") == (
        "booked",
        "Booked until 12:00",
    )  # nobody can tell whether anybody is there
    story.then("10:01", people(3), CHANGED)
    assert said(story, "10:02") == ("booked", "Booked until 12:00")
    story.then("10:30", people(0), CHANGED)
    assert said(story, "10:31") == ("empty", "Booked, nobody there")
    assert look(story, "10:31").until == at("11:00")
    assert said(story, "11:00") == ("free", "Free all day")
    story.then("11:05", people(1), CHANGED)
    assert said(story, "11:06") == ("in_use", "In use without booking")
    assert look(story, "11:06").until is None


def test_unknown_people_leave_a_booking_booked_and_a_free_room_free():
    story = Story().connected("08:00").lists("08:00", listed("1", "m", "10:00", "11:00"), tells=(CONFIRMED,))
    story.then("09:00", people(0), CHANGED).then("09:30", people(None), CHANGED)
    assert look(story, "09:31").condition is Condition.FREE
    assert look(story, "10:10").condition is Condition.BOOKED


def test_one_meeting_after_the_other_is_booked_until_the_last_ends():
    story = Story().connected("08:00")
    days = [listed(str(n), f"m{n}", f"{9 + n}:00", f"{10 + n}:00") for n in range(3)]
    story.lists("08:00", *days, listed("9", "m9", "13:00", "14:00"), tells=(CONFIRMED,) * 4)
    seen = look(story, "09:30")
    assert (seen.words, seen.until) == ("Booked until 13:00", at("12:00"))
    assert seen.current is not None
    assert seen.next is not None
    assert (seen.current.starts_at, seen.next.starts_at) == (at("09:00"), at("10:00"))
    assert said(story, "12:00") == ("free", "Free until 14:00")


def test_what_is_asked_for_takes_the_room_before_it_is_answered():
    room = known(booking("09:00", "10:00", phase=BookingPhase.REQUESTED))
    seen = glance(room, now=at("09:00:10"), zone=OSLO)
    assert (seen.condition, seen.words) == (Condition.BOOKED, "Asked for until 11:00")
    assert seen.current is not None
    early = glance(room, now=at("08:30"), zone=OSLO)
    assert (early.words, early.next) == ("Free until 10:00", None)
    assert not is_free(room, early, span=timedelta(minutes=31), now=at("08:30"))


def test_a_meeting_that_its_device_began_early_is_on():
    seen = glance(known(booking("10:00", "11:00", phase=BookingPhase.STARTED)), now=at("09:55"), zone=OSLO)
    assert (seen.condition, seen.until) == (Condition.BOOKED, at("11:00"))


@pytest.mark.parametrize(
    ("starts", "ends", "all_day", "clock", "words"),
    [
        ("22:00", "23:00", False, "21:30", "Free until 23:00"),
        ("23:00", "+1 01:00", False, "21:30", "Free all day"),  # it is tomorrow at the site
        ("21:00", "23:00", False, "22:00", "Booked until midnight"),
        ("21:00", "+1 01:00", False, "22:00", "Booked until tomorrow 02:00"),
        ("21:00", "+3 01:00", False, "22:00", "Booked until 2026-03-05 02:00"),
        ("-1 23:00", "23:00", True, "12:00", "Booked all day"),
    ],
)
def test_words_tell_the_time_of_the_site(starts, ends, all_day, clock, words):
    there = booking(starts, ends, all_day=all_day)
    assert glance(known(there), now=at(clock), zone=OSLO).words == words


def test_the_day_is_the_sites_with_what_is_over_and_without_what_was_taken_back():
    bookings = [
        booking("-1 22:00", "-1 23:00"),  # ends as the site's day begins
        booking("-1 22:30", "-1 23:30", phase=BookingPhase.ENDED),
        booking("08:00", "09:00", phase=BookingPhase.DELETED),
        booking("09:00", "10:00"),
        booking("22:30", "23:30"),
        booking("23:00", "+1 00:00"),  # begins as it ends
    ]
    seen = glance(known(*bookings), now=at("08:30"), zone=OSLO)
    assert [b.starts_at for b in seen.day] == [at("-1 22:30"), at("09:00"), at("22:30")]


# ── holds ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_hold_goes_before_free_and_in_use_and_behind_a_booking():
    held = hold("09:00", "09:15")
    room = replace(known(), holds={held.feedback_id: held})
    assert glance(room, now=at("09:00"), zone=OSLO).words == "Held until 10:15"
    used = replace(room, occupancy=Occupancy(people=2, in_use=True))
    assert glance(used, now=at("09:10"), zone=OSLO).condition is Condition.HELD
    both = booking("09:05", "10:00")
    booked = glance(replace(room, bookings={both.key: both}), now=at("09:10"), zone=OSLO)
    assert (booked.condition, booked.hold) == (Condition.BOOKED, held)
    assert glance(room, now=at("09:15"), zone=OSLO).condition is Condition.FREE


def test_a_hold_to_come_ends_the_free_time_and_a_plain_message_does_not():
    later = hold("10:00", "10:15", phase=HoldPhase.PLACED)
    room = replace(known(), holds={later.feedback_id: later})
    assert glance(room, now=at("09:00"), zone=OSLO).words == "Free until 11:00"
    message = replace(room, holds={later.feedback_id: replace(later, plain=True, phase=HoldPhase.SHOWN)})
    assert glance(message, now=at("10:05"), zone=OSLO).words == "Free all day"


# ── what nobody knows ─────────────────────────────────────────────────────────────────────────────


def test_a_room_that_is_not_heard_says_why():
    story = Story()
    assert said(story, "07:30") == ("unknown", "Not heard: no device has been reached yet")
    story.connected("08:00").lists("08:00", listed("1", "m", "10:00", "11:00"), tells=(CONFIRMED,))
    story.then("09:00", DeviceLost(device=CODEC, why="no answer for 30 s"), FactKind.DEVICE_LOST)
    assert said(story, "09:01") == ("unknown", "Not heard: no answer for 30 s")
    story.then("09:05", DeviceRefused(device=CODEC, why="the password is wrong"), FactKind.DEVICE_REFUSED)
    assert said(story, "09:06") == ("unknown", "Not heard: the password is wrong")


def test_of_the_reasons_of_several_lines_a_glance_tells_the_best_ones():
    why = "websocket: nobody listens at its HTTPS port; ssh: no answer in time; http: no answer; look at it"
    story = Story().connected("08:00")
    story.then("09:00", DeviceLost(device=CODEC, why=why), FactKind.DEVICE_LOST)
    assert said(story, "09:01") == ("unknown", "Not heard: nobody listens at its HTTPS port")
    assert reason_and_mend(why) == ("nobody listens at its HTTPS port", "look at it")
    assert reason_and_mend("no answer in time") == ("no answer in time", None)
    assert reason_and_mend("no TLS: too old; renew it; or not") == ("no TLS: too old", "renew it; or not")


def test_a_device_that_is_heard_and_has_not_listed_yet_is_not_taken_for_free():
    story = Story(mute=True).connected("08:00")
    assert said(story, "08:00:01") == ("free", "Bookings not known")
    assert found([("fjord", 4, story.room)], now=story.now) == []
    story.then("08:00:02", people(0), CHANGED)
    assert said(story, "08:00:03") == ("free", "Nobody there, bookings not known")
    story.then("08:00:04", UseSensed(device=CODEC, in_use=True), CHANGED)
    assert said(story, "08:00:05") == ("in_use", "In use, bookings not known")


def test_a_calendar_that_is_read_says_what_is_booked_while_no_device_is_heard():
    story = Story(devices=(), calendars=(CalendarKind.MICROSOFT,))
    assert said(story, "07:01") == ("unknown", "Not heard: its calendar has not been read yet")
    story.turns("07:02", CalendarPhase.ACTIVE, FactKind.CALENDAR_CONNECTED)
    story.reads("07:03", entry("e", "09:00", "10:00"), tells=(SWITCHED, CONFIRMED))
    assert said(story, "08:00") == ("free", "Free until 10:00")
    assert said(story, "09:00") == ("booked", "Booked until 11:00")
    story.polled.clear()
    revoked = CalendarTurned(
        calendar=CalendarKind.MICROSOFT, phase=CalendarPhase.REVOKED, why="consent was taken back"
    )
    story.then("09:30", revoked, FactKind.CALENDAR_REVOKED)
    seen = look(story, "09:31")
    assert (seen.condition, seen.words) == (Condition.UNKNOWN, "Not heard: consent was taken back")


def test_a_room_with_nothing_says_so():
    room = Room(id=RoomId("fjord"))
    assert glance(room, now=at("09:00"), zone=OSLO).words == ("Not heard: it has neither device nor calendar")


# ── which rooms are free ──────────────────────────────────────────────────────────────────────────


def test_the_smallest_that_fits_comes_first_and_unknown_sizes_last():
    rooms = [("great", 20, known()), ("den", 2, known()), ("loft", None, known()), ("attic", 6, known())]
    assert found(rooms, people=4) == ["attic", "great", "loft"]
    assert found(rooms, people=1) == ["den", "attic", "great", "loft"]
    assert found(rooms, people=21) == ["loft"]


def test_a_room_that_is_booked_within_the_time_is_not_free_for_it():
    room = known(booking("10:00", "11:00"))
    assert found([("a", 4, room)], now=at("09:30"), span=30) == ["a"]  # it ends as the booking begins
    assert found([("a", 4, room)], now=at("09:30"), span=31) == []
    assert found([("a", 4, room)], now=at("11:00"), span=60) == ["a"]  # its booking ends exactly now


@pytest.mark.parametrize(
    "changed",
    [
        {"occupancy": Occupancy(people=1)},
        {"occupancy": Occupancy(people=0, presence=True)},
        {"occupancy": Occupancy(in_call=True)},
        {"devices": {}},
        {"bookings": {"b": None}},
        {"holds": {"h": None}},
    ],
)
def test_rooms_that_are_used_held_booked_or_unknown_are_not_free(changed):
    fillings = {"bookings": booking("08:00", "10:00"), "holds": hold("08:00", "10:00")}
    filled: dict[str, Any] = {
        name: dict.fromkeys(value, fillings[name]) if name in fillings else value
        for name, value in changed.items()
    }
    assert found([("a", 4, replace(known(), **filled))], now=at("09:00")) == []


# ── any room at any moment ────────────────────────────────────────────────────────────────────────

at_leisure = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

MOMENTS = st.integers(0, 48 * 4).map(lambda quarter: DAY + timedelta(minutes=15 * quarter))
SPANS = st.integers(1, 24).map(lambda quarter: timedelta(minutes=15 * quarter))
TRUTHS = st.sampled_from([None, False, True])


@st.composite
def rooms(draw: st.DrawFn) -> Room:
    bookings = [
        replace(
            booking("00:00", "00:15", phase=draw(st.sampled_from(BookingPhase))),
            key=BookingKey(f"b{number}"),
            starts_at=(starts := draw(MOMENTS)),
            ends_at=starts + draw(SPANS),
            all_day=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 4)))
    ]
    holds = [
        replace(
            hold("00:00", "00:15", phase=draw(st.sampled_from(HoldPhase))),
            feedback_id=FeedbackId(f"h{number}"),
            plain=draw(st.booleans()),
            starts_at=(starts := draw(MOMENTS)),
            ends_at=starts + draw(SPANS),
        )
        for number in range(draw(st.integers(0, 2)))
    ]
    device = replace(CODEC_STATE, phase=draw(st.sampled_from(DevicePhase)), recovering=draw(st.booleans()))
    return Room(
        id=RoomId("fjord"),
        devices={} if draw(st.booleans()) and draw(st.booleans()) else {device.id: device},
        bookings={b.key: b for b in bookings},
        holds={h.feedback_id: h for h in holds},
        occupancy=Occupancy(
            people=draw(st.sampled_from([None, 0, 3])), presence=draw(TRUTHS), in_use=draw(TRUTHS)
        ),
    )


@at_leisure
@given(rooms(), MOMENTS)
def test_every_room_has_one_condition_and_words_that_fit_it(room, now):
    seen = glance(room, now=now, zone=OSLO)
    heads = {
        Condition.FREE: ("Free ", "Bookings not", "Nobody there"),
        Condition.BOOKED: ("Booked ", "Asked for "),
        Condition.EMPTY: ("Booked, nobody there",),
        Condition.HELD: ("Held until ",),
        Condition.IN_USE: ("In use",),
        Condition.UNKNOWN: ("Not heard: ",),
    }
    assert seen.words.startswith(heads[seen.condition])
    assert seen.until is None or seen.until > now
    if seen.condition in {Condition.BOOKED, Condition.EMPTY}:
        assert seen.current is not None
        assert now < seen.current.ends_at
        assert seen.current.starts_at <= now or seen.current.phase is BookingPhase.STARTED
        assert seen.until is not None
        assert seen.until >= seen.current.ends_at
    if seen.condition in {Condition.FREE, Condition.IN_USE, Condition.HELD}:
        assert seen.current is None
    if seen.condition is Condition.EMPTY:  # for sure: nobody said anything else, and somebody said that
        o = room.occupancy
        assert o.in_use is False
        assert not o.people
        assert not o.presence


@at_leisure
@given(rooms(), MOMENTS)
def test_knowing_less_of_people_never_empties_a_room(room, now):
    blind = glance(replace(room, occupancy=NOTHING_KNOWN), now=now, zone=OSLO)
    assert blind.condition not in {Condition.EMPTY, Condition.IN_USE}


@at_leisure
@given(rooms(), MOMENTS, SPANS)
def test_a_room_that_is_free_for_a_time_looks_free_all_that_time(room, now, span):
    if not is_free(room, glance(room, now=now, zone=OSLO), span=span, now=now):
        return
    for minutes in range(0, int(span.total_seconds() // 60), 15):
        later = now + timedelta(minutes=minutes)
        assert glance(room, now=later, zone=OSLO).condition is Condition.FREE
        assert is_free(room, glance(room, now=later, zone=OSLO), span=now + span - later, now=later)


@at_leisure
@given(st.lists(st.tuples(rooms(), st.one_of(st.none(), st.integers(1, 9))), max_size=5), st.integers(1, 9))
def test_who_is_offered_fits_and_stands_in_order(site, number):
    candidates = [
        Candidate(room=replace(room, id=RoomId(f"r{n}")), name=f"r{n}", capacity=capacity)
        for n, (room, capacity) in enumerate(site)
    ]
    now, span = at("09:00"), timedelta(minutes=30)
    offered = free_rooms(candidates, span=span, people=number, now=now, zone=OSLO)
    capacities = {each.room.id: each.capacity for each in candidates}
    sizes = [capacities[room] for room, _ in offered]
    assert all(size is None or size >= number for size in sizes)
    assert sizes == sorted(sizes, key=lambda size: (size is None, size or 0))
    assert all(seen.condition is Condition.FREE for _, seen in offered)
    kept_back = [each for each in candidates if each.room.id not in {room for room, _ in offered}]
    for each in kept_back:
        fits = each.capacity is None or each.capacity >= number
        assert not (fits and is_free(each.room, glance(each.room, now=now, zone=OSLO), span=span, now=now))


# ── what they are made of ─────────────────────────────────────────────────────────────────────────

CODEC_STATE = DeviceState(
    id=DeviceId("fjord"), phase=DevicePhase.CONNECTED, since=DAY, listed_at=DAY, product="Room Bar"
)


def known(*bookings: Booking) -> Room:
    """A room whose device is heard and has listed these."""
    named = [replace(b, key=BookingKey(f"b{number}")) for number, b in enumerate(bookings)]
    return Room(id=RoomId("fjord"), devices={CODEC_STATE.id: CODEC_STATE}, bookings={b.key: b for b in named})


def booking(
    starts: str, ends: str, *, phase: BookingPhase = BookingPhase.CONFIRMED, all_day: bool = False
) -> Booking:
    return Booking(
        key=BookingKey("b"),
        phase=phase,
        starts_at=at(starts),
        ends_at=at(ends),
        since=DAY,
        all_day=all_day,
        seen_at=DAY,
    )


def hold(starts: str, ends: str, *, phase: HoldPhase = HoldPhase.SHOWN) -> Hold:
    return Hold(
        feedback_id=FeedbackId("h"),
        id=HoldId("h"),
        phase=phase,
        since=DAY,
        text="Kari is on her way",
        starts_at=at(starts),
        ends_at=at(ends),
        surfaces=(Surface.SCREEN,),
    )


def found(
    rooms: list[tuple[str, int | None, Room]], *, now: datetime | None = None, span: int = 30, people: int = 1
) -> list[str]:
    candidates = [
        Candidate(room=replace(room, id=RoomId(name)), name=name, capacity=capacity)
        for name, capacity, room in rooms
    ]
    offered = free_rooms(
        candidates, span=timedelta(minutes=span), people=people, now=now or at("09:00"), zone=OSLO
    )
    return [room for room, _ in offered]
