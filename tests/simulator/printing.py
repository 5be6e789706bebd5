"""A device's values as the shell and the HTTP service print them: JSON, XML and lines for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import orjson

from tests.simulator.firmware import Firmware, Kind, Node, Path, Scalar, Space
from tests.simulator.language import Leaf, plant

ATTRIBUTES: Final = ("id", "ghost", "status", "error", "valueSpaceRef")  # of an element and no elements
PREFIXES: Final = {"Status": "*s", "Configuration": "*c xConfiguration", "Event": "*e"}
# No schema describes what commands answer; these literals are bare in captures, other texts are quoted.
BARE: Final = frozenset({
    "BookingStatus",
    "CallType",
    "Cancellable",
    "ConnectMode",
    "Enabled",
    "Encryption",
    "Alert",
    "LocusActive",
    "MeetingExtensionAvailability",
    "Pending",
    "Privacy",
    "Protocol",
    "Recording",
})  # fmt: skip

Tree = dict[str, Any]


def json_text(tree: Tree, *, compact: bool = False) -> str:
    """As the shell prints it: braces of the outermost object on lines of their own, unless compact."""
    return orjson.dumps(tree, option=None if compact else orjson.OPT_INDENT_2).decode() + "\n"


def shell_tree(tree: Mapping[str, Any], firmware: Firmware | None = None) -> Tree:
    """Every leaf {"Value": text}, every index a text; `firmware` adds the value spaces of configurations."""
    shown: Tree = {}
    for name, value in tree.items():
        node = firmware.roots.get(name.lower()) if firmware and name == "Configuration" else None
        shown[name] = _element(value, node, numbered=name == "Event", root=True)
    return shown


def _element(value: object, node: Node | None, *, numbered: bool, root: bool = False) -> object:
    if isinstance(value, list):
        return [_element(item, node, numbered=numbered) for item in value]
    if isinstance(value, Mapping):
        shown: Tree = {}
        for name, child in value.items():
            if name in (*ATTRIBUTES, "Value") and not isinstance(child, Mapping | list):
                shown[name] = str(child)
            else:
                below = node.children.get(name.lower()) if node else None
                shown[name] = _element(child, below, numbered=numbered)
    else:
        shown = {"Value": str(value)}
        if node is not None and node.space is not None:
            shown["valueSpaceRef"] = value_space(node.space)
    if numbered and not root:
        shown["id"] = "1"
    return shown


def value_space(space: Space) -> str:
    """The name of a value space as the devices have it."""
    match space.kind:
        case Kind.INT:
            return f"/Valuespace/INT_{space.low}_{space.high}"
        case Kind.LITERAL:
            return f"/Valuespace/TTPAR_{''.join(reversed(space.literals))}"
        case Kind.ZONE:
            return "/Valuespace/TTPAR_TimeZone"
        case Kind.TEXT | Kind.TEXTS:
            return f"/Valuespace/STR_{space.low}_{space.high}_NoFilt"


# XML


def xml_text(
    tree: Mapping[str, Any],
    firmware: Firmware,
    attributes: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """The roots as indented elements; `attributes` are those of the roots."""
    lines: list[str] = []
    for name, value in tree.items():
        node = firmware.roots.get(name.lower()) if name == "Configuration" else None
        more = dict((attributes or {}).get(name, {}))
        _write(lines, name, value, depth=0, node=node, attributes=more, numbered=firmware.is_ce9)
    return "\n".join(lines) + "\n"


def _write(
    lines: list[str],
    name: str,
    value: object,
    *,
    depth: int,
    node: Node | None,
    attributes: dict[str, str],
    numbered: bool,
) -> None:
    if isinstance(value, list):
        for item in value:
            more = {"item": str(item.get("id", 1)), "maxOccurrence": "n"}
            _write(lines, name, item, depth=depth, node=node, attributes=more, numbered=numbered)
        return
    if numbered and depth:
        attributes.setdefault("item", "1")
    inner: object = value
    if isinstance(value, Mapping):
        attributes |= {key: str(value[key]) for key in ("ghost", "status", "error") if key in value}
        inner = {key: child for key, child in value.items() if key not in ATTRIBUTES}
        if set(inner) == {"Value"}:
            inner = inner["Value"]
    if not isinstance(inner, Mapping) and node is not None and node.space is not None:
        attributes["valueSpaceRef"] = value_space(node.space)
    opening = name + "".join(f" {key}={quoteattr(text)}" for key, text in attributes.items())
    indent = "  " * depth
    if not isinstance(inner, Mapping):
        lines.append(f"{indent}<{opening}>{escape(str(inner))}</{name}>")
    elif not inner:
        lines.append(f"{indent}<{opening}/>")
    else:
        lines.append(f"{indent}<{opening}>")
        for key, child in inner.items():
            below = node.children.get(key.lower()) if node else None
            _write(lines, key, child, depth=depth + 1, node=below, attributes={}, numbered=numbered)
        lines.append(f"{indent}</{name}>")


# Lines for people


def terminal_lines(leaves: Sequence[Leaf], firmware: Firmware) -> list[str]:
    """Values and events, one per line, with texts in quotes."""
    lines: list[str] = []
    for path, value in leaves:
        prefix, names = PREFIXES[str(path[0])], path[1:]
        if names[-1] == "ghost":
            lines.append(f"{prefix} {_joined(names[:-1])} (ghost={value}):")
        elif names[-1] == "id" or isinstance(value, Mapping) or (value == "" and path[0] == "Event"):
            bare = names[:-1] if names[-1] == "id" else names
            lines.append(f"{prefix} {_joined(bare)}")
        else:
            shown = _quoted(value) if _is_text(path, firmware) else str(value)
            lines.append(f"{prefix} {_joined(names)}: {shown}")
    return lines


def result_lines(name: str, result: Mapping[str, Any]) -> list[str]:
    """What a command answers."""
    lines = [f"*r {name} (status={result.get('status', 'OK')}):"]
    for path, value in _flat(result):
        shown = str(value) if isinstance(value, int) or path[-1] in BARE else _quoted(value)
        lines.append(f"*r {name} {_joined(path)}: {shown}".rstrip())
    return lines


def _flat(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    if isinstance(value, Mapping):
        for name, child in value.items():
            if name not in ATTRIBUTES:
                yield from _flat(child, (*path, name))
    elif isinstance(value, list):
        for item in value:
            yield from _flat(item, (*path, item["id"]))
    else:
        yield path, value


def _joined(path: Sequence[Scalar]) -> str:
    return " ".join(str(step) for step in path)


def _quoted(value: object) -> str:
    """A newline stays what it is."""
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_text(path: Path, firmware: Firmware) -> bool:
    resolved = firmware.resolve(path)
    space = firmware.node(resolved).space if resolved else None
    return space is None or space.kind in (Kind.TEXT, Kind.TEXTS, Kind.ZONE)


def without_ids(leaves: Sequence[Leaf]) -> list[Leaf]:
    """An event's leaves without the ids that a switch may have added: the shell has its own."""
    kept: list[Leaf] = []
    for path, value in leaves:
        if path[0] == "Event" and path[-1] == "id":
            if len(leaves) == 1:
                kept.append((path[:-1], {}))
        else:
            kept.append((path, value))
    return kept


def shell_feedback(leaves: Sequence[Leaf]) -> Tree:
    """Feedback as the shell's JSON has it."""
    return shell_tree(plant(without_ids(leaves)))
