"""The tables of the file that say when a room that nobody came to is given to others, and what they mean."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from agent.core.model import ReleaseMode, Releasing
from agent.core.week import MINUTES_A_DAY, read_hours
from agent.tables import Number, Table, Words, refused, span

LONGEST_TEXT: Final = 255  # characters of a message on any firmware
LONGEST_LINE: Final = 140
LONGEST_WARNING_S: Final = 600
MINUTES_A_WEEK: Final = 7 * MINUTES_A_DAY
SHORTEST_WARNING_S: Final = 30


def _warning(value: int) -> int:
    if value and value < SHORTEST_WARNING_S:
        what = f"is too short for anybody to answer: {value} s"
        raise refused(what, f"Write {SHORTEST_WARNING_S} to {LONGEST_WARNING_S}, or 0 to warn nobody")
    return value


def _longest(value: object) -> object:
    if value is False or value == "false":
        return False
    if isinstance(value, int) and value is not True and 1 <= value <= MINUTES_A_WEEK:
        return value
    raise refused(
        f"is no number of minutes up to {MINUTES_A_WEEK}",
        "Write minutes such as 240, or false to spare no long bookings",
    )


def _hours(value: object) -> object:
    if isinstance(value, str):
        try:
            read_hours(value)
        except ValueError as error:
            raise refused(f"{value!r} {error}", 'Write them like "Mon-Fri 12:00-13:00"') from None
    return value


Minutes = Annotated[Number, Field(ge=1)]
Hours = Annotated[str, BeforeValidator(_hours)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TEXT)]


class ReleaseTable(Table):
    """`[release]` of the site, and `[rooms.release]` of a room: what is None here, somebody else says."""

    mode: Literal["off", "dry-run", "on"] | None = None
    grace_min: Annotated[Minutes, Field(le=240)] | None = None
    empty_min: Annotated[Minutes, Field(le=60)] | None = None
    warning_s: Annotated[Number, Field(ge=0, le=LONGEST_WARNING_S), AfterValidator(_warning)] | None = None
    spare_longer_than_min: Annotated[int | Literal[False], BeforeValidator(_longest)] | None = None
    spare_private: bool | None = None
    spare_organizers: tuple[Words, ...] | None = None
    spare_hours: tuple[Hours, ...] | None = None
    title: Annotated[str, StringConstraints(max_length=LONGEST_TEXT)] | None = None
    text: Text | None = None
    answer: Text | None = None
    countdown: Annotated[str, StringConstraints(max_length=LONGEST_LINE)] | None = None


def releasing(site: ReleaseTable, room: ReleaseTable) -> Releasing:
    """What the two say together: what the room's own does not say, the site's says, or the default."""
    said = site.model_dump(exclude_none=True) | room.model_dump(exclude_none=True)
    usual = Releasing()
    longest = said.get("spare_longer_than_min")
    return Releasing(
        mode=ReleaseMode(said.get("mode", usual.mode)),
        grace=span(said.get("grace_min"), usual.grace, timedelta(minutes=1)),
        empty_for=span(said.get("empty_min"), usual.empty_for, timedelta(minutes=1)),
        warning=span(said.get("warning_s"), usual.warning, timedelta(seconds=1)),
        longest=usual.longest if longest is None else timedelta(minutes=longest) if longest else None,
        private=not said.get("spare_private", not usual.private),
        organizers=tuple(said.get("spare_organizers", usual.organizers)),
        hours=tuple(read_hours(hours) for hours in said.get("spare_hours", ())),
        title=said.get("title", usual.title),
        text=said.get("text", usual.text),
        answer=said.get("answer", usual.answer),
        countdown=said.get("countdown", usual.countdown),
    )
