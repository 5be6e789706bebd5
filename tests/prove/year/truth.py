"""Which bookings were really used, by whom and until when: what every judgement is measured against."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final

from tests.prove.year.people import GHOSTS, Booked, Kind, Past, Span, Visit
from tests.prove.year.sensors import Seen, ThirdSeen, Timeline

LONGEST_S: Final = 11 * 3600.0  # nobody stays longer
CLEARS_S: Final = 20.0  # a sign that is left behind when the last has gone out


class Release(StrEnum):
    """What taking a booking from its people was, or would have been."""

    RIGHT = "right"  # nobody came, and nobody was to come
    AFTERWARDS = "afterwards"  # they had been there, and had left for good
    SEEN = "wrong, with signs of people"  # some sensor had spoken for them
    UNSEEN = "wrong, people unseen"  # they were there, and no sensor had spoken for them
    TOO_SOON = "wrong, they came later"  # nobody was there yet


class Truth:
    """A room's year, for questions."""

    def __init__(self, past: Past, seen: Sequence[Seen], third: ThirdSeen | None) -> None:
        self.past, self.seen, self.third = past, seen, third
        self._from = [visit.from_s for visit in self.past.visits]
        self._calls = [span.from_s for span in self.past.calls]
        self._of: dict[int, list[Visit]] = {}
        for visit in self.past.visits:
            if visit.booking is not None:
                self._of.setdefault(visit.booking, []).append(visit)

    @staticmethod
    def ghost(booked: Booked) -> bool:
        """Whether nobody came for it, nor joined by the room's device."""
        return booked.kind in GHOSTS

    def inside(self, t: float) -> list[Visit]:
        """Who is in the room then, for whatever reason."""
        return [
            visit
            for visit in self.past.visits[
                bisect_left(self._from, t - LONGEST_S) : bisect_right(self._from, t)
            ]
            if visit.from_s <= t < visit.to_s
        ]

    def uses(self, booked: Booked) -> list[tuple[float, float]]:
        """From when to when its people were there, or its call was on."""
        if booked.kind is Kind.DIALLED:
            return [(span.from_s, span.to_s) for span in self._calls_in(booked.starts_s - 120, booked.ends_s)]
        return [(visit.from_s, visit.to_s) for visit in self._of.get(booked.number, ())]

    def _calls_in(self, from_s: float, to_s: float) -> list[Span]:
        first, last = bisect_left(self._calls, from_s), bisect_left(self._calls, to_s)
        return self.past.calls[first:last]

    def answered(self, from_s: float, to_s: float) -> float | None:
        """When somebody touches a screen that asks so long whether anybody is there; None: nobody does."""
        first, last = bisect_left(self._from, from_s - LONGEST_S), bisect_left(self._from, to_s)
        at = [
            touched_s
            for visit in self.past.visits[first:last]
            if visit.to_s > from_s
            and (touched_s := max(from_s, visit.from_s) + visit.answers_after_s) < min(to_s, visit.to_s)
        ]
        return min(at, default=None)

    def signs(self, booked: Booked, until_s: float, heard: Sequence[Timeline] = ()) -> bool:
        """Whether any sensor has spoken for the people of a booking from its start until then.

        `heard` is what devices have said otherwise than in this year, by their numbers: when they were woken.
        """
        for from_s, to_s in self.uses(booked):
            since_s, over_s = max(from_s, booked.starts_s), min(to_s + CLEARS_S, until_s)
            for number, each in enumerate(self.seen):
                lines = (each.asleep, *heard[number : number + 1])
                if any(each.spoke(line, since_s, over_s) for line in lines):
                    return True
            if self.third is not None and self.third.spoke(since_s, over_s):
                return True
        return False

    def released(self, booked: Booked, at_s: float, heard: Sequence[Timeline] = ()) -> Release:
        """What it was to release this booking at that time."""
        if self.ghost(booked):
            return Release.RIGHT
        uses = self.uses(booked)
        if not any(to_s > at_s for _, to_s in uses):
            return Release.AFTERWARDS
        if not any(from_s < at_s for from_s, _ in uses):
            return Release.TOO_SOON
        return Release.SEEN if self.signs(booked, at_s, heard) else Release.UNSEEN

    def blind_s(self, booked: Booked, down: Sequence[tuple[float, float]]) -> float:
        """For how long of a booking nothing that roomd could hear would have told of anybody (s).

        `down` is when roomd did not run.
        """
        from_s, to_s = booked.starts_s, min(booked.ends_s, booked.deleted_s)
        edges = {from_s, to_s}
        for each in self.seen:
            times = each.asleep.times
            edges.update(times[bisect_right(times, from_s) : bisect_left(times, to_s)])
        gaps = [(span.from_s, span.to_s) for each in self.seen for span in (*each.outages, *each.reboots)]
        edges.update(t for gap in (*gaps, *down) for t in gap if from_s < t < to_s)
        return sum(b - a for a, b in pairwise(sorted(edges)) if self._nobody_tells((a + b) / 2, down))

    def _nobody_tells(self, t: float, down: Sequence[tuple[float, float]]) -> bool:
        if any(a <= t < b for a, b in down):
            return True
        return not any(
            each.asleep.at(t).presence is not None
            and not any(span.from_s <= t < span.to_s for span in (*each.outages, *each.reboots))
            for each in self.seen
        )
