"""What roomd tells about itself: its birth and death, its outbox, and the services of its calendars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from sqlite3 import Connection
from typing import TYPE_CHECKING

import structlog

from agent import clock as clocks
from agent.clock import Clock
from agent.core.calendars import FOR_A_PERSON
from agent.core.model import CalendarPhase
from agent.portrait import VERSION
from cloud_link import envelope, outbox
from cloud_link.contract import AgentState
from cloud_link.database import Database, reset_told
from cloud_link.envelope import Site

if TYPE_CHECKING:
    from cloud_link.calendars.views import IntegrationTurned

log = structlog.get_logger()

Offer = Callable[[Sequence[outbox.Posted]], None]


class OwnFacts:
    """Seals them for the agent's own stream; `offer` takes those that are on disk."""

    def __init__(self, site: Site, database: Database, *, clock: Clock, offer: Offer) -> None:
        self._site = site
        self._database = database
        self._clock = clock
        self._offer = offer
        self._calendars_told: dict[str, envelope.CalendarsTurned] = {}  # by service, what the cloud knows

    @property
    def teller(self) -> outbox.Teller:
        """Who tells of what the outbox gave up."""
        return outbox.Teller(stream=envelope.agent_stream(self._site.agent), seal=self._seal_gap)

    def status(self, *, online: bool, connection: int, reason: str | None) -> bytes:
        """The agent's status as it is retained."""
        return envelope.agent_status(
            self._site,
            state=AgentState.ONLINE if online else AgentState.OFFLINE,
            connection=connection,
            since=None if reason == "lost" else self._clock.now(),
            version=VERSION,
            reason=reason,
        )

    async def tell_of_calendars(self, turned: IntegrationTurned) -> None:
        """A service's calendars stand otherwise: for the log, and for the cloud where it is news to it."""
        facts = {"service": turned.service.value, "phase": turned.phase.value, "why": turned.why}
        if turned.phase is CalendarPhase.DEGRADED:
            log.warning("calendars.turned", **facts)
        elif turned.phase in FOR_A_PERSON:
            mend = f"see roomd calendars; when it is mended: roomd calendars connect {turned.service}"
            log.error("calendars.turned", **facts, mend=mend)
        else:
            log.info("calendars.turned", **facts)
        told = envelope.calendars_turned(turned.service, turned.phase, why=turned.why, at=turned.at)
        if told is None or self._is_known(told):
            return
        self._calendars_told[turned.service] = told
        self._offer(await self._database.write(partial(self._post_own, told)))

    def _is_known(self, told: envelope.CalendarsTurned) -> bool:
        """Whether the cloud knows it; of what mends itself, the reasons may change without a word."""
        before = self._calendars_told.get(told.service)
        if before is None or before.phase is not told.phase:
            return False
        return before.why == told.why or told.phase not in FOR_A_PERSON

    def _post_own(self, told: envelope.AgentFact, tx: Connection) -> list[outbox.Posted]:
        site = self._site
        seal = partial(
            envelope.seal_own, told, site=site, recorded_at=self._clock.now(), clock=clocks.state()
        )
        return outbox.append(tx, [(envelope.agent_stream(site.agent), seal)], recorded=outbox.moment_now())

    async def tell_of_rescue(self) -> None:
        """The database was damaged, or is a backup: told once, with the first words of this life."""
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
            site=self._site,
            epoch=epoch,
            number=number,
            recorded_at=now,
            clock=clocks.state(),
        )
