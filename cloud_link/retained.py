"""Keeps the latest wish for each retained topic, and says what to publish when; a flood makes no bytes."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

LEAST_INTERVAL_S: Final = 5.0  # between two publications of one topic: a consumer reads states, not strokes

Picture = Callable[[], bytes]


class _Phase(Enum):
    SHOWN = "shown"  # acknowledged, and nothing newer is wished
    DUE = "due"  # to be published, now or when its interval is over
    UNDER_WAY = "under_way"  # published, no acknowledgement yet
    OUTDATED = "outdated"  # the same, and something newer is wished already


@dataclass(slots=True)
class _Wish:
    picture: Picture
    expiry_s: int | None
    phase: _Phase = _Phase.DUE
    not_before_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What to publish, retained."""

    topic: str
    payload: bytes
    expiry_s: int | None


class Retained:
    """One per connection's owner. Its memory is bounded by the number of topics."""

    def __init__(self, *, least_interval_s: float = LEAST_INTERVAL_S, wake: Callable[[], None]) -> None:
        self._wishes: dict[str, _Wish] = {}
        self._due: list[tuple[float, int, str]] = []  # a heap; entries that no longer hold are skipped
        self._order = 0
        self._least_interval_s = least_interval_s
        self._wake = wake

    # ── for those who know something

    def show(self, topic: str, picture: Picture, *, expiry_s: int | None = None) -> None:
        """From now on the topic shows this; `picture` is asked for its bytes whenever it is sent."""
        wish = self._wishes.get(topic)
        if wish is None:
            self._wishes[topic] = wish = _Wish(picture, expiry_s)
            self._queue(topic, wish)
            return
        wish.picture, wish.expiry_s = picture, expiry_s
        if wish.phase is _Phase.SHOWN:
            wish.phase = _Phase.DUE
            self._queue(topic, wish)
        elif wish.phase is _Phase.UNDER_WAY:
            wish.phase = _Phase.OUTDATED

    def forget(self, topic: str) -> None:
        """Takes it off the broker, whoever showed it there: an empty payload deletes what is retained."""
        self.show(topic, bytes)

    def __contains__(self, topic: str) -> bool:
        """Whether anything is wished of it; no more once the broker has deleted it."""
        return topic in self._wishes

    def __len__(self) -> int:
        return len(self._wishes)

    # ── for the forwarder

    def begin(self) -> None:
        """A new connection: everything is published anew, at once."""
        self._due.clear()
        for topic, wish in self._wishes.items():
            wish.phase = _Phase.DUE
            wish.not_before_s = 0.0
            self._order += 1
            self._due.append((0.0, self._order, topic))
        heapq.heapify(self._due)

    def next_due_s(self) -> float | None:
        """When the next is due, by the clock that `take` is given; None if nothing waits."""
        while self._due:
            due_s, _, topic = self._due[0]
            wish = self._wishes.get(topic)
            if wish is not None and wish.phase is _Phase.DUE:
                return due_s
            heapq.heappop(self._due)
        return None

    def take(self, now_s: float) -> Shown | None:
        """The next that is due; it counts as under way."""
        due_s = self.next_due_s()
        if due_s is None or due_s > now_s:
            return None
        topic = heapq.heappop(self._due)[2]
        wish = self._wishes[topic]
        wish.phase = _Phase.UNDER_WAY
        wish.not_before_s = now_s + self._least_interval_s
        return Shown(topic=topic, payload=wish.picture(), expiry_s=wish.expiry_s)

    def acknowledged(self, topic: str) -> None:
        """The broker has what was taken."""
        wish = self._wishes.get(topic)
        if wish is None:
            return
        if wish.phase is _Phase.OUTDATED:
            wish.phase = _Phase.DUE
            self._queue(topic, wish)
        elif wish.phase is _Phase.UNDER_WAY:
            if wish.picture is bytes:
                del self._wishes[topic]
            else:
                wish.phase = _Phase.SHOWN

    def refused(self, topic: str, *, not_before_s: float) -> None:
        """The broker did not take it: once more, not before then."""
        wish = self._wishes.get(topic)
        if wish is not None and wish.phase in {_Phase.UNDER_WAY, _Phase.OUTDATED}:
            wish.phase = _Phase.DUE
            wish.not_before_s = not_before_s
            self._queue(topic, wish)

    def _queue(self, topic: str, wish: _Wish) -> None:
        self._order += 1
        heapq.heappush(self._due, (wish.not_before_s, self._order, topic))
        self._wake()
