"""The only door to HTTP in cloud_link: bounded in size and time, and silent about what passes."""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import logging
import os
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import stamina
import stamina.instrumentation

from cloud_link.calendars.decoding import decode
from cloud_link.calendars.errors import Misconfigured, Throttled, Transient, Unreadable

# The library logs each request with its query, and at level DEBUG the headers with the token.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)
stamina.instrumentation.set_on_retry_hooks([])  # a change is logged, not every attempt

MAX_BODY_BYTES = 8 * 1024 * 1024
LONGEST_NUMBER = 64  # characters, of a request
LONGEST_REST_S = 24 * 3600.0  # that we believe a Retry-After
SLOW_DOWN = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.LOCKED})  # Webex also says 423
# Nothing was done when these were answered, so that whatever was asked may be asked again.
NOT_DONE = SLOW_DOWN | {HTTPStatus.SERVICE_UNAVAILABLE}
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})  # PATCH as the calendars use it

Params = Mapping[str, str | Sequence[str]]
Shape = TypeVar("Shape")


@dataclass(frozen=True, slots=True, kw_only=True)
class WirePace:
    """How long one question may take, and how often it is asked."""

    attempts: int = 3
    first_rest_s: float = 0.5  # then twice as long, with a random part
    patience_s: float = 20.0  # a longer Retry-After is the caller's to wait for
    connect_within_s: float = 10.0
    answer_within_s: float = 60.0  # one attempt, all of it
    connections: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the service said; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)  # may hold what must not be shown

    def json(self) -> object:
        """The body's tree; Unreadable if it is not JSON."""
        return self.read(object)

    def read(self, shape: type[Shape]) -> Shape:
        """The body in this shape (a msgspec type); Unreadable if it is not."""
        try:
            return decode(self.body, shape)
        except Unreadable:
            raise Unreadable(f"an answer ({self.status}) that cannot be understood") from None


def never(_: Answer) -> bool:
    """No answer means this."""
    return False


