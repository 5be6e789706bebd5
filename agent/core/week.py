"""Hours of the week as people write them, such as "Mon-Fri 08:00-18:00", and whether a moment is in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTES_AN_HOUR: Final = 60
MINUTES_A_DAY: Final = 24 * MINUTES_AN_HOUR

_DAY = "|".join(DAYS)
_WRITTEN: Final = re.compile(
    rf"(?:(?P<days>(?:{_DAY})(?:-(?:{_DAY}))?(?:,(?:{_DAY})(?:-(?:{_DAY}))?)*) )?"
    r"(?P<begins>\d\d:\d\d)-(?P<ends>\d\d:\d\d)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekHours:
    """The same hours of some days of the week, half open, by the clock on the wall."""

    days: frozenset[int]  # 0 is Monday
    begins_min: int  # of the day, from 0
    ends_min: int  # of the day, up to 1440: midnight

    def hold(self, local: datetime) -> bool:
        """Whether this moment, in the site's own time, is in them."""
        minute = local.hour * MINUTES_AN_HOUR + local.minute
        return local.weekday() in self.days and self.begins_min <= minute < self.ends_min


def read_hours(text: str) -> WeekHours:
    """Hours as they are written: "Mon-Fri 08:00-18:00", "Sat,Sun 00:00-24:00", or "12:00-13:00" every day.

    ValueError if they are none; hours over midnight are two.
    """
    written = _WRITTEN.fullmatch(" ".join(text.split()))
    if written is None:
        raise ValueError("are no hours of the week")
    begins_min, ends_min = _minute(written["begins"]), _minute(written["ends"])
    if not begins_min < ends_min <= MINUTES_A_DAY:
        raise ValueError("end before they begin (hours over midnight are written as two)")
    days: set[int] = set()
    for part in (written["days"] or "Mon-Sun").split(","):
        first, *last = (DAYS.index(name.title()) for name in part.split("-"))
        days |= _from_to(first, last[0] if last else first)
    return WeekHours(days=frozenset(days), begins_min=begins_min, ends_min=ends_min)


def _from_to(first: int, last: int) -> set[int]:
    """Fri-Mon goes over the weekend."""
    return {(first + n) % 7 for n in range((last - first) % 7 + 1)}


def _minute(clock: str) -> int:
    hour, minute = int(clock[:2]), int(clock[3:])
    if minute >= MINUTES_AN_HOUR:
        raise ValueError("are no hours of the week")
    return hour * MINUTES_AN_HOUR + minute
