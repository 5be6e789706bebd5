"""Puts other words in the place of names, the same word everywhere, so that anybody may read what is left."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Final


class Kind(StrEnum):
    """What a name is of; its word begins so."""

    SITE = "site"
    AGENT = "agent"
    ROOM = "room"
    DEVICE = "device"
    HOST = "host"
    ADDRESS = "address"
    USER = "user"
    PERSON = "person"
    TENANT = "tenant"
    MACHINE = "machine"
    PATH = "path"
    ID = "id"
    PRINT = "fingerprint"
    SERIAL = "serial"
    NAME = "name"
    SECRET = "secret"  # noqa: S105 - the word stands in the place of one


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMMON: Final = _words(  # say nothing of anybody, and would make our own sentences unreadable
    """roomd root admin administrator integrator user localhost true false none yes no on off auto room rooms
    device devices agent agents site broker host https http mqtt mqtts wss ssh tcp tls the and not"""
)
PUBLIC_HOSTS: Final = _words(
    """graph.microsoft.com login.microsoftonline.com graph.microsoft.us login.microsoftonline.us
    dod-graph.microsoft.us microsoftgraph.chinacloudapi.cn login.chinacloudapi.cn www.googleapis.com
    oauth2.googleapis.com admin.googleapis.com gmail.googleapis.com calendar.googleapis.com webexapis.com
    xapi-a.wbx2.com developer.webex.com admin.webex.com"""
)
OURS: Final = (
    "/etc/roomd",
    "/var/lib/roomd",
    "/run/roomd",
    "/run/credentials",
    "/usr/",
    "/opt/roomd",
    "/proc/",
    "/dev/",
)
# Last labels that make a dotted word a host's name, and not one of our events or keys.
_TOP: Final = (
    "com|net|org|edu|gov|mil|int|info|biz|io|dev|app|cloud|local|lan|internal|intranet|corp|home|private|arpa|"
    "example|test|invalid|localdomain|no|se|dk|fi|is|de|at|ch|nl|be|lu|fr|es|pt|it|uk|ie|pl|cz|eu|us|ca|au|nz|"
    "jp|cn|in|sg|br|mx|za|ru|tr|kr|hk|tw"
)

_NO_VERSION: Final = r"(?<!firmware )(?<!roomos )(?<!version )(?<!ce)(?<!ce )"  # four numbers as well

_PATTERNS: Final[Sequence[tuple[Kind, re.Pattern[str]]]] = (
    (Kind.SECRET, re.compile(r"-----BEGIN [^-]+-----.*?(?:-----END [^-]+-----|\Z)", re.DOTALL)),
    (Kind.SECRET, re.compile(r"\beyJ[\w-]+(?:\.[\w-]*){1,4}")),
    (Kind.SECRET, re.compile(r"(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{8,}")),
    (Kind.PERSON, re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)*")),
    (Kind.PRINT, re.compile(r"(?i)\bsha256:[0-9A-Za-z+/:=-]{32,}")),
    (Kind.PRINT, re.compile(r"\b(?:[0-9A-Fa-f]{2}:){19,31}[0-9A-Fa-f]{2}\b")),
    (Kind.ADDRESS, re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b")),
    (Kind.ADDRESS, re.compile(rf"(?i){_NO_VERSION}(?<![\w.])\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?![\w.]*\w)")),
    (
        Kind.ADDRESS,
        re.compile(r"(?<![\w:])(?=[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:)[0-9A-Fa-f:]{2,}(?:[0-9.]*)(?![\w:])"),
    ),
    (Kind.ID, re.compile(r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b")),
    (
        Kind.HOST,
        re.compile(rf"(?i)(?<![\w.@-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:{_TOP})(?![\w-]|\.\w)"),
    ),
    (Kind.HOST, re.compile(r"(?<=://)[^\s/:\"'<>\[\]]+")),
    (Kind.SERIAL, re.compile(r"\b[A-Z]{3}\d{4}[0-9A-Z]{4}\b")),
    (Kind.ID, re.compile(r"(?<![\w+])(?=[\w+]*\d)(?=[\w+]*[A-Za-z])[\w+]{28,}={0,2}(?![\w+])")),
)
_PATH: Final = re.compile(r"(?<![\w/.:>])/(?:[^\s/'\":,;()<>\[\]]+/)*[^\s/'\":,;()<>\[\]]+")
_PLACE: Final = re.compile(r"\b(rooms|agents|sites)/([a-z0-9][a-z0-9-]*)")
_PLACES: Final[Mapping[str, Kind]] = {"rooms": Kind.ROOM, "agents": Kind.AGENT, "sites": Kind.SITE}
_MADE: Final = re.compile(rf"(<(?:{'|'.join(Kind)})(?:-\d+)?>)")  # no id and hardly a name looks like this
_WORD: Final = re.compile(r"[^\W_]{3,}")
_HARMLESS: Final = re.compile(
    r"\d+[a-z]{0,3}|0x[0-9a-fA-F]+|AADSTS\d+|ce\d+|\d{2,}T\d+|\d+T\d+Z?|[0-9a-f]{8}"
)
_RUN: Final = re.compile(r"[^\W_]+")
SHORTEST: Final = 2  # a name of one letter is in every sentence, and says nothing


class Disguise:
    """Remembers which word stands for which name. A mutable class: names come up as one reads on."""

    def __init__(self) -> None:
        self.removed: Counter[Kind] = Counter()  # how often, by kind
        self._words: dict[str, str] = {}  # by the name in small letters
        self._counts: Counter[Kind] = Counter()
        self._starting: dict[str, list[str]] = {}  # names by their first run of letters, longest first

    def know(self, kind: Kind, *names: str) -> str:
        """These are all names of one thing, which gets a word; the word."""
        known = [self._words[name.lower()] for name in names if name.lower() in self._words]
        fresh = [name for name in names if name.lower() not in self._words and _tells(name)]
        if known:
            word = known[0]
        elif not fresh:
            return names[0] if names else ""
        else:
            self._counts[kind] += 1
            word = "<secret>" if kind is Kind.SECRET else f"<{kind}-{self._counts[kind]}>"
        for name in (each.lower() for each in fresh):
            self._words[name] = word
            if (run := _RUN.search(name)) is not None:
                bare = name[run.start() :]
                self._words.setdefault(bare, word)
                alike = self._starting.setdefault(run[0], [])
                alike.append(bare)
                alike.sort(key=len, reverse=True)
        return word

    @property
    def things(self) -> Mapping[Kind, int]:
        """How many of each kind have a word."""
        return dict(self._counts)

    def word(self, kind: Kind, name: str) -> str:
        """The word for this whole text, whatever it is; a new one where it has none."""
        text = name.strip()
        if not text or text.lower() in COMMON or _MADE.fullmatch(text):
            return text
        self.removed[kind] += 1
        return self._words.get(text.lower()) or self.know(kind, text)

    def text(self, text: str) -> str:
        """A sentence without names: those that are known, and what looks like one."""
        text = _PATH.sub(self._path, text)
        text = _between(text, self._known)
        for kind, pattern in _PATTERNS:
            text = _between(text, partial(pattern.sub, partial(self._found, kind)))
        return _between(text, partial(_PLACE.sub, self._place))

    def _known(self, text: str) -> str:
        """A site has thousands of names: each word of the text is looked up, and none of them is tried."""
        told: list[str] = []
        done = 0
        for found in _RUN.finditer(text):
            at = found.start()
            if at < done:
                continue
            for name in self._starting.get(found[0].lower(), ()):
                end = at + len(name)
                if text[at:end].lower() == name and not text[end : end + 1].isalnum():
                    word = self._words[name]
                    self.removed[Kind(word.strip("<>").partition("-")[0])] += 1
                    told += (text[done:at], word)
                    done = end
                    break
        return "".join((*told, text[done:]))

    def _found(self, kind: Kind, found: re.Match[str]) -> str:
        text = found[0]
        if not _is_private(kind, text):
            return text
        return self.word(kind, text)

    def _path(self, found: re.Match[str]) -> str:
        path = found[0]
        if path.startswith(OURS) or path.count("/") < 2:  # noqa: PLR2004 - /healthz says nothing
            return path
        return self.word(Kind.PATH, path.rstrip("."))

    def _place(self, found: re.Match[str]) -> str:
        place, name = found.groups()
        return f"{place}/{self.word(_PLACES[place], name)}"


def _between(text: str, change: Callable[[str], str]) -> str:
    """What stands between the words that were put in already."""
    pieces = _MADE.split(text)
    pieces[::2] = [change(piece) for piece in pieces[::2]]
    return "".join(pieces)


def without_names(value: object, disguise: Disguise) -> object:
    """A JSON value whose texts are without names; its keys are ours."""
    if isinstance(value, str):
        return disguise.text(value)
    if isinstance(value, Mapping):
        return {str(key): without_names(each, disguise) for key, each in value.items()}
    if isinstance(value, Iterable):
        return [without_names(each, disguise) for each in value]
    return value


def only_known(text: str, vocabulary: Collection[str]) -> str:
    """A sentence of which the words of the vocabulary are left, which has small letters; the others are dots.

    For texts that others had a hand in: clouds and devices name what no configuration knows of.
    """
    return _between(text, partial(_WORD.sub, partial(_dotted, vocabulary)))


def _dotted(vocabulary: Collection[str], found: re.Match[str]) -> str:
    word = found[0]
    if word.lower() in vocabulary or _HARMLESS.fullmatch(word):
        return word
    return "…"


def _tells(name: str) -> bool:
    return len(name) >= SHORTEST and name.lower() not in COMMON


def _is_private(kind: Kind, text: str) -> bool:
    if kind is Kind.HOST:
        return text.lower() not in PUBLIC_HOSTS | COMMON
    if kind is Kind.ADDRESS:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return re.fullmatch(r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", text) is not None
        return not address.is_loopback and not address.is_unspecified
    return True
