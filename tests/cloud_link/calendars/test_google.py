"""Google's rooms, calendars and channels; each request and answer judged by Google's own descriptions."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog
import trustme

from agent.core.model import EntryId
from cloud_link.calendars import google_calendar
from cloud_link.calendars.errors import (
    CalendarError,
    ClockSkewed,
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
from cloud_link.calendars.google import Google, Origins
from cloud_link.calendars.google_calendar import (
    AUTH,
    AccessRule,
    Channel,
    Feature,
    Hint,
    Writing,
    event_id,
    notified,
    read_key,
)
from cloud_link.calendars.hints import Quota
from cloud_link.calendars.joins import Platform
from cloud_link.calendars.window import Window, today_and_tomorrow
from cloud_link.calendars.wire import Wire, WirePace, never
from tests.clouds import google as stub
from tests.clouds.google_calendar import Calendar, Json
from tests.clouds.serving import Request, Response, Serving, nothing, tree
from tests.clouds_tests import google_discovery
from tests.clouds_tests.google_discovery import Discovery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]  # the judges may have to be installed first

OSLO = ZoneInfo("Europe/Oslo")
TODAY = datetime(2026, 1, 1, 7, tzinfo=UTC)
WINDOW = today_and_tomorrow(TODAY, OSLO)
MEET = "https://meet.google.com/abc-defg-hij"
WEBEX = "https://example.webex.com/meet/ada"
CANARY = "kanarifugl"
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the stand-in speaks plain HTTP


class Site:
    """A customer of Google and roomd's client of it, on the same clock."""

    def __init__(self, cloud: stub.Google, url: str) -> None:
        self.cloud = cloud
        self.url = url
        self.late = timedelta()  # by how much roomd's clock is

    def now(self) -> datetime:
        return self.cloud.now() + self.late

    @asynccontextmanager
    async def client(self, **options: object) -> AsyncIterator[Google]:
        def dial(origin: str, *, throttled=never) -> Wire:
            pace = WirePace(first_rest_s=0.001, patience_s=5.0)
            return Wire(origin, throttled=throttled, pace=pace, context=NOBODY)

        origins = Origins(calendar=self.url, directory=self.url, mail=self.url)
        key = read_key(self.cloud.key_file(self.url).encode())
        settings = {"subject": self.cloud.admin, "now": self.now} | options
        async with Google(key, origins=origins, dial=dial, **settings) as client:  # type: ignore[arg-type]
            yield client


@pytest.fixture(scope="module")
def discovery() -> Discovery:
    return google_discovery.read_discovery()


@pytest.fixture
async def site(discovery) -> AsyncIterator[Site]:
    """Whatever passes in a test is judged at its end."""
    cloud = stub.Google(now=lambda: TODAY)
    async with Serving(cloud.answer, plain=True) as serving:
        yield Site(cloud, serving.url)
    assert [one for heard in cloud.heard for one in discovery.complaints(heard)] == []


def at(day: int, hour: int, minute: int = 0, month: int = 1) -> Json:
    """A time of day in Oslo, in 2026."""
    local = datetime(2026, month, day, hour, minute, tzinfo=OSLO)
    return {"dateTime": local.isoformat(), "timeZone": "Europe/Oslo"}


def utc(day: int, hour: int, minute: int = 0, month: int = 1) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def meeting(room: Calendar, event_id: str, *, answer: Any = "accepted", **more: Any) -> Json:  # noqa: ANN401
    """An event that somebody else invited the room to, at nine."""
    return {
        "id": event_id,
        "summary": event_id,
        "start": at(1, 9),
        "end": at(1, 10),
        "organizer": {"email": "ada@example.com", "displayName": "Ada"},
        "attendees": [
            {"email": "grace@example.com", "displayName": CANARY, "responseStatus": "declined"},
            {"email": room.address, "resource": True, "responseStatus": answer},
        ],
        **more,
    }


# ── the Directory ─────────────────────────────────────────────────────────────────────────────────


async def test_all_rooms_of_a_large_house_are_found(site):
    for number in range(1201):
        site.cloud.add_room(f"Room {number}", zone="UTC")
    site.cloud.rooms[7]["resourceCategory"] = "OTHER"
    site.cloud.buildings.append({"buildingId": "OSL", "buildingName": "Oslo", "floorNames": ["1", "2"]})
    async with site.client() as google:
        rooms = await google.rooms()
        [building] = await google.buildings()
        customer = await google.customer()
    assert [room.name for room in rooms] == [f"Room {number}" for number in range(1201)]
    assert [room.name for room in rooms if not room.is_room] == ["Room 7"]
    assert (rooms[0].capacity, rooms[0].building_id, rooms[0].floor) == (8, "OSL", "2")
    assert rooms[0].full_name == "OSL-2-Room 0 (8)"
    assert site.cloud.count("/resources/calendars") == 3
    assert (building.name, building.floors) == ("Oslo", ("1", "2"))
    assert (customer.customer_id, customer.domain) == ("C03az79cb", "example.com")


async def test_a_directory_that_may_not_be_read_leaves_the_rooms_that_are_known(site):
    fjord = site.cloud.add_room("Fjord")
    site.cloud.faults.directory = (403, "forbidden")
    async with site.client() as google:
        with pytest.raises(RoomsDenied, match="403 forbidden"):
            await google.rooms()
        assert await google.list_room(fjord.address, WINDOW, OSLO) == ()


