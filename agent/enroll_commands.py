"""`roomd enroll`: devices at addresses become lines of the configuration, once their keys were seen."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.terminal import DEFAULT, ConfigOption, JsonOption, fail

app = typer.Typer()


@app.command()
def enroll(  # noqa: PLR0913, PLR0917 - a site can be begun in one command
    hosts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="HOST",
            help="10.0.4.21, 10.0.4.30-49, 10.0.5.0/28, fjord.example.com; with :PORT where it is not 443.",
        ),
    ] = None,
    config: ConfigOption = DEFAULT,
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv", help="A table: host, room, name, capacity, microsoft, google …", metavar="FILE"
        ),
    ] = None,
    room: Annotated[
        str | None, typer.Option("--room", help="All of them are in this room.", metavar="ID")
    ] = None,
    username: Annotated[
        str | None, typer.Option("--username", "-u", help="Who to log in as; else as the file says.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file", help="With the password; else as the file says, or asked.", metavar="FILE"
        ),
    ] = None,
    ssh_port: Annotated[
        int | None, typer.Option("--ssh-port", min=1, max=65535, help="Of their SSH, where it is not 22.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Sets what people counting needs on them, after saying what.")
    ] = False,
    repin: Annotated[
        bool, typer.Option("--repin", help="Takes new keys of devices that were replaced or reset.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Asks nothing: all of it is as it should be.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Prints the lines, and writes and sets nothing.")
    ] = False,
    as_json: JsonOption = False,
    site: Annotated[
        str | None, typer.Option("--site", help="For a first file: the site's id.", metavar="ID")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", help="For a first file; else this machine's.", metavar="ZONE")
    ] = None,
    broker: Annotated[
        str | None, typer.Option("--broker", help="For a first file: mqtts://broker…:8883.", metavar="URL")
    ] = None,
    broker_username: Annotated[
        str | None, typer.Option("--broker-username", help="For a first file; its password is asked.")
    ] = None,
    broker_ca: Annotated[
        Path | None,
        typer.Option(
            "--broker-ca",
            help="For a first file: who issued its certificate, as PEM; a copy is kept.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Find room devices, show who they are, and write them into the configuration."""
    from agent.candidates import NotEnrollable
    from agent.enrolment import Wishes, enrol, first_tables
    from agent.finds import wipe
    from agent.rewriting import NotReplaced
    from agent.room_lines import NotWritable

    if not hosts and table is None and not fix:
        fail("name hosts, like 10.0.4.21 or 10.0.4.0/24, or a table with --csv", os.EX_USAGE)
    wishes = Wishes(
        file=config,
        room=room,
        username=username,
        password_file=password_file,
        ssh_port=ssh_port,
        yes=yes,
        fix=fix,
        repin=repin,
        dry_run=dry_run,
        as_json=as_json,
        broker_ca=broker_ca,
        tables=first_tables(site, timezone, broker, broker_username, broker_ca),
    )
    try:
        enrol(wishes, hosts or [], table)
    except NotEnrollable as error:
        fail(str(error), os.EX_USAGE)
    except NotWritable as error:
        fail(f"{config}: {error}", os.EX_CONFIG)
    except NotReplaced as error:
        fail(str(error), error.code)
    except (KeyboardInterrupt, typer.Abort):
        wipe()
        fail("stopped: the file is as it was", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` has seen enough
        raise typer.Exit from None
