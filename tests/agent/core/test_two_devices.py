from dataclasses import replace

from agent.core.events import (
    BookingCreated,
    BookingDeleted,
    BookingRequested,
    BookingStarted,
    DeviceLost,
)
from agent.core.facts import FactKind
from agent.core.model import BookingId, BookingPhase, CalendarKind, DeviceId
from tests.agent.core.story import CODEC, M1, M2, R1, Story, at, listed

PANEL = DeviceId("fjord-panel")

REQUESTED = FactKind.BOOKING_REQUESTED
CONFIRMED = FactKind.BOOKING_CONFIRMED
EXPIRED = FactKind.BOOKING_EXPIRED
STARTED = FactKind.BOOKING_STARTED
DELETED = FactKind.BOOKING_DELETED

ON_CODEC = listed("webex-7", M1, "10:00", "10:30")
ON_PANEL = listed("webex-3", M1, "10:00", "10:30")

ASKED = BookingRequested(
    device=CODEC, request_id=R1, starts_at=at("10:00"), ends_at=at("10:30"), title="Planning"
)
ANSWERED = BookingCreated(
    device=CODEC,
    booking_id=BookingId("webex-7"),
    meeting_id=M1,
    starts_at=at("10:00"),
    ends_at=at("10:30"),
    request_id=R1,
    title="Planning",
)


def both() -> Story:
    """A room with two devices, both heard and both empty; they list when the story says so."""
    story = Story(devices=(CODEC, PANEL), mute=True).connected("08:59").connected("08:59", device=PANEL)
    return story.lists("08:59").lists("08:59", device=PANEL)


def booked() -> Story:
    """The same room, with one booking that both hold."""
    return both().lists("09:00", ON_CODEC, tells=(CONFIRMED,)).lists("09:00", ON_PANEL, device=PANEL)


def test_a_request_that_the_other_device_lists_before_it_is_answered_is_one_booking():
    story = both().then("09:00", ASKED, REQUESTED)
    key = story.last.booking.key
    story.lists("09:00:05", ON_PANEL, device=PANEL, tells=(CONFIRMED,))
    assert (story.last.booking.key, story.last.booking.request_id) == (key, R1)
    story.then("09:00:06", ANSWERED)
    story.lists("09:00:10", ON_CODEC).lists("09:02", ON_CODEC).lists("09:02", ON_PANEL, device=PANEL)
    assert [b.key for b in story.agenda] == [key]
    assert story.agenda[0].booking_ids == {CODEC: "webex-7", PANEL: "webex-3"}


def test_only_the_device_that_was_asked_can_show_a_request_gone():
    story = both().then("09:00", ASKED, REQUESTED)
    story.lists("09:02", device=PANEL)
    assert [b.phase for b in story.agenda] == [BookingPhase.REQUESTED]
    story.lists("09:02:01", tells=(EXPIRED,))


def test_a_pushed_booking_that_both_devices_hold_is_one():
    pushed, the_same = listed("a-3", None, "10:00", "10:30"), listed("b-9", None, "10:00", "10:30")
    story = both().lists("09:00:05", pushed, tells=(CONFIRMED,)).lists("09:00:06", the_same, device=PANEL)
    assert len(story.agenda) == 1


def test_a_booking_that_both_devices_tell_of_is_confirmed_once():
    story = both().then("09:00", replace(ANSWERED, request_id=None), CONFIRMED)
    told_again = replace(ANSWERED, device=PANEL, booking_id=BookingId("webex-3"), request_id=None)
    story.then("09:00:01", told_again)
    assert story.agenda[0].booking_ids == {CODEC: "webex-7", PANEL: "webex-3"}


def test_the_same_booking_id_on_two_devices_is_two_bookings():
    one, other = listed("webex-1", M1, "10:00", "10:30"), listed("webex-1", M2, "10:00", "11:00", "Retro")
    story = both().lists("09:00", one, tells=(CONFIRMED,))
    story.lists("09:00:01", other, device=PANEL, tells=(CONFIRMED,))
    started = BookingStarted(device=PANEL, booking_id=BookingId("webex-1"), meeting_id=None)
    story.then("10:00", started, STARTED)
    assert story.last.booking.meeting_id == M2


def test_devices_that_know_different_details_do_not_contradict_each_other_for_ever():
    knowing = replace(ON_CODEC, meeting=replace(ON_CODEC.meeting, platform="webex", join="fjord@example.com"))
    story = both().lists("09:00", knowing, tells=(CONFIRMED,)).lists("09:00:01", ON_PANEL, device=PANEL)
    for minute in (10, 20, 30, 40):
        story.lists(f"09:{minute}", knowing).lists(f"09:{minute}:01", ON_PANEL, device=PANEL)
    assert story.agenda[0].meeting.join == "fjord@example.com"


def test_a_detail_that_only_the_second_device_knows_is_told_once():
    knowing = replace(ON_PANEL, meeting=replace(ON_PANEL.meeting, organizer="Kari Nordmann"))
    story = both().lists("09:00", ON_CODEC, tells=(CONFIRMED,))
    story.lists("09:00:01", knowing, device=PANEL, tells=(FactKind.BOOKING_UPDATED,))
    assert story.last.booking.meeting.organizer == "Kari Nordmann"


def test_devices_that_name_different_calendars_do_not_contradict_each_other_for_ever():
    its_own = listed("local-3", M1, "10:00", "10:30")
    story = both().then("09:00", ASKED, REQUESTED).then("09:00:02", ANSWERED, CONFIRMED)
    for minute in (10, 20, 30, 40):
        story.lists(f"09:{minute}", ON_CODEC).lists(f"09:{minute}:01", its_own, device=PANEL)
    assert story.agenda[0].calendar is CalendarKind.HYBRID


def test_what_one_device_lists_no_more_stands_while_the_other_does():
    story = booked().lists("09:10").lists("09:10:01", ON_PANEL, device=PANEL)
    assert len(story.agenda) == 1
    story.lists("09:20", device=PANEL, tells=(DELETED,))


def test_a_device_that_is_away_keeps_no_booking_alive():
    story = booked()
    story.then("09:05", DeviceLost(device=PANEL, why="no route to host"), FactKind.DEVICE_LOST)
    story.lists("09:10", tells=(DELETED,))


def test_a_deletion_that_both_devices_tell_is_told_once():
    story = booked().until("10:00:15", STARTED)
    no_show = BookingDeleted(device=CODEC, booking_id=None, meeting_id=M1, cause="no_show")
    story.then("10:10", no_show, DELETED).then("10:10", replace(no_show, device=PANEL))
    assert story.last.cause == "no_show"


def test_a_pushed_booking_that_one_device_knows_by_another_title_is_one_booking():
    nameless = listed("p1", None, "10:00", "10:30")
    retitled = listed("p1", None, "10:00", "10:30", "Retro")
    story = both().lists("09:00", nameless, tells=(FactKind.BOOKING_CONFIRMED,))
    story.lists("09:05", retitled, device=PANEL).lists("09:06", retitled, tells=(FactKind.BOOKING_UPDATED,))
    assert [b.meeting.title for b in story.agenda] == ["Retro"]
