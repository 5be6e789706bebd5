"""Gathers what a bug report needs of an installation, without names and secrets, for `roomd support`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import importlib.metadata
import io
import json
import os
import platform
import pwd
import re
import shutil
import socket
import sqlite3
import tarfile
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from agent import clock as clocks
from agent import trends
from agent.asking import DaemonAbsent, ask
from agent.core.model import DeviceId
from agent.disguise import Disguise, Kind, only_known, without_names
from agent.doctor import examine as examine_installation
from agent.findings import Finding, Part
from agent.settings import known_keys, place_of_secret
from agent.snapshots import read_body
from cloud_link import dead_letters, outbox
from cloud_link.database import open_to_read
from cloud_link.soundness import examine as examine_database


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


UNIT: Final = "roomd"
PICTURE_WITHIN_S: Final = 10.0
ASKED_WITHIN_S: Final = 20.0  # other programs
LONGEST_SECRET_BYTES: Final = 64 * 1024
DEFAULT_STATE: Final = Path("/var/lib/roomd")
DEFAULT_SOCKET: Final = Path("/run/roomd/roomd.sock")
SHORTEST_SECRET: Final = 4

Json = Mapping[str, Any]

# Of the configuration: under these keys, our own words stay as they are; every other text gets a word.
KEPT_KEYS: Final = frozenset(
    {
        *("timezone", "privacy", "transport", "light", "cloud", "writes", "mode", "spare_hours"),
        # Where a sensor's values stand, and its words: like those that we speak ourselves.
        *("says", "presence", "people", "in_use", "seen_at", "availability_path", "component", "yes", "no"),
        *("zigbee2mqtt_base", "home_assistant_base"),
    }
)
KINDS: Final[Mapping[str, Kind]] = {
    "site.id": Kind.SITE,
    "agent.id": Kind.AGENT,
    "host": Kind.HOST,
    "username": Kind.USER,
    "tenant": Kind.TENANT,
    "client_id": Kind.ID,
    "webex": Kind.ID,
    "microsoft": Kind.PERSON,
    "google": Kind.PERSON,
    "subject": Kind.PERSON,
    "books_as": Kind.PERSON,
    "fingerprint": Kind.PRINT,
    "host_key": Kind.PRINT,
}
KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")  # of a line of the log
QUOTED: Final = re.compile(r'"([^"\n]{2,200})"|\'([^\'\n]{2,200})\'')

# Of the log: these texts are our own words, or a peer's with names taken out. Any other text is left out.
SENTENCES: Final = _words(
    """event why mend consequence reason note error cause what seen phase kind level timestamp transport
    status product firmware version service name code state form"""
)
NAMED: Final[Mapping[str, Kind]] = {
    "site": Kind.SITE,
    "agent": Kind.AGENT,
    "room": Kind.ROOM,
    "device": Kind.DEVICE,
    "sensor": Kind.DEVICE,
    "host": Kind.HOST,
    "client_id": Kind.ID,
    "requested_by": Kind.PERSON,
    "peer": Kind.ADDRESS,
    "url": Kind.HOST,
    "stream": Kind.ROOM,
    "topic": Kind.ROOM,
    "path": Kind.PATH,
}
FRAME: Final = re.compile(r'^\s*File "([^"]+)", line (\d+), in (\S+)')
RAISED: Final = re.compile(r"^((?:\w+\.)*\w*(?:Error|Exception|Group|Interrupt|Exit|\w+))(?::|$)")

PROPERTIES: Final = (  # of the service; none holds anybody's words
    "LoadState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainCode,ActiveEnterTimestamp,"
    "InactiveEnterTimestamp,MemoryCurrent,MemoryPeak,CPUUsageNSec,TasksCurrent,UnitFileState,WatchdogUSec,"
    "FragmentPath"
)
PACKAGES: Final = _words(
    """roomd pydantic pydantic-settings typer rich structlog msgspec websockets asyncssh httpx paho-mqtt
    uvloop xmltodict joserfc starlette uvicorn prometheus-client tomlkit"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the bundle is to have in it."""

    file: Path  # the configuration
    lines: int  # of the journal
    examine: bool  # also devices, broker and calendars, which takes its time


