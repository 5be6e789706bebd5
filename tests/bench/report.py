"""What was measured, side by side, with what was to be reached."""

import os
import platform
import sqlite3
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tests.bench.cloud import Commanded, Spread
from tests.bench.contenders import CONTENDERS, WINDOW, LineName, Trial
from tests.bench.processes import Cores
from tests.bench.trial import COMMAND_RATE, OTHER_STEADY_RATE, STEADY_RATE, WARMS_UP_HOLDS, Outcome

Table = Literal["websocket", "commands", "other"]
Shown = Callable[[Outcome], float | int | str | None]

CPU_TO_FLOOR: Final = 1.5
FLOOD_AT_LEAST: Final = 12_000.0
P99_MS: Final = 25.0
READY_S: Final = 10.0
KB_PER_DEVICE: Final = 100.0
GROWTH_MB: Final = 4.0  # less than that is the allocator's own business
DISTURBED: Final = 0.1  # of its core, by others
FULL: Final = 0.9  # of the other cores: broker and devices wait for each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    what: str
    value: Shown
    form: str = "{:.0f}"
    ratio: bool = False  # to the floor


LINES: Final = (
    Line(what="on disk before it leaves", value=lambda o: "yes" if o.durable else "no", form="{}"),
    Line(
        what="ready: connected, subscribed, listed, s", value=lambda o: o.ready_s, form="{:.2f}", ratio=True
    ),
    Line(what="memory without devices, MB", value=lambda o: o.bare_mb, form="{:.1f}"),
    Line(what="memory per device, KB", value=lambda o: o.kb_per_device, ratio=True),
    Line(what="idle, % of a core", value=lambda o: o.idle_percent, form="{:.2f}"),
    Line(what="CPU per event at 500/s, µs", value=lambda o: o.cpu_us_per_event, ratio=True),
    Line(what="  of that above idle, µs", value=lambda o: o.cpu_us_per_event_above_idle, ratio=True),
    Line(what="frame to PUBACK at 500/s, p50, ms", value=lambda o: o.p50_ms, form="{:.2f}", ratio=True),
    Line(what="  p99, ms", value=lambda o: o.p99_ms, form="{:.2f}", ratio=True),
    Line(what="  longest, ms", value=lambda o: o.max_ms, form="{:.1f}"),
    Line(
        what="  events, and of these lost", value=lambda o: _pair(o.steady_events, o.steady_lost), form="{}"
    ),
    Line(what="  others on its core meanwhile", value=lambda o: o.steady_others, form="{:.0%}"),
    Line(what="flood: offered, events/s", value=lambda o: o.offered_per_s),
    Line(what="  acknowledged until the last, events/s", value=lambda o: o.delivered_per_s, ratio=True),
    Line(what="  acknowledged meanwhile, events/s", value=lambda o: o.delivered_meanwhile_per_s, ratio=True),
    Line(what="  per second of its own CPU", value=lambda o: o.delivered_per_cpu_s, ratio=True),
    Line(what="  of its core used meanwhile", value=lambda o: o.flood_busy, form="{:.0%}"),
    Line(what="  others on its core meanwhile", value=lambda o: o.flood_others, form="{:.0%}"),
    Line(what="  memory before, MB", value=lambda o: o.flood_before_mb, form="{:.1f}"),
    Line(what="  at its highest, MB", value=lambda o: o.flood_peak_mb, form="{:.1f}"),
    Line(what="  growth, second to last third, MB", value=lambda o: o.flood_growth_mb, form="{:+.1f}"),
    Line(what="  sent", value=lambda o: o.flood_sent, form="{}"),
    Line(what="  lost", value=lambda o: o.flood_lost, form="{}"),
    Line(what="  repeated", value=lambda o: o.flood_repeated, form="{}"),
    Line(what="  out of order", value=lambda o: o.flood_disordered, form="{}"),
    Line(what="  all acknowledged after its end, s", value=lambda o: o.flood_drained_s, form="{:.1f}"),
    Line(what="stopped within, s", value=lambda o: o.stopped_s, form="{:.2f}"),
)
# Over SSH and HTTP: no floor, no flood, and no target.
OTHER_LINES: Final = (
    Line(what="on disk before it leaves", value=lambda o: "yes" if o.durable else "no", form="{}"),
    Line(what="ready: connected, subscribed, listed, s", value=lambda o: o.ready_s, form="{:.2f}"),
    Line(what="  of its own CPU, s", value=lambda o: o.ready_cpu_s, form="{:.2f}"),
    Line(what="memory without devices, MB", value=lambda o: o.bare_mb, form="{:.1f}"),
    Line(what="memory per device, KB", value=lambda o: o.kb_per_device),
    Line(what="idle, % of a core", value=lambda o: o.idle_percent, form="{:.2f}"),
    Line(what=f"CPU per event at {OTHER_STEADY_RATE:.0f}/s, µs", value=lambda o: o.cpu_us_per_event),
    Line(what="  of that above idle, µs", value=lambda o: o.cpu_us_per_event_above_idle),
    Line(
        what=f"feedback to PUBACK at {OTHER_STEADY_RATE:.0f}/s, p50, ms",
        value=lambda o: o.p50_ms,
        form="{:.2f}",
    ),
    Line(what="  p99, ms", value=lambda o: o.p99_ms, form="{:.2f}"),
    Line(what="  longest, ms", value=lambda o: o.max_ms, form="{:.1f}"),
    Line(what="  sent", value=lambda o: o.steady_events, form="{}"),
    Line(what="  lost", value=lambda o: o.steady_lost, form="{}"),
    Line(what="  repeated", value=lambda o: o.steady_repeated, form="{}"),
    Line(what="  out of order", value=lambda o: o.steady_disordered, form="{}"),
    Line(what="  others on its core meanwhile", value=lambda o: o.steady_others, form="{:.0%}"),
    Line(what="stopped within, s", value=lambda o: o.stopped_s, form="{:.2f}"),
)


