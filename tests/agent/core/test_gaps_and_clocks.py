"""What nobody heard as it happened, and clocks that are wrong, drift or are put right."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agent.core.agenda import agenda
from agent.core.events import (
    BookingCheckedIn,
    BookingCreated,
    BookingDeleted,
    BookingFailed,
    BookingRequested,
    BookingStarted,
    DeviceLost,
    ListedBooking,
    PeopleCounted,
    UptimeRead,
)
from agent.core.facts import BookingFact, FactKind
from agent.core.model import BookingId, BookingPhase, DeviceId, MeetingId, Policy, RequestId
from agent.core.step import next_deadline
from tests.agent.core.story import CODEC, M1, R1, R2, Story, at, listed

PANEL = DeviceId("fjord-panel")

REQUESTED = FactKind.BOOKING_REQUESTED
CONFIRMED = FactKind.BOOKING_CONFIRMED
FAILED = FactKind.BOOKING_FAILED
EXPIRED = FactKind.BOOKING_EXPIRED
UPDATED = FactKind.BOOKING_UPDATED
STARTED = FactKind.BOOKING_STARTED
ENDED = FactKind.BOOKING_ENDED
DELETED = FactKind.BOOKING_DELETED
CHECKED_IN = FactKind.BOOKING_CHECKED_IN
LOST = FactKind.DEVICE_LOST

WEBEX7 = listed("webex-7", M1, "10:00", "10:30")
AFTERNOON = listed("webex-7", M1, "16:00", "16:30")
NO_ROUTE = DeviceLost(device=CODEC, why="no route to host")
PER_HOUR = 8  # listings of a quiet device: every ten minutes, and a few for what is open


def quiet(*, mute: bool = False) -> Story:
    return Story(mute=mute).connected("08:59").lists("08:59")


def requested(
    request_id: RequestId | None = R1, starts: str = "10:00", ends: str = "10:30"
) -> BookingRequested:
    return BookingRequested(
        device=CODEC, request_id=request_id, starts_at=at(starts), ends_at=at(ends), title="Planning"
    )


def created(
    request_id: RequestId | None = None,
    booking_id: str = "webex-7",
    meeting_id: MeetingId | None = M1,
    title: str = "Planning",
) -> BookingCreated:
    return BookingCreated(
        device=CODEC,
        booking_id=BookingId(booking_id),
        meeting_id=meeting_id,
        starts_at=at("10:00"),
        ends_at=at("10:30"),
        request_id=request_id,
        title=title,
    )


# ── gaps ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_booking_that_came_and_went_while_the_agent_was_down_started_and_ended():
    story = quiet().lists("09:00", WEBEX7, tells=(CONFIRMED,)).restarts("10:40").connected("10:40:30")
    story.lists("10:40:31", tells=(STARTED, ENDED))
    assert [(fact.at, fact.recovered) for fact in story.told if isinstance(fact, BookingFact)] == [
        (at("10:00"), True),
        (at("10:30"), True),
    ]


def test_what_the_clock_says_of_a_device_not_heard_since_the_restart_is_recovered():
    story = quiet().lists("09:00", WEBEX7, tells=(CONFIRMED,)).restarts("10:10").until("10:13", STARTED)
    assert (story.last.at, story.last.recovered) == (at("10:00"), True)


def test_a_running_booking_that_a_device_drops_moments_before_its_end_has_ended():
    """The device's clock is ahead of ours."""
    story = quiet(mute=True).lists("09:00", WEBEX7, tells=(CONFIRMED,)).until("10:00:15", STARTED)
    story.lists("10:29:57", tells=(ENDED,))
    assert story.last.at == at("10:29:57")


def test_a_running_booking_that_a_device_drops_long_before_its_end_is_deleted():
    story = quiet(mute=True).lists("09:00", WEBEX7, tells=(CONFIRMED,)).until("10:00:15", STARTED)
    story.lists("10:20", tells=(DELETED,))


def test_a_booking_that_the_device_starts_by_its_own_clock_is_the_current_one():
    story = quiet().lists("09:00", WEBEX7, tells=(CONFIRMED,))
    started = BookingStarted(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=M1)
    story.then("09:59:58", started, STARTED)
    current = agenda(story.room, now=story.now).current
    assert current is not None
    assert current.meeting_id == M1


def test_a_device_that_got_another_name_leaves_no_ghost_of_its_bookings():
    story = quiet(mute=True).lists("09:00", WEBEX7, tells=(CONFIRMED,)).restarts("09:05", PANEL)
    story.connected("09:10", device=PANEL).lists("09:10:01", tells=(DELETED,))
    assert story.agenda == ()


def test_a_booking_that_the_renamed_device_still_has_stays_itself():
    story = quiet(mute=True).lists("09:00", WEBEX7, tells=(CONFIRMED,))
    (before,) = story.agenda
    story.restarts("09:05", PANEL).connected("09:10", device=PANEL)
    story.lists("09:10:01", listed("webex-3", M1, "10:00", "10:30"), tells=(UPDATED,))
    assert [b.key for b in story.agenda] == [before.key]


