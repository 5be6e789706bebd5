"""`make demo`: a broker, a simulated site of twelve rooms and roomd, live in the terminal until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console

from agent.console import show_live
from agent.local_api import DaemonAbsent, ask
from tests.brokers.mosquitto import Mosquitto, free_port
from tests.installation import ENDS_WITHIN_S, install, site_of

ROOMS = 12
STARTS_WITHIN_S = 20.0
LOOK_EVERY_S = 0.1
ZONE = ZoneInfo("Europe/Oslo")


async def demo() -> int:
    """Start everything, show it until somebody has seen enough, stop everything."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, stop.set)
    say("a broker …")
    with tempfile.TemporaryDirectory(prefix="roomd-demo-") as name:
        directory = Path(name)
        async with Mosquitto(directory, persistence=True) as broker:
            say(f"a site of {ROOMS} rooms …")
            async with simulator(directory):
                installation = install(
                    directory / "roomd",
                    devices=site_of(directory),
                    broker_url=broker.url,
                    device_ca=directory / "ca.pem",
                    feedback=f"127.0.0.1:{free_port()}",
                )
                say("roomd …")
                async with installation.running() as daemon:
                    try:
                        await until_stopped(stop, daemon, watch(installation.socket))
                    finally:
                        say("stopping …")
                    if daemon.returncode is not None:
                        sys.stderr.write(installation.log.read_text(encoding="utf-8"))
                        return 1
    say("everything is stopped")
    return 0


async def until_stopped(
    stop: asyncio.Event, daemon: asyncio.subprocess.Process, shown: Coroutine[object, object, None]
) -> None:
    """Show the site until Ctrl-C, or until the daemon ends by itself."""
    async with asyncio.TaskGroup() as tasks:
        view = tasks.create_task(shown, name="view")
        ended = tasks.create_task(daemon.wait(), name="daemon")
        stopped = tasks.create_task(stop.wait(), name="stop")
        await asyncio.wait({ended, stopped, view}, return_when=asyncio.FIRST_COMPLETED)
        for task in (view, ended, stopped):
            task.cancel()


async def watch(socket: Path) -> None:
    """The live view, as soon as the daemon answers."""
    async with asyncio.timeout(STARTS_WITHIN_S):
        while not socket.exists():  # noqa: ASYNC110  another process makes it
            await asyncio.sleep(LOOK_EVERY_S)
    with contextlib.suppress(DaemonAbsent):
        await show_live(ask(socket, "watch"), Console(), zone=ZONE)


@asynccontextmanager
async def simulator(directory: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The simulated site in a process of its own, from when it is ready."""
    options = arguments or ("--rooms", str(ROOMS), "--script", "demo", "--services", "mix")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.simulator",
        *options,
        "--port",
        "0",
        "--directory",
        str(directory),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the demo, which stops the rest in order
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(STARTS_WITHIN_S):
            while not (line := await process.stdout.readline()).startswith(b"ready"):
                if not line:
                    raise RuntimeError("the simulated site did not start")
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(ENDS_WITHIN_S):
                await process.wait()


def say(what: str) -> None:
    """A short line of progress."""
    sys.stderr.write(f"demo: {what}\n")


if __name__ == "__main__":
    sys.exit(asyncio.run(demo()))