async def test_each_feature_asks_for_its_own_scope_and_fails_alone(site):
    fjord = site.cloud.add_room("Fjord")
    ada = site.cloud.add_person("ada").address
    site.cloud.delegated = {"calendar.readonly"}
    async with site.client() as google:
        assert await google.list_room(fjord.address, WINDOW, OSLO) == ()
        with pytest.raises(RoomsDenied):
            await google.rooms()
        with pytest.raises(Refused, match="vacation"):
            await google.vacation(ada)
        with pytest.raises(Refused, match="customer"):
            await google.customer()
        assert await google.list_room(fjord.address, WINDOW, OSLO) == ()
        site.cloud.delegated = {"calendar.events.readonly"}
        google.forget()
        with pytest.raises(Revoked):
            await google.list_room(fjord.address, WINDOW, OSLO)
    scopes = {Feature.CALENDAR: f"{AUTH}calendar.events.readonly"}
    async with site.client(scopes=scopes) as google:
        assert await google.list_room(fjord.address, WINDOW, OSLO) == ()


# ── tokens ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_wrong_clock_a_new_key_and_a_lost_delegation_are_told_apart_and_all_can_be_mended(site):
    fjord = site.cloud.add_room("Fjord")

    async def listed(**options: object) -> object:
        async with site.client(**options) as google:
            try:
                return await google.list_room(fjord.address, WINDOW, OSLO)
            except CalendarError as error:
                return type(error)

    assert await listed() == ()
    for late in (timedelta(hours=-2), timedelta(hours=2)):
        site.late = late
        assert await listed() is ClockSkewed
    site.late = timedelta(minutes=2)
    assert await listed() == ()
    granted, site.cloud.delegated = site.cloud.delegated, set()
    assert await listed() is Revoked
    site.cloud.delegated = granted
    assert await listed() == ()
    assert await listed(subject="nobody@example.com") is Misconfigured
    site.cloud.faults.token_refusal = (400, "invalid_grant", "Something that nobody has seen before")
    assert await listed() is CredentialWrong
    site.cloud.faults.token_refusal = None
    account, site.cloud.account = site.cloud.account, "other@project.iam.gserviceaccount.com"
    async with site.client() as google:
        site.cloud.account = account
        with pytest.raises(CredentialWrong, match="deleted"):
            await google.list_room(fjord.address, WINDOW, OSLO)
    async with site.client() as google:
        site.cloud.key = stub.make_key()
        with pytest.raises(CredentialWrong, match="key was deleted or exchanged"):
            await google.list_room(fjord.address, WINDOW, OSLO)


async def test_a_token_that_is_not_taken_is_exchanged_once(site):
    fjord = site.cloud.add_room("Fjord")
    async with site.client() as google:
        await google.list_room(fjord.address, WINDOW, OSLO)
        site.cloud.forget_tokens()
        await google.list_room(fjord.address, WINDOW, OSLO)
        assert site.cloud.count("/token") == 2
        site.cloud.faults.unauthorized = 2
        with pytest.raises(CredentialWrong):
            await google.list_room(fjord.address, WINDOW, OSLO)
        assert site.cloud.count("/token") == 3


# ── truth ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_day_is_what_really_keeps_the_room(site):
    room = site.cloud.add_room("Fjord")
    site.cloud.faults.skeletons = True
    room.put(meeting(room, "kept"))
    room.put(meeting(room, "secret", visibility="private", start=at(1, 11), end=at(1, 12)))
    room.put(meeting(room, "asked", answer="needsAction", start=at(1, 13), end=at(1, 14)))
    room.put({"id": "nameless", "start": at(1, 15), "end": at(1, 16)})
    room.put(meeting(room, "declined", answer="declined"))
    room.put(meeting(room, "free", transparency="transparent"))
    room.put(meeting(room, "desk", eventType="workingLocation"))
    room.put(meeting(room, "over", start=at(3, 9), end=at(3, 10)))
    room.put(meeting(room, "gone"))
    room.delete("gone")
    weekly = {"recurrence": ["RRULE:FREQ=DAILY;COUNT=2"], "start": at(1, 17), "end": at(1, 18)}
    room.put(meeting(room, "series", **weekly))
    room.put(
        {
            "id": "series_20260102T160000Z",
            "recurringEventId": "series",
            "originalStartTime": at(2, 17),
            "start": at(2, 17),
            "end": at(2, 18),
        }
    )
    room.delete("series_20260102T160000Z")
    async with site.client() as google:
        entries = await google.list_room(room.address, WINDOW, OSLO)
    assert [(entry.entry_id, entry.meeting.title, entry.meeting.private) for entry in entries] == [
        ("kept", "kept", False),
        ("secret", None, True),
        ("asked", "asked", False),
        ("nameless", None, False),
        ("series_20260101T160000Z", "series", False),
    ]
    assert (entries[0].starts_at, entries[0].ends_at) == (utc(1, 8), utc(1, 9))
    assert (entries[0].ical_uid, entries[-1].ical_uid) == ("kept@google.com", "series@google.com")
    assert {entry.meeting.organizer for entry in entries} == {None}


async def test_pages_may_be_short_or_empty_before_the_last(site):
    room = site.cloud.add_room("Fjord")
    for number in range(9):
        room.put(meeting(room, f"m{number}", start=at(1, 8 + number), end=at(1, 9 + number)))
    site.cloud.faults.page_size = 2
    site.cloud.faults.empty_pages = True
    async with site.client() as google:
        entries = await google.list_room(room.address, WINDOW, OSLO)
    assert [entry.entry_id for entry in entries] == [f"m{number}" for number in range(9)]
    assert site.cloud.count("/events") > 5


