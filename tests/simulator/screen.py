"""What the room's screens show at the moment and what people do at them: messages, web views, the light."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from zoneinfo import ZoneInfo

from tests.simulator.bookings import stamp
from tests.simulator.clock import Schedule
from tests.simulator.firmware import Scalar

if TYPE_CHECKING:
    from tests.simulator.device import Device

Surface = Literal["OSD", "Controller", "RoomScheduler"]

SURFACES: Final[tuple[Surface, ...]] = ("OSD", "Controller", "RoomScheduler")
BY_HAND: Final[tuple[Surface, ...]] = ("Controller", "OSD", "RoomScheduler")  # where people tap first
KINDS: Final = ("Prompt", "Alert", "TextLine", "Rating", "TextInput")
ASKING: Final = frozenset({"Prompt", "Rating", "TextInput"})  # these have a FeedbackId
PERIPHERALS: Final[Mapping[str, Surface]] = {
    "aa:bb:cc:dd:ee:ff": "Controller",
    "aa:bb:cc:dd:ee:fe": "RoomScheduler",
}

_BREAK: Final = re.compile(r"<\s*(?:br\s*/?|/?\s*p)\s*>|\r?\n", re.IGNORECASE)  # all that messages understand

Told = tuple[tuple[str, ...], Mapping[str, Scalar]]  # an event: its name and its body


class NotShown(ValueError):
    """Somebody taps what is not there."""


@dataclass(slots=True, kw_only=True, eq=False)
class Message:
    """One message as the command gave it."""

    kind: str
    parameters: Mapping[str, Scalar]
    shown_at: datetime
    until: datetime | None  # None: until cleared
    surfaces: tuple[Surface, ...]  # fewer when it was replaced or cleared on one of them

    def text(self, name: str) -> str:
        return str(self.parameters.get(name, ""))

    @property
    def feedback_id(self) -> str:
        return self.text("FeedbackId")

    @property
    def options(self) -> dict[int, str]:
        return {
            number: self.text(f"Option.{number}") for number in range(1, 6) if self.text(f"Option.{number}")
        }

    @property
    def lines(self) -> list[str]:
        """The text as it stands on the screen: `<p>` and `<br>` begin a line, other markup stays text."""
        return [line.strip() for line in _BREAK.split(self.text("Text")) if line.strip()]


class Screen:
    """Everything that one device's surfaces show.

    On each surface there is one message of a kind at a time. A message without a target is on the screen and
    the controller, a text line on the screen alone.
    """

    def __init__(self, device: "Device", schedule: Schedule) -> None:
        self.messages: Final[list[Message]] = []  # oldest first
        self.web_views: Final[dict[str, Mapping[str, Scalar]]] = {}  # by their target
        self.colour: str | None = None  # of the light, as commanded
        self._device: Final = device
        self._schedule: Final = schedule

    # Reading

    @property
    def prompt(self) -> Message | None:
        return self._latest("Prompt")

    @property
    def alert(self) -> Message | None:
        return self._latest("Alert")

    @property
    def text_line(self) -> Message | None:
        return self._latest("TextLine")

    def on(self, surface: Surface, kind: str = "Prompt") -> Message | None:
        """The message of a kind on a surface, whether or not it can be seen."""
        return next((m for m in reversed(self.messages) if m.kind == kind and surface in m.surfaces), None)

    def dark(self, surface: Surface) -> bool:
        """Whether nothing can be seen there; the panel at the door does not sleep with the device."""
        device = self._device
        asleep = device.status("Standby", "State") == "Standby"
        return bool(device.down) or (asleep and surface != "RoomScheduler")

    @property
    def light(self) -> str:
        """The colour of the light at the door."""
        device = self._device
        match device.config("UserInterface", "LedControl", "Mode"):
            case "Manual":
                return self.colour or "Green"
            case "Off":
                return "Off"
            case _:
                booked = device.calendar.current() is not None
                state = "Busy" if booked else "Available"
                wished = device.config("UserInterface", "RoomScheduler", "State", state, "Color")
                return str(wished or ("Red" if booked else "Green"))

    def seen(self) -> dict[str, Any]:
        """As plain values, by surface: what is there, what is in front, and the light.

        `messages` stand from front to back; one is `seen` when the surface is lit and nothing covers it.
        """
        mode = self._device.config("UserInterface", "LedControl", "Mode")
        return {
            **{surface: self._seen_on(surface) for surface in SURFACES},
            "LED": {"mode": mode or "Auto", "colour": "Off" if self._device.down else self.light},
        }

    # What commands do

    def show(self, kind: str, parameters: Mapping[str, Scalar]) -> Message:
        """A message as a command gives it; it takes the place of those of its kind."""
        duration_s = int(parameters.get("Duration", 0))
        now = self._device.now()
        until = now + timedelta(seconds=duration_s) if duration_s else None
        message = Message(
            kind=kind, parameters=parameters, shown_at=now, until=until, surfaces=addressed(kind, parameters)
        )
        cleared = self._take_off(message.surfaces, [old for old in self.messages if old.kind == kind])
        self.messages.append(message)
        if until is not None:
            self._schedule.at(until, partial(self._lapse, message))
        if self._device.faults.messages_wake:
            self._device.stand_by("Off")
        body = {"Duration": 0, "Title": "", "Target": "Auto", "PeripheralId": "", **parameters}
        shown: Told = (("UserInterface", "Message", kind, "Display"), body)
        how = self._device.faults.replaced_prompt if kind in ASKING else "silent"
        self._tell([*cleared, shown] if how == "cleared" else [shown])
        if how == "late":
            self._schedule.after(0.0, partial(self._tell, cleared))
        return message

    def clear(self, kind: str, feedback_id: str = "", surfaces: Sequence[Surface] = ()) -> None:
        """Takes messages off: of this feedback id, or of any; from these surfaces, or from all."""
        asked = [m for m in self.messages if m.kind == kind and feedback_id in ("", m.feedback_id)]
        self._tell(self._take_off(surfaces or self._untargeted(kind), asked))

    def respond(self, option: int, feedback_id: str = "", origin: str = "") -> None:
        """What the command Prompt Response does: answers wherever it is, also in the dark."""
        prompts = [m for m in self.messages if m.kind == "Prompt" and feedback_id in ("", m.feedback_id)]
        if not prompts:
            raise NotShown("there is no such prompt")
        self._answer(prompts[-1], option, origin or prompts[-1].surfaces[0])

    def go_dark(self) -> None:
        """A reboot: messages, web views and the commanded colour are lost."""
        for message in list(self.messages):
            self._withdraw(message)
        self.web_views.clear()
        self.colour = None

    # What people do

    def press(self, option: int, feedback_id: str | None = None, origin: str = "") -> None:
        """Somebody taps an answer of the prompt that is in front; NotShown when it is not there."""
        surface, prompt = self._in_front("Prompt", origin)
        if feedback_id is not None and feedback_id != prompt.feedback_id:
            raise NotShown(f"the prompt on the {surface} is {prompt.feedback_id!r}")
        self._answer(prompt, option, surface)

    def dismiss(self, kind: str, origin: str = "") -> None:
        """Somebody taps beside a message; NotShown when it is not there. It goes wherever it is."""
        surface, message = self._in_front(kind, origin)
        self._withdraw(message)
        self._tell([self._cleared(message, (surface,))])

    # Inside

    def _answer(self, prompt: Message, option: int, surface: str) -> None:
        if option not in prompt.options:
            raise NotShown(f"the prompt has no option {option}")
        self._withdraw(prompt)
        body = {"FeedbackId": prompt.feedback_id, "OptionId": option, **self._origin(surface)}
        self._tell([(("UserInterface", "Message", "Prompt", "Response"), body)])

    def _withdraw(self, message: Message) -> None:
        """Takes it off wherever it is, and it will not lapse any more."""
        message.surfaces = ()
        self.messages.remove(message)

    def _latest(self, kind: str) -> Message | None:
        return next((message for message in reversed(self.messages) if message.kind == kind), None)

    def _in_front(self, kind: str, origin: str) -> tuple[Surface, Message]:
        if origin not in ("", *SURFACES):
            raise NotShown(f"there is no {origin}")
        for surface in (cast("Surface", origin),) if origin else BY_HAND:
            for message in self._stack(surface):
                if message.kind == kind and not self.dark(surface) and not self._covered(message, surface):
                    return surface, message
        where = f"on the {origin}" if origin else "anywhere"
        raise NotShown(f"no {kind} can be seen {where}")

    def _stack(self, surface: Surface) -> list[Message]:
        """From front to back: what asks, alerts, banners; the newest first."""
        here = [message for message in reversed(self.messages) if surface in message.surfaces]
        return sorted(here, key=lambda m: 0 if m.kind in ASKING else 1 if m.kind == "Alert" else 2)

    def _covered(self, message: Message, surface: Surface) -> bool:
        """Behind another message; a banner lies over everything."""
        return message.kind != "TextLine" and self._stack(surface)[0] is not message

    def _seen_on(self, surface: Surface) -> dict[str, Any]:
        dark = self.dark(surface)
        view = self.web_views.get(surface)
        return {
            "dark": dark,
            "idle": [] if dark else self._idle(surface),
            "web_view": None if view is None else str(view.get("Url", "")),
            "messages": [
                {
                    "kind": message.kind,
                    "title": message.text("Title"),
                    "lines": message.lines,
                    "options": {str(number): text for number, text in message.options.items()},
                    "feedback_id": message.feedback_id,
                    "since": stamp(message.shown_at),
                    "until": None if message.until is None else stamp(message.until),
                    "seen": not dark and not self._covered(message, surface),
                }
                for message in self._stack(surface)
            ],
        }

    def _idle(self, surface: Surface) -> list[str]:
        """What it shows by itself."""
        device = self._device
        if surface == "OSD" and device.status("Standby", "State") == "Halfwake":
            lines = [device.name, device.config("UserInterface", "OSD", "HalfwakeMessage")]
        elif surface == "OSD":
            lines = [device.name, self._availability(), device.config("UserInterface", "CustomMessage")]
        elif surface == "RoomScheduler" and (current := device.calendar.current()) is not None:
            title = "Private meeting" if current.private else current.title
            lines = [device.name, self._availability(), title]
        else:
            lines = [device.name, self._availability()]
        return [str(line) for line in lines if line]

    def _availability(self) -> str:
        device = self._device
        zone = ZoneInfo(str(device.config("Time", "Zone")))
        if (current := device.calendar.current()) is not None:
            return f"Booked until {current.end.astimezone(zone):%H:%M}"
        if (following := device.calendar.next_start()) is not None:
            return f"Free until {following.astimezone(zone):%H:%M}"
        return "Free"

    def _untargeted(self, kind: str) -> Sequence[Surface]:
        return SURFACES if self._device.faults.untargeted_clear == "all" else addressed(kind, {})

    def _take_off(self, surfaces: Sequence[Surface], messages: Sequence[Message]) -> list[Told]:
        """Takes these messages off these surfaces; returns what is told of it."""
        told: list[Told] = []
        for message in messages:
            lost = tuple(surface for surface in message.surfaces if surface in surfaces)
            if lost:
                message.surfaces = tuple(surface for surface in message.surfaces if surface not in lost)
                told.append(self._cleared(message, lost))
        self.messages[:] = [message for message in self.messages if message.surfaces]
        return told

    def _cleared(self, message: Message, lost: tuple[Surface, ...]) -> Told:
        name = "Clear" if message.kind == "TextInput" else "Cleared"
        origin = self._origin(lost[0]) if len(lost) == 1 else {}
        return ("UserInterface", "Message", message.kind, name), {
            "FeedbackId": message.feedback_id,
            **origin,
        }

    def _origin(self, surface: str) -> dict[str, Scalar]:
        if not self._device.faults.names_origin:
            return {}
        peripheral = next((mac for mac, where in PERIPHERALS.items() if where == surface), "")
        return {"Origin": surface, "PeripheralId": peripheral}

    def _lapse(self, message: Message) -> None:
        self._tell(self._take_off(message.surfaces, [message]))

    def _tell(self, events: Sequence[Told]) -> None:
        if events:
            self._device.emit([name for name, _ in events], [body for _, body in events])
        self._device.on_change()


def addressed(kind: str, parameters: Mapping[str, Scalar]) -> tuple[Surface, ...]:
    """The surfaces that a message goes to; KeyError for a peripheral that there is not."""
    if peripheral := parameters.get("PeripheralId"):
        return (PERIPHERALS[str(peripheral).lower()],)
    if target := parameters.get("Target"):
        return (cast("Surface", target),)
    return ("OSD",) if kind == "TextLine" else ("OSD", "Controller")
