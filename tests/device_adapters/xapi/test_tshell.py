"""The shell's language: greetings, command lines, and what is printed in all its shapes."""

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_adapters.xapi import requests, tshell, xml
from device_adapters.xapi.messages import (
    NOT_READY,
    PERMISSION_DENIED,
    TOO_MANY_SUBSCRIPTIONS,
    Call,
    CallId,
    Feedback,
    Refusal,
    Reply,
    Unintelligible,
    XapiMessage,
)
from device_adapters.xapi.tshell import Mode, TShell

ROOMOS = b"""Welcome to NYC Cisco
Cisco Codec Release RoomOS 11.23.1.8 3963b07b5c5
SW Release Date: 2024-12-12
*r Login successful
OK

Last login from <unknown> at 2025-03-12 11:27:11
"""
CE9 = b"""
Welcome to Codec Room
Cisco Codec Release ce 9.2.2 3a892a1 2017-11-30
SW Release Date: 2017-11-30
*r Login successful

OK

"""
EARLY = b"Welcome {to} <here>\r\nLast login from 10.0.0.1\r\n*r Login successful\r\nOK\r\n\r\n"
PROBE_JSON = b'{"Status":{"SystemUnit":{"Uptime":{"Value":"29038"}}},"ResultId":"roomd-json"}\n'
PROBE_XML = (
    b'<XmlDoc resultId="roomd-xml">\n<Status><SystemUnit item="1"><Uptime item="1">29038</Uptime>'
    b"</SystemUnit></Status></XmlDoc>\n"
)
PROBE_TERMINAL = b'*s SystemUnit Uptime: 29038\n** resultId: "roomd-json"\n** end\n\nOK\n'
UPTIME = requests.get(requests.UPTIME)


def greeted(mode: Mode = Mode.JSON) -> TShell:
    shell = TShell()
    shell.receive(ROOMOS)
    assert shell.to_send() == b"echo off\n"
    shell.receive(b"\x1b[?1034h\r\nOK\r\n\r\n")
    assert shell.to_send().startswith(b"xpreferences outputmode json\nxStatus ")
    if mode is Mode.XML:
        shell.receive(b"\nCommand not recognized.\n" + PROBE_TERMINAL)
        assert shell.to_send().startswith(b"xpreferences outputmode xml\nxStatus ")
    assert shell.receive(PROBE_JSON if mode is Mode.JSON else PROBE_XML) == ()
    assert shell.ready
    assert shell.mode is mode
    return shell


def asked(shell: TShell, call: Call) -> bytes:
    shell.call(call)
    return shell.to_send()


def answered(answer: Any, call: Call = UPTIME, shell: TShell | None = None) -> Any:  # noqa: ANN401 - any JSON
    """What becomes of the answer to one call."""
    shell = shell or greeted()
    number = shell.call(call)
    shell.to_send()
    printed = answer
    if not isinstance(answer, bytes):
        printed = json.dumps({**answer, "ResultId": str(number)}).encode()
    message: Any
    (message,) = shell.receive(printed + b"\n")
    assert message.id == number
    return message


def command(name: str, **params: object) -> Call:
    return Call(method=f"xCommand/{name}", params=params)


def replied(number: int, result: object) -> Reply:
    return Reply(CallId(number), result)


def ok(number: int) -> bytes:
    return b'{"ResultId":"%d"}\n' % number


# ── the greeting ──


@pytest.mark.parametrize("banner", [ROOMOS, CE9, EARLY, ROOMOS.replace(b"\n", b"\r\n")])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_all_banners_lead_to_a_shell_that_answers(banner, size):
    shell, sent = TShell(), b""
    for printed in (banner, b"echo off\r\n\x1b[?1034h\r\nOK\r\n\r\n", PROBE_JSON):
        for at in range(0, len(printed), size):
            assert shell.receive(printed[at : at + size]) == ()
        sent += shell.to_send()
    assert shell.ready
    assert sent.splitlines()[:2] == [b"echo off", b"xpreferences outputmode json"]


