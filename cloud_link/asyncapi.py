"""The contract as documents: AsyncAPI 3.0 of all that roomd says and hears, and its models' JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final, Literal, get_args

from msgspec import Struct
from msgspec.json import schema_components

from agent.core.facts import (
    AttendanceFact,
    BookingFact,
    CalendarFact,
    DayFact,
    DeviceFact,
    Fact,
    FactKind,
    HoldFact,
    OccupancyFact,
    ReleaseFact,
    UseFact,
)
from agent.core.model import (
    AgentId,
    Attendance,
    AttendancePhase,
    Booking,
    BookingId,
    BookingKey,
    BookingPhase,
    CalendarKind,
    CalendarPhase,
    CalendarState,
    Counted,
    DeviceId,
    DevicePhase,
    DeviceState,
    EntryId,
    Evidence,
    EvidenceKind,
    FeedbackId,
    Hold,
    HoldId,
    HoldPhase,
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
    Surface,
    Use,
    WorkingHours,
)
from agent.core.orders import Answer, AnswerStatus, CommandId
from cloud_link import contract
from cloud_link.contract import AgentState, ClockState
from cloud_link.envelope import (
    AgentFact,
    Calendars,
    Heard,
    OutboxGap,
    OutboxReset,
    Site,
    Vitals,
    agent_health,
    agent_status,
    answer_body,
    availability,
    room_state,
    seal,
    seal_own,
)
from cloud_link.privacy import plain

Document = dict[str, Any]  # JSON

DOCS: Final = Path(__file__).parents[1] / "docs"  # in a checkout; an installed package has none
ASYNCAPI_FILE: Final = "asyncapi.json"
SCHEMA_FILE: Final = "events.schema.json"
CONTRACT_VERSION: Final = (
    "1.5.0"  # the middle number counts additions; a change of meaning is a v2 in the topics
)
HEALTH_EXPIRES_AFTER_S: Final = 180  # three periods

INTRODUCTION: Final = """
What roomd tells the cloud about a site's rooms, over MQTT 5 (or 3.1.1) with QoS 1.

Events are CloudEvents 1.0 in structured JSON. Each is kept on the site's disk until the broker has
acknowledged it, and sent again until then with the same bytes: expect repeats, and remove them by `source`
and `id`. Within a source they come in order, and `sequence` counts without gaps within an epoch (the part of
`id` before its last hyphen). What had to be dropped is told by `outbox.gap`; a number that is missing and not
told so is still on its way.

What is the latest of something is retained, and published again on every connection.

Commands come the other way, with QoS 1 and never retained. A command is on the site's disk before it is
acknowledged, is done once however often it comes, and is answered at least once: on its Response Topic with
its Correlation Data (MQTT 5; the topic must lie under `{root}/v1/{site}/`, and not where anything else is
said), else on the room's or the agent's `responses`. Whatever is wrong with a command is said in the answer's
`reason`.

Additions are free within v1: accept attributes, types and words that are not listed here. A change of meaning
gets another version in topic and type. Times are RFC 3339 in UTC with milliseconds. Null means: not known.
The examples show `privacy = "plain"`.
"""

PARAMETERS: Final[dict[str, Document]] = {
    "root": {"description": "What all topics of roomd begin with.", "default": "roomd"},
    "site": {"description": "The site's id.", "examples": ["oslo-lysaker"]},
    "agent": {"description": "The id of the agent (the daemon) at the site.", "examples": ["agent-1"]},
    "room": {"description": "The room's id.", "examples": ["fjord"]},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A topic, and what is said or heard there."""

    name: str
    title: str
    address: str
    description: str
    models: tuple[type[Struct], ...]
    retained: bool
    expires_after_s: int | None = None
    action: Literal["send", "receive"] = "send"
    answered_in: str | None = None  # the channel of its answers, where it names no Response Topic


