"""PURE: what Google Workspace and its token endpoint say ⇄ our values; the table of their refusals."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, assert_never
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from agent.core.events import CalendarEntry
from agent.core.model import EntryId, Meeting
from cloud_link.calendars import joins, keywords
from cloud_link.calendars.decoding import decode
from cloud_link.calendars.errors import (
    CalendarError,
    ClockSkewed,
    Conflicting,
    CredentialWrong,
    Gone,
    Misconfigured,
    NotCalled,
    Refused,
    Revoked,
    RoomDenied,
    RoomsDenied,
    RoomUnknown,
    Throttled,
    Transient,
    Unreadable,
    WritingOff,
)
from cloud_link.calendars.window import Window, all_day

# ── what is asked for, and the scope that each thing needs ────────────────────────────────────────

AUTH: Final = "https://www.googleapis.com/auth/"


class Feature(StrEnum):
    """What has a token of its own: a scope that is not granted fails all that are asked for with it."""

    CALENDAR = "calendar"  # events, channels, free/busy, settings: reading
    ROOMS = "rooms"  # the Directory's rooms and buildings
    CUSTOMER = "customer"
    VACATION = "vacation"
    ACCESS = "access"  # who may see a calendar
    WRITING = "writing"
    SHARING = "sharing"  # changes who may see a calendar


SCOPES: Final[Mapping[Feature, str]] = {
    Feature.CALENDAR: f"{AUTH}calendar.readonly",
    Feature.ROOMS: f"{AUTH}admin.directory.resource.calendar.readonly",
    Feature.CUSTOMER: f"{AUTH}admin.directory.customer.readonly",
    Feature.VACATION: f"{AUTH}gmail.settings.basic",  # gmail.readonly would let us read the mail
    Feature.ACCESS: f"{AUTH}calendar.acls.readonly",
    Feature.WRITING: f"{AUTH}calendar.events",
    Feature.SHARING: f"{AUTH}calendar.acls",
}


class Writing(StrEnum):
    """What changes something at Google: each only where the site has switched it on."""

    INSERT = "insert"
    QUICK_ADD = "quickAdd"
    PATCH = "patch"
    DELETE = "delete"
    ACL = "acl"


# ── the service account's key ─────────────────────────────────────────────────────────────────────

AUDIENCE: Final = "https://oauth2.googleapis.com/token"  # also where the key file names another endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A service account's key, as Google Cloud's console gives it."""

    email: str
    pem: str = field(repr=False)
    key_id: str
    token_uri: str = AUDIENCE


class _KeyFile(msgspec.Struct):
    type: str
    client_email: str
    private_key: str
    private_key_id: str
    token_uri: str = AUDIENCE


def read_key(content: bytes) -> Key:
    """The key in a file's content; CredentialWrong if it is none."""
    mend = "bring the JSON key of the service account, as Google Cloud's console gives it"
    try:
        said = decode(content, _KeyFile)
    except Unreadable:
        raise CredentialWrong("the key file is not a service account's key", mend=mend) from None
    if said.type != "service_account":
        raise CredentialWrong("the key file is not of a service account", mend=mend)
    return Key(
        email=said.client_email, pem=said.private_key, key_id=said.private_key_id, token_uri=said.token_uri
    )


# ── refusals of the token endpoint ────────────────────────────────────────────────────────────────


class Verdict(StrEnum):
    """What a refused token means for the integration."""

    REVOKED = "revoked"
    CREDENTIAL = "credential"
    CLOCK = "clock"
    CONFIG = "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One refusal: an `error`, and the words by which it is told from others with the same error."""

    error: str
    words: str = ""  # of its description, in lower case
    verdict: Verdict
    why: str
    mend: str


_NEW_KEY: Final = "make a new JSON key for the service account and bring it"
_DELEGATE: Final = (
    "an administrator must allow the service account's client id these scopes in the Admin console "
    "(Security, API controls, Domain-wide delegation)"
)

