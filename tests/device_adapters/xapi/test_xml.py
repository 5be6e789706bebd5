"""XML to trees, and calls to XML."""

import pytest
import xmltodict  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.model import DeviceId
from device_adapters.xapi import xml
from device_adapters.xapi.messages import (
    NOT_READY,
    PERMISSION_DENIED,
    Call,
    Feedback,
    Unintelligible,
)
from device_adapters.xapi.requests import SENSORS, list_bookings
from device_adapters.xapi.translate import Translator, page
from device_adapters.xapi.xml import Fault, fault, read

# ── trees ──


def test_a_leaf_is_a_string_also_an_empty_one():
    answer = """<?xml version="1.0"?>
<Status product="Cisco Codec" version="ce11.20.1.7.913a6c7c769" apiVersion="4">
  <Audio>
    <Volume>50</Volume><Microphones> On </Microphones><Title/>
  </Audio>
</Status>"""
    assert read(answer) == {"Status": {"Audio": {"Volume": "50", "Microphones": " On ", "Title": ""}}}
    assert read(answer.encode()) == read(answer)


def test_what_repeats_or_is_numbered_is_an_array_with_ids_as_over_websocket():
    assert read("<Status><Call item='2'><Status>Connected</Status></Call></Status>") == {
        "Status": {"Call": [{"Status": "Connected", "id": 2}]}
    }
    assert read("<Status><Call item='1'><A/></Call><Call item='7'><A/></Call></Status>") == {
        "Status": {"Call": [{"A": "", "id": 1}, {"A": "", "id": 7}]}
    }
    assert read("<S><I><A>1</A></I><I><A>2</A></I></S>") == {
        "S": {"I": [{"A": "1", "id": 1}, {"A": "2", "id": 2}]}
    }
    assert read("<S><IPAddressV6>a</IPAddressV6><IPAddressV6/></S>") == {"S": {"IPAddressV6": ["a", ""]}}
    assert read("<S><I item='1' maxOccurrence='4'><A/></I></S>") == {"S": {"I": [{"A": "", "id": 1}]}}
    assert read("<S><I item='x'><A/></I></S>") == {"S": {"I": [{"A": "", "id": "x"}]}}


def test_what_is_gone_says_so_as_over_websocket():
    presentation = "<Presentation><LocalInstance item='1' ghost='True'/></Presentation>"
    assert read(f"<Status><Conference>{presentation}</Conference></Status>") == {
        "Status": {"Conference": {"Presentation": {"LocalInstance": [{"ghost": "True", "id": 1}]}}}
    }


def test_where_everything_is_numbered_the_number_one_says_nothing():
    event = "<Event><Bookings item='1'><Start item='1'><Id item='1'>webex-7</Id></Start></Bookings></Event>"
    assert read(event) == {"Event": {"Bookings": {"Start": {"Id": "webex-7"}}}}
    assert read(f"<XmlDoc resultId='3'>{event}</XmlDoc>") == {"XmlDoc": {"resultId": "3", **read(event)}}
    updated = read("<Event><Bookings item='1'><Updated item='1'/></Bookings></Event>")
    assert updated == {"Event": {"Bookings": {"Updated": ""}}}
    old = "<Status><Audio item='1'><Volume item='1'>50</Volume></Audio></Status>"
    assert read(old) == {"Status": {"Audio": {"Volume": "50"}}}
    instances = "<I item='1' maxOccurrence='n'><A item='1'>2</A></I>"
    assert read(f"<Status><B item='1'>{instances}</B></Status>") == {
        "Status": {"B": {"I": [{"A": "2", "id": 1}]}}
    }


