"""Reads the configuration once, refuses it loudly and whole, and hands it on as small frozen values."""

from __future__ import annotations

import os
import re
import socket
import stat
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeGuard, get_args
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from agent.attendance_table import AttendanceTable, judging
from agent.core.model import (
    SSH_PORT,
    AgentId,
    Credential,
    Device,
    DeviceId,
    ListedRoom,
    Policy,
    ReleaseMode,
    RoomId,
    Rules,
    SiteId,
    Transport,
    Trust,
)
from agent.core.week import WeekHours, read_hours
from agent.release_table import Hours, ReleaseTable, releasing
from agent.sensor_table import Sensors, SensorsTable, SensorTable, id_of, rules_of, sensor_of
from agent.tables import (
    BrokerTable,
    CalendarTable,
    CalendarTables,
    GoogleTable,
    MicrosoftTable,
    Number,
    PushesTable,
    Slug,
    Table,
    WebexTable,
    Words,
    refused,
)
from cloud_link.address import Address

if TYPE_CHECKING:
    from pydantic_settings import SettingsError

    from cloud_link.calendars.accounts import Accounts, LinkedRoom
    from cloud_link.envelope import Privacy, Site

ENVIRONMENT = "ROOMD_"  # what begins so there goes before the file
HTTPS_PORT = 443
FEEDBACK_PORT = 8443
CREDENTIALS = "credentials"  # secrets, in a directory beside the file; systemd puts it before their names
LARGEST_CREDENTIAL_BYTES = 1 << 20  # systemd refuses more
LONGEST_LABEL = 63  # of a name: resolvers refuse others
PAGE_PORT = 8580
PAGE_SOCKET = "http.sock"  # beside `agent.socket`
TOKEN = re.compile(rb"[!-~]{20,500}")  # fit for a header, and too long to guess
SERVICES = ("microsoft", "google", "webex")
SMALLEST_BUDGET_MB = 32
MOST_GROUPS = 20  # of one room
FINGERPRINT = r"^([Ss][Hh][Aa]256( Fingerprint)?[:=])?([0-9A-Fa-f]{2}:?){32}$"  # also as openssl prints it

LINES = (Transport.WEBSOCKET, Transport.SSH, Transport.HTTP)  # that lead over the network, the better first
NOBODY = Credential(username="", password_file=Path(os.devnull))  # for a device that is asked through Webex

HOST_KEY = r"^([Ss][Hh][Aa]256:)?[A-Za-z0-9+/]{43}=?$"  # as ssh-keygen -l prints it


Count = Annotated[Number, Field(ge=1)]
Group = Annotated[str, StringConstraints(min_length=1, max_length=63, strip_whitespace=True)]


# ── what is refused ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with the configuration, and how to mend it."""

    file: Path
    key: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.what}. {self.mend}"


class ConfigurationRefused(Exception):
    """The configuration cannot be used; every reason is in `problems`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


# ── what is handed on ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSettings:
    """A room as the configuration has it; its devices in order, the codec first."""

    id: RoomId
    name: str
    capacity: int | None
    devices: tuple[Device, ...]
    put_on_devices: bool = False  # its linked calendar's agenda, into those that have none of their own
    groups: tuple[str, ...] = ()

    @property
    def listed(self) -> ListedRoom:
        """As people find it in a list."""
        return _listed(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Where devices that are heard over HTTP call back."""

    host: str
    port: int
    url: str | None  # how devices reach it, where that differs
    certificate_file: Path | None
    key_file: Path | None
    slot: int  # of the four that a device has


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where people and scripts at the site look at it, over HTTP."""

    host: str | None  # None: over the socket only
    port: int
    socket: Path | None  # None: over TCP only
    token_file: Path | None  # None only where nobody but this machine's users can come
    certificate_file: Path | None
    key_file: Path | None
    names: tuple[str, ...]  # of hosts by which it may be called, beside its own

    @property
    def local(self) -> bool:
        """Whether nobody but this machine's users can come."""
        return self.host is None or is_loopback(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything that the daemon is built from."""

    file: Path
    site: Site
    policy: Policy
    privacy: Privacy
    broker: Address
    window: int  # messages in flight at once
    rooms: tuple[RoomSettings, ...]
    dial_at_once: int
    feedback: Feedback | None  # None: devices that are heard over HTTP only are polled
    page: Page | None  # None: there is none
    accounts: Accounts | None  # None: the site has no calendars but its devices'
    linked: tuple[LinkedRoom, ...]  # all rooms, in order, where there are accounts
    sensors: Sensors | None  # that are not Cisco's; None: the site has none
    state_directory: Path
    budget_bytes: int
    socket: Path
    notes: tuple[str, ...]  # what is allowed, and worth a second look

    @property
    def services(self) -> tuple[str, ...]:
        """Whose calendars the site has."""
        return tuple(name for name in SERVICES if getattr(self.accounts, name, None) is not None)

    @property
    def devices(self) -> tuple[Device, ...]:
        """All devices of the site."""
        return tuple(device for room in self.rooms for device in room.devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Which roomd this machine has, and where: what a command needs that asks it or reads its database."""

    file: Path
    site: SiteId
    agent: AgentId
    timezone: tzinfo
    rooms: tuple[ListedRoom, ...]  # those of which the file says enough
    working: tuple[WeekHours, ...]  # hours of the week
    services: tuple[str, ...]  # whose calendars the site has
    state_directory: Path
    budget_bytes: int
    socket: Path


# ── the file's shape ──────────────────────────────────────────────────────────────────────────────


class _Site(Table):
    id: Slug
    timezone: str
    working_hours: tuple[Hours, ...] = ("Mon-Fri 08:00-18:00",)
    privacy: Literal["sealed", "dropped", "plain"] | None = None
    recipient_key_file: str | None = None


class _Agent(Table):
    id: Slug | None = None
    state_directory: Path = Path("/var/lib/roomd")
    socket: Path = Path("/run/roomd/roomd.sock")
    budget_mb: Annotated[Count, Field(ge=SMALLEST_BUDGET_MB)] = 256


class _Mqtt(BrokerTable):
    url: str
    root: str = "roomd"
    window: Annotated[Count, Field(le=1000)] = 40


class _DeviceDefaults(Table):
    username: Words | None = None
    password_file: str | None = None
    transport: Literal["auto", "websocket", "ssh", "http", "cloud"] | None = None
    ca_file: str | None = None
    known_hosts: str | None = None
    ssh_port: Annotated[Count, Field(le=65535)] | None = None
    unverified: bool | None = None
    banner: bool | None = None


class _Devices(_DeviceDefaults):
    dial_at_once: Annotated[Count, Field(le=1000)] = 32


class _Device(_DeviceDefaults):
    host: Words | None = None
    webex: Words | None = None
    id: Slug | None = None
    fingerprint: Annotated[str, StringConstraints(pattern=FINGERPRINT)] | None = None
    host_key: Annotated[str, StringConstraints(pattern=HOST_KEY)] | None = None
    counts_people: bool = False


class _Feedback(Table):
    listen: Words | None = None
    url: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    slot: Annotated[Count, Field(le=4)] = 1


def _listen(value: object) -> object:
    if value is False or value == "false":  # the latter from the environment
        return False
    if isinstance(value, str) and value:
        return value
    raise refused("is no address", f'Write it like "127.0.0.1:{PAGE_PORT}", or false to listen at none')


def _socket(value: object) -> object:
    if value is False or value == "false":
        return False
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value)
    raise refused("is no path", 'Write it whole, like "/run/roomd/http.sock", or false for none')


