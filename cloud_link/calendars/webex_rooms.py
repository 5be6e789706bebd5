"""Rooms and devices as Control Hub has them, and whether a room's Hybrid Calendar is configured and lives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from agent.core.model import CalendarKind

Tree = Mapping[str, object]
HYBRID_ID = "webex-"  # how the ids of a hybrid calendar's bookings begin
LONGEST_TROUBLE = 200  # characters
CONNECTED = frozenset({"connected", "connected_with_issues"})
KINDS: Mapping[str, CalendarKind] = {
    "microsoft": CalendarKind.MICROSOFT,
    "google": CalendarKind.GOOGLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """What Control Hub finds wrong with a workspace, in Cisco's words."""

    id: str
    level: str  # error, warning, info, ok
    title: str
    mend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A room, as Control Hub knows it."""

    id: str
    name: str
    location_id: str | None
    capacity: int | None
    calendar: CalendarKind | None  # MICROSOFT or GOOGLE: whose calendar Hybrid Calendar reads; None without
    address: str | None  # of that calendar
    issues: tuple[Issue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudDevice:
    """A device that is registered with Webex."""

    id: str
    name: str
    workspace_id: str | None
    serial: str | None
    product: str
    software: str
    connected: bool
    connection: str  # in Webex's word: connected, connected_with_issues, disconnected, offline_expired, …
    ip: str | None
    last_seen: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardBookings:
    """What a device's list of bookings shows of its calendar; nothing of what is in them."""

    listed: int
    hybrid: int  # of them by Hybrid Calendar
    troubles: tuple[str, ...]  # what the device says of bookings that it could not make out

    def __add__(self, other: HeardBookings) -> HeardBookings:
        return HeardBookings(
            listed=self.listed + other.listed,
            hybrid=self.hybrid + other.hybrid,
            troubles=self.troubles + other.troubles,
        )


class HybridPhase(StrEnum):
    """How sure it is that a room has a living Hybrid Calendar."""

    NONE = "none"  # the workspace has no calendar
    CONFIGURED = "configured"  # it has one; nothing shows yet whether it lives
    LIVING = "living"  # a device of the room shows its bookings
    FAILING = "failing"  # Control Hub or a device says that it does not work


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridCalendar:
    """A room's Hybrid Calendar, with the reason in words, and what to do where something is to be done."""

    phase: HybridPhase
    kind: CalendarKind | None  # MICROSOFT or GOOGLE: whose calendar it reads
    address: str | None
    why: str
    mend: str | None


def judge_hybrid(
    workspace: Workspace, devices: Sequence[CloudDevice], heard: HeardBookings | None
) -> HybridCalendar:
    """Whether a room has a configured and living Hybrid Calendar.

    `devices` are those of the workspace; `heard` is what they list, None if none could be asked.
    """
    phase, why, mend = _judged(workspace, devices, heard)
    return HybridCalendar(phase=phase, kind=workspace.calendar, address=workspace.address, why=why, mend=mend)


