"""The door to HTTP, against real TLS sockets."""

import asyncio
import contextlib
import gc
import gzip
import logging
import ssl
import traceback
import warnings
from collections.abc import AsyncIterator

import pytest
import structlog

from cloud_link.calendars.errors import CalendarError, Misconfigured, Throttled, Transient, Unreadable
from cloud_link.calendars.wire import MAX_BODY_BYTES, Answer, Wire, WirePace, read_origin, retry_after_s
from tests.clouds.serving import CUT, SILENCE, Request, Response, Serving, nothing, text, tree

pytestmark = pytest.mark.slow

QUICK = WirePace(first_rest_s=0.001, answer_within_s=5.0)
IMPATIENT = WirePace(first_rest_s=0.001, answer_within_s=0.2)


async def echo(request: Request) -> Response:
    return tree({"method": request.method, "target": request.target, "body": request.body.decode()})


@pytest.fixture
async def service() -> AsyncIterator[Serving]:
    async with Serving(echo) as serving:
        yield serving


@pytest.fixture
async def wire(service: Serving) -> AsyncIterator[Wire]:
    async with Wire(service.url, context=service.client_context(), pace=QUICK) as wire:
        yield wire


async def test_asks_with_token_query_and_body(service: Serving, wire: Wire):
    answer = await wire.ask("POST", "/a", token="t", params={"q": "a b", "r": ["1", "2"]}, json={"x": 1})
    assert answer.json() == {"method": "POST", "target": "/a?q=a+b&r=1&r=2", "body": '{"x":1}'}
    assert service.seen[0].headers["authorization"] == "Bearer t"
    assert service.seen[0].headers["content-type"] == "application/json"


async def test_sends_forms(wire: Wire):
    assert (await wire.ask("POST", "/a", form={"a": "b/c"})).json() == {
        "method": "POST",
        "target": "/a",
        "body": "a=b%2Fc",
    }


async def test_gives_refusals_as_answers(service: Serving, wire: Wire):
    service.interruptions.append(tree({"error": "no"}, 404))
    answer = await wire.ask("GET", "/a")
    assert (answer.status, answer.json()) == (404, {"error": "no"})
    assert len(service.seen) == 1


@pytest.mark.parametrize("status", [429, 423, 503, 500, 504])
async def test_asks_again_what_may_be_asked_again(service: Serving, wire: Wire, status: int):
    service.interruptions.append(nothing(status))
    assert (await wire.ask("GET", "/a")).status == 200
    assert len(service.seen) == 2


@pytest.mark.parametrize(("status", "asked"), [(429, 2), (423, 2), (503, 2), (500, 1), (504, 1)])
async def test_repeats_a_post_only_if_nothing_was_done(service: Serving, wire: Wire, status: int, asked: int):
    service.interruptions.append(nothing(status))
    if asked == 2:
        assert (await wire.ask("POST", "/a")).status == 200
    else:
        with pytest.raises(Transient):
            await wire.ask("POST", "/a")
    assert len(service.seen) == asked


async def test_repeats_a_post_where_the_caller_says_so(service: Serving, wire: Wire):
    service.interruptions.append(CUT)
    assert (await wire.ask("POST", "/a", again=True)).status == 200


async def test_waits_as_long_as_told(service: Serving, wire: Wire):
    service.interruptions.append(nothing(429, Retry_After="1"))
    await wire.ask("GET", "/a")
    first, second = service.seen
    assert second.at - first.at >= 1.0


@pytest.mark.parametrize(
    ("status", "number", "shown"),
    [
        (429, "ROUTER_6A7B-1", "slow down (429; tracking id ROUTER_6A7B-1)"),
        (503, "ROUTER_1", "not available (503; tracking id ROUTER_1)"),
        (502, "ROUTER_2", "failed (502; tracking id ROUTER_2)"),
        (502, "one two", "failed (502)"),
        (502, "", "failed (502)"),
    ],
)
async def test_the_number_by_which_a_request_is_found_is_in_the_reason(
    service: Serving, status, number, shown
):
    async with Wire(service.url, context=service.client_context(), pace=WirePace(attempts=1)) as wire:
        service.interruptions.append(nothing(status, trackingid=number))
        with pytest.raises(Transient) as caught:
            await wire.ask("GET", "/a")
    assert str(caught.value).endswith(shown)


