"""What Webex signs: the activation code of an integration, and what it says about it afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cloud_link.calendars.decoding import decode
from cloud_link.calendars.errors import ClockSkewed, Misconfigured, Unreadable
from cloud_link.calendars.wire import read_origin

# Where each region's keys are (Cisco's SDKs), by the region that a code names.
DEFAULT_REGION = "us-east-2_a"
KEY_URLS: Mapping[str, str] = {
    "us-west-2_r": "https://xapi-r.wbx2.com/jwks",
    DEFAULT_REGION: "https://xapi-a.wbx2.com/jwks",
    "eu-central-1_k": "https://xapi-k.wbx2.com/jwks",
    "us-gov-west-1_a1": "https://xapi.gov.ciscospark.com/jwks",
}
DOMAINS = (
    "webexapis.com",
    "webex.com",
    "wbx2.com",
    "ciscospark.com",
)  # of the services, also the government's
HERE = ("127.0.0.1", "::1", "localhost")
ALGORITHMS = ["ES256"]
SCOPES = (  # that roomd reads workspaces and devices with, and asks devices
    "spark-admin:workspaces_read",
    "spark-admin:devices_read",
    "spark:xapi_statuses",
    "spark:xapi_commands",
)
CLOCKS_APART = timedelta(minutes=5)
_INDEX = re.compile(r"\[[^\]]*\]")
NEW_CODE = "activate the integration in Control Hub again and copy the new activation code"


class Unsigned(Misconfigured):
    """It is not by Webex, or not for us: not to be believed."""

    default_mend = NEW_CODE


@dataclass(frozen=True, slots=True, kw_only=True)
class XapiAccess:
    """Which commands, statuses and events of devices we may use; `*` and `[*]` stand for any."""

    commands: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


# What the manifest is to give for all that roomd does: Bookings.List alone shows whether a calendar lives,
# the rest is for devices that are reached by way of the cloud.
MANIFEST = XapiAccess(
    commands=("Bookings.*", "Standby.Deactivate", "UserInterface.LedControl.*", "UserInterface.Message.*"),
    statuses=("Conference.Presentation.*", "MicrosoftTeams.*", "RoomAnalytics.*", "SystemUnit.*"),
    events=("Bookings.*", "UserInterface.Message.Prompt.*"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """What an administrator gave us by activating the integration: where all is, and what we may do."""

    org_id: str
    org_name: str
    app_id: str
    app_url: str  # where we tell our state
    oauth_url: str
    api_url: str  # of the REST interface, with its version and no slash at the end
    region: str
    scopes: tuple[str, ...]
    access: XapiAccess
    refresh_token: str = field(repr=False)  # the first; it may have been replaced since


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """An administrator activated the integration anew."""

    activation: Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprovisioned:
    """An administrator took the integration out of use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReplaced:
    """The integration changed; where there is a new refresh token, the old one is no longer good."""

    refresh_token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestApproved:
    """An administrator approved a newer manifest; devices follow within an hour."""

    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthAsked:
    """An administrator asks in Control Hub how the integration is."""


Action = Provisioned | Deprovisioned | TokenReplaced | ManifestApproved | HealthAsked


def key_url(code: str, *, default_region: str = DEFAULT_REGION, urls: Mapping[str, str] = KEY_URLS) -> str:
    """Where the keys are that a code was signed with, by its own word; Unsigned if it is no code at all.

    Only addresses that we know are given, so a forged code leads nowhere else.
    """
    try:
        claims = decode(jws.extract_compact(code.strip().encode()).payload, _Claims)
    except (JoseError, ValueError, Unreadable):
        raise Unsigned("this is not an activation code (a JWT in three parts, joined by dots)") from None
    return urls.get(claims.region) or urls.get(default_region) or urls[DEFAULT_REGION]


def read_activation(code: str, keys: bytes, *, now: datetime) -> Activation:
    """What an activation code says; `keys` is its region's JSON Web Key Set.

    Unsigned if it is not to be believed, Misconfigured if it lapsed, ClockSkewed if our clock is slow.
    """
    claims = _verified(code.strip(), keys)
    if claims.action != "provision":
        raise Unsigned("this is not an activation code: it says something else about an integration")
    if claims.iat > (now + CLOCKS_APART).timestamp():
        raise ClockSkewed("the activation code was made in our future: this machine's clock is slow")
    lapses = _moment(claims.expiry_time)
    if lapses is not None and lapses < now:
        raise Misconfigured(f"the activation code lapsed at {lapses:%Y-%m-%d %H:%M} UTC", mend=NEW_CODE)
    return _activation(claims)


def lacking(
    activation: Activation,
    *,
    scopes: Iterable[str] = SCOPES,
    commands: Iterable[str] = (),
    statuses: Iterable[str] = (),
    events: Iterable[str] = (),
) -> tuple[str, ...]:
    """What the integration's manifest does not give us of what we want; xAPI names as in `Bookings.List`."""
    given = activation.access
    wanted = (("command", commands, given.commands), ("status", statuses, given.statuses))
    return (
        *(f"scope {scope}" for scope in scopes if scope not in activation.scopes),
        *(
            f"xAPI {kind} {name}"
            for kind, names, keys in (*wanted, ("event", events, given.events))
            for name in names
            if not any(_covers(key, name) for key in keys)
        ),
    )