def _round_lines(which: Callable[[Outcome], Commanded | None], told: str) -> tuple[Line, ...]:
    """One round of commands, and what went on beside it."""

    def of(value: Callable[[Commanded], float | int | str | None]) -> Shown:
        def shown(outcome: Outcome) -> float | int | str | None:
            round_ = which(outcome)
            return None if round_ is None else value(round_)

        return shown

    def times(what: str, spread: Callable[[Commanded], Spread | None]) -> tuple[Line, ...]:
        def of_it(value: Callable[[Spread], float]) -> Shown:
            return of(lambda c: None if (found := spread(c)) is None else value(found))

        below = " " * (len(what) - len(what.lstrip()) + 2)
        return (
            Line(what=f"{what}, p50, ms", value=of_it(lambda s: s.p50_ms), form="{:.1f}", ratio=True),
            Line(what=f"{below}p99, ms", value=of_it(lambda s: s.p99_ms), form="{:.1f}", ratio=True),
            Line(what=f"{below}longest, ms", value=of_it(lambda s: s.max_ms), form="{:.1f}"),
        )

    return (
        *times(told, lambda c: c.heard),
        Line(what="  sent", value=of(lambda c: c.sent), form="{}"),
        Line(what="  lost", value=of(lambda c: c.lost), form="{}"),
        Line(what="  heard more than once", value=of(lambda c: c.repeated), form="{}"),
        *times("  to the answer at the cloud", lambda c: c.answered),
        Line(
            what="  not answered `done`",
            value=lambda o: of(lambda c: c.not_done)(o) if o.contender in ANSWERING else None,
            form="{}",
        ),
        Line(what="  written late by, at most, ms", value=of(lambda c: c.late_ms), form="{:.1f}"),
        *times("  events: frame to PUBACK", lambda c: c.events_acknowledged),
        Line(
            what="    events, and of these lost",
            value=of(lambda c: _pair(c.events, c.events_lost)),
            form="{}",
        ),
        Line(what="  of its core used meanwhile", value=of(lambda c: c.busy), form="{:.0%}"),
        Line(what="  others on its core meanwhile", value=of(lambda c: c.others), form="{:.0%}"),
        Line(what="  of the other cores used meanwhile", value=of(lambda c: c.rest_busy), form="{:.0%}"),
    )


