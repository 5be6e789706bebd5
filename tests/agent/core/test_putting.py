from dataclasses import replace
from datetime import timedelta

from agent.core.events import (
    BookingCheckedIn,
    BookingDeleted,
    BookingEnded,
    BookingStarted,
    BookingsTouched,
    DeviceLost,
)
from agent.core.facts import FactKind
from agent.core.model import BookingId, CalendarKind, CalendarPhase, MeetingId
from agent.core.putting import OURS, SHOWS_HYBRID
from tests.agent.core.story import CODEC, Story, entry, listed
from tests.agent.core.test_calendars import (
    CONFIRMED,
    CONNECTED,
    DELETED,
    ENDED,
    HYBRID_TEN,
    MOVED,
    PANEL,
    REVOKED,
    STARTED,
    SWITCHED,
    TEN,
)

CHECKED_IN = FactKind.BOOKING_CHECKED_IN
MISCONFIGURED = FactKind.DEVICE_MISCONFIGURED
LINK = "https://fjord.webex.com/meet/ada"
ELEVEN = entry("e2", "11:00", "11:30", "Retrospective")
DENIED = "The account's role is too small"


def putting(**more: object) -> Story:
    """A room with a codec, heard, and a linked calendar that has not been read yet."""
    story = Story(calendars=(CalendarKind.MICROSOFT,), puts=True, **more)  # type: ignore[arg-type]
    return story.connected("08:00").lists("08:00")


def held(story: Story) -> list[tuple[str | None, str]]:
    """What the codec holds, by title and start."""
    return [(b.title, f"{b.starts_at:%H:%M}") for b in story.holds[CODEC].bookings]


def given_at(story: Story) -> list[str]:
    return [f"{when:%H:%M:%S}" for when, _ in story.given]


def test_the_agenda_is_put_on_the_device_with_its_link_and_again_when_it_changes():
    story = putting()
    assert not story.given
    with_link = entry("e1", "10:00", "10:30", join=LINK)
    story.reads("08:01", with_link, tells=(CONNECTED, SWITCHED, CONFIRMED))
    (booking,) = story.holds[CODEC].bookings
    assert (booking.title, booking.join, booking.platform) == ("Planning", LINK, "webex")
    assert booking.booking_id == OURS + story.agenda[0].key
    story.reads("08:02", with_link, ELEVEN, tells=(CONFIRMED,))
    story.reads("08:03", entry("e1", "09:00", "09:30", join=LINK), ELEVEN, tells=(MOVED,))
    assert held(story) == [("Planning", "09:00"), ("Retrospective", "11:00")]
    assert given_at(story) == ["08:01:00", "08:02:00", "08:03:00"]


def test_what_is_over_goes_and_an_empty_agenda_is_put_too():
    story = putting().reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED)).until("10:00", STARTED)
    assert held(story) == [("Planning", "10:00")]
    story.until("10:31", ENDED)
    assert held(story) == []
    story.reads("10:32", ELEVEN, tells=(CONFIRMED,)).reads("10:33", tells=(DELETED,))
    assert held(story) == []


def test_changes_in_a_burst_are_put_as_one_after_a_moment():
    story = putting().reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.reads("08:01:01", TEN, ELEVEN, tells=(CONFIRMED,))
    story.reads("08:01:02", TEN, tells=(DELETED,)).reads("08:01:03", ELEVEN, tells=(DELETED, CONFIRMED))
    story.until("08:02")
    assert given_at(story) == ["08:01:00", "08:01:05"]
    assert held(story) == [("Retrospective", "11:00")]


def test_a_private_meeting_is_put_without_its_title():
    private = entry("e1", "10:00", "10:30", "Redundancies", private=True, join=LINK)
    story = putting().reads("08:01", private, tells=(CONNECTED, SWITCHED, CONFIRMED))
    assert held(story) == [(None, "10:00")]


def test_what_the_device_lists_of_it_is_no_second_booking():
    story = putting().reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.then("08:01:01", BookingsTouched(device=CODEC)).until("08:05")
    assert "08:01:02" in story.asked_at()
    story.reads("08:06", entry("e1", "12:00", "12:30"), tells=(MOVED,))
    story.lists("08:06:01", *story.echoes()).reads("08:07", tells=(DELETED,))
    assert not story.agenda
    assert not story.room.heard


def test_what_the_device_says_of_it_is_known_already_save_that_somebody_checked_in():
    story = putting().reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    ours = BookingId(OURS + story.agenda[0].key)
    story.until("10:00", STARTED)
    for word in (BookingStarted, BookingEnded):
        story.then("10:01", word(device=CODEC, booking_id=ours, meeting_id=None))
    used = BookingCheckedIn(device=CODEC, booking_id=ours, meeting_id=None)
    story.then("10:02", used, CHECKED_IN).then("10:03", used)
    assert story.last.booking.checked_in_at is not None
    gone = BookingDeleted(device=CODEC, booking_id=ours, meeting_id=None, cause="deleted")
    story.then("10:04", gone)
    assert len(story.agenda) == 1