async def test_anothers_json_is_no_empty_calendar(site):
    room = site.cloud.add_room("Fjord")

    async def between(request: Request) -> Response:
        return tree({"status": "ok"}) if "/events" in request.path else await site.cloud.answer(request)

    async with Serving(between, plain=True) as proxy, Site(site.cloud, proxy.url).client() as google:
        with pytest.raises(Unreadable):
            await google.list_room(room.address, WINDOW, OSLO)


async def test_a_calendar_that_shows_only_when_it_is_taken_still_keeps_the_room(site):
    room = site.cloud.add_room("Fjord", role="freeBusyReader")
    room.put(meeting(room, "kept", conferenceData={"entryPoints": [{"uri": MEET}]}))
    async with site.client() as google:
        [entry] = await google.list_room(room.address, WINDOW, OSLO)
    assert (entry.meeting.title, entry.meeting.join, entry.starts_at) == (None, None, utc(1, 8))


@pytest.mark.parametrize(
    ("month", "day", "hours", "nine"),
    [(3, 29, 23 + 24, utc(29, 7, month=3)), (10, 25, 25 + 24, utc(25, 8, month=10))],
)
async def test_days_on_which_the_clock_is_changed(site, month, day, hours, nine):
    room = site.cloud.add_room("Fjord")
    last_week = at(day - 7, 9, month=month), at(day - 7, 10, month=month)
    room.put(meeting(room, "series", recurrence=["RRULE:FREQ=DAILY"], start=last_week[0], end=last_week[1]))
    dates = [f"2026-{month:02}-{day + more:02}" for more in (0, 1)]
    room.put({"id": "allday", "summary": "Fair", "start": {"date": dates[0]}, "end": {"date": dates[1]}})
    window = today_and_tomorrow(datetime(2026, month, day, 12, tzinfo=OSLO), OSLO)
    assert window.ends_at - window.starts_at == timedelta(hours=hours)
    async with site.client() as google:
        fair, *series = await google.list_room(room.address, window, OSLO)
    assert (fair.all_day, fair.starts_at) == (True, window.starts_at)
    assert fair.ends_at == window.ends_at - timedelta(days=1)
    assert [entry.starts_at for entry in series] == [nine, utc(day + 1, 7 if month == 3 else 8, month=month)]


EAST, WEST = "Pacific/Kiritimati", "Pacific/Pago_Pago"


@pytest.mark.parametrize(
    ("place", "zone"), [("Europe/Oslo", EAST), ("Europe/Oslo", "UTC"), (WEST, EAST), (EAST, WEST)]
)
async def test_an_all_day_event_is_a_date_of_the_room_wherever_its_calendar_thinks_it_is(site, place, zone):
    room = site.cloud.add_room("Fjord", zone=zone)
    here = ZoneInfo(place)
    window = today_and_tomorrow(datetime(2026, 1, 11, 12, tzinfo=here), here)
    for first, last, name in ((10, 11, "before"), (11, 12, "today"), (12, 14, "long"), (13, 14, "after")):
        start, end = {"date": f"2026-01-{first}"}, {"date": f"2026-01-{last}"}
        room.put({"id": name, "summary": name, "start": start, "end": end})
    async with site.client() as google:
        for _ in range(2):
            entries = await google.list_room(room.address, window, here)
            assert [(entry.entry_id, entry.starts_at, entry.ends_at) for entry in entries] == [
                ("today", datetime(2026, 1, 11, tzinfo=here), datetime(2026, 1, 12, tzinfo=here)),
                ("long", datetime(2026, 1, 12, tzinfo=here), datetime(2026, 1, 14, tzinfo=here)),
            ]
    assert site.cloud.count("/events") == 3  # the zone is learned once


@pytest.mark.parametrize("reason", ["fullSyncRequired", "updatedMinTooLongAgo", "deleted"])
async def test_a_listing_that_is_gone_in_the_middle_is_begun_anew_and_never_half(site, reason):
    room = site.cloud.add_room("Fjord")
    for number in range(5):
        room.put(meeting(room, f"m{number}", start=at(1, 8 + number), end=at(1, 9 + number)))
    site.cloud.faults.page_size = 2
    site.cloud.faults.gone_on_page = 2
    async with site.client() as google:
        site.cloud.faults.gone = [reason]
        assert len(await google.list_room(room.address, WINDOW, OSLO)) == 5
        site.cloud.faults.gone = [reason] * 2
        with pytest.raises(Transient):
            await google.list_room(room.address, WINDOW, OSLO)


async def test_one_room_that_is_denied_or_unknown_is_alone_with_it(site):
    rooms = [site.cloud.add_room(f"Room {number}") for number in range(20)]
    site.cloud.faults.denied = {rooms[3].address}
    async with site.client() as google:
        outcomes = await asyncio.gather(
            *(google.list_room(room.address, WINDOW, OSLO) for room in rooms),
            google.list_room("nobody@resource.calendar.google.com", WINDOW, OSLO),
            return_exceptions=True,
        )
    assert isinstance(outcomes[3], RoomDenied)
    assert isinstance(outcomes[20], RoomUnknown)
    assert outcomes.count(()) == 19


async def test_an_api_that_is_switched_off_is_not_taken_for_a_denied_room(site):
    room = site.cloud.add_room("Fjord")
    async with site.client() as google:
        site.cloud.faults.not_enabled = True
        with pytest.raises(Misconfigured, match="accessNotConfigured") as caught:
            await google.list_room(room.address, WINDOW, OSLO)
    assert "switch on" in caught.value.mend


