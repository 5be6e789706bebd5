"""Cisco's workspace-integrations and wxc_sdk find nothing strange in the simulated Webex cloud."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.clouds.webex import WebexCloud

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOOLS = ROOT / ".tools" / "webex"
INSTALLED_WITHIN_S = 55.0
WITHIN_S = 30.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
async def judges() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("workspace-integrations needs Node.js and npm")
    process = await asyncio.create_subprocess_exec(str(ROOT / "scripts" / "webex-judges-install"))
    async with asyncio.timeout(INSTALLED_WITHIN_S):
        assert await process.wait() == 0


@pytest.fixture
async def cloud() -> AsyncIterator[WebexCloud]:
    """Over plain HTTP, as neither judge takes an authority of ours; two workspaces to a page."""
    async with WebexCloud(plain=True, poll_within_s=0.5, page=2) as cloud:
        fjord = cloud.add_workspace(
            "Fjord", calendar={"type": "microsoft", "emailAddress": "fjord@contoso.com"}
        )
        cloud.add_workspace("Skagen", calendar={"type": "google", "emailAddress": "skagen@contoso.com"})
        cloud.add_workspace("Canteen")
        device = cloud.add_device(fjord)
        cloud.statuses[device] = {
            "RoomAnalytics": {"PeopleCount": {"Current": 3, "Capacity": 8}},
            "SystemUnit": {"Uptime": 61269, "ProductType": "Cisco Codec"},
        }
        cloud.commands["Bookings.List"] = lambda *_: {"ResultInfo": {"TotalRows": 0}, "LastUpdated": "2026"}
        yield cloud


async def steps(
    cloud: WebexCloud, program: list[str], told: object = None, **environment: str
) -> dict[str, Any]:
    """What a judge tells, by step; the device does its part as soon as the judge listens."""
    process = await asyncio.create_subprocess_exec(
        *program,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )
    assert process.stdin
    assert process.stdout
    seen: dict[str, Any] = {}
    try:
        async with asyncio.timeout(WITHIN_S):
            process.stdin.write(json.dumps(told).encode() + b"\n")
            process.stdin.close()
            while line := await process.stdout.readline():
                said = json.loads(line)
                seen[said["step"]] = said["value"]
                if said["step"] == "listening":
                    await happen(cloud, said["value"])
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return seen


async def happen(cloud: WebexCloud, device: str) -> None:
    await cloud.say(
        cloud.status(device, {"RoomAnalytics.PeopleCount.Current": 4}, full=True),
        cloud.status(device, {}, removed=("Call[1]",)),
        cloud.health_check(),
    )
    await cloud.say(
        cloud.event(device, "Bookings.Start", {"Id": "webex-7"}),
        cloud.action("updateApproved", manifestVersion=2),
    )


async def test_ciscos_own_client_activates_itself_and_hears(judges, cloud):
    cloud.faults.rotates = False  # that client goes on with the refresh token of its activation code
    program = ["node", str(HERE / "webex_judge.js"), cloud.key_url]
    told = {
        "code": cloud.sign(cloud.activation()),
        "clientId": cloud.client_id,
        "clientSecret": cloud.client_secret,
    }
    modules = {"NODE_PATH": str(TOOLS / "node_modules"), "NODE_NO_WARNINGS": "1"}
    seen = await steps(cloud, program, told, **modules)
    assert "error" not in seen
    assert seen["done"]
    assert seen["activation"]["appUrl"] == cloud.app_url
    assert (seen["app"]["provisioningState"], seen["app"]["queue"]["state"]) == ("completed", "enabled")
    assert seen["workspaces"][0]["calendar"] == {"type": "microsoft", "emailAddress": "fjord@contoso.com"}
    assert (seen["device"], seen["people"]) == ("connected", 3)
    assert seen["listed"]["ResultInfo"] == {"TotalRows": 0}
    assert "not found" in seen["nowhere"]
    assert seen["refused"]["status"] == 400
    assert seen["refused"]["trackingId"].startswith("ROUTER_")
    assert seen["heard"] == [
        {"path": "RoomAnalytics.PeopleCount.Current", "value": 4, "isFullSync": True},
        {"path": "Call[1]", "value": {"ghost": True}},
        {"said": "xapi: got health check message"},
        {"path": "Bookings.Start", "value": {"Id": "webex-7"}},
        {"action": "updateApproved"},
    ]


async def test_wxc_sdk_reads_pages_waits_when_told_and_knows_every_field(judges, cloud):
    cloud.faults.slow_down.append(("/v1/workspaces", HTTPStatus.TOO_MANY_REQUESTS, 1))
    program = [
        str(TOOLS / ".venv" / "bin" / "python"),
        str(HERE / "wxc_judge.py"),
        cloud.api,
        cloud.give_access(),
    ]
    seen = await steps(cloud, program, API_MODEL_ALLOW_EXTRA="forbid")
    assert seen["done"]
    assert seen["workspaces"] == ["Fjord", "Skagen", "Canteen"]
    assert seen["calendars"] == [
        ["microsoft", "fjord@contoso.com"],
        ["google", "skagen@contoso.com"],
        ["none", None],
    ]
    assert seen["with_google"] == ["Skagen"]
    assert seen["devices"] == [["connected", "Cisco Room Bar Pro", "FOC00000000"]]
    assert seen["status"] == {
        "RoomAnalytics": {"PeopleCount": {"Current": 3}},
        "SystemUnit": {"Uptime": 61269, "ProductType": "Cisco Codec"},
    }
    assert seen["listed"]["ResultInfo"] == {"TotalRows": 0}
    assert seen["unknown"] == [404, "ROUTER_"]
    assert cloud.rests.broken == []
