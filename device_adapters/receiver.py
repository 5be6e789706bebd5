"""Where devices call back that cannot be listened to: each is told a path that nobody can guess."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from typing import cast

import msgspec

from device_adapters.xapi import xml
from device_adapters.xapi.messages import Unintelligible
from device_adapters.xapi.xml import Tree

MAX_POST_BYTES = 256 * 1024  # what changed at once; a five-hundredth of that is usual
SECRET_BYTES = 32


class Nameless(Unintelligible):
    """What was posted does not say whose it is, and should: it is not believed."""


Take = Callable[["Tree | Unintelligible", int], None]


@dataclass(slots=True)
class Callers:
    """Who called; counted and not logged, as anybody on the network may."""

    posts: int = 0  # understood, and from whom they should be
    unreadable: int = 0
    strangers: int = 0  # to a path that nobody was told
    impostors: int = 0  # another device's serial number
    nameless: int = 0  # no serial number

    def counts(self) -> dict[str, int]:
        """By name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class _Expected:
    serial: str  # "" where the device does not say
    take: Take


@dataclass(frozen=True, slots=True)
class Said:
    """All that a device is answered: a status."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    known: bool = True


class Receiver:
    """What is behind the door at which devices call; whose door it is, and where, others know."""

    def __init__(self) -> None:
        self.callers = Callers()
        self.url = ""  # where the door is, without a slash at its end; "" while there is none
        self.urls: set[str] = set()  # where it is and was: who was away may have been told a former one
        self._expected: dict[str, _Expected] = {}

    @property
    def listening(self) -> bool:
        """Whether anybody can call."""
        return bool(self.url)

    @contextlib.contextmanager
    def reached_at(self, url: str) -> Iterator[None]:
        """As long as this is entered, devices reach it there: `https://roomd.example.com:8443/feedback`."""
        self.url = url.rstrip("/")
        self.urls.add(self.url)
        try:
            yield
        finally:
            self.url = ""

    @contextlib.contextmanager
    def expect(self, serial: str, take: Take) -> Iterator[str]:
        """The URL for one device, as long as it is expected; `take` gets what it posts, and its bytes.

        What it posts is a tree from its root, or Unintelligible. With a serial number, posts that name
        another one are refused, and what does not name it is Nameless.
        """
        secret = secrets.token_urlsafe(SECRET_BYTES)
        self._expected[secret] = _Expected(serial, take)
        try:
            yield f"{self.url}/{secret}"
        finally:
            del self._expected[secret]

    def admits(self, method: str, target: str, headers: Mapping[str, str]) -> Post | HTTPStatus:  # noqa: ARG002 - as doors ask
        """Judge a request by its head. What is before the secret in its path is a proxy's matter."""
        secret = target.partition("?")[0].rpartition("/")[2]
        if secret not in self._expected:
            self.callers.strangers += 1
            return HTTPStatus.NOT_FOUND
        return Post(self, secret) if method == "POST" else HTTPStatus.METHOD_NOT_ALLOWED

    # ── what posts call ──

    def judge(self, secret: str, body: bytes) -> int:
        """Hand on what a device posted; the HTTP status to answer with.

        A device that is answered with an error stops calling, so only an impostor is.
        """
        expected = self._expected.get(secret)
        if expected is None:  # it was, when the request began
            self.callers.strangers += 1
            return HTTPStatus.NOT_FOUND
        try:
            serials, tree = read_post(body)
        except Unintelligible as error:
            self.callers.unreadable += 1
            expected.take(error, len(body))
            return HTTPStatus.OK
        if expected.serial and serials != {expected.serial}:
            if not serials <= {expected.serial, None}:
                self.callers.impostors += 1
                return HTTPStatus.FORBIDDEN
            self.callers.nameless += 1
            expected.take(Nameless("a post without its serial number"), 0)
            return HTTPStatus.OK
        self.callers.posts += 1
        expected.take(tree, len(body))
        return HTTPStatus.OK

    def too_long(self, secret: str) -> None:
        """A device says more than we read: whom it concerns has to know that something was missed."""
        expected = self._expected.get(secret)
        if expected is not None:
            expected.take(Unintelligible(f"a post of more than {MAX_POST_BYTES >> 10} KiB"), 0)


@dataclass(frozen=True, slots=True)
class Post:
    """A request of one that was told where to call."""

    receiver: Receiver
    secret: str
    known: bool = True
    most_bytes: int = MAX_POST_BYTES

    def answer(self, body: bytes) -> Said:
        """See `Receiver.judge`."""
        return Said(self.receiver.judge(self.secret, body))

    def too_long(self) -> None:
        """See `Receiver.too_long`."""
        self.receiver.too_long(self.secret)


# ── what is posted ────────────────────────────────────────────────────────────────────────────────

_ROOTS = ("Status", "Event", "Configuration")
_decode = msgspec.json.Decoder(dict[str, object]).decode
_NUMBER = re.compile(r"[0-9]{1,9}")


def read_post(body: bytes) -> tuple[AbstractSet[str | None], Tree]:
    """Who posts, and what, as a tree from its root.

    Who: the serial number that each root names, None where one does not. Both formats of HttpFeedback, told
    apart by their first character. Unintelligible if it is neither.
    """
    text = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    tree = _from_json(text) if text.startswith(b"{") else xml.read(text)
    serials: set[str | None] = set()
    heard: dict[str, object] = {}
    for root in _ROOTS:
        branch = tree.get(root)
        if branch is None:
            continue
        who = branch.get("Identification") if isinstance(branch, dict) else None
        number = who.get("SerialNumber") if isinstance(who, dict) else None
        serials.add(number if isinstance(number, str) else None)
        if isinstance(branch, dict):
            branch = {name: below for name, below in branch.items() if name != "Identification"}
        heard[root] = branch
    if not heard:
        raise Unintelligible("neither status nor event nor configuration")
    return serials, heard


def _from_json(text: bytes) -> Tree:
    try:
        tree = _decode(text)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Unintelligible(f"not JSON: {error}"[:200]) from None
    except RecursionError:
        raise Unintelligible("not JSON: nested too deeply") from None
    return {root: plain(branch) for root, branch in tree.items()}


def plain(value: object, depth: int = 0) -> object:
    """JSON as terminals have it (`{"Value": "50", "id": "1"}`), as WebSocket has it; leaves stay strings.

    Unintelligible where it is nested beyond reason.
    """
    if depth > xml.MAX_DEPTH:
        raise Unintelligible("not JSON: nested too deeply")
    if isinstance(value, list):
        return [_numbered(each, plain(each, depth + 1)) for each in value]
    if not isinstance(value, dict):
        return value
    if "Value" in value and not isinstance(value["Value"], dict | list) and value.get("ghost") != "True":
        return value["Value"]
    # Each level of an event is numbered 1, which says nothing; in an array it does.
    return {name: plain(below, depth + 1) for name, below in value.items() if name != "id"}


def _numbered(value: object, tree: object) -> object:
    if isinstance(value, dict) and isinstance(tree, dict) and "id" in value:
        number = value["id"]
        whole = isinstance(number, str) and _NUMBER.fullmatch(number)
        tree["id"] = int(cast("str", number)) if whole else number
    return tree
