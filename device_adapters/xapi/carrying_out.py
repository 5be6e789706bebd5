"""Carries out what the core asks of one device: what is sent now, what waits for an answer, what is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from agent.core.events import AgendaRefused, MessageRefused, OrderRefused, RoomEvent, UseRefused
from agent.core.facts import (
    Book,
    Extend,
    Light,
    PutAgenda,
    Release,
    RestoreLight,
    ShowLine,
    ShowOn,
    TakeOff,
    TellUse,
    Wake,
)
from device_adapters.xapi import orders, plans, screens, use
from device_adapters.xapi.messages import Call, Refusal
from device_adapters.xapi.plans import Plan
from device_adapters.xapi.requests import Makeup, NotUnderstood
from device_adapters.xapi.schema import Unreadable
from device_adapters.xapi.screens import Screens

OfScreens = ShowOn | TakeOff | Light | RestoreLight | Wake | ShowLine | TellUse
OfBookings = Book | Extend | Release | PutAgenda


@dataclass(slots=True)
class Now:
    """What is to be sent now, in this order, and what is to be told."""

    calls: list[tuple[Call, Plan | None]] = field(default_factory=list)  # None: whatever the answer is
    events: list[RoomEvent] = field(default_factory=list)


@dataclass(slots=True)
class _Lane:
    """Plans in their order: the next begins when all calls of the last are made."""

    waiting: deque[Plan] = field(default_factory=deque)
    busy: bool = False  # a plan has calls that are still to be made

    def advance(self, now: Now) -> None:
        """Begin what waits, as far as nothing that began before has calls to make."""
        while self.waiting and not self.busy:
            self.go_on(self.waiting.popleft(), now)

    def go_on(self, plan: Plan, now: Now) -> None:
        """Make a plan's next call."""
        self.busy = len(plan.calls) > 1
        if plan.calls:
            now.calls.append((plan.calls[0], plan))
        elif plan.taken is not None:
            now.events.append(plan.taken)


class CarryingOut:
    """What is under way in one conversation. Orders have a lane of their own, as devices are slow in them."""

    __slots__ = ("_lanes", "_screens")

    def __init__(self, shown: Screens) -> None:
        self._screens = shown
        self._lanes = {order: _Lane() for order in (False, True)}

    def take_up(
        self, request: OfScreens | OfBookings, makeup: Makeup, *, light_mode: str | None, at: datetime
    ) -> Now:
        """Begin something, or say at once that this device has no calls for it."""
        now = Now()
        try:
            plan = self._plan(request, makeup, light_mode, at)
        except (NotUnderstood, Unreadable) as error:
            now.events += _cannot(request, error)
            return now
        lane = self._lanes[plan.order]
        lane.waiting.append(plan)
        lane.advance(now)
        return now

    def answered(self, plan: Plan, refusal: Refusal | None, *, given_up: bool) -> Now:
        """Follow the answer to the plan's first call; of what was `given_up`, others have begun since."""
        following, lane, now = plans.after(plan, refusal), self._lanes[plan.order], Now()
        now.calls += [(call, None) for call in following.undo]
        if following.event is not None:
            now.events.append(following.event)
        if given_up:
            if following.plan is not None:
                now.calls.append((following.plan.calls[0], following.plan))
            return now
        if following.plan is not None:
            lane.go_on(following.plan, now)
        elif len(plan.calls) > 1:
            lane.busy = False
        lane.advance(now)
        return now

    def give_up(self, plan: Plan) -> Now:
        """Let others begin; an answer that comes late counts all the same."""
        lane, now = self._lanes[plan.order], Now()
        if len(plan.calls) > 1:
            lane.busy = False
        lane.advance(now)
        return now

    def _plan(
        self, request: OfScreens | OfBookings, makeup: Makeup, light_mode: str | None, at: datetime
    ) -> Plan:
        match request:
            case ShowOn():
                return self._screens.show(request, makeup, at)
            case TakeOff():
                return self._screens.take_off(request, makeup)
            case Light():
                return screens.light(request, makeup, light_mode)
            case RestoreLight():
                return screens.restore_light(request, makeup)
            case Wake():
                return screens.wake(makeup)
            case ShowLine():
                return screens.line(request, makeup)
            case TellUse():
                return use.tell(request, makeup)
            case Book():
                return orders.book(request, makeup)
            case Extend():
                return orders.extend(request, makeup)
            case Release():
                return orders.release(request, makeup)
            case PutAgenda():
                return orders.put(request, makeup)
            case _:
                assert_never(request)


def _cannot(
    request: OfScreens | OfBookings, error: NotUnderstood | Unreadable
) -> Sequence[MessageRefused | OrderRefused | AgendaRefused | UseRefused]:
    """What is told of something that this device has no calls for."""
    mend = error.mend if isinstance(error, NotUnderstood) else "this is outside what its firmware takes"
    why = f"{error}; {mend}"
    match request:
        case Wake() | ShowLine():
            return ()
        case TellUse():
            return (use.refused(request, why),)
        case Book() | Extend() | Release():
            return (orders.refused(request, why),)
        case PutAgenda():
            return (orders.not_put(request, why),)
        case _:
            return (screens.refused(request, why),)
