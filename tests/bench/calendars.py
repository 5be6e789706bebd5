"""A day's listing of 1,000 rooms: what roomd's readers cost, beside a bare loop over the same pages."""

import argparse
import asyncio
import itertools
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import httpx
import msgspec
import uvloop

from agent.core.calendars import link
from agent.core.events import CalendarListed, RoomEvent
from agent.core.facts import Step
from agent.core.model import CalendarKind, Policy, Room, RoomId
from agent.core.step import step
from cloud_link.calendars import kept
from cloud_link.calendars.accounts import Accounts, GoogleAccount, LinkedRoom, MicrosoftAccount, Way
from cloud_link.calendars.google import Origins
from cloud_link.calendars.site import SiteCalendars
from cloud_link.calendars.views import IntegrationTurned
from cloud_link.database import Limits, open_database
from tests.bench.processes import MB, Cores, resident_bytes, running, tail
from tests.clouds.google import Google
from tests.clouds.microsoft import Microsoft365
from tests.clouds.serving import Serving

Cloud = Literal["microsoft", "google"]
How = Literal["roomd", "floor"]
CLOUDS: Final[Sequence[Cloud]] = get_args(Cloud)
ROOMS: Final = 1000
QUICK_ROOMS: Final = 100
ENTRIES: Final = 8  # of each room, today and tomorrow
SPEED: Final = 60.0  # so much faster the readers' day goes by
LASTS_S: Final = 30.0  # half an hour of the readers' day
QUICK_LASTS_S: Final = 5.0
ENDS_WITHIN_S: Final = 300.0
A_DAY_S: Final = 86_400.0
OSLO: Final = ZoneInfo("Europe/Oslo")
BEGINS: Final = datetime(2026, 1, 14, 7, tzinfo=UTC)
WINDOW: Final = (datetime(2026, 1, 13, 23, tzinfo=UTC), datetime(2026, 1, 15, 23, tzinfo=UTC))
BATCH: Final = 20
UNDER_WAY: Final = {"microsoft": 4, "google": 8}


# ── what is measured ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a process measured of itself."""

    cloud: Cloud
    how: How
    rooms: int
    first_cpu_s: float  # until every room was listed once
    listings: int  # afterwards
    cpu_us: float  # of one of these, idle work included
    a_day: float | None  # listings in a day; None: it has no days
    bare_mb: float  # before the first listing
    resident_mb: float

    @property
    def kb_per_room(self) -> float:
        return 1024 * (self.resident_mb - self.bare_mb) / self.rooms


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a process is to do."""

    cloud: Cloud
    how: How
    url: str
    ca_file: str
    secret_file: str
    addresses: list[str]
    lasts_s: float
    directory: str
    tenant: str
    client_id: str
    subject: str
    token: str | None  # that Google gave; the floor signs nothing


async def measure(directory: Path, cores: Cores, *, quick: bool, say: Callable[[str], None]) -> list[Listing]:
    """Roomd and the floor at each cloud, one after the other, on the contender's core."""
    found: list[Listing] = []
    for cloud in CLOUDS:
        async with _served(cloud, directory, rooms=QUICK_ROOMS if quick else ROOMS) as task:
            for how in get_args(How):
                say(f"calendars at {cloud}, {how}")
                asked = directory / f"{cloud}-{how}.json"
                log = asked.with_suffix(".log")
                lasts_s = QUICK_LASTS_S if quick else LASTS_S
                mine = {**task, "how": how, "lasts_s": lasts_s, "directory": str(asked.with_suffix(""))}
                asked.write_text(json.dumps(mine), encoding="utf-8")
                command = (sys.executable, "-m", "tests.bench.calendars", str(asked))
                async with running(*command, where=cores.contender, log=log) as process:
                    async with asyncio.timeout(ENDS_WITHIN_S):
                        await process.wait()
                if process.returncode:
                    raise RuntimeError(f"{how} at {cloud} ended: {tail(log)}")
                found.append(msgspec.json.decode(asked.with_suffix(".out").read_bytes(), type=Listing))
    return found


