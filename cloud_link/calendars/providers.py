"""What a reader asks of a cloud with calendars, and how Microsoft 365 and Google Workspace do it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Protocol, TypeVar

import structlog

from agent.core.model import CalendarKind, EntryId
from cloud_link.calendars.accounts import GoogleAccount, MicrosoftAccount
from cloud_link.calendars.errors import CalendarError, IntegrationError
from cloud_link.calendars.google import Google
from cloud_link.calendars.google_calendar import Building
from cloud_link.calendars.hints import MICROSOFT_QUOTA, Quota
from cloud_link.calendars.integration import Service
from cloud_link.calendars.matching import Named
from cloud_link.calendars.microsoft import BATCH, BATCHES_UNDER_WAY, Microsoft, RoomToList, Tell
from cloud_link.calendars.opening import access_of, directory_of, open_google, open_microsoft
from cloud_link.calendars.tokens import TokenTold
from cloud_link.calendars.wire import WirePace

log = structlog.get_logger()


class Calendars(Protocol):
    """An open client. All raise CalendarErrors, sorted by what to do."""

    async def sign_in(self) -> None:
        """Ask for a new token, whether or not there is one."""
        ...

    def forget(self) -> None:
        """Drop all tokens and all that listings have left."""
        ...

    async def named(self) -> tuple[Named, ...]:
        """All rooms of the service's list; their ids are their addresses, in lower case."""
        ...

    async def list_rooms(self, rooms: Iterable[RoomToList], tell: Tell) -> None:
        """List rooms: `tell` is awaited with what came of each, as they come, once for each address.

        What is wrong with the whole integration is raised, and ends it.
        """
        ...

    async def book(  # noqa: D102 - see Microsoft.book and Google.book
        self,
        address: str,
        *,
        starts_at: datetime,
        ends_at: datetime,
        title: str | None,
        organizer: str | None,
        request_id: str,
    ) -> EntryId: ...

    async def extend(self, address: str, entry_id: EntryId, *, ends_at: datetime) -> None: ...  # noqa: D102

    async def release(self, address: str, entry_id: EntryId) -> None: ...  # noqa: D102


Open_co = TypeVar("Open_co", bound=Calendars, covariant=True)


class Provider(Protocol[Open_co]):
    """A cloud with calendars, as a site's account reaches it."""

    @property
    def service(self) -> Service:
        """Whose calendars they are."""
        ...

    @property
    def kind(self) -> CalendarKind:
        """As the core calls them."""
        ...

    @property
    def writes(self) -> bool:
        """Whether the site lets us book, extend and release."""
        ...

    @property
    def batch(self) -> int:
        """How many rooms are asked for at once with one request."""
        ...

    @property
    def at_once(self) -> int:
        """How many such requests are under way at most."""
        ...

    @property
    def quota(self) -> Quota | None:
        """What the reader keeps to; None where the client does so itself."""
        ...

    @property
    def throttles_rooms(self) -> bool:
        """Whether one room alone is told to slow down, or all of them with it."""
        ...

    @property
    def directory(self) -> str:
        """Whose list of rooms it has."""
        ...

    def access(self) -> bytes:
        """A digest of the credential and settings that access is asked for with, as they are now."""
        ...

    def open(self, on_token: TokenTold) -> AbstractAsyncContextManager[Open_co]:
        """The client; CredentialWrong or Misconfigured where it cannot be made."""
        ...


# ── Microsoft 365 ─────────────────────────────────────────────────────────────────────────────────


class MicrosoftCalendars:
    """A tenant's calendars. See Calendars."""

    def __init__(self, client: Microsoft) -> None:
        self.client = client
        self.sign_in = client.sign_in
        self.forget = client.forget
        self.list_rooms = client.list_rooms
        self.book = client.book
        self.extend = client.extend
        self.release = client.release

    async def named(self) -> tuple[Named, ...]:
        """All rooms of the tenant's list."""
        return tuple(
            Named(
                id=place.address,
                name=place.name,
                capacity=place.capacity,
                address=place.address,
                where=tuple(each for each in (place.building, place.floor) if each),
            )
            for place in await self.client.rooms()
        )


class MicrosoftProvider:
    """See Provider."""

    service = Service.MICROSOFT
    kind = CalendarKind.MICROSOFT
    batch = BATCH
    at_once = BATCHES_UNDER_WAY
    quota = MICROSOFT_QUOTA
    throttles_rooms = True

    def __init__(
        self, account: MicrosoftAccount, *, now: Callable[[], datetime], pace: WirePace | None = None
    ) -> None:
        self._account = account
        self._now = now
        self._pace = pace
        self.writes = account.writes
        self.directory = directory_of(account)

    def access(self) -> bytes:
        """See Provider."""
        return access_of(self._account)

    @asynccontextmanager
    async def open(self, on_token: TokenTold) -> AsyncIterator[MicrosoftCalendars]:
        """See Provider."""
        async with open_microsoft(self._account, on_token=on_token, now=self._now, pace=self._pace) as client:
            yield MicrosoftCalendars(client)


# ── Google Workspace ──────────────────────────────────────────────────────────────────────────────


class GoogleCalendars:
    """A domain's calendars. See Calendars."""

    def __init__(self, client: Google) -> None:
        self.client = client
        self.sign_in = client.sign_in
        self.forget = client.forget
        self.book = client.book
        self.extend = client.extend
        self.release = client.release

    async def named(self) -> tuple[Named, ...]:
        """All rooms of the Directory; with the names of their buildings, where these may be read."""
        resources = [each for each in await self.client.rooms() if each.is_room]
        buildings: tuple[Building, ...] = ()
        try:
            buildings = await self.client.buildings()
        except CalendarError as error:  # they only help to tell names apart
            log.info("google.buildings_unread", why=str(error))
        names = {building.building_id: building.name for building in buildings}
        return tuple(
            Named(
                id=each.address,
                name=each.name,
                capacity=each.capacity,
                address=each.address,
                where=tuple(
                    part
                    for part in (
                        each.building_id,
                        names.get(each.building_id or ""),
                        each.floor,
                        each.section,
                    )
                    if part
                ),
            )
            for each in resources
        )

    async def list_rooms(self, rooms: Iterable[RoomToList], tell: Tell) -> None:
        """One after another: each is a request of its own."""
        for room in rooms:
            try:
                entries = await self.client.list_room(room.address, room.window, room.zone)
            except IntegrationError:
                raise
            except CalendarError as error:
                await tell(room.address, error)
            else:
                await tell(room.address, entries)


class GoogleProvider:
    """See Provider. One user reads all rooms, whose quota the client itself keeps to."""

    service = Service.GOOGLE
    kind = CalendarKind.GOOGLE
    batch = 1
    at_once = 8
    quota = None
    throttles_rooms = False

    def __init__(
        self,
        account: GoogleAccount,
        *,
        now: Callable[[], datetime],
        rest: Callable[[float], Awaitable[None]],
        pace: WirePace | None = None,
    ) -> None:
        self._account = account
        self._now = now
        self._rest = rest
        self._pace = pace
        self.writes = bool(account.writes)
        self.directory = directory_of(account)

    def access(self) -> bytes:
        """See Provider."""
        return access_of(self._account)

    @asynccontextmanager
    async def open(self, on_token: TokenTold) -> AsyncIterator[GoogleCalendars]:
        """See Provider."""
        async with open_google(
            self._account, on_token=on_token, now=self._now, rest=self._rest, pace=self._pace
        ) as client:
            yield GoogleCalendars(client)