class Wire:
    """One service at one origin: `https://host[:port]`, or `http://` on this machine; use `async with`.

    Misconfigured if that, or the proxy's, is no such address.

    `throttled` recognises answers that mean "slow down" although their status does not say so; `context` is
    whom to believe that it is the service; `proxy` the way out, where there is no other.
    """

    def __init__(
        self,
        origin: str,
        *,
        context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        pace: WirePace | None = None,
        throttled: Callable[[Answer], bool] = never,
    ) -> None:
        self.origin = read_origin(origin)
        self._pace = pace or WirePace()
        self._throttled = throttled
        self._rests: dict[str, float] = {}  # loop time, by lane
        self._asking = 0  # under way
        self._closing = False
        self._all_answered = asyncio.Event()
        self._new_client = partial(
            httpx.AsyncClient,
            verify=context or ssl.create_default_context(),
            proxy=proxy,
            trust_env=False,  # what roomd does is in its configuration
            follow_redirects=False,
            timeout=httpx.Timeout(self._pace.answer_within_s, connect=self._pace.connect_within_s),
            limits=httpx.Limits(
                max_connections=self._pace.connections, max_keepalive_connections=self._pace.connections
            ),
        )
        self._waiting: Counter[httpx.AsyncClient] = Counter()  # how many questions each still has
        try:
            self._client = self._new_client()
        except (ValueError, ImportError, httpx.InvalidURL):  # their texts quote it, with its password
            raise Misconfigured(
                "the proxy's address cannot be used", mend="write it as http://host:port in the configuration"
            ) from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Take no more questions, and close the connections when what is under way has been answered."""
        self._closing = True
        try:
            while self._asking:
                self._all_answered.clear()
                await self._all_answered.wait()
        finally:
            await _drop(self._client, *self._waiting)

    async def ask(  # noqa: PLR0913 - all that a request may have
        self,
        method: str,
        url: str,
        *,
        token: str | None = None,
        params: Params | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool | None = None,
        lane: str | None = None,
    ) -> Answer:
        """What the service answers, be it a refusal (4xx); asked again where that helps.

        `url` is a path, or a link that the service gave; Unreadable if that leads elsewhere. `again`: may be
        repeated although it may have been done already; as the method suggests, unless said otherwise.
        `lane`: whose patience is tried (a mailbox); if one in it is told to wait, all others in it do, too.
        Throttled or Transient when it was asked often enough, with the service's own `retry_after_s`: of
        what changes something, Throttled only if it was certainly not done. Transient after `close`.
        """
        if self._closing:
            raise Transient(f"{self.origin} is asked in another way by now")
        target = self._target(url)
        asked: dict[str, str] = {"Accept": "application/json", **(headers or {})}
        if token is not None:
            asked["Authorization"] = f"Bearer {token}"
        content: bytes | None = None
        if json is not None:
            asked["Content-Type"] = "application/json"
            content = msgspec.json.encode(json)
        request = self._client.build_request(
            method, target, params=params, data=form, content=content, headers=asked
        )
        may_repeat = method.upper() in IDEMPOTENT if again is None else again

        lost = False  # an answer, and it may have been done

        def rest(error: Exception) -> bool | timedelta:
            nonlocal lost
            lost = lost or isinstance(error, Transient)
            seen = error.seen if isinstance(error, _NotDone) else error
            if not isinstance(seen, Transient) or not (may_repeat or seen is not error):
                return False
            if seen.retry_after_s is None:
                return True
            return seen.retry_after_s <= self._pace.patience_s and timedelta(seconds=seen.retry_after_s)

        self._asking += 1
        try:
            async for attempt in stamina.retry_context(
                on=rest,
                attempts=self._pace.attempts,
                timeout=None,
                wait_initial=self._pace.first_rest_s,
                wait_max=self._pace.patience_s,
                wait_jitter=self._pace.first_rest_s,
            ):
                with attempt:
                    return await self._in_lane(lane, request)
        except _NotDone as error:
            if lost and method.upper() != "GET" and isinstance(error.seen, Throttled):
                raise Transient(
                    f"{error.seen}, after an answer that was lost", retry_after_s=error.seen.retry_after_s
                ) from None
            raise error.seen from None
        finally:
            self._asking -= 1
            self._all_answered.set()
        raise AssertionError  # an attempt returns or raises

    def rest_s(self, lane: str) -> float:
        """Seconds for which nothing more may be asked in this lane; 0 if it may."""
        rest_s = self._rests.get(lane, 0.0) - asyncio.get_running_loop().time()
        if rest_s <= 0:
            self._rests.pop(lane, None)
        return max(rest_s, 0.0)

    def rest(self, lane: str, seconds: float) -> None:
        """Ask nothing more in this lane for so long: the service said so."""
        until = asyncio.get_running_loop().time() + seconds
        self._rests[lane] = max(self._rests.get(lane, 0.0), until)

    async def _in_lane(self, lane: str | None, request: httpx.Request) -> Answer:
        if lane is None:
            return await self._once(request)
        while (rest_s := self.rest_s(lane)) > 0:
            if rest_s > self._pace.patience_s:
                throttled = Throttled(f"{self.origin} said: slow down", retry_after_s=rest_s)
                raise _NotDone(throttled)
            await asyncio.sleep(rest_s)
        try:
            return await self._once(request)
        except _NotDone as error:
            if error.seen.retry_after_s is not None:
                self.rest(lane, error.seen.retry_after_s)
            raise

    def _target(self, url: str) -> str:
        if url.startswith("/") and not url.startswith("//"):
            return self.origin + url
        try:
            same = read_origin(url, whole=False) == self.origin
        except Misconfigured:
            same = False
        if not same:
            raise Unreadable("a link that leads to another host was not followed")
        return url

    async def _once(self, request: httpx.Request) -> Answer:
        try:
            async with asyncio.timeout(self._pace.answer_within_s):
                answer = await self._hear(request)
        except httpx.ConnectError as error:
            if isinstance(why := _cause(error), ssl.SSLCertVerificationError):
                raise Misconfigured(
                    f"{self.origin} shows a certificate that is not believed: {why.verify_message}",
                    mend="if a proxy opens TLS, name its authority with ca_file; else look at this clock",
                ) from None
            raise _NotDone(Transient(f"{self.origin} is out of reach: {_words(error)}")) from None
        except (httpx.ConnectTimeout, httpx.PoolTimeout):
            raise _NotDone(Transient(f"{self.origin} is out of reach: no connection in time")) from None
        except (TimeoutError, httpx.TimeoutException):
            raise Transient(f"{self.origin} did not answer in time") from None
        except httpx.DecodingError:
            raise Unreadable(f"{self.origin} sent what cannot be unpacked") from None
        except httpx.ProxyError as error:
            raise _NotDone(Transient(f"the proxy refused: {_words(error)}")) from None
        except httpx.TransportError as error:
            raise Transient(f"the line to {self.origin} broke: {_words(error)}") from None
        self._sort(answer)
        return answer

    async def _hear(self, request: httpx.Request) -> Answer:
        client = self._client
        self._waiting[client] += 1
        request.extensions["trace"] = _Unsecured().trace
        try:
            response = await client.send(request, stream=True)
            try:
                body = bytearray()
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > MAX_BODY_BYTES:
                        raise Unreadable(f"{self.origin} sent more than {MAX_BODY_BYTES >> 20} MB at once")
            finally:
                await response.aclose()
        except asyncio.CancelledError:
            if client is self._client:  # it may take a connection for busy from now on, and for ever
                self._client = self._new_client()
            raise
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]
                if client is not self._client:
                    await _drop(client)
        return Answer(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=bytes(body),
        )

    def _sort(self, answer: Answer) -> None:
        status = _numbered(answer)
        wait = retry_after_s(answer.headers)
        if answer.status in SLOW_DOWN or self._throttled(answer):
            raise _NotDone(Throttled(f"{self.origin} says: slow down ({status})", retry_after_s=wait))
        if answer.status in NOT_DONE:
            raise _NotDone(Transient(f"{self.origin} is not available ({status})", retry_after_s=wait))
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Transient(f"{self.origin} failed ({status})", retry_after_s=wait)
        if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
            raise Unreadable(f"{self.origin} sends us elsewhere ({status}), which is not followed")


async def _drop(*clients: httpx.AsyncClient) -> None:
    """Close all their lines, at once; if cancelled, too, as the library has forgotten them by then."""
    await asyncio.shield(asyncio.gather(*(client.aclose() for client in clients)))


class _Closable(Protocol):
    async def aclose(self) -> None: ...


class _Unsecured:
    """A line between TCP and TLS: the library leaves it open if the question is given up there."""

    def __init__(self) -> None:
        self._line: _Closable | None = None

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """What the library does, step by step."""
        match event:
            case "connection.connect_tcp.complete":
                self._line = info["return_value"]
            case "connection.start_tls.failed" if self._line is not None:
                await self._line.aclose()


def _numbered(answer: Answer) -> str:
    """The status, with the number by which Webex's support finds the request."""
    number = tracking_id(answer.headers)
    return str(answer.status) if number is None else f"{answer.status}; tracking id {number}"


