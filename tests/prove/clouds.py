"""A site's calendars at Microsoft and Google: changed while roomd reads them, behind lines that break."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import trustme

from tests.brokers import BadLine
from tests.clouds.google import Google, write_time
from tests.clouds.microsoft import READ_WRITE, Microsoft365
from tests.clouds.serving import Serving
from tests.installation import google_table, microsoft_table, pushes_table
from tests.prove.recorder import Event
from tests.simulator.bookings import Booking, CalendarKind
from tests.simulator.device import Device

LASTING: Final = "Open house"  # stands in every room from the beginning to the end
WORDS: Final = ("Weekly", "Design review", "Møte 会議 🎉", "Budget {2027}", "<b>AT&amp;T</b>", "** end", "5")
STANDING_AT_MOST: Final = 8  # in a room, beside what lasts
FOLLOWS_WITHIN_S: Final = 1.5  # a device, what its calendar has
SOON: Final = timedelta(minutes=2)
APPLICATION: Final = "6f1c9a02-7d0b-4c1e-9b53-0c7f1c1f5a11"
SECRET: Final = "s3cret"  # the stand-in's own

Json = Mapping[str, Any]
Slot = tuple[str, str, str]  # start, end, title


class Service(StrEnum):
    """Whose calendars they are."""

    MICROSOFT = "microsoft"
    GOOGLE = "google"


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """How many rooms of a site have calendars: with a device each, and without any."""

    microsoft: int = 0
    google: int = 0
    bare: int = 0  # at one and the other in turn
    by_name: bool = True  # every third is found by its name, and stands with no address in the configuration
    follow: bool = True  # devices on Hybrid Calendar list what the calendar has, a moment later
    pushes: bool = False
    writes: bool = False  # at Microsoft

    @property
    def devices(self) -> int:
        return self.microsoft + self.google


@dataclass(slots=True, kw_only=True)
class Room:
    """A room with a calendar."""

    id: str
    name: str
    service: Service
    address: str
    device: Device | None
    by_hand: bool
    slots: dict[str, str] = field(default_factory=dict)  # title: what the cloud calls it; those that stand
    gone: set[str] = field(default_factory=set)  # titles that somebody has deleted


class Clouds:
    """What people do in Outlook and Google Calendar, and what these would show to anybody."""

    def __init__(self, *, luck: random.Random, linked: Linked, door_port: int) -> None:
        self.authority: Final = trustme.CA()
        receiver = ssl.create_default_context(cadata=self.authority.cert_pem.bytes().decode())
        self.microsoft: Final = Microsoft365(client_id=APPLICATION)
        self.microsoft.receiver = receiver
        if linked.writes:
            self.microsoft.roles = set(READ_WRITE)
        self.google: Final = Google(hook_context=receiver)
        self.servings: Final = {
            Service.MICROSOFT: Serving(self.microsoft.answer, authority=self.authority),
            Service.GOOGLE: Serving(self.google.answer, authority=self.authority),
        }
        self.lines: Final[dict[Service, BadLine]] = {}
        self.rooms: Final[list[Room]] = []
        self.linked: Final = linked
        self.door_port: Final = door_port  # where roomd hears what the clouds tell
        self.emptied: Final[list[str]] = []  # what a state did not show that stands all the time
        self._luck: Final = luck
        self._seen: Final[set[str]] = set()
        self._titles = 0
        self._deaf = self._twice = self._late = 0.0

    def link(self, devices: Sequence[Device]) -> None:
        """Gives calendars to these rooms, and to some without a device."""
        services = [Service.MICROSOFT] * self.linked.microsoft + [Service.GOOGLE] * self.linked.google
        for number, (device, service) in enumerate(zip(devices, services, strict=True)):
            self._add(device.room, device.name, service, device, by_hand=number % 3 != 2)
        for number in range(self.linked.bare):
            service = Service.GOOGLE if number % 2 else Service.MICROSOFT
            self._add(f"bare-{number + 1}", f"Bare {number + 1}", service, None, by_hand=number % 3 != 2)
        for room in self.rooms:
            self.book(room, self.in_(-1800), minutes=12 * 60, title=f"{LASTING} {room.id}")
            for _ in range(self._luck.randint(1, 3)):
                self.book(room, self._later(), minutes=self._luck.choice((15, 30, 60)))

    def _add(self, id_: str, name: str, service: Service, device: Device | None, *, by_hand: bool) -> None:
        if service is Service.MICROSOFT:
            address = self.microsoft.add_room(f"{id_}@contoso.example", name).address
        else:
            address = self.google.add_room(name).address
        by_hand = by_hand or not self.linked.by_name
        self.rooms.append(
            Room(id=id_, name=name, service=service, address=address, device=device, by_hand=by_hand)
        )

    # ── what people do

    def book(self, room: Room, starts_at: datetime, *, minutes: int, title: str = "") -> str:
        """Somebody books the room at a desk; the title, which nothing else ever has."""
        title = title or self.title()
        ends_at = starts_at + timedelta(minutes=minutes)
        if room.service is Service.MICROSOFT:
            room.slots[title] = self.microsoft.add(room.address, title, starts_at, ends_at)
        else:
            event = {"summary": title, "start": _google(starts_at), "end": _google(ends_at)}
            id_ = f"ev{len(self.google.calendars[room.address].events):06}"
            room.slots[title] = id_
            self.google.calendars[room.address].put({"id": id_, **event})
        return title

    def title(self) -> str:
        """One that nothing else has."""
        self._titles += 1
        return f"{self._luck.choice(WORDS)} #{self._titles}"

    def in_(self, seconds: float) -> datetime:
        """A moment so many seconds from now, a whole second."""
        return _whole(datetime.now(UTC)) + timedelta(seconds=seconds)

    def move(self, room: Room, title: str, starts_at: datetime, *, minutes: int) -> None:
        ends_at, key = starts_at + timedelta(minutes=minutes), room.slots[title]
        if room.service is Service.MICROSOFT:
            self.microsoft.change(room.address, key, starts=starts_at, ends=ends_at)
        else:
            calendar = self.google.calendars[room.address]
            moved = {"start": _google(starts_at), "end": _google(ends_at)}
            calendar.put({**calendar.events[key], **moved})

    def delete(self, room: Room, title: str) -> None:
        key = room.slots.pop(title)
        room.gone.add(title)
        if room.service is Service.MICROSOFT:
            del self.microsoft.rooms[room.address].entries[key]
        else:
            self.google.calendars[room.address].delete(key)

    async def live(self, rate: float) -> None:
        """So many deeds a second, for ever."""
        while True:
            await asyncio.sleep(self._luck.expovariate(rate))
            room = self._luck.choice(self.rooms)
            await self.tell(room, self._deed(room))

    def _deed(self, room: Room) -> str:
        titles = [title for title in room.slots if not title.startswith(LASTING)]
        wanted = self._luck.choice(("book", "book", "move", "move", "delete"))
        if not titles or (wanted == "book" and len(titles) < STANDING_AT_MOST):
            self.book(room, self._later(), minutes=self._luck.choice((1, 2, 15, 30, 45)))
            return "created"
        title = self._luck.choice(titles)
        if wanted == "delete" or len(titles) >= STANDING_AT_MOST:
            self.delete(room, title)
            return "deleted"
        self.move(room, title, self._later(), minutes=self._luck.choice((15, 30, 60)))
        return "updated"

    def _later(self) -> datetime:
        """Some begin while one watches."""
        seconds = self._luck.choice((20, 45, 90, 600, 3600, 2 * 3600, 5 * 3600))
        return self.in_(seconds + self._luck.randint(0, 50))

    # ── what is told of it

    def faults(self, *, deaf: float = 0.0, twice: float = 0.0, late: float = 0.0) -> None:
        """How likely it is that a notification is lost, comes several times, or some seconds later."""
        self._deaf, self._twice, self._late = deaf, twice, late
        self.google.faults.deaf = bool(deaf)

    async def tell(self, room: Room, change: str) -> None:
        """What Microsoft does after a change; Google does it by itself."""
        if room.service is not Service.MICROSOFT or not self.linked.pushes:
            return
        if self._luck.random() < self._deaf:
            return
        if self._luck.random() < self._late:
            await asyncio.sleep(self._luck.uniform(0.1, 3.0))
        times = self._luck.choice((2, 5, 40)) if self._luck.random() < self._twice else 1
        with contextlib.suppress(OSError, TimeoutError):  # nobody is there
            await self.microsoft.notify(room.address, change=change, times=times)

    async def pass_on(self) -> None:
        """Google tells whoever watches, for ever."""
        async with self.google.running():
            await asyncio.Event().wait()

    async def touch_all(self) -> None:
        """Somebody changes something in every room, and that is told as it should be."""
        for room in self.rooms:
            self.book(room, self._later(), minutes=15)
            await self.tell(room, "created")

    async def forget_subscription(self, *, say_so: bool) -> None:
        """Microsoft forgets one, and says so or not."""
        if not self.microsoft.subscriptions:
            return
        id_ = self._luck.choice(list(self.microsoft.subscriptions))
        address = self.microsoft.subscriptions[id_].address
        if say_so:
            with contextlib.suppress(OSError, TimeoutError):
                await self.microsoft.tell_lifecycle(address, "subscriptionRemoved")
        else:
            del self.microsoft.subscriptions[id_]

    def unwatched(self) -> list[str]:
        """Rooms of which nobody wants to be told."""
        watched = {each.address for each in self.microsoft.subscriptions.values()}
        watched |= {each.calendar for each in self.google.channels.values()}
        return [room.id for room in self.rooms if room.address not in watched]

    def watched_twice(self, service: Service) -> list[str]:
        """Rooms of which more than one is told."""
        watches = Counter(each.address for each in self.microsoft.subscriptions.values())
        if service is Service.GOOGLE:
            watches = Counter(each.calendar for each in self.google.channels.values())
        return [
            f"{room.id}: is watched {watches[room.address]} times"
            for room in self.rooms
            if watches[room.address] > 1
        ]

    # ── what devices list of it

    async def follow(self) -> None:
        """Devices on Hybrid Calendar come to know what their calendar has, for ever."""
        while True:
            await asyncio.sleep(self._luck.uniform(0.2, FOLLOWS_WITHIN_S))
            self.follow_now()

    def follow_now(self) -> None:
        """Every device that follows its calendar has it as it is."""
        for room in self.rooms:
            if room.device is not None and room.device.kind is CalendarKind.HYBRID and not room.device.down:
                _follow(room.device, self.slots_of(room))

    # ── what is so

    def truth(self) -> dict[str, list[Slot]]:
        """Room: what its calendar has, whoever put it there."""
        return {room.id: self.slots_of(room) for room in self.rooms}

    def slots_of(self, room: Room) -> list[Slot]:
        """Start, end and title of all that stands in a room's calendar."""
        if room.service is Service.MICROSOFT:
            entries = self.microsoft.rooms[room.address].entries.values()
            found = [(*entry.span(), str(entry.fields["subject"])) for entry in entries]
        else:
            calendar = self.google.calendars[room.address]
            found = [
                (*calendar.span(event), str(event["summary"]))
                for event in calendar.events.values()
                if event["status"] != "cancelled"
            ]
        return [(_stamp(starts_at), _stamp(ends_at), title) for starts_at, ends_at, title in found]

    def unbelieved(self, states: Mapping[str, Json]) -> list[str]:
        """Rooms in which another's word counts than their calendar's."""
        return [
            f"{room.id}: believes {states[room.id]['calendar']['believed']}, and not {room.service}"
            for room in self.rooms
            if room.id in states and states[room.id]["calendar"]["believed"] != room.service
        ]

    def watch(self, state: Json) -> None:
        """Every state that is retained: what lasts is never missing once it was there."""
        lasting = f"{LASTING} {state['room']}"
        if any(entry["title"] == lasting for entry in state["agenda"]):
            self._seen.add(state["room"])
        elif state["room"] in self._seen:
            self.emptied.append(
                f"{state['room']}: a state shows {len(state['agenda'])} bookings, not what lasts"
            )

    def begin_anew(self) -> None:
        """All that was known is lost: until a calendar is read, the word of the room's device counts."""
        self._seen.clear()

    def misunderstood(self) -> list[str]:
        """What was asked that the clouds do not understand."""
        return [f"Microsoft was asked: {problem}" for problem in self.microsoft.problems]

    # ── how roomd gets there

    def tables(self, directory: Path) -> str:
        """The configuration's tables; writes the files that they name."""
        directory.mkdir(parents=True, exist_ok=True)
        self.authority.cert_pem.write_to_path(directory / "clouds.pem")
        tables: list[str] = []
        services = {room.service for room in self.rooms}
        if Service.MICROSOFT in services:
            tables.append(
                microsoft_table(
                    directory,
                    url=self.url(Service.MICROSOFT),
                    tenant=self.microsoft.tenant,
                    client_id=self.microsoft.client_id,
                    secret=SECRET,
                )
            )
            if self.linked.writes:
                tables.append("writes = true")
        if Service.GOOGLE in services:
            url = self.url(Service.GOOGLE)
            key = self.google.key_file(url)
            tables.append(google_table(directory, url=url, subject=self.google.admin, key=key))
        if self.linked.pushes:
            tables.append(pushes_table(directory, port=self.door_port, authority=self.authority))
        return "\n".join(tables)

    def links(self) -> dict[str, str]:
        """Room: the line of the configuration that gives its address; those found by name have none."""
        return {
            room.id: f'calendar = {{ {room.service} = "{room.address}" }}'
            for room in self.rooms
            if room.by_hand
        }

    def bare(self) -> list[tuple[str, str]]:
        """Id and name of the rooms without a device."""
        return [(room.id, room.name) for room in self.rooms if room.device is None]

    def url(self, service: Service) -> str:
        return f"https://127.0.0.1:{self.lines[service].port}"

    def requests(self, service: Service) -> int:
        """How many were heard since the start."""
        return len(self.servings[service].seen)


