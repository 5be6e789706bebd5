from __future__ import annotations

import io
import json
from collections import deque
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from agent.console import (
    calendars_shown,
    fact_line,
    health_line,
    links_shown,
    rooms_table,
    show_live,
    troubles,
)
from agent.core.events import BookingRequested, PeopleCounted, PresenceSensed
from agent.core.facts import BookingFact, CalendarFact, FactKind
from agent.core.model import AgentId, CalendarKind, CalendarPhase, CalendarState, RoomId, SiteId
from cloud_link.asyncapi import asyncapi_document
from cloud_link.contract import ClockState
from cloud_link.envelope import Site, availability, room_state, seal
from cloud_link.privacy import plain
from tests.agent.core.story import CODEC, M1, R1, Story, at, listed

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SITE = Site(site=SiteId("oslo"), agent=AgentId("a1"))


def picture(story: Story) -> dict[str, Any]:
    return {
        "site": "oslo",
        "agent": "a1",
        "version": "0",
        "broker": {"connected": False, "why": "no route to host"},
        "outbox": {"depth": 3, "oldest_age_s": 12.0, "bytes": 900, "delivered": 7},
        "devices": {"connected": 1, "lost": 0},
        "rooms": [
            {
                "room": "fjord",
                "name": "Fjord",
                "capacity": 8,
                "state": json.loads(room_state(story.room, now=story.now, privacy=plain)),
                "availability": json.loads(availability(story.room)),
            }
        ],
    }


def shown(thing: object, width: int = 160) -> str:
    text = io.StringIO()
    Console(file=text, width=width).print(thing)
    return text.getvalue()


def booked() -> Story:
    story = (
        Story()
        .connected()
        .lists(
            "08:00",
            listed("webex-1", M1, "09:00", "09:30", "Planning"),
            listed("webex-2", "m2", "10:00", "10:30", "Retro"),
            tells=(FactKind.BOOKING_CONFIRMED,) * 2,
        )
    )
    return story.until("09:00:15", FactKind.BOOKING_STARTED)


def test_a_room_shows_what_is_on_what_comes_and_who_is_there():
    story = booked().then("09:05", PeopleCounted(device=CODEC, people=3), FactKind.OCCUPANCY_CHANGED)
    text = shown(rooms_table(picture(story)))
    for words in ("Fjord", "booked", "09:00–09:30 Planning", "10:00–10:30 Retro", "3/8"):
        assert words in text


def test_a_room_booked_and_empty_says_so():
    story = booked().then("09:05", PresenceSensed(device=CODEC, presence=False), FactKind.OCCUPANCY_CHANGED)
    assert "booked, empty" in shown(rooms_table(picture(story)))


def test_unknown_people_are_a_question_mark():
    assert "?" in shown(rooms_table(picture(Story().connected())))


def test_a_request_that_waits_is_shown():
    story = Story().connected().lists("08:00")
    request = BookingRequested(
        device=CODEC, request_id=R1, starts_at=at("09:00"), ends_at=at("09:30"), title="Ad hoc"
    )
    story.then("08:10", request, FactKind.BOOKING_REQUESTED)
    assert "asked for" in shown(rooms_table(picture(story)))


def test_a_room_nobody_hears_is_unknown():
    assert "unknown" in shown(rooms_table(picture(Story())))


@pytest.mark.parametrize(("in_use", "word"), [(None, "unknown"), (False, "free")], ids=["silent", "empty"])
def test_a_room_with_sensors_alone_is_free_by_their_word_only(in_use, word):
    whole = picture(Story().connected())
    (room,) = whole["rooms"]
    room["availability"] |= {"devices": [], "calendars": []}
    room["state"]["occupancy"]["in_use"] = in_use
    assert word in shown(rooms_table(whole))


def test_a_room_is_called_by_its_whole_name_on_eighty_columns():
    one = picture(Story().connected())
    rooms = [json.loads(json.dumps(room)) | {"name": "Heron Board Room"} for room in one["rooms"]]
    assert "Heron Board Room " in shown(rooms_table({**one, "rooms": rooms}), width=80)
    assert "Heron Board Roo…" in shown(
        rooms_table({**one, "rooms": [rooms[0] | {"name": "Heron Board Rooms"}]}), width=80
    )


def test_rooms_that_are_heard_over_a_worse_line_are_told_together():
    one = picture(Story().connected())
    rooms = [
        json.loads(json.dumps(room)) | {"name": name} for room in one["rooms"] for name in ("Elk", "Owl")
    ]
    for room in rooms:
        room["availability"]["devices"][0] |= {"transport": "ssh", "transport_why": "websocket: off"}
    text = "\n".join(str(each) for each in troubles({**one, "rooms": rooms}))
    assert text == "Heard over ssh only: Elk, Owl. Because of websocket: off"
    assert "(ssh)" in shown(rooms_table({**one, "rooms": rooms}))


