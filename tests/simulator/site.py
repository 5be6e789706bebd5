"""The site: many devices in one process, each at an address of its own, and the time that they share."""

import asyncio
import contextlib
import ipaddress
import resource
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import orjson

from tests.simulator.bookings import CalendarKind
from tests.simulator.certificates import Authority
from tests.simulator.clock import Clock, RunningClock, Schedule
from tests.simulator.device import Address, Device
from tests.simulator.firmware import VERSIONS, profile
from tests.simulator.flood import Flood
from tests.simulator.wire import Line

NAMES: Final = (
    "Heron",
    "Lark",
    "Wren",
    "Swift",
    "Robin",
    "Linnet",
    "Plover",
    "Dunlin",
    "Curlew",
    "Avocet",
    "Kestrel",
    "Merlin",
    "Hobby",
    "Osprey",
    "Tern",
    "Gannet",
    "Fulmar",
    "Puffin",
    "Eider",
    "Teal",
    "Wigeon",
    "Pintail",
    "Garganey",
    "Smew",
    "Siskin",
    "Serin",
    "Brambling",
    "Twite",
    "Redpoll",
    "Bunting",
)
KINDS: Final = ("hybrid", "hybrid", "on_device", "hybrid", "pushed")  # of each five devices in a mix
CONNECTIONS_WAITING: Final = 64


