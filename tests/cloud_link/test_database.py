"""One file, one writer: many jobs to a commit, and a way back from every damage."""

import asyncio
import contextlib
import gzip
import itertools
import json
import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from cloud_link import database as module
from cloud_link import inbox, outbox, replays
from cloud_link.calendars import kept as calendars
from cloud_link.database import (
    BALLAST,
    FILE,
    SCHEMA,
    AlreadyRunning,
    Connection,
    Database,
    DatabaseClosed,
    DiskRefuses,
    Limits,
    Opened,
    SchemaTooNew,
    open_database,
    open_to_read,
    reset_told,
)
from cloud_link.outbox import Posted
from tests.cloud_link.orders import ANSWERS_OF_FJORD, command, franked, refusal
from tests.cloud_link.stand import SMALL, append, seal, until

FJORD, LAKE = "rooms/fjord", "rooms/lake"
WRITTEN_BY_SCHEMA_2 = Path(__file__).parent / "files" / "schema-2.db.gz"
WRITTEN_BY_SCHEMA_3 = Path(__file__).parent / "files" / "schema-3.db.gz"
EPOCHS = (f"e{number}" for number in itertools.count(1))


def opened(directory: Path, limits: Limits = SMALL) -> contextlib.AbstractAsyncContextManager[Database]:
    return open_database(directory, limits=limits, new_epoch=lambda: next(EPOCHS))


async def fill(database: Database, count: int = 20) -> list[Posted]:
    return [one for _ in range(count) for one in await append(database, [seal(FJORD), seal(LAKE)])]


async def everything(database: Database) -> dict[str, list[Posted]]:
    def read(tx: Connection) -> dict[str, list[Posted]]:
        return {each: outbox.pending(tx, each, after=0, limit=10_000) for each in (FJORD, LAKE)}

    return await database.write(read)


@contextlib.contextmanager
def raw(directory: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(directory / FILE, isolation_level=None)) as connection:
        yield connection


def snapshot_of_a_crash(directory: Path, copy: Path) -> None:
    """What a power cut leaves: the files as they are, with nobody to close them."""
    copy.mkdir()
    for path in directory.iterdir():
        if path.is_file() and path.name != BALLAST:
            shutil.copy(path, copy / path.name)


# ── writing


async def test_the_file_is_set_up_as_the_rules_say(tmp_path: Path):
    async with opened(tmp_path) as database:

        def look(tx: Connection) -> list[object]:
            names = ("auto_vacuum", "journal_mode", "synchronous", "busy_timeout", "journal_size_limit")
            return [tx.execute(f"PRAGMA {name}").fetchone()[0] for name in (*names, "max_page_count")]

        assert await database.write(look) == [2, "wal", 2, 0, 8 * 1024 * 1024, 1024]

        def strict(tx: Connection) -> set[int]:
            return {
                row[5]
                for row in tx.execute("PRAGMA table_list")
                if row[0] == "main" and row[1][:7] != "sqlite_"
            }

        assert await database.write(strict) == {1}


async def test_jobs_that_wait_together_share_a_commit(tmp_path: Path):
    async with opened(tmp_path, Limits(ballast_bytes=0, gather_s=0.02)) as database:
        await append(database, [seal(FJORD)])
        before = database.commits
        await asyncio.gather(*(append(database, [seal(FJORD)]) for _ in range(200)))
        assert database.commits - before <= 2


async def test_a_job_that_raises_takes_nobody_with_it(tmp_path: Path):
    async with opened(tmp_path) as database:

        def bad(tx: Connection) -> None:
            outbox.append(tx, [seal(FJORD)], recorded=outbox.moment_now())
            raise KeyError("bad")

        def worse(tx: Connection) -> None:
            tx.execute("INSERT INTO meta VALUES ('epoch', 'twice')")

        jobs: list[asyncio.Future[object]] = []
        for _ in range(5):
            jobs += [append(database, [seal(FJORD)]), database.submit(bad), database.submit(worse)]  # type: ignore[list-item]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(each) for each in results[:3]] == [list, KeyError, sqlite3.IntegrityError]
        assert [one.envelope.number for one in (await everything(database))[FJORD]] == [1, 2, 3, 4, 5]


