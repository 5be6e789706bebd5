"""A listener to server-sent events: what a browser makes of the lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx

HEARD_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    kind: str
    data: Any
    last_id: str | None  # of this one or one before it


async def events(response: httpx.Response) -> AsyncIterator[Event]:
    """As they come."""
    kind, data, last_id = "message", "", None
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        match name:
            case "":
                if data:
                    yield Event(kind=kind, data=json.loads(data), last_id=last_id)
                kind, data = "message", ""
            case "event":
                kind = value
            case "data":
                data += value
            case "id":
                last_id = value
            case "retry":
                assert value.isdigit()
            case other:
                raise AssertionError(f"no such field: {other!r}")


async def heard(
    stream: AsyncIterator[Event], kind: str, where: Callable[[Any], object] = lambda _: True
) -> Event:
    """The next of this kind of which this is so."""
    async with asyncio.timeout(HEARD_WITHIN_S):
        async for event in stream:
            if event.kind == kind and where(event.data):
                return event
    raise AssertionError(f"the stream ended without {kind}")
