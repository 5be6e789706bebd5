"""People counts as fast as asked, evenly over the devices, each one counted and, when wanted, timed."""

import asyncio
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.simulator.device import IN_USE, PEOPLE, PRESENCE, Device, Hearer

ARREARS_S: Final = 0.1  # what cannot be sent in time is not made up for later than this
LOOKS_AGAIN_S: Final = 0.1  # for clients that have come since
TICK_S: Final = 0.004  # short enough for latencies, long enough to send several frames at a time


@dataclass(slots=True)
class Tally:
    """What one device has been made to say; the n-th count has the value 1 + n % modulo."""

    counts: int = 0
    last_value: int = 0
    sent_at: "array[float]" = field(default_factory=lambda: array("d"))  # monotonic, one per count


class Flood:
    """Runs until it is stopped or its seconds are over."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self.rate = 0.0
        self.modulo = 1_000_000
        self.timestamps = False
        self.frames = 0
        self.counts = 0
        self.held_back = 0  # turns that a device missed because its client read too slowly
        self.began_at = 0.0
        self.running = False
        self._until = float("inf")
        self._devices: Final = devices
        self._tallies: Final = [Tally() for _ in devices]
        self._wanted = asyncio.Event()

    def start(
        self,
        rate: float,
        *,
        seconds: float | None = None,
        modulo: int = 1_000_000,
        timestamps: bool = False,
    ) -> None:
        """So many counts per second over all devices that somebody listens to."""
        if rate <= 0 or modulo < 2:
            raise ValueError("a flood needs a rate above 0 and a modulo of at least 2")
        self.rate, self.modulo, self.timestamps = rate, modulo, timestamps
        self.frames = self.counts = self.held_back = 0
        self.began_at = time.monotonic()
        self._until = self.began_at + seconds if seconds is not None else float("inf")
        self._tallies[:] = [Tally() for _ in self._devices]
        self.running = True
        self._wanted.set()

    def stop(self) -> None:
        self.running = False
        self._wanted.clear()

    async def run(self) -> None:
        """Owned by the site."""
        while True:
            await self._wanted.wait()
            await self._flow()

    def totals(self) -> dict[str, Any]:
        """Sums, and per device its counts and last value."""
        return {
            "running": self.running,
            "rate": self.rate,
            "modulo": self.modulo,
            "seconds": time.monotonic() - self.began_at if self.began_at else 0.0,
            "counts": self.counts,
            "frames": self.frames,
            "held_back": self.held_back,
            "rooms": {
                device.room: {"counts": tally.counts, "last": tally.last_value}
                for device, tally in zip(self._devices, self._tallies, strict=True)
            },
        }

    def times(self, room: str, since: int = 0) -> dict[str, Any]:
        """When a device's counts were sent, from the `since`-th on; monotonic seconds."""
        for device, tally in zip(self._devices, self._tallies, strict=True):
            if device.room == room:
                return {
                    "room": room,
                    "since": since,
                    "modulo": self.modulo,
                    "sent_at": tally.sent_at[since:].tolist(),
                    "wall_minus_monotonic": time.time() - time.monotonic(),
                }
        raise ValueError(f"no room {room}")

    async def _flow(self) -> None:
        turn = 0
        last = time.monotonic()
        owed = looked_at = 0.0
        heard: list[tuple[int, Hearer]] = []
        while self.running:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            if now >= self._until:
                self.stop()
                return
            owed = min(owed + (now - last) * self.rate, max(1.0, self.rate * ARREARS_S))
            last = now
            if not heard or now - looked_at > LOOKS_AGAIN_S:
                looked_at = now
                heard = [(index, line) for index, device in enumerate(self._devices) for line in device.lines]
            if not heard:
                owed = 0.0
                continue
            for _ in range(int(owed)):
                index, line = heard[turn % len(heard)]
                turn += 1
                self._count(index, line)
            owed -= int(owed)

    def _count(self, index: int, line: Hearer) -> None:
        if line.paused:
            self.held_back += 1
            return
        tally = self._tallies[index]
        value = 1 + tally.counts % self.modulo
        at = time.monotonic()
        frames = line.count(value)
        if not frames:
            return
        if tally.counts == 0:
            self._somebody_is_there(self._devices[index])
        device = self._devices[index]
        device.set_silently(PEOPLE, value)
        tally.counts += 1
        tally.last_value = value
        if self.timestamps:
            tally.sent_at.append(at)
        device.frames_sent += frames
        self.frames += frames
        self.counts += 1

    @staticmethod
    def _somebody_is_there(device: Device) -> None:
        device.set_status({PRESENCE: "Yes", IN_USE: "True"})
