"""What every surface of a site has shown, and from when to when: the simulator tells it, not roomd."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Final, NamedTuple

from tests.simulator.device import Device
from tests.simulator.screen import SURFACES

LOOK_EVERY_S: Final = 0.05
LED: Final = "LED"
BY_HAND: Final = "Manual"


class Thing(NamedTuple):
    """Something that people see at a device."""

    surface: str
    kind: str  # Prompt, Alert, TextLine, or LED
    name: str  # a prompt's FeedbackId
    text: str


@dataclass(slots=True, kw_only=True)
class Span:
    """From when to when it was there, monotonic."""

    room: str
    device: str
    thing: Thing
    from_s: float
    to_s: float | None = None  # None: it is there still


@dataclass(slots=True)
class Wellness:
    """How long, all in all, roomd has run and had a conversation with a device that listens."""

    moments: list[tuple[float, float]] = field(default_factory=list)  # monotonic, well seconds until then

    def note(self, at_s: float, *, well: bool) -> None:
        before_s, sum_s = self.moments[-1] if self.moments else (at_s, 0.0)
        self.moments.append((at_s, sum_s + (at_s - before_s if well else 0.0)))

    def between(self, from_s: float, to_s: float) -> float:
        """Well seconds in between."""
        return max(0.0, self._until(to_s) - self._until(from_s))

    def _until(self, at_s: float) -> float:
        number = bisect_right(self.moments, (at_s, inf))
        if number == 0:
            return 0.0
        from_s, sum_s = self.moments[number - 1]
        if number == len(self.moments):
            return sum_s
        to_s, later_s = self.moments[number]
        return sum_s + (later_s - sum_s) * (at_s - from_s) / (to_s - from_s)


class Timeline:
    """Looks at all screens whenever something changes on them, and every 50 ms at what roomd can reach."""

    def __init__(self, devices: Iterable[Device], *, running: Callable[[], bool]) -> None:
        self.spans: Final[list[Span]] = []
        self.well: Final[dict[str, Wellness]] = {}
        self._devices: Final = tuple(devices)
        self._running: Final = running
        self._open: Final[dict[tuple[str, Thing], Span]] = {}
        self._held: Final[set[str]] = set()
        for device in self._devices:
            self.well[device.room] = Wellness()
            device.on_change = _both(device.on_change, partial(self._look, device))

    def hold_open(self, device: Device) -> None:
        """It keeps its connections and does not listen."""
        self._held.add(device.room)
        device.hold_open()

    def let_go(self, device: Device) -> None:
        self._held.discard(device.room)
        device.let_go()

    def shows(self, room: str) -> Sequence[Thing]:
        """What is there now."""
        return [thing for (of, thing) in self._open if of == room]

    async def run(self) -> None:
        """For ever."""
        while True:
            now_s, running = time.monotonic(), self._running()
            for device in self._devices:
                heard = bool(device.subscriptions) and not device.down and device.room not in self._held
                self.well[device.room].note(now_s, well=running and heard)
                self._look(device)
            await asyncio.sleep(LOOK_EVERY_S)

    def _look(self, device: Device) -> None:
        now_s = time.monotonic()
        seen = set(_things(device))
        for key in [key for key in self._open if key[0] == device.room and key[1] not in seen]:
            self._open.pop(key).to_s = now_s
        for thing in seen:
            if (device.room, thing) not in self._open:
                span = Span(room=device.room, device=device.host, thing=thing, from_s=now_s)
                self._open[device.room, thing] = span
                self.spans.append(span)


def _things(device: Device) -> Iterable[Thing]:
    for message in device.screen.messages:
        for surface in SURFACES:
            if surface in message.surfaces:
                yield Thing(surface, message.kind, message.feedback_id, message.text("Text"))
    if device.config("UserInterface", "LedControl", "Mode") == BY_HAND:
        yield Thing(LED, LED, "", "")


def _both(one: Callable[[], None], other: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        one()
        other()

    return both
