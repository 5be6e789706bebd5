"""Examines an installation from its file to its calendars, with the daemon running or not: `roomd doctor`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, assert_never

from rich.console import Console
from rich.text import Text

from agent import clock as clocks
from agent import settings
from agent.calendar_checks import clock_of_clouds, examine_calendars, listens
from agent.clock import Clock
from agent.core.events import DeviceConnected, DeviceLost, DeviceRefused, RoomEvent
from agent.core.model import Credential, Device, RoomId, Transport
from agent.findings import TITLES, Finding, Part, Verdict, Visit
from agent.local_api import DaemonAbsent, ask
from agent.record import lines
from agent.settings import Configuration, ConfigurationRefused
from agent.telemetry import printable
from cloud_link import broker, outbox
from cloud_link.broker import BrokerError, Connection
from cloud_link.contract import ClockState
from cloud_link.database import open_to_read
from cloud_link.delivery import Ending, judge_ending
from device_adapters import errors
from device_adapters.conversation import Dial
from device_adapters.errors import DeviceBooting, DeviceError, LineUseless, PasswordRefused
from device_adapters.link import Link, Surroundings

PICTURE_WITHIN_S: Final = 10.0
PICTURE_HAS: Final = {"version", "site", "agent", "rooms", "outbox", "broker"}
BROKER_WITHIN_S: Final = 10.0
GRANTS_WITHIN_S: Final = 5.0
DEVICE_WITHIN_S: Final = 45.0  # three lines that are dead, one after the other
NEEDED_FREE_BYTES: Final = 64 * 1024 * 1024  # a full disk stops the daemon's neighbours as well
OLD_BACKLOG_S: Final = 900.0
REFUSED_FROM: Final = 0x80  # MQTT's reason codes: a refusal
MEGABYTE: Final = 1024 * 1024


async def examine(
    file: Path,
    parts: Collection[Part],
    *,
    tell: Callable[[Finding], None],
    progress: Callable[[Part, int, int], None],
    now: Callable[[], datetime],
) -> None:
    """Examine these parts, one after the other, telling each finding as soon as it is known.

    Nothing is written to a device, a broker or a cloud. A file that cannot be used ends it, as everything
    else is looked for by what stands in it.
    """
    try:
        configuration = settings.read(file)
    except ConfigurationRefused as error:
        for problem in error.problems:
            tell(
                Finding(
                    part=Part.FILE,
                    what=f"{problem.file}: {problem.key}",
                    verdict=Verdict.WRONG,
                    seen=problem.what,
                    mend=problem.mend,
                    code=os.EX_CONFIG,
                )
            )
        return
    picture, absent = await _daemons_word(configuration)
    calendars = await _calendars_word(configuration) if picture is not None else ()
    for part in Part:
        if part in parts:
            visit = Visit(
                part=part,
                configuration=configuration,
                picture=picture,
                calendars=calendars,
                absent=absent,
                now=now,
                tell=tell,
                progress=progress,
            )
            await _CHECKS[part](visit)


async def _daemons_word(configuration: Configuration) -> tuple[Mapping[str, Any] | None, str]:
    """The running daemon's picture; or None, and why there is none."""
    try:
        async with asyncio.timeout(PICTURE_WITHIN_S):
            async for picture in ask(configuration.socket, "picture"):
                if picture.keys() >= PICTURE_HAS:
                    return picture, ""
                return None, f"what answers on {configuration.socket} is another version: restart roomd"
    except DaemonAbsent as error:
        return None, str(error)
    except TimeoutError:
        return None, f"it does not answer on {configuration.socket} within {PICTURE_WITHIN_S:.0f} s"
    except (OSError, ValueError) as error:
        return None, f"{configuration.socket}: {error}"
    return None, f"it hung up on {configuration.socket}"


async def _calendars_word(configuration: Configuration) -> Sequence[Mapping[str, Any]]:
    """How the running daemon's calendars stand; nothing if it does not say."""
    try:
        async with asyncio.timeout(PICTURE_WITHIN_S):
            async for answer in ask(configuration.socket, "calendars"):
                found: Sequence[Mapping[str, Any]] = answer.get("calendars", ())
                return found
    except (DaemonAbsent, TimeoutError, OSError, ValueError):
        pass
    return ()


