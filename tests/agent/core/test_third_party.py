"""Sensors that are not Cisco's: when their word counts, when it runs out, and what devices are told of it."""

from dataclasses import replace
from datetime import UTC, timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.events import (
    DeviceLost,
    PeopleCounted,
    PresenceSensed,
    SensorAway,
    SensorBack,
    SensorCutOff,
    SensorSaid,
    UseRefused,
    UseSensed,
    UseTold,
)
from agent.core.facts import FactKind, OccupancyFact
from agent.core.glance import Condition, glance
from agent.core.model import (
    Occupancy,
    Policy,
    RoomId,
    Rules,
    Sense,
    SensorId,
    SensorPhase,
    SensorRules,
)
from agent.core.occupancy import witnesses
from agent.core.third_party import SENSOR_TRANSITIONS, SensorSign, install
from tests.agent.core.story import CODEC, Story, at

CHANGED = FactKind.OCCUPANCY_CHANGED
CEILING, DOOR = SensorId("fjord-ceiling"), SensorId("fjord-door")
ROOM = RoomId("fjord")
PATIENT = SensorRules(
    id=CEILING,
    counts_after=timedelta(seconds=10),
    clears_after=timedelta(seconds=60),
    stale_after=timedelta(hours=3),
)
PROMPT = replace(PATIENT, counts_after=timedelta(0), clears_after=timedelta(0))


def story(*sensors: SensorRules, devices=(), **more) -> Story:
    policy = Policy(rooms={ROOM: Rules(sensors=sensors or (PATIENT,))}, **more)
    return Story(policy=policy, devices=devices)


def said(sensor=CEILING, *, kept=False, at_=None, yes_for_s=None, stale_after_s=None, **values):
    found = {Sense(name): value for name, value in values.items()}
    yes_for, stale_after = (
        None if span is None else timedelta(seconds=span) for span in (yes_for_s, stale_after_s)
    )
    return SensorSaid(
        sensor=sensor, values=found, kept=kept, at=at_, yes_for=yes_for, stale_after=stale_after
    )


def known(told: Story) -> Occupancy:
    return told.room.occupancy


def phase(told: Story, sensor=CEILING) -> SensorPhase:
    return told.room.third_party[sensor].phase


# ── when it counts ──


def test_a_room_without_a_device_knows_by_its_sensor_that_somebody_came():
    told = story(PROMPT).then("09:00", said(presence=True), CHANGED)
    fact = told.told[-1]
    assert isinstance(fact, OccupancyFact)
    assert fact.sensor == CEILING
    assert fact.occupancy == Occupancy(presence=True, in_use=True)


def test_who_passes_by_is_nobody():
    told = (
        story()
        .then("09:00", said(presence=True))
        .then("09:00:08", said(presence=False))
        .until("09:30", CHANGED)
    )
    assert known(told).presence is False


def test_somebody_counts_once_they_have_stayed():
    told = story().then("09:00", said(presence=True)).until("09:00:09")
    told.until("09:00:10", CHANGED)
    assert known(told).presence is True


def test_a_room_is_empty_once_nobody_was_seen_for_long_enough():
    told = story().then("09:00", said(presence=True)).until("09:05", CHANGED)
    told.then("09:06", said(presence=False)).until("09:06:59")
    told.then("09:06:59", said(presence=True)).then("09:10", said(presence=False)).until("09:10:59")
    told.until("09:11", CHANGED)
    assert known(told).presence is False
    fact = told.told[-1]
    assert isinstance(fact, OccupancyFact)
    assert fact.sensor == CEILING


def test_a_sensor_that_comes_up_and_sees_nobody_is_not_believed_at_once():
    told = story().then("09:00", said(presence=False)).until("09:00:59")
    assert known(told) == Occupancy()
    told.until("09:01", CHANGED)


def test_more_or_fewer_people_are_told_at_once_and_nobody_later():
    told = story().then("09:00", said(people=2)).until("09:00:10", CHANGED)
    told.then("09:01", said(people=5), CHANGED).then("09:02", said(people=1), CHANGED)
    told.then("09:03", said(people=0)).until("09:03:59").until("09:04", CHANGED)
    assert known(told).people == 0


