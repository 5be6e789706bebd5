"""One device for ever: dial, identify, subscribe, read current values, hear, rest, again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import Enum
from zoneinfo import ZoneInfo

import structlog

from agent.core.events import (
    BookingsListed,
    CallsCounted,
    CurrentValuesRead,
    DeviceConnected,
    DeviceLost,
    DeviceRefused,
    LightModeRead,
    ListedBooking,
    MessageRefused,
    MessageShown,
    PeopleCounted,
    PresenceSensed,
    RoomEvent,
    SharingSensed,
    ShortcomingsFound,
    UptimeRead,
    UseSensed,
)
from agent.core.facts import ListBookings, ReadValues, Request
from agent.core.model import Ability, BookingId, Device, RoomId, Transport
from device_adapters import errors, trust
from device_adapters.conversation import Conversation, Dial
from device_adapters.errors import (
    BetterLine,
    DeviceBooting,
    DeviceError,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PermissionRefused,
)
from device_adapters.lifecycle import (
    CLEAN,
    LOGINS_BEFORE_STOP,
    Patience,
    Phase,
    after,
    moved,
    phase_after,
    rest_s,
    stopped,
)
from device_adapters.xapi import plans, requests, screens
from device_adapters.xapi.carrying_out import CarryingOut, Now
from device_adapters.xapi.messages import (
    NOT_READY,
    PERMISSION_DENIED,
    TOO_MANY_SUBSCRIPTIONS,
    Call,
    CallId,
    Feedback,
    Refusal,
    Reply,
    XapiMessage,
)
from device_adapters.xapi.needs import LEAVES_BOOKINGS_ALONE
from device_adapters.xapi.plans import Plan
from device_adapters.xapi.requests import Makeup
from device_adapters.xapi.schema import Unreadable, answers_requests, read_firmware
from device_adapters.xapi.screens import Screens
from device_adapters.xapi.translate import (
    ANSWERS_UNHEARD,
    COUNTS_NOBODY,
    HAS_NO_BOOKINGS,
    NAVIGATOR_COUNTS_NOBODY,
    NAVIGATOR_HAS_NO_BOOKINGS,
    Identity,
    Page,
    Translator,
    identity,
    page,
)

log = structlog.get_logger()

Deliver = Callable[[RoomId, Sequence[RoomEvent]], Awaitable[None]]

PAGES = 20  # of a listing; whoever has more bookings in two days is not a room
DEFAULT_BOOKING_TIMEOUT_S = 60  # the schema's default of `AdhocBooking BookingTimeout`
UNKNOWN_NODE = frozenset({-32601, -32602})  # of a refusal: there is no such command or path

HEARD = ("heard", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPace:
    """How often a link asks its device for what, in seconds."""

    answer_within_s: float = 10.0  # a booting codec answers within six
    order_within_s: float = 30.0  # of what it asks its calendar; later nothing else has to wait for it
    probe_every_s: float = 60.0  # proves that the device's software lives, and finds reboots
    reread_every_s: float = 300.0  # current values: no frames does not mean no people


@dataclass(slots=True)
class Tally:
    """What a link came across; counted and not logged, as it may come with each frame."""

    dials: int = 0
    connects: int = 0  # greeted and heard
    losses: int = 0  # of a conversation that was heard
    failures: int = 0  # whatever ended a dial or a conversation
    refusals: int = 0  # failures for which a person must act
    messages: int = 0
    events: int = 0
    unknown_nodes: int = 0
    unreadable_values: int = 0
    stray_answers: int = 0
    nonsense: int = 0
    bugs: int = 0

    def counts(self) -> dict[str, int]:
        """By name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def add(self, other: Tally) -> None:
        """Count what the other came across as well."""
        for name, count in other.counts().items():
            setattr(self, name, getattr(self, name) + count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a link needs of the world; one for all links."""

    dial: Dial
    deliver: Deliver
    door: AbstractAsyncContextManager[object]
    timezone: tzinfo  # of devices that do not say where they are
    clock: Callable[[], datetime]  # UTC
    luck: Callable[[], float]  # in [0, 1)
    patience: Patience = field(default_factory=Patience)
    pace: LinkPace = field(default_factory=LinkPace)
    tally: Tally = field(default_factory=Tally)


class Link:
    """Keeps a conversation with one device, in one task and as long as it is awaited."""

    __slots__ = (
        "_again",
        "_around",
        "_past",
        "_screens",
        "_stood_since",
        "_talk",
        "_told",
        "device",
        "phase",
        "tally",
    )

    def __init__(self, device: Device, around: Surroundings) -> None:
        self.device = device
        self.phase = Phase.RESTING
        self.tally = Tally()
        self._around = replace(around, tally=self.tally)
        self._past = CLEAN
        self._again = asyncio.Event()  # somebody asks to dial now
        self._stood_since: float | None = None  # loop time
        self._talk: Talk | None = None
        self._screens = Screens(banner=device.banner)  # it goes on showing while there is no conversation
        self._told: tuple[str, str] | None = None  # what was told of it last: that it is heard, or why not

    def ask(self, request: Request) -> bool:
        """Ask the device, if it is connected; else drop it: each connect lists, and the core asks anew.

        Whether it was asked.
        """
        return self._talk is not None and self._talk.ask(request)

    def turn(self, around: Surroundings) -> None:
        """The next conversation has other surroundings."""
        self._around = replace(around, tally=self.tally)

    def try_again(self) -> None:
        """Dial now, if the device has refused us: a person may have mended what it minded, on it or here."""
        if self.phase is Phase.REFUSED:
            self._again.set()

    async def run(self) -> None:
        """For ever; ends only by being cancelled."""
        if self.phase not in (Phase.RESTING, Phase.REFUSED):  # a bug of ours ended the run before
            self.phase = Phase.RESTING
            if self._told == HEARD:
                self._told = None
                lost = DeviceLost(device=self.device.id, why="an error in roomd; see its log")
                await self._around.deliver(self.device.room, (lost,))
        while True:
            credential = trust.mark(self.device.credential)
            self._again.clear()
            rest = 0.0  # the rest itself is outside of `except`, so as not to keep a traceback for so long
            try:
                await self._converse()
            except BetterLine as error:  # no news for the room: the next conversation lists what came between
                self.phase = moved(self.phase, Phase.RESTING)
                log.info("device.line_changed", device=self.device.id, transport=error.transport)
            except DeviceError as error:
                rest = await self._failed(error)
            await self._rest(rest, credential)

    async def _converse(self) -> None:
        around, loop = self._around, asyncio.get_running_loop()
        self.phase = moved(self.phase, Phase.DIALLING)
        self._stood_since = None
        around.tally.dials += 1
        try:
            async with around.dial(self.device, around.door) as conversation:
                self.phase = moved(self.phase, Phase.GREETING)
                self._talk = Talk(self.device, conversation, around, self._screens)
                async with conversation.greeting():
                    await self._talk.greet()
                self.phase = moved(self.phase, Phase.HEARING)
                self._stood_since = loop.time()
                around.tally.connects += 1
                self._told = HEARD
                log.info(
                    "device.connected",
                    device=self.device.id,
                    room=self.device.room,
                    transport=conversation.transport,
                    **({} if conversation.why is None else {"not_better": conversation.why}),
                )
                await self._talk.hear()
        finally:
            self._talk = None

    async def _failed(self, error: DeviceError) -> float:
        """Tell it where it is news; how long to rest, in seconds."""
        around = self._around
        stood_s = 0.0 if self._stood_since is None else asyncio.get_running_loop().time() - self._stood_since
        self._past = after(self._past, error, stood_s=stood_s, patience=around.patience)
        rest = rest_s(self._past, luck=around.luck(), patience=around.patience)
        self.phase = moved(self.phase, phase_after(error))
        around.tally.failures += 1
        around.tally.losses += self._stood_since is not None
        around.tally.refusals += isinstance(error, errors.DeviceRefused)
        around.tally.nonsense += isinstance(error, DeviceTalksNonsense)
        device, why = self.device.id, f"{error}; {error.mend}"
        event: DeviceLost | DeviceRefused
        if isinstance(error, errors.DeviceRefused):
            event, name = DeviceRefused(device=device, why=why), "device.refused"
        else:
            event, name = DeviceLost(device=device, why=why), "device.lost"
        kind = type(error).__name__
        facts = {"device": device, "host": self.device.host, "why": str(error), "next_try_s": round(rest, 1)}
        if self._told == (kind, why):
            log.debug(name, **facts)
        else:
            self._told = (kind, why)
            log.warning(name, room=self.device.room, mend=error.mend, **facts)
            await around.deliver(self.device.room, (event,))
        return rest

    async def _rest(self, seconds: float, credential: bytes) -> None:
        """Rest; where the password was refused too often, look now and then whether there is another one."""
        if not stopped(self._past):
            await self._asked_again(seconds)
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            if await self._asked_again(min(left, self._around.patience.look_at_credential_s)):
                # once, not twice: whoever asks three times with a wrong password is to lock no account
                self._past = replace(self._past, refused_logins=LOGINS_BEFORE_STOP - 1)
                return
            if trust.mark(self.device.credential) != credential:
                log.info("device.credential_changed", device=self.device.id)
                break
        self._past = CLEAN  # else the next refused log-in alone would stop it again

    async def _asked_again(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._again.wait()
        except TimeoutError:
            return False
        return True


# ── one conversation ──────────────────────────────────────────────────────────────────────────────


class _Purpose(Enum):
    """Why something was asked."""

    IDENTITY = "identity"
    NATURE = "nature"
    SUBSCRIPTION = "subscription"
    SENSORS = "sensors"
    CONFIGURATION = "configuration"
    LISTING = "listing"
    PROBE = "probe"
    SCREEN = "screen"
    ORDER = "order"


NEVER = float("inf")


@dataclass(slots=True)
class _Asked:
    purpose: _Purpose
    path: requests.Path  # what for, or () for what is no node
    due: float  # in seconds of listening; NEVER: nobody waits for it any more
    plan: Plan | None = None


@dataclass(slots=True)
class _Listing:
    """A listing on its way, page by page."""

    asked_at: datetime
    bookings: dict[BookingId, ListedBooking] = field(default_factory=dict)
    unreadable: set[BookingId] = field(default_factory=set)
    clear_until: datetime | None = None  # an entry without an Id starts then
    rows: int = 0
    pages: int = 0
    again: bool = False  # asked for once more while this one was on its way


@dataclass(slots=True)
class _Reading:
    """A reading of current values on its way; what is heard meanwhile is newer than what was read before."""

    waiting: int  # answers
    people: int | None = None
    presence: bool | None = None
    in_use: bool | None = None
    calls: int | None = None
    sharing: bool | None = None


class Talk:
    """One conversation from its greeting to its end: everything in the order in which the device said it.

    Deadlines count seconds of listening: while `deliver` makes us wait, or the line holds our calls back,
    the device owes us nothing.
    """

    __slots__ = (
        "_around",
        "_asked",
        "_carrying_out",
        "_deaf_s",
        "_denied",
        "_device",
        "_events",
        "_greeting",
        "_identity",
        "_lacked",
        "_line",
        "_listing",
        "_loop",
        "_makeup",
        "_probe_at",
        "_reading",
        "_refusals",
        "_reread_at",
        "_translator",
        "_uptime_s",
    )

    def __init__(self, device: Device, line: Conversation, around: Surroundings, shown: Screens) -> None:
        self._device = device
        self._line = line
        self._around = around
        self._loop = asyncio.get_running_loop()
        self._translator = Translator(device.id)
        self._asked: dict[CallId, _Asked] = {}  # oldest first
        self._events: list[RoomEvent] = []  # to be delivered
        self._refusals: list[tuple[_Purpose, requests.Path, Refusal]] = []
        self._greeting = True
        self._identity: Identity | None = None
        self._makeup = Makeup()
        self._lacked: Mapping[Ability, str] = {}  # as it was told
        self._uptime_s: int | None = None
        self._listing: _Listing | None = None
        self._reading: _Reading | None = None
        self._carrying_out = CarryingOut(shown)
        self._denied = False  # the account may not show messages
        self._deaf_s = 0.0  # how long we did not listen
        self._probe_at = self._reread_at = float("inf")

    def ask(self, request: Request) -> bool:
        """Pass on what the core asks for; a listing on its way is asked for again when it has come.

        Whether the device is asked: not before it has said who it is.
        """
        if self._identity is None:
            return False  # the greeting will list and read
        match request:
            case ListBookings() if not self._makeup.books:
                pass  # there is nothing to list
            case ListBookings() if self._listing is not None:
                self._listing.again = True
            case ListBookings():
                self._list(requests.list_bookings())
            case ReadValues():
                if self._reading is None:
                    self._read_sensors()
            case _ if self._greeting:
                return False  # the core does not know yet that there is somebody to ask
            case _:
                light_mode, at = self._translator.light_mode, self._around.clock()
                now = self._carrying_out.take_up(request, self._makeup, light_mode=light_mode, at=at)
                self._do(now)
                if now.events:  # nothing comes by itself: what is soon answered ends the wait for news
                    self._send(_Purpose.PROBE, requests.UPTIME)
        return True

    # ── the greeting ──

    async def greet(self) -> None:
        """Identify, subscribe, then read and list, so that nothing falls in between; then deliver all of it.

        Three rounds, whatever their number of calls: all of a round is sent at once. Who it is comes first,
        as it decides what else is asked. DeviceError if the device cannot be used; single refusals become
        shortcomings.
        """
        self._send(_Purpose.IDENTITY, requests.WHO_ARE_YOU)
        await self._answers()
        who = self._identity
        if who is None:
            raise DeviceTalksNonsense("it did not say who it is")
        self._makeup = Makeup(firmware=read_firmware(who.firmware), navigator=who.navigator)
        for path in requests.nature(self._makeup):
            self._send(_Purpose.NATURE, path)
        await self._subscribe(())
        translator, at_once = self._translator, requests.subscriptions(self._makeup)
        self._makeup = replace(
            self._makeup,
            teams=translator.teams,
            provisioned=translator.provisioned,
            light=translator.light_mode is not None,
        )
        await self._subscribe(at_once)
        for path in requests.configuration(self._makeup):
            self._send(_Purpose.CONFIGURATION, path)
        self._read_sensors()
        if self._makeup.books:
            self._list(requests.list_bookings())
        await self._answers()
        connected = DeviceConnected(
            device=self._device.id,
            product=who.product,
            serial=who.serial,
            firmware=who.firmware,
            transport=self._line.transport,
            transport_why=self._line.why,
            uptime_s=who.uptime_s,
            answers_requests=answers_requests(self._makeup.firmware),
            booking_timeout_s=translator.booking_timeout_s or DEFAULT_BOOKING_TIMEOUT_S,
            shortcomings=self._shortcomings(),
            lacks=self._lacks(),
            surfaces=screens.surfaces(self._makeup),
            checks_in=self._checks_in(),
            hears_answers=all(path != requests.PROMPTS.path for _, path, _ in self._refusals),
        )
        self._greeting = False
        self._lacked = connected.lacks
        first: list[RoomEvent] = [connected]
        if translator.light_mode is not None:
            first.append(LightModeRead(device=self._device.id, mode=translator.light_mode))
        self._events[:0] = first
        await self._deliver()

    async def _subscribe(self, before: Sequence[requests.Subscription]) -> None:
        """Subscribe to what this device has, save what was subscribed before."""
        for subscription in requests.subscriptions(self._makeup):
            if subscription not in before:
                self._send(_Purpose.SUBSCRIPTION, subscription.path)
        await self._answers()

    async def _answers(self) -> None:
        """Until everything that was asked is answered; what is heard meanwhile is kept."""
        while self._asked:
            self._take(await self._line.hear(self._clock_at(self._due())))

    def _shortcomings(self) -> tuple[str, ...]:
        """What is configured against us, and what was refused, as sentences."""
        refused: dict[str, None] = {}  # a set in order
        loses = {each.path: each.loses for each in requests.SUBSCRIPTIONS}
        lacking = self._without()
        for purpose, path, refusal in self._refusals:
            if path in lacking:
                continue
            node = " ".join(path) or "Bookings List"
            polled = self._line.transport == Transport.HTTP and refusal.code in UNKNOWN_NODE
            if self._line.transport == Transport.CLOUD and refusal.code == PERMISSION_DENIED:
                lost = loses.get(path, "it is not known")
                refused[f"The workspace integration's manifest lacks `{node}`: {lost}."] = None
            elif path == requests.PROMPTS.path and (polled or refusal.code == PERMISSION_DENIED):
                refused[ANSWERS_UNHEARD if polled else plans.MESSAGES_DENIED] = None
            elif purpose is _Purpose.SUBSCRIPTION:
                refused[f"{_why(refusal)}: it does not tell of `{node}`, {loses[path]}."] = None
            elif refusal.code == PERMISSION_DENIED or purpose is _Purpose.LISTING:
                refused[f"{_why(refusal)}: `{node}` cannot be read."] = None
        if self._denied:
            refused[plans.MESSAGES_DENIED] = None
        return (*self._translator.shortcomings, *refused)

    def _checks_in(self) -> bool | None:
        """Whether the device itself deletes bookings that nobody checks in to; None: it does not say."""
        if self._translator.checks_in is not None:
            return self._translator.checks_in
        cannot = not self._makeup.books or not LEAVES_BOOKINGS_ALONE.life.covers(self._makeup.firmware)
        return False if cannot else None

    def _lacks(self) -> dict[Ability, str]:
        """What the device cannot do by its nature, as sentences."""
        alone, without = self._makeup.navigator, self._without()
        lacks: dict[Ability, str] = {}
        if requests.LISTING in without:
            lacks[Ability.BOOKINGS] = NAVIGATOR_HAS_NO_BOOKINGS if alone else HAS_NO_BOOKINGS
        if requests.PEOPLE.path in without:
            lacks[Ability.PEOPLE] = NAVIGATOR_COUNTS_NOBODY if alone else COUNTS_NOBODY
        return lacks

    def _without(self) -> frozenset[requests.Path]:
        """The nodes that this device, whatever its firmware, does not have."""
        unknown = {path for _, path, refusal in self._refusals if refusal.code in UNKNOWN_NODE}
        denied = {path for _, path, refusal in self._refusals if refusal.code == PERMISSION_DENIED}
        without: set[requests.Path] = set()
        # A device that is polled over HTTP refuses no subscription: its listing alone says it.
        heard = () if self._line.transport == Transport.HTTP else (requests.BOOKINGS.path,)
        if not self._makeup.books or unknown.issuperset((requests.LISTING, *heard)):
            without |= {requests.BOOKINGS.path, requests.LISTING}
        if not self._translator.counts and not denied & {requests.ANALYTICS, requests.PEOPLE.path}:
            without |= {requests.PEOPLE.path, *(path for path in unknown if path[:2] == requests.ANALYTICS)}
        return frozenset(without)

    # ── hearing ──

    async def hear(self) -> None:
        """Deliver what is heard and answered, probe, read current values anew; until the line breaks."""
        pace, now = self._around.pace, self._now()
        self._probe_at = now + pace.probe_every_s
        self._reread_at = now + self._until_reread()
        while True:
            until = min(self._due(), self._probe_at, self._reread_at)
            try:
                self._take(await self._line.hear(self._clock_at(until)))
            finally:
                if self._events:  # also what came before the message that ends it
                    await self._deliver()
            now = self._now()
            if now >= self._probe_at:
                self._probe_at = now + pace.probe_every_s
                self._send(_Purpose.PROBE, requests.UPTIME)
            if now >= self._reread_at:
                self._reread_at = now + self._until_reread()
                if self._reading is None:
                    self._read_sensors()

    def _until_reread(self) -> float:
        # Spread, so that a site that was connected at once is not read at once for ever.
        return self._around.pace.reread_every_s * (0.75 + self._around.luck() / 2)

    def _now(self) -> float:
        """Seconds of listening."""
        return self._loop.time() - self._deaf_s - self._line.held_s

    def _clock_at(self, listened_s: float) -> float:
        """What the loop's clock says then, if nothing makes us wait before."""
        return listened_s + self._deaf_s + self._line.held_s

    def _due(self) -> float:
        """When the oldest question must have been answered, in seconds of listening.

        While the device is busy with an order, all others may have to wait behind it.
        """
        first = NEVER
        for asked in self._asked.values():
            if asked.purpose is _Purpose.ORDER and asked.due < NEVER:
                return asked.due
            if first == NEVER:
                first = asked.due
        return first

    async def _deliver(self) -> None:
        events, self._events = self._events, []
        began = self._loop.time()
        await self._around.deliver(self._device.room, events)
        self._deaf_s += self._loop.time() - began
        self._around.tally.events += len(events)

    def _take(self, messages: Sequence[XapiMessage]) -> None:
        tally, translator = self._around.tally, self._translator
        tally.messages += len(messages)
        answers = False
        for message in messages:
            if isinstance(message, Feedback):
                self._heard(translator.heard(message))
                continue
            asked = self._asked.pop(message.id, None)
            if asked is None:
                tally.stray_answers += 1
                continue
            answers = True
            if asked.plan is not None:
                self._followed(asked, asked.plan, message)
            elif isinstance(message, Reply):
                self._answered(asked, message)
            else:
                self._refused(asked, message)
        if translator.unknown or translator.unreadable:
            tally.unknown_nodes += translator.unknown
            tally.unreadable_values += translator.unreadable
            translator.unknown = translator.unreadable = 0
        if answers:
            self._waited()
        if self._now() >= self._due():
            self._overdue()

    def _overdue(self) -> None:
        """DeviceUnreachable; an order may come to nothing, and says nothing about the line."""
        for asked in self._asked.values():
            if asked.purpose is _Purpose.ORDER and asked.due < NEVER:
                asked.due = NEVER  # the core gives it up by itself; an answer counts all the same
                log.info("device.order_unanswered", device=self._device.id)
                self._waited()
                if asked.plan is not None:
                    self._do(self._carrying_out.give_up(asked.plan))
                return
        late = next(asked for asked in self._asked.values() if asked.due < NEVER)
        within = self._around.pace.answer_within_s
        raise DeviceUnreachable(f"no answer about {late.purpose.value} within {within:g} s")

    def _waited(self) -> None:
        """Questions have their time from the last answer on, as shells and HTTP take one after the other."""
        due = self._now() + self._around.pace.answer_within_s
        for asked in self._asked.values():
            if asked.purpose is not _Purpose.ORDER:
                asked.due = max(asked.due, due)

    def _heard(self, events: Sequence[RoomEvent]) -> None:
        for event in events:
            if not isinstance(event, ShortcomingsFound):
                self._events.append(event)
            elif not self._greeting:  # else DeviceConnected tells; here what was refused belongs to it, too
                self._events.append(replace(event, shortcomings=self._shortcomings()))
        if self._reading is not None:
            _note(self._reading, events)

    # ── answers ──

    def _answered(self, asked: _Asked, reply: Reply) -> None:
        match asked.purpose:
            case _Purpose.IDENTITY:
                try:
                    self._identity = identity(reply.result)
                except Unreadable as error:
                    raise DeviceTalksNonsense(f"no room device: {error}") from error
                self._uptime_s = self._identity.uptime_s
            case _Purpose.SUBSCRIPTION:
                pass  # feedback is told apart by its content: it may come before this answer
            case _Purpose.CONFIGURATION | _Purpose.NATURE:
                self._translator.read(asked.path, reply.result)
            case _Purpose.SENSORS:
                self._sensors_read(self._translator.read(asked.path, reply.result))
            case _Purpose.LISTING:
                self._listed(reply.result)
            case _Purpose.PROBE:
                self._probed(self._translator.read(asked.path, reply.result))
            case _Purpose.SCREEN | _Purpose.ORDER:
                pass  # something was undone

    def _refused(self, asked: _Asked, refusal: Refusal) -> None:
        if refusal.code == NOT_READY:
            raise DeviceBooting("it is not ready to answer")
        match asked.purpose:
            case _Purpose.IDENTITY if refusal.code == PERMISSION_DENIED:
                user = self._device.credential.username
                raise PermissionRefused(f"{user!r} may not read `Status SystemUnit`: give it another role")
            case _Purpose.IDENTITY:
                raise DeviceTalksNonsense(f"no room device: {refusal.message[:100]}")
            case _Purpose.SENSORS:
                self._sensors_read(())
            case _Purpose.LISTING:
                self._listing_over()
                log.debug("device.listing_refused", device=self._device.id, why=refusal.message[:100])
            case _:
                pass
        if self._greeting and asked.purpose is not _Purpose.NATURE:
            self._refusals.append((asked.purpose, asked.path, refusal))

    def _probed(self, events: Sequence[RoomEvent]) -> None:
        for event in events:
            if isinstance(event, UptimeRead):
                before, self._uptime_s = self._uptime_s, event.uptime_s
                if before is not None and event.uptime_s < before:
                    # Its subscriptions are gone with the rest of its memory, so there is no use in this line.
                    self._events.append(event)
                    raise DeviceUnreachable("it was restarted without breaking the line")

    # ── what the core wants done ──

    def _do(self, now: Now) -> None:
        """Send what is to be sent and tell what is to be told."""
        for call, plan in now.calls:
            purpose = _Purpose.ORDER if plan is not None and plan.order else _Purpose.SCREEN
            self._ask(purpose, (), call, plan)
        self._events += now.events

    def _followed(self, asked: _Asked, plan: Plan, answer: Reply | Refusal) -> None:
        """A call of a plan is answered."""
        refusal = answer if isinstance(answer, Refusal) else None
        if refusal is not None and refusal.code == NOT_READY:
            raise DeviceBooting("it is not ready to answer")
        given_up = asked.due == NEVER
        now = self._carrying_out.answered(plan, refusal, given_up=given_up)
        self._do(now)
        for event in now.events:
            self._permitted(event, refusal)

    def _permitted(self, event: RoomEvent, refusal: Refusal | None) -> None:
        """Tell where the account turns out to be allowed to show messages, or not to."""
        denied = self._denied
        if isinstance(event, MessageShown):
            denied = False
        elif isinstance(event, MessageRefused) and refusal is not None:
            denied = denied or refusal.code == PERMISSION_DENIED
        if denied is not self._denied:
            self._denied = denied
            found = ShortcomingsFound(device=self._device.id, shortcomings=self._shortcomings())
            self._events.append(found)

    # ── current values ──

    def _read_sensors(self) -> None:
        sensors = requests.sensors(self._makeup)
        if sensors:
            self._reading = _Reading(waiting=len(sensors))
        for path in sensors:
            self._send(_Purpose.SENSORS, path)

    def _sensors_read(self, events: Sequence[RoomEvent]) -> None:
        reading = self._reading
        if reading is None:
            return
        _note(reading, events)
        reading.waiting -= 1
        if reading.waiting == 0:
            self._reading = None
            self._events.append(
                CurrentValuesRead(
                    device=self._device.id,
                    people=reading.people,
                    presence=reading.presence,
                    in_use=reading.in_use,
                    calls=reading.calls,
                    sharing=reading.sharing,
                )
            )
            lacks = self._lacks()
            if not self._greeting and lacks != self._lacked:  # a camera was connected, or is gone
                self._lacked = lacks
                found = ShortcomingsFound(
                    device=self._device.id, shortcomings=self._shortcomings(), lacks=lacks
                )
                self._events.append(found)

    # ── listings ──

    def _list(self, call: Call) -> None:
        self._listing = _Listing(asked_at=self._around.clock())
        self._ask(_Purpose.LISTING, (), call)

    def _listed(self, result: object) -> None:
        listing = self._listing
        if listing is None:
            return
        try:
            found = page(result)
        except Unreadable:
            self._listing_over()
            self._around.tally.unreadable_values += 1
            return
        listing.pages += 1
        listing.rows += found.rows
        listing.bookings |= {each.booking_id: each for each in found.bookings}
        listing.unreadable |= found.unreadable
        for starts_at in found.nameless_from:
            from_then = starts_at or listing.asked_at
            listing.clear_until = min(listing.clear_until or from_then, from_then)
        self._around.tally.unreadable_values += len(found.unreadable) + len(found.nameless_from)
        if found.rows and listing.rows < found.total and listing.pages < PAGES:
            self._ask(_Purpose.LISTING, (), requests.list_bookings(offset=listing.rows))
            return
        self._events.append(
            BookingsListed(
                device=self._device.id,
                bookings=tuple(listing.bookings.values()),
                asked_at=listing.asked_at,
                covers_until=self._covers_until(listing, found),
                unreadable=frozenset(listing.unreadable - listing.bookings.keys()),
            )
        )
        self._listing_over()

    def _listing_over(self) -> None:
        """Whatever became of it; what was asked for meanwhile is asked now, as that hint may be newer."""
        listing, self._listing = self._listing, None
        if listing is not None and listing.again:
            self._list(requests.list_bookings())

    def _covers_until(self, listing: _Listing, last: Page) -> datetime:
        """To the end of the device's tomorrow, or as far as the list is complete."""
        zone = self._zone()
        tomorrow = listing.asked_at.astimezone(zone).date() + timedelta(days=requests.LISTED_DAYS)
        until = datetime.combine(tomorrow, time(), tzinfo=zone).astimezone(UTC)
        if listing.rows < last.total:  # the rest is later than what was listed, as lists are in order of time
            until = min(
                until, max((each.starts_at for each in listing.bookings.values()), default=listing.asked_at)
            )
        return until if listing.clear_until is None else min(until, listing.clear_until)

    def _zone(self) -> tzinfo:
        name = self._translator.timezone
        if name is not None:
            with contextlib.suppress(KeyError, ValueError, OSError):  # no such zone, or no name of one
                return ZoneInfo(name)
        return self._around.timezone

    # ── asking ──

    def _send(self, purpose: _Purpose, path: requests.Path) -> None:
        call = requests.subscribe(path) if purpose is _Purpose.SUBSCRIPTION else requests.get(path)
        self._ask(purpose, path, call)

    def _ask(self, purpose: _Purpose, path: requests.Path, call: Call, plan: Plan | None = None) -> None:
        pace = self._around.pace
        within = pace.order_within_s if purpose is _Purpose.ORDER else pace.answer_within_s
        self._asked[self._line.send(call)] = _Asked(purpose, path, self._now() + within, plan)


def _note(reading: _Reading, events: Sequence[RoomEvent]) -> None:
    for event in events:
        match event:
            case PeopleCounted():
                reading.people = event.people
            case PresenceSensed():
                reading.presence = event.presence
            case UseSensed():
                reading.in_use = event.in_use
            case CallsCounted():
                reading.calls = event.calls
            case SharingSensed():
                reading.sharing = event.sharing
            case _:
                pass


def _why(refusal: Refusal) -> str:
    """Why something was refused, and what to do about it where something can be done."""
    match refusal.code:
        case code if code == PERMISSION_DENIED:
            return "The account's role is too small (it needs User and Integrator, or Admin)"
        case code if code == TOO_MANY_SUBSCRIPTIONS:
            return "The device has too many subscriptions (restart it, or end those of other systems)"
        case code if code in UNKNOWN_NODE:
            return f"This product does not have it ({code})"
        case code:
            return f"The device refused it ({code})"
