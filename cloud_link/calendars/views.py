"""How the calendars stand, for whoever shows it: integrations, their rooms, what a person must look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agent.core.model import CalendarPhase, RoomId
from cloud_link.calendars.integration import Service
from cloud_link.calendars.matching import Doubt, Ground, Named


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomView:
    """One room of an integration."""

    room: RoomId
    address: str | None  # of its calendar (or workspace); None: none was found, or it is to have none
    ground: Ground | None  # why that one
    phase: CalendarPhase
    why: str | None  # in words with the mend
    listed_at: datetime | None  # when it was read last; UTC
    pushed: bool  # changes are told to us


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Since the start."""

    listed: int = 0  # rooms whose day was read
    failed: int = 0  # readings that came to nothing
    hinted: int = 0  # changes that the cloud told us of


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationView:
    """One integration, with the rooms of the site."""

    service: Service
    phase: CalendarPhase
    since: datetime
    why: str | None  # in words with the mend
    rooms: tuple[RoomView, ...]
    doubts: tuple[Doubt, ...] = ()
    others: tuple[Named, ...] = ()  # calendars that no room was matched with
    pushes: str | None = None  # why changes are not told although they should be, in words with the mend
    counts: Counts = Counts()


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationTurned:
    """An integration has changed its phase, or why it is in it."""

    service: Service
    phase: CalendarPhase
    why: str | None
    at: datetime
