"""Hours of rooms are kept for four hundred days, whole, small, and without anybody's name."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from agent import hours, trends
from agent.core.model import Counted, HourTally, RoomId
from agent.trending import Trending
from tests.agent.trends_made import make

FJORD, DEN, NEW = RoomId("fjord"), RoomId("den"), RoomId("new")
MONDAY = date(2026, 3, 2)
LONG_S = 30.0
QUIET = Counted()
BUSY = Counted(booked_s=3000.4, attended_s=2400, in_use_s=2500, people_min=240, counted_s=2400, people_peak=7)
NOT_KNOWN = Counted(unknown_s=3600)


def tally(
    day: date, hour: int, counted: Counted = QUIET, room: RoomId = FJORD, *, fold: int = 0
) -> HourTally:
    starts_at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC) + timedelta(hours=fold)
    return HourTally(room=room, starts_at=starts_at, day=day, hour=hour, length_s=3600, counted=counted)


def whole_day(day: date, busy: Sequence[int] = (), room: RoomId = FJORD) -> list[HourTally]:
    return [tally(day, hour, BUSY if hour in busy else QUIET, room) for hour in range(24)]


def keep(directory: Path, *tallies: HourTally) -> None:
    with closing(trends.open_to_write(directory)) as file, trends.writing(file) as tx:
        trends.save(tx, tallies)
        trends.tidy(tx, today=tallies[-1].day)


def read(directory: Path, days: int = 1, since: date = MONDAY, **more: object) -> hours.Hours:
    return hours.read(directory, since=since, until=since + timedelta(days=days), **more)  # type: ignore[arg-type]


def lines(found: hours.Hours) -> set[tuple[object, ...]]:
    """Room, day and hour of each, with all that is not 0 of it."""
    return {
        (
            found.rooms[found.room[line]],
            int(found.day[line]),
            int(found.hour[line]),
            *((name, int(column[line])) for name, column in found.columns.items() if column[line]),
        )
        for line in range(len(found.room))
    }


def test_what_was_kept_is_read(tmp_path: Path):
    keep(tmp_path, *whole_day(MONDAY, busy=[9]), *whole_day(MONDAY, room=DEN))
    found = read(tmp_path)
    busy = ("booked_s", 3000), ("attended_s", 2400), ("in_use_s", 2500)
    people = ("people_min", 240), ("counted_s", 2400), ("people_peak", 7)
    assert lines(found) == {(FJORD, 0, 9, *busy, *people)}
    assert found.rooms == (DEN, FJORD)
    assert found.lengths_s.tolist() == [[3600] * 24]


def test_an_hour_that_is_told_again_is_written_over_with_the_same(tmp_path: Path):
    day = whole_day(MONDAY, busy=[9])
    keep(tmp_path, *day)
    keep(tmp_path, *day)
    assert read(tmp_path)["booked_s"].tolist() == [3000]


def test_an_hour_that_is_lived_twice_counts_as_the_one_that_was_watched_for_longer(tmp_path: Path):
    keep(tmp_path, tally(MONDAY, 9, BUSY))
    keep(tmp_path, tally(MONDAY, 9, Counted(unknown_s=3000, unwatched_s=3000)))
    assert read(tmp_path)["booked_s"].tolist() == [3000]
    keep(tmp_path, tally(MONDAY, 9, Counted(booked_s=3600)))
    assert read(tmp_path)["booked_s"].tolist() == [3600]


def test_packed_days_say_what_they_said_before(tmp_path: Path):
    days = [MONDAY + timedelta(days=n) for n in range(3)]
    for day in days:
        keep(tmp_path, *whole_day(day, busy=[8, day.day]), *whole_day(day, busy=[10], room=DEN))
    before = lines(read(tmp_path, days=3))
    assert len(before) == 9
    for n in range(3, 6):
        keep(tmp_path, *whole_day(MONDAY + timedelta(days=n)))
    with closing(trends.open_to_read(tmp_path)) as file:
        assert file.execute("SELECT count(DISTINCT day) FROM days").fetchone() == (3,)
        assert file.execute("SELECT count(DISTINCT day) FROM hours").fetchone() == (3,)
    assert lines(read(tmp_path, days=3)) == before


def test_the_doubled_hour_of_autumn_is_one_of_two_hours(tmp_path: Path):
    sunday = date(2026, 10, 25)
    keep(tmp_path, tally(sunday, 2, BUSY), tally(sunday, 2, BUSY, fold=1), tally(sunday, 3, fold=1))
    found = read(tmp_path, since=sunday)
    assert found.lengths_s[0, 1:5].tolist() == [0, 7200, 3600, 0]
    assert (found["booked_s"].tolist(), found["people_peak"].tolist()) == ([6000], [7])


def test_hours_that_a_room_missed_are_unknown_and_not_quiet(tmp_path: Path):
    keep(tmp_path, *whole_day(MONDAY), *whole_day(MONDAY, room=DEN)[12:])
    found = read(tmp_path)
    assert {found.rooms[room] for room in found.room} == {DEN}
    assert found.hour.tolist() == list(range(12))
    assert found["unwatched_s"].tolist() == found["unknown_s"].tolist() == [3600] * 12


def test_hours_that_nobody_wrote_are_unknown_and_not_left_out(tmp_path: Path):
    day = whole_day(MONDAY)
    keep(tmp_path, *day[6:10], *day[13:])
    loose = lines(read(tmp_path))
    assert loose == {(FJORD, 0, hour, ("unknown_s", 3600), ("unwatched_s", 3600)) for hour in (10, 11, 12)}
    assert read(tmp_path).lengths_s.tolist() == [[0] * 6 + [3600] * 18]
    for n in range(1, 4):
        keep(tmp_path, *whole_day(MONDAY + timedelta(days=n)))
    with closing(trends.open_to_read(tmp_path)) as file:
        assert file.execute("SELECT count(DISTINCT day) FROM days").fetchone() == (1,)
    assert lines(read(tmp_path)) == loose


def test_days_that_a_room_missed_are_unknown_after_its_first(tmp_path: Path):
    tuesday, thursday = MONDAY + timedelta(days=1), MONDAY + timedelta(days=3)
    keep(
        tmp_path, *whole_day(MONDAY), *whole_day(tuesday), *whole_day(tuesday, room=DEN), *whole_day(thursday)
    )
    found = read(tmp_path, days=7, rooms=[FJORD, DEN, NEW])
    assert found.first_day.tolist() == [0, 1, 7]
    assert found.recorded_days == 4
    assert found.lengths_s.sum(axis=1, dtype=int).tolist() == [86400, 86400, 86400, 86400, 0, 0, 0]
    missed = {(found.rooms[room], int(day)) for room, day in zip(found.room, found.day, strict=True)}
    assert missed == {(FJORD, 2), (DEN, 2), (DEN, 3)}
    assert found["unknown_s"].sum(dtype=int) == 3 * 86400


def test_only_what_was_asked_for_is_read(tmp_path: Path):
    keep(tmp_path, *whole_day(MONDAY, busy=[9]), *whole_day(MONDAY, busy=[10], room=DEN))
    found = read(tmp_path, rooms=[DEN], names=("ghosts", "booked_s"))
    assert (found.rooms, found.hour.tolist(), set(found.columns)) == ((DEN,), [10], {"ghosts", "booked_s"})
    nothing = read(tmp_path, days=5, since=MONDAY - timedelta(days=9))
    assert (len(nothing.room), nothing.recorded_days) == (0, 0)
    assert len(read(tmp_path, days=0).room) == 0


def test_a_file_holds_four_hundred_days(tmp_path: Path):
    make(tmp_path, rooms=2, days=trends.KEEP_DAYS + 20, first=MONDAY)
    newest = MONDAY + timedelta(days=trends.KEEP_DAYS + 20)
    for n in range(4):
        keep(tmp_path, *whole_day(newest + timedelta(days=n)))
    with closing(trends.open_to_read(tmp_path)) as file:
        kept = file.execute("SELECT day FROM days UNION SELECT day FROM hours ORDER BY day").fetchall()
    assert len(kept) == trends.KEEP_DAYS
    assert kept[-1] == ((newest + timedelta(days=3)).toordinal(),)


def test_a_clock_that_was_wrong_for_an_hour_costs_no_year(tmp_path: Path):
    make(tmp_path, rooms=2, days=30, first=MONDAY)
    days = [MONDAY + timedelta(days=30 + n) for n in range(4)]
    keep(tmp_path, *(tally(days[0], hour, BUSY) for hour in range(9)))
    keep(tmp_path, tally(date(2106, 2, 7), 6), tally(date(1970, 1, 1), 0))
    keep(tmp_path, *(tally(days[0], hour, BUSY) for hour in range(9, 24)))
    for day in days[1:]:
        keep(tmp_path, *whole_day(day))
    found = read(tmp_path, days=34, rooms=[FJORD])
    assert found["booked_s"].sum(dtype=int) == 24 * 3000
    assert read(tmp_path, days=34).recorded_days == 34


def test_a_clock_that_was_ahead_for_days_costs_none_of_those_that_follow(tmp_path: Path):
    days = [MONDAY + timedelta(days=n) for n in range(16)]
    for day in days[8:14]:  # it was eight days ahead, and nobody was there
        keep(tmp_path, *whole_day(day)[6:])
    for day in days:
        keep(tmp_path, *whole_day(day, busy=[9])[:10])
        keep(tmp_path, *whole_day(day, busy=[10])[10:])
    assert read(tmp_path, days=16)["booked_s"].tolist() == [3000] * 32


def test_nothing_in_the_file_says_who_or_what_about():
    names = {field.name for field in fields(Counted)}
    assert not [
        name for name in names if any(word in name for word in ("title", "organizer", "name", "booking_id"))
    ]
    assert all(type(getattr(QUIET, name)) in {int, float} for name in names)


def test_a_count_that_is_larger_than_its_place_is_the_most_that_fits(tmp_path: Path):
    keep(tmp_path, tally(MONDAY, 9, Counted(people_min=1e6)))
    assert read(tmp_path)["people_min"].tolist() == [trends.MOST]


def test_a_year_of_a_site_is_read_as_it_was_made(tmp_path: Path):
    rooms = make(tmp_path, rooms=7, days=30, first=MONDAY)
    found = read(tmp_path, days=30)
    assert (found.rooms, found.recorded_days) == (rooms, 30)
    assert found["ghosts"].sum(dtype=int) > 0
    assert np.all(found["attended_s"] <= found["booked_s"])
    some = read(tmp_path, days=30, rooms=[rooms[3]])
    assert some["booked_s"].sum(dtype=int) == found["booked_s"][found.room == 3].sum(dtype=int)


# ── damage, and what else fails ───────────────────────────────────────────────────────────────────


async def test_what_is_told_is_on_disk_when_it_was_kept(tmp_path: Path):
    trending = Trending(tmp_path, waits_s=LONG_S)
    await trending.keep(whole_day(MONDAY, busy=[9]))
    await trending.close()
    assert read(tmp_path)["booked_s"].tolist() == [3000]
    vitals = trending.vitals
    assert (vitals.written, vitals.waiting, vitals.failures, vitals.lost) == (24, 0, 0, 0)
    assert vitals.bytes > 0


async def written(trending: Trending, count: int) -> None:
    """Wait until so many hours are."""
    async with asyncio.timeout(LONG_S):
        while trending.vitals.written < count:  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.001)


async def test_hours_wait_for_a_disk_that_cannot_be_written_and_are_written_when_it_can_be(tmp_path: Path):
    directory = tmp_path / "state"
    trending = Trending(directory, waits_s=LONG_S, again_every_s=0.001)
    await trending.keep(whole_day(MONDAY, busy=[9]))
    assert (trending.vitals.waiting, trending.vitals.failures > 0) == (24, True)
    directory.mkdir()
    await written(trending, 24)  # without another hour to be told
    await trending.keep([tally(MONDAY + timedelta(days=1), 0, BUSY)])
    assert read(directory, days=2)["booked_s"].tolist() == [3000, 3000]
    assert (trending.vitals.waiting, trending.vitals.written) == (0, 25)


async def test_what_waits_at_the_end_is_written_or_said_to_be_lost(tmp_path: Path):
    for directory, lost in ((tmp_path / "state", 0), (tmp_path / "gone", 24)):
        trending = Trending(directory, waits_s=LONG_S, again_every_s=LONG_S)
        await trending.keep(whole_day(MONDAY))
        if not lost:
            directory.mkdir()
        with capture_logs() as logs:
            await trending.close()
        assert (trending.vitals.lost, trending.vitals.written) == (lost, 24 - lost)
        assert [each["hours"] for each in logs if each["event"] == "trends.lost"] == ([lost] if lost else [])


async def test_a_report_that_reads_for_long_keeps_no_fact_waiting(tmp_path: Path):
    keep(tmp_path, *whole_day(MONDAY))
    trending = Trending(tmp_path, waits_s=0.01)
    with closing(trends.open_to_read(tmp_path)) as file:
        file.execute("BEGIN")
        assert file.execute("SELECT count(*) FROM hours").fetchone() == (24,)
        await trending.keep([tally(MONDAY + timedelta(days=1), 0, BUSY)])  # comes back all the same
        await trending.keep([tally(MONDAY + timedelta(days=1), 1, BUSY)])
        assert trending.vitals.waiting == 2
        file.execute("COMMIT")
    await written(trending, 2)  # also what was told while the first was being written
    assert (trending.vitals.waiting, trending.vitals.failures) == (0, 0)


@pytest.mark.parametrize("harm", ["noise", "half", "middle", "rot"])
async def test_a_damaged_file_is_set_aside_and_what_can_be_read_is_saved(tmp_path: Path, harm: str):
    make(tmp_path, rooms=30, days=60, first=MONDAY)
    path = tmp_path / trends.FILE
    body = bytearray(path.read_bytes())
    half = len(body) // 2
    if harm == "noise":
        body[:] = b"\x5a" * len(body)
    elif harm == "half":
        del body[half:]
    elif harm == "middle":
        body[half : half + 3 * 4096] = b"\x5a" * (3 * 4096)
    else:
        body[4096:8192] = b"\xff" * 4096
    path.write_bytes(body)
    trending = Trending(tmp_path, waits_s=LONG_S)
    newest = MONDAY + timedelta(days=60)
    for n in range(4):
        await trending.keep(whole_day(newest + timedelta(days=n), busy=[9]))
    assert (trending.vitals.waiting, trending.vitals.lost) == (0, 0)
    found = read(tmp_path, days=64)
    assert found["booked_s"][found.day >= 60].sum(dtype=int) == 4 * 3000
    with closing(trends.open_to_read(tmp_path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (days,) = file.execute("SELECT count(DISTINCT day) FROM days").fetchone()
    assert days >= {"noise": 1, "half": 1, "middle": 30, "rot": 30}[harm]
    assert harm in {"noise", "half"} or {RoomId("room-0001"), RoomId("room-0030")} <= set(found.rooms)


async def test_a_damaged_file_stays_in_its_place_until_all_of_it_is_saved(tmp_path: Path):
    make(tmp_path, rooms=30, days=30, first=MONDAY)
    with (tmp_path / trends.FILE).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    before = (tmp_path / trends.FILE).read_bytes()
    in_the_way = tmp_path / f"{trends.FILE}.new"
    in_the_way.mkdir()  # as a disk that is full would be
    trending = Trending(tmp_path, waits_s=LONG_S, again_every_s=0.001)
    newest = MONDAY + timedelta(days=30)
    for n in range(4):
        await trending.keep(whole_day(newest + timedelta(days=n), busy=[9]))
    assert trending.vitals.failures > 0
    assert (tmp_path / trends.FILE).read_bytes() == before
    in_the_way.rmdir()
    await written(trending, 4 * 24)
    found = read(tmp_path, days=34)
    assert (found["booked_s"][found.day >= 30].sum(dtype=int), len(found.rooms)) == (4 * 3000, 31)
    (kept,) = tmp_path.glob(f"{trends.FILE}.corrupt-*")
    assert kept.read_bytes() == before


async def test_a_file_of_a_newer_roomd_is_left_as_it_is(tmp_path: Path):
    keep(tmp_path, *whole_day(MONDAY))
    with closing(sqlite3.connect(tmp_path / trends.FILE)) as file:
        file.execute(f"PRAGMA user_version = {trends.SCHEMA + 1}")
    before = (tmp_path / trends.FILE).read_bytes()
    trending = Trending(tmp_path, waits_s=LONG_S)
    await trending.keep(whole_day(MONDAY + timedelta(days=1)))
    assert trending.vitals.failures == 1
    assert (tmp_path / trends.FILE).read_bytes() == before


def test_a_backup_is_put_back_and_what_was_there_is_kept(tmp_path: Path):
    state, file = tmp_path / "state", tmp_path / "backup.trends"
    state.mkdir()
    assert trends.back_up(state, file) is None
    make(state, rooms=3, days=10, first=MONDAY)
    keep(state, *whole_day(MONDAY + timedelta(days=10), busy=[9]))
    before = lines(read(state, days=11))
    assert trends.back_up(state, file) == 11
    assert file.stat().st_mode & 0o777 == 0o600
    keep(state, *whole_day(MONDAY + timedelta(days=11)))
    assert trends.restore(file, state) == 11
    assert lines(read(state, days=11)) == before
    assert trends.look(state / "trends.db.replaced") == 12
    assert sorted(path.name for path in state.iterdir()) == ["trends.db", "trends.db.replaced"]


def test_a_write_that_a_crash_cut_short_keeps_nobody_from_reading(tmp_path: Path):
    state, killed = tmp_path / "state", tmp_path / "killed"
    state.mkdir()
    killed.mkdir()
    make(state, rooms=50, days=10, first=MONDAY)
    with closing(trends.open_to_write(state)) as file:
        file.execute("PRAGMA cache_size = 2")  # pages: the rest goes to disk before the end
        file.execute("BEGIN IMMEDIATE")
        trends.save(file, [each for n in range(50) for each in whole_day(MONDAY, room=RoomId(f"r-{n}"))])
        for path in state.iterdir():
            shutil.copy(path, killed)
    assert sorted(path.name for path in killed.iterdir()) == ["trends.db", "trends.db-journal"]
    assert trends.back_up(killed, tmp_path / "backup.trends") == 10
    assert lines(read(killed, days=10)) == lines(read(state, days=10))


def test_a_backup_that_is_damaged_is_not_put_back(tmp_path: Path):
    keep(tmp_path, *whole_day(MONDAY, busy=[9]))
    file = tmp_path / "backup.trends"
    for body in (b"", b"\x5a" * 9000, (tmp_path / trends.FILE).read_bytes()[:5000]):
        file.write_bytes(body)
        with pytest.raises(sqlite3.DatabaseError):
            trends.restore(file, tmp_path)
    assert read(tmp_path)["booked_s"].tolist() == [3000]


def test_the_next_life_knows_when_the_last_one_was_alive(tmp_path: Path):
    async def live() -> datetime | None:
        trending = Trending(tmp_path, waits_s=LONG_S)
        last = trending.begin()
        await trending.close()
        return last

    assert asyncio.run(live()) is None
    assert read(tmp_path).recorded_days == 0  # the file is there from the start
    last = asyncio.run(live())
    assert last is not None
    assert last <= datetime.now(UTC)
    (tmp_path / "roomd.alive").write_bytes(b"\x00" * 25)
    assert asyncio.run(live()) is None


def test_the_daemon_does_not_pay_for_the_libraries_of_reports():
    script = "import agent.daemon, sys; print(sorted({'numpy', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
