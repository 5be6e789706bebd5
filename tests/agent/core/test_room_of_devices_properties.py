"""Several devices in any interleaving: one agenda, nothing twice, nothing gone that one still has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.agenda import agenda
from agent.core.devices import furnish
from agent.core.events import (
    BookingCreated,
    BookingDeleted,
    BookingMoved,
    BookingsListed,
    BookingsTouched,
    ClockStruck,
    DeviceConnected,
    DeviceLost,
    ListedBooking,
    RoomEvent,
)
from agent.core.facts import BookingFact, FactKind
from agent.core.model import (
    Booking,
    BookingId,
    BookingKey,
    DeviceId,
    Meeting,
    MeetingId,
    Policy,
    Room,
    RoomId,
)
from agent.core.step import next_deadline, step
from tests.agent.core.story import CODEC, DAY, device

PANEL, BOARD = DeviceId("fjord-panel"), DeviceId("fjord-board")
ALL = (CODEC, PANEL, BOARD)
POLICY = Policy()
SEVEN = DAY + timedelta(hours=7)
SLOT = timedelta(minutes=30)

# A hybrid calendar names meetings at once, or late: until then there is only each device's own `webex-N`.
# A pushed one never does, and each device has its own opaque ids.
Kind = Literal["hybrid", "late", "pushed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the room's calendar holds. No two are at the same time."""

    number: int
    slot: int
    title: str
    named: bool
    changed: bool = False  # moved or retitled

    @property
    def starts_at(self) -> datetime:
        return SEVEN + timedelta(hours=8) + self.slot * SLOT

    @property
    def meeting_id(self) -> MeetingId | None:
        return MeetingId(f"meeting-{self.number}") if self.named else None


@dataclass(slots=True)
class Box:
    """A device: what of the calendar has reached it, under which numbers; whether it is heard."""

    id: DeviceId
    kind: Kind
    booted_at: datetime = DAY
    connected: bool = False
    holds: dict[int, Entry] = field(default_factory=dict)
    numbers: dict[int, BookingId] = field(default_factory=dict)
    told: list[RoomEvent] = field(default_factory=list)  # said, and not heard yet

    def number(self, entry: Entry) -> BookingId:
        name = f"{self.id}-{entry.number}" if self.kind == "pushed" else f"webex-{len(self.numbers) + 1}"
        return self.numbers.setdefault(entry.number, BookingId(name))

    def take(self, entry: Entry) -> None:
        """Hears from the calendar that there is such an entry, or that it changed."""
        before = self.holds.get(entry.number)
        self.holds[entry.number] = entry
        number, ends_at = self.number(entry), entry.starts_at + SLOT
        self.told.append(BookingsTouched(device=self.id))
        if before is None and self.kind != "pushed":
            self.told.append(
                BookingCreated(
                    device=self.id,
                    booking_id=number,
                    meeting_id=entry.meeting_id,
                    starts_at=entry.starts_at,
                    ends_at=ends_at,
                    title=entry.title,
                )
            )
        elif before is not None and before.slot != entry.slot and self.kind != "pushed":
            self.told.append(
                BookingMoved(
                    device=self.id,
                    booking_id=number,
                    meeting_id=entry.meeting_id,
                    starts_at=entry.starts_at,
                    ends_at=ends_at,
                )
            )

    def drop(self, number: int) -> None:
        entry = self.holds.pop(number, None)
        if entry is not None:
            deleted = BookingDeleted(
                device=self.id,
                booking_id=self.number(entry),
                meeting_id=entry.meeting_id,
                cause="deleted",
            )
            self.told += [BookingsTouched(device=self.id)] if self.kind == "pushed" else [deleted]

    def reboot(self, now: datetime) -> None:
        """Numbers its bookings anew; a pushed calendar keeps its ids."""
        if self.kind != "pushed":
            self.numbers = dict(zip(self.numbers, reversed(self.numbers.values()), strict=True))
        self.booted_at = now
        self.connected = False
        self.told.clear()

    def listing(self, now: datetime, *, shorter_by: int = 0) -> BookingsListed:
        held = sorted(self.holds.values(), key=lambda entry: entry.slot)
        return BookingsListed(
            device=self.id,
            bookings=tuple(
                ListedBooking(
                    booking_id=self.number(entry),
                    meeting_id=entry.meeting_id,
                    starts_at=entry.starts_at,
                    ends_at=entry.starts_at + SLOT,
                    meeting=Meeting(title=entry.title),
                    from_webex=self.kind != "pushed",
                )
                for entry in held[: len(held) - shorter_by]
            ),
            asked_at=now,
            covers_until=DAY + timedelta(days=2),
        )


# ── what happens ──

