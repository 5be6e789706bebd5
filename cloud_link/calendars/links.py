"""Which calendar is which room's, from the configuration and from one list of rooms to the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from agent.core.model import RoomId
from cloud_link.calendars.matching import Ground, Matching


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One room's calendar, and why that one."""

    address: str  # in lower case
    ground: Ground


Links = Mapping[RoomId, Link]
ByHand = Mapping[str, str | None]
"""By room, addresses in lower case that a person gave; None where it is to have none."""


def first(rooms: Iterable[RoomId], by_hand: ByHand, kept: Mapping[RoomId, str]) -> dict[RoomId, Link]:
    """Before any list was read: those by hand, and what is `kept` of earlier finds beside them."""
    links = _by_hand(by_hand)
    taken = {link.address for link in links.values()}
    for room in rooms:
        address = kept.get(room)
        if address is not None and room not in by_hand and address not in taken:
            links[room] = Link(address=address, ground=Ground.NAME)
    return links


def after_list(
    before: Links,
    by_hand: ByHand,
    matching: Matching,
    *,
    listed: Collection[str],
    gone: Collection[RoomId],
) -> dict[RoomId, Link]:
    """After a list with the addresses `listed` was read and matched.

    Lists are cut short, and rooms are hidden from them: a link that was found before stays where the list
    does not have its address, unless the service itself says that nothing is there (`gone`).
    """
    links = _by_hand(by_hand)
    for each in matching.matches:
        if each.ground is not Ground.BY_HAND:
            links[RoomId(each.one)] = Link(address=each.other, ground=each.ground)
    known = {link.address for link in links.values()} | set(listed)
    for room, link in before.items():
        if room not in links and room not in gone and link.address not in known:
            links[room] = link
    return links


def _by_hand(by_hand: ByHand) -> dict[RoomId, Link]:
    return {
        RoomId(room): Link(address=address, ground=Ground.BY_HAND)
        for room, address in by_hand.items()
        if address is not None
    }


def address_of(links: Links, room: RoomId) -> str | None:
    """Of a room's calendar; None if it has none."""
    link = links.get(room)
    return None if link is None else link.address


def found(links: Links) -> dict[RoomId, str]:
    """Addresses that no person gave: what a restart is to know before the list is read."""
    return {room: link.address for room, link in links.items() if link.ground is not Ground.BY_HAND}


def rooms_at(links: Links) -> dict[str, set[RoomId]]:
    """The rooms that have each address; by hand several may share one."""
    at: dict[str, set[RoomId]] = defaultdict(set)
    for room, link in links.items():
        at[link.address].add(room)
    return dict(at)
