"""Says a report in words and tables, the same for a terminal, a file and the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from agent.core.week import DAYS, WeekHours
from agent.report import COUNTED_ENOUGH_H, DAY_H, WEEK_DAYS, Report, RoomSums, Span, Sums
from agent.report_choice import By

NOTHING: Final = "–"  # there is nothing to be said
FEW_HOURS: Final = 10  # below that, tenths are shown
BUSIEST: Final = 10  # rooms, at each end
NOT_KNOWN: Final = "not known"
CALCULATED: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001 - by spreadsheets, what begins so


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of all, with what must be known beside it."""

    name: str
    value: str
    beside: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A table; the first `words` columns hold words, the others numbers."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One thing that the report tells."""

    name: str  # of its plot, where it has one
    title: str
    says: tuple[str, ...]
    plot: str  # what the plot shows, for who does not see it; empty: there is none
    tables: tuple[Rows, ...]


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────


def percent(share: float | None) -> str:
    """A share in words; what is there is never shown as nothing, nor what is missing as all."""
    if share is None:
        return NOTHING
    if 0 < share < 0.005:  # noqa: PLR2004 - rounds to nothing
        return "<1%"
    if 0.995 <= share < 1:  # noqa: PLR2004 - rounds to all
        return ">99%"
    return f"{share:.0%}"


def number(value: float) -> str:
    """With its thousands apart."""
    return f"{value:,.0f}"


def _hours_long(seconds: float) -> str:
    """A length of time in hours."""
    hours = seconds / 3600
    return f"{hours:,.1f} h" if 0 < hours < FEW_HOURS else f"{hours:,.0f} h"


def _day_of(day: date) -> str:
    """A day as people write it."""
    return f"{day.day} {day:%b %Y}"


def _hours_of_week(working: Iterable[WeekHours]) -> str:
    """Working hours, as the file has them."""
    return ", ".join(f"{_days(each)} {_clock(each.begins_min)}–{_clock(each.ends_min)}" for each in working)


def _days(hours: WeekHours) -> str:
    days = sorted(hours.days)
    runs = len(days) > len(DAYS[:2]) and days == list(range(days[0], days[-1] + 1))
    return f"{DAYS[days[0]]}–{DAYS[days[-1]]}" if runs else ", ".join(DAYS[day] for day in days)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _many(count: int, one: str, more: str = "") -> str:
    return f"{number(count)} {one if count == 1 else more or one + 's'}"


# ── what is told ──────────────────────────────────────────────────────────────────────────────────


def headline(report: Report) -> str:
    """Which rooms, and of which days."""
    rooms = f"{report.about}, {_many(len(report.rooms), 'room')}"
    return f"{rooms}, {_day_of(report.since)} to {_day_of(report.last)}"


def recorded(report: Report) -> str:
    """Of which of these days something is known at all."""
    if report.recorded_since is None or report.recorded_last is None:
        return "Nothing is recorded of these rooms and days: an hour is counted when it is over."
    missing = []
    if report.recorded_since > report.since:
        missing.append(f"before {_day_of(report.recorded_since)}")
    if report.recorded_last < report.last - timedelta(days=1):  # today's hours may still be to come
        missing.append(f"after {_day_of(report.recorded_last)}")
    return (
        f"Nothing was recorded {' and '.join(missing)}: what follows is of the other days." if missing else ""
    )


def figures(report: Report) -> tuple[Figure, ...]:
    """The numbers of all rooms, each with how much of it nobody knows."""
    total = report.total
    unjudged = f"{percent(total.unjudged_share)} cannot be judged"
    return (
        Figure(
            name="Bookings",
            value=number(total.bookings),
            beside=f"{_hours_long(total.booked_s)} booked, "
            f"{percent(_of(total.booked_unknown_s, total.booked_s))} of it {NOT_KNOWN}",
        ),
        Figure(
            name="Nobody came",
            value=f"{number(total.ghosts)} ({percent(total.ghost_share)})",
            beside=f"of {number(total.judged)} that ended and can be judged; {unjudged}",
        ),
        Figure(
            name="Left early",
            value=number(total.left_early),
            beside=f"{_hours_long(total.freed_min * 60)} that others could have had",
        ),
        Figure(
            name="Given back",
            value=number(total.released),
            beside=f"{_hours_long(total.released_min * 60)} of bookings that roomd released",
        ),
        Figure(
            name="Used without a booking",
            value=f"{_many(total.unbooked, 'time')}",
            beside=_hours_long(total.unbooked_s),
        ),
        Figure(
            name="In use in working hours",
            value=percent(total.use),
            beside=f"empty {percent(total.idle)}, {NOT_KNOWN} {percent(total.unknown_share)}",
        ),
    )


