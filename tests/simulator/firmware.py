"""A firmware: which commands, events, statuses and configurations it knows, and their types."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Final
from zoneinfo import available_timezones

from tests.simulator import tables

Scalar = int | str
Path = tuple[Scalar, ...]  # a node from its root on, in the case that the device uses; ints are indices

ALL_VERSIONS: Final = {  # by the letter that they have in the tables, oldest first
    "Z": "9.15.17.4",
    "A": "10.19.4.2",
    "B": "11.14.5.0",
    "M": "11.23.1.8",
    "C": "11.27.2.0",
    "D": "26.4.1",
}
LATER_VERSIONS: Final = {"E": ("26.8.1", "D")}  # has all that another has; nothing but documents tells of it
BUILD: Final = "1a2b3c4d5e6"
VERSIONS: Final = {letter: ALL_VERSIONS[letter] for letter in "ABCD"}  # a "mix"; all have WebSocket on


# What devices of some kinds do not have, for `Device.lack`
TEAMS_ROOMS: Final = ("Command Bookings Clear", "Command Bookings CheckOut", "Command Bookings Extend")
STANDALONE_NAVIGATOR: Final = (
    "Command Bookings",
    "Event Bookings",
    "Status Bookings",
    "Status RoomAnalytics PeopleCount",
    "Status RoomAnalytics PeoplePresence",
    "Status RoomAnalytics RoomInUse",
)
NO_ANALYTICS: Final = ("Status RoomAnalytics", "Configuration RoomAnalytics")


class Kind(StrEnum):
    """What a value may be; on this wire integers are numbers and everything else is text."""

    INT = "int"
    TEXT = "str"
    LITERAL = "lit"
    ZONE = "zone"
    TEXTS = "strs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The values that a node or a parameter accepts."""

    kind: Kind
    low: int | None = None
    high: int | None = None
    literals: tuple[str, ...] = ()

    def cast(self, value: object) -> Scalar:
        """The value as the device keeps it; a number may be given as text and the other way round."""
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError("a value must be a number or a text")
        match self.kind:
            case Kind.INT:
                number = int(value)
                if self._outside(number):
                    raise ValueError(f"{number} is outside {self.low}..{self.high}")
                return number
            case Kind.LITERAL:
                found = [literal for literal in self.literals if literal.lower() == str(value).lower()]
                if not found:
                    raise ValueError(f"{value} is not one of {', '.join(self.literals)}")
                return found[0]
            case Kind.ZONE:
                if str(value) not in available_timezones():
                    raise ValueError(f"{value} is no time zone")
                return str(value)
            case Kind.TEXT | Kind.TEXTS:
                if self._outside(len(str(value))):
                    raise ValueError(f"a text of {len(str(value))} is outside {self.low}..{self.high}")
                return str(value)

    def _outside(self, size: int) -> bool:
        return (self.low is not None and size < self.low) or (self.high is not None and size > self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    name: str
    space: Space
    required: bool = False
    default: Scalar | None = None
    most: int = 1  # so many values of it may be given

    def cast(self, value: object) -> Scalar | list[Scalar]:
        """The value, or the values, as the device keeps them."""
        if not isinstance(value, list):
            return self.space.cast(value)
        if len(value) > self.most:
            raise ValueError(f"more than {self.most}")
        return [self.space.cast(item) for item in value]


@dataclass(slots=True, kw_only=True)
class Node:
    """A step in a tree of paths."""

    name: str
    is_list: bool = False
    space: Space | None = None  # only leaves have one
    default: Scalar | None = None  # only configurations have one
    children: dict[str, "Node"] = field(default_factory=dict)  # by lower-case name


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """One version's knowledge; made once and shared by all devices that run it."""

    version: str
    commands: Mapping[str, tuple[str, Mapping[str, Parameter]]]  # lower-case "a/b" → name, parameters
    events: Mapping[tuple[str, ...], Mapping[str, Parameter]]
    roots: Mapping[str, Node]  # "status", "configuration", "event"
    defaults: Mapping[Path, Scalar]  # of the configurations

    @property
    def display_name(self) -> str:
        return f"{'ce' if self.is_ce9 else 'RoomOS'} {self.version} {BUILD}"

    @property
    def is_ce9(self) -> bool:
        """Before RoomOS: another banner, other errors, `item="1"` on every XML element, less feedback."""
        return self.numbers < (10,)

    @property
    def expression_limit(self) -> int:
        """Feedback expressions per shell."""
        return 38 if self.numbers < (11,) else 50

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))

    @property
    def says_ok_beside_data(self) -> bool:
        """Whether a command that answers data adds status OK; seen from 11.20 on."""
        return self.numbers >= (11, 20)

    def resolve(self, elements: Sequence[Scalar]) -> Path | None:
        """The path in the device's own case, or None when this firmware knows no such node."""
        resolved: list[Scalar] = []
        node: Node | None = None
        for element in elements:
            if isinstance(element, int) or (element.isdigit() and node is not None and node.is_list):
                if node is None or not node.is_list or isinstance(resolved[-1], int):
                    return None
                resolved.append(int(element))
                continue
            children: Mapping[str, Node] = self.roots if node is None else node.children
            node = children.get(element.lower())
            if node is None:
                return None
            resolved.append(node.name)
        return tuple(resolved)

    def node(self, path: Path) -> Node:
        """The node of a resolved path."""
        children: Mapping[str, Node] = self.roots
        node: Node | None = None
        for element in path:
            if isinstance(element, str):
                node = children[element.lower()]
                children = node.children
        if node is None:
            raise KeyError(path)
        return node