Happening = tuple[str, int, int]  # what, to which entry, on which device (modulo what there is)

WHAT = (
    "book",
    "book",
    "reach",  # the calendar reaches a device
    "reach",
    "name",  # the backend names a meeting
    "move",
    "delete",
    "retitle",
    "hear",  # a word of a device arrives
    "hear",
    "hear twice",
    "lose",  # a word of a device is lost
    "list",
    "list short",  # a list that leaves out the end of the day
    "cut",
    "back",
    "reboot",
    "wait",
)
happenings = st.lists(
    st.tuples(st.sampled_from(WHAT), st.integers(0, 7), st.integers(0, 2)), min_size=6, max_size=40
)


@dataclass(slots=True)
class House:
    """A calendar, its devices, the agent's room, and a cloud that believes facts alone."""

    kind: Kind
    boxes: list[Box]
    now: datetime = SEVEN
    calendar: dict[int, Entry] = field(default_factory=dict)
    made: int = 0
    room: Room = field(init=False)
    cloud: dict[BookingKey, Booking] = field(default_factory=dict)

    def __post_init__(self) -> None:
        configured = tuple(device(box.id) for box in self.boxes)
        self.room = furnish(None, RoomId("fjord"), configured, now=self.now)
        for box in self.boxes:
            self.connect(box)

    def live_through(self, happened: Sequence[Happening]) -> House:
        for what, which, on in happened:
            self.happen(what, which, self.boxes[on % len(self.boxes)])
            self.check_that_nothing_is_twice()
        return self

    def happen(self, what: str, which: int, box: Box) -> None:
        self.pass_time(timedelta(seconds=1))
        entry = (
            self.calendar.get(sorted(self.calendar)[which % len(self.calendar)]) if self.calendar else None
        )
        match what:
            case "book":
                self.book(which)
            case "wait":
                self.pass_time(timedelta(seconds=100 * which))
            case "hear" if box.told:
                self.hear(box.told.pop(0), box)
            case "hear twice" if box.told:
                self.hear(box.told[0], box)
                self.hear(box.told.pop(0), box)
            case "lose" if box.told:
                box.told.pop(0)
            case "list" if box.connected:
                self.hear(box.listing(self.now), box)
            case "list short" if box.connected and not self.holds_alone(box):
                self.hear(box.listing(self.now, shorter_by=min(which, len(box.holds))), box)
            case "cut" if box.connected:
                self.cut(box)
            case "back" if not box.connected:
                self.connect(box)
            case "reboot":
                self.cut(box)
                box.reboot(self.now)
            case _ if entry is not None:
                self.change(what, entry, box)
            case _:
                pass

    def book(self, slot: int) -> None:
        if slot in {entry.slot for entry in self.calendar.values()}:
            return
        self.made += 1
        named = self.kind == "hybrid"
        self.calendar[self.made] = Entry(
            number=self.made, slot=slot, title=f"Meeting {self.made}", named=named
        )

    def change(self, what: str, entry: Entry, box: Box) -> None:
        match what:
            case "reach":
                if box.holds.get(entry.number) != entry:
                    box.take(entry)
                for gone in box.holds.keys() - self.calendar.keys():
                    box.drop(gone)
            case "name" if self.kind == "late":
                self.calendar[entry.number] = replace(entry, named=True)
            case "retitle":
                self.calendar[entry.number] = replace(entry, title=f"{entry.title}!", changed=True)
            case "move":
                free = set(range(8)) - {each.slot for each in self.calendar.values()}
                if free:
                    self.calendar[entry.number] = replace(entry, slot=min(free), changed=True)
            case "delete":
                del self.calendar[entry.number]
            case _:
                pass

    # ── devices ──

    def holds_alone(self, box: Box) -> bool:
        """Whether no other device is heard: then there is nobody to know better than a list too short."""
        return not any(other.connected for other in self.boxes if other is not box)

    def connect(self, box: Box) -> None:
        box.connected = True
        connected = DeviceConnected(
            device=box.id,
            product="Room Bar",
            serial="FOC1",
            firmware="ce11.27.2.0",
            transport="websocket",
            uptime_s=int((self.now - box.booted_at).total_seconds()),
            answers_requests=True,
        )
        self.hear(connected, box)
        self.hear(box.listing(self.now), box)

    def cut(self, box: Box) -> None:
        if box.connected:
            self.hear(DeviceLost(device=box.id, why="no route to host"), box)
        box.connected = False
        box.told.clear()

    def pass_time(self, span: timedelta) -> None:
        until = self.now + span
        for _ in range(500):
            due = next_deadline(self.room, POLICY)
            if due is None or due > until:
                break
            self.now = max(self.now, due)
            self.hear(ClockStruck())
        else:
            raise AssertionError("the clock storms")
        self.now = until

    def hear(self, event: RoomEvent, box: Box | None = None) -> None:
        if box is not None and not box.connected:
            return
        before = self.room
        taken = step(self.room, event, now=self.now, policy=POLICY)
        self.room = taken.room
        for fact in taken.facts:
            if isinstance(fact, BookingFact):
                self.cloud[fact.booking.key] = fact.booking
                gone = fact.kind is FactKind.BOOKING_DELETED and fact.cause != "duplicate"
                if gone and isinstance(event, BookingsListed):
                    self.check_that_nobody_has(before.bookings[fact.booking.key], event.device)
        for request in taken.requests:
            asked = next(each for each in self.boxes if each.id == request.device)
            if asked.connected:
                self.hear(asked.listing(self.now), asked)

    # ── in the end ──

    def come_to_rest(self) -> House:
        """Everything reaches everybody; every word arrives; everybody is listed."""
        for number, entry in self.calendar.items():
            if self.kind == "late":
                self.calendar[number] = replace(entry, named=True)
        for box in self.boxes:
            for number in box.holds.keys() - self.calendar.keys():
                box.drop(number)
            for entry in self.calendar.values():
                if box.holds.get(entry.number) != entry:
                    box.take(entry)
            if not box.connected:
                self.connect(box)
        for box in self.boxes:
            while box.told:
                self.hear(box.told.pop(0), box)
        self.pass_time(timedelta(minutes=13))
        return self

    # ── what must be so ──

    def check_that_nothing_is_twice(self) -> None:
        """One entry is one booking, however many devices tell of it.

        Of what has changed and has no name yet, two devices may tell two things: nobody can know that they
        mean one.
        """
        known = [b.meeting.title for b in self.room.bookings.values() if b.live and b.meeting.title]
        for entry in self.calendar.values():
            if self.kind == "hybrid" or not entry.changed:
                assert sum(title.rstrip("!") == entry.title.rstrip("!") for title in known) <= 1, entry

    def check_that_nobody_has(self, booking: Booking, lister: DeviceId) -> None:
        """That a device lists something no more does not delete what another one holds that is heard."""
        for box in self.boxes:
            if box.connected and box.id in booking.booking_ids.keys() - {lister}:
                titles = {entry.title.rstrip("!") for entry in box.holds.values()}
                assert (booking.meeting.title or "").rstrip("!") not in titles

    def check_that_all_agree(self) -> None:
        truth = sorted((e.starts_at, e.meeting_id or "", e.title) for e in self.calendar.values())
        known = agenda(self.room, now=self.now).bookings
        assert sorted((b.starts_at, b.meeting_id or "", b.meeting.title or "") for b in known) == truth
        told = [b for b in self.cloud.values() if b.live and b.ends_at > self.now]
        assert sorted((b.starts_at, b.meeting_id or "", b.meeting.title or "") for b in told) == truth
        assert all(set(b.booking_ids) == {box.id for box in self.boxes} for b in known)


