"""The command line as plain values, so that pages and completions are made of what it really understands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from agent.cli import app

FILES = ("FILE", "DIRECTORY")  # metavars that the shell knows how to complete


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """An option, with or without a value."""

    names: tuple[str, ...]
    value: str | None  # what its value is called; None where it has none
    help: str

    @property
    def takes_file(self) -> bool:
        """Whether the shell can complete its value."""
        return self.value in FILES


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command with all below it."""

    path: tuple[str, ...]  # its words behind `roomd`
    help: tuple[str, ...]  # paragraphs; the first says what it does
    arguments: tuple[str, ...]  # as they are written
    switches: tuple[Switch, ...]
    commands: tuple[Command, ...]
    stands_alone: bool  # does something without a further command

    @property
    def name(self) -> str:
        """Its last word."""
        return self.path[-1] if self.path else "roomd"

    def all(self) -> Iterator[Command]:
        """It, and all below it, in order."""
        yield self
        for command in self.commands:
            yield from command.all()


def tree() -> Command:
    """`roomd` itself."""
    return _command(typer.main.get_command(app), ())


def _command(found: Any, path: tuple[str, ...]) -> Command:  # noqa: ANN401 - typer's own classes
    below = getattr(found, "commands", {})
    shown = [each for each in found.params if not getattr(each, "hidden", False)]
    return Command(
        path=path,
        stands_alone=bool(path) and (not below or found.invoke_without_command),
        help=tuple(" ".join(each.split()) for each in (found.help or "").split("\n\n")),
        arguments=tuple(_argument(each) for each in shown if each.param_type_name == "argument"),
        switches=(
            *(_switch(each) for each in shown if each.param_type_name == "option"),
            Switch(names=("--help", "-h"), value=None, help="Shows what it understands."),
        ),
        commands=tuple(
            _command(each, (*path, name))
            for name, each in below.items()
            if not getattr(each, "hidden", False)
        ),
    )


def _argument(found: Any) -> str:  # noqa: ANN401 - typer's own classes
    name = (found.metavar or found.name).upper().strip("[]")
    name = f"{name}…" if found.nargs != 1 and not name.endswith(("…", "...")) else name
    return name if found.required else f"[{name}]"


def _switch(found: Any) -> Switch:  # noqa: ANN401 - typer's own classes
    text = " ".join((found.help or "").split())
    if found.envvar:
        text += f" Also told by {found.envvar}."
    return Switch(
        names=tuple(sorted((*found.opts, *found.secondary_opts), key=lambda name: not name.startswith("--"))),
        value=None if found.is_flag or found.count else (found.metavar or "VALUE").upper(),
        help=text,
    )
