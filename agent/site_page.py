"""The page and the API: what of the site is shown to people and scripts over HTTP, and nothing is ordered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.local_api import Inside, Sight
from agent.metrics import CONTENT_TYPE
from agent.page_events import Teller
from agent.page_views import free_shown, room_by_name, rooms_shown, site_shown
from agent.report_choice import NotUnderstood
from agent.trends_page import NotMade, TrendsPage, refused

PAGE_FILES: Final = Path(__file__).parent / "page"
CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
}
LONGEST_SPAN: Final = timedelta(hours=24)  # agendas reach no further than tomorrow
MOST_PEOPLE: Final = 100_000
SPAN: Final = re.compile(r"(\d{1,5})(m|min|h)?")

_encode = msgspec.json.Encoder().encode


class BadQuestion(Exception):
    """What was asked cannot be answered; in words, with the mend."""

    def __init__(self, error: str, mend: str) -> None:
        super().__init__(error)
        self.error = error
        self.mend = mend


def span_of(text: str) -> timedelta:
    """`30m`, `1h` or `90` (minutes). Raises `BadQuestion`."""
    found = SPAN.fullmatch(text.strip())
    span = timedelta(0)
    if found is not None:
        number = int(found[1])
        span = timedelta(hours=number) if found[2] == "h" else timedelta(minutes=number)
    if not timedelta(0) < span <= LONGEST_SPAN:
        raise BadQuestion(
            f"for={text[:40]!r} is no span of time", "write it like 30m, 1h or 90 (minutes), 24h at most"
        )
    return span


def people_of(text: str) -> int:
    """How many. Raises `BadQuestion`."""
    if re.fullmatch(r"[0-9]{1,6}", text) is None or not 1 <= int(text) <= MOST_PEOPLE:
        raise BadQuestion(f"people={text[:40]!r} is no number of people", "write it like people=6")
    return int(text)


# ── answers ───────────────────────────────────────────────────────────────────────────────────────


def as_json(body: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Never kept by anybody on the way: it is outdated by the next second."""
    return Response(
        _encode(body), status, headers={"Cache-Control": "no-store"}, media_type="application/json"
    )


def refusal(status: HTTPStatus, error: str, mend: str) -> Response:
    """What scripts are told when something is wrong."""
    return as_json({"error": error, "mend": mend}, status)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFile:
    """A file of the page, as it is handed out."""

    body: bytes
    content_type: str
    etag: str


def read_page(directory: Path = PAGE_FILES) -> Mapping[str, PageFile]:
    """The page's files by their names below its directory."""
    return {
        str(file.relative_to(directory)): PageFile(
            body=(body := file.read_bytes()),
            content_type=CONTENT_TYPES[file.suffix],
            etag=f'"{blake2b(body, digest_size=12).hexdigest()}"',
        )
        for file in sorted(directory.rglob("*"))
        if file.is_file() and file.suffix in CONTENT_TYPES
    }


