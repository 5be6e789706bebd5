"""What Graph and its token endpoint say, as values."""

import json
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_link.calendars import graph
from cloud_link.calendars.errors import (
    CalendarError,
    ClockSkewed,
    Conflicting,
    CredentialWrong,
    Gone,
    Misconfigured,
    NotCalled,
    Refused,
    Revoked,
    RoomDenied,
    RoomsDenied,
    RoomUnknown,
    Throttled,
    Transient,
    Unreadable,
)
from cloud_link.calendars.graph import About, Hint, Lifecycle, LifecycleNotice, Subscription
from cloud_link.calendars.wire import Answer

OSLO = ZoneInfo("Europe/Oslo")
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)

# ── tokens ──


def refusal(error: str, number: int | None = None) -> bytes:
    numbers = [number] if number else []
    text = f"AADSTS{number}: canary" if number else "canary"
    return json.dumps({"error": error, "error_description": text, "error_codes": numbers}).encode()


@pytest.mark.parametrize(
    ("status", "error", "number", "kind"),
    [
        (400, "unauthorized_client", 700016, Revoked),
        (401, "invalid_client", 7000229, Revoked),
        (400, "unauthorized_client", 7000112, Revoked),
        (401, "unauthorized_client", 7000112, Revoked),
        (400, "invalid_grant", 65001, Revoked),
        (401, "invalid_client", 7000215, CredentialWrong),
        (401, "invalid_client", 7000222, CredentialWrong),
        (401, "invalid_client", 700027, CredentialWrong),
        (401, "invalid_client", 700024, ClockSkewed),
        (400, "invalid_request", 90002, Misconfigured),
        (400, "invalid_tenant", None, Misconfigured),
        (400, "temporarily_unavailable", None, Transient),
        (400, "server_error", None, Transient),
        # what no number tells apart
        (400, "unauthorized_client", 1234567, Revoked),
        (401, "invalid_client", 1234567, CredentialWrong),
        (400, "invalid_grant", 1234567, CredentialWrong),
        (400, "invalid_grant", None, CredentialWrong),
        (400, "invalid_scope", 70011, Misconfigured),
        (400, "something_new", None, Misconfigured),
    ],
)
def test_each_refusal_of_a_token(status: int, error: str, number: int | None, kind: type[CalendarError]):
    meant = graph.token_refused(status, refusal(error, number))
    assert type(meant) is kind
    assert meant.mend
    assert "canary" not in str(meant)
    if number is not None:
        assert f"AADSTS{number}" in str(meant)


def test_every_row_is_met_by_its_own_refusal():
    for row in graph.REFUSALS:
        meant = graph.token_refused(400, refusal(row.error, row.number))
        assert (row.why in str(meant), meant.mend) == (True, row.mend)


def test_the_number_may_stand_in_the_text_alone():
    body = json.dumps({"error": "invalid_client", "error_description": "AADSTS7000222: expired"}).encode()
    assert "expired" in str(graph.token_refused(401, body))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": 3}', b"\xff"])
def test_what_is_no_refusal_of_a_token(body: bytes):
    assert isinstance(graph.token_refused(400, body), Unreadable)


def test_strange_words_are_not_repeated():
    assert "canary" not in str(graph.token_refused(400, refusal("canary of <script>")))


# ── Graph ──


def said(code: str, message: str = "canary") -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "innerError": {}}}).encode()


NO_ROLES = '{"ErrorCode":"…","Message":"Either scp or roles claim need to be present in the token."}'
DIAGNOSTICS = {"x-ms-diagnostics": '2000008;reason="The token contains no permissions, or …"'}