def test_a_device_taken_out_of_the_configuration_leaves_no_people():
    story = quiet().then("09:00", PeopleCounted(device=CODEC, people=5), FactKind.OCCUPANCY_CHANGED)
    story.restarts("09:05", PANEL).until("11:00", FactKind.OCCUPANCY_CHANGED)
    assert story.room.occupancy.people is None


# ── clocks ────────────────────────────────────────────────────────────────────────────────────────


def test_a_start_by_a_clock_that_is_behind_hides_no_deletion():
    """A small computer without a battery starts hours in the past, until it hears the time."""
    story = quiet(mute=True).lists("08:59:30", AFTERNOON, tells=(CONFIRMED,)).restarts("07:00")
    story.steps(timedelta(hours=2, minutes=10)).connected("09:11").lists("09:12", tells=(DELETED,))
    assert story.agenda == ()


def test_a_start_by_a_clock_that_is_behind_makes_no_storm_of_listings():
    """What is known seems to come from the future: no listing may be taken for older than that for ever."""
    story = quiet().lists("08:59:30", AFTERNOON, tells=(CONFIRMED,)).restarts("07:00")
    story.held = ()
    story.connected("07:01").lists("07:01:10", tells=(DELETED,))
    story.asked.clear()
    story.until("08:01")
    assert len(story.asked) <= PER_HOUR


def test_a_request_that_is_gone_expires_also_by_a_clock_that_is_behind():
    story = quiet().then("09:00", requested(starts="15:00", ends="15:30"), REQUESTED).restarts("06:00")
    story.connected("06:01").lists("06:01:01", tells=(EXPIRED,))


def test_a_request_that_stays_open_makes_no_storm_of_listings():
    """It lies beyond what a listing covers, so no listing shows it gone."""
    story = quiet().then("09:00", requested(starts="+3 10:00", ends="+3 10:30"), REQUESTED)
    story.until("09:10")
    story.asked.clear()
    story.until("10:10")
    assert len(story.asked) <= PER_HOUR


def test_clocks_that_drift_apart_in_weeks_are_no_reboot():
    story = quiet()
    story.held = ()
    story.until("+39 07:59").then("+39 07:59", NO_ROUTE, LOST)
    up_s = int((at("+39 08:00") - at("08:59")).total_seconds()) + 86_400
    story.connected("+39 08:00", uptime_s=up_s - 62)
    assert story.greeting == [FactKind.DEVICE_CONNECTED]


def test_a_reboot_after_weeks_is_one():
    story = quiet()
    story.held = ()
    story.until("+39 07:00").then(
        "+39 07:00", UptimeRead(device=CODEC, uptime_s=30), FactKind.DEVICE_REBOOTED
    )


@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT+12", "Pacific/Kiritimati"])
def test_times_at_the_ends_of_our_age_break_nothing(zone):
    """What a device says is refused before 2000 and after 2200; what lies between must be bearable."""
    age = ListedBooking(
        booking_id=BookingId("p-1"),
        meeting_id=None,
        starts_at=datetime(2000, 1, 1, tzinfo=UTC),
        ends_at=datetime(2200, 12, 31, 23, 59, 59, tzinfo=UTC),
    )
    story = Story(policy=Policy(timezone=ZoneInfo(zone))).connected("08:59", uptime_s=1_000_000_000)
    story.lists("09:00", age, tells=(CONFIRMED, STARTED)).until("09:30")
    assert next_deadline(story.room, story.policy) is not None


# ── asked for again ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("request_id", [R1, None])
def test_who_tries_again_after_a_refusal_makes_another_request(request_id):
    story = quiet().then("09:00", requested(request_id), REQUESTED)
    story.then("09:00:20", BookingFailed(device=CODEC, request_id=request_id, cause="http"), FAILED)
    failed = story.last.booking.key
    story.then("09:00:30", requested(request_id), REQUESTED)
    assert story.last.booking.key != failed


def test_the_time_to_the_answer_counts_from_the_request_that_was_answered():
    story = quiet().then("09:00", requested(), REQUESTED)
    story.then("09:00:20", BookingFailed(device=CODEC, request_id=R1, cause="http"), FAILED)
    story.then("09:08", requested(), REQUESTED).then("09:08:05", created(R1), CONFIRMED)
    assert story.last.booking.requested_at == at("09:08")


def test_the_time_of_a_deleted_booking_can_be_asked_for_again():
    story = quiet().then("09:00", created(booking_id="p-1", meeting_id=None), CONFIRMED)
    gone = BookingDeleted(device=CODEC, booking_id=BookingId("p-1"), meeting_id=None, cause="deleted")
    story.then("09:01", gone, DELETED).then("09:02", requested(R2), REQUESTED)
    story.then("09:02:05", created(R2, "p-2", None), CONFIRMED)
    assert [b.booking_id for b in story.agenda] == ["p-2"]


