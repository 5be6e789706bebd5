from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.core.events import UseRefused, UseTold
from agent.core.facts import TellUse
from agent.core.model import DeviceId
from device_adapters.xapi.carrying_out import CarryingOut
from device_adapters.xapi.messages import PERMISSION_DENIED, CallId, Refusal
from device_adapters.xapi.plans import USE_DENIED
from device_adapters.xapi.requests import Makeup
from device_adapters.xapi.schema import Firmware
from device_adapters.xapi.screens import Screens

CODEC = DeviceId("fjord")
NEW = Makeup(firmware=Firmware(26, 8, 1))
TELL = TellUse(device=CODEC, source="roomd-agent", in_use=True, lasts=timedelta(seconds=300))
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def carried_out(asked, makeup):
    carrying_out = CarryingOut(Screens(banner=False))
    return carrying_out, carrying_out.take_up(asked, makeup, light_mode=None, at=NOW)


def test_a_device_is_told_by_a_name_of_ours_and_for_so_long():
    _, now = carried_out(TELL, NEW)
    ((call, plan),) = now.calls
    assert call.method == "xCommand/RoomAnalytics/RoomInUse/Set"
    assert call.params == {"ID": "roomd-agent", "State": "InUse", "Duration": 300}
    assert plan is not None
    assert plan.taken == UseTold(device=CODEC, in_use=True)


def test_that_nobody_is_seen_any_more_lasts_by_itself():
    _, now = carried_out(replace(TELL, in_use=False), NEW)
    assert now.calls[0][0].params == {"ID": "roomd-agent", "State": "NotInUse"}


@pytest.mark.parametrize(
    "makeup",
    [Makeup(firmware=Firmware(26, 4, 1)), Makeup(firmware=NEW.firmware, navigator=True)],
    ids=["older-firmware", "navigator"],
)
def test_who_has_no_such_command_is_not_asked(makeup):
    _, now = carried_out(TELL, makeup)
    assert not now.calls
    (event,) = now.events
    assert isinstance(event, UseRefused)
    assert event.in_use


def test_a_refusal_says_what_to_do_where_the_role_is_too_small():
    carrying_out, now = carried_out(TELL, NEW)
    plan = now.calls[0][1]
    assert plan is not None
    answer = carrying_out.answered(
        plan, Refusal(id=CallId(1), code=PERMISSION_DENIED, message="Permission denied"), given_up=False
    )
    assert answer.events == [UseRefused(device=CODEC, in_use=True, why=USE_DENIED)]
