"""Casts by schema and not by looks."""

from datetime import UTC, datetime

import pytest

from device_adapters.xapi.schema import (
    ANY,
    IDENTITY,
    MOMENT,
    PEOPLE_COUNT,
    PEOPLE_PRESENCE,
    TEXT,
    TRUE_FALSE,
    Firmware,
    Unreadable,
    answers_requests,
    read_firmware,
)


@pytest.mark.parametrize(
    ("text", "firmware"),
    [
        ("ce11.27.2.0.913a6c7c769", Firmware(11, 27, 2)),
        ("ce26.7.1.12.67c6e508983", Firmware(26, 7, 1)),
        ("RoomOS 11.23.1.8 3963b07b5c5", Firmware(11, 23, 1)),
        ("ce 9.2.2 3a892a1 2017-11-30", Firmware(9, 2, 2)),
        ("ce9.15", Firmware(9, 15)),
        ("", ANY),
        ("spring edition", ANY),
    ],
)
def test_a_firmware_is_read_as_devices_write_it(text, firmware):
    assert read_firmware(text) == firmware


def test_eleven_twenty_three_is_the_first_that_answers_requests():
    assert answers_requests(read_firmware("ce11.23.1.8"))
    assert answers_requests(read_firmware("ce26.1.1"))
    assert not answers_requests(read_firmware("ce11.22.9"))
    assert not answers_requests(read_firmware("ce10.19.4.2"))
    assert not answers_requests(ANY)


def test_a_number_may_come_as_text_and_text_may_look_like_a_number():
    assert PEOPLE_COUNT.cast("4") == PEOPLE_COUNT.cast(4) == 4
    assert PEOPLE_COUNT.cast("-1") == -1
    assert TEXT.cast("5") == "5"
    assert TEXT.cast(5) == "5"
    assert IDENTITY.cast("0123") == "0123"


@pytest.mark.parametrize("space", [TEXT, IDENTITY])
@pytest.mark.parametrize("odd", [2**64, True, 1.5, {}, []])
def test_what_is_no_text_is_unreadable(space, odd):
    with pytest.raises(Unreadable):
        space.cast(odd)


def test_nothing_is_written_as_the_empty_text():
    assert TEXT.cast("") is TEXT.cast(None) is IDENTITY.cast("") is None


def test_words_have_their_meaning_and_no_others():
    assert (TRUE_FALSE.cast("True"), TRUE_FALSE.cast(False)) == (True, False)
    assert PEOPLE_PRESENCE.cast("Unknown") is None
    odds: tuple[object, ...] = ("yes", "", 1, None, {}, [])
    for odd in odds:
        with pytest.raises(Unreadable):
            PEOPLE_PRESENCE.cast(odd)


@pytest.mark.parametrize("odd", ["", "4.0", "four", 4.0, True, None, {}, [], -2, "9" * 5000, "٤"])
def test_what_is_no_count_is_unreadable(odd):
    with pytest.raises(Unreadable):
        PEOPLE_COUNT.cast(odd)


def test_a_name_is_never_cut():
    with pytest.raises(Unreadable):
        IDENTITY.cast("x" * 513)
    assert TEXT.cast("x" * 5000) == "x" * 1024


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T09:00:00Z",
        "2026-03-02T09:00:00.000Z",
        "2026-03-02T09:00:00",
        "2026-03-02T09:00Z",
        "2026-03-02T10:00:00+01:00",
        "2026-03-02 04:00:00-05:00",
    ],
)
def test_a_moment_is_utc_however_it_is_written(text):
    moment = MOMENT.cast(text)
    assert moment == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "odd",
    ["", "2026-03-02", "yesterday-ish", "2026-13-45T99:99:99Z", "0001-01-01T00:00:00+14:00", None, 0, {}],
)
def test_what_is_no_moment_is_unreadable(odd):
    with pytest.raises(Unreadable):
        MOMENT.cast(odd)
