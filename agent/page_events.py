"""Tells everybody who looks at the page what changes, as server-sent events; nobody is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agent.core.model import Room, RoomId
from agent.local_api import Broadcast, Sight
from agent.page_views import by_turns, fact_shown, room_shown, rooms_there

log = structlog.get_logger()

LOOK_EVERY_S: Final = 0.25  # at the rooms, while anybody listens: they are values, so it is quickly seen
ROOM_AT_MOST_EVERY_S: Final = 1.0
SITE_LOOKED_AT_EVERY_S: Final = 5.0
SITE_AT_LEAST_EVERY_S: Final = 15.0  # also the heartbeat, by which a line that broke is noticed
AGAIN_AFTER_MS: Final = 2000  # when a browser is to come back
FACTS_KEPT: Final = 1000  # for a listener who is slow; of more, it loses the oldest and is told how many
MOST_LISTENERS: Final = 64

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def _event(kind: str, body: bytes, *, id_: str | None = None) -> bytes:
    """An event on the wire; `body` is JSON, which has no line breaks in it."""
    named = b"" if id_ is None else f"id: {id_}\n".encode()
    return named + b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"


class Listener:
    """What one of them has still to be told: of rooms and the site the latest, of facts all in order."""

    def __init__(self) -> None:
        self._facts: deque[bytes] = deque(maxlen=FACTS_KEPT)
        self._rooms: dict[RoomId, bytes] = {}
        self._all: bytes | None = None
        self._site: bytes | None = None
        self._missed: int | None = 0  # None: nobody knows how many
        self._something = asyncio.Event()
        self._over = False

    def fact(self, event: bytes) -> None:
        """Something became known."""
        if len(self._facts) == FACTS_KEPT:
            self.miss(1)
        self._facts.append(event)
        self._something.set()

    def room(self, room: RoomId, event: bytes) -> None:
        """A room looks otherwise."""
        self._rooms[room] = event
        self._something.set()

    def rooms(self, there: Collection[RoomId], event: bytes) -> None:
        """Other rooms are in the file now; of each that came a `room` tells afterwards."""
        self._rooms = {room: told for room, told in self._rooms.items() if room in there}
        self._all = event
        self._something.set()

    def site(self, event: bytes) -> None:
        """The site does so now."""
        self._site = event
        self._something.set()

    def miss(self, facts: int | None) -> None:
        """It was not told of so many; None: nobody knows."""
        if facts != 0:
            self._missed = None if facts is None or self._missed is None else self._missed + facts
            self._something.set()

    def end(self) -> None:
        """It hung up, or we do."""
        self._over = True
        self._something.set()

    async def next(self) -> bytes | None:
        """All that waits for it, as soon as there is something; None: it is over."""
        await self._something.wait()
        self._something.clear()
        if self._over:
            return None
        missed = b"" if self._missed == 0 else _event("missed", _encode({"missed": self._missed}))
        waiting = b"".join((missed, *self._facts, self._all or b"", *self._rooms.values(), self._site or b""))
        self._missed, self._all, self._site = 0, None, None
        self._facts.clear()
        self._rooms.clear()
        return waiting


class Teller:
    """Looks while anybody listens, and hands what it sees to all of them."""

    def __init__(
        self,
        broadcast: Broadcast,
        *,
        sight: Callable[[], Sight],
        site: Callable[[], Awaitable[Mapping[str, Any]]],
    ) -> None:
        """`site` is how it does, as `/api/site` has it."""
        self._broadcast = broadcast
        self._sight = sight
        self._site = site
        self._listeners: set[Listener] = set()
        self._somebody = asyncio.Event()
        self._closed = False
        self._epoch = ""  # of the numbers below; a new one whenever nobody has listened for a while
        self._told = 0  # facts
        self._seen: dict[RoomId, Room] = {}
        self._shown: dict[RoomId, bytes] = {}
        self._shown_at: dict[RoomId, float] = {}
        self._there: tuple[RoomId, ...] = ()
        self._circumstances: tuple[object, ...] = ()

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def stream(self, last_id: str | None) -> Response:
        """The answer to one who wants to listen; `last_id` is the last event that it had before."""
        if self._closed or len(self._listeners) >= MOST_LISTENERS:
            return JSONResponse(
                {
                    "error": f"{len(self._listeners)} listen already",
                    "mend": "close a page that is open elsewhere, or ask /api/rooms now and then",
                },
                HTTPStatus.SERVICE_UNAVAILABLE,
                headers={"Retry-After": "10", "Cache-Control": "no-store"},
            )
        return _Stream(self, last_id)

    def close(self) -> None:
        """Let all of them go: roomd stops."""
        self._closed = True
        for listener in self._listeners:
            listener.end()

    @contextlib.contextmanager
    def listening(self, last_id: str | None) -> Iterator[Listener]:
        """One more listener, who is told of all that changes from now on."""
        listener = Listener()
        if not self._listeners:
            self._begin()
        if last_id is not None:
            listener.miss(self._missed_since(last_id))
        self._listeners.add(listener)
        self._somebody.set()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def _missed_since(self, last_id: str) -> int | None:
        epoch, _, number = last_id.partition("-")
        if epoch != self._epoch or not (number.isascii() and number.isdigit() and len(number) < 20):  # noqa: PLR2004
            return None
        return max(0, self._told - int(number))

    def _begin(self) -> None:
        self._epoch, self._told = secrets.token_hex(4), 0
        self._shown.clear()
        sight = self._sight()
        self._seen = dict(sight.rooms)
        self._there = rooms_there(sight)
        self._circumstances = self._circumstances_of(sight)

    @property
    def last_id(self) -> str:
        """By which a browser says later how far it had come."""
        return f"{self._epoch}-{self._told}"

    # ── what is told

    async def run(self) -> None:
        """Until cancelled; while nobody listens it does nothing."""
        while True:
            await self._somebody.wait()
            self._somebody.clear()
            try:
                with self._broadcast.listen() as queue:
                    await self._tell(queue)
            except Exception:  # the page is to be looked at: what goes wrong with it stops nothing else
                log.exception("page.silenced", mend="report it, with these lines; roomd goes on")
                for listener in self._listeners:
                    listener.end()

    async def _tell(self, queue: asyncio.Queue[bytes]) -> None:
        loop = asyncio.get_running_loop()
        site_at = site_told_at = loop.time()  # whoever came was told then
        site_before = b""
        while self._listeners:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    while True:
                        self._tell_fact(await queue.get())
            if missed := self._broadcast.missed(queue):
                for listener in self._listeners:
                    listener.miss(missed)
            await self._tell_rooms(loop.time())
            if loop.time() >= site_at + SITE_LOOKED_AT_EVERY_S:
                site_at = loop.time()
                site = dict(await self._site())
                event = _event("site", _encode(site))
                same = _encode({**site, "at": None})
                if same != site_before or site_at >= site_told_at + SITE_AT_LEAST_EVERY_S:
                    site_before, site_told_at = same, site_at
                    for listener in self._listeners:
                        listener.site(event)

    def _tell_fact(self, payload: bytes) -> None:
        self._told += 1
        covered = _encode(fact_shown(_decode(payload))) if b'"private"' in payload else payload
        event = _event("fact", covered, id_=self.last_id)
        for listener in self._listeners:
            listener.fact(event)

    async def _tell_rooms(self, now_s: float) -> None:
        sight = self._sight()
        circumstances = self._circumstances_of(sight)
        anew = circumstances != self._circumstances  # the words tell times
        self._circumstances = circumstances
        if anew:
            self._seen.clear()
        self._tell_who_is_there(rooms_there(sight))
        async for settings in by_turns(sight.configuration.rooms):
            room = sight.rooms.get(settings.id)
            if room is None or room is self._seen.get(settings.id):
                continue
            if now_s < self._shown_at.get(settings.id, 0.0) + ROOM_AT_MOST_EVERY_S:
                continue
            self._seen[settings.id] = room
            shown = _encode(room_shown(sight, settings, whole=True))
            if shown == self._shown.get(settings.id):
                continue
            self._shown[settings.id], self._shown_at[settings.id] = shown, now_s
            event = _event("room", shown)
            for listener in self._listeners:
                listener.room(settings.id, event)

    def _tell_who_is_there(self, there: tuple[RoomId, ...]) -> None:
        if there == self._there:
            return
        for gone in set(self._there).difference(there):  # if it comes back it is told anew
            for known in (self._seen, self._shown, self._shown_at):
                known.pop(gone, None)
        self._there = there
        event = _event("rooms", _encode({"rooms": there}))
        for listener in self._listeners:
            listener.rooms(there, event)

    def _circumstances_of(self, sight: Sight) -> tuple[object, ...]:
        """On what else it depends how rooms look: the minute, and the file."""
        return sight.at.replace(second=0, microsecond=0), sight.configuration

    async def first(self) -> bytes:
        """What every listener is told before all else."""
        site = _event("site", _encode(await self._site()), id_=self.last_id)
        return f"retry: {AGAIN_AFTER_MS}\n\n".encode() + site


class _Stream(Response):
    """Events to one listener, until it hangs up or roomd stops."""

    def __init__(self, teller: Teller, last_id: str | None) -> None:
        super().__init__(media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._teller = teller
        self._last_id = last_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        with self._teller.listening(self._last_id) as listener:
            async with asyncio.TaskGroup() as tasks:
                gone = tasks.create_task(_until_gone(receive, listener), name="listener's hang-up")
                await send(
                    {"type": "http.response.body", "body": await self._teller.first(), "more_body": True}
                )
                while (waiting := await listener.next()) is not None:
                    await send({"type": "http.response.body", "body": waiting, "more_body": True})
                gone.cancel()
        await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.end()
