"""The page as people use it: at a desk, on a phone, on a wall, by keyboard, and when roomd is gone."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import pytest
import pytest_asyncio
from joserfc.jwk import ECKey
from playwright.async_api import Browser, ViewportSize

from tests.brokers.ports import free_port
from tests.installation import write_secret
from tests.journeys.house import House, house
from tests.page.looking import DESK, PHONE, WALL, Person, chromium, person
from tests.simulator.device import Device

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

NAMES: Final = (
    "Avocet",
    "Bittern",
    "Curlew",
    "Dunlin",
    "Eider",
    "Fulmar",
    "Gannet",
    "Heron <b onclick=alert(1)>",
    "Knot",
    "Lark",
    "Merlin",
    "Nowhere",
)
SEATS: Final = (4, 6, 8, 10, 12, 20, 6, 4, 8, 4, 4, 8)
SCRIPT: Final = "<script>document.title = 'taken'</script> & <img src=x onerror=alert(1)>"
LONG: Final = "Budget for next year, and what we shall do about the lifts in the east wing"
NOBODY_ANSWERS: Final = "127.0.0.1:9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A site with something of everything in it, and a browser to look at it."""

    house: House
    browser: Browser
    someone: Person  # at a desk, for all who need no screen of their own
    address: str
    zone: str
    local: timezone

    def device(self, name: str) -> Device:
        return self.house.devices[NAMES.index(name)]

    def room(self, name: str) -> str:
        return "nowhere" if name == "Nowhere" else self.device(name).room

    def clock(self, when: datetime) -> str:
        return f"{when.astimezone(self.local):%H:%M}"

    @asynccontextmanager
    async def at_desk(self) -> AsyncIterator[Person]:
        yield self.someone
        assert self.someone.complaints == []

    def look(
        self, *, screen: ViewportSize = DESK, dark: bool = False, by_touch: bool = False
    ) -> AbstractAsyncContextManager[Person]:
        return person(self.browser, self.address, screen=screen, dark=dark, by_touch=by_touch)

    @asynccontextmanager
    async def told_otherwise(self, old: str, new: str) -> AsyncIterator[None]:
        """With another configuration, taken up while it runs."""
        file = self.house.installation.config
        before = file.read_text(encoding="utf-8")
        assert old in before
        try:
            await self._take_up(before.replace(old, new, 1))
            yield
        finally:
            await self._take_up(before)

    async def _take_up(self, content: str) -> None:
        said = len(self.house.roomd.log)
        self.house.installation.config.write_text(content, encoding="utf-8")
        self.house.roomd.send(signal.SIGHUP)
        await self.house.logged("reload.applied", after=said)


def noon_somewhere() -> tuple[str, timezone]:
    """A zone in which it is about noon: a day's tests must not cross midnight."""
    hours = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT", timezone(timedelta(hours=hours))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory):
    """Its tasks are entered and left by one caretaker, as task groups want it."""
    ready = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def care() -> None:
        port = free_port()
        zone, local = noon_somewhere()
        try:
            async with (
                chromium() as browser,
                house(
                    tmp_path_factory.mktemp("page"),
                    rooms=len(NAMES) - 1,
                    strangers={"nowhere": NOBODY_ANSWERS},
                    arrange=christen,
                    page=f'listen = "127.0.0.1:{port}"',
                    start=False,
                ) as h,
            ):
                h.roomd.environment["ROOMD_SITE__TIMEZONE"] = zone
                address = f"http://127.0.0.1:{port}"
                async with person(browser, address) as someone:
                    there = Scene(
                        house=h, browser=browser, someone=someone, address=address, zone=zone, local=local
                    )
                    arrange_day(there)
                    await h.start()
                    await h.heard()
                    await settle(there)
                    ready.set_result(there)
                    await over.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(care(), name="caretaker")
        yield await ready
        over.set()


def christen(_: object, described: list[dict[str, Any]]) -> None:
    for device, name, seats in zip(described, NAMES, SEATS, strict=True):
        device |= {"name": name, "capacity": seats}


