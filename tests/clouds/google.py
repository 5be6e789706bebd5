"""Google Workspace as the network sees it: tokens, Directory, calendars, channels, quotas, and faults."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import secrets
import ssl
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.clouds.google_calendar import (
    WRITERS,
    Calendar,
    Json,
    Malformed,
    TokenTooOld,
    apply_mask,
    moment,
    read_mask,
)
from tests.clouds.serving import CUT, Concurrency, Request, Response, call, nothing, tree

AUDIENCE: Final = "https://oauth2.googleapis.com/token"
BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES: Final = "https://www.googleapis.com/auth/"
SKEW: Final = timedelta(minutes=5)  # of a signed assertion
TOKEN_LASTS: Final = timedelta(seconds=3599)
CHANNEL_LASTS: Final = timedelta(days=7)
CHANNEL_ID: Final = re.compile(r"[A-Za-z0-9\-_+/=]{1,64}")
EVENT_ID: Final = re.compile(r"[a-v0-9]{5,1024}")
MINUTE: Final = timedelta(minutes=1)
AGAIN: Final = frozenset({500, 502, 503, 504})
FREE_BUSY_AT_ONCE: Final = 50
GONE: Final = {
    "fullSyncRequired": "Sync token is no longer valid, a full sync is required.",
    "updatedMinTooLongAgo": "The requested minimum modification time lies too far in the past.",
    "deleted": "Resource has been deleted",
}

READ: Final = frozenset(
    {
        "calendar",
        "calendar.app.created",
        "calendar.events",
        "calendar.events.freebusy",
        "calendar.events.owned",
        "calendar.events.owned.readonly",
        "calendar.events.public.readonly",
        "calendar.events.readonly",
        "calendar.readonly",
    }
)
WRITE: Final = frozenset({"calendar", "calendar.app.created", "calendar.events", "calendar.events.owned"})
STOP: Final = READ | {
    "calendar.acls",
    "calendar.acls.readonly",
    "calendar.calendarlist",
    "calendar.calendarlist.readonly",
    "calendar.settings",
    "calendar.settings.readonly",
}
BUSY: Final = frozenset({"calendar", "calendar.events.freebusy", "calendar.freebusy", "calendar.readonly"})
SETTINGS: Final = frozenset(
    {"calendar", "calendar.readonly", "calendar.settings", "calendar.settings.readonly"}
)
ACL_READ: Final = frozenset({"calendar", "calendar.acls", "calendar.acls.readonly"})
ACL_WRITE: Final = frozenset({"calendar", "calendar.acls"})
ROOMS: Final = frozenset({"admin.directory.resource.calendar", "admin.directory.resource.calendar.readonly"})
CUSTOMER: Final = frozenset({"admin.directory.customer", "admin.directory.customer.readonly"})
VACATION: Final = frozenset({"gmail.modify", "gmail.readonly", "gmail.settings.basic"})


@dataclass
class Faults:
    """What goes wrong, as switches; the same for everybody until a test turns it off."""

    token_refusal: tuple[int, str, str] | None = None  # status, error, description
    token_lasts: timedelta = TOKEN_LASTS
    unauthorized: int = 0  # so many next calls are answered 401, whatever their token
    broken: list[int] = field(default_factory=list)  # the next calls are answered with these statuses
    slow_down: int = 0  # so many next calls are refused for their number
    slow_down_status: int = 403
    retry_after_s: int | None = None  # said with it
    denied: set[str] = field(default_factory=set)  # calendars: 403 forbidden
    directory: tuple[int, str] | None = None  # status and reason of every answer of the Directory
    not_enabled: bool = False  # the Calendar API is not switched on in the project
    gone: list[str] = field(default_factory=list)  # the next listings are answered 410, for these reasons
    gone_on_page: int = 1  # … on this page
    page_size: int | None = None  # pages are no longer than this
    empty_pages: bool = False  # every other page is empty
    skeletons: bool = False  # cancelled events are listed although nobody asked for them
    latency_s: float = 0.0
    cut: int = 0  # so many next calls are carried out, and the line breaks before the answer
    declines: bool = False  # rooms decline every invitation
    deaf: bool = False  # nobody is notified of anything


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One request and what it was answered."""

    request: Request
    template: str  # of the method that took it, or ""
    path: str  # as it was written
    query: Mapping[str, list[str]]
    subject: str
    response: Response
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Somebody who wants to hear when a calendar changes."""

    id: str
    resource_id: str
    calendar: str
    address: str
    token: str | None
    expires_at: datetime
    subject: str


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What an access token stands for."""

    subject: str
    scopes: frozenset[str]
    expires_at: datetime


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        domain: str = "global",
        headers: Mapping[str, str] | None = None,
        extra: Json | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = dict(headers or {})
        error: Json = {"domain": domain, "reason": reason, "message": message, **(extra or {})}
        self.body: Json = {"error": {"errors": [error], "code": code, "message": message}}


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request that may be carried out."""

    names: Mapping[str, str]  # in its path
    query: Mapping[str, list[str]]
    body: Json
    subject: str

    def one(self, name: str) -> str | None:
        values = self.query.get(name, [])
        if len(values) > 1:
            raise Malformed(f"Parameter {name} is given more than once")
        return values[0] if values else None

    def flag(self, name: str) -> bool:
        value = self.one(name) or "false"
        if value not in ("true", "false"):
            raise Malformed(f"Invalid value for {name}: {value}", "invalidParameter")
        return value == "true"

    def number(self, name: str, default: int, most: int) -> int:
        value = self.one(name) or str(default)
        if not value.isdigit() or int(value) < 1:
            raise Malformed(f"Invalid value for {name}: {value}", "invalidParameter")
        return min(int(value), most)

    def time(self, name: str) -> datetime | None:
        value = self.one(name)
        return None if value is None else read_time(value)


def read_time(text: object) -> datetime:
    """A moment as Google takes it: RFC 3339, with an offset."""
    if not isinstance(text, str) or not re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text
    ):
        raise Malformed("Bad Request", "badRequest")
    return datetime.fromisoformat(text)


def write_time(at: datetime) -> str:
    """A moment as Google writes it, without fractions of a second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_key() -> rsa.RSAPrivateKey:
    """A key for a service account."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def _first_key() -> rsa.RSAPrivateKey:
    return make_key()  # takes a while, and any will do


Handler = Callable[["Google", Call], Json | None]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method of an API."""

    method: str
    template: str
    scopes: frozenset[str]
    handler: Handler

    def match(self, method: str, path: str) -> dict[str, str] | None:
        wanted, given = self.template.split("/"), path.split("/")
        if method != self.method or len(wanted) != len(given):
            return None
        names = {}
        for want, have in zip(wanted, given, strict=True):
            if want.startswith("{"):
                names[want.strip("{}")] = unquote(have)
            elif want != have:
                return None
        return names


