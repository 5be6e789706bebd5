"""A site, a broker, a bad line between them and roomd, a witness, and the measure of how it recovers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any, Final, Literal

from tests.brokers import BadLine, Liar, Mosquitto
from tests.brokers.crew import Crew
from tests.brokers.ports import free_port
from tests.installation import install
from tests.prove import clouds, consumer, ledger
from tests.prove.clouds import Clouds, Linked
from tests.prove.consumer import Consumer
from tests.prove.daemon import Roomd
from tests.prove.disks import Fragile
from tests.prove.ledger import Accepted, Judgement
from tests.prove.recorder import Recorder, retained
from tests.simulator.device import Device
from tests.simulator.scripts import demonstrate, fill_day
from tests.simulator.site import Site

WINDOW: Final = 40  # `mqtt.window`: what one crash or one cut can repeat at most
LOOK_EVERY_S: Final = 0.25
LOOKS_OF_A_LATECOMER: Final = 5
UP_WITHIN_S: Final = 30.0
NO_LIMITS: Final = "max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true"  # for the witness

BrokerKind = Literal["mosquitto", "forgetful", "liar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a scenario plays."""

    rooms: int = 16
    rate: float = 6.0  # deeds per second over the site
    counts: float = 40.0  # people counted per second over the site, beside the deeds
    broker: BrokerKind = "mosquitto"
    hurry: str = ""  # see `mortal`
    recovers_within_s: float = 90.0
    state: Literal["", "small", "fragile"] = ""  # where roomd's state lies: see `disks`
    wrong_clock: bool = False
    profile: str = "mix"
    lines: Sequence[str] = ("auto",)  # `transport` of the devices, in turn
    feedback: bool = False  # whether those on HTTP call back
    linked: Linked | None = None  # the last of the rooms have calendars in the clouds
    lively: float = 3.0  # deeds per second at these calendars


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was done to them."""

    faults: int = 0
    breaks: int = 0  # ends of a connection or of the process: each may repeat a window
    notes: list[str] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)  # seen on the way


class World:
    """What a scenario has in its hands."""

    def __init__(
        self,
        *,
        setting: Setting,
        directory: Path,
        luck: random.Random,
        site: Site,
        broker: Mosquitto | Liar,
        line: BadLine,
        recorder: Recorder,
        roomd: Roomd,
        crew: Crew,
        calendars: Clouds | None = None,
    ) -> None:
        self.setting: Final = setting
        self.directory: Final = directory
        self.luck: Final = luck
        self.site: Final = site
        self.broker: Final = broker
        self.line: Final = line
        self.recorder: Final = recorder
        self.roomd: Final = roomd
        self.crew: Final = crew
        self._calendars: Final = calendars
        self.disk: Fragile | None = None
        self.stamp: Final = directory / "clock"  # what roomd's wall clock is wrong by
        self.tally: Final = Tally()
        self.books: list[Accepted] = []  # of databases that were rescued
        self.given_up: set[str] = set()  # epochs of which something was destroyed, as the cloud was told
        self._healed_s: float | None = None
        self._follower = Consumer()
        self._followed = 0
        self._day: list[asyncio.Task[None]] = []

    @property
    def clouds(self) -> Clouds:
        """Where the last of the rooms have calendars."""
        assert self._calendars is not None
        return self._calendars

    def devices_on(self, line: str) -> list[Device]:
        """Those that are configured for this line."""
        lines = cycle(self.setting.lines)
        return [device for device, each in zip(self.site.devices, lines, strict=False) if each == line]

    @property
    def mosquitto(self) -> Mosquitto:
        assert isinstance(self.broker, Mosquitto)
        return self.broker

    @property
    def liar(self) -> Liar:
        assert isinstance(self.broker, Liar)
        return self.broker

    @property
    def state(self) -> Path:
        return self.roomd.installation.state

    def fault(self, *, breaks: int = 0) -> None:
        """One more fault, which ends so many connections or processes."""
        self.tally.faults += 1
        self.tally.breaks += breaks
        self._healed_s = None

    async def goes_on(self, seconds: float) -> None:
        """Nothing is wrong any more, and the day goes on: from here on it is measured how long that takes."""
        self._healed_s = time.monotonic()
        await asyncio.sleep(seconds)

    def note(self, text: str) -> None:
        """Something to be read beside the table."""
        self.tally.notes.append(text)

    # ── roomd

    async def start(self, *, die_at: str = "", halt_at: str = "", hurry: str = "") -> None:
        """roomd, as an installation starts it unless the scenario needs it mortal or hasty."""
        hurry = hurry or self.setting.hurry
        environment = {"PROVE_DIE_AT": die_at, "PROVE_HALT_AT": halt_at, "PROVE_HURRY": hurry}
        if die_at or halt_at or hurry:
            await self.roomd.start(module="tests.prove.mortal", environment=environment)
        else:
            await self.roomd.start()

    async def keep_up(self) -> None:
        """As systemd: starts roomd again whenever it has ended, for as long as this is awaited."""
        while True:
            if not self.roomd.running:
                await self.start()
            await self.roomd.ended()
            await asyncio.sleep(0.2)

    # ── the day

    def begin_day(self) -> None:
        """Things happen on the site from now on."""
        rooms = len(self.site.devices) - (0 if self._calendars is None else self._calendars.linked.devices)
        self._day = []
        if rooms:
            self._day.append(
                self.crew.start(demonstrate(self.site, self.setting.rate, rooms=rooms), name="day")
            )
        if self._calendars is not None and self.setting.lively:
            self._day.append(self.crew.start(self._calendars.live(self.setting.lively), name="desks"))
        if self.setting.counts:
            self.site.flood.start(self.setting.counts, modulo=7)

    async def end_day(self) -> None:
        """Nothing new happens; what was begun takes its course."""
        self.site.flood.stop()
        for task in self._day:
            task.cancel()
        if self._day:
            await asyncio.wait(self._day)
        self._day = []

    # ── the measure

    async def settled(self, *, within_s: float) -> float:
        """Until what is retained is the devices' truth, the events say the same, and the outbox is empty.

        Seconds since nothing is wrong any more; raises `NotRecovered`.
        """
        began_s = time.monotonic()
        while True:
            missing = self._unsettled()
            if not missing:
                return time.monotonic() - (self._healed_s or began_s)
            if time.monotonic() - began_s > within_s:
                raise NotRecovered(within_s, missing)
            await asyncio.sleep(LOOK_EVERY_S)

    def states(self) -> dict[str, Any]:
        """Room: its state, as it was retained last."""
        return dict(consumer.states_of(self.recorder.latest))

    def reach(self, room: str, calendar: str) -> str | None:
        """The phase of a room's calendar, as its availability says."""
        return consumer.reach_of(self.recorder.latest, room, calendar)

    def _unsettled(self) -> list[str]:
        """What is still not as it should be."""
        if not self.roomd.running:
            return ["roomd does not run"]
        states, now = self.states(), datetime.now(UTC)
        truths, calendars = self._truths()
        found = consumer.differences(truths, states, now=now)
        found += consumer.unlisted(calendars, states, now=now)
        if self._calendars is not None:
            found += self._calendars.unbelieved(states)
        if not found:
            self._follower.follow(self.recorder.events[self._followed :])
            self._followed = len(self.recorder.events)
            found = consumer.contradictions(self._follower, states, now=now)
        if found:
            return found
        try:
            depth = ledger.waiting(self.state)
        except sqlite3.Error as error:
            return [f"the database cannot be read: {error}"]
        return [f"{depth} envelopes wait"] if depth else []

    def _truths(self) -> tuple[list[dict[str, Any]], dict[str, list[consumer.Slot]]]:
        """What devices have, without the bookings of rooms that have calendars; what these have."""
        truths = self.site.truth()
        if self._calendars is None:
            return truths, {}
        calendars = self._calendars.truth()
        return [
            {**truth, "bookings": None} if truth["room"] in calendars else truth for truth in truths
        ], calendars

    async def latecomer_is_told_the_same(self) -> list[str]:
        """Whether the broker retains what it passed on; a few looks, as something may be on its way."""
        differing: set[str] | None = None
        for _ in range(LOOKS_OF_A_LATECOMER):
            found = await retained(self.broker.port)
            latest = self.recorder.latest
            unlike = {
                topic
                for topic in {*found, *latest}
                if found.get(topic, b"") != latest.get(topic, b"")  # nothing is how a topic is cleared
            }
            differing = unlike if differing is None else differing & unlike
            if not differing:
                return []
        return [f"{topic}: a latecomer is told something else" for topic in sorted(differing or ())]

    def keep_books(self) -> Accepted:
        """Writes down what the database has promised, before it is damaged."""
        book = ledger.read(self.state)
        self.books.append(book)
        return book

    def judge(self) -> Judgement:
        """After the end: what was lost, repeated and out of order."""
        accepted = ledger.together([*self.books, ledger.read(self.state)])
        judgement = ledger.judge(accepted, self.recorder.events, given_up=self.given_up)
        if accepted.pending:
            judgement.wrongs.append(f"{len(accepted.pending)} envelopes were left in the outbox")
        if self._calendars is not None:
            judgement.wrongs += self._calendars.emptied + self._calendars.misunderstood()
            judgement.wrongs += clouds.judge(
                self._calendars.rooms,
                self.recorder.events,
                renamed=bool(self.books) or self.setting.wrong_clock,  # a day ahead all is long over
            )
        return judgement