ANSWERING: Final = frozenset(contender.name for contender in CONTENDERS if contender.answers)
COMMAND_LINES: Final = (
    Line(what="on disk before it is acknowledged", value=lambda o: "yes" if o.durable else "no", form="{}"),
    *_round_lines(lambda o: o.placed, "hold.place to the device's screen"),
    *_round_lines(lambda o: o.cancelled, "hold.cancel to its Clear"),
)
FLOORS: Final = frozenset({"floor", "floor-commands"})
TITLES: Final = {contender.name: contender.title for contender in CONTENDERS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    what: str
    devices: int
    reached: bool | None  # None: not measured
    found: str

    def __str__(self) -> str:
        verdict = {True: "met", False: "MISSED", None: "not measured"}[self.reached]
        return f"{verdict:<13} {self.devices:>5} devices  {self.what}: {self.found}"


def table_of(trial: Trial, line: LineName) -> Table:
    """Which contenders stand side by side."""
    if line != "websocket":
        return "other"
    return "commands" if trial == "commands" else "websocket"


def tables(outcomes: Sequence[Outcome]) -> list[str]:
    """For each number of devices: over WebSocket, then from command to screen, then over the other lines."""
    shapes: Mapping[Table, tuple[str, Sequence[Line]]] = {
        "websocket": ("", LINES),
        "commands": (f", {COMMAND_RATE:.0f} commands/s beside {STEADY_RATE:.0f} events/s", COMMAND_LINES),
        "other": (", other lines", OTHER_LINES),
    }
    return [
        _table(f"{devices} devices{title}", mine, lines)
        for table, (title, lines) in shapes.items()
        for devices, mine in _by_devices(
            [outcome for outcome in outcomes if table_of(outcome.trial, outcome.line) == table]
        )
    ]


def _by_devices(outcomes: Sequence[Outcome]) -> list[tuple[int, list[Outcome]]]:
    found: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.devices, []).append(outcome)
    return sorted(found.items())


def _table(title: str, mine: Sequence[Outcome], wanted: Sequence[Line]) -> str:
    """Contenders side by side; in brackets the ratio to the floor."""
    floor = next((outcome for outcome in mine if outcome.contender in FLOORS), None)
    rows = [[title, *(TITLES[outcome.contender] for outcome in mine)]]
    rows += [[line.what, *(_cell(line, outcome, floor) for outcome in mine)] for line in wanted]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    lines.insert(1, "─" * len(lines[0]))
    for outcome in mine:
        notes = [outcome.error, *outcome.notes]
        rounds = [round_ for round_ in (outcome.placed, outcome.cancelled) if round_ is not None]
        others = (outcome.steady_others, outcome.flood_others, *(round_.others for round_ in rounds))
        if max(found or 0.0 for found in others) > DISTURBED:
            notes.append("disturbed: others used its core, so the numbers are worse than it is")
        if max((round_.rest_busy or 0.0 for round_ in rounds), default=0.0) > FULL:
            notes.append("disturbed: the other cores were full, so broker and devices were late themselves")
        lines += [f"{TITLES[outcome.contender]}: {note}" for note in notes if note]
    return "\n".join(lines)


def targets(outcomes: Sequence[Outcome]) -> list[Target]:
    found = {(outcome.contender, outcome.devices): outcome for outcome in outcomes}
    result: list[Target] = []
    for devices in sorted({outcome.devices for outcome in outcomes}):
        roomd = found.get(("roomd", devices))
        if roomd is not None:
            result += _targets(roomd, found.get(("floor", devices)), found.get(("xows", devices)))
    return result


