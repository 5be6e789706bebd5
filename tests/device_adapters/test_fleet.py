"""All devices together, against real sockets."""

import asyncio
import contextlib

import pytest
import uvloop
from structlog.testing import capture_logs

from agent.core.events import BookingsListed, DeviceConnected, DeviceLost, PeopleCounted
from agent.core.model import DeviceId
from device_adapters.fleet import Fleet
from device_adapters.lifecycle import Phase
from device_adapters.websocket import LinePace
from tests.device_adapters.stage import Ear, configured, door, hearing
from tests.simulator import Site

pytestmark = pytest.mark.slow


async def test_a_site_of_all_firmwares_is_heard(tmp_path):
    async with Site(rooms=8, profile="mix", calendar="mix") as site:
        devices = [configured(simulated, tmp_path) for simulated in site.devices]
        async with hearing(*devices) as (fleet, ear):
            await ear.until_heard(BookingsListed, 8)
            for number, simulated in enumerate(site.devices, start=1):
                simulated.count_people(number)
            await ear.until_heard(PeopleCounted, 8)
            assert {event.device: event.people for event in ear.of(PeopleCounted)} == {
                simulated.room: number for number, simulated in enumerate(site.devices, start=1)
            }
            assert fleet.phases()[Phase.HEARING] == sum(fleet.phases().values()) == 8
            assert fleet.tally.counts() == {
                "dials": 8,
                "connects": 8,
                "losses": 0,
                "failures": 0,
                "refusals": 0,
                "messages": fleet.tally.messages,
                "events": len(ear.heard),
                "unknown_nodes": 0,
                "unreadable_values": 0,
                "stray_answers": 0,
                "nonsense": 0,
                "bugs": 0,
            }


def test_a_site_is_heard_on_uvloop_as_well(tmp_path):
    async def story() -> None:
        async with Site(rooms=5) as site:
            devices = [configured(simulated, tmp_path) for simulated in site.devices]
            async with hearing(*devices) as (_, ear):
                await ear.until_heard(BookingsListed, 5)
                for simulated in site.devices:
                    simulated.count_people(3)
                await ear.until_heard(PeopleCounted, 5)
                site.devices[0].cut()
                await ear.until_heard(DeviceConnected, 6)
            await site.until(lambda: not any(simulated.lines for simulated in site.devices))

    uvloop.run(story())


async def test_no_more_dial_at_once_than_the_door_lets_in(tmp_path):
    async with Site(rooms=6) as site:
        devices = [configured(simulated, tmp_path) for simulated in site.devices]
        async with hearing(*devices, dial_at_once=1) as (_, ear):
            await ear.until_heard(DeviceConnected, 6)


async def test_a_device_that_hangs_at_the_door_lets_the_others_in_after_a_while(tmp_path):
    async with door(iter(()), tls=False) as (_, hanging), Site() as site:
        line = LinePace(greet_within_s=0.1)
        hung, sound = hanging.configured(tmp_path), configured(site.devices[0], tmp_path)
        async with hearing(hung, sound, dial_at_once=1, line=line) as (_, ear):
            await ear.until_heard(DeviceConnected, device="room-0001")
            await ear.until_heard(DeviceLost, device="scripted")


async def test_a_bug_over_one_device_stays_with_that_device(tmp_path):
    async with Site(rooms=2) as site:
        clumsy, sound = (configured(simulated, tmp_path) for simulated in site.devices)
        bugs = iter([RuntimeError("a bug of ours")])

        async def deliver(room, events):
            if room == clumsy.room and any(isinstance(event, PeopleCounted) for event in events):
                for bug in bugs:
                    raise bug
            await ear.deliver(room, events)

        with capture_logs() as logs:
            async with hearing(clumsy, sound, deliver=deliver) as (fleet, ear):
                await ear.until_heard(BookingsListed, 2)
                site.devices[0].count_people(1)
                await ear.until_heard(DeviceConnected, 2, clumsy.id)
                site.devices[0].count_people(2)
                site.devices[1].count_people(3)
                await ear.until_heard(PeopleCounted, 2)
                assert "roomd" in ear.of(DeviceLost, clumsy.id)[0].why
                assert not ear.of(DeviceLost, sound.id)
                assert fleet.tally.bugs == 1
    assert [entry["device"] for entry in logs if entry["event"] == "link.crashed"] == [clumsy.id]


async def test_devices_come_and_go_while_the_fleet_runs(tmp_path):
    async with Site(rooms=3) as site:
        first, second, third = (configured(simulated, tmp_path) for simulated in site.devices)
        async with hearing(first, second) as (fleet, ear):
            await ear.until_heard(BookingsListed, 2)
            fleet.add(third)
            await ear.until_heard(BookingsListed, device=third.id)
            with pytest.raises(ValueError, match="there already"):
                fleet.add(third)
            await fleet.remove(first.id)
            await site.until(lambda: not site.devices[0].lines)
            assert set(fleet.devices) == {second.id, third.id}
            heard = len(ear.heard)
            site.devices[0].count_people(5)
            site.devices[1].count_people(6)
            await ear.until_heard(PeopleCounted)
            assert [room for room, _ in ear.heard[heard:]] == [second.room] * (len(ear.heard) - heard)
            await fleet.remove(DeviceId("nobody"))


async def test_who_is_dialled_or_heard_is_under_way(tmp_path):
    async with Site(rooms=2) as site:
        devices = [configured(simulated, tmp_path) for simulated in site.devices]
        assert not Fleet(devices, Ear().deliver).under_way
        site.devices[1].hold_open(newcomers=True)
        async with hearing(*devices) as (fleet, ear):
            await ear.until_heard(DeviceConnected, device=devices[0].id)
            await site.until(lambda: bool(site.devices[1].visitors))
            assert fleet.under_way == {device.id for device in devices}
            await fleet.remove(devices[1].id)
            assert fleet.under_way == {devices[0].id}


async def test_no_device_at_all_is_a_fleet_as_well():
    async with hearing() as (fleet, _):
        assert sum(fleet.phases().values()) == 0


async def test_a_fleet_that_ends_says_good_bye(tmp_path):
    async with Site(rooms=3) as site:
        devices = [configured(simulated, tmp_path) for simulated in site.devices]
        async with hearing(*devices) as (_, ear):
            await ear.until_heard(DeviceConnected, 3)
        await site.until(lambda: not any(simulated.visitors for simulated in site.devices))


async def test_a_fleet_may_be_cancelled_while_it_dials(tmp_path):
    async with Site(rooms=3) as site:
        devices = [configured(simulated, tmp_path) for simulated in site.devices]
        for simulated in site.devices:
            simulated.hold_open(newcomers=True)

        async def deliver(_room, _events):
            raise AssertionError("nothing to deliver")

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await Fleet(devices, deliver).run()
        for simulated in site.devices:
            simulated.let_go()
