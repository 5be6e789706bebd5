from datetime import timedelta

import pytest

from agent.core.correlation import TRANSITIONS, Sign
from agent.core.events import (
    BookingCheckedIn,
    BookingCreated,
    BookingDeleted,
    BookingEnded,
    BookingFailed,
    BookingMoved,
    BookingRequested,
    BookingsListed,
    BookingStarted,
    BookingsTouched,
    DeviceLost,
    SyncRequired,
    UptimeRead,
)
from agent.core.facts import BookingFact, FactKind
from agent.core.model import BookingId, BookingPhase, CalendarKind, Policy, RequestId
from tests.agent.core.story import CODEC, DAY, M1, M2, M3, R1, R2, Story, at, listed

REQUESTED = FactKind.BOOKING_REQUESTED
CONFIRMED = FactKind.BOOKING_CONFIRMED
FAILED = FactKind.BOOKING_FAILED
EXPIRED = FactKind.BOOKING_EXPIRED
MOVED = FactKind.BOOKING_MOVED
UPDATED = FactKind.BOOKING_UPDATED
STARTED = FactKind.BOOKING_STARTED
ENDED = FactKind.BOOKING_ENDED
DELETED = FactKind.BOOKING_DELETED
CHECKED_IN = FactKind.BOOKING_CHECKED_IN


def requested(request_id=R1, starts="10:00", ends="10:30", title="Planning"):
    return BookingRequested(
        device=CODEC, request_id=request_id, starts_at=at(starts), ends_at=at(ends), title=title
    )


def created(
    booking_id="webex-7", meeting_id=M1, starts="10:00", ends="10:30", request_id=R1, title="Planning"
):
    return BookingCreated(
        device=CODEC,
        booking_id=BookingId(booking_id),
        meeting_id=meeting_id,
        starts_at=at(starts),
        ends_at=at(ends),
        request_id=request_id,
        title=title,
    )


def quiet(**more) -> Story:
    return Story().connected("08:59", **more).lists("08:59")


WEBEX7 = listed("webex-7", M1, "10:00", "10:30")


def test_a_request_is_answered_with_its_meeting_id():
    story = quiet().then("09:00", requested(), REQUESTED).then("09:00:12", created(), CONFIRMED)
    booking = story.last.booking
    assert (booking.request_id, booking.booking_id, booking.meeting_id) == (R1, "webex-7", M1)
    assert booking.calendar is CalendarKind.HYBRID
    assert {fact.booking.key for fact in story.told if isinstance(fact, BookingFact)} == {booking.key}


def test_a_request_without_an_id_is_known_by_its_times():
    story = (
        quiet()
        .then("09:00", requested(None), REQUESTED)
        .then("09:00:12", created(request_id=None), CONFIRMED)
    )
    assert len(story.agenda) == 1


def test_a_request_without_an_id_is_known_when_the_answer_has_one():
    story = quiet().then("09:00", requested(None), REQUESTED).then("09:00:12", created(), CONFIRMED)
    assert story.agenda[0].request_id == R1


def test_a_request_id_used_again_is_another_request():
    story = (
        quiet()
        .then("09:00", requested(), REQUESTED)
        .then("09:00:10", created(), CONFIRMED)
        .then("09:05", requested(R1, "11:00", "11:30"), REQUESTED)
        .then("09:05:10", created("webex-8", M2, "11:00", "11:30"), CONFIRMED)
    )
    assert [b.meeting_id for b in story.agenda] == [M1, M2]


def test_the_refusal_of_a_reused_request_id_goes_to_the_one_that_waits():
    story = (
        quiet()
        .then("09:00", requested(), REQUESTED)
        .then("09:00:10", created(), CONFIRMED)
        .then("09:05", requested(R1, "11:00", "11:30"), REQUESTED)
        .then("09:05:10", BookingFailed(device=CODEC, request_id=R1, cause="declined"), FAILED)
    )
    assert [b.meeting_id for b in story.agenda] == [M1]
    assert story.last.cause == "declined"


