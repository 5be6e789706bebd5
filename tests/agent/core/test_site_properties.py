"""A room's life, drawn by lot: cut lines, restarts, wrong clocks, lost words; once it is quiet, all agree."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import snapshots
from agent.core.agenda import agenda
from agent.core.devices import furnish
from agent.core.events import (
    BookingCreated,
    BookingDeleted,
    BookingEnded,
    BookingEvent,
    BookingFailed,
    BookingMoved,
    BookingRequested,
    BookingsListed,
    BookingStarted,
    BookingsTouched,
    ClockStepped,
    ClockStruck,
    DeviceConnected,
    DeviceLost,
    ListedBooking,
    RoomEvent,
)
from agent.core.facts import BookingFact, Fact, FactKind
from agent.core.model import (
    LIVE_PHASES,
    Booking,
    BookingId,
    BookingKey,
    BookingPhase,
    DeviceId,
    Meeting,
    MeetingId,
    Policy,
    RequestId,
    Room,
    RoomId,
)
from agent.core.step import next_deadline, step
from tests.agent.core.story import CODEC, DAY, device

PANEL = DeviceId("fjord-panel")
POLICY = Policy()
QUIET = timedelta(minutes=13)  # until every device has been listed at least once because it was time to
SLOT = timedelta(minutes=15)
STROKES_AT_ONCE = 1_000  # more of them in one stretch of time are a storm
LISTINGS_PER_HOUR = 8  # of one device that has nothing to say; one every ten minutes is wanted


# ── what may happen ───────────────────────────────────────────────────────────────────────────────
# `on` and `which` are drawn from more than there may be: the world takes them modulo what there is.
# `heard` says of the devices, one after the other, whether their word arrives.

Heard = tuple[bool, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """Somebody books, in the calendar or on a device; every device has a word for it."""

    on: int
    slot: int
    slots: int
    on_device: bool
    request_heard: bool
    listed_before_the_answer: bool
    last_device_first: bool
    heard: Heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """Somebody books on a device, and the calendar says no."""

    on: int
    slot: int
    heard: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    which: int
    slots: int
    heard: Heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    which: int
    heard: Heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Retitled:
    which: int
    heard: Heard


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCut:
    on: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBack:
    on: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebooted:
    """The device restarts, and what was `webex-1` is `webex-2` now."""

    on: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """Time passes; devices say when a booking starts and ends, if they are heard."""

    seconds: int
    heard: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRestarted:
    """The agent ends and starts again from its snapshots, by a clock that is wrong by so much."""

    wrong_by_min: int
    reconnects: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStepsBy:
    """The agent's clock goes wrong, or more wrong, or less."""

    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPutRight:
    pass


Happening = (
    Booked
    | Declined
    | Moved
    | Deleted
    | Retitled
    | LineCut
    | LineBack
    | Rebooted
    | Waited
    | AgentRestarted
    | ClockStepsBy
    | ClockPutRight
)


# ── the world ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the calendar holds: the truth."""

    starts_at: datetime
    ends_at: datetime
    title: str

    def by(self, span: timedelta) -> Entry:
        return replace(self, starts_at=self.starts_at + span, ends_at=self.ends_at + span)


@dataclass(slots=True)
class Codec:
    """A device: its own numbers for the calendar's entries, and whether it can be heard."""

    id: DeviceId
    booted_at: datetime
    connected: bool = False
    numbers: dict[MeetingId, BookingId] = field(default_factory=dict)

    def number(self, meeting: MeetingId) -> BookingId:
        return self.numbers.setdefault(meeting, BookingId(f"webex-{len(self.numbers) + 1}"))

    def reboot(self, now: datetime) -> None:
        turned = zip(self.numbers, reversed(self.numbers.values()), strict=True)
        self.numbers = dict(turned)
        self.booted_at = now
        self.connected = False


