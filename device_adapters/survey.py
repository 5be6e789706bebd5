"""One conversation with a device, up to its greeting and a little further: what a technician would ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from agent.core.events import DeviceConnected, RoomEvent
from agent.core.model import Device, RoomId, Surface, Transport
from device_adapters.conversation import Conversation, Dial
from device_adapters.errors import LineUseless
from device_adapters.link import LinkPace, Surroundings, Talk
from device_adapters.xapi import requests
from device_adapters.xapi.messages import PERMISSION_DENIED, Call, CallId, Feedback, Refusal, Reply
from device_adapters.xapi.needs import needs_of
from device_adapters.xapi.schema import MOMENT, Unreadable, read_firmware
from device_adapters.xapi.screens import Screens

TIME = ("Status", "Time", "SystemTime")
SESSIONS = Call(method="xCommand/Security/Session/List", params={})  # lists; for Admin only
# Without the text that it requires, so that nothing is shown whoever may show something.
SHOWS_NOTHING = Call(method="xCommand/UserInterface/Message/Prompt/Display", params={})
LIMITS = ("Security Session MaxSessionsPerUser", "Security Session MaxTotalSessions")
_TIME, _SESSIONS, _SHOWS = "time", "sessions", "shows"  # beside paths, what is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a device said; None where it would not say, or the account may not ask."""

    connected: DeviceConnected
    admin: bool | None = None  # the account may do what is Admin's alone
    shows: bool | None = None  # the account may show messages
    sessions: int | None = None  # that are open, this one among them
    configured: Mapping[str, object] = field(default_factory=dict)  # by path below `Configuration`
    denied: tuple[str, ...] = ()  # of those paths, what the account may not read
    ahead: timedelta | None = None  # the device's clock, of ours

    @property
    def light(self) -> bool:
        """Whether it has a light at the door."""
        return Surface.LED in (self.connected.surfaces or ())


async def survey(
    device: Device,
    dial: Dial,
    *,
    door: AbstractAsyncContextManager[object],
    timezone: tzinfo,
    clock: Callable[[], datetime],
    pace: LinkPace | None = None,
) -> Survey:
    """Talk to a device once, over the first line that serves; nothing is changed on it. DeviceError.

    It costs one log-in and is over when it returns. `door` as for `Dial`; `clock` tells UTC.
    """
    pace = pace or LinkPace()
    heard: list[RoomEvent] = []

    async def deliver(_: RoomId, events: Sequence[RoomEvent]) -> None:
        heard.extend(events)

    around = Surroundings(
        dial=dial,
        deliver=deliver,
        door=door,
        timezone=timezone,
        clock=clock,
        luck=lambda: 0.0,
        pace=pace,
    )
    while True:
        heard.clear()
        try:
            async with dial(device, door) as line:
                async with line.greeting():
                    await Talk(device, line, around, Screens(banner=device.banner)).greet()
                connected = next(event for event in heard if isinstance(event, DeviceConnected))
                return await _asked_further(connected, line, clock, pace)
        except LineUseless:
            continue  # another line is tried now; if none is left, that is another error


async def _asked_further(
    connected: DeviceConnected, line: Conversation, clock: Callable[[], datetime], pace: LinkPace
) -> Survey:
    transport = Transport(connected.transport)
    needs = needs_of(connected.product, read_firmware(connected.firmware), over=transport)
    paths = dict.fromkeys(
        path
        for need in needs
        for path in (need.path, *(need.without[:1] if need.without is not None else ()))
    )
    paths |= dict.fromkeys(LIMITS)
    asked: dict[CallId, str] = {}
    began = clock()
    for name, call in {
        _TIME: requests.get(TIME),
        **{path: requests.get(("Configuration", *path.split())) for path in paths},
        _SESSIONS: SESSIONS,
        _SHOWS: SHOWS_NOTHING,
    }.items():
        asked[line.send(call)] = name
    answers: dict[str, Reply | Refusal] = {}
    took: datetime | None = None
    loop = asyncio.get_running_loop()
    due = loop.time() + pace.answer_within_s
    while asked and loop.time() < due + line.held_s:
        for message in await line.hear(due + line.held_s):
            if isinstance(message, Feedback) or message.id not in asked:
                continue
            name = asked.pop(message.id)
            answers[name] = message
            due = loop.time() + pace.answer_within_s
            if name == _TIME:
                took = clock()
    configured = {path: each.result for path in paths if isinstance(each := answers.get(path), Reply)}
    return Survey(
        connected=connected,
        admin=_permitted(answers.get(_SESSIONS)),
        shows=None if _SHOWS not in answers else _permitted(answers[_SHOWS]) is not False,
        sessions=_sessions(answers.get(_SESSIONS)),
        configured=configured,
        denied=tuple(path for path in paths if _permitted(answers.get(path)) is False),
        ahead=_ahead(answers.get(_TIME), began, took),
    )


def _permitted(answer: Reply | Refusal | None) -> bool | None:
    """Whether the account may; None if there is no answer that tells."""
    match answer:
        case Reply():
            return True
        case Refusal(code=code) if code == PERMISSION_DENIED:
            return False
        case _:
            return None


def _sessions(answer: Reply | Refusal | None) -> int | None:
    """How many are listed; no document describes the answer."""
    if not isinstance(answer, Reply) or not isinstance(answer.result, dict):
        return None
    listed = answer.result.get("Session")
    return len(listed) if isinstance(listed, list) else None if listed is None else 1


def _ahead(answer: Reply | Refusal | None, began: datetime, took: datetime | None) -> timedelta | None:
    if not isinstance(answer, Reply) or took is None:
        return None
    try:
        return MOMENT.cast(answer.result) - (began + (took - began) / 2)
    except Unreadable:
        return None
