"""Which account roomd logs in with at which device, and how the configuration is to name it."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import typer

from agent.core.model import Credential
from agent.enrolling import Visit
from agent.finds import say
from agent.record import kept_in_memory
from agent.rewriting import keep_secret, store_of
from agent.room_lines import Addition, Change, Keys, Standing, Value, slug, unique
from agent.settings import CREDENTIALS, place_of_secret
from agent.terminal import fail

PASSWORD_FILE = "device-password"  # noqa: S105 - the name of one
BROKER_AUTHORITY_FILE = "broker-ca.pem"
BROKER_PASSWORD_FILE = "mqtt-password"  # noqa: S105 - the name of one


@dataclass(slots=True, kw_only=True)
class _Password:
    """Where a password is now, and under which name the file is to have it."""

    path: Path
    name: str
    secret: bytes | None = None  # to be kept under this name


@dataclass(slots=True)
class Accounts:
    """Which account is used for whom, and how the file names it."""

    file: Path
    username: str | None
    password_file: Path | None
    instead: bool  # they go before what the file says of its devices
    there: Standing
    stack: ExitStack
    found: dict[str, _Password] = field(default_factory=dict)  # by user, or by the file's name
    asked_user: str = ""
    broker_password: bytes | None = None
    broker_authority: bytes | None = None  # to be kept beside the file

    @property
    def _usual_user(self) -> str:
        """Whom [devices] names, or will name."""
        user = self.there.defaults.get("username") or self.username or self.asked_user
        return str(user) if user else ""

    @property
    def _usual_name(self) -> str:
        return str(self.there.defaults.get("password_file") or PASSWORD_FILE)

    @property
    def _usual_place(self) -> Path:
        return place_of_secret(self.file, self._usual_name)

    def credential(self, visit: Visit) -> Credential:
        """Who to log in as there; asks where nobody has said."""
        user = self._user(visit)
        return Credential(username=user, password_file=self._password(visit, user).path)

    def _own(self, visit: Visit) -> Mapping[str, object]:
        """What the file says of this device, unless somebody else is to do this once."""
        if visit.standing is None or self.instead:
            return {}
        return {**self.there.defaults, **visit.standing.keys}

    def _user(self, visit: Visit) -> str:
        own = self._own(visit).get("username")
        user = own or visit.candidate.username or self.username or self._usual_user
        if not user:
            if not sys.stdin.isatty():
                fail("who to log in as is not known: give --username", os.EX_USAGE)
            user = self.asked_user = str(typer.prompt("User on the devices", default="roomd", err=True))
        return str(user)

    def _password(self, visit: Visit, user: str) -> _Password:
        own = self._own(visit).get("password_file")
        if own == self.there.defaults.get("password_file") and not _is_there(self._usual_place):
            own = None  # a first file, whose secrets are still to come
        named = own or visit.candidate.password_file
        key = f"file {named}" if named else f"user {user}"
        if key not in self.found:
            self.found[key] = self._named(str(named)) if named else self._of(user)
        return self.found[key]

    def _named(self, name: str) -> _Password:
        path = place_of_secret(self.file, name)
        if not os.access(path, os.R_OK):
            fail(f"{path} cannot be read: it is to hold a device's password", os.EX_NOINPUT)
        return _Password(path=path, name=name)

    def _of(self, user: str) -> _Password:
        """The password that was given, or the one of [devices], or one that is asked now."""
        given = self.password_file
        usual = self._usual_place
        if given is not None:
            return self._given(given, usual, user)
        if user == self._usual_user and _is_there(usual):
            return self._named(self._usual_name)
        if not sys.stdin.isatty():
            fail(f"there is no terminal to ask for the password of {user}: give --password-file", os.EX_USAGE)
        password = str(typer.prompt(f"Password of {user} on the devices", hide_input=True, err=True))
        return self._new(password.encode(), usual, user)

    def _given(self, given: Path, usual: Path, user: str) -> _Password:
        try:
            secret = given.read_bytes().rstrip(b"\r\n")
        except OSError as error:
            fail(f"{given} cannot be read: {error.strerror}", os.EX_NOINPUT)
        if not secret:
            fail(f"{given} is empty: write the password into it, on one line", os.EX_NOINPUT)
        if os.access(usual, os.R_OK) and usual.read_bytes().rstrip(b"\r\n") == secret:
            return _Password(path=usual, name=self._usual_name)
        if given.resolve().parent in {store_of(self.file), self.file.parent.resolve()}:
            return _Password(path=given.resolve(), name=given.name)
        return self._new(secret, usual, user)

    def _new(self, secret: bytes, usual: Path, user: str) -> _Password:
        path = self.stack.enter_context(kept_in_memory(secret.decode(errors="surrogateescape")))
        if not _is_there(usual):
            return _Password(path=path, name=self._usual_name, secret=secret)
        there = {each.name for each in store_of(self.file).iterdir()}
        name = unique(f"{PASSWORD_FILE}-{slug(user) or 'other'}", there)
        return _Password(path=path, name=name, secret=secret)

    # ── what the file is to say of it ──

    def keys(self, visit: Visit) -> Mapping[str, Value]:
        """The keys of a new device's own account; none where it is that of [devices]."""
        user = visit.credential.username
        password = self._password(visit, user)
        keys: dict[str, Value] = {}
        if user != self._usual_user:
            keys["username"] = user
        if password.name != self._name_of_devices():
            keys["password_file"] = password.name
        return keys

    def _name_of_devices(self) -> str:
        """The password file that [devices] names, or will name."""
        if "password_file" in self.there.defaults:
            return self._usual_name
        usual = self.found.get(f"user {self._usual_user}")
        return self._usual_name if usual is None else usual.name

    def defaults(self) -> Sequence[Change]:
        """What [devices] is to have, as far as it does not yet."""
        return [
            Keys(
                table="devices",
                keys={"username": self._usual_user, "password_file": self._name_of_devices()},
            )
        ]

    def kept(self, changes: Sequence[Change], visits: Sequence[Visit]) -> Kept:
        """Keep the passwords that the file will name and a device has taken, if the file is written."""
        taken = {visit.credential.password_file for visit in visits if visit.introduction is not None}
        named = {
            str(change.keys["password_file"])
            for change in changes
            if isinstance(change, Addition | Keys) and "password_file" in change.keys
        }
        store = store_of(self.file)
        fresh = {
            store / password.name: password.secret
            for password in self.found.values()
            if password.secret is not None
            and password.path in taken
            and password.name in {*named, self._usual_name}
        }
        if self.broker_password is not None:
            fresh[store / BROKER_PASSWORD_FILE] = self.broker_password
        if self.broker_authority is not None:
            fresh[self._authority_place] = self.broker_authority
        return Kept(fresh)

    @property
    def _authority_place(self) -> Path:
        return self.file.resolve().parent / BROKER_AUTHORITY_FILE

    def take_broker_authority(self, given: Path) -> None:
        """Have this certificate of an authority kept beside a first file; out, if it is none."""
        try:
            pem = given.read_bytes().strip()
            ssl.create_default_context(cadata=pem.decode())
        except (ssl.SSLError, ValueError):  # an SSLError is an OSError, too
            fail(f"{given} is no certificate in PEM, which has a line BEGIN CERTIFICATE", os.EX_DATAERR)
        except OSError as error:
            fail(f"{given} cannot be read: {error.strerror}", os.EX_NOINPUT)
        place = self._authority_place
        if not _is_there(place):
            self.broker_authority = pem
        elif place.read_bytes().strip() != pem:
            fail(
                f"{place} is there already, and is another: move it away, or leave --broker-ca out",
                os.EX_USAGE,
            )

    def need_broker_password(self, tables: Sequence[Change]) -> None:
        """Ask for the broker's password, if a first file is to name it and its file is not there yet."""
        users = [
            str(change.keys["username"])
            for change in tables
            if isinstance(change, Keys) and change.table == "mqtt" and "username" in change.keys
        ]
        if not users or _is_there(place_of_secret(self.file, BROKER_PASSWORD_FILE)):
            return
        if not sys.stdin.isatty():
            fail(
                f"there is no terminal to ask for the password of {users[0]} at the broker: write it into "
                f"{store_of(self.file) / BROKER_PASSWORD_FILE}",
                os.EX_USAGE,
            )
        asked = typer.prompt(f"Password of {users[0]} at the broker", hide_input=True, err=True)
        self.broker_password = str(asked).encode()


class Kept:
    """Files that the configuration names, which stay if what is done with them there goes well."""

    def __init__(self, fresh: Mapping[Path, bytes]) -> None:
        self._fresh = fresh
        self._written: list[Path] = []

    @property
    def handed_over(self) -> bool:
        """Whether systemd hands one of them to roomd, which it does when it starts it and not at a reload."""
        return any(path.parent.name == CREDENTIALS for path in self._fresh)

    def __enter__(self) -> None:
        for path, content in self._fresh.items():
            keep_secret(path, content)
            self._written.append(path)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for path in self._written:
            if kind is None:
                public = path.name == BROKER_AUTHORITY_FILE
                say(f"{path}: " + ("the broker's authority" if public else "the password, for roomd alone"))
            else:
                path.unlink(missing_ok=True)


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - says no where it may not look
