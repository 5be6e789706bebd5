"""Finds the link by which a room joins its meeting: of Webex, Teams, Meet and Zoom, and nobody else."""

from __future__ import annotations

import binascii
import html
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

TEXT_CHARACTERS: Final = 256 * 1024  # of one field: invitations are a hundredth of that
WRAPPED_CHARACTERS: Final = 8192  # of a link with all that mail filters have put around it
LINK_CHARACTERS: Final = 2048  # of the link itself: those of Teams, the longest, have some 400
WRAPPERS: Final = 3  # around each other: a message that was forwarded from one filter to the next
TRAILING: Final = ">)].,;:\"'!?*"  # of the sentence around a link, never of a link to join by


class Platform(StrEnum):
    """What a call runs on, by the names that devices give it."""

    WEBEX = "webex"
    TEAMS = "microsoft_teams"
    MEET = "google_meet"
    ZOOM = "zoom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """How to join: `platform` and `link` as `Meeting.platform` and `Meeting.join` have them."""

    platform: Platform
    link: str  # https or http, or the SIP address of a Webex meeting


def find(
    *, structured: Iterable[str | None] = (), location: str | None = None, body: str | None = None
) -> Join | None:
    """The first link to join by: in the calendar's own fields, as ordered, then the location, then the body.

    Texts may be plain or HTML. What lies beyond TEXT_CHARACTERS of one of them is not looked at.
    """
    for text in (*structured, location, body):
        if text and (join := find_in(text)) is not None:
            return join
    return None


def find_in(text: str) -> Join | None:
    """The first link in a text, else the first SIP address: an invitation has both, for one meeting."""
    readable = _unescaped(text[:TEXT_CHARACTERS])
    for candidate in _candidates(readable):
        if (join := judge(candidate)) is not None:
            return join
    address = _SIP.search(readable)
    return None if address is None else Join(platform=Platform.WEBEX, link=address[1].lower())


def judge(link: str) -> Join | None:
    """Which platform a link joins, out of what mail filters have wrapped it in; None: it joins none."""
    for _ in range(WRAPPERS + 1):
        parts = _split(link)
        if parts is None:
            return None
        inner = _unwrapped(parts)
        if inner is None:
            return _bare(link)
        link = inner
    return None


def _bare(link: str) -> Join | None:
    link = _ENDS.split(link, maxsplit=1)[0].rstrip(TRAILING)
    parts = _split(link) if len(link) <= LINK_CHARACTERS else None
    platform = _platform(parts) if parts is not None else None
    return None if platform is None else Join(platform=platform, link=link)


# ── where a text has links ────────────────────────────────────────────────────────────────────────


# Only what ends in a semicolon: `&copy=1` in a link is no ©. The bounds keep html.unescape from numbers
# so long that Python refuses to read them.
_REFERENCE: Final = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# A backslash ends a link: browsers take it for a stroke, and so see another host before an @ than we would.
_CANDIDATE: Final = re.compile(r"https?://[!#-;=?-\[\]-~]+", re.IGNORECASE)
# In no link to join by: what follows is the next word of a list, or the other half of a Markdown link.
_ENDS: Final = re.compile(r"[\[\](){}'|^`;,*]")
# `site.webex.com` are meetings; `company.calls.webex.com` and `company.rooms.webex.com` are people and rooms.
_SIP: Final = re.compile(
    r"(?<![\w.%+@/\\=&?-])(?ai:(?!no-?reply|do-?not-?reply)"
    r"([a-z0-9][a-z0-9._+-]{0,63}@[a-z0-9-]{1,63}\.webex\.com))(?![\w@/-]|\.\w)"
)


def _unescaped(text: str) -> str:
    return _REFERENCE.sub(lambda found: html.unescape(found[0]), text)


def _candidates(text: str) -> Iterator[str]:
    for found in _CANDIDATE.finditer(text):
        if len(candidate := found[0].rstrip(TRAILING)) <= WRAPPED_CHARACTERS:
            yield candidate


def _split(link: str) -> SplitResult | None:
    """The parts of a link with a host and nothing that could be taken for another; else None."""
    if _CANDIDATE.fullmatch(link) is None:
        return None
    try:
        parts = urlsplit(link)
        port, host = parts.port, parts.hostname
    except ValueError:  # brackets of IPv6, or a port that is no number
        return None
    expected = {None, 443} if parts.scheme == "https" else {None, 80, 443}
    if not host or port not in expected or "@" in parts.netloc:
        return None
    return parts


# ── what mail filters wrap them in ────────────────────────────────────────────────────────────────


def _unwrapped(parts: SplitResult) -> str | None:
    """The link within a wrapper, decoded once; None: this is no wrapper."""
    host = parts.hostname or ""
    if host.endswith((".safelinks.protection.outlook.com", ".safelinks.protection.office365.us")):
        return unquote(_parameter(parts.query, "url"))
    if host in {"urldefense.com", "urldefense.us", "urldefense.proofpoint.com"}:
        return _defended(parts)
    if host in {"www.google.com", "google.com"} and parts.path == "/url":
        return unquote(_parameter(parts.query, "q") or _parameter(parts.query, "url"))
    return None


def _parameter(query: str, name: str) -> str:
    """The raw value, where a plus is a plus; "" if there is none. What is after it may be anything."""
    _, found, rest = f"&{query}".partition(f"&{name}=")
    return rest.partition("&")[0] if found else ""


def _defended(parts: SplitResult) -> str:
    """What Proofpoint URL Defense has wrapped, by its three versions."""
    version, _, rest = parts.path.removeprefix("/").partition("/")
    if version == "v3":  # its question mark, if any, is that of the link within
        whole = parts._replace(scheme="", netloc="", path=rest).geturl()
        wrapped, _, behind = whole.removeprefix("__").partition("__;")
        link = _filled_in(wrapped.removesuffix("__"), behind.partition("!")[0])
        # Some servers on the way make one stroke of two.
        return re.sub(r"\A(https?:)/(?!/)", r"\1//", link)
    value = _parameter(parts.query, "u")
    if version == "v2":
        return unquote(value.translate(_V2))
    return unquote(value)


_V2: Final = str.maketrans("-_", "%/")
_RUN: Final = re.compile(r"\*(?:\*([A-Za-z0-9_-]))?")
_RUN_LENGTHS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SHORTEST_RUN: Final = 2


def _filled_in(wrapped: str, taken_out: str) -> str:
    """Version 3 puts a star for a character that it took out, or two and a length for several of them."""
    try:
        characters = urlsafe_b64decode(taken_out + "=" * (-len(taken_out) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""
    at = 0

    def put_back(star: re.Match[str]) -> str:
        nonlocal at
        length = _RUN_LENGTHS.index(star[1]) + _SHORTEST_RUN if star[1] else 1
        at += length
        return characters[at - length : at]

    whole = _RUN.sub(put_back, wrapped)
    return whole if at == len(characters) else ""


# ── whose they are ────────────────────────────────────────────────────────────────────────────────


_ID: Final = r"[\w.~%!$&+=:@-]+"  # one step of a path
_WEBEX_PATH: Final = re.compile(
    rf"/(?:meet|join)/{_ID}/?"
    rf"|/wbxmjs/joinservice/.+"
    rf"|/collabs/meetings/join/?"
    rf"|/webappng/sites/{_ID}/meeting/{_ID}/.+",
    re.IGNORECASE | re.ASCII,
)
_WEBEX_SCRIPT: Final = re.compile(r"(?:/[\w-]{1,64}){1,3}/j\.php", re.IGNORECASE | re.ASCII)
_WEBEX_NUMBER: Final = re.compile(r"(?:\A|&)MTID=[A-Za-z0-9]+", re.IGNORECASE)
_TEAMS_PATH: Final = re.compile(r"/l/meetup-join/.+", re.IGNORECASE)
_TEAMS_SHORT_PATH: Final = re.compile(r"/meet/[0-9]+/?", re.IGNORECASE)
_TEAMS_PASSCODE: Final = re.compile(r"(?:\A|&)p=[A-Za-z0-9]+")
_MEET_PATH: Final = re.compile(
    r"(?:/_meet)?/(?:[a-z]{3}-[a-z]{4}-[a-z]{3}|lookup/[\w-]+)/?", re.IGNORECASE | re.ASCII
)
_ZOOM_PATH: Final = re.compile(
    rf"/(?:(?:j|my|s|w|wc/join|ejl)/{_ID}(?:/.*)?|wc/[0-9]+/join/?)", re.IGNORECASE | re.ASCII
)

_TEAMS_HOSTS: Final = frozenset(
    {
        *(f"{cloud}teams.microsoft.{top}" for cloud in ("", "gov.", "dod.") for top in ("com", "us")),
        "teams.live.com",
        "teams.cloud.microsoft",
    }
)
_ZOOM_DOMAINS: Final = (
    *(f"{zoom}.{top}" for zoom in ("zoom", "zoom-x") for top in ("us", "com", "com.cn", "de")),
    "zoomgov.com",
)


def _within(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _is_webex(host: str, parts: SplitResult) -> bool:
    if not _within(host, "webex.com"):
        return False
    if _WEBEX_SCRIPT.fullmatch(parts.path) is not None:
        return _WEBEX_NUMBER.search(parts.query) is not None
    return _WEBEX_PATH.fullmatch(parts.path) is not None


def _is_teams(host: str, parts: SplitResult) -> bool:
    if host not in _TEAMS_HOSTS:
        return False
    if _TEAMS_SHORT_PATH.fullmatch(parts.path) is not None:
        return _TEAMS_PASSCODE.search(parts.query) is not None
    return _TEAMS_PATH.fullmatch(parts.path) is not None


def _is_meet(host: str, parts: SplitResult) -> bool:
    return host == "meet.google.com" and _MEET_PATH.fullmatch(parts.path) is not None


def _is_zoom(host: str, parts: SplitResult) -> bool:
    if not any(_within(host, domain) for domain in _ZOOM_DOMAINS):
        return False
    return _ZOOM_PATH.fullmatch(parts.path) is not None


_SERVICES: Final[tuple[tuple[Platform, Callable[[str, SplitResult], bool]], ...]] = (
    (Platform.WEBEX, _is_webex),
    (Platform.TEAMS, _is_teams),
    (Platform.MEET, _is_meet),
    (Platform.ZOOM, _is_zoom),
)


def _platform(parts: SplitResult) -> Platform | None:
    host = parts.hostname or ""
    return next((platform for platform, is_its in _SERVICES if is_its(host, parts)), None)
