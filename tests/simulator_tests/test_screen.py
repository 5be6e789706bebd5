"""What a device's surfaces show, what people can do at them, and what the device tells of it."""

import json
from typing import Any

import pytest

from tests.simulator import ALL_VERSIONS, ManualClock, NotShown, Site
from tests.simulator_tests.client import Client, Refusal, dial
from tests.simulator_tests.shell_client import json_shell

NEW, OLD = "26.4.1", "11.27.2.0"
SHOW = "UserInterface Message Prompt Display"
CLEAR = "UserInterface Message Prompt Clear"
ANSWERS = {"Option.1": "I'm here", "Option.2": "Release it"}
HOLD = {"Title": "Held", "Text": "For Ada<br>until <b>10</b>", "FeedbackId": "hold-1", **ANSWERS}


async def told(client: Client) -> list[tuple[str, Any]]:
    """The messages' events that were sent until now: "Prompt Response" and its body."""
    return [
        (f"{kind} {name}", body)
        for params in await client.all_feedback()
        for kind, events in params["Event"]["UserInterface"]["Message"].items()
        for name, body in events.items()
    ]


def kinds(site: Site, surface: str) -> list[tuple[str, bool]]:
    """What is on a surface, from front to back, and whether it can be seen."""
    shown = site.devices[0].screen.seen()[surface]["messages"]
    return [(message["kind"], message["seen"]) for message in shown]


@pytest.mark.parametrize("version", ALL_VERSIONS.values())
async def test_a_prompt_is_on_screen_and_controller_in_plain_values(version: str):
    async with (
        Site(profile=version, clock=ManualClock(), services=("websocket",)) as site,
        dial(site) as client,
    ):
        await client.command(SHOW, **HOLD, Duration=60)
        seen = site.devices[0].screen.seen()
        assert json.loads(json.dumps(seen)) == seen
        [prompt] = seen["OSD"]["messages"]
        assert prompt == {
            "kind": "Prompt",
            "title": "Held",
            "lines": ["For Ada", "until <b>10</b>"],
            "options": {"1": "I'm here", "2": "Release it"},
            "feedback_id": "hold-1",
            "since": "2026-03-02T09:00:00Z",
            "until": "2026-03-02T09:01:00Z",
            "seen": True,
        }
        assert seen["Controller"]["messages"] == [prompt]
        assert seen["RoomScheduler"]["messages"] == []
        assert site.devices[0].truth()["screen"] == seen


async def test_a_prompt_covers_an_alert_and_a_banner_lies_over_both():
    async with Site() as site, dial(site) as client:
        await client.command(SHOW, **HOLD)
        await client.command("UserInterface Message Alert Display", Text="Fire drill at ten")
        await client.command("UserInterface Message TextLine Display", Text="Wet paint")
        assert kinds(site, "OSD") == [("Prompt", True), ("Alert", False), ("TextLine", True)]
        assert kinds(site, "Controller") == [("Prompt", True), ("Alert", False)]
        await client.command(CLEAR, FeedbackId="hold-1")
        assert kinds(site, "OSD") == [("Alert", True), ("TextLine", True)]


async def test_a_target_is_the_only_surface():
    async with Site() as site, dial(site) as client:
        await client.command(SHOW, **HOLD, Target="RoomScheduler")
        assert (kinds(site, "OSD"), kinds(site, "RoomScheduler")) == ([], [("Prompt", True)])
        await client.command(SHOW, **HOLD, PeripheralId="AA:BB:CC:DD:EE:FF")
        assert (kinds(site, "OSD"), kinds(site, "Controller")) == ([], [("Prompt", True)])
        for wrong in ({"PeripheralId": "no:such"}, {"Target": "OSD", "PeripheralId": "aa:bb:cc:dd:ee:ff"}):
            with pytest.raises(Refusal) as refused:
                await client.command(SHOW, **HOLD, **wrong)
            assert refused.value.code == 1