def test_what_a_sensor_does_not_know_it_does_not_know_at_once():
    told = story(PROMPT).then("09:00", said(people=2), CHANGED).then("09:01", said(people=None), CHANGED)
    assert known(told) == Occupancy()


def test_a_message_about_something_else_is_a_sign_of_life_and_no_more():
    told = story(PROMPT).then("09:00", said(presence=True), CHANGED)
    for hour in range(10, 20):
        told.then(f"{hour}:00", said())
    assert phase(told) is SensorPhase.HEARD
    assert known(told).presence is True


# ── when it does no more ──


def test_a_battery_that_is_told_after_a_cut_makes_no_old_word_count_on():
    """Somebody may have come meanwhile, and was told when nobody heard it."""
    told = story(PROMPT).then("09:00", said(presence=False), CHANGED)
    told.then("09:10", SensorCutOff(sensor=CEILING, why="cut")).then("09:11", SensorBack(sensor=CEILING))
    told.then("09:11:10", said()).until("09:13", CHANGED)
    assert known(told) == Occupancy()
    assert told.room.third_party[CEILING].said_at == at("09:11:10")
    told.then("09:20", said(presence=True), CHANGED)


def test_why_a_sensor_is_not_understood_stands_until_it_is():
    told = story(PROMPT).then("09:00", said(presence=False), CHANGED)
    odd = replace(said(presence=None), why="what it says cannot be understood")
    told.then("09:01", odd, CHANGED)
    assert (phase(told), told.room.third_party[CEILING].why) == (SensorPhase.HEARD, odd.why)
    assert known(told) == Occupancy()
    room = told.room
    assert told.then("09:01:01", odd).room is room
    assert told.then("09:01:02", said(presence=None)).room.third_party[CEILING].why is None


def test_a_sensor_that_is_silent_for_long_knows_nothing():
    told = story(PROMPT).then("09:00", said(presence=False), CHANGED).until("11:59")
    told.until("12:00", CHANGED)
    assert phase(told) is SensorPhase.STALE
    assert known(told) == Occupancy()
    assert "silent since 2026-03-02 09:00 UTC" in str(told.room.third_party[CEILING].why)


def test_one_that_may_be_silent_for_ever_is():
    told = (
        story(replace(PROMPT, stale_after=None))
        .then("09:00", said(presence=False), CHANGED)
        .until("+3 09:00")
    )
    assert known(told).presence is False


def test_one_that_never_says_no_says_so_by_its_silence():
    told = story(PROMPT).then("09:00", said(presence=True, yes_for_s=60), CHANGED)
    told.then("09:00:40", said(presence=True, yes_for_s=60)).until("09:01:39")
    told.until("09:01:40", CHANGED)
    assert known(told).presence is False
    assert phase(told) is SensorPhase.HEARD
    told.then("09:02", said(presence=True, yes_for_s=60), CHANGED)


def test_silence_that_says_no_has_to_last_as_a_word_would():
    told = story().then("09:00", said(presence=True, yes_for_s=60)).until("09:01:59", CHANGED)
    told.until("09:02", CHANGED)
    assert known(told).presence is False


def test_who_passes_one_that_never_says_no_is_nobody():
    told = story().then("09:00", said(presence=True, yes_for_s=5)).until("09:30", CHANGED)
    assert known(told).presence is False


def test_silence_says_no_at_its_time_also_after_a_restart():
    told = story(PROMPT).then("09:00", said(presence=True, yes_for_s=600), CHANGED).restarts("09:05")
    told.then("09:05:01", said(presence=True, kept=True, yes_for_s=600)).until("09:09:59")
    told.until("09:10", CHANGED)
    assert known(told).presence is False


