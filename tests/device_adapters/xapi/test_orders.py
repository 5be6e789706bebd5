"""What booking, extending and releasing mean as calls, by firmware and calendar."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.core.events import AgendaPut, AgendaRefused, OrderRefused, OrderTaken
from agent.core.facts import Book, Extend, PutAgenda, PutBooking, Release
from agent.core.model import (
    Booking,
    BookingId,
    BookingKey,
    BookingPhase,
    CalendarKind,
    CommandId,
    DeviceId,
    MeetingId,
    RequestId,
)
from device_adapters.xapi import orders, plans
from device_adapters.xapi.messages import PERMISSION_DENIED, CallId, Refusal
from device_adapters.xapi.requests import Makeup, NotUnderstood
from device_adapters.xapi.schema import Unreadable, read_firmware

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
D = DeviceId("d")
BOOK = Book(
    device=D,
    command=CommandId("c"),
    request_id=RequestId("r"),
    starts_at=NINE,
    ends_at=NINE + timedelta(minutes=14, seconds=1),
    title=None,
    organizer="Kari\nNordmann",
)
EXTEND = Extend(
    device=D,
    command=CommandId("c"),
    booking_id=BookingId("webex-1"),
    meeting_id=MeetingId("m"),
    ends_at=NINE,
    by=timedelta(seconds=61),
)
BOOKING = Booking(
    key=BookingKey("k"),
    phase=BookingPhase.STARTED,
    starts_at=NINE,
    ends_at=NINE + timedelta(hours=1),
    since=NINE,
    seen_at=NINE,
    calendar=CalendarKind.HYBRID,
    meeting_id=MeetingId("m"),
    booking_ids={D: BookingId("webex-1")},
)
RELEASE = Release(device=D, command=CommandId("c"), booking=BOOKING)


def made(version: str, **more: bool) -> Makeup:
    return Makeup(firmware=read_firmware(version), **more)


def test_a_booking_has_whole_minutes_and_a_title_only_if_it_was_given_one():
    (old,) = orders.book(BOOK, made("10.19")).calls
    assert old.params == {"BookingRequestUUID": "r", "StartTime": "2026-03-02T09:00:00Z", "Duration": 15}
    (new,) = orders.book(replace(BOOK, title="x" * 300), made("26.4")).calls
    assert new.params["OrganizerName"] == "Kari Nordmann"
    assert new.params["Title"] == "x" * 125 + "…"


def test_more_than_a_day_is_not_booked():
    with pytest.raises(Unreadable):
        orders.book(replace(BOOK, ends_at=NINE + timedelta(days=2)), made("26.4"))


def test_a_booking_is_extended_by_what_its_firmware_names_it_by():
    assert orders.extend(EXTEND, made("11.14")).calls[0].params == {"Duration": 2, "Id": "webex-1"}
    assert orders.extend(EXTEND, made("11.27")).calls[0].params == {"Duration": 2, "MeetingId": "m"}
    for makeup in (made("10.19"), made("26.4", teams=True)):
        with pytest.raises(NotUnderstood):
            orders.extend(EXTEND, makeup)


def ways(release: Release, makeup: Makeup) -> list[str]:
    return [call.method.removeprefix("xCommand/Bookings/") for call in orders.release(release, makeup).calls]


def test_what_releases_a_booking_is_tried_in_a_sensible_order():
    pushed = replace(RELEASE, booking=replace(BOOKING, calendar=CalendarKind.PUSHED, meeting_id=None))
    later = replace(RELEASE, booking=replace(BOOKING, phase=BookingPhase.CONFIRMED))
    assert ways(RELEASE, made("26.4")) == ["CheckOut", "Respond", "Delete"]
    assert ways(RELEASE, made("26.4", teams=True)) == ["Respond", "Delete"]
    assert ways(RELEASE, made("11.14")) == ["Respond", "Delete"]
    assert ways(RELEASE, made("9.15")) == ["Delete"]
    assert ways(later, made("26.4")) == ["Respond", "Delete"]
    assert ways(pushed, made("26.4")) == ["CheckOut", "Delete"]
    with pytest.raises(NotUnderstood):  # deletes by meeting id, and there is none
        ways(pushed, made("10.19"))


def test_a_navigator_that_nobody_provisions_takes_no_orders():
    with pytest.raises(NotUnderstood):
        orders.book(BOOK, made("26.4", navigator=True, provisioned=False))


def test_the_first_way_that_is_taken_is_enough_and_only_the_last_refusal_counts():
    plan = orders.release(RELEASE, made("26.4"))
    assert plans.after(plan, None).event == OrderTaken(device=D, command=CommandId("c"))
    second = plans.after(plan, Refusal(CallId(1), 1, "Not started"))
    assert second.event is None
    assert second.plan is not None
    third = plans.after(second.plan, Refusal(CallId(2), 1, "Not supported")).plan
    assert third is not None
    refused = plans.after(third, Refusal(CallId(3), PERMISSION_DENIED, "Permission denied"))
    assert refused.plan is None
    assert isinstance(refused.event, OrderRefused)
    assert "role" in refused.event.why


def agenda(*joins: str | None, title: str | None = "Planning", platform: str | None = None) -> PutAgenda:
    bookings = tuple(
        PutBooking(
            booking_id=BookingId(f"roomd-b-{number}"),
            starts_at=NINE,
            ends_at=NINE + timedelta(minutes=29, seconds=30),
            title=title,
            join=join,
            platform=platform,
        )
        for number, join in enumerate(joins, 1)
    )
    return PutAgenda(device=D, edition="e", bookings=bookings)


def written(asked: PutAgenda, version: str = "26.4") -> list[dict[str, object]]:
    (call,) = orders.put(asked, made(version)).calls
    assert call.method == "xCommand/Bookings/Put"
    (body,) = call.params.values()
    assert "\n" not in str(body)
    bookings: list[dict[str, object]] = json.loads(str(body))["Bookings"]
    return bookings


def test_an_agenda_is_put_with_all_that_cisco_s_tools_put():
    (booking,) = written(agenda("https://teams.microsoft.com/l/meetup-join/1", platform="microsoft_teams"))
    assert booking == {
        "Id": "roomd-b-1",
        "Title": "Planning",
        "Number": "https://teams.microsoft.com/l/meetup-join/1",
        "Protocol": "WebRTC",
        "Organizer": {"Name": "-"},
        "Time": {"StartTime": "2026-03-02T09:00:00Z", "Duration": 30},
    }
    assert written(agenda()) == []


def test_each_link_is_joined_by_what_it_is():
    protocols = [
        written(agenda(join, platform=platform))[0]["Protocol"]
        for join, platform in (
            ("https://fjord.webex.com/meet/ada", "webex"),
            ("ada@fjord.webex.com", "webex"),
            ("https://meet.google.com/abc-defg-hij", "google_meet"),
            (None, None),
        )
    ]
    assert protocols == ["Spark", "SIP", "WebRTC", "SIP"]


def test_titles_fit_a_line_and_what_has_none_is_busy():
    title = str(written(agenda(None, title="Über\n" + "ä " * 100))[0]["Title"])
    assert title.startswith("Über ä ä")
    assert len(title.encode()) <= 128
    assert written(agenda(None, title=None))[0]["Title"] == "Busy"


def test_whoever_has_a_calendar_of_its_own_or_none_is_put_no_agenda():
    for makeup in (made("26.4", teams=True), made("26.4", navigator=True, provisioned=False)):
        with pytest.raises(NotUnderstood):
            orders.put(agenda(), makeup)


def test_an_agenda_that_is_refused_says_what_role_it_needs():
    plan = orders.put(agenda(), made("11.27"))
    assert plans.after(plan, None).event == AgendaPut(device=D, edition="e")
    refused = plans.after(plan, Refusal(CallId(1), PERMISSION_DENIED, "Permission denied")).event
    assert isinstance(refused, AgendaRefused)
    assert refused.why.endswith("give it Admin.")
