"""Finds room devices, asks them who they are, and says what of it belongs into the configuration."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from agent.candidates import Candidate, plain_fingerprint, written
from agent.core.model import SSH_PORT, Credential, Device, DeviceId, RoomId, Transport, Trust
from agent.room_lines import (
    Addition,
    Amendment,
    Standing,
    StandingDevice,
    Value,
    remark,
    slug,
    taken_ids,
    unique,
)
from agent.settings import LINES, NOBODY
from device_adapters import trust
from device_adapters.conversation import Dial
from device_adapters.errors import DeviceError, PasswordRefused
from device_adapters.http import Http
from device_adapters.introduction import Introduction, configured, mended, met
from device_adapters.knocking import Knocked, Sign, knock
from device_adapters.ssh import Shells
from device_adapters.websocket import WebSockets
from device_adapters.xapi.needs import Need, needs_of, shortfalls

KNOCKS_AT_ONCE: Final = 128  # at addresses where mostly nobody is
DIALS_AT_ONCE: Final = 16
ENOUGH_REFUSED: Final = 2  # passwords: five lock an account, and what one device refuses the others would

Progress = Callable[[str, int, int], None]  # what, how many of how many


class Outcome(StrEnum):
    """What became of a candidate."""

    NEW = "new"
    KNOWN = "in the file"
    MOVED = "in the file, at another address"
    REPINNED = "in the file, with other keys"
    SAME = "the same device as another"
    CHANGED = "shows other keys than it should"
    UNTRUSTED = "not logged in to"  # nobody said that it is the device
    REFUSED = "refused the password"
    UNTRIED = "not tried"  # others had refused the password
    FAILED = "answered, and could not be asked"
    STRANGER = "no room device"
    NOBODY = "nobody there"


WRITTEN: Final = frozenset({Outcome.NEW, Outcome.MOVED, Outcome.REPINNED})
TALKED: Final = WRITTEN | {Outcome.KNOWN}  # to be logged in to, or logged in to


@dataclass(slots=True, kw_only=True)
class Visit:
    """A candidate, and what has become known of it so far."""

    candidate: Candidate
    knocked: Knocked
    outcome: Outcome
    why: str = ""
    standing: StandingDevice | None = None  # it, in the file
    believed: bool = False  # by a pin, an authority or a table: nobody need be asked
    shown: bool = False  # a person was shown its keys, and took them for the device's
    unverified: bool = False  # the file says that nobody need be believed
    ssh_port: int = SSH_PORT
    credential: Credential = NOBODY
    introduction: Introduction | None = None
    lines: Mapping[Transport, DeviceError | None] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()  # that are not met, and may be mended
    room: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        """As a configuration writes it."""
        return self.candidate.written

    @property
    def fingerprint(self) -> str | None:
        """Its certificate's, if that is to be believed: a host key says nothing of it."""
        seen = self.knocked.fingerprint
        vouched = self.knocked.certified or self.unverified or seen == self.candidate.fingerprint
        return seen if self.shown or vouched or seen in self._pinned else None

    @property
    def host_key(self) -> str | None:
        """Its SSH host key, if that is to be believed: a certificate says nothing of it."""
        seen = self.knocked.host_key
        return seen if self.shown or seen in self._pinned else None

    @property
    def _pinned(self) -> list[str]:
        return [] if self.standing is None else _pins(self.standing)

    @property
    def over(self) -> list[str]:
        """The lines that work, the best first."""
        return [str(line) for line, error in self.lines.items() if error is None]

    @property
    def name(self) -> str:
        """What its room is called, by a table, by itself, or for want of anything better."""
        who = self.introduction
        if self.candidate.name or (who is not None and who.name):
            return self.candidate.name or (who.name if who is not None and who.name else "")
        first = self.candidate.host.split(".")[0]
        if not first.isdigit() and ":" not in first:
            return first
        return self.host if who is None else f"{_short(who.product)} {who.serial[-4:]}".strip()

    def told(self) -> dict[str, Any]:
        """For machines."""
        who = self.introduction
        return {
            "host": self.host,
            "outcome": self.outcome.name.lower(),
            "why": self.why or None,
            "room": self.room or None,
            "name": self.name if who is not None else None,
            "product": None if who is None else who.product,
            "serial": None if who is None else who.serial,
            "firmware": None if who is None else who.software,
            "lines": {str(line): None if error is None else str(error) for line, error in self.lines.items()},
            "fingerprint": self.knocked.fingerprint,
            "host_key": self.knocked.host_key,
            "certified": self.knocked.certified,
            "to_set": [need.command for need in self.needs],
            "notes": self.notes,
        }


