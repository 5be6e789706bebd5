"""Examines the devices: whether each can be heard, over what, as whom, and what is set up against us."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Final

from agent.certificates import Shown, flaws, read, shown_at
from agent.core.model import Credential, Device, ReleaseMode, Transport
from agent.door_checks import examine_own_certificate, listens
from agent.findings import Visit, some
from agent.line_words import AUTHORITY, NAME_SERVERS, in_words, of_names
from agent.names import is_name, look_up
from agent.record import lines
from device_adapters import errors
from device_adapters.conversation import Dial
from device_adapters.errors import CertificateRefused, DeviceBooting, DeviceError, PasswordRefused
from device_adapters.survey import LIMITS, Survey, survey
from device_adapters.trust import fingerprint
from device_adapters.xapi.needs import LEAVES_BOOKINGS_ALONE, lacked, needs_of, shortfalls
from device_adapters.xapi.plans import MESSAGES_DENIED
from device_adapters.xapi.schema import SINCE_11_23, read_firmware

DEVICE_WITHIN_S: Final = 45.0  # three lines that are dead, one after the other; not counting its turn
CERTIFICATE_WITHIN_S: Final = 5.0
DIALLED_AT_ONCE: Final = 256  # sockets; few of them get beyond the door at once
LOOKED_AT_ONCE: Final = 64
REFUSALS_THAT_STOP: Final = 2  # of devices; of a password that none has taken, the first
CLOCK_OFF: Final = timedelta(seconds=60)
SESSIONS_LEFT: Final = 3  # fewer, and one that broke keeps roomd out
FIRST_ROOMOS: Final = 10
MENDS: Final = tuple(
    kind.mend for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DeviceError)
)
MEND_ONCE: Final = (  # RoomOS counts refused log-ins
    "mend user or password file before doctor runs again: each run costs a device up to two log-ins, and "
    "five that it refuses lock the account"
)
BETTER_LINE: Final = "nothing to do if it is meant so; a WebSocket tells most, and soonest"


async def examine_devices(visit: Visit) -> None:
    """Each device, by the running daemon's word where there is one, else by dialling it once."""
    devices = visit.configuration.devices
    if visit.picture is not None:
        await _by_daemon(visit, visit.picture)
    elif devices:
        seen = _Seen()
        await _dial_all(visit, devices, seen)
        seen.tell(visit)
    else:
        visit.ok("devices", "none are configured")
    feedback = visit.configuration.feedback
    if feedback is None:
        return
    examine_own_certificate(visit, "feedback", feedback.certificate_file, feedback.key_file)
    if visit.picture is not None:
        place = f"{feedback.host}:{feedback.port}"
        if await listens(feedback.host, feedback.port):
            visit.ok("feedback", f"roomd listens on {place} for devices that call back")
        else:
            mend = (
                "see why in the log of roomd; until it listens, devices over HTTP are asked every half minute"
            )
            visit.wrong("feedback", f"nobody listens on {place}", mend)


@dataclass(slots=True)
class _Seen:
    """What is told of many devices together, once all have been looked at: by what it is, their names."""

    serials: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    firmware: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    admins: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # by user
    dark: list[str] = field(default_factory=list)  # whose lights the account may not switch

    def note(self, name: str, serial: str | None, firmware: str | None) -> None:
        """Something of a device that is heard."""
        if serial:
            self.serials[serial].append(name)
        if firmware:
            self.firmware[_version(firmware)].append(name)

    def tell(self, visit: Visit) -> None:
        """What is so at several devices, in one finding each."""
        for serial, names in sorted(self.serials.items()):
            if len(names) > 1:
                visit.wrong(
                    f"serial number {serial}",
                    f"{some(names)} are the same device: what it says is told of several rooms",
                    "give each its own host in the configuration",
                    code=os.EX_CONFIG,
                )
        for version, names in sorted(self.firmware.items()):
            _tell_of_firmware(visit, version, names)
        for user, names in sorted(self.admins.items()):
            visit.advise(
                f"account {user}",
                f"has the role Admin on {some(names)}, which roomd does not need there",
                "give it User and Integrator instead: whoever learns its password then cannot change devices",
            )
        if self.dark:
            visit.advise(
                "lights at the door",
                f"stay as they are on {some(self.dark)}: only Admin may switch them",
                "give the account the role Admin if lights are to show holds; nothing to do otherwise",
            )