def _channels() -> tuple[Channel, ...]:
    return (
        Channel(
            name="agentStatus",
            title="Agent status",
            address="{root}/v1/{site}/agents/{agent}/status",
            description="Birth and death of the agent's connection; the broker may tell the death (will).",
            models=(contract.AgentStatus,),
            retained=True,
        ),
        Channel(
            name="agentHealth",
            title="Agent health",
            address="{root}/v1/{site}/agents/{agent}/health",
            description="How the agent does, every 60 seconds.",
            models=(contract.AgentHealth,),
            retained=True,
            expires_after_s=HEALTH_EXPIRES_AFTER_S,
        ),
        Channel(
            name="roomAvailability",
            title="Room availability",
            address="{root}/v1/{site}/rooms/{room}/availability",
            description="Whether the room is heard, and what is wrong if it is not.",
            models=(contract.RoomAvailability,),
            retained=True,
        ),
        Channel(
            name="roomState",
            title="Room state",
            address="{root}/v1/{site}/rooms/{room}/state",
            description="The latest of the room: agenda, occupancy, calendar. Coalesced, not an event.",
            models=(contract.RoomState,),
            retained=True,
        ),
        *_event_channels("rooms/{room}", contract.RoomFactEvent, {}),
        *_event_channels("agents/{agent}", contract.AgentFactEvent, {"calendar": "siteCalendarEvents"}),
        *_command_channels("rooms/{room}", contract.ROOM_COMMANDS, "roomResponses"),
        *_command_channels("agents/{agent}", contract.AGENT_COMMANDS, "agentResponses"),
        *(
            Channel(
                name=f"{whose}Responses",
                title=f"{whose.capitalize()} responses",
                address=f"{{root}}/v1/{{site}}/{whose}s/{{{whose}}}/responses",
                description="Answers to commands that name no Response Topic.",
                models=(contract.CommandAnswer,),
                retained=False,
            )
            for whose in ("room", "agent")
        ),
    )


def _event_channels(whose: str, events: object, names: Mapping[str, str]) -> Iterator[Channel]:
    by_noun: dict[str, list[type[Struct]]] = {}
    for model in get_args(events):
        by_noun.setdefault(_type_of(model).split(".")[1], []).append(model)
    for noun, models in by_noun.items():
        what = f"all {noun}s of a service" if noun in names else f"the {noun}"
        yield Channel(
            name=names.get(noun, f"{noun}Events"),
            title=f"{noun.capitalize()} events" + (" of the site" if noun in names else ""),
            address=f"{{root}}/v1/{{site}}/{whose}/events/{noun}",
            description=f"What became of {what}, in order within its source.",
            models=tuple(models),
            retained=False,
        )


def _command_channels(
    whose: str, commands: Mapping[str, type[Struct]], answered_in: str
) -> tuple[Channel, ...]:
    return tuple(
        Channel(
            name=f"{model.__name__[0].lower()}{model.__name__[1:]}",
            title=name,
            address=f"{{root}}/v1/{{site}}/{whose}/commands/{name}",
            description=_first_line(model),
            models=(model,),
            retained=False,
            action="receive",
            answered_in=answered_in,
        )
        for name, model in commands.items()
    )


def _first_line(model: type[Struct]) -> str:
    return cleandoc(model.__doc__ or "").partition("\n")[0]


def _type_of(model: type[Struct]) -> str:
    return str(model.__struct_config__.tag)


# ── the documents ─────────────────────────────────────────────────────────────────────────────────


def asyncapi_document() -> Document:
    """All channels, operations and messages of the contract, each with an example."""
    channels = _channels()
    models = [model for channel in channels for model in channel.models]
    examples = _examples()
    _, schemas = schema_components(models, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "roomd",
            "version": CONTRACT_VERSION,
            "description": cleandoc(INTRODUCTION),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in channels},
        "operations": {f"{c.action}{c.name[0].upper()}{c.name[1:]}": _operation(c) for c in channels},
        "components": {
            "messages": {model.__name__: _message(model, examples[model.__name__]) for model in models},
            "schemas": _tidy(schemas),
            "parameters": PARAMETERS,
        },
    }


def _channel(channel: Channel) -> Document:
    return {
        "address": channel.address,
        "title": channel.title,
        "description": channel.description,
        "messages": {
            model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model in channel.models
        },
        "parameters": {
            name: {"$ref": f"#/components/parameters/{name}"}
            for name in PARAMETERS
            if f"{{{name}}}" in channel.address
        },
    }


