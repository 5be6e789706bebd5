"""What is noticed by the shorter way is what a whole look notices."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.events import PeopleCounted, PresenceSensed
from agent.core.model import Policy
from agent.core.noticing import look, recount
from agent.core.occupancy import sense
from agent.core.step import step
from tests.agent.core.story import CODEC, Story, at

COUNTS = st.lists(st.tuples(st.sampled_from((None, 0, 1, 2, 2, 3, 9)), st.integers(1, 40_000)), max_size=12)
POLICY = Policy()


@settings(max_examples=60)
@given(counts=COUNTS)
def test_a_recount_notices_what_a_whole_look_does(counts: list[tuple[int | None, int]]):
    room, now = Story(judges=True).connected("08:00").room, at("09:00")
    for event in (PresenceSensed(device=CODEC, presence=True), PeopleCounted(device=CODEC, people=4)):
        room = step(room, event, now=now, policy=POLICY).room
    for people, seconds in counts:
        now += timedelta(seconds=seconds)
        event = PeopleCounted(device=CODEC, people=people)
        sensed = sense(room, event, now=now).room
        short = recount(room, sensed, event, now=now)
        if short is not None:
            assert short == replace(look(sensed, heard=CODEC, now=now), looked_at=now)
        room = step(room, event, now=now, policy=POLICY).room


def test_most_of_what_is_counted_goes_the_shorter_way():
    room, now = Story(judges=True).connected("08:00").room, at("09:00")
    for people in (4, 3, 2):
        room = step(room, PeopleCounted(device=CODEC, people=people), now=now, policy=POLICY).room
    fewer = PeopleCounted(device=CODEC, people=1)
    assert recount(room, sense(room, fewer, now=now).room, fewer, now=now) is not None
    nobody = PeopleCounted(device=CODEC, people=0)
    assert recount(room, sense(room, nobody, now=now).room, nobody, now=now) is None
