"""`roomd report`: how rooms were booked and used, in a terminal, for a spreadsheet, or as a document."""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import sqlite3
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from agent.outbox_commands import writing
from agent.report_choice import By
from agent.terminal import DEFAULT, ConfigOption, JsonOption, fail, read_whereabouts

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from rich.console import Console, RenderableType

    from agent.report import Report
    from agent.report_choice import Question
    from agent.report_words import Rows
    from agent.settings import Whereabouts

app = typer.Typer()

Format = Literal["table", "csv", "json", "html"]
Drawing = Callable[["Report"], Mapping[str, str]]  # all plots by name, as SVG

FORMATS: Final[Mapping[str, Format]] = {
    "": "table",
    ".txt": "table",
    ".csv": "csv",
    ".json": "json",
    ".html": "html",
    ".htm": "html",
}
WEEKS_SHOWN: Final = 13  # in a terminal: a quarter of a year
ROOMS_SHOWN: Final = 10
TOGETHER: Final = (1, 2, 3, 4, 6)  # hours in a column, until all columns are to be seen
PIPE_WIDTH: Final = 100
OURS: Final = 3  # plots; the others take a twin as long
READABLE: Final = 0o666  # but for what the user's umask takes away: there is nothing private in it


@app.command()
def report(  # noqa: PLR0913, PLR0917 - days, rooms and forms can be told in many words
    config: ConfigOption = DEFAULT,
    since: Annotated[
        str, typer.Option("--from", help="The first day, such as 2026-03-01.", metavar="DAY")
    ] = "",
    until: Annotated[str, typer.Option("--to", help="The last day; else today.", metavar="DAY")] = "",
    last: Annotated[
        str, typer.Option("--last", help="So many days or weeks up to the last day: 30d, 4w.", metavar="TIME")
    ] = "",
    room: Annotated[
        list[str] | None,
        typer.Option("--room", help="A room, by id or name; may be given again.", metavar="ROOM"),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="A group of rooms; may be given again.", metavar="GROUP"),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format", "-f", help="table, csv, json or html; else as the output is called, or a table."
        ),
    ] = None,
    by: Annotated[
        By, typer.Option("--by", help="What a line of CSV is: a room, day, week, or hour.")
    ] = "room",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write; else it is printed.", metavar="FILE"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrites FILE.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Report how rooms were booked and used: ghosts, rooms too big, busiest and idlest, week over week.

    Without options: of all rooms, over the last 30 days with today. Beside each number stands how much of the
    time nobody knows about. Works beside a running daemon and without one.
    """
    chosen = _format(form, output, as_json=as_json)
    if by != "room" and chosen != "csv":
        fail("--by is for CSV: add --format csv", os.EX_USAGE)
    if chosen == "html" and output is None and sys.stdout.isatty():
        fail("a document is not for a terminal: name a file with --output", os.EX_USAGE)
    with ExitStack() as beside:
        draw = beside.enter_context(drawn_beside()) if chosen == "html" else None
        made = _asked(config, (since, until, last), room or (), group or ())
        if output is None:
            _print(made, chosen, by, draw)
        else:
            with writing(output, force=force, mode=READABLE) as out:
                out.write(_text(made, chosen, by, draw).encode())
            if not as_json:
                print(f"{output}: {_clean(_headline(made))}", file=sys.stderr)


def _format(form: Format | None, output: Path | None, *, as_json: bool) -> Format:
    if as_json and form not in {None, "json"}:
        fail(f"--json and --format {form} contradict each other: keep one of them", os.EX_USAGE)
    if as_json:
        return "json"
    ending = "" if output is None else output.suffix.lower()
    if form is None and ending not in FORMATS:
        fail(
            f"{output}: a report is no {ending}: call it .html, .csv, .json or .txt, or add --format",
            os.EX_USAGE,
        )
    return form or FORMATS[ending]


# ── making it ─────────────────────────────────────────────────────────────────────────────────────


def _asked(config: Path, days: tuple[str, str, str], names: Sequence[str], groups: Sequence[str]) -> Report:
    from agent.report_choice import NotUnderstood, Question, days_asked, rooms_asked

    where = read_whereabouts(config)
    since, until, last = days
    try:
        first, final = days_asked(
            since=since, last_day=until, last=last, today=datetime.now(where.timezone).date()
        )
        rooms, about = rooms_asked(where.rooms, names=names, groups=groups)
    except NotUnderstood as error:
        fail(str(error), os.EX_USAGE)
    question = Question(
        directory=str(where.state_directory),
        site=where.site,
        about=about,
        since=first,
        last=final,
        rooms=rooms,
        working=where.working,
    )
    return _made(question, where)


def _made(question: Question, where: Whereabouts) -> Report:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # nothing here is large enough for more
    from agent.report import read_report
    from agent.trends import FILE

    file = where.state_directory / FILE
    try:
        return read_report(question)
    except sqlite3.OperationalError as error:
        if not os.path.isdir(where.state_directory):  # noqa: PTH112 - says no where it may not look
            fail(f"{where.state_directory} is not there: name the configuration with --config", os.EX_NOINPUT)
        if not os.access(where.state_directory, os.R_OK | os.X_OK) or (
            os.path.exists(file) and not os.access(file, os.R_OK)  # noqa: PTH110 - the same
        ):
            fail(f"{file} may not be read: run with sudo, or as the user roomd", os.EX_NOPERM)
        if not os.path.exists(file):  # noqa: PTH110
            fail(
                f"{file} is not there: nothing has been counted yet. roomd writes it after its first hour",
                os.EX_NOINPUT,
            )
        fail(f"{file} cannot be read: {error}. Run it again", os.EX_TEMPFAIL)
    except (sqlite3.DatabaseError, zlib.error, ValueError) as error:
        fail(
            f"{file} is damaged: {error}. When roomd next writes to it, it sets it aside and saves what it "
            "can; or move it away, and counting begins anew",
            os.EX_DATAERR,
        )


def _headline(made: Report) -> str:
    from agent.report_words import headline

    return headline(made)


def _text(made: Report, form: Format, by: By, draw: Drawing | None) -> str:
    match form:
        case "table":
            return _table(made, PIPE_WIDTH)
        case "csv":
            from agent.report_words import as_csv

            return as_csv(made, by)
        case "json":
            from agent.report_words import told

            return json.dumps(told(made), ensure_ascii=False) + "\n"
        case "html":
            from agent.report_html import document

            assert draw is not None  # noqa: S101 - who asks for a document has begun to draw
            return document(made, draw(made))


def _print(made: Report, form: Format, by: By, draw: Drawing | None) -> None:
    if form == "table" and sys.stdout.isatty():
        from rich.console import Console

        _show(made, Console(highlight=False))
        return
    try:
        sys.stdout.write(_text(made, form, by, draw))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` has seen enough
        raise typer.Exit from None


@contextmanager
def drawn_beside() -> Iterator[Drawing]:
    """Plots from a process of its own, which loads their library while hours are read and added up here."""
    from multiprocessing import get_context

    fork = get_context("fork")  # as nothing runs here yet but this thread, and nothing large is loaded
    here, there = fork.Pipe()
    process = fork.Process(target=_draw, args=(here, there), name="plots")
    process.start()
    there.close()

    def drawn(made: Report) -> Mapping[str, str]:
        try:
            here.send(made)
            plots: Mapping[str, str] = here.recv()
        except (EOFError, OSError):
            process.join()
            fail(
                f"the plots could not be drawn: their process ended with {process.exitcode}. Is there enough "
                "memory? Without plots: --format csv or --format json",
                os.EX_SOFTWARE,
            )
        return plots

    try:
        yield drawn
    finally:
        here.close()
        process.join()


def _draw(asker: Connection, asked: Connection) -> None:
    asker.close()  # else this end would keep it open, and nobody would hear that it is closed
    gc.disable()  # this process is gone before it would pay
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks hears Ctrl-C, and goes
    with tempfile.TemporaryDirectory(prefix="roomd-report-") as scratch:
        os.environ["MPLCONFIGDIR"] = _kept(scratch)
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.environ.pop("MPLBACKEND", None)  # of some notebook: no window is opened here
        from agent import report_plots  # noqa: F401 - loads its library before there is anything to draw

        with suppress(EOFError):  # there is nothing to be drawn
            asked.send(_side_by_side(asked.recv()))


def _side_by_side(made: Report) -> Mapping[str, str]:
    """All plots, half of the work done by a twin of this process: they are what a document waits for."""
    from multiprocessing import get_context

    from agent.report_plots import PLOTS, draw_all

    names = tuple(PLOTS)
    fork = get_context("fork")  # the library is loaded, and nothing runs here but this thread
    here, there = fork.Pipe(duplex=False)

    def draw() -> None:
        here.close()  # else it would wait for us to read, also when we are gone
        with suppress(BrokenPipeError):
            there.send(draw_all(made, names[OURS:]))

    twin = fork.Process(target=draw, name="more plots")
    twin.start()
    there.close()
    with here:
        drawn = draw_all(made, names[:OURS])
        try:
            return {**drawn, **here.recv()}
        except EOFError:
            twin.join()
            sys.exit(abs(twin.exitcode or 1))  # who asked is told of it as of our own end


def _kept(scratch: str) -> str:
    """Where the plots' library may keep what it knows of fonts, else it looks for all of them each time."""
    if kept := os.environ.get("MPLCONFIGDIR"):
        return kept
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~").expanduser() / ".cache") / "roomd"
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return scratch
    return str(cache) if os.access(cache, os.W_OK) else scratch