def test_an_echo_says_nothing():
    (
        quiet()
        .then("09:00", requested(), REQUESTED)
        .then("09:00", requested())
        .then("09:00:10", created(), CONFIRMED)
        .then("09:00:10", created())
        .then("09:00:11", requested())
        .lists("09:00:12", WEBEX7)
    )


def test_an_answer_heard_before_its_request_is_one_booking():
    story = quiet().then("09:00", created(request_id=None), CONFIRMED).then("09:00:01", requested())
    assert [b.request_id for b in story.agenda] == [R1]


def test_the_meeting_id_comes_a_minute_after_the_booking_id():
    """Hybrid calendars name the meeting late; a booking id that a reboot renumbers is no confirmation."""
    story = (
        quiet()
        .then("09:00", requested(), REQUESTED)
        .then("09:00:02", created(meeting_id=None))
        .then("09:00:50", BookingsTouched(device=CODEC))
        .lists("09:00:52", WEBEX7, tells=(CONFIRMED,))
    )
    assert story.last.booking.meeting_id == M1
    assert story.last.booking.requested_at == at("09:00")


def test_old_firmware_is_asked_for_its_list_until_the_answer_is_there():
    """10.19 to 11.22 send BookingRequested and never an answer."""
    story = quiet(answers=False).then("09:00", requested(), REQUESTED)
    story.asked.clear()
    story.until("09:00:59")
    assert story.asked_at() == ["09:00:05", "09:00:15", "09:00:30"]
    story.lists("09:00:59", WEBEX7, tells=(CONFIRMED,)).until("09:05")
    assert story.asked_at() == ["09:00:05", "09:00:15", "09:00:30"]


def test_a_request_that_nobody_answered_expires_when_a_listing_shows_it_gone():
    story = quiet(answers=False).then("09:00", requested(), REQUESTED)
    story.until("09:00:59").until("09:01:00", EXPIRED)
    assert story.agenda == ()


def test_a_request_does_not_expire_before_the_device_gives_it_up():
    story = quiet(answers=False, timeout_s=300).then("09:00", requested(), REQUESTED)
    story.until("09:04:59").until("09:05:00", EXPIRED)


def test_a_request_never_expires_unseen():
    """The device is away: nobody can say that the request is gone."""
    story = (
        quiet()
        .then("09:00", requested(), REQUESTED)
        .then("09:00:10", DeviceLost(device=CODEC, why="no route"), FactKind.DEVICE_LOST)
    )
    story.until("09:30")
    story.connected("09:31").lists("09:31", tells=(EXPIRED,))
    assert story.last.recovered


def test_a_request_whose_time_is_over_expires_although_the_device_is_gone():
    story = (
        quiet()
        .then("09:00", requested(), REQUESTED)
        .then("09:00:10", DeviceLost(device=CODEC, why="no route"), FactKind.DEVICE_LOST)
    )
    story.until("10:31", EXPIRED)


def test_a_late_answer_raises_an_expired_request():
    story = quiet().then("09:00", requested(), REQUESTED)
    story.until("09:01:00", EXPIRED)
    story.then("09:02", created(), CONFIRMED)
    assert len({fact.booking.key for fact in story.told if isinstance(fact, BookingFact)}) == 1


def test_a_booking_that_the_device_still_holds_after_its_timeout_is_confirmed_by_its_booking_id():
    """On-device calendars give booking ids only, by Cisco Spaces' account."""
    story = quiet().then("09:00", requested(), REQUESTED).then("09:00:02", created(meeting_id=None))
    nameless = listed("webex-7", None, "10:00", "10:30")
    story.until("09:01:14").until("09:01:15", CONFIRMED)
    assert story.last.booking.calendar is CalendarKind.ON_DEVICE
    story.lists("09:03", nameless)
    story.lists("09:05", WEBEX7, tells=(UPDATED,))
    assert story.agenda[0].calendar is CalendarKind.HYBRID


@pytest.mark.parametrize("meeting_id", [None, M1])
def test_an_on_device_calendar_confirms_at_once(meeting_id):
    story = (
        quiet().then("09:00", requested(), REQUESTED).then("09:00", created("local-1", meeting_id), CONFIRMED)
    )
    assert story.last.booking.calendar is CalendarKind.ON_DEVICE


