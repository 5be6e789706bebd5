import sqlite3

from agent import snapshots
from agent.core.events import PeopleCounted
from agent.core.facts import FactKind
from agent.core.model import RoomId
from tests.agent.core.story import CODEC, M1, Story, listed


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
    snapshots.forget(connection, keep=[RoomId("other")])
    assert snapshots.load(connection) == {}
