"""Has the clouds tell of changes: a watch on each room's calendar, kept alive; where none is, we poll."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import ClassVar, Final, Generic, Protocol, TypeVar, assert_never

import msgspec
import structlog

from cloud_link.calendars import google_calendar, graph, kept, push
from cloud_link.calendars.decoding import decode
from cloud_link.calendars.errors import (
    CalendarError,
    Gone,
    IntegrationError,
    NotCalled,
    Throttled,
    Transient,
    Unreadable,
)
from cloud_link.calendars.google import Google
from cloud_link.calendars.google_calendar import FIRST_WORD_WITHIN, Channel, digest_of
from cloud_link.calendars.graph import Lifecycle, Subscription
from cloud_link.calendars.integration import Service
from cloud_link.calendars.kept import KeptWatch
from cloud_link.calendars.microsoft import SECRET_BYTES, SUBSCRIBED_FOR, Microsoft
from cloud_link.calendars.push import Heard
from cloud_link.database import Database

log = structlog.get_logger()

UNANSWERED: Final = 5  # so many in a row, and it is the service that is away, not one room
SOONEST_AGAIN: Final = timedelta(minutes=1)  # whatever the cloud's clock makes of a watch's end
MOST_TRIES: Final = 24  # to take down what is not wanted any more
MOST_UNANSWERED: Final = 3  # channels of one room that may stand although no answer came
REMEMBERED_UNANSWERED: Final = timedelta(days=1)  # such a one says something, and can be stopped then
REAUTHORIZED_FOR: Final = timedelta(minutes=10)  # Graph: within this, never twice
LONGEST_SLEEP_S: Final = 60.0  # the clock may jump


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPace:
    """How many watches are worked on at once, and how long to rest after what."""

    at_once: int = 4
    soonest: timedelta = timedelta(seconds=15)
    latest: timedelta = timedelta(minutes=10)
    refused: timedelta = timedelta(hours=1)  # a person has to act, and policies take effect with a delay


class _Known(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def ends_at(self) -> datetime | None: ...


C = TypeVar("C")  # the service's client
W = TypeVar("W", bound=_Known)  # what it calls a watch


@dataclass(slots=True, kw_only=True)
class _Room(Generic[W]):
    """One room's watch, as the keeper works on it."""

    address: str
    due_at: datetime
    watch: W | None = None
    pushed: bool = False  # as was told
    silent: bool = False  # its watch was made, and says nothing
    missed: bool = False  # something may have happened that nobody told us of
    failures: int = 0
    busy: bool = False


@dataclass(slots=True, kw_only=True)
class _Leaving:
    """What is to be taken down."""

    due_at: datetime
    failures: int = 0
    busy: bool = False


