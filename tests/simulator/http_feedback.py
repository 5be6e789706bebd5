"""A device's HttpFeedback: four slots, what they are told, and when a receiver is given up."""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

import h11

from tests.simulator import printing
from tests.simulator.firmware import Path, Scalar
from tests.simulator.language import (
    COMMAND_ERROR,
    Leaf,
    Pattern,
    Refused,
    covers,
    pattern_of,
    plant,
    steps_of,
)

if TYPE_CHECKING:
    from tests.simulator.device import Device
    from tests.simulator.faults import Junk

RETRIES: Final = 10  # then the slot is deactivated
READS_TOO_SLOWLY: Final = 100  # posts that wait
FORGOTTEN_BEYOND: Final = 10_000  # posts that wait; the oldest go
HUGE: Final = 10 * 1024 * 1024
ACCEPT: Final = "text/*, application/octet-stream, image/*, audio/*"
TYPES: Final = {"XML": "text/xml; charset=utf-8", "JSON": "application/json"}

Work = Coroutine[None, None, None]


class _Unheard(Exception):
    """Nobody took the post."""


@dataclass(slots=True, kw_only=True, eq=False)
class Slot:
    """One registration."""

    number: int
    url: SplitResult
    format: str
    expressions: tuple[str, ...]
    patterns: tuple[Pattern, ...]
    active: bool = True
    waiting: deque[bytes] = field(default_factory=deque)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    poster: "asyncio.Task[None] | None" = None

    def covers(self, leaf: Leaf) -> bool:
        return any(covers(pattern, leaf[0]) for pattern in self.patterns)


