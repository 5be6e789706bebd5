"""Which calendar or Webex workspace is which room's: by hand, by address, by name, or for a person to say."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Final

NAME_CHARACTERS: Final = 200  # of a name; what is beyond tells no room from another
CERTAIN: Final = 0.7  # how well a name must fit, from 0 to 1,
MARGIN: Final = 0.15  # and how much better than the next one's, on both sides
WORTH_A_LOOK: Final = 0.3  # a person may see the likeness that we do not
CANDIDATES: Final = 5  # shown to a person

_ALIKE: Final = 0.65  # at most, for names that only look alike: a slip of the pen, never certain
_APART: Final = 0.2  # at most, for Fjord 1 and Fjord 2
_ELSEWHERE: Final = 0.35  # at most, for Fjord on floor 2 and Fjord on floor 3
_OTHER_CAPACITY: Final = 0.85  # the same name with another capacity: often it is only out of date
_CAPACITY_UNSAID: Final = 0.99
_OTHER_ADDRESS: Final = 0.6  # the same name, but it says itself that it is another's: never certain
_NUMBER_UNSAID: Final = 0.7  # Fjord may be Fjord 1, or Fjord 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A room, workspace or calendar as somebody named it."""

    id: str
    name: str
    capacity: int | None = None
    address: str | None = None  # of its calendar, where it is known
    where: tuple[str, ...] = ()  # names of its site, building and floor, which may be in its name as well


class Ground(StrEnum):
    """Why two belong together."""

    BY_HAND = "by hand"  # a person said so
    ADDRESS = "address"  # both name the same calendar
    NAME = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Two that belong together for certain."""

    one: str
    other: str
    ground: Ground
    score: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One that may be it."""

    other: str
    name: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One that a person must look at: why, and who comes into question, the best first."""

    one: str
    why: str
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Each of the ones is in exactly one of `matches`, `doubts`, `alone` and `left_out`."""

    matches: tuple[Match, ...]
    doubts: tuple[Doubt, ...]
    alone: tuple[str, ...]  # like nobody
    left_out: tuple[str, ...]  # by hand: it is to have none
    others: tuple[str, ...]  # that nobody was matched with


def match(
    ones: Sequence[Named], others: Sequence[Named], *, by_hand: Mapping[str, str | None] | None = None
) -> Matching:
    """Match each of `ones` (rooms) with at most one of `others` (calendars, or workspaces).

    `by_hand` goes before everything: ids of ones → ids of others, None for none at all; several rooms may
    share one so. A name is only certain if it is the best on both sides, and clearly better than the next.
    """
    said = by_hand or {}
    known = {each.id for each in others}
    found = [Match(one=one, other=other, ground=Ground.BY_HAND) for one, other in _said(ones, said, known)]
    doubts = [
        Doubt(one=each.id, why=f"by hand it is {said[each.id]}, which is not among those that were found")
        for each in ones
        if said.get(each.id) is not None and said[each.id] not in known
    ]
    taken = {each.other for each in found}
    free = [each for each in ones if each.id not in said]
    pool = [each for each in others if each.id not in taken]

    by_address, twice = _by_address(free, pool)
    found += by_address
    doubts += twice
    settled = {each.one for each in by_address} | {each.one for each in twice}
    taken |= {each.other for each in by_address}
    free = [each for each in free if each.id not in settled]
    pool = [each for each in pool if each.id not in taken]

    by_name, doubtful, alone = _by_name(free, pool)
    found += by_name
    doubts += doubtful
    taken |= {each.other for each in by_name}
    return Matching(
        matches=tuple(found),
        doubts=tuple(doubts),
        alone=tuple(alone),
        left_out=tuple(each.id for each in ones if each.id in said and said[each.id] is None),
        others=tuple(each.id for each in others if each.id not in taken),
    )


def _said(
    ones: Iterable[Named], said: Mapping[str, str | None], known: set[str]
) -> Iterator[tuple[str, str]]:
    for each in ones:
        other = said.get(each.id)
        if other is not None and other in known:
            yield each.id, other


