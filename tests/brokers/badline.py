"""A TCP line that can be cut, stopped, slowed and delayed, to put between any two that talk."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Self

from tests.brokers.crew import Crew
from tests.brokers.liar import reset
from tests.brokers.ports import free_port
from tests.brokers.waiting import SEEN_WITHIN_S, Changes

HOST = "127.0.0.1"
CHUNK = 16384
ON_THE_WAY = 256  # chunks that a delayed line holds before it makes the sender wait


class Way(Enum):
    UP = "up"  # from the one who dialled to the one who answers
    DOWN = "down"


@dataclass(slots=True, kw_only=True)
class _Call:
    near: asyncio.StreamWriter  # to the one who dialled
    far: asyncio.StreamWriter | None = None
    carried: dict[Way, int] = field(default_factory=lambda: dict.fromkeys(Way, 0))
    over: bool = False

    def cut(self) -> None:
        self.over = True
        reset(self.near)
        if self.far is not None:
            reset(self.far)


class BadLine:
    """Listens on a port of its own and passes bytes to `host`:`port`, TLS or not, as well as it is told to.

    Everything may be changed while calls are up.
    """

    def __init__(self, port: int, *, host: str = HOST) -> None:
        self.port = free_port()
        self.delay_s = 0.0  # each way
        self.bytes_per_s: float | None = None  # each way
        self.dialled = 0
        self.carried = dict.fromkeys(Way, 0)
        self._to = (host, port)
        self._server: asyncio.Server | None = None
        self._calls: list[_Call] = []
        self._paused = False
        self._cut_after: dict[Way, int] = {}
        self._crew = Crew()
        self._changes = Changes()

    @property
    def calls(self) -> int:
        return len(self._calls)

    async def __aenter__(self) -> Self:
        await self._crew.__aenter__()
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self.cut()
        await self._crew.__aexit__(kind, error, trace)

    async def until(self, predicate: Callable[[], object], *, within_s: float = SEEN_WITHIN_S) -> None:
        await self._changes.until(
            predicate, within_s=within_s, seen=lambda: f"{self.calls} calls, carried {self.carried}"
        )

    # ── faults

    def cut(self) -> None:
        """RST to both ends of every call; the next is put through."""
        for call in self._calls:
            call.cut()
        self._changes.happened()

    def cut_after(self, count: int, way: Way) -> None:
        """The next call is cut when it has carried so many bytes this way, and not one more."""
        self._cut_after[way] = count

    def pause(self) -> None:
        """A black hole: TCP stays up and new calls are accepted, but nothing comes through."""
        self._paused = True

    def resume(self) -> None:
        """What was under way in the hole comes through now."""
        self._paused = False
        self._changes.happened()

    def refuse(self) -> None:
        """Nobody listens; calls that are up stay up."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def listen(self) -> None:
        """Listens again, on the same port."""
        self._server = await asyncio.start_server(self._accept, HOST, self.port)

    # ── carrying

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dialled += 1
        call = _Call(near=writer)
        self._calls.append(call)
        limits, self._cut_after = self._cut_after, {}
        self._crew.start(self._carry(call, reader, limits), name=f"line-{self.dialled}")
        self._changes.happened()

    async def _carry(self, call: _Call, near: asyncio.StreamReader, limits: dict[Way, int]) -> None:
        try:
            await self._passable(call)
            far, call.far = await asyncio.open_connection(*self._to)
            if call.over:  # cut before we dialled, or meanwhile
                return
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass(call, near, call.far, Way.UP, limits.get(Way.UP)), name="up")
                ways.create_task(
                    self._pass(call, far, call.near, Way.DOWN, limits.get(Way.DOWN)), name="down"
                )
        except OSError:
            call.cut()  # nobody answers at the far end
        finally:
            self._calls.remove(call)
            self._changes.happened()
            for writer in (call.near, call.far):
                if writer is not None:
                    writer.close()
            for writer in (call.near, call.far):
                if writer is not None:
                    with suppress(OSError):
                        await writer.wait_closed()

    async def _pass(
        self,
        call: _Call,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        way: Way,
        limit: int | None,
    ) -> None:
        """One way, until its end; an end that is a reset ends the call."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(ON_THE_WAY)
        now = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self._write(call, chunks, writer, way, limit), name="write")
            try:
                while data := await reader.read(CHUNK):
                    await chunks.put((now() + self.delay_s, data))
            except OSError:
                call.cut()
                self._changes.happened()
            await chunks.put((now(), b""))

    async def _write(
        self,
        call: _Call,
        chunks: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        way: Way,
        limit: int | None,
    ) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due, data = await chunks.get()
            if not call.over:
                await asyncio.sleep(due - now())
                await self._passable(call)
            if not data:
                with suppress(OSError):
                    writer.write_eof()
                return
            if limit is not None:
                data = data[: limit - call.carried[way]]
            if call.over:
                continue  # nobody is there to take it
            try:
                await self._write_slowly(writer, data)
            except OSError:
                call.cut()
            call.carried[way] += len(data)
            self.carried[way] += len(data)
            if limit == call.carried[way]:
                call.cut()
            self._changes.happened()

    async def _passable(self, call: _Call) -> None:
        await self._changes.until(lambda: call.over or not self._paused, within_s=None)

    async def _write_slowly(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            step = len(data) if self.bytes_per_s is None else max(1, int(self.bytes_per_s / 20))
            if self.bytes_per_s is not None:
                await asyncio.sleep(min(step, len(data)) / self.bytes_per_s)
            writer.write(data[:step])
            await writer.drain()
            data = data[step:]
