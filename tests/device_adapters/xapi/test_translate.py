"""What a device says, in the core's words."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.events import (
    BookingCheckedIn,
    BookingCreated,
    BookingDeleted,
    BookingEnded,
    BookingFailed,
    BookingMoved,
    BookingRequested,
    BookingStarted,
    BookingsTouched,
    BookingTimeoutRead,
    CallsCounted,
    CheckInRead,
    LightModeRead,
    PeopleCounted,
    PresenceSensed,
    PromptAnswered,
    PromptCleared,
    PromptDisplayed,
    SharingSensed,
    ShortcomingsFound,
    SyncRequired,
    UptimeRead,
    UseSensed,
)
from agent.core.model import BookingId, DeviceId, FeedbackId, Meeting, MeetingId, RequestId, Surface
from device_adapters.xapi import needs
from device_adapters.xapi.messages import Feedback
from device_adapters.xapi.schema import Unreadable
from device_adapters.xapi.translate import (
    TEAMS_ROOMS,
    Translator,
    identity,
    page,
    snake,
)

D = DeviceId("device-1")
NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
HALF_PAST = NINE + timedelta(minutes=30)
UUID = RequestId("0b9c")
W7, C6F9, M = BookingId("webex-7"), BookingId("c6f9"), MeetingId("m")


def heard(tree, translator=None):
    return (translator or Translator(D)).heard(Feedback({"Id": 3, **tree}))


def booking_event(name, body):
    return heard({"Event": {"Bookings": {name: body}}})


# ── sensors ──


@pytest.mark.parametrize(
    ("said", "people"), [(4, 4), ("4", 4), (0, 0), (-1, None), ("-1", None), ({"ghost": "True"}, None)]
)
def test_minus_one_is_unknown_and_never_empty(said, people):
    assert heard({"Status": {"RoomAnalytics": {"PeopleCount": {"Current": said}}}}) == (
        PeopleCounted(device=D, people=people),
    )


@pytest.mark.parametrize(("said", "presence"), [("Yes", True), ("No", False), ("Unknown", None)])
def test_presence_may_be_unknown(said, presence):
    assert heard({"Status": {"RoomAnalytics": {"PeoplePresence": said}}}) == (
        PresenceSensed(device=D, presence=presence),
    )


def test_one_frame_may_carry_several_values():
    tree = {
        "Status": {
            "RoomAnalytics": {"PeopleCount": {"Current": 2, "id": 1}, "RoomInUse": "True", "id": 1},
            "SystemUnit": {"State": {"NumberOfActiveCalls": 1}},
        },
        "Event": {"Bookings": {"Updated": {}}},
    }
    assert heard(tree) == (
        PeopleCounted(device=D, people=2),
        UseSensed(device=D, in_use=True),
        CallsCounted(device=D, calls=1),
        BookingsTouched(device=D),
    )


def test_a_value_outside_its_space_is_left_out_and_counted():
    translator = Translator(D)
    tree = {"Status": {"RoomAnalytics": {"PeopleCount": {"Current": "many"}, "PeoplePresence": "No"}}}
    assert heard(tree, translator) == (PresenceSensed(device=D, presence=False),)
    assert (translator.unreadable, translator.unknown) == (1, 0)


def test_an_unknown_node_is_ignored_and_counted():
    translator = Translator(D)
    tree = {
        "Status": {"Coffee": {"Temperature": 93}, "RoomAnalytics": {"PeopleCount": {"Current": 1}}},
        "Event": {"Bookings": {"Celebrated": {"Id": "webex-1"}}},
        "Cloud": {},
    }
    assert heard(tree, translator) == (PeopleCounted(device=D, people=1),)
    assert (translator.unreadable, translator.unknown) == (0, 2)


def test_a_branch_that_is_gone_takes_its_values_with_it():
    assert heard({"Status": {"RoomAnalytics": {"ghost": "True"}}}) == (
        PeopleCounted(device=D, people=None),
        PresenceSensed(device=D, presence=None),
        UseSensed(device=D, in_use=None),
    )


class Screen:
    """What is heard of sharing, one difference after the other."""

    def __init__(self):
        self.translator = Translator(D)

    def says(self, presentation):
        events = heard({"Status": {"Conference": {"Presentation": presentation}}}, self.translator)
        assert all(isinstance(event, SharingSensed) for event in events)
        return events[-1].sharing


def test_somebody_shares_as_long_as_one_instance_is_there():
    screen = Screen()
    assert screen.says({"LocalInstance": [{"id": 1, "SendingMode": "LocalOnly"}]}) is True
    assert screen.says({"LocalInstance": [{"id": 2, "SendingMode": "LocalOnly"}]}) is True
    assert screen.says({"LocalInstance": [{"ghost": "True", "id": 1}]}) is True
    assert screen.says({"LocalInstance": [{"ghost": "True", "id": 2}]}) is False


def test_sharing_in_the_room_alone_is_not_ended_by_a_call_that_carries_nothing():
    screen = Screen()
    assert screen.says({"LocalInstance": {"id": 1}}) is True
    assert screen.says({"Mode": "Off"}) is True
    assert screen.says({"LocalInstance": {"ghost": "True"}}) is False


def test_what_the_far_end_shares_is_not_shared_here():
    screen = Screen()
    assert screen.says({"Mode": "Receiving"}) is False
    assert screen.says({"Mode": "Sending"}) is True
    assert screen.says({"Mode": "Off"}) is False


def test_a_reading_of_the_whole_replaces_what_was_heard():
    screen = Screen()
    screen.says({"LocalInstance": [{"id": 1}]})
    path = ("Status", "Conference", "Presentation")
    assert screen.translator.read(path, {"Mode": "Off"}) == (SharingSensed(device=D, sharing=False),)
    assert screen.translator.sharing is False


def test_a_teams_call_is_a_call_beside_those_that_the_device_counts():
    translator = Translator(D)
    calling = {"Status": {"MicrosoftTeams": {"Calling": {"InCall": "True"}}}}
    assert heard(calling, translator) == (CallsCounted(device=D, calls=1),)
    own = translator.read(("Status", "SystemUnit", "State", "NumberOfActiveCalls"), 0)
    assert own == (CallsCounted(device=D, calls=1),)
    over = translator.read(("Status", "MicrosoftTeams", "Calling", "InCall"), "False")
    assert over == (CallsCounted(device=D, calls=0),)


@pytest.mark.parametrize(
    ("said", "teams"),
    [
        ({"Software": {"Version": {"TeamsApp": "1449/1.0.96.2024"}}, "Calling": {"InCall": "False"}}, True),
        ({"Software": {"Version": {"TeamsApp": ""}}}, False),
        ({"Calling": {"InCall": "False"}}, False),
        ("", False),
        (None, False),
    ],
)
def test_a_device_with_the_teams_app_is_a_teams_room(said, teams):
    translator = Translator(D)
    translator.read(("Status", "MicrosoftTeams"), said)
    assert translator.teams is teams
    assert translator.shortcomings == ((TEAMS_ROOMS,) if teams else ())


@pytest.mark.parametrize(
    ("mode", "provisioned"), [("Off", False), ("Auto", True), ("Webex", True), ("?", None)]
)
def test_whether_anybody_provisions_a_device_is_read(mode, provisioned):
    translator = Translator(D)
    translator.read(("Configuration", "Provisioning", "Mode"), mode)
    assert translator.provisioned is provisioned


@pytest.mark.parametrize(
    ("read", "counts"),
    [
        ({"PeopleCount": {"Current": -1}, "PeoplePresence": "Unknown"}, True),
        ({"PeopleCount": {"Current": "?"}}, True),
        ({"AmbientTemperature": "21.3"}, False),
        ({}, False),
        ("", False),
    ],
)
def test_a_device_counts_if_it_has_a_number_be_it_unknown(read, counts):
    translator = Translator(D)
    translator.read(("Status", "RoomAnalytics"), read)
    assert translator.counts is counts


@pytest.mark.parametrize(
    ("product", "navigator"), [("Cisco Room Navigator", True), ("Room Navigator", True), ("Room Bar", False)]
)
def test_a_navigator_is_known_by_its_product(product, navigator):
    unit = {"ProductId": product, "Software": {"Version": "ce11.27.2.0"}}
    assert identity(unit).navigator is navigator


def test_a_leaf_is_read_without_its_root():
    translator = Translator(D)
    assert translator.read(("Status", "SystemUnit", "Uptime"), 61269) == (
        UptimeRead(device=D, uptime_s=61269),
    )
    read = translator.read(("Status", "RoomAnalytics"), {"Sound": {"Level": {"A": 40}}, "RoomInUse": "False"})
    assert read == (UseSensed(device=D, in_use=False),)
    assert translator.unknown == 0


# ── bookings ──


def test_a_request_has_its_end_from_its_duration_in_minutes():
    body = {
        "BookingRequestUUID": UUID,
        "Duration": 30,
        "StartTime": "2026-03-02T09:00:00Z",
        "Title": "Ad hoc meeting",
    }
    assert booking_event("BookingRequested", body) == (
        BookingRequested(
            device=D, request_id=UUID, starts_at=NINE, ends_at=HALF_PAST, title="Ad hoc meeting"
        ),
    )


def test_a_request_may_come_without_uuid_and_with_an_empty_title():
    body = {"Duration": "30", "StartTime": "2026-03-02T09:00:00.000Z", "Title": ""}
    assert booking_event("BookingRequested", body) == (
        BookingRequested(device=D, request_id=None, starts_at=NINE, ends_at=HALF_PAST, title=None),
    )


def test_a_created_booking_carries_its_request_and_its_meeting():
    body = {
        "BookingRequestUUID": UUID,
        "Duration": 30,
        "Id": "webex-7",
        "MeetingId": "ee185ae7",
        "OrganizerEmail": "ada@example.com",
        "OrganizerName": "Ada",
        "StartTime": "2026-03-02T10:00:00+01:00",
        "Title": "5",
    }
    created = BookingCreated(
        device=D,
        booking_id=W7,
        meeting_id=MeetingId("ee185ae7"),
        starts_at=NINE,
        ends_at=HALF_PAST,
        request_id=UUID,
        title="5",
        organizer="Ada",
        organizer_address="ada@example.com",
    )
    assert booking_event("BookingCreated", body) == (created,)


def test_an_empty_meeting_id_is_none():
    body = {"Id": "c6f9", "MeetingId": "", "StartTime": "2026-03-02T09:00:00Z", "Duration": 30}
    assert booking_event("BookingMoved", body) == (
        BookingMoved(device=D, booking_id=C6F9, meeting_id=None, starts_at=NINE, ends_at=HALF_PAST),
    )
    assert booking_event("Start", {"Id": "c6f9", "MeetingId": "", "id": 1}) == (
        BookingStarted(device=D, booking_id=C6F9, meeting_id=None),
    )


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("Timeout", "timeout"),
        ("Decline", "declined"),
        ("ConfigError", "config"),
        ("HttpError", "http"),
        ("KmsError", "encryption"),
        ("SolarFlare", "solar_flare"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_failure_has_the_contracts_cause(said, cause):
    assert booking_event("BookingFailed", {"BookingRequestUUID": UUID, "FailureCause": said}) == (
        BookingFailed(device=D, request_id=UUID, cause=cause),
    )


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("ManualCheckOut", "checked_out"),
        ("NoShow", "no_show"),
        ("Deleted", "deleted"),
        ("HotdeskSignout", "signed_out"),
        ("HotdeskOrganizerNotFoundInOrg", "organizer_unknown"),
    ],
)
def test_a_deletion_has_the_contracts_cause(said, cause):
    body = {"Id": "webex-7", "Cause": said, "TimeStamp": "2026-03-02T09:00:00Z"}
    assert booking_event("Deleted", body) == (
        BookingDeleted(device=D, booking_id=W7, meeting_id=None, cause=cause, at=NINE),
    )


def test_an_end_says_when_if_it_can_be_read():
    newer = {"Id": "webex-7", "MeetingId": "m", "EndTime": "2026-03-02T09:30:00Z", "ScheduledDuration": 30}
    assert booking_event("End", newer) == (
        BookingEnded(device=D, booking_id=W7, meeting_id=M, ended_at=HALF_PAST),
    )
    for end in ({}, {"EndTime": ""}, {"EndTime": "soon"}):
        assert booking_event("End", {"Id": "webex-7", **end}) == (
            BookingEnded(device=D, booking_id=W7, meeting_id=None, ended_at=None),
        )


def test_a_check_in_is_heard():
    assert booking_event("CheckedIn", {"Id": "webex-7", "MinuteOffset": -3}) == (
        BookingCheckedIn(device=D, booking_id=W7, meeting_id=None),
    )


@pytest.mark.parametrize("body", [{}, {"id": 1}, {"id": "1"}, "", None, []])
def test_that_updated_is_there_is_all_that_counts(body):
    assert booking_event("Updated", body) == (BookingsTouched(device=D),)
    assert booking_event("SyncRequired", body) == (SyncRequired(device=D),)


@pytest.mark.parametrize("name", ["ExtensionRequested", "EditRequested"])
def test_what_may_change_a_booking_makes_us_look_again(name):
    assert booking_event(name, {"Id": "webex-7", "Duration": 15}) == (BookingsTouched(device=D),)


@pytest.mark.parametrize(
    "name",
    [
        "ExtensionFailed",
        "EditFailed",
        "NotificationSnoozed",
        "TimeRemaining",
        "StartTimeBuffer",
        "EndTimeBuffer",
    ],
)
def test_what_changes_no_booking_is_ignored_without_being_counted(name):
    translator = Translator(D)
    assert heard({"Event": {"Bookings": {name: {"Id": "webex-7"}}}}, translator) == ()
    assert (translator.unknown, translator.unreadable) == (0, 0)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("BookingRequested", {"Duration": 30, "StartTime": "soon"}),
        ("BookingRequested", {"Duration": 0, "StartTime": "2026-03-02T09:00:00Z"}),
        ("BookingRequested", {"Duration": 30, "StartTime": "9999-12-31T23:59:00Z"}),
        ("BookingCreated", {"Duration": 30, "StartTime": "2026-03-02T09:00:00Z"}),
        ("BookingCreated", {"Id": "webex-7"}),
        ("BookingMoved", {"Duration": 30, "StartTime": "2026-03-02T09:00:00Z"}),
        ("BookingFailed", {"BookingRequestUUID": {}}),
        ("Start", {"Id": "", "MeetingId": ""}),
        ("Start", {"Id": ["webex-7"]}),
        ("End", ""),
        ("Deleted", {}),
        ("CheckedIn", None),
    ],
)
def test_an_event_that_cannot_be_read_still_says_that_something_changed(name, body):
    assert booking_event(name, body) == (BookingsTouched(device=D),)


# ── screens and lights ──

OURS = FeedbackId("roomd-a-1")


def prompt_event(name, body):
    return heard({"Event": {"UserInterface": {"Message": {"Prompt": {name: body}}}}})


@pytest.mark.parametrize("option", [2, "2"])
def test_an_answer_is_a_number_on_every_line(option):
    body = {"FeedbackId": OURS, "OptionId": option, "Origin": "Controller", "PeripheralId": "aa:bb"}
    answered = PromptAnswered(device=D, feedback_id=OURS, option=2, surface=Surface.CONTROLLER)
    assert prompt_event("Response", body) == (answered,)


@pytest.mark.parametrize("option", [0, 6, "x", None, {}])
def test_an_answer_that_no_prompt_has_is_none(option):
    translator = Translator(D)
    tree = {"Event": {"UserInterface": {"Message": {"Prompt": {"Response": {"OptionId": option}}}}}}
    assert heard(tree, translator) == ()
    assert translator.unreadable == 1


@pytest.mark.parametrize(
    ("body", "feedback_id", "duration_s"),
    [
        ({"FeedbackId": OURS, "Duration": 30, "Text": "x"}, OURS, 30),
        ({"FeedbackId": OURS, "Duration": "0", "Option.1": "x"}, OURS, 0),
        ({"FeedbackId": "", "Text": "x"}, None, None),
        ({"FeedbackId": {"odd": 1}, "Duration": "soon"}, None, None),
        ("", None, None),
    ],
)
def test_a_prompt_is_there_whatever_can_be_read_of_it(body, feedback_id, duration_s):
    assert prompt_event("Display", body) == (
        PromptDisplayed(device=D, feedback_id=feedback_id, duration_s=duration_s),
    )


@pytest.mark.parametrize(
    ("origin", "surface"),
    [
        ({}, None),
        ({"Origin": "OSD"}, Surface.SCREEN),
        ({"Origin": "Controller"}, Surface.CONTROLLER),
        ({"Target": "RoomScheduler"}, Surface.SCHEDULER),
        ({"Origin": "Wall"}, None),
        ({"Origin": {"odd": 1}}, None),
    ],
)
def test_a_prompt_is_cleared_where_the_device_says(origin, surface):
    assert prompt_event("Cleared", {"FeedbackId": OURS, **origin}) == (
        PromptCleared(device=D, feedback_id=OURS, surface=surface),
    )


def test_events_that_come_at_once_are_each_told():
    bodies = [{"FeedbackId": OURS, "id": 1}, {"FeedbackId": "other", "id": 2}]
    assert [event.feedback_id for event in prompt_event("Cleared", bodies)] == [OURS, "other"]


def test_what_the_light_follows_is_read_and_heard():
    translator = Translator(D)
    path = ("Configuration", "UserInterface", "LedControl", "Mode")
    assert translator.read(path, "Auto") == (LightModeRead(device=D, mode="Auto"),)
    tree = {"Configuration": {"UserInterface": {"LedControl": {"Mode": "Manual"}}}}
    assert heard(tree, translator) == (LightModeRead(device=D, mode="Manual"),)
    assert translator.light_mode == "Manual"


# ── configuration ──


def test_what_hides_people_from_us_is_told_in_words_and_so_is_its_mending():
    translator = Translator(D)
    analytics = {
        "PeopleCountOutOfCall": "Off",
        "PeoplePresenceDetector": "Off",
        "T3AlarmDetection": {"Mode": "Off"},
    }
    translator.read(("Configuration", "RoomAnalytics"), analytics)
    senses_nobody = needs.SENSES_PRESENCE.sentence
    assert translator.shortcomings == (needs.COUNTS_OUT_OF_CALLS.sentence, senses_nobody)
    changed = {"Configuration": {"RoomAnalytics": {"PeopleCountOutOfCall": "On"}}}
    assert heard(changed, translator) == (ShortcomingsFound(device=D, shortcomings=(senses_nobody,)),)
    assert heard(changed, translator) == ()


@pytest.mark.parametrize(
    ("value", "enabled"),
    [("True", True), (False, False), ("Perhaps", None), ({"ghost": "True"}, None)],
    ids=repr,
)
def test_whether_the_device_releases_bookings_itself_is_told_and_unreadable_is_not_known(value, enabled):
    translator = Translator(D)
    translator.read(("Configuration", "Bookings"), {"CheckIn": {"Enabled": "True"}})
    assert translator.checks_in is True
    changed = {"Configuration": {"Bookings": {"CheckIn": {"Enabled": value}}}}
    assert heard(changed, translator) == (CheckInRead(device=D, enabled=enabled),)
    assert translator.checks_in is enabled


def test_nothing_is_short_of_until_the_device_says_so():
    assert Translator(D).shortcomings == ()


def test_the_booking_timeout_is_read_and_heard():
    translator = Translator(D)
    translator.read(("Configuration", "Bookings"), {"AdhocBooking": {"BookingTimeout": 300}})
    assert translator.booking_timeout_s == 300
    assert heard({"Configuration": {"Bookings": {"AdhocBooking": {"BookingTimeout": 120}}}}, translator) == (
        BookingTimeoutRead(device=D, seconds=120),
    )


def test_the_time_zone_is_kept():
    translator = Translator(D)
    assert translator.read(("Configuration", "Time", "Zone"), "Europe/Oslo") == ()
    assert translator.timezone == "Europe/Oslo"


# ── answers ──


def test_a_device_says_who_it_is():
    unit = {
        "ProductId": "Cisco Room Kit EQ",
        "Hardware": {"Module": {"SerialNumber": "FOC2544"}},
        "Software": {"Version": "ce11.27.2.0.8a5c1d", "DisplayName": "RoomOS 11.27.2.0 8a5c1d"},
        "Uptime": 61269,
    }
    who = identity(unit)
    assert (who.product, who.serial, who.firmware, who.uptime_s) == (
        "Cisco Room Kit EQ",
        "FOC2544",
        "ce11.27.2.0.8a5c1d",
        61269,
    )


@pytest.mark.parametrize(
    "unit", [None, "", 5, [], {}, {"ProductId": "Printer"}, {"Software": {"Version": "1.0"}}]
)
def test_what_does_not_say_who_it_is_is_no_room_device(unit):
    with pytest.raises(Unreadable):
        identity(unit)


LISTED = json.loads(
    """{"Booking":[{"Agenda":"never read","BookingStatus":"OK","BookingStatusMessage":"",
"Cancellable":"False", "DialInfo":{"Calls":{"Call":[{"Number":"https://meet.google.com/abc","Protocol":"WebRTC","id":1}]},
 "ConnectMode":"OBTP"},"Encryption":"BestEffort","Id":"webex-17","MaximumMeetingExtension":30,
 "MeetingExtensionAvailability":"Guaranteed","MeetingId":"ee185ae7-ac99-6162-8ba2-f0482bcda22c",
 "MeetingPlatform":"GoogleMeet","Organizer":{"Email":"","FirstName":"Ada","Id":"be81be28","LastName":""},
 "Privacy":"Public","Recording":"Disabled","Spark":{"Alert":"True","Participants":{},"Pending":"False"},
 "Time":{"EndTime":"2022-05-16T19:37:00Z","EndTimeBuffer":0,"StartTime":"2022-05-16T18:37:00Z",
 "StartTimeBuffer":300},"Title":"Review","Webex":{"DialInNumbers":{},"Enabled":"False","Url":""},"id":2}],
 "LastUpdated":"2022-05-16T18:44:59Z","ResultInfo":{"TotalRows":3},"status":"OK"}"""
)


def listed(**changes):
    return page({"Booking": [{**LISTED["Booking"][0], **changes}]})


def test_a_listing_as_it_was_captured_is_read():
    found = page(LISTED)
    (booking,) = found.bookings
    assert (found.rows, found.total, found.unreadable, found.nameless_from) == (1, 3, frozenset(), ())
    assert (booking.booking_id, booking.meeting_id) == ("webex-17", "ee185ae7-ac99-6162-8ba2-f0482bcda22c")
    assert booking.starts_at == datetime(2022, 5, 16, 18, 37, tzinfo=UTC)
    assert booking.ends_at == datetime(2022, 5, 16, 19, 37, tzinfo=UTC)
    assert booking.from_webex
    assert booking.meeting == Meeting(
        title="Review", organizer="Ada", platform="google_meet", join="https://meet.google.com/abc"
    )


@pytest.mark.parametrize("empty", [{"ResultInfo": {"TotalRows": 0}}, {"ResultInfo": {"TotalRows": "0"}}])
def test_an_empty_listing_has_no_bookings_at_all(empty):
    found = page(empty)
    assert (found.bookings, found.rows, found.total) == ((), 0, 0)


@pytest.mark.parametrize("odd", [{}, {"status": "OK"}, {"status": "Error", "ResultInfo": {}}, None, True, []])
def test_what_is_no_listing_is_not_taken_for_an_empty_one(odd):
    with pytest.raises(Unreadable):
        page(odd)


def test_a_private_booking_has_no_title_though_the_device_gives_it():
    (booking,) = listed(Privacy="Private").bookings
    assert booking.meeting.private
    assert booking.meeting.title is None


def test_a_pushed_booking_has_no_meeting_id_and_is_not_from_webex():
    (booking,) = page(
        {
            "Booking": {
                "Id": "c6f91f9a",
                "MeetingId": "",
                "Time": {"StartTime": "2026-03-02T09:00:00Z", "EndTime": "2026-03-02T09:30:00Z"},
                "Organizer": {"Email": "ada@example.com"},
                "MeetingPlatform": "",
            }
        }
    ).bookings
    assert (booking.meeting_id, booking.from_webex) == (None, False)
    assert booking.meeting == Meeting(organizer="ada@example.com", organizer_address="ada@example.com")


@pytest.mark.parametrize(
    "time",
    [
        {"StartTime": "2026-03-02T09:00:00Z"},
        {"StartTime": "2026-03-02T09:00:00Z", "EndTime": "2026-03-02T09:00:00Z"},
        {"StartTime": "2026-03-02T09:00:00Z", "EndTime": "2026-03-02T08:00:00Z"},
        {"StartTime": "yesterday-ish", "EndTime": "2026-13-45T99:99:99Z"},
        {},
        None,
        "",
    ],
)
def test_a_booking_with_impossible_times_is_named_as_unreadable(time):
    found = listed(Time=time)
    assert (found.bookings, found.unreadable, found.rows) == ((), {"webex-17"}, 1)


def test_a_booking_without_an_id_is_noticed_by_when_it_starts():
    assert listed(Id="").nameless_from == (datetime(2022, 5, 16, 18, 37, tzinfo=UTC),)
    assert listed(Id=None, Time={}).nameless_from == (None,)


@pytest.mark.parametrize(
    ("calls", "join"),
    [
        ([{"Number": "+47 55 55"}, {"Number": "123@example.webex.com"}], "123@example.webex.com"),
        ({"Number": "sip:room@example.com"}, "sip:room@example.com"),
        ([{"Number": "https://teams.microsoft.com/l/x?y=1"}], "https://teams.microsoft.com/l/x?y=1"),
        ([{"Number": "0123"}, {"Number": ""}, {}], None),
        ([], None),
        (None, None),
        ("", None),
    ],
)
def test_the_way_to_join_is_a_link_or_an_address(calls, join):
    (booking,) = listed(DialInfo={"Calls": {"Call": calls}}).bookings
    assert booking.meeting.join == join


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("MicrosoftTeams", "microsoft_teams"),
        ("Webex", "webex"),
        ("Zoom", "zoom"),
        ("", None),
        ({}, None),
        ("?", None),
    ],
)
def test_platforms_are_lower_snake_words(said, word):
    (booking,) = listed(MeetingPlatform=said).bookings
    assert booking.meeting.platform == word


def test_words_of_newer_firmware_become_lower_snake():
    assert snake("HotdeskOrganizerNotFoundInOrg") == "hotdesk_organizer_not_found_in_org"
    assert snake("KMSError") == "kms_error"


# ── anything ──

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10)
NAMES = st.sampled_from(
    [
        "Status",
        "Event",
        "Configuration",
        "RoomAnalytics",
        "PeopleCount",
        "Current",
        "PeoplePresence",
        "RoomInUse",
        "SystemUnit",
        "State",
        "NumberOfActiveCalls",
        "Uptime",
        "Conference",
        "Presentation",
        "LocalInstance",
        "Mode",
        "Bookings",
        "BookingRequested",
        "BookingCreated",
        "BookingFailed",
        "BookingMoved",
        "Start",
        "End",
        "Deleted",
        "CheckedIn",
        "Updated",
        "Id",
        "MeetingId",
        "StartTime",
        "Duration",
        "EndTime",
        "Cause",
        "FailureCause",
        "CheckIn",
        "Enabled",
        "Time",
        "Zone",
        "AdhocBooking",
        "BookingTimeout",
        "id",
        "ghost",
        "Booking",
        "ResultInfo",
        "TotalRows",
        "Organizer",
        "DialInfo",
        "Calls",
        "Call",
        "Number",
        "Title",
    ]
)
VALUES = SCALARS | st.sampled_from(["True", "On", "Yes", "webex-1", "2026-03-02T09:00:00Z", "-1", 30])
TREES = st.recursive(
    VALUES,
    lambda inner: st.dictionaries(NAMES, inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["Status", "Event", "Configuration", "Id"]), TREES))
def test_no_tree_is_a_crash(tree):
    translator = Translator(D)
    events = translator.heard(Feedback(tree))
    assert all(getattr(event, "device", None) == D for event in events)
    assert hash(events) is not None


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["Bookings", "RoomAnalytics", "Presentation"]), NAMES, TREES)
def test_no_value_of_a_known_node_is_a_crash(branch, name, value):
    translator = Translator(D)
    for root in ("Event", "Status", "Configuration"):
        translator.heard(Feedback({root: {branch: {name: value}}}))
    translator.read(("Status", "Conference", "Presentation"), {name: value})


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, TREES) | TREES)
def test_no_answer_is_a_crash(result):
    for read in (page, identity):
        try:
            read(result)
        except Unreadable:
            continue
