"""Opens the page to those at the site: HTTP on a socket of this machine and at an address, both bounded."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import h11
import structlog
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from agent.listening import BACKLOG, AtDoor, Bounds, Door, Pace, Visitor, listening_at, serving_context
from agent.local_api import Inside, SocketInUse, make_way, take_away
from agent.page_access import Access, Keys
from agent.settings import Page
from agent.site_page import SitePage, read_page

if TYPE_CHECKING:
    import ssl

log = structlog.get_logger()

MOST_GUESTS: Final = 256  # at each of the two: a browser has up to six lines, and one of them for events
STRANGERS: Final = 64  # of one address, as there may be a proxy
ENDS_WITHIN_S: Final = 1.0  # what is being answered when roomd stops
FOR_EVER_S: Final = 10**6  # uvicorn is to close no line: that is done here
HOME: Final = frozenset({"localhost"})


@asynccontextmanager
async def open_page(
    page: Page,
    inside: Inside,
    *,
    bounds: Bounds | None = None,
    pace: Pace | None = None,
    at_door: AtDoor | None = None,
) -> AsyncIterator[None]:
    """Show the site while the context stands; where it cannot be shown, the log says so and roomd goes on.

    `inside` must have a `sight` and a `site`. `at_door` is told who counts the callers from the network.
    """
    bounds, pace = bounds or Bounds(callers=MOST_GUESTS, strangers=STRANGERS), pace or Pace()
    logging.getLogger("uvicorn.error").setLevel(
        logging.ERROR
    )  # anybody may speak no HTTP: counted, not logged
    site = SitePage(inside, read_page())
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as doors:
        http = _Http.of(_guarded(page, site, bounds, pace))
        telling = tasks.create_task(site.teller.run(), name="page")
        try:
            if page.socket is not None:
                await _open(_AtSocket(http, page.socket, bounds=bounds, pace=pace), doors)
            if page.host is not None:
                door = _AtAddress(http, page, page.host, bounds=bounds, pace=pace)
                if at_door is not None:
                    at_door("page", door.callers.counts)
                await _open(door, doors)
            yield
        finally:
            site.teller.close()
            telling.cancel()
            await http.end()


async def _open(door: _PageDoor, doors: AsyncExitStack) -> None:
    try:
        await doors.enter_async_context(door)
    except (OSError, SocketInUse) as error:  # also ssl.SSLError: the certificate
        log.error("page.not_opened", at=door.name, why=str(error), mend=door.mend)
    else:
        log.info("page.shown", at=door.name)


def _guarded(page: Page, site: SitePage, bounds: Bounds, pace: Pace) -> Access:
    host = page.host or ""
    return Access(
        site.application(),
        names=HOME | {host.lower()} | {name.lower() for name in page.names},
        keys=None
        if page.token_file is None
        else Keys(token=page.token_file.read_bytes().strip(), secure=page.certificate_file is not None),
        head_bytes=bounds.head_bytes,
        request_within_s=pace.request_within_s,
        now=time.time,
        monotonic=time.monotonic,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Http:
    """What all connections share of uvicorn."""

    config: Config
    state: ServerState

    @classmethod
    def of(cls, access: Access) -> _Http:
        config = Config(
            access,
            http=_Guest,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=FOR_EVER_S,
            h11_max_incomplete_event_size=access.head_bytes,
        )
        config.load()
        return cls(config=config, state=ServerState())

    async def end(self) -> None:
        """Let what is being answered come to its end, if that is soon."""
        if self.state.tasks:
            await asyncio.wait(self.state.tasks, timeout=ENDS_WITHIN_S)
        for task in (left := list(self.state.tasks)):
            task.cancel()
        if left:
            await asyncio.wait(left)


# ── the two doors ─────────────────────────────────────────────────────────────────────────────────


class _PageDoor(Door):
    """One of them."""

    at_socket = False

    def __init__(self, http: _Http, *, name: str, mend: str, bounds: Bounds, pace: Pace) -> None:
        super().__init__(bounds=bounds, pace=pace)
        self.name = name
        self.mend = mend
        self._http = http

    @property
    def pace(self) -> Pace:
        """How long a guest may take."""
        return self._pace

    def visitor(self, address: str) -> Visitor:
        """One more, from there."""
        return _Guest(self._http, self, address)


class _AtSocket(_PageDoor):
    """For who may open the socket: its owner and group."""

    at_socket = True

    def __init__(self, http: _Http, path: Path, *, bounds: Bounds, pace: Pace) -> None:
        mend = "give [page] another socket, or see that its directory can be written; then reload roomd"
        super().__init__(http, name=str(path), mend=mend, bounds=bounds, pace=pace)
        self._path = path

    async def listen(self) -> Sequence[socket.socket]:
        """On the socket."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        make_way(self._path)
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old_mask = os.umask(0o117)
        try:
            line.bind(str(self._path))
            line.listen(BACKLOG)
        except OSError:
            line.close()
            raise
        finally:
            os.umask(old_mask)
        line.settimeout(0)
        return (line,)

    async def __aexit__(self, *error: object) -> None:
        take_away(self._path)
        await super().__aexit__(None, None, None)


