"""What lies on the disk: no room for it, a disk that takes nothing, and files that are damaged."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from tests.prove import disks
from tests.prove.ledger import FILE
from tests.prove.plots.processes import struck
from tests.prove.scenario import Scenario
from tests.prove.world import Setting, World

PAGE: Final = 4096
STUCK_WITHIN_S: Final = 20.0
TOLD_WITHIN_S: Final = 20.0


async def logged(w: World, word: str, *, since: int = 0, within_s: float = STUCK_WITHIN_S) -> None:
    """Until roomd's log says so."""
    try:
        async with asyncio.timeout(within_s):
            while word not in w.roomd.log[since:]:  # noqa: ASYNC110 -- another process writes it
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not logged within {within_s:g} s: {word}") from None


# ── no room ───────────────────────────────────────────────────────────────────────────────────────


async def full(w: World) -> None:
    await asyncio.sleep(3)
    for _ in range(2):
        await _fill_until_stuck(w)
        await asyncio.sleep(6)
        disks.empty(w.state.resolve())
        await asyncio.sleep(4)
    await _fill_until_stuck(w)
    await w.roomd.kill()
    w.fault(breaks=1)
    keeper = w.crew.start(w.keep_up(), name="systemd")
    try:
        await asyncio.sleep(5)
        disks.empty(w.state.resolve())
        await asyncio.sleep(3)
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])
    await _fill_until_stuck(w)
    code = await w.roomd.stop()  # with a full disk, in the time that systemd gives
    w.tally.breaks += 1  # what the disk did not take down as delivered is sent once more
    assert code == 0, f"stopped with {code}"
    disks.empty(w.state.resolve())
    await w.start()
    await w.goes_on(2)


async def _fill_until_stuck(w: World) -> None:
    since = len(w.roomd.log)
    w.fault()
    async with asyncio.timeout(STUCK_WITHIN_S):
        while "database.stuck" not in w.roomd.log[since:]:
            disks.fill(w.state.resolve())  # also what the ballast gives back
            await asyncio.sleep(0.2)
    disks.fill(w.state.resolve())


# ── a disk that takes nothing ─────────────────────────────────────────────────────────────────────


async def read_only(w: World) -> None:
    assert w.disk is not None
    await asyncio.sleep(4)
    await w.disk.break_it()
    w.fault()
    await logged(w, "database.stuck")
    await asyncio.sleep(4)
    await w.roomd.kill()
    w.fault(breaks=1)
    since = len(w.roomd.log)
    await w.start()  # on a disk that is still read-only
    code = await w.roomd.ended(within_s=20)
    assert code not in {0, None}, "it started on a disk that takes nothing"
    said = w.roomd.log[since:]
    assert "Traceback" not in said, f"no clear word about a read-only disk:\n{said[-1500:]}"
    await w.disk.mend()
    await w.start()
    await w.goes_on(4)


# ── damaged files ─────────────────────────────────────────────────────────────────────────────────


def _overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def _pages(path: Path, luck: Random) -> None:
    pages = path.stat().st_size // PAGE
    for page in luck.sample(range(1, pages), max(2, pages // 12)):
        _overwrite(path, page * PAGE, luck.randbytes(PAGE))


def _truncated(path: Path, luck: Random) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _header(path: Path, luck: Random) -> None:
    _overwrite(path, 0, luck.randbytes(200))


def emptied(path: Path, luck: Random) -> None:
    os.truncate(path, 0)


def garbage(path: Path, luck: Random) -> None:
    path.write_bytes(luck.randbytes(path.stat().st_size))


def _no_log(path: Path, luck: Random) -> None:
    path.with_name(path.name + "-wal").unlink()
    path.with_name(path.name + "-shm").unlink(missing_ok=True)


DAMAGES: Final[tuple[tuple[str, Callable[[Path, Random], None], bool], ...]] = (
    # what, how, stopped in peace before
    ("pages overwritten", _pages, True),
    ("cut in half", _truncated, True),
    ("no header", _header, True),
    ("the log is gone", _no_log, False),
    ("emptied", emptied, True),
    ("garbage", garbage, True),
)
AT_THE_RESCUE: Final = (
    "before quarantine:1",
    "after quarantine:1",
    "while salvaging:1",
    "after salvage:1",
    "before the reset is told:1",
)


async def damaged(w: World) -> None:
    for what, how, in_peace in DAMAGES:
        await asyncio.sleep(3)
        epoch = await damage(w, how, in_peace=in_peace)
        await w.start()
        if await told(w, epoch, what):
            w.given_up.add(epoch)


async def damaged_and_killed_at_the_rescue(w: World) -> None:
    for point in AT_THE_RESCUE:
        await asyncio.sleep(2)
        epoch = await damage(w, one_page, in_peace=True)
        await w.start(die_at=point)
        await struck(w, point)
        await w.start()
        await told(w, epoch, point)


def one_page(path: Path, luck: Random) -> None:
    """Of the index: everything can be read that was promised."""
    import sqlite3  # noqa: PLC0415
    from contextlib import closing  # noqa: PLC0415

    with closing(sqlite3.connect(path)) as tx:
        (page,) = tx.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'outbox_by_stream'").fetchone()
    _overwrite(path, (page - 1) * PAGE, luck.randbytes(PAGE))


async def damage(w: World, how: Callable[[Path, Random], None], *, in_peace: bool) -> str:
    """With something in the outbox, because the broker is away. The epoch that is over."""
    w.line.refuse()
    w.line.cut()
    await asyncio.sleep(2)
    if in_peace:
        await w.roomd.stop()
    else:
        await w.roomd.kill()
    w.fault(breaks=1)
    book = w.keep_books()
    how(w.state / FILE, w.luck)
    w.fault()
    await w.line.listen()
    return book.epochs[-1]


async def told(w: World, epoch: str, what: str) -> bool:
    """Whether the cloud learns of the rescue."""
    await w.roomd.until_up()

    def reset() -> dict[str, object] | None:
        for event in w.recorder.of_kind("outbox.reset"):
            data: dict[str, object] = json.loads(event.payload)["data"]
            if data["previous_epoch"] in {epoch, None} and data["epoch"] not in known:
                return data
        return None

    known = {epoch for book in w.books for epoch in book.epochs}
    try:
        await w.recorder.until(lambda: reset() is not None, within_s=TOLD_WITHIN_S)
    except AssertionError:
        w.tally.wrongs.append(f"{what}: the cloud was not told of the rescue of {epoch}")
        return False
    data = reset()
    assert data is not None
    reason = " ".join(str(data["reason"]).split())
    w.note(f"{what}: {data['salvaged']} of {len(w.books[-1].pending)} unsent saved ({reason})")
    return True


STATES: Final = (
    Scenario(
        name="disk full",
        tells="to the last byte, twice; and roomd is killed, started and stopped on it",
        setting=Setting(state="small"),
        plot=full,
    ),
    Scenario(
        name="disk read-only",
        tells="the kernel takes it away while roomd runs, and roomd is started on it",
        setting=Setting(state="fragile"),
        plot=read_only,
    ),
    Scenario(
        name="file damaged",
        tells="pages overwritten, cut in half, no header, no log, emptied, garbage",
        setting=Setting(recovers_within_s=120.0),
        plot=damaged,
    ),
    Scenario(
        name="killed at the rescue",
        tells="a damaged index, and kill -9 before, in and after salvaging: nothing is lost",
        setting=Setting(),
        plot=damaged_and_killed_at_the_rescue,
    ),
)
