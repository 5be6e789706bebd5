"""roomd was down for days: what it counted before is there, and days that it missed are told as unknown."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from agent import hours, snapshots
from agent.core.model import RoomId
from tests.journeys.house import house
from tests.journeys.test_reload import reload, text

pytestmark = pytest.mark.slow

ZONE: Final = ZoneInfo("Europe/Oslo")
AWAY: Final = timedelta(days=3)


def counted_days_ago(database: Path) -> date:
    """Have the last life of roomd be some days ago, as far as it counted. Returns which day that was."""
    with closing(sqlite3.connect(database)) as file:
        (name,) = file.execute("SELECT room FROM snapshot").fetchone()
        room = snapshots.read_body(file.execute("SELECT body FROM snapshot").fetchone()[0])
        assert room.tally is not None
        began = room.tally.starts_at - AWAY
        day = began.astimezone(ZONE).date()
        tally = replace(
            room.tally,
            starts_at=began,
            ends_at=began + timedelta(hours=1),
            settled_at=began + timedelta(minutes=10),
            day=day,
            hour=began.astimezone(ZONE).hour,
            booked=True,
        )
        watch = replace(room.watch, looked_at=None)
        body = snapshots.body_of(replace(room, tally=tally, watch=watch))
        file.execute("UPDATE snapshot SET body = ? WHERE room = ?", (body, name))
        file.commit()
    return day


def hours_of(state: Path, room: str, day: date) -> dict[int, int]:
    """How much of which hours nobody watched (s)."""
    found = hours.read(state, since=day, until=day + timedelta(days=1), rooms=[RoomId(room)])
    return dict(zip(found.hour.tolist(), found["unwatched_s"].tolist(), strict=True))


async def test_days_that_roomd_missed_are_told_when_it_is_back(tmp_path: Path):
    async with house(tmp_path, rooms=1) as h:
        (device,) = h.devices
        await h.heard()
        device.count_people(4)
        await h.counted(device, 4)
        assert await h.roomd.stop() == 0
        state = h.installation.state
        assert datetime.fromisoformat((state / "roomd.alive").read_text()) <= datetime.now(UTC)
        day = counted_days_ago(state / "roomd.db")
        (state / "roomd.alive").unlink()
        await h.start()
        last = (day + AWAY - timedelta(days=1)).isoformat()
        await h.told("room.day", of=device, where=lambda told: told["day"] == last)
        days = h.all_told("room.day", of=device)
        assert [told["data"]["day"] for told in days[:3]] == [
            (day + timedelta(days=n)).isoformat() for n in range(3)
        ]
        assert all(told["recovered"] for told in days)
        for told in days[1:3]:
            assert told["data"]["unwatched_min"] == told["data"]["length_min"]
        assert days[0]["data"]["unknown_min"] > 0
        while not (found := hours_of(state, device.room, day)):  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.05)

        said = await reload(
            h, text(h).replace("[site]", '[site]\nworking_hours = ["Mon-Sun 00:00-24:00"]', 1)
        )
        assert "site.working_hours" in said

        backup = tmp_path / "backup"
        code, out, err = await h.ask("backup", str(backup))
        assert (code, err) == (0, "")
        assert re.search("[12] days? of trends; read and sound", out)
        assert await h.roomd.stop() == 0
        (state / "trends.db").unlink()
        code, out, err = await h.ask("restore", str(backup), "--force")
        assert (code, err) == (0, "")
        assert re.search("^and [12] days? of trends$", out, flags=re.MULTILINE)
        assert hours_of(state, device.room, day) == found
