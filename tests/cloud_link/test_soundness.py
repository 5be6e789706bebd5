"""A whole database is called sound, and whatever is not as it should be is found, in words, with its mend."""

import sqlite3
from contextlib import closing
from pathlib import Path

from cloud_link import outbox
from cloud_link.database import FILE, open_database, open_to_read
from cloud_link.soundness import Found, examine
from tests.brokers import Ack, Liar, refusing
from tests.cloud_link.stand import BASE, SMALL, append, forwarding, seal

FJORD, LAKE = "rooms/fjord", "rooms/lake"


def readable(body: bytes) -> None:
    if body == b"nonsense":
        raise ValueError("nonsense")


def verdict(directory: Path) -> dict[str, Found]:
    with open_to_read(directory) as tx:
        tx.execute("BEGIN")
        return {one.what: one for one in examine(tx, readable=readable)}


def wrong(directory: Path) -> dict[str, str]:
    return {one.what: one.seen for one in verdict(directory).values() if not one.sound}


async def fill(directory: Path, count: int = 5) -> None:
    async with open_database(directory, limits=SMALL) as database:
        await append(database, [seal(room) for _ in range(count) for room in (FJORD, LAKE)])
        await database.write(lambda tx: outbox.settle(tx, {FJORD: 3}))


def change(directory: Path, statement: str) -> None:
    with closing(sqlite3.connect(directory / FILE, isolation_level=None)) as connection:
        connection.execute(statement)


async def test_a_database_at_work_is_sound(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        liar.pubacks = refusing(0x99, topic_filter=f"{BASE}/rooms/fjord/#", after=1, times=2)
        await stand.post([seal(FJORD) for _ in range(6)])
        await stand.settled()
        liar.pubacks = lambda received: Ack()
        found = verdict(tmp_path)  # beside the writer
        assert [one.what for one in found.values() if one.sound] == [
            "file",
            "envelopes",
            "numbers",
            "marks",
            "gaps",
            "rooms",
        ]
        assert "2 envelopes were dropped in 2 gaps" in found["gaps"].seen
        assert "2 are kept as dead letters" in found["gaps"].seen


async def test_a_rotten_envelope_is_named(tmp_path: Path):
    await fill(tmp_path)
    assert wrong(tmp_path) == {}
    change(tmp_path, "UPDATE outbox SET payload = x'00' WHERE place = 4")
    found = wrong(tmp_path)
    assert list(found) == ["envelopes"]
    assert "1 of 10 are damaged: rooms/lake" in found["envelopes"]


async def test_a_missing_number_without_a_gap_is_found_and_with_one_it_is_not(tmp_path: Path):
    await fill(tmp_path)
    change(tmp_path, "DELETE FROM outbox WHERE place IN (5, 10)")
    assert list(wrong(tmp_path)) == ["numbers"]
    change(
        tmp_path,
        "INSERT INTO gaps SELECT NULL, name, (SELECT value FROM meta WHERE name = 'epoch'), 3, 5, 2, "
        "'no room', 0, NULL, NULL, 0 FROM streams",
    )
    assert wrong(tmp_path) == {}


async def test_numbers_out_of_order_are_found(tmp_path: Path):
    await fill(tmp_path)
    change(tmp_path, "UPDATE outbox SET place = 99 WHERE place = 1")
    assert "is followed by" in wrong(tmp_path)["numbers"]


async def test_marks_beyond_what_was_ever_given_out_are_found(tmp_path: Path):
    await fill(tmp_path)
    change(tmp_path, "UPDATE streams SET settled_place = 1000 WHERE name = 'rooms/lake'")
    assert "rooms/lake is acknowledged up to place 1000" in wrong(tmp_path)["marks"]


async def test_a_gap_whose_record_is_gone_is_found(tmp_path: Path):
    await fill(tmp_path)
    change(
        tmp_path,
        "INSERT INTO gaps VALUES (NULL, 'rooms/fjord', 'e', 1, 2, 2, 'no room', 0, 'rooms/lake', 77, 0)",
    )
    assert "its record is missing" in wrong(tmp_path)["gaps"]


async def test_a_room_that_cannot_be_read_is_found(tmp_path: Path):
    await fill(tmp_path)
    change(tmp_path, "INSERT INTO snapshot VALUES ('fjord', CAST('nonsense' AS BLOB))")
    assert "fjord" in wrong(tmp_path)["rooms"]


async def test_torn_pages_are_found_and_what_cannot_be_read_is_no_traceback(tmp_path: Path):
    await fill(tmp_path, count=400)
    path = tmp_path / FILE
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 4096 * 3)
    assert not verdict(tmp_path)["file"].sound
    path.write_bytes(b"no database at all" * 1000)
    assert list(wrong(tmp_path)) == ["file"]
