"""All Microsoft and Google calendars of a site: a reader for each, and what is written into them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import TypeVar

from agent.core.facts import CalendarRequest, ListCalendar
from agent.core.model import CalendarKind, RoomId
from cloud_link.calendars.accounts import Accounts, LinkedRoom
from cloud_link.calendars.integration import Service
from cloud_link.calendars.kept import Kept
from cloud_link.calendars.orders import Orders
from cloud_link.calendars.providers import (
    Calendars,
    GoogleCalendars,
    GoogleProvider,
    MicrosoftCalendars,
    MicrosoftProvider,
    Provider,
)
from cloud_link.calendars.reader import Around, Deliver, Reader, TellTurned
from cloud_link.calendars.views import IntegrationView
from cloud_link.calendars.watches import GoogleWatches, MicrosoftWatches
from cloud_link.calendars.wire import WirePace
from cloud_link.database import Database

AnyWatches = MicrosoftWatches | GoogleWatches
Open = TypeVar("Open", bound=Calendars)


class SiteCalendars:
    """Microsoft and Google, the better first. `kept` is what the database had at the start."""

    def __init__(  # noqa: PLR0913 - all that a site has
        self,
        accounts: Accounts,
        rooms: Sequence[LinkedRoom],
        database: Database,
        *,
        deliver: Deliver,
        tell: TellTurned,
        now: Callable[[], datetime],
        zone: tzinfo,
        luck: Callable[[], float],
        kept: Kept,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
        pace: WirePace | None = None,
    ) -> None:
        self._around = Around(
            database=database,
            deliver=deliver,
            tell=tell,
            calendars_of=self._calendars_of,
            writes=self.writes,
            zone=zone,
            now=now,
            luck=luck,
            rest=rest,
        )
        self._rooms = rooms
        self._kept = kept
        self._microsoft: Reader[MicrosoftCalendars] | None = None
        self._google: Reader[GoogleCalendars] | None = None
        if accounts.microsoft is not None:
            self._microsoft = self._reader(MicrosoftProvider(accounts.microsoft, now=now, pace=pace))
        if accounts.google is not None:
            self._google = self._reader(GoogleProvider(accounts.google, now=now, rest=rest, pace=pace))
        readers = (self._microsoft, self._google)
        self._readers = {reader.kind: reader for reader in readers if reader is not None}
        self.watches: Mapping[Service, AnyWatches] = (
            {} if accounts.push is None else self._watching(accounts.push.url)
        )
        self._orders = Orders(self._readers, deliver)

    def _reader(self, provider: Provider[Open]) -> Reader[Open]:
        return Reader(
            provider,
            self._rooms,
            self._around,
            found=self._kept.links.get(provider.service, {}),
            revoked=self._kept.revoked.get(provider.service),
        )

    def _watching(self, url: str) -> Mapping[Service, AnyWatches]:
        """Who has changes told to us, at the door that `url` leads to."""
        watches: dict[Service, AnyWatches] = {}
        around = self._around
        if (microsoft := self._microsoft) is not None:
            watches[Service.MICROSOFT] = microsoft.watches = MicrosoftWatches(
                lambda: None if microsoft.calendars is None else microsoft.calendars.client,
                url=url,
                database=around.database,
                kept=self._kept.watches.get(Service.MICROSOFT, ()),
                hint=microsoft.hint,
                turned=microsoft.push_turned,
                now=around.now,
                luck=around.luck,
            )
        if (google := self._google) is not None:
            watches[Service.GOOGLE] = google.watches = GoogleWatches(
                lambda: None if google.calendars is None else google.calendars.client,
                url=url,
                database=around.database,
                kept=self._kept.watches.get(Service.GOOGLE, ()),
                hint=google.hint,
                turned=google.push_turned,
                now=around.now,
                luck=around.luck,
            )
        return watches

    async def run(self) -> None:
        """Until cancelled; never raises for what a cloud says or does."""
        async with asyncio.TaskGroup() as tasks:
            for service, watches in self.watches.items():
                tasks.create_task(watches.run(), name=f"{service} watches")
            for reader in self._readers.values():
                tasks.create_task(reader.run(), name=f"{reader.service} calendars")
            tasks.create_task(self._orders.run(), name="calendar orders")

    # ── what the core asks ──

    def ask(self, room: RoomId, request: CalendarRequest) -> None:
        """Have a calendar listed soon, or written in. Orders are answered by `deliver`."""
        if not isinstance(request, ListCalendar):
            self._orders.give(room, request)
        elif (reader := self._readers.get(request.calendar)) is not None:
            reader.hint_room(room)

    # ── what the agent asks ──

    async def until_idle(self) -> None:
        """Returns when nothing that was ordered is under way."""
        await self._orders.until_idle()

    def linked(self) -> Mapping[RoomId, tuple[CalendarKind, ...]]:
        """Rooms that have calendars, as is known by now; the better calendar first."""
        linked = {room.id: self._calendars_of(room.id) for room in self._rooms}
        return {room: calendars for room, calendars in linked.items() if calendars}

    def _calendars_of(self, room: RoomId) -> tuple[CalendarKind, ...]:
        return tuple(kind for kind, reader in self._readers.items() if reader.has(room))

    def writes(self) -> frozenset[CalendarKind]:
        """In which the site lets us book, extend and release."""
        return frozenset(kind for kind, reader in self._readers.items() if reader.writes)

    def views(self) -> tuple[IntegrationView, ...]:
        """How each integration stands."""
        return tuple(reader.view() for reader in self._readers.values())

    async def consent(self, service: Service) -> bool:
        """An administrator says that consent was given again; False: no such integration."""
        for reader in self._readers.values():
            if reader.service is service:
                await reader.consent()
                return True
        return False

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped."""
        for reader in self._readers.values():
            reader.stepped(by)
        for watches in self.watches.values():
            watches.stepped(by)
