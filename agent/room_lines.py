"""The configuration's lines of rooms and devices: written into a file so that nothing else in it changes."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array

from agent.candidates import HTTPS_PORT

LONGEST_ID = 63
LONGEST_REMARK = 70
NOT_FOLLOWED = "its tables are written in a way that roomd does not follow"

Value = str | int | Mapping[str, str]
Path = tuple[str, ...]


class NotWritable(ValueError):
    """The lines cannot be put into this file by us; the text says why."""


# ── what stands there ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingDevice:
    """A device as the file has it."""

    room: str
    place: tuple[int, int]  # of its room, and in there
    keys: Mapping[str, Any]
    remark: str = ""  # behind its host, where we write its serial number

    @property
    def host(self) -> tuple[str, int] | None:
        """Where it is; None for one that only Webex leads to, or what is no host."""
        return _host(self.keys.get("host"))

    def is_remarked(self, serial: str) -> bool:
        """Whether its remark names this serial number."""
        return bool(serial) and re.search(rf"(?<!\w){re.escape(serial)}(?!\w)", self.remark) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingRoom:
    """A room as the file has it."""

    id: str
    name: str
    devices: tuple[StandingDevice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a file says of rooms and devices; mistakes in it are somebody else's business."""

    tables: frozenset[str]
    defaults: Mapping[str, Any]  # [devices]
    rooms: tuple[StandingRoom, ...]

    @property
    def devices(self) -> tuple[StandingDevice, ...]:
        """All of them."""
        return tuple(device for room in self.rooms for device in room.devices)


def standing(text: str) -> Standing:
    """What stands in a configuration; NotWritable if it is not TOML, or its rooms are no list."""
    table = _parsed(text)
    remarks = _remarks(text)
    defaults = table.get("devices", {})
    rooms = table.get("rooms", [])
    if not isinstance(rooms, list) or not all(isinstance(room, dict) for room in rooms):
        raise NotWritable("rooms is no list of tables: write each as [[rooms]]")
    if not isinstance(defaults, dict):
        raise NotWritable("devices is no table: write it as [devices], and devices as [[rooms.devices]]")
    found = []
    for number, room in enumerate(rooms):
        devices = room.get("devices", [])
        if not isinstance(devices, list) or not all(isinstance(each, dict) for each in devices):
            raise NotWritable(
                f"rooms[{number}].devices is no list of tables: write each as [[rooms.devices]]"
            )
        id_ = str(room.get("id", ""))
        found.append(
            StandingRoom(
                id=id_,
                name=str(room.get("name", id_)),
                devices=tuple(
                    StandingDevice(
                        room=id_, place=(number, n), keys=device, remark=remarks.get((number, n), "")
                    )
                    for n, device in enumerate(devices)
                ),
            )
        )
    return Standing(tables=frozenset(table), defaults=defaults, rooms=tuple(found))


def _host(text: object) -> tuple[str, int] | None:
    if not isinstance(text, str):
        return None
    found = re.fullmatch(r"\[(?P<six>[^]]+)\](:(?P<port>\d+))?|(?P<name>[^:]+)(:(?P<its>\d+))?", text)
    if found is None:
        return None
    name = (found["six"] or found["name"]).casefold().rstrip(".")
    return name, int(found["port"] or found["its"] or HTTPS_PORT)


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NotWritable(f"it is not TOML: {error}") from None


def _remarks(text: str) -> Mapping[tuple[int, int], str]:
    """What stands behind each device's host; nothing where the library cannot follow."""
    remarks: dict[tuple[int, int], str] = {}
    try:
        rooms = tomlkit.parse(text).get("rooms", [])
        for number, room in enumerate(rooms):
            for n, device in enumerate(room.get("devices", [])):
                trivia = getattr(device.get("host"), "trivia", None)
                remarks[number, n] = "" if trivia is None else trivia.comment
    except (TOMLKitError, AttributeError, TypeError):
        return {}
    return remarks


