"""From the disk to the broker: in order, within the window, not forgotten before its acknowledgement."""

import asyncio
import json
import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cloud_link import outbox
from cloud_link.address import Address
from cloud_link.broker import dialling
from cloud_link.database import open_database, open_to_read
from cloud_link.delivery import Rest
from cloud_link.forwarder import Forwarder
from tests.brokers import Ack, Liar, Mosquitto, Offer, Properties, late, refusing, withheld
from tests.brokers.records import AckRule, twice
from tests.cloud_link.listener import listening
from tests.cloud_link.stand import (
    AGENT,
    AGENT_STREAM,
    BASE,
    QUICK,
    SEEN_WITHIN_S,
    STATUS,
    address,
    append,
    forwarding,
    numbers,
    seal,
    until,
    without_repeats,
)

FJORD, LAKE = "rooms/fjord", "rooms/lake"
EVENTS = f"{BASE}/rooms/+/events/#"
ALL_EVENTS = f"{BASE}/+/+/events/#"


def of(liar: Liar, stream: str) -> list[int]:
    return numbers((each.payload for each in liar.messages(ALL_EVENTS)), stream)


def only_events(rule: AckRule) -> AckRule:
    """Status and retained topics are acknowledged honestly."""
    return lambda received: rule(received) if "/events/" in received.topic else Ack()


# ── order and window