def test_a_yes_that_is_kept_for_ever_brings_nobody_back():
    told = story(PROMPT).then("09:00", said(presence=True, yes_for_s=60), CHANGED).until("09:01", CHANGED)
    told.then("11:00", SensorCutOff(sensor=CEILING, why="cut")).then("11:00:01", SensorBack(sensor=CEILING))
    told.then("11:00:02", said(presence=True, kept=True, yes_for_s=60)).until("11:30")
    told.restarts("11:30").then("11:30:01", said(presence=True, kept=True, yes_for_s=60)).until("11:59")
    assert known(told).presence is False
    told.until("12:00", CHANGED)
    assert phase(told) is SensorPhase.STALE


def test_silence_is_measured_from_its_last_word_also_after_a_cut():
    told = story(PROMPT).then("09:00", said(presence=True, yes_for_s=30), CHANGED)
    for second in ("25", "50"):
        told.then(f"09:00:{second}", said(presence=True, yes_for_s=30))
    told.then("09:00:52", SensorCutOff(sensor=CEILING, why="cut"))
    told.then("09:00:53", SensorBack(sensor=CEILING))
    told.then("09:00:53", said(presence=True, kept=True, yes_for_s=30)).until("09:01:19")
    told.until("09:01:20", CHANGED)


def test_one_that_is_announced_to_say_no_itself_is_waited_for():
    told = story(PROMPT).then("09:00", said(presence=True, yes_for_s=30), CHANGED)
    told.then("09:00:20", said(presence=True)).until("09:30")
    assert known(told).presence is True


def test_silence_says_nothing_where_nobody_listens():
    told = story(PROMPT).then("09:00", said(presence=True, yes_for_s=60), CHANGED)
    told.then("09:00:30", SensorCutOff(sensor=CEILING, why="the broker is away")).until("09:02:30", CHANGED)
    assert known(told) == Occupancy()


def test_a_word_expires_as_its_sensor_says_if_that_is_sooner():
    told = story(PROMPT).then("09:00", said(presence=True, stale_after_s=300), CHANGED).until("09:04:59")
    told.until("09:05", CHANGED)
    assert phase(told) is SensorPhase.STALE
    told.then("09:06", said(presence=True, stale_after_s=86400), CHANGED).until("12:06", CHANGED)
    assert phase(told) is SensorPhase.STALE


def test_a_clock_that_jumps_lets_no_silence_speak_sooner():
    told = story(PROMPT).then("09:00", said(presence=True, yes_for_s=600), CHANGED).until("09:05")
    told.steps(timedelta(hours=1)).until("10:09:59").until("10:10", CHANGED)


def test_what_is_offline_says_nothing_that_counts():
    told = story(PROMPT).then("09:00", said(presence=True), CHANGED)
    told.then("09:10", SensorAway(sensor=CEILING, why="zigbee2mqtt is offline"), CHANGED)
    assert known(told) == Occupancy()
    told.then("09:20", said(presence=True, kept=True))  # kept from before
    told.then("09:21", SensorBack(sensor=CEILING)).then("09:22", said(presence=True, kept=True), CHANGED)


def test_a_line_that_is_cut_for_a_moment_is_not_noticed():
    told = story(PROMPT).then("09:00", said(presence=True), CHANGED)
    told.then("09:10", SensorCutOff(sensor=CEILING, why="the broker is away"))
    told.then("09:10:30", SensorBack(sensor=CEILING)).then("09:10:31", said(presence=True, kept=True))
    told.until("09:30")
    assert known(told).presence is True


def test_a_line_that_stays_cut_leaves_a_room_unknown_and_not_empty():
    told = story(PROMPT).then("09:00", said(presence=True), CHANGED)
    told.then("09:10", SensorCutOff(sensor=CEILING, why="the broker is away")).until("09:11:59")
    told.until("09:12", CHANGED)
    assert known(told) == Occupancy()