def _targets(roomd: Outcome, floor: Outcome | None, xows: Outcome | None) -> list[Target]:
    def target(what: str, value: float | None, good: Callable[[float], bool], form: str) -> Target:
        reached = None if value is None else good(value)
        text = "–" if value is None else form.format(value)
        return Target(what=what, devices=roomd.devices, reached=reached, found=text)

    to_floor = _over(roomd.cpu_us_per_event, floor.cpu_us_per_event if floor else None)
    to_xows = _over(roomd.cpu_us_per_event, xows.cpu_us_per_event if xows else None)
    result = [
        target(
            f"CPU per event within {CPU_TO_FLOOR} of the floor",
            to_floor,
            lambda v: v <= CPU_TO_FLOOR,
            "{:.2f}",
        ),
        target(
            "CPU per event no more than xows with aiomqtt, at 500/s",
            to_xows,
            lambda v: v <= 1.0,
            "{:.2f} of it",
        ),
        target(f"p99 under {P99_MS:.0f} ms", roomd.p99_ms, lambda v: v < P99_MS, "{:.1f} ms"),
        target(
            f"{FLOOD_AT_LEAST:,.0f} events/s or more on one core, until the last",
            roomd.delivered_per_s,
            lambda v: v >= FLOOD_AT_LEAST,
            "{:,.0f}/s",
        ),
        target(
            "no growth of memory in a flood",
            roomd.flood_growth_mb,
            lambda v: v < GROWTH_MB,
            "{:+.1f} MB",
        ),
        target(
            "nothing lost in a flood",
            roomd.flood_lost,
            lambda v: v == 0,
            "{:.0f} of " + f"{roomd.flood_sent}",
        ),
    ]
    if roomd.devices >= 1000:
        result += [
            target(f"ready within {READY_S:.0f} s", roomd.ready_s, lambda v: v <= READY_S, "{:.1f} s"),
            target(
                f"under {KB_PER_DEVICE:.0f} KB per device",
                roomd.kb_per_device,
                lambda v: v < KB_PER_DEVICE,
                "{:.0f} KB",
            ),
        ]
    return result


def machine(cores: Cores, sync_ms: float) -> Mapping[str, Any]:
    load = os.getloadavg()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "contender_on": sorted(cores.contender),
        "rest_on": sorted(cores.rest),
        "load_before": round(load[0], 2),
        "fdatasync_ms": round(sync_ms, 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION.split()[1],
        "sqlite": sqlite3.sqlite_version,
    }


def text(
    outcomes: Sequence[Outcome], about: Mapping[str, Any], versions: Mapping[str, Mapping[str, str]]
) -> str:
    parts = tables(outcomes)
    judged = targets(outcomes)
    if judged:
        parts.append("\n".join(["To reach", *(f"  {target}" for target in judged)]))
    told = list(dict.fromkeys(f"  {TITLES[name]}: {_listed(found)}" for name, found in versions.items()))
    parts.append("\n".join([f"Machine: {_listed(about)}", *told]))
    if outcomes:
        parts.append(HOW)
    return "\n\n".join(parts)


