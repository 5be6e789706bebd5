"""The page of trends on real sockets, with the process that makes it, and as a browser shows it."""

from __future__ import annotations

import asyncio
import csv
import io
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest

from agent import trends
from agent.core.model import Counted
from agent.report_child import Asked, Made
from agent.site_page import read_page
from agent.trends_page import MOST_WAITING, NotMade, Workshop
from tests.agent.counting import OSLO, asked, day_of, listed, write
from tests.agent.test_page_api import TOKEN, House, configured, opened
from tests.brokers.ports import free_port
from tests.callers import becomes
from tests.page.looking import DESK, PHONE, SCREENSHOTS, chromium

pytestmark = pytest.mark.timeout(180)

NOW = datetime(2026, 3, 31, 9, 30, tzinfo=UTC)
MEETING = Counted(
    booked_s=3600, attended_s=3000, in_use_s=3000, counted_s=3000, people_min=50, people_peak=1,
    bookings=2, ghosts=1, attended=1,
)  # fmt: skip
BLIND = Counted(unknown_s=3600)


@pytest.fixture
def house(tmp_path) -> House:
    (tmp_path / "state").mkdir()
    configuration = replace(configured(tmp_path), state_directory=tmp_path / "state")
    fjord, *others = configuration.rooms
    rooms = (replace(fjord, groups=("floor-2",)), *others)
    return House(replace(configuration, rooms=rooms), {}, at=NOW)


@pytest.fixture
def counted(house: House) -> House:
    today = NOW.astimezone(OSLO).date()
    hours = [
        hour
        for back in range(1, 22)
        for room, counts in (("fjord", MEETING), ("den", MEETING), ("loft", BLIND))
        for hour in day_of(room, today - timedelta(days=back), dict.fromkeys(range(8, 18), counts))
    ]
    write(house.configuration.state_directory, hours)
    return house


@asynccontextmanager
async def looking(house: House, **changed: Any) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ANN401 - as `opened`
    """Somebody with patience: a report gives way to all else that the machine does."""
    async with opened(house, **changed) as client:
        client.timeout = httpx.Timeout(150)
        yield client


# ── what it shows ─────────────────────────────────────────────────────────────────────────────────


async def test_the_page_the_plots_the_table_and_the_numbers_are_of_one_making(counted):
    async with looking(counted) as client:
        page = await client.get("/trends")
        assert (page.status_code, page.headers["cache-control"]) == (HTTPStatus.OK, "no-store")
        assert "Bookings nobody came to" in page.text
        assert "not ranked" in page.text
        (counted.configuration.state_directory / trends.FILE).unlink()  # nothing is read again for a while
        for name in ("ghosts", "empty", "too-big", "busiest", "weeks"):
            assert f'src="/trends/{name}.svg' in page.text
            plot = await client.get(f"/trends/{name}.svg")
            assert (plot.status_code, plot.headers["content-type"]) == (HTTPStatus.OK, "image/svg+xml")
            ET.fromstring(plot.text)
        numbers = (await client.get("/api/trends")).json()
        assert (numbers["total"]["ghosts"], len(numbers["rooms"])) == (2 * 21 * 10, 3)
        table = await client.get("/trends/rooms.csv")
        assert 'filename="rooms-2026-03-02-2026-03-31.csv"' in table.headers["content-disposition"]
        assert len(list(csv.DictReader(io.StringIO(table.text)))) == 3
        assert (await client.get("/trends/none.svg")).status_code == HTTPStatus.NOT_FOUND


async def test_days_and_rooms_are_chosen_and_stay_chosen(counted):
    async with looking(counted) as client:
        page = (await client.get("/trends", params={"group": "FLOOR-2", "last": "7d"})).text
        assert "Group floor-2, 1 room, 25 Mar 2026 to 31 Mar 2026" in page
        assert '<option value="7d" selected>' in page
        assert '<option value="floor-2" selected>' in page
        assert 'src="/trends/ghosts.svg?group=FLOOR-2&amp;last=7d"' in page
        numbers = (await client.get("/api/trends", params={"group": "FLOOR-2", "last": "7d"})).json()
        assert [room["room"] for room in numbers["rooms"]] == ["fjord"]


@pytest.mark.parametrize(
    ("query", "why"),
    [("last=soon", "30d or 4w"), ("group=attic", "there is floor-2"), ("ignore=me", "ask for last, from")],
    ids=["last", "group", "unknown"],
)
async def test_what_is_not_understood_is_said_with_the_mend(house, query, why):
    async with looking(house) as client:
        page = await client.get(f"/trends?{query}")
        assert (page.status_code, why in page.text, "<form" in page.text) == (
            HTTPStatus.BAD_REQUEST,
            True,
            True,
        )
        script = await client.get(f"/api/trends?{query}")
        assert (script.status_code, why in script.json()["mend"]) == (HTTPStatus.BAD_REQUEST, True)
        plot = await client.get(f"/trends/ghosts.svg?{query}")
        assert (plot.status_code, why in plot.text) == (HTTPStatus.BAD_REQUEST, True)


async def test_nothing_that_is_asked_is_taken_for_html(house):
    async with looking(house) as client:
        page = await client.get("/trends", params={"last": '"><script>alert(1)</script>', "room": "<b>"})
        assert "<script" not in page.text
        assert "<b>" not in page.text