class _Page(Table):
    listen: Annotated[str | Literal[False], BeforeValidator(_listen)] = f"127.0.0.1:{PAGE_PORT}"
    socket: Annotated[Path | Literal[False] | None, BeforeValidator(_socket)] = None
    token_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    names: tuple[Words, ...] = ()


class _Holds(Table):
    disturb: bool = False
    light: Literal["Green", "Yellow", "Red"] = "Yellow"


def _different(groups: tuple[str, ...]) -> tuple[str, ...]:
    folded = [group.casefold() for group in groups]
    twice = next((group for group in groups if folded.count(group.casefold()) > 1), None)
    if twice is not None:
        raise refused(f"names {twice!r} twice", "Keep one of them")
    return groups


class _Room(Table):
    id: Slug
    name: Words | None = None
    capacity: Count | None = None
    groups: Annotated[tuple[Group, ...], AfterValidator(_different), Field(max_length=MOST_GROUPS)] = ()
    calendar: CalendarTable = CalendarTable()
    attendance: AttendanceTable = AttendanceTable()
    release: ReleaseTable = ReleaseTable()
    devices: tuple[_Device, ...] = ()
    sensors: tuple[SensorTable, ...] = ()


class _File(Table):
    site: _Site
    mqtt: _Mqtt
    agent: _Agent = _Agent()
    devices: _Devices = _Devices()
    feedback: _Feedback = _Feedback()
    page: _Page = _Page()
    holds: _Holds = _Holds()
    attendance: AttendanceTable = AttendanceTable()
    release: ReleaseTable = ReleaseTable()
    microsoft: MicrosoftTable | None = None
    google: GoogleTable | None = None
    webex: WebexTable | None = None
    pushes: PushesTable | None = None
    sensors: SensorsTable | None = None
    rooms: tuple[_Room, ...] = ()


@cache
def _under_the_environment() -> type[_File]:
    """The same shape, over whose values those of the environment are laid."""
    # Most commands find nothing there, and need not wait for a library that reads much more than that.
    from pydantic_settings import (  # noqa: PLC0415
        BaseSettings,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
    )

    class UnderTheEnvironment(_File, BaseSettings):
        model_config = SettingsConfigDict(
            extra="forbid",
            frozen=True,
            hide_input_in_errors=True,
            env_prefix=ENVIRONMENT,
            env_nested_delimiter="__",
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],  # noqa: ARG003  pydantic names and passes them all
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """The environment over the file; no dotenv file and no directory of secrets."""
            return env_settings, init_settings

    return UnderTheEnvironment


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


def read(file: Path) -> Configuration:
    """The configuration in this TOML file, with `ROOMD_…` of the environment laid over it.

    Raises `ConfigurationRefused` with every problem at once, each with its file, its key and its mend.
    """
    content, errors = _content(file)
    return _Reader(file, content, [_explain(file, error) for error in errors]).configuration()


def read_whereabouts(file: Path) -> Whereabouts:
    """As `read`, of [site] and [agent] alone: no file that is named is opened, and the rest may be wrong.

    For those who may ask the daemon and need not be allowed to read its secrets.
    """
    content, errors = _content(file)
    own = [_explain(file, error) for error in errors if error["loc"][:1] in {("site",), ("agent",)}]
    return _Reader(file, content, own).whereabouts()


def _content(file: Path) -> tuple[_File, list[ErrorDetails]]:
    """The file's tables; and what is wrong in them, which is left out."""
    table = _parse(file)
    try:
        return _filled(table), []
    except ValidationError as error:
        errors = error.errors()
        # The rest is looked at all the same: who mends a file wants to know everything at once.
        remainder = _without(table, errors)
        try:
            return _filled(remainder), errors
        except ValidationError:
            raise ConfigurationRefused(_explain(file, e) for e in errors) from None


def _filled(table: Mapping[str, Any]) -> _File:
    if not any(name.upper().startswith(ENVIRONMENT) for name in os.environ):
        return _File(**table)
    from pydantic_settings import SettingsError  # noqa: PLC0415 - as above

    try:
        return _under_the_environment()(**table)
    except SettingsError as error:
        raise ConfigurationRefused([_explain_environment(error)]) from None