def _by_address(ones: Sequence[Named], others: Sequence[Named]) -> tuple[list[Match], list[Doubt]]:
    """Those that name the same calendar, as long as no third one does."""
    having: dict[str, tuple[list[Named], list[Named]]] = defaultdict(lambda: ([], []))
    for side, named in enumerate((ones, others)):
        for each in named:
            if each.address:
                having[_address(each)][side].append(each)
    matches, doubts = [], []
    for address, (mine, theirs) in having.items():
        if len(mine) == len(theirs) == 1:
            matches.append(Match(one=mine[0].id, other=theirs[0].id, ground=Ground.ADDRESS))
        elif mine and theirs:
            candidates = tuple(Candidate(other=each.id, name=each.name, score=1.0) for each in theirs)
            why = f"{len(mine)} and {len(theirs)} have the same address, {address}"
            doubts += [Doubt(one=each.id, why=why, candidates=candidates[:CANDIDATES]) for each in mine]
    return matches, doubts


def _address(named: Named) -> str:
    return (named.address or "").strip().casefold()


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


def _letters(word: str) -> str:
    """A word as `plain` would leave it."""
    return " ".join(plain(word))


def plain(text: str) -> tuple[str, ...]:
    """The words and numbers of a text, without case, accents, punctuation and leading noughts."""
    return tuple(
        (found.lstrip("0") or "0") if found.isdigit() else _DIGRAPH.sub(r"\1", found)
        for found in _WORDS.findall(_bare(text))
    )


def _bare(text: str) -> str:
    spread = unicodedata.normalize("NFKD", text[:NAME_CHARACTERS].casefold().translate(_UNSPREAD))
    return "".join(each for each in spread if not unicodedata.combining(each))


# Letters that Unicode does not take apart, as people write them without the key for them.
_UNSPREAD: Final = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "\u0131": "i"}
)
_DIGRAPH: Final = re.compile(r"([aou])(?:(?<=a)a|e)")  # aa, ae, oe, ue: for those without the key
_WORDS: Final = re.compile(r"[^\W\d_]+|\d+")
_BRACKETS: Final = re.compile(r"[(\[]([^()\[\]]{0,60})[)\]]\s*\Z")
_SEATS: Final = re.compile(
    r"\s*(\d{1,4})\s*(?:p|pl|pax|pers|persons?|people|seats?|plasser|personer|platser|pladser|plätze)?\.?\s*",
    re.IGNORECASE,
)


def _listed(text: str) -> frozenset[str]:
    return frozenset(word for part in text.split() for word in plain(part))


_OF_NO_ROOM: Final = (  # so many rooms have these that they tell none from another
    _listed(
        "the of room rooms rm meeting meetings conference conf mtg video vc webex zoom teams mtr "
        "rom møterom grupperom lokale mødelokale mötesrum konferensrum rum raum zimmer besprechungsraum "
        "konferenzraum meetingraum sitzungszimmer salle de réunion sala reuniones reunião riunioni "
        "vergaderzaal vergaderruimte zaal kokoushuone huone 会議室 会议室 회의실"
    )
)
_PLACES: Final = _listed(
    "floor fl level lvl storey building bldg block wing tower site campus etasje etg etage plan våning "
    "bygg bygning byggnad gebäude geb haus stock stockwerk og obergeschoss bâtiment étage piso edificio "
    "verdieping gebouw kerros"
)
_ORDINALS: Final = frozenset({"st", "nd", "rd", "th"})


@dataclass(frozen=True, slots=True)
class _Name:
    """A name taken apart."""

    words: tuple[str, ...]  # that tell the room from others, in their order
    numbers: frozenset[str]  # all that it has, of floors and buildings as well
    capacity: int | None
    codes: frozenset[str]  # words that look like the code of a site: short and in capitals
    wholes: frozenset[str]  # the words without anything between them: `Board room` is `Boardroom`
    raw: str  # the letters and digits of it all: `2.04` may be 204
    pieces: frozenset[str]  # of three letters, for names that only look alike


