"""Holds and commands: killed and cut off at each of their steps, doubled, out of order, and left over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Final

import psutil

from tests.prove.ledger import FILE
from tests.prove.plots.devices import HOW
from tests.prove.plots.processes import struck
from tests.prove.reception import (
    Custom,
    Reception,
    comes_and_goes,
    is_answered,
    is_booked,
    reception,
    soon,
    stays,
)
from tests.prove.scenario import Scenario
from tests.prove.world import Setting, World
from tests.simulator.device import Device

HALTED_WITHIN_S: Final = 30.0
SETTLES_S: Final = 1.0
OFTEN: Final = 3
LONG_AGO: Final = "roomd-agent-1-00000000deadbeef"  # of our own agent, and of no hold that it knows
OF_ANOTHER: Final = "roomd-agent-2-00000000deadbeef"
LONGEST_S: Final = 3600
PATIENCE_S: Final = 25.0  # more than to show it three times, three seconds apart
SHOWN_AT_MOST: Final = 3

# How often a point is passed before it strikes.
PLACING: Final = {
    "before a command is kept": (1, 7),
    "while a command is kept": (2,),
    "before a command's PUBACK": (1, 5),
    "after a command's PUBACK": (1, 4),
    "before what was begun is taken up": (1,),
    "while what was begun is read": (1,),
    "before a command is given": (3,),
    "before a command is taken up": (2,),
    "before hold.placed is recorded": (2,),
    "before an answer is recorded": (3,),
    "while an answer is recorded": (2,),
    "when hold.placed is on disk": (1, 3),
    "when an answer is on disk": (2,),
    "before it is shown": (1, 5),
    "after it is asked to show": (1, 4),
    "before it is known as shown": (1, 5),
    "before it is told as shown": (2,),
    "before hold.shown is recorded": (1,),
    "while hold.shown is recorded": (2,),
    "when hold.shown is on disk": (2,),
    "before an answer leaves": (1, 4),
    "after an answer has left": (2,),
    "after an answer's PUBACK": (1, 3),
}
RENEWING: Final = {
    "before it is shown": (16, 12),
    "after it is asked to show": (9, 15),
    "before it is known as shown": (10, 14),
    "before it is told as shown": (9, 12),
    "before COMMIT": (25,),
    "after COMMIT": (30,),
}
ENDING: Final = {
    "before it is told as pressed": (1, 3),
    "before hold.answered is recorded": (1, 3),
    "while hold.answered is recorded": (2,),
    "when hold.answered is on disk": (1, 3),
    "before hold.extended is recorded": (1,),
    "while hold.extended is recorded": (2,),
    "when hold.extended is on disk": (1,),
    "before hold.ended is recorded": (2,),
    "while hold.ended is recorded": (3,),
    "when hold.ended is on disk": (1, 3),
    "before it is taken off": (1, 4),
    "after it is asked to take off": (1, 3),
    "before it is known as taken off": (1, 4),
    "before it is lit": (1,),
    "before the light is restored": (1,),
}
BOOKING: Final = {
    "before a command is taken up": (2,),
    "while an answer is recorded": (2,),
    "when an answer is on disk": (1, 4),
    "before it is booked": (1, 3),
    "after it is asked to book": (1, 3),
    "before it is known as booked": (1, 4),
    "before an answer leaves": (2,),
    "after an answer has left": (3,),
    "after an answer's PUBACK": (2,),
}
AT_THE_START: Final = {"before what was begun is taken up", "while what was begun is read"}
HOLDING: Final = {point: (1,) for point in (*PLACING, *ENDING) if point not in AT_THE_START}

Trouble = Callable[[Reception], Awaitable[None]]


# ── killed ────────────────────────────────────────────────────────────────────────────────────────


def killed(points: Mapping[str, Sequence[int]], *goings_on: Custom) -> Callable[[World], Awaitable[None]]:
    """One life after the other, each to its point."""

    async def plot(w: World) -> None:
        await w.roomd.kill()
        w.fault(breaks=1)
        async with reception(w, *goings_on):
            for point, passed in points.items():
                for times in passed:
                    await w.start(die_at=f"{point}:{times}")
                    await struck(w, point)
            await w.start()
            await w.goes_on(SETTLES_S)

    return plot


async def killed_at_random(w: World) -> None:
    async with reception(w, comes_and_goes, is_booked, comes_and_goes, is_answered):
        for _ in range(14):
            await asyncio.sleep(w.luck.uniform(0.3, 4.0))
            await w.roomd.kill()
            w.fault(breaks=1)
            await asyncio.sleep(w.luck.choice((0.0, 0.5, 2.0)))
            await w.start()
        await w.goes_on(SETTLES_S)


async def lively(w: World) -> None:
    async with reception(w, comes_and_goes, is_answered, in_any_order) as r:
        r.disturbed.update(device.room for device in w.site.devices)
        for _ in range(6):
            await asyncio.sleep(w.luck.uniform(2.0, 5.0))
            await w.roomd.kill()
            w.fault(breaks=1)
            await w.start()
        await w.goes_on(4)
        await w.end_day()
        for device in w.site.devices:
            device.end_call()
            device.stop_sharing()


# ── broker and devices away ───────────────────────────────────────────────────────────────────────


def interrupted(
    trouble: Trouble, points: Mapping[str, Sequence[int]], *goings_on: Custom
) -> Callable[[World], Awaitable[None]]:
    """At each step roomd stands still; while it does, something goes away, and then it goes on."""

    async def plot(w: World) -> None:
        await w.roomd.kill()
        w.fault(breaks=1)
        steps = [(point, times) for point, passed in points.items() for times in passed]
        first, *others = steps  # as often as it says; of the others the first times will do
        w.luck.shuffle(others)
        halts = [first, *((point, min(times, OFTEN)) for point, times in others)]
        async with reception(w, *goings_on) as r:
            await w.start(halt_at=",".join(f"{point}:{times}" for point, times in halts))
            for point, _ in halts:
                await _halted(w, point)
                await trouble(r)
            await w.goes_on(SETTLES_S)

    return plot


async def _halted(w: World, point: str) -> None:
    process = psutil.Process(w.roomd.pid)
    try:
        async with asyncio.timeout(HALTED_WITHIN_S):
            while process.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 -- another process stops
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"the point {point!r} was not passed") from None


async def _broker_goes(r: Reception) -> None:
    """The line breaks, breaks and stays broken, or the broker itself dies."""
    w = r.world
    how = w.luck.randrange(3)
    if how == 0:
        w.line.cut()
        w.roomd.thaw()
    elif how == 1:
        w.line.refuse()
        w.line.cut()
        w.roomd.thaw()
        await asyncio.sleep(w.luck.uniform(0.5, 2.0))
        await w.line.listen()
    else:
        async with r.silent():
            await w.mosquitto.kill()
        w.roomd.thaw()
        await asyncio.sleep(w.luck.uniform(0.2, 1.5))
        await w.mosquitto.start()
        await w.recorder.until_listening()
    w.fault(breaks=1)


async def _devices_go(r: Reception) -> None:
    """All of them, as the step is one of theirs: cut off, held open, or restarted."""
    w = r.world
    held = w.luck.random() < 0.3
    for device in w.site.devices:
        if held:
            r.timeline.hold_open(device)
        elif w.luck.random() < 0.7:
            device.cut(w.luck.choice(HOW))
        else:
            device.reboot(w.luck.uniform(0.5, 2.0))
    w.roomd.thaw()
    w.fault()
    if held:
        await asyncio.sleep(w.luck.uniform(0.5, 3.0))
        for device in w.site.devices:
            r.timeline.let_go(device)
            if w.luck.random() < 0.5:
                device.cut()


async def _either_goes(r: Reception) -> None:
    await (_broker_goes if r.world.luck.random() < 0.4 else _devices_go)(r)


# ── doubled and out of order ──────────────────────────────────────────────────────────────────────


async def in_any_order(r: Reception, device: Device, luck: Random) -> None:
    """Four commands for one hold, each up to three times, in any order and partly together."""
    hold = r.name()
    orders = [
        r.hold(device, luck, hold),
        r.order(device.room, "hold.extend", hold_id=hold, ends_at=soon(1200)),
        r.order(device.room, "hold.cancel", hold_id=hold),
        r.hold(device, luck, hold, duration_s=luck.choice((2, 600))),
        r.order(device.room, "room.resync"),
    ]
    copies = [order for order in orders for _ in range(luck.randint(1, 3))]
    luck.shuffle(copies)
    for order in copies:
        await r.give(order)
    for order in orders:
        await r.answered(order)
    again = luck.choice(orders)
    await r.give(again, times=2)
    if not r.ended(hold):
        await r.give(r.order(device.room, "hold.cancel", hold_id=hold))
        await r.until(lambda: r.ended(hold) or (device.room, hold) not in r.standing(), f"{hold} ended")


async def doubled(w: World) -> None:
    async with reception(w, in_any_order, is_booked, in_any_order):
        for _ in range(4):
            await asyncio.sleep(w.luck.uniform(2.0, 4.0))
            w.line.cut()
            w.fault(breaks=1)
            await asyncio.sleep(w.luck.uniform(2.0, 4.0))
            point = w.luck.choice(
                ("before a command's PUBACK", "while a command is kept", "before an answer leaves")
            )
            await w.roomd.kill()
            w.fault(breaks=1)
            await w.start(die_at=f"{point}:{w.luck.randint(1, 4)}")
            await struck(w, point)
            await w.start()
        await w.goes_on(SETTLES_S)


# ── dismissed ─────────────────────────────────────────────────────────────────────────────────────


async def dismissed(w: World) -> None:
    """Whoever dismisses it a third time has read it."""
    async with reception(w) as r:
        r.disturbed.update(device.room for device in w.site.devices)
        holds = [r.hold(device, w.luck, surfaces=["screen"]) for device in w.site.devices]
        await r.give(*holds)
        impatient = w.crew.start(_dismiss_all(w.site.devices), name="impatient")
        await asyncio.sleep(PATIENCE_S)
        impatient.cancel()
        await asyncio.wait([impatient])
        for order in holds:
            times = r.appearances(order)
            if times != SHOWN_AT_MOST:
                r.wrongs.append(f"{order.room}: dismissed each time, it was shown {times} times")
        if len(r.standing()) != len(holds):
            r.wrongs.append("a hold that is dismissed is over")


async def _dismiss_all(devices: Sequence[Device]) -> None:
    while True:
        for device in devices:
            if device.screen.prompt is not None:
                device.dismiss_prompt()
        await asyncio.sleep(0.2)


# ── left over ─────────────────────────────────────────────────────────────────────────────────────


async def left_over(w: World) -> None:
    """Each room has something on its screen that no hold is."""
    others, ours, macros = (w.site.devices[number::3] for number in range(3))
    async with reception(w) as r:
        r.disturbed.update(device.room for device in w.site.devices)
        _show_foreign(others, "Of another agent", OF_ANOTHER)
        _show_foreign(ours, "Of our past", LONG_AGO)
        _show_foreign(macros, "Close the door", "a-macro")
        for device in macros:
            device.show_foreign("Alert", "Lunch is here")
        await r.until(lambda: not any(_shows(device, "Of our past") for device in ours), "our past is gone")
        holds = {device.room: r.hold(device, w.luck, surfaces=["screen"]) for device in w.site.devices}
        await r.give(*holds.values())
        for order in holds.values():
            await r.answered(order)
        await r.until(
            lambda: all(r.shown(holds[device.room]) for device in ours), "what is free shows its hold"
        )
        await asyncio.sleep(3)
        r.wrongs.extend(_torn_down(others, macros))
        await w.roomd.kill()  # what is on a screen cannot be asked for after a start
        w.fault(breaks=1)
        await w.start()
        await w.goes_on(5)
        torn, count = _torn_down(others, macros), len(others) + len(macros)
        w.note(f"of {count} prompts of others that were there before roomd's start, {len(torn)} did not stay")
        _close((*others, *macros))
        await r.until(lambda: all(map(r.shown, holds.values())), "all holds are shown")


def _close(devices: Sequence[Device]) -> None:
    """Somebody answers what others have asked."""
    for device in devices:
        prompt = device.screen.prompt
        if prompt is not None and prompt.feedback_id in {OF_ANOTHER, "a-macro"}:
            device.answer_prompt(1, feedback_id=prompt.feedback_id)


async def database_lost(w: World) -> None:
    """The screens show holds of which roomd knows nothing any more."""
    async with reception(w) as r:
        r.disturbed.update(device.room for device in w.site.devices)
        half = len(w.site.devices) // 2
        past = [r.hold(device, w.luck, surfaces=["screen"], duration_s=20) for device in w.site.devices]
        await r.give(*past)
        await r.until(lambda: all(map(r.shown, past)), "the holds are shown")
        await r.until(lambda: len(r.standing()) == len(past), "the holds are told")
        await w.goes_on(1)
        await w.settled(within_s=30)
        await w.roomd.stop()
        w.fault(breaks=1)
        w.keep_books()
        for path in w.state.glob(f"{FILE}*"):
            path.unlink()
        await w.start()
        await w.roomd.until_up()
        for order in past:
            r.forget(order)
        anew = [r.hold(device, w.luck, surfaces=["screen"]) for device in w.site.devices[:half]]
        await r.give(*anew)
        await r.until(lambda: all(map(r.shown, anew)), "new holds are shown")
        for order in past[:half]:
            if r.shown(order):
                r.wrongs.append(f"{order.room}: a hold of an earlier life stands beside a new one")
        await r.until(lambda: not any(map(r.shown, past)), "the past is over on the screens", within_s=30)


def _show_foreign(devices: Sequence[Device], text: str, name: str) -> None:
    for device in devices:
        device.show_foreign("Prompt", text, feedback_id=name, duration_s=LONGEST_S)


def _torn_down(others: Sequence[Device], macros: Sequence[Device]) -> list[str]:
    found = [
        f"{device.room}: another agent's prompt was torn down"
        for device in others
        if not _shows(device, "Of another agent")
    ]
    found += [
        f"{device.room}: a macro's prompt was torn down"
        for device in macros
        if not _shows(device, "Close the door")
    ]
    return found + [
        f"{device.room}: a macro's alert was torn down" for device in macros if device.screen.alert is None
    ]


def _shows(device: Device, text: str) -> bool:
    return any(message.text("Text") == text for message in device.screen.messages)


def _setting(**more: object) -> Setting:
    quiet: dict[str, object] = {
        "rooms": 8,
        "rate": 0.005,
        "counts": 4.0,
        "hurry": "broker,devices,states,again",
        "recovers_within_s": 60.0,
    }
    return Setting(**(quiet | more))  # type: ignore[arg-type]


HOLDS: Final = (
    Scenario(
        name="killed while holds are placed",
        tells="from the broker's PUBLISH through inbox, PUBACK, record and device to the answer's PUBACK",
        setting=_setting(),
        plot=killed(PLACING, comes_and_goes),
    ),
    Scenario(
        name="killed while holds are renewed",
        tells="with a device's hour of eight seconds; and on time again after every start",
        setting=_setting(hurry="broker,devices,states,holds"),
        plot=killed(RENEWING, stays),
    ),
    Scenario(
        name="killed while holds end",
        tells="pressed, extended, cancelled, expired: before and after each record and each word to a device",
        setting=_setting(),
        plot=killed(ENDING, comes_and_goes, is_answered),
    ),
    Scenario(
        name="killed while rooms are booked",
        tells="by command: booked at most once, and every answer is final",
        setting=_setting(),
        plot=killed(BOOKING, is_booked),
    ),
    Scenario(
        name="killed amid commands",
        tells="14 times, somewhere, while holds and bookings come and go",
        setting=_setting(),
        plot=killed_at_random,
    ),
    Scenario(
        name="broker away amid commands",
        tells="cut, refused or killed while roomd stands still at each step of a hold",
        setting=_setting(),
        plot=interrupted(_broker_goes, HOLDING, comes_and_goes, is_answered),
    ),
    Scenario(
        name="devices away amid commands",
        tells="cut, held open or restarted while roomd stands still at each step of a hold",
        setting=_setting(),
        plot=interrupted(_devices_go, HOLDING, comes_and_goes, is_answered),
    ),
    Scenario(
        name="either away amid renewals",
        tells="broker or devices, while roomd stands still at each step of a renewal",
        setting=_setting(hurry="broker,devices,states,holds"),
        plot=interrupted(_either_goes, RENEWING, stays),
    ),
    Scenario(
        name="either away amid bookings",
        tells="broker or devices, while roomd stands still at each step of a booking by command",
        setting=_setting(),
        plot=interrupted(_either_goes, BOOKING, is_booked),
    ),
    Scenario(
        name="holds in a lively day",
        tells="in calls and through meetings, over every line, and roomd is killed six times",
        setting=_setting(
            rooms=12,
            rate=4.0,
            counts=30.0,
            lines=("auto", "ssh", "http"),
            feedback=True,
            recovers_within_s=90.0,
        ),
        plot=lively,
    ),
    Scenario(
        name="commands doubled",
        tells="up to three times, in any order, by the cloud and by the broker, across cuts and starts",
        setting=_setting(),
        plot=doubled,
    ),
    Scenario(
        name="holds dismissed",
        tells="by somebody who dismisses each time at once: three times in all, and it stands nevertheless",
        setting=_setting(hurry="broker,devices,states,holds"),
        plot=dismissed,
    ),
    Scenario(
        name="screens that others use",
        tells="another agent's prompts and a macro's stay, and those of an earlier life of ours go",
        setting=_setting(),
        plot=left_over,
    ),
    Scenario(
        name="screens after a lost database",
        tells="holds that nobody knows any more: covered by new ones, and gone at their end",
        setting=_setting(),
        plot=database_lost,
    ),
)
