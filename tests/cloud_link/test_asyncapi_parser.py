"""AsyncAPI's own parser reads the committed document; it shares nothing with what made it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

HOUSE = Path(__file__).parents[2]
JUDGE = HOUSE / ".tools" / "asyncapi"
ERROR, WARNING = 0, 1  # severities of the parser; 2 and 3 are remarks
READ = """
const { Parser } = require("@asyncapi/parser");
new Parser().parse(require("fs").readFileSync(0, "utf8")).then(({ document, diagnostics }) => {
  const channels = document ? document.channels().all().map((channel) => channel.address()) : [];
  const messages = document ? document.messages().all().map((message) => message.name()) : [];
  console.log(JSON.stringify({ channels, messages, diagnostics }));
});
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # brings the parser where it is missing


@pytest.fixture(scope="module", autouse=True)
def parser() -> None:
    subprocess.run([HOUSE / "scripts" / "asyncapi-install"], check=True, timeout=280)


def read(document: str) -> dict[str, Any]:
    answer = subprocess.run(
        ["node", "-e", READ],
        cwd=JUDGE,
        input=document,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    told: dict[str, Any] = json.loads(answer.stdout)
    return told


def complaints(told: dict[str, Any]) -> list[str]:
    return [
        f"{'/'.join(map(str, it['path']))}: {it['message']}"
        for it in told["diagnostics"]
        if it["severity"] in (ERROR, WARNING)
    ]


def committed() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((HOUSE / "docs" / "asyncapi.json").read_text(encoding="utf-8"))
    return document


def test_the_parser_reads_the_committed_document_without_complaint():
    document = committed()
    told = read(json.dumps(document))
    assert complaints(told) == []
    assert told["channels"] == [channel["address"] for channel in document["channels"].values()]
    assert set(told["messages"]) == {it["name"] for it in document["components"]["messages"].values()}


def test_the_parser_refuses_a_schema_that_is_none():
    document = committed()
    document["components"]["schemas"]["RoomState"]["properties"]["room"]["type"] = "strings"
    assert any("RoomState" in it for it in complaints(read(json.dumps(document))))


def test_the_parser_refuses_an_operation_without_a_channel():
    document = committed()
    document["operations"]["sendRoomState"]["channel"]["$ref"] = "#/channels/none"
    assert complaints(read(json.dumps(document)))