MAY_FOLLOW: Mapping[FactKind, frozenset[BookingPhase | None]] = {
    FactKind.BOOKING_REQUESTED: frozenset({None}),
    FactKind.BOOKING_CONFIRMED: frozenset({None, *BookingPhase})
    - {BookingPhase.CONFIRMED, BookingPhase.STARTED},
    FactKind.BOOKING_FAILED: frozenset({BookingPhase.REQUESTED, BookingPhase.PENDING}),
    FactKind.BOOKING_EXPIRED: frozenset({BookingPhase.REQUESTED, BookingPhase.PENDING}),
    FactKind.BOOKING_MOVED: LIVE_PHASES,
    FactKind.BOOKING_UPDATED: LIVE_PHASES,
    FactKind.BOOKING_CHECKED_IN: LIVE_PHASES,
    FactKind.BOOKING_STARTED: frozenset({BookingPhase.CONFIRMED}),
    FactKind.BOOKING_ENDED: frozenset({BookingPhase.CONFIRMED, BookingPhase.STARTED}),
    FactKind.BOOKING_DELETED: LIVE_PHASES,
}


@dataclass(slots=True)
class Cloud:
    """Believes facts and nothing else, as a consumer would; refuses what makes no sense after the last."""

    bookings: dict[BookingKey, Booking] = field(default_factory=dict)

    def hear(self, fact: BookingFact) -> None:
        before = self.bookings.get(fact.booking.key)
        phase = None if before is None else before.phase
        assert phase in MAY_FOLLOW[fact.kind], f"{fact.kind} after {phase}"
        self.bookings[fact.booking.key] = fact.booking

    def live(self) -> list[Booking]:
        return [booking for booking in self.bookings.values() if booking.live]


