"""A stage for watches: a door that the stand-ins of the clouds call, and who hears of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import trustme

from agent.listening import Listener
from cloud_link.calendars import kept
from cloud_link.calendars.google import Google, Origins
from cloud_link.calendars.google_calendar import read_key
from cloud_link.calendars.integration import Service
from cloud_link.calendars.kept import KeptWatch
from cloud_link.calendars.microsoft import Cloud, Microsoft, token_source
from cloud_link.calendars.push import Hears, PushSite
from cloud_link.calendars.tokens import client_secret
from cloud_link.calendars.watches import Watches
from cloud_link.calendars.wire import Answer, Wire, WirePace, never
from cloud_link.database import Database
from tests.clouds.google import Google as GoogleCloud
from tests.clouds.microsoft import Microsoft365
from tests.clouds.serving import Request, Response, Serving, call, nothing

PACE = WirePace(first_rest_s=0.001, patience_s=3.0)


class Clock:
    """The time of day, for a cloud and for us."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC).replace(microsecond=0)

    def now(self) -> datetime:
        return self.at

    def forward(self, by: timedelta) -> None:
        self.at += by


class Ears:
    """Which rooms are to be listed, and whose changes are told."""

    def __init__(self) -> None:
        self.hints: list[str] = []
        self.turns: list[tuple[str, bool]] = []

    def hint(self, address: str) -> None:
        self.hints.append(address)

    def turned(self, address: str, pushed: bool) -> None:
        self.turns.append((address, pushed))

    @property
    def pushed(self) -> set[str]:
        return {address for address, pushed in dict(self.turns).items() if pushed}


class Door:
    """The listener of ours, and the proxy with the certificate before it; `at` is where the clouds call."""

    def __init__(self, site: PushSite, listener: Listener, proxy: Serving) -> None:
        self.site = site
        self.listener = listener
        self.proxy = proxy
        self.at = f"{proxy.url}/hooks"
        self.shut = False  # the proxy lets nobody through


@asynccontextmanager
async def opened(watches: dict[Service, Hears], authority: trustme.CA | None = None) -> AsyncIterator[Door]:
    """As sites have it: TLS and a path of its own in front, and roomd behind."""
    site = PushSite(watches)
    async with Listener(site, host="127.0.0.1", port=0) as listener:

        async def forward(request: Request) -> Response:
            if door.shut:
                return nothing(404)
            parts = urlsplit(request.target)
            assert parts.path.startswith("/hooks/")
            target = parts.path.removeprefix("/hooks") + (f"?{parts.query}" if parts.query else "")
            headers = {
                name: value
                for name, value in request.headers.items()
                if name not in ("host", "content-length")
            }
            answer = await call(
                f"{listener.url}{target}", method=request.method, headers=headers, body=request.body
            )
            shown = {name: value for name, value in answer.headers.items() if name != "content-length"}
            return replace(answer, headers=shown)

        async with Serving(forward, authority=authority) as proxy:
            door = Door(site, listener, proxy)
            yield door


@asynccontextmanager
async def microsoft(tenant: Microsoft365, service: Serving) -> AsyncIterator[Microsoft]:
    async with Wire(service.url, context=service.client_context(), pace=PACE) as wire:
        grant = client_secret(tenant.client_id, "s3cret", scope=Cloud.GLOBAL.scope)
        yield Microsoft(wire, token_source(wire, tenant.tenant, grant), pace=PACE)


@asynccontextmanager
async def google(cloud: GoogleCloud, service: Serving, now: Callable[[], datetime]) -> AsyncIterator[Google]:
    def dial(origin: str, *, throttled: Callable[[Answer], bool] = never) -> Wire:
        return Wire(origin, throttled=throttled, pace=PACE, context=service.client_context())

    origins = Origins(calendar=service.url, directory=service.url, mail=service.url)
    key = read_key(cloud.key_file(service.url).encode())
    async with Google(key, subject=cloud.admin, origins=origins, dial=dial, now=now) as client:
        yield client


@asynccontextmanager
async def keeping(watches: Watches[Any, Any]) -> AsyncIterator[None]:
    """Its keeper at work."""
    async with asyncio.TaskGroup() as tasks:
        keeper = tasks.create_task(watches.run(), name="keeper")
        yield
        keeper.cancel()


async def rows(database: Database, service: Service) -> list[KeptWatch]:
    return await database.write(partial(kept.watches, service=service))
