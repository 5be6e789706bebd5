"""All devices: a task each, a door that bounds how many dial at once, and containment of one device's bug."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo

import structlog

from agent.core.facts import Request
from agent.core.model import Device, DeviceId
from device_adapters.conversation import Dial
from device_adapters.lifecycle import Patience, Phase, spread
from device_adapters.link import Deliver, Link, LinkPace, Surroundings, Tally
from device_adapters.websocket import WebSockets

log = structlog.get_logger()

DIAL_AT_ONCE = (
    32  # a TLS handshake costs two milliseconds of a core: more at once only makes all of them late
)


REPORT = "an error in roomd: report it with these lines; the device is dialled again by itself"


def _utc() -> datetime:
    return datetime.now(UTC)


class Fleet:
    """Every device of the site. `deliver` gets the events of one device in their order.

    While `deliver` is awaited, that device is not listened to and has to wait: this is the back-pressure.
    """

    def __init__(  # noqa: PLR0913 - by keyword, and each has a default
        self,
        devices: Sequence[Device],
        deliver: Deliver,
        *,
        dial: Dial | None = None,
        dial_at_once: int = DIAL_AT_ONCE,
        patience: Patience | None = None,
        pace: LinkPace | None = None,
        timezone: tzinfo = UTC,
        clock: Callable[[], datetime] = _utc,
        luck: Callable[[], float] = random.random,
    ) -> None:
        """`timezone` is of devices that do not say where they are; `clock` gives UTC, `luck` is in [0, 1)."""
        self._removed = Tally()  # what links of devices came across that are the site's no more
        self._around = Surroundings(
            dial=dial or WebSockets(),
            deliver=deliver,
            door=asyncio.Semaphore(dial_at_once),
            timezone=timezone,
            clock=clock,
            luck=luck,
            patience=patience or Patience(),
            pace=pace or LinkPace(),
        )
        self._links = {device.id: Link(device, self._around) for device in devices}
        self._tasks: dict[DeviceId, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep a conversation with every device until cancelled; then each of them is closed."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for link in self._links.values():
                    self._start(link)
                await asyncio.get_running_loop().create_future()  # also with no device at all
        finally:
            self._group = None
            self._tasks.clear()

    def ask(self, request: Request) -> bool:
        """Ask a device, without waiting; dropped if it is not connected, as each connect brings a listing.

        Whether it was asked.
        """
        link = self._links.get(request.device)
        return link is not None and link.ask(request)

    def phases(self) -> Mapping[Phase, int]:
        """How many devices are in each phase."""
        counted = Counter(link.phase for link in self._links.values())
        return {phase: counted[phase] for phase in Phase}

    @property
    def under_way(self) -> frozenset[DeviceId]:
        """Devices with a conversation, or on the way to one."""
        resting = (Phase.RESTING, Phase.REFUSED)
        return frozenset(device for device, link in self._links.items() if link.phase not in resting)

    @property
    def tallies(self) -> Mapping[DeviceId, Tally]:
        """What each device's link came across."""
        return {device: link.tally for device, link in self._links.items()}

    @property
    def tally(self) -> Tally:
        """What all links together came across, also those of devices that were removed."""
        whole = Tally()
        for tally in (self._removed, *self.tallies.values()):
            whole.add(tally)
        return whole

    @property
    def devices(self) -> Mapping[DeviceId, Device]:
        """The devices as they are configured now."""
        return {link.device.id: link.device for link in self._links.values()}

    def add(self, device: Device) -> None:
        """A new device of the site. ValueError if it is there already: remove it first."""
        if device.id in self._links:
            raise ValueError(f"device {device.id} is there already")
        self._links[device.id] = link = Link(device, self._around)
        if self._group is not None:
            self._start(link)

    async def remove(self, device: DeviceId) -> None:
        """A device that is the site's no more; returns when its line is closed and all is delivered."""
        link = self._links.pop(device, None)
        task = self._tasks.pop(device, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if link is not None:
            self._removed.add(link.tally)
        self._around.dial.forget(device)

    def turn(self, *, timezone: tzinfo, dial_at_once: int) -> None:
        """From now on, for what is dialled from now on: no line that stands is touched."""
        self._around = replace(self._around, timezone=timezone, door=asyncio.Semaphore(dial_at_once))
        for link in self._links.values():
            link.turn(self._around)

    def try_again(self) -> None:
        """Dial now those that have refused us: a person says that something was mended."""
        for link in self._links.values():
            link.try_again()

    def _start(self, link: Link) -> None:
        if self._group is None:
            raise RuntimeError("the fleet does not run")
        task = self._group.create_task(self._contain(link), name=f"device {link.device.id}")
        self._tasks[link.device.id] = task

    async def _contain(self, link: Link) -> None:
        """Keep one device's bug from the others: log it, rest, and start that device's link again."""
        bugs = 0
        while True:
            try:
                await link.run()
            except Exception:  # the one broad except of the house
                bugs += 1
                link.tally.bugs += 1
                rest_s = spread(self._around.patience.after_bug, failures=bugs, luck=self._around.luck())
                log.exception("link.crashed", device=link.device.id, rest_s=round(rest_s, 1), mend=REPORT)
                await asyncio.sleep(rest_s)
