"""Who may look at the page: the socket's group, this machine's users, and elsewhere who has the token."""

from __future__ import annotations

import asyncio
import hmac
import html
import re
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum
from hashlib import sha256
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Final, Protocol
from urllib.parse import parse_qs, parse_qsl, urlencode

import msgspec
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

COOKIE: Final = "roomd_page"
REMEMBERED_FOR_S: Final = 365 * 86_400  # a screen on a wall has nobody who types
LOGIN: Final = "/login"
LONGEST_LOGIN: Final = 4096  # bytes of its form
WRONG_AT_ONCE: Final = 10  # tokens that one address may get wrong
FORGIVEN_AFTER_S: Final = 10.0  # one of them
MOST_GUESSERS: Final = 1024  # addresses that are remembered
FOR_SCRIPTS: Final = ("/api/", "/metrics", "/healthz", "/readyz")
HOST: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:@]+))(?::[0-9]*)?")  # a name or address, and a port
OWN_SITE: Final = frozenset({"same-origin", "none"})  # who sent a form, as browsers say it
PAGES: Final = re.compile(r"/(room/[a-z0-9-]{1,63}|trends)?")

SHIELDS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guest(Protocol):
    """Who asks, as its connection knows it."""

    @property
    def at_socket(self) -> bool:
        """Whether it came by this machine's socket, which asks for no more than its file's mode does."""
        ...

    @property
    def address(self) -> str:
        """Where from."""
        ...

    def welcome(self) -> None:
        """It may look: it is no stranger any more."""
        ...


# ── what is known of whoever asks ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The token, and the cookies that stand for it in a browser."""

    token: bytes
    secure: bool  # over TLS: browsers keep the cookie to that

    def opens(self, token: str) -> bool:
        """Whether this is the token; in a time that says nothing of where it differs."""
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self.token)

    def cookie(self, *, now: float) -> str:
        """What a browser is given to keep; it holds no token. `now` is seconds of the epoch."""
        until = str(int(now) + REMEMBERED_FOR_S)
        secure = "; Secure" if self.secure else ""
        return (
            f"{COOKIE}={until}.{self._sign(until)}; Path=/; Max-Age={REMEMBERED_FOR_S}; "
            f"HttpOnly; SameSite=Strict{secure}"
        )

    def knows(self, header: str, *, now: float) -> bool:
        """Whether among these cookies is one of ours that is not over."""
        try:
            kept = SimpleCookie(header).get(COOKIE)
        except CookieError:
            return False
        until, _, signed = ("" if kept is None else kept.value).partition(".")
        if not re.fullmatch(r"[0-9]{1,12}", until) or not signed.isascii():
            return False
        return hmac.compare_digest(signed, self._sign(until)) and now < int(until)

    def _sign(self, until: str) -> str:
        return hmac.new(self.token, f"the page, until {until}".encode(), sha256).hexdigest()


class Guesses:
    """Slows down who shows wrong tokens: some at once, and then one now and then."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._wrong: OrderedDict[str, tuple[float, float]] = OrderedDict()  # how many, and when that was

    def may_try(self, address: str) -> bool:
        """Whether a token from there is looked at."""
        return self._still_wrong(address) <= WRONG_AT_ONCE - 1

    def wrong(self, address: str) -> None:
        """Another one from there was wrong."""
        number = self._still_wrong(address) + 1
        self._wrong[address] = number, self._monotonic()
        self._wrong.move_to_end(address)
        if len(self._wrong) > MOST_GUESSERS:
            self._wrong.popitem(last=False)
        if not self.may_try(address):  # told again only after one was forgiven
            log.warning(
                "page.guessed",
                address=address,
                mend="somebody there has no good token: give it to them anew, or keep that address out",
            )

    def _still_wrong(self, address: str) -> float:
        number, at = self._wrong.get(address, (0.0, 0.0))
        return max(0.0, number - (self._monotonic() - at) / FORGIVEN_AFTER_S)


def is_named(host: str, names: frozenset[str]) -> bool:
    """Whether a Host header names us: by an address, which no stranger's name server can turn, or a name."""
    found = HOST.fullmatch(host.strip().lower())
    if found is None:
        return False
    name = found[1] or found[2]
    try:
        ip_address(name)
    except ValueError:
        return name.rstrip(".") in names
    return True


# ── at the door ───────────────────────────────────────────────────────────────────────────────────