@asynccontextmanager
async def _served(cloud: Cloud, directory: Path, *, rooms: int) -> AsyncIterator[dict[str, Any]]:
    """A cloud with so many rooms, whose clock stands still: what is read is the same all day."""
    microsoft, google = Microsoft365(), Google(now=lambda: BEGINS)
    google.per_minute_user = google.per_minute_project = 10**9  # time goes by too fast for it
    serving = Serving((microsoft if cloud == "microsoft" else google).answer)
    microsoft.service = serving
    addresses = []
    for number in range(rooms):
        if cloud == "microsoft":
            microsoft.add_room(f"room{number}@contoso.example")
            addresses.append(f"room{number}@contoso.example")
        else:
            addresses.append(google.add_room(f"Room {number}").address)
        for entry in range(ENTRIES):
            starts = BEGINS + timedelta(hours=3 * entry)
            if cloud == "microsoft":
                microsoft.add(addresses[-1], f"Meeting {entry}", starts, starts + timedelta(hours=1))
            else:
                google.calendars[addresses[-1]].put(_google_event(addresses[-1], entry, starts))
    ca_file, secret_file = directory / f"{cloud}.pem", directory / f"{cloud}-secret"
    ca_file.write_bytes(serving.pem)
    async with serving:
        secret_file.write_text("s3cret" if cloud == "microsoft" else google.key_file(serving.url))
        yield {
            "cloud": cloud,
            "url": serving.url,
            "ca_file": str(ca_file),
            "secret_file": str(secret_file),
            "addresses": addresses,
            "tenant": microsoft.tenant,
            "client_id": microsoft.client_id,
            "subject": google.admin,
            "token": google.grant_token(google.admin, "calendar.readonly") if cloud == "google" else None,
        }


def _google_event(address: str, number: int, starts: datetime) -> dict[str, Any]:
    return {
        "id": f"meeting{number}",
        "summary": f"Meeting {number}",
        "start": {"dateTime": starts.isoformat()},
        "end": {"dateTime": (starts + timedelta(hours=1)).isoformat()},
        "organizer": {"email": "ada@example.com", "displayName": "Ada"},
        "attendees": [{"email": address, "resource": True, "responseStatus": "accepted"}],
    }


# ── what is shown ─────────────────────────────────────────────────────────────────────────────────


def text(found: Sequence[Listing]) -> str:
    """A table for each cloud; in brackets the ratio to the floor."""
    return "\n\n".join(_table(cloud, [each for each in found if each.cloud == cloud]) for cloud in CLOUDS)


def _table(cloud: Cloud, mine: Sequence[Listing]) -> str:
    roomd, floor = (next(each for each in mine if each.how == how) for how in get_args(How))
    a_day = roomd.a_day or 0.0
    rows: list[tuple[str, float, float, str]] = [
        ("all listed once, CPU", roomd.first_cpu_s, floor.first_cpu_s, "{:.2f} s"),
        ("CPU per listing", roomd.cpu_us, floor.cpu_us, "{:,.0f} µs"),
        ("a day's listings, CPU", a_day * roomd.cpu_us / 1e6, a_day * floor.cpu_us / 1e6, "{:,.0f} s"),
        ("resident", roomd.resident_mb, floor.resident_mb, "{:.0f} MB"),
        ("memory per room", roomd.kb_per_room, floor.kb_per_room, "{:.1f} KB"),
    ]
    title = f"{roomd.rooms} rooms at {cloud.title()}, {a_day:,.0f} listings a day"
    lines = [f"{title:<52}{'roomd':>18}{'floor':>12}", "─" * 82]
    for what, value, base, form in rows:
        ratio = f" ({value / base:.2f})" if base > 0 else ""
        lines.append(f"{what:<52}{form.format(value) + ratio:>18}{form.format(base):>12}")
    share = 100 * a_day * roomd.cpu_us / 1e6 / A_DAY_S
    lines.append(f"{'of one core, all day':<52}{f'{share:.2f} %':>18}")
    return "\n".join(lines)


def plain(found: Sequence[Listing]) -> list[Mapping[str, Any]]:
    """For a file."""
    return [asdict(each) for each in found]


HOW: Final = f"""\
Calendars: roomd's readers with their database and the core, without broker and devices, on one core; the
cloud's stand-in on the rest, over TLS. {ENTRIES} entries to a room. Every room is listed about every ten
minutes, as where nobody pushes; the readers' clock goes {SPEED:.0f} times as fast meanwhile, and the day is
reckoned from half an hour of it. The floor asks for the same pages over httpx, as many at once, and reads
them with msgspec: it knows no hour, no quota, no states, and no room. It lists all the time, and is billed
for as many listings as roomd does in a day."""