def _short(product: str) -> str:
    return product.removeprefix("Cisco ").strip()


# ── knocking ──────────────────────────────────────────────────────────────────────────────────────


async def knock_at(
    candidates: Sequence[Candidate],
    there: Standing,
    *,
    ssh_port: int | None,
    file_of: Callable[[str], Path],
    repin: bool,
    progress: Progress,
) -> list[Visit]:
    """Look at all of them, and sort them by what the file has. Nobody is logged in to.

    `file_of` finds the authorities that the file names. CertificateRefused if one cannot be used.
    """
    contexts = trust.Contexts()
    door = asyncio.Semaphore(KNOCKS_AT_ONCE)
    by_place = {device.host: device for device in there.devices if device.host is not None}
    visits: list[Visit] = []

    async def look(candidate: Candidate, device: StandingDevice | None) -> Visit:
        port = _ssh_port(device, there, ssh_port)
        named = None if device is None else device.keys.get("ca_file")
        ca_file = named or there.defaults.get("ca_file")
        async with door:
            knocked = await knock(
                candidate.host,
                candidate.port,
                ssh_port=port,
                contexts=contexts,
                ca_file=file_of(ca_file) if ca_file else None,
            )
        return Visit(
            candidate=candidate, knocked=knocked, outcome=Outcome.NEW, standing=device, ssh_port=port
        )

    async def visit(candidate: Candidate) -> None:
        visits.append(await look(candidate, by_place.get(candidate.place)))
        progress("addresses", len(visits), len(candidates))

    progress("addresses", 0, len(candidates))
    try:
        async with asyncio.TaskGroup() as tasks:
            for candidate in candidates:
                tasks.create_task(visit(candidate), name=f"knock at {candidate.host}")
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    order = {candidate.place: number for number, candidate in enumerate(candidates)}
    visits.sort(key=lambda each: order[each.candidate.place])
    sort(visits, there, repin=repin)
    for each in visits:
        if each.outcome is Outcome.MOVED and each.standing is not None and each.standing.host is not None:
            host, port = each.standing.host
            before = await look(Candidate(host=host, port=port), each.standing)
            if _same_keys(before.knocked, each.knocked):
                each.outcome, each.why = Outcome.SAME, f"{written(host, port)} of the file is this one, too"
    return visits


def _ssh_port(device: StandingDevice | None, there: Standing, given: int | None) -> int:
    own = None if device is None else device.keys.get("ssh_port")
    found = own or given or there.defaults.get("ssh_port") or SSH_PORT
    return found if isinstance(found, int) else SSH_PORT


def _same_keys(one: Knocked, other: Knocked) -> bool:
    pairs = ((one.fingerprint, other.fingerprint), (one.host_key, other.host_key))
    return any(mine is not None and mine == theirs for mine, theirs in pairs)


def sort(visits: Sequence[Visit], there: Standing, *, repin: bool) -> None:
    """Say of each what it is to the file, as far as its keys and its address tell."""
    seen = Counter(key for visit in visits for key in _keys(visit.knocked))
    pinned: dict[str, list[StandingDevice]] = {}
    for device in there.devices:
        for key in _pins(device):
            pinned.setdefault(key, []).append(device)
    for visit in visits:
        if visit.standing is not None:
            _sort_known(visit, visit.standing, there, repin=repin)
            continue
        _sort_unknown(visit)
        if visit.outcome is not Outcome.NEW:
            continue
        for key in _keys(visit.knocked):
            if seen[key] == 1 and len(pinned.get(key, ())) == 1:  # else it is a certificate that many share
                (visit.standing,) = pinned[key]
                visit.outcome, visit.believed = Outcome.MOVED, True