def event(story: Story) -> dict[str, object]:
    fact = story.told[-1]
    sealed = seal(
        fact,
        room=story.room.id,
        site=SITE,
        epoch="e",
        number=1,
        recorded_at=datetime.now(UTC),
        clock=ClockState.SYNCED,
        privacy=plain,
    )
    told: dict[str, object] = json.loads(sealed.payload)
    return told


def test_a_fact_is_one_line_with_its_ids():
    story = booked()
    assert isinstance(story.told[-1], BookingFact)
    text = shown(fact_line(event(story)))
    for words in ("09:00:00", "fjord", "booking.started", "booking webex-1  meeting meeting-1"):
        assert words in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("BookingAttended", "4 people"),
        ("BookingDeserted", "nobody came"),
        ("BookingGhost", "booking.ghost"),
        ("BookingLeftEarly", "16 min freed"),
        ("BookingJudged", "Budget  attended"),
        ("RoomUsedUnbooked", "09:02–09:14 12 min  4 people"),
        ("RoomDay", "2026-03-02  6 bookings, 1 ghost,"),
    ],
)
def test_who_came_is_told_in_the_first_eighty_columns(name, words):
    messages: Any = asyncapi_document()["components"]["messages"]
    (example,) = messages[name]["examples"]
    assert words in fact_line(example["payload"]).plain[:80]


def test_what_people_did_is_told_as_a_change():
    story = (
        Story().connected().then("09:05", PeopleCounted(device=CODEC, people=3), FactKind.OCCUPANCY_CHANGED)
    )
    assert "people ? → 3" in shown(fact_line(event(story)))


async def test_the_live_view_shows_rooms_broker_and_facts():
    story = booked()

    async def answers():
        yield picture(story)
        yield {"event": event(story)}
        yield {"missed": 4}

    text = io.StringIO()
    await show_live(answers(), Console(file=text, width=160, height=40))
    for words in (
        "site oslo",
        "away: no route to host",
        "3 waiting",
        "booking.started",
        "4 facts went by unseen",
    ):
        assert words in text.getvalue()


async def test_in_a_small_terminal_facts_are_seen_and_rooms_are_left_out():
    story = booked()
    one = picture(story)
    many = {**one, "rooms": [{**one["rooms"][0], "name": f"Room {number}"} for number in range(30)]}
    among: deque[Text] = deque([Text("somebody booked it in Outlook")])

    async def answers():
        yield many
        for _ in range(9):
            yield {"event": event(story)}

    text = io.StringIO()
    console = Console(file=text, width=80, height=24)
    await show_live(answers(), console, note="to look: here\nand there", passed=among)
    told = text.getvalue()
    assert len(told.splitlines()) <= 24
    for words in ("to look: here", "and there", "Room 0 ", "rooms more", "booking.started"):
        assert words in told
    assert "Room 29" not in told
    assert among[0].plain == "somebody booked it in Outlook"


JUMPS = "\x1b[2J\x1b]0;x\x07\x9b1A"


def moves_the_cursor(text: str) -> bool:
    return any(not letter.isprintable() for letter in text)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("device.connected", {"product": f"Bar{JUMPS}", "firmware": f"ce11{JUMPS}"}),
        ("device.lost", {"cause": f"gone{JUMPS}"}),
        ("agent.started", {"reason": f"why{JUMPS}"}),
        (
            "booking.deleted",
            {
                "starts_at": "2026-03-02T09:00:00Z",
                "ends_at": "2026-03-02T09:30:00Z",
                "title": f"a{JUMPS}",
                "private": False,
                "booking_id": f"webex-1{JUMPS}",
                "meeting_id": f"m{JUMPS}",
                "cause": f"c{JUMPS}",
            },
        ),
    ],
)
def test_nothing_that_a_device_says_moves_the_cursor(kind, data):
    told = {"type": f"roomd.{kind}.v1", "source": "a/fjord", "time": "2026-03-02T09:00:00Z", "data": data}
    assert not moves_the_cursor(fact_line(told).plain)


def test_no_name_of_a_product_and_no_reason_moves_the_cursor():
    one = picture(Story().connected())
    one["rooms"][0]["availability"]["devices"][0] |= {"product": f"Bar{JUMPS}", "transport": f"ssh{JUMPS}"}
    one["broker"]["why"] = f"no{JUMPS}"
    for thing in (rooms_table(one), health_line(one)):
        assert not moves_the_cursor(shown(thing).replace("\n", ""))


# ── calendars ─────────────────────────────────────────────────────────────────────────────────────