# ── what is to stand there ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A device that is to be in the file: in a room that stands there, or in a new one."""

    room: str
    name: str | None = None
    capacity: int | None = None
    calendar: Mapping[str, str] | None = None
    host: str
    remark: str = ""
    keys: Mapping[str, Value]  # beside the host: fingerprint, host_key …


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """A device of the file that is to have other values: its place, and the keys."""

    place: tuple[int, int]
    keys: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Keys that a table is to have, which is made if it is not there."""

    table: str
    keys: Mapping[str, Value]


Change = Addition | Amendment | Keys


def changed(text: str, changes: Sequence[Change]) -> str:
    """The file with these changes and nothing else changed; what it has already stays as it is.

    NotWritable where that cannot be done: whatever is returned has been read again and compared.
    """
    for change in changes:
        if not isinstance(change, Addition):
            table = _parsed(text)
            if (wanted := _wanted(table, change)) != table:
                after = _amended(text, change) if isinstance(change, Amendment) else _with_keys(text, change)
                text = _proven(text, after, wanted)
    return _with_additions(text, [change for change in changes if isinstance(change, Addition)])


def _proven(before: str, after: str, wanted: Mapping[str, Any]) -> str:
    """What was written, if it says what it should and every comment still stands where it did."""
    left = iter(comments(after))
    if _parsed(after) != wanted or not all(comment in left for comment in comments(before)):
        raise NotWritable(NOT_FOLLOWED)
    return after


def lines_of(addition: Addition) -> str:
    """A new room's lines, for a person to write."""
    return "\n".join([*_room_lines(addition), *_device_lines(addition)])


def _wanted(table: Mapping[str, Any], change: Amendment | Keys) -> Mapping[str, Any]:
    """What the file should say after a change."""
    after = deepcopy(dict(table))
    if isinstance(change, Keys):
        inside = after.setdefault(change.table, {})
        if not isinstance(inside, dict):
            raise NotWritable(f"{change.table} is no table: write it as [{change.table}]")
        inside.update({key: _plain(value) for key, value in change.keys.items() if key not in inside})
    else:
        number, n = change.place
        after["rooms"][number]["devices"][n].update(
            {key: _plain(value) for key, value in change.keys.items()}
        )
    return after


def _plain(value: Value) -> Any:  # noqa: ANN401 - what TOML reads
    return dict(value) if isinstance(value, Mapping) else value


# ── lines ─────────────────────────────────────────────────────────────────────────────────────────


def _room_lines(addition: Addition) -> list[str]:
    lines = ["[[rooms]]", f"id = {_text(addition.room)}"]
    if addition.name is not None:
        lines.append(f"name = {_text(addition.name)}")
    if addition.capacity is not None:
        lines.append(f"capacity = {addition.capacity}")
    if addition.calendar:
        lines.append(f"calendar = {_toml(addition.calendar)}")
    return lines


def _device_lines(addition: Addition) -> list[str]:
    remark = f"  # {_remark(addition.remark)}" if addition.remark else ""
    keys = [f"{key} = {_toml(value)}" for key, value in addition.keys.items()]
    return ["[[rooms.devices]]", f"host = {_text(addition.host)}{remark}", *keys]


def _toml(value: Value) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_text(text)}" for key, text in value.items())
        return f"{{ {inside} }}"
    return _text(value) if isinstance(value, str) else str(value)


def _text(text: str) -> str:
    return tomlkit.string(text).as_string()