# ── links to join by, and what is private ─────────────────────────────────────────────────────────


async def test_links_come_from_fields_then_the_location_and_from_descriptions_only_where_asked(site):
    room = site.cloud.add_room("Fjord")
    points = [
        {"entryPointType": "phone", "uri": "tel:+47-1"},
        {"entryPointType": "video", "uri": MEET, "label": "meet.google.com/abc-defg-hij"},
    ]
    conference = {"conferenceData": {"entryPoints": points, "conferenceSolution": {"name": "Google Meet"}}}
    times = itertools.cycle({"start": at(1, hour), "end": at(1, hour + 1)} for hour in range(8, 20))
    room.put(meeting(room, "fields", **conference, location=WEBEX, **next(times)))
    room.put(meeting(room, "hangout", hangoutLink=MEET, **next(times)))
    room.put(meeting(room, "location", location=f"Fjord, {WEBEX}", **next(times)))
    room.put(meeting(room, "keyword", location="@webex:space", **next(times)))
    room.put(meeting(room, "described", description=f"{CANARY} <a href='{WEBEX}'>", **next(times)))
    room.put(meeting(room, "nothing", description=CANARY, **next(times)))

    async def joins(google: Google) -> list[tuple[str, str | None, bool]]:
        entries = await google.list_room(room.address, WINDOW, OSLO)
        return [(entry.entry_id, entry.meeting.platform, entry.join_pending) for entry in entries]

    expected = [
        ("fields", Platform.MEET, False),
        ("hangout", Platform.MEET, False),
        ("location", Platform.WEBEX, False),
        ("keyword", None, True),
        ("described", None, False),
        ("nothing", None, False),
    ]
    async with site.client() as google:
        assert await joins(google) == expected
    assert site.cloud.count("{eventId}") == 0
    expected[4] = ("described", Platform.WEBEX, False)
    async with site.client(bodies=True) as google:
        assert await joins(google) == expected
        assert site.cloud.count("{eventId}") == 3
        assert await joins(google) == expected
        assert site.cloud.count("{eventId}") == 3  # nothing has changed
        room.put({**room.events["keyword"], "description": WEBEX})
        expected[3] = ("keyword", Platform.WEBEX, False)
        assert await joins(google) == expected
        assert site.cloud.count("{eventId}") == 4


async def test_nothing_private_is_fetched_logged_or_kept(site):
    room = site.cloud.add_room("Fjord")
    room.put(
        meeting(room, "kept", description=f"{CANARY} {WEBEX}", creator={"email": f"{CANARY}@example.com"})
    )
    room.put({**meeting(room, "broken"), "start": {"dateTime": CANARY, "timeZone": "Europe/Oslo"}})
    del room.events["broken"]
    async with site.client() as google:
        entries = await google.list_room(room.address, WINDOW, OSLO)
        fetched = b"".join(heard.response.body for heard in site.cloud.heard)
        for word in (CANARY, "grace@", "ada@", "Ada", WEBEX):
            assert word.encode() not in fetched
        assert [entry.meeting.organizer for entry in entries] == [None]
    async with site.client(organizers=True, bodies=True) as google:
        with structlog.testing.capture_logs() as logs:
            entries = await google.list_room(room.address, WINDOW, OSLO)
        assert [(entry.meeting.organizer, entry.meeting.join) for entry in entries] == [("Ada", WEBEX)]
        assert [entry.meeting.organizer_address for entry in entries] == ["ada@example.com"]
        assert CANARY not in repr((entries, logs, vars(google), google._searched, google._zones))  # noqa: SLF001
        assert "PRIVATE KEY" not in repr(vars(google))
    asked = b"".join(heard.request.target.encode() + heard.request.body for heard in site.cloud.heard)
    assert CANARY.encode() not in asked


# ── quotas ────────────────────────────────────────────────────────────────────────────────────────


class Clock:
    """A time that passes when all who are awake have done what they had to do."""

    def __init__(self, people: int) -> None:
        self.time = TODAY
        self._awake = people
        self._resting: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self.time

    async def rest(self, seconds: float) -> None:
        alarm = asyncio.get_running_loop().create_future()
        until = self.time + timedelta(seconds=seconds)
        heapq.heappush(self._resting, (until, len(self._resting), alarm))
        self.leave()
        await alarm

    def leave(self) -> None:
        self._awake -= 1
        if self._awake == 0 and self._resting:
            self.time, _, alarm = heapq.heappop(self._resting)
            self._awake += 1
            alarm.set_result(None)


async def test_a_thousand_rooms_are_listed_within_the_quota_of_one_user(site):
    clock = Clock(people=1000)
    site.cloud.now = clock.now
    for number in range(1000):
        room = site.cloud.add_room(f"Room {number}")
        room.put(meeting(room, "kept"))
    async with site.client(now=clock.now, rest=clock.rest) as google:
        rooms = await google.rooms()

        async def listed(address: str) -> int:
            entries = await google.list_room(address, WINDOW, OSLO)
            clock.leave()
            return len(entries)

        assert await asyncio.gather(*(listed(room.address) for room in rooms)) == [1] * 1000
    assert site.cloud.over_quota == 0
    assert site.cloud.count("/token") == 2
    assert site.cloud.count("/events") == 1000
    assert site.cloud.most_in_a_minute[site.cloud.admin] <= 490
    assert timedelta(minutes=2) < clock.time - TODAY < timedelta(minutes=3)


