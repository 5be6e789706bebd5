from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agent.asking import DaemonAbsent, ask
from agent.local_api import LISTENER_HOLDS, Broadcast, Inside, SocketInUse, serve

PICTURE = {"site": "oslo", "rooms": []}


async def picture() -> dict[str, object]:
    return dict(PICTURE)


def payload(number: int) -> bytes:
    return json.dumps({"id": f"e-{number}"}).encode()


async def order(
    *, room: str, name: str, arguments: object, requested_by: str
) -> AsyncGenerator[dict[str, object]]:
    yield {"status": "accepted"}
    yield {"status": "done", "result": [room, name, arguments, requested_by]}


def inside(broadcast: Broadcast | None = None) -> Inside:
    return Inside(picture, broadcast or Broadcast(), order)


async def first(socket: Path, question: str) -> dict[str, object]:
    async with asyncio.timeout(5):
        async for answer in ask(socket, question):
            return answer
    raise AssertionError("no answer")


async def until_heard(broadcast: Broadcast) -> None:
    async with asyncio.timeout(5):
        while not broadcast.heard:  # noqa: ASYNC110  the listener is another task's
            await asyncio.sleep(0.005)


async def test_the_picture_is_what_the_daemon_knows_now(tmp_path):
    async with serve(tmp_path / "s", inside()):
        assert await first(tmp_path / "s", "picture") == PICTURE


async def test_an_order_is_answered_until_it_is_final_and_its_giver_is_who_the_kernel_says(tmp_path):
    async with serve(tmp_path / "s", inside()):
        order_of = {"room": "fjord", "name": "room.resync", "arguments": {"words": "ø" * 4000}}
        async with asyncio.timeout(5):
            answers = [each async for each in ask(tmp_path / "s", "order", **order_of)]
    assert [each["status"] for each in answers] == ["accepted", "done"]
    *as_given, giver = answers[1]["result"]
    assert as_given == ["fjord", "room.resync", {"words": "ø" * 4000}]
    assert giver.startswith(f"{getpass.getuser()} at ")


async def test_who_listens_hears_what_is_told_from_then_on(tmp_path):
    broadcast = Broadcast()
    async with serve(tmp_path / "s", inside(broadcast)), asyncio.TaskGroup() as tasks:
        broadcast.tell(payload(1))
        heard = tasks.create_task(first(tmp_path / "s", "events"), name="listener")
        await until_heard(broadcast)
        broadcast.tell(payload(2))
        assert await heard == {"event": {"id": "e-2"}}


async def test_who_is_slow_loses_the_oldest_and_is_told_how_many(tmp_path):
    broadcast = Broadcast()
    with broadcast.listen() as queue:
        for number in range(LISTENER_HOLDS + 3):
            broadcast.tell(payload(number))
        assert queue.get_nowait() == payload(3)
        assert broadcast.missed(queue) == 3
        assert broadcast.missed(queue) == 0


async def test_nobody_but_owner_and_group_may_ask(tmp_path):
    async with serve(tmp_path / "s", inside()):
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o660
    assert not (tmp_path / "s").exists()


async def test_a_socket_that_a_killed_daemon_left_is_no_hindrance(tmp_path):
    server = await asyncio.start_unix_server(lambda *_: None, tmp_path / "s")
    server.close()
    await server.wait_closed()
    assert (tmp_path / "s").exists()
    async with serve(tmp_path / "s", inside()):
        assert await first(tmp_path / "s", "picture") == PICTURE


async def test_a_second_daemon_is_refused(tmp_path):
    async with serve(tmp_path / "s", inside()):
        with pytest.raises(SocketInUse, match="another"):
            async with serve(tmp_path / "s", inside()):
                pass


async def test_without_a_daemon_the_mend_is_told(tmp_path):
    with pytest.raises(DaemonAbsent, match="roomd run"):
        await first(tmp_path / "s", "picture")


async def test_a_file_in_the_place_of_the_socket_is_kept(tmp_path):
    (tmp_path / "s").write_text("precious", encoding="utf-8")
    with pytest.raises(SocketInUse, match="no socket"):
        async with serve(tmp_path / "s", inside()):
            pass
    assert (tmp_path / "s").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("question", ["nonsense", ""])
async def test_a_question_that_nobody_knows_is_answered_so(tmp_path, question):
    async with serve(tmp_path / "s", inside()):
        assert "does not know" in str((await first(tmp_path / "s", question))["error"])


@pytest.mark.parametrize(
    "garbage",
    [b"\xff\x00 no json", b"[" * 200_000, b"{}", b'{"ask": 3}', b"7", b'{"ask": "' + b"x" * 200_000],
)
async def test_garbage_costs_nobody_else_an_answer(tmp_path, garbage):
    async with serve(tmp_path / "s", inside()):
        _, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(garbage + b"\n")
        await writer.drain()
        assert await first(tmp_path / "s", "picture") == PICTURE
        writer.close()
        await writer.wait_closed()


async def test_a_consent_reaches_the_calendars_and_their_standing_is_told(tmp_path):
    asked: list[str] = []

    async def consent(service: str) -> bool:
        asked.append(service)
        return service == "microsoft"

    within = Inside(picture, Broadcast(), order, lambda: [{"service": "microsoft"}], consent)
    async with serve(tmp_path / "s", within), asyncio.timeout(5):
        assert await first(tmp_path / "s", "calendars") == {"calendars": [{"service": "microsoft"}]}
        for service, known in (("microsoft", True), ("google", False)):
            assert [each async for each in ask(tmp_path / "s", "consent", service=service)] == [
                {"known": known}
            ]
    assert asked == ["microsoft", "google"]


async def test_a_site_without_calendars_says_that_it_has_none(tmp_path):
    async with serve(tmp_path / "s", inside()), asyncio.timeout(5):
        assert await first(tmp_path / "s", "calendars") == {"calendars": []}
        assert [each async for each in ask(tmp_path / "s", "consent", service="webex")] == [{"known": False}]
