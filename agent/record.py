"""Keeps what a device says as a file that anybody may read: what `roomd record` does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import tzinfo
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from agent.clock import Clock
from agent.core.devices import furnish
from agent.core.events import DeviceConnected, DeviceLost, DeviceRefused, RoomEvent
from agent.core.facts import Step
from agent.core.model import Credential, Device, DeviceId, Policy, RoomId, Transport, Trust
from agent.pipeline import Pipeline
from agent.settings import FINGERPRINT, HOST_KEY, HTTPS_PORT, LINES, Configuration
from agent.signs import printable
from device_adapters import trust
from device_adapters.conversation import Dial
from device_adapters.http import Http
from device_adapters.lines import Lines
from device_adapters.link import Link, Surroundings
from device_adapters.recording import Recorder
from device_adapters.ssh import Shells
from device_adapters.websocket import WebSockets

LOOK_EVERY_S = 1.0
TELL_EVERY_S = 60.0  # where the telling is no terminal's


class CannotRecord(Exception):
    """There is nothing to record; `refused` if a person must act before there can be."""

    def __init__(self, why: str, *, refused: bool) -> None:
        super().__init__(why)
        self.refused = refused


# ── which device ──────────────────────────────────────────────────────────────────────────────────


class NoSuchDevice(ValueError):
    """What was named is no device, or cannot be dialled as it was described; the text says what to do."""


def configured(configuration: Configuration, name: str) -> Device:
    """The device of this id, room or host (or host:port); NoSuchDevice if there is none."""
    for device in configuration.devices:
        places = {device.id, device.host, f"{device.host}:{device.port}", f"[{device.host}]:{device.port}"}
        if name.lower() in {place.lower() for place in places}:
            return device
    for device in configuration.devices:
        if name.lower() == device.room:
            return device
    raise NoSuchDevice(
        f"{name!r} is no device, room or host in {configuration.file}: name one, or give --username"
    )


def described(host: str, *, username: str, password_file: Path, judged_by: Trust, ssh_port: int) -> Device:
    """A device at `host` or `host:port` that no configuration knows; NoSuchDevice if it cannot be one."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, HTTPS_PORT if parts.port is None else parts.port
        beside = parts.path or parts.query or parts.fragment or parts.username
    except ValueError:
        name, port, beside = None, 0, ""
    if not name or not port or beside:
        raise NoSuchDevice(f'{host!r} is no host: write it like "10.0.4.21" or "10.0.4.21:443"')
    if judged_by.fingerprint is not None and not re.match(FINGERPRINT, judged_by.fingerprint):
        raise NoSuchDevice('--fingerprint is none: write "sha256:" and 64 digits of 0-9 and a-f')
    if judged_by.host_key is not None and not re.match(HOST_KEY, judged_by.host_key):
        raise NoSuchDevice(
            '--host-key is none: write "SHA256:…" as `ssh-keyscan HOST | ssh-keygen -lf -` does'
        )
    return Device(
        id=DeviceId("recorded"),
        room=RoomId("recorded"),
        host=name,
        port=port,
        credential=Credential(username=username, password_file=password_file),
        trust=judged_by,
        ssh_port=ssh_port,
        transports=LINES,
    )


@contextlib.contextmanager
def kept_in_memory(password: str) -> Iterator[Path]:
    """A file with the password that is on no disk, and gone with the process."""
    number = os.memfd_create("password")
    try:
        os.write(number, password.encode())
        yield Path(f"/proc/self/fd/{number}")
    finally:
        os.close(number)


# ── hearing ───────────────────────────────────────────────────────────────────────────────────────


async def hear(
    device: Device,
    dial: Dial,
    *,
    tell: Callable[[Sequence[RoomEvent]], object],
    take: Callable[[Sequence[Step]], object],
    clock: Clock,
    timezone: tzinfo,
) -> None:
    """Talk to one device as the daemon would, for ever; `tell` gets what is heard, `take` what follows.

    The core is there because it is what asks for listings. Luck is even, so that two runs ask alike.
    """

    async def record(steps: Sequence[Step]) -> None:
        take(steps)

    async def deliver(room: RoomId, events: Sequence[RoomEvent]) -> None:
        tell(events)
        await pipeline.deliver(room, events)

    around = Surroundings(
        dial=dial,
        deliver=deliver,
        door=contextlib.nullcontext(),
        timezone=timezone,
        clock=clock.now,
        luck=lambda: 0.5,
    )
    link = Link(device, around)
    pipeline = Pipeline(
        [furnish(None, device.room, (device,), now=clock.now())],
        policy=Policy(timezone=timezone),
        clock=clock,
        record=record,
        ask=link.ask,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pipeline.run(), name="pipeline")
        tasks.create_task(pipeline.watch_the_clock(), name="clock")
        tasks.create_task(link.run(), name=f"device {device.id}")