def sections(report: Report) -> tuple[Section, ...]:
    """All that is told below the numbers of all rooms."""
    return (
        _ghosts(report),
        _empty(report),
        _too_big(report),
        _busiest(report),
        _weeks(report),
        _rooms(report),
    )


def _of(part: float, whole: float) -> float | None:
    return part / whole if whole else None


# ── ghosts ────────────────────────────────────────────────────────────────────────────────────────


def _ghosts(report: Report) -> Section:
    total = report.total
    if not total.judged and not total.unknown:
        says: tuple[str, ...] = ("No booking has ended in these days.",)
    else:
        says = (
            (
                f"Nobody came to {number(total.ghosts)} of the {_many(total.judged, 'booking')} that can be "
                f"judged ({percent(total.ghost_share)})."
            ),
            (
                f"{_many(total.unknown, 'booking')} ({percent(total.unjudged_share)} of those that ended) "
                "cannot be judged: nobody knows whether somebody was there."
            ),
        )
        if worst := _worst(report):
            says += (worst,)
    rooms = report.most_ghosts[:BUSIEST]
    return Section(
        name="ghosts",
        title="Bookings nobody came to",
        says=says,
        plot="A grid of weekdays and hours: how many bookings nobody came to ended in each hour; the "
        "stronger the tone, the more. Hatched where most bookings cannot be judged. The table has the same "
        "numbers.",
        tables=(
            _by_hour(
                "Bookings nobody came to, of those that can be judged, by their last hour",
                report,
                _ghost_cell,
            ),
            Rows(
                title="Rooms with the most of them",
                head=("Room", "Nobody came", "Share", "Cannot be judged"),
                rows=tuple(
                    (
                        each.room.name,
                        f"{number(each.sums.ghosts)} of {number(each.sums.judged)}",
                        percent(each.sums.ghost_share),
                        percent(each.sums.unjudged_share),
                    )
                    for each in rooms
                ),
            ),
        ),
    )


def _by_hour(title: str, report: Report, cell: Callable[[Sums], str]) -> Rows:
    """Weekdays in lines, hours in columns."""
    hours = report.shown_hours
    return Rows(
        title=title,
        head=("", *(f"{hour:02}" for hour in hours)),
        rows=tuple(
            (DAYS[day], *(cell(report.grid[day][hour]) for hour in hours)) for day in range(WEEK_DAYS)
        ),
    )


def _ghost_cell(sums: Sums) -> str:
    if sums.judged:
        return f"{sums.ghosts}/{sums.judged}"
    return "?" if sums.unknown else ""


def _empty(report: Report) -> Section:
    total = report.total
    return Section(
        name="empty",
        title="Booked and empty",
        says=(
            (
                f"For {percent(total.empty_share)} of the booked time that is known, nobody was there: "
                f"{_hours_long(total.empty_s)}, with those who came late or left early."
            ),
            (
                f"Of {_hours_long(total.booked_unknown_s)} "
                f"({percent(_of(total.booked_unknown_s, total.booked_s))} of the booked time) nobody knows."
            ),
        ),
        plot="A grid of weekdays and hours: in what share of the booked time nobody was there; the "
        "stronger the tone, the more. Hatched where that is mostly not known. The table has the same "
        "numbers.",
        tables=(
            _by_hour(
                "Share of the booked time in which nobody was there, by weekday and hour", report, _empty_cell
            ),
        ),
    )


