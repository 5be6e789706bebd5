from datetime import timedelta

from agent.core.devices import furnish
from agent.core.events import (
    BookingTimeoutRead,
    DeviceLost,
    DeviceRefused,
    PeopleCounted,
    ShortcomingsFound,
    UptimeRead,
)
from agent.core.facts import DeviceFact, FactKind
from agent.core.model import DeviceId, DevicePhase, RoomId
from tests.agent.core.story import CODEC, Story, at, device

LOST = FactKind.DEVICE_LOST
REFUSED = FactKind.DEVICE_REFUSED


def lost(why="no route to host"):
    return DeviceLost(device=CODEC, why=why)


def test_a_device_is_lost_once():
    story = (
        Story().connected().then("09:00", lost(), LOST).then("09:01", lost()).then("09:02", lost("timed out"))
    )
    assert story.room.devices[CODEC].since == at("09:00")


def test_a_device_that_never_answers_is_lost_too():
    Story().then("09:00", lost(), LOST)


def test_each_reason_to_refuse_is_told():
    story = Story().then("09:00", DeviceRefused(device=CODEC, why="wrong password"), REFUSED)
    story.then("10:00", DeviceRefused(device=CODEC, why="wrong password"))
    story.then("11:00", DeviceRefused(device=CODEC, why="another certificate"), REFUSED)
    fact = story.told[-1]
    assert isinstance(fact, DeviceFact)
    assert fact.cause == "another certificate"


def test_a_restart_shows_in_the_uptime():
    story = Story().connected().then("09:00", UptimeRead(device=CODEC, uptime_s=90_000))
    story.then("09:10", UptimeRead(device=CODEC, uptime_s=45), FactKind.DEVICE_REBOOTED)
    assert story.told[-1].at == at("09:09:15")
    story.then("09:11", UptimeRead(device=CODEC, uptime_s=105))


def test_a_restart_behind_our_back_shows_on_return():
    story = Story().connected().then("09:00", lost(), LOST)
    assert story.connected("09:10", uptime_s=100).greeting == [
        FactKind.DEVICE_REBOOTED,
        FactKind.DEVICE_CONNECTED,
    ]
    assert story.room.devices[CODEC].renumbered


def test_an_upgrade_is_told():
    story = Story().connected().then("09:00", lost(), LOST)
    story.connected("09:10", uptime_s=100, firmware="ce26.4.1")
    assert story.greeting == [FactKind.DEVICE_REBOOTED, FactKind.DEVICE_UPGRADED, FactKind.DEVICE_CONNECTED]


def test_a_clock_that_steps_is_no_restart():
    story = Story().connected().steps(timedelta(hours=5))
    story.then("13:10", UptimeRead(device=CODEC, uptime_s=87_000))


def test_what_is_misconfigured_is_told_until_it_is_mended():
    found = ShortcomingsFound(device=CODEC, shortcomings=("PeopleCountOutOfCall is Off: set it to On",))
    story = Story().connected().then("09:00", found, FactKind.DEVICE_MISCONFIGURED).then("09:01", found)
    story.then("09:02", ShortcomingsFound(device=CODEC, shortcomings=()))
    assert story.room.devices[CODEC].shortcomings == ()


def test_the_devices_own_timeout_is_kept():
    story = Story().connected().then("09:00", BookingTimeoutRead(device=CODEC, seconds=300))
    assert story.room.devices[CODEC].booking_timeout == timedelta(seconds=300)


def test_after_a_restart_of_ours_every_device_is_unheard_and_every_gap_open():
    story = (
        Story()
        .connected()
        .lists("08:00")
        .then("09:00", PeopleCounted(device=CODEC, people=3), FactKind.OCCUPANCY_CHANGED)
    )
    room = furnish(story.room, RoomId("fjord"), (device(),), now=at("10:00"))
    assert (room.devices[CODEC].phase, room.devices[CODEC].recovering) == (DevicePhase.UNHEARD, True)
    assert room.bookings == story.room.bookings
    assert room.sensors == story.room.sensors


def test_a_device_taken_out_of_the_configuration_is_forgotten():
    story = (
        Story().connected().then("09:00", PeopleCounted(device=CODEC, people=3), FactKind.OCCUPANCY_CHANGED)
    )
    room = furnish(story.room, RoomId("fjord"), (device(DeviceId("new")),), now=at("10:00"))
    assert list(room.devices) == ["new"]
    assert room.sensors == {}
