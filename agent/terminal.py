"""What all commands of the command line share: their options, reading the file, waiting, failing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from agent.settings import Configuration, Whereabouts

T = TypeVar("T")

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="ROOMD_CONFIG",
        help="The configuration file.",
        metavar="FILE",
        readable=False,  # who reads it says so better than typer would
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines: JSON, one value a line.")]

DEFAULT = Path("/etc/roomd/roomd.toml")


def read_configuration(file: Path) -> Configuration:
    """The whole configuration; or every problem of it, and out."""
    from agent.settings import read

    return _read(file, read)


def read_whereabouts(file: Path) -> Whereabouts:
    """Where the daemon is, without any secret: for all who may ask it; or what keeps us from it, and out."""
    from agent.settings import read_whereabouts as read

    return _read(file, read)


def _read(file: Path, read: Callable[[Path], T]) -> T:
    from agent.settings import ConfigurationRefused

    try:
        return read(file)
    except ConfigurationRefused as error:
        fail("\n".join(str(problem) for problem in error.problems), os.EX_CONFIG)


def wait_for(work: Coroutine[object, object, None]) -> None:
    """Do what asks the daemon; out where there is none, at Ctrl-C, and when nobody reads any more."""
    import asyncio

    from agent.asking import DaemonAbsent

    try:
        asyncio.run(work)
    except DaemonAbsent as error:
        fail(str(error), os.EX_UNAVAILABLE)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` has seen enough
        raise typer.Exit from None


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """A line on standard error that is written over, and gone at the end; nothing where it is no terminal."""
    terminal = sys.stderr.isatty()

    def show(words: str) -> None:
        if terminal:
            sys.stderr.write(f"\r\x1b[K{words}")
            sys.stderr.flush()

    try:
        yield show
    finally:
        show("")


def fail(why: str, code: int) -> NoReturn:
    """Say why, on standard error, and leave with one of sysexits' codes."""
    print(why, file=sys.stderr)
    raise typer.Exit(code)