# ── in a terminal ─────────────────────────────────────────────────────────────────────────────────


def _table(made: Report, width: int) -> str:
    from rich.console import Console

    out = io.StringIO()
    _show(made, Console(file=out, width=width, highlight=False, color_system=None))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _show(made: Report, console: Console) -> None:
    from rich.text import Text

    from agent.report_words import figures, headline, recorded, sections

    console.print(Text(_clean(headline(made)), style="bold"))
    if notice := recorded(made):
        console.print(Text(notice, style="yellow"))
    if made.recorded_since is None:
        return
    console.print()
    wide = max(len(figure.name) for figure in figures(made))
    value = max(len(figure.value) for figure in figures(made))
    for figure in figures(made):
        console.print(
            _indented(
                figure.name.ljust(wide) + "  " + figure.value.rjust(value), figure.beside, wide + value + 4
            )
        )
    for section in sections(made):
        tables = [each for each in section.tables if each.rows]
        if section.name == "rooms" or not (tables or section.says):
            continue
        if section.name == "empty":
            tables = []  # its grid is wider than a terminal
        console.print()
        console.print(Text(section.title, style="bold"))
        for says in section.says:
            console.print(Text(_clean(says)))
        if section.name == "ghosts":
            console.print(_ghost_grid(made, console.width))
            tables = tables[1:]
        for rows in tables:
            console.print(_rows(rows, newest=section.name == "weeks"))
    console.print()
    console.print(Text("Every room: --format csv. With plots: --output report.html", style="dim"))


