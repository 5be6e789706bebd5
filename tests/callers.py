"""A caller at one of the house's doors, by hand: what it writes, byte for byte, and what it is told."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import trustme


class Caller:
    """A connection to a door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def says(self, data: bytes) -> bytes:
        """What is answered to it, up to the end of its head."""
        self.writer.write(data)
        return await self.reader.readuntil(b"\r\n\r\n")

    async def status(self, data: bytes) -> int:
        return int((await self.says(data)).split()[1])

    async def end(self) -> bytes:
        """What is said until the other side hangs up."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read()
        return b""


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])


@contextlib.asynccontextmanager
async def calling(url: str, context: ssl.SSLContext | None = None) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url), ssl=context)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def request(
    url: str, body: bytes = b"", *, method: str = "POST", head: str = "", length: int | None = None
) -> bytes:
    path = "/" + url.split("/", 3)[3]
    size = len(body) if length is None else length
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n{head}\r\n".encode() + body


@contextlib.asynccontextmanager
async def silent(url: str, number: int) -> AsyncIterator[Callable[[], int]]:
    """So many connections from one address that say nothing; those that are still open."""
    lines = [
        await asyncio.open_connection("127.0.0.1", port_of(url), local_addr=("127.0.0.9", 0))
        for _ in range(number)
    ]
    try:
        yield lambda: sum(not reader.at_eof() for reader, _ in lines)
    finally:
        for _, writer in lines:
            writer.close()


async def becomes(count: Callable[[], object], wanted: object, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while count() != wanted:  # noqa: ASYNC110 - the other side does it
            await asyncio.sleep(0.005)


def certified(directory: Path) -> tuple[ssl.SSLContext, dict[str, Any]]:
    """A context that believes a door, and the options that make it that one."""
    authority = trustme.CA()
    identity = authority.issue_cert("127.0.0.1")
    certificate, key = directory / "door.pem", directory / "door.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in identity.cert_chain_pems))
    identity.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context, {"certificate": certificate, "key": key}
