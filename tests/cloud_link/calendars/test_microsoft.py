"""Microsoft 365, on a stand-in for it, over real TLS sockets."""

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.core.events import CalendarEntry
from agent.core.model import EntryId
from cloud_link.calendars import graph, joins
from cloud_link.calendars.errors import (
    CalendarError,
    ClockSkewed,
    Conflicting,
    CredentialWrong,
    Gone,
    Misconfigured,
    Refused,
    Revoked,
    RoomDenied,
    RoomsDenied,
    RoomUnknown,
    Throttled,
    Transient,
    Unreadable,
    WritingOff,
)
from cloud_link.calendars.graph import Hint, Lifecycle, LifecycleNotice, Subscription
from cloud_link.calendars.microsoft import (
    SUBSCRIBED_FOR,
    Cloud,
    Listed,
    Microsoft,
    RoomToList,
    token_path,
    token_source,
)
from cloud_link.calendars.tokens import Grant, Tokens, client_certificate, client_secret
from cloud_link.calendars.window import Window, today_and_tomorrow
from cloud_link.calendars.wire import Wire, WirePace, read_origin
from tests.clouds.microsoft import READ_WRITE, Microsoft365
from tests.clouds.serving import CUT, Request, Response, Serving, nothing, text

pytestmark = pytest.mark.slow

OSLO = ZoneInfo("Europe/Oslo")
SCOPE = Cloud.GLOBAL.scope
FJORD = "fjord@contoso.example"
DAY = date(2026, 1, 14)
WINDOW = today_and_tomorrow(datetime(2026, 1, 14, 9, tzinfo=UTC), OSLO)
PACE = WirePace(first_rest_s=0.001, patience_s=3.0)
EIGHT, NINE, TEN = (datetime(2026, 1, 14, hour, tzinfo=UTC) for hour in (8, 9, 10))

Making = Callable[..., Awaitable[Microsoft]]


class Stand:
    """A tenant that is served, and what is needed to ask it."""

    def __init__(self, tenant: Microsoft365, service: Serving, stack: AsyncExitStack) -> None:
        self.tenant = tenant
        self.service = service
        self._stack = stack

    async def wire(self, pace: WirePace = PACE) -> Wire:
        return await self._stack.enter_async_context(
            Wire(self.service.url, context=self.service.client_context(), pace=pace)
        )

    def secret(self) -> Grant:
        return client_secret(self.tenant.client_id, "s3cret", scope=SCOPE)

    async def client(self, *, grant: Grant | None = None, pace: WirePace = PACE, **how: bool) -> Microsoft:
        wire = await self.wire(pace)
        tokens = token_source(wire, self.tenant.tenant, grant or self.secret())
        return Microsoft(wire, tokens, pace=pace, **how)


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    tenant = Microsoft365()
    tenant.add_room(FJORD)
    async with Serving(tenant.answer) as service, AsyncExitStack() as stack:
        tenant.service = service
        yield Stand(tenant, service, stack)
    assert not tenant.problems
    assert not tenant.rests.broken


@pytest.fixture
async def client(stand: Stand) -> Microsoft:
    return await stand.client()


class Heard:
    """What was told of many rooms."""

    def __init__(self) -> None:
        self.of: dict[str, Listed] = {}

    async def __call__(self, address: str, listed: Listed) -> None:
        assert address not in self.of
        self.of[address] = listed

    def errors(self) -> dict[str, type[CalendarError]]:
        return {who: type(said) for who, said in self.of.items() if isinstance(said, CalendarError)}


def to_list(*addresses: str, window: Window = WINDOW) -> list[RoomToList]:
    return [RoomToList(address=address, window=window, zone=OSLO) for address in addresses]


def titles(entries: tuple[CalendarEntry, ...]) -> list[str | None]:
    return [entry.meeting.title for entry in entries]


# ── tokens ──


async def test_a_token_by_secret_is_asked_for_once(stand: Stand, client: Microsoft):
    for _ in range(3):
        await client.list_room(FJORD, WINDOW, OSLO)
    assert stand.tenant.calls["token"] == 1


async def test_a_token_by_certificate(stand: Stand):
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "roomd")])
    shown = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    stand.tenant.certificates.append(shown)
    grant = client_certificate(
        stand.tenant.client_id,
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate=shown.public_bytes(Encoding.PEM),
        audience=stand.service.url + token_path(stand.tenant.tenant),
        scope=SCOPE,
    )
    assert await (await stand.client(grant=grant)).list_room(FJORD, WINDOW, OSLO) == ()
    # Microsoft's clock is elsewhere
    stand.tenant.now = lambda: datetime.now(UTC) + timedelta(hours=2)
    with pytest.raises(ClockSkewed):
        await (await stand.client(grant=grant)).list_room(FJORD, WINDOW, OSLO)
    stand.tenant.now = lambda: datetime.now(UTC)
    stand.tenant.certificates.clear()
    with pytest.raises(CredentialWrong):
        await (await stand.client(grant=grant)).list_room(FJORD, WINDOW, OSLO)


@pytest.mark.parametrize(
    ("status", "error", "number", "kind"),
    [
        (400, "unauthorized_client", 700016, Revoked),
        (401, "invalid_client", 7000229, Revoked),
        (401, "unauthorized_client", 7000112, Revoked),
        (400, "invalid_grant", 65001, Revoked),
        (401, "invalid_client", 7000215, CredentialWrong),
        (401, "invalid_client", 7000222, CredentialWrong),
        (401, "invalid_client", 700027, CredentialWrong),
        (401, "invalid_client", 700024, ClockSkewed),
        (400, "invalid_request", 90002, Misconfigured),
        (400, "invalid_tenant", None, Misconfigured),
        (429, "temporarily_unavailable", None, Throttled),
        (500, "server_error", None, Transient),
        (503, "temporarily_unavailable", None, Transient),
        (400, "temporarily_unavailable", None, Transient),
    ],
)
async def test_a_refused_token_says_what_to_do(
    stand: Stand, client: Microsoft, status: int, error: str, number: int | None, kind: type[CalendarError]
):
    stand.tenant.faults.token_refusal = status, error, number
    with pytest.raises(CalendarError) as caught:
        await client.list_room(FJORD, WINDOW, OSLO)
    assert type(caught.value) is kind
    heard = Heard()
    with pytest.raises(kind):
        await client.list_rooms(to_list(FJORD), heard)
    assert not heard.of
    # and when it is mended, it is mended
    stand.tenant.faults.token_refusal = None
    assert await client.list_room(FJORD, WINDOW, OSLO) == ()


