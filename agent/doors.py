"""Keeps doors open at which others call, each in a task of its own: it can be shut and opened anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager


class Doors:
    """Doors by their names; what enters a context leaves it again, whoever asks for that."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        """`tasks` is what they live in."""
        self._tasks = tasks
        self._standing: dict[str, asyncio.Task[None]] = {}

    async def open(self, name: str, door: AbstractAsyncContextManager[object]) -> None:
        """Returns when it is open; raises what entering it raised."""
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._standing[name] = self._tasks.create_task(_stand(door, entered), name=f"door {name}")
        await entered

    async def close(self, name: str) -> None:
        """Returns when it is shut; nothing happens if it was not open."""
        task = self._standing.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def close_all(self) -> None:
        """Returns when all are shut."""
        for name in tuple(self._standing):
            await self.close(name)


@asynccontextmanager
async def running(work: Coroutine[None, None, None], *, name: str) -> AsyncIterator[None]:
    """A door behind which somebody works for as long as it is open."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work, name=name)
        try:
            yield
        finally:
            task.cancel()


async def _stand(door: AbstractAsyncContextManager[object], entered: asyncio.Future[None]) -> None:
    try:
        async with door:
            if not entered.done():
                entered.set_result(None)
            await asyncio.get_running_loop().create_future()
    except Exception as error:
        if entered.done():
            raise
        entered.set_exception(error)
