"""What a device says about its calendar, per kind of calendar and per firmware."""

from datetime import datetime, timedelta

import pytest

from tests.simulator import VERSIONS, Answer, CalendarKind, Device, ManualClock, Site
from tests.simulator_tests.client import Client, Refusal, dial

OLD = ("10.19.4.2", "11.14.5.0")
NEW = ("11.27.2.0", "26.4.1")


def names(events: list[tuple[str, object]]) -> list[str]:
    return [name for name, _ in events]


async def listed(client: Client, **params: int) -> list[dict[str, object]]:
    reply = await client.command("Bookings List", **params)
    rows: list[dict[str, object]] = reply.get("Booking", [])
    return rows


def in_minutes(device: Device, minutes: float) -> datetime:
    return device.now() + timedelta(minutes=minutes)


async def test_an_empty_list_has_no_rows_and_no_booking():
    async with Site() as site, dial(site) as client:
        reply = await client.command("Bookings List", Days=1, DayOffset=0)
        assert reply["ResultInfo"] == {"TotalRows": 0}
        assert "Booking" not in reply
        assert reply["status"] == "OK"


async def test_old_firmware_says_no_ok_beside_data():
    async with Site(profile="11.14.5.0") as site, dial(site) as client:
        assert "status" not in await client.command("Bookings List")


async def test_a_list_is_limited_by_days_and_pages():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        device = site.devices[0]
        for hours in (1, 2, 3, 30):
            device.book_in_outlook(f"In {hours}", start=device.now() + timedelta(hours=hours))
        assert len(await listed(client)) == 4
        assert len(await listed(client, Days=1)) == 3
        assert [row["Title"] for row in await listed(client, Days=1, DayOffset=1)] == ["In 30"]
        page = await client.command("Bookings List", Limit=2, Offset=1)
        assert [(row["Title"], row["id"]) for row in page["Booking"]] == [("In 2", 2), ("In 3", 3)]
        assert page["ResultInfo"]["TotalRows"] == 4


@pytest.mark.parametrize("version", NEW)
async def test_a_request_on_a_hybrid_device_is_answered_later(version: str):
    async with Site(profile=version, clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "Bookings")
        device = site.devices[0]
        uuid = device.request_booking("Ad hoc", answer=Answer(after_s=20), start=in_minutes(device, 10))
        [(name, asked)] = await client.events()
        assert (name, asked["BookingRequestUUID"], asked["Duration"]) == ("BookingRequested", uuid, 30)
        assert await listed(client) == []
        site.advance(20)
        created, updated = await client.events()
        assert updated == ("Updated", {})
        assert created[0] == "BookingCreated"
        assert created[1]["BookingRequestUUID"] == uuid
        [booking] = await listed(client)
        assert booking["MeetingId"] == created[1]["MeetingId"] != ""
        assert booking["Id"] == created[1]["Id"] == "webex-1"


@pytest.mark.parametrize("version", OLD)
async def test_before_11_23_only_the_list_tells_of_the_answer(version: str):
    async with Site(profile=version, clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "Bookings")
        device = site.devices[0]
        device.request_booking(answer=Answer(after_s=20), start=in_minutes(device, 10))
        site.advance(20)
        assert names(await client.events()) == ["BookingRequested", "Updated"]
        assert len(await listed(client)) == 1
        device.request_booking(answer=Answer(outcome="fail", after_s=1), start=in_minutes(device, 60))
        site.advance(2)
        assert names(await client.events()) == ["BookingRequested"]


async def test_a_booking_can_be_listed_before_its_answer_without_a_meeting_id():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        device = site.devices[0]
        answer = Answer(after_s=20, listed_early=True)
        device.request_booking(answer=answer, start=in_minutes(device, 10))
        [early] = await listed(client)
        assert (early["Id"], early["MeetingId"]) == ("webex-1", "")
        site.advance(20)
        [late] = await listed(client)
        assert late["Id"] == "webex-1"
        assert late["MeetingId"]


async def test_a_request_can_fail():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "Bookings", "BookingFailed")
        uuid = site.devices[0].request_booking(answer=Answer(outcome="fail", after_s=3, cause="KmsError"))
        site.advance(3)
        assert await client.events() == [
            ("BookingFailed", {"BookingRequestUUID": uuid, "FailureCause": "KmsError"})
        ]


async def test_a_request_into_a_taken_hour_is_declined():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "Bookings", "BookingFailed")
        site.devices[0].book_in_outlook("Taken")
        await client.command("Bookings Book", Title="Too late", Duration=15)
        site.advance(5)
        [(_, failed)] = await client.events()
        assert failed["FailureCause"] == "Decline"