def _indented(first: str, beside: str, width: int) -> RenderableType:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=width - 2)
    grid.add_column()
    grid.add_row(first, beside)
    return grid


def _ghost_grid(made: Report, width: int) -> RenderableType:
    """Numbers by weekday and hour, several hours together where the terminal is too narrow for each."""
    from rich.table import Table

    from agent.core.week import DAYS

    hours = made.shown_hours
    starts, cells = range(0), [[""]]
    for step in TOGETHER:
        starts = range(hours.start - hours.start % step, hours.stop, step)
        cells = [[_ghosts(made, day, start, step) for start in starts] for day in range(7)]
        longest = max((len(cell) for row in cells for cell in row), default=1)
        if len(starts) * (max(longest, 2) + 2) + 3 <= width:
            break
    table = Table(pad_edge=False, box=None, header_style="dim", title_justify="left", padding=(0, 1))
    table.add_column("")
    for start in starts:
        table.add_column(f"{start:02}", justify="right", no_wrap=True)
    for day, row in enumerate(cells):
        table.add_row(DAYS[day], *row)
    return table


def _ghosts(made: Report, day: int, start: int, step: int) -> str:
    cells = made.grid[day][start : start + step]
    if any(each.judged for each in cells):
        return str(sum(each.ghosts for each in cells))
    return "?" if any(each.unknown for each in cells) else "·"


def _rows(rows: Rows, *, newest: bool) -> RenderableType:
    from rich.table import Table

    shown = rows.rows[-WEEKS_SHOWN:] if newest else rows.rows[:ROOMS_SHOWN]
    left = len(rows.rows) - len(shown)
    more = f"; {left} more are not shown here" if left else ""
    table = Table(
        pad_edge=False,
        box=None,
        header_style="dim",
        title=f"{rows.title}{more}",
        title_justify="left",
        title_style="dim",
    )
    for place, head in enumerate(rows.head):
        name = place < rows.words
        table.add_column(head, justify="left" if name else "right", no_wrap=name, overflow="ellipsis")
    for row in shown:
        table.add_row(*(_clean(cell) for cell in row))
    return table


def _clean(text: str) -> str:
    from agent.signs import printable

    return printable(text)