class NotRecovered(Exception):
    """It did not come back to the truth in time."""

    def __init__(self, within_s: float, missing: Sequence[str]) -> None:
        shown = "; ".join(missing[:3])
        super().__init__(f"not recovered within {within_s:g} s: {shown} ({len(missing)} in all)")


@asynccontextmanager
async def world(
    setting: Setting, *, directory: Path, luck: random.Random, address_base: str, state: Path | None = None
) -> AsyncIterator[World]:
    """Everything up and the witness listening; roomd is not started yet. Nothing is left behind."""
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(
            Site(
                setting.rooms,
                profile=setting.profile,
                calendar="mix",
                seed=luck.randrange(1000),
                address_base=address_base,
            )
        )
        linked = setting.linked
        calendars: Clouds | None = None
        if linked is not None:
            calendars = await stack.enter_async_context(
                clouds.clouds(
                    luck=luck,
                    linked=linked,
                    devices=site.devices[len(site.devices) - linked.devices :],
                    door_port=free_port(),
                )
            )
            if linked.follow:
                calendars.follow_now()
        fill_day(site, rooms=setting.rooms - (linked.devices if linked is not None else 0))
        site.write(directory / "site")
        broker = await stack.enter_async_context(_broker(setting.broker, directory / "broker"))
        line = await stack.enter_async_context(BadLine(broker.port))
        recorder = Recorder(broker.port)
        described = [
            {**device, "transport": transport}
            for device, transport in zip(site.describe()["devices"], cycle(setting.lines), strict=False)
        ]
        installation = install(
            directory / "roomd",
            devices=described,
            broker_url=f"mqtt://127.0.0.1:{line.port}",
            device_ca=directory / "site" / "ca.pem",
            site="prove",
            extra="budget_mb = 32",
            feedback=f"127.0.0.1:{free_port()}" if setting.feedback else "",
            tables="" if calendars is None else calendars.tables(directory / "roomd"),
            links={} if calendars is None else calendars.links(),
            bare=() if calendars is None else calendars.bare(),
        )
        if state is not None:
            installation.config.write_text(
                installation.config.read_text().replace(str(installation.state), str(state))
            )
            installation.state.symlink_to(state)
        roomd = await stack.enter_async_context(Roomd(installation))
        crew = await stack.enter_async_context(Crew())
        crew.start(recorder.run(), name="recorder")
        await recorder.until_listening()
        if calendars is not None:
            if not setting.wrong_clock:  # tomorrow what lasts today is over
                recorder.on_state = calendars.watch
            crew.start(calendars.pass_on(), name="google")
            if calendars.linked.follow:
                crew.start(calendars.follow(), name="hybrid calendar")
        yield World(
            setting=setting,
            directory=directory,
            luck=luck,
            site=site,
            broker=broker,
            line=line,
            recorder=recorder,
            roomd=roomd,
            crew=crew,
            calendars=calendars,
        )


@asynccontextmanager
async def _broker(kind: BrokerKind, directory: Path) -> AsyncIterator[Mosquitto | Liar]:
    broker: Any
    if kind == "liar":
        broker = Liar()
    else:
        broker = Mosquitto(directory, persistence=kind == "mosquitto", extra=NO_LIMITS)
    async with broker:
        yield broker


def keep(directory: Path, where: Path) -> None:
    """What remains of a scenario that went wrong, for a person."""
    with contextlib.suppress(OSError):
        where.mkdir(parents=True, exist_ok=True)
        for path in ("roomd/roomd.log", "roomd/roomd.toml", "roomd/reception.txt"):
            if (directory / path).exists():
                shutil.copy2(directory / path, where)
        state = directory / "roomd" / "state"
        if state.exists():
            shutil.copytree(state, where / "state", dirs_exist_ok=True)
