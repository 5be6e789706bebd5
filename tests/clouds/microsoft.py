"""Microsoft 365 as the network sees it: a tenant's token endpoint and Graph, with what goes wrong there."""

import asyncio
import base64
import binascii
import hashlib
import html
import itertools
import json
import re
import secrets
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from zoneinfo import ZoneInfo

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from tests.clouds.serving import (
    Concurrency,
    Json,
    Request,
    Response,
    Rests,
    Serving,
    call,
    nothing,
    tree,
)

READ: Final = frozenset({"Place.Read.All", "Calendars.Read"})
READ_WRITE: Final = READ | {"Calendars.ReadWrite"}
LONGEST: Final = timedelta(minutes=10_080)
SHORTEST: Final = timedelta(minutes=45)
MAILBOX_CONCURRENCY: Final = 4
BATCH: Final = 20
GRAPH: Final = "https://graph.microsoft.com/v1.0/$metadata"

# What an event has in v1.0 (its published type), for $select and for bodies.
EVENT_PROPERTIES: Final = frozenset(
    [
        "id",
        "createdDateTime",
        "lastModifiedDateTime",
        "changeKey",
        "categories",
        "transactionId",
        "originalStartTimeZone",
        "originalEndTimeZone",
        "iCalUId",
        "reminderMinutesBeforeStart",
        "isReminderOn",
        "hasAttachments",
        "subject",
        "bodyPreview",
        "importance",
        "sensitivity",
        "isAllDay",
        "isCancelled",
        "isOrganizer",
        "responseRequested",
        "seriesMasterId",
        "showAs",
        "type",
        "webLink",
        "onlineMeetingUrl",
        "isOnlineMeeting",
        "onlineMeetingProvider",
        "allowNewTimeProposals",
        "isDraft",
        "hideAttendees",
        "responseStatus",
        "body",
        "start",
        "end",
        "location",
        "locations",
        "recurrence",
        "attendees",
        "organizer",
        "onlineMeeting",
        "originalStart",
    ]
)
SUBSCRIPTION_PROPERTIES: Final = frozenset(
    [
        "applicationId",
        "changeType",
        "clientState",
        "creatorId",
        "encryptionCertificate",
        "encryptionCertificateId",
        "expirationDateTime",
        "id",
        "includeResourceData",
        "latestSupportedTlsVersion",
        "lifecycleNotificationUrl",
        "notificationQueryOptions",
        "notificationUrl",
        "notificationUrlAppId",
        "resource",
    ]
)


@dataclass(slots=True, kw_only=True)
class Entry:
    """One entry of a mailbox's calendar; `fields` as Graph writes them, but for its times."""

    key: str
    starts: datetime | date  # aware, or a date for all day
    ends: datetime | date
    fields: dict[str, Json]

    @property
    def all_day(self) -> bool:
        return not isinstance(self.starts, datetime)

    def span(self) -> tuple[datetime, datetime]:
        return _moment(self.starts), _moment(self.ends)


@dataclass(slots=True, kw_only=True)
class Mailbox:
    """A room."""

    address: str
    place: dict[str, Json] | None  # as in the list of rooms; None: hidden from it
    zone: str = "W. Europe Standard Time"  # as Exchange names it
    entries: dict[str, Entry] = field(default_factory=dict)
    refusal: tuple[int, str, str] | None = None  # status, code, message: for whoever reads it


@dataclass(slots=True, kw_only=True)
class Subscription:
    """Somebody wants to be told."""

    body: dict[str, Json]
    address: str
    lasting_ids: bool
    made_at: datetime
    renewals: int = 0
    reauthorized: int = 0


@dataclass(slots=True, kw_only=True)
class Faults:
    """Switches."""

    token_refusal: tuple[int, str, int | None] | None = None  # status, error, AADSTS number
    no_next_links: bool = False  # in the list of rooms, although there is more
    count_off_by: int = 0  # what @odata.count says too much
    foreign_next_link: str | None = None
    endless: bool = False  # every page leads to itself
    ignore_prefer: bool = False  # times in the entry's own zone
    lose_from_batch: int = 0  # so many answers are left out, once
    batch_failures: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)  # by address
    subscription_lasts: timedelta = LONGEST
    latency_s: float = 0.0
    writing_latency_s: float = 0.0  # the same for what changes something


