"""The shell of a device over SSH: calls to command lines, and what it prints, cut anywhere, to messages."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import assert_never, cast

import msgspec

from device_adapters.xapi import xml
from device_adapters.xapi.messages import (
    NOT_READY,
    TOO_MANY_SUBSCRIPTIONS,
    Call,
    CallId,
    Feedback,
    Refusal,
    Reply,
    Unintelligible,
    XapiMessage,
)

# One command is under way at a time, as a shell has one hand, and text without a number ("Command not
# recognized.") then belongs to it. Feedback may come at any time between two documents.

MAX_BYTES = 4 * 1024 * 1024  # of one document: a listing of two full days has some hundred kilobytes
MAX_LINE_BYTES = 64 * 1024  # of one line of text, or of one XML tag
LONGEST_ESCAPE = 256  # in bytes; what is longer is text
MAX_BODY_BYTES = 8 * 1024 * 1024  # of what follows a command on lines of its own (RoomOS 11.32 guide)
FEWEST_EXPRESSIONS = 38  # that a session may register: CE9; RoomOS 11.14 and newer allows 50

Tree = Mapping[str, object]

_ROOTS = ("Status", "Event", "Configuration")
_decode = msgspec.json.Decoder(dict[str, object]).decode


class Mode(Enum):
    """How the shell prints answers."""

    JSON = "json"
    XML = "xml"


class _Stage(Enum):
    """How far the greeting is."""

    WELCOME = "welcome"  # the banner, until its OK
    ECHO = "echo"  # `echo off`, until its OK
    PREFERENCE = "preference"  # the output mode is asked for, and a first answer shows whether we got it
    READY = "ready"


class _Kind(Enum):
    """What is under way, and so what its answer looks like."""

    GET = "get"
    SET = "set"
    COMMAND = "command"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    AUDIT = "audit"  # ours: which registrations the device still knows
    RENEWAL = "renewal"  # ours: registers again what may be lost


@dataclass(frozen=True, slots=True)
class _Asked:
    number: CallId
    kind: _Kind
    path: tuple[str | int, ...]
    text: bytes  # as it is sent


class TShell:
    """One session: its greeting, its queue of commands, and the reading of what it prints."""

    __slots__ = (
        "_asked",
        "_believed",
        "_broken",
        "_calls",
        "_frames",
        "_listed",
        "_messages",
        "_not_this_mode",
        "_out",
        "_queue",
        "_stage",
        "forgotten",
        "mode",
        "registered",
        "unknown",
    )

    def __init__(self) -> None:
        self.mode = Mode.JSON
        self.registered: dict[CallId, str] = {}  # expressions, by the call that registered them
        self.forgotten: tuple[str, ...] = ()  # registrations that the device no longer knows
        self.unknown = 0  # documents that are no answer to us and no feedback
        self._stage = _Stage.WELCOME
        self._frames = _Frames()
        self._calls = 0
        self._queue: deque[_Asked] = deque()
        self._asked: _Asked | None = None
        self._out = bytearray()
        self._messages: list[XapiMessage] = []
        self._broken: Unintelligible | None = None
        self._not_this_mode = 0  # signs that the output mode is another one than we asked for
        self._listed: list[str] = []  # what the audit under way has brought so far
        self._believed = False  # the device's list of registrations was seen to be complete once

    # ── what the line calls ──

    @property
    def ready(self) -> bool:
        """Whether the greeting is over and calls are answered."""
        return self._stage is _Stage.READY

    @property
    def welcomed(self) -> bool:
        """Whether the shell has said OK: other than a device's does not."""
        return self._stage is not _Stage.WELCOME

    @property
    def auditing(self) -> bool:
        """Whether the list of registrations is under way."""
        return self._asked is not None and self._asked.kind is _Kind.AUDIT

    def call(self, call: Call) -> CallId:
        """Number a call and put it in the queue; what cannot be said in a command line is refused at once."""
        number = self._number()
        try:
            kind, path, command, body = _said(call, self.registered)
            text = _line(command, body, number)
        except (ValueError, UnicodeError) as error:
            self._messages.append(Refusal(number, xml.INVALID_PARAMETERS, str(error)[:200]))
        else:
            self._put(_Asked(number, kind, path, text))
        return number

    def audit(self) -> None:
        """Ask which registrations the device knows, if nothing else waits; afterwards see `forgotten`."""
        if self.ready and self.registered and self._asked is None and not self._queue:
            self._listed = []
            number = self._number()
            self._put(_Asked(number, _Kind.AUDIT, (), _line("xFeedback List", None, number)))

    def give_up_audit(self) -> None:
        """The list has no end that we know of, or is empty and so is nothing at all: go on."""
        if self.auditing:
            self._asked = None
            self._audited()
            self._pump()

    def to_send(self) -> bytes:
        """What is to be sent now; b"" if nothing."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def receive(self, data: bytes) -> tuple[XapiMessage, ...]:
        """What the shell printed next, cut anywhere: the messages that are complete by now.

        Unintelligible where it cannot be read, after the messages before it were given; then for ever.
        """
        if self._broken is None:
            try:
                for piece in self._frames.cut(data):
                    if isinstance(piece, str):
                        self._line(piece)
                    else:
                        self._document(piece)
            except RecursionError:
                self._broken = Unintelligible("nested too deeply")
            except Unintelligible as error:
                self._broken = error
        messages, self._messages = tuple(self._messages), []
        if self._broken is not None and not messages:
            raise self._broken
        return messages

    # ── the queue ──

    def _number(self) -> CallId:
        self._calls += 1
        return CallId(self._calls)

    def _put(self, asked: _Asked) -> None:
        self._queue.append(asked)
        self._pump()

    def _pump(self) -> None:
        if self.ready and self._asked is None and self._queue:
            self._asked = self._queue.popleft()
            self._out += self._asked.text

    # ── lines of text ──

    def _line(self, text: str) -> None:
        match self._stage:
            case _Stage.WELCOME:
                if text == "OK":
                    self._stage = _Stage.ECHO
                    self._out += b"echo off\n"
            case _Stage.ECHO:
                if text == "OK":
                    self._prefer(Mode.JSON)
            case _Stage.PREFERENCE:
                self._doubt(text)
            case _Stage.READY:
                self._said_in_words(text)
            case _:
                assert_never(self._stage)

    def _prefer(self, mode: Mode) -> None:
        # The preference itself is answered with nothing, so a command follows whose answer shows it.
        self._stage = _Stage.PREFERENCE
        self.mode = self._frames.mode = mode
        self._not_this_mode = 0
        self._out += (
            f'xpreferences outputmode {mode.value}\nxStatus SystemUnit Uptime | resultId="{_probe(mode)}"\n'
        ).encode()

    def _doubt(self, text: str) -> None:
        """Whether this line shows that we did not get the output mode. Terminal mode ends with `** end`."""
        lowered = text.lower()
        if lowered.startswith("command not recognized"):
            self._not_this_mode += 1  # the preference; where it is both, the probe as well
            over = self._not_this_mode > 1
        elif lowered.startswith("*s systemunit uptime") or (
            lowered.startswith("** resultid") and _probe(self.mode) in lowered
        ):
            self._not_this_mode = max(self._not_this_mode, 1)
            return
        else:
            over = lowered == "** end" and self._not_this_mode > 0
        if over and self.mode is Mode.JSON:
            self._prefer(Mode.XML)
        elif over:
            raise Unintelligible("its shell knows neither JSON nor XML")

    def _said_in_words(self, text: str) -> None:
        asked = self._asked
        if asked is None:
            return
        if text.lower().startswith("command not recognized"):
            self._asked = None
            self._refuse(asked, xml.NO_SUCH_NODE, text)
        elif asked.kind is _Kind.AUDIT:
            if text in ("** end", "OK"):
                self._asked = None
                self._audited()
            else:
                self._listed.extend(_expressions(text))
        elif asked.kind is _Kind.SUBSCRIBE and _CROWDED.search(text):
            self._asked = None
            self._refuse(asked, TOO_MANY_SUBSCRIPTIONS, text)
        self._pump()

    # ── documents ──

    def _document(self, document: bytes) -> None:
        number, tree = _json(document) if self.mode is Mode.JSON else _xml(document)
        if self._stage is not _Stage.READY:
            if number == _probe(self.mode):
                self._stage = _Stage.READY
                self._pump()
            return
        asked = self._asked
        if number or (asked is not None and ("CommandResponse" in tree or xml.fault(tree) is not None)):
            if asked is None or number not in ("", str(asked.number)):
                self.unknown += 1  # late: nobody waits for it any more
                return
            self._asked = None
            self._answer(asked, tree)
            self._pump()
        elif heard := {root: tree[root] for root in _ROOTS if root in tree}:
            self._messages.append(Feedback(heard))
        else:
            self.unknown += 1

    def _answer(self, asked: _Asked, tree: Tree) -> None:
        fault = xml.fault(tree)
        if fault is not None:
            self._refuse(asked, fault.code, fault.message)
            return
        match asked.kind:
            case _Kind.GET:
                try:
                    found = xml.node(tree, asked.path)
                except KeyError:
                    found = {}  # there is such a branch, with nothing in it
                self._reply(asked, result=_only(found) if self.mode is Mode.XML else found)
            case _Kind.COMMAND:
                self._reply(asked, result=_result(tree))
            case _Kind.SET:
                self._reply(asked, result=True)
            case _Kind.SUBSCRIBE:
                self.registered[asked.number] = cast("str", asked.path[0])
                self._reply(asked, result={"Id": asked.number})
            case _Kind.UNSUBSCRIBE:
                gone = asked.path[0]
                self.registered = {key: each for key, each in self.registered.items() if each != gone}
                self._reply(asked, result=True)
            case _Kind.AUDIT:
                self._listed.extend(_found(tree))
                self._audited()
            case _Kind.RENEWAL:
                pass
            case _:
                assert_never(asked.kind)

    def _reply(self, asked: _Asked, *, result: object) -> None:
        self._messages.append(Reply(asked.number, result))

    def _refuse(self, asked: _Asked, code: int, message: str) -> None:
        if asked.kind is _Kind.AUDIT:
            self._audited()
        elif asked.kind is not _Kind.RENEWAL:
            if _STARTING.search(message):
                code = NOT_READY
            elif asked.kind is _Kind.SUBSCRIBE and (
                _CROWDED.search(message)
                or (code == xml.COMMAND_FAILED and len(self.registered) >= FEWEST_EXPRESSIONS)
            ):
                code = TOO_MANY_SUBSCRIPTIONS
            self._messages.append(Refusal(asked.number, code, message[:200]))
        self._pump()

    def _audited(self) -> None:
        """Believe the list once it was seen to be complete; before, register all anew to be sure.

        No source says how a shell in JSON mode prints its list, so one that we cannot read must not look like
        one that is empty. Registering what is registered already changes nothing.
        """
        listed = [_plain_expression(each) for each in self._listed]
        missing = tuple(
            each
            for each in self.registered.values()
            if not any(f"{_plain_expression(each)}/".startswith(f"{known}/") for known in listed)
        )
        self._listed = []
        if not missing:
            self._believed = True
        elif self._believed:
            self.forgotten = missing
        else:
            for expression in missing:
                number = self._number()
                text = _line(f"xFeedback Register {expression}", None, number)
                self._put(_Asked(number, _Kind.RENEWAL, (), text))


_CROWDED = re.compile(r"too many|more than|limit|exceed|maximum", re.IGNORECASE)
_STARTING = re.compile(r"not ready|booting|starting up", re.IGNORECASE)
_EXPRESSION = re.compile(r"(?<![\w/])/?(?:status|event|configuration)(?:/[\w.\-]+)*", re.IGNORECASE)


def _probe(mode: Mode) -> str:
    return f"roomd-{mode.value}"


def _expressions(text: str) -> list[str]:
    return _EXPRESSION.findall(text)


def _plain_expression(expression: str) -> str:
    return expression.strip("/").lower()


def _found(tree: object) -> Iterator[str]:
    """The expressions in an answer to `xFeedback List`, wherever they stand in it."""
    if isinstance(tree, str):
        yield from _expressions(tree)
    elif isinstance(tree, list):
        for each in tree:
            yield from _found(each)
    elif isinstance(tree, dict):
        for name, below in tree.items():
            if name != "resultId":
                yield from _found(below)


# ── calls to command lines (jsxapi's, as the device's own notation of a call) ─────────────────────

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,99}(?:\.[0-9]{1,2})?")  # some parameters are numbered: `Option.1`
_CONTROLS = re.compile("[\x00-\x1f\x7f]")

_Said = tuple[_Kind, tuple[str | int, ...], str, str | None]


def _said(call: Call, registered: Mapping[CallId, str]) -> _Said:
    """The kind, the path or expression, the command and its body. ValueError if it cannot be said."""
    params = dict(call.params)
    match call.method.split("/"):
        case ["xGet"]:
            path = _path(params.get("Path"))
            return _Kind.GET, path, _node(path), None
        case ["xSet"]:
            path = _path(params.get("Path"))
            return _Kind.SET, path, f"{_node(path)}: {_value(params.get('Value'))}", None
        case ["xCommand", *names]:
            body = params.pop("body", None)
            if body is not None and not isinstance(body, str):
                raise ValueError("a body that is no text")
            words = ["xCommand", *_path(names)]
            for name in sorted(params):
                value = params[name]
                values = value if isinstance(value, list | tuple) else (value,)
                words.extend(f"{_name(name)}: {_value(each)}" for each in values)
            return _Kind.COMMAND, (), " ".join(map(str, words)), body
        case ["xFeedback", "Subscribe"] if not params.get("NotifyCurrentValue"):
            expression = _expression(_path(params.get("Query")))
            return _Kind.SUBSCRIBE, (expression,), f"xFeedback Register {expression}", None
        case ["xFeedback", "Unsubscribe"] if (known := _registered(params, registered)) is not None:
            return _Kind.UNSUBSCRIBE, (known,), f"xFeedback Deregister {known}", None
        case _:
            raise ValueError("a call that a shell does not know")


def _registered(params: Tree, registered: Mapping[CallId, str]) -> str | None:
    number = params.get("Id")
    return registered.get(CallId(number)) if isinstance(number, int) else None


def _line(command: str, body: str | None, number: CallId) -> bytes:
    """The bytes of a command. With a body they are preceded by their number: of bytes, not of characters."""
    text = f'{command} | resultId="{number}"\n'.encode()
    if body is None:
        return text
    text += f"{body}\n".encode()
    if len(text) > MAX_BODY_BYTES:
        raise ValueError(f"a body of more than {MAX_BODY_BYTES >> 20} MiB")
    return f"{{{len(text)}}} \n".encode() + text


def _path(steps: object) -> tuple[str | int, ...]:
    if not isinstance(steps, list | tuple) or not steps:
        raise ValueError("no path")
    return tuple(each if type(each) is int and each >= 0 else _name(each) for each in steps)


def _node(path: Sequence[str | int]) -> str:
    if path[0] not in ("Status", "Configuration"):
        raise ValueError("a path that a shell does not know")
    return f"x{' '.join(map(str, path))}"


def _expression(path: Sequence[str | int]) -> str:
    return "".join(f"[{each}]" if isinstance(each, int) else f"/{each}" for each in path)


def _name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("not a node's name")
    return name


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("neither text nor a number")
    if _CONTROLS.search(value):
        raise ValueError("a line break or another control character in a parameter")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# ── what is printed, cut into lines and documents ─────────────────────────────────────────────────

_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")
_UNFINISHED_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b\n]*\x1b?|[ -/]*)?\Z")
_LEAD = re.compile(rb"(?:[\x00-\x1a\x1c-\x20]|" + _ESCAPE.pattern + rb")+")
_OUTSIDE = re.compile(rb'["{}]')
_INSIDE = re.compile(rb'["\\]')
_TAG = re.compile(rb"""<[^<>"']*(?:"[^"<]*"[^<>"']*|'[^'<]*'[^<>"']*)*>""")
_SECTIONS = ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>"))


class _Frames:
    """Cuts bytes into lines of text and whole documents, and looks at each byte once, or few times."""

    __slots__ = ("_at", "_buffer", "_depth", "_in_document", "_in_string", "mode")

    def __init__(self) -> None:
        self.mode: Mode | None = None  # None: there are no documents yet, a banner may say what it likes
        self._buffer = bytearray()
        self._at = 0  # where to look on
        self._depth = 0
        self._in_document = False
        self._in_string = False

    def cut(self, data: bytes) -> Iterator[str | bytes]:
        """Lines without their ends and their escapes, and documents. Unintelligible if one has no end."""
        self._buffer += data
        while True:
            if self._in_document:
                end = self._end_of_json() if self.mode is Mode.JSON else self._end_of_xml()
                if (self._at if end is None else end) > MAX_BYTES:
                    raise Unintelligible(f"a message of more than {MAX_BYTES >> 20} MiB")
                if end is None:
                    return
                document = bytes(self._buffer[:end])
                self._drop(end)
                yield document
            elif (begins := self._begins_document()) is None:
                return
            elif begins:
                self._in_document = True
            else:
                end = self._buffer.find(b"\n", self._at)
                if end < 0:
                    self._at = len(self._buffer)
                    if self._at > MAX_LINE_BYTES:
                        raise Unintelligible("a line of text without an end")
                    return
                line = bytes(self._buffer[:end])
                self._drop(end + 1)
                yield _ESCAPE.sub(b"", line).decode("utf-8", "replace").strip()

    def _drop(self, end: int) -> None:
        del self._buffer[:end]
        self._at = 0
        self._depth = 0
        self._in_document = self._in_string = False

    def _begins_document(self) -> bool | None:
        """Whether a document begins here, after white space and escapes; None while that cannot be seen."""
        if self.mode is None or self._at:
            return False
        lead = _LEAD.match(self._buffer)
        after = 0 if lead is None else lead.end()
        del lead  # as long as it lives, the buffer cannot be cut
        if after:
            del self._buffer[:after]
        if not self._buffer:
            return None
        sign = self._buffer[0]
        if sign == ord("\x1b") and len(self._buffer) < LONGEST_ESCAPE:
            unfinished = _UNFINISHED_ESCAPE.fullmatch(self._buffer) is not None
            return None if unfinished else False
        return sign == ord("{" if self.mode is Mode.JSON else "<")

    def _end_of_json(self) -> int | None:
        """Where the object ends; braces in strings count for nothing."""
        buffer, at, depth, in_string = self._buffer, self._at, self._depth, self._in_string
        while True:
            found = (_INSIDE if in_string else _OUTSIDE).search(buffer, at)
            if found is None:
                # An escaped character may be still to come, and is passed by all the same.
                self._at, self._depth, self._in_string = max(at, len(buffer)), depth, in_string
                return None
            at = found.end()
            match found[0]:
                case b'"':
                    in_string = not in_string
                case b"\\":
                    at += 1
                case b"{":
                    depth += 1
                case _:
                    depth -= 1
                    if depth == 0:
                        return at

    def _end_of_xml(self) -> int | None:
        """Where the root element ends; comments and CDATA count for nothing."""
        buffer = self._buffer
        while True:
            begin = buffer.find(b"<", self._at)
            if begin < 0:
                self._at = len(buffer)
                return None
            end = self._end_of_tag(begin)
            if end is None:
                self._at = begin
                if len(buffer) - begin > MAX_LINE_BYTES:
                    raise Unintelligible("an XML tag without an end")
                return None
            self._at = end
            if buffer[begin + 1] in b"!?":
                continue
            if buffer[begin + 1] == ord("/"):
                self._depth -= 1
            elif buffer[end - 2] != ord("/"):
                self._depth += 1
            if self._depth <= 0:
                return end

    def _end_of_tag(self, begin: int) -> int | None:
        buffer = self._buffer
        for opening, closing in _SECTIONS:
            if buffer.startswith(opening, begin):
                end = buffer.find(closing, begin + len(opening))
                return None if end < 0 else end + len(closing)
        head = bytes(buffer[begin : begin + len(b"<![CDATA[")])
        if head.startswith(b"<!"):
            if any(opening.startswith(head) for opening, _ in _SECTIONS):
                return None
            raise Unintelligible("XML with a document type")
        found = _TAG.match(buffer, begin)
        return None if found is None else found.end()


# ── documents to trees as over WebSocket ──────────────────────────────────────────────────────────

# Control characters are white space between JSON's tokens and nothing that it allows in a string.
_SPACED = bytes(max(byte, 0x20) for byte in range(256))


def _json(document: bytes) -> tuple[str, Tree]:
    """The number of the call that it answers, or "", and its tree."""
    try:
        heard = _decode(document)
    except (msgspec.MsgspecError, UnicodeError):
        # Titles come from anywhere; a stray byte in one is not worth the line.
        try:
            heard = _decode(document.translate(_SPACED).decode("utf-8", "replace"))
        except msgspec.MsgspecError as error:
            raise Unintelligible(f"not JSON: {error}"[:200]) from None
    number = heard.pop("ResultId", "")
    tree: Tree = {name: _plain(below) for name, below in heard.items()}  # the root itself is never a leaf
    return str(number) if isinstance(number, str | int) else "", tree


def _plain(value: object) -> object:
    """`{"Value": x}` to x; numeric ids on the members of arrays, and none elsewhere, where each node has a 1.

    What is gone (`ghost`) or refused (`error`) stays an object, as more than its value is said of it.
    """
    if isinstance(value, list):
        return [_member(each) for each in value]
    if not isinstance(value, dict):
        return value
    leaf = value.get("Value")
    if isinstance(leaf, str | int | float) and not ("ghost" in value or "error" in value):
        return leaf
    return {
        name: _plain(below)
        for name, below in value.items()
        if not (name == "valueSpaceRef" or (name == "id" and below in ("", "1", 1)))
    }


def _member(value: object) -> object:
    plain = _plain(value)
    if isinstance(plain, dict) and isinstance(value, dict) and "id" in value:
        number = value["id"]
        plain["id"] = int(number) if isinstance(number, str) and _NUMBER.fullmatch(number) else number
    return plain


_NUMBER = re.compile(r"[0-9]{1,9}")


def _xml(document: bytes) -> tuple[str, Tree]:
    """The number of the call that it answers, or "", and its tree."""
    tree = dict(xml.read(document))
    body = tree.pop("XmlDoc", None)
    number = ""
    if isinstance(body, dict):
        number = str(body.pop("resultId", ""))
        tree = {**tree, **body}
    if "Event" in tree:
        tree["Event"] = _unnumbered(tree["Event"])
    for wrapper in ("CommandResponse", "Command"):
        if isinstance(wrapped := tree.get(wrapper), dict):
            tree[wrapper] = {name: _only(below) for name, below in wrapped.items()}
    return number, tree


def _unnumbered(value: object) -> object:
    """Events without the 1 that all firmware gives each of their nodes, which makes arrays of them."""
    value = _only(value)
    if isinstance(value, list):
        return [_unnumbered(each) for each in value]
    if isinstance(value, dict):
        return {name: _unnumbered(below) for name, below in value.items()}
    return value


def _only(value: object) -> object:
    """The only member of an array, if its number is 1: old firmware numbers what is there once as well."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and value[0].get("id") == 1:
        return {name: below for name, below in value[0].items() if name != "id"}
    return value


def _result(tree: Tree) -> object:
    """A command's result without its wrappers: `CommandResponse` or `Command`, then `…Result`."""
    wrapped = tree.get("CommandResponse", tree.get("Command", tree))
    if isinstance(wrapped, dict):
        for name, result in wrapped.items():
            if name.endswith("Result"):
                return {} if result == "" else result
    return {}
