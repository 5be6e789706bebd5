"""A copy is whole and of one moment; what is put back begins a new epoch, and no id has ever two contents."""

import asyncio
import json
import shutil
import sqlite3
import stat
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud_link import inbox, outbox
from cloud_link.copies import NoBackup, Origin, WouldLose, back_up, look, restore
from cloud_link.database import (
    BALLAST,
    FILE,
    LOCK,
    RESTORE,
    AlreadyRunning,
    SchemaTooNew,
    open_database,
    open_to_read,
)
from tests.brokers import Liar
from tests.cloud_link.stand import BASE, SMALL, append, forwarding, seal

FJORD, LAKE = "rooms/fjord", "rooms/lake"
EVENTS = f"{BASE}/rooms/+/events/#"
CLOSED = {FILE, LOCK, BALLAST}  # what a directory holds in which nobody is at work
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ORIGIN = Origin(at=NOON.isoformat(), version="1", site="oslo", agent="a1")


def readable(body: bytes) -> None:
    pass


def copy(state: Path, file: Path) -> None:
    back_up(state, file, ORIGIN, readable=readable)


def put(file: Path, state: Path, *, lose: bool = False) -> Path | None:
    return restore(file, state, at=NOON, readable=readable, lose=lose).replaced


def delivered(liar: Liar) -> dict[str, set[bytes]]:
    """By stream and id: the contents that came."""
    came: dict[str, set[bytes]] = {}
    for each in liar.messages(EVENTS):
        body = json.loads(each.payload)
        came.setdefault(f"{body['stream']} {body['id']}", set()).add(each.payload)
    return came


async def test_a_copy_beside_a_busy_writer_is_of_one_moment_and_for_its_owner_alone(tmp_path: Path):
    state, file = tmp_path / "state", tmp_path / "copy"
    async with open_database(state, limits=SMALL) as database:
        writing = [append(database, [seal(FJORD), seal(LAKE)]) for _ in range(200)]
        await asyncio.to_thread(copy, state, file)
        await asyncio.gather(*writing)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("copy")] == ["copy"]
    with closing(sqlite3.connect(file)) as tx:
        counts = [n for (n,) in tx.execute("SELECT count(*) FROM outbox GROUP BY stream")]
        assert len(set(counts)) <= 1  # both of a transaction, or neither
    assert look(file).origin == ORIGIN


async def test_the_database_is_not_replaced_by_its_own_copy(tmp_path: Path):
    state = tmp_path / "state"
    async with open_database(state, limits=SMALL) as database:
        await append(database, [seal(FJORD)])
    (tmp_path / "link").symlink_to(state)
    before = (state / FILE).read_bytes()
    for place in (state / FILE, tmp_path / "link" / FILE, state / f"{FILE}-wal"):
        with pytest.raises(NoBackup, match="elsewhere"):
            copy(state, place)
    assert (state / FILE).read_bytes() == before
    assert {path.name for path in state.iterdir()} == CLOSED


async def test_what_is_put_back_begins_anew_and_no_id_has_two_contents(tmp_path: Path):
    state, file = tmp_path / "state", tmp_path / "copy"
    async with Liar() as liar:
        async with forwarding(state, liar.url) as stand:
            await stand.post([seal(FJORD, body=f"before {n}") for n in range(5)])
            await stand.settled()
            liar.hold_connack()
            liar.cut()
            await stand.post([seal(FJORD, body="waits in the backup")])
            await asyncio.to_thread(copy, state, file)
            liar.release_connack()
            await stand.post([seal(FJORD, body="after the backup")])
            await stand.settled()
            before = int((await stand.database.write(outbox.heads))[0].last_number)
            connection = stand.forwarder.vitals.connection
        replaced = put(file, state)
        assert replaced is not None
        assert replaced.exists()
        async with forwarding(state, liar.url) as stand:
            reset = stand.database.opened.reset
            assert reset is not None
            assert (reset.reason, reset.salvaged) == (f"restored from a backup of {ORIGIN.at}", 1)
            [own] = await stand.post([seal(FJORD, body="the new life")])
            assert own.envelope.number == 1
            assert not own.envelope.id.startswith(str(reset.previous_epoch))
            await stand.settled()
            assert stand.forwarder.vitals.connection > connection
        assert before == 7
        came = delivered(liar)
        assert len(came) == 8
        assert all(len(contents) == 1 for contents in came.values())
    async with open_database(state, limits=SMALL) as database:
        assert database.opened.reset is not None  # until the cloud was told, and only begun once
        assert database.opened.epoch == own.envelope.id.rpartition("-")[0]


