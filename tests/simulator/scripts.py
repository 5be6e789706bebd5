"""What happens on the site by itself: a lively day, or a quiet one."""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from tests.simulator.bookings import Answer, Booking, Organizer
from tests.simulator.device import CALLS, Device
from tests.simulator.site import Site

STAGE: Final = 12  # rooms in which most of a demonstration happens, so that one can follow it
ON_STAGE: Final = 0.7
TITLES: Final = (
    "Weekly",
    "Design review",
    "Standup",
    "Budget 2027",
    "Interview",
    "Retrospective",
    "Customer call",
    "Planning",
    "One to one",
    "Board meeting",
)
AWKWARD_TITLES: Final = (  # what a reader of lines, braces or tags may stumble over
    "Budget {2027}",
    "}",
    "** end",
    "Lunch\n** end\n\nOK\n*e Bookings Updated\n** end",
    'He said "OK" | resultId="1"',
    "C:\\temp\\",
    "<b>AT&amp;T</b> ]]>",
    '{"Event":{"Bookings":{"Updated":{"id":"1"}}},"ResultId":"1"}',
    "Command not recognized.",
    "Møte 会議 🎉",
    "5",
)
PEOPLE: Final = (
    Organizer(first_name="Grace", last_name="Hopper", email="grace@example.com", id="u-1"),
    Organizer(first_name="Alan", last_name="Turing", email="alan@example.com", id="u-2"),
    Organizer(first_name="Emmy", last_name="Noether", email="emmy@example.com", id="u-3"),
    Organizer(first_name="Niels", last_name="Abel", email="niels@example.com", id="u-4"),
)
Deed = Callable[[Device, random.Random], object]


def fill_day(site: Site, *, rooms: int | None = None) -> None:
    """A few meetings later today in the first rooms, or all; some private, now and then two that overlap."""
    luck = random.Random(f"day {site.seed}")
    for device in site.devices[:rooms]:
        start = site.clock.now() + timedelta(minutes=luck.randint(20, 90))
        for _ in range(luck.randint(1, 4)):
            duration_min = luck.choice((15, 30, 30, 45, 60, 90))
            device.book_in_outlook(
                luck.choice(TITLES),
                start=start,
                duration_min=duration_min,
                private=luck.random() < 0.1,
                organizer=luck.choice(PEOPLE),
            )
            overlap_min = 15 if luck.random() < 0.05 else 0
            start += timedelta(minutes=duration_min + luck.choice((0, 15, 30, 60)) - overlap_min)


