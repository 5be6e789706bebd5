"""The site's calendars as the daemon has them: built, run, asked and shown; only where the site has some."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from agent.core.facts import CalendarRequest
from agent.core.model import CalendarKind, CalendarPhase, RoomId
from agent.doors import running
from agent.listening import AtDoor, Listener
from agent.settings import Configuration
from cloud_link import envelope
from cloud_link.calendars import kept
from cloud_link.calendars.accounts import Accounts
from cloud_link.calendars.integration import Service
from cloud_link.calendars.kept import Kept
from cloud_link.calendars.matching import Doubt
from cloud_link.calendars.opening import directories_of
from cloud_link.calendars.push import PushSite
from cloud_link.calendars.reader import Deliver
from cloud_link.calendars.site import SiteCalendars
from cloud_link.calendars.views import IntegrationTurned, IntegrationView, RoomView
from cloud_link.database import Database

if TYPE_CHECKING:
    from cloud_link.calendars.webex_site import WebexSite

log = structlog.get_logger()

Json = dict[str, Any]
Tell = Callable[[IntegrationTurned], Awaitable[None]]


class OpenCalendars(Protocol):
    """Makes them, once it is known who is told what they say."""

    def __call__(
        self,
        *,
        deliver: Deliver,
        tell: Tell,
        now: Callable[[], datetime],
        luck: Callable[[], float],
        webex: WebexSite | None = None,
    ) -> Calendars:
        """As the daemon's own parts are made; nobody is asked anything before `run`.

        `webex` runs already, and is to go on with the rooms that there are now.
        """
        ...


async def open_calendars(
    configuration: Configuration, accounts: Accounts, database: Database
) -> OpenCalendars:
    """Read what a restart must know of them; nobody is asked anything yet."""
    directories = directories_of(accounts)
    found = await database.write(lambda tx: kept.begin(tx, directories))
    return partial(Calendars, configuration, accounts, found, database)


class Calendars:
    """Microsoft's, Google's and Webex's, whichever the site has."""

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        configuration: Configuration,
        accounts: Accounts,
        kept: Kept,
        database: Database,
        *,
        deliver: Deliver,
        tell: Tell,
        now: Callable[[], datetime],
        luck: Callable[[], float],
        webex: WebexSite | None = None,
    ) -> None:
        """`kept` is what the database had at the start; `now` is UTC, `luck` in [0, 1).

        `webex` runs already, and goes on with the rooms that there are now.
        """
        self._accounts = accounts
        self._made_for = partial(
            SiteCalendars,
            rooms=configuration.linked,
            database=database,
            deliver=deliver,
            tell=tell,
            now=now,
            zone=configuration.policy.timezone,
            luck=luck,
            kept=kept,
        )
        self._read = self._made_for(accounts)
        self._shut: str | None = None  # why nobody can call us
        self.webex = webex
        devices = {
            device.webex: room.id for room in configuration.rooms for device in room.devices if device.webex
        }
        if webex is not None:
            webex.rearrange(configuration.linked, devices)
        elif accounts.webex is not None:
            from cloud_link.calendars.webex_site import WebexSite  # noqa: PLC0415 - who has it pays for it

            self.webex = WebexSite(
                accounts.webex,
                configuration.linked,
                state_directory=configuration.state_directory,
                tell=tell,
                now=now,
                luck=luck,
                devices=devices,
            )

    async def listen(self, stack: AsyncExitStack, at_door: AtDoor) -> None:
        """Open the door at which the clouds call, before any is asked to; without it, rooms are polled.

        `at_door` is told who counts the callers there.
        """
        door = self._accounts.push
        if door is None or not self._read.watches:
            return
        site = PushSite(self._read.watches)
        listener = Listener(
            site,
            host=door.host,
            port=door.port,
            certificate=door.certificate_file,
            key=door.key_file,
        )
        at_door("pushes", site.callers.counts, listener.callers.counts)
        try:
            await stack.enter_async_context(listener)
        except OSError as error:  # also ssl.SSLError: the certificate
            log.error(
                "pushes.not_opened",
                url=door.url,
                why=str(error),
                mend="mend [pushes] in the configuration and reload roomd; until then rooms are polled",
            )
            self._shut = (
                f"nobody can call at {door.host}:{door.port}: {error.strerror or error}; mend [pushes]"
            )
            self._read = self._made_for(replace(self._accounts, push=None))

    @asynccontextmanager
    async def standing(self, at_door: AtDoor) -> AsyncIterator[None]:
        """Run, with the door open, as long as this is entered."""
        async with AsyncExitStack() as stack:
            await self.listen(stack, at_door)
            await stack.enter_async_context(running(self.run(), name="calendars"))
            yield

    async def run(self) -> None:
        """Microsoft's and Google's, until cancelled; nothing that a cloud says or does ends it.

        Webex's has a life of its own: devices are heard by it.
        """
        await self._read.run()

    async def until_idle(self) -> None:
        """Returns when nothing that was ordered of a calendar is under way, at once if nothing is."""
        await self._read.until_idle()

    # ── what rooms have to do with them

    def linked(self) -> Mapping[RoomId, tuple[CalendarKind, ...]]:
        """Rooms with the calendars that are known by now, the better first."""
        return self._read.linked()

    def writes(self) -> frozenset[CalendarKind]:
        """In which commands may book, extend and release."""
        return self._read.writes()

    def ask(self, room: RoomId, request: CalendarRequest) -> None:
        """Have a room's calendar read soon, or written in."""
        self._read.ask(room, request)

    # ── what else there is to say to them

    async def consent(self, service: str) -> bool:
        """An administrator says that consent was given again; False: there is no such integration here."""
        if service not in set(Service):
            return False
        named = Service(service)
        return await self._read.consent(named) or (self.webex is not None and await self.webex.consent(named))

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped."""
        self._read.stepped(by)
        if self.webex is not None:
            self.webex.stepped(by)

    # ── how they stand

    def views(self) -> tuple[IntegrationView, ...]:
        """Each integration, the one whose word goes before the others' first."""
        return (*self._read.views(), *(() if self.webex is None else self.webex.views()))

    def health(self) -> tuple[envelope.Calendars, ...]:
        """Each integration in a few words."""
        return tuple(
            envelope.Calendars(
                service=view.service,
                phase=view.phase,
                since=view.since,
                why=view.why,
                rooms=sum(room.address is not None for room in view.rooms),
                readable=sum(
                    room.address is not None and room.phase is CalendarPhase.ACTIVE for room in view.rooms
                ),
            )
            for view in self.views()
        )

    def pictured(self, *, whole: bool) -> list[Json]:
        """As the command line is shown them; `whole`: also what a person must look at."""
        hybrid = {} if self.webex is None else self.webex.hybrid
        return [
            {
                "service": view.service.value,
                "phase": view.phase.value,
                "since": view.since.isoformat(),
                "why": view.why,
                "pushes": view.pushes or (None if view.service is Service.WEBEX else self._shut),
                "rooms": [_room(room) for room in view.rooms],
                **(
                    {"hybrid": {room: judged.phase.value for room, judged in hybrid.items()}}
                    if view.service is Service.WEBEX
                    else {}
                ),
                **(
                    {
                        "doubts": [_doubt(doubt) for doubt in view.doubts],
                        "others": [
                            {"id": each.id, "name": each.name, "address": each.address}
                            for each in view.others
                        ],
                    }
                    if whole
                    else {}
                ),
            }
            for view in self.views()
        ]


def _room(view: RoomView) -> Mapping[str, object]:
    return {
        "room": view.room,
        "address": view.address,
        "ground": None if view.ground is None else view.ground.value,
        "phase": view.phase.value,
        "why": view.why,
        "listed_at": None if view.listed_at is None else view.listed_at.isoformat(),
        "pushed": view.pushed,
    }


def _doubt(doubt: Doubt) -> Mapping[str, object]:
    return {
        "room": doubt.one,
        "why": doubt.why,
        "candidates": [
            {"id": each.other, "name": each.name, "score": round(each.score, 3)} for each in doubt.candidates
        ],
    }
