from datetime import timedelta

import pytest

from agent.core.agenda import agenda
from agent.core.calendars import FRESH_FOR
from agent.core.events import (
    BookingCreated,
    BookingDeleted,
    BookingEnded,
    BookingFailed,
    BookingRequested,
    CalendarListed,
    CalendarOrderRefused,
    CalendarOrderTaken,
    CalendarOrderUnanswered,
    CalendarsLinked,
    ClockStruck,
    CommandGiven,
    DeviceLost,
)
from agent.core.facts import (
    BookInCalendar,
    BookingFact,
    CalendarFact,
    ExtendInCalendar,
    FactKind,
    ListCalendar,
    ReleaseInCalendar,
)
from agent.core.model import (
    BookingId,
    BookingPhase,
    CalendarKind,
    CalendarPhase,
    CommandId,
    DeviceId,
    EntryId,
    MeetingId,
    RequestId,
)
from agent.core.orders import AnswerStatus, BookRoom, ExtendBooking, Order, ReleaseBooking, Resync
from tests.agent.core.story import CODEC, DAY, M1, M2, R1, Story, at, entry, listed

REQUESTED = FactKind.BOOKING_REQUESTED
CONFIRMED = FactKind.BOOKING_CONFIRMED
EXPIRED = FactKind.BOOKING_EXPIRED
FAILED = FactKind.BOOKING_FAILED
MOVED = FactKind.BOOKING_MOVED
UPDATED = FactKind.BOOKING_UPDATED
STARTED = FactKind.BOOKING_STARTED
ENDED = FactKind.BOOKING_ENDED
DELETED = FactKind.BOOKING_DELETED
CONNECTED = FactKind.CALENDAR_CONNECTED
DEGRADED = FactKind.CALENDAR_DEGRADED
REVOKED = FactKind.CALENDAR_REVOKED
SWITCHED = FactKind.CALENDAR_SWITCHED

MICROSOFT, GOOGLE = CalendarKind.MICROSOFT, CalendarKind.GOOGLE
PANEL = DeviceId("fjord-panel")
EMPTY = ()
TEN = entry("e1", "10:00", "10:30")
HYBRID_TEN = listed("webex-7", M1, "10:00", "10:30")
HYBRID_ELEVEN = listed("webex-8", M2, "11:00", "11:30", title="Retrospective")


def lonely(*calendars: CalendarKind) -> Story:
    """A room with no device at all."""
    return Story(devices=EMPTY, calendars=calendars or (MICROSOFT,))


def linked(*devices: DeviceId) -> Story:
    """A room with a codec and a linked calendar, both heard, and nothing booked."""
    story = Story(devices=devices or (CODEC,), calendars=(MICROSOFT,))
    for each in story.devices:
        story.connected("08:00", device=each).lists("08:00", device=each)
    return story.reads("08:01", tells=(CONNECTED, SWITCHED))


def asked(starts: str = "10:00", ends: str = "10:30", request: RequestId | None = R1) -> BookingRequested:
    return BookingRequested(
        device=CODEC, request_id=request, starts_at=at(starts), ends_at=at(ends), title="Planning"
    )


def created(
    meeting: MeetingId | None = M1, booking: str = "webex-7", starts: str = "10:00", ends: str = "10:30"
) -> BookingCreated:
    return BookingCreated(
        device=CODEC,
        booking_id=BookingId(booking),
        meeting_id=meeting,
        starts_at=at(starts),
        ends_at=at(ends),
        request_id=R1,
    )


def deleted(cause: str = "checked_out", booking: str = "webex-7") -> BookingDeleted:
    return BookingDeleted(device=CODEC, booking_id=BookingId(booking), meeting_id=None, cause=cause)


def keys(story: Story) -> set[str]:
    return {fact.booking.key for fact in story.told if isinstance(fact, BookingFact)}


def listings(story: Story) -> list[str]:
    return [f"{when:%H:%M:%S}" for when, it in story.asked_calendars if isinstance(it, ListCalendar)]


# ── a room with only a calendar ───────────────────────────────────────────────────────────────────


def test_a_room_without_devices_is_read_from_its_calendar_and_lives_by_the_clock():
    story = (
        lonely()
        .reads("08:00", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
        .reads("09:50", TEN)
        .until("10:00", STARTED)
        .reads("10:15", TEN)
        .until("10:30", ENDED)
    )
    assert len(keys(story)) == 1
    assert story.last.booking.calendar is MICROSOFT
    assert not story.agenda


def test_what_has_begun_when_it_is_read_first_is_confirmed_and_started():
    story = lonely().reads("10:10", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED, STARTED))
    assert story.last.at == at("10:00")
    assert story.last.recovered


def test_what_was_over_when_it_is_read_first_is_not_told():
    lonely().reads("10:31", TEN, tells=(CONNECTED, SWITCHED))


