"""Writes down a conversation with a device as it happens, with everything replaced that is nobody's business.

A recording is text, a JSON value on each line. The first is the header; after it each has `at`, in seconds
since the recording began, and one more member that says what happened:

    {"format": "roomd recording", "version": 1, "began_at": …, "transport": …, "product": …, "firmware": …}
    {"at": 0.0, "opened": "websocket"}
    {"at": 0.0, "sent": {"id": 1, "method": "xGet", "params": {"Path": ["Status", "SystemUnit"]}}}
    {"at": 0.01, "reply": {"id": 1, "result": …}}
    {"at": 0.02, "refusal": {"id": 2, "code": -32601, "message": …}}
    {"at": 4.2, "feedback": {"Event": …}}
    {"at": 9.9, "lost": "DeviceUnreachable"}       the line broke, or could not be opened again
    {"at": 600.0, "ended": true}                   the recording was ended, and is whole

Numbers of calls begin anew with each `opened`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

import msgspec

from agent.core.model import Device, DeviceId
from device_adapters.conversation import Conversation, Dial
from device_adapters.errors import DeviceError
from device_adapters.xapi import requests
from device_adapters.xapi.messages import Call, CallId, Feedback, Refusal, Reply, XapiMessage
from device_adapters.xapi.redaction import Redaction

FORMAT = "roomd recording"
VERSION = 1

_encode = msgspec.json.Encoder(order="sorted").encode


class Recorder:
    """Dials as another dial does, and writes down what is said; see `Dial`."""

    def __init__(
        self,
        dial: Dial,
        write: Callable[[bytes], object],
        *,
        began_at: datetime,
        elapsed: Callable[[], float],
        zones: frozenset[str],
    ) -> None:
        """`write` takes a line, with its end, and may raise OSError, which ends the conversation.

        `began_at` is when the recording began, with its zone; `elapsed` tells how long ago, in seconds;
        `zones` are the names of time zones that there are.
        """
        self.counts: Counter[str] = Counter()  # lines by what happened: "sent", "reply", …
        self.product: str | None = None
        self.firmware: str | None = None
        self.transport: str | None = None
        self._dial = dial
        self._write = write
        self._elapsed = elapsed
        self._redaction = Redaction(began_at=began_at, zones=zones)
        self._waiting: list[bytes] | None = []  # for the header, which says who the device is

    def forget(self, device: DeviceId) -> None:
        """As the dial does."""
        self._dial.forget(device)

    @contextlib.asynccontextmanager
    async def __call__(
        self, device: Device, door: AbstractAsyncContextManager[object]
    ) -> AsyncIterator[Conversation]:
        """Open a conversation that is written down; DeviceError if there can be none now."""
        try:
            async with self._dial(device, door) as line:
                self.transport = line.transport
                self._happened("opened", line.transport)
                yield _Recorded(line, self)
        except DeviceError as error:
            if self.counts["opened"]:  # else there is nothing to tell but that
                self._happened("lost", type(error).__name__)  # its text may tell of hosts and users
                self._begin()
            raise

    def end(self) -> None:
        """The recording is whole; nothing at all is written where no line ever stood."""
        if self.counts["opened"]:
            self._happened("ended", True)  # noqa: FBT003 - what is written
            self._begin()

    # ── what conversations tell ──

    def sent(self, number: CallId, call: Call) -> None:
        """A call went out."""
        call = self._redaction.call(call)
        self._happened("sent", {"id": number, "method": call.method, "params": call.params})

    def heard(self, message: XapiMessage, asked: Call | None) -> None:
        """A message came; `asked` is what it answers."""
        match self._redaction.message(message, asked=asked):
            case Feedback(tree):
                self._happened("feedback", tree)
            case Refusal(number, code, words):
                self._happened("refusal", {"id": number, "code": code, "message": words})
            case Reply(number, result):
                self._happened("reply", {"id": number, "result": result})
                if asked is not None and _about_itself(asked):
                    self._meet(result)

    # ── writing ──

    def _happened(self, what: str, value: object) -> None:
        self.counts[what] += 1
        line = _encode({"at": round(self._elapsed(), 3), what: value}) + b"\n"
        if self._waiting is None:
            self._write(line)
        else:
            self._waiting.append(line)

    def _meet(self, system_unit: object) -> None:
        unit = system_unit if isinstance(system_unit, Mapping) else {}
        software = unit.get("Software")
        software = software if isinstance(software, Mapping) else {}
        self.product = _text(unit.get("ProductId"))
        self.firmware = _text(software.get("Version")) or _text(software.get("DisplayName"))
        self._begin()

    def _begin(self) -> None:
        """Write the header and what waited for it."""
        if self._waiting is None:
            return
        header = {
            "format": FORMAT,
            "version": VERSION,
            "began_at": self._redaction.began_at.isoformat(timespec="milliseconds"),
            "transport": self.transport,
            "product": self.product,
            "firmware": self.firmware,
        }
        waiting, self._waiting = self._waiting, None
        self._write(msgspec.json.encode(header) + b"\n")
        for line in waiting:
            self._write(line)


class _Recorded:
    """A conversation that is written down; see `Conversation`."""

    __slots__ = ("_asked", "_line", "_recorder", "transport", "why")

    def __init__(self, line: Conversation, recorder: Recorder) -> None:
        self.transport = line.transport
        self.why = line.why
        self._line = line
        self._recorder = recorder
        self._asked: dict[CallId, Call] = {}

    @property
    def held_s(self) -> float:
        """As the line does."""
        return self._line.held_s

    def greeting(self) -> AbstractAsyncContextManager[object]:
        """As the line does."""
        return self._line.greeting()

    def send(self, call: Call) -> CallId:
        """As the line does."""
        number = self._line.send(call)
        self._asked[number] = call
        self._recorder.sent(number, call)
        return number

    async def hear(self, until: float) -> Sequence[XapiMessage]:
        """As the line does."""
        messages = await self._line.hear(until)
        for message in messages:
            asked = None if isinstance(message, Feedback) else self._asked.pop(message.id, None)
            self._recorder.heard(message, asked)
        return messages


def _about_itself(call: Call) -> bool:
    path = call.params.get("Path")
    return isinstance(path, Sequence) and tuple(path) == requests.WHO_ARE_YOU


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
