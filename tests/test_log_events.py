"""Every line of the log: what it is called, that it is documented, and that an error says the mend."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("agent", "cloud_link", "device_adapters")
EVENT: Final = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*")  # a noun, and what became of it
LEVELS: Final = ("debug", "info", "warning", "error", "exception", "critical")
FOR_A_PERSON: Final = frozenset({"error", "exception", "critical"})
# what is somebody's, or secret, by any name that the code has for it
OF_PEOPLE: Final = frozenset(
    {"title", "organizer", "subject", "attendees", "user", "username", "mail", "email"}
)
OF_BOOKINGS: Final = frozenset({"booking", "meeting", "entry", "join", "body", "payload", "text", "answers"})
SECRET: Final = frozenset({"password", "passphrase", "secret", "token", "credential", "key"})
NEVER: Final = OF_PEOPLE | OF_BOOKINGS | SECRET
LOGS: Final = re.compile(r"\blog\s*\.")  # every such call, and every name for one, has this in it
ROW: Final = re.compile(r"^\| `([a-z_.]+)` \| ([a-z, ]+) \| (.+) \|$", flags=re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A call that logs."""

    place: str
    levels: frozenset[str]
    events: frozenset[str]
    fields: frozenset[str]
    unpacked: bool  # there are more fields, of a mapping


def lines() -> Iterator[Line]:
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            if not LOGS.search(text):
                continue
            tree = ast.parse(text)
            written = text.splitlines()
            functions = [
                tree,
                *(
                    node
                    for node in ast.walk(tree)
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                    and LOGS.search("\n".join(written[node.lineno - 1 : node.end_lineno]))
                ),
            ]
            seen: set[int] = set()
            for function in reversed(functions):  # the innermost first
                aliases = _aliases(function)
                for call in ast.walk(function):
                    if not isinstance(call, ast.Call) or id(call) in seen:
                        continue
                    levels, arguments = _logs(call, aliases)
                    if levels:
                        seen.add(id(call))
                        yield Line(
                            place=f"{file.relative_to(ROOT)}:{call.lineno}",
                            levels=frozenset(levels),
                            events=frozenset(_events(arguments[0], function)) if arguments else frozenset(),
                            fields=frozenset(each.arg for each in call.keywords if each.arg),
                            unpacked=any(each.arg is None for each in call.keywords),
                        )


def _logs(call: ast.Call, aliases: dict[str, set[str]]) -> tuple[set[str], list[ast.expr]]:
    """At which levels a call logs, and what it is given; also where it is only prepared by `partial`."""
    if _level(call.func):
        return {_level(call.func)}, call.args
    if isinstance(call.func, ast.Name):
        if call.func.id in aliases:
            return aliases[call.func.id], call.args
        if call.func.id == "partial" and call.args and _level(call.args[0]):
            return {_level(call.args[0])}, call.args[1:]
    return set(), []


def _level(node: ast.expr) -> str:
    """`log.warning` → warning; "" if it is none."""
    named = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "log"
    return node.attr if named and isinstance(node, ast.Attribute) and node.attr in LEVELS else ""


def _aliases(function: ast.AST) -> dict[str, set[str]]:
    """Names in a function that stand for a level: `tell = log.debug if … else log.warning`."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            levels = {_level(each) for each in ast.walk(node.value) if isinstance(each, ast.Attribute)}
            if levels - {""}:
                found.setdefault(node.targets[0].id, set()).update(levels - {""})
    return found


def _events(named: ast.expr, function: ast.AST) -> set[str]:
    """What the line may be called: as it stands there, or any name of an event in the function."""
    if isinstance(named, ast.Constant):
        return {str(named.value)}
    texts = [node.value for node in ast.walk(function) if isinstance(node, ast.Constant)]
    return {text for text in texts if isinstance(text, str) and EVENT.fullmatch(text)}


LINES: Final = tuple(lines())


def documented() -> dict[str, tuple[frozenset[str], str]]:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    return {
        event: (frozenset(re.split(r",\s*", levels)), means) for event, levels, means in ROW.findall(text)
    }


def test_there_are_lines_to_look_at():
    assert len(LINES) > 100
    assert {"device.lost", "device.refused", "broker.connected"} <= {e for line in LINES for e in line.events}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.place)
def test_a_line_is_named_and_says_the_mend_and_nothing_private(line):
    assert line.events, "no name of an event stands there"
    for event in line.events:
        assert EVENT.fullmatch(event), f"{event!r}: a noun, a dot, and what became of it"
    assert not line.fields & NEVER
    if line.levels & FOR_A_PERSON:
        assert "mend" in line.fields, "an error says what to do about it"


def test_every_event_is_documented_with_its_levels_and_no_other():
    told: dict[str, set[str]] = {}
    for line in LINES:
        for event in line.events:
            told.setdefault(event, set()).update(
                "error" if level == "exception" else level for level in line.levels
            )
    table = {event: set(levels) for event, (levels, _) in documented().items()}
    assert table.pop("library.said") == {"warning", "error", "critical"}
    assert table == told


def test_nobody_logs_past_the_log():
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"logging\.getLogger\([^)]*\)\.(debug|info|warning|error|exception)\(", text)
            assert "traceback.print" not in text
