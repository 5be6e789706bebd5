"""What is sealed is what is published: judged by jsonschema, which shares nothing with the encoder."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent.core.facts import Fact, FactKind
from agent.core.model import CalendarPhase, Room
from cloud_link import contract
from cloud_link.asyncapi import json_schemas
from cloud_link.contract import AgentState, CalendarService, ClockState
from cloud_link.envelope import (
    AgentFact,
    AgentFactKind,
    Calendars,
    Heard,
    Privacy,
    Vitals,
    agent_health,
    agent_status,
    availability,
    room_state,
    seal,
    seal_own,
)
from cloud_link.privacy import dropped, plain
from tests.cloud_link.made import (
    FJORD,
    SITE,
    at_leisure,
    counts,
    facts,
    gaps,
    maybe_words,
    resets,
    rooms,
    times,
    words,
)

PRIVACIES: list[Privacy] = [plain, dropped]


@cache
def published() -> dict[str, Any]:
    """Looked through once and not for every model: it is long."""
    schemas = json_schemas()
    Draft202012Validator.check_schema(schemas)
    return schemas


@cache
def judge(model: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{model}", "$defs": published()["$defs"]})


@cache
def model_of(event_type: str) -> str:
    names = {model.__struct_config__.tag: str(model.__name__) for model in get_args(contract.Event)}
    return names[event_type]


def accept(payload: bytes, model: str | None = None) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(payload)
    judge(model or model_of(told["type"])).validate(told)
    return told


@at_leisure
@given(facts, st.sampled_from(PRIVACIES), times, st.sampled_from(ClockState))
def test_every_sealed_fact_is_as_published(fact: Fact, privacy: Privacy, at: datetime, clock: ClockState):
    envelope = seal(
        fact, room=FJORD, site=SITE, epoch="e1", number=1, recorded_at=at, clock=clock, privacy=privacy
    )
    accept(envelope.payload)


@at_leisure
@given(facts, st.sampled_from(PRIVACIES))
def test_every_sealed_fact_comes_back_as_its_model_and_goes_out_the_same(fact: Fact, privacy: Privacy):
    payload = seal(
        fact,
        room=FJORD,
        site=SITE,
        epoch="e1",
        number=1,
        recorded_at=fact.at,
        clock=ClockState.SYNCED,
        privacy=privacy,
    ).payload
    event = msgspec.json.decode(payload, type=contract.Event)
    assert type(event).__name__ == model_of(json.loads(payload)["type"])
    assert msgspec.json.encode(event) == payload


@at_leisure
@given(gaps | resets)
def test_every_fact_of_the_agent_is_as_published(fact: AgentFact):
    envelope = seal_own(fact, site=SITE, epoch="e1", number=1, recorded_at=fact.at, clock=ClockState.UNSYNCED)
    accept(envelope.payload)
    assert msgspec.json.encode(msgspec.json.decode(envelope.payload, type=contract.Event)) == envelope.payload


@at_leisure
@given(rooms, times, st.sampled_from(PRIVACIES))
def test_every_room_is_told_as_published(room: Room, now: datetime, privacy: Privacy):
    state = room_state(room, now=now, privacy=privacy)
    accept(state, "RoomState")
    accept(availability(room), "RoomAvailability")
    assert msgspec.json.encode(msgspec.json.decode(state, type=contract.RoomState)) == state


@at_leisure
@given(st.sampled_from(AgentState), counts, st.none() | times, words, maybe_words)
def test_every_birth_and_death_is_told_as_published(
    state: AgentState, connection: int, since: datetime | None, version: str, reason: str | None
):
    status = agent_status(
        SITE, state=state, connection=connection, since=since, version=version, reason=reason
    )
    accept(status, "AgentStatus")


ages = st.none() | st.floats(min_value=0, allow_infinity=False)
calendars = st.builds(
    Calendars,
    service=st.sampled_from([service.value for service in CalendarService]),
    phase=st.sampled_from(CalendarPhase),
    since=times,
    why=maybe_words,
    rooms=counts,
    readable=counts,
)
heard = st.builds(Heard, kept=counts, repeated=counts, refused=counts, deaf_why=maybe_words)


@at_leisure
@given(
    st.lists(rooms, max_size=2),
    times,
    counts,
    ages,
    st.none() | counts,
    st.none() | heard,
    st.lists(calendars, max_size=3),
    maybe_words,
)
def test_every_health_is_told_as_published(
    of: list[Room],
    at: datetime,
    count: int,
    age: float | None,
    measured: int | None,
    told: Heard | None,
    stand: list[Calendars],
    why: str | None,
):
    vitals = Vitals(
        at=at,
        outbox_depth=count,
        outbox_oldest_age_s=age,
        outbox_bytes=count,
        outbox_drops=count,
        acknowledged_at=at,
        clock=ClockState.SYNCED,
        disk_free_bytes=measured,
        memory_bytes=measured,
        loop_lag_s=age,
        commands=told,
        calendars=tuple(stand),
        sealing_why=why,
    )
    accept(agent_health(SITE, vitals, rooms=of), "AgentHealth")


def test_a_kind_of_fact_and_its_published_type_are_the_same_word():
    published = {model.__struct_config__.tag for model in get_args(contract.Event)}
    assert published == {f"roomd.{kind}.v1" for kind in {*FactKind, *AgentFactKind}}


def test_every_published_attribute_is_described():
    schemas = json_schemas()["$defs"]
    silent = [
        f"{model}.{name}"
        for model, schema in schemas.items()
        for name, attribute in schema.get("properties", {}).items()
        if name != "type" and "description" not in attribute and "$ref" not in attribute
    ]
    undescribed = [model for model, schema in schemas.items() if "description" not in schema]
    assert (silent, undescribed) == ([], [])


@pytest.mark.parametrize(
    "damage",
    [
        {"id": None},
        {"time": "2026-03-02 09:00"},
        {"time": "2026-03-02T09:00:00+01:00"},
        {"sequence": 7},
        {"clock": "maybe"},
        {"source": "/sites/Oslo/rooms/fjord"},
        {"specversion": "0.3"},
    ],
)
def test_the_judge_refuses_what_is_not_as_published(damage: dict[str, object]):
    event = {
        "type": "roomd.outbox.reset.v1",
        "specversion": "1.0",
        "id": "e1-1",
        "source": "/sites/oslo/agents/a",
        "subject": "a",
        "time": "2026-03-02T09:00:00.000Z",
        "sequence": "1",
        "recordedtime": "2026-03-02T09:00:00.000Z",
        "recovered": False,
        "clock": "synced",
        "data": {"epoch": "e1", "previous_epoch": None, "salvaged": 0, "reason": "malformed"},
    }
    assert judge("OutboxReset").is_valid(event)
    assert not judge("OutboxReset").is_valid(event | damage)


def test_an_addition_of_a_later_version_is_accepted():
    room = Room(id=FJORD)
    told = json.loads(availability(room)) | {"mood": "bright"}
    judge("RoomAvailability").validate(told)
    msgspec.json.decode(json.dumps(told).encode(), type=contract.RoomAvailability)