def touches(keys: Iterable[str], name: str) -> bool:
    """Whether a manifest's keys give anything of a branch, be it not all of it; as in `Bookings`."""
    asked = name.lower().split(".")
    for key in keys:
        given = _INDEX.sub("", key).lower().removesuffix(".*").split(".")
        shared = min(len(given), len(asked))
        if given == ["*"] or given[:shared] == asked[:shared]:
            return True
    return False


def read_action(token: str, keys: bytes, *, org_id: str, app_id: str) -> Action:
    """What Webex says about our integration; Unsigned if it is not to be believed, or about another."""
    claims = _verified(token, keys)
    if (claims.sub, claims.app_id) != (org_id, app_id):
        raise Unsigned("it is about another integration, or another organisation's")
    match claims.action:
        case "provision":
            return Provisioned(activation=_activation(claims))
        case "deprovision":
            return Deprovisioned()
        case "update":
            return TokenReplaced(refresh_token=claims.refresh_token or None)
        case "updateApproved":
            return ManifestApproved(version=claims.manifest_version)
        case "healthCheck":
            return HealthAsked()
        case _:
            raise Unsigned("it says something about an integration that roomd does not know")


def key_id(token: str) -> str | None:
    """By which key a token was signed, by its own word."""
    try:
        named = jws.extract_compact(token.encode()).headers().get("kid")
    except (JoseError, ValueError):
        return None
    return named if isinstance(named, str) else None


def knows(keys: bytes, key: str | None) -> bool:
    """Whether a key set has this key."""
    try:
        known = decode(keys, _Keys)
    except Unreadable:
        return False
    return any(one.kid == key for one in known.keys)


def read_webex_url(url: str) -> str:
    """A URL of Webex's own hosts, or of this machine; Unsigned for any other: a token would be sent there."""
    host = (urlsplit(read_origin(url, whole=False)).hostname or "").lower()
    if host in HERE or any(host == domain or host.endswith(f".{domain}") for domain in DOMAINS):
        return url.rstrip("/")
    raise Unsigned(f"{host} is not one of Webex's hosts")


# ── inside a token ────────────────────────────────────────────────────────────────────────────────


class _Claims(msgspec.Struct, rename="camel"):
    sub: str = ""
    app_id: str = ""
    action: str = ""
    region: str = DEFAULT_REGION
    iat: Annotated[float, msgspec.Meta(ge=0)] = 0
    expiry_time: str = ""
    org_name: str = ""
    app_url: str = ""
    oauth_url: str = ""
    webexapis_base_url: str = ""
    scopes: str = ""
    refresh_token: str = ""
    xapi_access: str = "{}"
    manifest_version: int = 0


class _Access(msgspec.Struct):
    commands: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


class _Key(msgspec.Struct):
    kid: str = ""


class _Keys(msgspec.Struct):
    keys: tuple[_Key, ...] = ()


def _verified(token: str, keys: bytes) -> _Claims:
    try:
        key_set = KeySet.import_key_set(msgspec.json.decode(keys))
        claims = jwt.decode(token, key_set, algorithms=ALGORITHMS).claims
        return msgspec.convert(claims, type=_Claims)
    except (
        JoseError,
        ValueError,
        TypeError,
        KeyError,
        RecursionError,
        msgspec.DecodeError,
    ):  # their texts may quote what was read
        raise Unsigned("Webex has not signed this, or it was changed on its way") from None


def _activation(claims: _Claims) -> Activation:
    needed = (claims.sub, claims.app_id, claims.app_url, claims.oauth_url, claims.refresh_token)
    if not all(needed):
        raise Unsigned("the activation code lacks what an integration needs")
    oauth_url = read_webex_url(claims.oauth_url)
    # Cisco's Java SDK knows no other way than to derive it.
    api_url = claims.webexapis_base_url or oauth_url.removesuffix("/access_token")
    try:
        access = decode(claims.xapi_access, _Access)
    except Unreadable:
        access = _Access()
    return Activation(
        org_id=claims.sub,
        org_name=claims.org_name,
        app_id=claims.app_id,
        app_url=read_webex_url(claims.app_url),
        oauth_url=oauth_url,
        api_url=read_webex_url(api_url),
        region=claims.region,
        scopes=tuple(sorted(filter(None, claims.scopes.split(",")))),
        access=XapiAccess(commands=access.commands, statuses=access.statuses, events=access.events),
        refresh_token=claims.refresh_token,
    )


def _covers(key: str, name: str) -> bool:
    """Whether a manifest's key stands for a name: `*` for all below, `[*]` for any of several."""
    given, asked = (_INDEX.sub("", each).lower().split(".") for each in (key, name))
    if given[-1] == "*":
        return asked[: len(given) - 1] == given[:-1]
    return asked == given


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