def test_calls_that_come_early_wait_for_the_greeting():
    shell = TShell()
    shell.call(UPTIME)
    assert shell.to_send() == b""
    for printed in (ROOMOS, b"OK\n", PROBE_JSON):
        shell.receive(printed)
    assert shell.to_send().endswith(b'xStatus SystemUnit Uptime | resultId="1"\n')


@pytest.mark.parametrize(
    "printed",
    [
        b"\nCommand not recognized.\n" + PROBE_TERMINAL,
        b"\nOK\n\n" + PROBE_TERMINAL,
        b"\nOK\n" + PROBE_TERMINAL.replace(b'** resultId: "roomd-json"\n', b""),
        b"Command not recognized.\nCommand not recognized.\n",
    ],
)
def test_where_json_is_not_understood_xml_is_spoken(printed):
    shell = TShell()
    shell.receive(ROOMOS)
    shell.receive(b"OK\n")
    shell.to_send()
    shell.receive(printed)
    assert shell.to_send().startswith(b"xpreferences outputmode xml\n")
    shell.receive(PROBE_XML)
    assert shell.ready
    assert shell.mode is Mode.XML


def test_a_shell_that_knows_neither_is_no_device():
    shell = TShell()
    for printed in (ROOMOS, b"OK\n", PROBE_TERMINAL):
        shell.receive(printed)
    with pytest.raises(Unintelligible, match="neither"):
        shell.receive(PROBE_TERMINAL.replace(b"json", b"xml"))


def test_a_prompt_of_another_kind_is_never_welcomed():
    shell = TShell()
    shell.receive(b"Linux 6.1\nroot@host:~# ")
    assert not shell.welcomed
    assert shell.to_send() == b""


# ── what is sent ──


def test_one_command_is_under_way_at_a_time():
    shell = greeted()
    first, second = shell.call(UPTIME), shell.call(requests.get(("Status", "RoomAnalytics")))
    assert shell.to_send() == b'xStatus SystemUnit Uptime | resultId="1"\n'
    assert shell.receive(b'{"Status":{"SystemUnit":{"Uptime":{"Value":"5"}}},"ResultId":"1"}') == (
        replied(first, "5"),
    )
    assert shell.to_send() == b'xStatus RoomAnalytics | resultId="2"\n'
    assert shell.receive(b'{"ResultId":"2"}') == (replied(second, {}),)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (requests.subscribe(("Event", "Bookings")), "xFeedback Register /Event/Bookings"),
        (
            Call(method="xFeedback/Subscribe", params={"Query": ["Status", "Fan", 2]}),
            "xFeedback Register /Status/Fan[2]",
        ),
        (requests.get(("Configuration", "Time", "Zone")), "xConfiguration Time Zone"),
        (Call(method="xGet", params={"Path": ["Status", "Fan", 2, "Status"]}), "xStatus Fan 2 Status"),
        (
            Call(method="xSet", params={"Path": ["Configuration", "Audio", "DefaultVolume"], "Value": 40}),
            "xConfiguration Audio DefaultVolume: 40",
        ),
        (command("Bookings/List", Days=2, Offset=10), "xCommand Bookings List Days: 2 Offset: 10"),
        (command("Dial", Number="a@b.c", Tracking=False), 'xCommand Dial Number: "a@b.c" Tracking: False'),
        (
            command("Prompt/Display", **{"Option.1": "I'm here", "Option.2": "No"}),
            'xCommand Prompt Display Option.1: "I\'m here" Option.2: "No"',
        ),
        (command("X/Y", Option=["a", "b"]), 'xCommand X Y Option: "a" Option: "b"'),
        (
            command("X", Text='say "hi" \\ | resultId="9" Übung'),
            'xCommand X Text: "say \\"hi\\" \\\\ | resultId=\\"9\\" Übung"',
        ),
    ],
)
def test_calls_in_the_shells_words(call, line):
    assert asked(greeted(), call) == f'{line} | resultId="1"\n'.encode()


