"""Every point at which roomd is killed, and everything that is hurried, is still there in the product."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.prove import mortal
from tests.prove.plots.calendars import AT_A_BOOKING, AT_A_WATCH, AT_LISTINGS, AT_LOST_CONSENT, AT_NEW_CONSENT
from tests.prove.plots.holds import BOOKING, ENDING, PLACING, RENEWING
from tests.prove.plots.lies import AT_A_BURIAL
from tests.prove.plots.processes import AT_THE_END, POINTS
from tests.prove.plots.reload import WHEN_ROOMS_COME, WHEN_ROOMS_GO
from tests.prove.plots.states import AT_THE_RESCUE

LAYS_HANDS_ON_ALL = """
import agent.daemon
from tests.prove import mortal
for lay in mortal.points().values():
    lay(mortal.Doom(10**9))
for hurry in mortal.HURRIES.values():
    hurry()
"""


@pytest.mark.slow
def test_every_point_and_every_haste_is_found_in_the_product():
    done = subprocess.run(
        [sys.executable, "-c", LAYS_HANDS_ON_ALL], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_point_that_a_scenario_names_exists():
    holds = {*PLACING, *RENEWING, *ENDING, *BOOKING}
    named = {
        *POINTS,
        *AT_THE_END,
        *WHEN_ROOMS_GO,
        *WHEN_ROOMS_COME,
        *holds,
        *(*AT_LISTINGS, *AT_LOST_CONSENT, *AT_NEW_CONSENT, *AT_A_BOOKING, AT_A_WATCH),
        *(point.rpartition(":")[0] for point in (*AT_THE_RESCUE, *AT_A_BURIAL)),
    }
    assert named <= set(mortal.points())
