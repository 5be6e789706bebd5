"""Owns the one SQLite file: a thread that commits together what waits, and a way back from every damage."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import queue
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from zlib import crc32

import structlog

from cloud_link.envelope import ANSWERED, ANSWERS

log = structlog.get_logger()

Connection = sqlite3.Connection
T = TypeVar("T")

FILE: Final = "roomd.db"  # in the state directory, always: derived from nothing that can be configured (B29)
LOCK: Final = "roomd.lock"
BALLAST: Final = "roomd.ballast"
RESCUE: Final = FILE + ".rescue"  # stands while a damaged file is being rescued
COPYING: Final = FILE + ".restoring"  # a backup on its way in: not whole yet
RESTORE: Final = FILE + ".restore"  # a whole one: it takes the file's place, now or at the next start
IN_USE: Final = (
    "roomd.in-use"  # there from the first commit to a clean close: says that a WAL must be there too
)
COPIED: Final = "copied"  # in meta of a backup: whoever opens it goes on under a new epoch
SCHEMA: Final = 4
APPLICATION: Final = 0x726F6F6D  # "room", in the file's header: noise there is not taken for a newer schema
TABLES: Final = {
    "meta",
    "boots",
    "streams",
    "outbox",
    "dead_letters",
    "gaps",
    "snapshot",
    "inbox",
    "postage",
    "replays",
    "calendar_revocations",
    "calendar_watches",
    "calendar_links",
}
CARRIED: Final = (  # as they are, out of a damaged file
    "dead_letters",
    "gaps",
    "snapshot",
    "inbox",
    "postage",
    "replays",
    "calendar_revocations",
    "calendar_watches",
    "calendar_links",
)
PAGE_BYTES: Final = 4096
BUDGET_BYTES: Final = 256 * 1024 * 1024
BALLAST_BYTES: Final = 8 * 1024 * 1024
WAL_PAGES: Final = 500
WAL_LIMIT_BYTES: Final = 8 * 1024 * 1024
GATHER_S: Final = 0.005  # flash is worn by commits: 200 a second are enough, and the first does not wait
TOGETHER_AT_MOST: Final = 512  # jobs in one transaction: bounds the wait of the first of them
SHORTEST_REST_S: Final = 0.05
LONGEST_REST_S: Final = 2.0  # a disk that is full now may have room in a moment
ROOMY_BYTES: Final = 16 * 1024 * 1024  # a disk with so much free is not full
BALLAST_AGAIN_S: Final = 60.0
MAKE_ROOM: Final = "make room on the disk of the state directory"
STUCK_AT_CLOSE_S: Final = 2.0
KEPT_ASIDE_AT_MOST: Final = 3  # files kept for a person, damaged or replaced; the oldest goes
TAILS: Final = ("-wal", "-shm", "")  # the file itself last: if it is there, all of it is
PROBES_AT_MOST: Final = 2_000_000  # rows looked for one by one between two damaged places

CAN_PASS: Final = {  # primary result codes of which nothing is wrong with the job
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
FULL_BELOW_BYTES: Final = 64 * 1024
DISK_ERRORS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


# ── errors ────────────────────────────────────────────────────────────────────────────────────────


class DatabaseError(Exception):
    """Something about the database that its owner should know."""


class AlreadyRunning(DatabaseError):
    """Another process holds the state directory."""


class SchemaTooNew(DatabaseError):
    """The file was written by a newer roomd: going back needs that version, or another directory."""


class DatabaseDamaged(DatabaseError):
    """The file broke while it was open: starting again will rescue what can be read."""


class DiskRefuses(DatabaseError):
    """The disk is full, read-only or broken, so that the file cannot be opened; later it may be better."""


class DatabaseClosed(DatabaseError):
    """The job came too late, or the disk did not take it before the close."""


# ── values ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A damaged file was set aside, or a backup put in its place: numbers begin anew, under a new epoch."""

    previous_epoch: str | None
    salvaged: int  # envelopes not yet acknowledged; they keep their ids, numbers and bytes
    snapshots: int
    reason: str
    quarantined: Path | None  # None: of a backup


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What was found at the start."""

    epoch: str
    reset: Reset | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why the disk takes nothing now; the jobs wait in memory."""

    why: str
    full: bool  # no room: dropping something may help
    since_s: float  # monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much disk it may use."""

    budget_bytes: int = BUDGET_BYTES
    ballast_bytes: int = BALLAST_BYTES
    gather_s: float = GATHER_S  # jobs that follow each other more quickly share a transaction


