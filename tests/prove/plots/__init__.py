"""What is done to roomd and to all around it, one function for each scenario."""

from __future__ import annotations

from typing import Final

from tests.prove.plots.brokers import BROKERS
from tests.prove.plots.calendars import CALENDARS
from tests.prove.plots.devices import DEVICES
from tests.prove.plots.doctor import DOCTOR
from tests.prove.plots.ghosts import GHOSTS
from tests.prove.plots.holds import HOLDS
from tests.prove.plots.lies import LIES
from tests.prove.plots.lines import LINES
from tests.prove.plots.machine import MACHINE
from tests.prove.plots.parsers import PARSERS
from tests.prove.plots.processes import PROCESSES
from tests.prove.plots.reload import RELOADS
from tests.prove.plots.states import STATES
from tests.prove.plots.storm import STORM
from tests.prove.scenario import Scenario, Trial

SCENARIOS: Final[tuple[Scenario | Trial, ...]] = (
    *PROCESSES,
    *RELOADS,
    *BROKERS,
    *LIES,
    *DEVICES,
    *LINES,
    *STATES,
    *HOLDS,
    *CALENDARS,
    *STORM,
    *PARSERS,
    *DOCTOR,
    *GHOSTS,
    *MACHINE,
)
