"""Who came to what was booked: verdicts, what is no evidence, and use without a booking."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from agent import snapshots
from agent.core.events import (
    BookingCheckedIn,
    BookingDeleted,
    BookingEnded,
    BookingMoved,
    CalendarTurned,
    CallsCounted,
    CurrentValuesRead,
    DeviceLost,
    ListedBooking,
    PeopleCounted,
    PresenceSensed,
    PromptAnswered,
    SharingSensed,
    UseSensed,
)
from agent.core.facts import AttendanceFact, FactKind, UseFact
from agent.core.model import (
    AttendancePhase,
    BookingId,
    CalendarKind,
    CalendarPhase,
    DeviceId,
    EvidenceKind,
    FeedbackId,
    Judging,
    Outcome,
    Policy,
    RoomId,
    Rules,
)
from tests.agent.core.story import CODEC, M1, Story, at, entry, listed

STARTED = FactKind.BOOKING_STARTED
ENDED = FactKind.BOOKING_ENDED
SWITCHED = FactKind.CALENDAR_SWITCHED
CONFIRMED = FactKind.BOOKING_CONFIRMED
ATTENDED = FactKind.BOOKING_ATTENDED
DESERTED = FactKind.BOOKING_DESERTED
GHOST = FactKind.BOOKING_GHOST
LEFT_EARLY = FactKind.BOOKING_LEFT_EARLY
JUDGED = FactKind.BOOKING_JUDGED

PANEL = DeviceId("fjord-panel")
POLICY = Policy()
TEN = listed("webex-7", M1, "10:00", "11:00")
NO_ROUTE = DeviceLost(device=CODEC, why="no route to host")


def values(
    people: int | None = 0,
    presence: bool | None = False,
    device: DeviceId = CODEC,
    in_use: bool | None = None,
    calls: int | None = 0,
    sharing: bool | None = False,
) -> CurrentValuesRead:
    if in_use is None and presence is not None:
        in_use = presence or bool(calls) or bool(sharing)
    return CurrentValuesRead(
        device=device, people=people, presence=presence, in_use=in_use, calls=calls, sharing=sharing
    )


def people(count: int | None) -> PeopleCounted:
    return PeopleCounted(device=CODEC, people=count)


def presence(there: bool | None, device: DeviceId = CODEC) -> PresenceSensed:
    return PresenceSensed(device=device, presence=there)


def a_day(*bookings: ListedBooking, first: CurrentValuesRead | None = None, policy: Policy = POLICY) -> Story:
    """The codec has been heard since eight, nobody is there, and this is booked; TEN, if nothing else is."""
    story = Story(judges=True, policy=policy).connected("08:00")
    story.lists("08:00", *(bookings or (TEN,)), tells=(CONFIRMED,) * max(len(bookings), 1))
    story.hears("08:00", first or values())
    return story


def told(story: Story) -> list[tuple[str, FactKind]]:
    """What was told of attendance, and when."""
    return [(f"{f.at:%H:%M:%S}", f.kind) for f in story.told if isinstance(f, AttendanceFact)]


def verdict(story: Story) -> AttendanceFact:
    """The one final fact."""
    final = [f for f in story.told if isinstance(f, AttendanceFact) and f.attendance.outcome is not None]
    assert len(final) == 1, [f.kind for f in final]
    return final[0]


# ── the plain cases ───────────────────────────────────────────────────────────────────────────────


def test_nobody_comes_and_that_is_known_for_the_whole_of_it():
    story = a_day().until("11:05", STARTED, DESERTED, ENDED, GHOST)
    assert told(story) == [("10:10:00", DESERTED), ("11:00:15", GHOST)]
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.GHOST
    assert (fact.known, fact.unknown) == (timedelta(hours=1), timedelta(0))
    assert fact.attendance.evidence == ()
    assert fact.attendance.people_peak is None


def test_people_who_come_are_there_after_a_minute_of_being_counted():
    story = a_day()
    story.hears("10:04", presence(True), people(3))
    story.hears("10:20", people(5))
    story.hears("10:59", people(4))
    story.hears("11:00:30", people(0))
    story.hears("11:02", presence(False))
    story.hears("11:30")
    assert told(story) == [("10:05:00", ATTENDED), ("11:02:00", JUDGED)]
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.ATTENDED
    assert fact.attendance.came_at == at("10:04")
    assert fact.attendance.people_peak == 5
    seen = {each.kind: each for each in fact.attendance.evidence}
    assert set(seen) == {EvidenceKind.PRESENCE, EvidenceKind.PEOPLE}
    assert seen[EvidenceKind.PEOPLE].by == CODEC
    assert seen[EvidenceKind.PEOPLE].first_at == at("10:04")
    assert seen[EvidenceKind.PEOPLE].lasted == timedelta(minutes=56)
    assert (fact.known, fact.unknown) == (timedelta(hours=1), timedelta(0))


def test_people_who_come_back_keep_their_booking():
    story = a_day()
    story.hears("10:01", people(2), presence(True))
    story.hears("10:30", people(0), presence(False))
    story.hears("10:40", people(2), presence(True))
    story.hears("10:58", people(0))
    story.hears("11:10")
    assert told(story)[:3] == [("10:02:00", ATTENDED), ("10:35:00", DESERTED), ("10:41:00", ATTENDED)]
    assert verdict(story).attendance.outcome in {Outcome.ATTENDED, Outcome.OVERRUN}


def test_who_leaves_early_frees_the_rest():
    story = a_day()
    story.hears("10:00", people(2), presence(True))
    story.hears("10:20", people(0), presence(False))
    story.hears("11:05")
    assert told(story) == [("10:01:00", ATTENDED), ("10:25:00", DESERTED), ("11:00:15", LEFT_EARLY)]
    assert verdict(story).freed == timedelta(minutes=40)


def test_who_leaves_some_minutes_before_the_end_has_attended():
    story = a_day()
    story.hears("10:00", people(2), presence(True))
    story.hears("10:56", people(0), presence(False))
    story.hears("11:05")
    assert told(story) == [("10:01:00", ATTENDED), ("11:00:15", JUDGED)]
    assert verdict(story).attendance.outcome is Outcome.ATTENDED


def test_who_stays_past_the_end_has_overrun_and_then_used_the_room_unbooked():
    story = a_day()
    story.hears("10:00", people(2), presence(True))
    story.hears("11:20", people(0), presence(False))
    story.hears("11:40")
    assert told(story) == [("10:01:00", ATTENDED), ("11:05:00", JUDGED)]
    assert verdict(story).attendance.outcome is Outcome.OVERRUN
    use = [fact for fact in story.told if isinstance(fact, UseFact)]
    assert [(f.use.since, f.until) for f in use] == [(at("11:00"), at("11:20"))]


def test_who_stays_while_the_next_booking_begins_has_not_overrun():
    story = a_day(TEN, listed("webex-8", "meeting-2", "11:00", "12:00"))
    story.hears("10:00", people(2), presence(True))
    story.hears("11:40")
    assert verdict(story).attendance.outcome is Outcome.ATTENDED


# ── what is no evidence ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "blind",
    [
        values(people=None, presence=None, calls=None, sharing=None),
        values(people=0, presence=None, in_use=False),
        values(people=None, presence=None, in_use=False),
    ],
    ids=["nothing is said", "a count of nobody", "not in use"],
)
def test_where_nobody_can_tell_nothing_is_a_ghost(blind):
    story = a_day(first=blind).until("11:05", STARTED, ENDED, JUDGED)
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.UNKNOWN
    assert (fact.known, fact.unknown) == (timedelta(0), timedelta(hours=1))


def test_a_room_without_sensors_has_no_ghosts():
    story = Story(judges=True).connected("08:00").lists("08:00", TEN, tells=(CONFIRMED,))
    story.until("11:05", STARTED, ENDED, JUDGED)
    assert verdict(story).attendance.outcome is Outcome.UNKNOWN


def test_a_device_that_was_away_for_longer_than_its_word_holds_makes_it_unknown():
    story = a_day()
    story.hears("10:20", NO_ROUTE)
    story.connected("10:30")
    story.hears("10:30", values())
    story.hears("11:05")
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.UNKNOWN
    assert fact.unknown == timedelta(minutes=8)
    assert fact.known == timedelta(minutes=52)


def test_a_device_that_was_away_for_a_moment_has_told_all():
    story = a_day()
    story.hears("10:20", NO_ROUTE)
    story.connected("10:21")
    story.hears("10:21", values())
    story.hears("11:05")
    assert verdict(story).attendance.outcome is Outcome.GHOST


def test_a_standby_in_between_makes_it_unknown():
    story = a_day()
    story.hears("10:20", people(None), presence(None))
    story.hears("10:21", people(0), presence(False))
    story.hears("11:05")
    assert verdict(story).attendance.outcome is Outcome.UNKNOWN


def test_another_device_that_is_away_may_see_what_this_one_does_not():
    story = Story(judges=True, devices=(CODEC, PANEL)).connected("08:00").connected("08:00", device=PANEL)
    story.lists("08:00", TEN, tells=(CONFIRMED,))
    story.hears("08:00", values(), values(device=PANEL))
    story.hears("10:20", DeviceLost(device=PANEL, why="no route to host"))
    story.hears("11:05")
    assert verdict(story).attendance.outcome is Outcome.UNKNOWN


def test_a_panel_that_never_saw_anybody_is_not_asked():
    story = Story(judges=True, devices=(CODEC, PANEL)).connected("08:00").connected("08:00", device=PANEL)
    story.lists("08:00", TEN, tells=(CONFIRMED,))
    nothing = values(device=PANEL, people=None, presence=None, calls=None, sharing=None)
    story.hears("08:00", values(), nothing)
    story.hears("10:20", DeviceLost(device=PANEL, why="no route to host"))
    story.hears("11:05")
    assert verdict(story).attendance.outcome is Outcome.GHOST


def test_one_device_that_sees_people_is_enough():
    story = Story(judges=True, devices=(CODEC, PANEL)).connected("08:00").connected("08:00", device=PANEL)
    story.lists("08:00", TEN, tells=(CONFIRMED,))
    story.hears("08:00", values(), values(device=PANEL))
    story.hears("10:20", presence(True, device=PANEL))
    story.hears("11:20")
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.OVERRUN
    assert [each.by for each in fact.attendance.evidence] == [PANEL]


def test_presence_left_over_from_the_people_before_is_nobody_s_coming():
    story = a_day()
    story.hears("09:30", people(4), presence(True))
    story.hears("09:59:30", people(0))
    story.hears("10:01:30", presence(False))
    story.hears("11:05")
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.GHOST
    assert [each.lasted for each in fact.attendance.evidence] == [timedelta(seconds=90)]


def test_people_of_the_booking_before_who_stay_on_are_not_taken_for_those_of_this():
    story = a_day(TEN, listed("webex-8", "meeting-2", "11:00", "12:00"))
    story.hears("10:01", people(4), presence(True))
    story.hears("11:07", people(0), presence(False))
    story.hears("12:05")
    outcomes = [
        f.attendance.outcome
        for f in story.told
        if isinstance(f, AttendanceFact) and f.attendance.outcome is not None
    ]
    assert outcomes == [Outcome.ATTENDED, Outcome.UNKNOWN]


def test_a_passer_by_is_no_meeting():
    story = a_day()
    story.hears("10:20", people(1), presence(True))
    story.hears("10:20:20", people(0))
    story.hears("10:22", presence(False))
    story.hears("11:05")
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.GHOST
    assert {each.kind for each in fact.attendance.evidence} == {EvidenceKind.PEOPLE, EvidenceKind.PRESENCE}


def test_who_looks_in_again_and_again_makes_it_unknown():
    story = a_day()
    for minute in (15, 25, 35):
        story.hears(f"10:{minute}", presence(True))
        story.hears(f"10:{minute + 2}", presence(False))
    story.hears("11:05")
    assert verdict(story).attendance.outcome is Outcome.UNKNOWN


def test_a_poster_is_nobody_once_it_has_hung_for_a_night():
    story = a_day(first=values(people=2, presence=False))
    story.hears("+1 08:00")
    tomorrow = listed("webex-9", "meeting-9", "+1 10:00", "+1 11:00")
    story.lists("+1 08:00", tomorrow, tells=(CONFIRMED,))
    story.told.clear()
    story.hears("+1 11:05")
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.GHOST
    assert fact.attendance.people_peak is None


@pytest.mark.parametrize("gap", ["asleep", "away", "restart"])
def test_who_was_counted_before_a_night_in_which_nothing_was_counted_is_no_poster(gap: str):
    story = a_day(first=values(people=0, presence=False))
    story.lists("16:00", listed("webex-9", "meeting-9", "+1 10:00", "+1 11:00"), tells=(CONFIRMED,))
    story.hears("18:00", people(1), presence(True))
    if gap == "asleep":
        story.hears("18:30", people(None), presence(None))
        story.hears("+1 09:00", people(1), presence(True))
    elif gap == "away":
        story.hears("18:30", DeviceLost(device=CODEC, why="cut"))
        story.connected("+1 09:00")
        story.hears("+1 09:00", values(people=1, presence=True))
    else:
        story.hears("18:30")
        story.restarts("+1 09:00")
        story.connected("+1 09:00")
        story.hears("+1 09:00", values(people=1, presence=True))
    story.hears("+1 09:30", people(0), presence(False))
    story.hears("+1 10:02", people(1), presence(True))
    story.told.clear()
    story.hears("+1 10:04")
    assert told(story) == [("10:03:00", ATTENDED)]


def test_people_in_front_of_a_poster_are_people():
    story = a_day(first=values(people=2, presence=False))
    story.lists("20:00", listed("webex-9", "meeting-9", "+1 10:00", "+1 11:00"), tells=(CONFIRMED,))
    story.hears("+1 09:59")
    story.told.clear()
    story.hears("+1 10:02", people(3))
    story.hears("+1 10:58", people(2))
    story.hears("+1 11:05")
    assert verdict(story).attendance.outcome is Outcome.ATTENDED
    assert verdict(story).attendance.people_peak == 1
    assert told(story)[0] == ("10:03:00", ATTENDED)


def test_a_poster_that_keeps_presence_up_is_never_taken_for_emptiness():
    story = a_day(first=values(people=2, presence=True))
    story.hears("+1 08:00")
    assert story.room.watch.there is None
    story.lists("+1 08:00", listed("webex-9", "meeting-9", "+1 10:00", "+1 11:00"), tells=(CONFIRMED,))
    story.told.clear()
    story.hears("+1 11:05")
    assert verdict(story).attendance.outcome is Outcome.UNKNOWN


# ── what is evidence ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (CallsCounted(device=CODEC, calls=1), EvidenceKind.CALL),
        (SharingSensed(device=CODEC, sharing=True), EvidenceKind.SHARING),
        (
            PromptAnswered(device=CODEC, feedback_id=FeedbackId("somebody-else"), option=1),
            EvidenceKind.ANSWER,
        ),
        (
            BookingCheckedIn(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=M1),
            EvidenceKind.CHECK_IN,
        ),
    ],
    ids=["call", "sharing", "answer", "check-in"],
)
def test_what_nobody_does_in_passing_counts_at_once(event, kind):
    story = a_day()
    story.hears("10:07", event)
    assert told(story) == [("10:07:00", ATTENDED)]
    story.hears("11:10")
    fact = verdict(story)
    assert fact.attendance.outcome is not Outcome.GHOST
    assert fact.attendance.outcome is not Outcome.UNKNOWN
    assert [(each.kind, each.by) for each in fact.attendance.evidence] == [(kind, CODEC)]


def test_a_check_in_before_the_start_counts_and_an_empty_room_after_it_was_left():
    story = a_day()
    story.hears("09:56", BookingCheckedIn(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=M1))
    story.hears("11:05")
    assert [kind for _, kind in told(story)] == [ATTENDED, DESERTED, LEFT_EARLY]


def test_a_room_in_use_for_no_reason_that_the_device_tells_is_used():
    story = a_day()
    story.hears("10:20", UseSensed(device=CODEC, in_use=True))
    story.hears("11:20")
    assert verdict(story).attendance.outcome is Outcome.OVERRUN


def test_a_device_that_tells_presence_before_use_leaves_no_evidence_of_use():
    story = a_day()
    story.hears("10:20", presence(True), UseSensed(device=CODEC, in_use=True))
    story.hears("10:40", presence(False), UseSensed(device=CODEC, in_use=False))
    story.hears("11:20")
    assert [each.kind for each in verdict(story).attendance.evidence] == [EvidenceKind.PRESENCE]


# ── bookings that change ──────────────────────────────────────────────────────────────────────────


def gone(cause: str) -> BookingDeleted:
    return BookingDeleted(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=M1, cause=cause)


def test_a_booking_deleted_before_anybody_could_come_is_no_ghost():
    story = a_day().hears("10:05", gone("deleted"))
    assert verdict(story).attendance.outcome is Outcome.UNKNOWN


def test_a_booking_given_up_after_nobody_came_is_a_ghost():
    story = a_day().hears("10:15", gone("no_show"))
    assert verdict(story).attendance.outcome is Outcome.GHOST


def test_a_booking_deleted_before_its_start_is_not_judged():
    story = a_day().hears("09:50", gone("deleted"))
    story.hears("11:30")
    assert told(story) == []


def test_who_checks_out_has_left_early():
    story = a_day()
    story.hears("10:00", people(2), presence(True))
    story.hears("10:30", gone("checked_out"))
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.LEFT_EARLY
    assert fact.freed == timedelta(minutes=30)


def test_who_checks_out_of_an_empty_room_was_somebody():
    story = a_day().hears("10:30", gone("checked_out"))
    assert verdict(story).attendance.outcome is Outcome.UNKNOWN


def test_who_ends_it_on_the_device_of_an_empty_room_was_somebody():
    story = a_day()
    story.hears("10:30", BookingEnded(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=M1))
    assert verdict(story).attendance.outcome is Outcome.UNKNOWN


def test_what_was_over_and_is_raised_again_for_the_afternoon_begins_anew():
    story = Story(judges=True, calendars=(CalendarKind.MICROSOFT,)).connected("08:00")
    story.hears("08:00", CalendarTurned(calendar=CalendarKind.MICROSOFT, phase=CalendarPhase.ACTIVE))
    story.reads("08:00", entry("e1", "10:00", "11:00", uid="u1"), tells=(SWITCHED, CONFIRMED))
    story.hears("08:00", values())
    story.hears("10:01", people(2), presence(True))
    story.hears("10:58", people(0), presence(False))
    story.hears("11:03")
    story.polled.clear()
    story.told.clear()
    story.reads("11:05", entry("e1", "14:00", "15:00", uid="u1"), tells=(CONFIRMED,))
    story.hears("15:05")
    assert told(story) == [("14:10:00", DESERTED), ("15:00:00", GHOST)]
    assert verdict(story).known == timedelta(hours=1)


def test_no_more_is_freed_than_was_booked():
    story = a_day()
    story.hears("10:00", people(2), presence(True))
    story.hears("10:06", people(0), presence(False))
    later = listed("webex-7", M1, "10:11", "10:41")
    story.lists("10:12", later, tells=(FactKind.BOOKING_MOVED,))
    story.hears("10:45")
    assert verdict(story).freed == timedelta(minutes=30)


def test_who_books_in_the_middle_of_it_has_time_to_come():
    story = a_day(listed("webex-9", "meeting-9", "13:00", "14:00"))
    story.hears("10:30")
    story.lists("10:30", TEN, listed("webex-9", "meeting-9", "13:00", "14:00"), tells=(CONFIRMED, STARTED))
    story.hears("11:05")
    assert told(story) == [("10:40:00", DESERTED), ("11:00:15", GHOST)]


def test_an_extended_booking_is_judged_at_its_new_end():
    story = a_day()
    story.hears("10:00", people(2), presence(True))
    longer = BookingMoved(
        device=CODEC,
        booking_id=BookingId("webex-7"),
        meeting_id=M1,
        starts_at=at("10:00"),
        ends_at=at("11:30"),
    )
    story.hears("10:50", longer)
    story.hears("11:26", people(0), presence(False))
    story.hears("11:40")
    assert [clock for clock, kind in told(story) if kind is JUDGED] == ["11:30:15"]
    assert verdict(story).known == timedelta(minutes=90)


def test_a_booking_put_off_begins_anew():
    story = a_day()
    story.hears("10:00", people(2), presence(True))
    story.hears("10:05", people(0), presence(False))
    later = BookingMoved(
        device=CODEC,
        booking_id=BookingId("webex-7"),
        meeting_id=M1,
        starts_at=at("14:00"),
        ends_at=at("15:00"),
    )
    story.hears("10:08", later)
    assert story.room.attendances == {}
    story.hears("15:05")
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.GHOST
    assert fact.attendance.starts_at == at("14:00")


def test_overlapping_bookings_share_what_is_seen():
    story = a_day(TEN, listed("webex-8", "meeting-2", "10:30", "11:30"))
    story.hears("10:05", people(2), presence(True))
    story.hears("11:27", people(0), presence(False))
    story.hears("11:40")
    outcomes = [f.attendance.outcome for f in story.told if isinstance(f, AttendanceFact)]
    assert [o for o in outcomes if o] == [Outcome.ATTENDED, Outcome.ATTENDED]


def test_early_people_of_the_next_booking_did_not_come_to_this_one():
    story = a_day(TEN, listed("webex-8", "meeting-2", "11:00", "12:00"))
    story.hears("10:54", people(2), presence(True))
    story.hears("11:01")
    assert verdict(story).attendance.outcome is Outcome.UNKNOWN


def test_early_people_of_the_next_booking_do_not_hide_that_those_of_this_had_left():
    story = a_day(TEN, listed("webex-8", "meeting-2", "11:00", "12:00"))
    story.hears("10:00", people(2), presence(True))
    story.hears("10:20", people(0), presence(False))
    story.hears("10:59:30", people(3), presence(True))
    story.hears("11:01")
    assert verdict(story).freed == timedelta(minutes=40)


def test_an_all_day_booking_is_attended_when_anybody_was_there():
    story = a_day(listed("webex-7", M1, "+1 00:00", "+2 00:00"))
    story.hears("+1 10:00", people(2), presence(True))
    story.hears("+1 12:00", people(0), presence(False))
    story.hears("+2 00:05")
    assert verdict(story).attendance.outcome is Outcome.ATTENDED


def test_a_booking_that_a_device_ends_early_was_left_early():
    story = a_day()
    story.hears("10:00", people(2), presence(True))
    story.hears("10:30", BookingEnded(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=M1))
    assert verdict(story).attendance.outcome is Outcome.LEFT_EARLY


# ── gaps and clocks ───────────────────────────────────────────────────────────────────────────────


def test_a_restart_in_the_middle_leaves_a_gap_that_nobody_knows():
    story = a_day().hears("10:20", people(0))
    story.hears("10:31")
    story.restarts("10:40").connected("10:41")
    story.hears("10:41", values())
    story.hears("11:05")
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.UNKNOWN
    assert timedelta(minutes=10) <= fact.unknown <= timedelta(minutes=15)
    assert fact.known + fact.unknown == timedelta(hours=1)


def test_what_a_device_says_of_one_thing_after_a_restart_says_nothing_of_the_rest():
    story = a_day()
    story.hears("10:31")
    story.restarts("10:40").connected("10:41")
    story.hears("10:41", people(1), people(0))
    assert story.room.watch.there is None
    story.hears("10:42", values())
    assert story.room.watch.there is False


def test_evidence_from_before_a_restart_stands():
    story = a_day()
    story.hears("10:01", people(2), presence(True))
    story.hears("10:31")
    story.restarts("10:40").connected("10:41")
    story.hears("10:41", values(people=2, presence=True))
    story.hears("10:58", people(0), presence(False), UseSensed(device=CODEC, in_use=False))
    story.hears("11:05")
    assert verdict(story).attendance.outcome is Outcome.ATTENDED


def test_a_booking_that_came_and_went_while_nobody_watched_is_unknown():
    story = a_day()
    story.restarts("11:40").connected("11:41")
    story.hears("11:41", values())
    story.lists("11:41", tells=(STARTED, ENDED, JUDGED))
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.UNKNOWN
    assert fact.unknown == timedelta(hours=1)


def test_a_clock_that_jumps_over_half_a_booking_makes_it_unknown():
    story = a_day()
    story.hears("10:15")
    story.steps(timedelta(minutes=30))
    story.hears("11:05")
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.UNKNOWN
    assert fact.unknown == timedelta(minutes=30)


def test_a_clock_set_right_by_seconds_changes_nothing():
    story = a_day()
    story.hears("10:15")
    story.steps(timedelta(seconds=3))
    story.hears("11:05")
    assert verdict(story).attendance.outcome is Outcome.GHOST


def test_a_booking_that_a_clock_took_back_is_judged_once():
    story = a_day()
    story.hears("10:15")
    story.steps(-timedelta(minutes=30))
    story.hears("11:05")
    assert verdict(story).attendance.outcome is Outcome.GHOST


@pytest.mark.parametrize("minutes", [-20, 20])
def test_who_stays_while_the_clock_jumps_has_stayed_no_longer(minutes):
    story = a_day()
    story.hears("10:00", people(2), presence(True))
    story.hears("11:02")
    story.steps(timedelta(minutes=minutes))
    story.hears("12:00")
    clock = at("11:05") + timedelta(minutes=minutes)
    assert [fact.at for fact in story.told if fact.kind is JUDGED] == [clock]


# ── without a booking ─────────────────────────────────────────────────────────────────────────────


def test_a_room_used_without_a_booking_is_told_once_at_its_end():
    story = a_day()
    story.hears("12:00", people(2), presence(True))
    story.hears("12:10", people(4))
    story.hears("12:30", people(0))
    story.hears("12:32", presence(False))
    story.hears("13:00")
    (use,) = [fact for fact in story.told if isinstance(fact, UseFact)]
    assert (use.use.since, use.until, use.at) == (at("12:00"), at("12:32"), at("12:37"))
    assert use.use.people_peak == 4
    assert {each.kind for each in use.use.evidence} == {EvidenceKind.PEOPLE, EvidenceKind.PRESENCE}


def test_who_looks_in_does_not_use_it():
    story = a_day()
    story.hears("12:00", presence(True))
    story.hears("12:02", presence(False))
    story.hears("13:00")
    assert not [fact for fact in story.told if isinstance(fact, UseFact)]


def test_use_without_a_booking_ends_where_one_begins():
    story = a_day()
    story.hears("09:40", people(2), presence(True))
    story.hears("10:05")
    (use,) = [fact for fact in story.told if isinstance(fact, UseFact)]
    assert (use.use.since, use.until) == (at("09:40"), at("10:00"))


# ── other sensors, and other rules ────────────────────────────────────────────────────────────────


def test_the_site_says_how_long_is_long_enough():
    rules = Rules(judging=Judging(people_for=timedelta(minutes=3), grace=timedelta(minutes=20)))
    story = a_day(policy=Policy(rooms={RoomId("fjord"): rules}))
    story.hears("10:01", people(2))
    story.hears("10:03", people(0))
    story.hears("11:05")
    assert told(story) == [("10:20:00", DESERTED), ("11:00:15", GHOST)]


def test_the_same_room_kept_and_read_again_is_the_same():
    story = a_day()
    story.hears("10:01", people(2), presence(True), CallsCounted(device=CODEC, calls=1))
    story.hears("10:30")
    assert snapshots.read_body(snapshots.body_of(story.room)) == story.room


def test_a_room_kept_before_attendance_was_known_is_read():
    story = a_day()
    story.hears("10:20")
    kept = json.loads(snapshots.body_of(story.room))
    del kept["attendances"], kept["watch"]
    room = snapshots.read_body(json.dumps(kept).encode())
    assert room.attendances == {}
    story.room = room
    story.hears("10:20", values())
    story.hears("11:05")
    assert verdict(story).attendance.outcome is Outcome.UNKNOWN


def test_the_phase_of_a_running_booking_can_be_asked():
    story = a_day()
    story.hears("10:12")
    (attendance,) = story.room.attendances.values()
    assert attendance.phase is AttendancePhase.DESERTED
    assert attendance.deserted_since == at("10:00")
    assert story.room.watch.there is False
