"""Google Workspace: rooms, calendars and channels, by a service account that the domain delegates to."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from types import MappingProxyType, TracebackType
from typing import Final, Protocol, Self
from urllib.parse import quote, urlsplit

import msgspec
import structlog

from agent.core.events import CalendarEntry
from agent.core.model import EntryId
from cloud_link.calendars import google_calendar, joins
from cloud_link.calendars.errors import (
    CalendarError,
    Conflicting,
    Gone,
    IntegrationError,
    Misconfigured,
    Refused,
    Throttled,
    Transient,
    Unreadable,
    WritingOff,
)
from cloud_link.calendars.google_calendar import (
    AUDIENCE,
    SCOPES,
    About,
    AccessRule,
    Building,
    Channel,
    Customer,
    Event,
    Feature,
    Key,
    Resource,
    Vacation,
    Writing,
    acl_path,
    digest_of,
    event_id,
    events_path,
    moment,
)
from cloud_link.calendars.hints import GOOGLE_QUOTA, Quota, Spent, bounded, free_at, spend
from cloud_link.calendars.tokens import Tokens, TokenTold, service_account, tell_nobody
from cloud_link.calendars.window import Window
from cloud_link.calendars.wire import Answer, Params, Wire, never

log = structlog.get_logger()

RESOURCES_AT_ONCE: Final = 500  # the Directory's own limit
EVENTS_AT_ONCE: Final = 250  # two days of a room seldom fill a page
RULES_AT_ONCE: Final = 250
CALENDARS_AT_ONCE: Final = 50  # that free/busy takes
MOST_PAGES: Final = 100
LISTINGS: Final = 2  # one that is gone in the middle is begun anew, once
CHANNEL_LASTS: Final = timedelta(days=7)  # the longest that Google grants; it says how long it really is
MOST_USERS: Final = 256  # whose tokens are remembered
UNSIGNED: Final = 401
OK: Final = range(200, 300)

Keep = Callable[[Channel], Awaitable[None]]  # puts a channel on disk, new or with more known of it
Forget = Callable[[str], Awaitable[None]]  # takes the channel with this id off the disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Where Google's APIs are."""

    calendar: str = "https://www.googleapis.com"
    directory: str = "https://admin.googleapis.com"
    mail: str = "https://gmail.googleapis.com"


GOOGLE: Final = Origins()


class Dial(Protocol):
    """Opens the line to one origin; `Wire` itself, or with an authority or a proxy that it should use."""

    def __call__(self, origin: str, *, throttled: Callable[[Answer], bool] = never) -> Wire:
        """A wire to `origin`."""
        ...