def _taken_apart(named: Named) -> _Name:
    text, capacity = named.name[:NAME_CHARACTERS].strip(), named.capacity
    while (bracket := _BRACKETS.search(text)) is not None and bracket.start() > 0:
        seats = _SEATS.fullmatch(bracket[1])
        if seats is not None and capacity is None:
            capacity = int(seats[1])
        text = text[: bracket.start()].strip()
    words = plain(text) or plain(named.name)
    told, places = _without_places(words)
    told = tuple(word for word in told if word not in _OF_NO_ROOM) or told or words
    where = {word for place in named.where for word in plain(place)}
    known = len(list(takewhile(where.__contains__, told[:-1])))
    numbers = frozenset(word for word in told if word.isdigit()) | places
    told = told[known:]
    codes = {_letters(word) for word in re.findall(r"\b[A-Z]{1,4}\b", text)}
    whole = "".join(told)
    padded = f" {whole} "
    pieces = frozenset(padded[at : at + 3] for at in range(len(padded) - 2))
    wholes = frozenset({whole, "".join(words)})
    return _Name(
        words=told,
        numbers=numbers,
        capacity=capacity,
        codes=frozenset(codes),
        wholes=wholes,
        raw="".join(_WORDS.findall(_bare(text))),
        pieces=pieces,
    )


