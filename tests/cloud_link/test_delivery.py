"""What the broker's answers mean, and how long to rest."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from cloud_link import delivery, outbox
from cloud_link.delivery import ENDINGS, PUBACKS, STABLE_S, Ending, Line, Moment, Pace, Rest, Verdict

REST = Rest()


def codes(packet: int) -> set[int]:
    """Those that the standard allows, as another's table has them."""
    names = ReasonCode(packet).names
    return {code for code, by_name in names.items() if any(packet in kinds for kinds in by_name.values())}


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (0x00, Verdict.SETTLED),
        (0x10, Verdict.UNHEARD),
        (0x80, Verdict.AGAIN),
        (0x83, Verdict.AGAIN),
        (0x87, Verdict.PAUSE),
        (0x90, Verdict.UNDELIVERABLE),
        (0x91, Verdict.AGAIN),
        (0x97, Verdict.AGAIN),
        (0x99, Verdict.UNDELIVERABLE),
    ],
)
def test_every_puback_has_its_verdict(code: int, verdict: Verdict):
    assert delivery.judge(code) is verdict


def test_no_reason_code_of_the_standard_is_left_to_chance():
    assert codes(PacketTypes.PUBACK) <= PUBACKS.keys()
    assert codes(PacketTypes.CONNACK) | codes(PacketTypes.DISCONNECT) - {0x04} <= ENDINGS.keys()


@given(code=st.integers(min_value=0, max_value=255))
def test_an_unknown_refusal_is_tried_again_and_never_dropped(code: int):
    if code not in PUBACKS:
        assert delivery.judge(code) is (Verdict.AGAIN if code >= 0x80 else Verdict.SETTLED)


@given(code=st.none() | st.integers(min_value=0, max_value=255))
def test_every_ending_leads_to_another_dial(code: int | None):
    rest_s = delivery.rest_s(delivery.judge_ending(code), Line(failures=3), 0.5, rest=REST)
    assert 0.0 < rest_s <= 120.0


@given(failures=st.integers(min_value=1, max_value=100_000), luck=st.floats(0, 1, exclude_max=True))
def test_rests_stay_between_one_and_sixty_seconds(failures: int, luck: float):
    assert 1.0 <= REST.after(failures, luck) <= 60.0


def test_rests_grow_and_are_spread_over_the_whole_span():
    assert [REST.after(failures, 0.999999) for failures in (1, 2, 3, 6, 50)] == pytest.approx(
        [2, 4, 8, 60, 60], rel=1e-3
    )
    assert REST.after(6, 0.0) == 1.0


def test_only_a_connection_that_lived_for_a_minute_makes_up_for_failures():
    line = Line(failures=7)
    assert line.ended(lived_s=STABLE_S - 1).failures == 8
    assert line.ended(lived_s=None).failures == 8
    assert line.ended(lived_s=STABLE_S).failures == 1


def test_a_takeover_rests_long_at_once():
    assert delivery.rest_s(Ending.TAKEN_OVER, Line(failures=1), 0.0, rest=REST) >= 60.0


def test_an_older_protocol_is_tried_without_a_rest_once():
    assert delivery.rest_s(Ending.OLDER, Line(failures=1), 0.5, rest=REST) == 0.0
    assert delivery.rest_s(Ending.OLDER, Line(failures=2), 0.5, rest=REST) > 0.0


def test_the_window_is_the_smaller_of_both():
    assert delivery.window(40, 20).unacknowledged == 20
    assert delivery.window(40, 65535).unacknowledged == 40
    assert delivery.window(40, 1).unacknowledged == 1
    assert delivery.window(40, 1).unsettled == 40


def test_a_pace_lets_so_many_through_and_no_more():
    pace = Pace(per_s=80.0)
    passed = sum(pace.wait_s(tick / 1000.0) == 0.0 for tick in range(10_000))
    assert 790 <= passed <= 810


def test_ages_follow_the_steady_clock_within_a_boot_and_are_never_negative():
    then = Moment(wall_ms=1_000_000, boot="a", steady_ms=5_000)
    assert delivery.age_s(then, Moment(wall_ms=0, boot="a", steady_ms=65_000)) == 60.0
    assert delivery.age_s(then, Moment(wall_ms=1_060_000, boot="b", steady_ms=1)) == 60.0
    assert delivery.age_s(then, Moment(wall_ms=0, boot="b", steady_ms=1)) == 0.0


def test_the_boot_is_the_kernels():
    assert outbox.moment_now().boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
