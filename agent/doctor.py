"""Examines an installation from its file to its calendars, with the daemon running or not: `roomd doctor`."""

from __future__ import annotations

import asyncio
import json
import os
import textwrap
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from agent import settings
from agent.asking import DaemonAbsent, ask
from agent.broker_checks import examine_broker
from agent.calendar_checks import examine_calendars
from agent.clock import Clock
from agent.device_checks import examine_devices
from agent.door_checks import examine_own_certificate, listens
from agent.findings import TITLES, Finding, Part, Verdict, Visit, some
from agent.machine_checks import (
    examine_clock,
    examine_disk,
    examine_file,
    examine_names,
    examine_permissions,
)
from agent.names import Answer
from agent.sensor_checks import examine_sensors
from agent.settings import Configuration, ConfigurationRefused
from agent.signs import printable
from agent.terminal import progress_line

PICTURE_WITHIN_S: Final = 10.0
INDENT: Final = 10  # of what is told, behind its severity
NARROWEST: Final = 20
ONE_LOOK: Final = 24  # findings that are seen at once
PICTURE_HAS: Final = {"version", "site", "agent", "rooms", "outbox", "broker"}


async def examine(
    file: Path,
    parts: Collection[Part],
    *,
    tell: Callable[[Finding], None],
    progress: Callable[[Part, int, int], None],
    now: Callable[[], datetime],
    thorough: bool = False,
) -> bool:
    """Examine these parts, one after the other, telling each finding as soon as it is known.

    Nothing is written to a device, a broker or a cloud. `thorough`: log in to devices also where the running
    daemon is logged in, for what only a conversation can tell. A file that cannot be used ends it, as
    everything else is looked for by what stands in it: False. `progress` is told 0 of 0 where a part begins.
    """
    try:
        configuration = settings.read(file)
    except ConfigurationRefused as error:
        for problem in error.problems:
            tell(
                Finding(
                    part=Part.FILE,
                    what=f"{problem.file}: {problem.key}",
                    verdict=Verdict.WRONG,
                    seen=problem.what,
                    mend=problem.mend,
                    code=os.EX_CONFIG,
                )
            )
        return False
    picture, absent = await _daemons_word(configuration)
    calendars = await _calendars_word(configuration) if picture is not None else ()
    names: dict[str, Answer] = {}
    for part in Part:
        if part in parts:
            visit = Visit(
                part=part,
                configuration=configuration,
                picture=picture,
                calendars=calendars,
                absent=absent,
                thorough=thorough,
                names=names,
                now=now,
                tell=tell,
                progress=progress,
            )
            progress(part, 0, 0)
            await _CHECKS[part](visit)
    return True


async def _daemons_word(configuration: Configuration) -> tuple[Mapping[str, Any] | None, str]:
    """The running daemon's picture; or None, and why there is none."""
    try:
        async with asyncio.timeout(PICTURE_WITHIN_S):
            async for picture in ask(configuration.socket, "picture"):
                if picture.keys() >= PICTURE_HAS:
                    return picture, ""
                return None, f"what answers on {configuration.socket} is another version: restart roomd"
    except DaemonAbsent as error:
        return None, str(error)
    except TimeoutError:
        return None, f"it does not answer on {configuration.socket} within {PICTURE_WITHIN_S:.0f} s"
    except (OSError, ValueError) as error:
        return None, f"{configuration.socket}: {error}"
    return None, f"it hung up on {configuration.socket}"


async def _calendars_word(configuration: Configuration) -> Sequence[Mapping[str, Any]]:
    """How the running daemon's calendars stand; nothing if it does not say."""
    try:
        async with asyncio.timeout(PICTURE_WITHIN_S):
            async for answer in ask(configuration.socket, "calendars"):
                found: Sequence[Mapping[str, Any]] = answer.get("calendars", ())
                return found
    except (DaemonAbsent, TimeoutError, OSError, ValueError):
        pass
    return ()


# ── the daemon ────────────────────────────────────────────────────────────────────────────────────


async def _examine_daemon(visit: Visit) -> None:
    picture = visit.picture
    if picture is None:
        visit.advise(
            "roomd",
            f"no word of it: {visit.absent}",
            "what follows is tried from here; the running daemon would know more",
        )
        return
    visit.ok("roomd", f"{picture['version']} answers, as agent {picture['agent']} of site {picture['site']}")
    configured = {str(room.id) for room in visit.configuration.rooms}
    configured |= {str(device.id) for device in visit.configuration.devices}
    running = {str(room["room"]) for room in picture["rooms"]}
    running |= {str(each["device"]) for room in picture["rooms"] for each in room["availability"]["devices"]}
    if configured != running:
        news = {"it does not know": configured - running, "the file has no more": running - configured}
        said = "; ".join(f"{word} {some(names)}" for word, names in news.items() if names)
        visit.advise(
            "roomd",
            f"the file was changed since roomd read it: {said}",
            "apply the file: systemctl reload roomd, or SIGHUP",
        )
    backlog = picture["outbox"]
    if backlog["dropped"]:
        visit.advise(
            "roomd",
            f"{backlog['dropped']} messages were dropped for want of room; the cloud was told which",
            "look at the broker, and give agent.budget_mb more",
        )
    page = visit.configuration.page
    if page is not None and page.host is not None:
        examine_own_certificate(visit, "page", page.certificate_file, page.key_file)
        place = f"{page.host}:{page.port}"
        if await listens(page.host, page.port):
            visit.ok("page", f"shown on {place}")
        else:
            mend = "see page.not_opened in the log of roomd, mend what it says, and reload roomd"
            visit.advise("page", f"nobody listens on {place}", mend)


