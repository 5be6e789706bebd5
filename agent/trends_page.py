"""The page of trends: reports, each made by a process of its own, so that the daemon never waits."""

from __future__ import annotations

import asyncio
import html
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.core.model import ListedRoom
from agent.local_api import Sight
from agent.report_child import Asked, Made
from agent.report_choice import NotUnderstood, Question, days_asked, groups_of, rooms_asked
from agent.signs import printable

log = structlog.get_logger()

FRESH_S: Final = 300.0  # hours are told once an hour
KEPT: Final = 6  # reports, of a few MB each for a thousand rooms
MOST_WAITING: Final = 8  # one is made at a time: a machine of two cores has better to do
WITHIN_S: Final = 120.0  # a year of a thousand rooms takes some seconds, and others are served first
LONGEST_WHY: Final = 400
ASKED_FOR: Final = ("last", "from", "to", "room", "group")
RANGES: Final[Mapping[str, str]] = {
    "7d": "7 days",
    "30d": "30 days",
    "13w": "13 weeks",
    "26w": "26 weeks",
    "400d": "400 days",
}
CACHE: Final = "plots"  # in the state directory: what the plots' library knows of fonts


class NotMade(Exception):
    """There is no report; in words, with the mend."""

    def __init__(self, error: str, mend: str) -> None:
        super().__init__(error)
        self.error = error
        self.mend = mend


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What somebody wants to see."""

    question: Question
    link: Mapping[str, list[str]]  # the query as it was asked
    key: tuple[Question, str]


class Workshop:
    """Has reports made, one after the other, and keeps the last ones for a while."""

    def __init__(
        self,
        command: Sequence[str] = (sys.executable, "-I", "-m", "agent.report_child"),
        *,
        within_s: float = WITHIN_S,
    ) -> None:
        """`command` is asked on its standard input; it is killed if it takes longer than `within_s`."""
        self._command = command
        self._within_s = within_s
        self._bench = asyncio.Lock()
        self._waiting = 0
        self._kept: OrderedDict[object, tuple[float, Made]] = OrderedDict()

    async def report(self, key: object, asked: Asked) -> Made:
        """The report, made now or a short while ago. Raises `NotMade`."""
        if (kept := self._fresh(key)) is not None:
            return kept
        if self._waiting >= MOST_WAITING:
            raise NotMade("many reports are asked for at the same time", "try again in a minute")
        self._waiting += 1
        try:
            async with self._bench:
                if (kept := self._fresh(key)) is None:  # another may have had the same wish
                    kept = await self._make(asked)
                    self._keep(key, kept)
                return kept
        finally:
            self._waiting -= 1

    def _fresh(self, key: object) -> Made | None:
        at, kept = self._kept.get(key, (0.0, None))
        return kept if kept is not None and time.monotonic() - at < FRESH_S else None

    def _keep(self, key: object, made: Made) -> None:
        self._kept = OrderedDict((each, kept) for each, kept in self._kept.items() if self._fresh(each))
        self._kept[key] = time.monotonic(), made
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    async def _make(self, asked: Asked) -> Made:
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=_surroundings(),
                cwd="/",
            )
        except OSError as error:
            raise self._failed(f"it could not be started: {error}") from error
        try:
            async with asyncio.timeout(self._within_s):
                answer, complaint = await child.communicate(msgspec.json.encode(asked))
        except TimeoutError:
            raise self._failed(f"it took longer than {self._within_s:.0f} s") from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode != 0:
            last = complaint.decode(errors="replace").strip().rpartition("\n")[2][-LONGEST_WHY:]
            raise self._failed(f"it ended with {child.returncode}: {last}")
        try:
            return msgspec.json.decode(answer, type=Made)
        except msgspec.MsgspecError as error:
            raise self._failed(f"its answer was not whole: {error}") from error

    def _failed(self, why: str) -> NotMade:
        mend = "try `roomd report --output report.html` at the machine; if that fails as well, report the bug"
        log.error("trends.report_failed", why=why, mend=mend)
        return NotMade("the report could not be made", "the log says why: `journalctl -u roomd`")


def _surroundings() -> Mapping[str, str]:
    """What a report needs of the environment, which is little, and nothing that leads to a secret."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8"}


class TrendsPage:
    """What of a site's past is shown, and where."""

    def __init__(self, sight: Callable[[], Sight], workshop: Workshop | None = None) -> None:
        self._sight = sight
        self._workshop = workshop or Workshop()

    def routes(self) -> list[Route]:
        """As part of the page's application."""
        return [
            Route("/trends", self._page),
            Route("/trends/rooms.csv", self._table),
            Route("/trends/{plot}.svg", self._plot),
            Route("/api/trends", self._api),
        ]

    async def _page(self, request: Request) -> Response:
        sight = self._sight()
        try:
            wanted = _wanted(request, sight)
            made = await self._made(wanted, sight)
        except NotUnderstood as error:
            return _shown(sight, request, _notice(error.error, error.mend), HTTPStatus.BAD_REQUEST)
        except NotMade as error:
            return _shown(sight, request, _notice(error.error, error.mend), HTTPStatus.SERVICE_UNAVAILABLE)
        if made.trouble:
            return _shown(sight, request, _notice(*_trouble(made)))
        return _shown(sight, request, made.page)

    async def _table(self, request: Request) -> Response:
        sight = self._sight()
        wanted = _wanted(request, sight)
        made = await self._made(wanted, sight)
        if made.trouble:
            raise NotMade(*_trouble(made))
        name = f"rooms-{wanted.question.since}-{wanted.question.last}.csv"
        headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
        return Response(made.rooms, headers=headers, media_type="text/csv; charset=utf-8")

    async def _plot(self, request: Request) -> Response:
        sight = self._sight()
        made = await self._made(_wanted(request, sight), sight)
        plot = made.plots.get(request.path_params["plot"])
        if plot is None:
            return Response("there is no such plot.\n", HTTPStatus.NOT_FOUND, media_type="text/plain")
        headers = {"Cache-Control": "no-store", "Content-Security-Policy": PLOT_SHIELD}
        return Response(plot, headers=headers, media_type="image/svg+xml")

    async def _api(self, request: Request) -> Response:
        sight = self._sight()
        made = await self._made(_wanted(request, sight), sight)
        if made.trouble:
            raise NotMade(*_trouble(made))
        return Response(
            bytes(made.report), headers={"Cache-Control": "no-store"}, media_type="application/json"
        )

    async def _made(self, wanted: _Wanted, sight: Sight) -> Made:
        cache = sight.configuration.state_directory / CACHE
        asked = Asked(question=wanted.question, link=dict(wanted.link), cache=str(cache))
        return await self._workshop.report(wanted.key, asked)


