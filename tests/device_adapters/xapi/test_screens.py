"""What showing, taking off and lighting mean as calls, and what follows from their answers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.core.events import MessageRefused, MessageShown, MessageTakenOff
from agent.core.facts import Light, RestoreLight, ShowOn, TakeOff
from agent.core.model import DeviceId, FeedbackId, HoldId, Surface
from device_adapters.xapi import plans, screens
from device_adapters.xapi.messages import PERMISSION_DENIED, CallId, Refusal
from device_adapters.xapi.requests import Makeup, NotUnderstood
from device_adapters.xapi.schema import Firmware, Unreadable
from device_adapters.xapi.screens import Screens, surfaces

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
OLD, NEW = Makeup(firmware=Firmware(11, 27)), Makeup(firmware=Firmware(26, 4))
OURS, OTHER = FeedbackId("roomd-a-1"), FeedbackId("roomd-a-2")
SHOW = ShowOn(
    device=DeviceId("d"),
    surface=Surface.SCREEN,
    hold=HoldId("h"),
    title="Held",
    text="Kari\nis <on> her way",
    answers=("I'm here", "\x00"),
    feedback_id=OURS,
    until=NINE + timedelta(seconds=90, milliseconds=1),
)
QUIET = replace(SHOW, answers=())
OFF = TakeOff(device=DeviceId("d"), surface=Surface.SCREEN, feedback_id=OURS, answers=())


def shown(asked: ShowOn, makeup: Makeup = OLD, *, banner: bool = False):
    (call,) = Screens(banner=banner).show(asked, makeup, NINE).calls
    return call


def taken_off(asked: TakeOff, known: Screens, makeup: Makeup = OLD):
    return [
        call.method.removeprefix("xCommand/UserInterface/Message/")
        for call in known.take_off(asked, makeup).calls
    ]


def test_a_question_is_a_prompt_until_its_end():
    call = shown(SHOW)
    assert call.method == "xCommand/UserInterface/Message/Prompt/Display"
    assert call.params == {
        "FeedbackId": OURS,
        "Title": "Held",
        "Text": "Kari<br>is ‹on› her way",  # noqa: RUF001
        "Option.1": "I'm here",
        "Option.2": "2",
        "Duration": 91,
    }


@pytest.mark.parametrize(
    ("left", "duration_s"),
    [(timedelta(hours=5), 3600), (timedelta(seconds=1), 1), (timedelta(0), 1), (-timedelta(hours=1), 1)],
)
def test_a_duration_is_within_what_devices_take(left, duration_s):
    assert shown(replace(SHOW, until=NINE + left)).params["Duration"] == duration_s


def test_what_asks_nothing_is_an_alert_or_on_the_screen_a_banner():
    alert, line = shown(QUIET), shown(QUIET, banner=True)
    assert alert.params == {"Title": "Held", "Text": "Kari<br>is ‹on› her way", "Duration": 91}  # noqa: RUF001
    assert line.method.endswith("TextLine/Display")
    assert line.params == {"Text": "Held: Kari is ‹on› her way", "Duration": 91}  # noqa: RUF001
    assert shown(SHOW, banner=True).method.endswith("Prompt/Display")
    door = shown(replace(QUIET, surface=Surface.SCHEDULER), NEW, banner=True)
    assert (door.method.rpartition("/")[0][-5:], door.params["Target"]) == ("Alert", "RoomScheduler")


def test_a_long_banner_is_cut_at_a_word():
    line = shown(replace(QUIET, text="word " * 40), banner=True)
    assert len(str(line.params["Text"]).encode()) <= 140
    assert str(line.params["Text"]).endswith("word…")


def test_new_firmware_is_told_where_and_old_firmware_cannot_be():
    for surface, target in ((Surface.SCREEN, "OSD"), (Surface.CONTROLLER, "Controller")):
        assert shown(replace(SHOW, surface=surface), NEW).params["Target"] == target
    assert "Target" not in shown(SHOW).params
    for surface in (Surface.CONTROLLER, Surface.SCHEDULER, Surface.LED):
        with pytest.raises(NotUnderstood) as refused:
            shown(replace(SHOW, surface=surface))
        assert "26.1" in refused.value.mend


def test_surfaces_are_those_that_firmware_and_product_have():
    assert surfaces(OLD) == (Surface.SCREEN,)
    assert surfaces(replace(OLD, light=True)) == (Surface.SCREEN, Surface.LED)
    assert surfaces(replace(NEW, light=True)) == tuple(Surface)
    assert surfaces(replace(NEW, navigator=True)) == ()
    assert surfaces(replace(NEW, navigator=True, light=True)) == (Surface.LED,)
    with pytest.raises(NotUnderstood):
        shown(SHOW, replace(NEW, navigator=True))


def test_what_is_taken_off_is_what_was_shown():
    known = Screens(banner=False)
    assert taken_off(OFF, known) == ["Alert/Clear"]
    assert taken_off(OFF, Screens(banner=True)) == ["TextLine/Clear"]
    assert taken_off(replace(OFF, answers=None), known) == ["Prompt/Clear"]
    known.show(QUIET, OLD, NINE)
    assert taken_off(replace(OFF, answers=None), known) == ["Alert/Clear"]  # it is remembered
    known.show(SHOW, OLD, NINE)
    assert taken_off(replace(OFF, answers=SHOW.answers), known) == ["Prompt/Clear"]


def test_an_alert_that_another_of_ours_has_replaced_is_gone():
    known = Screens(banner=False)
    known.show(QUIET, OLD, NINE)
    known.show(replace(QUIET, feedback_id=OTHER), OLD, NINE)
    plan = known.take_off(OFF, OLD)
    assert plan.calls == ()
    assert plan.taken == MessageTakenOff(device=DeviceId("d"), surface=Surface.SCREEN, feedback_id=OURS)
    assert taken_off(replace(OFF, feedback_id=OTHER), known) == ["Alert/Clear"]


def test_a_prompt_of_an_earlier_life_is_cleared_wherever_it_is():
    (call,) = Screens(banner=False).take_off(replace(OFF, answers=None), NEW).calls
    assert call.params == {"FeedbackId": OURS}
    (call,) = Screens(banner=False).take_off(replace(OFF, answers=("Yes",)), NEW).calls
    assert call.params == {"FeedbackId": OURS, "Target": "OSD"}


# ── answers ──

LIT = Light(device=DeviceId("d"), feedback_id=OURS, colour="Yellow")


def refusal(code: int = 1, message: str = "Simulated failure") -> Refusal:
    return Refusal(CallId(1), code, message)


def test_a_light_is_lit_by_two_calls_and_told_once():
    plan = screens.light(LIT, NEW, "Auto")
    assert [call.method for call in plan.calls] == ["xSet", "xCommand/UserInterface/LedControl/Color/Set"]
    first = plans.after(plan, None)
    assert first.event is None
    assert first.plan is not None
    last = plans.after(first.plan, None)
    assert last == plans.After(
        event=MessageShown(device=DeviceId("d"), surface=Surface.LED, feedback_id=OURS)
    )


def test_a_light_that_cannot_be_coloured_follows_again_what_it_did():
    second = plans.after(screens.light(LIT, NEW, "Auto"), None).plan
    assert second is not None
    after = plans.after(second, refusal())
    assert isinstance(after.event, MessageRefused)
    assert [call.params["Value"] for call in after.undo] == ["Auto"]
    assert not screens.light(LIT, NEW, "Manual").undo
    assert not screens.light(LIT, NEW, None).undo


def test_a_light_gets_its_old_mode_back_and_keeps_no_colour_of_ours():
    restore = RestoreLight(device=DeviceId("d"), feedback_id=OURS, mode="Off")
    assert [call.params for call in screens.restore_light(restore, NEW).calls] == [
        {"Path": ("Configuration", "UserInterface", "LedControl", "Mode"), "Value": "Off"}
    ]
    manual = screens.restore_light(replace(restore, mode="Manual"), NEW)
    assert manual.calls[1].params == {"Color": "Off"}
    with pytest.raises(Unreadable):
        screens.restore_light(replace(restore, mode="Party"), NEW)
    with pytest.raises(NotUnderstood):
        screens.restore_light(restore, Makeup(firmware=Firmware(9, 15)))


def test_what_is_not_there_is_as_good_as_taken_off():
    plan = Screens(banner=False).take_off(OFF, OLD)
    assert isinstance(plans.after(plan, refusal(1, "No active alert")).event, MessageTakenOff)
    assert isinstance(plans.after(plan, refusal()).event, MessageRefused)


def test_a_refusal_says_what_to_do():
    plan = Screens(banner=False).show(SHOW, OLD, NINE)
    denied = plans.after(plan, refusal(PERMISSION_DENIED, "Permission denied")).event
    assert isinstance(denied, MessageRefused)
    assert "RoomControl" in denied.why
    unknown = plans.after(plan, refusal(-32601, "Unknown command")).event
    assert isinstance(unknown, MessageRefused)
    assert "product" in unknown.why
