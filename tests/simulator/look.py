"""`python -m tests.simulator.look CONTROL_PATH [ROOM]`: a room's surfaces in the terminal, taps on them."""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from tests.simulator.control import remote
from tests.simulator.screen import SURFACES

Json = Mapping[str, Any]

WIDTH: Final = 38  # of a surface, in columns
COLOURS: Final[Mapping[str, str]] = {"Off": "bright_black", "Orange": "dark_orange", "Purple": "purple"}
KNOWN: Final = frozenset({"Red", "Green", "Yellow", "Blue", "Magenta", "Cyan"})


def draw(room: Json) -> RenderableType:
    """A room out of the control's `truth`."""
    surfaces = room["screen"]
    light = surfaces["LED"]
    colour = light["colour"]
    style = COLOURS.get(colour, colour.lower() if colour in KNOWN else "white")
    about = Text.assemble(
        f"{room['name']} ({room['room']})  ", ("●", style), f" {colour}, {light['mode'].lower()}"
    )
    boxes = [_box(name, surfaces[name]) for name in SURFACES]
    return Group(Rule(about, align="left", style="bright_black"), Columns(boxes))


def _box(name: str, surface: Json) -> Panel:
    parts: list[RenderableType] = []
    if surface["dark"]:
        parts.append(Text("(dark)", style="bright_black"))
    parts += [Text(line, style="bright_black") for line in surface["idle"]]
    if surface["web_view"]:
        parts.append(Text(surface["web_view"], style="underline"))
    parts += [_message(message) for message in surface["messages"] if message["seen"]]
    hidden = [message["kind"] for message in surface["messages"] if not message["seen"]]
    if hidden:
        parts.append(Text(f"not to be seen: {', '.join(hidden)}", style="bright_black"))
    return Panel(Group(*parts), title=name, title_align="left", width=WIDTH)


def _message(message: Json) -> Panel:
    lines = [Text(line) for line in message["lines"]]
    answers = [Text(f"[{number}] {text}", style="bold") for number, text in message["options"].items()]
    until = f"until {message['until'][11:19]} UTC" if message["until"] else "until cleared"
    return Panel(
        Group(*lines, *answers),
        title=Text(message["title"] or message["kind"]),
        subtitle=until,
        subtitle_align="right",
    )


async def look(options: argparse.Namespace, console: Console) -> None:
    """Taps what is asked for, then prints what is there; ValueError when that is not to be seen."""
    async with remote(options.control) as control:
        for room in [options.room] if options.press or options.dismiss else []:
            if options.press:
                await control.ask("answer_prompt", room=room, option=options.press, origin=options.on)
            if options.dismiss:
                await control.ask("dismiss_prompt", room=room, origin=options.on)
        rooms = (
            [await control.ask("truth", room=options.room)] if options.room else await control.ask("truth")
        )
    for room in rooms:
        console.print(draw(room))


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator.look", description=__doc__)
    parser.add_argument("control", metavar="CONTROL_PATH", help="of the simulator: a socket, or host:port")
    parser.add_argument("room", nargs="?", default="", metavar="ROOM", help="all of them when left out")
    parser.add_argument("--press", type=int, metavar="N", help="tap the N-th answer of the prompt")
    parser.add_argument("--dismiss", action="store_true", help="tap beside the prompt")
    parser.add_argument("--on", choices=SURFACES, default="", help="where; the first that shows one")
    options = parser.parse_args(arguments)
    if (options.press or options.dismiss) and not options.room:
        parser.error("say in which ROOM")
    return options


def main(arguments: Sequence[str]) -> int:
    """What it ends with: 1 when there is no such room, prompt or answer."""
    try:
        asyncio.run(look(options_of(arguments), Console()))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