@dataclass(slots=True)
class World:
    """A calendar, the devices that follow it, the agent's room that follows them, and a cloud."""

    devices: tuple[DeviceId, ...]
    time: datetime = DAY + timedelta(hours=7)  # as it is; the agent sees `now`
    clock_error: timedelta = timedelta(0)
    calendar: dict[MeetingId, Entry] = field(default_factory=dict)
    cloud: Cloud = field(default_factory=Cloud)
    codecs: list[Codec] = field(init=False)
    room: Room = field(init=False)
    facts: list[Fact] = field(default_factory=list)
    listings: int = 0
    made: int = 0

    def __post_init__(self) -> None:
        self.codecs = [Codec(id=name, booted_at=self.time - timedelta(days=1)) for name in self.devices]
        self.room = self._furnished(None)
        self._connect_all()

    @property
    def now(self) -> datetime:
        """What the agent takes for the time."""
        return self.time + self.clock_error

    def live_through(self, happenings: Iterable[Happening]) -> World:
        for happening in happenings:
            self._happen(happening)
        return self

    def come_to_rest(self) -> World:
        """Clocks are right and lines stand; nobody says a word that the agent does not ask for."""
        self._put_clock_right()
        self._connect_all()
        self.wait(QUIET)
        return self

    def wait(self, span: timedelta, *, heard: bool = False) -> None:
        """Pass time, from one start or end of an entry to the next."""
        until = self.time + span
        turns = sorted(
            (instant, meeting)
            for meeting, entry in self.calendar.items()
            for instant in (entry.starts_at, entry.ends_at)
            if self.time < instant <= until
        )
        for instant, meeting in turns:
            self._pass_until(instant)
            ends = instant == self.calendar[meeting].ends_at
            if ends:
                del self.calendar[meeting]
            for codec in self.codecs:
                word = (BookingEnded if ends else BookingStarted)(
                    device=codec.id, booking_id=codec.number(meeting), meeting_id=meeting
                )
                self._say(codec, word, heard=heard)
        self._pass_until(until)

    # ── what happens ──

    def _happen(self, happening: Happening) -> None:
        match happening:
            case Booked():
                self._book(happening)
            case Declined():
                self._decline(happening)
            case Moved() | Deleted() | Retitled():
                if self.calendar:
                    self._change(happening)
            case LineCut(on=on):
                self._cut(self._codec(on))
            case LineBack(on=on):
                if not self._codec(on).connected:
                    self._connect(self._codec(on))
            case Rebooted(on=on):
                self._cut(self._codec(on))
                self._codec(on).reboot(self.time)
                self._pass_until(self.time + timedelta(seconds=1))
            case Waited(seconds=seconds, heard=heard):
                self.wait(timedelta(seconds=seconds), heard=heard)
            case AgentRestarted(wrong_by_min=minutes, reconnects=reconnects):
                self._restart(timedelta(minutes=minutes))
                if reconnects:
                    self._connect_all()
            case ClockStepsBy(minutes=minutes):
                self._step_clock(timedelta(minutes=minutes))
            case ClockPutRight():
                self._put_clock_right()
            case _:
                assert_never(happening)

    def _book(self, booked: Booked) -> None:
        self.made += 1
        codec, meeting = self._codec(booked.on), MeetingId(f"meeting-{self.made}")
        asked_for = RequestId(f"request-{self.made}") if booked.on_device and codec.connected else None
        entry = self._entry(booked.slot, booked.slots)
        if asked_for is not None:
            self._ask(codec, asked_for, entry, heard=booked.request_heard)
        self.calendar[meeting] = entry
        if booked.listed_before_the_answer:
            self._list_all()
        tellers = self.codecs[::-1] if booked.last_device_first else self.codecs
        for teller, heard in zip(tellers, booked.heard, strict=False):
            created = BookingCreated(
                device=teller.id,
                booking_id=teller.number(meeting),
                meeting_id=meeting,
                starts_at=entry.starts_at,
                ends_at=entry.ends_at,
                request_id=asked_for if teller is codec else None,
                title=entry.title,
            )
            self._say(teller, created, heard=heard)

    def _decline(self, declined: Declined) -> None:
        self.made += 1
        codec, asked_for = self._codec(declined.on), RequestId(f"request-{self.made}")
        self._ask(codec, asked_for, self._entry(declined.slot, 2), heard=True)
        refusal = BookingFailed(device=codec.id, request_id=asked_for, cause="declined")
        self._say(codec, refusal, heard=declined.heard)

    def _change(self, change: Moved | Deleted | Retitled) -> None:
        meeting = sorted(self.calendar)[change.which % len(self.calendar)]
        entry = self.calendar[meeting]
        match change:
            case Moved(slots=slots):
                moved = entry.by(slots * SLOT)
                if moved.starts_at <= self.time:
                    return
                self.calendar[meeting] = moved
            case Deleted():
                del self.calendar[meeting]
            case Retitled():
                self.calendar[meeting] = replace(entry, title=f"{entry.title}, again")
            case _:
                assert_never(change)
        for codec, heard in zip(self.codecs, change.heard, strict=False):
            self._say(codec, self._word_for(change, codec, meeting), heard=heard)

    def _word_for(self, change: Moved | Deleted | Retitled, codec: Codec, meeting: MeetingId) -> BookingEvent:
        number = codec.number(meeting)
        match change:
            case Moved():
                entry = self.calendar[meeting]
                return BookingMoved(
                    device=codec.id,
                    booking_id=number,
                    meeting_id=meeting,
                    starts_at=entry.starts_at,
                    ends_at=entry.ends_at,
                )
            case Deleted():
                return BookingDeleted(device=codec.id, booking_id=number, meeting_id=meeting, cause="deleted")
            case Retitled():
                return BookingsTouched(device=codec.id)
            case _:
                assert_never(change)

    def _restart(self, wrong_by: timedelta) -> None:
        table = sqlite3.connect(":memory:")
        table.execute("CREATE TABLE snapshot (room TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT")
        snapshots.save(table, [self.room])
        kept = snapshots.load(table)[self.room.id]
        table.close()
        assert kept == self.room
        self.clock_error = wrong_by
        for codec in self.codecs:
            codec.connected = False
        self.room = self._furnished(kept)

    def _step_clock(self, by: timedelta) -> None:
        self.clock_error += by
        self._hear(ClockStepped(by=by))

    def _put_clock_right(self) -> None:
        if self.clock_error:
            self._step_clock(-self.clock_error)

    # ── devices ──

    def _codec(self, on: int) -> Codec:
        return self.codecs[on % len(self.codecs)]

    def _connect_all(self) -> None:
        for codec in self.codecs:
            if not codec.connected:
                self._connect(codec)

    def _connect(self, codec: Codec) -> None:
        codec.connected = True
        connected = DeviceConnected(
            device=codec.id,
            product="Room Bar",
            serial="FOC1",
            firmware="ce11.27.2.0",
            transport="websocket",
            uptime_s=int((self.time - codec.booted_at).total_seconds()),
            answers_requests=True,
        )
        self._hear(connected)
        self._hear(self._listing(codec))

    def _cut(self, codec: Codec) -> None:
        if codec.connected:
            codec.connected = False
            self._hear(DeviceLost(device=codec.id, why="no route to host"))

    def _ask(self, codec: Codec, asked_for: RequestId, entry: Entry, *, heard: bool) -> None:
        request = BookingRequested(
            device=codec.id,
            request_id=asked_for,
            starts_at=entry.starts_at,
            ends_at=entry.ends_at,
            title=entry.title,
        )
        self._say(codec, request, heard=heard)

    def _say(self, codec: Codec, word: BookingEvent, *, heard: bool) -> None:
        if codec.connected and heard:
            self._hear(word)

    def _list_all(self) -> None:
        for codec in self.codecs:
            if codec.connected:
                self._hear(self._listing(codec))

    def _listing(self, codec: Codec) -> BookingsListed:
        return BookingsListed(
            device=codec.id,
            bookings=tuple(
                ListedBooking(
                    booking_id=codec.number(meeting),
                    meeting_id=meeting,
                    starts_at=entry.starts_at,
                    ends_at=entry.ends_at,
                    meeting=Meeting(title=entry.title),
                    from_webex=True,
                )
                for meeting, entry in self.calendar.items()
            ),
            asked_at=self.now,
            covers_until=DAY + timedelta(days=3),
        )

    def _entry(self, slot: int, slots: int) -> Entry:
        starts_at = self.time.replace(second=0, microsecond=0) + (1 + slot) * SLOT
        return Entry(starts_at=starts_at, ends_at=starts_at + slots * SLOT, title=f"Meeting {self.made}")

    # ── the agent ──

    def _furnished(self, kept: Room | None) -> Room:
        return furnish(kept, RoomId("fjord"), tuple(device(name) for name in self.devices), now=self.now)

    def _pass_until(self, instant: datetime) -> None:
        for _ in range(STROKES_AT_ONCE):
            due = next_deadline(self.room, POLICY)
            if due is None or due - self.clock_error > instant:
                break
            self.time = max(self.time, due - self.clock_error)
            self._hear(ClockStruck())
        else:
            raise AssertionError("the clock storms")
        self.time = instant

    def _hear(self, event: RoomEvent) -> None:
        taken = step(self.room, event, now=self.now, policy=POLICY)
        self.room = taken.room
        self.facts += taken.facts
        for fact in taken.facts:
            if isinstance(fact, BookingFact):
                self._check_against_the_calendar(fact)
                self.cloud.hear(fact)
        for request in taken.requests:
            self.listings += 1
            codec = next(codec for codec in self.codecs if codec.id == request.device)
            if codec.connected:
                self._hear(self._listing(codec))

    def _check_against_the_calendar(self, fact: BookingFact) -> None:
        """What stands is never told gone, whatever else was not heard.

        An answer that is lost and then moves cannot be told from another booking: its request may expire.
        """
        booking = fact.booking
        if fact.kind is FactKind.BOOKING_DELETED:
            assert booking.meeting_id not in self.calendar, "told deleted, and it stands"
        if fact.kind in {FactKind.BOOKING_FAILED, FactKind.BOOKING_EXPIRED}:
            asked_for = Entry(
                starts_at=booking.starts_at, ends_at=booking.ends_at, title=booking.meeting.title or ""
            )
            assert asked_for not in self.calendar.values(), f"told {fact.kind}, and it stands"

    # ── what must be so when all is quiet ──

    def check_that_all_agree(self) -> None:
        truth = sorted((e.starts_at, e.ends_at, meeting, e.title) for meeting, e in self.calendar.items())
        assert picture(agenda(self.room, now=self.now).bookings) == truth, "the agenda"
        assert picture(b for b in self.cloud.live() if b.ends_at > self.now) == truth, "the cloud's picture"
        over = [b for b in self.cloud.live() if b.ends_at + timedelta(minutes=3) <= self.now]
        assert not over, "nobody told the cloud of their end"

    def check_that_nothing_is_news(self) -> None:
        before = len(self.facts)
        self._list_all()
        assert self.facts[before:] == []

    def check_that_devices_are_left_in_peace(self) -> None:
        before = self.listings
        self.wait(timedelta(hours=1))
        assert self.listings - before <= LISTINGS_PER_HOUR * len(self.codecs)


