"""Keeps watches until it kills itself: `watch_mortal FILE`, a JSON object with all that it is told."""

import asyncio
import json
import random
import ssl
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.listening import Listener
from cloud_link.calendars import watches as watches_module
from cloud_link.calendars.google import Google, Origins
from cloud_link.calendars.google_calendar import read_key
from cloud_link.calendars.integration import Service
from cloud_link.calendars.microsoft import Cloud, Microsoft, token_source
from cloud_link.calendars.push import PushSite
from cloud_link.calendars.tokens import client_secret
from cloud_link.calendars.watches import GoogleWatches, MicrosoftWatches
from cloud_link.calendars.wire import Answer, Wire, WirePace, never
from cloud_link.database import open_database
from tests.cloud_link.calendars.watching import rows
from tests.cloud_link.doomed import dying

PACE = WirePace(first_rest_s=0.001, patience_s=3.0)


def after(owner: type, name: str, step: Callable[[], None]) -> None:
    """Die when what it does is done."""
    original = getattr(owner, name)

    async def wrapped(*args: object, **more: object) -> object:
        result = await original(*args, **more)
        step()
        return result

    setattr(owner, name, wrapped)


def before(owner: type, name: str, step: Callable[[], None]) -> None:
    """Die when it is about to be done."""
    original = getattr(owner, name)

    async def wrapped(*args: object, **more: object) -> object:
        step()
        return await original(*args, **more)

    setattr(owner, name, wrapped)


POINTS: dict[str, Callable[[Callable[[], None]], None]] = {
    "asked, not kept": lambda step: after(Microsoft, "subscribe", step),
    "kept, not used": lambda step: after(MicrosoftWatches, "_keep", step),
    "renewed, not kept": lambda step: after(Microsoft, "renew", step),
    "kept, not asked": lambda step: after(GoogleWatches, "_keep", step),
    "answered, not kept": lambda step: before(GoogleWatches, "_keep", step),
    "made, not stopped": lambda step: before(Google, "stop", step),
}


async def live(told: dict[str, str], point: str, nth: int, late: timedelta) -> None:
    POINTS[point](dying(nth))

    def now() -> datetime:
        return datetime.now(UTC) + late

    context = ssl.create_default_context(cafile=told["authority"])
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(Path(told["state"])))
        more = {
            "url": told["door"],
            "database": database,
            "hint": lambda _: None,
            "turned": lambda *_: None,
            "now": now,
            "luck": random.random,
        }
        watches: MicrosoftWatches | GoogleWatches
        if told["service"] == "microsoft":
            wire = await stack.enter_async_context(Wire(told["cloud"], context=context, pace=PACE))
            grant = client_secret("app-1", "s3cret", scope=Cloud.GLOBAL.scope)
            client = Microsoft(wire, token_source(wire, "contoso.example", grant), pace=PACE)
            kept = await rows(database, Service.MICROSOFT)
            watches = MicrosoftWatches(lambda: client, kept=kept, **more)  # type: ignore[arg-type]
        else:

            def dial(origin: str, *, throttled: Callable[[Answer], bool] = never) -> Wire:
                return Wire(origin, throttled=throttled, pace=PACE, context=context)

            origins = Origins(calendar=told["cloud"], directory=told["cloud"], mail=told["cloud"])
            google = await stack.enter_async_context(
                Google(
                    read_key(told["key"].encode()),
                    subject="admin@example.com",
                    origins=origins,
                    dial=dial,
                    now=now,
                )
            )
            kept = await rows(database, Service.GOOGLE)
            watches = GoogleWatches(lambda: google, kept=kept, **more)  # type: ignore[arg-type]
        await stack.enter_async_context(
            Listener(
                PushSite({watches.service: watches}),
                host="127.0.0.1",
                port=int(told["port"]),
                certificate=Path(told["certificate"]),
            )
        )
        watches.use(told["rooms"].split())
        await watches.run()


def main() -> None:
    watches_module.LONGEST_SLEEP_S = 0.05  # type: ignore[misc]
    said = json.loads(Path(sys.argv[1]).read_text())
    asyncio.run(live(said, said["point"], int(said["nth"]), timedelta(days=float(said["late_days"]))))


if __name__ == "__main__":
    main()
