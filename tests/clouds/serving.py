"""A cloud service's sockets: HTTP/1.1 over TLS on this machine, counted, with the network's faults."""

import asyncio
import contextlib
import json
import ssl
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
import trustme

from tests.brokers.ports import free_port

Json = Any  # trees of any shape
LARGEST_REQUEST = 8 * 1024 * 1024
SEEN_WITHIN_S = 20.0  # far more than any of it takes on a busy machine
CALLED_BACK_WITHIN_S = 10.0  # so long do clouds wait for whom they call


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, as it came; header names in lower case."""

    method: str
    target: str  # path and query, as they were written
    path: str  # decoded
    headers: Mapping[str, str]
    body: bytes
    at: float  # loop time

    @property
    def query(self) -> dict[str, str]:
        """The last value of each parameter, decoded."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("ascii"), keep_blank_values=True))

    def json(self) -> Json:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What is answered; `cut` leaves the line in the middle of it, `silent` never answers."""

    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False
    silent: bool = False

    def json(self) -> Json:
        return json.loads(self.body)


CUT = Response(cut=True)
SILENCE = Response(silent=True)


def tree(value: Json, status: int = HTTPStatus.OK, **headers: str) -> Response:
    """JSON; `Retry_After="3"` becomes the header Retry-After."""
    return Response(
        status=status,
        headers={
            "Content-Type": "application/json; charset=utf-8",
            **{name.replace("_", "-"): text for name, text in headers.items()},
        },
        body=json.dumps(value).encode(),
    )


def text(value: str, status: int = HTTPStatus.OK, **headers: str) -> Response:
    return Response(
        status=status,
        headers={
            "Content-Type": "text/plain; charset=utf-8",
            **{name.replace("_", "-"): text for name, text in headers.items()},
        },
        body=value.encode(),
    )


def nothing(status: int = HTTPStatus.NO_CONTENT, **headers: str) -> Response:
    return Response(status=status, headers={name.replace("_", "-"): text for name, text in headers.items()})


class Concurrency:
    """How many are at it at once for each of something (a mailbox), and the most there ever were."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    @contextlib.contextmanager
    def one(self, of: str) -> Iterator[int]:
        """Counts one more while the body runs; gives how many there are with it."""
        self.now[of] += 1
        self.most[of] = max(self.most[of], self.now[of])
        try:
            yield self.now[of]
        finally:
            self.now[of] -= 1


class Rests:
    """Whether whoever was told to wait did wait, to the second."""

    def __init__(self) -> None:
        self.until: dict[str, float] = {}  # loop time
        self.broken: list[tuple[str, float]] = []  # what was asked too early, and by how many seconds

    def tell(self, what: str, seconds: float) -> None:
        self.until[what] = asyncio.get_running_loop().time() + seconds

    def asked(self, what: str) -> None:
        early = self.until.get(what, 0.0) - asyncio.get_running_loop().time()
        if early > 0:
            self.broken.append((what, early))


Answering = Callable[[Request], Awaitable[Response]]


