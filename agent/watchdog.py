"""Tells systemd that all is well, as long as loop, disk, rooms and the line to the broker move."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from agent.pipeline import Pipeline
from agent.telemetry import notify
from cloud_link.database import Connection, Database
from cloud_link.forwarder import Forwarder

log = structlog.get_logger()

LOOKS_WITHIN_LIMIT = 6  # one that comes late costs nothing
LONGEST_PATIENCE_S = 30.0
LIMIT_S = 60.0  # where systemd does not watch: what hangs is said all the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The parts that must move, at one moment; times in seconds."""

    asked_s: float  # for how long the writing thread has not done what it was asked to; 0: it has
    refused_s: float | None  # since the disk refused last, and will be asked again; None: it takes all
    busy_s: float  # for how long the rooms have been at what was heard
    overdue_s: float  # for how long the line to the broker should have moved
    late_s: float  # how much too late the look is: the loop hung, or the machine, and nobody could move


def stuck(seen: Seen, *, patience_s: float) -> tuple[str, ...]:
    """What a restart may help, in words.

    A disk that is full or broken, and is asked again and again, would be no better after one: it is no such
    thing, and neither is what waits for it. Nor is a broker that is away or does not answer: whoever dials it
    again and again moves.
    """
    patience_s += seen.late_s
    refuses = seen.refused_s is not None and seen.refused_s <= patience_s
    found: list[str] = []
    waited_s = max(seen.asked_s, seen.busy_s)
    if waited_s > patience_s and not refuses:
        who = (
            "the database has finished nothing" if seen.asked_s else "the rooms have been at what they heard"
        )
        found.append(f"{who} for {waited_s:.0f} s")
    if seen.overdue_s > patience_s:
        found.append(f"the line to the broker has not moved for {seen.overdue_s:.0f} s")
    return tuple(found)


def limit_s(environment: Mapping[str, str], *, process: int) -> float | None:
    """How long systemd waits for a sign of life (sd_watchdog_enabled(3)); None: it does not watch us."""
    try:
        limit = int(environment["WATCHDOG_USEC"]) / 1e6
        watched = int(environment.get("WATCHDOG_PID", process))
    except (KeyError, ValueError):
        return None
    return limit if limit > 0.0 and watched == process else None


def _nothing(_: Connection) -> None:
    pass


class Watchdog:
    """Looks at the parts on the loop itself: if that hangs, nobody says that all is well."""

    def __init__(self, database: Database, pipeline: Pipeline, forwarder: Forwarder) -> None:
        self.stuck: tuple[str, ...] = ()  # what hangs, in words
        self._database = database
        self._pipeline = pipeline
        self._forwarder = forwarder
        self._asked: asyncio.Future[None] | None = None
        self._asked_at_s = 0.0
        self._told = False

    async def run(self) -> None:
        """Until cancelled."""
        asked_s = limit_s(os.environ, process=os.getpid())
        limit = asked_s or LIMIT_S
        patience_s = min(limit / 2, LONGEST_PATIENCE_S)
        loop = asyncio.get_running_loop()
        planned_s = loop.time()
        while True:
            self.stuck = stuck(self._look(loop.time(), planned_s), patience_s=patience_s)
            if not self.stuck and asked_s is not None:
                notify("WATCHDOG=1")
            self._tell(watched=asked_s is not None)
            planned_s = loop.time() + limit / LOOKS_WITHIN_LIMIT
            await asyncio.sleep(planned_s - loop.time())

    def _look(self, now_s: float, planned_s: float) -> Seen:
        """Each look asks the writing thread for a transaction in which nothing is written."""
        if self._asked is not None and self._asked.done():
            self._asked.result()
            self._asked = None
        waited_s = 0.0 if self._asked is None else now_s - self._asked_at_s
        if self._asked is None:
            self._asked, self._asked_at_s = self._database.submit(_nothing), now_s
        trouble = self._database.trouble
        return Seen(
            asked_s=waited_s,
            refused_s=None if trouble is None else time.monotonic() - self._database.refused_at_s,
            busy_s=self._pipeline.busy_s,
            overdue_s=self._forwarder.overdue_s,
            late_s=max(0.0, now_s - planned_s),
        )

    def _tell(self, *, watched: bool) -> None:
        if self.stuck and not self._told:
            mend = "none: systemd restarts roomd if it stays so" if watched else "restart roomd"
            log.critical("roomd.stuck", why="; ".join(self.stuck), mend=mend)
        elif self._told and not self.stuck:
            log.warning("roomd.recovered")
        self._told = bool(self.stuck)
