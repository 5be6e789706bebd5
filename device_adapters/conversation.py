"""What a line to a device looks like to those who use it, whether it is WebSocket, SSH, HTTP or the cloud."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from agent.core.model import Device, DeviceId
from device_adapters.xapi.messages import Call, CallId, XapiMessage


class Conversation(Protocol):
    """A line that stands. Answers and feedback come out of it in the order in which the device said them.

    Nobody reads ahead: while `hear` is not awaited, little is taken from the network, and the device waits.
    """

    transport: str  # "websocket", "ssh", "http" or "cloud"
    why: str | None  # it is not a better one

    @property
    def held_s(self) -> float:
        """For how long it made calls wait, or bounded them, by itself (s): the device owes nothing then."""

    def greeting(self) -> AbstractAsyncContextManager[object]:
        """What to greet the device in: who shares a narrow line comes in when it is his turn."""

    def send(self, call: Call) -> CallId:
        """Ask without waiting; many calls may be under way. Their answers come out of `hear`."""

    async def hear(self, until: float) -> Sequence[XapiMessage]:
        """What has come, at least one message; or nothing, when the loop's clock (s) says `until`.

        Not counted is by how much `held_s` grew meanwhile.
        DeviceError as soon as the line is known to be broken, or what came cannot be read.
        """


class AtOnce:
    """For lines that one device has for itself: whatever is sent leaves at once."""

    __slots__ = ()

    @property
    def held_s(self) -> float:
        """Nothing is held back."""
        return 0.0

    def greeting(self) -> AbstractAsyncContextManager[object]:
        """Nobody else waits for his turn."""
        return nullcontext()


class Dial(Protocol):
    """Opens lines to devices."""

    def __call__(
        self, device: Device, door: AbstractAsyncContextManager[object]
    ) -> AbstractAsyncContextManager[Conversation]:
        """A conversation, closed by who opened it.

        `door` is passed once the device has answered at all, so that dead ones do not keep others waiting.
        DeviceError if there can be no conversation now.
        """

    def forget(self, device: DeviceId) -> None:
        """Drop what was learned of a device that is not ours any more."""