class Google:
    """One customer of Google Workspace, and a project with a service account that may act for its people.

    Requests come in by `answer`; `running()` owns what is told to those who watch. Tests change `calendars`,
    `rooms`, `faults` and the rest as they like.
    """

    def __init__(
        self,
        *,
        domain: str = "example.com",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        hook_context: ssl.SSLContext | None = None,
    ) -> None:
        self.now = now
        self.domain = domain
        self.admin = f"admin@{domain}"
        self.account = "roomd@project.iam.gserviceaccount.com"
        self.faults = Faults()
        self.key_id = secrets.token_hex(20)
        self.key = _first_key()
        self.delegated = {  # scopes that the customer's administrator has granted to the service account
            "calendar.readonly",
            "admin.directory.resource.calendar.readonly",
            "admin.directory.customer.readonly",
        }
        self.people = {self.admin}
        self.calendars: dict[str, Calendar] = {}
        self.rooms: list[Json] = []
        self.buildings: list[Json] = []
        self.settings: dict[str, str] = {
            "timezone": "Europe/Oslo",
            "locale": "no",
            "format24HourTime": "true",
        }
        self.vacation: dict[str, Json] = {}
        self.channels: dict[str, Channel] = {}
        self.channel_ids: set[str] = set()  # ever given
        self.notified: list[tuple[str, str, int]] = []  # channel, state, what it was answered (0: nothing)
        self.heard: list[Heard] = []
        self.per_minute_user = 600
        self.per_minute_project = 10_000
        self.most_in_a_minute: Counter[str] = Counter()
        self.over_quota = 0
        self.impatient = 0  # calls that came before the time that Retry-After said
        self.at_once = Concurrency()  # by calendar
        self._lately: dict[str, deque[datetime]] = {}
        self._not_before: datetime | None = None
        self._tokens: dict[str, Grant] = {}
        self._pages: dict[str, tuple[str, int]] = {}
        self._syncs: dict[str, tuple[str, str, int]] = {}
        self._numbers: Counter[str] = Counter()
        self._news: asyncio.Queue[tuple[Channel, str]] = asyncio.Queue()
        self.hook_context = hook_context

    # ── what tests do

    def key_file(self, base: str) -> str:
        """The service account's key as Google Cloud's console gives it; `base` is where this service is."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "project",
                "private_key_id": self.key_id,
                "private_key": pem.decode(),
                "client_email": self.account,
                "client_id": "100000000000000000001",
                "auth_uri": "https://accounts.google.com/o/oauth2/auth",
                "token_uri": f"{base}/token",
                "universe_domain": "googleapis.com",
            }
        )

    def add_room(self, name: str, *, zone: str = "Europe/Oslo", role: str = "owner", **more: Any) -> Calendar:  # noqa: ANN401
        """A room in the Directory and its calendar."""
        number = len(self.rooms) + 1
        address = f"c_{number:06}@resource.calendar.google.com"
        self.rooms.append(
            {
                "kind": "admin#directory#resources#calendars#CalendarResource",
                "etags": f'"{number}"',
                "resourceId": str(36_945_000_000 + number),
                "resourceName": name,
                "generatedResourceName": f"OSL-2-{name} (8)",
                "resourceEmail": address,
                "resourceType": "",
                "resourceCategory": "CONFERENCE_ROOM",
                "capacity": 8,
                "buildingId": "OSL",
                "floorName": "2",
                "featureInstances": [{"feature": {"name": "VC"}}],
                **more,
            }
        )
        return self._add(Calendar(address=address, zone=ZoneInfo(zone), name=name, role=role))

    def add_person(self, name: str, *, zone: str = "Europe/Oslo") -> Calendar:
        """Somebody with a mailbox and a calendar."""
        address = f"{name}@{self.domain}"
        self.people.add(address)
        return self._add(Calendar(address=address, zone=ZoneInfo(zone), name=name, room=False))

    def _add(self, calendar: Calendar) -> Calendar:
        calendar.on_change = lambda: self._tell(calendar.address, "exists")
        self.calendars[calendar.address] = calendar
        calendar.acl["user:" + self.admin] = {"role": "owner", "scope": {"type": "user", "value": self.admin}}
        return calendar

    def grant_token(self, subject: str, *scopes: str) -> str:
        """An access token in the name of `subject`."""
        token = f"ya29.{secrets.token_urlsafe(48)}"
        self._tokens[token] = Grant(
            subject=subject,
            scopes=frozenset(scope.removeprefix(SCOPES) for scope in scopes),
            expires_at=self.now() + self.faults.token_lasts,
        )
        return token

    def forget_tokens(self) -> None:
        """All access tokens are void from now on."""
        self._tokens.clear()

    def forget_syncs(self) -> None:
        """All sync tokens and page tokens are void from now on."""
        self._syncs.clear()
        self._pages.clear()

    def count(self, template: str = "", method: str = "") -> int:
        """How many requests were heard of this method of the API; a part of its template is enough."""
        return sum(1 for one in self.heard if template in one.template and method in one.request.method)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tells those who watch, until the end."""
        async with asyncio.TaskGroup() as tasks:
            teller = tasks.create_task(self._tell_all(), name="notifications")
            try:
                yield
            finally:
                teller.cancel()

    # ── requests

    async def answer(self, request: Request) -> Response:
        """What is answered to a request; see Serving."""
        url = urlsplit(request.target)
        query = parse_qs(url.query, keep_blank_values=True)
        template, subject = "", ""
        try:
            if url.path == "/token":
                template = "/token"
                response = tree(self._give_token(request))
            else:
                route, names = _find(request.method, url.path)
                template = route.template
                grant = self._admit(route, request.headers)
                subject = grant.subject
                call = Call(names=names, query=query, body=_read_body(request), subject=subject)
                with self.at_once.one(names.get("calendarId", "")):
                    if self.faults.latency_s:
                        await asyncio.sleep(self.faults.latency_s)
                    said = self._carry_out(route, call)
                response = nothing() if said is None else tree(said)
        except Refusal as refusal:
            response = tree(refusal.body, refusal.code, **refusal.headers)
        self.heard.append(
            Heard(
                request=request,
                template=template,
                path=url.path,
                query=query,
                subject=subject,
                response=response,
                at=self.now(),
            )
        )
        if self.faults.cut:
            self.faults.cut -= 1
            return CUT
        return response

    def _carry_out(self, route: Route, call: Call) -> Json | None:
        try:
            mask = read_mask(fields) if (fields := call.one("fields")) else {}
            return apply_mask(mask, route.handler(self, call))  # type: ignore[no-any-return]
        except Malformed as error:
            raise Refusal(400, error.reason, str(error)) from None
        except TokenTooOld:
            raise _gone("fullSyncRequired") from None

    def _admit(self, route: Route, headers: Mapping[str, str]) -> Grant:
        faults = self.faults
        scheme, _, token = headers.get("authorization", "").partition(" ")
        grant = self._tokens.get(token) if scheme == "Bearer" else None
        self._account_for(grant.subject if grant else "")
        if faults.broken:
            status = faults.broken.pop(0)
            raise Refusal(status, "backendError", "Backend Error")
        if faults.unauthorized or grant is None or grant.expires_at <= self.now():
            faults.unauthorized = max(faults.unauthorized - 1, 0)
            raise Refusal(
                401,
                "authError",
                "Invalid Credentials",
                headers={
                    "WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
                },
                extra={"locationType": "header", "location": "Authorization"},
            )
        if faults.not_enabled:
            raise Refusal(
                403,
                "accessNotConfigured",
                "Google Calendar API has not been used in project 1 before or it is disabled.",
                domain="usageLimits",
            )
        if not grant.scopes & route.scopes:
            raise Refusal(403, "insufficientPermissions", "Request had insufficient authentication scopes.")
        if faults.directory and route.template.startswith("/admin/"):
            status, reason = faults.directory
            raise Refusal(status, reason, "Not Authorized to access this resource/api")
        return grant

    def _account_for(self, subject: str) -> None:
        now = self.now()
        if self._not_before is not None and now < self._not_before:
            self.impatient += 1
        faults = self.faults
        over = False
        for who, most in ((subject, self.per_minute_user), ("", self.per_minute_project)):
            lately = self._lately.setdefault(who, deque())
            while lately and now - lately[0] >= MINUTE:
                lately.popleft()
            lately.append(now)
            self.most_in_a_minute[who] = max(self.most_in_a_minute[who], len(lately))
            over = over or len(lately) > most
        self.over_quota += over
        if over or faults.slow_down:
            faults.slow_down = max(faults.slow_down - 1, 0)
            headers = {}
            if faults.retry_after_s is not None:
                headers["Retry-After"] = str(faults.retry_after_s)
                self._not_before = now + timedelta(seconds=faults.retry_after_s)
            reason = "rateLimitExceeded" if over else "userRateLimitExceeded"
            raise Refusal(
                faults.slow_down_status, reason, "Rate Limit Exceeded", domain="usageLimits", headers=headers
            )

    # ── tokens

    def _give_token(self, request: Request) -> Json:
        kind = request.headers.get("content-type", "")
        if request.method != "POST" or not kind.startswith("application/x-www-form-urlencoded"):
            raise _no_token(400, "invalid_request", "Bad Request")
        form = request.form
        if form.get("grant_type") != BEARER:
            raise _no_token(400, "unsupported_grant_type", "Invalid grant_type")
        if self.faults.token_refusal:
            raise _no_token(*self.faults.token_refusal)
        header, claims, signed, signature = _open(form.get("assertion", ""))
        if claims.get("iss") != self.account:
            raise _no_token(400, "invalid_grant", "Invalid grant: account not found")
        if header.get("alg") != "RS256" or header.get("kid", self.key_id) != self.key_id:
            raise _no_token(400, "invalid_grant", "Invalid JWT Signature.")
        try:
            self.key.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise _no_token(400, "invalid_grant", "Invalid JWT Signature.") from None
        if claims.get("aud") != AUDIENCE:
            raise _no_token(400, "invalid_grant", "Invalid JWT: Failed audience check.")
        self._check_times(claims)
        scopes = str(claims.get("scope", "")).split()
        if not scopes or not all(scope.startswith(SCOPES) for scope in scopes):
            raise _no_token(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        short = frozenset(scope.removeprefix(SCOPES) for scope in scopes)
        if not short <= self.delegated:
            raise _no_token(
                401,
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method, "
                "or client not authorized for any of the scopes requested.",
            )
        subject = claims.get("sub")
        if subject not in self.people:
            raise _no_token(400, "invalid_grant", "Invalid email or User ID")
        return {
            "access_token": self.grant_token(subject, *scopes),
            "expires_in": int(self.faults.token_lasts.total_seconds()),
            "token_type": "Bearer",
        }

    def _check_times(self, claims: Json) -> None:
        issued, expires = claims.get("iat"), claims.get("exp")
        now = self.now().timestamp()
        if (
            not isinstance(issued, int)
            or not isinstance(expires, int)
            or not now - 3600 - SKEW.total_seconds() <= issued <= now + SKEW.total_seconds()
            or not now - SKEW.total_seconds() <= expires <= issued + 3600
        ):
            raise _no_token(
                400,
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
                "Check your iat and exp values in the JWT claim.",
            )

    # ── Directory

    def list_rooms(self, call: Call) -> Json:
        self._only_admin(call)
        page, after = self._page(call, self.rooms, default=100, most=500)
        kind = "admin#directory#resources#calendars#calendarResourcesList"
        return {"kind": kind, "etag": '"r"', "items": page, **after}

    def list_buildings(self, call: Call) -> Json:
        self._only_admin(call)
        page, after = self._page(call, self.buildings, default=100, most=500)
        return {
            "kind": "admin#directory#resources#buildings#buildingsList",
            "etag": '"b"',
            "buildings": page,
            **after,
        }

    def get_customer(self, call: Call) -> Json:
        self._only_admin(call)
        return {
            "kind": "admin#directory#customer",
            "id": "C03az79cb",
            "etag": '"c"',
            "customerDomain": self.domain,
            "alternateEmail": "owner@elsewhere.example",
            "customerCreationTime": "2015-01-01T00:00:00.000Z",
            "language": "no",
            "postalAddress": {"countryCode": "NO", "organizationName": "Example"},
        }

    def _only_admin(self, call: Call) -> None:
        customer = call.names.get("customer", call.names.get("customerKey"))
        if call.subject != self.admin or customer not in ("my_customer", "C03az79cb"):
            raise Refusal(403, "forbidden", "Not Authorized to access this resource/api")

    def _page(
        self, call: Call, everything: list[Json], *, default: int, most: int
    ) -> tuple[list[Json], dict[str, str]]:
        """One page, and the token of the next if there is one. A token is good for the same question only."""
        size = call.number("maxResults", default, most)
        size = min(size, self.faults.page_size or size)
        question = repr(
            (sorted(call.names.items()), sorted((k, v) for k, v in call.query.items() if k != "pageToken"))
        )
        start = 0
        if token := call.one("pageToken"):
            asked, start = self._pages.get(token, ("", 0))
            if asked != question:
                raise Malformed("Invalid Value", "invalid")
        number = self._numbers[question] = self._numbers[question] + 1 if start else 1
        page = everything[start : start + size]
        if self.faults.empty_pages and number % 2 == 0:
            page = []
        if start + len(page) >= len(everything):
            return page, {}
        following = secrets.token_urlsafe(24)
        self._pages[following] = (question, start + len(page))
        return page, {"nextPageToken": following}

    # ── events

    def _calendar(self, call: Call, *, write: bool = False) -> Calendar:
        address = call.names["calendarId"]
        if address == "primary":
            address = call.subject
        calendar = self.calendars.get(address)
        if calendar is None or not calendar.role:
            raise Refusal(404, "notFound", "Not Found")
        if address in self.faults.denied:
            raise Refusal(403, "forbidden", "Forbidden")
        if write and calendar.role not in WRITERS:
            raise Refusal(
                403,
                "requiredAccessLevel",
                "You need to have writer access to this calendar.",
                domain="calendar",
            )
        return calendar

    def list_events(self, call: Call) -> Json:
        calendar = self._calendar(call)
        sync = call.one("syncToken")
        if sync:
            fixed = ("iCalUID", "orderBy", "privateExtendedProperty", "q", "sharedExtendedProperty")
            if any(name in call.query for name in (*fixed, "timeMin", "timeMax", "updatedMin")):
                raise Malformed("Sync token cannot be used with this parameter.", "badRequest")
        single, deleted = call.flag("singleEvents"), call.flag("showDeleted")
        order = call.one("orderBy")
        if order not in (None, "startTime", "updated") or (order == "startTime" and not single):
            raise Malformed("The requested ordering is not available for the particular query.", "badRequest")
        self._maybe_gone(call)
        lower, upper = _bounds(call)
        kept = repr(
            (
                calendar.address,
                sorted(
                    (k, v)
                    for k, v in call.query.items()
                    if k
                    not in (
                        "pageToken",
                        "syncToken",
                        "maxResults",
                        "fields",
                        "alt",
                        "prettyPrint",
                        "timeMin",
                        "timeMax",
                    )
                ),
            )
        )
        if sync:
            about, subject, change = self._syncs.get(sync, ("", "", 0))
            if about != kept or subject != call.subject:
                raise TokenTooOld
            found = calendar.since(change, single=single)
        else:
            found = calendar.listed(
                single=single, deleted=deleted or self.faults.skeletons, lower=lower, upper=upper
            )
            if uid := call.one("iCalUID"):
                found = [one for one in found if one.get("iCalUID") == uid]
            if kinds := call.query.get("eventTypes"):
                found = [one for one in found if one.get("eventType") in kinds]
        if order == "startTime":
            found.sort(key=lambda one: moment(one["start"], calendar.zone))
        page, after = self._page(call, [calendar.view(one) for one in found], default=250, most=2500)
        if not after and order is None:
            token = secrets.token_urlsafe(24)
            self._syncs[token] = (kept, call.subject, calendar.changes)
            after = {"nextSyncToken": token}
        return {**self._about(calendar), "items": page, **after}

    def list_instances(self, call: Call) -> Json:
        calendar = self._calendar(call)
        self._maybe_gone(call)
        lower, upper = _bounds(call)
        found = calendar.instances(
            call.names["eventId"], deleted=call.flag("showDeleted"), lower=lower, upper=upper
        )
        if found is None:
            raise Refusal(404, "notFound", "Not Found")
        page, after = self._page(call, [calendar.view(one) for one in found], default=250, most=2500)
        return {**self._about(calendar), "items": page, **after}

    def _about(self, calendar: Calendar) -> Json:
        return {
            "kind": "calendar#events",
            "etag": f'"p{calendar.changes}"',
            "summary": calendar.name,
            "updated": "2026-01-01T07:00:00.000Z",
            "timeZone": str(calendar.zone),
            "accessRole": calendar.role,
            "defaultReminders": [],
        }

    def _maybe_gone(self, call: Call) -> None:
        page = 2 if call.one("pageToken") else 1
        if self.faults.gone and page >= self.faults.gone_on_page:
            raise _gone(self.faults.gone.pop(0))

    def get_event(self, call: Call) -> Json:
        calendar = self._calendar(call)
        event = calendar.find(call.names["eventId"])
        if event is None:
            raise Refusal(404, "notFound", "Not Found")
        return calendar.view(event)

    def insert_event(self, call: Call) -> Json:
        calendar = self._calendar(call, write=True)
        if calendar.room:
            raise Refusal(
                403, "forbiddenForServiceAccounts", "A resource cannot organize an event.", domain="calendar"
            )
        event = dict(call.body)
        for name in ("start", "end"):
            _check_when(event.get(name))
        event_id = event.setdefault("id", base64.b32hexencode(secrets.token_bytes(15)).decode().lower())
        if not isinstance(event_id, str) or not EVENT_ID.fullmatch(event_id):
            raise Malformed("Invalid resource id value.", "invalid")
        if event_id in calendar.events:
            raise Refusal(409, "duplicate", "The requested identifier already exists.")
        return self._organize(calendar, event)

    def quick_add(self, call: Call) -> Json:
        calendar = self._calendar(call, write=True)
        text = call.one("text")
        if not text:
            raise Refusal(400, "required", "Required parameter: text")
        starts = self.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        ends = starts + timedelta(hours=1)
        event_id = base64.b32hexencode(secrets.token_bytes(15)).decode().lower()
        return self._organize(
            calendar,
            {
                "id": event_id,
                "summary": text,
                "start": {"dateTime": write_time(starts)},
                "end": {"dateTime": write_time(ends)},
            },
        )

    def _organize(self, calendar: Calendar, event: Json) -> Json:
        """Keep a new event, and invite the rooms among its attendees: each says yes if it is free."""
        event.setdefault("organizer", {"email": calendar.address})
        event.setdefault("creator", {"email": calendar.address})
        for person in event.get("attendees", ()):
            person.setdefault("responseStatus", "needsAction")
        shown = calendar.view(calendar.put(event))
        answers = {}
        for person in event.get("attendees", ()):
            room = self.calendars.get(person.get("email", ""))
            if room is not None and room.room:
                starts, ends = room.span(event)
                taken = self.faults.declines or room.busy(starts, ends)
                answers[room.address] = "declined" if taken else "accepted"
        if answers:
            decided = {
                **event,
                "attendees": [
                    {
                        **person,
                        "responseStatus": answers.get(person["email"], person["responseStatus"]),
                        **({"resource": True} if person["email"] in answers else {}),
                    }
                    for person in event["attendees"]
                ],
            }
            calendar.put(decided)
            for address, said in answers.items():
                if said == "accepted":
                    self.calendars[address].put(_without_private(decided))
        return shown

    def patch_event(self, call: Call) -> Json:
        calendar = self._calendar(call, write=True)
        _check_updates(call)
        event = calendar.find(call.names["eventId"])
        if event is None or event["status"] == "cancelled":
            raise Refusal(404, "notFound", "Not Found")
        if event.get("organizer", {}).get("email") != calendar.address:
            raise Refusal(
                403,
                "forbiddenForNonOrganizer",
                "Shared properties can only be changed by the organizer of the event.",
                domain="calendar",
            )
        merged = {**event, **call.body}
        merged = {key: value for key, value in merged.items() if value is not None}
        merged["sequence"] = event.get("sequence", 0) + 1
        for name in ("start", "end"):
            _check_when(merged.get(name))
        merged["id"] = event["id"]
        for other in self.calendars.values():
            if event["id"] in other.events and other is not calendar:
                other.put(_without_private(merged))
        return calendar.view(calendar.put(merged))

    def delete_event(self, call: Call) -> None:
        calendar = self._calendar(call, write=True)
        _check_updates(call)
        event = calendar.find(call.names["eventId"])
        if event is None:
            raise Refusal(404, "notFound", "Not Found")
        if event["status"] == "cancelled":
            raise _gone("deleted")
        mine = event.get("organizer", {}).get("email") == calendar.address
        for other in self.calendars.values():
            copied = other.find(event["id"])
            if other is calendar or copied is None or copied["status"] == "cancelled":
                continue
            if mine:
                other.delete(event["id"])
            else:  # a guest that deletes its copy has declined
                guests = [
                    {**one, "responseStatus": "declined"} if one.get("email") == calendar.address else one
                    for one in copied.get("attendees", ())
                ]
                other.put({**copied, "attendees": guests})
        calendar.delete(event["id"])

    # ── watching

    def watch_events(self, call: Call) -> Json:
        calendar = self._calendar(call)
        wanted = call.body
        if wanted.get("type") not in ("web_hook", "webhook"):
            raise Malformed("Unknown channel type", "channelUnknown")
        address, channel_id, token = wanted.get("address"), wanted.get("id"), wanted.get("token")
        if not isinstance(address, str) or urlsplit(address).scheme != "https":
            raise Refusal(400, "push.webhookUrlNotHttps", f"WebHook callback must be HTTPS: {address}")
        if not isinstance(channel_id, str) or not CHANNEL_ID.fullmatch(channel_id):
            raise Refusal(400, "channelIdInvalid", "Channel id is not valid")
        if channel_id in self.channel_ids:
            raise Refusal(400, "channelIdNotUnique", f"Channel id {channel_id} not unique")
        if token is not None and (not isinstance(token, str) or len(token) > 256):
            raise Malformed("Channel token is too long")
        lasts = CHANNEL_LASTS
        if (ttl := wanted.get("params", {}).get("ttl")) is not None:
            if not isinstance(ttl, str) or not ttl.isdigit():
                raise Malformed("Invalid ttl")
            lasts = min(lasts, timedelta(seconds=int(ttl)))
        self.channel_ids.add(channel_id)
        channel = Channel(
            id=channel_id,
            resource_id=base64.urlsafe_b64encode(calendar.address.encode()).decode().rstrip("=")[-27:],
            calendar=calendar.address,
            address=address,
            token=token,
            expires_at=self.now() + lasts,
            subject=call.subject,
        )
        self.channels[channel_id] = channel
        self._news.put_nowait((channel, "sync"))
        said = {
            "kind": "api#channel",
            "id": channel_id,
            "resourceId": channel.resource_id,
            "resourceUri": _resource_uri(channel),
            "expiration": str(int(channel.expires_at.timestamp() * 1000)),
        }
        return said if token is None else {**said, "token": token}

    def stop_channel(self, call: Call) -> None:
        channel = self.channels.get(str(call.body.get("id")))
        if (
            channel is None
            or call.body.get("resourceId") != channel.resource_id
            or channel.subject != call.subject
            or channel.expires_at <= self.now()
        ):
            raise Refusal(404, "notFound", f"Channel '{call.body.get('id')}' not found for project 'roomd'")
        del self.channels[channel.id]

    def _tell(self, address: str, state: str) -> None:
        for channel in self.channels.values():
            if channel.calendar == address:
                self._news.put_nowait((channel, state))

    async def _tell_all(self) -> None:
        while True:
            channel, state = await self._news.get()
            if self.faults.deaf or channel.expires_at <= self.now() or channel.id not in self.channels:
                continue
            # the first is 1, then they grow, and not by one
            self._numbers[channel.id] += 1 if state == "sync" else 1 + secrets.randbelow(900)
            headers = {
                "X-Goog-Channel-ID": channel.id,
                "X-Goog-Channel-Expiration": format_datetime(channel.expires_at, usegmt=True),
                "X-Goog-Resource-ID": channel.resource_id,
                "X-Goog-Resource-URI": _resource_uri(channel),
                "X-Goog-Resource-State": state,
                "X-Goog-Message-Number": str(self._numbers[channel.id]),
                "User-Agent": "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)",
                **({} if channel.token is None else {"X-Goog-Channel-Token": channel.token}),
            }
            for _ in range(5):
                try:
                    status = (await call(channel.address, headers=headers, context=self.hook_context)).status
                except (OSError, TimeoutError):
                    status = 0
                self.notified.append((channel.id, state, status))
                if status not in AGAIN:
                    break

    # ── the rest

    def free_busy(self, call: Call) -> Json:
        asked = call.body
        lower, upper = read_time(asked.get("timeMin")), read_time(asked.get("timeMax"))
        items = asked.get("items", [])
        if upper <= lower:
            raise Malformed("The specified time range is empty.", "timeRangeEmpty")
        if len(items) > min(FREE_BUSY_AT_ONCE, asked.get("calendarExpansionMax", FREE_BUSY_AT_ONCE)):
            raise Refusal(
                400, "tooManyCalendarsRequested", "Too many calendars requested.", domain="calendar"
            )
        found: Json = {}
        for item in items:
            address = item["id"]
            calendar = self.calendars.get(address)
            if calendar is None or not calendar.role or address in self.faults.denied:
                found[address] = {"errors": [{"domain": "global", "reason": "notFound"}], "busy": []}
                continue
            found[address] = {
                "busy": [
                    {"start": write_time(starts), "end": write_time(ends)}
                    for starts, ends in calendar.busy(lower, upper)
                ]
            }
        return {
            "kind": "calendar#freeBusy",
            "timeMin": write_time(lower),
            "timeMax": write_time(upper),
            "calendars": found,
        }

    def get_setting(self, call: Call) -> Json:
        name = call.names["setting"]
        if name not in self.settings:
            raise Refusal(404, "notFound", "Not Found")
        return {"kind": "calendar#setting", "etag": '"s"', "id": name, "value": self.settings[name]}

    def get_vacation(self, call: Call) -> Json:
        user = call.names["userId"]
        if user not in ("me", call.subject):
            raise Refusal(403, "forbidden", f"Delegation denied for {call.subject}")
        return {"enableAutoReply": False, **self.vacation.get(call.subject, {})}

    def list_acl(self, call: Call) -> Json:
        calendar = self._calendar(call)
        rules = [_rule(rule_id, rule) for rule_id, rule in calendar.acl.items()]
        page, after = self._page(call, rules, default=100, most=250)
        return {"kind": "calendar#acl", "etag": '"a"', "items": page, **after}

    def insert_acl(self, call: Call) -> Json:
        calendar = self._calendar(call, write=True)
        role, scope = call.body.get("role"), call.body.get("scope", {})
        if role not in ("none", "freeBusyReader", "reader", "writer", "owner"):
            raise Malformed("Invalid value for role")
        if scope.get("type") not in ("default", "user", "group", "domain"):
            raise Malformed("Invalid scope")
        rule_id = scope["type"] if scope["type"] == "default" else f"{scope['type']}:{scope['value']}"
        calendar.acl[rule_id] = {"role": role, "scope": scope}
        return _rule(rule_id, calendar.acl[rule_id])

    def delete_acl(self, call: Call) -> None:
        calendar = self._calendar(call, write=True)
        if calendar.acl.pop(call.names["ruleId"], None) is None:
            raise Refusal(404, "notFound", "Not Found")


def _route(method: str, template: str, scopes: frozenset[str], handler: Handler) -> Route:
    return Route(method=method, template=template, scopes=scopes, handler=handler)


_EVENTS: Final = "/calendar/v3/calendars/{calendarId}/events"
_ACL: Final = "/calendar/v3/calendars/{calendarId}/acl"
_CUSTOMER: Final = "/admin/directory/v1/customer/{customer}/resources"
ROUTES: Final = (  # the more literal of two templates first
    _route("GET", _EVENTS, READ, Google.list_events),
    _route("POST", _EVENTS, WRITE, Google.insert_event),
    _route("POST", _EVENTS + "/quickAdd", WRITE, Google.quick_add),
    _route("POST", _EVENTS + "/watch", READ, Google.watch_events),
    _route("GET", _EVENTS + "/{eventId}", READ, Google.get_event),
    _route("PATCH", _EVENTS + "/{eventId}", WRITE, Google.patch_event),
    _route("DELETE", _EVENTS + "/{eventId}", WRITE, Google.delete_event),
    _route("GET", _EVENTS + "/{eventId}/instances", READ, Google.list_instances),
    _route("POST", "/calendar/v3/channels/stop", STOP, Google.stop_channel),
    _route("POST", "/calendar/v3/freeBusy", BUSY, Google.free_busy),
    _route("GET", "/calendar/v3/users/me/settings/{setting}", SETTINGS, Google.get_setting),
    _route("GET", _ACL, ACL_READ, Google.list_acl),
    _route("POST", _ACL, ACL_WRITE, Google.insert_acl),
    _route("DELETE", _ACL + "/{ruleId}", ACL_WRITE, Google.delete_acl),
    _route("GET", _CUSTOMER + "/calendars", ROOMS, Google.list_rooms),
    _route("GET", _CUSTOMER + "/buildings", ROOMS, Google.list_buildings),
    _route("GET", "/admin/directory/v1/customers/{customerKey}", CUSTOMER, Google.get_customer),
    _route("GET", "/gmail/v1/users/{userId}/settings/vacation", VACATION, Google.get_vacation),
)


def _find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    for route in ROUTES:
        if (names := route.match(method, path)) is not None:
            return route, names
    raise Refusal(404, "notFound", "Not Found")


def _read_body(request: Request) -> Json:
    if not request.body:
        return {}
    try:
        body = request.json()
    except ValueError:
        body = None
    if not request.headers.get("content-type", "").startswith("application/json") or not isinstance(
        body, dict
    ):
        raise Refusal(400, "parseError", "Parse Error")
    return body


def _open(assertion: str) -> tuple[Json, Json, bytes, bytes]:
    """Header, claims, what is signed and the signature of a compact JWS."""
    try:
        head, claims, signature = assertion.split(".")
        parts = [
            base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in (head, claims, signature)
        ]
        return json.loads(parts[0]), json.loads(parts[1]), f"{head}.{claims}".encode(), parts[2]
    except (ValueError, binascii.Error):
        raise _no_token(400, "invalid_grant", "Bad Request") from None


def _no_token(status: int, error: str, description: str) -> Refusal:
    refusal = Refusal(status, error, description)
    refusal.body = {"error": error, "error_description": description}
    return refusal


def _gone(reason: str) -> Refusal:
    extra = {"locationType": "parameter", "location": "syncToken"} if reason == "fullSyncRequired" else None
    return Refusal(
        410, reason, GONE[reason], domain="global" if reason == "deleted" else "calendar", extra=extra
    )


def _without_private(event: Json) -> Json:
    """An event as it gets into another calendar: private properties stay where they were written."""
    shared = {key: value for key, value in event.get("extendedProperties", {}).items() if key != "private"}
    kept = {key: value for key, value in event.items() if key != "extendedProperties"}
    return {**kept, "extendedProperties": shared} if shared else kept


def _bounds(call: Call) -> tuple[datetime | None, datetime | None]:
    lower, upper = call.time("timeMin"), call.time("timeMax")
    if lower is not None and upper is not None and upper <= lower:
        raise Malformed("The specified time range is empty.", "timeRangeEmpty")
    return lower, upper


def _check_when(when: object) -> None:
    if not isinstance(when, dict) or ("date" in when) == ("dateTime" in when):
        raise Malformed("Missing or invalid start or end time.", "required")
    if "dateTime" in when and "timeZone" not in when:
        read_time(when["dateTime"])


def _check_updates(call: Call) -> None:
    if call.one("sendUpdates") not in (None, "all", "externalOnly", "none"):
        raise Malformed("Invalid value for sendUpdates", "invalidParameter")


def _resource_uri(channel: Channel) -> str:
    return f"https://www.googleapis.com/calendar/v3/calendars/{channel.calendar}/events?alt=json"


def _rule(rule_id: str, rule: Json) -> Json:
    return {"kind": "calendar#aclRule", "etag": '"r"', "id": rule_id, **rule}