@dataclass(slots=True, kw_only=True)
class Bundle:
    """What was gathered: files by name, what could not be had and why, and what was taken out."""

    files: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    made_at: datetime

    def manifest(self) -> Json:
        """What is in it, for whoever sends it and whoever reads it."""
        return {
            "format": "roomd support",
            "made_at": self.made_at.isoformat(timespec="seconds"),
            "files": {name: len(content) for name, content in self.files.items()},
            "missing": self.missing,
            "replaced": self.removed,
            "words": "<room-1> is the first room of the configuration, <host-1> its first host, and so on; "
            "the same name has the same word in every file",
            "never_in_it": "titles, organizers, join links, texts on screens, tokens, passwords, keys, "
            "certificates, envelopes, recordings",
        }

    def packed(self) -> bytes:
        """As a tar.gz, whose owner is nobody."""
        packed = io.BytesIO()
        manifest = json.dumps(self.manifest(), indent=2).encode() + b"\n"
        made_s = int(self.made_at.timestamp())
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", mtime=made_s) as squeezed,
            tarfile.open(fileobj=squeezed, mode="w") as tar,
        ):
            for name, content in {"manifest.json": manifest, **self.files}.items():
                entry = tarfile.TarInfo(f"roomd-support/{name}")
                entry.size, entry.mode, entry.mtime = len(content), 0o600, made_s
                tar.addfile(entry, io.BytesIO(content))
        return packed.getvalue()


async def gather(wish: Wish, *, now: Callable[[], datetime], say: Callable[[str], None]) -> Bundle:
    """Everything that can be had; whatever cannot is named with its reason, and is no error.

    Raises PermissionError where the configuration may not be read, for then nobody knows what to take out.
    """
    bundle = Bundle(made_at=now())
    disguise = Disguise()
    say("the configuration …")
    tables, text = _tables(wish.file, bundle)
    _meet(tables, text, disguise)
    secrets = _secrets(wish.file, tables, bundle)
    for secret in secrets:
        disguise.know(Kind.SECRET, secret)
    keep = _Keeper(bundle, disguise)
    keep.json("configuration.json", _configuration(tables, disguise))
    keep.json("machine.json", _machine(_directory(tables)))
    keep.json("packages.json", _packages())
    say("the daemon …")
    await _ask_daemon(_socket(tables), keep)
    say("the outbox …")
    _look_into_outbox(_directory(tables), keep)
    _look_into_trends(_directory(tables), keep)
    await _ask_systemd(keep)
    if tables:
        await _read_journal(wish.lines, keep)
    else:
        bundle.missing["journal.jsonl"] = (
            "left out: without the configuration nobody knows which names are in it"
        )
    await _examine(wish, keep, now=now, say=say)
    bundle.removed = {str(kind): count for kind, count in sorted(disguise.removed.items())}
    _refuse_secrets(bundle, secrets)
    return bundle


class SecretLeft(Exception):
    """A secret would be in the bundle: a mistake of roomd's, and nothing is written."""


def _refuse_secrets(bundle: Bundle, secrets: Collection[str]) -> None:
    for name, content in bundle.files.items():
        if any(
            secret.encode() in content or json.dumps(secret)[1:-1].encode() in content for secret in secrets
        ):
            raise SecretLeft(name)


EXAMPLES: Final = _words("fjord lake contoso kari nordmann oslo lysaker ada lovelace viken lofoten example")
OTHERS_WORDS: Final = _words(  # of OpenSSL, asyncio and resolvers
    """certificate verify failed unable get local issuer self signed chain expired yet valid hostname mismatch
    not match doesn handshake failure alert unknown wrong version number protocol cipher shared eof occurred
    violation name service known temporary resolution nodename servname provided timed out connect call closed
    reset peer broken pipe bad gateway unavailable forbidden unauthorized invalid client secret token grant"""
)
LETTERS: Final = re.compile(r"[^\W\d_]{3,}")


@cache
def vocabulary() -> frozenset[str]:
    """Every word of our own code, and of the system's errors; a name that is none of them shows as dots."""
    found = set(OTHERS_WORDS)
    for number in errno.errorcode:
        found |= {word.lower() for word in LETTERS.findall(os.strerror(number))}
    for package in ("agent", "cloud_link", "device_adapters"):
        for path in Path(str(resources.files(package))).rglob("*.py"):
            found |= {word.lower() for word in LETTERS.findall(path.read_text(encoding="utf-8"))}
    return frozenset(found - EXAMPLES)


