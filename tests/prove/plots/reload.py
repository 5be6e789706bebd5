"""The file becomes another while roomd runs: killed in the middle of it, and stopped under load."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from typing import Final

from tests.journeys.systemd import notified
from tests.prove import disks
from tests.prove.plots.processes import struck
from tests.prove.scenario import Scenario
from tests.prove.world import Setting, World

SEEN_WITHIN_S: Final = 40.0
STOPS: Final = 10
WATCHDOG_S: Final = 6.0

# How often a point is passed before it strikes; what a start passes as well counts from there.
WHEN_ROOMS_GO: Final = {
    "before a changed file is applied": 1,
    "when lines are closed": 1,
    "while rooms are kept": 2,
    "when rooms are on disk": 1,
    "before a line is opened anew": 3,
    "before it turns to another broker": 1,
    "before the budget is another": 1,
    "when a changed file is applied": 2,
    "before a room's name is forgotten": 1,
}
WHEN_ROOMS_COME: Final = {
    "when lines are closed": 1,
    "while rooms are kept": 2,
    "before a line is opened anew": 5,
    "when a changed file is applied": 2,
}


def another(content: str) -> str:
    """Three rooms more, every device reached otherwise, another way to the broker, another budget."""
    changed = (
        content.replace("[devices]", "[devices]\nbanner = true\ndial_at_once = 4", 1)
        .replace("//127.0.0.1:", "//localhost:", 1)
        .replace("budget_mb = 32", "budget_mb = 48", 1)
    )
    return changed + "".join(f'[[rooms]]\nid = "bare-{number}"\n' for number in range(3))


def write(w: World, content: str) -> None:
    config = w.roomd.installation.config
    new = config.with_suffix(".new")
    new.write_text(content, encoding="utf-8")
    new.replace(config)


async def stands_on(w: World, content: str) -> None:
    """Until the running one has this file's rooms."""
    wanted = content.count("[[rooms]]")
    try:
        async with asyncio.timeout(SEEN_WITHIN_S):
            while True:
                code, out, _ = await w.roomd.installation.ask("rooms", "--json")
                if code == 0 and len(json.loads(out)["rooms"]) == wanted:
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"roomd does not have {wanted} rooms:\n{w.roomd.log[-1500:]}") from None


async def killed_in_a_reload(w: World) -> None:
    small = w.roomd.installation.config.read_text(encoding="utf-8")
    large = another(small)
    await w.roomd.kill()
    w.fault(breaks=1)
    for before, after, points in ((large, small, WHEN_ROOMS_GO), (small, large, WHEN_ROOMS_COME)):
        for point, times in points.items():
            write(w, before)
            await w.start(die_at=f"{point}:{times}")
            await w.roomd.until_up()
            await asyncio.sleep(w.luck.uniform(0.5, 2.0))
            write(w, after)
            w.roomd.send(signal.SIGHUP)
            await struck(w, point)
            await w.start()
            await stands_on(w, after)
            await w.roomd.stop()
            w.fault(breaks=2)
    write(w, small)
    await w.start()
    await w.goes_on(2)


async def reloaded_all_the_time(w: World) -> None:
    small = w.roomd.installation.config.read_text(encoding="utf-8")
    large = another(small)
    write(w, large)
    w.roomd.send(signal.SIGHUP)
    w.fault(breaks=1)
    await stands_on(w, large)
    for turn in range(24):
        write(w, small if turn % 2 else large)
        w.roomd.send(signal.SIGHUP)
        w.fault(breaks=1)
        await asyncio.sleep(w.luck.uniform(0.0, 1.5))
    write(w, small)
    w.roomd.send(signal.SIGHUP)
    await stands_on(w, small)
    await w.goes_on(2)


async def stopped_under_load(w: World) -> None:
    small = w.roomd.installation.config.read_text(encoding="utf-8")
    large = another(small)
    lasted_s: list[float] = []
    await w.roomd.until_up()
    for turn in range(STOPS):
        await asyncio.sleep(w.luck.uniform(0.5, 3.0))
        if turn % 2:
            write(w, large if turn % 4 == 1 else small)
            w.roomd.send(signal.SIGHUP)
            await asyncio.sleep(w.luck.uniform(0.0, 0.3))
        began_s = time.monotonic()
        code = await w.roomd.stop()
        lasted_s.append(time.monotonic() - began_s)
        if code != 0:
            w.tally.wrongs.append(f"stopped with {code}")
        w.fault(breaks=1)
        await w.start()
        await w.roomd.until_up()
    write(w, small)
    w.roomd.send(signal.SIGHUP)
    await stands_on(w, small)
    w.note(f"{STOPS} stops: the longest took {max(lasted_s):.1f} s, of fifteen")
    await w.goes_on(2)


async def watched_on_a_full_disk(w: World) -> None:
    """If it were silent for so long, systemd would restart it, and that would help nobody."""
    async with notified() as n:
        await w.roomd.kill()
        w.fault(breaks=1)
        w.roomd.environment |= n.environment(watchdog_s=WATCHDOG_S)
        await w.start()
        await n.until(lambda message: message == "WATCHDOG=1")
        disks.fill(w.state.resolve())
        w.fault()
        async with asyncio.timeout(SEEN_WITHIN_S):
            while "database.stuck" not in w.roomd.log:
                await n.hear()
        if await n.silent_for("WATCHDOG=1", seconds=WATCHDOG_S, within_s=3 * WATCHDOG_S):
            w.tally.wrongs.append("not told as well, and only the disk is full")
        if "roomd.stuck" in w.roomd.log:
            w.tally.wrongs.append("taken for stuck, and only the disk is full")
        disks.empty(w.state.resolve())
        systemd = w.crew.start(n.listen(), name="systemd")
        await w.goes_on(3)
        systemd.cancel()
        await asyncio.wait({systemd})


RELOADS: Final = (
    Scenario(
        name="reload, kill -9 at named points",
        tells="killed while a changed file is applied: the next start stands on the new file",
        setting=Setting(rooms=8, counts=60.0),
        plot=killed_in_a_reload,
    ),
    Scenario(
        name="reload, again and again",
        tells="24 changed files, most of them while the one before is still applied",
        setting=Setting(rooms=8, counts=60.0),
        plot=reloaded_all_the_time,
    ),
    Scenario(
        name="stopped under load",
        tells="SIGTERM in a flood, half of the times in the middle of a reload",
        setting=Setting(counts=200.0),
        plot=stopped_under_load,
    ),
    Scenario(
        name="watched on a full disk",
        tells="systemd's watchdog hears that all is well: a restart would not help",
        setting=Setting(counts=200.0, state="small"),
        plot=watched_on_a_full_disk,
    ),
    Scenario(
        name="stopped with a slow disk",
        tells="the same, and each commit takes a quarter of a second",
        setting=Setting(counts=200.0, hurry="sluggish"),
        plot=stopped_under_load,
    ),
)
