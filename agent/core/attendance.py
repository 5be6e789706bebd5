"""Who came to what was booked: each booking's attendance, its verdict, and use without a booking."""

from __future__ import annotations

from datetime import datetime

from agent.core.events import RoomEvent
from agent.core.facts import Step
from agent.core.model import Policy, Room


def judge(before: Room, taken: Step, event: RoomEvent, *, now: datetime, policy: Policy) -> Step:
    """Follow who is in the room after an event, and what that means for the bookings that run.

    `before` is the room as it was before the event, `taken` what came of it so far. Returns `taken` itself if
    nothing in it has to do with people.
    """
    return taken


def next_judgement(room: Room, policy: Policy) -> datetime | None:
    """When the clock has something to say of attendance; derived from the room, so that a restart loses none."""
    return None


def anybody_there(room: Room, *, now: datetime) -> bool | None:
    """Whether there is any sign of people now: True any at all; False known to be empty; None nobody can tell."""
    return None
