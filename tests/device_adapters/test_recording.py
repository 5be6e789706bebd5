"""A day of a device is recorded over real lines, and what comes of the recording is what came of the day."""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import available_timezones

import pytest

from agent.clock import Clock
from agent.core.events import (
    BookingCreated,
    BookingRequested,
    BookingsListed,
    CallsCounted,
    DeviceConnected,
    DeviceLost,
    PeopleCounted,
    RoomEvent,
)
from agent.core.model import Device, Transport, Trust
from agent.record import hear
from device_adapters.conversation import Dial
from device_adapters.http import Http
from device_adapters.recording import Recorder
from device_adapters.ssh import Shells
from device_adapters.websocket import WebSockets
from tests.device_adapters.replayed import replayed
from tests.device_adapters.stage import Scripted, configured, scripted
from tests.simulator import Answer, ManualClock, Site
from tests.simulator import Device as Simulated
from tests.simulator.replay import NoRecording, Replay, question, read

pytestmark = pytest.mark.slow

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
SHIFT = datetime(2024, 1, 15, tzinfo=UTC) - datetime(2026, 3, 2, tzinfo=UTC)
DIALS: dict[Transport, Callable[[], Dial]] = {
    Transport.WEBSOCKET: WebSockets,
    Transport.SSH: Shells,
    Transport.HTTP: lambda: Http(poll_every_s=0.1),
}
WITHIN_S = 20.0


class Listener:
    """What a link delivered, and waiting for it."""

    def __init__(self) -> None:
        self.events: list[RoomEvent] = []
        self.facts = 0
        self._news = asyncio.Event()

    def tell(self, events: Sequence[RoomEvent]) -> None:
        self.events += events
        self._news.set()

    async def until(self, kind: type[RoomEvent], times: int = 1) -> None:
        async with asyncio.timeout(WITHIN_S):
            while sum(isinstance(event, kind) for event in self.events) < times:
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def listening(device: Device, dial: Dial, *, at: datetime = NINE) -> AsyncIterator[Listener]:
    """A link of which one knows what it delivers; its clock begins then."""
    began = time.monotonic()
    clock = Clock(wall=lambda: at.timestamp() + time.monotonic() - began)
    listener = Listener()
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(
            hear(device, dial, tell=listener.tell, take=lambda _: None, clock=clock, timezone=UTC),
            name="hearing",
        )
        yield listener
        hearing.cancel()


def recorder(dial: Dial, lines: list[bytes]) -> Recorder:
    began = time.monotonic()
    return Recorder(
        dial,
        lines.append,
        began_at=NINE,
        elapsed=lambda: time.monotonic() - began,
        zones=frozenset(available_timezones()),
    )


def kept(lines: list[bytes], directory: Path) -> Path:
    file = directory / "recording.jsonl"
    file.write_bytes(b"".join(lines))
    return file


def over(simulated: Simulated, transport: Transport, directory: Path) -> Device:
    trust = Trust(fingerprint=f"sha256:{simulated.fingerprint}", host_key=simulated.host_key)
    device = configured(simulated, directory, trust=trust)
    return replace(device, ssh_port=simulated.ssh_port, transports=(transport,))


async def a_day(site: Site, device: Simulated, listener: Listener, *, polled: bool) -> None:
    """People come, somebody books on the device, somebody else in Outlook, and there is a call."""
    await listener.until(BookingsListed)
    device.count_people(4)
    await listener.until(PeopleCounted)
    if not polled:
        device.request_booking("Merger with Acme", answer=Answer(after_s=20))
        await listener.until(BookingRequested)
        site.advance(20)
        await listener.until(BookingCreated)
    device.book_in_outlook("Salary talk", start=device.now() + timedelta(hours=2))
    await listener.until(BookingsListed, 2)
    calls = sum(isinstance(event, CallsCounted) for event in listener.events)
    device.start_call()
    await listener.until(CallsCounted, calls + 1)


def likeness(events: Sequence[RoomEvent], *, shift: timedelta = timedelta()) -> list[object]:
    """Events with every word of a device's as the number of its first coming, and times moved."""
    words: dict[str, int] = {}
    constant = {"cause", "platform", "shortcomings", "lacks"}
    ours = {"device", "asked_at", "transport", "transport_why", "firmware"}

    def like(value: object) -> object:
        if isinstance(value, datetime):
            return value + shift
        if isinstance(value, str):
            return words.setdefault(value, len(words))
        if isinstance(value, tuple):
            return [like(each) for each in value]
        if isinstance(value, frozenset):
            return len(value)
        if is_dataclass(value):
            return {
                "is": type(value).__name__,
                **{
                    each.name: getattr(value, each.name)
                    if each.name in constant
                    else like(getattr(value, each.name))
                    for each in fields(value)
                    if each.name not in ours
                },
            }
        return value

    return [like(event) for event in events]


@pytest.mark.parametrize("transport", list(DIALS))
async def test_what_comes_of_a_recording_is_what_came_of_the_day(transport, tmp_path):
    async with Site(clock=ManualClock(), services=("websocket", "ssh", "http"), user="svc-board") as site:
        (simulated,) = site.devices
        lines: list[bytes] = []
        writing = recorder(DIALS[transport](), lines)
        device = over(simulated, transport, tmp_path)
        async with listening(device, writing) as listener:
            await a_day(site, simulated, listener, polled=transport is Transport.HTTP)
        writing.end()
        file = kept(lines, tmp_path)

        outcome = await asyncio.to_thread(replayed, file)
        assert outcome.unknown == []
        assert likeness(outcome.events) == likeness(listener.events, shift=SHIFT)
        assert {fact.kind.value for fact in outcome.facts} >= {"device.connected", "booking.confirmed"}
        (connected,) = outcome.of(DeviceConnected)
        assert (connected.serial, connected.transport) == ("SERIAL0001", transport.value)

        text = file.read_text(encoding="utf-8")
        secrets = [simulated.serial, simulated.name, simulated.host, simulated.user, simulated.password]
        secrets += ["Merger", "Acme", "Salary", simulated.room, "Lovelace", "ada@example.com"]
        secrets += [booking.meeting_id for booking in simulated.agenda() if booking.meeting_id]
        assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize("transport", [Transport.WEBSOCKET, Transport.SSH])
