"""Which line to a device: the best that it offers, another while that fails, and back to the better one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field

from agent.core.model import Device, DeviceId, Transport
from device_adapters.conversation import Conversation, Dial
from device_adapters.errors import (
    AdminNeeded,
    BetterLine,
    CertificateRefused,
    DeviceBooting,
    DeviceBusy,
    DeviceError,
    DeviceTalksNonsense,
    DeviceUnreachable,
    LineUseless,
    PasswordRefused,
    PermissionRefused,
    ServiceOff,
)
from device_adapters.lifecycle import Rest, spread
from device_adapters.xapi.messages import (
    NOT_READY,
    PERMISSION_DENIED,
    Call,
    CallId,
    Feedback,
    Refusal,
    Reply,
    XapiMessage,
)
from device_adapters.xapi.requests import WHO_ARE_YOU, get

# After these, another line may do. Not after a refused password, which each further line would refuse again
# and so lock the account, and not while the device starts: it has all its lines in a minute.
ANOTHER_MAY_DO = (DeviceUnreachable, ServiceOff, DeviceTalksNonsense, DeviceBusy, CertificateRefused)

LOOK_AGAIN = Rest(first_s=300.0, longest_s=3600.0)  # each look is a log-in
LOOK_WITHIN_S = 8.0  # nobody hears meanwhile, and a link waits 10 s for the answers that it is owed
BOOTS_WITHIN_S = 600.0  # whoever is "not ready" for longer does not start, whatever the proxy before it says
STEADY_AFTER_S = 60.0  # a line that stood for so long was a good one
LAST_WORDS_WITHIN_S = 0.1  # what is on its way over a line that is left

_Failure = tuple[type[DeviceError], str]  # not the error itself, which would keep its frames


@dataclass(slots=True)
class _Known:
    """What is remembered of a device from one conversation to the next."""

    first: Transport | None = None  # it worked, and is tried first
    last: list[Transport] = field(default_factory=list)  # stood and were of no use: tried last, in this order
    trusted: set[Transport] = field(default_factory=set)  # answered, and have not disappointed since
    failed: dict[Transport, _Failure] = field(default_factory=dict)
    booting_since: dict[Transport, float] = field(default_factory=dict)  # loop time
    looks: int = 0  # for a better line, since one was steady
    look_at: float = 0.0  # loop time: not before

    def order(self, offered: Sequence[Transport]) -> list[Transport]:
        """In which order to try what is offered."""
        place = {transport: number for number, transport in enumerate(self.last, 1)}
        return sorted(offered, key=lambda one: (place.get(one, 0), one is not self.first))

    def worked(self, transport: Transport) -> None:
        """The device answered over this line."""
        self.trusted.add(transport)
        self.failed.pop(transport, None)
        self.booting_since.pop(transport, None)
        if transport in self.last:
            self.last.remove(transport)

    def did_not(self, transport: Transport, error: DeviceError) -> None:
        """It cannot be had over this line, for now."""
        self.failed[transport] = _failure(transport, error)
        if not isinstance(error, DeviceBooting):
            self.booting_since.pop(transport, None)

    def was_useless(self, transport: Transport, error: DeviceError) -> None:
        """The line stood, and the device answered nothing over it, or not to us."""
        self.did_not(transport, error)
        self.trusted.discard(transport)
        if transport in self.last:
            self.last.remove(transport)
        self.last.append(transport)


class Lines:
    """Dials devices over the lines that each may have, in its order; remembers which one worked."""

    def __init__(
        self,
        dials: Mapping[Transport, Dial],
        *,
        look_again: Rest = LOOK_AGAIN,
        look_within_s: float = LOOK_WITHIN_S,
        boots_within_s: float = BOOTS_WITHIN_S,
    ) -> None:
        """`look_again`: how often a device that is heard over a worse line is asked for a better one.

        `look_within_s` bounds each such look; a line that is "not ready" for longer than `boots_within_s`
        is one that cannot be had.
        """
        self._dials = dict(dials)
        self._look_again = look_again
        self._look_within_s = look_within_s
        self._boots_within_s = boots_within_s
        self._known: dict[DeviceId, _Known] = {}

    def lead(self, transport: Transport, dial: Dial | None) -> None:
        """Over this line devices are dialled by that from now on; None: there is no such line any more."""
        if dial is None:
            self._dials.pop(transport, None)
        else:
            self._dials[transport] = dial

    def forget(self, device: DeviceId) -> None:
        """Drop what was learned of a device."""
        self._known.pop(device, None)
        for dial in self._dials.values():
            dial.forget(device)

    @contextlib.asynccontextmanager
    async def __call__(
        self, device: Device, door: AbstractAsyncContextManager[object]
    ) -> AsyncIterator[Conversation]:
        """A conversation over the first line that stands; DeviceError, with each line's why, if none does."""
        offered = _offered(device, self._dials)
        known = self._known.setdefault(device.id, _Known())
        loop = asyncio.get_running_loop()
        tried: set[Transport] = set()
        async with AsyncExitStack() as standing:
            for transport in known.order(offered):
                tried.add(transport)
                try:
                    line = await standing.enter_async_context(self._dials[transport](device, door))
                except DeviceError as error:
                    known.did_not(transport, error)
                    if not self._another_may_do(transport, error, known):
                        raise
                else:
                    break
            else:
                known.first = None
                raise _none_stands({one: known.failed[one] for one in offered})
            known.first = transport
            trial = self._trial(device, transport, line, offered, known)
            began = loop.time()
            try:
                yield trial
            except BetterLine as found:
                known.first = found.transport
                raise
            except DeviceError as error:
                known.first = None
                if trial.answered or not self._another_may_do(transport, error, known):
                    raise
                if transport in known.trusted and isinstance(error, DeviceUnreachable):
                    known.trusted.discard(transport)  # it may have been restarted just then: once more
                    raise
                known.was_useless(transport, error)
                if tried.union(known.last).issuperset(offered):
                    raise _none_stands({one: known.failed[one] for one in offered}) from error
                raise LineUseless(f"{transport}: {error}") from error
            finally:
                if trial.answered and transport is offered[0] and loop.time() - began >= STEADY_AFTER_S:
                    known.looks, known.look_at = 0, 0.0

    def _another_may_do(self, transport: Transport, error: DeviceError, known: _Known) -> bool:
        if isinstance(error, DeviceBooting):
            now = asyncio.get_running_loop().time()
            return now - known.booting_since.setdefault(transport, now) >= self._boots_within_s
        if isinstance(error, PermissionRefused):  # the other lines ask for less than Admin
            return transport is Transport.HTTP
        return isinstance(error, ANOTHER_MAY_DO)

    def _trial(
        self,
        device: Device,
        transport: Transport,
        line: Conversation,
        offered: Sequence[Transport],
        known: _Known,
    ) -> Trial:
        better = {one: known.failed.get(one) for one in offered[: offered.index(transport)]}
        if not better:
            return Trial(transport, line, known)
        dials = {one: self._dials[one] for one in better}
        look = _Look(device, dials, known, self._look_again, self._look_within_s)
        return Detour(transport, line, known, _why(better), look)