KINDS: st.SearchStrategy[Kind] = st.sampled_from(["hybrid", "late", "pushed"])
OFTEN = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def house(kind: Kind, count: int) -> House:
    return House(kind, [Box(id=name, kind=kind) for name in ALL[:count]])


@OFTEN
@given(kind=KINDS, count=st.integers(2, 3), happened=happenings)
def test_in_the_end_the_agenda_is_the_devices(kind, count, happened):
    house(kind, count).live_through(happened).come_to_rest().check_that_all_agree()


@OFTEN
@given(kind=KINDS, happened=happenings)
def test_a_listing_heard_again_is_no_news(kind, happened):
    at_rest = house(kind, 2).live_through(happened).come_to_rest()
    before = dict(at_rest.cloud)
    for box in (*at_rest.boxes, *at_rest.boxes):
        at_rest.hear(box.listing(at_rest.now), box)
    assert at_rest.cloud == before


@OFTEN
@given(happened=happenings, lost=st.integers(0, 2))
def test_with_one_device_away_the_room_is_not_blind(happened, lost):
    """What the calendar brings to the devices that are left is known, and nothing else is gone."""
    room = house("hybrid", 3).live_through(happened).come_to_rest()
    room.cut(room.boxes[lost])
    left = [box for box in room.boxes if box.connected]
    for slot in range(8):
        room.book(slot)
    for entry in room.calendar.values():
        for box in left:
            box.take(entry)
    for box in left:
        room.hear(box.listing(room.now), box)
    known = agenda(room.room, now=room.now).bookings
    assert sorted(b.meeting_id or "" for b in known) == sorted(
        e.meeting_id or "" for e in room.calendar.values()
    )
