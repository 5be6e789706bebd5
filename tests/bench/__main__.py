"""`python -m tests.bench`: measures all contenders one after the other and prints them side by side."""

import argparse
import asyncio
import contextlib
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

import uvloop

from tests.bench import calendars, reports, rollups
from tests.bench.contenders import CONTENDERS, Contender, LineName
from tests.bench.processes import ROOT, cores, sync_ms
from tests.bench.report import machine, plain, sizing, table_of, text
from tests.bench.trial import Gone, Outcome, Plan, Surroundings, bare_mb, trial

WHOLE: Final = Plan(idle_s=3.0, steady_s=10.0, flood_s=20.0, drain_s=60.0, commands_s=20.0)
QUICK: Final = Plan(idle_s=1.0, steady_s=4.0, flood_s=4.0, drain_s=10.0, commands_s=4.0)
SIZES: Final = (200, 1000)
COMMAND_SIZES: Final = (1000,)
OTHER_SIZES: Final = (200,)  # over SSH and HTTP
QUICK_SIZES: Final = (50,)
SIZING: Final = (50, 200, 1000)  # of docs/operations.md
CALENDARS: Final = "calendars"
ROLLUPS: Final = "rollups"
REPORTS: Final = "reports"
ON_DISK: Final = Path("/var/tmp")  # /tmp may be memory, where durability costs nothing


async def measure(options: argparse.Namespace) -> int:
    """All contenders with all numbers of devices."""
    asked = [one for one in CONTENDERS if one.name in options.only and one.line in options.lines]
    chosen = [one for one in asked if not _left_out(one)]
    apart = cores()
    with tempfile.TemporaryDirectory(prefix="roomd-bench-", dir=options.directory) as name:
        directory = Path(name)
        about = machine(apart, sync_ms(directory))
        versions = {one.name: one.versions() for one in chosen}
        os.sched_setaffinity(0, apart.rest)
        if not apart.apart:
            _say("one core only: contenders share it with site and broker, and seem slower than they are")
        plan = QUICK if options.quick else WHOLE
        if options.flood_s:
            plan = replace(plan, flood_s=options.flood_s, drain_s=max(plan.drain_s, 2 * options.flood_s))
        outcomes: list[Outcome] = []
        bare: dict[str, float] = {}
        for devices, contender in _rounds(chosen, options):
            around = Surroundings(
                directory=directory,
                cores=apart,
                plan=plan,
                say=functools.partial(_say, of=f"{devices} devices, {contender.title}: "),
            )
            outcomes.append(await _one(contender, devices, bare, around))
            gc.collect()
        listings: list[calendars.Listing] = []
        if CALENDARS in options.only:
            listings = await calendars.measure(directory, apart, quick=options.quick, say=_say)
        rollup: rollups.Rollup | None = None
        if ROLLUPS in options.only:
            rollup = rollups.measure(directory, quick=options.quick, say=_say)
        reported: list[reports.Asked] = []
        if REPORTS in options.only:
            reported = reports.measure(
                directory, quick=options.quick, say=_say, cores=apart.contender | apart.rest
            )
    if listings:
        print(calendars.text(listings), calendars.HOW, sep="\n\n", end="\n\n")
    if rollup is not None:
        print(rollups.text(rollup), rollups.HOW, sep="\n\n", end="\n\n")
    if reported:
        print(reports.text(reported), reports.HOW, sep="\n\n", end="\n\n")
    print(sizing(outcomes, about) if options.sizing else text(outcomes, about, versions))
    if options.json:
        numbers = {**plain(outcomes, about, versions), "calendars": calendars.plain(listings)}
        numbers["reports"] = reports.plain(reported)
        numbers["rollups"] = None if rollup is None else rollups.plain(rollup)
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    over = rollup is not None and rollup.share > rollups.AT_MOST
    over = over or any(each.over for each in reported)
    return int(over or any(outcome.error for outcome in outcomes))


