"""A site's calendars as the daemon runs them, upon stand-ins for the clouds and a clock of the test's own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.core.events import CalendarListed, CalendarTurned, RoomEvent
from agent.core.model import CalendarPhase, RoomId
from cloud_link.calendars import kept
from cloud_link.calendars.accounts import Accounts, GoogleAccount, LinkedRoom, MicrosoftAccount, PushDoor, Way
from cloud_link.calendars.google import Origins
from cloud_link.calendars.google_calendar import Writing
from cloud_link.calendars.integration import Service
from cloud_link.calendars.opening import directories_of
from cloud_link.calendars.site import SiteCalendars
from cloud_link.calendars.views import IntegrationTurned, IntegrationView, RoomView
from cloud_link.calendars.wire import WirePace
from cloud_link.database import Connection, Database, open_database
from tests.cloud_link.stand import SMALL
from tests.clouds.google import Google as GoogleWorkspace
from tests.clouds.microsoft import Microsoft365
from tests.clouds.serving import Answering, Request, Response, Serving

OSLO = ZoneInfo("Europe/Oslo")
NINE = datetime(2026, 1, 14, 8, tzinfo=UTC)  # in Oslo
SEEN_WITHIN_S = 20.0  # far more than any of it takes
PACE = WirePace(first_rest_s=0.001, patience_s=3.0)
LOOKS = 3
STILL_S = 0.02  # nothing is asked for so long: then nothing is under way, but for what waits for the clock


class Clock:
    """Stands until it is put forward, and wakes whoever rests."""

    def __init__(self, at: datetime = NINE) -> None:
        self.at = at
        self._resting: list[tuple[datetime, asyncio.Event]] = []

    def now(self) -> datetime:
        return self.at

    async def rest(self, seconds: float) -> None:
        if seconds > 0:
            bell = asyncio.Event()
            entry = (self.at + timedelta(seconds=seconds), bell)
            self._resting.append(entry)
            try:
                await bell.wait()
            finally:
                self._resting.remove(entry)

    def next(self) -> datetime | None:
        """When the first of those who rest is to be woken."""
        return min((at for at, bell in self._resting if not bell.is_set()), default=None)

    def put(self, at: datetime) -> None:
        self.at = max(self.at, at)
        for until, bell in self._resting:
            if until <= self.at:
                bell.set()


class Hurried(Clock):
    """Goes by itself, so many times as fast as any other."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed
        self._began_s = asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return self.at + timedelta(seconds=self._speed * (asyncio.get_running_loop().time() - self._began_s))

    async def rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