async def test_events_arrive_in_order_and_leave_the_outbox(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        for _ in range(50):
            await stand.post([seal(FJORD), seal(LAKE)])
        await stand.settled()
        assert of(liar, FJORD) == of(liar, LAKE) == list(range(1, 51))
        assert not liar.violations


async def test_events_say_what_they_are(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        await stand.post([seal(FJORD)])
        (event,) = await liar.published(1, EVENTS)
        assert event.topic == f"{BASE}/rooms/fjord/events/booking"
        assert (event.qos, event.retain, event.dup) == (1, False, False)
        assert event.properties.content_type == "application/cloudevents+json"


async def test_one_is_under_way_per_stream_and_many_streams_at_once(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        liar.pubacks = only_events(withheld)
        await stand.post([seal(f"rooms/r{room}") for room in range(10) for _ in range(3)])
        await liar.published(10, EVENTS)
        assert {each.topic for each in liar.messages(EVENTS)} == {
            f"{BASE}/rooms/r{n}/events/booking" for n in range(10)
        }
        liar.acknowledge(reverse=True)
        await liar.published(20, EVENTS)
        liar.pubacks = lambda received: Ack()
        liar.acknowledge()
        await stand.settled()
        assert all(of(liar, f"rooms/r{room}") == [1, 2, 3] for room in range(10))


@pytest.mark.parametrize("receive_maximum", [1, 3, 20])
async def test_receive_maximum_is_kept_also_on_a_reconnect(tmp_path: Path, receive_maximum: int):
    offer = Offer(receive_maximum=receive_maximum)
    async with Liar(offer=offer) as liar, forwarding(tmp_path, liar.url) as stand:
        liar.enforce = True
        liar.pubacks = only_events(late(0.002))
        posting = stand.post([seal(f"rooms/r{n % 50}") for n in range(200)])
        await posting
        await liar.published(20, EVENTS)
        liar.cut()
        await stand.settled()
        assert liar.most_unacknowledged <= receive_maximum
        assert not liar.violations


async def test_our_own_window_holds_where_the_broker_names_none(tmp_path: Path):
    conduct = replace(QUICK, window=7)
    async with Liar() as liar, forwarding(tmp_path, liar.url, conduct=conduct) as stand:
        liar.pubacks = only_events(late(lambda received: random.random() / 100))
        await stand.post([seal(f"rooms/r{n % 50}") for n in range(200)])
        await stand.settled()
        assert liar.most_unacknowledged <= 7


async def test_what_memory_has_no_room_for_is_read_from_disk_in_order(tmp_path: Path):
    conduct = replace(QUICK, memory_bytes=500)
    async with Liar() as liar, forwarding(tmp_path, liar.url, conduct=conduct) as stand:
        for _ in range(40):
            await stand.post([seal(FJORD), seal(LAKE), seal(FJORD)])
        await stand.settled()
        assert of(liar, FJORD) == list(range(1, 81))
        assert of(liar, LAKE) == list(range(1, 41))


async def test_what_was_never_offered_is_found_with_the_next(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        await stand.post([seal(FJORD)])
        await stand.settled()
        await append(stand.database, [seal(FJORD), seal(LAKE)])  # somebody forgot
        await stand.post([seal(FJORD), seal(LAKE)])
        await stand.settled()
        assert of(liar, FJORD) == [1, 2, 3]
        assert of(liar, LAKE) == [1, 2]


async def test_what_was_never_offered_is_found_also_without_a_next(tmp_path: Path):
    conduct = replace(QUICK, house_every_s=0.05)
    async with Liar() as liar, forwarding(tmp_path, liar.url, conduct=conduct) as stand:
        await stand.post([seal(FJORD)])
        await append(stand.database, [seal(FJORD), seal(LAKE)])  # and then was interrupted
        await stand.settled()
        assert of(liar, FJORD) == [1, 2]
        assert of(liar, LAKE) == [1]


async def test_a_pace_is_kept(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url, conduct=replace(QUICK, per_s=100.0)) as stand:
        await stand.post([seal(f"rooms/r{n}") for n in range(40)])
        await stand.settled()
        events = liar.messages(EVENTS)
        assert events[-1].at_s - events[0].at_s > 0.25


# ── birth and death


async def test_birth_then_everything_retained_then_events(tmp_path: Path):
    def wish(forwarder: Forwarder) -> None:
        for number in range(60):
            forwarder.retained.show(f"{BASE}/rooms/r{number}/state", lambda: b"{}", expiry_s=180)

    async with Liar(offer=Offer(receive_maximum=10)) as liar:
        async with forwarding(tmp_path, liar.url, before=wish) as stand:
            await stand.post([seal(FJORD)])
            await stand.settled()
            liar.cut()
            await liar.welcomed(2)
            await stand.post([seal(FJORD)])
            await stand.settled()
        for connection in (1, 2):
            topics = [each.topic for each in liar.received if each.connection == connection]
            assert topics[0] == STATUS
            assert len({topic for topic in topics[1:61] if topic.endswith("/state")}) == 60
            assert "/events/" in topics[61]
        shown = next(each for each in liar.received if each.topic.endswith("/state"))
        assert (shown.retain, shown.properties.message_expiry_s) == (True, 180)


async def test_nothing_is_sent_before_connack(tmp_path: Path):
    async with Liar() as liar:
        liar.hold_connack()
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.post([seal(FJORD) for _ in range(5)])
            await liar.until(lambda: liar.connections and liar.connections[0].connect)
            liar.release_connack()
            await stand.settled()
        assert not any(each.early for each in liar.received)
        assert of(liar, FJORD) == [1, 2, 3, 4, 5]


async def test_the_connection_is_counted_on_disk_before_its_will_carries_the_number(tmp_path: Path):
    async with Liar() as liar:
        for start in (1, 2, 3):
            async with forwarding(tmp_path, liar.url):
                connection = await liar.welcomed(start)
                await liar.published(start * 2 - 1, STATUS)
                assert connection.connect is not None
                will = connection.connect.will
                assert will is not None
                told = json.loads(will.payload)
                assert told == {"online": False, "connection": start, "reason": "lost"}
                assert (will.retain, will.properties.will_delay_s) == (True, 15)
    births = [told for each in liar.messages(STATUS) if (told := json.loads(each.payload))["online"]]
    assert [each["connection"] for each in births] == [1, 2, 3]


async def test_a_clean_stop_says_so_and_takes_its_will_along(tmp_path: Path):
    async with Liar() as liar:
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.post([seal(FJORD)])
            await stand.settled()
        await liar.quiet()
        assert json.loads(liar.messages(STATUS)[-1].payload) == {
            "online": False,
            "connection": 1,
            "reason": "stop",
        }
        goodbye = liar.connections[0].goodbye
        assert goodbye is not None
        assert goodbye.code == 0


async def test_a_stop_ends_also_while_nobody_answers(tmp_path: Path):
    async with Liar() as liar:
        liar.hold_connack()
        async with asyncio.timeout(3), forwarding(tmp_path, liar.url):
            await liar.until(lambda: liar.connections)


async def test_what_a_slow_disk_settles_after_the_end_asks_it_for_nothing_more(tmp_path: Path):
    """Else roomd would end with a traceback, as by then the database takes nothing."""
    loop, moves = asyncio.get_running_loop(), threading.Event()
    said: list[object] = []
    loop.set_exception_handler(lambda _, context: said.append(context))
    async with (
        Liar() as liar,
        open_database(tmp_path) as database,
        asyncio.timeout(SEEN_WITHIN_S),
    ):
        liar.pubacks = lambda received: late(0.2)(received) if "/lake/" in received.topic else Ack()
        forwarder = Forwarder(database, dialling(address(liar.url)), AGENT, luck=lambda: 0.5, conduct=QUICK)
        running = loop.create_task(forwarder.run())
        await until(lambda: forwarder.vitals.connected)
        forwarder.offer(await append(database, [seal(FJORD), seal(LAKE)]))
        held_up = database.submit(lambda _: moves.wait())
        await until(lambda: forwarder.vitals.acknowledged >= 1)
        database.hurry()
        await until(lambda: forwarder.vitals.acknowledged == 2)
        forwarder.stop()
        await running
        loop.call_soon(moves.set)  # when the database is being closed
    assert held_up.done()
    assert said == []


async def test_a_refused_birth_is_said_again_and_holds_the_events_up(tmp_path: Path):
    async with Liar() as liar:
        liar.pubacks = refusing(0x87, topic_filter=STATUS, times=3)
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.post([seal(FJORD)])
            await stand.settled()
            topics = [each.topic for each in liar.received]
            assert topics[:4] == [STATUS] * 4
            assert of(liar, FJORD) == [1]


# ── every answer


@pytest.mark.parametrize("code", [0x80, 0x83, 0x91, 0x97])
async def test_a_refusal_that_may_pass_is_tried_again_in_order_and_others_go_on(tmp_path: Path, code: int):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        liar.pubacks = refusing(code, topic_filter=f"{BASE}/rooms/fjord/#", after=1, times=4)
        await stand.post([seal(FJORD) for _ in range(3)])
        await stand.post([seal(LAKE) for _ in range(3)])
        await stand.settled()
        assert of(liar, FJORD) == [1, 2, 2, 2, 2, 2, 3]
        assert len({each.payload for each in liar.messages(f"{BASE}/rooms/fjord/#")}) == 3
        assert of(liar, LAKE) == [1, 2, 3]
        assert stand.forwarder.vitals.dead_letters == 0


async def test_nobody_listening_is_an_alarm_and_no_failure(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        liar.pubacks = only_events(lambda received: Ack(code=0x10))
        await stand.post([seal(FJORD)])
        await stand.settled()
        assert stand.forwarder.vitals.nobody_listens
        liar.pubacks = lambda received: Ack()
        await stand.post([seal(FJORD)])
        await stand.settled()
        assert not stand.forwarder.vitals.nobody_listens


async def test_no_right_to_publish_pauses_everything_and_drops_nothing(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        liar.pubacks = only_events(lambda received: Ack(code=0x87))
        await stand.post([seal(FJORD), seal(LAKE), seal(FJORD)])
        await liar.published(6, EVENTS)
        paused_why = stand.forwarder.vitals.paused_why
        assert paused_why is not None
        assert "0x87" in paused_why
        liar.pubacks = lambda received: Ack()
        await stand.settled()
        await until(lambda: stand.forwarder.vitals.paused_why is None)
        assert without_repeats(of(liar, FJORD)) == [1, 2]
        assert without_repeats(of(liar, LAKE)) == [1]


async def test_one_room_without_right_does_not_silence_the_others(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        liar.pubacks = refusing(0x87, topic_filter=f"{BASE}/rooms/fjord/#")
        await stand.post([seal(FJORD) for _ in range(2)])
        await stand.post([seal(LAKE) for _ in range(20)])
        await until(lambda: without_repeats(of(liar, LAKE)) == list(range(1, 21)) and of(liar, FJORD) != [])
        assert set(of(liar, FJORD)) == {1}
        await until(lambda: stand.forwarder.vitals.paused_why is not None)
        liar.pubacks = lambda received: Ack()
        await stand.settled()


@pytest.mark.parametrize("code", [0x90, 0x99])
async def test_what_no_broker_takes_becomes_a_dead_letter_and_a_gap_told_first(tmp_path: Path, code: int):
    async with Liar() as liar:
        liar.pubacks = refusing(code, topic_filter=f"{BASE}/rooms/fjord/#", after=1, times=1)
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.post([seal(FJORD) for _ in range(4)])
            await stand.settled()
            stats = await stand.database.write(lambda tx: outbox.stats(tx, now=outbox.moment_now()))
            assert (stats.dead_letters, stats.gaps, stats.dropped) == (1, 1, 1)
            assert of(liar, FJORD) == [1, 2, 3, 4]
        streams = [json.loads(each.payload)["stream"] for each in liar.messages(ALL_EVENTS)]
        assert streams == [FJORD, FJORD, AGENT_STREAM, FJORD, FJORD]
        record = json.loads(liar.messages(f"{BASE}/agents/a1/events/outbox")[0].payload)
        stream, _, first, last, count, reason = json.loads(record["body"])
        assert (stream, first, last, count, reason) == (FJORD, 2, 2, 1, "refused by the broker")


async def test_a_gap_is_told_first_also_after_a_restart(tmp_path: Path):
    async with Liar() as liar:
        own = f"{BASE}/agents/a1/events/#"
        liar.pubacks = refusing(
            0x90, topic_filter=f"{BASE}/rooms/fjord/#", times=1, otherwise=refusing(0x80, topic_filter=own)
        )
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.post([seal(FJORD) for _ in range(2)])
            await liar.published(1, own)
        liar.pubacks = lambda received: Ack()
        before = len(liar.received)
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.settled()
        streams = [json.loads(each.payload).get("stream") for each in liar.received[before:]]
        assert [each for each in streams if each] == [AGENT_STREAM, FJORD]


async def test_an_agent_event_that_nobody_takes_makes_no_endless_chain_of_gaps(tmp_path: Path):
    async with Liar() as liar:
        liar.pubacks = refusing(0x90, topic_filter=EVENTS, otherwise=refusing(0x99, topic_filter=ALL_EVENTS))
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.post([seal(FJORD), seal(LAKE)])
            await stand.settled()
            assert stand.forwarder.vitals.dead_letters == 4


async def test_what_is_larger_than_the_broker_takes_is_not_even_sent(tmp_path: Path):
    async with Liar(offer=Offer(maximum_packet_size=2000)) as liar:
        liar.enforce = True
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.post([seal(FJORD), seal(FJORD, body="x" * 3000), seal(FJORD)])
            await stand.settled()
            assert of(liar, FJORD) == [1, 3]
            assert not liar.violations


@pytest.mark.parametrize("code", [0x80, 0x83, 0x88, 0x89, 0x97, 0x9F, 0x85, 0x86, 0x87, 0x8A, 0x8C])
async def test_a_refused_connection_is_tried_again_whatever_the_reason(tmp_path: Path, code: int):
    async with Liar() as liar:
        liar.refuse(code, times=3)
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.post([seal(FJORD)])
            await stand.settled()
        assert len(liar.connections) == 4


@pytest.mark.parametrize("code", [0x00, 0x82, 0x8B, 0x8D, 0x8E, 0x93, 0x95, 0x96, 0x97, 0x98, 0x9C, 0x9D])
async def test_whatever_a_disconnect_says_nothing_is_lost(tmp_path: Path, code: int):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        await stand.post([seal(FJORD)])
        await stand.settled()
        liar.pubacks = only_events(withheld)
        await stand.post([seal(FJORD), seal(LAKE)])
        await liar.published(3, EVENTS)
        liar.disconnect(code)
        liar.pubacks = lambda received: Ack()
        await stand.settled()
        assert without_repeats(of(liar, FJORD)) == [1, 2]
        assert of(liar, LAKE) == [1, 1]


@pytest.mark.parametrize("answer", ["new code", "old code", "cut"])
async def test_a_broker_that_knows_only_mqtt_311_is_spoken_to_in_it(tmp_path: Path, answer: str):
    async with Liar() as liar:
        liar.only_311(answer=answer)  # type: ignore[arg-type]
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.post([seal(FJORD) for _ in range(10)])
            await stand.settled()
        assert of(liar, FJORD) == list(range(1, 11))
        last = liar.connections[-1].connect
        assert last is not None
        assert (last.version.value, last.clean_start) == (4, False)


@pytest.mark.parametrize("code", [0x9C, 0x9D])
async def test_a_broker_that_moved_is_followed(tmp_path: Path, code: int):
    async with Liar() as old, Liar() as new, forwarding(tmp_path, old.url) as stand:
        await stand.post([seal(FJORD)])
        await stand.settled()
        old.disconnect(code, properties=Properties(server_reference=f"127.0.0.1:{new.port}"))
        await new.welcomed()
        await stand.post([seal(FJORD)])
        await stand.settled()
        assert of(new, FJORD) == [2]


# ── losing the line


async def test_an_overdue_puback_costs_the_connection_and_nothing_else(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url, conduct=replace(QUICK, overdue_s=0.1)) as stand:
        liar.pubacks = only_events(withheld)
        await stand.post([seal(FJORD)])
        await liar.published(1, EVENTS)
        liar.pubacks = lambda received: Ack()
        await stand.settled()
        assert of(liar, FJORD) == [1, 1]
        assert len(liar.connections) == 2


async def test_a_retry_is_the_same_bytes(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        liar.cut_after_publishes(3)
        await stand.post([seal(f"rooms/r{n}") for n in range(5)])
        await stand.settled()
        by_topic: dict[str, set[bytes]] = {}
        for each in liar.messages(EVENTS):
            by_topic.setdefault(each.topic, set()).add(each.payload)
        assert all(len(payloads) == 1 for payloads in by_topic.values())


async def test_acknowledgements_twice_late_and_for_nothing_do_no_harm(tmp_path: Path):
    async with Liar() as liar, forwarding(tmp_path, liar.url) as stand:
        liar.pubacks = twice
        await stand.post([seal(FJORD) for _ in range(10)])
        liar.send_puback(7)
        liar.send_puback(0x9000)
        await stand.settled()
        assert of(liar, FJORD) == list(range(1, 11))


@pytest.mark.parametrize("seed", range(6))
async def test_cuts_at_any_byte_lose_nothing_and_keep_the_order(tmp_path: Path, seed: int):
    luck = random.Random(seed)
    async with Liar() as liar, forwarding(tmp_path, liar.url, luck=luck.random) as stand:
        for _ in range(12):
            liar.cut_after_bytes(luck.randrange(1, 4000))
            await stand.post([seal(f"rooms/r{luck.randrange(5)}") for _ in range(luck.randrange(1, 20))])
            if luck.random() < 0.5:
                liar.cut()
        liar.cut_after_bytes(10**9)
        liar.cut()
        await stand.settled()
        for room in range(5):
            came = of(liar, f"rooms/r{room}")
            assert without_repeats(came) == list(range(1, len(set(came)) + 1))
        last = {head.stream: head.last_number for head in await stand.database.write(outbox.heads)}
        assert all(max(of(liar, stream)) == number for stream, number in last.items())
        assert liar.most_unacknowledged <= 40


async def test_a_restart_goes_on_where_the_disk_says(tmp_path: Path):
    async with Liar() as liar:
        liar.pubacks = only_events(lambda received: Ack(times=int(received.topic.count("lake"))))
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.post([seal(FJORD), seal(LAKE), seal(FJORD)])
            await until(lambda: stand.forwarder.vitals.acknowledged == 1)
            stand.forwarder.stop()
        liar.pubacks = lambda received: Ack()
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.settled()
        assert of(liar, LAKE) == [1]
        assert without_repeats(of(liar, FJORD)) == [1, 2]


@pytest.mark.parametrize("answers", [True, False])
async def test_whoever_turns_to_another_broker_rests_from_nothing(tmp_path: Path, answers: bool):
    never = replace(QUICK, rest=Rest(shortest_s=3600.0, longest_s=3600.0))
    async with Liar() as one, Liar() as another, forwarding(tmp_path, one.url, conduct=never) as stand:
        if answers:
            await stand.post([seal(FJORD)])
            await stand.settled()
        else:
            one.hold_connack()
            await one.until(lambda: one.connections)
        with capture_logs() as logs:
            stand.forwarder.turn_to(dialling(address(another.url)), window=5)
            if not answers:
                one.disconnect(0x88)
            await stand.post([seal(FJORD)])
            await stand.settled()
        assert of(another, FJORD)[-1] == len(of(one, FJORD)) + len(of(another, FJORD))
    assert [each["event"] for each in logs if each["log_level"] != "info"] == []


async def test_an_unusable_address_is_no_reason_to_fall(tmp_path: Path):
    to = Address(url="mqtt://127.0.0.1:1", client_id="a1", password_file=tmp_path / "none", username="a1")
    async with forwarding(tmp_path, to) as stand:
        await stand.post([seal(FJORD)])
        await until(lambda: stand.forwarder.vitals.reconnects > 2)
    with open_to_read(tmp_path) as tx:
        assert outbox.stats(tx, now=outbox.moment_now()).depth == 1


# ── room


async def test_when_room_is_short_the_least_dear_go_first_and_the_cloud_is_told(tmp_path: Path):
    conduct = replace(QUICK, house_every_bytes=100_000, rest=Rest(shortest_s=0.05, longest_s=0.1))
    async with Liar() as liar:
        liar.refuse(0x88)
        async with forwarding(tmp_path, liar.url, conduct=conduct) as stand:
            body = "x" * 3000
            for _ in range(24):  # 4.6 MB where 4 fit
                await stand.post(
                    [
                        seal(FJORD, kind, body)
                        for kind in ("booking.started", "device.lost", "occupancy.changed", "booking.ended")
                        for _ in range(16)
                    ]
                )
            await until(lambda: stand.forwarder.vitals.dropped > 0)
            liar.accept()
            await stand.settled()
            gone = set(range(1, 24 * 64 + 1)) - set(of(liar, FJORD))
            kinds = {number: (number - 1) % 64 // 16 for number in gone}
            assert gone
            assert set(kinds.values()) <= {1, 2}  # no booking was dropped
            told: dict[str, int] = {}
            for each in liar.messages(f"{BASE}/agents/a1/events/outbox"):
                stream, _, first, last, count, reason = json.loads(json.loads(each.payload)["body"])
                assert stream == FJORD
                assert first <= last
                told[reason] = told.get(reason, 0) + count
            assert sum(told.values()) == len(gone)
            assert next(iter(told)) == "no room: diagnostics"


# ── a real broker


@pytest.mark.slow
@pytest.mark.parametrize("persistence", [False, True])
async def test_a_broker_that_is_killed_twice_gets_everything_in_order(tmp_path: Path, persistence: bool):
    async with Mosquitto(tmp_path / "broker", persistence=persistence) as broker:
        heard: list[bytes] = []
        async with forwarding(tmp_path / "state", broker.url) as stand:
            async with listening(broker.url, EVENTS, heard):
                for _ in range(20):
                    await stand.post([seal(FJORD), seal(LAKE)])
                await stand.settled()
                await until(lambda: len(set(heard)) == 40)
            await broker.kill()
            await stand.post([seal(FJORD), seal(LAKE)])
            await broker.start()
            await stand.settled()
        assert without_repeats(numbers(heard, FJORD)) == list(range(1, 21))


@pytest.mark.slow
async def test_a_frozen_broker_is_left_and_found_again(tmp_path: Path):
    async with Mosquitto(tmp_path / "broker") as broker:
        conduct = replace(QUICK, overdue_s=0.2)
        async with forwarding(tmp_path / "state", broker.url, conduct=conduct) as stand:
            await until(lambda: stand.forwarder.vitals.connected)
            broker.freeze()
            await stand.post([seal(FJORD)])
            await until(lambda: not stand.forwarder.vitals.connected)
            broker.thaw()
            await stand.settled()


async def test_rotten_bytes_are_not_sent_but_told_as_a_gap(tmp_path: Path):
    async with Liar() as liar:
        liar.refuse(0x88)
        async with forwarding(tmp_path, liar.url) as stand:
            posted = await stand.post([seal(FJORD) for _ in range(3)])
            rot = "UPDATE outbox SET payload = x'00' WHERE place = ?"
            await stand.database.write(lambda tx: tx.execute(rot, (posted[1].place,)))
            stand.forwarder.stop()
        liar.accept()
        async with forwarding(tmp_path, liar.url) as stand:
            await stand.settled()
        assert of(liar, FJORD) == [1, 3]
        assert len(of(liar, AGENT_STREAM)) == 1