def _wanted(request: Request, sight: Sight) -> _Wanted:
    """Raises `NotUnderstood`."""
    asked: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if name not in ASKED_FOR:
            raise NotUnderstood(f"{name[:40]!r} is not known here", f"ask for {', '.join(ASKED_FOR)}")
        if value:
            asked.setdefault(name, []).append(value)
    if "last" in asked and "from" in asked:  # the form was shown days, and was given another range
        asked = {name: values for name, values in asked.items() if name not in {"from", "to"}}
    configuration = sight.configuration
    first, final = days_asked(
        since=_last(asked, "from"),
        last_day=_last(asked, "to"),
        last=_last(asked, "last"),
        today=sight.at.astimezone(configuration.policy.timezone).date(),
    )
    rooms, about = rooms_asked(
        [room.listed for room in configuration.rooms],
        names=asked.get("room", ()),
        groups=asked.get("group", ()),
    )
    question = Question(
        directory=str(configuration.state_directory),
        site=configuration.site.site,
        about=about,
        since=first,
        last=final,
        rooms=rooms,
        working=configuration.policy.working,
    )
    return _Wanted(question=question, link=asked, key=(question, urlencode(asked, doseq=True)))


def _last(asked: Mapping[str, list[str]], name: str) -> str:
    return asked.get(name, [""])[-1]


# ── in words ──────────────────────────────────────────────────────────────────────────────────────

PLOT_SHIELD: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"  # all in it


def _trouble(made: Made) -> tuple[str, str]:
    if made.trouble == "absent":
        return (
            "Nothing has been counted yet.",
            "roomd counts from its start on, and tells each hour when it is over.",
        )
    return (
        "What was counted cannot be read.",
        f"When roomd next writes to it, it sets it aside and saves what it can. ({made.trouble})",
    )


def refused(request: Request, error: Exception) -> Response:
    """What is answered for a plot, a table or a script; the page says it itself."""
    assert isinstance(error, NotUnderstood | NotMade)  # noqa: S101 - as it is registered
    status = HTTPStatus.BAD_REQUEST if isinstance(error, NotUnderstood) else HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"Cache-Control": "no-store"}
    if request.url.path.startswith("/api/"):
        body = msgspec.json.encode({"error": error.error, "mend": error.mend})
        return Response(body, status, headers, media_type="application/json")
    return Response(f"{error.error}: {error.mend}\n", status, headers, media_type="text/plain")


def _notice(what: str, mend: str) -> str:
    return (
        f'<div class="notice" role="status"><p><strong>{_safe(what)}</strong></p><p>{_safe(mend)}</p></div>'
    )


def _shown(sight: Sight, request: Request, inside: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    site = _safe(sight.configuration.site.site)
    body = (
        '<!doctype html>\n<html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>Trends – {site}</title>'
        '<link rel="icon" href="/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/trends.css">'
        '</head>\n<body class="page"><a class="skip" href="#main">Skip to the trends</a>'
        f'<header class="head"><p><a class="back" href="/">All rooms</a></p><h1>Trends of {site}</h1>'
        f'{_form(request, [room.listed for room in sight.configuration.rooms])}</header>\n<main id="main">'
        f"{inside}</main></body></html>\n"
    )
    return Response(
        body, status, headers={"Cache-Control": "no-store"}, media_type="text/html; charset=utf-8"
    )


def _form(request: Request, listed: Sequence[ListedRoom]) -> str:
    asked = request.query_params
    chosen = asked.get("last", "" if asked.get("from") else "30d")
    ranges = "".join(_option(value, words, chosen) for value, words in RANGES.items())
    if chosen not in RANGES:
        ranges += _option(chosen, chosen or _from_to(asked.get("from", ""), asked.get("to", "")), chosen)
    named = "".join(
        f'<input type="hidden" name="{name}" value="{_safe(value)}">'
        for name, value in asked.multi_items()
        if name in {"room", "from", "to"} and value
    )
    groups = groups_of(listed)
    group = next((each for each in groups if each.casefold() == asked.get("group", "").casefold()), "")
    choices = _option("", "all rooms", group) + "".join(_option(each, each, group) for each in groups)
    select = f'<label>of <select name="group">{choices}</select></label>' if groups else ""
    return (
        f'<form class="ask" action="/trends"><label>The last <select name="last">{ranges}</select></label>'
        f"{select}{named}<button>Show</button></form>"
    )


def _from_to(since: str, until: str) -> str:
    return f"{since} to {until or 'today'}"


def _option(value: str, words: str, chosen: str) -> str:
    selected = " selected" if value == chosen else ""
    return f'<option value="{_safe(value)}"{selected}>{_safe(words)}</option>'


def _safe(text: str) -> str:
    return html.escape(printable(text))