def _operation(channel: Channel) -> Document:
    mqtt: Document = {"qos": 1, "retain": channel.retained, "bindingVersion": "0.2.0"}
    if channel.expires_after_s is not None:
        mqtt["messageExpiryInterval"] = channel.expires_after_s
    operation: Document = {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.description,
        "messages": [
            {"$ref": f"#/channels/{channel.name}/messages/{model.__name__}"} for model in channel.models
        ],
        "bindings": {"mqtt": mqtt},
    }
    if channel.answered_in is not None:
        operation["reply"] = {
            "channel": {"$ref": f"#/channels/{channel.answered_in}"},
            "messages": [{"$ref": f"#/channels/{channel.answered_in}/messages/CommandAnswer"}],
        }
    return operation


def _message(model: type[Struct], example: Document) -> Document:
    event = issubclass(model, contract.CloudEvent)
    return {
        "name": _type_of(model) if event else model.__name__,
        "title": model.__name__,
        "summary": _first_line(model),
        "contentType": "application/cloudevents+json" if event else "application/json",
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": [{"name": "example", "payload": example}],
    }


def json_schemas() -> Document:
    """One JSON Schema: the root is any event, and `$defs` holds every model, also of what is no event."""
    models = [model for channel in _channels() for model in channel.models]
    _, schemas = schema_components(models)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What roomd tells the cloud",
        "description": cleandoc(contract.CloudEvent.__doc__ or ""),
        "oneOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in get_args(contract.Event)],
        "$defs": _tidy(schemas),
    }


def _tidy(schemas: Document) -> Document:
    """Docstrings come with the indentation of their source, in some versions of Python."""
    return {
        name: {**schema, "description": cleandoc(schema["description"])}
        if "description" in schema
        else schema
        for name, schema in sorted(schemas.items())
    }


# ── the committed files ───────────────────────────────────────────────────────────────────────────


def rendered() -> dict[str, str]:
    """The text of each published file, by its name in `docs/`."""
    return {
        name: json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for name, document in ((ASYNCAPI_FILE, asyncapi_document()), (SCHEMA_FILE, json_schemas()))
    }


def stale_files(docs: Path = DOCS) -> tuple[Path, ...]:
    """The published files in this folder that are not what the models say, or are missing."""
    return tuple(
        docs / name
        for name, text in rendered().items()
        if not (docs / name).is_file() or (docs / name).read_text(encoding="utf-8") != text
    )


def publish(docs: Path = DOCS) -> None:
    """Writes the published files into this folder."""
    docs.mkdir(parents=True, exist_ok=True)
    for name, text in rendered().items():
        (docs / name).write_text(text, encoding="utf-8")


# ── the examples ──────────────────────────────────────────────────────────────────────────────────

