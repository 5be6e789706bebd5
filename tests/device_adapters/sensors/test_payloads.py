"""What a message means, whatever it looks like; and nothing at all where it means nothing."""

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model import Sense
from device_adapters.sensors.payloads import (
    ONLINE,
    SOMEBODY,
    Reading,
    Unreadable,
    Value,
    Words,
    look_up,
    read,
    read_path,
    read_word,
)

PRESENCE = Reading(values=(Value(sense=Sense.PRESENCE, paths=(("seen",),)),))
PEOPLE = Reading(values=(Value(sense=Sense.PEOPLE, paths=(("people",),)),))
PLAIN = Reading(values=(Value(sense=Sense.PRESENCE),), structured=False)
COUNT = Reading(values=(Value(sense=Sense.PEOPLE),), structured=False)


def seen(value: object) -> object:
    return read(json.dumps({"seen": value}).encode(), PRESENCE).values[Sense.PRESENCE]


def people(value: object) -> object:
    return read(json.dumps({"people": value}).encode(), PEOPLE).values[Sense.PEOPLE]


@pytest.mark.parametrize(
    "value", [True, "ON", "on", " true ", 1, "1", 2.5, "presence", "Occupied", "detected"]
)
def test_there_are_many_words_for_somebody(value):
    assert seen(value) is True


@pytest.mark.parametrize("value", [False, "OFF", 0, 0.0, "0", "none", "clear", "not_home", "Unoccupied"])
def test_there_are_many_words_for_nobody(value):
    assert seen(value) is False


@pytest.mark.parametrize("value", [None, "unknown", "Unavailable", "", -1, "-1"])
def test_unknown_is_neither(value):
    assert seen(value) is None


@pytest.mark.parametrize("value", ["perhaps", [], {}, ["on"], "1e9", "NaN"])
def test_what_means_nothing_is_not_guessed(value):
    with pytest.raises(Unreadable):
        seen(value)


@pytest.mark.parametrize(
    ("value", "count"), [(0, 0), (3, 3), ("3", 3), (3.0, 3), ("3.0", 3), (-1, None), (None, None)]
)
def test_people_are_counted(value, count):
    assert people(value) == count


@pytest.mark.parametrize("value", [True, "three", 2.5, 1e300, 10**30, "100000", [3], {"n": 3}])
def test_what_is_no_number_of_people_is_none(value):
    with pytest.raises(Unreadable):
        people(value)


def test_a_message_without_the_value_says_nothing_of_it():
    assert read(b'{"battery": 97, "linkquality": 110}', PRESENCE).values == {}


def test_plain_words_may_stand_in_quotes_and_white_space():
    assert read(b' "ON"\n', PLAIN).values == {Sense.PRESENCE: True}
    assert read(b"7\r\n", COUNT).values == {Sense.PEOPLE: 7}


def test_a_site_may_have_words_of_its_own():
    words = Words(yes=frozenset({"belegt"}), no=frozenset({"frei"}))
    reading = Reading(values=(Value(sense=Sense.PRESENCE, words=words),), structured=False)
    assert read(b"Belegt", reading).values == {Sense.PRESENCE: True}
    with pytest.raises(Unreadable):
        read(b"on", reading)


def test_of_several_places_anybody_seen_is_somebody():
    both = Reading(values=(Value(sense=Sense.PRESENCE, paths=(("pir",), ("radar",))),))
    assert read(b'{"pir": false, "radar": true}', both).values == {Sense.PRESENCE: True}
    assert read(b'{"pir": false, "radar": null}', both).values == {Sense.PRESENCE: False}
    assert read(b'{"pir": null, "radar": null}', both).values == {Sense.PRESENCE: None}


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("2026-03-02T09:00:00Z", datetime(2026, 3, 2, 9, tzinfo=UTC)),
        ("2026-03-02T10:00:00+01:00", datetime(2026, 3, 2, 9, tzinfo=UTC)),
        (1772442000, datetime(2026, 3, 2, 9, tzinfo=UTC)),
        (1772442000000, datetime(2026, 3, 2, 9, tzinfo=UTC)),
        ("2026-03-02T09:00:00", None),
        ("yesterday", None),
        (10**400, None),
        (True, None),
    ],
    ids=["utc", "offset", "seconds", "milliseconds", "no-zone", "word", "huge", "truth"],
)
def test_when_a_sensor_was_heard_last_is_read_where_it_can_be(said, at):
    reading = Reading(values=PRESENCE.values, at=("last_seen",))
    assert read(json.dumps({"seen": True, "last_seen": said}).encode(), reading).at == at


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("occupancy", ("occupancy",)),
        ("$.zones[0].occupied", ("zones", 0, "occupied")),
        ("['living room'].people", ("living room", "people")),
        ('a["b.c"][12]', ("a", "b.c", 12)),
        ("$", ()),
    ],
)
def test_paths_are_written_as_people_write_them(text, path):
    assert read_path(text) == path


@pytest.mark.parametrize("text", ["a..b", "a[", "a[x]", "a b", "a['", "[-1]"])
def test_a_path_that_is_none_is_refused(text):
    with pytest.raises(Unreadable, match="no path"):
        read_path(text)


def test_availability_is_plain_or_json():
    assert read_word(b"online", ONLINE) is True
    assert read_word(b'{"state":"offline"}', ONLINE) is False
    assert read_word(b'{"node":{"up":true}}', ONLINE, ("node", "up")) is True
    with pytest.raises(Unreadable):
        read_word(b"{}", ONLINE)


@given(st.binary(max_size=200) | st.from_regex(rb'\{"seen": ?[-0-9"a-zA-Z\[\]{}:, .]*\}'))
def test_no_message_ends_anything(payload):
    for reading in (PRESENCE, PEOPLE, PLAIN, COUNT):
        try:
            said = read(payload, reading)
        except Unreadable as error:
            assert len(str(error)) < 120  # noqa: PT017
        else:
            for sense, value in said.values.items():
                assert value is None or type(value) is (int if sense is Sense.PEOPLE else bool)
    with contextlib.suppress(Unreadable):
        assert read_word(payload, ONLINE) in {True, False, None}


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    )
)
def test_no_tree_ends_anything(tree):
    look_up(tree, ("a", 0, "b"))
    with contextlib.suppress(Unreadable):
        read(json.dumps({"seen": tree, "people": tree}).encode(), PRESENCE)


def test_a_number_of_any_length_ends_nothing():
    for digits in (3, 400, 4000, 100_000):
        with contextlib.suppress(Unreadable):
            said = read(b'{"seen": 1' + b"0" * digits + b', "last": 1}', PRESENCE)
            assert said.values == {Sense.PRESENCE: True}


def test_a_thousand_brackets_end_nothing():
    for payload in (b"[" * 100_000, b'{"a":' * 100_000):
        with pytest.raises(Unreadable):
            read(payload, PRESENCE)


def test_yes_and_no_are_never_the_same_word():
    assert not SOMEBODY.yes & SOMEBODY.no
    assert not ONLINE.yes & ONLINE.no