@pytest.mark.parametrize(("method", "throttled"), [("GET", True), ("PATCH", False)])
async def test_what_may_have_been_done_before_it_was_told_to_slow_down_is_not_said_to_be_undone(
    service: Serving, wire: Wire, method: str, throttled: bool
):
    service.interruptions.extend([CUT, *[nothing(429)] * 9])
    with pytest.raises(Transient) as caught:
        await wire.ask(method, "/a")
    assert isinstance(caught.value, Throttled) is throttled


async def test_a_longer_wait_is_the_callers(service: Serving, wire: Wire):
    service.interruptions.append(nothing(429, Retry_After="600"))
    with pytest.raises(Throttled) as caught:
        await wire.ask("GET", "/a")
    assert caught.value.retry_after_s == 600.0
    assert len(service.seen) == 1


async def test_gives_up_after_so_many_times(service: Serving, wire: Wire):
    service.interrupt = lambda _: nothing(503)
    with pytest.raises(Transient) as caught:
        await wire.ask("GET", "/a")
    assert type(caught.value) is Transient
    assert len(service.seen) == QUICK.attempts


async def test_a_service_may_say_slow_down_in_other_words(service: Serving):
    service.interruptions.append(tree({"reason": "rateLimitExceeded"}, 403))

    def throttled(answer: Answer) -> bool:
        return answer.status == 403 and b"rateLimitExceeded" in answer.body

    async with Wire(service.url, context=service.client_context(), pace=QUICK, throttled=throttled) as wire:
        assert (await wire.ask("POST", "/a")).status == 200


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/a",
        "https://127.0.0.1:{port}@evil.example/a",
        "http://127.0.0.1:{port}/a",
        "https://localhost:{port}/a",
        "https://user:x@127.0.0.1:{port}/a",
        "//evil.example/a",
        "https://127.0.0.1:1/a",
        "file:///etc/passwd",
        "https://[::1/a",
        "",
    ],
)
async def test_follows_no_link_to_elsewhere(service: Serving, wire: Wire, link: str):
    with pytest.raises(Unreadable):
        await wire.ask("GET", link.format(port=service.port), token="t")
    assert not service.seen


async def test_follows_a_link_of_its_own(service: Serving, wire: Wire):
    answer = await wire.ask("GET", f"{service.url}/a?$skiptoken=x%2By&z=%24")
    assert b"/a?$skiptoken=x%2By&z=%24" in answer.body


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_follows_no_redirect(service: Serving, wire: Wire, status: int):
    service.interrupt = lambda _: nothing(status, Location="https://evil.example/")
    with pytest.raises(Unreadable, match="elsewhere"):
        await wire.ask("POST", "/a", token="t")


async def test_takes_no_more_than_it_can_hold(service: Serving, wire: Wire):
    service.interrupt = lambda _: text("x" * (MAX_BODY_BYTES + 1))
    with pytest.raises(Unreadable, match="8 MB"):
        await wire.ask("POST", "/a")


async def test_nor_of_what_unpacks_to_more(service: Serving, wire: Wire):
    packed = gzip.compress(bytes(MAX_BODY_BYTES * 2))
    service.interrupt = lambda _: Response(headers={"Content-Encoding": "gzip"}, body=packed)
    with pytest.raises(Unreadable, match="8 MB"):
        await wire.ask("POST", "/a")


async def test_what_cannot_be_unpacked_or_read(service: Serving, wire: Wire):
    service.interruptions.append(Response(headers={"Content-Encoding": "gzip"}, body=b"nonsense"))
    with pytest.raises(Unreadable, match="unpacked"):
        await wire.ask("POST", "/a")
    service.interruptions.append(text("<html>log in</html>"))
    with pytest.raises(Unreadable, match="understood"):
        (await wire.ask("GET", "/a")).json()


async def test_a_silent_service_is_left_in_time(service: Serving):
    async with Wire(service.url, context=service.client_context(), pace=IMPATIENT) as wire:
        service.interruptions.append(SILENCE)
        with pytest.raises(Transient, match="in time"):
            await wire.ask("POST", "/a")
        assert (await wire.ask("POST", "/a")).status == 200


async def test_nobody_there(service: Serving):
    async with Serving(echo) as gone:
        pass
    async with Wire(gone.url, context=service.client_context(), pace=QUICK) as wire:
        with pytest.raises(Transient, match=r"out of reach: Connection refused$"):
            await wire.ask("POST", "/a")


