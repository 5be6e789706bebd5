"""What Webex says of devices and of the integration itself, as values with the paths that devices have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from cloud_link.calendars.decoding import decode
from cloud_link.calendars.errors import Unreadable

NO_DEVICE = ""

Path = tuple[str | int, ...]  # ("Status", "Call", 1, "Status"): the root, nodes, and which of several


# ── what is told, as values ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One thing that a device said by way of the cloud; its value as the device's own JSON would have it."""

    device_id: str  # Webex's
    workspace_id: str | None
    at: datetime | None  # by Webex's clock
    path: Path
    value: object = field(repr=False)  # None where it is gone; may be private
    gone: bool = False  # the node is no longer there, and nothing below it


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged:
    """What changed on a device; if `full`, all that there is of what the integration may hear."""

    device_id: str
    workspace_id: str | None
    at: datetime | None
    full: bool
    updated: tuple[tuple[Path, object], ...] = field(repr=False)
    removed: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsHappened:
    """What happened on a device, in its order."""

    events: tuple[Observation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """Somebody asks how the integration is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSent:
    """Something about the integration itself, not yet verified."""

    token: str = field(repr=False)


Message = StatusChanged | EventsHappened | HealthCheck | ActionSent


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one poll brought."""

    messages: tuple[Message, ...]
    unreadable: int  # messages, events and nodes that could not be understood; the others do not suffer
    doubtful: frozenset[str] = frozenset()  # devices of which a message or an event could not be
    lost: bool = False  # a message could not be, and who knows of which device it was


def read_batch(body: bytes) -> Batch:
    """What a poll's answer says; Unreadable if it is none."""
    if not body.strip():
        return Batch(messages=(), unreadable=0)
    try:
        told = decode(body, _Poll).messages
    except Unreadable:
        raise Unreadable("the queue's answer cannot be understood") from None
    messages: list[Message] = []
    unreadable = 0
    doubtful: set[str] = set()
    for one in told:
        try:
            message, lost = _message(msgspec.convert(one, type=_Message))
        except ValueError:
            unreadable += 1
            doubtful |= _devices_of(one)
        else:
            unreadable += lost
            if message is not None:
                messages.append(message)
            if lost and isinstance(message, EventsHappened):
                doubtful |= _devices_of(one)
    return Batch(
        messages=tuple(messages),
        unreadable=unreadable,
        doubtful=frozenset(doubtful - {NO_DEVICE}),
        lost=NO_DEVICE in doubtful,
    )


class StatusMemory:
    """Which nodes devices are known to have, so that a whole picture shows what is gone."""

    def __init__(self) -> None:
        self._known: dict[str, set[Path]] = {}

    def heard(self, changed: StatusChanged, *, followed: bool = True) -> tuple[Observation, ...]:
        """What changed, node by node: first what is gone, then what is there. Remembered if `followed`."""
        known = self._known.pop(changed.device_id, set())
        if followed:
            self._known[changed.device_id] = known
        updated = {path for path, _ in changed.updated}
        gone: list[Path] = list(changed.removed)
        if changed.full:
            gone += sorted(
                (path for path in known if path not in updated and not _under(path, gone)), key=str
            )
        for path in gone:
            known -= {one for one in known if one[: len(path)] == path}
        known |= updated
        return (
            *(_observed(changed, path, None, gone=True) for path in gone),
            *(_observed(changed, path, value, gone=False) for path, value in changed.updated),
        )


def as_tree(observations: Iterable[Observation]) -> dict[str, object]:
    """Several observations as one tree from its root, as the device itself would send it.

    Of several instances of a node each has its `id`; what is gone is `{"ghost": "True"}`.
    """
    root: dict[str, object] = {}
    for one in observations:
        _plant(root, one.path, {"ghost": "True"} if one.gone else one.value)
    return root


# ── reading ───────────────────────────────────────────────────────────────────────────────────────

_NODE = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:\[(\d{1,9})\])?")


class _Changes(msgspec.Struct):
    updated: dict[str, object] | None = None
    removed: tuple[str, ...] | None = None


class _Happened(msgspec.Struct):
    key: str
    value: object = None
    timestamp: str | None = None


class _Message(msgspec.Struct, rename="camel"):
    type: str
    device_id: str = ""
    workspace_id: str | None = None
    timestamp: str | None = None
    is_full_sync: bool = False
    changes: _Changes | None = None
    events: tuple[object, ...] = ()
    jwt: str = ""


