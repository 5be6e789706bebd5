"""PURE: what Microsoft Graph and its token endpoint say ⇄ our values; the table of their refusals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, tzinfo
from enum import StrEnum
from typing import Final, assert_never
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from tzlocal.windows_tz import win_tz

from agent.core.events import CalendarEntry
from agent.core.model import EntryId, Meeting
from cloud_link.calendars import joins, keywords, window
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
)

# ── refusals of the token endpoint ────────────────────────────────────────────────────────────────


class Verdict(StrEnum):
    """What a refused token means for the integration."""

    REVOKED = "revoked"
    CREDENTIAL = "credential"
    CLOCK = "clock"
    CONFIG = "config"
    TRANSIENT = "transient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One refusal: an AADSTS number, or without one, all others with this `error`."""

    number: int | None
    error: str
    verdict: Verdict
    why: str
    mend: str


_CONSENT = "an administrator of the tenant must consent to the application again"

# Microsoft: depend on `error`, never on numbers or texts alone. Numbers only tell apart what `error` lumps
# together; what neither knows costs nothing that cannot be had again.
REFUSALS: Final = (
    Row(
        number=700016,
        error="unauthorized_client",
        verdict=Verdict.REVOKED,
        why="the application is not in the tenant: deleted there, or never consented to",
        mend=f"{_CONSENT}; if it never worked, check client id and tenant",
    ),
    Row(
        number=7000229,
        error="invalid_client",
        verdict=Verdict.REVOKED,
        why="the application has no service principal in the tenant",
        mend=_CONSENT,
    ),
    Row(
        number=7000112,
        error="unauthorized_client",
        verdict=Verdict.REVOKED,
        why="the application is disabled in the tenant",
        mend="an administrator of the tenant must enable sign-in for the enterprise application",
    ),
    Row(
        number=65001,
        error="invalid_grant",
        verdict=Verdict.REVOKED,
        why="nobody has consented to the application",
        mend=_CONSENT,
    ),
    Row(
        number=7000215,
        error="invalid_client",
        verdict=Verdict.CREDENTIAL,
        why="the client secret is wrong",
        mend="bring the secret's value (not its id) from the application's registration",
    ),
    Row(
        number=7000222,
        error="invalid_client",
        verdict=Verdict.CREDENTIAL,
        why="the client secret has expired",
        mend="make a new client secret in the application's registration and bring it",
    ),
    Row(
        number=700027,
        error="invalid_client",
        verdict=Verdict.CREDENTIAL,
        why="the certificate that signs for the application is not the registered one",
        mend="upload the certificate to the application's registration, or bring the registered one",
    ),
    Row(
        number=700024,
        error="invalid_client",
        verdict=Verdict.CLOCK,
        why="what the certificate signed is not valid at Microsoft's time of day",
        mend="set this machine's clock (NTP)",
    ),
    Row(
        number=90002,
        error="invalid_request",
        verdict=Verdict.CONFIG,
        why="there is no such tenant",
        mend="check the tenant in the configuration",
    ),
    Row(
        number=None,
        error="invalid_tenant",
        verdict=Verdict.CONFIG,
        why="there is no such tenant",
        mend="check the tenant in the configuration",
    ),
    Row(
        number=None,
        error="unauthorized_client",
        verdict=Verdict.REVOKED,
        why="the application may not ask for tokens",
        mend=_CONSENT,
    ),
    Row(
        number=None,
        error="invalid_client",
        verdict=Verdict.CREDENTIAL,
        why="the application's secret or certificate is not taken",
        mend="bring a new secret or certificate",
    ),
    Row(
        number=None,
        error="invalid_grant",
        verdict=Verdict.CREDENTIAL,
        why="the application's credential is not taken",
        mend="bring a new secret or certificate",
    ),
    Row(
        number=None,
        error="temporarily_unavailable",
        verdict=Verdict.TRANSIENT,
        why="the token endpoint is not available",
        mend="nothing to do if it passes",
    ),
    Row(
        number=None,
        error="server_error",
        verdict=Verdict.TRANSIENT,
        why="the token endpoint failed",
        mend="nothing to do if it passes",
    ),
)
_OTHERS: Final = Row(
    number=None,
    error="",
    verdict=Verdict.CONFIG,
    why="no token is given",
    mend="check tenant, client id and cloud in the configuration",
)


