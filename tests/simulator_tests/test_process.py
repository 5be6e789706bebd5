"""The simulator as a process: its files, its remote control, its scripts and floods."""

import asyncio
import contextlib
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.simulator.control import Remote, remote
from tests.simulator_tests.client import Client, basic

WITHIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    process: asyncio.subprocess.Process
    directory: Path
    control: Remote

    @property
    def site(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads((self.directory / "site.json").read_text())
        return described

    @contextlib.asynccontextmanager
    async def dial(self, index: int = 0) -> AsyncIterator[Client]:
        device = self.site["devices"][index]
        context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
        headers = basic(device["user"], device["password"])
        async with connect(device["url"], ssl=context, additional_headers=headers) as socket:
            yield Client(socket)


@contextlib.asynccontextmanager
async def running(directory: Path, *arguments: str) -> AsyncIterator[Running]:
    socket = str(directory / "control")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.simulator", "--port", "0", "--control", socket),
        *("--directory", str(directory), *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        async with asyncio.timeout(WITHIN_S):
            assert (await process.stdout.readline()).startswith(b"ready ")
            async with remote(socket) as control:
                yield Running(process=process, directory=directory, control=control)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_process_tells_where_its_devices_are_and_ends_cleanly(tmp_path: Path):
    async with running(tmp_path, "--rooms", "3", "--script", "none") as simulator:
        devices = simulator.site["devices"]
        assert [device["room"] for device in devices] == ["room-0001", "room-0002", "room-0003"]
        assert len({device["host"] for device in devices}) == 3
        async with simulator.dial(2) as client:
            name = await client.get("Status", "UserInterface", "ContactInfo", "Name")
            assert name == devices[2]["name"]


async def test_a_process_is_controlled_line_by_line(tmp_path: Path):
    async with running(tmp_path, "--script", "none", "--calendar", "hybrid") as simulator:
        ask = simulator.control.ask
        async with simulator.dial() as client:
            await client.subscribe("Event", "Bookings", "BookingRequested")
            answer = {"outcome": "by_hand"}
            uuid = await ask("request_booking", room="room-0001", title="By hand", answer=answer)
            [(_, requested)] = await client.events()
            assert requested["BookingRequestUUID"] == uuid
            booked = await ask("confirm", room=0, request_id=uuid)
            [truth] = (await ask("truth", room=0))["bookings"]
            assert truth == {**booked, "started": True}
            assert (await ask("truth"))[0]["connections"] == 1
        await ask("fault", room="all", handshake_status=503)
        with pytest.raises(ValueError, match="no fault"):
            await ask("fault", room=0, coffee=True)
        with pytest.raises(ValueError, match="NoSuchBooking"):
            await ask("delete", room=0, booking_id="webex-99")


async def test_a_site_describes_its_lines_and_switches_them(tmp_path: Path):
    arguments = ("--rooms", "6", "--script", "none", "--profile", "every", "--services", "mix")
    async with running(tmp_path, *arguments) as simulator:
        devices = simulator.site["devices"]
        assert devices[-1]["profile"] == "9.15.17.4"
        known = (tmp_path / "known_hosts").read_text().splitlines()
        assert len(known) == 6
        for device, line in zip(devices, known, strict=True):
            assert line.startswith(f"[{device['host']}]:{device['ssh_port']} ssh-ed25519 ")
            assert device["host_key"].startswith("SHA256:")

        async def listening(device: dict[str, Any], port: str) -> bool:
            try:
                _, writer = await asyncio.open_connection(device["host"], device[port])
            except ConnectionRefusedError:
                return False
            writer.close()
            return True

        assert [await listening(device, "ssh_port") for device in devices[:3]] == [True, True, False]
        assert [await listening(device, "port") for device in devices[:3]] == [True, False, True]
        await simulator.control.ask("offer", room=0, ssh=False)
        assert not await listening(devices[0], "ssh_port")
        await simulator.control.ask("lack", room="all", nodes=["Event Bookings"])
        await simulator.control.ask("fault", room=0, last_login="before", http_status=503)


async def test_a_flood_is_even_counted_and_timed(tmp_path: Path):
    async with running(tmp_path, "--rooms", "4", "--script", "none") as simulator:
        ask = simulator.control.ask
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(simulator.dial(index)) for index in range(4)]
            for client in clients:
                await client.subscribe("Status", "RoomAnalytics", "PeopleCount", "Current")
            await ask("flood", rate=2000, seconds=0.2, timestamps=True)
            totals = await ask("flood_totals")
            while totals["running"]:
                await asyncio.sleep(0.02)
                totals = await ask("flood_totals")
            counts = [room["counts"] for room in totals["rooms"].values()]
            assert sum(counts) == totals["counts"] == totals["frames"] > 100
            assert max(counts) - min(counts) <= 1
            for index, client in enumerate(clients):
                heard = [
                    params["Status"]["RoomAnalytics"]["PeopleCount"]["Current"]
                    for params in await client.all_feedback()
                ]
                assert heard == list(range(1, counts[index] + 1))
            times = await ask("flood_times", room="room-0001")
            assert len(times["sent_at"]) == counts[0]
            assert times["sent_at"] == sorted(times["sent_at"])


async def test_a_demonstration_is_lively(tmp_path: Path):
    async with running(tmp_path, "--rooms", "3", "--script", "demo", "--rate", "300") as simulator:
        told: set[str] = set()
        wanted = {"Bookings BookingRequested", "Bookings BookingCreated", "Bookings Start"}
        while not wanted <= told:
            await asyncio.sleep(0.05)
            told = {name for room in await simulator.control.ask("truth") for name in room["events"]}
        for room in await simulator.control.ask("truth"):
            assert 0 <= room["people"] <= 16


async def test_a_process_says_where_its_screens_can_be_looked_at():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.simulator", "--rooms", "1", "--script", "none"),
        *("--port", "0", "--pages", "0"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    async with asyncio.timeout(WITHIN_S):
        ready = (await process.stdout.readline()).decode().split()
        url = ready[-1].removeprefix("screens=")
        async with httpx.AsyncClient(trust_env=False) as browser:
            assert (await browser.get(f"{url}screens.json")).json()["rooms"][0]["room"] == "room-0001"
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
