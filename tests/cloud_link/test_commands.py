"""What comes as a command becomes an order, or is refused in words that its sender can act on."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model import RoomId, Surface
from agent.core.orders import (
    AnswerStatus,
    BookRoom,
    CancelHold,
    ClearMessage,
    ExtendBooking,
    ExtendHold,
    PlaceHold,
    ReleaseBooking,
    Resync,
    ShowMessage,
)
from cloud_link.commands import Command, Refused, Replay, judge
from cloud_link.contract import ROOM_COMMANDS
from tests.cloud_link.made import at_leisure
from tests.cloud_link.orders import (
    BASE,
    FJORD,
    NOW,
    RESPONSES,
    RULES,
    Arrival,
    at,
    command,
    judged,
    payload,
    said,
)

ROOM = f"{BASE}/rooms/fjord/commands"


def given_as(name: str, **arguments: object) -> Command | Refused:
    whose = "agents/a1" if name.startswith("agent.") else "rooms/fjord"
    body = said() | {"arguments": arguments}
    return judged(Arrival(topic=f"{BASE}/{whose}/commands/{name}", payload=json.dumps(body).encode()))


def ordered(name: str, **arguments: object) -> object:
    verdict = given_as(name, **arguments)
    assert isinstance(verdict, Command), verdict
    return verdict.order


def why(verdict: Command | Refused) -> str:
    assert isinstance(verdict, Refused), verdict
    return verdict.reason


HOLD = {"hold_id": "h1", "text": "Kari is on her way"}


# ── what is understood


def test_a_hold_says_all_that_it_may():
    order = ordered(
        "hold.place",
        **HOLD,
        title="Held",
        starts_at=at(10),
        ends_at=at(40),
        surfaces=["scheduler", "screen", "scheduler"],
        answers=["I'm here", "Release it"],
        wake=True,
        book=True,
    )
    assert order == PlaceHold(
        hold=order.hold,  # type: ignore[attr-defined]
        text="Kari is on her way",
        title="Held",
        starts_at=NOW + timedelta(minutes=10),
        ends_at=NOW + timedelta(minutes=40),
        surfaces=(Surface.SCHEDULER, Surface.SCREEN),
        answers=("I'm here", "Release it"),
        wake=True,
        book=True,
    )


@pytest.mark.parametrize(
    ("name", "arguments", "order"),
    [
        (
            "hold.extend",
            {"hold_id": "h1", "ends_at": at(60)},
            ExtendHold(hold="h1", ends_at=NOW + timedelta(hours=1)),  # type: ignore[arg-type]
        ),
        ("hold.cancel", {"hold_id": "h1"}, CancelHold(hold="h1")),  # type: ignore[arg-type]
        (
            "booking.book",
            {"starts_at": at(-1), "duration_min": 30, "title": "Budget"},
            BookRoom(starts_at=NOW - timedelta(minutes=1), duration=timedelta(minutes=30), title="Budget"),
        ),
        (
            "booking.extend",
            {"key": "k1", "by_min": 15},
            ExtendBooking(booking="k1", by=timedelta(minutes=15)),
        ),
        (
            "booking.extend",
            {"meeting_id": "m1", "ends_at": at(15)},
            ExtendBooking(booking="m1", ends_at=NOW + timedelta(minutes=15)),
        ),
        ("booking.release", {"booking_id": "webex-1"}, ReleaseBooking(booking="webex-1")),
        (
            "message.show",
            {"text": "The lift is out of order", "duration_s": 60},
            ShowMessage(text="The lift is out of order", duration=timedelta(seconds=60)),
        ),
        ("message.clear", {}, ClearMessage()),
        ("message.clear", {"surfaces": ["screen"]}, ClearMessage(surfaces=(Surface.SCREEN,))),
        ("room.resync", {}, Resync()),
        (
            "agent.replay",
            {"room": "fjord", "first": 3, "last": 5, "epoch": "e1"},
            Replay(room=FJORD, first=3, last=5, epoch="e1"),
        ),
    ],
)
def test_every_command_becomes_an_order(name: str, arguments: dict[str, object], order: object):
    assert ordered(name, **arguments) == order


def test_a_duration_counts_from_the_beginning():
    assert ordered("hold.place", **HOLD, duration_s=60, starts_at=at(1)) == ordered(
        "hold.place", **HOLD, ends_at=at(2), starts_at=at(1)
    )


def test_arguments_that_are_not_needed_may_be_left_out():
    body = {"command_id": "c1", "expires_at": at(1)}
    verdict = judged(Arrival(topic=f"{ROOM}/room.resync", payload=json.dumps(body).encode()))
    assert isinstance(verdict, Command)
    assert (verdict.order, verdict.requested_by, verdict.room) == (Resync(), None, FJORD)


# ── expiry


def test_the_earlier_expiry_counts():
    arrival = Arrival(payload=payload(minutes=5))
    early = judged(replace(arrival, expiry_s=60))
    late = judged(replace(arrival, expiry_s=3600))
    assert isinstance(early, Command)
    assert isinstance(late, Command)
    assert early.expires_at == NOW + timedelta(minutes=1)
    assert late.expires_at == NOW + timedelta(minutes=5)


def test_one_that_comes_too_late_is_expired_and_told_both_times():
    verdict = judged(Arrival(payload=payload(minutes=5)), minutes=5)
    assert isinstance(verdict, Refused)
    assert verdict.status is AnswerStatus.EXPIRED
    assert verdict.reason.count("Z") == 2


def test_the_message_expiry_that_a_broker_has_used_up_counts_too():
    verdict = judged(Arrival(payload=payload(minutes=5), expiry_s=0))
    assert isinstance(verdict, Refused)
    assert verdict.status is AnswerStatus.EXPIRED


# ── where the answer goes


def test_answers_go_where_the_command_says_with_its_correlation_data():
    topic = f"{BASE}/cloud/answers/7"
    back = command(response_topic=topic, correlation_data=b"\x00\xff").back
    assert (back.topic, back.stream, back.postage.correlation) == (
        topic,
        "rooms/fjord/responses",
        b"\x00\xff",
    )
    assert command().back.topic == RESPONSES


@pytest.mark.parametrize(
    "topic",
    [
        "elsewhere",
        f"{BASE}",
        f"{BASE}/",
        "roomd/v1/oslo2/answers",
        "roomd/v1/bergen/answers",
        f"{BASE}/answers/#",
        f"{BASE}/+/answers",
        f"{BASE}//answers",
        f"{BASE}/a/b/c/d/e/f/g",
        f"{BASE}/{'x' * 300}",
        f"{BASE}/rooms/fjord/events/booking",
        f"{BASE}/rooms/fjord/commands/hold.place",
        f"{BASE}/rooms/fjord/state",
        f"{BASE}/agents/a1/status",
        f"{BASE}/rooms",
    ],
)
def test_a_response_topic_elsewhere_is_refused_and_answered_where_answers_are_always_heard(topic: str):
    verdict = judged(Arrival(payload=payload(), response_topic=topic, correlation_data=b"7"))
    assert "Response Topic" in why(verdict)
    assert verdict.back.topic == RESPONSES
    assert verdict.back.postage.correlation == b"7"


@pytest.mark.parametrize("topic", [RESPONSES, f"{RESPONSES}/cloud-7", f"{BASE}/agents/a1/responses"])
def test_responses_may_be_named(topic: str):
    assert command(response_topic=topic).back.topic == topic


def test_an_answer_may_wait_as_long_as_the_command_was_good_for_and_an_hour_at_least():
    assert command().back.postage.expiry_s == 3600
    assert command(payload=payload(minutes=120)).back.postage.expiry_s == 7200


# ── what is refused


def raw(body: bytes, **more: object) -> Command | Refused:
    return judged(Arrival(payload=body, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"hold the room", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"command_id": "c1"', "no JSON"),
        (b"[]", "no object"),
        (b"null", "no object"),
        (b"[" * 10_000, "no"),
        (b'{"a":' * 2000, "payload"),  # too deep, or cut off: how deep is too deep, each Python decides
        (b'{"command_id": "c1", "x": "' + b"x" * 20_000 + b'"}', "at most 16384"),
        (b"{}", "`command_id`"),
        (b'{"command_id": 7}', "`command_id`"),
        (b'{"command_id": ""}', "`command_id`"),
        (b'{"command_id": "a b"}', "`command_id`"),
        (b'{"command_id": "a\\n"}', "`command_id`"),
        (json.dumps({"command_id": "x" * 129}).encode(), "`command_id`"),
        (b'{"command_id": "c1"}', "expires_at"),
        (json.dumps(said() | {"expires_at": "tomorrow"}).encode(), "expires_at"),
        (json.dumps(said() | {"expires_at": "2026-01-01T00:00:00"}).encode(), "timezone"),
        (json.dumps(said() | {"expires_at": at(8 * 24 * 60)}).encode(), "7 days"),
        (json.dumps(said() | {"expires_at": "9999-12-31T23:59:59-23:00"}).encode(), ""),
        (json.dumps(said() | {"priority": 1, "colour": 2}).encode(), "`priority`, `colour`"),
        (json.dumps(said() | {"arguments": 7}).encode(), "`arguments`"),
        (json.dumps(said() | {"arguments": {"hold_id": "h1"}}).encode(), "text"),
        (json.dumps(said() | {"requested_by": 7}).encode(), "requested_by"),
    ],
)
def test_what_is_no_command_is_refused_in_words(body: bytes, words: str):
    assert words in why(raw(body))


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("hold.place", {**HOLD, "duration_s": 60, "blink": True}, "`arguments.blink`"),
        ("hold.place", {**HOLD, "text": "x" * 256, "duration_s": 60}, "255"),
        ("hold.place", {**HOLD, "text": "", "duration_s": 60}, "text"),
        ("hold.place", {**HOLD, "text": " \n", "duration_s": 60}, "text"),
        ("hold.place", {**HOLD, "text": 7, "duration_s": 60}, "text"),
        ("hold.place", {**HOLD, "hold_id": "", "duration_s": 60}, "hold_id"),
        ("hold.place", {**HOLD, "hold_id": "h1\n", "duration_s": 60}, "hold_id"),
        ("hold.place", {**HOLD, "title": "x" * 256, "duration_s": 60}, "255"),
        ("hold.place", HOLD, "exactly one"),
        ("hold.place", {**HOLD, "duration_s": 60, "ends_at": at(1)}, "exactly one"),
        ("hold.place", {**HOLD, "duration_s": 0}, ">= 1"),
        ("hold.place", {**HOLD, "duration_s": "60"}, "duration_s"),
        ("hold.place", {**HOLD, "duration_s": 86401}, "86400"),
        ("hold.place", {**HOLD, "ends_at": at(24 * 60 + 1)}, "24 hours"),
        ("hold.place", {**HOLD, "starts_at": at(10), "ends_at": at(5)}, "before it begins"),
        ("hold.place", {**HOLD, "starts_at": at(-60), "ends_at": at(-5)}, "would have ended"),
        ("hold.place", {**HOLD, "starts_at": at(60 * 24 * 32), "duration_s": 60}, "31 days"),
        ("hold.place", {**HOLD, "ends_at": "9999-12-31T23:59:59-23:00"}, "beyond all calendars"),
        ("hold.place", {**HOLD, "duration_s": 60, "surfaces": ["tv"]}, "scheduler"),
        ("hold.place", {**HOLD, "duration_s": 60, "surfaces": []}, "surfaces"),
        ("hold.place", {**HOLD, "duration_s": 60, "answers": ["a"] * 6}, "5"),
        ("hold.place", {**HOLD, "duration_s": 60, "answers": ["a", "a"]}, "twice"),
        ("hold.place", {**HOLD, "duration_s": 60, "answers": ["x" * 256]}, "255"),
        ("hold.place", {**HOLD, "duration_s": 60, "wake": "yes"}, "wake"),
        ("hold.extend", {"hold_id": "h1", "ends_at": at(-1)}, "before"),
        ("hold.extend", {"hold_id": "h1", "ends_at": at(25 * 60)}, "24 hours"),
        ("booking.book", {"starts_at": at(-60), "duration_min": 30}, "over already"),
        ("booking.book", {"starts_at": at(60 * 24 * 400), "duration_min": 30}, "366 days"),
        ("booking.extend", {"key": "k1", "booking_id": "b1", "by_min": 5}, "exactly one"),
        ("booking.extend", {"key": "k1"}, "exactly one"),
        ("booking.extend", {"key": "k1", "ends_at": at(-5)}, "is over"),
        ("booking.release", {}, "exactly one"),
        ("message.show", {"text": "x", "duration_s": 3601}, "3600"),
        ("agent.replay", {"room": "lobby", "first": 1}, "'lobby'"),
        ("agent.replay", {"room": "fjord", "first": 5, "last": 4}, "before"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(name: str, arguments: dict[str, object], words: str):
    assert words in why(given_as(name, **arguments))


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        (f"{ROOM}/hold.plaice", "hold.place"),
        (f"{ROOM}/agent.replay", "unknown command"),
        (f"{BASE}/agents/a1/commands/hold.place", "agent.replay"),
        (f"{BASE}/rooms/lobby/commands/hold.place", "rooms/lobby"),
        (f"{BASE}/agents/a2/commands/agent.replay", "agents/a2"),
        (f"{BASE}/rooms/fjord/commands", "topic"),
        ("elsewhere", "topic"),
    ],
)
def test_what_is_for_nobody_or_nothing_is_refused(topic: str, words: str):
    assert words in why(judged(Arrival(topic=topic, payload=payload())))


def test_an_unknown_room_is_answered_in_its_place_and_has_no_stream_of_its_own():
    back = judged(Arrival(topic=f"{BASE}/rooms/lobby/commands/room.resync", payload=payload())).back
    assert (back.topic, back.stream) == (f"{BASE}/rooms/lobby/responses", "agents/a1/responses")
    back = judged(Arrival(topic=f"{BASE}/rooms/NO ROOM/commands/room.resync", payload=payload())).back
    assert back.topic == f"{BASE}/agents/a1/responses"


def test_a_retained_command_is_refused():
    assert "never retained" in why(judged(Arrival(payload=payload(), retained=True)))


def test_correlation_data_has_a_bound():
    verdict = judged(Arrival(payload=payload(), correlation_data=b"x" * 1025))
    assert "1024" in why(verdict)
    assert verdict.back.postage.correlation is None


def test_reasons_have_a_bound():
    body = said() | {"x" * 5000: 1, "arguments": {"y" * 5000: 1}}
    assert len(why(raw(json.dumps(body).encode()))) <= 500


# ── the same, and not the same


def test_the_same_wish_is_the_same_however_it_is_written_and_however_long_it_is_good_for():
    body = said()
    turned = json.dumps(dict(reversed(body.items())), indent=2).encode()
    later = json.dumps(body | {"expires_at": at(60)}).encode()
    assert len({command(payload=each).digest for each in (payload(), turned, later)}) == 1


def test_another_wish_is_another():
    other_room = f"{BASE}/rooms/lake/commands/hold.place"
    digests = {
        command().digest,
        command(payload=payload(hold_id="h2", text="Kari", duration_s=900)).digest,
        command(topic=other_room).digest,
        command(payload=json.dumps(said() | {"requested_by": "somebody"}).encode()).digest,
    }
    assert len(digests) == 4


# ── whatever comes

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["hold_id", "text", "duration_s", "ends_at", "surfaces", "answers", "key", "x"])


@at_leisure
@given(
    name=st.sampled_from([*ROOM_COMMANDS, "x"]),
    body=st.fixed_dictionaries(
        {},
        optional={
            "command_id": st.just("c1") | anything,
            "expires_at": st.just(at(1)) | anything,
            "requested_by": anything,
            "arguments": st.dictionaries(keys, anything, max_size=5) | anything,
        },
    ),
    more=st.fixed_dictionaries(
        {},
        optional={
            "response_topic": st.text(max_size=30).map(lambda text: f"{BASE}/{text}"),
            "correlation_data": st.binary(max_size=20),
            "expiry_s": st.integers(min_value=0, max_value=2**32 - 1),
            "retained": st.booleans(),
        },
    ),
)
def test_nothing_that_comes_makes_it_fall(name: str, body: dict[str, object], more: dict[str, object]):
    arrival = Arrival(topic=f"{ROOM}/{name}", payload=json.dumps(body).encode(), **more)  # type: ignore[arg-type]
    verdict = judge(arrival, now=NOW, rules=RULES)
    if isinstance(verdict, Refused):
        assert verdict.reason
        assert verdict.answer.status in {AnswerStatus.REFUSED, AnswerStatus.EXPIRED}
    assert verdict.back.topic.startswith(f"{BASE}/")


@at_leisure
@given(topic=st.text(max_size=40), body=st.binary(max_size=100))
def test_no_bytes_make_it_fall(topic: str, body: bytes):
    for each in (topic, f"{BASE}/{topic}", f"{ROOM}/hold.place"):
        assert isinstance(judged(Arrival(topic=each, payload=body)), Refused)


def test_rooms_are_those_of_now():
    rules = replace(RULES, rooms=frozenset({RoomId("lake")}))
    assert isinstance(judge(Arrival(payload=payload()), now=NOW, rules=rules), Refused)
