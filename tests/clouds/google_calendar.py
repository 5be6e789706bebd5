"""Calendars as Google keeps them: series, their exceptions, copies for invited rooms, partial answers."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

Json = dict[str, Any]
Mask = dict[str, "Mask"]

LONGEST_SERIES: Final = 730  # occurrences of a series without an end
WRITERS: Final = ("owner", "writer")
WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
PLAIN: Final = ("kind", "etag", "id", "status", "start", "end", "visibility", "iCalUID", "eventType")


class Malformed(Exception):
    """What was asked makes no sense; the text is Google's message, and `reason` its word for it."""

    def __init__(self, message: str, reason: str = "invalid") -> None:
        super().__init__(message)
        self.reason = reason


class TokenTooOld(Exception):
    """The sync token means nothing any more."""


@dataclass
class Calendar:
    """The calendar of a room or a person. `role` is what the application may do with it; "" is nothing."""

    address: str
    zone: ZoneInfo
    name: str = ""
    role: str = "owner"
    room: bool = True
    events: dict[str, Json] = field(
        default_factory=dict
    )  # series, exceptions and single events, with deleted
    changed: dict[str, int] = field(default_factory=dict)  # by event: in which of the calendar's changes
    changes: int = 0
    acl: dict[str, Json] = field(default_factory=dict)
    on_change: Callable[[], None] = lambda: None

    # ── what tests and clients do to it

    def put(self, event: Json) -> Json:
        """Keep an event, new or changed; those who watch hear of it."""
        event = {"status": "confirmed", "eventType": "default", "sequence": 0, **event}
        event.setdefault("iCalUID", f"{event.get('recurringEventId', event['id'])}@google.com")
        event.setdefault("created", "2025-12-01T10:00:00.000Z")
        self._keep(event)
        return event

    def delete(self, event_id: str) -> None:
        """Take an event, or one occurrence of a series, off the calendar; only a skeleton remains."""
        event = self.find(event_id)
        assert event is not None
        skeleton = {"id": event_id, "status": "cancelled"}
        if "recurringEventId" in event:
            skeleton |= {key: event[key] for key in ("recurringEventId", "originalStartTime")}
        self._keep(skeleton)

    def _keep(self, event: Json) -> None:
        self.changes += 1
        event["updated"] = f"2026-01-01T00:00:00.{self.changes % 1000:03}Z"
        self.events[event["id"]] = event
        self.changed[event["id"]] = self.changes
        self.on_change()

    # ── what it shows

    def find(self, event_id: str) -> Json | None:
        """An event as it is kept, or an occurrence of a series; None if there never was one."""
        if event_id in self.events:
            return self.events[event_id]
        series = self.events.get(event_id.rpartition("_")[0])
        if series is None or "recurrence" not in series:
            return None
        return next((one for one in self._occurrences(series, None) if one["id"] == event_id), None)

    def view(self, event: Json) -> Json:
        """An event as the application may see it."""
        shown: Json = {"kind": "calendar#event", "etag": _etag(event), **copy.deepcopy(event)}
        if event["status"] == "cancelled":
            shown.pop("updated", None)
            return shown
        hidden = event.get("visibility") in ("private", "confidential") and self.role not in WRITERS
        if hidden or self.role == "freeBusyReader":
            return {key: value for key, value in shown.items() if key in PLAIN}
        for person in (*shown.get("attendees", ()), shown.get("organizer", {}), shown.get("creator", {})):
            if person.get("email") == self.address:
                person["self"] = True
        return shown

    def listed(
        self, *, single: bool, deleted: bool, lower: datetime | None, upper: datetime | None
    ) -> list[Json]:
        """The events between these moments as events.list finds them, in no particular order."""
        found = []
        for event in self.events.values():
            if event["status"] == "cancelled":
                exception = "recurringEventId" in event
                if deleted or (exception and not single):
                    found.append(event)
            elif "recurrence" in event and single:
                found += [one for one in self._occurrences(event, upper) if self._within(one, lower, upper)]
            elif "recurrence" in event:
                if any(self._within(one, lower, upper) for one in self._occurrences(event, upper)):
                    found.append(event)
            elif self._within(event, lower, upper):
                found.append(event)
        return found

    def since(self, change: int, *, single: bool) -> list[Json]:
        """What changed after this change, deleted ones as well."""
        found = []
        for event_id, changed in self.changed.items():
            if changed > change:
                event = self.events[event_id]
                found += list(self._occurrences(event, None)) if single and "recurrence" in event else [event]
        return found

    def instances(
        self, series_id: str, *, deleted: bool, lower: datetime | None, upper: datetime | None
    ) -> list[Json] | None:
        """The occurrences of a series, with its exceptions; None if it is not there."""
        series = self.events.get(series_id)
        if series is None or series["status"] == "cancelled":
            return None
        exceptions = [one for one in self.events.values() if one.get("recurringEventId") == series_id]
        return [
            one
            for one in (*self._occurrences(series, upper), *exceptions)
            if (deleted if one["status"] == "cancelled" else self._within(one, lower, upper))
        ]

    def busy(self, lower: datetime, upper: datetime) -> list[tuple[datetime, datetime]]:
        """When it is taken, overlapping spans joined."""
        spans: list[tuple[datetime, datetime]] = []
        taken = [
            self.span(one)
            for one in self.listed(single=True, deleted=False, lower=lower, upper=upper)
            if self.occupied_by(one)
        ]
        for starts, ends in sorted(taken):
            starts, ends = max(starts, lower), min(ends, upper)  # noqa: PLW2901
            if spans and starts <= spans[-1][1]:
                spans[-1] = (spans[-1][0], max(ends, spans[-1][1]))
            else:
                spans.append((starts, ends))
        return spans

    def occupied_by(self, event: Json) -> bool:
        """Whether an event keeps the calendar's owner busy."""
        mine = [one for one in event.get("attendees", ()) if one.get("email") == self.address]
        return (
            event["status"] != "cancelled"
            and event.get("transparency", "opaque") == "opaque"
            and event.get("eventType") != "workingLocation"
            and all(one.get("responseStatus") != "declined" for one in mine)
        )

    def span(self, event: Json) -> tuple[datetime, datetime]:
        """From when to when, half open; whole days are those of the calendar's zone."""
        return moment(event["start"], self.zone), moment(event["end"], self.zone)

    def _within(self, event: Json, lower: datetime | None, upper: datetime | None) -> bool:
        starts, ends = self.span(event)
        return (lower is None or ends > lower) and (upper is None or starts < upper)

    def _occurrences(self, series: Json, upper: datetime | None) -> Iterator[Json]:
        if series["status"] == "cancelled":
            return
        overridden = {
            moment(one["originalStartTime"], self.zone)
            for one in self.events.values()
            if one.get("recurringEventId") == series["id"]
        }
        first, last = series["start"], series["end"]
        for days in _rule(series["recurrence"], first, self.zone):
            begins, finishes = shift(first, days, self.zone), shift(last, days, self.zone)
            at = moment(begins, self.zone)
            if upper is not None and at >= upper:
                return
            if at in overridden:
                continue
            stamp = (
                begins["date"].replace("-", "")
                if "date" in begins
                else at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
            )
            yield {
                **{key: value for key, value in series.items() if key != "recurrence"},
                "id": f"{series['id']}_{stamp}",
                "recurringEventId": series["id"],
                "originalStartTime": begins,
                "start": begins,
                "end": finishes,
            }


