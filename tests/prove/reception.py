"""The cloud that gives commands and the people in front of the screens; both are written down and judged."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.prove import promises
from tests.prove.cloud import FINAL, Cloud
from tests.prove.promises import Order, Press, Record
from tests.prove.recorder import publish
from tests.prove.timeline import LED, Timeline
from tests.prove.world import World
from tests.simulator.bookings import Answer
from tests.simulator.device import Device
from tests.simulator.screen import NotShown

SITE: Final = "prove"
ANSWERS: Final = ("I'm here", "Release it")
EVENTUALLY_S: Final = 60.0
LOOK_EVERY_S: Final = 0.05
FAR_OFF_MIN: Final = 13 * 60  # from now: what the day has brought is over by then
LONG_S: Final = 900
UNDER_WAY_S: Final = 0.3  # a command, to the broker
FILLER: Final = "prove/filler"
HEARD_WITHIN_S: Final = 10.0
REASONS_SHOWN: Final = 3
NUMBERS: Final = re.compile(r"\S*\d\S*")

Json = Mapping[str, Any]
Custom = Callable[["Reception", Device, Random], Awaitable[None]]


class Reception:
    """In all rooms at once the same kind of thing goes on, until it is told to come to an end."""

    def __init__(self, world: World) -> None:
        self.world: Final = world
        self.orders: Final[list[Order]] = []
        self.presses: Final[list[Press]] = []
        self.timeline: Final = Timeline(world.site.devices, running=lambda: world.roomd.running)
        self.over = False
        self._may_give = asyncio.Event()
        self._may_give.set()
        self.forgotten: Final[set[str]] = set()  # holds
        self.disturbed: Final[set[str]] = set()
        self.wrongs: Final[list[str]] = []
        self._cloud: Final = Cloud(world.broker.port, world.recorder, site=SITE)
        self._wall_s: Final = time.time() - time.monotonic()
        self._numbers = 0
        self._answers_read = 0
        self._final: Final[dict[str, Json]] = {}
        self._events_read = 0
        self._ended: Final[dict[str, int]] = {}  # hold: how often
        self._placed: Final[dict[str, int]] = {}
        self._places: Final[dict[str, list[Order]]] = {}  # hold: what was ordered of it
        self._seen: Final[set[tuple[str, str]]] = set()

    # ── the cloud

    def name(self, kind: str = "h") -> str:
        """One that nothing has had."""
        self._numbers += 1
        return f"{kind}{self._numbers}"

    def order(self, room: str, name: str, **arguments: object) -> Order:
        """A command that is still to be given."""
        order = Order(id=f"{self.name('c')}-{room}", room=room, name=name, arguments=arguments)
        self.orders.append(order)
        return order

    async def give(self, *orders: Order, times: int = 1, expires_in_s: float = 600.0) -> None:
        """Until the broker has them; while it is away, again and again, as a cloud would."""
        for order in orders:
            while True:
                await self._may_give.wait()
                order.copies += times
                try:
                    await self._cloud.give(
                        order.room,
                        order.name,
                        order.arguments,
                        id_=order.id,
                        expires_in_s=expires_in_s,
                        times=times,
                    )
                except (OSError, EOFError, TimeoutError):
                    await asyncio.sleep(0.2)
                else:
                    break

    def hold(self, device: Device, luck: Random, hold_id: str = "", **more: object) -> Order:
        """A hold with words that no other has; everywhere where this device can show it."""
        order = self.order(device.room, "hold.place", hold_id=hold_id or self.name())
        arguments = {
            "hold_id": order.hold,
            "text": f"Kept by {order.id}",
            "title": order.hold,
            "duration_s": LONG_S,
            "surfaces": self._surfaces(device, luck),
            "answers": list(ANSWERS),
            **more,
        }
        self._places.setdefault(order.hold, []).append(order)
        order.arguments = {key: value for key, value in arguments.items() if value is not None}
        return order

    async def answered(self, order: Order) -> str:
        """Its final answer's status; "" if none has come for long."""
        await self.until(lambda: order.id in self.final, f"{order.room}: {order.name} {order.id} answered")
        return str(self.final[order.id]["status"]) if order.id in self.final else ""

    @property
    def final(self) -> Mapping[str, Json]:
        """By command, as far as they have come."""
        answers = self.world.recorder.answers
        for answer in answers[self._answers_read :]:
            if answer["status"] in FINAL:
                self._final.setdefault(answer["command_id"], answer)
        self._answers_read = len(answers)
        return self._final

    @asynccontextmanager
    async def silent(self) -> AsyncIterator[None]:
        """No command is given meanwhile, and the broker has those that were on its disk.

        Ours writes a change down before it acknowledges the next message: killed, it loses its last one.
        """
        self._may_give.clear()
        try:
            await asyncio.sleep(UNDER_WAY_S)
            await publish(self.world.broker.port, [(FILLER, b"")] * 2, client_id="filler")
            yield
        finally:
            self._may_give.set()

    def forget(self, order: Order) -> None:
        """Of what was lost with a database no end is told."""
        self.forgotten.add(order.hold)

    # ── the people

    async def press(self, device: Device, order: Order, luck: Random) -> None:
        """Somebody answers it as soon as it is there, and again if nobody took notice, until it is over."""
        while not self.ended(order.hold) and not self._late(order):
            number = luck.choice((1, 2))
            with contextlib.suppress(NotShown):
                prompt = device.screen.prompt
                if prompt is not None and prompt.text("Text") == order.arguments["text"]:
                    self.presses.append(
                        Press(
                            room=device.room,
                            text=order.arguments["text"],
                            answer=ANSWERS[number - 1],
                            at_s=time.monotonic(),
                        )
                    )
                    device.answer_prompt(number, feedback_id=prompt.feedback_id)
            await asyncio.sleep(luck.uniform(0.1, 0.4))

    def _late(self, order: Order) -> bool:
        return self.over and order.id not in self.final

    # ── what has come of it

    def shown(self, order: Order) -> bool:
        """Whether it is on a screen."""
        return any(thing.text == order.arguments["text"] for thing in self.timeline.shows(order.room))

    def appearances(self, order: Order) -> int:
        """How often it came up on a surface, on whichever most often."""
        spans = (
            s for s in self.timeline.spans if s.room == order.room and s.thing.text == order.arguments["text"]
        )
        return max(Counter(span.thing.surface for span in spans).values(), default=0)

    async def until_shown(self, order: Order) -> None:
        """Or over. Where something else is on the screens it need not be."""
        if order.room not in self.disturbed:
            await self.until(lambda: self.shown(order) or self.ended(order.hold), f"{order.id} shown")

    def ended(self, hold: str) -> bool:
        """Whether the cloud was told the end of every life that this hold has had, as far as is answered."""
        self._read()
        done = sum(
            order.hold == hold and order.name == "hold.place" and self._is_done(order)
            for order in self.orders
        )
        return 0 < max(done, self._placed.get(hold, 0)) <= self._ended.get(hold, 0)

    def _is_done(self, order: Order) -> bool:
        return order.id in self.final and self.final[order.id]["status"] == "done"

    def standing(self) -> Sequence[tuple[str, str]]:
        """Room and hold of those that have begun and not ended, as the cloud was told."""
        self._read()
        rooms = {order.hold: order.room for order in self.orders if order.name == "hold.place"}
        return [
            (rooms[hold], hold)
            for hold, count in self._placed.items()
            if hold in rooms and hold not in self.forgotten and count > self._ended.get(hold, 0)
        ]

    async def until_heard(self, device: Device) -> None:
        """As good as connected; and never mind if it does not come to that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARD_WITHIN_S):
                while not (self.world.roomd.running and device.subscriptions):  # noqa: ASYNC110 -- as above
                    await asyncio.sleep(LOOK_EVERY_S)
        await asyncio.sleep(LOOK_EVERY_S * 4)

    async def until(self, so: Callable[[], object], what: str, *, within_s: float = EVENTUALLY_S) -> bool:
        """Whether it came to be so. That it did not is wrong."""
        try:
            async with asyncio.timeout(within_s):
                while not so():  # noqa: ASYNC110 -- screens and a broker, looked at from outside
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            self.wrongs.append(f"not within {within_s:g} s: {what}")
            return False
        return True

    # ── the end

    async def conclude(self) -> None:
        """Nothing new; what stands is taken back, everything is answered, and the screens become free."""
        self.over = True
        for room, hold in self.standing():
            await self.give(self.order(room, "hold.cancel", hold_id=hold))
        await self.until(
            lambda: all(order.id in self.final for order in self.orders if order.copies), "all answered"
        )
        await self.until(lambda: not self.standing(), "every hold ended")
        words = {order.arguments.get("text") for order in self.orders}
        await self.until(
            lambda: (
                not any(
                    thing.text in words or thing.kind == LED
                    for device in self.world.site.devices
                    for thing in self.timeline.shows(device.room)
                )
            ),
            "the screens are free",
            within_s=promises.OFF_WITHIN_S * 2,
        )

    def judge(self) -> list[str]:
        """What was wrong on the way, and in the end."""
        return list(dict.fromkeys(self.wrongs)) + promises.judge(self.record())

    def record(self) -> Record:
        """All that was seen."""
        return Record(
            orders=[order for order in self.orders if order.copies],
            presses=self.presses,
            answers=self.world.recorder.answers,
            events=self.world.recorder.events,
            spans=self.timeline.spans,
            well=self.timeline.well,
            until_s=time.monotonic(),
            wall_s=self._wall_s,
            booked={
                device.room: [str(each.parameters.get("Title")) for each in device.received("Bookings Book")]
                for device in self.world.site.devices
            },
            lasts_min={
                booking.title: (booking.end - booking.start).total_seconds() / 60
                for device in self.world.site.devices
                for booking in device.agenda()
            },
            breaks=self.world.tally.breaks,
            disturbed=frozenset(self.disturbed),
            forgotten=frozenset(self.forgotten),
        )

    def summary(self) -> str:
        """How much was there to be judged."""
        record = self.record()
        counts = Counter(promises.statuses(record).values())
        answers = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        reasons = Counter(
            NUMBERS.sub("…", str(answer["reason"])) for answer in self.final.values() if answer["reason"]
        )
        because = "; ".join(f"{count} × {reason}" for reason, count in reasons.most_common(REASONS_SHOWN))
        copies = sum(order.copies for order in record.orders)
        told = Counter(event.kind for event in record.events if event.kind.startswith("hold."))
        holds = ", ".join(f"{count} {kind}" for kind, count in sorted(told.items()))
        return (
            f"{len(record.orders)} commands in {copies} copies: {answers}; {len(record.presses)} pressed; "
            f"told: {holds}; {len(record.spans)} times something was on a surface"
            + (f"; not done: {because}" if because else "")
        )

    def write(self, path: Path) -> None:
        """For a person: everything in the order in which it happened."""
        lines: list[tuple[float, str]] = []
        for span in self.timeline.spans:
            lines.append((span.from_s, f"{span.room} + {tuple(span.thing)}"))
            if span.to_s is not None:
                lines.append((span.to_s, f"{span.room} - {tuple(span.thing)}"))
        lines += [
            (press.at_s, f"{press.room} pressed {press.answer!r} of {press.text!r}") for press in self.presses
        ]
        for event in self.world.recorder.events:
            if event.kind.startswith(("hold.", "device.", "booking.")):
                data = event.body["data"]
                told = {
                    key: data.get(key) for key in ("cause", "answer", "device", "surface", "title", "phase")
                }
                lines.append(
                    (event.at_s, f"{event.stream} {event.kind} {event.id} {event.body.get('subject')} {told}")
                )
        at_s = {answer["command_id"]: answer["at"] for answer in self.world.recorder.answers}
        for answer in self.world.recorder.answers:
            when = datetime.fromisoformat(at_s[answer["command_id"]]).timestamp() - self._wall_s
            lines.append((when, f"answer {json.dumps(answer)}"))
        orders = [
            f"{order.room} {order.name} {order.id} ×{order.copies} {order.arguments}" for order in self.orders
        ]
        began_s = min((at for at, _ in lines), default=0.0)
        began = datetime.fromtimestamp(began_s + self._wall_s, UTC)
        told_lines = [f"{at - began_s:9.3f} {text}" for at, text in sorted(lines)]
        path.write_text("\n".join([f"began {began.isoformat()}", *orders, *told_lines]) + "\n")

    # ── inside

    def _surfaces(self, device: Device, luck: Random) -> list[str]:
        surfaces = ["screen"]
        if device.profile.startswith("26."):
            surfaces += [each for each in ("controller", "scheduler") if luck.random() < 0.3]
        if device.config("UserInterface", "LedControl", "Mode") is not None and luck.random() < 0.3:
            surfaces.append("led")
        return surfaces

    def _read(self) -> None:
        events = self.world.recorder.events
        for event in events[self._events_read :]:
            if event.kind in {"hold.placed", "hold.ended", "hold.failed"}:
                if (event.source, event.id) in self._seen:
                    continue
                self._seen.add((event.source, event.id))
                counts = self._placed if event.kind == "hold.placed" else self._ended
                counts[event.body["subject"]] = counts.get(event.body["subject"], 0) + 1
        self._events_read = len(events)


# ── what goes on in a room ────────────────────────────────────────────────────────────────────────


async def comes_and_goes(r: Reception, device: Device, luck: Random) -> None:
    """A hold is placed, perhaps extended or placed anew, and ends in one of the ways there are."""
    order = r.hold(device, luck, answers=list(ANSWERS) if luck.random() < 0.8 else None)
    await r.give(order, times=luck.choice((1, 1, 2)))
    if await r.answered(order) != "done":
        return
    await r.until_shown(order)
    if luck.random() < 0.3:
        await r.give(r.order(device.room, "hold.extend", hold_id=order.hold, ends_at=soon(LONG_S * 2)))
    if luck.random() < 0.2:
        order = r.hold(device, luck, order.hold)
        await r.give(order)
        if await r.answered(order) != "done":
            return
    way = luck.choice(("press", "press", "cancel", "expire"))
    if way == "press" and "answers" in order.arguments:
        await r.press(device, order, luck)
        return
    if way == "expire":
        ends_at = soon(luck.uniform(2.0, 6.0))
        shorter = r.order(device.room, "hold.extend", hold_id=order.hold, ends_at=ends_at)
        await r.give(shorter)
        if await r.answered(shorter) == "done":
            await r.until(lambda: r.ended(order.hold), f"{order.hold} expired")
            return
    await r.give(r.order(device.room, "hold.cancel", hold_id=order.hold))
    await r.until(lambda: r.ended(order.hold), f"{order.hold} ended")


async def is_answered(r: Reception, device: Device, luck: Random) -> None:
    """A hold is placed and answered."""
    order = r.hold(device, luck)
    await r.give(order)
    if await r.answered(order) == "done":
        await r.press(device, order, luck)


async def stays(r: Reception, device: Device, luck: Random) -> None:
    """A hold is renewed for as long as anything goes on."""
    order = r.hold(device, luck)
    await r.give(order)
    await r.answered(order)
    while not r.over:  # noqa: ASYNC110 -- as above
        await asyncio.sleep(LOOK_EVERY_S)


async def is_booked(r: Reception, device: Device, luck: Random) -> None:
    """The room is booked, extended and given back by command; mostly the calendar says yes."""
    device.answer = Answer(after_s=luck.uniform(0.0, 1.0), outcome=luck.choice(("confirm",) * 5 + ("fail",)))
    number = sum(order.name == "booking.book" and order.room == device.room for order in r.orders)
    starts_at = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(
        minutes=FAR_OFF_MIN + number * 30
    )
    title = r.name("Booked ")
    order = r.order(
        device.room, "booking.book", starts_at=starts_at.isoformat(), duration_min=15, title=title
    )
    if luck.random() < 0.8:
        await r.until_heard(device)
    await r.give(order, times=luck.choice((1, 1, 3)))
    if await r.answered(order) != "done":
        return
    key = r.final[order.id]["result"]["key"]
    if luck.random() < 0.5:
        longer = r.order(device.room, "booking.extend", key=key, by_min=10)
        await r.give(longer, times=luck.choice((1, 2)))
        await r.answered(longer)
    if luck.random() < 0.7:
        release = r.order(device.room, "booking.release", key=key)
        await r.give(release, times=luck.choice((1, 2)))
        await r.answered(release)


def soon(seconds: float) -> str:
    """That far from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@asynccontextmanager
async def reception(world: World, *goings_on: Custom) -> AsyncIterator[Reception]:
    """In every room one of these goes on, again and again; afterwards it is judged."""
    there = Reception(world)
    watching = world.crew.start(there.timeline.run(), name="timeline")
    tasks = [
        world.crew.start(
            _again_and_again(there, goings_on[number % len(goings_on)], device),
            name=f"reception-{device.room}",
        )
        for number, device in enumerate(world.site.devices)
        if goings_on
    ]
    try:
        yield there
        there.over = True
        if tasks:
            await asyncio.wait(tasks, timeout=EVENTUALLY_S)
        await there.conclude()
        world.tally.wrongs += there.judge()
    finally:
        for task in (*tasks, watching):
            task.cancel()
        await asyncio.wait((*tasks, watching))
        world.note(there.summary())
        there.write(world.directory / "roomd" / "reception.txt")


async def _again_and_again(r: Reception, goes_on: Custom, device: Device) -> None:
    luck = Random(f"{r.world.luck.randrange(1 << 30)}/{device.room}")
    while not r.over:
        await goes_on(r, device, luck)
        await asyncio.sleep(luck.uniform(0.0, 0.3))
