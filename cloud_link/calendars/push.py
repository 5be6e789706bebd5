"""PURE: what the clouds post at our door, judged; whoever cannot show a secret is told nothing by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import parse_qsl

from cloud_link.calendars import google_calendar, graph
from cloud_link.calendars.errors import Unreadable
from cloud_link.calendars.integration import Service

MAX_POST_BYTES: Final = 512 * 1024  # Graph tells of many rooms at once, of each in less than a kilobyte
MAX_EMPTY_BYTES: Final = 1024  # where nothing is to be said by a body
MAX_TOKEN_CHARACTERS: Final = 4096  # of a handshake; a few hundred are usual
MOST_PARAMETERS: Final = 16
MOST_STRANGE: Final = 100  # things said in one post, none of them with a right secret: no more are looked at

Heard = graph.Hint | graph.LifecycleNotice | google_calendar.Hint


class Hears(Protocol):
    """Whom it concerns what a cloud tells."""

    def heard(self, said: Heard) -> bool:
        """Whether this is one of ours and shows its secret, compared in constant time.

        What follows from it is done later: the cloud waits for our answer.
        """
        ...


@dataclass(slots=True)
class Callers:
    """Who called; counted and not logged, as anybody may."""

    handshakes: int = 0
    told: int = 0  # things, with a right secret
    unknown: int = 0  # things about what we do not know, or with a wrong secret
    unreadable: int = 0  # posts
    strangers: int = 0  # to a path that leads nowhere

    def counts(self) -> dict[str, int]:
        """By name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a cloud is told."""

    status: HTTPStatus
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    known: bool = False  # it has shown a secret


def address(url: str, service: Service) -> str:
    """Where a cloud is to call, if `url` is where all do."""
    return f"{url.rstrip('/')}/{service}"


class PushSite:
    """What is behind the door at which the clouds call."""

    def __init__(self, watches: Mapping[Service, Hears]) -> None:
        self.callers = Callers()
        self._watches = watches

    def admits(self, method: str, target: str, headers: Mapping[str, str]) -> Coming | HTTPStatus:
        """Judge a request by its head. What is before the last part of its path is a proxy's matter."""
        path, _, query = target.partition("?")
        name = path.rpartition("/")[2]
        found = next((service for service in self._watches if service == name), None)
        if found is None:
            self.callers.strangers += 1
            return HTTPStatus.NOT_FOUND
        if method != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED
        hears = self._watches[found]
        if found is Service.GOOGLE:
            return FromGoogle(callers=self.callers, hears=hears, headers=headers)
        try:
            asked = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS))
        except ValueError:
            self.callers.unreadable += 1
            return HTTPStatus.BAD_REQUEST
        if (token := asked.get("validationToken")) is None:
            return FromGraph(callers=self.callers, hears=hears)
        if len(token) > MAX_TOKEN_CHARACTERS:
            self.callers.unreadable += 1
            return HTTPStatus.BAD_REQUEST
        return Handshake(callers=self.callers, token=token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A request whose head was liked."""

    callers: Callers
    known: bool = False  # no head shows a secret that was compared already
    most_bytes: int = MAX_EMPTY_BYTES

    def answer(self, body: bytes) -> Answer:
        """What to say to it."""
        raise NotImplementedError

    def too_long(self) -> None:
        """More than may be read: a cloud never says so much."""
        self.callers.unreadable += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake(Coming):
    """Graph asks whether this is where a subscription's news are wanted; that subscribing waits meanwhile."""

    token: str

    def answer(self, body: bytes) -> Answer:  # noqa: ARG002 - it says nothing
        """The token, decoded, and never as something that a browser would run."""
        self.callers.handshakes += 1
        headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
        return Answer(
            status=HTTPStatus.OK, headers=headers, body=self.token.encode("utf-8", errors="replace")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FromGraph(Coming):
    """Graph tells of changes, or of the life of its subscriptions."""

    hears: Hears
    most_bytes: int = MAX_POST_BYTES

    def answer(self, body: bytes) -> Answer:
        """The same for those we know and for those we do not."""
        try:
            said = graph.notified(body)
        except Unreadable:
            self.callers.unreadable += 1
            return Answer(status=HTTPStatus.BAD_REQUEST)
        known = unknown = 0
        for each in said:
            if self.hears.heard(each):
                known += 1
            else:
                unknown += 1
                if unknown >= MOST_STRANGE and not known:
                    break
        self.callers.told += known
        self.callers.unknown += unknown
        return Answer(status=HTTPStatus.ACCEPTED, known=known > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromGoogle(Coming):
    """A channel says that something changed, in the request's head."""

    hears: Hears
    headers: Mapping[str, str]

    def answer(self, body: bytes) -> Answer:  # noqa: ARG002 - it says nothing
        """The same for those we know and for those we do not."""
        hint = google_calendar.notified(self.headers)
        if hint is None:
            self.callers.unreadable += 1
            return Answer(status=HTTPStatus.BAD_REQUEST)
        known = self.hears.heard(hint)
        if known:
            self.callers.told += 1
        else:
            self.callers.unknown += 1
        return Answer(status=HTTPStatus.OK, known=known)
