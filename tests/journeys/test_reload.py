"""The file becomes another while roomd runs: what changed is applied, and nothing else is touched."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.house import House, house

pytestmark = pytest.mark.slow

ROOMS = [f"room-{number:04d}" for number in range(1, 5)]


def text(h: House) -> str:
    return h.installation.config.read_text(encoding="utf-8")


def write(h: House, content: str) -> None:
    """As an editor does it: at once."""
    new = h.installation.config.with_suffix(".new")
    new.write_text(content, encoding="utf-8")
    new.replace(h.installation.config)


def without(content: str, room: str) -> str:
    """The file without one of its rooms."""
    head, *rooms = re.split(r"(?m)^(?=\[\[rooms\]\]$)", content)
    return head + "".join(each for each in rooms if f'id = "{room}"' not in each)


async def reload(h: House, content: str | None = None, *, word: str = "reload.applied") -> str:
    """Have the file taken up, and wait until the log says so; what it said meanwhile."""
    said = len(h.roomd.log)
    if content is not None:
        write(h, content)
    h.roomd.send(signal.SIGHUP)
    await h.logged(word, after=said)
    return h.roomd.log[said:]


def lines(h: House) -> list[tuple[object, ...]]:
    """Those that stand, of each device: one that was closed and opened again is another."""
    return [tuple(device.lines) for device in h.devices]


async def rooms_of(h: House) -> dict[str, Any]:
    code, out, err = await h.ask("rooms", "--json")
    assert code == 0, err
    return {room["room"]: room for room in json.loads(out)["rooms"]}


async def test_rooms_come_and_go_and_the_others_do_not_notice(tmp_path: Path):
    async with house(tmp_path, rooms=4) as h:
        await h.heard()
        before, whole = lines(h), text(h)
        first, second, third, last = h.devices

        said = await reload(h, without(without(whole, ROOMS[2]), ROOMS[3]))
        assert "rooms_removed=2" in said
        assert list(await rooms_of(h)) == ROOMS[:2]
        assert lines(h)[:2] == before[:2]
        for room in ROOMS[2:]:
            for what in ("state", "availability"):
                topic = f"roomd/v1/journey/rooms/{room}/{what}"
                await h.recorder.until(lambda topic=topic: not h.recorder.latest.get(topic))
        assert not any(f"/{ROOMS[3]}/" in topic for topic in await h.latecomer())
        code, _, err = await h.ask("resync", ROOMS[2])
        assert code != 0
        assert ROOMS[2] in err

        first.count_people(3)
        await h.counted(first, 3)
        third.book_in_outlook("Nobody heard it", start=third.now())
        said = await reload(h, without(whole, ROOMS[3]))
        assert "rooms_added=1" in said
        await h.listed(third, "Nobody heard it")
        assert lines(h)[:2] == before[:2]
        assert list(await rooms_of(h)) == ROOMS[:3]
        second.count_people(5)
        await h.counted(second, 5)
        assert not last.lines
        await h.delivered()