@pytest.mark.parametrize(
    ("status", "body", "about", "kind"),
    [
        (403, said("ErrorAccessDenied"), About.ROOM, RoomDenied),
        (403, said("ErrorAccessDenied", "Access to OData is disabled."), About.ROOM, RoomDenied),
        (403, said("Authorization_RequestDenied"), About.ROOMS, RoomsDenied),
        (403, said("ErrorAccessDenied"), About.SUBSCRIPTION, RoomDenied),
        (401, said("UnknownError", NO_ROLES), About.ROOM, RoomDenied),
        (401, said("UnknownError", NO_ROLES), About.ROOMS, RoomsDenied),
        (401, said("InvalidAuthenticationToken"), About.ROOMS, CredentialWrong),
        (401, b"", About.ROOM, RoomDenied),
        (404, said("ErrorItemNotFound"), About.ENTRY, Gone),
        (404, said("ErrorInvalidUser"), About.ENTRY, RoomUnknown),
        (404, said("MailboxNotEnabledForRESTAPI"), About.ENTRY, RoomUnknown),
        (403, said("ErrorAccessDenied"), About.ENTRY, RoomDenied),
        (404, said("ErrorInvalidUser"), About.ROOM, RoomUnknown),
        (404, said("ResourceNotFound"), About.ROOM, RoomUnknown),
        (400, said("ErrorInvalidUser"), About.ROOM, RoomUnknown),
        (404, said("MailboxNotEnabledForRESTAPI"), About.ROOM, RoomUnknown),
        (404, b"", About.ROOM, RoomUnknown),
        (404, said("ResourceNotFound"), About.SUBSCRIPTION, Gone),
        (409, said("ExtensionError"), About.SUBSCRIPTION, Conflicting),
        (412, said("ErrorIrresolvableConflict"), About.ROOM, Conflicting),
        (410, said("SyncStateNotFound"), About.ROOM, Gone),
        (400, said("ValidationError"), About.SUBSCRIPTION, NotCalled),
        (400, said("ErrorInvalidParameter"), About.ROOM, Refused),
        (429, said("ApplicationThrottled"), About.ROOM, Throttled),
        (503, b"<html>", About.ROOM, Transient),
        (400, b"\xff", About.ROOM, Refused),
    ],
)
def test_each_refusal_of_graph(status: int, body: bytes, about: About, kind: type[CalendarError]):
    meant = graph.refused(status, {}, body, about=about, retry_after_s=7.0)
    assert type(meant) is kind
    assert "canary" not in f"{meant} {meant.mend}"
    if isinstance(meant, Transient):
        assert meant.retry_after_s == 7.0


def test_a_token_without_roles_is_known_by_its_header_too():
    assert isinstance(graph.refused(401, DIAGNOSTICS, b"", about=About.ROOM), RoomDenied)


# ── entries ──


def event(**fields: object) -> graph.Event:
    whole = {
        "id": "e1",
        "start": {"dateTime": "2026-11-21T08:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": "2026-11-21T09:00:00.0000000", "timeZone": "UTC"},
        "subject": "Weekly",
        **fields,
    }
    made = graph.event(json.dumps(whole).encode())
    assert made is not None
    return made


def times(said: graph.Event, zone: tzinfo = OSLO) -> tuple[str, str] | None:
    made = graph.entry(said, zone)
    return (f"{made.starts_at:%d %H:%M}", f"{made.ends_at:%d %H:%M}") if made else None


def when(text: str, zone: str = "UTC") -> dict[str, str]:
    return {"dateTime": text, "timeZone": zone}


def test_times_in_utc():
    assert times(event()) == ("21 08:00", "21 09:00")


@pytest.mark.parametrize(
    ("zone", "starts"),
    [
        ("W. Europe Standard Time", "21 07:00"),
        ("Pacific Standard Time", "21 16:00"),
        ("Asia/Kolkata", "21 02:30"),
        ("UTC", "21 08:00"),
        ("tzone://Microsoft/Utc", "21 08:00"),
        ("tzone://Microsoft/Custom", "21 07:00"),
        ("Customized Time Zone", "21 07:00"),
        ("", "21 07:00"),
        ("../../etc/passwd", "21 07:00"),
    ],
)
def test_times_in_zones_of_any_name(zone: str, starts: str):
    made = event(start=when("2026-11-21T08:00:00", zone), end=when("2026-11-21T23:00:00", zone))
    assert times(made) == (starts, times(made)[1])  # type: ignore[index]