def test_a_body_is_counted_in_bytes():
    sent = asked(greeted(), command("Bookings/Put", Id="1", body="Übung {\n.\n✓"))
    count, _, text = sent.partition(b"\n")
    assert count == b"{%d} " % len(text)
    assert text.decode() == 'xCommand Bookings Put Id: "1" | resultId="1"\nÜbung {\n.\n✓\n'


@pytest.mark.parametrize(
    "call",
    [
        command("X", Text="a\nxCommand SystemUnit Boot"),
        command("X", Text="a\rb"),
        command("X", Text="\x1b[2J"),
        command("X", Text="\ud800"),
        command("X", Text=None),
        command("X", **{"A: 1\nxCommand": 1}),
        command("X; Y"),
        command("X", **{"Option.": "a"}),
        command("X", **{"Option.1.2": "a"}),
        command("X", body=b"bytes"),
        command("X", body="x" * tshell.MAX_BODY_BYTES),
        Call(method="xGet", params={"Path": []}),
        Call(method="xGet", params={"Path": ["Status", "A B"]}),
        Call(method="xGet", params={"Path": ["Event", "Bookings"]}),
        Call(method="xFeedback/Subscribe", params={"Query": ["Status"], "NotifyCurrentValue": True}),
        Call(method="xFeedback/Unsubscribe", params={"Id": 7}),
        Call(method="xDoc", params={}),
    ],
)
def test_what_cannot_be_said_is_refused_and_nothing_is_sent(call):
    shell = greeted()
    number = shell.call(call)
    assert shell.to_send() == b""
    (refusal,) = shell.receive(b"")
    assert isinstance(refusal, Refusal)
    assert (refusal.id, refusal.code) == (number, xml.INVALID_PARAMETERS)


@settings(deadline=None)
@given(st.text())
def test_no_text_breaks_out_of_its_quotes(text):
    shell = greeted()
    sent = asked(shell, command("X", Text=text)).decode()
    if sent:
        said = re.fullmatch(r'xCommand X Text: "((?:[^"\\]|\\["\\])*)" \| resultId="1"\n', sent)
        assert said is not None
        assert re.sub(r"\\(.)", r"\1", said[1]) == text
    else:
        assert isinstance(shell.receive(b"")[0], Refusal)


# ── what is answered ──


def test_a_leaf_a_branch_and_an_array_are_as_over_websocket():
    assert answered({"Status": {"SystemUnit": {"Uptime": {"Value": "29038"}}}}).result == "29038"
    unit = {
        "ProductId": {"Value": "Cisco Room Bar"},
        "Software": {"Version": {"Value": "ce11.23.1.8"}, "id": "1"},
        "id": "1",
    }
    assert answered({"Status": {"SystemUnit": unit}}, requests.get(requests.WHO_ARE_YOU)).result == {
        "ProductId": "Cisco Room Bar",
        "Software": {"Version": "ce11.23.1.8"},
    }
    shown = {"LocalInstance": [{"id": "1", "SendingMode": {"Value": "LocalOnly"}}, {"id": "3"}]}
    path = ("Status", "Conference", "Presentation")
    assert answered({"Status": {"Conference": {"Presentation": shown}}}, requests.get(path)).result == {
        "LocalInstance": [{"id": 1, "SendingMode": "LocalOnly"}, {"id": 3}]
    }
    second = Call(method="xGet", params={"Path": [*path, "LocalInstance", 3]})
    assert answered({"Status": {"Conference": {"Presentation": shown}}}, second).result == {"id": 3}


