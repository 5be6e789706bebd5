"""One contender with so many devices, from its start to its end: the phases and their measures."""

import asyncio
import contextlib
import os
import statistics
import sys
import time
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.bench.cloud import (
    CLEAR,
    DISPLAY,
    Cloud,
    Commanded,
    Given,
    Heard,
    Hold,
    Name,
    account,
    cloud,
    heard,
    spread,
)
from tests.bench.contenders import WINDOW, Contender, LineName, Place, Trial
from tests.bench.processes import MB, Cores, Sample, resident_bytes, running, sample, tail, used_s, watch
from tests.bench.tap import Tap, Told
from tests.brokers.authority import Authority
from tests.brokers.mosquitto import Mosquitto
from tests.installation import site_of
from tests.simulator.control import Remote, remote

STEADY_RATE: Final = 500.0
OTHER_STEADY_RATE: Final = 100.0  # over SSH and HTTP
FLOOD_RATE: Final = 30_000.0  # beyond what the durable ones can do
COMMAND_RATE: Final = 20.0
EVENTS_AROUND_S: Final = 1.0  # they go on before the first command and after the last
WARMS_UP_HOLDS: Final = 10  # commands: the first ones meet code that never ran
HEARD_WITHIN_S: Final = 10.0  # after the last command
LOOKS_AGAIN_S: Final = 0.5  # at all that devices heard
STARTS_WITHIN_S: Final = 60.0
READY_WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.02
RESTS_S: Final = 2.0  # after readiness, before memory is read
WARMS_UP_S: Final = 2.0
WARMS_UP_COUNTS: Final = 2.5  # of each device, so that the first one measured is a change: it is 1 again
SILENT_S: Final = 2.0  # nothing more comes
IDLE: Final = 0.1  # of a core: it is not working on what it has
SILENT_BYTES: Final = 4000  # health and the like do not count
FLOOD_BEGINS_S: Final = 1.5  # until queues are full and the pace is even