def profile(version: str, lacking: frozenset[str] = frozenset()) -> Firmware:
    """The firmware of a version, by its full number or its beginning: "9.15".

    `lacking` are nodes that the device does not have, with all that is below: "Status RoomAnalytics",
    "Command Bookings Extend", "Event Bookings".
    """
    later = {letter: known for letter, (known, _) in LATER_VERSIONS.items()}
    for letter, known in {**ALL_VERSIONS, **later}.items():
        if f"{known}.".startswith(f"{version}."):
            return _firmware(letter, lacking)
    raise ValueError(f"no profile {version}; known: {', '.join({**ALL_VERSIONS, **later}.values())}")


@cache
def _firmware(letter: str, lacking: frozenset[str]) -> Firmware:
    def rows(table: str, root: str) -> Iterator[tuple[str, str]]:
        for path, signature in _rows(table, letter):
            if not any(f"{root} {path} ".startswith(f"{node} ") for node in lacking):
                yield path, signature

    commands: dict[str, tuple[str, Mapping[str, Parameter]]] = {}
    events: dict[tuple[str, ...], Mapping[str, Parameter]] = {}
    roots = {name.lower(): Node(name=name) for name in ("Status", "Configuration", "Event")}
    defaults: dict[Path, Scalar] = {}
    for path, signature in rows(tables.COMMANDS, "Command"):
        commands[path.replace(" ", "/").lower()] = (path.replace(" ", "/"), _parameters(signature))
    for path, signature in rows(tables.EVENTS, "Event"):
        fields = _parameters(signature)
        names = tuple(path.split())
        events[names] = {parameter.name: parameter for parameter in fields.values()}
        event = _plant(roots["event"], names)
        for parameter in fields.values():
            event.children[parameter.name.lower()] = Node(name=parameter.name, space=parameter.space)
    for path, signature in rows(tables.STATUSES, "Status"):
        _plant(roots["status"], path.split()).space = _space(signature)
    for path, signature in rows(tables.CONFIGURATIONS, "Configuration"):
        text, _, default = signature.partition(" =")
        leaf = _plant(roots["configuration"], path.split())
        leaf.space = _space(text)
        leaf.default = leaf.space.cast(default.strip())
        defaults[("Configuration", *path.split())] = leaf.default
    return Firmware(
        version=ALL_VERSIONS[letter] if letter in ALL_VERSIONS else LATER_VERSIONS[letter][0],
        commands=commands,
        events=events,
        roots=roots,
        defaults=defaults,
    )


def _rows(table: str, letter: str) -> Iterator[tuple[str, str]]:
    joined: list[str] = []
    for line in table.splitlines():
        if not line.startswith(" "):
            joined.append(line)
        elif joined[-1].endswith("|"):
            joined[-1] += line.strip()
        else:
            joined[-1] += " " + line.strip()
    for row in joined:
        letters, rest = row.split(maxsplit=1)
        if not {letter, *LATER_VERSIONS.get(letter, ())[1:]}.isdisjoint(letters):
            path, _, signature = rest.partition(":")
            yield path, signature.strip()


def _plant(root: Node, names: Sequence[str]) -> Node:
    node = root
    for name in names:
        bare = name.removesuffix("[n]")
        node = node.children.setdefault(bare.lower(), Node(name=bare, is_list=name.endswith("[n]")))
    return node


def _parameters(signature: str) -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for word in signature.split():
        name, _, rest = word.partition(":")
        text, has_default, default = rest.partition("=")
        text, _, most = text.partition("*")
        space = _space(text)
        bare = name.removesuffix("!")
        parameters[bare.lower()] = Parameter(
            name=bare,
            space=space,
            required=name.endswith("!"),
            default=(int(default) if space.kind is Kind.INT else default) if has_default else None,
            most=int(most or 1),
        )
    return parameters


def _space(text: str) -> Space:
    kind, _, literals = text.strip().partition(":")
    if literals:
        return Space(kind=Kind.LITERAL, literals=tuple(literals.split("|")))
    bounds = re.fullmatch(r"(\w+)\[(\d+)\.\.(\d+)\]", kind)
    if bounds:
        return Space(kind=Kind(bounds[1]), low=int(bounds[2]), high=int(bounds[3]))
    return Space(kind=Kind(kind))
