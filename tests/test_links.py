"""Whoever follows a link in the documents arrives: at a file that is there, under a heading that it has."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "packaging").rglob("*.md")])


@cache
def anchors(file: Path) -> frozenset[str]:
    """What its headings are called in links, as GitHub makes it."""
    headings = HEADING.findall(FENCED.sub("", file.read_text(encoding="utf-8")))
    return frozenset(re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in headings)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_somewhere(file):
    text = CODE.sub("", FENCED.sub("", file.read_text(encoding="utf-8")))
    lost = []
    for path, anchor in LINK.findall(text):
        target = file.parent / path if path else file
        if not target.exists() or (anchor and anchor not in anchors(target.resolve())):
            lost.append(f"{path}#{anchor}")
    assert lost == []
