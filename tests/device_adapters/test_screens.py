"""Holds on screens and lights, and orders of bookings, over every line to simulated devices."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.core.events import (
    BookingsListed,
    DeviceConnected,
    DeviceLost,
    LightModeRead,
    MessageRefused,
    MessageShown,
    MessageTakenOff,
    OrderRefused,
    OrderTaken,
    PromptAnswered,
    PromptCleared,
    PromptDisplayed,
    ShortcomingsFound,
)
from agent.core.facts import Book, Extend, Light, Release, RestoreLight, ShowOn, TakeOff, Wake
from agent.core.model import (
    Booking,
    BookingId,
    BookingKey,
    BookingPhase,
    CalendarKind,
    CommandId,
    DeviceId,
    FeedbackId,
    HoldId,
    MeetingId,
    RequestId,
    Surface,
)
from device_adapters.fleet import Fleet
from device_adapters.http import Http
from device_adapters.link import LinkPace
from device_adapters.ssh import Shells
from device_adapters.websocket import WebSockets
from device_adapters.xapi.messages import PERMISSION_DENIED
from device_adapters.xapi.plans import MESSAGES_DENIED
from device_adapters.xapi.translate import ANSWERS_UNHEARD
from tests.device_adapters.stage import SILENCE, Ear, configured, hearing, receiving, scripted
from tests.simulator import Device as Simulated
from tests.simulator import Site
from tests.simulator.bookings import Answer
from tests.simulator.device import Service

pytestmark = pytest.mark.slow

ROOM = DeviceId("room-0001")
OURS = FeedbackId("roomd-roomd-0123456789abcdef")
LINES: tuple[Service, ...] = ("websocket", "ssh", "http")
EACH = [
    ("websocket", "10.19.4.2"),
    ("websocket", "26.4.1"),
    ("ssh", "9.15.17.4"),
    ("ssh", "26.4.1"),
    ("http", "11.14.5.0"),
    ("http", "26.4.1"),
]


@dataclass(frozen=True)
class Stage:
    """One simulated device, a fleet that hears it, and what it tells."""

    device: Simulated
    fleet: Fleet
    ear: Ear

    def show(self, surface: Surface = Surface.SCREEN, feedback_id: FeedbackId = OURS, **more: Any) -> None:  # noqa: ANN401
        wanted: dict[str, Any] = {
            "title": "Held",
            "text": "Kari is on her way",
            "answers": ("I'm here", "Release it"),
            "until": datetime.now(UTC) + timedelta(minutes=10),
            **more,
        }
        self.fleet.ask(
            ShowOn(device=ROOM, surface=surface, hold=HoldId("h"), feedback_id=feedback_id, **wanted)
        )

    def take_off(self, surface: Surface = Surface.SCREEN, answers: tuple[str, ...] | None = None) -> None:
        self.fleet.ask(TakeOff(device=ROOM, surface=surface, feedback_id=OURS, answers=answers))


@contextlib.asynccontextmanager
async def playing(
    tmp_path: Path,
    line: str = "websocket",
    version: str = "26.4.1",
    *,
    banner: bool = False,
    **site: Any,  # noqa: ANN401
) -> AsyncIterator[Stage]:
    async with contextlib.AsyncExitStack() as stack:
        house = await stack.enter_async_context(Site(profile=version, services=LINES, **site))
        simulated = house.devices[0]
        found = replace(configured(simulated, tmp_path), banner=banner, ssh_port=simulated.ssh_port)
        dials: Mapping[str, Any] = {"websocket": WebSockets, "ssh": Shells, "http": Http}
        options: dict[str, Any] = {}
        if line == "ssh":
            found = replace(found, trust=replace(found.trust, host_key=simulated.host_key))
        if line == "http":
            options["receiver"] = await stack.enter_async_context(receiving())
        fleet, ear = await stack.enter_async_context(hearing(found, dial=dials[line](**options)))
        await ear.until_heard(BookingsListed)
        yield Stage(simulated, fleet, ear)


# ── words ──


@pytest.mark.parametrize(("line", "version"), EACH)
async def test_a_hold_is_shown_renewed_answered_and_taken_off(tmp_path, line, version):
    async with playing(tmp_path, line, version) as on:
        on.show()
        on.show(text="Kari\nis on her <b>way</b>")
        assert await on.ear.until_heard(MessageShown, 2) == MessageShown(
            device=ROOM, surface=Surface.SCREEN, feedback_id=OURS
        )
        await on.ear.until_heard(PromptDisplayed, 2)
        prompt = on.device.screen.prompt
        assert prompt is not None
        assert prompt.options == {1: "I'm here", 2: "Release it"}
        assert prompt.text("Text") == "Kari<br>is on her ‹b›way‹/b›"  # noqa: RUF001
        assert 590 <= int(prompt.parameters["Duration"]) <= 600
        assert on.ear.of(PromptDisplayed)[-1].feedback_id == OURS
        assert on.ear.of(PromptDisplayed)[-1].duration_s == prompt.parameters["Duration"]
        on.device.answer_prompt(2)
        answered = await on.ear.until_heard(PromptAnswered)
        assert (answered.device, answered.feedback_id, answered.option) == (ROOM, OURS, 2)
        assert answered.surface is (Surface.SCREEN if version == "26.4.1" else None)
        on.take_off(answers=("I'm here", "Release it"))  # it is gone already
        await on.ear.until_heard(MessageTakenOff)
        assert not on.ear.of(MessageRefused)
        assert not on.ear.of(DeviceLost)


@pytest.mark.parametrize(("line", "version"), EACH)
async def test_a_hold_that_is_dismissed_or_taken_off_is_told_as_cleared(tmp_path, line, version):
    async with playing(tmp_path, line, version) as on:
        on.show()
        await on.ear.until_heard(MessageShown)
        on.device.dismiss_prompt()
        dismissed = await on.ear.until_heard(PromptCleared)
        assert (dismissed.feedback_id, dismissed.surface) == (
            OURS,
            Surface.SCREEN if version.startswith("26.") else None,
        )
        on.show()
        await on.ear.until_heard(MessageShown, 2)
        on.take_off()
        await on.ear.until_heard(MessageTakenOff)
        await on.ear.until_heard(PromptCleared, 2)
        assert on.device.screen.prompt is None


@pytest.mark.parametrize("line", LINES)
async def test_somebody_elses_prompt_is_told_and_not_taken_off(tmp_path, line):
    async with playing(tmp_path, line) as on:
        on.device.show_foreign(duration_s=60)
        assert await on.ear.until_heard(PromptDisplayed) == PromptDisplayed(
            device=ROOM, feedback_id=FeedbackId("somebody-else"), duration_s=60
        )
        on.take_off()
        await on.ear.until_heard(MessageTakenOff)
        assert on.device.screen.prompt is not None
        on.device.dismiss_prompt()
        assert (await on.ear.until_heard(PromptCleared)).feedback_id == "somebody-else"


@pytest.mark.parametrize(("line", "version"), EACH)
async def test_a_message_without_answers_is_an_alert(tmp_path, line, version):
    async with playing(tmp_path, line, version) as on:
        on.show(answers=())
        await on.ear.until_heard(MessageShown)
        assert on.device.screen.alert is not None
        on.take_off()  # how it was shown is remembered
        await on.ear.until_heard(MessageTakenOff)
        assert on.device.screen.alert is None


@pytest.mark.parametrize("line", LINES)
async def test_or_a_banner(tmp_path, line):
    async with playing(tmp_path, line, banner=True) as on:
        on.show(answers=())
        await on.ear.until_heard(MessageShown)
        banner = on.device.screen.text_line
        assert banner is not None
        assert banner.text("Text") == "Held: Kari is on her way"
        on.take_off(answers=())
        await on.ear.until_heard(MessageTakenOff)
        assert on.device.screen.text_line is None


async def test_each_surface_is_shown_on_by_itself(tmp_path):
    async with playing(tmp_path) as on:
        assert on.ear.of(DeviceConnected)[0].surfaces == tuple(Surface)
        for surface in (Surface.SCREEN, Surface.CONTROLLER, Surface.SCHEDULER):
            on.show(surface)
        await on.ear.until_heard(MessageShown, 3)
        assert on.device.screen.on("RoomScheduler") is not None
        on.take_off(Surface.CONTROLLER, ("I'm here",))
        assert (await on.ear.until_heard(MessageTakenOff)).surface is Surface.CONTROLLER
        assert on.device.screen.on("Controller") is None
        on.device.answer_prompt(1, origin="RoomScheduler")
        assert (await on.ear.until_heard(PromptAnswered)).option == 1


@pytest.mark.parametrize("line", LINES)
async def test_what_old_firmware_cannot_do_is_refused_at_once(tmp_path, line):
    async with playing(tmp_path, line, "11.27.2.0") as on:
        assert on.ear.of(DeviceConnected)[0].surfaces == (Surface.SCREEN, Surface.LED)
        on.show(Surface.SCHEDULER)
        refused = await on.ear.until_heard(MessageRefused)
        assert (refused.surface, refused.feedback_id) == (Surface.SCHEDULER, OURS)
        assert "26.1" in refused.why
        assert not on.device.received("UserInterface Message Prompt Display")


async def test_an_account_that_may_not_show_messages_says_which_role_it_needs(tmp_path):
    async with playing(tmp_path) as on:
        on.device.fault(command_errors={"UserInterface Message Prompt Display": PERMISSION_DENIED})
        on.show()
        on.show()
        assert (await on.ear.until_heard(MessageRefused, 2)).why == MESSAGES_DENIED
        assert on.ear.of(ShortcomingsFound)[-1].shortcomings == (MESSAGES_DENIED,)
        on.device.clear_faults()
        on.show()
        await on.ear.until_heard(MessageShown)
        await on.ear.until_heard(ShortcomingsFound, 2)
        assert [found.shortcomings for found in on.ear.of(ShortcomingsFound)] == [(MESSAGES_DENIED,), ()]


async def test_answers_of_a_device_that_is_polled_are_not_heard_and_it_says_so(tmp_path):
    async with Site() as site:
        found = configured(site.devices[0], tmp_path)
        async with hearing(found, dial=Http()) as (_, ear):
            connected = await ear.until_heard(DeviceConnected)
            assert ANSWERS_UNHEARD in connected.shortcomings
            assert not connected.hears_answers


async def test_what_is_asked_for_in_a_row_is_done_in_that_order(tmp_path):
    async with playing(tmp_path) as on:
        on.fleet.ask(Wake(device=ROOM))
        on.fleet.ask(Light(device=ROOM, feedback_id=OURS, colour="Yellow"))
        on.fleet.ask(RestoreLight(device=ROOM, feedback_id=OURS, mode="Auto"))
        on.show()
        await on.ear.until_heard(MessageShown, 2)
        assert [
            type(event) for _, event in on.ear.heard if isinstance(event, MessageShown | MessageTakenOff)
        ] == [
            MessageShown,
            MessageTakenOff,
            MessageShown,
        ]
        assert on.device.config("UserInterface", "LedControl", "Mode") == "Auto"


async def test_a_device_that_sleeps_is_woken(tmp_path):
    async with playing(tmp_path) as on:
        on.device.stand_by()
        on.fleet.ask(Wake(device=ROOM))
        on.show()
        await on.ear.until_heard(MessageShown)
        assert on.device.status("Standby", "State") == "Off"


# ── the light ──


@pytest.mark.parametrize(("line", "version"), [each for each in EACH if not each[1].startswith("9.")])
async def test_a_light_is_lit_and_follows_its_old_mode_again(tmp_path, line, version):
    async with playing(tmp_path, line, version) as on:
        assert on.ear.of(LightModeRead)[0].mode == "Auto"
        assert Surface.LED in (on.ear.of(DeviceConnected)[0].surfaces or ())
        on.fleet.ask(Light(device=ROOM, feedback_id=OURS, colour="Yellow"))
        shown = await on.ear.until_heard(MessageShown)
        assert (shown.surface, on.device.screen.light) == (Surface.LED, "Yellow")
        await on.ear.until(lambda: on.ear.of(LightModeRead)[-1].mode == "Manual")
        on.fleet.ask(RestoreLight(device=ROOM, feedback_id=OURS, mode="Off"))
        assert (await on.ear.until_heard(MessageTakenOff)).surface is Surface.LED
        assert on.device.config("UserInterface", "LedControl", "Mode") == "Off"
        await on.ear.until(lambda: on.ear.of(LightModeRead)[-1].mode == "Off")


async def test_a_device_without_a_light_has_no_such_surface_and_no_shortcoming(tmp_path):
    async with Site() as site:
        site.devices[0].lack("Configuration UserInterface LedControl")
        async with hearing(configured(site.devices[0], tmp_path)) as (_, ear):
            connected = await ear.until_heard(DeviceConnected)
            await ear.until_heard(BookingsListed)
    assert Surface.LED not in (connected.surfaces or ())
    assert connected.shortcomings == ()
    assert not ear.of(LightModeRead)


async def test_a_colour_that_is_refused_leaves_the_light_as_it_was(tmp_path):
    async with playing(tmp_path) as on:
        on.device.fault(command_errors={"UserInterface LedControl Color Set": 1})
        on.fleet.ask(Light(device=ROOM, feedback_id=OURS, colour="Yellow"))
        refused = await on.ear.until_heard(MessageRefused)
        assert refused.surface is Surface.LED
        await on.ear.until(
            lambda: on.ear.of(LightModeRead)[-1].mode == "Auto" and len(on.ear.of(LightModeRead)) > 1
        )
        assert on.device.config("UserInterface", "LedControl", "Mode") == "Auto"


# ── orders ──

NO_WAIT = Answer(after_s=0.0)


def booked(device: Simulated, id_: str, meeting_id: str, *, started: bool = False) -> Booking:
    now = device.now()
    return Booking(
        key=BookingKey("k"),
        phase=BookingPhase.STARTED if started else BookingPhase.CONFIRMED,
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        since=now,
        seen_at=now,
        calendar=CalendarKind.HYBRID,
        meeting_id=MeetingId(meeting_id) if meeting_id else None,
        booking_ids={ROOM: BookingId(id_)},
    )


@pytest.mark.parametrize(("line", "version"), EACH)
async def test_a_room_is_booked_extended_and_released(tmp_path, line, version):
    async with playing(tmp_path, line, version) as on:
        on.device.answer = NO_WAIT
        starts_at = on.device.now() + timedelta(hours=1)
        on.fleet.ask(
            Book(
                device=ROOM,
                command=CommandId("book"),
                request_id=RequestId("r"),
                starts_at=starts_at,
                ends_at=starts_at + timedelta(minutes=30),
                title="Kari's <talk>",
                organizer="Kari",
            )
        )
        await on.ear.until_heard(OrderTaken)
        async with asyncio.timeout(5):
            while not on.device.agenda():  # noqa: ASYNC110 - the simulated device tells nobody that it is done
                await asyncio.sleep(0.01)
        (booking,) = on.device.agenda()
        assert booking.title == "Kari's <talk>"
        assert booking.end - booking.start == timedelta(minutes=30)
        meeting = MeetingId(booking.meeting_id)
        on.fleet.ask(
            Extend(
                device=ROOM,
                command=CommandId("extend"),
                booking_id=BookingId(booking.id),
                meeting_id=meeting,
                ends_at=booking.end + timedelta(minutes=15),
                by=timedelta(minutes=15),
            )
        )
        if version.startswith(("9.", "10.")):
            assert "Extend" in (await on.ear.until_heard(OrderRefused)).why
        else:
            assert (await on.ear.until_heard(OrderTaken, 2)).command == "extend"
        release = Release(
            device=ROOM, command=CommandId("release"), booking=booked(on.device, booking.id, meeting)
        )
        on.fleet.ask(release)
        await on.ear.until(lambda: on.ear.of(OrderTaken)[-1].command == "release")
        assert not on.device.agenda()
        on.fleet.ask(release)  # there is nothing any more
        await on.ear.until(
            lambda: on.ear.of(OrderRefused) and on.ear.of(OrderRefused)[-1].command == "release"
        )
        assert not on.ear.of(DeviceLost)


async def test_what_cannot_be_declined_or_checked_out_is_deleted(tmp_path):
    async with playing(tmp_path, calendar="on_device") as on:
        booking = on.device.book_in_outlook("Weekly", start=on.device.now() + timedelta(hours=1))
        known = booked(on.device, booking.id, booking.meeting_id, started=True)  # so we think
        on.fleet.ask(Release(device=ROOM, command=CommandId("c"), booking=known))
        await on.ear.until_heard(OrderTaken)
        assert not on.device.agenda()
        names = [
            each.name for each in on.device.commands if "Bookings" in each.name and "List" not in each.name
        ]
        assert names == ["Bookings CheckOut", "Bookings Respond", "Bookings Delete"]


async def test_a_calendar_that_does_not_answer_costs_neither_the_line_nor_the_screens(tmp_path):
    pace = LinkPace(answer_within_s=0.3, order_within_s=0.6, probe_every_s=0.1)
    async with scripted() as device, hearing(device.configured(tmp_path), pace=pace) as (fleet, ear):
        await ear.until_heard(BookingsListed)
        device.script["xCommand/Bookings/Book"] = SILENCE
        now = datetime.now(UTC)
        book = Book(
            device=DeviceId("scripted"),
            command=CommandId("c"),
            request_id=RequestId("r"),
            starts_at=now,
            ends_at=now + timedelta(minutes=5),
            title=None,
            organizer=None,
        )
        fleet.ask(book)
        fleet.ask(
            TakeOff(device=DeviceId("scripted"), surface=Surface.SCREEN, feedback_id=OURS, answers=None)
        )
        await ear.until_heard(MessageTakenOff)
        probes = len([name for name, _ in device.calls if "Uptime" in name])
        await device.until_called("xGet Status SystemUnit Uptime", probes + 10)
        device.script["xCommand/Bookings/Book"] = {"status": "OK"}
        fleet.ask(replace(book, command=CommandId("d")))
        assert (await ear.until_heard(OrderTaken)).command == "d"
        assert not ear.of(OrderRefused)
        assert not ear.of(DeviceLost)
        assert [name for name, _ in device.calls].count("xCommand/Bookings/Book") == 2


async def test_questions_that_wait_behind_an_order_are_not_overdue(tmp_path):
    pace = LinkPace(answer_within_s=0.2, order_within_s=30.0, probe_every_s=0.1)
    async with scripted() as device, hearing(device.configured(tmp_path), pace=pace) as (fleet, ear):
        await ear.until_heard(BookingsListed)

        async def slow(_: object) -> Mapping[str, str]:
            await asyncio.sleep(1.0)  # answers one after the other, as a shell does
            return {"status": "OK"}

        device.script["xCommand/Bookings/Delete"] = slow
        known = Booking(
            key=BookingKey("k"),
            phase=BookingPhase.CONFIRMED,
            starts_at=datetime.now(UTC),
            ends_at=datetime.now(UTC),
            since=datetime.now(UTC),
            seen_at=datetime.now(UTC),
            booking_ids={DeviceId("scripted"): BookingId("b")},
        )
        fleet.ask(Release(device=DeviceId("scripted"), command=CommandId("c"), booking=known))
        await ear.until_heard(OrderTaken)
        probes = len([name for name, _ in device.calls if "Uptime" in name])
        await device.until_called("xGet Status SystemUnit Uptime", probes + 3)
        assert not ear.of(DeviceLost)