class Watches(ABC, Generic[C, W]):
    """All watches of one service; `run` keeps them, and never raises for what the cloud says or does.

    `hint` is called with the address of a room that is to be listed, `turned` with whether changes in it are
    told to us from now on. `url` is where all clouds call; the listener there has to stand before `run`.
    `kept` is what the database had at the start. Times are UTC, `luck` is in [0, 1).
    """

    service: ClassVar[Service]

    def __init__(  # noqa: PLR0913 - what it needs of the house
        self,
        client_of: Callable[[], C | None],
        *,
        url: str,
        database: Database,
        kept: Sequence[KeptWatch],
        hint: Callable[[str], None],
        turned: Callable[[str, bool], None],
        now: Callable[[], datetime],
        luck: Callable[[], float],
        pace: WatchPace | None = None,
    ) -> None:
        self._trouble: CalendarError | None = None  # of the service
        self._client_of = client_of
        self._url = push.address(url, self.service)
        self._database = database
        self._hint = hint
        self._turned = turned
        self._now = now
        self._luck = luck
        self._pace = pace or WatchPace()
        self._wanted: Mapping[str, str] | None = None  # addresses, by themselves in lower case
        self._rooms: dict[str, _Room[W]] = {}
        self._watches: dict[str, W] = {}  # all that may stand, by id
        self._leaving: dict[str, _Leaving] = {}  # by id
        self._sorted = False  # what is remembered was compared with what is there
        self._rest_until: datetime | None = None
        self._rests = 0  # in a row
        self._unanswered = 0  # in a row
        self._under_way: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._said: dict[object, Heard] = {}  # of what was told, each thing once
        self._told = asyncio.Event()
        self._stale: set[str] = set()  # what the disk does not have as it is, by id
        self._to_write = asyncio.Event()
        for each in kept:
            if (watch := self._read(each)) is None:
                self._write_soon(each.id)
            else:
                self._watches[each.id] = watch

    # ── for its users ──

    async def run(self) -> None:
        """Keep the watches of those rooms that are used, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name=f"{self.service} pushes")
            tasks.create_task(self._keep_up(), name=f"{self.service} watches, to disk")
            tasks.create_task(self._hold(tasks), name=f"{self.service} watches")

    @property
    def trouble(self) -> str | None:
        """Why changes are not told, with the mend, for a person; None if there is nothing to say."""
        return None if self._trouble is None else f"{self._trouble}; {self._trouble.mend}"

    def use(self, addresses: Collection[str] | None) -> None:
        """Whose changes are to be told; None: the service is not used now, so nothing is asked of it."""
        if addresses is None:
            self._wanted = None
            self._sorted = False
            for room in self._rooms.values():
                room.silent = False
                self._turn(room, pushed=False)
        else:
            self._wanted = {address.lower(): address for address in addresses}
            if self._sorted:
                self._match()
        self._changed.set()

    async def wipe(self) -> None:
        """Forget all, without asking the cloud: there is no consent to take anything down with."""
        self._wanted = None
        self._sorted = False
        under_way = tuple(self._under_way)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for room in self._rooms.values():
            self._turn(room, pushed=False)
        self._rooms.clear()
        self._watches.clear()
        self._leaving.clear()
        self._said.clear()
        self._trouble = None
        self._rest_until = None
        await self._database.write(partial(kept.forget_watches, service=self.service))

    def stepped(self, by: timedelta) -> None:
        """After the wall clock jumped: rests that are running move with it; what the cloud said does not."""
        if self._rest_until is not None:
            self._rest_until += by
        for room in self._rooms.values():
            room.due_at += by if room.failures else timedelta()
        for leaving in self._leaving.values():
            leaving.due_at += by if leaving.failures else timedelta()
        self._changed.set()

    @abstractmethod
    def heard(self, said: Heard) -> bool:
        """Whether it is one of ours and shows its secret; what follows from it is done by `run`, later."""

    # ── what each service does in its own way ──

    @abstractmethod
    def _read(self, row: KeptWatch) -> W | None:
        """A watch as it was kept; None if it cannot be read."""

    @abstractmethod
    async def _sort_out(self, client: C, wanted: Mapping[str, str]) -> Mapping[str, W]:
        """The watches that stand and are wanted, by the room's key; the others leave, or are forgotten."""

    @abstractmethod
    async def _have(self, client: C, room: _Room[W]) -> W:
        """A watch that is good for a while, on disk: a new one, or one renewed."""

    @abstractmethod
    async def _let_go(self, client: C, id_: str) -> None:
        """Take it down, and forget it."""

    @abstractmethod
    def _due(self, watch: W) -> datetime:
        """When something is to be done about it."""

    @abstractmethod
    def _tells(self, watch: W) -> bool:
        """Whether it is certain that the cloud reaches us by it."""

    @abstractmethod
    def _take(self, said: Heard) -> None:
        """Do what follows from something that was said with a right secret."""

    # ── what is told ──

    def _remember(self, key: object, said: Heard) -> None:
        self._said[key] = said
        self._told.set()

    async def _listen(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            said, self._said = self._said, {}
            for each in said.values():
                self._take(each)

    # ── the keeper ──

    async def _hold(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._changed.clear()
            self._begin(tasks)
            wait_s = LONGEST_SLEEP_S
            if (due := self._next_due()) is not None:
                wait_s = min(max((due - self._now()).total_seconds(), 0.0), LONGEST_SLEEP_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    def _begin(self, tasks: asyncio.TaskGroup) -> None:
        """Begin all that is due, as far as so much may be done at once."""
        now = self._now()
        client = self._client_of()
        resting = self._rest_until is not None and now < self._rest_until
        if self._wanted is not None:
            self._notice_ends(now, resting=resting)
        if self._wanted is None or client is None or resting:
            return
        if not self._sorted:
            if not self._under_way:
                self._start(tasks, self._sort(client, self._wanted), "sorting out")
            return
        leaving = [(id_, each) for id_, each in self._leaving.items() if not each.busy and each.due_at <= now]
        for id_, each in leaving[: self._free()]:  # first, as one may be in the way of a room's
            each.busy = True
            self._start(tasks, self._take_down(client, id_, each), id_)
        rooms = [room for room in self._rooms.values() if not room.busy and room.due_at <= now]
        for room in sorted(rooms, key=lambda room: room.due_at)[: self._free()]:
            room.busy = True
            self._start(tasks, self._attend(client, room), room.address)

    def _notice_ends(self, now: datetime, *, resting: bool) -> None:
        """Rely no more on watches that have run out while they could not be renewed."""
        for room in self._rooms.values():
            ends_at = room.watch.ends_at if room.watch is not None else None
            if room.pushed and (resting or room.failures) and ends_at is not None and ends_at <= now:
                room.missed = True
                self._turn(room, pushed=False)

    def _free(self) -> int:
        return max(self._pace.at_once - len(self._under_way), 0)

    def _start(self, tasks: asyncio.TaskGroup, work: Coroutine[None, None, None], what: str) -> None:
        task = tasks.create_task(work, name=f"{self.service} watch: {what}")
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._changed.set()

    def _next_due(self) -> datetime | None:
        """None while there is nothing to wait for but a change."""
        if self._wanted is None or self._client_of() is None or not self._free():
            return None
        if not self._sorted:
            return None if self._under_way else self._rest_until
        due = [room.due_at for room in self._rooms.values() if not room.busy]
        due += [leaving.due_at for leaving in self._leaving.values() if not leaving.busy]
        if not due:
            return None
        return max(min(due), self._rest_until) if self._rest_until else min(due)

    async def _sort(self, client: C, wanted: Mapping[str, str]) -> None:
        try:
            standing = await self._sort_out(client, wanted)
        except CalendarError as error:
            self._pause(error)
            return
        self._answered(proven=False)
        if self._wanted is None:
            return  # it is not used any more
        self._sorted = True
        for key in standing.keys() - self._rooms.keys():
            self._rooms[key] = _Room(address=wanted[key], due_at=self._now())
        for key, room in self._rooms.items():
            watch = standing.get(key)
            room.missed = room.missed or (room.watch is not None and watch is None)
            if watch is not None:
                self._settle(room, watch)
            else:
                room.watch, room.due_at = None, self._now()
        self._match()

    def _match(self) -> None:
        """Let each wanted room have its place, and none else."""
        wanted = self._wanted or {}
        for key in self._rooms.keys() - wanted.keys():
            if (watch := self._rooms.pop(key).watch) is not None:
                self._leave(watch.id)
        for key in wanted.keys() - self._rooms.keys():
            self._rooms[key] = _Room(address=wanted[key], due_at=self._now())

    async def _attend(self, client: C, room: _Room[W]) -> None:
        try:
            if room.watch is not None and room.watch.ends_at and room.watch.ends_at <= self._now():
                self._lose(room, room.watch)
            before = room.watch
            watch = await self._have(client, room)
        except CalendarError as error:
            self._failed(room, error)
        else:
            self._answered(proven=before is None or watch.id != before.id)
            if watch.id not in self._watches:  # it went while it was written down
                self._lose(room, watch)
            elif self._rooms.get(room.address.lower()) is room:
                self._settle(room, watch)
                room.due_at = max(room.due_at, self._now() + SOONEST_AGAIN)
            else:  # it went meanwhile
                self._leave(watch.id)
        finally:
            room.busy = False

    def _settle(self, room: _Room[W], watch: W) -> None:
        room.watch = watch
        room.failures = 0
        room.due_at = self._due(watch)
        if self._tells(watch) and self._wanted is not None:
            room.silent = False
            self._turn(room, pushed=True)
            if room.missed:
                room.missed = False
                self._hint(room.address)

    def _lose(self, room: _Room[W], watch: W) -> None:
        """A watch of its is no more: have another one at once, and look what was missed."""
        self._watches.pop(watch.id, None)
        self._write_soon(watch.id)
        room.missed = True
        if room.watch is None or room.watch.id == watch.id:
            room.watch = None
            room.due_at = self._now()
        self._changed.set()

    def _leave(self, id_: str, *, at: datetime | None = None) -> None:
        self._leaving.setdefault(id_, _Leaving(due_at=at or self._now()))
        self._changed.set()

    async def _take_down(self, client: C, id_: str, leaving: _Leaving) -> None:
        now = self._now()
        watch = self._watches.get(id_)
        try:
            if watch is None or watch.ends_at is None or watch.ends_at > now:
                await self._let_go(client, id_)
            else:
                await self._forget(id_)
        except CalendarError as error:
            leaving.failures += 1
            leaving.due_at = self._again_at(error, leaving.failures)
            if leaving.failures >= MOST_TRIES:
                log.warning("pushes.left_over", service=self.service, why=str(error))
                await self._forget(id_)
        else:
            self._answered(proven=False)
            self._leaving.pop(id_, None)
        finally:
            leaving.busy = False

    # ── what goes wrong ──

    def _failed(self, room: _Room[W], error: CalendarError) -> None:
        room.failures += 1
        room.due_at = self._again_at(error, room.failures)
        if room.watch is None:
            self._turn(room, pushed=False)
        told = log.warning if self._of_one_room(error) and room.failures == 1 else log.debug
        told("pushes.refused", service=self.service, room=room.address, why=str(error), mend=error.mend)

    @staticmethod
    def _of_one_room(error: CalendarError) -> bool:
        return not isinstance(error, NotCalled | Transient | IntegrationError)

    def _again_at(self, error: CalendarError, failures: int) -> datetime:
        """When to try again, after so many failures in a row."""
        now = self._now()
        if self._of_one_room(error):
            return now + self._rest(failures + 3, self._pace.refused)
        if isinstance(error, Transient) and not isinstance(error, Throttled):
            self._unanswered += 1
            if self._unanswered < UNANSWERED:
                return now + max(self._rest(failures, self._pace.latest), _asked_for(error))
        return self._pause(error)

    def _pause(self, error: CalendarError) -> datetime:
        """Ask nothing of the service for a while, as it is not about one room; until when."""
        now = self._now()
        if self._rest_until is None or self._rest_until <= now:  # else others had the same answer just now
            self._rests += 1
        longest = self._pace.refused if isinstance(error, NotCalled | IntegrationError) else self._pace.latest
        until = now + max(self._rest(self._rests, longest), _asked_for(error))
        self._rest_until = until if self._rest_until is None else max(self._rest_until, until)
        if not isinstance(error, Throttled):
            if self._trouble is None:
                log.warning("pushes.failed", service=self.service, why=str(error), mend=error.mend)
            self._trouble = error
        return self._rest_until

    def _rest(self, times: int, longest: timedelta) -> timedelta:
        return min(self._pace.soonest * 2.0 ** min(times - 1, 16), longest) * (0.75 + self._luck() / 4)

    def _answered(self, *, proven: bool) -> None:
        """The service is there; `proven`: it has taken the address at which it is to call."""
        self._unanswered = 0
        if isinstance(self._trouble, NotCalled) and not proven:
            return
        self._rests = 0
        if self._trouble is not None:
            self._trouble = None
            log.info("pushes.resumed", service=self.service)

    def _turn(self, room: _Room[W], *, pushed: bool) -> None:
        if room.pushed is not pushed:
            room.pushed = pushed
            self._turned(room.address, pushed)

    # ── the disk ──

    @abstractmethod
    def _row(self, watch: W) -> KeptWatch:
        """As it is kept."""

    async def _write(self, watch: W) -> W:
        """Remember it; returns when it is on disk."""
        self._watches[watch.id] = watch
        row = self._row(watch)
        await self._database.write(partial(kept.keep_watch, service=self.service, watch=row))
        return watch

    def _write_soon(self, id_: str) -> None:
        self._stale.add(id_)
        self._to_write.set()

    async def _keep_up(self) -> None:
        """Write what was learnt while others waited for us: a disk that is full delays no hint."""
        while True:
            await self._to_write.wait()
            self._to_write.clear()
            while self._stale:
                id_ = self._stale.pop()
                if (watch := self._watches.get(id_)) is None:
                    await self._forget(id_)
                else:
                    await self._write(watch)

    async def _forget(self, id_: str) -> None:
        self._watches.pop(id_, None)
        self._leaving.pop(id_, None)
        await self._database.write(partial(kept.forget_watch, id_=id_))


def _asked_for(error: CalendarError) -> timedelta:
    retry_after_s = error.retry_after_s if isinstance(error, Transient) else None
    return timedelta(seconds=retry_after_s or 0.0)


# ── Microsoft ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSubscription:
    """A subscription, and by what its notifications are known."""

    subscription: Subscription  # without its secret
    digest: str  # of it
    renewed_at: datetime

    @property
    def id(self) -> str:
        """Graph's."""
        return self.subscription.id

    @property
    def ends_at(self) -> datetime:
        """When Graph falls silent."""
        return self.subscription.expires_at


class _SubscriptionRow(msgspec.Struct):
    url: str
    digest: str
    renewed_at: datetime
    expires_at: datetime


_NOBODYS: Final = digest_of(secrets.token_urlsafe(SECRET_BYTES))


class MicrosoftWatches(Watches[Microsoft, HeldSubscription]):
    """Graph's subscriptions: renewed at half their lives, made anew where Graph has lost them."""

    service = Service.MICROSOFT

    def heard(self, said: Heard) -> bool:
        """See Watches."""
        if not isinstance(said, graph.Hint | graph.LifecycleNotice):
            return False
        held = self._watches.get(said.subscription_id)
        right = hmac.compare_digest(
            digest_of(said.client_state), _NOBODYS if held is None else held.digest
        )  # also for one that we do not know, lest the time tell
        if held is None or not right:
            return False
        what = said.what if isinstance(said, graph.LifecycleNotice) else None
        self._remember((said.subscription_id, what), said)
        return True

    def _take(self, said: Heard) -> None:
        if (
            isinstance(said, google_calendar.Hint)
            or (held := self._watches.get(said.subscription_id)) is None
        ):
            return
        room = self._rooms.get(held.subscription.address)
        if room is None:
            return
        if isinstance(said, graph.LifecycleNotice):
            match said.what:
                case Lifecycle.REAUTHORIZE:  # as a renewal does, and Graph forbids both within a short time
                    room.due_at = min(room.due_at, max(self._now(), held.renewed_at + REAUTHORIZED_FOR))
                    self._changed.set()
                    return
                case Lifecycle.REMOVED:
                    self._lose(room, held)
                case Lifecycle.MISSED:
                    pass
                case _:
                    assert_never(said.what)
        self._hint(room.address)

    def _read(self, row: KeptWatch) -> HeldSubscription | None:
        try:
            said = decode(row.body, _SubscriptionRow)
        except Unreadable:
            return None
        subscription = Subscription(
            id=row.id,
            address=row.address.lower(),
            url=said.url,
            client_state=None,
            expires_at=said.expires_at,
        )
        return HeldSubscription(subscription=subscription, digest=said.digest, renewed_at=said.renewed_at)

    async def _keep(self, made: Subscription, *, digest: str, renewed_at: datetime) -> HeldSubscription:
        return await self._write(
            HeldSubscription(
                subscription=replace(made, client_state=None), digest=digest, renewed_at=renewed_at
            )
        )

    def _row(self, watch: HeldSubscription) -> KeptWatch:
        row = _SubscriptionRow(
            url=watch.subscription.url,
            digest=watch.digest,
            renewed_at=watch.renewed_at,
            expires_at=watch.ends_at,
        )
        return KeptWatch(id=watch.id, address=watch.subscription.address, body=msgspec.json.encode(row))

    async def _sort_out(self, client: Microsoft, wanted: Mapping[str, str]) -> Mapping[str, HeldSubscription]:
        there = await client.subscriptions()
        plan = graph.reconcile(
            [held.subscription for held in self._watches.values()],
            there,
            rooms=wanted,
            url=self._url,
            now=self._now(),
        )
        standing = {each.address: replace(self._watches[each.id], subscription=each) for each in plan.keep}
        self._watches |= {held.id: held for held in standing.values()}
        for id_ in plan.delete:
            self._leave(id_)
        for id_ in self._watches.keys() - {each.id for each in there}:
            await self._forget(id_)
        return standing

    async def _have(self, client: Microsoft, room: _Room[HeldSubscription]) -> HeldSubscription:
        now = self._now()
        until = now + SUBSCRIBED_FOR
        if (before := room.watch) is not None:
            with suppress(Gone):
                renewed = await client.renew(before.subscription, until=until)
                if room.watch is before:
                    return await self._keep(renewed, digest=before.digest, renewed_at=now)
            if room.watch is before:  # else we were told so already
                self._lose(room, before)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        made = await client.subscribe(
            room.address, url=self._url, lifecycle_url=self._url, client_state=secret, until=until
        )
        return await self._keep(made, digest=digest_of(secret), renewed_at=now)

    async def _let_go(self, client: Microsoft, id_: str) -> None:
        await client.unsubscribe(id_)
        await self._forget(id_)

    def _due(self, watch: HeldSubscription) -> datetime:
        return graph.renew_at(watch.renewed_at, watch.ends_at, luck=self._luck())

    def _tells(self, watch: HeldSubscription) -> bool:  # noqa: ARG002 - all do
        """Graph has made us prove that it reaches us."""
        return True


# ── Google ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldChannel:
    """A channel, and whether it has said anything yet: only then it is certain that Google reaches us."""

    channel: Channel
    heard: bool = False

    @property
    def id(self) -> str:
        """Ours."""
        return self.channel.id

    @property
    def ends_at(self) -> datetime | None:
        """When Google falls silent; None where that was never said."""
        return self.channel.expires_at

    @property
    def answered(self) -> bool:
        """Whether it is known for certain that there is such a channel."""
        return self.channel.resource_id is not None


_NOBODYS_CHANNEL: Final = Channel(
    id="", address="", hook="", token_digest=_NOBODYS, asked_at=datetime.min.replace(tzinfo=UTC)
)


class GoogleWatches(Watches[Google, HeldChannel]):
    """Google's channels: there is no renewing, so that a new one is made and then the old one stopped."""

    service = Service.GOOGLE

    @property
    def trouble(self) -> str | None:
        """See Watches."""
        if (trouble := super().trouble) is not None or not self._is_silent:
            return trouble
        return f"Google has made a channel, and nothing comes; {self._reach}"

    @property
    def _is_silent(self) -> bool:
        return any(room.silent for room in self._rooms.values())

    @property
    def _reach(self) -> str:
        return f"let Google reach {self._url}, with a public certificate; until then calendars are polled"

    def heard(self, said: Heard) -> bool:
        """See Watches."""
        if not isinstance(said, google_calendar.Hint):
            return False
        held = self._watches.get(said.channel_id)
        right = (_NOBODYS_CHANNEL if held is None else held.channel).admits(said)
        if held is None or not right:
            return False
        self._remember((said.channel_id, said.first), said)
        return True

    def _take(self, said: Heard) -> None:
        if not isinstance(said, google_calendar.Hint) or (held := self._watches.get(said.channel_id)) is None:
            return
        room = self._rooms.get(held.channel.address.lower())
        known = HeldChannel(channel=held.channel.completed(said), heard=True)
        if known != held:
            self._watches[known.id] = known
            self._write_soon(known.id)
            if room is not None and room.watch is not None and room.watch.id == known.id:
                self._settle(room, known)
            elif (leaving := self._leaving.get(known.id)) is not None:
                leaving.due_at = self._now()  # now it can be stopped
            self._changed.set()
        if room is not None and not said.first:
            self._hint(room.address)

    def _read(self, row: KeptWatch) -> HeldChannel | None:
        try:
            return decode(row.body, HeldChannel)
        except Unreadable:
            return None

    async def _sort_out(self, client: Google, wanted: Mapping[str, str]) -> Mapping[str, HeldChannel]:  # noqa: ARG002 - Google does not say which there are
        now = self._now()
        standing: dict[str, HeldChannel] = {}
        for held in sorted(self._watches.values(), key=lambda held: held.channel.asked_at, reverse=True):
            key = held.channel.address.lower()
            if held.ends_at is not None and held.ends_at <= now:
                await self._forget(held.id)
            elif not held.answered:
                self._leave(held.id, at=held.channel.asked_at + REMEMBERED_UNANSWERED)
            elif held.heard and held.channel.hook == self._url and key in wanted and key not in standing:
                standing[key] = held
            else:
                self._leave(held.id)
        return standing

    async def _have(self, client: Google, room: _Room[HeldChannel]) -> HeldChannel:
        before = room.watch
        if before is not None and self._now() < google_calendar.replace_at(before.channel, luck=0.0):
            if not before.heard:
                self._fell_silent(room)
            return before
        try:
            made = await client.watch(room.address, hook=self._url, keep=self._keep, forget=self._forget)
        except CalendarError:
            if (told := await self._told_of(room)) is None:
                raise
            made = told.channel  # its first word came, although the answer did not
        if before is not None:
            self._leave(before.id)
        return self._watches[made.id]  # it may have said something already

    async def _keep(self, channel: Channel) -> None:
        before = self._watches.get(channel.id)
        if before is not None and before.heard:  # its first word came before the answer
            channel = replace(
                channel,
                resource_id=channel.resource_id or before.channel.resource_id,
                expires_at=channel.expires_at or before.channel.expires_at,
            )
        await self._write(HeldChannel(channel=channel, heard=before is not None and before.heard))

    def _row(self, watch: HeldChannel) -> KeptWatch:
        return KeptWatch(id=watch.id, address=watch.channel.address, body=msgspec.json.encode(watch))

    async def _told_of(self, room: _Room[HeldChannel]) -> HeldChannel | None:
        """The channel that there is although no answer came, if it has said so.

        Those that have not may be there all the same: a few are remembered for a while.
        """
        ours = [held for held in self._watches.values() if held.channel.address == room.address]
        ours.sort(key=lambda held: held.channel.asked_at, reverse=True)
        unanswered = [held for held in ours if not held.answered]
        for held in unanswered[MOST_UNANSWERED:]:
            await self._forget(held.id)
        for held in unanswered[:MOST_UNANSWERED]:
            self._leave(held.id, at=held.channel.asked_at + REMEMBERED_UNANSWERED)
        others = self._leaving.keys() | ({room.watch.id} if room.watch else set())
        return next((held for held in ours if held.answered and held.id not in others), None)

    def _fell_silent(self, room: _Room[HeldChannel]) -> None:
        self._turn(room, pushed=False)
        if not self._is_silent:
            log.warning("pushes.missed", service=self.service, room=room.address, mend=self._reach)
        room.silent = True

    async def _let_go(self, client: Google, id_: str) -> None:
        if (held := self._watches.get(id_)) is not None:
            await client.stop(held.channel, forget=self._forget)

    def _due(self, watch: HeldChannel) -> datetime:
        says_by = watch.channel.asked_at + FIRST_WORD_WITHIN
        if not watch.heard and self._now() < says_by:
            return says_by
        return google_calendar.replace_at(watch.channel, luck=self._luck())

    def _tells(self, watch: HeldChannel) -> bool:
        return watch.heard