class _TokenRefusal(msgspec.Struct):
    error: str = ""
    error_codes: list[int] = []
    error_description: str = ""


_ERROR_WORD = re.compile(r"[a-z_]{1,40}")
_AADSTS = re.compile(r"\AAADSTS([0-9]{1,9})")


def token_refused(status: int, body: bytes) -> CalendarError:
    """What a token endpoint's answer that is no token means."""
    try:
        said = decode(body, _TokenRefusal)
    except Unreadable:
        return Unreadable(f"the token endpoint answered {status}, which cannot be understood")
    numbers = said.error_codes or [int(number) for number in _AADSTS.findall(said.error_description)]
    row = _row(said.error, numbers)
    word = said.error if _ERROR_WORD.fullmatch(said.error) else "error"
    shown = ", ".join([str(status), word, *(f"AADSTS{number}" for number in numbers[:3])])
    why = f"{row.why} ({shown})"
    match row.verdict:
        case Verdict.REVOKED:
            return Revoked(why, mend=row.mend)
        case Verdict.CREDENTIAL:
            return CredentialWrong(why, mend=row.mend)
        case Verdict.CLOCK:
            return ClockSkewed(why, mend=row.mend)
        case Verdict.CONFIG:
            return Misconfigured(why, mend=row.mend)
        case Verdict.TRANSIENT:
            return Transient(why, mend=row.mend)
        case _:
            assert_never(row.verdict)


def _row(error: str, numbers: Sequence[int]) -> Row:
    for row in REFUSALS:
        if row.number is not None and row.number in numbers:
            return row
    for row in REFUSALS:
        if row.number is None and row.error == error:
            return row
    return _OTHERS


# ── refusals of Graph ─────────────────────────────────────────────────────────────────────────────


class About(StrEnum):
    """What was asked about: the same refusal means different things."""

    ROOMS = "rooms"  # the list of rooms
    ROOM = "room"  # one room's calendar
    ENTRY = "entry"  # one entry of it
    SUBSCRIPTION = "subscription"


class _GraphError(msgspec.Struct):
    code: str = ""
    message: str = ""


class _GraphRefusal(msgspec.Struct):
    error: _GraphError = msgspec.field(default_factory=_GraphError)


_CODE = re.compile(r"[A-Za-z][A-Za-z_.]{0,60}")
_NO_ROLES = re.compile(r"scp or roles claim|contains no permissions", re.IGNORECASE)
_MOVE = "move the mailbox to Exchange Online; one on premises cannot be read"
_NO_MAILBOX = frozenset({"MailboxNotEnabledForRESTAPI", "MailboxNotHostedInExchangeOnline"})
_NO_USER = frozenset(
    {"ErrorInvalidUser", "ResourceNotFound", "Request_ResourceNotFound", "ErrorNonExistentMailbox"}
)
_NOT_REACHED = frozenset({"ValidationError", "InvalidRequest"})
_UNSIGNED, _FORBIDDEN, _MISSING, _TAKEN, _OVER, _CHANGED = 401, 403, 404, 409, 410, 412
_SLOW_DOWN = frozenset({423, 429})
_FAILED = 500


