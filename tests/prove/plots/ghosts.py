"""A year of fifty rooms, judged by roomd's core and by the rules of others, against what really happened."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final

from tests.prove.scenario import Result, Trial
from tests.prove.year import report
from tests.prove.year.people import DAYS
from tests.prove.year.rooms import ROOMS
from tests.prove.year.score import Score

TOGETHER: Final = 5  # rooms in one process
AT_A_TIME: Final = 2
OVER_WITHIN_S: Final = 3600.0  # a quarter of that where nothing else runs


async def judged(result: Result, seed: int) -> None:
    """Nobody is put out who was seen, nothing is guessed, and more ghosts are found than by others."""
    free, score = asyncio.Semaphore(AT_A_TIME), Score()

    async def play(first: int) -> None:
        async with free:
            score.add(await _played(first, seed))

    async with asyncio.TaskGroup() as tasks:
        for first in range(0, ROOMS, TOGETHER):
            tasks.create_task(play(first), name=f"rooms from {first}")
    result.faults = score.faults
    result.facts = score.bookings
    result.notes += report.table(score)
    result.wrongs += report.broken(score)


async def _played(first: int, seed: int) -> Score:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.prove.year", "--json", "--seed", str(seed)),
        *("--rooms", f"{first}-{first + TOGETHER - 1}", "--days", str(DAYS)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise AssertionError(err.decode(errors="replace").strip()[-1500:])
    return Score.of(json.loads(out))


GHOSTS: Final = (
    Trial(
        name="ghosts: 50 rooms, a year",
        tells="no one put out who was seen, unknown instead of a guess, more ghosts found than by others",
        run=judged,
        lasts_at_most_s=OVER_WITHIN_S,
    ),
)