def _empty_cell(sums: Sums) -> str:
    if sums.empty_share is None:
        return "?" if sums.booked_s else ""
    return percent(sums.empty_share)


def _worst(report: Report) -> str:
    places = [(report.grid[day][hour].ghosts, day, hour) for day in range(WEEK_DAYS) for hour in range(DAY_H)]
    most, day, hour = max(places, key=lambda place: place[0])
    return (
        f"Most of them ended on {DAYS[day]} from {hour:02}:00 to {hour + 1:02}:00: {number(most)}."
        if most
        else ""
    )


# ── rooms that are too big ────────────────────────────────────────────────────────────────────────


def _too_big(report: Report) -> Section:
    found = report.too_big
    seats_unknown = sum(each.room.capacity is None for each in report.rooms)
    uncounted = sum(
        each.room.capacity is not None and each.counted_h < COUNTED_ENOUGH_H for each in report.rooms
    )
    judged = len(report.rooms) - seats_unknown - uncounted
    says = [
        f"{_many(len(found), 'room')} of {number(judged)} with enough people counted "
        f"{'has' if len(found) == 1 else 'have'} half of the seats or more to spare in nine of ten hours."
        if judged
        else "Of no room enough is known to say so."
    ]
    if uncounted:
        says.append(
            f"In {_many(uncounted, 'room')} people were counted in fewer than {COUNTED_ENOUGH_H} hours: "
            f"nothing is said of {'it' if uncounted == 1 else 'them'}."
        )
    if seats_unknown:
        says.append(
            f"The configuration does not say how many seats {_many(seats_unknown, 'room')} have.".replace(
                "1 room have", "1 room has"
            )
        )
    return Section(
        name="too-big",
        title="Rooms too big for their meetings",
        says=tuple(says),
        plot="For each room a bar: its seats, how many people there were at most in nine of ten hours, and "
        "the most ever."
        if found
        else "",
        tables=(
            Rows(
                title="Rooms with seats to spare",
                head=("Room", "Seats", "Usually up to", "Most ever", "On average", "Hours counted"),
                rows=tuple(
                    (
                        each.room.name,
                        str(each.room.capacity),
                        str(each.usual_people),
                        str(each.sums.people_peak),
                        _mean(each.sums),
                        number(each.counted_h),
                    )
                    for each in found
                ),
            ),
        ),
    )


def _mean(sums: Sums) -> str:
    return NOTHING if sums.people_mean is None else f"{sums.people_mean:.1f}"


# ── busiest and idlest ────────────────────────────────────────────────────────────────────────────


def _busiest(report: Report) -> Section:
    ranked, dark = report.ranked, report.little_known
    says = [
        (
            f"Share of working hours ({_hours_of_week(report.working)}) in which somebody was there, of the "
            "time that is known."
        )
    ]
    if dark:
        says.append(
            f"{_many(len(dark), 'room')} {'is' if len(dark) == 1 else 'are'} not ranked: of more than half "
            f"of the working hours nobody knows whether somebody was there ({_names(dark)})."
        )
    split = len(ranked) > 2 * BUSIEST
    tables = (
        (_use_rows("The busiest", ranked[:BUSIEST]), _use_rows("The idlest", ranked[: -BUSIEST - 1 : -1]))
        if split
        else (_use_rows("From the busiest to the idlest", ranked),)
    )
    return Section(
        name="busiest",
        title="Busiest and idlest",
        says=tuple(says),
        plot="For each room a bar of its working hours: in use, empty, and not known." if ranked else "",
        tables=tables,
    )


def _names(rooms: Sequence[RoomSums], most: int = 5) -> str:
    names = ", ".join(each.room.name for each in rooms[:most])
    return names if len(rooms) <= most else f"{names} and {number(len(rooms) - most)} more"


def _use_rows(title: str, rooms: Sequence[RoomSums]) -> Rows:
    return Rows(
        title=title,
        head=("Room", "In use", "Empty", "Not known", "Of known", "Bookings", "Unbooked"),
        rows=tuple(
            (
                each.room.name,
                percent(each.sums.use),
                percent(each.sums.idle),
                percent(each.sums.unknown_share),
                percent(each.sums.use_of_known),
                number(each.sums.bookings),
                _hours_long(each.sums.unbooked_s),
            )
            for each in rooms
        ),
    )