def test_a_sensor_that_says_nothing_after_a_cut_is_unknown_too():
    """Most of zigbee2mqtt's are not kept by the broker: what they said meanwhile is lost."""
    told = story(PROMPT).then("09:00", said(presence=True), CHANGED)
    told.then("09:10", SensorCutOff(sensor=CEILING, why="the broker is away"))
    told.then("09:10:05", SensorBack(sensor=CEILING)).until("09:12", CHANGED)
    assert known(told) == Occupancy()


def test_a_word_that_somebody_has_kept_does_not_become_younger():
    told = story(PROMPT).then("09:00", said(presence=False, kept=True), CHANGED)
    told.then("11:00", SensorCutOff(sensor=CEILING, why="cut")).then("11:00:01", SensorBack(sensor=CEILING))
    told.then("11:00:02", said(presence=False, kept=True)).until("12:00", CHANGED)
    assert phase(told) is SensorPhase.STALE


def test_a_word_that_says_how_old_it_is_is_as_old_as_it_says():
    told = story(PROMPT).then("09:00", said(presence=True, kept=True, at_=at("05:00")))
    assert phase(told) is SensorPhase.STALE
    assert known(told) == Occupancy()


def test_a_restart_waits_two_minutes_for_what_sensors_say():
    told = story(PROMPT).then("09:00", said(presence=True), CHANGED).restarts("09:05")
    assert known(told).presence is True
    assert phase(told) is SensorPhase.UNHEARD
    told.until("09:07", CHANGED)
    assert known(told) == Occupancy()


def test_a_clock_that_jumps_lets_nothing_count_sooner():
    told = (
        story().then("09:00", said(presence=True)).until("09:05", CHANGED).then("09:06", said(presence=False))
    )
    told.steps(timedelta(hours=1)).until("10:06:59").until("10:07", CHANGED)


def test_a_sensor_that_is_configured_no_more_says_nothing_more():
    told = story(PROMPT).then("09:00", said(presence=True), CHANGED)
    told.policy = Policy()
    told.restarts("09:01").until("09:01:01", CHANGED)
    assert known(told) == Occupancy()
    assert install(told.room, (), listening=True, now=told.now) is told.room


def test_a_room_with_nothing_but_a_sensor_looks_as_it_is_used():
    def look(told: Story) -> tuple[Condition, str]:
        seen = glance(told.room, now=told.now, zone=UTC)
        return seen.condition, seen.words

    told = story(PROMPT)
    assert look(told) == (Condition.UNKNOWN, "Not heard: its sensors have said nothing yet")
    assert look(told.then("09:00", said(presence=True), CHANGED))[0] is Condition.IN_USE
    assert look(told.then("09:10", said(presence=False), CHANGED))[0] is Condition.FREE
    told.then("09:20", SensorAway(sensor=CEILING, why="zigbee2mqtt is offline"), CHANGED)
    assert look(told) == (Condition.UNKNOWN, "Not heard: zigbee2mqtt is offline")


# ── beside others ──


def test_anybody_whom_one_of_several_sees_is_there():
    told = story(PROMPT, replace(PROMPT, id=DOOR))
    told.then("09:00", said(presence=False), CHANGED).then("09:01", said(DOOR, presence=True), CHANGED)
    assert known(told).presence is True
    assert set(witnesses(told.room, now=told.now)) == {CEILING, DOOR}


def test_heads_that_a_device_counts_go_before_those_of_others_unless_the_file_says_otherwise():
    counted = (PeopleCounted(device=CODEC, people=3), said(people=4))
    told = story(PROMPT, devices=(CODEC,)).connected()
    told.then("09:00", counted[0], CHANGED).then("09:01", counted[1])
    assert known(told).people == 3
    told = story(replace(PROMPT, counts_people=True), devices=(CODEC,)).connected()
    told.then("09:00", counted[0], CHANGED).then("09:01", counted[1], CHANGED)
    assert known(told).people == 4


def test_a_device_that_does_not_count_leaves_it_to_others():
    told = story(PROMPT, devices=(CODEC,)).connected()
    told.then("09:00", PeopleCounted(device=CODEC, people=None)).then("09:01", said(people=4), CHANGED)
    assert known(told).people == 4


