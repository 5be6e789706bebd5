"""The file becomes another while roomd runs: what changed is applied, and nothing else is touched."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.ports import free_port
from tests.journeys.house import HASTE, House, house
from tests.journeys.systemd import notified
from tests.journeys.test_by_the_cloud import PAIRS, by_the_cloud
from tests.journeys.test_calendars import HURRY, SLOWLY_S, later, microsoft
from tests.simulator.site import Site

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
    """As the command line is told them."""
    reader, writer = await asyncio.open_unix_connection(h.installation.socket, limit=1 << 24)
    with closing(writer):
        writer.write(b'{"ask": "picture"}\n')
        picture = json.loads(await reader.readline())
    return {room["room"]: room for room in picture["rooms"]}


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
                await h.cleared(room, what)
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


async def test_a_bad_file_is_refused_with_every_problem_and_the_old_one_goes_on(tmp_path: Path):
    async with notified() as n, house(tmp_path, rooms=2, start=False) as h:
        h.roomd.environment |= n.environment()
        await h.start()
        await h.heard()
        await n.until(lambda message: message == "READY=1")
        before, good = lines(h), text(h)
        bad = good.replace('timezone = "Europe/Oslo"', 'timezone = "Atlantis"').replace("capacity", "capacty")
        said = await reload(h, bad, word="reload.refused")
        assert "Atlantis" in said
        assert "capacty" in said
        assert "reload.applied" not in said
        reloading = await n.until(lambda message: message.startswith("RELOADING=1"))
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=[0-9]+", reloading)
        await n.until(lambda message: message == "READY=1")
        write(h, "not TOML [")
        await reload(h, word="is not TOML")
        h.installation.config.unlink()
        await reload(h, word="does not exist")
        h.devices[0].count_people(3)
        await h.counted(h.devices[0], 3)
        await reload(h, good)
        assert lines(h) == before
        await h.delivered()


async def test_only_the_devices_that_changed_are_dialled_anew(tmp_path: Path):
    async with house(tmp_path, rooms=3) as h:
        await h.heard()
        before, whole = lines(h), text(h)
        _, second, _ = h.devices
        secret = h.installation.directory / f"password-{ROOMS[1]}"
        other = secret.with_name("another-name")
        other.write_bytes(secret.read_bytes())
        other.chmod(0o600)
        changed = whole.replace(f'"{secret.name}"', f'"{other.name}"')
        changed = re.sub(r'name = ".*"\ncapacity = 8', 'name = "Fjord"\ncapacity = 31', changed, count=1)
        said = await reload(h, changed)
        assert "devices_changed=1" in said
        await h.recorder.until(lambda: second.lines)
        assert (lines(h)[0], lines(h)[2]) == (before[0], before[2])
        assert lines(h)[1] != before[1]
        room = (await rooms_of(h))[ROOMS[0]]
        assert (room["name"], room["capacity"]) == ("Fjord", 31)
        second.count_people(2)
        await h.counted(second, 2)
        await h.delivered()


async def test_a_password_that_was_mended_is_tried_at_once(tmp_path: Path):
    async with house(tmp_path, rooms=2, haste="broker,states", start=False) as h:
        secret = h.installation.directory / f"password-{ROOMS[0]}"
        right = secret.read_bytes()
        secret.write_bytes(b"wrong\n")
        await h.start()
        await h.heard(h.devices[1])
        await h.told("device.refused", of=ROOMS[0])
        secret.write_bytes(right)
        await reload(h)
        await h.heard(h.devices[0])
        await h.delivered()


async def test_a_device_whose_account_was_mended_there_is_dialled_again_by_a_reload(tmp_path: Path):
    async with house(tmp_path, rooms=2, haste="broker,states", start=False) as h:
        mended, other = h.devices
        right, mended.password = mended.password, "changed meanwhile"
        await h.start()
        await h.heard(other)
        await h.told("device.refused", of=mended)
        stood = lines(h)[1]
        mended.password = right
        await reload(h)
        await h.heard(mended)
        assert lines(h)[1] == stood
        await h.delivered()


async def test_what_leaves_in_plain_stops_at_once(tmp_path: Path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        device.book_in_outlook("Salaries", start=device.now() + timedelta(hours=1))
        await h.listed(device, "Salaries")
        before = lines(h)
        await reload(h, text(h).replace('privacy = "plain"', 'privacy = "dropped"'))
        await h.retained(device, lambda state: [entry["title"] for entry in state["agenda"]] == [None])
        booked = device.book_in_outlook("Redundancies", start=device.now() + timedelta(hours=2))
        await h.retained(device, lambda state: len(state["agenda"]) == 2)
        (told,) = [
            each
            for each in h.all_told("booking.confirmed")
            if each["data"]["meeting_id"] == booked.meeting_id
        ]
        assert told["data"]["title"] is None
        assert lines(h) == before
        await h.delivered()


async def test_another_broker_address_takes_the_outbox_along(tmp_path: Path):
    async with house(tmp_path) as h:
        (device,) = h.devices
        await h.heard()
        first = (await h.status(lambda status: status["state"] == "online"))["connection"]
        before, whole = lines(h), text(h)
        nowhere = whole.replace(f"127.0.0.1:{h.line.port}", f"127.0.0.1:{free_port()}")
        await reload(h, nowhere)
        await h.status(lambda status: status["state"] == "offline" and status["reason"] == "stop")
        device.count_people(7)
        await h.logged("broker.lost")
        await reload(h, whole.replace("[devices]", "window = 5\n[devices]", 1))
        status = await h.status(lambda status: status["state"] == "online" and status["connection"] > first)
        assert status["connection"] > first
        await h.counted(device, 7)
        assert lines(h) == before
        await h.delivered()


async def test_what_waits_for_a_restart_is_named_and_all_else_is_applied(tmp_path: Path):
    async with house(tmp_path) as h:
        await h.heard()
        before, whole = lines(h), text(h)
        said = await reload(
            h,
            whole.replace('id = "agent-1"', 'id = "agent-2"\nbudget_mb = 64').replace(
                "capacity = 8", "capacity = 9"
            ),
        )
        assert "reload.put_off" in said
        assert "agent.id" in said
        assert "restart roomd to apply it" in said
        assert (await rooms_of(h))[ROOMS[0]]["capacity"] == 9
        assert lines(h) == before
        h.devices[0].count_people(3)
        await h.counted(h.devices[0], 3)
        await h.delivered()
        assert not any("/agent-2/" in topic for topic in h.recorder.latest)


async def test_many_signals_in_a_row_and_a_stop_among_them(tmp_path: Path):
    async with house(tmp_path, rooms=3) as h:
        await h.heard()
        whole = text(h)
        for turn in range(12):
            write(h, without(whole, ROOMS[turn % 3]) if turn % 2 else whole)
            h.roomd.send(signal.SIGHUP)
            h.devices[0].count_people(turn)
        write(h, without(whole, ROOMS[2]))
        await reload(h)
        async with asyncio.timeout(60):
            while list(await rooms_of(h)) != ROOMS[:2]:  # noqa: ASYNC110 -- another process has them
                await asyncio.sleep(0.05)
        for _ in range(3):
            write(h, whole)
            h.roomd.send(signal.SIGHUP)
        assert await h.roomd.stop() == 0
        assert "roomd.stopped" in h.roomd.log
        await h.start()
        await h.roomd.until_up()
        assert list(await rooms_of(h)) == ROOMS[:3]
        await h.delivered()


async def test_a_calendar_is_linked_and_taken_out_while_it_runs(tmp_path: Path):
    async with microsoft() as office, house(tmp_path, rooms=2, haste=HURRY) as h:
        await h.heard()
        before, whole = lines(h), text(h)
        link = office.add_room(ROOMS[0], "Fjord")
        office.book(ROOMS[0], "In the calendar", later(60))
        h.devices[0].book_in_outlook("On the device", start=later(120))
        await h.listed(h.devices[0], "On the device")
        tables = office.tables(h.installation.directory)
        linked = whole.replace("[[rooms]]", f"{tables}\n[[rooms]]", 1).replace(
            f'id = "{ROOMS[0]}"\n', f'id = "{ROOMS[0]}"\n{link}\n', 1
        )
        said = await reload(h, linked)
        assert "calendars" in said
        await h.retained(
            h.devices[0],
            lambda state: "In the calendar" in [entry["title"] for entry in state["agenda"]],
            within_s=SLOWLY_S,
        )
        await reload(h, whole)
        await h.listed(h.devices[0], "On the device")
        assert lines(h) == before
        await h.delivered()


async def test_doors_are_opened_anew_elsewhere(tmp_path: Path):
    """Where devices call back, and where people look."""

    def over_http(_: Site, described: list[dict[str, Any]]) -> None:
        described[0]["transport"] = "http"

    before_port, port = free_port(), free_port()
    page = f'listen = "127.0.0.1:{before_port}"'
    async with house(
        tmp_path, rooms=2, arrange=over_http, feedback=True, page=page, haste=f"{HASTE},looks"
    ) as h:
        caller, other = h.devices
        await h.heard()
        await h.recorder.until(lambda: caller.slots.urls)
        (url_before,) = caller.slots.urls
        stands = tuple(other.lines)
        called = free_port()
        changed = re.sub(
            r'listen = "127\.0\.0\.1:[0-9]+"', f'listen = "127.0.0.1:{called}"', text(h), count=1
        )
        await reload(h, changed.replace(str(before_port), str(port)))
        await h.recorder.until(lambda: caller.slots.urls and caller.slots.urls[0] != url_before)
        assert caller.slots.urls[0].port == called
        caller.count_people(5)
        await h.counted(caller, 5)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", before_port)
        assert tuple(other.lines) == stands
        await h.delivered()


async def test_a_new_room_does_not_cut_off_devices_that_webex_leads_to(tmp_path: Path):
    async with by_the_cloud(tmp_path, PAIRS[-1:]) as (h, cloud):
        (device,) = h.devices
        await h.heard()
        tokens = len(cloud.asked("POST", "/v1/access_token"))
        said = await reload(h, text(h) + '[[rooms]]\nid = "bekk"\nname = "Bekk"\n')
        assert "calendars" in said
        assert list(await rooms_of(h)) == [device.room, "bekk"]
        device.count_people(4)
        await h.counted(device, 4)
        assert len(h.all_told("device.connected", of=device)) == 1
        assert len(cloud.asked("POST", "/v1/access_token")) == tokens
        await h.delivered()
