"""What was acknowledged is sent again when somebody asks: the same bytes, in order, behind what is new."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloud_link import database, inbox, outbox, replays
from cloud_link.commands import Command, Replay
from cloud_link.database import FILE, Connection, open_database
from cloud_link.outbox import Budget
from tests.brokers import Ack, Liar, Received, late, refusing
from tests.brokers.records import AckRule
from tests.cloud_link.asking import ANSWERED_HERE, ASKED_HERE, Shell, body, replay
from tests.cloud_link.made import at_leisure
from tests.cloud_link.orders import BASE
from tests.cloud_link.stand import (
    QUICK,
    SMALL,
    Stand,
    append,
    forwarding,
    numbers,
    seal,
    until,
)

FJORD, LAKE = "rooms/fjord", "rooms/lake"
EVENTS = f"{BASE}/rooms/+/events/#"


@asynccontextmanager
async def replaying(
    directory: Path,
    to: str,
    *,
    shell: Shell | None = None,
    **more: Any,  # noqa: ANN401 (as `forwarding`)
) -> AsyncIterator[Stand]:
    shell = shell or Shell()
    async with forwarding(directory, to, hearing=shell.hearing, before=shell.meet, **more) as stand:
        yield stand


async def ask(liar: Liar, id_: str = "c1", first: int = 1, **more: Any) -> None:  # noqa: ANN401 (as `body`)
    await liar.subscribed(f"{BASE}/agents/a1/commands/+")
    liar.publish(ASKED_HERE, body(id_, first, **more))


async def answers(liar: Liar, *ids: str) -> dict[str, dict[str, Any]]:
    """The final ones to these, once they are all there."""

    def finals() -> dict[str, dict[str, Any]]:
        said = [json.loads(each.payload) for each in liar.messages(ANSWERED_HERE)]
        return {each["command_id"]: each for each in said if each["status"] != "accepted"}

    await liar.until(lambda: finals().keys() >= set(ids))
    return finals()


async def answer(liar: Liar, id_: str = "c1") -> dict[str, Any]:
    return (await answers(liar, id_))[id_]


def statuses(liar: Liar, id_: str = "c1") -> list[str]:
    said = [json.loads(each.payload) for each in liar.messages(ANSWERED_HERE)]
    return [each["status"] for each in said if each["command_id"] == id_]


def of(liar: Liar, stream: str = FJORD) -> list[int]:
    return numbers((each.payload for each in liar.messages(EVENTS)), stream)


def only_events(rule: AckRule) -> AckRule:
    return lambda received: rule(received) if "/events/" in received.topic else Ack()


async def told(stand: Stand, count: int, *, body: str = "") -> None:
    """So many of each room, acknowledged."""
    for _ in range(0, count, 10):
        await stand.post([seal(room, body=body) for _ in range(min(10, count)) for room in (FJORD, LAKE)])
    await stand.settled()


# ── the plain way


async def test_events_are_sent_again_exactly_as_they_were(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 100)
        before = [each for each in liar.messages(EVENTS) if "fjord" in each.topic]
        await ask(liar, first=11, last=90)
        assert (await answer(liar))["result"] == {
            "sent": 80,
            "missing": 0,
            "first": 11,
            "last": 90,
            "epoch": stand.database.opened.epoch,
        }
        again = [each for each in liar.messages(EVENTS) if "fjord" in each.topic][100:]
        assert [as_sent(each) for each in again] == [as_sent(each) for each in before[10:90]]
        assert statuses(liar) == ["accepted", "done"]
        assert len(of(liar, LAKE)) == 100
        assert await stand.database.write(replays.going) == []
        assert not liar.violations


def as_sent(each: Received) -> tuple[object, ...]:
    return each.topic, each.payload, each.properties, each.qos, each.retain


async def test_without_a_last_it_goes_up_to_the_newest_and_settles_nothing(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 50)
        before = await stand.database.write(outbox.heads)
        await ask(liar, first=41)
        assert (await answer(liar))["result"]["last"] == 50
        assert of(liar)[50:] == list(range(41, 51))
        await stand.settled()
        after = await stand.database.write(outbox.heads)
        assert [head for head in after if head.stream in {FJORD, LAKE}] == [
            head for head in before if head.stream in {FJORD, LAKE}
        ]
        stats = await stand.database.write(lambda tx: outbox.stats(tx, now=outbox.moment_now()))
        assert (stats.dropped, stats.dead_letters) == (0, 0)


async def test_what_the_broker_has_acknowledged_and_the_disk_does_not_know_yet_is_sent_too(tmp_path: Path):
    conduct = replace(QUICK, settle_within_s=0.2)
    async with Liar() as liar, replaying(tmp_path, liar.url, conduct=conduct) as stand:
        await stand.post([seal(FJORD)])
        await until(lambda: stand.forwarder.vitals.acknowledged)
        await ask(liar)
        assert (await answer(liar))["result"]["sent"] == 1


async def test_somebody_who_did_not_come_through_the_inbox_is_served_and_answered_nowhere(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 10)
        await stand.forwarder.replay(replay("from-a-person", 8))
        await liar.until(lambda: of(liar)[10:] == [8, 9, 10])
        await until_over(stand)
        assert liar.messages(ANSWERED_HERE) == []


async def until_over(stand: Stand) -> None:
    while await stand.database.write(replays.going):  # noqa: ASYNC110
        await asyncio.sleep(0.002)


# ── what is not kept


async def test_nothing_kept_is_refused_with_what_is(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await ask(liar, "c0")
        await answer(liar, "c0")
        await told(stand, 20)
        gone = "DELETE FROM outbox WHERE number <= 10"
        await stand.database.write(lambda tx: tx.execute(gone))
        await ask(liar, "c1", 3, last=9)
        await ask(liar, "c2", 21)
        await ask(liar, "c3", epoch="other")
        found = await answers(liar, "c0", "c1", "c2", "c3")
        assert {each["status"] for each in found.values()} == {"refused"}
        epoch = stand.database.opened.epoch
        for id_ in ("c1", "c2", "c3"):
            assert found[id_]["result"] == {"kept_first": 11, "kept_last": 20, "kept_epoch": epoch}
            assert "11 to 20" in found[id_]["reason"]
        assert found["c0"]["result"] is None
        assert len(of(liar)) == 20


async def test_what_is_not_kept_any_more_is_counted(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 20)
        gone = "DELETE FROM outbox WHERE number <= 5 OR number IN (11, 12, 20)"
        await stand.database.write(lambda tx: tx.execute(gone))
        await ask(liar, first=2, last=30)
        result = (await answer(liar))["result"]
        assert (result["first"], result["last"], result["sent"], result["missing"]) == (2, 19, 12, 6)
        assert of(liar)[20:] == [*range(6, 11), *range(13, 20)]


async def test_what_is_damaged_on_disk_is_missing(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 100)
        harm = "UPDATE outbox SET payload = x'00' WHERE number BETWEEN 5 AND 80"
        await stand.database.write(lambda tx: tx.execute(harm))
        await ask(liar)
        result = (await answer(liar))["result"]
        assert (result["sent"], result["missing"]) == (24, 76)


async def test_what_housekeeping_takes_meanwhile_is_skipped_and_counted(tmp_path: Path):
    conduct = replace(QUICK, budget=Budget(replay_bytes=6000))
    async with Liar() as liar, replaying(tmp_path, liar.url, conduct=conduct) as stand:
        await told(stand, 200)
        liar.pubacks = only_events(lambda received: Ack(times=int(len(of(liar)) < 240)))
        await ask(liar)
        await liar.until(lambda: len(of(liar)) == 240)
        stand.forwarder._house.set()  # noqa: SLF001 (its hour has come)
        await until_deleted(stand)
        liar.pubacks = lambda received: Ack()
        liar.acknowledge()
        result = (await answer(liar))["result"]
        assert result["sent"] + result["missing"] == 200
        assert 0 < result["missing"] < 160
        again = of(liar)[200:]
        assert len(again) == result["sent"]
        assert again == sorted(again)
        assert again[-1] == 200


async def until_deleted(stand: Stand) -> None:
    count = "SELECT count(*) FROM outbox"
    while (await stand.database.write(lambda tx: tx.execute(count).fetchone()))[0] > 100:  # noqa: ASYNC110
        await asyncio.sleep(0.002)


async def test_when_all_of_it_went_before_its_turn_it_has_failed(tmp_path: Path):
    async with Liar() as liar:
        async with replaying(tmp_path, liar.url) as stand:
            await told(stand, 20)
        async with open_database(tmp_path, limits=SMALL) as disk:
            await disk.write(lambda tx: inbox.keep(tx, replay(), recorded=outbox.moment_now()))
            await disk.write(partial(begun, command=replay()))
            await disk.write(lambda tx: tx.execute("DELETE FROM outbox WHERE kind LIKE 'booking.%'"))
        async with replaying(tmp_path, liar.url):
            failed = await answer(liar)
            assert (failed["status"], failed["result"]["missing"]) == ("failed", 20)


def begun(tx: Connection, command: Command) -> None:
    assert isinstance(command.order, Replay)
    replays.begin(tx, command, command.order, acknowledged=0, recorded=outbox.moment_now())


# ── behind what is new


async def test_new_events_overtake_a_replay(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 200)
        liar.pubacks = only_events(late(0.002))
        await ask(liar)
        await liar.until(lambda: len(of(liar)) >= 220)
        await stand.post([seal(FJORD), seal(LAKE)])
        await liar.until(lambda: of(liar, LAKE)[-1] == 201)
        assert 201 in of(liar)
        assert len(of(liar)) < 240, "the rest of the replay is still to come"
        assert (await answer(liar))["result"]["sent"] == 200
        assert [number for number in of(liar)[200:] if number <= 200] == list(range(1, 201))
        assert not liar.violations


async def test_a_replay_waits_while_the_window_is_full_of_new_ones(tmp_path: Path):
    conduct = replace(QUICK, window=3)
    async with Liar() as liar, replaying(tmp_path, liar.url, conduct=conduct) as stand:
        await told(stand, 10)
        await ask(liar, first=99)  # refused: it shows that the line is idle
        await answer(liar)
        liar.pubacks = only_events(lambda received: Ack(times=0))
        await stand.post([seal(f"rooms/r{n}") for n in range(6)])
        await liar.published(23, EVENTS)
        await stand.forwarder.replay(replay("c2"))
        await until(lambda: stand.forwarder.vitals.under_way == 3)
        liar.pubacks = lambda received: Ack()
        liar.acknowledge()
        await liar.until(lambda: len(of(liar)) == 20)
        came = [each.topic.split("/")[4] for each in liar.messages(EVENTS)][20:]
        assert came == [f"r{n}" for n in range(6)] + ["fjord"] * 10


async def test_a_replay_of_much_takes_little_memory_and_delays_nothing_new(tmp_path: Path):
    """Each read is as long as READ_BYTES and one envelope more at most."""
    conduct = replace(QUICK, memory_bytes=10_000)
    async with Liar() as liar, replaying(tmp_path, liar.url, conduct=conduct) as stand:
        await told(stand, 40, body="x" * 30_000)
        at_hand: list[int] = []
        again = stand.forwarder._replays  # noqa: SLF001 (how much it holds is seen nowhere else)

        def look(received: Received) -> Ack:
            at_hand.append(sum(len(one.envelope.payload) for one in again._batch))  # noqa: SLF001
            return Ack()

        liar.pubacks = look
        await ask(liar)
        await answer(liar)
        assert max(at_hand) <= replays.READ_BYTES + 31_000
        assert of(liar)[40:] == list(range(1, 41))


# ── brokers


async def test_cuts_and_refusals_keep_the_order(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 100)
        seen = 0

        def rule(received: Received) -> Ack:
            nonlocal seen
            seen += 1
            if seen % 17 == 0:
                liar.cut()
            return Ack(code=0x97 if seen % 5 == 0 else 0)

        liar.pubacks = only_events(rule)
        await ask(liar)
        assert (await answer(liar))["result"]["sent"] == 100
        again = of(liar)[100:]
        assert list(dict.fromkeys(again)) == list(range(1, 101))
        assert again == sorted(again)


async def test_it_waits_for_a_broker_that_is_away(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 20)
        await ask(liar, "never", 99)
        await answer(liar, "never")
        await liar.stop()
        await until(lambda: not stand.forwarder.vitals.connected)
        await stand.forwarder.replay(replay())
        assert len(await stand.database.write(replays.going)) == 1
        await liar.start()
        await liar.until(lambda: len(of(liar)) == 40)


async def test_what_has_not_begun_when_it_expires_is_not_begun(tmp_path: Path):
    async with Liar() as liar:
        async with replaying(tmp_path, liar.url) as stand:
            await told(stand, 20)
        async with open_database(tmp_path, limits=SMALL) as disk:
            await disk.write(lambda tx: inbox.keep(tx, replay(), recorded=outbox.moment_now()))
            await disk.write(partial(begun, command=replay()))
            await disk.write(lambda tx: tx.execute("UPDATE replays SET expires_ms = 1"))
        shell = Shell()
        async with replaying(tmp_path, liar.url, shell=shell):
            assert (await answer(liar))["status"] == "expired"
        assert len(of(liar)) == 20
        assert shell.asked == []


async def test_one_that_may_not_be_published_fails_and_pauses_nobody(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 20)
        liar.pubacks = refusing(0x87, topic_filter=f"{BASE}/rooms/fjord/events/#", after=5)
        await ask(liar)
        failed = await answer(liar)
        assert (failed["status"], failed["result"]["sent"], failed["result"]["missing"]) == ("failed", 5, 15)
        assert "0x87" in failed["reason"]
        await stand.post([seal(LAKE)])
        await stand.settled()
        assert stand.forwarder.vitals.paused_why is None


async def test_what_a_broker_takes_no_more_is_missing_and_no_dead_letter(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 20)
        liar.pubacks = refusing(0x99, topic_filter=f"{BASE}/rooms/fjord/events/#", after=5, times=3)
        await ask(liar)
        result = (await answer(liar))["result"]
        assert (result["sent"], result["missing"]) == (17, 3)
        assert stand.forwarder.vitals.dead_letters == 0


async def test_a_broker_that_hangs_up_over_it_does_not_for_ever(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 20)

        def hang_up(received: Received) -> Ack:
            if received.topic == f"{BASE}/rooms/fjord/events/booking":
                liar.cut()
                return Ack(times=0)
            return Ack()

        liar.pubacks = hang_up
        await ask(liar)
        failed = await answer(liar)
        assert failed["status"] == "failed"
        assert len(of(liar)) == 20 + replays.LOST_WITH


# ── several, restarts


async def test_two_are_done_one_after_the_other(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 80)
        await ask(liar, "c1")
        await ask(liar, "c2", 71, room="lake")
        found = await answers(liar, "c1", "c2")
        assert [found[id_]["result"]["sent"] for id_ in ("c1", "c2")] == [80, 10]
        came = [each.topic.split("/")[4] for each in liar.messages(EVENTS)][160:]
        assert came == ["fjord"] * 80 + ["lake"] * 10


async def test_more_than_may_wait_are_refused(tmp_path: Path):
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await told(stand, 10)
        liar.pubacks = only_events(lambda received: Ack(times=0))
        for nth in range(replays.WAITING_AT_MOST + 1):
            await ask(liar, f"c{nth}")
        refused = await answer(liar, f"c{replays.WAITING_AT_MOST}")
        assert refused["status"] == "refused"
        assert "16 replays" in refused["reason"]
        liar.pubacks = lambda received: Ack()
        liar.acknowledge()
        await answers(liar, *(f"c{nth}" for nth in range(replays.WAITING_AT_MOST)))


async def test_a_restart_goes_on_with_it_and_asks_nobody(tmp_path: Path):
    async with Liar() as liar:
        async with replaying(tmp_path, liar.url) as stand:
            await told(stand, 200)
            liar.pubacks = only_events(late(0.002))
            await ask(liar)
            await liar.until(lambda: len(of(liar)) == 300)
        assert len(of(liar)) < 400
        shell = Shell()
        async with replaying(tmp_path, liar.url, shell=shell):
            assert (await answer(liar))["result"]["sent"] == 200
        assert shell.asked == []
        assert list(dict.fromkeys(of(liar)[200:])) == list(range(1, 201))
        assert len(of(liar)) <= 400 + replays.READ_TOGETHER
        assert statuses(liar) == ["accepted", "done"]


async def test_after_a_rescue_nothing_of_it_is_kept_and_that_is_told(tmp_path: Path):
    async with Liar() as liar:
        async with replaying(tmp_path, liar.url) as stand:
            await told(stand, 20)
        async with open_database(tmp_path, limits=SMALL) as disk:
            await disk.write(lambda tx: inbox.keep(tx, replay(), recorded=outbox.moment_now()))
            await disk.write(partial(begun, command=replay()))
            query = "SELECT rootpage FROM sqlite_schema WHERE name = 'outbox_by_stream'"
            (root,) = await disk.write(lambda tx: tx.execute(query).fetchone())
        with (tmp_path / FILE).open("r+b") as damaged:
            damaged.seek((root - 1) * 4096)
            damaged.write(b"\x00" * 4096)
        async with replaying(tmp_path, liar.url) as stand:
            assert stand.database.opened.reset is not None
            failed = await answer(liar)
            assert (failed["status"], failed["result"]["missing"]) == ("failed", 20)


# ── epochs


async def test_numbers_belong_to_their_epoch(tmp_path: Path):
    async with open_database(tmp_path, limits=SMALL, new_epoch=lambda: "e1") as disk:
        for epoch in ("e1", "e2", "e3"):
            await disk.write(partial(new_epoch, epoch=epoch))
            posted = await append(disk, [seal(room) for _ in range(12) for room in (FJORD, LAKE)])
        await disk.write(lambda tx: outbox.settle(tx, {FJORD: posted[-4].place}))
    async with Liar() as liar, replaying(tmp_path, liar.url) as stand:
        await stand.settled()
        live = len(liar.messages(EVENTS))
        await ask(liar, "c1", 4, last=5, epoch="e1")
        await ask(liar, "c2", 4, last=5, epoch="e2")
        await ask(liar, "c3", 4, last=5)
        await answers(liar, "c1", "c2", "c3")
        ids = [json.loads(each.payload)["id"] for each in liar.messages(EVENTS)][live:]
        assert ids == ["e1-4", "e1-5", "e2-4", "e2-5", "e3-4", "e3-5"]


def new_epoch(tx: Connection, epoch: str) -> None:
    """As a rescue leaves it."""
    tx.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
    tx.execute("UPDATE streams SET next_number = 1")


@at_leisure
@given(st.data())
def test_what_is_found_is_what_is_kept_of_the_range(data: st.DataObject):
    """Whatever is missing, in whichever epoch: found with a few looks, and counted as by hand."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as tx:
        database._create(tx)  # noqa: SLF001 (the schema without a file)
        tx.execute("INSERT INTO meta VALUES ('epoch', 'e0')")
        for epoch in ("e1", "e2", "e3"):
            new_epoch(tx, epoch)
            streams = data.draw(st.lists(st.sampled_from((FJORD, LAKE)), max_size=12))
            outbox.append(tx, [seal(stream) for stream in streams], recorded=outbox.moment_now())
        top = data.draw(st.integers(0, 36))
        outbox.settle(tx, {FJORD: top})
        for place in data.draw(st.sets(st.integers(1, 36))):
            tx.execute("DELETE FROM outbox WHERE place = ?", (place,))
        first, last = data.draw(st.integers(1, 14)), data.draw(st.none() | st.integers(1, 14))
        epoch = data.draw(st.sampled_from(("e1", "e2", "e3")))
        if last is not None and last < first:
            last = first
        command = replay("c1", first, epoch=epoch, **({} if last is None else {"last": last}))
        query = (
            "SELECT number FROM outbox o JOIN streams s ON s.id = o.stream WHERE s.name = ? AND place <= ? "
            "AND o.id LIKE ? AND number BETWEEN ? AND ? ORDER BY place"
        )
        kept = [row[0] for row in tx.execute(query, (FJORD, top, f"{epoch}-%", first, last or 99))]
        begun(tx, command)
        turned = replays.turn(tx, None, now=outbox.moment_now())
        assert [one.envelope.number for one in turned.batch] == kept
        if turned.going is not None:
            assert (turned.going.first, turned.going.epoch) == (first, epoch)
            assert kept[-1] <= turned.going.last <= (last or 99)