def moment(when: Json, zone: tzinfo) -> datetime:
    """A `start` or `end` as a moment; a date is its midnight in the calendar's zone."""
    if "date" in when:
        return datetime.combine(date.fromisoformat(when["date"]), time(), zone).astimezone(UTC)
    at = datetime.fromisoformat(when["dateTime"])
    if at.tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(when["timeZone"]))
    return at.astimezone(UTC)


def shift(when: Json, days: int, zone: tzinfo) -> Json:
    """The same time of day so many days later, also where a clock was changed in between."""
    if "date" in when:
        return {"date": (date.fromisoformat(when["date"]) + timedelta(days=days)).isoformat()}
    place = ZoneInfo(when["timeZone"]) if "timeZone" in when else zone
    local = moment(when, zone).astimezone(place).replace(tzinfo=None) + timedelta(days=days)
    return {**when, "dateTime": local.replace(tzinfo=place).isoformat()}


def _rule(recurrence: list[str], first: Json, zone: tzinfo) -> Iterator[int]:
    """On which days after its first a series takes place; knows daily and weekly rules."""
    [line] = [line for line in recurrence if line.startswith("RRULE:")]
    rule = dict(part.split("=", 1) for part in line.removeprefix("RRULE:").split(";"))
    step = int(rule.get("INTERVAL", "1"))
    day = moment(first, zone).astimezone(zone).date()
    until = rule.get("UNTIL")
    wanted = rule.get("BYDAY", WEEKDAYS[day.weekday()]).split(",")
    count = int(rule.get("COUNT", LONGEST_SERIES))
    given = 0
    for days in range(LONGEST_SERIES * 7 * step):
        on = day + timedelta(days=days)
        if given >= count or (until and on.strftime("%Y%m%d") > until[:8]):
            return
        weeks = (days + day.weekday()) // 7
        daily = rule["FREQ"] == "DAILY" and days % step == 0
        weekly = rule["FREQ"] == "WEEKLY" and weeks % step == 0 and WEEKDAYS[on.weekday()] in wanted
        if not (daily or weekly):
            continue
        given += 1
        yield days


def _etag(event: Json) -> str:
    return f'"{hashlib.sha256(repr(sorted(event.items())).encode()).hexdigest()[:16]}"'


# ── partial answers: the `fields` parameter ──

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*|\*")


def read_mask(text: str) -> Mask:
    """What `fields` asks for, as a tree; Malformed where its grammar is not kept."""
    mask, rest = _selection(text)
    if rest:
        raise Malformed(f"Invalid field selection {rest}", "invalidParameter")
    return mask


def _selection(text: str) -> tuple[Mask, str]:
    mask: Mask = {}
    while True:
        name = _NAME.match(text)
        if not name:
            raise Malformed(f"Invalid field selection {text}", "invalidParameter")
        text = text[name.end() :]
        inner: Mask = {}
        branch = mask.setdefault(name[0], inner)
        while text.startswith("/"):
            deeper = _NAME.match(text, 1)
            if not deeper:
                raise Malformed(f"Invalid field selection {text}", "invalidParameter")
            branch = branch.setdefault(deeper[0], {})
            text = text[deeper.end() :]
        if text.startswith("("):
            selected, text = _selection(text[1:])
            if not text.startswith(")"):
                raise Malformed("Invalid field selection", "invalidParameter")
            branch.update(selected)
            text = text[1:]
        if not text.startswith(","):
            return mask, text
        text = text[1:]


def apply_mask(mask: Mask, value: Any) -> Any:  # noqa: ANN401
    """What of a value was asked for; an empty mask is all of it."""
    if not mask or "*" in mask:
        return value
    if isinstance(value, list):
        return [apply_mask(mask, one) for one in value]
    if isinstance(value, dict):
        return {key: apply_mask(mask[key], one) for key, one in value.items() if key in mask}
    return value