def test_a_move_a_new_title_and_a_cancellation_are_told_of_one_booking():
    story = (
        lonely()
        .reads("08:00", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
        .reads("08:10", entry("e1", "11:00", "11:30"), tells=(MOVED,))
        .reads("08:20", entry("e1", "11:00", "11:30", title="Other"), tells=(UPDATED,))
        .reads("08:30", tells=(DELETED,))
    )
    assert len(keys(story)) == 1
    assert story.last.cause == "deleted"
    assert not story.last.recovered


def test_a_private_entry_has_no_title_and_a_keyword_without_a_link_is_pending():
    story = lonely().reads(
        "08:00",
        entry("e1", "10:00", "10:30", private=True, join_pending=True),
        tells=(CONNECTED, SWITCHED, CONFIRMED),
    )
    assert story.last.booking.meeting.title is None
    assert story.last.booking.join_pending
    story.reads("08:05", entry("e1", "10:00", "10:30", private=True), tells=(UPDATED,))


LINK = "https://fjord.webex.com/meet/ada"


def test_the_calendars_link_to_join_by_stays_with_a_booking_that_the_device_tells_of_too():
    story = linked().then("09:00", asked(), REQUESTED).then("09:00:12", created(), CONFIRMED)
    story.reads("09:00:20", entry("e1", "10:00", "10:30", join_pending=True), tells=(UPDATED,))
    assert story.last.booking.join_pending
    story.reads("09:01", entry("e1", "10:00", "10:30", join=LINK), tells=(UPDATED,))
    story.lists("09:02", HYBRID_TEN).reads("09:03", entry("e1", "10:00", "10:30", join=LINK))
    (booking,) = story.agenda
    assert (booking.meeting.join, booking.meeting.platform, booking.join_pending) == (LINK, "webex", False)


def test_a_link_that_only_the_device_has_is_the_bookings_until_the_calendar_has_one():
    with_link = listed("webex-7", M1, "10:00", "10:30", join=LINK)
    pending = entry("e1", "10:00", "10:30", join_pending=True)
    story = (
        linked().reads("09:00", pending, tells=(CONFIRMED,)).lists("09:00:30", with_link, tells=(UPDATED,))
    )
    assert (story.last.booking.meeting.join, story.last.booking.join_pending) == (LINK, False)
    story.reads("09:10", pending).lists("09:11", with_link).reads("09:12", pending)
    own = entry("e1", "10:00", "10:30", join="https://fjord.webex.com/meet/kari")
    story.reads("09:15", own, tells=(UPDATED,)).lists("09:16", with_link)
    assert story.agenda[0].meeting.join == own.meeting.join


def test_a_link_outlives_the_calendar_that_told_it():
    story = linked().reads("09:00", entry("e1", "10:00", "10:30", join=LINK), tells=(CONFIRMED,))
    story.lists("09:01", HYBRID_TEN, tells=(UPDATED,)).turns(
        "09:10", CalendarPhase.REVOKED, REVOKED, SWITCHED, UPDATED
    )
    assert story.agenda[0].meeting.join == LINK


def test_occurrences_of_a_series_are_told_apart_by_their_starts():
    today, tomorrow = entry("e1", "10:00", "10:30", uid="u"), entry("e2", "+1 10:00", "+1 10:30", uid="u")
    story = lonely().reads("08:00", today, tomorrow, tells=(CONNECTED, SWITCHED, CONFIRMED, CONFIRMED))
    assert len(keys(story)) == 2
    story.reads("08:10", tomorrow, tells=(DELETED,))
    assert story.last.booking.starts_at == at("10:00")


def test_another_occurrence_of_a_series_is_not_the_one_that_is_gone():
    story = lonely().reads(
        "08:00", entry("e1", "10:00", "10:30", uid="u"), tells=(CONNECTED, SWITCHED, CONFIRMED)
    )
    story.reads("08:10", entry("e2", "+1 10:00", "+1 10:30", uid="u"), tells=(DELETED, CONFIRMED))


def test_a_listing_that_comes_late_changes_nothing():
    story = lonely().reads("08:00", tells=(CONNECTED, SWITCHED))
    story.reads("08:05", TEN, tells=(CONFIRMED,)).reads("08:06", asked="08:04")
    assert len(story.agenda) == 1


def test_what_lies_beyond_the_listed_span_is_not_deleted():
    story = lonely().reads(
        "08:00", entry("e1", "+1 10:00", "+1 10:30"), tells=(CONNECTED, SWITCHED, CONFIRMED)
    )
    story.reads("08:10", days=1)
    assert len(story.agenda) == 1


def test_an_all_day_entry_is_all_day():
    story = lonely().reads(
        "08:00",
        entry("e1", "00:00", "+1 00:00", all_day=True),
        tells=(CONNECTED, SWITCHED, CONFIRMED, STARTED),
    )
    assert story.last.booking.all_day


# ── two sides of one booking ──────────────────────────────────────────────────────────────────────


def test_a_request_is_confirmed_by_the_calendar_and_the_devices_id_is_attached_afterwards():
    story = (
        linked()
        .then("09:00", asked(), REQUESTED)
        .reads("09:00:04", TEN, tells=(CONFIRMED,))
        .then("09:00:12", created(), UPDATED)
    )
    booking = story.last.booking
    assert (booking.request_id, booking.booking_id, booking.meeting_id) == (R1, "webex-7", M1)
    assert booking.entries == {MICROSOFT: "e1"}
    assert booking.calendar is MICROSOFT
    assert len(keys(story)) == 1


def test_a_request_is_confirmed_by_the_device_and_the_calendars_id_is_attached_afterwards():
    story = (
        linked()
        .then("09:00", asked(), REQUESTED)
        .then("09:00:12", created(), CONFIRMED)
        .reads("09:00:20", TEN, tells=(UPDATED,))
    )
    booking = story.last.booking
    assert (booking.booking_id, booking.entries) == ("webex-7", {MICROSOFT: "e1"})
    assert len(keys(story)) == 1


def test_a_listing_of_before_a_request_has_another_meeting_at_its_times():
    story = linked().then("09:00", asked(), REQUESTED)
    story.reads("09:00:01", entry("e9", "10:00", "10:30", "Standup"), asked="08:59:59")
    assert [b.entry_id for b in story.agenda] == [None]
    story.reads("09:00:05", TEN, entry("e9", "12:00", "12:30", "Standup"), tells=(CONFIRMED, CONFIRMED))
    assert {b.entry_id: b.request_id for b in story.agenda} == {"e1": R1, "e9": None}
    assert len(keys(story)) == 2


def test_a_meeting_that_was_listed_long_before_a_request_for_its_times_is_another():
    story = linked().reads("08:30", entry("e9", "10:00", "10:30", "Standup"), tells=(CONFIRMED,))
    story.then("09:02", asked(), REQUESTED)
    moved = entry("e9", "12:00", "12:30", "Standup")
    story.reads("09:02:05", TEN, moved, tells=(MOVED, CONFIRMED)).then("09:02:12", created(), UPDATED)
    assert {b.entry_id: b.request_id for b in story.agenda} == {"e1": R1, "e9": None}


def test_a_booking_that_waits_for_its_meeting_id_is_confirmed_by_the_calendar():
    story = linked().then("09:00", asked(), REQUESTED).then("09:00:02", created(None))
    story.reads("09:00:20", TEN, tells=(CONFIRMED,))
    assert story.last.booking.booking_id == "webex-7"


def test_the_entry_may_come_before_the_request_is_heard():
    story = linked().reads("09:00", TEN, tells=(CONFIRMED,)).then("09:00:01", asked())
    story.then("09:00:12", created(), UPDATED)
    assert len(keys(story)) == 1
    assert story.last.booking.request_id == R1


def test_the_entry_may_come_before_the_device_lists_it():
    story = linked().reads("09:00", TEN, tells=(CONFIRMED,)).lists("09:00:10", HYBRID_TEN, tells=(UPDATED,))
    assert len(story.agenda) == 1
    assert story.agenda[0].booking_id == "webex-7"


@pytest.mark.parametrize("uid", ["meeting-1", None])
def test_a_booking_that_was_moved_on_one_side_is_known_by_its_meeting_id(uid):
    meeting = entry("meeting-1" if uid is None else "e1", "10:00", "10:30", uid=uid)
    story = linked().reads("09:00", meeting, tells=(CONFIRMED,))
    story.lists("09:00:10", listed("webex-7", M1, "10:15", "10:45"), tells=(UPDATED,))
    assert len(story.agenda) == 1
    assert story.agenda[0].starts_at == at("10:00")


def test_a_request_that_neither_side_has_after_its_time_has_expired():
    story = linked().then("09:00", asked(), REQUESTED).then("09:00:02", created(None))
    story.reads("09:01:02")
    story.lists("09:01:05").reads("09:01:06", tells=(EXPIRED,))


def test_a_request_that_the_device_gave_up_waits_for_the_calendar_a_minute():
    story = linked().then("09:00", asked(), REQUESTED).then("09:00:02", created(None))
    story.lists("09:01:05").until("09:02:04").until("09:02:05", EXPIRED)


def test_a_request_that_the_device_gave_up_and_the_calendar_has_is_confirmed():
    story = linked().then("09:00", asked(), REQUESTED).then("09:00:02", created(None))
    story.lists("09:01:05").reads("09:01:06", TEN, tells=(CONFIRMED,))


def test_a_refused_request_has_failed():
    story = linked().then("09:00", asked(), REQUESTED)
    story.then("09:00:10", BookingFailed(device=CODEC, request_id=R1, cause="declined"), FAILED)
    assert story.last.cause == "declined"


def test_a_late_entry_raises_an_expired_request_under_its_key():
    story = linked().then("09:00", asked(), REQUESTED).until("09:01:05", EXPIRED)
    story.reads("09:03", TEN, tells=(CONFIRMED,))
    assert len(keys(story)) == 1


def test_the_calendar_is_asked_soon_after_a_request_on_the_device():
    story = linked().then("09:00", asked(), REQUESTED)
    story.until("09:00:30")
    assert listings(story) == ["09:00:05", "09:00:15", "09:00:30"]


# ── what the believed calendar denies ─────────────────────────────────────────────────────────────


def test_what_only_the_device_lists_is_not_told_of():
    story = linked().lists("09:00", HYBRID_TEN)
    assert not story.agenda
    story.reads("09:00:05").until("09:01:05").reads("09:01:05")
    assert not story.agenda
    assert listings(story) == ["09:00:01", "09:01:00"]


def test_what_the_device_lists_first_is_told_of_when_the_calendar_has_it():
    story = linked().lists("09:00", HYBRID_TEN).reads("09:00:05", TEN, tells=(CONFIRMED,))
    assert story.last.booking.booking_id == "webex-7"


def test_what_the_device_confirmed_and_the_calendar_never_has_goes_after_a_while():
    story = (
        linked()
        .then("09:00", asked(), REQUESTED)
        .then("09:00:12", created(), CONFIRMED)
        .reads("09:00:30")
        .reads("09:01:11")
        .reads("09:01:12", tells=(DELETED,))
    )
    assert story.last.cause == "not_in_calendar"


def test_a_device_that_deletes_is_believed_when_the_calendar_says_so_and_gives_the_cause():
    story = linked().reads("09:00", TEN, tells=(CONFIRMED,)).lists("09:00:10", HYBRID_TEN, tells=(UPDATED,))
    story.then("09:10", deleted())
    assert len(story.agenda) == 1
    story.reads("09:10:05", tells=(DELETED,))
    assert story.last.cause == "checked_out"


def test_a_device_that_deletes_what_the_calendar_keeps_changes_nothing():
    story = linked().reads("09:00", TEN, tells=(CONFIRMED,)).lists("09:00:10", HYBRID_TEN, tells=(UPDATED,))
    story.then("09:10", deleted()).reads("09:10:05", TEN).reads("09:11:10", TEN).reads(
        "09:20", tells=(DELETED,)
    )
    assert story.last.cause == "deleted"


def test_a_device_that_moves_what_the_calendar_does_not_has_it_looked_at():
    story = linked().reads("09:00", TEN, tells=(CONFIRMED,)).lists("09:00:10", HYBRID_TEN, tells=(UPDATED,))
    story.asked_calendars.clear()
    story.lists("09:10", listed("webex-7", M1, "11:00", "11:30")).until("09:10:05")
    assert listings(story) == ["09:10:01"]
    assert story.agenda[0].starts_at == at("10:00")


def test_a_booking_that_the_device_ended_early_is_over_and_stays_so():
    story = linked().reads("09:50", TEN, tells=(CONFIRMED,)).lists("09:51", HYBRID_TEN, tells=(UPDATED,))
    story.until("10:00:15", STARTED)
    story.then("10:10", BookingEnded(device=CODEC, booking_id=BookingId("webex-7"), meeting_id=None), ENDED)
    story.reads("10:11", TEN).reads("10:12", entry("e1", "10:00", "10:40"), tells=(CONFIRMED, STARTED))
    assert len(keys(story)) == 1


def test_beyond_what_the_calendar_covers_the_devices_are_believed():
    later = listed("webex-9", M2, "+1 10:00", "+1 10:30")
    story = linked().reads("08:02", days=1).lists("09:00", later, tells=(CONFIRMED,))
    story.reads("09:10", days=1).reads("09:20", tells=(DELETED,))
    assert story.last.cause == "not_in_calendar"


# ── belief ────────────────────────────────────────────────────────────────────────────────────────


def outage(story: Story) -> Story:
    """The calendar was read at 09:00 for the last time, and is out of reach from 09:10 on."""
    return story.turns("09:10", CalendarPhase.DEGRADED, DEGRADED, why="graph.microsoft.com is not reached")


def both() -> Story:
    """The calendar and the device have the booking at ten; only the device has one at eleven."""
    return (
        linked()
        .reads("09:00", TEN, tells=(CONFIRMED,))
        .lists("09:00:10", HYBRID_TEN, HYBRID_ELEVEN, tells=(UPDATED,))
        .reads("09:01:10", TEN)
    )


def test_an_outage_falls_back_to_the_device_when_the_last_listing_is_old_and_the_return_is_told_too():
    story = outage(both()).until("09:31:09").until("09:31:10", SWITCHED, UPDATED, CONFIRMED)
    assert [b.booking_id for b in story.agenda] == ["webex-7", "webex-8"]
    switched = next(f for f in story.told[-3:] if isinstance(f, CalendarFact))
    assert (switched.calendar, switched.previous) == (CalendarKind.HYBRID, MICROSOFT)
    assert switched.cause == "graph.microsoft.com is not reached"
    assert story.last.recovered
    before = {b.key for b in story.agenda}
    story.reads("09:40", TEN, tells=(CONNECTED, SWITCHED, UPDATED, DELETED))
    assert {b.key for b in story.agenda} < before
    assert story.last.cause == "not_in_calendar"


def test_revoked_consent_falls_back_at_once():
    story = both().turns(
        "09:10", CalendarPhase.REVOKED, REVOKED, SWITCHED, UPDATED, CONFIRMED, why="consent again"
    )
    story.reads("09:11", TEN)
    assert len(story.agenda) == 2
    story.turns("09:20", CalendarPhase.ACTIVE, CONNECTED).reads(
        "09:20:05", TEN, tells=(SWITCHED, UPDATED, DELETED)
    )


def test_what_only_the_calendar_had_goes_when_it_is_not_believed_any_more():
    story = linked().reads("09:00", TEN, entry("e2", "12:00", "12:30"), tells=(CONFIRMED, CONFIRMED))
    story.lists("09:00:10", HYBRID_TEN, tells=(UPDATED,))
    story.turns("09:10", CalendarPhase.REVOKED, REVOKED, SWITCHED, UPDATED, DELETED)
    assert story.last.cause == "not_in_calendar"
    story.turns("09:12", CalendarPhase.ACTIVE, CONNECTED)
    story.reads("09:13", TEN, entry("e2", "12:00", "12:30"), tells=(SWITCHED, UPDATED, CONFIRMED))
    assert len(keys(story)) == 2


def test_a_room_is_never_emptied_by_a_device_that_knows_of_nothing():
    story = linked().reads("09:00", TEN, tells=(CONFIRMED,))
    story.turns("09:10", CalendarPhase.REVOKED, REVOKED)
    assert [b.starts_at for b in story.agenda] == [at("10:00")]
    story.until("10:00", STARTED).until("10:30", ENDED, SWITCHED)


def test_the_fallback_waits_until_the_device_has_listed():
    story = both().then("09:05", DeviceLost(device=CODEC, why="cable"), FactKind.DEVICE_LOST)
    story.turns("09:10", CalendarPhase.REVOKED, REVOKED)
    assert len(story.agenda) == 1
    story.connected("09:20")
    assert len(story.agenda) == 1
    story.lists("09:20:02", HYBRID_TEN, HYBRID_ELEVEN, tells=(SWITCHED, UPDATED, CONFIRMED))


def test_what_went_in_an_outage_keeps_its_key_when_the_device_names_it_anew():
    story = linked().reads("09:00", TEN, tells=(CONFIRMED,)).lists("09:00:10", HYBRID_ELEVEN)
    story.turns("09:10", CalendarPhase.REVOKED, REVOKED, SWITCHED, DELETED, CONFIRMED)
    story.lists("09:11", HYBRID_TEN, HYBRID_ELEVEN, tells=(CONFIRMED,))
    assert len(keys(story)) == 2


def test_what_changed_during_an_outage_is_told_as_recovered():
    story = lonely().reads("09:00", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.turns("09:05", CalendarPhase.DEGRADED, DEGRADED, why="no route")
    story.reads("09:10", entry("e1", "11:00", "11:30"), tells=(CONNECTED, MOVED))
    assert story.last.recovered
    story.reads("09:20", entry("e1", "12:00", "12:30"), tells=(MOVED,))
    assert not story.last.recovered


def test_without_any_other_the_last_word_stands_and_is_not_fresh():
    story = lonely().reads("09:00", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.polled.clear()
    story.until("09:30", DEGRADED)
    known = agenda(story.room, now=story.now)
    assert (known.believed, known.fresh, known.as_of) == (MICROSOFT, False, at("09:00"))
    assert len(known.bookings) == 1
    story.reads("09:40", TEN, tells=(CONNECTED,))
    assert agenda(story.room, now=story.now).fresh


def test_google_stands_in_for_microsoft_and_gives_way_to_it():
    story = lonely(MICROSOFT, GOOGLE)
    story.reads("08:00", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.reads("08:10", entry("g1", "10:00", "10:30"), calendar=GOOGLE, tells=(CONNECTED,))
    story.turns("08:20", CalendarPhase.REVOKED, REVOKED)
    assert listings(story)[-1:] == ["08:20:00"]
    story.reads("08:20:05", entry("g1", "10:00", "10:30"), calendar=GOOGLE, tells=(SWITCHED, UPDATED))
    assert story.agenda[0].entries == {MICROSOFT: "e1", GOOGLE: "g1"}
    story.turns("08:25", CalendarPhase.ACTIVE, CONNECTED).reads("08:26", TEN, tells=(SWITCHED, UPDATED))
    story.reads("08:27", entry("g1", "10:00", "10:30"), calendar=GOOGLE)
    assert len(keys(story)) == 1


def test_a_calendar_that_is_linked_later_takes_over_what_it_has():
    story = Story().connected("08:00").lists("08:00", HYBRID_TEN, HYBRID_ELEVEN, tells=(CONFIRMED, CONFIRMED))
    story.calendars = (MICROSOFT,)
    story.restarts("08:30").connected("08:31").lists("08:31", HYBRID_TEN, HYBRID_ELEVEN)
    story.reads("08:32", TEN, tells=(CONNECTED, SWITCHED, UPDATED, DELETED))
    assert len(keys(story)) == 2


def test_a_calendar_that_is_unlinked_leaves_the_room_to_its_devices():
    story = both()
    story.calendars = ()
    story.restarts("09:10").connected("09:11")
    assert len(story.agenda) == 1
    story.lists("09:11", HYBRID_TEN, HYBRID_ELEVEN, tells=(SWITCHED, UPDATED, CONFIRMED))
    assert story.room.heard is None


def found(*kinds: CalendarKind, writes: tuple[CalendarKind, ...] = ()) -> CalendarsLinked:
    return CalendarsLinked(calendars=kinds, writes=frozenset(writes))


def test_a_calendar_that_is_found_while_we_run_takes_over_what_it_has():
    story = Story().connected("08:00").lists("08:00", HYBRID_TEN, HYBRID_ELEVEN, tells=(CONFIRMED, CONFIRMED))
    story.then("08:30", found(MICROSOFT))
    assert len(story.agenda) == 2
    story.reads("08:32", TEN, tells=(CONNECTED, SWITCHED, UPDATED, DELETED))
    assert len(keys(story)) == 2


def test_a_calendar_that_was_read_is_believed_on_while_others_are_found():
    story = lonely(GOOGLE).reads("08:00", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED), calendar=GOOGLE)
    before = story.room.calendars[GOOGLE]
    story.then("08:05", found(MICROSOFT, GOOGLE))
    assert list(story.room.calendars) == [MICROSOFT, GOOGLE]
    assert story.room.calendars[GOOGLE] == before
    assert story.room.believed is GOOGLE
    story.reads("08:06", TEN, tells=(CONNECTED, SWITCHED, UPDATED))
    assert story.room.believed is MICROSOFT
    assert len(keys(story)) == 1


def test_a_calendar_that_is_no_more_to_be_found_leaves_the_room_to_its_devices():
    story = both().then("09:10", found(), SWITCHED, UPDATED, CONFIRMED)
    assert story.room.heard is None
    assert not story.room.calendars


def test_a_calendar_that_stands_in_for_one_that_is_found_no_more_is_read_first():
    story = lonely(MICROSOFT, GOOGLE).reads("08:00", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.reads("08:10", TEN, calendar=GOOGLE, tells=(CONNECTED,))
    story.polled.pop(MICROSOFT)
    story.then("08:15", found(GOOGLE))
    assert len(story.agenda) == 1
    story.reads("08:15:02", TEN, calendar=GOOGLE, tells=(SWITCHED, UPDATED))


def test_a_calendar_that_comes_back_and_is_not_read_gives_way_to_the_devices():
    story = linked().reads("08:05", TEN, tells=(CONFIRMED,))
    story.polled.clear()
    story.then("08:10", found()).then("08:11", found(MICROSOFT))
    story.turns("08:11", CalendarPhase.DEGRADED, DEGRADED, why="no route")
    story.lists("08:20", HYBRID_TEN, HYBRID_ELEVEN, tells=(UPDATED, SWITCHED, UPDATED, CONFIRMED))


def test_a_calendar_that_is_found_in_the_place_of_another_leaves_the_agenda_until_it_is_read():
    story = lonely().reads("08:05", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.polled.clear()
    story.then("08:10", found(GOOGLE))
    assert len(story.agenda) == 1
    story.reads("08:11", TEN, calendar=GOOGLE, tells=(CONNECTED, SWITCHED, UPDATED))


def test_what_is_found_again_changes_nothing_and_leave_to_write_may_come_later():
    story = linked()
    before = story.room
    story.then("08:05", found(MICROSOFT))
    assert story.room is before
    story.then("08:06", found(MICROSOFT, writes=(MICROSOFT,)))
    assert story.room.calendars[MICROSOFT].writes
    assert story.room.calendars[MICROSOFT].listed_at == at("08:01")


def test_a_restart_keeps_whom_it_believes_until_the_calendar_had_time_to_be_read():
    story = both().restarts("09:45").connected("09:45:05").lists("09:45:06", HYBRID_TEN, HYBRID_ELEVEN)
    assert story.room.believed is MICROSOFT
    story.reads("09:45:30", TEN, tells=(CONNECTED,))
    assert SWITCHED not in {f.kind for f in story.told}


def test_a_restart_falls_back_when_the_calendar_is_not_read_in_time():
    story = both().restarts("09:45").connected("09:45:05").lists("09:45:06", HYBRID_TEN, HYBRID_ELEVEN)
    story.until("09:48", SWITCHED, UPDATED, CONFIRMED)


def test_phases_are_told_once_each_with_their_mend():
    story = lonely().reads("08:00", tells=(CONNECTED, SWITCHED))
    story.turns("08:10", CalendarPhase.CREDENTIAL, DEGRADED, why="the secret has expired: make a new one")
    story.turns("08:11", CalendarPhase.CREDENTIAL, why="the secret has expired: make a new one")
    fact = story.told[-1]
    assert isinstance(fact, CalendarFact)
    assert fact.cause == "the secret has expired: make a new one"
    story.turns("08:12", CalendarPhase.CLOCK_SKEW, DEGRADED, why="set the clock")
    story.turns("08:13", CalendarPhase.CONNECTING).turns("08:14", CalendarPhase.ACTIVE, CONNECTED)
    story.turns("08:14", CalendarPhase.ACTIVE)


# ── several devices ───────────────────────────────────────────────────────────────────────────────


def test_two_devices_and_a_calendar_know_one_booking():
    story = linked(CODEC, PANEL)
    story.lists("09:00", HYBRID_TEN).reads("09:00:05", TEN, tells=(CONFIRMED,))
    story.lists("09:00:10", listed("webex-3", M1, "10:00", "10:30"), device=PANEL)
    assert len(story.agenda) == 1
    assert story.agenda[0].booking_ids == {CODEC: "webex-7", PANEL: "webex-3"}


def test_a_booking_is_one_when_the_calendar_speaks_between_two_devices():
    story = linked(CODEC, PANEL)
    story.reads("09:00", TEN, tells=(CONFIRMED,))
    story.lists("09:00:10", listed("webex-3", None, "10:00", "10:30"), device=PANEL, tells=(UPDATED,))
    story.lists("09:00:20", HYBRID_TEN, tells=(UPDATED,))
    assert len(story.agenda) == 1
    assert len(keys(story)) == 1


# ── clocks ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("hours", [-3, -1, 1, 3])
def test_a_clock_that_jumps_has_the_calendar_read_anew_and_believes_it_on(hours):
    story = lonely().reads("12:00", entry("e1", "18:00", "18:30"), tells=(CONNECTED, SWITCHED, CONFIRMED))
    story.steps(timedelta(hours=hours))
    later = story.now + timedelta(seconds=2)
    story.until(f"{later:%H:%M:%S}")
    assert isinstance(story.asked_calendars[-1][1], ListCalendar)
    story.reads(f"{later:%H:%M:%S}", entry("e1", "18:00", "18:30"))
    assert len(story.agenda) == 1


def test_a_clock_that_was_ahead_takes_back_what_it_started():
    story = lonely().reads("09:50", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED)).until("10:00", STARTED)
    story.steps(timedelta(hours=-1))
    assert story.agenda[0].phase is BookingPhase.CONFIRMED
    story.reads("09:05", TEN, asked="09:05").reads("09:30", TEN).reads("09:55", TEN).until("10:00", STARTED)


def test_what_says_nothing_new_leaves_the_room_as_it_is():
    story = linked().reads("09:00", TEN, tells=(CONFIRMED,)).lists("09:00:10", HYBRID_TEN, tells=(UPDATED,))
    before = story.room
    story.turns("09:00:10", CalendarPhase.ACTIVE)
    story.then("09:00:10", ClockStruck())
    assert story.room is before
    story.reads("09:00:11", TEN)
    assert (story.room.bookings, story.room.heard) == (before.bookings, before.heard)


def test_a_stranger_to_this_room_is_ignored():
    story = Story().connected("08:00")
    story.then(
        "08:01",
        CalendarListed(
            calendar=GOOGLE,
            entries=(TEN,),
            asked_at=at("08:01"),
            covers_from=DAY,
            covers_until=at("+2 00:00"),
        ),
    )
    assert not story.agenda


def test_a_listing_is_believed_for_half_an_hour():
    assert timedelta(minutes=30) == FRESH_FOR


# ── what commands have a calendar do ──────────────────────────────────────────────────────────────

C1 = CommandId("c1")


def written(*devices: DeviceId) -> Story:
    """A room whose calendar the site lets us write in."""
    story = Story(devices=devices, calendars=(MICROSOFT,), writes=(MICROSOFT,))
    for each in devices:
        story.connected("08:00", device=each).lists("08:00", device=each)
    return story.reads("08:01", tells=(CONNECTED, SWITCHED))


def ordered(order: Order) -> CommandGiven:
    return CommandGiven(command=C1, order=order)


BOOK = BookRoom(starts_at=at("10:00"), duration=timedelta(minutes=30), title="Planning")


@pytest.mark.parametrize("devices", [(), (CODEC,)])
def test_a_room_is_booked_in_its_calendar_before_any_device_and_done_when_it_is_listed(devices):
    story = written(*devices).then("09:00", ordered(BOOK), REQUESTED)
    asked_of_it = [it for _, it in story.asked_calendars if isinstance(it, BookInCalendar)]
    assert [(it.starts_at, it.ends_at, it.title) for it in asked_of_it] == [
        (at("10:00"), at("10:30"), "Planning")
    ]
    assert [answer.status for answer in story.answers] == [AnswerStatus.ACCEPTED]
    taken = CalendarOrderTaken(calendar=MICROSOFT, command=C1, entry_id=EntryId("e1"))
    story.then("09:00:02", taken)
    assert listings(story)[-1] == "09:00:02"
    story.reads("09:00:05", TEN, tells=(CONFIRMED,))
    assert story.answers[-1].status is AnswerStatus.DONE
    assert story.last.booking.request_id == asked_of_it[0].request_id


def test_a_calendar_that_cannot_be_written_in_now_is_not_passed_over():
    story = written(CODEC).restarts("09:00").connected("09:00:01").lists("09:00:01")
    story.then("09:00:03", ordered(BOOK))
    assert story.answers[-1].status is AnswerStatus.REFUSED
    assert "nothing can be written in the microsoft calendar now" in (story.answers[-1].reason or "")


def test_what_only_the_device_would_know_of_is_not_booked_there():
    story = linked().lists("08:30", listed("1", None, "12:00", "12:30")).then("09:00", ordered(BOOK))
    assert story.answers[-1].status is AnswerStatus.REFUSED
    assert "writes = true" in (story.answers[-1].reason or "")


def test_what_turns_out_to_be_on_the_device_alone_is_never_done():
    story = linked().then("09:00", ordered(BOOK), REQUESTED)
    story.lists("09:00:05", listed("1", None, "10:00", "10:30"), tells=(CONFIRMED,))
    assert story.answers[-1].status is AnswerStatus.ACCEPTED
    story.reads("09:00:20").reads("09:01:10", tells=(DELETED,))
    assert (story.answers[-1].status, story.answers[-1].reason) == (
        AnswerStatus.FAILED,
        "not booked: not_in_calendar",
    )


def test_a_room_without_devices_says_that_its_calendar_may_not_be_written_in():
    story = lonely().reads("08:00", tells=(CONNECTED, SWITCHED)).then("09:00", ordered(BOOK))
    assert "the room has no device" in (story.answers[-1].reason or "")


def test_a_calendar_that_refuses_fails_the_command_and_the_request():
    story = written().then("09:00", ordered(BOOK), REQUESTED)
    refused = CalendarOrderRefused(calendar=MICROSOFT, command=C1, why="the room declined: it is taken")
    story.then("09:00:02", refused, FAILED)
    assert (story.answers[-1].status, story.answers[-1].reason) == (AnswerStatus.FAILED, refused.why)


def test_a_booking_that_the_calendar_took_and_never_lists_expires():
    story = written().then("09:00", ordered(BOOK), REQUESTED)
    story.then("09:00:02", CalendarOrderTaken(calendar=MICROSOFT, command=C1)).reads("09:00:20").reads(
        "09:00:59"
    )
    story.reads("09:01:00", tells=(EXPIRED,))
    assert story.answers[-1].status is AnswerStatus.FAILED


def test_what_the_calendar_took_and_the_room_declined_fails_and_is_taken_back():
    story = written().then("09:00", ordered(BOOK), REQUESTED)
    story.then("09:00:02", CalendarOrderTaken(calendar=MICROSOFT, command=C1, entry_id=EntryId("e1")))
    story.reads("09:00:05").reads("09:01:05", tells=(EXPIRED,))
    assert story.answers[-1].status is AnswerStatus.FAILED
    assert "the room did not accept" in (story.answers[-1].reason or "")
    orders = [it for _, it in story.asked_calendars if isinstance(it, ReleaseInCalendar)]
    assert [it.entry_id for it in orders] == ["e1"]
    story.then("09:01:06", CalendarOrderTaken(calendar=MICROSOFT, command=C1))
    story.reads("09:01:10")
    assert [answer.status for answer in story.answers] == [AnswerStatus.ACCEPTED, AnswerStatus.FAILED]


UNANSWERED = CalendarOrderUnanswered(calendar=MICROSOFT, command=C1)


def test_a_booking_whose_answer_is_lost_is_done_when_a_listing_shows_it():
    story = written().then("09:00", ordered(BOOK), REQUESTED).then("09:00:30", UNANSWERED)
    assert listings(story)[-1] == "09:00:30"
    assert [answer.status for answer in story.answers] == [AnswerStatus.ACCEPTED]
    story.reads("09:00:33", TEN, tells=(CONFIRMED,))
    assert story.answers[-1].status is AnswerStatus.DONE


def test_a_booking_whose_answer_is_lost_fails_only_when_a_listing_of_afterwards_lacks_it():
    story = written().then("09:00", ordered(BOOK), REQUESTED).then("09:00:30", UNANSWERED)
    story.reads("09:00:33")
    assert [answer.status for answer in story.answers] == [AnswerStatus.ACCEPTED]
    story.reads("09:01:02", tells=(EXPIRED,))
    assert story.answers[-1].status is AnswerStatus.FAILED
    assert not [it for _, it in story.asked_calendars if isinstance(it, ReleaseInCalendar)]


def test_a_booking_whose_answer_is_lost_and_that_nobody_can_see_is_unknown():
    story = written().then("09:00", ordered(BOOK), REQUESTED).then("09:00:30", UNANSWERED)
    story.polled.clear()
    story.until("09:02:01")
    assert story.answers[-1].status is AnswerStatus.UNKNOWN
    assert story.room.bookings


@pytest.mark.parametrize(
    "order", [ExtendBooking(booking="e1", ends_at=at("10:45")), ReleaseBooking(booking="e1")]
)
def test_an_extension_or_release_whose_answer_is_lost_is_what_the_listing_shows(order):
    story = written().reads("09:00", TEN, tells=(CONFIRMED,))
    story.then("09:01", ordered(order)).then("09:01:30", UNANSWERED)
    assert [answer.status for answer in story.answers] == [AnswerStatus.ACCEPTED]
    if isinstance(order, ExtendBooking):
        story.reads("09:01:33", entry("e1", "10:00", "10:45"), tells=(MOVED,))
    else:
        story.reads("09:01:33", tells=(DELETED,))
    assert story.answers[-1].status is AnswerStatus.DONE


def test_the_answer_of_a_booking_has_the_calendars_own_names_for_it():
    story = written().then("09:00", ordered(BOOK), REQUESTED)
    story.reads("09:00:05", entry("e1", "10:00", "10:30", uid="uid-1"), tells=(CONFIRMED,))
    result = story.answers[-1].result
    assert result is not None
    assert (result["entry_id"], result["ical_uid"], result["meeting_id"]) == ("e1", "uid-1", None)


def test_an_entry_is_extended_and_released_in_the_calendar():
    story = written(CODEC).reads("09:00", TEN, tells=(CONFIRMED,))
    story.then("09:01", ordered(ExtendBooking(booking="e1", by=timedelta(minutes=15))))
    extend = story.asked_calendars[-1][1]
    assert isinstance(extend, ExtendInCalendar)
    assert (extend.entry_id, extend.ends_at) == ("e1", at("10:45"))
    story.reads("09:01:10", entry("e1", "10:00", "10:45"), tells=(MOVED,))
    assert story.answers[-1].status is AnswerStatus.DONE
    release = CommandGiven(command=CommandId("c2"), order=ReleaseBooking(booking=story.agenda[0].key))
    story.then("09:02", release)
    assert isinstance(story.asked_calendars[-1][1], ReleaseInCalendar)
    story.reads("09:02:10", tells=(DELETED,))
    assert story.answers[-1].status is AnswerStatus.DONE


def test_a_calendar_that_agrees_and_does_nothing_has_failed():
    story = written().reads("09:00", TEN, tells=(CONFIRMED,))
    story.then("09:01", ordered(ReleaseBooking(booking="e1")))
    story.then("09:01:01", CalendarOrderTaken(calendar=MICROSOFT, command=C1))
    story.reads("09:02:05", TEN).until("09:02:31")
    assert story.answers[-1].reason == "the calendar agreed and did not do it"


def test_without_leave_to_write_a_device_books_and_a_room_without_one_says_why_not():
    story = linked().then("09:00", ordered(BOOK), REQUESTED)
    assert not [it for _, it in story.asked_calendars if isinstance(it, BookInCalendar)]
    story.reads("09:00:05", TEN, tells=(CONFIRMED,))
    assert story.answers[-1].status is AnswerStatus.DONE
    alone = lonely().reads("08:00", TEN, tells=(CONNECTED, SWITCHED, CONFIRMED))
    alone.then("09:00", ordered(ReleaseBooking(booking="e1")))
    assert alone.answers[-1].status is AnswerStatus.REFUSED
    assert "cannot be written in" in (alone.answers[-1].reason or "")


def test_a_calendar_out_of_reach_is_not_written_in():
    story = written(CODEC).lists("08:20", HYBRID_ELEVEN).turns("08:30", CalendarPhase.DEGRADED, DEGRADED)
    story.then("08:31", ordered(BOOK), REQUESTED)  # on the device, whose Hybrid Calendar gets there, too
    assert not [it for _, it in story.asked_calendars if isinstance(it, BookInCalendar)]


def test_a_room_without_devices_is_read_anew_on_command():
    story = lonely().reads("08:00", tells=(CONNECTED, SWITCHED)).then("09:00", ordered(Resync()))
    assert listings(story)[-1] == "09:00:00"
    story.reads("09:00:03")
    assert story.answers[-1].status is AnswerStatus.DONE
