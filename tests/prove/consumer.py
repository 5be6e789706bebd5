"""What a cloud service would believe, of what is retained and of the events alone, and whether it is so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.prove.recorder import Event

GRANTED: Final = frozenset({"confirmed", "started"})
TOLD: Final = ("requested", "confirmed", "moved", "updated", "started", "checked_in")
OVER: Final = ("failed", "expired", "ended", "deleted")
USED: Final = (  # whether people came, and what that led to; what is booked is told beside it
    "attended",
    "deserted",
    "ghost",
    "left_early",
    "judged",
    "unclaimed",
    "kept",
    "released",
    "release_failed",
)
EDGE: Final = timedelta(seconds=3)  # a booking about to end is in one list and no more in the other
OF_OCCUPANCY: Final = ("people", "presence", "in_use", "in_call", "sharing")
SHOWN: Final = ("starts_at", "ends_at", "title", "meeting_id", "booking_id")

Json = Mapping[str, Any]
Entry = tuple[str | None, ...]  # start, end, title, meeting id, booking id
Slot = tuple[str, str, str]  # start, end, title


# ── the events alone ──────────────────────────────────────────────────────────────────────────────


class Consumer:
    """Follows the events of a site, each of them once, and keeps what they say.

    Who is told of a gap or of a reset knows that the events are not all, and takes what is retained instead.
    """

    def __init__(self) -> None:
        self.bookings: dict[str, dict[str, Json]] = {}  # room, key
        self.occupancy: dict[str, Json] = {}
        self.rooms_with_gaps: set[str] = set()
        self.resets = 0
        self._seen: set[tuple[str, str]] = set()

    def follow(self, events: Iterable[Event]) -> None:
        for event in events:
            key = (event.source, event.id)
            if key in self._seen:
                continue
            self._seen.add(key)
            if event.stream.startswith("rooms/"):
                self._take(event.stream.removeprefix("rooms/"), event)
            elif event.kind == "outbox.gap":
                self.rooms_with_gaps.add(event.body["data"]["stream"].removeprefix("rooms/"))
            elif event.kind == "outbox.reset":
                self.resets += 1

    def _take(self, room: str, event: Event) -> None:
        noun, _, verb = event.kind.partition(".")
        if noun == "booking":
            data = event.body["data"]
            known = self.bookings.setdefault(room, {})
            if verb in TOLD:
                known[data["key"]] = data
            elif verb in OVER:
                known.pop(data["key"], None)
            elif verb not in USED:
                raise ValueError(f"a consumer does not know {event.kind}")
        elif event.kind == "occupancy.changed":
            self.occupancy[room] = event.body["data"]


# ── comparing ─────────────────────────────────────────────────────────────────────────────────────


def differences(truths: Sequence[Json], states: Mapping[str, Json], *, now: datetime) -> list[str]:
    """Where what is retained is not what the devices have. Requests not yet granted are not compared.

    Bookings are None where it is not the devices whose word counts: see `unlisted`.
    """
    found: list[str] = []
    for truth in truths:
        room = truth["room"]
        state = states.get(room)
        if state is None:
            found.append(f"{room}: nothing is retained")
            continue
        if truth["bookings"] is not None:
            found += _unlike(room, "booked", _of_truth(truth, now), _of_agenda(state["agenda"], now))
        found += _unlike(room, "senses", _sensed(truth), _occupied(state["occupancy"], truth))
    return found


def unlisted(
    calendars: Mapping[str, Sequence[Slot]], states: Mapping[str, Json], *, now: datetime
) -> list[str]:
    """Where what is retained is not what linked calendars have: starts, ends and titles by room."""
    found: list[str] = []
    for room, slots in calendars.items():
        state = states.get(room)
        if state is None:
            found.append(f"{room}: nothing is retained")
            continue
        agenda = [entry[:3] for entry in _of_agenda(state["agenda"], now)]
        there = [slot for slot in slots if _at(slot[1]) > now + EDGE]
        found += _unlike(room, "in its calendar", there, agenda)
        if len(agenda) != len(set(agenda)):
            found.append(f"{room}: something is retained twice: {sorted(map(str, agenda))}")
    return found


def contradictions(consumer: Consumer, states: Mapping[str, Json], *, now: datetime) -> list[str]:
    """Where somebody who knows the events alone believes other than what is retained."""
    found: list[str] = []
    for room, state in sorted(states.items()):
        if consumer.resets or room in consumer.rooms_with_gaps:
            continue
        told = consumer.bookings.get(room, {}).values()
        found += _unlike(room, "told by events", _of_agenda(told, now), _of_agenda(state["agenda"], now))
        occupancy = consumer.occupancy.get(room)
        believed = {key: None if occupancy is None else occupancy[key] for key in OF_OCCUPANCY}
        latest = {key: state["occupancy"][key] for key in OF_OCCUPANCY}
        if believed != latest:
            found.append(f"{room}: events say {believed}, and what is retained {latest}")
    return found


def states_of(retained: Mapping[str, bytes]) -> dict[str, Json]:
    """Room: its retained state."""
    states = (json.loads(body) for topic, body in retained.items() if topic.endswith("/state") and body)
    return {state["room"]: state for state in states}


def reach_of(retained: Mapping[str, bytes], room: str, calendar: str) -> str | None:
    """The phase of one of a room's calendars, as its availability says."""
    for topic, body in retained.items():
        if topic.endswith(f"/rooms/{room}/availability") and body:
            for each in json.loads(body)["calendars"]:
                if each["calendar"] == calendar:
                    return str(each["phase"])
    return None


def _unlike(room: str, what: str, one: Iterable[object], other: Iterable[object]) -> list[str]:
    left, right = set(one), set(other)
    if left == right:
        return []
    here, there = sorted(map(str, left - right)), sorted(map(str, right - left))
    return [f"{room}: {what}: only here {here}, only retained {there}"]


def _of_truth(truth: Json, now: datetime) -> list[Entry]:
    return [
        (
            booking["start"],
            booking["end"],
            None if booking["private"] else booking["title"],
            booking["meeting_id"] or None,
            booking["id"],
        )
        for booking in truth["bookings"]
        if not booking["pending"] and not booking["ended"] and _at(booking["end"]) > now + EDGE
    ]


def _of_agenda(entries: Iterable[Json], now: datetime) -> list[Entry]:
    return [
        (
            _whole(entry["starts_at"]),
            _whole(entry["ends_at"]),
            entry["title"],
            entry["meeting_id"],
            entry["booking_id"],
        )
        for entry in entries
        if entry["phase"] in GRANTED and _at(entry["ends_at"]) > now + EDGE
    ]


def _sensed(truth: Json) -> list[tuple[str, object]]:
    people = truth["people"]
    return [
        ("people", None if people == -1 else people),
        ("presence", {"Yes": True, "No": False}.get(truth["presence"])),
        ("in_call", truth["calls"] > 0),
        ("sharing", truth["sharing"]),
    ]


def _occupied(occupancy: Json, truth: Json) -> list[tuple[str, object]]:
    return [(key, occupancy[key]) for key, _ in _sensed(truth)]


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _whole(text: str) -> str:
    return _at(text).strftime("%Y-%m-%dT%H:%M:%SZ")
