"""Whatever is lost, doubled, late or mixed up on the way: after a listing the agenda is the device's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.agenda import agenda
from agent.core.devices import furnish
from agent.core.events import (
    BookingCreated,
    BookingDeleted,
    BookingEvent,
    BookingMoved,
    BookingRequested,
    BookingsListed,
    BookingsTouched,
    ClockStruck,
    DeviceConnected,
    ListedBooking,
    RoomEvent,
    SyncRequired,
    UptimeRead,
)
from agent.core.facts import BookingFact, FactKind
from agent.core.model import (
    LIVE_PHASES,
    Booking,
    BookingId,
    BookingKey,
    BookingPhase,
    Meeting,
    MeetingId,
    Policy,
    RequestId,
    Room,
    RoomId,
)
from agent.core.step import next_deadline, step
from tests.agent.core.story import CODEC, DAY, device

NOON = DAY + timedelta(hours=7)
POLICY = Policy()


@dataclass(slots=True)
class Codec:
    """A device's calendar, and what it says of each change."""

    kind: str  # "hybrid", "on_device", "pushed"
    bookings: dict[str, ListedBooking] = field(default_factory=dict)
    said: list[BookingEvent | UptimeRead] = field(default_factory=list)
    made: int = 0

    def book(self, slot: int, minutes: int, *, on_device: bool, reuse: bool) -> None:
        self.made += 1
        starts_at = NOON + timedelta(hours=2 + slot)
        ends_at = starts_at + timedelta(minutes=minutes)
        request_id = RequestId("reused" if reuse else f"request-{self.made}")
        title = f"Meeting {self.made}"
        booking = ListedBooking(
            booking_id=BookingId(f"webex-{self.made}" if self.kind == "hybrid" else f"x{self.made}"),
            meeting_id=None if self.kind == "pushed" else MeetingId(f"meeting-{self.made}"),
            starts_at=starts_at,
            ends_at=ends_at,
            meeting=Meeting(title=title),
            from_webex=self.kind == "hybrid",
        )
        self.bookings[f"{self.made}"] = booking
        if self.kind == "pushed":
            self.said.append(BookingsTouched(device=CODEC))
            return
        if on_device:
            self.said.append(
                BookingRequested(
                    device=CODEC, request_id=request_id, starts_at=starts_at, ends_at=ends_at, title=title
                )
            )
        self.said.append(
            BookingCreated(
                device=CODEC,
                booking_id=booking.booking_id,
                meeting_id=booking.meeting_id,
                starts_at=starts_at,
                ends_at=ends_at,
                request_id=request_id if on_device else None,
                title=title,
            )
        )

    def move(self, which: int, minutes: int) -> None:
        if not self.bookings:
            return
        name = sorted(self.bookings)[which % len(self.bookings)]
        by = timedelta(minutes=minutes)
        old = self.bookings[name]
        new = replace(old, starts_at=old.starts_at + by, ends_at=old.ends_at + by)
        self.bookings[name] = new
        self.said.append(
            BookingMoved(
                device=CODEC,
                booking_id=new.booking_id,
                meeting_id=new.meeting_id,
                starts_at=new.starts_at,
                ends_at=new.ends_at,
            )
        )

    def delete(self, which: int) -> None:
        if not self.bookings:
            return
        gone = self.bookings.pop(sorted(self.bookings)[which % len(self.bookings)])
        self.said.append(
            BookingDeleted(
                device=CODEC, booking_id=gone.booking_id, meeting_id=gone.meeting_id, cause="deleted"
            )
        )

    def reboot(self) -> None:
        """Renumbers: `webex-3` is another booking now."""
        numbers = [b.booking_id for b in self.bookings.values()]
        for name, number in zip(sorted(self.bookings), reversed(numbers), strict=True):
            self.bookings[name] = replace(self.bookings[name], booking_id=number)
        self.said.append(UptimeRead(device=CODEC, uptime_s=1))

    def listing(self, asked_at: datetime) -> BookingsListed:
        return BookingsListed(
            device=CODEC,
            bookings=tuple(self.bookings.values()),
            asked_at=asked_at,
            covers_until=DAY + timedelta(days=2),
        )


changes = st.lists(
    st.one_of(
        st.tuples(
            st.just("book"), st.integers(0, 6), st.sampled_from([15, 30, 60]), st.booleans(), st.booleans()
        ),
        st.tuples(st.just("move"), st.integers(0, 9), st.sampled_from([-30, 15, 60])),
        st.tuples(st.just("delete"), st.integers(0, 9)),
        st.tuples(st.just("reboot")),
    ),
    max_size=12,
)
troubles = st.lists(st.sampled_from(["as it is", "lost", "twice", "swapped"]), min_size=40, max_size=40)