@pytest.mark.parametrize(
    ("room", "label", "first", "after", "starts", "ends"),
    [
        (OSLO, "UTC", "2026-11-21", "2026-11-22", "20 23:00", "21 23:00"),
        (OSLO, "W. Europe Standard Time", "2026-11-21", "2026-11-22", "20 23:00", "21 23:00"),
        (OSLO, "UTC", "2026-11-21", "2026-11-24", "20 23:00", "23 23:00"),  # several days
        (OSLO, "UTC", "2026-03-29", "2026-03-30", "28 23:00", "29 22:00"),  # 23 hours
        (OSLO, "UTC", "2026-10-25", "2026-10-26", "24 22:00", "25 23:00"),  # 25 hours
        (ZoneInfo("Pacific/Auckland"), "UTC", "2026-11-21", "2026-11-22", "20 11:00", "21 11:00"),
        (ZoneInfo("America/Los_Angeles"), "UTC", "2026-11-21", "2026-11-22", "21 08:00", "22 08:00"),
        (OSLO, "UTC", "2026-11-21", "2026-11-21", "20 23:00", "21 23:00"),  # as some write one day
    ],
)
def test_all_day_is_dates_of_the_room(
    room: tzinfo, label: str, first: str, after: str, starts: str, ends: str
):
    made = event(
        isAllDay=True,
        start=when(f"{first}T00:00:00.0000000", label),
        end=when(f"{after}T00:00:00.0000000", label),
    )
    assert times(made, room) == (starts, ends)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-21T08:00:00", "2026-11-21T08:00:00"),
        ("2026-11-21T08:00:00", "2026-11-21T07:00:00"),
        ("yesterday", "2026-11-21T07:00:00"),
        ("0001-01-01T00:00:00", "9999-12-31T23:59:59.9999999"),
        ("", ""),
    ],
)
def test_times_that_cannot_be(start: str, end: str):
    made = graph.entry(event(start=when(start, "Asia/Kolkata"), end=when(end, "Asia/Kolkata")), OSLO)
    assert made is None or made.starts_at <= made.ends_at


@pytest.mark.parametrize(
    ("fields", "occupies"),
    [
        ({}, True),
        ({"isCancelled": True}, False),
        ({"isDraft": True}, False),
        ({"showAs": "free"}, False),
        ({"showAs": "workingElsewhere"}, False),
        ({"showAs": "tentative"}, True),
        ({"showAs": "oof"}, True),
        ({"showAs": "unknown"}, True),
        ({"showAs": "somethingNew"}, True),
        ({"responseStatus": {"response": "declined"}}, False),
        ({"responseStatus": {"response": "accepted"}}, True),
        ({"responseStatus": {"response": "tentativelyAccepted"}}, True),
        ({"responseStatus": {"response": "notResponded"}}, True),
        ({"responseStatus": {"response": "organizer"}}, True),
        ({"responseStatus": {"response": None}}, True),
        ({"responseStatus": None}, True),
    ],
)
def test_what_occupies_a_room(fields: dict[str, Any], occupies: bool):
    assert event(**fields).occupies is occupies


@pytest.mark.parametrize("sensitivity", ["private", "confidential", "personal", "somethingNew"])
def test_a_private_title_is_masked(sensitivity: str):
    made = graph.entry(event(sensitivity=sensitivity), OSLO)
    assert made is not None
    assert (made.meeting.title, made.meeting.private) == (None, True)


@pytest.mark.parametrize("subject", [None, "", "  "])
def test_a_missing_title(subject: str | None):
    made = graph.entry(event(subject=subject), OSLO)
    assert made is not None
    assert (made.meeting.title, made.meeting.private) == (None, False)


TEAMS = "https://teams.microsoft.com/l/meetup-join/19%3ameeting_abc/0?context=x"


def test_a_link_from_the_calendars_own_fields():
    made = graph.entry(event(onlineMeeting={"joinUrl": TEAMS}, location={"displayName": "@webex"}), OSLO)
    assert made is not None
    assert (made.meeting.join, made.meeting.platform) == (TEAMS, "microsoft_teams")
    assert not made.join_pending


def test_a_link_in_the_location():
    made = graph.entry(event(location={"displayName": "https://acme.webex.com/meet/ada"}), OSLO)
    assert made is not None
    assert (made.meeting.join, made.meeting.platform) == ("https://acme.webex.com/meet/ada", "webex")


def test_a_keyword_without_a_link_is_pending():
    made = graph.entry(event(location={"displayName": "Fjord; @webex"}), OSLO)
    assert made is not None
    assert made.join_pending


def test_an_organizer_is_a_name_and_never_an_address():
    who = {"emailAddress": {"name": "Ada", "address": "ada@contoso.example"}}
    made = graph.entry(event(organizer=who), OSLO)
    assert made is not None
    assert made.meeting.organizer == "Ada"
    assert made.meeting.organizer_address == who["emailAddress"]["address"]  # told to nobody
    unnamed = graph.entry(event(organizer={"emailAddress": {"address": "ada@contoso.example"}}), OSLO)
    assert unnamed is not None
    assert unnamed.meeting.organizer is None


