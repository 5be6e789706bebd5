"""Webex as the network sees it: one organisation with workspaces and devices, and an integration's queue."""

import asyncio
import base64
import contextlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.clouds.serving import Concurrency, Request, Response, Rests, Serving, tree

Json = dict[str, Any]

ACCESS_LASTS_S: Final = 1_209_599
REFRESH_LASTS_S: Final = 7_775_999
MOST_STATUS_NAMES: Final = 10
PAGE: Final = 100  # unless asked for otherwise
BIGGEST_PAGE: Final = 1000
SCOPES: Final = (
    "spark-admin:devices_read",
    "spark-admin:workspaces_read",
    "spark:xapi_statuses",
    "spark:xapi_commands",
)


class CommandFailed(Exception):
    """A device would not do it; the text says why."""


class Registered(Protocol):
    """A device that speaks for itself; the others say what a test put there."""

    @property
    def connected(self) -> bool: ...
    def values(self) -> Json:
        """All its statuses, a tree from the root."""

    def command(self, name: str, arguments: Json, body: str | None) -> Json: ...


@dataclass
class Faults:
    """What goes wrong; tests switch it."""

    rotates: bool = True  # each renewal gives a new refresh token, and the old one is dead
    forgives: bool = False  # the old one lives on until the new one was used
    token_refusal: tuple[HTTPStatus, Json] | None = None
    token_held: asyncio.Event | None = None  # a token that was given is on its way until then
    slow_down: list[tuple[str, HTTPStatus, int]] = field(
        default_factory=list
    )  # path begins with, says, for s
    failures: list[tuple[str, HTTPStatus]] = field(default_factory=list)  # path begins with, once each
    next_links_to: str | None = None  # another origin
    poll_elsewhere: str | None = None  # the poll URL that is told
    queue: bool = True  # whether the integration's manifest gives it one
    gone: bool = False  # an administrator has removed the integration
    expired: set[str] = field(default_factory=set)  # access tokens that are not taken any more