def known_keys() -> frozenset[str]:
    """Every key that the file may have, of whatever table."""
    models: list[type[BaseModel]] = [_File]
    found: set[str] = set()
    for model in models:  # grows on the way
        found |= model.model_fields.keys()
        for field in model.model_fields.values():
            inside = (field.annotation, *get_args(field.annotation))
            models += [each for each in inside if isinstance(each, type) and issubclass(each, BaseModel)]
    return frozenset(found)


def place_of_secret(file: Path, name: str) -> Path:
    """Where a secret of this configuration is: with systemd, in `credentials`, or beside the file.

    Of a directory, systemd makes each file a credential, named after both (systemd.exec(5), LoadCredential=).
    """
    if Path(name).is_absolute():
        return Path(name)
    kept = file.parent / CREDENTIALS
    places = [kept / name, file.parent / name]
    if handed := os.environ.get("CREDENTIALS_DIRECTORY"):
        places = [Path(handed) / name, Path(handed) / f"{CREDENTIALS}_{name.replace('/', '_')}", *places]
    for place in places:
        if os.path.exists(place):  # noqa: PTH110 - says no where it may not look
            return place
    return kept / name if os.path.isdir(kept) else file.parent / name  # noqa: PTH112 - the same


def _without(table: dict[str, Any], errors: Iterable[ErrorDetails]) -> dict[str, Any]:
    """The file's tables without what is wrong in them; a room that cannot do without it is left empty."""
    for error in errors:
        *way, last = error["loc"]
        place = [*way, last]
        needed = place[0] in {"rooms", *STAND_INS} and last in {"id", "host", "url", "timezone"}
        if error["type"] == "missing" or needed:
            if place[0] == "rooms" and len(place) > 1 and isinstance(number := place[1], int):
                table["rooms"][number] = {"id": f"{LEFT_OUT}{number}"}
            elif place[0] in STAND_INS:
                table[str(place[0])] = {**_table(table, place[0]), **_stand_ins(place)}
            continue
        if isinstance(last, int) and way[-1:] != ["rooms"]:
            *way, last = way  # a list of words goes as a whole
        holder: Any = table
        for step in way:
            inside = isinstance(holder, list) or (isinstance(holder, dict) and step in holder)
            holder = holder[step] if inside else {}
        if isinstance(holder, dict):
            holder.pop(last, None)
    return table


LEFT_OUT = "left-out-"  # a room of which too little can be read

STAND_INS: Mapping[str, Mapping[str, str]] = {
    "site": {"id": "left-out", "timezone": "UTC"},
    "mqtt": {"url": "mqtts://left-out"},
}


def _table(table: Mapping[str, Any], name: int | str) -> Mapping[str, Any]:
    inside = table.get(str(name), {})
    return inside if isinstance(inside, dict) else {}


def _stand_ins(place: Sequence[int | str]) -> Mapping[str, str]:
    """What stands for a key, or a table, that is missing or wrong: the rest can then be looked at."""
    name, *keys = (str(part) for part in place)
    return {key: text for key, text in STAND_INS[name].items() if not keys or key in keys}


