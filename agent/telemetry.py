"""What the daemon says about itself: logs, what it measures, and its word to systemd."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import structlog

from cloud_link.delivery import Durations

log = structlog.get_logger()

LAG_EVERY_S = 1.0
LAGS_UP_TO_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PAGE = os.sysconf("SC_PAGESIZE")
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def configure_logs(*, verbose: bool = False) -> None:
    """Log to standard error: in words on a terminal, as JSON lines with a priority under systemd."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if "JOURNAL_STREAM" in os.environ:
        shown: list[Any] = [structlog.processors.format_exc_info, _JournalLine()]
    else:
        # Not rich's traceback, which shows what was at hand: a password, say.
        plain = structlog.dev.plain_traceback
        shown = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *shown],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)  # libraries that log have something to say


class _JournalLine:
    """A JSON line behind the priority that the journal strips and keeps (sd-daemon(3))."""

    def __init__(self) -> None:
        self._render = structlog.processors.JSONRenderer()

    def __call__(self, logger: object, name: str, event: structlog.types.EventDict) -> str:
        return f"<{_PRIORITIES.get(name, 6)}>{self._render(logger, name, event)!s}"


def printable(text: str) -> str:
    """Titles and names are anybody's words: nothing in them may move the technician's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


class LoopLag:
    """How late the event loop comes to what it planned: the longest since it was last read."""

    def __init__(self) -> None:
        self._longest_s = 0.0
        self.durations = Durations(LAGS_UP_TO_S)  # of all looks since the start

    async def measure(self) -> None:
        """Measure, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            planned = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            lag_s = max(0.0, loop.time() - planned)
            self.durations.count(lag_s)
            self._longest_s = max(self._longest_s, lag_s)

    def read_s(self) -> float:
        """The longest lag since the last call, in seconds."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return round(longest_s, 4)


def memory_bytes() -> int:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def disk_free_bytes(directory: Path) -> int:
    """What is left on the disk that holds this directory."""
    return shutil.disk_usage(directory).free


def notify(message: str) -> None:
    """Tell systemd, if it listens: `READY=1`, `STOPPING=1`, `STATUS=…` (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.sendto(message.encode(), address)
    except OSError as error:
        log.warning("systemd.unheard", why=str(error))
