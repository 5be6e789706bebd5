"""Work that goes on beside a conversation and ends with it, whatever ends that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine


@contextlib.asynccontextmanager
async def beside(work: Coroutine[None, None, None], *, name: str) -> AsyncIterator[None]:
    """Do `work` beside the body and end it with it; the body's error stays what it is, without a group."""
    raised: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work, name=name)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again when the task has ended
            raised = error
        finally:
            task.cancel()
    if raised is not None:
        raise raised