def test_a_booking_pushed_again_under_the_id_of_a_deleted_one_stands():
    """Whoever pushes chooses the id."""
    pushed = listed("p-1", None, "10:00", "10:30")
    story = quiet(mute=True).lists("09:00", pushed, tells=(CONFIRMED,)).lists("09:05", tells=(DELETED,))
    story.lists("09:06", pushed, tells=(CONFIRMED,)).lists("09:07", pushed)
    assert [b.phase for b in story.agenda] == [BookingPhase.CONFIRMED]


def test_an_echo_of_what_is_long_over_raises_nothing():
    story = quiet().until("12:00").then("12:00", created(), CONFIRMED).until("12:30", STARTED, ENDED)
    assert story.agenda == ()


def test_what_is_over_does_not_pile_up():
    story = quiet(mute=True)
    story.held = ()
    for minute in range(300):
        clock = f"{10 + minute // 60}:{minute % 60:02}"
        coming = replace(
            created(booking_id=f"webex-{minute}", meeting_id=MeetingId(f"meeting-{minute}")),
            starts_at=at("18:00"),
            ends_at=at("18:30"),
        )
        gone = BookingDeleted(
            device=CODEC, booking_id=None, meeting_id=MeetingId(f"meeting-{minute}"), cause="deleted"
        )
        story.then(f"{clock}:01", coming, CONFIRMED).then(f"{clock}:31", gone, DELETED)
    assert len(story.room.bookings) < 50


# ── not known yet ─────────────────────────────────────────────────────────────────────────────────


def test_a_title_that_nobody_asked_for_here_waits_for_the_listing_that_says_whether_it_is_private():
    story = quiet(mute=True).then("09:00", created(title="Redundancies"), CONFIRMED)
    assert story.last.booking.meeting.title is None
    private = listed("webex-7", M1, "10:00", "10:30", "Redundancies", private=True)
    story.until("09:00:02").lists("09:00:02", private, tells=(UPDATED,))
    assert story.last.booking.meeting.private
    titles = [fact.booking.meeting.title for fact in story.told if isinstance(fact, BookingFact)]
    assert titles == [None, None]


def test_that_listing_is_asked_for_at_once():
    story = quiet(mute=True).then("09:00", created(), CONFIRMED)
    story.asked.clear()
    story.until("09:00:02").lists("09:00:02", WEBEX7, tells=(UPDATED,))
    assert story.asked_at() == ["09:00:01"]
    assert story.last.booking.meeting.title == "Planning"


def test_a_title_typed_on_the_device_is_known_at_once():
    story = quiet().then("09:00", requested(), REQUESTED).then("09:00:05", created(R1), CONFIRMED)
    assert story.last.booking.meeting.title == "Planning"


def test_a_start_of_a_booking_without_its_name_makes_us_look_and_is_told_after_its_name():
    story = quiet()
    story.held = ()
    story.then("09:59:50", requested(), REQUESTED).then("09:59:52", created(R1, meeting_id=None))
    story.until("10:00").held = (WEBEX7,)
    story.then("10:00", BookingStarted(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=M1))
    story.until("10:00:02", CONFIRMED).until("10:00:15", STARTED)


def test_a_check_in_before_the_booking_has_its_name_is_told_after_its_name():
    story = quiet(mute=True).lists("09:57", listed("webex-7", None, "10:00", "10:30"))
    checked_in = BookingCheckedIn(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=None)
    story.then("09:57:05", checked_in).lists("09:57:20", WEBEX7, tells=(CONFIRMED, CHECKED_IN))
    assert story.last.at == at("09:57:05")


def test_what_a_clock_ended_that_was_hours_ahead_stands_again_when_it_is_put_right():
    story = quiet(mute=True).lists("09:00", WEBEX7, tells=(CONFIRMED,)).restarts("15:00")
    key = story.agenda[0].key if story.agenda else story.last.booking.key
    story.connected("15:00").lists("15:00", WEBEX7, tells=(STARTED, ENDED))
    story.steps(-timedelta(hours=5, minutes=55)).lists("09:06", WEBEX7, tells=(CONFIRMED,))
    assert [b.key for b in story.agenda] == [key]


def test_what_a_clock_began_that_was_ahead_begins_at_its_time():
    story = quiet(mute=True).lists("09:00", WEBEX7, tells=(CONFIRMED,)).restarts("10:15")
    story.connected("10:15").lists("10:15", WEBEX7, tells=(STARTED,))
    story.steps(-timedelta(hours=1)).lists("09:16", WEBEX7)
    assert agenda(story.room, now=story.now).current is None
    story.until("10:00:15", STARTED)


def test_a_clock_that_is_set_makes_us_look_by_the_new_time():
    """What a clock hours ahead took for over was left out of the agenda."""
    story = Story(mute=True).connected("15:00").lists("15:00", WEBEX7)
    story.asked.clear()
    story.steps(-timedelta(hours=6)).until("09:00:01")
    assert story.asked_at() == ["09:00:00"]
    story.lists("09:00:02", WEBEX7, tells=(CONFIRMED,))