def test_a_pushed_booking_is_confirmed_by_its_booking_id():
    story = quiet().lists("09:00", listed("c6f91f9a", None, "10:00", "10:30"), tells=(CONFIRMED,))
    assert story.last.booking.calendar is CalendarKind.PUSHED
    assert story.last.booking.meeting_id is None


def test_a_pushed_booking_that_is_pushed_again_under_another_id_is_the_same():
    story = quiet().lists("09:00", listed("aaa", None, "10:00", "10:30"), tells=(CONFIRMED,))
    story.lists("09:10", listed("bbb", None, "10:00", "10:30"), tells=(UPDATED,))
    assert story.last.booking.booking_id == "bbb"


def test_a_booking_made_in_outlook_needs_no_request():
    story = quiet().then("09:00", created(request_id=None), CONFIRMED)
    assert not story.last.recovered
    assert story.last.booking.requested_at is None


@pytest.mark.parametrize("cause", ["timeout", "declined", "config", "http", "encryption"])
def test_a_refused_request_fails_with_its_cause(cause):
    story = quiet().then("09:00", requested(), REQUESTED)
    story.then("09:00:20", BookingFailed(device=CODEC, request_id=R1, cause=cause), FAILED)
    assert story.last.cause == cause
    assert story.agenda == ()


def test_a_refusal_that_fits_nothing_makes_us_look():
    story = (
        quiet()
        .then("09:00", requested(R1), REQUESTED)
        .then("09:00", requested(R2, "11:00", "11:30"), REQUESTED)
    )
    story.asked.clear()
    story.then("09:00:01", BookingFailed(device=CODEC, request_id=None, cause="http")).until("09:00:04")
    assert story.asked_at() == ["09:00:02"]
    assert len(story.agenda) == 2


def test_a_reboot_renumbers_bookings_and_they_stay_themselves():
    story = quiet().lists(
        "09:00", WEBEX7, listed("webex-8", M2, "11:00", "11:30"), tells=(CONFIRMED, CONFIRMED)
    )
    keys = {b.meeting_id: b.key for b in story.agenda}
    story.mute = True
    story.then("09:10", UptimeRead(device=CODEC, uptime_s=40), FactKind.DEVICE_REBOOTED)
    story.then("09:10:01", BookingStarted(device=CODEC, booking_id=BookingId("webex-8"), meeting_id=None))
    story.lists(
        "09:10:02",
        listed("webex-1", M2, "11:00", "11:30"),
        listed("webex-8", M1, "10:00", "10:30"),
        tells=(UPDATED, UPDATED),
    )
    assert {b.meeting_id: b.key for b in story.agenda} == keys
    assert {b.meeting_id: b.booking_id for b in story.agenda} == {M1: "webex-8", M2: "webex-1"}


def test_a_pushed_booking_survives_the_renumbering_by_its_times():
    story = quiet().lists("09:00", listed("p-1", None, "10:00", "10:30"), tells=(CONFIRMED,))
    story.mute = True
    story.then("09:10", UptimeRead(device=CODEC, uptime_s=40), FactKind.DEVICE_REBOOTED)
    story.lists("09:10:02", listed("p-9", None, "10:00", "10:30", "Other title"), tells=(UPDATED,))


def test_a_meeting_id_that_changes_is_told():
    story = quiet().lists("09:00", WEBEX7, tells=(CONFIRMED,))
    story.lists("09:10", listed("webex-7", M3, "10:00", "10:30"), tells=(UPDATED,))
    assert story.last.previous is not None
    assert (story.last.previous.meeting_id, story.last.booking.meeting_id) == (M1, M3)


def test_moved_extended_and_retitled():
    story = quiet().then("09:00", created(request_id=None), CONFIRMED)
    move = BookingMoved(
        device=CODEC,
        booking_id=BookingId("webex-7"),
        meeting_id=None,
        starts_at=at("12:00"),
        ends_at=at("12:30"),
    )
    story.then("09:10", move, MOVED)
    assert story.last.previous is not None
    assert story.last.previous.starts_at == at("10:00")
    story.lists("09:20", listed("webex-7", M1, "12:00", "13:00"), tells=(MOVED,))
    story.lists("09:30", listed("webex-7", M1, "12:00", "13:00", "Retro"), tells=(UPDATED,))