NINE: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SITE: Final = Site(site=SiteId("oslo-lysaker"), agent=AgentId("agent-1"))
ROOM: Final = RoomId("fjord")
EPOCH: Final = "01jnb7m4"
BOARD: Final = DeviceState(
    id=DeviceId("fjord-board"),
    phase=DevicePhase.CONNECTED,
    since=NINE - timedelta(hours=26),
    product="Cisco Board Pro 55 G2",
    serial="FOC2724NXXX",
    firmware="ce11.24.1.5",
    transport="websocket",
    booted_at=NINE - timedelta(hours=27),
    listed_at=NINE - timedelta(minutes=4),
)
ENTRY: Final = EntryId("AAMkAGI2TG93AAA=")
BOOKING: Final = Booking(
    key=BookingKey("01jnb8f2q6"),
    phase=BookingPhase.CONFIRMED,
    starts_at=NINE,
    ends_at=NINE + timedelta(minutes=30),
    since=NINE + timedelta(seconds=21),
    seen_at=NINE + timedelta(seconds=21),
    calendar=CalendarKind.HYBRID,
    request_id=RequestId("6f2a9d0e-5a53-4c0d-9a39-2f1f0a3f1c11"),
    requested_at=NINE,
    meeting_id=MeetingId("b1946ac92492d2347c6235b4d2611184"),
    booking_ids={BOARD.id: BookingId("webex-12")},
    meeting=Meeting(title="Budget", organizer="Kari Nordmann", platform="Webex", join="budget@example.com"),
)
ASKED: Final = replace(
    BOOKING, phase=BookingPhase.REQUESTED, meeting_id=None, calendar=None, booking_ids={}, since=NINE
)
HOLD: Final = Hold(
    feedback_id=FeedbackId("roomd-4f2c81d09ab3"),
    id=HoldId("hold-7c1e"),
    phase=HoldPhase.SHOWN,
    since=NINE,
    text="Kept for Kari until 09:10",
    starts_at=NINE,
    ends_at=NINE + timedelta(minutes=10),
    surfaces=(Surface.SCREEN,),
    answers=("I'm here", "Release it"),
)
ATTEMPT: Final = ReleaseAttempt(
    booking=BOOKING.key,
    phase=ReleasePhase.RELEASED,
    since=NINE + timedelta(minutes=12),
    starts_at=BOOKING.starts_at,
    ends_at=BOOKING.ends_at,
    due_at=NINE + timedelta(minutes=10),
    empty_since=NINE,
    warned_at=NINE + timedelta(minutes=10),
)
CEILING: Final = SensorState(
    id=SensorId("fjord-sensor"),
    phase=SensorPhase.HEARD,
    since=NINE - timedelta(hours=20),
    said_at=NINE - timedelta(minutes=1),
)
MAILBOX: Final = CalendarState(
    kind=CalendarKind.MICROSOFT,
    phase=CalendarPhase.ACTIVE,
    since=NINE - timedelta(hours=20),
    listed_at=NINE - timedelta(minutes=4),
    recovering=False,
)
COUNTED: Final = Evidence(
    kind=EvidenceKind.PEOPLE,
    by=BOARD.id,
    first_at=NINE + timedelta(minutes=2),
    last_at=NINE + timedelta(minutes=14),
    lasted=timedelta(minutes=12),
)
ATTENDANCE: Final = Attendance(
    booking=BOOKING.key,
    phase=AttendancePhase.ATTENDED,
    since=NINE + timedelta(minutes=3),
    starts_at=NINE,
    begun=True,
    evidence=(COUNTED,),
    came_at=NINE + timedelta(minutes=2),
    seen_at=NINE + timedelta(minutes=2),
    there=True,
    there_since=NINE + timedelta(minutes=2),
    people_peak=4,
)
FORSAKEN: Final = replace(
    ATTENDANCE,
    phase=AttendancePhase.DESERTED,
    evidence=(),
    came_at=None,
    seen_at=None,
    deserted_since=NINE,
    people_peak=None,
)
MIDNIGHT: Final = NINE.replace(day=2, hour=23, minute=0)  # in Oslo
SOMEBODY: Final = Occupancy(people=3, presence=True, in_use=True, in_call=False, sharing=False)
NOBODY: Final = Occupancy(people=0, presence=False, in_use=False, in_call=False, sharing=False)


