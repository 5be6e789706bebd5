"""`roomd support`: one file for a bug report, without names and secrets, which can be looked at before."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agent.outbox_commands import size, writing
from agent.terminal import DEFAULT, ConfigOption, JsonOption, fail, progress_line, wait_for

app = typer.Typer()


@app.command()
def support(
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write, for you alone.", metavar="FILE"),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Of the journal, the last.")] = 2000,
    quick: Annotated[
        bool, typer.Option("--quick", help="Does not examine devices, broker and calendars.")
    ] = False,
    only_list: Annotated[
        bool, typer.Option("--list", help="Says what would be in it, and writes nothing.")
    ] = False,
    show: Annotated[
        str, typer.Option("--show", help="Prints a file of it, and writes nothing.", metavar="NAME")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrites FILE.")] = False,
) -> None:
    """Write a bundle for a bug report. Works with a broken configuration and without the daemon.

    In it are the shape of the configuration, what the doctor finds, how the daemon, its outbox, service and
    machine stand, and the log's last lines. Names of rooms, hosts, people and the site are replaced, the same
    name by the same word everywhere: <room-1> is the first room of the configuration. Titles, texts on
    screens, secrets and what was told to the cloud are never in it.
    """
    import structlog

    from agent.support import SecretLeft, Wish, gather

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )

    async def make() -> None:
        wish = Wish(file=config, lines=lines, examine=not quick)
        with progress_line() as say:
            bundle = await gather(wish, now=lambda: datetime.now(UTC), say=say)
        if show:
            if show not in bundle.files:
                fail(f"there is no {show} in it: {', '.join(bundle.files)}", os.EX_USAGE)
            sys.stdout.write(bundle.files[show].decode())
            return
        manifest = bundle.manifest()
        file = output or Path(f"roomd-support-{bundle.made_at:%Y%m%dT%H%M%SZ}.tar.gz")
        if not only_list:
            with writing(file, force=force) as out:
                out.write(bundle.packed())
        if as_json:
            print(json.dumps({"file": None if only_list else str(file), **manifest}))
            return
        for name, content in bundle.files.items():
            print(f"{name:<20} {size(len(content)):>10}")
        for name, why in bundle.missing.items():
            print(f"{name:<20} {'missing':>10}  {why}")
        replaced = ", ".join(f"{count} × {kind}" for kind, count in bundle.removed.items())
        print(f"replaced: {replaced or 'nothing'}")
        print("nothing was written" if only_list else f"{file}: look into it before you send it (tar xzf)")

    try:
        wait_for(make())
    except PermissionError as error:
        fail(f"{error.filename} may not be read: run with sudo", os.EX_NOPERM)
    except SecretLeft as error:
        fail(f"a secret would have been in {error}: nothing was written. Please report that", os.EX_SOFTWARE)
