"""Owns the tasks of a thing that lives as long as an `async with` block, as TaskGroup does not quite."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class Crew:
    """A TaskGroup whose tasks end with the block, and which leaves the block's own exception as it is.

    A task that crashes still ends the block and is raised, so that a broker's bug is not taken for the
    product's.
    """

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._working: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = self._group.create_task(work, name=name)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return task

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._working:
            task.cancel()
        if isinstance(error, asyncio.CancelledError):
            await self._group.__aexit__(kind, error, trace)
        else:
            await self._group.__aexit__(None, None, None)
