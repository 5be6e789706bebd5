"""One client's HTTP conversation: requests in, responses out; knows nothing of sockets."""

import base64
import binascii
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

import h11

from tests.simulator import documents
from tests.simulator.device import Device

LARGEST_BODY: Final = 8 * 1024 * 1024
REALM: Final = 'Basic realm="CISCO-Endpoint"'
COOKIE: Final = "SessionId"
XML: Final = "text/xml; charset=UTF-8"
PLAIN: Final = "text/plain; charset=UTF-8"

Header = tuple[str, str]
Answer = tuple[HTTPStatus, Sequence[Header], str]


class Exchanges:
    """Requests of one connection, one after the other; what is answered is up to somebody else."""

    def __init__(self, answer: Callable[[h11.Request, bytes], Answer], *, server: str) -> None:
        self.over = False  # the connection is to be closed
        self._answer: Final = answer
        self._server: Final = server
        self._http: Final = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body = bytearray()

    def receive(self, data: bytes) -> list[bytes]:
        """The responses to all requests that are complete now."""
        responses: list[bytes] = []
        try:
            self._http.receive_data(data)
            while not self.over and (response := self._next()) is not None:
                if response:
                    responses.append(response)
        except h11.RemoteProtocolError as error:
            self.over = True
            if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                status = HTTPStatus(error.error_status_hint)
                responses.append(self._send((status, [("Content-Type", PLAIN)], f"{status.phrase}\n")))
        return responses

    def _next(self) -> bytes | None:
        """What one step sends, b"" for nothing; None when more has to be heard."""
        happening = self._http.next_event()
        if isinstance(happening, h11.Request):
            self._request = happening
            self._body.clear()
        elif isinstance(happening, h11.Data):
            self._body += happening.data
            if len(self._body) > LARGEST_BODY:
                self.over = True
                large = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
                return self._send((large, [("Content-Type", PLAIN)], f"{large.phrase}\n"))
        elif isinstance(happening, h11.EndOfMessage):
            return self._finish()
        elif isinstance(happening, h11.ConnectionClosed):
            self.over = True
        elif self._http.they_are_waiting_for_100_continue:
            return self._http.send(h11.InformationalResponse(status_code=100, headers=[]))
        else:
            return None
        return b""

    def _finish(self) -> bytes:
        assert self._request is not None
        response = self._send(self._answer(self._request, bytes(self._body)))
        if self._http.our_state is h11.MUST_CLOSE:
            self.over = True
        else:
            self._http.start_next_cycle()
        return response

    def _send(self, answer: Answer) -> bytes:
        status, headers, text = answer
        body = text.encode()
        shown = [("Server", self._server), *headers]
        if status is not HTTPStatus.NO_CONTENT:
            shown.append(("Content-Length", str(len(body))))
        head = h11.Response(status_code=status.value, reason=status.phrase, headers=shown)
        parts = [self._http.send(head)]
        if body and status is not HTTPStatus.NO_CONTENT:
            parts.append(self._http.send(h11.Data(data=body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)


class HttpConversation:
    """What a device answers."""

    def __init__(self, device: Device) -> None:
        self._device: Final = device
        self._exchanges: Final = Exchanges(self._answer, server="nginx")

    @property
    def over(self) -> bool:
        """Whether the connection is to be closed."""
        return self._exchanges.over

    def receive(self, data: bytes) -> list[bytes]:
        """The responses to all requests that are complete now."""
        return [] if self._device.faults.silent else self._exchanges.receive(data)

    def _answer(self, request: h11.Request, body: bytes) -> Answer:
        device = self._device
        url = urlsplit(request.target.decode("ascii", errors="replace"))
        method = request.method.decode("ascii")
        if device.down:
            return _plain(HTTPStatus.BAD_GATEWAY)
        if device.faults.http_status is not None:
            return _plain(HTTPStatus(device.faults.http_status))
        if not device.offers("http"):
            return _plain(HTTPStatus.NOT_FOUND)
        if refusal := self._refused(request, method, url.path):
            return refusal
        device.on_change()
        match method, url.path:
            case "POST", "/xmlapi/session/begin":
                cookie = f"{COOKIE}={device.begin_session()}; Path=/; HttpOnly; Secure; SameSite=Lax"
                return HTTPStatus.NO_CONTENT, [("Set-Cookie", cookie)], ""
            case "POST", "/xmlapi/session/end":
                device.end_session(_cookie(request))
                return HTTPStatus.NO_CONTENT, [("Set-Cookie", f"{COOKIE}=; Path=/; Max-Age=0")], ""
            case "GET", "/getxml":
                [location] = parse_qs(url.query).get("location", [""])[:1]
                return _xml(documents.read(device, location))
            case "GET", "/status.xml":
                return _xml(documents.whole(device, "Status"))
            case "GET", "/configuration.xml":
                return _xml(documents.whole(device, "Configuration"))
            case "POST", "/putxml":
                status, text = documents.put(device, body)
                return _xml(text) if status is HTTPStatus.OK else (status, [("Content-Type", PLAIN)], text)
            case _, "/getxml" | "/status.xml" | "/configuration.xml" | "/putxml":
                return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
            case _:
                return _plain(HTTPStatus.NOT_FOUND)

    def _refused(self, request: h11.Request, method: str, path: str) -> Answer | None:
        """Who may not: nobody without a session's cookie or the right password."""
        device = self._device
        begins = (method, path) == ("POST", "/xmlapi/session/begin")
        if not begins and _cookie(request) in device.sessions:
            return None
        user, password = _basic(header(request, "authorization"))
        if device.sessions_full:
            return _plain(HTTPStatus(device.faults.exhausted_status))
        if user and device.admits(user, password):
            return None
        return (
            HTTPStatus.UNAUTHORIZED,
            [("WWW-Authenticate", REALM), ("Content-Type", PLAIN)],
            "Unauthorized\n",
        )


def header(request: h11.Request, name: str) -> str:
    """The first header of this lower-case name, or "" where there is none."""
    values = [value for key, value in request.headers if key == name.encode()]
    return values[0].decode("latin-1") if values else ""


def _cookie(request: h11.Request) -> str:
    for crumb in header(request, "cookie").split(";"):
        name, _, value = crumb.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def _xml(text: str) -> Answer:
    return HTTPStatus.OK, [("Content-Type", XML)], text


def _plain(status: HTTPStatus) -> Answer:
    return status, [("Content-Type", PLAIN)], f"{status.value} {status.phrase}\n"


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
