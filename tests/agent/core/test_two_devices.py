from dataclasses import replace

from agent.core.agenda import agenda
from agent.core.devices import furnish
from agent.core.events import (
    BookingCreated,
    BookingDeleted,
    BookingRequested,
    BookingStarted,
    DeviceConnected,
    DeviceLost,
    PeopleCounted,
    ShortcomingsFound,
)
from agent.core.facts import FactKind, ListBookings
from agent.core.model import Ability, BookingId, BookingPhase, CalendarKind, DeviceId
from tests.agent.core.story import CODEC, M1, M2, R1, Story, at, device, listed

PANEL = DeviceId("fjord-panel")

REQUESTED = FactKind.BOOKING_REQUESTED
CONFIRMED = FactKind.BOOKING_CONFIRMED
EXPIRED = FactKind.BOOKING_EXPIRED
STARTED = FactKind.BOOKING_STARTED
DELETED = FactKind.BOOKING_DELETED
MOVED = FactKind.BOOKING_MOVED
UPDATED = FactKind.BOOKING_UPDATED
MISCONFIGURED = FactKind.DEVICE_MISCONFIGURED

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


def test_a_booking_without_a_name_that_both_devices_tell_of_is_one():
    pushed = replace(ANSWERED, booking_id=BookingId("a-3"), meeting_id=None, request_id=None)
    story = both().then("09:00", pushed, CONFIRMED)
    story.then("09:00:01", replace(pushed, device=PANEL, booking_id=BookingId("b-9")))
    assert story.agenda[0].booking_ids == {CODEC: "a-3", PANEL: "b-9"}


def test_a_name_that_only_one_device_knows_yet_is_the_others_too():
    story = both().then("09:00", replace(ANSWERED, request_id=None), CONFIRMED)
    nameless = replace(ANSWERED, device=PANEL, booking_id=BookingId("webex-3"), meeting_id=None)
    story.then("09:00:01", replace(nameless, request_id=None))
    assert story.agenda[0].booking_ids == {CODEC: "webex-7", PANEL: "webex-3"}


def test_two_bookings_that_are_alike_stay_two():
    one, two = (listed(f"a-{n}", None, "10:00", "10:30") for n in (1, 2))
    same, other = (listed(f"b-{n}", None, "10:00", "10:30") for n in (1, 2))
    story = both().lists("09:00", one, two, tells=(CONFIRMED, CONFIRMED))
    story.lists("09:00:01", same, other, device=PANEL)
    assert len(story.agenda) == 2
    story.lists("09:10", one, two).lists("09:10:01", same, other, device=PANEL)
    assert {len(b.booking_ids) for b in story.agenda} == {2}


def test_what_two_devices_told_differently_is_one_when_they_tell_it_alike():
    story = both().lists("09:00", listed("a-3", None, "10:00", "10:30"), tells=(CONFIRMED,))
    story.lists("09:01", listed("b-8", None, "10:00", "11:00", "Retro"), device=PANEL, tells=(CONFIRMED,))
    assert len(story.agenda) == 2
    story.lists("09:02", listed("a-3", None, "10:00", "11:00", "Retro"), tells=(MOVED, DELETED))
    assert story.last.cause == "duplicate"
    assert [b.booking_ids for b in story.agenda] == [{CODEC: "a-3", PANEL: "b-8"}]


def test_devices_that_name_different_times_do_not_move_a_booking_to_and_fro():
    stale = listed("webex-3", M1, "11:00", "11:30")
    story = booked()
    for minute in (10, 20, 30, 40):
        story.lists(f"09:{minute}", ON_CODEC).lists(f"09:{minute}:01", stale, device=PANEL)
        assert story.asked[-1][1].device == CODEC  # whose word counts
    assert story.agenda[0].starts_at == at("10:00")


def test_a_move_that_the_second_device_lists_first_makes_the_first_be_asked():
    story = booked().lists("09:10", listed("webex-3", M1, "11:00", "11:30"), device=PANEL)
    assert story.asked[-1] == (at("09:10"), ListBookings(device=CODEC))
    story.lists("09:10:01", listed("webex-7", M1, "11:00", "11:30"), tells=(MOVED,))


def test_while_the_first_device_is_away_the_second_is_believed():
    story = booked()
    story.then("09:05", DeviceLost(device=CODEC, why="no route to host"), FactKind.DEVICE_LOST)
    story.lists("09:10", listed("webex-3", M1, "11:00", "11:30"), device=PANEL, tells=(MOVED,))


def test_a_list_that_is_empty_for_a_while_deletes_nothing_that_the_other_device_holds():
    story = booked().lists("09:10")
    assert story.agenda[0].booking_ids == {PANEL: "webex-3"}
    story.lists("09:20", ON_CODEC)
    assert story.agenda[0].booking_ids == {PANEL: "webex-3", CODEC: "webex-7"}


