"""What enrolling found, in words: for a terminal of 80 columns."""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from agent.core.model import Transport
from agent.enrolling import TALKED, Outcome, Visit
from agent.signs import printable
from device_adapters.xapi.schema import ANY

SHOWN_ADDRESSES = 8  # of those that are no room devices


def shown(visits: Sequence[Visit]) -> list[RenderableType]:
    """What was found, for a terminal of 80 columns: those that talked as a table, the others in words."""
    found: list[RenderableType] = []
    talked = [visit for visit in visits if visit.introduction is not None]
    if talked:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("host", "name", "product", "serial", "version", "over", ""):
            table.add_column(column, overflow="fold", no_wrap=column in {"host", "serial"})
        for visit in talked:
            who = visit.introduction
            if who is None:
                continue
            version = who.software if who.firmware == ANY else ".".join(map(str, who.firmware))
            what = {Outcome.NEW: "new", Outcome.KNOWN: "known"}.get(visit.outcome, visit.outcome.name.lower())
            row = (
                visit.host,
                visit.name,
                who.product.removeprefix("Cisco "),
                who.serial,
                version,
                " ".join({"websocket": "ws"}.get(line, line) for line in visit.over),
                what,
            )
            table.add_row(*(escape(printable(cell)) for cell in row))
        found.append(table)
    for visit in talked:
        notes = [*visit.notes]
        if visit.outcome not in {Outcome.NEW, Outcome.KNOWN}:
            notes.insert(0, f"{visit.outcome}{f': {visit.why}' if visit.why else ''}")
        if visit.outcome in TALKED and "websocket" not in visit.over:
            why = visit.lines.get(Transport.WEBSOCKET)
            notes.append(str(why or "its web server does not answer, and so there is no WebSocket"))
        found.extend(printable(f"{visit.host}: {note}") for note in notes)
    found.extend(_silent(visits))
    return found


def _silent(visits: Sequence[Visit]) -> list[str]:
    """Those that did not talk: each that was named, and the rest of a range in a line."""
    silent = [visit for visit in visits if visit.introduction is None]
    told = [
        visit
        for visit in silent
        if visit.candidate.named or visit.outcome not in {Outcome.NOBODY, Outcome.STRANGER}
    ]
    lines = []
    for visit in told:
        mend = MENDS.get(visit.outcome.name, "")
        why = f": {visit.why}" if visit.why else ""
        lines.append(f"{visit.host}: {visit.outcome}{why}{f'. {mend}' if mend else ''}")
    counted = Counter(visit.outcome for visit in silent if visit not in told)
    if nobody := counted[Outcome.NOBODY]:
        lines.append(f"{count(nobody, 'address')}: nobody there")
    if strangers := [v.host for v in silent if v not in told and v.outcome is Outcome.STRANGER]:
        few = ", ".join(strangers[:SHOWN_ADDRESSES]) + (" …" if len(strangers) > SHOWN_ADDRESSES else "")
        lines.append(f"{few}: by what is shown there, no room device. Name by itself what is one")
    return [printable(line) for line in lines]


MENDS: Mapping[str, str] = {
    "CHANGED": "If it was replaced or reset, enrol it again with --repin",
    "NOBODY": "Check its address, whether it is switched on, and the network between",
    "STRANGER": "If it is one, look whether its web server is on",
}


def difference(before: str, after: str) -> str:
    """The lines that would come, and above each changed one the line that would go."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    if not before:
        return after.rstrip("\n")
    return "\n".join(line for line in lines if line[:2] in {"+ ", "- "})


def count(many: int, what: str) -> str:
    """`1 device`, `3 devices`."""
    plural = {"address": "addresses"}.get(what, f"{what}s")
    return f"{many} {what if many == 1 else plural}"


def say(words: str) -> None:
    """Tell the person, beside the answer."""
    wipe()
    typer.echo("\n".join(printable(line) for line in words.split("\n")), err=True)


def progress(what: str, done: int, of: int) -> None:
    """Say how far it has come, in a line of a terminal that is written over."""
    if sys.stderr.isatty():
        if done < of:
            sys.stderr.write(f"\r\x1b[K{done} of {of} {what} …")
        else:
            sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def wipe() -> None:
    """Take the line of the progress away."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
