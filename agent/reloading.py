"""Takes up a changed file while roomd runs: one signal after the other, and never a bad file."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import structlog

from agent.changes import Changes, Part, difference, files_of
from agent.settings import Configuration, ConfigurationRefused, read
from agent.telemetry import notify

log = structlog.get_logger()

LARGEST_FILE = 4 * 1024 * 1024  # of authorities, at most; what is larger is none of ours

Apply = Callable[[Changes], Awaitable[None]]


class Reloading:
    """Reads the file anew when it is asked to, and has what changed applied."""

    def __init__(self, configuration: Configuration, apply: Apply, try_again: Callable[[], None]) -> None:
        """`configuration` is what holds now; `apply` returns when what changed is done.

        `try_again` dials those who refused us: a reload may also say that something was mended elsewhere.
        """
        self._configuration = configuration
        self._apply = apply
        self._try_again = try_again
        self._marks: Mapping[Path, bytes] = {}

    async def run(self, asked: asyncio.Event) -> None:
        """Until cancelled. However often it is asked meanwhile, the last file is taken up in the end."""
        self._marks = await asyncio.to_thread(_marks_of, files_of(self._configuration))
        while True:
            await asked.wait()
            asked.clear()
            notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            await self._reload()
            notify("READY=1")

    async def _reload(self) -> None:
        file = self._configuration.file
        try:
            new, marks = await asyncio.to_thread(_read, file)
        except ConfigurationRefused as refused:
            log.error(
                "reload.refused",
                file=str(file),
                problems=[str(problem) for problem in refused.problems],
                consequence="roomd goes on as it was",
                mend="mend the file and reload again",
            )
            return
        touched = {path for path, mark in marks.items() if self._marks.get(path, mark) != mark}
        changes = difference(self._configuration, new, touched=touched)
        for note in new.notes:
            if note not in self._configuration.notes:
                log.warning("configuration.noted", note=note)
        if not changes.nothing:
            await self._apply(changes)
        self._try_again()
        self._configuration, self._marks = changes.applied, marks
        if changes.waiting:
            log.warning(
                "reload.put_off",
                keys=list(changes.waiting),
                mend="restart roomd to apply it; all else is applied",
            )
        log.info("reload.applied", file=str(file), **_told(changes))


def _read(file: Path) -> tuple[Configuration, Mapping[Path, bytes]]:
    new = read(file)
    return new, _marks_of(files_of(new))


def _marks_of(files: Iterable[Path]) -> Mapping[Path, bytes]:
    """What is in the files, so that one sees whether it became something else; nothing of it can be read."""
    marks: dict[Path, bytes] = {}
    for path in files:
        try:
            if path.is_file() and path.stat().st_size <= LARGEST_FILE:
                marks[path] = hashlib.sha256(path.read_bytes()).digest()
        except OSError:  # that is for those who need it to say
            continue
    return marks


def _told(changes: Changes) -> Mapping[str, object]:
    counts = {
        "rooms_added": len(changes.rooms_new),
        "rooms_removed": len(changes.rooms_gone),
        "devices_added": len(changes.devices_new),
        "devices_removed": len(changes.devices_gone),
        "devices_changed": len(changes.devices_changed),
    }
    return {
        "changed": [part.value for part in Part if part in changes.parts],
        **{name: count for name, count in counts.items() if count},
    }