@pytest.mark.parametrize(
    ("how", "events"),
    [
        ("cleared", ["Prompt Cleared", "Prompt Display"]),
        ("silent", ["Prompt Display"]),
        ("late", ["Prompt Display", "Prompt Cleared"]),
    ],
)
async def test_a_new_prompt_takes_the_place_of_the_old_one(how: str, events: list[str]):
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        await client.command(SHOW, **HOLD, Duration=30)
        await client.subscribe("Event", "UserInterface", "Message")
        site.devices[0].fault(replaced_prompt=how)
        await client.command(SHOW, Text="Another", FeedbackId="other")
        site.advance(0)
        heard = await told(client)
        assert [name for name, _ in heard] == events
        assert all(body["FeedbackId"] == "hold-1" for name, body in heard if name == "Prompt Cleared")
        assert [prompt.feedback_id for prompt in site.devices[0].screen.messages] == ["other"]
        site.advance(3600)  # the time of the old one is not the time of the new one
        assert kinds(site, "OSD") == [("Prompt", True)]
        assert await told(client) == []


async def test_a_prompt_replaced_on_one_surface_stays_on_the_other():
    async with Site() as site, dial(site) as client:
        await client.subscribe("Event", "UserInterface", "Message", "Prompt", "Cleared")
        await client.command(SHOW, **HOLD)
        await client.command(SHOW, Text="Another", FeedbackId="other", Target="OSD")
        assert await told(client) == [("Prompt Cleared", {"FeedbackId": "hold-1", "Origin": "OSD"})]
        screen = site.devices[0].screen
        shown = [screen.on("OSD"), screen.on("Controller")]
        assert [prompt and prompt.feedback_id for prompt in shown] == ["other", "hold-1"]


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ({}, []),
        ({"FeedbackId": "hold-1"}, []),
        ({"FeedbackId": "hold-2"}, ["OSD", "Controller", "RoomScheduler"]),
        ({"FeedbackId": "hold-1", "Target": "RoomScheduler"}, ["OSD", "Controller"]),
        ({"Target": "Controller"}, ["OSD", "RoomScheduler"]),
    ],
)
async def test_a_clear_takes_off_what_it_names(asked: dict[str, str], left: list[str]):
    async with Site() as site, dial(site) as client:
        await client.command(SHOW, **HOLD)
        await client.command(SHOW, **HOLD, Target="RoomScheduler")
        await client.command(CLEAR, **asked)
        surfaces = ("OSD", "Controller", "RoomScheduler")
        assert [surface for surface in surfaces if kinds(site, surface)] == left


async def test_a_clear_without_a_target_may_reach_only_what_a_display_does():
    async with Site() as site, dial(site) as client:
        site.devices[0].fault(untargeted_clear="own")
        await client.command(SHOW, **HOLD, Target="RoomScheduler")
        await client.command(CLEAR, FeedbackId="hold-1")
        assert kinds(site, "RoomScheduler") == [("Prompt", True)]


async def test_a_message_lapses_and_says_so():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "UserInterface", "Message", "Prompt", "Cleared")
        await client.command(SHOW, **HOLD, Duration=30)
        site.advance(30)
        assert await told(client) == [("Prompt Cleared", {"FeedbackId": "hold-1"})]
        assert kinds(site, "Controller") == []


async def test_standby_hides_what_is_shown_until_somebody_wakes_it():
    async with Site() as site, dial(site) as client:
        device = site.devices[0]
        await client.command("Standby Activate")
        await client.command(SHOW, **HOLD)
        await client.command(SHOW, **HOLD, Target="RoomScheduler")
        assert kinds(site, "OSD") == kinds(site, "Controller") == [("Prompt", False)]
        assert device.screen.seen()["OSD"]["dark"]
        assert kinds(site, "RoomScheduler") == [("Prompt", True)]  # the panel at the door does not sleep
        with pytest.raises(NotShown):
            device.answer_prompt(1, origin="Controller")
        await client.command("Standby Halfwake")
        assert kinds(site, "OSD") == [("Prompt", True)]
        await client.command("Standby Activate")
        device.touch("Controller")
        device.answer_prompt(1, origin="Controller")
        device.fault(messages_wake=True)
        device.stand_by("Standby")
        await client.command(SHOW, **HOLD)
        assert kinds(site, "OSD") == [("Prompt", True)]