class HttpFeedback:
    """All slots of a device; hears what changes like any other line."""

    def __init__(self, device: "Device") -> None:
        self.posted = 0  # that were answered with 2xx
        self.retry_rest_s = 1.0
        self.answer_within_s = 5.0
        self.own: Callable[[Work, str], asyncio.Task[None]] | None = None  # set by the site
        self.trust: Callable[[], ssl.SSLContext] = ssl.create_default_context  # set by the site
        self._device: Final = device
        self._slots: Final[dict[int, Slot]] = {}

    @property
    def paused(self) -> bool:
        return any(len(slot.waiting) > READS_TOO_SLOWLY for slot in self._slots.values())

    @property
    def subscriptions(self) -> int:
        return sum(len(slot.expressions) for slot in self._slots.values())

    # What commands do

    @property
    def urls(self) -> Sequence[SplitResult]:
        """Where it calls, by the number of the slot."""
        return [slot.url for _, slot in sorted(self._slots.items())]

    def register(self, number: int, url: str, expressions: Sequence[str], format_: str = "XML") -> None:
        """Takes a slot, whoever had it before."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused(COMMAND_ERROR, "Invalid ServerUrl", {"Cause": 1})
        self.deregister(number)
        patterns = [pattern_of(steps_of((expression,))) for expression in expressions]
        slot = Slot(
            number=number,
            url=parts,
            format=format_,
            expressions=tuple(expressions),
            patterns=tuple(patterns),
        )
        self._slots[number] = slot
        values: dict[Path, Scalar] = {
            _path(number, "Expression", index): expression
            for index, expression in enumerate(expressions, start=1)
        }
        values[_path(number, "Format")] = format_
        values[_path(number, "Status")] = "OK"
        values[_path(number, "URL")] = url
        if self.own is not None:
            slot.poster = self.own(self._post_all(slot), f"HttpFeedback {number} of {self._device.room}")
        self._device.lines.add(self)
        self._device.set_status(values)
        self._device.on_change()

    def deregister(self, number: int) -> None:
        slot = self._slots.pop(number, None)
        if slot is None:
            return
        if slot.poster is not None:
            slot.poster.cancel()
        self._device.forget_status(("Status", "HttpFeedback", number))
        if not self._slots:
            self._device.lines.discard(self)
        self._device.on_change()

    def enable(self, number: int) -> None:
        """Brings a deactivated slot back."""
        slot = self._slots.get(number)
        if slot is None:
            raise Refused(COMMAND_ERROR, "No such slot", {"Cause": 1})
        slot.active = True
        self._device.set_status({_path(number, "Status"): "OK"})

    # What goes wrong

    def deactivate(self) -> None:
        """All slots, as after too many failures."""
        for slot in self._slots.values():
            self._give_up(slot)

    def forget(self) -> None:
        """All registrations."""
        for number in list(self._slots):
            self.deregister(number)

    def post_as_stranger(self, serial: str = "FOC00STRANGER") -> None:
        """A post with somebody else's serial number."""
        leaves: list[Leaf] = [(("Status", "RoomAnalytics", "PeopleCount", "Current"), 99)]
        for slot in self._slots.values():
            self._enqueue(slot, self._body(slot, leaves, serial=serial))

    def post_huge(self) -> None:
        leaves: list[Leaf] = [(("Event", "UserInterface", "Message", "Echo", "Text"), "x" * HUGE)]
        for slot in self._slots.values():
            self._enqueue(slot, self._body(slot, leaves))

    # What the device calls

    def feed(self, leaves: Sequence[Leaf]) -> None:
        faults = self._device.faults
        for slot in list(self._slots.values()):
            heard = [leaf for leaf in leaves if slot.covers(leaf)]
            if not heard or not slot.active:
                continue
            if faults.drop_frames:
                faults.drop_frames -= 1 if faults.drop_frames > 0 else 0
                continue
            self._device.frames_sent += 1
            for _ in range(2 if faults.duplicate_frames else 1):
                self._enqueue(slot, self._body(slot, heard))

    def count(self, people: int) -> int:
        leaf: Leaf = (("Status", "RoomAnalytics", "PeopleCount", "Current"), people)
        told = [slot for slot in self._slots.values() if slot.active and slot.covers(leaf)]
        for slot in told:
            self._enqueue(slot, self._body(slot, [leaf]))
        return len(told)

    def close_shell(self) -> None:
        """Is none."""

    def send_junk(self, kind: "Junk") -> None:
        match kind:
            case "huge":
                self.post_huge()
            case "binary":
                self._post_raw(bytes(range(256)))
            case "text":
                self._post_raw(b"*r Login successful")
            case "deep":
                self._post_raw(b"<Status>" * 100_000)
            case "array":
                self._post_raw(b'[{"Status":{}}]')
            case "truncated":
                self._post_raw(b"<Status>\n  <Identification>\n    <Ser")
            case "unknown_node":
                self._post_leaves([(("Status", "Coffee", "Temperature"), 93)])
            case "unknown_event":
                self._post_leaves([(("Event", "Bookings", "Celebrated", "Id"), "webex-1")])
            case "unknown_reply":
                self._post_raw(b"<Command><DialResult status='OK'/></Command>")

    # Inside

    def _post_raw(self, body: bytes) -> None:
        for slot in self._slots.values():
            self._enqueue(slot, body)

    def _post_leaves(self, leaves: Sequence[Leaf]) -> None:
        for slot in self._slots.values():
            self._enqueue(slot, self._body(slot, leaves))

    def _enqueue(self, slot: Slot, body: bytes) -> None:
        slot.waiting.append(body)
        if len(slot.waiting) > FORGOTTEN_BEYOND:
            slot.waiting.popleft()
        slot.wanted.set()

    def _body(self, slot: Slot, leaves: Sequence[Leaf], *, serial: str = "") -> bytes:
        tree: dict[str, Any] = {}
        for root, inner in plant(printing.without_ids(leaves)).items():
            below = inner if isinstance(inner, Mapping) else {}
            tree[root] = {"Identification": self._identification(serial), **below}
        firmware = self._device.firmware
        if slot.format == "JSON":
            return printing.json_text(printing.shell_tree(tree, firmware), compact=True).encode()
        return printing.xml_text(tree, firmware).encode()

    def _identification(self, serial: str) -> dict[str, str]:
        device = self._device
        return {
            "SystemName": str(device.config("SystemUnit", "Name") or ""),
            "MACAddress": str(device.status("Network", 1, "Ethernet", "MacAddress") or ""),
            "IPAddress": device.host,
            "IPAddressV6": "",
            "ProductType": str(device.status("SystemUnit", "ProductType")),
            "ProductID": str(device.status("SystemUnit", "ProductId")),
            "SWVersion": str(device.status("SystemUnit", "Software", "Version")),
            "SerialNumber": serial or device.serial,
        }

    def _give_up(self, slot: Slot) -> None:
        slot.active = False
        slot.waiting.clear()
        self._device.set_status({_path(slot.number, "Status"): "Failed"})
        self._device.on_change()

    async def _post_all(self, slot: Slot) -> None:
        """One post after the other, for as long as the slot is registered."""
        receiver = _Receiver(slot.url, self._device.host)
        try:
            while True:
                await slot.wanted.wait()
                while slot.waiting:
                    body = slot.waiting[0]
                    if not await self._deliver(receiver, slot, body):
                        self._give_up(slot)
                    elif slot.waiting and slot.waiting[0] is body:
                        slot.waiting.popleft()
                        self.posted += 1
                        self._device.on_change()
                slot.wanted.clear()
        finally:
            receiver.close()

    async def _deliver(self, receiver: "_Receiver", slot: Slot, body: bytes) -> bool:
        """Whether it was taken, at the latest at the last of the retries."""
        for attempt in range(1 + RETRIES):
            if attempt:
                await asyncio.sleep(self.retry_rest_s)
            try:
                async with asyncio.timeout(self.answer_within_s):
                    status = await receiver.post(body, TYPES[slot.format], self._context(slot))
            except (_Unheard, OSError, TimeoutError):
                receiver.close()
                continue
            if 200 <= status < 300:
                return True
            if not self._device.faults.retries_refused_posts:
                return False
        return False

    def _context(self, slot: Slot) -> ssl.SSLContext | None:
        if slot.url.scheme == "http":
            return None
        if self._device.config("HttpFeedback", "TlsVerify") != "Off":
            return self.trust()
        careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        careless.check_hostname = False
        careless.verify_mode = ssl.CERT_NONE
        return careless


