"""Whatever happens in a room, and in whatever order: no release against what was known, and none twice."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.events import (
    BookingCheckedIn,
    CheckInRead,
    DeviceLost,
    PromptAnswered,
    PromptCleared,
    RoomEvent,
)
from agent.core.facts import Fact, FactKind, ListBookings, ReadValues, Release, ReleaseFact, ShowOn
from agent.core.model import BookingId, ReleasePhase
from tests.agent.core.story import CODEC, M1, at
from tests.agent.core.test_releasing import KEPT, OF_RELEASES, ON, RELEASED, Vacant, vacant

at_leisure = settings(max_examples=80, deadline=None)  # a busy machine is slow, and nothing is wrong with it

SOMEBODY: dict[str, object] = {"presence": True, "in_use": True}
NOBODY: dict[str, object] = {"people": 0, "presence": False, "in_use": False, "calls": 0, "sharing": False}
UNKNOWN: dict[str, object] = {"people": None, "presence": None, "in_use": None}
HAPPENINGS = (
    "somebody",
    "nobody",
    "unknown",
    "lost",
    "back",
    "answer",
    "dismiss",
    "check_in",
    "restart",
    "own",
)

days = st.lists(st.tuples(st.integers(0, 20 * 60), st.sampled_from(HAPPENINGS)), max_size=6).map(sorted)


def happen(day: Vacant, what: str) -> None:
    events: list[RoomEvent] = []
    match what:
        case "somebody" | "nobody" | "unknown":
            day.sensed |= {"somebody": SOMEBODY, "nobody": NOBODY, "unknown": UNKNOWN}[what]
            events.append(day.values(CODEC))
        case "lost":
            events.append(DeviceLost(device=CODEC, why="cut"))
        case "back":
            day.reached()
        case "answer" | "dismiss":
            prompt = next((each.prompt for each in day.room.releases.values() if each.prompt), None)
            if prompt is not None and what == "answer":
                events.append(PromptAnswered(device=CODEC, feedback_id=prompt, option=1))
            elif prompt is not None:
                events.append(PromptCleared(device=CODEC, feedback_id=prompt))
        case "check_in":
            events.append(BookingCheckedIn(device=CODEC, booking_id=BookingId("webex-1"), meeting_id=M1))
        case "restart":
            day.restarts(f"{day.now:%H:%M:%S}")
        case _:
            events.append(CheckInRead(device=CODEC, enabled=True))
    for event in events:
        day.happens(event)


@at_leisure
@given(days)
@example([])
@example([(11 * 60, "somebody"), (11 * 60 + 1, "nobody")])
@example([(200, "somebody"), (260, "nobody")])
@example([(0, "somebody"), (1, "nobody")])
@example([(1, "somebody"), (2, "nobody")])
@example([(11 * 60, "restart"), (11 * 60 + 30, "back")])
@example([(11 * 60, "lost"), (11 * 60 + 30, "back")])
@example([(12 * 60, "answer")])
def test_no_room_is_given_away_of_which_anything_spoke_for_people(happened: list[tuple[int, str]]) -> None:
    day = vacant(ON).begun()
    spoke: str | None = None
    for after_s, what in happened:
        moment = at("09:00") + timedelta(seconds=after_s)
        day.passes(max(moment, day.now))
        before = day.ordered_release()
        happen(day, what)
        if what in {"somebody", "answer", "check_in", "own"} and before is None:
            asked = what != "answer" or any(f.kind is KEPT for f in facts(day))
            if what == "somebody" and day.now == at("09:00"):
                continue  # as it began: one of those who were leaving, for all that is known
            spoke = spoke or (what if asked and heard(day) else None)
        if what == "back" and spoke == "own":
            spoke = None  # whoever connects says that it is off
    day.passes(at("11:30"))

    told = Counter(fact.kind for fact in facts(day))
    assert sum(told.values()) <= 1
    orders = [when for when, each in day.requests if isinstance(each, Release)]
    assert len(orders) <= 1
    assert len(day.asked_for(ShowOn)) <= 1 + sum(what == "back" for _, what in happened)
    if spoke is not None and (released_at := day.ordered_release()) is not None:
        raise AssertionError(f"{spoke}, and released at {released_at:%H:%M:%S}")
    if orders:  # the last check came right before
        for kind in (ReadValues, ListBookings):
            looks = [when for when, each in day.requests if isinstance(each, kind) and when <= orders[0]]
            assert orders[0] - looks[-1] <= timedelta(seconds=30)
    if told[RELEASED]:
        deleted = [fact.kind for fact in day.told].index(FactKind.BOOKING_DELETED)
        assert deleted < [fact.kind for fact in day.told].index(RELEASED)
    assert all(not each.under_way for each in day.room.releases.values())
    assert not any(hold.live for hold in day.room.holds.values())


def facts(day: Vacant) -> list[Fact]:
    return [fact for fact in day.told if isinstance(fact, ReleaseFact) and fact.kind in OF_RELEASES]


def heard(day: Vacant) -> bool:
    return day.room.devices[CODEC].phase == "connected"


def test_without_anything_happening_it_is_released() -> None:
    day = vacant(ON).begun()
    day.passes(at("11:30"))
    assert [fact.kind for fact in facts(day)] == [RELEASED]
    assert {each.phase for each in day.room.releases.values()} <= {ReleasePhase.RELEASED}