def _tell_of_firmware(visit: Visit, version: str, names: Sequence[str]) -> None:
    firmware = read_firmware(version)
    lacking = lacked(firmware)
    if not lacking:
        return
    loses = "; ".join(f"{what} (since {since.major}.{since.minor})" for what, since in lacking)
    seen = f"on {some(names)}: {loses}"
    if SINCE_11_23.covers(firmware):
        visit.ok(version, seen)
        return
    newest = max(since for _, since in lacking)
    mend = f"upgrade to RoomOS {newest.major}.{newest.minor} or newer for all of it"
    visit.advise(version, seen, mend)


def _version(text: str) -> str:
    """As people name it, without the build."""
    major, minor, patch = read_firmware(text)
    return f"{'CE' if major < FIRST_ROOMOS else 'RoomOS'} {major}.{minor}.{patch}"


# ── beside a running daemon ───────────────────────────────────────────────────────────────────────


async def _by_daemon(visit: Visit, picture: Mapping[str, Any]) -> None:
    """A refused log-in more would bring an account nearer to its lock: certificates are shown to anybody."""
    seen = _Seen()
    configured = {str(device.id): device for device in visit.configuration.devices}
    told = [device for room in picture["rooms"] for device in room["availability"]["devices"]]
    connected = [
        configured[str(each["device"])]
        for each in told
        if each["phase"] == "connected"
        and str(each["device"]) in configured
        and each["transport"] != Transport.CLOUD
    ]
    shown = await _certificates(visit, connected)
    surveys: Mapping[str, Survey | DeviceError | None] = {}
    if visit.thorough and connected:
        surveys = await _Round(visit, connected).walk()
    for each in told:
        device = configured.get(str(each["device"]))
        what = str(each["device"]) if device is None else _name(device)
        match each["phase"]:
            case "connected":
                seen.note(str(each["device"]), each.get("serial"), each["firmware"])
                facts = _Facts(
                    said=f"{each['product']}, {each['firmware']}, over {each['transport']}",
                    not_better=each["transport_why"],
                    shortcomings=list(each["shortcomings"]),
                )
                found = surveys.get(str(each["device"]))
                if device is not None and isinstance(found, Survey):
                    facts.further(visit, device, found, seen)
                if device is not None:
                    facts.certificate(visit, device, shown.get(device.id))
                facts.tell(visit, what)
            case "unheard":
                visit.advise(what, "roomd is dialling it", "look again in a minute")
            case "refused":
                _unwell(visit, what, str(each["why"]), code=os.EX_NOPERM)
            case _:
                _unwell(visit, what, str(each["why"]))
    heard = {str(each["device"]) for each in told}
    await _dial_all(visit, [device for name, device in configured.items() if name not in heard], seen)
    seen.tell(visit)


def _unwell(visit: Visit, what: str, why: str, *, code: int = os.EX_UNAVAILABLE) -> None:
    """As the daemon says it: why, and the mend of the error that it was."""
    for mend in MENDS:
        if why.endswith(f"; {mend}"):  # as `Link` says it
            why = why.removesuffix(f"; {mend}")
            if mend == DeviceBooting.mend:
                visit.advise(what, in_words(why), "look again in a minute")
                return
            visit.wrong(what, in_words(why), of_names(why) or mend, code=code)
            return
    visit.wrong(what, in_words(why), "see the log of roomd", code=code)


# ── by dialling ───────────────────────────────────────────────────────────────────────────────────