async def test_a_recording_is_served_again_over_websocket(transport, tmp_path):
    async with Site(clock=ManualClock(), services=("websocket", "ssh")) as site:
        (simulated,) = site.devices
        lines: list[bytes] = []
        writing = recorder(DIALS[transport](), lines)
        device = over(simulated, transport, tmp_path)
        async with listening(device, writing) as listener:
            await a_day(site, simulated, listener, polled=False)
        writing.end()
    file = kept(lines, tmp_path)
    async with Replay(file, speed=math.inf) as again:
        device = replace(
            device, host=again.host, port=again.port, trust=Trust(fingerprint=f"sha256:{again.fingerprint}")
        )
        async with listening(device, WebSockets(), at=NINE + SHIFT) as second:
            await again.until_told()
            await second.until(type(listener.events[-1]), _same_kind(listener.events))
        assert again.unknown == []
    assert likeness(second.events) == likeness(listener.events, shift=SHIFT)


def _same_kind(events: list[RoomEvent]) -> int:
    return sum(type(event) is type(events[-1]) for event in events)


async def test_a_line_that_breaks_is_in_the_recording_and_breaks_again(tmp_path):
    async with Site(clock=ManualClock()) as site:
        (simulated,) = site.devices
        lines: list[bytes] = []
        writing = recorder(WebSockets(), lines)
        async with listening(configured(simulated, tmp_path), writing) as listener:
            await listener.until(BookingsListed)
            simulated.cut("reset")
            await listener.until(DeviceLost)
            simulated.count_people(3)
            await listener.until(BookingsListed, 2)
        writing.end()
    file = kept(lines, tmp_path)
    assert [talk.lost for talk in read(file).talks] == ["DeviceUnreachable", None]
    outcome = await asyncio.to_thread(replayed, file)
    assert [type(event) for event in outcome.events] == [type(event) for event in listener.events]


async def test_a_recording_is_whole_up_to_where_it_broke_off(tmp_path):
    async with scripted() as device:
        lines: list[bytes] = []
        async with listening(device.configured(tmp_path), recorder(WebSockets(), lines)) as listener:
            await listener.until(BookingsListed)
            await people(device, 2)
            await listener.until(PeopleCounted)
            await people(device, 5)
            await listener.until(PeopleCounted, 2)
    file = kept(lines, tmp_path)
    file.write_bytes(file.read_bytes()[:-20])  # in the middle of the last line; and nobody wrote the end
    outcome = await asyncio.to_thread(replayed, file)
    assert [event.people for event in outcome.of(PeopleCounted)] == [2]


async def people(device: Scripted, count: int) -> None:
    await device.tell(Status={"RoomAnalytics": {"PeopleCount": {"Current": count}}})


async def test_the_header_says_what_was_recorded(tmp_path):
    async with scripted() as device:
        lines: list[bytes] = []
        writing = recorder(WebSockets(), lines)
        async with listening(device.configured(tmp_path), writing) as listener:
            await listener.until(BookingsListed)
        writing.end()
    header = json.loads(lines[0])
    assert header == {
        "format": "roomd recording",
        "version": 1,
        "began_at": "2024-01-15T09:00:00.000+00:00",
        "transport": "websocket",
        "product": "Cisco Room Bar",
        "firmware": "ce26.4.1.1",
    }
    at = [json.loads(line)["at"] for line in lines[1:]]
    assert at == sorted(at)
    assert json.loads(lines[-1])["ended"] is True
    assert writing.counts["sent"] == sum(writing.counts[what] for what in ("reply", "refusal"))


async def test_nothing_is_written_where_no_line_ever_stood(tmp_path):
    async with scripted() as device:
        away = device.configured(tmp_path)
    lines: list[bytes] = []
    writing = recorder(WebSockets(), lines)
    async with listening(away, writing) as listener:
        await listener.until(DeviceLost)
    writing.end()
    assert lines == []


async def test_a_question_that_was_not_asked_then_is_refused_now(tmp_path):
    header = {"format": "roomd recording", "version": 1, "began_at": "2024-01-15T09:00:00+00:00"}
    path = {"Path": ["Status", "SystemUnit", "Uptime"]}
    lines = [
        header,
        {"at": 0.0, "opened": "ssh"},
        {"at": 0.1, "sent": {"id": 1, "method": "xGet", "params": path}},
        {"at": 0.2, "sent": {"id": 2, "method": "xGet", "params": path}},
        {"at": 0.3, "reply": {"id": 2, "result": "8"}},
        {"at": 0.4, "reply": {"id": 1, "result": "7"}},
    ]
    file = kept([json.dumps(line).encode() + b"\n" for line in lines], tmp_path)
    (talk,) = read(file).talks
    assert [said.value for said in talk.said] == ["8", "7"]
    assert {said.asked for said in talk.said} == {question("xGet", path)}
    outcome = await asyncio.to_thread(replayed, file)
    assert isinstance(outcome.events[0], DeviceLost)
    assert outcome.unknown[0].startswith("xGet")


def test_what_is_no_recording_is_not_replayed(tmp_path):
    for text in (b"", b"hello\n", b"[]\n", b'{"format":"roomd recording","version":2}\n'):
        with pytest.raises(NoRecording):
            read(kept([text], tmp_path))