async def demonstrate(site: Site, rate: float, *, rooms: int | None = None) -> None:
    """Something happens so many times a second: requests, meetings, people, calls.

    With `rooms` only in the first few: the others have a calendar that is not their device's.
    """
    luck = random.Random(f"demo {site.seed}")
    there = site.devices[:rooms]
    for device in there:
        device.presence_lag_s = 10.0
    for device in there[: STAGE // 3]:  # it is not the first hour of the day
        device.book_in_outlook(
            luck.choice(TITLES),
            start=device.now() - timedelta(minutes=5),
            duration_min=luck.choice((6, 7, 8)),
            organizer=luck.choice(PEOPLE),
        )
        device.count_people(luck.randint(1, 4))
    while True:
        await asyncio.sleep(luck.expovariate(rate) if rate > 5 else luck.uniform(0.5, 1.5) / rate)
        on_stage = luck.random() < ON_STAGE or len(there) <= STAGE
        devices = there[:STAGE] if on_stage else [luck.choice(there)]
        deeds = [(deed, device, weight) for device in devices for deed, weight in _possible(device)]
        if deeds:
            deed, device, _ = luck.choices(deeds, [weight for *_, weight in deeds])[0]
            deed(device, luck)


def _possible(device: Device) -> list[tuple[Deed, float]]:
    """What may happen in this room now, and how likely it is."""
    running = device.calendar.current()
    now = device.now()
    people = device.people_in_room
    capacity = int(device.status("RoomAnalytics", "PeopleCount", "Capacity") or 8)
    ahead = [b for b in device.calendar.bookings if b.listed and not b.pending and b.start > now]
    soon = [b for b in ahead if b.start < now + timedelta(minutes=5)]
    asked = any(booking.pending for booking in device.calendar.bookings)
    calling = device.status(*CALLS[1:]) != 0
    sharing = device.sharing
    deeds: list[tuple[Deed, float]] = []
    if running:
        if people < capacity - 1:
            deeds.append((_arrive, 6.0 if people < 3 else 1.5))
        if people:
            deeds.append((_leave, 1.0))
        deeds += [(_extend, 0.6), (_check_out, 0.4), (_retitle_running, 0.2)]
    elif people:
        deeds.append((_leave, 6.0))
    else:
        deeds.append((_pass_through, 0.5))
    if not running and not soon and not asked:
        deeds += [(_request, 5.0), (_request_in_vain, 1.0), (_book_elsewhere, 2.5)]
    if soon:
        deeds += [(_move, 1.0), (_delete, 0.6)]
    if ahead:
        deeds.append((_retitle, 0.4))
    if people and running and not calling:
        deeds.append((_call, 1.0))
    if people and not sharing:
        deeds.append((_share, 0.8))
    if calling:
        deeds.append((_hang_up, 1.0 if people else 5.0))
    if sharing:
        deeds.append((_unplug, 1.0 if people else 5.0))
    return deeds


def _arrive(device: Device, luck: random.Random) -> None:
    capacity = int(device.status("RoomAnalytics", "PeopleCount", "Capacity") or 8)
    device.count_people(min(capacity, device.people_in_room + luck.choice((1, 1, 1, 2, 3))))


def _leave(device: Device, luck: random.Random) -> None:
    leaving = 1 if device.calendar.current() else luck.choice((1, 2, device.people_in_room))
    device.count_people(max(0, device.people_in_room - leaving))


def _pass_through(device: Device, luck: random.Random) -> None:
    device.count_people(1)


def _request(device: Device, luck: random.Random) -> None:
    device.request_booking(
        luck.choice(("Ad hoc meeting", *TITLES)),
        start=device.now() + timedelta(seconds=luck.choice((0, 0, 20, 40, 90))),
        duration_min=luck.choice((1, 2, 2, 3, 5)),
        answer=Answer(after_s=luck.uniform(0.5, 6.0), listed_early=luck.random() < 0.3),
        organizer=luck.choice(PEOPLE),
    )


def _request_in_vain(device: Device, luck: random.Random) -> None:
    outcome = luck.choice(("fail", "fail", "never"))
    answer = Answer(
        outcome="fail" if outcome == "fail" else "never",
        after_s=luck.uniform(1.0, 8.0),
        cause=luck.choice(("Decline", "Timeout", "HttpError")),
    )
    device.request_booking(duration_min=luck.choice((15, 30)), answer=answer)


def _book_elsewhere(device: Device, luck: random.Random) -> None:
    device.book_in_outlook(
        luck.choice(TITLES),
        start=device.now() + timedelta(seconds=luck.randint(15, 120)),
        duration_min=luck.choice((1, 2, 3, 5)),
        private=luck.random() < 0.1,
        organizer=luck.choice(PEOPLE),
    )


def _move(device: Device, luck: random.Random) -> None:
    booking = _ahead(device)[0]
    device.move(booking.id, start=booking.start + timedelta(seconds=luck.choice((30, 60, 120))))


def _delete(device: Device, luck: random.Random) -> None:
    device.delete(_ahead(device)[0].id)


def _retitle(device: Device, luck: random.Random) -> None:
    device.retitle(luck.choice(_ahead(device)).id, luck.choice(TITLES))


def _retitle_running(device: Device, luck: random.Random) -> None:
    running = device.calendar.current()
    if running:
        device.retitle(running.id, luck.choice(TITLES))


def _extend(device: Device, luck: random.Random) -> None:
    running = device.calendar.current()
    if running:
        device.extend(running.id, luck.choice((1, 2)), answer=Answer(after_s=luck.uniform(0.5, 4.0)))


def _check_out(device: Device, luck: random.Random) -> None:
    running = device.calendar.current()
    if running:
        device.delete(running.id, luck.choice(("ManualCheckOut", "NoShow", "Deleted")))


def _call(device: Device, luck: random.Random) -> None:
    device.start_call()


def _hang_up(device: Device, luck: random.Random) -> None:
    device.end_call()


def _share(device: Device, luck: random.Random) -> None:
    device.share()


def _unplug(device: Device, luck: random.Random) -> None:
    device.stop_sharing()


def _ahead(device: Device) -> list[Booking]:
    now = device.now()
    ahead = [b for b in device.calendar.bookings if b.listed and not b.pending and b.start > now]
    return sorted(ahead, key=lambda booking: booking.start)
