"""A working day of 1,000 rooms, counted and written hour by hour: what trends cost of a core, and to read."""

import random
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from agent import hours, snapshots, trends
from agent.core import step as core
from agent.core.devices import furnish
from agent.core.events import (
    BookingsListed,
    ClockStruck,
    CurrentValuesRead,
    DeviceConnected,
    ListedBooking,
    PeopleCounted,
    PresenceSensed,
    RoomEvent,
)
from agent.core.facts import ListBookings
from agent.core.model import (
    BookingId,
    Credential,
    Device,
    DeviceId,
    HourTally,
    Meeting,
    MeetingId,
    Policy,
    Room,
    RoomId,
    Trust,
)
from agent.core.tally import SPREAD_S, begin, tally
from agent.core.week import read_hours
from tests.agent import trends_made

ROOMS: Final = 1000
PLAYED: Final = 50  # rooms; the others would be like them
QUICK_PLAYED: Final = 10
DAYS: Final = 400
QUICK_DAYS: Final = 30
A_DAY_S: Final = 86_400.0
AT_MOST: Final = 0.01  # of a core
BEGINS: Final = datetime(2026, 3, 1, 23, tzinfo=UTC)  # midnight in Oslo, of a Monday
EIGHT: Final = BEGINS + timedelta(hours=8)
POLICY: Final = Policy(timezone=ZoneInfo("Europe/Oslo"), working=(read_hours("Mon-Fri 08:00-18:00"),))
HOW: Final = (
    "One device in a room, six bookings a day, and a word of its sensors every minute of ten hours. Counting "
    "is what the core's tally takes of every event and stroke of the clock; writing, what the thread of the "
    "trends takes to keep the hours and to pack a day, in a file that holds 400 days of 1,000 rooms."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """What it took (s of a core, for 1,000 rooms and a day), and what came of it."""

    events: int  # of one room
    core_s: float  # the whole core, tally and all
    counting_s: float
    writing_s: float
    read_s: float  # all of the file
    lines: int
    file_mb: float
    snapshot_bytes: int  # by which a room's row is longer

    @property
    def share(self) -> float:
        """Of a core."""
        return (self.counting_s + self.writing_s) / A_DAY_S


def measure(directory: Path, *, quick: bool, say: Callable[[str], None]) -> Rollup:
    """Play a day, write its hours, and read the file."""
    say("rollups: a day of rooms")
    played = QUICK_PLAYED if quick else PLAYED
    events, core_s, counting_s, told, longer = _played(played)
    with tempfile.TemporaryDirectory(prefix="rollups-", dir=directory) as name:
        where, days = Path(name), QUICK_DAYS if quick else DAYS
        say(f"rollups: {days} days of {ROOMS} rooms are made")
        rooms = trends_made.make(where, rooms=ROOMS, days=days, first=(BEGINS - timedelta(days=days)).date())
        say("rollups: hours are written")
        writing_s = _written(where, rooms, told)
        say("rollups: all is read")
        began = time.process_time()
        found = hours.read(
            where, since=(BEGINS - timedelta(days=days)).date(), until=BEGINS.date() + timedelta(days=8)
        )
        read_s = time.process_time() - began
        size = (where / trends.FILE).stat().st_size
    return Rollup(
        events=events,
        core_s=core_s * ROOMS / played,
        counting_s=counting_s * ROOMS / played,
        writing_s=writing_s,
        read_s=read_s,
        lines=len(found.room),
        file_mb=size / 1e6,
        snapshot_bytes=longer,
    )


def text(rollup: Rollup) -> str:
    """For a person."""
    verdict = "within" if rollup.share <= AT_MOST else "OVER"
    return (
        f"Trends of {ROOMS} rooms, a working day of {rollup.events} events each: counting "
        f"{rollup.counting_s:.1f} s, writing {rollup.writing_s:.1f} s: {rollup.share:.3%} of a core "
        f"({verdict} {AT_MOST:.0%}; all of the core takes {rollup.core_s:.0f} s of the day). The file of "
        f"{rollup.file_mb:.0f} MB is read in {rollup.read_s:.2f} s of a core: {rollup.lines:,} hours with "
        f"something in them. A room's snapshot is {rollup.snapshot_bytes} bytes longer."
    )


def plain(rollup: Rollup) -> Mapping[str, Any]:
    """For a machine."""
    return {**asdict(rollup), "share": rollup.share, "at_most": AT_MOST}


# ── a day ─────────────────────────────────────────────────────────────────────────────────────────


def _played(rooms: int) -> tuple[int, float, float, list[HourTally], int]:
    """Events of a room, seconds of the core and of its tally, the hours, and bytes of a snapshot."""
    spent = [0.0]

    def timed(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401
        began = time.thread_time()
        taken = tally(*arguments, **more)
        spent[0] += time.thread_time() - began
        return taken

    vars(core)["tally"] = timed
    told: list[HourTally] = []
    events, began = 0, time.process_time()
    try:
        for number in range(rooms):
            events, room = _day(RoomId(f"room-{number:04}"), random.Random(number), told)
    finally:
        vars(core)["tally"] = tally
    core_s = time.process_time() - began
    whole = snapshots.body_of(room)
    bare = snapshots.body_of(replace(room, tally=None))
    return events, core_s, spent[0], told, len(whole) - len(bare)


def _day(name: RoomId, luck: random.Random, told: list[HourTally]) -> tuple[int, Room]:
    device = Device(
        id=DeviceId(f"{name}-bar"),
        room=name,
        host="127.0.0.1",
        port=443,
        credential=Credential(username="roomd", password_file=Path("password")),
        trust=Trust(),
    )
    room = begin(furnish(None, name, (device,), now=BEGINS), now=BEGINS, policy=POLICY)
    happen = deque(_events(device.id, luck))
    bookings = _booked(luck)
    count = 0
    while happen:
        due = core.next_deadline(room, POLICY)
        strikes = due is not None and due <= happen[0][0]
        at, event = (max(due, BEGINS), ClockStruck()) if due and strikes else happen.popleft()
        taken = core.step(room, event, now=at, policy=POLICY)
        room, count = taken.room, count + 1
        told += taken.hours
        if any(isinstance(request, ListBookings) for request in taken.requests):
            covers_until = BEGINS + timedelta(days=2)
            listed = BookingsListed(
                device=device.id, bookings=bookings, asked_at=at, covers_until=covers_until
            )
            happen.appendleft((at, listed))
    return count, room


def _booked(luck: random.Random) -> tuple[ListedBooking, ...]:
    begins = [EIGHT + timedelta(minutes=100 * number) for number in range(6)]
    return tuple(
        ListedBooking(
            booking_id=BookingId(str(number)),
            meeting_id=MeetingId(f"m{number}"),
            starts_at=starts_at,
            ends_at=starts_at + timedelta(minutes=luck.choice([30, 60, 90])),
            meeting=Meeting(),
            from_webex=False,
        )
        for number, starts_at in enumerate(begins)
    )


def _events(device: DeviceId, luck: random.Random) -> Iterator[tuple[datetime, RoomEvent]]:
    yield (
        BEGINS,
        DeviceConnected(
            device=device,
            product="Cisco Room Bar",
            serial="FOC1",
            firmware="ce11.27.2.0",
            transport="websocket",
            uptime_s=86_400,
            answers_requests=True,
            booking_timeout_s=60,
        ),
    )
    empty = CurrentValuesRead(device=device, people=0, presence=False, in_use=False, calls=0, sharing=False)
    yield BEGINS, empty
    for minute in range(600):
        at = EIGHT + timedelta(minutes=minute, seconds=luck.random() * 50)
        if luck.random() < 0.1:
            yield at, PresenceSensed(device=device, presence=luck.random() < 0.6)
        else:
            yield at, PeopleCounted(device=device, people=luck.choice([0, 0, 2, 3, 4]))
    yield BEGINS + timedelta(hours=24, seconds=SPREAD_S), empty


# ── its hours ─────────────────────────────────────────────────────────────────────────────────────


def _written(directory: Path, rooms: Sequence[RoomId], told: Sequence[HourTally]) -> float:
    """Seconds of a core for a day of all rooms, as the daemon writes them: each hour, some at a time."""
    days, spent = 4, 0.0  # the first three fill what stays loose
    of_each = {
        hour.starts_at: [other for other in told if other.starts_at == hour.starts_at] for hour in told
    }
    for day in range(days):
        for starts_at, sample in sorted(of_each.items()):
            for batch in range(SPREAD_S):
                tallies = [
                    replace(
                        sample[number % len(sample)],
                        room=room,
                        starts_at=starts_at + timedelta(days=day),
                        day=sample[0].day + timedelta(days=day),
                    )
                    for number, room in enumerate(rooms[batch::SPREAD_S])
                ]
                began = time.process_time()
                with closing(trends.open_to_write(directory)) as file, trends.writing(file) as tx:
                    trends.save(tx, tallies)
                    trends.tidy(tx, today=tallies[-1].day)
                if day == days - 1:
                    spent += time.process_time() - began
    return spent


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as here:
        quick = "--quick" in sys.argv
        print(text(measure(Path(here), quick=quick, say=lambda what: print(what, file=sys.stderr))))
