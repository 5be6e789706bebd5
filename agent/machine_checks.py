"""Examines the machine: the file, who may read what, the clock, the disk, and the names of hosts."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import sqlite3
import stat
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, assert_never
from urllib.parse import urlsplit

from agent import clock as clocks
from agent import trends
from agent.calendar_checks import clock_of_clouds
from agent.findings import Visit, some
from agent.names import NAMES_WITHIN_S, is_name, is_silence, look_up
from agent.settings import Configuration
from cloud_link import outbox
from cloud_link.calendars.accounts import MicrosoftAccount
from cloud_link.contract import ClockState
from cloud_link.database import open_to_read

NEEDED_FREE_BYTES: Final = 64 * 1024 * 1024  # a full disk stops the daemon's neighbours as well
OLD_BACKLOG_S: Final = 900.0
MEGABYTE: Final = 1024 * 1024
SERVICE_USER: Final = "roomd"
SERVICE_FILES: Final = Path("/etc")
SLOW_NAME_S: Final = 2.0


# ── the file ──────────────────────────────────────────────────────────────────────────────────────


async def examine_file(visit: Visit) -> None:
    """What the file has, and what in it is worth a second look."""
    configuration = visit.configuration
    rooms, devices = len(configuration.rooms), len(configuration.devices)
    visit.ok(str(configuration.file), f"good: {_counted(rooms, 'room')}, {_counted(devices, 'device')}")
    for note in configuration.notes:
        if "can be read by every user" in note:
            continue  # permissions tell it, and are graver about it
        key, _, what = note.partition(": ")
        visit.advise(key, what or note, "nothing to do if it is meant so")


def _counted(number: int, of: str) -> str:
    return f"{number} {of}" if number == 1 else f"{number} {of}s"


# ── who may read what ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody:
    """A user, with all groups, as the kernel judges what he may."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, path: Path, wanted: int) -> Path | None:
        """None if he may, else the first on the way that keeps him out. `wanted`: of 4, 2 and 1, as in modes.

        By owner, group and mode alone: what lists of access rights and mounts add is not seen.
        """
        for directory in reversed(path.parents):
            if not self._may(directory, stat.S_IXOTH):
                return directory
        return None if self._may(path, wanted) else path

    def _may(self, path: Path, wanted: int) -> bool:
        try:
            there = path.stat()
        except OSError:
            return True  # what is not there, or not to be seen, others complain of
        if self.uid == 0:
            return True
        shift = 6 if there.st_uid == self.uid else 3 if there.st_gid in self.gids else 0
        return there.st_mode >> shift & wanted == wanted


def _service_user(file: Path) -> Somebody | None:
    """Whom the service runs as, if this machine has him and the file is the service's."""
    if not file.absolute().is_relative_to(SERVICE_FILES):
        return None
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return None
    groups = {user.pw_gid, *(each.gr_gid for each in grp.getgrall() if SERVICE_USER in each.gr_mem)}
    return Somebody(name=SERVICE_USER, uid=user.pw_uid, gids=frozenset(groups))


def _self() -> Somebody:
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Somebody(name=name, uid=uid, gids=frozenset({os.getegid(), *os.getgroups()}))