class _Poll(msgspec.Struct):
    messages: tuple[object, ...] = ()


def _message(said: _Message) -> tuple[Message | None, int]:
    """A message, None if it is of a kind that we do not know; and how many of its nodes make no sense."""
    match said.type:
        case "status" if said.device_id:
            return _status(said)
        case "events" if said.device_id:
            return _events(said)
        case "healthCheck":
            return HealthCheck(), 0
        case "action" if said.jwt:
            return ActionSent(token=said.jwt), 0
        case "status" | "events" | "action":
            raise ValueError(said.type)
        case _:
            return None, 0  # Webex may say more one day


def _status(said: _Message) -> tuple[StatusChanged, int]:
    changes = said.changes or _Changes()
    updated = [(_path("Status", key), value) for key, value in (changes.updated or {}).items()]
    removed = [_path("Status", key) for key in changes.removed or ()]
    changed = StatusChanged(
        device_id=said.device_id,
        workspace_id=said.workspace_id,
        at=_moment(said.timestamp),
        full=said.is_full_sync,
        updated=tuple((path, value) for path, value in updated if path is not None),
        removed=tuple(path for path in removed if path is not None),
    )
    return changed, len(updated) - len(changed.updated) + len(removed) - len(changed.removed)


def _events(said: _Message) -> tuple[EventsHappened, int]:
    events = tuple(event for one in said.events if (event := _event(said, one)) is not None)
    return EventsHappened(events=events), len(said.events) - len(events)


def _event(said: _Message, one: object) -> Observation | None:
    try:
        happened = msgspec.convert(one, type=_Happened)
    except ValueError:
        return None
    path = _path("Event", happened.key)
    if path is None:
        return None
    return Observation(
        device_id=said.device_id,
        workspace_id=said.workspace_id,
        at=_moment(happened.timestamp or said.timestamp),
        path=path,
        value=happened.value,
    )


def _devices_of(message: object) -> set[str]:
    """Of which device something may be lost, where a message cannot be read; none if it is of no device."""
    known = message if isinstance(message, Mapping) else {}
    if known.get("type") in ("action", "healthCheck"):
        return set()
    device = known.get("deviceId")
    return {device if isinstance(device, str) else NO_DEVICE}


def _path(root: str, key: str) -> Path | None:
    """`Call[1].Status` → ("Status", "Call", 1, "Status"); None if it is no path."""
    path: list[str | int] = [root]
    for node in key.split("."):
        match = _NODE.fullmatch(node)
        if match is None:
            return None
        path.append(match[1])
        if match[2] is not None:
            path.append(int(match[2]))
    return tuple(path)


def _under(path: Path, roots: Iterable[Path]) -> bool:
    return any(path[: len(root)] == root for root in roots)


def _observed(changed: StatusChanged, path: Path, value: object, *, gone: bool) -> Observation:
    return Observation(
        device_id=changed.device_id,
        workspace_id=changed.workspace_id,
        at=changed.at,
        path=path,
        value=value,
        gone=gone,
    )


def _plant(tree: dict[str, object], path: Path, value: object) -> None:
    at = tree
    for place, node in enumerate(path):
        if isinstance(node, int):
            continue  # it says which of several, and was followed with the node before it
        number = path[place + 1] if place + 1 < len(path) else None
        last = place + (2 if isinstance(number, int) else 1) >= len(path)
        if isinstance(number, int):
            at = _instance(at, node, number)
            if last:
                at.update(value if isinstance(value, Mapping) else {"Value": value})
        elif last:
            at[node] = value
        else:
            at = _branch(at, node)


def _branch(at: dict[str, object], node: str) -> dict[str, object]:
    there = at.get(node)
    if isinstance(there, dict):
        return there
    made: dict[str, object] = {}
    at[node] = made
    return made


def _instance(at: dict[str, object], node: str, number: int) -> dict[str, object]:
    """The instance of a node with this number, made if it is not there."""
    there = at.get(node)
    instances: list[object] = there if isinstance(there, list) else []
    at[node] = instances
    for one in instances:
        if isinstance(one, dict) and one.get("id") == number:
            return one
    made: dict[str, object] = {"id": number}
    instances.append(made)
    return made


def _moment(text: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