async def test_a_service_that_is_not_believed(service: Serving):
    async with Wire(service.url, context=ssl.create_default_context(), pace=QUICK) as wire:
        with pytest.raises(Misconfigured, match="certificate") as caught:
            await wire.ask("GET", "/a")
    assert "ca_file" in caught.value.mend
    assert not service.seen


async def test_a_cut_line_is_asked_anew(service: Serving, wire: Wire):
    service.interruptions.append(CUT)
    assert (await wire.ask("GET", "/a")).status == 200


async def test_says_nothing_of_what_passes(
    service: Serving, wire: Wire, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    caplog.set_level(logging.DEBUG)
    canary = "canary-of-the-wire"
    told: list[str] = []
    for trouble in (CUT, nothing(503), text(canary, 500), text(canary), nothing(302, Location=canary)):
        service.interrupt = lambda _, trouble=trouble: trouble  # type: ignore[misc]
        try:
            answer = await wire.ask("GET", "/a", token=canary, params={"q": canary}, headers={"X": canary})
            answer.json()
        except CalendarError as error:
            told += [*traceback.format_exception(error), repr(error), error.mend]
        else:
            pytest.fail("there was trouble")
    assert len(told) > 10
    structlog.get_logger().warning("so that something was said")
    out, err = capfd.readouterr()
    assert "so that something was said" in out + err
    logged = "".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("asyncio")
    )
    assert canary not in "".join([*told, out, err, logged])
    assert canary not in repr(Answer(status=200, headers={}, body=canary.encode()))


@pytest.mark.parametrize(
    "said",
    [
        b"CANARY\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nCANARY\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: CANARY\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nCANARY\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{CANARY\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CANARY\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nCANARY",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\nCANARY",
        b"HTTP/1.1 500 CANARY\r\nContent-Length: 6\r\n\r\nCANARY",
    ],
)
async def test_what_is_no_http_is_not_repeated(said: bytes):
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Wire(f"http://127.0.0.1:{port}", pace=QUICK) as wire:
        with pytest.raises(Transient) as caught:
            await wire.ask("GET", "/a", token="t")
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))


async def test_a_token_that_cannot_be_sent_is_not_repeated(service: Serving, wire: Wire):
    token = "CANARY\n"
    with pytest.raises(Transient) as caught:
        await wire.ask("GET", "/a", token=token)
    assert token.strip() not in "".join(traceback.format_exception(caught.value))