@asynccontextmanager
async def clouds(
    *, luck: random.Random, linked: Linked, devices: Sequence[Device], door_port: int
) -> AsyncIterator[Clouds]:
    """The stand-ins, served, each behind a line of its own."""
    there = Clouds(luck=luck, linked=linked, door_port=door_port)
    async with AsyncExitStack() as stack:
        for service, serving in there.servings.items():
            await stack.enter_async_context(serving)
            there.lines[service] = await stack.enter_async_context(BadLine(serving.port))
        there.microsoft.service = _Seen(there.url(Service.MICROSOFT))  # type: ignore[assignment]
        there.link(devices)
        yield there


@dataclass(frozen=True, slots=True)
class _Seen:
    """What links in answers lead to: the line, not the service behind it."""

    url: str


# ── judging ───────────────────────────────────────────────────────────────────────────────────────


def judge(rooms: Iterable[Room], events: Iterable[Event], *, renamed: bool = False) -> list[str]:
    """Every appointment has gone by one key, and none was told as deleted that stands.

    `renamed`: a database was lost, and its keys with it.
    """
    known = {room.id: room for room in rooms}
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    titles: dict[tuple[str, str], set[str]] = defaultdict(set)
    deleted: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)  # id of the event: its cause
    for event in events:
        room = known.get(event.stream.removeprefix("rooms/"))
        if room is None or not event.kind.startswith("booking."):
            continue
        data = event.body["data"]
        title = data["title"]
        if title is None:
            continue  # older firmware says it in listings only
        keys[room.id, title].add(data["key"])
        titles[room.id, data["key"]].add(title)
        if event.kind == "booking.deleted":
            deleted[room.id, title][event.id] = str(data["cause"])
    wrongs: list[str] = []
    for (id_, title), told in deleted.items():
        if title in known[id_].slots:
            wrongs.append(f"{id_}: {title!r} stands, and was told as deleted: {told}")
        elif len(told) > 1:
            wrongs.append(f"{id_}: {title!r} was told as deleted {len(told)} times: {told}")
    for (id_, title), found in keys.items():
        if len(found) > 1 and not renamed:
            wrongs.append(f"{id_}: {title!r} was told under {len(found)} keys: {sorted(found)}")
    for (id_, key), found in titles.items():
        if len(found) > 1:
            wrongs.append(f"{id_}: {key} was told as {sorted(found)}")
    return wrongs


# ── how things are written ────────────────────────────────────────────────────────────────────────


def _follow(device: Device, slots: Sequence[Slot]) -> None:
    listed = {booking.title: booking for booking in device.calendar.bookings}
    for start, end, title in slots:
        starts_at, minutes = datetime.fromisoformat(start), _minutes(start, end)
        booking = listed.pop(title, None)
        if booking is None:
            if datetime.fromisoformat(end) > device.now():
                device.book_in_outlook(title, start=starts_at, duration_min=minutes)
        elif (booking.start, booking.duration_min) != (starts_at, minutes):
            device.move(booking.id, start=starts_at, duration_min=minutes)
    for booking in listed.values():
        if _deletable(booking):
            device.delete(booking.id)


def _deletable(booking: Booking) -> bool:
    return booking.listed and not booking.pending and not booking.ended


def _minutes(start: str, end: str) -> int:
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() / 60)


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _google(at: datetime) -> Json:
    return {"dateTime": write_time(at), "timeZone": "Europe/Oslo"}
