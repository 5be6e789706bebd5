"""The one listener of an integration's queue: polls, hands on what devices said, and does what Webex asks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, assert_never

import structlog

from cloud_link.calendars.errors import (
    CalendarError,
    ClockSkewed,
    CredentialWrong,
    Gone,
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
        """A device gave its whole picture: what happened to it before that may not have been told."""
        ...

    async def troubled(self, error: CalendarError | None) -> None:
        """The queue could not be heard, once more; or (None) it is heard again."""
        ...

    async def anew(self) -> None:
        """Something may have been missed (we begin, or there was an error): ask the devices anew."""
        ...

    def health(self) -> OperationalState:
        """How we are, for Control Hub."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePace:
    """How a queue is listened to."""

    rest_s: float = 10.0  # after an error, as Cisco's own client, unless Webex asks for more
    between_s: float = 0.5  # between polls that bring nothing, should they not wait by themselves


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
        self._unread: Final[deque[str]] = deque()  # actions whose keys could not be had yet
        self._checked = True  # nobody waits to be told how we are
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
            await self._listen()
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
                await self._settle()
                if not await self._poll(poll_url):
                    rest_s = self._pace.between_s
                if trouble is not None:
                    log.info("webex.queue.heard_again")
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
                    log.warning("webex.queue.lost", why=str(error), rest_s=rest_s)
                trouble = str(error)
                await self._listener.troubled(error)
            await asyncio.sleep(rest_s)

    async def _poll(self, poll_url: str) -> bool:
        """Hand on what one poll brings; whether that was anything."""
        batch = read_batch(await self._webex.poll(poll_url))
        if batch.unreadable:
            self.unreadable += batch.unreadable
            log.warning("webex.queue.unreadable", count=batch.unreadable)
        for message in batch.messages:
            match message:
                case StatusChanged():
                    await self._listener.hear(self._memory.heard(message))
                    if message.full:
                        await self._listener.resumed(message.device_id)
                case EventsHappened():
                    await self._listener.hear(message.events)
                case HealthCheck():
                    self._checked = False
                case ActionSent():
                    self._unread.append(message.token)
                case _:
                    assert_never(message)
        await self._settle()
        return bool(batch.messages)

    async def _settle(self) -> None:
        """Do what the integration was told; what cannot be done for now is done later."""
        while self._unread:
            token = self._unread[0]
            try:
                action = await self._verified(token)
            except Unsigned as error:
                self.forged += 1
                log.warning("webex.queue.forged", why=str(error))
            else:
                if action is not None:
                    await self._do(action)
                    self._done.append(token)
            self._unread.popleft()
        if not self._checked:
            try:
                await self._webex.report(self._listener.health())
            except Refused as error:
                log.warning("webex.health.refused", why=str(error))
            self._checked = True

    async def _verified(self, token: str) -> Action | None:
        """What a signed message says; None if that was done already."""
        if token in self._done:
            return None
        ours = self._webex.activation
        url = key_url(token, default_region=ours.region, urls=self._key_urls)
        if not knows(self._keys.get(url, b""), key_id(token)):
            self._keys[url] = await fetch_keys(self._lines, url)
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
