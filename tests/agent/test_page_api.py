"""The page's API on real sockets: what it shows, to whom, and what it does with unfriendly callers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import trustme

from agent.core.model import (
    NOTHING_KNOWN,
    Booking,
    BookingKey,
    BookingPhase,
    CalendarKind,
    DeviceId,
    DevicePhase,
    DeviceState,
    FeedbackId,
    Hold,
    HoldId,
    HoldPhase,
    Meeting,
    Occupancy,
    Room,
    RoomId,
    SensorId,
    SensorPhase,
    SensorState,
    Surface,
)
from agent.listening import Bounds, Pace
from agent.local_api import Broadcast, Inside, Sight
from agent.page_access import WRONG_AT_ONCE, Guesses, Keys, is_named
from agent.page_door import open_page
from agent.page_events import FACTS_KEPT, MOST_LISTENERS, Listener
from agent.page_views import IN_ONE_TURN, rooms_shown
from agent.settings import Configuration, Page, read
from tests.brokers.ports import free_port
from tests.callers import becomes, calling
from tests.event_stream import Event, events, heard
from tests.page.looking import chromium

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CANARY = "Quarterly layoffs"
HOST = "Kari Nordmann"
TOKEN = "0123456789abcdef0123456789abcdef"
Json = dict[str, Any]
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # else each client reads all authorities of the system

FILE = """
[site]
id = "oslo"
timezone = "Europe/Oslo"
privacy = "{privacy}"
{key}
[mqtt]
url = "mqtts://broker.example.com"
[agent]
socket = "{directory}/roomd.sock"
[devices]
username = "roomd"
password_file = "password"
[[rooms]]
id = "fjord"
name = "Fjord"
capacity = 8
[[rooms.devices]]
host = "10.0.4.21"
[[rooms]]
id = "den"
name = "Den"
capacity = 2
[[rooms.devices]]
host = "10.0.4.22"
[[rooms]]
id = "loft"
"""


def configured(directory: Path, *, privacy: str = "plain") -> Configuration:
    (directory / "password").write_text("secret", encoding="utf-8")
    key = ""
    if privacy == "sealed":
        (directory / "recipient.pem").write_bytes(PUBLIC)
        key = 'recipient_key_file = "recipient.pem"'
    (directory / "roomd.toml").write_text(FILE.format(privacy=privacy, key=key, directory=directory), "utf-8")
    return read(directory / "roomd.toml")


PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt
6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==
-----END PUBLIC KEY-----
"""


MEETING = Meeting(title=CANARY, organizer=HOST, join="https://example.com/j/1")


def booking(key: str, starts: timedelta, ends: timedelta, private: bool = False) -> Booking:
    return Booking(
        key=BookingKey(key),
        phase=BookingPhase.STARTED if starts <= timedelta(0) else BookingPhase.CONFIRMED,
        starts_at=NOW + starts,
        ends_at=NOW + ends,
        since=NOW,
        seen_at=NOW,
        calendar=CalendarKind.HYBRID,
        meeting=replace(MEETING, private=private),
    )


def hour(number: float) -> timedelta:
    return timedelta(hours=number)


def room(name: str, *bookings: Booking, occupancy: Occupancy = NOTHING_KNOWN) -> Room:
    device = DeviceState(
        id=DeviceId(name),
        phase=DevicePhase.CONNECTED,
        since=NOW,
        listed_at=NOW,
        product="Cisco Room Bar",
        firmware="ce11.27.2.0",
        transport="websocket",
    )
    return Room(
        id=RoomId(name),
        devices={device.id: device},
        bookings={b.key: b for b in bookings},
        occupancy=occupancy,
    )


HELD = Hold(
    feedback_id=FeedbackId("f"),
    id=HoldId("h"),
    phase=HoldPhase.SHOWN,
    since=NOW,
    text=f"{HOST} is on her way",
    starts_at=NOW,
    ends_at=NOW + hour(0.25),
    surfaces=(Surface.SCREEN,),
)


@dataclass
class House:
    """What a daemon would know."""

    configuration: Configuration
    rooms: dict[RoomId, Room]
    at: datetime = NOW
    broadcast: Broadcast = field(default_factory=Broadcast)
    missing: tuple[str, ...] = ()
    picture: Json = field(
        default_factory=lambda: {
            "site": "oslo",
            "agent": "agent-1",
            "version": "1.0",
            "at": NOW.isoformat(),
            "broker": {"connected": True, "why": None, "connection": 1, "deaf_why": None},
            "sealing_why": None,
            "outbox": {"depth": 0, "bytes": 0, "oldest_age_s": None, "delivered": 7, "dropped": 0},
            "calendars": [],
            "devices": {"connected": 2},
            "clock": "synced",
            "database_why": None,
        }
    )

    def put(self, room: Room) -> None:
        self.rooms = {**self.rooms, room.id: room}

    def tell(self, **data: object) -> None:
        self.broadcast.tell(json.dumps({"type": "roomd.booking.confirmed.v1", "data": data}).encode())

    async def _site(self) -> Json:
        return self.picture

    async def _metrics(self) -> bytes:
        return b"roomd_up 1\n"

    async def _order(self, **_: object) -> AsyncGenerator[Json]:
        yield {"status": "refused"}

    @property
    def inside(self) -> Inside:
        return Inside(
            self._site,
            self.broadcast,
            self._order,
            metrics=self._metrics,
            ready=lambda: self.missing,
            sight=lambda: Sight(at=self.at, configuration=self.configuration, rooms=self.rooms),
            site=self._site,
        )


