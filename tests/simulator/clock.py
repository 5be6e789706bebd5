"""The site's time: as it passes, faster than it passes, or only when a test says so."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol


class Clock(Protocol):
    """What time it is in the rooms."""

    def now(self) -> datetime: ...
    def seconds_until(self, when: datetime) -> float | None:
        """Real seconds until `when`, or None when time passes by hand only."""


class RunningClock:
    """Starts now (or at `start`) and runs `speed` times as fast as the wall."""

    def __init__(self, *, start: datetime | None = None, speed: float = 1.0) -> None:
        self._start: Final = start or datetime.now(UTC)
        self._began: Final = time.monotonic()
        self._speed: Final = speed

    def now(self) -> datetime:
        return self._start + timedelta(seconds=(time.monotonic() - self._began) * self._speed)

    def seconds_until(self, when: datetime) -> float:
        return max(0.0, (when - self.now()).total_seconds() / self._speed)


class ManualClock:
    """Stands still until `Site.advance`."""

    def __init__(self, start: datetime | None = None) -> None:
        self.time = start or datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def seconds_until(self, when: datetime) -> float | None:
        return 0.0 if when <= self.time else None


class Schedule:
    """What the site's devices will do later, in order of time."""

    def __init__(self, clock: Clock) -> None:
        self.clock: Final = clock
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._earlier = asyncio.Event()

    def at(self, when: datetime, act: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._order), act))
        if self._heap[0][2] is act:
            self._earlier.set()

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.clock.now() + timedelta(seconds=seconds), act)

    def advance(self, seconds: float) -> None:
        """Lets time pass on a manual clock; everything happens at its own moment."""
        if not isinstance(self.clock, ManualClock):
            raise TypeError("only a ManualClock can be advanced")
        until = self.clock.time + timedelta(seconds=seconds)
        while self._heap and self._heap[0][0] <= until:
            when, _, act = heapq.heappop(self._heap)
            self.clock.time = max(self.clock.time, when)
            act()
        self.clock.time = until

    async def run(self) -> None:
        """Does what is due, for as long as the site stands."""
        while True:
            while self._heap and self._heap[0][0] <= self.clock.now():
                heapq.heappop(self._heap)[2]()
            rest_s = self.clock.seconds_until(self._heap[0][0]) if self._heap else None
            self._earlier.clear()
            try:
                async with asyncio.timeout(rest_s):
                    await self._earlier.wait()
            except TimeoutError:
                continue
