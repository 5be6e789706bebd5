"""A small Debian of its own, with systemd: booted, asked, cut from its power, and gone without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

REPOSITORY: Final = Path(__file__).parents[2]
BOOTED_WITHIN_S: Final = 60.0
ANSWERS_WITHIN_S: Final = 180.0
LOOK_EVERY_S: Final = 0.1
TOLD: Final = 2000  # letters of what went wrong


class CannotBoot(Exception):
    """There is no machine to be had here, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}: {self.out[-TOLD:]}{self.err[-TOLD:]}"


class Failed(AssertionError):
    """A command failed that should not."""


class Machine:
    """`async with` boots it; `run` is a root shell's command in it."""

    def __init__(self, archive: Path, directory: Path, *, devices: int) -> None:
        """`archive` is of scripts/machine-install; `devices` addresses are free for those on its network."""
        number = os.getpid() % 200 + 20
        self.root: Final = directory / "root"
        self.name: Final = f"roomd-{os.getpid()}"
        self.address: Final = f"10.231.{number}.2"
        self.gateway: Final = f"10.231.{number}.1"  # this side
        self.devices_from: Final = f"10.231.{number}.10"
        self._devices: Final = devices
        self._archive: Final = archive
        self._log: Final = directory / "boot.log"
        self._container: asyncio.subprocess.Process | None = None
        self._pid = 0

    async def __aenter__(self) -> Self:
        try:
            await self._network()
            self.root.mkdir(parents=True)
            await _here("tar", "-xf", str(self._archive), "-C", str(self.root))
            (self.root / "etc/machine-id").write_text("")
            (self.root / "etc/resolv.conf").unlink(missing_ok=True)
            await self.boot()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(self._end())

    # ── power

    async def boot(self) -> None:
        """Returns when everything that starts by itself has started, or failed to."""
        with self._log.open("ab") as log:
            self._container = await asyncio.create_subprocess_exec(
                *("systemd-nspawn", "-q", "-D", str(self.root), "-M", self.name, "-b"),
                f"--network-namespace-path=/run/netns/{self.name}",
                *("--register=no", "--keep-unit", "--console=pipe"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(BOOTED_WITHIN_S):
                while True:
                    said = await self._state()
                    if said in {"running", "degraded"}:
                        return
                    if self._container.returncode is not None:
                        raise CannotBoot(f"systemd-nspawn ended at once: {self._log.read_text()[-TOLD:]}")
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise CannotBoot(
                f"not up within {BOOTED_WITHIN_S:g} s: {self._log.read_text()[-TOLD:]}"
            ) from None

    async def _state(self) -> str:
        assert self._container is not None
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self._container.pid).children()
            if children:
                self._pid = children[0].pid
                return (await self.run("systemctl", "is-system-running", fails=True)).out.strip()
        return ""

    async def cut_power(self) -> None:
        """Nothing in it has a chance to do anything."""
        os.kill(self._pid, signal.SIGKILL)
        await self._gone()

    async def reboot(self) -> None:
        """As a person does it: everything is told to stop first."""
        await self.run("systemctl", "reboot", fails=True)
        await self._gone()
        await self.boot()

    async def _gone(self) -> None:
        assert self._container is not None
        async with asyncio.timeout(BOOTED_WITHIN_S):
            await self._container.wait()

    # ── what is done in it

    async def run(self, *command: str, fails: bool = False, told: str = "") -> Said:
        """What it says; raises `Failed` unless it may fail. `told` is its standard input."""
        process = await asyncio.create_subprocess_exec(
            *("nsenter", "-t", str(self._pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"),
            *("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "COLUMNS=80"),
            *("DEBIAN_FRONTEND=noninteractive", *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                out, err = await process.communicate(told.encode())
        except TimeoutError:
            raise Failed(f"{' '.join(command)}: not over within {ANSWERS_WITHIN_S:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        said = Said(
            code=process.returncode or 0,
            out=out.decode(errors="replace"),
            err=err.decode(errors="replace"),
        )
        if said.code != 0 and not fails:
            raise Failed(f"{' '.join(command)}: {said}")
        return said

    async def shown(self, unit: str, *properties: str) -> dict[str, str]:
        """What systemd knows of a unit."""
        said = await self.run("systemctl", "show", unit, *(f"--property={each}" for each in properties))
        return dict(line.split("=", 1) for line in said.out.splitlines() if "=" in line)

    async def log_of(self, unit: str) -> str:
        """Its lines in the journal, of all boots."""
        return (await self.run("journalctl", "--no-pager", "-o", "cat", f"--unit={unit}")).out

    async def until(
        self, what: str, true: Callable[[dict[str, str]], bool], *, within_s: float = 60.0
    ) -> None:
        """Until roomd's unit is so; looks often."""
        names = ("ActiveState", "SubState", "MainPID", "NRestarts", "Result", "ExecMainStatus", "StatusText")
        seen: dict[str, str] = {}
        try:
            async with asyncio.timeout(within_s):
                while True:
                    seen = await self.shown("roomd.service", *names)
                    if true(seen):
                        return
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            log = (await self.log_of("roomd.service"))[-TOLD:]
            raise AssertionError(f"{what}: not within {within_s:g} s; {seen}\n{log}") from None

    # ── inside

    async def _network(self) -> None:
        """One cable between it and us, and addresses at our end for devices."""
        here = f"r{os.getpid()}"
        first = int(self.devices_from.rpartition(".")[2])
        net = self.gateway.rpartition(".")[0]
        await _here("ip", "netns", "add", self.name)
        await _here("ip", "link", "add", here, "type", "veth", "peer", "name", "host0", "netns", self.name)
        for last in (1, *range(first, first + self._devices)):
            await _here("ip", "address", "add", f"{net}.{last}/24", "dev", here)
        await _here("ip", "link", "set", here, "up")
        await _here("ip", "-n", self.name, "address", "add", f"{self.address}/24", "dev", "host0")
        for device in ("host0", "lo"):
            await _here("ip", "-n", self.name, "link", "set", device, "up")

    async def _end(self) -> None:
        if self._container is not None and self._container.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                if self._pid:
                    os.kill(self._pid, signal.SIGKILL)
                self._container.kill()
            await self._container.wait()
        with contextlib.suppress(Failed):
            await _here("ip", "netns", "delete", self.name)  # and with it the cable
        shutil.rmtree(self.root, ignore_errors=True)


async def _here(*command: str) -> str:
    """What it says; raises `Failed`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise Failed(f"{' '.join(command)}: {err.decode(errors='replace')[-TOLD:]}")
    return out.decode()


async def archive_of(release: str) -> Path:
    """The root file system; made once, with the programs that boot it. Raises `CannotBoot`."""
    if os.geteuid() != 0:
        raise CannotBoot("only root can boot a machine: run the proof as root, or with sudo")
    try:
        return Path((await _here("scripts/machine-install", release)).strip())
    except Failed as error:
        raise CannotBoot(str(error)) from None


async def packages(release: str, directory: Path) -> tuple[Path, Path]:
    """The package for this release as this tree makes it; and the same as a later version."""
    await _here("scripts/deb", "--release", release, "--output", str(directory))
    (package,) = directory.glob("*.deb")
    opened = directory / "opened"
    await _here("dpkg-deb", "--raw-extract", str(package), str(opened))
    control = opened / "DEBIAN/control"
    named = next(line for line in control.read_text().splitlines() if line.startswith("Version: "))
    control.write_text(control.read_text().replace(named, named.replace("-1~", "-2~")))
    later = directory / package.name.replace("-1~", "-2~")
    await _here("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(opened), str(later))
    shutil.rmtree(opened)
    return package, later
