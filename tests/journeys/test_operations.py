"""What an operator does with the state of a site: looks into it, copies it, puts it back, sends again."""

from __future__ import annotations

import asyncio
import json
import os
import stat

import pytest

from tests.brokers import Liar, refusing
from tests.brokers.crew import Crew
from tests.journeys.house import SEEN_WITHIN_S, house

pytestmark = pytest.mark.slow


async def test_a_backup_under_load_is_restored_and_no_id_has_two_contents(tmp_path):
    file = tmp_path / "backup"
    async with house(tmp_path, rooms=2) as h:
        await h.heard()
        first, second = h.devices
        first.count_people(2)
        await h.counted(first, 2)

        async def people_come_and_go():
            for people in range(3, 200):
                second.count_people(people)
                await asyncio.sleep(0.01)

        async with Crew() as crew:
            crew.start(people_come_and_go(), name="crowd")
            code, out, err = await h.ask("backup", str(file), "--json")
        assert (code, err) == (0, "")
        assert json.loads(out)["rooms"] == 2
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        code, out, _ = await h.ask("restore", str(file))
        assert (code, out) == (os.EX_TEMPFAIL, "")  # while it runs
        first.count_people(5)
        await h.counted(first, 5)
        code, out, _ = await h.ask("outbox", "verify", "--json")
        assert code == 0, out
        await h.roomd.stop()

        code, out, err = await h.ask("restore", str(file), "--force")
        assert code == 0, err
        assert "the cloud is told" in out
        await h.start()
        reset = await h.told("outbox.reset")
        assert reset["data"]["reason"].startswith("restored from a backup of ")
        first.count_people(7)
        new = await h.counted(first, 7)
        assert new["id"].rpartition("-")[0] != reset["data"]["previous_epoch"]
        contents: dict[tuple[str, str], set[str]] = {}
        for event in h.recorder.events:
            contents.setdefault((event.source, event.id), set()).add(json.dumps(event.body, sort_keys=True))
        assert all(len(each) == 1 for each in contents.values())
        numbers = [
            int(event.body["sequence"])
            for event in h.recorder.events
            if event.source == new["source"] and event.id.startswith(new["id"].rpartition("-")[0])
        ]
        assert list(dict.fromkeys(numbers)) == list(range(1, max(numbers) + 1))
        code, out, _ = await h.ask("outbox", "verify", "--json")
        assert code == 0, out


async def test_what_waits_is_exported_and_goes_on_waiting(tmp_path):
    file = tmp_path / "waiting.jsonl"
    async with house(tmp_path) as h:
        await h.heard()
        await h.delivered()
        h.line.cut()
        h.line.refuse()
        for people in (2, 3, 4):
            h.devices[0].count_people(people)
        await h.logged("broker.lost")
        async with asyncio.timeout(SEEN_WITHIN_S):
            while json.loads((await h.ask("outbox", "stats", "--json"))[1])["depth"] < 1:  # noqa: ASYNC110 -- another process writes it
                await asyncio.sleep(0.1)
        code, out, err = await h.ask("outbox", "export", str(file))
        assert (code, out) == (0, "")
        assert str(file) in err
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert {line["state"] for line in lines} == {"waiting"}
        assert all(json.loads(line["payload"])["id"] == line["id"] for line in lines)
        code, _, err = await h.ask("outbox", "export", str(file))
        assert code == os.EX_USAGE
        assert "--force" in err
        code, out, _ = await h.ask("outbox", "export", "-", "--all")
        assert code == 0
        assert {json.loads(line)["state"] for line in out.splitlines()} == {"waiting", "acknowledged"}
        await h.line.listen()
        await h.delivered()


async def test_dead_letters_are_shown_and_sent_again_once_the_broker_is_mended(tmp_path):
    async with house(tmp_path, broker=Liar()) as h:
        await h.heard()
        liar = h.liar
        device = h.devices[0]
        liar.pubacks = refusing(0x99, topic_filter="roomd/v1/journey/rooms/+/events/occupancy", times=1)
        device.count_people(2)
        async with asyncio.timeout(SEEN_WITHIN_S):
            while json.loads((await h.ask("outbox", "stats", "--json"))[1])["dead_letters"] < 1:  # noqa: ASYNC110 -- as above
                await asyncio.sleep(0.1)
        code, out, err = await h.ask("outbox", "retry")
        assert code == 0, err
        assert "the broker wants another format (0x99)" in out
        assert "--send" in err
        code, out, err = await h.ask("outbox", "retry", "--send")
        assert (code, err) == (0, "")
        assert out == "1 sent again\n"
        await h.roomd.stop()
        code, out, _ = await h.ask("outbox", "retry", "--send", "--json")
        assert (code, json.loads(out)) == (0, {"sent": 0, "left": 0})