def _without_places(words: Sequence[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The words but for `2nd floor`, `floor 2`, `Bldg C`; and the numbers and letters of those."""
    told: list[str] = []
    places: set[str] = set()
    at = 0
    while at < len(words):
        first, second, third = (*words[at : at + 3], "", "")[:3]
        if first in _PLACES and _numbers(second):
            places.add(second)
            at += 2
        elif first.isdigit() and (second in _PLACES or (second in _ORDINALS and third in _PLACES)):
            places.add(first)
            at += 2 if second in _PLACES else 3
        else:
            if first not in _PLACES:
                told.append(first)
            at += 1
    return tuple(told), frozenset(places)


def _numbers(word: str) -> bool:
    """Whether a word only tells several of one name from each other: a number, or a single letter."""
    return word.isdigit() or len(word) == 1


# ── how well they fit ─────────────────────────────────────────────────────────────────────────────


class _Side:
    """The names of one side, and how common their words are."""

    def __init__(self, named: Sequence[Named]) -> None:
        self.named = named
        self.names = [_taken_apart(each) for each in named]
        self.common = Counter(word for name in self.names for word in set(name.words))
        self.having: dict[str, list[int]] = defaultdict(list)
        for number, name in enumerate(self.names):
            for key in {*name.words, *name.wholes, name.raw, *name.pieces}:
                self.having[key].append(number)

    def like(self, name: _Name) -> set[int]:
        """Those that share a word or a rare piece with a name."""
        many = max(20, len(self.names) // 20)
        keys = [*name.wholes, name.raw, *name.words, *name.pieces]
        found = {key: self.having[key] for key in keys if key in self.having}
        rare = [numbers for numbers in found.values() if len(numbers) <= many]
        if not rare and found:
            rare = [min(found.values(), key=len)]
        return {number for numbers in rare for number in numbers}


def _fits(one: _Name, other: _Name, ones: _Side, others: _Side) -> float:
    """How well two names fit, from 0 to 1."""
    if _counted(one.words) and _counted(other.words) and one.words[-1] != other.words[-1]:
        return _ALIKE if one.raw == other.raw else min(_APART, _look_alike(one, other))
    if one.numbers - other.numbers and other.numbers - one.numbers:
        return min(_ELSEWHERE, _share(one, other, ones, others))
    if one.wholes & other.wholes:
        score = 1.0
    else:
        score = max(_share(one, other, ones, others), _look_alike(one, other))
        if _counted(one.words) != _counted(other.words):
            score *= _NUMBER_UNSAID
    if one.capacity != other.capacity:
        unsaid = one.capacity is None or other.capacity is None
        score *= _CAPACITY_UNSAID if unsaid else _OTHER_CAPACITY
    return score


def _counted(words: Sequence[str]) -> bool:
    """Whether it is one of several of a name: Fjord 1, Fjord B, 204."""
    return bool(words) and bool(_numbers(words[-1]))


def _share(one: _Name, other: _Name, ones: _Side, others: _Side) -> float:
    """How much they have in common of what is rare; all of it where one has but the site's words before."""
    many = max(len(ones.names), len(others.names))

    def weight(word: str) -> float:
        return math.log((many + 1) / max(ones.common[word], others.common[word], 1))

    mine, theirs = set(one.words), set(other.words)
    both = sum(weight(word) for word in mine & theirs)
    total = sum(map(weight, mine)) + sum(map(weight, theirs))
    share = 2 * both / total if total else 0.0
    for shorter, longer, side in ((one, other, others), (other, one, ones)):
        before = len(longer.words) - len(shorter.words)
        if before > 0 and longer.words[before:] == shorter.words:
            extra = longer.words[:before]
            if all(word.isdigit() or word in longer.codes or side.common[word] > 1 for word in extra):
                return (1.0 + share) / 2
    return share


def _look_alike(one: _Name, other: _Name) -> float:
    total = len(one.pieces) + len(other.pieces)
    return _ALIKE * 2 * len(one.pieces & other.pieces) / total if total else 0.0


def _by_name(ones: Sequence[Named], others: Sequence[Named]) -> tuple[list[Match], list[Doubt], list[str]]:
    mine, theirs = _Side(ones), _Side(others)
    fits: dict[int, dict[int, float]] = {}
    back: dict[int, dict[int, float]] = defaultdict(dict)
    for number, name in enumerate(mine.names):
        fits[number] = {}
        for other in theirs.like(name) if name.words else ():
            score = _fits(name, theirs.names[other], mine, theirs)
            if _differ(ones[number], others[other]):
                score *= _OTHER_ADDRESS
            if score >= WORTH_A_LOOK:
                fits[number][other] = back[other][number] = score
    matches, doubts, alone = [], [], []
    for number, named in enumerate(ones):
        order = sorted(fits[number].items(), key=lambda item: (-item[1], others[item[0]].id))
        if not order:
            alone.append(named.id)
            continue
        best, score = order[0]
        why = _why_not(order, back[best], number, ones, others)
        if why is None:
            matches.append(Match(one=named.id, other=others[best].id, ground=Ground.NAME, score=score))
            continue
        candidates = tuple(
            Candidate(other=others[other].id, name=others[other].name, score=round(fit, 3))
            for other, fit in order[:CANDIDATES]
        )
        doubts.append(Doubt(one=named.id, why=why, candidates=candidates))
    return matches, doubts, alone


def _differ(one: Named, other: Named) -> bool:
    return bool(one.address and other.address and _address(one) != _address(other))


def _why_not(
    order: Sequence[tuple[int, float]],
    rivals: Mapping[int, float],
    number: int,
    ones: Sequence[Named],
    others: Sequence[Named],
) -> str | None:
    """Why the best is not certain, in words; None if it is."""
    best, score = order[0]
    named = others[best].name
    if _differ(ones[number], others[best]):
        return f"{named} has a similar name, but another address"
    near = [others[other].name for other, fit in order[1:] if fit > score - MARGIN]
    if near:
        return f"{named} and {' and '.join(near[: CANDIDATES - 1])} fit about equally well"
    rival = max(((fit, ones[one].name) for one, fit in rivals.items() if one != number), default=None)
    if rival is not None and rival[0] > score - MARGIN:
        return f"{named} fits {rival[1]} about as well"
    if score < CERTAIN:
        return f"{named} is only similar"
    return None
