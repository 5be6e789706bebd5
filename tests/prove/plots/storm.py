"""Everything at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tests.brokers import Way
from tests.prove.plots.devices import HARMLESS, HOW
from tests.prove.scenario import Scenario
from tests.prove.world import Setting, World

LASTS_S: Final = 75.0


async def _kill(w: World) -> None:
    await w.roomd.kill()
    w.fault(breaks=1)


async def _kill_broker(w: World) -> None:
    if not w.recorder.listening:
        return  # a broker that is killed twice before its subscriber is back may keep nothing for it
    await w.mosquitto.kill()
    w.fault(breaks=1)
    await asyncio.sleep(w.luck.uniform(0.1, 2.0))
    await w.mosquitto.start()
    await w.recorder.until_listening()


async def _cut(w: World) -> None:
    if w.luck.random() < 0.5:
        w.line.cut_after(w.luck.randrange(20, 20_000), Way.UP)
        w.tally.breaks += 1
    w.line.cut()
    w.fault(breaks=1)


async def _hole(w: World) -> None:
    w.line.pause()
    await asyncio.sleep(w.luck.uniform(0.5, 5.0))
    w.line.resume()
    w.fault(breaks=1)


async def _freeze(w: World) -> None:
    w.roomd.freeze()
    await asyncio.sleep(w.luck.uniform(0.2, 4.0))
    w.roomd.thaw()
    w.fault(breaks=1)


async def _freeze_broker(w: World) -> None:
    w.mosquitto.freeze()
    await asyncio.sleep(w.luck.uniform(0.2, 4.0))
    w.mosquitto.thaw()
    w.fault(breaks=1)


async def _cut_devices(w: World) -> None:
    for device in w.luck.sample(w.site.devices, 4):
        device.cut(w.luck.choice(HOW))
        w.fault()


async def _restart_device(w: World) -> None:
    device = w.luck.choice(w.site.devices)
    if not device.down:
        device.reboot(w.luck.uniform(1.0, 5.0))
        w.fault()


async def _hang_device(w: World) -> None:
    device = w.luck.choice(w.site.devices)
    device.hold_open()
    await asyncio.sleep(w.luck.uniform(0.5, 3.0))
    device.let_go()
    device.cut()
    w.fault()


async def _junk(w: World) -> None:
    w.luck.choice(w.site.devices).send_junk(w.luck.choice(HARMLESS))
    w.fault()


DEEDS: Final[tuple[tuple[Callable[[World], Awaitable[None]], float], ...]] = (
    (_kill, 3.0),
    (_kill_broker, 1.0),
    (_cut, 3.0),
    (_hole, 1.0),
    (_freeze, 1.0),
    (_freeze_broker, 1.0),
    (_cut_devices, 3.0),
    (_restart_device, 2.0),
    (_hang_device, 1.5),
    (_junk, 1.0),
)


async def everything(w: World) -> None:
    keeper = w.crew.start(w.keep_up(), name="systemd")
    try:
        until_s = asyncio.get_running_loop().time() + LASTS_S
        while asyncio.get_running_loop().time() < until_s:
            async with asyncio.TaskGroup() as troubles:  # two at a time: one makes the other worse
                for number, deed in enumerate(w.luck.choices(*zip(*DEEDS, strict=True), k=2)):
                    troubles.create_task(deed(w), name=f"trouble-{number}")
            await asyncio.sleep(w.luck.uniform(0.1, 1.5))
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])
    w.line.resume()
    if not w.roomd.running:
        await w.start()


STORM: Final = (
    Scenario(
        name="storm",
        tells="all of it together, two troubles at a time",
        setting=Setting(hurry="broker,devices", rooms=24, rate=8.0, counts=80.0, recovers_within_s=120.0),
        plot=everything,
    ),
)