async def test_rooms_are_read_before_anybody_is_asked_to_tell_of_their_changes(site):
    rooms = [site.cloud.add_room(f"Room {number}") for number in range(8)]
    bell, waits = asyncio.Event(), []

    async def rest(seconds: float) -> None:
        waits.append(seconds)
        await bell.wait()

    async with site.client(quota=Quota(per_minute=60, at_once=1), rest=rest) as google:
        disk = Disk()
        async with asyncio.TaskGroup() as tasks:
            for room in rooms[:5]:
                tasks.create_task(google.list_room(room.address, WINDOW, OSLO))
            for room in rooms[5:]:
                hook = "https://roomd.example.com/hooks/google"
                tasks.create_task(google.watch(room.address, hook=hook, keep=disk.keep, forget=disk.forget))
            for _ in range(10):
                await asyncio.sleep(0)
            assert disk.story == ["kept"] * 3
            assert waits == [1, 2, 3, 4]
            bell.set()
    asked = [one.template.rpartition("/")[2] for one in site.cloud.heard if "/calendars/" in one.template]
    assert asked == ["events"] * 5 + ["watch"] * 3


@pytest.mark.parametrize("status", [403, 429])
async def test_whoever_is_told_to_wait_waits_and_so_do_all_others_in_the_same_name(site, status):
    rooms = [site.cloud.add_room(f"Room {number}") for number in range(4)]
    site.cloud.now = lambda: datetime.now(UTC)
    async with site.client() as google:
        await google.list_room(rooms[0].address, WINDOW, OSLO)
        site.cloud.faults.slow_down = 1
        site.cloud.faults.slow_down_status = status
        site.cloud.faults.retry_after_s = 1

        async def others() -> None:
            wire = google._calendar  # noqa: SLF001 - whoever asks before it has heard is not impatient
            async with asyncio.timeout(20):
                while not wire.rest_s(site.cloud.admin):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            await asyncio.gather(*(google.list_room(room.address, WINDOW, OSLO) for room in rooms))

        await asyncio.gather(google.list_room(rooms[0].address, WINDOW, OSLO), others())
        assert site.cloud.impatient == 0
        assert site.cloud.count("/events") == 7
        site.cloud.faults.slow_down = 1
        site.cloud.faults.retry_after_s = 3600
        with pytest.raises(Throttled) as caught:
            await google.list_room(rooms[0].address, WINDOW, OSLO)
        assert caught.value.retry_after_s == 3600
        with pytest.raises(Throttled):
            await google.list_room(rooms[1].address, WINDOW, OSLO)
    assert site.cloud.impatient == 0
    assert site.cloud.count("/events") == 8


async def test_what_breaks_for_a_moment_is_asked_again(site):
    room = site.cloud.add_room("Fjord")
    async with site.client() as google:
        site.cloud.faults.broken = [500, 503]
        assert await google.list_room(room.address, WINDOW, OSLO) == ()
        site.cloud.faults.cut = 1
        assert await google.list_room(room.address, WINDOW, OSLO) == ()
        site.cloud.faults.broken = [502] * 9
        with pytest.raises(Transient):
            await google.list_room(room.address, WINDOW, OSLO)


# ── channels ──────────────────────────────────────────────────────────────────────────────────────


class Disk:
    """Where channels are kept; every state that it was in."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.story: list[str] = []

    async def keep(self, channel: Channel) -> None:
        self.story.append("kept" if channel.resource_id is None else "completed")
        self.channels[channel.id] = channel

    async def forget(self, channel_id: str) -> None:
        self.story.append("forgotten")
        del self.channels[channel_id]


class Hook:
    """Hears notifications over TLS."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[Hint] = asyncio.Queue()
        self.status = 204
        self.serving = Serving(self.take, authority=trustme.CA())

    async def take(self, request: Request) -> Response:
        assert request.body == b""
        hint = notified(request.headers)
        assert hint is not None
        self.came.put_nowait(hint)
        return nothing(self.status)

    @property
    def url(self) -> str:
        return f"{self.serving.url}/google"


@pytest.fixture
async def hook(site) -> AsyncIterator[Hook]:
    hook = Hook()
    site.cloud.hook_context = hook.serving.client_context()
    async with hook.serving, site.cloud.running():
        yield hook


async def test_a_channel_is_on_disk_before_google_knows_of_it_and_tells_of_changes(site, hook):
    room = site.cloud.add_room("Fjord")
    disk = Disk()

    async def keep(channel: Channel) -> None:
        await disk.keep(channel)
        assert (channel.id in site.cloud.channel_ids) == (channel.resource_id is not None)

    async with site.client() as google:
        channel = await google.watch(room.address, hook=hook.url, keep=keep, forget=disk.forget)
        assert disk.story == ["kept", "completed"]
        assert disk.channels == {channel.id: channel}
        assert channel.expires_at == TODAY + timedelta(days=7)
        first = await hook.came.get()
        assert first.first
        room.put(meeting(room, "new"))
        hint = await hook.came.get()
        assert not hint.first
        assert channel.admits(first)
        assert channel.admits(hint)
        assert hint.token not in repr((channel, hint))
        await google.stop(channel, forget=disk.forget)
        assert disk.channels == {}
        assert site.cloud.channels == {}


