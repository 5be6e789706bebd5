"""Reads one integration's rooms while the daemon runs: listens to hints, lists, and tells the core."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Final, Generic, Protocol, TypeVar, assert_never

import structlog

from agent.core.events import (
    CalendarEntry,
    CalendarListed,
    CalendarsLinked,
    CalendarTurned,
    RoomEvent,
)
from agent.core.model import CalendarKind, CalendarPhase, RoomId
from cloud_link.calendars import hints, integration, kept, links
from cloud_link.calendars.accounts import LinkedRoom
from cloud_link.calendars.errors import CalendarError, Throttled, Transient
from cloud_link.calendars.hints import Look, Spent
from cloud_link.calendars.integration import (
    READING,
    USED,
    Deed,
    Door,
    Integration,
    Outcome,
    Phase,
    Probe,
    Service,
    Turned,
    answered,
    said_by,
)
from cloud_link.calendars.kept import Revocation
from cloud_link.calendars.links import Links
from cloud_link.calendars.matching import Doubt, Matching, Named, match
from cloud_link.calendars.microsoft import Listed, RoomToList
from cloud_link.calendars.providers import Calendars, Provider
from cloud_link.calendars.views import Counts, IntegrationTurned, IntegrationView, RoomView
from cloud_link.calendars.window import Window, today_and_tomorrow
from cloud_link.database import Connection, Database

log = structlog.get_logger()

DIRECTORY_SOONEST: Final = timedelta(hours=20)  # once a day, and not all sites at the same time
DIRECTORY_LATEST: Final = timedelta(hours=24)
DIRECTORY_AT_MOST_EVERY: Final = timedelta(minutes=5)
CREDENTIAL_SEEN_EVERY: Final = timedelta(
    minutes=1
)  # whether an operator has brought another, while it is wrong
AHEAD: Final = timedelta(minutes=1)  # who would be due by then goes along in a batch that is not full

Deliver = Callable[[RoomId, Sequence[RoomEvent]], Awaitable[None]]
TellTurned = Callable[[IntegrationTurned], Awaitable[None]]
Open = TypeVar("Open", bound=Calendars)

_WAITING_FOR_A_PERSON: Final = frozenset({Phase.DOUBTED, Phase.CREDENTIAL, Phase.CLOCK_SKEW, Phase.REVOKED})
_WELL: Final = frozenset({CalendarPhase.CONNECTING, CalendarPhase.ACTIVE})
_OF_ALL_ASKED: Final = frozenset({Outcome.DENIED, Outcome.UNKNOWN, Outcome.MISCONFIGURED})


class Watches(Protocol):
    """Whoever has changes told to us."""

    @property
    def trouble(self) -> str | None:
        """Why they are not told, in words with the mend; None if there is nothing to say."""
        ...

    def use(self, addresses: Collection[str] | None) -> None:
        """Have those of these addresses told; None: the integration is not used now."""
        ...

    async def wipe(self) -> None:
        """Forget all without asking the cloud."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a reader needs of the house."""

    database: Database
    deliver: Deliver  # of one room, in their order; awaited, and so it slows us down
    tell: TellTurned
    calendars_of: Callable[[RoomId], tuple[CalendarKind, ...]]  # all that are linked to a room by now
    writes: Callable[[], frozenset[CalendarKind]]
    zone: tzinfo
    now: Callable[[], datetime]
    luck: Callable[[], float]
    rest: Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _LinksChanged:
    """To be told of a room: with what it has when it is told."""


_LINKS_CHANGED: Final = _LinksChanged()
_Word = RoomEvent | _LinksChanged