async def test_a_request_that_is_never_answered_goes_silently_at_the_booking_timeout():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "Bookings")
        device = site.devices[0]
        answer = Answer(outcome="never", listed_early=True)
        device.request_booking(answer=answer, start=in_minutes(device, 30))
        site.advance(59)
        assert len(await listed(client)) == 1
        site.advance(1)
        assert await listed(client) == []
        assert names(await client.events()) == ["BookingRequested", "Updated", "Updated"]


@pytest.mark.parametrize("with_id", [True, False])
async def test_a_device_that_is_its_own_calendar_answers_at_once(with_id: bool):
    async with Site(calendar="on_device", clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "Bookings")
        device = site.devices[0]
        device.request_booking(answer=Answer(meeting_id=with_id), start=in_minutes(device, 10))
        events = await client.events()
        assert names(events) == ["BookingRequested", "BookingCreated", "Updated"]
        assert bool(events[1][1]["MeetingId"]) is with_id


async def test_a_pushed_calendar_only_pokes():
    async with Site(calendar=CalendarKind.PUSHED, clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "Bookings")
        device = site.devices[0]
        booking = device.book_in_outlook("Pushed", start=in_minutes(device, 10))
        device.move(booking.id, duration_min=45)
        device.delete(booking.id)
        assert names(await client.events()) == ["Updated", "Updated", "Updated"]
        device.book_in_outlook("Pushed again")
        [row] = await listed(client)
        assert row["MeetingId"] == ""
        assert len(str(row["Id"])) == 32


async def test_a_booking_made_in_outlook_has_no_request():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "Bookings")
        device = site.devices[0]
        device.book_in_outlook("Weekly", private=True, start=in_minutes(device, 10))
        events = await client.events()
        assert names(events) == ["BookingCreated", "Updated"]
        assert "BookingRequestUUID" not in events[0][1]
        [row] = await listed(client)
        assert (row["Privacy"], row["Title"]) == ("Private", "Weekly")


@pytest.mark.parametrize("version", VERSIONS.values())
async def test_meetings_start_and_end_by_the_clock(version: str):
    async with Site(profile=version, clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "Bookings", "Start")
        await client.subscribe("Event", "Bookings", "End")
        await client.subscribe("Status", "Bookings")
        device = site.devices[0]
        booking = device.book_in_outlook("Weekly", duration_min=15, start=in_minutes(device, 1))
        site.advance(60)
        assert await client.get("Status", "Bookings", "Current", "Id") == booking.id
        assert await client.get("Status", "Bookings", "Availability", "Status") == "BookedUntil"
        site.advance(15 * 60)
        assert await client.get("Status", "Bookings", "Availability", "Status") == "Free"
        events = dict(await client.events())
        fields = {"Id"} if version in OLD else {"Id", "MeetingId"}
        assert set(events["Start"]) == fields
        more = set() if version in OLD else {"EndTime", "ScheduledDuration", "StartTime"}
        assert set(events["End"]) == fields | more


async def test_a_moved_meeting_starts_at_its_new_time_only():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        device = site.devices[0]
        booking = device.book_in_outlook("Weekly", start=in_minutes(device, 1))
        await client.subscribe("Event", "Bookings", "Start")
        await client.subscribe("Event", "Bookings", "BookingMoved")
        device.move(booking.id, start=in_minutes(device, 5))
        site.advance(4 * 60)
        assert names(await client.events()) == ["BookingMoved"]
        site.advance(60)
        assert names(await client.events()) == ["Start"]


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("11.14.5.0", {"Cause", "EndTime", "Id", "OrganizerId", "StartTime", "TimeStamp"}),
        (
            "26.4.1",
            {
                *("Cause", "EndTime", "Id", "MeetingId", "MinutesFreed"),
                *("OrganizerId", "ScheduledDuration", "StartTime", "TimeStamp"),
            },
        ),
    ],
)
async def test_a_deletion_names_its_cause(version: str, fields: set[str]):
    async with Site(profile=version, clock=ManualClock()) as site, dial(site) as client:
        await client.subscribe("Event", "Bookings", "Deleted")
        device = site.devices[0]
        booking = device.book_in_outlook("Weekly", duration_min=30)
        site.advance(600)
        device.delete(booking.id, "NoShow")
        [(_, deleted)] = await client.events()
        assert set(deleted) == fields
        assert deleted["Cause"] == "NoShow"
        assert deleted.get("MinutesFreed", 20) == 20


