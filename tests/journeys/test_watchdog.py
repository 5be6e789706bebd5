"""systemd is told that all is well only while it is, and a restart would not help what is not."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

import pytest

from tests.brokers import Liar
from tests.brokers.records import withheld
from tests.journeys.house import HASTE, house
from tests.journeys.systemd import Notified, notified

pytestmark = pytest.mark.slow

FED: Final = "WATCHDOG=1"
LIMIT_S: Final = 3.0  # systemd waits so long for a sign of life
TRIED_S: Final = 60.0


async def fed(n: Notified, times: int = 2) -> None:
    for _ in range(times):
        await n.until(lambda message: message == FED)


@pytest.mark.parametrize("part", ["loop", "writer", "forwarder"])
async def test_what_hangs_is_not_told_as_well(tmp_path: Path, part: str):
    words = {
        "writer": "the database has finished nothing",
        "forwarder": "the line to the broker has not moved",
    }
    async with notified() as n, house(tmp_path, start=False) as h:
        h.roomd.environment |= {**n.environment(watchdog_s=LIMIT_S), "PROVE_HANG": part}
        await h.start()
        await n.until(lambda message: message == "READY=1")
        await h.heard()
        await fed(n)
        h.roomd.send(signal.SIGUSR1)
        h.devices[0].count_people(4)  # something to do for everybody
        assert await n.silent_for(FED, seconds=LIMIT_S, within_s=TRIED_S)
        if part in words:
            assert words[part] in await h.logged("roomd.stuck")
        if part != "writer":
            return  # the start after a kill is the same
        await h.roomd.kill()
        h.roomd.environment.pop("PROVE_HANG")
        await h.start()
        await h.counted(h.devices[0], 4)
        await h.delivered()


async def test_a_broker_that_is_away_or_never_answers_is_no_reason_to_restart(tmp_path: Path):
    liar = Liar()
    async with (
        notified() as n,
        house(tmp_path, broker=liar, haste=f"{HASTE},lines", start=False, listen=False) as h,
    ):
        h.roomd.environment |= n.environment(watchdog_s=LIMIT_S)
        liar.pubacks = withheld
        await h.start()
        h.devices[0].count_people(4)
        await h.logged("PUBACK is overdue", within_s=TRIED_S)
        await liar.stop()
        await fed(n, 8)  # more than a limit, while nobody answers
        assert "roomd.stuck" not in h.roomd.log
        status = [message for message in n.messages if message.startswith("STATUS=")]
        assert any("broker away" in message for message in status), status
