"""Tells a room's day as a story: at this time that happened, and the cloud was told so."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent import snapshots
from agent.core.agenda import agenda
from agent.core.devices import furnish
from agent.core.events import (
    AgendaPut,
    AgendaRefused,
    BookingsListed,
    CalendarEntry,
    CalendarListed,
    CalendarTurned,
    ClockStepped,
    ClockStruck,
    DeviceConnected,
    ListedBooking,
    RoomEvent,
)
from agent.core.facts import (
    AttendanceFact,
    BookingFact,
    CalendarRequest,
    Fact,
    FactKind,
    ListBookings,
    PutAgenda,
    TellUse,
    UseFact,
)
from agent.core.model import (
    Booking,
    BookingId,
    CalendarKind,
    CalendarPhase,
    Credential,
    Device,
    DeviceId,
    EntryId,
    Meeting,
    MeetingId,
    Policy,
    RequestId,
    Room,
    RoomId,
    Trust,
)
from agent.core.orders import Answer
from agent.core.step import next_deadline, step
from agent.core.third_party import install

CODEC = DeviceId("fjord-codec")
POLL_EVERY = timedelta(minutes=10)
DAY = datetime(2026, 3, 2, tzinfo=UTC)
M1, M2, M3 = (MeetingId(f"meeting-{n}") for n in (1, 2, 3))
R1, R2 = RequestId("request-1"), RequestId("request-2")


def at(clock: str) -> datetime:
    """A time on the day of the story, as "09:00" or "09:00:30"; "+1 09:00" is tomorrow."""
    day, _, clock = clock.rpartition(" ")
    hours, minutes, *seconds = (int(part) for part in clock.split(":"))
    days = timedelta(days=int(day or 0), hours=hours, minutes=minutes)
    return DAY + days + timedelta(seconds=seconds[0] if seconds else 0)


def device(id_: DeviceId = CODEC) -> Device:
    return Device(
        id=id_,
        room=RoomId("fjord"),
        host="127.1.0.1",
        port=443,
        credential=Credential(username="roomd", password_file=Path("device-password")),
        trust=Trust(),
    )


def listed(
    booking_id: str,
    meeting_id: str | None,
    starts: str,
    ends: str,
    title: str | None = "Planning",
    **more: object,
) -> ListedBooking:
    join = more.get("join")
    link = {"join": str(join), "platform": "webex"} if join else {}
    organizer = str(more["organizer"]) if more.get("organizer") else None
    meeting = Meeting(title=title, organizer=organizer, private=bool(more.get("private")), **link)
    return ListedBooking(
        booking_id=BookingId(booking_id),
        meeting_id=MeetingId(meeting_id) if meeting_id else None,
        starts_at=at(starts),
        ends_at=at(ends),
        meeting=meeting,
        from_webex=booking_id.startswith("webex-"),
    )


def entry(
    entry_id: str,
    starts: str,
    ends: str,
    title: str | None = "Planning",
    *,
    uid: str | None = None,
    all_day: bool = False,
    private: bool = False,
    join_pending: bool = False,
    join: str | None = None,
    organizer: str | None = None,
) -> CalendarEntry:
    return CalendarEntry(
        entry_id=EntryId(entry_id),
        ical_uid=uid,
        starts_at=at(starts),
        ends_at=at(ends),
        all_day=all_day,
        meeting=Meeting(
            title=title,
            organizer=organizer,
            private=private,
            join=join,
            platform="webex" if join else None,
        ),
        join_pending=join_pending,
    )


@dataclass(slots=True)
class Story:
    """A room with its codecs, moved by what happens to it; deadlines strike as they fall due."""

    devices: tuple[DeviceId, ...] = (CODEC,)
    policy: Policy = field(default_factory=Policy)
    calendars: tuple[CalendarKind, ...] = ()
    writes: tuple[CalendarKind, ...] = ()
    puts: bool | None = False
    judges: bool = False  # also told: who came to what was booked
    refuses: str | None = None  # why the device does not take an agenda
    room: Room = field(init=False)
    now: datetime = field(init=False)
    told: list[Fact] = field(default_factory=list)
    asked: list[tuple[datetime, ListBookings]] = field(default_factory=list)
    asked_calendars: list[tuple[datetime, CalendarRequest]] = field(default_factory=list)
    given: list[tuple[datetime, PutAgenda]] = field(default_factory=list)
    holds: dict[DeviceId, PutAgenda] = field(default_factory=dict)  # and lists it back
    answers: list[Answer] = field(default_factory=list)
    uses: list[tuple[datetime, TellUse]] = field(default_factory=list)  # that devices were to be told
    greeting: list[FactKind] = field(default_factory=list)  # what the last connection made known
    mute: bool = False  # the device does not answer when it is asked for its list
    polled: dict[CalendarKind, CalendarListed] = field(default_factory=dict)  # read again every ten minutes
    held: tuple[ListedBooking, ...] | None = None  # what it lists when it is asked; None: what we know

    def __post_init__(self) -> None:
        self.now = at("07:00")
        self.room = self._furnished(None)

    def connected(
        self,
        clock: str = "08:00",
        *,
        device: DeviceId = CODEC,
        answers: bool = True,
        timeout_s: int = 60,
        firmware: str = "ce11.27.2.0",
        uptime_s: int = 86_400,
    ) -> Story:
        """The codec is reached; nothing of it is asserted. Its list is up to the story."""
        event = DeviceConnected(
            device=device,
            product="Cisco Room Bar",
            serial="FOC1",
            firmware=firmware,
            transport="websocket",
            uptime_s=uptime_s,
            answers_requests=answers,
            booking_timeout_s=timeout_s,
        )
        self._run_to(at(clock))
        self.told.clear()
        self._happen(event)
        self.greeting = [fact.kind for fact in self.told]
        self.told.clear()
        return self

    def restarts(self, clock: str, *devices: DeviceId) -> Story:
        """The agent starts again when its clock, right or wrong, says so; perhaps with other devices."""
        self.devices = devices or self.devices
        self.now = at(clock)
        self.polled.clear()
        self.room = self._furnished(snapshots.read_body(snapshots.body_of(self.room)))
        return self

    def _furnished(self, kept: Room | None) -> Room:
        furnished = furnish(
            kept,
            RoomId("fjord"),
            tuple(device(d) for d in self.devices),
            calendars=self.calendars,
            writes=self.writes,
            puts=self.puts,
            now=self.now,
        )
        sensors = self.policy.rules(furnished.id).sensors
        return install(furnished, sensors, listening=False, now=self.now)

    def lists(
        self,
        clock: str,
        *bookings: ListedBooking,
        tells: tuple[FactKind, ...] | None = None,
        device: DeviceId | None = None,
    ) -> Story:
        """The whole list of the codec (or of that device) comes, asked for at this very moment."""
        event = BookingsListed(
            device=device or self.devices[0],
            bookings=bookings,
            asked_at=at(clock),
            covers_until=DAY + timedelta(days=2),
        )
        return self.then(clock, event, *(tells or ()))

    def reads(
        self,
        clock: str,
        *entries: CalendarEntry,
        tells: tuple[FactKind, ...] = (),
        calendar: CalendarKind = CalendarKind.MICROSOFT,
        asked: str | None = None,
        days: int = 2,
    ) -> Story:
        """The whole listing of a linked calendar comes, of two days, asked for at this moment."""
        event = CalendarListed(
            calendar=calendar,
            entries=entries,
            asked_at=at(asked or clock),
            covers_from=DAY,
            covers_until=DAY + timedelta(days=days),
        )
        self.then(clock, event, *tells)
        self.polled[calendar] = event
        return self

    def turns(
        self,
        clock: str,
        phase: CalendarPhase,
        *tells: FactKind,
        why: str | None = None,
        calendar: CalendarKind = CalendarKind.MICROSOFT,
    ) -> Story:
        """A linked calendar can be read from now on, or cannot."""
        self._run_to(at(clock))
        if phase is not CalendarPhase.ACTIVE:
            self.polled.pop(calendar, None)
        return self.then(clock, CalendarTurned(calendar=calendar, phase=phase, why=why), *tells)

    def then(self, clock: str, event: RoomEvent, *tells: FactKind) -> Story:
        """At this time this happens, and the cloud is told exactly these facts of it."""
        self._run_to(at(clock))
        before = len(self.told)
        self._happen(event)
        kinds = [fact.kind for fact in self.told[before:]]
        assert kinds == list(tells), f"{clock}: told {kinds}, expected {list(tells)}"
        return self

    def until(self, clock: str, *tells: FactKind) -> Story:
        """Nothing is heard until then; the clock alone makes the cloud be told these facts."""
        before = len(self.told)
        self._run_to(at(clock))
        kinds = [fact.kind for fact in self.told[before:]]
        assert kinds == list(tells), f"until {clock}: told {kinds}, expected {list(tells)}"
        return self

    def hears(self, clock: str, *events: RoomEvent) -> Story:
        """At this time this happens; whatever the cloud is told of it, and was until then."""
        self._run_to(at(clock))
        for event in events:
            self._happen(event)
        return self

    def steps(self, by: timedelta) -> Story:
        """The wall clock jumps."""
        self.now += by
        self._happen(ClockStepped(by=by))
        return self

    @property
    def last(self) -> BookingFact:
        fact = self.told[-1]
        assert isinstance(fact, BookingFact)
        return fact

    @property
    def agenda(self) -> tuple[Booking, ...]:
        return agenda(self.room, now=self.now).bookings

    def asked_at(self) -> list[str]:
        return [f"{when:%H:%M:%S}" for when, _ in self.asked]

    def _run_to(self, instant: datetime) -> None:
        assert instant >= self.now, "stories go forward"
        while (due := self._next()) is not None and due <= instant:
            self.now = max(self.now, due)
            if self._poll():
                continue
            before = self.room
            self._happen(ClockStruck())
            assert self.room is not before or next_deadline(self.room, self.policy) != due, (
                "a deadline stands still"
            )
        self.now = instant

    def _next(self) -> datetime | None:
        due = [listing.asked_at + POLL_EVERY for listing in self.polled.values()]
        deadline = next_deadline(self.room, self.policy)
        return min(due if deadline is None else (deadline, *due), default=None)

    def _poll(self) -> bool:
        """Read a calendar anew whose turn it is; it says what it said before."""
        for kind, listing in self.polled.items():
            if listing.asked_at + POLL_EVERY <= self.now:
                self.polled[kind] = replace(listing, asked_at=self.now)
                self._happen(self.polled[kind])
                return True
        return False

    def _happen(self, event: RoomEvent) -> None:
        taken = step(self.room, event, now=self.now, policy=self.policy)
        self.room = taken.room
        self.told += [f for f in taken.facts if self.judges or not isinstance(f, AttendanceFact | UseFact)]
        self.answers += taken.answers
        self.uses += [(self.now, request) for request in taken.requests if isinstance(request, TellUse)]
        self.asked_calendars += [(self.now, request) for request in taken.calendar_requests]
        listings = [request for request in taken.requests if isinstance(request, ListBookings)]
        self.asked += [(self.now, request) for request in listings]
        if not self.mute:
            for request in listings:
                self._happen(self._what_is_known(request.device))
        for put in taken.requests:
            if isinstance(put, PutAgenda):
                self._take(put)

    def _take(self, put: PutAgenda) -> None:
        self.given.append((self.now, put))
        if self.refuses is not None:
            self._happen(AgendaRefused(device=put.device, edition=put.edition, why=self.refuses))
            return
        self.holds[put.device] = put
        self._happen(AgendaPut(device=put.device, edition=put.edition))

    def echoes(self, device: DeviceId = CODEC) -> tuple[ListedBooking, ...]:
        """What the device lists of what it was given."""
        return tuple(
            ListedBooking(
                booking_id=b.booking_id,
                meeting_id=None,
                starts_at=b.starts_at,
                ends_at=b.ends_at,
                meeting=Meeting(title=b.title, join=b.join),
            )
            for b in (self.holds[device].bookings if device in self.holds else ())
        )

    def _what_is_known(self, device: DeviceId) -> BookingsListed:
        """What the device holds, or else a listing that agrees with us: those bookings that have an id."""
        return BookingsListed(
            device=device,
            bookings=self.echoes(device) + self.held
            if self.held is not None
            else self.echoes(device)
            + tuple(
                ListedBooking(
                    booking_id=b.booking_ids[device],
                    meeting_id=b.meeting_id,
                    starts_at=b.starts_at,
                    ends_at=b.ends_at,
                    meeting=b.meeting,
                    from_webex=b.booking_ids[device].startswith("webex-"),
                )
                for b in (self.room.bookings if self.room.heard is None else self.room.heard).values()
                if b.live and device in b.booking_ids
            ),
            asked_at=self.now,
            covers_until=DAY + timedelta(days=2),
        )
