"""`make demo`: a broker, a simulated site, a tenant and roomd, live in the terminal until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.text import Text

from agent.asking import DaemonAbsent, ask
from agent.console import FACTS_KEPT, show_live
from tests.brokers.mosquitto import Mosquitto
from tests.brokers.ports import free_port
from tests.installation import ENDS_WITHIN_S, Installation, install, site_of
from tests.outlook import Outlook, a_day_at_desks, first_meetings
from tests.simulator.control import Remote, remote

ROOMS = 12  # with a device each; the last of them is booked in Outlook alone
BARE, BARE_NAME = "library", "Library"  # has no device
STARTS_WITHIN_S = 20.0
LOOK_EVERY_S = 0.1
ZONE = ZoneInfo("Europe/Oslo")
HOLD_EVERY_S = 45.0
SHOWN_WITHIN_S = 15.0
READ_IN_S = 8.0  # somebody comes in, reads it and answers
GUESTS = ("Ada Lovelace", "Niels Abel", "Grace Hopper", "Emmy Noether")
ANSWERS = ("I'm here", "Release it")


async def demo() -> int:
    """Start everything, show it until somebody has seen enough, stop everything."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the last one: the terminal was closed
        loop.add_signal_handler(sign, stop.set)
    say("a broker …")
    with tempfile.TemporaryDirectory(prefix="roomd-demo-") as name:
        directory = Path(name)
        async with Mosquitto(directory, persistence=True) as broker:
            say(f"a site of {ROOMS} rooms …")
            async with simulator(directory) as screens:
                devices = site_of(directory)
                equipped = devices[-1]
                outlook = Outlook(
                    {BARE: BARE_NAME, equipped["room"]: equipped["name"]}, door_port=free_port()
                )
                page = f"127.0.0.1:{free_port()}"
                installation = install(
                    directory / "roomd",
                    devices=devices,
                    broker_url=broker.url,
                    device_ca=directory / "ca.pem",
                    feedback=f"127.0.0.1:{free_port()}",
                    page=f'listen = "{page}"',
                    tables=outlook.tables(directory / "roomd"),
                    bare=[(BARE, BARE_NAME)],
                )
                say(f"a Microsoft 365 tenant with two rooms, {equipped['name']} and {BARE_NAME} …")
                say("roomd …")
                told = Told()
                note = (
                    f"The page: http://{page}/ and for a wall http://{page}/?kiosk\n"
                    f"The rooms' screens: {screens}\n"
                    f"To look and order from another shell: export ROOMD_CONFIG={installation.config}\n"
                    f"and then .venv/bin/roomd calendars, link, doctor, hold {devices[0]['room']} --for 15m …"
                )
                say(note.replace("\n", "\ndemo: "))
                async with remote(str(directory / "control")) as webex:
                    await first_meetings(outlook, webex, bare=BARE, equipped=equipped["room"])
                async with outlook.open(), installation.running() as daemon:
                    try:
                        scene = play(installation, directory / "control", outlook, equipped["room"], told)
                        view = watch(installation.socket, note, told.among)
                        await until_stopped(stop, daemon, view, scene)
                    finally:
                        for line in told.all:  # the live view had the terminal
                            say(line)
                        say("stopping …")
                    if daemon.returncode is not None:
                        sys.stderr.write(installation.log.read_text(encoding="utf-8"))
                        return 1
    say("everything is stopped")
    return 0


async def until_stopped(
    stop: asyncio.Event,
    daemon: asyncio.subprocess.Process,
    shown: Coroutine[object, object, None],
    scene: Coroutine[object, object, None],
) -> None:
    """Show the site until Ctrl-C, or until the daemon ends by itself."""
    async with asyncio.TaskGroup() as tasks:
        view = tasks.create_task(shown, name="view")
        played = tasks.create_task(scene, name="scene")
        ended = tasks.create_task(daemon.wait(), name="daemon")
        stopped = tasks.create_task(stop.wait(), name="stop")
        await asyncio.wait({ended, stopped, view}, return_when=asyncio.FIRST_COMPLETED)
        for task in (view, played, ended, stopped):
            task.cancel()


