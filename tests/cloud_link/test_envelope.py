"""A fact is sealed once, as the contract says, and what is not known is said to be not known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from agent.core.facts import (
    BookingFact,
    CalendarFact,
    DayFact,
    DeviceFact,
    Fact,
    FactKind,
    OccupancyFact,
    ReleaseFact,
)
from agent.core.model import (
    NOTHING_KNOWN,
    AgentId,
    Booking,
    BookingKey,
    BookingPhase,
    CalendarKind,
    CalendarPhase,
    CalendarState,
    Counted,
    DeviceId,
    DevicePhase,
    EntryId,
    Evidence,
    EvidenceKind,
    Meeting,
    Occupancy,
    ReleaseAttempt,
    ReleasePhase,
    Room,
    RoomId,
    SensorId,
    SensorState,
    SiteId,
    WorkingHours,
)
from cloud_link.contract import AgentState, ClockState, RoomReach
from cloud_link.envelope import (
    EVENTS,
    AgentFactKind,
    Calendars,
    Envelope,
    Heard,
    OutboxGap,
    OutboxReset,
    Privacy,
    Site,
    Vitals,
    agent_health,
    agent_status,
    availability,
    calendars_turned,
    room_reach,
    room_state,
    seal,
    seal_own,
)
from cloud_link.privacy import dropped, plain
from tests.cloud_link.made import FJORD, NINE, OSLO, SITE, at_leisure, booking, device, facts, room, rooms


def sealed(fact: Fact, *, number: int = 7, privacy: Privacy = plain) -> Envelope:
    return seal(
        fact,
        room=FJORD,
        site=SITE,
        epoch="e1",
        number=number,
        recorded_at=NINE,
        clock=ClockState.SYNCED,
        privacy=privacy,
    )


def said(fact: Fact, *, privacy: Privacy = plain) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(sealed(fact, privacy=privacy).payload)
    return event


def occupied(people: int | None) -> OccupancyFact:
    return OccupancyFact(
        kind=FactKind.OCCUPANCY_CHANGED, at=NINE, occupancy=Occupancy(people=people), previous=Occupancy()
    )


def became(
    kind: FactKind,
    now: Booking | None = None,
    *,
    before: Booking | None = None,
    cause: str | None = None,
) -> BookingFact:
    return BookingFact(kind=kind, at=NINE, booking=now or booking(), previous=before, cause=cause)


# ── the envelope ──────────────────────────────────────────────────────────────────────────────────


@at_leisure
@given(facts)
def test_the_same_fact_is_the_same_bytes(fact: Fact):
    assert sealed(fact) == sealed(fact)


@at_leisure
@given(facts)
def test_topic_type_and_stream_follow_from_the_kind_and_the_room(fact: Fact):
    envelope = sealed(fact)
    noun, past = fact.kind.split(".")
    event = json.loads(envelope.payload)
    assert envelope.topic == f"roomd/v1/oslo-lysaker/rooms/fjord/events/{noun}"
    assert event["type"] == f"roomd.{noun}.{past}.v1"
    assert event["source"] == "/sites/oslo-lysaker/rooms/fjord"
    assert (envelope.stream, envelope.kind) == ("rooms/fjord", fact.kind)


def test_the_id_is_the_epoch_and_the_number_and_the_sequence_is_a_string():
    event = json.loads(sealed(occupied(1), number=4711).payload)
    assert (event["id"], event["sequence"]) == ("e1-4711", "4711")


@at_leisure
@given(facts)
def test_attribute_names_are_as_cloudevents_allows_them(fact: Fact):
    event = json.loads(sealed(fact).payload)
    assert event["specversion"] == "1.0"
    assert all(name.isalnum() and name == name.lower() and len(name) <= 20 for name in event)
    assert all(event[name] not in (None, "") for name in event), "CloudEvents knows no null attributes"


def test_every_kind_of_fact_has_its_envelope():
    assert set(EVENTS) == set(FactKind) | set(AgentFactKind)


def test_the_subject_is_what_it_is_about():
    lost = DeviceFact(kind=FactKind.DEVICE_LOST, at=NINE, device=device("board"))
    assert said(became(FactKind.BOOKING_STARTED))["subject"] == "k1"
    assert said(lost)["subject"] == "board"
    assert said(occupied(1))["subject"] == "fjord"


def test_times_are_utc_with_milliseconds_and_z():
    at = datetime(2026, 3, 2, 10, 0, 0, 123999, tzinfo=OSLO)
    assert said(replace(occupied(1), at=at))["time"] == "2026-03-02T09:00:00.123Z"


def test_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        sealed(replace(occupied(1), at=datetime(2026, 3, 2, 9)))  # noqa: DTZ001  (that is the point)


def test_what_was_found_after_a_gap_says_so():
    assert said(replace(occupied(1), recovered=True))["recovered"] is True
    assert said(occupied(1))["recovered"] is False


# ── what is in it ─────────────────────────────────────────────────────────────────────────────────


def test_unknown_people_are_null_and_not_nobody():
    assert said(occupied(None))["data"]["people"] is None
    assert said(occupied(0))["data"]["people"] == 0


def test_a_confirmation_says_how_long_the_answer_took():
    asked = booking(requested_at=NINE - timedelta(seconds=21.5))
    assert said(became(FactKind.BOOKING_CONFIRMED, asked))["data"]["after_s"] == 21.5


def test_a_confirmation_that_nobody_asked_for_took_no_time_at_all():
    assert said(became(FactKind.BOOKING_CONFIRMED))["data"]["after_s"] is None


def test_an_answer_before_its_question_took_no_time():
    asked = booking(requested_at=NINE + timedelta(seconds=2))
    assert said(became(FactKind.BOOKING_CONFIRMED, asked))["data"]["after_s"] == 0


@pytest.mark.parametrize("kind", [FactKind.BOOKING_FAILED, FactKind.BOOKING_DELETED])
def test_failure_and_deletion_say_why(kind: FactKind):
    assert said(became(kind, cause="declined"))["data"]["cause"] == "declined"


def test_a_release_tells_what_it_freed_who_said_that_nobody_is_there_and_what_was_noticed():
    attempt = ReleaseAttempt(
        booking=BookingKey("k1"),
        phase=ReleasePhase.RELEASED,
        since=NINE + timedelta(minutes=12),
        starts_at=NINE,
        ends_at=NINE + timedelta(hours=1),
        due_at=NINE + timedelta(minutes=10),
        empty_since=NINE + timedelta(minutes=1),
        warned_at=NINE + timedelta(minutes=10),
    )
    passed_by = Evidence(
        kind=EvidenceKind.PRESENCE,
        by="fjord-codec",
        first_at=NINE,
        last_at=NINE + timedelta(seconds=20),
        lasted=timedelta(seconds=20),
    )
    fact = ReleaseFact(
        kind=FactKind.BOOKING_RELEASED,
        at=NINE + timedelta(minutes=12),
        booking=booking(),
        attempt=attempt,
        freed_from=NINE + timedelta(minutes=12),
        witnesses=(DeviceId("fjord-codec"),),
        evidence=(passed_by,),
    )
    event = said(fact)
    data = event["data"]
    assert (event["type"], event["subject"]) == ("roomd.booking.released.v1", "k1")
    assert (data["minutes_freed"], data["witnesses"], data["cause"]) == (48.0, ["fjord-codec"], None)
    assert data["grace_over_at"] == data["warned_at"] == "2026-03-02T09:10:00.000Z"
    assert data["evidence"][0]["seconds"] == 20.0
    kept = said(replace(fact, kind=FactKind.BOOKING_KEPT, freed_from=None, cause="answered"))["data"]
    assert (kept["minutes_freed"], kept["freed_from"], kept["cause"]) == (None, None, "answered")


def test_a_move_says_the_times_before_and_nothing_else_of_before():
    before = replace(booking(), ends_at=NINE + timedelta(minutes=30))
    assert said(became(FactKind.BOOKING_MOVED, before=before))["data"]["previous"] == {
        "ends_at": "2026-03-02T09:30:00.000Z"
    }


def test_an_update_says_the_title_before():
    before = replace(booking(), meeting=replace(booking().meeting, title="Standup"))
    data = said(became(FactKind.BOOKING_UPDATED, before=before))["data"]
    assert (data["title"], data["previous"]) == ("Budget", {"title": "Standup"})


def test_dropped_the_update_says_that_the_title_changed_and_not_from_what():
    before = replace(booking(), meeting=replace(booking().meeting, title="Standup"))
    data = said(became(FactKind.BOOKING_UPDATED, before=before), privacy=dropped)["data"]
    assert (data["title"], data["previous"]) == (None, {"title": None})


def test_a_meeting_that_has_become_private_does_not_tell_its_title_again():
    now = replace(booking(), meeting=Meeting(title="Notice", organizer="Kari", private=True))
    before = replace(booking(), meeting=Meeting(title="Notice of Ola", organizer="Kari"))
    envelope = sealed(became(FactKind.BOOKING_UPDATED, now, before=before))
    assert b"Notice" not in envelope.payload
    assert json.loads(envelope.payload)["data"]["previous"] == {"private": False, "title": None}


@at_leisure
@given(facts)
def test_dropped_no_private_field_leaves(fact: Fact):
    data = said(fact, privacy=dropped)["data"]
    if isinstance(fact, BookingFact):
        assert not any(data[name] for name in ("title", "organizer", "attendees", "join", "description"))
        previous = data.get("previous") or {}
        assert not any(previous.get(name) for name in ("title", "organizer", "join"))


# ── the agent's own ───────────────────────────────────────────────────────────────────────────────


def test_a_gap_is_told_by_the_agent_and_is_about_the_stream():
    gap = OutboxGap(at=NINE, stream="rooms/fjord", epoch="e1", first=3, last=9, count=5, reason="disk budget")
    envelope = seal_own(gap, site=SITE, epoch="e1", number=2, recorded_at=NINE, clock=ClockState.UNSYNCED)
    event = json.loads(envelope.payload)
    assert envelope.topic == "roomd/v1/oslo-lysaker/agents/agent-1/events/outbox"
    assert (envelope.stream, envelope.id, envelope.kind) == ("agents/agent-1", "e1-2", "outbox.gap")
    assert (event["source"], event["subject"]) == ("/sites/oslo-lysaker/agents/agent-1", "rooms/fjord")
    assert event["clock"] == "unsynced"
    assert (event["data"]["first"], event["data"]["last"], event["data"]["count"]) == (3, 9, 5)


def test_a_reset_names_both_epochs():
    reset = OutboxReset(at=NINE, previous_epoch="e1", salvaged=17, reason="malformed")
    envelope = seal_own(reset, site=SITE, epoch="e2", number=1, recorded_at=NINE, clock=ClockState.SYNCED)
    event = json.loads(envelope.payload)
    assert (event["id"], event["subject"]) == ("e2-1", "agent-1")
    assert (event["data"]["epoch"], event["data"]["previous_epoch"]) == ("e2", "e1")


# ── where things go ───────────────────────────────────────────────────────────────────────────────


def test_topics_are_as_the_contract_names_them():
    assert SITE.status == "roomd/v1/oslo-lysaker/agents/agent-1/status"
    assert SITE.health == "roomd/v1/oslo-lysaker/agents/agent-1/health"
    assert SITE.availability(FJORD) == "roomd/v1/oslo-lysaker/rooms/fjord/availability"
    assert SITE.state(FJORD) == "roomd/v1/oslo-lysaker/rooms/fjord/state"


@pytest.mark.parametrize("name", ["", "Fjord", "a/b", "+", "#", "-a", "a b", "å", "a" * 64, "a\n"])
def test_a_name_that_cannot_stand_in_a_topic_is_refused(name: str):
    with pytest.raises(ValueError, match="cannot stand in a topic"):
        Site(site=SiteId(name), agent=AgentId("a"))
    with pytest.raises(ValueError, match="cannot stand in a topic"):
        SITE.state(RoomId(name))


@pytest.mark.parametrize("root", ["", "/", "a/", "/a", "a//b", "$SYS", "a+", "#", "a b", "a\x00"])
def test_a_root_that_cannot_begin_a_topic_is_refused(root: str):
    with pytest.raises(ValueError, match="cannot begin a topic"):
        Site(site=SiteId("s"), agent=AgentId("a"), root=root)


@pytest.mark.parametrize("root", ["a/b/c", "r" * 120])
def test_a_root_that_some_brokers_cannot_carry_is_refused(root: str):
    with pytest.raises(ValueError, match="some brokers refuse"):
        Site(site=SiteId("s" * 63), agent=AgentId("a"), root=root)


def test_the_longest_names_still_make_topics_that_every_broker_carries():
    site = Site(site=SiteId("s" * 63), agent=AgentId("a" * 63), root="roomd/eu")
    topic = site.room_events(RoomId("r" * 63), "occupancy")
    assert topic.count("/") <= 7
    assert len(topic.encode()) <= 256


# ── the latest of a room ──────────────────────────────────────────────────────────────────────────


def state_of(it: Room, *, now: datetime = NINE) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(room_state(it, now=now, privacy=plain))
    return state


@at_leisure
@given(rooms)
def test_the_same_state_is_the_same_bytes_a_moment_later(it: Room):
    moment = datetime(2019, 1, 1, tzinfo=UTC)  # before all bookings: nothing starts or ends in between
    assert room_state(it, now=moment, privacy=plain) == room_state(
        it, now=moment + timedelta(minutes=1), privacy=plain
    )


def test_the_agenda_is_in_order_with_what_is_on_and_what_comes_next():
    later = booking("later", starts_at=NINE + timedelta(hours=2))
    now = booking("now", phase=BookingPhase.STARTED)
    gone = booking("gone", phase=BookingPhase.DELETED)
    state = state_of(room(device(), bookings_in_it=(later, gone, now)), now=NINE + timedelta(minutes=5))
    assert [entry["key"] for entry in state["agenda"]] == ["now", "later"]
    assert (state["current"]["key"], state["next"]["key"]) == ("now", "later")
    assert state["current"] == state["agenda"][0]
    assert state["hold"] is None
    assert state["calendar"]["believed"] == "hybrid"


def test_a_room_of_which_nothing_is_known_says_so():
    state = state_of(room())
    assert (state["agenda"], state["current"], state["next"]) == ([], None, None)
    assert state["calendar"] == {"believed": None, "listed_at": None, "fresh": False}
    assert set(state["occupancy"].values()) == {None}


@pytest.mark.parametrize(
    ("devices", "reach"),
    [
        ((), RoomReach.UNKNOWN),
        ((DevicePhase.UNHEARD,), RoomReach.UNKNOWN),
        ((DevicePhase.CONNECTED, DevicePhase.CONNECTED), RoomReach.AVAILABLE),
        ((DevicePhase.CONNECTED, DevicePhase.LOST), RoomReach.DEGRADED),
        ((DevicePhase.CONNECTED, DevicePhase.UNHEARD), RoomReach.DEGRADED),
        ((DevicePhase.LOST, DevicePhase.LOST), RoomReach.UNAVAILABLE),
        ((DevicePhase.LOST, DevicePhase.UNHEARD), RoomReach.UNAVAILABLE),
        ((DevicePhase.REFUSED,), RoomReach.UNAVAILABLE),
    ],
)
def test_a_room_is_heard_as_its_devices_are(devices: tuple[DevicePhase, ...], reach: RoomReach):
    assert room_reach(room(*(device(f"d{nth}", phase) for nth, phase in enumerate(devices)))) is reach


def test_a_shortcoming_degrades_the_room_and_is_told():
    told = json.loads(availability(room(device("board", DevicePhase.CONNECTED, "people are not counted"))))
    assert (told["state"], told["why"]) == ("degraded", "board: people are not counted")
    assert told["devices"][0]["firmware"] == "ce11.24"


def test_a_room_in_order_has_no_why():
    told = json.loads(availability(room(device())))
    assert (told["state"], told["why"], told["since"]) == ("available", None, "2026-03-02T09:00:00.000Z")


# ── the latest of the agent ───────────────────────────────────────────────────────────────────────


def test_a_death_keeps_the_number_of_its_connection():
    death = agent_status(
        SITE, state=AgentState.OFFLINE, connection=12, since=None, version="0.1.0", reason="lost"
    )
    assert json.loads(death) == {
        "agent": "agent-1",
        "state": "offline",
        "connection": 12,
        "since": None,
        "version": "0.1.0",
        "reason": "lost",
    }


def test_health_counts_the_devices_of_all_rooms_by_phase():
    vitals = Vitals(
        at=NINE,
        outbox_depth=0,
        outbox_oldest_age_s=None,
        outbox_bytes=0,
        outbox_drops=0,
        acknowledged_at=None,
        clock=ClockState.SYNCED,
    )
    several = (room(device("a"), device("b", DevicePhase.LOST)), room(device("c")), room())
    told = json.loads(agent_health(SITE, vitals, rooms=several))
    assert told["devices"] == {"unheard": 0, "connected": 2, "lost": 1, "refused": 0}
    assert told["outbox"] == {"depth": 0, "oldest_age_s": None, "bytes": 0, "drops": 0}
    assert told["commands"] is None


def test_health_says_what_became_of_commands():
    vitals = Vitals(
        at=NINE,
        outbox_depth=0,
        outbox_oldest_age_s=None,
        outbox_bytes=0,
        outbox_drops=0,
        acknowledged_at=None,
        clock=ClockState.SYNCED,
        commands=Heard(kept=3, repeated=2, refused=1, deaf_why="the broker refuses it (0x87)"),
    )
    told = json.loads(agent_health(SITE, vitals, rooms=()))
    assert told["commands"] == {
        "kept": 3,
        "repeated": 2,
        "refused": 1,
        "deaf_why": "the broker refuses it (0x87)",
    }


def test_health_says_how_the_calendars_of_each_service_stand():
    stand = Calendars(
        service="microsoft",
        phase=CalendarPhase.CREDENTIAL,
        since=NINE,
        why="the secret has expired; make a new one",
        rooms=12,
        readable=0,
    )
    vitals = Vitals(
        at=NINE,
        outbox_depth=0,
        outbox_oldest_age_s=None,
        outbox_bytes=0,
        outbox_drops=0,
        acknowledged_at=None,
        clock=ClockState.SYNCED,
        calendars=(stand,),
    )
    assert json.loads(agent_health(SITE, vitals, rooms=()))["calendars"] == [
        {
            "service": "microsoft",
            "phase": "operator credential",
            "since": "2026-03-02T09:00:00.000Z",
            "why": "the secret has expired; make a new one",
            "rooms": 12,
            "readable": 0,
        }
    ]


@pytest.mark.parametrize(
    ("phase", "kind"),
    [
        (CalendarPhase.ACTIVE, "calendar.connected"),
        (CalendarPhase.DEGRADED, "calendar.degraded"),
        (CalendarPhase.CREDENTIAL, "calendar.degraded"),
        (CalendarPhase.CLOCK_SKEW, "calendar.degraded"),
        (CalendarPhase.REVOKED, "calendar.revoked"),
    ],
)
def test_the_agent_tells_how_the_calendars_of_a_service_turned(phase: CalendarPhase, kind: str):
    turned = calendars_turned("webex", phase, why="consent again", at=NINE)
    assert turned is not None
    sealed = seal_own(turned, site=SITE, epoch="e1", number=7, recorded_at=NINE, clock=ClockState.SYNCED)
    event = json.loads(sealed.payload)
    assert (sealed.kind, event["type"]) == (kind, f"roomd.{kind}.v1")
    assert sealed.topic == SITE.agent_events("calendar")
    assert (event["source"], event["subject"]) == (f"/sites/{SITE.site}/agents/{SITE.agent}", "webex")
    assert event["data"] == {
        "calendar": "webex",
        "phase": phase.value,
        "since": "2026-03-02T09:00:00.000Z",
        "listed_at": None,
        "why": "consent again",
        "cause": "consent again",
    }


def test_that_calendars_are_being_connected_is_no_news():
    assert calendars_turned("google", CalendarPhase.CONNECTING, why=None, at=NINE) is None


# ── linked calendars ──────────────────────────────────────────────────────────────────────────────


def mailbox(phase: CalendarPhase = CalendarPhase.ACTIVE, why: str | None = None) -> CalendarState:
    return CalendarState(
        kind=CalendarKind.MICROSOFT, phase=phase, since=NINE, why=why, listed_at=NINE, recovering=False
    )


def only_calendars(*states: CalendarState) -> Room:
    return Room(id=FJORD, calendars={state.kind: state for state in states})


def test_a_calendar_fact_is_about_the_calendar_and_says_what_to_do():
    state = mailbox(CalendarPhase.REVOKED, "consent again")
    fact = CalendarFact(
        kind=FactKind.CALENDAR_REVOKED, at=NINE, calendar=state.kind, state=state, cause=state.why
    )
    event = said(fact)
    assert event["subject"] == "microsoft"
    assert (event["data"]["phase"], event["data"]["cause"]) == ("revoked", "consent again")


def test_a_switch_is_about_the_room_and_says_who_is_believed_and_who_was():
    fact = CalendarFact(
        kind=FactKind.CALENDAR_SWITCHED,
        at=NINE,
        calendar=CalendarKind.HYBRID,
        previous=CalendarKind.MICROSOFT,
        cause="consent is gone",
    )
    event = said(fact)
    assert event["subject"] == "fjord"
    assert event["data"] == {"calendar": "hybrid", "previous": "microsoft", "cause": "consent is gone"}


@pytest.mark.parametrize(
    ("phase", "reach"),
    [
        (CalendarPhase.ACTIVE, RoomReach.AVAILABLE),
        (CalendarPhase.CONNECTING, RoomReach.UNKNOWN),
        (CalendarPhase.DEGRADED, RoomReach.UNAVAILABLE),
        (CalendarPhase.REVOKED, RoomReach.UNAVAILABLE),
    ],
)
def test_a_room_without_devices_is_reached_as_its_calendar_is(phase: CalendarPhase, reach: RoomReach):
    assert room_reach(only_calendars(mailbox(phase))) is reach


def test_a_calendar_out_of_reach_degrades_a_room_whose_devices_are_well():
    heard = replace(
        only_calendars(mailbox(CalendarPhase.CREDENTIAL, "make a new secret")),
        devices={DeviceId("board"): replace(device("board"), phase=DevicePhase.CONNECTED)},
    )
    told = json.loads(availability(heard))
    assert told["state"] == "degraded"
    assert told["why"] == "microsoft calendar: make a new secret"
    assert [calendar["phase"] for calendar in told["calendars"]] == ["operator credential"]


def test_the_state_says_which_calendar_is_believed_as_of_when_and_what_waits_for_a_link():
    entries = {CalendarKind.MICROSOFT: EntryId("e1")}
    booked = replace(
        booking(),
        calendar=CalendarKind.MICROSOFT,
        entries=entries,
        join_pending=True,
        starts_at=NINE,
        ends_at=NINE + timedelta(hours=1),
    )
    known = replace(only_calendars(mailbox()), believed=CalendarKind.MICROSOFT, bookings={booked.key: booked})
    told = json.loads(room_state(known, now=NINE, privacy=plain))
    assert told["calendar"] == {
        "believed": "microsoft",
        "listed_at": "2026-03-02T09:00:00.000Z",
        "fresh": True,
    }
    assert [(b["entry_id"], b["join_pending"]) for b in told["agenda"]] == [("e1", True)]


# ── days ──────────────────────────────────────────────────────────────────────────────────────────


def a_day(**counted: float) -> DayFact:
    return DayFact(
        kind=FactKind.ROOM_DAY,
        at=NINE,
        day=date(2026, 3, 29),
        starts_at=NINE - timedelta(hours=23),
        counted=Counted(**counted),  # type: ignore[arg-type]
        working=WorkingHours(length_s=36_000, in_use_s=90),
        capacity=None,
    )


def test_a_day_is_told_of_its_room_in_minutes_and_is_as_long_as_it_was():
    event = said(
        a_day(in_use_s=5400, attended_s=3600, people_min=100, counted_s=3000, people_peak=3, ghosts=2)
    )
    data = event["data"]
    assert (event["subject"], event["time"]) == ("fjord", "2026-03-02T09:00:00.000Z")
    assert (data["day"], data["length_min"]) == ("2026-03-29", 1380)
    assert (data["in_use_min"], data["attended_min"], data["unbooked_min"]) == (90, 60, 30)
    assert (data["people_average"], data["people_peak"], data["ghosts"]) == (2.0, 3, 2)
    assert data["working"] == {"length_min": 600, "booked_min": 0, "in_use_min": 1.5, "unknown_min": 0}


def test_people_who_were_never_counted_are_null_and_not_none():
    data = said(a_day(in_use_s=5400))["data"]
    assert (data["people_average"], data["people_peak"], data["capacity"]) == (None, None, None)


@pytest.mark.parametrize(
    ("said_at", "heard", "trouble", "reach"),
    [
        (None, NOTHING_KNOWN, "it has said nothing yet", RoomReach.UNKNOWN),
        (NINE, NOTHING_KNOWN, "it speaks, and has said nothing of people yet", RoomReach.UNKNOWN),
        (NINE, Occupancy(presence=True), None, RoomReach.AVAILABLE),
    ],
    ids=["silent", "battery", "before a restart"],
)
def test_a_sensor_that_says_nothing_of_people_is_no_better_than_none(said_at, heard, trouble, reach):
    ceiling = SensorState(id=SensorId("ceiling"), since=NINE, said_at=said_at, heard=heard)
    told = json.loads(availability(replace(room(), third_party={ceiling.id: ceiling})))
    assert (told["sensors"][0]["why"], told["state"]) == (trouble, reach)
