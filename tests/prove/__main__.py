"""`make prove`: plays every scenario, several at a time, and prints the table; exit 1 if one was broken."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console

from tests.prove import table
from tests.prove.plots import SCENARIOS
from tests.prove.scenario import Result, Scenario, Trial, address_base, play

AT_A_TIME: Final = 3  # they wait most of the time
ENDS_WITHIN_S: Final = 30.0
GRACE_S: Final = 60.0
LONGEST_LINE: Final = 1 << 20
SEED: Final = 1
EVIDENCE: Final = Path("build/prove")
STOPPED: Final = 130
DIES_WITH_ITS_PARENT: Final = 1  # PR_SET_PDEATHSIG of prctl(2)
MOUNTS: Final = Path("/proc/self/mounts")


def options_of(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=SEED, help="the same seed does the same at much the same time"
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="scenarios whose name begins so")
    parser.add_argument("--minutes", type=float, default=0.0, help="go round with further seeds for so long")
    parser.add_argument("--jobs", type=int, default=AT_A_TIME, help="how many scenarios at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the results for machines")
    parser.add_argument("--list", action="store_true", help="say which scenarios there are")
    parser.add_argument("--child", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--slot", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


# ── one scenario, in a process of its own ─────────────────────────────────────────────────────────


async def _child(scenario: Scenario | Trial, options: argparse.Namespace) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    ctypes.CDLL(None).prctl(DIES_WITH_ITS_PARENT, signal.SIGTERM)
    result = await play(
        scenario, seed=options.seed, address_base=address_base(options.slot), evidence=Path.cwd() / EVIDENCE
    )
    sys.stdout.write(json.dumps(result.as_dict()) + "\n")


# ── all of them ───────────────────────────────────────────────────────────────────────────────────


class Proof:
    """Starts the scenarios, gathers their results and sees to it that none leaves anything behind."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.results: list[Result] = []
        self._options = options
        self._began_s = time.monotonic()
        self._slots = list(range(options.jobs))
        self._free = asyncio.Semaphore(options.jobs)

    async def run(self, scenarios: list[Scenario | Trial]) -> None:
        with tempfile.TemporaryDirectory(prefix="roomd-proof-", ignore_cleanup_errors=True) as name:
            directory = Path(name)
            try:
                seed = self._options.seed
                async with asyncio.TaskGroup() as tasks:
                    while True:
                        for scenario in scenarios:
                            await self._free.acquire()
                            tasks.create_task(self._prove(scenario, seed, directory), name=scenario.name)
                        seed += 1
                        if time.monotonic() - self._began_s >= self._options.minutes * 60:
                            break
            finally:
                _tidy(directory)
        order = {scenario.name: place for place, scenario in enumerate(SCENARIOS)}
        self.results.sort(key=lambda result: (result.seed, order[result.name]))

    async def _prove(self, scenario: Scenario | Trial, seed: int, directory: Path) -> None:
        slot = self._slots.pop()
        try:
            self._say(f"{scenario.name}: {scenario.tells} …")
            result = await self._play(scenario, seed, slot, directory)
            self.results.append(result)
            self._say(f"{scenario.name}: {table.line(result)}")
            for note in result.notes:
                self._say(f"{scenario.name}:   {note}")
        finally:
            self._slots.append(slot)
            self._free.release()

    async def _play(self, scenario: Scenario | Trial, seed: int, slot: int, directory: Path) -> Result:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.prove", "--child", scenario.name),
            *("--seed", str(seed), "--slot", str(slot)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(directory)},
            start_new_session=True,  # Ctrl-C is for us, who stop the others in order
            limit=LONGEST_LINE,
        )
        try:
            async with asyncio.timeout(scenario.lasts_at_most_s + GRACE_S):
                out, err = await process.communicate()
        except TimeoutError:
            return Result(name=scenario.name, seed=seed, wrongs=["the proof itself did not end"])
        finally:
            await asyncio.shield(_end(process))
        try:
            return Result(**json.loads(out))
        except (ValueError, TypeError):
            words = err.decode(errors="replace").strip()[-3000:]
            return Result(name=scenario.name, seed=seed, wrongs=[f"the proof itself failed: {words}"])

    def _say(self, text: str) -> None:
        elapsed_s = time.monotonic() - self._began_s
        print(f"{int(elapsed_s) // 60:3d}:{int(elapsed_s) % 60:02d}  {text}", file=sys.stderr, flush=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _tidy(directory: Path) -> None:
    """What a scenario left that was itself killed: processes and mounts within our own directory."""
    for process in _strays(directory):
        with contextlib.suppress(psutil.Error):
            process.kill()
    for mount in MOUNTS.read_text().splitlines():
        where = mount.split()[1]
        if where.startswith(f"{directory}/"):
            subprocess.run(("umount", "-l", where), check=False)


def _strays(directory: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["cmdline"]):
        if any(str(directory) in word for word in process.info["cmdline"] or ()):
            yield process


async def _prove_all(options: argparse.Namespace) -> int:
    chosen = [
        scenario
        for scenario in SCENARIOS
        if not options.only or any(scenario.name.startswith(name) for name in options.only)
    ]
    if not chosen:
        print("no scenario is called that; --list names them", file=sys.stderr)
        return os.EX_USAGE
    task = asyncio.current_task()
    assert task is not None
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, task.cancel)
    proof = Proof(options)
    stopped = False
    try:
        await proof.run(chosen)
    except asyncio.CancelledError:
        stopped = True
    if options.json:
        options.json.write_text(json.dumps([result.as_dict() for result in proof.results], indent=2) + "\n")
    table.show(proof.results, Console(width=None if sys.stdout.isatty() else table.WIDTH))
    if stopped:
        print("stopped before the end", file=sys.stderr)
        return STOPPED
    return 0 if all(result.kept for result in proof.results) else 1


def main() -> int:
    options = options_of(sys.argv[1:])
    if options.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name:28} {scenario.tells}")
        return 0
    if options.child:
        scenario = next(scenario for scenario in SCENARIOS if scenario.name == options.child)
        asyncio.run(_child(scenario, options))
        return 0
    return asyncio.run(_prove_all(options))


if __name__ == "__main__":
    sys.exit(main())
