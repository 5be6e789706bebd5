"""The site: many devices in one process, each at an address of its own, and the time that they share."""

import asyncio
import contextlib
import ipaddress
import itertools
import resource
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import asyncssh
import orjson

from tests.simulator.bookings import CalendarKind
from tests.simulator.certificates import Authority
from tests.simulator.clock import Clock, RunningClock, Schedule
from tests.simulator.device import Address, Device, Service
from tests.simulator.firmware import ALL_VERSIONS, VERSIONS, profile
from tests.simulator.flood import Flood
from tests.simulator.host_keys import host_key
from tests.simulator.ssh import serve
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
SERVICES: Final[tuple[Service, ...]] = ("websocket", "ssh", "http")
MIX: Final[tuple[tuple[Service, ...], ...]] = (SERVICES, ("ssh",), ("http",))
CONNECTIONS_WAITING: Final = 64
ETHERNET_BYTES: Final = 1460  # in a segment; with the 64 KiB of this machine, small buffers open late


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
        ssh_port: int = 0,
        self_signed: bool = False,
        user: str = "roomd",
        services: Sequence[Service] | Literal["mix"] | None = None,
        ids: Literal["numbers", "names"] = "numbers",
    ) -> None:
        """`profile` and `calendar` may be "mix", `profile` also "every": "mix" is what has WebSocket on.

        `services` are what every device offers; in a "mix" one offers all, the next SSH only, the third HTTP
        only; left out, as the firmware has it. Port 0 chooses one that is free at every address.
        """
        self.clock: Final = clock or RunningClock(speed=speed)
        self.schedule: Final = Schedule(self.clock)
        self.authority: Final = Authority()
        self.devices: list[Device] = []
        self._trusted: Final = self.authority.client_context()
        self.seed: Final = seed
        self.port = port
        self.ssh_port = ssh_port
        self._rooms: Final = rooms
        self._profiles: Final = _profiles(profile)
        self._calendar: Final = calendar
        self._base: Final = ipaddress.IPv4Address(address_base)
        self._self_signed: Final = self_signed
        self._user: Final = user
        self._services: Final = services
        self._ids: Final = ids
        self._doors: dict[Device, asyncio.AbstractServer] = {}
        self._ssh_doors: dict[Device, asyncssh.SSHAcceptor] = {}
        self._key_editions = itertools.count(1)
        self._tasks: Final = asyncio.TaskGroup()
        self._own: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._waiting = 0
        self.flood: Flood = Flood(())

    async def __aenter__(self) -> Self:
        _allow_many_files()
        web, self.port = self._bind_all(self.port)
        ssh, self.ssh_port = self._bind_all(self.ssh_port)
        for index, listening in enumerate(web):
            self.devices.append(self._build(index, listening.getsockname()[0]))
        for device, for_web, for_ssh in zip(self.devices, web, ssh, strict=True):
            await self._open(device, for_web)
            self._ssh_doors[device] = await serve(device, for_ssh)
            self._shut(device)
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
        for device in self.devices:
            device.on_door = lambda _: None
        self._close_doors()
        for device in self.devices:
            for line in list(device.visitors):
                line.drop()
        await self.until(lambda: not any(device.visitors for device in self.devices))
        for task in list(self._own):
            task.cancel()
        self._close_doors()
        if kind is asyncio.CancelledError:  # perhaps by a task of ours that failed
            await self._tasks.__aexit__(kind, error, trace)
        else:  # an error of the test's own stays what it is, and is not wrapped in a group
            await self._tasks.__aexit__(None, None, None)

    def own(self, work: Coroutine[None, None, None], *, name: str) -> None:
        """Something that runs as long as the site stands."""
        _ = self._start(work, name)

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = self._tasks.create_task(work, name=name)
        self._own.append(task)
        task.add_done_callback(self._own.remove)
        return task

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
        self._doors.pop(device).close()
        self._change_doors(device)

    def renew_host_key(self, device: Device) -> None:
        """New SSH connections see another key."""
        device.ssh_key = host_key(self.seed, device.index, next(self._key_editions))
        self._ssh_doors.pop(device).close()
        self._change_doors(device)

    def client_context(self) -> ssl.SSLContext:
        """Trusts the site's authority and nobody else."""
        return self.authority.client_context()

    def trust(self, pem: str) -> None:
        """The devices trust one more authority, besides the site's own, when they post HttpFeedback."""
        self._trusted.load_verify_locations(cadata=pem)

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
            "ssh_port": self.ssh_port,
            "seed": self.seed,
            "devices": [
                {
                    "room": device.room,
                    "name": device.name,
                    "host": device.host,
                    "port": device.port,
                    "url": device.url,
                    "ssh_port": device.ssh_port,
                    "host_key": device.host_key,
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
        """ca.pem, known_hosts and site.json, for those who come from outside."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "ca.pem").write_bytes(self.authority.pem)
        known = "".join(device.known_hosts for device in self.devices)
        (directory / "known_hosts").write_text(known, encoding="ascii")
        (directory / "site.json").write_bytes(orjson.dumps(self.describe(), option=orjson.OPT_INDENT_2))

    # Inside

    def _build(self, index: int, host: str) -> Device:
        name = f"{NAMES[index % len(NAMES)]} {index // len(NAMES) + 1}"
        room = f"room-{index + 1:04d}" if self._ids == "numbers" else name.lower().replace(" ", "-")
        kind = KINDS[index % len(KINDS)] if self._calendar == "mix" else self._calendar
        device = Device(
            index=index,
            address=Address(room=room, name=name, host=host, port=self.port, ssh_port=self.ssh_port),
            firmware=profile(self._profiles[index % len(self._profiles)]),
            kind=CalendarKind(kind),
            schedule=self.schedule,
            seed=self.seed,
            identity=self.authority.identify(host, self_signed=self._self_signed),
            ssh_key=host_key(self.seed, index),
            user=self._user,
            password=f"secret-{self.seed}-{index + 1:04d}",
        )
        if self._services is not None:
            offered = MIX[index % len(MIX)] if self._services == "mix" else self._services
            device.offer(**{service: service in offered for service in SERVICES})
        device.on_door = self._change_doors
        device.on_change = self._note
        device.slots.own = self._start
        device.slots.trust = lambda: self._trusted
        return device

    def _bind_all(self, port: int) -> tuple[list[socket.socket], int]:
        """One socket per device, all at the same port; 0 finds one."""
        hosts = [str(self._base + offset) for offset in range(self._rooms)]
        for last_try in (False, False, False, False, True):
            sockets: list[socket.socket] = []
            try:
                for host in hosts:
                    sockets.append(_listen(host, sockets[0].getsockname()[1] if sockets else port))
            except OSError:
                for opened in sockets:
                    opened.close()
                if port or last_try:
                    raise
            else:
                return sockets, sockets[0].getsockname()[1] if sockets else port
        raise AssertionError("unreachable")

    async def _open(self, device: Device, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._doors[device] = await loop.create_server(
            lambda: Line(device), sock=listening, ssl=device.identity.context, backlog=CONNECTIONS_WAITING
        )

    def _change_doors(self, device: Device) -> None:
        """Opens and closes what the device's state wants."""
        self._shut(device)
        if self._closed(device):
            self.own(self._reopen(device), name=f"doors of {device.room}")

    def _close_doors(self) -> None:
        for web in self._doors.values():
            web.close()
        for ssh in self._ssh_doors.values():
            ssh.close()

    def _shut(self, device: Device) -> None:
        if not device.open_to_web and (web := self._doors.pop(device, None)) is not None:
            web.close()
        if not device.open_to_ssh and (ssh := self._ssh_doors.pop(device, None)) is not None:
            ssh.close()

    def _closed(self, device: Device) -> bool:
        """Whether a door is shut that should be open."""
        return (device.open_to_web and device not in self._doors) or (
            device.open_to_ssh and device not in self._ssh_doors
        )

    async def _reopen(self, device: Device) -> None:
        for _ in range(100):
            with contextlib.suppress(OSError):  # the old socket may need a turn of the loop to close
                if device.open_to_web and device not in self._doors:
                    await self._open(device, _listen(device.host, device.port))
                if device.open_to_ssh and device not in self._ssh_doors:
                    self._ssh_doors[device] = await serve(device, _listen(device.host, device.ssh_port))
            self._shut(device)  # what was opened while it was switched off
            if not self._closed(device):
                return
            await asyncio.sleep(0.01)
        raise OSError(f"cannot listen at {device.host} again")

    def _note(self) -> None:
        if self._waiting:
            self._changed.set()


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET_BYTES)
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
    if wanted == "every":
        return tuple(reversed(ALL_VERSIONS.values()))
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def _allow_many_files() -> None:
    """A thousand listeners and as many connections need more than the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