@pytest.fixture
def house(tmp_path: Path) -> House:
    rooms = [
        room("fjord", booking("k1", hour(-0.5), hour(0.5)), booking("k2", hour(1), hour(2))),
        room("den", booking("k3", hour(3), hour(4)), occupancy=Occupancy(people=0, in_use=False)),
        Room(id=RoomId("loft")),
    ]
    return House(configured(tmp_path), {each.id: each for each in rooms})


def page_at(
    house: House,
    **changed: Any,  # noqa: ANN401 - fields of the page's settings
) -> Page:
    page = house.configuration.page
    assert page is not None
    return replace(page, **{"host": None, **changed})


@contextlib.asynccontextmanager
async def opened(
    house: House,
    *,
    bounds: Bounds | None = None,
    pace: Pace | None = None,
    context: ssl.SSLContext | None = None,
    **changed: Any,  # noqa: ANN401 - fields of the page's settings
) -> AsyncIterator[httpx.AsyncClient]:
    """The page, and a client at its socket, or at its address where it has one."""
    page = page_at(house, **changed)
    async with open_page(page, house.inside, bounds=bounds, pace=pace), client_of(page, context) as client:
        yield client


def client_of(page: Page, context: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    if page.host is None:
        transport = httpx.AsyncHTTPTransport(uds=str(page.socket), verify=NO_TLS)
        return httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=20)
    scheme = "http" if context is None else "https"
    return httpx.AsyncClient(
        base_url=f"{scheme}://127.0.0.1:{page.port}", verify=context or NO_TLS, timeout=20, trust_env=False
    )


# ── what it shows ─────────────────────────────────────────────────────────────────────────────────


async def test_rooms_are_shown_in_the_files_order_with_all_that_is_known_of_them(house):
    async with opened(house) as client:
        answer = await client.get("/api/rooms")
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert datetime.fromisoformat(body["at"]) == NOW
    fjord, den, loft = body["rooms"]
    assert [each["condition"] for each in body["rooms"]] == ["booked", "free", "unknown"]
    assert (fjord["room"], fjord["name"], fjord["capacity"]) == ("fjord", "Fjord", 8)
    assert (fjord["words"], fjord["until"]) == ("Booked until 10:30", "2026-03-02T09:30:00Z")
    assert fjord["current"] == {
        "key": "k1",
        "starts_at": "2026-03-02T08:30:00Z",
        "ends_at": "2026-03-02T09:30:00Z",
        "all_day": False,
        "phase": "started",
        "calendar": "hybrid",
        "title": CANARY,
        "organizer": HOST,
        "private": False,
    }
    assert fjord["next"]["key"] == "k2"
    assert fjord["calendar"] == {"kind": "hybrid", "fresh": True, "why": None}
    assert fjord["devices"] == [
        {
            "device": "fjord",
            "product": "Cisco Room Bar",
            "phase": "connected",
            "why": None,
            "transport": "websocket",
            "firmware": "ce11.27.2.0",
            "shortcomings": [],
        }
    ]
    assert (fjord["people"], fjord["in_use"], fjord["available"]) == (None, None, "available")
    assert (den["people"], den["in_use"], den["hold"]) == (0, False, None)
    assert (loft["name"], loft["capacity"], loft["calendar"]) == ("loft", None, None)
    assert "day" not in fjord


async def test_a_room_is_shown_with_its_day_and_its_hold(house):
    house.put(replace(house.rooms[RoomId("fjord")], holds={HELD.feedback_id: HELD}))
    async with opened(house) as client:
        fjord = (await client.get("/api/rooms/fjord")).json()
    assert [each["key"] for each in fjord["day"]] == ["k1", "k2"]
    assert fjord["hold"] == {"text": HELD.text, "ends_at": "2026-03-02T09:15:00Z", "shown": True}


async def test_free_rooms_are_those_that_fit_the_smallest_first(house):
    async with opened(house) as client:

        async def free(query: str) -> list[str]:
            answer = await client.get(f"/api/rooms/free?{query}")
            assert answer.status_code == HTTPStatus.OK
            return [each["room"] for each in answer.json()["rooms"]]

        assert await free("for=30m&people=2") == ["den"]
        assert await free("for=3h") == ["den"]
        assert await free("for=181") == []
        assert await free("people=3") == []
        house.put(replace(house.rooms[RoomId("fjord")], bookings={}))
        assert await free("") == ["den", "fjord"]


@pytest.mark.parametrize(
    "query",
    [
        "for=x",
        "for=",
        "for=0",
        "for=-5",
        "for=25h",
        "for=1d",
        "people=0",
        "people=six",
        "people=-1",
        "fro=30m",
    ],
)
async def test_a_question_that_is_not_understood_is_answered_with_its_mend(house, query):
    async with opened(house) as client:
        answer = await client.get(f"/api/rooms/free?{query}")
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert set(answer.json()) == {"error", "mend"}


async def test_the_site_is_shown_with_what_a_person_must_act_on_the_worst_first(house):
    house.picture["broker"] |= {"connected": False, "why": "the certificate is over"}
    house.picture["clock"] = "unsynced"
    house.picture["calendars"] = [
        {
            "service": "microsoft",
            "phase": "revoked",
            "why": "consent was taken back",
            "rooms": [
                {"room": "fjord", "address": "f@x", "phase": "revoked"},
                {"room": "den", "address": None, "phase": "revoked"},
            ],
        }
    ]
    fjord = house.rooms[RoomId("fjord")]
    lost = replace(fjord.devices[DeviceId("fjord")], phase=DevicePhase.LOST, why="no answer")
    house.put(replace(fjord, devices={lost.id: lost}))
    den = house.rooms[RoomId("den")]
    refused = replace(den.devices[DeviceId("den")], phase=DevicePhase.REFUSED, why="wrong password")
    house.put(replace(den, devices={refused.id: refused}))
    async with opened(house) as client:
        site = (await client.get("/api/site")).json()
    assert (site["site"], site["timezone"], site["privacy"]) == ("oslo", "Europe/Oslo", "plain")
    assert site["calendars"] == [
        {
            "service": "microsoft",
            "phase": "revoked",
            "why": "consent was taken back",
            "rooms": 1,
            "readable": 0,
        }
    ]
    assert [each["what"] for each in site["troubles"]] == [
        "The broker is not reached",
        "No time service keeps the clock",
        "Microsoft calendars: revoked",
        "Den turns roomd away",
        "Fjord is not reached",
    ]
    assert all(each["mend"] for each in site["troubles"])