def _parse(file: Path) -> dict[str, Any]:
    def refuse(what: str, mend: str) -> NoReturn:
        raise ConfigurationRefused([Problem(file=file, key="the file", what=what, mend=mend)]) from None

    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        refuse(
            "does not exist",
            "Have `roomd enroll` write it, or write it as the README shows, or name another with --config",
        )
    except IsADirectoryError:
        refuse("is a directory", "Name the file in it with --config")
    except PermissionError:
        refuse("may not be read by this user", "Run it with sudo")
    except UnicodeDecodeError:
        refuse("is not UTF-8 text", "Save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        refuse(f"is not TOML: {error}", "Mend that line; texts stand in quotes")
    except (ValueError, RecursionError):  # digits or brackets beyond what Python's reader takes
        refuse(
            "has a number too long, or brackets too deep, to be read", "Look for what got into it by accident"
        )
    except OSError as error:
        refuse(f"cannot be read: {error.strerror}", "Check the disk and the path")


class _Reader:
    """Turns the file's tables into values, and gathers what is wrong with them on the way."""

    def __init__(self, file: Path, content: _File, problems: Iterable[Problem]) -> None:
        self.file = file
        self.content = content
        self.problems = list(problems)
        self.notes: list[str] = []
        self.found: list[tuple[DeviceId, str]] = []  # devices, usable or not, and where they are

    def configuration(self) -> Configuration:
        site, policy, broker = self._site(), self._policy(), self._broker()
        privacy, rooms, feedback = self._privacy(), tuple(self._rooms()), self._feedback()
        page = self._page()
        accounts, linked = self._calendars()
        sensors = self._sensors(broker)
        self._two_doors(feedback, accounts)
        self._page_apart(page, feedback, accounts)
        self._unique()
        self._handed_over()
        self._releasing(policy)
        if site is None or policy is None or privacy is None or self.problems:
            raise ConfigurationRefused(self.problems)
        agent = self.content.agent
        return Configuration(
            file=self.file,
            site=site,
            policy=policy,
            privacy=privacy,
            broker=broker,
            window=self.content.mqtt.window,
            rooms=rooms,
            dial_at_once=self.content.devices.dial_at_once,
            feedback=feedback,
            page=page,
            accounts=accounts,
            linked=linked,
            sensors=sensors,
            state_directory=agent.state_directory,
            budget_bytes=agent.budget_mb * 1024 * 1024,
            socket=agent.socket,
            notes=tuple(self.notes),
        )

    def whereabouts(self) -> Whereabouts:
        timezone, agent, tables = self._timezone(), self.content.agent, self._tables
        if timezone is None or self.problems:
            raise ConfigurationRefused(self.problems)
        return Whereabouts(
            file=self.file,
            site=SiteId(self.content.site.id),
            agent=self._agent_id(),
            timezone=timezone,
            working=self._working(),
            rooms=tuple(_listed(room) for room in self.content.rooms if not room.id.startswith(LEFT_OUT)),
            services=tuple(name for name in SERVICES if getattr(tables, name) is not None),
            state_directory=agent.state_directory,
            budget_bytes=agent.budget_mb * 1024 * 1024,
            socket=agent.socket,
        )

    def _wrong(self, key: str, what: str, mend: str) -> None:
        if what == "is not given" and any(problem.key == key for problem in self.problems):
            return  # it was, and is wrong
        self.problems.append(Problem(file=self.file, key=key, what=what, mend=mend))

    def _agent_id(self) -> AgentId:
        if self.content.agent.id is not None:
            return AgentId(self.content.agent.id)
        host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")[:63]
        return AgentId(host or "roomd")

    def _site(self) -> Site | None:
        from cloud_link.envelope import Site  # noqa: PLC0415 - and all that is published

        try:
            return Site(
                site=SiteId(self.content.site.id), agent=self._agent_id(), root=self.content.mqtt.root
            )
        except ValueError as error:
            self._wrong("mqtt.root", str(error), "Most sites leave it out")
            return None

    def _policy(self) -> Policy | None:
        timezone = self._timezone()
        holds = self.content.holds
        if timezone is None:
            return None
        return Policy(
            timezone=timezone,
            agent=self._agent_id(),
            disturb=holds.disturb,
            light=holds.light,
            working=self._working(),
            tell_use=(self.content.sensors or SensorsTable()).tell_devices,
            rooms={RoomId(room.id): self._rules(room) for room in self.content.rooms},
        )

    def _working(self) -> tuple[WeekHours, ...]:
        return tuple(read_hours(hours) for hours in self.content.site.working_hours)

    def _timezone(self) -> ZoneInfo | None:
        name = self.content.site.timezone
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._wrong("site.timezone", f"{name!r} is no time zone", 'Write it like "Europe/Oslo"')
            return None

    def _rules(self, room: _Room) -> Rules:
        defaults = self.content.sensors or SensorsTable()
        return Rules(
            capacity=room.capacity,
            judging=judging(self.content.attendance, room.attendance),
            releasing=releasing(self.content.release, room.release),
            sensors=rules_of(RoomId(room.id), room.sensors, defaults),
        )

    def _releasing(self, policy: Policy | None) -> None:
        """Where a room is never released, or without a word, although the file says that it is to be."""
        for room in self.content.rooms:
            rules = Rules() if policy is None else policy.rules(RoomId(room.id))
            if rules.releasing.mode is ReleaseMode.OFF:
                continue
            for name in ("microsoft", "google"):
                table = getattr(self._tables, name)
                linked = table is not None and getattr(room.calendar, name) is not False
                if linked and rules.releasing.organizers and not table.organizers:
                    note = (
                        f"release.spare_organizers: {name.title()} is not asked for organizers, so nothing "
                        f"that it has is released: organizers = true in [{name}]"
                    )
                    if note not in self.notes:  # one for all rooms
                        self.notes.append(note)

    def _privacy(self) -> Privacy | None:
        from cloud_link.privacy import PrivacyMode, UnusableKey, choose  # noqa: PLC0415 - and its libraries

        site = self.content.site
        key_file = self._file("site.recipient_key_file", site.recipient_key_file)
        mode = None if site.privacy is None else PrivacyMode(site.privacy)
        if mode is PrivacyMode.SEALED and site.recipient_key_file is None:
            self._wrong(
                "site.privacy",
                "sealed needs the key of the one who may read",
                'Name its public key with recipient_key_file, or choose "dropped"',
            )
            return None
        if site.recipient_key_file is not None and key_file is None:
            return None
        try:
            return choose(mode, key_file)
        except UnusableKey as error:
            self._wrong("site.recipient_key_file", f"{error.file}: {error.why}", error.mend)
            return None

    def _broker(self) -> Address:
        mqtt = self.content.mqtt
        return self._address(
            "mqtt",
            mqtt,
            mqtt.url,
            mqtt.client_id or own_client_id(self.content.site.id, self._agent_id()),
            local=lambda host: host in {"localhost", "127.0.0.1", "::1"},
            danger="everybody on the way can read and write",
        )

    def _address(
        self,
        name: str,
        table: BrokerTable,
        text: str,
        client_id: str,
        *,
        local: Callable[[str], bool],
        danger: str,
    ) -> Address:
        """Of the broker that a table names; `danger` is that of plain text, but to a `local` host."""
        url = self._url(f"{name}.url", text)
        if url.username or url.password:
            self._wrong(f"{name}.url", "holds a user or a password", "Use username and password_file")
        if table.password_file is not None and table.username is None:
            self._wrong(f"{name}.password_file", "has no username beside it", "Add username")
        if (table.certificate_file is None) != (table.key_file is None):
            what = "needs its key, and a key its certificate"
            self._wrong(f"{name}.certificate_file", what, "Name both, or neither")
        if url.scheme in {"mqtt", "ws"} and not local(url.hostname or ""):
            self.notes.append(f"{name}.url: {url.scheme} is not encrypted: {danger}")
        return Address(
            url=text,
            client_id=client_id,
            username=table.username,
            password_file=self._secret(f"{name}.password_file", table.password_file),
            ca_file=self._file(f"{name}.ca_file", table.ca_file),
            certificate_file=self._file(f"{name}.certificate_file", table.certificate_file),
            key_file=self._secret(f"{name}.key_file", table.key_file),
        )

    def _sensors(self, ours: Address) -> Sensors | None:
        """The sensors that are not Cisco's, heard by the broker of [mqtt] unless [sensors] names another."""
        given = self.content.sensors
        table = given or SensorsTable()
        found = [
            sensor_of(f"rooms[{n}].sensors[{m}]", RoomId(room.id), each, m, table, self._wrong)
            for n, room in enumerate(self.content.rooms)
            for m, each in enumerate(room.sensors)
        ]
        if not found:
            if given is not None:
                self.notes.append("sensors: nobody is heard there, for no room has [[rooms.sensors]]")
            return None
        self.notes += [
            f"rooms.sensors: {rules.id} is silent for long (stale_after_s) before what it says counts "
            "(counts_after_s, clears_after_s): unless it repeats itself, nothing will be known by it"
            for room in self.content.rooms
            for rules in rules_of(RoomId(room.id), room.sensors, table)
            if rules.stale_after is not None
            and max(rules.counts_after, rules.clears_after) >= rules.stale_after
        ]
        broker = replace(ours, client_id=table.client_id or f"{ours.client_id}-sensors")
        if table.url is not None:
            broker = self._address(
                "sensors",
                table,
                table.url,
                broker.client_id,
                local=is_loopback,
                danger="anybody on the way can say what they see",
            )
        else:
            for name in ("ca_file", "username", "password_file", "certificate_file", "key_file"):
                if getattr(table, name) is not None:
                    what = "stands beside no url, and the broker of [mqtt] is reached as [mqtt] says"
                    self._wrong(f"sensors.{name}", what, "Add url, or take it out")
        if (broker.url, broker.client_id) == (ours.url, ours.client_id):
            what = "is the one that [mqtt] has at the same broker, and each would throw the other out"
            self._wrong("sensors.client_id", what, "Write another, or take it out")
        sensors = tuple(sensor for sensor in found if sensor is not None)
        return Sensors(broker=broker, own_broker=table.url is not None, sensors=sensors)

    def _url(self, key: str, text: str) -> SplitResult:
        try:
            url = urlsplit(text)
            good = url.scheme in {"mqtt", "mqtts", "ws", "wss"} and _is_host(url.hostname) and url.port != 0
        except ValueError:
            url, good = SplitResult("", "", "", "", ""), False
        if not good:
            self._wrong(key, f"{text!r} names no broker", 'Write it like "mqtts://broker.example.com:8883"')
        return url

    def _rooms(self) -> Iterator[RoomSettings]:
        if not self.content.rooms:
            self._wrong(
                "rooms",
                "there is none",
                "Add a [[rooms]] with an id, and below it [[rooms.devices]] with a host",
            )
        for number, room in enumerate(self.content.rooms):
            key = f"rooms[{number}]"
            calendars = [name for name in self._tables.read if getattr(room.calendar, name) is not False]
            if not room.devices and not calendars and not room.sensors:
                self.notes.append(
                    f"{key}: {room.id} has no device, calendar or sensor, so nothing will be known of it"
                )
            devices = (
                self._device(f"{key}.devices[{n}]", room, device, n) for n, device in enumerate(room.devices)
            )
            yield RoomSettings(
                id=RoomId(room.id),
                name=room.name or room.id,
                capacity=room.capacity,
                groups=room.groups,
                devices=tuple(device for device in devices if device is not None),
                put_on_devices=room.calendar.put_on_devices,
            )

    @property
    def _tables(self) -> CalendarTables:
        content = self.content
        return CalendarTables(
            microsoft=content.microsoft, google=content.google, webex=content.webex, pushes=content.pushes
        )

    def _calendars(self) -> tuple[Accounts | None, tuple[LinkedRoom, ...]]:
        tables = self._tables
        if tables == CalendarTables() and all(
            room.calendar == CalendarTable() for room in self.content.rooms
        ):
            return None, ()
        from agent.linking import Look, RoomLine, read_accounts, read_links  # noqa: PLC0415 - and its libraries

        look = Look(
            wrong=self._wrong,
            note=self.notes.append,
            file=self._file,
            secret=self._secret,
            place=self._place,
            kept=self.content.agent.state_directory,
            host=lambda key, host, port: self._host(key, host, port=port),
        )
        lines = [
            RoomLine(
                key=f"rooms[{number}]",
                id=RoomId(room.id),
                name=room.name or room.id,
                capacity=room.capacity,
                calendar=room.calendar,
                devices=len(room.devices),
            )
            for number, room in enumerate(self.content.rooms)
        ]
        return read_accounts(tables, look), read_links(lines, tables, look)

    def _device(self, key: str, room: _Room, device: _Device, number: int) -> Device | None:
        defaults = self.content.devices
        id_ = DeviceId(device.id or (f"{room.id}-{number + 1}" if number else room.id))
        transports = self._transports(key, device)
        if device.host is None:
            self.found.append((id_, f"{key}, without a host"))
            host, port, credential = "", HTTPS_PORT, NOBODY
        else:
            host, port = self._host(f"{key}.host", device.host)
            self.found.append((id_, f"{host.lower()}:{port}"))
            found = self._credential(key, device)
            if found is None:
                return None
            credential = found
        trust = self._trust(key, room, device)
        if transports == (Transport.SSH,) and not (trust.host_key or trust.known_hosts or trust.unverified):
            self._wrong(
                f"{key}.transport",
                "ssh needs a way to know the device",
                "Add host_key, as `ssh-keyscan HOST | ssh-keygen -lf -` prints it (SHA256:…), or known_hosts",
            )
        return Device(
            id=id_,
            room=RoomId(room.id),
            host=host,
            port=port,
            credential=credential,
            trust=trust,
            ssh_port=device.ssh_port or defaults.ssh_port or SSH_PORT,
            transports=transports,
            counts_people=device.counts_people,
            banner=bool(defaults.banner if device.banner is None else device.banner),
            webex=device.webex,
        )

    def _transports(self, key: str, device: _Device) -> tuple[Transport, ...]:
        """Over which lines it may be heard: through Webex last, and only if it is named there."""
        named = device.transport or self.content.devices.transport or "auto"
        if device.webex is not None and self.content.webex is None:
            self._wrong(
                f"{key}.webex", "has no [webex] to be asked by", "Add the table [webex], or take this out"
            )
        if named == "cloud" and device.webex is None:
            self._wrong(
                f"{key}.webex",
                "is not given, and transport is cloud",
                "Write its id in Webex or its serial number, or another transport",
            )
        over_the_network = LINES if named == "auto" else tuple(line for line in LINES if line == named)
        if device.host is None and (device.webex is None or named not in {"auto", "cloud"}):
            self._wrong(
                f"{key}.host",
                "is missing",
                "Add it; or webex, for a device that only Webex leads to",
            )
        through_webex = device.webex is not None and named in {"auto", "cloud"}
        return (*(over_the_network if device.host else ()), *((Transport.CLOUD,) if through_webex else ()))

    def _credential(self, key: str, device: _Device) -> Credential | None:
        defaults = self.content.devices
        username = device.username or defaults.username
        if username is None:
            self._wrong(f"{key}.username", "is not given", "Add it here, or once for all in [devices]")
        named = device.password_file or defaults.password_file
        if named is None:
            self._wrong(f"{key}.password_file", "is not given", "Add it here, or once for all in [devices]")
        where = f"{key}.password_file" if device.password_file else "devices.password_file"
        password_file = self._secret(where, named)
        if username is None or password_file is None:
            return None
        return Credential(username=username, password_file=password_file)

    def _trust(self, key: str, room: _Room, device: _Device) -> Trust:
        defaults = self.content.devices
        ca_file = device.ca_file or (None if device.fingerprint else defaults.ca_file)
        unverified = defaults.unverified if device.unverified is None else device.unverified
        if device.unverified and (device.fingerprint or device.ca_file):
            self._wrong(f"{key}.unverified", "contradicts fingerprint and ca_file", "Keep one of them")
        unverified = bool(unverified) and not device.fingerprint and not ca_file
        if unverified:
            self.notes.append(
                f"{key}: {room.id}'s certificate is not verified: its password may go to anybody"
            )
        digits = re.sub(r"^sha256( fingerprint)?[:=]", "", (device.fingerprint or "").lower()).replace(
            ":", ""
        )
        fingerprint = f"sha256:{digits}" if digits else None
        return Trust(
            fingerprint=fingerprint,
            ca_file=self._file(f"{key}.ca_file" if device.ca_file else "devices.ca_file", ca_file),
            host_key=device.host_key,
            known_hosts=self._file(
                f"{key}.known_hosts" if device.known_hosts else "devices.known_hosts",
                None if device.host_key else device.known_hosts or defaults.known_hosts,
            ),
            unverified=unverified,
        )

    def _feedback(self) -> Feedback | None:
        feedback = self.content.feedback
        if (feedback.certificate_file is None) != (feedback.key_file is None):
            self._wrong(
                "feedback.certificate_file",
                "needs its key, and a key its certificate",
                "Name both, or neither",
            )
        certificate_file = self._file("feedback.certificate_file", feedback.certificate_file)
        key_file = self._secret("feedback.key_file", feedback.key_file)
        if feedback.listen is None:
            if feedback.model_fields_set - {"slot"}:
                self._wrong("feedback.listen", "is not given", 'Write where to listen, like "10.0.4.2:8443"')
            return None
        host, port = self._host("feedback.listen", feedback.listen, port=FEEDBACK_PORT)
        if feedback.url is None and _is_everywhere(host):
            self._wrong(
                "feedback.url",
                f"is not given, and no device reaches {host}",
                'Write how devices reach this machine, like "https://roomd.example.com:8443"',
            )
        elif feedback.url is not None and not _is_below_an_address(feedback.url):
            self._wrong(
                "feedback.url",
                "is no address to put a path behind",
                'Write it like "https://roomd.example.com:8443/feedback", without user, "?" and "#"',
            )
        if feedback.certificate_file is None:
            self.notes.append(
                "feedback: without certificate_file, what devices tell over HTTP can be read on its way"
            )
        if feedback.slot == 3:  # noqa: PLR2004 (TMS's, by Cisco's own guide)
            self.notes.append("feedback.slot: 3 is the one that TMS uses: it would take roomd's away")
        return Feedback(
            host=host,
            port=port,
            url=feedback.url,
            certificate_file=certificate_file,
            key_file=key_file,
            slot=feedback.slot,
        )

    def _two_doors(self, feedback: Feedback | None, accounts: Accounts | None) -> None:
        door = None if accounts is None else accounts.push
        if feedback is None or door is None or feedback.port != door.port:
            return
        if feedback.host == door.host or _is_everywhere(feedback.host) or _is_everywhere(door.host):
            self._wrong("pushes.listen", "is where devices call back, too", "Give one of them another port")

    def _page(self) -> Page | None:
        table = self.content.page
        own = self.content.agent.socket
        path = own.with_name(PAGE_SOCKET) if table.socket is None else table.socket or None
        if path == own:
            self._wrong("page.socket", "is agent.socket, which speaks no HTTP", "Give it another name")
        if table.certificate_file is None and table.key_file is not None:
            self._wrong("page.certificate_file", "is not given beside key_file", "Name it, or neither")
        token_file = self._secret("page.token_file", table.token_file)
        certificate_file = self._file("page.certificate_file", table.certificate_file)
        key_file = self._secret("page.key_file", table.key_file)
        self._good_token(token_file)
        if certificate_file is not None and (table.key_file is None or _may_read(key_file)):
            self._good_certificate(certificate_file, key_file)
        for name in table.names:
            if not _is_host(name) or ":" in name:
                self._wrong("page.names", f"{name!r} is no host's name", 'Write it like "roomd.example.com"')
        host, port = None, PAGE_PORT
        if table.listen is not False:
            host, port = self._host("page.listen", table.listen, port=PAGE_PORT)
            if not any(problem.key == "page.listen" for problem in self.problems):
                self._guarded(host)
        if host is None and path is None:
            return None
        return Page(
            host=host,
            port=port,
            socket=path,
            token_file=token_file,
            certificate_file=certificate_file,
            key_file=key_file,
            names=table.names,
        )

    def _guarded(self, host: str) -> None:
        """Whoever can come over the network shows a token, and nobody on the way can read it."""
        table = self.content.page
        if is_loopback(host):
            return
        why = f"is not given, and page.listen, {host}, can be reached over the network"
        if table.token_file is None:
            self._wrong(
                "page.token_file",
                why,
                "Make one with `openssl rand -hex 32 > page-token` beside this file and name it, "
                f'or listen at "127.0.0.1:{PAGE_PORT}" only',
            )
        if table.certificate_file is None:
            self._wrong(
                "page.certificate_file",
                why,
                "Name a certificate for this machine's name, and its key with key_file, "
                f'or listen at "127.0.0.1:{PAGE_PORT}" only',
            )
        if _is_everywhere(host) and not table.names:
            self.notes.append(
                "page.names: none is given, so the page is shown under this machine's addresses and under no "
                'name: names = ["roomd.example.com"]'
            )

    def _good_token(self, file: Path | None) -> None:
        if not _may_read(file):
            return
        token = file.read_bytes().strip()
        if token and TOKEN.fullmatch(token) is None:
            self._wrong(
                "page.token_file",
                f"{file} holds no good token: 20 to 500 letters, digits and signs, on one line",
                f"Make one with `openssl rand -hex 32 > {file}`",
            )

    def _good_certificate(self, certificate: Path, key: Path | None) -> None:
        import ssl  # noqa: PLC0415 - only who has one

        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        except (ssl.SSLError, OSError, ValueError):
            self._wrong(
                "page.certificate_file",
                f"{certificate} and {'the key in it' if key is None else key} are no certificate and its key",
                "Write the certificate with its chain, and its key without a passphrase, both as PEM",
            )

    def _page_apart(self, page: Page | None, feedback: Feedback | None, accounts: Accounts | None) -> None:
        door = None if accounts is None else accounts.push
        if page is None or page.host is None:
            return
        for name, other in (("feedback.listen", feedback), ("pushes.listen", door)):
            if other is None or other.port != page.port:
                continue
            if other.host == page.host or _is_everywhere(other.host) or _is_everywhere(page.host):
                self._wrong("page.listen", f"is the port of {name}, too", "Give one of them another port")

    def _host(self, key: str, host: str, *, port: int = HTTPS_PORT) -> tuple[str, int]:
        try:
            parts = urlsplit(f"//{host}")
            named = _is_host(parts.hostname) and not (parts.hostname or "").isdigit()  # a lone port
            if named and parts.port != 0 and not parts.path and not parts.username:
                return parts.hostname or "", parts.port or port
        except ValueError:
            pass
        self._wrong(key, f"{host!r} is no host", f'Write it like "10.0.4.21" or "10.0.4.21:{port}"')
        return host, port

    def _unique(self) -> None:
        seen = (
            ("rooms.id", "room", Counter(room.id for room in self.content.rooms)),
            ("rooms.devices.id", "device", Counter(id_ for id_, _ in self.found)),
            (
                "rooms.sensors.id",
                "sensor, or device,",
                Counter(
                    [
                        *dict.fromkeys(str(id_) for id_, _ in self.found),
                        *(
                            str(id_of(RoomId(room.id), sensor, number))
                            for room in self.content.rooms
                            for number, sensor in enumerate(room.sensors)
                        ),
                    ]
                ),
            ),
            ("rooms.devices.host", "host", Counter(place for _, place in self.found)),
            (
                "rooms.devices.webex",
                "device in Webex",
                Counter(
                    device.webex.casefold()
                    for room in self.content.rooms
                    for device in room.devices
                    if device.webex
                ),
            ),
        )
        for key, what, counted in seen:
            for name, times in counted.items():
                if times > 1:
                    self._wrong(key, f"the {what} {name!r} stands there {times} times", "Keep one of them")

    def _file(self, key: str, name: str | None) -> Path | None:
        """A file beside the configuration, or by its full path, that this user may read."""
        return None if name is None else self._readable(key, self.file.parent / name)

    def _secret(self, key: str, name: str | None) -> Path | None:
        """The same for a secret: systemd's credentials come first, and it must not be empty."""
        if name is None:
            return None
        path = self._place(name)
        kept = self.file.parent / CREDENTIALS
        handed, ours = "CREDENTIALS_DIRECTORY" in os.environ, path == kept / name
        if ours and not handed and not os.access(kept, os.X_OK, effective_ids=True):
            note = f"{kept}: only root may look into it, so whether the secrets are there was not checked"
            if note not in self.notes:  # whoever may ask the running daemon needs none of them
                self.notes.append(note)
            return path
        if ours and handed:
            what = f"{path} was not there when systemd started roomd"
            mend = "Write the secret into it, and then: systemctl restart roomd"
            if all(problem.what != what for problem in self.problems):  # a default serves many devices
                self._wrong(key, what, mend)
            return None
        found = self._readable(key, path)
        if found is not None and not found.read_bytes().strip():
            self._wrong(key, f"{path} is empty", "Write the secret into it, on one line")
        if found is not None and found.stat().st_mode & 0o007 and path.parent.stat().st_mode & 0o001:
            note = f"{key}: {path} can be read by every user of this machine: chmod 640 {path}"
            if note not in self.notes:
                self.notes.append(note)
        return found

    def _handed_over(self) -> None:
        """One file there that systemd cannot hand over, and it starts no roomd (status=243/CREDENTIALS)."""
        kept = self.file.parent / CREDENTIALS
        if not (kept.is_dir() and os.access(kept, os.R_OK | os.X_OK, effective_ids=True)):
            return
        for path in sorted(kept.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            if not (path.name.isascii() and path.name.isprintable()) or ":" in path.name:
                mend = "Name it with a-z, 0-9, - and _, or take it away"
                self._wrong(CREDENTIALS, f"{path} has a name that systemd hands no secret over by", mend)
            elif path.stat().st_size > LARGEST_CREDENTIAL_BYTES:
                mend = "Put it beside the configuration, or take it away"
                self._wrong(CREDENTIALS, f"{path} is larger than systemd hands over, 1 MB", mend)

    def _place(self, name: str) -> Path:
        return place_of_secret(self.file, name)

    def _readable(self, key: str, path: Path) -> Path | None:
        what = mend = ""
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError):  # it has a NUL in it
            what, mend = "does not exist", "Create it, or mend the name"
        except PermissionError:
            what = "may not be read by this user"
            mend = "Let the group roomd enter its directory: chgrp roomd and chmod 750; or run with sudo"
        except OSError as error:
            what, mend = f"cannot be reached: {error.strerror}", "Check the disk and the path"
        else:
            if not stat.S_ISREG(mode):
                what, mend = "is no file", "Name the file"
            elif not _may_read(path):
                what = "may not be read by this user"
                mend = "Give it to the group roomd: chgrp roomd and chmod 640; or run with sudo"
        if not what:
            return path
        problem = Problem(file=self.file, key=key, what=f"{path} {what}", mend=mend)
        if problem not in self.problems:  # a default is looked up once for each device
            self.problems.append(problem)
        return None


def _may_read(file: Path | None) -> TypeGuard[Path]:
    return file is not None and os.access(file, os.R_OK, effective_ids=True)


def _listed(room: RoomSettings | _Room) -> ListedRoom:
    name = room.name or room.id
    return ListedRoom(id=RoomId(room.id), name=name, capacity=room.capacity, groups=room.groups)


def own_client_id(site: str, agent: str) -> str:
    """By which the broker knows roomd where the file says nothing."""
    return f"roomd-{site}-{agent}"


# ── in words ──────────────────────────────────────────────────────────────────────────────────────


def _is_host(text: str | None) -> bool:
    if text is None or re.fullmatch(r"[0-9A-Za-z.:_%-]+", text) is None:
        return False
    return all(1 <= len(label) <= LONGEST_LABEL for label in text.removesuffix(".").split("."))


def is_loopback(host: str) -> bool:
    """Whether an address, or a name, leads nowhere but to this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_everywhere(host: str) -> bool:
    """Whether it is this machine's every address, and so nobody's to call."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_below_an_address(url: str) -> bool:
    """Whether devices can be told a path behind it."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"}
            and _is_host(parts.hostname)
            and parts.port != 0
            and "@" not in parts.netloc  # devices show the address to everybody
            and re.fullmatch(r"[!-~]+", url) is not None
            and not {"?", "#"} & set(url)
        )
    except ValueError:
        return False


def _explain_environment(error: SettingsError) -> Problem:
    return Problem(
        file=Path("environment"),
        key="ROOMD_…",
        what=str(error),
        mend="Name one key of a table, like ROOMD_MQTT__URL, or take it out",
    )


def _explain(file: Path, error: ErrorDetails) -> Problem:
    key = ""
    for part in error["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
    key = key.lstrip(".") or "the file"
    context = error.get("ctx", {})
    match error["type"]:
        case "refused":  # by a validator of ours
            what, mend = context["what"], context["mend"]
        case "missing":
            what, mend = "is missing", "Add it"
        case "extra_forbidden":
            what, mend = "is not known", "Mend its spelling, or take it out"
        case "string_pattern_mismatch" if context.get("pattern") == FINGERPRINT:
            what, mend = (
                "is no fingerprint",
                'Write "sha256:" and 64 digits of 0-9 and a-f, as openssl prints them',
            )
        case "string_pattern_mismatch" if context.get("pattern") == HOST_KEY:
            what, mend = (
                "is no host key",
                'Write "SHA256:" and what follows it in `ssh-keyscan HOST | ssh-keygen -lf -`',
            )
        case "string_pattern_mismatch":
            what, mend = "cannot stand in a topic", "Use 1 to 63 of a-z, 0-9 and -, and no - at the start"
        case "literal_error":
            what, mend = "has another value than it can have", f"Write one of {context.get('expected')}"
        case "greater_than_equal":
            what, mend = "is too small", f"Write {context.get('ge')} or more"
        case "less_than_equal":
            what, mend = "is too large", f"Write {context.get('le')} or less"
        case "tuple_type" | "list_type" if key == "rooms" or key.endswith((".devices", ".sensors")):
            table = re.sub(r"\[[0-9]+\]", "", key)
            what, mend = "is no list", f"Write it as [[{table}]]"
        case "tuple_type" | "list_type":
            what, mend = "is no list", f'Write it like {key.rpartition(".")[2]} = ["…"]'
        case "model_type" | "model_attributes_type" | "dict_type" if key.endswith(".calendar"):
            what, mend = "is no table", 'Write it like calendar = { microsoft = "fjord@contoso.com" }'
        case "model_type" | "model_attributes_type" | "dict_type":
            what, mend = "is no table", f"Write it as [{key}] with its keys below"
        case _:
            what, mend = error["msg"].replace("Input should be", "should be"), "Mend its value"
    wanted = ENVIRONMENT + "__".join(str(part) for part in error["loc"]).upper()
    variable = next((name for name in os.environ if name.upper() == wanted), None)
    place = file if variable is None else Path("environment")
    return Problem(file=place, key=variable or key, what=what, mend=mend)
