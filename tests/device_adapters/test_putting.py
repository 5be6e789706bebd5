"""The agenda that is put on devices, over every line, as they keep it and list it back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agent.core.events import AgendaPut, AgendaRefused, BookingsListed
from agent.core.facts import ListBookings, PutAgenda, PutBooking
from agent.core.model import BookingId
from device_adapters.xapi.messages import PERMISSION_DENIED
from device_adapters.xapi.plans import PUTS_DENIED
from tests.device_adapters.test_screens import EACH, ROOM, Stage, playing
from tests.simulator.bookings import CalendarKind

pytestmark = pytest.mark.slow

LINK = "https://teams.microsoft.com/l/meetup-join/19%3ameeting_1?context=%7b%22Tid%22%3a%221%22%7d&x='2'"


def agenda(on: Stage, *titles: str | None, edition: str = "e1") -> PutAgenda:
    starts_at = on.device.now().replace(microsecond=0) + timedelta(hours=1)
    bookings = tuple(
        PutBooking(
            booking_id=BookingId(f"roomd-b-{number}"),
            starts_at=starts_at + timedelta(hours=number),
            ends_at=starts_at + timedelta(hours=number, minutes=30),
            title=title,
            join=LINK,
            platform="microsoft_teams",
        )
        for number, title in enumerate(titles)
    )
    return PutAgenda(device=ROOM, edition=edition, bookings=bookings)


@pytest.mark.parametrize(("line", "version"), EACH)
async def test_an_agenda_is_kept_listed_back_and_replaced(tmp_path, line, version):
    async with playing(tmp_path, line, version, calendar=CalendarKind.PUSHED) as on:
        asked = agenda(on, 'Kari\'s <talk> & "more"', "Ærlig talt\u2028…", None)
        on.fleet.ask(asked)
        assert await on.ear.until_heard(AgendaPut) == AgendaPut(device=ROOM, edition="e1")
        assert [(b.id, b.start, b.end, b.number, b.protocol) for b in on.device.agenda()] == [
            (b.booking_id, b.starts_at, b.ends_at, LINK, "WebRTC") for b in asked.bookings
        ]
        before = len(on.ear.of(BookingsListed))
        on.fleet.ask(ListBookings(device=ROOM))
        listed = (await on.ear.until_heard(BookingsListed, before + 1)).bookings
        assert [(b.booking_id, b.meeting_id, b.starts_at, b.ends_at) for b in listed] == [
            (b.booking_id, None, b.starts_at, b.ends_at) for b in asked.bookings
        ]
        assert [b.meeting.title for b in listed] == ['Kari\'s <talk> & "more"', "Ærlig talt …", "Busy"]
        assert not any(b.from_webex for b in listed)
        on.fleet.ask(agenda(on, edition="e2"))
        assert (await on.ear.until_heard(AgendaPut, 2)).edition == "e2"
        assert on.device.agenda() == ()


@pytest.mark.parametrize("line", ["websocket", "ssh", "http"])
async def test_an_account_that_may_not_put_it_is_told_which_role_it_needs(tmp_path, line):
    async with playing(tmp_path, line) as on:
        on.device.fault(command_errors={"Bookings Put": PERMISSION_DENIED})
        on.fleet.ask(agenda(on, "Planning"))
        refused = await on.ear.until_heard(AgendaRefused)
        assert (refused.edition, refused.why) == ("e1", PUTS_DENIED)
