"""Groups of rooms: what the site sorts its rooms by, as the file has it and reports are told."""

from __future__ import annotations

import pytest

from agent.settings import read_whereabouts
from tests.agent.test_settings import GOOD, directory, reads, refuses

__all__ = ["directory"]


def grouped(text: str) -> str:
    return GOOD.replace("capacity = 8", f"capacity = 8\ngroups = {text}")


def test_a_room_is_in_the_groups_that_the_file_says_and_in_none_otherwise(directory):
    (plain,) = reads(directory).rooms
    assert plain.groups == ()
    (room,) = reads(directory, grouped('["floor-2", " Nordfløyen "]')).rooms
    assert room.groups == ("floor-2", "Nordfløyen")
    assert (room.listed.id, room.listed.capacity, room.listed.groups) == ("fjord", 8, room.groups)


def test_who_reads_no_secret_is_told_the_rooms_all_the_same(directory):
    reads(directory, grouped('["floor-2"]'))
    (directory / "device-password").unlink()
    (directory / "roomd.toml").write_text(grouped('["floor-2"]') + '[[rooms]]\nname = "Nameless"\n')
    (room,) = read_whereabouts(directory / "roomd.toml").rooms
    assert (room.id, room.name, room.groups) == ("fjord", "Fjord", ("floor-2",))


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ('"floor-2"', "rooms[0].groups", 'Write it like groups = ["…"]'),
        ('["floor-2", "Floor-2"]', "rooms[0].groups", "twice. Keep one of them"),
        ('["", "x"]', "rooms[0].groups[0]", "at least 1 character"),
        ("[2]", "rooms[0].groups[0]", "string"),
    ],
    ids=["no list", "twice", "empty", "number"],
)
def test_groups_that_are_none_are_refused_with_the_mend(directory, text, key, why):
    assert why in refuses(directory, grouped(text))[key]