def sizing(outcomes: Sequence[Outcome], about: Mapping[str, Any]) -> str:
    """The table of docs/operations.md, in Markdown."""

    def cell(value: float | None, form: str, unit: str = "") -> str:
        return "–" if value is None else f"{value:{form}} {unit}".strip()

    lines = [
        (
            "| devices | ready after | memory | in a flood | a core, at rest | a core, at 500 events/s "
            "| device to broker, 99 of 100 | most events/s |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in outcomes:
        busy = None if one.cpu_us_per_event is None else one.cpu_us_per_event * 500 / 10_000
        lines.append(
            f"| {one.devices:,} | {cell(one.ready_s, '.1f', 's')} | {cell(one.ready_mb, '.0f', 'MB')} "
            f"| {cell(one.flood_peak_mb, '.0f', 'MB')} | {cell(one.idle_percent, '.1f', '%')} "
            f"| {cell(busy, '.0f', '%')} | {cell(one.p99_ms, '.0f', 'ms')} "
            f"| {cell(one.delivered_per_s, ',.0f')} |"
        )
    errors = [f"{one.devices} devices: {one.error}" for one in outcomes if one.error]
    where = (
        f"Measured with `python -m tests.bench --sizing` on {about['processor']}, kernel {about['kernel']}."
    )
    return "\n".join([*lines, "", where, *errors])


def plain(
    outcomes: Sequence[Outcome], about: Mapping[str, Any], versions: Mapping[str, Mapping[str, str]]
) -> Mapping[str, Any]:
    return {
        "machine": about,
        "versions": versions,
        "outcomes": [asdict(outcome) for outcome in outcomes],
        "targets": [asdict(target) for target in targets(outcomes)],
    }


HOW: Final = f"""\
How: each contender alone on one core, in a process of its own; the simulated site, mosquitto (QoS 1, window
{WINDOW}, persistence off) and this program on the rest. Devices over TLS, the broker without. In brackets:
the ratio to the floor.
Ready: from the start of the process until the simulated site has seen every device connected, subscribed
and asked for its bookings. Memory per device: resident, above the same process without devices.
CPU: user and system time of the whole process at {STEADY_RATE:.0f} events/s, divided by the events, idle work
included.
Frame to PUBACK: from the simulator's writing of a frame until the broker's PUBACK passes a tap between
contender and broker; the contender's own reading of the PUBACK comes after that.
Flood: more than the durable ones can do, for some seconds. "Until the last": all of it, over the time from
its beginning until the last PUBACK. "Meanwhile": what was acknowledged while it lasted. "Per second of its
own CPU": what a contender could do where the other core was what limited. Growth: the highest of the
flood's last third over the highest of its second, by when every bounded buffer is full; "at its highest"
says what they take.
roomd and the floor verify the devices' certificates and wait up to 8 ms for company in a transaction.
Cisco's clients do not verify them, and with them nothing is on disk.
Commands: in a trial of its own over WebSocket, to rooms that lie evenly over the site, one each, after
{WARMS_UP_HOLDS} that are not counted. From when this program writes the command to the broker until the
simulated device has read and decoded the Display (at the end of the hold, the Clear): so the broker, the
tap, and the site's TLS are in it, and whatever else these three had their core for just then. No screen is
drawn. roomd judges the command, keeps it on disk, acknowledges it, keeps the hold and what is told of it
on disk, and only then asks the device. Its only answer to a hold is `done`, when it is kept and not when
it is shown; it is timed when this program has read it. The floor keeps the command on disk, acknowledges it
and asks the device, which is less: it judges nothing and answers nothing. A p99 of some hundred commands is
its few worst.
Other lines: no floor and no target; the devices offer only the line that is measured. roomd-http is called
back through HttpFeedback, over TLS with a certificate that the devices verify. Memory and idle CPU are read
after each device has been heard, because over HTTP it dials only then. What roomd does now and then to find
what was not told (looking at devices over HTTP, asking shells what is registered) is seen only by chance.
Feedback to PUBACK begins where the simulated device has it to tell: encrypting it, and over HTTP posting
it, is the simulator's and is in it, as is its share of "ready"; "of its own CPU" is the contender's alone.
roomd asks for all that it uses, jsxapi for people counts only. roomd-ssh checks the devices' host keys,
jsxapi-ssh does not: it has no way to."""


def _cell(line: Line, outcome: Outcome, floor: Outcome | None) -> str:
    value = line.value(outcome)
    if value is None:
        return "–"
    cell = line.form.format(value)
    if not line.ratio or floor is None or isinstance(value, str):
        return cell
    base = line.value(floor)
    ratio = None if isinstance(base, str) else _over(value, base)
    return cell if ratio is None else f"{cell} ({ratio:.2f})"


def _over(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _pair(first: int | None, second: int | None) -> str | None:
    return None if first is None else f"{first}, {second}"


def _listed(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
