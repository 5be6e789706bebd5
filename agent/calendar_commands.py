"""`roomd calendars` and `roomd link`: how the site's calendars stand, and which of them is which room's."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.terminal import DEFAULT, ConfigOption, JsonOption, fail, read_whereabouts, wait_for

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agent.settings import Whereabouts

app = typer.Typer()
calendars_app = typer.Typer(
    help="Shows how the site's calendars stand, as the running daemon knows it.", invoke_without_command=True
)
app.add_typer(calendars_app, name="calendars")

Json = Mapping[str, Any]

SERVICES = ("microsoft", "google", "webex")
LOOKS = 100  # after a consent, whether the calendars can be read now,
LOOK_EVERY_S = 0.2
EXITS = {  # by how they stand after a consent
    "active": os.EX_OK,
    "connecting": os.EX_OK,  # a large site is not read in a moment
    "degraded": os.EX_TEMPFAIL,
    "operator credential": os.EX_NOPERM,
    "clock skew": os.EX_NOPERM,
    "revoked": os.EX_NOPERM,
}


@calendars_app.callback()
def calendars(context: typer.Context, config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Show how the site's calendars stand: each service, and each room in it."""
    if context.invoked_subcommand is None:
        wait_for(_show(read_whereabouts(config), as_json=as_json))


@calendars_app.command()
def connect(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="microsoft, google or webex.")],
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Use a service's calendars again, now that an administrator has consented (again)."""
    if service not in SERVICES:
        fail(f"{service!r} is no service: write microsoft, google or webex", os.EX_USAGE)
    where = read_whereabouts(config)
    if service not in where.services:
        fail(f"{where.file} has no [{service}]: add it, and reload roomd", os.EX_CONFIG)
    wait_for(_connect(where, service, as_json=as_json))


@app.command()
def link(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Show which calendar is which room's and why, and what a person must say."""
    wait_for(_link(read_whereabouts(config), as_json=as_json))


# ── asking the daemon ─────────────────────────────────────────────────────────────────────────────


async def _ask(where: Whereabouts, question: str, **more: object) -> Json:
    from agent.asking import ask

    answer: Json | None = await anext(ask(where.socket, question, **more), None)
    if answer is None:
        fail("the daemon stopped before it had answered: try again", os.EX_TEMPFAIL)
    if "error" in answer:
        fail(f"{answer['error']}: restart it, it is of another version", os.EX_PROTOCOL)
    return answer


async def _services(where: Whereabouts) -> list[Json]:
    answer = await _ask(where, "calendars")
    found: list[Json] = answer["calendars"]
    return found


async def _service(where: Whereabouts, service: str) -> Json:
    (found,) = [each for each in await _services(where) if each["service"] == service]
    return found


async def _show(where: Whereabouts, *, as_json: bool) -> None:
    from agent.console import calendars_shown

    services = await _services(where)
    if as_json:
        for each in services:
            print(json.dumps(each))
    elif services:
        _print(calendars_shown(services, zone=where.timezone))
    else:
        _none(where)


async def _link(where: Whereabouts, *, as_json: bool) -> None:
    from agent.console import links_shown

    services = await _services(where)
    if as_json:
        for each in services:
            told = {name: each[name] for name in ("service", "doubts", "others")}
            rooms = [{name: room[name] for name in ("room", "address", "ground")} for room in each["rooms"]]
            print(json.dumps({**told, "rooms": rooms}))
    elif services:
        _print(links_shown(services))
    else:
        _none(where)


async def _connect(where: Whereabouts, service: str, *, as_json: bool) -> None:
    import asyncio

    before = {each["service"]: each["phase"] for each in await _services(where)}
    answer = await _ask(where, "consent", service=service)
    if not answer["known"]:
        fail(f"the running daemon has no [{service}] yet: reload it", os.EX_CONFIG)
    found = await _service(where, service)
    for _ in range(LOOKS):
        if found["phase"] != "connecting":
            break
        await asyncio.sleep(LOOK_EVERY_S)
        found = await _service(where, service)
    if as_json:
        print(json.dumps({name: found[name] for name in ("service", "phase", "since", "why")}))
    else:
        why = f": {found['why']}" if found["why"] else ""
        print(f"{service}: {found['phase']}{why}")
        if before[service] == "active":
            print("it was active before and waited for no consent: it signs in anew", file=sys.stderr)
        if found["phase"] == "connecting":
            print("not read yet: look again with `roomd calendars`", file=sys.stderr)
    out_of_reach = found["phase"] == "connecting" and found["why"]
    if code := os.EX_TEMPFAIL if out_of_reach else EXITS[found["phase"]]:
        raise typer.Exit(code)


def _none(where: Whereabouts) -> None:
    print(
        f"{where.file} has no calendars: rooms are as their devices say. "
        "Add [microsoft], [google] or [webex], and reload roomd",
        file=sys.stderr,
    )


def _print(shown: list[RenderableType]) -> None:
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(*shown, sep="\n")  # a line to be copied stays one