async def test_devices_with_the_same_trouble_are_told_as_one_in_few_words(house):
    def unheard(name: str, phase: DevicePhase, why: str) -> None:
        there = room(name)
        state = replace(there.devices[DeviceId(name)], phase=phase, why=why)
        house.put(replace(there, devices={state.id: state}))

    lost = "websocket: nobody listens there; ssh: no answer in time; check that it is switched on"
    settings = house.configuration.rooms[0]
    names = [f"r{number}" for number in range(6)]
    more = tuple(replace(settings, id=RoomId(name), name=name.upper(), devices=()) for name in names)
    house.configuration = replace(house.configuration, rooms=(*house.configuration.rooms, *more))
    for name in names:
        unheard(name, DevicePhase.LOST, lost)
    unheard("den", DevicePhase.LOST, "it does not answer; check that it is switched on")
    unheard("fjord", DevicePhase.REFUSED, "no such user; give it one")
    async with opened(house) as client:
        troubles = (await client.get("/api/site")).json()["troubles"]
        shown = (await client.get("/api/rooms/r3")).json()
    assert [tuple(each.values()) for each in troubles] == [
        ("Fjord turns roomd away", "no such user", "give it one"),
        ("Den is not reached", "it does not answer", DIAL),
        ("R0, R1, R2, R3 and 2 more are not reached", "nobody listens there", DIAL),
    ]
    assert shown["words"] == "Not heard: nobody listens there"
    assert shown["devices"][0]["why"] == lost


async def test_sensors_that_are_offline_or_cannot_be_heard_are_told(house):
    ceiling = SensorState(
        id=SensorId("ceiling"), phase=SensorPhase.AWAY, since=NOW, why="the bridge is offline"
    )
    odd = SensorState(id=SensorId("door"), phase=SensorPhase.HEARD, since=NOW, why="it is no JSON")
    house.put(replace(room("fjord"), third_party={ceiling.id: ceiling, odd.id: odd}))
    house.picture["sensors"] = {"connected": False, "why": "it hung up"}
    async with opened(house) as client:
        troubles = (await client.get("/api/site")).json()["troubles"]
    assert [(each["what"], each["why"]) for each in troubles] == [
        ("The sensors' broker is not reached", "it hung up"),
        ("Fjord (ceiling) is offline", "the bridge is offline"),
        ("Fjord (door) cannot be understood", "it is no JSON"),
    ]


DIAL = "check its power and its network; roomd dials again by itself"


async def test_a_site_that_does_well_has_no_troubles(house):
    async with opened(house) as client:
        assert (await client.get("/api/site")).json()["troubles"] == []


async def test_those_who_watch_roomd_are_answered(house):
    async with opened(house) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).status_code == HTTPStatus.OK
        house.missing = ("the disk takes nothing",)
        answer = await client.get("/readyz")
        assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert answer.json()["why"] == ["the disk takes nothing"]
        metrics = await client.get("/metrics")
        assert metrics.text == "roomd_up 1\n"
        assert metrics.headers["content-type"].startswith("text/plain; version=")


@pytest.mark.parametrize("path", ["/", "/room/fjord", "/room/nowhere"])
async def test_the_page_is_the_same_for_the_site_and_for_a_room(house, path):
    async with opened(house) as client:
        answer = await client.get(path)
        assert answer.status_code == HTTPStatus.OK
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.text.startswith("<!doctype html>")


async def test_files_that_have_not_changed_are_not_sent_again(house):
    async with opened(house) as client:
        first = await client.get("/page.js")
        assert first.headers["content-type"] == "text/javascript; charset=utf-8"
        assert first.headers["cache-control"] == "no-cache"
        again = await client.get("/page.js", headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})
        assert (again.status_code, again.content) == (HTTPStatus.NOT_MODIFIED, b"")
        other = await client.get("/page.js", headers={"If-None-Match": '"x"'})
        assert (other.status_code, other.content) == (HTTPStatus.OK, first.content)


@pytest.mark.parametrize(
    "path", ["/nowhere", "/../settings.py", "/%2e%2e/settings.py", "/room/a/b", "/page", "//", "/index.html/"]
)
async def test_what_is_not_there_is_said_in_words(house, path):
    async with opened(house) as client:
        request = client.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await client.send(request)
    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert answer.headers["content-type"].startswith("text/plain")