async def test_a_channel_is_replaced_by_a_new_one_before_its_end_and_then_stopped(site, hook):
    room = site.cloud.add_room("Fjord")
    disk = Disk()
    async with site.client() as google:
        old = await google.watch(room.address, hook=hook.url, keep=disk.keep, forget=disk.forget)
        assert TODAY + timedelta(days=4) < google_calendar.replace_at(old, luck=0.99) < old.expires_at
        new = await google.watch(room.address, hook=hook.url, keep=disk.keep, forget=disk.forget)
        await google.stop(old, forget=disk.forget)
        assert disk.story == ["kept", "completed", "kept", "completed", "forgotten"]
        assert list(disk.channels) == [new.id]
        assert list(site.cloud.channels) == [new.id]
        methods = [heard.template.rpartition("/")[2] for heard in site.cloud.heard[1:]]
        assert methods == ["watch", "watch", "stop"]
        await google.stop(old, forget=lambda _: asyncio.sleep(0))  # gone already
        site.cloud.faults.broken = [400]
        with pytest.raises(Refused):
            await google.watch(room.address, hook=hook.url, keep=disk.keep, forget=disk.forget)
        assert list(disk.channels) == list(site.cloud.channels) == [new.id]  # the one before still tells us


async def test_a_channel_whose_answer_is_lost_is_known_by_its_first_word_and_can_be_stopped(site, hook):
    room = site.cloud.add_room("Fjord")
    disk = Disk()
    async with site.client() as google:
        await google.list_room(room.address, WINDOW, OSLO)
        site.cloud.faults.cut = 1
        with pytest.raises(Transient):
            await google.watch(room.address, hook=hook.url, keep=disk.keep, forget=disk.forget)
        [channel] = disk.channels.values()
        assert google_calendar.replace_at(channel, luck=0.5) == TODAY + timedelta(minutes=1)
        await google.stop(channel, forget=disk.forget)
        assert disk.channels == {channel.id: channel}
        hint = await hook.came.get()
        assert channel.admits(hint)
    async with site.client() as google:  # roomd was started anew
        await google.stop(channel.completed(hint), forget=disk.forget)
    assert disk.channels == {}
    assert site.cloud.channels == {}


async def test_channels_that_never_were_do_not_pile_up(site):
    room = site.cloud.add_room("Fjord")
    disk = Disk()
    async with site.client() as google:
        await google.list_room(room.address, WINDOW, OSLO)
        for minutes in range(1, 4):
            site.cloud.faults.broken = [502]
            for old in list(disk.channels.values()):
                await google.stop(old, forget=disk.forget)
            with pytest.raises(Transient):
                await google.watch(
                    room.address, hook="https://roomd.example.com/", keep=disk.keep, forget=disk.forget
                )
            assert len(disk.channels) == 1
            site.cloud.now = lambda minutes=minutes: TODAY + timedelta(minutes=minutes)


async def test_a_hook_that_google_does_not_call_leaves_nothing_behind(site):
    room = site.cloud.add_room("Fjord")
    disk = Disk()
    async with site.client() as google:
        with pytest.raises(Refused, match="webhookUrlNotHttps") as caught:
            await google.watch(
                room.address, hook="http://roomd.example.com/", keep=disk.keep, forget=disk.forget
            )
    assert "https" in caught.value.mend
    assert disk.channels == {}


# ── free/busy, users, who may see a calendar ──────────────────────────────────────────────────────


async def test_when_many_rooms_are_taken_is_asked_fifty_at_a_time(site):
    rooms = [site.cloud.add_room(f"Room {number}") for number in range(120)]
    rooms[0].put(meeting(rooms[0], "nine"))
    rooms[0].put(meeting(rooms[0], "overlapping", start=at(1, 9, 30), end=at(1, 11)))
    rooms[0].put(meeting(rooms[0], "free", transparency="transparent", start=at(1, 13), end=at(1, 14)))
    addresses = [*(room.address for room in rooms), "nobody@example.com"]
    async with site.client() as google:
        found = await google.free_busy(addresses, WINDOW)
    assert site.cloud.count("freeBusy") == 3
    assert found[addresses[0]] == (Window(starts_at=utc(1, 8), ends_at=utc(1, 10)),)
    assert found[addresses[1]] == ()
    assert isinstance(found["nobody@example.com"], RoomUnknown)


async def test_a_users_settings_and_vacation(site):
    ada = site.cloud.add_person("ada").address
    site.cloud.delegated.add("gmail.settings.basic")
    ends = str(int(utc(9, 8).timestamp() * 1000))
    site.cloud.vacation[ada] = {"enableAutoReply": True, "responseSubject": CANARY, "endTime": ends}
    async with site.client() as google:
        assert await google.setting(ada, "timezone") == "Europe/Oslo"
        with pytest.raises(Gone):
            await google.setting(ada, "colour")
        vacation = await google.vacation(ada)
        assert (vacation.enabled, vacation.starts_at, vacation.ends_at) == (True, None, utc(9, 8))
        assert (await google.vacation(site.cloud.admin)).enabled is False
        with pytest.raises(Refused, match="does not exist"):
            await google.setting("nobody@example.com", "timezone")
    assert CANARY.encode() not in b"".join(heard.response.body for heard in site.cloud.heard)


async def test_who_may_see_a_calendar_is_changed_only_where_that_is_switched_on(site):
    room = site.cloud.add_room("Fjord")
    site.cloud.delegated |= {"calendar.acls", "calendar.acls.readonly"}
    rule = AccessRule(role="freeBusyReader", kind="domain", who="example.com")
    async with site.client() as google:
        with pytest.raises(WritingOff, match="acl") as caught:
            await google.share(room.address, rule)
        assert "auth/calendar.acls " in caught.value.mend
        with pytest.raises(WritingOff):
            await google.unshare(room.address, "domain:example.com")
        assert site.cloud.heard == []
    async with site.client(writes=[Writing.ACL]) as google:
        made = await google.share(room.address, rule)
        assert made.rule_id == "domain:example.com"
        assert [one.rule_id for one in await google.access(room.address)] == [
            f"user:{site.cloud.admin}",
            "domain:example.com",
        ]
        for _ in range(2):
            await google.unshare(room.address, made.rule_id)
        assert len(await google.access(room.address)) == 1