async def test_a_caller_who_stops_waiting_changes_nothing(tmp_path: Path):
    async with opened(tmp_path) as database:
        append(database, [seal(FJORD)]).cancel()
        await append(database, [seal(FJORD)])
        assert len((await everything(database))[FJORD]) == 2


async def test_a_close_writes_what_came_before_it_and_refuses_what_comes_after(tmp_path: Path):
    async with opened(tmp_path, Limits(ballast_bytes=0, gather_s=10.0)) as database:
        await append(database, [seal(FJORD)])
        last = append(database, [seal(FJORD)])
        patient = database.submit_with_next(lambda: lambda tx: 7, within_s=60.0)
    assert (await last)[0].envelope.number == 2
    assert await patient == 7
    with pytest.raises(DatabaseClosed):
        await append(database, [seal(FJORD)])
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(FILE)) == [FILE]


async def test_patient_jobs_cost_no_commit_of_their_own(tmp_path: Path):
    async with opened(tmp_path) as database:
        before = database.commits
        patient = database.submit_with_next(lambda: lambda tx: "ridden", within_s=60.0)
        await append(database, [seal(FJORD)])
        assert await patient == "ridden"
        assert database.commits == before + 1


async def test_epoch_and_counters_survive_a_restart(tmp_path: Path):
    async with opened(tmp_path) as database:
        epoch = database.opened.epoch
        await fill(database, 3)
        assert await database.write(outbox.next_connection) == 1
    async with opened(tmp_path) as database:
        assert database.opened.epoch == epoch
        assert database.opened.reset is None
        assert (await append(database, [seal(FJORD)]))[0].envelope.id == f"{epoch}-4"
        assert await database.write(outbox.next_connection) == 2


# ── alone


async def test_a_second_one_is_told_who_holds_the_directory(tmp_path: Path):
    async with opened(tmp_path):
        with pytest.raises(AlreadyRunning, match=rf"roomd\.lock .* process {os.getpid()}"):
            async with opened(tmp_path):
                pass
    async with opened(tmp_path):
        pass


async def test_readers_look_on_beside_the_daemon_and_without_it(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="has not run yet"), open_to_read(tmp_path):
        pass
    async with opened(tmp_path) as database:
        await fill(database, 3)
        with open_to_read(tmp_path) as tx:
            stats = outbox.stats(tx, now=outbox.moment_now())
            assert (stats.depth, stats.streams) == (6, 2)
            assert 0.0 < stats.used < 0.2
            assert len(outbox.peek(tx, stream=FJORD)) == 3
            with pytest.raises(sqlite3.OperationalError):
                tx.execute("DELETE FROM outbox")
        snapshot_of_a_crash(tmp_path, tmp_path / "crash")
    with open_to_read(tmp_path) as tx:
        assert outbox.stats(tx, now=outbox.moment_now()).depth == 6
    with open_to_read(tmp_path / "crash") as tx:
        assert outbox.stats(tx, now=outbox.moment_now()).depth == 6


# ── crashes and damage


async def test_files_copied_at_any_moment_open_without_loss(tmp_path: Path):
    async with opened(tmp_path / "a") as database:
        for turn in range(8):
            accepted = await fill(database, 5)
            snapshot_of_a_crash(tmp_path / "a", tmp_path / f"crash{turn}")
            async with opened(tmp_path / f"crash{turn}") as copy:
                assert copy.opened.reset is None
                assert (await everything(copy))[LAKE][-1] == accepted[-1]


