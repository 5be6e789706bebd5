"""A person looks at the screens, on a page or in a terminal, and presses answers."""

import contextlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from tests.simulator import ManualClock, Site
from tests.simulator.control import controlled, remote
from tests.simulator.look import look, options_of
from tests.simulator.pages import shown
from tests.simulator_tests.client import dial

SHOW = "UserInterface Message Prompt Display"
HOLD = {
    "Title": "Held",
    "Text": "For <script>alert(1)</script><br>until ten",
    "FeedbackId": "hold-1",
    "Option.1": "I'm here",
    "Option.2": "Release it",
}
RESPONSE = ("Event", "UserInterface", "Message", "Prompt", "Response")


@contextlib.asynccontextmanager
async def browsing(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with shown(site, "0") as url, httpx.AsyncClient(base_url=url, trust_env=False) as browser:
        yield browser


async def surfaces(browser: httpx.AsyncClient, room: str = "room-0001") -> dict[str, Any]:
    [picture] = (await browser.get("/screens.json", params={"room": room})).json()["rooms"]
    found: dict[str, Any] = picture["surfaces"]
    return found


async def test_what_is_pressed_on_the_page_is_heard_on_the_wire():
    async with Site(rooms=2) as site, dial(site) as client, browsing(site) as browser:
        await client.subscribe(*RESPONSE)
        await client.command(SHOW, **HOLD)
        [prompt] = (await surfaces(browser))["OSD"]["messages"]
        assert (prompt["title"], prompt["options"]) == ("Held", {"1": "I'm here", "2": "Release it"})
        assert (await surfaces(browser, "room-0002"))["OSD"]["messages"] == []
        asked = {"room": "room-0001", "surface": "OSD", "option": 1}
        assert (await browser.post("/press", json=asked)).json() == {"ok": True}
        body = (await client.feedback())["Event"]["UserInterface"]["Message"]["Prompt"]["Response"]
        assert body == {"FeedbackId": "hold-1", "OptionId": 1, "Origin": "OSD"}
        again = await browser.post("/press", json=asked)
        assert (again.status_code, again.json()) == (409, {"error": "no Prompt can be seen on the OSD"})


async def test_a_prompt_can_be_dismissed_and_a_dark_surface_woken_on_the_page():
    async with Site() as site, dial(site) as client, browsing(site) as browser:
        await client.subscribe("Event", "UserInterface", "Message", "Prompt", "Cleared")
        await client.command(SHOW, **HOLD)
        await client.command("Standby Activate")
        here = {"room": "room-0001", "surface": "Controller"}
        assert (await browser.post("/dismiss", json=here)).status_code == 409
        await browser.post("/touch", json=here)
        assert (await surfaces(browser))["Controller"]["messages"][0]["seen"]
        assert (await browser.post("/dismiss", json=here)).status_code == 200
        body = (await client.feedback())["Event"]["UserInterface"]["Message"]["Prompt"]["Cleared"]
        assert (body["FeedbackId"], body["Origin"]) == ("hold-1", "Controller")
        assert (await surfaces(browser))["Controller"]["messages"] == []


async def test_the_page_needs_nothing_else_and_lets_nothing_else_run():
    async with Site() as site, dial(site) as client, browsing(site) as browser:
        await client.command(SHOW, **HOLD)
        page = await browser.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        for reference in ("src=", "href=", "innerHTML", "insertAdjacentHTML", "document.write", "alert(1)"):
            assert reference not in page.text
        said = await browser.get("/screens.json")
        assert said.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "content", "kind", "status"),
    [
        ("GET", "/press", "", "", 405),
        ("POST", "/", "", "", 405),
        ("GET", "/etc/passwd", "", "", 404),
        ("GET", "/screens.json?room=nowhere", "", "", 404),
        ("POST", "/press", '{"room": "room-0001", "surface": "OSD", "option": 1}', "text/plain", 415),
        ("POST", "/press", "{", "application/json", 400),
        ("POST", "/press", "5", "application/json", 400),
        ("POST", "/press", '{"surface": "OSD", "option": 1}', "application/json", 400),
        ("POST", "/press", '{"room": "room-0001", "surface": "OSD", "coffee": 1}', "application/json", 400),
        ("POST", "/press", '{"room": "nowhere", "surface": "OSD", "option": 1}', "application/json", 409),
    ],
)
async def test_the_page_refuses_what_it_does_not_know(
    method: str, path: str, content: str, kind: str, status: int
):
    async with Site() as site, browsing(site) as browser:
        said = await browser.request(method, path, content=content, headers={"Content-Type": kind})
        assert said.status_code == status
        assert "error" in said.json()


async def test_a_room_is_drawn_in_the_terminal_and_pressed_there(tmp_path: Path):
    control = str(tmp_path / "control")
    async with Site(clock=ManualClock()) as site, dial(site) as client, controlled(site, control):
        await client.subscribe(*RESPONSE)
        await client.command(SHOW, **HOLD, Duration=60)
        site.devices[0].show_foreign("Alert", "[bold]Fire drill")

        async def printed(*arguments: str) -> str:
            console = Console(file=io.StringIO(), width=130)
            await look(options_of([control, *arguments]), console)
            assert isinstance(console.file, io.StringIO)
            return console.file.getvalue()

        text = await printed()
        for words in ("Heron 1 (room-0001)", "● Green, auto", "Held", "For <script>alert(1)</script>"):
            assert words in text
        for words in ("[1] I'm here", "[2] Release it", "until 09:01:00 UTC", "not to be seen: Alert"):
            assert words in text
        text = await printed("room-0001", "--press", "2", "--on", "Controller")
        assert "[bold]Fire drill" in text
        assert "Held" not in text
        assert (await client.feedback())["Event"]["UserInterface"]["Message"]["Prompt"]["Response"][
            "OptionId"
        ] == 2
        with pytest.raises(ValueError, match="NotShown"):
            await printed("room-0001", "--dismiss")
        async with remote(control) as hand:
            assert await hand.ask("screen", room=0) == site.devices[0].screen.seen()
            await hand.ask("stand_by", room=0)
        assert "(dark)" in await printed("room-0001")
