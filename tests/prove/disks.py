"""Disks to be filled and broken: a small one in memory, and one that the kernel makes read-only."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

SMALL: Final = "24m"
FRAGILE_BYTES: Final = 64 * 1024 * 1024
FILLED_BY: Final = 1 << 16


class CannotMount(Exception):
    """Not root, or a kernel without it."""


async def run(*command: str) -> str:
    """Runs it to its end. Raises `CannotMount` with what it complained of."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except FileNotFoundError as error:
        raise CannotMount(f"{command[0]} is not installed") from error
    out, _ = await process.communicate()
    if process.returncode:
        raise CannotMount(f"{' '.join(command)}: {out.decode(errors='replace').strip()}")
    return out.decode(errors="replace")


def _must_be_root() -> None:
    if os.geteuid():
        raise CannotMount("needs root to mount a disk of its own")


@asynccontextmanager
async def small(where: Path) -> AsyncIterator[None]:
    """A disk of a few megabytes."""
    _must_be_root()
    where.mkdir(parents=True)
    await run("mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=0755", "roomd-prove", str(where))
    try:
        yield
    finally:
        await asyncio.shield(_unmount(where))


def fill(where: Path) -> None:
    """To the last byte."""
    with (where / "filler").open("ab", buffering=0) as file:
        size = FILLED_BY
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2


def empty(where: Path) -> None:
    (where / "filler").unlink(missing_ok=True)


class Fragile:
    """A file system in a file, which can be broken and mended."""

    def __init__(self, where: Path, image: Path) -> None:
        self.where: Final = where
        self._image: Final = image

    async def mount(self, how: str = "rw") -> None:
        await run("mount", "-o", f"loop,errors=remount-ro,{how}", str(self._image), str(self.where))

    async def break_it(self) -> None:
        """The kernel believes that the disk is damaged, and writes to it no more."""
        device = Path((await run("findmnt", "-no", "SOURCE", str(self.where))).strip()).name
        trigger = Path(f"/sys/fs/ext4/{device}/trigger_fs_error")
        try:
            trigger.write_text("broken by tests.prove")
        except OSError as error:
            raise CannotMount(f"{trigger}: {error.strerror}") from error

    async def mend(self) -> None:
        """As at the next boot: taken off, checked, mounted again. Nobody may use it meanwhile."""
        await _unmount(self.where)
        with contextlib.suppress(CannotMount):  # it found something to mend, as it should
            await run("e2fsck", "-fy", str(self._image))
        await self.mount()


@asynccontextmanager
async def fragile(where: Path) -> AsyncIterator[Fragile]:
    _must_be_root()
    where.mkdir(parents=True)
    image = where.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(FRAGILE_BYTES)
    await run("mkfs.ext4", "-q", "-F", str(image))
    disk = Fragile(where, image)
    await disk.mount()
    try:
        yield disk
    finally:
        await asyncio.shield(_unmount(where))


async def _unmount(where: Path) -> None:
    with contextlib.suppress(CannotMount):
        await run("umount", str(where))
        return
    with contextlib.suppress(CannotMount):
        await run("umount", "-l", str(where))