async def test_a_newer_schema_is_refused_and_not_touched(tmp_path: Path):
    async with opened(tmp_path) as database:
        await fill(database, 2)
    with raw(tmp_path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(SchemaTooNew, match="schema 99"):
        async with opened(tmp_path):
            pass
    assert [path.name for path in tmp_path.glob("*corrupt*")] == []
    with raw(tmp_path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
    async with opened(tmp_path) as database:
        assert len((await everything(database))[FJORD]) == 2


def as_of_schema_1(directory: Path) -> None:
    """What the first version wrote: nothing of commands or calendars in it."""
    calendars = ("calendar_revocations", "calendar_watches", "calendar_links")
    with raw(directory) as connection:
        for table in ("inbox", "postage", "replays", *calendars):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 1")


def shape(directory: Path) -> set[tuple[str, str]]:
    with raw(directory) as connection:
        return set(connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))


async def test_a_file_of_the_first_schema_is_brought_up_with_all_that_is_in_it(tmp_path: Path):
    async with opened(tmp_path) as database:
        accepted = await fill(database, 20)
    new = shape(tmp_path)
    as_of_schema_1(tmp_path)
    assert shape(tmp_path) < new
    async with opened(tmp_path) as database:
        assert database.opened.reset is None
        assert (await everything(database))[LAKE] == accepted[1::2]
    assert shape(tmp_path) == new


async def test_a_file_of_the_first_schema_that_was_left_in_a_crash_is_brought_up(tmp_path: Path):
    async with opened(tmp_path / "a") as database:
        accepted = await fill(database, 20)
    as_of_schema_1(tmp_path / "a")
    with raw(tmp_path / "a") as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO snapshot VALUES ('fjord', x'01')")
        snapshot_of_a_crash(tmp_path / "a", tmp_path / "crash")
    async with opened(tmp_path / "crash") as database:
        assert database.opened.reset is None
        assert (await everything(database))[LAKE] == accepted[1::2]


async def test_a_file_that_the_second_schema_s_roomd_wrote_is_brought_up(tmp_path: Path):
    (tmp_path / FILE).write_bytes(gzip.decompress(WRITTEN_BY_SCHEMA_2.read_bytes()))
    async with opened(tmp_path) as database:
        assert database.opened == Opened(epoch="e2")
        found = await everything(database)
        assert [one.envelope.number for one in found[FJORD]] == list(range(11, 21))
        assert [one.envelope.number for one in found[LAKE]] == list(range(1, 21))
        assert [left.id for left in await database.write(inbox.unfinished)] == ["c1"]
        assert await database.write(replays.going) == []
        assert await database.write(outbox.next_connection) == 2
    async with opened(tmp_path / "new"):
        pass
    assert shape(tmp_path) == shape(tmp_path / "new")


async def test_a_file_that_the_third_schema_s_roomd_wrote_is_brought_up(tmp_path: Path):
    (tmp_path / FILE).write_bytes(gzip.decompress(WRITTEN_BY_SCHEMA_3.read_bytes()))
    async with opened(tmp_path) as database:
        assert database.opened == Opened(epoch="e3")
        found = await everything(database)
        assert [one.envelope.number for one in found[FJORD]] == list(range(11, 21))
        assert [left.id for left in await database.write(inbox.unfinished)] == ["c1"]
        kept = await database.write(calendars.read)
        assert not kept.revoked
        assert not any(kept.links.values())
        assert not any(kept.watches.values())
    async with opened(tmp_path / "new"):
        pass
    assert shape(tmp_path) == shape(tmp_path / "new")


async def test_a_damaged_file_of_the_first_schema_is_rescued(tmp_path: Path):
    await damaged(tmp_path)
    as_of_schema_1(tmp_path)
    with raw(tmp_path) as connection:
        root = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'outbox_by_stream'"
        ).fetchone()[0]
    with (tmp_path / FILE).open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    async with opened(tmp_path) as database:
        assert database.opened.reset is not None
        assert database.opened.reset.salvaged > 300
        assert await database.write(inbox.unfinished) == []


async def test_a_rescue_carries_commands_and_what_goes_along_with_their_answers(tmp_path: Path):
    async with opened(tmp_path) as database:
        await fill(database, 200)
        await database.write(lambda tx: inbox.keep(tx, command("c1"), recorded=outbox.moment_now()))
        await database.write(lambda tx: inbox.refuse(tx, refusal("c2"), recorded=outbox.moment_now()))
        waiting = await database.write(inbox.unfinished)
        (answer,) = await database.write(lambda tx: franked(tx, ANSWERS_OF_FJORD))
    path = tmp_path / FILE
    with raw(tmp_path) as connection:
        root = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'outbox_by_stream'"
        ).fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\x00" * 4096)
    async with opened(tmp_path) as database:
        assert database.opened.reset is not None
        assert await database.write(inbox.unfinished) == waiting
        assert await database.write(lambda tx: franked(tx, ANSWERS_OF_FJORD)) == [answer]
        repeated = await database.write(
            lambda tx: inbox.keep(tx, command("c1"), recorded=outbox.moment_now())
        )
        assert isinstance(repeated, inbox.Again)


