"""Rooms that only Webex leads to: the same day, from the devices by way of the cloud to the broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clouds.webex import WebexCloud
from tests.clouds.webex_devices import Registration
from tests.installation import webex_table
from tests.journeys.house import HASTE, House, house
from tests.journeys.test_every_line import Pair, attended, expected, have_a_day, same, told
from tests.simulator.firmware import ALL_VERSIONS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PAIRS = tuple(Pair(version=version, line="cloud") for version in ALL_VERSIONS.values())
MANIFEST = {
    "commands": ["Bookings.*", "UserInterface.Message.*"],
    "statuses": ["Conference.Presentation.*", "MicrosoftTeams.*", "RoomAnalytics.*", "SystemUnit.*"],
    "events": ["Bookings.*", "UserInterface.Message.Prompt.*"],
}


def registered(cloud: WebexCloud) -> Callable[[Any, list[dict[str, Any]]], None]:
    """Each device with Webex, and nowhere else."""

    def arrange(site: Any, described: list[dict[str, Any]]) -> None:  # noqa: ANN401
        for device, each in zip(site.devices, described, strict=True):
            registration = Registration(cloud, device, cloud.add_workspace(device.name))
            each |= {"webex": registration.id, "host": "", "transport": ""}

    return arrange


@asynccontextmanager
async def by_the_cloud(directory: Path, pairs: Sequence[Pair]) -> AsyncIterator[tuple[House, WebexCloud]]:
    async with WebexCloud(poll_within_s=5.0) as cloud:
        cloud.manifest.update(MANIFEST)

        def tables(place: Path) -> str:
            place.mkdir(parents=True, exist_ok=True)
            (place / "clouds.pem").write_bytes(cloud.pem)
            return webex_table(
                place,
                client_id=cloud.client_id,
                secret=cloud.client_secret,
                code=cloud.sign(cloud.activation()),
                key_url=cloud.key_url,
            )

        async with house(
            directory,
            rooms=len(pairs),
            profile=[pair.version for pair in pairs],
            arrange=registered(cloud),
            tables=tables,
            haste=f"{HASTE},looks",
        ) as h:
            yield h, cloud


async def test_a_day_by_the_cloud_gives_the_facts_of_a_day_on_the_network(tmp_path):
    async with by_the_cloud(tmp_path, PAIRS) as (h, _):
        await h.heard()
        pairs = dict(zip(h.devices, PAIRS, strict=True))
        await have_a_day(h, pairs)
        for device, pair in pairs.items():
            assert told(h, device) == expected(pair), pair
            await attended(h, device)
            state = await h.retained(device, lambda state: state["occupancy"]["in_use"] is False)
            same(state, device.truth())
            reach = await h.retained(device, what="availability")
            (heard,) = reach["devices"]
            assert (reach["state"], heard["transport"]) == ("available", "cloud"), reach
            assert "its configuration cannot be read" in heard["transport_why"]
        await h.delivered()


async def test_a_restart_goes_on_with_the_grant_that_was_kept(tmp_path):
    async with by_the_cloud(tmp_path, PAIRS[-1:]) as (h, cloud):
        await h.heard()
        (device,) = h.devices
        await h.roomd.stop()
        keys_asked = len(cloud.asked("GET", "/jwks"))
        device.book_in_outlook("While it was away")
        await h.start()
        await h.listed(device, "While it was away")
        device.count_people(4)
        await h.counted(device, 4)
        assert len(cloud.asked("GET", "/jwks")) == keys_asked  # the code lapses in a day, and is read no more
        assert h.all_told("device.lost", of=device) == []
        code, answer, _ = await h.ask("calendars", "--json")
        assert (code, '"webex"' in answer) == (0, True), answer
        assert cloud.refresh_token not in h.roomd.log