# ── what devices are told ──


def telling() -> Story:
    return story(PROMPT, devices=(CODEC,)).connected("08:00", firmware="ce26.8.1")


def uses(told: Story) -> list[tuple[str, bool]]:
    return [(f"{when:%H:%M}", use.in_use) for when, use in told.uses]


def test_a_device_is_told_again_before_what_it_was_told_runs_out():
    told = telling().then("09:00", said(presence=True), CHANGED)
    told.then("09:00", UseTold(device=CODEC, in_use=True)).until("09:03").then(
        "09:03", UseTold(device=CODEC, in_use=True)
    )
    told.until("09:05")
    assert uses(told) == [("09:00", True), ("09:03", True)]
    assert told.uses[0][1].lasts == timedelta(minutes=5)
    assert told.uses[0][1].source == "roomd-roomd"


def test_a_device_is_told_when_nobody_is_seen_any_more_and_not_again():
    told = telling().then("09:00", said(presence=True), CHANGED)
    told.then("09:00", UseTold(device=CODEC, in_use=True)).then("09:01", said(presence=False), CHANGED)
    told.then("09:01", UseTold(device=CODEC, in_use=False)).until("12:30", CHANGED)
    assert uses(told) == [("09:00", True), ("09:01", False)]


def test_a_sensor_that_falls_silent_holds_no_room_in_use():
    told = telling().then("09:00", said(presence=True), CHANGED)
    told.then("09:00", UseTold(device=CODEC, in_use=True))
    told.then("09:01", SensorAway(sensor=CEILING, why="offline"), CHANGED)
    assert uses(told)[-1] == ("09:01", False)


def test_a_device_is_told_when_the_room_has_no_such_sensor_any_more():
    told = telling().then("09:00", said(presence=True), CHANGED)
    told.then("09:00", UseTold(device=CODEC, in_use=True))
    told.policy = replace(told.policy, rooms={})
    told.restarts("09:01").connected("09:01", firmware="ce26.8.1")
    assert uses(told)[-1] == ("09:01", False)
    told.then("09:01", UseTold(device=CODEC, in_use=False)).until("09:02")
    assert told.room.devices[CODEC].use is None


def test_a_device_that_takes_no_such_word_is_asked_once_for_each_connection():
    told = telling().then("09:00", said(presence=True), CHANGED)
    told.then("09:00", UseRefused(device=CODEC, in_use=True, why="it has no such command")).until("11:00")
    assert uses(told) == [("09:00", True)]
    told.then("11:00", DeviceLost(device=CODEC, why="cut"), FactKind.DEVICE_LOST)
    told.connected("11:05", firmware="ce26.8.1")
    assert uses(told) == [("09:00", True), ("11:05", True)]


def test_a_device_that_does_not_answer_is_asked_again():
    told = telling().then("09:00", said(presence=True), CHANGED).until("09:01")
    assert uses(told) == [("09:00", True)] * 2 + [("09:01", True)]


def test_a_device_that_comes_back_is_told_anew():
    told = (
        telling()
        .then("09:00", said(presence=True), CHANGED)
        .then("09:00", UseTold(device=CODEC, in_use=True))
    )
    told.then("09:01", DeviceLost(device=CODEC, why="cut"), FactKind.DEVICE_LOST).until("09:10")
    told.connected("09:10")
    assert uses(told) == [("09:00", True), ("09:10", True)]


def test_what_a_device_was_told_does_not_come_back_as_a_second_witness():
    told = (
        telling()
        .then("09:00", said(presence=True), CHANGED)
        .then("09:00", UseTold(device=CODEC, in_use=True))
    )
    told.then("09:00:01", UseSensed(device=CODEC, in_use=True))
    assert witnesses(told.room, now=told.now)[CODEC].in_use is None
    told.then("09:01", said(presence=False), CHANGED)
    assert known(told).in_use is False
    told.then("09:01:01", UseTold(device=CODEC, in_use=False)).then(
        "09:01:02", UseSensed(device=CODEC, in_use=False)
    )
    told.until("09:30")
    assert known(told).in_use is False


