"""The process itself: killed at random and at named points, frozen, and under a clock that jumps."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from tests.prove.scenario import Scenario
from tests.prove.world import Setting, World

KILLS: Final = 24
PASSED_WITHIN_S: Final = 15.0  # a named point

# How often a point is passed before it strikes: a few, so that it is not always the first.
POINTS: Final = {
    "opened": (1,),
    "furnished": (1, 7),
    "counting the connection": (1,),
    "before birth": (1,),
    "after birth": (1,),
    "while states are shown": (1, 9),
    "before append": (2, 30),
    "after append": (3, 40),
    "before the snapshot": (2, 30),
    "after the snapshot": (3, 25),
    "before COMMIT": (6, 45),
    "after COMMIT": (5, 50),
    "before it is offered": (2, 33),
    "before PUBLISH": (4, 60),
    "after PUBLISH": (1, 12, 50),
    "after PUBACK": (3, 44),
    "before it is settled": (2, 20),
    "after it is settled": (2, 21),
}
AT_THE_END: Final = ("before the close", "after the close")


async def nothing_at_all(w: World) -> None:
    """The measure of the others."""
    await asyncio.sleep(15)


async def killed_at_random(w: World) -> None:
    for _ in range(KILLS):
        await asyncio.sleep(w.luck.uniform(0.2, 2.6))
        await w.roomd.kill()
        w.fault(breaks=1)
        await asyncio.sleep(w.luck.choice((0.0, 0.0, 0.7)))
        await w.start()
    await w.goes_on(2)


async def killed_at_named_points(w: World) -> None:
    await w.roomd.kill()
    w.fault(breaks=1)
    for point, passed in POINTS.items():
        for times in passed:
            await w.start(die_at=f"{point}:{times}")
            await struck(w, point)
    await w.start(die_at="keeping house:2", hurry="house")
    await struck(w, "keeping house")
    for point in AT_THE_END:
        await w.start(die_at=f"{point}:1")
        await w.roomd.until_up()
        await asyncio.sleep(w.luck.uniform(0.5, 1.5))
        w.roomd.send(signal.SIGTERM)
        await struck(w, point)
    await w.start()
    await w.goes_on(2)


async def struck(w: World, point: str) -> None:
    """Until it has killed itself there."""
    try:
        code = await w.roomd.ended(within_s=PASSED_WITHIN_S)
    except TimeoutError:
        raise AssertionError(f"the point {point!r} was not passed") from None
    assert code == -signal.SIGKILL, f"at {point!r} it ended with {code}:\n{w.roomd.log[-1500:]}"
    w.fault(breaks=1)


async def frozen(w: World) -> None:
    for freeze_s in (0.5, 3.0, 6.0, 1.0, 25.0, 2.0):
        w.roomd.freeze()
        await asyncio.sleep(freeze_s)
        w.roomd.thaw()
        w.fault(breaks=1)
        await w.goes_on(w.luck.uniform(1.0, 3.0))


async def clock_that_jumps(w: World) -> None:
    w.stamp.write_text("+7200")
    w.fault()
    await asyncio.sleep(4)
    await w.roomd.kill()  # what was written in the future is read in the past
    w.fault(breaks=1)
    w.stamp.write_text("+0")
    await w.start()
    await asyncio.sleep(6)
    for by_s, for_s in ((-10_800, 6), (0, 4), (93_600, 5), (0, 4), (-90_000, 5), (0, 3), (7200, 6)):
        w.stamp.write_text(f"{by_s:+d}")
        w.fault()
        await asyncio.sleep(for_s)
    w.stamp.write_text("+0")
    w.fault()
    await w.goes_on(3)


PROCESSES: Final = (
    Scenario(name="calm", tells="nothing goes wrong", setting=Setting(), plot=nothing_at_all),
    Scenario(
        name="kill -9 at random",
        tells=f"roomd is killed {KILLS} times, somewhere",
        setting=Setting(counts=120.0),
        plot=killed_at_random,
    ),
    Scenario(
        name="kill -9 at named points",
        tells="before and after append, COMMIT, PUBLISH, PUBACK, settling, birth, snapshot, start and close",
        setting=Setting(counts=120.0),
        plot=killed_at_named_points,
    ),
    Scenario(name="roomd frozen", tells="SIGSTOP for up to 25 s", setting=Setting(), plot=frozen),
    Scenario(
        name="clock that jumps",
        tells="roomd's wall clock steps by hours and days, and once it is killed in the future",
        setting=Setting(wrong_clock=True, recovers_within_s=60.0),
        plot=clock_that_jumps,
    ),
)