def test_a_listing_keeps_its_ids_and_its_status():
    entry = {"id": "1", "Id": {"Value": "webex-3"}, "Title": {"Value": "} ** end\n{"}}
    result = {
        "status": "OK",
        "ResultInfo": {"TotalRows": {"Value": "1"}},
        "Booking": [entry],
    }
    heard = answered({"CommandResponse": {"BookingsListResult": result}}, requests.list_bookings()).result
    assert heard == {
        "status": "OK",
        "ResultInfo": {"TotalRows": "1"},
        "Booking": [{"id": 1, "Id": "webex-3", "Title": "} ** end\n{"}],
    }


def test_success_without_a_word_is_what_each_call_expects():
    assert answered({}, requests.subscribe(("Event", "Bookings"))).result == {"Id": 1}
    path = ("Configuration", "Audio", "DefaultVolume")
    assert answered({}, Call(method="xSet", params={"Path": path, "Value": 1})).result is True
    assert answered({}, requests.get(("Status", "Call"))).result == {}
    assert answered({}, command("Standby/Activate")).result == {}


def test_what_was_registered_can_be_deregistered():
    shell = greeted()
    subscribed = answered({}, requests.subscribe(("Event", "Bookings")), shell).result
    over = Call(method="xFeedback/Unsubscribe", params=subscribed)
    assert asked(shell, over) == b'xFeedback Deregister /Event/Bookings | resultId="2"\n'
    assert shell.receive(ok(2)) == (replied(2, True),)
    assert shell.registered == {}


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (
            {
                "CommandResponse": {
                    "Configuration": {
                        "status": "Error",
                        "Reason": {"Value": "No match on address expression"},
                        "XPath": {"Value": "Status/Wrong"},
                    }
                }
            },
            xml.NO_SUCH_NODE,
            "No match",
        ),
        (
            {
                "Status": {
                    "status": "Error",
                    "Reason": {"Value": "No match on address expression."},
                    "XPath": {"Value": "Status/Wrong"},
                }
            },
            xml.NO_SUCH_NODE,
            "No match",
        ),
        (
            {"CommandResponse": {"Result": {"status": "Error", "Reason": {"Value": "Unknown command"}}}},
            xml.NO_SUCH_NODE,
            "Unknown",
        ),
        (
            {"CommandResponse": {"DialResult": {"status": "ParameterError", "Type": {"Value": "Invalid"}}}},
            xml.INVALID_PARAMETERS,
            "Type Invalid",
        ),
        (
            {"CommandResponse": {"DialResult": {"status": "Error", "Reason": {"Value": "Not paired"}}}},
            xml.COMMAND_FAILED,
            "Not paired",
        ),
        (
            {"CommandResponse": {"Result": {"status": "Error", "Reason": {"Value": "Permission denied"}}}},
            PERMISSION_DENIED,
            "Permission",
        ),
        (
            {"CommandResponse": {"Result": {"status": "Error", "Reason": {"Value": "System is not ready"}}}},
            NOT_READY,
            "not ready",
        ),
        (
            {"Configuration": {"Audio": {"DefaultVolume": {"error": "True", "Value": "Illegal value"}}}},
            xml.INVALID_PARAMETERS,
            "Illegal value",
        ),
        (b"\nCommand not recognized.\n", xml.NO_SUCH_NODE, "not recognized"),
        (
            b'{"CommandResponse":{"Result":{"status":"Error","Reason":{"Value":"Unknown command"}}}}',
            xml.NO_SUCH_NODE,
            "Unknown",
        ),
    ],
)
def test_refusals_mean_what_they_mean_over_websocket(answer, code, words):
    refusal = answered(answer)
    assert isinstance(refusal, Refusal)
    assert refusal.code == code
    assert words in refusal.message


@pytest.mark.parametrize(
    "answer",
    [
        {"CommandResponse": {"Result": {"status": "Error", "Reason": {"Value": "Too many expressions"}}}},
        {"CommandResponse": {"Result": {"status": "Error", "Reason": {"Value": "More than 50 expressions"}}}},
        b"Maximum number of feedback expressions reached\n",
    ],
)
def test_too_many_expressions_are_told_as_that(answer):
    assert answered(answer, requests.subscribe(("Event", "Bookings"))).code == TOO_MANY_SUBSCRIPTIONS


