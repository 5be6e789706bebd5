"""What is said of an order whose answer is lost, late or no, upon stand-ins for the clouds."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.core.commands import ANSWERS_WITHIN
from agent.core.events import (
    CalendarOrderRefused,
    CalendarOrderTaken,
    CalendarOrderUnanswered,
    RoomEvent,
)
from agent.core.facts import BookInCalendar, ExtendInCalendar, ReleaseInCalendar
from agent.core.model import CalendarKind, CommandId, EntryId, RequestId, RoomId
from cloud_link.calendars.google_calendar import Writing
from cloud_link.calendars.microsoft import Cloud, Microsoft, token_source
from cloud_link.calendars.orders import CARRIED_OUT_WITHIN_S, Order, Orders
from cloud_link.calendars.providers import Calendars, MicrosoftCalendars
from cloud_link.calendars.tokens import client_secret
from cloud_link.calendars.wire import Wire, WirePace
from tests.cloud_link.calendars.reading import stand
from tests.clouds.microsoft import READ_WRITE, Microsoft365
from tests.clouds.serving import CUT, SILENCE, Request, Response, Serving, text

pytestmark = pytest.mark.slow

FJORD = RoomId("fjord")
ADDRESS = "fjord@contoso.example"
EIGHT, NINE, TEN = (datetime(2026, 1, 14, hour, tzinfo=UTC) for hour in (8, 9, 10))
PACE = WirePace(first_rest_s=0.001, patience_s=0.01)
KIND = CalendarKind.MICROSOFT
C1 = CommandId("c1")
BOOK = BookInCalendar(
    calendar=KIND,
    command=C1,
    request_id=RequestId("r1"),
    starts_at=EIGHT,
    ends_at=NINE,
    title="Ours",
    organizer=None,
)
UNANSWERED = CalendarOrderUnanswered(calendar=KIND, command=C1)


class Site:
    """One room's calendar, and what was said of orders."""

    def __init__(self, tenant: Microsoft365, service: Serving, calendars: Calendars) -> None:
        self.tenant = tenant
        self.service = service
        self.hints = 0
        self.opening = asyncio.Event()
        self.opening.set()
        self._calendars = calendars
        self._said: asyncio.Queue[RoomEvent] = asyncio.Queue()

    async def writing(self, room: RoomId) -> tuple[Calendars, str] | str:
        await self.opening.wait()
        return self._calendars, ADDRESS

    def hint_room(self, room: RoomId) -> None:
        self.hints += 1

    async def deliver(self, room: RoomId, events: Sequence[RoomEvent]) -> None:
        for event in events:
            await self._said.put(event)

    async def order(self, order: Order, *, within_s: float = 20.0) -> RoomEvent:
        """What is said of it."""
        async with self.running(within_s) as orders:
            orders.give(FJORD, order)
            return await self._said.get()

    @asynccontextmanager
    async def running(self, within_s: float) -> AsyncIterator[Orders]:
        orders = Orders({KIND: self}, self.deliver, within_s=within_s)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(orders.run(), name="orders")
            yield orders
            task.cancel()

    def spoil(self, response: Response, *methods: str) -> None:
        self.service.interrupt = lambda request: response if request.method in methods else None

    def entries(self) -> list[str]:
        return [entry.fields["subject"] for entry in self.tenant.rooms[ADDRESS].entries.values()]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    tenant = Microsoft365()
    tenant.add_room(ADDRESS)
    tenant.roles = set(READ_WRITE)
    async with Serving(tenant.answer) as service, AsyncExitStack() as stack:
        tenant.service = service
        wire = await stack.enter_async_context(Wire(service.url, context=service.client_context(), pace=PACE))
        grant = client_secret(tenant.client_id, "s3cret", scope=Cloud.GLOBAL.scope)
        client = Microsoft(wire, token_source(wire, tenant.tenant, grant), pace=PACE, writes=True)
        await client.sign_in()
        yield Site(tenant, service, MicrosoftCalendars(client))
    assert not tenant.problems


def release(entry_id: str) -> ReleaseInCalendar:
    return ReleaseInCalendar(calendar=KIND, command=C1, entry_id=EntryId(entry_id))


def extend(entry_id: str) -> ExtendInCalendar:
    return ExtendInCalendar(calendar=KIND, command=C1, entry_id=EntryId(entry_id), ends_at=TEN)


