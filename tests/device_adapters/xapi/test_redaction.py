"""Nothing of anybody stays in what a device said, and what belonged together still does."""

from __future__ import annotations

import json
import re
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model import DeviceId
from device_adapters.xapi import requests
from device_adapters.xapi.messages import Call, CallId, Feedback, Refusal, Reply
from device_adapters.xapi.redaction import SUMMER, WINTER, Redaction
from device_adapters.xapi.translate import Translator, identity, page

BEGAN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ZONES = frozenset({"Europe/Oslo", "Etc/UTC"})
LIST = Call(method="xCommand/Bookings/List", params={"Days": 2})
SYSTEM_UNIT = Call(method="xGet", params={"Path": ("Status", "SystemUnit")})


def redaction(began: datetime = BEGAN) -> Redaction:
    return Redaction(began_at=began, zones=ZONES)


def answered(redacting: Redaction, result: object, asked: Call = LIST) -> Any:  # noqa: ANN401 - a tree
    reply = redacting.message(Reply(CallId(1), result), asked=asked)
    assert isinstance(reply, Reply)
    return reply.result


def told(redacting: Redaction, **tree: object) -> Any:  # noqa: ANN401 - a tree
    feedback = redacting.message(Feedback(tree))
    assert isinstance(feedback, Feedback)
    return feedback.tree


BOOKING = {
    "Agenda": "We speak of the merger with Acme",
    "DialInfo": {
        "Calls": {
            "Call": [{"Number": "https://acme.webex.com/meet/j?pwd=hunter2", "Protocol": "Spark", "id": 1}]
        }
    },
    "Id": "webex-17",
    "MeetingId": "ee185ae7-ac99-6162-8ba2-f0482bcda22c",
    "MeetingPlatform": "GoogleMeet",
    "Organizer": {"Email": "jane@acme.com", "FirstName": "Jane", "Id": "be81be28-0000", "LastName": "Doe"},
    "Privacy": "Private",
    "Time": {"EndTime": "2026-03-02T10:00:00Z", "StartTime": "2026-03-02T09:30:00Z", "StartTimeBuffer": 300},
    "Title": "Merger with Acme",
    "Webex": {"HostKey": "481516", "MeetingNumber": "2342161234", "Password": "hunter2", "Url": ""},
    "id": 2,
}
LISTING = {"Booking": [BOOKING], "ResultInfo": {"TotalRows": 1}, "status": "OK"}


def test_a_listing_keeps_its_form_and_nothing_of_anybody():
    (entry,) = answered(redaction(), LISTING)["Booking"]
    assert entry == {
        "Agenda": "Text 1",
        "DialInfo": {
            "Calls": {"Call": [{"Number": "https://link-1.example.com/", "Protocol": "Spark", "id": 1}]}
        },
        "Id": "webex-1",
        "MeetingId": "00000000-0000-4000-8000-000000000001",
        "MeetingPlatform": "GoogleMeet",
        "Organizer": {
            "Email": "person-1@example.com",
            "FirstName": "Name 1",
            "Id": "Text 2",
            "LastName": "Name 2",
        },
        "Privacy": "Private",
        "Time": {
            "EndTime": "2024-01-15T10:00:00Z",
            "StartTime": "2024-01-15T09:30:00Z",
            "StartTimeBuffer": 300,
        },
        "Title": "Title 1",
        "Webex": {"HostKey": "100001", "MeetingNumber": "1000000001", "Password": "secret-1", "Url": ""},
        "id": 2,
    }


def test_who_the_device_is_stays_but_for_its_serial_and_build():
    unit = {
        "Hardware": {"Module": {"SerialNumber": "FOC2640Y0XK"}},
        "ProductId": "Cisco Board Pro 75 of Jane",
        "Software": {"DisplayName": "RoomOS 11.27.2.0 8a5c1d0e", "Version": "ce11.27.2.0.8a5c1d0e"},
        "Uptime": 61269,
    }
    who = identity(answered(redaction(), unit, SYSTEM_UNIT))
    assert (who.product, who.serial, who.firmware) == ("Cisco Board Pro 75", "SERIAL0001", "ce11.27.2.0")
    assert who.uptime_s == 61269