async def test_a_wrong_secret_tenant_or_application(stand: Stand):
    wire = await stand.wire()
    for tenant, grant, kind in (
        (stand.tenant.tenant, client_secret("app-1", "wrong", scope=SCOPE), CredentialWrong),
        ("elsewhere.example", stand.secret(), Misconfigured),
        (stand.tenant.tenant, client_secret("app-2", "s3cret", scope=SCOPE), Revoked),
    ):
        with pytest.raises(CalendarError) as caught:
            await token_source(wire, tenant, grant).token()
        assert type(caught.value) is kind


async def test_a_lapsed_token_is_renewed_once(stand: Stand, client: Microsoft):
    await client.list_room(FJORD, WINDOW, OSLO)
    stand.tenant.expire_tokens()
    await client.list_room(FJORD, WINDOW, OSLO)
    assert stand.tenant.calls["token"] == 2


async def test_a_lapsed_token_of_a_batch_is_renewed_once(stand: Stand, client: Microsoft):
    stand.tenant.add_room("bay@contoso.example")
    stand.tenant.faults.batch_failures = {FJORD: [(401, {})], "bay@contoso.example": [(401, {})]}
    heard = Heard()
    await client.list_rooms(to_list(FJORD, "bay@contoso.example"), heard)
    assert heard.of == {FJORD: (), "bay@contoso.example": ()}
    assert stand.tenant.calls["token"] == 2


async def test_a_token_that_is_never_taken(stand: Stand):
    class Stale:
        async def token(self) -> str:
            return "stale"

        def forget(self, token: str) -> None:
            pass

    client = Microsoft(await stand.wire(), Stale())
    with pytest.raises(CredentialWrong):
        await client.rooms()
    with pytest.raises(CredentialWrong):
        await client.list_rooms(to_list(FJORD), Heard())
    with pytest.raises(RoomDenied):  # one room's refusal is never everybody's
        await client.list_room(FJORD, WINDOW, OSLO)


async def test_a_token_that_one_mailbox_does_not_take(stand: Stand, client: Microsoft):
    bay = "bay@contoso.example"
    stand.tenant.add_room(bay)
    stand.tenant.rooms[FJORD].refusal = 401, "", ""
    heard = Heard()
    await client.list_rooms(to_list(FJORD, bay), heard)
    assert heard.errors() == {FJORD: RoomDenied}
    with pytest.raises(RoomDenied):
        await client.list_room(FJORD, WINDOW, OSLO)


async def test_permissions_that_were_taken_away(stand: Stand, client: Microsoft):
    stand.tenant.roles = set()
    with pytest.raises(RoomsDenied):
        await client.rooms()
    with pytest.raises(RoomDenied):
        await client.list_room(FJORD, WINDOW, OSLO)


@pytest.mark.parametrize("cloud", list(Cloud))
def test_each_cloud_is_spoken_to_over_https(cloud: Cloud):
    assert read_origin(cloud.login) == f"{cloud.login}:443"
    assert read_origin(cloud.graph) == f"{cloud.graph}:443"
    assert cloud.lists_rooms is (cloud is Cloud.GLOBAL)


# ── rooms ──


@pytest.mark.parametrize("no_next_links", [True, False])
async def test_all_rooms_are_found_with_and_without_next_links(
    stand: Stand, client: Microsoft, no_next_links: bool
):
    stand.tenant.faults.no_next_links = no_next_links
    for number in range(249):
        stand.tenant.add_room(f"Room{number:03}@contoso.example")
    rooms = await client.rooms()
    assert len(rooms) == len({room.address for room in rooms}) == 250
    assert stand.tenant.calls["places"] == 3
    assert rooms[0].address == "fjord@contoso.example"
    assert (rooms[1].address, rooms[1].name, rooms[1].capacity, rooms[1].floor) == (
        "room000@contoso.example",
        "Room000",
        8,
        "2",
    )


async def test_exactly_full_pages_end(stand: Stand, client: Microsoft):
    stand.tenant.faults.no_next_links = True
    for number in range(99):
        stand.tenant.add_room(f"room{number}@contoso.example")
    assert len(await client.rooms()) == 100
    assert stand.tenant.calls["places"] <= 2


async def test_a_room_that_comes_twice_is_one(stand: Stand, client: Microsoft):
    stand.tenant.add_room("twin@contoso.example")
    stand.tenant.rooms["another"] = stand.tenant.rooms["twin@contoso.example"]
    assert len(await client.rooms()) == 2


@pytest.mark.parametrize(("off_by", "warned"), [(0, False), (3, True)])
async def test_a_count_that_differs_is_said(
    stand: Stand, client: Microsoft, capfd: pytest.CaptureFixture[str], off_by: int, warned: bool
):
    stand.tenant.faults.count_off_by = off_by
    with structlog.testing.capture_logs() as logs:
        assert len(await client.rooms()) == 1
    assert [each["event"] for each in logs] == ["microsoft.rooms_missed"] * warned


async def test_a_room_hidden_from_the_list_is_read_by_its_address(stand: Stand, client: Microsoft):
    hidden = "hidden@contoso.example"
    stand.tenant.add_room(hidden, hidden=True)
    stand.tenant.add(hidden, "Board", EIGHT, NINE)
    assert hidden not in {room.address for room in await client.rooms()}
    assert await client.room(hidden) is None
    assert titles(await client.list_room(hidden, WINDOW, OSLO)) == ["Board"]


async def test_one_room_of_the_list(client: Microsoft):
    room = await client.room("Fjord@contoso.example")
    assert room is not None
    assert room.name == "Fjord"


async def test_a_list_that_may_not_be_read(stand: Stand, client: Microsoft):
    stand.tenant.roles = {"Calendars.Read"}
    with pytest.raises(RoomsDenied, match="403") as caught:
        await client.rooms()
    assert "Place.Read.All" in caught.value.mend
    with pytest.raises(RoomsDenied):
        await client.room(FJORD)
    assert await client.list_room(FJORD, WINDOW, OSLO) == ()


async def test_a_cloud_without_a_list(stand: Stand):
    client = await stand.client(lists_rooms=False)
    with pytest.raises(Misconfigured) as caught:
        await client.rooms()
    assert "by its address" in caught.value.mend
    assert not stand.service.seen