class Proxy:
    """A way out: opens a tunnel for whoever asks, or refuses."""

    def __init__(self, status: str = "200 OK") -> None:
        self.asked: list[str] = []
        self._status = status

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.splitlines()[0])
        writer.write(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
        if self._status.startswith("200"):
            host, _, port = head.split()[1].partition(":")
            there, onward = await asyncio.open_connection(host, int(port))
            await asyncio.gather(self._pass(reader, onward), self._pass(there, writer))
        writer.close()

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(4096):
                writer.write(part)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def proxied(service: Serving, proxy: Proxy) -> AsyncIterator[Wire]:
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        way_out = f"http://127.0.0.1:{port}"
        async with Wire(service.url, context=service.client_context(), proxy=way_out, pace=QUICK) as wire:
            yield wire
    finally:
        server.close()


async def test_through_a_proxy_the_service_is_still_itself(service: Serving):
    proxy = Proxy()
    async with proxied(service, proxy) as wire:
        assert (await wire.ask("GET", "/a", token="t")).status == 200
    assert proxy.asked == [f"CONNECT 127.0.0.1:{service.port} HTTP/1.1"]


async def test_a_proxy_that_refuses(service: Serving):
    async with proxied(service, Proxy("403 Forbidden")) as wire:
        with pytest.raises(Transient, match="proxy"):
            await wire.ask("GET", "/a", token="t")
    assert not service.seen


async def test_what_the_environment_says_of_proxies_does_not_count(
    service: Serving, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Wire(service.url, context=service.client_context(), pace=QUICK) as wire:
        assert (await wire.ask("GET", "/a")).status == 200


async def test_cancelled_it_lets_go(service: Serving, wire: Wire):
    service.interruptions.append(SILENCE)
    asking = asyncio.get_running_loop().create_task(wire.ask("GET", "/a"))
    await service.until_seen(1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_callers_time_limit_holds(service: Serving, wire: Wire):
    service.interruptions.append(SILENCE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await wire.ask("GET", "/a")
    service.interrupt = lambda _: nothing(429, Retry_After="2")
    with pytest.raises(TimeoutError):  # also while it rests between two attempts
        async with asyncio.timeout(0.2):
            await wire.ask("GET", "/a")
    service.interrupt = lambda _: None
    assert (await wire.ask("GET", "/a")).status == 200


async def test_one_who_is_told_to_wait_holds_his_lane(service: Serving, wire: Wire):
    service.interruptions.append(nothing(429, Retry_After="600"))
    with pytest.raises(Throttled):
        await wire.ask("GET", "/a", lane="fjord")
    with pytest.raises(Throttled) as caught:
        await wire.ask("GET", "/b", lane="fjord")
    assert caught.value.retry_after_s is not None
    assert 590 < caught.value.retry_after_s <= 600
    assert len(service.seen) == 1
    assert (await wire.ask("GET", "/a", lane="bay")).status == 200
    assert (await wire.ask("GET", "/a")).status == 200


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "10"}, 10.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "99999999999999999999"}, 86400.0),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:30 GMT", "date": "Sat, 21 Nov 2026 09:00:00 GMT"}, 30.0),
        ({"retry-after": "Sat, 21 Nov 2026 08:00:30 GMT", "date": "Sat, 21 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None):
    assert retry_after_s(headers) == seconds


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Graph.Microsoft.com", "https://graph.microsoft.com:443"),
        ("https://graph.microsoft.com:443/", "https://graph.microsoft.com:443"),
        ("http://localhost:80", "http://localhost:80"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_origins(url: str, origin: str):
    assert read_origin(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "http://graph.microsoft.com",
        "http://localhost.evil.example",
        "ftp://localhost",
        "https://a@graph.microsoft.com",
        "https://graph.microsoft.com/v1.0",
        "https://graph.microsoft.com:99999",
        "graph.microsoft.com",
        "",
    ],
)
def test_no_origins(url: str):
    with pytest.raises(Misconfigured):
        read_origin(url)


# ── closing ──


async def test_a_wire_that_closes_lets_what_is_under_way_be_answered_and_takes_no_more():
    answering = asyncio.Event()

    async def slowly(request: Request) -> Response:
        await answering.wait()
        return await echo(request)

    async with Serving(slowly) as service, asyncio.TaskGroup() as tasks:
        wire = Wire(service.url, context=service.client_context(), pace=QUICK)
        asking = tasks.create_task(wire.ask("GET", "/a"))
        await service.until_seen(1)
        closing = tasks.create_task(wire.close())
        await asyncio.sleep(0)
        with pytest.raises(Transient):
            await wire.ask("GET", "/b")
        answering.set()
        assert (await asking).status == 200
        await closing
        assert len(service.seen) == 1


async def test_a_question_may_be_given_up_at_any_moment(service: Serving):
    """The library keeps its connection for busy, if it is given up in the wrong moment."""
    pace = WirePace(first_rest_s=0.001, attempts=1, answer_within_s=20.0, connections=1)
    async with Wire(service.url, context=service.client_context(), pace=pace) as wire:
        await wire.ask("GET", "/first")
        for moments in range(60):
            async with asyncio.TaskGroup() as tasks:
                question = tasks.create_task(wire.ask("GET", "/given-up"), name="question")
                for _ in range(moments):
                    await asyncio.sleep(0)
                question.cancel()
            assert (await wire.ask("GET", "/after")).status == 200


@pytest.mark.parametrize("again", [0, 1, 2, 3])  # moments later
async def test_questions_that_are_given_up_at_any_moment_leave_no_line_open(service: Serving, again: int):
    """The library forgets a line, if it is given up between TCP and TLS, or while it is closed."""
    context = service.client_context()
    with warnings.catch_warnings(record=True) as left_open:
        warnings.simplefilter("always", ResourceWarning)
        for moments in range(30):  # all takes about twenty
            async with Wire(service.url, context=context, pace=QUICK) as wire, asyncio.TaskGroup() as tasks:
                asking = [tasks.create_task(wire.ask("GET", "/given-up")) for _ in range(2)]
                for _ in range(moments):
                    await asyncio.sleep(0)
                for question in asking:
                    question.cancel()
                for _ in range(again):
                    await asyncio.sleep(0)
                for question in asking:
                    question.cancel()
        gc.collect()
    assert [str(each.message) for each in left_open] == []