class Told:
    """What people did who are not in the rooms: among the facts, and in full afterwards."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self.among: deque[Text] = deque(maxlen=FACTS_KEPT)

    def append(self, line: str) -> None:
        self.all.append(line)
        self.among.append(Text(f"{datetime.now(ZONE):%H:%M:%S}  {line}", style="bold cyan"))


async def watch(socket: Path, note: str, among: deque[Text]) -> None:
    """The live view, as soon as the daemon answers."""
    async with asyncio.timeout(STARTS_WITHIN_S):
        while not socket.exists():  # noqa: ASYNC110  another process makes it
            await asyncio.sleep(LOOK_EVERY_S)
    with contextlib.suppress(DaemonAbsent):
        await show_live(ask(socket, "watch"), Console(), zone=ZONE, note=note, passed=among)


async def play(
    installation: Installation, control: Path, outlook: Outlook, equipped: str, told: Told
) -> None:
    """What people do who are not in the rooms, for ever."""
    async with remote(str(control)) as site, remote(str(control)) as webex, asyncio.TaskGroup() as people:
        while (await site.ask("census"))["listed"] < ROOMS:  # noqa: ASYNC110  another process says so
            await asyncio.sleep(LOOK_EVERY_S)
        desks = a_day_at_desks(outlook, webex, bare=BARE, equipped=equipped, told=told)
        people.create_task(desks, name="desks")
        people.create_task(hold_rooms(installation, site, told), name="holds")


async def hold_rooms(installation: Installation, site: Remote, told: Told) -> None:
    """Now and then a room is held by the real command line, and somebody answers on its screen."""
    for guest, option in zip(cycle(GUESTS), cycle((1, 1, 2)), strict=False):
        room = await free_room(site)
        if room is not None:
            told.append(await hold(installation, room, guest))
            if await shown_in(site, room):
                await asyncio.sleep(READ_IN_S)
                try:
                    await site.ask("answer_prompt", room=room, option=option)
                    told.append(f"{room}: somebody pressed {ANSWERS[option - 1]!r}")
                except ValueError as error:  # the day went on meanwhile: a meeting began, or a call
                    told.append(f"{room}: nobody could answer: {error}")
        await asyncio.sleep(HOLD_EVERY_S)


async def hold(installation: Installation, room: str, guest: str) -> str:
    """What a person at the machine would type; returns what the command says."""
    answers = (word for answer in ANSWERS for word in ("--answer", answer))
    text = f"For {guest}, who is on the way"
    _, out, err = await installation.ask(
        *("hold", room, "--for", "15m", "--title", "Held", "--text", text, *answers),
        *("--on", "screen,led", "--wake"),
    )
    return (out or err).strip()


async def free_room(site: Remote) -> str | None:
    """The room that is free for longest, of those that are empty of calls and messages."""
    free: dict[str, str] = {}
    for room in await site.ask("truth"):
        taken = any(booking["started"] and not booking["ended"] for booking in room["bookings"])
        if not (taken or room["calls"] or room["sharing"] or room["screen"]["OSD"]["messages"]):
            ahead = (booking["start"] for booking in room["bookings"] if not booking["ended"])
            free[room["room"]] = min(ahead, default="later")  # which sorts behind every time
    return max(free, key=lambda room: free[room], default=None)


async def shown_in(site: Remote, room: str) -> bool:
    """Whether a prompt comes up there."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SHOWN_WITHIN_S):
            while not prompts(await site.ask("screen", room=room)):  # noqa: ASYNC110  likewise
                await asyncio.sleep(LOOK_EVERY_S)
            return True
    return False


def prompts(screen: Mapping[str, Any]) -> bool:
    """Whether somebody on the screen can read a prompt."""
    return any(message["kind"] == "Prompt" and message["seen"] for message in screen["OSD"]["messages"])


@asynccontextmanager
async def simulator(directory: Path) -> AsyncIterator[str]:
    """The simulated site in a process of its own, from when it is ready; the address of its screens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.simulator", "--rooms", str(ROOMS), "--script", "demo", "--services", "mix"),
        *("--unbooked", "1", "--ids", "names"),
        *("--port", "0", "--pages", "0", "--control", str(directory / "control")),
        *("--directory", str(directory)),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the demo, which stops the rest in order
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(STARTS_WITHIN_S):
            while not (line := await process.stdout.readline()).startswith(b"ready"):
                if not line:
                    raise RuntimeError("the simulated site did not start")
        yield line.decode().split()[-1].removeprefix("screens=")
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
