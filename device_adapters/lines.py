"""Which line to a device: the best that it offers, another while that fails, and back to the better one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import structlog

from agent.core.model import Device, DeviceId, Transport
from device_adapters.conversation import Conversation, Dial
from device_adapters.errors import (
    BetterLine,
    CertificateRefused,
    DeviceBusy,
    DeviceError,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PasswordRefused,
    ServiceOff,
)
from device_adapters.lifecycle import Rest, spread
from device_adapters.xapi.messages import Call, CallId, Feedback, XapiMessage

log = structlog.get_logger()

# After these, another line may do. Not after a refused password, which each further line would refuse again
# and so lock the account, and not while the device starts: it has all its lines in a minute.
ANOTHER_MAY_DO = (DeviceUnreachable, ServiceOff, DeviceTalksNonsense, DeviceBusy, CertificateRefused)

_Failure = tuple[type[DeviceError], str]  # not the error itself, which would keep its frames

LOOK_AGAIN = Rest(first_s=300.0, longest_s=3600.0)  # each look is a log-in


class Lines:
    """Dials devices over the lines that each may have, in its order; remembers which one worked."""

    def __init__(self, dials: Mapping[Transport, Dial], *, look_again: Rest = LOOK_AGAIN) -> None:
        """`look_again`: how often a device that is heard over a worse line is asked for a better one."""
        self._dials = dials
        self._look_again = look_again
        self._kept: dict[DeviceId, Transport] = {}
        self._failed: dict[DeviceId, dict[Transport, _Failure]] = {}

    def forget(self, device: DeviceId) -> None:
        """Drop what was learned of a device."""
        self._kept.pop(device, None)
        self._failed.pop(device, None)
        for dial in self._dials.values():
            dial.forget(device)

    @contextlib.asynccontextmanager
    async def __call__(
        self, device: Device, door: AbstractAsyncContextManager[object]
    ) -> AsyncIterator[Conversation]:
        """A conversation over the first line that stands; DeviceError, with each line's why, if none does."""
        offered = _offered(device)
        failed = self._failed.setdefault(device.id, {})
        kept = self._kept.get(device.id)
        async with AsyncExitStack() as standing:
            for transport in sorted(offered, key=lambda one: one is not kept):
                try:
                    line = await standing.enter_async_context(self._dials[transport](device, door))
                except ANOTHER_MAY_DO as error:
                    failed[transport] = type(error), str(error)
                else:
                    break
            else:
                self._kept.pop(device.id, None)
                raise _none_stands({transport: failed[transport] for transport in offered})
            self._kept[device.id] = transport
            better = {one: failed.get(one) for one in offered[: offered.index(transport)]}
            if not better:
                failed.clear()
                yield line
            else:
                look = _Look(device, {one: self._dials[one] for one in better}, failed, self._look_again)
                try:
                    yield Detour(line, _why(better), look)
                except BetterLine as found:
                    self._kept[device.id] = found.transport
                    raise


class Detour:
    """A conversation over another line than the best; see `Conversation`. `hear` looks for the better one."""

    __slots__ = ("_line", "_look", "_unanswered", "transport", "why")

    def __init__(self, line: Conversation, why: str, look: _Look) -> None:
        self.transport = line.transport
        self.why: str | None = why
        self._line = line
        self._look = look
        self._unanswered = 0

    def send(self, call: Call) -> CallId:
        """As the line does."""
        self._unanswered += 1
        return self._line.send(call)

    async def hear(self, until: float) -> Sequence[XapiMessage]:
        """As the line does; BetterLine when there is a better one. While an answer is due, nobody looks."""
        look = self._look
        while self._unanswered <= 0 and until > look.at:
            messages = await self._hear(look.at)
            if messages:
                return messages
            await look()
        return await self._hear(until)

    async def _hear(self, until: float) -> Sequence[XapiMessage]:
        messages = await self._line.hear(until)
        for message in messages:
            if not isinstance(message, Feedback):
                self._unanswered -= 1
        return messages


class _Look:
    """Asks a device, now and then, for a better line."""

    def __init__(
        self, device: Device, dials: Mapping[Transport, Dial], failed: dict[Transport, _Failure], rest: Rest
    ) -> None:
        self._device = device
        self._dials = dials
        self._failed = failed
        self._rest = rest
        self._looks = 0
        self._loop = asyncio.get_running_loop()
        self.at = 0.0  # loop time of the next look
        self._again()

    async def __call__(self) -> None:
        """Look; BetterLine if there is one."""
        for transport, dial in list(self._dials.items()):
            try:
                async with dial(self._device, contextlib.nullcontext()):
                    pass
            except PasswordRefused as error:  # it took the same on the other line: enough of that
                self._failed[transport] = type(error), str(error)
                self.at = float("inf")
                return
            except DeviceError as error:
                self._failed[transport] = type(error), str(error)
            else:
                raise BetterLine(f"{transport} works (again)", transport=transport)
        self._again()

    def _again(self) -> None:
        self._looks += 1
        # Spread by the device's name: many of them lost their better line at the same moment.
        luck = (hash(self._device.id) & 0xFF) / 256
        self.at = self._loop.time() + spread(self._rest, failures=self._looks, luck=luck)


def _offered(device: Device) -> tuple[Transport, ...]:
    """The lines to try. SSH only where its host key can be judged, or if there is no other."""
    trust = device.trust
    if trust.host_key is not None or trust.known_hosts is not None or trust.unverified:
        return device.transports
    return tuple(one for one in device.transports if one is not Transport.SSH) or device.transports


def _why(failures: Mapping[Transport, _Failure | None]) -> str:
    return "; ".join(f"{one}: {'not tried yet' if how is None else how[1]}" for one, how in failures.items())


def _none_stands(failures: Mapping[Transport, _Failure]) -> DeviceError:
    """One error for all, of the best line's kind; a service that is off says nothing of the other lines."""
    kind, why = next(iter(failures.values()))
    if issubclass(kind, ServiceOff):
        kind = next((other for other, _ in failures.values() if not issubclass(other, ServiceOff)), kind)
    return kind(why if len({each for _, each in failures.values()}) == 1 else _why(failures))