def sentence(text: str, disguise: Disguise) -> str:
    """What we say, with others' words in it: without names, and without any word that is not ours."""
    return only_known(disguise.text(text), vocabulary())


def _said(value: object, disguise: Disguise) -> object:
    if isinstance(value, str):
        return sentence(value, disguise)
    if isinstance(value, list):
        return [_said(each, disguise) for each in value]
    return value


class _Keeper:
    """Puts values into the bundle, without names."""

    def __init__(self, bundle: Bundle, disguise: Disguise) -> None:
        self.bundle = bundle
        self.disguise = disguise

    def json(self, name: str, value: object) -> None:
        told = without_names(value, self.disguise)
        self.bundle.files[name] = json.dumps(told, indent=2, ensure_ascii=False).encode() + b"\n"

    def lines(self, name: str, values: Sequence[object]) -> None:
        told = (json.dumps(without_names(each, self.disguise), ensure_ascii=False) for each in values)
        self.bundle.files[name] = "".join(f"{line}\n" for line in told).encode()

    def missing(self, name: str, why: str) -> None:
        self.bundle.missing[name] = self.disguise.text(" ".join(why.split()))


# ── the configuration ─────────────────────────────────────────────────────────────────────────────


def _tables(file: Path, bundle: Bundle) -> tuple[dict[str, Any], str]:
    text = ""
    try:
        text = file.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except PermissionError:
        raise
    except OSError as error:
        why = f"the configuration: {error.strerror}"
    except UnicodeDecodeError:
        why = "the configuration is no text"
    except tomllib.TOMLDecodeError as error:
        why = f"the configuration is no TOML: {error}"
    bundle.missing["configuration.json"] = why
    return {}, text


def _meet(tables: Json, text: str, disguise: Disguise) -> None:
    """Every name in the configuration gets its word, rooms and hosts in the order of the file."""
    machine = socket.gethostname()
    disguise.know(Kind.MACHINE, machine, machine.partition(".")[0], socket.getfqdn())
    site, mqtt = _table(tables, "site"), _table(tables, "mqtt")
    disguise.know(Kind.SITE, *_texts(site.get("id")))
    disguise.know(Kind.AGENT, *_texts(_table(tables, "agent").get("id")))
    for room in _list(tables.get("rooms")):
        disguise.know(Kind.ROOM, *_texts(room.get("id")), *_texts(room.get("name")))
        for device in _list(room.get("devices")):
            disguise.know(Kind.DEVICE, *_texts(device.get("id")))
            for host in _texts(device.get("host")):
                disguise.know(Kind.HOST, host, host.rpartition(":")[0] or host)
        for sensor in _list(room.get("sensors")):
            disguise.know(Kind.DEVICE, *_texts(sensor.get("id")))
    for url in (*_texts(mqtt.get("url")), *_texts(_table(tables, "sensors").get("url"))):
        with contextlib.suppress(ValueError):
            disguise.know(Kind.HOST, urlsplit(url).hostname or "")
    ours = known_keys()
    for path, value in _leaves(tables):
        for key in path.split("."):
            if key not in ours:
                disguise.know(Kind.NAME, key)
        if not isinstance(value, str) or path.rpartition(".")[2] in KEPT_KEYS or path == "mqtt.root":
            continue
        if "://" in value or path.endswith(("_file", "socket", "state_directory", "listen", "known_hosts")):
            continue  # hosts and paths are found by how they look
        disguise.know(KINDS.get(path) or KINDS.get(path.rpartition(".")[2], Kind.NAME), value)
    if not tables:  # no TOML: whatever stands in quotes may be a name
        for found in QUOTED.finditer(text):
            value = found[1] or found[2]
            if "/" not in value and ":" not in value:
                disguise.know(Kind.NAME, value)
    _meet_others(disguise)