def picture(bookings: Iterable[Booking]) -> list[tuple[datetime, datetime, str, str]]:
    return sorted((b.starts_at, b.ends_at, b.meeting_id or "", b.meeting.title or "") for b in bookings)


# ── drawing lots ──────────────────────────────────────────────────────────────────────────────────

ON, WHICH, SLOTS_AHEAD = st.integers(0, 1), st.integers(0, 5), st.integers(0, 6)
YES_OR_NO = st.booleans()
HEARD = st.tuples(YES_OR_NO, YES_OR_NO)

changes: st.SearchStrategy[Happening] = st.one_of(
    st.builds(
        Booked,
        on=ON,
        slot=SLOTS_AHEAD,
        slots=st.sampled_from([1, 2, 4]),
        on_device=YES_OR_NO,
        request_heard=YES_OR_NO,
        listed_before_the_answer=YES_OR_NO,
        last_device_first=YES_OR_NO,
        heard=HEARD,
    ),
    st.builds(Declined, on=ON, slot=SLOTS_AHEAD, heard=YES_OR_NO),
    st.builds(Moved, which=WHICH, slots=st.integers(-2, 3), heard=HEARD),
    st.builds(Deleted, which=WHICH, heard=HEARD),
    st.builds(Retitled, which=WHICH, heard=HEARD),
    st.builds(Waited, seconds=st.sampled_from([1, 3, 20, 70, 300, 1300]), heard=YES_OR_NO),
)
cuts: st.SearchStrategy[Happening] = st.one_of(
    st.builds(LineCut, on=ON), st.builds(LineBack, on=ON), st.builds(Rebooted, on=ON)
)
restarts: st.SearchStrategy[Happening] = st.builds(
    AgentRestarted, wrong_by_min=st.just(0), reconnects=YES_OR_NO
)
wrong_starts: st.SearchStrategy[Happening] = st.builds(
    AgentRestarted, wrong_by_min=st.sampled_from([-300, -60, -1]), reconnects=YES_OR_NO
)
clock_steps: st.SearchStrategy[Happening] = st.one_of(
    st.builds(ClockStepsBy, minutes=st.sampled_from([-180, -60, -1])), st.builds(ClockPutRight)
)