def test_a_listing_means_what_it_means_over_websocket():
    answer = """<Command>
      <BookingsListResult status="OK">
        <ResultInfo><TotalRows>2</TotalRows></ResultInfo>
        <LastUpdated>2021-08-02T08:00:00Z</LastUpdated>
        <Booking item="1"><Id>349073</Id><Title>5 &amp; 6 &lt;braces&gt; {}</Title><Agenda></Agenda>
          <Organizer><FirstName>Ada</FirstName><LastName>L</LastName></Organizer>
          <Time><StartTime>2021-08-02T09:00:00Z</StartTime><EndTime>2021-08-02T09:30:00Z</EndTime></Time>
          <DialInfo><Calls><Call item="1"><Number>ada@example.com</Number></Call></Calls></DialInfo>
        </Booking>
        <Booking item="2"><Id>webex-5</Id><MeetingId>ee185ae7</MeetingId><Title/>
          <Time><StartTime>2021-08-02T10:00:00Z</StartTime><EndTime>2021-08-02T10:30:00Z</EndTime></Time>
        </Booking>
      </BookingsListResult>
    </Command>"""
    tree = read(answer)
    assert fault(tree) is None
    found = page(xml.node(tree, ("Command", "BookingsListResult")))
    assert (found.rows, found.total, found.unreadable) == (2, 2, frozenset())
    first, second = found.bookings
    assert (first.booking_id, first.meeting_id, first.meeting.title) == (
        "349073",
        None,
        "5 & 6 <braces> {}",
    )
    assert (first.meeting.join, first.meeting.organizer) == ("ada@example.com", "Ada L")
    assert (second.booking_id, second.meeting_id) == ("webex-5", "ee185ae7")


def test_one_booking_alone_and_none_at_all_are_listings():
    one = "<ResultInfo><TotalRows>{}</TotalRows></ResultInfo>{}"
    booking = "<Booking><Id>a</Id></Booking>"
    for rows, bookings in ((0, ""), (1, booking), (1, booking.replace("<Booking>", "<Booking item='1'>"))):
        result = f"<BookingsListResult status='OK'>{one.format(rows, bookings)}</BookingsListResult>"
        found = page(xml.node(read(f"<Command>{result}</Command>"), ("Command", "BookingsListResult")))
        assert (found.rows, found.total) == (rows, rows)


def test_a_node_is_found_by_names_and_numbers():
    tree = read(
        "<Status><Fan item='1'><Status>Off</Status></Fan><Fan item='2'><Status>On</Status></Fan></Status>"
    )
    assert xml.node(tree, ("Status", "Fan", 2, "Status")) == "On"
    assert xml.node(tree, ("Status", "Fan", "Status")) == "Off"
    for path in (("Status", "Fan", 3), ("Status", "None"), ("Status", "Fan", 2, "Status", "More")):
        with pytest.raises(KeyError):
            xml.node(tree, path)


def test_sensors_read_over_http_are_those_read_over_websocket():
    answer = """<Status><RoomAnalytics><PeopleCount><Current>3</Current></PeopleCount>
      <PeoplePresence>Yes</PeoplePresence></RoomAnalytics></Status>"""
    events = Translator(DeviceId("codec")).read(SENSORS[0], xml.node(read(answer), SENSORS[0]))
    assert [(type(each).__name__) for each in events] == ["PeopleCounted", "PresenceSensed"]
    assert Translator(DeviceId("codec")).heard(Feedback(read(answer))) == events


# ── errors inside an answer ──


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("<Status><Audio><Volume>50</Volume></Audio></Status>", None),
        ("<Command>\n<VolumeSetResult status='OK'/>\n</Command>", None),
        ("<Configuration>\n  <Success/>\n</Configuration>", None),
        (
            '<EmptyResult product="Cisco Codec" version="ce11" apiVersion="4"/>',
            Fault(code=xml.NO_SUCH_NODE, message="no such path"),
        ),
        (
            (
                '<Fault><XPathError type="parsing"><ErrorCode type="string">10</ErrorCode>'
                '<Location type="string"></Location></XPathError></Fault>'
            ),
            Fault(code=xml.INVALID_PARAMETERS, message="XPathError ErrorCode 10"),
        ),
        (
            "<ActionError>\n  <Reason>No action detected in document</Reason>\n</ActionError>",
            Fault(code=xml.NO_SUCH_NODE, message="No action detected in document"),
        ),
        (
            "<Command><BookingsGetResult status='Error'><Cause>3</Cause></BookingsGetResult></Command>",
            Fault(code=xml.COMMAND_FAILED, message="Cause 3"),
        ),
        (
            "<Command><DialResult status='ParameterError'><Number>missing</Number></DialResult></Command>",
            Fault(code=xml.INVALID_PARAMETERS, message="Number missing"),
        ),
        (
            (
                "<XmlDoc resultId='6'><Status status='Error'><Reason>No match on address expression.</Reason>"
                "<XPath>Status/Wrong</XPath></Status></XmlDoc>"
            ),
            Fault(code=xml.NO_SUCH_NODE, message="No match on address expression."),
        ),
        (
            (
                "<CommandResponse><Configuration status='Error'><Reason>No match on address</Reason>"
                "</Configuration></CommandResponse>"
            ),
            Fault(code=xml.NO_SUCH_NODE, message="No match on address"),
        ),
        (
            (
                "<Configuration><Audio><DefaultVolume error='True'>Illegal value</DefaultVolume></Audio>"
                "</Configuration>"
            ),
            Fault(code=xml.INVALID_PARAMETERS, message="Illegal value"),
        ),
        (
            "<Command><Result status='Error'><Reason>Permission denied</Reason></Result></Command>",
            Fault(code=PERMISSION_DENIED, message="Permission denied"),
        ),
        (
            "<Command><Result status='Error'><Reason>System not ready</Reason></Result></Command>",
            Fault(code=NOT_READY, message="System not ready"),
        ),
    ],
)
def test_an_error_inside_an_answer_is_found(answer, found):
    assert fault(read(answer)) == found


