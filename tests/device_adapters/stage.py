"""A stage: a fleet, an ear for what it delivers, and devices that say what a test wants."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import orjson
import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from agent.core.events import RoomEvent
from agent.core.model import Credential, Device, DeviceId, RoomId, Trust
from agent.listening import Listener
from device_adapters.errors import (
    CertificateRefused,
    DeviceBooting,
    DeviceBusy,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PasswordRefused,
    ServiceOff,
)
from device_adapters.fleet import Fleet
from device_adapters.lifecycle import Patience, Rest
from device_adapters.link import LinkPace
from device_adapters.receiver import Receiver
from device_adapters.trust import fingerprint
from device_adapters.websocket import LinePace, WebSockets
from tests.simulator import Device as Simulated

Event = TypeVar("Event", bound=RoomEvent)

SOON = Rest(first_s=0.02, longest_s=0.05)
IMPATIENT = Patience(
    rests=dict.fromkeys(
        (
            DeviceUnreachable,
            DeviceBooting,
            DeviceBusy,
            DeviceTalksNonsense,
            CertificateRefused,
            ServiceOff,
            PasswordRefused,
        ),
        SOON,
    ),
    look_at_credential_s=0.02,
    after_bug=SOON,
)


class Ear:
    """Hears what a fleet delivers."""

    def __init__(self) -> None:
        self.heard: list[tuple[RoomId, RoomEvent]] = []
        self.deliveries = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._news = asyncio.Event()

    async def deliver(self, room: RoomId, events: Sequence[RoomEvent]) -> None:
        await self.gate.wait()
        self.deliveries += 1
        self.heard.extend((room, event) for event in events)
        self._news.set()

    def of(self, kind: type[Event], device: str | None = None) -> list[Event]:
        """The events of a kind, oldest first."""
        return [
            event
            for _, event in self.heard
            if isinstance(event, kind) and device in (None, getattr(event, "device", None))
        ]

    async def until(self, happened: Callable[[], object], within_s: float = 10.0) -> None:
        """Waits for deliveries until it has happened."""
        async with asyncio.timeout(within_s):
            while not happened():
                self._news.clear()
                await self._news.wait()

    async def until_heard(
        self, kind: type[Event], times: int = 1, device: str | None = None, within_s: float = 10.0
    ) -> Event:
        """The n-th event of a kind, when it is there."""
        await self.until(lambda: len(self.of(kind, device)) >= times, within_s)
        return self.of(kind, device)[times - 1]


@contextlib.asynccontextmanager
async def hearing(
    *devices: Device,
    pace: LinkPace | None = None,
    line: LinePace | None = None,
    patience: Patience = IMPATIENT,
    **more: Any,  # noqa: ANN401 - whatever else a fleet takes
) -> AsyncIterator[tuple[Fleet, Ear]]:
    """A fleet that runs, and an ear."""
    ear = Ear()
    options = {
        "luck": lambda: 0.5,
        "patience": patience,
        "pace": pace,
        "dial": WebSockets(pace=line),
        **more,
    }
    fleet = Fleet(devices, options.pop("deliver", ear.deliver), **options)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run(), name="fleet")
        yield fleet, ear
        running.cancel()


def configured(
    device: Simulated, directory: Path, *, password: str | None = None, trust: Trust | None = None
) -> Device:
    """A simulated device as the settings would have it, with its certificate pinned."""
    file = directory / f"password-{device.room}"
    file.write_text(f"{device.password if password is None else password}\n", encoding="utf-8")
    return Device(
        id=DeviceId(device.room),
        room=RoomId(device.room),
        host=device.host,
        port=device.port,
        credential=Credential(username=device.user, password_file=file),
        trust=trust or Trust(fingerprint=f"sha256:{device.fingerprint}"),
    )


# ── a device that says what a test wants ──────────────────────────────────────────────────────────


class Refuses(Exception):
    """The scripted device refuses a call."""

    def __init__(self, code: int = -32601, message: str = "No match") -> None:
        super().__init__(message)
        self.code = code


SYSTEM_UNIT = {
    "ProductId": "Cisco Room Bar",
    "Hardware": {"Module": {"SerialNumber": "FOC1"}},
    "Software": {"Version": "ce26.4.1.1.abc"},
    "Uptime": 1000,
}


NO_BOOKINGS = {"ResultInfo": {"TotalRows": 0}, "status": "OK"}


class Scripted:
    """Answers calls from a script; what the script does not know is answered with nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.script: dict[str, Callable[[dict[str, Any]], Awaitable[Any]] | object] = {
            "xGet Status SystemUnit": SYSTEM_UNIT,
            "xGet Status SystemUnit Uptime": 1000,
            "xCommand/Bookings/List": NO_BOOKINGS,
        }
        self._called = asyncio.Event()
        self.connection: ServerConnection | None = None
        self.connections = 0
        self.visits = 0  # with those that were not let in
        self.port = 0
        self.identity = trustme.CA().issue_cert("127.0.0.1")

    @property
    def certificate(self) -> bytes:
        """DER."""
        return ssl.PEM_cert_to_DER_cert(self.identity.cert_chain_pems[0].bytes().decode())

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.identity.configure_cert(context)
        return context

    async def until_called(self, name: str, times: int = 1, within_s: float = 10.0) -> None:
        """Waits for the n-th call of a name."""
        async with asyncio.timeout(within_s):
            while [called for called, _ in self.calls].count(name) < times:
                self._called.clear()
                await self._called.wait()

    async def tell(self, **tree: object) -> None:
        """Sends feedback."""
        await self.say({"jsonrpc": "2.0", "method": "xFeedback/Event", "params": {"Id": 1, **tree}})

    async def say(self, frame: object) -> None:
        """Sends any frame."""
        assert self.connection is not None
        await self.connection.send(frame if isinstance(frame, bytes | str) else orjson.dumps(frame).decode())

    async def converse(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.connections += 1
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await self._answer(orjson.loads(message))

    async def _answer(self, call: dict[str, Any]) -> None:
        params = call["params"]
        name = " ".join([call["method"], *map(str, params.get("Path", params.get("Query", [])))])
        self.calls.append((name, params))
        self._called.set()
        answer = self.script.get(name, {})
        reply: dict[str, object] = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            if isinstance(answer, Refuses):
                raise answer
            reply["result"] = await answer(params) if callable(answer) else answer
        except Refuses as refusal:
            reply["error"] = {"code": refusal.code, "message": str(refusal)}
        if reply.get("result") is not SILENCE:
            await self.say(reply)

    def configured(self, directory: Path, *, trust: Trust | None = None) -> Device:
        file = directory / "password-scripted"
        file.write_text("secret", encoding="utf-8")
        return Device(
            id=DeviceId("scripted"),
            room=RoomId("scripted"),
            host="127.0.0.1",
            port=self.port,
            credential=Credential(username="roomd", password_file=file),
            trust=trust or Trust(fingerprint=fingerprint(self.certificate)),
        )


SILENCE = object()  # as an answer: there is none


@contextlib.asynccontextmanager
async def scripted(*, basic_only: bool = False) -> AsyncIterator[Scripted]:
    """A device at a free port of this machine; one of CE 9.7 reads the password in a header only."""
    device = Scripted()

    def admit(connection: ServerConnection, request: Request) -> Response | None:
        device.visits += 1
        if basic_only and "Authorization" not in request.headers:
            return connection.respond(HTTPStatus.UNAUTHORIZED, "")
        return None

    async with serve(
        device.converse,
        "127.0.0.1",
        0,
        ssl=device.context(),
        ping_interval=None,  # whoever is slow to answer is not given up: that is the other side's part
        process_request=admit,
        select_subprotocol=lambda _, offered: Subprotocol(offered[0]) if offered else None,
    ) as server:
        device.port = next(iter(server.sockets)).getsockname()[1]
        yield device


# ── a server that is no device ────────────────────────────────────────────────────────────────────


class Door:
    """A TLS server that records what is sent to it, and answers each request with fixed bytes."""

    def __init__(self, answers: Iterator[bytes]) -> None:
        self.received: list[bytes] = []
        self.answers = answers
        self.visits = 0
        self.port = 0
        self.came = asyncio.Event()
        self.empty = asyncio.Event()
        self.empty.set()
        self._inside = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        self._inside += 1
        self.came.set()
        self.empty.clear()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while request := await reader.readuntil(b"\r\n\r\n"):
                self.received.append(request)
                writer.write(next(self.answers))
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self._inside -= 1
        if not self._inside:
            self.empty.set()


@contextlib.asynccontextmanager
async def door(answers: Iterator[bytes], *, tls: bool = True) -> AsyncIterator[tuple[Door, Scripted]]:
    """A door at a free port, with the certificate of a scripted device."""
    met, device = Door(answers), Scripted()
    server = await asyncio.start_server(met.meet, "127.0.0.1", 0, ssl=device.context() if tls else None)
    device.port = met.port = server.sockets[0].getsockname()[1]
    try:
        yield met, device
    finally:
        server.close()
        await met.empty.wait()


@contextlib.asynccontextmanager
async def receiving(**options: Any) -> AsyncIterator[Receiver]:  # noqa: ANN401 - a door's
    """Where devices call back, with a door of its own."""
    receiver = Receiver()
    async with Listener(receiver, host="127.0.0.1", port=0, **options) as listener:
        with receiver.reached_at(listener.url):
            yield receiver