# ── the file, the clock, the disk ─────────────────────────────────────────────────────────────────


async def _examine_file(visit: Visit) -> None:
    configuration = visit.configuration
    rooms, devices = len(configuration.rooms), len(configuration.devices)
    visit.ok(str(configuration.file), f"good: {rooms} rooms, {devices} devices")
    for note in configuration.notes:
        key, _, what = note.partition(": ")
        visit.advise(key, what or note, "nothing to do if it is meant so")


async def _examine_clock(visit: Visit) -> None:
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


def _nearest(directory: Path) -> Path:
    """The directory, or the first above it that is there and can be seen to be by this user."""
    lineage = (directory, *directory.parents)
    return next(each for each in lineage if os.path.exists(each))  # noqa: PTH110 - no where it may not look


async def _examine_disk(visit: Visit) -> None:
    directory = visit.configuration.state_directory
    there = _nearest(directory)
    what = str(directory)
    try:
        directory.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        mend = "run doctor with sudo, or as the user that roomd runs as"
        visit.advise(what, f"may not be looked at by this user: {error.strerror}", mend)
        _measure(visit, there, directory)
        return
    if there != directory:
        if os.access(there, os.W_OK | os.X_OK):
            visit.advise(what, "is not there yet", "nothing to do: `roomd run` makes it")
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
            "see whether the user that roomd runs as may: sudo -u roomd roomd doctor",
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
        used = sum(each.stat().st_size for each in directory.iterdir() if each.is_file())
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
            f"cannot be read by this user: {error}",
            "run doctor with sudo, or as the user that roomd runs as; a damaged one is rescued at the start",
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


# ── the daemon ────────────────────────────────────────────────────────────────────────────────────


async def _examine_daemon(visit: Visit) -> None:
    picture = visit.picture
    if picture is None:
        visit.advise(
            "roomd",
            f"no word of it: {visit.absent}",
            "what follows is tried from here; the running daemon would know more",
        )
        return
    visit.ok("roomd", f"{picture['version']} answers, as agent {picture['agent']} of site {picture['site']}")
    configured = {room.id for room in visit.configuration.rooms}
    running = {room["room"] for room in picture["rooms"]}
    if configured != running:
        visit.advise(
            "roomd",
            f"it runs with {len(running)} rooms, and the file has {len(configured)}: it was changed since",
            "restart roomd to apply the file",
        )
    backlog = picture["outbox"]
    if backlog["dropped"]:
        visit.advise(
            "roomd",
            f"{backlog['dropped']} messages were dropped for want of room; the cloud was told which",
            "look at the broker, and give agent.budget_mb more",
        )


# ── the broker ────────────────────────────────────────────────────────────────────────────────────


async def _examine_broker(visit: Visit) -> None:
    url = visit.configuration.broker.url
    if visit.picture is None:
        await _try_broker(visit)
        return
    said = visit.picture["broker"]
    if not said["connected"]:
        why = str(said["why"] or "it is being dialled")
        visit.wrong(url, f"roomd is not connected: {why}", "see the log of roomd; nothing is lost meanwhile")
    elif said["deaf_why"]:
        mend = "grant roomd the right to subscribe to its commands' topics"
        visit.wrong(url, f"connected, and brings no commands: {said['deaf_why']}", mend, code=os.EX_NOPERM)
    else:
        visit.ok(url, "roomd is connected")


async def _try_broker(visit: Visit) -> None:
    """Connect for a moment under another client id, so as not to throw a daemon out that runs elsewhere."""
    address = visit.configuration.broker
    own = replace(address, client_id=f"{address.client_id}-doctor"[:200])
    for version in (broker.Version.V5, broker.Version.V311):
        try:
            async with broker.connect(
                replace(own, version=version), within_s=BROKER_WITHIN_S, lasting=False
            ) as connection:
                await _look_around(visit, connection)
                await connection.disconnect()
        except BrokerError as error:
            older = error.lost.unfit or judge_ending(error.lost.code) is Ending.OLDER
            if older and version is broker.Version.V5:
                continue
            _refused_by_broker(visit, error)
        return


