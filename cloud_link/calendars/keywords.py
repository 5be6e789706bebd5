"""The words in a meeting's location that ask Webex Hybrid Calendar for a link: `@webex` and `@meet`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LOCATION_CHARACTERS: Final = 8192  # what is written beyond that nobody reads


class Word(StrEnum):
    """What was written; what it brings without a modifier is the administrator's choice (Control Hub)."""

    WEBEX = "webex"
    MEET = "meet"


class Modifier(StrEnum):
    """Which kind of meeting is asked for, whatever the administrator chose."""

    MYROOM = "myroom"  # the organizer's personal room
    SPACE = "space"  # a space in the Webex app
    ONETIME = "onetime"  # a meeting of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyword:
    """A keyword, as it counts."""

    word: Word
    modifier: Modifier | None = None


# What stands in an address (`me@webex.com`) or in a longer word is none. Only the words are compared as
# ASCII, where no other letter passes for one of theirs; what is beside them may be of any script.
_KEYWORD: Final = re.compile(
    r"(?<![\w.+%@-])@(?ai:(webex|meet)(?::(myroom|space|onetime))?)(?![\w@-]|[.:]\w)"
)


def keyword(location: str | None) -> Keyword | None:
    """The left-most keyword: the service takes no notice of others. An unknown modifier makes it none."""
    found = _KEYWORD.search((location or "")[:LOCATION_CHARACTERS])
    if found is None:
        return None
    modifier = found[2]
    return Keyword(word=Word(found[1].lower()), modifier=Modifier(modifier.lower()) if modifier else None)


def join_pending(location: str | None, join: str | None) -> bool:
    """Whether a keyword asks for a link, and none is there yet: the service writes it a little later."""
    return join is None and keyword(location) is not None