# ── truth ──


async def test_what_a_room_is_taken_for(stand: Stand, client: Microsoft):
    stand.tenant.add(
        FJORD,
        "Weekly",
        EIGHT,
        NINE,
        onlineMeeting={"joinUrl": "https://teams.microsoft.com/l/meetup-join/19%3ameeting_a/0?context=x"},
    )
    stand.tenant.add(FJORD, "Cancelled", EIGHT, NINE, isCancelled=True)
    stand.tenant.add(FJORD, "Declined", EIGHT, NINE, responseStatus={"response": "declined"})
    stand.tenant.add(FJORD, "Draft", EIGHT, NINE, isDraft=True)
    stand.tenant.add(FJORD, "Free", EIGHT, NINE, showAs="free")
    stand.tenant.add(FJORD, "Elsewhere", EIGHT, NINE, showAs="workingElsewhere")
    stand.tenant.add(FJORD, "Perhaps", NINE, TEN, showAs="tentative")
    stand.tenant.add(FJORD, "Salary", NINE, TEN + timedelta(hours=1), sensitivity="private")
    stand.tenant.add(FJORD, None, TEN, TEN + timedelta(hours=1))
    # somebody else declined, and the room did not
    somebody = {"status": {"response": "declined"}, "emailAddress": {"address": "bob@contoso.example"}}
    stand.tenant.add(FJORD, "Without Bob", EIGHT, NINE, attendees=[somebody])
    stand.tenant.add(FJORD, "Next week", EIGHT + timedelta(days=7), NINE + timedelta(days=7))
    stand.tenant.add(FJORD, "No time at all", EIGHT, EIGHT)
    entries = await client.list_room(FJORD, WINDOW, OSLO)
    assert titles(entries[2:]) == ["Perhaps", None, None]
    assert [entry.meeting.private for entry in entries] == [False, False, False, True, False]
    weekly, without_bob = sorted(entries[:2], key=lambda entry: str(entry.meeting.title))
    assert (weekly.meeting.title, without_bob.meeting.title) == ("Weekly", "Without Bob")
    assert (weekly.starts_at, weekly.ends_at, weekly.all_day) == (EIGHT, NINE, False)
    assert weekly.meeting.platform == "microsoft_teams"
    assert weekly.ical_uid is not None
    assert weekly.ical_uid.startswith("040000008200E00074C5B7101A82E00800000000")


async def test_what_is_asked_for(stand: Stand, client: Microsoft):
    await client.list_room(FJORD, WINDOW, OSLO)
    [request] = [each for each in stand.service.seen if "calendarView" in each.path]
    assert request.query["startDateTime"] == "2026-01-13T23:00:00Z"
    assert request.query["endDateTime"] == "2026-01-15T23:00:00Z"
    assert request.headers["prefer"] == 'outlook.timezone="UTC", IdType="ImmutableId"'
    asked = set(request.query["$select"].split(","))
    assert not asked & {"body", "bodyPreview", "attendees", "organizer"}
    assert len(request.headers["client-request-id"]) == 36


async def test_organizers_only_where_they_are_wanted(stand: Stand):
    stand.tenant.add(FJORD, "Weekly", EIGHT, NINE)
    assert [
        entry.meeting.organizer for entry in await (await stand.client()).list_room(FJORD, WINDOW, OSLO)
    ] == [None]
    named = await stand.client(organizers=True)
    assert [entry.meeting.organizer for entry in await named.list_room(FJORD, WINDOW, OSLO)] == [
        "Ada Lovelace"
    ]


async def test_an_empty_calendar_is_an_answer(client: Microsoft):
    assert await client.list_room(FJORD, WINDOW, OSLO) == ()


async def test_many_pages_are_one_listing(stand: Stand, client: Microsoft):
    for number in range(250):
        at = EIGHT + timedelta(minutes=number)
        stand.tenant.add(FJORD, f"{number:03}", at, at + timedelta(minutes=1))
    entries = await client.list_room(FJORD, WINDOW, OSLO)
    assert titles(entries) == [f"{number:03}" for number in range(250)]
    assert stand.tenant.asked[FJORD] == 3


async def test_a_listing_that_breaks_off_is_no_listing(stand: Stand, client: Microsoft):
    for number in range(150):
        stand.tenant.add(FJORD, str(number), EIGHT, NINE)
    stand.service.interrupt = lambda request: nothing(504) if "skip" in request.target else None
    with pytest.raises(Transient):
        await client.list_room(FJORD, WINDOW, OSLO)


@pytest.mark.parametrize(
    "link",
    ["https://evil.example/v1.0/users", "http://169.254.169.254/latest", "https://graph.microsoft.com/x"],
)
async def test_a_next_link_to_elsewhere_is_refused(stand: Stand, client: Microsoft, link: str):
    stand.tenant.faults.foreign_next_link = link
    with pytest.raises(Unreadable, match="another host"):
        await client.list_room(FJORD, WINDOW, OSLO)
    with pytest.raises(Unreadable, match="another host"):
        await client.rooms()
    heard = Heard()
    await client.list_rooms(to_list(FJORD), heard)
    assert heard.errors() == {FJORD: Unreadable}


async def test_pages_without_end_are_left(stand: Stand, client: Microsoft):
    stand.tenant.faults.endless = True
    with pytest.raises(Unreadable, match="without an end"):
        await client.list_room(FJORD, WINDOW, OSLO)


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        ((403, "ErrorAccessDenied", "Access to OData is disabled."), RoomDenied),
        ((404, "MailboxNotEnabledForRESTAPI", "REST API is not yet supported."), RoomUnknown),
        ((400, "ErrorInvalidUser", "invalid"), RoomUnknown),
    ],
)
async def test_what_is_wrong_with_one_room(
    stand: Stand, client: Microsoft, refusal: tuple[int, str, str], kind: type[CalendarError]
):
    stand.tenant.rooms[FJORD].refusal = refusal
    with pytest.raises(kind):
        await client.list_room(FJORD, WINDOW, OSLO)
    with pytest.raises(RoomUnknown):
        await client.list_room("nobody@contoso.example", WINDOW, OSLO)