def test_the_limit_is_known_where_the_words_for_it_are_not():
    shell = greeted()
    failed = {"CommandResponse": {"Result": {"status": "Error", "Reason": {"Value": "Nope"}}}}
    assert answered(failed, requests.subscribe(("Event", "X")), shell).code == xml.COMMAND_FAILED
    for number in range(tshell.FEWEST_EXPRESSIONS):
        answered({}, requests.subscribe(("Event", f"X{number}")), shell)
    assert answered(failed, requests.subscribe(("Event", "X")), shell).code == TOO_MANY_SUBSCRIPTIONS


# ── what is heard between ──


def test_feedback_between_a_command_and_its_answer_is_feedback():
    shell = greeted()
    shell.call(UPTIME)
    told = shell.receive(
        b'{"Status":{"RoomAnalytics":{"id":"","PeopleCount":{"Current":{"Value":"3"}}}}}\r\n'
        b'{"Event":{"Bookings":{"Updated":{"id":"1"},"id":"1"},"id":"1"}}\r\n'
        b'{"Status":{"SystemUnit":{"Uptime":{"Value":"9"}}},"ResultId":"1"}\r\n'
        b'{"Status":{"Call":[{"id":"2","ghost":"True"}]}}\r\n'
    )
    assert told == (
        Feedback({"Status": {"RoomAnalytics": {"PeopleCount": {"Current": "3"}}}}),
        Feedback({"Event": {"Bookings": {"Updated": {}}}}),
        replied(1, "9"),
        Feedback({"Status": {"Call": [{"id": 2, "ghost": "True"}]}}),
    )


def test_a_member_named_value_is_no_wrapper():
    shell = greeted()
    widget = {"WidgetId": {"Value": "dimmer", "id": "1"}, "Value": {"Value": "91", "id": "1"}, "id": "1"}
    printed = json.dumps({"Event": {"Widget": widget}}, indent=2).encode()
    assert shell.receive(printed) == (Feedback({"Event": {"Widget": {"WidgetId": "dimmer", "Value": "91"}}}),)


@pytest.mark.parametrize(
    "document", [b'{"Value":"x"}', b'{"Value":7,"ResultId":"1"}', b'{"Value":{"Value":"x"}}']
)
def test_a_root_named_value_is_nothing_that_harms(document):
    shell = greeted()
    shell.receive(document + b"\n")
    assert shell.receive(b'{"Event":{"Bookings":{"Updated":{"id":"1"},"id":"1"},"id":"1"}}\n')


def test_noise_between_documents_is_passed():
    shell = greeted()
    shell.call(UPTIME)
    assert shell.receive(
        b"\x1b[?1034h\r\n*e Something: {else}\n** end\n\nOK\nxCommand Foo\n"
        b' \x1b[0m{"ResultId":"77"}{"ResultId":"1"}\nLast login\n'
    ) == (replied(1, {}),)
    assert shell.unknown == 1  # 77: nobody waits for it


def test_stray_bytes_in_a_text_are_not_worth_the_line():
    shell = greeted()
    (told,) = shell.receive(b'{"Event":{"Bookings":{"Start":{"Title":{"Value":"a\nb\xff"}}}}}\n')
    assert told == Feedback({"Event": {"Bookings": {"Start": {"Title": "a b\ufffd"}}}})