async def test_10_19_does_not_tell_of_deletions():
    async with Site(profile="10.19.4.2") as site, dial(site) as client:
        await client.subscribe("Event", "Bookings")
        device = site.devices[0]
        device.delete(device.book_in_outlook("Weekly", start=in_minutes(device, 10)).id)
        assert names(await client.events()) == ["Updated", "Updated"]


async def test_an_extension_is_asked_for_and_then_granted():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        device = site.devices[0]
        booking = device.book_in_outlook("Weekly", duration_min=30)
        await client.subscribe("Event", "Bookings")
        await client.command("Bookings Extend", MeetingId=booking.meeting_id, Duration=15)
        assert names(await client.events()) == ["ExtensionRequested"]
        site.advance(3)
        assert names(await client.events()) == ["Updated"]
        assert device.agenda()[0].duration_min == 45


async def test_the_commands_of_a_meetings_life():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        device = site.devices[0]
        await client.subscribe("Event", "Bookings")
        await client.command("Bookings Book", Title="Ad hoc", Duration=30, BookingRequestUUID="mine")
        site.advance(3)
        [booking] = device.agenda()
        await client.command("Bookings CheckIn", Id=booking.id)
        await client.command("Bookings Edit", MeetingId=booking.meeting_id, Title="Renamed")
        site.advance(3)
        got = await client.command("Bookings Get", Id=booking.id)
        assert got["Booking"]["Title"] == "Renamed"
        assert got["Booking"]["Time"]["SecondsUntilEnd"] == 1794
        await client.command("Bookings CheckOut", Id=booking.id)
        told = names(await client.events())
        assert told == [
            *("BookingRequested", "BookingCreated", "Updated", "Start"),
            *("CheckedIn", "Updated", "EditRequested", "Updated", "Deleted", "Updated"),
        ]
        assert device.agenda() == ()
        assert device.commands[0].name == "Bookings Book"


async def test_only_a_hybrid_calendar_can_be_declined():
    async with Site(calendar="on_device") as site, dial(site) as client:
        booking = site.devices[0].book_in_outlook("Weekly")
        with pytest.raises(Refusal) as refused:
            await client.command("Bookings Respond", MeetingId=booking.meeting_id, Type="Decline")
        assert refused.value.code == 1
        await client.command("Bookings Delete", Id=booking.id)
        assert site.devices[0].agenda() == ()


@pytest.mark.parametrize(
    ("version", "command"),
    [
        ("10.19.4.2", "Bookings Edit"),
        ("11.14.5.0", "Bookings CheckOut"),
        ("11.27.2.0", "Bookings CheckIn"),
    ],
)
async def test_older_firmware_lacks_commands(version: str, command: str):
    async with Site(profile=version) as site, dial(site) as client:
        with pytest.raises(Refusal) as refused:
            await client.command(command, Id="webex-1")
        assert refused.value.code == -32601


async def test_10_19_deletes_by_meeting_id_only():
    async with Site(profile="10.19.4.2") as site, dial(site) as client:
        booking = site.devices[0].book_in_outlook("Weekly")
        with pytest.raises(Refusal):
            await client.command("Bookings Delete", Id=booking.id)
        await client.command("Bookings Delete", MeetingId=booking.meeting_id)


async def test_a_calendar_can_be_put():
    body = (
        '{"Bookings":[{"Id":"own-1","Title":"Put","Number":"a@example.com","Protocol":"SIP",'
        '"Organizer":{"Name":"Ada"},"Time":{"StartTime":"2026-03-02T10:00:00Z","Duration":20}}]}'
    )
    async with Site(calendar="pushed", clock=ManualClock()) as site, dial(site) as client:
        await client.command("Bookings Put", body=body)
        [row] = await listed(client)
        assert row["Id"] == "own-1"
        await client.command("Bookings Clear")
        assert await listed(client) == []


async def test_an_all_day_booking_follows_the_rooms_time_zone():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        await client.call("xSet", Path=["Configuration", "Time", "Zone"], Value="Europe/Oslo")
        site.devices[0].book_all_day()
        [row] = await listed(client)
        assert row["Time"] == {
            "StartTime": "2026-03-01T23:00:00Z",
            "EndTime": "2026-03-02T23:00:00Z",
            "StartTimeBuffer": 300,
            "EndTimeBuffer": 0,
        }