GLOBAL = "040000008200E00074C5B7101A82E008{date}FC0D9C73B5B1DA01000000000000000010000000{unique}"
UNIQUE = "0123456789ABCDEF" * 2


def test_occurrences_share_the_uid_of_their_series():
    made = GLOBAL.format(date="07EA0B15", unique=UNIQUE)
    assert graph.series_uid(made) == GLOBAL.format(date="00000000", unique=UNIQUE)
    assert graph.series_uid(graph.series_uid(made)) == graph.series_uid(made)


def test_a_uid_from_elsewhere_is_what_it_was_there():
    wrapped = (b"vCal-Uid\x01\x00\x00\x00" + b"abc123@google.com\x00").hex().upper()
    assert graph.series_uid(GLOBAL.format(date="07EA0B15", unique=wrapped)) == "abc123@google.com"
    assert graph.series_uid("abc123@google.com") == "abc123@google.com"


@given(st.text() | st.from_regex(r"040000008200E00074C5B7101A82E008[0-9A-F]{8,80}", fullmatch=True))
def test_any_uid_stays_one(text: str):
    assert isinstance(graph.series_uid(text), str)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["id", "start", "end", "subject", "isAllDay", "showAs", "sensitivity", "location", "iCalUId", "dateTime"]
)


DEEP = b"[" * 100_000, b'{"subject":' * 100_000, b'{"id":"x","location":' + b"[" * 100_000
written = (st.dictionaries(KEYS, json_values, max_size=10) | json_values).map(
    lambda tree: json.dumps(tree).encode()
)


@given(written | st.sampled_from(DEEP))
def test_no_entry_breaks_a_listing(body: bytes):
    made = graph.event(body)
    if made is not None:
        found = graph.entry(made, OSLO)
        assert found is None or found.starts_at <= found.ends_at


@pytest.mark.parametrize("body", DEEP)
def test_what_is_nested_without_an_end_is_nothing_that_can_be_understood(body: bytes):
    assert (graph.event(body), graph.place(body), graph.subscription(body)) == (None, None, None)
    assert isinstance(graph.token_refused(400, body), Unreadable)
    assert isinstance(graph.refused(400, {}, body, about=About.ROOM), CalendarError)
    with pytest.raises(Unreadable):
        graph.notified(body)
    with pytest.raises(Unreadable):
        Answer(status=200, headers={}, body=body).json()


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40), st.booleans())
def test_no_time_breaks_a_listing(start: str, end: str, zone: str, all_day: bool):
    found = graph.entry(event(start=when(start, zone), end=when(end, zone), isAllDay=all_day), OSLO)
    assert found is None or found.starts_at <= found.ends_at


# ── rooms ──


@pytest.mark.parametrize(
    ("capacity", "seats"), [(50, 50), ("50", 50), (None, None), ("", None), ("many", None), (-1, None)]
)
def test_a_room_of_the_list(capacity: object, seats: int | None):
    body = {"emailAddress": " CF100@contoso.com", "displayName": "Conf Room", "capacity": capacity}
    made = graph.place(json.dumps({**body, "floorNumber": 1, "building": "1"}).encode())
    assert made == graph.Place(
        address="cf100@contoso.com", name="Conf Room", capacity=seats, building="1", floor="1"
    )


@pytest.mark.parametrize("body", [b"{}", b'{"emailAddress": null}', b"[]", b"x", b'{"emailAddress": 3}'])
def test_what_is_no_room(body: bytes):
    assert graph.place(body) is None


# ── notifications ──