def refused(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    about: About,
    retry_after_s: float | None = None,
) -> CalendarError:
    """What Graph's refusal means, alone or within a batch; header names in lower case.

    Its message is never repeated, as it may quote what was asked.
    """
    try:
        error = decode(body, _GraphRefusal).error
    except Unreadable:
        error = _GraphError()
    code = error.code if _CODE.fullmatch(error.code) else "no code"
    shown = f"{status} {code}"
    if status in _SLOW_DOWN:
        return Throttled(f"Graph says: slow down ({shown})", retry_after_s=retry_after_s)
    if status >= _FAILED:
        return Transient(f"Graph failed ({shown})", retry_after_s=retry_after_s)
    if status == _FORBIDDEN or (status == _UNSIGNED and _no_roles(headers, error)):
        return _denied(about, shown)
    if status == _UNSIGNED:
        return _untaken(about, shown)
    if about in (About.ROOM, About.ENTRY):
        if error.code in _NO_MAILBOX:
            return RoomUnknown(f"the room's mailbox is not in Microsoft 365 ({shown})", mend=_MOVE)
        if error.code in _NO_USER or (about is About.ROOM and status == _MISSING):
            return RoomUnknown(f"no calendar at this address ({shown})")
    if status in (_MISSING, _OVER):
        return Gone(f"no longer there ({shown})")
    if status in (_TAKEN, _CHANGED):
        return Conflicting(f"exists already, or was changed meanwhile ({shown})")
    if about is About.SUBSCRIPTION and error.code in _NOT_REACHED:
        return NotCalled(
            f"Graph did not reach the receiver, or refused the subscription ({shown})",
            mend="let Microsoft reach the receiver's public address over HTTPS, with a public certificate; "
            "until then calendars are polled",
        )
    return Refused(f"Graph refused ({shown})")


def _no_roles(headers: Mapping[str, str], error: _GraphError) -> bool:
    return bool(_NO_ROLES.search(error.message) or _NO_ROLES.search(headers.get("x-ms-diagnostics", "")))


def _untaken(about: About, shown: str) -> CalendarError:
    """A token that is new and not taken, where it is about one room: a mailbox on premises answers so."""
    if about is About.ROOMS:
        return CredentialWrong(
            f"Graph does not take the token ({shown})", mend="check tenant, client id and cloud"
        )
    return RoomDenied(f"the token is not taken for this room ({shown})", mend=_MOVE)


def _denied(about: About, shown: str) -> CalendarError:
    match about:
        case About.ROOMS:
            return RoomsDenied(
                f"the list of rooms may not be read ({shown})",
                mend="grant the application permission Place.Read.All and consent to it",
            )
        case About.ROOM | About.ENTRY | About.SUBSCRIPTION:
            return RoomDenied(
                f"the room's calendar may not be read ({shown})",
                mend="grant Calendars.Read for this mailbox: see its application access policy or RBAC scope",
            )
        case _:
            assert_never(about)


# ── rooms ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A room as the tenant's list has it."""

    address: str  # in lower case
    name: str
    capacity: int | None = None
    building: str | None = None
    floor: str | None = None


class _Place(msgspec.Struct, rename="camel"):
    email_address: str | None = None
    display_name: str | None = None
    capacity: int | str | None = None  # the documentation shows both
    building: str | None = None
    floor_number: int | str | None = None
    floor_label: str | None = None


class Page(msgspec.Struct):
    """One page of any list; its items are read one by one, so that a strange one spoils no other."""

    value: list[msgspec.Raw]  # another's tree, of a proxy say, must not pass for an empty list
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)
    count: int | None = msgspec.field(name="@odata.count", default=None)


def place(raw: bytes | msgspec.Raw) -> Place | None:
    """A room of the list; None if it has no address or cannot be read."""
    try:
        said = decode(raw, _Place)
    except Unreadable:
        return None
    address = (said.email_address or "").strip().lower()
    if not address:
        return None
    floor = said.floor_label or (None if said.floor_number is None else str(said.floor_number))
    return Place(
        address=address,
        name=(said.display_name or "").strip() or address,
        capacity=_whole(said.capacity),
        building=said.building or None,
        floor=floor or None,
    )


def _whole(number: int | str | None) -> int | None:
    text = str(number)
    return int(text) if text.isascii() and text.isdigit() else None


# ── entries ───────────────────────────────────────────────────────────────────────────────────────