class Microsoft365:
    """A tenant with its rooms. Serve `answer` with `Serving`; change it as you like while it is served.

    `mailboxes` counts who is at each mailbox at once, `asked` how often each was, `rests` whether Retry-After
    was obeyed; `receiver` is the TLS context with which notifications are sent.
    """

    def __init__(
        self,
        *,
        tenant: str = "contoso.example",
        client_id: str = "app-1",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.tenant = tenant
        self.client_id = client_id
        self.now = now
        self.secrets = {"s3cret"}
        self.certificates: list[x509.Certificate] = []
        self.roles = set(READ)
        self.rooms: dict[str, Mailbox] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.faults = Faults()
        self.mailboxes = Concurrency()
        self.rests = Rests()
        self.asked: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()  # by endpoint
        self.written = asyncio.Event()  # somebody asked to change an entry
        self.problems: list[str] = []  # what a client asked that Graph does not understand
        self.receiver: ssl.SSLContext | None = None
        self.delivered: list[tuple[str, int]] = []  # subscription, status that the receiver gave
        self.service: Serving | None = None  # for links; set by who serves
        self._tokens: dict[str, tuple[datetime, frozenset[str]]] = {}
        self._assertions: set[str] = set()
        self._throttled: dict[str, tuple[int, int]] = {}
        self._booked: dict[str, str] = {}
        self._numbers = itertools.count(1)

    # ── what tests change ──

    def add_room(
        self, address: str, name: str | None = None, *, hidden: bool = False, **place: Json
    ) -> Mailbox:
        number = len(self.rooms) + 1
        named = name or address.partition("@")[0].title()
        shown: dict[str, Json] = {
            "id": f"3162F1E1-C4C0-604B-51D8-{number:012d}",
            "emailAddress": address,
            "displayName": named,
            "nickname": named,
            "label": str(number),
            "capacity": 8,
            "building": "1",
            "floorNumber": 2,
            "floorLabel": None,
            "isWheelChairAccessible": False,
            "bookingType": "standard",
            "tags": [],
            "phone": "",
            "audioDeviceName": None,
            "videoDeviceName": None,
            "displayDeviceName": None,
            "address": {"city": "Oslo", "countryOrRegion": "Norway"},
            "geoCoordinates": {"latitude": 59.9, "longitude": 10.6, "altitude": None, "accuracy": None},
            **place,
        }
        mailbox = Mailbox(address=address, place=None if hidden else shown)
        self.rooms[address.lower()] = mailbox
        return mailbox

    def add(
        self,
        address: str,
        subject: str | None,
        starts: datetime | date,
        ends: datetime | date,
        **fields: Json,
    ) -> str:
        """An entry in a room's calendar, accepted by the room; its key. Dates make it all day."""
        mailbox = self.rooms[address.lower()]
        number = next(self._numbers)
        key = f"e{number}"
        created = self.now() + timedelta(microseconds=number)
        unique = hashlib.sha256(key.encode()).hexdigest().upper()
        mailbox.entries[key] = Entry(
            key=key,
            starts=starts,
            ends=ends,
            fields={
                "changeKey": f"ck-{key}-1",
                "createdDateTime": f"{created.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z",
                "iCalUId": _global_id(unique, None),
                "subject": subject,
                "bodyPreview": "",
                "importance": "normal",
                "sensitivity": "normal",
                "isCancelled": False,
                "isDraft": False,
                "isOrganizer": False,
                "isReminderOn": False,
                "responseRequested": True,
                "seriesMasterId": None,
                "showAs": "busy",
                "type": "singleInstance",
                "hasAttachments": False,
                "categories": [],
                "originalStartTimeZone": mailbox.zone,
                "originalEndTimeZone": mailbox.zone,
                "onlineMeetingUrl": None,
                "isOnlineMeeting": False,
                "onlineMeetingProvider": "unknown",
                "onlineMeeting": None,
                "responseStatus": {"response": "accepted", "time": "2026-01-01T10:11:12Z"},
                "body": {"contentType": "text", "content": ""},
                "location": {"displayName": "", "locationType": "default", "uniqueIdType": "unknown"},
                "locations": [],
                "attendees": [
                    {
                        "type": "resource",
                        "status": {"response": "accepted", "time": "0001-01-01T00:00:00Z"},
                        "emailAddress": {"name": address, "address": address},
                    }
                ],
                "organizer": {"emailAddress": {"name": "Ada Lovelace", "address": "ada@contoso.example"}},
                **fields,
            },
        )
        return key

    def add_series(
        self,
        address: str,
        subject: str,
        *,
        first: date,
        at: str,
        minutes: int,
        zone: str,
        days: Sequence[int],
        windows_zone: str,
    ) -> tuple[str, ...]:
        """A series, one occurrence on `first` and each so many days later, at the same time by its clock."""
        unique = hashlib.sha256(f"{address}{subject}{first}".encode()).hexdigest().upper()
        hour, minute = (int(part) for part in at.split(":"))
        keys = []
        for days_later in days:
            day = first + timedelta(days=days_later)
            starts = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(zone))
            ends = (starts.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone))
            keys.append(
                self.add(
                    address,
                    subject,
                    starts,
                    ends,
                    type="occurrence",
                    seriesMasterId="AAMkmaster",
                    iCalUId=_global_id(unique, day),
                    originalStartTimeZone=windows_zone,
                    originalEndTimeZone=windows_zone,
                )
            )
        return tuple(keys)

    def change(self, address: str, key: str, **fields: Json) -> None:
        """Change an entry; `starts` and `ends` move it."""
        entry = self.rooms[address.lower()].entries[key]
        entry.starts = fields.pop("starts", entry.starts)
        entry.ends = fields.pop("ends", entry.ends)
        entry.fields.update(fields)
        stem, _, number = entry.fields["changeKey"].rpartition("-")
        entry.fields["changeKey"] = f"{stem}-{int(number) + 1}"

    def expire_tokens(self) -> None:
        """All tokens that were given lapse."""
        self._tokens = {token: (self.now(), roles) for token, (_, roles) in self._tokens.items()}

    def throttle(self, address: str, *, seconds: int, times: int = 1) -> None:
        """The next so many requests for a mailbox are told to wait."""
        self._throttled[address.lower()] = (seconds, times)

    # ── being asked ──

    async def answer(self, request: Request) -> Response:
        """What the tenant's token endpoint and Graph say."""
        segments = request.path.strip("/").split("/")
        if segments[-2:] == ["v2.0", "token"] and request.method == "POST":
            self.calls["token"] += 1
            return self._token(segments[0], request)
        if segments[-1] == "openid-configuration":
            return self._discovery(segments[0])
        if segments[0] != "v1.0":
            return _error(404, "ResourceNotFound", "no such version")
        roles = self._roles(request)
        if isinstance(roles, Response):
            return roles
        if segments[1:] == ["$batch"] and request.method == "POST":
            return await self._batch(request, roles)
        body: Json = None
        if request.body:
            try:
                body = request.json()
            except ValueError:
                return _error(400, "BadRequest", "Unable to read JSON request payload.")
        return await self._graph(
            request.method, segments[1:], request.query, request.headers.get("prefer", ""), body, roles
        )

    async def _graph(
        self,
        method: str,
        segments: Sequence[str],
        query: Mapping[str, str],
        prefer: str,
        body: Json,
        roles: frozenset[str],
    ) -> Response:
        match method, *segments:
            case "GET", "places", "microsoft.graph.room" | "graph.room":
                self.calls["places"] += 1
                return self._places(query, roles)
            case "GET", "places", who:
                self.calls["place"] += 1
                return self._place(who, roles)
            case _, "users", who, *rest if rest:
                return await self._mailbox(method, who, rest, query, prefer, body, roles)
            case _, "subscriptions", *rest:
                self.calls["subscriptions"] += 1
                return await self._subscriptions(method, rest, body, prefer, roles)
        self.problems.append(f"{method} /{'/'.join(segments)}")
        return _error(404, "ResourceNotFound", "Resource not found for the segment.")

    # ── tokens ──

    def _discovery(self, tenant: str) -> Response:
        base = self._base()
        return tree(
            {
                "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/devicecode",
                "issuer": f"{base}/{tenant}/v2.0",
                "jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys",
                "tenant_region_scope": "EU",
            }
        )

    def _token(self, tenant: str, request: Request) -> Response:
        if self.faults.token_refusal is not None:
            return self._no_token(*self.faults.token_refusal)
        form = request.form
        if tenant != self.tenant:
            return self._no_token(400, "invalid_request", 90002)
        if form.get("grant_type") != "client_credentials":
            return self._no_token(400, "unsupported_grant_type", 70003)
        if not form.get("scope", "").endswith("/.default"):
            return self._no_token(400, "invalid_scope", 1002012)
        if form.get("client_id") != self.client_id:
            return self._no_token(400, "unauthorized_client", 700016)
        if "client_assertion" in form:
            wrong = self._unsigned(form)
        else:
            wrong = None if form.get("client_secret") in self.secrets else 7000215
        if wrong is not None:
            return self._no_token(401, "invalid_client", wrong)
        token = f"eyJ.{secrets.token_urlsafe(24)}"
        self._tokens[token] = (self.now() + timedelta(seconds=3599), frozenset(self.roles))
        return tree(
            {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}
        )

    def _unsigned(self, form: Mapping[str, str]) -> int | None:
        """The AADSTS number of what is wrong with an assertion."""
        if form.get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
            return 50027
        try:
            signed, _, signature = form["client_assertion"].rpartition(".")
            header, claims = (json.loads(_unpadded(part)) for part in signed.split("."))
            key = self._certificate(header)
            _verify(key, header["alg"], _unpadded(signature), signed.encode())
        except (ValueError, KeyError, InvalidSignature, binascii.Error):
            return 700027
        now = self.now().timestamp()
        if not claims.get("nbf", now) - 300 <= now <= claims["exp"] + 300 or claims["exp"] - now > 86400:
            return 700024
        audience = f"{self._base()}/{self.tenant}/oauth2/v2.0/token"
        if claims["aud"] not in (audience, f"{self._base()}/{self.tenant}/v2.0"):
            return 700023
        if claims["iss"] != self.client_id or claims["sub"] != self.client_id:
            return 700021
        if claims["jti"] in self._assertions:
            return 700027
        self._assertions.add(claims["jti"])
        return None

    def _certificate(self, header: Mapping[str, str]) -> RSAPublicKey:
        for certificate in self.certificates:
            der = certificate.public_bytes(Encoding.DER)
            prints = {
                "x5t#S256": hashlib.sha256(der).digest(),
                "x5t": hashlib.sha1(der).digest(),
            }
            if any(_unpadded(header[name]) == value for name, value in prints.items() if name in header):
                key = certificate.public_key()
                assert isinstance(key, RSAPublicKey)
                return key
        raise KeyError("no such certificate")

    def _no_token(self, status: int, error: str, number: int | None) -> Response:
        shown = f"AADSTS{number}: " if number else ""
        said: dict[str, Json] = {
            "error": error,
            "error_description": f"{shown}Something about '{self.client_id}'. Trace ID: 1 Correlation ID: 2",
            "error_codes": [number] if number else [],
            "timestamp": "2026-01-01 00:00:00Z",
            "trace_id": "1",
            "correlation_id": "2",
        }
        if number:
            said["error_uri"] = f"https://login.microsoftonline.com/error?code={number}"
        return tree(said, status)

    def _roles(self, request: Request) -> frozenset[str] | Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self._tokens:
            return _error(401, "InvalidAuthenticationToken", "Access token is empty or invalid.")
        until, roles = self._tokens[token]
        if self.now() >= until:
            return _error(
                401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired."
            )
        if not roles:
            said = {
                "ErrorCode": "UnauthorizedAccessException",
                "Message": "Either scp or roles claim need to be present in the token.",
            }
            refusal = _error(401, "UnknownError", json.dumps(said))
            reason = (
                '2000008;reason="The token contains no permissions, or permissions can not be understood.";'
                'error_category="invalid_grant"'
            )
            return Response(
                status=401, headers={**refusal.headers, "x-ms-diagnostics": reason}, body=refusal.body
            )
        return roles

    # ── rooms ──

    def _places(self, query: Mapping[str, str], roles: frozenset[str]) -> Response:
        if "Place.Read.All" not in roles:
            return _insufficient()
        shown = [room.place for room in self.rooms.values() if room.place is not None]
        top, skip = int(query.get("$top", "100")), int(query.get("$skip", "0"))
        page = shown[skip : skip + top]
        said: dict[str, Json] = {"@odata.context": f"{GRAPH}#places/microsoft.graph.room"}
        if query.get("$count") == "true":
            said["@odata.count"] = len(shown) + self.faults.count_off_by
        if self.faults.foreign_next_link:
            said["@odata.nextLink"] = self.faults.foreign_next_link
        elif skip + top < len(shown) and not self.faults.no_next_links:
            rest = urlencode({"$top": top, "$skip": skip + top, **_kept(query, "$count")})
            said["@odata.nextLink"] = f"{self._base()}/v1.0/places/microsoft.graph.room?{rest}"
        said["value"] = [{"placeId": place["id"], **place} for place in page]
        return tree(said)

    def _place(self, who: str, roles: frozenset[str]) -> Response:
        if "Place.Read.All" not in roles:
            return _insufficient()
        for room in self.rooms.values():
            if room.place and who.lower() in (room.address.lower(), room.place["id"].lower()):
                kind = {"@odata.type": "#microsoft.graph.room"}
                return tree({"@odata.context": f"{GRAPH}#places/$entity", **kind, **room.place})
        return _error(404, "ResourceNotFound", "The specified place was not found.")

    # ── mailboxes ──

    async def _mailbox(
        self,
        method: str,
        who: str,
        rest: Sequence[str],
        query: Mapping[str, str],
        prefer: str,
        body: Json,
        roles: frozenset[str],
    ) -> Response:
        address = who.lower()
        self.calls["mailbox"] += 1
        self.asked[address] += 1
        self.rests.asked(address)
        with self.mailboxes.one(address) as at_once:
            if method != "GET":
                self.written.set()
            latency_s = self.faults.latency_s + (self.faults.writing_latency_s if method != "GET" else 0.0)
            if latency_s:
                await asyncio.sleep(latency_s)
            if at_once > MAILBOX_CONCURRENCY:
                return self._wait(address, 1, "Application is over its MailboxConcurrency limit.")
            seconds, times = self._throttled.get(address, (0, 0))
            if times:
                self._throttled[address] = (seconds, times - 1)
                return self._wait(address, seconds, "Too many requests.")
            mailbox = self.rooms.get(address)
            if mailbox is None:
                return _error(404, "ErrorInvalidUser", f"The requested user '{who}' is invalid.")
            if mailbox.refusal is not None:
                return _error(*mailbox.refusal)
            if not roles & {"Calendars.Read", "Calendars.ReadWrite"}:
                return _error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
            if method != "GET" and "Calendars.ReadWrite" not in roles:
                return _error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
            return self._calendar(method, mailbox, rest, query, prefer, body)

    def _wait(self, address: str, seconds: int, message: str) -> Response:
        self.rests.tell(address, seconds)
        return _error(429, "ApplicationThrottled", message, Retry_After=str(seconds))

    def _calendar(
        self,
        method: str,
        mailbox: Mailbox,
        rest: Sequence[str],
        query: Mapping[str, str],
        prefer: str,
        body: Json,
    ) -> Response:
        match method, *rest:
            case "GET", "calendarView":
                return self._view(mailbox, query, prefer)
            case "POST", "events":
                return self._book(mailbox, body, prefer)
            case "GET", "events", name:
                if (entry := self._entry(mailbox, name)) is None:
                    return _not_found()
                return tree(self._shown(entry, query, prefer))
            case "PATCH", "events", name:
                if (entry := self._entry(mailbox, name)) is None:
                    return _not_found()
                return self._edit(mailbox, entry, body, prefer)
            case "DELETE", "events", name:
                if (entry := self._entry(mailbox, name)) is None:
                    return _not_found()
                del mailbox.entries[entry.key]
                return nothing()
            case "POST", "events", name, "decline":
                if (entry := self._entry(mailbox, name)) is None:
                    return _not_found()
                if entry.fields["isOrganizer"]:
                    return _error(400, "ErrorInvalidRequest", "You can't respond to this meeting: organizer.")
                if (
                    body.get("SendResponse", body.get("sendResponse", True))
                    and not entry.fields["responseRequested"]
                ):
                    return _error(400, "ErrorInvalidRequest", "The organizer hasn't requested a response.")
                del mailbox.entries[entry.key]
                return nothing(HTTPStatus.ACCEPTED)
        self.problems.append(f"{method} /users/…/{'/'.join(rest)}")
        return _error(404, "ResourceNotFound", "Resource not found for the segment.")

    def _view(self, mailbox: Mailbox, query: Mapping[str, str], prefer: str) -> Response:
        if "startDateTime" not in query or "endDateTime" not in query:
            return _error(400, "ErrorInvalidParameter", "This request requires a time window.")
        if unknown := set(filter(None, query.get("$select", "").split(","))) - EVENT_PROPERTIES:
            self.problems.append(f"$select={sorted(unknown)}")
            return _error(400, "RequestBroker--ParseUri", f"Could not find a property named {unknown}.")
        begin, end = (_query_time(query[name]) for name in ("startDateTime", "endDateTime"))
        top, skip = int(query.get("$top", "10")), int(query.get("$skip", "0"))
        if not 1 <= top <= 1000:
            return _error(400, "ErrorInvalidUrlQuery", "$top is out of range.")
        there = [
            entry for entry in mailbox.entries.values() if entry.span()[0] < end and entry.span()[1] > begin
        ]
        there.sort(key=lambda entry: entry.span())
        said: dict[str, Json] = {
            "@odata.context": f"{GRAPH}#users('{quote(mailbox.address)}')/calendarView",
            "value": [self._shown(entry, query, prefer) for entry in there[skip : skip + top]],
        }
        if self.faults.foreign_next_link:
            said["@odata.nextLink"] = self.faults.foreign_next_link
        elif skip + top < len(there) or self.faults.endless:
            more = skip if self.faults.endless else skip + top
            rest = urlencode({**query, "$skip": more})
            path = f"/v1.0/users/{quote(mailbox.address, safe='')}/calendarView"
            said["@odata.nextLink"] = f"{self._base()}{path}?{rest}"
        return tree(said)

    def _shown(self, entry: Entry, query: Mapping[str, str], prefer: str) -> dict[str, Json]:
        wanted = set(filter(None, query.get("$select", "").split(","))) or EVENT_PROPERTIES
        zone = "UTC" if not self.faults.ignore_prefer and 'outlook.timezone="UTC"' in prefer else None
        lasting = "ImmutableId" in prefer
        whole = {
            **entry.fields,
            "isAllDay": entry.all_day,
            "start": _written_time(entry.starts, zone or entry.fields["originalStartTimeZone"]),
            "end": _written_time(entry.ends, zone or entry.fields["originalEndTimeZone"]),
        }
        if "outlook.body-content-type" not in prefer and whole["body"]["contentType"] == "text":
            content = f"<html><body>{html.escape(whole['body']['content'])}</body></html>"
            whole["body"] = {"contentType": "html", "content": content}
        return {
            "@odata.etag": f'W/"{entry.fields["changeKey"]}"',
            "id": f"{'AAkALg' if lasting else 'AAMkAG'}-{entry.key}=",
            **{name: value for name, value in whole.items() if name in wanted},
        }

    def _entry(self, mailbox: Mailbox, name: str) -> Entry | None:
        found = re.fullmatch(r"(?:AAkALg|AAMkAG)-(e[0-9]+)=", name)
        return mailbox.entries.get(found[1]) if found else None

    def _book(self, mailbox: Mailbox, body: Json, prefer: str) -> Response:
        if unknown := set(body) - EVENT_PROPERTIES - {"@odata.type"}:
            self.problems.append(f"event: {sorted(unknown)}")
            return _error(400, "RequestBodyRead", f"The property {unknown} does not exist on type event.")
        transaction = body.get("transactionId")
        if transaction not in self._booked:
            times = [_body_time(body[name]) for name in ("start", "end")]
            own = {
                name: body[name] for name in EVENT_PROPERTIES - {"start", "end", "subject"} if name in body
            }
            key = self.add(mailbox.address, body.get("subject"), *times, **{**own, "isOrganizer": True})
            self._booked[transaction or key] = key
            transaction = transaction or key
        entry = mailbox.entries[self._booked[transaction]]
        return tree(self._shown(entry, {}, prefer), HTTPStatus.CREATED)

    def _edit(self, mailbox: Mailbox, entry: Entry, body: Json, prefer: str) -> Response:
        if unknown := set(body) - EVENT_PROPERTIES - {"@odata.type"}:
            self.problems.append(f"event: {sorted(unknown)}")
            return _error(400, "RequestBodyRead", f"The property {unknown} does not exist on type event.")
        moved = {f"{name}s": _body_time(body[name]) for name in ("start", "end") if name in body}
        rest = {name: value for name, value in body.items() if name in EVENT_PROPERTIES - {"start", "end"}}
        self.change(mailbox.address, entry.key, **moved, **rest)
        return tree(self._shown(entry, {}, prefer))

    # ── batches ──

    async def _batch(self, request: Request, roles: frozenset[str]) -> Response:
        self.calls["batch"] += 1
        asked = request.json().get("requests", [])
        if not 0 < len(asked) <= BATCH or len({each["id"] for each in asked}) < len(asked):
            self.problems.append(f"a batch of {len(asked)}")
            return _error(400, "BadRequest", "Number of batch request steps exceeds the max value of 20.")
        four = asyncio.Semaphore(MAILBOX_CONCURRENCY)  # so many does Graph pass on at once

        async def one(each: Json) -> Json:
            async with four:
                url = urlsplit(each["url"])
                segments = [unquote(part) for part in url.path.strip("/").split("/")]
                headers = {name.lower(): value for name, value in each.get("headers", {}).items()}
                planned = self.faults.batch_failures.get(segments[1].lower() if len(segments) > 1 else "")
                if planned:
                    status, shown = planned.pop(0)
                    if "Retry-After" in shown:
                        self.rests.tell(segments[1].lower(), float(shown["Retry-After"]))
                    self.asked[segments[1].lower()] += 1
                    response = _error(status, "Planned", "planned")
                    return {
                        "id": each["id"],
                        "status": status,
                        "headers": {**shown, "Content-Type": "application/json"},
                        "body": response.json(),
                    }
                response = await self._graph(
                    each["method"],
                    segments,
                    dict(parse_qsl(url.query)),
                    headers.get("prefer", ""),
                    each.get("body"),
                    roles,
                )
            said = {"id": each["id"], "status": int(response.status), "headers": dict(response.headers)}
            return {**said, "body": response.json()} if response.body else said

        answers = list(await asyncio.gather(*(one(each) for each in asked)))
        answers.reverse()  # in no order that a client may rely on
        lost, self.faults.lose_from_batch = self.faults.lose_from_batch, 0
        return tree({"responses": answers[lost:]})

    # ── subscriptions ──

    async def _subscriptions(
        self, method: str, rest: Sequence[str], body: Json, prefer: str, roles: frozenset[str]
    ) -> Response:
        self._lapse()
        self.rests.asked("subscriptions")
        match method, *rest:
            case ("GET",):
                shown = [{**each.body, "clientState": None} for each in self.subscriptions.values()]
                return tree({"@odata.context": f"{GRAPH}#subscriptions", "value": shown})
            case ("POST",):
                return await self._subscribe(body, prefer, roles)
            case "PATCH", name if name in self.subscriptions:
                subscription = self.subscriptions[name]
                if set(body) - {"expirationDateTime", "notificationUrl", "@odata.type"}:
                    self.problems.append(f"subscription: {sorted(body)}")
                    return _error(400, "InvalidRequest", "Only expiration and notification URL can change.")
                wrong = self._expiry(subscription, body)
                subscription.renewals += 1
                return wrong or tree(
                    {
                        "@odata.context": f"{GRAPH}#subscriptions/$entity",
                        **subscription.body,
                        "clientState": None,
                    }
                )
            case "DELETE", name if name in self.subscriptions:
                del self.subscriptions[name]
                return nothing()
            case "POST", name, "reauthorize" if name in self.subscriptions:
                self.subscriptions[name].reauthorized += 1
                return nothing()
        return _error(404, "ResourceNotFound", "The object was not found.")

    async def _subscribe(self, body: Json, prefer: str, roles: frozenset[str]) -> Response:
        if unknown := set(body) - SUBSCRIPTION_PROPERTIES - {"@odata.type"}:
            self.problems.append(f"subscription: {sorted(unknown)}")
            return _error(400, "InvalidRequest", f"The property {unknown} does not exist on subscription.")
        missing = {"changeType", "notificationUrl", "resource", "expirationDateTime"} - set(body)
        if missing or len(body.get("clientState") or "") > 128:
            return _error(400, "InvalidRequest", f"missing {sorted(missing)}, or clientState is too long")
        found = re.fullmatch(r"/?users/([^/]+)/(?:calendar/)?events", body["resource"], re.IGNORECASE)
        mailbox = self.rooms.get(unquote(found[1]).lower()) if found else None
        if mailbox is None:
            return _error(404, "ResourceNotFound", "The requested resource does not exist.")
        if mailbox.refusal is not None or not roles & {"Calendars.Read", "Calendars.ReadWrite"}:
            return _error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        for url in (body["notificationUrl"], body.get("lifecycleNotificationUrl")):
            if url is not None and (why := await self._invalid(url)) is not None:
                return _error(400, "ValidationError", f"Subscription validation request failed. {why}")
        resource = body["resource"].strip("/").lower()
        for other in self.subscriptions.values():
            same = other.body["resource"].strip("/").lower(), other.body["changeType"]
            if same == (resource, body["changeType"]):
                return _error(409, "ExtensionError", "Subscription already exists for this resource.")
        subscription = Subscription(
            address=mailbox.address.lower(),
            lasting_ids="ImmutableId" in prefer,
            made_at=self.now(),
            body={
                "id": f"7f105c7d-2dc5-4530-97cd-{next(self._numbers):012d}",
                "applicationId": self.client_id,
                "creatorId": "8ee44408-0679-472c-bc2a-692812af3437",
                "encryptionCertificate": None,
                "includeResourceData": False,
                "lifecycleNotificationUrl": None,
                "clientState": None,
                **body,
            },
        )
        if (wrong := self._expiry(subscription, body)) is not None:
            return wrong
        self.subscriptions[subscription.body["id"]] = subscription
        return tree(
            {"@odata.context": f"{GRAPH}#subscriptions/$entity", **subscription.body}, HTTPStatus.CREATED
        )

    def _expiry(self, subscription: Subscription, body: Json) -> Response | None:
        until = datetime.fromisoformat(body["expirationDateTime"])
        if until > self.now() + LONGEST or until <= self.now():
            return _error(400, "InvalidRequest", "Subscription expiration can only be 10080 minutes ahead.")
        until = min(max(until, self.now() + SHORTEST), self.now() + self.faults.subscription_lasts)
        subscription.body["expirationDateTime"] = until.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return None

    def _lapse(self) -> None:
        for name, each in tuple(self.subscriptions.items()):
            if datetime.fromisoformat(each.body["expirationDateTime"]) <= self.now():
                del self.subscriptions[name]

    async def _invalid(self, url: str) -> str | None:
        """Asks a receiver to prove itself; why it did not."""
        if not url.startswith("https://"):
            return "The notification URL must be HTTPS."
        token = f"Validation: Testing+reachability/for=%2F<script>{secrets.token_hex(4)}</script> & more"
        joint = "&" if urlsplit(url).query else "?"
        try:
            answer = await call(
                f"{url}{joint}{urlencode({'validationToken': token})}",
                headers={"Content-Type": "text/plain; charset=utf-8"},
                context=self.receiver,
            )
        except (OSError, TimeoutError) as error:
            return f"Not reached: {error}."
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        if answer.status != HTTPStatus.OK or kind != "text/plain" or answer.body != token.encode():
            return f"Must respond with 200 OK and the token as text/plain; was {answer.status} {kind}."
        return None

    # ── telling ──

    async def notify(self, address: str, *, key: str = "e1", change: str = "updated", times: int = 1) -> None:
        """Tells all who subscribed to a room's calendar, each so many times."""
        for subscription in self._subscribed(address):
            prefix = "AAkALg" if subscription.lasting_ids else "AAMkAG"
            resource = f"Users/ddfcd489-628b-40d7-b48b-57002df800e5/Events/{prefix}-{key}="
            said = {
                "id": "lsgTZMr9KwAAA",
                "subscriptionId": subscription.body["id"],
                "subscriptionExpirationDateTime": subscription.body["expirationDateTime"],
                "clientState": subscription.body["clientState"],
                "changeType": change,
                "resource": resource,
                "tenantId": self.tenant,
                "resourceData": {
                    "@odata.type": "#Microsoft.Graph.Event",
                    "@odata.id": resource,
                    "@odata.etag": 'W/"1"',
                    "id": f"{prefix}-{key}=",
                },
            }
            await self._deliver(
                subscription,
                subscription.body["notificationUrl"],
                {"value": [said] * times, "validationTokens": None},
            )

    async def tell_lifecycle(self, address: str, word: str) -> None:
        """Says something about the subscriptions to a room's calendar themselves."""
        for subscription in self._subscribed(address):
            said = {
                "subscriptionId": subscription.body["id"],
                "subscriptionExpirationDateTime": subscription.body["expirationDateTime"],
                "tenantId": self.tenant,
                "clientState": subscription.body["clientState"],
                "lifecycleEvent": word,
            }
            if word == "subscriptionRemoved":
                del self.subscriptions[subscription.body["id"]]
            url = subscription.body["lifecycleNotificationUrl"]
            if url is not None:
                await self._deliver(subscription, url, {"value": [said]})

    def _subscribed(self, address: str) -> Iterator[Subscription]:
        self._lapse()
        yield from [each for each in self.subscriptions.values() if each.address == address.lower()]

    async def _deliver(self, subscription: Subscription, url: str, said: Json) -> None:
        answer = await call(
            url,
            headers={"Content-Type": "application/json; charset=utf-8"},
            body=json.dumps(said).encode(),
            context=self.receiver,
        )
        self.delivered.append((subscription.body["id"], answer.status))

    def _base(self) -> str:
        return self.service.url if self.service is not None else "https://graph.microsoft.com"