MICROSOFT: dict[str, Any] = {
    "service": "microsoft",
    "phase": "active",
    "since": "2026-03-02T08:00:00+00:00",
    "why": None,
    "pushes": None,
    "rooms": [
        {
            "room": "fjord",
            "address": "fjord@contoso.com",
            "ground": "by hand",
            "phase": "active",
            "why": None,
            "listed_at": "2026-03-02T08:59:30+00:00",
            "pushed": True,
        },
        {
            "room": "elv",
            "address": "elv@contoso.com",
            "ground": "name",
            "phase": "degraded",
            "why": "the mailbox may not be read; add it to the group",
            "listed_at": None,
            "pushed": False,
        },
        {
            "room": "dal",
            "address": None,
            "ground": None,
            "phase": "connecting",
            "why": None,
            "listed_at": None,
            "pushed": False,
        },
        {
            "room": "vik",
            "address": None,
            "ground": None,
            "phase": "connecting",
            "why": None,
            "listed_at": None,
            "pushed": False,
        },
    ],
    "doubts": [
        {
            "room": "dal",
            "why": "two calendars are as much like it",
            "candidates": [{"id": "dal1@contoso.com", "name": "Dal 1", "score": 0.7}],
        }
    ],
    "others": [{"id": "attic@contoso.com", "name": "Attic", "capacity": None, "address": None}],
}


def all_shown(things: list[RenderableType]) -> str:
    return "".join(shown(thing) for thing in things)


def test_rooms_are_not_called_unlike_while_the_list_could_not_be_read():
    wrong = MICROSOFT | {
        "phase": "credential",
        "why": "the client secret is wrong",
        "others": [],
        "doubts": [],
    }
    text = all_shown(links_shown([wrong]))
    assert "The list of rooms could not be read: the client secret is wrong" in text
    assert "No calendar is like" not in text


def test_how_calendars_stand_is_shown_with_what_to_do_about_it():
    text = all_shown(calendars_shown([MICROSOFT]))
    assert "microsoft active since 08:00, 1 of 2 rooms are read" in text
    assert "elv: the mailbox may not be read; add it to the group" in text
    assert "08:59:30" in text
    assert "Not told" not in text
    unheard = MICROSOFT | {"pushes": "Graph did not reach the receiver; let it"}
    assert "Not told of changes: Graph did not reach the receiver; let it" in all_shown(
        calendars_shown([unheard])
    )


def test_of_webex_it_is_shown_whether_hybrid_calendars_live():
    webex = MICROSOFT | {"service": "webex", "hybrid": {"fjord": "living"}}
    text = all_shown(calendars_shown([webex]))
    assert "Hybrid Calendar" in text
    assert "living" in text


def test_links_are_shown_with_the_line_that_settles_a_doubt():
    text = all_shown(links_shown([MICROSOFT]))
    assert "microsoft: 2 of 4 rooms are linked" in text
    assert "dal: two calendars are as much like it" in text
    assert 'calendar = { microsoft = "dal1@contoso.com" }' in text
    assert "No calendar is like these rooms: vik" in text
    assert "Attic (attic@contoso.com)" in text


def test_the_rooms_say_which_calendar_is_believed_and_how_old_its_word_is():
    seen = picture(booked()) | {"at": "2026-03-02T09:03:00+00:00", "calendars": [MICROSOFT]}
    assert "Calendar" not in shown(rooms_table(seen)), "no room has one"
    (room,) = seen["rooms"]
    room["availability"]["calendars"] = [{"calendar": "microsoft"}]
    room["state"]["calendar"] = {
        "believed": "microsoft",
        "listed_at": "2026-03-02T09:00:00.000Z",
        "fresh": True,
    }
    assert "microsoft, 3 min" in shown(rooms_table(seen), width=220)
    assert "Calendars microsoft active" in shown(health_line(seen))


def test_what_becomes_of_a_calendar_is_a_line():
    state = CalendarState(
        kind=CalendarKind.MICROSOFT, phase=CalendarPhase.REVOKED, since=NOW, why="consent again"
    )
    facts = (
        CalendarFact(
            kind=FactKind.CALENDAR_REVOKED, at=NOW, calendar=state.kind, state=state, cause=state.why
        ),
        CalendarFact(
            kind=FactKind.CALENDAR_SWITCHED,
            at=NOW,
            calendar=CalendarKind.ON_DEVICE,
            previous=CalendarKind.MICROSOFT,
        ),
    )
    revoked, switched = (
        shown(
            fact_line(
                json.loads(
                    seal(
                        fact,
                        room=RoomId("fjord"),
                        site=SITE,
                        epoch="e",
                        number=1,
                        recorded_at=NOW,
                        clock=ClockState.SYNCED,
                        privacy=plain,
                    ).payload
                )
            )
        )
        for fact in facts
    )
    assert "calendar.revoked" in revoked
    assert "consent again" in revoked
    assert "microsoft → on device" in switched
