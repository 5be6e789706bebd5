"""The judges condemn what they should: a proof that cannot fail proves nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.core.facts import FactKind
from tests.prove import clouds, consumer, promises
from tests.prove.consumer import Consumer
from tests.prove.ledger import Accepted, judge, together
from tests.prove.promises import Order, Press, Record
from tests.prove.recorder import Event
from tests.prove.timeline import Span, Thing, Wellness

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


# ── calendars ─────────────────────────────────────────────────────────────────────────────────────

FJORD = clouds.Room(
    id="fjord",
    name="Fjord",
    service=clouds.Service.MICROSOFT,
    address="fjord@contoso.example",
    device=None,
    by_hand=True,
    slots={"Weekly #1": "e1"},
    gone={"Budget #2"},
)


def booked(number, verb, title="Weekly #1", key="b-1"):
    data = {"key": key, "title": title, "cause": "deleted"}
    return event(number, kind=f"booking.{verb}", data=data)


@pytest.mark.parametrize("kind", [kind for kind in FactKind if kind.startswith("booking.")])
def test_a_consumer_knows_all_that_is_told_of_bookings(kind: FactKind):
    follower = Consumer()
    follower.follow([booked(1, "confirmed"), booked(2, kind.removeprefix("booking."))])
    over = {
        FactKind.BOOKING_ENDED,
        FactKind.BOOKING_DELETED,
        FactKind.BOOKING_FAILED,
        FactKind.BOOKING_EXPIRED,
    }
    assert list(follower.bookings["fjord"]) == ([] if kind in over else ["b-1"])


def test_an_appointment_that_goes_by_one_key_is_well_told():
    told = (booked(1, "confirmed"), booked(2, "confirmed", "Budget #2", "b-2"))
    assert clouds.judge([FJORD], (*told, booked(3, "moved"), booked(4, "deleted", "Budget #2", "b-2"))) == []


@pytest.mark.parametrize(
    ("events", "word"),
    [
        ((booked(1, "confirmed"), booked(2, "confirmed", key="b-2")), "under 2 keys"),
        ((booked(1, "confirmed"), booked(2, "deleted")), "stands, and was told as deleted"),
        ((booked(1, "deleted", "Budget #2"), booked(2, "deleted", "Budget #2")), "told as deleted 2 times"),
        ((booked(1, "confirmed"), booked(2, "confirmed", "Budget #2")), "b-1 was told as"),
    ],
)
def test_what_is_wrong_with_appointments_is_found(events, word):
    assert any(word in wrong for wrong in clouds.judge([FJORD], events))


def test_repeats_of_a_deletion_are_one():
    assert clouds.judge([FJORD], (booked(1, "deleted", "Budget #2"),) * 2) == []


def test_what_is_retained_is_compared_with_calendars():
    slot = ("2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z", "Weekly")
    other = (*slot[:2], "Budget")
    states = {"fjord": STATE}
    assert consumer.unlisted({"fjord": [slot]}, states, now=NOW) == []
    assert consumer.unlisted({"fjord": [slot, other]}, states, now=NOW)
    assert consumer.unlisted({"fjord": []}, states, now=NOW)
    assert consumer.unlisted({"vann": [slot]}, states, now=NOW)
    twice = {"fjord": {**STATE, "agenda": [BOOKING, {**BOOKING, "key": "b-2"}]}}
    assert consumer.unlisted({"fjord": [slot]}, twice, now=NOW)


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


# ── commands and holds ────────────────────────────────────────────────────────────────────────────

# A hold that was placed at 10 s, answered at 40 s, and all was well until 100 s.
WALL_S = NOW.timestamp()  # at 0 s by the steady clock
PLACE = Order(
    id="c1",
    room="fjord",
    name="hold.place",
    arguments={"hold_id": "h1", "text": "Kari", "title": "h1"},
    copies=1,
)
CANCEL = Order(id="c2", room="fjord", name="hold.cancel", arguments={"hold_id": "h1"}, copies=1)
BOOK = Order(
    id="c3", room="fjord", name="booking.book", arguments={"title": "Ad hoc", "duration_min": 15}, copies=1
)
LONGER = Order(id="c4", room="fjord", name="booking.extend", arguments={"key": "b-1", "by_min": 10}, copies=1)


def at(seconds):
    return (NOW + timedelta(seconds=seconds)).isoformat()


def fact(number, kind, seconds, **data):
    body = {
        "id": f"e1-{number}",
        "subject": "h1",
        "time": at(seconds),
        "recordedtime": at(seconds),
        "data": {"cause": None, "answer": None, "ends_at": at(900), **data},
    }
    return Event(
        at_s=seconds,
        source="/sites/s/rooms/fjord",
        id=f"e1-{number}",
        type=f"roomd.{kind}.v1",
        payload=json.dumps(body).encode(),
        dup=False,
    )


def reply(id_, status="done", seconds=10.0, **result):
    return {"command_id": id_, "status": status, "reason": None, "at": at(seconds), "result": result}


def span(from_s, to_s, *, surface="OSD", kind="Prompt", name="roomd-a-1", text="Kari"):
    thing = Thing(surface, kind, name, text)
    return Span(room="fjord", device="127.0.0.1", thing=thing, from_s=from_s, to_s=to_s)


def wellness(*spells, until_s=100.0):
    """Well but for these."""
    well = Wellness()
    well.note(0.0, well=False)
    for from_s, to_s in spells:
        well.note(from_s, well=True)
        well.note(to_s, well=False)
    well.note(until_s, well=True)
    return well


PLACED, SHOWN = fact(1, "hold.placed", 10), fact(2, "hold.shown", 11)
PRESSED = Press(room="fjord", text="Kari", answer="I'm here", at_s=40.0)
ANSWERED = fact(3, "hold.answered", 40, answer="I'm here")
ENDED = fact(4, "hold.ended", 40, cause="answered")
KEPT = Record(
    orders=(PLACE,),
    presses=(PRESSED,),
    answers=(reply("c1"),),
    events=(PLACED, SHOWN, ANSWERED, ENDED),
    spans=(span(10.5, 40.0), span(10.6, 40.2, surface="Controller")),
    well={"fjord": wellness()},
    until_s=100.0,
    wall_s=WALL_S,
)
CANCELLED = replace(
    KEPT,
    orders=(PLACE, CANCEL),
    presses=(),
    answers=(reply("c1"), reply("c2", seconds=40)),
    events=(PLACED, SHOWN, fact(3, "hold.ended", 40, cause="cancelled")),
)
BOOKED = replace(
    KEPT,
    orders=(BOOK, LONGER),
    presses=(),
    answers=(reply("c3", key="b-1"), reply("c4")),
    events=(),
    spans=(),
    booked={"fjord": ("Ad hoc",)},
    lasts_min={"Ad hoc": 25.0},
)


@pytest.mark.parametrize(
    "record",
    [
        KEPT,
        CANCELLED,
        BOOKED,
        replace(KEPT, events=(*KEPT.events, PLACED, ENDED)),  # delivered once more
        replace(KEPT, orders=(replace(PLACE, copies=3),), answers=(reply("c1"),) * 3),
        replace(KEPT, answers=(reply("c1", "accepted"), reply("c1"))),
        replace(KEPT, spans=(*KEPT.spans, span(1.0, None, name="somebody", text="Close the door"))),
        replace(KEPT, spans=(span(10.5, 42.0),)),  # in time
        # nobody could have taken it off, or heard the answer
        replace(KEPT, spans=(span(10.5, 90.0),), well={"fjord": wellness((41.0, 85.0))}),
        replace(CANCELLED, presses=(PRESSED,)),
        # shown again by a request that was on its way
        replace(KEPT, spans=(span(10.5, 40.0), span(41.0, 42.0))),
        replace(KEPT, spans=(*KEPT.spans, span(10.5, 41.0, surface="LED", kind="LED", name="", text=""))),
    ],
)
def test_commands_and_holds_that_were_kept_are_left_alone(record):
    assert promises.judge(record) == []


SECOND = fact(5, "hold.placed", 50)


@pytest.mark.parametrize(
    ("record", "word"),
    [
        # answers
        (replace(KEPT, answers=()), "no final answer"),
        (replace(KEPT, answers=(reply("c1", "accepted"),)), "no final answer"),
        (replace(KEPT, answers=(reply("c1"), reply("c1", "unknown"))), "2 final answers"),
        (replace(KEPT, answers=(reply("c1"), reply("c1", seconds=20))), "2 final answers"),
        (replace(KEPT, answers=(reply("c1"),) * 4), "answered 4 times"),
        (replace(KEPT, answers=(*KEPT.answers, reply("c9"))), "nobody gave"),
        # done twice, or not at all
        (replace(BOOKED, booked={"fjord": ("Ad hoc", "Ad hoc")}), "booked 2 times"),
        (replace(BOOKED, booked={}), "was not asked"),
        (replace(BOOKED, answers=(reply("c3", "refused", key=""),), orders=(BOOK,)), "is refused, and"),
        (replace(BOOKED, lasts_min={"Ad hoc": 35.0}), "lasts 35 minutes"),
        (replace(BOOKED, lasts_min={"Ad hoc": 15.0}), "lasts 15 minutes"),
        (
            replace(KEPT, events=(*KEPT.events, SECOND, fact(6, "hold.ended", 60, cause="expired"))),
            "placed 2",
        ),
        (replace(KEPT, events=()), "placed 0 times"),
        (replace(CANCELLED, events=(PLACED, fact(2, "hold.ended", 40, cause="expired"))), "done 1 times"),
        (replace(KEPT, events=(PLACED, fact(9, "hold.extended", 20), ANSWERED, ENDED)), "told 1 times"),
        # a life that cannot be
        (replace(KEPT, events=(PLACED, SHOWN)), "has no end"),
        (replace(KEPT, events=(PLACED, ANSWERED, fact(5, "hold.answered", 41), ENDED)), "is told as"),
        (replace(KEPT, events=(SHOWN, PLACED, ANSWERED, ENDED)), "is told as"),
        (replace(KEPT, events=(*KEPT.events, fact(5, "hold.ended", 60))), "is told as"),
        # what people chose
        (replace(KEPT, presses=()), "nobody chose that"),
        (replace(KEPT, presses=(replace(PRESSED, answer="Release it"),)), "nobody chose that"),
        (replace(CANCELLED, presses=(replace(PRESSED, at_s=30.0),)), "not so told"),
        # on the screens
        (replace(KEPT, spans=(span(10.5, 55.0),)), "still there 15.0 s after its end"),
        (replace(KEPT, spans=(span(10.5, None),)), "still there 60.0 s after its end"),
        (replace(KEPT, spans=(span(10.5, 40.0), span(60.0, 61.0))), "shown again 20.0 s after its end"),
        (replace(KEPT, spans=(span(9.0, 40.0),)), "before it was on disk"),
        (replace(KEPT, spans=(span(10.5, 40.0), span(11.0, 40.0, name="roomd-a-2"))), "side by side"),
        (replace(KEPT, spans=(span(10.5, 20.0), span(20.0, 40.0, name="roomd-a-2"))), "under 2 names"),
        (replace(KEPT, spans=(span(30.0, 40.0),)), "not on the screen for 20.0 s"),
        (replace(KEPT, spans=()), "not on the screen for 30.0 s"),
        (replace(KEPT, answers=(reply("c1", "refused"),), events=(), presses=()), "was on the screen"),
        (replace(KEPT, spans=(*KEPT.spans, span(10.5, None, surface="LED", kind="LED"))), "the light"),
    ],
)
def test_what_is_wrong_with_commands_and_holds_is_found(record, word):
    assert any(word in wrong for wrong in promises.judge(record)), promises.judge(record)


def test_seconds_count_only_while_somebody_could_have_done_something():
    well = wellness((20.0, 30.0), (50.0, 80.0))
    assert well.between(0.0, 100.0) == pytest.approx(60.0)
    assert well.between(25.0, 55.0) == pytest.approx(20.0)
