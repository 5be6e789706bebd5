"""Where devices call back, against real sockets."""

import asyncio
import contextlib
import json
import ssl

import pytest
import trustme
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from device_adapters import receiver as receivers
from device_adapters.receiver import Nameless, Receiver, ReceiverPace, plain, read_post
from device_adapters.xapi.messages import Unintelligible

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


def request(
    url: str, body: bytes = IN_JSON, *, method: str = "POST", head: str = "", length: int | None = None
) -> bytes:
    path = "/" + url.split("/", 3)[3]
    size = len(body) if length is None else length
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n{head}\r\n".encode() + body


class Caller:
    """A connection to the receiver."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def says(self, data: bytes) -> bytes:
        """What is answered to it, up to the end of its head."""
        self.writer.write(data)
        return await self.reader.readuntil(b"\r\n\r\n")

    async def status(self, data: bytes) -> int:
        return int((await self.says(data)).split()[1])

    async def end(self) -> bytes:
        """What is said until the other side hangs up."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read()
        return b""


@contextlib.asynccontextmanager
async def calling(receiver, context=None):
    port = int(receiver.url.rsplit(":", 1)[1].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def receiving(**options):
    async with Receiver(host="127.0.0.1", port=0, **options) as receiver:
        yield receiver


async def test_a_post_is_answered_with_nothing_and_handed_on():
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda *post: heard.append(post)) as url:
            assert len(url.rsplit("/", 1)[1]) >= 40
            async with calling(receiver) as caller:
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
            "turned_away": 0,
            "ill_mannered": 0,
        }


async def test_each_device_has_a_secret_of_its_own_and_only_for_so_long():
    async with receiving() as receiver:
        with receiver.expect("", lambda *_: None) as one, receiver.expect("", lambda *_: None) as other:
            assert one != other
        async with calling(receiver) as caller:
            assert await caller.status(request(one)) == 404
            assert await caller.end() == b""
        assert receiver.callers.strangers == 1


async def test_who_does_not_know_the_secret_is_turned_away_before_its_body():
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda *post: heard.append(post)) as url:
            for wrong in (receiver.url + "/", receiver.url + "/guess", url[:-1], url + "/more"):
                async with calling(receiver) as caller:
                    assert await caller.status(request(wrong, b"", length=10**9)) == 404
        assert heard == []
        assert receiver.callers.strangers == 4


async def test_another_devices_serial_number_is_refused_and_counted():
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC2", lambda *post: heard.append(post)) as url:
            async with calling(receiver) as caller:
                assert await caller.status(request(url)) == 403
        assert heard == []
        assert receiver.callers.impostors == 1
        # Where the device did not say its number there is nothing to compare.
        with receiver.expect("", lambda *post: heard.append(post)) as url:
            async with calling(receiver) as caller:
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
            async with calling(receiver) as caller:
                assert await caller.status(request(url, body)) == status  # an error would end its calls
        callers = receiver.callers
        if body == two_roots("FOC1", "FOC1"):
            assert (callers.posts, len(heard)) == (1, 1)
            return
        assert not [each for each in heard if not isinstance(each, Nameless)]
        assert (callers.posts, callers.impostors, callers.nameless) == (0, status == 403, status == 200)
        assert len(heard) == (status == 200)  # whom it concerns has to know


async def test_what_cannot_be_read_is_handed_on_as_such_and_does_not_stop_the_device():
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda post, _: heard.append(post)) as url:
            async with calling(receiver) as caller:
                assert await caller.status(request(url, b"<Status>")) == 200
        assert isinstance(heard[0], Unintelligible)
        assert receiver.callers.unreadable == 1


async def test_a_device_that_asks_before_it_sends_is_told_to_go_on():
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda *post: heard.append(post)) as url:
            async with calling(receiver) as caller:
                head = request(url, b"", head="Expect: 100-continue\r\n", length=len(IN_JSON))
                assert await caller.status(head) == 100
                assert await caller.status(IN_JSON) == 200
    assert len(heard) == 1


async def test_one_byte_at_a_time_and_two_at_once_are_understood():
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda *post: heard.append(post)) as url:
            async with calling(receiver) as caller:
                for byte in request(url):
                    caller.writer.write(bytes([byte]))
                    await caller.writer.drain()
                assert await caller.status(b"") == 200
                assert await caller.status(request(url) * 2) == 200
                assert await caller.status(b"") == 200
            async with calling(receiver) as caller:
                one = b"POST /%b HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b"
                secret = url.rsplit("/", 1)[1].encode()
                assert await caller.status(one % (secret, len(IN_XML), IN_XML)) == 200
                assert await caller.end() == b""
    assert len(heard) == 4


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (lambda url: request(url, method="GET"), 405),
        (lambda url: request(url, b"x" * (receivers.MAX_POST_BYTES + 1)), 413),
        (lambda _: b"hello\r\n\r\n", 400),
        (lambda _: b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * receivers.MAX_HEAD_BYTES, 431),
    ],
)
async def test_bad_manners_are_answered_and_shown_the_door(what, status):
    heard = []
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda *post: heard.append(post)) as url:
            async with calling(receiver) as caller:
                assert await caller.status(what(url)) == status
                await caller.end()
        assert len(heard) == (status == 413)  # something was missed
        assert receiver.callers.ill_mannered == 1


