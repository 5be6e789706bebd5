"""Cisco's xows (WebSocket, Basic) works a device and tells, one JSON object per line, what it saw."""

import asyncio
import json
import sys
from collections.abc import Awaitable

import xows


def tell(step: str, value: object) -> None:
    sys.stdout.write(json.dumps({"step": step, "value": value}) + "\n")
    sys.stdout.flush()


async def refusal(call: Awaitable[object]) -> int | None:
    """The kind of error, as the code that xows has translated it from."""
    try:
        await call
    except xows.XoWSError as error:
        codes: dict[type[Exception], int] = {kind: code for code, kind in xows.EXCEPTION_TYPES.items()}
        return codes[type(error)]
    return None


async def work(url: str, user: str, password: str) -> None:
    heard: list[dict[str, object]] = []
    enough = asyncio.Event()

    def note(params: dict[str, object], subscription: int) -> None:
        tree: object = params
        path: list[str] = []
        while isinstance(tree, dict) and len(tree) == 1 and len(path) < 4:
            [(step, tree)] = tree.items()
            path.append(step)
        heard.append({"name": names.get(tuple(path[:4])), "value": tree})
        if set(names.values()) <= {one["name"] for one in heard}:
            enough.set()

    names = {
        ("Status", "RoomAnalytics", "PeopleCount", "Current"): "people",
        ("Status", "Conference", "Presentation", "LocalInstance"): "sharing",
        ("Event", "Bookings", "BookingCreated"): "created",
        ("Event", "Bookings", "Updated"): "updated",
    }
    async with xows.XoWSClient(f"{url}/ws", user, password) as client:
        tell("uptime", await client.xGet(["Status", "SystemUnit", "Uptime"]))
        tell("analytics", await client.xGet(["Status", "RoomAnalytics"]))
        tell("query", await client.xQuery(["Status", "**", "DisplayName"]))
        tell("set", await client.xSet(["Configuration", "Time", "Zone"], "Europe/Oslo"))
        tell("zone", await client.xGet(["Configuration", "Time", "Zone"]))
        tell("empty", await client.xCommand(["Bookings", "List"], Days=1))
        tell("refused", await refusal(client.xCommand(["Bookings", "Celebrate"])))
        tell("invalid", await refusal(client.xCommand(["Bookings", "List"], Weeks=1)))
        subscriptions = [await client.subscribe(list(path), note) for path in names]
        tell("listening", len(subscriptions))
        tell("booked", await client.xCommand(["Bookings", "Book"], Title="Judged", Duration=15))
        await enough.wait()
        tell("heard", heard)
        tell("listed", await client.xCommand(["Bookings", "List"], Days=1))
        tell("unsubscribed", await client.unsubscribe(subscriptions[0]))
    tell("done", True)


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:4]))
