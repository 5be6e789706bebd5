"""`roomd outbox …`: looks at what waits for the broker, copies it, examines it, and has it sent again."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final, TypeVar

import typer

from agent.terminal import (
    DEFAULT,
    ConfigOption,
    JsonOption,
    fail,
    progress_line,
    read_whereabouts,
    wait_for,
)

if TYPE_CHECKING:
    from agent.settings import Whereabouts
    from cloud_link.dead_letters import DeadLetter

app = typer.Typer(
    help="Looks into the outbox: what waits for the broker's acknowledgement.", no_args_is_help=True
)

T = TypeVar("T")

LOOK_EVERY_S: Final = 0.2
PATIENT_S: Final = 5.0  # then whoever waits is told what for
TOLD_EVERY: Final = 1000  # envelopes
COPIED_TOGETHER: Final = 1024 * 1024
CODES: Final = {  # MQTT 5, 3.4.2.1
    0x00: "its bytes had changed on the disk",
    0x90: "the topic is not allowed there",
    0x95: "larger than the broker takes",
    0x99: "the broker wants another format",
}


# ── looking ───────────────────────────────────────────────────────────────────────────────────────


@app.command("stats")
def show_stats(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Say how much waits in the outbox, and since when. Works beside a running daemon and without one."""
    from cloud_link import outbox

    stats = _look(read_whereabouts(config), lambda tx: outbox.stats(tx, now=outbox.moment_now()))
    if as_json:
        print(json.dumps(asdict(stats)))
        return
    oldest = "" if stats.oldest_age_s is None else f", the oldest for {_span(stats.oldest_age_s)}"
    print(f"{stats.depth} waiting ({size(stats.bytes)}){oldest}")
    print(f"{stats.replayable} acknowledged and still kept ({size(stats.replayable_bytes)})")
    streams = f"{stats.streams} stream{'s' * (stats.streams != 1)}"
    print(f"{stats.used:.0%} of the budget used, {streams}, epoch {stats.epoch}")
    if stats.gaps:
        print(f"{stats.dropped} dropped in {stats.gaps} gaps")
    if stats.dead_letters:
        print(f"{stats.dead_letters} dead letters that the broker did not take: see `roomd outbox retry`")


@app.command()
def peek(
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 10,
) -> None:
    """Show the oldest envelopes that wait."""
    from rich.console import Console

    from agent.console import fact_line
    from cloud_link import outbox

    where = read_whereabouts(config)
    waiting = _look(where, lambda tx: outbox.peek(tx, limit=limit))
    if not waiting and not as_json:
        print("nothing waits", file=sys.stderr)
    console = Console(soft_wrap=True, highlight=False)
    for envelope in waiting:
        event = json.loads(envelope.payload)
        if as_json:
            told = {"place": envelope.place, "topic": envelope.topic, "recorded_ms": envelope.recorded_ms}
            print(json.dumps({**told, "event": event}))
        else:
            console.print(fact_line(event, zone=where.timezone))


# ── taking out ────────────────────────────────────────────────────────────────────────────────────


@app.command()
def export(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="The file to write, for you alone; - prints.")
    ],
    config: ConfigOption = DEFAULT,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the acknowledged that are still kept, and dead letters.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrites FILE.")] = False,
) -> None:
    """Write every envelope that waits as lines of JSON, all of one moment. They go on waiting.

    Each line has place, stream, number, id, kind, topic, state (waiting, acknowledged or dead), recorded, and
    the payload exactly as it is sent. Titles are in it as far as the privacy setting lets them leave.
    """
    where = read_whereabouts(config)
    if file == "-":
        with tempfile.TemporaryFile() as spool:  # so that a slow reader does not hold up the database
            count = _look(where, lambda tx: _export(tx, spool, everything=everything))
            spool.seek(0)
            _pass_on(spool)
    else:
        with writing(Path(file), force=force) as out:
            count = _look(where, lambda tx: _export(tx, out, everything=everything))
    print(f"{count} envelopes" + ("" if file == "-" else f" in {file}"), file=sys.stderr)


