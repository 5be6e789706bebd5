"""What we ask of a version, and the values that we send to it, are in Cisco's published schema of it."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import product
from pathlib import Path as File
from typing import Any

import pytest

from agent.core.facts import (
    Book,
    Extend,
    Light,
    PutAgenda,
    PutBooking,
    Release,
    RestoreLight,
    ShowOn,
    TakeOff,
)
from agent.core.model import (
    Booking,
    BookingId,
    BookingKey,
    BookingPhase,
    CalendarKind,
    CommandId,
    DeviceId,
    FeedbackId,
    HoldId,
    MeetingId,
    RequestId,
    Surface,
    Transport,
)
from device_adapters.xapi import orders, requests, screens
from device_adapters.xapi.messages import Call
from device_adapters.xapi.needs import NEEDS, needs_of
from device_adapters.xapi.plans import Plan
from device_adapters.xapi.requests import Makeup, NotUnderstood, Target
from device_adapters.xapi.schema import (
    COMMANDS,
    NODES,
    Choice,
    Firmware,
    Parameter,
    Path,
    Unreadable,
    Whole,
    Wording,
    read_firmware,
)
from device_adapters.xapi.screens import Screens
from device_adapters.xapi.translate import Translator

SUBSET = json.loads(File(__file__).with_name("xapi-subset.json").read_text(encoding="utf-8"))["versions"]
VERSIONS = sorted(SUBSET, key=read_firmware)

Node = Mapping[str, Any]


def unindexed(path: str) -> Path:
    return tuple(path.replace("[n]", "").split())


@cache
def nodes_of(version: str) -> set[Path]:
    """All nodes, branches and leaves, and the fields of events."""
    found: set[Path] = set()
    for node in SUBSET[version]:
        if node["type"] != "Command":
            path = (node["type"], *unindexed(node["path"]))
            found |= {path[:depth] for depth in range(1, len(path) + 1)}
    return found


@cache
def commands_of(version: str) -> dict[str, list[Node]]:
    """A command may be described more than once, for several products."""
    found: dict[str, list[Node]] = {}
    for node in SUBSET[version]:
        if node["type"] == "Command":
            found.setdefault(node["path"], []).append(node)
    return found


def undescribed(version: str, path: Path) -> bool:
    """Nodes of which the published files cannot tell."""
    return (version.startswith("9.") and path[0] == "Event") or path[1] == "MicrosoftTeams"


def accepts(space: str, value: object) -> bool:
    """Whether a value is within a value space as the file writes it."""
    kind, _, words = space.partition(":")
    if kind == "lit":
        return value in words.split("|")
    bounds = re.fullmatch(r"(int|str)\[(\d+)\.\.(\d+)\](?:/\d+)?", kind)
    assert bounds is not None, space
    least, most = int(bounds[2]), int(bounds[3])
    if bounds[1] == "int":
        return type(value) is int and least <= value <= most
    return type(value) is str and least <= len(value) <= most


def check(version: str, call: Call) -> None:
    """Fails unless this version understands the call as it is."""
    if call.method.startswith("xCommand/"):
        name = call.method.removeprefix("xCommand/").replace("/", " ")
        described = commands_of(version).get(name)
        assert described, f"{version} has no {name}"
        for node in described:
            known = {each["name"]: each for each in node["params"]}
            if node.get("multiline"):
                known["body"] = {"vs": "str[0..8388608]"}
            for parameter, value in call.params.items():
                assert parameter in known, f"{version}: {name} takes no {parameter}"
                assert accepts(known[parameter]["vs"], value), f"{version}: {name} {parameter}: {value!r}"
            required = {each["name"] for each in node["params"] if each.get("req")}
            assert required <= call.params.keys(), f"{version}: {name} requires {required}"
        return
    path = call.params["Query" if call.method == "xFeedback/Subscribe" else "Path"]
    assert isinstance(path, tuple)
    assert undescribed(version, path) or path in nodes_of(version), f"{version} has no {' '.join(path)}"
    if call.method == "xSet":
        for node in SUBSET[version]:
            if (node["type"], *unindexed(node["path"])) == path:
                assert accepts(node["vs"], call.params["Value"])


# ── what is heard and read ──

MAKEUPS: tuple[Mapping[str, bool], ...] = (
    {},
    {"teams": True},
    {"light": True},
    {"navigator": True, "light": True},
    {"navigator": True},
    {"navigator": True, "provisioned": False},
    {"navigator": True, "provisioned": True},
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("makeup", MAKEUPS, ids=str)
def test_every_path_that_we_ask_for_is_there(version, makeup):
    asked = Makeup(firmware=read_firmware(version), **makeup)
    for subscription in requests.subscriptions(asked):
        check(version, requests.subscribe(subscription.path))
    for path in (
        requests.WHO_ARE_YOU,
        requests.UPTIME,
        *requests.nature(asked),
        *requests.sensors(asked),
        *requests.configuration(asked),
    ):
        check(version, requests.get(path))
    check(version, requests.list_bookings())
    check(version, requests.list_bookings(offset=65534))


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_that_is_there_is_left_unasked(version):
    """Of a room device in Teams mode with a light, which has all that there is."""
    asked = Makeup(firmware=read_firmware(version), teams=True, light=True)
    there = nodes_of(version)
    for each in requests.SUBSCRIPTIONS:
        assert (each in requests.subscriptions(asked)) is _is_there(version, each.path, there)
    for table, chosen in (
        (requests.SENSORS, requests.sensors(asked)),
        (requests.CONFIGURATION, requests.configuration(asked)),
    ):
        for path in table:
            assert (path in chosen) is _is_there(version, path, there)


def _is_there(version: str, path: Path, there: set[Path]) -> bool:
    """Whether there is anything at or below the path that we use."""
    if undescribed(version, path):
        return path[0] == "Event" or read_firmware(version) >= (11, 14)
    return any(node in there for node in NODES if node[: len(path)] == path)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_life_of_each_node_is_what_the_schemas_show(version):
    firmware, there = read_firmware(version), nodes_of(version)
    for path, life in NODES.items():
        if not undescribed(version, path):
            assert life.covers(firmware) is (path in there), f"{version}: {' '.join(path)}"


def test_every_node_that_we_use_has_a_life():
    def leaves(table: object) -> Iterator[Path]:
        if isinstance(table, dict):
            for name, below in table.items():
                for path in leaves(below):
                    yield (name, *path)
        elif table is not Translator._nothing:  # noqa: SLF001
            yield ()

    assert set(leaves(Translator._TABLE)) <= NODES.keys()  # noqa: SLF001 - the table of all paths


# ── commands ──


@pytest.mark.parametrize("version", VERSIONS)
def test_the_life_of_each_command_and_parameter_is_what_the_schemas_show(version):
    firmware, described = read_firmware(version), commands_of(version)
    for name, command in COMMANDS.items():
        assert command.life.covers(firmware) is (name in described), f"{version}: {name}"
        for node in described.get(name, ()):
            spaces = {each["name"]: each["vs"] for each in node["params"]}
            required = {each["name"] for each in node["params"] if each.get("req")}
            mine = {each.name: each for each in command.parameters if each.life.covers(firmware)}
            for one in {each.name for each in command.parameters}:
                assert (one in mine) is (one in spaces), f"{version}: {name} {one}"
            for parameter in mine.values():
                _check_space(parameter, spaces[parameter.name])
            either = {"Id", "MeetingId"}  # which of them is required changes; `_named` sees to it
            assert required - either == {each.name for each in mine.values() if each.required} - either


def _check_space(parameter: Parameter, space: str) -> None:
    """All that we may send is within, and we do not keep to less without need."""
    match parameter.space:
        case Choice(words=words):
            assert words == frozenset(space.partition(":")[2].split("|"))
        case Whole(least=least, most=most):
            assert accepts(space, least)
            assert accepts(space, most)
            assert not accepts(space, most + 1)
        case Wording(least=least, most=most):
            assert accepts(space, "x" * least)
            assert accepts(space, "x" * most)
            assert not accepts(space, "x" * (most + 1))


NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
ID, MEETING = BookingId("webex-7"), MeetingId("m" * 128)
BOTH: Mapping[str, Any] = {"booking_id": ID, "meeting_id": MEETING}

Said = Callable[[Firmware], Call]
SAYINGS: Mapping[str, tuple[Said, str]] = {
    "book": (lambda f: requests.book(f, starts_at=NINE, minutes=1440, title="x" * 128), "9.15"),
    "book for": (
        lambda f: requests.book(
            f,
            starts_at=NINE,
            minutes=1,
            title="",
            request_id=RequestId("r"),
            organizer="x" * 128,
        ),
        "9.15",
    ),
    "extend": (lambda f: requests.extend(f, minutes=15, **BOTH), "11.14"),
    "extend by meeting": (
        lambda f: requests.extend(f, minutes=15, booking_id=None, meeting_id=MEETING),
        "11.23",
    ),
    "delete": (lambda f: requests.delete(f, **BOTH), "9.15"),
    "delete by meeting": (lambda f: requests.delete(f, booking_id=None, meeting_id=MEETING), "10.19"),
    "accept": (lambda f: requests.respond(f, meeting_id=MEETING, accept=True), "10.19"),
    "decline": (lambda f: requests.respond(f, meeting_id=MEETING, accept=False, comment="No"), "10.19"),
    "check in": (lambda f: requests.check_in(f, **BOTH), "26.1"),
    "check out": (lambda f: requests.check_out(f, **BOTH), "11.26"),
    "prompt": (
        lambda f: requests.show_prompt(
            f,
            feedback_id="hold-1",
            text="Reserved<br>for Kari",
            title="Hold",
            options=["1", "2", "3", "4", "5"],
            duration_s=3600,
        ),
        "9.15",
    ),
    "prompt at the door": (
        lambda f: requests.show_prompt(f, feedback_id="hold-1", text="x", on=Target.SCHEDULER),
        "26.1",
    ),
    "clear prompt": (lambda f: requests.clear_prompt(f, feedback_id="hold-1"), "9.15"),
    "clear prompt at the door": (
        lambda f: requests.clear_prompt(f, feedback_id="hold-1", on=Target.SCHEDULER),
        "26.1",
    ),
    "alert": (lambda f: requests.show_alert(f, text="x" * 255, title="x" * 255), "9.15"),
    "alert on the controller": (
        lambda f: requests.show_alert(f, text="x", duration_s=1, on=Target.CONTROLLER),
        "26.1",
    ),
    "clear alert": (requests.clear_alert, "9.15"),
    "clear alert on the screen": (lambda f: requests.clear_alert(f, on=Target.SCREEN), "26.1"),
    "line": (lambda f: requests.show_line(f, text="x" * 140, duration_s=0), "9.15"),
    "line on the screen": (lambda f: requests.show_line(f, text="x", on=Target.SCREEN), "26.1"),
    "clear line": (requests.clear_line, "9.15"),
    "clear line on the screen": (lambda f: requests.clear_line(f, on=Target.SCREEN), "26.1"),
    "red light": (lambda f: requests.light(f, colour="Red"), "10.19"),
    "purple light": (lambda f: requests.light(f, colour="Purple"), "11.14"),
    "light by hand": (lambda f: requests.light_mode(f, mode="Manual"), "10.19"),
    "light by itself": (lambda f: requests.light_mode(f, mode="Auto"), "10.19"),
    "no light": (lambda f: requests.light_mode(f, mode="Off"), "10.19"),
    "wake": (requests.wake, "9.15"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SAYINGS)
def test_every_command_that_we_send_is_understood(version, name):
    say, since = SAYINGS[name]
    firmware = read_firmware(version)
    if firmware >= read_firmware(since):
        check(version, say(firmware))
    else:
        with pytest.raises((NotUnderstood, Unreadable)):
            say(firmware)


def test_a_booking_is_named_as_this_version_understands_it():
    def named(version: str) -> Mapping[str, object]:
        return requests.delete(read_firmware(version), **BOTH).params

    assert named("9.15.17") == {"Id": ID}
    assert named("10.19.4") == {"MeetingId": MEETING}
    assert named("11.14.5") == named("26.4.1") == {"MeetingId": MEETING}
    assert requests.delete(Firmware(11, 14), booking_id=ID, meeting_id=None).params == {"Id": ID}
    with pytest.raises(NotUnderstood):
        requests.delete(Firmware(10, 19), booking_id=ID, meeting_id=None)


def test_what_an_old_version_does_not_take_is_left_out_where_it_can_be():
    def booked(version: str) -> Mapping[str, object]:
        return requests.book(
            read_firmware(version), starts_at=NINE, minutes=30, title="Hold", organizer="Kari"
        ).params

    assert booked("11.14.5") == {"StartTime": "2026-03-02T09:00:00Z", "Duration": 30, "Title": "Hold"}
    assert booked("11.27.2")["OrganizerName"] == "Kari"
    assert (
        "Comment"
        not in requests.respond(Firmware(11, 14), meeting_id=MEETING, accept=False, comment="x").params
    )


@pytest.mark.parametrize(
    "say",
    [
        lambda f: requests.show_prompt(f, feedback_id="h", text="x" * 256),
        lambda f: requests.show_prompt(f, feedback_id="h", text="x", duration_s=3601),
        lambda f: requests.show_prompt(f, feedback_id="a\nb", text="x"),
        lambda f: requests.show_line(f, text="x" * 141),
        lambda f: requests.book(f, starts_at=NINE, minutes=0, title="x"),
        lambda f: requests.book(f, starts_at=NINE, minutes=1441, title="x"),
        lambda f: requests.light(f, colour="red"),
        lambda f: requests.light_mode(f, mode="auto"),
        lambda f: requests.show_line(f, text="a\nb"),
        lambda f: requests.delete(f, booking_id=BookingId(""), meeting_id=None),
    ],
)
def test_what_is_outside_a_value_space_is_not_sent(say):
    with pytest.raises(Unreadable):
        say(Firmware(26, 4))


def test_six_answers_are_more_than_a_prompt_has():
    with pytest.raises(NotUnderstood):
        requests.show_prompt(Firmware(26, 4), feedback_id="h", text="x", options=["x"] * 6)


# ── plans ──

HOLD: Mapping[str, Any] = {"device": DeviceId("d"), "feedback_id": FeedbackId("roomd-a-" + "f" * 16)}
ORDER: Mapping[str, Any] = {"device": DeviceId("d"), "command": CommandId("c")}
LONG = "<漢字> & " * 100
BOOKING = Booking(
    key=BookingKey("k"),
    phase=BookingPhase.STARTED,
    starts_at=NINE,
    ends_at=NINE + timedelta(hours=1),
    since=NINE,
    seen_at=NINE,
    calendar=CalendarKind.HYBRID,
    meeting_id=MEETING,
    booking_ids={DeviceId("d"): ID},
)


def planned(makeup: Makeup) -> Iterator[Plan]:
    """Everything that the core may ask for, as far as this device can do it."""
    asked: list[Callable[[], Plan]] = []
    for surface, answers, banner in product(Surface, ((), (LONG,) * 5), (False, True)):
        show = ShowOn(
            **HOLD, surface=surface, hold=HoldId("h"), title=LONG, text=LONG, answers=answers, until=NINE
        )
        off = TakeOff(**HOLD, surface=surface, answers=answers)
        known = Screens(banner=banner)
        asked += [
            partial(known.show, show, makeup, NINE),
            partial(known.take_off, off, makeup),
            partial(known.take_off, replace(off, answers=None), makeup),
        ]
    for mode in ("Auto", "Manual", "Off"):
        asked.append(partial(screens.light, Light(**HOLD, colour="Yellow"), makeup, mode))
        asked.append(partial(screens.restore_light, RestoreLight(**HOLD, mode=mode), makeup))
    book = Book(**ORDER, request_id=RequestId("r"), starts_at=NINE, ends_at=NINE, title=LONG, organizer=LONG)
    extend = Extend(**ORDER, booking_id=ID, meeting_id=MEETING, ends_at=NINE, by=timedelta(minutes=5))
    agenda = PutBooking(
        booking_id=ID, starts_at=NINE, ends_at=NINE, title=LONG, join="https://a.webex.com/b", platform=None
    )
    asked += [
        partial(orders.put, PutAgenda(device=ORDER["device"], edition="e", bookings=(agenda,) * 50), makeup),
        partial(orders.put, PutAgenda(device=ORDER["device"], edition="e", bookings=()), makeup),
        partial(orders.book, replace(book, ends_at=NINE + timedelta(days=1)), makeup),
        partial(orders.book, replace(book, ends_at=NINE + timedelta(seconds=1), title=None), makeup),
        partial(orders.extend, extend, makeup),
        partial(orders.extend, replace(extend, meeting_id=None), makeup),
        *(
            partial(orders.release, Release(**ORDER, booking=replace(BOOKING, calendar=calendar)), makeup)
            for calendar in CalendarKind
        ),
        partial(screens.wake, makeup),
    ]
    for plan in asked:
        with contextlib.suppress(NotUnderstood):
            yield plan()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("makeup", MAKEUPS, ids=str)
def test_every_call_of_a_plan_is_understood(version, makeup):
    plans = list(planned(Makeup(firmware=read_firmware(version), **makeup)))
    assert plans
    for plan in plans:
        for call in (*plan.calls, *plan.undo):
            check(version, call)


@pytest.mark.parametrize("version", VERSIONS)
def test_only_surfaces_that_it_names_can_be_shown_on(version):
    makeup = Makeup(firmware=read_firmware(version))
    for surface in set(Surface) - {Surface.LED}:
        show = ShowOn(**HOLD, surface=surface, hold=HoldId("h"), title=None, text="x", answers=(), until=NINE)
        if surface in screens.surfaces(makeup):
            assert Screens(banner=False).show(show, makeup, NINE).calls
        else:
            with pytest.raises(NotUnderstood):
                Screens(banner=False).show(show, makeup, NINE)


# ── what is needed of a configuration ──


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("over", [None, *Transport])
def test_every_need_is_a_configuration_of_this_version_that_takes_what_is_wanted(version, over):
    for need in needs_of("Cisco Room Bar", read_firmware(version), over=over):
        (described, *_) = [
            node["vs"] for node in SUBSET[version] if (node["type"], *unindexed(node["path"])) == need.node
        ]
        value = int(need.wanted) if described.startswith("int") else need.wanted
        assert accepts(described, value)
        assert all(accepts(described, each) for each in need.good | need.bad)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_need_is_left_out_that_this_version_has(version):
    asked = {need.path for over in Transport for need in needs_of("X", read_firmware(version), over=over)}
    there = {node["path"] for node in SUBSET[version] if node["type"] == "Configuration"}
    assert asked == {need.path for need in NEEDS} & there