async def test_what_was_done_is_taken_and_looked_for(site: Site):
    taken = await site.order(BOOK)
    assert isinstance(taken, CalendarOrderTaken)
    assert taken.entry_id
    assert isinstance(await site.order(extend(taken.entry_id)), CalendarOrderTaken)
    assert isinstance(await site.order(release(taken.entry_id)), CalendarOrderTaken)
    assert site.hints == 3
    assert site.entries() == []


@pytest.mark.parametrize("fault", [CUT, text("busy", 502)])
async def test_a_booking_that_was_made_and_whose_answer_is_lost_is_not_said_to_have_failed(
    site: Site, fault: Response
):
    answer = site.tenant.answer

    async def losing(request: Request) -> Response:
        response = await answer(request)
        return fault if request.method == "POST" and request.path.endswith("/events") else response

    site.service._answer = losing  # noqa: SLF001 - the fault is between the two
    assert await site.order(BOOK) == UNANSWERED
    assert site.entries() == ["Ours"]
    assert site.hints == 1


async def test_nor_are_an_extension_and_a_release(site: Site):
    taken = await site.order(BOOK)
    assert isinstance(taken, CalendarOrderTaken)
    site.spoil(CUT, "PATCH", "DELETE")
    assert await site.order(extend(taken.entry_id or "")) == UNANSWERED
    assert await site.order(release(taken.entry_id or "")) == UNANSWERED


async def test_an_answer_that_does_not_come_in_time_is_waited_for_no_longer(site: Site):
    site.spoil(SILENCE, "POST")
    assert await site.order(BOOK, within_s=0.3) == UNANSWERED
    assert site.hints == 1


async def test_an_order_that_waited_too_long_is_not_begun(site: Site):
    site.opening.clear()
    refused = await site.order(BOOK, within_s=0.05)
    assert isinstance(refused, CalendarOrderRefused)
    assert "nothing was done" in refused.why
    site.opening.set()
    asked = len(site.service.seen)
    assert isinstance(await site.order(BOOK, within_s=0.0), CalendarOrderRefused)
    assert len(site.service.seen) == asked


async def test_who_is_told_to_slow_down_has_done_nothing(site: Site):
    site.tenant.throttle(ADDRESS, seconds=30)
    refused = await site.order(BOOK)
    assert isinstance(refused, CalendarOrderRefused)
    assert site.entries() == []


async def test_what_is_taken_is_refused_with_words_for_whoever_booked(site: Site):
    site.tenant.add(ADDRESS, "Theirs", EIGHT, TEN)
    refused = await site.order(BOOK)
    assert isinstance(refused, CalendarOrderRefused)
    assert refused.why == "something else is booked in this time; choose another time or another room"
    assert site.entries() == ["Theirs"]


async def test_what_a_google_room_declines_is_in_no_listing_and_is_taken_back(tmp_path: Path):
    async with stand(tmp_path) as clouds:
        clouds.add_google("fjord")
        clouds.google.delegated.add("calendar.events")
        clouds.google.faults.declines = True
        mine = clouds.google.add_person(clouds.google.admin.partition("@")[0])
        async with clouds.running(google=clouds.google_account(Writing.INSERT, Writing.DELETE)) as site:
            await clouds.until(lambda: clouds.listed("fjord"))
            site.ask(FJORD, replace(BOOK, calendar=CalendarKind.GOOGLE))
            await clouds.until(lambda: list(clouds.of("fjord", CalendarOrderTaken)))
            [taken] = clouds.of("fjord", CalendarOrderTaken)
            assert isinstance(taken, CalendarOrderTaken)
            assert taken.entry_id is not None
            assert mine.events[taken.entry_id]["status"] == "confirmed"
            await clouds.until(lambda: len(clouds.listed("fjord")) > 1)
            assert not any(clouds.listed("fjord"))  # the core gives it up by that
            site.ask(FJORD, replace(release(taken.entry_id), calendar=CalendarKind.GOOGLE))
            await clouds.until(lambda: len(list(clouds.of("fjord", CalendarOrderTaken))) > 1)
            assert mine.events[taken.entry_id]["status"] == "cancelled"


def test_an_order_ends_before_a_listing_is_believed_to_lack_it():
    assert ANSWERS_WITHIN.total_seconds() > CARRIED_OUT_WITHIN_S