def tracking_id(headers: Mapping[str, str]) -> str | None:
    """Webex's number of a request; None where there is none. `headers` have names in lower case."""
    number = headers.get("trackingid", "")[:LONGEST_NUMBER]
    return number if number.replace("_", "").replace("-", "").isalnum() and number.isascii() else None


class _NotDone(Exception):
    """Nothing was done, so that it may be asked again in any case."""

    def __init__(self, seen: Transient) -> None:
        super().__init__(str(seen))
        self.seen = seen


def read_origin(url: str, *, whole: bool = True) -> str:
    """`scheme://host:port` of a URL; Misconfigured if it is not https (http on this machine) or names a user.

    `whole`: nothing may follow it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Misconfigured("not the address of a service") from None
    host = parts.hostname
    if host is None or parts.username is not None or parts.password is not None:
        raise Misconfigured("not the address of a service")
    if not (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))):
        raise Misconfigured(f"{host}: only https is spoken, and http on this machine")
    if whole and (parts.path not in ("", "/") or parts.query or parts.fragment):
        raise Misconfigured(f"{host}: an address without a path is needed")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port or (443 if parts.scheme == 'https' else 80)}"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a `Retry-After` asks for (0 to a day), by the service's own clock; None without one.

    `headers` have names in lower case.
    """
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return min(float(said[:9]), LONGEST_REST_S)
    if (then := _date(said)) is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return min(max((then - now).total_seconds(), 0.0), LONGEST_REST_S)


def _date(text: str) -> datetime | None:
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _cause(error: BaseException) -> BaseException:
    """What lies at the bottom of an error of the library."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return error


def _words(error: BaseException) -> str:
    if isinstance(error, httpx.ProtocolError):  # its text quotes what it stumbled over: a token, an entry
        closed = str(error).startswith(("Server disconnected", "peer closed"))
        return "closed before the answer was whole" if closed else "what came is no HTTP"
    below = _cause(error)
    number = below.errno if isinstance(below, OSError) and not isinstance(below, ssl.SSLError) else None
    if number is not None and number > 0:  # asyncio puts an address in brackets into its own words
        return os.strerror(number)
    text = (below.strerror if isinstance(below, OSError) else None) or str(below) or type(below).__name__
    return text.splitlines()[0][:200]
