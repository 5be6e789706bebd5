"""The WebSocket line to a device; the only module that knows the library."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Protocol, cast

from websockets.client import ClientProtocol
from websockets.exceptions import (
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidStatus,
    NegotiationError,
    PayloadTooBig,
)
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from agent.core.model import Device, DeviceId
from device_adapters import trust
from device_adapters.conversation import AtOnce, Conversation
from device_adapters.errors import (
    CertificateRefused,
    DeviceBooting,
    DeviceBusy,
    DeviceError,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PasswordRefused,
    ServiceOff,
)
from device_adapters.system_words import unreachable
from device_adapters.xapi.jsonrpc import JsonRpc
from device_adapters.xapi.messages import Call, CallId, Unintelligible, XapiMessage

# The library's core without I/O is used, under an asyncio protocol of ours, and not its own asyncio shell.
# That one takes a task, a queue and some kilobytes more per device, hands out one frame per wake-up, and its
# keep-alive ends a line whose pong cannot be read because we are the ones who do not read.

MAX_FRAME_BYTES = 4 * 1024 * 1024  # a listing of two full days has some hundred kilobytes
READ_BYTES = 16 * 1024  # at once: a record of TLS
WAITING_BYTES = 8 * 1024  # so much may wait to be heard, and then the device has to wait
SOCKET_BYTES = 16 * 1024  # wait in the kernel; by its own judgement it would keep megabytes, all old news
FRAME_OVERHEAD_BYTES = 100  # of a frame that waits, beside its text

# At level DEBUG the library would log the upgrade request with the password in it.
_SILENT = logging.Logger("device_adapters.websocket.silent", level=logging.CRITICAL + 1)  # noqa: LOG001


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePace:
    """How long a line waits for what, in seconds."""

    connect_within_s: float = 5.0  # on a building's own network a device answers at once or not at all
    greet_within_s: float = 10.0  # TLS and the upgrade, on a codec that is busy with a call
    ping_after_s: float = 20.0  # of silence
    pong_within_s: float = 20.0
    close_within_s: float = 1.0


class _Scheme(Enum):
    """How the password is shown (API Transport Guide, "Authentication")."""

    SUBPROTOCOL = "subprotocol"  # CE 9.8 and newer: Sec-WebSocket-Protocol: auth-…
    BASIC = "basic"  # all that have the service: Authorization: Basic …


class WebSockets:
    """Dials devices; remembers which way of showing the password each of them takes."""

    def __init__(self, *, pace: LinePace | None = None, contexts: trust.Contexts | None = None) -> None:
        self._pace = pace or LinePace()
        self._contexts = contexts or trust.Contexts()
        self._schemes: dict[DeviceId, _Scheme] = {}

    def forget(self, device: DeviceId) -> None:
        """Drop what was learned of a device."""
        self._schemes.pop(device, None)

    @contextlib.asynccontextmanager
    async def __call__(
        self, device: Device, door: AbstractAsyncContextManager[object]
    ) -> AsyncIterator[Conversation]:
        """Open a conversation at `wss://host:port/ws`; DeviceError if there can be none now."""
        wire = await self._open(device, door)
        code, reason = CloseCode.GOING_AWAY, ""
        try:
            yield WebSocketConversation(wire, self._pace)
        except DeviceTalksNonsense as error:
            code, reason = CloseCode.INVALID_DATA, str(error)
            raise
        except DeviceError:
            wire.abort()  # it is known to be broken: nobody would answer the closing handshake
            raise
        finally:
            await wire.close(code, reason, within_s=self._pace.close_within_s)

    async def _open(self, device: Device, door: AbstractAsyncContextManager[object]) -> _Wire:
        password = trust.password(device.credential)
        proven = self._schemes.pop(device.id, None)
        logins = 0
        for scheme in _Scheme if proven is None else (proven,):
            try:
                wire = await self._upgrade(device, door, scheme, password)
            except PasswordRefused as error:
                logins += error.logins
                continue
            if scheme is _Scheme.SUBPROTOCOL and not wire.took_subprotocol:
                wire.abort()  # it did not read the password that way, whatever it let us do
                continue
            self._schemes[device.id] = scheme
            return wire
        user = device.credential.username
        raise PasswordRefused(f"it does not let {user!r} in with the configured password", logins=logins)

    async def _upgrade(
        self, device: Device, door: AbstractAsyncContextManager[object], scheme: _Scheme, password: str
    ) -> _Wire:
        pace = self._pace
        loop = asyncio.get_running_loop()
        host = f"[{device.host}]" if ":" in device.host else device.host
        login = f"{device.credential.username}:{password}".encode()
        shown = _subprotocol(login) if scheme is _Scheme.SUBPROTOCOL else None
        protocol = ClientProtocol(
            parse_uri(f"wss://{host}:{device.port}/ws"),
            subprotocols=[shown] if shown else None,
            max_size=MAX_FRAME_BYTES,
            logger=_SILENT,
        )
        wire = _Wire(protocol, loop)
        try:
            async with asyncio.timeout(pace.connect_within_s):
                await loop.create_connection(lambda: wire, device.host, device.port)
            async with door, asyncio.timeout(pace.greet_within_s):
                await wire.start_tls(self._contexts.context(device.trust), device.host)
                trust.verify(wire.certificate(), device.trust)  # before the password leaves
                authorization = None if shown else f"Basic {base64.b64encode(login).decode()}"
                await wire.upgrade(authorization)
        except BaseException as error:
            wire.abort()
            if isinstance(error, InvalidHandshake):
                raise _sorted(error) from None  # its text may have the password in it
            if isinstance(error, OSError):
                raise _sorted(error) from error
            raise
        return wire


class WebSocketConversation(AtOnce):
    """A conversation over WebSocket; see `Conversation`."""

    __slots__ = ("_pace", "_pong_by", "_rpc", "_wire", "transport", "why")

    def __init__(self, wire: _Wire, pace: LinePace) -> None:
        self.transport = "websocket"
        self.why: str | None = None
        self._wire = wire
        self._pace = pace
        self._rpc = JsonRpc()
        self._pong_by: float | None = None  # loop time; None while no ping is under way

    def send(self, call: Call) -> CallId:
        """Send a call's frame; lost without a word if the line is broken, which `hear` will tell."""
        call_id, frame = self._rpc.call(call)
        self._wire.send_text(frame)
        return call_id

    async def hear(self, until: float) -> Sequence[XapiMessage]:
        """What has come, all of it; pings where nothing comes for long."""
        wire = self._wire
        while not wire.frames:
            wire.check()
            now = wire.loop.time()
            if now >= until:
                return ()
            await wire.wait(min(until, self._watch(now)))
        return self._read(wire.take())

    def _watch(self, now: float) -> float:
        """Ping, or give up, when it is time; the loop time of the next look. Any byte is a sign of life."""
        wire, pace = self._wire, self._pace
        ping_at = wire.alive_at + pace.ping_after_s
        if now < ping_at:
            self._pong_by = None
            return ping_at
        if self._pong_by is None:
            wire.send_ping()
            self._pong_by = now + pace.pong_within_s
        if now >= self._pong_by:
            raise DeviceUnreachable(f"silent for {now - wire.alive_at:.0f} s, also when pinged")
        return self._pong_by

    def _read(self, frames: list[bytes]) -> list[XapiMessage]:
        messages: list[XapiMessage] = []
        for frame in frames:
            try:
                messages.extend(self._rpc.receive(frame))
            except Unintelligible as error:
                # What came before it is heard first; the next `hear` says that this is the end.
                self._wire.fail(DeviceTalksNonsense(str(error)))
                break
        if not messages:
            self._wire.check()
        return messages


