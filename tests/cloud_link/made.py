"""Facts and rooms of every kind, as hypothesis makes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import settings
from hypothesis import strategies as st

from agent.core.facts import (
    AttendanceFact,
    BookingFact,
    CalendarFact,
    DeviceFact,
    Fact,
    FactKind,
    OccupancyFact,
    ReleaseFact,
    UseFact,
)
from agent.core.model import (
    AgentId,
    Attendance,
    Booking,
    BookingId,
    BookingKey,
    BookingPhase,
    CalendarKind,
    CalendarPhase,
    CalendarState,
    DeviceId,
    DevicePhase,
    DeviceState,
    EntryId,
    Evidence,
    EvidenceKind,
    Meeting,
    MeetingId,
    Occupancy,
    Outcome,
    ReleaseAttempt,
    ReleasePhase,
    RequestId,
    Room,
    RoomId,
    SensorId,
    SensorPhase,
    SensorState,
    SiteId,
    Use,
)
from cloud_link.envelope import OutboxGap, OutboxReset, Site

at_leisure = settings(max_examples=60, deadline=None)  # a busy machine is slow, and nothing is wrong with it

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OSLO = timezone(timedelta(hours=1))
SITE = Site(site=SiteId("oslo-lysaker"), agent=AgentId("agent-1"))
FJORD = RoomId("fjord")

times = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001  (hypothesis wants them without zone)
    max_value=datetime(2099, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, OSLO]),
)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
maybe_words = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
maybe = st.none() | st.booleans()
slugs = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
counts = st.integers(min_value=0, max_value=2**53)

meetings = st.builds(
    Meeting,
    title=maybe_words,
    organizer=maybe_words,
    platform=maybe_words,
    join=maybe_words,
    ical_uid=maybe_words,
    private=st.booleans(),
)
linked = st.sampled_from([CalendarKind.MICROSOFT, CalendarKind.GOOGLE])
bookings = st.builds(
    Booking,
    key=words.map(BookingKey),
    phase=st.sampled_from(BookingPhase),
    starts_at=times,
    ends_at=times,
    since=times,
    seen_at=times,
    calendar=st.none() | st.sampled_from(CalendarKind),
    request_id=st.none() | words.map(RequestId),
    requested_at=st.none() | times,
    meeting_id=st.none() | words.map(MeetingId),
    booking_ids=st.dictionaries(words.map(DeviceId), words.map(BookingId), max_size=2),
    meeting=meetings,
    all_day=st.booleans(),
    entries=st.dictionaries(linked, words.map(EntryId), max_size=2),
    join_pending=st.booleans(),
)
calendars = st.builds(
    CalendarState,
    kind=linked,
    phase=st.sampled_from(CalendarPhase),
    since=times,
    why=maybe_words,
    listed_at=st.none() | times,
    recovering=st.booleans(),
)
occupancies = st.builds(
    Occupancy, people=st.none() | counts, presence=maybe, in_use=maybe, in_call=maybe, sharing=maybe
)
devices = st.builds(
    DeviceState,
    id=words.map(DeviceId),
    phase=st.sampled_from(DevicePhase),
    since=times,
    why=maybe_words,
    product=maybe_words,
    serial=maybe_words,
    firmware=maybe_words,
    transport=maybe_words,
    booted_at=st.none() | times,
    listed_at=st.none() | times,
    recovering=st.booleans(),
    shortcomings=st.lists(words, max_size=2).map(tuple),
)


OF_RELEASES = frozenset(
    {
        FactKind.BOOKING_RELEASED,
        FactKind.BOOKING_UNCLAIMED,
        FactKind.BOOKING_KEPT,
        FactKind.BOOKING_RELEASE_FAILED,
    }
)


OF_ATTENDANCE = frozenset(
    {
        FactKind.BOOKING_ATTENDED,
        FactKind.BOOKING_DESERTED,
        FactKind.BOOKING_GHOST,
        FactKind.BOOKING_LEFT_EARLY,
        FactKind.BOOKING_JUDGED,
    }
)


def _kinds(noun: str) -> st.SearchStrategy[FactKind]:
    kinds = [kind for kind in FactKind if kind.startswith(f"{noun}.")]
    return st.sampled_from([kind for kind in kinds if kind not in OF_RELEASES | OF_ATTENDANCE])


noticed = st.builds(
    Evidence,
    kind=st.sampled_from(EvidenceKind),
    by=maybe_words,
    first_at=times,
    last_at=times,
    lasted=st.timedeltas(min_value=timedelta(), max_value=timedelta(days=1)),
    since=st.none() | times,
)
attempts = st.builds(
    ReleaseAttempt,
    booking=words.map(BookingKey),
    phase=st.sampled_from(ReleasePhase),
    since=times,
    starts_at=times,
    ends_at=times,
    due_at=times,
    empty_since=st.none() | times,
    warned_at=st.none() | times,
)


spans = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=1))
attendances = st.builds(
    Attendance,
    booking=words.map(BookingKey),
    since=times,
    starts_at=times,
    there_since=times,
    evidence=st.lists(noticed, max_size=2).map(tuple),
    came_at=st.none() | times,
    seen_at=st.none() | times,
    deserted_since=st.none() | times,
    people_peak=st.none() | st.integers(0, 99),
)
verdicts = st.builds(
    lambda attendance, outcome: replace(attendance, outcome=outcome), attendances, st.sampled_from(Outcome)
)
UNDECIDED = frozenset({FactKind.BOOKING_ATTENDED, FactKind.BOOKING_DESERTED})


facts: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        AttendanceFact,
        kind=st.sampled_from(sorted(UNDECIDED)),
        at=times,
        booking=bookings,
        attendance=attendances,
        known=spans,
        unknown=spans,
    ),
    st.builds(
        AttendanceFact,
        kind=st.sampled_from(sorted(OF_ATTENDANCE - UNDECIDED)),
        at=times,
        booking=bookings,
        attendance=verdicts,
        known=spans,
        unknown=spans,
        freed=st.none() | spans,
        recovered=st.booleans(),
    ),
    st.builds(
        UseFact,
        kind=st.just(FactKind.ROOM_USED_UNBOOKED),
        at=times,
        use=st.builds(Use, since=times, evidence=st.lists(noticed, max_size=2).map(tuple)),
        until=times,
    ),
    st.builds(
        BookingFact,
        kind=_kinds("booking"),
        at=times,
        booking=bookings,
        previous=st.none() | bookings,
        cause=maybe_words,
        recovered=st.booleans(),
    ),
    st.builds(
        ReleaseFact,
        kind=st.sampled_from(sorted(OF_RELEASES)),
        at=times,
        booking=bookings,
        attempt=attempts,
        freed_from=st.none() | times,
        witnesses=st.lists(words, max_size=2).map(tuple),
        evidence=st.lists(noticed, max_size=2).map(tuple),
        cause=maybe_words,
    ),
    st.builds(
        OccupancyFact,
        kind=_kinds("occupancy"),
        at=times,
        occupancy=occupancies,
        previous=occupancies,
        recovered=st.booleans(),
    ),
    st.builds(
        DeviceFact,
        kind=_kinds("device"),
        at=times,
        device=devices,
        cause=maybe_words,
        recovered=st.booleans(),
    ),
    st.builds(
        CalendarFact,
        kind=st.sampled_from(
            [FactKind.CALENDAR_CONNECTED, FactKind.CALENDAR_DEGRADED, FactKind.CALENDAR_REVOKED]
        ),
        at=times,
        calendar=linked,
        state=calendars,
        cause=maybe_words,
    ),
    st.builds(
        CalendarFact,
        kind=st.just(FactKind.CALENDAR_SWITCHED),
        at=times,
        calendar=st.none() | st.sampled_from(CalendarKind),
        previous=st.none() | st.sampled_from(CalendarKind),
        cause=maybe_words,
    ),
)
gaps = st.builds(
    OutboxGap,
    at=times,
    stream=slugs.map(lambda room: f"rooms/{room}"),
    epoch=words,
    first=counts,
    last=counts,
    count=st.integers(min_value=1, max_value=2**53),
    reason=words,
)
resets = st.builds(OutboxReset, at=times, previous_epoch=st.none() | words, salvaged=counts, reason=words)
sensors = st.builds(
    SensorState,
    id=words.map(SensorId),
    phase=st.sampled_from(SensorPhase),
    since=times,
    why=maybe_words,
    said_at=st.none() | times,
    heard=occupancies,
)
rooms = st.builds(
    Room,
    id=st.just(FJORD),
    devices=st.lists(devices, max_size=3).map(lambda found: {device.id: device for device in found}),
    calendars=st.lists(calendars, max_size=2).map(lambda found: {each.kind: each for each in found}),
    believed=st.none() | linked,
    bookings=st.lists(bookings, max_size=6).map(lambda found: {booking.key: booking for booking in found}),
    third_party=st.lists(sensors, max_size=2).map(lambda found: {each.id: each for each in found}),
    occupancy=occupancies,
    occupancy_since=st.none() | times,
)


def booking(
    key: str = "k1",
    *,
    starts_at: datetime = NINE,
    minutes: int = 60,
    phase: BookingPhase = BookingPhase.CONFIRMED,
    meeting: Meeting | None = None,
    requested_at: datetime | None = None,
) -> Booking:
    """A booking at nine that everybody knows."""
    return Booking(
        key=BookingKey(key),
        phase=phase,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=minutes),
        since=NINE,
        seen_at=NINE,
        calendar=CalendarKind.HYBRID,
        meeting_id=MeetingId(f"m-{key}"),
        booking_ids={DeviceId("board"): BookingId("webex-1")},
        requested_at=requested_at,
        meeting=meeting
        or Meeting(title="Budget", organizer="Kari", platform="Webex", join="sip:1@example.com"),
    )


def device(
    name: str = "board", phase: DevicePhase = DevicePhase.CONNECTED, *shortcomings: str
) -> DeviceState:
    """A device since nine o'clock."""
    return DeviceState(
        id=DeviceId(name), phase=phase, since=NINE, shortcomings=shortcomings, firmware="ce11.24"
    )


def room(*devices_in_it: DeviceState, bookings_in_it: tuple[Booking, ...] = ()) -> Room:
    """The room Fjord with these in it."""
    return Room(
        id=FJORD,
        devices={it.id: it for it in devices_in_it},
        bookings={it.key: it for it in bookings_in_it},
    )