def _judged(
    workspace: Workspace, devices: Sequence[CloudDevice], heard: HeardBookings | None
) -> tuple[HybridPhase, str, str | None]:
    name = workspace.name
    if workspace.calendar is None:
        mend = f"give the workspace its calendar: Control Hub, Workspaces, {name}, Scheduling"
        return HybridPhase.NONE, f"the workspace {name} has no calendar in Control Hub", mend
    whose = "Google" if workspace.calendar is CalendarKind.GOOGLE else "Microsoft"
    there = f"{name} has a {whose} calendar ({workspace.address or 'no address told'}) in Control Hub"
    for issue in workspace.issues:
        if issue.level in ("error", "warning") and "calendar" in f"{issue.id} {issue.title}".lower():
            return HybridPhase.FAILING, f"{there}, which says: {issue.title}", issue.mend or "see Control Hub"
    connected = [device for device in devices if device.connected]
    if heard is not None and heard.hybrid:
        return HybridPhase.LIVING, f"{there}, and a device of the room shows its bookings", None
    if heard is not None and heard.troubles:
        mend = "look at the Hybrid Calendar service in Control Hub, and at the room's mailbox"
        return HybridPhase.FAILING, f"{there}, but a device says: {heard.troubles[0]}", mend
    if not devices:
        mend = "register a device in the workspace, or link the room's calendar itself"
        return HybridPhase.CONFIGURED, f"{there}, but no device to show its bookings", mend
    if not connected:
        seen = max((device.last_seen for device in devices if device.last_seen), default=None)
        since = f" since {seen:%Y-%m-%d %H:%M} UTC" if seen else ""
        mend = "bring a device of the room back on line"
        return HybridPhase.CONFIGURED, f"{there}, but no device of the room is connected{since}", mend
    if heard is None:
        mend = "let the integration's manifest have the command Bookings.List"
        return HybridPhase.CONFIGURED, f"{there}; no device of the room could be asked for its bookings", mend
    if heard.listed:
        mend = "check the workspace's calendar in Control Hub: the device follows another one"
        why = f"{there}, but the bookings that a device of the room shows do not look as if they came from it"
        return HybridPhase.CONFIGURED, why, mend
    return (
        HybridPhase.CONFIGURED,
        f"{there}; nothing is booked today, which would show whether it lives",
        None,
    )


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


def read_workspace(item: object) -> Workspace:
    """One of `GET /workspaces`; ValueError if it is none."""
    said = msgspec.convert(item, type=_Workspace, strict=False)
    calendar = said.calendar or _Calendar()
    return Workspace(
        id=said.id,
        name=said.display_name,
        location_id=said.location_id or said.workspace_location_id,
        capacity=said.capacity,
        calendar=KINDS.get(calendar.type),
        address=calendar.email_address,
        issues=tuple(
            Issue(id=one.id, level=one.level, title=one.title, mend=one.recommended_action)
            for one in (said.health.issues if said.health else ())
        ),
    )


def read_device(item: object) -> CloudDevice:
    """One of `GET /devices`; ValueError if it is none."""
    said = msgspec.convert(item, type=_Device, strict=False)
    return CloudDevice(
        id=said.id,
        name=said.display_name,
        workspace_id=said.workspace_id,
        serial=said.serial,
        product=said.product,
        software=said.software,
        connected=said.connection_status in CONNECTED,
        connection=said.connection_status,
        ip=said.ip,
        last_seen=_moment(said.last_seen),
    )


def read_bookings(result: Tree) -> HeardBookings:
    """What the result of `Bookings.List` shows of the calendar."""
    rows = result.get("Booking")
    bookings = [row for row in _rows(rows) if isinstance(row, Mapping)]
    troubles = (
        str(row.get("BookingStatusMessage") or row.get("BookingStatus"))[:LONGEST_TROUBLE]
        for row in bookings
        if row.get("BookingStatus") not in (None, "", "OK")
    )
    return HeardBookings(
        listed=len(bookings),
        hybrid=sum(str(row.get("Id")).startswith(HYBRID_ID) for row in bookings),
        troubles=tuple(troubles),
    )


def _rows(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else [value]


class _Calendar(msgspec.Struct, rename="camel"):
    type: str = "none"
    email_address: str | None = None


class _Issue(msgspec.Struct, rename="camel"):
    id: str = ""
    level: str = ""
    title: str = ""
    recommended_action: str = ""


class _Health(msgspec.Struct):
    issues: tuple[_Issue, ...] = ()


class _Workspace(msgspec.Struct, rename="camel"):
    id: str
    display_name: str = ""
    location_id: str | None = None
    workspace_location_id: str | None = None
    capacity: int | None = None
    calendar: _Calendar | None = None
    health: _Health | None = None


class _Device(msgspec.Struct, rename="camel"):
    id: str
    display_name: str = ""
    workspace_id: str | None = None
    serial: str | None = None
    product: str = ""
    software: str = ""
    connection_status: str = "unknown"
    ip: str | None = None
    last_seen: str | None = None


def _moment(text: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
