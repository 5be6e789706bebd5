"""`roomd …`: the command line. Answers go to standard output, everything else to standard error."""

from __future__ import annotations

import inspect
import json
import os
import sys
from contextlib import ExitStack
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer.core import TyperGroup

from agent import (
    backup_commands,
    calendar_commands,
    enroll_commands,
    ordering,
    outbox_commands,
    report_commands,
    support_commands,
)
from agent.terminal import (
    DEFAULT,
    ConfigOption,
    JsonOption,
    fail,
    read_configuration,
    read_whereabouts,
    wait_for,
)

if TYPE_CHECKING:
    from agent.core.model import Device
    from agent.findings import Finding
    from agent.settings import Configuration, Whereabouts

MORNING = (  # a newcomer's
    "enroll check doctor run rooms events report calendars link hold book release message resync"
)
LATER = "outbox backup restore support record schema"
ORDER = f"{MORNING} {LATER}".split()


class _InOrder(TyperGroup):
    """The commands in the order in which a newcomer meets them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # noqa: ARG002
        return sorted(self.commands, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    name="roomd",
    cls=_InOrder,
    help="Keeps one conversation with every room device of a site, and tells the cloud over MQTT.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(enroll_commands.app)
app.add_typer(ordering.app)
app.add_typer(calendar_commands.app)
app.add_typer(report_commands.app)
app.add_typer(outbox_commands.app, name="outbox")
app.add_typer(backup_commands.app)
app.add_typer(support_commands.app)

SWITCH_S = (
    0.001  # the writing thread waits so long for its turn while the event loop is busy; 5 ms unless told
)


@app.callback(invoke_without_command=True)
def _roomd(
    show_version: Annotated[bool, typer.Option("--version", help="Says which version this is.")] = False,
) -> None:
    if show_version:
        from importlib.metadata import version

        print(f"roomd {version('roomd')}")
        raise typer.Exit


@app.command()
def run(
    config: ConfigOption = DEFAULT,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Logs repeats and details too.")] = False,
    log_format: Annotated[
        Literal["auto", "json", "words"],
        typer.Option(envvar="ROOMD_LOG_FORMAT", help="How it logs; auto: JSON for the journal, else words."),
    ] = "auto",
) -> None:
    """Run the daemon, until it is told to stop."""
    import structlog
    import uvloop

    from agent import daemon
    from agent.telemetry import LogForm, configure_logs

    form = configure_logs(verbose=verbose, form=LogForm(log_format))
    configuration = _read_to_run(config) if form is LogForm.JSON else read_configuration(config)
    sys.setswitchinterval(SWITCH_S)
    os.umask(0o027)  # titles may lie in the database
    try:
        uvloop.run(daemon.run(configuration))
    except daemon.CannotStart as error:
        if form is LogForm.WORDS:
            fail(str(error), error.code)
        log = structlog.get_logger()
        by_a_person = error.code == os.EX_DATAERR  # as the unit has it: RestartPreventExitStatus=
        again = "then: systemctl start roomd" if by_a_person else "systemd starts roomd again by itself"
        log.error("roomd.not_started", why=str(error), mend=f"do as it says; {again}")
        raise typer.Exit(error.code) from None


def _read_to_run(file: Path) -> Configuration:
    """As `read_configuration`, for the journal: a line with its priority for each problem."""
    import structlog

    from agent.settings import ConfigurationRefused, read

    log = structlog.get_logger()
    try:
        return read(file)
    except ConfigurationRefused as error:
        for problem in error.problems:
            log.error(
                "configuration.refused",
                file=str(problem.file),
                at=problem.key,
                why=problem.what,
                mend=problem.mend,
            )
        raise typer.Exit(os.EX_CONFIG) from None


@app.command()
def check(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Check the configuration file alone, without touching the network."""
    from agent.settings import ConfigurationRefused, read

    try:
        configuration = read(config)
    except ConfigurationRefused as error:
        if as_json:
            found = [
                {"file": str(p.file), "key": p.key, "what": p.what, "mend": p.mend} for p in error.problems
            ]
            print(json.dumps({"ok": False, "problems": found}))
        else:
            print(*error.problems, sep="\n", file=sys.stderr)
        raise typer.Exit(os.EX_CONFIG) from None
    rooms, devices = len(configuration.rooms), len(configuration.devices)
    sensors = 0 if configuration.sensors is None else len(configuration.sensors.sensors)
    if as_json:
        told = {"ok": True, "rooms": rooms, "devices": devices, "calendars": configuration.services}
        told["sensors"] = sensors
        print(json.dumps({**told, "notes": configuration.notes}))
        return
    for note in configuration.notes:
        print(f"note: {note}", file=sys.stderr)
    site = configuration.site
    calendars = f", calendars of {' and '.join(configuration.services)}" if configuration.services else ""
    others = f", {sensors} other sensors" if sensors else ""
    there = f"{rooms} rooms, {devices} devices{others}{calendars}"
    print(f"{config}: good. Site {site.site}, agent {site.agent}: {there}")