@pytest.mark.parametrize(
    "printed",
    [
        b'{"Status": ]}\n',
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"{" * 10_000,
        b'{"Title":"' + b"x" * (tshell.MAX_BYTES + 1),
        b"x" * (tshell.MAX_LINE_BYTES + 1),
    ],
)
def test_what_came_before_nonsense_is_heard_and_then_no_more(printed):
    shell = greeted()
    shell.call(UPTIME)
    pieces = [b'{"ResultId":"1"}\n', *(printed[at : at + 65536] for at in range(0, len(printed), 65536))]
    heard: list[XapiMessage] = []

    def hear_all():
        for piece in [*pieces, b"}" * 10_000, b""]:
            heard.extend(shell.receive(piece))

    with pytest.raises(Unintelligible) as caught:
        hear_all()
    assert "x" * 50 not in str(caught.value)
    assert heard == [replied(1, {})]
    with pytest.raises(Unintelligible):
        shell.receive(b"")


# ── XML ──


def test_xml_says_the_same():
    shell = greeted(Mode.XML)
    assert answered(
        b'<XmlDoc resultId="1"><Status><SystemUnit item="1"><Uptime item="1">7</Uptime></SystemUnit></Status>'
        b"</XmlDoc>",
        shell=shell,
    ) == replied(1, "7")
    assert answered(
        b'<XmlDoc resultId="2">\n<Command>\n<BookingsListResult item="1" status="OK"><ResultInfo item="1">'
        b'<TotalRows item="1">1</TotalRows></ResultInfo>'
        b'<Booking item="1" maxOccurrence="n"><Id item="1">5</Id>'
        b'<Title item="1">a &gt; b &lt;/XmlDoc&gt; {</Title></Booking>'
        b"</BookingsListResult></Command></XmlDoc>",
        requests.list_bookings(),
        shell,
    ).result == {
        "status": "OK",
        "ResultInfo": {"TotalRows": "1"},
        "Booking": [{"Id": "5", "Title": "a > b </XmlDoc> {", "id": 1}],
    }
    assert answered(b'<XmlDoc resultId="3"/>', requests.subscribe(("Event", "Bookings")), shell).result == {
        "Id": 3
    }
    wrong = b'<XmlDoc resultId="4"><Status status="Error"><Reason>No match on it</Reason></Status></XmlDoc>'
    assert answered(wrong, shell=shell).code == xml.NO_SUCH_NODE
    assert answered(b"Command not recognized.", shell=shell).code == xml.NO_SUCH_NODE
    unit = (
        b'<XmlDoc resultId="6"><Status><SystemUnit item="1"><A item="1">b</A></SystemUnit></Status></XmlDoc>'
    )
    assert answered(unit, requests.get(requests.WHO_ARE_YOU), shell).result == {"A": "b"}
    old = (
        b'<XmlDoc resultId="7"><CommandResponse><Status item="1" status="Error"><Reason item="1">No match on '
        b"address expression</Reason></Status></CommandResponse></XmlDoc>"
    )
    assert answered(old, shell=shell).code == xml.NO_SUCH_NODE


@pytest.mark.parametrize(
    "event",
    [
        b'<Event><Bookings item="1"><Updated item="1"/></Bookings></Event>',
        b'<XmlDoc resultId="">\n<Event><Bookings item="1"><Updated item="1"/></Bookings></Event>\n</XmlDoc>',
        b"<?xml version=\"1.0\"?><!-- <Event> --><Event a='>'><Bookings><Updated/></Bookings></Event >",
    ],
)
def test_events_in_xml(event):
    assert greeted(Mode.XML).receive(event + b"\n") == (Feedback({"Event": {"Bookings": {"Updated": ""}}}),)


def test_event_bodies_in_xml_are_no_arrays():
    printed = (
        b'<XmlDoc resultId=""><Event><Bookings item="1"><Start item="1"><Id item="1">webex-1</Id>'
        b'<MeetingId item="1">m</MeetingId></Start></Bookings></Event></XmlDoc>'
    )
    (told,) = greeted(Mode.XML).receive(printed)
    assert told == Feedback({"Event": {"Bookings": {"Start": {"Id": "webex-1", "MeetingId": "m"}}}})