# ── writing ───────────────────────────────────────────────────────────────────────────────────────


async def test_nothing_is_written_where_it_is_not_switched_on(site):
    room = site.cloud.add_room("Fjord")
    room.put(meeting(room, "kept"))
    entry = EntryId("kept")
    booking: Json = {
        "starts_at": TODAY,
        "ends_at": TODAY + timedelta(hours=1),
        "title": None,
        "organizer": None,
    }
    async with site.client() as google:
        for attempt in (
            google.book(room.address, request_id="r1", **booking),
            google.quick_add("Lunch"),
            google.extend(room.address, entry, ends_at=TODAY),
            google.release(room.address, entry),
        ):
            with pytest.raises(WritingOff):
                await attempt
    assert site.cloud.heard == []
    async with site.client(writes=[Writing.DELETE]) as google:  # switched on, and not granted
        with pytest.raises(WritingOff, match="delegate"):
            await google.release(room.address, entry)
    assert list(room.events) == ["kept"]


@asynccontextmanager
async def writing(site: Site) -> AsyncIterator[Google]:
    desk = site.cloud.add_person("desk").address
    site.cloud.delegated.add("calendar.events")
    async with site.client(writes=list(Writing), books_as=desk) as google:
        yield google


async def book(google: Google, room: Calendar) -> EntryId:
    return await google.book(
        room.address,
        starts_at=utc(1, 12),
        ends_at=utc(1, 13),
        title="Review",
        organizer=None,
        request_id="r1",
    )


async def test_a_room_is_booked_once_extended_and_released(site):
    room = site.cloud.add_room("Fjord")
    async with writing(site) as google:
        booking: Json = {
            "starts_at": utc(1, 12),
            "ends_at": utc(1, 13),
            "title": "Review",
            "organizer": "Ada",
        }
        await google.quick_add("Lunch")  # has a token now
        site.cloud.faults.cut = 1
        entry_id = await google.book(room.address, request_id="r1", **booking)
        assert await google.book(room.address, request_id="r1", **booking) == entry_id
        [entry] = await google.list_room(room.address, WINDOW, OSLO)
        assert (entry.entry_id, entry.meeting.title) == (entry_id, "Review")
        assert (entry.starts_at, entry.ends_at) == (utc(1, 12), utc(1, 13))
        assert await google.get(room.address, entry_id, OSLO) == entry
        await google.extend(room.address, entry_id, ends_at=utc(1, 14))
        [entry] = await google.list_room(room.address, WINDOW, OSLO)
        assert entry.ends_at == utc(1, 14)
        for _ in range(2):
            await google.release(room.address, entry_id)
        assert await google.list_room(room.address, WINDOW, OSLO) == ()
        assert await google.get(room.address, entry_id, OSLO) is None


async def test_a_room_that_is_taken_declines(site):
    room = site.cloud.add_room("Fjord")
    room.put(meeting(room, "nine"))
    async with writing(site) as google:
        await google.book(
            room.address,
            starts_at=utc(1, 8, 30),
            ends_at=utc(1, 9),
            title="Review",
            organizer=None,
            request_id="r1",
        )
        assert [entry.entry_id for entry in await google.list_room(room.address, WINDOW, OSLO)] == ["nine"]


async def test_what_others_organize_is_declined_and_not_extended(site):
    room = site.cloud.add_room("Fjord")
    ada = site.cloud.add_person("ada")
    for calendar in (room, ada):
        calendar.put(meeting(room, "theirs"))
    entry = EntryId("theirs")
    async with writing(site) as google:
        with pytest.raises(Refused, match="somebody else") as caught:
            await google.extend(room.address, entry, ends_at=utc(1, 10))
        assert "organizer" in caught.value.mend
        await google.release(room.address, entry)
        assert await google.list_room(room.address, WINDOW, OSLO) == ()
    assert ada.events["theirs"]["attendees"][1]["responseStatus"] == "declined"
    assert ada.events["theirs"]["status"] == "confirmed"


async def test_a_meeting_of_whom_roomd_books_as_is_cancelled_for_nobody_and_not_extended(site):
    room, other = site.cloud.add_room("Fjord"), site.cloud.add_room("Elv")
    ada, desk = site.cloud.add_person("ada"), site.cloud.add_person("desk")
    theirs = meeting(room, event_id("as if it were ours"), organizer={"email": desk.address})
    theirs["attendees"] += [{"email": one.address, "responseStatus": "accepted"} for one in (ada, other)]
    for calendar in (room, other, ada, desk):
        calendar.put(dict(theirs))
    async with writing(site) as google:
        with pytest.raises(Refused, match="somebody else"):
            await google.extend(room.address, theirs["id"], ends_at=utc(1, 12))
        await google.release(room.address, theirs["id"])
        assert await google.list_room(room.address, WINDOW, OSLO) == ()
    for calendar in (other, ada, desk):
        assert calendar.events[theirs["id"]]["status"] == "confirmed"
        assert calendar.events[theirs["id"]]["end"] == at(1, 10)