# HTTP status and `error` first; texts only where Google lumps together what must be told apart. What none of
# them knows costs nothing that cannot be had again.
REFUSALS: Final = (
    Row(
        error="unauthorized_client",
        verdict=Verdict.REVOKED,
        why="the domain does not delegate to the service account, or not this scope",
        mend=_DELEGATE,
    ),
    Row(
        error="access_denied",
        verdict=Verdict.REVOKED,
        why="the domain does not delegate to the service account",
        mend=_DELEGATE,
    ),
    Row(
        error="invalid_grant",
        words="invalid email or user id",
        verdict=Verdict.CONFIG,
        why="the user in whose name roomd asks does not exist, or is suspended",
        mend="name a user of the domain who may see the rooms",
    ),
    Row(
        error="invalid_grant",
        words="invalid jwt signature",
        verdict=Verdict.CREDENTIAL,
        why="the service account's key was deleted or exchanged",
        mend=_NEW_KEY,
    ),
    Row(
        error="invalid_grant",
        words="reasonable timeframe",
        verdict=Verdict.CLOCK,
        why="what the service account signed is not valid at Google's time of day",
        mend="set this machine's clock (NTP)",
    ),
    Row(
        error="invalid_grant",
        words="audience",
        verdict=Verdict.CONFIG,
        why="what the service account signed is for another endpoint",
        mend="bring the JSON key as Google Cloud's console gives it, unchanged",
    ),
    Row(
        error="invalid_grant",
        words="account not found",
        verdict=Verdict.CREDENTIAL,
        why="the service account was deleted",
        mend="make a new service account, delegate to it and bring its key",
    ),
    Row(
        error="invalid_grant",
        verdict=Verdict.CREDENTIAL,
        why="what the service account signed is not taken",
        mend=_NEW_KEY,
    ),
    Row(
        error="deleted_client",
        verdict=Verdict.CREDENTIAL,
        why="the service account's client was deleted",
        mend="make a new service account, delegate to it and bring its key",
    ),
    Row(
        error="disabled_client",
        verdict=Verdict.CREDENTIAL,
        why="the service account is switched off",
        mend="switch the service account on in Google Cloud's console",
    ),
    Row(
        error="invalid_client",
        verdict=Verdict.CREDENTIAL,
        why="the service account is not known",
        mend=_NEW_KEY,
    ),
    Row(
        error="invalid_scope",
        verdict=Verdict.CONFIG,
        why="there is no such scope",
        mend="check the scopes in the configuration",
    ),
)
_OTHERS: Final = Row(
    error="",
    verdict=Verdict.CONFIG,
    why="no token is given",
    mend="check the service account's key and the user in whose name roomd asks",
)


class _TokenRefusal(msgspec.Struct):
    error: str = ""
    error_description: str = ""


_ERROR_WORD: Final = re.compile(r"[a-z_]{1,40}")


def token_refused(status: int, body: bytes, *, feature: Feature = Feature.CALENDAR) -> CalendarError:
    """What a token endpoint's answer that is no token means.

    Consent is gone only where reading calendars is refused: what else is not granted is missing alone.
    """
    try:
        said = decode(body, _TokenRefusal)
    except Unreadable:
        return Unreadable(f"the token endpoint answered {status}, which cannot be understood")
    words = said.error_description.lower()
    row = next((row for row in REFUSALS if row.error == said.error and row.words in words), _OTHERS)
    shown = said.error if _ERROR_WORD.fullmatch(said.error) else "error"
    why = f"{row.why} ({status}, {shown}; {feature})"
    match row.verdict:
        case Verdict.REVOKED:
            return _not_granted(why, row.mend, feature)
        case Verdict.CREDENTIAL:
            return CredentialWrong(why, mend=row.mend)
        case Verdict.CLOCK:
            return ClockSkewed(why, mend=row.mend)
        case Verdict.CONFIG:
            return Misconfigured(why, mend=row.mend)
        case _:
            assert_never(row.verdict)