# ── week over week ────────────────────────────────────────────────────────────────────────────────


def _weeks(report: Report) -> Section:
    whole = [span for span in report.weeks if span.whole]
    says = ["Weeks begin on Monday; those with a * are not whole."] if len(whole) < len(report.weeks) else []
    if len(whole) > 1:
        before, now = whole[-2].sums, whole[-1].sums
        says.insert(
            0,
            "The last whole week against the one before: "
            f"bookings {_change(now.bookings, before.bookings)}, "
            f"in use {_points(now.use_of_known, before.use_of_known)}, "
            f"nobody came {_points(now.ghost_share, before.ghost_share)}.",
        )
    return Section(
        name="weeks",
        title="Week over week",
        says=tuple(says),
        plot="Above, the working hours of each week: in use, empty, and not known. Below, the share of "
        "bookings to which nobody came, and of those that cannot be judged."
        if report.weeks
        else "",
        tables=(
            Rows(
                title="Weeks",
                head=(
                    "Week from",
                    "Bookings",
                    "In use",
                    "Not known",
                    "Nobody came",
                    "Not judged",
                    "Left early",
                    "Time freed",
                ),
                rows=tuple(_week(span) for span in report.weeks),
            ),
        ),
    )


def _week(span: Span) -> tuple[str, ...]:
    sums = span.sums
    return (
        f"{_day_of(span.since)}{'' if span.whole else ' *'}",
        number(sums.bookings),
        percent(sums.use),
        percent(sums.unknown_share),
        percent(sums.ghost_share),
        percent(sums.unjudged_share),
        number(sums.left_early),
        _hours_long(sums.freed_min * 60),
    )


def _change(now: float, before: float) -> str:
    if not before:
        return number(now)
    return f"{number(now)} ({(now - before) / before:+.0%})"


def _points(now: float | None, before: float | None) -> str:
    if now is None or before is None:
        return percent(now)
    return f"{percent(now)} (before: {percent(before)})"


# ── all rooms ─────────────────────────────────────────────────────────────────────────────────────


def _rooms(report: Report) -> Section:
    return Section(
        name="rooms",
        title="All rooms",
        says=(),
        plot="",
        tables=(
            Rows(
                title="Rooms",
                head=(
                    "Room",
                    "Groups",
                    "Seats",
                    "Bookings",
                    "Booked",
                    "Attended",
                    "Nobody came",
                    "Not judged",
                    "Left early",
                    "Time freed",
                    "Unbooked",
                    "In use",
                    "Not known",
                    "People, mean",
                    "People, most",
                ),
                rows=tuple(_room(each) for each in report.rooms),
                words=2,
            ),
        ),
    )


def _room(each: RoomSums) -> tuple[str, ...]:
    sums = each.sums
    return (
        each.room.name,
        ", ".join(each.room.groups),
        NOTHING if each.room.capacity is None else str(each.room.capacity),
        number(sums.bookings),
        _hours_long(sums.booked_s),
        _hours_long(sums.attended_s),
        f"{number(sums.ghosts)} ({percent(sums.ghost_share)})",
        percent(sums.unjudged_share),
        number(sums.left_early),
        _hours_long(sums.freed_min * 60),
        _hours_long(sums.unbooked_s),
        percent(sums.use),
        percent(sums.unknown_share),
        _mean(sums),
        str(sums.people_peak) if sums.counted_s else NOTHING,
    )


# ── for machines ──────────────────────────────────────────────────────────────────────────────────

_MINUTES: Final = (
    "span",
    "in_use",
    "unknown",
    "unwatched",
    "work",
    "work_in_use",
    "work_unknown",
    "booked",
    "attended",
    "empty",
    "booked_unknown",
    "unbooked",
)
_COUNTS: Final = (
    "bookings",
    "judged",
    "attended",
    "ghosts",
    "left_early",
    "overran",
    "unknown",
    "released",
    "unbooked",
)
_SHARES: Final = (
    "ghost_share",
    "unjudged_share",
    "empty_share",
    "use",
    "idle",
    "unknown_share",
    "use_of_known",
)