class Access:
    """Stands before the site: turns away who may not look, and shields what is answered."""

    def __init__(
        self,
        site: ASGIApp,
        *,
        names: frozenset[str],
        keys: Keys | None,
        head_bytes: int,
        request_within_s: float,
        now: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """`names` are of hosts, `keys` None where no token is needed; `now` is seconds of the epoch.

        A request may have so many bytes of head, and a form's may take so long.
        """
        self._site = site
        self._names = names
        self._keys = keys
        self.head_bytes = head_bytes
        self._request_within_s = request_within_s
        self._now = now
        self._guesses = Guesses(monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        answer = await self._judge(scope, receive)
        if answer is None:
            scope["state"]["guest"].welcome()
            await self._site(scope, receive, self._shielded(send))
        else:
            answer.headers.setdefault("Cache-Control", "no-store")
            if answer.status_code != HTTPStatus.SEE_OTHER:
                answer.headers["Connection"] = "close"
            await answer(scope, receive, self._shielded(send))

    async def _judge(self, scope: Scope, receive: Receive) -> Response | None:
        """What it is answered instead; None: it may look."""
        headers, guest = Headers(scope=scope), scope["state"]["guest"]
        if sum(len(name) + len(value) for name, value in scope["headers"]) > self.head_bytes:
            return _tell(
                scope, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "that is too much to read", "say less"
            )
        if not guest.at_socket and not is_named(headers.get("host", ""), self._names):
            return _tell(
                scope,
                HTTPStatus.MISDIRECTED_REQUEST,
                "roomd is not known by this name",
                'if it should be, write it into the configuration: [page] names = ["roomd.example.com"]',
            )
        login = scope["path"] == LOGIN and scope["method"] == "POST" and self._keys is not None
        if not login and ("transfer-encoding" in headers or headers.get("content-length", "0") != "0"):
            if scope["method"] in {"GET", "HEAD"}:
                return _tell(scope, HTTPStatus.BAD_REQUEST, "a question has no body", "ask without one")
            return _tell(
                scope, HTTPStatus.METHOD_NOT_ALLOWED, "this only shows, it takes no orders", "ask with GET"
            )
        if guest.at_socket or self._keys is None:
            return None
        if login:
            if headers.get("sec-fetch-site", "none") not in OWN_SITE:
                return _tell(scope, HTTPStatus.FORBIDDEN, *FOREIGN_FORM)
            return await self._log_in(self._keys, guest, scope, receive)
        return self._show_key(self._keys, guest, scope, headers)

    def _show_key(self, keys: Keys, guest: Guest, scope: Scope, headers: Headers) -> Response | None:
        """Look for the token where scripts send it, in a page's address, and for a browser's cookie."""
        path, page = scope["path"], PAGES.fullmatch(scope["path"]) is not None
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            match self._try(keys, guest, bearer.strip()):
                case _Verdict.RIGHT:
                    return None
                case _Verdict.WRONG:
                    return _tell(scope, HTTPStatus.UNAUTHORIZED, *WRONG_TOKEN)
                case _Verdict.LATER:
                    return _tell(scope, HTTPStatus.TOO_MANY_REQUESTS, *TOO_MANY)
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        shown = next((value for name, value in asked if name == "token"), None)
        if page and shown is not None:
            without = _address(path, [(name, value) for name, value in asked if name != "token"])
            match self._try(keys, guest, shown):
                case _Verdict.RIGHT:
                    return _swap(without, keys.cookie(now=self._now()))
                case _Verdict.WRONG:
                    return _form(without, wrong=True)
                case _Verdict.LATER:
                    return _tell(scope, HTTPStatus.TOO_MANY_REQUESTS, *TOO_MANY)
        if keys.knows(headers.get("cookie", ""), now=self._now()):
            return None
        if page:
            return _form(_address(path, asked), wrong=False)
        return _tell(scope, HTTPStatus.UNAUTHORIZED, *NO_TOKEN)

    async def _log_in(self, keys: Keys, guest: Guest, scope: Scope, receive: Receive) -> Response:
        """Swap the token of the form for a cookie."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._request_within_s):
                more = True
                while more and len(body) <= LONGEST_LOGIN:
                    message = await receive()
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
        except TimeoutError:
            return _tell(scope, HTTPStatus.REQUEST_TIMEOUT, "the form came too slowly", "send it again")
        fields = parse_qs(bytes(body[:LONGEST_LOGIN]).decode("latin-1"))
        to = fields.get("to", ["/"])[0]
        to = to if PAGES.fullmatch(to.partition("?")[0]) and _printable(to) else "/"
        match self._try(keys, guest, fields.get("token", [""])[0].strip()):
            case _Verdict.RIGHT:
                there = {"Location": to, "Set-Cookie": keys.cookie(now=self._now())}
                return Response(status_code=HTTPStatus.SEE_OTHER, headers=there)
            case _Verdict.WRONG:
                return _form(to, wrong=True)
            case _Verdict.LATER:
                return _tell(scope, HTTPStatus.TOO_MANY_REQUESTS, *TOO_MANY)

    def _try(self, keys: Keys, guest: Guest, token: str) -> _Verdict:
        if not self._guesses.may_try(guest.address):
            return _Verdict.LATER
        if keys.opens(token):
            return _Verdict.RIGHT
        self._guesses.wrong(guest.address)
        return _Verdict.WRONG

    def _shielded(self, send: Send) -> Send:
        """Adds what keeps a browser from being led astray."""

        async def shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Date"] = formatdate(self._now(), usegmt=True)
                for name, value in SHIELDS.items():
                    headers.setdefault(name, value)
            await send(message)

        return shielded


class _Verdict(Enum):
    RIGHT = "right"
    WRONG = "wrong"
    LATER = "later"  # too many wrong ones came from there: it was not looked at


# ── in words ──────────────────────────────────────────────────────────────────────────────────────

NO_TOKEN: Final = (
    "this needs the token",
    "send `Authorization: Bearer TOKEN`; the token is in the file that [page] token_file names",
)
WRONG_TOKEN: Final = (
    "this is not the token",
    "send what is in the file that [page] token_file names; after it was changed, reload roomd",
)
FOREIGN_FORM: Final = ("another site sent this form", "open the rooms' page, and give the token there")
TOO_MANY: Final = ("too many wrong tokens came from this address", "wait a minute, and send the right one")

_encode = msgspec.json.Encoder().encode
_STYLE: Final = (
    ":root{color-scheme:light dark;font:1.1rem/1.5 system-ui,sans-serif}"
    "body{max-width:24rem;margin:15vh auto;padding:0 1rem}"
    "label,input,button{display:block;width:100%;box-sizing:border-box;font:inherit}"
    "input,button{margin:.5rem 0 1rem;padding:.6rem}"
    "[hidden]{display:none}"
)
_STYLE_DIGEST: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()
_SCANT: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def _tell(scope: Scope, status: HTTPStatus, error: str, mend: str) -> Response:
    """Why not: as JSON for scripts, else as a line."""
    headers = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="roomd"'
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        headers["Retry-After"] = str(int(FORGIVEN_AFTER_S))
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = "GET, HEAD"
    if scope["path"].startswith(FOR_SCRIPTS):
        body = _encode({"error": error, "mend": mend})
        return Response(body, status, headers, media_type="application/json")
    return Response(f"{error}: {mend}.\n", status, headers, media_type="text/plain")


def _document(status: HTTPStatus, head: str, body: str) -> Response:
    return Response(
        "<!doctype html>\n"
        '<html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Rooms</title>{head}<style>{_STYLE}</style></head><body>{body}</body></html>\n",
        status,
        {"Content-Security-Policy": _SCANT},
        media_type="text/html",
    )


def _form(to: str, *, wrong: bool) -> Response:
    why = "<p role=alert><strong>That is not the token.</strong></p>" if wrong else ""
    return _document(
        HTTPStatus.UNAUTHORIZED,
        "",
        f'<h1>Rooms</h1>{why}<form method="post" action="{LOGIN}">'
        '<input name="user" value="roomd" autocomplete="username" hidden>'  # for who keeps passwords
        '<label for="token">Token</label>'
        '<input id="token" name="token" type="password" required autofocus autocomplete="current-password">'
        f'<input type="hidden" name="to" value="{html.escape(to)}"><button>Look</button></form>'
        "<p>Ask whoever runs roomd: it is in the file that <code>[page] token_file</code> names.</p>",
    )


def _swap(to: str, cookie: str) -> Response:
    """Go there with the cookie.

    A redirect would not do: a browser that was led here by a link elsewhere sends no strict cookie along it.
    """
    address = html.escape(to)
    answer = _document(
        HTTPStatus.OK,
        f'<meta http-equiv="refresh" content="0; url={address}">',
        f'<p><a href="{address}">To the rooms</a></p>',
    )
    answer.headers["Set-Cookie"] = cookie
    return answer


def _address(path: str, asked: Sequence[tuple[str, str]]) -> str:
    """A page's address; `?kiosk` stays what it is."""
    query = urlencode(asked).replace("=&", "&").removesuffix("=")
    return f"{path}?{query}" if query else path


def _printable(text: str) -> bool:
    return re.fullmatch(r"[!-~]{1,500}", text) is not None
