import pytest

from agent.core.events import (
    CallsCounted,
    CurrentValuesRead,
    DeviceLost,
    PeopleCounted,
    PresenceSensed,
    SharingSensed,
    UseSensed,
)
from agent.core.facts import FactKind, OccupancyFact
from agent.core.model import DeviceId, Occupancy
from tests.agent.core.story import CODEC, Story

CHANGED = FactKind.OCCUPANCY_CHANGED
BOARD = DeviceId("fjord-board")


def occupancy(story: Story) -> Occupancy:
    fact = story.told[-1]
    assert isinstance(fact, OccupancyFact)
    return fact.occupancy


def people(count, device=CODEC):
    return PeopleCounted(device=device, people=count)


def values(count=0, presence=False, in_use=False, device=CODEC):
    return CurrentValuesRead(
        device=device, people=count, presence=presence, in_use=in_use, calls=0, sharing=False
    )


def test_people_who_come_and_go_are_told():
    story = Story().connected().then("09:00", people(4), CHANGED).then("09:30", people(0), CHANGED)
    fact = story.told[-1]
    assert isinstance(fact, OccupancyFact)
    assert (fact.previous.people, fact.occupancy.people) == (4, 0)


def test_unknown_is_never_empty():
    story = Story().connected().then("09:00", people(0), CHANGED).then("09:05", people(None), CHANGED)
    assert occupancy(story).people is None
    assert occupancy(story).in_use is None


def test_the_same_count_again_is_not_told():
    Story().connected().then("09:00", people(4), CHANGED).then("09:01", people(4))


def test_people_may_be_gone_while_presence_lingers():
    """Presence clears up to two minutes late: both are told as they are."""
    story = (
        Story().connected().then("09:00", values(2, True, True), CHANGED).then("09:10", people(0), CHANGED)
    )
    assert (occupancy(story).people, occupancy(story).presence) == (0, True)
    story.then("09:12", PresenceSensed(device=CODEC, presence=False), CHANGED)


@pytest.mark.parametrize(
    "event",
    [
        PresenceSensed(device=CODEC, presence=True),
        people(1),
        CallsCounted(device=CODEC, calls=1),
        SharingSensed(device=CODEC, sharing=True),
    ],
)
def test_firmware_that_does_not_conclude_use_has_it_concluded(event):
    story = Story().connected().then("09:00", event, CHANGED)
    assert occupancy(story).in_use is True


def test_what_the_device_concludes_is_believed():
    story = Story().connected().then("09:00", values(0, False, False), CHANGED)
    story.then("09:01", UseSensed(device=CODEC, in_use=True), CHANGED)
    story.then("09:02", CallsCounted(device=CODEC, calls=2), CHANGED)
    assert occupancy(story) == Occupancy(people=0, presence=False, in_use=True, in_call=True, sharing=False)


def test_no_call_alone_does_not_make_a_room_empty():
    story = Story().connected().then("09:00", CallsCounted(device=CODEC, calls=0), CHANGED)
    assert occupancy(story).in_use is None


def test_a_lost_device_is_believed_for_two_minutes_and_then_nobody_knows():
    story = Story().connected().then("09:00", values(3, True, True), CHANGED)
    story.then("09:10", DeviceLost(device=CODEC, why="no route"), FactKind.DEVICE_LOST)
    story.until("09:11:59").until("09:12:00", CHANGED)
    assert occupancy(story) == Occupancy()


def test_a_device_that_comes_back_in_time_is_not_missed():
    story = Story().connected().then("09:00", values(3, True, True), CHANGED)
    story.then("09:10", DeviceLost(device=CODEC, why="no route"), FactKind.DEVICE_LOST)
    story.connected("09:11").then("09:11", values(3, True, True)).until("09:20")


def test_what_changed_in_a_gap_is_marked_recovered():
    story = Story().connected().then("09:00", values(3), CHANGED)
    fact = story.told[-1]
    assert isinstance(fact, OccupancyFact)
    assert fact.recovered


def test_people_are_the_first_devices_and_presence_is_anybodys():
    story = Story(devices=(CODEC, BOARD)).connected().connected(device=BOARD)
    story.then("09:00", values(2, True, True), CHANGED)
    story.then("09:00:10", values(7, False, False, BOARD))
    story.then("09:00:20", people(None), CHANGED)
    assert occupancy(story).people == 7