def _rounds(chosen: Sequence[Contender], options: argparse.Namespace) -> Iterator[tuple[int, Contender]]:
    """The tables in their order, each by numbers of devices."""
    sizes_of = {
        "websocket": options.devices,
        "commands": options.command_devices,
        "other": options.other_devices,
    }
    for table, sizes in sizes_of.items():
        mine = [contender for contender in chosen if table_of(contender.trial, contender.line) == table]
        yield from ((devices, contender) for devices in sizes for contender in mine)


async def _one(contender: Contender, devices: int, bare: dict[str, float], around: Surroundings) -> Outcome:
    try:
        if contender.trial == "commands":
            return await trial(contender, devices, around)
        if contender.name not in bare:
            around.say("starting without devices")
            bare[contender.name] = await bare_mb(contender, around)
        return await trial(contender, devices, around, bare=bare[contender.name])
    except (Gone, TimeoutError) as error:
        why = f"without devices: {str(error) or type(error).__name__}"
        return Outcome(
            contender=contender.name,
            devices=devices,
            line=contender.line,
            durable=contender.durable,
            trial=contender.trial,
            error=why,
        )


def _left_out(contender: Contender) -> bool:
    why = contender.absent()
    if why:
        _say(f"{contender.title} is left out: {why}")
    return bool(why)


def _say(what: str, *, of: str = "") -> None:
    sys.stderr.write(f"bench {time.monotonic() - BEGAN:5.0f} s  {of}{what}\n")


BEGAN: Final = time.monotonic()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    names = [*(contender.name for contender in CONTENDERS), CALENDARS, ROLLUPS, REPORTS]
    lines = list(get_args(LineName))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--devices",
        type=_numbers,
        metavar="N[,N]",
        help="default: 200,1000; for commands 1000; over SSH and HTTP 200",
    )
    parser.add_argument("--only", type=_names, default=names, metavar="NAME[,NAME]", help=", ".join(names))
    parser.add_argument("--lines", type=_names, default=lines, metavar="LINE[,LINE]", help=", ".join(lines))
    parser.add_argument(
        "--quick", action="store_true", help="50 devices and short phases: to see that it works"
    )
    parser.add_argument(
        "--sizing",
        action="store_true",
        help="only roomd with 50, 200 and 1000 devices, as the table of docs/operations.md",
    )
    parser.add_argument("--flood-s", type=float, metavar="SECONDS", help="how long the flood lasts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go as well")
    parser.add_argument("--directory", type=Path, default=ON_DISK if ON_DISK.exists() else None)
    options = parser.parse_args(arguments)
    if options.sizing:
        options.only, options.lines, options.devices = ["roomd"], ["websocket"], options.devices or SIZING
    if unknown := set(options.only) - set(names):
        parser.error(f"nobody is called {', '.join(sorted(unknown))}: choose from {', '.join(names)}")
    if unknown := set(options.lines) - set(lines):
        parser.error(f"no line is called {', '.join(sorted(unknown))}: choose from {', '.join(lines)}")
    options.command_devices = options.devices or (QUICK_SIZES if options.quick else COMMAND_SIZES)
    options.other_devices = options.devices or (QUICK_SIZES if options.quick else OTHER_SIZES)
    options.devices = options.devices or (QUICK_SIZES if options.quick else SIZES)
    return options


def _names(told: str) -> list[str]:
    return told.split(",")


def _numbers(told: str) -> tuple[int, ...]:
    return tuple(int(number) for number in told.split(","))


async def _until_told_to_stop(options: argparse.Namespace) -> int:
    """As Ctrl-C, SIGTERM ends everything in order."""
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    return await measure(options)


def main() -> int:
    options = _options(sys.argv[1:])
    if any(one.tools and one.name in options.only and one.line in options.lines for one in CONTENDERS):
        with contextlib.suppress(subprocess.CalledProcessError):  # what is missing is left out, and said so
            subprocess.run((ROOT / "scripts" / "bench-install",), check=True)
    try:
        return uvloop.run(_until_told_to_stop(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("stopped")
        return 130


if __name__ == "__main__":
    sys.exit(main())