async def examine_permissions(visit: Visit) -> None:
    """What the service's user may read and write, and who else may read secrets."""
    configuration = visit.configuration
    service = _service_user(configuration.file)
    user = service or _self()
    wrong = False
    for path, wanted, what in (
        (configuration.file, 4, "read"),
        *((each, 4, "read") for each in _plain_files(configuration)),
        *((each, 7, "write") for each in _directories(configuration)),
    ):
        stopped_by = user.may(path, wanted)
        if stopped_by is not None:
            wrong = True
            seen = f"{user.name} may not {what} it" + (f", for {stopped_by}" if stopped_by != path else "")
            own = f"chown {user.name} {stopped_by}" if what == "write" else f"chgrp {user.name} {stopped_by}"
            grant = (
                "" if what == "write" else f" && chmod g+{'x' if stopped_by.is_dir() else 'r'} {stopped_by}"
            )
            visit.wrong(str(path), seen, f"{own}{grant}", code=os.EX_NOPERM)
    loaded = "CREDENTIALS_DIRECTORY" in os.environ
    for path in _secrets(configuration):
        stopped_by = None if loaded else user.may(path, 4)
        if stopped_by is not None and service is None:
            wrong = True
            visit.wrong(
                str(path), f"{user.name} may not read it", f"chmod u+r {stopped_by}", code=os.EX_NOPERM
            )
        opened = _open_to(path)
        if opened:
            wrong = True
            visit.wrong(str(path), f"a secret that {opened}", f"chmod 0640 {path}", code=os.EX_NOPERM)
    if _may_be_written(configuration.file):
        wrong = True
        mend = f"chmod o-w {configuration.file}"
        visit.wrong(
            str(configuration.file), "any user of this machine may change it", mend, code=os.EX_NOPERM
        )
    if not wrong:
        visit.ok(
            "files and directories",
            f"{user.name} may read and write what it needs; no secret is open to others",
        )


def _plain_files(configuration: Configuration) -> Iterator[Path]:
    found: dict[Path, None] = {}
    for each in (configuration.broker.ca_file, configuration.broker.certificate_file):
        if each is not None:
            found[each] = None
    for device in configuration.devices:
        for each in (device.trust.ca_file, device.trust.known_hosts):
            if each is not None:
                found[each] = None
    yield from (each for each in found if each.exists())


def _secrets(configuration: Configuration) -> Sequence[Path]:
    found = [configuration.broker.password_file, configuration.broker.key_file]
    found += [device.credential.password_file for device in configuration.devices]
    door, page = configuration.feedback, configuration.page
    found += [] if door is None else [door.key_file]
    found += [] if page is None else [page.key_file, page.token_file]
    accounts = configuration.accounts
    for account in () if accounts is None else (accounts.microsoft, accounts.google, accounts.webex):
        for name in ("secret_file", "key_file", "client_secret_file", "activation_code_file"):
            found.append(getattr(account, name, None))
    found.append(getattr(None if accounts is None else accounts.push, "key_file", None))
    there = dict.fromkeys(each for each in found if each is not None and str(each) != os.devnull)
    return [each for each in there if each.is_file()]


def _directories(configuration: Configuration) -> Iterator[Path]:
    for each in (configuration.state_directory, configuration.socket.parent):
        if each.is_dir():
            yield each


