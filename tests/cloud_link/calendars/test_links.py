"""Which calendar is which room's, from one list of rooms to the next."""

from agent.core.model import RoomId
from cloud_link.calendars import links
from cloud_link.calendars.links import Link, Links
from cloud_link.calendars.matching import Ground, Named, match

FJORD, LAKE, ELV = RoomId("fjord"), RoomId("lake"), RoomId("elv")
ROOMS = [Named(id=room, name=room.title()) for room in (FJORD, LAKE, ELV)]


def by_name(address: str) -> Link:
    return Link(address=address, ground=Ground.NAME)


def by_hand(address: str) -> Link:
    return Link(address=address, ground=Ground.BY_HAND)


def listed(*names: str, domain: str = "x.example") -> list[Named]:
    return [Named(id=f"{name.lower()}@{domain}", name=name) for name in names]


def after(
    before: Links, found: list[Named], said: links.ByHand | None = None, *gone: RoomId
) -> dict[RoomId, Link]:
    said = said or {}
    matching = match(ROOMS, found, by_hand=said)
    return links.after_list(before, said, matching, listed={each.id for each in found}, gone=gone)


def test_what_was_found_before_gives_way_to_what_is_said_by_hand():
    kept = {FJORD: "a@x.example", LAKE: "b@x.example", ELV: "c@x.example", RoomId("gone"): "d@x.example"}
    said: links.ByHand = {FJORD: "b@x.example", ELV: None}
    assert links.first([FJORD, LAKE, ELV], said, kept) == {FJORD: by_hand("b@x.example")}
    assert links.first([FJORD, LAKE, ELV], {}, kept)[LAKE] == by_name("b@x.example")
    assert RoomId("gone") not in links.first([FJORD, LAKE, ELV], {}, kept)


def test_a_list_links_by_name_and_leaves_what_it_does_not_have():
    before = {LAKE: by_name("lake@x.example")}
    assert after(before, listed("Fjord")) == {FJORD: by_name("fjord@x.example"), **before}


def test_what_neither_the_list_nor_the_service_has_goes():
    before = {FJORD: by_name("fjord@x.example"), LAKE: by_name("lake@x.example")}
    assert after(before, listed("Lake"), {}, FJORD) == {LAKE: by_name("lake@x.example")}
    assert after(before, listed("Lake", "Fjord"), {}, FJORD) == before  # it may be new


def test_another_that_has_its_name_takes_its_place():
    before = {FJORD: by_name("fjord@x.example")}
    assert after(before, listed("Fjord", domain="y.example")) == {FJORD: by_name("fjord@y.example")}


def test_what_a_list_has_under_another_name_is_no_longer_the_rooms():
    before = {FJORD: by_name("quiet@x.example")}
    assert after(before, listed("Quiet")) == {}


def test_an_address_by_hand_stays_whoever_says_that_nothing_is_there():
    said: links.ByHand = {FJORD: "a@x.example"}
    assert after({FJORD: by_hand("a@x.example")}, listed("Lake"), said, FJORD)[FJORD] == by_hand(
        "a@x.example"
    )


def test_rooms_may_share_an_address_by_hand_and_only_finds_are_remembered():
    both = {FJORD: by_hand("a@x.example"), LAKE: by_hand("a@x.example"), ELV: by_name("c@x.example")}
    assert links.rooms_at(both) == {"a@x.example": {FJORD, LAKE}, "c@x.example": {ELV}}
    assert links.found(both) == {ELV: "c@x.example"}
    assert links.address_of(both, RoomId("nobody")) is None