def _meet_others(disguise: Disguise) -> None:
    """Names that stand in the environment, and those of people with an account here."""
    for name, value in os.environ.items():
        if name.startswith("ROOMD_") and not name.endswith("_FILE") and "/" not in value:
            last = name.rpartition("__")[2].lower()
            if last not in KEPT_KEYS:
                disguise.know(KINDS.get(last, Kind.NAME), value)
    for user in pwd.getpwall():
        if 1000 <= user.pw_uid < 65_000:  # noqa: PLR2004 - people, by the custom of Debian
            disguise.know(Kind.PERSON, user.pw_name)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _configuration(tables: Json, disguise: Disguise) -> object:
    """Its shape: keys, numbers and switches as they are, words in the place of names, no paths of secrets."""
    ours = known_keys()

    def told(path: str, value: object) -> object:
        if isinstance(value, Mapping):
            return {
                key if key in ours else disguise.word(Kind.NAME, key): told(f"{path}.{key}".lstrip("."), each)
                for key, each in value.items()
            }
        if isinstance(value, list):
            return [told(path, each) for each in value]
        last = path.rpartition(".")[2]
        if not isinstance(value, str):
            kept = isinstance(value, bool) or (isinstance(value, int | float) and last in ours)
            return value if kept else f"({type(value).__name__})"
        if last == "timezone" and value in _zones():
            return value
        if last in KEPT_KEYS:
            return sentence(value, disguise)
        if last.endswith("_file"):
            return "(a file)"
        if "://" in value:
            return _url(value, disguise)
        if last in {"socket", "state_directory", "listen", "root"}:
            return disguise.text(value)
        if last == "host" and value.count(":") == 1:
            host, _, port = value.partition(":")
            return f"{disguise.word(Kind.HOST, host)}:{port if port.isdigit() else '(no port)'}"
        return disguise.word(KINDS.get(path) or KINDS.get(last, Kind.NAME), value)

    overrides = sorted(name for name in os.environ if name.startswith("ROOMD_"))
    return {"tables": told("", tables), "environment": overrides}


def _url(text: str, disguise: Disguise) -> str:
    try:
        url = urlsplit(text)
        port = f":{url.port}" if url.port else ""
    except ValueError:
        return "(a url)"
    path = "/(a path)" if url.path.strip("/") else ""
    return f"{url.scheme}://{disguise.word(Kind.HOST, url.hostname or '')}{port}{path}"


def _secrets(file: Path, tables: Json, bundle: Bundle) -> list[str]:
    """What stands in the files of secrets, to see that none gets out; they are read for nothing else."""
    found: list[str] = []
    unread = 0
    for path, value in _leaves(tables):
        last = path.rpartition(".")[2]
        if (
            not isinstance(value, str)
            or not last.endswith("_file")
            or last in {"ca_file", "certificate_file"}
        ):
            continue
        try:
            content = (
                place_of_secret(file, value).read_bytes()[:LONGEST_SECRET_BYTES].decode(errors="replace")
            )
        except OSError:
            unread += 1
            continue
        found += [line.strip() for line in content.splitlines() if len(line.strip()) >= SHORTEST_SECRET]
    if unread:
        bundle.missing["secrets"] = f"{unread} secret files could not be read here; none is in the bundle"
    return [each for each in dict.fromkeys(found) if not each.startswith("-----") and each not in "{}[]"]


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each, path)
    else:
        yield path, value


def _table(tables: Json, name: str) -> Json:
    found = tables.get(name)
    return found if isinstance(found, Mapping) else {}


