"""One integration of ours with a simulated Webex, over real sockets, and what it was told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cloud_link.calendars.errors import CalendarError
from cloud_link.calendars.tokens import TokenTold, tell_nobody
from cloud_link.calendars.webex import Integration, Lines, OperationalState, Webex, activate
from cloud_link.calendars.webex_access import RenewalPace, RenewedGrant, WebexTokens
from cloud_link.calendars.webex_codes import Action, Activation
from cloud_link.calendars.webex_messages import Observation
from cloud_link.calendars.webex_queue import QueuePace, WebexQueue
from cloud_link.calendars.wire import Wire, WirePace
from tests.clouds.webex import WebexCloud

QUICK = WirePace(first_rest_s=0.01)
RENEWALS = RenewalPace(every_s=3600.0, without_s=0.0)
WITHIN_S = 10.0


@dataclass
class Told:
    """Whoever listens to the queue."""

    observations: list[Observation] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    anew_times: int = 0
    integration: Integration | None = None
    resumed_devices: list[str] = field(default_factory=list)
    troubles: list[CalendarError | None] = field(default_factory=list)
    state: OperationalState = OperationalState.OPERATIONAL
    fails: CalendarError | None = None  # the next action, once
    unfollowed: set[str] = field(default_factory=set)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def hear(self, observations: Sequence[Observation]) -> None:
        self.observations.extend(observations)
        await self._tell()

    async def act(self, action: Action) -> None:
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        self.actions.append(action)
        await self._tell()

    async def anew(self) -> None:
        self.anew_times += 1
        await self._tell()

    async def switched_on(self, integration: Integration) -> None:
        self.integration = integration

    async def resumed(self, device_id: str) -> None:
        self.resumed_devices.append(device_id)

    async def troubled(self, error: CalendarError | None) -> None:
        self.troubles.append(error)

    def follows(self, device_id: str) -> bool:
        return device_id not in self.unfollowed

    def health(self) -> OperationalState:
        return self.state

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S), self.news:
            await self.news.wait_for(true)


@dataclass
class Kept:
    """Where refresh tokens are kept."""

    tokens: list[str] = field(default_factory=list)
    before: Callable[[], Awaitable[None]] | None = None  # what happens there first

    async def keep(self, grant: RenewedGrant) -> None:
        assert grant.refresh_token not in repr(grant)
        if self.before is not None:
            await self.before()
        self.tokens.append(grant.refresh_token)


@dataclass
class Site:
    """What a site has of Webex."""

    cloud: WebexCloud
    activation: Activation
    lines: Lines
    tokens: WebexTokens
    webex: Webex
    kept: Kept
    told: Told = field(default_factory=Told)

    def queue(self, *, rest_s: float = 0.02) -> WebexQueue:
        return WebexQueue(
            self.webex,
            self.tokens,
            self.lines,
            self.told,
            key_urls={"us-east-2_a": self.cloud.key_url},
            pace=QueuePace(rest_s=rest_s, between_s=0.0),
        )

    @contextlib.asynccontextmanager
    async def listening(self, *, rest_s: float = 0.02) -> AsyncIterator[WebexQueue]:
        """With somebody at the queue."""
        queue = self.queue(rest_s=rest_s)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(queue.listen(), name="queue")
            await self.eventually(lambda: self.cloud.polling > 0)
            yield queue
            task.cancel()

    async def eventually(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not true():  # noqa: ASYNC110 - the stand-in tells nobody
                await asyncio.sleep(0.005)


def tokens_of(
    cloud: WebexCloud,
    wire: Wire,
    kept: Kept,
    *,
    refresh_token: str | None = None,
    secret: str | None = None,
    pace: RenewalPace = RENEWALS,
    told: TokenTold = tell_nobody,
) -> WebexTokens:
    return WebexTokens(
        wire,
        f"{cloud.api}/access_token",
        client_id=cloud.client_id,
        client_secret=secret or cloud.client_secret,
        refresh_token=refresh_token or cloud.refresh_token,
        keep=kept.keep,
        pace=pace,
        told=told,
    )


def lines_to(cloud: WebexCloud, *, pace: WirePace = QUICK) -> Lines:
    context = cloud.client_context()
    return Lines(lambda origin, asked: Wire(origin, context=context, pace=asked or pace))


@contextlib.asynccontextmanager
async def activated(cloud: WebexCloud, *, pace: WirePace = QUICK) -> AsyncIterator[Site]:
    """An integration that was activated with a code."""
    code = cloud.sign(cloud.activation())
    kept = Kept()
    async with lines_to(cloud, pace=pace) as lines:
        activation = await activate(
            lines, code, now=datetime.now(UTC), key_urls={"us-east-2_a": cloud.key_url}
        )
        cloud.seen.clear()
        async with tokens_of(
            cloud, lines.to(activation.oauth_url), kept, refresh_token=activation.refresh_token
        ) as tokens:
            webex = Webex(activation, tokens, lines)
            yield Site(cloud=cloud, activation=activation, lines=lines, tokens=tokens, webex=webex, kept=kept)
