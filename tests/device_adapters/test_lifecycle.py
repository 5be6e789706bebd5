"""How long a link rests after what."""

import pytest

from device_adapters.errors import (
    CertificateRefused,
    DeviceBooting,
    DeviceBusy,
    DeviceError,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PasswordRefused,
    ServiceOff,
)
from device_adapters.lifecycle import (
    CLEAN,
    MOVES,
    Past,
    Patience,
    Phase,
    after,
    moved,
    phase_after,
    rest_s,
    stopped,
)

PATIENCE = Patience()


def rests(*errors: DeviceError, stood_s: float = 0.0, luck: float = 0.5) -> list[float]:
    past, found = CLEAN, []
    for error in errors:
        past = after(past, error, stood_s=stood_s, patience=PATIENCE)
        found.append(rest_s(past, luck=luck, patience=PATIENCE))
    return found


def test_a_broken_line_is_dialled_more_and_more_seldom_and_at_least_each_minute():
    assert rests(*[DeviceUnreachable("")] * 9) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_luck_spreads_a_rest_from_half_to_one_and_a_half():
    past = after(CLEAN, DeviceUnreachable(""), stood_s=0, patience=PATIENCE)
    assert rest_s(past, luck=0.0, patience=PATIENCE) == 0.5
    assert rest_s(past, luck=0.999, patience=PATIENCE) == pytest.approx(1.5, abs=0.01)


def test_a_booting_device_is_looked_at_steadily():
    assert rests(*[DeviceBooting("")] * 40) == [5] * 40


def test_a_busy_device_is_left_alone_for_longer():
    assert rests(*[DeviceBusy("")] * 5) == [30, 60, 120, 240, 300]


def test_a_line_that_was_stable_wipes_out_the_past():
    assert rests(*[DeviceUnreachable("")] * 4, stood_s=61) == [1, 1, 1, 1]
    assert rests(*[DeviceUnreachable("")] * 4, stood_s=59) == [1, 2, 4, 8]


def test_each_kind_of_failure_has_a_series_of_its_own():
    assert rests(DeviceUnreachable(""), DeviceUnreachable(""), DeviceBooting(""), DeviceUnreachable("")) == [
        1,
        2,
        5,
        1,
    ]


def test_two_refused_logins_stop_the_dialling_for_an_hour():
    first = after(CLEAN, PasswordRefused("", logins=1), stood_s=0, patience=PATIENCE)
    assert not stopped(first)
    second = after(first, PasswordRefused("", logins=1), stood_s=0, patience=PATIENCE)
    assert stopped(second)
    assert rest_s(second, luck=0.9, patience=PATIENCE) == 3600


def test_a_password_file_that_cannot_be_read_spends_no_login():
    past = CLEAN
    for _ in range(20):
        past = after(past, PasswordRefused("", logins=0), stood_s=0, patience=PATIENCE)
    assert not stopped(past)
    assert rest_s(past, luck=0.5, patience=PATIENCE) == 30


def test_refused_logins_are_remembered_over_other_failures():
    past = after(CLEAN, PasswordRefused("", logins=1), stood_s=0, patience=PATIENCE)
    past = after(past, DeviceUnreachable(""), stood_s=0, patience=PATIENCE)
    past = after(past, PasswordRefused("", logins=1), stood_s=0, patience=PATIENCE)
    assert stopped(past)


def test_nobody_rests_for_longer_than_a_quarter_of_an_hour_without_being_told_to():
    for error in (DeviceTalksNonsense(""), CertificateRefused(""), ServiceOff(""), DeviceBusy("")):
        assert 30 <= min(rests(*[error] * 50)) <= max(rests(*[error] * 50)) <= 900


def test_a_thousand_failures_do_not_overflow():
    past = Past(failures=10_000, kind=DeviceUnreachable)
    assert rest_s(past, luck=0.5, patience=PATIENCE) == 60


def test_a_refusal_is_a_phase_of_its_own_because_a_person_must_act():
    assert phase_after(PasswordRefused("", logins=1)) is Phase.REFUSED
    assert phase_after(ServiceOff("")) is Phase.REFUSED
    assert phase_after(CertificateRefused("")) is Phase.REFUSED
    assert phase_after(DeviceBusy("")) is Phase.RESTING


def test_only_the_moves_of_the_table_are_made():
    assert set(MOVES) == set(Phase)
    assert moved(Phase.RESTING, Phase.DIALLING) is Phase.DIALLING
    with pytest.raises(AssertionError):
        moved(Phase.RESTING, Phase.HEARING)
