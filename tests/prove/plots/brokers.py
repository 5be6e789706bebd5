"""A real broker that dies, forgets and freezes, and the line to it: cut, held, and thin."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from tests.brokers import Way
from tests.prove.scenario import Scenario
from tests.prove.world import Setting, World

BROKER_KILLS: Final = 4
CUTS: Final = 25
LONGER_THAN_ANY_PUBACK_S: Final = 36.0  # roomd waits for 30
BACK_WITHIN_S: Final = 90.0


def births(w: World) -> int:
    """The number of the connection that was born last."""
    for topic, payload in w.recorder.latest.items():
        if topic.endswith("/status"):
            status = json.loads(payload)
            return int(status["connection"]) if status["state"] == "online" else 0
    return 0


async def born_after(w: World, number: int) -> None:
    await w.recorder.until(lambda: births(w) > number, within_s=BACK_WITHIN_S)


async def killed_with_persistence(w: World) -> None:
    for _ in range(BROKER_KILLS):
        await asyncio.sleep(w.luck.uniform(1.5, 4.0))
        number = births(w)
        await w.mosquitto.kill()
        w.fault(breaks=1)
        await asyncio.sleep(w.luck.uniform(0.0, 2.0))
        await w.mosquitto.start()
        await w.recorder.until_listening()
        await born_after(w, number)
    await w.goes_on(2)


async def killed_and_forgets(w: World) -> None:
    for _ in range(BROKER_KILLS):
        await asyncio.sleep(w.luck.uniform(1.5, 4.0))
        number = births(w)
        w.line.refuse()  # the witness must be there first: this broker keeps nothing for it
        await w.mosquitto.kill()
        w.fault(breaks=1)
        await w.recorder.until_deaf()
        w.recorder.latest.clear()
        await asyncio.sleep(w.luck.uniform(0.0, 2.0))
        await w.mosquitto.start()
        await w.recorder.until_listening()
        await w.line.listen()
        await born_after(w, number)
    await w.goes_on(2)


async def broker_frozen(w: World) -> None:
    await asyncio.sleep(3)
    for freeze_s in (2.0, LONGER_THAN_ANY_PUBACK_S):
        w.mosquitto.freeze()
        await asyncio.sleep(freeze_s)
        w.mosquitto.thaw()
        w.fault(breaks=1)
        await w.goes_on(3)


async def line_cut(w: World) -> None:
    for _ in range(CUTS):
        if w.luck.random() < 0.5:
            way = w.luck.choice((Way.UP, Way.DOWN))
            w.line.cut_after(w.luck.randrange(20, 30_000 if way is Way.UP else 600), way)
            w.line.cut()
            w.fault(breaks=2)
        else:
            w.line.cut()
            w.fault(breaks=1)
        await asyncio.sleep(w.luck.uniform(0.3, 2.5))


async def line_half_open(w: World) -> None:
    await asyncio.sleep(3)
    for hole_s in (5.0, LONGER_THAN_ANY_PUBACK_S):
        w.line.pause()
        await asyncio.sleep(hole_s)
        w.line.resume()  # what was under way in the hole comes through, from lines that roomd has given up
        w.fault(breaks=2)
        await w.goes_on(4)


async def line_thin(w: World) -> None:
    w.line.delay_s, w.line.bytes_per_s = 0.25, 12_000
    w.fault()
    await asyncio.sleep(12)
    w.line.cut()
    w.fault(breaks=1)
    await asyncio.sleep(8)
    w.line.delay_s, w.line.bytes_per_s = 0.0, None


BROKERS: Final = (
    Scenario(
        name="broker killed",
        tells="mosquitto with persistence, kill -9 and again",
        setting=Setting(),
        plot=killed_with_persistence,
    ),
    Scenario(
        name="broker killed, forgets",
        tells="mosquitto without persistence: sessions and all that was retained are gone",
        setting=Setting(broker="forgetful"),
        plot=killed_and_forgets,
    ),
    Scenario(name="broker frozen", tells="SIGSTOP for 36 s", setting=Setting(), plot=broker_frozen),
    Scenario(
        name="line cut",
        tells=f"{CUTS} resets, in the middle of packets as well",
        setting=Setting(hurry="broker", counts=120.0),
        plot=line_cut,
    ),
    Scenario(
        name="line half-open",
        tells="a black hole for 36 s, which then gives back what fell in",
        setting=Setting(),
        plot=line_half_open,
    ),
    Scenario(
        name="line thin",
        tells="12 kB/s and a quarter of a second each way",
        setting=Setting(),
        plot=line_thin,
    ),
)
