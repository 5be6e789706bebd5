"""One tsh, the shell of a device: lines in, answers and feedback out; knows nothing of SSH."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from tests.simulator import commands, printing
from tests.simulator.device import PEOPLE
from tests.simulator.firmware import BUILD, Path
from tests.simulator.language import (
    ANY,
    COMMAND_ERROR,
    METHOD_NOT_FOUND,
    Leaf,
    Pattern,
    Refused,
    covers,
    pattern_of,
    plant,
    steps_of,
)

if TYPE_CHECKING:
    from tests.simulator.device import Device

Mode = Literal["terminal", "json", "xml"]

LARGEST_BODY: Final = 8 * 1024 * 1024
MULTILINE: Final = frozenset({"bookings/put"})  # commands that wait for a text up to a line with a dot
ROOTS: Final = {"xstatus": "Status", "xconfiguration": "Configuration"}
NOT_RECOGNIZED: Final = "\nCommand not recognized.\n"
NO_MATCH: Final = "No match on address expression"
TERMINAL_ESCAPE: Final = "\x1b[?1034h"

_COUNT: Final = re.compile(rb"\{(\d+)\}\s*")
_RESULT_ID: Final = re.compile(r'\s*\|\s*resultid\s*=\s*"([^"]*)"\s*$', re.IGNORECASE)
_VALUE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')
_NAME: Final = re.compile(r"([\w.]+):")
_WORD: Final = re.compile(r"[^\s\":]+")


@dataclass
class _SyntaxError(Exception):
    """A line that the shell does not understand at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One line, taken apart."""

    words: tuple[str, ...]  # up to the first parameter
    parameters: tuple[tuple[str, str], ...]
    result_id: str | None
    body: str | None = None


class Shell:
    """Knows its mode and its feedback expressions; gives text and leaves sending it to the session."""

    def __init__(self, device: "Device", *, terminal: bool) -> None:
        self.mode: Mode = "terminal"
        self.echo = True
        self.over = False  # the client has said bye
        self._device: Final = device
        self._terminal: Final = terminal  # a pseudo terminal was asked for
        self._expressions: dict[str, Pattern] = {}
        self._heard = b""
        self._after_cr = False
        self._awaited = 0  # bytes of a counted body
        self._pending: tuple[bytes, list[bytes]] | None = None  # a command and the lines of its body

    @property
    def subscriptions(self) -> int:
        return len(self._expressions)

    @property
    def hears_people(self) -> bool:
        return any(covers(pattern, PEOPLE) for pattern in self._expressions.values())

    def forget(self) -> None:
        """Loses all registrations, without a word."""
        self._expressions.clear()

    def greeting(self) -> str:
        """What comes before the first command."""
        device, faults = self._device, self._device.faults
        firmware = device.firmware
        style = faults.banner or ("ce9" if firmware.is_ce9 else "roomos")
        login = faults.last_login or ("after" if firmware.numbers >= (11,) else "none")
        last = f"Last login from <unknown> at {device.now():%Y-%m-%d %H:%M:%S}\n"
        if style == "ce9":
            release = f"ce {firmware.version} {BUILD} 2021-05-04"
        else:
            release = f"RoomOS {firmware.version} {BUILD}"
        lines = [
            f"Welcome to {device.name}\n",
            f"Cisco Codec Release {release}\n",
            "SW Release Date: 2024-12-12\n",
            "*r Login successful\n",
            f"\n{last}\n" if login == "before" else "\n" if style == "ce9" else "",
            "OK\n\n",
            last + "\n" if login == "after" else "",
        ]
        return "".join(lines)

    def receive(self, data: bytes) -> list[str]:
        """The answers to all lines that are complete now; the first is the echo, if that is on."""
        answers: list[str] = []
        if self.echo:
            answers.append(data.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n"))
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._heard += data
        while not self.over and (taken := self._take()) is not None:
            line, counted = taken
            answers.append(self._obey(line, counted))
        self._after_cr = data.endswith(b"\r") and not self._heard and not self._awaited
        return [answer for answer in answers if answer]

    def feedback(self, leaves: Sequence[Leaf]) -> list[str]:
        """What is told of some changes: once, however many expressions cover them."""
        patterns = self._expressions.values()
        heard = [leaf for leaf in leaves if any(covers(pattern, leaf[0]) for pattern in patterns)]
        return [self.printed_feedback(heard)] if heard else []

    def printed_feedback(self, leaves: Sequence[Leaf]) -> str:
        firmware = self._device.firmware
        match self.mode:
            case "json":
                return self._json(printing.shell_feedback(leaves))
            case "xml":
                tree = plant(printing.without_ids(leaves))
                return f'<XmlDoc resultId="">\n{printing.xml_text(tree, firmware)}</XmlDoc>\n'
            case "terminal":
                return "\n".join([*printing.terminal_lines(leaves, firmware), "** end\n"])

    # Lines and bodies

    def _take(self) -> tuple[bytes, bytes | None] | None:
        """The next command and its body, once both are complete."""
        if self._awaited:
            if len(self._heard) < self._awaited:
                return None
            whole, self._heard = self._heard[: self._awaited], self._heard[self._awaited :]
            self._awaited = 0
            command, _, rest = whole.partition(b"\n")
            if len(whole) > LARGEST_BODY:
                return b"", None
            return command.rstrip(b"\r"), rest.removesuffix(b"\n")
        while (line := self._line()) is not None:
            if self._pending is not None:
                command, lines = self._pending
                if line == b".":
                    self._pending = None
                    return command, b"\n".join(lines)
                lines.append(line)
            elif count := _COUNT.fullmatch(line):
                self._awaited = int(count[1])
                return self._take()
            elif self._wants_body(line):
                self._pending = (line, [])
            elif line.strip():
                return line.strip(), None
        return None

    def _line(self) -> bytes | None:
        ends = [at for at in (self._heard.find(b"\n"), self._heard.find(b"\r")) if at >= 0]
        if not ends:
            return None
        end = min(ends)
        line, rest = self._heard[:end], self._heard[end:]
        self._heard = rest[2:] if rest.startswith(b"\r\n") else rest[1:]
        return line

    def _wants_body(self, line: bytes) -> bool:
        words = _RESULT_ID.sub("", line.decode(errors="replace")).split()
        return bool(words) and words[0].lower() == "xcommand" and "/".join(words[1:]).lower() in MULTILINE

    # Commands

    def _obey(self, line: bytes, body: bytes | None) -> str:
        if self._device.faults.silent:
            return ""
        try:
            asked = _read(line.decode(errors="replace"), body)
        except _SyntaxError:
            return NOT_RECOGNIZED
        match asked.words[0].lower() if asked.words else "":
            case "echo" if len(asked.words) == 2:
                return self._set_echo(asked.words[1].lower() == "on")
            case "xpreferences":
                return self._prefer(asked)
            case "xstatus" | "xconfiguration" as root:
                return self._values(ROOTS[root], asked)
            case "xcommand" if len(asked.words) > 1:
                return self._command(asked)
            case "xfeedback" if len(asked.words) > 1:
                return self._change_feedback(asked)
            case "bye" | "exit":
                self.over = True
                return ""
            case _:
                return NOT_RECOGNIZED

    def _set_echo(self, on: bool) -> str:
        self.echo = on
        escapes = self._device.faults.terminal_escape
        escaped = escapes == "always" or (escapes == "terminal" and self._terminal)
        return (TERMINAL_ESCAPE if escaped and not on else "") + "\nOK\n\n"

    def _prefer(self, asked: _Asked) -> str:
        words = [word.lower() for word in asked.words[1:]]
        match words:
            case ["outputmode", "json"] if self._device.faults.json_output == "refused":
                return NOT_RECOGNIZED
            case ["outputmode", "json"] if self._device.faults.json_output == "ignored":
                return "\nOK\n\n"
            case ["outputmode", "json" | "xml" as mode]:
                self.mode = mode
                return ""
            case ["outputmode", "terminal"]:
                self.mode = "terminal"
                return "\nOK\n\n"
            case _:
                return NOT_RECOGNIZED

    def _values(self, root: str, asked: _Asked) -> str:
        if self._device.faults.not_ready:
            return self._not_ready(asked)
        steps = steps_of(asked.words[1:])
        if steps[:1] and str(steps[0]).lower() == root.lower():
            steps = steps[1:]
        if asked.parameters:
            name, value = asked.parameters[0]
            return self._configure((root, *steps, name), value, asked)
        path = self._device.firmware.resolve((root, *steps))
        wild = ANY in steps
        if path is None and not wild:
            return self._wrong_path(root, steps, asked)
        pattern = pattern_of((root, *steps) if path is None else path)
        found = [leaf for leaf in self._device.leaves() if covers(pattern, leaf[0])]
        if not found and (path is None or self._is_single(path)):
            return self._wrong_path(root, steps, asked)
        return self._print_values(root, found, asked)

    def _is_single(self, path: Path) -> bool:
        return isinstance(path[-1], int) or self._device.firmware.node(path).space is not None

    def _configure(self, names: Path, value: str, asked: _Asked) -> str:
        path = self._device.firmware.resolve(names)
        space = self._device.firmware.node(path).space if path else None
        if path is None or path[0] != "Configuration" or space is None:
            return self._wrong_path(str(names[0]), names[1:], asked)
        try:
            self._device.configure(path, space.cast(value))
        except ValueError:
            return self._illegal_value(path, asked)
        return self._done(asked)

    def _command(self, asked: _Asked) -> str:
        name = "/".join(str(step) for step in steps_of(asked.words[1:]))
        given: dict[str, Any] = {}
        for key, value in asked.parameters:
            given[key] = [*_listed(given[key]), value] if key in given else value
        if asked.body is not None:
            given["body"] = asked.body
        if self._device.faults.not_ready:
            return self._not_ready(asked)
        try:
            result = {"status": "OK", **commands.run(self._device, name, given)}
        except Refused as refusal:
            return self._refused(name, refusal, asked)
        return self._print_result(result_name(self._device, name), result, asked)

    def _change_feedback(self, asked: _Asked) -> str:
        match [word.lower() for word in asked.words[1:]]:
            case ["register", *_] if len(asked.words) > 2:
                return self._register("".join(asked.words[2:]), asked)
            case ["deregister", *_] if len(asked.words) > 2:
                wanted = _canonical("".join(asked.words[2:]))
                if self._expressions.pop(wanted, None) is None:
                    return self._problem("Error", "Expression is not registered", wanted, "Result", asked)
                return self._done(asked)
            case ["deregisterall"]:
                self._expressions.clear()
                return self._done(asked)
            case ["list"]:
                self._device.lists_sent += 1
                return self._list_feedback(asked)
            case _:
                return NOT_RECOGNIZED

    def _register(self, expression: str, asked: _Asked) -> str:
        steps = steps_of((expression,))
        known = not steps or ANY in steps or self._device.firmware.resolve(steps) is not None
        if not known and not self._device.faults.accepts_unknown_queries:
            return self._wrong_path(str(steps[0]), steps[1:], asked)
        written = _canonical(expression)
        limit = min(self._device.firmware.expression_limit, self._device.faults.subscription_limit)
        if written not in self._expressions and len(self._expressions) >= limit:
            return self._problem("Error", f"More than {limit} expressions", written, "Result", asked)
        self._expressions[written] = pattern_of(steps)
        return self._done(asked)

    def _list_feedback(self, asked: _Asked) -> str:
        """Not JSON in JSON mode either: one expression per line, as clients of several makers read it."""
        lines = "".join(f"{expression}\n" for expression in self._expressions)
        if self.mode == "xml":
            return f'<XmlDoc resultId="{asked.result_id or ""}">\n{lines}</XmlDoc>\n'
        if self.mode == "json" and self._device.faults.feedback_list == "bare":
            return lines
        ended = f"{lines}{_result_id_line(asked)}** end\n"
        return ended if self.mode == "json" else f"{ended}\nOK\n"

    # Answers

    def _done(self, asked: _Asked) -> str:
        match self.mode:
            case "json":
                return self._json(_with_id({}, asked))
            case "xml":
                return _document("", asked)
            case "terminal":
                return f"{_result_id_line(asked)}** end\n\nOK\n"

    def _print_values(self, root: str, leaves: Sequence[Leaf], asked: _Asked) -> str:
        firmware = self._device.firmware
        tree = plant(leaves) or {root: {}}
        match self.mode:
            case "json":
                return self._json(_with_id(printing.shell_tree(tree, firmware), asked))
            case "xml":
                return _document(printing.xml_text(tree, firmware), asked)
            case "terminal":
                lines = "".join(f"{line}\n" for line in printing.terminal_lines(leaves, firmware))
                return f"{lines}{_result_id_line(asked)}** end\n\nOK\n"

    def _print_result(self, name: str, result: Mapping[str, Any], asked: _Asked) -> str:
        match self.mode:
            case "json":
                tree = printing.shell_tree({"CommandResponse": {name: result}})
                return self._json(_with_id(tree, asked))
            case "xml":
                return _document(
                    printing.xml_text({"CommandResponse": {name: result}}, self._device.firmware), asked
                )
            case "terminal":
                verdict = "OK" if result.get("status") == "OK" else "ERROR"
                lines = "".join(f"{line}\n" for line in printing.result_lines(name, result))
                return f"\n{verdict}\n{lines}{_result_id_line(asked)}** end\n"

    def _refused(self, name: str, refusal: Refused, asked: _Asked) -> str:
        if refusal.code == METHOD_NOT_FOUND:
            return self._problem("Error", "Unknown command", f"/{name}", "Result", asked)
        status = "Error" if refusal.code == COMMAND_ERROR else "ParameterError"
        return self._problem(status, refusal.message, "", result_name(self._device, name), asked)

    def _not_ready(self, asked: _Asked) -> str:
        return self._problem("Error", "System not ready to accept requests", "", "Result", asked)

    def _problem(self, status: str, reason: str, xpath: str, name: str, asked: _Asked) -> str:
        result = {"status": status, "Reason": reason, **({"XPath": xpath} if xpath else {})}
        return self._print_result(name, result, asked)

    def _wrong_path(self, root: str, steps: Path, asked: _Asked) -> str:
        """CE 9 calls it the answer to a command; RoomOS puts it where the values would be."""
        written = "/".join(str(step) for step in (root, *steps))
        old = self._device.firmware.is_ce9
        body = {"status": "Error", "Reason": NO_MATCH + ("" if old else "."), "XPath": written}
        if self.mode == "terminal":
            return f"\nERROR\n{NO_MATCH}: {written}\n{_result_id_line(asked)}** end\n"
        proper = next((known for known in printing.PREFIXES if known.lower() == root.lower()), root)
        tree = {"CommandResponse": {proper: body}} if old else {proper: body}
        if self.mode == "xml":
            return _document(printing.xml_text(tree, self._device.firmware), asked)
        return self._json(_with_id(printing.shell_tree(tree), asked))

    def _illegal_value(self, path: Path, asked: _Asked) -> str:
        tree: dict[str, Any] = {"error": "True", "Value": "Illegal value"}
        for step in reversed(path):
            tree = {str(step): tree}
        match self.mode:
            case "json":
                return self._json(_with_id(printing.shell_tree(tree), asked))
            case "xml":
                return _document(printing.xml_text(tree, self._device.firmware), asked)
            case "terminal":
                return f"\nERROR\nIllegal value\n{_result_id_line(asked)}** end\n"

    def _json(self, tree: dict[str, Any]) -> str:
        return printing.json_text(tree, compact=self._device.faults.compact_json)


def result_name(device: "Device", name: str) -> str:
    """The element of a command's result: its last two words, in the device's own case."""
    known = device.firmware.commands.get(name.lower())
    words = (known[0] if known else name).split("/")
    return "".join(words[-2:]) + "Result"


def _read(text: str, body: bytes | None) -> _Asked:
    result_id: str | None = None
    if found := _RESULT_ID.search(text):
        result_id, text = found[1], text[: found.start()]
    words: list[str] = []
    parameters: list[tuple[str, str]] = []
    text = text.strip()
    position = 0
    while position < len(text):
        if named := _NAME.match(text, position):
            position = named.end() + len(text[named.end() :]) - len(text[named.end() :].lstrip())
            value = _VALUE.match(text, position)
            if value is None:
                raise _SyntaxError  # a parameter without a value
            quoted, plain = value.groups()
            parameters.append((named[1], plain or re.sub(r'\\(["\\])', r"\1", quoted)))
            position = value.end()
        elif (word := _WORD.match(text, position)) and not parameters:
            words.append(word[0])
            position = word.end()
        else:
            raise _SyntaxError
        position += len(text[position:]) - len(text[position:].lstrip())
    return _Asked(
        words=tuple(words),
        parameters=tuple(parameters),
        result_id=result_id,
        body=None if body is None else body.decode(errors="replace"),
    )


def _canonical(expression: str) -> str:
    return "/" + expression.strip().strip("/")


def _with_id(tree: dict[str, Any], asked: _Asked) -> dict[str, Any]:
    return tree if asked.result_id is None else {**tree, "ResultId": asked.result_id}


def _result_id_line(asked: _Asked) -> str:
    return "" if asked.result_id is None else f'** resultId: "{asked.result_id}"\n'


def _document(inner: str, asked: _Asked) -> str:
    return f'<XmlDoc resultId="{asked.result_id or ""}">\n{inner}</XmlDoc>\n'


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