def _example_facts() -> tuple[Fact, ...]:
    def booking(kind: FactKind, phase: BookingPhase, cause: str | None = None) -> BookingFact:
        source = ASKED if phase is BookingPhase.REQUESTED else BOOKING
        at = BOOKING.since if phase is BookingPhase.CONFIRMED else NINE
        return BookingFact(kind=kind, at=at, booking=replace(source, phase=phase), cause=cause)

    def attended(
        kind: FactKind,
        attendance: Attendance,
        *,
        minutes: int,
        outcome: Outcome | None = None,
        freed: timedelta | None = None,
    ) -> AttendanceFact:
        over = replace(attendance, outcome=outcome, phase=AttendancePhase.OVER)
        return AttendanceFact(
            kind=kind,
            at=NINE + timedelta(minutes=minutes),
            booking=replace(BOOKING, phase=BookingPhase.ENDED if outcome else BookingPhase.STARTED),
            attendance=over if outcome else attendance,
            known=timedelta(minutes=minutes),
            unknown=timedelta(0),
            freed=freed,
        )

    def released(
        kind: FactKind,
        phase: BookingPhase,
        *,
        freed_from: datetime | None = None,
        cause: str | None = None,
    ) -> ReleaseFact:
        rehearsed = kind is FactKind.BOOKING_UNCLAIMED
        told = replace(ATTEMPT, warned_at=None, dry_run=True) if rehearsed else ATTEMPT
        return ReleaseFact(
            kind=kind,
            at=NINE + timedelta(minutes=12),
            booking=replace(BOOKING, phase=phase),
            attempt=told,
            freed_from=freed_from,
            witnesses=(BOARD.id,),
            cause=cause,
        )

    def device(kind: FactKind, phase: DevicePhase, cause: str | None = None) -> DeviceFact:
        return DeviceFact(kind=kind, at=NINE, device=replace(BOARD, phase=phase), cause=cause)

    def calendar(kind: FactKind, phase: CalendarPhase, why: str | None = None) -> CalendarFact:
        state = replace(MAILBOX, phase=phase, why=why)
        return CalendarFact(kind=kind, at=NINE, calendar=MAILBOX.kind, state=state, cause=why)

    moved = replace(BOOKING, ends_at=NINE + timedelta(hours=1))
    renamed = replace(BOOKING, meeting=replace(BOOKING.meeting, title="Budget, second round"))
    no_feature = "PeopleCountOutOfCall is off: people are not counted while there is no call"
    return (
        booking(FactKind.BOOKING_REQUESTED, BookingPhase.REQUESTED),
        booking(FactKind.BOOKING_CONFIRMED, BookingPhase.CONFIRMED),
        BookingFact(
            kind=FactKind.BOOKING_FAILED,
            at=NINE + timedelta(seconds=8),
            booking=replace(ASKED, phase=BookingPhase.FAILED),
            cause="declined",
        ),
        BookingFact(
            kind=FactKind.BOOKING_EXPIRED,
            at=NINE + timedelta(seconds=60),
            booking=replace(ASKED, phase=BookingPhase.EXPIRED),
        ),
        BookingFact(kind=FactKind.BOOKING_MOVED, at=NINE, booking=moved, previous=BOOKING),
        BookingFact(
            kind=FactKind.BOOKING_UPDATED, at=NINE, booking=renamed, previous=BOOKING, recovered=True
        ),
        booking(FactKind.BOOKING_STARTED, BookingPhase.STARTED),
        booking(FactKind.BOOKING_CHECKED_IN, BookingPhase.STARTED),
        booking(FactKind.BOOKING_ENDED, BookingPhase.ENDED),
        booking(FactKind.BOOKING_DELETED, BookingPhase.DELETED, "no_show"),
        attended(FactKind.BOOKING_ATTENDED, ATTENDANCE, minutes=3),
        attended(FactKind.BOOKING_DESERTED, FORSAKEN, minutes=10),
        attended(FactKind.BOOKING_GHOST, FORSAKEN, minutes=30, outcome=Outcome.GHOST),
        attended(
            FactKind.BOOKING_LEFT_EARLY,
            replace(ATTENDANCE, seen_at=COUNTED.last_at, deserted_since=COUNTED.last_at),
            minutes=30,
            outcome=Outcome.LEFT_EARLY,
            freed=BOOKING.ends_at - COUNTED.last_at,
        ),
        attended(FactKind.BOOKING_JUDGED, ATTENDANCE, minutes=30, outcome=Outcome.ATTENDED),
        UseFact(
            kind=FactKind.ROOM_USED_UNBOOKED,
            at=NINE + timedelta(minutes=19),
            use=Use(since=COUNTED.first_at, evidence=(COUNTED,), people_peak=4),
            until=COUNTED.last_at,
        ),
        released(FactKind.BOOKING_RELEASED, BookingPhase.DELETED, freed_from=NINE + timedelta(minutes=12)),
        released(FactKind.BOOKING_UNCLAIMED, BookingPhase.STARTED, freed_from=NINE + timedelta(minutes=12)),
        released(FactKind.BOOKING_KEPT, BookingPhase.STARTED, cause="answered"),
        released(
            FactKind.BOOKING_RELEASE_FAILED,
            BookingPhase.STARTED,
            cause="The account's role is too small to change bookings: give it User, or Admin.",
        ),
        OccupancyFact(kind=FactKind.OCCUPANCY_CHANGED, at=NINE, occupancy=SOMEBODY, previous=NOBODY),
        DayFact(
            kind=FactKind.ROOM_DAY,
            at=MIDNIGHT,
            day=date(2026, 3, 2),
            starts_at=MIDNIGHT - timedelta(days=1),
            counted=Counted(
                booked_s=21600,
                attended_s=14400,
                empty_s=5400,
                in_use_s=16200,
                unknown_s=3600,
                people_min=720,
                counted_s=14400,
                people_peak=6,
                bookings=6,
                attended=3,
                ghosts=1,
                left_early=1,
                unknown=1,
                freed_min=25,
                unbooked=1,
            ),
            working=WorkingHours(length_s=36000, booked_s=19800, in_use_s=14400, unknown_s=1800),
            capacity=8,
        ),
        HoldFact(kind=FactKind.HOLD_PLACED, at=NINE, hold=HOLD),
        HoldFact(kind=FactKind.HOLD_SHOWN, at=NINE, hold=HOLD, device=BOARD.id, surface=Surface.SCREEN),
        HoldFact(
            kind=FactKind.HOLD_ANSWERED,
            at=NINE + timedelta(minutes=4),
            hold=HOLD,
            device=BOARD.id,
            surface=Surface.SCREEN,
            answer="I'm here",
        ),
        HoldFact(
            kind=FactKind.HOLD_EXTENDED,
            at=NINE,
            hold=replace(HOLD, ends_at=NINE + timedelta(minutes=20)),
            previous=HOLD,
        ),
        HoldFact(kind=FactKind.HOLD_ENDED, at=HOLD.ends_at, hold=HOLD, cause="expired"),
        HoldFact(kind=FactKind.HOLD_FAILED, at=NINE, hold=HOLD, cause="no device of the room is heard"),
        device(FactKind.DEVICE_CONNECTED, DevicePhase.CONNECTED),
        device(FactKind.DEVICE_LOST, DevicePhase.LOST, "no answer to a ping for 30 seconds"),
        device(FactKind.DEVICE_REFUSED, DevicePhase.REFUSED, "the device refuses the user name or password"),
        device(FactKind.DEVICE_REBOOTED, DevicePhase.CONNECTED),
        device(FactKind.DEVICE_UPGRADED, DevicePhase.CONNECTED),
        DeviceFact(
            kind=FactKind.DEVICE_MISCONFIGURED,
            at=NINE,
            device=replace(BOARD, shortcomings=(no_feature,)),
            cause=no_feature,
        ),
        calendar(FactKind.CALENDAR_CONNECTED, CalendarPhase.ACTIVE),
        calendar(
            FactKind.CALENDAR_DEGRADED,
            CalendarPhase.CREDENTIAL,
            "the client secret has expired: make a new one for the app, and put it into the secret file",
        ),
        calendar(
            FactKind.CALENDAR_REVOKED,
            CalendarPhase.REVOKED,
            "the app has no consent in this tenant: an administrator must give it again",
        ),
        CalendarFact(
            kind=FactKind.CALENDAR_SWITCHED,
            at=NINE,
            calendar=CalendarKind.MICROSOFT,
            state=MAILBOX,
            previous=CalendarKind.HYBRID,
        ),
    )


