"""`roomd backup` and `roomd restore`: the state of a site as one file, taken while it runs and put back."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agent.outbox_commands import need_no_damage, readable, size
from agent.terminal import DEFAULT, ConfigOption, JsonOption, fail, read_whereabouts

app = typer.Typer()


@app.command()
def backup(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file to write; an older backup there is replaced.")
    ],
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Copy the daemon's state into one file, for its owner alone. The daemon may run.

    The state is what waits for the broker, what is kept of it, and what is known of rooms, holds, commands
    and calendars. What was counted of rooms, for reports, goes into a second file beside it, FILE.trends. The
    configuration and its secrets are in neither: keep /etc/roomd with the machine's own backup. The copies
    have been read in whole when this ends well.
    """
    from importlib.metadata import version

    from agent import trends
    from cloud_link.copies import NoBackup, Origin, back_up, look
    from cloud_link.database import SchemaTooNew

    where = read_whereabouts(config)
    if os.path.isdir(file):  # noqa: PTH112 - says no where it may not look
        fail(f"{file} is a directory: name a file in it", os.EX_USAGE)
    if not os.path.isdir(file.parent):  # noqa: PTH112
        fail(f"{file.parent} is no directory: name a file in one that is there", os.EX_USAGE)
    directory = where.state_directory
    try:
        if file.exists():
            look(file)  # raises where it is something else
        origin = Origin(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            version=version("roomd"),
            site=where.site,
            agent=where.agent,
        )
        made = back_up(directory, file, origin, readable=readable)
    except (NoBackup, SchemaTooNew) as error:
        fail(f"{error}. Nothing was written", os.EX_DATAERR)
    except FileNotFoundError as error:
        fail(str(error), os.EX_NOINPUT)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror or error}", os.EX_CANTCREAT)
    except sqlite3.Error as error:
        need_no_damage(directory, error)
        fail(
            f"{directory} could not be copied to {file}: {error}. "
            "Run with sudo, and see that the disk has room",
            os.EX_IOERR,
        )
    beside = trends.beside(file)
    try:
        days = trends.back_up(directory, beside)
    except (sqlite3.Error, OSError) as error:
        fail(
            f"{file} is written, and the trends beside it are not: {error}. "
            f"See that {directory / trends.FILE} is sound, and that the disk has room",
            os.EX_IOERR,
        )
    if as_json:
        print(json.dumps({**asdict(made), "trends_days": days}))
        return
    print(
        f"{file}: {size(made.bytes)}, {made.rooms} rooms, {made.waiting} envelopes that wait; read and sound"
    )
    if days is not None:
        print(f"{beside}: {size(beside.stat().st_size)}, {_days(days)} of trends; read and sound")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `roomd backup` has written.")],
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also a backup of another site, and where undelivered envelopes are left behind.",
        ),
    ] = False,
) -> None:
    """Put a backup in the place of the daemon's state. The daemon must be stopped.

    What was there is kept beside it. Numbers begin anew with the next start, and `outbox.reset` tells the
    cloud; what waited in the backup is sent with its old ids, also if it has been delivered since. What lies
    beside the backup as FILE.trends is put back, too.
    """
    from agent import trends
    from cloud_link.copies import NoBackup, WouldLose, is_begun, look
    from cloud_link.copies import restore as put_back
    from cloud_link.database import AlreadyRunning, SchemaTooNew

    where = read_whereabouts(config)
    directory = where.state_directory
    if os.path.isdir(file):  # noqa: PTH112 - says no where it may not look
        fail(f"{file} is a directory: name the file in it that `roomd backup` has written", os.EX_USAGE)
    try:
        origin = look(file).origin
        if origin is not None and origin.site != where.site and not force:
            fail(
                f"{file} is of the site {origin.site}, and {where.file} says {where.site}. "
                "If that is meant so, give --force",
                os.EX_DATAERR,
            )
        if origin is not None and origin.agent != where.agent:
            print(
                f"note: the backup is of the agent {origin.agent}, and this one is {where.agent}. To stay "
                "the same for the cloud, set agent.id in the configuration before roomd is started",
                file=sys.stderr,
            )
        done = put_back(file, directory, at=datetime.now(UTC), readable=readable, lose=force)
    except (NoBackup, SchemaTooNew) as error:
        fail(f"{error}. Nothing was changed", os.EX_DATAERR)
    except AlreadyRunning:
        fail(
            f"roomd runs in {directory}: stop it first, with `systemctl stop roomd`. Nothing was changed",
            os.EX_TEMPFAIL,
        )
    except WouldLose as error:
        fail(
            f"{directory} holds {error.count} envelopes that were never delivered and are not in {file}. "
            "Start roomd and let it deliver them, or give --force: they are kept aside. Nothing was changed",
            os.EX_TEMPFAIL,
        )
    except FileNotFoundError:
        fail(f"{file} is not there: name a file that `roomd backup` has written", os.EX_NOINPUT)
    except OSError as error:
        begun = ". The next start of roomd finishes what was begun" if is_begun(directory) else ""
        if isinstance(error, PermissionError):
            fail(f"{error.filename or file}: {error.strerror}. Run with sudo{begun}", os.EX_NOPERM)
        fail(
            f"{file} could not be put into {directory}: {error.strerror or error}. "
            f"See that its disk has room, and can be written{begun}",
            os.EX_IOERR,
        )
    days = _restore_trends(trends.beside(file), directory)
    copied = done.copied
    if as_json:
        replaced = None if done.replaced is None else str(done.replaced)
        told = {"restored": asdict(copied), "replaced": replaced, "left_behind": done.undelivered}
        print(json.dumps({**told, "trends_days": days}))
        return
    when = f" of {copied.origin.at}" if copied.origin is not None else ""
    print(f"restored the backup{when}: {copied.rooms} rooms, {copied.waiting} envelopes that wait")
    if days is not None:
        print(f"and {_days(days)} of trends")
    if done.replaced is not None:
        left = f", with {done.undelivered} envelopes that were never delivered" if done.undelivered else ""
        print(f"what was there is kept as {done.replaced}{left}")
    print("start roomd: numbers begin anew, and the cloud is told (outbox.reset)")


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _restore_trends(file: Path, directory: Path) -> int | None:
    """Of how many days they are; None where there are none, or they cannot be put back, which is said."""
    from agent import trends
    from cloud_link.copies import give_all
    from cloud_link.database import AlreadyRunning, alone

    if not file.exists():
        return None
    try:
        with alone(directory):
            days = trends.restore(file, directory)
    except (AlreadyRunning, sqlite3.Error, OSError) as error:
        print(f"note: the trends in {file} were not put back: {error}", file=sys.stderr)
        return None
    give_all(directory)
    return days
