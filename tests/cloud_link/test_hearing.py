"""A command's way, with brokers that repeat, reorder, cut and forget: done once, answered at least once."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.core.orders import Answer, AnswerStatus, CommandId
from cloud_link import hearing as module
from cloud_link import inbox, outbox
from cloud_link.broker import Connection
from cloud_link.commands import Command
from cloud_link.database import Database
from cloud_link.envelope import Heard
from cloud_link.forwarder import Forwarder
from cloud_link.hearing import Hearing, nobody_knows
from cloud_link.inbox import Unfinished
from tests.brokers import Ack, Liar, Mosquitto, Properties, Received, refusing
from tests.cloud_link.listener import listening
from tests.cloud_link.orders import ALL_DAY, BASE, RESPONSES, RULES, lasting, payload, said
from tests.cloud_link.stand import Stand, forwarding, seal, until

HOLD = f"{BASE}/rooms/fjord/commands/hold.place"
LAKE_HOLD = f"{BASE}/rooms/lake/commands/hold.place"
ROOMS = f"{BASE}/rooms/+/commands/+"
ANSWERS = f"{BASE}/+/+/responses"


@dataclass
class Core:
    """Stands where the daemon puts the pipeline: it does a command, and says so in one transaction."""

    given: list[CommandId] = field(default_factory=list)
    asked: list[CommandId] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    statuses: tuple[AnswerStatus, ...] = (AnswerStatus.ACCEPTED, AnswerStatus.DONE)
    database: Database | None = None
    forwarder: Forwarder | None = None

    async def give(self, command: Command) -> None:
        await self.ready.wait()
        assert self.database is not None
        assert self.forwarder is not None
        self.given.append(command.id)
        now = datetime.now(UTC)
        answers = [Answer(command=command.id, status=each, at=now) for each in self.statuses]

        def record(tx: Any) -> list[outbox.Posted]:  # noqa: ANN401 (with the room's snapshot, in the daemon)
            inbox.begin(tx, [command.id])
            return inbox.answer(tx, answers, recorded=outbox.moment_now())

        self.forwarder.offer(await self.database.write(record))

    def interrupted(self, unfinished: Unfinished) -> Answer | None:
        self.asked.append(unfinished.id)
        return nobody_knows(unfinished, now=datetime.now(UTC))

    def hearing(self, database: Database) -> Hearing:
        self.database = database
        return Hearing(
            database,
            rules=lambda: RULES,
            now=partial(datetime.now, UTC),
            give=self.give,
            interrupted=self.interrupted,
        )

    def meet(self, forwarder: Forwarder) -> None:
        self.forwarder = forwarder


@asynccontextmanager
async def hearing(directory: Path, url: str, core: Core, *, ready: bool = True) -> AsyncIterator[Stand]:
    if ready:
        core.ready.set()
    async with forwarding(directory, url, hearing=core.hearing, before=core.meet) as stand:
        yield stand


def told(messages: list[Received], id_: str | None = None) -> list[str]:
    bodies = [json.loads(each.payload) for each in messages]
    return [body["status"] for body in bodies if id_ is None or body["command_id"] == id_]


async def answered(liar: Liar, *ids: str) -> None:
    """Each of these finally."""
    finals = {"done", "refused", "expired", "failed", "unknown"}
    waited_for, looked_at = set(ids), 0

    def all_of_them() -> bool:
        nonlocal looked_at
        messages = liar.messages(f"{BASE}/#")
        bodies = [json.loads(each.payload) for each in messages[looked_at:] if answer(each)]
        waited_for.difference_update(body["command_id"] for body in bodies if body["status"] in finals)
        looked_at = len(messages)
        return not waited_for

    await liar.until(all_of_them)


def answer(received: Received) -> bool:
    return b'"command_id"' in received.payload


async def blocked(database: Database) -> Callable[[], None]:
    """The disk does nothing more until the returned function is called."""
    entered, released = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        entered.set()
        released.wait(10)

    database.submit(wait).add_done_callback(lambda _: None)
    await asyncio.to_thread(entered.wait, 10)
    return released.set


# ── the plain way


async def test_a_command_is_done_and_answered_where_it_says(tmp_path: Path):
    core = Core()
    async with Liar() as liar, hearing(tmp_path, liar.url, core):
        await liar.subscribed(ROOMS)
        back = Properties(response_topic=f"{BASE}/cloud/7", correlation_data=b"\x00\x07")
        liar.publish(HOLD, lasting("c1"), properties=back)
        first, last = await liar.published(2, f"{BASE}/cloud/7")
        assert told([first, last], "c1") == ["accepted", "done"]
        assert last.properties.correlation_data == b"\x00\x07"
        assert last.properties.content_type == "application/json"
        assert (
            3600 < (last.properties.message_expiry_s or 0) <= ALL_DAY * 60
        )  # as long as the command is good
        assert (last.qos, last.retain) == (1, False)
        assert core.given == ["c1"]
        assert not liar.violations


async def test_it_is_on_disk_before_it_is_acknowledged(tmp_path: Path):
    core = Core()
    async with Liar() as liar, hearing(tmp_path, liar.url, core) as stand:
        await liar.subscribed(ROOMS)
        release = await blocked(stand.database)
        liar.publish(HOLD, lasting("c1"))
        await stand_still(liar)
        assert liar.confirmed == []
        assert core.given == []
        release()
        await liar.until(lambda: liar.confirmed)
        await answered(liar, "c1")


async def stand_still(liar: Liar) -> None:
    """Whatever was sent has gone to and fro: a ping of ours overtakes nothing."""
    heard = liar.living[-1].bytes_received
    for _ in range(20):
        await asyncio.sleep(0)
    assert liar.living[-1].bytes_received >= heard


async def test_pubacks_come_in_the_order_of_the_commands(tmp_path: Path):
    async with Liar() as liar, hearing(tmp_path, liar.url, Core()):
        await liar.subscribed(ROOMS)
        for nth in range(40):
            liar.publish(HOLD if nth % 2 else LAKE_HOLD, lasting(f"c{nth}") if nth % 3 else b"{}")
        await liar.until(lambda: len(liar.confirmed) == 40)
        assert [each.mid for each in liar.confirmed] == list(range(1, 41))


async def test_what_clears_a_retained_command_is_no_command(tmp_path: Path):
    async with Liar() as liar, hearing(tmp_path, liar.url, Core()):
        await liar.subscribed(ROOMS)
        liar.publish(HOLD, b"")
        liar.publish(HOLD, lasting("c1"))
        await answered(liar, "c1")
        assert [each.mid for each in liar.confirmed] == [1, 2]
        assert told(liar.messages(RESPONSES)) == ["accepted", "done"]


async def test_a_command_of_qos_0_is_done_too(tmp_path: Path):
    core = Core()
    async with Liar() as liar, hearing(tmp_path, liar.url, core):
        await liar.subscribed(ROOMS)
        liar.publish(HOLD, lasting("c1"), qos=0)
        await answered(liar, "c1")
        assert not liar.violations


async def test_mqtt_311_is_answered_where_answers_are_always_heard(tmp_path: Path):
    core = Core()
    async with Liar() as liar:
        liar.only_311()
        async with hearing(tmp_path, liar.url, core):
            await liar.subscribed(ROOMS)
            liar.publish(HOLD, lasting("c1"))
            await answered(liar, "c1")
            assert told(liar.messages(RESPONSES), "c1") == ["accepted", "done"]


# ── repeats


async def test_a_repeat_is_answered_again_and_not_done_again(tmp_path: Path):
    core = Core()
    async with Liar() as liar, hearing(tmp_path, liar.url, core) as stand:
        await liar.subscribed(ROOMS)
        liar.publish(HOLD, lasting("c1"))
        await answered(liar, "c1")
        liar.publish(HOLD, lasting("c1"), properties=Properties(correlation_data=b"2"))
        (*_, last) = await liar.published(3, RESPONSES)
        assert told([last]) == ["done"]
        assert last.properties.correlation_data == b"2"
        await stand.settled()
        assert core.given == ["c1"]


async def test_a_connection_that_ends_between_disk_and_puback_costs_a_repeat_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    core, acknowledge, cuts = Core(), Connection.acknowledge, 2

    def cut_instead(connection: Connection, incoming: Any) -> None:  # noqa: ANN401
        nonlocal cuts
        if cuts:
            cuts -= 1
            connection.drop("a crash, as the broker sees it")
        acknowledge(connection, incoming)

    monkeypatch.setattr(Connection, "acknowledge", cut_instead)
    async with Liar() as liar, hearing(tmp_path, liar.url, core) as stand:
        await liar.subscribed(ROOMS)
        liar.publish(HOLD, lasting("c1"))
        await liar.until(lambda: liar.confirmed)
        await answered(liar, "c1")
        await stand.settled()
        assert core.given == ["c1"]
        assert len(liar.connections) == 3
        assert [each.connection for each in liar.confirmed] == [3]
        assert told(liar.messages(RESPONSES), "c1")[-1] == "done"
        assert not liar.violations


async def test_what_came_on_a_connection_that_is_over_is_not_acknowledged_on_the_next(tmp_path: Path):
    core = Core()
    async with Liar() as liar, hearing(tmp_path, liar.url, core) as stand:
        await liar.subscribed(ROOMS)
        release = await blocked(stand.database)
        liar.publish(HOLD, lasting("c1"))
        hear = stand.forwarder._hearing  # noqa: SLF001 (when it has come is seen nowhere else)
        assert hear is not None
        await until(lambda: hear._on_their_way == 1)  # noqa: SLF001
        liar.cut()
        await until(lambda: not stand.forwarder.vitals.connected)
        release()
        await liar.until(lambda: liar.confirmed)
        await answered(liar, "c1")
        assert [each.connection for each in liar.confirmed] == [2]
        assert core.given == ["c1"]
        assert not liar.violations


async def test_after_a_restart_what_was_answered_is_answered_again(tmp_path: Path):
    core = Core()
    async with Liar() as liar:
        async with hearing(tmp_path, liar.url, core) as stand:
            await liar.subscribed(ROOMS)
            liar.publish(HOLD, lasting("c1"))
            await answered(liar, "c1")
            await stand.settled()
        again = Core()
        async with hearing(tmp_path, liar.url, again):
            await liar.welcomed(2)
            liar.publish(HOLD, lasting("c1"))
            await liar.published(3, RESPONSES)
            assert told(liar.messages(RESPONSES), "c1") == ["accepted", "done", "done"]
            assert (again.given, again.asked) == ([], [])


async def test_an_answer_without_puback_is_the_same_bytes_after_a_restart(tmp_path: Path):
    core = Core()
    topic = f"{BASE}/cloud/7"
    async with Liar() as liar:
        liar.pubacks = lambda received: Ack(times=int(received.topic != topic))
        async with hearing(tmp_path, liar.url, core):
            await liar.subscribed(ROOMS)
            back = Properties(response_topic=topic, correlation_data=b"7")
            liar.publish(HOLD, lasting("c1"), properties=back)
            await liar.published(1, topic)
            await until(lambda: core.given)
        liar.pubacks = lambda received: Ack()
        async with hearing(tmp_path, liar.url, Core()) as stand:
            await stand.settled()
        first, again, last = liar.messages(topic)
        assert (first.payload, first.properties) == (again.payload, again.properties)
        assert last.properties.correlation_data == b"7"
        assert told([again, last]) == ["accepted", "done"]


# ── restarts in the middle


async def test_what_was_kept_and_not_begun_is_done_after_a_restart(tmp_path: Path):
    async with Liar() as liar:
        busy = Core()
        async with hearing(tmp_path, liar.url, busy, ready=False):
            await liar.subscribed(ROOMS)
            for nth in range(5):
                liar.publish(HOLD, lasting(f"c{nth}"))
            await liar.until(lambda: len(liar.confirmed) == 5)
        core = Core()
        async with hearing(tmp_path, liar.url, core):
            await answered(liar, *(f"c{nth}" for nth in range(5)))
        assert busy.given == []
        assert core.given == [f"c{nth}" for nth in range(5)]


async def test_what_was_begun_is_unknown_after_a_restart_unless_the_core_knows(tmp_path: Path):
    async with Liar() as liar:
        begins = Core(statuses=(AnswerStatus.ACCEPTED,))
        async with hearing(tmp_path, liar.url, begins) as stand:
            await liar.subscribed(ROOMS)
            liar.publish(HOLD, lasting("c1"))
            await liar.published(1, RESPONSES)
            await stand.settled()
        core = Core()
        async with hearing(tmp_path, liar.url, core) as stand:
            await answered(liar, "c1")
            assert await stand.database.write(inbox.unfinished) == []
        assert (core.given, core.asked) == ([], ["c1"])
        assert told(liar.messages(RESPONSES), "c1") == ["accepted", "unknown"]


async def test_what_expired_before_the_core_could_take_it_is_not_done(tmp_path: Path):
    async with Liar() as liar:
        busy = Core()
        async with hearing(tmp_path, liar.url, busy, ready=False) as stand:
            await liar.subscribed(ROOMS)
            liar.publish(HOLD, lasting("c1"))
            liar.publish(HOLD, lasting("c2"))
            await liar.until(lambda: len(liar.confirmed) == 2)
            past = "UPDATE inbox SET received_ms = 1000, expires_ms = 2000 WHERE command = 'c1'"
            body = json.dumps(said("c1") | {"expires_at": "1970-01-01T00:00:02Z"}).encode()
            await stand.database.write(lambda tx: tx.execute(past))
            await stand.database.write(
                lambda tx: tx.execute("UPDATE inbox SET request = ? WHERE command = 'c1'", (body,))
            )
        core = Core()
        async with hearing(tmp_path, liar.url, core):
            await answered(liar, "c1", "c2")
        assert core.given == ["c2"]
        assert told(liar.messages(RESPONSES), "c1") == ["expired"]


# ── order, floods


async def test_commands_of_a_room_are_given_and_answered_in_order_whatever_other_rooms_do(tmp_path: Path):
    core = Core()
    async with Liar() as liar, hearing(tmp_path, liar.url, core):
        await liar.subscribed(ROOMS)
        liar.pubacks = lambda received: Ack(delay_s=0.01 if "lake" in received.topic else 0.0)
        for nth in range(10):
            liar.publish(LAKE_HOLD, lasting(f"lake-{nth}"))
            liar.publish(HOLD, lasting(f"fjord-{nth}"))
        await answered(liar, *(f"{room}-{nth}" for room in ("lake", "fjord") for nth in range(10)))
        for room in ("lake", "fjord"):
            assert [id_ for id_ in core.given if room in id_] == [f"{room}-{nth}" for nth in range(10)]
            ids = [
                json.loads(each.payload)["command_id"]
                for each in liar.messages(f"{BASE}/rooms/{room}/responses")
            ]
            assert ids == [f"{room}-{nth}" for nth in range(10) for _ in range(2)]


async def test_a_flood_waits_at_the_broker_and_is_all_answered(tmp_path: Path):
    core = Core()
    async with Liar() as liar, hearing(tmp_path, liar.url, core, ready=False) as stand:
        await liar.subscribed(ROOMS)
        session = liar.sessions["a1"]
        assert session.window == 20
        for nth in range(300):
            liar.publish(HOLD, lasting(f"c{nth}"))
        await liar.until(lambda: len(liar.confirmed) == module.AT_HAND)
        assert len(session.on_its_way) == 20
        assert len(await stand.database.write(inbox.unfinished)) == module.AT_HAND
        core.ready.set()
        await answered(liar, *(f"c{nth}" for nth in range(300)))
        assert core.given == [f"c{nth}" for nth in range(300)]
        assert not liar.violations


@pytest.mark.parametrize("older", [True, False])
async def test_a_broker_that_sends_more_than_was_agreed_is_heard_as_far_as_we_keep_up(
    tmp_path: Path, older: bool
):
    core = Core()
    async with Liar() as liar:
        if older:
            liar.only_311()  # knows no Receive Maximum
        async with hearing(tmp_path, liar.url, core) as stand:
            await liar.subscribed(ROOMS)
            release = await blocked(stand.database)
            liar.sessions["a1"].window = 65535
            for nth in range(600):
                liar.publish(HOLD, lasting(f"c{nth}"))
            await until(lambda: stand.forwarder._connection and stand.forwarder._connection._deaf)  # noqa: SLF001
            release()
            await until(lambda: len(core.given) == 600)
            await stand.settled()
            assert core.given == [f"c{nth}" for nth in range(600)]
            assert told(liar.messages(RESPONSES)).count("done") == 600
            assert len([each for each in liar.connections if each.welcome]) == 1


# ── what is refused


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff", b'{"command_id": 1}', b"x" * 20_000])
async def test_what_cannot_be_read_is_acknowledged_and_answered_to_whoever_sent_it(
    tmp_path: Path, body: bytes
):
    core = Core()
    async with Liar() as liar, hearing(tmp_path, liar.url, core):
        await liar.subscribed(ROOMS)
        back = Properties(response_topic=f"{BASE}/cloud/7", correlation_data=b"7")
        liar.publish(HOLD, body, properties=back)
        (refused,) = await liar.published(1, f"{BASE}/cloud/7")
        assert told([refused]) == ["refused"]
        assert refused.properties.correlation_data == b"7"
        await liar.until(lambda: liar.confirmed)
        assert core.given == []


async def test_a_response_topic_elsewhere_is_never_published_to(tmp_path: Path):
    async with Liar() as liar, hearing(tmp_path, liar.url, Core()):
        await liar.subscribed(ROOMS)
        liar.publish(HOLD, lasting("c1"), properties=Properties(response_topic="other/site"))
        await answered(liar, "c1")
        assert told(liar.messages(RESPONSES), "c1") == ["refused"]
        assert liar.messages("other/#") == []


async def test_retained_commands_are_never_done(tmp_path: Path):
    core = Core()
    async with Liar() as liar:
        liar.publish(HOLD, lasting("before"), retain=True)
        async with hearing(tmp_path, liar.url, core):
            await liar.subscribed(ROOMS)
            liar.publish(LAKE_HOLD, lasting("live"), retain=True)
            await answered(liar, "live")
            assert core.given == []
            assert told(liar.messages(ANSWERS), "live") == ["refused"]
            assert told(liar.messages(ANSWERS), "before") == []  # not even sent to us


async def test_retained_commands_are_told_once_over_mqtt_311(tmp_path: Path):
    core = Core()
    async with Liar() as liar:
        liar.only_311()
        liar.publish(HOLD, lasting("before"), retain=True)
        async with hearing(tmp_path, liar.url, core) as stand:
            await answered(liar, "before")
            liar.cut()
            await liar.until(lambda: len(liar.confirmed) == 2)
            await stand.settled()
        assert core.given == []
        assert told(liar.messages(ANSWERS), "before") == ["refused"]


async def test_what_became_of_them_is_counted_for_the_health(tmp_path: Path):
    async with Liar() as liar, hearing(tmp_path, liar.url, Core()) as stand:
        await liar.subscribed(ROOMS)
        for body in (lasting("c1"), lasting("c2"), lasting("c1"), b"{}"):
            liar.publish(HOLD, body)
        await liar.until(lambda: len(liar.confirmed) == 4)
        hear = stand.forwarder._hearing  # noqa: SLF001 (the daemon has it from where it made it)
        assert hear is not None
        assert hear.heard == Heard(kept=2, repeated=1, refused=1, deaf_why=None)


# ── what a broker refuses


@pytest.mark.parametrize("code", [0x87, 0x90])
async def test_an_answer_that_may_not_go_where_it_should_goes_where_answers_are_always_heard(
    tmp_path: Path, code: int
):
    async with Liar() as liar, hearing(tmp_path, liar.url, Core()) as stand:
        await liar.subscribed(ROOMS)
        liar.pubacks = refusing(code, topic_filter=f"{BASE}/cloud/#")
        back = Properties(response_topic=f"{BASE}/cloud/7", correlation_data=b"7")
        liar.publish(HOLD, lasting("c1"), properties=back)
        await answered(liar, "c1")
        last = (await liar.published(2, RESPONSES))[-1]
        assert told(liar.messages(RESPONSES), "c1") == ["accepted", "done"]
        assert last.properties.correlation_data == b"7"
        await stand.post([seal("rooms/fjord")])
        await stand.settled()
        assert stand.forwarder.vitals.paused_why is None
        assert stand.forwarder.vitals.dead_letters == 0


async def test_a_broker_that_hangs_up_over_a_response_topic_does_not_for_ever(tmp_path: Path):
    async with Liar() as liar, hearing(tmp_path, liar.url, Core()) as stand:
        await liar.subscribed(ROOMS)

        def hang_up(received: Received) -> Ack:
            if received.topic == f"{BASE}/cloud/7":
                liar.cut()
            return Ack(times=int(received.topic != f"{BASE}/cloud/7"))

        liar.pubacks = hang_up
        liar.publish(HOLD, lasting("c1"), properties=Properties(response_topic=f"{BASE}/cloud/7"))
        await liar.until(lambda: told(liar.messages(RESPONSES), "c1") == ["accepted", "done"])
        await stand.settled()
        assert told(liar.messages(RESPONSES), "c1") == ["accepted", "done"]


async def test_answers_that_may_go_nowhere_hold_up_no_events(tmp_path: Path):
    async with Liar() as liar, hearing(tmp_path, liar.url, Core()) as stand:
        await liar.subscribed(ROOMS)
        liar.pubacks = refusing(0x87, topic_filter=ANSWERS)
        liar.publish(HOLD, lasting("c1"))
        await liar.published(2, RESPONSES)
        await stand.post([seal("rooms/fjord") for _ in range(20)])
        await liar.published(20, f"{BASE}/rooms/fjord/events/#")
        liar.pubacks = lambda received: Ack()
        await stand.settled()
        assert told(liar.messages(RESPONSES), "c1")[-1] == "done"


async def test_a_refused_subscription_is_told_and_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "ASKED_AGAIN_AFTER_S", 0.01)
    async with Liar() as liar:
        liar.subacks = lambda topic_filter: 0x87 if "rooms" in topic_filter else None
        async with hearing(tmp_path, liar.url, Core()) as stand:
            hear = stand.forwarder._hearing  # noqa: SLF001
            assert hear is not None
            await until(lambda: hear.heard.deaf_why)
            assert "0x87" in str(hear.heard.deaf_why)
            await stand.post([seal("rooms/fjord")])
            await stand.settled()
            liar.subacks = lambda topic_filter: None
            await until(lambda: hear.heard.deaf_why is None)
            liar.publish(HOLD, lasting("c1"))
            await answered(liar, "c1")


async def test_it_subscribes_on_every_connection_also_to_a_broker_that_forgot(tmp_path: Path):
    core = Core()
    async with Liar() as liar, hearing(tmp_path, liar.url, core):
        await liar.subscribed(ROOMS)
        liar.cut()
        await liar.until(lambda: not liar.living)
        liar.forget_sessions()
        await liar.subscribed(ROOMS)
        liar.publish(HOLD, lasting("c1"))
        await answered(liar, "c1")


# ── away, with a real broker


@pytest.mark.slow
async def test_commands_given_while_we_were_away_come_and_are_judged_by_their_expiry(tmp_path: Path):
    heard: list[bytes] = []
    events: list[bytes] = []
    async with Mosquitto(tmp_path / "broker") as broker, listening(broker.url, ANSWERS, heard):
        async with hearing(tmp_path / "state", broker.url, Core()) as stand:
            await stand.post([seal("rooms/fjord") for _ in range(3)])
            await stand.settled()
            await broker.until_logged("Sending SUBACK to a1")
        await give(broker, ("late", -1.0), ("c1", ALL_DAY), ("c2", ALL_DAY), ("c1", ALL_DAY))
        core = Core()
        async with (
            listening(broker.url, f"{BASE}/rooms/fjord/events/#", events),
            hearing(tmp_path / "state", broker.url, core),
        ):
            await until(lambda: len(set(finals(heard))) == 3)
        assert set(finals(heard)) == {("c1", "done"), ("c2", "done"), ("late", "expired")}
        assert core.given == ["c1", "c2"]
        assert events == []  # the kept session brings none of ours again


@pytest.mark.slow
async def test_a_broker_that_is_killed_loses_no_command_that_it_kept(tmp_path: Path):
    async with Mosquitto(tmp_path / "broker", persistence=True) as broker:
        core = Core()
        async with hearing(tmp_path / "state", broker.url, core, ready=False) as stand:
            await broker.until_logged("Sending SUBACK to a1")
            await give(broker, *((f"c{nth}", ALL_DAY) for nth in range(30)))
            await broker.kill()
            await until(lambda: not stand.forwarder.vitals.connected)
            await broker.start()
            heard: list[bytes] = []
            async with listening(broker.url, ANSWERS, heard):
                core.ready.set()
                await until(lambda: len(set(finals(heard))) >= len(set(core.given)) > 0)
            assert len(core.given) == len(set(core.given))


def finals(heard: list[bytes]) -> list[tuple[str, str]]:
    bodies = [json.loads(each) for each in heard]
    return [(body["command_id"], body["status"]) for body in bodies if body["status"] != "accepted"]


async def give(broker: Mosquitto, *commands: tuple[str, float]) -> None:
    """As the cloud would: with a client that is not ours, and its acknowledgements waited for."""
    for id_, minutes in commands:
        body = payload(id_, minutes=minutes).decode()
        process = await asyncio.create_subprocess_exec(
            "mosquitto_pub", "-V", "5", "-p", str(broker.port), "-t", HOLD, "-m", body, "-q", "1"
        )
        assert await process.wait() == 0