# ── the processes ─────────────────────────────────────────────────────────────────────────────────


class Meter:
    """Counts listings, and what they cost this process."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._bare_mb = self._resident_mb()
        self._began_cpu_s = time.process_time()
        self._seen: set[str] = set()
        self._all_seen = asyncio.Event()
        self.listings = 0

    def listed(self, room: str) -> None:
        self.listings += 1
        if len(self._seen) < len(self._task.addresses):
            self._seen.add(room)
            if len(self._seen) == len(self._task.addresses):
                self._all_seen.set()

    async def measured(self, *, speed: float | None) -> Listing:
        """After everybody was listed once, for as long as it was asked."""
        await self._all_seen.wait()
        first_cpu_s = time.process_time() - self._began_cpu_s
        before, began_cpu_s, began_s = self.listings, time.process_time(), time.monotonic()
        await asyncio.sleep(self._task.lasts_s)
        listings, cpu_s = self.listings - before, time.process_time() - began_cpu_s
        took_s = time.monotonic() - began_s
        return Listing(
            cloud=self._task.cloud,
            how=self._task.how,
            rooms=len(self._task.addresses),
            first_cpu_s=first_cpu_s,
            listings=listings,
            cpu_us=1e6 * cpu_s / max(listings, 1),
            a_day=None if speed is None else listings * A_DAY_S / (took_s * speed),
            bare_mb=self._bare_mb,
            resident_mb=self._resident_mb(),
        )

    @staticmethod
    def _resident_mb() -> float:
        return resident_bytes(os.getpid()) / MB


async def _roomd(task: Task) -> Listing:
    meter, began_s = Meter(task), time.monotonic()
    Path(task.directory).mkdir()
    kind = CalendarKind(task.cloud)
    names = [RoomId(f"room-{number}") for number in range(len(task.addresses))]
    rooms = {name: link(Room(id=name), (kind,), (), now=BEGINS) for name in names}

    def now() -> datetime:
        return BEGINS + timedelta(seconds=SPEED * (time.monotonic() - began_s))

    async def deliver(name: RoomId, events: Sequence[RoomEvent]) -> None:
        for event in events:
            done: Step = step(rooms[name], event, now=now(), policy=Policy())
            rooms[name] = done.room
            for request in done.calendar_requests:
                site.ask(name, request)
            if isinstance(event, CalendarListed):
                meter.listed(name)

    async def tell(_: IntegrationTurned) -> None: ...

    async def rest(seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)

    linked = [
        LinkedRoom(id=name, name=name, **{task.cloud: address})  # type: ignore[arg-type]
        for name, address in zip(names, task.addresses, strict=True)
    ]
    async with open_database(Path(task.directory), limits=Limits()) as database:
        site = SiteCalendars(
            _accounts(task),
            linked,
            database,
            deliver=deliver,
            tell=tell,
            now=now,
            zone=OSLO,
            luck=random.Random(7).random,
            kept=await database.write(kept.read),
            rest=rest,
        )
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(site.run(), name="calendars")
            listing = await meter.measured(speed=SPEED)
            reading.cancel()
    return listing


def _accounts(task: Task) -> Accounts:
    way = Way(ca_file=Path(task.ca_file))
    if task.cloud == "microsoft":
        return Accounts(
            microsoft=MicrosoftAccount(
                tenant=task.tenant,
                client_id=task.client_id,
                secret_file=Path(task.secret_file),
                login_url=task.url,
                graph_url=task.url,
                way=way,
            )
        )
    origins = Origins(calendar=task.url, directory=task.url, mail=task.url)
    return Accounts(
        google=GoogleAccount(key_file=Path(task.secret_file), subject=task.subject, origins=origins, way=way)
    )


# ── the floor ─────────────────────────────────────────────────────────────────────────────────────


class _Instant(msgspec.Struct, rename="camel"):
    date_time: str


class _Event(msgspec.Struct, rename="camel"):
    id: str
    subject: str | None = None
    summary: str | None = None
    start: _Instant | None = None
    end: _Instant | None = None


class _Page(msgspec.Struct):
    value: list[_Event] = []
    items: list[_Event] = []


class _Item(msgspec.Struct):
    id: str
    body: _Page


class _Batch(msgspec.Struct):
    responses: list[_Item]


class _Token(msgspec.Struct):
    access_token: str


MICROSOFT_SELECTED: Final = (
    "id,iCalUId,subject,start,end,isAllDay,isCancelled,isDraft,showAs,sensitivity,location,"
    "onlineMeeting,onlineMeetingUrl,responseStatus,changeKey"
)
GOOGLE_FIELDS: Final = (
    "nextPageToken,accessRole,timeZone,items(id,status,iCalUID,recurringEventId,summary,location,"
    "visibility,transparency,eventType,start,end,attendees(self,responseStatus),"
    "conferenceData(entryPoints(entryPointType,uri)),hangoutLink,updated)"
)


async def _floor(task: Task) -> Listing:
    meter = Meter(task)
    context = httpx.create_ssl_context(verify=task.ca_file)
    limits = httpx.Limits(max_connections=UNDER_WAY[task.cloud])
    async with httpx.AsyncClient(base_url=task.url, verify=context, limits=limits, trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {await _token(task, client)}"
        work = itertools.cycle(_work(task))
        ask = _microsoft if task.cloud == "microsoft" else _google

        async def worker() -> None:
            for addresses in work:
                for address, _ in await ask(client, addresses):
                    meter.listed(address)

        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(worker(), name="floor") for _ in range(UNDER_WAY[task.cloud])]
            listing = await meter.measured(speed=None)
            for each in workers:
                each.cancel()
    return listing


def _work(task: Task) -> list[Sequence[str]]:
    at_once = BATCH if task.cloud == "microsoft" else 1
    return [task.addresses[first : first + at_once] for first in range(0, len(task.addresses), at_once)]


async def _token(task: Task, client: httpx.AsyncClient) -> str:
    if task.token is not None:
        return task.token
    form = {
        "grant_type": "client_credentials",
        "client_id": task.client_id,
        "client_secret": Path(task.secret_file).read_text(encoding="utf-8"),
        "scope": "https://graph.microsoft.com/.default",
    }
    answer = await client.post(f"/{task.tenant}/oauth2/v2.0/token", data=form)
    return msgspec.json.decode(answer.content, type=_Token).access_token


Read = list[tuple[str, tuple[_Event, ...]]]


async def _microsoft(client: httpx.AsyncClient, addresses: Sequence[str]) -> Read:
    query = urlencode(
        {
            "startDateTime": f"{WINDOW[0]:%Y-%m-%dT%H:%M:%SZ}",
            "endDateTime": f"{WINDOW[1]:%Y-%m-%dT%H:%M:%SZ}",
            "$top": "100",
            "$select": MICROSOFT_SELECTED,
        },
        safe="$,:",
    )
    requests = [
        {
            "id": str(number),
            "method": "GET",
            "url": f"/users/{quote(address)}/calendarView?{query}",
            "headers": {"Prefer": 'outlook.timezone="UTC", IdType="ImmutableId"'},
        }
        for number, address in enumerate(addresses)
    ]
    answer = await client.post(
        "/v1.0/$batch",
        content=msgspec.json.encode({"requests": requests}),
        headers={"Content-Type": "application/json"},
    )
    told = msgspec.json.decode(answer.content, type=_Batch).responses
    return [(addresses[int(each.id)], tuple(each.body.value)) for each in told]


async def _google(client: httpx.AsyncClient, addresses: Sequence[str]) -> Read:
    (address,) = addresses
    asked = {
        "singleEvents": "true",
        "showDeleted": "false",
        "timeMin": f"{WINDOW[0]:%Y-%m-%dT%H:%M:%SZ}",
        "timeMax": f"{WINDOW[1]:%Y-%m-%dT%H:%M:%SZ}",
        "maxResults": "250",
        "fields": GOOGLE_FIELDS,
    }
    answer = await client.get(f"/calendar/v3/calendars/{quote(address, safe='')}/events", params=asked)
    return [(address, tuple(msgspec.json.decode(answer.content, type=_Page).items))]


async def _measured(asked: Path) -> None:
    task = msgspec.json.decode(asked.read_bytes(), type=Task)
    listing = await (_roomd(task) if task.how == "roomd" else _floor(task))
    asked.with_suffix(".out").write_bytes(msgspec.json.encode(listing))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("asked", type=Path)
    uvloop.run(_measured(parser.parse_args().asked))
