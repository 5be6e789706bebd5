"""xAPI as XML, for HTTP and for SSH that knows no JSON: documents to trees as over WebSocket, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, cast
from xml.parsers import expat

import xmltodict  # type: ignore[import-untyped]

from device_adapters.xapi.messages import NOT_READY, PERMISSION_DENIED, Call, Unintelligible

# expat's own defences (since 2.4) are against entities only; a device has no use for any of the rest.
MAX_BYTES = 4 * 1024 * 1024  # a listing of two full days has some hundred kilobytes
MAX_DEPTH = 64  # the deepest of Cisco's trees has fewer than twenty levels
MAX_ELEMENTS = 100_000  # each costs a hundred bytes and more

Tree = Mapping[str, object]


# ── documents to trees ────────────────────────────────────────────────────────────────────────────


def read(document: bytes | str) -> Tree:
    """The tree from the root element's name down, as WebSocket has it, except that all leaves are strings.

    Elements that repeat or are numbered (`item`) are arrays of objects with a numeric `id`; repeated leaves
    are arrays of strings. Of the attributes `ghost`, `status`, `error` and `resultId` are kept as members;
    a leaf that has one of these is an object, with its text as `Value`.
    Unintelligible where it is no XML, brings a DTD, or is longer, deeper or wider than anything meant.
    """
    try:
        raw = document.encode() if isinstance(document, str) else document
    except UnicodeError:
        raise Unintelligible("not XML: no text") from None
    if len(raw) > MAX_BYTES:
        raise Unintelligible(f"more than {MAX_BYTES >> 20} MiB of XML")
    encoding = "utf-8" if isinstance(document, str) else None  # else as the document declares
    try:
        _Guard(encoding).look_through(raw)
        parsed = xmltodict.parse(raw, encoding=encoding, strip_whitespace=False)
    except expat.ExpatError as error:
        raise Unintelligible(f"not XML: {expat.ErrorString(error.code)}, line {error.lineno}") from None
    except (LookupError, ValueError) as error:  # an encoding that nobody knows, or text that is not in it
        if isinstance(error, Unintelligible):
            raise
        raise Unintelligible("not XML: in no known encoding") from None
    ((root, value),) = cast("Mapping[str, object]", parsed).items()
    return {root: _element(value, numbered=root == "Event" or _numbers_all(value))}


class _Guard:
    """Looks through a document before a tree is made of it."""

    def __init__(self, encoding: str | None) -> None:
        self._depth = self._elements = 0
        parser = self._parser = expat.ParserCreate(encoding)
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end

    def look_through(self, raw: bytes) -> None:
        """ExpatError if it is not well formed, Unintelligible if it is out of bounds."""
        self._parser.Parse(raw, True)  # noqa: FBT003 - the library's order of arguments

    def _doctype(self, *_: object) -> NoReturn:
        raise Unintelligible("XML with a document type")

    def _start(self, *_: object) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH:
            raise Unintelligible("XML nested too deeply")
        if self._elements > MAX_ELEMENTS:
            raise Unintelligible("XML of too many elements")

    def _end(self, _: str) -> None:
        self._depth -= 1


_KEPT = ("ghost", "status", "error", "resultId")  # attributes that say something of their element
_PLAIN = ("@item", "@valueSpaceRef", "#text")  # of a leaf that is no array's member and not gone
_NUMBER = re.compile(r"[0-9]{1,9}")


def _numbers_all(value: object) -> bool:
    """Whether each and every element has its number, as in old firmware; then single leaves have one, too."""
    if isinstance(value, list):
        return any(map(_numbers_all, value))
    if not isinstance(value, dict):
        return False
    return any(_single_leaf(below) or _numbers_all(below) for name, below in value.items() if name[0] != "@")


def _single_leaf(value: object) -> bool:
    return isinstance(value, dict) and value.get("@item") == "1" and all(name in _PLAIN for name in value)


def _element(value: object, *, numbered: bool) -> object:
    """One element: an object if it has children or a kept attribute, else its text.

    `numbered` if a 1 on its children tells nothing.
    """
    if not isinstance(value, dict):
        return "" if value is None else value
    tree: dict[str, object] = {name: value[f"@{name}"] for name in _KEPT if f"@{name}" in value}
    leaf = True
    for name, below in value.items():
        if name[0] not in "@#":
            leaf = False
            tree[name] = _named(below, numbered=numbered or name == "Event")
    text = value.get("#text", "")
    if leaf and not tree:
        return text
    if leaf and text.strip():
        tree["Value"] = text
    return tree


def _named(value: object, *, numbered: bool) -> object:
    """All children of one name: an array if they are, or may be, several."""
    if isinstance(value, list):
        return [_member(each, place, numbered=numbered) for place, each in enumerate(value, 1)]
    if isinstance(value, dict) and "@item" in value:
        leaf = all(name[0] in "@#" for name in value) and "@ghost" not in value
        if value["@item"] != "1" or "@maxOccurrence" in value or not (leaf or numbered):
            return [_member(value, 1, numbered=numbered)]
    return _element(value, numbered=numbered)


def _member(value: object, place: int, *, numbered: bool) -> object:
    item = value.get("@item", "") if isinstance(value, dict) else ""
    tree = _element(value, numbered=numbered)
    if isinstance(tree, dict):
        tree["id"] = int(item) if _NUMBER.fullmatch(item) else item or place
    return tree


def node(tree: Tree, path: Sequence[str | int]) -> object:
    """What is at `path`, from the root on; a number picks the array's element with this `id`.

    Arrays in between are passed by their first element. KeyError if there is nothing.
    """
    at: object = tree
    for step in path:
        if isinstance(step, int):
            found = at if isinstance(at, list) else [at]
            at = next((each for each in found if isinstance(each, dict) and each.get("id", 1) == step), None)
            if at is None:
                raise KeyError(step)
            continue
        if isinstance(at, list) and at:
            at = at[0]
        if not isinstance(at, dict):
            raise KeyError(step)
        at = at[step]
    return at


# ── errors inside an answer ───────────────────────────────────────────────────────────────────────

# JSON-RPC's codes, so that a refusal means the same whichever line it came over.
NO_SUCH_NODE = -32601
INVALID_PARAMETERS = -32602
COMMAND_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a device did not do what was asked, found inside an answer that came with 200 or OK."""

    code: int
    message: str


