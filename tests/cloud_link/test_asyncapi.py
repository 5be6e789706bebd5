"""The published documents say what the code says, in the same bytes every time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from jsonschema import Draft202012Validator

from agent.core.model import RoomId
from cloud_link import contract
from cloud_link.asyncapi import (
    ASYNCAPI_FILE,
    SCHEMA_FILE,
    asyncapi_document,
    json_schemas,
    publish,
    rendered,
    stale_files,
)
from cloud_link.envelope import EVENTS, agent_stream, answers_of, room_stream
from tests.cloud_link.made import SITE

HOUSE = Path(__file__).parents[2]
DOCUMENT = asyncapi_document()
SCHEMAS = json_schemas()
MESSAGES = DOCUMENT["components"]["messages"]
NOUNS = ("booking", "room", "occupancy", "hold", "device", "calendar")


def test_the_committed_documents_are_the_generated_ones():
    assert stale_files() == (), "write them anew: python -m cloud_link.asyncapi"


def test_an_edited_or_missing_document_is_noticed(tmp_path: Path):
    publish(tmp_path)
    assert stale_files(tmp_path) == ()
    (tmp_path / SCHEMA_FILE).unlink()
    (tmp_path / ASYNCAPI_FILE).write_text("{}", encoding="utf-8")
    assert stale_files(tmp_path) == (tmp_path / ASYNCAPI_FILE, tmp_path / SCHEMA_FILE)


def test_the_documents_do_not_depend_on_the_order_of_hashes():
    script = "from cloud_link.asyncapi import rendered; import json; print(json.dumps(rendered()))"
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=HOUSE,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert answers == {json.dumps(rendered()) + "\n"}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_example_of_every_message_is_as_its_schema_says(name: str):
    judge = Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMAS["$defs"]})
    for example in MESSAGES[name]["examples"]:
        judge.validate(example["payload"])


def test_every_event_is_a_message_and_nothing_that_does_not_exist_yet():
    events = {model.__name__ for model in get_args(contract.Event)}
    latest = {"AgentStatus", "AgentHealth", "RoomAvailability", "RoomState"}
    commands = {model.__name__ for model in (contract.ROOM_COMMANDS | contract.AGENT_COMMANDS).values()}
    assert events | latest | commands | {"CommandAnswer"} == set(MESSAGES)
    assert len(events) == len(EVENTS)


@pytest.mark.parametrize("name", MESSAGES)
def test_events_are_cloudevents_and_the_rest_is_json(name: str):
    event = "specversion" in MESSAGES[name]["examples"][0]["payload"]
    assert MESSAGES[name]["contentType"] == ("application/cloudevents+json" if event else "application/json")


def test_every_address_is_a_topic_that_is_built():
    named = {"root": "roomd", "site": "oslo-lysaker", "agent": "agent-1", "room": "fjord"}
    addresses = {channel["address"].format(**named) for channel in DOCUMENT["channels"].values()}
    fjord = RoomId("fjord")
    assert addresses == {
        SITE.status,
        SITE.health,
        SITE.availability(fjord),
        SITE.state(fjord),
        *(SITE.room_events(fjord, noun) for noun in NOUNS),
        SITE.agent_events("outbox"),
        SITE.agent_events("calendar"),
        *(f"{SITE.base}/rooms/fjord/commands/{name}" for name in contract.ROOM_COMMANDS),
        *(f"{SITE.base}/agents/agent-1/commands/{name}" for name in contract.AGENT_COMMANDS),
        SITE.responses(answers_of(room_stream(fjord))),
        SITE.responses(answers_of(agent_stream(SITE.agent))),
    }


def test_commands_are_heard_and_everything_else_is_said():
    heard = {name for name, it in DOCUMENT["operations"].items() if it["action"] == "receive"}
    assert len(heard) == len(contract.ROOM_COMMANDS) + len(contract.AGENT_COMMANDS)
    assert all(DOCUMENT["operations"][name]["reply"]["messages"] for name in heard)


def test_only_what_is_the_latest_is_retained_and_all_is_at_least_once():
    bindings = {name: it["bindings"]["mqtt"] for name, it in DOCUMENT["operations"].items()}
    assert {it["qos"] for it in bindings.values()} == {1}
    said = {name: it for name, it in bindings.items() if name.startswith("send")}
    assert not any(it["retain"] for name, it in bindings.items() if name not in said)
    assert {name for name, it in said.items() if not it["retain"]} == {
        "sendBookingEvents",
        "sendOccupancyEvents",
        "sendRoomEvents",
        "sendHoldEvents",
        "sendDeviceEvents",
        "sendCalendarEvents",
        "sendSiteCalendarEvents",
        "sendOutboxEvents",
        "sendRoomResponses",
        "sendAgentResponses",
    }
    assert bindings["sendAgentHealth"]["messageExpiryInterval"] == 180


def test_every_reference_leads_somewhere():
    text = rendered()[ASYNCAPI_FILE]
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        place = DOCUMENT
        for step in reference.split("/"):
            place = place[step]


def test_the_root_of_the_schema_knows_an_event_by_its_type():
    judge = Draft202012Validator(json_schemas())
    event = MESSAGES["OccupancyChanged"]["examples"][0]["payload"]
    assert judge.is_valid(event)
    assert not judge.is_valid(event | {"type": "roomd.occupancy.vanished.v1"})