SELECTED: Final = (
    "id,iCalUId,subject,start,end,isAllDay,isCancelled,isDraft,showAs,sensitivity,location,"
    "onlineMeeting,onlineMeetingUrl,responseStatus,changeKey"
)
UTC_AND_LASTING_IDS: Final = 'outlook.timezone="UTC", IdType="ImmutableId"'
LASTING_IDS: Final = 'IdType="ImmutableId"'
TEXT_BODY: Final = 'outlook.body-content-type="text", IdType="ImmutableId"'
FREE: Final = frozenset({"free", "workingelsewhere"})


class _When(msgspec.Struct, rename="camel"):
    date_time: str
    time_zone: str = "UTC"


class _Address(msgspec.Struct):
    name: str | None = None
    address: str | None = None


class _Recipient(msgspec.Struct, rename="camel"):
    email_address: _Address | None = None


class _Location(msgspec.Struct, rename="camel"):
    display_name: str | None = None
    location_uri: str | None = None


class _Response(msgspec.Struct):
    response: str | None = None


class _OnlineMeeting(msgspec.Struct, rename="camel"):
    join_url: str | None = None


class Event(msgspec.Struct, rename="camel"):
    """One entry of a calendar view: never with its description or its invitees."""

    id: str
    start: _When
    end: _When
    i_cal_u_id: str | None = msgspec.field(name="iCalUId", default=None)
    subject: str | None = None
    is_all_day: bool | None = None
    is_cancelled: bool | None = None
    is_draft: bool | None = None
    show_as: str | None = None
    sensitivity: str | None = None
    organizer: _Recipient | None = None
    location: _Location | None = None
    online_meeting: _OnlineMeeting | None = None
    online_meeting_url: str | None = None
    response_status: _Response | None = None
    change_key: str | None = None

    @property
    def occupies(self) -> bool:
        """Whether it keeps the room: not if cancelled, declined by the room itself, a draft, or free.

        A tentative one does: it waits for somebody's approval, and may be granted any moment.
        """
        response = (self.response_status.response or "" if self.response_status else "").lower()
        return not (
            self.is_cancelled
            or self.is_draft
            or response == "declined"
            or (self.show_as or "").lower() in FREE
        )


def event(raw: bytes | msgspec.Raw) -> Event | None:
    """An entry as Graph has it; None if it cannot be read."""
    try:
        return decode(raw, Event)
    except Unreadable:
        return None


def entry(said: Event, zone: tzinfo) -> CalendarEntry | None:
    """An entry as the core knows it; None if its times cannot be. `zone` is the room's."""
    try:
        if said.is_all_day:
            starts_at, ends_at = _days(said, zone)
        else:
            starts_at, ends_at = _instant(said.start, zone), _instant(said.end, zone)
    except (ValueError, OverflowError):
        return None
    if ends_at < starts_at:
        return None
    private = (said.sensitivity or "normal").lower() != "normal"
    location = said.location.display_name if said.location else None
    join = joins.find(
        structured=(
            said.online_meeting.join_url if said.online_meeting else None,
            said.online_meeting_url,
            said.location.location_uri if said.location else None,
        ),
        location=location,
    )
    uid = series_uid(said.i_cal_u_id) if said.i_cal_u_id else None
    who = said.organizer.email_address if said.organizer else None
    return CalendarEntry(
        entry_id=EntryId(said.id),
        ical_uid=uid,
        starts_at=starts_at,
        ends_at=ends_at,
        all_day=bool(said.is_all_day),
        meeting=Meeting(
            title=None if private else (said.subject or "").strip() or None,
            organizer=(who.name or "").strip() or None if who else None,
            organizer_address=(who.address or "").strip() or None if who else None,
            platform=join.platform if join else None,
            join=join.link if join else None,
            ical_uid=uid,
            private=private,
        ),
        join_pending=keywords.join_pending(location, join.link if join else None),
    )