_FORBIDDEN = re.compile(r"permission|access denied|not authori[sz]ed|privilege|user role", re.IGNORECASE)
_UNKNOWN = re.compile(r"unknown command|no match on|no action detected", re.IGNORECASE)
_BOOTING = re.compile(r"\bnot ready\b", re.IGNORECASE)
_FAULTS = ("Fault", "ActionError", "Error")
_RESULTS = ("Command", "CommandResponse", "Configuration")  # elsewhere a `status` may be the call's, say


def fault(tree: Tree) -> Fault | None:
    """The error in an answer, None if there is none.

    getxml says `EmptyResult` for a path that it does not know and `Fault` for one that is none; putxml says
    `ActionError`, or a result with a status that is not OK; a configuration marks the value it refuses.
    """
    for root, body in tree.items():
        if root == "XmlDoc" and isinstance(body, dict):
            return fault({name: below for name, below in body.items() if name != "resultId"})
        if root == "EmptyResult":
            return Fault(code=NO_SUCH_NODE, message="no such path")
        if root in _FAULTS:
            return _fault(body, INVALID_PARAMETERS)
        if isinstance(body, dict):
            results = body.values() if root in _RESULTS else ()
            found = _failed(body) or next(
                (failed for each in results if isinstance(each, dict) and (failed := _failed(each))), None
            )
            if found is None and root == "Configuration":
                found = _refused_value(body)
            if found is not None:
                return found
    return None


def _failed(result: Tree) -> Fault | None:
    status = result.get("status", "OK")
    if status in ("OK", ""):
        return None
    return _fault(result, INVALID_PARAMETERS if status == "ParameterError" else COMMAND_FAILED, str(status))


def _fault(body: object, code: int, otherwise: str = "refused") -> Fault:
    message = _words(body) or otherwise
    if _FORBIDDEN.search(message) or _FORBIDDEN.search(otherwise):
        code = PERMISSION_DENIED
    elif _UNKNOWN.search(message):
        code = NO_SUCH_NODE
    elif _BOOTING.search(message):
        code = NOT_READY
    return Fault(code=code, message=message[:200])


def _words(body: object) -> str:
    """What a fault says in words: its reason, and whatever else stands in it."""
    if isinstance(body, str):
        return body.strip()
    if isinstance(body, list):
        return ", ".join(filter(None, map(_words, body)))
    if not isinstance(body, dict):
        return ""
    if isinstance(reason := body.get("Reason"), str) and reason.strip():
        return reason.strip()
    named = ((name, _words(below)) for name, below in body.items() if name not in ("status", "id"))
    return ", ".join(f"{name} {words}" for name, words in named if words)


def _refused_value(body: object) -> Fault | None:
    for each in body if isinstance(body, list) else [body]:
        if not isinstance(each, dict):
            continue
        if each.get("error") == "True":
            return Fault(code=INVALID_PARAMETERS, message=str(each.get("Value") or "refused")[:200])
        for below in each.values():
            if (found := _refused_value(below)) is not None:
                return found
    return None


# ── calls to documents ────────────────────────────────────────────────────────────────────────────

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
# XML 1.0 has no way of writing these, not even escaped.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def command(call: Call) -> bytes:
    """The putxml document of an `xCommand/…` call, all text escaped. ValueError if it is no such call."""
    prefix, *names = call.method.split("/")
    if prefix != "xCommand" or not names:
        raise ValueError("no command")
    body: dict[str, object] = {"@command": "True"}
    for name, value in call.params.items():
        body[_name(name)] = _argument(value)
    return _written("Command", names, body)


def configuration(call: Call) -> bytes:
    """The putxml document of an `xSet` call, all text escaped. ValueError if it is no such call."""
    path = call.params.get("Path")
    if call.method != "xSet" or not isinstance(path, list | tuple) or "Value" not in call.params:
        raise ValueError("no setting")
    if len(path) < 2 or path[0] != "Configuration":  # noqa: PLR2004 - the root and what it is about
        raise ValueError("not a path of the configuration")
    return _written("Configuration", path[1:], _text(call.params["Value"]))


def location(path: Sequence[str | int]) -> str:
    """A path as getxml and feedback expressions write it: `/Status/Call[@item='2']/Status`."""
    steps = (f"[@item='{step}']" if isinstance(step, int) else f"/{_name(step)}" for step in path)
    return "".join(steps)


def _written(root: str, path: Sequence[str | int], leaf: object) -> bytes:
    tree = leaf
    number: int | None = None
    for step in reversed(path):
        if isinstance(step, int):
            number = step
            continue
        if number is not None:
            members = tree if isinstance(tree, dict) else {"#text": tree}
            tree, number = {"@item": str(number), **members}, None
        tree = {_name(step): tree}
    return cast("str", xmltodict.unparse({root: tree})).encode()


def _argument(value: object) -> object:
    if isinstance(value, list | tuple):
        return [{"@item": str(place), "#text": _text(each)} for place, each in enumerate(value, 1)]
    return _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, str | int | float):
        return _UNWRITABLE.sub("\ufffd", str(value))
    raise ValueError("neither text nor a number")


def _name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("not a node's name")
    return name
