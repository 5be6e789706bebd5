"""The rules by which others are described to release rooms, told in our words and played on the same year."""

# Where a description leaves something open, the reading that errs less is taken: whoever is sensed or touches
# the screen during the countdown stops it, and each of them hears its device also while we do not.

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from tests.prove.year.people import MINUTE, Booked
from tests.prove.year.sensors import Said, Seen, Timeline
from tests.prove.year.truth import Truth

WAKES_AFTER_S: Final = 4.0  # a warning ends the device's standby; then it looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Releases a booking when nobody was sensed for so long, and nobody has stopped the countdown."""

    name: str
    occupied: Callable[[Said], bool]
    empty_for_s: float
    not_before_s: float  # after the start
    countdown_s: float
    looks_every_s: float
    longest_s: float = math.inf  # bookings that are longer are left alone


def _by_count_and_presence(said: Said) -> bool:
    """Ghost-Meeting: -1 heads are none, and what is not Yes is No."""
    return bool(said.people or said.presence or said.calls or said.sharing)


def _by_presence(said: Said) -> bool:
    """RoomRelease: only a plain No is nobody."""
    return said.presence is not False


def _by_use(said: Said) -> bool:
    """wi-room-release: the device's own conclusion; where it draws none, presence, a call or sharing."""
    if said.in_use is not None:
        return said.in_use
    return bool(said.presence or said.calls or said.sharing)


GHOST_MEETING: Final = Rule(
    name="Ghost-Meeting",
    occupied=_by_count_and_presence,
    empty_for_s=5 * MINUTE,
    not_before_s=0.0,
    countdown_s=60.0,
    looks_every_s=5 * MINUTE + 1,
)
ROOM_RELEASE: Final = Rule(
    name="RoomRelease",
    occupied=_by_presence,
    empty_for_s=25.0,
    not_before_s=0.0,
    countdown_s=25.0,
    looks_every_s=5.0,
)
WI_ROOM_RELEASE: Final = Rule(
    name="wi-room-release",
    occupied=_by_use,
    empty_for_s=5 * MINUTE,
    not_before_s=10 * MINUTE,
    countdown_s=60.0,
    looks_every_s=MINUTE,
    longest_s=3 * 3600.0 - 1,
)
RIVALS: Final = (GHOST_MEETING, ROOM_RELEASE, WI_ROOM_RELEASE)
PATIENCE: Final = (1, 2, 4, 8)  # times as long as described


def patient(rule: Rule, times: int) -> Rule:
    """The same rule that waits longer before it takes a room for empty."""
    longer_s = max(rule.empty_for_s, rule.not_before_s, 5 * MINUTE) * times
    if times == 1:
        return rule
    return replace(rule, empty_for_s=max(rule.empty_for_s, longer_s), not_before_s=longer_s)


def released_at(rule: Rule, booked: Booked, seen: Seen, truth: Truth) -> float | None:
    """When this rule takes the booking off the calendar (s since 1970); None: never."""
    until_s = min(booked.ends_s, booked.deleted_s)
    if booked.ends_s - booked.starts_s > rule.longest_s:
        return None
    from_s = booked.starts_s
    while (warned_s := _warns(rule, booked, seen.asleep, from_s, until_s)) is not None:
        over_s = warned_s + rule.countdown_s
        if over_s >= until_s:
            return None
        sensed = _sensed(rule, seen, warned_s, over_s)
        touched_s = truth.answered(warned_s, over_s)
        if sensed is None and touched_s is None:
            return over_s
        from_s = max(over_s if sensed is None else sensed, touched_s or 0.0)
    return None


def _warns(rule: Rule, booked: Booked, line: Timeline, from_s: float, until_s: float) -> float | None:
    """When it finds that the room was empty for long enough."""
    for empty_s, over_s in _empty(rule, line, from_s, until_s):
        due_s = max(empty_s + rule.empty_for_s, booked.starts_s + rule.not_before_s)
        looks = math.ceil((due_s - booked.starts_s) / rule.looks_every_s)
        looked_s = booked.starts_s + looks * rule.looks_every_s
        if looked_s < over_s:
            return looked_s
    return None


def _empty(rule: Rule, line: Timeline, from_s: float, until_s: float) -> Iterator[tuple[float, float]]:
    """From when to when it takes the room for empty."""
    place = max(0, bisect_right(line.times, from_s) - 1)
    since: float | None = None
    while place < len(line.times) and line.times[place] < until_s:
        t = max(from_s, line.times[place])
        if rule.occupied(line.values[place]):
            if since is not None:
                yield since, t
            since = None
        elif since is None:
            since = t
        place += 1
    if since is not None:
        yield since, until_s


def _sensed(rule: Rule, seen: Seen, from_s: float, to_s: float) -> float | None:
    """When it senses somebody during the countdown, for which the device has been woken."""
    place = bisect_right(seen.asleep.times, from_s) - 1
    while place < len(seen.asleep.times) and seen.asleep.times[place] < to_s:
        if rule.occupied(seen.asleep.values[place]):
            return max(from_s, seen.asleep.times[place])
        place += 1
    woken_s = from_s + WAKES_AFTER_S
    place = max(0, bisect_right(seen.awake.times, woken_s) - 1)
    while place < len(seen.awake.times) and seen.awake.times[place] < to_s:
        if rule.occupied(seen.awake.values[place]):
            return max(woken_s, seen.awake.times[place])
        place += 1
    return None