async def _dial_all(visit: Visit, devices: Sequence[Device], heard: _Seen) -> None:
    by_cloud = [str(device.id) for device in devices if device.transports == (Transport.CLOUD,)]
    if by_cloud:
        seen = "heard through Webex only, which only the running daemon asks"
        visit.advise(some(by_cloud), seen, "start roomd, and look again")
    devices = [device for device in devices if device.transports != (Transport.CLOUD,)]
    hosts = [device.host for device in devices if is_name(device.host)]
    await look_up(hosts, visit.names, so_far=visit.so_far)
    nameless = [
        device for device in devices if not isinstance(visit.names.get(device.host, _FOUND), frozenset)
    ]
    if nameless:
        seen = "not dialled: no address is known for the names of their hosts"
        visit.wrong(some([_name(each) for each in nameless]), seen, NAME_SERVERS)
    devices = [device for device in devices if device not in nameless]
    if not devices:
        return
    await _Round(visit, devices, heard).walk()


_FOUND: Final = frozenset[str]()  # what is an address needs no looking up


class _Untried(DeviceError):
    """Not dialled to the end: others refused the same password."""


@dataclass(slots=True)
class _Account:
    """What became of one user and password so far."""

    taken: bool = False
    refused: int = 0
    trying: int = 0  # devices that show it now, before any has taken it
    may_try: int = 1  # so many: twice as many whenever one came to nothing, else the dead would cost hours
    untried: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stopped(self) -> bool:
        """Whether it would only lock accounts to try it further."""
        return self.refused >= (REFUSALS_THAT_STOP if self.taken else 1)


class _Round:
    """Dials devices, of each account one first: what it refuses, the others would, and lock accounts.

    All are called at once, and those that answer wait at the door: a dead one keeps nobody waiting.
    """

    def __init__(self, visit: Visit, devices: Sequence[Device], heard: _Seen | None = None) -> None:
        self._visit = visit
        self._devices = devices
        self._heard = heard  # None: only the surveys matter, and nothing is told
        self._sockets = asyncio.Semaphore(DIALLED_AT_ONCE)
        self.door = asyncio.Semaphore(visit.configuration.dial_at_once)
        self._dial: Dial = lines()
        self._done = 0
        self._accounts: defaultdict[Credential, _Account] = defaultdict(_Account)
        self._found: dict[str, Survey | DeviceError | None] = {}

    async def walk(self) -> Mapping[str, Survey | DeviceError | None]:
        """What was found, by device."""
        self._visit.so_far(0, len(self._devices))
        async with asyncio.TaskGroup() as tasks:
            for device in self._devices:
                tasks.create_task(self._one(device), name=f"device {device.id}")
        for credential, account in self._accounts.items():
            if account.untried and self._heard is not None:
                seen = f"not tried: {credential.password_file} is theirs as well, and was refused"
                self._visit.advise(some(account.untried), seen, MEND_ONCE)
        return self._found

    async def _one(self, device: Device) -> None:
        account = self._accounts[device.credential]
        shown: Shown | None = None
        async with self._sockets:
            found = await self._surveyed(device, account)
            if isinstance(found, Survey | CertificateRefused) and self._heard is not None:
                shown = await _certificate(device)
        self._done += 1
        self._visit.so_far(self._done, len(self._devices))
        self._found[device.id] = found
        if isinstance(found, _Untried):
            account.untried.append(str(device.id))
        elif self._heard is not None:
            _tell_of(self._visit, device, found, shown, self._heard)

    async def _surveyed(self, device: Device, account: _Account) -> Survey | DeviceError | None:
        if account.stopped:
            return _Untried()
        turn = _Turn(self.door, account)
        found: Survey | DeviceError | None = None
        try:
            async with asyncio.timeout(DEVICE_WITHIN_S) as turn.limit:
                found = await survey(
                    device,
                    self._dial,
                    door=turn,
                    timezone=self._visit.configuration.policy.timezone,
                    clock=self._visit.now,
                )
        except TimeoutError:
            pass
        except DeviceError as error:
            found = error.with_traceback(None)
        finally:
            turn.came_to(found)
        return found


