"""Copies the database beside its running daemon, and puts such a copy back in its place."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from cloud_link.database import (
    APPLICATION,
    COPIED,
    COPYING,
    LOCK,
    RESTORE,
    SCHEMA,
    SchemaTooNew,
    alone,
    finish_restore,
    open_to_read,
)
from cloud_link.soundness import Found, examine

_WAITING: Final = "FROM outbox o JOIN streams s ON s.id = o.stream WHERE o.place > s.settled_place"


class NoBackup(Exception):
    """The file cannot be put in the database's place: why, and what to do."""


class WouldLose(Exception):
    """The database that is there holds envelopes that were never delivered, and the backup has not."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} envelopes")
        self.count = count


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Of whom a copy is, and when it was made."""

    at: str  # ISO, UTC
    version: str
    site: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What is in a copy."""

    origin: Origin | None  # None: somebody copied the file by other means
    bytes: int
    waiting: int
    rooms: int
    schema: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put in place, and where that which was there lies now."""

    copied: Copied
    replaced: Path | None
    undelivered: int  # left behind in there


def back_up(directory: Path, file: Path, origin: Origin, *, readable: Callable[[bytes], None]) -> Copied:
    """Writes the whole database as of now into this file, whole or not at all, readable by its owner alone.

    The copy has been read in whole when this returns; what is wrong with it raises `NoBackup`. Also raises
    FileNotFoundError, sqlite3.Error and OSError. An older file of that name is replaced.
    """
    if file.parent.resolve() == directory.resolve():
        raise NoBackup(f"{file} lies with the database itself: name a file elsewhere, best on another disk")
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    try:
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with open_to_read(directory) as tx:
            tx.execute("VACUUM INTO ?", (str(new),))
        with closing(sqlite3.connect(new, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode = DELETE")  # one file
            copy.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (COPIED, json.dumps(asdict(origin))))
            copy.execute("BEGIN")
            _refuse_unsound(examine(copy, readable=readable), file)
        copied = look(new)
        _keep(new)
        new.rename(file)
        _keep(file.parent)
    finally:
        new.unlink(missing_ok=True)
    return copied


def look(file: Path) -> Copied:
    """What is in a copy. Raises NoBackup, SchemaTooNew and OSError."""
    if _is_live(file):
        raise NoBackup(
            f"{file} is a part of a database only: what was written last lies in {file.name}-wal. "
            "Make the copy with `roomd backup`"
        )
    with file.open("rb"):  # whoever may not read it is told so by the system
        pass
    try:
        with _opened(file) as copy:
            application = int(copy.execute("PRAGMA application_id").fetchone()[0])
            version = int(copy.execute("PRAGMA user_version").fetchone()[0])
            if application != APPLICATION:
                raise NoBackup(f"{file} is no backup of roomd's: name one that `roomd backup` has written")
            if version > SCHEMA:
                raise SchemaTooNew(
                    f"{file} has schema {version}, and this roomd knows {SCHEMA}: "
                    "install the version of roomd that wrote it, or a newer one"
                )
            row = copy.execute("SELECT value FROM meta WHERE name = ?", (COPIED,)).fetchone()
            return Copied(
                origin=None if row is None else Origin(**json.loads(row[0])),
                bytes=file.stat().st_size,
                waiting=int(copy.execute(f"SELECT count(*) {_WAITING}").fetchone()[0]),
                rooms=int(copy.execute("SELECT count(*) FROM snapshot").fetchone()[0]),
                schema=version,
            )
    except sqlite3.DatabaseError as error:
        raise NoBackup(f"{file} cannot be read as a backup: {error}. Take another one") from error


def restore(
    file: Path, directory: Path, *, at: datetime, readable: Callable[[bytes], None], lose: bool = False
) -> Restored:
    """Puts a copy in the place of the database, which is kept beside it. Whoever opens it begins a new epoch.

    `lose`: also where that leaves envelopes behind that were never delivered. Raises NoBackup, SchemaTooNew,
    AlreadyRunning and WouldLose; then everything is as it was. Also OSError: see `is_begun`.
    """
    copied = look(file)
    with _opened(file) as copy:
        copy.execute("BEGIN")
        _refuse_unsound(examine(copy, readable=readable), file)
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    with alone(directory):
        _give(directory / LOCK, directory)
        finish_restore(directory)  # one that was cut short: what it replaced is accounted for
        undelivered = _only_here(directory, file)
        if undelivered and not lose:
            raise WouldLose(undelivered)
        new = directory / COPYING
        try:
            shutil.copyfile(file, new)
            new.chmod(0o640)
            if copied.origin is None:
                _mark(new, at)
            _give(new, directory)
            os.utime(new, (at.timestamp(), at.timestamp()))
            _keep(new)
            new.rename(directory / RESTORE)
        finally:
            new.unlink(missing_ok=True)
        _keep(directory)
        replaced = finish_restore(directory)
    return Restored(copied=copied, replaced=replaced, undelivered=undelivered)


def is_begun(directory: Path) -> bool:
    """Whether a restore was cut short that the next start finishes, or the next restore."""
    return os.path.exists(directory / RESTORE)  # noqa: PTH110 - says no where it may not look


def _only_here(directory: Path, file: Path) -> int:
    """Envelopes that wait in the database there and are not in the copy; 0 where it cannot be read."""
    try:
        with open_to_read(directory) as tx:
            tx.execute("ATTACH ? AS copy", (f"{file.absolute().as_uri()}?mode=ro&immutable=1",))
            counted = tx.execute(
                f"SELECT count(*) {_WAITING} AND NOT EXISTS "  # noqa: S608 (constants)
                "(SELECT 1 FROM copy.outbox c JOIN copy.streams t ON t.id = c.stream "
                "WHERE c.place = o.place AND c.id = o.id AND t.name = s.name)"
            )
            return int(counted.fetchone()[0])
    except (FileNotFoundError, sqlite3.Error):
        return 0


def _mark(file: Path, at: datetime) -> None:
    origin = Origin(at=at.isoformat(), version="", site="", agent="")
    with closing(sqlite3.connect(file, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (COPIED, json.dumps(asdict(origin))))


def _refuse_unsound(found: Iterator[Found], file: Path) -> None:
    wrong = [one for one in found if not one.sound]
    if wrong:
        raise NoBackup(
            f"{file}: {'; '.join(f'{one.what}: {one.seen}' for one in wrong)}. "
            "`roomd outbox verify` says what to do about the database; another backup may be whole"
        )


def _is_live(file: Path) -> bool:
    wal = file.with_name(file.name + "-wal")
    return wal.exists() and wal.stat().st_size > 0


def _give(path: Path, directory: Path) -> None:
    """What the administrator makes here belongs to the daemon's user all the same."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def give_all(directory: Path) -> None:
    """Whatever the administrator has made in there belongs to the daemon's user."""
    if os.geteuid() == 0 and directory.exists():
        for path in directory.iterdir():
            if path.stat().st_uid == 0:
                _give(path, directory)


def _keep(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _opened(file: Path) -> Iterator[Connection]:
    """For reading; nobody writes it."""
    where = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(where, uri=True, isolation_level=None)) as connection:
        yield connection