class SitePage:
    """What there is to see, and where."""

    def __init__(self, inside: Inside, files: Mapping[str, PageFile]) -> None:
        """`inside` must have a `sight` and a `site`."""
        self._inside = inside
        self._files = files
        self._trends = TrendsPage(self._sight)
        self.teller = Teller(inside.broadcast, sight=self._sight, site=self._site_now)

    def application(self) -> Starlette:
        """As an ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._index),
                Route("/room/{room}", self._room_page),
                Route("/healthz", self._healthy),
                Route("/readyz", self._ready),
                Route("/metrics", self._metrics),
                Route("/api/site", self._site),
                Route("/api/rooms", self._rooms),
                Route("/api/rooms/free", self._free),
                Route("/api/rooms/{room}", self._room),
                Route("/api/events", self._events),
                *self._trends.routes(),
                Route("/{file:path}", self._file),
            ],
            exception_handlers={
                HTTPException: self._refused,
                BadQuestion: self._not_understood,
                NotUnderstood: refused,
                NotMade: refused,
                Exception: self._failed,  # uvicorn logs it
            },
        )

    def _sight(self) -> Sight:
        assert self._inside.sight is not None  # noqa: S101 - the page is not opened without
        return self._inside.sight()

    # ── the page

    async def _index(self, request: Request) -> Response:
        return self._hand_out(request, "index.html")

    async def _room_page(self, request: Request) -> Response:
        return self._hand_out(request, "index.html")

    async def _file(self, request: Request) -> Response:
        return self._hand_out(request, request.path_params["file"])

    def _hand_out(self, request: Request, name: str) -> Response:
        file = self._files.get(name)
        if file is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}  # asked for again, and mostly unchanged
        asked_for = request.headers.get("if-none-match", "")
        if file.etag in {each.strip().removeprefix("W/") for each in asked_for.split(",")}:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(file.body, headers=headers | {"Content-Type": file.content_type})

    # ── the API

    async def _site(self, request: Request) -> Response:  # noqa: ARG002 - as all of them
        return as_json(await self._site_now())

    async def _site_now(self) -> Mapping[str, Any]:
        assert self._inside.site is not None  # noqa: S101 - nor without this
        picture = await self._inside.site()
        return site_shown(self._sight(), picture)

    async def _rooms(self, request: Request) -> Response:  # noqa: ARG002
        sight = self._sight()
        return as_json({"at": sight.at, "rooms": await rooms_shown(sight)})

    async def _room(self, request: Request) -> Response:
        name = request.path_params["room"]
        room = room_by_name(self._sight(), name)
        if room is None:
            return refusal(
                HTTPStatus.NOT_FOUND, f"no room is called {name[:64]!r} here", "ask /api/rooms for their ids"
            )
        return as_json(room)

    async def _free(self, request: Request) -> Response:
        asked = request.query_params
        for name in asked:
            if name not in {"for", "people"}:
                raise BadQuestion(f"{name[:40]!r} is not known here", "ask for=30m and people=6")
        span, people = span_of(asked.get("for", "30m")), people_of(asked.get("people", "1"))
        sight = self._sight()
        return as_json({"at": sight.at, "rooms": free_shown(sight, span=span, people=people)})

    async def _events(self, request: Request) -> Response:
        return self.teller.stream(request.headers.get("last-event-id"))

    # ── for those who watch roomd

    async def _healthy(self, request: Request) -> Response:  # noqa: ARG002
        return as_json({"status": "ok"})

    async def _ready(self, request: Request) -> Response:  # noqa: ARG002
        missing = self._inside.ready()
        if missing:
            return as_json({"status": "not ready", "why": list(missing)}, HTTPStatus.SERVICE_UNAVAILABLE)
        return as_json({"status": "ready"})

    async def _metrics(self, request: Request) -> Response:  # noqa: ARG002
        body = await self._inside.metrics()
        return Response(
            body,
            headers={
                "Content-Type": CONTENT_TYPE,
                "Cache-Control": "no-store",
            },
        )

    # ── what is wrong

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - as it is registered
        status = HTTPStatus(error.status_code)
        words = {
            HTTPStatus.NOT_FOUND: ("there is nothing here", "/ is the page, /api/rooms what it shows"),
            HTTPStatus.METHOD_NOT_ALLOWED: (
                f"{request.method} is not done here: this only shows, it takes no orders",
                "ask with GET; orders go by `roomd hold`, `roomd book` or the cloud",
            ),
        }
        what, mend = words.get(status, (status.phrase, "see docs/api.md"))
        if request.url.path.startswith("/api/"):
            answer = refusal(status, what, mend)
        else:
            answer = Response(f"{what}. {mend}.\n", status, media_type="text/plain")
        if error.headers:
            answer.headers.update(error.headers)
        return answer

    async def _failed(self, request: Request, error: Exception) -> Response:  # noqa: ARG002
        return refusal(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "roomd made a mistake, and goes on",
            "report it with the lines of its log: `journalctl -u roomd`",
        )

    async def _not_understood(self, request: Request, error: Exception) -> Response:  # noqa: ARG002
        assert isinstance(error, BadQuestion)  # noqa: S101 - as it is registered
        return refusal(HTTPStatus.BAD_REQUEST, error.error, error.mend)
