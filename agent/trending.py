"""Hands the hours of rooms to their file, on a road of its own: no fact waits for what fails there."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from agent import trends
from agent.core.model import HourTally

log = structlog.get_logger()

WAITS_S: Final = 0.25  # the road of the facts, so that an hour is on disk before what tells that it was told
WAITING_AT_MOST: Final = 50_000  # hours that could not be written yet: two days of a thousand rooms
AGAIN_EVERY_S: Final = 60.0  # while the file cannot be written
LAST_WAIT_S: Final = 2.0  # at the end, for what waits
ALIVE: Final = "roomd.alive"  # in the state directory: when this life was last seen alive
BEATS_EVERY_S: Final = 60.0
DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How the file does."""

    written: int  # hours
    waiting: int  # that could not be written yet
    lost: int
    failures: int  # of writing
    bytes: int  # of the file; 0 while there is none


class Trending:
    """Writes hours when they are told; those that could not be written are tried again every minute."""

    def __init__(
        self, directory: Path, *, waits_s: float = WAITS_S, again_every_s: float = AGAIN_EVERY_S
    ) -> None:
        self._directory = directory
        self._waits_s = waits_s
        self._again_every_s = again_every_s
        self._waiting: deque[HourTally] = deque()
        self._job: asyncio.Future[None] | None = None
        self._again: asyncio.TimerHandle | None = None
        self._late = False  # the job has been waited for, and is not done
        self._failing = False
        self._written = self._lost = self._failures = 0
        self._ends = threading.Event()
        self._beating: threading.Thread | None = None

    def begin(self) -> datetime | None:
        """Have the file ready, and leave signs of life from now on.

        Returns the last of the life before; None if it left none.
        """
        path = self._directory / ALIVE
        last = _last_sign(path)
        beat = partial(_beat, path, self._ends, self._directory)
        self._beating = threading.Thread(target=beat, name="alive", daemon=True)
        self._beating.start()
        return last

    @property
    def vitals(self) -> Vitals:
        """As they are now."""
        try:
            size = (self._directory / trends.FILE).stat().st_size
        except OSError:
            size = 0
        return Vitals(
            written=self._written,
            waiting=len(self._waiting),
            lost=self._lost,
            failures=self._failures,
            bytes=size,
        )

    async def keep(self, hours: Sequence[HourTally]) -> None:
        """Have these on disk, if that can be done at once; else later. Raises nothing."""
        fit = max(0, WAITING_AT_MOST - len(self._waiting)) if self._waiting else len(hours)
        self._waiting += hours[:fit]
        if len(hours) > fit:
            self._lose(len(hours) - fit, why=f"{WAITING_AT_MOST} hours wait already")
        if self._job is None and not self._failing and self._waiting:
            self._begin()
        if self._job is not None and not self._late:  # once: a disk that is stuck delays one record
            _, running = await asyncio.wait((self._job,), timeout=self._waits_s)
            self._late = bool(running)

    async def close(self) -> None:
        """Write what waits, but not for ever; leave a last sign of life."""
        self._ends.set()
        if self._again is not None:
            self._again.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WAIT_S):
                await self._write_all()
        if self._waiting:
            self._lose(len(self._waiting), why="they could not be written before the end")
        if self._beating is not None:
            await asyncio.to_thread(self._beating.join, LAST_WAIT_S)

    async def _write_all(self) -> None:
        """As far as the disk takes it: what failed before is tried once more, and no oftener."""
        if self._failing and self._job is None and self._waiting:
            self._begin()
        while self._job is not None:
            await asyncio.wait((self._job,))

    def _lose(self, count: int, *, why: str) -> None:
        if self._lost == 0:
            log.error(
                "trends.lost",
                path=str(self._directory / trends.FILE),
                hours=count,
                why=why,
                consequence="reports do not tell of these hours",
                mend="see what trends.not_written said, or that the disk is sound",
            )
        self._lost += count

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._again, self._late = None, False
        hours = tuple(self._waiting)
        self._job = job = loop.create_future()

        def end(error: Exception | None) -> None:
            self._job = None
            self._ended(len(hours), error)
            job.set_result(None)

        def work() -> None:
            error: Exception | None = None
            try:
                _write(self._directory, hours)
            except Exception as caught:  # noqa: BLE001 - trends are the least of what a room is there for
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(end, error)

        # A disk that is stuck holds the thread: it must not keep the process from its end.
        threading.Thread(target=work, name="trends", daemon=True).start()

    def _ended(self, count: int, error: Exception | None) -> None:
        if error is None:
            for _ in range(count):
                self._waiting.popleft()
            self._written += count
            if self._failing:
                log.info("trends.recovered", waiting=len(self._waiting))
            self._failing = False
            if self._waiting:  # told while these were written
                self._begin()
            return
        self._failures += 1
        if not self._failing:
            log.error(
                "trends.not_written",
                path=str(self._directory / trends.FILE),
                why=str(error),
                consequence="hours wait in memory; facts are not touched by it",
                mend=_mend(error),
            )
        self._failing = True
        if not self._ends.is_set():
            loop = asyncio.get_running_loop()
            self._again = loop.call_later(self._again_every_s, self._begin)


def _beat(path: Path, ends: threading.Event, directory: Path) -> None:
    """Without a sync: an older sign, or none, after a cut of power says less than is true, and no more."""
    # What a crash cut short is undone by who may write; until then others could not read the file.
    with contextlib.suppress(sqlite3.Error, trends.MadeByNewer):  # the first hour says so
        trends.open_to_write(directory).close()
    over = False
    while not over:
        over = ends.wait(BEATS_EVERY_S)
        new = path.with_name(f"{path.name}.new")
        with contextlib.suppress(OSError):
            new.write_text(datetime.now(UTC).isoformat(timespec="seconds"), encoding="ascii")
            new.replace(path)


def _last_sign(path: Path) -> datetime | None:
    try:
        sign = datetime.fromisoformat(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return sign if sign.tzinfo is not None else None


def _mend(error: Exception) -> str:
    if isinstance(error, trends.MadeByNewer):
        return "go back to the newer roomd, or move the file away to begin a new one"
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
        return "end what keeps the file open: a report that hangs, or a program that copies it"
    if isinstance(error, sqlite3.OperationalError | OSError):
        return "make room on the disk of the state directory, and see that roomd may write there"
    return "report this with what roomd support collects"


def _write(directory: Path, hours: Sequence[HourTally]) -> None:
    try:
        _save(directory, hours)
    except sqlite3.DatabaseError as error:
        if (error.sqlite_errorcode & 0xFF) not in DAMAGE:
            raise
        aside, saved = trends.rescue(directory, now=datetime.now(UTC))
        log.error(
            "trends.damaged",
            why=str(error),
            kept_as=str(aside),
            days_saved=saved,
            mend="what could be read is in the new file; see that the disk is sound",
        )
        _save(directory, hours)


def _save(directory: Path, hours: Sequence[HourTally]) -> None:
    with closing(trends.open_to_write(directory)) as file, trends.writing(file) as tx:
        trends.save(tx, hours)
        trends.tidy(tx, today=hours[-1].day)
