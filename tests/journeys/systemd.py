"""What systemd hears from a service, at a socket of its own."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

HEARD_WITHIN_S: Final = 60.0
LONGEST_MESSAGE: Final = 4096


class Notified:
    """Everything that was said, in its order."""

    def __init__(self, path: Path, line: socket.socket) -> None:
        self.messages: Final[list[str]] = []
        self._path = path
        self._line = line

    def environment(self, *, watchdog_s: float | None = None) -> Mapping[str, str]:
        """As systemd gives it to a service."""
        watched = {} if watchdog_s is None else {"WATCHDOG_USEC": str(int(watchdog_s * 1e6))}
        return {"NOTIFY_SOCKET": str(self._path), **watched}

    async def hear(self) -> str:
        """The next message."""
        message = await asyncio.get_running_loop().sock_recv(self._line, LONGEST_MESSAGE)
        self.messages.append(message.decode())
        return self.messages[-1]

    async def listen(self) -> None:
        """Hear on, so that nobody waits for room in the queue."""
        while True:
            await self.hear()

    async def until(self, wanted: Callable[[str], object], *, within_s: float = HEARD_WITHIN_S) -> str:
        """The first of the next messages of which this is so."""
        async with asyncio.timeout(within_s):
            while not wanted(message := await self.hear()):
                pass
        return message

    async def silent_for(self, wanted: str, *, seconds: float, within_s: float) -> bool:
        """Whether systemd would act: this was not said for so long; looks no longer than the other."""
        loop = asyncio.get_running_loop()
        until_s, last_s = loop.time() + within_s, loop.time()
        while loop.time() < until_s:
            try:
                async with asyncio.timeout_at(last_s + seconds):
                    if await self.hear() == wanted:
                        last_s = loop.time()
            except TimeoutError:
                return True
        return False


@asynccontextmanager
async def notified() -> AsyncIterator[Notified]:
    with (
        tempfile.TemporaryDirectory(prefix="roomd-notify-") as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line,
    ):
        path = Path(name) / "notify"
        line.bind(str(path))
        line.setblocking(False)
        yield Notified(path, line)