async def test_before_anything_was_counted_it_says_so(house):
    async with looking(house) as client:
        page = await client.get("/trends")
        assert (page.status_code, "Nothing has been counted yet." in page.text) == (HTTPStatus.OK, True)
        script = await client.get("/api/trends")
        assert script.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        assert script.json()["error"] == "Nothing has been counted yet."


async def test_a_damaged_file_is_told_of_and_harms_nobody(house):
    (house.configuration.state_directory / trends.FILE).write_bytes(b"no database at all, and no text" * 999)
    async with looking(house) as client:
        page = await client.get("/trends")
        assert (page.status_code, "cannot be read" in page.text) == (HTTPStatus.OK, True)
        assert (await client.get("/healthz")).status_code == HTTPStatus.OK


# ── who may see it ────────────────────────────────────────────────────────────────────────────────


async def test_elsewhere_it_is_shown_to_who_has_the_token(house, tmp_path):
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    async with looking(house, host="127.0.0.1", port=free_port(), token_file=tmp_path / "token") as client:
        page = await client.get("/trends?last=7d")
        assert page.status_code == HTTPStatus.UNAUTHORIZED
        assert 'name="to" value="/trends?last=7d"' in page.text
        for path in ("/trends/ghosts.svg", "/trends/rooms.csv", "/api/trends"):
            assert (await client.get(path)).status_code == HTTPStatus.UNAUTHORIZED
        known = await client.get("/trends?last=soon", headers={"Authorization": f"Bearer {TOKEN}"})
        assert known.status_code == HTTPStatus.BAD_REQUEST


# ── how it is made ────────────────────────────────────────────────────────────────────────────────


def question(tmp_path: Path) -> Asked:
    return Asked(question=asked(tmp_path, [listed("fjord")]), link={}, cache=str(tmp_path / "plots"))


def test_the_daemon_itself_loads_nothing_of_what_makes_a_report():
    heavy = "{'numpy', 'matplotlib', 'agent.report'} & sys.modules.keys()"
    code = f"import sys, agent.daemon, agent.page_door; sys.exit(str({heavy} or ''))"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).stderr in {
        b"\n",
        b"",
    }


async def test_one_that_fails_is_told_of_and_not_kept(tmp_path):
    workshop = Workshop((sys.executable, "-c", "raise SystemExit('out of ink')"))
    with pytest.raises(NotMade, match="could not be made"):
        await workshop.report("key", question(tmp_path))
    with pytest.raises(NotMade):
        await Workshop((str(tmp_path / "no such program"),)).report("key", question(tmp_path))
    with pytest.raises(NotMade):
        await Workshop(("/bin/echo", "{")).report("key", question(tmp_path))


async def test_one_that_takes_too_long_is_ended(tmp_path):
    told = tmp_path / "told"
    code = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    with pytest.raises(NotMade):
        await Workshop((sys.executable, "-c", code), within_s=0.5).report("key", question(tmp_path))
    assert not told.exists() or not Path(f"/proc/{told.read_text()}").exists()


async def test_who_does_not_wait_for_it_leaves_no_process_behind(tmp_path):
    told = tmp_path / "told"
    code = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    workshop = Workshop((sys.executable, "-c", code))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(workshop.report("key", question(tmp_path)), name="report")
        await becomes(lambda: told.exists() and told.read_text() != "", True, within_s=30.0)
        waiting.cancel()
    assert not Path(f"/proc/{told.read_text()}").exists()


async def test_a_crowd_is_not_kept_waiting_for_ever(tmp_path):
    workshop = Workshop(("/bin/sleep", "1000"))
    async with asyncio.TaskGroup() as tasks:
        crowd = [
            tasks.create_task(workshop.report(number, question(tmp_path)), name=f"report {number}")
            for number in range(MOST_WAITING)
        ]
        await asyncio.sleep(0)
        with pytest.raises(NotMade, match="at the same time"):
            await workshop.report("one more", question(tmp_path))
        for each in crowd:
            each.cancel()


async def test_those_who_wish_the_same_share_one(tmp_path):
    log = tmp_path / "log"
    code = f"open({str(log)!r}, 'a').write('x'); print('{{\"page\": \"here\"}}')"
    workshop = Workshop((sys.executable, "-c", code))
    made = await asyncio.gather(*(workshop.report("key", question(tmp_path)) for _ in range(4)))
    assert [each.page for each in made] == ["here"] * 4
    assert log.read_text() == "x"
    assert isinstance(made[0], Made)


# ── as a browser shows it ─────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def served(house: House) -> AsyncIterator[str]:
    async with looking(house, host="127.0.0.1", port=free_port()) as client:
        yield str(client.base_url)


@pytest.mark.slow
async def test_a_browser_shows_it_whole_by_day_and_night_at_a_desk_and_on_a_phone(counted):
    complaints: list[str] = []
    async with served(counted) as address, chromium() as browser:
        for name, screen, dark in (("trends", DESK, "light"), ("trends-phone", PHONE, "dark")):
            page = await browser.new_page(viewport=screen, color_scheme=dark)  # type: ignore[arg-type]
            page.on("console", lambda said: complaints.append(said.text))
            await page.goto(f"{address}/trends", timeout=150_000)
            pictures = "[...document.images].map((each) => each.complete && each.naturalWidth > 0)"
            assert await page.evaluate(pictures) == [True] * 5
            assert await page.evaluate("document.documentElement.scrollWidth") <= screen["width"]
            await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
            await page.close()
    assert complaints == []


def test_its_looks_are_among_the_pages_files():
    assert "trends.css" in read_page()