class Serving:
    """Serves `answer` on 127.0.0.1, over TLS unless `plain`; use it with `async with`.

    `interruptions` are answered first, each once, in place of what the service would say; a function is asked
    with each request and may return None. `seen` are all requests, oldest first; bodies included.
    """

    def __init__(
        self, answer: Answering, *, plain: bool = False, authority: trustme.CA | None = None
    ) -> None:
        self.authority = authority or trustme.CA()
        self.interruptions: deque[Response] = deque()
        self.interrupt: Callable[[Request], Response | None] = lambda _: None
        self.seen: list[Request] = []
        self.connections = 0
        self.port = free_port()
        self._answer = answer
        self._plain = plain
        self._writers: set[asyncio.StreamWriter] = set()
        self._conversations: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._heard = asyncio.Event()

    @property
    def open(self) -> int:
        """Connections that stand now."""
        return len(self._writers)

    @property
    def url(self) -> str:
        return f"{'http' if self._plain else 'https'}://127.0.0.1:{self.port}"

    @property
    def pem(self) -> bytes:
        """The authority, for clients that want a file."""
        return self.authority.cert_pem.bytes()

    def client_context(self) -> ssl.SSLContext:
        """For clients that trust this service's authority and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context

    async def __aenter__(self) -> Self:
        context: ssl.SSLContext | None = None
        if not self._plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._server.wait_closed()

    async def until_seen(self, count: int) -> None:
        """Returns when so many requests have come since the start."""
        async with asyncio.timeout(SEEN_WITHIN_S):
            while len(self.seen) < count:
                self._heard.clear()
                await self._heard.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.current_task()
        assert conversation is not None
        self._conversations.add(conversation)
        self._writers.add(writer)
        self.connections += 1
        try:
            await self._converse(reader, writer)
        except (OSError, h11.RemoteProtocolError):
            pass  # they went away, or talk nonsense
        finally:
            self._conversations.discard(conversation)
            self._writers.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER)
        while (request := await _hear(http, reader, writer)) is not None:
            self.seen.append(request)
            self._heard.set()
            response = self.interruptions.popleft() if self.interruptions else self.interrupt(request)
            if response is None:
                response = await self._answer(request)
            if response.silent:
                await self._over.wait()
                return
            sent = _written(http, response)
            if response.cut:
                writer.write(sent[: len(sent) // 2])
                await writer.drain()
                writer.transport.abort()
                return
            writer.write(sent)
            await writer.drain()
            if http.our_state is h11.MUST_CLOSE:
                return
            http.start_next_cycle()


async def _hear(
    http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        happening = http.next_event()
        if happening is h11.NEED_DATA:
            if http.they_are_waiting_for_100_continue:
                writer.write(http.send(h11.InformationalResponse(status_code=100, headers=[])))
            http.receive_data(await reader.read(64 * 1024))
        elif isinstance(happening, h11.Request):
            head = happening
        elif isinstance(happening, h11.Data):
            body += happening.data
            if len(body) > LARGEST_REQUEST:
                return None
        elif isinstance(happening, h11.EndOfMessage) and head is not None:
            target = head.target.decode("ascii")
            return Request(
                method=head.method.decode("ascii"),
                target=target,
                path=unquote(urlsplit(target).path),
                headers={name.decode(): value.decode("latin-1") for name, value in head.headers},
                body=bytes(body),
                at=asyncio.get_running_loop().time(),
            )
        else:
            return None


def _written(http: h11.Connection, response: Response) -> bytes:
    headers = [("Server", "cloud"), *response.headers.items()]
    if response.status != HTTPStatus.NO_CONTENT:
        headers.append(("Content-Length", str(len(response.body))))
    parts = [http.send(h11.Response(status_code=response.status, headers=headers))]
    if response.body and response.status != HTTPStatus.NO_CONTENT:
        parts.append(http.send(h11.Data(data=response.body)))
    parts.append(http.send(h11.EndOfMessage()))
    return b"".join(part for part in parts if part)


async def call(
    url: str,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    context: ssl.SSLContext | None = None,
) -> Response:
    """What somebody answers when a cloud calls back; OSError or TimeoutError if nobody does."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    secure = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    async with asyncio.timeout(CALLED_BACK_WITHIN_S):
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or (443 if secure else 80), ssl=context if secure else None
        )
        try:
            http = h11.Connection(h11.CLIENT)
            shown = [("Host", parts.netloc), ("Content-Length", str(len(body))), *(headers or {}).items()]
            writer.write(http.send(h11.Request(method=method, target=target, headers=shown)) or b"")
            if body:
                writer.write(http.send(h11.Data(data=body)) or b"")
            writer.write(http.send(h11.EndOfMessage()) or b"")
            return await _answered(http, reader)
        except h11.RemoteProtocolError as error:
            raise OSError(str(error)) from error
        finally:
            writer.close()


async def _answered(http: h11.Connection, reader: asyncio.StreamReader) -> Response:
    head: h11.Response | None = None
    body = bytearray()
    while True:
        happening = http.next_event()
        if happening is h11.NEED_DATA:
            http.receive_data(await reader.read(64 * 1024))
        elif isinstance(happening, h11.Response):
            head = happening
        elif isinstance(happening, h11.Data):
            body += happening.data
        elif isinstance(happening, h11.EndOfMessage) and head is not None:
            return Response(
                status=head.status_code,
                headers={name.decode(): value.decode("latin-1") for name, value in head.headers},
                body=bytes(body),
            )
        elif isinstance(happening, h11.ConnectionClosed):
            raise OSError("no answer")
