"""What a device makes of others' words that its room is used."""

import pytest

from tests.simulator import ManualClock, Site
from tests.simulator_tests.client import Refusal, dial

SET = "RoomAnalytics RoomInUse Set"
NEW = "26.8"


def in_use(site: Site) -> str:
    return str(site.devices[0].truth()["in_use"])


async def test_a_word_that_the_room_is_used_runs_out_unless_it_is_said_again():
    async with Site(profile=NEW, clock=ManualClock(), services=("websocket",)) as site, dial(site) as client:
        await client.command(SET, ID="ceiling", State="InUse", Duration=60)
        assert in_use(site) == "True"
        site.advance(50)
        await client.command(SET, ID="ceiling", State="InUse", Duration=60)
        site.advance(50)
        assert in_use(site) == "True"
        site.advance(11)
        assert in_use(site) == "False"


async def test_each_source_is_forgotten_by_its_own_name_alone():
    async with Site(profile=NEW, clock=ManualClock(), services=("websocket",)) as site, dial(site) as client:
        await client.command(SET, ID="ceiling", State="InUse")
        await client.command(SET, ID="door", State="InUse")
        await client.command(SET, ID="ceiling", State="NotInUse")
        assert in_use(site) == "True"
        await client.command(SET, ID="door", State="NotInUse")
        assert in_use(site) == "False"


async def test_sixteen_sources_have_a_name_and_no_more():
    async with Site(profile=NEW, clock=ManualClock(), services=("websocket",)) as site, dial(site) as client:
        for number in range(16):
            await client.command(SET, ID=f"sensor-{number}", State="InUse")
        with pytest.raises(Refusal):
            await client.command(SET, ID="one-too-many", State="InUse")


async def test_firmware_of_today_does_not_know_the_command():
    async with (
        Site(profile="26.4", clock=ManualClock(), services=("websocket",)) as site,
        dial(site) as client,
    ):
        with pytest.raises(Refusal):
            await client.command(SET, State="InUse")