def test_the_same_is_the_same_wherever_it_stands():
    redacting = redaction()
    (entry,) = answered(redacting, LISTING)["Booking"]
    event = told(
        redacting,
        Event={
            "Bookings": {
                "BookingCreated": {
                    "Id": BOOKING["Id"],
                    "MeetingId": BOOKING["MeetingId"],
                    "OrganizerName": "Jane Doe",
                    "Title": " Merger with Acme",
                }
            }
        },
    )["Event"]["Bookings"]["BookingCreated"]
    assert (event["Id"], event["MeetingId"], event["Title"]) == (entry["Id"], entry["MeetingId"], "Title 1")
    organizer = entry["Organizer"]
    assert event["OrganizerName"] == f"{organizer['FirstName']} {organizer['LastName']}"


def test_other_texts_become_others():
    redacting = redaction()
    titles = [told(redacting, Title=f"Title {number}")["Title"] for number in range(30, 0, -1)]
    assert len(set(titles)) == len(titles)
    ids = [told(redacting, Id=str(number))["Id"] for number in range(120)]
    assert len(set(ids)) == len(ids)


def test_a_number_is_the_same_as_its_digits():
    redacting = redaction()
    assert str(answered(redacting, {"Id": 349073})["Id"]) == answered(redacting, {"Id": "349073"})["Id"]


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("10.0.4.21", "192.0.2.1"),
        ("fe80::1ff:fe23:4567:890a", "2001:db8::1"),
        ("D4:AD:71:00:12:34", "00:00:5e:00:53:01"),
        ("sip:board@acme.com", "sip:address-1@example.com"),
        ("board@acme.com", "person-1@example.com"),
        ("spark:abcdef", "spark:link-1"),
        ("c6f91f9a3eb655d4a17a8727399d760e", "f0000000000000000000000000000001"),
        ("+47 22 33 44 55", "Text 1"),
        ("0123", "1001"),
        ("codec-fjord", "Text 1"),
        ("", ""),
        ("On", "On"),
        ("2026-03-02T09:00:00.5+01:00", "2024-01-15T09:00:00.5+01:00"),
        ("2026-13-02T09:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_what_is_unknown_becomes_something_of_its_form(said, instead):
    assert told(redaction(), Status={"Alert": {"Text": said}})["Status"]["Alert"]["Text"] == instead


def test_a_word_of_a_value_space_is_no_word_in_a_name():
    assert told(redaction(), Title="Off", OrganizerName="On", Zone="Room/Of Jane") == {
        "Title": "Title 1",
        "OrganizerName": "Name 1",
        "Zone": "Text 1",
    }


def test_a_time_zone_stays_if_it_is_one():
    asked = Call(method="xGet", params={"Path": ("Configuration", "Time", "Zone")})
    assert answered(redaction(), "Europe/Oslo", asked) == "Europe/Oslo"
    assert answered(redaction(), "Jane/Doe", asked) == "Text 1"


@pytest.mark.parametrize(
    ("month", "day"), [(1, WINTER), (3, WINTER), (4, SUMMER), (10, SUMMER), (12, WINTER)]
)
def test_a_recording_begins_on_one_of_two_days_at_its_own_time_of_day(month, day):
    redacting = redaction(datetime(2026, month, 9, 14, 33, 12, tzinfo=UTC))
    assert redacting.began_at == datetime(day.year, day.month, day.day, 14, 33, 12, tzinfo=UTC)
    assert redacting.shift % timedelta(days=1) == timedelta()


def test_a_refusal_says_what_it_said_if_others_say_the_same():
    redacting = redaction()
    known = Refusal(CallId(3), -32601, "No match on Path argument")
    assert redacting.message(known) == known
    other = redacting.message(Refusal(CallId(3), 1, "Jane is busy"))
    assert other == Refusal(CallId(3), 1, "Refusal 1")


def test_our_own_calls_are_replaced_too():
    redacting = redaction()
    asked = Call(
        method="xCommand/Bookings/Book", params={"Title": "Merger", "Duration": 30, "OrganizerName": "Jane"}
    )
    assert redacting.call(asked).params == {"Title": "Title 1", "Duration": 30, "OrganizerName": "Name 1"}
    assert redacting.call(SYSTEM_UNIT).params == {"Path": ["Status", "SystemUnit"]}
    assert redacting.call(Call(method="Jane's", params={"Path": ["Jane Doe", 1]})) == Call(
        method="unknown", params={"Path": ["unknown", 1]}
    )


def test_what_the_link_asks_stays_as_it_is():
    redacting = redaction()
    calls = [requests.subscribe(each.path) for each in requests.SUBSCRIPTIONS]
    calls += [requests.get(path) for path in (*requests.SENSORS, *requests.CONFIGURATION, requests.UPTIME)]
    calls += [requests.list_bookings(), requests.list_bookings(offset=50)]
    for call in calls:
        plain = {
            name: list(value) if isinstance(value, tuple) else value for name, value in call.params.items()
        }
        assert redacting.call(call) == Call(method=call.method, params=plain)


def test_numbers_of_subscriptions_stay():
    subscribed = Call(method="xFeedback/Subscribe", params={"Query": ("Event", "Bookings")})
    assert answered(redaction(), {"Id": 12345}, subscribed) == {"Id": 12345}
    assert told(redaction(), Id=12345)["Id"] == 12345


def test_what_is_cut_or_refused_for_its_length_still_is():
    redacting = redaction()
    long = told(redacting, Title="x" * 2000, Id="y" * 600, Url="https://acme.com/" + "z" * 2000)
    assert [len(each) for each in long.values()] == [1025, 513, 1025]
    assert told(redacting, Title="x" * 1500)["Title"] == long["Title"]


def test_depth_has_a_bottom():
    deep: dict[str, object] = {"Leaf": "secret"}
    for _ in range(900):
        deep = {"Node": deep}
    assert "secret" not in json.dumps(told(redaction(), **deep))


# ── whatever is said ──────────────────────────────────────────────────────────────────────────────

SECRETS = (
    "Kvikksølv",
    "Tordenskjold",
    "tordenskjold@sjøkrig.example.org",
    "sip:tordenskjold@sjokrig.org",
    "https://sjokrig.webex.com/meet/tordenskjold?pwd=Kvikksølv",
    "FOC2640Y0XK",
    "172.31.99.17",
    "d4:ad:71:0a:0b:0c",
    "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "48151623421",
    "webex-48151623421",
    "Kvikksølv 14:30",
    "d41d8cd98f00b204e9800998ecf8427e",
    "spark:tordenskjold",
    "codec-tordenskjold.sjokrig.org",
    "Tordenskjold/Kvikksølv",
    "ce11.27.2.0.tordenskjold",
    "RoomOS Kvikksølv",
    "Cisco Tordenskjold",
    "2026-03-02T09:00:00Z Kvikksølv",
)
MARKS = re.findall(
    r"\S+",
    """Kvikks kvikks ordenskjold sjokrig sjøkrig 2640Y0XK 172.31 0a:0b:0c 48151623421 7425-40de 98f00b20""",
)
KNOWN_NODES = re.findall(
    r"\w+",
    """Title Id MeetingId OrganizerName OrganizerEmail FirstName Email SerialNumber ProductId Version Agenda
    DisplayName Software Zone Time StartTime EndTime Cause Current PeopleCount PeoplePresence Uptime Duration
    Bookings Booking Number Url Password Value id status Status Event Configuration SystemUnit Hostname Name
    Level TimeStamp MeetingPlatform Privacy ghost Refusal Path Query""",
)
NODES = (
    st.sampled_from(KNOWN_NODES)
    | st.text(string.ascii_letters, min_size=1, max_size=12)
    | st.sampled_from(SECRETS)
)
HARMLESS = st.sampled_from(["On", "OK", "2026-03-02T09:00:00Z", "", "5", 4, -1, True, None, 2.5, "webex-3"])
TREES = st.recursive(
    st.sampled_from(SECRETS) | HARMLESS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(NODES, below, max_size=5),
    max_leaves=25,
)


@given(
    tree=st.dictionaries(NODES, TREES, max_size=5),
    path=st.lists(NODES, max_size=4),
    words=st.sampled_from(SECRETS),
)
def test_no_secret_survives_wherever_it_stands(tree, path, words):
    redacting = redaction()
    asked = Call(method="xGet", params={"Path": path})
    said = [
        redacting.call(Call(method=f"xCommand/{words}", params=tree)).params,
        redacting.call(asked).params,
        told(redacting, **tree),
        answered(redacting, tree, asked),
        answered(redacting, tree),
        answered(redacting, words, asked),
        answered(redacting, tree, Call(method="xFeedback/Subscribe", params={})),
    ]
    refusal = redacting.message(Refusal(CallId(1), 1, words))
    assert isinstance(refusal, Refusal)
    text = json.dumps([said, refusal.message], ensure_ascii=False)
    assert [mark for mark in MARKS if mark in text] == []


@given(tree=TREES)
def test_the_form_stays(tree):
    def form(value: object) -> object:
        if isinstance(value, dict):
            return [form(each) for each in value.values()]
        if isinstance(value, list):
            return [form(each) for each in value]
        counted = isinstance(value, int) and not isinstance(value, bool)
        return str if counted else type(value), value in {"", None}  # a title that is a number becomes text

    result = answered(redaction(), {"Alert": tree})["Alert"]
    assert form(result) == form(tree)


@given(title=st.text(max_size=40), name=st.text(max_size=40), booking=st.text(max_size=40))
def test_what_is_translated_is_the_same_but_for_the_words(title, name, booking):
    def events(body: dict[str, object], shift: timedelta) -> list[object]:
        created = {
            **body,
            "StartTime": f"{(BEGAN + shift).isoformat()}",
            "Duration": 30,
        }
        heard = Translator(DeviceId("d")).heard(
            Feedback({"Event": {"Bookings": {"BookingCreated": created}}})
        )
        return [type(each) for each in heard]

    body = {"Title": title, "OrganizerName": name, "Id": booking}
    assert events(body, timedelta()) == events(told(redaction(), **body), redaction().shift)


def test_a_page_has_the_same_bookings():
    before, after = page(LISTING), page(answered(redaction(), LISTING))
    assert (after.rows, after.total, after.unreadable) == (before.rows, before.total, before.unreadable)
    (one,), (other,) = before.bookings, after.bookings
    assert other.starts_at - one.starts_at == redaction().shift
    assert other.from_webex
    assert other.meeting.private
    assert other.meeting.join == "https://link-1.example.com/"


def test_names_of_nodes_stay_if_they_are_made_of_words_that_names_are_made_of():
    redacting = redaction()
    said = told(
        redacting, Event={"Bookings": {"MeetingExtensionRequested": {}, "TordenskjoldBooked": {}, "Jane": 1}}
    )
    assert list(said["Event"]["Bookings"]) == ["MeetingExtensionRequested", "Node-1", "Node-2"]
    again = told(redacting, Event={"Bookings": {"Jane": 1}})
    assert list(again["Event"]["Bookings"]) == ["Node-2"]


def test_every_name_that_the_published_schemas_have_stays():
    subset = json.loads((Path(__file__).parent / "xapi-subset.json").read_text(encoding="utf-8"))
    names = {
        name
        for nodes in subset["versions"].values()
        for node in nodes
        for name in (
            *re.findall(r"[A-Za-z0-9.]+", node["path"].replace("[n]", "")),
            *node.get("fields", ()),
            *(each["name"] for each in node.get("params", ())),
        )
    }
    said = told(redaction(), **dict.fromkeys(names, True))
    assert names - said.keys() == set()