async def test_an_entry_that_cannot_be_read_spoils_no_other(stand: Stand, client: Microsoft):
    stand.tenant.add(FJORD, "Strange", EIGHT, NINE, location="nowhere")
    stand.tenant.add(FJORD, "Plain", EIGHT, NINE)
    with structlog.testing.capture_logs() as logs:
        assert titles(await client.list_room(FJORD, WINDOW, OSLO)) == ["Plain"]
    assert [(each["event"], each["count"]) for each in logs] == [("microsoft.entries_skipped", 1)]


@pytest.mark.parametrize("body", ["<html>log in</html>", "", "[]", '{"value": 3}', '{"status": "ok"}'])
async def test_what_is_no_answer_of_graphs(stand: Stand, client: Microsoft, body: str):
    await client.rooms()
    stand.service.interrupt = lambda request: text(body)
    with pytest.raises(Unreadable):
        await client.list_room(FJORD, WINDOW, OSLO)
    with pytest.raises(Unreadable):
        await client.list_rooms(to_list(FJORD), Heard())


# ── time ──


@pytest.mark.parametrize(
    ("day", "hours", "starts"),
    [
        (date(2026, 3, 29), 47, ["07:00", "07:00"]),  # summer time begins
        (date(2026, 10, 25), 49, ["08:00", "08:00"]),  # and ends
        (date(2026, 3, 28), 47, ["08:00", "07:00"]),
        (date(2026, 10, 24), 49, ["07:00", "08:00"]),
    ],
)
@pytest.mark.parametrize("ignore_prefer", [False, True])
async def test_a_series_over_a_change_of_the_clocks(
    stand: Stand, client: Microsoft, day: date, hours: int, starts: list[str], ignore_prefer: bool
):
    stand.tenant.faults.ignore_prefer = ignore_prefer
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=OSLO)
    window = today_and_tomorrow(noon, OSLO)
    assert window.ends_at - window.starts_at == timedelta(hours=hours)
    stand.tenant.add_series(
        FJORD,
        "Daily",
        first=day - timedelta(days=1),
        at="09:00",
        minutes=30,
        zone="Europe/Oslo",
        days=range(4),
        windows_zone="W. Europe Standard Time",
    )
    entries = await client.list_room(FJORD, window, OSLO)
    assert [f"{entry.starts_at:%H:%M}" for entry in entries] == starts
    assert all(entry.ends_at - entry.starts_at == timedelta(minutes=30) for entry in entries)
    assert len({entry.ical_uid for entry in entries}) == 1
    assert len({entry.entry_id for entry in entries}) == 2


@pytest.mark.parametrize("ignore_prefer", [False, True])
@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [
        ("Europe/Oslo", "2026-01-13 23:00", "2026-01-15 23:00"),
        ("Pacific/Auckland", "2026-01-13 11:00", "2026-01-15 11:00"),
        ("America/Los_Angeles", "2026-01-14 08:00", "2026-01-16 08:00"),
    ],
)
async def test_all_day_is_dates_of_the_room_wherever_it_is(
    stand: Stand, client: Microsoft, zone: str, first: str, last: str, ignore_prefer: bool
):
    stand.tenant.faults.ignore_prefer = ignore_prefer
    stand.tenant.add(FJORD, "Fair", date(2026, 1, 14), date(2026, 1, 16))
    room = ZoneInfo(zone)
    window = today_and_tomorrow(datetime(2026, 1, 14, 12, tzinfo=room), room)
    [entry] = await client.list_room(FJORD, window, room)
    assert (f"{entry.starts_at:%F %H:%M}", f"{entry.ends_at:%F %H:%M}") == (first, last)
    assert entry.all_day


async def test_an_all_day_entry_of_yesterday_is_not_today(stand: Stand, client: Microsoft):
    # Graph compares it in UTC, where Oslo's yesterday reaches into the window's first hour
    stand.tenant.add(FJORD, "Yesterday", date(2026, 1, 13), date(2026, 1, 14))
    assert await client.list_room(FJORD, WINDOW, OSLO) == ()


async def test_a_zone_made_by_hand_is_the_rooms(stand: Stand, client: Microsoft):
    stand.tenant.faults.ignore_prefer = True
    custom = {
        "originalStartTimeZone": "tzone://Microsoft/Custom",
        "originalEndTimeZone": "tzone://Microsoft/Custom",
    }
    stand.tenant.add(FJORD, "Custom", EIGHT, NINE, **custom)
    [entry] = await client.list_room(FJORD, WINDOW, OSLO)
    assert (entry.starts_at, entry.ends_at) == (EIGHT, NINE)


# ── descriptions ──

JOIN = "https://acme.webex.com/meet/ada"


async def test_a_link_in_a_description_is_found_where_that_is_switched_on(stand: Stand):
    key = stand.tenant.add(
        FJORD,
        "Weekly",
        EIGHT,
        NINE,
        body={"contentType": "text", "content": f"Join: {JOIN}"},
        location={"displayName": "@webex"},
    )
    stand.tenant.add(FJORD, "Plain", NINE, TEN, location={"displayName": "https://acme.webex.com/meet/bob"})
    [off, _] = await (await stand.client()).list_room(FJORD, WINDOW, OSLO)
    assert (off.meeting.join, off.join_pending) == (None, True)
    client = await stand.client(bodies=True)
    for _ in range(3):
        [weekly, plain] = await client.list_room(FJORD, WINDOW, OSLO)
        assert (weekly.meeting.join, weekly.meeting.platform, weekly.join_pending) == (JOIN, "webex", False)
        assert plain.meeting.join == "https://acme.webex.com/meet/bob"
    bodies = [each for each in stand.service.seen if each.query.get("$select") == "body"]
    assert len(bodies) == 1  # it did not change
    stand.tenant.change(FJORD, key, body={"contentType": "text", "content": "no link any more"})
    [weekly, _] = await client.list_room(FJORD, WINDOW, OSLO)
    assert (weekly.meeting.join, weekly.join_pending) == (None, True)


async def test_a_description_that_cannot_be_read_costs_no_listing(stand: Stand):
    stand.tenant.add(FJORD, "Weekly", EIGHT, NINE, body={"contentType": "text", "content": JOIN})
    client = await stand.client(bodies=True)
    stand.service.interrupt = lambda request: (
        text("x", 400) if "%24select=body" in request.target or "$select=body" in request.target else None
    )
    [entry] = await client.list_room(FJORD, WINDOW, OSLO)
    assert entry.meeting.join is None
    stand.service.interrupt = lambda _: None
    [entry] = await client.list_room(FJORD, WINDOW, OSLO)
    assert entry.meeting.join == JOIN