def _days(said: Event, zone: tzinfo) -> tuple[datetime, datetime]:
    """An all-day entry's dates are the room's, whatever zone they are labelled with."""
    first, after = (date.fromisoformat(when.date_time[:10]) for when in (said.start, said.end))
    days = window.all_day(first, after, zone)
    return days.starts_at, days.ends_at


def _instant(when: _When, zone: tzinfo) -> datetime:
    at = datetime.fromisoformat(when.date_time)
    return (at if at.tzinfo else at.replace(tzinfo=zone_named(when.time_zone, zone))).astimezone(UTC)


_UTC_NAMES = frozenset({"utc", "etc/utc", "gmt", "z", "tzone://microsoft/utc"})
_WINDOWS_ZONES: Final = {name.lower(): iana for name, iana in win_tz.items()}


def zone_named(name: str, otherwise: tzinfo) -> tzinfo:
    """A zone by the name that Exchange gives it: Windows' or IANA's; `otherwise` for one made by hand."""
    if name.lower() in _UTC_NAMES:
        return UTC
    try:
        return ZoneInfo(_WINDOWS_ZONES.get(name.lower(), name))
    except (ZoneInfoNotFoundError, ValueError, OSError):  # "tzone://Microsoft/Custom" is one
        return otherwise


# A global object id ([MS-OXOCAL] 2.2.1.27): class, date of the occurrence, more, length and data. The data
# of what came from elsewhere is that calendar's own UID, behind a mark.
_GLOBAL_ID = re.compile(
    r"040000008200E00074C5B7101A82E008[0-9A-F]{8}[0-9A-F]{32}[0-9A-F]{8}((?:[0-9A-F]{2})*)", re.IGNORECASE
)
_FOREIGN_MARK: Final = b"vCal-Uid\x01\x00\x00\x00"


def series_uid(uid: str) -> str:
    """The iCalendar UID that all occurrences of a series share, of the one that Graph gives to each."""
    found = _GLOBAL_ID.fullmatch(uid)
    if found is None:
        return uid
    with_data = bytes.fromhex(found[1])
    if with_data.startswith(_FOREIGN_MARK):
        own = with_data.removeprefix(_FOREIGN_MARK).rstrip(b"\x00")
        if own and own.isascii() and own.decode("ascii").isprintable():
            return own.decode("ascii")
    return uid[:32] + "00000000" + uid[40:]


# ── asking ────────────────────────────────────────────────────────────────────────────────────────


def mailbox_path(address: str) -> str:
    """The path of a room's mailbox, below the version."""
    return f"/users/{quote(address, safe='@')}"


def timestamp(at: datetime) -> str:
    """An instant as Graph writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ── subscriptions and notifications ───────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Graph tells `url` about changes in a room's calendar until `expires_at`."""

    id: str
    address: str  # the room's, in lower case
    url: str
    client_state: str | None = field(
        repr=False
    )  # the secret by which its notifications are known; or not told
    expires_at: datetime


class _Subscription(msgspec.Struct, rename="camel"):
    id: str
    resource: str
    notification_url: str
    expiration_date_time: datetime


_RESOURCE = re.compile(r"/?users(?:/([^/]+)|\('([^']+)'\))/(?:calendar/)?events", re.IGNORECASE)


def subscription(raw: bytes | msgspec.Raw, *, client_state: str | None = None) -> Subscription | None:
    """A subscription to a room's entries; None if it is to anything else or cannot be read."""
    try:
        said = decode(raw, _Subscription)
    except Unreadable:
        return None
    found = _RESOURCE.fullmatch(said.resource)
    if found is None:
        return None
    until = said.expiration_date_time
    return Subscription(
        id=said.id,
        address=unquote(found[1] or found[2]).lower(),
        url=said.notification_url,
        client_state=client_state,
        expires_at=until.astimezone(UTC) if until.tzinfo else until.replace(tzinfo=UTC),
    )