# ── in a terminal, and for machines ───────────────────────────────────────────────────────────────

_COLOURS: Final[Mapping[Verdict, str]] = {
    Verdict.OK: "green",
    Verdict.ADVICE: "yellow",
    Verdict.WRONG: "bold red",
}


class NoRoom(Exception):
    """What was found cannot be written where it was to go."""


class _Out(Console):
    """Standard output; who does not read it any more is told of as anywhere else."""

    def on_broken_pipe(self) -> None:
        """As the file has it, in place of leaving at once."""
        raise BrokenPipeError


async def consult(
    file: Path,
    parts: Collection[Part],
    found: list[Finding],
    *,
    as_json: bool,
    thorough: bool = False,
) -> None:
    """Examine, and show each finding as soon as it is there: in words, or as a line of JSON each.

    All of them are in `found` at the end, and as far as it has come. NoRoom if it cannot be written.
    """
    out = _Out(soft_wrap=True, highlight=False)
    shown: list[Part] = []
    whole = asyncio.current_task()
    unheard: list[OSError] = []

    def show(finding: Finding) -> None:
        if as_json:
            out.file.write(f"{json.dumps(finding.told())}\n")  # rich would read addresses as emoji
            out.file.flush()
            return
        if finding.part not in shown:
            if shown:
                out.print()
            shown.append(finding.part)
            out.print(Text(f"{TITLES[finding.part]}", style="bold"))
        out.print(line_of(finding, out.width if out.is_terminal else None))

    with progress_line() as under_way:

        def tell(finding: Finding) -> None:
            found.append(finding)
            under_way("")
            try:
                show(finding)
            except OSError as error:  # from within tasks it would come out as something else
                unheard.append(error)
                if whole is not None:
                    whole.cancel()
            else:
                under_way(f"{TITLES[finding.part]} …")

        def progress(part: Part, done: int, of: int) -> None:
            under_way(f"{TITLES[part]}: {done} of {of} …" if done < of else f"{TITLES[part]} …")

        whole_file = False
        try:
            whole_file = await examine(
                file, parts, tell=tell, progress=progress, now=Clock().now, thorough=thorough
            )
        except asyncio.CancelledError:
            if not unheard:
                raise
        if unheard and whole is not None:
            whole.uncancel()
            (error, *_) = unheard
            raise error if isinstance(error, BrokenPipeError) else NoRoom(error.strerror) from None
    if not as_json:
        _sum_up(out, found, whole=whole_file)


def _sum_up(out: Console, found: Sequence[Finding], *, whole: bool) -> None:
    if not whole:
        out.print("\nNothing else was looked at: mend the file, and run doctor again.")
    counted = Counter(finding.verdict for finding in found)
    out.print(Text(f"\n{counted[Verdict.WRONG]} wrong, {counted[Verdict.ADVICE]} to think about"))
    if len(found) > ONE_LOOK:
        width = out.width if out.is_terminal else None
        for line in _again(found):
            out.print(Text(f"  {_folded(line, width, 2)}"))


def line_of(finding: Finding, width: int | None) -> Text:
    """A finding and its mend below; within `width` columns where it is a terminal's."""
    line = Text(f"  {finding.verdict:<8}", style=_COLOURS[finding.verdict])
    line.append(_folded(f"{finding.what}: {finding.seen}", width, INDENT), style="default")
    if finding.mend and finding.verdict is not Verdict.OK:
        mend = _folded(finding.mend, width, INDENT + len("→ "))
        line.append(f"\n{' ' * INDENT}→ {mend}", style="default")
    return line


def _again(found: Sequence[Finding]) -> Iterator[str]:
    """What is wrong, once more and in short, where it has long passed by; of many alike, together."""
    alike: dict[tuple[Part, str], list[str]] = {}
    for finding in found:
        if finding.verdict is Verdict.WRONG:
            alike.setdefault((finding.part, finding.seen), []).append(finding.what)
    for (part, seen), names in alike.items():
        yield f"{TITLES[part]}: {some(names)}: {seen}"


def _folded(text: str, width: int | None, indent: int) -> str:
    """Folded between words below its beginning. A pipe gets it on one line, and so does a tiny terminal."""
    text = printable(text)
    if width is None or width < indent + NARROWEST:
        return text
    lines = textwrap.wrap(text, width - indent, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)


_CHECKS: Final[Mapping[Part, Callable[[Visit], Awaitable[None]]]] = {
    Part.FILE: examine_file,
    Part.PERMISSIONS: examine_permissions,
    Part.CLOCK: examine_clock,
    Part.DISK: examine_disk,
    Part.DNS: examine_names,
    Part.DAEMON: _examine_daemon,
    Part.BROKER: examine_broker,
    Part.DEVICES: examine_devices,
    Part.CALENDARS: examine_calendars,
    Part.SENSORS: examine_sensors,
}
