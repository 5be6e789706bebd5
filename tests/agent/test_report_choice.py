"""Of which days and rooms a report is asked for, as people say it, and what is refused with its mend."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.report_choice import NotUnderstood, days_asked, groups_of, rooms_asked
from tests.agent.counting import listed

TODAY = date(2026, 3, 31)
ROOMS = (
    listed("fjord", 8, "floor-2", "North"),
    listed("den", 2, "floor-2"),
    listed("attic", 4, "Floor-3"),
    listed("loft", None),
)


@pytest.mark.parametrize(
    ("asked", "days"),
    [
        ({}, (date(2026, 3, 2), TODAY)),
        ({"last": "7d"}, (date(2026, 3, 25), TODAY)),
        ({"last": " 2W "}, (date(2026, 3, 18), TODAY)),
        ({"last": "1"}, (TODAY, TODAY)),
        ({"last": "99999999d"}, (date(2025, 2, 25), TODAY)),
        ({"since": "2026-03-01"}, (date(2026, 3, 1), TODAY)),
        ({"since": "2026-03-01", "last_day": "2026-03-07"}, (date(2026, 3, 1), date(2026, 3, 7))),
        ({"last": "7d", "last_day": "2026-03-07"}, (date(2026, 3, 1), date(2026, 3, 7))),
        ({"since": "1999-01-01"}, (date(2025, 2, 25), TODAY)),
    ],
    ids=["none", "days", "weeks", "one", "too many", "from", "from to", "last to", "long ago"],
)
def test_days_are_said_as_people_say_them(asked, days):
    assert days_asked(**asked, today=TODAY) == days


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"last": "soon"}, "30d or 4w"),
        ({"last": "0d"}, "30d or 4w"),
        ({"last": "-3d"}, "30d or 4w"),
        ({"since": "1.3.2026"}, "2026-03-01"),
        ({"last_day": "2026-02-30"}, "2026-03-01"),
        ({"last_day": "2026-04-01"}, "still to come"),
        ({"since": "2026-03-07", "last_day": "2026-03-01"}, "the earlier day first"),
        ({"since": "2026-03-07", "last": "3d"}, "name one of them"),
        ({"since": "2020-01-01", "last_day": "2020-01-31"}, "nothing is kept any more"),
    ],
    ids=["words", "none", "minus", "german", "no such", "future", "backwards", "both", "forgotten"],
)
def test_days_that_are_none_are_refused_with_the_mend(asked, why):
    with pytest.raises(NotUnderstood, match=why):
        days_asked(**asked, today=TODAY)


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_whatever_is_typed_is_understood_or_refused(since, last_day, last):
    try:
        first, final = days_asked(since=since, last_day=last_day, last=last, today=TODAY)
    except NotUnderstood:
        return
    assert first <= final <= TODAY


def test_without_a_word_it_is_all_rooms_by_name():
    rooms, about = rooms_asked(ROOMS)
    assert [room.id for room in rooms] == ["attic", "den", "fjord", "loft"]
    assert about == "all rooms"


def test_rooms_are_chosen_by_id_name_and_group_however_they_are_spelt():
    rooms, about = rooms_asked(ROOMS, names=["LOFT"], groups=["FLOOR-2"])
    assert [room.id for room in rooms] == ["den", "fjord", "loft"]
    assert about == "group floor-2 and Loft"
    assert groups_of(ROOMS) == ["floor-2", "Floor-3", "North"]


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ({"groups": ["flor-2"]}, "no group is called 'flor-2': there is floor-2, Floor-3"),
        ({"names": ["fjrod"]}, "no room is called 'fjrod': there is fjord"),
        ({"names": ["\x1b[31m"]}, "no room is called"),
    ],
    ids=["group", "room", "escape"],
)
def test_what_is_not_there_is_told_with_what_is_like_it(chosen, why):
    with pytest.raises(NotUnderstood) as refusal:
        rooms_asked(ROOMS, **chosen)
    assert str(refusal.value).startswith(why)
    assert "\x1b" not in str(refusal.value)


def test_where_no_room_is_in_a_group_that_is_said():
    with pytest.raises(NotUnderstood, match="puts no room into a group"):
        rooms_asked(ROOMS[3:], groups=["floor-2"])
