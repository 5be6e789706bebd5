"""What Prometheus is told: everything counted and measured, under names and labels that stay few."""

from __future__ import annotations

import asyncio
import platform
import resource
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from agent.core.agenda import agenda
from agent.core.facts import FactKind, Step
from agent.core.model import (
    AnswerStatus,
    CalendarPhase,
    DeviceId,
    DevicePhase,
    DeviceState,
    HoldPhase,
    Room,
    RoomId,
    SensorPhase,
    Transport,
)
from agent.sensing import SensingVitals
from agent.telemetry import memory_bytes
from agent.trending import Vitals
from cloud_link import forwarder, outbox
from cloud_link.contract import RoomReach
from cloud_link.delivery import Durations, Ending, Verdict
from cloud_link.envelope import Heard, room_reach
from device_adapters.link import Tally

if TYPE_CHECKING:
    from cloud_link.calendars.views import IntegrationView

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

ENVELOPES_REFUSED: Final = (Verdict.AGAIN, Verdict.PAUSE, Verdict.UNDELIVERABLE)
TRANSPORTS: Final = frozenset(Transport)
OF_EACH_DEVICE: Final[Mapping[str, str]] = {
    "dials": "Attempts to reach the device.",
    "connects": "Conversations with the device that came to be.",
    "losses": "Conversations with the device that broke.",
    "refusals": "Times the device turned us away, so that a person must act.",
    "failures": "Whatever ended a dial or a conversation, losses and refusals among them.",
    "bugs": "Errors in roomd while it spoke with the device.",
    "messages": "What the device answered and told unasked.",
}
ODDITIES: Final = ("unknown_nodes", "unreadable_values", "stray_answers", "nonsense")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What there is to tell at one moment; nothing of it but `took`, `lag` and tallies may change later."""

    at: datetime
    rooms: Mapping[RoomId, Room]
    capacities: Mapping[RoomId, int | None]
    stats: outbox.Stats
    line: forwarder.Vitals
    commands: Heard
    events_heard: int
    events_ignored: int
    lag: Durations
    clock_synced: bool
    disk_free_bytes: int
    disk_stuck: bool  # the database takes nothing
    stuck: bool  # what the watchdog watches does not move
    sealing_failed: bool  # the recipient's new key cannot be used
    devices: Mapping[DeviceId, Tally]
    calendars: Sequence[IntegrationView] = ()
    trends: Vitals | None = None
    sensing: SensingVitals | None = None  # None: the site has no sensors but its devices' own
    certificates: Mapping[str, Path] = field(
        default_factory=dict
    )  # that we show others, by what they are for


Measure = Callable[[], Awaitable[Measured]]
Counts = Callable[[], Mapping[str, int]]


class Metrics:
    """Counts what passes, and tells it beside what is measured when somebody asks.

    Labels are rooms and devices of the configuration and values of closed enums, so that a series ends with
    what it is about; no title, no person, no address.
    """

    def __init__(self, measure: Measure, *, version: str, site: str, agent: str) -> None:
        self._measure = measure
        self._info = {
            "version": version,
            "python": platform.python_version(),
            "site": site,
            "agent": agent,
        }
        self._facts: Counter[tuple[RoomId, FactKind]] = Counter()
        self._answers: Counter[AnswerStatus] = Counter()
        self._doors: dict[str, tuple[Counts, ...]] = {}
        self._shut: dict[str, Counter[str]] = {}  # what was counted at doors that stand no more, by name
        self._certificates: dict[Path, tuple[int, float]] = {}
        self._started_at_s = time.time()
        self._writing = asyncio.Lock()

    def counted(self, steps: Iterable[Step]) -> None:
        """These are on disk; called for every transaction, so it costs next to nothing."""
        facts, answers = self._facts, self._answers
        for taken in steps:
            room = taken.room.id
            for fact in taken.facts:
                facts[room, fact.kind] += 1
            for answer in taken.answers:
                answers[answer.status] += 1

    def at_door(self, door: str, *counts: Counts) -> None:
        """Callers are counted there from now on; those of an earlier door of this name stay counted."""
        before = self._shut.setdefault(door, Counter())
        for each in self._doors.get(door, ()):
            if each not in counts:  # what is behind the door may be the same as before, and counts on
                before.update(each())
        self._doors[door] = counts

    async def exposition(self) -> bytes:
        """Everything, in Prometheus's text format; of which content `CONTENT_TYPE` says."""
        measured = await self._measure()
        for place in [each for each in self._facts if each[0] not in measured.rooms]:
            del self._facts[place]
        facts = dict(self._facts)
        async with self._writing:  # whoever asks too often must not hold all threads
            return await asyncio.to_thread(self._written, measured, facts)

    def _written(self, measured: Measured, facts: Mapping[tuple[RoomId, FactKind], int]) -> bytes:
        return generate_latest(_Collected(self._told(measured, facts)))

    def _told(self, measured: Measured, facts: Mapping[tuple[RoomId, FactKind], int]) -> Iterator[Metric]:
        yield InfoMetricFamily("roomd_build", "The running roomd.", self._info)
        yield from self._process()
        yield from _house(measured)
        yield from _outbox(measured.stats, measured.line)
        yield from _broker(measured.line)
        yield from self._commands(measured.commands)
        yield _counter(
            "roomd_events_heard", "Events of rooms that went through the core.", measured.events_heard
        )
        yield _counter(
            "roomd_events_ignored",
            "Moves that the tables do not know: counted, never followed.",
            measured.events_ignored,
        )
        told = CounterMetricFamily(
            "roomd_facts_recorded", "Facts that are on disk for the cloud.", labels=("room", "type")
        )
        for (room, kind), count in facts.items():
            told.add_metric((room, kind.value), count)
        yield told
        yield from _devices(measured)
        yield from _sensors(measured)
        yield from _rooms(measured)
        if measured.calendars:
            yield from _calendars(measured)
        if measured.trends is not None:
            yield from _trends(measured.trends)
        yield self._callers()
        if measured.certificates:
            yield self._expiries(measured.certificates)

    def _process(self) -> Iterator[Metric]:
        """As every exporter does; prometheus_client's own wants a /proc that our unit does not let us see."""
        yield _gauge(
            "process_start_time_seconds",
            "When the process was started, as seconds since 1970.",
            self._started_at_s,
        )
        yield _counter(
            "process_cpu_seconds", "User and system time that the process used.", time.process_time()
        )
        yield _gauge("process_resident_memory_bytes", "What the process holds in memory.", memory_bytes())
        yield _gauge(
            "process_open_fds", "Open files and sockets.", len(list(Path("/proc/self/fd").iterdir()))
        )
        yield _gauge(
            "process_max_fds", "As many as may be open.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        )

    def _commands(self, heard: Heard) -> Iterator[Metric]:
        came = CounterMetricFamily(
            "roomd_commands", "Commands that came over the broker.", labels=("outcome",)
        )
        for outcome, count in (
            ("kept", heard.kept),
            ("repeated", heard.repeated),
            ("refused", heard.refused),
        ):
            came.add_metric((outcome,), count)
        yield came
        yield _gauge(
            "roomd_commands_deaf",
            "1 while the broker refuses the subscription to commands.",
            heard.deaf_why is not None,
        )
        given = CounterMetricFamily("roomd_answers", "Answers to commands.", labels=("status",))
        for status in AnswerStatus:
            given.add_metric((status.value,), self._answers[status])
        yield given

    def _callers(self) -> Metric:
        called = CounterMetricFamily(
            "roomd_callers",
            "Who called at a door of ours, and what became of it.",
            labels=("door", "outcome"),
        )
        for door, sources in tuple(self._doors.items()):
            counts = Counter(self._shut[door])
            for each in sources:
                for outcome, count in each().items():
                    counts[outcome] += count  # also those of nobody: the series is there from the start
            for outcome, count in counts.items():
                called.add_metric((door, outcome), count)
        return called

    def _expiries(self, files: Mapping[str, Path]) -> Metric:
        expires = GaugeMetricFamily(
            "roomd_certificate_expiry_timestamp_seconds",
            "When a certificate of ours is valid no more, as seconds since 1970.",
            labels=("use",),
        )
        for use, file in files.items():
            if (at := self._expiry(file)) is not None:
                expires.add_metric((use,), at)
        return expires

    def _expiry(self, file: Path) -> float | None:
        """Of the first certificate in the file; None if it cannot be read."""
        try:
            changed_ns = file.stat().st_mtime_ns
            known = self._certificates.get(file)
            if known is None or known[0] != changed_ns:
                certificate = x509.load_pem_x509_certificates(file.read_bytes())[0]
                known = self._certificates[file] = changed_ns, certificate.not_valid_after_utc.timestamp()
        except (OSError, ValueError):
            return None
        return known[1]


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _gauge(name: str, means: str, value: float) -> Metric:
    return GaugeMetricFamily(name, means, value=value)


def _counter(name: str, means: str, value: float) -> Metric:
    return CounterMetricFamily(name, means, value=value)


def _histogram(name: str, means: str, durations: Durations) -> Metric:
    so_far, buckets = 0, []
    for bound, count in zip((*map(str, durations.up_to_s), "+Inf"), durations.counts, strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    return HistogramMetricFamily(name, means, buckets=buckets, sum_value=durations.sum_s)


# ── the house ─────────────────────────────────────────────────────────────────────────────────────


def _house(measured: Measured) -> Iterator[Metric]:
    yield _gauge(
        "roomd_clock_synced", "1 while a time service keeps the machine's clock.", measured.clock_synced
    )
    yield _gauge(
        "roomd_disk_free_bytes", "What is left on the disk of the database.", measured.disk_free_bytes
    )
    yield _gauge(
        "roomd_database_stuck", "1 while the disk takes nothing of what is recorded.", measured.disk_stuck
    )
    yield _gauge(
        "roomd_stuck",
        "1 while loop, database, rooms or broker line do not move, and the watchdog is not fed.",
        measured.stuck,
    )
    yield _gauge(
        "roomd_sealing_failed",
        "1 while the key for private fields cannot be used as it stands on disk.",
        measured.sealing_failed,
    )
    yield _histogram(
        "roomd_loop_lag_seconds",
        "How late the event loop came to what it had planned, looked at every second.",
        measured.lag,
    )


def _trends(vitals: Vitals) -> Iterator[Metric]:
    yield _gauge("roomd_trends_bytes", "The file of what was counted of rooms, hour by hour.", vitals.bytes)
    yield _gauge("roomd_trends_waiting", "Hours of rooms that could not be written yet.", vitals.waiting)
    yield _counter("roomd_trends_written", "Hours of rooms that are in that file.", vitals.written)
    yield _counter("roomd_trends_lost", "Hours that were never written, as too many waited.", vitals.lost)
    yield _counter("roomd_trends_failures", "Times that the file could not be written.", vitals.failures)


# ── the cloud ─────────────────────────────────────────────────────────────────────────────────────


def _outbox(stats: outbox.Stats, line: forwarder.Vitals) -> Iterator[Metric]:
    yield _gauge("roomd_outbox_envelopes", "Envelopes that are not acknowledged yet.", stats.depth)
    yield _gauge("roomd_outbox_bytes", "Topics and payloads of those.", stats.bytes)
    yield _gauge(
        "roomd_outbox_oldest_age_seconds",
        "How long the oldest of those has been on disk; 0 where there is none.",
        stats.oldest_age_s or 0.0,
    )
    yield _gauge(
        "roomd_outbox_budget_used_ratio", "Share of the outbox's disk budget that is used.", stats.used
    )
    yield _gauge(
        "roomd_outbox_dead_letters_kept",
        "Envelopes that no retry would have helped, kept to be looked at.",
        stats.dead_letters,
    )
    yield _gauge(
        "roomd_outbox_under_way_envelopes",
        "Envelopes that are sent, and not both acknowledged and settled on disk.",
        line.under_way,
    )
    yield _gauge(
        "roomd_outbox_paused",
        "1 while we may not publish, and everything rests.",
        line.paused_why is not None,
    )
    yield _gauge(
        "roomd_outbox_nobody_listens",
        "1 where the broker said of the last event that nobody subscribes to it.",
        line.nobody_listens,
    )
    yield _counter("roomd_outbox_acknowledged", "Envelopes that the broker acknowledged.", line.acknowledged)
    yield _counter(
        "roomd_outbox_sent_again", "Envelopes sent again after a lost connection.", line.sent_again
    )
    yield _counter(
        "roomd_outbox_dead_letters", "Envelopes that no retry would have helped.", line.dead_letters
    )
    yield _counter("roomd_outbox_dropped", "Envelopes that were dropped for want of room.", line.dropped)
    yield _counter("roomd_outbox_gaps", "Records of gaps told to the cloud.", line.gaps)
    refused = CounterMetricFamily(
        "roomd_outbox_refused",
        "Envelopes that the broker did not take, by what was done: again, pause, undeliverable.",
        labels=("verdict",),
    )
    for verdict in ENVELOPES_REFUSED:
        refused.add_metric((verdict.value,), line.refusals.get(verdict, 0))
    yield refused
    yield _histogram(
        "roomd_outbox_delivery_seconds", "From recorded on disk to acknowledged by the broker.", line.took
    )


def _broker(line: forwarder.Vitals) -> Iterator[Metric]:
    yield _gauge("roomd_broker_connected", "1 while events can be sent.", line.connected)
    yield _counter("roomd_broker_connects", "Connections that the broker took.", line.connects)
    ended = CounterMetricFamily(
        "roomd_broker_endings",
        "Connections, and attempts at one, that ended without us wanting it.",
        labels=("ending",),
    )
    for ending in Ending:
        ended.add_metric((ending.value,), line.endings.get(ending, 0))
    yield ended


# ── devices and rooms ─────────────────────────────────────────────────────────────────────────────


def _placed(rooms: Mapping[RoomId, Room]) -> Iterator[tuple[tuple[str, str], DeviceState]]:
    for room in rooms.values():
        for device in room.devices.values():
            yield (device.id, room.id), device


def _devices(measured: Measured) -> Iterator[Metric]:
    labels = ("device", "room")
    phases = GaugeMetricFamily(
        "roomd_device_phase", "1 for the phase that the device is in.", labels=(*labels, "phase")
    )
    lines = GaugeMetricFamily(
        "roomd_device_line", "1 for the line over which the device is heard.", labels=(*labels, "transport")
    )
    shortcomings = GaugeMetricFamily(
        "roomd_device_shortcomings", "What is misconfigured on the device, or missing.", labels=labels
    )
    of_each = {
        name: CounterMetricFamily(f"roomd_device_{name}", means, labels=labels)
        for name, means in OF_EACH_DEVICE.items()
    }
    for where, device in _placed(measured.rooms):
        for phase in DevicePhase:
            phases.add_metric((*where, phase.value), device.phase is phase)
        if device.phase is DevicePhase.CONNECTED and device.transport in TRANSPORTS:
            lines.add_metric((*where, device.transport), 1)
        shortcomings.add_metric(where, len(device.shortcomings))
        if (tally := measured.devices.get(device.id)) is not None:
            for name, family in of_each.items():
                family.add_metric(where, getattr(tally, name))
    yield from (phases, lines, shortcomings, *of_each.values())
    odd = CounterMetricFamily(
        "roomd_device_oddities",
        "What devices said that was not understood or not asked for, all together.",
        labels=("kind",),
    )
    for kind in ODDITIES:
        odd.add_metric((kind,), sum(getattr(tally, kind) for tally in measured.devices.values()))
    yield odd


def _sensors(measured: Measured) -> Iterator[Metric]:
    phases = GaugeMetricFamily(
        "roomd_sensor_phase",
        "1 for the phase that the sensor is in; of those that are not Cisco's.",
        labels=("sensor", "room", "phase"),
    )
    for room in measured.rooms.values():
        for sensor in room.third_party.values():
            for phase in SensorPhase:
                phases.add_metric((sensor.id, room.id, phase.value), sensor.phase is phase)
    yield phases
    line = measured.sensing
    if line is not None:
        up = "1 while the broker of the sensors that are not Cisco's is connected."
        yield GaugeMetricFamily("roomd_sensors_connected", up, value=line.connected)
        messages = "What that broker brought."
        yield CounterMetricFamily("roomd_sensors_messages", messages, value=line.messages)
        unreadable = "What of it could not be understood."
        yield CounterMetricFamily("roomd_sensors_unreadable", unreadable, value=line.unreadable)


def _rooms(measured: Measured) -> Iterator[Metric]:
    reach = GaugeMetricFamily(
        "roomd_room_reach", "1 for how well the room is heard.", labels=("room", "state")
    )
    of_each = {
        name: GaugeMetricFamily(f"roomd_room_{name}", means, labels=("room",))
        for name, means in (
            ("people", "People in the room; missing while that is not known."),
            ("in_use", "1 while the room is in use; missing while that is not known."),
            ("booked", "1 while a booking runs."),
            ("hold_shown", "1 while a hold is on one of the room's screens."),
            ("capacity", "People that the room is made for; missing where the configuration does not say."),
        )
    }
    for name, room in measured.rooms.items():
        reached = room_reach(room)
        for state in RoomReach:
            reach.add_metric((name, state.value), reached is state)
        in_use = room.occupancy.in_use if room.occupancy.in_use is not None else room.occupancy.presence
        values: dict[str, float | None] = {
            "people": room.occupancy.people,
            "in_use": in_use,
            "booked": agenda(room, now=measured.at).current is not None,
            "hold_shown": any(
                hold.phase is HoldPhase.SHOWN and not hold.plain for hold in room.holds.values()
            ),
            "capacity": measured.capacities.get(name),
        }
        for what, value in values.items():
            if value is not None:
                of_each[what].add_metric((name,), value)
    yield from (reach, *of_each.values())


# ── calendars ─────────────────────────────────────────────────────────────────────────────────────


def _calendars(measured: Measured) -> Iterator[Metric]:
    phases = GaugeMetricFamily(
        "roomd_calendar_phase",
        "1 for the phase that the service's calendars are in.",
        labels=("service", "phase"),
    )
    gauges = {
        name: GaugeMetricFamily(f"roomd_calendar_{name}", means, labels=("service",))
        for name, means in (
            ("rooms", "Rooms that are linked to a calendar of the service."),
            ("rooms_readable", "Those whose calendar can be read."),
            ("rooms_pushed", "Those whose changes the service tells us."),
            (
                "oldest_listing_age_seconds",
                "How long ago the room was read that waits longest; of all but Webex.",
            ),
            ("pushes_failing", "1 while changes should be told to us and are not."),
        )
    }
    counters = {
        name: CounterMetricFamily(f"roomd_calendar_{name}", means, labels=("service",))
        for name, means in (
            ("listings", "Readings of a room's day; of all but Webex."),
            ("listing_failures", "Readings that came to nothing."),
            ("pushes", "Changes that the service told us of."),
        )
    }
    for view in measured.calendars:
        service = (view.service.value,)
        for phase in CalendarPhase:
            phases.add_metric((*service, phase.value), view.phase is phase)
        linked = [room for room in view.rooms if room.address is not None]
        listed = [room.listed_at for room in linked if room.listed_at is not None]
        gauges["rooms"].add_metric(service, len(linked))
        gauges["rooms_readable"].add_metric(
            service, sum(room.phase is CalendarPhase.ACTIVE for room in linked)
        )
        gauges["rooms_pushed"].add_metric(service, sum(room.pushed for room in linked))
        gauges["pushes_failing"].add_metric(service, view.pushes is not None)
        if listed:
            age_s = (measured.at - min(listed)).total_seconds()
            gauges["oldest_listing_age_seconds"].add_metric(service, max(0.0, age_s))
        counters["listings"].add_metric(service, view.counts.listed)
        counters["listing_failures"].add_metric(service, view.counts.failed)
        counters["pushes"].add_metric(service, view.counts.hinted)
    yield from (phases, *gauges.values(), *counters.values())
