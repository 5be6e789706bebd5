"""A bare client for the tests of the simulator: it adds nothing and forgives nothing."""

import asyncio
import base64
import contextlib
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.simulator import Device, Site

WITHIN_S = 5.0


class Refusal(Exception):
    """An error reply."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.code = error["code"]
        self.data = error.get("data")


class Client:
    """Requests by hand; what arrives in between waits in `heard`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: deque[dict[str, Any]] = deque()
        self._ids = itertools.count(1)

    async def raw(self) -> str | bytes:
        async with asyncio.timeout(WITHIN_S):
            return await self.socket.recv()

    async def exchange(self, request: dict[str, Any]) -> str:
        """Sends a request as it is and returns the reply as it came."""
        await self.socket.send(json.dumps(request))
        while True:
            text = await self.raw()
            assert isinstance(text, str)
            message = json.loads(text)
            if "method" not in message:
                return text
            self.heard.append(message["params"])

    async def call(self, method: str, **params: object) -> Any:  # noqa: ANN401 -- as JSON has it
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        reply = json.loads(await self.exchange(request))
        assert reply["id"] == request["id"]
        if "error" in reply:
            raise Refusal(reply["error"])
        return reply["result"]

    async def get(self, *path: str | int) -> Any:  # noqa: ANN401 -- as JSON has it
        return await self.call("xGet", Path=list(path))

    async def command(self, name: str, **params: object) -> Any:  # noqa: ANN401 -- as JSON has it
        return await self.call("xCommand/" + name.replace(" ", "/"), **params)

    async def subscribe(self, *query: str | int, now: bool = False) -> int:
        reply = await self.call("xFeedback/Subscribe", Query=list(query), NotifyCurrentValue=now)
        number = reply["Id"]
        assert isinstance(number, int)
        return number

    async def feedback(self) -> dict[str, Any]:
        """The next feedback frame's params."""
        if self.heard:
            return self.heard.popleft()
        message = json.loads(await self.raw())
        assert message["method"] == "xFeedback/Event"
        params: dict[str, Any] = message["params"]
        return params

    async def all_feedback(self) -> list[dict[str, Any]]:
        """Everything that was sent until now: the order of frames makes a reply a marker."""
        await self.get("Status", "SystemUnit", "Uptime")
        heard = list(self.heard)
        self.heard.clear()
        return heard

    async def events(self) -> list[tuple[str, Any]]:
        """The Bookings events that were sent until now, by name and body."""
        return [item for params in await self.all_feedback() for item in bookings_in(params)]


def bookings_in(params: dict[str, Any]) -> list[tuple[str, Any]]:
    return list(params.get("Event", {}).get("Bookings", {}).items())


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def subprotocol(user: str, password: str) -> str:
    return "auth-" + base64.urlsafe_b64encode(f"{user}:{password}".encode()).decode().rstrip("=")


@contextlib.asynccontextmanager
async def dial(site: Site, device: Device | None = None, *, password: str = "") -> AsyncIterator[Client]:
    device = device or site.devices[0]
    async with connect(
        device.url,
        ssl=site.client_context(),
        additional_headers=basic(device.user, password or device.password),
        ping_interval=None,
        max_size=None,
        close_timeout=0.2,
    ) as socket:
        yield Client(socket)