class _AtAddress(_PageDoor):
    """For this machine's users, or for who has the token."""

    def __init__(self, http: _Http, page: Page, host: str, *, bounds: Bounds, pace: Pace) -> None:
        shown = f"[{host}]" if ":" in host else host
        super().__init__(
            http,
            name=f"http{'' if page.certificate_file is None else 's'}://{shown}:{page.port}",
            mend="give [page] another `listen` (`ss -ltnp` shows whose the port is), or mend its "
            "certificate; then reload roomd",
            bounds=bounds,
            pace=pace,
        )
        self._page = page
        self._host = host

    def context(self) -> ssl.SSLContext | None:
        """Of TLS."""
        page = self._page
        return (
            None if page.certificate_file is None else serving_context(page.certificate_file, page.key_file)
        )

    async def listen(self) -> Sequence[socket.socket]:
        """At its host and port."""
        return await listening_at(self._host, self._page.port)


# ── one guest ─────────────────────────────────────────────────────────────────────────────────────


class _Stage(Enum):
    """What a connection is about."""

    ASKING = (
        "asking"  # it is to bring its request to an end: who sends a byte now and then wins no time by it
    )
    ANSWERING = "answering"
    IDLE = "idle"  # between two requests
    CLOSING = "closing"  # it is to take what was answered last


class _Guest(H11Protocol, Visitor):
    """uvicorn's HTTP for one connection, with bounds on the time that it takes."""

    def __init__(self, http: _Http, door: _PageDoor, address: str) -> None:
        Visitor.__init__(self, address)
        H11Protocol.__init__(self, http.config, http.state, {"guest": self})
        self._door = door
        self._stage: _Stage | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None  # until it has taken what was answered

    @property
    def at_socket(self) -> bool:
        """Whether it came by this machine's socket."""
        return self._door.at_socket

    def welcome(self) -> None:
        """It may look."""
        self._door.acquainted(self)

    def abort(self) -> None:
        """Drop it at once."""
        if self._stage is not None:  # it is connected
            self.transport.abort()
        elif self.greeting is not None:
            self.greeting.cancel()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._door.leave(self)
        for timer in (self._timer, self._taking):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
            self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def send_400_response(self, msg: str) -> None:
        self._door.callers.ill_mannered += 1
        if self._answering is None:
            super().send_400_response(msg)
        else:  # it broke in the middle of a request: uvicorn would answer twice
            self._answering.disconnected = True
            self._answering.message_event.set()
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking = self.loop.call_later(self._door.pace.request_within_s, self._late)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _look(self) -> None:
        """Give it the time that its stage has."""
        stage = self._stage_now()
        if stage is self._stage:
            return
        self._stage = stage
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if stage is not _Stage.ANSWERING:
            pace = self._door.pace
            within_s = pace.idle_s if stage is _Stage.IDLE else pace.request_within_s
            self._timer = self.loop.call_later(within_s, self._late)

    def _stage_now(self) -> _Stage:
        if self.transport.is_closing():
            return _Stage.CLOSING
        if self._answering is not None:
            return _Stage.ANSWERING
        between = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        return _Stage.IDLE if self._asked and between else _Stage.ASKING

    @property
    def _asked(self) -> bool:
        """Whether it has ever asked anything."""
        return cast("RequestResponseCycle | None", self.cycle) is not None

    @property
    def _answering(self) -> RequestResponseCycle | None:
        """The request that has not been answered whole yet."""
        return self.cycle if self._asked and not self.cycle.response_complete else None

    def _late(self) -> None:
        if self._stage is not _Stage.IDLE:
            self._door.callers.ill_mannered += 1
        self.abort()
