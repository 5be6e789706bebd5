"""Builds everything, owns every task, and keeps the order of starting and stopping."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

import structlog

from agent import clock as clocks
from agent import snapshots
from agent.clock import Clock
from agent.core.calendars import FOR_A_PERSON
from agent.core.devices import furnish
from agent.core.events import RoomEvent
from agent.core.facts import Fact, Request, Step
from agent.core.model import (
    CalendarKind,
    CalendarPhase,
    CalendarState,
    DeviceId,
    DevicePhase,
    DeviceState,
    HoldPhase,
    Room,
    RoomId,
    Transport,
)
from agent.core.orders import Answer
from agent.desk import Desk
from agent.listening import FEW_STRANGERS, MANY_STRANGERS, Bounds, Listener
from agent.local_api import Broadcast, Inside, Sight, SocketInUse, serve
from agent.metrics import Measured, Metrics
from agent.pipeline import Pipeline, nobody
from agent.settings import Configuration, Feedback
from agent.telemetry import LoopLag, disk_free_bytes, memory_bytes, notify
from cloud_link import broker, envelope, inbox, outbox
from cloud_link.commands import Command, Rules
from cloud_link.contract import AgentState, ClockState
from cloud_link.database import (
    AlreadyRunning,
    Database,
    DiskRefuses,
    Limits,
    SchemaTooNew,
    open_database,
    open_to_read,
    reset_told,
)
from cloud_link.forwarder import Agent, Conduct, Forwarder
from cloud_link.privacy import trouble
from cloud_link.retained import Picture
from device_adapters import trust
from device_adapters.cloud import Cloud, CloudLines
from device_adapters.conversation import Dial
from device_adapters.fleet import Fleet
from device_adapters.http import Http
from device_adapters.lines import Lines
from device_adapters.receiver import Receiver
from device_adapters.ssh import Shells
from device_adapters.websocket import WebSockets

if TYPE_CHECKING:
    from agent.site_calendars import OpenCalendars
    from cloud_link.calendars.views import IntegrationTurned

log = structlog.get_logger()

Reached = tuple[Mapping[DeviceId, DeviceState], Mapping[CalendarKind, CalendarState]]

HEALTH_EVERY_S = 60.0
DEFAULT_SLOT = 1
DRAINS_WITHIN_S = 5.0  # systemd gives fifteen seconds, and broker and database want some of them
PARTS_WITHIN_S = 5.5  # the forwarder from the broker: last answers, good-bye, and the last settling
HEALTH_EXPIRES_S = 180  # after three periods nobody should take it for news


class CannotStart(Exception):
    """The daemon cannot start; `transient` if the same may go well a little later."""

    def __init__(self, why: str, *, transient: bool) -> None:
        super().__init__(why)
        self.transient = transient


async def run(configuration: Configuration) -> None:
    """Run until SIGTERM or SIGINT; then stop hearing, record what was heard, take leave of the broker.

    Raises `CannotStart`. What is recorded and not delivered by then is delivered after the next start.
    """
    stop = asyncio.Event()
    for note in configuration.notes:
        log.warning("configuration.note", note=note)
    async with AsyncExitStack() as stack:
        stack.enter_context(_signals(stop))
        try:
            limits = Limits(budget_bytes=configuration.budget_bytes, gather_s=0.0)
            database = await stack.enter_async_context(
                open_database(configuration.state_directory, limits=limits)
            )
            daemon = await _build(configuration, database)
            await stack.enter_async_context(serve(configuration.socket, daemon.inside))
            if configuration.page is not None:
                from agent.page_door import open_page  # noqa: PLC0415 - only who has one pays for its libraries

                await stack.enter_async_context(open_page(configuration.page, daemon.inside))
            if configuration.feedback is not None:
                await _listen(configuration.feedback, daemon.receiver, daemon.metrics, stack)
            if daemon.calendars is not None:
                await daemon.calendars.listen(stack, daemon.metrics.at_door)
        except (AlreadyRunning, SocketInUse) as error:
            raise CannotStart(str(error), transient=True) from error
        except DiskRefuses as error:
            mend = "make room on its disk, or see that it can be written"
            raise CannotStart(f"{error}; {mend}", transient=True) from error
        except (SchemaTooNew, OSError) as error:
            raise CannotStart(str(error), transient=False) from error
        gc.collect()
        gc.freeze()  # what lives as long as the daemon is not looked through again and again
        await daemon.live(stop)


async def _listen(feedback: Feedback, receiver: Receiver, metrics: Metrics, stack: AsyncExitStack) -> None:
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
    try:
        await stack.enter_async_context(listener)
    except OSError as error:  # also ssl.SSLError: the certificate
        log.error(
            "feedback.not_listening",
            url=feedback.url or listener.url,
            why=str(error),
            mend="mend [feedback] in the configuration and restart roomd; until then devices are polled",
        )
    else:
        stack.enter_context(receiver.reached_at(feedback.url or listener.url))


@contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(
        signal.SIGHUP, partial(log.warning, "reload.ignored", mend="restart roomd to apply a changed file")
    )
    try:
        yield
    finally:
        for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(sign)


async def _build(configuration: Configuration, database: Database) -> _Daemon:
    known = await database.write(snapshots.load)
    await database.write(partial(snapshots.leave, keep=[room.id for room in configuration.rooms]))
    stats = await database.write(lambda tx: outbox.stats(tx, now=outbox.moment_now()))
    if configuration.accounts is None:
        from cloud_link.calendars import kept  # noqa: PLC0415 - as below

        await database.write(partial(kept.begin, directories={}))  # there may have been some
        return _Daemon(configuration, database, known, stats, calendars=None)
    from agent.site_calendars import open_calendars  # noqa: PLC0415 - only who has some pays for their libraries

    calendars = await open_calendars(configuration, configuration.accounts, database)
    return _Daemon(configuration, database, known, stats, calendars=calendars)


def _lines(feedback: Feedback | None, receiver: Receiver, cloud: Cloud | None) -> Lines:
    contexts = trust.Contexts()
    lines: dict[Transport, Dial] = {
        Transport.WEBSOCKET: WebSockets(contexts=contexts),
        Transport.SSH: Shells(),
        Transport.HTTP: Http(
            contexts=contexts,
            receiver=None if feedback is None else receiver,
            slot=DEFAULT_SLOT if feedback is None else feedback.slot,
        ),
    }
    if cloud is not None:
        lines[Transport.CLOUD] = CloudLines(cloud)
    return Lines(lines)


class _Daemon:
    """Everything that lives between start and stop."""

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        known: Mapping[RoomId, Room],
        stats: outbox.Stats,
        *,
        calendars: OpenCalendars | None,
    ) -> None:
        """`known` are the rooms as the last life left them."""
        clock = Clock()
        self._configuration = configuration
        self._database = database
        self._clock = clock
        self.calendars = None
        if calendars is not None:
            self.calendars = calendars(
                deliver=self._deliver, tell=self._tell_of_calendars, now=clock.now, luck=random.random
            )
        linked = {} if self.calendars is None else self.calendars.linked()
        rooms = [
            furnish(
                known.get(room.id),
                room.id,
                room.devices,
                calendars=linked.get(room.id, ()),
                writes=frozenset() if self.calendars is None else self.calendars.writes(),
                puts=room.put_on_devices,
                now=clock.now(),
            )
            for room in configuration.rooms
        ]
        self._lag = LoopLag()
        self._last_stats = stats
        self._calendars_told: dict[str, envelope.CalendarsTurned] = {}  # by service, what the cloud knows
        self._version = version("roomd")
        self.broadcast = Broadcast()
        site = configuration.site
        self._desk = Desk(
            Rules(site=site, rooms=frozenset(room.id for room in rooms)),
            rooms=lambda: self._pipeline.rooms,
            deliver=self._deliver,
            send_again=self._send_again,
            now=clock.now,
        )
        self.metrics = Metrics(self._measured, version=self._version, site=site.site, agent=site.agent)
        self.inside = Inside(self.picture, self.broadcast, self._desk.order, metrics=self.metrics.exposition)
        self.inside = replace(self.inside, sight=self.sight, site=self.site_picture)
        if self.calendars is not None:
            shown = partial(self.calendars.pictured, whole=True)
            self.inside = replace(self.inside, calendars=shown, consent=self.calendars.consent)
        self._hearing = self._desk.hearing(database)
        self._forwarder = Forwarder(
            database,
            broker.dialling(configuration.broker),
            Agent(
                status_topic=site.status,
                status=self._status,
                teller=outbox.Teller(stream=envelope.agent_stream(site.agent), seal=self._seal_gap),
            ),
            luck=random.random,
            conduct=Conduct(window=configuration.window),
            hearing=self._hearing,
        )
        self.inside = replace(self.inside, retry=self._forwarder.retry)
        self._pipeline = Pipeline(
            rooms,
            policy=configuration.policy,
            clock=clock,
            record=self._record,
            ask=self._ask,
            ask_calendar=nobody if self.calendars is None else self.calendars.ask,
            stepped=self._clock_stepped,
        )
        self.receiver = Receiver()
        self._fleet = Fleet(
            configuration.devices,
            self._pipeline.deliver,
            dial=_lines(
                configuration.feedback,
                self.receiver,
                None if self.calendars is None else self.calendars.webex,
            ),
            dial_at_once=configuration.dial_at_once,
            timezone=configuration.policy.timezone,
            clock=clock.now,
        )
        self._pictures = {room.id: self._picture_of(room.id) for room in rooms}
        self._reached: dict[RoomId, Reached] = {}
        for room in rooms:
            self._show(room)

    async def live(self, stop: asyncio.Event) -> None:
        """Run every task until told to stop, and then let go of them in the order of a datum's way."""
        await self._tell_of_rescue()
        async with asyncio.TaskGroup() as tasks:
            heard = [tasks.create_task(self._fleet.run(), name="fleet")]
            if self.calendars is not None:
                heard.append(tasks.create_task(self.calendars.run(), name="calendars"))
                if self.calendars.webex is not None:
                    heard.append(tasks.create_task(self.calendars.webex.run(), name="webex"))
            clock = tasks.create_task(self._pipeline.watch_the_clock(), name="clock")
            road = tasks.create_task(self._pipeline.run(), name="pipeline")
            line = tasks.create_task(self._forwarder.run(), name="forwarder")
            lag = tasks.create_task(self._lag.measure(), name="loop-lag")
            health = tasks.create_task(self._show_health(), name="health")
            notify("READY=1")
            log.info(
                "roomd.started",
                version=self._version,
                site=self._configuration.site.site,
                rooms=len(self._configuration.rooms),
                devices=len(self._configuration.devices),
            )
            await stop.wait()
            notify("STOPPING=1")
            for task in (*heard, clock, lag, health):
                task.cancel()
            await asyncio.wait((*heard, clock, lag, health))
            await self._drain(road)
            self._forwarder.stop()
            await asyncio.wait((line,), timeout=PARTS_WITHIN_S)
            line.cancel()  # a disk that takes nothing may hold it up at any point
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
                mend="make room on the disk; after the next start every device is compared anew",
            )
            road.cancel()
            await asyncio.wait((road,))

    # ── what is heard

    def _ask(self, request: Request) -> bool:
        return self._fleet.ask(request)

    async def _deliver(self, room: RoomId, events: Sequence[RoomEvent]) -> None:
        await self._pipeline.deliver(room, events)

    async def _send_again(self, command: Command) -> None:
        await self._forwarder.replay(command)

    async def _record(self, steps: Sequence[Step]) -> None:
        """Write the rooms and what the cloud is told of them, and then hand it on."""
        rooms = {taken.room.id: taken.room for taken in steps}
        facts = [(taken.room.id, fact) for taken in steps for fact in taken.facts]
        answers = [answer for taken in steps for answer in taken.answers]
        posted, answered = await self._database.write(partial(self._write, rooms, facts, answers))
        self.metrics.counted(steps)
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
        rooms, clock, privacy = self._pipeline.rooms, self._clock, self._configuration.privacy
        return (
            lambda: envelope.room_state(rooms[room], now=clock.now(), privacy=privacy),
            lambda: envelope.availability(rooms[room]),
        )

    def _show(self, room: Room) -> None:
        site, retained = self._configuration.site, self._forwarder.retained
        state, reach = self._pictures[room.id]
        retained.show(site.state(room.id), state)
        devices, calendars = self._reached.get(room.id, (None, None))
        if devices is not room.devices or calendars is not room.calendars:
            self._reached[room.id] = room.devices, room.calendars
            retained.show(site.availability(room.id), reach)

    # ── what it tells about itself

    def _status(self, *, online: bool, connection: int, reason: str | None) -> bytes:
        return envelope.agent_status(
            self._configuration.site,
            state=AgentState.ONLINE if online else AgentState.OFFLINE,
            connection=connection,
            since=None if reason == "lost" else self._clock.now(),
            version=self._version,
            reason=reason,
        )

    def _seal_gap(self, gap: outbox.Gap, *, epoch: str, number: int) -> envelope.Envelope:
        now = self._clock.now()
        told = envelope.OutboxGap(
            at=now,
            stream=gap.stream,
            epoch=gap.epoch,
            first=gap.first,
            last=gap.last,
            count=gap.count,
            reason=gap.reason,
        )
        return envelope.seal_own(
            told,
            site=self._configuration.site,
            epoch=epoch,
            number=number,
            recorded_at=now,
            clock=clocks.state(),
        )

    def _clock_stepped(self, by: timedelta) -> None:
        if self.calendars is not None:
            self.calendars.stepped(by)

    async def _tell_of_calendars(self, turned: IntegrationTurned) -> None:
        """A service's calendars stand otherwise: for the log, and for the cloud where it is news to it."""
        level = log.info
        if turned.phase is CalendarPhase.DEGRADED:
            level = log.warning
        elif turned.phase in FOR_A_PERSON:
            level = log.error
        level("calendars.turned", service=turned.service.value, phase=turned.phase.value, why=turned.why)
        told = envelope.calendars_turned(turned.service, turned.phase, why=turned.why, at=turned.at)
        if told is None or self._is_known(told):
            return
        self._calendars_told[turned.service] = told
        posted = await self._database.write(partial(self._post_own, told))
        self._forwarder.offer(posted)
        if self.broadcast.heard:
            for one in posted:
                self.broadcast.tell(one.envelope.payload)

    def _is_known(self, told: envelope.CalendarsTurned) -> bool:
        """Whether the cloud knows it; of what mends itself, the reasons may change without a word."""
        before = self._calendars_told.get(told.service)
        if before is None or before.phase is not told.phase:
            return False
        return before.why == told.why or told.phase not in FOR_A_PERSON

    def _post_own(self, told: envelope.AgentFact, tx: Connection) -> list[outbox.Posted]:
        site = self._configuration.site
        seal = partial(
            envelope.seal_own, told, site=site, recorded_at=self._clock.now(), clock=clocks.state()
        )
        return outbox.append(tx, [(envelope.agent_stream(site.agent), seal)], recorded=outbox.moment_now())

    async def _tell_of_rescue(self) -> None:
        reset = self._database.opened.reset
        if reset is None:
            return
        now = self._clock.now()
        told = envelope.OutboxReset(
            at=now, previous_epoch=reset.previous_epoch, salvaged=reset.salvaged, reason=reset.reason
        )

        def tell(tx: Connection) -> None:
            self._post_own(told, tx)
            reset_told(tx)

        await self._database.write(tell)

    async def _show_health(self) -> None:
        while True:
            stats = await self._stats()
            vitals = self._vitals(stats)
            rooms = self._pipeline.rooms.values()
            body = envelope.agent_health(self._configuration.site, vitals, rooms=rooms)
            self._forwarder.retained.show(
                self._configuration.site.health, partial(bytes, body), expiry_s=HEALTH_EXPIRES_S
            )
            await asyncio.sleep(HEALTH_EVERY_S)

    async def _stats(self) -> outbox.Stats:
        """How full the outbox is, read beside the writer: it may be stuck, and that is when one asks."""

        def read() -> outbox.Stats:
            with open_to_read(self._configuration.state_directory) as tx:
                return outbox.stats(tx, now=outbox.moment_now())

        try:
            self._last_stats = await asyncio.to_thread(read)
        except (OSError, sqlite3.Error) as error:
            log.debug("outbox.unread", why=str(error))
        return self._last_stats

    def _vitals(self, stats: outbox.Stats) -> envelope.Vitals:
        line = self._forwarder.vitals
        now = self._clock.now()
        since_s = line.since_acknowledged_s
        return envelope.Vitals(
            at=now,
            outbox_depth=stats.depth,
            outbox_oldest_age_s=stats.oldest_age_s,
            outbox_bytes=stats.bytes,
            outbox_drops=stats.dropped,
            acknowledged_at=None if since_s is None else now - timedelta(seconds=since_s),
            clock=clocks.state(),
            disk_free_bytes=disk_free_bytes(self._configuration.state_directory),
            memory_bytes=memory_bytes(),
            loop_lag_s=self._lag.read_s(),
            commands=self._hearing.heard,
            calendars=() if self.calendars is None else self.calendars.health(),
            sealing_why=trouble(self._configuration.privacy),
        )

    async def _measured(self) -> Measured:
        """What Prometheus is told of beside what is counted."""
        stats = await self._stats()
        configuration = self._configuration
        shown = {"broker": configuration.broker.certificate_file}
        if configuration.feedback is not None:
            shown["feedback"] = configuration.feedback.certificate_file
        if configuration.accounts is not None and configuration.accounts.push is not None:
            shown["pushes"] = configuration.accounts.push.certificate_file
        return Measured(
            at=self._clock.now(),
            rooms=dict(self._pipeline.rooms),
            capacities={room.id: room.capacity for room in configuration.rooms},
            stats=stats,
            line=self._forwarder.vitals,
            commands=self._hearing.heard,
            events_heard=self._pipeline.events_heard,
            events_ignored=self._pipeline.events_ignored,
            lag=self._lag.durations,
            clock_synced=clocks.state() is ClockState.SYNCED,
            disk_free_bytes=disk_free_bytes(configuration.state_directory),
            disk_stuck=self._database.trouble is not None,
            sealing_failed=trouble(configuration.privacy) is not None,
            devices=self._fleet.tallies,
            calendars=() if self.calendars is None else self.calendars.views(),
            certificates={use: file for use, file in shown.items() if file is not None},
        )

    def sight(self) -> Sight:
        """What the page shows of rooms."""
        return Sight(at=self._clock.now(), configuration=self._configuration, rooms=self._pipeline.rooms)

    async def site_picture(self) -> dict[str, Any]:
        """What the page shows of the site: broker, outbox and devices as they are now."""
        stats = await self._stats()
        line = self._forwarder.vitals
        site, now = self._configuration.site, self._clock.now()
        rooms = self._pipeline.rooms
        phases = Counter(device.phase for room in rooms.values() for device in room.devices.values())
        return {
            "site": site.site,
            "agent": site.agent,
            "version": self._version,
            "at": now.isoformat(),
            "broker": {
                "connected": line.connected,
                "why": line.paused_why or line.away_why,
                "connection": line.connection,
                "deaf_why": self._hearing.heard.deaf_why,
            },
            "sealing_why": trouble(self._configuration.privacy),
            "outbox": {
                "depth": stats.depth,
                "bytes": stats.bytes,
                "oldest_age_s": stats.oldest_age_s,
                "delivered": line.acknowledged,
                "dropped": stats.dropped,
            },
            "calendars": [] if self.calendars is None else self.calendars.pictured(whole=False),
            "devices": {phase.value: phases[phase] for phase in DevicePhase},
            "clock": clocks.state().value,
            "database_why": None if (stuck := self._database.trouble) is None else stuck.why,
        }

    async def picture(self) -> dict[str, Any]:
        """What the command line shows: the site, and every room as it is now."""
        site, rooms, now = await self.site_picture(), self._pipeline.rooms, self._clock.now()
        return {
            **site,
            "rooms": [
                {
                    "room": room.id,
                    "name": room.name,
                    "capacity": room.capacity,
                    "state": json.loads(
                        envelope.room_state(rooms[room.id], now=now, privacy=self._configuration.privacy)
                    ),
                    "availability": json.loads(envelope.availability(rooms[room.id])),
                    "holds": [
                        {
                            "hold": hold.id,
                            "starts_at": hold.starts_at.isoformat(),
                            "ends_at": hold.ends_at.isoformat(),
                            "shown": hold.phase is HoldPhase.SHOWN,
                        }
                        for hold in rooms[room.id].holds.values()
                        if hold.live and not hold.plain
                    ],
                }
                for room in self._configuration.rooms
            ],
        }