class Google:
    """One domain's rooms, in the name of `subject`, who may see them; use it with `async with`.

    Errors are CalendarErrors, sorted by what to do. `scopes` are asked for in place of the least ones, where
    the domain granted others. `organizers` and `bodies` fetch what else stays where it is: organizers' names,
    and the descriptions of entries that have no link to join by, which are searched for one and dropped.
    `writes` are what the site granted and switched on; what is booked is organized by `books_as`, as a room
    cannot organize anything. `on_token` is told of the tokens that calendars are read with, and of no others.
    """

    def __init__(  # noqa: PLR0913 - all that a site may choose
        self,
        key: Key,
        *,
        subject: str,
        customer: str = "my_customer",
        scopes: Mapping[Feature, str] = MappingProxyType({}),
        organizers: bool = False,
        bodies: bool = False,
        writes: Collection[Writing] = (),
        books_as: str | None = None,
        quota: Quota = GOOGLE_QUOTA,
        origins: Origins = GOOGLE,
        dial: Dial = Wire,
        on_token: TokenTold = tell_nobody,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._key = key
        self._subject = subject
        self._customer = customer
        self._scopes = {**SCOPES, **scopes}
        self._organizers = organizers
        self._bodies = bodies
        self._writes = frozenset(writes)
        self._books_as = books_as or subject
        self._quota = quota
        self._on_token = on_token
        self._now = now
        self._rest = rest
        self._calendar = dial(origins.calendar, throttled=_throttled)
        self._directory = dial(origins.directory, throttled=_throttled)
        self._mail = dial(origins.mail, throttled=_throttled)
        endpoint = urlsplit(key.token_uri)
        self._token_wire = dial(f"{endpoint.scheme}://{endpoint.netloc}")
        self._token_path = endpoint.path
        self._tokens: dict[tuple[Feature, str], Tokens] = {}
        self._lines: dict[str, _Line] = {}  # by user
        self._zones: dict[str, str] = {}  # by room: what its calendar takes for midnight
        self._searched: dict[str, dict[EntryId, _Searched]] = {}  # by room, as of its last listing
        self._doors = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for wire in (self._calendar, self._directory, self._mail, self._token_wire):
            await self._doors.enter_async_context(wire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._doors.aclose()

    async def sign_in(self) -> None:
        """Ask for a new token to read calendars with, whether or not there is one; CalendarError if not."""
        self._tokens.pop((Feature.CALENDAR, self._subject), None)
        await self._tokens_of(Feature.CALENDAR, self._subject).token()

    def forget(self) -> None:
        """Drop all tokens and all that listings have left, as when consent is gone."""
        self._tokens.clear()
        self._zones.clear()
        self._searched.clear()

    # ── the Directory ──

    async def rooms(self) -> tuple[Resource, ...]:
        """All that can be booked, rooms or not, by address. RoomsDenied where it may not be read."""
        found: dict[str, Resource] = {}
        path = f"/admin/directory/v1/customer/{self._customer}/resources/calendars"
        asked = {"maxResults": str(RESOURCES_AT_ONCE), "fields": google_calendar.ROOM_FIELDS}
        async for page in self._pages(Feature.ROOMS, path, asked, about=About.DIRECTORY):
            for raw in page.items:
                if (resource := google_calendar.resource(raw)) is None:
                    log.warning("google.room_skipped")
                else:
                    found[resource.address] = resource
        return tuple(found[address] for address in sorted(found))

    async def buildings(self) -> tuple[Building, ...]:
        """The buildings that rooms are in. RoomsDenied where they may not be read."""
        path = f"/admin/directory/v1/customer/{self._customer}/resources/buildings"
        asked = {"maxResults": str(RESOURCES_AT_ONCE), "fields": google_calendar.BUILDING_FIELDS}
        found = [
            google_calendar.building(raw)
            async for page in self._pages(Feature.ROOMS, path, asked, about=About.DIRECTORY)
            for raw in page.buildings
        ]
        return tuple(each for each in found if each is not None)

    async def customer(self) -> Customer:
        """Whose Workspace it is."""
        path = f"/admin/directory/v1/customers/{self._customer}"
        asked = {"fields": google_calendar.CUSTOMER_FIELDS}
        answer = await self._ask(Feature.CUSTOMER, "GET", path, params=asked, about=About.DIRECTORY)
        said = answer.read(google_calendar.CustomerSaid)
        return Customer(customer_id=said.id, domain=said.customer_domain)

    # ── truth ──

    async def list_room(self, address: str, window: Window, zone: tzinfo) -> tuple[CalendarEntry, ...]:
        """All that occupies a room in a window, by its start; complete, or an error. `zone` is the room's.

        RoomDenied or RoomUnknown are of this room alone.
        """
        for _ in range(LISTINGS):
            with suppress(Gone):  # a page that has lapsed: begin anew, and show nothing of what came so far
                return await self._list(address, window, zone)
        raise Transient("Google lets go of the listing before it is whole")

    async def _list(self, address: str, window: Window, zone: tzinfo) -> tuple[CalendarEntry, ...]:
        wide = self._zones.get(address, str(zone)) != str(zone)
        events = await self._events(address, window, wide=wide)
        if not wide and self._zones.get(address, str(zone)) != str(zone):
            events = await self._events(address, window, wide=True)
        return await self._entries(address, events, window, zone)

    async def _events(self, address: str, window: Window, *, wide: bool) -> dict[str, Event]:
        """What a calendar has in a window, by id; `wide`: also what begins or ends a day off.

        Google takes all-day events for days of the calendar's zone, which may not be the room's.
        """
        margin = google_calendar.DAY_OF_ANY_ZONE if wide else timedelta()
        asked = {
            "singleEvents": "true",
            "showDeleted": "false",
            "timeMin": moment(window.starts_at - margin),
            "timeMax": moment(window.ends_at + margin),
            "maxResults": str(EVENTS_AT_ONCE),
            "fields": google_calendar.listing_fields(organizers=self._organizers),
        }
        return await self._all_events(address, events_path(address), asked, about=About.ROOM)

    async def _all_events(self, address: str, path: str, asked: Params, *, about: About) -> dict[str, Event]:
        found: dict[str, Event] = {}
        unreadable = 0
        async for page in self._pages(Feature.CALENDAR, path, asked, about=about):
            if not page.time_zone:  # another's tree, of a proxy say, must not pass for an empty calendar
                raise Unreadable("a list of events that is no calendar's")
            self._zones[address] = page.time_zone
            for raw in page.items:
                if (event := google_calendar.event(raw)) is None:
                    unreadable += 1
                else:
                    found[event.id] = event  # the same may come on two pages: the later counts
        if unreadable:
            log.warning("google.events_skipped", room=address, count=unreadable)
        return found

    async def _entries(
        self, address: str, events: Mapping[str, Event], window: Window, zone: tzinfo
    ) -> tuple[CalendarEntry, ...]:
        entries: list[CalendarEntry] = []
        searched: dict[EntryId, _Searched] = {}
        unreadable = 0
        for event in events.values():
            if not event.occupies:
                continue
            entry = google_calendar.entry(event, zone)
            if entry is None:
                unreadable += 1
            elif window.overlaps(entry.starts_at, entry.ends_at):
                if self._bodies and entry.meeting.join is None:
                    entry = await self._search(address, entry, event.updated, searched)
                entries.append(entry)
        self._searched[address] = searched
        if unreadable:
            log.warning("google.entries_skipped", room=address, count=unreadable)
        return tuple(sorted(entries, key=lambda entry: (entry.starts_at, entry.ends_at, entry.entry_id)))

    async def _search(
        self, address: str, entry: CalendarEntry, updated: str | None, searched: dict[EntryId, _Searched]
    ) -> CalendarEntry:
        """The entry with the link that its description has, if any; searched once for each change of it."""
        before = self._searched.get(address, {}).get(entry.entry_id)
        if before is None or updated is None or before.updated != updated:
            try:
                before = _Searched(updated=updated, join=await self._link_in_description(address, entry))
            except IntegrationError:
                raise
            except CalendarError as error:
                log.debug("google.description_unread", room=address, why=str(error))
                return entry
        searched[entry.entry_id] = before
        return google_calendar.joined(entry, before.join)

    async def _link_in_description(self, address: str, entry: CalendarEntry) -> joins.Join | None:
        """The link in an entry's description, which is forgotten when this returns."""
        answer = await self._ask(
            Feature.CALENDAR,
            "GET",
            events_path(address, entry.entry_id),
            params={"fields": "description"},
            about=About.ENTRY,
        )
        return joins.find(body=answer.read(google_calendar.Description).description)

    async def get(self, address: str, entry_id: EntryId, zone: tzinfo) -> CalendarEntry | None:
        """One entry of a room; None if it does not occupy the room any more. Gone if it never was there."""
        answer = await self._ask(
            Feature.CALENDAR,
            "GET",
            events_path(address, entry_id),
            params={"fields": google_calendar.event_fields(organizers=self._organizers)},
            about=About.ENTRY,
        )
        event = google_calendar.event(answer.body)
        if event is None:
            raise Unreadable("an event that cannot be understood")
        return google_calendar.entry(event, zone) if event.occupies else None

    async def instances(
        self, address: str, series_id: EntryId, window: Window, zone: tzinfo
    ) -> tuple[CalendarEntry, ...]:
        """A series as it occupies a room in a window: its occurrences. Gone if there is no such series."""
        asked = {
            "timeMin": moment(window.starts_at),
            "timeMax": moment(window.ends_at),
            "maxResults": str(EVENTS_AT_ONCE),
            "fields": google_calendar.listing_fields(organizers=self._organizers),
        }
        path = events_path(address, series_id, "instances")
        events = await self._all_events(address, path, asked, about=About.ENTRY)
        found = [google_calendar.entry(event, zone) for event in events.values() if event.occupies]
        entries = [entry for entry in found if entry and window.overlaps(entry.starts_at, entry.ends_at)]
        return tuple(sorted(entries, key=lambda entry: (entry.starts_at, entry.ends_at, entry.entry_id)))

    async def free_busy(
        self, addresses: Sequence[str], window: Window
    ) -> Mapping[str, tuple[Window, ...] | CalendarError]:
        """When each calendar is taken in a window, spans that touch joined; or why that is not known."""
        found: dict[str, tuple[Window, ...] | CalendarError] = {}
        for first in range(0, len(addresses), CALENDARS_AT_ONCE):
            some = addresses[first : first + CALENDARS_AT_ONCE]
            asked = {
                "timeMin": moment(window.starts_at),
                "timeMax": moment(window.ends_at),
                "calendarExpansionMax": CALENDARS_AT_ONCE,
                "items": [{"id": address} for address in some],
            }
            answer = await self._ask(
                Feature.CALENDAR,
                "POST",
                "/calendar/v3/freeBusy",
                json=asked,
                again=True,
                about=About.USER,
            )
            said = answer.read(google_calendar.FreeBusySaid)
            found |= {address: google_calendar.busy(said, address) for address in some}
        return found

    # ── channels ──

    async def watch(self, address: str, *, hook: str, keep: Keep, forget: Forget) -> Channel:
        """Have changes in a room's calendar told to `hook`, an https address that Google can reach.

        `keep` is awaited before Google is asked, and again with what it answered: a channel that is not
        remembered cannot be stopped. If Google may have made it although no answer came, it stays kept, and
        its first notification completes it (`Channel.completed`).
        """
        token = secrets.token_urlsafe(32)
        channel = Channel(
            id=secrets.token_hex(16),  # never again the same
            address=address,
            hook=hook,
            token_digest=digest_of(token),
            asked_at=self._now(),
        )
        await keep(channel)
        asked = {
            "id": channel.id,
            "type": "web_hook",
            "address": hook,
            "token": token,
            "params": {"ttl": str(int(CHANNEL_LASTS.total_seconds()))},
        }
        try:
            answer = await self._ask(
                Feature.CALENDAR,
                "POST",
                events_path(address, "watch"),
                json=asked,
                about=About.ROOM,
                patient=True,
            )
        except CalendarError as error:
            if isinstance(error, Throttled) or not isinstance(error, Transient):
                await forget(channel.id)  # else nobody knows
            raise
        said = answer.read(google_calendar.ChannelSaid)
        made = replace(
            channel,
            resource_id=said.resource_id,
            expires_at=said.expires_at or channel.asked_at + CHANNEL_LASTS,
        )
        await keep(made)
        return made

    async def stop(self, channel: Channel, *, forget: Forget) -> None:
        """Hear no more of a channel; also if Google has none of that name any more.

        One whose answer never came cannot be stopped. It is forgotten when its first word has not come
        either: then it is not there, or cannot reach us.
        """
        if channel.resource_id is not None:
            asked = {"id": channel.id, "resourceId": channel.resource_id}
            path = "/calendar/v3/channels/stop"
            with suppress(Gone):
                await self._ask(
                    Feature.CALENDAR,
                    "POST",
                    path,
                    json=asked,
                    again=True,
                    about=About.CHANNEL,
                    patient=True,
                )
        elif self._now() < channel.asked_at + google_calendar.FIRST_WORD_WITHIN:
            return
        await forget(channel.id)

    # ── writing ──

    async def insert(
        self,
        address: str,
        *,
        starts_at: datetime,
        ends_at: datetime,
        title: str | None,
        organizer: str | None,
        request_id: str,
    ) -> EntryId:
        """Invite the room to an event of whom roomd books as; the same `request_id` does so once.

        `organizer` is who it is for, in words. Whether the room says yes is to be seen in its listing, within
        seconds. WritingOff unless `writes` has INSERT.
        """
        self._may(Writing.INSERT)
        made = event_id(request_id)
        event: dict[str, object] = {
            "id": made,
            "summary": title or "",
            "start": {"dateTime": moment(starts_at)},
            "end": {"dateTime": moment(ends_at)},
            "attendees": [{"email": address, "resource": True}],
            "reminders": {"useDefault": False},
            "extendedProperties": {"private": {google_calendar.MARK: made}},
        }
        if organizer:
            event["description"] = organizer
        with suppress(Conflicting):  # it was made before, and the answer was lost
            await self._write(
                "POST",
                events_path("primary"),
                user=self._books_as,
                params={"sendUpdates": "none", "fields": "id"},
                json=event,
                again=True,
            )
        return EntryId(made)

    async def quick_add(self, text: str) -> EntryId:
        """An event out of a sentence ("Lunch at noon"), in the calendar of whom roomd books as.

        Asked once: an answer that is lost may have made it. WritingOff unless `writes` has QUICK_ADD.
        """
        self._may(Writing.QUICK_ADD)
        answer = await self._write(
            "POST",
            events_path("primary", "quickAdd"),
            user=self._books_as,
            params={"text": text, "fields": "id"},
        )
        return EntryId(answer.read(_Made).id)

    async def patch(
        self,
        address: str,
        entry_id: EntryId,
        *,
        title: str | None = None,
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
    ) -> None:
        """Change what roomd booked the room for, and nothing else of it. Gone if it booked no such thing.

        WritingOff unless `writes` has PATCH.
        """
        self._may(Writing.PATCH)
        if not await self._booked(address, entry_id):
            raise Gone("roomd has booked no such thing")
        changes: dict[str, object] = {}
        if title is not None:
            changes["summary"] = title
        if starts_at is not None:
            changes["start"] = {"dateTime": moment(starts_at)}
        if ends_at is not None:
            changes["end"] = {"dateTime": moment(ends_at)}
        await self._write(
            "PATCH",
            events_path("primary", entry_id),
            user=self._books_as,
            params={"sendUpdates": "none", "fields": "id"},
            json=changes,
        )

    async def delete(self, address: str, entry_id: EntryId) -> None:
        """Free the room: delete what roomd booked; all else the room declines by deleting its own copy.

        Nothing else is touched, whoever's it is: of a series this one occurrence. Done also if the entry is
        gone already. Refused where it is in the room's calendar alone, with guests who would lose it.
        WritingOff unless `writes` has DELETE.
        """
        self._may(Writing.DELETE)
        if await self._booked(address, entry_id):
            with suppress(Gone):
                await self._delete("primary", entry_id, user=self._books_as)
                return  # the room's copy follows by itself
        try:
            copy = await self._held(address, entry_id, user=self._subject)
        except Gone:  # or the calendar is not to be seen any more, which is no release
            await self._ask(
                Feature.WRITING,
                "GET",
                events_path(address),
                params={"maxResults": "1", "fields": "timeZone"},
                about=About.ROOM,
            )
            return
        if not copy.stands:
            return
        if copy.is_series:
            raise Refused(
                "it has become a series meanwhile", mend="release the occurrence that is listed now"
            )
        if copy.is_organizer and copy.has_guests(address):
            raise Refused(
                f"it was made in the calendar of {address} itself, and its guests would lose it",
                mend="have who made it give the room back",
            )
        with suppress(Gone):
            await self._delete(address, entry_id, user=self._subject)

    async def _booked(self, address: str, entry_id: EntryId) -> bool:
        """Whether it is as roomd booked it: once, for this room, and for nobody who was invited since.

        An entry that cannot be roomd's by its id is not looked up: whom roomd books as is a person, too.
        """
        if not google_calendar.may_be_booked(entry_id):
            return False
        try:
            held = await self._held("primary", entry_id, user=self._books_as)
        except Gone:
            return False
        return held.stands and held.is_booked and not held.is_series and not held.has_guests(address)

    async def _held(self, calendar: str, entry_id: EntryId, *, user: str) -> google_calendar.Held:
        answer = await self._write(
            "GET",
            events_path(calendar, entry_id),
            user=user,
            params={"fields": google_calendar.HELD_FIELDS},
        )
        return answer.read(google_calendar.Held)

    async def _delete(self, calendar: str, entry_id: EntryId, *, user: str) -> None:
        await self._write(
            "DELETE", events_path(calendar, entry_id), user=user, params={"sendUpdates": "none"}
        )

    def _may(self, writing: Writing) -> None:
        if writing not in self._writes:
            raise WritingOff(
                f"writing to Google is off ({writing})",
                mend=f"switch on {writing} for Google in the configuration, and have the domain delegate "
                f"{self._scopes[_needed(writing)]} to the service account",
            )

    async def _write(
        self,
        method: str,
        path: str,
        *,
        user: str,
        params: Params | None = None,
        json: object = None,
        again: bool | None = None,
    ) -> Answer:
        return await self._ask(
            Feature.WRITING,
            method,
            path,
            user=user,
            params=params,
            json=json,
            again=again,
            about=About.ENTRY,
        )

    # ── writing, as the core asks for it ──

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
        """Book the room; the same `request_id` books once, however often it is asked. See `insert`."""
        return await self.insert(
            address,
            starts_at=starts_at,
            ends_at=ends_at,
            title=title,
            organizer=organizer,
            request_id=request_id,
        )

    async def extend(self, address: str, entry_id: EntryId, *, ends_at: datetime) -> None:
        """Let an entry end at another time. Refused if roomd has not booked it. See `patch`."""
        try:
            await self.patch(address, entry_id, ends_at=ends_at)
        except Gone:
            why = f"somebody else organizes what {address} is booked for, others were invited, or it is gone"
            raise Refused(why, mend="have its organizer extend it") from None

    async def release(self, address: str, entry_id: EntryId) -> None:
        """Free the room. See `delete`."""
        await self.delete(address, entry_id)

    # ── who may see a calendar ──

    async def access(self, address: str) -> tuple[AccessRule, ...]:
        """Who may do what with a calendar."""
        asked = {"maxResults": str(RULES_AT_ONCE), "fields": "nextPageToken,items(id,role,scope)"}
        found = [
            google_calendar.access_rule(raw)
            async for page in self._pages(Feature.ACCESS, acl_path(address), asked, about=About.ROOM)
            for raw in page.items
        ]
        return tuple(each for each in found if each is not None)

    async def share(self, address: str, rule: AccessRule) -> AccessRule:
        """Let somebody see or change a calendar, without a mail. WritingOff unless `writes` has ACL."""
        self._may(Writing.ACL)
        scope = {"type": rule.kind} | ({"value": rule.who} if rule.who is not None else {})
        answer = await self._ask(
            Feature.SHARING,
            "POST",
            acl_path(address),
            params={"sendNotifications": "false"},
            json={"role": rule.role, "scope": scope},
            again=True,
            about=About.ROOM,
        )
        made = google_calendar.access_rule(answer.body)
        if made is None:
            raise Unreadable("a rule that cannot be understood")
        return made

    async def unshare(self, address: str, rule_id: str) -> None:
        """Take a rule back; also if it is gone already. WritingOff unless `writes` has ACL."""
        self._may(Writing.ACL)
        with suppress(Gone):
            await self._ask(Feature.SHARING, "DELETE", acl_path(address, rule_id), about=About.ENTRY)

    # ── users ──

    async def setting(self, user: str, name: str) -> str:
        """One of a user's settings: `timezone`, `locale`, … Gone if there is none of that name."""
        path = f"/calendar/v3/users/me/settings/{quote(name, safe='')}"
        answer = await self._ask(
            Feature.CALENDAR, "GET", path, user=user, params={"fields": "value"}, about=About.USER
        )
        return answer.read(google_calendar.SettingSaid).value

    async def vacation(self, user: str) -> Vacation:
        """Whether a user's mail answers by itself, and when; what it answers is not fetched."""
        answer = await self._ask(
            Feature.VACATION,
            "GET",
            "/gmail/v1/users/me/settings/vacation",
            user=user,
            params={"fields": google_calendar.VACATION_FIELDS},
            about=About.USER,
        )
        return google_calendar.vacation(answer.read(google_calendar.VacationSaid))

    # ── asking ──

    async def _pages(
        self, feature: Feature, path: str, asked: Params, *, about: About
    ) -> AsyncIterator[google_calendar.Page]:
        """All pages of a list; some may be empty, and not the last."""
        token: str | None = None
        for _ in range(MOST_PAGES):
            params = asked if token is None else {**asked, "pageToken": token}
            answer = await self._ask(feature, "GET", path, params=params, about=about)
            page = answer.read(google_calendar.Page)
            yield page
            token = page.next_page_token
            if not token:
                return
        raise Unreadable("a list without an end")

    async def _ask(  # noqa: PLR0913 - all that a request may have
        self,
        feature: Feature,
        method: str,
        path: str,
        *,
        about: About,
        user: str | None = None,
        params: Params | None = None,
        json: object = None,
        again: bool | None = None,
        patient: bool = False,
    ) -> Answer:
        """An API's answer, when it is this user's turn; with a new token if it does not take ours.

        `patient`: only when nobody else waits who asks in the same name, so that rooms are read first.
        """
        user = user or self._subject
        tokens = self._tokens_of(feature, user)
        wire = self._wire_to(path)
        for last in (False, True):
            await self._turn(user, patient=patient)
            token = await tokens.token()
            answer = await wire.ask(
                method, path, token=token, params=params, json=json, again=again, lane=user
            )
            if answer.status != UNSIGNED or last or google_calendar.not_called(answer.body):
                break
            tokens.forget(token)
        else:
            raise AssertionError  # the last one breaks
        if answer.status not in OK:
            raise google_calendar.refused(answer.status, answer.body, about=about)
        return answer

    def _wire_to(self, path: str) -> Wire:
        if path.startswith("/admin/"):
            return self._directory
        return self._mail if path.startswith("/gmail/") else self._calendar

    def _tokens_of(self, feature: Feature, user: str) -> Tokens:
        if (known := self._tokens.get((feature, user))) is not None:
            return known
        while len(self._tokens) >= MOST_USERS:
            del self._tokens[next(iter(self._tokens))]
        grant = service_account(
            self._key.email,
            key=self._key.pem,
            key_id=self._key.key_id,
            audience=AUDIENCE,
            scopes=[self._scopes[feature]],
            subject=user,
        )
        made = Tokens(
            self._token_wire,
            self._token_path,
            grant,
            refused=lambda answer: self._token_refused(answer, feature, user),
            told=self._on_token if (feature, user) == (Feature.CALENDAR, self._subject) else tell_nobody,
            now=self._now,
        )
        self._tokens[feature, user] = made
        return made

    def _token_refused(self, answer: Answer, feature: Feature, user: str) -> CalendarError:
        error = google_calendar.token_refused(answer.status, answer.body, feature=feature)
        if user != self._subject and isinstance(error, Misconfigured):
            return Refused(str(error), mend=error.mend)  # one user who is not there stops nobody else
        return error

    async def _turn(self, user: str, *, patient: bool) -> None:
        """Wait until a request in this user's name fits into the quota, in the order of asking.

        Who is `patient` lets all others go first.
        """
        line = self._lines.setdefault(user, _Line())
        while patient and line.hurried:
            line.clear.clear()
            await line.clear.wait()
        now = self._now()
        spent = bounded(line.spent, self._quota, now, waiting=line.waiting)
        line.spent = spend(spent, self._quota, now)
        if spent is None or (wait_s := (free_at(spent, self._quota) - now).total_seconds()) <= 0:
            return
        line.waiting += 1
        line.hurried += not patient
        try:
            await self._rest(wait_s)
        finally:
            line.waiting -= 1
            line.hurried -= not patient
            if not line.hurried:
                line.clear.set()


@dataclass(slots=True, kw_only=True)
class _Line:
    """Who wants to ask in one user's name."""

    spent: Spent | None = None
    waiting: int = 0  # for their turn
    hurried: int = 0  # of them, who are not patient
    clear: asyncio.Event = field(default_factory=asyncio.Event)  # nobody is hurried any more


@dataclass(frozen=True, slots=True, kw_only=True)
class _Searched:
    """What a description held, when it was searched."""

    updated: str | None
    join: joins.Join | None


class _Made(msgspec.Struct):
    id: str


def _needed(writing: Writing) -> Feature:
    return Feature.SHARING if writing is Writing.ACL else Feature.WRITING


def _throttled(answer: Answer) -> bool:
    return google_calendar.slows_down(answer.status, answer.body)
