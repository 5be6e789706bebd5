"""docs/doctor.md has every finding that the doctor's code can tell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.findings import Part
from agent.line_words import SAYINGS
from device_adapters.xapi.needs import BROUGHT, NEEDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
CODE = ("machine_checks", "broker_checks", "device_checks", "door_checks", "doctor")
TOLD = {"advise", "wrong"}
SHORTEST = 8  # characters of a piece by which a finding can be looked up


def pieces(node: ast.expr, names: dict[str, list[ast.expr]]) -> Iterator[str]:
    """The longest piece of text in what may be told."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            found = [each.value for each in values if isinstance(each, ast.Constant)]
            yield max((str(each) for each in found), key=len, default="")
        case ast.Name(id=name):
            for each in names.get(name, ()):
                yield from pieces(each, {})
        case ast.IfExp(body=body, orelse=orelse):
            yield from pieces(body, names)
            yield from pieces(orelse, names)
        case _:
            pass


def told(module: str) -> Iterator[tuple[int, str]]:
    """Line and longest piece of everything that this module may find wrong or advise."""
    tree = ast.parse((ROOT / "agent" / f"{module}.py").read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        names: dict[str, list[ast.expr]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                names.setdefault(node.targets[0].id, []).append(node.value)
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in TOLD
                and len(node.args) > 1
            ):
                for piece in pieces(node.args[1], names):
                    yield node.lineno, piece.strip(" ;:,()/")


@pytest.mark.parametrize("module", CODE)
def test_every_finding_stands_on_the_page(module):
    found = list(told(module))
    assert found
    missing = [(line, piece) for line, piece in found if len(piece) >= SHORTEST and piece not in PAGE]
    assert missing == []


def test_every_need_and_what_each_firmware_lacks_stand_on_the_page():
    assert [need.path for need in NEEDS if f"| {need.why} | `{need.command}`" not in PAGE] == []
    marked = {line.split("`")[1] for line in PAGE.splitlines() if "✓" in line and "xConfiguration" in line}
    assert marked == {need.command for need in NEEDS if need.mends}
    assert [words for _, words in BROUGHT if words not in PAGE] == []


def test_every_word_for_a_line_and_every_part_stand_on_the_page():
    assert [saying.ours for saying in SAYINGS if saying.ours not in PAGE] == []
    assert [part.value for part in Part if f"**{part.value}**" not in PAGE and part is not Part.DNS] == []
