"""Where devices call back, against real sockets."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_adapters import receiver as receivers
from device_adapters.receiver import Nameless, Receiver, plain, read_post
from device_adapters.xapi.messages import Unintelligible
from tests import callers
from tests.callers import calling
from tests.device_adapters.stage import receiving

WHO = {"SystemName": {"Value": "Heron"}, "SerialNumber": {"Value": "FOC1"}}
COUNT = {"RoomAnalytics": {"PeopleCount": {"Current": {"Value": "4"}}}}
COUNTED = {"Status": {"RoomAnalytics": {"PeopleCount": {"Current": "4"}}}}
IN_JSON = json.dumps({"Status": {"Identification": WHO, **COUNT}}).encode()
IN_XML = b"""<Status><Identification><SystemName>Heron</SystemName><SerialNumber>FOC1</SerialNumber>
<IPAddressV6>a</IPAddressV6><IPAddressV6>b</IPAddressV6></Identification>
<RoomAnalytics><PeopleCount><Current>4</Current></PeopleCount></RoomAnalytics></Status>"""


# ── what is posted ──


@pytest.mark.parametrize("body", [IN_JSON, IN_XML, b"\xef\xbb\xbf" + IN_JSON, b"\r\n" + IN_XML])
def test_both_formats_mean_what_websocket_says(body):
    assert read_post(body) == ({"FOC1"}, COUNTED)


def test_an_event_with_a_number_at_each_level_is_one_without():
    body = {
        "Event": {
            "Identification": WHO,
            "Bookings": {"Start": {"Id": {"Value": "webex-7", "id": "1"}, "id": "1"}, "id": "1"},
            "id": "1",
        }
    }
    assert read_post(json.dumps(body).encode()) == (
        {"FOC1"},
        {"Event": {"Bookings": {"Start": {"Id": "webex-7"}}}},
    )


def test_arrays_keep_their_numbers_and_what_is_gone_is_gone():
    instances = [{"id": "2", "ghost": "True"}, {"id": "3", "Source": {"Value": "5"}}]
    body = {"Status": {"Conference": {"Presentation": {"LocalInstance": instances}}}}
    heard = {"LocalInstance": [{"ghost": "True", "id": 2}, {"Source": "5", "id": 3}]}
    assert read_post(json.dumps(body).encode()) == (
        {None},
        {"Status": {"Conference": {"Presentation": heard}}},
    )
    assert plain({"PeoplePresence": {"Value": "", "ghost": "True"}}) == {
        "PeoplePresence": {"Value": "", "ghost": "True"}
    }
    assert plain({"Updated": {"id": "1"}, "Sync": "", "Scalar": {"Value": 30}}) == {
        "Updated": {},
        "Sync": "",
        "Scalar": 30,
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"{",
        b"{}",
        b"[]",
        b'{"Command": {}}',
        b"<Command/>",
        b"<!DOCTYPE a><Status/>",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"Status":' + b'{"a":' * 100 + b"1" + b"}" * 101,
        b'{"Status": "\xff"}',
    ],
)
def test_what_no_device_posts_is_unintelligible(body):
    with pytest.raises(Unintelligible):
        read_post(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(["Value", "id", "ghost", "Status", "Call"]), below, max_size=3)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(JSON | st.dictionaries(st.sampled_from(["Status", "Event"]), JSON), st.binary(max_size=50))
def test_anything_posted_is_read_or_unintelligible(value, noise):
    for body in (json.dumps(value).encode(), b"{" + noise, b"<" + noise):
        with contextlib.suppress(Unintelligible):
            read_post(body)


# ── over the network ──


def request(url: str, body: bytes = IN_JSON, **more: Any) -> bytes:  # noqa: ANN401 - as of any caller
    return callers.request(url, body, **more)


async def test_a_post_is_answered_with_nothing_and_handed_on():
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda *post: heard.append(post)) as url:
            assert len(url.rsplit("/", 1)[1]) >= 40
            async with calling(receiver.url) as caller:
                answer = await caller.says(request(url))
                assert answer.startswith(b"HTTP/1.1 200")
                assert b"content-length: 0" in answer.lower()
                assert await caller.status(request(url, IN_XML)) == 200  # the same line again
        assert heard == [(COUNTED, len(IN_JSON)), (COUNTED, len(IN_XML))]
        assert receiver.callers.counts() == {
            "posts": 2,
            "unreadable": 0,
            "strangers": 0,
            "impostors": 0,
            "nameless": 0,
        }


async def test_each_device_has_a_secret_of_its_own_and_only_for_so_long():
    async with receiving() as receiver:
        with receiver.expect("", lambda *_: None) as one, receiver.expect("", lambda *_: None) as other:
            assert one != other
        async with calling(receiver.url) as caller:
            assert await caller.status(request(one)) == 404
            assert await caller.end() == b""
        assert receiver.callers.strangers == 1


async def test_who_does_not_know_the_secret_is_turned_away_before_its_body():
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda *post: heard.append(post)) as url:
            for wrong in (receiver.url + "/", receiver.url + "/guess", url[:-1], url + "/more"):
                async with calling(receiver.url) as caller:
                    assert await caller.status(request(wrong, b"", length=10**9)) == 404
        assert heard == []
        assert receiver.callers.strangers == 4


async def test_another_devices_serial_number_is_refused_and_counted():
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC2", lambda *post: heard.append(post)) as url:
            async with calling(receiver.url) as caller:
                assert await caller.status(request(url)) == 403
        assert heard == []
        assert receiver.callers.impostors == 1
        # Where the device did not say its number there is nothing to compare.
        with receiver.expect("", lambda *post: heard.append(post)) as url:
            async with calling(receiver.url) as caller:
                assert await caller.status(request(url)) == 200
        assert len(heard) == 1


def two_roots(*serials: object) -> bytes:
    """A post with a serial number for each root; None leaves it out."""
    who = [{} if each is None else {"SerialNumber": {"Value": each}} for each in serials]
    roots = zip(("Status", "Event"), who, strict=False)
    return json.dumps({root: {"Identification": each, **COUNT} for root, each in roots}).encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (two_roots("FOC1", "FOC1"), 200),
        (two_roots(None), 200),
        (two_roots(4711), 200),
        (two_roots("FOC1", None), 200),
        (two_roots(None, "FOC1"), 200),
        (b"<Event><Bookings/></Event>", 200),
        (b'{"Status": "x"}', 200),
        (two_roots("FOC2", "FOC1"), 403),
        (two_roots("FOC1", "FOC2"), 403),
        (two_roots("FOC2", None), 403),
    ],
)
async def test_each_root_of_a_post_has_to_say_whose_it_is(body, status):
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda post, _: heard.append(post)) as url:
            async with calling(receiver.url) as caller:
                assert await caller.status(request(url, body)) == status  # an error would end its calls
        counted = receiver.callers
        if body == two_roots("FOC1", "FOC1"):
            assert (counted.posts, len(heard)) == (1, 1)
            return
        assert not [each for each in heard if not isinstance(each, Nameless)]
        assert (counted.posts, counted.impostors, counted.nameless) == (0, status == 403, status == 200)
        assert len(heard) == (status == 200)  # whom it concerns has to know


async def test_what_cannot_be_read_is_handed_on_as_such_and_does_not_stop_the_device():
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda post, _: heard.append(post)) as url:
            async with calling(receiver.url) as caller:
                assert await caller.status(request(url, b"<Status>")) == 200
        assert isinstance(heard[0], Unintelligible)
        assert receiver.callers.unreadable == 1


async def test_a_device_that_asks_before_it_sends_is_told_to_go_on():
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda *post: heard.append(post)) as url:
            async with calling(receiver.url) as caller:
                head = request(url, b"", head="Expect: 100-continue\r\n", length=len(IN_JSON))
                assert await caller.status(head) == 100
                assert await caller.status(IN_JSON) == 200
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (lambda url: request(url, method="GET"), 405),
        (lambda url: request(url, b"x" * (receivers.MAX_POST_BYTES + 1)), 413),
    ],
)
async def test_bad_manners_are_answered_and_shown_the_door(what, status):
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda *post: heard.append(post)) as url:
            async with calling(receiver.url) as caller:
                assert await caller.status(what(url)) == status
                await caller.end()
    assert len(heard) == (status == 413)  # something was missed


async def test_it_is_reached_only_while_there_is_a_door_and_at_the_url_it_is_told():
    receiver = Receiver()
    seen = [receiver.listening]
    with receiver.reached_at("https://roomd.example.com/feedback/"):
        seen.append(receiver.listening)
        with receiver.expect("", lambda *_: None) as url:
            assert url.startswith("https://roomd.example.com/feedback/")
            assert "//" not in url.removeprefix("https://")
    assert [*seen, receiver.listening] == [False, True, False]
    assert receiver.urls == {"https://roomd.example.com/feedback"}
