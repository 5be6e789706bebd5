"""What the room's screens show at the moment: messages, a web view, the light at the door."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

KINDS: Final = ("Prompt", "Alert", "TextLine", "Rating", "TextInput")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as the command gave it."""

    kind: str
    parameters: Mapping[str, int | str]
    shown_at: datetime
    until: datetime | None  # None: until cleared

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
    def targets(self) -> tuple[str, ...]:
        """The surfaces that it is on; without a target a device chooses its own and its controller."""
        target = self.text("Target")
        return (target,) if target else ("OSD", "Controller")


@dataclass(slots=True, kw_only=True)
class Screen:
    """Everything that is shown; a new message replaces the old one of its kind."""

    messages: dict[str, Message] = field(default_factory=dict)
    web_view: Mapping[str, int | str] | None = None
    led: str = "Green"

    @property
    def prompt(self) -> Message | None:
        return self.messages.get("Prompt")

    @property
    def alert(self) -> Message | None:
        return self.messages.get("Alert")

    @property
    def text_line(self) -> Message | None:
        return self.messages.get("TextLine")

    def truth(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "messages": {
                kind: {**message.parameters, "targets": list(message.targets)}
                for kind, message in self.messages.items()
            },
            "web_view": dict(self.web_view) if self.web_view else None,
            "led": self.led,
        }
