"""The command line beside a running daemon and without one, and the daemon's own start and stop."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import time
from contextlib import closing
from datetime import timedelta

import pytest

from cloud_link.database import SCHEMA, open_database
from tests.journeys.house import house

pytestmark = pytest.mark.slow


async def test_a_good_file_is_called_good(tmp_path):
    async with house(tmp_path, rooms=2, start=False, forked=False) as h:
        code, out, _ = await h.ask("check", "--json")
        assert (code, json.loads(out)["ok"], json.loads(out)["devices"]) == (0, True, 2)


async def test_every_mistake_of_a_file_is_named_at_once(tmp_path):
    async with house(tmp_path, rooms=2, start=False) as h:
        config = h.installation.config
        text = config.read_text()
        text = text.replace('timezone = "Europe/Oslo"', 'timezone = "Europe/Atlantis"')
        text = text.replace("mqtt://127", "http://127").replace('id = "room-0002"', 'id = "room-0001"')
        text = text.replace('password_file = "password-room-0001"', 'password_file = "nowhere"')
        config.write_text(text)
        config.write_text(text + "\n[sight]\nid = 3\n")
        for command in (("check",), ("run",)):
            code, out, err = await h.ask(*command)
            assert (code, out) == (os.EX_CONFIG, "")
            for word in ("Atlantis", "mqtt.url", "room-0001", "nowhere", "sight"):
                assert word in err, (command, word)
            assert "Traceback" not in err
        code, out, _ = await h.ask("check", "--json")
        assert code == os.EX_CONFIG
        assert {problem["key"] for problem in json.loads(out)["problems"]} >= {"sight", "site.timezone"}


async def test_rooms_are_shown_as_the_daemon_knows_them(tmp_path):
    async with house(tmp_path, rooms=3) as h:
        await h.heard()
        device = h.devices[1]
        device.count_people(2)
        await h.counted(device, 2)
        code, out, err = await h.ask("rooms", "--json")
        assert (code, err) == (0, "")
        picture = json.loads(out)
        rooms = {room["room"]: room for room in picture["rooms"]}
        assert list(rooms) == [each.room for each in h.devices]
        assert rooms[device.room]["state"]["occupancy"]["people"] == 2
        assert rooms[device.room]["availability"]["state"] == "available"
        assert picture["broker"]["connected"] is True
        code, out, _ = await h.ask("rooms")
        assert code == 0
        assert device.name in out


async def test_events_are_followed_as_they_are_recorded(tmp_path):
    async with house(tmp_path, rooms=2) as h:
        await h.heard()
        process = await asyncio.create_subprocess_exec(
            *h.installation.command("events", "--follow", "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            followed = asyncio.Event()
            async with asyncio.timeout(15), asyncio.TaskGroup() as tasks:

                async def until_followed():
                    while not followed.is_set():
                        h.devices[0].count_people(1 + int(time.monotonic() * 10) % 5)
                        await asyncio.sleep(0.1)

                tasks.create_task(until_followed(), name="people")
                event = json.loads(await process.stdout.readline())
                followed.set()
            assert event["type"] == "roomd.occupancy.changed.v1"
            h.devices[1].book_in_outlook("Seen", start=h.devices[1].now() + timedelta(hours=1))
            async with asyncio.timeout(10):
                while event["type"] != "roomd.booking.confirmed.v1":
                    event = json.loads(await process.stdout.readline())
            told = await h.told("booking.confirmed")
            assert event == told
        finally:
            process.terminate()
            await process.communicate()


async def test_the_outbox_is_shown_beside_the_daemon_and_without_it(tmp_path):
    async with house(tmp_path, rooms=2) as h:
        await h.heard()
        await h.delivered()
        h.line.refuse()
        h.line.cut()
        await h.logged("broker.lost")
        for device in h.devices:
            device.count_people(7)
        stats: dict[str, int] = {}
        async with asyncio.timeout(10):
            while stats.get("depth", 0) < 2:
                code, out, err = await h.ask("outbox", "stats", "--json")
                assert code == 0, err
                stats = json.loads(out)
        code, out, _ = await h.ask("outbox", "peek", "--json", "-n", "50")
        waiting = [json.loads(line) for line in out.splitlines()]
        assert (code, len(waiting)) == (0, stats["depth"])
        assert {each["event"]["type"] for each in waiting} >= {"roomd.occupancy.changed.v1"}
        assert await h.roomd.stop() == 0
        code, out, _ = await h.ask("outbox", "peek", "--json", "-n", "50")
        without = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert [each["place"] for each in without][: len(waiting)] == [each["place"] for each in waiting]
        await h.line.listen()
        await h.start()
        for each in without:
            await h.came(each["event"]["id"])
        code, out, _ = await h.ask("outbox", "stats")
        assert code == 0
        assert "waiting" in out


async def test_commands_that_need_the_daemon_say_so_when_it_is_not_there(tmp_path):
    async with house(tmp_path, start=False) as h:
        for command in (("rooms",), ("events",)):
            code, out, err = await h.ask(*command)
            assert (code, out) == (os.EX_UNAVAILABLE, "")
            assert "no roomd answers" in err
        code, _, err = await h.ask("outbox", "stats")
        assert code == os.EX_NOINPUT
        assert "has not run yet" in err


async def test_a_second_daemon_is_refused_and_the_first_goes_on(tmp_path):
    async with house(tmp_path, forked=False) as h:
        (device,) = h.devices
        await h.heard()
        code, out, err = await h.ask("run")
        assert (code, out) == (os.EX_TEMPFAIL, "")
        assert str(h.roomd.pid) in err
        assert "Traceback" not in err
        device.count_people(2)
        await h.counted(device, 2)


async def test_a_state_directory_that_cannot_be_is_a_clear_error(tmp_path):
    async with house(tmp_path, start=False) as h:
        h.installation.state.write_text("a file stands where the directory should be")
        code, out, err = await h.ask("run")
        assert (code, out) == (os.EX_CANTCREAT, "")
        assert str(h.installation.state) in err
        assert "Traceback" not in err


async def test_a_database_of_a_newer_roomd_is_a_clear_error_that_no_restart_mends(tmp_path):
    async with house(tmp_path, start=False) as h:
        async with open_database(h.installation.state):
            pass
        with closing(sqlite3.connect(h.installation.state / "roomd.db", isolation_level=None)) as tx:
            tx.execute(f"PRAGMA user_version = {SCHEMA + 1}")
        code, out, err = await h.ask("run")
        assert (code, out) == (os.EX_DATAERR, "")
        assert f"schema {SCHEMA + 1}" in err
        code, _, err = await h.ask("run", "--log-format", "json")
        assert code == os.EX_DATAERR
        assert "then: systemctl start roomd" in err


async def test_sigterm_stops_in_time_and_loses_nothing(tmp_path):
    async with house(tmp_path, rooms=4, forked=False) as h:
        await h.heard()
        h.site.flood.start(300.0, modulo=9)
        await h.recorder.until(lambda: len(h.recorder.events) > 200)
        assert await h.roomd.stop() == 0
        h.site.flood.stop()
        await h.status(lambda status: status["reason"] == "stop")
        await h.start()
        await h.heard()
        found = await h.delivered()
        assert (found.lost, found.repeated, found.out_of_order) == (0, 0, 0)


async def test_sigterm_stops_in_time_when_nobody_answers(tmp_path):
    async with house(tmp_path, rooms=2) as h:
        await h.heard()
        h.line.pause()
        for device in h.devices:
            device.count_people(3)
            device.hold_open()
        assert await h.roomd.stop() == 0
        h.line.cut()
        h.line.resume()
        for device in h.devices:
            device.let_go()
            device.cut()
        await h.start()
        for device in h.devices:
            await h.retained(device, lambda state: state["occupancy"]["people"] == 3)
        assert (await h.delivered()).lost == 0


async def test_the_version_is_told(tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.cli", "--version", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert (process.returncode, out.split()[0]) == (0, b"roomd")