@app.command()
def doctor(
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="A part: file, permissions, clock, disk, dns, daemon, broker, devices, calendars, sensors; "
            "may be given again.",
            metavar="PART",
        ),
    ] = None,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough", help="Logs in to devices also where roomd runs: tells roles, sessions, clocks."
        ),
    ] = False,
) -> None:
    """Examine the whole installation: what is wrong, and what to do. Changes nothing anywhere."""
    import logging

    import structlog

    from agent.doctor import NoRoom, consult
    from agent.findings import Part, exit_code

    unknown = sorted(set(only or ()) - set(Part))
    if unknown:
        fail(f"{unknown[0]!r} is no part: write {', '.join(Part)}", os.EX_USAGE)
    # What matters is said here in words, and a line that is written over is no place for a log.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    found: list[Finding] = []
    parts = {Part(each) for each in only or Part}
    try:
        wait_for(consult(config, parts, found, as_json=as_json, thorough=thorough))
    except NoRoom as error:  # a full disk is a reason to run it, and not to be silent
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail(f"what was found cannot be written there: {error}", os.EX_IOERR)
    raise typer.Exit(exit_code(found))


@app.command()
def rooms(
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Live, with the facts as they pass.")
    ] = False,
) -> None:
    """Show the rooms as the running daemon knows them."""
    where = read_whereabouts(config)
    wait_for(_rooms(where, as_json=as_json, follow=follow))


@app.command()
def events(
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
) -> None:
    """Show the facts that the running daemon records; without --follow, the next one."""
    where = read_whereabouts(config)
    wait_for(_events(where, as_json=as_json, follow=follow))


@app.command()
def record(  # noqa: PLR0913, PLR0917 - a device can be described in many words
    host: Annotated[
        str,
        typer.Argument(
            metavar="HOST",
            help="A device, room or host of the configuration; with --username, any host or host:port.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write, for you alone.", metavar="FILE")
    ],
    config: ConfigOption = DEFAULT,
    minutes: Annotated[float, typer.Option("--minutes", "-m", help="How long, or until Ctrl-C.")] = 10.0,
    transport: Annotated[
        str, typer.Option("--transport", help="auto, websocket, ssh or http; else as it is configured.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrites FILE.")] = False,
    username: Annotated[
        str, typer.Option("--username", "-u", help="Who to log in as where no configuration is to be used.")
    ] = "",
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", help="With the password; else it is asked for.", metavar="FILE"),
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", help="Of its certificate: sha256:…")
    ] = None,
    host_key: Annotated[str | None, typer.Option("--host-key", help="Of its SSH: SHA256:…")] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", help="The authority of its certificate.", metavar="FILE")
    ] = None,
    known_hosts: Annotated[
        Path | None, typer.Option("--known-hosts", help="With its SSH host key.", metavar="FILE")
    ] = None,
    ssh_port: Annotated[int, typer.Option("--ssh-port", min=1, max=65535, help="Of its SSH.")] = 22,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Believes that it is the device, whoever answers.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Keep a device's conversation as a file, without titles, names, addresses and secrets: a bug report."""
    from agent.core.model import Transport, Trust
    from agent.record import NoSuchDevice, configured, described, kept_in_memory, only_over
    from agent.settings import LINES

    if transport not in {"", "auto", *LINES}:
        fail(f"{transport!r} is no line: write auto, websocket, ssh or http", os.EX_USAGE)
    if minutes <= 0:
        fail("--minutes should be more than 0", os.EX_USAGE)
    only = Transport(transport) if transport in LINES else None
    lines = LINES if transport == "auto" else None
    with ExitStack() as stack:
        try:
            if username:
                if password_file is None:
                    password_file = stack.enter_context(kept_in_memory(_asked_password(username, host)))
                elif not os.access(password_file, os.R_OK):
                    fail(f"{password_file} cannot be read: name the file with the password", os.EX_NOINPUT)
                judged_by = Trust(
                    fingerprint=fingerprint,
                    ca_file=ca_file,
                    host_key=host_key,
                    known_hosts=known_hosts,
                    unverified=unverified,
                )
                device = described(
                    host,
                    username=username,
                    password_file=password_file,
                    judged_by=judged_by,
                    ssh_port=ssh_port,
                )
                zone: tzinfo = UTC
            else:
                configuration = read_configuration(config)
                device, zone = configured(configuration, host), configuration.policy.timezone
        except NoSuchDevice as error:
            fail(str(error), os.EX_USAGE)
        device = only_over(device, (only,) if only else lines)
        _record(device, output, minutes=minutes, force=force, zone=zone, as_json=as_json)


