"""Which span of a room's calendar is read: its today and its tomorrow, however long its days are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

A_DAY: Final = timedelta(days=1)
A_SECOND: Final = timedelta(seconds=1)  # no zone changes between two of them
FIRST: Final = date(1902, 1, 1)  # dates of strangers outside of these are taken for these: the calendars of
LAST: Final = date(
    2400, 1, 1
)  # rooms are read for two days, and what is beyond would not fit into a datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A span of time in UTC, half open."""

    starts_at: datetime
    ends_at: datetime

    def overlaps(self, starts_at: datetime, ends_at: datetime) -> bool:
        """Whether some of this span is in it; a span without length, where it stands."""
        if starts_at == ends_at:
            return self.starts_at <= starts_at < self.ends_at
        return starts_at < self.ends_at and self.starts_at < ends_at


def today_and_tomorrow(now: datetime, zone: tzinfo) -> Window:
    """From the start of the room's today to the end of its tomorrow; `now` in any zone."""
    today = now.astimezone(zone).date()
    return all_day(today, today + 2 * A_DAY, zone)


def all_day(first: date, after: date, zone: tzinfo) -> Window:
    """The span of an all-day entry: dates of the room, never moments of another zone; `after` is not in it.

    An entry that ends on its first day or before, as some write them, lasts that day.
    """
    after = max(after, min(first, date.max - A_DAY) + A_DAY)
    return Window(starts_at=start_of_day(first, zone), ends_at=start_of_day(after, zone))


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """The first moment of a date in UTC, also where clocks leave out midnight, or the whole day."""
    day = min(max(day, FIRST), LAST)
    guess = datetime.combine(day, time(), zone).astimezone(UTC)
    if _date(guess, zone) == day and _date(guess - A_SECOND, zone) < day:
        return guess
    # Clocks were put forward from before midnight to after it, or the date line was crossed.
    earlier, later = guess - 2 * A_DAY, guess + 2 * A_DAY
    while later - earlier > A_SECOND:
        middle = earlier + ((later - earlier) // A_SECOND // 2) * A_SECOND
        earlier, later = (earlier, middle) if _date(middle, zone) >= day else (middle, later)
    return later


def _date(moment: datetime, zone: tzinfo) -> date:
    return moment.astimezone(zone).date()