class Reader(Generic[Open]):
    """One integration. `found` are addresses that were found by name before, `revoked` what stood of it."""

    def __init__(
        self,
        provider: Provider[Open],
        rooms: Sequence[LinkedRoom],
        around: Around,
        *,
        found: Mapping[RoomId, str],
        revoked: Revocation | None,
    ) -> None:
        self.service = provider.service
        self.kind = provider.kind
        self.writes = provider.writes
        self.watches: Watches | None = None
        self._provider = provider
        self._around = around
        self._rooms = {room.id: room for room in rooms}
        self._by_hand = _by_hand(rooms, provider.service)
        self._links: Links = {}
        self._at: Mapping[str, set[RoomId]] = {}  # rooms by address
        self._looks: dict[RoomId, Look] = {}
        self._next: dict[RoomId, datetime] = {}
        self._told: dict[RoomId, tuple[CalendarPhase, str | None]] = {}
        self._troubles: dict[RoomId, str] = {}  # of the last listing, where it came to nothing
        self._trouble: str | None = None  # of the last reading of the directory
        self._matching: Matching | None = None
        self._others: dict[str, Named] = {}

        now = around.now()
        self._access = provider.access()
        stays = revoked is not None and revoked.access == self._access
        self._consented_meanwhile = revoked is not None and not stays
        self._integration: Integration = integration.begin(
            provider.service, (), now, revoked=revoked.why if revoked is not None and stays else None
        )
        self._take_links(links.first(self._rooms, self._by_hand, found))

        self._session: _Session[Open] = _Session()
        self._open: set[_Session[Open]] = set()  # it, and those given up that somebody asks through
        self._tasks = asyncio.TaskGroup()
        self._woken = asyncio.Event()
        self._outgoing: deque[IntegrationTurned | tuple[RoomId, _Word]] = deque()
        self._delivering = asyncio.Lock()
        self._spent: Spent | None = None
        self._listed = self._failed_listings = self._hinted = 0
        self._directory_at = now
        self._directory_asked_at = now
        self._credential_at = now

    # ── what others ask ──

    @property
    def calendars(self) -> Open | None:
        """The open client, if there is one now."""
        return self._session.calendars

    def has(self, room: RoomId) -> bool:
        """Whether this room has a calendar here."""
        return room in self._links

    def hint(self, address: str) -> None:
        """The cloud says that something may have changed in the calendar at this address."""
        self._hinted += 1
        for room in self._at.get(address.lower(), ()):
            self.hint_room(room)

    def hint_room(self, room: RoomId) -> None:
        """Something may have changed in this room's calendar."""
        if (look := self._looks.get(room)) is not None:
            self._look(hints.hinted(look, self._around.now()))
            self._woken.set()

    def push_turned(self, address: str, pushed: bool) -> None:  # noqa: FBT001 - as it is told
        """Changes at this address are told to us from now on, or are not any more."""
        for room in self._at.get(address.lower(), ()):
            self._look(hints.push_turned(self._looks[room], self._around.now(), pushed=pushed))
        self._woken.set()

    async def consent(self) -> None:
        """An administrator consented again, or an operator has brought something else."""
        self._begin_anew()
        await self._around.database.submit(self._forget_revocation)

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped: spans that are running move with it."""
        self._integration = integration.stepped(self._integration, by)
        self._looks = {room: hints.stepped(look, by) for room, look in self._looks.items()}
        self._directory_at += by
        self._directory_asked_at += by
        self._credential_at += by
        self._spent = None if self._spent is None else Spent(until=self._spent.until + by)
        self._plan_all()
        self._woken.set()

    def view(self) -> IntegrationView:
        """How it stands."""
        it, found = self._integration, self._matching
        return IntegrationView(
            service=self.service,
            phase=integration.calendar_phase(it.phase),
            since=it.since,
            why=self._first_trouble() or integration.words(it),
            rooms=tuple(self._view_of(room) for room in self._rooms),
            doubts=() if found is None else tuple(each for each in found.doubts if self._is_doubtful(each)),
            others=() if found is None else tuple(self._others[each] for each in found.others),
            pushes=None if self.watches is None else self.watches.trouble,
            counts=Counts(listed=self._listed, failed=self._failed_listings, hinted=self._hinted),
        )

    def _view_of(self, room: RoomId) -> RoomView:
        phase, why = integration.standing(self._integration, room)
        look, link = self._looks.get(room), self._links.get(room)
        return RoomView(
            room=room,
            address=None if link is None else link.address,
            ground=None if link is None else link.ground,
            phase=phase,
            why=self._troubles.get(room, why) if phase in _WELL else why,
            listed_at=None if look is None else look.listed_at,
            pushed=look is not None and look.pushed,
        )

    def _first_trouble(self) -> str | None:
        """Why nothing was ever read, if it was tried."""
        if self._integration.phase is not Phase.CONNECTING:
            return None
        return self._trouble or next(iter(self._troubles.values()), None)

    def _is_doubtful(self, doubt: Doubt) -> bool:
        """Not if it is by hand, and can be read although the list does not have it: some rooms are hidden."""
        room = RoomId(doubt.one)
        return self._by_hand.get(room) is None or self._looks[room].listed_at is None

    async def writing(self, room: RoomId) -> tuple[Open, str] | str:
        """The client to write with, and the room's address; or why there is none, in words."""
        link = self._links.get(room)
        if link is None:
            return f"no {self.service} calendar is linked to this room: see roomd link"
        calendars = await self._opened(self._session) if self._integration.phase in READING else None
        if calendars is None:
            return integration.words(self._integration) or f"{self.service} is not connected"
        return calendars, link.address

    # ── the life ──

    async def run(self) -> None:
        """Until cancelled; whatever a cloud says or does ends in a state, not here."""
        try:
            async with self._tasks:
                for room in self._links:
                    self._say_standing(room)
                if self._consented_meanwhile:
                    self._keep(self._forget_revocation)
                while True:
                    self._woken.clear()
                    await self._flush()
                    now = self._around.now()
                    self._look_at_credential(now)
                    self._put(integration.probes(self._integration, now), now)
                    if self._integration.phase in READING:
                        if self._directory_at <= now:
                            self._ask(Door.DIRECTORY, self._read_directory)
                        self._begin_listings(self._due(now), now)
                    await self._doze(now)
        finally:
            for session in tuple(self._open):
                await self._close(session)

    async def _doze(self, now: datetime) -> None:
        """Until the next thing is due, or somebody wakes us."""
        at = self._next_thing(now)
        async with asyncio.TaskGroup() as dozing:
            alarm = None
            if at is not None:
                alarm = dozing.create_task(
                    self._ring_after((at - now).total_seconds()), name=f"{self.service} alarm"
                )
            await self._woken.wait()
            if alarm is not None:
                alarm.cancel()

    async def _ring_after(self, seconds: float) -> None:
        await self._around.rest(seconds)
        self._woken.set()

    def _next_thing(self, now: datetime) -> datetime | None:
        """When something is due that is not now: what is due now waits for what is under way."""
        times = [integration.next_probe(self._integration)]
        if self._integration.phase in READING:
            times += [self._directory_at, min(self._next.values(), default=None)]
        if self._spent is not None and self._provider.quota is not None:
            times.append(hints.free_at(self._spent, self._provider.quota))
        if self._integration.phase in _WAITING_FOR_A_PERSON:
            times.append(self._credential_at)
        return min((at for at in times if at is not None and at > now), default=None)

    def _start(self, work: Awaitable[None], name: str) -> None:
        self._tasks.create_task(_awaited(work), name=f"{self.service} {name}")

    # ── access ──

    async def _opened(self, session: _Session[Open]) -> Open | None:
        """The client; None if there is none to be had, which is then known, or if its time is over."""
        async with session.opening:
            if session is self._session and session.calendars is None:
                self._access = self._provider.access()
                self._open.add(session)
                try:
                    session.calendars = await session.door.enter_async_context(
                        self._provider.open(lambda error: self._token_told(session, error))
                    )
                except CalendarError as error:
                    self._token_told(session, error)
            return session.calendars if session is self._session else None

    def _give_up(self) -> None:
        """Use another client from now on: what this one is still told does not count any more."""
        given_up, self._session = self._session, _Session()
        if given_up.calendars is not None:
            given_up.calendars.forget()
        if given_up in self._open:
            self._start(self._close(given_up), "closing")
        now = self._around.now()
        for room, look in self._looks.items():
            if look.asked_at is not None:
                self._looks[room] = hints.hinted(replace(look, asked_at=None, answers=None), now)
        self._plan_all()

    async def _close(self, session: _Session[Open]) -> None:
        """Close a client, as soon as all that was asked through it is answered."""
        async with session.opening:
            await session.door.aclose()
        self._open.discard(session)

    def _token_told(self, session: _Session[Open], error: CalendarError | None) -> None:
        if session is not self._session:
            return
        now = self._around.now()
        session.token_error = error
        said = answered(now) if error is None else said_by(error, at=now, luck=self._around.luck())
        self._hear(integration.token_said(self._integration, said))

    def _look_at_credential(self, now: datetime) -> None:
        """What was refused is tried again at once if an operator has brought something else."""
        if self._integration.phase not in _WAITING_FOR_A_PERSON or now < self._credential_at:
            return
        self._credential_at = now + CREDENTIAL_SEEN_EVERY
        if self._provider.access() != self._access:
            log.info("calendars.credential_changed", service=self.service)
            self._begin_anew()
            self._keep(self._forget_revocation)

    def _begin_anew(self) -> None:
        now = self._around.now()
        self._give_up()
        self._access = self._provider.access()
        self._directory_at = now
        self._hear(integration.consented(self._integration, now))

    def _forget_revocation(self, tx: Connection) -> None:
        kept.forget_revoked(tx, self.service)

    def _keep(self, job: Callable[[Connection], None]) -> None:
        """On disk, when the disk takes it; in the order of the calls."""
        self._start(self._around.database.submit(job), "keeping")

    # ── probes and the directory ──

    def _put(self, probes: Iterable[Probe], now: datetime) -> None:
        """Put questions, unless they are under way."""
        rooms: list[RoomId] = []
        for probe in probes:
            match probe.door:
                case Door.TOKEN:
                    self._ask(probe.door, self._sign_in)
                case Door.DIRECTORY:
                    self._ask(probe.door, self._read_directory)
                case Door.ROOM:
                    if probe.room in self._looks and self._looks[probe.room].asked_at is None:
                        rooms.append(probe.room)
                case _:
                    assert_never(probe.door)
        self._begin_listings(rooms, now)

    def _ask(self, door: Door, question: Callable[[_Session[Open]], Awaitable[None]]) -> None:
        session = self._session
        if door not in session.probing:
            session.probing.add(door)
            self._start(self._ended(session, door, question(session)), door)

    async def _ended(self, session: _Session[Open], door: Door, asking: Awaitable[None]) -> None:
        try:
            await asking
        finally:
            session.probing.discard(door)
            self._woken.set()

    async def _sign_in(self, session: _Session[Open]) -> None:
        if (calendars := await self._opened(session)) is not None:
            with suppress(CalendarError):  # it was told already
                await calendars.sign_in()

    async def _read_directory(self, session: _Session[Open]) -> None:
        if (calendars := await self._opened(session)) is None:
            return
        self._directory_asked_at = self._around.now()
        try:
            found = await calendars.named()
        except CalendarError as error:
            if session is not self._session:
                return
            said = said_by(error, at=self._around.now(), luck=self._around.luck())
            if self._trouble is None:
                log.info("calendars.directory_unread", service=self.service, why=str(error))
            self._trouble = f"{error}; {error.mend}"
        else:
            matching = await asyncio.to_thread(match, self._named(), found, by_hand=self._by_hand)
            if session is not self._session:
                return
            said = answered(self._around.now())
            self._trouble = None
            self._link(found, matching)
        spread = self._around.luck() * (DIRECTORY_LATEST - DIRECTORY_SOONEST)
        self._directory_at = said.at + DIRECTORY_SOONEST + spread
        self._hear(integration.directory_said(self._integration, said))

    # ── links ──

    def _named(self) -> list[Named]:
        return [
            Named(id=room.id, name=room.name, capacity=room.capacity, address=self._by_hand.get(room.id))
            for room in self._rooms.values()
        ]

    def _link(self, found: Sequence[Named], matching: Matching) -> None:
        """Link rooms without an address by hand to calendars by their names, where that is certain."""
        self._matching = matching
        self._others = {each.id: each for each in found}
        before = self._links
        gone = {room for room in before if integration.is_gone(self._integration, room)}
        self._take_links(
            links.after_list(before, self._by_hand, matching, listed=self._others.keys(), gone=gone)
        )
        turned = [
            room
            for room in before.keys() | self._links.keys()
            if links.address_of(before, room) != links.address_of(self._links, room)
        ]
        if not turned:
            return
        by_name = links.found(self._links)
        directory = self._provider.directory
        self._keep(lambda tx: kept.keep_links(tx, self.service, by_name, directory=directory))
        for room in turned:
            if (room in before) != (room in self._links):
                self._outgoing.append((room, _LINKS_CHANGED))
            if room in self._links:
                self._say_standing(room)
        if self.watches is not None and self._integration.phase in USED:
            self.watches.use(set(self._at))
        log.info("calendars.linked", service=self.service, rooms=len(self._links))

    def _take_links(self, taken: Links) -> None:
        """These and no others: what is known of a room that has another calendar now is forgotten."""
        now = self._around.now()
        same = {room for room, link in taken.items() if links.address_of(self._links, room) == link.address}
        known = integration.linked(self._integration, same)
        self._integration = integration.linked(known, taken, found=links.found(taken))
        self._looks = {
            room: self._looks[room] if room in same else Look(room=room, since=now) for room in taken
        }
        for told in (self._told, self._troubles):
            for room in told.keys() - same:
                del told[room]
        self._links, self._at = taken, links.rooms_at(taken)
        self._plan_all()

    # ── listing ──

    def _look(self, look: Look) -> None:
        self._looks[look.room] = look
        self._plan(look.room)

    def _plan(self, room: RoomId) -> None:
        not_before = integration.not_before(self._integration, room)
        at = hints.next_listing(self._looks[room], not_before=not_before)
        if at is None:
            self._next.pop(room, None)
        else:
            self._next[room] = at

    def _plan_all(self) -> None:
        self._next.clear()
        for room in self._looks:
            self._plan(room)

    def _due(self, now: datetime) -> list[RoomId]:
        """Who is to be listed now, the most urgent first."""
        due = [room for room, at in self._next.items() if at <= now]
        due.sort(key=lambda room: hints.urgency(self._looks[room]))
        if due and (missing := -len(due) % self._provider.batch):
            due += self._soon_due(now)[:missing]
        return due

    def _begin_listings(self, rooms: Sequence[RoomId], now: datetime) -> None:
        """As many as may be under way; the others are still due when one of them ends."""
        batch, quota = self._provider.batch, self._provider.quota
        for first in range(0, len(rooms), batch):
            some = rooms[first : first + batch]
            if self._session.listings >= self._provider.at_once:
                return
            if quota is not None:
                if self._spent is not None and hints.free_at(self._spent, quota) > now:
                    return
                self._spent = hints.spend(self._spent, quota, now, requests=len(some))
            self._list(some, now)

    def _soon_due(self, now: datetime) -> list[RoomId]:
        """Those that go along because one request takes them all; the oldest first."""
        soon = [
            (at, room)
            for room, at in self._next.items()
            if now < at <= now + AHEAD
            and (look := self._looks[room]).listed_at is not None
            and look.hinted_at is None
            and look.retry_at is None
            and integration.not_before(self._integration, room) is None
        ]
        return [room for _, room in sorted(soon)]

    def _list(self, rooms: Iterable[RoomId], now: datetime) -> None:
        asked: dict[str, list[RoomId]] = defaultdict(list)
        for room in rooms:
            self._look(hints.begun(self._looks[room], now))
            asked[self._links[room].address].append(room)
        self._session.listings += 1
        window = today_and_tomorrow(now, self._around.zone)
        self._start(self._listing(self._session, asked, window), "listing")

    async def _listing(
        self, session: _Session[Open], asked: Mapping[str, Sequence[RoomId]], window: Window
    ) -> None:
        heard = _Heard()

        async def tell(address: str, said: Listed) -> None:
            if session is not self._session:
                return
            for room in asked[address]:
                heard.rooms.add(room)
                if (asked_at := self._asked_at(room, address)) is None:
                    continue
                if isinstance(said, CalendarError):
                    self._came_to_nothing(room, said, heard)
                else:
                    heard.answered = True
                    self._came(room, said, asked_at, window)
            await self._flush()

        try:
            if (calendars := await self._opened(session)) is not None:
                rooms = [RoomToList(address=at, window=window, zone=self._around.zone) for at in asked]
                await calendars.list_rooms(rooms, tell)
        except CalendarError as error:
            heard.error = error
        finally:
            session.listings -= 1
            self._woken.set()
        if session is not self._session:
            return
        left = [
            room
            for address, rooms in asked.items()
            for room in rooms
            if room not in heard.rooms and self._asked_at(room, address) is not None
        ]
        self._ended_early(left, heard)
        await self._flush()

    def _asked_at(self, room: RoomId, address: str) -> datetime | None:
        """When the listing began that is under way; None if the room was given another calendar meanwhile."""
        return self._looks[room].asked_at if links.address_of(self._links, room) == address else None

    def _came(
        self, room: RoomId, entries: tuple[CalendarEntry, ...], asked_at: datetime, window: Window
    ) -> None:
        self._listed += 1
        self._look(hints.listed(self._looks[room], luck=self._around.luck()))
        self._troubles.pop(room, None)
        if self._integration.phase is not Phase.REVOKED:
            listed = CalendarListed(
                calendar=self.kind,
                entries=entries,
                asked_at=asked_at,
                covers_from=window.starts_at,
                covers_until=window.ends_at,
            )
            self._outgoing.append((room, listed))
        self._hear(integration.room_said(self._integration, room, answered(self._around.now())), room)

    def _came_to_nothing(self, room: RoomId, error: CalendarError, heard: _Heard) -> None:
        self._failed(room, error)
        everybodys = isinstance(error, Throttled) and not self._provider.throttles_rooms
        if everybodys or (isinstance(error, Transient) and not isinstance(error, Throttled)):
            heard.lost = heard.lost or (room, error)
        else:
            self._room_said(room, error)

    def _ended_early(self, left: Sequence[RoomId], heard: _Heard) -> None:
        """What a listing's end says: of the rooms that it left out, and of those that were lost on the way.

        A line that broke is one lost question, however many rooms it asked for; and none if others answered.
        """
        error = heard.error
        for room in left:
            self._failed(room, error)
        if left and error is not None and error is not self._session.token_error:
            said = said_by(error, at=self._around.now(), luck=0.0)
            for room in left if said.outcome in _OF_ALL_ASKED else left[:1]:
                self._room_said(room, error)
        elif heard.lost is not None and (not heard.answered or self._integration.phase not in READING):
            room, lost = heard.lost
            if lost is not self._session.token_error:
                self._room_said(room, lost)

    def _failed(self, room: RoomId, error: CalendarError | None) -> None:
        now, luck = self._around.now(), self._around.luck()
        self._failed_listings += 1
        self._look(hints.failed(self._looks[room], now, luck=luck))
        if error is not None:
            self._troubles[room] = f"{error}; {error.mend}"

    def _room_said(self, room: RoomId, error: CalendarError) -> None:
        said = said_by(error, at=self._around.now(), luck=self._around.luck())
        if said.outcome is Outcome.THROTTLED and not self._provider.throttles_rooms:
            said = replace(said, outcome=Outcome.TRANSIENT)
        was_gone = integration.is_gone(self._integration, room)
        self._hear(integration.room_said(self._integration, room, said), room)
        all_denied = said.outcome is Outcome.DENIED and integration.wants_directory(self._integration)
        if all_denied or (not was_gone and integration.is_gone(self._integration, room)):
            soonest = self._directory_asked_at + DIRECTORY_AT_MOST_EVERY
            self._directory_at = min(self._directory_at, max(soonest, said.at))

    # ── telling ──

    def _hear(self, turned: Turned, room: RoomId | None = None) -> None:
        """Take in what something meant, and have it done and told."""
        before, self._integration = self._integration, turned.integration
        for deed in turned.deeds:
            self._do(deed)
        for tell in turned.tells:
            if tell.room is None:
                now = self._around.now()
                self._outgoing.append(
                    IntegrationTurned(service=self.service, phase=tell.phase, why=tell.why, at=now)
                )
            else:
                self._say_standing(tell.room)
        after = self._integration
        if after.phase is Phase.CONNECTING and before.phase is not Phase.CONNECTING:
            self._look_at_all()
        if (before.phase, before.retry_at) != (after.phase, after.retry_at):
            self._plan_all()
        elif room is not None and room in self._looks:
            self._plan(room)
        self._woken.set()

    def _look_at_all(self) -> None:
        """What was missed meanwhile is looked for."""
        now = self._around.now()
        for room, look in self._looks.items():
            self._looks[room] = hints.hinted(replace(look, failures=0, retry_at=None), now)

    def _do(self, deed: Deed) -> None:
        match deed:
            case Deed.USE:
                if self.watches is not None:
                    self.watches.use(set(self._at))
            case Deed.STOP:
                if self.watches is not None:
                    self.watches.use(None)
            case Deed.WIPE:
                self._wipe()
            case _:
                assert_never(deed)

    def _wipe(self) -> None:
        it = self._integration
        why = integration.cause(it)  # with the mend, as it was told
        revocation = Revocation(why=why, at=it.since, access=self._access)
        self._give_up()
        self._keep(lambda tx: kept.keep_revoked(tx, self.service, revocation))
        if self.watches is not None:
            self.watches.use(None)
            self._start(self.watches.wipe(), "wiping")

    def _say_standing(self, room: RoomId) -> None:
        """Tell the core how it stands with a room, unless it knows."""
        phase, why = integration.standing(self._integration, room)
        if phase in _WELL:
            why = None
        if self._told.get(room) != (phase, why):
            self._told[room] = (phase, why)
            self._outgoing.append((room, CalendarTurned(calendar=self.kind, phase=phase, why=why)))

    async def _flush(self) -> None:
        """Hand on what is to be told, in its order."""
        async with self._delivering:
            while self._outgoing:
                word = self._outgoing.popleft()
                if isinstance(word, IntegrationTurned):
                    await self._around.tell(word)
                    continue
                room, event = word
                if isinstance(event, _LinksChanged):
                    calendars = self._around.calendars_of(room)
                    event = CalendarsLinked(calendars=calendars, writes=self._around.writes())
                await self._around.deliver(room, (event,))


class _Session(Generic[Open]):
    """The time of one client: what it is still told after that does not count."""

    def __init__(self) -> None:
        self.calendars: Open | None = None
        self.opening = asyncio.Lock()
        self.door = AsyncExitStack()  # that closes it
        self.token_error: CalendarError | None = None
        self.listings = 0  # under way
        self.probing: set[Door] = set()  # under way, but for rooms


@dataclass(slots=True)
class _Heard:
    """What came of a listing of several rooms."""

    rooms: set[RoomId]
    answered: bool
    lost: tuple[RoomId, CalendarError] | None  # the first that no word came of
    error: CalendarError | None  # that ended it

    def __init__(self) -> None:
        self.rooms = set()
        self.answered = False
        self.lost = None
        self.error = None


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _by_hand(rooms: Iterable[LinkedRoom], service: Service) -> dict[str, str | None]:
    """What a person said of rooms: their addresses; None where a room is to have none."""
    said: dict[str, str | None] = {}
    for room in rooms:
        address = room.microsoft if service is Service.MICROSOFT else room.google
        if address is not None:
            said[room.id] = address.strip().lower()
        elif service in room.left_out:
            said[room.id] = None
    return said
