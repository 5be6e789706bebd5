"""What Prometheus is told: names and types that its own tool likes, few labels, nothing private."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from prometheus_client.parser import text_string_to_metric_families

from agent import trending
from agent.core.devices import furnish
from agent.core.facts import DeviceFact, FactKind, Step
from agent.core.model import (
    Booking,
    BookingKey,
    BookingPhase,
    CalendarPhase,
    Credential,
    Device,
    DeviceId,
    DevicePhase,
    Meeting,
    Occupancy,
    Room,
    RoomId,
    SensorId,
    SensorPhase,
    SensorState,
    Trust,
)
from agent.metrics import Measured, Metrics
from agent.sensing import SensingVitals
from cloud_link import outbox
from cloud_link.calendars.integration import Service
from cloud_link.calendars.matching import Ground
from cloud_link.calendars.views import Counts, IntegrationView, RoomView
from cloud_link.delivery import Durations, Ending, Verdict
from cloud_link.envelope import Heard
from cloud_link.forwarder import Vitals
from device_adapters.link import Tally
from device_adapters.receiver import Callers
from tests.brokers.authority import Authority

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
DOCUMENTED = ROOT / "docs" / "metrics.md"
DASHBOARD = PACKAGING / "grafana" / "roomd.json"
RULES = PACKAGING / "prometheus" / "roomd.rules.yml"
PRIVATE = "Redundancies in Oslo", "kari.nordmann@example.com"
FJORD, VIDDA = RoomId("fjord"), RoomId("vidda")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def device(room: RoomId) -> Device:
    return Device(
        id=DeviceId(f"{room}-board"),
        room=room,
        host="192.0.2.9",
        port=443,
        credential=Credential(username="secret-user", password_file=Path("/nowhere")),
        trust=Trust(),
    )


def room(name: RoomId, **more: Any) -> Room:  # noqa: ANN401
    return replace(furnish(None, name, (device(name),), now=NOON), **more)


def heard(there: Room, **more: Any) -> Room:  # noqa: ANN401
    devices = {
        id_: replace(state, phase=DevicePhase.CONNECTED, transport="websocket", **more)
        for id_, state in there.devices.items()
    }
    return replace(there, devices=devices)


def booking() -> Booking:
    title, organizer = PRIVATE
    return Booking(
        key=BookingKey("b1"),
        phase=BookingPhase.STARTED,
        starts_at=NOON - timedelta(minutes=5),
        ends_at=NOON + timedelta(minutes=55),
        since=NOON,
        seen_at=NOON,
        meeting=Meeting(title=title, organizer=organizer),
    )


def measured(rooms: Iterable[Room], **more: Any) -> Measured:  # noqa: ANN401
    took = Durations()
    took.count(0.02)
    took.count(90_000.0)
    known = {each.id: each for each in rooms}
    return Measured(
        at=NOON,
        rooms=known,
        capacities=dict.fromkeys(known, 8),
        stats=outbox.Stats(
            depth=3,
            bytes=900,
            oldest_age_s=12.5,
            replayable=0,
            replayable_bytes=0,
            dead_letters=1,
            gaps=0,
            dropped=0,
            streams=2,
            used=0.25,
            epoch="e",
            connection=2,
        ),
        line=Vitals(
            connected=True,
            connection=2,
            acknowledged=2,
            since_acknowledged_s=1.0,
            reconnects=1,
            sent_again=1,
            dead_letters=1,
            dropped=0,
            gaps=1,
            nobody_listens=False,
            paused_why=None,
            away_why=None,
            under_way=1,
            used=0.25,
            took=took,
            connects=2,
            endings={Ending.REFUSED: 4},
            refusals={Verdict.PAUSE: 5},
        ),
        commands=Heard(kept=1, repeated=2, refused=3, deaf_why=None),
        events_heard=100,
        events_ignored=1,
        lag=Durations(),
        clock_synced=True,
        disk_free_bytes=10**9,
        disk_stuck=False,
        stuck=False,
        sealing_failed=False,
        devices={
            state.id: Tally(dials=2, connects=1, losses=1, messages=50, unreadable_values=7)
            for each in known.values()
            for state in each.devices.values()
        },
        **more,
    )


class Scraped:
    """One exposition as Prometheus reads it."""

    def __init__(self, text: bytes) -> None:
        self.text = text.decode()
        self.families = list(text_string_to_metric_families(self.text))
        self.samples: Samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, frozenset(labels.items())))

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


def metrics_of(*sights: Measured) -> Metrics:
    waiting = list(sights)

    async def measure() -> Measured:
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return Metrics(measure, version="1.2.3", site="oslo", agent="roomd-1")


def a_calendar() -> IntegrationView:
    return IntegrationView(
        service=Service.GOOGLE,
        phase=CalendarPhase.REVOKED,
        since=NOON,
        why="consent is gone",
        rooms=(
            RoomView(
                room=FJORD,
                address="fjord@example.com",
                ground=Ground.BY_HAND,
                phase=CalendarPhase.ACTIVE,
                why=None,
                listed_at=NOON - timedelta(minutes=4),
                pushed=True,
            ),
            RoomView(
                room=VIDDA,
                address=None,
                ground=None,
                phase=CalendarPhase.CONNECTING,
                why=None,
                listed_at=None,
                pushed=False,
            ),
        ),
        counts=Counts(listed=9, failed=2, hinted=4),
    )


CEILING = SensorId("fjord-ceiling")


async def everything(tmp_path: Path) -> Scraped:
    """An exposition in which every family has a sample."""
    authority = Authority(tmp_path)
    fjord = heard(
        room(
            FJORD,
            bookings={BookingKey("b1"): booking()},
            occupancy=Occupancy(people=3, presence=True, in_use=True),
            third_party={CEILING: SensorState(id=CEILING, phase=SensorPhase.STALE, since=NOON)},
        ),
        shortcomings=("PeopleCountOutOfCall is off",),
    )
    metrics = metrics_of(
        measured(
            (fjord, room(VIDDA)),
            calendars=(a_calendar(),),
            certificates={"broker": authority.certificate_file, "feedback": tmp_path / "none.pem"},
            sensing=SensingVitals(connected=True, messages=31, unreadable=2),
            trends=trending.Vitals(written=48, waiting=2, lost=0, failures=1, bytes=20480),
        )
    )
    metrics.at_door("feedback", Callers(strangers=3).counts)
    metrics.counted([connected(fjord), connected(fjord)])
    return Scraped(await metrics.exposition())


def promtool(arguments: Sequence[str], directory: Path, *, stdin: str = "") -> None:
    """Prometheus's own tool; what it says if it does not like something."""
    tool = shutil.which("promtool")
    assert tool, "no promtool: make bootstrap brings it (Debian package prometheus)"
    ended = subprocess.run(
        [tool, *arguments], input=stdin, cwd=directory, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr


def connected(there: Room) -> Step:
    (state,) = there.devices.values()
    return Step(room=there, facts=(DeviceFact(kind=FactKind.DEVICE_CONNECTED, at=NOON, device=state),))


async def test_what_is_counted_and_measured_is_told(tmp_path):
    told = await everything(tmp_path)
    board = {"device": "fjord-board", "room": "fjord"}
    assert told("roomd_facts_recorded_total", room="fjord", type="device.connected") == 2
    assert told("roomd_device_phase", **board, phase="connected") == 1
    assert told("roomd_device_phase", **board, phase="lost") == 0
    assert told("roomd_device_phase", device="vidda-board", room="vidda", phase="unheard") == 1
    assert told("roomd_device_line", **board, transport="websocket") == 1
    assert told("roomd_device_messages_total", **board) == 50
    assert told("roomd_device_shortcomings", **board) == 1
    assert told("roomd_device_oddities_total", kind="unreadable_values") == 14
    assert told("roomd_room_people", room="fjord") == 3
    assert told("roomd_room_people", room="vidda") is None  # not known is not nobody
    assert told("roomd_room_booked", room="fjord") == 1
    assert told("roomd_room_reach", room="fjord", state="degraded") == 1
    assert told("roomd_outbox_oldest_age_seconds") == 12.5
    assert told("roomd_outbox_delivery_seconds_count") == 2
    assert told("roomd_outbox_delivery_seconds_bucket", le="0.025") == 1
    assert told("roomd_broker_endings_total", ending="refused") == 4
    assert told("roomd_outbox_refused_total", verdict="pause") == 5
    assert told("roomd_calendar_phase", service="google", phase="revoked") == 1
    assert told("roomd_calendar_rooms", service="google") == 1
    assert told("roomd_calendar_oldest_listing_age_seconds", service="google") == 240
    assert told("roomd_callers_total", door="feedback", outcome="strangers") == 3
    assert told("roomd_callers_total", door="feedback", outcome="impostors") == 0
    ours = x509.load_pem_x509_certificate((tmp_path / "certificate.pem").read_bytes())
    expires_at = told("roomd_certificate_expiry_timestamp_seconds", use="broker")
    assert expires_at == ours.not_valid_after_utc.timestamp()
    assert told("roomd_certificate_expiry_timestamp_seconds", use="feedback") is None
    assert told("process_resident_memory_bytes")
    assert told("roomd_trends_written_total") == 48
    assert told("roomd_trends_waiting") == 2


async def test_prometheus_own_tool_likes_it(tmp_path):
    told = await everything(tmp_path)
    promtool(["check", "metrics"], tmp_path, stdin=told.text)


async def test_nothing_private_is_a_label_or_a_value(tmp_path):
    text = (await everything(tmp_path)).text
    for private in (*PRIVATE, "fjord@example.com", "192.0.2.9", "secret-user", "consent is gone"):
        assert private not in text


async def test_who_is_gone_is_told_of_no_more():
    fjord, vidda = heard(room(FJORD)), heard(room(VIDDA))
    metrics = metrics_of(measured((fjord, vidda)), measured((fjord,)), measured((fjord, vidda)))
    metrics.counted([connected(fjord), connected(vidda)])
    assert "vidda" in (await metrics.exposition()).decode()
    assert "vidda" not in (await metrics.exposition()).decode()  # the file was changed, and read again
    told = Scraped(await metrics.exposition())
    assert told("roomd_facts_recorded_total", room="vidda", type="device.connected") is None
    assert told("roomd_facts_recorded_total", room="fjord", type="device.connected") == 1


async def test_a_door_that_is_opened_anew_goes_on_counting():
    metrics = metrics_of(measured(()))
    metrics.at_door("pushes", lambda: {"told": 4, "strangers": 1}, lambda: {"turned_away": 2})
    metrics.at_door("pushes", lambda: {"told": 3, "strangers": 0}, lambda: {"turned_away": 0})
    told = Scraped(await metrics.exposition())
    assert told("roomd_callers_total", door="pushes", outcome="told") == 7
    assert told("roomd_callers_total", door="pushes", outcome="turned_away") == 2


async def test_who_called_what_is_behind_a_door_is_counted_once_however_often_the_door_is_opened():
    metrics, behind = metrics_of(measured(())), Callers(posts=4)
    for _ in range(3):
        metrics.at_door("feedback", behind.counts, lambda: {"turned_away": 1})
    told = Scraped(await metrics.exposition())
    assert told("roomd_callers_total", door="feedback", outcome="posts") == 4
    assert told("roomd_callers_total", door="feedback", outcome="turned_away") == 3


async def test_a_series_is_there_for_each_room_and_device_and_not_for_what_they_do():
    rooms = [heard(room(RoomId(f"room-{number}"))) for number in range(50)]
    metrics = metrics_of(measured(rooms))
    for there in rooms:
        for number in range(20):
            met = {BookingKey(f"b{number}"): replace(booking(), key=BookingKey(f"b{number}"))}
            metrics.counted([replace(connected(there), room=replace(there, bookings=met))])
    many = len(Scraped(await metrics.exposition()).samples)
    few = len(Scraped(await metrics_of(measured(())).exposition()).samples)
    assert (many - few) / len(rooms) < 30