# Not a word about each packet, which would cost the broker more than the packet itself.
BROKER: Final = (
    "set_tcp_nodelay true\nmax_queued_messages 0\nlog_type none\nlog_type notice\nlog_type information"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long the phases take."""

    idle_s: float
    steady_s: float
    flood_s: float
    drain_s: float  # after a flood, at most
    commands_s: float  # each of placing and cancelling; no room has more than one


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What was measured; None where it did not come so far."""

    contender: str
    devices: int
    line: LineName
    durable: bool
    trial: Trial = "events"
    error: str | None = None
    bare_mb: float | None = None
    ready_s: float | None = None  # from the start of its process
    ready_cpu_s: float | None = None  # of its own, until then
    ready_mb: float | None = None
    kb_per_device: float | None = None
    idle_percent: float | None = None  # of a core
    steady_events: int | None = None
    cpu_us_per_event: float | None = None
    cpu_us_per_event_above_idle: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    steady_lost: int | None = None
    steady_repeated: int | None = None
    steady_disordered: int | None = None
    steady_others: float | None = None  # how much of its core was used by others
    offered_per_s: float | None = None
    delivered_per_s: float | None = None  # from the flood's beginning until the last one was acknowledged
    delivered_meanwhile_per_s: float | None = None  # while the flood lasted
    delivered_per_cpu_s: float | None = None
    delivered_each_s: list[int] = field(default_factory=list)  # from the flood's beginning to the last one
    flood_busy: float | None = None  # how much of its core it used
    flood_others: float | None = None
    flood_before_mb: float | None = None
    flood_peak_mb: float | None = None
    flood_growth_mb: float | None = None  # from its second third to its last
    flood_sent: int | None = None
    flood_held_back: int | None = None
    flood_lost: int | None = None
    flood_repeated: int | None = None
    flood_disordered: int | None = None
    flood_refused: int | None = None
    flood_drained_s: float | None = None
    placed: Commanded | None = None
    cancelled: Commanded | None = None
    stopped_s: float | None = None
    notes: list[str] = field(default_factory=list)


class Gone(Exception):
    """The contender ended by itself, or did not do what it is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where trials take place."""

    directory: Path
    cores: Cores
    plan: Plan
    say: Callable[[str], None]


async def bare_mb(contender: Contender, around: Surroundings) -> float:
    """Its memory without devices: libraries imported, connected to the broker."""
    directory = around.directory / f"{contender.name}-bare"
    directory.mkdir()
    async with _broker(directory, around.cores) as tap:
        place = Place(
            directory=directory,
            devices=(),
            authority=None,
            broker_port=tap.port,
            callback=_callback(contender, directory),
        )
        async with _contender(contender, place, around.cores) as process:
            async with asyncio.timeout(STARTS_WITHIN_S):
                while tap.bytes_up == 0:
                    _alive(process, directory)
                    await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.sleep(RESTS_S)
            _alive(process, directory)
            return resident_bytes(process.pid) / MB


async def trial(
    contender: Contender, devices: int, around: Surroundings, *, bare: float | None = None
) -> Outcome:
    """Never raises for a contender's own failure: it says so in its outcome. `bare` is from `bare_mb`."""
    outcome = Outcome(
        contender=contender.name,
        devices=devices,
        line=contender.line,
        durable=contender.durable,
        trial=contender.trial,
        bare_mb=None if bare is None else round(bare, 1),
    )
    directory = around.directory / f"{contender.name}-{devices}"
    directory.mkdir()
    try:
        async with (
            _broker(directory, around.cores) as tap,
            _site(devices, contender.line, directory, around.cores) as site,
        ):
            place = Place(
                directory=directory,
                devices=site_of(directory),
                authority=directory / "ca.pem",
                broker_port=tap.port,
                callback=_callback(contender, directory),
            )
            if place.callback is not None:
                await site.ask("trust", pem=place.callback.ca_file.read_text(encoding="utf-8"))
            began = time.monotonic()
            async with _contender(contender, place, around.cores) as process:
                measuring = _Measuring(outcome, process, directory, site, tap, around)
                await measuring.all(began)
                stopping = time.monotonic()
            outcome.stopped_s = time.monotonic() - stopping
    except (Gone, TimeoutError, ProcessLookupError) as error:
        outcome.error = str(error) or type(error).__name__
    return outcome


class _Measuring:
    def __init__(
        self,
        outcome: Outcome,
        process: asyncio.subprocess.Process,
        directory: Path,
        site: Remote,
        tap: Tap,
        around: Surroundings,
    ) -> None:
        self._outcome = outcome
        self._process = process
        self._directory = directory
        self._site = site
        self._tap = tap
        self._around = around
        self._pid = process.pid

    async def all(self, began: float) -> None:
        say, plan = self._around.say, self._around.plan
        say("connecting")
        await self._become_ready(began)
        if self._outcome.trial == "commands":
            say("warming up")
            await self._warm_up(STEADY_RATE)
            await self._commands(plan.commands_s)
        elif self._outcome.line == "websocket":
            say("resting")
            await self._rest(plan.idle_s)
            say(f"{STEADY_RATE:.0f} events/s")
            await self._warm_up(STEADY_RATE)
            await self._steady(STEADY_RATE, plan.steady_s)
            say("flood")
            await self._flood(plan.flood_s)
        else:
            say("warming up and resting")
            await self._warm_up(OTHER_STEADY_RATE)  # over HTTP, a device calls back only when it has to tell
            await self._rest(plan.idle_s)
            say(f"{OTHER_STEADY_RATE:.0f} events/s")
            await self._steady(OTHER_STEADY_RATE, plan.steady_s)

    async def _warm_up(self, rate: float) -> None:
        await self._flow(rate, max(WARMS_UP_S, WARMS_UP_COUNTS * self._outcome.devices / rate))
        self._tap.told()

    async def _become_ready(self, began: float) -> None:
        wanted = self._outcome.devices
        found: Mapping[str, int] = {}
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while True:
                    found = await self._site.ask("census")
                    if min(found["connected"], found["subscribed"], found["listed"]) == wanted:
                        break
                    _alive(self._process, self._directory)
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise Gone(f"not ready within {READY_WITHIN_S:.0f} s: {found}") from None
        self._outcome.ready_s = time.monotonic() - began
        self._outcome.ready_cpu_s = sample(self._pid).cpu_s

    async def _rest(self, seconds: float) -> None:
        await asyncio.sleep(RESTS_S)
        outcome = self._outcome
        outcome.ready_mb = resident_bytes(self._pid) / MB
        outcome.kb_per_device = (outcome.ready_mb - (outcome.bare_mb or 0.0)) * 1024 / outcome.devices
        outcome.idle_percent = 100 * _busy(await watch(self._pid, seconds=seconds))

    async def _flow(self, rate: float, seconds: float) -> Mapping[str, Any]:
        """Counts for so long, and then what was sent."""
        await self._site.ask("flood", rate=rate, seconds=seconds, timestamps=True)
        await asyncio.sleep(seconds)
        totals = await self._ended()
        await self._silence(0.5)
        _alive(self._process, self._directory)
        return totals

    async def _ended(self) -> Mapping[str, Any]:
        """What was sent, when no more is."""
        while True:
            totals: Mapping[str, Any] = await self._site.ask("flood_totals")
            if not totals["running"]:
                return totals
            await asyncio.sleep(LOOK_EVERY_S)

    async def _steady(self, rate: float, seconds: float) -> None:
        outcome = self._outcome
        before = sample(self._pid)
        totals = await self._flow(rate, seconds)
        events = int(totals["counts"])
        told, _ = self._tap.told()
        if len(told) < events:
            await self._silence(SILENT_S)
            told += self._tap.told()[0]
        after = sample(self._pid)
        used_s = after.cpu_s - before.cpu_s
        idle_s = (outcome.idle_percent or 0.0) / 100 * (after.at - before.at)
        outcome.steady_events = events
        outcome.steady_others = _others(before, after)
        outcome.cpu_us_per_event = 1e6 * used_s / events
        outcome.cpu_us_per_event_above_idle = 1e6 * (used_s - idle_s) / events
        took = sorted(await self._latencies(told, totals))
        outcome.steady_lost = events - len({(one.room, one.people) for one in told})
        outcome.steady_repeated, outcome.steady_disordered = _out_of_place(told)
        if took:
            outcome.p50_ms = 1000 * statistics.median(took)
            outcome.p99_ms = 1000 * took[len(took) * 99 // 100]
            outcome.max_ms = 1000 * took[-1]

    async def _latencies(self, told: Sequence[Told], totals: Mapping[str, Any]) -> list[float]:
        """From when the simulated device has it to say to the broker's PUBACK on its way back."""
        sent: dict[str, array[float]] = {}
        for room in totals["rooms"]:
            times = await self._site.ask("flood_times", room=room)
            sent[room] = array("d", times["sent_at"])
        return [one.acknowledged_at - sent[one.room][one.people - 1] for one in told]

    async def _commands(self, seconds: float) -> None:
        """Holds in rooms that lie evenly over the site, and then their end, while people are counted."""
        rooms = sorted((await self._site.ask("flood_totals"))["rooms"])
        many = min(len(rooms), round(COMMAND_RATE * seconds))
        chosen = [rooms[turn * len(rooms) // many] for turn in range(many)]
        first = [
            Hold(room=room, name=f"first-{turn:04d}") for turn, room in enumerate(chosen[:WARMS_UP_HOLDS])
        ]
        holds = [Hold(room=room, name=f"hold-{turn:04d}") for turn, room in enumerate(chosen)]
        async with cloud(self._tap.broker_port) as orders:
            for name in ("hold.place", "hold.cancel"):
                given = await orders.give(name, first, rate=COMMAND_RATE)
                if account(given, await self._heard(name, given)).lost:
                    raise Gone(f"{name}: devices heard nothing within {HEARD_WITHIN_S:.0f} s")
            self._around.say(f"{COMMAND_RATE:.0f} holds/s beside {STEADY_RATE:.0f} events/s")
            self._outcome.placed = await self._round(orders, "hold.place", holds)
            self._around.say(f"{COMMAND_RATE:.0f} ends/s beside {STEADY_RATE:.0f} events/s")
            self._outcome.cancelled = await self._round(orders, "hold.cancel", holds)

    async def _round(self, orders: Cloud, name: Name, holds: Sequence[Hold]) -> Commanded:
        rest = self._around.cores.rest
        seconds = len(holds) / COMMAND_RATE + 2 * EVENTS_AROUND_S
        self._tap.told()
        await self._site.ask("flood", rate=STEADY_RATE, seconds=seconds, timestamps=True)
        await asyncio.sleep(EVENTS_AROUND_S)
        before, rest_before_s = sample(self._pid), used_s(rest)
        given = await orders.give(name, holds, rate=COMMAND_RATE)
        after, rest_after_s = sample(self._pid), used_s(rest)
        totals = await self._ended()
        await self._silence(SILENT_S)
        _alive(self._process, self._directory)
        result = account(given, await self._heard(name, given))
        told, _ = self._tap.told()
        result.events = int(totals["counts"])
        result.events_lost = result.events - len({(one.room, one.people) for one in told})
        result.events_acknowledged = spread(await self._latencies(told, totals))
        result.busy = _busy([before, after])
        result.others = _others(before, after)
        result.rest_busy = (rest_after_s - rest_before_s) / (after.at - before.at) / len(rest)
        return result

    async def _heard(self, name: Name, given: Sequence[Given]) -> Heard:
        """What devices heard, when all of it was heard, or nothing more can be hoped for."""
        deadline = time.monotonic() + HEARD_WITHIN_S
        while True:
            displays = await self._site.ask("commands", room="all", name=DISPLAY)
            clears = await self._site.ask("commands", room="all", name=CLEAR)
            found = heard(name, displays, clears)
            if all(one.hold in found for one in given) or time.monotonic() >= deadline:
                return found
            await asyncio.sleep(LOOKS_AGAIN_S)

    async def _flood(self, seconds: float) -> None:
        outcome, pid = self._outcome, self._pid
        await self._site.ask("flood", rate=FLOOD_RATE, seconds=seconds)
        samples = await watch(pid, seconds=seconds)
        began, ended = samples[0], samples[-1]
        totals = await self._ended()
        peak = max(samples, key=lambda one: one.resident_bytes).resident_bytes
        counts: dict[str, int] = {room: one["counts"] for room, one in totals["rooms"].items()}
        told, used_s = await self._drain(counts)
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            peak = max(peak, resident_bytes(pid))
        delivered = len({(one.room, one.people) for one in told})
        all_at = max((one.acknowledged_at for one in told), default=ended.at)
        done_at = all_at if delivered == sum(counts.values()) else time.monotonic()
        even = next(one for one in samples if one.at >= began.at + FLOOD_BEGINS_S)
        meanwhile = sum(even.at <= one.acknowledged_at <= ended.at for one in told)
        seconds_after = Counter(int(one.acknowledged_at - began.at) for one in told)
        outcome.offered_per_s = totals["counts"] / (ended.at - began.at)
        outcome.delivered_per_s = delivered / (done_at - began.at)
        outcome.delivered_meanwhile_per_s = meanwhile / (ended.at - even.at)
        outcome.delivered_each_s = [seconds_after[at] for at in range(max(seconds_after, default=-1) + 1)]
        outcome.delivered_per_cpu_s = delivered / (used_s - began.cpu_s)
        outcome.flood_busy = (ended.cpu_s - even.cpu_s) / (ended.at - even.at)
        outcome.flood_others = _others(even, ended)
        if delivered == sum(counts.values()):
            outcome.flood_drained_s = max(0.0, done_at - ended.at)
        outcome.flood_before_mb = began.resident_bytes / MB
        outcome.flood_peak_mb = peak / MB
        outcome.flood_growth_mb = _growth(samples) / MB
        outcome.flood_held_back = totals["held_back"]
        self._account(told, counts)

    async def _drain(self, counts: Mapping[str, int]) -> tuple[list[Told], float]:
        """All that is acknowledged until all is, or nothing more comes; and the CPU time used by then."""
        outcome, wanted = self._outcome, sum(counts.values())
        told: list[Told] = []
        seen: set[tuple[str, int]] = set()
        outcome.flood_refused = 0
        patience_s = self._around.plan.drain_s
        deadline = time.monotonic() + patience_s
        before = sample(self._pid)
        while True:
            await self._silence(SILENT_S, until=deadline)
            if self._process.returncode is not None:
                outcome.notes.append(f"died in the flood: {tail(self._directory / 'contender.log', 1)}")
                return told + self._tap.told()[0], before.cpu_s
            after = sample(self._pid)
            idle, before = _busy([before, after]) < IDLE, after
            more, refused = self._tap.told()
            told += more
            seen.update((one.room, one.people) for one in more)
            outcome.flood_refused += refused
            if len(seen) >= wanted or (idle and not more):
                return told, after.cpu_s
            if time.monotonic() >= deadline:
                outcome.notes.append(f"had not done with the flood {patience_s:.0f} s after its end")
                return told, after.cpu_s

    async def _silence(self, seconds: float, until: float = float("inf")) -> None:
        """Until nothing was published for so long."""
        heard, since = self._tap.bytes_up, time.monotonic()
        while (now := time.monotonic()) < since + seconds and now < until:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._tap.bytes_up - heard > SILENT_BYTES:
                heard, since = self._tap.bytes_up, now

    def _account(self, told: Sequence[Told], counts: Mapping[str, int]) -> None:
        outcome = self._outcome
        outcome.flood_sent = sum(counts.values())
        outcome.flood_lost = outcome.flood_sent - len({(one.room, one.people) for one in told})
        outcome.flood_repeated, outcome.flood_disordered = _out_of_place(told)


def _out_of_place(told: Sequence[Told]) -> tuple[int, int]:
    """How many were repeated, and how many came after a later one of their room."""
    seen = Counter((one.room, one.people) for one in told)
    last: dict[str, int] = {}
    disordered = 0
    for one in sorted(told, key=lambda one: one.published_at):
        if one.people < last.get(one.room, 0) and seen[one.room, one.people] == 1:
            disordered += 1
        last[one.room] = max(one.people, last.get(one.room, 0))
    return len(told) - len(seen), disordered


def _callback(contender: Contender, directory: Path) -> Authority | None:
    return Authority(directory / "callback") if contender.line == "http" else None


def _busy(samples: Sequence[Sample]) -> float:
    return (samples[-1].cpu_s - samples[0].cpu_s) / (samples[-1].at - samples[0].at)


def _others(before: Sample, after: Sample) -> float:
    """How much of the contender's core was used, but not by the contender."""
    used_s = (after.core_s - before.core_s) - (after.cpu_s - before.cpu_s)
    return max(0.0, used_s) / (after.at - before.at)


def _growth(samples: Sequence[Sample]) -> int:
    """How much higher a flood's last third goes than its second: by then every bounded buffer is full."""
    third = max(1, len(samples) // 3)
    second = max(one.resident_bytes for one in samples[-2 * third : -third] or samples[-third:])
    last = max(one.resident_bytes for one in samples[-third:])
    return last - second


def _alive(process: asyncio.subprocess.Process, directory: Path) -> None:
    if process.returncode is not None:
        raise Gone(f"ended with {process.returncode}: {tail(directory / 'contender.log')}")


@asynccontextmanager
async def _broker(directory: Path, cores: Cores) -> AsyncIterator[Tap]:
    broker = Mosquitto(directory / "broker", receive_maximum=WINDOW, extra=BROKER)
    async with broker, Tap(broker.port) as tap:
        if broker.pid is not None:
            os.sched_setaffinity(broker.pid, cores.rest)
        yield tap


@asynccontextmanager
async def _contender(
    contender: Contender, place: Place, cores: Cores
) -> AsyncIterator[asyncio.subprocess.Process]:
    async with running(
        *contender.command(place),
        where=cores.contender,
        log=place.directory / "contender.log",
        environment=contender.environment,
    ) as process:
        yield process


@asynccontextmanager
async def _site(devices: int, line: LineName, directory: Path, cores: Cores) -> AsyncIterator[Remote]:
    """The simulated site, whose devices offer this line only.

    It yields to the broker and the tap: a flood is what its core has left.
    """
    command = (
        *(
            sys.executable,
            "-m",
            "tests.simulator",
            "--rooms",
            str(devices),
            "--port",
            "0",
            "--script",
            "none",
        ),
        *("--profile", "26.4.1", "--calendar", "hybrid", "--services", line),
        *("--directory", str(directory), "--control", str(directory / "control")),
    )
    log = directory / "simulator.log"
    async with running(*command, where=cores.rest, log=log, nice=5) as process:
        async with asyncio.timeout(STARTS_WITHIN_S):
            while not tail(log).startswith("ready"):
                if process.returncode is not None:
                    raise RuntimeError(f"the simulated site did not start: {tail(log)}")
                await asyncio.sleep(LOOK_EVERY_S)
        async with remote(str(directory / "control")) as site:
            yield site
