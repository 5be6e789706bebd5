"""Waits for what a test wants to see, and says what was seen instead when it does not come."""

import asyncio
from collections.abc import Callable

SEEN_WITHIN_S = 60.0  # far more than any of it takes on a busy machine


class NotSeen(AssertionError):
    """What the test waited for did not happen."""


class Changes:
    """Wakes whoever waits for a predicate whenever something has changed."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def happened(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    async def until(
        self,
        predicate: Callable[[], object],
        *,
        within_s: float | None = SEEN_WITHIN_S,
        seen: Callable[[], str] = lambda: "nothing to tell",
    ) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not predicate():
                    await self._next.wait()
        except TimeoutError:
            raise NotSeen(f"not within {within_s} s; seen: {seen()}") from None