async def test_a_description_is_handed_on_and_dropped(stand: Stand, client: Microsoft):
    stand.tenant.add(FJORD, "Weekly", EIGHT, NINE, body={"contentType": "text", "content": JOIN})
    [entry] = await client.list_room(FJORD, WINDOW, OSLO)
    found = await client.read_body(FJORD, entry.entry_id, lambda body: joins.find(body=body))
    assert found is not None
    assert found.link == JOIN
    with pytest.raises(Gone):
        await client.read_body(FJORD, EntryId("AAkALg-e999="), len)


# ── many rooms ──


def furnish(tenant: Microsoft365, count: int) -> list[str]:
    addresses = [f"room{number:03}@contoso.example" for number in range(count)]
    for address in addresses:
        tenant.add_room(address)
        tenant.add(address, f"In {address}", EIGHT, NINE)
    return addresses


async def test_many_rooms_in_few_requests(stand: Stand, client: Microsoft):
    addresses = furnish(stand.tenant, 45)
    heard = Heard()
    await client.list_rooms(to_list(*addresses), heard)
    assert {who: titles(said) for who, said in heard.of.items() if isinstance(said, tuple)} == {
        address: [f"In {address}"] for address in addresses
    }
    assert stand.tenant.calls["batch"] == 3


async def test_a_batch_gives_what_a_single_listing_gives(stand: Stand, client: Microsoft):
    for number in range(150):
        stand.tenant.add(FJORD, str(number), EIGHT, NINE)
    heard = Heard()
    await client.list_rooms(to_list(FJORD), heard)
    assert heard.of[FJORD] == await client.list_room(FJORD, WINDOW, OSLO)
    assert len(heard.of[FJORD]) == 150  # type: ignore[arg-type]


async def test_the_same_room_twice_is_one(stand: Stand, client: Microsoft):
    heard = Heard()
    await client.list_rooms(to_list(FJORD, FJORD.upper()), heard)
    assert len(heard.of) == 1
    await client.list_rooms([], heard)


async def test_one_room_denied_of_twenty(stand: Stand, client: Microsoft):
    addresses = furnish(stand.tenant, 19)
    stand.tenant.rooms[FJORD].refusal = 403, "ErrorAccessDenied", "Access to OData is disabled."
    heard = Heard()
    await client.list_rooms(to_list(FJORD, *addresses), heard)
    assert heard.errors() == {FJORD: RoomDenied}
    assert len(heard.of) == 20


async def test_all_rooms_and_the_list_denied(stand: Stand, client: Microsoft):
    addresses = furnish(stand.tenant, 20)
    stand.tenant.roles = {"User.Read"}
    heard = Heard()
    await client.list_rooms(to_list(*addresses), heard)
    assert heard.errors() == dict.fromkeys(addresses, RoomDenied)
    with pytest.raises(RoomsDenied):
        await client.rooms()


async def test_a_mixed_batch_asks_again_only_for_what_failed(stand: Stand, client: Microsoft):
    addresses = furnish(stand.tenant, 6)
    stand.tenant.faults.batch_failures = {
        addresses[0]: [(429, {"Retry-After": "1"})],
        addresses[1]: [(503, {}), (504, {})],
        addresses[2]: [(404, {})],
        addresses[3]: [(429, {"Retry-After": "600"})],
        addresses[4]: [(429, {})] * 9,
    }
    heard = Heard()
    await client.list_rooms(to_list(*addresses), heard)
    assert heard.errors() == {addresses[2]: RoomUnknown, addresses[3]: Throttled, addresses[4]: Throttled}
    assert isinstance(said := heard.of[addresses[3]], Throttled)
    assert said.retry_after_s == 600.0
    asked = [stand.tenant.asked[address] for address in addresses]
    assert asked == [2, 3, 1, 1, PACE.attempts, 1]


async def test_a_room_left_out_of_an_answer_is_asked_for_again(stand: Stand, client: Microsoft):
    addresses = furnish(stand.tenant, 5)
    stand.tenant.faults.lose_from_batch = 2
    heard = Heard()
    await client.list_rooms(to_list(*addresses), heard)
    assert not heard.errors()
    assert len(heard.of) == 5


async def test_a_network_that_goes_away_ends_it_and_what_was_told_stays(stand: Stand, client: Microsoft):
    addresses = furnish(stand.tenant, 100)
    heard = Heard()
    batches = 0

    def fail(request: Request) -> Response | None:
        nonlocal batches
        batches += request.path.endswith("/$batch")
        return CUT if batches > 1 else None

    stand.service.interrupt = fail
    with pytest.raises(Transient):
        await client.list_rooms(to_list(*addresses), heard)
    assert len(heard.of) == 20
    assert not heard.errors()


async def test_what_is_told_may_take_its_time(stand: Stand, client: Microsoft):
    addresses = furnish(stand.tenant, 90)
    told = 0

    async def tell(address: str, listed: Listed) -> None:
        nonlocal told
        await asyncio.sleep(0)
        told += 1

    await client.list_rooms(to_list(*addresses), tell)
    assert told == 90


async def test_what_goes_wrong_with_who_is_told_is_not_hidden(stand: Stand, client: Microsoft):
    async def tell(address: str, listed: Listed) -> None:
        raise LookupError(address)

    with pytest.raises(BaseExceptionGroup) as caught:
        await client.list_rooms(to_list(FJORD), tell)
    assert caught.group_contains(LookupError)


async def test_a_thousand_rooms_within_quota(stand: Stand, client: Microsoft):
    addresses = furnish(stand.tenant, 1000)
    heard = Heard()
    await client.list_rooms(to_list(*addresses), heard)
    assert len(heard.of) == 1000
    assert not heard.errors()
    assert stand.tenant.calls["batch"] == 50
    assert stand.tenant.calls["token"] == 1
    assert max(stand.tenant.asked.values()) == 1
    assert max(stand.tenant.mailboxes.most.values()) == 1
    assert stand.service.connections <= 5


# ── throttling ──