def day(kind: str, what: list[tuple[str, int]]) -> Codec:
    codec = Codec(kind)
    for name, *arguments in what:
        match name:
            case "book":
                slot, minutes, on_device, reuse = arguments
                codec.book(slot, minutes, on_device=bool(on_device), reuse=bool(reuse))
            case "move":
                codec.move(*arguments)
            case "delete":
                codec.delete(*arguments)
            case _:
                codec.reboot()
    return codec


def disturbed(said: list[BookingEvent | UptimeRead], trouble: list[str]) -> list[RoomEvent]:
    heard: list[RoomEvent] = []
    for event, how in zip(said, trouble, strict=False):
        match how:
            case "lost":
                continue
            case "twice":
                heard += [event, event]
            case "swapped" if heard:
                heard.insert(len(heard) - 1, event)
            case _:
                heard.append(event)
    return heard


@dataclass(slots=True)
class Cloud:
    """Rebuilds the agenda from facts alone, as a consumer would."""

    phases: dict[BookingKey, BookingPhase] = field(default_factory=dict)
    bookings: dict[BookingKey, Booking] = field(default_factory=dict)

    def hear(self, fact: BookingFact) -> None:
        key = fact.booking.key
        if fact.kind is FactKind.BOOKING_REQUESTED:
            assert key not in self.phases, "a booking is requested once"
        else:
            known = key in self.phases
            assert known or fact.kind is FactKind.BOOKING_CONFIRMED, f"{fact.kind} of a booking never told of"
        self.phases[key] = fact.booking.phase
        self.bookings[key] = fact.booking


def play(heard: list[RoomEvent], codec: Codec, *, final_listings: int = 3) -> tuple[Room, Cloud, datetime]:
    cloud = Cloud()
    now = NOON
    room = furnish(None, RoomId("fjord"), (device(),), now=now)

    def happen(event: RoomEvent) -> None:
        nonlocal room
        taken = step(room, event, now=now, policy=POLICY)
        room = taken.room
        for fact in taken.facts:
            if isinstance(fact, BookingFact):
                cloud.hear(fact)

    connected = DeviceConnected(
        device=CODEC,
        product="Room Bar",
        serial="S",
        firmware="ce11.27.2.0",
        transport="websocket",
        uptime_s=50_000,
        answers_requests=True,
    )
    for event in (
        connected,
        BookingsListed(device=CODEC, bookings=(), asked_at=now, covers_until=DAY),
        *heard,
    ):
        now += timedelta(seconds=2)
        happen(event)
    happen(SyncRequired(device=CODEC))
    now += timedelta(seconds=90)  # every request is past its timeout
    for _ in range(final_listings):
        happen(codec.listing(now))
        now += timedelta(seconds=10)
    return room, cloud, now


def picture(bookings: list[Booking]) -> list[tuple[object, ...]]:
    return sorted((b.starts_at, b.ends_at, b.meeting_id or "", b.meeting.title or "") for b in bookings)


def truth(codec: Codec) -> list[tuple[object, ...]]:
    return sorted(
        (b.starts_at, b.ends_at, b.meeting_id or "", b.meeting.title or "") for b in codec.bookings.values()
    )


@settings(max_examples=400, deadline=None)
@given(kind=st.sampled_from(["hybrid", "on_device", "pushed"]), what=changes, trouble=troubles)
def test_after_a_listing_the_agenda_is_the_devices(kind, what, trouble):
    codec = day(kind, what)
    room, cloud, now = play(disturbed(codec.said, trouble), codec)
    assert picture(list(agenda(room, now=now).bookings)) == truth(codec)
    told = [b for key, b in cloud.bookings.items() if cloud.phases[key] in LIVE_PHASES]
    assert picture(told) == truth(codec), (
        "what the cloud can put together from facts is the device's agenda too"
    )


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(["hybrid", "on_device", "pushed"]), what=changes, trouble=troubles)
def test_a_listing_heard_again_says_nothing_new(kind, what, trouble):
    codec = day(kind, what)
    room, _, now = play(disturbed(codec.said, trouble), codec)
    again = step(room, codec.listing(now), now=now, policy=POLICY)
    assert again.facts == ()


@settings(max_examples=200, deadline=None)
@given(what=changes, trouble=troubles)
def test_steps_are_repeatable(what, trouble):
    codec = day("hybrid", what)
    heard = disturbed(codec.said, trouble)
    assert play(heard, codec) == play(heard, codec)


@settings(max_examples=100, deadline=None)
@given(what=changes, trouble=troubles)
def test_a_deadline_that_has_struck_does_not_strike_again(what, trouble):
    codec = day("hybrid", what)
    room, _, now = play(disturbed(codec.said, trouble), codec)
    for _ in range(50):
        due = next_deadline(room, POLICY)
        if due is None:
            break
        now = max(now, due)
        room = step(room, ClockStruck(), now=now, policy=POLICY).room
        after = next_deadline(room, POLICY)
        assert after is None or after > due
