"""SIGKILL at named points: what was accepted arrives, in order, and little of it twice."""

import json
import os
import signal
from pathlib import Path

import pytest

from cloud_link import inbox, outbox, replays
from cloud_link.delivery import WINDOW
from tests.brokers import Mosquitto
from tests.cloud_link.asking import Shell, replay
from tests.cloud_link.doomed import POINTS, REPLAYED, ROOMS
from tests.cloud_link.listener import listening
from tests.cloud_link.stand import BASE, forwarding, numbers, seal, until, without_repeats
from tests.nursery import fork

pytestmark = pytest.mark.slow


async def doomed(directory: Path, url: str, point: str, nth: int) -> int:
    words = (str(directory), url, point, str(nth))
    process = await fork("tests.cloud_link.doomed", words, environment=os.environ)
    return await process.wait()


@pytest.mark.parametrize("point", [point for point in POINTS if point != "never"])
async def test_a_kill_loses_nothing_and_repeats_a_window_at_most(tmp_path: Path, point: str):
    heard: list[bytes] = []
    kills = 0
    async with Mosquitto(tmp_path / "broker") as broker, listening(broker.url, f"{BASE}/rooms/#", heard):
        for nth in (3, 60) if point != "keeping house" else (2, 6):
            code = await doomed(tmp_path, broker.url, point, nth)
            assert code == -signal.SIGKILL
            kills += 1
        assert await doomed(tmp_path, broker.url, "never", 0) == 0
        accepted: dict[str, list[int]] = {}
        for line in (tmp_path / "accepted").read_text().splitlines():
            stream, number = line.split()
            accepted.setdefault(stream, []).append(int(number))
        rooms = [f"rooms/r{room}" for room in range(ROOMS)]
        await until(lambda: all(set(accepted.get(room, [])) <= set(numbers(heard, room)) for room in rooms))
        for room in rooms:
            came = without_repeats(numbers(heard, room))
            assert came == list(range(1, len(came) + 1)), "gapless, and in order"
        repeats = len(heard) - len(set(heard))
        assert repeats <= WINDOW * kills


@pytest.mark.parametrize(("point", "nth"), list(zip(REPLAYED, (1, 50, 50, 3, 1), strict=True)))
async def test_a_kill_in_a_replay_repeats_little_of_it_and_it_is_answered_once(
    tmp_path: Path, point: str, nth: int
):
    state, heard, answers = tmp_path / "state", list[bytes](), list[bytes]()
    async with Mosquitto(tmp_path / "broker") as broker:
        async with forwarding(state, broker.url) as stand:
            await stand.post([seal("rooms/fjord") for _ in range(100)])
            await stand.settled()
            await stand.database.write(lambda tx: inbox.keep(tx, replay(), recorded=outbox.moment_now()))
        events, responses = f"{BASE}/rooms/fjord/events/#", f"{BASE}/agents/a1/responses"
        async with listening(broker.url, events, heard), listening(broker.url, responses, answers):
            assert await doomed(tmp_path, broker.url, point, nth) == -signal.SIGKILL
            shell = Shell()
            async with forwarding(state, broker.url, hearing=shell.hearing, before=shell.meet) as stand:
                await until(lambda: len(set(answers)) == 2)
                assert await stand.database.write(replays.going) == []
        came = numbers(heard, "rooms/fjord")
        assert without_repeats(came) == list(range(1, 101))
        assert len(came) <= 100 + replays.READ_TOGETHER
        accepted, done = (json.loads(each) for each in without_repeats(answers))
        assert (accepted["status"], done["status"]) == ("accepted", "done")
        assert (done["result"]["sent"], done["result"]["missing"]) == (100, 0)
        assert shell.asked == []
