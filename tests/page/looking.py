"""A person before the page: Debian's Chromium, what is on the screen, and whether everybody can use it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from os import geteuid
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, Page, ViewportSize, async_playwright

SCREENSHOTS: Final = Path(__file__).parents[2] / "build" / "screenshots"
SEEN_WITHIN_MS: Final = 60_000
DESK: Final = ViewportSize(width=1280, height=900)
PHONE: Final = ViewportSize(width=360, height=740)
WALL: Final = ViewportSize(width=1920, height=1080)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One browser, as Debian has it."""
    path = shutil.which("chromium")
    assert path is not None, "there is no chromium: `make judges` brings it"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"] if geteuid() == 0 else []
        )
        yield browser
        await browser.close()


class Person:
    """Somebody with a browser of their own; complaints of the browser are kept."""

    def __init__(self, page: Page, address: str) -> None:
        self.page: Final = page
        self.address: Final = address
        self.complaints: Final[list[str]] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._complain(said.type, said.text))

    def _complain(self, kind: str, text: str) -> None:
        if (
            kind in {"error", "warning"} and "Failed to load resource" not in text
        ):  # that is told when roomd is gone
            self.complaints.append(text)

    async def open(self, path: str = "/") -> None:
        await self.page.goto(self.address + path)
        await self.until_live()

    async def until_live(self) -> None:
        await self.page.wait_for_selector('#pulse[data-state="live"]', state="attached")
        await self.page.wait_for_selector("#banner", state="hidden")

    async def card(self, room: str, where: str = "", *, text: str = "") -> str:
        """What a room's card says, as soon as it is so."""
        card = self.page.locator(f'.card[data-room="{room}"]{where}', has_text=text or None)
        await card.wait_for(state="attached")
        return await card.inner_text()

    async def titles(self) -> list[str]:
        """The names of the rooms that are shown, in their order."""
        return await self.page.locator("#rooms .card:visible .card-name").all_inner_texts()

    async def focused(self) -> str:
        """What has the focus: its id, or its words."""
        return str(
            await self.page.evaluate("document.activeElement.id || document.activeElement.textContent")
        )

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def listen(self) -> None:
        """From now on, as somebody with a screen reader."""
        await self.page.evaluate(
            "() => { window.heard = []; const told = document.querySelector('#told');"
            " new MutationObserver(() => window.heard.push(told.textContent))"
            ".observe(told, { childList: true }); }"
        )

    async def heard(self, words: str) -> None:
        """Was told something with these words in it; waits for it."""
        await self.page.wait_for_function(
            "(words) => window.heard.some((text) => new RegExp(words).test(text))", arg=words
        )

    async def picture(self, name: str, *, whole: bool = False) -> Path:
        """Keeps what is on the screen."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        await self.page.screenshot(path=path, full_page=whole, animations="disabled")
        return path

    # ── whether everybody can use it

    async def nameless(self) -> list[str]:
        """Controls that a screen reader has no name for."""
        return list(await self.page.evaluate(NAMELESS))

    async def disorder(self) -> list[str]:
        """What is wrong with landmarks, headings, ids and language."""
        return list(await self.page.evaluate(DISORDER))

    async def faint(self) -> list[str]:
        """Words whose contrast with what is behind them is below AA, with the contrast."""
        return list(await self.page.evaluate(FAINT))

    async def overflow(self) -> int:
        """Pixels by which the page is wider than the screen."""
        return int(await self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@asynccontextmanager
async def person(
    browser: Browser, address: str, *, screen: ViewportSize = DESK, dark: bool = False, by_touch: bool = False
) -> AsyncIterator[Person]:
    """Somebody who looks at this address."""
    context = await browser.new_context(
        viewport=screen,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        has_touch=by_touch,
        is_mobile=by_touch,
    )
    context.set_default_timeout(SEEN_WITHIN_MS)
    someone = Person(await context.new_page(), address)
    yield someone
    assert someone.complaints == []
    await context.close()


NAMELESS: Final = """() => {
  const text = (id) => document.getElementById(id)?.textContent ?? "";
  const named = (one) =>
    (one.getAttribute("aria-label") ?? "") +
    (one.getAttribute("aria-labelledby") ?? "").split(" ").map(text).join("") +
    [...(one.labels ?? [])].map((label) => label.textContent).join("") +
    (one.matches("a, button, summary") ? one.textContent : "");
  const landmarks = "section:not([hidden]), form, [role=group]";
  return [...document.querySelectorAll("a, button, input, select, summary, [tabindex], " + landmarks)]
    .filter((one) => one.checkVisibility() && !one.matches("li, h2") && !named(one).trim())
    .map((one) => one.outerHTML.slice(0, 90));
}"""

DISORDER: Final = """() => {
  const wrong = [];
  const seen = (query) => [...document.querySelectorAll(query)].filter((one) => one.checkVisibility());
  for (const one of ["main", "body > header", "h1", "title", "html[lang]"]) {
    const many = one === "title" ? document.querySelectorAll(one).length : seen(one).length;
    if (many !== 1) wrong.push(`${many} of ${one}`);
  }
  let level = 0;
  for (const heading of seen("h1, h2, h3, h4")) {
    const now = Number(heading.tagName[1]);
    if (now > level + 1) wrong.push(`h${now} after h${level}: ${heading.textContent}`);
    level = now;
  }
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of new Set(ids)) if (ids.filter((each) => each === id).length > 1) wrong.push(`twice #${id}`);
  for (const svg of document.querySelectorAll("svg")) {
    if (svg.getAttribute("aria-hidden") !== "true") wrong.push("a drawing without words");
  }
  if (document.querySelector("[style*=expression], style, script:not([src])")) wrong.push("inline code");
  return wrong;
}"""

FAINT: Final = """() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const over = (colours) => { // whatever the notation: as it is painted, one above the other
    pen.clearRect(0, 0, 1, 1);
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = new Set();
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const one = words.currentNode.parentElement;
    if (!words.currentNode.textContent.trim() || !one.checkVisibility()) continue;
    if (one.closest("noscript, .unseen, .skip, option")) continue;
    const behind = [];
    for (let each = one; each; each = each.parentElement) {
      behind.unshift(getComputedStyle(each).backgroundColor);
    }
    const style = getComputedStyle(one);
    const [below, above] = [over(behind), over([...behind, style.color])].map(light);
    const contrast = (Math.max(below, above) + 0.05) / (Math.min(below, above) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (large ? 3 : 4.5)) found.add(`${contrast.toFixed(2)} ${one.outerHTML.slice(0, 90)}`);
  }
  return [...found];
}"""