ONE_DEVICE, TWO_DEVICES = (CODEC,), (CODEC, PANEL)
SITES = st.sampled_from([ONE_DEVICE, TWO_DEVICES])
ALIKE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def check(devices: tuple[DeviceId, ...], happenings: list[Happening]) -> None:
    world = World(devices).live_through(happenings).come_to_rest()
    world.check_that_all_agree()
    world.check_that_nothing_is_news()
    world.check_that_devices_are_left_in_peace()


@ALIKE
@given(devices=SITES, happenings=st.lists(st.one_of(changes, cuts), max_size=14))
def test_after_cut_lines_reboots_and_lost_words_all_agree(devices, happenings):
    check(devices, happenings)


@ALIKE
@given(devices=SITES, happenings=st.lists(st.one_of(changes, cuts, restarts), max_size=14))
def test_after_restarts_of_the_agent_all_agree(devices, happenings):
    check(devices, happenings)


@ALIKE
@given(devices=SITES, happenings=st.lists(st.one_of(changes, cuts, restarts, clock_steps), max_size=14))
def test_after_a_clock_was_wrong_all_agree(devices, happenings):
    check(devices, happenings)


@ALIKE
@given(devices=SITES, happenings=st.lists(st.one_of(changes, wrong_starts, clock_steps), max_size=10))
def test_after_a_start_without_a_clock_all_agree(devices, happenings):
    check(devices, happenings)