@pytest.mark.parametrize(
    ("version", "fields"),
    [(OLD, {}), (NEW, {"Origin": "Controller", "PeripheralId": "aa:bb:cc:dd:ee:ff"})],
)
async def test_an_answer_says_where_it_was_given_from_26_1_on(version: str, fields: dict[str, str]):
    async with Site(profile=version) as site, dial(site) as client:
        await client.subscribe("Event", "UserInterface", "Message", "Prompt", "Response")
        await client.subscribe("Event", "UserInterface", "Message", "Prompt", "Cleared")
        await client.command(SHOW, **HOLD)
        site.devices[0].answer_prompt(2, origin="Controller")
        assert await told(client) == [
            ("Prompt Response", {"FeedbackId": "hold-1", "OptionId": 2, **fields}),
        ]
        assert kinds(site, "OSD") == []
        await client.command(SHOW, **HOLD)
        site.devices[0].dismiss_prompt(origin="Controller")
        assert await told(client) == [("Prompt Cleared", {"FeedbackId": "hold-1", **fields})]
        assert kinds(site, "OSD") == []
        await client.command(SHOW, **HOLD)
        site.devices[0].fault(names_origin=False)
        site.devices[0].answer_prompt(1)
        assert await told(client) == [("Prompt Response", {"FeedbackId": "hold-1", "OptionId": 1})]


async def test_nobody_can_tap_what_is_not_there():
    async with Site() as site, dial(site) as client:
        device = site.devices[0]
        with pytest.raises(NotShown, match="no Prompt"):
            device.answer_prompt(1)
        await client.command(SHOW, **HOLD, Target="RoomScheduler")
        with pytest.raises(NotShown, match="no option 3"):
            device.answer_prompt(3)
        with pytest.raises(NotShown, match="on the OSD"):
            device.answer_prompt(1, origin="OSD")
        with pytest.raises(NotShown, match="hold-1"):
            device.answer_prompt(1, feedback_id="hold-2")
        with pytest.raises(NotShown, match="no Doorbell"):
            device.dismiss_prompt(origin="Doorbell")
        device.answer_prompt(1)
        with pytest.raises(NotShown):
            device.dismiss_alert()


async def test_the_command_response_answers_what_is_shown():
    async with Site() as site, dial(site) as client:
        await client.command(SHOW, **HOLD)
        await client.subscribe("Event", "UserInterface", "Message", "Prompt", "Response")
        for wrong in ({"OptionId": 3}, {"OptionId": 1, "FeedbackId": "hold-2"}):
            with pytest.raises(Refusal) as refused:
                await client.command("UserInterface Message Prompt Response", **wrong)
            assert refused.value.code == 1
        await client.command("UserInterface Message Prompt Response", OptionId=1)
        [(_, body)] = await told(client)
        assert body["FeedbackId"] == "hold-1"


async def test_somebody_elses_macro_shows_something():
    async with Site(profile=OLD) as site, dial(site) as client:
        device = site.devices[0]
        await client.subscribe("Event", "UserInterface", "Message")
        device.show_foreign(options=("Yes", "No"), duration_s=60)
        device.show_foreign("Alert", "Mind the step")
        device.show_foreign("TextLine", "Wet paint")
        [(name, shown), (_, alert), (_, line)] = await told(client)
        assert (name, shown["FeedbackId"], shown["Option.2"]) == ("Prompt Display", "somebody-else", "No")
        assert (alert["Text"], line["Text"]) == ("Mind the step", "Wet paint")
        assert device.received("UserInterface Message Prompt Display") == []
        with pytest.raises(ValueError, match="no Target"):
            device.show_foreign(target="OSD")


