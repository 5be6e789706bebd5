"""Cisco's own clients find nothing strange in a simulated device."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.simulator import VERSIONS, Answer, Device, Site

ROOT = Path(__file__).parents[2]
JUDGES = ROOT / "tests" / "judges"
MODULES = ROOT / ".tools" / "node" / "node_modules"
NODE = {"NODE_PATH": str(MODULES), "NODE_NO_WARNINGS": "1"}
INSTALLED_WITHIN_S = 50.0
WITHIN_S = 20.0
LEAVES_WITHIN_S = 3.0

pytestmark = pytest.mark.slow


async def bring_jsxapi() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("jsxapi needs Node.js and npm")
    process = await asyncio.create_subprocess_exec(str(ROOT / "scripts" / "judges-install"), "--jsxapi")
    async with asyncio.timeout(INSTALLED_WITHIN_S):
        assert await process.wait() == 0


@contextlib.asynccontextmanager
async def saying(
    program: Sequence[str], environment: Mapping[str, str]
) -> AsyncIterator[asyncio.StreamReader]:
    """What a program prints; it is ended with the block."""
    process = await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, env=os.environ | environment
    )
    try:
        assert process.stdout
        yield process.stdout
    finally:
        try:
            async with asyncio.timeout(LEAVES_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def judging(judge: str, device: Device, password: str) -> AsyncIterator[asyncio.StreamReader]:
    if judge == "jsxapi":
        await bring_jsxapi()
        program = ["node", str(JUDGES / "jsxapi_judge.js")]
    else:
        pytest.importorskip("aiohttp", reason="xows is not installed")
        program = [sys.executable, str(JUDGES / "xows_judge.py")]
    arguments = (device.url.removesuffix("/ws"), device.user, password)
    async with saying((*program, *arguments), NODE) as output:
        yield output


async def verdict(judge: str, device: Device) -> dict[str, Any]:
    """What the judge saw, by step."""
    async with judging(judge, device, device.password) as output:
        return await steps_in(output, device)


async def steps_in(output: asyncio.StreamReader, device: Device) -> dict[str, Any]:
    """What a judge tells, by step; the room does its part as soon as the judge listens."""
    seen: dict[str, Any] = {}
    async with asyncio.timeout(WITHIN_S):
        while line := await output.readline():
            told = json.loads(line)
            seen[told["step"]] = told["value"]
            if told["step"] == "listening":
                device.count_people(3)
                device.share()
    return seen


@pytest.mark.parametrize("version", [VERSIONS["C"], VERSIONS["D"]])
@pytest.mark.parametrize("judge", ["jsxapi", "xows"])
async def test_a_client_of_ciscos_works_a_device(judge: str, version: str):
    async with Site(profile=version) as site:
        device = site.devices[0]
        device.answer = Answer(after_s=0.1)
        seen = await verdict(judge, device)
        assert seen.get("error") is None
        assert seen["done"]
        assert isinstance(seen["uptime"], int)
        assert seen["analytics"]["PeopleCount"] == {"Capacity": 10, "Current": 0}
        assert seen["query"]["Status"]["SystemUnit"]["Software"]["DisplayName"].startswith("RoomOS")
        assert (seen["set"], seen["zone"]) == (True, "Europe/Oslo")
        assert (seen["refused"], seen["invalid"]) == (-32601, -32602)
        assert seen["empty"]["ResultInfo"] == {"TotalRows": 0}
        assert seen["booked"] == {"status": "OK"}
        heard = {one["name"]: one["value"] for one in seen["heard"]}
        assert heard["people"] == 3
        assert heard["created"]["Title"] == "Judged"
        [booking] = seen["listed"]["Booking"]
        assert booking["MeetingId"] == heard["created"]["MeetingId"]
        assert seen["unsubscribed"] is True
        assert [received.parameters for received in device.received("Bookings Book")]


@pytest.mark.parametrize("judge", ["jsxapi", "xows"])
async def test_a_client_of_ciscos_understands_a_refusal_at_the_door(judge: str):
    async with Site() as site, judging(judge, site.devices[0], "wrong") as output:
        async with asyncio.timeout(WITHIN_S):
            said = await output.read()
        assert b"done" not in said
        await site.until(lambda: site.devices[0].failed_logins == 1)


async def test_ciscos_jsxapi_hears_what_becomes_of_its_prompts():
    async with Site() as site:
        device = site.devices[0]
        await bring_jsxapi()
        program = ("node", str(Path(__file__).with_name("jsxapi_prompt_judge.js")))
        arguments = (device.url.removesuffix("/ws"), device.user, device.password)
        seen: dict[str, Any] = {}
        async with saying((*program, *arguments), NODE) as output, asyncio.timeout(WITHIN_S):
            while line := await output.readline():
                told = json.loads(line)
                seen[told["step"]] = told["value"]
                if told["step"] == "shown":
                    device.answer_prompt(2, origin="OSD")
        assert seen.get("error") is None
        assert seen["answered"] == {"FeedbackId": "first", "OptionId": 2, "Origin": "OSD"}
        where = {"Origin": "RoomScheduler", "PeripheralId": "aa:bb:cc:dd:ee:fe"}
        assert seen["cleared"] == {"FeedbackId": "second", **where}
        assert seen["done"]
        assert device.screen.messages == []
