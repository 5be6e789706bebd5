"""One client's WebSocket: the handshake, frames both ways, and all that can go wrong there."""

import asyncio
import base64
import binascii
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from tests.simulator.conversation import Conversation
from tests.simulator.device import PEOPLE, Device, Service
from tests.simulator.faults import Cut, Junk
from tests.simulator.http import HttpConversation
from tests.simulator.language import BINARY, Leaf, encode, fragments, frame

REORDER_WITHIN_S: Final = 0.05  # a reply waits so long for another one to overtake it
TOO_FAR_BEHIND: Final = 64 * 1024 * 1024  # bytes; a device gives up on a client that does not read
LONGEST_HEAD: Final = 64 * 1024
HUGE: Final = 10 * 1024 * 1024
DEEP: Final = 100_000

_quiet: Final = logging.getLogger("tests.simulator.wire")
_quiet.setLevel(logging.CRITICAL)


class Line(asyncio.Protocol):
    """A connection to one device."""

    def __init__(self, device: Device) -> None:
        self.paused = False  # the client reads too slowly
        self.service: Service = "websocket"
        self.held = False
        self._device: Final = device
        self._transport: asyncio.Transport | None = None
        self._websocket: Final = ServerProtocol(max_size=16 * 1024 * 1024, logger=_quiet)
        self._conversation: Conversation | None = None
        self._http: HttpConversation | None = None
        self._first: bytes | None = b""  # what came before it is clear what this will be
        self._pieces: list[bytes] = []
        self._waiting_reply: bytes | None = None
        self._batch: list[bytes] = []
        self._counting: list[tuple[bytes, bytes]] | None = None  # pre-encoded, around the people count

    @property
    def subscriptions(self) -> int:
        return self._conversation.subscriptions if self._conversation else 0

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        self._device.visitors.add(self)
        if self._device.holding:
            self.hold()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._device.visitors.discard(self)
        self._device.lines.discard(self)
        self._device.on_change()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def eof_received(self) -> None:
        if self._http is not None or self._first is not None:
            return
        self._websocket.receive_eof()
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self.held:
            return  # the few bytes that were under way when the device hung
        if self._first is not None:
            self._first += data
            if not self._is_clear(self._first):
                return
            data, self._first = self._first, None
        if self._http is not None:
            self._answer(self._http, data)
            return
        self._websocket.receive_data(data)
        self._flush()
        for happening in self._websocket.events_received():
            if isinstance(happening, Request):
                self._greet(happening)
            elif isinstance(happening, Frame):
                self._hear(happening)

    # What the device calls

    def feed(self, leaves: Sequence[Leaf]) -> None:
        """Sends changes to the client, as far as it wants them and the faults let them through."""
        if self._conversation is not None:
            self._tell(self._conversation.feedback(leaves))

    def count(self, people: int) -> int:
        """The fast way for floods: a pre-encoded people count; returns how many frames that made."""
        templates = self._counting
        if templates is None:
            templates = self._counting = self._templates()
        transport = self._transport
        if transport is None or self.held or not templates:
            return 0
        number = b"%d" % people
        for before, after in templates:
            size = len(before) + len(number) + len(after)
            head = b"\x81" + bytes((size,)) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")
            transport.write(b"".join((head, before, number, after)))
        return len(templates)

    def forget(self) -> None:
        """Loses the subscriptions, without a word."""
        if self._conversation is not None:
            self._conversation.forget()
        self._counting = None

    def close_shell(self) -> None:
        """Is none."""

    def cut(self, how: Cut) -> None:
        transport, self._transport = self._transport, None
        if transport is None:
            return
        match how:
            case "reset":
                linger_not(transport)
                transport.abort()
            case "close":
                self._transport = transport
                with contextlib.suppress(Exception):  # the handshake may not be over
                    self._websocket.send_close(1000)
                self._flush()
                transport.close()
            case "end":
                transport.close()

    def drop(self) -> None:
        """At once and without a word; for the end of the site."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def hold(self) -> None:
        """TCP stays; nothing is read or written any more."""
        self.held = True
        if self._transport is not None:
            self._transport.pause_reading()

    def let_go(self) -> None:
        if self.held:
            self.held = False
            if self._transport is not None:
                self._transport.resume_reading()

    def send_junk(self, kind: Junk) -> None:
        match kind:
            case "text":
                self._write(frame(b"*r Login successful\r\nOK"))
            case "binary":
                self._write(frame(bytes(range(256)), BINARY))
            case "huge":
                padding = "x" * HUGE
                body = {"Id": 1, "Status": {"SystemUnit": {"Padding": padding}}}
                self._write(frame(encode({"jsonrpc": "2.0", "method": "xFeedback/Event", "params": body})))
            case "deep":
                self._write(frame(b'{"jsonrpc":"2.0","params":' + b"[" * DEEP + b"]" * DEEP + b"}"))
            case "array":
                self._write(frame(b'[{"id":1,"jsonrpc":"2.0","result":true}]'))
            case "truncated":
                self._write(frame(b'{"jsonrpc":"2.0","method":"xFeedback/Event","params":{"Id":1,"Sta'))
            case "unknown_node":
                self._write(frame(_event({"Status": {"Coffee": {"Temperature": 93}}})))
            case "unknown_event":
                self._write(frame(_event({"Event": {"Bookings": {"Celebrated": {"Id": "webex-1"}}}})))
            case "unknown_reply":
                self._write(frame(b'{"id":"nobody-asked","jsonrpc":"2.0","result":{"status":"OK"}}'))

    # Inside

    def _is_clear(self, first: bytes) -> bool:
        """Whether the head of the first request is there; it tells a WebSocket from plain HTTP."""
        head, ended, _ = first.partition(b"\r\n\r\n")
        if not ended and len(first) < LONGEST_HEAD:
            return False
        target = head.split(b" ", 2)[1:2]
        if target != [b"/ws"] and b"\nupgrade: websocket" not in head.lower():
            self.service = "http"
            self._http = HttpConversation(self._device)
        return True

    def _answer(self, http: HttpConversation, data: bytes) -> None:
        delay_s = self._device.faults.reply_delay_s
        for response in http.receive(data):
            if delay_s > 0:
                asyncio.get_running_loop().call_later(delay_s, self._write, response)
            else:
                self._write(response)
        if http.over and self._transport is not None:
            asyncio.get_running_loop().call_later(delay_s, self._transport.close)

    def _greet(self, request: Request) -> None:
        status, protocol = self._admit(request)
        if status is None:
            response = self._websocket.accept(request)
            if protocol and response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
                response.headers["Sec-WebSocket-Protocol"] = protocol
        else:
            response = self._refuse(status)
        self._websocket.send_response(response)
        self._flush()
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._conversation = Conversation(self._device)
            self._device.lines.add(self)
            self._device.on_change()

    def _admit(self, request: Request) -> tuple[HTTPStatus | None, str]:
        if self._device.faults.handshake_status is not None:
            return HTTPStatus(self._device.faults.handshake_status), ""
        if self._device.down:
            return HTTPStatus.BAD_GATEWAY, ""
        enabled = self._device.config("NetworkServices", "Websocket") != "Off"
        if request.path != "/ws" or not enabled:
            return HTTPStatus.NOT_FOUND, ""
        user, password, protocol = _credentials(request.headers)
        return (None, protocol) if self._device.admits(user, password) else (HTTPStatus.FORBIDDEN, "")

    def _refuse(self, status: HTTPStatus) -> Response:
        response = self._websocket.reject(status, f"{status.value} {status.phrase}\n")
        response.headers["Server"] = "nginx"
        if status is HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="CISCO-Endpoint"'
        return response

    def _hear(self, happening: Frame) -> None:
        if happening.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        self._pieces.append(bytes(happening.data))
        if not happening.fin:
            return
        text = b"".join(self._pieces)
        self._pieces.clear()
        if self._conversation is None or self._device.faults.silent:
            return
        reply, feedback = self._conversation.receive(text)
        self._counting = None
        self._device.on_change()
        if self._device.faults.notify_first:
            self._tell(feedback)
            self._reply(reply)
        else:
            self._reply(reply)
            self._tell(feedback)

    def _reply(self, reply: bytes | None) -> None:
        faults = self._device.faults
        if faults.unknown_replies:
            self.send_junk("unknown_reply")
        if reply is None:
            return
        if faults.reply_delay_s > 0:
            asyncio.get_running_loop().call_later(faults.reply_delay_s, self._write, frame(reply))
        elif faults.reorder_replies and self._waiting_reply is None:
            self._waiting_reply = reply
            asyncio.get_running_loop().call_later(REORDER_WITHIN_S, self._release_reply)
        else:
            self._write(frame(reply))
            self._release_reply()

    def _release_reply(self) -> None:
        reply, self._waiting_reply = self._waiting_reply, None
        if reply is not None:
            self._write(frame(reply))

    def _tell(self, texts: Sequence[bytes]) -> None:
        faults = self._device.faults
        for text in texts:
            if faults.drop_frames:
                faults.drop_frames -= 1 if faults.drop_frames > 0 else 0
                continue
            wrapped = fragments(text) if faults.fragmented else frame(text)
            self._device.frames_sent += 1
            copies = wrapped * 2 if faults.duplicate_frames else wrapped
            if faults.batch_s > 0:
                self._batch.append(copies)
                if len(self._batch) == 1:
                    asyncio.get_running_loop().call_later(faults.batch_s, self._release_batch)
            else:
                self._write(copies)

    def _release_batch(self) -> None:
        batch, self._batch = self._batch, []
        self._write(b"".join(batch))

    def _write(self, data: bytes) -> None:
        if self._transport is None or self.held or not data:
            return
        if self._transport.get_write_buffer_size() > TOO_FAR_BEHIND:
            self._transport.abort()
            return
        self._transport.write(data)

    def _flush(self) -> None:
        """Sends what the protocol core wants sent: handshakes, pongs, the closing."""
        for data in self._websocket.data_to_send():
            if self._transport is None or self.held:
                return
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    def _templates(self) -> list[tuple[bytes, bytes]]:
        if self._conversation is None:
            return []
        mark = 987654321
        texts = [_event(_nested(PEOPLE, mark), number) for number in self._conversation.counting]
        pairs = [text.split(str(mark).encode()) for text in texts]
        return [(before, after) for before, after in pairs]


def _nested(path: tuple[int | str, ...], value: int) -> dict[str, object]:
    body: object = value
    for step in reversed(path):
        body = {str(step): body}
    assert isinstance(body, dict)
    return body


def _event(body: dict[str, object], subscription: int = 1) -> bytes:
    return encode({"jsonrpc": "2.0", "method": "xFeedback/Event", "params": {"Id": subscription, **body}})


def _credentials(headers: Headers) -> tuple[str, str, str]:
    """User, password, and the subprotocol to echo, from either way of saying who one is."""
    offered = [name.strip() for name in headers.get("Sec-WebSocket-Protocol", "").split(",")]
    for protocol in offered:
        if protocol.startswith("auth-"):
            encoded = protocol.removeprefix("auth-")
            padded = encoded + "=" * (-len(encoded) % 4)
            return *_decoded(padded.replace("-", "+").replace("_", "/")), protocol
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        return *_decoded(encoded.strip()), ""
    return "", "", ""


def _decoded(encoded: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


class Endpoint(Protocol):
    """Something with a socket below."""

    def get_extra_info(self, name: str, default: object = None) -> Any: ...  # noqa: ANN401 -- as asyncio has it


def linger_not(connection: Endpoint) -> None:
    """Makes the kernel send RST instead of FIN when the socket is closed."""
    endpoint = connection.get_extra_info("socket")
    if endpoint is None:
        return
    with socket.socket(fileno=os.dup(endpoint.fileno())) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