def test_a_device_that_comes_back_is_given_the_agenda_anew():
    story = putting().reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.then("08:10", DeviceLost(device=CODEC, why="no route"), FactKind.DEVICE_LOST)
    story.reads("08:11", TEN, ELEVEN, tells=(CONFIRMED,))
    assert given_at(story) == ["08:01:00"]
    story.connected("08:20").lists("08:20")
    assert given_at(story) == ["08:01:00", "08:20:00"]
    story.restarts("08:30").connected("08:30:10").lists("08:30:10", *story.echoes())
    assert given_at(story)[2:] == ["08:30:10"]


def test_a_refusal_is_a_shortcoming_that_is_told_once_and_tried_again_after_a_rest():
    story = putting(refuses=DENIED)
    story.reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED, MISCONFIGURED)).until("08:30")
    assert given_at(story) == ["08:01:00", "08:11:05", "08:21:10"]
    assert story.room.devices[CODEC].shortcomings == (DENIED,)
    story.refuses = None
    story.until("08:32")
    assert story.room.devices[CODEC].shortcomings == ()
    assert held(story) == [("Planning", "10:00")]


def test_a_device_that_does_not_keep_it_is_given_it_again_now_and_then():
    story = putting().reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.holds.clear()
    story.then("08:02", BookingsTouched(device=CODEC)).until("08:11")
    assert given_at(story) == ["08:01:00"]
    story.until("08:13")
    assert len(story.given) == 2
    assert held(story) == [("Planning", "10:00")]


def test_a_device_with_hybrid_calendar_is_left_alone_and_says_so_once():
    story = Story(calendars=(CalendarKind.MICROSOFT,), puts=True).connected("08:00")
    story.lists("08:00", HYBRID_TEN, tells=(CONFIRMED, MISCONFIGURED))
    story.reads("08:01", TEN, tells=(CONNECTED, SWITCHED, FactKind.BOOKING_UPDATED))
    story.lists("08:20", HYBRID_TEN)
    assert not story.given
    assert story.room.devices[CODEC].shortcomings == (SHOWS_HYBRID,)


def test_a_hybrid_calendar_that_is_empty_today_is_remembered_over_a_restart():
    story = Story(calendars=(CalendarKind.MICROSOFT,), puts=True).connected("08:00")
    story.lists("08:00", HYBRID_TEN, tells=(CONFIRMED, MISCONFIGURED)).lists("08:05", tells=(DELETED,))
    story.restarts("08:10").connected("08:11").lists("08:11")
    story.reads("08:12", ELEVEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    assert not story.given


def test_while_no_linked_calendar_was_read_the_device_is_left_as_it_is():
    story = putting().until("09:00")
    assert not story.given


def test_a_calendar_that_is_lost_leaves_its_last_word_on_the_device():
    story = putting().reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.turns("08:10", CalendarPhase.REVOKED, REVOKED).lists("08:11", *story.echoes()).until("09:30")
    assert held(story) == [("Planning", "10:00")]
    assert len(story.agenda) == 1


def test_what_was_put_is_taken_back_when_the_site_does_not_want_it_any_more():
    story = putting().reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.puts = False
    story.restarts("08:10").connected("08:10:10").lists("08:10:10", *story.echoes())
    assert held(story) == []
    story.reads("08:11", TEN, tells=(CONNECTED,)).until("08:30")
    assert len(story.given) == 2


def test_a_device_of_an_earlier_life_is_cleared_by_what_it_lists():
    story = putting().reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    echoes = story.echoes()
    other = Story(calendars=(CalendarKind.MICROSOFT,)).connected("08:00").lists("08:00", *echoes)
    assert [put.bookings for _, put in other.given] == [()]
    assert not other.agenda


def test_who_only_listens_takes_nothing_back():
    story = putting().reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    listener = Story(puts=None).connected("08:00").lists("08:00", *story.echoes())
    assert not listener.given


def test_two_devices_hold_the_same_and_the_one_with_hybrid_calendar_keeps_its_own():
    panel = replace(listed("webex-1", "meeting-1", "10:00", "10:30"), meeting_id=MeetingId("meeting-1"))
    story = Story(devices=(CODEC, PANEL), calendars=(CalendarKind.MICROSOFT,), puts=True)
    story.connected("08:00").lists("08:00").connected("08:00", device=PANEL)
    story.lists("08:00", panel, device=PANEL, tells=(CONFIRMED, MISCONFIGURED))
    story.reads("08:01", TEN, tells=(CONNECTED, SWITCHED, FactKind.BOOKING_UPDATED))
    assert {put.device for _, put in story.given} == {CODEC}
    story.lists("08:02", *story.echoes())
    assert len(story.agenda) == 1


def test_a_clock_that_jumps_back_delays_nothing():
    story = putting().reads("08:01", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.steps(timedelta(minutes=-30))
    story.reads("07:31:06", TEN, ELEVEN, tells=(CONFIRMED,))
    assert held(story) == [("Planning", "10:00"), ("Retrospective", "11:00")]