async def test_what_was_taken_up_and_not_answered_is_not_done_again(tmp_path: Path):
    state, file = tmp_path / "state", tmp_path / "copy"
    async with open_database(state, limits=SMALL) as database:
        await database.write(
            lambda tx: tx.execute(
                "INSERT INTO inbox VALUES "
                "(1, 'c1', x'00', 't', x'00', 'kept', 's', 't', NULL, 60, NULL, 0, 9)"
            )
        )
    copy(state, file)
    put(file, state)
    async with open_database(state, limits=SMALL) as database:
        [left] = await database.write(inbox.unfinished)
        assert left.state is inbox.State.BEGUN  # which is answered with what is known of it


async def test_undelivered_envelopes_are_not_left_behind_unasked(tmp_path: Path):
    state, file = tmp_path / "state", tmp_path / "copy"
    async with open_database(state, limits=SMALL) as database:
        await append(database, [seal(FJORD)])
    copy(state, file)
    assert put(file, state) is not None  # all that waits is in the copy
    async with open_database(state, limits=SMALL) as database:
        await append(database, [seal(FJORD), seal(LAKE)])
    with pytest.raises(WouldLose, match="2 envelopes"):
        put(file, state)
    with open_to_read(state) as tx:
        assert outbox.stats(tx, now=outbox.moment_now()).depth == 3
    replaced = put(file, state, lose=True)
    assert replaced is not None
    with closing(sqlite3.connect(replaced)) as tx:
        assert tx.execute("SELECT count(*) FROM outbox").fetchone() == (3,)


async def test_a_running_daemon_is_left_alone(tmp_path: Path):
    state, file = tmp_path / "state", tmp_path / "copy"
    async with open_database(state, limits=SMALL):
        await asyncio.to_thread(copy, state, file)
        with pytest.raises(AlreadyRunning):
            await asyncio.to_thread(put, file, state)
    assert not list(state.glob("*.replaced-*"))


async def test_after_a_kill_the_write_ahead_log_belongs_to_what_is_kept(tmp_path: Path):
    state, file, killed = tmp_path / "state", tmp_path / "copy", tmp_path / "killed"
    async with open_database(state, limits=SMALL) as database:
        await asyncio.to_thread(copy, state, file)
        await append(database, [seal(FJORD)])
        killed.mkdir()
        for each in state.iterdir():
            (killed / each.name).write_bytes(each.read_bytes())
    with pytest.raises(WouldLose):
        put(file, killed)
    replaced = put(file, killed, lose=True)
    assert replaced is not None
    with closing(sqlite3.connect(replaced)) as tx:
        assert tx.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
    async with open_database(killed, limits=SMALL) as database:
        assert database.opened.reset is not None


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])
async def test_a_restore_that_is_killed_at_any_step_is_as_if_not_begun_or_is_finished(
    tmp_path: Path, closed: bool
):
    state, file, into = tmp_path / "state", tmp_path / "copy", tmp_path / "into"
    async with open_database(state, limits=SMALL) as database:
        await append(database, [seal(FJORD)])
        await asyncio.to_thread(copy, state, file)
        await append(database, [seal(FJORD), seal(LAKE)])
        if not closed:
            shutil.copytree(state, tmp_path / "killed")
    before = state if closed else tmp_path / "killed"
    words = [sys.executable, "-m", "tests.cloud_link.cut_short", str(before), str(file), str(into)]
    ended = await asyncio.create_subprocess_exec(*words)
    assert await ended.wait() == 0
    found = []
    for step in sorted(into.iterdir(), key=lambda path: int(path.name)):
        async with open_database(step, limits=SMALL) as database:
            waiting = (await database.write(lambda tx: outbox.stats(tx, now=outbox.moment_now()))).depth
            reset = database.opened.reset
        kept = [path for path in step.glob("*.replaced-*") if not path.name.endswith(("-wal", "-shm"))]
        found.append("restored" if reset is not None else "as it was")
        assert (waiting, len(kept)) == ((3, 0) if reset is None else (1, 1)), step.name
        if reset is not None:
            assert reset.reason == f"restored from a backup of {ORIGIN.at}"
            with closing(sqlite3.connect(kept[0])) as tx:
                assert tx.execute("SELECT count(*) FROM outbox").fetchone() == (3,)
        assert {path.name for path in step.iterdir() if ".replaced-" not in path.name} == CLOSED
    assert found == sorted(found)  # once begun, it comes to its end
    assert set(found) == {"as it was", "restored"}