class Trial:
    """A conversation of which is known whether the device answers in it; see `Conversation`."""

    __slots__ = ("_known", "_line", "_on", "answered", "transport", "why")

    def __init__(self, on: Transport, line: Conversation, known: _Known) -> None:
        self.transport = line.transport
        self.why = line.why  # which may become another while it is used
        self.answered = False  # anything at all, other than with a refusal
        self._on = on
        self._line = line
        self._known = known

    @property
    def held_s(self) -> float:
        """As the line does."""
        return self._line.held_s

    def greeting(self) -> AbstractAsyncContextManager[object]:
        """As the line does."""
        return self._line.greeting()

    def send(self, call: Call) -> CallId:
        """As the line does."""
        return self._line.send(call)

    async def hear(self, until: float) -> Sequence[XapiMessage]:
        """As the line does."""
        messages = await self._line.hear(until)
        self.why = self._line.why
        if not self.answered and any(isinstance(message, Reply) for message in messages):
            self.answered = True
            self._known.worked(self._on)
        return messages


class Detour(Trial):
    """A conversation over another line than the best. `hear` looks for the better one."""

    __slots__ = ("_better", "_look", "_no_better", "_unanswered")

    def __init__(self, on: Transport, line: Conversation, known: _Known, why: str, look: _Look) -> None:
        super().__init__(on, line, known)
        self.why = self._no_better = why
        self._look = look
        self._unanswered = 0
        self._better: BetterLine | None = None

    def send(self, call: Call) -> CallId:
        """As the line does."""
        self._unanswered += 1
        return super().send(call)

    async def hear(self, until: float) -> Sequence[XapiMessage]:
        """As the line does; BetterLine when there is a better one, and all that came over this one is heard.

        While an answer is due, nobody looks.
        """
        look = self._look
        while self._better is None and self._unanswered <= 0 and until > look.at:
            messages = await self._hear(look.at)
            if messages:
                return messages
            self._better = await look()
        if self._better is None:
            return await self._hear(until)
        messages = await self._hear(asyncio.get_running_loop().time() + LAST_WORDS_WITHIN_S)
        if not messages:
            raise self._better
        return messages

    async def _hear(self, until: float) -> Sequence[XapiMessage]:
        messages = await super().hear(until)
        self.why = self._no_better if self.why is None else f"{self._no_better}; {self._on}: {self.why}"
        for message in messages:
            if not isinstance(message, Feedback):
                self._unanswered -= 1
        return messages


