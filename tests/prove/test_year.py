"""Whether the proof itself is right: the rules of others on one booking, and two weeks of some rooms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.model import Outcome
from tests.prove.year import report
from tests.prove.year.people import MINUTE, Booked, Kind, Past, Purpose, Span, Visit, lived
from tests.prove.year.rivals import GHOST_MEETING, ROOM_RELEASE, WI_ROOM_RELEASE, Rule, patient, released_at
from tests.prove.year.rooms import ROOMS, Eye, Third, Traits, furnished
from tests.prove.year.score import ROOMD, Score, scored
from tests.prove.year.sensors import Said, noticed, watched
from tests.prove.year.truth import Release, Truth

NOON = 1_767_610_800.0  # Monday, 5 January 2026, 12:00 in Oslo
HOUR = 3600.0


def past(
    *visits: Visit, kind: Kind = Kind.MEETING, calls: tuple[Span, ...] = (), eye: Eye | None = None
) -> Truth:
    """One booking from 12:00 to 13:00 in a room with one device, which knows no standby by itself."""
    traits = Traits(
        name="room", number=0, seats=6, eyes=(eye or Eye(never_sleeps=True, misses=0.0),), forsaken=0.0
    )
    booked = Booked(number=0, kind=kind, starts_s=NOON, ends_s=NOON + HOUR, created_s=NOON - HOUR)
    day = Past(
        traits=traits,
        bookings=[booked],
        visits=list(visits),
        calls=list(calls),
        begins_s=NOON - 12 * HOUR,
        ends_s=NOON + 12 * HOUR,
    )
    return Truth(day, [watched(day, 0, seed=1)], None)


def visit(from_min: float, to_min: float, **other: object) -> Visit:
    """Somebody of the booking's, from so many minutes after its start to so many."""
    there = {"heads": 1, "purpose": Purpose.MEETS, "booking": 0, **other}
    return Visit(from_s=NOON + from_min * MINUTE, to_s=NOON + to_min * MINUTE, **there)  # type: ignore[arg-type]


def minutes(rule: Rule, truth: Truth) -> float | None:
    """When the rule releases the booking, in minutes after its start."""
    at_s = released_at(rule, truth.past.bookings[0], truth.seen[0], truth)
    return None if at_s is None else (at_s - NOON) / MINUTE


# ── the rules of others ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rule", "after"), [(GHOST_MEETING, 6.0), (ROOM_RELEASE, 0.83), (WI_ROOM_RELEASE, 11.0)]
)
def test_an_empty_room_is_released_when_the_rule_says_so(rule: Rule, after: float):
    assert minutes(rule, past(kind=Kind.NOBODY)) == pytest.approx(after, abs=0.1)


@pytest.mark.parametrize("rule", [GHOST_MEETING, ROOM_RELEASE, WI_ROOM_RELEASE])
def test_a_room_with_people_in_view_is_left_alone(rule: Rule):
    assert minutes(rule, past(visit(-2, 62, heads=3))) is None


def test_minus_one_is_nobody_to_the_one_and_not_to_the_other():
    sleeps = Eye(wakes_on_motion=False)
    people = visit(-2, 62, heads=3, view=0.0)
    assert minutes(GHOST_MEETING, past(people, eye=sleeps)) is not None
    assert minutes(ROOM_RELEASE, past(people, eye=sleeps)) is None


def test_who_touches_the_countdown_keeps_the_room():
    hidden = visit(-2, 62, view=0.0, answers_after_s=20.0)
    assert minutes(GHOST_MEETING, past(hidden)) is None
    assert minutes(GHOST_MEETING, past(replace(hidden, answers_after_s=70.0))) is not None


def test_a_patient_rule_waits_longer():
    assert minutes(patient(GHOST_MEETING, 4), past(kind=Kind.NOBODY)) == pytest.approx(21, abs=5.1)


# ── the truth ─────────────────────────────────────────────────────────────────────────────────────


