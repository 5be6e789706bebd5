"""Microsoft 365: rooms, their calendars and their subscriptions, by Microsoft Graph."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec
import structlog

from agent.core.events import CalendarEntry
from agent.core.model import EntryId
from cloud_link.calendars import graph, joins
from cloud_link.calendars.decoding import decode
from cloud_link.calendars.errors import (
    CalendarError,
    Conflicting,
    Gone,
    IntegrationError,
    Misconfigured,
    Refused,
    RoomDenied,
    Throttled,
    Transient,
    Unreadable,
    WritingOff,
)
from cloud_link.calendars.graph import About, Place, Subscription
from cloud_link.calendars.tokens import Grant, Tokens, TokenSource, TokenTold, tell_nobody
from cloud_link.calendars.window import Window
from cloud_link.calendars.wire import Answer, Params, Wire, WirePace, retry_after_s

log = structlog.get_logger()

T = TypeVar("T")
Listed = tuple[CalendarEntry, ...] | CalendarError
Tell = Callable[[str, Listed], Awaitable[None]]  # a room's address, and what came of it

ROOMS_AT_ONCE = 100  # a page of the list of rooms; also what Graph gives unasked
HELD_SELECTED = (
    "id,start,end,isAllDay,isCancelled,isDraft,showAs,responseStatus,createdDateTime,transactionId"
)
ENTRIES_AT_ONCE = 100  # two days of a room seldom fill a page
MOST_PAGES = 100
BATCH = 20  # Graph's own limit
BATCHES_UNDER_WAY = 4
PER_MAILBOX = 4  # at once, of one application: Exchange's own limit
SECRET_BYTES = 48  # of a subscription's; as text half of what Graph takes
SUBSCRIBED_FOR = timedelta(minutes=4200)  # below the lowest maximum that was ever in force for Outlook
REFRESH = 401
OK = range(200, 300)


class Cloud(Enum):
    """Where a tenant lives: token endpoint, Graph, and whether it has a list of rooms."""

    GLOBAL = ("https://login.microsoftonline.com", "https://graph.microsoft.com", True)
    US_GOVERNMENT = ("https://login.microsoftonline.us", "https://graph.microsoft.us", False)
    US_DEFENCE = ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us", False)
    CHINA = ("https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn", False)

    def __init__(self, login: str, graph_origin: str, lists_rooms: bool) -> None:  # noqa: FBT001 - an enum's value
        self.login = login
        self.graph = graph_origin
        self.lists_rooms = lists_rooms

    @property
    def scope(self) -> str:
        """What a token is asked for: all permissions of this Graph that were consented to."""
        return f"{self.graph}/.default"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomToList:
    """One room whose calendar is to be read."""

    address: str
    window: Window
    zone: tzinfo  # the room's


def token_source(
    wire: Wire,
    tenant: str,
    grant: Grant,
    *,
    told: TokenTold = tell_nobody,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Tokens:
    """Tokens of a tenant, from the token endpoint that `wire` leads to; its refusals sorted."""
    return Tokens(
        wire,
        token_path(tenant),
        grant,
        refused=lambda answer: graph.token_refused(answer.status, answer.body),
        told=told,
        now=now,
    )


def token_path(tenant: str) -> str:
    """Where a tenant gives tokens; with the origin of its cloud, the audience of what a certificate signs."""
    return f"/{quote(tenant, safe='')}/oauth2/v2.0/token"


class Microsoft:
    """One tenant's rooms. Errors are CalendarErrors, sorted by what to do.

    `organizers` and `bodies` fetch what else stays where it is: organizers' names, and the descriptions of
    entries that have no link to join by, which are searched for one and dropped. `writes`: the site granted
    that we book, decline and delete.
    """

    def __init__(
        self,
        wire: Wire,
        tokens: TokenSource,
        *,
        lists_rooms: bool = True,
        organizers: bool = False,
        bodies: bool = False,
        writes: bool = False,
        pace: WirePace | None = None,
    ) -> None:
        self._wire = wire
        self._tokens = tokens
        self._lists_rooms = lists_rooms
        self._selected = graph.SELECTED + (",organizer" if organizers else "")
        self._bodies = bodies
        self._writes = writes
        self._pace = pace or WirePace()
        self._mailboxes: dict[str, asyncio.Semaphore] = {}
        self._shown: str | None = None  # the token that was given last
        self._searched: dict[str, dict[EntryId, _Searched]] = {}  # by room, as of its last listing

    # ── access ──

    async def sign_in(self) -> None:
        """Ask for a new token, whether or not there is one; CalendarError if none is given."""
        self._forget_token()
        await self._token()

    def forget(self) -> None:
        """Drop the token and all that listings have left, as when consent is gone."""
        self._forget_token()
        self._searched.clear()

    def _forget_token(self) -> None:
        if self._shown is not None:
            self._tokens.forget(self._shown)
            self._shown = None

    async def _token(self) -> str:
        self._shown = await self._tokens.token()
        return self._shown

    # ── rooms ──

    async def rooms(self) -> tuple[Place, ...]:
        """All rooms of the tenant's list, each once, by address.

        Those hidden from the address list are not in it, and new ones come a day or two late. RoomsDenied
        where it may not be read; Misconfigured in a cloud that has none.
        """
        if not self._lists_rooms:
            raise Misconfigured(
                "this national cloud has no list of rooms", mend="link each room by its address"
            )
        found: dict[str, Place] = {}
        counted = 0  # that Graph says there are
        skipped = 0
        path = "/v1.0/places/microsoft.graph.room"
        url = path
        params: Params | None = self._rooms_from(0)
        for _ in range(MOST_PAGES):
            page = await self._page(url, params, about=About.ROOMS)
            counted = max(counted, page.count or 0)
            before = len(found)
            for raw in page.value:
                if (place := graph.place(raw)) is None:
                    log.warning("microsoft.room_skipped")
                else:
                    found[place.address] = place
            skipped += len(page.value)
            if page.next_link is not None:
                url, params = page.next_link, None
            elif len(found) > before and (len(page.value) >= ROOMS_AT_ONCE or skipped < counted):
                url, params = path, self._rooms_from(skipped)  # a next link is often missing
            else:
                break
        if len(found) < counted:
            log.warning("microsoft.rooms_missed", found=len(found), counted=counted)
        return tuple(found[address] for address in sorted(found))

    @staticmethod
    def _rooms_from(skip: int) -> Params:
        return {"$top": str(ROOMS_AT_ONCE), "$count": "true"} | ({"$skip": str(skip)} if skip else {})

    async def room(self, address: str) -> Place | None:
        """What the tenant knows of one room; None if it is not in the list: hidden, perhaps, or new."""
        answer = await self._ask("GET", f"/v1.0/places/{quote(address, safe='@')}")
        try:
            self._check(answer, About.ROOM)
        except RoomDenied as error:
            raise graph.refused(answer.status, answer.headers, answer.body, about=About.ROOMS) from error
        except CalendarError as error:
            if isinstance(error, Transient | IntegrationError):
                raise
            return None
        return graph.place(answer.body)

    # ── truth ──

    async def list_room(self, address: str, window: Window, zone: tzinfo) -> tuple[CalendarEntry, ...]:
        """All that occupies a room in a window, by its start; complete, or an error. `zone` is the room's.

        RoomDenied or RoomUnknown are of this room alone.
        """
        room = RoomToList(address=address, window=window, zone=zone)
        async with self._at(address):
            answer = await self._ask(
                "GET",
                f"/v1.0{_view(room, self._selected)}",
                headers={"Prefer": graph.UTC_AND_LASTING_IDS},
                lane=address.lower(),
            )
        self._check(answer, About.ROOM)
        return await self._entries(room, answer.body)

    async def list_rooms(self, rooms: Iterable[RoomToList], tell: Tell) -> None:
        """The same for many rooms, in batches: `tell` is awaited with what `list_room` would give or raise.

        As they come, in no order. What is wrong with the whole integration is raised, and ends it.
        """
        waiting = deque(_Asked(room=room) for room in {room.address.lower(): room for room in rooms}.values())
        errors: list[CalendarError] = []
        async with asyncio.TaskGroup() as tasks:
            for number in range(min(BATCHES_UNDER_WAY, -(-len(waiting) // BATCH))):
                tasks.create_task(self._work(waiting, tell, errors), name=f"microsoft batches {number}")
        if errors:
            raise errors[0]

    async def _work(self, waiting: deque[_Asked], tell: Tell, errors: list[CalendarError]) -> None:
        try:
            while waiting:
                if batch := self._due(waiting):
                    await self._batch(batch, waiting, tell)
                elif (resting := self._resting_long(waiting)) is not None:
                    rest_s = self._wire.rest_s(resting.lane)
                    throttled = Throttled("Graph said of this mailbox: slow down", retry_after_s=rest_s)
                    await tell(resting.room.address, throttled)
                else:
                    await asyncio.sleep(min(self._wire.rest_s(asked.lane) for asked in waiting))
        except CalendarError as error:
            errors.append(error)
            waiting.clear()  # the other workers finish what they have begun

    def _due(self, waiting: deque[_Asked]) -> list[_Asked]:
        """Take those out that may be asked for now, as many as go into a batch."""
        due: list[_Asked] = []
        for _ in range(len(waiting)):
            asked = waiting.popleft()
            if len(due) < BATCH and self._wire.rest_s(asked.lane) <= 0:
                due.append(asked)
            else:
                waiting.append(asked)
        return due

    def _resting_long(self, waiting: deque[_Asked]) -> _Asked | None:
        """Take one out that is not to be asked for longer than we wait here."""
        for asked in waiting:
            if self._wire.rest_s(asked.lane) > self._pace.patience_s:
                waiting.remove(asked)
                return asked
        return None

    async def _batch(self, batch: Sequence[_Asked], waiting: deque[_Asked], tell: Tell) -> None:
        requests = [
            {
                "id": str(number),
                "method": "GET",
                "url": _view(asked.room, self._selected),
                "headers": {"Prefer": graph.UTC_AND_LASTING_IDS},
            }
            for number, asked in enumerate(batch)
        ]
        async with contextlib.AsyncExitStack() as doors:
            lanes = sorted(asked.lane for asked in batch)  # in order, lest two batches wait for each other
            for lane in lanes:
                await doors.enter_async_context(self._at(lane))
            token = await self._token()
            answer = await self._ask("POST", "/v1.0/$batch", json={"requests": requests}, again=True)
        self._check(answer, About.ROOMS)
        told = {each.id: each for each in answer.read(_BatchAnswer).responses}
        if any(each.status == REFRESH for each in told.values()):
            self._tokens.forget(token)
        for number, asked in enumerate(batch):
            result = await self._one_of_batch(asked, told.get(str(number)))
            if result is None:
                waiting.append(replace(asked, attempts=asked.attempts + 1))
            else:
                await tell(asked.room.address, result)

    async def _one_of_batch(self, asked: _Asked, said: _BatchItem | None) -> Listed | None:
        """What came of one room; None if it is to be asked for again."""
        if said is None:
            error: CalendarError = Transient("Graph left a room out of its answer")
        elif said.status in OK:
            try:
                return await self._entries(asked.room, said.body)
            except IntegrationError:
                raise
            except CalendarError as error_of_room:
                return error_of_room
        else:
            headers = {name.lower(): value for name, value in (said.headers or {}).items()}
            if said.status == REFRESH and asked.attempts == 0:
                return None  # with a new token
            error = graph.refused(
                said.status, headers, bytes(said.body), about=About.ROOM, retry_after_s=retry_after_s(headers)
            )
        if not isinstance(error, Transient):
            return error
        rest_s = error.retry_after_s
        if rest_s is None:
            rest_s = self._pace.first_rest_s * 2**asked.attempts
        self._wire.rest(asked.lane, rest_s)
        return error if rest_s > self._pace.patience_s or asked.attempts + 1 >= self._pace.attempts else None

    async def _entries(self, room: RoomToList, first: msgspec.Raw | bytes) -> tuple[CalendarEntry, ...]:
        """What a calendar view's first page and those after it hold, as the core knows it."""
        events: dict[str, graph.Event] = {}
        unreadable = 0
        async for raw in self._all(first, lane=room.address.lower(), about=About.ROOM):
            if (event := graph.event(raw)) is None:
                unreadable += 1
            else:
                events[event.id] = event  # the same may come on two pages: the later counts
        entries: list[CalendarEntry] = []
        searched: dict[EntryId, _Searched] = {}
        for event in events.values():
            if not event.occupies:
                continue
            entry = graph.entry(event, room.zone)
            if entry is None:
                unreadable += 1
            elif entry.starts_at < entry.ends_at and room.window.overlaps(entry.starts_at, entry.ends_at):
                if self._bodies and entry.meeting.join is None:
                    entry = await self._search(room.address, entry, event.change_key, searched)
                entries.append(entry)
        if self._bodies:
            self._searched[room.address.lower()] = searched
        if unreadable:
            log.warning("microsoft.entries_skipped", room=room.address, count=unreadable)
        return tuple(sorted(entries, key=lambda entry: (entry.starts_at, entry.ends_at, entry.entry_id)))

    async def _search(
        self,
        address: str,
        entry: CalendarEntry,
        change_key: str | None,
        searched: dict[EntryId, _Searched],
    ) -> CalendarEntry:
        """The entry with the link that its description has, if any; searched once for each change of it."""
        before = self._searched.get(address.lower(), {}).get(entry.entry_id)
        if before is None or change_key is None or before.change_key != change_key:
            try:
                join = await self.read_body(address, entry.entry_id, lambda text: joins.find(body=text))
            except IntegrationError:
                raise
            except CalendarError as error:
                log.debug("microsoft.body_unread", room=address, why=str(error))
                return entry
            before = _Searched(change_key=change_key, join=join)
        searched[entry.entry_id] = before
        if before.join is None:
            return entry
        meeting = replace(entry.meeting, platform=before.join.platform, join=before.join.link)
        return replace(entry, meeting=meeting, join_pending=False)

    async def read_body(self, address: str, entry_id: EntryId, read: Callable[[str], T]) -> T:
        """What `read` makes of one entry's description, which is then forgotten."""
        async with self._at(address):
            answer = await self._ask(
                "GET",
                f"{_entry_path(address, entry_id)}?$select=body",
                headers={"Prefer": graph.TEXT_BODY},
                lane=address.lower(),
            )
        self._check(answer, About.ENTRY)
        return read(answer.read(_Described).body.content)

    # ── subscriptions ──

    async def subscribe(
        self, address: str, *, url: str, lifecycle_url: str, client_state: str, until: datetime
    ) -> Subscription:
        """Have changes in a room's calendar told to `url`, which must answer Graph while this runs.

        Graph decides until when; ask for SUBSCRIBED_FOR from now. One of ours in its way is replaced;
        Conflicting if it is another's.
        """
        wanted = {
            "changeType": "created,updated,deleted",
            "notificationUrl": url,
            "lifecycleNotificationUrl": lifecycle_url,
            "resource": f"{graph.mailbox_path(address)}/events",
            "expirationDateTime": graph.timestamp(until),
            "clientState": client_state,
            "latestSupportedTlsVersion": "v1_2",
        }
        try:
            answer = await self._subscription("POST", "", json=wanted)
        except Conflicting:
            in_the_way = [
                each
                for each in await self.subscriptions()
                if each.address == address.lower() and graph.same_door(each.url, url)
            ]
            for each in in_the_way:
                await self.unsubscribe(each.id)
            if not in_the_way:
                raise
            answer = await self._subscription("POST", "", json=wanted)
        return self._made(answer, client_state)

    async def renew(self, subscription: Subscription, *, until: datetime) -> Subscription:
        """The same with a later end; it is reauthorised by that, too. Gone if Graph has forgotten it."""
        answer = await self._subscription(
            "PATCH", f"/{_quoted(subscription.id)}", json={"expirationDateTime": graph.timestamp(until)}
        )
        return self._made(answer, subscription.client_state)

    async def unsubscribe(self, subscription_id: str) -> None:
        """Hear no more; also if Graph has forgotten it already."""
        with contextlib.suppress(Gone):
            await self._subscription("DELETE", f"/{_quoted(subscription_id)}")

    async def subscriptions(self) -> tuple[Subscription, ...]:
        """All of this application to rooms' entries, also other agents'; without their secrets."""
        answer = await self._subscription("GET", "")
        found = [
            graph.subscription(raw)
            async for raw in self._all(answer.body, lane=None, about=About.SUBSCRIPTION)
        ]
        return tuple(each for each in found if each is not None)

    async def _subscription(self, method: str, path: str, *, json: object = None) -> Answer:
        answer = await self._ask(
            method,
            f"/v1.0/subscriptions{path}",
            json=json,
            headers={"Prefer": graph.LASTING_IDS},
            lane="subscriptions",
        )
        self._check(answer, About.SUBSCRIPTION)
        return answer

    @staticmethod
    def _made(answer: Answer, client_state: str | None) -> Subscription:
        made = graph.subscription(answer.body, client_state=client_state)
        if made is None:
            raise Unreadable("Graph answered with something that is no subscription")
        return made

    # ── writing ──

    async def book(
        self,
        address: str,
        *,
        starts_at: datetime,
        ends_at: datetime,
        title: str | None,
        organizer: str | None,
        request_id: str,
    ) -> EntryId:
        """Book the room as itself; the same `request_id` books once, however often it is asked.

        Exchange looks for no conflicts in what a mailbox writes into its own calendar: what is there already
        is Refused here, and of two that come at once the earlier one stays. WritingOff unless `writes`.
        `organizer` is who it is for, in words.
        """
        self._may_write()
        span = Window(starts_at=starts_at, ends_at=ends_at)
        there = await self._in_span(address, span)
        mine = next((each for each in there if each.transaction_id == request_id), None)
        if mine is not None:
            return await self._unless_second(address, EntryId(mine.id), there)
        if there:
            raise _taken()
        entry: dict[str, object] = {
            "subject": title or "",
            "start": {"dateTime": graph.timestamp(starts_at).removesuffix("Z"), "timeZone": "UTC"},
            "end": {"dateTime": graph.timestamp(ends_at).removesuffix("Z"), "timeZone": "UTC"},
            "showAs": "busy",
            "isReminderOn": False,
            "transactionId": request_id,
        }
        if organizer:
            entry["body"] = {"contentType": "text", "content": organizer}
        answer = await self._write(
            "POST", address, f"/v1.0{graph.mailbox_path(address)}/events", json=entry, again=True
        )
        made = EntryId(answer.read(_Made).id)
        try:
            there = await self._in_span(address, span)
        except CalendarError as error:
            log.warning("microsoft.booking_unchecked", room=address, why=str(error))
            return made
        return await self._unless_second(address, made, there)

    async def _in_span(self, address: str, span: Window) -> tuple[_Held, ...]:
        """What keeps the room in a span, as it is this very moment."""
        query = {
            "startDateTime": graph.timestamp(span.starts_at),
            "endDateTime": graph.timestamp(span.ends_at),
            "$top": str(ENTRIES_AT_ONCE),
            "$select": HELD_SELECTED,
        }
        path = f"/v1.0{graph.mailbox_path(address)}/calendarView?{urlencode(query, safe='$,:')}"
        answer = await self._write("GET", address, path, about=About.ROOM)
        found: list[_Held] = []
        async for raw in self._all(answer.body, lane=address.lower(), about=About.ROOM):
            try:
                held = decode(raw, _Held)
            except Unreadable:
                continue
            entry = graph.entry(held, UTC)
            if entry is None or not held.occupies:
                continue
            if entry.all_day or span.overlaps(entry.starts_at, entry.ends_at):
                found.append(held)
        return tuple(found)

    async def _unless_second(self, address: str, made: EntryId, there: Iterable[_Held]) -> EntryId:
        """What roomd made; deleted and Refused if something was there before it."""
        own = next((each for each in there if each.id == made), None)
        if own is None or not any(each.order < own.order for each in there):
            return made
        log.info("microsoft.booking_doubled", room=address)
        try:
            await self._write("DELETE", address, _entry_path(address, made))
        except Gone:
            pass
        except CalendarError as error:
            raise Refused(
                f"something else was booked at the same moment, and roomd's entry stays beside it: {error}",
                mend="delete roomd's entry in the room's calendar",
            ) from None
        raise _taken()

    async def extend(self, address: str, entry_id: EntryId, *, ends_at: datetime) -> None:
        """Let an entry end at another time, if nothing else is there by then.

        WritingOff unless `writes`; Gone if there is none.
        """
        self._may_write()
        answer = await self._write("GET", address, f"{_entry_path(address, entry_id)}?$select=id,start,end")
        before = graph.event(answer.body)
        entry = None if before is None else graph.entry(before, UTC)
        if entry is not None and entry.ends_at < ends_at:
            added = Window(starts_at=entry.ends_at, ends_at=ends_at)
            if any(each.id != entry_id for each in await self._in_span(address, added)):
                raise _taken()
        end = {"dateTime": graph.timestamp(ends_at).removesuffix("Z"), "timeZone": "UTC"}
        await self._write("PATCH", address, _entry_path(address, entry_id), json={"end": end})

    async def release(self, address: str, entry_id: EntryId) -> None:
        """Free the room: decline what others organize, delete what the room itself does, or what is left.

        Of a series this one occurrence. Done also if the entry is gone already. WritingOff unless `writes`.
        """
        self._may_write()
        path = _entry_path(address, entry_id)
        with contextlib.suppress(Gone):
            answer = await self._write("GET", address, f"{path}?$select=isOrganizer,type")
            held = answer.read(_Organized)
            if held.type == "seriesMaster":
                raise Refused(
                    "it has become a series meanwhile", mend="release the occurrence that is listed now"
                )
            if not held.is_organizer:
                declined = {"Comment": "", "SendResponse": True}  # written as published, not as in examples
                with contextlib.suppress(Refused):  # nobody asked for a response, say
                    await self._write("POST", address, f"{path}/decline", json=declined)
                    return
            await self._write("DELETE", address, path)

    def _may_write(self) -> None:
        if not self._writes:
            raise WritingOff("writing to Microsoft 365 is off")

    async def _write(
        self,
        method: str,
        address: str,
        path: str,
        *,
        json: object = None,
        again: bool | None = None,
        about: About = About.ENTRY,
    ) -> Answer:
        async with self._at(address):
            answer = await self._ask(
                method,
                path,
                json=json,
                headers={"Prefer": graph.UTC_AND_LASTING_IDS},
                again=again,
                lane=address.lower(),
            )
        self._check(answer, about)
        return answer

    # ── asking ──

    @contextlib.asynccontextmanager
    async def _at(self, address: str) -> AsyncIterator[None]:
        """One of the few who may be at a mailbox at once."""
        door = self._mailboxes.setdefault(address.lower(), asyncio.Semaphore(PER_MAILBOX))
        async with door:
            yield

    async def _ask(
        self,
        method: str,
        url: str,
        *,
        params: Params | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        again: bool | None = None,
        lane: str | None = None,
    ) -> Answer:
        """Graph's answer; with a new token if it does not take the one that we have."""
        refreshed = False
        while True:
            token = await self._token()
            answer = await self._wire.ask(
                method,
                url,
                token=token,
                params=params,
                json=json,
                headers={"client-request-id": str(uuid.uuid4()), **(headers or {})},
                again=again,
                lane=lane,
            )
            if answer.status != REFRESH or refreshed:
                return answer
            self._tokens.forget(token)
            refreshed = True

    def _check(self, answer: Answer, about: About) -> None:
        if answer.status not in OK:
            raise graph.refused(answer.status, answer.headers, answer.body, about=about)

    async def _page(
        self, url: str, params: Params | None, *, about: About, lane: str | None = None
    ) -> graph.Page:
        answer = await self._ask(
            "GET", url, params=params, headers={"Prefer": graph.UTC_AND_LASTING_IDS}, lane=lane
        )
        self._check(answer, about)
        return answer.read(graph.Page)

    async def _all(
        self, first: msgspec.Raw | bytes, *, lane: str | None, about: About
    ) -> AsyncIterator[msgspec.Raw]:
        """The items of a page and of those that it leads to."""
        try:
            page = decode(first, graph.Page)
        except Unreadable:
            raise Unreadable("a list that cannot be understood") from None
        for _ in range(MOST_PAGES):
            for raw in page.value:
                yield raw
            if (link := page.next_link) is None:
                return
            async with contextlib.nullcontext() if lane is None else self._at(lane):
                page = await self._page(link, None, about=about, lane=lane)
        raise Unreadable("a list without an end")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    room: RoomToList
    attempts: int = 0

    @property
    def lane(self) -> str:
        return self.room.address.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Searched:
    """What a description held, when it was searched."""

    change_key: str | None
    join: joins.Join | None