class _Look:
    """Asks a device, now and then, for a better line."""

    def __init__(
        self, device: Device, dials: Mapping[Transport, Dial], known: _Known, rest: Rest, within_s: float
    ) -> None:
        self._device = device
        self._dials = dials
        self._known = known
        self._rest = rest
        self._within_s = within_s
        self._left: list[Transport] = []  # of the look that is under way
        self._loop = asyncio.get_running_loop()
        # Its lines have just been tried, or a look will have to wait.
        self.at = max(known.look_at, self._rested(1))  # loop time of the next look

    async def __call__(self) -> BetterLine | None:
        """Look at one line, the best one first; the next call looks at the next one, and `at` says when."""
        if not self._left:
            self._left = list(self._dials)
        transport = self._left.pop(0)
        try:
            async with asyncio.timeout(self._within_s) as limit:
                async with self._dials[transport](self._device, contextlib.nullcontext()) as line:
                    await _identified(line)
                    limit.reschedule(None)
        except PasswordRefused as error:  # it took the same on the other line: enough of that
            self._known.was_useless(transport, error)
            self._known.look_at = self._loop.time() + self._rest.longest_s
            self.at = float("inf")
            return None
        except DeviceError as error:
            self._known.did_not(transport, error)
        except TimeoutError:
            self._known.did_not(transport, DeviceUnreachable("no answer in time"))
        else:
            self._known.worked(transport)
            self._rest_again()  # if it turns out not to be steady
            return BetterLine(f"{transport} works (again)", transport=transport)
        if not self._left:
            self._rest_again()
        return None

    def _rest_again(self) -> None:
        self._known.looks += 1
        self.at = self._known.look_at = self._rested(self._known.looks + 1)

    def _rested(self, looks: int) -> float:
        # Spread by the device's name: many of them lost their better line at the same moment.
        luck = (hash(self._device.id) & 0xFF) / 256
        return self._loop.time() + spread(self._rest, failures=looks, luck=luck)


async def _identified(line: Conversation) -> None:
    """Ask who it is, and wait for the answer; DeviceError if it gives none. An open line proves nothing."""
    asked = line.send(get(WHO_ARE_YOU))
    while True:
        for message in await line.hear(float("inf")):
            match message:
                case Reply(id=number) if number == asked:
                    return
                case Refusal(id=number, code=code) if number == asked and code == NOT_READY:
                    raise DeviceBooting("it is not ready to answer")
                case Refusal(id=number, code=code) if number == asked and code == PERMISSION_DENIED:
                    raise PermissionRefused("it may not be asked who it is")
                case Refusal(id=number) if number == asked:
                    raise DeviceTalksNonsense(f"no room device: {message.message[:100]}")
                case _:
                    pass


def _offered(device: Device, dials: Mapping[Transport, Dial]) -> tuple[Transport, ...]:
    """The lines to try. SSH only where its host key can be judged, or if there is no other.

    The cloud only where the device is known there. ServiceOff if no line is left.
    """
    by_cloud = device.webex is not None and Transport.CLOUD in dials
    lines = tuple(
        one for one in device.transports if (by_cloud if one is Transport.CLOUD else device.host != "")
    )
    if not lines:
        off = ServiceOff("no line leads to it: it has no host, and Webex is not to be asked for it")
        off.mend = "give it a host, or its id in `webex` and the site a [webex]"
        raise off
    trust = device.trust
    if trust.host_key is not None or trust.known_hosts is not None or trust.unverified:
        return lines
    return tuple(one for one in lines if one is not Transport.SSH) or lines


def _failure(transport: Transport, error: DeviceError) -> _Failure:
    kind = type(error)
    return AdminNeeded if kind is PermissionRefused and transport is Transport.HTTP else kind, str(error)


def _why(failures: Mapping[Transport, _Failure | None]) -> str:
    return "; ".join(f"{one}: {'not tried yet' if how is None else how[1]}" for one, how in failures.items())


def _none_stands(failures: Mapping[Transport, _Failure]) -> DeviceError:
    """One error for all, of the best line's kind; a service that is off says nothing of the other lines.

    Nor does a password that was refused while a better line was looked for: it costs no log-in now.
    """
    kinds = [kind for kind, _ in failures.values() if not issubclass(kind, PasswordRefused)]
    kind = next((kind for kind in kinds if not issubclass(kind, ServiceOff)), kinds[0])
    whys = {why for _, why in failures.values()}
    error = kind(whys.pop() if len(whys) == 1 else _why(failures))
    for_a_person = [each.mend for each in kinds if issubclass(each, CertificateRefused | PermissionRefused)]
    if for_a_person:  # nobody need look at the network first
        error.mend = "; ".join(dict.fromkeys(for_a_person))
    return error
