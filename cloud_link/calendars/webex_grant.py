"""What a site was given by Webex, in a file: replaced as a whole, and on disk before it is used."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from cloud_link.calendars.decoding import decode
from cloud_link.calendars.errors import CredentialWrong, Transient, Unreadable
from cloud_link.calendars.webex_codes import NEW_CODE, Activation

GRANT: Final = "webex-grant.json"
REVOKED: Final = "webex-revoked.json"

Shape = TypeVar("Shape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An activation, and by what access is renewed the next time."""

    activation: Activation  # its own refresh token is of the past
    refresh_token: str = field(repr=False)
    renewed_at: datetime
    lapses_at: datetime | None  # unless it is renewed before
    code: str = ""  # digest of the activation code that lay there when it was given
    first: str = ""  # digest of the activation's own refresh token: by that it is known again


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """The grant was taken back, and is forgotten."""

    why: str
    at: datetime
    code: str = ""  # digest of the activation code that lay there


class GrantUnread(CredentialWrong):
    """There may be a grant, and who asks may not read it."""


class GrantDamaged(CredentialWrong):
    """There is a file, and it is no grant any more."""


class GrantFile:
    """The one place where a site's grant is kept, in a directory that is the daemon's own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._grant = directory / GRANT
        self._revoked = directory / REVOKED

    def read(self) -> Grant | None:
        """What is kept; None if there is nothing. GrantUnread or GrantDamaged where nobody can say."""
        return _read(self._grant, Grant)

    def revoked(self) -> Revocation | None:
        """Why there is none; None if it was not taken back. GrantUnread or GrantDamaged as of the grant."""
        return _read(self._revoked, Revocation)

    def older_than(self, code: Path) -> bool:
        """Whether an activation code's file was written after the grant was; False if nobody can say."""
        try:
            return self._grant.stat().st_mtime_ns < code.stat().st_mtime_ns
        except OSError:
            return False

    def keep(self, grant: Grant) -> None:
        """Transient if it cannot be kept; then the one before is still there."""
        activation = replace(grant.activation, refresh_token="")
        with _mended(self._directory):
            _write(self._grant, replace(grant, activation=activation))
            self._revoked.unlink(missing_ok=True)

    def wipe(self, revocation: Revocation) -> None:
        """Forget the grant and remember why. Transient if that cannot be done."""
        with _mended(self._directory):
            _write(self._revoked, revocation)
            self._grant.unlink(missing_ok=True)
            _settle(self._directory)

    def consent(self) -> None:
        """It was given again, or is to be tried. Transient if that cannot be remembered."""
        with _mended(self._directory):
            self._revoked.unlink(missing_ok=True)


def _read(path: Path, shape: type[Shape]) -> Shape | None:
    try:
        return decode(path.read_bytes(), shape)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise GrantUnread(
            f"the grant of Webex cannot be read: {path}: {error.strerror}",
            mend=f"let the user roomd read and write {path.parent}; anybody else looks with sudo",
        ) from None
    except Unreadable:
        raise GrantDamaged(f"the grant of Webex is damaged: {path}", mend=NEW_CODE) from None


def _write(path: Path, value: object) -> None:
    new = path.with_suffix(".new")  # what a crash leaves there is overwritten the next time
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(value))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _settle(path.parent)


@contextlib.contextmanager
def _mended(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Transient(
            f"the grant of Webex cannot be kept in {directory}: {error.strerror}",
            mend=f"make room in {directory}, and let the user roomd write there",
        ) from None


def _settle(directory: Path) -> None:
    """A name that was given or taken is on disk, too."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
