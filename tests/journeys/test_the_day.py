"""A day as people have it: rooms asked for, granted, refused, moved, used and left, on every firmware."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.journeys.house import MIX, PROFILES, house
from tests.simulator.bookings import Answer, CalendarKind

pytestmark = pytest.mark.slow


def whole(when):
    return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def test_a_request_is_confirmed_and_it_is_told_how_long_that_took(tmp_path):
    async with house(tmp_path, rooms=MIX, profile=PROFILES, calendar="mix") as h:
        await h.heard()
        asked = [device for device in h.devices if device.kind is not CalendarKind.PUSHED]
        for device in asked:
            device.request_booking(
                "Ad hoc", start=device.now() + timedelta(minutes=20), answer=Answer(after_s=1.0)
            )
        for device in asked:
            requested = await h.told("booking.requested", of=device)
            confirmed = await h.told("booking.confirmed", of=device, key=requested["subject"])
            booking = device.agenda()[0]
            data = confirmed["data"]
            assert data["booking_id"] == booking.id
            assert data["meeting_id"] == (booking.meeting_id or None)
            assert (data["starts_at"], data["title"]) == (whole(booking.start), "Ad hoc")
            assert 0.0 <= data["after_s"] < 10.0
            if device.kind is CalendarKind.HYBRID:
                assert data["after_s"] >= 0.9
            assert confirmed["recovered"] is False
            state = await h.retained(device, lambda state: state["next"])
            assert state["next"]["key"] == requested["subject"]


async def test_a_booking_from_elsewhere_is_followed_to_its_deletion(tmp_path):
    async with house(tmp_path, rooms=MIX, profile=PROFILES, calendar="mix") as h:
        await h.heard()
        booked = {
            device: device.book_in_outlook("Weekly", start=device.now() + timedelta(hours=1))
            for device in h.devices
        }
        keys = {}
        for device, booking in booked.items():
            confirmed = await h.told("booking.confirmed", of=device)
            keys[device] = confirmed["subject"]
            assert confirmed["data"]["after_s"] is None
            assert confirmed["data"]["ends_at"] == whole(booking.end)
            assert confirmed["data"]["calendar"] == device.kind or device.kind is CalendarKind.ON_DEVICE
        for device in booked:
            await h.listed(device, "Weekly")  # an event does not say everything, a listing does
        for device, booking in booked.items():
            device.move(booking.id, start=booking.start + timedelta(minutes=15))
        for device, booking in booked.items():
            moved = await h.told("booking.moved", of=device, key=keys[device])
            assert moved["data"]["starts_at"] == whole(booking.start)
            assert moved["data"]["previous"]["starts_at"] == whole(booking.start - timedelta(minutes=15))
        for device, booking in booked.items():
            device.retitle(booking.id, "Fortnightly")
        for device in booked:
            updated = await h.told(
                "booking.updated", of=device, where=lambda data: data["title"] == "Fortnightly"
            )
            assert (updated["data"]["title"], updated["data"]["previous"]["title"]) == (
                "Fortnightly",
                "Weekly",
            )
            assert updated["subject"] == keys[device]
        for device, booking in booked.items():
            device.delete(booking.id, "Deleted")
        for device in booked:
            deleted = await h.told("booking.deleted", of=device, key=keys[device])
            assert deleted["data"]["cause"] == "deleted"
            await h.listed(device)


async def test_a_meeting_starts_and_is_checked_out_or_ends(tmp_path):
    async with house(tmp_path, rooms=4, profile=PROFILES) as h:
        await h.heard()
        for device in h.devices:
            device.book_in_outlook("Over soon", start=device.now() - timedelta(seconds=55), duration_min=1)
        for device in h.devices:
            started = await h.told("booking.started", of=device)
            ended = await h.told("booking.ended", of=device, key=started["subject"])
            assert ended["data"]["phase"] == "ended"
        running = {device: device.book_in_outlook("Left early", duration_min=30) for device in h.devices}
        for device in h.devices:
            await h.retained(
                device, lambda state: state["current"] and state["current"]["title"] == "Left early"
            )
        for device, booking in running.items():
            device.delete(booking.id, "ManualCheckOut")
        for device in h.devices:
            deleted = await h.told("booking.deleted", of=device)
            causes = {"checked_out"} if device.profile in PROFILES[1:] else {"checked_out", "deleted"}
            assert deleted["data"]["cause"] in causes, device.profile


async def test_a_request_fails_with_its_cause_or_expires_when_nobody_answers(tmp_path):
    async with house(tmp_path, rooms=2, profile=("26.4.1", "11.27.2.0"), start=False) as h:
        declined, forgotten = h.devices
        forgotten.configure(("Configuration", "Bookings", "AdhocBooking", "BookingTimeout"), 2)
        await h.start()
        await h.heard()
        declined.request_booking(answer=Answer(outcome="fail", after_s=0.5, cause="Decline"))
        forgotten.request_booking(answer=Answer(outcome="never"))
        failed = await h.told("booking.failed", of=declined)
        assert failed["data"]["cause"] == "declined"
        expired = await h.told("booking.expired", of=forgotten)
        assert expired["data"]["phase"] == "expired"
        for device, over in ((declined, failed), (forgotten, expired)):
            assert h.all_told("booking.requested", of=device)[0]["subject"] == over["subject"]
            await h.listed(device)


async def test_people_come_and_go_and_unknown_is_never_empty(tmp_path):
    async with house(tmp_path, rooms=4, profile=PROFILES) as h:
        await h.heard()
        for device in h.devices:
            device.presence_lag_s = 0.0
            device.count_people(4)
        for device in h.devices:
            await h.counted(device, 4)
            device.start_call()
            await h.told("occupancy.changed", of=device, where=lambda data: data["in_call"])
            device.end_call()
            device.count_people(-1)
            unknown = await h.told(
                "occupancy.changed",
                of=device,
                where=lambda data: data["people"] is None and data["previous"]["people"] is not None,
            )
            assert unknown["data"]["people"] is None
            device.count_people(0)
            empty = await h.retained(device, lambda state: state["occupancy"]["people"] == 0)
            assert empty["occupancy"]["in_use"] is False


async def test_every_event_is_numbered_and_none_is_told_twice(tmp_path):
    async with house(tmp_path, rooms=MIX, profile=PROFILES, calendar="mix") as h:
        await h.heard()
        h.site.flood.start(300.0, modulo=9)
        await h.recorder.until(lambda: len(h.recorder.events) > 500)
        h.site.flood.stop()
        found = await h.delivered()
        assert (found.lost, found.repeated, found.out_of_order) == (0, 0, 0)


async def test_two_rooms_are_not_mixed_up(tmp_path):
    async with house(tmp_path, rooms=2) as h:
        one, other = h.devices
        await h.heard()
        one.book_in_outlook("One", start=one.now() + timedelta(minutes=5))
        other.book_in_outlook("Other", start=one.now() + timedelta(minutes=5))
        await h.listed(one, "One")
        await h.listed(other, "Other")
        first, second = [await h.told("booking.confirmed", of=device) for device in (one, other)]
        assert len(h.all_told("booking.confirmed")) == 2
        assert first["subject"] != second["subject"]