def _open_to(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        reached = all(each.stat().st_mode & stat.S_IXOTH for each in path.parents)
    except OSError:
        return ""
    if not reached:
        return ""  # others do not come so far
    if mode & stat.S_IROTH:
        return "any user of this machine may read"
    return "others than its owner may change" if mode & (stat.S_IWOTH | stat.S_IWGRP) else ""


def _may_be_written(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False


# ── the clock ─────────────────────────────────────────────────────────────────────────────────────


async def examine_clock(visit: Visit) -> None:
    """Whether a time service keeps it, and whether the clouds have the same time."""
    match clocks.state():
        case ClockState.SYNCED:
            visit.ok("time service", "the kernel's clock is synchronised")
        case ClockState.UNSYNCED:
            visit.advise(
                "time service",
                "no time service keeps this machine's clock, as far as the kernel knows",
                "switch one on: timedatectl set-ntp true. Clouds turn away who is minutes off",
            )
        case other:
            assert_never(other)
    await clock_of_clouds(visit)


# ── the disk ──────────────────────────────────────────────────────────────────────────────────────


def _nearest(directory: Path) -> Path:
    """The directory, or the first above it that is there and can be seen to be by this user."""
    lineage = (directory, *directory.parents)
    return next(each for each in lineage if os.path.exists(each))  # noqa: PTH110 - no where it may not look


async def examine_disk(visit: Visit) -> None:
    """Where the state is kept: whether it takes more, and what waits there."""
    directory = visit.configuration.state_directory
    there = _nearest(directory)
    what = str(directory)
    try:
        directory.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        mend = "run doctor with sudo"
        visit.advise(what, f"may not be looked at by this user: {error.strerror}", mend)
        _measure(visit, there, directory)
        return
    if there != directory:
        if os.access(there, os.W_OK | os.X_OK):
            visit.advise(what, "is not there yet", "nothing to do: roomd makes it when it starts")
        else:
            visit.wrong(
                what,
                f"is not there, and {there} may not be written by this user",
                f"make it, for the user that roomd runs as: install -d -o roomd -g roomd -m 0750 {directory}",
                code=os.EX_CANTCREAT,
            )
    elif not directory.is_dir():
        mend = "name a directory with agent.state_directory"
        visit.wrong(what, "is no directory", mend, code=os.EX_CANTCREAT)
    else:
        _try_to_write(visit, directory)
    _measure(visit, there, directory)
    _examine_outbox(visit, directory)
    _examine_trends(visit, directory)


def _try_to_write(visit: Visit, directory: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except PermissionError:
        visit.advise(
            str(directory),
            "may not be written by this user",
            "run doctor with sudo",
        )
    except OSError as error:
        visit.wrong(
            str(directory),
            f"takes nothing: {error.strerror}",
            "make room, or see that its disk is sound and mounted for writing",
            code=os.EX_IOERR,
        )
    else:
        visit.ok(str(directory), "can be written")


def _measure(visit: Visit, there: Path, directory: Path) -> None:
    free = shutil.disk_usage(there).free
    used = 0
    if there == directory and directory.is_dir() and os.access(directory, os.R_OK | os.X_OK):
        files = (each for each in directory.iterdir() if not each.name.startswith(trends.FILE))
        used = sum(each.stat().st_size for each in files if each.is_file())
    budget = visit.configuration.budget_bytes
    may_grow = max(0, budget - used)
    seen = f"{free // MEGABYTE} MB free; roomd uses {used // MEGABYTE} MB of its {budget // MEGABYTE} MB"
    if free < NEEDED_FREE_BYTES:
        visit.wrong("free space", seen, "make room on this disk", code=os.EX_CANTCREAT)
    elif free < may_grow:
        mend = f"make room, or set agent.budget_mb to {max(32, (free + used) // MEGABYTE // 2)}"
        visit.advise("free space", f"{seen}, and may grow beyond what is free", mend)
    else:
        visit.ok("free space", seen)


def _examine_outbox(visit: Visit, directory: Path) -> None:
    try:
        with open_to_read(directory) as tx:
            stats = outbox.stats(tx, now=outbox.moment_now())
    except FileNotFoundError:
        return  # it has not run yet
    except (OSError, sqlite3.Error) as error:
        visit.advise(
            "database",
            f"cannot be read by this user: {error.strerror if isinstance(error, OSError) else error}",
            "run doctor with sudo; a damaged one is rescued at the start",
        )
        return
    waiting = f"{stats.depth} waiting"
    if stats.oldest_age_s is not None and stats.oldest_age_s > OLD_BACKLOG_S:
        mend = "look at the broker; nothing is lost while the budget lasts"
        visit.advise("outbox", f"{waiting}, the oldest for {stats.oldest_age_s / 60:.0f} min", mend)
    else:
        visit.ok("outbox", waiting)
    if stats.dead_letters:
        visit.advise(
            "outbox",
            f"{stats.dead_letters} messages that the broker will not take in any form",
            "look at the broker's limits: the largest packet, and the topics that it takes",
        )


def _examine_trends(visit: Visit, directory: Path) -> None:
    path = directory / trends.FILE
    try:
        if not path.exists():
            return  # it has not run yet
        days = trends.look(path)
    except (OSError, sqlite3.Error) as error:
        visit.advise(
            "trends",
            f"cannot be read: {error.strerror if isinstance(error, OSError) else error}",
            "run doctor with sudo; roomd itself sets a damaged file aside, and saves what can be read",
        )
    else:
        visit.ok("trends", _counted(days, "day"))


# ── names of hosts ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Name:
    host: str
    whose: str  # who is reached by it: a device, the broker, …
    device: bool


async def examine_names(visit: Visit) -> None:
    """Whether each host that is named, and not numbered, has an address, soon, and one of its own."""
    names = list(_names(visit.configuration))
    if not names:
        visit.ok("names", "none to look up: all hosts are addresses")
        return
    whose: defaultdict[str, list[_Name]] = defaultdict(list)
    for each in names:
        whose[each.host].append(each)
    began = time.monotonic()
    await look_up(whose, visit.names, so_far=visit.so_far)
    took = time.monotonic() - began
    found = {host: visit.names[host] for host in whose}
    silent = [host for host, answer in found.items() if is_silence(answer)]
    if silent and len(silent) == len(whose):
        visit.wrong(
            "name servers",
            f"no name server answers: {some(silent)} cannot be looked up",
            "check this machine's network and its name servers (/etc/resolv.conf)",
        )
        return
    good = 0
    shared: defaultdict[frozenset[str], list[str]] = defaultdict(list)
    for host, answer in found.items():
        who = ", ".join(dict.fromkeys(each.whose for each in whose[host]))
        devices = any(each.device for each in whose[host])
        match answer:
            case None | socket.EAI_AGAIN:
                mend = "look at this machine's name servers (/etc/resolv.conf)"
                visit.wrong(
                    host,
                    f"is not answered for by any name server within {NAMES_WITHIN_S:.0f} s ({who})",
                    mend,
                )
            case int():
                mend = "check how it is written, and whether the name server here is the one that knows it"
                visit.wrong(host, f"has no address: no name server knows it ({who})", mend)
            case addresses if devices and any(ip_address(each).is_loopback for each in addresses):
                mend = "take it out of /etc/hosts, or write the device's address as host"
                visit.wrong(host, f"leads to this machine itself: {_listed(addresses)} ({who})", mend)
            case addresses:
                good += 1
                if devices:
                    shared[addresses].append(host)
    for addresses, hosts in shared.items():
        if len(hosts) > 1:
            mend = "give each device a name of its own, or take one of the rooms out of the configuration"
            visit.advise(some(hosts), f"are one address: {_listed(addresses)}", mend)
    if good:
        seen = f"{good} of {len(whose)} names have an address"
        if took > SLOW_NAME_S:
            mend = "see which name server is slow (/etc/resolv.conf): each dial waits for it"
            visit.advise("names", f"{seen}, after {took:.0f} s", mend)
        else:
            visit.ok("names", seen)


def _names(configuration: Configuration) -> Iterator[_Name]:
    for device in configuration.devices:
        if device.host:
            yield from _named(device.host, str(device.id), device=True)
    yield from _named(urlsplit(configuration.broker.url).hostname, "broker")
    for service in configuration.services:
        account = getattr(configuration.accounts, service)
        for url in dict.fromkeys(_urls(account)):
            yield from _named(urlsplit(url).hostname, f"{service} calendars")
    push = None if configuration.accounts is None else configuration.accounts.push
    if push is not None:
        yield from _named(urlsplit(push.url).hostname, "where clouds call")


def _urls(account: object) -> Iterator[str]:
    if isinstance(account, MicrosoftAccount):
        yield account.login_url or account.cloud.login
        yield account.graph_url or account.cloud.graph
    for name in getattr(account, "__slots__", ()):
        value = getattr(account, name)
        if isinstance(value, str) and value.startswith("https://"):
            yield value
        elif type(value).__module__.startswith("cloud_link"):
            yield from _urls(value)


def _named(host: str | None, whose: str, *, device: bool = False) -> Iterator[_Name]:
    if host and is_name(host):
        yield _Name(host, whose, device)


def _listed(addresses: frozenset[str]) -> str:
    return ", ".join(sorted(addresses))
