"""What a sensor's message says of people: looked up in it, and taken by what it means, not by its looks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from agent.core.model import Sense

Path = tuple[str | int, ...]  # keys and places in what was JSON; (): all of it

MOST_PEOPLE: Final = 10_000  # more is no count of a room
MILLISECONDS_FROM: Final = 1e11  # seconds of that size are the year 5138
LONGEST_QUOTE: Final = 40

_STEP: Final = re.compile(
    r"""\.?(?:(?P<key>[^.\[\]"'\s]+)|\[(?P<place>\d{1,6})\]|\[(?P<quote>["'])(?P<quoted>[^"']+)(?P=quote)\])"""
)


class Unreadable(ValueError):
    """A message that says nothing that can be understood; quotes no more of it than a few characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What stands for yes, for no and for "nobody knows", in small letters."""

    yes: frozenset[str]
    no: frozenset[str]
    unknown: frozenset[str] = frozenset()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SOMEBODY: Final = Words(
    yes=_words("true on yes 1 occupied present presence detected motion home in_use inuse open"),
    no=_words("false off no 0 unoccupied vacant empty clear absent not_home not_in_use notinuse free none"),
    unknown=_words("unknown unavailable null"),
)
ONLINE: Final = Words(
    yes=_words("online available connected alive up true on yes 1"),
    no=_words("offline unavailable disconnected dead lost down false off no 0"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One thing that a message says."""

    sense: Sense
    paths: tuple[Path, ...] = ((),)  # where it may stand; of several, anybody seen is somebody
    words: Words = SOMEBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the messages of a topic are read."""

    values: tuple[Value, ...]
    structured: bool = True  # JSON; else the whole of it is one word or number
    at: Path | None = None  # where it may say when the sensor was heard last
    away: frozenset[str] = frozenset()  # words, in place of a value, for a sensor that is offline
    yes_for: timedelta | None = None  # if it says nothing more for so long, it says that nobody is there
    stale_after: timedelta | None = None  # … that it knows nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What was read: nothing of people where the message was about something else."""

    values: Mapping[Sense, int | bool | None]
    at: datetime | None = None
    away: bool = False


def read(payload: bytes, reading: Reading) -> Said:
    """What the message says; Unreadable if it is not what the reading expects."""
    tree = structured(payload) if reading.structured else text_of(payload)
    values: dict[Sense, int | bool | None] = {}
    for value in reading.values:
        found = [each for path in value.paths if (each := look_up(tree, path)) is not _MISSING]
        if not found:
            continue
        if any(isinstance(each, str) and _word(each) in reading.away for each in found):
            return Said(values={}, away=True)
        values[value.sense] = (
            _people(found, value.words) if value.sense is Sense.PEOPLE else _any(found, value.words)
        )
    at = None if reading.at is None else _moment(look_up(tree, reading.at))
    return Said(values=values, at=at)


def read_word(payload: bytes, words: Words, path: Path = ()) -> bool | None:
    """Whether a message, plain or as {"state": …}, says yes or no; Unreadable if it says neither."""
    tree: object = text_of(payload)
    if path or str(tree).startswith("{"):
        tree = structured(payload)
        found = look_up(tree, path or ("state",))
        if found is _MISSING:
            raise Unreadable("it has no such value in it")
        tree = found
    return _yes(tree, words)


# ── looking up ────────────────────────────────────────────────────────────────────────────────────


class _Missing:
    """What is not there, in place of a value."""


_MISSING: Final = _Missing()


def read_path(text: str) -> Path:
    """Keys with dots between them, places in brackets: `zones[0].occupied`, `$['a b'].c`. Unreadable."""
    rest = text.strip().removeprefix("$")
    steps: list[str | int] = []
    while rest:
        step = _STEP.match(rest)
        if step is None:
            raise Unreadable(f"{text[:LONGEST_QUOTE]!r} is no path to a value")
        if step["place"] is not None:
            steps.append(int(step["place"]))
        else:
            steps.append(step["key"] or step["quoted"])
        rest = rest[step.end() :]
    return tuple(steps)


def look_up(tree: object, path: Path) -> object:
    """What stands there, or a mark that nothing does."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(tree, list) or step >= len(tree):
                return _MISSING
            tree = tree[step]
        elif isinstance(tree, dict) and step in tree:
            tree = tree[step]
        else:
            return _MISSING
    return tree


def structured(payload: bytes) -> object:
    """JSON; Unreadable if it is none."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Unreadable("it is no JSON") from None


def text_of(payload: bytes) -> str:
    """Plain text, without white space around it; Unreadable if it is none."""
    try:
        text = payload.decode().strip()
    except UnicodeError:
        raise Unreadable("it is no text") from None
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] == '"' else text


# ── what is meant ─────────────────────────────────────────────────────────────────────────────────


def _word(text: str) -> str:
    return text.strip().lower()


def _any(found: Iterable[object], words: Words) -> bool | None:
    known = [each for each in (_yes(value, words) for value in found) if each is not None]
    return any(known) if known else None


def _yes(value: object, words: Words) -> bool | None:
    """Yes, no, or None for unknown; of numbers, more than nothing is yes, and less is unknown."""
    match value:
        case None:
            return None
        case bool():
            return _yes(str(value), words)
        case str():
            word = _word(value)
            if word in words.yes or word in words.no:
                return word in words.yes
            if word in words.unknown or not word:
                return None
            number = _number(word)
        case int() | float():
            word = str(value)
            if word in words.yes or word in words.no:
                return word in words.yes
            number = max(-1.0, min(value, 1.0))  # JSON has numbers that are too large for a float
        case _:
            raise Unreadable("it is neither a word nor a number")
    if number is None or number != number:  # noqa: PLR0124 (it is none)
        raise Unreadable(f"{str(value)[:LONGEST_QUOTE]!r} means neither yes nor no here")
    return None if number < 0 else number > 0


def _people(found: Iterable[object], words: Words) -> int | None:
    for value in found:
        if value is None or (isinstance(value, str) and _word(value) in (words.unknown | {"", "none"})):
            continue
        number = None
        if isinstance(value, str):
            number = _number(_word(value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value) if abs(value) <= MOST_PEOPLE else None
        if number is None or number != int(number) or number > MOST_PEOPLE:
            raise Unreadable(f"{str(value)[:LONGEST_QUOTE]!r} is no number of people")
        if number >= 0:
            return int(number)
    return None


def _number(word: str) -> float | None:
    return float(word) if re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", word) else None


def _moment(value: object) -> datetime | None:
    """When it says; None where it does not, or not so that it can be understood."""
    try:
        match value:
            case str():
                at = datetime.fromisoformat(value)
                return None if at.tzinfo is None else at.astimezone(UTC)
            case int() | float() if not isinstance(value, bool) and value > 0:
                return datetime.fromtimestamp(value / 1000.0 if value >= MILLISECONDS_FROM else value, UTC)
            case _:
                return None
    except (ValueError, OverflowError, OSError):
        return None
