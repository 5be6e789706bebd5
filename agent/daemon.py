"""Builds everything, owns every task, and keeps the order of starting and stopping."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from datetime import datetime, timedelta
from functools import partial
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

import structlog

from agent import clock as clocks
from agent import snapshots
from agent.changes import Changes, Part
from agent.clock import Clock
from agent.core.calendars import link_anew
from agent.core.devices import furnish, refit
from agent.core.events import CalendarsLinked, RoomEvent
from agent.core.facts import CalendarRequest, Fact, Request, Step
from agent.core.model import (
    CalendarKind,
    CalendarState,
    DeviceId,
    DevicePhase,
    DeviceState,
    Policy,
    Room,
    RoomId,
    SensorPhase,
    Transport,
)
from agent.core.orders import FINAL_ANSWERS, Answer, AnswerStatus
from agent.core.tally import begin
from agent.core.third_party import install
from agent.desk import Desk
from agent.doors import Doors, running
from agent.listening import FEW_STRANGERS, MANY_STRANGERS, AtDoor, Bounds, Listener
from agent.local_api import Broadcast, Inside, SocketInUse, serve
from agent.metrics import Metrics
from agent.own_facts import OwnFacts
from agent.pipeline import Pipeline
from agent.portrait import VERSION, Portrait
from agent.reloading import Reloading
from agent.sensing import Sensing
from agent.settings import Configuration, Feedback, Page, RoomSettings
from agent.telemetry import notify
from agent.trending import Trending
from cloud_link import broker, envelope, inbox, outbox
from cloud_link.commands import Command, Rules
from cloud_link.database import (
    AlreadyRunning,
    Database,
    DiskRefuses,
    Limits,
    SchemaTooNew,
    open_database,
)
from cloud_link.forwarder import Agent, Conduct, Forwarder
from cloud_link.retained import Picture
from device_adapters import trust
from device_adapters.cloud import Cloud, CloudLines
from device_adapters.fleet import Fleet
from device_adapters.http import Http
from device_adapters.lines import Lines
from device_adapters.receiver import Receiver
from device_adapters.ssh import Shells
from device_adapters.websocket import WebSockets

if TYPE_CHECKING:
    from agent.site_calendars import Calendars, OpenCalendars
    from cloud_link.calendars.webex_site import WebexSite

log = structlog.get_logger()

Sensed = tuple[tuple[SensorPhase, str | None], ...]
Reached = tuple[Mapping[DeviceId, DeviceState], Mapping[CalendarKind, CalendarState], Sensed]

DEFAULT_SLOT = 1
DRAINS_WITHIN_S = 5.0  # systemd gives fifteen seconds, and broker and database want some of them
PARTS_WITHIN_S = 5.5  # the forwarder from the broker: last answers, good-bye, and the last settling
ORDERS_WITHIN_S = 20.0  # when calendars become others: what was ordered of them is answered first
LEFT_ROOMS_EVERY_S = 5.0
ROOM_WAS_TAKEN_OUT = "the room was taken out of the configuration while this was done: look at the room"


class CannotStart(Exception):
    """The daemon cannot start; `code` is what it ends with (sysexits(3))."""

    def __init__(self, why: str, *, code: int) -> None:
        super().__init__(why)
        self.code = code


async def run(configuration: Configuration) -> None:
    """Run until SIGTERM or SIGINT; then stop hearing, record what was heard, take leave of the broker.

    Raises `CannotStart`. What is recorded and not delivered by then is delivered after the next start.
    """
    stop, reload = asyncio.Event(), asyncio.Event()
    for note in configuration.notes:
        log.warning("configuration.noted", note=note)
    async with AsyncExitStack() as stack:
        stack.enter_context(_signals(stop, reload))
        try:
            limits = Limits(budget_bytes=configuration.budget_bytes, gather_s=0.0)
            database = await stack.enter_async_context(
                open_database(configuration.state_directory, limits=limits)
            )
            daemon = await _build(configuration, database)
            await stack.enter_async_context(serve(configuration.socket, daemon.inside))
        except (AlreadyRunning, SocketInUse) as error:
            raise CannotStart(str(error), code=os.EX_TEMPFAIL) from error
        except DiskRefuses as error:
            mend = "make room on its disk, or see that it can be written"
            raise CannotStart(f"{error}; {mend}", code=os.EX_TEMPFAIL) from error
        except SchemaTooNew as error:
            raise CannotStart(str(error), code=os.EX_DATAERR) from error
        except OSError as error:
            raise CannotStart(str(error), code=os.EX_CANTCREAT) from error
        gc.collect()
        gc.freeze()  # what lives as long as the daemon is not looked through again and again
        await daemon.live(stop, reload)


@asynccontextmanager
async def _listening(feedback: Feedback, receiver: Receiver, metrics: Metrics) -> AsyncIterator[None]:
    """Without it, devices that are heard over HTTP only are polled: worse, and no reason to hear none."""
    listener = Listener(
        receiver,
        host=feedback.host,
        port=feedback.port,
        certificate=feedback.certificate_file,
        key=feedback.key_file,
        bounds=Bounds(strangers=FEW_STRANGERS if feedback.url is None else MANY_STRANGERS),
    )
    metrics.at_door("feedback", receiver.callers.counts, listener.callers.counts)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(listener)
        except OSError as error:  # also ssl.SSLError: the certificate
            log.error(
                "feedback.not_opened",
                url=feedback.url or listener.url,
                why=str(error),
                mend="mend [feedback] in the configuration and reload roomd; until then devices are polled",
            )
        else:
            stack.enter_context(receiver.reached_at(feedback.url or listener.url))
        yield


@contextmanager
def _signals(stop: asyncio.Event, reload: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    try:
        yield
    finally:
        for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(sign)


async def _build(configuration: Configuration, database: Database) -> _Daemon:
    known = await database.write(snapshots.load)
    left = await database.write(partial(snapshots.leave, keep=[room.id for room in configuration.rooms]))
    stats = await database.write(lambda tx: outbox.stats(tx, now=outbox.moment_now()))
    calendars = await _calendars(configuration, database)
    return _Daemon(configuration, database, known, stats, left=left, calendars=calendars)


async def _calendars(configuration: Configuration, database: Database) -> OpenCalendars | None:
    """Only who has some pays for their libraries; of who has none any more, nothing of them stays on disk."""
    if configuration.accounts is None:
        from cloud_link.calendars import kept  # noqa: PLC0415

        await database.write(partial(kept.begin, directories={}))
        return None
    from agent.site_calendars import open_calendars  # noqa: PLC0415

    return await open_calendars(configuration, configuration.accounts, database)


def _page(page: Page, inside: Inside, at_door: AtDoor) -> AbstractAsyncContextManager[None]:
    from agent.page_door import open_page  # noqa: PLC0415 - only who has one pays for its libraries

    return open_page(page, inside, at_door=at_door)


class _Lines(Lines):
    """Those of this site, with what of them can become another."""

    def __init__(self) -> None:
        self.contexts = trust.Contexts()
        self._http = Http(contexts=self.contexts)
        super().__init__(
            {
                Transport.WEBSOCKET: WebSockets(contexts=self.contexts),
                Transport.SSH: Shells(),
                Transport.HTTP: self._http,
            }
        )

    def call_back(self, feedback: Feedback | None, receiver: Receiver) -> None:
        """Where devices that are heard over HTTP call back from now on."""
        if feedback is None:
            self._http.call_back(None, DEFAULT_SLOT)
        else:
            self._http.call_back(receiver, feedback.slot)

    def lead_through(self, cloud: Cloud | None) -> None:
        """Devices are heard by it; None: by none."""
        self.lead(Transport.CLOUD, None if cloud is None else CloudLines(cloud))


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


class _Daemon:
    """Everything that lives between start and stop."""

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        known: Mapping[RoomId, Room],
        stats: outbox.Stats,
        *,
        left: Iterable[RoomId],
        calendars: OpenCalendars | None,
    ) -> None:
        """`known` are the rooms as the last life left them; `left` those of which only traces are left."""
        clock = Clock()
        self._configuration = configuration
        self._database = database
        self._clock = clock
        self._own = OwnFacts(configuration.site, database, clock=clock, offer=self._offer_own)
        self._calendars = None if calendars is None else self._open(calendars)
        self._trending = Trending(configuration.state_directory)
        furnished = partial(
            self._furnished, policy=configuration.policy, now=clock.now(), alive_at=self._trending.begin()
        )
        rooms = [furnished(room, known.get(room.id)) for room in configuration.rooms]
        self.broadcast = Broadcast()
        site = configuration.site
        self._desk = Desk(
            self._rules(configuration.rooms),
            rooms=lambda: self._pipeline.rooms,
            deliver=self._deliver,
            send_again=self._send_again,
            answer=self._answer,
            now=clock.now,
        )
        self._hearing = self._desk.hearing(database)
        self._forwarder = Forwarder(
            database,
            broker.dialling(configuration.broker),
            Agent(
                status_topic=site.status,
                status=self._own.status,
                teller=self._own.teller,
            ),
            luck=random.random,
            conduct=Conduct(window=configuration.window),
            hearing=self._hearing,
        )
        self._pipeline = Pipeline(
            rooms,
            policy=configuration.policy,
            clock=clock,
            record=self._record,
            ask=self._ask,
            ask_calendar=self._ask_calendar,
            stepped=self._clock_stepped,
        )
        self._receiver = Receiver()
        self._lines = _Lines()
        self._lines.call_back(configuration.feedback, self._receiver)
        self._lines.lead_through(None if self._calendars is None else self._calendars.webex)
        self._fleet = Fleet(
            configuration.devices,
            self._pipeline.deliver,
            dial=self._lines,
            dial_at_once=configuration.dial_at_once,
            timezone=configuration.policy.timezone,
            clock=clock.now,
        )
        self._portrait = Portrait(
            configuration,
            database,
            stats,
            clock=clock,
            pipeline=self._pipeline,
            fleet=self._fleet,
            forwarder=self._forwarder,
            hearing=self._hearing,
        )
        self._portrait.calendars = self._calendars
        self._portrait.trending = self._trending
        self._portrait.sensing = self._sensing = self._senses()
        self._metrics = Metrics(self._portrait.measured, version=VERSION, site=site.site, agent=site.agent)
        self.inside = Inside(
            self._portrait.picture,
            self.broadcast,
            self._desk.order,
            calendars=self._pictured_calendars,
            consent=self._consent,
            metrics=self._metrics.exposition,
            ready=self._portrait.ready,
            sight=self._portrait.sight,
            site=self._portrait.site_picture,
            retry=self._forwarder.retry,
        )
        self._pictures: dict[RoomId, tuple[Picture, Picture]] = {}
        self._reached: dict[RoomId, Reached] = {}
        self._left: set[RoomId] = set()
        for room in rooms:
            self._show(room)
        for gone in left:
            self._clear(gone)

    async def live(self, stop: asyncio.Event, reload: asyncio.Event) -> None:
        """Run every task until told to stop, and then let go of them in the order of a datum's way."""
        await self._own.tell_of_rescue()
        portrait = self._portrait
        async with asyncio.TaskGroup() as tasks:
            self._doors = Doors(tasks)
            await self._open_doors(Part.FEEDBACK, Part.PAGE)
            fleet = tasks.create_task(self._fleet.run(), name="fleet")
            await self._run_calendars(Part.CALENDARS, Part.WEBEX)
            await self._run_sensing()
            road = tasks.create_task(self._pipeline.run(), name="pipeline")
            line = tasks.create_task(self._forwarder.run(), name="forwarder")
            beside = [
                tasks.create_task(self._pipeline.watch_the_clock(), name="clock"),
                tasks.create_task(portrait.lag.measure(), name="loop-lag"),
                tasks.create_task(portrait.show_health(), name="health"),
                tasks.create_task(portrait.tell_status(), name="status"),
                tasks.create_task(self._forget_the_left(), name="left-rooms"),
            ]
            watchdog = tasks.create_task(portrait.watchdog.run(), name="watchdog")
            portrait.begun = True
            notify("READY=1")
            log.info(
                "roomd.started",
                version=VERSION,
                site=self._configuration.site.site,
                rooms=len(self._configuration.rooms),
                devices=len(self._configuration.devices),
            )
            reloading = Reloading(self._configuration, self._apply, self._fleet.try_again).run(reload)
            reloads = tasks.create_task(reloading, name="reloading")
            await stop.wait()
            portrait.begun = False
            notify("STOPPING=1")
            await _end(reloads)  # first: it starts and ends what the others are
            calendars = (self._doors.close(part) for part in (Part.CALENDARS, Part.WEBEX, Part.SENSORS))
            await asyncio.gather(_end(fleet, *beside), *calendars)
            await self._drain(road)
            self._forwarder.stop()
            await asyncio.wait((line,), timeout=PARTS_WITHIN_S)
            await self._trending.close()
            line.cancel()  # a disk that takes nothing may hold it up at any point
            await self._doors.close_all()
            watchdog.cancel()
        log.info("roomd.stopped")

    async def _drain(self, road: asyncio.Task[None]) -> None:
        """Have all that was heard recorded; a disk that takes nothing is not waited for for ever."""
        try:
            async with asyncio.timeout(DRAINS_WITHIN_S):
                self._pipeline.close()
                await asyncio.shield(road)
        except TimeoutError:
            trouble = self._database.trouble
            log.error(
                "pipeline.not_drained",
                why=trouble.why if trouble else "the disk is slow",
                consequence="after the next start every device is compared anew",
                mend="make room on the disk" if trouble and trouble.full else "see that the disk is sound",
            )
            road.cancel()
            await asyncio.wait((road,))

    # ── what is heard

    def _ask(self, request: Request) -> bool:
        return self._fleet.ask(request)

    def _ask_calendar(self, room: RoomId, request: CalendarRequest) -> None:
        if self._calendars is not None:
            self._calendars.ask(room, request)

    async def _deliver(self, room: RoomId, events: Sequence[RoomEvent]) -> None:
        await self._pipeline.deliver(room, events)

    async def _send_again(self, command: Command) -> None:
        await self._forwarder.replay(command)

    async def _record(self, steps: Sequence[Step]) -> None:
        """Write the rooms and what the cloud is told of them, and then hand it on."""
        hours = [hour for taken in steps for hour in taken.hours]
        if hours:  # first: after a crash they are told again, and written over with the same
            await self._trending.keep(hours)
        rooms = {taken.room.id: taken.room for taken in steps}
        facts = [(taken.room.id, fact) for taken in steps for fact in taken.facts]
        answers = [answer for taken in steps for answer in taken.answers]
        posted, answered = await self._database.write(partial(self._write, rooms, facts, answers))
        self._metrics.counted(steps)
        self._forwarder.offer(posted)
        if answers:
            self._forwarder.offer(answered)
            self._desk.tell(answers)
        if self.broadcast.heard:
            for one in posted:
                self.broadcast.tell(one.envelope.payload)
        for room in rooms.values():
            self._show(room)

    def _write(
        self,
        rooms: Mapping[RoomId, Room],
        facts: Sequence[tuple[RoomId, Fact]],
        answers: Sequence[Answer],
        tx: Connection,
    ) -> tuple[list[outbox.Posted], list[outbox.Posted]]:
        snapshots.save(tx, rooms.values())
        seal = partial(
            envelope.seal,
            site=self._configuration.site,
            recorded_at=self._clock.now(),
            clock=clocks.state(),
            privacy=self._configuration.privacy,
        )
        recorded = outbox.moment_now()
        posted = outbox.append(
            tx,
            [(envelope.room_stream(room), partial(seal, fact, room=room)) for room, fact in facts],
            recorded=recorded,
        )
        return posted, inbox.answer(tx, answers, recorded=recorded) if answers else []

    def _picture_of(self, room: RoomId) -> tuple[Picture, Picture]:
        """How the room's state and its availability look, whenever somebody wants to know."""
        pipeline, clock = self._pipeline, self._clock
        return (
            lambda: envelope.room_state(
                pipeline.rooms[room], now=clock.now(), privacy=self._configuration.privacy
            ),
            lambda: envelope.availability(pipeline.rooms[room]),
        )

    def _show(self, room: Room) -> None:
        site, retained = self._configuration.site, self._forwarder.retained
        pictures = self._pictures.get(room.id)
        if pictures is None:
            pictures = self._pictures[room.id] = self._picture_of(room.id)
        state, reach = pictures
        retained.show(site.state(room.id), state)
        devices, calendars, sensors = self._reached.get(room.id, (None, None, None))
        others: Sensed = tuple((state.phase, state.why) for state in room.third_party.values())
        if devices is not room.devices or calendars is not room.calendars or sensors != others:
            self._reached[room.id] = room.devices, room.calendars, others
            retained.show(site.availability(room.id), reach)

    def _offer_own(self, posted: Sequence[outbox.Posted]) -> None:
        self._forwarder.offer(posted)
        if self.broadcast.heard:
            for one in posted:
                self.broadcast.tell(one.envelope.payload)

    async def _answer(self, answers: Sequence[Answer]) -> None:
        """What commands are answered that no room takes up."""
        answer = partial(inbox.answer, answers=answers, recorded=outbox.moment_now())
        self._forwarder.offer(await self._database.write(answer))
        self._desk.tell(answers)

    # ── what becomes another while it runs

    def _rules(self, rooms: Iterable[RoomSettings]) -> Rules:
        return Rules(site=self._configuration.site, rooms=frozenset(room.id for room in rooms))

    def _open(self, calendars: OpenCalendars, webex: WebexSite | None = None) -> Calendars:
        return calendars(
            deliver=self._deliver,
            tell=self._own.tell_of_calendars,
            now=self._clock.now,
            luck=random.random,
            webex=webex,
        )

    def _furnished(
        self,
        room: RoomSettings,
        known: Room | None,
        *,
        policy: Policy,
        now: datetime,
        alive_at: datetime | None = None,
    ) -> Room:
        kinds, writes = self._links_of(room.id)
        furnished = furnish(
            known, room.id, room.devices, calendars=kinds, writes=writes, puts=room.put_on_devices, now=now
        )
        furnished = install(furnished, policy.rules(room.id).sensors, listening=False, now=now)
        return begin(furnished, now=now, policy=policy, alive_at=alive_at)

    def _links_of(self, room: RoomId) -> tuple[tuple[CalendarKind, ...], frozenset[CalendarKind]]:
        calendars = self._calendars
        if calendars is None:
            return (), frozenset()
        return calendars.linked().get(room, ()), calendars.writes()

    async def _open_doors(self, *parts: Part) -> None:
        configuration = self._configuration
        if Part.FEEDBACK in parts and configuration.feedback is not None:
            door = _listening(configuration.feedback, self._receiver, self._metrics)
            await self._doors.open(Part.FEEDBACK, door)
        if Part.PAGE in parts and configuration.page is not None:
            await self._doors.open(Part.PAGE, _page(configuration.page, self.inside, self._metrics.at_door))

    async def _run_calendars(self, *parts: Part) -> None:
        calendars = self._calendars
        if calendars is None:
            return
        if Part.CALENDARS in parts:
            await self._doors.open(Part.CALENDARS, calendars.standing(self._metrics.at_door))
        if Part.WEBEX in parts and calendars.webex is not None:
            await self._doors.open(Part.WEBEX, running(calendars.webex.run(), name="webex"))

    def _senses(self) -> Sensing | None:
        sensors = self._configuration.sensors
        if sensors is None:
            return None
        return Sensing(sensors.broker, sensors.sensors, deliver=self._deliver, luck=random.random)

    async def _run_sensing(self) -> None:
        if self._sensing is not None:
            await self._doors.open(Part.SENSORS, running(self._sensing.run(), name="sensing"))

    async def _apply(self, changes: Changes) -> None:
        """In the order of a datum's way: who is heard no more goes first, who is heard anew comes last."""
        new, parts = changes.applied, changes.parts
        stay = [room for room in new.rooms if room.id not in changes.rooms_new]
        self._desk.serve(self._rules(stay))
        if changes.devices_touched:
            self._lines.contexts.forget()
        closed = self._lines_to_close(changes)
        heard_on = self._connected() - closed
        await self._close_lines(closed)
        others = parts & {Part.CALENDARS, Part.WEBEX}
        if others:
            await self._replace_calendars(changes)
        if Part.SENSORS in parts:
            await self._doors.close(Part.SENSORS)
        await self._pipeline.rearrange(
            partial(self._rearranged, changes, closed), keep=partial(self._keep_rooms, new), policy=new.policy
        )
        if Part.SENSORS in parts:
            self._portrait.sensing = self._sensing = self._senses()
            await self._run_sensing()
        if Part.PRIVACY in parts:
            for room in self._pipeline.rooms.values():
                self._show(room)
        self._fleet.turn(timezone=new.policy.timezone, dial_at_once=new.dial_at_once)
        for part in parts & {Part.FEEDBACK, Part.PAGE}:
            await self._doors.close(part)
        await self._open_doors(*parts)
        self._lines.call_back(new.feedback, self._receiver)
        if parts & {Part.FEEDBACK, Part.WEBEX}:
            await self._close_lines(self._fleet.under_way - heard_on)  # dialled when all was as before
        there = self._fleet.devices
        for device in new.devices:
            if device.id not in there:
                self._fleet.add(device)
        if others:
            await self._run_calendars(Part.CALENDARS, *others)
        if Part.BROKER in parts or changes.broker_touched or Part.WINDOW in parts:
            dial = broker.dialling(new.broker) if Part.BROKER in parts else None
            self._forwarder.turn_to(dial, window=new.window)
        if Part.BUDGET in parts:
            await self._database.grant(new.budget_bytes)
        self._desk.serve(self._rules(new.rooms))

    def _lines_to_close(self, changes: Changes) -> frozenset[DeviceId]:
        """Those that lead elsewhere now; and those that are heard by something that becomes another."""
        closed = {*changes.devices_gone, *(device.id for device in changes.devices_changed)}
        for room in self._pipeline.rooms.values():
            for state in room.devices.values():
                through = state.transport if state.phase is DevicePhase.CONNECTED else None
                if (
                    (Part.FEEDBACK in changes.parts and through == Transport.HTTP)
                    or (Part.WEBEX in changes.parts and through == Transport.CLOUD)
                    or (state.id in changes.devices_touched and through is None)
                ):
                    closed.add(state.id)
        return frozenset(closed)

    def _connected(self) -> frozenset[DeviceId]:
        return frozenset(
            state.id
            for room in self._pipeline.rooms.values()
            for state in room.devices.values()
            if state.phase is DevicePhase.CONNECTED
        )

    async def _close_lines(self, devices: Iterable[DeviceId]) -> None:
        await asyncio.gather(*(self._fleet.remove(device) for device in devices))

    async def _replace_calendars(self, changes: Changes) -> None:
        """Others take their place, and do not run yet; if Webex stays, devices are heard by it on."""
        before, new = self._calendars, changes.applied
        stays = Part.WEBEX not in changes.parts
        if before is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(ORDERS_WITHIN_S):
                    await before.until_idle()
            await self._doors.close(Part.CALENDARS)
            if not stays:
                await self._doors.close(Part.WEBEX)
        opened = await _calendars(new, self._database)
        webex = before.webex if before is not None and stays else None
        self._calendars = self._portrait.calendars = None if opened is None else self._open(opened, webex)
        if not stays:
            self._lines.lead_through(None if self._calendars is None else self._calendars.webex)

    def _rearranged(
        self, changes: Changes, closed: frozenset[DeviceId], before: Mapping[RoomId, Room], now: datetime
    ) -> Mapping[RoomId, Room]:
        rooms: dict[RoomId, Room] = {}
        policy = changes.applied.policy
        for wanted in changes.applied.rooms:
            room = before.get(wanted.id)
            if room is None:
                rooms[wanted.id] = self._furnished(wanted, None, policy=policy, now=now)
                continue
            if wanted.id in changes.rooms_refitted or not closed.isdisjoint(room.devices):
                room = refit(room, wanted.devices, closed=closed, puts=wanted.put_on_devices, now=now)
            if Part.CALENDARS in changes.parts:
                kinds, writes = self._links_of(room.id)
                room = link_anew(room, CalendarsLinked(calendars=kinds, writes=writes), now=now).room
            if changes.parts & {Part.SENSORS, Part.SENSES}:
                listening = Part.SENSORS not in changes.parts
                room = install(room, policy.rules(room.id).sensors, listening=listening, now=now)
            rooms[wanted.id] = room
        return rooms

    async def _keep_rooms(self, new: Configuration, changed: Sequence[Room], gone: Sequence[Room]) -> None:
        """On disk first; from then on the new file holds, also after a crash."""
        now = self._clock.now()
        unfinished = [
            Answer(command=command.id, status=AnswerStatus.UNKNOWN, reason=ROOM_WAS_TAKEN_OUT, at=now)
            for room in gone
            for command in room.commands.values()
            if command.status not in FINAL_ANSWERS
        ]

        def keep(tx: Connection) -> list[outbox.Posted]:
            snapshots.save(tx, changed)
            snapshots.leave(tx, keep=[room.id for room in new.rooms])
            return inbox.answer(tx, unfinished, recorded=outbox.moment_now()) if unfinished else []

        if changed or gone:
            self._forwarder.offer(await self._database.write(keep))
            self._desk.tell(unfinished)
        self._configuration = self._portrait.configuration = new
        for room in changed:
            self._left.discard(room.id)
            self._show(room)
        for room in gone:
            self._clear(room.id)

    def _clear(self, room: RoomId) -> None:
        """Take off the broker what was shown of a room that is not configured any more."""
        site, retained = self._configuration.site, self._forwarder.retained
        self._pictures.pop(room, None)
        self._reached.pop(room, None)
        retained.forget(site.state(room))
        retained.forget(site.availability(room))
        self._left.add(room)

    async def _forget_the_left(self) -> None:
        """Once the broker has deleted what it retained of a room; after a restart before that, once more."""
        site, retained = self._configuration.site, self._forwarder.retained
        while True:
            done = [
                room
                for room in self._left
                if site.state(room) not in retained and site.availability(room) not in retained
            ]
            if done:
                await self._database.write(partial(snapshots.forget, rooms=done))
                self._left.difference_update(done)
            await asyncio.sleep(LEFT_ROOMS_EVERY_S)

    # ── calendars, which there may be

    def _clock_stepped(self, by: timedelta) -> None:
        if self._calendars is not None:
            self._calendars.stepped(by)

    def _pictured_calendars(self) -> list[dict[str, Any]]:
        return [] if self._calendars is None else self._calendars.pictured(whole=True)

    async def _consent(self, service: str) -> bool:
        return self._calendars is not None and await self._calendars.consent(service)