def _examples() -> dict[str, Document]:
    """A payload of every message, by the name of its model, made as the real ones are."""
    recorded_at = BOOKING.since + timedelta(milliseconds=4)
    room = Room(
        id=ROOM,
        devices={BOARD.id: BOARD},
        calendars={MAILBOX.kind: MAILBOX},
        believed=MAILBOX.kind,
        bookings={BOOKING.key: replace(BOOKING, calendar=MAILBOX.kind, entries={MAILBOX.kind: ENTRY})},
        third_party={CEILING.id: CEILING},
        occupancy=SOMEBODY,
        occupancy_since=NINE,
        attendances={BOOKING.key: ATTENDANCE},
    )
    payloads = [
        seal(
            fact,
            room=ROOM,
            site=SITE,
            epoch=EPOCH,
            number=4711 + nth,
            recorded_at=recorded_at,
            clock=ClockState.SYNCED,
            privacy=plain,
        ).payload
        for nth, fact in enumerate(_example_facts())
    ]
    gap = OutboxGap(
        at=NINE,
        stream="rooms/fjord",
        epoch=EPOCH,
        first=4200,
        last=4299,
        count=100,
        reason="the disk budget is full",
    )
    reset = OutboxReset(
        at=NINE, previous_epoch="01jm0c2k", salvaged=17, reason="the database file was malformed"
    )
    own: tuple[AgentFact, ...] = (reset, gap)
    payloads += [
        seal_own(
            fact, site=SITE, epoch=EPOCH, number=nth, recorded_at=recorded_at, clock=ClockState.SYNCED
        ).payload
        for nth, fact in enumerate(own, start=1)
    ]
    models = {_type_of(model): model.__name__ for model in get_args(contract.Event)}
    examples = {models[event["type"]]: event for event in map(json.loads, payloads)}
    vitals = Vitals(
        at=NINE,
        outbox_depth=2,
        outbox_oldest_age_s=0.1,
        outbox_bytes=1290,
        outbox_drops=0,
        acknowledged_at=NINE,
        clock=ClockState.SYNCED,
        disk_free_bytes=8_123_456_789,
        memory_bytes=71_303_168,
        loop_lag_s=0.004,
        commands=Heard(kept=31, repeated=2, refused=1, deaf_why=None),
        calendars=(
            Calendars(
                service="microsoft",
                phase=CalendarPhase.ACTIVE,
                since=NINE,
                why=None,
                rooms=12,
                readable=12,
            ),
        ),
    )
    status = agent_status(SITE, state=AgentState.ONLINE, connection=12, since=NINE, version="0.1.0")
    return examples | {
        "AgentStatus": json.loads(status),
        "AgentHealth": json.loads(agent_health(SITE, vitals, rooms=(room,))),
        "RoomAvailability": json.loads(availability(room)),
        "RoomState": json.loads(room_state(room, now=NINE + timedelta(minutes=1), privacy=plain)),
        **_command_examples(),
    }


