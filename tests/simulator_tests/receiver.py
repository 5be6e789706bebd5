"""A receiver of HttpFeedback for the tests of the simulator: keeps every post and answers as it is told."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

WITHIN_S = 5.0


@dataclass(slots=True)
class Post:
    target: str
    headers: dict[str, str]
    body: bytes
    sender: str  # the address it came from

    @property
    def json(self) -> Any:  # noqa: ANN401 -- as JSON has it
        return json.loads(self.body)


@dataclass(slots=True)
class Receiver:
    url: str
    status: int = 200
    connections: int = 0
    posts: list[Post] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self, number: int = 1) -> Post:
        """The n-th post."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.posts) < number:
                self.came.clear()
                await self.came.wait()
        return self.posts[number - 1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                pairs = [line.partition(":") for line in head[1:] if line]
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                body = await reader.readexactly(int(headers["content-length"]))
                sender = writer.get_extra_info("peername")[0]
                self.posts.append(Post(head[0].split()[1], headers, body, sender))
                self.came.set()
                writer.write(f"HTTP/1.1 {self.status} So\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@contextlib.asynccontextmanager
async def receiving(context: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver("")
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=context, limit=64 * 1024 * 1024)
    scheme = "https" if context else "http"
    receiver.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret?x=1"
    async with server:
        yield receiver
        server.close()