# ── recording ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Heard:
    """What a recording holds, as far as it has come."""

    file: str
    seconds: float = 0.0
    transport: str | None = None
    product: str | None = None
    firmware: str | None = None
    lines: Counter[str] = field(default_factory=Counter)  # of the file, by what happened
    events: Counter[str] = field(default_factory=Counter)  # that came of it, by name
    facts: Counter[str] = field(default_factory=Counter)

    def told(self) -> dict[str, object]:
        """For machines."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __str__(self) -> str:
        """In a line."""
        lines = self.lines
        what = printable(self.product or "nobody")
        over = f" over {self.transport}" if self.transport else ""
        lost = f", {lines['lost']} times lost" if lines["lost"] else ""
        return (
            f"{self.seconds:.0f} s of {what}{over}: {lines['sent']} calls, {lines['reply']} answers, "
            f"{lines['refusal']} refusals, {lines['feedback']} told unasked{lost}; "
            f"{self.facts.total()} facts"
        )


async def record(
    device: Device,
    file: Path,
    *,
    minutes: float,
    overwrite: bool,
    timezone: tzinfo,
    say: Callable[[str], object],
    show: Callable[[Heard], object] | None = None,
) -> Heard:
    """Record a device for so many minutes, or until SIGINT or SIGTERM; what the file holds then.

    `say` is told what matters at once, `show` (a terminal) every second how far it has come. CannotRecord if
    the device cannot be heard at all; OSError if the file cannot be written.
    """
    began = time.monotonic()
    clock = Clock()
    heard = Heard(file=str(file))
    stop = asyncio.Event()
    failed: list[CannotRecord] = []
    known = False

    def tell(events: Sequence[RoomEvent]) -> None:
        nonlocal known
        for event in events:
            heard.events[type(event).__name__] += 1
            if isinstance(event, DeviceConnected):
                known = True
                say(printable(f"hearing {event.product}, {event.firmware}, over {event.transport}"))
            elif isinstance(event, DeviceLost | DeviceRefused):
                if not known:
                    refused = isinstance(event, DeviceRefused)
                    failed.append(CannotRecord(printable(event.why), refused=refused))
                    stop.set()
                    return
                say(printable(f"lost: {event.why}"))

    def take(steps: Sequence[Step]) -> None:
        heard.facts.update(fact.kind.value for step in steps for fact in step.facts)

    def look() -> Heard:
        heard.seconds = round(time.monotonic() - began, 3)
        heard.product, heard.firmware = recorder.product, recorder.firmware
        heard.transport, heard.lines = recorder.transport, recorder.counts
        return heard

    async def tell_the_progress() -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S if show else TELL_EVERY_S)
            (show or say)(look() if show else str(look()))  # type: ignore[arg-type]

    with _File(file, overwrite=overwrite) as written, _stopped_by_signals(stop):
        recorder = Recorder(
            lines(),
            written.write,
            began_at=clock.now(),
            elapsed=lambda: time.monotonic() - began,
            zones=frozenset(available_timezones()),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                hearing = tasks.create_task(
                    hear(device, recorder, tell=tell, take=take, clock=clock, timezone=timezone),
                    name="hearing",
                )
                progress = tasks.create_task(tell_the_progress(), name="progress")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(minutes * 60):
                        await stop.wait()
                for task in (hearing, progress):
                    task.cancel()
            recorder.end()
        except ExceptionGroup:
            if written.trouble is None:
                raise
            raise written.trouble from None
    if failed:
        raise failed[0]
    return look()


def lines() -> Lines:
    """All lines to devices, as a command uses them that hears devices itself: nobody can call it back."""
    contexts = trust.Contexts()
    return Lines(
        {
            Transport.WEBSOCKET: WebSockets(contexts=contexts),
            Transport.SSH: Shells(),
            Transport.HTTP: Http(contexts=contexts),
        }
    )


def only_over(device: Device, lines: tuple[Transport, ...] | None) -> Device:
    """The device, to be dialled over these lines and no other; None leaves it as it is."""
    return device if lines is None else replace(device, transports=lines)


@contextlib.contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for sign in signals:
        loop.add_signal_handler(sign, stop.set)
    try:
        yield
    finally:
        for sign in signals:
            loop.remove_signal_handler(sign)


class _File:
    """The file of a recording: made with its first line, for its owner alone, each line on its own."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} is there already: name another file, or give --force")
        if path.is_dir() or not os.access(path.absolute().parent, os.W_OK | os.X_OK):
            raise PermissionError(f"{path} cannot be written: name a file in a directory that is yours")
        self._path = path
        self._overwrite = overwrite
        self._file: BinaryIO | None = None
        self.trouble: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, line: bytes) -> None:
        """Write a line so that it is there if this process dies now; OSError if it cannot be."""
        try:
            if self._file is None:
                self._file = self._made()
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            self.trouble = error
            raise

    def _made(self) -> BinaryIO:
        if self._overwrite:
            self._path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.fdopen(os.open(self._path, flags, 0o600), "wb")


def on_a_terminal(heard: Heard) -> None:
    """Show how far it has come, in a line of standard error that is written over and over."""
    sys.stderr.write(f"\r\x1b[K{heard}")
    sys.stderr.flush()