class Stand:
    """The clouds, and a site's calendars upon them; each `running` is a life of the daemon."""

    def __init__(self, directory: Path, clock: Clock, *, plain: bool = False) -> None:
        self.clock = clock
        self.directory = directory
        self.microsoft = Microsoft365(now=self.clock.now)
        self.google = GoogleWorkspace(now=self.clock.now)
        self._being_answered = 0
        self.microsoft_service = Serving(self._counted(self.microsoft.answer), plain=plain)
        self.google_service = Serving(self._counted(self.google.answer), plain=plain)
        self.microsoft.service = self.microsoft_service
        self.secret_file = directory / "secret"
        self.secret_file.write_text("s3cret\n")
        self.rooms: list[LinkedRoom] = []
        self.told: list[tuple[RoomId, RoomEvent]] = []
        self.turned: list[IntegrationTurned] = []
        self.delivering: Callable[[], Awaitable[object]] | None = None
        self.telling: Callable[[IntegrationTurned], Awaitable[object]] | None = None
        self.holding: asyncio.Event | None = None  # until then nobody is told what was answered
        self.luck: Callable[[], float] = lambda: 0.5
        self.calendars: SiteCalendars
        self.database: Database
        self._way = {}
        for name, service in (("microsoft", self.microsoft_service), ("google", self.google_service)):
            file = directory / f"{name}.pem"
            file.write_bytes(service.pem)
            self._way[name] = Way(ca_file=None if plain else file)

    def _counted(self, answer: Answering) -> Answering:
        async def counted(request: Request) -> Response:
            self._being_answered += 1
            try:
                answered = await answer(request)
                if (holding := self.holding) is not None:
                    await holding.wait()
                return answered
            finally:
                self._being_answered -= 1

        return counted

    # ── what is configured ──

    def microsoft_account(self, *, writes: bool = False) -> MicrosoftAccount:
        return MicrosoftAccount(
            tenant=self.microsoft.tenant,
            client_id=self.microsoft.client_id,
            secret_file=self.secret_file,
            login_url=self.microsoft_service.url,
            graph_url=self.microsoft_service.url,
            writes=writes,
            way=self._way["microsoft"],
        )

    def google_account(self, *writes: Writing) -> GoogleAccount:
        key_file = self.directory / "key.json"
        key_file.write_text(self.google.key_file(self.google_service.url))
        url = self.google_service.url
        return GoogleAccount(
            key_file=key_file,
            subject=self.google.admin,
            writes=frozenset(writes),
            origins=Origins(calendar=url, directory=url, mail=url),
            way=self._way["google"],
        )

    def add_microsoft(self, *names: str, by_hand: bool = True) -> None:
        """Rooms with a mailbox each."""
        for name in names:
            address = f"{name}@contoso.example"
            self.microsoft.add_room(address, name.title())
            self._link(name, microsoft=address if by_hand else None)

    def add_google(self, *names: str, by_hand: bool = True) -> None:
        """Rooms with a resource calendar each."""
        for name in names:
            address = self.google.add_room(name.title()).address
            self._link(name, google=address if by_hand else None)

    def _link(self, name: str, **addresses: str | None) -> None:
        self.rooms.append(LinkedRoom(id=RoomId(name), name=name.title(), **addresses))  # type: ignore[arg-type]

    def meet_at_microsoft(self, room: str, title: str, *, hour: int = 10) -> str:
        starts = NINE.replace(hour=hour)
        return self.microsoft.add(f"{room}@contoso.example", title, starts, starts + timedelta(hours=1))

    def meet_at_google(self, room: str, title: str, *, hour: int = 10) -> None:
        address = self.google_address(room)
        starts = NINE.replace(hour=hour)
        self.google.calendars[address].put(
            {
                "id": f"{title.lower()}00000",
                "summary": title,
                "start": {"dateTime": starts.isoformat()},
                "end": {"dateTime": (starts + timedelta(hours=1)).isoformat()},
                "organizer": {"email": "ada@example.com"},
                "attendees": [{"email": address, "resource": True, "responseStatus": "accepted"}],
            }
        )

    def google_address(self, room: str) -> str:
        return next(
            address for address, calendar in self.google.calendars.items() if calendar.name == room.title()
        )

    # ── a life ──

    @asynccontextmanager
    async def running(
        self,
        *,
        microsoft: MicrosoftAccount | None = None,
        google: GoogleAccount | None = None,
        push: PushDoor | None = None,
    ) -> AsyncIterator[SiteCalendars]:
        """The calendars at work, with a database of their own that outlives them."""
        accounts = Accounts(microsoft=microsoft, google=google, push=push)
        directories = directories_of(accounts)
        async with open_database(self.directory / "state", limits=SMALL) as database:
            self.database = database
            self.calendars = SiteCalendars(
                accounts,
                self.rooms,
                database,
                deliver=self._deliver,
                tell=self._tell,
                now=self.clock.now,
                zone=OSLO,
                luck=self.luck,
                kept=await database.write(lambda tx: kept.begin(tx, directories)),
                rest=self.clock.rest,
                pace=PACE,
            )
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(self.calendars.run(), name="calendars")
                try:
                    yield self.calendars
                finally:
                    running.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await running

    async def _deliver(self, room: RoomId, events: Sequence[RoomEvent]) -> None:
        if self.delivering is not None:
            await self.delivering()
        self.told += [(room, event) for event in events]

    async def _tell(self, turned: IntegrationTurned) -> None:
        self.turned.append(turned)
        if self.telling is not None:
            await self.telling(turned)

    async def kept(self) -> kept.Kept:
        def read(tx: Connection) -> kept.Kept:
            return kept.read(tx)

        return await self.database.write(read)

    # ── time ──

    async def still(self) -> None:
        """Returns when nothing is under way, but for what waits for the clock."""
        before, looks = self._done(), 0
        while looks < LOOKS:
            await asyncio.sleep(STILL_S / LOOKS)
            now = self._done()
            before, looks = now, looks + 1 if now == before and not self._being_answered else 0

    def _done(self) -> tuple[int, int]:
        return len(self.microsoft_service.seen) + len(self.google_service.seen), len(self.told)

    async def go_on(self, **by: float) -> None:
        """Let so much time pass, and whatever happens in it."""
        until = self.clock.at + timedelta(**by)
        await self.still()
        while (at := self.clock.next()) is not None and at <= until:
            self.clock.put(at)
            await self.still()
        self.clock.put(until)
        await self.still()

    async def until(self, happened: Callable[[], object], **within: float) -> None:
        """Let time pass until something has happened."""
        latest = self.clock.at + timedelta(**(within or {"minutes": 5}))
        async with asyncio.timeout(SEEN_WITHIN_S):
            await self.still()
            while not happened():
                if (at := self.clock.next()) is not None and at <= latest:
                    self.clock.put(at)
                await self.still()

    # ── what was told ──

    def listed(self, room: str) -> list[list[str | None]]:
        """The titles of each listing of a room."""
        return [
            [entry.meeting.title for entry in event.entries]
            for where, event in self.told
            if where == room and isinstance(event, CalendarListed)
        ]

    def phases(self, room: str) -> list[CalendarPhase]:
        """How it stood with a room, one after another."""
        return [
            event.phase for where, event in self.told if where == room and isinstance(event, CalendarTurned)
        ]

    def why(self, room: str) -> str | None:
        """Why it stands with a room as was told last."""
        return [
            event.why for where, event in self.told if where == room and isinstance(event, CalendarTurned)
        ][-1]

    def of(self, room: str, kind: type[RoomEvent]) -> Iterator[RoomEvent]:
        """Events of one kind of a room."""
        return (event for where, event in self.told if where == room and isinstance(event, kind))

    def view(self, service: Service) -> IntegrationView:
        return next(view for view in self.calendars.views() if view.service is service)

    def room_view(self, service: Service, room: str) -> RoomView:
        return next(each for each in self.view(service).rooms if each.room == room)


@asynccontextmanager
async def stand(directory: Path, clock: Clock | None = None, *, plain: bool = False) -> AsyncIterator[Stand]:
    """The clouds are served; what they could not understand fails the test."""
    it = Stand(directory, clock or Clock(), plain=plain)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(it.microsoft_service)
        await stack.enter_async_context(it.google_service)
        yield it
    assert not it.microsoft.problems
    assert not it.microsoft.rests.broken
    assert it.google.impatient == 0
