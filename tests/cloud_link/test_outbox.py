"""Numbers, order, room, and what is told of what was given up."""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from cloud_link import database, outbox
from cloud_link.database import Connection
from cloud_link.delivery import Moment
from cloud_link.envelope import ANSWERED, answers_of
from cloud_link.outbox import Budget, Kept
from tests.cloud_link.stand import AGENT_STREAM, TELLER, seal

FJORD, LAKE = "rooms/fjord", "rooms/lake"
NOW = Moment(wall_ms=1_772_442_000_000, boot="b", steady_ms=1_000_000)


@pytest.fixture
def tx() -> Iterator[Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA max_page_count = 256")
        database._create(connection)  # noqa: SLF001 (the schema without a file)
        connection.execute("INSERT INTO meta VALUES ('epoch', 'e1')")
        yield connection


def append(tx: Connection, *seals: tuple[str, outbox.Seal]) -> list[outbox.Posted]:
    return outbox.append(tx, seals, recorded=NOW)


def keep_house(
    tx: Connection, *, under_way: dict[str, int] | None = None, budget: Budget | None = None
) -> Kept:
    return outbox.keep_house(
        tx,
        budget=budget or Budget(),
        under_way={} if under_way is None else under_way,
        teller=TELLER,
        now=NOW,
    )


def left(tx: Connection, stream: str) -> list[int]:
    return [one.envelope.number for one in outbox.pending(tx, stream, after=0, limit=10_000)]


# ── in and out


def test_every_stream_is_numbered_from_one_without_gaps(tx: Connection):
    posted = append(tx, seal(FJORD), seal(LAKE), seal(FJORD)) + append(tx, seal(FJORD))
    assert [(one.envelope.stream, one.envelope.number) for one in posted] == [
        (FJORD, 1),
        (LAKE, 1),
        (FJORD, 2),
        (FJORD, 3),
    ]
    assert [one.place for one in posted] == [1, 2, 3, 4]
    assert posted[2].envelope.id == "e1-2"


def test_what_is_read_is_what_was_stored(tx: Connection):
    posted = append(tx, seal("rooms/007", body="ø" * 100), seal("rooms/007"))
    assert outbox.pending(tx, "rooms/007", after=0, limit=10) == posted
    assert outbox.pending(tx, "rooms/007", after=posted[0].place, limit=10) == posted[1:]
    assert outbox.pending(tx, "rooms/007", after=0, limit=1) == posted[:1]
    assert outbox.pending(tx, "rooms/7", after=0, limit=1) == []


def test_settling_never_goes_back(tx: Connection):
    posted = append(tx, *(seal(FJORD) for _ in range(5)))
    outbox.settle(tx, {FJORD: posted[3].place})
    outbox.settle(tx, {FJORD: posted[1].place, "rooms/nobody": 7})
    assert left(tx, FJORD) == [5]


def test_places_are_not_used_again_when_everything_is_gone(tx: Connection):
    (first,) = append(tx, seal(FJORD))
    outbox.settle(tx, {FJORD: first.place})
    keep_house(tx, budget=Budget(replay_s=-1.0))
    assert tx.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
    (second,) = append(tx, seal(FJORD))
    assert second.place > first.place
    assert left(tx, FJORD) == [2]


def test_the_connection_counts_up_and_can_be_lifted(tx: Connection):
    assert [outbox.next_connection(tx) for _ in range(3)] == [1, 2, 3]
    assert outbox.next_connection(tx, at_least=9) == 9
    assert outbox.next_connection(tx) == 10


def test_heads_come_oldest_first_and_the_empty_last(tx: Connection):
    posted = append(tx, seal(LAKE), seal(FJORD), seal("rooms/x"), seal(LAKE))
    outbox.settle(tx, {"rooms/x": posted[2].place, LAKE: posted[0].place})
    assert [(head.stream, head.pending, head.last_number) for head in outbox.heads(tx)] == [
        (FJORD, 1, 1),
        (LAKE, 1, 2),
        ("rooms/x", 0, 1),
    ]


# ── given up


def test_a_dead_letter_is_kept_told_and_left_behind(tx: Connection):
    posted = append(tx, *(seal(FJORD) for _ in range(3)))
    outbox.settle(tx, {FJORD: posted[0].place})
    dropped = outbox.dead_letter(tx, posted[1], code=0x99, reason="refused", teller=TELLER, recorded=NOW)
    assert left(tx, FJORD) == [3]
    assert left(tx, AGENT_STREAM) == [1]
    assert outbox.holds(tx) == list(dropped.holds)
    assert dropped.holds[0].from_place == posted[1].place
    outbox.settle(tx, {AGENT_STREAM: dropped.told[0].place})
    assert outbox.holds(tx) == []
    stats = outbox.stats(tx, now=NOW)
    assert (stats.dead_letters, stats.gaps, stats.dropped, stats.depth) == (1, 1, 1, 1)


def test_the_acknowledged_are_kept_for_a_day_or_so_many_bytes(tx: Connection):
    posted = append(tx, *(seal(FJORD) for _ in range(10)))
    outbox.settle(tx, {FJORD: posted[-2].place})
    day = replace(NOW, steady_ms=NOW.steady_ms + 24 * 3600 * 1000 - 1)
    assert outbox.keep_house(tx, budget=Budget(), under_way={}, teller=TELLER, now=day).deleted == 0
    one = len(posted[0].envelope.topic) + len(posted[0].envelope.payload)
    assert keep_house(tx, budget=Budget(replay_bytes=one * 4)).deleted == 5
    assert len(outbox.peek(tx, settled=True)) == 4
    later = replace(NOW, steady_ms=NOW.steady_ms + 24 * 3600 * 1000 + 1000)
    assert outbox.keep_house(tx, budget=Budget(), under_way={}, teller=TELLER, now=later).deleted == 4
    assert left(tx, FJORD) == [10]


def test_where_the_boot_may_not_be_seen_another_process_may_be_of_another(monkeypatch, tmp_path):
    monkeypatch.setattr(outbox, "BOOT_ID", tmp_path / "hidden")  # as `ProcSubset=pid` does
    outbox.this_boot.cache_clear()
    try:
        before = outbox.moment_now()
        assert outbox.moment_now().boot == before.boot
        outbox.this_boot.cache_clear()  # another process
        assert outbox.moment_now().boot != before.boot
    finally:
        outbox.this_boot.cache_clear()


def test_a_wall_clock_that_jumps_forgets_nothing(tx: Connection):
    posted = append(tx, *(seal(FJORD) for _ in range(4)))
    outbox.settle(tx, {FJORD: posted[-1].place})
    for jump_ms in (-(10**12), 10**12):
        assert (
            outbox.keep_house(
                tx,
                budget=Budget(),
                under_way={},
                teller=TELLER,
                now=replace(NOW, wall_ms=NOW.wall_ms + jump_ms),
            ).deleted
            == 0
        )


KINDS = ("device.lost", "occupancy.changed", "booking.started", "occupancy.changed", "hold.placed")


def fill(tx: Connection, share: float) -> int:
    count = 0
    while outbox.used(tx) < share:
        append(tx, *(seal(FJORD, kind, "x" * 800) for kind in KINDS))
        count += len(KINDS)
    return count


def kinds_left(tx: Connection) -> dict[str, int]:
    return dict(tx.execute("SELECT kind, count(*) FROM outbox WHERE kind <> 'outbox.gap' GROUP BY kind"))


def test_below_seventy_percent_nothing_goes(tx: Connection):
    fill(tx, 0.65)
    assert keep_house(tx).dropped.places == frozenset()


def test_diagnostics_go_first(tx: Connection):
    count = fill(tx, 0.72)
    kept = keep_house(tx)
    before = dict.fromkeys(KINDS, count // 5) | {"occupancy.changed": count // 5 * 2}
    assert kinds_left(tx) | {"device.lost": 0} == before | {"device.lost": 0}
    assert 0 < len(kept.dropped.places) <= count // 5
    assert len(kept.dropped.told) == len(kept.dropped.holds) == 1


def test_then_superseded_occupancy_but_never_the_newest(tx: Connection):
    count = fill(tx, 0.90)
    keep_house(tx)
    found = kinds_left(tx)
    assert "device.lost" not in found
    assert found["occupancy.changed"] >= 1
    assert found["booking.started"] == count // 5
    newest = tx.execute("SELECT max(number) FROM outbox WHERE kind = 'occupancy.changed'").fetchone()[0]
    assert newest == count - 1


def test_bookings_go_last_and_the_oldest_of_them(tx: Connection):
    while outbox.used(tx) < 0.97:
        append(tx, seal(FJORD, "booking.started", "x" * 800))
    kept = keep_house(tx)
    assert kept.used < 0.95
    numbers = left(tx, FJORD)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[0] == len(kept.dropped.places) + 1


def test_answers_to_commands_are_as_dear_as_bookings(tx: Connection):
    dear = [seal(answers_of(FJORD), ANSWERED, "x" * 800), seal(FJORD, "booking.started", "x" * 800)]
    append(tx, *(dear * 40))
    while outbox.used(tx) < 0.97:
        append(tx, seal(FJORD, "hold.placed", "x" * 800))
    keep_house(tx)
    found = kinds_left(tx)
    assert found["hold.placed"] > 0
    assert (found[ANSWERED], found["booking.started"]) == (40, 40)


def test_between_answers_and_bookings_the_oldest_goes(tx: Connection):
    count = 0
    while outbox.used(tx) < 0.97:
        append(tx, seal(answers_of(FJORD), ANSWERED, "x" * 800), seal(FJORD, "booking.started", "x" * 800))
        count += 1
    assert keep_house(tx).used < 0.95
    found = kinds_left(tx)
    assert 0 < found[ANSWERED] < count
    assert abs(found[ANSWERED] - found["booking.started"]) <= 1
    assert {row[0] for row in tx.execute("SELECT stream FROM gaps")} == {FJORD, answers_of(FJORD)}


def test_what_is_under_way_is_not_dropped(tx: Connection):
    while outbox.used(tx) < 0.97:
        append(tx, seal(FJORD, "booking.started", "x" * 800))
    assert keep_house(tx, under_way={FJORD: 5}).dropped.places.isdisjoint(range(1, 6))
    assert left(tx, FJORD)[:5] == [1, 2, 3, 4, 5]


def test_the_acknowledged_make_room_before_anything_is_lost(tx: Connection):
    count = fill(tx, 0.97)
    outbox.settle(tx, {FJORD: count // 2})
    while keep_house(tx).more:
        pass
    assert left(tx, FJORD) == list(range(count // 2 + 1, count + 1))


def test_gap_records_name_exactly_what_is_missing(tx: Connection):
    count = fill(tx, 0.97)
    kept = keep_house(tx)
    gone = set(range(1, count + 1)) - set(left(tx, FJORD))
    rows = tx.execute("SELECT first_number, last_number, dropped FROM gaps").fetchall()
    assert sum(row[2] for row in rows) == len(gone) == len(kept.dropped.places)
    assert all(any(first <= number <= last for first, last, _ in rows) for number in gone)
    assert len(rows) == len(left(tx, AGENT_STREAM))


def test_the_file_gives_room_back(tx: Connection):
    tx.execute("PRAGMA max_page_count = 16384")
    for _ in range(40):
        append(tx, *(seal(FJORD, body="x" * 3000) for _ in range(200)))
    (last,) = tx.execute("SELECT max(place) FROM outbox").fetchone()
    pages = tx.execute("PRAGMA page_count").fetchone()[0]
    outbox.settle(tx, {FJORD: last})
    for _ in range(10):
        keep_house(tx, budget=Budget(replay_s=-1.0))
    assert tx.execute("PRAGMA page_count").fetchone()[0] < pages / 4


# ── looking


def test_stats_say_how_full_it_is(tx: Connection):
    posted = append(tx, *(seal(FJORD) for _ in range(4)), seal(LAKE))
    outbox.settle(tx, {FJORD: posted[1].place})
    stats = outbox.stats(tx, now=replace(NOW, steady_ms=NOW.steady_ms + 90_000))
    sizes = [len(one.envelope.topic) + len(one.envelope.payload) for one in posted]
    assert (stats.depth, stats.bytes, stats.oldest_age_s) == (3, sum(sizes[2:]), 90.0)
    assert (stats.replayable, stats.replayable_bytes, stats.epoch) == (2, sum(sizes[:2]), "e1")


def test_peeking_shows_the_oldest_and_changes_nothing(tx: Connection):
    append(tx, *(seal(FJORD) for _ in range(30)), seal(LAKE))
    assert [one.number for one in outbox.peek(tx, limit=3)] == [1, 2, 3]
    assert [one.stream for one in outbox.peek(tx, stream=LAKE)] == [LAKE]
    assert len(left(tx, FJORD)) == 30


def test_a_rotten_row_is_recognized(tx: Connection):
    (one,) = append(tx, seal(FJORD))
    assert outbox.checksum(one.envelope.id, one.envelope.topic, one.envelope.payload) == zlib.crc32(
        f"{one.envelope.id} {one.envelope.topic}".encode() + one.envelope.payload
    )
    tx.execute("UPDATE outbox SET topic = 'elsewhere'")
    assert outbox.pending(tx, FJORD, after=0, limit=1)[0].rotten