async def test_a_room_that_is_not_there_is_said_as_json(house):
    async with opened(house) as client:
        for path in ("/api/rooms/nowhere", "/api/nowhere"):
            answer = await client.get(path)
            assert answer.status_code == HTTPStatus.NOT_FOUND
            assert set(answer.json()) == {"error", "mend"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
async def test_nothing_is_ordered_here(house, method):
    paths = ("/", "/api/rooms", "/api/events", "/page.js", "/login", "/metrics")
    async with opened(house) as client:
        for path, content in itertools.product(paths, (b"", b"{}")):
            answer = await client.request(method, path, content=content)
            assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED
            assert "GET" in answer.headers["allow"]


async def test_a_head_is_answered_like_a_get_without_its_body(house):
    async with opened(house) as client:
        for path in ("/", "/api/rooms", "/api/events", "/metrics"):
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (HTTPStatus.OK, b"")


async def test_every_answer_is_shielded_and_no_data_is_kept_on_the_way(house):
    async with opened(house) as client:
        for path in (
            "/",
            "/page.css",
            "/api/rooms",
            "/api/rooms/nowhere",
            "/nowhere",
            "/metrics",
            "/healthz",
        ):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["x-frame-options"] == "DENY"
            assert "default-src 'self'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "server" not in headers
            kept = "no-cache" if path in {"/", "/page.css"} else "no-store"
            assert headers.get("cache-control", "no-store") == kept


# ── privacy ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("privacy", ["sealed", "dropped"])
async def test_where_titles_may_not_leave_none_is_shown_anywhere(house, tmp_path, privacy):
    house.configuration = configured(tmp_path, privacy=privacy)
    house.put(replace(house.rooms[RoomId("fjord")], holds={HELD.feedback_id: HELD}))
    async with opened(house) as client:
        for path in ("/api/rooms", "/api/rooms/fjord", "/api/rooms/free", "/api/site"):
            text = (await client.get(path)).text
            assert CANARY not in text
            assert HOST not in text
        fjord = (await client.get("/api/rooms/fjord")).json()
        assert (fjord["current"]["title"], fjord["hold"]["text"]) == (None, None)
        assert fjord["current"]["ends_at"] == "2026-03-02T09:30:00Z"  # times always
        assert (await client.get("/api/site")).json()["privacy"] == privacy
        async with listening(client) as stream:
            house.put(room("fjord", booking("k9", hour(-1), hour(5))))
            shown = await heard(stream, "room")
            assert shown.data["current"]["key"] == "k9"
            assert CANARY not in json.dumps(shown.data)


async def test_a_booking_marked_private_is_a_booking_and_no_more(house):
    house.put(room("fjord", booking("k1", hour(-1), hour(1), private=True)))
    async with opened(house) as client:
        current = (await client.get("/api/rooms/fjord")).json()["current"]
        assert (current["title"], current["organizer"], current["private"]) == (None, None, True)
        async with listening(client) as stream:
            house.tell(
                key="k1", private=True, organizer=HOST, title=None, join="x", previous={"organizer": HOST}
            )
            fact = await heard(stream, "fact")
            assert fact.data["data"] == {
                "key": "k1",
                "private": True,
                "organizer": None,
                "title": None,
                "join": None,
                "previous": {"organizer": None},
            }
            house.tell(key="k1", private=False, organizer=HOST, previous={"private": True, "organizer": HOST})
            data = (await heard(stream, "fact")).data["data"]
            assert (data["organizer"], data["previous"]["organizer"]) == (HOST, None)


# ── what happens ──────────────────────────────────────────────────────────────────────────────────


@contextlib.asynccontextmanager
async def listening(
    client: httpx.AsyncClient, *, last_id: str | None = None
) -> AsyncIterator[AsyncIterator[Event]]:
    """A stream of which the first word, about the site, has come."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with client.stream("GET", "/api/events", headers=headers) as response:
        assert response.status_code == HTTPStatus.OK
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = events(response)
        first = await heard(stream, "site")
        assert first.last_id is not None
        yield stream


async def test_a_fact_is_told_as_it_was_published_and_the_room_as_it_looks_now(house):
    async with opened(house) as client, listening(client) as stream:
        house.put(room("den", booking("k4", hour(-0.1), hour(1))))
        house.tell(key="k4", private=False, title=CANARY)
        told = [await anext(stream), await anext(stream)]
        assert {each.kind for each in told} == {"fact", "room"}
        fact = next(each for each in told if each.kind == "fact")
        shown = next(each for each in told if each.kind == "room")
        assert fact.data["data"] == {"key": "k4", "private": False, "title": CANARY}
        assert (shown.data["room"], shown.data["condition"]) == ("den", "booked")
        assert [each["key"] for each in shown.data["day"]] == ["k4"]


async def test_what_changed_between_listening_and_the_first_look_is_not_lost(house):
    async with opened(house) as client, listening(client) as stream:
        house.put(room("den"))
        assert (await heard(stream, "room")).data["words"] == "Free all day"


async def test_a_room_that_changes_all_the_time_is_told_as_it_is_at_last(house):
    async with opened(house) as client, listening(client) as stream:
        told = 0
        for count in range(200):
            house.put(room("den", occupancy=Occupancy(people=count)))
            await asyncio.sleep(0)
        while (event := await heard(stream, "room")).data["people"] != 199:
            told += 1
            assert told < 5
        assert event.data["room"] == "den"


async def test_the_words_follow_the_clock_without_any_change_of_the_room(house):
    async with opened(house) as client, listening(client) as stream:
        house.at = NOW + hour(0.5)
        assert (await heard(stream, "room", lambda room: room["room"] == "fjord")).data["words"] == (
            "Free until 11:00"
        )


async def test_a_room_that_leaves_the_file_is_told_and_told_anew_when_it_comes_back(house):
    async with opened(house) as client, listening(client) as stream:
        house.put(room("den", occupancy=Occupancy(people=1)))
        await heard(stream, "room", lambda room: room["room"] == "den")
        before = house.configuration
        without = tuple(each for each in before.rooms if each.id != "den")
        house.configuration = replace(before, rooms=without)
        there = [room.id for room in without if room.id in house.rooms]
        assert (await heard(stream, "rooms")).data == {"rooms": there}
        house.configuration = before
        assert "den" in (await heard(stream, "rooms")).data["rooms"]
        again = await heard(stream, "room", lambda room: room["room"] == "den")
        assert again.data["people"] == 1


async def test_a_thousand_rooms_hold_up_nobody(house):
    turns = 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    settings = house.configuration.rooms[0]
    many = tuple(replace(settings, id=RoomId(f"r{number}"), devices=()) for number in range(1000))
    house.configuration = replace(house.configuration, rooms=many)
    house.rooms = {each.id: room(each.id) for each in many}
    async with asyncio.TaskGroup() as tasks:
        other = tasks.create_task(somebody_else(), name="somebody else")
        await asyncio.sleep(0)
        shown = await rooms_shown(house.inside.sight())
        other.cancel()
    assert len(shown) == len(many)
    assert turns > len(many) // IN_ONE_TURN


async def test_the_site_is_told_when_it_changes(house):
    async with opened(house) as client, listening(client) as stream:
        house.picture = house.picture | {"broker": house.picture["broker"] | {"connected": False}}
        site = await heard(stream, "site", lambda site: not site["broker"]["connected"])
        assert site.data["troubles"][0]["what"] == "The broker is not reached"


async def test_who_comes_back_is_told_how_much_was_missed(house):
    async with opened(house) as client, listening(client) as stays:
        async with listening(client) as stream:
            house.tell(key="a")
            left = (await heard(stream, "fact")).last_id
        house.tell(key="b")
        house.tell(key="c")
        for _ in range(3):
            await heard(stays, "fact")
        async with listening(client, last_id=left) as stream:
            assert (await heard(stream, "missed")).data == {"missed": 2}
        async with listening(client, last_id="another-life-7") as stream:
            assert (await heard(stream, "missed")).data == {"missed": None}


async def test_who_is_slow_is_told_nothing_old_of_a_room_that_is_gone():
    listener = Listener()
    listener.room(RoomId("den"), b"den\n\n")
    listener.rooms([RoomId("fjord")], b"rooms\n\n")
    listener.room(RoomId("fjord"), b"fjord\n\n")
    assert await listener.next() == b"rooms\n\nfjord\n\n"


async def test_who_is_slow_loses_the_oldest_facts_and_is_told_how_many():
    listener = Listener()
    for number in range(FACTS_KEPT + 3):
        listener.fact(f"event: fact\ndata: {number}\n\n".encode())
    listener.room(RoomId("fjord"), b"old\n\n")
    listener.room(RoomId("fjord"), b"event: room\ndata: 1\n\n")
    waiting = await listener.next()
    assert waiting is not None
    missed, oldest, *_, newest, last = waiting.decode().strip().split("\n\n")
    assert missed == 'event: missed\ndata: {"missed":3}'
    assert oldest.endswith(" 3")
    assert newest.endswith(f" {FACTS_KEPT + 2}")
    assert last == "event: room\ndata: 1"
    listener.end()
    assert await listener.next() is None


async def test_no_more_listen_than_there_is_room_for(house):
    async with opened(house) as client, contextlib.AsyncExitStack() as stack:
        wide = await stack.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(
                    uds=str(page_at(house).socket), verify=NO_TLS, limits=httpx.Limits(max_connections=None)
                ),
                base_url="http://localhost",
            )
        )
        for _ in range(MOST_LISTENERS):
            answer = await stack.enter_async_context(wide.stream("GET", "/api/events"))
            assert answer.status_code == HTTPStatus.OK
        refused = await client.get("/api/events")
        assert refused.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert set(refused.json()) == {"error", "mend"}
        assert (await client.get("/api/rooms")).status_code == HTTPStatus.OK


async def test_who_listens_is_let_go_at_the_end_and_not_waited_for(house):
    async with contextlib.AsyncExitStack() as outer:
        async with opened(house) as client:
            stream = await outer.enter_async_context(listening(client_of(page_at(house))))
        async with asyncio.timeout(10):
            assert [each async for each in stream] == []  # a clean end, no broken line
        assert client.is_closed
    assert not house.broadcast.heard


async def test_a_mistake_of_ours_is_told_and_logged_and_costs_nobody_else_an_answer(house, caplog):
    async with opened(house) as client:
        async with listening(client) as stream:
            sound, house.picture = house.picture, {}
            answer = await client.get("/api/site")
            assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
            assert set(answer.json()) == {"error", "mend"}
            assert "KeyError" in caplog.text
            with structlog.testing.capture_logs() as logs:
                async with asyncio.timeout(20):
                    assert {each.kind async for each in stream} <= {"room"}  # and a clean end
            assert [each["event"] for each in logs if each["log_level"] == "error"] == ["page.silenced"]
            house.picture = sound
        async with listening(client):  # once more, and all is well
            assert (await client.get("/api/rooms")).status_code == HTTPStatus.OK


async def test_nobody_is_looked_for_when_nobody_listens(house):
    async with opened(house) as client:
        async with listening(client) as stream:
            house.tell(key="a")
            await heard(stream, "fact")
            assert house.broadcast.heard
        await becomes(lambda: house.broadcast.heard, wanted=False)


# ── who may look ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def guarded(house, tmp_path, authority) -> Mapping[str, Any]:
    """A page at an address that asks for a token, over TLS."""
    identity = authority.issue_cert("127.0.0.1", "roomd.example.com")
    identity.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "page.pem"))
    (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return {
        "host": "127.0.0.1",
        "port": free_port(),
        "token_file": tmp_path / "token",
        "certificate_file": tmp_path / "page.pem",
        "context": context,
    }


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_without_the_token_nothing_is_shown(house, guarded):
    async with opened(house, **guarded) as client:
        for path in ("/api/rooms", "/api/events", "/metrics", "/healthz", "/readyz", "/api/nowhere"):
            answer = await client.get(path)
            assert answer.status_code == HTTPStatus.UNAUTHORIZED
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert set(answer.json()) == {"error", "mend"}
        for path in ("/", "/room/fjord?kiosk"):
            answer = await client.get(path)
            assert answer.status_code == HTTPStatus.UNAUTHORIZED
            assert '<form method="post"' in answer.text
        assert (await client.get("/page.js")).status_code == HTTPStatus.UNAUTHORIZED
        assert (await client.get("/api/rooms", headers=bearer(TOKEN))).status_code == HTTPStatus.OK
        for wrong in (
            b"Bearer",
            b"Bearer " + TOKEN[:-1].encode(),
            b"Bearer " + "é".encode() * 32,
            b"Basic x",
        ):
            headers = [(b"Authorization", wrong)]
            assert (await client.get("/api/rooms", headers=headers)).status_code == HTTPStatus.UNAUTHORIZED


async def test_the_socket_asks_for_no_token(house, guarded):
    async with opened(house, **guarded), client_of(page_at(house)) as client:
        assert (await client.get("/api/rooms")).status_code == HTTPStatus.OK


async def test_a_token_in_the_address_is_swapped_for_a_cookie(house, guarded):
    async with opened(house, **guarded) as client:
        answer = await client.get(f"/room/fjord?kiosk&token={TOKEN}")
        assert answer.status_code == HTTPStatus.OK
        assert 'content="0; url=/room/fjord?kiosk"' in answer.text
        assert TOKEN not in answer.text
        cookie = answer.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=Strict", "Path=/"))
        assert TOKEN not in cookie
        assert (await client.get("/api/rooms")).status_code == HTTPStatus.OK  # the cookie is in the jar
        assert (await client.get("/")).text.startswith("<!doctype html>\n<html lang=")
        wrong = await client.get(f"/?token={TOKEN[:-1]}", headers={"Cookie": ""})
        assert wrong.status_code == HTTPStatus.UNAUTHORIZED
        assert "not the token" in wrong.text
    async with (
        client_of(page_at(house, **plain(guarded)), guarded["context"]) as stranger,
        opened(house, **guarded),
    ):
        assert (await stranger.get(f"/api/rooms?token={TOKEN}")).status_code == HTTPStatus.UNAUTHORIZED


def plain(guarded: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in guarded.items() if name != "context"}


async def test_the_form_takes_the_token_and_leads_where_one_wanted_to_go(house, guarded):
    async with opened(house, **guarded) as client:
        form = (await client.get("/room/fjord?kiosk")).text
        assert 'name="to" value="/room/fjord?kiosk"' in form
        wrong = await client.post("/login", data={"token": "wrong", "to": "/room/fjord?kiosk"})
        assert wrong.status_code == HTTPStatus.UNAUTHORIZED
        assert 'value="/room/fjord?kiosk"' in wrong.text
        right = await client.post("/login", data={"token": f" {TOKEN}\n", "to": "/room/fjord?kiosk"})
        assert (right.status_code, right.headers["location"]) == (303, "/room/fjord?kiosk")
        assert (await client.get("/api/rooms")).status_code == HTTPStatus.OK
        for astray in ("https://evil.example/", "//evil.example", "/room/../x", "/\r\nX: y", "/?\n"):
            answer = await client.post("/login", data={"token": TOKEN, "to": astray})
            assert answer.headers["location"] == "/"
        assert (await client.post("/login", content=b"x" * 100_000)).status_code == HTTPStatus.UNAUTHORIZED


async def test_another_sites_form_costs_nobody_here_a_guess(house, guarded):
    async with opened(house, **guarded) as client:
        for _ in range(WRONG_AT_ONCE + 1):
            foreign = {"Sec-Fetch-Site": "cross-site"}
            answer = await client.post("/login", data={"token": "x"}, headers=foreign)
            assert answer.status_code == HTTPStatus.FORBIDDEN
        own = {"Sec-Fetch-Site": "same-origin"}
        answer = await client.post("/login", data={"token": TOKEN}, headers=own)
        assert answer.status_code == HTTPStatus.SEE_OTHER


async def test_wrong_tokens_are_slowed_down_and_never_logged(house, guarded):
    with structlog.testing.capture_logs() as logs:
        async with opened(house, **guarded) as client:
            statuses = [
                (await client.get("/api/rooms", headers=bearer(f"wrong-{n}"))).status_code for n in range(12)
            ]
            assert statuses == [401] * 10 + [429] * 2
            answer = await client.get("/api/rooms", headers=bearer(TOKEN))
            assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS  # not looked at
            assert int(answer.headers["retry-after"]) > 0
    guessed = [each for each in logs if each["event"] == "page.guessed"]
    assert [each["address"] for each in guessed] == ["127.0.0.1"]
    assert "wrong-" not in str(logs)
    assert TOKEN not in str(logs)


def test_who_guesses_is_forgiven_one_guess_after_the_other():
    clock = [0.0]
    guesses = Guesses(lambda: clock[0])
    for _ in range(10):
        assert guesses.may_try("10.0.0.1")
        guesses.wrong("10.0.0.1")
    assert not guesses.may_try("10.0.0.1")
    assert guesses.may_try("10.0.0.2")
    clock[0] = 10.5
    assert guesses.may_try("10.0.0.1")
    guesses.wrong("10.0.0.1")
    assert not guesses.may_try("10.0.0.1")
    for number in range(2000):
        guesses.wrong(f"10.1.{number // 250}.{number % 250}")
    assert len(guesses._wrong) <= 1024  # noqa: SLF001 - its memory is what is tested


def test_a_cookie_is_good_for_its_time_and_its_token():
    keys = Keys(token=TOKEN.encode(), secure=False)
    cookie = keys.cookie(now=1000.0)
    header = cookie.partition(";")[0]
    assert "Secure" not in cookie
    assert keys.knows(f"other=1; {header}", now=1000.0)
    assert not keys.knows(header, now=1000.0 + 366 * 86_400)
    assert not Keys(token=b"another-token-of-its-own", secure=False).knows(header, now=1000.0)
    until, _, signed = header.partition("=")[2].partition(".")
    for forged in (f"{int(until) + 1}.{signed}", f"{until}.", until, "", "é.é", "9" * 40 + f".{signed}"):
        assert not keys.knows(f"roomd_page={forged}", now=1000.0)


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("127.0.0.1:8580", True),
        ("localhost:9000", True),
        ("LOCALHOST", True),
        ("10.0.4.2", True),  # an address is nobody's name
        ("[::1]:8580", True),
        ("[fe80::1]", True),
        ("roomd.example.com.", True),
        ("roomd.example.com:443", True),
        ("evil.example", False),
        ("localhost.evil.example:8580", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example#localhost", False),
        ("", False),
        ("localhost:8580:8580", False),
        ("localhost:x@evil.example", False),
        ("[::1].evil.example", False),
    ],
)
def test_only_our_own_names_are_answered_to(host, good):
    assert is_named(host, frozenset({"localhost", "roomd.example.com"})) is good


async def test_a_name_that_somebody_else_pointed_at_us_is_turned_away(house):
    async with opened(house, host="127.0.0.1", port=free_port(), names=("roomd.example.com",)) as client:
        for path in ("/", "/api/rooms", "/page.js"):
            answer = await client.get(path, headers={"Host": "evil.example"})
            assert answer.status_code == HTTPStatus.MISDIRECTED_REQUEST
            assert "[page] names" in answer.text
        assert (await client.get("/", headers={"Host": "roomd.example.com"})).status_code == HTTPStatus.OK
        async with client_of(page_at(house)) as at_socket:
            assert (await at_socket.get("/", headers={"Host": "anything"})).status_code == HTTPStatus.OK


# ── the doors ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_socket_is_for_its_owner_and_group_and_goes_with_the_page(house):
    path = page_at(house).socket
    assert path is not None
    path.parent.mkdir(exist_ok=True)
    leftover = await asyncio.start_unix_server(lambda *_: None, path)
    leftover.close()
    await leftover.wait_closed()
    assert path.exists()
    async with opened(house) as client:
        assert path.stat().st_mode & 0o777 == 0o660
        assert (await client.get("/healthz")).status_code == HTTPStatus.OK
    assert not path.exists()


async def test_a_port_that_is_taken_is_told_and_the_socket_goes_on(house):
    port = free_port()
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    with structlog.testing.capture_logs() as logs:
        async with taken, opened(house, host="127.0.0.1", port=port), client_of(page_at(house)) as client:
            assert (await client.get("/healthz")).status_code == HTTPStatus.OK
    told = next(each for each in logs if each["event"] == "page.not_opened")
    assert told["log_level"] == "error"
    assert str(port) in told["at"]
    assert "[page]" in told["mend"]


async def test_another_roomd_s_socket_is_not_taken_from_it(house):
    async with opened(house), client_of(page_at(house)) as there:
        with structlog.testing.capture_logs() as logs:
            async with opened(house, host="127.0.0.1", port=free_port()) as client:
                assert (await client.get("/healthz")).status_code == HTTPStatus.OK
        assert (await there.get("/healthz")).status_code == HTTPStatus.OK
    told = next(each for each in logs if each["event"] == "page.not_opened")
    assert "another roomd answers there" in told["why"]


async def test_a_socket_that_cannot_be_is_told_and_the_address_goes_on(house, tmp_path):
    (tmp_path / "precious").write_text("precious", encoding="utf-8")
    with structlog.testing.capture_logs() as logs:
        async with opened(house, host="127.0.0.1", port=free_port(), socket=tmp_path / "precious") as client:
            assert (await client.get("/healthz")).status_code == HTTPStatus.OK
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["page.not_opened"]
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "precious"


async def test_who_has_no_page_loads_none_of_its_libraries():
    look = "import sys, agent.daemon; print(sorted({'starlette', 'uvicorn'} & set(sys.modules)))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", look, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"[]\n")


async def test_without_tls_nobody_is_understood_where_there_is_tls(house, guarded):
    async with opened(house, **guarded) as client:
        async with calling(f"http://127.0.0.1:{guarded['port']}") as caller:
            caller.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await caller.end() == b""
        assert (await client.get("/healthz", headers=bearer(TOKEN))).status_code == HTTPStatus.OK


# ── unfriendly callers ────────────────────────────────────────────────────────────────────────────

QUICK = Pace(request_within_s=0.2, idle_s=0.2, greet_within_s=0.2)
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextlib.asynccontextmanager
async def door(
    house: House,
    **options: Any,  # noqa: ANN401 - of whatever `opened` takes
) -> AsyncIterator[str]:
    port = free_port()
    async with opened(house, host="127.0.0.1", port=port, **options):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /api/rooms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n",
        b"POST /api/rooms HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        GET,
        GET + b"GET / HT",
    ],
)
async def test_who_dawdles_is_dropped(house, begun):
    async with door(house, pace=QUICK) as url, calling(url) as caller:
        caller.writer.write(begun)
        await caller.end()


async def test_who_sends_a_byte_now_and_then_wins_no_time(house):
    async with door(house, pace=QUICK) as url, calling(url) as caller:
        with contextlib.suppress(ConnectionError):
            for byte in GET[:-1] * 20:
                caller.writer.write(bytes([byte]) if byte not in b"\r\n" else b"x")
                await caller.writer.drain()
                await asyncio.sleep(0.01)
                if caller.reader.at_eof():
                    break
        assert await caller.end() == b""


async def test_a_login_that_dawdles_is_dropped(house, guarded):
    async with (
        opened(house, **guarded, pace=Pace(request_within_s=1.0)),
        calling(f"https://127.0.0.1:{guarded['port']}", guarded["context"]) as caller,
    ):
        head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\ntoken="
        assert await caller.status(head) == HTTPStatus.REQUEST_TIMEOUT
        await caller.end()


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # without a Host
        (b"GET /" + b"x" * 20_000, 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 60_000, 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 17_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    ],
)
async def test_bad_manners_are_answered_and_shown_the_door(house, what, status):
    async with door(house) as url, calling(url) as caller:
        assert await caller.status(what) == status
        async with asyncio.timeout(5):
            await caller.end()


@pytest.mark.parametrize("asks", [False, True])
async def test_whatever_is_sent_breaks_nothing(house, guarded, caplog, asks):
    luck = random.Random(20260302)
    asked = [
        b"GET /api/rooms/free?for=30m&people=6 HTTP/1.1\r\nHost: localhost\r\nCookie: roomd_page=1.2\r\n\r\n",
        b'HEAD /room/fjord HTTP/1.1\r\nHost: [::1]:80\r\nIf-None-Match: "x"\r\nLast-Event-ID: a-1\r\n\r\n',
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\n",
    ]
    known = f"Authorization: Bearer {TOKEN}\r\n".encode()
    async with door(house, token_file=guarded["token_file"] if asks else None) as url:
        for number in range(150):
            head, _, rest = asked[number % 3].partition(b"\r\n")
            sent = bytearray(head + b"\r\n" + known * (number % 4 > 0) + rest)
            for _ in range(luck.randrange(1, 6)):
                sent[luck.randrange(len(sent))] = luck.randrange(256)
            async with calling(url) as caller:
                caller.writer.write(bytes(sent[: luck.randrange(1, len(sent) + 1)]))
                caller.writer.write_eof()
                await caller.end()
        async with calling(url) as caller:
            assert await caller.status(GET.replace(b"\r\n\r\n", b"\r\n" + known + b"\r\n")) in {200, 429}
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def test_many_requests_over_one_line_are_answered_in_order(house):
    async with door(house) as url, calling(url) as caller:
        caller.writer.write(GET * 50 + b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(50):
            assert await caller.status(b"") == HTTPStatus.OK
            await caller.reader.readexactly(len(b'{"status":"ok"}'))
        assert await caller.status(b"") == HTTPStatus.NOT_FOUND


async def test_no_more_come_in_than_there_is_room_for_and_silent_ones_make_room(house):
    bounds = Bounds(callers=6, strangers=4)
    patient = Pace(request_within_s=120.0)
    async with door(house, bounds=bounds, pace=patient) as url, contextlib.AsyncExitStack() as stack:
        known = [await stack.enter_async_context(calling(url)) for _ in range(3)]
        for each in known:
            assert await each.status(GET) == HTTPStatus.OK
            await each.reader.readexactly(len(b'{"status":"ok"}'))
        silent = [await stack.enter_async_context(calling(url)) for _ in range(3)]
        late = await stack.enter_async_context(calling(url))
        assert await late.end() == b""  # of one address no stranger makes room for another
        for each in known:  # and who was let in is answered still
            assert await each.status(GET) == HTTPStatus.OK
        assert not any(each.reader.at_eof() for each in silent)


async def test_who_takes_no_answers_is_dropped(house):
    house.put(room("fjord", *(booking(f"k{n}", hour(n / 10), hour(n / 10 + 0.1)) for n in range(100))))
    async with door(house, pace=QUICK) as url, calling(url) as caller:
        asked = b"GET /api/rooms/fjord HTTP/1.1\r\nHost: localhost\r\n\r\n"
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(15):
                while True:
                    caller.writer.write(asked * 20)
                    await caller.writer.drain()
                    await asyncio.sleep(0.02)
        caller.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await caller.end()


# ── a browser ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_browser_comes_in_by_a_link_from_elsewhere_and_by_the_form(house, guarded):
    address = f"https://127.0.0.1:{guarded['port']}"
    async with open_page(page_at(house, **plain(guarded)), house.inside), chromium() as browser:
        by_link = await (await browser.new_context(ignore_https_errors=True)).new_page()
        await by_link.goto(
            f"data:text/html,<a href='{address}/room/fjord?kiosk%26token={TOKEN}'>the rooms</a>"
        )
        await by_link.click("a")  # a strict cookie is not sent along what began elsewhere
        await by_link.wait_for_url(f"{address}/room/fjord?kiosk")
        await by_link.wait_for_selector('#pulse[data-state="live"]', state="attached")
        by_form = await (await browser.new_context(ignore_https_errors=True)).new_page()
        complaints: list[str] = []
        by_form.on("console", lambda said: complaints.append(said.text))
        await by_form.goto(f"{address}/?kiosk")
        await by_form.keyboard.type("wrong")
        await by_form.keyboard.press("Enter")
        await by_form.get_by_text("not the token").wait_for()
        assert await by_form.locator("input:visible").count() == 1
        await by_form.get_by_label("Token").fill(TOKEN)
        await by_form.get_by_role("button", name="Look").click()
        await by_form.wait_for_url(f"{address}/?kiosk")
        await by_form.wait_for_selector('#pulse[data-state="live"]', state="attached")
        assert not [each for each in complaints if "401" not in each]