def _list(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _texts(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) and value else ()


def _directory(tables: Json) -> Path:
    named = os.environ.get("ROOMD_AGENT__STATE_DIRECTORY") or _table(tables, "agent").get("state_directory")
    return Path(named) if isinstance(named, str) else DEFAULT_STATE


def _socket(tables: Json) -> Path:
    named = os.environ.get("ROOMD_AGENT__SOCKET") or _table(tables, "agent").get("socket")
    return Path(named) if isinstance(named, str) else DEFAULT_SOCKET


# ── the daemon and its state ──────────────────────────────────────────────────────────────────────


async def _ask_daemon(path: Path, keep: _Keeper) -> None:
    try:
        async with asyncio.timeout(PICTURE_WITHIN_S):
            async for picture in ask(path, "picture"):
                keep.json("daemon.json", _pictured(picture, keep.disguise))
                return
        why = "it hung up"
    except (DaemonAbsent, TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
        why = str(error) or type(error).__name__
    keep.missing("daemon.json", why)


def _pictured(picture: Json, disguise: Disguise) -> Json:
    """What the daemon knows of itself, and of each room only how it stands: nobody's words."""
    return {
        **{
            name: picture.get(name)
            for name in ("version", "at", "broker", "outbox", "devices", "sealing_why")
        },
        "sensors": None
        if not (sensors := picture.get("sensors"))
        else {
            **{name: sensors.get(name) for name in ("connected", "messages", "unreadable")},
            "why": _said(sensors.get("why"), disguise),
        },
        "calendars": [
            {
                **{name: each.get(name) for name in ("service", "phase", "since")},
                "why": _said(each.get("why"), disguise),
            }
            for each in picture.get("calendars", ())
        ],
        "rooms": [_room(each, disguise) for each in picture.get("rooms", ())],
    }


def _room(room: Json, disguise: Disguise) -> Json:
    state, reach = room.get("state", {}), room.get("availability", {})
    return {
        "room": disguise.word(Kind.ROOM, str(room.get("room", ""))),
        "capacity": room.get("capacity"),
        "availability": {
            **{name: reach.get(name) for name in ("state", "since")},
            "why": _said(reach.get("why"), disguise),
        },
        "devices": [
            {
                "device": disguise.word(Kind.DEVICE, DeviceId(str(each.get("device", "")))),
                **{name: each.get(name) for name in ("phase", "product", "transport", "since")},
                "why": _said(each.get("why"), disguise),
                "shortcomings": _said(each.get("shortcomings"), disguise),
                "firmware": f"firmware {each.get('firmware')}",
            }
            for each in reach.get("devices", ())
        ],
        "sensors": [
            {
                "sensor": disguise.word(Kind.DEVICE, str(each.get("sensor", ""))),
                **{name: each.get(name) for name in ("phase", "since", "said_at")},
                "why": _said(each.get("why"), disguise),
            }
            for each in reach.get("sensors", ())
        ],
        "calendar": state.get("calendar"),
        "occupancy": state.get("occupancy"),
        "bookings": [
            {
                name: each.get(name)
                for name in ("starts_at", "ends_at", "phase", "calendar", "all_day", "private")
            }
            for each in state.get("agenda", ())
        ],
        "holds": [
            {name: each.get(name) for name in ("starts_at", "ends_at", "shown")}
            for each in room.get("holds", ())
        ],
    }


def _look_into_outbox(directory: Path, keep: _Keeper) -> None:
    def readable(body: bytes) -> None:
        try:
            read_body(body)
        except Exception as error:
            raise ValueError from error

    try:
        with open_to_read(directory) as tx:
            tx.execute("BEGIN")
            letters = dead_letters.letters(tx)
            keep.json(
                "outbox.json",
                {
                    "stats": asdict(outbox.stats(tx, now=outbox.moment_now())),
                    "verify": [asdict(one) for one in examine_database(tx, readable=readable)],
                    "dead_letters": [
                        {"stream": one.stream, "number": one.number, "kind": one.kind, "code": one.code}
                        for one in letters
                    ],
                },
            )
    except (OSError, sqlite3.Error, KeyError) as error:
        keep.missing("outbox.json", f"the database cannot be read: {error}")


def _look_into_trends(directory: Path, keep: _Keeper) -> None:
    try:
        keep.json("trends.json", asdict(trends.survey(directory)))
    except (OSError, sqlite3.Error) as error:
        keep.missing("trends.json", f"the file of trends cannot be read: {error}")


async def _examine(
    wish: Wish, keep: _Keeper, *, now: Callable[[], datetime], say: Callable[[str], None]
) -> None:
    quick = {Part.FILE, Part.CLOCK, Part.DISK, Part.DAEMON}
    found: list[Finding] = []

    def progress(part: Part, done: int, of: int) -> None:
        say(f"doctor: {part}, {done} of {of} …" if of else f"doctor: {part} …")

    parts = set(Part) if wish.examine else quick
    await examine_installation(wish.file, parts, tell=found.append, progress=progress, now=now)
    keep.lines(
        "doctor.jsonl",
        [{name: _said(value, keep.disguise) for name, value in each.told().items()} for each in found],
    )


# ── the machine ───────────────────────────────────────────────────────────────────────────────────


def _machine(directory: Path) -> Json:
    system = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    memory = os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES")
    nearest = next((each for each in (directory, *directory.parents) if each.exists()), Path("/"))
    disk = shutil.disk_usage(nearest)
    return {
        "system": system.get("PRETTY_NAME"),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "processors": os.cpu_count(),
        "memory_bytes": memory,
        "uptime_s": round(float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])),
        "load": os.getloadavg(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "clock": str(clocks.state()),
        "disk": {"bytes": disk.total, "free_bytes": disk.free},
        "state_files": {
            re.sub(r"\d{8}T[\d.]+Z", "(when)", path.name): path.stat().st_size
            for path in sorted(directory.glob("roomd*"))
            if path.is_file()
        },
        "asked_by_root": os.geteuid() == 0,
    }


def _packages() -> Json:
    versions: dict[str, str | None] = {}
    for name in sorted(PACKAGES):
        try:
            versions[name] = f"version {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


async def _ask_systemd(keep: _Keeper) -> None:
    said, why = await _run("systemctl", "show", UNIT, f"--property={PROPERTIES}")
    if said is None:
        keep.missing("service.json", why)
        return
    pairs = (line.partition("=") for line in said.splitlines() if "=" in line)
    keep.json("service.json", {name: value for name, _, value in pairs})


async def _read_journal(lines: int, keep: _Keeper) -> None:
    said, why = await _run("journalctl", "-u", UNIT, "-n", str(lines), "-o", "json", "--no-pager", "-q")
    if said is None:
        keep.missing("journal.jsonl", why)
        return
    told: list[object] = []
    for line in said.splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                told.append(_entry(entry, keep.disguise))
    if told:
        keep.lines("journal.jsonl", told)
    else:
        keep.missing(
            "journal.jsonl", "the journal shows nothing of roomd's: run with sudo, or join systemd-journal"
        )


async def _run(*command: str) -> tuple[str | None, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        return None, f"{command[0]}: {error.strerror}"
    try:
        async with asyncio.timeout(ASKED_WITHIN_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None, f"{command[0]} did not answer"
    if process.returncode:
        return None, f"{command[0]}: {err.decode(errors='replace').strip()[:200]}"
    return out.decode(errors="replace"), ""


def _entry(entry: Json, disguise: Disguise) -> Json:
    """A line of the journal: ours by its fields, systemd's as it is, any other by its shape only."""
    message = entry.get("MESSAGE")
    text = message if isinstance(message, str) else ""
    stamp = entry.get("__REALTIME_TIMESTAMP")
    at = None
    if isinstance(stamp, str) and stamp.isdigit():
        at = datetime.fromtimestamp(int(stamp) / 1_000_000, UTC).isoformat(timespec="milliseconds")
    told: dict[str, object] = {"at": at, "priority": entry.get("PRIORITY")}
    if entry.get("SYSLOG_IDENTIFIER") == "systemd":
        return {**told, "systemd": disguise.text(text)}
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if isinstance(fields, dict):
        return {**told, **logged(fields, disguise)}
    return {**told, **_trace(text)}


def logged(fields: Json, disguise: Disguise) -> Json:
    """What of a line of our log may be shown around."""
    told: dict[str, object] = {}
    for name, value in fields.items():
        if not KEY.fullmatch(name):
            continue
        if isinstance(value, bool | int | float) or value is None:
            told[name] = value
        elif not isinstance(value, str):
            told[name] = "(left out)"
        elif name in SENTENCES:
            told[name] = value if name in {"event", "level", "timestamp"} else sentence(value, disguise)
        elif name == "exception":
            told |= _trace(value)
        elif name in NAMED:
            shown = disguise.text(value)
            told[name] = shown if shown != value else disguise.word(NAMED[name], value)
        else:
            told[name] = "(left out)"
    return told


def _trace(text: str) -> Json:
    """Where in the code something was raised, and of what type; its words may be anybody's."""
    frames, raised = [], []
    for line in text.splitlines():
        if found := FRAME.match(line):
            parts = Path(found[1]).parts
            frames.append(f"{'/'.join(parts[-2:])}:{found[2]} {found[3]}")
        elif frames and not line.startswith(" ") and (named := RAISED.match(line)):
            raised.append(named[1])
    if frames:
        return {"frames": frames, "raised": raised}
    return {"line": f"({len(text)} letters left out)"}
