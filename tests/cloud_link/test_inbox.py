"""A command is kept before it is acknowledged, answered once, and answered again when it comes again."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from agent.core.orders import Answer, AnswerStatus, CommandId
from cloud_link import inbox, outbox
from cloud_link.commands import Refused, judge
from cloud_link.database import Connection, open_database
from cloud_link.delivery import Moment
from cloud_link.envelope import Postage
from cloud_link.inbox import Again, Kept, State, Turned
from cloud_link.outbox import Posted
from tests.cloud_link.orders import (
    ANSWERS_OF_FJORD,
    BASE,
    NOW,
    RESPONSES,
    RULES,
    Arrival,
    command,
    franked,
    judged,
    payload,
    refusal,
    said,
)
from tests.cloud_link.stand import SMALL

T = TypeVar("T")


def moment(minutes: float = 0) -> Moment:
    return Moment(wall_ms=round((NOW + timedelta(minutes=minutes)).timestamp() * 1000), boot="b", steady_ms=0)


def answer(status: AnswerStatus, id_: str = "c1", **more: object) -> Answer:
    return Answer(command=CommandId(id_), status=status, at=NOW, **more)  # type: ignore[arg-type]


class Disk:
    """Each call a transaction of its own, as the database does it."""

    def __init__(self, tx: Connection) -> None:
        self.tx = tx

    def keep(self, id_: str = "c1", **more: object) -> Kept | Again | Turned:
        return inbox.keep(self.tx, command(id_, **more), recorded=moment())

    def refuse(self, refused: Refused) -> Again | Turned:
        return inbox.refuse(self.tx, refused, recorded=moment())

    def answer(self, *answers: Answer) -> list[Posted]:
        return inbox.answer(self.tx, answers, recorded=moment())

    def waiting(self) -> list[tuple[str, State]]:
        return [(each.id, each.state) for each in inbox.unfinished(self.tx)]


def told(posted: Iterator[Posted] | list[Posted] | tuple[Posted, ...]) -> list[tuple[str, str]]:
    bodies = [json.loads(one.envelope.payload) for one in posted]
    return [(body["command_id"], body["status"]) for body in bodies]


async def on_disk(directory: Path, story: Callable[[Disk], T]) -> T:
    async with open_database(directory, limits=SMALL) as database:
        return await database.write(lambda tx: story(Disk(tx)))


async def test_a_new_command_is_kept_and_waits(tmp_path: Path):
    def story(disk: Disk) -> None:
        assert isinstance(disk.keep(), Kept)
        assert disk.waiting() == [("c1", State.KEPT)]

    await on_disk(tmp_path, story)


async def test_what_is_kept_is_the_same_order_after_a_restart(tmp_path: Path):
    kept = command(expiry_s=60, correlation_data=b"7")
    await on_disk(tmp_path, lambda disk: inbox.keep(disk.tx, kept, recorded=moment()))
    (found,) = await on_disk(tmp_path, lambda disk: inbox.unfinished(disk.tx))
    again = judge(found, now=found.received_at, rules=RULES)
    assert replace(again, back=kept.back) == kept


async def test_it_is_answered_where_it_came_from_and_once_finally(tmp_path: Path):
    def story(disk: Disk) -> None:
        disk.keep(response_topic=f"{BASE}/cloud/7", correlation_data=b"7")
        accepted, done = answer(AnswerStatus.ACCEPTED), answer(AnswerStatus.DONE, result={"hold_id": "h1"})
        assert told(disk.answer(accepted)) == [("c1", "accepted")]
        assert told(disk.answer(accepted)) == []
        assert disk.waiting() == [("c1", State.BEGUN)]
        (one,) = disk.answer(done)
        assert (one.envelope.topic, one.envelope.stream) == (f"{BASE}/cloud/7", ANSWERS_OF_FJORD)
        assert one.envelope.postage == Postage(correlation=b"7", expiry_s=3600)
        assert json.loads(one.envelope.payload)["result"] == {"hold_id": "h1"}
        assert disk.answer(done, accepted, answer(AnswerStatus.FAILED)) == []
        assert disk.waiting() == []
        assert [each.envelope.number for each in franked(disk.tx, ANSWERS_OF_FJORD)] == [1, 2]

    await on_disk(tmp_path, story)


async def test_what_comes_again_is_answered_from_disk_and_not_done(tmp_path: Path):
    await on_disk(tmp_path, lambda disk: disk.keep(correlation_data=b"1"))

    def again(disk: Disk) -> None:
        assert disk.keep() == Again(state=State.KEPT)
        inbox.begin(disk.tx, [CommandId("c1")])
        assert disk.keep() == Again(state=State.BEGUN)
        disk.answer(answer(AnswerStatus.ACCEPTED))
        assert told(disk.keep().posted) == [("c1", "accepted")]
        (final,) = disk.answer(answer(AnswerStatus.DONE))
        repeated = disk.keep(correlation_data=b"2", response_topic=f"{BASE}/cloud/2")
        assert isinstance(repeated, Again)
        (one,) = repeated.posted
        assert one.envelope.payload == final.envelope.payload
        assert one.envelope.topic == f"{BASE}/cloud/2"
        assert one.envelope.postage is not None
        assert one.envelope.postage.correlation == b"2"

    await on_disk(tmp_path, again)


async def test_whoever_asks_last_is_told_of_the_end(tmp_path: Path):
    def story(disk: Disk) -> None:
        disk.keep(correlation_data=b"1")
        disk.keep(correlation_data=b"2", response_topic=f"{BASE}/cloud/2")
        (one,) = disk.answer(answer(AnswerStatus.DONE))
        assert one.envelope.topic == f"{BASE}/cloud/2"

    await on_disk(tmp_path, story)


@pytest.mark.parametrize("state", State)
async def test_the_same_id_with_other_content_is_refused_and_the_first_goes_its_way(
    tmp_path: Path, state: State
):
    def story(disk: Disk) -> None:
        disk.keep()
        if state is State.BEGUN:
            disk.answer(answer(AnswerStatus.ACCEPTED))
        if state is State.ANSWERED:
            disk.answer(answer(AnswerStatus.DONE))
        before = disk.waiting()
        other = disk.keep(payload=payload(hold_id="h2", text="Another", duration_s=60))
        assert isinstance(other, Turned)
        assert told(other.posted) == [("c1", "refused")]
        assert "other content" in other.reason
        assert disk.waiting() == before

    await on_disk(tmp_path, story)


async def test_what_was_done_is_answered_as_done_also_when_it_comes_again_after_its_expiry(tmp_path: Path):
    def story(disk: Disk) -> None:
        disk.keep()
        disk.answer(answer(AnswerStatus.DONE))
        late = judged(Arrival(payload=payload()), minutes=10)
        assert isinstance(late, Refused)
        assert told(disk.refuse(late).posted) == [("c1", "done")]

    await on_disk(tmp_path, story)


async def test_a_refusal_is_answered_and_remembered(tmp_path: Path):
    def story(disk: Disk) -> None:
        first, second = disk.refuse(refusal()), disk.refuse(refusal())
        assert isinstance(first, Turned)
        assert isinstance(second, Again)
        assert [one.envelope.payload for one in first.posted] == [
            one.envelope.payload for one in second.posted
        ]
        assert disk.waiting() == []

    await on_disk(tmp_path, story)


async def test_what_has_no_id_is_answered_without_one(tmp_path: Path):
    def story(disk: Disk) -> None:
        nameless = judged(Arrival(payload=b"{}", correlation_data=b"7"))
        assert isinstance(nameless, Refused)
        (one,) = disk.refuse(nameless).posted
        assert json.loads(one.envelope.payload)["command_id"] is None
        assert (one.envelope.topic, one.envelope.postage) == (
            RESPONSES,
            Postage(correlation=b"7", expiry_s=3600),
        )

    await on_disk(tmp_path, story)


async def test_a_retained_one_is_told_once_however_often_it_is_subscribed_to(tmp_path: Path):
    def story(disk: Disk) -> None:
        retained = judged(Arrival(payload=payload(), retained=True))
        assert isinstance(retained, Refused)
        assert told(disk.refuse(retained).posted) == [("c1", "refused")]
        assert disk.refuse(retained).posted == ()

    await on_disk(tmp_path, story)


async def test_a_retained_copy_of_what_was_done_says_nothing(tmp_path: Path):
    def story(disk: Disk) -> None:
        disk.keep()
        disk.answer(answer(AnswerStatus.DONE))
        retained = judged(Arrival(payload=payload(), retained=True))
        assert isinstance(retained, Refused)
        assert disk.refuse(retained).posted == ()

    await on_disk(tmp_path, story)


async def test_an_answer_to_what_did_not_come_through_the_inbox_goes_nowhere(tmp_path: Path):
    assert await on_disk(tmp_path, lambda disk: disk.answer(answer(AnswerStatus.DONE, "from-a-person"))) == []


async def test_answers_to_what_nobody_kept_hold_up_no_others(tmp_path: Path):
    def story(disk: Disk) -> None:
        disk.keep("c1")
        inbox.begin(disk.tx, [CommandId("from-a-person"), CommandId("c1")])
        posted = disk.answer(
            answer(AnswerStatus.ACCEPTED, "from-a-person"),
            answer(AnswerStatus.ACCEPTED),
            answer(AnswerStatus.DONE, "from-a-person"),
            answer(AnswerStatus.DONE),
        )
        assert told(posted) == [("c1", "accepted"), ("c1", "done")]
        assert franked(disk.tx, ANSWERS_OF_FJORD) == posted
        assert disk.waiting() == []

    await on_disk(tmp_path, story)


async def test_answered_requests_are_not_kept_on_disk(tmp_path: Path):
    def story(disk: Disk) -> None:
        disk.keep()
        disk.answer(answer(AnswerStatus.DONE))
        (request,) = disk.tx.execute("SELECT request FROM inbox").fetchone()
        assert request is None

    await on_disk(tmp_path, story)


async def test_a_day_after_its_expiry_a_command_is_forgotten_and_not_before(tmp_path: Path):
    def story(disk: Disk) -> None:
        disk.keep("done")
        disk.keep("begun")
        disk.answer(answer(AnswerStatus.DONE, "done"), answer(AnswerStatus.ACCEPTED, "begun"))
        assert inbox.prune(disk.tx, now=moment(24 * 60 + 4)) == 0
        assert inbox.prune(disk.tx, now=moment(24 * 60 + 6)) == 1
        assert disk.waiting() == [("begun", State.BEGUN)]

    await on_disk(tmp_path, story)


async def test_the_postage_of_what_has_left_goes_too(tmp_path: Path):
    def story(disk: Disk) -> None:
        disk.refuse(refusal())
        disk.tx.execute("DELETE FROM outbox")
        inbox.prune(disk.tx, now=moment())
        assert disk.tx.execute("SELECT count(*) FROM postage").fetchone() == (0,)

    await on_disk(tmp_path, story)


async def test_no_more_are_remembered_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inbox, "REMEMBERED_AT_MOST", 10)

    def story(disk: Disk) -> None:
        for nth in range(10):
            assert isinstance(disk.keep(f"c{nth}"), Kept)
        turned = disk.keep("one-too-many")
        assert isinstance(turned, Turned)
        assert "10 commands" in turned.reason
        disk.answer(*(answer(AnswerStatus.DONE, f"c{nth}") for nth in range(3)))
        assert isinstance(disk.keep("still-too-many"), Turned)
        late = inbox.keep(disk.tx, command("later"), recorded=moment(6))
        assert isinstance(late, Kept)
        assert len(disk.waiting()) == 8

    await on_disk(tmp_path, story)


async def test_answers_read_from_disk_have_what_goes_along_with_them(tmp_path: Path):
    def first(disk: Disk) -> list[Posted]:
        posted = list(disk.refuse(refusal()).posted)
        posted += disk.refuse(refusal()).posted
        nameless = judged(Arrival(payload=b"{}", correlation_data=None))
        assert isinstance(nameless, Refused)
        return posted + list(disk.refuse(nameless).posted)

    posted = await on_disk(tmp_path, first)
    assert await on_disk(tmp_path, lambda disk: franked(disk.tx, ANSWERS_OF_FJORD)) == posted


async def test_the_outbox_shows_answers_as_it_shows_events(tmp_path: Path):
    def story(disk: Disk) -> None:
        disk.refuse(refusal())
        (shown,) = outbox.peek(disk.tx, stream=ANSWERS_OF_FJORD)
        assert (shown.kind, shown.topic, shown.number) == ("command.answered", RESPONSES, 1)
        assert json.loads(shown.payload)["command_id"] == said()["command_id"]

    await on_disk(tmp_path, story)


async def test_where_there_is_no_room_what_was_answered_long_ago_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inbox, "REMEMBERED_AT_MOST", 10)

    def story(disk: Disk) -> None:
        for nth in range(10):
            assert isinstance(
                inbox.keep(disk.tx, command(f"c{nth}", payload=lasting(f"c{nth}")), recorded=moment()), Kept
            )
        disk.answer(*(answer(AnswerStatus.DONE, f"c{nth}") for nth in range(3)))
        assert isinstance(inbox.keep(disk.tx, command("soon"), recorded=moment(59)), Turned)
        assert isinstance(inbox.keep(disk.tx, command("later"), recorded=moment(61)), Kept)
        assert len(disk.waiting()) == 8

    await on_disk(tmp_path, story)


def lasting(id_: str) -> bytes:
    return payload(id_, minutes=24 * 60)
