"""The bad line is bad in just the way that it is told to be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.brokers import Authority, BadLine, Liar, Way
from tests.brokers.badline import HOST
from tests.brokers_tests.clients import paho, pub

pytestmark = pytest.mark.slow

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """Says everything back."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def dialled(line: BadLine) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection(HOST, line.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_what_goes_in_comes_out():
    data = bytes(range(256)) * 4000
    async with echo() as port, BadLine(port) as line, dialled(line) as (reader, writer):
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        assert line.carried == {Way.UP: len(data), Way.DOWN: len(data)}
        writer.write_eof()
        assert await reader.read() == b""
        await line.until(lambda: not line.calls)


async def test_tls_passes_through(tmp_path: Path):
    authority = Authority(tmp_path)
    async with Liar(tls=authority) as broker, BadLine(broker.port) as line:
        done = await pub(line.port, "--cafile", str(authority.ca_file), "-q", "1", "-t", "a", "-m", "x")
        assert done.code == 0


async def test_a_cut_is_felt_at_both_ends_and_the_next_call_comes_through():
    async with Liar() as broker, BadLine(broker.port) as line, paho(line.port, again=True) as client:
        await client.connected()
        line.cut()
        await client.until(lambda: client.lost)
        await broker.until(lambda: not broker.connections[0].alive)
        await broker.welcomed(2)
        assert line.dialled >= 2


async def test_a_black_hole_swallows_and_gives_back():
    async with echo() as port, BadLine(port) as line, dialled(line) as (reader, writer):
        line.pause()
        writer.write(b"word")
        async with dialled(line):  # is accepted
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.read(1)
        line.resume()
        assert await reader.readexactly(4) == b"word"


async def test_a_black_hole_can_be_cut():
    async with echo() as port, BadLine(port) as line, dialled(line) as (reader, writer):
        line.pause()
        writer.write(b"word")
        await line.until(lambda: line.calls)
        line.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await line.until(lambda: not line.calls)


async def test_a_delay_is_kept_each_way_and_not_for_every_byte():
    now = asyncio.get_running_loop().time
    async with echo() as port, BadLine(port) as line, dialled(line) as (reader, writer):
        line.delay_s = 0.1
        began = now()
        for _ in range(20):
            writer.write(b"x")
            await asyncio.sleep(0)
        await reader.readexactly(20)
        assert 0.2 <= now() - began < 2


async def test_a_throttle_slows():
    now = asyncio.get_running_loop().time
    async with echo() as port, BadLine(port) as line, dialled(line) as (reader, writer):
        line.bytes_per_s = 10_000
        began = now()
        writer.write(bytes(2000))
        await reader.readexactly(2000)
        assert 0.2 <= now() - began < 3


@pytest.mark.parametrize(("way", "echoed"), [(Way.UP, None), (Way.DOWN, 7)])
async def test_a_call_is_cut_after_so_many_bytes(way: Way, echoed: int | None):
    async with echo() as port, BadLine(port) as line:
        line.cut_after(7, way)
        async with dialled(line) as (reader, writer):
            writer.write(b"0123456789")
            heard = b""
            with pytest.raises(ConnectionResetError):  # noqa: PT012 (what was heard before the cut counts)
                while data := await reader.read(1):
                    heard += data
            assert line.carried[way] == 7
            if echoed is not None:
                assert len(heard) == echoed
        async with dialled(line) as (reader, writer):  # once only
            writer.write(b"0123456789")
            assert await reader.readexactly(10) == b"0123456789"


async def test_a_line_that_refuses_listens_again_on_the_same_port():
    async with echo() as port, BadLine(port) as line:
        line.refuse()
        with pytest.raises(ConnectionRefusedError):
            async with dialled(line):
                pass
        await line.listen()
        async with dialled(line) as (reader, writer):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"


async def test_where_nobody_answers_the_call_ends():
    async with echo() as port:
        pass
    async with BadLine(port) as line, dialled(line) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()
