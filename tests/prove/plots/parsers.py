"""The parsers of all that devices say, with what no device says: each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from typing import Final

from tests.prove.fuzz import TARGETS
from tests.prove.scenario import Result, Trial

SECONDS: Final = 40.0
OVER_WITHIN_S: Final = 240.0  # else it hangs


async def thrown(name: str, result: Result, seed: int) -> None:
    """Whatever is wrong with a parser ends that process, or keeps it from ending."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.prove.fuzz", name, "--seed", str(seed), "--seconds", str(SECONDS)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(OVER_WITHIN_S):
            out, err = await process.communicate()
    except TimeoutError:
        result.wrongs.append(f"it hangs: not over within {OVER_WITHIN_S:g} s")
        return
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        result.wrongs.append(err.decode(errors="replace").strip()[-1500:])
        return
    found = json.loads(out)
    result.faults = found["inputs"]
    result.notes.append(f"{found['inputs']} inputs, {found['grown_mib']} MiB more than at first")


PARSERS: Final = tuple(
    Trial(
        name=f"fuzz: {name}",
        tells="what no device says, cut anywhere and without an end",
        run=partial(thrown, name),
    )
    for name in TARGETS
)