def _refused_by_broker(visit: Visit, error: BrokerError) -> None:
    url, lost = visit.configuration.broker.url, error.lost
    if lost.person:
        visit.wrong(url, lost.why, "mend [mqtt] in the configuration, or the file", code=os.EX_CONFIG)
    elif lost.code is not None and judge_ending(lost.code) is Ending.REFUSED:
        visit.wrong(
            url,
            f"the broker turned us away: {lost.why}",
            "mend username and password_file. If the broker knows its clients by their ids, this says "
            "nothing of roomd's own: start it and look again",
            code=os.EX_NOPERM,
        )
    else:
        mend = "check mqtt.url, the way to the broker, and whether its port speaks TLS (mqtts, wss)"
        visit.wrong(url, lost.why, mend)


async def _look_around(visit: Visit, connection: Connection) -> None:
    url, welcome = visit.configuration.broker.url, connection.welcome
    spoken = "MQTT 5" if welcome.version is broker.Version.V5 else "MQTT 3.1.1"
    visit.ok(url, f"let us in, speaks {spoken}, takes {welcome.receive_maximum} messages in flight")
    if not welcome.retain_available:
        mend = "switch retained messages on: the cloud reads the latest state from them"
        visit.wrong("retained messages", "the broker keeps none", mend, code=os.EX_CONFIG)
    filters = visit.configuration.site.commands
    try:
        async with asyncio.timeout(GRANTS_WITHIN_S):
            codes = await connection.subscribe(filters)
    except TimeoutError:
        visit.advise("commands", "the broker did not answer a subscription", "look at its log")
        return
    refused = [each for each, code in zip(filters, codes, strict=False) if code >= REFUSED_FROM]
    if refused:
        mend = "grant the user the right to subscribe to them, and to publish below the same base"
        visit.wrong("commands", f"the broker refuses {', '.join(refused)}", mend, code=os.EX_NOPERM)
    else:
        visit.ok("commands", "may be subscribed to")


# ── the devices ───────────────────────────────────────────────────────────────────────────────────

Heard = DeviceConnected | DeviceLost | DeviceRefused
MENDS: Final = tuple(
    kind.mend for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DeviceError)
)
MEND_ONCE: Final = (  # RoomOS counts refused log-ins
    "mend user or password file before doctor runs again: each run costs a device up to two log-ins, and "
    "five that it refuses lock the account"
)
BETTER_LINE: Final = "nothing to do if it is meant so; a WebSocket tells most, and soonest"


async def _examine_devices(visit: Visit) -> None:
    if visit.picture is not None:
        _devices_by_daemon(visit, visit.picture)
    elif visit.configuration.devices:
        await _dial_all(visit, visit.configuration.devices)
    else:
        visit.ok("devices", "none are configured")
    feedback = visit.configuration.feedback
    if feedback is not None and visit.picture is not None:
        place = f"{feedback.host}:{feedback.port}"
        if await listens(feedback.host, feedback.port):
            visit.ok("feedback", f"roomd listens on {place} for devices that call back")
        else:
            mend = (
                "see why in the log of roomd; until it listens, devices over HTTP are asked every half minute"
            )
            visit.wrong("feedback", f"nobody listens on {place}", mend)


def _devices_by_daemon(visit: Visit, picture: Mapping[str, Any]) -> None:
    """A log-in more would tell less, and a refused one more would bring the account nearer to its lock."""
    for room in picture["rooms"]:
        for device in room["availability"]["devices"]:
            what = str(device["device"])
            match device["phase"]:
                case "connected":
                    told = (device["product"], device["firmware"], device["transport"])
                    _well(visit, what, told, device["transport_why"], device["shortcomings"])
                case "unheard":
                    visit.advise(what, "roomd is dialling it", "look again in a minute")
                case "refused":
                    _unwell(visit, what, str(device["why"]), code=os.EX_NOPERM)
                case _:
                    _unwell(visit, what, str(device["why"]))


