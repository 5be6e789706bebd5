"""The site as a page that a person can look at: every room's surfaces, where answers can be pressed."""

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

import h11
import orjson

from tests.simulator.device import Device
from tests.simulator.http import Answer, Exchanges, header
from tests.simulator.site import Site

LOOPBACK: Final = "127.0.0.1"
JSON: Final = "application/json"
PAGE: Final = files(__package__).joinpath("page.html").read_text(encoding="utf-8")


class Pages:
    """Understands requests; knows nothing of sockets."""

    def __init__(self, site: Site) -> None:
        self._site: Final = site
        self._deeds: Final[Mapping[str, Callable[..., None]]] = {
            "/press": lambda device, surface, option: device.answer_prompt(option, origin=surface),
            "/dismiss": lambda device, surface, kind="Prompt": device.screen.dismiss(kind, surface),
            "/touch": lambda device, surface: device.touch(surface),
        }

    def answer(self, request: h11.Request, body: bytes) -> Answer:
        """The page, the rooms as JSON, or what becomes of a press."""
        url = urlsplit(request.target.decode("ascii", errors="replace"))
        match request.method, url.path:
            case b"GET", "/":
                return HTTPStatus.OK, [("Content-Type", "text/html; charset=utf-8"), *GUARDS], PAGE
            case b"GET", "/screens.json":
                return self._rooms(parse_qs(url.query).get("room", []))
            case b"POST", path if path in self._deeds:
                if (
                    header(request, "content-type").partition(";")[0] != JSON
                ):  # no other site's form may press
                    return _json(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {"error": f"it takes {JSON}"})
                return self._do(self._deeds[path], body)
            case _, path if path in ("/", "/screens.json", *self._deeds):
                return _json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "not like this"})
            case _:
                return _json(HTTPStatus.NOT_FOUND, {"error": "there is no such page"})

    def _rooms(self, wanted: list[str]) -> Answer:
        try:
            devices = [self._site.device(room) for room in wanted] or self._site.devices
        except ValueError as error:
            return _json(HTTPStatus.NOT_FOUND, {"error": str(error)})
        return _json(HTTPStatus.OK, {"rooms": [picture(device) for device in devices]})

    def _do(self, deed: Callable[..., None], body: bytes) -> Answer:
        try:
            asked = dict(orjson.loads(body))
            deed(self._site.device(str(asked.pop("room"))), **asked)
        except (orjson.JSONDecodeError, TypeError, KeyError) as error:
            return _json(HTTPStatus.BAD_REQUEST, {"error": f"{type(error).__name__}: {error}"})
        except ValueError as error:  # NotShown, or no such room
            return _json(HTTPStatus.CONFLICT, {"error": str(error)})
        return _json(HTTPStatus.OK, {"ok": True})


def picture(device: Device) -> dict[str, Any]:
    """One room as the page and the terminal draw it: plain values."""
    return {
        "room": device.room,
        "name": device.name,
        "host": device.host,
        "profile": device.profile,
        "people": device.people_in_room,
        "calls": device.status("SystemUnit", "State", "NumberOfActiveCalls"),
        "sharing": device.sharing,
        "standby": device.status("Standby", "State"),
        "down": bool(device.down),
        "surfaces": device.screen.seen(),
    }


@contextlib.asynccontextmanager
async def shown(site: Site, where: str) -> AsyncIterator[str]:
    """Serves the page at host:port, or at a port of the loopback; 0 finds one. Yields its address."""
    host, _, port = where.rpartition(":")
    pages = Pages(site)
    loop = asyncio.get_running_loop()
    visitors: set[asyncio.Transport] = set()
    server = await loop.create_server(lambda: _Visitor(pages, visitors), host or LOOPBACK, int(port))
    try:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    finally:
        server.close()
        for transport in list(visitors):
            transport.abort()


class _Visitor(asyncio.Protocol):
    """One browser's connection."""

    def __init__(self, pages: Pages, visitors: set[asyncio.Transport]) -> None:
        self._exchanges: Final = Exchanges(pages.answer, server="simulator")
        self._visitors: Final = visitors
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._visitors.add(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.writelines(self._exchanges.receive(data))
            if self._exchanges.over:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._visitors.discard(self._transport)


def _json(status: HTTPStatus, value: object) -> Answer:
    headers = [("Content-Type", JSON), ("Cache-Control", "no-store")]
    return status, headers, orjson.dumps(value).decode()


def _hashed(element: str) -> str:
    """What a content security policy says to let this part of the page through."""
    inside = PAGE.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
    return f"'sha256-{b64encode(sha256(inside.encode()).digest()).decode()}'"


POLICY: Final = (
    "default-src 'none'",
    "connect-src 'self'",
    f"style-src {_hashed('style')}",
    f"script-src {_hashed('script')}",
)
GUARDS: Final = (("Content-Security-Policy", "; ".join(POLICY)), ("X-Content-Type-Options", "nosniff"))