async def test_people_who_leave_are_noticed_two_minutes_later():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        device = site.devices[0]
        device.count_people(3)
        device.count_people(0)
        assert await client.get("Status", "RoomAnalytics", "PeoplePresence") == "Yes"
        site.advance(120)
        assert await client.get("Status", "RoomAnalytics", "PeoplePresence") == "No"
        assert await client.get("Status", "RoomAnalytics", "RoomInUse") == "False"


async def test_the_count_is_unknown_in_standby_and_without_permission():
    async with Site() as site, dial(site) as client:
        device = site.devices[0]
        count = ("Status", "RoomAnalytics", "PeopleCount", "Current")
        device.count_people(3)
        await client.command("Standby Activate")
        assert await client.get(*count) == -1
        await client.command("Standby Deactivate")
        assert await client.get(*count) == 3
        path = ["Configuration", "RoomAnalytics", "PeopleCountOutOfCall"]
        await client.call("xSet", Path=path, Value="Off")
        assert await client.get(*count) == -1
        device.start_call()
        assert await client.get(*count) == 3


async def test_an_extension_or_an_edit_into_a_taken_hour_is_declined():
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        device = site.devices[0]
        booking = device.book_in_outlook("Weekly", duration_min=30)
        device.book_in_outlook("Next", start=in_minutes(device, 40))
        await client.subscribe("Event", "Bookings")
        await client.command("Bookings Extend", MeetingId=booking.meeting_id, Duration=15)
        await client.command("Bookings Edit", MeetingId=booking.meeting_id, Duration=60)
        site.advance(3)
        events = await client.events()
        assert names(events) == ["ExtensionRequested", "EditRequested", "ExtensionFailed", "EditFailed"]
        assert [body["FailureCause"] for _, body in events[2:]] == ["Decline", "Decline"]
        await client.command("Bookings Extend", MeetingId=booking.meeting_id, Duration=10)
        site.advance(3)
        assert device.agenda()[0].duration_min == 40


@pytest.mark.parametrize("command", ["Bookings Delete", "Bookings Respond", "Bookings CheckOut"])
async def test_a_yes_to_a_release_is_not_the_backends_yes(command: str):
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        device = site.devices[0]
        booking = device.book_in_outlook("Weekly")
        await client.subscribe("Event", "Bookings")
        asked = {"MeetingId": booking.meeting_id}
        if command == "Bookings Respond":
            asked["Type"] = "Decline"
        device.answer = Answer(releases=False)
        await client.command(command, **asked)
        site.advance(60)
        device.answer = Answer(release_after_s=5)
        await client.command(command, **asked)
        site.advance(4)
        assert len(device.agenda()) == 1
        site.advance(1)
        [(name, deleted), updated] = await client.events()
        assert name == "Deleted"
        assert deleted["Cause"] == ("ManualCheckOut" if command == "Bookings CheckOut" else "Deleted")
        assert updated == ("Updated", {})
        assert device.agenda() == ()


@pytest.mark.parametrize("command", ["Bookings Extend", "Bookings CheckIn", "Bookings CheckOut"])
async def test_what_has_ended_is_not_extended_nor_checked_in_or_out(command: str):
    async with Site(clock=ManualClock()) as site, dial(site) as client:
        booking = site.devices[0].book_in_outlook("Weekly", duration_min=15)
        site.advance(15 * 60)
        more = {"Duration": 15} if command == "Bookings Extend" else {}
        with pytest.raises(Refusal) as refused:
            await client.command(command, MeetingId=booking.meeting_id, **more)
        assert refused.value.code == 1


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("9.15.17.4", ["Updated"]),
        ("10.19.4.2", ["BookingRequested", "Updated", "Start"]),
        ("11.14.5.0", ["BookingRequested", "Updated", "Start"]),
        ("11.23.1.8", ["BookingRequested", "BookingCreated", "Updated", "Start"]),
        ("26.4.1", ["BookingRequested", "BookingCreated", "Updated", "Start"]),
    ],
)
async def test_a_booking_by_command_is_told_as_the_firmware_can(version: str, told: list[str]):
    async with (
        Site(profile=version, clock=ManualClock(), services=("websocket",)) as site,
        dial(site) as client,
    ):
        await client.subscribe("Event", "Bookings")
        await client.command("Bookings Book", Title="Held", Duration=30, BookingRequestUUID="mine")
        site.advance(3)
        events = await client.events()
        assert names(events) == told
        requests = [body["BookingRequestUUID"] for _, body in events if "BookingRequestUUID" in body]
        assert set(requests) <= {"mine"}