class _Receiver:
    """A connection to whom a slot posts, kept from post to post."""

    def __init__(self, url: SplitResult, source: str) -> None:
        self._url: Final = url
        self._source: Final = source
        self._http = h11.Connection(h11.CLIENT)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def close(self) -> None:
        if self._streams is not None:
            with contextlib.suppress(RuntimeError):  # the loop may be over
                self._streams[1].transport.abort()
            self._streams = None

    async def post(self, body: bytes, kind: str, context: ssl.SSLContext | None) -> int:
        """The status of the response."""
        if self._streams is not None:
            try:
                return await self._exchange(body, kind)
            except (_Unheard, OSError):
                self.close()  # it was closed while nothing was to be said
        port = self._url.port or (443 if context else 80)
        self._http = h11.Connection(h11.CLIENT)
        self._streams = await asyncio.open_connection(
            self._url.hostname, port, ssl=context, local_addr=(self._source, 0)
        )
        return await self._exchange(body, kind)

    async def _exchange(self, body: bytes, kind: str) -> int:
        assert self._streams is not None
        reader, writer = self._streams
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        request = h11.Request(
            method="POST",
            target=target,
            headers=[
                ("Host", self._url.netloc.rpartition("@")[2]),
                ("User-Agent", "Cisco/CE"),
                ("Accept", ACCEPT),
                ("Content-Type", kind),
                ("Content-Length", str(len(body))),
            ],
        )
        try:
            for part in (request, h11.Data(data=body), h11.EndOfMessage()):
                writer.write(self._http.send(part) or b"")
            await writer.drain()
            status = 0
            while True:
                happening = self._http.next_event()
                if happening is h11.NEED_DATA:
                    self._http.receive_data(await reader.read(65536))
                elif isinstance(happening, h11.Response):
                    status = happening.status_code
                elif isinstance(happening, h11.EndOfMessage):
                    break
                elif isinstance(happening, h11.ConnectionClosed):
                    raise _Unheard
        except (h11.ProtocolError, ssl.SSLError) as error:
            raise _Unheard from error
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self.close()
        return status


def _path(number: int, *names: int | str) -> Path:
    return ("Status", "HttpFeedback", number, *names)