def test_a_status_that_is_data_is_no_error():
    assert fault(read("<Status><Call item='1' status='Error'><Status>Idle</Status></Call></Status>")) is None
    assert (
        fault(read("<Status><HttpFeedback item='1'><Status>Failed</Status></HttpFeedback></Status>")) is None
    )


# ── what is refused ──

BOMB = """<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><a>&c;</a>"""


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"Command not recognized.",
        b"<Status>",
        b"<Status></Event>",
        b"<Status/><Status/>",
        b"<a>&unknown;</a>",
        b"<!DOCTYPE html><html/>",
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        BOMB.encode(),
        b"<a>" * (xml.MAX_DEPTH + 1) + b"</a>" * (xml.MAX_DEPTH + 1),
        b"<a>" * 500_000,
        b"<a>" + b"<b/>" * xml.MAX_ELEMENTS + b"</a>",
        b"<a>" + b" " * xml.MAX_BYTES + b"</a>",
        b'<?xml version="1.0" encoding="klingon"?><a/>',
        b"<a>\xff\xfe</a>",
        b"<a b='1' b='2'/>",
        "<a>\ud800</a>",
    ],
)
def test_what_is_no_xapi_document_is_unintelligible(document):
    with pytest.raises(Unintelligible) as caught:
        read(document)
    assert "passwd" not in str(caught.value)


def test_the_deepest_and_the_oddest_that_is_meant_is_read():
    assert read(b"<a>" * xml.MAX_DEPTH + b"</a>" * xml.MAX_DEPTH)
    latin = '<?xml version="1.0" encoding="iso-8859-1"?><a>Sjøboden</a>'
    assert read(latin.encode("iso-8859-1")) == read(latin) == {"a": "Sjøboden"}
    assert read("<a><![CDATA[** end\n<b>]]></a>") == {"a": "** end\n<b>"}
    assert read("<a><!-- remark --><?pi?><b/></a>") == {"a": {"b": ""}}


# ── fuzzing ──

PIECES = st.sampled_from(
    [
        *("<Status>", "</Status>", "<Event>", "</Event>", "<a item='1'>", "<a item='2'>", "</a>", "<b/>"),
        *("<Call item='1' ghost='True'/>", "status='Error'", "&amp;", "&#0;", "&x;", "<![CDATA[", "]]>"),
        *("<!--", "-->", "<?xml version='1.0'?>", "<!DOCTYPE a>", "text", " ", "\n", "** end", "\x00", "ø"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200), st.lists(PIECES).map("".join)))
def test_anything_is_read_or_unintelligible(document):
    try:
        tree = read(document)
    except Unintelligible:
        return
    fault(tree)
    Translator(DeviceId("codec")).heard(Feedback(tree))


NAMES = st.sampled_from(["Status", "Call", "Booking", "Id", "Title", "Presentation"])
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["@item", "@ghost", "@status", "@error", "@maxOccurrence", "@valueSpaceRef"]),
    st.sampled_from(["1", "2", "True", "OK", "Error", ""]),
    max_size=2,
)
ELEMENTS = st.recursive(
    st.text("ab <&>\"'\n", max_size=5),
    lambda below: st.builds(
        lambda attributes, children: {**attributes, **children},
        ATTRIBUTES,
        st.dictionaries(NAMES, below | st.lists(below, min_size=1, max_size=3), max_size=3),
    ),
    max_leaves=20,
)