@pytest.mark.parametrize(
    "printed",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>\n',
        b"<a>" + b"x" * tshell.MAX_BYTES,
        b"<a " + b"x" * (tshell.MAX_LINE_BYTES + 1),
        b"<a><!-- " + b"x" * (tshell.MAX_LINE_BYTES + 1),
        b"<a></b>",
        b"</a>",
    ],
)
def test_xml_that_nobody_means_is_refused(printed):
    with pytest.raises(Unintelligible):
        greeted(Mode.XML).receive(printed)


# ── what the device still knows ──


def registered(mode: Mode = Mode.JSON) -> TShell:
    shell = greeted(mode)
    for path in (("Event", "Bookings"), ("Status", "RoomAnalytics", "PeopleCount")):
        number = shell.call(requests.subscribe(path))
        shell.receive(ok(number) if mode is Mode.JSON else b'<XmlDoc resultId="%d"/>' % number)
    shell.to_send()
    return shell


def audited(shell: TShell, *printed: bytes) -> bytes:
    """What is sent after an audit in which `printed` came; %d is the number of its command."""
    shell.audit()
    sent = re.fullmatch(rb'xFeedback List \| resultId="(\d+)"\n', shell.to_send())
    assert sent is not None
    number = int(sent[1])
    for each in printed:
        assert shell.receive(each.replace(b"%d", b"%d" % number)) == ()
    shell.give_up_audit()
    return shell.to_send()


LISTS = [
    b"/event/bookings\n/Status/RoomAnalytics/PeopleCount\n** end\n",
    b"/Event/Bookings\n/Status/RoomAnalytics\n\n",
    b'/Event/Bookings\n/Status/RoomAnalytics\n{"ResultId":"%d"}\n',
    b'{"FeedbackList":["/Event/Bookings",{"Value":"Status/RoomAnalytics/PeopleCount"}],"ResultId":"%d"}\n',
]
EMPTY_LISTS = [b"** end\n", b"", b'{"ResultId":"%d"}\n', b'{"FeedbackList":[],"ResultId":"%d"}\n']


@pytest.mark.parametrize(("full", "empty"), [*zip(LISTS, EMPTY_LISTS, strict=True)])
def test_a_lost_registration_is_noticed_once_the_list_was_seen_complete(full, empty):
    shell = registered()
    assert audited(shell, full) == b""
    assert audited(shell, full) == b""
    assert not shell.forgotten
    assert audited(shell, empty) == b""
    assert list(shell.forgotten) == ["/Event/Bookings", "/Status/RoomAnalytics/PeopleCount"]


def test_one_lost_of_several_is_noticed():
    shell = registered()
    audited(shell, LISTS[0])
    audited(shell, b"/Event/Bookings\n** end\n")
    assert shell.forgotten == ("/Status/RoomAnalytics/PeopleCount",)


def test_a_list_in_xml_is_read_as_well():
    shell = registered(Mode.XML)
    full = b'<XmlDoc resultId="%d">\n/Event/Bookings\n/Status/RoomAnalytics/PeopleCount\n</XmlDoc>\n'
    assert audited(shell, full) == b""
    audited(shell, b'<XmlDoc resultId="%d">\n</XmlDoc>\n')
    assert len(shell.forgotten) == 2


@pytest.mark.parametrize("printed", [b"", b"Command not recognized.\n", b'{"ResultId":"%d"}\n', b"?\n"])
def test_where_the_list_cannot_be_read_all_is_registered_anew_and_the_line_stands(printed):
    shell = registered()
    for _ in range(2):
        sent = audited(shell, printed)
        assert sent.startswith(b"xFeedback Register /Event/Bookings |")
        number = int(re.findall(rb'"(\d+)"', sent)[0])
        assert shell.receive(ok(number)) == ()
        assert shell.to_send().startswith(b"xFeedback Register /Status/RoomAnalytics/PeopleCount |")
        assert shell.receive(ok(number + 1)) == ()
        assert shell.forgotten == ()


