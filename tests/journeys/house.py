"""A small site with everything real in it but the devices, and short waits for what one wants to see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.brokers import BadLine, Liar, Mosquitto
from tests.brokers.crew import Crew
from tests.brokers.ports import free_port
from tests.installation import Installation, install
from tests.prove.cloud import Cloud
from tests.prove.daemon import Roomd
from tests.prove.ledger import Accepted, Judgement, judge, read
from tests.prove.recorder import Event, Recorder, retained
from tests.simulator.device import Device
from tests.simulator.site import Site

PROFILES: Final = ("10.19.4.2", "11.14.5.0", "11.27.2.0", "26.4.1")
MIX: Final = 10  # rooms in which every profile and every kind of calendar is found
HASTE: Final = "broker,devices,states"
SEEN_WITHIN_S: Final = 60.0  # generous: on a loaded machine all wait for all

Json = Mapping[str, Any]


class House:
    """What a journey has in its hands."""

    def __init__(
        self,
        *,
        site: Site,
        broker: Mosquitto | Liar,
        line: BadLine,
        recorder: Recorder,
        roomd: Roomd,
        haste: str,
    ) -> None:
        self.site: Final = site
        self.broker: Final = broker
        self.line: Final = line
        self.recorder: Final = recorder
        self.roomd: Final = roomd
        self.cloud: Final = Cloud(broker.port, recorder, site="journey")
        self._haste: Final = haste
        self._read = 0

    @property
    def installation(self) -> Installation:
        return self.roomd.installation

    @property
    def liar(self) -> Liar:
        assert isinstance(self.broker, Liar)
        return self.broker

    @property
    def mosquitto(self) -> Mosquitto:
        assert isinstance(self.broker, Mosquitto)
        return self.broker

    @property
    def devices(self) -> Sequence[Device]:
        return self.site.devices

    async def start(self, *, die_at: str = "") -> None:
        await self.roomd.start(
            module="tests.prove.mortal", environment={"PROVE_HURRY": self._haste, "PROVE_DIE_AT": die_at}
        )

    async def heard(self, *devices: Device) -> None:
        """These, or all of them, are connected, and what they have is retained."""
        for device in devices or self.devices:
            await self.retained(device, lambda state: state["calendar"]["fresh"])

    # ── what the cloud is told

    def all_told(
        self, kind: str = "", *, of: Device | str | None = None, key: str | None = None
    ) -> list[Json]:
        """The events of this kind so far, of a room, of a booking."""
        room = of.room if isinstance(of, Device) else of
        return [
            event.body
            for event in self.recorder.events
            if (not kind or event.kind == kind)
            and (room is None or event.stream == f"rooms/{room}")
            and (key is None or event.body["subject"] == key)
        ]

    async def told(
        self,
        kind: str,
        *,
        of: Device | str | None = None,
        key: str | None = None,
        where: Callable[[Json], object] = lambda _: True,
        within_s: float = SEEN_WITHIN_S,
    ) -> Json:
        """The first event of this kind of which this is so; waits for it."""

        def found() -> list[Json]:
            return [body for body in self.all_told(kind, of=of, key=key) if where(body["data"])]

        await self.recorder.until(found, within_s=within_s)
        return found()[0]

    async def counted(self, device: Device, people: int) -> Json:
        """The cloud is told of so many people."""
        return await self.told("occupancy.changed", of=device, where=lambda data: data["people"] == people)

    async def came(self, event_id: str) -> None:
        """The event of this id has been delivered."""
        await self.recorder.until(lambda: any(event.id == event_id for event in self.recorder.events))

    async def retained(
        self,
        device: Device | str,
        where: Callable[[Json], object] = lambda _: True,
        *,
        what: str = "state",
        within_s: float = SEEN_WITHIN_S,
    ) -> Json:
        """What is retained of a room, as soon as this is so."""
        room = device.room if isinstance(device, Device) else device
        return await self._latest(f"rooms/{room}/{what}", where, within_s=within_s)

    async def listed(self, device: Device | str, *titles: str, within_s: float = SEEN_WITHIN_S) -> Json:
        """What is retained, as soon as the room's agenda has these titles and no others."""
        return await self.retained(
            device,
            lambda state: sorted(entry["title"] or "" for entry in state["agenda"]) == sorted(titles),
            within_s=within_s,
        )

    async def cleared(self, room: str, what: str = "state") -> None:
        """Nothing of it is retained any more."""
        topic = f"roomd/v1/journey/rooms/{room}/{what}"
        await self.recorder.until(lambda: not self.recorder.latest.get(topic), within_s=SEEN_WITHIN_S)

    async def status(
        self, where: Callable[[Json], object] = lambda _: True, *, within_s: float = SEEN_WITHIN_S
    ) -> Json:
        return await self._latest("agents/agent-1/status", where, within_s=within_s)

    async def latecomer(self) -> dict[str, bytes]:
        return await retained(self.broker.port)

    async def _latest(self, tail: str, where: Callable[[Json], object], *, within_s: float) -> Json:
        topic = f"roomd/v1/journey/{tail}"

        def found() -> Json | None:
            payload = self.recorder.latest.get(topic)
            body = None if payload is None else json.loads(payload)
            return body if body is not None and where(body) else None

        await self.recorder.until(lambda: found() is not None, within_s=within_s)
        body = found()
        assert body is not None
        return body

    # ── what was promised

    def promised(self) -> Accepted:
        return read(self.installation.state)

    async def delivered(self, *, within_s: float = SEEN_WITHIN_S) -> Judgement:
        """Everything that was promised has come: nothing lost, nothing out of order."""
        async with asyncio.timeout(within_s):
            while (found := judge(self.promised(), self.recorder.events)).lost:  # noqa: ASYNC110 -- roomd writes
                await asyncio.sleep(0.05)
        assert found.wrongs == []
        return found

    async def ask(self, *arguments: str) -> tuple[int, str, str]:
        """A command: its exit code, its answer and its complaints."""
        return await self.installation.ask(*arguments)

    async def logged(self, word: str, *, after: int = 0, within_s: float = SEEN_WITHIN_S) -> str:
        """The log, as soon as it has this word in it, behind its first letters."""
        async with asyncio.timeout(within_s):
            while word not in self.roomd.log[after:]:  # noqa: ASYNC110 -- another process writes it
                await asyncio.sleep(0.05)
        return self.roomd.log


