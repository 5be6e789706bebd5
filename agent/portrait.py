"""Draws roomd as it is at this moment: for the cloud, for Prometheus, for the command line and the page."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections import Counter
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog

from agent import clock as clocks
from agent.clock import Clock
from agent.core.model import DevicePhase, HoldPhase
from agent.line_words import in_words
from agent.local_api import Sight
from agent.metrics import Measured
from agent.pipeline import Pipeline
from agent.standing import in_one_line, why_not_ready
from agent.telemetry import LoopLag, disk_free_bytes, memory_bytes, notify
from agent.watchdog import Watchdog
from cloud_link import envelope, outbox
from cloud_link.contract import ClockState
from cloud_link.database import Database, open_to_read
from cloud_link.forwarder import Forwarder
from cloud_link.hearing import Hearing
from cloud_link.privacy import trouble
from device_adapters.fleet import Fleet

if TYPE_CHECKING:
    from agent.sensing import Sensing
    from agent.settings import Configuration
    from agent.site_calendars import Calendars
    from agent.trending import Trending

log = structlog.get_logger()

HEALTH_EVERY_S = 60.0
HEALTH_EXPIRES_S = 180  # after three periods nobody should take it for news
STATUS_EVERY_S = 10.0
VERSION = version("roomd")


class Portrait:
    """Knows whom to ask, and what holds now: the daemon tells it when that becomes another."""

    def __init__(
        self,
        configuration: Configuration,
        database: Database,
        stats: outbox.Stats,
        *,
        clock: Clock,
        pipeline: Pipeline,
        fleet: Fleet,
        forwarder: Forwarder,
        hearing: Hearing,
    ) -> None:
        """`stats` are of the start: shown while the disk cannot be asked."""
        self.configuration = configuration
        self.calendars: Calendars | None = None
        self.trending: Trending | None = None
        self.sensing: Sensing | None = None
        self.begun = False  # everything runs, and nothing ends yet
        self.watchdog = Watchdog(database, pipeline, forwarder)
        self.lag = LoopLag()
        self._database = database
        self._last_stats = stats
        self._clock = clock
        self._pipeline = pipeline
        self._fleet = fleet
        self._forwarder = forwarder
        self._hearing = hearing

    def ready(self) -> tuple[str, ...]:
        """Why not, in words for a person; nothing: it is."""
        return why_not_ready(begun=self.begun, trouble=self._database.trouble, stuck=self.watchdog.stuck)

    async def tell_status(self) -> None:
        """Keep systemd's status line true, until cancelled; at once over where systemd does not listen."""
        told = ""
        while "NOTIFY_SOCKET" in os.environ:
            stats = await self._stats()
            words = in_one_line(
                self._pipeline.rooms,
                self._forwarder.vitals,
                waiting=stats.depth,
                stuck=self.watchdog.stuck,
            )
            if words != told:
                told = words
                notify(f"STATUS={words}")
            await asyncio.sleep(STATUS_EVERY_S)

    async def show_health(self) -> None:
        """Keep the agent's health retained, until cancelled."""
        while True:
            stats = await self._stats()
            vitals = self._vitals(stats)
            rooms = self._pipeline.rooms.values()
            body = envelope.agent_health(self.configuration.site, vitals, rooms=rooms)
            self._forwarder.retained.show(
                self.configuration.site.health, partial(bytes, body), expiry_s=HEALTH_EXPIRES_S
            )
            await asyncio.sleep(HEALTH_EVERY_S)

    async def _stats(self) -> outbox.Stats:
        """How full the outbox is, read beside the writer: it may be stuck, and that is when one asks."""

        def read() -> outbox.Stats:
            with open_to_read(self.configuration.state_directory) as tx:
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
            disk_free_bytes=disk_free_bytes(self.configuration.state_directory),
            memory_bytes=memory_bytes(),
            loop_lag_s=self.lag.read_s(),
            commands=self._hearing.heard,
            calendars=() if self.calendars is None else self.calendars.health(),
            sealing_why=trouble(self.configuration.privacy),
            sensors_why=None if self.sensing is None else self.sensing.vitals.why,
        )

    async def measured(self) -> Measured:
        """What Prometheus is told of beside what is counted."""
        stats = await self._stats()
        configuration = self.configuration
        shown = {"broker": configuration.broker.certificate_file}
        if configuration.page is not None:
            shown["page"] = configuration.page.certificate_file
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
            lag=self.lag.durations,
            clock_synced=clocks.state() is ClockState.SYNCED,
            disk_free_bytes=disk_free_bytes(configuration.state_directory),
            disk_stuck=self._database.trouble is not None,
            sealing_failed=trouble(configuration.privacy) is not None,
            devices=self._fleet.tallies,
            calendars=() if self.calendars is None else self.calendars.views(),
            stuck=bool(self.watchdog.stuck),
            trends=None if self.trending is None else self.trending.vitals,
            sensing=None if self.sensing is None else self.sensing.vitals,
            certificates={use: file for use, file in shown.items() if file is not None},
        )

    def sight(self) -> Sight:
        """What the page shows of rooms."""
        return Sight(at=self._clock.now(), configuration=self.configuration, rooms=self._pipeline.rooms)

    async def site_picture(self) -> dict[str, Any]:
        """What the page shows of the site: broker, outbox and devices as they are now."""
        stats = await self._stats()
        line = self._forwarder.vitals
        site, now = self.configuration.site, self._clock.now()
        rooms = self._pipeline.rooms
        phases = Counter(device.phase for room in rooms.values() for device in room.devices.values())
        return {
            "site": site.site,
            "agent": site.agent,
            "version": VERSION,
            "at": now.isoformat(),
            "broker": {
                "connected": line.connected,
                "why": None if (why := line.paused_why or line.away_why) is None else in_words(why),
                "connection": line.connection,
                "deaf_why": self._hearing.heard.deaf_why,
            },
            "sensors": self._pictured_sensors(),
            "sealing_why": trouble(self.configuration.privacy),
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

    def _pictured_sensors(self) -> dict[str, Any] | None:
        """The line to those that are not Cisco's; None: the site has none."""
        if self.sensing is None:
            return None
        vitals = self.sensing.vitals
        return {
            "connected": vitals.connected,
            "why": vitals.why,
            "messages": vitals.messages,
            "unreadable": vitals.unreadable,
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
                        envelope.room_state(rooms[room.id], now=now, privacy=self.configuration.privacy)
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
                for room in self.configuration.rooms
            ],
        }