def arrange_day(there: Scene) -> None:
    """Before roomd looks: who is where, and what is booked."""
    for device in there.house.devices:
        device.presence_lag_s = 0
    now = there.device("Bittern").now()
    booked = there.device("Bittern")
    booked.book_in_outlook(SCRIPT, start=now - timedelta(minutes=20), duration_min=50)
    booked.book_in_outlook(LONG, start=now + timedelta(minutes=45), duration_min=60)
    booked.book_in_outlook("Interview", start=now + timedelta(hours=3), private=True)
    booked.count_people(3)
    there.device("Dunlin").count_people(2)
    empty = there.device("Eider")
    empty.book_in_outlook("Nobody came", start=now - timedelta(minutes=15), duration_min=60)
    empty.count_people(0)
    there.device("Fulmar").book_in_outlook("Review", start=now + timedelta(hours=1))
    there.device("Lark").count_people(5)  # of four seats


async def settle(there: Scene) -> None:
    code, _, complaint = await there.house.ask(
        "hold", there.room("Curlew"), "--for", "40m", "--text", "For Ada Lovelace, who is on the way"
    )
    assert (code, complaint) == (0, "")


async def test_somebody_at_a_desk_sees_all_rooms_at_a_glance(scene):
    async with scene.at_desk() as who:
        await who.open()
        assert len(await who.titles()) == len(NAMES)
        for name, condition, words in (
            ("Avocet", "free", "Free all day"),
            ("Bittern", "booked", "Booked until"),
            ("Curlew", "held", "For Ada Lovelace"),
            ("Dunlin", "in_use", "In use without booking"),
            ("Eider", "empty", "Booked, nobody there"),
            ("Fulmar", "free", "Next"),
            ("Nowhere", "unknown", "Not heard"),
        ):
            said = await who.card(scene.room(name), f'[data-condition="{condition}"]', text=words)
            assert said.startswith(name)
            shown = who.page.locator(f'.card[data-room="{scene.room(name)}"] .badge use')
            assert await shown.get_attribute("href") == f"#shape-{condition}"  # not by colour alone
        assert "3 of 6" in await who.card(scene.room("Bittern"))
        counts = await who.page.locator(".chip:visible").all_inner_texts()
        assert any(text.split() == ["1", "not", "known"] for text in counts)
        assert "Nowhere" in await who.page.locator("#troubles").inner_text()
        await who.page.click(".chip[data-condition=empty]")
        assert await who.titles() == ["Eider"]
        await who.page.click("#show-all")
        assert len(await who.titles()) == len(NAMES)
        await who.picture("rooms", whole=True)


async def test_whatever_a_room_or_a_meeting_is_called_it_is_only_words(scene):
    async with scene.at_desk() as who:
        await who.open()
        assert SCRIPT in await who.card(scene.room("Bittern"))
        assert "Heron <b onclick=alert(1)>" in await who.titles()
        assert await who.page.locator("#rooms :is(script, img, b)").count() == 0
        await who.open(f"/room/{scene.room('Bittern')}")
        await who.page.locator(".booking", has_text=SCRIPT).wait_for()
        assert await who.page.locator("#one :is(script, img, b)").count() == 0
        assert "taken" not in await who.page.title()


async def test_what_changes_turns_its_card_without_reloading_is_said_and_disturbs_nobody(scene):
    device, read = scene.device("Gannet"), scene.device("Fulmar")
    async with scene.at_desk() as who:
        await who.open()
        await who.card(device.room, '[data-condition="free"]')
        await who.listen()
        await who.page.locator(f'.card[data-room="{read.room}"] a').focus()
        await who.page.evaluate(
            "() => { window.moved = 0; new MutationObserver((all) => { window.moved += all.length; })"
            ".observe(document.querySelector('#rooms'), { childList: true }); }"
        )
        device.count_people(1)
        device.request_booking("Ad hoc", duration_min=25)
        await who.card(device.room, '[data-condition="booked"]', text="Ad hoc")
        said = await who.card(device.room, text="Booked until")  # the calendar has answered
        (booking,) = device.agenda()
        assert f"Booked until {scene.clock(booking.end)}" in said
        for people in (1, 2, 3):
            read.count_people(people)
            await who.card(read.room, text=f"{people} of 20")
        await who.heard("Gannet: (Asked|Booked)")
        device.delete(booking.id, "ManualCheckOut")
        for each in (device, read):
            each.count_people(0)
            await who.card(each.room, '[data-condition="free"]')
        assert await who.focused() == "Fulmar"
        assert await who.page.evaluate("window.moved") == 0  # nor was anything loaded anew