def _keys(knocked: Knocked) -> list[str]:
    return [key for key in (knocked.fingerprint, knocked.host_key) if key is not None]


def _pins(device: StandingDevice) -> list[str]:
    pins = []
    if isinstance(fingerprint := device.keys.get("fingerprint"), str):
        pins.append(plain_fingerprint(fingerprint))
    if isinstance(host_key := device.keys.get("host_key"), str):
        pins.append(_plain_host_key(host_key))
    return pins


def _plain_host_key(text: str) -> str:
    return f"SHA256:{(text.partition(':')[2] or text).strip().rstrip('=')}"


def _sort_known(visit: Visit, device: StandingDevice, there: Standing, *, repin: bool) -> None:
    knocked = visit.knocked
    visit.room = device.room
    if knocked.sign is Sign.NOBODY:
        visit.outcome, visit.why = Outcome.NOBODY, knocked.why
        return
    visit.unverified = bool(device.keys.get("unverified", there.defaults.get("unverified", False)))
    pins = set(_pins(device))
    pinned = {name for name in ("fingerprint", "host_key") if name in device.keys}
    wrong = []
    if knocked.fingerprint is not None and knocked.fingerprint not in pins and not visit.unverified:
        unknown = not pinned and not knocked.certified  # where the file leaves it to an authority
        if "fingerprint" in pinned or unknown:
            wrong.append("certificate")
    if knocked.host_key is not None and "host_key" in pinned and knocked.host_key not in pins:
        wrong.append("SSH host key")
    if not wrong:
        visit.outcome, visit.believed = Outcome.KNOWN, True
    elif repin:
        visit.outcome = Outcome.REPINNED
    else:
        visit.outcome = Outcome.CHANGED
        visit.why = f"another {' and '.join(wrong)} than the file believes"


def _sort_unknown(visit: Visit) -> None:
    candidate, knocked = visit.candidate, visit.knocked
    if knocked.sign is Sign.NOBODY:
        visit.outcome, visit.why = Outcome.NOBODY, knocked.why
    elif not _keys(knocked) or (knocked.sign is Sign.UNSURE and not candidate.named):
        visit.outcome, visit.why = Outcome.STRANGER, knocked.why or "it says nothing by which it is known"
    elif candidate.fingerprint is not None and candidate.fingerprint != knocked.fingerprint:
        visit.outcome = Outcome.CHANGED
        visit.why = f"another certificate than {candidate.where} of the table says"
    else:
        visit.outcome = Outcome.NEW
        visit.believed = knocked.certified or candidate.fingerprint is not None
        if knocked.sign is Sign.UNSURE:
            web = "only its SSH answers: " if knocked.fingerprint is None else ""
            visit.notes.append(f"{web}{knocked.why or 'whether it is a room device is not known'}")


# ── asking who it is ──────────────────────────────────────────────────────────────────────────────


def dials() -> Mapping[Transport, Dial]:
    """The lines to devices, as a command uses them."""
    contexts = trust.Contexts()
    return {
        Transport.WEBSOCKET: WebSockets(contexts=contexts),
        Transport.SSH: Shells(),
        Transport.HTTP: Http(contexts=contexts),
    }


def device_of(visit: Visit, there: Standing, file_of: Callable[[str], Path]) -> Device:
    """Somebody to dial, judged by the keys that were just seen and believed, or by those of the file."""
    keys: Mapping[str, Any] = {} if visit.standing is None else visit.standing.keys
    ca_file = keys.get("ca_file") or there.defaults.get("ca_file")
    certified = visit.knocked.certified
    judged = Trust(
        fingerprint=None if certified else visit.fingerprint,
        ca_file=file_of(ca_file) if certified and ca_file else None,
        host_key=visit.host_key,
    )
    web = (line for line in LINES if line is not Transport.SSH and visit.fingerprint is not None)
    ssh = (Transport.SSH,) if visit.host_key is not None else ()
    return Device(
        id=DeviceId(visit.host),
        room=RoomId("enrolled"),
        host=visit.candidate.host,
        port=visit.candidate.port,
        credential=visit.credential,
        trust=judged,
        ssh_port=visit.ssh_port,
        transports=tuple(sorted((*web, *ssh), key=LINES.index)),
    )