def _not_granted(why: str, mend: str, feature: Feature) -> CalendarError:
    match feature:
        case Feature.CALENDAR:
            return Revoked(why, mend=mend)
        case Feature.ROOMS:
            return RoomsDenied(why, mend=mend)
        case Feature.WRITING | Feature.SHARING:
            return WritingOff(why, mend=mend)
        case Feature.CUSTOMER | Feature.VACATION | Feature.ACCESS:
            return Refused(why, mend=mend)
        case _:
            assert_never(feature)


# ── refusals of the APIs ──────────────────────────────────────────────────────────────────────────


class About(StrEnum):
    """What was asked about: the same refusal means different things."""

    DIRECTORY = "directory"
    ROOM = "room"  # one room's calendar
    ENTRY = "entry"  # one of its entries
    CHANNEL = "channel"
    USER = "user"


class _Reason(msgspec.Struct):
    reason: str = ""


class _ApiError(msgspec.Struct):
    errors: list[_Reason] = []
    details: list[_Reason] = []
    status: str = ""


class _ApiRefusal(msgspec.Struct):
    error: _ApiError = msgspec.field(default_factory=_ApiError)


SLOW_DOWN: Final = frozenset(
    {
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "quotaExceeded",
        "dailyLimitExceeded",
        "calendarUsageLimitsExceeded",
        "RATE_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
    }
)
NOT_ALLOWED: Final = frozenset({"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})
NOT_ENABLED: Final = frozenset({"accessNotConfigured", "SERVICE_DISABLED"})
NO_CALENDAR_USER: Final = "notACalendarUser"  # suspended, or the service is off for them
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_.]{0,60}")
_WRONG, _UNSIGNED, _FORBIDDEN, _MISSING, _TAKEN, _OVER, _CHANGED = 400, 401, 403, 404, 409, 410, 412
_SLOW, _FAILED = 429, 500


def reasons(body: bytes) -> tuple[str, ...]:
    """Why something was refused, in Google's words; () where the body does not say so."""
    try:
        error = decode(body, _ApiRefusal).error
    except Unreadable:
        return ()
    said = (*(one.reason for one in (*error.errors, *error.details)), error.status)
    return tuple(word for word in said if _WORD.fullmatch(word))


def slows_down(status: int, body: bytes) -> bool:
    """Whether a refusal says that we ask too often; such refusals have two statuses."""
    return status == _SLOW or (status == _FORBIDDEN and not SLOW_DOWN.isdisjoint(reasons(body)))


def not_called(body: bytes) -> bool:
    """Whether a refusal says that Google does not call the address which it is to call; one such is a 401."""
    return any(word.startswith("push.") for word in reasons(body))


def refused(status: int, body: bytes, *, about: About) -> CalendarError:
    """What an API's refusal means. Its message is never repeated, as it may quote what was asked."""
    said = reasons(body)
    shown = f"{status} {said[0] if said else 'no reason'}"
    if slows_down(status, body):
        return Throttled(f"Google says: slow down ({shown})")
    if status >= _FAILED:
        return Transient(f"Google failed ({shown})")
    if not_called(body):
        return NotCalled(
            f"Google does not call the address for notifications ({shown})",
            mend="name an https address of a domain that Google can reach, with a public certificate; "
            "until then calendars are polled",
        )
    if status == _UNSIGNED:
        return CredentialWrong(f"Google does not take the token that it gave ({shown})")
    if status == _FORBIDDEN:
        return _denied(about, said, shown)
    if status == _MISSING:
        return _missing(about, shown)
    if status == _OVER:
        return Gone(f"no longer there ({shown})")
    if status in (_TAKEN, _CHANGED):
        return Conflicting(f"exists already, or was changed meanwhile ({shown})")
    if status == _WRONG and about is About.DIRECTORY:
        return Misconfigured(f"there is no such customer ({shown})")
    return Refused(f"Google refused ({shown})")


def _denied(about: About, said: Sequence[str], shown: str) -> CalendarError:
    if not NOT_ENABLED.isdisjoint(said):
        return Misconfigured(
            f"the API is not switched on in the service account's project ({shown})",
            mend="switch on the Google Calendar API and the Admin SDK API in Google Cloud's console",
        )
    if NO_CALENDAR_USER in said and about is not About.USER:
        return Misconfigured(
            f"the user in whose name roomd asks has no Google Calendar ({shown})",
            mend="switch on Google Calendar for this user in the Admin console, or name another",
        )
    if not NOT_ALLOWED.isdisjoint(said):
        return Misconfigured(f"the token's scope does not suffice ({shown})", mend=_DELEGATE)
    match about:
        case About.DIRECTORY:
            return RoomsDenied(
                f"the Directory may not be read ({shown})",
                mend="give the user in whose name roomd asks a role that may read calendar resources",
            )
        case About.ROOM:
            return RoomDenied(
                f"the room's calendar may not be read ({shown})",
                mend="share the room's calendar with the user in whose name roomd asks",
            )
        case About.ENTRY | About.CHANNEL | About.USER:
            return Refused(
                f"that may not be done ({shown})",
                mend="share the calendar with the user in whose name roomd asks, with the right to change it",
            )
        case _:
            assert_never(about)


def _missing(about: About, shown: str) -> CalendarError:
    match about:
        case About.DIRECTORY:
            return Misconfigured(f"there is no such customer ({shown})")
        case About.ROOM:
            return RoomUnknown(
                f"no calendar at this address, or not for us ({shown})",
                mend="check the room's address; share its calendar with the user in whose name roomd asks",
            )
        case About.ENTRY | About.CHANNEL | About.USER:
            return Gone(f"not there ({shown})")
        case _:
            assert_never(about)


# ── the Directory ─────────────────────────────────────────────────────────────────────────────────

ROOM_FIELDS: Final = (
    "nextPageToken,items(resourceEmail,resourceId,resourceName,generatedResourceName,resourceCategory,"
    "capacity,buildingId,floorName,floorSection)"
)
BUILDING_FIELDS: Final = "nextPageToken,buildings(buildingId,buildingName,floorNames)"
CUSTOMER_FIELDS: Final = "id,customerDomain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A room, or another thing that can be booked, as the Directory has it."""

    address: str  # of its calendar, in lower case
    resource_id: str
    name: str
    full_name: str  # with building, floor and capacity, as people see it in their calendars
    is_room: bool  # or nobody has said what it is
    capacity: int | None = None
    building_id: str | None = None
    floor: str | None = None
    section: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """A building, as the Directory has it."""

    building_id: str
    name: str
    floors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Whose Workspace it is."""

    customer_id: str
    domain: str | None = None


class _Resource(msgspec.Struct, rename="camel"):
    resource_email: str
    resource_id: str = ""
    resource_name: str = ""
    generated_resource_name: str = ""
    resource_category: str = ""
    capacity: int | None = None
    building_id: str | None = None
    floor_name: str | None = None
    floor_section: str | None = None


class _Building(msgspec.Struct, rename="camel"):
    building_id: str
    building_name: str = ""
    floor_names: list[str] = []


class CustomerSaid(msgspec.Struct, rename="camel"):
    """The customer, as the Directory has it."""

    id: str
    customer_domain: str | None = None


class Page(msgspec.Struct, rename="camel"):
    """One page of any list; its items are read one by one, so that a strange one spoils no other."""

    items: list[msgspec.Raw] = []
    buildings: list[msgspec.Raw] = []
    next_page_token: str | None = None
    time_zone: str | None = None
    access_role: str | None = None


def resource(raw: bytes | msgspec.Raw) -> Resource | None:
    """A room of the Directory; None if it has no address or cannot be read."""
    try:
        said = decode(raw, _Resource)
    except Unreadable:
        return None
    address = said.resource_email.strip().lower()
    if not address:
        return None
    name = said.resource_name.strip() or address
    return Resource(
        address=address,
        resource_id=said.resource_id,
        name=name,
        full_name=said.generated_resource_name.strip() or name,
        is_room=said.resource_category != "OTHER",
        capacity=said.capacity or None,
        building_id=said.building_id or None,
        floor=said.floor_name or None,
        section=said.floor_section or None,
    )


def building(raw: bytes | msgspec.Raw) -> Building | None:
    """A building of the Directory; None if it cannot be read."""
    try:
        said = decode(raw, _Building)
    except Unreadable:
        return None
    return Building(
        building_id=said.building_id,
        name=said.building_name or said.building_id,
        floors=tuple(said.floor_names),
    )


# ── entries ───────────────────────────────────────────────────────────────────────────────────────

_EVENT_FIELDS: Final = (
    "id,status,iCalUID,recurringEventId,summary,location,visibility,transparency,eventType,start,end,"
    "attendees(self,responseStatus),conferenceData(entryPoints(entryPointType,uri)),hangoutLink,updated"
)
_ORGANIZER: Final = ",organizer(displayName,email,self)"
DAY_OF_ANY_ZONE: Final = timedelta(hours=26)
FREE_EVENTS: Final = frozenset({"workingLocation", "birthday"})


def event_fields(*, organizers: bool) -> str:
    """What of an event is fetched: not its description, and of invitees only what each answered."""
    return _EVENT_FIELDS + (_ORGANIZER if organizers else "")


def listing_fields(*, organizers: bool) -> str:
    """What of a listing is fetched."""
    return f"nextPageToken,accessRole,timeZone,items({event_fields(organizers=organizers)})"


class _When(msgspec.Struct, rename="camel"):
    date: str | None = None
    date_time: str | None = None
    time_zone: str | None = None


class _Person(msgspec.Struct, rename="camel"):
    display_name: str | None = None
    email: str | None = None
    is_self: bool = msgspec.field(name="self", default=False)
    response_status: str | None = None


class _EntryPoint(msgspec.Struct, rename="camel"):
    entry_point_type: str | None = None
    uri: str | None = None


class _Conference(msgspec.Struct, rename="camel"):
    entry_points: list[_EntryPoint] = []


class Event(msgspec.Struct, rename="camel"):
    """One event: never with its description or its invitees. A cancelled one has next to nothing."""

    id: str
    status: str = "confirmed"
    ical_uid: str | None = msgspec.field(name="iCalUID", default=None)
    recurring_event_id: str | None = None
    summary: str | None = None
    location: str | None = None
    visibility: str = "default"
    transparency: str = "opaque"
    event_type: str = "default"
    start: _When | None = None
    end: _When | None = None
    organizer: _Person | None = None
    attendees: list[_Person] = []
    conference_data: _Conference | None = None
    hangout_link: str | None = None
    updated: str | None = None

    @property
    def occupies(self) -> bool:
        """Whether it keeps the room: not if cancelled, declined by the room itself, or free.

        One that the room has not answered does: it waits for somebody's approval, and may be granted
        any moment.
        """
        return not (
            self.status == "cancelled"
            or self.transparency == "transparent"
            or self.event_type in FREE_EVENTS
            or any(one.is_self and one.response_status == "declined" for one in self.attendees)
        )


class Description(msgspec.Struct):
    """An event's description: looked at for a link, and dropped."""

    description: str | None = None


def event(raw: bytes | msgspec.Raw) -> Event | None:
    """An event as Google has it; None if it cannot be read."""
    try:
        return decode(raw, Event)
    except Unreadable:
        return None


def entry(said: Event, zone: tzinfo) -> CalendarEntry | None:
    """An event as the core knows it; None if its times cannot be. `zone` is the room's."""
    try:
        times = _times(said, zone)
    except (ValueError, OverflowError):
        return None
    if times is None or times.ends_at <= times.starts_at or not said.id:
        return None
    private = said.visibility in ("private", "confidential")
    points = said.conference_data.entry_points if said.conference_data else []
    join = joins.find(
        structured=(
            *(point.uri for point in points if point.entry_point_type == "video"),
            said.hangout_link,
            *(point.uri for point in points if point.entry_point_type != "video"),
        ),
        location=said.location,
    )
    organizer = said.organizer if said.organizer and not said.organizer.is_self else _Person()
    return CalendarEntry(
        entry_id=EntryId(said.id),
        ical_uid=said.ical_uid or None,
        starts_at=times.starts_at,
        ends_at=times.ends_at,
        all_day=said.start is not None and said.start.date is not None,
        meeting=Meeting(
            title=None if private else (said.summary or "").strip() or None,
            organizer=(organizer.display_name or "").strip() or None,
            organizer_address=(organizer.email or "").strip() or None,
            platform=join.platform if join else None,
            join=join.link if join else None,
            ical_uid=said.ical_uid or None,
            private=private,
        ),
        join_pending=keywords.join_pending(said.location, join.link if join else None),
    )


def joined(one: CalendarEntry, join: joins.Join | None) -> CalendarEntry:
    """An entry with the link that its description had, if it had one."""
    if join is None:
        return one
    meeting = replace(one.meeting, platform=join.platform, join=join.link)
    return replace(one, meeting=meeting, join_pending=False)


def _times(said: Event, zone: tzinfo) -> Window | None:
    if said.start is None or said.end is None:
        return None
    if said.start.date is not None and said.end.date is not None:
        return all_day(date.fromisoformat(said.start.date), date.fromisoformat(said.end.date), zone)
    if said.start.date_time is None or said.end.date_time is None:
        return None
    return Window(starts_at=_instant(said.start, zone), ends_at=_instant(said.end, zone))


def _instant(when: _When, zone: tzinfo) -> datetime:
    at = datetime.fromisoformat(when.date_time or "")
    if at.tzinfo is None:
        at = at.replace(tzinfo=_zone_named(when.time_zone, zone))
    return at.astimezone(UTC)


def _zone_named(name: str | None, otherwise: tzinfo) -> tzinfo:
    try:
        return ZoneInfo(name) if name else otherwise
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return otherwise


def moment(at: datetime) -> str:
    """An instant as Google reads it: it wants an offset, and takes no notice of fractions of a second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def events_path(calendar: str, *more: str) -> str:
    """The path of a calendar's events, or of something below them."""
    return "/".join(["/calendar/v3/calendars", quote(calendar, safe=""), "events", *map(_quoted, more)])


def acl_path(calendar: str, *more: str) -> str:
    """The path of a calendar's list of who may see it, or of one rule."""
    return "/".join(["/calendar/v3/calendars", quote(calendar, safe=""), "acl", *map(_quoted, more)])


def _quoted(part: str) -> str:
    return quote(part, safe="")


def event_id(request_id: str) -> str:
    """The id of the event that a request makes: the same for the same request, so that none makes two."""
    digest = hashlib.sha256(request_id.encode()).digest()[:20]
    return base64.b32hexencode(digest).decode("ascii").lower()


# ── whose an event is ──

MARK: Final = "roomd"  # a private property of what roomd books: its own id, so that no copy of it has it, too
HELD_FIELDS: Final = (
    "id,status,recurrence,organizer(self),attendees(email,self),attendeesOmitted,extendedProperties(private)"
)
_BOOKED_ID: Final = re.compile(r"[0-9a-v]{32}")  # as event_id makes them; Google's own are of other lengths


def may_be_booked(entry_id: str) -> bool:
    """Whether roomd may have made an event of this id; an occurrence of a series never is."""
    return _BOOKED_ID.fullmatch(entry_id) is not None


class _Invited(msgspec.Struct):
    email: str = ""
    is_self: bool = msgspec.field(name="self", default=False)


class _Properties(msgspec.Struct):
    private: dict[str, str] = {}


class Held(msgspec.Struct, rename="camel"):
    """An event of somebody's calendar, as far as it says whose it is."""

    id: str
    status: str = "confirmed"
    recurrence: list[str] = []
    organizer: _Person | None = None
    attendees: list[_Invited] = []
    attendees_omitted: bool = False
    extended_properties: _Properties = msgspec.field(default_factory=_Properties)

    @property
    def stands(self) -> bool:
        """Whether it was not cancelled or deleted."""
        return self.status != "cancelled"

    @property
    def is_series(self) -> bool:
        """Whether it is all occurrences at once; an id that was one meeting's may become that."""
        return bool(self.recurrence)

    @property
    def is_organizer(self) -> bool:
        """Whether this calendar's owner organizes it."""
        return self.organizer is not None and self.organizer.is_self

    @property
    def is_booked(self) -> bool:
        """Whether roomd made it, and this calendar's owner organizes it still."""
        return self.is_organizer and self.extended_properties.private.get(MARK) == self.id

    def has_guests(self, room: str) -> bool:
        """Whether anybody is invited but this calendar's owner and the room."""
        return self.attendees_omitted or any(
            not one.is_self and one.email.lower() != room.lower() for one in self.attendees
        )


# ── channels and notifications ────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Google tells us of changes in a room's calendar until `expires_at`.

    There is no asking which channels there are: one that is not remembered goes on until it expires. Without
    `resource_id` it was asked for, and its answer never came.
    """

    id: str
    address: str  # the room's
    hook: str  # where notifications go
    token_digest: str  # SHA-256, hexadecimal, of the secret that its notifications carry
    asked_at: datetime
    resource_id: str | None = None
    expires_at: datetime | None = None

    def admits(self, hint: Hint) -> bool:
        """Whether a notification is this channel's, compared in constant time."""
        same = hmac.compare_digest(digest_of(hint.token), self.token_digest)
        return same and hint.channel_id == self.id and self.resource_id in (None, hint.resource_id)

    def completed(self, hint: Hint) -> Channel:
        """With what a notification of its own says of it, where the answer to our question never came."""
        return replace(
            self,
            resource_id=self.resource_id or hint.resource_id,
            expires_at=self.expires_at or hint.expires_at,
        )


FIRST_WORD_WITHIN: Final = timedelta(minutes=1)  # of a channel's being made; seconds, usually


def digest_of(token: str) -> str:
    """What is remembered of a channel's secret."""
    return hashlib.sha256(token.encode()).hexdigest()


def replace_at(channel: Channel, *, luck: float) -> datetime:
    """When a channel wants a new one beside it: there is no renewing. `luck` (0 to 1) spreads many."""
    if channel.resource_id is None or channel.expires_at is None:
        return channel.asked_at + FIRST_WORD_WITHIN
    return channel.asked_at + (channel.expires_at - channel.asked_at) * (0.7 + 0.1 * luck)


class ChannelSaid(msgspec.Struct, rename="camel"):
    """A channel, as Google has it."""

    id: str
    resource_id: str
    expiration: str | None = None

    @property
    def expires_at(self) -> datetime | None:
        """When it ends, of the milliseconds that Google writes as text."""
        text = self.expiration or ""
        try:
            return datetime.fromtimestamp(int(text) / 1000, UTC) if text.isdigit() else None
        except (ValueError, OverflowError, OSError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A channel says something: look again, unless it only says that it is there."""

    channel_id: str
    token: str = field(repr=False)  # nothing of this is true before it has been compared
    resource_id: str | None
    first: bool  # the channel's first word, which comes when it is made: nothing has changed
    expires_at: datetime | None = None


_CHANNEL_ID: Final = re.compile(r"[A-Za-z0-9\-_+/=]{1,64}")


def notified(headers: Mapping[str, str]) -> Hint | None:
    """What a notification says, all of it in its headers, of any case; None if it is none."""
    said = {name.lower(): value.strip() for name, value in headers.items()}
    channel_id, state = said.get("x-goog-channel-id", ""), said.get("x-goog-resource-state", "")
    if _CHANNEL_ID.fullmatch(channel_id) is None or not state:
        return None
    try:
        expires_at = parsedate_to_datetime(said.get("x-goog-channel-expiration", ""))
    except ValueError:
        expires_at = None
    return Hint(
        channel_id=channel_id,
        token=said.get("x-goog-channel-token", ""),
        resource_id=said.get("x-goog-resource-id") or None,
        first=state == "sync",  # any other word, known or not, means: look again
        expires_at=expires_at.astimezone(UTC) if expires_at and expires_at.tzinfo else None,
    )


# ── the rest ──────────────────────────────────────────────────────────────────────────────────────


class _Span(msgspec.Struct):
    start: datetime
    end: datetime


class _Busy(msgspec.Struct):
    busy: list[_Span] = []
    errors: list[_Reason] = []


class FreeBusySaid(msgspec.Struct):
    """When calendars are taken, by address."""

    calendars: dict[str, _Busy] = {}


def busy(said: FreeBusySaid, address: str) -> tuple[Window, ...] | CalendarError:
    """When one of the calendars that were asked about is taken, or why nobody says so."""
    found = said.calendars.get(address)
    if found is None:
        return Unreadable("free/busy was not answered for this calendar")
    if found.errors:
        if any(one.reason == "notFound" for one in found.errors):
            return RoomUnknown("no calendar at this address, or not for us (notFound)")
        return Transient("free/busy is not to be had for this calendar")
    return tuple(
        Window(starts_at=one.start.astimezone(UTC), ends_at=one.end.astimezone(UTC)) for one in found.busy
    )


class SettingSaid(msgspec.Struct):
    """One of a user's settings."""

    value: str = ""


VACATION_FIELDS: Final = "enableAutoReply,restrictToContacts,restrictToDomain,startTime,endTime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacation:
    """Whether somebody's mail answers by itself, and when; what it answers is not fetched."""

    enabled: bool
    starts_at: datetime | None = None
    ends_at: datetime | None = None


class VacationSaid(msgspec.Struct, rename="camel"):
    """Automatic answers, as Gmail has them."""

    enable_auto_reply: bool = False
    start_time: str | None = None
    end_time: str | None = None


def vacation(said: VacationSaid) -> Vacation:
    """Automatic answers as values."""
    return Vacation(
        enabled=said.enable_auto_reply, starts_at=_millis(said.start_time), ends_at=_millis(said.end_time)
    )


def _millis(text: str | None) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(text) / 1000, UTC) if text and int(text) else None
    except (ValueError, OverflowError, OSError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """Somebody may do something with a calendar."""

    role: str  # none, freeBusyReader, reader, writer, owner
    kind: str  # default, user, group, domain
    who: str | None = None  # an address or a domain
    rule_id: str | None = None  # None: not yet there


class _AclScope(msgspec.Struct):
    type: str
    value: str | None = None


class _AclRule(msgspec.Struct):
    role: str
    scope: _AclScope
    id: str | None = None


def access_rule(raw: bytes | msgspec.Raw) -> AccessRule | None:
    """A rule of who may see a calendar; None if it cannot be read."""
    try:
        said = decode(raw, _AclRule)
    except Unreadable:
        return None
    return AccessRule(role=said.role, kind=said.scope.type, who=said.scope.value, rule_id=said.id)