async def test_four_at_a_mailbox_and_no_more(stand: Stand, client: Microsoft):
    stand.tenant.faults.latency_s = 0.02
    everybody = [client.list_room(FJORD, WINDOW, OSLO) for _ in range(12)]
    batches = [client.list_rooms(to_list(FJORD), Heard()) for _ in range(4)]
    await asyncio.gather(*everybody, *batches)
    assert stand.tenant.mailboxes.most[FJORD] == 4


async def test_who_is_told_to_wait_waits_and_all_at_that_mailbox_with_him(stand: Stand):
    wire = await stand.wire()
    client = Microsoft(wire, token_source(wire, stand.tenant.tenant, stand.secret()))
    stand.tenant.throttle(FJORD, seconds=1, times=1)
    heard = Heard()

    async def follow() -> None:
        while not wire.rest_s(FJORD):  # noqa: ASYNC110 - nothing else tells that it heard
            await asyncio.sleep(0)
        again = [client.list_room(FJORD, WINDOW, OSLO) for _ in range(3)]
        await asyncio.gather(*again, client.list_rooms(to_list(FJORD), heard))

    await asyncio.gather(client.list_room(FJORD, WINDOW, OSLO), follow())
    assert heard.of == {FJORD: ()}
    assert stand.tenant.asked[FJORD] == 6


async def test_a_long_wait_is_left_to_the_caller(stand: Stand, client: Microsoft):
    stand.tenant.throttle(FJORD, seconds=300)
    for _ in range(2):  # the second time without asking
        with pytest.raises(Throttled) as caught:
            await client.list_room(FJORD, WINDOW, OSLO)
        assert caught.value.retry_after_s is not None
        assert 290 < caught.value.retry_after_s <= 300
    assert stand.tenant.asked[FJORD] == 1


# ── subscriptions ──


class Edge:
    """A receiver as ours will be: answers the handshake, and keeps what is told."""

    def __init__(self) -> None:
        self.heard: list[Hint | LifecycleNotice] = []
        self.handshakes = 0
        self.deaf = False

    async def answer(self, request: Request) -> Response:
        if self.deaf:
            return text("nobody", 404)
        if (token := request.query.get("validationToken")) is not None:
            self.handshakes += 1
            return text(token)
        self.heard += graph.notified(request.body)
        return nothing(202)


@pytest.fixture
def edge() -> Edge:
    return Edge()


@pytest.fixture
async def door(stand: Stand, edge: Edge) -> AsyncIterator[str]:
    async with Serving(edge.answer) as receiving:
        stand.tenant.receiver = receiving.client_context()
        yield f"{receiving.url}/hooks/graph?site=oslo"


def soon() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + SUBSCRIBED_FOR


async def subscribe(
    client: Microsoft, door: str, address: str = FJORD, secret: str = "secret"
) -> Subscription:
    return await client.subscribe(address, url=door, lifecycle_url=door, client_state=secret, until=soon())


async def test_subscribed_proven_told_and_over(stand: Stand, client: Microsoft, edge: Edge, door: str):
    made = await subscribe(client, door)
    assert edge.handshakes == 2
    assert (made.address, made.url, made.client_state) == (FJORD, door, "secret")
    assert timedelta(hours=69) < made.expires_at - datetime.now(UTC) <= timedelta(hours=70)
    await stand.tenant.notify(FJORD, times=3)
    assert edge.heard == [Hint(subscription_id=made.id, client_state="secret")]
    assert stand.tenant.delivered == [(made.id, 202)]
    await client.unsubscribe(made.id)
    await client.unsubscribe(made.id)  # it is gone already
    assert not stand.tenant.subscriptions


async def test_ids_that_last_are_asked_for_with_both(stand: Stand, client: Microsoft, door: str):
    await subscribe(client, door)
    [subscription] = stand.tenant.subscriptions.values()
    assert subscription.lasting_ids
    key = stand.tenant.add(FJORD, "Weekly", EIGHT, NINE)
    [entry] = await client.list_room(FJORD, WINDOW, OSLO)
    assert entry.entry_id == f"AAkALg-{key}="


async def test_a_deaf_receiver_gets_no_subscription(stand: Stand, client: Microsoft, edge: Edge, door: str):
    edge.deaf = True
    with pytest.raises(Refused, match="ValidationError") as caught:
        await subscribe(client, door)
    assert "reach the receiver" in caught.value.mend


async def test_graph_decides_until_when(stand: Stand, client: Microsoft, door: str):
    stand.tenant.faults.subscription_lasts = timedelta(hours=5)
    made = await subscribe(client, door)
    assert made.expires_at - datetime.now(UTC) < timedelta(hours=6)


async def test_renewed_with_its_secret_kept(stand: Stand, client: Microsoft, door: str):
    stand.tenant.faults.subscription_lasts = timedelta(hours=5)
    made = await subscribe(client, door)
    stand.tenant.faults.subscription_lasts = timedelta(hours=100)
    renewed = await client.renew(made, until=soon())
    assert renewed == replace(made, expires_at=renewed.expires_at)
    assert renewed.expires_at > made.expires_at + timedelta(hours=60)


async def test_a_renewal_of_what_is_gone(stand: Stand, client: Microsoft, door: str):
    made = await subscribe(client, door)
    stand.tenant.subscriptions.clear()
    with pytest.raises(Gone):
        await client.renew(made, until=soon())


async def test_one_of_ours_in_the_way_is_replaced(stand: Stand, client: Microsoft, door: str):
    first = await subscribe(client, door, secret="forgotten")
    second = await subscribe(client, door, secret="known")
    assert list(stand.tenant.subscriptions) == [second.id]
    assert first.id != second.id


async def test_anothers_in_the_way_is_left_alone(stand: Stand, client: Microsoft, door: str):
    async with Serving(Edge().answer) as other:
        stand.tenant.receiver = other.client_context()
        first = await subscribe(client, f"{other.url}/hooks")
        stand.tenant.receiver = None
        stand.service.interrupt = lambda request: (
            Response(status=409, body=json.dumps({"error": {"code": "ExtensionError"}}).encode())
            if request.method == "POST" and request.path.endswith("/subscriptions")
            else None
        )
        with pytest.raises(Conflicting):
            await subscribe(client, door)
    assert list(stand.tenant.subscriptions) == [first.id]


