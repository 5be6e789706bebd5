"""What a request of the core means to a device: calls, and what is told when they are answered."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from agent.core.events import (
    AgendaPut,
    AgendaRefused,
    MessageRefused,
    MessageShown,
    MessageTakenOff,
    OrderRefused,
    OrderTaken,
    UseRefused,
    UseTold,
)
from device_adapters.xapi.messages import PERMISSION_DENIED, Call, Refusal
from device_adapters.xapi.xml import COMMAND_FAILED, NO_SUCH_NODE


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Calls that are made one after another.

    All of them are to be taken, and the first refusal is the end; of an order, the first that is taken.
    """

    calls: tuple[Call, ...]  # still to be made
    taken: MessageShown | MessageTakenOff | OrderTaken | AgendaPut | UseTold | None = (
        None  # told when it is done
    )
    # Told with its `why` filled in.
    refused: MessageRefused | OrderRefused | AgendaRefused | UseRefused | None = None
    order: bool = False  # the device may ask its calendar first, and that takes its time
    clears: bool = False  # it is as good if there is nothing to clear
    undo: tuple[Call, ...] = ()  # made after a refusal, whatever comes of them


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """What follows from an answer."""

    plan: Plan | None = None  # goes on with its next call
    event: (
        MessageShown
        | MessageTakenOff
        | MessageRefused
        | OrderTaken
        | OrderRefused
        | AgendaPut
        | AgendaRefused
        | UseTold
        | UseRefused
        | None
    ) = None
    undo: tuple[Call, ...] = ()


def after(plan: Plan, refusal: Refusal | None) -> After:
    """What follows from the answer to the plan's first call: taken, or a refusal."""
    rest = plan.calls[1:]
    if refusal is not None and plan.clears and nothing_there(refusal):
        refusal = None
    if rest and (refusal is not None) is plan.order:
        return After(plan=replace(plan, calls=rest))
    if refusal is None:
        return After(event=plan.taken)
    if plan.refused is None:
        return After(undo=plan.undo)
    denied = _denied(plan) if refusal.code == PERMISSION_DENIED else None
    return After(event=replace(plan.refused, why=denied or _why(refusal)), undo=plan.undo)


MESSAGES_DENIED = (
    "The account's role is too small to show messages: give it RoomControl or Integrator, or Admin."
)
PUTS_DENIED = "The account's role is too small to put the room's agenda on the device: give it Admin."
USE_DENIED = "The account's role is too small to say that the room is used: give it Integrator, or Admin."
ORDERS_DENIED = "The account's role is too small to change bookings: give it User, or Admin."

_NOTHING_THERE = re.compile(
    r"not found|nothing|no (?:such|active|current|visible|prompt|alert|message|text ?line)"
    r"|not (?:shown|displayed|visible|active|open)",
    re.IGNORECASE,
)


def nothing_there(refusal: Refusal) -> bool:
    """Whether a device refused to clear what it does not show."""
    return refusal.code == COMMAND_FAILED and _NOTHING_THERE.search(refusal.message) is not None


def _denied(plan: Plan) -> str:
    match plan.refused:
        case AgendaRefused():
            return PUTS_DENIED
        case OrderRefused():
            return ORDERS_DENIED
        case UseRefused():
            return USE_DENIED
        case _:
            return MESSAGES_DENIED


def _why(refusal: Refusal) -> str:
    """Why it was refused, in words that a technician can act on."""
    if refusal.code == NO_SUCH_NODE:
        return f"this product does not have it: {refusal.message[:100]}"
    return f"the device refused it: {refusal.message[:100]} ({refusal.code})"
