"""What a broker would not take goes again when a person says so: late, with its id and bytes, in order."""

import asyncio
import json
from pathlib import Path

from cloud_link import dead_letters, outbox
from cloud_link.database import open_database
from tests.brokers import Ack, Liar, refusing
from tests.cloud_link.stand import BASE, SEEN_WITHIN_S, Stand, append, forwarding, numbers, seal, until

FJORD, LAKE = "rooms/fjord", "rooms/lake"
EVENTS = f"{BASE}/rooms/+/events/#"


async def buried(stand: Stand) -> list[int]:
    return [one.number for one in await stand.database.write(dead_letters.letters) if one.stream == FJORD]


async def tried(stand: Stand) -> None:
    """Until each was tried."""
    async with asyncio.timeout(SEEN_WITHIN_S):
        while await stand.database.write(dead_letters.wished) is not None:
            pass


def came(liar: Liar, *, since: int) -> list[bytes]:
    return [each.payload for each in liar.received[since:] if "/rooms/" in each.topic]


async def refused(stand: Stand, liar: Liar, *, code: int = 0x99, times: int = 3) -> list[bytes]:
    """So many of the fjord are refused, in between others; their bytes."""
    liar.pubacks = refusing(code, topic_filter=f"{BASE}/rooms/fjord/#", after=1, times=times)
    posted = await stand.post([seal(FJORD, body=str(n)) for n in range(times + 2)])
    await stand.settled()
    liar.pubacks = lambda received: Ack()
    return [one.envelope.payload for one in posted[1 : times + 1]]


async def test_they_go_again_in_their_order_with_the_same_bytes_once_the_broker_takes_them(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        letters = await refused(stand, liar)
        assert await buried(stand) == [2, 3, 4]
        before = len(liar.received)
        assert await stand.forwarder.retry() == 3
        await tried(stand)
        assert came(liar, since=before) == letters
        assert await buried(stand) == []
        stats = await stand.database.write(lambda tx: outbox.stats(tx, now=outbox.moment_now()))
        assert (stats.dead_letters, stats.dropped, stats.depth) == (0, 3, 0)  # the cloud was told of a gap
        assert not liar.violations


async def test_what_is_refused_again_stays_with_the_new_reason(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        await refused(stand, liar)
        liar.pubacks = refusing(0x90, topic_filter=f"{BASE}/rooms/fjord/#", after=1, times=1)
        assert await stand.forwarder.retry() == 3
        await tried(stand)
        [left] = await stand.database.write(dead_letters.letters)
        assert (left.number, left.code) == (3, 0x90)


async def test_no_right_to_publish_ends_it_and_loses_none(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        await refused(stand, liar)
        liar.pubacks = refusing(0x87, topic_filter=EVENTS)
        await stand.forwarder.retry()
        await tried(stand)
        assert await buried(stand) == [2, 3, 4]


async def test_cuts_and_refusals_for_now_are_outlived(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        letters = await refused(stand, liar)
        liar.pubacks = refusing(0x97, topic_filter=EVENTS, times=2)
        before = len(liar.received)
        liar.cut_after_publishes(4)
        await stand.forwarder.retry()
        await tried(stand)
        assert list(dict.fromkeys(came(liar, since=before))) == letters
        assert await buried(stand) == []


async def test_a_wish_is_kept_for_the_next_life_and_rotten_ones_never_go(tmp_path: Path):
    async with Liar() as liar:
        async with forwarding(tmp_path, liar.url) as stand:
            await refused(stand, liar)
            await stand.database.write(
                lambda tx: tx.execute("UPDATE dead_letters SET code = 0 WHERE number = 3")
            )
        async with open_database(tmp_path) as database:
            assert await database.write(dead_letters.wish) == 2
            await append(database, [seal(LAKE)])
        before = len(liar.received)
        async with forwarding(tmp_path, liar.url) as stand:
            await tried(stand)
            assert await buried(stand) == [3]
        payloads = came(liar, since=before)
        assert numbers(payloads, FJORD) == [2, 4]
        assert json.loads(payloads[0])["stream"] == LAKE  # what is new goes first


async def test_without_any_there_is_nothing_to_wish_for(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        assert await stand.forwarder.retry() == 0
        await stand.post([seal(FJORD)])
        await until(lambda: len(liar.messages(EVENTS)) == 1)