def keys(events: Iterable[Event]) -> list[tuple[str, str]]:
    return [(event.source, event.id) for event in events]


@asynccontextmanager
async def house(
    directory: Path,
    *,
    rooms: int = 1,
    profile: str | Sequence[str] = "26.4.1",
    calendar: str = "hybrid",
    broker: Mosquitto | Liar | None = None,
    haste: str = HASTE,
    pinned: bool = False,
    mqtt: str = "",
    strangers: Mapping[str, str] | None = None,
    arrange: Callable[[Site, list[dict[str, Any]]], None] | None = None,
    feedback: bool = False,
    page: str = "listen = false",
    tables: Callable[[Path], str] = lambda _: "",
    links: Mapping[str, str] | None = None,
    bare: Iterable[tuple[str, str]] = (),
    start: bool = True,
    listen: bool = True,
    forked: bool = True,
) -> AsyncIterator[House]:
    """Everything up; roomd as well unless it shall start later. `strangers`: rooms at other hosts.

    `arrange` changes the devices, and what roomd is told of them, before it starts; with `feedback` roomd
    listens for devices that call back; `page` are the lines of its table. `tables` writes the files of the
    calendars' tables into a directory; `links` are one line more for a room, `bare` ids and names of rooms
    without a device. Unless it is `forked`, everything of roomd is a new interpreter, as it is elsewhere.
    """
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(
            Site(rooms, profile=profile, calendar=calendar, address_base="127.77.0.1", self_signed=pinned)
        )
        site.write(directory / "site")
        chosen = Mosquitto(directory / "broker") if broker is None else broker
        await stack.enter_async_context(chosen)
        line = await stack.enter_async_context(BadLine(chosen.port))
        recorder = Recorder(chosen.port)
        described = [dict(device) for device in site.describe()["devices"]]
        for room, where in (strangers or {}).items():
            host, _, port = where.partition(":")
            described.append({**described[0], "room": room, "host": host, "port": port})
        if arrange is not None:
            arrange(site, described)
        installation = install(
            directory / "roomd",
            devices=described,
            broker_url=f"{chosen.url.partition('://')[0]}://127.0.0.1:{line.port}",
            device_ca=None if pinned else directory / "site" / "ca.pem",
            site="journey",
            mqtt_extra=mqtt,
            feedback=f"127.0.0.1:{free_port()}" if feedback else "",
            page=page,
            tables=tables(directory / "roomd"),
            links=links,
            bare=bare,
        )
        installation = replace(installation, forked=forked)
        roomd = await stack.enter_async_context(Roomd(installation, forked=forked))
        recorder.also_seen = lambda: f"and roomd said:\n{roomd.log[-2000:]}"
        crew = await stack.enter_async_context(Crew())
        crew.start(recorder.run(), name="recorder")
        if listen:
            await recorder.until_listening()
        there = House(site=site, broker=chosen, line=line, recorder=recorder, roomd=roomd, haste=haste)
        if start:
            await there.start()
        yield there
