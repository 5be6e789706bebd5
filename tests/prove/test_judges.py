"""The judges condemn what they should: a proof that cannot fail proves nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.prove import consumer
from tests.prove.consumer import Consumer
from tests.prove.ledger import Accepted, judge, together
from tests.prove.recorder import Event

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def event(number, *, room="fjord", epoch="e1", kind="occupancy.changed", data=None, dup=False, salt=""):
    stream = "agents/a" if kind.startswith("outbox.") else f"rooms/{room}"
    body = {"id": f"{epoch}-{number}", "kind": kind, "data": data or {}, "salt": salt}
    return Event(
        at_s=0.0,
        source=f"/sites/s/{stream}",
        id=f"{epoch}-{number}",
        type=f"roomd.{kind}.v1",
        payload=json.dumps(body).encode(),
        dup=dup,
    )


def accepted(*events, epochs=("e1",), pending=()):
    counts: dict[tuple[str, str], int] = {}
    for one in events:
        key = (one.epoch, one.stream)
        counts[key] = max(counts.get(key, 0), one.number)
    payloads = {(one.stream, one.id): one.payload for one in events}
    return Accepted(epochs=epochs, counts=counts, payloads=payloads, pending=frozenset(pending))


THREE = (event(1), event(2), event(3))


def test_all_that_was_promised_and_came_in_order_is_kept():
    found = judge(accepted(*THREE), THREE)
    assert (found.facts, found.lost, found.repeated, found.out_of_order, found.wrongs) == (3, 0, 0, 0, [])


def test_what_never_came_is_lost():
    found = judge(accepted(*THREE), (THREE[0], THREE[2]))
    assert found.lost == 1
    assert found.wrongs


def test_what_came_after_its_successor_is_out_of_order():
    assert judge(accepted(*THREE), (THREE[0], THREE[2], THREE[1])).out_of_order == 1


def test_order_counts_within_a_room_and_not_between_rooms():
    other = (event(1, room="vann"), event(2, room="vann"))
    assert judge(accepted(*THREE, *other), (other[0], *THREE, other[1])).out_of_order == 0


def test_a_repeat_is_counted_unless_the_broker_itself_repeats_to_us():
    found = judge(accepted(*THREE), (*THREE, THREE[1], event(3, dup=True)))
    assert (found.repeated, found.out_of_order, found.changed) == (1, 0, 0)


def test_a_repeat_with_other_bytes_is_wrong():
    assert judge(accepted(*THREE), (*THREE, event(2, salt="x"))).changed == 1


def test_bytes_that_differ_from_those_on_disk_are_wrong():
    assert judge(accepted(*THREE), (THREE[0], event(2, salt="x"), THREE[2])).changed == 1


def test_what_was_given_up_and_told_is_not_lost():
    gap = {"stream": "rooms/fjord", "epoch": "e1", "first": 2, "last": 2, "count": 1}
    told = event(1, kind="outbox.gap", data=gap)
    found = judge(accepted(*THREE, told), (THREE[0], told, THREE[2]))
    assert (found.lost, found.told) == (0, 1)


def test_a_gap_record_excuses_no_more_than_it_counts():
    gap = {"stream": "rooms/fjord", "epoch": "e1", "first": 1, "last": 3, "count": 1}
    told = event(1, kind="outbox.gap", data=gap)
    assert judge(accepted(*THREE, told), (told, THREE[0])).lost == 1


def test_what_is_delivered_and_was_never_promised_is_wrong():
    assert judge(accepted(*THREE[:2]), THREE).wrongs


def test_the_rescued_of_an_older_epoch_come_before_the_new():
    book, later = accepted(*THREE), accepted(event(1, epoch="e2"), epochs=("e2",))
    both = together([book, later])
    assert judge(both, (*THREE, event(1, epoch="e2"))).wrongs == []
    assert judge(both, (*THREE[:2], event(1, epoch="e2"), THREE[2])).out_of_order == 1


def test_a_lost_epoch_is_excused_only_where_the_cloud_was_told():
    book, later = accepted(*THREE), accepted(epochs=("e2",))
    both = together([book, later])
    assert judge(both, THREE[:1]).lost == 2
    assert judge(both, THREE[:1], given_up={"e1"}).lost == 0


# ── what a consumer believes ──────────────────────────────────────────────────────────────────────

BOOKING: dict[str, Any] = {
    "key": "b-1",
    "phase": "confirmed",
    "starts_at": "2026-03-02T10:00:00.000Z",
    "ends_at": "2026-03-02T11:00:00.000Z",
    "title": "Weekly",
    "meeting_id": "m-1",
    "booking_id": "webex-1",
}
SENSES: dict[str, Any] = {"people": 3, "presence": True, "in_use": True, "in_call": False, "sharing": False}
STATE: dict[str, Any] = {"room": "fjord", "agenda": [BOOKING], "occupancy": SENSES}
TRUTH: dict[str, Any] = {
    "room": "fjord",
    "bookings": [
        {
            "id": "webex-1",
            "meeting_id": "m-1",
            "title": "Weekly",
            "start": "2026-03-02T10:00:00Z",
            "end": "2026-03-02T11:00:00Z",
            "private": False,
            "pending": False,
            "ended": False,
        }
    ],
    "people": 3,
    "presence": "Yes",
    "calls": 0,
    "sharing": False,
}


def test_a_state_that_is_the_devices_truth_differs_nowhere():
    assert consumer.differences([TRUTH], {"fjord": STATE}, now=NOW) == []


@pytest.mark.parametrize(
    "state",
    [
        {**STATE, "agenda": []},
        {**STATE, "agenda": [{**BOOKING, "title": "Other"}]},
        {**STATE, "agenda": [{**BOOKING, "meeting_id": None}]},
        {**STATE, "agenda": [{**BOOKING, "ends_at": "2026-03-02T11:01:00.000Z"}]},
        {**STATE, "agenda": [BOOKING, {**BOOKING, "booking_id": "webex-2"}]},
        {**STATE, "occupancy": {**SENSES, "people": None}},
        {**STATE, "occupancy": {**SENSES, "presence": False}},
    ],
)
def test_a_state_that_is_not_the_devices_truth_is_found(state):
    assert consumer.differences([TRUTH], {"fjord": state}, now=NOW)


def test_a_room_of_which_nothing_is_retained_is_found():
    assert consumer.differences([TRUTH], {}, now=NOW)


def test_one_who_knows_the_events_alone_believes_what_is_retained():
    follower = Consumer()
    follower.follow(
        [event(1, kind="booking.confirmed", data=BOOKING), event(2, kind="occupancy.changed", data=SENSES)]
    )
    assert consumer.contradictions(follower, {"fjord": STATE}, now=NOW) == []
    follower.follow([event(3, kind="booking.deleted", data=BOOKING)])
    assert consumer.contradictions(follower, {"fjord": STATE}, now=NOW)
    gap = {"stream": "rooms/fjord", "epoch": "e1", "first": 4, "last": 4, "count": 1}
    follower.follow([event(1, kind="outbox.gap", data=gap)])
    assert consumer.contradictions(follower, {"fjord": STATE}, now=NOW) == [], (
        "it knows that it does not know"
    )
