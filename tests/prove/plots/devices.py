"""Devices that are cut off, hang, restart in the middle of a request, and talk nonsense."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.prove.scenario import Scenario
from tests.prove.world import Setting, World
from tests.simulator.bookings import Answer
from tests.simulator.faults import Cut, Junk

CUTS: Final = 60
HOW: Final[tuple[Cut, ...]] = ("reset", "close", "end")
LONGER_THAN_ANY_PONG_S: Final = 46.0  # roomd pings after 20 s of silence and waits for 20
SICK: Final = 4  # the first of them talk nonsense; nobody else may notice
HARMLESS: Final[tuple[Junk, ...]] = ("unknown_node", "unknown_event", "unknown_reply")
HARMFUL: Final[tuple[Junk, ...]] = ("text", "binary", "huge", "truncated", "deep", "array")


async def cut_off(w: World) -> None:
    for _ in range(CUTS):
        w.luck.choice(w.site.devices).cut(w.luck.choice(HOW))
        w.fault()
        await asyncio.sleep(w.luck.uniform(0.1, 0.6))


async def half_open(w: World) -> None:
    hanging = w.luck.sample(w.site.devices, 5)
    for device in hanging:
        device.hold_open(newcomers=w.luck.random() < 0.5)
        w.fault()
    await asyncio.sleep(LONGER_THAN_ANY_PONG_S)
    for device in hanging:
        device.let_go()
        device.cut()  # what it said meanwhile, nobody heard
    await w.goes_on(2)


async def restarted_in_mid_request(w: World) -> None:
    for device in w.luck.sample(w.site.devices, 12):
        device.request_booking(
            "Asked for just before", duration_min=3, answer=Answer(after_s=w.luck.uniform(0.3, 4.0))
        )
        await asyncio.sleep(w.luck.uniform(0.0, 0.8))
        device.reboot(w.luck.uniform(1.0, 4.0), answers="refuse" if w.luck.random() < 0.5 else "502")
        w.fault()
    await asyncio.sleep(5)


async def nonsense(w: World) -> None:
    sick, healthy = w.site.devices[:SICK], w.site.devices[SICK:]
    await asyncio.sleep(2)
    facts_before = len(w.recorder.events)
    for round_ in range(20):
        device = sick[round_ % SICK]
        device.send_junk(w.luck.choice(HARMLESS))
        if round_ < len(HARMFUL):
            sick[round_ % SICK].send_junk(HARMFUL[round_])
        w.fault()
        await asyncio.sleep(0.5)
    events = w.recorder.events[facts_before:]
    rooms = {f"rooms/{device.room}" for device in healthy}
    lost = [e.stream for e in events if e.kind in {"device.lost", "device.refused"} and e.stream in rooms]
    assert not lost, f"healthy devices were lost: {lost}"
    heard = {e.stream for e in events} & rooms
    assert len(heard) > len(rooms) / 2, f"only {len(heard)} of {len(rooms)} healthy rooms were heard"


async def quirks(w: World) -> None:
    """Ways of speaking that are allowed, or at least common."""
    switches: tuple[dict[str, object], ...] = (
        {"duplicate_frames": True},
        {"delivery": "split", "fragmented": True},
        {"delivery": "merged", "event_ids": True},
        {"batch_s": 0.3, "empty_event": "text"},
        {"notify_first": True, "people_as_text": True},
        {"reply_delay_s": 0.4, "unknown_replies": True},
        {"reorder_replies": True, "blank_meeting_ids": True},
        {"no_request_uuid": True, "empty_event": "id"},
    )
    for index, device in enumerate(w.site.devices):
        device.fault(**switches[index % len(switches)])
        device.cut()
        w.fault()
    await asyncio.sleep(20)


DEVICES: Final = (
    Scenario(name="devices cut off", tells=f"{CUTS} cuts in three ways", setting=Setting(), plot=cut_off),
    Scenario(
        name="devices half-open",
        tells="five neither read nor answer for 46 s",
        setting=Setting(),
        plot=half_open,
    ),
    Scenario(
        name="devices restarted",
        tells="in the middle of a request; their booking ids are counted anew",
        setting=Setting(),
        plot=restarted_in_mid_request,
    ),
    Scenario(
        name="devices talk nonsense",
        tells="no JSON, 10 MB, cut off in the middle; and the healthy do not notice",
        setting=Setting(recovers_within_s=120.0),
        plot=nonsense,
    ),
    Scenario(
        name="devices with quirks",
        tells="doubled, split, merged, late, out of order, without ids",
        setting=Setting(),
        plot=quirks,
    ),
)