class _Turn(AbstractAsyncContextManager[None]):
    """The door as one device's lines pass it, once it has answered; its own time stands still before it."""

    def __init__(self, door: asyncio.Semaphore, account: _Account) -> None:
        self._door = door
        self._account = account
        self._let_in = False
        self._first = False  # it tries what no device has taken yet
        self.limit: asyncio.Timeout | None = None

    async def __aenter__(self) -> None:
        loop, limit = asyncio.get_running_loop(), self.limit
        until = None if limit is None else limit.when()
        left = None if until is None else until - loop.time()
        if limit is not None:
            limit.reschedule(None)
        await self._wait()
        await self._door.acquire()
        if limit is not None and left is not None:
            limit.reschedule(loop.time() + left)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._door.release()

    async def _wait(self) -> None:
        account = self._account
        while not self._let_in:
            if account.stopped:
                raise _Untried
            if account.taken:
                self._let_in = True
            elif account.trying < account.may_try:
                account.trying += 1
                self._let_in = self._first = True
            else:
                await account.news.wait()

    def came_to(self, found: Survey | DeviceError | None) -> None:
        """What became of it; who waits for that goes on."""
        account = self._account
        account.taken = account.taken or isinstance(found, Survey)
        account.refused += isinstance(found, PasswordRefused)
        if self._first:
            self._first = False
            account.trying -= 1
            account.may_try *= 2
        account.news.set()
        account.news = asyncio.Event()


def _tell_of(
    visit: Visit, device: Device, found: Survey | DeviceError | None, shown: Shown | None, heard: _Seen
) -> None:
    what = _name(device)
    match found:
        case None:
            mend = "check the device and the network between"
            visit.wrong(what, f"no answer within {DEVICE_WITHIN_S:.0f} s", mend)
        case Survey():
            connected = found.connected
            heard.note(str(device.id), connected.serial, connected.firmware)
            facts = _Facts(
                said=f"{connected.product}, {connected.firmware}, over {connected.transport}",
                not_better=connected.transport_why,
                shortcomings=list(connected.shortcomings),
            )
            facts.further(visit, device, found, heard)
            facts.certificate(visit, device, shown)
            facts.tell(visit, what)
        case PasswordRefused():
            visit.wrong(what, str(found), MEND_ONCE, code=os.EX_NOPERM)
        case DeviceBooting():
            visit.advise(what, str(found), "look again in a minute")
        case CertificateRefused() if shown is not None and device.trust.fingerprint is None:
            visit.wrong(what, in_words(str(found)), _pin(shown), code=os.EX_NOPERM)
        case errors.DeviceRefused():
            visit.wrong(what, in_words(str(found)), found.mend, code=os.EX_NOPERM)
        case _:
            visit.wrong(what, in_words(str(found)), (of_names(str(found)) or found.mend))


def _pin(shown: Shown) -> str:
    mine = f'if it is the right device, write below it: fingerprint = "{fingerprint(shown.der)}"'
    return f"{mine}; or {AUTHORITY}"


def _name(device: Device) -> str:
    return f"{device.id} ({device.host})" if device.host else str(device.id)