def test_what_is_notified():
    body = {
        "value": [
            {"subscriptionId": "s1", "clientState": "x", "tenantId": "t", "changeType": "updated"},
            {"subscriptionId": "s1", "clientState": "x", "tenantId": "t", "changeType": "deleted"},
            {"subscriptionId": "s2", "changeType": "created"},
            {"subscriptionId": "s3", "clientState": "x", "lifecycleEvent": "reauthorizationRequired"},
            {"subscriptionId": "s3", "clientState": "x", "lifecycleEvent": "subscriptionRemoved"},
            {"subscriptionId": "s3", "clientState": "x", "lifecycleEvent": "missed"},
            {"subscriptionId": "s3", "clientState": "x", "lifecycleEvent": "somethingNew"},
            {"subscriptionId": 3},
            "nonsense",
        ],
        "validationTokens": None,
    }
    assert tuple(graph.notified(json.dumps(body).encode())) == (
        Hint(subscription_id="s1", client_state="x"),
        Hint(subscription_id="s2", client_state=""),
        LifecycleNotice(subscription_id="s3", client_state="x", what=Lifecycle.REAUTHORIZE),
        LifecycleNotice(subscription_id="s3", client_state="x", what=Lifecycle.REMOVED),
        LifecycleNotice(subscription_id="s3", client_state="x", what=Lifecycle.MISSED),
    )


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"value": 3}', b"\xff", b"<html>", b'{"value": [' + b"[" * 99_999]
)
def test_what_is_no_notification(body: bytes):
    with pytest.raises(Unreadable):
        graph.notified(body)


def test_secrets_are_not_shown():
    [hint] = graph.notified(b'{"value": [{"subscriptionId": "s1", "clientState": "canary"}]}')
    assert "canary" not in repr(hint)
    assert "canary" not in repr(subscription("s1", "fjord@x", "canary"))


# ── subscriptions ──

DOOR = "https://edge.example.com/hooks/graph"


def subscription(
    name: str, address: str, client_state: str | None = None, *, url: str = DOOR, minutes: int = 60
) -> Subscription:
    return Subscription(
        id=name,
        address=address,
        url=url,
        client_state=client_state,
        expires_at=NOW + timedelta(minutes=minutes),
    )


def test_reconciled_at_start():
    stored = [
        subscription("kept", "a@x", "s", minutes=5),
        subscription("lost", "b@x", "s"),
        subscription("unwanted", "c@x", "s"),
        subscription("elsewhere", "e@x", "s", url="https://edge.example.com/old"),
        subscription("lapsed", "f@x", "s"),
        subscription("moved", "h@x", "s", url="https://other.example.com/hooks/graph"),
    ]
    there = [
        subscription("kept", "a@x"),
        subscription("twin", "a@x"),
        subscription("unwanted", "c@x"),
        subscription("stranger", "d@x"),
        subscription("others", "d@x", url="https://other.example.com/hooks/graph"),
        subscription("elsewhere", "e@x", url="https://edge.example.com/old"),
        subscription("lapsed", "f@x", minutes=-1),
        subscription("moved", "h@x", url="https://other.example.com/hooks/graph"),
        subscription("ours of before", "b@x", url="https://edge.example.com/lost"),
        subscription("another agent's", "g@x", url="https://edge.example.com/bergen/microsoft"),
    ]
    plan = graph.reconcile(stored, there, rooms=["A@x", "b@x", "d@x", "e@x", "f@x"], url=DOOR, now=NOW)
    assert plan.keep == (subscription("kept", "a@x", "s", minutes=60),)
    assert set(plan.delete) == {
        "twin",
        "unwanted",
        "stranger",
        "elsewhere",
        "lapsed",
        "moved",
        "ours of before",
    }


def test_a_restart_changes_nothing():
    stored = [subscription(name, f"{name}@x", "s") for name in "abc"]
    there = [subscription(name, f"{name}@x") for name in "cab"]
    plan = graph.reconcile(stored, there, rooms=["a@x", "b@x", "c@x"], url=DOOR, now=NOW)
    assert plan.delete == ()
    assert {each.id for each in plan.keep} == {"a", "b", "c"}


@pytest.mark.parametrize("luck", [0.0, 0.5, 1.0])
def test_renewed_at_about_half_its_life(luck: float):
    at = graph.renew_at(NOW, NOW + timedelta(hours=70), luck=luck)
    assert timedelta(hours=31) < at - NOW < timedelta(hours=39)


@pytest.mark.parametrize(
    ("resource", "address"),
    [
        ("/users/fjord@contoso.com/events", "fjord@contoso.com"),
        ("Users/Fjord@contoso.com/Events", "fjord@contoso.com"),
        ("users('fjord@contoso.com')/events", "fjord@contoso.com"),
        ("/users/fjord%40contoso.com/events", "fjord@contoso.com"),
        ("/users/fjord@contoso.com/messages", None),
        ("/me/events", None),
    ],
)
def test_what_a_subscription_is_to(resource: str, address: str | None):
    body = {
        "id": "s1",
        "resource": resource,
        "notificationUrl": DOOR,
        "expirationDateTime": "2026-11-21T10:00:00Z",
    }
    made = graph.subscription(json.dumps(body).encode(), client_state="s")
    assert (made.address if made else None) == address
