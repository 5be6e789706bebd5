"""The same name has the same word everywhere, what looks like a name is one, and plain words stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.disguise import Disguise, Kind, only_known, without_names


@pytest.fixture
def disguise() -> Disguise:
    known = Disguise()
    known.know(Kind.SITE, "oslo-lysaker")
    known.know(Kind.ROOM, "fjord", "Møterom Fjord")
    known.know(Kind.HOST, "10.0.4.21", "10.0.4.21:8443")
    return known


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("fjord: 10.0.4.21 does not answer within 10 s", "<room-1>: <host-1> does not answer within 10 s"),
        ("fjord-2 is FJORD's second, in Møterom fjord", "<room-1>-2 is <room-1>'s second, in <room-1>"),
        (
            "roomd/v1/oslo-lysaker/rooms/fjord/events/booking",
            "roomd/v1/<site-1>/rooms/<room-1>/events/booking",
        ),
        ("the old rooms/lake", "the old rooms/<room-2>"),
        ("fjordland", "fjordland"),
        ("kari.nordmann@contoso.com asks", "<person-1> asks"),
        ("at 10.0.4.22:443 and [2001:db8::5]", "at <address-1>:443 and [<address-2>]"),
        ("127.0.0.1, ::1 and 0.0.0.0", "127.0.0.1, ::1 and 0.0.0.0"),
        ("mqtts://broker.contoso.com:8883", "mqtts://<host-2>:8883"),
        ("graph.microsoft.com answers", "graph.microsoft.com answers"),
        ("device.lost at 12:30:45, mqtt.url", "device.lost at 12:30:45, mqtt.url"),
        ("2026-11-21T10:20:30.123Z", "2026-11-21T10:20:30.123Z"),
        (
            "firmware 26.4.1.1, RoomOS 11.14.5.0, ce9.15.3.25",
            "firmware 26.4.1.1, RoomOS 11.14.5.0, ce9.15.3.25",
        ),
        ("sha256:" + "ab:" * 31 + "ab", "<fingerprint-1>"),
        ("eyJhbGciOiJub25lIn0.e30.x and Bearer abcdefgh123", "<secret> and <secret>"),
        ("-----BEGIN KEY-----\nMII\n-----END KEY-----", "<secret>"),
        ("/home/kari/a.pem, /etc/roomd/roomd.toml", "<path-1>, /etc/roomd/roomd.toml"),
        ("xConfiguration NetworkServices Websocket: Off", "xConfiguration NetworkServices Websocket: Off"),
        ("FOC2345ABCD of AA:BB:CC:00:11:22", "<serial-1> of <address-1>"),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "<id-1>"),
    ],
)
def test_a_sentence_is_shown_without_names(disguise: Disguise, said: str, shown: str):
    assert disguise.text(said) == shown
    assert disguise.text(shown) == shown  # what was made is not made again


def test_words_are_the_same_in_every_place(disguise: Disguise):
    told = without_names({"a": ["fjord", {"room": "x 10.9.9.9"}], "n": 3}, disguise)
    assert told == {"a": ["<room-1>", {"room": "x <address-1>"}], "n": 3}
    assert disguise.text("10.9.9.9") == "<address-1>"
    assert disguise.word(Kind.ROOM, "Fjord") == "<room-1>"
    assert disguise.word(Kind.ROOM, "lake") == "<room-2>"
    assert disguise.text("lake") == "<room-2>"


def test_a_room_that_is_called_like_one_of_the_words_is_not_taken_for_it():
    known = Disguise()
    known.know(Kind.ROOM, "room-2")
    known.know(Kind.ROOM, "room-1")
    assert known.text("room-1 is not room-2, nor <room-7>") == "<room-2> is not <room-1>, nor <room-7>"


def test_of_what_others_say_only_known_words_are_left():
    vocabulary = {"calendar", "called", "could", "belong", "the", "two", "rooms", "within"}
    said = "The calendar called Lofoten (Ålesund AS) could belong to two rooms within 30s: <room-1>, 0x87"
    assert only_known(said, vocabulary) == (
        "The calendar called … (… AS) could belong to two rooms within 30s: <room-1>, 0x87"
    )


@given(name=st.from_regex(r"[a-zæøå]{4,12}( [a-z]{4,9})?", fullmatch=True), around=st.text(max_size=20))
def test_a_known_name_is_never_left(name: str, around: str):
    known = Disguise()
    word = known.know(Kind.ROOM, name)
    if word == name:  # one of the common words
        return
    shown = known.text(f"{around} {name.upper()}: {around}").lower()
    assert name not in shown.replace(around.lower(), "")