def test_a_device_that_goes_on_saying_so_means_it():
    told = (
        telling()
        .then("09:00", said(presence=True), CHANGED)
        .then("09:00", UseTold(device=CODEC, in_use=True))
    )
    told.then("09:00:01", UseSensed(device=CODEC, in_use=True)).then("09:01", said(presence=False), CHANGED)
    told.then("09:01", UseTold(device=CODEC, in_use=False)).until("09:01:10", CHANGED)
    assert known(told).in_use is True  # of another source


def test_what_a_device_senses_itself_is_no_echo():
    told = (
        telling()
        .then("09:00", said(presence=True), CHANGED)
        .then("09:00", UseTold(device=CODEC, in_use=True))
    )
    told.then("09:00:01", PresenceSensed(device=CODEC, presence=True))
    told.then("09:00:02", UseSensed(device=CODEC, in_use=True))
    assert witnesses(told.room, now=told.now)[CODEC].in_use is True


def test_a_site_may_want_no_device_to_be_told():
    told = (
        story(PROMPT, devices=(CODEC,), tell_use=False)
        .connected()
        .then("09:00", said(presence=True), CHANGED)
    )
    assert told.until("10:00").uses == []


# ── whatever happens ──


def test_every_move_is_decided_upon():
    """What is missing cannot be, or is no news: only a sensor that was away can be back, or be silent."""
    missing = set(product(SensorPhase, SensorSign)) - SENSOR_TRANSITIONS.keys()
    assert missing == {
        (SensorPhase.HEARD, SensorSign.BACK),
        (SensorPhase.STALE, SensorSign.BACK),
        (SensorPhase.AWAY, SensorSign.KEPT),
        (SensorPhase.AWAY, SensorSign.SILENT),
        (SensorPhase.STALE, SensorSign.SILENT),
    }


EVENTS = st.one_of(
    st.builds(said, presence=st.sampled_from([True, False, None]), kept=st.booleans()),
    st.builds(said, people=st.sampled_from([None, 0, 1, 4]), kept=st.booleans()),
    st.builds(
        said,
        presence=st.booleans(),
        yes_for_s=st.sampled_from([None, 1, 90, 900]),
        stale_after_s=st.sampled_from([None, 300, 86400]),
    ),
    st.just(said()),
    st.just(SensorAway(sensor=CEILING, why="offline")),
    st.just(SensorCutOff(sensor=CEILING, why="cut")),
    st.just(SensorBack(sensor=CEILING)),
    st.just(SensorAway(sensor=SensorId("nobody's"), why="offline")),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7200), EVENTS), max_size=15), st.sampled_from([PATIENT, PROMPT]))
def test_whatever_a_sensor_says_only_what_it_said_lately_counts(days, rules):
    told = story(rules)
    for wait_s, event in days:
        now = told.now + timedelta(seconds=wait_s)
        told._run_to(now)  # noqa: SLF001
        told._happen(event)  # noqa: SLF001
        state = told.room.third_party[CEILING]
        if state.phase in {SensorPhase.AWAY, SensorPhase.STALE}:
            assert state.says == Occupancy()
        if state.phase is SensorPhase.HEARD:
            assert state.said_at is not None
            assert rules.stale_after is not None
            assert now < state.said_at + rules.stale_after
        assert told.room.occupancy == Occupancy(
            people=state.says.people,
            presence=state.says.presence,
            in_use=known(told).in_use,
        )
    told._run_to(told.now + timedelta(hours=4))  # noqa: SLF001
    assert known(told) == Occupancy()
    assert set(told.room.third_party) == {CEILING}


@pytest.mark.parametrize("event", [said(), SensorBack(sensor=CEILING)], ids=["said", "back"])
def test_what_is_no_news_leaves_the_room_as_it_is(event):
    told = story(PROMPT).then("09:00", said(presence=True), CHANGED)
    room = told.room
    told.then("09:00:30", event)
    assert told.room is room