async def _dial_all(visit: Visit, devices: Sequence[Device]) -> None:
    by_cloud = [str(device.id) for device in devices if device.transports == (Transport.CLOUD,)]
    if by_cloud:
        seen = "heard through Webex only, which only the running daemon asks"
        visit.advise(", ".join(by_cloud), seen, "start roomd, and look again")
    devices = [device for device in devices if device.transports != (Transport.CLOUD,)]
    await _Round(visit, devices).walk()


class _Round:
    """Dials devices, of each credential one first: what it refuses, the others would, and lock accounts."""

    def __init__(self, visit: Visit, devices: Sequence[Device]) -> None:
        self._visit = visit
        self._devices = devices
        self._door = asyncio.Semaphore(visit.configuration.dial_at_once)
        self._dial = lines()
        self._done = 0
        self._taken: set[Credential] = set()
        self._refused: dict[Credential, list[str]] = {}  # and who was not tried for it

    async def walk(self) -> None:
        self._visit.so_far(0, len(self._devices))
        async with asyncio.TaskGroup() as tasks:
            for credential in dict.fromkeys(device.credential for device in self._devices):
                tasks.create_task(self._all_of(credential), name=f"devices of {credential.username}")
        for credential, untried in self._refused.items():
            if untried:
                seen = f"not tried: {credential.password_file} is theirs as well, and was refused"
                self._visit.advise(", ".join(sorted(untried)), seen, MEND_ONCE)

    async def _all_of(self, credential: Credential) -> None:
        left = [device for device in self._devices if device.credential == credential]
        few = 1  # twice as many each time: where all are away, one after the other would take hours
        while left:
            now, left = (left, []) if credential in self._taken else (left[:few], left[few:])
            few *= 2
            async with asyncio.TaskGroup() as tasks:
                for device in now:
                    tasks.create_task(self._one(device), name=f"device {device.id}")

    async def _one(self, device: Device) -> None:
        heard: Heard | None = None
        async with self._door:  # its time begins here
            untried = self._refused.get(device.credential)
            if untried is None:
                heard = await _dial(self._visit, device, self._dial)
        self._done += 1
        self._visit.so_far(self._done, len(self._devices))
        if untried is not None:
            untried.append(str(device.id))
            return
        if isinstance(heard, DeviceConnected):
            self._taken.add(device.credential)
        elif isinstance(heard, DeviceRefused) and heard.why.endswith(PasswordRefused.mend):
            self._refused.setdefault(device.credential, [])
        _tell_of_device(self._visit, device, heard)


def _tell_of_device(visit: Visit, device: Device, heard: Heard | None) -> None:
    what = f"{device.id} ({device.host})"
    match heard:
        case None:
            mend = "check the device and the network between"
            visit.wrong(what, f"no answer within {DEVICE_WITHIN_S:.0f} s", mend)
        case DeviceConnected():
            told = (heard.product, heard.firmware, heard.transport)
            _well(visit, what, told, heard.transport_why, heard.shortcomings)
        case DeviceRefused() if heard.why.endswith(PasswordRefused.mend):
            why = heard.why.removesuffix(f"; {PasswordRefused.mend}")
            visit.wrong(what, why, MEND_ONCE, code=os.EX_NOPERM)
        case DeviceRefused():
            _unwell(visit, what, heard.why, code=os.EX_NOPERM)
        case DeviceLost() if heard.why.endswith(DeviceBooting.mend):
            visit.advise(what, heard.why, "look again in a minute")
        case DeviceLost():
            _unwell(visit, what, heard.why)
        case other:
            assert_never(other)


def _well(
    visit: Visit,
    what: str,
    told: Sequence[str | None],
    not_better: str | None,
    shortcomings: Sequence[str],
) -> None:
    product, firmware, transport = told
    seen = f"{product}, {firmware}, over {transport}"
    if shortcomings:
        for shortcoming in shortcomings:
            trouble, _, mend = shortcoming.partition(": ")
            visit.advise(what, f"{seen}; {trouble}", mend or None)
    elif not_better:
        visit.advise(what, f"{seen}, as a better line cannot be had: {not_better}", BETTER_LINE)
    else:
        visit.ok(what, seen)


