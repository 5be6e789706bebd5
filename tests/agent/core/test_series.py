"""Occurrences of a series may share a meeting id: their booking ids and their starts tell them apart."""

from dataclasses import replace

from agent.core.events import (
    BookingCheckedIn,
    BookingCreated,
    BookingDeleted,
    BookingMoved,
    BookingStarted,
    UptimeRead,
)
from agent.core.facts import FactKind
from agent.core.model import BookingId
from tests.agent.core.story import CODEC, M1, Story, at, listed

CONFIRMED = FactKind.BOOKING_CONFIRMED
MOVED = FactKind.BOOKING_MOVED
UPDATED = FactKind.BOOKING_UPDATED
STARTED = FactKind.BOOKING_STARTED
DELETED = FactKind.BOOKING_DELETED
CHECKED_IN = FactKind.BOOKING_CHECKED_IN

MORNING = listed("webex-7", M1, "10:00", "10:30")
NOON = listed("webex-8", M1, "10:30", "11:00")
SECOND = BookingId("webex-8")


def series() -> Story:
    story = Story(mute=True).connected("08:59").lists("08:59")
    return story.lists("09:00", MORNING, NOON, tells=(CONFIRMED, CONFIRMED))


def numbers(story: Story) -> list[str | None]:
    return [booking.booking_id for booking in story.agenda]


def test_a_second_occurrence_does_not_move_the_first():
    today = BookingCreated(
        device=CODEC,
        booking_id=BookingId("webex-7"),
        meeting_id=M1,
        starts_at=at("10:00"),
        ends_at=at("10:30"),
    )
    tomorrow = replace(today, booking_id=SECOND, starts_at=at("+1 10:00"), ends_at=at("+1 10:30"))
    story = Story().connected("08:59").lists("08:59").then("09:00", today, CONFIRMED)
    story.then("09:00:01", tomorrow, CONFIRMED)
    assert [b.starts_at for b in story.agenda] == [at("10:00"), at("+1 10:00")]


def test_the_occurrence_that_is_deleted_is_the_one_with_that_booking_id():
    deleted = BookingDeleted(device=CODEC, booking_id=SECOND, meeting_id=M1, cause="deleted")
    story = series().then("09:10", deleted, DELETED)
    assert numbers(story) == ["webex-7"]
    story.lists("09:10:10", MORNING)


def test_the_occurrence_that_moves_is_the_one_with_that_booking_id():
    moved = BookingMoved(
        device=CODEC, booking_id=SECOND, meeting_id=M1, starts_at=at("15:00"), ends_at=at("15:30")
    )
    story = series().then("09:10", moved, MOVED)
    assert [b.starts_at for b in story.agenda] == [at("10:00"), at("15:00")]


def test_the_next_occurrence_may_start_while_the_first_still_runs():
    story = series().until("10:00:15", STARTED)
    story.then("10:29:50", BookingStarted(device=CODEC, booking_id=SECOND, meeting_id=M1), STARTED)
    assert story.last.booking.booking_id == SECOND


def test_a_check_in_is_for_the_occurrence_with_that_booking_id():
    story = series().until("10:00:15", STARTED)
    story.then("10:26", BookingCheckedIn(device=CODEC, booking_id=SECOND, meeting_id=M1), CHECKED_IN)
    assert story.last.booking.booking_id == SECOND


def test_a_word_without_a_booking_id_is_for_the_running_occurrence():
    story = series().until("10:00:15", STARTED)
    story.then("10:05", BookingCheckedIn(device=CODEC, booking_id=None, meeting_id=M1), CHECKED_IN)
    assert story.last.booking.booking_id == "webex-7"


def test_occurrences_that_a_reboot_renumbers_stay_themselves():
    story = series()
    keys = {b.starts_at: b.key for b in story.agenda}
    story.then("09:10", UptimeRead(device=CODEC, uptime_s=40), FactKind.DEVICE_REBOOTED)
    story.lists(
        "09:10:02",
        listed("webex-8", M1, "10:00", "10:30"),
        listed("webex-7", M1, "10:30", "11:00"),
        tells=(UPDATED, UPDATED),
    )
    assert {b.starts_at: b.key for b in story.agenda} == keys


def test_an_occurrence_that_is_listed_no_more_is_deleted_alone():
    story = series().lists("09:10", NOON, tells=(DELETED,))
    assert numbers(story) == ["webex-8"]