class Site:
    """`async with Site(rooms=3) as site: site.devices[0].count_people(4)`."""

    def __init__(
        self,
        rooms: int = 1,
        *,
        profile: str | Sequence[str] = "26.4.1",
        calendar: CalendarKind | str = "hybrid",
        seed: int = 7,
        clock: Clock | None = None,
        speed: float = 1.0,
        address_base: str = "127.1.0.1",
        port: int = 0,
        self_signed: bool = False,
        user: str = "roomd",
    ) -> None:
        """`profile` and `calendar` may be "mix"; port 0 chooses one that is free at every address."""
        self.clock: Final = clock or RunningClock(speed=speed)
        self.schedule: Final = Schedule(self.clock)
        self.authority: Final = Authority()
        self.devices: list[Device] = []
        self.seed: Final = seed
        self.port = port
        self._rooms: Final = rooms
        self._profiles: Final = _profiles(profile)
        self._calendar: Final = calendar
        self._base: Final = ipaddress.IPv4Address(address_base)
        self._self_signed: Final = self_signed
        self._user: Final = user
        self._doors: dict[Device, asyncio.AbstractServer] = {}
        self._tasks: Final = asyncio.TaskGroup()
        self._own: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._waiting = 0
        self.flood: Flood = Flood(())

    async def __aenter__(self) -> Self:
        _allow_many_files()
        sockets = self._bind_all()
        for index, listening in enumerate(sockets):
            self.devices.append(self._build(index, listening.getsockname()[0]))
        for device, listening in zip(self.devices, sockets, strict=True):
            await self._open(device, listening)
        self.flood = Flood(self.devices)
        await self._tasks.__aenter__()
        self.own(self.schedule.run(), name="schedule")
        self.own(self.flood.run(), name="flood")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for door in self._doors.values():
            door.close()
        for device in self.devices:
            for line in list(device.visitors):
                line.drop()
        await self.until(lambda: not any(device.visitors for device in self.devices))
        for task in list(self._own):
            task.cancel()
        if kind is asyncio.CancelledError:  # perhaps by a task of ours that failed
            await self._tasks.__aexit__(kind, error, trace)
        else:  # an error of the test's own stays what it is, and is not wrapped in a group
            await self._tasks.__aexit__(None, None, None)

    def own(self, work: Coroutine[None, None, None], *, name: str) -> None:
        """Something that runs as long as the site stands."""
        task = self._tasks.create_task(work, name=name)
        self._own.append(task)
        task.add_done_callback(self._own.remove)

    def device(self, room: str | int) -> Device:
        """By index, or by the name of its room."""
        if isinstance(room, int):
            return self.devices[room]
        for device in self.devices:
            if device.room == room:
                return device
        raise ValueError(f"no room {room}")

    def advance(self, seconds: float) -> None:
        """Lets time pass; needs a ManualClock."""
        self.schedule.advance(seconds)

    async def until(self, happened: Callable[[], bool], within_s: float = 5.0) -> None:
        """Waits for a connection, a subscription, a command, or any change of a device."""
        self._waiting += 1
        try:
            async with asyncio.timeout(within_s):
                while not happened():
                    self._changed.clear()
                    await self._changed.wait()
        finally:
            self._waiting -= 1

    def renew_certificate(self, device: Device, *, self_signed: bool | None = None) -> None:
        """New connections see another certificate, with another fingerprint."""
        alone = self._self_signed if self_signed is None else self_signed
        device.identity = self.authority.identify(device.host, self_signed=alone)
        self._close(device)
        self._move_door(device)

    def client_context(self) -> ssl.SSLContext:
        """Trusts the site's authority and nobody else."""
        return self.authority.client_context()

    def truth(self) -> list[dict[str, Any]]:
        return [device.truth() for device in self.devices]

    def census(self) -> dict[str, int]:
        """How many devices somebody is connected to, has subscribed at, and has asked for its bookings."""
        return {
            "devices": len(self.devices),
            "connected": sum(bool(device.lines) for device in self.devices),
            "subscribed": sum(device.subscriptions > 0 for device in self.devices),
            "listed": sum(bool(device.received("Bookings List")) for device in self.devices),
        }

    def describe(self) -> dict[str, Any]:
        """What site.json holds."""
        return {
            "port": self.port,
            "seed": self.seed,
            "devices": [
                {
                    "room": device.room,
                    "name": device.name,
                    "host": device.host,
                    "port": device.port,
                    "url": device.url,
                    "user": device.user,
                    "password": device.password,
                    "fingerprint": device.fingerprint,
                    "profile": device.profile,
                    "kind": str(device.kind),
                    "serial": device.serial,
                }
                for device in self.devices
            ],
        }

    def write(self, directory: Path) -> None:
        """ca.pem and site.json, for those who come from outside."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "ca.pem").write_bytes(self.authority.pem)
        (directory / "site.json").write_bytes(orjson.dumps(self.describe(), option=orjson.OPT_INDENT_2))

    # Inside

    def _build(self, index: int, host: str) -> Device:
        room = f"room-{index + 1:04d}"
        name = f"{NAMES[index % len(NAMES)]} {index // len(NAMES) + 1}"
        kind = KINDS[index % len(KINDS)] if self._calendar == "mix" else self._calendar
        device = Device(
            index=index,
            address=Address(room=room, name=name, host=host, port=self.port),
            firmware=profile(self._profiles[index % len(self._profiles)]),
            kind=CalendarKind(kind),
            schedule=self.schedule,
            seed=self.seed,
            identity=self.authority.identify(host, self_signed=self._self_signed),
            user=self._user,
            password=f"secret-{self.seed}-{index + 1:04d}",
        )
        device.on_door = self._change_door
        device.on_change = self._note
        return device

    def _bind_all(self) -> list[socket.socket]:
        hosts = [str(self._base + offset) for offset in range(self._rooms)]
        for last_try in (False, False, False, False, True):
            sockets: list[socket.socket] = []
            try:
                for host in hosts:
                    port = sockets[0].getsockname()[1] if sockets else self.port
                    sockets.append(_listen(host, port))
            except OSError:
                for opened in sockets:
                    opened.close()
                if self.port or last_try:
                    raise
            else:
                self.port = sockets[0].getsockname()[1] if sockets else self.port
                return sockets
        raise AssertionError("unreachable")

    async def _open(self, device: Device, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._doors[device] = await loop.create_server(
            lambda: Line(device), sock=listening, ssl=device.identity.context, backlog=CONNECTIONS_WAITING
        )

    def _close(self, device: Device) -> None:
        door = self._doors.pop(device, None)
        if door is not None:
            door.close()

    def _change_door(self, device: Device) -> None:
        if device.down == "refuse":
            self._close(device)
        elif not device.down and device not in self._doors:
            self._move_door(device)

    def _move_door(self, device: Device) -> None:
        self.own(self._reopen(device), name=f"door of {device.room}")

    async def _reopen(self, device: Device) -> None:
        for _ in range(100):
            with contextlib.suppress(OSError):  # the old socket may need a turn of the loop to close
                listening = _listen(device.host, device.port)
                await self._open(device, listening)
                return
            await asyncio.sleep(0.01)
        raise OSError(f"cannot listen at {device.host}:{device.port} again")

    def _note(self) -> None:
        if self._waiting:
            self._changed.set()


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(CONNECTIONS_WAITING)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _profiles(wanted: str | Sequence[str]) -> tuple[str, ...]:
    if wanted == "mix":
        return tuple(reversed(VERSIONS.values()))
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def _allow_many_files() -> None:
    """A thousand listeners and as many connections need more than the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
