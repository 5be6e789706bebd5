"""One scenario from its beginning to its verdict."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.prove import disks
from tests.prove.daemon import TookTooLong
from tests.prove.world import UP_WITHIN_S, WINDOW, NotRecovered, Setting, World, keep, world

LASTS_AT_MOST_S: Final = 300.0
WRONGS_AT_MOST: Final = 12

Plot = Callable[[World], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is done to roomd, and where."""

    name: str
    tells: str
    setting: Setting
    plot: Plot
    lasts_at_most_s: float = LASTS_AT_MOST_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Something that is proven without a site: `run` gets a seed, and writes down what it finds."""

    name: str
    tells: str
    run: Callable[[Result, int], Awaitable[None]]
    lasts_at_most_s: float = LASTS_AT_MOST_S


@dataclass(slots=True, kw_only=True)
class Result:
    """A row of the table."""

    name: str
    seed: int
    faults: int = 0
    facts: int = 0
    lost: int = 0
    told: int = 0
    repeated: int = 0
    allowed: int = 0
    out_of_order: int = 0
    recovered_s: float | None = None
    lasted_s: float = 0.0
    skipped: str | None = None
    wrongs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        return not self.wrongs

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Skipped(Exception):
    """It cannot be shown here, and why."""


async def play(scenario: Scenario | Trial, *, seed: int, address_base: str, evidence: Path | None) -> Result:
    """Plays it and judges it. What goes wrong stands in the result; nothing is left behind."""
    result = Result(name=scenario.name, seed=seed)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="roomd-prove-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        try:
            async with asyncio.timeout(scenario.lasts_at_most_s), AsyncExitStack() as stack:
                if isinstance(scenario, Trial):
                    await scenario.run(result, seed)
                else:
                    await _play(
                        scenario,
                        result,
                        stack,
                        directory,
                        seed=seed,
                        address_base=address_base,
                        evidence=evidence,
                    )
        except (Skipped, disks.CannotMount) as reason:
            result.skipped = str(reason)
        except TimeoutError:
            result.wrongs.append(f"not over within {scenario.lasts_at_most_s:g} s")
    result.lasted_s = round(time.monotonic() - began_s, 1)
    return result


async def _play(
    scenario: Scenario,
    result: Result,
    stack: AsyncExitStack,
    directory: Path,
    *,
    seed: int,
    address_base: str,
    evidence: Path | None,
) -> None:
    setting = scenario.setting
    state: Path | None = None
    disk: disks.Fragile | None = None
    if setting.state:
        state = directory / "disk"
        if setting.state == "small":
            await stack.enter_async_context(disks.small(state))
        else:
            disk = await stack.enter_async_context(disks.fragile(state))
    luck = random.Random(f"{seed}/{scenario.name}")
    there = await stack.enter_async_context(
        world(setting, directory=directory, luck=luck, address_base=address_base, state=state)
    )
    there.disk = disk
    if setting.wrong_clock:
        there.roomd.environment |= _faketime(there.stamp)
    try:
        await _tell(scenario, there, result)
    finally:
        result.faults, result.notes = there.tally.faults, there.tally.notes
        if result.wrongs and evidence is not None:
            keep(directory, evidence / scenario.name.replace(" ", "-").replace(",", ""))


async def _tell(scenario: Scenario, there: World, result: Result) -> None:
    wrongs = result.wrongs
    try:
        await there.start()
        await there.settled(within_s=UP_WITHIN_S)
        there.begin_day()
        await scenario.plot(there)
        await there.end_day()
        within_s = scenario.setting.recovers_within_s
        result.recovered_s = round(await there.settled(within_s=within_s), 1)
        wrongs += await there.latecomer_is_told_the_same()
        await there.roomd.stop()
    except (NotRecovered, TookTooLong, AssertionError) as error:
        await there.end_day()
        wrongs.append(f"{type(error).__name__}: {error}")
    await there.roomd.kill()  # if it has not stopped in peace
    judgement = there.judge()
    result.facts, result.lost, result.told = judgement.facts, judgement.lost, judgement.told
    result.repeated, result.out_of_order = judgement.repeated, judgement.out_of_order
    result.allowed = WINDOW * there.tally.breaks
    wrongs += there.tally.wrongs + judgement.wrongs
    if result.repeated > result.allowed:
        wrongs.append(f"{result.repeated} repeats, and no more than {result.allowed} were in flight")
    crashes = there.roomd.log.count("Traceback (most recent call last)")
    if crashes:
        last = there.roomd.log.rpartition("Traceback (most recent call last)")[2]
        wrongs.append(f"{crashes} tracebacks in the log, the last: {last.strip().splitlines()[-1][:200]}")
    hidden = len(wrongs) - WRONGS_AT_MOST
    if hidden > 0:
        wrongs[WRONGS_AT_MOST:] = [f"and {hidden} more"]


def _faketime(stamp: Path) -> dict[str, str]:
    """Another wall clock for roomd alone; the steady one goes on as it is."""
    stamp.write_text("+0")
    library = next(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        raise Skipped("libfaketime is not installed (Debian: faketime)")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_CACHE_DURATION": "1",  # in seconds: to read the file at each look is slower than roomd
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def address_base(slot: int) -> str:
    """Addresses of its own for each site that stands at the same time, and for each who proves."""
    return f"127.{40 + slot}.{os.getpid() % 200 + 20}.1"