def _command_examples() -> dict[str, Document]:
    later = (NINE + timedelta(minutes=2)).isoformat().replace("+00:00", "Z")
    hold = "hold-7c1e"
    arguments: dict[type[Struct], Document] = {
        contract.HoldPlace: {
            "hold_id": hold,
            "text": "Kari Nordmann is on her way",
            "title": "Held until 09:15",
            "duration_s": 900,
            "surfaces": ["screen", "scheduler"],
            "answers": ["I'm here", "Release it"],
            "wake": True,
        },
        contract.HoldExtend: {"hold_id": hold, "ends_at": "2026-03-02T09:30:00Z"},
        contract.HoldCancel: {"hold_id": hold},
        contract.BookingBook: {"starts_at": "2026-03-02T10:00:00Z", "duration_min": 30, "title": "Budget"},
        contract.BookingExtend: {"key": BOOKING.key, "by_min": 15},
        contract.BookingRelease: {"meeting_id": BOOKING.meeting_id},
        contract.MessageShow: {"text": "The lift is out of order", "duration_s": 600},
        contract.MessageClear: {"surfaces": ["screen"]},
        contract.RoomResync: {},
        contract.AgentReplay: {"room": ROOM, "first": 4711, "last": 4720},
    }
    examples = {
        model.__name__: {
            "command_id": f"cmd-{nth}",
            "expires_at": later,
            "requested_by": "concierge",
            "arguments": said,
        }
        for nth, (model, said) in enumerate(arguments.items(), start=1)
    }
    done = Answer(
        command=CommandId("cmd-1"),
        status=AnswerStatus.DONE,
        at=NINE + timedelta(milliseconds=420),
        result={"hold_id": hold},
    )
    return {**examples, "CommandAnswer": json.loads(answer_body(done))}


if __name__ == "__main__":
    publish()
