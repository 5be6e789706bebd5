"""Who came to what was booked: verdicts, what is no evidence, and use without a booking."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agent.core.attendance import anybody_there
from agent.core.events import (
    BookingCheckedIn,
    BookingDeleted,
    BookingEnded,
    BookingMoved,
    CallsCounted,
    CurrentValuesRead,
    DeviceLost,
    PeopleCounted,
    PresenceSensed,
    PromptAnswered,
    RoomEvent,
    SharingSensed,
    UseSensed,
)
from agent.core.facts import AttendanceFact, FactKind, UseFact
from agent.core.model import (
    AttendancePhase,
    BookingId,
    DeviceId,
    EvidenceKind,
    FeedbackId,
    Outcome,
    Policy,
    RoomId,
    Rules,
    SensorId,
    SensorRules,
)
from tests.agent.core.story import CODEC, M1, Story, at, listed

STARTED = FactKind.BOOKING_STARTED
ENDED = FactKind.BOOKING_ENDED
DELETED = FactKind.BOOKING_DELETED
MOVED = FactKind.BOOKING_MOVED
CHECKED_IN = FactKind.BOOKING_CHECKED_IN
CONFIRMED = FactKind.BOOKING_CONFIRMED
ATTENDED = FactKind.BOOKING_ATTENDED
DESERTED = FactKind.BOOKING_DESERTED
GHOST = FactKind.BOOKING_GHOST
LEFT_EARLY = FactKind.BOOKING_LEFT_EARLY
JUDGED = FactKind.BOOKING_JUDGED
UNBOOKED = FactKind.ROOM_USED_UNBOOKED
OCCUPANCY = FactKind.OCCUPANCY_CHANGED
LOST = FactKind.DEVICE_LOST

PANEL = DeviceId("fjord-panel")
TEN = listed("webex-7", M1, "10:00", "11:00")
NO_ROUTE = DeviceLost(device=CODEC, why="no route to host")


def values(
    people: int | None = 0,
    presence: bool | None = False,
    device: DeviceId = CODEC,
    in_use: bool | None = None,
    calls: int | None = 0,
    sharing: bool | None = False,
) -> CurrentValuesRead:
    if in_use is None and presence is not None:
        in_use = presence or bool(calls) or bool(sharing)
    return CurrentValuesRead(
        device=device, people=people, presence=presence, in_use=in_use, calls=calls, sharing=sharing
    )


def people(count: int | None) -> PeopleCounted:
    return PeopleCounted(device=CODEC, people=count)


def presence(there: bool | None, device: DeviceId = CODEC) -> PresenceSensed:
    return PresenceSensed(device=device, presence=there)


class Day(Story):
    """A story in which only what is told of attendance counts."""

    def __init__(self, *bookings: object, **more: object) -> None:
        super().__init__(judges=True, **more)  # type: ignore[arg-type]

    def verdicts(self) -> list[Outcome]:
        return [
            fact.attendance.outcome
            for fact in self.told
            if isinstance(fact, AttendanceFact) and fact.attendance.outcome is not None
        ]


def a_day(*bookings: object, first: CurrentValuesRead | None = None, **more: object) -> Story:
    """The codec has been heard since eight, nobody is there, and this is booked."""
    story = Story(judges=True, **more).connected("08:00")  # type: ignore[arg-type]
    story.lists("08:00", *(bookings or (TEN,)), tells=(CONFIRMED,) * max(len(bookings), 1))  # type: ignore[arg-type]
    happens(story, "08:00", first or values())
    return story


def happens(story: Story, clock: str, *events: RoomEvent) -> Story:
    """This happens, whatever the cloud is told of it."""
    for event in events:
        story._run_to(at(clock))
        story._happen(event)
    return story


def told(story: Story) -> list[tuple[str, FactKind]]:
    """What was told of attendance, and when."""
    return [(f"{f.at:%H:%M:%S}", f.kind) for f in story.told if isinstance(f, AttendanceFact)]


def verdict(story: Story) -> AttendanceFact:
    """The one final fact."""
    final = [f for f in story.told if isinstance(f, AttendanceFact) and f.attendance.outcome is not None]
    assert len(final) == 1, [f.kind for f in final]
    return final[0]


# ── the plain cases ───────────────────────────────────────────────────────────────────────────────


def test_nobody_comes_and_that_is_known_for_the_whole_of_it():
    story = a_day().until("11:05", STARTED, DESERTED, ENDED, GHOST)
    assert told(story) == [("10:10:00", DESERTED), ("11:00:15", GHOST)]
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.GHOST
    assert (fact.known, fact.unknown) == (timedelta(hours=1), timedelta(0))
    assert fact.attendance.evidence == ()
    assert fact.attendance.people_peak is None


def test_people_who_come_are_there_after_a_minute_of_being_counted():
    story = happens(a_day(), "10:04", people(3), presence(True)).until("10:06", STARTED, OCCUPANCY) if False else a_day()
    happens(story, "10:04", presence(True), people(3))
    happens(story, "10:20", people(5))
    happens(story, "10:59", people(4))
    happens(story, "11:00:30", people(0))
    happens(story, "11:02", presence(False))
    story._run_to(at("11:30"))
    assert told(story) == [("10:05:00", ATTENDED), ("11:02:00", JUDGED)]
    fact = verdict(story)
    assert fact.attendance.outcome is Outcome.ATTENDED
    assert fact.attendance.came_at == at("10:04")
    assert fact.attendance.people_peak == 5
    seen = {each.kind: each for each in fact.attendance.evidence}
    assert set(seen) == {EvidenceKind.PRESENCE, EvidenceKind.PEOPLE}
    assert seen[EvidenceKind.PEOPLE].by == CODEC
    assert seen[EvidenceKind.PEOPLE].first_at == at("10:04")
    assert seen[EvidenceKind.PEOPLE].lasted == timedelta(minutes=56)
    assert (fact.known, fact.unknown) == (timedelta(hours=1), timedelta(0))