async def test_a_restart_neither_doubles_nor_loses(stand: Stand, client: Microsoft, door: str):
    rooms = furnish(stand.tenant, 4)
    stored = [await subscribe(client, door, room) for room in rooms]
    del stand.tenant.subscriptions[stored[0].id]  # lost meanwhile
    orphan = await subscribe(client, door, FJORD)  # made, and not remembered
    there = await client.subscriptions()
    assert len(there) == 4
    plan = graph.reconcile(stored, there, rooms=rooms, url=door, now=datetime.now(UTC))
    assert {each.id for each in plan.keep} == {each.id for each in stored[1:]}
    assert all(each.client_state == "secret" for each in plan.keep)
    assert plan.delete == (orphan.id,)


@pytest.mark.parametrize("word", list(Lifecycle))
async def test_each_word_of_a_subscriptions_life(
    stand: Stand, client: Microsoft, edge: Edge, door: str, word: Lifecycle
):
    made = await subscribe(client, door)
    await stand.tenant.tell_lifecycle(FJORD, word.value)
    assert edge.heard == [LifecycleNotice(subscription_id=made.id, client_state="secret", what=word)]


# ── writing ──


async def test_nothing_is_written_unless_switched_on(stand: Stand, client: Microsoft):
    for writing in (
        client.book(FJORD, starts_at=EIGHT, ends_at=NINE, title="x", organizer=None, request_id="r"),
        client.extend(FJORD, EntryId("AAkALg-e1="), ends_at=TEN),
        client.release(FJORD, EntryId("AAkALg-e1=")),
    ):
        with pytest.raises(WritingOff):
            await writing
    assert not stand.service.seen


async def test_nor_where_it_is_not_granted(stand: Stand):
    client = await stand.client(writes=True)
    with pytest.raises(RoomDenied):
        await client.book(FJORD, starts_at=EIGHT, ends_at=NINE, title="x", organizer=None, request_id="r")


async def test_booked_once_extended_and_released(stand: Stand):
    stand.tenant.roles = set(READ_WRITE)
    client = await stand.client(writes=True)

    async def book() -> EntryId:
        return await client.book(
            FJORD, starts_at=EIGHT, ends_at=NINE, title="Ad hoc", organizer="Ada", request_id="r1"
        )

    stand.service.interrupt = lambda request: None
    made = await book()
    assert await book() == made
    [entry] = await client.list_room(FJORD, WINDOW, OSLO)
    assert (entry.entry_id, entry.meeting.title, entry.starts_at, entry.ends_at) == (
        made,
        "Ad hoc",
        EIGHT,
        NINE,
    )
    await client.extend(FJORD, made, ends_at=TEN)
    assert [each.ends_at for each in await client.list_room(FJORD, WINDOW, OSLO)] == [TEN]
    await client.release(FJORD, made)
    assert await client.list_room(FJORD, WINDOW, OSLO) == ()
    await client.release(FJORD, made)  # it is gone already
    with pytest.raises(Gone):
        await client.extend(FJORD, made, ends_at=TEN)
    with pytest.raises(RoomUnknown):  # which is not the same as gone
        await client.release("nobody@contoso.example", made)


async def test_a_booking_whose_answer_was_lost_is_one_booking(stand: Stand):
    stand.tenant.roles = set(READ_WRITE)
    client = await stand.client(writes=True)
    await client.list_room(FJORD, WINDOW, OSLO)
    answer = stand.tenant.answer
    lost: list[Request] = []

    async def lose_one(request: Request) -> Response:
        response = await answer(request)
        if request.path.endswith("/events") and not lost:
            lost.append(request)
            return replace(response, cut=True)
        return response

    stand.service._answer = lose_one  # noqa: SLF001 - the fault is between the two
    await client.book(FJORD, starts_at=EIGHT, ends_at=NINE, title=None, organizer=None, request_id="r1")
    assert len(lost) == 1
    assert len(stand.tenant.rooms[FJORD].entries) == 1


async def book(client: Microsoft, request: str = "r1") -> EntryId:
    return await client.book(
        FJORD, starts_at=EIGHT, ends_at=NINE, title="Ours", organizer=None, request_id=request
    )


def posted(request: Request) -> bool:
    return request.method == "POST" and request.path.endswith("/events")


def subjects(stand: Stand) -> list[str]:
    return [entry.fields["subject"] for entry in stand.tenant.rooms[FJORD].entries.values()]


async def writer(stand: Stand) -> Microsoft:
    stand.tenant.roles = set(READ_WRITE)
    return await stand.client(writes=True)


@pytest.mark.parametrize(
    ("starts", "ends"), [(EIGHT, NINE), (EIGHT + timedelta(minutes=59), TEN), (DAY, DAY + timedelta(days=1))]
)
async def test_what_is_there_already_is_not_booked_over(
    stand: Stand, starts: datetime | date, ends: datetime | date
):
    client = await writer(stand)
    stand.tenant.add(FJORD, "Theirs", starts, ends)
    with pytest.raises(Refused, match="something else is booked"):
        await book(client)
    assert subjects(stand) == ["Theirs"]
    assert not any(posted(request) for request in stand.service.seen)


async def test_what_only_touches_or_keeps_the_room_free_is_not_in_the_way(stand: Stand):
    client = await writer(stand)
    stand.tenant.add(FJORD, "After", NINE, TEN)
    stand.tenant.add(FJORD, "Free", EIGHT, NINE, showAs="free")
    stand.tenant.add(FJORD, "Cancelled", EIGHT, NINE, isCancelled=True)
    assert await book(client)


def during_the_post(stand: Stand, then: Callable[[], object]) -> None:
    """Once, between what was there before and what roomd writes."""
    waiting = [then]

    def interrupt(request: Request) -> Response | None:
        if posted(request) and waiting:
            waiting.pop()()
        return None

    stand.service.interrupt = interrupt


async def test_of_two_that_come_at_once_the_earlier_stays(stand: Stand):
    client = await writer(stand)
    during_the_post(stand, lambda: stand.tenant.add(FJORD, "Theirs", EIGHT, NINE))
    with pytest.raises(Refused, match="something else is booked"):
        await book(client)
    assert subjects(stand) == ["Theirs"]


async def test_what_comes_after_ours_leaves_it(stand: Stand):
    client = await writer(stand)
    answer = stand.tenant.answer

    async def followed(request: Request) -> Response:
        response = await answer(request)
        if posted(request):
            stand.tenant.add(FJORD, "Theirs", EIGHT, NINE)
        return response

    stand.service._answer = followed  # noqa: SLF001 - the tenant is not alone
    assert await book(client)
    assert subjects(stand) == ["Ours", "Theirs"]