class _BatchItem(msgspec.Struct):
    id: str
    status: int
    headers: dict[str, str] | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")


class _BatchAnswer(msgspec.Struct):
    responses: list[_BatchItem]


class _Body(msgspec.Struct):
    content: str = ""


class _Described(msgspec.Struct):
    body: _Body = msgspec.field(default_factory=_Body)


class _Made(msgspec.Struct):
    id: str


class _Held(graph.Event, rename="camel"):
    """An entry that is in the way, or ours."""

    created_date_time: str | None = None
    transaction_id: str | None = None  # of what an application made

    @property
    def order(self) -> tuple[str, str]:
        """Who came first. What matters most is that all who ask see the same order."""
        return self.created_date_time or "", self.id


def _taken() -> Refused:
    return Refused("something else is booked in this time", mend="choose another time or another room")


class _Organized(msgspec.Struct, rename="camel"):
    is_organizer: bool = False
    type: str | None = None


def _view(room: RoomToList, selected: str) -> str:
    """Where a room's window is to be read, below the version."""
    query = {
        "startDateTime": graph.timestamp(room.window.starts_at),
        "endDateTime": graph.timestamp(room.window.ends_at),
        "$top": str(ENTRIES_AT_ONCE),
        "$select": selected,
    }
    return f"{graph.mailbox_path(room.address)}/calendarView?{urlencode(query, safe='$,:')}"


def _entry_path(address: str, entry_id: EntryId) -> str:
    return f"/v1.0{graph.mailbox_path(address)}/events/{_quoted(entry_id)}"


def _quoted(name: str) -> str:
    return quote(name, safe="")
