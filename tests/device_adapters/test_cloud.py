"""Devices that only Webex leads to, by the whole integration, beside the same on the network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.core.devices import furnish
from agent.core.events import (
    BookingCreated,
    BookingDeleted,
    BookingEnded,
    BookingFailed,
    BookingMoved,
    BookingRequested,
    BookingsListed,
    BookingStarted,
    BookingsTouched,
    CallsCounted,
    CurrentValuesRead,
    DeviceConnected,
    DeviceLost,
    DeviceRefused,
    MessageShown,
    MessageTakenOff,
    OrderRefused,
    OrderTaken,
    PeopleCounted,
    PresenceSensed,
    PromptAnswered,
    PromptCleared,
    PromptDisplayed,
    RoomEvent,
    SharingSensed,
    UseSensed,
)
from agent.core.facts import Book, BookingFact, OccupancyFact, ReadValues, ShowOn, TakeOff
from agent.core.model import (
    CommandId,
    Credential,
    Device,
    DeviceId,
    FeedbackId,
    HoldId,
    Policy,
    RequestId,
    Room,
    RoomId,
    Surface,
    Transport,
    Trust,
)
from agent.core.step import step
from cloud_link.calendars.webex_codes import MANIFEST
from device_adapters import cloud as cloud_line
from device_adapters.cloud import CloudLines, CloudPace
from device_adapters.conversation import Dial
from device_adapters.errors import CloudUnreachable, DeviceUnreachable, NotInCloud, ServiceOff
from device_adapters.fleet import Fleet
from device_adapters.lifecycle import Rest
from device_adapters.lines import Lines
from device_adapters.link import LinkPace
from device_adapters.websocket import WebSockets
from device_adapters.xapi.messages import Call
from device_adapters.xapi.requests import UPTIME, WHO_ARE_YOU
from tests.cloud_link.calendars.webex_house import Living, living, rooms_of
from tests.clouds.serving import CUT, SILENCE, Request, Response
from tests.clouds.webex import WebexCloud
from tests.clouds.webex_devices import Registration
from tests.device_adapters.stage import IMPATIENT, NO_BOOKINGS, SYSTEM_UNIT, Ear, configured
from tests.simulator.bookings import Answer
from tests.simulator.device import Device as Simulated
from tests.simulator.site import Site

pytestmark = pytest.mark.slow

FULL = {"commands": [*MANIFEST.commands], "statuses": [*MANIFEST.statuses], "events": [*MANIFEST.events]}
OURS = FeedbackId("roomd-roomd-0123456789abcdef")
NEVER = Rest(first_s=3600.0, longest_s=3600.0)
SOON = Rest(first_s=0.05, longest_s=0.05)
BRISK = CloudPace(unanswered=SOON, throttled=SOON, anew=SOON, anew_each_s=0.0)
IMPATIENT_LINK = LinkPace(answer_within_s=0.3)


@dataclass
class Building:
    """One room, on the network and registered with Webex."""

    simulated: Simulated
    cloud: WebexCloud
    registration: Registration
    webex: Living
    directory: Path

    def device(self, *transports: Transport, **more: Any) -> Device:  # noqa: ANN401
        found = configured(self.simulated, self.directory)
        lines = transports or (Transport.CLOUD,)
        return replace(found, transports=lines, webex=self.registration.id, **more)

    def lines(
        self,
        look_again: Rest = NEVER,
        *,
        pace: CloudPace = BRISK,
        luck: Callable[[], float] = lambda: 0.5,
    ) -> Lines:
        dials: dict[Transport, Dial] = {
            Transport.WEBSOCKET: WebSockets(),
            Transport.CLOUD: CloudLines(self.webex.site, pace=pace, luck=luck),
        }
        return Lines(dials, look_again=look_again, look_within_s=2.0)


@contextlib.asynccontextmanager
async def built(
    tmp_path: Path,
    manifest: dict[str, list[str]] | None = None,
    version: str = "26.4.1",
    **more: Any,  # noqa: ANN401
) -> AsyncIterator[Building]:
    async with (
        Site(rooms=1, profile=version, address_base="127.0.0.1", **more) as site,
        WebexCloud(poll_within_s=5.0) as cloud,
    ):
        cloud.manifest.update(manifest or FULL)
        simulated = site.devices[0]
        registration = Registration(cloud, simulated, cloud.add_workspace(simulated.name))
        async with living(cloud, tmp_path, rooms_of(simulated.name)) as webex:
            await webex.until(lambda: webex.site.devices)
            yield Building(simulated, cloud, registration, webex, tmp_path)


@contextlib.asynccontextmanager
async def heard(
    device: Device, dial: Lines, pace: LinkPace | None = None
) -> AsyncIterator[tuple[Fleet, Ear]]:
    ear = Ear()
    fleet = Fleet([device], ear.deliver, dial=dial, luck=lambda: 0.5, patience=IMPATIENT, pace=pace)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run(), name="fleet")
        await ear.until_heard(BookingsListed)
        yield fleet, ear
        running.cancel()


# ── the same as on the network ────────────────────────────────────────────────────────────────────


@dataclass
class Keeper:
    """Keeps one room as the daemon does, without its disk."""

    room: Room
    simulated: Simulated
    ear: Ear = field(default_factory=Ear)
    facts: list[BookingFact | OccupancyFact] = field(default_factory=list)
    fleet: Fleet | None = None

    async def deliver(self, room: RoomId, events: Sequence[RoomEvent]) -> None:
        for event in events:
            done = step(self.room, event, now=self.simulated.now(), policy=Policy(timezone=ZoneInfo("UTC")))
            self.room = done.room
            self.facts += [each for each in done.facts if isinstance(each, BookingFact | OccupancyFact)]
            for request in done.requests:
                if self.fleet is not None:
                    self.fleet.ask(request)
        await self.ear.deliver(room, events)

    def told(self) -> list[tuple[str, str | None, object]]:
        """Of each booking, what was told in its order: the kind, whose, and the cause."""
        return [
            (each.kind.value, each.booking.meeting.title, each.cause)
            for each in self.facts
            if isinstance(each, BookingFact)
        ]


@contextlib.asynccontextmanager
async def keeping(device: Device, dial: Lines, simulated: Simulated) -> AsyncIterator[Keeper]:
    room = furnish(None, device.room, (device,), now=simulated.now())
    keeper = Keeper(room, simulated)
    keeper.fleet = Fleet([device], keeper.deliver, dial=dial, luck=lambda: 0.5, patience=IMPATIENT)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(keeper.fleet.run(), name="fleet")
        await keeper.ear.until_heard(BookingsListed)
        yield keeper
        running.cancel()


TOLD = (
    BookingRequested,
    BookingCreated,
    BookingFailed,
    BookingMoved,
    BookingStarted,
    BookingEnded,
    BookingDeleted,
    PeopleCounted,
    PresenceSensed,
    UseSensed,
    CallsCounted,
    SharingSensed,
    PromptDisplayed,
    PromptAnswered,
    PromptCleared,
)


async def a_day(simulated: Simulated, keepers: Sequence[Keeper]) -> None:
    async def all_heard(kind: type[Any], times: int = 1) -> None:
        for keeper in keepers:
            await keeper.ear.until_heard(kind, times)

    now = simulated.now()
    request = simulated.request_booking(
        "Ad hoc", start=now - timedelta(seconds=40), duration_min=15, answer=Answer(outcome="by_hand")
    )
    await all_heard(BookingRequested)
    booking = simulated.confirm(request)
    await all_heard(BookingCreated)
    await all_heard(BookingStarted)
    simulated.count_people(3)
    simulated.start_call()
    simulated.share()
    simulated.stop_sharing()
    simulated.end_call()
    await all_heard(SharingSensed, 2)
    simulated.show_foreign(feedback_id="tidy", options=("Yes", "No"))
    simulated.answer_prompt(2)
    await all_heard(PromptAnswered)
    simulated.request_booking(
        "Refused", start=now + timedelta(hours=4), answer=Answer(outcome="fail", after_s=0.0)
    )
    await all_heard(BookingFailed)
    later = simulated.book_in_outlook("Elsewhere", start=now + timedelta(hours=1))
    simulated.move(later.id, start=later.start + timedelta(minutes=15))
    await all_heard(BookingMoved)
    simulated.move(booking.id, start=simulated.now() - timedelta(seconds=58), duration_min=1)
    await all_heard(BookingEnded)
    simulated.delete(later.id, "Deleted")
    await all_heard(BookingDeleted)
    simulated.presence_lag_s = 0.0
    simulated.count_people(0)
    for keeper in keepers:
        await until_empty(keeper.ear)


async def until_empty(ear: Ear) -> None:
    await ear.until(lambda: ear.of(PeopleCounted)[-1].people == 0 and ear.of(UseSensed)[-1].in_use is False)


def said(ear: Ear, kind: type[RoomEvent]) -> list[dict[str, object]]:
    return [{each.name: getattr(event, each.name) for each in fields(event)} for event in ear.of(kind)]


async def test_a_day_by_the_cloud_gives_the_same_events_and_facts_as_on_the_network(tmp_path):
    async with built(tmp_path) as there:
        near, far = there.device(Transport.WEBSOCKET), there.device(Transport.CLOUD, host="")
        async with (
            keeping(near, there.lines(), there.simulated) as direct,
            keeping(far, there.lines(), there.simulated) as by_cloud,
        ):
            await a_day(there.simulated, (direct, by_cloud))
            for kind in TOLD:
                assert said(by_cloud.ear, kind) == said(direct.ear, kind), kind
            assert by_cloud.told() == direct.told()
            assert {"booking.requested", "booking.failed", "booking.ended"} <= {
                kind for kind, _, _ in direct.told()
            }
            assert by_cloud.room.occupancy == direct.room.occupancy


async def test_a_device_says_by_the_cloud_who_it_is_and_what_it_lacks(tmp_path):
    async with built(tmp_path) as there, heard(there.device(host=""), there.lines()) as (_, ear):
        connected = ear.of(DeviceConnected)[0]
        assert (connected.transport, connected.shortcomings, connected.lacks) == ("cloud", (), {})
        assert (connected.serial, connected.transport_why) == (there.simulated.serial, cloud_line.WHY)
        assert Surface.SCREEN in (connected.surfaces or ())
        assert Surface.LED not in (connected.surfaces or ())


async def test_a_device_is_found_by_its_serial_number_too(tmp_path):
    async with built(tmp_path) as there:
        device = replace(there.device(host=""), webex=there.simulated.serial)
        async with heard(device, there.lines()) as (_, ear):
            there.simulated.count_people(2)
            await ear.until(lambda: PeopleCounted(device=device.id, people=2) in ear.of(PeopleCounted))
        with pytest.raises(NotInCloud, match="has no device NOBODY") as unknown:
            async with there.lines()(replace(device, webex="NOBODY"), nullcontext()):
                pass
        assert unknown.value.mend.startswith("check `webex` of this device in the configuration")


def booking(there: Building) -> Book:
    now = there.simulated.now()
    return Book(
        device=DeviceId(there.simulated.room),
        command=CommandId("c"),
        request_id=RequestId("ours"),
        starts_at=now + timedelta(hours=1),
        ends_at=now + timedelta(hours=2),
        title="Ours",
        organizer=None,
    )


# ── what it is asked to do ────────────────────────────────────────────────────────────────────────


async def test_messages_and_bookings_go_by_the_cloud(tmp_path):
    async with built(tmp_path) as there, heard(there.device(host=""), there.lines()) as (fleet, ear):
        device = DeviceId(there.simulated.room)
        there.simulated.stand_by("Off")
        until = there.simulated.now() + timedelta(minutes=10)
        show = ShowOn(
            device=device,
            surface=Surface.SCREEN,
            hold=HoldId("h"),
            feedback_id=OURS,
            title="Held",
            text="Kari is on her way",
            answers=("I'm here", "Release it"),
            until=until,
        )
        fleet.ask(show)
        await ear.until_heard(MessageShown)
        there.simulated.answer_prompt(1)
        assert (await ear.until_heard(PromptAnswered)).option == 1
        fleet.ask(show)
        await ear.until_heard(MessageShown, 2)
        fleet.ask(TakeOff(device=device, surface=Surface.SCREEN, feedback_id=OURS, answers=None))
        await ear.until_heard(MessageTakenOff)
        there.simulated.answer = Answer(after_s=0.0)
        fleet.ask(booking(there))
        await ear.until(lambda: ear.of(OrderTaken) or ear.of(OrderRefused))
        assert ear.of(OrderRefused) == []
        assert (await ear.until_heard(BookingCreated)).meeting_id is not None


async def test_what_the_manifest_does_not_have_is_a_shortcoming_by_its_name(tmp_path):
    small = {"commands": ["Bookings.List"], "statuses": ["SystemUnit.*"], "events": []}
    async with built(tmp_path, small) as there, heard(there.device(host=""), there.lines()) as (_, ear):
        lacking = " ".join(ear.of(DeviceConnected)[0].shortcomings)
        assert "manifest lacks `Event Bookings`: bookings are only found by listing them" in lacking
        assert "manifest lacks `Status RoomAnalytics PeopleCount`: people are only counted" in lacking
        assert "manifest lacks `Status RoomAnalytics`" in lacking
        assert "account" not in lacking


async def test_an_order_that_the_manifest_does_not_have_is_refused_in_its_words(tmp_path):
    small = FULL | {"commands": ["Bookings.List"]}
    async with built(tmp_path, small) as there, heard(there.device(host=""), there.lines()) as (fleet, ear):
        fleet.ask(booking(there))
        refused = await ear.until_heard(OrderRefused)
        assert "the integration's manifest lacks Bookings.Book" in refused.why
        assert "account" not in refused.why


async def test_a_manifest_without_the_device_itself_is_for_a_person(tmp_path):
    async with built(tmp_path, {"commands": [], "statuses": [], "events": []}) as there:
        ear = Ear()
        fleet = Fleet(
            [there.device(host="")], ear.deliver, dial=there.lines(), luck=lambda: 0.5, patience=IMPATIENT
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(fleet.run(), name="fleet")
            refused = await ear.until_heard(DeviceRefused)
            running.cancel()
    assert "may not read `Status SystemUnit`" in refused.why
    assert "manifest" in refused.why.partition(";")[2]


async def test_whether_it_was_restarted_is_not_asked_all_the_time(tmp_path):
    async with built(tmp_path) as there:
        asked = len(there.cloud.asked("GET", "/v1/xapi/status"))
        async with there.lines()(there.device(host=""), nullcontext()) as line:
            for _ in range(3):
                line.send(Call(method="xGet", params={"Path": UPTIME}))
                assert len(await line.hear(float("inf"))) == 1
        assert len(there.cloud.asked("GET", "/v1/xapi/status")) == asked + 1


# ── what is missed ────────────────────────────────────────────────────────────────────────────────


async def test_a_queue_that_was_lost_for_a_moment_makes_all_be_listed_anew_without_a_word(tmp_path):
    async with built(tmp_path) as there, heard(there.device(host=""), there.lines()) as (_, ear):
        await there.webex.until(lambda: there.cloud.polling)
        cut = [CUT]
        there.cloud.interrupt = lambda request: cut.pop() if cut and request.path.endswith("/poll") else None
        there.simulated.book_in_outlook(
            "While nobody heard", start=there.simulated.now() + timedelta(hours=1)
        )
        await ear.until(lambda: cut == [] and len(ear.of(BookingsListed)[-1].bookings) == 1)
        there.simulated.count_people(4)
        await ear.until(lambda: ear.of(PeopleCounted)[-1:] and ear.of(PeopleCounted)[-1].people == 4)
        assert ear.of(DeviceLost) == []


async def test_a_queue_that_stays_lost_loses_the_device_until_it_is_heard_again(tmp_path):
    async with built(tmp_path) as there, heard(there.device(host=""), there.lines()) as (_, ear):
        there.cloud.interrupt = lambda request: CUT if request.path.endswith("/poll") else None
        await there.cloud.say(there.cloud.health_check())
        lost = await ear.until_heard(DeviceLost)
        assert "Webex is not heard" in lost.why
        there.simulated.book_in_outlook("Meanwhile", start=there.simulated.now() + timedelta(hours=1))
        there.cloud.interrupt = lambda request: None
        await ear.until(
            lambda: len(ear.of(DeviceConnected)) > 1 and len(ear.of(BookingsListed)[-1].bookings) == 1
        )


async def test_a_device_that_was_away_from_webex_is_listed_when_it_comes_back(tmp_path):
    async with built(tmp_path) as there, heard(there.device(host=""), there.lines()) as (_, ear):
        there.registration.connected_by_itself = False
        there.simulated.book_in_outlook("Unheard", start=there.simulated.now() + timedelta(hours=1))
        there.simulated.count_people(5)
        there.registration.come_back()
        await ear.until_heard(BookingsTouched)
        await ear.until(lambda: ear.of(PeopleCounted) and ear.of(PeopleCounted)[-1].people == 5)


async def test_a_device_that_is_not_connected_to_webex_is_out_of_reach(tmp_path):
    async with built(tmp_path) as there:
        there.registration.connected_by_itself = False
        async with there.lines()(there.device(host=""), nullcontext()) as line:
            line.send(Call(method="xGet", params={"Path": WHO_ARE_YOU}))
            with pytest.raises(CloudUnreachable, match="not connected to Webex"):
                await line.hear(float("inf"))


async def test_who_says_more_than_can_be_heard_is_read_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(cloud_line, "WAITING", 3)
    async with built(tmp_path) as there, there.lines()(there.device(host=""), nullcontext()) as line:
        for people in range(1, 6):
            there.simulated.count_people(people)
        await there.webex.until(lambda: not there.cloud.waiting and there.cloud.polling)
        assert len(await line.hear(0.0)) == 3
        with pytest.raises(DeviceUnreachable, match="read anew"):
            await line.hear(0.0)


# ── among the other lines ─────────────────────────────────────────────────────────────────────────


async def test_the_cloud_is_the_last_line_and_left_for_a_better_one(tmp_path):
    async with built(tmp_path) as there:
        there.simulated.offer(websocket=False)
        device = there.device(Transport.WEBSOCKET, Transport.CLOUD)
        async with heard(device, there.lines(SOON)) as (_, ear):
            first = ear.of(DeviceConnected)[0]
            assert first.transport == "cloud"
            assert (first.transport_why or "").startswith("websocket: ")
            there.simulated.offer(websocket=True)
            await ear.until(lambda: ear.of(DeviceConnected)[-1].transport == "websocket")
            assert ear.of(DeviceLost) == []


async def test_nothing_goes_by_the_cloud_of_a_device_that_is_not_named_there(tmp_path):
    async with built(tmp_path) as there:
        there.simulated.offer(websocket=False)
        device = replace(there.device(Transport.WEBSOCKET, Transport.CLOUD), webex=None)
        with pytest.raises(ServiceOff, match=r"WebSocket|404"):
            async with there.lines()(device, nullcontext()):
                pass
        with pytest.raises(ServiceOff, match="no line leads to it"):
            async with there.lines()(replace(device, host=""), nullcontext()):
                pass
        without = Lines({Transport.WEBSOCKET: WebSockets()})
        with pytest.raises(ServiceOff, match="no line leads to it"):
            async with without(there.device(host=""), nullcontext()):
                pass


async def until_counted(ear: Ear, people: int) -> None:
    await ear.until(lambda: ear.of(PeopleCounted)[-1:] and ear.of(PeopleCounted)[-1].people == people)


# ── when Webex is busy ────────────────────────────────────────────────────────────────────────────


async def test_webex_that_asks_us_to_slow_down_is_left_alone(tmp_path):
    async with built(tmp_path) as there, heard(there.device(host=""), there.lines()):
        there.cloud.faults.slow_down.append(("/v1/xapi/status", HTTPStatus.TOO_MANY_REQUESTS, 30))
        for _ in range(3):
            with pytest.raises(BlockingIOError, match="slow down"):
                await there.webex.site.status(there.registration.id, ["SystemUnit.Uptime"])
        assert there.cloud.rests.broken == []
        assert there.webex.site.rest_s() > 0


async def test_who_is_asked_to_slow_down_keeps_the_device_and_asks_later(tmp_path):
    async with built(tmp_path) as there:
        device = there.device(host="")
        async with heard(device, there.lines(), LinkPace(answer_within_s=0.001)) as (fleet, ear):
            there.cloud.faults.slow_down.append(("/v1/xapi", HTTPStatus.TOO_MANY_REQUESTS, 1))
            fleet.ask(ReadValues(device=device.id))
            for people in (1, 2, 3):  # it is heard meanwhile, and that it owes an answer is not its fault
                there.simulated.count_people(people)
                await until_counted(ear, people)
            await ear.until_heard(CurrentValuesRead, 2)
            assert there.cloud.faults.slow_down == []
            assert (there.cloud.rests.broken, ear.of(DeviceLost)) == ([], [])
            assert len(ear.of(DeviceConnected)) == 1


async def test_a_question_that_webex_does_not_answer_costs_no_conversation(tmp_path):
    pace = replace(BRISK, answer_within_s=0.2)
    async with built(tmp_path) as there:
        device = there.device(host="")
        async with heard(device, there.lines(pace=pace), IMPATIENT_LINK) as (fleet, ear):
            broken = [SILENCE, Response(status=HTTPStatus.BAD_GATEWAY), CUT]
            there.cloud.interrupt = lambda request: (
                broken.pop() if broken and request.path.startswith("/v1/xapi/status") else None
            )
            fleet.ask(ReadValues(device=device.id))
            await ear.until_heard(CurrentValuesRead, 2)
            assert (broken, ear.of(DeviceLost)) == ([], [])
            assert len(ear.of(DeviceConnected)) == 1


async def test_webex_that_never_answers_is_named_and_not_the_device(tmp_path):
    async with built(tmp_path) as there, there.lines()(there.device(host=""), nullcontext()) as line:
        there.cloud.interrupt = lambda request: (
            Response(status=HTTPStatus.BAD_GATEWAY) if request.path.startswith("/v1/xapi/status") else None
        )
        line.send(Call(method="xGet", params={"Path": WHO_ARE_YOU}))
        with pytest.raises(CloudUnreachable, match=r"no answer by Webex: .*502"):
            await line.hear(float("inf"))


async def test_an_order_of_which_nothing_is_known_is_not_given_twice(tmp_path):
    pace = replace(BRISK, answer_within_s=0.2)
    async with (
        built(tmp_path) as there,
        heard(there.device(host=""), there.lines(pace=pace)) as (fleet, ear),
    ):
        there.cloud.interrupt = lambda request: SILENCE if request.path.endswith("/Bookings.Book") else None
        fleet.ask(booking(there))
        fleet.ask(ReadValues(device=DeviceId(there.simulated.room)))
        await ear.until_heard(CurrentValuesRead, 2)
        assert len(there.cloud.asked("POST", "/v1/xapi/command/Bookings.Book")) == 1
        assert (ear.of(DeviceLost), ear.of(OrderRefused)) == ([], [])


async def test_an_order_that_cannot_leave_in_time_is_refused(tmp_path):
    async with built(tmp_path) as there, heard(there.device(host=""), there.lines()) as (fleet, ear):
        there.cloud.faults.slow_down.append(("/v1/xapi/command", HTTPStatus.TOO_MANY_REQUESTS, 60))
        fleet.ask(booking(there))
        assert "it was not asked" in (await ear.until_heard(OrderRefused)).why
        assert len(there.cloud.asked("POST", "/v1/xapi/command/Bookings.Book")) == 1
        assert ear.of(DeviceLost) == []


class Slow(WebexCloud):
    """Has many devices, and takes its time."""

    latency_s = 0.05

    async def _hear(self, request: Request) -> Response:
        if request.path.startswith("/v1/xapi/"):
            await asyncio.sleep(self.latency_s)
        return await super()._hear(request)

    def add_board(self, name: str) -> Device:
        workspace = self.add_workspace(name)
        id_ = self.add_device(workspace)
        self.statuses[id_] = {"SystemUnit": SYSTEM_UNIT}
        return Device(
            id=DeviceId(name),
            room=RoomId(name),
            host="",
            port=443,
            credential=Credential(username="", password_file=Path("none")),
            trust=Trust(),
            transports=(Transport.CLOUD,),
            webex=id_,
        )


@contextlib.asynccontextmanager
async def boards(
    directory: Path, count: int, *, pace: CloudPace, luck: Callable[[], float] = lambda: 0.5
) -> AsyncIterator[tuple[WebexCloud, Living, Ear, list[Device]]]:
    """So many devices of a slow cloud, all connected."""
    async with Slow(poll_within_s=5.0) as cloud:
        cloud.manifest.update(FULL)
        cloud.commands["Bookings.List"] = lambda *_: NO_BOOKINGS
        devices = [cloud.add_board(f"board-{number}") for number in range(count)]
        async with living(cloud, directory) as webex, asyncio.TaskGroup() as tasks:
            await webex.until(lambda: webex.site.devices)
            ear = Ear()
            dial = Lines({Transport.CLOUD: CloudLines(webex.site, pace=pace, luck=luck)})
            fleet = Fleet(
                devices, ear.deliver, dial=dial, patience=IMPATIENT, pace=IMPATIENT_LINK, luck=lambda: 0.5
            )
            running = tasks.create_task(fleet.run(), name="fleet")
            await ear.until_heard(BookingsListed, len(devices), within_s=60.0)
            yield cloud, webex, ear, devices
            running.cancel()


async def test_more_devices_than_webex_answers_in_time_are_all_connected_by_turns(tmp_path):
    # Two at once, 0.05 s each: of 60 devices that ask together, those are late that are asked after 0.3 s.
    pace = replace(BRISK, asked_at_once=2, greeted_at_once=4)
    async with boards(tmp_path, 60, pace=pace) as (cloud, _, ear, devices):
        assert ear.of(DeviceLost) == []
        assert len({each.device for each in ear.of(DeviceConnected)}) == len(ear.of(DeviceConnected)) == 60
        begun: list[str] = []
        listed: list[str] = []
        for request in cloud.seen:
            if request.query.get("name") == "SystemUnit.*":
                begun.append(request.query["deviceId"])
            elif request.path.endswith("/Bookings.List"):
                listed.append(request.json()["deviceId"])
            assert len(begun) - len(listed) <= 4
        assert sorted(begun) == sorted(listed) == sorted(device.webex or "" for device in devices)


async def break_a_poll(cloud: WebexCloud, webex: Living) -> None:
    """And wait for the one after it."""
    await webex.until(lambda: cloud.polling)
    left = [CUT]
    cloud.interrupt = lambda request: left.pop() if left and request.path.endswith("/poll") else None
    await cloud.say(cloud.health_check())
    await webex.until(lambda: not left and cloud.polling)


async def test_a_poll_that_breaks_makes_devices_be_read_anew_each_at_its_own_time(tmp_path):
    lucks = [0.9, 0.0]
    pace = replace(BRISK, anew=Rest(first_s=3600.0, longest_s=3600.0))
    async with boards(tmp_path, 2, pace=pace, luck=lucks.pop) as (cloud, webex, ear, devices):
        await break_a_poll(cloud, webex)
        await ear.until_heard(DeviceConnected, 3)
        for device in devices:
            cloud.tell(cloud.status(device.webex or "", {"RoomAnalytics.PeopleCount.Current": 4}))
        await ear.until_heard(PeopleCounted, 2)
        assert (lucks, len(ear.of(DeviceConnected)), ear.of(DeviceLost)) == ([], 3, [])


async def test_polls_that_break_again_and_again_are_read_after_less_and_less_often(tmp_path):
    pace = replace(BRISK, anew=Rest(first_s=0.01, longest_s=3600.0, factor=1e6))
    async with boards(tmp_path, 1, pace=pace) as (cloud, webex, ear, (device,)):
        for _ in range(3):
            await break_a_poll(cloud, webex)
            await ear.until_heard(DeviceConnected, 2)
        cloud.tell(cloud.status(device.webex or "", {"RoomAnalytics.PeopleCount.Current": 4}))
        await ear.until_heard(PeopleCounted)
        assert (len(ear.of(DeviceConnected)), ear.of(DeviceLost)) == (2, [])