def _remark(text: str) -> str:
    """What a comment can hold: a device's own words are in it."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain.encode("utf-8", errors="ignore").decode()[:LONGEST_REMARK].strip()


# ── where they go ─────────────────────────────────────────────────────────────────────────────────

_WORD = re.compile(
    r'"""(?:\\.|"{1,2}(?!")|[^\\"])*"{3,5}'
    r"|'''(?:'{1,2}(?!')|[^'])*'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*|\n|[\[{]|[\]}]|[ \t\r]+|[^\s\[\]{}\"'#]+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """A table's header, and the lines up to the next one."""

    path: Path
    first: int  # line of the header, from 0
    last: int  # line after the section


def _sections(text: str) -> list[_Section]:
    lines = text.split("\n")
    headers = [(line, _path(lines[line].rstrip("\r"))) for line in _header_lines(text)]
    ends = [*(line for line, _ in headers[1:]), len(lines)][: len(headers)]
    return [
        _Section(path=path, first=line, last=end) for (line, path), end in zip(headers, ends, strict=True)
    ]


def _header_lines(text: str) -> Iterator[int]:
    """The lines on which a table begins: not those within strings and lists that look alike."""
    line = depth = 0
    fresh = True  # nothing but blanks on this line so far
    for word in _WORD.findall(text):
        if word == "\n":
            line, fresh = line + 1, True
            continue
        if fresh and depth == 0 and word == "[":
            yield line
        if word in "[{":
            depth += 1
        elif word in "]}":
            depth -= 1
        line += word.count("\n")
        fresh = fresh and not word.strip()


def comments(text: str) -> Sequence[str]:
    """The comments of a file, in order."""
    return [word.rstrip("\r") for word in _WORD.findall(text) if word.startswith("#")]


def _path(header: str) -> Path:
    """The keys of a header like `[[rooms.devices]]`."""
    inside: Any = tomllib.loads(header)
    path: list[str] = []
    while inside:
        if isinstance(inside, list):
            inside = inside[0]
            continue
        ((key, inside),) = inside.items()
        path.append(key)
    return tuple(path)


def _with_additions(text: str, additions: Sequence[Addition]) -> str:
    there = standing(text)
    hosts = {device.host for device in there.devices}
    into: dict[str, list[Addition]] = {}  # by room
    for addition in additions:
        host = _host(addition.host)
        if host not in hosts:
            hosts.add(host)
            into.setdefault(addition.room, []).append(addition)
    before, wanted = text, _parsed(text)
    for number, room in enumerate(there.rooms):
        for addition in into.pop(room.id, []):
            wanted["rooms"][number].setdefault("devices", []).append(_device_table(addition))
            text = _with_device(text, number, addition)
    block: list[str] = []
    for additions_there in into.values():
        room_lines = _room_lines(additions_there[0])
        block += [*([""] if block else []), *room_lines]
        block += [line for each in additions_there for line in _device_lines(each)]
        (table,) = tomllib.loads("\n".join(room_lines))["rooms"]
        table["devices"] = [_device_table(each) for each in additions_there]
        wanted.setdefault("rooms", []).append(table)
    if block:
        text = _inserted(text, block, after=_last_of_rooms(text), apart=True)
    return _proven(before, text, wanted)


def _device_table(addition: Addition) -> dict[str, Any]:
    return {"host": addition.host, **{key: _plain(value) for key, value in addition.keys.items()}}


def _last_of_rooms(text: str) -> _Section | None:
    of_rooms = _of_rooms(text)
    if not of_rooms and "rooms" in _parsed(text):
        raise NotWritable("its rooms stand in one list: write each as [[rooms]], below each other")
    return of_rooms[-1] if of_rooms else None


def _of_rooms(text: str) -> list[_Section]:
    return [section for section in _sections(text) if section.path[:1] == ("rooms",)]


def _with_device(text: str, number: int, addition: Addition) -> str:
    """Into the room that stands at this place."""
    its_own = _of_room(text, number)
    apart = any(section.path == ("rooms", "devices") for section in its_own)
    if not its_own or ("devices" in _parsed(text)["rooms"][number] and not apart):
        return _listed(text, number, addition)
    return _inserted(text, _device_lines(addition), after=its_own[-1], apart=False)


def _inserted(text: str, lines: Sequence[str], *, after: _Section | None, apart: bool) -> str:
    """The text with these lines behind a section, or at its end; `apart` by an empty line."""
    newline = "\r" if "\r\n" in text else ""
    own = [f"{line}{newline}" for line in lines]
    there = text.split("\n")
    at = len(there) if after is None else after.last
    if at < len(there) and after is not None:
        at = _end_of(there, after)
    else:
        while at > 0 and not there[at - 1].strip():
            at -= 1
    before, behind = there[:at], there[at:]
    if before and newline and not before[-1].endswith("\r"):
        before[-1] += newline
    if apart and before:
        own.insert(0, newline)
    if not any(line.strip() for line in behind):
        behind = [""]
    elif apart and behind[0].strip():
        own.append(newline)
    return "\n".join([*before, *own, *behind])


def _end_of(lines: Sequence[str], section: _Section) -> int:
    """The line after a section's own; what stands right above the next header belongs to that."""
    at = section.last
    while at > section.first + 1 and lines[at - 1].strip().startswith("#"):
        at -= 1
    if lines[at - 1].strip():  # no empty line between: whose these comments are, nobody can tell
        return at
    while not lines[at - 1].strip():
        at -= 1
    return at


def _with_keys(text: str, keys: Keys) -> str:
    table = _parsed(text)
    missing = {key: value for key, value in keys.keys.items() if key not in table.get(keys.table, {})}
    lines = [f"{key} = {_toml(value)}" for key, value in missing.items()]
    sections = _sections(text)
    newline = "\r" if "\r\n" in text else ""
    there = text.split("\n")
    for section in sections:
        if section.path == (keys.table,):
            own = [f"{line}{newline}" for line in lines]
            return "\n".join([*there[: section.first + 1], *own, *there[section.first + 1 :]])
    if keys.table in table:
        raise NotWritable(f"{keys.table} stands on a line of its own: write it as [{keys.table}]")
    block = [f"[{keys.table}]", *lines]
    rooms = next((section for section in sections if section.path[:1] == ("rooms",)), None)
    if rooms is None:
        return _inserted(text, block, after=None, apart=True)
    at = rooms.first
    while at > 0 and there[at - 1].strip().startswith("#"):
        at -= 1
    own = [f"{line}{newline}" for line in [*block, ""]]
    return "\n".join([*there[:at], *own, *there[at:]])


def _amended(text: str, amendment: Amendment) -> str:
    number, n = amendment.place
    values = {key: _plain(value) for key, value in amendment.keys.items()}
    its_own = [each for each in _of_room(text, number) if each.path == ("rooms", "devices")]
    if n >= len(its_own):  # devices on one line
        return _by_library(text, lambda document: document["rooms"][number]["devices"][n].update(values))
    section, lines = its_own[n], text.split("\n")
    body = "".join(f"{line}\n" for line in lines[section.first + 1 : section.last])
    after = _by_library(body, lambda document: document.update(values))  # a table alone: the rest stays put
    return "\n".join([*lines[: section.first + 1], after.removesuffix("\n"), *lines[section.last :]])


def _of_room(text: str, number: int) -> list[_Section]:
    """The sections of the room at this place; none where rooms stand in one line."""
    of_rooms = _of_rooms(text)
    starts = [n for n, section in enumerate(of_rooms) if section.path == ("rooms",)]
    if len(starts) <= number:
        return []
    return of_rooms[starts[number] : starts[number + 1] if number + 1 < len(starts) else len(of_rooms)]


def _listed(text: str, number: int, addition: Addition) -> str:
    """Into a room whose devices stand in one line."""

    def add(document: Any) -> None:  # noqa: ANN401 - the library's
        devices = document["rooms"][number]["devices"]
        if not isinstance(devices, Array):
            raise NotWritable(NOT_FOLLOWED)
        table = tomlkit.inline_table()
        table.update({"host": addition.host, **{key: _plain(each) for key, each in addition.keys.items()}})
        devices.append(table)

    return _by_library(text, add)


def _by_library(text: str, edit: Callable[[Any], None]) -> str:
    try:
        document = tomlkit.parse(text)
        edit(document)
        return document.as_string()
    except (TOMLKitError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise NotWritable(NOT_FOLLOWED) from error


# ── ids ───────────────────────────────────────────────────────────────────────────────────────────

_LETTERS = str.maketrans(
    {
        "ä": "ae",
        "æ": "ae",
        "å": "aa",
        "ö": "oe",
        "ø": "oe",
        "œ": "oe",
        "ü": "ue",
        "ß": "ss",
        "ð": "d",
        "þ": "th",
        "đ": "d",
        "ħ": "h",
        "ł": "l",
    }
)


def slug(name: str) -> str:
    """A name as an id: "Møterom Ås" is moeterom-aas; "" if nothing of it can stand in one."""
    plain = unicodedata.normalize("NFC", name).casefold().translate(_LETTERS)
    letters = unicodedata.normalize("NFKD", plain)
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", "-", bare).strip("-")[:LONGEST_ID].strip("-")


def unique(id_: str, taken: Iterable[str]) -> str:
    """The id, or the first of id-2, id-3 … that nobody has."""
    others = set(taken)
    if id_ not in others:
        return id_
    number = 2
    while (found := f"{id_[: LONGEST_ID - len(str(number)) - 1].rstrip('-')}-{number}") in others:
        number += 1
    return found


def taken_ids(text: str) -> frozenset[str]:
    """Ids that no other may have; a device without one is called by its room and its place."""
    ids: set[str] = set()
    for room in standing(text).rooms:
        ids.add(room.id)
        for device in room.devices:
            _, n = device.place
            ids.add(str(device.keys.get("id", f"{room.id}-{n + 1}" if n else room.id)))
    return frozenset(ids)


def called(text: str, additions: Sequence[Addition]) -> list[Addition]:
    """The additions, each with an id where the one that it would have by its place is another's."""
    taken = set(taken_ids(text))
    many = {room.id: len(room.devices) for room in standing(text).rooms}
    taken -= {room for room, devices in many.items() if not devices}
    found = []
    for addition in additions:
        number = many.get(addition.room, 0) + 1
        many[addition.room] = number
        by_place = f"{addition.room}-{number}" if number > 1 else addition.room
        id_ = unique(addition.room, taken | {addition.room}) if by_place in taken else by_place
        taken.add(id_)
        found.append(addition if id_ == by_place else replace(addition, keys={"id": id_, **addition.keys}))
    return found


def remark(product: str, serial: str) -> str:
    """What is written behind a device's host: by it the device is known again at another address."""
    return ", ".join(part for part in (product, serial) if part)