# ── what is told of a device that is heard ────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Facts:
    """A device that is heard: what it is, and what could be better."""

    said: str
    not_better: str | None
    shortcomings: list[str]  # as the device's link has them: "trouble: mend."
    better: str = BETTER_LINE  # what to do about it
    troubles: list[tuple[str, str]] = field(default_factory=list)  # seen, mend
    more: list[str] = field(default_factory=list)  # that is well

    def further(self, visit: Visit, device: Device, found: Survey, heard: _Seen) -> None:
        """What only a conversation can tell: the account's role, sessions, limits, the clock."""
        connected = found.connected
        firmware = read_firmware(connected.firmware)
        transport = Transport(connected.transport)
        needs = needs_of(connected.product, firmware, over=transport)
        off = visit.configuration.policy.rules(device.room).releasing.mode is ReleaseMode.OFF
        for need in shortfalls(needs, found.configured):
            if need is LEAVES_BOOKINGS_ALONE and off:
                continue  # it is the only one that releases
            if not any(need.path in each for each in self.shortcomings):
                self.shortcomings.append(need.sentence)
        if found.shows is False and MESSAGES_DENIED not in self.shortcomings:
            self.shortcomings.append(MESSAGES_DENIED)
        user = device.credential.username
        if found.admin and transport is not Transport.HTTP and not found.light:
            heard.admins[user].append(str(device.id))
        elif found.admin is False and found.light:
            heard.dark.append(str(device.id))
        self._sessions(found)
        if found.ahead is not None and abs(found.ahead) > CLOCK_OFF:
            by = _span(abs(found.ahead))
            way = "ahead of" if found.ahead > timedelta() else "behind"
            mend = (
                "mend the clock that is wrong; the device's by xConfiguration NetworkServices NTP Mode: Auto"
            )
            self.troubles.append((f"its clock is {by} {way} this machine's", mend))

    def _sessions(self, found: Survey) -> None:
        limits = [
            int(value)
            for path in LIMITS
            if (value := str(found.configured.get(path, ""))).isdecimal() and len(value) < len("1000")
        ]
        if found.sessions is None or not limits:
            return
        most = max(limits)
        seen = f"{found.sessions} of {most} sessions open"
        if found.sessions > most - SESSIONS_LEFT:
            mend = "see who holds them (xCommand Security Session List) and end what is left over"
            self.troubles.append((seen, mend))
        else:
            self.more.append(seen)

    def certificate(self, visit: Visit, device: Device, shown: Shown | None) -> None:
        """How its certificate is believed, how long, and whether it is a good one."""
        certificate = None if shown is None else read(shown.der)
        if certificate is None:
            return
        pinned = device.trust.fingerprint is not None
        if shown is not None and self.not_better is not None and "certificate" in self.not_better:
            self.better = _pin(shown)
        for flaw in flaws(certificate, now=visit.now(), pinned=pinned):
            self.troubles.append((flaw.seen, flaw.mend))
        until = f"until {certificate.not_valid_after_utc:%Y-%m-%d}"
        if pinned:
            self.more.append(f"certificate pinned, {until}")
        elif device.trust.unverified:
            self.more.append("certificate not verified")
        else:
            self.more.append(f"certificate by its authority, {until}")

    def tell(self, visit: Visit, what: str) -> None:
        """One finding if all is well, else one for each trouble."""
        seen = self.said
        for trouble, mend in self._all():
            visit.advise(what, f"{seen}; {trouble[:1].lower()}{trouble[1:]}" if trouble else seen, mend)
            seen = self.said.partition(",")[0]  # once is enough
        if not self.shortcomings and not self.troubles:
            if self.not_better:
                seen = f"{self.said}, as a better line cannot be had: {in_words(self.not_better)}"
                visit.advise(what, seen, self.better)
            else:
                visit.ok(what, "; ".join((self.said, *self.more)))

    def _all(self) -> Iterator[tuple[str, str | None]]:
        for shortcoming in self.shortcomings:
            trouble, _, mend = shortcoming.partition(": ")
            yield trouble, mend or None
        yield from self.troubles


def _span(by: timedelta) -> str:
    minutes = by.total_seconds() / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"  # noqa: PLR2004


# ── certificates ──────────────────────────────────────────────────────────────────────────────────


async def _certificates(visit: Visit, devices: Sequence[Device]) -> Mapping[str, Shown | None]:
    """What devices show to anybody: no log-in, and no word."""
    at_once = asyncio.Semaphore(LOOKED_AT_ONCE)
    shown: dict[str, Shown | None] = {}
    visit.so_far(0, len(devices))

    async def look(device: Device) -> None:
        async with at_once:
            shown[device.id] = await _certificate(device)
        visit.so_far(len(shown), len(devices))

    async with asyncio.TaskGroup() as tasks:
        for device in devices:
            tasks.create_task(look(device), name=f"certificate of {device.id}")
    return shown


async def _certificate(device: Device) -> Shown | None:
    if not device.host or device.transports == (Transport.SSH,):
        return None
    return await shown_at(device.host, device.port, within_s=CERTIFICATE_WITHIN_S)
