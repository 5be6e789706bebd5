"""A broker that lies: PUBACKs withheld, late, twice and negative, sessions taken over, clients sent away."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.brokers import Ack, Offer, Received, late, twice, withheld
from tests.brokers.records import at_once
from tests.prove.plots.processes import struck
from tests.prove.scenario import Scenario
from tests.prove.world import Setting, World

ROOMD: Final = "roomd-prove-agent-1"
FOR_NOW: Final = (0x80, 0x83, 0x97)
NOT_ALLOWED: Final = 0x87
NEVER: Final = (0x90, 0x99)
GOODBYES: Final = (0x8E, 0x8B, 0x97, 0x89, 0x98, 0x80, 0x8D, 0x95, 0x8E)
REFUSALS: Final = (0x86, 0x87, 0x88, 0x89, 0x97, 0x9F)
OVERDUE_S: Final = 33.0
AT_A_BURIAL: Final = ("before a burial:2", "after a burial:2")


async def pubacks_withheld(w: World) -> None:
    liar = w.liar
    for reverse in (False, True):
        liar.pubacks = withheld
        w.fault()
        await asyncio.sleep(5)
        liar.pubacks = at_once
        liar.acknowledge(reverse=reverse)
        await asyncio.sleep(3)
    liar.pubacks = late(lambda _: w.luck.uniform(0.0, 1.5))
    w.fault()
    await asyncio.sleep(8)
    liar.pubacks = twice
    w.fault()
    await asyncio.sleep(3)
    for _ in range(50):
        liar.send_puback(w.luck.randrange(1, 65_536))  # nobody asked for these
    w.fault()
    liar.pubacks = withheld  # until roomd gives the connection up
    w.fault(breaks=1)
    await asyncio.sleep(OVERDUE_S)
    liar.pubacks = at_once
    liar.acknowledge()
    await w.goes_on(3)


async def pubacks_negative(w: World) -> None:
    liar, luck = w.liar, w.luck

    def now_and_then(received: Received) -> Ack:
        if "/events/" in received.topic and luck.random() < 0.2:
            w.fault()
            return Ack(code=luck.choice(FOR_NOW))
        return Ack()

    liar.pubacks = now_and_then
    await asyncio.sleep(15)
    liar.pubacks = lambda received: Ack(code=NOT_ALLOWED if "/events/" in received.topic else 0)
    w.fault()
    await asyncio.sleep(6)
    liar.pubacks = lambda received: Ack(code=0x10)  # nobody listens
    w.fault()
    await asyncio.sleep(4)
    liar.pubacks = lambda received: Ack(code=0x80 if received.topic.endswith("/state") else 0)
    w.fault()
    await asyncio.sleep(4)
    liar.pubacks = at_once
    liar.cut(client_id=ROOMD)  # what is retained is shown anew at once
    w.fault(breaks=1)
    await w.goes_on(2)


async def pubacks_never(w: World) -> None:
    """Dead letters: given up, and told as gaps."""
    liar, luck = w.liar, w.luck

    def some_never(received: Received) -> Ack:
        if "/rooms/" in received.topic and "/events/" in received.topic and luck.random() < 0.04:
            w.fault()
            return Ack(code=luck.choice(NEVER))
        return Ack()

    liar.pubacks = some_never
    await asyncio.sleep(12)
    for point in AT_A_BURIAL:
        await w.roomd.kill()
        w.fault(breaks=1)
        await w.start(die_at=point)
        await struck(w, point)
        await w.start()
        await asyncio.sleep(3)
    liar.pubacks = at_once
    await w.goes_on(2)


async def sent_away(w: World) -> None:
    liar = w.liar
    for code in GOODBYES:
        await asyncio.sleep(w.luck.uniform(1.0, 2.5))
        liar.disconnect(code, client_id=ROOMD)
        w.fault(breaks=1)
    for code in REFUSALS:
        liar.refuse(code, times=2)
        liar.cut(client_id=ROOMD)
        w.fault(breaks=1)
        await asyncio.sleep(w.luck.uniform(2.0, 3.0))
    for receive_maximum in (1, 3, 10):
        liar.offer = Offer(receive_maximum=receive_maximum)
        liar.disconnect(0x97, client_id=ROOMD)
        w.fault(breaks=1)
        await asyncio.sleep(4)
    liar.offer = Offer()
    liar.hold_connack()
    liar.cut(client_id=ROOMD)
    w.fault(breaks=1)
    await asyncio.sleep(3)
    liar.release_connack()
    await w.goes_on(2)
    for garbage in (b"\x00\xff\xff\xff\xff\xff", b"\x20\x02\x00\x00", b"\x40\x01\x00", b"\xf0\x00"):
        for connection in liar.living:
            if connection.client_id == ROOMD:
                connection.send(garbage)
        w.fault(breaks=1)
        await w.goes_on(2)
    broken = [each.what for each in liar.violations if each.client_id == ROOMD]
    assert not broken, f"roomd broke the rules of MQTT: {broken[:5]}"


async def only_the_older_protocol(w: World) -> None:
    """A broker that is exchanged for one that speaks MQTT 3.1.1, and back."""
    for answer in ("old code", "new code", "cut"):
        w.liar.only_311(answer=answer)
        w.liar.cut(client_id=ROOMD)
        w.fault(breaks=1)
        await asyncio.sleep(8)
        w.liar.accept()
        w.liar.cut(client_id=ROOMD)
        w.fault(breaks=1)
        await w.goes_on(2)


LIES: Final = (
    Scenario(
        name="PUBACKs late",
        tells="withheld, late, twice, in the wrong order, for others, and never within 33 s",
        setting=Setting(broker="liar"),
        plot=pubacks_withheld,
    ),
    Scenario(
        name="PUBACKs negative",
        tells="0x80, 0x83, 0x97 to a fifth of them, 0x87 to all for a while, 0x10",
        setting=Setting(broker="liar"),
        plot=pubacks_negative,
    ),
    Scenario(
        name="PUBACKs: never",
        tells="0x90 and 0x99 to some: set aside, and told as gaps, also by a process that is killed at it",
        setting=Setting(broker="liar"),
        plot=pubacks_never,
    ),
    Scenario(
        name="sent away",
        tells="DISCONNECT taken over, shutting down, throttled; CONNACK refused and held; garbage",
        setting=Setting(broker="liar", hurry="broker"),
        plot=sent_away,
    ),
    Scenario(
        name="MQTT 3.1.1",
        tells="a broker that says so in three ways, and later knows MQTT 5 again",
        setting=Setting(broker="liar", hurry="broker"),
        plot=only_the_older_protocol,
    ),
)