async def test_somebody_finds_a_room_for_six_for_half_an_hour(scene):
    async with scene.at_desk() as who:
        await who.open()
        await who.page.fill("#find-people", "6")
        await who.page.select_option("#find-for", "30m")
        await who.page.click("#find button")
        title = who.page.locator("#rooms-title", has_text="rooms are free for 30 min for 6 people")
        await title.wait_for()
        found = await who.titles()
        assert found == ["Gannet", "Knot", "Fulmar"]  # the smallest that fits first
        await who.picture("free-for-six")
        scene.device("Knot").count_people(2)  # somebody walks in
        await who.card(scene.room("Gannet"))
        await who.page.locator("#rooms-title", has_text="2 rooms are free").wait_for()
        assert await who.titles() == ["Gannet", "Fulmar"]
        scene.device("Knot").count_people(0)
        await who.page.locator("#rooms-title", has_text="3 rooms are free").wait_for()
        await who.page.fill("#find-people", "600")
        await who.press("Enter")
        await who.page.locator("#nothing", has_text="fewer people").wait_for()
        await who.page.click("#show-all")
        assert len(await who.titles()) == len(NAMES)


async def test_a_rooms_day_is_read_by_keyboard_alone_and_the_focus_comes_back(scene):
    async with scene.at_desk() as who:
        await who.open()
        await who.press("Tab")
        assert await who.focused() == "Skip to the rooms"
        await who.press("Enter", "Tab", "Tab")
        assert await who.focused() == "Bittern"
        await who.press("Enter")
        await who.page.locator("#one-name", has_text="Bittern").wait_for()
        assert await who.focused() == "one-name"
        assert "/room/" in who.page.url
        await who.page.locator('.booking[aria-current="time"]').wait_for()
        await who.press("Tab")
        assert SCRIPT in await who.focused()  # the one that is on
        await who.press("ArrowDown")
        assert LONG in await who.focused()
        await who.press("ArrowDown", "ArrowDown", "ArrowDown")
        assert "Private" in await who.focused()  # and no title of it
        await who.press("Home")
        assert SCRIPT in await who.focused()
        await who.press("Tab", "Enter")  # in words
        rows = await who.page.locator(".day-words tbody tr").all_inner_texts()
        assert (rows[0].split()[0], rows[-1].split()[1]) == ("00:00", "24:00")
        assert [row.split()[-1] for row in rows].count("Free") >= 3
        await who.press("Enter")
        await who.picture("room", whole=True)
        await who.press("Escape")
        await who.page.locator("#rooms").wait_for()
        assert await who.focused() == "Bittern"
        await who.press("Enter")
        await who.page.locator("#one-name").wait_for()
        await who.page.go_back()
        assert await who.focused() == "Bittern"


async def test_a_room_that_was_never_heard_is_not_called_free_anywhere(scene):
    async with scene.at_desk() as who:
        await who.open(f"/room/{scene.room('Nowhere')}")
        await who.page.locator(".day-none", has_text="not known").wait_for()
        said = await who.page.locator("#one").inner_text()
        assert "Free" not in said
        lines = said.splitlines()
        assert "Nobody listens at its HTTPS port." in lines  # in short
        assert "WebSocket: nobody listens at its HTTPS port." in lines  # and all of it
        assert any(line.startswith("SSH: ") for line in lines)
        await who.picture("room-not-heard")
        await who.page.click("summary")
        assert "Free" not in await who.page.locator(".day-words").inner_text()