def _sums_told(sums: Sums) -> dict[str, Any]:
    """Numbers for machines: times in minutes, shares from 0 to 1, null where there is nothing to be said."""
    told: dict[str, Any] = {f"{name}_min": round(getattr(sums, f"{name}_s") / 60) for name in _MINUTES}
    told |= {"freed_min": round(sums.freed_min), "released_min": round(sums.released_min)}
    told |= {name: getattr(sums, name) for name in _COUNTS}
    for name in _SHARES:
        share = getattr(sums, name)
        told[name] = None if share is None else round(share, 4)
    told["people_mean"] = None if sums.people_mean is None else round(sums.people_mean, 2)
    told["people_peak"] = sums.people_peak if sums.counted_s else None
    return told


def _room_told(each: RoomSums) -> dict[str, Any]:
    """A room for machines."""
    return {
        "room": each.room.id,
        "name": each.room.name,
        "groups": list(each.room.groups),
        "capacity": each.room.capacity,
        "recorded_since": None if each.recorded_since is None else each.recorded_since.isoformat(),
        "counted_h": each.counted_h,
        "usual_people": each.usual_people,
        "too_big": each.too_big,
        **_sums_told(each.sums),
    }


def _span_told(span: Span) -> dict[str, Any]:
    """Days together, for machines."""
    return {
        "since": span.since.isoformat(),
        "last": span.last.isoformat(),
        "whole": span.whole,
        **_sums_told(span.sums),
    }


def _hours_told(report: Report) -> list[dict[str, Any]]:
    """Weekdays and hours for machines."""
    return [
        {"weekday": DAYS[day], "hour": hour, **_sums_told(report.grid[day][hour])}
        for day in range(WEEK_DAYS)
        for hour in range(DAY_H)
    ]


def told(report: Report) -> Mapping[str, Any]:
    """The whole report for machines."""
    return {
        "site": report.site,
        "about": report.about,
        "since": report.since.isoformat(),
        "last": report.last.isoformat(),
        "recorded_since": None if report.recorded_since is None else report.recorded_since.isoformat(),
        "recorded_last": None if report.recorded_last is None else report.recorded_last.isoformat(),
        "working_hours": _hours_of_week(report.working),
        "total": _sums_told(report.total),
        "rooms": [_room_told(each) for each in report.rooms],
        "too_big": [each.room.id for each in report.too_big],
        "ranked": [each.room.id for each in report.ranked],
        "little_known": [each.room.id for each in report.little_known],
        "most_ghosts": [each.room.id for each in report.most_ghosts],
        "hours": _hours_told(report),
        "weeks": [_span_told(span) for span in report.weeks],
        "days": [_span_told(span) for span in report.days],
    }


# ── as a table for spreadsheets ───────────────────────────────────────────────────────────────────


def as_csv(made: Report, by: By) -> str:
    """One line for each room, day, week, or weekday and hour; the first says what they hold."""
    lines: Sequence[Mapping[str, Any]]
    match by:
        case "room":
            lines = [
                {
                    name: (", ".join(value) if name == "groups" else value)
                    for name, value in _room_told(each).items()
                }
                for each in made.rooms
            ]
        case "day":
            lines = [_span_told(span) for span in made.days]
        case "week":
            lines = [_span_told(span) for span in made.weeks]
        case "hour":
            lines = _hours_told(made)
    out = io.StringIO()
    if lines:
        table = csv.writer(out, lineterminator="\r\n")  # RFC 4180
        table.writerow(lines[0])
        table.writerows([_plain(value) for value in line.values()] for line in lines)
    return out.getvalue()


def _plain(value: object) -> object:
    """Words that a spreadsheet would take for a formula are words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and value.lstrip().startswith(CALCULATED):
        return f"'{value}"
    return value