class _Job(Generic[T]):
    """One caller's work. A mutable class for speed: one is made for every write."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Callable[[Connection], T], future: asyncio.Future[T]) -> None:
        self.work = work
        self.future = future
        self.result: T | None = None
        self.error: BaseException | None = None


class _Stop:
    """Ends the thread after everything that came before it."""


class _Wake:
    """Something lies in the lane for urgent work."""


_Item = list[_Job[Any]] | _Stop | _Wake
_STOP: Final = _Stop()
_WAKE: Final = _Wake()


# ── the database ──────────────────────────────────────────────────────────────────────────────────


class Database:
    """Runs jobs on one writing thread, many to a transaction. Made by `open_database`."""

    def __init__(self, directory: Path, limits: Limits, new_epoch: Callable[[], str]) -> None:
        self.path = directory / FILE
        self.opened = Opened(epoch="")
        self.trouble: Trouble | None = None  # read by the loop, written by the thread
        self.commits = 0
        self.refused_at_s = 0.0  # monotonic; when the disk took nothing last, while there is `trouble`
        self._directory = directory
        self._limits = limits
        self._new_epoch = new_epoch
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._ahead: deque[_Job[Any]] = deque()
        self._jobs: list[_Job[Any]] = []  # of the transaction under way
        self._patient: list[tuple[Callable[[], Callable[[Connection], Any]], asyncio.Future[Any]]] = []
        self._patience: asyncio.TimerHandle | None = None
        self._gathered: list[_Job[Any]] = []
        self._handing: asyncio.TimerHandle | None = None
        self._handed_at_s = 0.0
        self._ended: BaseException | None = None
        self._closing = False
        self._ballast_spent_at_s: float | None = None
        self._thread = threading.Thread(target=self._live, name="database", daemon=True)
        self._up: asyncio.Future[None] = self._loop.create_future()
        self._down: asyncio.Future[None] = self._loop.create_future()

    # ── for its users, on the event loop

    async def write(self, job: Callable[[Connection], T], *, ahead: bool = False) -> T:
        """The job's result, after its transaction is on disk; raises what the job raised.

        A job may be run more than once before that (its neighbours failed, the disk was full), so it must
        depend on nothing but its transaction. It is done even if the caller stops waiting. `ahead`: may
        overtake what waits for a full disk, since it makes room; it raises if the disk refuses it too.
        """
        return await self.submit(job, ahead=ahead)

    def submit(self, job: Callable[[Connection], T], *, ahead: bool = False) -> asyncio.Future[T]:
        """As `write`, for callers who look at the future themselves."""
        self._refuse_if_over()
        future: asyncio.Future[T] = self._loop.create_future()
        one: _Job[T] = _Job(job, future)
        if ahead:
            self._ahead.append(one)
            self._queue.put(_WAKE)
            return future
        self._gathered.append(one)
        if self._handing is None:
            self._hand_over_soon()
        return future

    def _hand_over_soon(self) -> None:
        """At once after a quiet moment, else a little later, with whatever comes until then."""
        now_s = self._loop.time()
        wait_s = self._handed_at_s + self._limits.gather_s - now_s
        if wait_s <= 0.0:
            self._hand_over()
        else:
            self._handing = self._loop.call_later(wait_s, self._hand_over)

    def _hand_over(self) -> None:
        if self._handing is not None:
            self._handing.cancel()
            self._handing = None
        self._handed_at_s = self._loop.time()
        if self._patient:
            self._be_patient_no_more()
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._queue.put(gathered)

    def submit_with_next(
        self, prepare: Callable[[], Callable[[Connection], T]], *, within_s: float
    ) -> asyncio.Future[T]:
        """As `submit`, with the next job that anybody submits: it saves a transaction of its own.

        `prepare` makes the job at that moment, or after `within_s` if there is no other.
        """
        self._refuse_if_over()
        future: asyncio.Future[T] = self._loop.create_future()
        self._patient.append((prepare, future))
        if self._patience is None:
            self._patience = self._loop.call_later(within_s, self._be_patient_no_more)
        return future

    async def grant(self, budget_bytes: int) -> None:
        """Another budget from now on. One that is smaller than the file counts from the next start."""

        def bound(tx: Connection) -> None:
            tx.execute(f"PRAGMA max_page_count = {budget_bytes // PAGE_BYTES}")
            _tell_budget(tx, budget_bytes)

        await self.write(bound)

    def hurry(self) -> None:
        """What waits for another's transaction gets its own now."""
        self._be_patient_no_more()

    def _refuse_if_over(self) -> None:
        if self._closing or self._ended is not None:
            raise DatabaseClosed(f"{self.path} takes no more work") from self._ended

    def _be_patient_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        patient, self._patient = self._patient, []
        if patient:
            self._queue.put([_Job(prepare(), future) for prepare, future in patient])

    async def _open(self) -> None:
        self._thread.start()
        await self._up

    async def _close(self) -> None:
        self._hand_over()
        self._closing = True
        self._queue.put(_STOP)
        await self._down
        self._thread.join()

    # ── the writing thread

    def _live(self) -> None:
        try:
            connection, opened = self._open_despite_full_disk()
        except BaseException as error:  # noqa: BLE001 (told to whoever waits for the opening)
            self._tell(self._fail_up, error)
            return
        self.opened = opened
        self._tell(self._set_up)
        ended: BaseException | None = None
        try:
            self._work(connection)
        except BaseException as error:  # noqa: BLE001 (told to everybody who waits)
            ended = error
            log.error(
                "database.failed",
                path=str(self.path),
                why=str(error),
                mend="roomd is started again and saves what can be read; see that the disk is sound",
            )
        finally:
            self._ended = ended or DatabaseClosed(f"{self.path} is closed")
            with contextlib.suppress(sqlite3.Error, OSError):
                _close_cleanly(connection, self._directory, damaged=ended is not None)
            self._tell(self._set_down)

    def _open_despite_full_disk(self) -> tuple[Connection, Opened]:
        """The ballast is laid when the file is open: before, it might take the last room for that."""
        ballast = self._directory / BALLAST
        try:
            opened = _open_or_rescue(self._directory, self._limits, self._new_epoch)
        except (sqlite3.OperationalError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in DISK_ERRORS:
                raise
            if not ballast.exists():
                raise DiskRefuses(self._why_not(error)) from error
            ballast.unlink()
            self._ballast_spent_at_s = time.monotonic()
            log.error("database.ballast_spent", path=str(self._directory), why=str(error), mend=MAKE_ROOM)
            try:
                return _open_or_rescue(self._directory, self._limits, self._new_epoch)
            except (sqlite3.OperationalError, OSError) as again:
                raise DiskRefuses(self._why_not(again)) from again
        _lay_ballast(self._directory, self._limits.ballast_bytes)
        return opened

    def _why_not(self, error: Exception) -> str:
        """SQLite calls a disk that is full to the last byte an I/O error."""
        space = os.statvfs(self._directory)
        full = space.f_bavail * space.f_frsize < FULL_BELOW_BYTES
        return f"{self.path} cannot be opened: {'the disk is full' if full else error}"

    def _work(self, connection: Connection) -> None:
        while True:
            jobs = self._jobs = []
            item = self._queue.get()
            stop = False
            while True:
                match item:
                    case list():
                        jobs.extend(item)
                    case _Stop():
                        stop = True
                    case _Wake():
                        while self._ahead:
                            jobs.append(self._ahead.popleft())
                if stop or len(jobs) >= TOGETHER_AT_MOST:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            if jobs:
                stop = self._commit_or_wait(connection, jobs) or stop
            if stop:
                return

    def _commit_or_wait(self, connection: Connection, jobs: list[_Job[Any]]) -> bool:
        """Commits these, however long the disk takes. True if the end was asked for meanwhile."""
        rest_s, stop_at_s, together = SHORTEST_REST_S, None, len(jobs)
        while jobs:
            piece = jobs[:together]
            try:
                _commit(connection, piece)
            except sqlite3.Error as error:
                if _primary(error) not in CAN_PASS:
                    raise DatabaseDamaged(f"{self.path}: {error}") from error
                self._note(connection, error, alone=len(piece) == 1)
                if len(piece) > 1:  # there may be room for some of them
                    together = len(piece) // 2
                    continue
            else:
                del jobs[: len(piece)]
                together = min(2 * len(piece), TOGETHER_AT_MOST)
                rest_s = SHORTEST_REST_S
                self.commits += 1
                if self.trouble is not None and not jobs:
                    self._note_recovery()
                elif self._ballast_spent_at_s is not None:
                    self._restore_ballast()
                self._tell(_resolve, piece)
                continue
            if stop_at_s is not None and time.monotonic() >= stop_at_s:
                log.error("database.jobs_lost", path=str(self.path), jobs=len(jobs), mend=MAKE_ROOM)
                for job in jobs:
                    job.error = DatabaseClosed(f"{self.path} could not be written before the close")
                self._tell(_resolve, jobs)
                break
            try:
                item = self._queue.get(timeout=rest_s)
            except queue.Empty:
                rest_s = min(LONGEST_REST_S, rest_s * 2.0)
                continue
            match item:
                case list():
                    jobs.extend(item)
                case _Stop():
                    stop_at_s = time.monotonic() + STUCK_AT_CLOSE_S
                case _Wake():
                    self._make_room(connection)
        return stop_at_s is not None

    def _make_room(self, connection: Connection) -> None:
        while self._ahead:
            job = [self._ahead.popleft()]
            try:
                _commit(connection, job)
            except sqlite3.Error as error:
                if _primary(error) not in CAN_PASS:
                    raise DatabaseDamaged(f"{self.path}: {error}") from error
                job[0].error = error
            else:
                self.commits += 1
            self._tell(_resolve, job)

    def _note(self, connection: Connection, error: sqlite3.Error, *, alone: bool) -> None:
        full = _primary(error) == sqlite3.SQLITE_FULL
        self.refused_at_s = time.monotonic()
        if self.trouble is None:
            self.trouble = Trouble(why=str(error), full=full, since_s=time.monotonic())
            log.error(
                "database.stuck",
                path=str(self.path),
                why=str(error),
                code=getattr(error, "sqlite_errorname", None),
                consequence="nothing is lost; what comes waits in memory",
                mend=MAKE_ROOM if full else "see that the disk is sound and can be written",
            )
        else:
            log.debug("database.stuck", path=str(self.path), why=str(error))
        if (
            full
            and not _budget_reached(connection, self._directory, alone=alone)
            and (self._directory / BALLAST).exists()
        ):
            with contextlib.suppress(OSError):
                (self._directory / BALLAST).unlink()
                self._ballast_spent_at_s = time.monotonic()
                log.error(
                    "database.ballast_spent",
                    path=str(self._directory),
                    bytes=self._limits.ballast_bytes,
                    mend=MAKE_ROOM,
                )

    def _note_recovery(self) -> None:
        if self.trouble is not None:
            stuck_s = round(time.monotonic() - self.trouble.since_s, 3)
            log.info("database.recovered", path=str(self.path), stuck_s=stuck_s)
            self.trouble = None

    def _restore_ballast(self) -> None:
        now_s = time.monotonic()
        if self._ballast_spent_at_s is None or now_s - self._ballast_spent_at_s < BALLAST_AGAIN_S:
            return
        self._ballast_spent_at_s = now_s
        space = os.statvfs(self._directory)
        if space.f_bavail * space.f_frsize > 4 * self._limits.ballast_bytes:
            _lay_ballast(self._directory, self._limits.ballast_bytes)
            if (self._directory / BALLAST).exists():
                self._ballast_spent_at_s = None
                log.info("database.ballast_restored", path=str(self._directory))

    # ── from the thread to the loop

    def _tell(self, what: Callable[..., None], *values: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(what, *values)

    def _set_up(self) -> None:
        if not self._up.done():
            self._up.set_result(None)

    def _fail_up(self, error: BaseException) -> None:
        if not self._up.done():
            self._up.set_exception(error)

    def _set_down(self) -> None:
        """On the loop, where jobs come from: none can slip in behind this."""
        left = [*self._jobs, *self._ahead, *self._gathered]
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._queue.get_nowait()
                if isinstance(item, list):
                    left.extend(item)
        left += [_Job(prepare(), future) for prepare, future in self._patient]
        for job in left:
            job.error = self._ended
        _resolve(left)
        for timer in (self._handing, self._patience):
            if timer is not None:
                timer.cancel()
        if not self._down.done():
            self._down.set_result(None)


@asynccontextmanager
async def open_database(
    directory: Path,
    *,
    limits: Limits | None = None,
    new_epoch: Callable[[], str] = lambda: secrets.token_hex(4),
) -> AsyncIterator[Database]:
    """The database in this directory, which is made if need be. It has closed when the block ends.

    Raises AlreadyRunning, SchemaTooNew and DiskRefuses. A damaged file is no error: see `Database.opened`.
    """
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    with alone(directory):
        database = Database(directory, limits or Limits(), new_epoch)
        await database._open()  # noqa: SLF001 (its maker)
        try:
            yield database
        finally:
            await asyncio.shield(database._close())  # noqa: SLF001


def _resolve(jobs: Sequence[_Job[Any]]) -> None:
    for job in jobs:
        future = job.future
        if future.done():  # its caller stopped waiting
            continue
        if job.error is not None:
            future.set_exception(job.error)
        else:
            future.set_result(job.result)


def _commit(connection: Connection, jobs: Sequence[_Job[Any]]) -> None:
    """All in one transaction; if one fails, again with a savepoint around each. Raises for the disk only."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            job.error = None
            job.result = job.work(connection)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        if _primary(error) in CAN_PASS | DAMAGE:
            raise
    except Exception:  # noqa: BLE001 (told to the job's own caller, below)
        _roll_back(connection)
    else:
        return
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            connection.execute("SAVEPOINT job")
            try:
                job.error = None
                job.result = job.work(connection)
            except Exception as error:
                if isinstance(error, sqlite3.Error) and _primary(error) in CAN_PASS | DAMAGE:
                    raise
                connection.execute("ROLLBACK TO job")
                job.error = error
            connection.execute("RELEASE job")
        connection.execute("COMMIT")
    except sqlite3.Error:
        _roll_back(connection)
        raise


def _roll_back(connection: Connection) -> None:
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _primary(error: sqlite3.Error) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else int(code) & 0xFF


def _tell_budget(connection: Connection, budget_bytes: int) -> None:
    """For readers beside us; written only where it changed."""
    connection.execute(
        "INSERT INTO meta VALUES ('budget_pages', ?) ON CONFLICT (name) "
        "DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
        (str(budget_bytes // PAGE_BYTES),),
    )


def _budget_reached(connection: Connection, directory: Path, *, alone: bool) -> bool:
    """Whether it is our own bound that is in the way, and not the disk: SQLite has one code for both."""
    with contextlib.suppress(sqlite3.Error, OSError):
        pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
        bound = int(connection.execute("PRAGMA max_page_count").fetchone()[0])
        space = os.statvfs(directory)
        return space.f_bavail * space.f_frsize > ROOMY_BYTES and (pages * 2 > bound or not alone)
    return False


# ── alone in the directory ────────────────────────────────────────────────────────────────────────


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Nobody else has the state directory while the block lasts. Raises AlreadyRunning."""
    path = directory / LOCK
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(
                f"{path} is held by another roomd, process {holder}: stop that one, or give this one another "
                "agent.state_directory"
            ) from error
        os.ftruncate(lock, 0)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its note
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


# ── opening ───────────────────────────────────────────────────────────────────────────────────────


class _Damaged(Exception):
    """What is wrong with the file."""


def _open_or_rescue(
    directory: Path, limits: Limits, new_epoch: Callable[[], str]
) -> tuple[Connection, Opened]:
    finish_restore(directory)
    if not (directory / RESCUE).exists():
        try:
            connection, epoch = _open_sound(directory, limits, new_epoch)
        except _Damaged as damage:
            log.error(
                "database.damaged",
                path=str(directory / FILE),
                why=str(damage),
                mend="what can be read is saved now; see that the disk is sound",
            )
            _begin_rescue(directory, str(damage))
        else:
            _mark_in_use(directory)
            return connection, Opened(epoch=epoch, reset=_untold_reset(connection))
    connection, opened = _rescue(directory, limits, new_epoch)
    _mark_in_use(directory)
    return connection, opened


def _begin_rescue(directory: Path, reason: str) -> None:
    """From here on a rescue is under way: one that a crash cuts short is begun anew at the next start."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    note = directory / f"{RESCUE}.new"
    with note.open("w", encoding="utf-8") as file:
        json.dump({"quarantined": f"{FILE}.corrupt-{stamp}", "reason": reason}, file)
        file.flush()
        os.fsync(file.fileno())
    note.rename(directory / RESCUE)
    _sync(directory)


def _rescue(directory: Path, limits: Limits, new_epoch: Callable[[], str]) -> tuple[Connection, Opened]:
    note = json.loads((directory / RESCUE).read_text(encoding="utf-8"))
    quarantined = directory / note["quarantined"]
    if quarantined.exists():  # we were here before, and did not come to an end
        for tail in TAILS:
            (directory / (FILE + tail)).unlink(missing_ok=True)
    else:
        _quarantine(directory, quarantined)
    connection, epoch = _open_sound(directory, limits, new_epoch)
    reset = _salvage(connection, quarantined, reason=note["reason"])
    (directory / RESCUE).unlink()
    _sync(directory)
    log.warning(
        "database.rescued",
        salvaged=reset.salvaged,
        snapshots=reset.snapshots,
        new_epoch=epoch,
        kept_as=str(quarantined),
    )
    return connection, Opened(epoch=epoch, reset=reset)


def _untold_reset(connection: Connection) -> Reset | None:
    """A rescue of which the cloud has not been told: a crash came between."""
    row = connection.execute("SELECT value FROM meta WHERE name = 'untold_reset'").fetchone()
    if row is None:
        return None
    said = json.loads(row[0])
    quarantined = said["quarantined"]
    return Reset(**{**said, "quarantined": None if quarantined is None else Path(quarantined)})


def reset_told(tx: Connection) -> None:
    """The cloud will be told of the rescue: call it in the transaction that appends the fact."""
    tx.execute("DELETE FROM meta WHERE name = 'untold_reset'")


def _open_sound(directory: Path, limits: Limits, new_epoch: Callable[[], str]) -> tuple[Connection, str]:
    path = directory / FILE
    used = (directory / IN_USE).exists()
    if used and path.exists() and not path.with_name(FILE + "-wal").exists():
        raise _Damaged("its write-ahead log is gone: what was written last is lost")
    if used and not path.exists():
        log.error("database.gone", path=str(path), mend="if a backup was kept: stop roomd, roomd restore")
    if path.exists() and path.stat().st_size == 0:
        raise _Damaged("the file is empty")
    if path.exists():
        _refuse_newer(path, _version_in_header(path))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        connection.execute("PRAGMA busy_timeout = 0")  # one writer: whoever else writes here is wrong
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything is written (B6)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        connection.execute(f"PRAGMA max_page_count = {limits.budget_bytes // PAGE_BYTES}")
        connection.execute("PRAGMA cache_size = -2048")
        connection.execute("PRAGMA temp_store = MEMORY")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version and int(connection.execute("PRAGMA application_id").fetchone()[0]) != APPLICATION:
            raise _Damaged("the header is not ours")  # noqa: TRY301 (all damage ends in one place)
        _refuse_newer(path, version)  # as it is behind the WAL
        if version == 0:
            _create(connection)
        _check_pages(connection)
        if 0 < version < SCHEMA:
            _migrate(connection, path, version)
        _check_tables(connection)
        _begin_anew_if_copied(connection, path, new_epoch)
        epoch = _epoch(connection, new_epoch)
        _tell_budget(connection, limits.budget_bytes)
    except sqlite3.DatabaseError as error:
        connection.close()
        if _primary(error) in CAN_PASS:
            raise
        raise _Damaged(str(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection, epoch


def _version_in_header(path: Path) -> int:
    """Read without SQLite, so that a newer file is not touched at all; 0 where the header is not ours."""
    with path.open("rb") as file:
        header = file.read(100)
    ours = header[:16] == b"SQLite format 3\x00" and int.from_bytes(header[68:72], "big") == APPLICATION
    return int.from_bytes(header[60:64], "big") if ours else 0


def _refuse_newer(path: Path, version: int) -> None:
    if version > SCHEMA:
        raise SchemaTooNew(
            f"{path} has schema {version}, and this roomd knows {SCHEMA}: "
            "start the version that wrote it, or move the file away"
        )


def _schema() -> str:
    return resources.files("cloud_link").joinpath("schema.sql").read_text(encoding="utf-8")


def _statements() -> list[str]:
    plain = "\n".join(line.split("--")[0] for line in _schema().splitlines())
    return [each.strip() for each in plain.split(";") if each.strip()]


def _create(connection: Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _statements():
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    connection.execute("COMMIT")


ADDED: Final = {  # by version: what schema.sql has more than the one before
    2: ("CREATE TABLE inbox", "CREATE INDEX inbox_unfinished", "CREATE TABLE postage"),
    3: ("CREATE TABLE replays",),
    4: ("CREATE TABLE calendar_",),
}


def _migrate(connection: Connection, path: Path, version: int) -> None:
    """In one transaction: a crash leaves the old schema or the new one."""
    connection.execute("BEGIN IMMEDIATE")
    for step in range(version + 1, SCHEMA + 1):
        for statement in _statements():
            if statement.startswith(ADDED[step]):
                connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    connection.execute("COMMIT")
    log.info("database.migrated", path=str(path), before=version, now=SCHEMA)


def _check_pages(connection: Connection) -> None:
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _Damaged(f"quick_check: {verdict}")


def _check_tables(connection: Connection) -> None:
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    missing = TABLES - found
    if missing:
        raise _Damaged(f"tables are missing: {', '.join(sorted(missing))}")


def _begin_anew_if_copied(connection: Connection, path: Path, new_epoch: Callable[[], str]) -> None:
    """A backup was put in place: its numbers may have been given since, with other content.

    What was taken up before the backup and not answered may have been done since, and is not done again.
    """
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (COPIED,)).fetchone()
    if row is None:
        return
    copied = json.loads(row[0])
    connection.execute("BEGIN IMMEDIATE")
    before = connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    counter = connection.execute("SELECT value FROM meta WHERE name = 'connection'").fetchone()
    (waiting,) = connection.execute(
        "SELECT count(*) FROM outbox o JOIN streams s ON s.id = o.stream WHERE o.place > s.settled_place"
    ).fetchone()
    (snapshots,) = connection.execute("SELECT count(*) FROM snapshot").fetchone()
    reset = Reset(
        previous_epoch=None if before is None else str(before[0]),
        salvaged=waiting,
        snapshots=snapshots,
        reason=f"restored from a backup of {copied['at']}",
        quarantined=None,
    )
    epoch = new_epoch()
    connection.execute("UPDATE streams SET next_number = 1")
    connection.execute("UPDATE inbox SET state = 'begun' WHERE state = 'kept'")
    connection.executemany(
        "INSERT OR REPLACE INTO meta VALUES (?, ?)",
        [
            ("epoch", epoch),
            # Seconds since 1970 are above every number that was told since.
            ("connection", str(max(int(time.time()), 0 if counter is None else int(counter[0])))),
            ("untold_reset", json.dumps(asdict(reset))),
        ],
    )
    connection.execute("DELETE FROM meta WHERE name = ?", (COPIED,))
    connection.execute("COMMIT")
    log.warning("database.restored", path=str(path), copied_at=copied["at"], waiting=waiting, new_epoch=epoch)


def _epoch(connection: Connection, new_epoch: Callable[[], str]) -> str:
    row = connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    if row is not None:
        return str(row[0])
    epoch = new_epoch()
    connection.execute("INSERT INTO meta (name, value) VALUES ('epoch', ?)", (epoch,))
    return epoch


def _mark_in_use(directory: Path) -> None:
    """After the first write, so that the WAL is there whenever the mark is."""
    with contextlib.suppress(OSError):  # a full disk: only the notice of a lost WAL is lost
        (directory / IN_USE).touch()
        _sync(directory)


def _close_cleanly(connection: Connection, directory: Path, *, damaged: bool) -> None:
    try:
        if not damaged:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (directory / IN_USE).unlink(missing_ok=True)
            _sync(directory)
    finally:
        connection.close()


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lay_ballast(directory: Path, count: int) -> None:
    """Really allocated, so that freeing it frees something."""
    path = directory / BALLAST
    try:
        if path.exists() and path.stat().st_size == count:
            return
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, count)
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        log.warning("database.ballast_missed", path=str(path), why=str(error))


# ── rescuing ──────────────────────────────────────────────────────────────────────────────────────


def _quarantine(directory: Path, target: Path) -> None:
    """Sets the damaged file aside."""
    _set_aside(directory, target)
    (directory / IN_USE).unlink(missing_ok=True)
    _sync(directory)
    _keep_newest(directory, "corrupt")


def _set_aside(directory: Path, target: Path) -> None:
    """The file with what belongs to it; what has gone already, if this was cut short before, stays there."""
    for tail in TAILS:
        source = directory / (FILE + tail)
        if source.exists():
            source.rename(directory / (target.name + tail))


def _keep_newest(directory: Path, why: str) -> None:
    older = sorted(
        path for path in directory.glob(f"{FILE}.{why}-*") if not path.name.endswith(("-wal", "-shm"))
    )
    for path in older[:-KEPT_ASIDE_AT_MOST]:
        for tail in TAILS:
            path.with_name(path.name + tail).unlink(missing_ok=True)


def _salvage(connection: Connection, quarantined: Path, *, reason: str) -> Reset:
    """Carries over what can be read: the pending with their ids, numbers and bytes; marks and snapshots."""
    previous_epoch: str | None = None
    salvaged = snapshots = 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        with closing(sqlite3.connect(quarantined, isolation_level=None)) as old:
            meta = {str(name): str(value) for _, name, value in _rows(old, "meta", ("name", "value"))}
            previous_epoch = meta.get("epoch")
            counter = meta.get("connection")
            for _, boot_id, boot in _rows(old, "boots", ("id", "boot")):
                connection.execute("INSERT OR IGNORE INTO boots VALUES (?, ?)", (boot_id, boot))
            settled = {}
            for _, stream, name, place in _rows(old, "streams", ("id", "name", "settled_place")):
                settled[stream] = place
                connection.execute(
                    "INSERT OR IGNORE INTO streams (id, name, settled_place) VALUES (?, ?, ?)",
                    (stream, name, place),
                )
            salvaged = _salvage_outbox(connection, old, settled)
            for table in CARRIED:
                carried = _carry(connection, old, table)
                snapshots = carried if table == "snapshot" else snapshots
            top = max(
                [0, *settled.values()]
                + [place for (place,) in connection.execute("SELECT max(place) FROM outbox") if place]
            )
            connection.execute("DELETE FROM sqlite_sequence WHERE name = 'outbox'")
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)", (top,))
            # Without the old counter, seconds since 1970 are above every number that was ever told.
            connection.execute(
                "INSERT OR REPLACE INTO meta VALUES ('connection', ?)",
                (counter if counter is not None and counter.isdigit() else str(int(time.time())),),
            )
    except sqlite3.Error as error:
        log.error(
            "database.salvage_ended_early",
            why=str(error),
            mend=f"what was not read lies in {quarantined}; devices are compared anew",
        )
    reset = Reset(
        previous_epoch=previous_epoch,
        salvaged=salvaged,
        snapshots=snapshots,
        reason=reason,
        quarantined=quarantined,
    )
    untold = json.dumps({**asdict(reset), "quarantined": str(quarantined)})
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('untold_reset', ?)", (untold,))
    connection.execute("COMMIT")
    return reset


OUTBOX_COLUMNS: Final = (
    "stream",
    "number",
    "id",
    "kind",
    "topic",
    "payload",
    "bytes",
    "recorded_ms",
    "boot",
    "steady_ms",
    "crc",
)


def _salvage_outbox(connection: Connection, old: Connection, settled: dict[int, int]) -> int:
    names: dict[int, str] = dict(connection.execute("SELECT id, name FROM streams"))
    saved = rotten = 0
    for row in _rows(old, "outbox", OUTBOX_COLUMNS):
        place, stream, topic, payload = row[0], row[1], row[5], row[6]
        if not isinstance(topic, str) or not isinstance(payload, bytes) or not isinstance(stream, int):
            continue
        if place <= settled.get(stream, 0):
            continue
        if crc32(payload, crc32(f"{row[3]} {topic}".encode())) != row[11]:
            rotten += 1
            continue
        if stream not in names:  # its name stands in the topic: …/rooms/fjord/events/booking
            names[stream] = _stream_of(topic, str(row[4]), place)
            connection.execute(
                "INSERT OR IGNORE INTO streams (id, name) VALUES (?, ?)", (stream, names[stream])
            )
        try:
            connection.execute("INSERT OR IGNORE INTO boots VALUES (?, ?)", (row[9], f"lost-{row[9]}"))
            connection.execute("INSERT OR IGNORE INTO outbox VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", row)
        except sqlite3.IntegrityError:  # the damage left something that is no row of ours
            continue
        saved += 1
    if rotten:
        log.error(
            "database.envelopes_rotten",
            envelopes=rotten,
            consequence="not carried over: their bytes have changed",
            mend="see that the disk is sound; the cloud compares anew",
        )
    return saved


def _stream_of(topic: str, kind: str, place: int) -> str:
    levels = topic.split("/")
    if kind != ANSWERED:
        return "/".join(levels[-4:-2])
    if levels[-1] == "responses":
        return "/".join(levels[-3:])
    return f"lost/{place}{ANSWERS}"  # went to a Response Topic, which may be anywhere


def _carry(connection: Connection, old: Connection, table: str) -> int:
    columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]
    slots = ",".join("?" * len(columns))
    carried = 0
    for row in _rows(old, table, columns):
        with contextlib.suppress(sqlite3.IntegrityError):
            connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({slots})", row[1:])  # noqa: S608
            carried += 1
    return carried


def _rows(old: Connection, table: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """(rowid, *columns) of every row that can be read, in order: from both ends, then one by one between."""
    chosen = f"SELECT rowid, {', '.join(columns)} FROM {table}"  # noqa: S608 (our own names)
    found: dict[int, tuple[Any, ...]] = {}

    def read(tail: str) -> bool:
        try:
            for row in old.execute(f"{chosen} {tail}"):
                found[row[0]] = row
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            return False
        return True

    if read("ORDER BY rowid"):
        return [found[rowid] for rowid in sorted(found)]
    low = max(found, default=0)
    above = set(found)
    read("ORDER BY rowid DESC")
    high = min(set(found) - above, default=low + 1)
    if table == "outbox" and not set(found) - above:
        with contextlib.suppress(sqlite3.DatabaseError):  # the index may know more than the table's own tree
            high = 1 + max(
                place for (place,) in old.execute("SELECT place FROM outbox INDEXED BY outbox_by_stream")
            )
    for rowid in range(low + 1, min(high, low + PROBES_AT_MOST)):
        read(f"WHERE rowid = {rowid}")
    return [found[rowid] for rowid in sorted(found)]


# ── putting a backup in place ─────────────────────────────────────────────────────────────────────


def finish_restore(directory: Path) -> Path | None:
    """Puts a whole backup that lies ready in the file's place; where that which was there lies now.

    To be called alone in the directory. A kill at any moment leaves something that the next call finishes:
    what lies ready says so by its name, and when it was made ready is the name of what it replaces.
    """
    (directory / COPYING).unlink(missing_ok=True)
    ready = directory / RESTORE
    if not ready.exists():
        return None
    stamp = datetime.fromtimestamp(ready.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = directory / f"{FILE}.replaced-{stamp}"
    _set_aside(directory, target)
    for mark in (RESCUE, IN_USE):  # of the file that was there
        (directory / mark).unlink(missing_ok=True)
    _sync(directory)
    ready.rename(directory / FILE)
    _sync(directory)
    _keep_newest(directory, "replaced")
    return target if target.exists() else None


# ── beside a running daemon ───────────────────────────────────────────────────────────────────────


@contextmanager
def open_to_read(directory: Path) -> Iterator[Connection]:
    """The file for reading, with or without a daemon at work. Raises FileNotFoundError and sqlite3.Error."""
    path = directory / FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: roomd has not run yet, or keeps its state elsewhere")
    still = "" if path.with_name(FILE + "-wal").exists() else "&immutable=1"  # cleanly closed: nobody writes
    with closing(
        sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro{still}", uri=True, isolation_level=None, timeout=1.0
        )
    ) as connection:
        yield connection


def is_damage(error: sqlite3.Error) -> bool:
    """Whether it says that the file is not as it should be; else that we may not or cannot read it now."""
    return _primary(error) not in CAN_PASS