async def test_a_room_that_is_not_there_says_so(scene):
    async with scene.at_desk() as who:
        await who.page.goto(f"{scene.address}/room/atlantis")
        await who.page.locator("#one-name", has_text="There is no room “atlantis” here.").wait_for()
        await who.page.click(".back")
        await who.card(scene.room("Avocet"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_everybody_can_read_it(scene, dark):
    async with scene.look(dark=dark) as who:
        for path in ("/", f"/room/{scene.room('Bittern')}", f"/room/{scene.room('Nowhere')}"):
            await who.open(path)
            if path != "/":
                await who.page.locator("#one .day-hour").first.wait_for()
            assert await who.nameless() == []
            assert await who.disorder() == []
            assert await who.faint() == []
        if dark:
            await who.picture("room-dark", whole=True)
            await who.open()
            await who.picture("rooms-dark")


async def test_it_fits_a_phone(scene):
    async with scene.look(screen=PHONE, by_touch=True) as who:
        await who.open()
        assert await who.overflow() == 0
        small = await who.page.evaluate(
            "[...document.querySelectorAll('button, select, input')].filter((one) => one.checkVisibility()"
            " && one.getBoundingClientRect().height < 24).map((one) => one.textContent)"
        )
        assert small == []
        await who.picture("phone")
        await who.page.tap(f'.card[data-room="{scene.room("Bittern")}"]')
        await who.page.locator(".booking").first.wait_for()
        assert await who.overflow() == 0
        await who.picture("phone-room", whole=True)


async def test_a_wall_screen_shows_all_rooms_and_wants_no_hands(scene):
    async with scene.look(screen=WALL) as who:
        await who.open("/?kiosk")
        assert len(await who.titles()) == len(NAMES)
        assert (await who.titles()) == sorted(NAMES)
        outside = await who.page.evaluate(
            "[...document.querySelectorAll('.card')].filter((one) => {"
            " const { bottom, right } = one.getBoundingClientRect();"
            " return bottom > innerHeight || right > innerWidth || one.scrollHeight > one.clientHeight + 1;"
            "}).map((one) => one.textContent)"
        )
        assert outside == []
        assert await who.page.locator(":is(a, button, input, select):visible").count() == 0
        assert await who.page.evaluate("getComputedStyle(document.querySelector('.card')).cursor") == "none"
        assert "nobody listens" not in await who.page.locator("body").inner_text()
        assert await who.faint() == []
        scene.device("Merlin").count_people(2)
        await who.card(scene.room("Merlin"), '[data-condition="in_use"]')
        scene.device("Merlin").count_people(0)
        await who.picture("wall")
        await who.open(f"/room/{scene.room('Bittern')}?kiosk")
        await who.page.locator(".booking", has_text=LONG).wait_for()
        assert await who.page.locator(":is(a, button, summary):visible").count() == 0
        await who.picture("wall-room")


async def test_rooms_that_do_not_fit_a_wall_screen_are_shown_in_turn(scene):
    async with scene.look(screen=ViewportSize(width=640, height=300)) as who:
        await who.page.clock.install()
        await who.open("/?kiosk")
        await who.page.locator("#pages", has_text="1 of").wait_for()
        seen: set[str] = set()
        for turn in range(1, len(NAMES)):
            await who.page.locator("#pages", has_text=f"{turn} of").wait_for()
            seen |= set(await who.titles())
            if len(seen) == len(NAMES):
                break
            await who.page.clock.run_for(12_100)
        assert seen == set(NAMES)


async def test_days_are_as_long_as_the_clocks_make_them(scene):
    async with scene.at_desk() as who:
        await who.open()
        days = await who.page.evaluate(
            """async () => {
              const { SiteTime } = await import("/times.js");
              const of = (zone, at) => {
                const time = new SiteTime();
                time.use(zone);
                const { begins, ends } = time.dayOf(Date.parse(at));
                const hours = time.hours(begins, ends).map(({ shown }) => shown);
                return [(ends - begins) / 3600000, hours[0], hours.filter((hour) => hour === "02:00").length];
              };
              return [
                of("Europe/Oslo", "2026-10-25T12:00:00Z"),
                of("Europe/Oslo", "2026-03-29T12:00:00Z"),
                of("Europe/Oslo", "2026-06-01T23:30:00Z"),
                of("America/Santiago", "2026-09-06T12:00:00Z"),
                of("Pacific/Kiritimati", "2026-06-01T23:30:00Z"),
                of("Asia/Kolkata", "2026-06-01T23:30:00Z"),
              ];
            }"""
        )
    assert days == [
        [25, "00:00", 2],
        [23, "00:00", 0],
        [24, "00:00", 1],
        [23, "01:00", 1],  # clocks are set at midnight there
        [24, "00:00", 1],
        [24, "00:00", 1],
    ]


async def test_when_roomd_is_gone_nothing_old_is_shown_as_new(scene):
    async with scene.look() as who, scene.look(screen=WALL, dark=True) as passer_by:
        await who.open()
        await passer_by.open("/?kiosk")
        await who.listen()
        words = await who.card(scene.room("Bittern"))
        await scene.house.roomd.kill()
        await who.page.locator("#banner", has_text="Not connected to roomd since").wait_for()
        old = await who.card(scene.room("Bittern"), text="as of")
        assert "left" in words
        assert "left" not in old
        assert "Not connected" in await who.page.locator("#pulse").inner_text()
        assert (await who.page.title()).startswith("(not connected)")
        assert await who.faint() == []
        await who.picture("not-connected")
        await passer_by.page.locator("#banner", has_text="Not connected to roomd since").wait_for()
        await passer_by.card(scene.room("Bittern"), text="as of")
        await passer_by.picture("wall-not-connected")
        await who.page.click("text=Fulmar")
        await who.page.locator(".one-away", has_text="as of").wait_for()
        unread = who.page.locator(".day-none", has_text="not been read")
        await unread.or_(who.page.locator(".day li").first).wait_for()  # if the room was told of meanwhile
        await who.press("Escape")
        await scene.house.start()
        await passer_by.until_live()
        await who.until_live()
        await who.card(scene.room("Bittern"), text="left")
        assert "as of" not in await who.page.locator("#rooms").inner_text()
        await who.heard("Connected again")


async def test_where_all_seats_are_taken_the_page_asks_now_and_then(scene):
    device = scene.device("Knot")
    async with scene.look() as who:
        full = {"error": "64 listen already", "mend": "close a page"}
        await who.page.route("**/api/events", lambda route: route.fulfill(status=503, json=full))
        await who.open()
        device.count_people(4)
        await who.card(device.room, '[data-condition="in_use"]', text="4 of 8")
        assert await who.page.locator("#banner").is_hidden()
        device.count_people(0)
        await who.card(device.room, '[data-condition="free"]')


async def test_a_room_that_leaves_the_configuration_leaves_the_page(scene):
    async with scene.at_desk() as who:
        await who.open()
        await who.page.evaluate("window.loadedOnce = true")
        lark = who.page.locator(f'.card[data-room="{scene.room("Lark")}"]')
        await lark.wait_for()
        table = scene.house.installation.config.read_text(encoding="utf-8").split("[[rooms]]\n")
        (of_lark,) = [f"[[rooms]]\n{each}" for each in table if f'id = "{scene.room("Lark")}"' in each]
        async with scene.told_otherwise(of_lark, ""):
            await lark.wait_for(state="detached")
            assert len(await who.titles()) == len(NAMES) - 1
        await lark.wait_for()
        assert await who.page.evaluate("window.loadedOnce") is True


async def test_a_sealed_site_shows_who_has_the_token_times_and_no_titles(scene, tmp_path):
    key = tmp_path / "recipient.json"
    key.write_text(json.dumps(ECKey.generate_key("P-256").as_dict(private=False)))
    token = "correct-horse-battery-staple"
    write_secret(scene.house.installation.directory / "page-token", token)
    sealed = f'privacy = "sealed"\nrecipient_key_file = "{key}"'
    bittern = scene.device("Bittern")
    ends = scene.clock(next(each.end for each in bittern.agenda() if each.title == SCRIPT))
    async with (
        scene.told_otherwise("[page]\n", '[page]\ntoken_file = "page-token"\n'),
        scene.told_otherwise('privacy = "plain"', sealed),
        scene.look() as who,
    ):
        await who.page.goto(f"{who.address}/room/{bittern.room}")
        await who.page.fill("input[name=token]", token)
        await who.press("Enter")
        await who.until_live()
        shown = who.page.locator('.booking[aria-current="time"]', has_text="Booked")
        await shown.wait_for()
        assert ends in await shown.inner_text()
        assert "taken" not in await who.page.content()
        await who.open()
        await who.card(bittern.room, text=f"Booked until {ends}")
        assert "taken" not in await who.page.content()