async def test_two_that_do_not_know_each_other_book_the_room_once(stand: Stand):
    clients = [await writer(stand) for _ in range(4)]
    stand.tenant.faults.latency_s = 0.02
    answers = await asyncio.gather(
        *(book(each, f"r{number}") for number, each in enumerate(clients)), return_exceptions=True
    )
    assert len([each for each in answers if isinstance(each, str)]) == 1
    assert all(isinstance(each, str | Refused) for each in answers)
    assert subjects(stand) == ["Ours"]


async def test_a_booking_that_is_second_and_cannot_be_deleted_says_so(stand: Stand):
    client = await writer(stand)
    stand.tenant.add(FJORD, "Other", TEN, TEN + timedelta(hours=1))

    def interrupt(request: Request) -> Response | None:
        if posted(request):
            stand.tenant.add(FJORD, "Theirs", EIGHT, NINE)
        return text("no", 403) if request.method == "DELETE" else None

    stand.service.interrupt = interrupt
    with pytest.raises(Refused, match="stays beside it") as caught:
        await book(client)
    assert "delete roomd's entry" in caught.value.mend


async def test_a_booking_that_cannot_be_looked_at_again_is_one(stand: Stand):
    client = await writer(stand)

    def interrupt(request: Request) -> Response | None:
        made = any(posted(each) for each in stand.service.seen)
        return text("no", 403) if made and request.method == "GET" else None

    stand.service.interrupt = interrupt
    assert await book(client)
    assert subjects(stand) == ["Ours"]


async def test_a_booking_is_not_extended_over_what_is_there(stand: Stand):
    client = await writer(stand)
    made = await book(client)
    stand.tenant.add(FJORD, "Next", NINE, TEN)
    with pytest.raises(Refused, match="something else is booked"):
        await client.extend(FJORD, made, ends_at=NINE + timedelta(minutes=15))
    assert not any(request.method == "PATCH" for request in stand.service.seen)
    await client.extend(FJORD, made, ends_at=EIGHT + timedelta(minutes=45))


@pytest.mark.parametrize("response_requested", [True, False])
async def test_what_others_organize_is_declined(stand: Stand, response_requested: bool):
    stand.tenant.roles = set(READ_WRITE)
    client = await stand.client(writes=True)
    stand.tenant.add(FJORD, "Weekly", EIGHT, NINE, responseRequested=response_requested)
    [entry] = await client.list_room(FJORD, WINDOW, OSLO)
    await client.release(FJORD, entry.entry_id)
    assert await client.list_room(FJORD, WINDOW, OSLO) == ()
    deleted = [each for each in stand.service.seen if each.method == "DELETE"]
    assert bool(deleted) is not response_requested


async def test_a_series_is_never_declined_for_one_of_its_occurrences(stand: Stand):
    stand.tenant.roles = set(READ_WRITE)
    client = await stand.client(writes=True)
    stand.tenant.add(FJORD, "Weekly", EIGHT, NINE, type="seriesMaster")
    [entry] = await client.list_room(FJORD, WINDOW, OSLO)
    with pytest.raises(Refused, match="series"):
        await client.release(FJORD, entry.entry_id)
    assert await client.list_room(FJORD, WINDOW, OSLO) == (entry,)


# ── silence ──


async def test_nobody_hears_of_descriptions_invitees_and_tokens(
    stand: Stand, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    caplog.set_level(logging.DEBUG)
    canary = "canary-7f3a"
    stand.tenant.roles = set(READ_WRITE)
    stand.tenant.secrets = {canary}
    somebody = {"emailAddress": {"name": canary, "address": f"{canary}@contoso.example"}}
    private: dict[str, Any] = {
        "body": {"contentType": "text", "content": f"{canary} https://acme.webex.com/meet/ada"},
        "bodyPreview": canary,
        "attendees": [somebody],
        "organizer": somebody,
        "sensitivity": "private",
    }
    stand.tenant.add(FJORD, canary, EIGHT, NINE, **private)
    stand.tenant.add(FJORD, canary, NINE, TEN, **private, location=canary)  # cannot be read
    stand.tenant.rooms["broken@contoso.example"] = stand.tenant.add_room("broken@contoso.example")
    stand.tenant.rooms["broken@contoso.example"].refusal = 400, "ErrorInvalid", canary
    stand.tenant.faults.subscription_lasts = timedelta(hours=5)
    client = await stand.client(grant=client_secret("app-1", canary, scope=SCOPE), bodies=True, writes=True)
    told: list[str] = []

    async def tell(address: str, listed: Listed) -> None:
        told.append(repr(listed))

    await client.list_rooms(to_list(FJORD, "broken@contoso.example"), tell)
    [entry] = await client.list_room(FJORD, WINDOW, OSLO)
    assert entry.meeting.join is not None
    for trouble in (
        client.list_room("broken@contoso.example", WINDOW, OSLO),
        client.book(
            "broken@contoso.example",
            starts_at=EIGHT,
            ends_at=NINE,
            title=canary,
            organizer=canary,
            request_id="r",
        ),
        subscribe(client, "https://127.0.0.1:1/", secret=canary),
        client.read_body(FJORD, EntryId("AAkALg-e99="), str),
    ):
        with pytest.raises(CalendarError) as caught:
            await trouble
        told += [*traceback.format_exception(caught.value), repr(caught.value), caught.value.mend]
    stand.service.interrupt = lambda _: text(canary)
    for nonsense in (client.list_room(FJORD, WINDOW, OSLO), client.rooms(), client.subscriptions()):
        with pytest.raises(Unreadable) as unread:
            await nonsense
        told += traceback.format_exception(unread.value)
    out, err = capfd.readouterr()
    assert "microsoft.entries_skipped" in out + err
    logged = [record.getMessage() for record in caplog.records]
    assert canary not in "".join([*told, out, err, *logged])
    for request in stand.service.seen:
        asked = f"{request.target} {request.headers}"
        assert canary not in asked or not asked
        if not request.path.endswith(("/token", "/events", "/subscriptions")):
            assert canary not in request.body.decode()


async def test_tokens_are_not_shown(stand: Stand):
    wire = await stand.wire()
    tokens: Tokens = token_source(wire, stand.tenant.tenant, stand.secret())
    token = await tokens.token()
    assert token not in repr(vars(tokens))
