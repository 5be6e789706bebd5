"""Home Assistant's Google client reads a Google calendar and keeps up with it; one JSON object per line.

Usage: python gcal_sync_judge.py URL token calendar; it needs gcal_sync in its environment, and nothing of
this project. After each round it waits for a line.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime

import aiohttp
from gcal_sync.api import GoogleCalendarService, ListEventsRequest  # type: ignore[import-not-found]
from gcal_sync.auth import AbstractAuth  # type: ignore[import-not-found]
from gcal_sync.sync import CalendarEventSyncManager  # type: ignore[import-not-found]

DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Auth(AbstractAuth):  # type: ignore[misc]
    """Has one token."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        super().__init__(session, url)
        self._token = token

    async def async_get_access_token(self) -> str:
        return self._token


def tell(step: str, value: object) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps({"step": step, "value": value}) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Read a day, then everything, then what changed."""
    url, token, calendar = sys.argv[1:]
    async with aiohttp.ClientSession() as session:
        service = GoogleCalendarService(Auth(session, f"{url}/calendar/v3", token))
        asked = ListEventsRequest(calendar_id=calendar, start_time=DAY, end_time=DAY.replace(day=2))
        found = []
        async for page in await service.async_list_events(asked):
            found += [event.summary for event in page.items]
        tell("day", found)
        manager = CalendarEventSyncManager(service, calendar)
        for _ in range(4):
            await manager.run()
            timeline = await manager.store_service.async_get_timeline()
            shown = timeline.overlapping(DAY, DAY.replace(day=3))
            tell("round", sorted(f"{event.start.value:%d %H:%M} {event.summary}" for event in shown))
            await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main())