# ── how things are written ────────────────────────────────────────────────────────────────────────


def _error(status: int, code: str, message: str, **headers: str) -> Response:
    said = {
        "code": code,
        "message": message,
        "innerError": {"date": "2026-01-01T00:00:00", "request-id": "r", "client-request-id": "c"},
    }
    return tree({"error": said}, status, **headers)


def _insufficient() -> Response:
    return _error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


def _not_found() -> Response:
    return _error(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def _kept(query: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: query[name] for name in names if name in query}


def _moment(at: datetime | date) -> datetime:
    if isinstance(at, datetime):
        return at.astimezone(UTC)
    return datetime(at.year, at.month, at.day, tzinfo=UTC)


_ZONES: Final = {
    "UTC": "UTC",
    "W. Europe Standard Time": "Europe/Berlin",
    "Pacific Standard Time": "America/Los_Angeles",
    "New Zealand Standard Time": "Pacific/Auckland",
    "tzone://Microsoft/Custom": "Europe/Berlin",
    "tzone://Microsoft/Utc": "UTC",
}


def _written_time(at: datetime | date, zone: str) -> dict[str, str]:
    """An all-day entry's date is midnight in whatever zone is asked for."""
    if isinstance(at, datetime):
        local = at.astimezone(ZoneInfo(_ZONES.get(zone, zone)))
        return {"dateTime": f"{local:%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": zone}
    return {"dateTime": f"{at:%Y-%m-%d}T00:00:00.0000000", "timeZone": zone}


def _query_time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _body_time(said: Json) -> datetime:
    zone = ZoneInfo(_ZONES.get(said["timeZone"], said["timeZone"]))
    return datetime.fromisoformat(said["dateTime"]).replace(tzinfo=zone)


def _global_id(unique: str, day: date | None) -> str:
    """What Exchange calls an entry in all calendars; an occurrence's has its date in it."""
    dated = f"{day.year:04X}{day.month:02X}{day.day:02X}" if day else "00000000"
    return f"040000008200E00074C5B7101A82E008{dated}{unique[:16]}{'0' * 16}10000000{unique[:32]}"


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _verify(key: RSAPublicKey, algorithm: str, signature: bytes, signed: bytes) -> None:
    match algorithm:
        case "PS256":
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
            key.verify(signature, signed, pss, hashes.SHA256())
        case "RS256":
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        case _:
            raise InvalidSignature
