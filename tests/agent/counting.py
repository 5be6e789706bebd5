"""Hours as roomd would have counted them, written by hand into the file that it keeps of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from agent import trends
from agent.core.model import Counted, HourTally, ListedRoom, RoomId
from agent.core.week import read_hours
from agent.report import Report, read_report
from agent.report_choice import Question

OSLO = ZoneInfo("Europe/Oslo")
MONDAY = date(2026, 3, 2)
WORKING = (read_hours("Mon-Fri 08:00-18:00"),)
QUIET = Counted()


def hour_of(room: str, day: date, hour: int, counted: Counted = QUIET, *, length_s: int = 3600) -> HourTally:
    return HourTally(
        room=RoomId(room),
        starts_at=datetime.combine(day, time(hour), tzinfo=OSLO).astimezone(UTC),
        day=day,
        hour=hour,
        length_s=length_s,
        counted=counted,
    )


def day_of(room: str, day: date, counted: dict[int, Counted] | None = None) -> list[HourTally]:
    """All its hours, quiet but for those that are told."""
    return [hour_of(room, day, hour, (counted or {}).get(hour, QUIET)) for hour in range(24)]


def write(directory: Path, tallies: Iterable[HourTally]) -> None:
    with closing(trends.open_to_write(directory)) as file, trends.writing(file) as tx:
        trends.save(tx, tallies)


def listed(name: str, capacity: int | None = 8, *groups: str) -> ListedRoom:
    return ListedRoom(id=RoomId(name), name=name.title(), capacity=capacity, groups=groups)


def asked(
    directory: Path, rooms: Sequence[ListedRoom], *, since: date = MONDAY, last: date = MONDAY
) -> Question:
    return Question(
        directory=str(directory),
        site="oslo",
        about="all rooms",
        since=since,
        last=last,
        rooms=tuple(rooms),
        working=WORKING,
    )


def reported(
    directory: Path,
    tallies: Iterable[HourTally],
    *rooms: ListedRoom,
    since: date = MONDAY,
    days: int = 1,
) -> Report:
    write(directory, tallies)
    return read_report(asked(directory, rooms, since=since, last=since + timedelta(days=days - 1)))
