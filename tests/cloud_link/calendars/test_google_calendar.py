"""What Google's words mean: its refusals, its events, its notifications; without a line to it."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_link.calendars import google_calendar
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
    WritingOff,
)
from cloud_link.calendars.google_calendar import (
    About,
    Channel,
    Feature,
    digest_of,
    event_id,
    events_path,
    notified,
    read_key,
    refused,
    slows_down,
    token_refused,
)

OSLO = ZoneInfo("Europe/Oslo")
NOW = datetime(2026, 1, 1, 7, tzinfo=UTC)
CANARY = "kanarifugl"


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────

SHORT_LIVED = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)


@pytest.mark.parametrize(
    ("status", "error", "description", "kind"),
    [
        (401, "unauthorized_client", "Client is unauthorized to retrieve access tokens", Revoked),
        (403, "access_denied", "Requested client not authorized.", Revoked),
        (400, "invalid_grant", "Invalid email or User ID", Misconfigured),
        (400, "invalid_grant", "Invalid JWT Signature.", CredentialWrong),
        (400, "invalid_grant", SHORT_LIVED, ClockSkewed),
        (400, "invalid_grant", "Invalid JWT: Failed audience check.", Misconfigured),
        (400, "invalid_grant", "Invalid grant: account not found", CredentialWrong),
        (400, "invalid_grant", "Bad Request", CredentialWrong),
        (400, "invalid_grant", "", CredentialWrong),
        (400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.", Misconfigured),
        (401, "deleted_client", "The OAuth client was deleted.", CredentialWrong),
        (401, "disabled_client", "The OAuth client was disabled.", CredentialWrong),
        (401, "invalid_client", "The OAuth client was not found.", CredentialWrong),
        (400, "something_new", "Unauthorized client", Misconfigured),
    ],
)
def test_refused_tokens_are_sorted_by_what_to_do(status, error, description, kind):
    body = json.dumps({"error": error, "error_description": description}).encode()
    refusal = token_refused(status, body)
    assert type(refusal) is kind
    assert str(status) in str(refusal)
    assert error in str(refusal)
    assert refusal.mend


@pytest.mark.parametrize("body", [b"", b"<html>Sign in</html>", b"[]", b'{"error": 5}', b"\xff"])
def test_what_is_not_googles_word_revokes_nothing(body):
    assert type(token_refused(401, body)) is Unreadable


@pytest.mark.parametrize(
    ("feature", "kind"),
    [
        (Feature.CALENDAR, Revoked),
        (Feature.ROOMS, RoomsDenied),
        (Feature.CUSTOMER, Refused),
        (Feature.VACATION, Refused),
        (Feature.ACCESS, Refused),
        (Feature.WRITING, WritingOff),
        (Feature.SHARING, WritingOff),
    ],
)
def test_only_reading_calendars_is_consent(feature, kind):
    body = b'{"error": "unauthorized_client", "error_description": ""}'
    refusal = token_refused(401, body, feature=feature)
    assert type(refusal) is kind
    assert "Domain-wide delegation" in refusal.mend


def said(code: int, reason: str) -> bytes:
    error = {"domain": "global", "reason": reason, "message": CANARY}
    return json.dumps({"error": {"errors": [error], "code": code, "message": CANARY}}).encode()


@pytest.mark.parametrize(
    ("status", "reason", "about", "kind"),
    [
        (401, "authError", About.ROOM, CredentialWrong),
        (403, "rateLimitExceeded", About.ROOM, Throttled),
        (403, "userRateLimitExceeded", About.ROOM, Throttled),
        (403, "quotaExceeded", About.DIRECTORY, Throttled),
        (403, "dailyLimitExceeded", About.ENTRY, Throttled),
        (429, "anything", About.ROOM, Throttled),
        (403, "insufficientPermissions", About.ROOM, Misconfigured),
        (403, "accessNotConfigured", About.ROOM, Misconfigured),
        (403, "notACalendarUser", About.ROOM, Misconfigured),
        (403, "forbidden", About.ROOM, RoomDenied),
        (403, "forbidden", About.DIRECTORY, RoomsDenied),
        (403, "requiredAccessLevel", About.ENTRY, Refused),
        (404, "notFound", About.ROOM, RoomUnknown),
        (404, "notFound", About.DIRECTORY, Misconfigured),
        (404, "notFound", About.ENTRY, Gone),
        (404, "notFound", About.CHANNEL, Gone),
        (400, "invalid", About.ROOM, Refused),
        (400, "push.webhookUrlNotHttps", About.ROOM, NotCalled),
        (401, "push.webhookUrlUnauthorized", About.ROOM, NotCalled),
        (409, "duplicate", About.ENTRY, Conflicting),
        (410, "fullSyncRequired", About.ROOM, Gone),
        (410, "updatedMinTooLongAgo", About.ROOM, Gone),
        (410, "deleted", About.ENTRY, Gone),
        (410, "a new reason", About.ROOM, Gone),
        (412, "conditionNotMet", About.ENTRY, Conflicting),
        (500, "backendError", About.ROOM, Transient),
        (503, "backendError", About.ROOM, Transient),
    ],
)
def test_refusals_are_sorted_by_what_to_do_and_never_quoted(status, reason, about, kind):
    refusal = refused(status, said(status, reason), about=about)
    assert type(refusal) is kind
    assert CANARY not in str(refusal)
    assert slows_down(status, said(status, reason)) is (kind is Throttled)


def test_newer_apis_say_why_elsewhere():
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}]
    body = json.dumps({"error": {"code": 403, "status": "PERMISSION_DENIED", "details": details}}).encode()
    assert type(refused(403, body, about=About.ROOM)) is Misconfigured


DEEP = b"[" * 100_000, b'{"error":' * 100_000, b'{"id":"x","start":' + b"[" * 100_000


@given(
    status=st.integers(min_value=400, max_value=599),
    body=st.binary(max_size=50)
    | st.sampled_from([b"{}", b'{"error": "x"}', b'{"error": {"errors": 1}}', *DEEP]),
    about=st.sampled_from(About),
)
def test_any_answer_is_some_error(status, body, about):
    assert isinstance(refused(status, body, about=about), CalendarError)
    assert isinstance(token_refused(status, body), CalendarError)


@pytest.mark.parametrize("body", DEEP)
def test_what_is_nested_without_an_end_is_nothing_that_can_be_understood(body: bytes):
    assert (google_calendar.event(body), google_calendar.resource(body)) == (None, None)
    assert (google_calendar.building(body), google_calendar.access_rule(body)) == (None, None)
    with pytest.raises(CredentialWrong):
        read_key(body)


# ── the key ───────────────────────────────────────────────────────────────────────────────────────


def test_a_key_is_read_and_not_shown():
    content: dict[str, Any] = {
        "type": "service_account",
        "client_email": "roomd@project.iam.gserviceaccount.com",
        "private_key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n",
        "private_key_id": "k1",
        "client_id": "1",
    }
    key = read_key(json.dumps(content).encode())
    assert (key.email, key.key_id) == ("roomd@project.iam.gserviceaccount.com", "k1")
    assert key.token_uri == "https://oauth2.googleapis.com/token"
    assert CANARY not in repr(key)
    for wrong in (b"", b"{}", b"\xff", json.dumps({**content, "type": "authorized_user"}).encode()):
        with pytest.raises(CredentialWrong, match="service account") as caught:
            read_key(wrong)
        assert CANARY not in str(caught.value)


# ── events ────────────────────────────────────────────────────────────────────────────────────────


def read(**fields: object) -> google_calendar.Event:
    event = google_calendar.event(json.dumps({"id": "e1", **fields}).encode())
    assert event is not None
    return event


def test_times_without_an_offset_are_of_the_events_zone_else_the_rooms():
    start, end = {"dateTime": "2026-01-01T09:00:00"}, {"dateTime": "2026-01-01T10:00:00"}
    entry = google_calendar.entry(read(start=start, end=end), OSLO)
    assert entry is not None
    assert entry.starts_at == datetime(2026, 1, 1, 8, tzinfo=UTC)
    tokyo = {"timeZone": "Asia/Tokyo"}
    entry = google_calendar.entry(read(start=start | tokyo, end=end | tokyo), OSLO)
    assert entry is not None
    assert entry.starts_at == datetime(2026, 1, 1, tzinfo=UTC)
    strange = {"timeZone": "../../etc/passwd"}
    entry = google_calendar.entry(read(start=start | strange, end=end | strange), OSLO)
    assert entry is not None
    assert entry.starts_at == datetime(2026, 1, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"start": {"date": "2026-01-01"}},
        {"start": {"date": "2026-01-01"}, "end": {"dateTime": "2026-01-02T00:00:00Z"}},
        {"start": {"dateTime": "soon"}, "end": {"dateTime": "2026-01-02T00:00:00Z"}},
        {"start": {"date": "2026-13-01"}, "end": {"date": "2026-13-02"}},
        {"start": {"dateTime": "0001-01-01T00:00:00+14:00"}, "end": {"dateTime": "2026-01-02T00:00:00Z"}},
        {"start": {"dateTime": "2026-01-02T00:00:00Z"}, "end": {"dateTime": "2026-01-02T00:00:00Z"}},
        {"start": {"dateTime": "2026-01-02T00:00:00Z"}, "end": {"dateTime": "2026-01-01T00:00:00Z"}},
    ],
)
def test_an_event_without_possible_times_is_none(fields):
    assert google_calendar.entry(read(**fields), OSLO) is None


@given(first=st.dates(date(2000, 1, 1), date(2100, 1, 1)), days=st.integers(1, 30))
def test_all_day_events_last_whole_dates_of_the_room(first, days):
    last = first + timedelta(days=days)
    said = read(start={"date": first.isoformat()}, end={"date": last.isoformat()})
    entry = google_calendar.entry(said, OSLO)
    assert entry is not None
    assert entry.all_day
    local = entry.starts_at.astimezone(OSLO), entry.ends_at.astimezone(OSLO)
    assert [(at.date(), at.hour) for at in local] == [(first, 0), (last, 0)]


def test_only_the_rooms_own_answer_counts():
    others = [{"responseStatus": "declined"}, {"self": False, "responseStatus": "declined"}]
    assert read(attendees=others).occupies
    assert not read(attendees=[*others, {"self": True, "responseStatus": "declined"}]).occupies
    assert read(attendees=[{"self": True, "responseStatus": "tentative"}]).occupies


@pytest.mark.parametrize("raw", [b"{}", b"[]", b'{"id": 1}', b'{"id": "e1", "attendees": {}}', b"\xff"])
def test_what_is_no_event_is_none(raw):
    assert google_calendar.event(raw) is None


def test_what_is_cancelled_does_not_keep_the_room_whatever_is_left_of_it():
    times = {"start": {"date": "2026-01-01"}, "end": {"date": "2026-01-02"}}
    assert read(**times).occupies
    assert not read(**times, status="cancelled").occupies


def test_what_stands_in_a_path_is_quoted():
    path = events_path("en.norwegian#holiday/x?@group.v.calendar.google.com", "a b_20260101T080000Z")
    assert path == (
        "/calendar/v3/calendars/en.norwegian%23holiday%2Fx%3F%40group.v.calendar.google.com/events"
        "/a%20b_20260101T080000Z"
    )


def test_the_same_request_makes_the_same_event():
    assert event_id("r1") == event_id("r1") != event_id("r2")
    assert set(event_id("r1")) <= set("0123456789abcdefghijklmnopqrstuv")
    assert 5 <= len(event_id("r1")) <= 1024


# ── channels ──────────────────────────────────────────────────────────────────────────────────────

HEADERS = {
    "X-Goog-Channel-ID": "c1",
    "X-Goog-Channel-Token": "secret",
    "X-Goog-Channel-Expiration": "Thu, 08 Jan 2026 07:00:00 GMT",
    "X-Goog-Resource-ID": "r1",
    "X-Goog-Resource-State": "exists",
    "X-Goog-Message-Number": "10",
}
CHANNEL = Channel(
    id="c1",
    address="fjord@example.com",
    hook="https://roomd.example.com/",
    token_digest=digest_of("secret"),
    asked_at=NOW,
    resource_id="r1",
    expires_at=NOW + timedelta(days=7),
)


def hint(**changes: str) -> google_calendar.Hint:
    said = notified(HEADERS | {name.replace("_", "-"): value for name, value in changes.items()})
    assert said is not None
    return said


def test_a_notification_is_in_its_headers_whatever_their_case():
    assert hint() == notified({name.upper(): value for name, value in HEADERS.items()})
    assert hint().expires_at == NOW + timedelta(days=7)
    assert not hint().first
    assert hint(**{"X-Goog-Resource-State": "sync"}).first
    for state in ("exists", "not_exists", "a_new_word"):
        assert not hint(**{"X-Goog-Resource-State": state}).first


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Goog-Resource-State": "exists"},
        {"X-Goog-Channel-ID": "c1"},
        {**HEADERS, "X-Goog-Channel-ID": "c" * 65},
        {**HEADERS, "X-Goog-Channel-ID": "c 1"},
        {**HEADERS, "X-Goog-Resource-State": ""},
    ],
)
def test_what_is_no_notification_is_none(headers):
    assert notified(headers) is None


@given(st.dictionaries(st.sampled_from([*HEADERS, "Host"]), st.text(max_size=40)))
def test_any_headers_are_a_notification_or_not(headers):
    notified(headers)


def test_a_channel_takes_only_its_own_notifications():
    assert CHANNEL.admits(hint())
    for changes in (
        {"X-Goog-Channel-Token": "guess"},
        {"X-Goog-Channel-Token": ""},
        {"X-Goog-Channel-Token": "sécret"},
        {"X-Goog-Channel-ID": "c2"},
        {"X-Goog-Resource-ID": "r2"},
    ):
        assert not CHANNEL.admits(hint(**changes))
