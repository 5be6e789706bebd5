"""What a device can show on, and what showing something, taking it off and lighting mean as calls to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from agent.core.events import MessageRefused, MessageShown, MessageTakenOff
from agent.core.facts import Light, RestoreLight, ShowLine, ShowOn, TakeOff
from agent.core.model import FeedbackId, Surface
from device_adapters.xapi import requests
from device_adapters.xapi.messages import Call
from device_adapters.xapi.plans import Plan
from device_adapters.xapi.requests import Makeup, NotUnderstood, Target
from device_adapters.xapi.schema import SHOWN_S, Firmware
from device_adapters.xapi.wording import fit_box, fit_line

_PROMPT = "UserInterface Message Prompt Display"
_ALERT = "UserInterface Message Alert Display"
_LINE = "UserInterface Message TextLine Display"

TARGETS: Mapping[Surface, Target] = {
    Surface.SCREEN: Target.SCREEN,
    Surface.CONTROLLER: Target.CONTROLLER,
    Surface.SCHEDULER: Target.SCHEDULER,
}

BY_HAND = "Manual"


class Manner(StrEnum):
    """How a message is shown. Only prompts have names; of the others a surface has one of each."""

    PROMPT = "prompt"
    ALERT = "alert"
    LINE = "line"


class SurfaceMissing(NotUnderstood):
    """Firmware that cannot show anything there, or not there alone."""

    mend = "upgrade it to RoomOS 26.1 or newer, or name the screen, which there is the controller, too"


class NoMessages(NotUnderstood):
    """A product that shows no messages at all."""

    mend = "name the room's codec or board, or only the light"


def surfaces(makeup: Makeup) -> tuple[Surface, ...]:
    """On which surfaces something can be shown.

    Before 26.1 a message is on screen and controller, and one cannot choose. A navigator that stands alone
    has its light; one that is paired is reached through the device that it belongs to.
    """
    shown: tuple[Surface, ...] = ()
    if not makeup.navigator:
        shown = tuple(TARGETS) if _chooses(makeup.firmware) else (Surface.SCREEN,)
    return (*shown, Surface.LED) if makeup.light else shown


class Screens:
    """Plans what is to be shown on one device; remembers how it was, as only a prompt has a name."""

    __slots__ = ("_banner", "_last")

    def __init__(self, *, banner: bool) -> None:
        self._banner = banner  # on the screen, messages without answers are a line
        self._last: dict[tuple[Surface, Manner], FeedbackId] = {}  # asked for there

    def show(self, asked: ShowOn, makeup: Makeup, now: datetime) -> Plan:
        """Show it, or renew it, until its end by this clock. NotUnderstood, or Unreadable of `schema`."""
        firmware, on = makeup.firmware, _target(asked.surface, makeup)
        duration_s = min(max(1, math.ceil((asked.until - now).total_seconds())), SHOWN_S.most)
        manner = self._manner(asked.surface, asked.answers)
        call: Call
        match manner:
            case Manner.PROMPT:
                call = requests.show_prompt(
                    firmware,
                    feedback_id=asked.feedback_id,
                    text=_box(firmware, _PROMPT, asked.text),
                    title=_heading(firmware, _PROMPT, asked.title),
                    options=[
                        fit_line(answer, requests.longest(firmware, _PROMPT, "Option.1")) or str(number)
                        for number, answer in enumerate(asked.answers, 1)
                    ],
                    duration_s=duration_s,
                    on=on,
                )
            case Manner.ALERT:
                call = requests.show_alert(
                    firmware,
                    text=_box(firmware, _ALERT, asked.text),
                    title=_heading(firmware, _ALERT, asked.title),
                    duration_s=duration_s,
                    on=on,
                )
            case Manner.LINE:
                whole = asked.text if not asked.title else f"{asked.title}: {asked.text}"
                line = fit_line(whole, requests.longest(firmware, _LINE, "Text"))
                call = requests.show_line(firmware, text=line, duration_s=duration_s, on=on)
        self._last[asked.surface, manner] = asked.feedback_id
        taken = MessageShown(device=asked.device, surface=asked.surface, feedback_id=asked.feedback_id)
        return Plan(calls=(call,), taken=taken, refused=refused(asked))

    def take_off(self, asked: TakeOff, makeup: Makeup) -> Plan:
        """Take off this and nothing else; a plan without calls where something else is in its place."""
        firmware, on = makeup.firmware, _target(asked.surface, makeup)
        place = (asked.surface, asked.feedback_id)
        known = [manner for (surface, manner), last in self._last.items() if (surface, last) == place]
        manner = known[0] if known else self._manner(asked.surface, asked.answers)
        last = self._last.get((asked.surface, manner))
        calls: tuple[Call, ...]
        if manner is Manner.PROMPT:
            if asked.answers is None and asked.surface is Surface.SCREEN:
                on = None  # of an earlier life: wherever it is
            calls = (requests.clear_prompt(firmware, feedback_id=asked.feedback_id, on=on),)
        elif last not in {None, asked.feedback_id}:
            calls = ()  # another one of ours has taken its place
        elif manner is Manner.ALERT:
            calls = (requests.clear_alert(firmware, on=on),)
        else:
            calls = (requests.clear_line(firmware, on=on),)
        if last == asked.feedback_id:
            del self._last[asked.surface, manner]
        taken = MessageTakenOff(device=asked.device, surface=asked.surface, feedback_id=asked.feedback_id)
        return Plan(calls=calls, taken=taken, refused=refused(asked), clears=True)

    def _manner(self, surface: Surface, answers: tuple[str, ...] | None) -> Manner:
        if answers is None or answers:
            return Manner.PROMPT
        return Manner.LINE if self._banner and surface is Surface.SCREEN else Manner.ALERT


def light(asked: Light, makeup: Makeup, mode: str | None) -> Plan:
    """Light up. `mode` is what the light follows now, if that is known; after a refusal it does so again."""
    firmware = makeup.firmware
    by_hand = requests.light_mode(firmware, mode=BY_HAND)
    return Plan(
        calls=(by_hand, requests.light(firmware, colour=asked.colour)),
        taken=MessageShown(device=asked.device, surface=Surface.LED, feedback_id=asked.feedback_id),
        refused=refused(asked),
        undo=() if mode in {None, BY_HAND} else (requests.light_mode(firmware, mode=mode or BY_HAND),),
    )


def restore_light(asked: RestoreLight, makeup: Makeup) -> Plan:
    """Let the light follow its old mode; where that follows nobody, our colour does not stay."""
    firmware = makeup.firmware
    calls: tuple[Call, ...] = (requests.light_mode(firmware, mode=asked.mode),)
    if asked.mode == BY_HAND:
        calls = (*calls, requests.light(firmware, colour="Off"))
    taken = MessageTakenOff(device=asked.device, surface=Surface.LED, feedback_id=asked.feedback_id)
    return Plan(calls=calls, taken=taken, refused=refused(asked))


def wake(makeup: Makeup) -> Plan:
    """End standby; nobody is told."""
    return Plan(calls=(requests.wake(makeup.firmware),))


def line(asked: ShowLine, makeup: Makeup) -> Plan:
    """Put a line over what everybody sees, or take it off; nobody is told. NotUnderstood."""
    firmware, on = makeup.firmware, _target(Surface.SCREEN, makeup)
    if not asked.text:
        return Plan(calls=(requests.clear_line(firmware, on=on),), clears=True)
    text = fit_line(asked.text, requests.longest(firmware, _LINE, "Text"))
    duration_s = min(max(1, math.ceil(asked.lasts.total_seconds())), SHOWN_S.most)
    return Plan(calls=(requests.show_line(firmware, text=text, duration_s=duration_s, on=on),))


def refused(asked: ShowOn | TakeOff | Light | RestoreLight, why: str = "") -> MessageRefused:
    """What is told where it cannot be done."""
    surface = asked.surface if isinstance(asked, ShowOn | TakeOff) else Surface.LED
    return MessageRefused(device=asked.device, surface=surface, feedback_id=asked.feedback_id, why=why)


def _chooses(firmware: Firmware) -> bool:
    return requests.takes(firmware, _PROMPT, "Target")


def _target(surface: Surface, makeup: Makeup) -> Target | None:
    """None: screen and controller at once, as older firmware has it."""
    if makeup.navigator:
        raise NoMessages("a Room Navigator that stands alone shows no messages")
    if _chooses(makeup.firmware) and surface in TARGETS:
        return TARGETS[surface]
    if surface is Surface.SCREEN:
        return None
    raise SurfaceMissing(f"its firmware cannot show a message on the {surface} alone")


def _box(firmware: Firmware, command: str, text: str) -> str:
    return fit_box(text, requests.longest(firmware, command, "Text"))


def _heading(firmware: Firmware, command: str, title: str | None) -> str | None:
    return fit_line(title or "", requests.longest(firmware, command, "Title")) or None
