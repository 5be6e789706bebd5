"""roomd is told to stop while everything moves, and twice at once in the same place: nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.brokers import Liar
from tests.brokers.crew import Crew
from tests.brokers.records import late
from tests.installation import ENDS_WITHIN_S
from tests.journeys.house import House, house
from tests.journeys.test_reload import text, without, write

pytestmark = pytest.mark.slow

ROOMS: Final = 6


@asynccontextmanager
async def flood(h: House) -> AsyncIterator[None]:
    """Every device tells something new all the time, and callers hang on the socket."""

    async def count(number: int) -> None:
        people = number
        while True:
            people = (people + 1) % 50
            h.devices[number].count_people(people)
            await asyncio.sleep(0.01)

    async def look() -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(h.installation.socket)
                with closing(writer):
                    writer.write(b'{"ask": "watch"}\n')
                    while await reader.readline():
                        pass
            await asyncio.sleep(0.05)

    async with Crew() as crew:
        for number in range(ROOMS):
            crew.start(count(number), name="flood")
        for _ in range(3):
            crew.start(look(), name="caller")
        yield


async def enough(h: House, events: int) -> None:
    await h.recorder.until(lambda: len(h.recorder.events) >= events, within_s=30.0)


async def test_a_stop_under_load_loses_nothing_and_a_second_one_changes_nothing(tmp_path: Path):
    async with house(tmp_path, rooms=ROOMS, forked=False) as h:
        await h.heard()
        async with flood(h):
            await enough(h, 100)
            write(h, without(text(h), "room-0006"))
            h.roomd.send(signal.SIGHUP)
            h.roomd.send(signal.SIGTERM)
            h.roomd.send(signal.SIGTERM)
            h.roomd.send(signal.SIGINT)
            assert await h.roomd.ended(within_s=ENDS_WITHIN_S) == 0
        assert "roomd.stopped" in h.roomd.log
        status = await h.status(lambda status: status["state"] == "offline")
        assert status["reason"] == "stop"
        assert not h.installation.socket.exists()
        await h.start()
        await h.heard(*h.devices[:5])
        await h.delivered()


async def test_a_broker_that_takes_its_time_does_not_hold_up_a_stop(tmp_path: Path):
    liar = Liar()
    async with house(tmp_path, rooms=ROOMS, broker=liar, forked=False) as h:
        await h.heard()
        liar.pubacks = late(3.0)
        before = len(liar.received)
        async with flood(h):
            await liar.until(lambda: len(liar.received) > before + 10)
            assert await h.roomd.stop(within_s=ENDS_WITHIN_S) == 0
        liar.pubacks = late(0.0)
        await h.start()
        await h.delivered(within_s=60.0)


async def another(h: House, **environment: str) -> tuple[int, str]:
    """Start a second one on the same files; how it ended, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *h.installation.command("run"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **h.installation.environment, **environment},
    )
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_a_second_one_is_refused_in_words_and_the_first_does_not_notice(tmp_path: Path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        code, said = await another(h)
        assert code == os.EX_TEMPFAIL
        assert f"process {h.roomd.pid}" in said
        code, said = await another(h, ROOMD_AGENT__STATE_DIRECTORY=str(tmp_path / "elsewhere"))
        assert code == os.EX_TEMPFAIL
        assert "another roomd answers there" in said
        device.count_people(3)
        await h.counted(device, 3)
        assert h.roomd.running
        await h.roomd.kill()  # what it left behind stops nobody
        assert h.installation.socket.is_socket()
        assert (h.installation.state / "roomd.lock").exists()
        await h.start()
        device.count_people(4)
        await h.counted(device, 4)
        await h.delivered()