class Round:
    """Logs in to devices: of each credential one first, and no more once two have refused theirs."""

    def __init__(
        self, there: Standing, file_of: Callable[[str], Path], *, fix: bool, progress: Progress
    ) -> None:
        self._there = there
        self._file_of = file_of
        self._fix = fix
        self._progress = progress
        self._dials = dials()
        self._door = asyncio.Semaphore(DIALS_AT_ONCE)
        self._refused = 0
        self._done = 0
        self._of = 0

    async def walk(self, visits: Sequence[Visit]) -> None:
        """Ask them all; what they are, or why they did not say, is in the visits afterwards."""
        self._of = len(visits)
        self._progress("devices", 0, self._of)
        by_credential: dict[Credential, list[Visit]] = {}
        for visit in visits:
            by_credential.setdefault(visit.credential, []).append(visit)
        for own in by_credential.values():  # one after the other: refusals are counted over all of them
            await self._all_of(own)

    async def _all_of(self, visits: list[Visit]) -> None:
        left = list(visits)
        while left:  # alone, until the password is known to be right
            first = left.pop(0)
            await self._one(first)
            if first.introduction is not None:
                break
        async with asyncio.TaskGroup() as tasks:
            for visit in left:
                tasks.create_task(self._one(visit), name=f"meet {visit.host}")

    async def _one(self, visit: Visit) -> None:
        async with self._door:
            if self._refused >= ENOUGH_REFUSED:
                visit.outcome, visit.why = Outcome.UNTRIED, "others had refused the password"
            else:
                await self._meet(visit)
        self._done += 1
        self._progress("devices", self._done, self._of)

    async def _meet(self, visit: Visit) -> None:
        device = device_of(visit, self._there, self._file_of)
        if not device.transports:
            visit.outcome = Outcome.FAILED
            visit.why = f"{visit.knocked.why}, and its SSH host key is not in the file"
            return
        try:
            visit.introduction, visit.lines = await met(device, self._dials)
        except PasswordRefused as error:
            if error.logins:
                self._refused += 1
            visit.outcome, visit.why = Outcome.REFUSED, str(error)
            return
        who = visit.introduction
        if who is None:
            whys = {line: str(error) for line, error in visit.lines.items() if error is not None}
            visit.outcome = Outcome.FAILED
            visit.why = "; ".join(f"{line}: {why}" for line, why in whys.items())
            return
        if self._fix:
            visit.needs = await self._lacking(visit, device, who)

    async def _lacking(self, visit: Visit, device: Device, who: Introduction) -> tuple[Need, ...]:
        over = next(line for line, error in visit.lines.items() if error is None)
        needs = tuple(
            need for need in needs_of(who.product, who.firmware, over=over) if need.mends and not need.without
        )
        try:
            async with self._dials[over](device, contextlib.nullcontext()) as line:
                return shortfalls(needs, await configured(line, needs))
        except DeviceError as error:
            visit.notes.append(f"its configuration could not be read: {error}")
            return ()


async def mend(
    visits: Sequence[Visit], there: Standing, file_of: Callable[[str], Path], *, progress: Progress
) -> Mapping[str, Mapping[str, str]]:
    """Set what these devices lack; by host what was not taken, and why."""
    ways = dials()
    door = asyncio.Semaphore(DIALS_AT_ONCE)
    refused: dict[str, Mapping[str, str]] = {}
    done = 0

    async def one(visit: Visit) -> None:
        nonlocal done
        over = next(line for line, error in visit.lines.items() if error is None)
        async with door:
            try:
                device = device_of(visit, there, file_of)
                async with ways[over](device, contextlib.nullcontext()) as line:
                    refused[visit.host] = await mended(line, visit.needs)
            except DeviceError as error:
                refused[visit.host] = dict.fromkeys((need.path for need in visit.needs), str(error))
        done += 1
        progress("devices", done, len(visits))

    async with asyncio.TaskGroup() as tasks:
        for visit in visits:
            tasks.create_task(one(visit), name=f"mend {visit.host}")
    return refused


# ── what of it belongs into the file ──────────────────────────────────────────────────────────────


