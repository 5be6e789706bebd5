"""Processes on cores of their own, and what the kernel says about them."""

import asyncio
import contextlib
import functools
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENDS_WITHIN_S: Final = 15.0
TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
MB: Final = 1024 * 1024
ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """One for the contender, all others for everything else."""

    contender: frozenset[int]
    rest: frozenset[int]

    @property
    def apart(self) -> bool:
        return self.contender != self.rest


@functools.cache  # before anything is pinned
def cores() -> Cores:
    """The last core is the contender's: the first ones have the interrupts."""
    mine = sorted(os.sched_getaffinity(0))
    return Cores(contender=frozenset(mine[-1:]), rest=frozenset(mine[:-1] or mine))


@contextlib.asynccontextmanager
async def running(
    *command: str,
    where: frozenset[int],
    log: Path,
    environment: Mapping[str, str] | None = None,
    nice: int = 0,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process on these cores, which has ended when the block has, whatever happens."""
    with log.open("ab") as told:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=told,
            stderr=told,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C is for the benchmark, which stops the rest in order
        )
    try:
        os.sched_setaffinity(process.pid, where)  # before it has any thread but one
        if nice:
            os.setpriority(os.PRIO_PROCESS, process.pid, nice)
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def cpu_s(pid: int) -> float:
    """User and system time of all its threads, to the nanosecond: Linux's clock_getcpuclockid(3)."""
    return time.clock_gettime(~pid << 3 | 2)


def used_s(where: frozenset[int]) -> float:
    """User, nice, system, interrupts and what the host took, of these cores together."""
    total = 0
    for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in where:
            total += sum(int(ticks[at]) for at in (0, 1, 2, 5, 6, 7))
    return total / TICKS


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    at: float  # monotonic
    cpu_s: float
    resident_bytes: int
    core_s: float  # of its core, by whomever


def sample(pid: int) -> Sample:
    try:
        return Sample(
            at=time.monotonic(),
            cpu_s=cpu_s(pid),
            resident_bytes=resident_bytes(pid),
            core_s=used_s(cores().contender),
        )
    except OSError as error:
        raise ProcessLookupError(f"process {pid} has ended") from error


async def watch(pid: int, *, seconds: float, every_s: float = 0.1) -> list[Sample]:
    """Samples from now on, at least two."""
    samples = [sample(pid)]
    while samples[-1].at - samples[0].at < seconds:
        await asyncio.sleep(every_s)
        samples.append(sample(pid))
    return samples


def tail(log: Path, lines: int = 5) -> str:
    if not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def sync_ms(directory: Path, times: int = 50) -> float:
    """The median time in which this disk makes one small append durable."""
    took: list[float] = []
    path = directory / "sync"
    with path.open("wb") as file:
        for _ in range(times):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return 1000 * sorted(took)[times // 2]
