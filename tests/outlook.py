"""People at their desks, for the demonstration: a Microsoft 365 tenant with two rooms that they book."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import trustme

from tests.clouds.microsoft import Microsoft365
from tests.clouds.serving import Serving
from tests.installation import microsoft_table, pushes_table
from tests.simulator.control import Remote

APPLICATION: Final = "6f1c9a02-7d0b-4c1e-9b53-0c7f1c1f5a11"
FIRST_AFTER_S: Final = (
    27.0  # roomd has read each room twice by then, and does so a third time half a minute later
)
EVERY_S: Final = 20.0
DEVICE_HEARS_AFTER_S: Final = 4.0  # of what was booked in Outlook, by way of Webex
SUBJECTS: Final = ("Design review", "Customer call", "Planning", "Interview", "Budget 2027", "Standup")
TEAMS: Final = "https://teams.microsoft.com/l/meetup-join/19%3ameeting_demo%40thread.v2/0?context=%7b%7d"


class Log(Protocol):
    """Where what people did is written down."""

    def append(self, line: str) -> None: ...


class Outlook:
    """A tenant whose calendars roomd reads; `book` and the rest are what a person does in Outlook."""

    def __init__(self, rooms: Mapping[str, str], *, door_port: int) -> None:
        """`rooms`: their names by id; roomd finds them by these names."""
        self._authority: Final = trustme.CA()
        self._tenant: Final = Microsoft365(client_id=APPLICATION)
        self._tenant.receiver = ssl.create_default_context(cadata=self._authority.cert_pem.bytes().decode())
        self._serving: Final = Serving(self._tenant.answer, authority=self._authority)
        self._tenant.service = self._serving
        self._door_port: Final = door_port
        self._addresses: Final = {
            id_: self._tenant.add_room(f"{id_}@contoso.example", name).address for id_, name in rooms.items()
        }

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While this lasts, roomd can read it."""
        async with self._serving:
            yield

    def tables(self, directory: Path) -> str:
        """What roomd's configuration says of it; writes the files that are named there."""
        directory.mkdir(parents=True, exist_ok=True)
        self._authority.cert_pem.write_to_path(directory / "clouds.pem")
        account = microsoft_table(
            directory,
            url=self._serving.url,
            tenant=self._tenant.tenant,
            client_id=self._tenant.client_id,
            secret="s3cret",
        )
        return f"{account}\n{pushes_table(directory, port=self._door_port, authority=self._authority)}"

    async def book(self, room: str, subject: str, starts_at: datetime, *, minutes: int) -> str:
        """Somebody books a room, with a link to join by; what it is called in the calendar."""
        key = self._tenant.add(
            self._addresses[room],
            subject,
            starts_at,
            starts_at + timedelta(minutes=minutes),
            isOnlineMeeting=True,
            onlineMeetingProvider="teamsForBusiness",
            onlineMeeting={"joinUrl": TEAMS},
        )
        await self._tell(room, "created")
        return key

    async def move(self, room: str, key: str, *, by: timedelta) -> None:
        """Somebody drags it to another time."""
        entry = self._tenant.rooms[self._addresses[room]].entries[key]
        starts_at, ends_at = entry.span()
        self._tenant.change(self._addresses[room], key, starts=starts_at + by, ends=ends_at + by)
        await self._tell(room, "updated")

    async def cancel(self, room: str, key: str) -> None:
        """Somebody needs the room no more."""
        del self._tenant.rooms[self._addresses[room]].entries[key]
        await self._tell(room, "deleted")

    async def _tell(self, room: str, change: str) -> None:
        with contextlib.suppress(OSError, TimeoutError):  # roomd does not run yet, or no more
            await self._tenant.notify(self._addresses[room], change=change)


async def first_meetings(outlook: Outlook, site: Remote, *, bare: str, equipped: str) -> None:
    """What stands there before roomd comes; the device knows its room's from Webex."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    await outlook.book(bare, "Reading circle", now + timedelta(minutes=90), minutes=45)
    starts_at = now + timedelta(minutes=35)
    await outlook.book(equipped, "Retrospective", starts_at, minutes=30)
    await _hear_from_webex(site, equipped, "Retrospective", starts_at, minutes=30)


async def a_day_at_desks(outlook: Outlook, site: Remote, *, bare: str, equipped: str, told: Log) -> None:
    """Now and then somebody books one of the two rooms; a device in it comes to know it from Webex, too."""
    luck = random.Random(7)
    await asyncio.sleep(FIRST_AFTER_S)
    while True:
        subject = luck.choice(SUBJECTS)
        starts_at = (datetime.now(UTC) + timedelta(minutes=2)).replace(second=0, microsecond=0)
        key = await outlook.book(bare, subject, starts_at, minutes=3)
        told.append(f"{bare}: somebody booked {subject!r} in Outlook")
        await asyncio.sleep(EVERY_S)
        subject = luck.choice(SUBJECTS)
        starts_at = (datetime.now(UTC) + timedelta(minutes=2)).replace(second=0, microsecond=0)
        await outlook.book(equipped, subject, starts_at, minutes=2)
        told.append(f"{equipped}: somebody booked {subject!r} in Outlook")
        await asyncio.sleep(DEVICE_HEARS_AFTER_S)
        await _hear_from_webex(site, equipped, subject, starts_at, minutes=2)
        await asyncio.sleep(EVERY_S)
        await outlook.move(bare, key, by=timedelta(minutes=15))
        told.append(f"{bare}: somebody moved it in Outlook")
        await asyncio.sleep(EVERY_S)
        await outlook.cancel(bare, key)
        told.append(f"{bare}: somebody cancelled it in Outlook")
        await asyncio.sleep(EVERY_S)


async def _hear_from_webex(site: Remote, room: str, title: str, starts_at: datetime, *, minutes: int) -> None:
    """A device's list follows."""
    start = starts_at.isoformat()
    await site.ask("book_in_outlook", room=room, title=title, start=start, duration_min=minutes)
