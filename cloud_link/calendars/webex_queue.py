"""The one listener of an integration's queue: polls, hands on what devices said, and does what Webex asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, assert_never

import structlog

from cloud_link.calendars.errors import (
    CalendarError,
    ClockSkewed,
    CredentialWrong,
    Gone,
    IntegrationError,
    Misconfigured,
    Refused,
    Revoked,
    Transient,
)
from cloud_link.calendars.webex import Integration, Lines, OperationalState, Webex, fetch_keys
from cloud_link.calendars.webex_access import WebexTokens
from cloud_link.calendars.webex_codes import (
    KEY_URLS,
    NEW_CODE,
    Action,
    Deprovisioned,
    HealthAsked,
    ManifestApproved,
    Provisioned,
    TokenReplaced,
    Unsigned,
    key_id,
    key_url,
    knows,
    read_action,
)
from cloud_link.calendars.webex_messages import (
    ActionSent,
    EventsHappened,
    HealthCheck,
    Observation,
    StatusChanged,
    StatusMemory,
    read_batch,
)

log = structlog.get_logger()

REMEMBERED = 256  # actions that are not done twice
KEYS_WITHIN_S = 10.0  # while they are asked for the first time, nothing is polled
LONGEST_REST_S = 900.0  # before an action is tried again, unless Webex asks for more


class Listener(Protocol):
    """Who is told what the queue says. What it is told was taken from the queue and does not come again."""

    async def hear(self, observations: Sequence[Observation]) -> None:
        """A device said this, in this order."""
        ...

    async def act(self, action: Action) -> None:
        """Webex said this about the integration; verified. A new refresh token is kept already."""
        ...

    async def switched_on(self, integration: Integration) -> None:
        """Webex has us as we are now, and our access is good."""
        ...

    async def resumed(self, device_id: str) -> None:
        """Something that happened to a device may not have been told: it was away, or could not be read."""
        ...

    async def troubled(self, error: CalendarError | None) -> None:
        """The queue could not be heard, once more; or (None) it is heard again."""
        ...

    async def anew(self) -> None:
        """Something may have been missed (we begin, or there was an error): ask the devices anew."""
        ...

    def follows(self, device_id: str) -> bool:
        """Whether anybody wants to know what a device says."""
        ...

    def health(self) -> OperationalState:
        """How we are, for Control Hub."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePace:
    """How a queue is listened to."""

    rest_s: float = 10.0  # after an error, as Cisco's own client, unless Webex asks for more
    between_s: float = 0.5  # between polls that bring nothing, should they not wait by themselves


@dataclass(slots=True, eq=False)
class _PutOff:
    """An action that is still to be done."""

    token: str = field(repr=False)
    failed: int = 0  # times
    due_at: float = 0.0  # loop time