class _ReadsAhead(Protocol):
    """A TLS transport, of asyncio and of uvloop; the type stubs do not know this of it."""

    def set_read_buffer_limits(self, *, high: int) -> None:
        """Read no further ahead than so many bytes while the protocol has paused."""


_ROOM = memoryview(
    bytearray(READ_BYTES)
)  # for all lines: what stands in it is copied before the next is read


class _Wire(asyncio.BufferedProtocol):
    """Bytes between the library's core and a socket; keeps whole messages until they are taken."""

    __slots__ = (
        "_error",
        "_fragments",
        "_paused",
        "_response",
        "_timer",
        "_timer_at",
        "_transport",
        "_until",
        "_waiter",
        "_waiting_bytes",
        "_websocket",
        "alive_at",
        "frames",
        "loop",
    )

    def __init__(self, websocket: ClientProtocol, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.frames: list[bytes] = []
        self.alive_at = loop.time()  # when the last byte came, or when we began to listen again
        self._websocket = websocket
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._until = inf  # loop time, of who waits
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._response: Response | None = None
        self._fragments: list[bytes] = []
        self._waiting_bytes = 0
        self._paused = False
        self._error: DeviceError | None = None

    # ── what asyncio calls ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by name
        line: socket.socket | None = transport.get_extra_info("socket")
        if line is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 (asyncio's guess of what would be good)
        return _ROOM

    def buffer_updated(self, nbytes: int) -> None:
        self.alive_at = self.loop.time()
        self._websocket.receive_data(bytes(_ROOM[:nbytes]))
        for event in self._websocket.events_received():
            if isinstance(event, Frame):
                self._frame_received(event)
            elif isinstance(event, Response):
                self._response = event
        self._flush()
        if self._waiting_bytes >= WAITING_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._websocket.receive_eof()
        self._flush()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, inf
        self._websocket.receive_eof()
        if exc is not None:
            self.fail(_sorted(exc))
        self._wake()

    def _frame_received(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT if frame.fin:
                self._keep(bytes(frame.data))
            case Opcode.TEXT | Opcode.CONT:
                self._fragments.append(bytes(frame.data))
                if frame.fin:
                    self._keep(b"".join(self._fragments))
                    self._fragments = []
            case Opcode.BINARY:
                self.fail(DeviceTalksNonsense("a binary frame"))
            case _:
                pass  # pings are answered by the library, and pongs are signs of life like any byte

    def _keep(self, message: bytes) -> None:
        self.frames.append(message)
        self._waiting_bytes += len(message) + FRAME_OVERHEAD_BYTES

    # ── what the conversation calls ──

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Secure the line; ssl.SSLError, OSError if it cannot be."""
        if self._transport is None:
            raise ConnectionResetError("closed before TLS")
        secured = await self.loop.start_tls(self._transport, self, context, server_hostname=host)
        self._transport = cast("asyncio.Transport", secured)
        # Where we pause, TLS would go on reading: a quarter of a megabyte, into a buffer that never shrinks.
        cast("_ReadsAhead", secured).set_read_buffer_limits(high=READ_BYTES)

    def certificate(self) -> bytes | None:
        """The device's certificate, DER."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        return None if tls is None else tls.getpeercert(binary_form=True)

    async def upgrade(self, authorization: str | None) -> None:
        """Make it a WebSocket; InvalidHandshake if the device will not."""
        request = self._websocket.connect()
        request.headers["User-Agent"] = "roomd"
        if authorization is not None:
            request.headers["Authorization"] = authorization
        self._websocket.send_request(request)
        self._flush()
        while self._response is None and self._websocket.handshake_exc is None:
            await self.wait(None)
        if self._websocket.handshake_exc is not None:
            raise self._websocket.handshake_exc
        self._response = None
        self._websocket.available_subprotocols = None  # the password need not stay in memory

    @property
    def took_subprotocol(self) -> bool:
        """Whether the device echoed the subprotocol, which is how it says that it read the password in it."""
        return self._websocket.subprotocol is not None

    async def wait(self, until: float | None) -> None:
        """Until something comes or breaks, or the loop's clock says `until`."""
        self._waiter = self.loop.create_future()
        self._until = inf if until is None else until
        if self._until < self._timer_at:
            self._set_timer()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._until = inf

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._until
        self._timer = self.loop.call_at(self._until, self._time_is_up)

    def _time_is_up(self) -> None:
        """Most waits end long before their time: the timer is left running, and looks who waits now."""
        self._timer, self._timer_at = None, inf
        if self._until <= self.loop.time():
            self._wake()
        elif self._until < inf:
            self._set_timer()

    def take(self) -> list[bytes]:
        """The messages that wait; reading goes on if they had stopped it."""
        frames, self.frames, self._waiting_bytes = self.frames, [], 0
        if self._paused and self._transport is not None:
            self._paused = False
            self.alive_at = self.loop.time()  # the silence was ours
            self._transport.resume_reading()
        return frames

    def check(self) -> None:
        """DeviceError if the line is broken or closing."""
        if self._error is not None:
            raise self._error
        if self._websocket.state is not State.OPEN:
            raise _why_closed(self._websocket)

    def fail(self, error: DeviceError) -> None:
        """The line is broken; the first reason counts."""
        self._error = self._error or error

    def send_text(self, text: bytes) -> None:
        """Send, unless it is closed already."""
        if self._websocket.state is State.OPEN:
            self._websocket.send_text(text)
            self._flush()

    def send_ping(self) -> None:
        """Send, unless it is closed already."""
        if self._websocket.state is State.OPEN:
            self._websocket.send_ping(b"")
            self._flush()

    async def close(self, code: CloseCode, reason: str, *, within_s: float) -> None:
        """Say good-bye and wait a little for the device to do the same."""
        try:
            if self._websocket.state is State.OPEN and self._transport is not None:
                self._websocket.send_close(code, reason.encode()[:100].decode(errors="ignore"))
                self._flush()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(within_s):
                        while not self._over():
                            self.take()
                            await self.wait(None)
        finally:
            self.abort()

    def _over(self) -> bool:
        return self._transport is None or self._websocket.close_rcvd is not None

    def abort(self) -> None:
        """Drop the line at once."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        for data in self._websocket.data_to_send():
            if data:
                transport.write(data)
            else:
                transport.close()  # TLS cannot be half closed

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _subprotocol(login: bytes) -> Subprotocol:
    return Subprotocol(f"auth-{base64.urlsafe_b64encode(login).decode().rstrip('=')}")


# ── the library's errors, and the system's, in our words ──────────────────────────────────────────

_STATUS_OK_BELOW = 400
_SERVER_ERRORS_FROM = 500


def _sorted(error: Exception) -> DeviceError:
    match error:
        case InvalidStatus():
            return _status_refused(error.response.status_code)
        case InvalidMessage() if isinstance(error.__cause__, EOFError):
            return DeviceUnreachable("it closed the line during the upgrade")
        # The library quotes what it found in a header, and in an echo of ours stands the password.
        case InvalidHeader():
            return DeviceTalksNonsense(f"no WebSocket: its header {error.name} is missing or wrong")
        case NegotiationError():
            why = "Sec-WebSocket-Protocol (or -Extensions) is not what it was asked for"
            return DeviceTalksNonsense(f"no WebSocket: its header {why}")
        case InvalidHandshake():
            return DeviceTalksNonsense(f"no WebSocket: {type(error).__name__}")
        case ssl.SSLCertVerificationError():
            return CertificateRefused(f"its certificate is not to be believed: {error.verify_message}")
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return DeviceUnreachable("it closed the line during TLS")
        case ssl.SSLError():
            return DeviceTalksNonsense(f"no TLS: {error.reason or error}")
        case TimeoutError():
            return DeviceUnreachable("no answer in time")
        case ConnectionRefusedError():
            return DeviceUnreachable("nobody listens at its HTTPS port")
        case _:
            return unreachable(error)


def _status_refused(status: int) -> DeviceError:
    """What the status of a refused upgrade means (facts: pyxows, CSxAPI)."""
    match status:
        case 401 | 403:
            return PasswordRefused(f"HTTP {status}", logins=1)
        case 503:
            return DeviceBusy("too many connections to it (HTTP 503)")
        case _ if status >= _SERVER_ERRORS_FROM:
            return DeviceBooting(f"it is not ready (HTTP {status})")
        case _ if status >= _STATUS_OK_BELOW:
            return ServiceOff(
                f"no WebSocket service (HTTP {status}): set"
                " `xConfiguration NetworkServices Websocket: FollowHTTPService`"
            )
        case _:
            return DeviceTalksNonsense(f"no room device: it answers HTTP {status}")


def _why_closed(websocket: ClientProtocol) -> DeviceError:
    if isinstance(websocket.parser_exc, PayloadTooBig):
        return DeviceTalksNonsense(f"a message of more than {MAX_FRAME_BYTES >> 20} MiB")
    if websocket.close_sent is not None and websocket.close_rcvd is None:
        return DeviceTalksNonsense(f"not WebSocket: {websocket.close_sent}")
    if websocket.close_rcvd is not None:
        return DeviceUnreachable(f"closed by the device: {websocket.close_rcvd}")
    return DeviceUnreachable("the line broke")