def _export(tx: Connection, out: BinaryIO, *, everything: bool) -> int:
    from cloud_link import outbox

    tx.execute("BEGIN")
    count = 0
    with progress_line() as show:
        for count, one in enumerate(outbox.every(tx, everything=everything), 1):
            line = {
                "place": one.place,
                "stream": one.stream,
                "number": one.number,
                "id": one.id,
                "kind": one.kind,
                "topic": one.topic,
                "state": one.state,
                "recorded": datetime.fromtimestamp(one.at_ms / 1000, UTC).isoformat(timespec="milliseconds"),
                "payload": one.payload.decode("utf-8", "backslashreplace"),
            }
            out.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            if count % TOLD_EVERY == 0:
                show(f"{count} envelopes …")
    return count


def _pass_on(spool: BinaryIO) -> None:
    try:
        while piece := spool.read(COPIED_TOGETHER):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` has seen enough
        raise typer.Exit from None


@contextmanager
def writing(file: Path, *, force: bool, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A new file, for its owner alone; it has its name once it is whole. Out if it cannot be written."""
    if os.path.isdir(file):  # noqa: PTH112 - says no where it may not look
        fail(f"{file} is a directory: name a file in it", os.EX_USAGE)
    if os.path.exists(file) and not force:  # noqa: PTH110 - the same
        fail(f"{file} is there already: name another, or give --force", os.EX_USAGE)
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        handle = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        try:
            with os.fdopen(handle, "wb") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            new.rename(file)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror or error}", os.EX_CANTCREAT)


# ── examining ─────────────────────────────────────────────────────────────────────────────────────


@app.command()
def verify(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Read the whole database, and say whether all of it is sound. Writes nothing, the daemon may run.

    Pages, checksums, the numbers of every stream, marks, gaps and the states of rooms. Exit code 65 if
    something is wrong.
    """
    from cloud_link.soundness import Found, examine

    found: list[Found] = []

    def read(tx: Connection) -> None:
        tx.execute("BEGIN")
        with progress_line() as show:

            def progress(what: str, done: int, of: int) -> None:
                show(f"{what}: {done} of {of} …" if of > 1 else f"{what} …")

            for one in examine(tx, readable=readable, progress=progress):
                found.append(one)
                show("")
                _tell(one, as_json=as_json)

    def _tell(one: Found, *, as_json: bool) -> None:
        if as_json:
            print(json.dumps({"ok": one.sound, **asdict(one)}), flush=True)
            return
        print(f"{'ok' if one.sound else 'wrong':<6} {one.what}: {one.seen}", flush=True)
        if one.mend is not None:
            print(f"       → {one.mend}", flush=True)

    _look(read_whereabouts(config), read)
    if not all(one.sound for one in found):
        raise typer.Exit(os.EX_DATAERR)


def readable(body: bytes) -> None:
    """Raises ValueError for a room's state that cannot be read."""
    import msgspec

    from agent.snapshots import read_body

    try:
        read_body(body)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


# ── sending again ─────────────────────────────────────────────────────────────────────────────────


@app.command()
def retry(
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
    send: Annotated[bool, typer.Option("--send", help="Send them; without it they are only shown.")] = False,
) -> None:
    """Show the dead letters, which a broker refused for good; once it is mended, --send sends them again.

    They come late: their room has gone on, and the cloud has been told of a gap where they were missing. Each
    has its old id, number and bytes, they keep their order among themselves, and nothing new waits for them;
    `sequence` says where each belongs. Send them only if the cloud's side can use events that come late.
    Answers to commands and what was damaged on the disk are never sent again.
    """
    from cloud_link import dead_letters

    where = read_whereabouts(config)
    letters = _look(where, dead_letters.letters)
    if send:
        wait_for(_send(where, letters, as_json=as_json))
        return
    for one in letters:
        told = {
            "stream": one.stream,
            "number": one.number,
            "id": one.id,
            "kind": one.kind,
            "topic": one.topic,
            "code": one.code,
            "why": _why(one),
            "can_go": one.can_go,
            "buried": datetime.fromtimestamp(one.buried_ms / 1000, UTC).isoformat(timespec="seconds"),
        }
        if as_json:
            print(json.dumps(told))
        else:
            at = datetime.fromtimestamp(one.buried_ms / 1000, where.timezone)
            never = "" if one.can_go else "; is never sent again"
            print(f"{at:%Y-%m-%d %H:%M}  {one.stream} {one.number}  {one.kind}: {_why(one)}{never}")
    if not as_json:
        able = sum(one.can_go for one in letters)
        print(
            f"{able} can be sent again: once the broker takes them, `roomd outbox retry --send`"
            if able
            else "there are no dead letters that could be sent again",
            file=sys.stderr,
        )


def _why(letter: DeadLetter) -> str:
    words = CODES.get(letter.code, "refused")
    return f"{words} (0x{letter.code:02x})" if letter.code else words


async def _send(where: Whereabouts, letters: list[DeadLetter], *, as_json: bool) -> None:
    import asyncio

    from agent.asking import DaemonAbsent, ask
    from cloud_link import dead_letters

    going = {one.place for one in letters if one.can_go}
    if not going:
        _told({"sent": 0, "left": 0}, "there is nothing to send again", as_json=as_json)
        return
    try:
        answer: Mapping[str, object] = await anext(ask(where.socket, "retry"), {})
    except DaemonAbsent:
        count = await _note(where)
        _told({"noted": count}, f"{count} are sent when roomd runs again", as_json=as_json)
        return
    if "retried" not in answer:
        fail(f"{answer.get('error', 'it hung up')}: restart roomd, it is of another version", os.EX_PROTOCOL)
    looks = 0
    while await asyncio.to_thread(_look, where, dead_letters.wished) is not None:
        await asyncio.sleep(LOOK_EVERY_S)
        looks += 1
        if looks * LOOK_EVERY_S == PATIENT_S:
            print("waiting for the broker; Ctrl-C leaves it to roomd, which goes on …", file=sys.stderr)
    left = [one for one in _look(where, dead_letters.letters) if one.place in going]
    sent = len(going) - len(left)
    words = f"{sent} sent again" + (f"; {len(left)} not: {_why(left[0])}" if left else "")
    _told({"sent": sent, "left": len(left)}, words, as_json=as_json)
    if left:
        raise typer.Exit(os.EX_TEMPFAIL)


async def _note(where: Whereabouts) -> int:
    """Without the daemon: takes the wish down for its next life."""
    import structlog

    from cloud_link import dead_letters
    from cloud_link.copies import give_all
    from cloud_link.database import DatabaseError, Limits, open_database

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    limits = Limits(budget_bytes=where.budget_bytes)
    try:
        async with open_database(where.state_directory, limits=limits) as database:
            return await database.write(dead_letters.wish)
    except (DatabaseError, OSError) as error:
        fail(f"{error}. Start roomd, or run this with sudo", os.EX_UNAVAILABLE)
    finally:
        give_all(where.state_directory)


def _told(value: dict[str, int], words: str, *, as_json: bool) -> None:
    print(json.dumps(value) if as_json else words)


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


def _look(where: Whereabouts, query: Callable[[Connection], T]) -> T:
    from cloud_link.database import open_to_read

    try:
        with open_to_read(where.state_directory) as tx:
            return query(tx)
    except FileNotFoundError as error:
        fail(str(error), os.EX_NOINPUT)
    except PermissionError as error:
        fail(f"{error.filename} may not be read: run with sudo, or as the user roomd", os.EX_NOPERM)
    except sqlite3.Error as error:
        need_no_damage(where.state_directory, error)
        fail(
            f"the database in {where.state_directory} cannot be read: {error}. "
            "Run with sudo, or as the user roomd",
            os.EX_NOPERM,
        )


def need_no_damage(directory: Path, error: sqlite3.Error) -> None:
    """Out, if it is the database itself that is wrong."""
    from cloud_link.database import is_damage

    if is_damage(error):
        fail(
            f"the database in {directory} is damaged: {error}. `roomd outbox verify` says what to do",
            os.EX_DATAERR,
        )


def _span(seconds: float) -> str:
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{seconds:.1f} s"


def size(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1_048_576:.1f} MB" if count >= 1_048_576 else f"{count / 1024:.1f} KB"  # noqa: PLR2004
