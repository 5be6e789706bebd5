"""The lines to devices: each by itself in trouble, several at once, and devices that change between them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from tests.prove.plots.devices import HARMFUL, HARMLESS, HOW, restarted_in_mid_request
from tests.prove.scenario import Scenario
from tests.prove.world import Setting, World
from tests.simulator.device import Device

ALL: Final = ("websocket", "ssh", "http")
OFFERS: Final[tuple[tuple[bool, bool, bool], ...]] = (
    # websocket, ssh, http
    (True, True, True),
    (False, True, True),
    (False, False, True),
    (False, True, False),
    (True, False, False),
    (True, True, False),
)
CHANGES: Final = 50
LONGER_THAN_ANY_ANSWER_S: Final = 46.0  # roomd asks a silent shell after 20 s and waits for 20
LOSSES: Final = 12
SICK_PER_LINE: Final = 2
LOOKS: Final = "looks"  # audits and polls, which take minutes otherwise


async def calm(w: World) -> None:
    await asyncio.sleep(25)


async def lost_and_found(w: World) -> None:
    for _ in range(CHANGES):
        device = w.luck.choice(w.site.devices)
        websocket, ssh, http = w.luck.choice(OFFERS)
        device.offer(websocket=websocket, ssh=ssh, http=http)
        if w.luck.random() < 0.5:
            device.cut(w.luck.choice(HOW))
        w.fault()
        await asyncio.sleep(w.luck.uniform(0.1, 0.8))
    for device in w.site.devices:
        if not (device.offers("websocket") or device.offers("ssh")):
            device.offer(ssh=True)
    await w.goes_on(3)


async def shells_half_open(w: World) -> None:
    hanging = w.luck.sample(w.site.devices, 6)
    for number, device in enumerate(hanging):
        if number % 3 == 0:
            device.close_shells()  # the connection stays
            device.hold_open(newcomers=True)
        else:
            device.hold_open(newcomers=number % 2 == 0)
        w.fault()
    for device in w.luck.sample([each for each in w.site.devices if each not in hanging], 4):
        device.close_shells()
        w.fault()
    await asyncio.sleep(LONGER_THAN_ANY_ANSWER_S)
    for device in hanging:
        device.let_go()
        device.cut()  # what it said meanwhile, nobody heard
    await w.goes_on(2)


async def feedback_lost(w: World) -> None:
    for _ in range(LOSSES):
        w.luck.choice(w.site.devices).lose_feedback()
        w.fault()
        await asyncio.sleep(w.luck.uniform(0.5, 2.0))
    await w.goes_on(2)


async def slots_deactivated(w: World) -> None:
    for turn in range(LOSSES):
        device = w.luck.choice(w.site.devices)
        if turn % 3 == 0:
            device.lose_feedback()  # registered no more
        elif turn % 3 == 1:
            device.deactivate_slots()
        else:
            device.slots.register(1, "http://127.0.0.1:9/else", ["/Status/Standby"], "JSON")  # another's
        if w.luck.random() < 0.4:
            device.post_as_stranger()
        w.fault()
        await asyncio.sleep(w.luck.uniform(0.5, 2.0))
    await w.goes_on(2)


async def sessions_exhausted(w: World) -> None:
    over_ssh = w.devices_on("ssh")
    full = w.luck.sample(w.site.devices, 6)
    for device in full:
        device.fault(sessions_exhausted=True)
        device.cut("reset")
        w.fault()
    await asyncio.sleep(8)
    for device in full:
        device.fault(sessions_exhausted=False)
        if (
            device in over_ssh
        ):  # there it says what it says to a wrong password: a person has to write it anew
            password = w.roomd.installation.directory / f"password-{device.room}"
            password.write_text(f"{device.password}\n", encoding="utf-8")
    await w.goes_on(2)
    left_over = {device.room: len(device.sessions) for device in w.site.devices if len(device.sessions) > 2}
    assert not left_over, f"sessions that were not ended: {left_over}"


async def junk_on_each(w: World) -> None:
    """Some on each line talk nonsense; all others, on whichever line, do not notice."""
    sick = [device for line in ALL for device in w.devices_on(line)[:SICK_PER_LINE]]
    healthy = [device for device in w.site.devices if device not in sick]
    await asyncio.sleep(2)
    before = len(w.recorder.events)
    for round_ in range(24):
        for device in _one_of_each(sick, round_):
            device.send_junk(w.luck.choice(HARMLESS))
            if round_ < len(HARMFUL):
                device.send_junk(HARMFUL[round_])
            w.fault()
        await asyncio.sleep(0.5)
    events = w.recorder.events[before:]
    rooms = {f"rooms/{device.room}" for device in healthy}
    lost = [e.stream for e in events if e.kind in {"device.lost", "device.refused"} and e.stream in rooms]
    assert not lost, f"healthy devices were lost: {lost}"
    heard = {e.stream for e in events} & rooms
    assert len(heard) > len(rooms) / 2, f"only {len(heard)} of {len(rooms)} healthy rooms were heard"


def _one_of_each(sick: Sequence[Device], turn: int) -> list[Device]:
    return [sick[place + turn % SICK_PER_LINE] for place in range(0, len(sick), SICK_PER_LINE)]


LINES: Final = (
    Scenario(
        name="every line",
        tells="all firmware from 9.15 on over WebSocket, SSH and HTTP; nothing goes wrong",
        setting=Setting(rooms=24, profile="every", lines=("ssh", "http", "auto"), feedback=True, hurry=LOOKS),
        plot=calm,
    ),
    Scenario(
        name="lines lost and found",
        tells=f"services are switched off and on {CHANGES} times",
        setting=Setting(hurry=f"devices,{LOOKS}", feedback=True, recovers_within_s=60.0),
        plot=lost_and_found,
    ),
    Scenario(
        name="SSH: restarted",
        tells="in the middle of a request, from CE 9.15 on",
        setting=Setting(profile="every", lines=("ssh",)),
        plot=restarted_in_mid_request,
    ),
    Scenario(
        name="SSH: half-open",
        tells="six neither read nor answer for 46 s; shells are closed and their connections stay",
        setting=Setting(lines=("ssh",)),
        plot=shells_half_open,
    ),
    Scenario(
        name="SSH: feedback lost",
        tells="registrations vanish without a word",
        setting=Setting(profile="every", lines=("ssh",), hurry=LOOKS),
        plot=feedback_lost,
    ),
    Scenario(
        name="HTTP: restarted",
        tells="in the middle of a request, called back and polled again",
        setting=Setting(profile="every", lines=("http",), feedback=True, hurry=LOOKS),
        plot=restarted_in_mid_request,
    ),
    Scenario(
        name="HTTP: slots lost",
        tells="deactivated, forgotten, and taken by another system; strangers post",
        setting=Setting(profile="every", lines=("http",), feedback=True, hurry=LOOKS),
        plot=slots_deactivated,
    ),
    Scenario(
        name="HTTP: polled",
        tells="nobody calls back; services restart in mid-request",
        setting=Setting(profile="every", lines=("http",), hurry=LOOKS),
        plot=restarted_in_mid_request,
    ),
    Scenario(
        name="sessions exhausted",
        tells="over SSH and HTTP; none of ours is left over",
        setting=Setting(lines=("ssh", "http"), feedback=True, hurry=f"devices,{LOOKS}"),
        plot=sessions_exhausted,
    ),
    Scenario(
        name="lines talk nonsense",
        tells="two devices on each line; and the healthy do not notice",
        setting=Setting(
            rooms=18, lines=ALL, feedback=True, hurry=LOOKS, counts=60.0, recovers_within_s=120.0
        ),
        plot=junk_on_each,
    ),
)
