import sqlite3
from dataclasses import replace

from agent import snapshots
from agent.core.events import PeopleCounted
from agent.core.facts import FactKind
from agent.core.model import CalendarKind, CalendarPhase, RoomId
from tests.agent.core.story import CODEC, M1, Story, entry, listed


def table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE snapshot (room TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT")
    return connection


def test_a_room_comes_back_as_it_was():
    story = (
        Story()
        .connected()
        .lists("08:00", listed("webex-1", M1, "10:00", "10:30"), tells=(FactKind.BOOKING_CONFIRMED,))
    )
    story.then("09:00", PeopleCounted(device=CODEC, people=3), FactKind.OCCUPANCY_CHANGED)
    connection = table()
    snapshots.save(connection, [story.room])
    assert snapshots.load(connection) == {story.room.id: story.room}


def test_a_row_that_cannot_be_read_costs_no_other_room():
    story = Story().connected()
    connection = table()
    snapshots.save(connection, [story.room])
    connection.execute("INSERT INTO snapshot VALUES ('broken', x'00')")
    assert list(snapshots.load(connection)) == [story.room.id]


def test_rooms_that_are_configured_no_more_are_forgotten():
    connection = table()
    snapshots.save(connection, [Story().room])
    gone = Story().room.id
    assert snapshots.leave(connection, keep=[RoomId("other")]) == (gone,)
    assert snapshots.load(connection) == {}
    assert snapshots.leave(connection, keep=[]) == (gone,), "its name is known until the broker knows"
    snapshots.forget(connection, [gone])
    assert snapshots.leave(connection, keep=[]) == ()


def test_a_room_that_came_back_is_not_forgotten():
    connection = table()
    room = Story().room
    snapshots.save(connection, [room])
    snapshots.leave(connection, keep=[])
    snapshots.save(connection, [room])
    snapshots.forget(connection, [room.id])
    assert snapshots.load(connection) == {room.id: room}


def test_who_called_a_meeting_is_not_kept_and_no_news_after_a_restart():
    called = listed(
        "webex-1", M1, "10:00", "10:30", title='He said: "organizer":"Kari"', organizer='Kari \\ "K"'
    )
    story = Story().connected().lists("08:00", called, tells=(FactKind.BOOKING_CONFIRMED,))
    assert b"Kari" not in snapshots.body_of(story.room).replace(b'\\"organizer\\":\\"Kari\\"', b"")
    (kept,) = snapshots.read_body(snapshots.body_of(story.room)).bookings.values()
    assert kept.meeting == replace(story.agenda[0].meeting, organizer=None)
    story.restarts("08:30").connected("08:31").lists("08:31", called)
    assert story.agenda[0].meeting.organizer == 'Kari \\ "K"'


def test_what_a_calendar_says_of_its_organizer_is_no_news_after_a_restart():
    called = entry("e1", "10:00", "10:30", organizer="Kari")
    word = listed("webex-7", M1, "10:00", "10:30", organizer="Kari")
    story = (
        Story(calendars=(CalendarKind.MICROSOFT,))
        .connected()
        .lists("08:00", word, tells=(FactKind.BOOKING_CONFIRMED,))
    )
    story.turns("08:01", CalendarPhase.ACTIVE, FactKind.CALENDAR_CONNECTED).reads(
        "08:01", called, tells=(FactKind.CALENDAR_SWITCHED, FactKind.BOOKING_UPDATED)
    )
    story.restarts("08:10").connected("08:11").lists("08:11", word)
    story.turns("08:11:10", CalendarPhase.ACTIVE, FactKind.CALENDAR_CONNECTED).reads("08:11:20", called)
    assert story.agenda[0].meeting.organizer == "Kari"