class WebexCloud(Serving):
    """One region of Webex with one organisation; use it with `async with`."""

    def __init__(self, *, poll_within_s: float = 30.0, page: int = PAGE, plain: bool = False) -> None:
        super().__init__(self._hear, plain=plain)
        self.faults: Final = Faults()
        self.rests: Final = Rests()  # by the path that was to be left alone
        self.concurrency: Final = Concurrency()  # "rest" and "poll"
        self.org_id: Final = identifier("ORGANIZATION")
        self.app_id: Final = str(uuid.uuid4())
        self.client_id: Final = "C" + uuid.uuid4().hex
        self.client_secret: Final = uuid.uuid4().hex
        self.refresh_token: str = "first-refresh-token"
        self.workspaces: Final[dict[str, Json]] = {}
        self.devices: Final[dict[str, Json]] = {}
        self.statuses: Final[dict[str, Json]] = {}  # by device: a tree from the root, without "Status"
        self.commands: Final[
            dict[str, Callable[[str, Json], Json]]
        ] = {}  # by name: device, arguments → result
        self.registered: Final[dict[str, Registered]] = {}
        self.manifest: Final[dict[str, list[str]]] = {
            "commands": ["Bookings.*"],
            "statuses": ["RoomAnalytics.*"],
            "events": [],
        }
        self.app: Final[Json] = {}
        self._poll_within_s: Final = poll_within_s
        self._page: Final = page
        self._key: Final = ec.generate_private_key(ec.SECP256R1())
        self._key_id: Final = uuid.uuid4().hex[:24]
        self._forgiven: set[str] = set()
        self._access: set[str] = set()
        self._queue: Final[list[Json]] = []
        self._news: Final = asyncio.Event()
        self._queue_id: Final = uuid.uuid4().hex
        self._latest_poll = object()

    async def __aexit__(self, *error: object) -> None:
        self._over.set()
        self._news.set()  # no poll waits any longer
        await super().__aexit__(*error)

    # ── what tests do with it ──

    @property
    def api(self) -> str:
        """The base address of the REST interface."""
        return f"{self.url}/v1"

    @property
    def app_url(self) -> str:
        """Where the integration tells its state."""
        return f"{self.url}{self._app_path}"

    @property
    def key_url(self) -> str:
        """Where the region's public keys are."""
        return f"{self.url}/jwks"

    @property
    def keys(self) -> bytes:
        """The region's public keys, as they are shown there."""
        return json.dumps({"keys": [self._public()]}).encode()

    def add_workspace(self, name: str, *, calendar: Json | None = None, **more: object) -> str:
        """A workspace's id; `calendar` as in `{"type": "microsoft", "emailAddress": …}`."""
        made = identifier("PLACE")
        self.workspaces[made] = {
            "id": made,
            "orgId": self.org_id,
            "locationId": identifier("LOCATION"),
            "displayName": name,
            "capacity": 6,
            "type": "meetingRoom",
            "sipAddress": f"{name.lower()}@contoso.rooms.webex.com",
            "created": "2026-01-01T00:00:00.000Z",
            "calling": {"type": "freeCalling"},
            "calendar": calendar or {"type": "none"},
            "hotdeskingStatus": "off",
            "deviceHostedMeetings": {"enabled": False},
            "devicePlatform": "cisco",
            "supportedDevices": "collaborationDevices",
            **more,
        }
        return made

    def add_device(self, workspace: str, *, connected: str = "connected", **more: object) -> str:
        """A device's id."""
        made = identifier("DEVICE")
        self.devices[made] = {
            "id": made,
            "displayName": self.workspaces[workspace]["displayName"],
            "workspaceId": workspace,
            "orgId": self.org_id,
            "capabilities": ["xapi"],
            "permissions": ["xapi"],
            "connectionStatus": connected,
            "product": "Cisco Room Bar Pro",
            "type": "roomdesk",
            "tags": [],
            "ip": "10.0.4.21",
            "mac": "1A:2B:3C:4D:5E:6F",
            "serial": f"FOC{len(self.devices):08}",
            "software": "RoomOS 11.27.2.1 abcdef",
            "primarySipUrl": "room@contoso.rooms.webex.com",
            "sipUrls": ["room@contoso.rooms.webex.com"],
            "errorCodes": [],
            "lastSeen": "2026-03-02T09:00:00.000Z",
            "created": "2026-01-01T00:00:00.000Z",
            "firstSeen": "2026-01-01T00:00:00.000Z",
            "devicePlatform": "cisco",
            **more,
        }
        self.statuses[made] = {}
        return made

    def sign(self, claims: Json, *, key: ec.EllipticCurvePrivateKey | None = None, alg: str = "ES256") -> str:
        """A JWT of this region, or one by another's key that claims to be."""
        header = {"kid": self._key_id, "typ": "JWT", "alg": alg}
        signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
        r, s = decode_dss_signature((key or self._key).sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def activation(self, **changes: object) -> Json:
        """What an activation code says."""
        now = datetime.now(UTC)
        return {
            "sub": self.org_id,
            "oauthUrl": f"{self.api}/access_token",
            "orgName": "Contoso",
            "appUrl": self.app_url,
            "manifestUrl": f"{self.app_url}/manifest",
            "appId": self.app_id,
            "expiryTime": (now + timedelta(hours=24)).isoformat().replace("+00:00", "Z"),
            "action": "provision",
            "webexapisBaseUrl": self.api,
            "scopes": ",".join(SCOPES),
            "region": "us-east-2_a",
            "iat": int(now.timestamp()),
            "jti": uuid.uuid4().hex,
            "refreshToken": self.refresh_token,
            "xapiAccess": json.dumps(self.manifest),
        } | changes

    def action(self, name: str, **claims: object) -> Json:
        """A signed message about the integration itself."""
        said = {
            "sub": self.org_id,
            "appId": self.app_id,
            "action": name,
            "iat": int(datetime.now(UTC).timestamp()),
            "jti": uuid.uuid4().hex,
        }
        return {"type": "action", "jwt": self.sign(said | claims)}

    def status(
        self, device: str, updated: Json, *, removed: tuple[str, ...] = (), full: bool = False
    ) -> Json:
        """A message about what changed on a device."""
        return self._of_device(device, "status") | {
            "isFullSync": full,
            "changes": {"updated": updated, "removed": list(removed)},
        }

    def event(self, device: str, key: str, value: Json) -> Json:
        """A message about what happened on a device."""
        happened = {"key": key, "value": value, "timestamp": _now()}
        return self._of_device(device, "events") | {"events": [happened]}

    def health_check(self) -> Json:
        """The question how the integration is."""
        return {"type": "healthCheck", "orgId": self.org_id, "appId": self.app_id, "timestamp": _now()}

    async def say(self, *messages: Json) -> None:
        """Put messages onto the queue."""
        self.tell(*messages)

    def tell(self, *messages: Json) -> None:
        """The same, for those who cannot wait."""
        self._queue.extend(messages)
        self._news.set()

    def give_access(self) -> str:
        """An access token, as if somebody had renewed it."""
        access = f"access-{uuid.uuid4().hex}"
        self._access.add(access)
        return access

    @property
    def waiting(self) -> int:
        """Messages that nobody has fetched."""
        return len(self._queue)

    @property
    def polling(self) -> int:
        """Polls that wait now."""
        return self.concurrency.now["poll"]

    def asked(self, method: str, path: str) -> list[Request]:
        """What was asked of a path, oldest first."""
        return [one for one in self.seen if (one.method, one.path) == (method, path)]

    # ── how it answers ──

    async def _hear(self, request: Request) -> Response:
        with self.concurrency.one("poll" if request.path == self._poll_path else "rest"):
            return self._fault(request) or await self._reply(request)

    def _fault(self, request: Request) -> Response | None:
        for path in self.rests.until:
            if request.path.startswith(path):
                self.rests.asked(path)
        for fault in self.faults.slow_down:
            path, status, for_s = fault
            if request.path.startswith(path):
                self.faults.slow_down.remove(fault)
                self.rests.tell(path, for_s)
                return self._error(status, "Slow down", Retry_After=str(for_s))
        for failure in self.faults.failures:
            if request.path.startswith(failure[0]):
                self.faults.failures.remove(failure)
                return self._error(failure[1], "It failed")
        return None

    async def _reply(self, request: Request) -> Response:
        method, path = request.method, request.path
        if (method, path) == ("POST", "/v1/access_token"):
            given = self._give_token(_said(request) or {})
            if self.faults.token_held is not None:
                await self.faults.token_held.wait()
            return given
        if (method, path) == ("GET", "/jwks"):
            return tree(json.loads(self.keys))
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self._access or token in self.faults.expired or self.faults.gone:
            return self._error(
                HTTPStatus.UNAUTHORIZED, "The request requires a valid access token set in the Authorization"
            )
        query = request.query
        match method, path.rstrip("/").split("/")[1:]:
            case "GET", ["v1", "workspaces"]:
                chosen = query.get("calendar")
                named = query.get("displayName")
                found = [
                    one
                    for one in self.workspaces.values()
                    if (chosen is None or chosen == one["calendar"]["type"])
                    and named in (None, one["displayName"])
                ]
                return self._listed(request, query, found)
            case "GET", ["v1", "workspaces", one]:
                return self._one(self.workspaces, one)
            case "GET", ["v1", "devices"]:
                of = query.get("workspaceId")
                devices = [
                    {**one, **({} if self._connected(one["id"]) else {"connectionStatus": "disconnected"})}
                    if one["id"] in self.registered
                    else one
                    for one in self.devices.values()
                    if of in (None, one["workspaceId"])
                ]
                return self._listed(request, query, devices)
            case "GET", ["v1", "devices", one]:
                return self._one(self.devices, one)
            case "GET", ["v1", "xapi", "status"]:
                return self._status_read(request)
            case "POST", ["v1", "xapi", "command", name]:
                return self._commanded(name, _said(request))
            case "PATCH", _ if path == self._app_path:
                return self._told(_said(request))
            case "GET", _ if path == self._app_path:
                return tree(self._integration())
            case "GET", _ if path == self._poll_path:
                return await self._polled()
            case _:
                return self._error(HTTPStatus.NOT_FOUND, "Not found")

    def _give_token(self, said: Json) -> Response:
        if self.faults.token_refusal is not None:
            status, body = self.faults.token_refusal
            return tree(body, status)
        if (said.get("client_id"), said.get("client_secret")) != (self.client_id, self.client_secret):
            return self._error(HTTPStatus.UNAUTHORIZED, "invalid_client")
        if said.get("grant_type") != "refresh_token" or self.faults.gone:
            return self._error(HTTPStatus.BAD_REQUEST, "invalid_grant")
        if said.get("refresh_token") == self.refresh_token:
            self._forgiven.clear()
        elif said.get("refresh_token") not in self._forgiven:
            return self._error(
                HTTPStatus.BAD_REQUEST,
                "The refresh token provided is expired, revoked, malformed, or invalid.",
            )
        if self.faults.rotates:
            if self.faults.forgives:
                self._forgiven.add(str(said["refresh_token"]))
            self.refresh_token = f"refresh-{uuid.uuid4().hex}"
        return tree(
            {
                "access_token": self.give_access(),
                "expires_in": ACCESS_LASTS_S,
                "refresh_token": self.refresh_token,
                "refresh_token_expires_in": REFRESH_LASTS_S,
                "token_type": "Bearer",
                "scope": " ".join(SCOPES),
            }
        )

    def _listed(self, request: Request, query: Mapping[str, str], found: list[Json]) -> Response:
        start = int(query.get("start", "0"))
        most = min(int(query.get("max", str(self._page))), BIGGEST_PAGE, self._page)
        headers = {}
        if start + most < len(found):
            kept = {name: value for name, value in query.items() if name not in ("start", "max")}
            asked = urlencode(kept | {"max": most, "start": start + most})
            origin = self.faults.next_links_to or self.url
            headers["Link"] = f'<{origin}{request.path}?{asked}>; rel="next"'
        return tree({"items": found[start : start + most]}, HTTPStatus.OK, **headers)

    def _one(self, kept: Mapping[str, Json], one: str) -> Response:
        if one not in kept:
            return self._error(HTTPStatus.NOT_FOUND, "The requested resource could not be found")
        return tree(kept[one])

    def _status_read(self, request: Request) -> Response:
        device = request.query.get("deviceId", "")
        told = [value for name, value in parse_qsl(urlsplit(request.target).query) if name == "name"]
        names = ",".join(told).split(",")  # Cisco's SDKs repeat the name, or join them
        if device not in self.devices or not names[0]:
            return self._error(HTTPStatus.BAD_REQUEST, "deviceId or name")
        if len(names) > MOST_STATUS_NAMES:
            return self._error(HTTPStatus.BAD_REQUEST, "A request can contain at most 10 expressions")
        if not self._connected(device):
            return self._error(HTTPStatus.NOT_FOUND, "The device is not connected")
        itself = self.registered.get(device)
        if itself is not None and not all(self.allows("statuses", name) for name in names):
            return self._error(HTTPStatus.FORBIDDEN, "Not in the integration's manifest")
        values = self.statuses[device] if itself is None else itself.values()
        result: Json = {}
        for name in names:
            _pick(values, name.split("."), result)
        return tree({"deviceId": device, "result": result})

    def _commanded(self, name: str, said: object) -> Response:
        if not isinstance(said, dict) or said.get("deviceId") not in self.devices:
            return self._error(HTTPStatus.BAD_REQUEST, "deviceId")
        arguments = said.get("arguments", {})
        if (itself := self.registered.get(said["deviceId"])) is not None:
            if not self._connected(said["deviceId"]):
                return self._error(HTTPStatus.NOT_FOUND, "The device is not connected")
            if not self.allows("commands", name):
                return self._error(HTTPStatus.FORBIDDEN, "Not in the integration's manifest")
            try:
                result = itself.command(name, arguments, said.get("body"))
            except CommandFailed as error:
                return self._error(HTTPStatus.BAD_REQUEST, str(error))
            return tree({"deviceId": said["deviceId"], "arguments": arguments, "result": result})
        if name not in self.commands:
            return self._error(HTTPStatus.BAD_REQUEST, "Unknown command or not in the manifest")
        done = self.commands[name](said["deviceId"], arguments)
        return tree({"deviceId": said["deviceId"], "arguments": arguments, "result": done})

    def _told(self, said: object) -> Response:
        if not isinstance(said, dict):
            return self._error(HTTPStatus.BAD_REQUEST, "Not an object")
        self.app.update(said)
        return tree(self._integration())

    def _integration(self) -> Json:
        told: Json = {
            "id": self.app_id,
            "manifestVersion": 1,
            "scopes": list(SCOPES),
            "roles": ["id_readonly_admin"],
            "xapiAccessKeys": self.manifest,
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": _now(),
            "provisioningState": self.app.get("provisioningState", "in_progress"),
            "operationalState": self.app.get("operationalState", "operational"),
        }
        if self.faults.queue and self.app.get("queue", {}).get("state") == "enabled":
            poll_url = self.faults.poll_elsewhere or f"{self.url}{self._poll_path}"
            told["queue"] = {"state": "enabled", "pollUrl": poll_url}
        return told

    async def _polled(self) -> Response:
        this = self._latest_poll = object()
        self._news.set()  # an older poll ends: there is one poller of a queue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_within_s):
                while not self._queue and self._latest_poll is this and not self._over.is_set():
                    self._news.clear()
                    await self._news.wait()
        told: list[Json] = []
        if self._latest_poll is this:
            told, self._queue[:] = [*self._queue], []
        return tree({"messages": told})

    # ── small things ──

    def allows(self, kind: str, name: str) -> bool:
        """Whether the manifest has a command, status or event."""
        return any(
            name == key or (key.endswith(".*") and f"{name}.".startswith(key[:-1]))
            for key in self.manifest[kind]
        )

    def _connected(self, device: str) -> bool:
        if (itself := self.registered.get(device)) is not None and not itself.connected:
            return False
        return self.devices[device]["connectionStatus"] in ("connected", "connected_with_issues")

    @property
    def _app_path(self) -> str:
        return f"/xapi/api/organizations/{self.org_id}/apps/{self.app_id}"

    @property
    def _poll_path(self) -> str:
        return f"/xapi/api/organizations/{self.org_id}/queue/{self._queue_id}/poll"

    def _of_device(self, device: str, type_: str) -> Json:
        return {
            "type": type_,
            "deviceId": device,
            "workspaceId": self.devices[device]["workspaceId"],
            "orgId": self.org_id,
            "appId": self.app_id,
            "timestamp": _now(),
        }

    def _public(self) -> Json:
        numbers = self._key.public_key().public_numbers()
        return {
            "kty": "EC",
            "use": "sig",
            "crv": "P-256",
            "kid": self._key_id,
            "key_ops": ["verify"],
            "x": _b64(numbers.x.to_bytes(32, "big")),
            "y": _b64(numbers.y.to_bytes(32, "big")),
            "alg": "ES256",
        }

    def _error(self, status: HTTPStatus, message: str, **headers: str) -> Response:
        tracking = f"ROUTER_{str(uuid.uuid4()).upper()}"
        said = {"message": message, "errors": [{"description": message}], "trackingId": tracking}
        return tree(said, status, trackingid=tracking, **headers)


def identifier(kind: str) -> str:
    """A Webex id: a URN in base 64."""
    return _b64(f"ciscospark://us/{kind}/{uuid.uuid4()}".encode())


def _pick(tree: Json, path: list[str], into: Json) -> None:
    """Copy what a status expression names; `*` stands for everything below."""
    name, *rest = path
    for key, value in tree.items():
        if name in ("*", key):
            if rest and isinstance(value, dict) and rest != ["*"]:
                _pick(value, rest, into.setdefault(key, {}))
            else:
                into[key] = value


def _said(request: Request) -> Json | None:
    """The body, as JSON or a form: Cisco's SDKs send either where a token is asked for."""
    if "form" in request.headers.get("content-type", ""):
        return request.form
    try:
        said = request.json()
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