def test_calls_wait_for_an_audit_and_then_go_on():
    shell = registered()
    shell.audit()
    shell.to_send()
    number = shell.call(UPTIME)
    assert shell.to_send() == b""
    assert shell.receive(b'{"Event":{"Bookings":{"Updated":{}}}}\n' + LISTS[0]) == (
        Feedback({"Event": {"Bookings": {"Updated": {}}}}),
    )
    assert shell.to_send().startswith(b"xStatus SystemUnit Uptime")
    assert shell.receive(ok(number)) == (replied(number, {}),)


# ── whatever comes, cut anywhere ──

SESSION = (
    b'{"Status":{"RoomAnalytics":{"PeopleCount":{"Current":{"Value":"3"}}}}}\r\n'
    b'\x1b[?1034h{\r\n  "ResultId": "1",\r\n  "CommandResponse": {"XResult": {"status": "OK", "T": {"Value": '
    b'"\\"}{\\\\"}}}\r\n}\r\nCommand {noise}\n{"Event":{"Bookings":{"Updated":{"id":"1"}}}}{"ResultId":"8"}'
)
SESSION_XML = (
    b'<XmlDoc resultId="">\n<Event><Bookings item="1"><Updated item="1"/></Bookings></Event></XmlDoc>\n'
    b"\x1b[0m<?xml version='1.0'?><XmlDoc resultId=\"1\"><Command><XResult status='OK' a='>'/><!-- > -->"
    b"</Command></XmlDoc>\nnoise <b>\n<Status><Call item=\"2\" ghost='True'/></Status>"
)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_it_does_not_matter_how_the_bytes_are_cut(data):
    mode = data.draw(st.sampled_from(Mode))
    session = SESSION if mode is Mode.JSON else SESSION_XML
    whole, cut = greeted(mode), greeted(mode)
    for shell in (whole, cut):
        shell.call(command("X"))
    ends = sorted(data.draw(st.lists(st.integers(0, len(session)), max_size=12)))
    heard: list[XapiMessage] = []
    for start, end in zip([0, *ends], [*ends, len(session)], strict=True):
        heard.extend(cut.receive(session[start:end]))
    assert tuple(heard) == whole.receive(session)
    assert len(heard) == 3


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"OK\n",
            b"{",
            b"}",
            b'"',
            b"\\",
            b"\x1b[",
            b"** end\n",
            b"Command not recognized.\n",
            b'{"ResultId":"1"}',
            b'{"Status":{"A":[{"id":"1"}]}}',
            b"<a>",
            b"</a>",
            b"<!--",
            b"-->",
            b"<XmlDoc resultId='1'/>",
            PROBE_JSON,
            PROBE_TERMINAL,
            PROBE_XML,
            b"/Event/Bookings\n",
        ]
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=20), st.sampled_from([None, *Mode]))
def test_nothing_that_is_printed_does_worse_than_to_be_unintelligible(pieces, mode):
    shell = TShell() if mode is None else registered(mode)
    shell.audit()
    shell.call(command("X", Text="text"))
    with contextlib.suppress(Unintelligible):
        for piece in pieces:
            for message in shell.receive(piece):
                assert isinstance(message, Reply | Refusal | Feedback)
            shell.to_send()
            shell.give_up_audit()


JSON_VALUES = st.recursive(
    st.text(max_size=20) | st.integers(-9, 9) | st.booleans() | st.none(),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(
            st.sampled_from(["Value", "id", "ghost", "status", "error", "Reason", "Status", "XResult", "a"]),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["Status", "Event", "CommandResponse", "ResultId", "x"]), JSON_VALUES))
def test_any_json_is_read_or_passed(tree):
    shell = greeted()
    for call in (UPTIME, command("X"), requests.subscribe(("Event", "Bookings"))):
        shell.call(call)
        shell.receive(json.dumps(tree, indent=1).encode())
        shell.receive(json.dumps({**tree, "ResultId": "1"}).encode() + b"\n")