async def damaged(directory: Path, count: int = 200) -> list[Posted]:
    async with opened(directory) as database:
        accepted = await fill(database, count)
        settled = {FJORD: next(one.place for one in accepted if one.envelope.number * 20 >= count)}
        await database.write(lambda tx: outbox.settle(tx, settled))
        await database.write(lambda tx: tx.execute("INSERT INTO snapshot VALUES ('fjord', x'0102')"))
        for _ in range(7):
            await database.write(outbox.next_connection)
    return accepted


@pytest.mark.parametrize(
    "harm", ["page in the middle", "index", "cut in half", "last page", "noise at random"]
)
async def test_a_damaged_file_gives_back_what_can_be_read(tmp_path: Path, harm: str):
    accepted = await damaged(tmp_path)
    path = tmp_path / FILE
    size = path.stat().st_size
    with raw(tmp_path) as connection:
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema"))
    with path.open("r+b") as file:
        match harm:
            case "page in the middle":
                file.seek(size // 4096 // 2 * 4096)
                file.write(b"\xff" * 4096)
            case "index":
                file.seek((roots["outbox_by_stream"] - 1) * 4096)
                file.write(os.urandom(4096))
            case "cut in half":
                file.truncate(size // 2)
            case "last page":
                file.truncate(size - 1000)
            case _:
                for place in range(8192, size, size // 7):
                    file.seek(place)
                    file.write(os.urandom(64))
    async with opened(tmp_path) as database:
        reset = database.opened.reset
        if reset is None:  # noise may fall where nothing is
            assert harm == "noise at random"
            return
        assert reset.previous_epoch is None or accepted[0].envelope.id.startswith(reset.previous_epoch)
        assert reset.quarantined is not None
        assert reset.quarantined.exists()
        assert reset.salvaged >= {"index": 390, "last page": 360, "page in the middle": 360}.get(harm, 0)
        found = await everything(database)
        by_place = {one.place: one for one in accepted}
        for one in [*found[FJORD], *found[LAKE]]:
            assert one == by_place[one.place]
        assert reset.salvaged == len(found[FJORD]) + len(found[LAKE])
        (fresh,) = await append(database, [seal(FJORD)])
        assert fresh.envelope.number == 1
        assert fresh.envelope.id == f"{database.opened.epoch}-1"
        assert fresh.place > accepted[-1].place or not found[LAKE]
        assert (await everything(database))[FJORD][-1] == fresh
        if reset.previous_epoch is not None:
            assert await database.write(outbox.next_connection) >= 8


async def test_salvaged_snapshots_and_settled_marks_stay(tmp_path: Path):
    accepted = await damaged(tmp_path)
    with raw(tmp_path) as connection:
        root = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'outbox_by_stream'"
        ).fetchone()[0]
    with (tmp_path / FILE).open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\x00" * 4096)
    async with opened(tmp_path) as database:
        assert database.opened.reset is not None
        assert database.opened.reset.snapshots == 1
        assert database.opened.reset.salvaged == 390
        assert (await everything(database))[FJORD][0].place > accepted[19].place
        snapshot = await database.write(lambda tx: tx.execute("SELECT room, body FROM snapshot").fetchone())
        assert snapshot == ("fjord", b"\x01\x02")
        assert await database.write(outbox.next_connection) == 8


@pytest.mark.parametrize(
    "content", [b"", b"not a database, " * 1000, b"SQLite format 3\x00" + b"\x01" * 5000]
)
async def test_what_is_no_database_is_set_aside(tmp_path: Path, content: bytes):
    await damaged(tmp_path, 2)
    async with opened(tmp_path):  # as if it had crashed
        snapshot_of_a_crash(tmp_path, tmp_path / "crash")
    (tmp_path / "crash" / FILE).write_bytes(content)
    (tmp_path / "crash" / f"{FILE}-wal").write_bytes(b"")
    async with opened(tmp_path / "crash") as database:
        assert database.opened.reset is not None
        await append(database, [seal(FJORD)])
        assert await database.write(outbox.next_connection) > 1_700_000_000  # above whatever was told before


async def test_a_lost_write_ahead_log_is_noticed(tmp_path: Path):
    async with opened(tmp_path / "a") as database:
        await fill(database, 5)
        await database.write(lambda tx: None)
        snapshot_of_a_crash(tmp_path / "a", tmp_path / "crash")
    (tmp_path / "crash" / f"{FILE}-wal").unlink()
    async with opened(tmp_path / "crash") as copy:
        assert copy.opened.reset is not None
        assert "write-ahead log" in copy.opened.reset.reason
        assert copy.opened.epoch != database.opened.epoch


async def test_of_many_quarantined_files_the_newest_stay(tmp_path: Path):
    for _ in range(5):
        async with opened(tmp_path):
            pass
        (tmp_path / FILE).write_bytes(b"x" * 8192)
    async with opened(tmp_path) as database:
        assert database.opened.reset is not None
        kept = [path for path in tmp_path.glob("*.corrupt-*") if not path.name.endswith(("-wal", "-shm"))]
        assert len(kept) == module.KEPT_ASIDE_AT_MOST
        assert database.opened.reset.quarantined in kept


# ── no room


async def test_a_full_budget_waits_and_lets_through_who_makes_room(tmp_path: Path):
    with structlog.testing.capture_logs() as logs:
        async with opened(
            tmp_path, Limits(budget_bytes=512 * 1024, ballast_bytes=65536, gather_s=0.0)
        ) as database:
            waiting = [append(database, [seal(FJORD, body="x" * 4000)]) for _ in range(200)]
            await until(lambda: database.trouble is not None)
            assert (tmp_path / BALLAST).exists()  # it would not help
            assert not waiting[-1].done()
            while not waiting[-1].done():
                await database.write(
                    lambda tx: tx.execute(
                        "DELETE FROM outbox WHERE place IN (SELECT place FROM outbox ORDER BY place LIMIT 20)"
                    ),
                    ahead=True,
                )
                await asyncio.sleep(0.01)
            assert [(await one)[0].envelope.number for one in waiting] == list(range(1, 201))
            assert database.trouble is None
    assert [each["event"] for each in logs if each["log_level"] == "error"].count("database.stuck") >= 1
    assert [each["event"] for each in logs][-1] == "database.recovered"


@contextlib.contextmanager
def small_disk(directory: Path, kilobytes: int) -> Iterator[Path]:
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(directory)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("may not mount a tmpfs here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@pytest.mark.slow
async def test_a_full_disk_spends_the_ballast_then_waits_and_loses_nothing(tmp_path: Path):
    with small_disk(tmp_path / "disk", 2048) as disk, structlog.testing.capture_logs() as logs:
        async with opened(disk, Limits(ballast_bytes=512 * 1024, gather_s=0.0)) as database:
            await fill(database, 2)
            filler = disk / "somebody-elses"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            waiting = [append(database, [seal(FJORD, body="x" * 3000)]) for _ in range(300)]
            await until(lambda: not (disk / BALLAST).exists())
            await until(lambda: database.trouble is not None and not waiting[-1].done())
            filler.unlink()
            assert [(await one)[0].envelope.number for one in waiting] == list(range(3, 303))
    assert [each["event"] for each in logs if each["log_level"] == "error"][:2] == [
        "database.stuck",
        "database.ballast_spent",
    ]


def fill_up(disk: Path) -> Path:
    filler = disk / "somebody-elses"
    for size in (4096, 1):
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(b"x" * size)
    return filler


@pytest.mark.slow
async def test_a_full_disk_at_start_is_opened_with_the_ballast_s_room_or_refused_in_words(tmp_path: Path):
    with small_disk(tmp_path / "disk", 2048) as disk, structlog.testing.capture_logs() as logs:
        limits = Limits(ballast_bytes=512 * 1024, gather_s=0.0)
        async with opened(disk, limits) as database:
            await fill(database, 2)
        filler = fill_up(disk)
        async with opened(disk, limits) as database:
            await fill(database, 2)
        assert [each["event"] for each in logs] == ["database.ballast_spent"]
        assert not (disk / BALLAST).exists()
        fill_up(disk)
        with pytest.raises(DiskRefuses, match=r"roomd\.db cannot be opened: .*full"):
            async with opened(disk, limits):
                pass
        filler.unlink()
        async with opened(disk, limits) as database:
            assert (await database.write(outbox.heads))[0].pending == 4


async def test_an_io_error_is_waited_for(tmp_path: Path):
    async with opened(tmp_path) as database:
        await fill(database, 2)
        written = max(path.stat().st_size for path in tmp_path.glob(f"{FILE}*"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (written, hard))  # the kernel refuses to let a file grow
        try:
            waiting = [append(database, [seal(FJORD, body="x" * 3000)]) for _ in range(20)]
            await until(lambda: database.trouble is not None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [(await one)[0].envelope.number for one in waiting] == list(range(3, 23))


async def test_a_close_on_a_stuck_disk_ends_and_says_what_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "STUCK_AT_CLOSE_S", 0.1)
    async with opened(tmp_path, Limits(budget_bytes=256 * 1024, ballast_bytes=0, gather_s=0.0)) as database:
        waiting = append(database, [seal(FJORD, body="x" * 4000) for _ in range(200)])
        await until(lambda: database.trouble is not None)
    with pytest.raises(DatabaseClosed, match="before the close"):
        await waiting


async def test_damage_while_it_runs_ends_it_for_everybody(tmp_path: Path):
    async with opened(tmp_path) as database:
        await fill(database, 400)
        await database.write(lambda tx: tx.execute("PRAGMA cache_size = 1"))

        def shrink(tx: Connection) -> None:
            tx.execute("SELECT count(*) FROM outbox").fetchone()

        await database.write(lambda tx: None)
        with raw(tmp_path) as other:
            other.execute("PRAGMA wal_checkpoint(PASSIVE)")
        size = (tmp_path / FILE).stat().st_size
        with (tmp_path / FILE).open("r+b") as file:
            file.seek(4096 * 3)
            file.write(b"\xff" * (size - 4096 * 3))
        os.truncate(tmp_path / f"{FILE}-wal", 0)
        with contextlib.suppress(sqlite3.DatabaseError, module.DatabaseError):
            for _ in range(50):
                await append(database, [seal(FJORD)])
                await database.write(shrink)
    async with opened(tmp_path) as database:
        assert database.opened.reset is not None


async def damaged_index(directory: Path) -> None:
    """A file whose index is gone and whose rows can all be read."""
    await damaged(directory)
    with raw(directory) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'outbox_by_stream'"
        ).fetchone()
    with (directory / FILE).open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\x00" * 4096)


@pytest.mark.parametrize("reached", ["noted", "set aside", "half carried over"])
async def test_a_rescue_that_a_crash_cut_short_is_begun_anew(tmp_path: Path, reached: str):
    await damaged_index(tmp_path)
    quarantined = tmp_path / f"{FILE}.corrupt-now"
    (tmp_path / f"{FILE}.rescue").write_text(
        json.dumps({"quarantined": quarantined.name, "reason": "quick_check"}), encoding="utf-8"
    )
    if reached != "noted":
        (tmp_path / FILE).rename(quarantined)
    if reached == "half carried over":
        with raw(tmp_path) as connection:
            connection.execute("CREATE TABLE half (done)")
    async with opened(tmp_path) as database:
        assert database.opened.reset is not None
        assert database.opened.reset.salvaged == 390
        assert database.opened.reset.reason == "quick_check"
    assert not (tmp_path / f"{FILE}.rescue").exists()
    assert quarantined.exists()


async def test_a_rescue_is_remembered_until_the_cloud_will_be_told_of_it(tmp_path: Path):
    await damaged_index(tmp_path)
    async with opened(tmp_path) as database:
        reset = database.opened.reset
    async with opened(tmp_path) as database:
        assert database.opened.reset == reset
        await database.write(reset_told)
    async with opened(tmp_path) as database:
        assert database.opened.reset is None


async def test_a_file_that_was_emptied_is_a_damaged_one(tmp_path: Path):
    await damaged(tmp_path)
    (tmp_path / FILE).write_bytes(b"")
    async with opened(tmp_path) as database:
        assert database.opened.reset is not None