async def test_whom_roomd_books_as_stays_in_a_meeting_that_the_room_leaves(site):
    room = site.cloud.add_room("Fjord")
    ada, desk = site.cloud.add_person("ada"), site.cloud.add_person("desk")
    theirs = meeting(room, "theirs")
    theirs["attendees"].append({"email": desk.address, "responseStatus": "accepted"})
    for calendar in (room, ada, desk):
        calendar.put(dict(theirs))
    async with writing(site) as google:
        await google.release(room.address, EntryId("theirs"))
        assert await google.list_room(room.address, WINDOW, OSLO) == ()
    assert desk.events["theirs"]["attendees"][2]["responseStatus"] == "accepted"
    assert desk.events["theirs"]["status"] == "confirmed"
    assert not [one for one in site.cloud.heard if "/primary/" in one.path]  # nobody's calendar is looked at


async def test_what_roomd_booked_is_left_to_those_who_were_invited_to_it_since(site):
    room = site.cloud.add_room("Fjord")
    async with writing(site) as google:
        entry_id = await book(google, room)
        desk = site.cloud.calendars["desk@example.com"]
        ada = site.cloud.add_person("ada")
        guests = [*desk.events[entry_id]["attendees"], {"email": ada.address, "responseStatus": "accepted"}]
        for calendar in (desk, room, ada):
            calendar.put({**(calendar.find(entry_id) or desk.events[entry_id]), "attendees": guests})
        with pytest.raises(Refused, match="others were invited"):
            await google.extend(room.address, entry_id, ends_at=utc(1, 15))
        await google.release(room.address, entry_id)
        assert await google.list_room(room.address, WINDOW, OSLO) == ()
    assert ada.events[entry_id]["status"] == desk.events[entry_id]["status"] == "confirmed"


async def test_a_copy_of_what_roomd_booked_is_its_makers(site):
    room = site.cloud.add_room("Fjord")
    async with writing(site) as google:
        entry_id = await book(google, room)
        desk = site.cloud.calendars["desk@example.com"]
        copied = {**desk.events[entry_id], "id": event_id("another"), "start": at(1, 15), "end": at(1, 16)}
        for calendar in (desk, room):
            calendar.put(dict(copied))
        await google.release(room.address, EntryId(copied["id"]))
        assert [one.entry_id for one in await google.list_room(room.address, WINDOW, OSLO)] == [entry_id]
    assert desk.events[copied["id"]]["status"] == "confirmed"


async def test_of_a_series_the_room_leaves_one_occurrence_and_what_became_a_series_is_left_alone(site):
    room, desk = site.cloud.add_room("Fjord"), site.cloud.add_person("desk")
    series = meeting(
        room, "series", organizer={"email": desk.address}, recurrence=["RRULE:FREQ=DAILY;COUNT=2"]
    )
    for calendar in (room, desk):
        calendar.put(dict(series))
    async with writing(site) as google:
        today, tomorrow = await google.list_room(room.address, WINDOW, OSLO)
        with pytest.raises(Refused, match="series"):
            await google.release(room.address, EntryId("series"))
        await google.release(room.address, today.entry_id)
        assert await google.list_room(room.address, WINDOW, OSLO) == (tomorrow,)
    left = [one["id"] for one in desk.listed(single=True, deleted=False, lower=None, upper=None)]
    assert sorted(left) == [today.entry_id, tomorrow.entry_id]


async def test_what_is_in_the_rooms_own_calendar_alone_goes_unless_guests_would_lose_it(site):
    room, ada = site.cloud.add_room("Fjord"), site.cloud.add_person("ada")
    alone = {"organizer": {"email": room.address}, "attendees": []}
    guests = {"organizer": {"email": room.address}, "attendees": [{"email": ada.address}]}
    room.put(meeting(room, "alone", **alone))
    for calendar in (room, ada):
        calendar.put(meeting(room, "guests", **guests))
    async with writing(site) as google:
        await google.release(room.address, EntryId("alone"))
        with pytest.raises(Refused, match="guests would lose it"):
            await google.release(room.address, EntryId("guests"))
        assert [one.entry_id for one in await google.list_room(room.address, WINDOW, OSLO)] == ["guests"]
    assert ada.events["guests"]["status"] == "confirmed"


async def test_a_room_that_cannot_be_freed_is_not_said_to_be(site):
    room = site.cloud.add_room("Fjord")
    room.put(meeting(room, "theirs"))
    async with writing(site) as google:
        room.role = "reader"
        with pytest.raises(Refused) as caught:
            await google.release(room.address, EntryId("theirs"))
        assert "share" in caught.value.mend
        room.role = ""
        with pytest.raises(RoomUnknown):
            await google.release(room.address, EntryId("theirs"))
        room.role = "owner"
        await google.release(room.address, EntryId("nothing"))
    assert room.events["theirs"]["status"] == "confirmed"


async def test_occurrences_of_a_series(site):
    room = site.cloud.add_room("Fjord")
    room.put(meeting(room, "series", recurrence=["RRULE:FREQ=DAILY"]))
    moved = {"start": at(2, 15), "end": at(2, 16)}
    exception = {"recurringEventId": "series", "originalStartTime": at(2, 9)}
    room.put(meeting(room, "series_20260102T080000Z", **exception, **moved))
    async with site.client() as google:
        listed = await google.list_room(room.address, WINDOW, OSLO)
        assert await google.instances(room.address, EntryId("series"), WINDOW, OSLO) == listed
        with pytest.raises(Gone):
            await google.instances(room.address, EntryId("nothing"), WINDOW, OSLO)
    assert [entry.starts_at for entry in listed] == [utc(1, 8), utc(2, 14)]