def test_what_a_release_was_depends_on_who_was_there_and_who_was_seen():
    nobody = past(kind=Kind.NOBODY)
    assert nobody.released(nobody.past.bookings[0], NOON + 600) is Release.RIGHT
    seen = past(visit(2, 50))
    assert seen.released(seen.past.bookings[0], NOON + 60) is Release.TOO_SOON
    assert seen.released(seen.past.bookings[0], NOON + 600) is Release.SEEN
    assert seen.released(seen.past.bookings[0], NOON + 51 * 60) is Release.AFTERWARDS
    hidden = past(visit(2, 50, view=0.0))
    assert hidden.released(hidden.past.bookings[0], NOON + 600) is Release.UNSEEN


def test_a_call_that_nobody_attends_in_the_room_is_a_use_of_it():
    dialled = past(kind=Kind.DIALLED, calls=(Span(from_s=NOON + 60, to_s=NOON + HOUR),))
    assert dialled.released(dialled.past.bookings[0], NOON + 600) is Release.SEEN


# ── the sensors ───────────────────────────────────────────────────────────────────────────────────


def test_presence_goes_late_and_the_count_at_once():
    line = past(visit(0, 30)).seen[0].asleep
    assert line.at(NOON + 15 * MINUTE) == Said(people=1, presence=True, in_use=True)
    assert line.at(NOON + 30 * MINUTE + 10) == Said(people=0, presence=True, in_use=True)
    assert line.at(NOON + 30 * MINUTE + 121) == Said(people=0, presence=False, in_use=False)


def test_a_device_in_standby_counts_minus_one_and_is_not_in_use():
    line = past(visit(0, 30), eye=Eye(misses=0.0)).seen[0].asleep
    assert line.at(NOON - HOUR) == Said(people=None, presence=None, in_use=False)
    assert line.at(NOON + 39 * MINUTE) == Said(people=0, presence=False, in_use=False)
    assert line.at(NOON + 41 * MINUTE) == Said(people=None, presence=None, in_use=False)


def test_a_poster_is_counted_and_speaks_for_nobody():
    truth = past(kind=Kind.NOBODY, eye=Eye(never_sleeps=True, posters=2))
    said = truth.seen[0].asleep.at(NOON)
    assert said.people == 2
    assert said.presence
    assert not truth.seen[0].spoke(truth.seen[0].asleep, NOON, NOON + HOUR)


def test_the_same_seed_makes_the_same_year_and_another_another():
    traits = furnished(1, 2)
    one, same, other = (lived(traits, seed=seed, days=7) for seed in (1, 1, 2))
    assert one.visits == same.visits
    assert one.visits != other.visits
    assert traits.third is Third.MOTION
    third = noticed(one, seed=1)
    assert third is not None
    assert third.changes[0] == (one.begins_s, 0)


def test_every_fault_stands_in_some_room():
    rooms = [furnished(1, number) for number in range(ROOMS)]
    eyes = [eye for room in rooms for eye in room.eyes]
    assert any(eye.posters for eye in eyes)
    assert any(eye.shuttered for eye in eyes)
    assert any(eye.glass for eye in eyes)
    assert any(not eye.counts_out_of_call for eye in eyes)
    assert {room.third for room in rooms} == {None, *Third}
    assert any(not room.eyes for room in rooms)


# ── the core ──────────────────────────────────────────────────────────────────────────────────────


def test_two_weeks_in_which_nobody_is_put_out_who_was_seen():
    score = Score()
    for number in (0, 2):  # the second has a second sensor
        score.add(scored(number, seed=1, days=14))
    assert score.wrongs == []
    assert score.released(ROOMD, 1, Release.SEEN) == 0
    assert score.judged(Outcome.GHOST, ghosts=True) > 10
    assert score.released(ROOMD, 1, Release.RIGHT) > 10
    assert Score.of(score.as_dict()) == score
    assert any("roomd, releases" in line for line in report.table(score))
