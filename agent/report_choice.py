"""Says of which days and rooms a report is asked for, as people say it on a command line or to the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from typing import Final, Literal

from agent.core.model import ListedRoom
from agent.core.week import WeekHours

By = Literal["room", "day", "week", "hour"]  # what a line of a table is

USUALLY_DAYS: Final = 30
KEPT_DAYS: Final = 400  # what is older is forgotten
SPAN: Final = re.compile(r"(\d{1,9})([dw]?)")
MANY: Final = 5  # names that are told of more


class NotUnderstood(Exception):
    """It cannot be said what is asked for; in words, with the mend."""

    def __init__(self, error: str, mend: str) -> None:
        super().__init__(f"{error}: {mend}")
        self.error = error
        self.mend = mend


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """All that a report is made from, but for what was counted."""

    directory: str  # the state directory
    site: str
    about: str  # which rooms, in words
    since: date
    last: date  # this day too
    rooms: tuple[ListedRoom, ...]
    working: tuple[WeekHours, ...]


def days_asked(*, since: str = "", last_day: str = "", last: str = "", today: date) -> tuple[date, date]:
    """The first and the last day; `today` is the site's own. Raises `NotUnderstood`.

    `since` and `last_day` are days such as 2026-03-01, `last` a number of days (30d) or weeks (4w) up to the
    last day. Without a word, the last 30 days with today.
    """
    until = _day(last_day) if last_day else today
    if until > today:
        raise NotUnderstood(f"{until} is still to come", f"name a day up to today, {today}")
    oldest = today - timedelta(days=KEPT_DAYS - 1)
    if until < oldest:
        raise NotUnderstood(f"of {until} nothing is kept any more", f"name a day from {oldest} on")
    if since and last:
        raise NotUnderstood("a first day and a number of days contradict each other", "name one of them")
    if since:
        first = _day(since)
        if first > until:
            raise NotUnderstood(f"{first} is after {until}", "name the earlier day first")
    else:
        first = until - timedelta(days=_length(last) - 1)
    return max(first, oldest), until


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NotUnderstood(f"{text[:40]!r} is no day", "write it like 2026-03-01") from None


def _length(text: str) -> int:
    found = SPAN.fullmatch(text.strip().lower()) if text else None
    if text and found is None:
        raise NotUnderstood(f"{text[:40]!r} is no number of days", "write it like 30d or 4w")
    days = USUALLY_DAYS if found is None else int(found[1]) * (7 if found[2] == "w" else 1)
    if days < 1:
        raise NotUnderstood(f"{text[:40]!r} is no day at all", "write it like 30d or 4w")
    return min(days, KEPT_DAYS)


def rooms_asked(
    listed: Sequence[ListedRoom], *, names: Sequence[str] = (), groups: Sequence[str] = ()
) -> tuple[tuple[ListedRoom, ...], str]:
    """The rooms of these names or ids and groups, by name, and which they are in words.

    Without a name and a group, all of them. A room that is named need not be in a group. Raises
    `NotUnderstood`.
    """
    found: dict[str, ListedRoom] = {}
    for group in groups:
        members = [room for room in listed if group.casefold() in _folded(room.groups)]
        if not members:
            raise _unknown("group", group, groups_of(listed), "the configuration puts no room into a group")
        found |= {room.id: room for room in members}
    for name in names:
        same = [room for room in listed if room.id == name] or [
            room for room in listed if room.name.casefold() == name.casefold()
        ]
        if not same:
            raise _unknown("room", name, [room.id for room in listed], "the configuration has no room")
        found |= {room.id: room for room in same}
    if not groups and not names:
        found = {room.id: room for room in listed}
        about = "all rooms"
    else:
        about = " and ".join(
            [
                *(f"group {_as_written(group, listed)}" for group in groups),
                *(found_room.name for found_room in _named(found.values(), names)),
            ]
        )
    return tuple(sorted(found.values(), key=lambda room: (room.name.casefold(), room.id))), about


def groups_of(listed: Iterable[ListedRoom]) -> list[str]:
    """All groups, each once, as it is written first."""
    known: dict[str, str] = {}
    for room in listed:
        for group in room.groups:
            known.setdefault(group.casefold(), group)
    return sorted(known.values(), key=str.casefold)


def _as_written(group: str, listed: Iterable[ListedRoom]) -> str:
    return next(each for each in groups_of(listed) if each.casefold() == group.casefold())


def _named(rooms: Iterable[ListedRoom], names: Sequence[str]) -> list[ListedRoom]:
    folded = _folded(names)
    return [room for room in rooms if room.id in names or room.name.casefold() in folded]


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}


def _unknown(what: str, name: str, known: Sequence[str], none: str) -> NotUnderstood:
    if not known:
        return NotUnderstood(f"no {what} is called {name[:64]!r}", none)
    near = get_close_matches(name.casefold(), [each.casefold() for each in known], n=MANY)
    likely = [each for each in known if each.casefold() in near] or list(known)
    told = ", ".join(likely[:MANY]) + (", …" if len(likely) > MANY else "")
    return NotUnderstood(f"no {what} is called {name[:64]!r}", f"there is {told}")
