"""systemd's status line: how many of how many are heard, and one of a thing said as one."""

from __future__ import annotations

import pytest

from agent.standing import in_one_line
from tests.agent.test_metrics import FJORD, VIDDA, heard, measured, room


@pytest.mark.parametrize(
    ("rooms", "begins"),
    [
        ((room(FJORD),), "1 room, 0 of 1 device, "),
        ((heard(room(FJORD)),), "1 room, 1 of 1 device, "),
        ((heard(room(FJORD)), room(VIDDA)), "2 rooms, 1 of 2 devices, "),
        ((), "0 rooms, 0 of 0 devices, "),
    ],
)
def test_it_says_how_many_of_how_many_are_heard(rooms, begins):
    seen = measured(rooms)
    said = in_one_line(seen.rooms, seen.line, waiting=3, stuck=("the disk takes nothing",))
    assert said.startswith(begins)
    assert said.endswith(", 3 waiting; the disk takes nothing")
