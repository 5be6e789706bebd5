"""The words on the wire: JSON, trees of nodes, which query covers which node, and WebSocket frames."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tests.simulator.firmware import Path, Scalar

Pattern = tuple[Scalar, ...]  # like a path, in lower case; "**" stands for any number of steps
Leaf = tuple[Path, object]  # where, and a scalar or an empty object

ANY: Final = "**"

INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
PARSE_ERROR: Final = -32700
NOT_READY: Final = -31997
TOO_MANY_SUBSCRIBERS: Final = -31998
PERMISSION_DENIED: Final = -31999
COMMAND_ERROR: Final = 1
ILLEGAL_ARGUMENT: Final = 27  # the Cause that goes with COMMAND_ERROR

_STEP: Final = re.compile(r"//|[^/\[\]\s]+")

TEXT: Final = 0x1
BINARY: Final = 0x2


@dataclass
class Refused(Exception):
    """A request that the device answers with an error."""

    code: int
    message: str
    data: Mapping[str, object] | None = None


def encode(value: object) -> bytes:
    """Compact, keys sorted, as the devices print it."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def covers(pattern: Pattern, path: Path) -> bool:
    """Whether a query for `pattern` includes the node at `path`; left-out indices mean all of them."""
    if not pattern:
        return True
    if not path:
        return False
    wanted, here = pattern[0], path[0]
    if wanted == ANY:
        return any(covers(pattern[1:], path[steps:]) for steps in range(len(path) + 1))
    if isinstance(here, int) and isinstance(wanted, str):
        return covers(pattern, path[1:])
    same = wanted == here if isinstance(here, int) else wanted == here.lower()
    return same and covers(pattern[1:], path[1:])


def flatten(path: Path, body: object) -> Iterable[Leaf]:
    """The leaves of an event's body; a body without any is a leaf itself."""
    if isinstance(body, Mapping) and body:
        for name, value in body.items():
            yield from flatten((*path, name), value)
    else:
        yield path, body


def steps_of(words: Sequence[str]) -> Path:
    """The steps of a path in any of its spellings: `A B 1`, `/A/B[1]`, `A//C`."""
    steps = [step for word in words for step in _STEP.findall(word)]
    return tuple(ANY if step in ("//", "*") else int(step) if step.isdigit() else step for step in steps)


def pattern_of(steps: Path) -> Pattern:
    """What covers all that is at a path or below it."""
    return tuple(step.lower() if isinstance(step, str) else step for step in steps)


def plant(leaves: Iterable[Leaf]) -> dict[str, Any]:
    """The tree of some leaves, from the root; list elements become objects with a numeric id."""
    tree: dict[str, Any] = {}
    for path, value in leaves:
        node = tree
        steps = iter(range(len(path)))
        for step in steps:
            name = str(path[step])
            following = path[step + 1] if step + 1 < len(path) else None
            if isinstance(following, int):
                elements: list[dict[str, Any]] = node.setdefault(name, [])
                node = next((element for element in elements if element["id"] == following), {})
                if not node:
                    node["id"] = following
                    elements.append(node)
                if next(steps) == len(path) - 1:  # a list of plain values
                    node["Value"] = value
            elif following is None:
                node[name] = value
            else:
                node = node.setdefault(name, {})
    return tree


def descend(tree: object, path: Path) -> object:
    """What stands at `path` in a tree; KeyError when there is nothing."""
    for step in path:
        if isinstance(step, int) and isinstance(tree, list):
            found = [element for element in tree if element["id"] == step]
            if not found:
                raise KeyError(step)
            tree = found[0]
        elif isinstance(step, str) and isinstance(tree, Mapping):
            tree = tree[step]
        else:
            raise KeyError(step)
    return tree


def elements(value: object) -> tuple[Scalar, ...]:
    """The steps of a `Path` or `Query` parameter."""
    if not isinstance(value, list) or not value:
        raise Refused(INVALID_PARAMS, "A path must be a list")
    if not all(isinstance(step, int | str) and not isinstance(step, bool) for step in value):
        raise Refused(INVALID_PARAMS, "A path must hold names and numbers")
    return tuple(value)


def frame(payload: bytes, opcode: int = TEXT, *, last: bool = True) -> bytes:
    """One unmasked WebSocket frame."""
    first = opcode | (0x80 if last else 0)
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def fragments(payload: bytes, pieces: int = 3) -> bytes:
    """One message in several frames."""
    size = max(1, -(-len(payload) // pieces))
    cut: Sequence[bytes] = [payload[start : start + size] for start in range(0, len(payload), size)]
    return b"".join(
        frame(piece, TEXT if index == 0 else 0x0, last=index == len(cut) - 1)
        for index, piece in enumerate(cut)
    )