def recognize(visits: Sequence[Visit], there: Standing) -> None:
    """Know devices again by the serial numbers that they said: in the file, and among each other."""
    met_before: dict[str, Visit] = {}
    for visit in sorted(visits, key=lambda each: each.outcome is not Outcome.KNOWN):
        who = visit.introduction
        if who is None or not who.serial or visit.outcome not in TALKED:
            continue
        if (twin := met_before.get(who.serial)) is not None:
            visit.outcome, visit.why = Outcome.SAME, f"{twin.host} is this one, too"
            continue
        met_before[who.serial] = visit
        if visit.outcome is Outcome.NEW:
            remarked = [device for device in there.devices if device.is_remarked(who.serial)]
            if len(remarked) == 1:
                visit.outcome, (visit.standing,) = Outcome.MOVED, remarked


def changes(
    visits: Iterable[Visit],
    text: str,
    there: Standing,
    *,
    room: str | None,
    login: Callable[[Visit], Mapping[str, Value]],
    ssh_port: int | None,
) -> list[Addition | Amendment]:
    """What is to be written of these devices; says in each visit which room it is in.

    `login` gives the keys of a device's own account, if it has one; `ssh_port` is that of all new devices,
    where it is not what the file says anyway.
    """
    found: list[Addition | Amendment] = []
    taken = set(taken_ids(text))
    named = {standing.name.casefold(): standing for standing in there.rooms}
    in_run: dict[str, str] = {}  # a table's names of rooms, to ids
    for visit in visits:
        if visit.outcome not in WRITTEN or visit.introduction is None:
            continue
        if visit.standing is not None:
            visit.room = visit.standing.room
            found.append(_amendment(visit, visit.standing))
            continue
        said, name = visit.candidate.name, visit.name
        twin = named.get(name.casefold())
        if room is not None or visit.candidate.room is not None:
            visit.room = visit.candidate.room or room or ""
        elif said is not None and said.casefold() in in_run:
            visit.room = in_run[said.casefold()]
        elif twin is not None and (said is not None or not twin.devices):
            visit.room = twin.id
        else:
            visit.room = unique(slug(name) or _fallback(visit.introduction), taken)
            if twin is not None:
                visit.notes.append(
                    f"a room {twin.name!r} stands there already ({twin.id}). If this device is in it, take "
                    f"these lines out again, and: roomd enroll {visit.host} --room {twin.id}"
                )
        if (
            "navigator" in visit.introduction.product.lower()
            and room is None
            and visit.candidate.room is None
        ):
            visit.notes.append(
                "a Room Navigator alone counts nobody. If a codec is in its room, it is not needed here"
            )
        if said is not None:
            in_run[said.casefold()] = visit.room
        taken.add(visit.room)
        found.append(_addition(visit, visit.introduction, login(visit), ssh_port))
    return found


def _fallback(who: Introduction) -> str:
    return slug(f"room {who.serial}") or "room"


def _amendment(visit: Visit, device: StandingDevice) -> Amendment:
    keys: dict[str, Value] = {}
    if device.host != visit.candidate.place:
        keys["host"] = visit.host
    pins = _pins(device)
    by_pin = "fingerprint" in device.keys or not visit.knocked.certified
    if visit.fingerprint is not None and visit.fingerprint not in pins and by_pin:
        keys["fingerprint"] = visit.fingerprint
    if visit.host_key is not None and "host_key" in device.keys and visit.host_key not in pins:
        keys["host_key"] = visit.host_key
    return Amendment(place=device.place, keys=keys)


def _addition(visit: Visit, who: Introduction, login: Mapping[str, Value], ssh_port: int | None) -> Addition:
    candidate = visit.candidate
    keys: dict[str, Value] = {}
    if visit.fingerprint is not None and not visit.knocked.certified:
        keys["fingerprint"] = visit.fingerprint
    if visit.host_key is not None:
        keys["host_key"] = visit.host_key
    if ssh_port is not None and visit.host_key is not None:
        keys["ssh_port"] = ssh_port
    return Addition(
        room=visit.room,
        name=visit.name,
        capacity=candidate.capacity,
        calendar=candidate.calendar,
        host=visit.host,
        remark=remark(who.product, who.serial),
        keys={**keys, **login},
    )