def test_a_running_booking_that_is_put_off_starts_again():
    story = quiet().then("09:00", created(request_id=None, starts="09:05", ends="09:30"), CONFIRMED)
    story.then(
        "09:05", BookingStarted(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=None), STARTED
    )
    story.lists("09:06", listed("webex-7", M1, "11:00", "11:30"), tells=(MOVED,))
    assert story.agenda[0].phase is BookingPhase.CONFIRMED
    story.until("11:00:15", STARTED)


@pytest.mark.parametrize("cause", ["checked_out", "no_show", "deleted", "signed_out"])
def test_a_deleted_booking_says_why(cause):
    story = quiet().then("09:00", created(request_id=None), CONFIRMED)
    event = BookingDeleted(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=M1, cause=cause)
    story.then("09:10", event, DELETED)
    assert story.last.cause == cause
    assert story.agenda == ()
    story.then("09:10:01", event)


def test_a_listing_that_lags_does_not_raise_what_was_deleted():
    story = quiet().then("09:00", created(request_id=None), CONFIRMED)
    story.then(
        "09:10", BookingDeleted(device=CODEC, booking_id=None, meeting_id=M1, cause="deleted"), DELETED
    )
    story.lists("09:10:02", WEBEX7)
    story.lists("09:10:10")


def test_a_deleted_booking_that_is_listed_for_good_stands_again():
    story = quiet().then("09:00", created(request_id=None), CONFIRMED)
    story.then(
        "09:10", BookingDeleted(device=CODEC, booking_id=None, meeting_id=M1, cause="deleted"), DELETED
    )
    story.lists("09:10:02", WEBEX7).lists("09:10:09", WEBEX7, tells=(CONFIRMED,))


def test_check_in_is_told_once():
    event = BookingCheckedIn(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=None)
    quiet().then("09:00", created(request_id=None), CONFIRMED).then("09:58", event, CHECKED_IN).then(
        "09:59", event
    )


def test_the_device_says_when_a_booking_starts_and_ends():
    story = quiet().then("09:00", created(request_id=None), CONFIRMED)
    story.then(
        "10:00:01", BookingStarted(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=None), STARTED
    )
    ended = BookingEnded(device=CODEC, booking_id=None, meeting_id=M1, ended_at=at("10:30"))
    story.then("10:30:02", ended, ENDED)
    assert story.last.at == at("10:30")
    story.lists("10:30:03", WEBEX7)
    assert story.agenda == ()


def test_the_clock_says_it_where_the_device_does_not():
    story = quiet().then("09:00", created(request_id=None), CONFIRMED)
    story.until("10:00:14").until("10:00:15", STARTED)
    assert story.last.at == at("10:00")
    story.until("10:30:15", ENDED)
    assert story.last.at == at("10:30")


def test_the_clock_waits_for_a_device_that_just_went_away():
    story = quiet().then("09:00", created(request_id=None), CONFIRMED)
    story.then("09:59", DeviceLost(device=CODEC, why="no route"), FactKind.DEVICE_LOST)
    story.until("10:00:59").until("10:01:00", STARTED)
    assert story.last.at == at("10:00")


def test_news_of_an_unknown_booking_makes_us_look():
    story = quiet()
    story.asked.clear()
    story.then("09:00", BookingStarted(device=CODEC, booking_id=BookingId("webex-3"), meeting_id=None))
    story.lists("09:00:02", listed("webex-3", M1, "09:00", "09:30"), tells=(CONFIRMED,))
    assert story.asked_at() == ["09:00:01"]
    story.until("09:00:15", STARTED)


def test_a_burst_of_pokes_is_answered_by_one_listing():
    story = quiet()
    story.asked.clear()
    for second in ("00", "00", "01", "01"):
        story.then(f"09:00:{second}", BookingsTouched(device=CODEC))
    story.until("09:00:10")
    assert len(story.asked) == 1