def shaped(tree: object) -> bool:
    """Objects, arrays and strings; the only numbers are ids."""
    if isinstance(tree, dict):
        return all(isinstance(v, int | str) if k == "id" else shaped(v) for k, v in tree.items())
    return all(map(shaped, tree)) if isinstance(tree, list) else isinstance(tree, str)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["Status", "Event", "Configuration", "Command"]), ELEMENTS)
def test_every_document_becomes_a_tree_of_strings(root, element):
    tree = read(xmltodict.unparse({root: element}))
    assert list(tree) == [root]
    assert shaped(tree)
    fault(tree)


# ── calls ──


def test_a_command_is_written_with_everything_escaped():
    document = xml.command(
        Call(
            method="xCommand/UserInterface/Message/Prompt/Display",
            params={"Title": "</Title><Boot/>&\"'", "Option.1": "Ja – ø", "Duration": 0, "Wake": True},
        )
    )
    display = xmltodict.parse(document)["Command"]["UserInterface"]["Message"]["Prompt"]["Display"]
    assert display == {
        "@command": "True",
        "Title": "</Title><Boot/>&\"'",
        "Option.1": "Ja – ø",
        "Duration": "0",
        "Wake": "True",
    }


def test_a_repeated_argument_is_numbered():
    call = Call(
        method="xCommand/HttpFeedback/Register",
        params={"FeedbackSlot": 1, "Expression": ["/Status/RoomAnalytics", "/Event/Bookings"]},
    )
    assert xml.command(call).endswith(
        b'<Command><HttpFeedback><Register command="True"><FeedbackSlot>1</FeedbackSlot>'
        b'<Expression item="1">/Status/RoomAnalytics</Expression>'
        b'<Expression item="2">/Event/Bookings</Expression></Register></HttpFeedback></Command>'
    )


def test_a_listing_is_asked_for():
    assert xml.command(list_bookings()).endswith(
        b'<Command><Bookings><List command="True"><Days>2</Days></List></Bookings></Command>'
    )


def test_a_setting_is_written_with_its_number():
    call = Call(
        method="xSet",
        params={"Path": ("Configuration", "Video", "Input", "Connector", 2, "Name"), "Value": "A & B"},
    )
    assert xml.configuration(call).endswith(
        b'<Configuration><Video><Input><Connector item="2"><Name>A &amp; B</Name></Connector></Input></Video>'
        b"</Configuration>"
    )
    led = Call(method="xSet", params={"Path": ("Configuration", "Fan", 3), "Value": 7})
    assert xml.configuration(led).endswith(b'<Configuration><Fan item="3">7</Fan></Configuration>')


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("xGet", {"Path": ("Status",)}),
        ("xCommand", {}),
        ("xCommand/Boot></Boot", {}),
        ("xCommand/Message/Send", {"Te xt": "a"}),
        ("xCommand/Message/Send", {"Text": {"a": 1}}),
        ("xSet", {"Path": ("Configuration", "Fan")}),
        ("xSet", {"Path": ("Status", "Fan"), "Value": 1}),
        ("xSet", {"Path": ("Configuration",), "Value": 1}),
    ],
)
def test_what_is_no_call_for_it_is_not_written(method, params):
    writes = xml.configuration if method == "xSet" else xml.command
    with pytest.raises(ValueError, match=r"no|neither"):
        writes(Call(method=method, params=params))


def test_a_path_is_written_as_devices_read_it():
    assert xml.location(("Status", "Audio", "Volume")) == "/Status/Audio/Volume"
    assert xml.location(("Status", "Call", 2, "Status")) == "/Status/Call[@item='2']/Status"
    with pytest.raises(ValueError, match="no"):
        xml.location(("Status", "A']/B"))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100))
def test_any_text_can_be_said(text):
    document = xml.command(Call(method="xCommand/Message/Send", params={"Text": text}))
    tree = read(document)
    heard = xml.node(tree, ("Command", "Message", "Send", "Text"))
    assert isinstance(heard, str)
    if text.isprintable():
        assert heard == text
