"""Google's own client and Home Assistant's find nothing strange in the simulated Google cloud."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.clouds.google import SCOPES, Google, Heard
from tests.clouds.serving import Request, Response, Serving, call, nothing
from tests.clouds_tests import google_discovery
from tests.clouds_tests.google_discovery import PYTHON

HERE = Path(__file__).parent
WITHIN_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]  # the judges may have to be installed first

Step = Callable[[asyncio.subprocess.Process, Any], Any]


def at(day: int, hour: int, minute: int = 0) -> dict[str, str]:
    return {"dateTime": f"2026-01-{day:02}T{hour:02}:{minute:02}:00+01:00", "timeZone": "Europe/Oslo"}


def fill(google: Google) -> str:
    """Some rooms, and a lively day in the first; its address."""
    fjord = google.add_room("Fjord")
    for name in ("Skagen", "Bergen"):
        google.add_room(name)
    google.buildings.append(
        {
            "kind": "admin#directory#resources#buildings#Building",
            "etags": '"1"',
            "buildingId": "OSL",
            "buildingName": "Oslo",
            "coordinates": {"latitude": 59.9, "longitude": 10.7},
            "floorNames": ["1", "2"],
            "address": {"regionCode": "NO", "locality": "Lysaker"},
        }
    )
    room = {"email": fjord.address, "displayName": "Fjord", "resource": True, "responseStatus": "accepted"}
    ada = {"email": "ada@example.com"}
    fjord.put(
        {
            "id": "weekly",
            "summary": "Weekly",
            "recurrence": ["RRULE:FREQ=WEEKLY;BYDAY=TH"],
            "start": at(1, 9),
            "end": at(1, 10),
            "organizer": ada,
            "attendees": [room],
            "hangoutLink": "https://meet.google.com/abc-defg-hij",
            "conferenceData": {
                "conferenceId": "abc-defg-hij",
                "conferenceSolution": {"key": {"type": "hangoutsMeet"}, "name": "Google Meet"},
                "entryPoints": [
                    {"entryPointType": "video", "uri": "https://meet.google.com/abc-defg-hij"},
                    {"entryPointType": "phone", "uri": "tel:+47-1234", "pin": "123"},
                ],
            },
        }
    )
    fjord.put({"id": "lunch", "summary": "Lunch", "start": at(1, 12), "end": at(1, 13), "organizer": ada})
    fjord.put(
        {
            "id": "allday",
            "summary": "Fair",
            "start": {"date": "2026-01-01"},
            "end": {"date": "2026-01-02"},
            "transparency": "transparent",
        }
    )
    fjord.put({"id": "gone", "summary": "Gone", "start": at(1, 14), "end": at(1, 15)})
    fjord.delete("gone")
    return fjord.address


async def told(program: str, *arguments: str, steps: dict[str, Step]) -> dict[str, Any]:
    """What a judge tells, by step; `steps` are what happens after one of them."""
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(HERE / program),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    seen: dict[str, Any] = {}
    try:
        async with asyncio.timeout(WITHIN_S):
            while line := await process.stdout.readline():
                said = json.loads(line)
                seen.setdefault(said["step"], []).append(said["value"])
                if said["step"] in steps:
                    process.stdin.write((await steps[said["step"]](process, seen) or "").encode() + b"\n")
                    await process.stdin.drain()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return {step: values[0] if len(values) == 1 else values for step, values in seen.items()}


@contextlib.asynccontextmanager
async def hooked(
    google: Google, authority: trustme.CA
) -> AsyncIterator[tuple[Serving, asyncio.Queue[Request]]]:
    """Somewhere where notifications can be sent, and those that came."""
    came: asyncio.Queue[Request] = asyncio.Queue()

    async def take(request: Request) -> Response:
        came.put_nowait(request)
        return nothing()

    async with Serving(take, authority=authority) as hook, google.running():
        yield hook, came


async def test_googles_own_client_does_all_that_roomd_does(tmp_path):
    discovery = google_discovery.read_discovery()
    authority = trustme.CA()
    context = Serving(lambda _: None, authority=authority).client_context()  # type: ignore[arg-type, return-value]
    google = Google(hook_context=context)
    room = fill(google)
    ada = google.add_person("ada").address
    google.delegated |= {"calendar.events", "calendar.acls", "gmail.settings.basic"}
    async with hooked(google, authority) as (hook, came), Serving(google.answer, plain=True) as cloud:
        key_file = tmp_path / "key.json"
        key_file.write_text(google.key_file(cloud.url))

        async def say_what_came(*_: object) -> str:
            headers = (await came.get()).headers
            state, number = headers["x-goog-resource-state"], headers["x-goog-message-number"]
            return f"{state} {number} {headers['x-goog-channel-token']}"

        arguments = (cloud.url, str(key_file), google.admin, room, ada, f"{hook.url}/hook")
        seen = await told("google_judge.py", *arguments, steps={"channel_plain": say_what_came})
    assert seen == {
        "rooms": ["Fjord", "Skagen", "Bergen"],
        "buildings": ["OSL"],
        "customer": "example.com",
        "day": ["Weekly", "Lunch", "Fair"],
        "partial": [["items"], ["attendees", "id"]],
        "instances": 1,
        "got": "Weekly",
        "unknown": [404, "notFound", "Not Found"],
        "offsets": [400, "badRequest", "Bad Request"],
        "since": [],
        "sync_and_time": [400, "badRequest", "Sync token cannot be used with this parameter."],
        "sync_too_old": [
            410,
            "fullSyncRequired",
            "Sync token is no longer valid, a full sync is required.",
        ],
        "channel": ["api#channel", "judge-1", "t", True],
        "channel_twice": [400, "channelIdNotUnique", "Channel id judge-1 not unique"],
        "channel_plain": [
            400,
            "push.webhookUrlNotHttps",
            "WebHook callback must be HTTPS: http://example.com/",
        ],
        "heard": "sync 1 t",
        "stopped_twice": 404,
        "busy": [
            [
                {"start": "2026-01-01T08:00:00Z", "end": "2026-01-01T09:00:00Z"},
                {"start": "2026-01-01T11:00:00Z", "end": "2026-01-01T12:00:00Z"},
            ],
            "notFound",
        ],
        "setting": "Europe/Oslo",
        "too_little": [403, "insufficientPermissions"],
        "vacation": False,
        "invited": "accepted",
        "patched": "Retro",
        "quick": "Lunch",
        "deleted": "cancelled",
        "deleted_twice": [410, "deleted"],
        "shared": [f"user:{google.admin}", f"user:{ada}"],
        "unshared": [f"user:{google.admin}"],
        "not_granted": "unauthorized_client",
        "done": True,
    }
    expected = {  # what the judge did wrong on purpose
        "calendar.events.list: timeMin=2026-01-01T00:00:00: not a moment with an offset",
    }
    assert {one for heard in google.heard for one in discovery.complaints(heard)} == expected


async def test_home_assistants_client_keeps_up_through_changes_and_a_lost_sync_token():
    discovery = google_discovery.read_discovery()
    google = Google(now=lambda: datetime(2026, 1, 1, 7, tzinfo=UTC))
    google.faults.page_size = 2
    room = google.calendars[fill(google)]
    token = google.grant_token(google.admin, SCOPES + "calendar.readonly")

    async def happens(_: object, seen: dict[str, Any]) -> None:
        match len(seen["round"]):
            case 1:
                room.put({**room.events["lunch"], "summary": "Long lunch", "end": at(1, 14)})
                room.put(
                    {
                        "id": "weekly_20260101T080000Z",
                        "recurringEventId": "weekly",
                        "originalStartTime": at(1, 9),
                        "summary": "Weekly, later",
                        "start": at(1, 10),
                        "end": at(1, 11),
                    }
                )
            case 2:
                room.delete("weekly_20260101T080000Z")
                room.delete("allday")
            case 3:
                google.forget_syncs()

    async with Serving(google.answer, plain=True) as cloud:
        steps: dict[str, Step] = {"round": happens}
        seen = await told("gcal_sync_judge.py", cloud.url, token, room.address, steps=steps)
    assert seen["day"] == ["Fair", "Weekly", "Lunch"]
    assert seen["round"] == [
        ["01 00:00 Fair", "01 09:00 Weekly", "01 12:00 Lunch"],
        ["01 00:00 Fair", "01 10:00 Weekly, later", "01 12:00 Long lunch"],
        ["01 12:00 Long lunch"],
        ["01 12:00 Long lunch"],
    ]
    assert [one for heard in google.heard for one in discovery.complaints(heard)] == []
    assert 410 in {heard.response.status for heard in google.heard}


async def test_the_descriptions_find_what_is_planted():
    discovery = google_discovery.read_discovery()
    google = Google()
    room = google.calendars[fill(google)]
    headers = {"Authorization": f"Bearer {google.grant_token(google.admin, SCOPES + 'calendar')}"}
    path = f"/calendar/v3/calendars/{room.address}/events"
    wanted = {"id": "c-1", "type": "web_hook", "address": "https://example.com/"}
    async with Serving(google.answer, plain=True) as cloud:
        await call(f"{cloud.url}{path}?fields=items(id)", method="GET", headers=headers)
        await call(
            f"{cloud.url}{path}/watch",
            headers={**headers, "Content-Type": "application/json"},
            body=json.dumps(wanted).encode(),
        )
    listing, watching = google.heard
    assert discovery.complaints(listing) == discovery.complaints(watching) == []

    def answered(heard: Heard, **changes: object) -> list[str]:
        body = {**heard.response.json(), **changes}
        response = dataclasses.replace(heard.response, body=json.dumps(body).encode())
        return discovery.complaints(dataclasses.replace(heard, response=response))

    def asked(heard: Heard, **changes: list[str]) -> list[str]:
        return discovery.complaints(dataclasses.replace(heard, query={**heard.query, **changes}))

    number = "calendar.events.watch: response: $.expiration: 1426325213000 is not of type 'string'"
    assert answered(watching, expiration=1426325213000) == [number]
    assert "ttl" in answered(watching, ttl="1")[0]
    assert answered(listing, items=[{"id": 1}]) == [
        "calendar.events.list: response: $.items[0].id: 1 is not of type 'string'"
    ]
    assert asked(listing, maxresults=["5"]) == ["calendar.events.list: unknown parameter maxresults"]
    assert asked(listing, orderBy=["start"])
    assert asked(listing, fields=["items(ident)"]) == ["fields: calendar.events.list.items has no ident"]
    elsewhere = dataclasses.replace(listing, path="/calendar/v3/calendar/x/events")
    assert discovery.complaints(elsewhere) == ["no such method: GET /calendar/v3/calendar/x/events"]