def _unwell(visit: Visit, what: str, why: str, *, code: int = os.EX_UNAVAILABLE) -> None:
    for mend in MENDS:
        if why.endswith(f"; {mend}"):  # as `Link` says it
            visit.wrong(what, why.removesuffix(f"; {mend}"), mend, code=code)
            return
    visit.wrong(what, why, "see the log of roomd", code=code)


async def _dial(visit: Visit, device: Device, dial: Dial) -> Heard | None:
    """The first word of a device as the daemon would hear it; None if there is none in time."""
    heard: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()

    async def deliver(_: RoomId, events: Sequence[RoomEvent]) -> None:
        for event in events:
            if isinstance(event, DeviceLost) and event.why.endswith(LineUseless.mend):
                continue  # another line to it is tried
            if isinstance(event, Heard) and not heard.done():
                heard.set_result(event)

    around = Surroundings(
        dial=dial,
        deliver=deliver,
        door=asyncio.Semaphore(),
        timezone=visit.configuration.policy.timezone,
        clock=visit.now,
        luck=lambda: 0.0,
    )
    async with asyncio.TaskGroup() as tasks:
        talk = tasks.create_task(Link(device, around).run(), name=f"link {device.id}")
        try:
            async with asyncio.timeout(DEVICE_WITHIN_S):
                return await heard
        except TimeoutError:
            return None
        finally:
            talk.cancel()


# ── in a terminal, and for machines ───────────────────────────────────────────────────────────────

_COLOURS: Final[Mapping[Verdict, str]] = {
    Verdict.OK: "green",
    Verdict.ADVICE: "yellow",
    Verdict.WRONG: "bold red",
}


async def consult(file: Path, parts: Collection[Part], found: list[Finding], *, as_json: bool) -> None:
    """Examine, and show each finding as soon as it is there: in words, or as a line of JSON each.

    All of them are in `found` at the end, and as far as it has come.
    """
    out, err = Console(soft_wrap=True, highlight=False), Console(stderr=True, highlight=False)
    shown: list[Part] = []

    def tell(finding: Finding) -> None:
        found.append(finding)
        _wipe(err)
        if as_json:
            out.file.write(f"{json.dumps(finding.told())}\n")  # rich would read addresses as emoji
            out.file.flush()
            return
        if finding.part not in shown:
            if shown:
                out.print()
            shown.append(finding.part)
            out.print(Text(f"{TITLES[finding.part]}", style="bold"))
        out.print(_line(finding))

    def progress(part: Part, done: int, of: int) -> None:
        if err.is_terminal and done < of:
            err.file.write(f"\r\x1b[K{TITLES[part]}: {done} of {of} …")
            err.file.flush()
        else:
            _wipe(err)

    await examine(file, parts, tell=tell, progress=progress, now=Clock().now)
    if not as_json:
        counted = Counter(finding.verdict for finding in found)
        out.print(Text(f"\n{counted[Verdict.WRONG]} wrong, {counted[Verdict.ADVICE]} to think about"))


def _wipe(err: Console) -> None:
    if err.is_terminal:
        err.file.write("\r\x1b[K")
        err.file.flush()


def _line(finding: Finding) -> Text:
    line = Text(f"  {finding.verdict:<8}", style=_COLOURS[finding.verdict])
    line.append(printable(f"{finding.what}: {finding.seen}"), style="default")
    if finding.mend and finding.verdict is not Verdict.OK:
        line.append(f"\n          → {printable(finding.mend)}", style="default")
    return line


_CHECKS: Final[Mapping[Part, Callable[[Visit], Awaitable[None]]]] = {
    Part.FILE: _examine_file,
    Part.CLOCK: _examine_clock,
    Part.DISK: _examine_disk,
    Part.DAEMON: _examine_daemon,
    Part.BROKER: _examine_broker,
    Part.DEVICES: _examine_devices,
    Part.CALENDARS: examine_calendars,
}
