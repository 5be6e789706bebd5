"""Access to Webex for one integration; each renewal's refresh token is kept before anything else is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import msgspec

from cloud_link.calendars.errors import (
    CalendarError,
    CredentialWrong,
    IntegrationError,
    Revoked,
    Transient,
    Unreadable,
)
from cloud_link.calendars.integration import CREDENTIAL_RESTS, Rest, said_by
from cloud_link.calendars.tokens import TokenTold, tell_nobody
from cloud_link.calendars.webex_codes import NEW_CODE
from cloud_link.calendars.wire import Answer, Wire, tracking_id

RENEW_EVERY_S = 20 * 3600.0  # a refresh token lapses when it is not used, so it is used daily
RENEW_BEFORE_S = 900.0  # the access token's end: what is under way must still be taken
RENEW_BEFORE_SHARE = 0.2  # of a token that does not live long
KEPT_WITHIN_S = 10.0  # a renewal that was begun may end, also while we stop: its answer cannot be had twice
LAST_WORDS = 200  # characters of a service's own sentence that are shown
# Access lasts for weeks and is renewed daily, so that nothing is urgent while it is good.
UNRENEWED_RESTS: Final = Rest(first=timedelta(minutes=2), longest=timedelta(minutes=30))


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalPace:
    """How often access is renewed."""

    every_s: float = RENEW_EVERY_S
    without_s: float = (
        5.0  # the rest after a failure while there is none that is good, unless Webex asks more
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewedGrant:
    """By what access is renewed the next time; the one thing that must not be lost."""

    refresh_token: str = field(repr=False)
    renewed_at: datetime
    lapses_at: datetime | None  # unless it is used before


class WebexTokens:
    """Access tokens of one integration; use it with `async with`. See TokenSource.

    Each renewal may bring another refresh token, after which the old one is dead: `keep` writes it down
    (atomically: the whole new value or the old one, and on disk when it returns) before anything is done with
    what else the renewal brought. What could not be kept is tried to be kept again, before anything else.

    Access that is good is given at once, also while it is being renewed. After a renewal that failed there is
    a rest, and a longer one each time. `told` hears of each that was really asked for.
    """

    def __init__(  # noqa: PLR0913 - all that an integration is known by
        self,
        wire: Wire,
        oauth_url: str,
        *,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        keep: Callable[[RenewedGrant], Awaitable[None]],
        told: TokenTold = tell_nobody,
        pace: RenewalPace | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        luck: Callable[[], float] = lambda: 0.5,
    ) -> None:
        """`refresh_token` is the last one that was kept, or the activation's; `luck` is in [0, 1)."""
        self._wire = wire
        self._oauth_url = oauth_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._refresh_token = refresh_token
        self._keep = keep
        self._told = told
        self._pace = pace or RenewalPace()
        self._now = now
        self._luck = luck
        self._access: _Access | None = None
        self._unkept: _Unkept | None = None
        self._work: asyncio.Task[None] | None = None  # what must come to its end
        self._error: CalendarError | None = None  # of the last renewal
        self._failed = 0  # renewals in a row
        self._again_at = 0.0  # loop time

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A renewal that was begun is waited for, for KEPT_WITHIN_S; then the wire may be closed."""
        if self._work is not None and not self._work.done():
            await asyncio.wait({self._work}, timeout=KEPT_WITHIN_S)
            self._work.cancel()
            await asyncio.wait({self._work})

    async def token(self) -> str:
        """One that is good for a while, renewed if need be; CalendarError if there is none to be had.

        Whatever `keep` raises is raised here, where nothing else can be given.
        """
        loop = asyncio.get_running_loop()
        if self._access is not None and loop.time() < self._access.lapses_at:
            if self._access.renew_at <= loop.time() and self._again_at <= loop.time():
                self._renewing()
            return self._access.text
        while True:
            if self._error is not None and loop.time() < self._again_at:
                raise self._error.with_traceback(None)
            self._renewing()
            await self._ended()
            if self._access is not None:
                return self._access.text

    def forget(self, token: str) -> None:
        """Never give this one again."""
        if self._access is not None and self._access.text == token:
            self._access = None
            self._error = None  # it was of no hurry until now

    async def replace(self, refresh_token: str) -> None:
        """Webex gave another refresh token, unasked: keep it, and use it from now on."""
        grant = RenewedGrant(refresh_token=refresh_token, renewed_at=self._now(), lapses_at=None)
        before = self._work

        async def replaced() -> None:
            if before is not None:
                await asyncio.wait({before})  # what it brings is older
            self._unkept = (grant, None)
            await self._settle(self._unkept)

        self._begin(replaced())
        await self._ended()

    async def _renewed(self) -> None:
        """Keep what was not kept; renew what is not good for long; know what came of it."""
        loop = asyncio.get_running_loop()
        try:
            if self._unkept is not None:
                await self._settle(self._unkept)
            if self._access is None or self._access.renew_at <= loop.time():
                await self._renew()
        except CalendarError as error:
            self._rest_after(error)
            raise
        self._error, self._failed, self._again_at = None, 0, 0.0
        self._told(None)

    def _rest_after(self, error: CalendarError) -> None:
        loop = asyncio.get_running_loop()
        asked_s = (error.retry_after_s if isinstance(error, Transient) else None) or 0.0
        left_s = 0.0 if self._access is None else self._access.lapses_at - loop.time()
        if left_s > 0:
            said = said_by(error, at=self._now(), luck=self._luck())
            rests = CREDENTIAL_RESTS if isinstance(error, IntegrationError) else UNRENEWED_RESTS
            rest_s = min((rests.after(said, self._failed) - said.at).total_seconds(), left_s)
        else:  # this machine's own disk may be asked each time
            rest_s = self._pace.without_s if self._unkept is None else 0.0
        self._error = error
        self._failed += 1
        self._again_at = loop.time() + max(rest_s, asked_s)
        self._told(error)

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        # Asked again also if the line broke: without its answer we have nothing else to ask with.
        answer = await self._wire.ask(
            "POST",
            self._oauth_url,
            form={
                "grant_type": "refresh_token",
                "client_id": self._client_id,
                "client_secret": self._client_secret,
                "refresh_token": self._refresh_token,
            },
            again=True,
        )
        if answer.status != HTTPStatus.OK:
            raise _not_renewed(answer)
        said = answer.read(_Renewed)
        if not said.access_token:
            raise Unreadable("no access token came where one was asked for")
        now = self._now()
        lapses_in = said.refresh_token_expires_in
        grant = RenewedGrant(
            refresh_token=said.refresh_token or self._refresh_token,
            renewed_at=now,
            lapses_at=None if lapses_in is None else now + timedelta(seconds=lapses_in),
        )
        lasts = max(said.expires_in, 0.0)
        before = min(RENEW_BEFORE_S, lasts * RENEW_BEFORE_SHARE)
        access = _Access(
            text=said.access_token,
            renew_at=asked_at + min(self._pace.every_s, lasts - before),
            lapses_at=asked_at + lasts,
        )
        self._unkept = (grant, access)
        await self._settle(self._unkept)

    async def _settle(self, unkept: _Unkept) -> None:
        """Keep what came; only then use it."""
        grant, access = unkept
        await self._keep(grant)
        self._refresh_token, self._access, self._unkept = grant.refresh_token, access, None

    def _renewing(self) -> None:
        """Begin the renewal, unless something is under way."""
        if self._work is None or self._work.done():
            self._begin(self._renewed())

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        self._work = asyncio.get_running_loop().create_task(work, name="webex renewal")
        self._work.add_done_callback(_heeded)

    async def _ended(self) -> None:
        """What is under way comes to its end also where nobody waits any more."""
        if self._work is not None:
            await asyncio.shield(self._work)


def _heeded(work: asyncio.Task[None]) -> None:
    """Nobody needs to have waited for it: what came of it is known."""
    if not work.cancelled():
        work.exception()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Access:
    text: str = field(repr=False)
    renew_at: float  # loop time
    lapses_at: float


_Unkept = tuple[RenewedGrant, _Access | None]


class _Renewed(msgspec.Struct):
    access_token: str
    expires_in: float = 3600.0
    refresh_token: str = ""
    refresh_token_expires_in: float | None = None


def _not_renewed(answer: Answer) -> CalendarError:
    why = f"Webex does not renew our access: {reason(answer)}"
    if answer.status == HTTPStatus.UNAUTHORIZED or b"invalid_client" in answer.body:
        return CredentialWrong(
            why, mend="bring the client id and secret that Control Hub showed when it made them"
        )
    if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN):
        return Revoked(why, mend=NEW_CODE)
    return Transient(why)


def reason(answer: Answer) -> str:
    """What went wrong, in Webex's words, with the number by which its support finds the request."""
    try:
        said = answer.read(_Problem)
    except Unreadable:
        said = _Problem()
    words = next((one.description for one in said.errors if one.description), "") or said.message
    tracking = tracking_id({"trackingid": said.tracking_id}) or tracking_id(answer.headers)
    shown = "".join(sign if sign.isprintable() else " " for sign in words[:LAST_WORDS]).rstrip(". ")
    number = "" if tracking is None else f"; tracking id {tracking}"
    return f"{shown or 'no reason given'} ({answer.status}{number})"


class _Said(msgspec.Struct):
    description: str = ""


class _Problem(msgspec.Struct, rename="camel"):
    message: str = ""
    errors: tuple[_Said, ...] = ()
    tracking_id: str = ""
