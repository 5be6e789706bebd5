"""Draws the state diagrams of the docs from the tables that the code runs on: `python -m tests.diagrams`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from agent.core.attendance import ATTENDANCE_TRANSITIONS, OPEN, VERDICTS
from agent.core.calendars import TELLS
from agent.core.correlation import TRANSITIONS
from agent.core.holds import HOLD_TRANSITIONS
from agent.core.model import LIVE_HOLDS, LIVE_PHASES, UNDER_WAY
from agent.core.releasing import RELEASE_TRANSITIONS
from agent.core.third_party import SENSOR_TRANSITIONS
from cloud_link.calendars.integration import INTEGRATION_TRANSITIONS, ROOM_TRANSITIONS, RoomPhase
from device_adapters.lifecycle import MOVES

FILE = Path(__file__).parent.parent / "docs" / "states.md"

HEAD = """# States and their moves

Drawn by `make diagrams` from the tables in `agent/core/correlation.py`, `agent/core/holds.py`,
`agent/core/attendance.py`, `agent/core/releasing.py`, `agent/core/third_party.py`, `agent/core/calendars.py`,
`cloud_link/calendars/integration.py` and `device_adapters/lifecycle.py`; a test fails when they and this page
differ.
"""


def document() -> str:
    """The whole page, as Markdown with Mermaid diagrams."""
    return "\n".join(
        (
            HEAD,
            *_booking(),
            "",
            *_hold(),
            "",
            *_attendance(),
            "",
            *_release(),
            "",
            *_calendar(),
            "",
            *_integration(),
            "",
            *_access(),
            "",
            *_link(),
            "",
            *_sensor(),
            "",
        )
    )


def _booking() -> Iterable[str]:
    yield "## A booking\n"
    yield "Each arrow is a sign that was seen; behind the stroke stands the fact that the cloud is told.\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    for (phase, sign), move in TRANSITIONS.items():
        told = f" / {move.tells}" if move.tells else ""
        yield f"    {phase or '[*]'} --> {move.to} : {sign}{told}"
    for phase in sorted({move.to for move in TRANSITIONS.values()} - LIVE_PHASES):
        yield f"    {phase} --> [*]"
    yield "```"


def _hold() -> Iterable[str]:
    yield "## A hold\n"
    yield "Each arrow is what happens to it; behind the stroke stand the facts that the cloud is told.\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    for (phase, turn), move in HOLD_TRANSITIONS.items():
        told = f" / {', '.join(move.tells)}" if move.tells else ""
        yield f"    {phase or '[*]'} --> {move.to} : {turn}{told}"
    for phase in sorted({move.to for move in HOLD_TRANSITIONS.values()} - LIVE_HOLDS):
        yield f"    {phase} --> [*]"
    yield "```"


def _attendance() -> Iterable[str]:
    yield "## Who comes to a booking that has begun\n"
    yield "Each arrow is what is known by then; behind the stroke stands the fact that the cloud is told.\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    for (phase, sign), move in ATTENDANCE_TRANSITIONS.items():
        told = f" / {move.tells}" if move.tells else ""
        yield f"    {phase or '[*]'} --> {move.to} : {sign}{told}"
    for phase in sorted({move.to for move in ATTENDANCE_TRANSITIONS.values()} - OPEN):
        for outcome, fact in VERDICTS.items():
            yield f"    {phase} --> [*] : {outcome} / {fact}"
    yield "```"


def _release() -> Iterable[str]:
    yield "## The release of a booking that nobody came to\n"
    yield "Each arrow is a sign that was seen; behind the stroke stands the fact that the cloud is told.\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    for (phase, sign), move in RELEASE_TRANSITIONS.items():
        told = f" / {move.tells}" if move.tells else ""
        yield f"    {phase or '[*]'} --> {move.to} : {sign}{told}"
    for phase in sorted({move.to for move in RELEASE_TRANSITIONS.values()} - UNDER_WAY):
        yield f"    {phase} --> [*]"
    yield "```"


def _calendar() -> Iterable[str]:
    yield "## A linked calendar of a room\n"
    yield "It may turn from any to any other; behind the stroke stands the fact that the cloud is told.\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {_name(next(iter(TELLS)))}"
    for phase, fact in TELLS.items():
        yield f"    any --> {_name(phase)}{f' : / {fact}' if fact else ''}"
    yield "```"


def _integration() -> Iterable[str]:
    yield "## An integration: a cloud's calendars as a whole\n"
    yield "Each arrow is what was heard; behind the stroke stands what is done.\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    for (phase, sign), move in INTEGRATION_TRANSITIONS.items():
        done = f" / {', '.join(move.does)}" if move.does else ""
        yield f"    {phase or '[*]'} --> {move.to} : {sign}{done}"
    yield "```"


def _access() -> Iterable[str]:
    yield "## One room of an integration\n"
    yield "Each arrow is what came of asking for it.\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {RoomPhase.OK}"
    for (phase, outcome), to in ROOM_TRANSITIONS.items():
        yield f"    {phase} --> {to} : {outcome}"
    yield "```"


def _name(phase: str) -> str:
    return phase.replace(" ", "_")


def _link() -> Iterable[str]:
    yield "## A link to a device\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {next(iter(MOVES))}"
    for phase, following in MOVES.items():
        for to in sorted(following):
            yield f"    {phase} --> {to}"
    yield "```"


def _sensor() -> Iterable[str]:
    yield "## A sensor that is not Cisco's\n"
    yield "What it says counts only while it is heard, and for two minutes after it is heard no more.\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {next(iter(SENSOR_TRANSITIONS))[0]}"
    for (phase, sign), to in SENSOR_TRANSITIONS.items():
        if phase is not to:
            yield f"    {phase} --> {to} : {sign}"
    yield "```"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
    sys.stderr.write(f"{FILE} written\n")