async def test_who_is_slow_is_dropped():
    async with receiving(pace=ReceiverPace(request_within_s=0.05, idle_s=0.05)) as receiver:
        with receiver.expect("FOC1", lambda *_: None) as url:
            async with calling(receiver) as caller:
                assert await caller.end() == b""
            async with calling(receiver) as caller:
                assert await caller.status(request(url)) == 200
                assert await caller.end() == b""
            async with calling(receiver) as caller:
                caller.writer.write(request(url)[:-1])
                assert await caller.end() == b""
    assert receiver.callers.ill_mannered == 1


async def test_too_many_at_once_are_turned_away_and_nobody_else(monkeypatch):
    monkeypatch.setattr(receivers, "MAX_VISITORS", 1)
    async with receiving() as receiver:
        with receiver.expect("FOC1", lambda *_: None) as url:
            async with calling(receiver) as first:
                assert await first.status(request(url)) == 200
                async with calling(receiver) as second:
                    assert await second.end() == b""
                assert await first.status(request(url)) == 200


@contextlib.asynccontextmanager
async def silent(receiver, number):
    """So many connections from one address that say nothing; those that are still open."""
    host, port = "127.0.0.9", int(receiver.url.rsplit(":", 1)[1])
    lines = [await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0)) for _ in range(number)]
    try:
        yield lambda: sum(not reader.at_eof() for reader, _ in lines)
    finally:
        for _, writer in lines:
            writer.close()


async def becomes(count, wanted, within_s=5.0):
    async with asyncio.timeout(within_s):
        while count() != wanted:  # noqa: ASYNC110 - the other side does it
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("tls", [False, True])
async def test_strangers_of_one_address_are_few_and_cost_the_others_nothing(tmp_path, tls):
    context, certificate = certified(tmp_path)
    async with receiving(**(certificate if tls else {})) as receiver:
        with receiver.expect("FOC1", lambda *_: None) as url:
            async with silent(receiver, 40) as still_open:
                await becomes(still_open, receivers.MAX_STRANGERS)
                assert receiver.callers.turned_away == 40 - receivers.MAX_STRANGERS
                async with calling(receiver, context if tls else None) as caller:
                    assert await caller.status(request(url)) == 200
            await asyncio.sleep(0.05)  # those are gone, and forgotten
            async with silent(receiver, receivers.MAX_STRANGERS) as still_open:
                await asyncio.sleep(0.05)
                assert still_open() == receivers.MAX_STRANGERS


async def test_who_has_shown_a_secret_is_no_stranger():
    async with receiving() as receiver, contextlib.AsyncExitStack() as stack:
        with receiver.expect("FOC1", lambda *_: None) as url:
            for _ in range(2 * receivers.MAX_STRANGERS):  # as if from behind a proxy
                caller = await stack.enter_async_context(calling(receiver))
                assert await caller.status(request(url)) == 200
        assert receiver.callers.turned_away == 0


def certified(directory):
    """A context that believes a receiver, and the options that make it that one."""
    authority = trustme.CA()
    identity = authority.issue_cert("127.0.0.1")
    certificate, key = directory / "receiver.pem", directory / "receiver.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in identity.cert_chain_pems))
    identity.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context, {"certificate": certificate, "key": key}


async def calls_over_tls(directory):
    context, certificate = certified(directory)
    heard = []
    async with contextlib.AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving(**certificate))
        assert receiver.url.startswith("https://127.0.0.1:")
        with receiver.expect("FOC1", lambda *post: heard.append(post)) as url:
            async with calling(receiver, context) as caller:
                assert await caller.status(request(url)) == 200
                assert await caller.status(request(url) * 2) == 200
                assert await caller.status(b"") == 200
            async with calling(receiver, context) as caller:
                assert await caller.status(request(url[:-1])) == 404
                assert await caller.end() == b""
            with pytest.raises(ssl.SSLError):  # it does not know the authority
                async with calling(receiver, ssl.create_default_context()):
                    pass
            async with calling(receiver) as caller:
                caller.writer.write(request(url))  # no TLS at all
                assert b"HTTP" not in await caller.end()
        async with silent(receiver, 3) as still_open:  # in the middle of their handshakes
            await asyncio.sleep(0.05)
            assert still_open() == 3
            assert receiver.callers.ill_mannered == 2
            ends = asyncio.get_running_loop().time()
            await stack.aclose()
            assert asyncio.get_running_loop().time() - ends < 1.0
            await becomes(still_open, 0)
    assert len(heard) == 3


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_it_speaks_tls_with_its_own_certificate(tmp_path, run):
    run(calls_over_tls(tmp_path))


async def test_who_is_slow_with_tls_is_dropped(tmp_path):
    _, certificate = certified(tmp_path)
    async with receiving(pace=ReceiverPace(greet_within_s=0.05), **certificate) as receiver:
        async with calling(receiver) as caller:
            assert await caller.end() == b""
        assert receiver.callers.ill_mannered == 1


async def test_it_listens_only_while_it_is_entered_and_at_the_url_it_is_told():
    receiver = Receiver(host="127.0.0.1", port=0, url="https://roomd.example.com/feedback/")
    seen = [receiver.listening]
    async with receiver:
        seen.append(receiver.listening)
        with receiver.expect("", lambda *_: None) as url:
            assert url.startswith("https://roomd.example.com/feedback/")
            assert "//" not in url.removeprefix("https://")
    assert [*seen, receiver.listening] == [False, True, False]


async def test_its_end_ends_all_lines():
    async with contextlib.AsyncExitStack() as stack:
        async with receiving() as receiver:
            with receiver.expect("FOC1", lambda *_: None) as url:
                caller = await stack.enter_async_context(calling(receiver))
                assert await caller.status(request(url)) == 200
        assert await caller.end() == b""