def test_sync_required_is_a_gap():
    story = quiet()
    story.mute = True
    story.then("09:00", SyncRequired(device=CODEC))
    story.lists("09:00:01", WEBEX7, tells=(CONFIRMED,))
    assert story.last.recovered


def test_a_listing_that_does_not_come_is_asked_for_again():
    story = quiet()
    story.asked.clear()
    story.mute = True
    story.then("09:00", SyncRequired(device=CODEC)).until("09:01:05")
    assert story.asked_at() == ["09:00:00", "09:00:30", "09:01:00"]


def test_the_list_is_read_now_and_then_though_nobody_asks():
    story = quiet()
    story.until("09:11")
    assert len(story.asked) == 1


def test_an_empty_list_deletes_what_was_booked():
    story = quiet().then("09:00", created(request_id=None), CONFIRMED)
    story.lists("09:10", tells=(DELETED,))
    assert story.last.cause == "deleted"


def test_what_changed_in_a_gap_is_marked_recovered():
    story = quiet().lists(
        "09:00", WEBEX7, listed("webex-8", M2, "11:00", "11:30"), tells=(CONFIRMED, CONFIRMED)
    )
    story.then("09:10", DeviceLost(device=CODEC, why="no route"), FactKind.DEVICE_LOST)
    story.connected("09:40")
    story.lists(
        "09:40",
        listed("webex-8", M2, "11:15", "11:45"),
        listed("webex-9", M3, "12:00", "12:30"),
        tells=(DELETED, MOVED, CONFIRMED),
    )
    assert all(fact.recovered for fact in story.told)
    story.lists("09:50", tells=(DELETED, DELETED))
    assert not story.last.recovered


def test_a_booking_that_ended_in_a_gap_has_ended():
    story = quiet().lists("09:00", WEBEX7, tells=(CONFIRMED,)).until("10:00:15", STARTED)
    story.then("10:29:30", DeviceLost(device=CODEC, why="no route"), FactKind.DEVICE_LOST)
    story.connected("10:30:30").lists("10:30:30", tells=(ENDED,))
    assert (story.last.at, story.last.recovered) == (at("10:30"), True)


def test_what_was_over_before_we_came_is_not_told():
    quiet().lists("10:30", WEBEX7)


def test_a_running_booking_found_on_arrival_is_confirmed_and_started():
    story = (
        Story()
        .connected("09:00")
        .lists("09:00", listed("webex-1", M1, "08:30", "09:30"), tells=(CONFIRMED, STARTED))
    )
    assert story.last.at == at("08:30")
    assert story.last.recovered


def test_an_unreadable_entry_is_not_taken_for_deleted():
    story = quiet().lists("09:00", WEBEX7, tells=(CONFIRMED,))
    event = BookingsListed(
        device=CODEC,
        bookings=(),
        asked_at=at("09:10"),
        covers_until=DAY + timedelta(days=2),
        unreadable=frozenset({BookingId("webex-7")}),
    )
    story.then("09:10", event)
    assert len(story.agenda) == 1


def test_what_lies_beyond_the_list_is_not_judged_by_it():
    story = quiet().then("09:00", created(request_id=None, starts="+3 10:00", ends="+3 11:00"), CONFIRMED)
    story.lists("09:10")
    assert len(story.agenda) == 1


def test_news_that_overtakes_a_listing_is_not_undone_by_it():
    story = quiet().then("09:00:02", created(request_id=None), CONFIRMED)
    event = BookingsListed(
        device=CODEC, bookings=(), asked_at=at("09:00:01"), covers_until=DAY + timedelta(days=2)
    )
    story.then("09:00:03", event)
    assert len(story.agenda) == 1
    story.asked.clear()
    story.until("09:00:08")
    assert story.asked_at() == ["09:00:03"]