def renew_at(made_at: datetime, expires_at: datetime, *, luck: float) -> datetime:
    """About half way through a subscription's life; `luck` (0 to 1) spreads those that were made together."""
    return made_at + (expires_at - made_at) * (0.45 + 0.1 * luck)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What to do so that there is at most one living subscription for each room; the others want one."""

    keep: tuple[Subscription, ...] = ()  # as we stored them, with the expiry that Graph has
    delete: tuple[str, ...] = ()  # ids of those that call us and that we do not know, or not any more


def reconcile(
    stored: Iterable[Subscription],
    there: Iterable[Subscription],
    *,
    rooms: Iterable[str],
    url: str,
    now: datetime,
) -> Reconciliation:
    """Compare what we remember with what Graph has, at start.

    Ours are those that we remember, that call at `url`, or that call at the same host for one of our rooms:
    Graph has no second one of the same. Others are left alone, also of another agent behind the same host.
    """
    wanted = {room.lower() for room in rooms}
    known = {each.id: each for each in stored}
    keep: dict[str, Subscription] = {}
    delete: list[str] = []
    for each in there:
        ours = known.get(each.id)
        if (
            ours is not None
            and each.address in wanted
            and each.address not in keep
            and each.url == url
            and each.expires_at > now
        ):
            keep[each.address] = replace(ours, address=each.address, expires_at=each.expires_at)
        elif ours or each.url == url or (each.address in wanted and same_door(each.url, url)):
            delete.append(each.id)
    return Reconciliation(
        keep=tuple(keep.values()),
        delete=tuple(delete),
    )


def same_door(one: str, other: str) -> bool:
    """Whether both lead to the same receiver, whatever path."""
    try:
        return urlsplit(one).netloc.lower() == urlsplit(other).netloc.lower()
    except ValueError:
        return False


class Lifecycle(StrEnum):
    """What Graph says of a subscription itself."""

    REAUTHORIZE = "reauthorizationRequired"  # renew it (that reauthorises, too), or it falls silent
    REMOVED = "subscriptionRemoved"  # make it anew, and list the room
    MISSED = "missed"  # list the room


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Something changed in the calendar that a subscription is to: look again."""

    subscription_id: str
    client_state: str = field(repr=False)  # to be compared with the subscription's, in constant time


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleNotice:
    """Something is to be done about a subscription."""

    subscription_id: str
    client_state: str = field(repr=False)  # the same
    what: Lifecycle


class _Notification(msgspec.Struct, rename="camel"):
    subscription_id: str
    client_state: str | None = None
    lifecycle_event: str | None = None


MOST_UNREADABLE: Final = 100  # things in one notification


class _Notifications(msgspec.Struct):
    value: list[msgspec.Raw]


def notified(body: bytes) -> Iterator[Hint | LifecycleNotice]:
    """What a notification says, in its order and each thing once; Unreadable if it is none.

    Nothing of it is true before its secret has been compared. It is read as far as it is asked for.
    """
    try:
        said = decode(body, _Notifications)
    except Unreadable:
        raise Unreadable("not a notification") from None
    return _each(said.value)


def _each(said: Iterable[msgspec.Raw]) -> Iterator[Hint | LifecycleNotice]:
    heard: set[Hint | LifecycleNotice] = set()
    unreadable = 0
    for raw in said:
        try:
            each = _heard(decode(raw, _Notification))
        except Unreadable:
            unreadable += 1
            if unreadable >= MOST_UNREADABLE:
                return  # not Graph's word
            continue  # the others still count
        if each not in heard:
            heard.add(each)
            yield each


def _heard(said: _Notification) -> Hint | LifecycleNotice:
    secret = said.client_state or ""
    if said.lifecycle_event is not None:
        try:
            what = Lifecycle(said.lifecycle_event)
        except ValueError:
            what = Lifecycle.MISSED  # a word that came later: looking again is never wrong
        return LifecycleNotice(
            subscription_id=said.subscription_id,
            client_state=secret,
            what=what,
        )
    return Hint(subscription_id=said.subscription_id, client_state=secret)