async def test_the_light_follows_the_bookings_or_a_command():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        device = site.devices[0]
        mode = ["Configuration", "UserInterface", "LedControl", "Mode"]
        color = ("Status", "UserInterface", "LedControl", "Color")
        device.book_in_outlook("Weekly", duration_min=15)
        assert device.screen.seen()["LED"] == {"mode": "Auto", "colour": "Red"}
        await client.command("UserInterface LedControl Color Set", Color="Purple")
        assert await client.get(*color) == "Red"
        await client.call("xSet", Path=mode, Value="Manual")
        assert await client.get(*color) == "Purple"
        site.advance(15 * 60)
        assert device.screen.seen()["LED"] == {"mode": "Manual", "colour": "Purple"}
        await client.call("xSet", Path=mode, Value="Off")
        assert device.screen.seen()["LED"]["colour"] == "Off"
        await client.call("xSet", Path=mode, Value="Auto")
        assert await client.get(*color) == "Green"


async def test_a_reboot_forgets_messages_and_keeps_configuration():
    async with Site(clock=ManualClock()) as site:
        device = site.devices[0]
        async with dial(site) as client:
            path = ["Configuration", "UserInterface", "LedControl", "Mode"]
            await client.call("xSet", Path=path, Value="Manual")
            await client.command("UserInterface LedControl Color Set", Color="Purple")
            await client.command("UserInterface WebView Display", Url="https://example.com", Target="OSD")
            assert device.screen.seen()["OSD"]["web_view"] == "https://example.com"
            await client.command(SHOW, **HOLD, Duration=60)
            device.reboot(30)
        assert device.screen.seen()["RoomScheduler"]["dark"]
        site.advance(30)
        seen = device.screen.seen()
        assert seen["OSD"] == {
            "dark": False,
            "idle": [device.name, "Free"],
            "web_view": None,
            "messages": [],
        }
        assert seen["LED"] == {"mode": "Manual", "colour": "Green"}
        site.advance(60)
        assert "UserInterface Message Prompt Cleared" not in device.told


async def test_surfaces_say_what_the_room_is_booked_for():
    async with Site(clock=ManualClock()) as site:
        device = site.devices[0]
        device.book_in_outlook("Weekly", duration_min=15)
        device.book_in_outlook("Secret", private=True, duration_min=15, start=device.agenda()[0].end)
        seen = device.screen.seen()
        assert seen["OSD"]["idle"] == [device.name, "Booked until 09:15"]
        assert seen["RoomScheduler"]["idle"] == [device.name, "Booked until 09:15", "Weekly"]
        site.advance(15 * 60)
        assert device.screen.seen()["RoomScheduler"]["idle"][2] == "Private meeting"


@pytest.mark.parametrize(
    "wrong",
    [
        {"Text": "x" * 256},
        {"Text": "x", "Duration": 3601},
        {"Text": "x", "Option.6": "six"},
        {"Text": "x", "Target": "Auto"},
        {},
    ],
)
async def test_messages_keep_to_their_value_space(wrong: dict[str, object]):
    async with Site() as site, dial(site) as client:
        with pytest.raises(Refusal):
            await client.command(SHOW, **wrong)
        assert site.devices[0].screen.messages == []


async def test_a_new_line_in_a_parameter_breaks_the_command_in_a_shell():
    async with Site() as site, json_shell(site) as client:
        client.say('xCommand UserInterface Message Prompt Display Text: "For Ada\nuntil ten"\n')
        for _ in range(2):
            await client.until("Command not recognized.\n")
        assert site.devices[0].screen.messages == []
        assert await client.ask('xCommand UserInterface Message Prompt Display Text: "For Ada<br>until ten"')
        assert site.devices[0].screen.seen()["OSD"]["messages"][0]["lines"] == ["For Ada", "until ten"]
