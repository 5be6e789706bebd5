"""One device for ever, against real sockets."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from agent.core.events import (
    BookingCreated,
    BookingRequested,
    BookingsListed,
    BookingsTouched,
    BookingTimeoutRead,
    CallsCounted,
    CheckInRead,
    CurrentValuesRead,
    DeviceConnected,
    DeviceLost,
    DeviceRefused,
    LightModeRead,
    PeopleCounted,
    PresenceSensed,
    SharingSensed,
    ShortcomingsFound,
    UptimeRead,
)
from agent.core.facts import ListBookings
from agent.core.model import Ability, DeviceId
from device_adapters.lifecycle import Phase
from device_adapters.link import LinkPace
from device_adapters.ssh import Shells
from device_adapters.websocket import LinePace
from device_adapters.xapi import needs
from device_adapters.xapi.messages import NOT_READY, PERMISSION_DENIED
from device_adapters.xapi.translate import (
    COUNTS_NOBODY,
    HAS_NO_BOOKINGS,
    NAVIGATOR_COUNTS_NOBODY,
    NAVIGATOR_HAS_NO_BOOKINGS,
    TEAMS_ROOMS,
)
from tests.device_adapters.stage import (
    NO_BOOKINGS,
    SILENCE,
    SYSTEM_UNIT,
    Refuses,
    configured,
    hearing,
    scripted,
)
from tests.simulator import VERSIONS, Site

pytestmark = pytest.mark.slow

QUICK = LinkPace(answer_within_s=0.3, probe_every_s=0.1, reread_every_s=60.0)
ATTENTIVE = LinePace(ping_after_s=0.1, pong_within_s=0.1, close_within_s=0.1)


# ── the greeting ──


@pytest.mark.parametrize("version", VERSIONS.values())
async def test_who_it_is_comes_first_then_what_is_now_then_what_is_booked(tmp_path, version):
    async with Site(profile=version) as site:
        simulated = site.devices[0]
        simulated.book_in_outlook("Weekly", duration_min=45)
        simulated.count_people(3)
        async with hearing(configured(simulated, tmp_path)) as (_, ear):
            await ear.until_heard(BookingsListed)
            light = [] if version.startswith("9.") else [LightModeRead]
            assert [type(event) for _, event in ear.heard] == [
                DeviceConnected,
                *light,
                CurrentValuesRead,
                BookingsListed,
            ]
            connected, values = ear.of(DeviceConnected)[0], ear.of(CurrentValuesRead)[0]
            listed = ear.of(BookingsListed)[0]
    assert connected.firmware.startswith(f"ce{version}")
    assert connected.serial == simulated.serial
    assert connected.transport == "websocket"
    assert connected.answers_requests is (version.startswith(("26.", "11.27.")))
    assert connected.booking_timeout_s == 60
    assert connected.shortcomings == ()
    assert values == CurrentValuesRead(
        device=DeviceId("room-0001"),
        people=3,
        presence=True,
        in_use=None if version.startswith("10.") else True,
        calls=0,
        sharing=False,
    )
    (booking,) = listed.bookings
    assert booking.meeting.title == "Weekly"
    assert booking.ends_at - booking.starts_at == timedelta(minutes=45)
    assert not listed.unreadable


async def test_the_list_is_the_truth_to_the_end_of_the_devices_tomorrow(tmp_path):
    async with scripted() as device:
        device.script["xGet Configuration Time Zone"] = "America/New_York"
        now = datetime(2026, 3, 8, 4, 30, tzinfo=UTC)  # still the 7th there; its 8th has 23 hours
        async with hearing(device.configured(tmp_path), clock=lambda: now) as (_, ear):
            listed = await ear.until_heard(BookingsListed)
    assert listed.asked_at == now
    assert listed.covers_until == datetime(2026, 3, 9, 4, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "Europe"])
async def test_a_device_that_does_not_know_where_it_is_is_where_the_site_is(tmp_path, zone):
    async with scripted() as device:
        device.script["xGet Configuration Time Zone"] = zone
        now = datetime(2026, 3, 2, 9, tzinfo=UTC)
        async with hearing(device.configured(tmp_path), clock=lambda: now) as (_, ear):
            listed = await ear.until_heard(BookingsListed)
    assert listed.covers_until == datetime(2026, 3, 4, tzinfo=UTC)


async def test_what_is_heard_during_the_greeting_comes_after_it_and_in_order(tmp_path):
    async with scripted() as device:

        async def subscribed(_):
            await device.tell(Event={"Bookings": {"Updated": ""}})  # before the subscription is answered
            await device.tell(Status={"RoomAnalytics": {"PeopleCount": {"Current": 5}}})
            return {"Id": 1}

        device.script["xFeedback/Subscribe Event Bookings"] = subscribed
        async with hearing(device.configured(tmp_path)) as (_, ear):
            await ear.until_heard(BookingsListed)
            kinds = [type(event) for _, event in ear.heard]
    assert kinds == [DeviceConnected, BookingsTouched, PeopleCounted, CurrentValuesRead, BookingsListed]


async def test_everything_is_subscribed_before_anything_is_read(tmp_path):
    async with scripted() as device, hearing(device.configured(tmp_path)) as (_, ear):
        await ear.until_heard(DeviceConnected)
        names = [name for name, _ in device.calls]
    subscribed = [index for index, name in enumerate(names) if name.startswith("xFeedback/Subscribe")]
    values = ("xGet Status RoomAnalytics", "xGet Status Conference", "xGet Configuration", "xCommand")
    nature = "xGet Configuration UserInterface LedControl Mode"  # is read again, where there is a light
    read = [index for index, name in enumerate(names) if name.startswith(values) and name != nature]
    assert max(subscribed) < min(read)


async def test_what_is_heard_while_values_are_read_is_newer_than_what_was_read(tmp_path):
    async with scripted() as device:
        device.script["xGet Status RoomAnalytics"] = {
            "PeopleCount": {"Current": 2},
            "PeoplePresence": "Yes",
            "RoomInUse": "True",
        }

        async def presentation(_):
            await device.tell(Status={"RoomAnalytics": {"PeopleCount": {"Current": 3}}})
            return {"LocalInstance": [{"SendingMode": "LocalOnly", "id": 1}], "Mode": "Off"}

        device.script["xGet Status Conference Presentation"] = presentation
        async with hearing(device.configured(tmp_path)) as (_, ear):
            values = await ear.until_heard(CurrentValuesRead)
    assert (values.people, values.presence, values.in_use) == (3, True, True)
    assert (values.calls, values.sharing) == (None, True)


async def test_a_long_list_is_read_page_by_page(tmp_path):
    rows = [_row(number) for number in range(5)]

    async def pages(params):
        offset = params.get("Offset", 0)
        return {"Booking": rows[offset : offset + 2], "ResultInfo": {"TotalRows": 5}}

    async with scripted() as device:
        device.script["xCommand/Bookings/List"] = pages
        async with hearing(device.configured(tmp_path), clock=lambda: NINE) as (_, ear):
            listed = await ear.until_heard(BookingsListed)
    assert [booking.booking_id for booking in listed.bookings] == [f"webex-{number}" for number in range(5)]
    assert listed.covers_until == datetime(2026, 3, 4, tzinfo=UTC)


async def test_a_list_that_stops_short_is_only_the_truth_as_far_as_it_goes(tmp_path):
    async def pages(params):
        return {"Booking": [] if "Offset" in params else [_row(0), _row(1)], "ResultInfo": {"TotalRows": 5}}

    async with scripted() as device:
        device.script["xCommand/Bookings/List"] = pages
        async with hearing(device.configured(tmp_path), clock=lambda: NINE) as (_, ear):
            listed = await ear.until_heard(BookingsListed)
    assert len(listed.bookings) == 2
    assert listed.covers_until == listed.bookings[1].starts_at


@pytest.mark.parametrize("how", ["no_end", "end_before_start", "garbage_times"])
async def test_a_booking_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path, how):
    async with Site() as site:
        simulated = site.devices[0]
        simulated.book_in_outlook("Good", start=simulated.now() + timedelta(hours=1))
        bad = simulated.book_in_outlook("Bad", start=simulated.now() + timedelta(hours=2))
        simulated.spoil(bad.id, how)
        async with hearing(configured(simulated, tmp_path)) as (_, ear):
            listed = await ear.until_heard(BookingsListed)
    assert [booking.meeting.title for booking in listed.bookings] == ["Good"]
    assert listed.unreadable == {bad.id}


async def test_a_booking_without_an_id_ends_what_the_list_is_the_truth_for(tmp_path):
    nameless = {**_row(1), "Id": ""}
    async with scripted() as device:
        device.script["xCommand/Bookings/List"] = {"Booking": [_row(0), nameless, _row(2)]}
        async with hearing(device.configured(tmp_path), clock=lambda: NINE) as (_, ear):
            listed = await ear.until_heard(BookingsListed)
    assert len(listed.bookings) == 2
    assert listed.covers_until == NINE + timedelta(hours=1)


NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)


def _row(number):
    start = NINE + timedelta(hours=number)
    return {
        "Id": f"webex-{number}",
        "MeetingId": f"m{number}",
        "Time": {"StartTime": start.isoformat(), "EndTime": (start + timedelta(minutes=30)).isoformat()},
    }


async def test_a_listing_that_failed_is_not_taken_for_a_room_without_bookings(tmp_path):
    async with scripted() as device:
        device.script["xCommand/Bookings/List"] = {"status": "Error", "Reason": "Calendar not ready"}
        async with hearing(device.configured(tmp_path)) as (fleet, ear):
            await ear.until_heard(CurrentValuesRead)
            assert not ear.of(BookingsListed)
            device.script["xCommand/Bookings/List"] = NO_BOOKINGS
            fleet.ask(ListBookings(device=DeviceId("scripted")))
            assert (await ear.until_heard(BookingsListed)).bookings == ()


# ── shortcomings ──


async def test_a_configuration_that_hides_people_is_told_and_so_is_its_mending(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        path = ("Configuration", "RoomAnalytics", "PeopleCountOutOfCall")
        simulated.configure(path, "Off")
        async with hearing(configured(simulated, tmp_path)) as (_, ear):
            connected = await ear.until_heard(DeviceConnected)
            assert connected.shortcomings == (needs.COUNTS_OUT_OF_CALLS.sentence,)
            simulated.configure(path, "On")
            assert (await ear.until_heard(ShortcomingsFound)).shortcomings == ()
            simulated.configure(("Configuration", "Bookings", "CheckIn", "Enabled"), "True")
            assert connected.checks_in is False
            assert (await ear.until_heard(CheckInRead)).enabled is True
            simulated.configure(("Configuration", "Bookings", "AdhocBooking", "BookingTimeout"), 120)
            assert (await ear.until_heard(BookingTimeoutRead)).seconds == 120


async def test_a_device_that_is_full_of_subscriptions_is_used_as_far_as_it_goes(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        simulated.fault(subscription_limit=3)
        async with hearing(configured(simulated, tmp_path)) as (_, ear):
            connected = await ear.until_heard(DeviceConnected)
            simulated.count_people(2)
            await ear.until_heard(PeopleCounted)
    assert len(connected.shortcomings) == 8
    assert all("too many subscriptions" in sentence for sentence in connected.shortcomings)


async def test_an_account_that_may_not_read_everything_is_told_so(tmp_path):
    async with scripted() as device:
        denied = Refuses(PERMISSION_DENIED, "Permission denied")
        device.script["xFeedback/Subscribe Status RoomAnalytics PeopleCount"] = denied
        device.script["xCommand/Bookings/List"] = denied
        async with hearing(device.configured(tmp_path)) as (_, ear):
            connected = await ear.until_heard(DeviceConnected)
    assert len(connected.shortcomings) == 2
    assert all("role is too small" in sentence for sentence in connected.shortcomings)
    assert not ear.of(BookingsListed)


async def test_a_device_that_knows_no_bookings_is_connected_all_the_same(tmp_path):
    async with scripted() as device:
        for name in ("xCommand/Bookings/List", "xFeedback/Subscribe Event Bookings"):
            device.script[name] = Refuses()
        async with hearing(device.configured(tmp_path)) as (fleet, ear):
            connected = await ear.until_heard(DeviceConnected)
            await ear.until_heard(CurrentValuesRead)
            fleet.ask(ListBookings(device=DeviceId("scripted")))
            await device.tell(Status={"RoomAnalytics": {"PeopleCount": {"Current": 5}}})
            await ear.until_heard(PeopleCounted)
    assert connected.shortcomings == ()
    assert connected.lacks[Ability.BOOKINGS] == HAS_NO_BOOKINGS


async def test_a_listing_that_fails_once_is_no_lack(tmp_path):
    async with scripted() as device:
        device.script["xCommand/Bookings/List"] = Refuses(1, "Calendar not ready")
        async with hearing(device.configured(tmp_path)) as (_, ear):
            connected = await ear.until_heard(DeviceConnected)
    assert Ability.BOOKINGS not in connected.lacks
    assert len(connected.shortcomings) == 1


# ── what it is, decides what it is asked ──


def of(version, product="Cisco Room Bar"):
    return {**SYSTEM_UNIT, "ProductId": product, "Software": {"Version": f"ce{version}.abc"}}


COUNTING = {"PeopleCount": {"Current": 2}, "PeoplePresence": "Yes"}


@pytest.mark.parametrize(
    ("version", "unasked"),
    [
        (
            "9.15.17.4",
            {"Status RoomAnalytics RoomInUse", "Configuration Bookings", "Status MicrosoftTeams"},
        ),
        (
            "10.19.4.2",
            {"Status RoomAnalytics RoomInUse", "Configuration Bookings", "Status MicrosoftTeams"},
        ),
        ("11.14.5.0", {"Configuration Bookings"}),
        ("11.23.1.8", set()),
        ("11.27.2.0", set()),
        ("26.4.1.1", set()),
    ],
)
async def test_old_firmware_is_only_asked_for_what_it_has(tmp_path, version, unasked):
    async with scripted() as device:
        device.script["xGet Status SystemUnit"] = of(version)
        device.script["xGet Status RoomAnalytics"] = COUNTING
        for node in unasked:
            device.script[f"xFeedback/Subscribe {node}"] = device.script[f"xGet {node}"] = Refuses()
        async with hearing(device.configured(tmp_path)) as (_, ear):
            connected = await ear.until_heard(DeviceConnected)
            names = [name for name, _ in device.calls]
    assert names[0] == "xGet Status SystemUnit"
    assert not [name for name in names if name.endswith(tuple(unasked or ["nothing"]))]
    assert {name for name in names if "Event Bookings" in name or "List" in name} == {
        "xFeedback/Subscribe Event Bookings",
        "xCommand/Bookings/List",
    }
    assert (connected.shortcomings, connected.lacks) == ((), {})


async def test_firmware_that_nobody_knows_is_asked_for_what_all_have(tmp_path):
    async with scripted() as device:
        device.script["xGet Status SystemUnit"] = {**SYSTEM_UNIT, "Software": {"Version": "spring edition"}}
        async with hearing(device.configured(tmp_path)) as (_, ear):
            await ear.until_heard(BookingsListed)
            assert "xFeedback/Subscribe Event Bookings" in [name for name, _ in device.calls]


async def test_a_navigator_that_stands_alone_is_asked_for_no_bookings_and_no_people(tmp_path):
    async with scripted() as device:
        device.script["xGet Status SystemUnit"] = of("11.27.2.0", "Cisco Room Navigator")
        device.script["xGet Configuration Provisioning Mode"] = "Off"
        async with hearing(device.configured(tmp_path), pace=LinkPace(reread_every_s=0.05)) as (fleet, ear):
            connected = await ear.until_heard(DeviceConnected)
            fleet.ask(ListBookings(device=DeviceId("scripted")))
            await device.tell(Event={"Bookings": {"Updated": ""}})
            await ear.until_heard(BookingsTouched)
            names = [name for name, _ in device.calls]
    assert connected.lacks == {
        Ability.BOOKINGS: NAVIGATOR_HAS_NO_BOOKINGS,
        Ability.PEOPLE: NAVIGATOR_COUNTS_NOBODY,
    }
    assert connected.shortcomings == ()
    assert names == [
        "xGet Status SystemUnit",
        "xGet Configuration Provisioning Mode",
        "xGet Configuration UserInterface LedControl Mode",
        "xFeedback/Subscribe Configuration Time Zone",
        "xGet Configuration Time Zone",
    ]


async def test_a_navigator_that_somebody_provisions_has_bookings(tmp_path):
    async with scripted() as device:
        device.script["xGet Status SystemUnit"] = of("11.27.2.0", "Cisco Room Navigator")
        device.script["xGet Configuration Provisioning Mode"] = "Webex"
        async with hearing(device.configured(tmp_path)) as (_, ear):
            connected = await ear.until_heard(DeviceConnected)
            await ear.until_heard(BookingsListed)
            names = [name for name, _ in device.calls]
    assert list(connected.lacks) == [Ability.PEOPLE]
    assert names.index("xFeedback/Subscribe Event Bookings") < names.index("xCommand/Bookings/List")


async def test_on_teams_rooms_a_teams_call_is_a_call_and_what_is_missing_is_told(tmp_path):
    async with scripted() as device:
        device.script["xGet Status MicrosoftTeams"] = {
            "Calling": {"InCall": "False"},
            "Software": {"Version": {"TeamsApp": "1449/1.0.96.2024"}},
        }
        device.script["xGet Status RoomAnalytics"] = COUNTING
        device.script["xGet Status SystemUnit State NumberOfActiveCalls"] = 0
        device.script["xGet Status MicrosoftTeams Calling InCall"] = "False"
        async with hearing(device.configured(tmp_path)) as (_, ear):
            connected = await ear.until_heard(DeviceConnected)
            await ear.until_heard(CurrentValuesRead)
            await device.tell(Status={"MicrosoftTeams": {"Calling": {"InCall": "True"}}})
            await ear.until(lambda: ear.of(CallsCounted) and ear.of(CallsCounted)[-1].calls == 1)
            names = [name for name, _ in device.calls]
    assert connected.shortcomings == (TEAMS_ROOMS,)
    assert ear.of(CurrentValuesRead)[0].calls == 0
    assert "xFeedback/Subscribe Status MicrosoftTeams Calling InCall" in names


async def test_a_device_that_is_no_teams_room_is_not_asked_for_teams_calls(tmp_path):
    async with scripted() as device:
        device.script["xGet Status MicrosoftTeams"] = {"Calling": {"InCall": "False"}}
        async with hearing(device.configured(tmp_path)) as (_, ear):
            await ear.until_heard(BookingsListed)
            assert not [name for name, _ in device.calls if "Calling" in name]


async def test_a_device_without_a_camera_says_so_until_one_is_connected(tmp_path):
    async with scripted() as device:
        for node in ("PeopleCount", "PeoplePresence", "RoomInUse"):
            device.script[f"xFeedback/Subscribe Status RoomAnalytics {node}"] = Refuses()
        device.script["xGet Status RoomAnalytics"] = {"AmbientTemperature": "21.3"}
        pace = LinkPace(reread_every_s=0.05)
        async with hearing(device.configured(tmp_path), pace=pace) as (_, ear):
            connected = await ear.until_heard(DeviceConnected)
            assert (connected.shortcomings, connected.lacks) == ((), {Ability.PEOPLE: COUNTS_NOBODY})
            device.script["xGet Status RoomAnalytics"] = COUNTING
            found = await ear.until_heard(ShortcomingsFound)
            assert found.lacks == {}


@pytest.mark.parametrize(
    ("unit", "kind"),
    [
        ({}, DeviceLost),
        ({"ProductId": "Printer"}, DeviceLost),
        (Refuses(), DeviceLost),
        (Refuses(NOT_READY, "Not ready"), DeviceLost),
        (Refuses(PERMISSION_DENIED, "No"), DeviceRefused),
        (SILENCE, DeviceLost),
    ],
)
async def test_what_does_not_say_who_it_is_is_not_connected(tmp_path, unit, kind):
    async with scripted() as device:
        device.script["xGet Status SystemUnit"] = unit
        async with hearing(device.configured(tmp_path), pace=QUICK) as (_, ear):
            await ear.until_heard(kind)
            assert not ear.of(DeviceConnected)


# ── hearing ──


async def test_a_life_of_a_room_is_heard_in_its_order(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        async with hearing(configured(simulated, tmp_path)) as (_, ear):
            await ear.until_heard(BookingsListed)
            for people in (1, 2, -1, 4):
                simulated.count_people(people)
            request = simulated.request_booking("Ad hoc", duration_min=30)
            simulated.confirm(request)
            created = await ear.until_heard(BookingCreated)
            requested = ear.of(BookingRequested)[0]
            assert [event.people for event in ear.of(PeopleCounted)] == [1, 2, None, 4]
            assert created.request_id == requested.request_id == request
            assert requested.ends_at - requested.starts_at == timedelta(minutes=30)
            assert requested.title == "Ad hoc"
            simulated.start_call()
            assert (await ear.until_heard(CallsCounted)).calls == 1
            simulated.end_call()
            simulated.share()
            assert (await ear.until_heard(SharingSensed)).sharing is True
            simulated.stop_sharing()
            await ear.until(lambda: ear.of(SharingSensed)[-1].sharing is False)


@pytest.mark.parametrize(
    "faults",
    [
        {"duplicate_frames": True},
        {"delivery": "split"},
        {"delivery": "merged"},
        {"batch_s": 0.02},
        {"fragmented": True},
        {"empty_event": "id"},
        {"empty_event": "text"},
        {"event_ids": True},
        {"people_as_text": True},
        {"unknown_replies": True},
        {"reorder_replies": True},
        {"notify_first": True},
        {"accepts_unknown_queries": True},
        {"blank_meeting_ids": True},
    ],
    ids=str,
)
async def test_however_it_is_written_it_is_understood(tmp_path, faults):
    async with Site(profile="11.27.2.0") as site:
        simulated = site.devices[0]
        simulated.fault(**faults)
        async with hearing(configured(simulated, tmp_path)) as (fleet, ear):
            await ear.until_heard(BookingsListed)
            simulated.count_people(4)
            booking = simulated.book_in_outlook("Weekly", start=simulated.now() + timedelta(hours=1))
            simulated.retitle(booking.id, "Monthly")
            await ear.until(lambda: ear.of(BookingsTouched) and ear.of(BookingCreated))
            assert ear.of(PeopleCounted)[0].people == 4
            assert ear.of(PresenceSensed)[0].presence is True
            assert ear.of(BookingCreated)[0].booking_id == booking.id
            assert fleet.tally.unreadable_values == 0
            assert not ear.of(DeviceLost)


async def test_the_core_gets_a_listing_when_it_asks(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        async with hearing(configured(simulated, tmp_path)) as (fleet, ear):
            fleet.ask(ListBookings(device=DeviceId("room-0001")))  # not connected: dropped
            await ear.until_heard(BookingsListed)
            simulated.book_in_outlook("Weekly")
            fleet.ask(ListBookings(device=DeviceId("room-0001")))
            fleet.ask(ListBookings(device=DeviceId("nobody")))
            assert len((await ear.until_heard(BookingsListed, 2)).bookings) == 1


async def test_asking_twice_lists_once_more_after_the_first_is_there(tmp_path):
    async with scripted() as device, hearing(device.configured(tmp_path)) as (fleet, ear):
        await ear.until_heard(BookingsListed)
        for _ in range(5):
            fleet.ask(ListBookings(device=DeviceId("scripted")))
        second, third = await ear.until_heard(BookingsListed, 2), await ear.until_heard(BookingsListed, 3)
        assert second.asked_at < third.asked_at
        assert [name for name, _ in device.calls].count("xCommand/Bookings/List") == 3


async def test_a_refused_listing_is_left_and_the_next_one_is_made(tmp_path):
    listing = ListBookings(device=DeviceId("scripted"))
    async with scripted() as device, hearing(device.configured(tmp_path)) as (fleet, ear):
        await ear.until_heard(BookingsListed)

        async def refuse(_):
            fleet.ask(listing)  # while this one is on its way
            device.script["xCommand/Bookings/List"] = NO_BOOKINGS
            raise Refuses(1, "Calendar not ready")

        device.script["xCommand/Bookings/List"] = refuse
        fleet.ask(listing)
        await ear.until_heard(BookingsListed, 2)
        assert [name for name, _ in device.calls].count("xCommand/Bookings/List") == 3


async def test_current_values_are_read_again_now_and_then(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        simulated.fault(drop_frames=-1)
        pace = LinkPace(reread_every_s=0.1)
        async with hearing(configured(simulated, tmp_path), pace=pace) as (_, ear):
            await ear.until_heard(CurrentValuesRead)
            simulated.count_people(7)
            await ear.until(lambda: ear.of(CurrentValuesRead)[-1].people == 7)
            assert not ear.of(PeopleCounted)
            assert len(ear.of(BookingsListed)) == 1


# ── losing and finding ──


async def test_each_reason_of_a_loss_is_told_once_and_then_the_return(tmp_path):
    with capture_logs() as logs:
        async with scripted() as device, hearing(device.configured(tmp_path)) as (_, ear):
            await ear.until_heard(DeviceConnected)
            device.script["xGet Status SystemUnit"] = Refuses(NOT_READY, "Not ready")
            assert device.connection is not None
            await device.connection.close(1001, "going down")
            assert "going down" in (await ear.until_heard(DeviceLost)).why
            await device.until_called("xGet Status SystemUnit", 6)
            device.script["xGet Status SystemUnit"] = SYSTEM_UNIT
            await ear.until_heard(DeviceConnected, 2)
            assert ["going down" in lost.why for lost in ear.of(DeviceLost)] == [True, False]
            assert len(ear.of(BookingsListed)) == 2
    levels = [entry["log_level"] for entry in logs if entry["event"] == "device.lost"]
    assert levels[:2] == ["warning", "warning"]
    assert len(levels) >= 5
    assert set(levels[2:]) == {"debug"}


async def test_a_restart_is_seen_by_its_uptime_although_the_line_stands(tmp_path):
    async with scripted() as device, hearing(device.configured(tmp_path), pace=QUICK) as (_, ear):
        await ear.until_heard(DeviceConnected)
        device.script["xGet Status SystemUnit Uptime"] = 3
        assert (await ear.until_heard(UptimeRead)).uptime_s == 3
        await ear.until_heard(DeviceConnected, 2)
        kinds = [type(event) for _, event in ear.heard]
        assert kinds.index(UptimeRead) < kinds.index(DeviceLost)


async def test_uptime_that_grows_is_no_news(tmp_path):
    async with scripted() as device, hearing(device.configured(tmp_path), pace=QUICK) as (_, ear):
        await ear.until_heard(DeviceConnected)
        await device.until_called("xGet Status SystemUnit Uptime", 3)
        assert not ear.of(UptimeRead)


async def test_a_device_that_answers_pings_and_nothing_else_is_lost(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        async with hearing(configured(simulated, tmp_path), pace=QUICK) as (_, ear):
            await ear.until_heard(DeviceConnected)
            simulated.fault(silent=True)
            lost = await ear.until_heard(DeviceLost)
            assert "no answer about probe" in lost.why
            simulated.clear_faults()
            await ear.until_heard(DeviceConnected, 2)


async def test_a_half_open_line_is_noticed(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        async with hearing(configured(simulated, tmp_path), line=ATTENTIVE) as (_, ear):
            await ear.until_heard(DeviceConnected)
            simulated.hold_open()
            assert "silent" in (await ear.until_heard(DeviceLost)).why
            await ear.until_heard(DeviceConnected, 2)


async def test_a_reboot_is_outlasted(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        async with hearing(configured(simulated, tmp_path)) as (_, ear):
            first = await ear.until_heard(DeviceConnected)
            simulated.reboot(down_s=0.2)
            second = await ear.until_heard(DeviceConnected, 2)
            assert (second.uptime_s or 0) < (first.uptime_s or 0)


@pytest.mark.parametrize("junk", ["text", "binary", "huge", "deep", "truncated"])
async def test_nonsense_ends_that_conversation_and_no_other(tmp_path, junk):
    async with Site(rooms=2) as site:
        first, second = site.devices
        async with hearing(configured(first, tmp_path), configured(second, tmp_path)) as (fleet, ear):
            await ear.until_heard(BookingsListed, 2)
            first.send_junk(junk)
            await ear.until_heard(DeviceConnected, 2, "room-0001")
            assert len(ear.of(DeviceLost, "room-0001")) == 1
            assert not ear.of(DeviceLost, "room-0002")
            assert (fleet.tally.nonsense, fleet.tally.bugs) == (1, 0)


@pytest.mark.parametrize("junk", ["array", "unknown_node", "unknown_event", "unknown_reply"])
async def test_what_is_only_unknown_is_passed_over(tmp_path, junk):
    async with Site() as site:
        simulated = site.devices[0]
        async with hearing(configured(simulated, tmp_path)) as (_, ear):
            await ear.until_heard(BookingsListed)
            simulated.send_junk(junk)
            simulated.count_people(2)
            await ear.until_heard(PeopleCounted)
            assert not ear.of(DeviceLost)


# ── refusals ──


async def test_a_wrong_password_is_shown_twice_and_no_more(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        device = configured(simulated, tmp_path, password="wrong")
        async with hearing(device) as (fleet, ear):
            refused = await ear.until_heard(DeviceRefused)
            assert simulated.user in refused.why
            assert fleet.phases()[Phase.REFUSED] == 1
            assert simulated.failed_logins == 2
            device.credential.password_file.write_text(simulated.password, encoding="utf-8")
            await ear.until_heard(DeviceConnected)
            assert (simulated.logins, simulated.failed_logins) == (1, 0)
            assert len(ear.of(DeviceRefused)) == 1


async def test_whoever_asks_again_after_refused_passwords_has_one_try(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        async with hearing(configured(simulated, tmp_path, password="other")) as (fleet, ear):
            await ear.until_heard(DeviceRefused)
            for tries in (3, 4):
                while simulated.failed_logins < tries:
                    fleet.try_again()
                    await asyncio.sleep(0)
            simulated.password = "other"  # mended on the device
            while not ear.of(DeviceConnected):
                fleet.try_again()
                await asyncio.sleep(0)
            assert len(ear.of(DeviceRefused)) == 1


async def test_a_service_that_is_off_is_a_refusal_that_says_what_to_set(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        simulated.fault(handshake_status=404)
        async with hearing(configured(simulated, tmp_path)) as (_, ear):
            assert "FollowHTTPService" in (await ear.until_heard(DeviceRefused)).why
            simulated.clear_faults()
            await ear.until_heard(DeviceConnected)


async def test_a_changed_certificate_is_a_refusal(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        device = configured(simulated, tmp_path)
        async with hearing(device) as (_, ear):
            await ear.until_heard(DeviceConnected)
            logins = simulated.logins
            site.renew_certificate(simulated)
            simulated.cut()
            assert "fingerprint" in (await ear.until_heard(DeviceRefused)).why
            assert (simulated.logins, simulated.failed_logins) == (logins, 0)


async def test_a_slow_device_that_answers_one_after_the_other_is_greeted_all_the_same(tmp_path):
    async with Site(services=("ssh",)) as site:
        simulated = site.devices[0]
        simulated.fault(reply_delay_s=0.15)
        device = replace(configured(simulated, tmp_path), ssh_port=simulated.ssh_port)
        device = replace(device, trust=replace(device.trust, host_key=simulated.host_key))
        pace = LinkPace(answer_within_s=0.6)  # for each, and far less than all of a greeting take together
        async with hearing(device, pace=pace, dial=Shells()) as (_, ear):
            await ear.until_heard(BookingsListed, within_s=20.0)
            assert not ear.of(DeviceLost)


# ── back-pressure ──


async def test_whoever_is_slow_loses_neither_events_nor_the_line(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        # Deadlines that a busy machine keeps, and that are over long before anybody listens again.
        pace = LinkPace(answer_within_s=2.0, probe_every_s=0.2)
        line = LinePace(ping_after_s=0.2, pong_within_s=2.0, close_within_s=0.1)
        async with hearing(configured(simulated, tmp_path), pace=pace, line=line) as (_, ear):
            await ear.until_heard(BookingsListed)
            ear.gate.clear()
            for number in range(5000):
                simulated.count_people(number % 50)
                if number % 100 == 0:
                    await asyncio.sleep(0)  # else both ends of the line are held up for as long as all takes
            asyncio.get_running_loop().call_later(5.0, ear.gate.set)  # later than all deadlines together
            simulated.count_people(77)
            await ear.until(
                lambda: (
                    ear.of(PeopleCounted)[-1:] == [PeopleCounted(device=DeviceId("room-0001"), people=77)]
                ),
                within_s=40.0,
            )
            counts = [event.people for event in ear.of(PeopleCounted)]
            assert counts == [number % 50 for number in range(1 if counts[0] else 0, 5000)] + [77]
            assert not ear.of(DeviceLost)


def test_secrets_are_in_no_log(tmp_path, caplog):
    async def story() -> None:
        async with Site() as site:
            simulated = site.devices[0]
            device = configured(simulated, tmp_path, password="not-to-be-seen")
            async with hearing(device) as (_, ear):
                await ear.until_heard(DeviceRefused)

    caplog.set_level(logging.DEBUG)
    with capture_logs() as logs:
        asyncio.run(story())
    assert logs
    assert "not-to-be-seen" not in str(logs) + caplog.text
