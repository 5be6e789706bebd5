"""Verdicts in any order of people, gaps, restarts, jumps of the clock and bookings that go."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent import snapshots
from agent.core.devices import furnish
from agent.core.events import (
    BookingCheckedIn,
    BookingDeleted,
    BookingsListed,
    ClockStepped,
    ClockStruck,
    CurrentValuesRead,
    DeviceConnected,
    DeviceLost,
    PeopleCounted,
    PresenceSensed,
    PromptAnswered,
    RoomEvent,
    SharingSensed,
)
from agent.core.facts import AttendanceFact, BookingFact, Fact, FactKind, ListBookings
from agent.core.model import BookingPhase, FeedbackId, Outcome, Policy, Room, RoomId
from agent.core.step import next_deadline, step
from tests.agent.core.story import CODEC, DAY, M1, M2, M3, at, device, listed

POLICY = Policy()
BOOKED = (
    listed("webex-1", M1, "10:00", "10:30"),
    listed("webex-2", M2, "10:30", "11:00"),
    listed("webex-3", M3, "11:20", "12:20"),
    listed("webex-4", "meeting-4", "11:40", "12:00"),
)
SPANS = st.sampled_from([timedelta(seconds=s) for s in (1, 20, 59, 61, 100, 179, 181, 300, 610, 1300)])
WORD_HOLDS = timedelta(seconds=120)
COUNTED_FOR = timedelta(seconds=60)
CLOCKS_DIFFER = timedelta(seconds=60)
PRESENT_FOR = timedelta(seconds=180)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """How the room stood from one moment to the next, as somebody knows who was there."""

    from_: datetime
    presence: bool | None
    people: int | None
    sharing: bool
    lost_since: datetime | None
    watched: bool  # the agent ran

    def moved(self, by: timedelta) -> Known:
        lost_since = None if self.lost_since is None else self.lost_since + by
        return replace(self, from_=self.from_ + by, lost_since=lost_since)

    def tells(self, moment: datetime) -> bool:
        heard = self.lost_since is None or moment <= self.lost_since + WORD_HOLDS
        return heard and self.watched and self.presence is not None


class Rooms(RuleBasedStateMachine):
    """One room, its core, and what really happened in it."""

    def __init__(self) -> None:
        super().__init__()
        self.room: Room = furnish(None, RoomId("fjord"), (device(),), now=at("09:50"))
        self.now = at("09:50")
        self.facts: list[Fact] = []
        self.deleted: set[str] = set()
        self.touched: list[datetime] = []
        self.past: list[Known] = []
        self.presence: bool | None = False
        self.people: int | None = 0
        self.sharing = False
        self.lost_since: datetime | None = None
        self.watched = True

    @initialize()
    def begins(self) -> None:
        self.connects()

    # ── what happens ──

    @rule(span=SPANS)
    def time_passes(self, span: timedelta) -> None:
        self.run_to(self.now + span)

    @rule(presence=st.sampled_from([True, False, None]))
    def presence_turns(self, presence: bool | None) -> None:
        self.presence = presence
        if self.lost_since is None:
            self.happen(PresenceSensed(device=CODEC, presence=presence))
        self.remember()

    @rule(people=st.sampled_from([None, 0, 1, 3]))
    def people_are_counted(self, people: int | None) -> None:
        self.people = people
        if self.lost_since is None:
            self.happen(PeopleCounted(device=CODEC, people=people))
        self.remember()

    @rule(sharing=st.booleans())
    def a_screen_is_shared(self, sharing: bool) -> None:
        self.sharing = sharing
        if self.lost_since is None:
            self.happen(SharingSensed(device=CODEC, sharing=sharing))
        self.remember()

    @rule()
    def somebody_answers(self) -> None:
        if self.lost_since is None:
            self.touched.append(self.now)
            self.happen(PromptAnswered(device=CODEC, feedback_id=FeedbackId("parking"), option=1))

    @rule(nth=st.integers(0, len(BOOKED) - 1))
    def somebody_checks_in(self, nth: int) -> None:
        if self.lost_since is None:
            one = BOOKED[nth]
            event = BookingCheckedIn(device=CODEC, booking_id=one.booking_id, meeting_id=one.meeting_id)
            self.happen(event)

    @rule(nth=st.integers(0, len(BOOKED) - 1), cause=st.sampled_from(["deleted", "no_show", "checked_out"]))
    def a_booking_goes(self, nth: int, cause: str) -> None:
        one = BOOKED[nth]
        if self.lost_since is None and one.booking_id not in self.deleted and one.ends_at > self.now:
            self.deleted.add(one.booking_id)
            self.happen(
                BookingDeleted(
                    device=CODEC, booking_id=one.booking_id, meeting_id=one.meeting_id, cause=cause
                )
            )

    @rule()
    def the_device_is_lost(self) -> None:
        if self.lost_since is None:
            self.lost_since = self.now
            self.happen(DeviceLost(device=CODEC, why="no route to host"))
            self.remember()

    @rule()
    def the_device_is_back(self) -> None:
        if self.lost_since is not None:
            self.connects()

    @rule(span=SPANS)
    def the_agent_is_down(self, span: timedelta) -> None:
        self.watched = False
        self.remember()
        self.now += span
        self.room = furnish(
            snapshots.read_body(snapshots.body_of(self.room)), RoomId("fjord"), (device(),), now=self.now
        )
        self.connects()

    @rule(by=st.sampled_from([-2400, -90, -5, 5, 90, 2400]))
    def the_clock_jumps(self, by: int) -> None:
        jump = timedelta(seconds=by)
        self.now += jump
        self.touched = [moment + jump for moment in self.touched]
        self.past = [k.moved(jump) for k in self.past]  # all that was seen was seen so long ago
        self.lost_since = None if self.lost_since is None else self.lost_since + jump
        self.happen(ClockStepped(by=jump))

    # ── how it happens ──

    def connects(self) -> None:
        self.lost_since = None
        self.watched = True
        self.happen(
            DeviceConnected(
                device=CODEC, product="Room Bar", serial="FOC1", firmware="ce11.27", transport="websocket"
            )
        )
        self.happen(
            CurrentValuesRead(
                device=CODEC,
                people=self.people,
                presence=self.presence,
                in_use=None,
                calls=0,
                sharing=self.sharing,
            )
        )
        self.remember()
        self.lists()

    def lists(self) -> None:
        standing = tuple(b for b in BOOKED if b.booking_id not in self.deleted and b.ends_at > self.now)
        self.happen(
            BookingsListed(
                device=CODEC, bookings=standing, asked_at=self.now, covers_until=DAY + timedelta(days=2)
            )
        )

    def run_to(self, instant: datetime) -> None:
        while (due := next_deadline(self.room, POLICY)) is not None and due <= instant:
            self.now = max(self.now, due)
            before = self.room
            self.happen(ClockStruck())
            assert self.room is not before or next_deadline(self.room, POLICY) != due, "a deadline stands"
        self.now = max(self.now, instant)

    def happen(self, event: RoomEvent) -> None:
        taken = step(self.room, event, now=self.now, policy=POLICY)
        kept = snapshots.read_body(snapshots.body_of(self.room))
        again = step(kept, event, now=self.now, policy=POLICY)
        assert (again.room, again.facts) == (taken.room, taken.facts), "it matters that it was kept"
        self.room = taken.room
        self.facts += taken.facts
        for fact in taken.facts:
            if isinstance(fact, AttendanceFact):
                self.check(fact)
        for request in taken.requests:
            if isinstance(request, ListBookings) and self.lost_since is None:
                self.lists()

    def remember(self) -> None:
        self.past.append(
            Known(
                from_=self.now,
                presence=self.presence,
                people=self.people,
                sharing=self.sharing,
                lost_since=self.lost_since,
                watched=self.watched,
            )
        )

    # ── what must hold ──

    def check(self, fact: AttendanceFact) -> None:
        attendance, booking = fact.attendance, fact.booking
        assert fact.known >= timedelta(0) <= fact.unknown
        if attendance.outcome is Outcome.LEFT_EARLY:
            assert attendance.came_at is not None
            assert fact.freed is not None
            assert fact.freed >= timedelta(0)
        if attendance.outcome is not Outcome.GHOST:
            return
        assert attendance.came_at is None
        assert fact.unknown == timedelta(0)
        assert booking.checked_in_at is None
        ends_at = min(self.now, booking.ends_at)
        assert not [t for t in self.touched if booking.starts_at <= t < ends_at and t <= self.now]
        self.check_nobody(booking.starts_at, ends_at)

    def check_nobody(self, starts_at: datetime, ends_at: datetime) -> None:
        """Nobody was there from then to then who was no passer-by, and somebody would have told."""
        ends = [*(k.from_ for k in self.past[1:]), self.now]
        present = counted = covered = timedelta(0)
        for known, until in zip(self.past, ends, strict=True):
            begin, end = max(known.from_, starts_at), min(until, ends_at)
            if begin >= end:
                continue
            covered += end - begin
            assert known.tells(end), f"nobody could tell from {begin} to {end}"
            heard = known.lost_since is None
            assert not (known.sharing and heard and known.from_ > starts_at), "a screen was shared"
            present = present + (end - begin) if known.presence else timedelta(0)
            counted = counted + (end - begin) if known.people else timedelta(0)
            assert present <= PRESENT_FOR, "presence lasted"
            assert counted <= COUNTED_FOR, "people were counted"
        assert covered >= ends_at - starts_at - CLOCKS_DIFFER, "a clock has jumped over it"

    @invariant()
    def nothing_is_left_of_what_is_gone(self) -> None:
        assert set(self.room.attendances) <= {*self.room.bookings} | {
            key for key, each in self.room.attendances.items() if each.left is not None
        }

    def teardown(self) -> None:
        if self.lost_since is not None:
            self.connects()
        self.run_to(max(self.now, at("12:20")) + timedelta(hours=2))
        begun: Counter[str] = Counter()
        judged: Counter[str] = Counter()
        for fact in self.facts:
            match fact:
                case BookingFact(kind=FactKind.BOOKING_STARTED, booking=booking):
                    begun[booking.key] += 1
                case BookingFact(booking=booking, previous=previous) if (
                    previous is not None
                    and previous.phase is BookingPhase.STARTED
                    and booking.phase is BookingPhase.CONFIRMED
                ):
                    begun[booking.key] -= 1  # it was taken back
                case AttendanceFact(attendance=attendance, booking=booking) if attendance.outcome is not None:
                    judged[booking.key] += 1
                case _:
                    pass
        assert +begun == judged


TestRooms = Rooms.TestCase
TestRooms.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