class WebexQueue:
    """One integration's queue; whoever is told of it is waited for before the next poll."""

    def __init__(
        self,
        webex: Webex,
        tokens: WebexTokens,
        lines: Lines,
        listener: Listener,
        *,
        key_urls: Mapping[str, str] = KEY_URLS,
        pace: QueuePace | None = None,
    ) -> None:
        self.unreadable = 0  # messages and nodes that could not be understood
        self.forged = 0  # actions that are not Webex's, or not for us
        self._webex: Final = webex
        self._tokens: Final = tokens
        self._lines: Final = lines
        self._listener: Final = listener
        self._key_urls: Final = key_urls
        self._pace: Final = pace or QueuePace()
        self._memory: Final = StatusMemory()
        self._keys: dict[str, bytes] = {}  # by their address
        self._done: Final[deque[str]] = deque(maxlen=REMEMBERED)
        self._put_off: Final[list[_PutOff]] = []
        self._settling: Final = asyncio.Lock()
        self._later: Final = asyncio.Event()  # what is put off has changed
        self._checked = True  # nobody waits to be told how we are
        self._report_at = 0.0  # loop time, at the soonest
        self._listening = False

    async def listen(self) -> None:
        """Hear the queue until cancelled; what may pass is waited out.

        Raises Revoked when an administrator has taken the integration out of use (the listener has heard so
        before), and CredentialWrong, ClockSkewed or Misconfigured where somebody must do something.
        """
        if self._listening:
            raise RuntimeError("a queue has one listener")
        self._listening = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(), name="webex polls")
                tasks.create_task(self._settle_later(), name="webex actions")
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the other one was only cancelled
        finally:
            self._listening = False

    async def _listen(self) -> None:
        poll_url: str | None = None
        missed = True
        trouble: str | None = None
        while True:
            rest_s = 0.0
            try:
                if poll_url is None:
                    integration = await self._webex.switch_on()
                    await self._listener.switched_on(integration)
                    poll_url = integration.poll_url
                if missed:
                    await self._listener.anew()
                    missed = False
                if not await self._poll(poll_url):
                    rest_s = self._pace.between_s
                if trouble is not None:
                    log.info("webex.queue_resumed")
                    trouble = None
                    await self._listener.troubled(None)
            except (Revoked, CredentialWrong, ClockSkewed, Misconfigured):
                raise
            except CalendarError as error:
                missed = True
                if isinstance(error, Gone):
                    poll_url = None  # another one is to be had
                asked_s = error.retry_after_s if isinstance(error, Transient) else None
                rest_s = max(asked_s or 0.0, self._pace.rest_s)
                if trouble is None:
                    log.warning("webex.queue_lost", why=str(error), rest_s=rest_s)
                trouble = str(error)
                await self._listener.troubled(error)
            await asyncio.sleep(rest_s)

    async def _poll(self, poll_url: str) -> bool:
        """Hand on what one poll brings; whether that was anything."""
        batch = read_batch(await self._webex.poll(poll_url))
        if batch.unreadable:
            self.unreadable += batch.unreadable
            log.warning("webex.messages_skipped", count=batch.unreadable)
        for message in batch.messages:
            match message:
                case StatusChanged():
                    followed = self._listener.follows(message.device_id)
                    await self._listener.hear(self._memory.heard(message, followed=followed))
                    if message.full:
                        await self._listener.resumed(message.device_id)
                case EventsHappened():
                    await self._listener.hear(message.events)
                case HealthCheck():
                    self._checked = False
                case ActionSent():
                    self._put_off.append(_PutOff(token=message.token))
                case _:
                    assert_never(message)
        for device in sorted(batch.doubtful):
            await self._listener.resumed(device)
        if batch.lost:
            await self._listener.anew()
        await self._settle()
        return bool(batch.messages)

    async def _settle(self) -> None:
        """Do what the integration was told, each when it is due; what cannot be done for now is put off."""
        loop = asyncio.get_running_loop()
        async with self._settling:
            for one in [each for each in self._put_off if each.due_at <= loop.time()]:
                if await self._settled(one):
                    self._put_off.remove(one)
            if not self._checked and self._report_at <= loop.time():
                await self._report()
        self._later.set()

    async def _settle_later(self) -> None:
        """What was put off holds up no poll."""
        while True:
            due = [each.due_at for each in self._put_off]
            if not self._checked:
                due.append(self._report_at)
            self._later.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(due, default=None)):
                    await self._later.wait()
                    continue  # there is more, or less
            await self._settle()

    async def _settled(self, one: _PutOff) -> bool:
        """Do one action; False if that is to be tried again."""
        try:
            action = await self._verified(one.token)
            if action is not None:
                await self._do(action)
                self._done.append(one.token)
        except Unsigned as error:
            self.forged += 1
            log.warning("webex.message_forged", why=str(error))
        except IntegrationError:
            raise
        except CalendarError as error:
            rest_s = self._rest_s(error, one.failed)
            if one.failed == 0:
                log.warning("webex.action_put_off", why=str(error), rest_s=rest_s)
            one.failed += 1
            one.due_at = asyncio.get_running_loop().time() + rest_s
            return False
        return True

    async def _report(self) -> None:
        try:
            await self._webex.report(self._listener.health())
        except Refused as error:
            log.warning("webex.health_refused", why=str(error))
        except Transient as error:
            self._report_at = asyncio.get_running_loop().time() + self._rest_s(error, 0)
            return
        self._checked = True

    def _rest_s(self, error: CalendarError, failed: int) -> float:
        asked_s = error.retry_after_s if isinstance(error, Transient) else None
        return max(asked_s or 0.0, min(self._pace.rest_s * 2.0 ** min(failed, 16), LONGEST_REST_S))

    async def _verified(self, token: str) -> Action | None:
        """What a signed message says; None if that was done already."""
        if token in self._done:
            return None
        ours = self._webex.activation
        url = key_url(token, default_region=ours.region, urls=self._key_urls)
        if not knows(self._keys.get(url, b""), key_id(token)):
            try:
                async with asyncio.timeout(KEYS_WITHIN_S):
                    self._keys[url] = await fetch_keys(self._lines, url)
            except TimeoutError:
                raise Transient("Webex does not show its keys: no answer") from None
        return read_action(token, self._keys[url], org_id=ours.org_id, app_id=ours.app_id)

    async def _do(self, action: Action) -> None:
        match action:
            case TokenReplaced():
                if action.refresh_token is not None:
                    await self._tokens.replace(action.refresh_token)
                await self._listener.act(action)
            case HealthAsked():
                self._checked = False
            case Deprovisioned():
                await self._listener.act(action)
                raise Revoked(
                    "an administrator took the integration out of use in Control Hub", mend=NEW_CODE
                )
            case Provisioned() | ManifestApproved():
                await self._listener.act(action)
            case _:
                assert_never(action)