def test_overlapping_bookings_are_all_kept():
    story = quiet().lists(
        "09:00",
        WEBEX7,
        listed("webex-8", M2, "10:00", "10:30", "Other"),
        listed("webex-9", M3, "10:15", "11:00"),
        tells=(CONFIRMED, CONFIRMED, CONFIRMED),
    )
    assert len(story.agenda) == 3
    story.lists("09:10", listed("webex-8", M2, "10:00", "10:30", "Other"), tells=(DELETED, DELETED))
    assert [b.meeting_id for b in story.agenda] == [M2]


def test_occurrences_of_a_series_that_share_a_meeting_id_are_two_bookings():
    today, tomorrow = listed("webex-1", M1, "10:00", "10:30"), listed("webex-2", M1, "+1 10:00", "+1 10:30")
    story = quiet().lists("09:00", today, tomorrow, tells=(CONFIRMED, CONFIRMED))
    story.lists("09:10", today, tomorrow)
    story.then("10:00", BookingStarted(device=CODEC, booking_id=None, meeting_id=M1), STARTED)
    assert story.last.booking.starts_at == at("10:00")
    story.then("10:30", BookingEnded(device=CODEC, booking_id=None, meeting_id=M1), ENDED)
    story.lists("10:31", tomorrow)
    assert [b.starts_at for b in story.agenda] == [at("+1 10:00")]


def test_a_private_booking_has_no_title():
    story = quiet().lists(
        "09:00", listed("webex-7", M1, "10:00", "10:30", "Secret", private=True), tells=(CONFIRMED,)
    )
    assert story.last.booking.meeting.title is None
    story.then("09:05", created(request_id=None, title="Secret"))
    assert story.agenda[0].meeting.title is None


def test_a_booking_from_midnight_to_midnight_is_all_day():
    story = quiet().lists("09:00", listed("webex-7", M1, "00:00", "+1 00:00"), tells=(CONFIRMED, STARTED))
    assert story.last.booking.all_day


def test_a_clock_that_steps_does_not_expire_a_request():
    story = quiet().then("09:00", requested(starts="18:00", ends="18:30"), REQUESTED).until("09:00:05")
    story.steps(timedelta(hours=3))
    story.lists("12:00:50")
    assert [b.phase for b in story.agenda] == [BookingPhase.REQUESTED]
    story.until("12:01:00", EXPIRED)


def test_nothing_is_decided_by_a_poll_that_was_never_answered():
    story = quiet(answers=False).then("09:00", requested(starts="18:00", ends="18:30"), REQUESTED)
    story.mute = True
    story.until("17:00")
    assert len(story.agenda) == 1


def test_every_phase_that_lives_can_end():
    for phase in BookingPhase:
        if phase in {BookingPhase.REQUESTED, BookingPhase.PENDING}:
            assert (phase, Sign.OVERDUE) in TRANSITIONS
        elif phase in {BookingPhase.CONFIRMED, BookingPhase.STARTED}:
            assert (phase, Sign.ENDED) in TRANSITIONS


def test_two_requests_for_the_same_time_are_two():
    story = (
        quiet()
        .then("09:00", requested(R1), REQUESTED)
        .then("09:00:01", requested(RequestId("other")), REQUESTED)
    )
    assert len(story.agenda) == 2


def test_the_policy_says_how_often_the_list_is_read():
    story = Story(policy=Policy(relist_every=timedelta(minutes=2))).connected("09:00").lists("09:00")
    story.until("09:04")
    assert len(story.asked) == 1


def test_what_the_cloud_was_never_told_of_changes_and_goes_silently():
    """Found in a list with a booking id alone: it is told when it is confirmed, and not before."""
    story = quiet().lists("09:00", listed("webex-7", None, "10:00", "10:30"))
    story.lists("09:00:10", listed("webex-7", None, "11:00", "11:30"))
    story.lists("09:00:20", listed("webex-7", None, "11:00", "11:30", "Retro")).lists("09:01:10")
    assert story.agenda == ()


def test_a_nameless_booking_is_confirmed_when_it_gets_its_name():
    story = quiet().lists("09:00", listed("webex-7", None, "10:00", "10:30"))
    story.lists("09:00:20", WEBEX7, tells=(CONFIRMED,))