def test_a_device_that_is_lost_blinds_nobody():
    story = booked()
    story.then("09:05", DeviceLost(device=CODEC, why="no route to host"), FactKind.DEVICE_LOST)
    new = listed("webex-4", M2, "12:00", "12:30", "Retro")
    story.lists("09:10", ON_PANEL, new, device=PANEL, tells=(CONFIRMED,))
    started = BookingStarted(device=PANEL, booking_id=BookingId("webex-3"), meeting_id=None)
    story.then("10:00", started, STARTED)


def test_a_reboot_renumbers_the_bookings_of_that_device_alone():
    second = listed("webex-8", M2, "12:00", "12:30", "Retro")
    story = booked().lists("09:01", ON_CODEC, second, tells=(CONFIRMED,))
    story.lists("09:02", ON_PANEL, listed("webex-4", M2, "12:00", "12:30", "Retro"), device=PANEL)
    story.then("09:05", DeviceLost(device=CODEC, why="restarts"), FactKind.DEVICE_LOST)
    story.connected("09:07", uptime_s=60)
    turned = listed("webex-8", M1, "10:00", "10:30"), listed("webex-7", M2, "12:00", "12:30", "Retro")
    story.lists("09:07:01", *turned, tells=(UPDATED, UPDATED))
    ids = [b.booking_ids for b in story.agenda]
    assert ids == [{CODEC: "webex-8", PANEL: "webex-3"}, {CODEC: "webex-7", PANEL: "webex-4"}]


# ── what a device lacks by its nature ──

LACKS_PEOPLE = {Ability.PEOPLE: "it counts nobody"}
LACKS_BOTH = {Ability.PEOPLE: "it counts nobody", Ability.BOOKINGS: "it has no bookings"}


def greeted(story: Story, device: DeviceId, clock: str, lacks: dict[Ability, str], *tells: FactKind) -> Story:
    event = DeviceConnected(
        device=device,
        product="Room Navigator",
        serial="FOC2",
        firmware="ce11.27.2.0",
        transport="websocket",
        answers_requests=True,
        lacks=lacks,
    )
    return story.then(clock, event, FactKind.DEVICE_CONNECTED, *tells)


def missing(story: Story, device: DeviceId) -> tuple[str, ...]:
    return story.room.devices[device].shortcomings


def test_what_another_device_of_the_room_can_is_not_missing():
    story = Story(devices=(CODEC, PANEL), mute=True)
    greeted(story, PANEL, "08:00", LACKS_BOTH)  # the codec was not heard yet: nobody knows what it can
    story.connected("08:01").lists("08:01")
    assert missing(story, PANEL) == missing(story, CODEC) == ()


def test_what_no_device_of_the_room_can_is_missing_and_told():
    story = Story(devices=(CODEC, PANEL), mute=True)
    greeted(story, PANEL, "08:00", LACKS_BOTH)
    greeted(story, CODEC, "08:01", LACKS_PEOPLE, MISCONFIGURED, MISCONFIGURED)
    assert missing(story, PANEL) == missing(story, CODEC) == ("it counts nobody",)
    mended = ShortcomingsFound(device=CODEC, shortcomings=(), lacks={})
    story.then("08:02", mended)
    assert missing(story, PANEL) == missing(story, CODEC) == ()


def test_a_navigator_alone_degrades_its_room_and_is_not_asked_for_bookings():
    story = Story(devices=(PANEL,), mute=True)
    greeted(story, PANEL, "08:00", LACKS_BOTH, MISCONFIGURED)
    assert missing(story, PANEL) == ("it counts nobody", "it has no bookings")
    story.until("10:00")
    assert story.asked == []
    assert not agenda(story.room, now=story.now).fresh


def test_a_shortcoming_of_the_devices_own_stays_beside_what_others_make_up_for():
    story = Story(devices=(CODEC, PANEL), mute=True).connected("08:00").lists("08:00")
    greeted(story, PANEL, "08:01", LACKS_BOTH)
    found = ShortcomingsFound(device=PANEL, shortcomings=("its clock is wrong",))
    story.then("08:02", found, MISCONFIGURED)
    lost_camera = ShortcomingsFound(device=CODEC, shortcomings=(), lacks=LACKS_PEOPLE)
    story.then("08:03", lost_camera, MISCONFIGURED, MISCONFIGURED)
    assert missing(story, PANEL) == ("its clock is wrong", "it counts nobody")


# ── whose people count ──


def test_people_are_counted_by_the_device_that_is_configured_to():
    configured = (device(CODEC), replace(device(PANEL), counts_people=True))
    story = Story(devices=(CODEC, PANEL), mute=True)
    story.room = furnish(None, story.room.id, configured, now=story.now)
    story.connected("08:00").connected("08:00", device=PANEL)
    story.then("09:00", PeopleCounted(device=CODEC, people=2), FactKind.OCCUPANCY_CHANGED)
    story.then("09:01", PeopleCounted(device=PANEL, people=5), FactKind.OCCUPANCY_CHANGED)
    story.then("09:02", PeopleCounted(device=CODEC, people=3))
    assert story.room.occupancy.people == 5
