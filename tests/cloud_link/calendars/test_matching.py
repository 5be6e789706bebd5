"""Which calendar is whose: certain only where it can be no other's."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_link.calendars import matching
from cloud_link.calendars.matching import CERTAIN, Ground, Match, Matching, Named, match


def named(*names: str) -> list[Named]:
    return [Named(id=name, name=name) for name in names]


def pairs(found: Matching) -> dict[str, str]:
    return {each.one: each.other for each in found.matches}


def whys(found: Matching) -> dict[str, str]:
    return {each.one: each.why for each in found.doubts}


# ── names ──


@pytest.mark.parametrize(
    ("room", "calendar"),
    [
        ("Fjord", "fjord"),
        ("Fjord", "Fjord (8)"),
        ("Fjord (8)", "FJORD (8 p) [VC, Whiteboard]"),
        ("Fjord", "Møterom Fjord"),
        ("Meeting Room Fjord", "Fjord"),
        ("Fjord", "OSL-2-Fjord (8)"),
        ("Fjord", "Fjord, 2nd floor"),
        ("Fjord", "Fjord - Bygg C, 2. etg"),
        ("Fjord 3rd floor", "OSL-3-Fjord (8)"),
        ("Ærø", "AEROE"),
        ("Bjørn", "Bjoern (4)"),
        ("Müller", "Mueller"),
        ("Ålesund", "Aalesund"),
        ("Été", "ete"),
        ("Board room", "Boardroom"),
        ("Conf Room 100", "100 (50)"),
        ("Room 007", "7"),
        ("2.04", "Meeting room 2-04"),
        ("A", "Room A"),
        ("富士", "会議室 富士"),
        ("Fjord_Øst", "fjord-ost"),
        ("Meeting room", "MEETING ROOM"),
    ],
)
def test_one_name_written_in_two_ways_is_one_room(room: str, calendar: str):
    found = match(named(room), named(calendar))
    assert pairs(found) == {room: calendar}
    assert found.matches[0].ground is Ground.NAME
    assert pairs(match(named(calendar), named(room))) == {calendar: room}


@pytest.mark.parametrize(
    ("room", "calendar"),
    [
        ("Fjord 1", "Fjord 2"),
        ("Fjord A", "Fjord B"),
        ("Fjord 1", "OSL-1-Fjord 2"),
        ("Fjord", "Fjord 1"),
        ("Fjord", "Fjord Lounge"),
        ("Fjord East", "Fjord West"),
        ("Fjord", "Fjell"),
        ("Fjord", "Fjordd"),
        ("204", "205"),
        ("2.04", "204"),
        ("Bygg 2 204", "Bygg 3 204"),
        ("Fjord floor 3", "OSL-2-Fjord"),
        ("", ""),
        ("", "Fjord"),
        ("(8)", "(10)"),
        ("!!!", "???"),
        ("Meeting room", "Conference room"),
    ],
)
def test_two_names_that_only_resemble_each_other_are_never_certain(room: str, calendar: str):
    found = match(named(room), named(calendar))
    assert found.matches == ()
    assert found.others == (calendar,)


def test_whatever_a_site_puts_before_all_its_names_tells_nothing():
    rooms = named("Fjord", "Bre", "Vidde", "Tind")
    calendars = named("Lysaker Fjord", "Lysaker Bre", "Lysaker Vidde", "Lysaker Tind", "Lysaker Kantine")
    assert pairs(match(rooms, calendars)) == {each.id: f"Lysaker {each.id}" for each in rooms}


def test_what_the_directory_says_of_the_place_is_taken_off_the_name():
    rooms = [replace(each, where=("Lysaker torg",)) for each in named("Lysaker torg Fjord")]
    assert pairs(match(rooms, named("Fjord"))) == {"Lysaker torg Fjord": "Fjord"}


# ── doubts ──


def test_the_same_room_name_at_two_sites_is_for_a_person_to_say():
    found = match(named("Fjord"), named("OSL-2-Fjord (8)", "BRG-1-Fjord (8)"))
    assert found.matches == ()
    assert "fit about equally well" in whys(found)["Fjord"]
    assert {each.other for each in found.doubts[0].candidates} == {"OSL-2-Fjord (8)", "BRG-1-Fjord (8)"}


def test_two_rooms_that_one_calendar_fits_both_wait_for_a_person():
    found = match(named("OSL Fjord", "BRG Fjord"), named("Fjord"))
    assert found.matches == ()
    assert whys(found)["OSL Fjord"] == "Fjord fits BRG Fjord about as well"
    assert whys(found)["BRG Fjord"] == "Fjord fits OSL Fjord about as well"


def test_a_calendar_that_is_another_rooms_does_not_become_certain_by_being_left_over():
    found = match(named("Fjord (1)", "Fjord (2)"), named("Fjord (1)", "Fjord (3)"))
    assert pairs(found) == {"Fjord (1)": "Fjord (1)"}
    assert "Fjord (2)" in whys(found)


def test_a_person_is_shown_what_may_be_meant():
    found = match(named("Fjord"), named("Fjord 1", "Fjord 2", "Vidde"))
    assert [each.other for each in found.doubts[0].candidates] == ["Fjord 1", "Fjord 2"]
    assert match(named("Fjord"), named("Vidde")).alone == ("Fjord",)


def test_the_same_name_with_another_capacity_is_still_the_same_room_unless_there_are_two():
    assert pairs(match(named("Fjord (8)"), named("Fjord (10)"))) == {"Fjord (8)": "Fjord (10)"}
    two = [Named(id="big", name="Fjord", capacity=20), Named(id="small", name="Fjord", capacity=4)]
    found = match([Named(id="fjord", name="Fjord", capacity=20)], two)
    assert pairs(found) in ({}, {"fjord": "big"})


# ── addresses ──


def test_the_same_address_is_certain_whatever_the_names():
    rooms = [Named(id="r", name="Fjord", address="Fjord@Contoso.com ")]
    calendars = [
        Named(id="c", name="Aquarium", address="fjord@contoso.com"),
        Named(id="d", name="Fjord", address="other@contoso.com"),
    ]
    found = match(rooms, calendars)
    assert found.matches == (Match(one="r", other="c", ground=Ground.ADDRESS),)
    assert found.others == ("d",)


def test_a_name_is_not_certain_where_the_addresses_differ():
    rooms = [Named(id="r", name="Fjord", address="fjord@contoso.com")]
    found = match(rooms, [Named(id="c", name="Fjord", address="fjord2@contoso.com")])
    assert found.matches == ()
    assert whys(found) == {"r": "Fjord has a similar name, but another address"}


def test_where_only_one_side_has_an_address_the_name_counts():
    rooms = [Named(id="r", name="Fjord", address="fjord@contoso.com")]
    assert pairs(match(rooms, [Named(id="c", name="Fjord")])) == {"r": "c"}
    assert pairs(match([Named(id="c", name="Fjord")], rooms)) == {"c": "r"}


def test_an_address_that_two_have_is_for_a_person_to_say():
    rooms = [Named(id="r", name="Fjord", address="f@x"), Named(id="s", name="Bre", address="F@x")]
    found = match(rooms, [Named(id="c", name="Fjord", address="f@x")])
    assert found.matches == ()
    assert set(whys(found)) == {"r", "s"}


# ── by hand ──


def test_by_hand_goes_before_names_and_addresses():
    rooms = [
        Named(id="r", name="Fjord", address="f@x"),
        Named(id="s", name="Bre"),
        Named(id="t", name="Tind"),
    ]
    calendars = [
        Named(id="c", name="Fjord", address="f@x"),
        Named(id="d", name="Bre"),
        Named(id="e", name="Tind"),
    ]
    found = match(rooms, calendars, by_hand={"r": "d", "t": None})
    assert found.matches == (Match(one="r", other="d", ground=Ground.BY_HAND),)
    assert found.left_out == ("t",)
    assert found.alone == ("s",)  # its calendar is taken
    assert found.others == ("c", "e")


def test_what_is_said_by_hand_and_is_not_there_is_reported_and_not_replaced():
    found = match(named("Fjord"), named("fjord"), by_hand={"Fjord": "gone@contoso.com"})
    assert found.matches == ()
    assert "gone@contoso.com, which is not among those" in whys(found)["Fjord"]


def test_two_rooms_may_share_a_calendar_by_hand():
    found = match(
        named("Fjord East", "Fjord West"),
        named("Fjord"),
        by_hand={"Fjord East": "Fjord", "Fjord West": "Fjord"},
    )
    assert pairs(found) == {"Fjord East": "Fjord", "Fjord West": "Fjord"}


# ── many, and whatever is written ──


def test_a_thousand_rooms_are_matched_without_one_mistake():
    sites = ("OSL", "BRG", "TRD", "SVG")
    rooms = [Named(id=f"{number}", name=f"Room {number}") for number in range(1000)]
    calendars = [
        Named(id=f"{number}", name=f"{sites[number % 4]}-{number % 9}-{number:04} ({number % 12 + 2})")
        for number in range(1000)
    ]
    random.Random(1).shuffle(calendars)
    found = match(rooms, calendars)
    assert pairs(found) == {each.id: each.id for each in rooms}


def test_names_that_are_all_alike_do_not_take_for_ever():
    # Every name has every piece: what is compared stays bounded by the rarest of its words.
    names = named(*(f"Fjord Lounge East {'ab'[number % 2]}" + "x" * (number % 40) for number in range(1500)))
    ids = [replace(each, id=str(number)) for number, each in enumerate(names)]
    assert match(ids[:40], ids[40:]).matches == ()


WORDS = st.sampled_from(
    [
        "Fjord",
        "fjord",
        "Bre",
        "Møterom",
        "Room",
        "OSL",
        "Floor",
        "2",
        "02",
        "1",
        "A",
        "B",
        "(8)",
        "(2)",
        "[VC]",
        "-",
        ".",
    ]
)
NAMES = st.lists(WORDS, max_size=5).map(" ".join) | st.text(max_size=12)
SITE = st.lists(
    st.builds(
        Named,
        id=st.just(""),
        name=NAMES,
        capacity=st.none() | st.integers(1, 30),
        address=st.none() | st.sampled_from(["a@x", "b@x", "A@x", ""]),
        where=st.lists(WORDS, max_size=2).map(tuple),
    ),
    max_size=8,
).map(lambda all_: [replace(each, id=str(number)) for number, each in enumerate(all_)])


@given(
    ones=SITE,
    others=SITE,
    by_hand=st.dictionaries(st.integers(0, 9).map(str), st.none() | st.integers(0, 9).map(str)),
    luck=st.randoms(),
)
def test_whatever_the_names_the_promises_hold(
    ones: list[Named], others: list[Named], by_hand: dict[str, str | None], luck: random.Random
):
    found = match(ones, others, by_hand=by_hand)
    listed = [
        *(each.one for each in found.matches),
        *(each.one for each in found.doubts),
        *found.alone,
        *found.left_out,
    ]
    assert sorted(listed) == sorted(each.id for each in ones)
    by_ground = [each for each in found.matches if each.ground is not Ground.BY_HAND]
    assert len({each.other for each in by_ground}) == len(by_ground)
    said = {each.one: each.other for each in found.matches if each.ground is Ground.BY_HAND}
    known = {each.id for each in others}
    assert said == {each.id: by_hand[each.id] for each in ones if by_hand.get(each.id) in known}
    assert not {each.other for each in by_ground} & set(said.values())
    assert {*found.others} == known - {each.other for each in found.matches}
    for each in by_ground:
        assert 1.0 >= each.score >= CERTAIN
    for doubt in found.doubts:
        scores = [each.score for each in doubt.candidates]
        assert scores == sorted(scores, reverse=True)
    mixed, other_mixed = ones.copy(), others.copy()
    luck.shuffle(mixed)
    luck.shuffle(other_mixed)
    again = match(mixed, other_mixed, by_hand=by_hand)
    assert set(again.matches) == set(found.matches)
    assert {each.one for each in again.doubts} == {each.one for each in found.doubts}


BASES = (
    "Fjord",
    "Bre",
    "Vidde",
    "Tind",
    "Ærfugl",
    "Åre",
    "Sjø",
    "Board room",
    "Aquarium",
    "Skagerrak",
    "Zürich",
    "Fløyen",
)


@given(
    chosen=st.sets(st.sampled_from(BASES), min_size=1),
    look=st.lists(
        st.sampled_from(
            ["{}", "{} (8)", "Møterom {}", "OSL-2-{}", "{} [VC]", "{}, 2. etg", "{} meeting room"]
        ),
        min_size=12,
        max_size=12,
    ),
    upper=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_rooms_however_their_calendars_are_decorated_are_never_matched_wrongly(
    chosen: set[str], look: list[str], upper: list[bool]
):
    bases = sorted(chosen)
    rooms = named(*bases)
    calendars = [
        Named(id=base, name=how.format(base.upper() if loud else base))
        for base, how, loud in zip(bases, look, upper, strict=False)
    ]
    found = match(rooms, calendars)
    assert pairs(found) == {each: each for each in bases}


@given(st.text(max_size=300))
def test_any_name_can_be_taken_apart(name: str):
    words = matching.plain(name)
    assert all(word and not any(sign.isspace() for sign in word) for word in words)
    assert match([Named(id="r", name=name)], [Named(id="c", name=name)]).matches or not words