def _record(
    device: Device, output: Path, *, minutes: float, force: bool, zone: tzinfo, as_json: bool
) -> None:
    import asyncio
    import logging

    import structlog

    from agent import record as recording

    # What matters is said here in words, and a line that is written over is no place for a log.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    terminal = sys.stderr.isatty()
    clean = "\r\x1b[K" if terminal else ""
    try:
        heard = asyncio.run(
            recording.record(
                device,
                output,
                minutes=minutes,
                overwrite=force,
                timezone=zone,
                say=lambda words: print(f"{clean}{words}", file=sys.stderr),
                show=recording.on_a_terminal if terminal else None,
            )
        )
    except recording.CannotRecord as error:
        fail(f"{clean}{error}", os.EX_NOPERM if error.refused else os.EX_UNAVAILABLE)
    except FileExistsError as error:
        fail(f"{clean}{error}", os.EX_USAGE)
    except OSError as error:
        fail(f"{clean}{output} cannot be written: {error}", os.EX_CANTCREAT)
    if as_json:
        print(json.dumps(heard.told()))
        return
    print(clean, end="", file=sys.stderr)
    print(f"{output}: {heard}")


def _asked_password(username: str, host: str) -> str:
    if not sys.stdin.isatty():
        fail("there is no terminal to ask for the password: give --password-file", os.EX_USAGE)
    return str(typer.prompt(f"Password of {username} at {host}", hide_input=True, err=True))


@app.command()
def schema(
    kind: Annotated[str, typer.Option("--kind", help="asyncapi, or json-schema.")] = "asyncapi",
    compare: Annotated[
        bool, typer.Option("--check", help="Only say whether the committed document is this one.")
    ] = False,
) -> None:
    """Print the contract with the cloud, as an AsyncAPI 3 document or as JSON Schema."""
    from cloud_link import asyncapi

    if compare:
        stale = asyncapi.stale_files()
        if stale:
            fail(
                f"{', '.join(str(f) for f in stale)}: not what the code publishes; run `make schema`",
                os.EX_DATAERR,
            )
        print("the committed contract is the one that the code publishes")
        return
    kinds = {"asyncapi": asyncapi.asyncapi_document, "json-schema": asyncapi.json_schemas}
    if kind not in kinds:
        fail(f"{kind!r} is no kind of schema: write asyncapi or json-schema", os.EX_USAGE)
    print(json.dumps(kinds[kind](), indent=2, ensure_ascii=False))


# ── asking the daemon ─────────────────────────────────────────────────────────────────────────────


async def _rooms(where: Whereabouts, *, as_json: bool, follow: bool) -> None:
    from rich.console import Console

    from agent.asking import ask
    from agent.console import health_line, rooms_table, show_live, troubles

    zone = where.timezone
    if follow and not as_json:
        await show_live(ask(where.socket, "watch"), Console(), zone=zone)
        return
    async for picture in ask(where.socket, "watch" if follow else "picture"):
        if as_json:
            print(json.dumps(picture), flush=True)
        else:
            console = Console()
            console.print(rooms_table(picture, zone=zone), *troubles(picture), health_line(picture), sep="\n")


async def _events(where: Whereabouts, *, as_json: bool, follow: bool) -> None:
    from rich.console import Console

    from agent.asking import ask
    from agent.console import fact_line

    console = Console(soft_wrap=True, highlight=False)
    async for answer in ask(where.socket, "events"):
        if as_json:
            print(json.dumps(answer.get("event", answer)), flush=True)
        elif "event" in answer:
            console.print(fact_line(answer["event"], zone=where.timezone))
        else:
            print(f"{answer.get('missed')} facts went by unseen", file=sys.stderr)
        if not follow:
            return


def _let_the_terminal_break_lines(commands: typer.Typer) -> None:
    # Below a docstring's first paragraph, typer keeps its line breaks, which are those of a wide editor.
    for command in commands.registered_commands:
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _let_the_terminal_break_lines(group.typer_instance)


_let_the_terminal_break_lines(app)


def main() -> None:
    """Where the command `roomd` begins."""
    app()


if __name__ == "__main__":
    main()
