"""Access to Webex for one integration; each renewal's refresh token is kept before anything else is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TypeVar

import msgspec

from cloud_link.calendars.errors import CalendarError, CredentialWrong, Revoked, Transient, Unreadable
from cloud_link.calendars.webex_codes import NEW_CODE
from cloud_link.calendars.wire import Answer, Wire, tracking_id

RENEW_EVERY_S = 20 * 3600.0  # a refresh token lapses when it is not used, so it is used daily
RENEW_BEFORE_S = 900.0  # the access token's end: what is under way must still be taken
RENEW_BEFORE_SHARE = 0.2  # of a token that does not live long
KEPT_WITHIN_S = 10.0  # a renewal that was begun may end, also while we stop: its answer cannot be had twice
LAST_WORDS = 200  # characters of a service's own sentence that are shown

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewedGrant:
    """By what access is renewed the next time; the one thing that must not be lost."""

    refresh_token: str = field(repr=False)
    renewed_at: datetime
    lapses_at: datetime | None  # unless it is used before


class WebexTokens:
    """Access tokens of one integration. See TokenSource.

    Each renewal may bring another refresh token, after which the old one is dead: `keep` writes it down
    (atomically: the whole new value or the old one, and on disk when it returns) before anything is done with
    what else the renewal brought. What could not be kept is tried to be kept again, before anything else.
    """

    def __init__(
        self,
        wire: Wire,
        oauth_url: str,
        *,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        keep: Callable[[RenewedGrant], Awaitable[None]],
        renew_every_s: float = RENEW_EVERY_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`refresh_token` is the last one that was kept, or the activation's."""
        self._wire = wire
        self._oauth_url = oauth_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._refresh_token = refresh_token
        self._keep = keep
        self._renew_every_s = renew_every_s
        self._now = now
        self._access: _Access | None = None
        self._unkept: _Unkept | None = None
        self._door = asyncio.Lock()
        self._answers = 0
        self._error: CalendarError | None = None

    async def token(self) -> str:
        """One that is good for a while, renewed if need be; CalendarError if there is none to be had.

        Whatever `keep` raises is raised here. May go on for KEPT_WITHIN_S after it was cancelled.
        """
        answers = self._answers
        async with self._door:
            if self._unkept is not None:
                await self._to_its_end(self._settle(self._unkept))
            loop = asyncio.get_running_loop()
            if self._access is not None and loop.time() < self._access.renew_at:
                return self._access.text
            if self._answers != answers and self._error is not None:
                raise self._error  # somebody else asked while we waited
            try:
                access = await self._to_its_end(self._renew())
            except CalendarError as error:
                self._answers += 1
                self._error = error
                if self._access is not None and loop.time() < self._access.lapses_at:
                    return self._access.text  # not renewed this time, and still good
                raise
            self._answers += 1
            self._error = None
            return access

    def forget(self, token: str) -> None:
        """Never give this one again."""
        if self._access is not None and self._access.text == token:
            self._access = None

    async def replace(self, refresh_token: str) -> None:
        """Webex gave another refresh token, unasked: keep it, and use it from now on."""
        async with self._door:
            grant = RenewedGrant(refresh_token=refresh_token, renewed_at=self._now(), lapses_at=None)
            self._unkept = (grant, None)
            await self._to_its_end(self._settle(self._unkept))

    async def _renew(self) -> str:
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
            renew_at=asked_at + min(self._renew_every_s, lasts - before),
            lapses_at=asked_at + lasts,
        )
        self._unkept = (grant, access)
        await self._settle(self._unkept)
        return access.text

    async def _settle(self, unkept: _Unkept) -> None:
        """Keep what came; only then use it."""
        grant, access = unkept
        await self._keep(grant)
        self._refresh_token, self._access, self._unkept = grant.refresh_token, access, None

    async def _to_its_end(self, work: Coroutine[object, object, Done]) -> Done:
        task = asyncio.get_running_loop().create_task(work, name="webex renewal")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=KEPT_WITHIN_S)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, CalendarError):
                await task
            raise


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
