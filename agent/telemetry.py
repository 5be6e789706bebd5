"""What the daemon says about itself: logs, what it measures, and its word to systemd."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

import structlog

from cloud_link.delivery import Durations

log = structlog.get_logger()

LAG_EVERY_S = 1.0
HEARD_WITHIN_S = 1.0  # by systemd, whose queue may be full
LAGS_UP_TO_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_PAGE = os.sysconf("SC_PAGESIZE")
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_INFORMATIVE = 6


# ── logs ──────────────────────────────────────────────────────────────────────────────────────────


class LogForm(StrEnum):
    """How a line of the log looks."""

    AUTO = "auto"  # JSON for the journal, words for everybody else
    JSON = "json"
    WORDS = "words"


def configure_logs(*, verbose: bool = False, form: LogForm = LogForm.AUTO) -> LogForm:
    """Log to standard error, a line for each event; what libraries, warnings and crashes say goes there too.

    The form that was chosen.

    Lines for the journal stand behind their priority (sd-daemon(3)). Tracebacks come without what was at
    hand, which may be a password.
    """
    journal = _is_journal(sys.stderr)
    if form is LogForm.AUTO:
        form = LogForm.JSON if journal else LogForm.WORDS
    stamped: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    shown: list[Any] = [structlog.processors.format_exc_info]
    if form is LogForm.JSON:
        shown += [_json_line]
    else:
        shown += [_harmless, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    if journal:
        shown += [_Prioritized(shown.pop())]
    level = logging.DEBUG if verbose else logging.INFO
    sparing = [] if verbose else [_spared(Spare())]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *sparing, *stamped, *shown],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    lines = logging.StreamHandler(sys.stderr)
    if not verbose:
        lines.addFilter(_spared_library(Spare()))
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_as_a_librarys, *stamped],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shown],
        )
    )
    logging.basicConfig(handlers=[lines], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _tell_of_crash
    threading.excepthook = _tell_of_crashed_thread
    sys.unraisablehook = _tell_of_unraisable
    return form


BURST: Final = 12  # lines about one thing, one after another
AGAIN_EVERY_S: Final = 3600.0
KNOWN_AT_ONCE: Final = 8192  # things; the one that was quiet longest is forgotten first
ABOUT: Final = ("device", "room", "service", "command", "file", "library")  # what a line is about
OF_HANDS: Final = ("roomd.", "reload.", "configuration.", "command.")  # no more than somebody does


class Spare:
    """Lets some lines about one thing pass, and then one an hour: a day of trouble does not fill a disk."""

    def __init__(self) -> None:
        self._left: OrderedDict[Hashable, tuple[float, float, int]] = OrderedDict()

    def unsaid(self, about: Hashable, now_s: float) -> int | None:
        """How many lines before this one were not said; None: nor may this one be."""
        left, at_s, unsaid = self._left.pop(about, (float(BURST), now_s, 0))
        left = min(BURST, left + (now_s - at_s) / AGAIN_EVERY_S)
        passes = left >= 1.0
        self._left[about] = (left - passes, now_s, 0 if passes else unsaid + 1)
        if len(self._left) > KNOWN_AT_ONCE:
            self._left.popitem(last=False)
        return unsaid if passes else None


def _spared(spare: Spare) -> structlog.types.Processor:
    """Drop what was said too often; who asks for details is told all of it."""

    def spared(_logger: object, name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        if name != "critical" and not event["event"].startswith(OF_HANDS):
            about = (event["event"], *[str(event[each]) for each in ABOUT if each in event])
            unsaid = spare.unsaid(about, time.monotonic())
            if unsaid is None:
                raise structlog.DropEvent
            if unsaid:
                event["unsaid"] = unsaid
        return event

    return spared


def _spared_library(spare: Spare) -> Callable[[logging.LogRecord], bool]:
    def passes(record: logging.LogRecord) -> bool:
        return spare.unsaid((record.name, record.lineno), time.monotonic()) is not None

    return passes


def _is_journal(stream: TextIO) -> bool:
    """Whether it leads to the journal: systemd names device and inode, as what we print to may be another."""
    try:
        named = os.fstat(stream.fileno())
    except (OSError, ValueError):  # it is closed, or no file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{named.st_dev}:{named.st_ino}"


def _as_a_librarys(
    logger: object,  # noqa: ARG001 - as structlog calls it
    name: str,  # noqa: ARG001
    event: structlog.types.EventDict,
) -> structlog.types.EventDict:
    """What a library says, under a name of ours; asyncio adds what functions were called with: not that."""
    library, words = event["_record"].name, str(event["event"]).strip()
    if library == "asyncio":
        words = words.partition("\n")[0].partition("(")[0]
    return {**event, "event": "library.said", "library": library, "words": words}


def _json_line(logger: object, name: str, event: structlog.types.EventDict) -> str:
    """In one line, whatever anybody's words hold: JSON leaves some of what moves a cursor as it is."""
    line = _to_json(logger, name, {"event": event.pop("event"), "level": event.pop("level"), **event})
    text = line if isinstance(line, str) else line.decode()
    return text if text.isprintable() else _in_escapes(text)


_to_json = structlog.processors.JSONRenderer(ensure_ascii=False)


def _harmless(
    logger: object,  # noqa: ARG001 - as structlog calls it
    name: str,  # noqa: ARG001
    event: structlog.types.EventDict,
) -> structlog.types.EventDict:
    """Anybody's words end no line and move no cursor; a traceback keeps its lines, set in from the others."""
    for key, value in event.items():
        if key == "exception":
            text = "\n".join("    " + _in_escapes(line) for line in str(value).split("\n"))
        elif value is None or isinstance(value, int | float):
            continue
        else:
            text = str(value)
            text = text if text.isprintable() else _in_escapes(text)
        event[key] = text
    return event


def _in_escapes(text: str) -> str:
    return "".join(letter if letter.isprintable() else json.dumps(letter).strip('"') for letter in text)


class _Prioritized:
    """A line behind the priority that the journal takes off and keeps."""

    def __init__(self, render: Callable[..., str]) -> None:
        self._render = render

    def __call__(self, logger: object, name: str, event: structlog.types.EventDict) -> str:
        priority = _PRIORITIES.get(event.get("level", name), _INFORMATIVE)
        line = self._render(logger, name, event)
        return "\n".join(f"<{priority}>{each}" for each in line.split("\n"))


def _tell_of_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("roomd.crashed", exc_info=(kind, error, trace), mend=CRASH_MEND)


def _tell_of_crashed_thread(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_value is not None:
        told = (crash.exc_type, crash.exc_value, crash.exc_traceback)
        log.critical("roomd.thread_crashed", exc_info=told, mend=CRASH_MEND)


def _tell_of_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    if unraisable.exc_value is not None:
        told = (unraisable.exc_type, unraisable.exc_value, unraisable.exc_traceback)
        log.error("roomd.error_unraisable", exc_info=told, mend=CRASH_MEND)


CRASH_MEND = "an error in roomd: report it with these lines; systemd starts roomd again by itself"


# ── what it measures, and its word to systemd ─────────────────────────────────────────────────────


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
            line.settimeout(HEARD_WITHIN_S)  # the loop stands still for so long, and no longer
            line.sendto(message.encode(), address)
    except OSError as error:
        log.warning("systemd.unheard", why=str(error), mend="see that NOTIFY_SOCKET is systemd's own")