async def test_a_restore_that_was_cut_short_is_finished_before_the_next(tmp_path: Path):
    state, file = tmp_path / "state", tmp_path / "copy"
    async with open_database(state, limits=SMALL) as database:
        await append(database, [seal(FJORD)])
        await asyncio.to_thread(copy, state, file)
        await append(database, [seal(FJORD), seal(LAKE)])
    (state / RESTORE).write_bytes(file.read_bytes())
    put(file, state)  # what it replaces is that copy, in which nothing is that would be lost
    kept = []
    for path in state.glob("*.replaced-*"):
        with closing(sqlite3.connect(path)) as tx:
            kept += tx.execute("SELECT count(*) FROM outbox").fetchone()
    assert sorted(kept) == [1, 3]


async def test_a_copy_of_a_newer_schema_a_torn_one_and_anything_else_are_refused(tmp_path: Path):
    state, file = tmp_path / "state", tmp_path / "copy"
    async with open_database(state, limits=SMALL) as database:
        await append(database, [seal(FJORD) for _ in range(300)])
    copy(state, file)
    whole = file.read_bytes()
    with closing(sqlite3.connect(file)) as tx:
        tx.execute("PRAGMA user_version = 99")
    with pytest.raises(SchemaTooNew, match="99"):
        put(file, state)
    file.write_bytes(whole[: 4096 * 8])
    with pytest.raises(NoBackup):
        put(file, state)
    file.write_bytes(whole[: 4096 * 8] + b"\xaa" * 4096 + whole[4096 * 9 :])
    with pytest.raises(NoBackup):
        put(file, state)
    file.write_text("a letter to my aunt")
    with pytest.raises(NoBackup, match="cannot be read as a backup"):
        put(file, state)
    assert not list(state.glob("*.replaced-*"))


async def test_a_backup_that_was_merely_copied_into_place_begins_anew_too(tmp_path: Path):
    state, file = tmp_path / "state", tmp_path / "copy"
    async with open_database(state, limits=SMALL) as database:
        epoch = database.opened.epoch
        await append(database, [seal(FJORD)])
    copy(state, file)
    (state / FILE).write_bytes(file.read_bytes())
    async with open_database(state, limits=SMALL) as database:
        assert database.opened.epoch != epoch


async def test_a_plain_copy_of_the_file_can_be_restored_as_well(tmp_path: Path):
    state, file = tmp_path / "state", tmp_path / "copy"
    async with open_database(state, limits=SMALL) as database:
        await append(database, [seal(FJORD)])
    file.write_bytes((state / FILE).read_bytes())
    put(file, state)
    async with open_database(state, limits=SMALL) as database:
        reset = database.opened.reset
        assert reset is not None
        assert reset.reason == f"restored from a backup of {NOON.isoformat()}"
    file.with_name("copy-wal").write_bytes(b"x")
    with pytest.raises(NoBackup, match="roomd backup"):
        put(file, state)


async def test_of_many_that_were_replaced_the_newest_stay(tmp_path: Path):
    state, file = tmp_path / "state", tmp_path / "copy"
    async with open_database(state, limits=SMALL):
        pass
    copy(state, file)
    for hour in range(6):
        restore(file, state, at=NOON.replace(hour=hour), readable=readable)
    kept = sorted(path.name for path in state.glob("*.replaced-*"))
    assert [name.partition("T")[2][:2] for name in kept] == ["03", "04", "05"]
