"""Puts a new configuration in the place of the old one: whole, valid, with the same rights, or not at all."""

from __future__ import annotations

import contextlib
import grp
import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from agent.settings import ConfigurationRefused, Problem, read

GROUP = "roomd"  # may read what the daemon needs
WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class NotReplaced(Exception):
    """The file is as it was; the text says why, and what to do."""

    def __init__(self, why: str, *, code: int = os.EX_CANTCREAT) -> None:
        super().__init__(why)
        self.code = code


def text_of(file: Path) -> str | None:
    """What stands in the file, None if there is none; NotReplaced if it cannot be read."""
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise NotReplaced(f"{file} is not UTF-8 text: save it as UTF-8", code=os.EX_CONFIG) from None
    except PermissionError:
        raise NotReplaced(f"{file} may not be read by this user: run with sudo", code=os.EX_NOPERM) from None
    except OSError as error:
        raise NotReplaced(f"{file} cannot be read: {error.strerror}", code=os.EX_NOINPUT) from None


def need_replaceable(file: Path) -> None:
    """NotReplaced if this user could not put another file there: better known before devices are asked."""
    there = _resolved(file)
    directory = there.parent
    try:
        if not directory.is_dir():
            raise NotReplaced(f"there is no directory {directory}: install -d -m 0750 {directory}")
        status = there.stat() if there.exists() else None
    except PermissionError:
        raise NotReplaced(
            f"this user may not look into {directory}: run with sudo", code=os.EX_NOPERM
        ) from None
    if status is not None and not status.st_mode & WRITABLE:
        raise NotReplaced(f"{there} is write-protected: chmod u+w {there}", code=os.EX_NOPERM)
    user = os.geteuid()
    if user and not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        raise NotReplaced(
            f"this user may not write into {directory}: run with sudo, or see the lines with --dry-run",
            code=os.EX_NOPERM,
        )
    if status is not None and user and (status.st_uid != user or not _in_group(status.st_gid)):
        raise NotReplaced(
            f"{there} is another user's: run with sudo, or see the lines with --dry-run", code=os.EX_NOPERM
        )


def _in_group(group: int) -> bool:
    return group == os.getegid() or group in os.getgroups()


def _resolved(file: Path) -> Path:
    return Path(os.path.realpath(file))  # a link stays one


def problems_of(file: Path) -> Sequence[Problem]:
    """What is wrong with a configuration; nothing if it can be used."""
    try:
        read(file)
    except ConfigurationRefused as error:
        return error.problems
    return ()


def replace_with(file: Path, *, before: str | None, after: str) -> None:
    """Put the text in the file's place, in one step; the old one stays beside it as `.bak`.

    NotReplaced if it cannot be written, if it was changed since it read `before` (None: was not there), or
    if it has mistakes that it had not before.
    """
    there = _resolved(file)
    if text_of(there) != before:
        raise NotReplaced(f"{file} was changed meanwhile, and is left as it is: run this again")
    try:
        known = {(each.key, each.what) for each in _problems_of_text(there, before or "")}
        fresh = _beside(there, after, "new")
        try:
            _need_no_worse(file, fresh, known)
            if before is not None:
                _beside(there, before, "old").replace(there.with_name(f"{there.name}.bak"))
            fresh.replace(there)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        _sync(there.parent)
    except OSError as error:
        raise NotReplaced(f"{file} cannot be written: {error.strerror or error}") from None


def _need_no_worse(file: Path, fresh: Path, known: Collection[tuple[str, str]]) -> None:
    worse = [each for each in problems_of(fresh) if (each.key, each.what) not in known]
    if worse:
        told = "\n".join(f"{each.key}: {each.what}. {each.mend}" for each in worse)
        raise NotReplaced(f"{file} would not be good, and is left as it is:\n{told}", code=os.EX_CONFIG)


def _problems_of_text(there: Path, text: str) -> Sequence[Problem]:
    fresh = _beside(there, text, "old")
    try:
        return problems_of(fresh)
    finally:
        fresh.unlink(missing_ok=True)


def _beside(there: Path, text: str, role: str) -> Path:
    """A new file beside this one, with its owner, group and mode; flushed to the disk."""
    fresh = there.with_name(f".{there.name}.{os.getpid()}.{role}")
    fresh.unlink(missing_ok=True)
    number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(number, "wb") as out:
            out.write(text.encode())
            out.flush()
            _give(out.fileno(), there)
            os.fsync(out.fileno())
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return fresh


def _give(number: int, there: Path) -> None:
    """Owner, group and mode of the file that it stands for; of a first one, root's and the group roomd's."""
    try:
        status = there.stat()
    except FileNotFoundError:
        _give_to_group(number, there.parent)
        os.fchmod(number, 0o640)
        return
    now = os.fstat(number)
    if (now.st_uid, now.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(number, status.st_uid, status.st_gid)
    os.fchmod(number, stat.S_IMODE(status.st_mode))


def _give_to_group(number: int, directory: Path) -> None:
    if os.geteuid() != 0:
        return
    status = directory.stat()
    group = status.st_gid
    with contextlib.suppress(KeyError):
        group = grp.getgrnam(GROUP).gr_gid
    os.fchown(number, status.st_uid, group)


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────


def store_of(file: Path) -> Path:
    """The directory for the secrets of this configuration: `credentials` beside it, or where it is itself."""
    directory = _resolved(file).parent
    credentials = directory / "credentials"
    return credentials if credentials.is_dir() else directory


def keep_secret(path: Path, secret: bytes) -> None:
    """Write a secret into a new file that nobody but the daemon may read; NotReplaced if it cannot be."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "wb") as out:
            out.write(secret + b"\n")
            if path.parent.name != "credentials":  # which systemd reads, as root
                _give_to_group(out.fileno(), path.parent)
                os.fchmod(out.fileno(), 0o640)
            os.fsync(out.fileno())
        _sync(path.parent)
    except OSError as error:
        raise NotReplaced(f"{path} cannot be written: {error.strerror or error}") from None


def _sync(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
