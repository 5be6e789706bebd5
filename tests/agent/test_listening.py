"""The house's door, against real sockets."""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
import uvloop

from agent.listening import FEW_STRANGERS, UNTAKEN_BYTES, Bounds, Listener, Pace
from tests.callers import becomes, calling, certified, request, silent

MOST = 1000


@dataclass(frozen=True)
class Said:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    known: bool = False


@dataclass(frozen=True)
class Coming:
    house: "House"
    known: bool
    most_bytes: int = MOST

    def answer(self, body: bytes) -> Said:
        self.house.heard.append(body)
        return self.house.says

    def too_long(self) -> None:
        self.house.cut += 1


class House:
    """Lets in who asks for `/here` or `/known`."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.heads: list[Mapping[str, str]] = []
        self.cut = 0
        self.says = Said()

    def admits(self, method: str, target: str, headers: Mapping[str, str]) -> Coming | HTTPStatus:
        self.heads.append(headers)
        if target.startswith(("/here", "/known")):
            return (
                Coming(self, target.startswith("/known"))
                if method == "POST"
                else HTTPStatus.METHOD_NOT_ALLOWED
            )
        return HTTPStatus.NOT_FOUND


@pytest.fixture
def house() -> House:
    return House()


def door(house: House, **options: object) -> Listener:
    return Listener(house, host="127.0.0.1", port=0, **options)  # type: ignore[arg-type]


async def test_what_the_house_says_is_answered_whole(house):
    house.says = Said(202, {"Content-Type": "text/plain", "X-Content-Type-Options": "nosniff"}, b"a+b")
    async with door(house) as listener, calling(listener.url) as caller:
        head = await caller.says(request(f"{listener.url}/known?x=1", b"hello", head="X-Goog-A: b\r\n"))
        assert head.startswith(b"HTTP/1.1 202")
        assert b"Content-Type: text/plain\r\n" in head
        assert b"X-Content-Type-Options: nosniff\r\n" in head
        assert b"Content-Length: 3\r\n" in head
        assert await caller.reader.readexactly(3) == b"a+b"
        assert await caller.status(request(f"{listener.url}/known", b"again")) == 202  # the same line
    assert house.heard == [b"hello", b"again"]
    assert house.heads[0]["x-goog-a"] == "b"
    assert listener.callers.counts() == {"turned_away": 0, "ill_mannered": 0}


async def test_a_bad_answer_ends_the_line_without_a_detail(house):
    house.says = Said(400, {"X-Why": "secret"}, b"because")
    async with door(house) as listener, calling(listener.url) as caller:
        head = await caller.says(request(f"{listener.url}/here", b"{"))
        assert head.startswith(b"HTTP/1.1 400")
        assert b"X-Why" not in head
        assert await caller.end() == b""


async def test_who_is_not_admitted_is_turned_away_before_its_body(house):
    async with door(house) as listener:
        for target, method, status in (("/there", "POST", 404), ("/here", "PUT", 405)):
            async with calling(listener.url) as caller:
                asked = request(f"{listener.url}{target}", method=method, length=10**9)
                assert await caller.status(asked) == status
                assert await caller.end() == b""
    assert house.heard == []
    assert listener.callers.ill_mannered == 1


async def test_one_byte_at_a_time_and_two_at_once_are_understood(house):
    async with door(house) as listener:
        url = f"{listener.url}/known"
        async with calling(url) as caller:
            for byte in request(url, b"one"):
                caller.writer.write(bytes([byte]))
                await caller.writer.drain()
            assert await caller.status(b"") == 200
            assert await caller.status(request(url, b"two") * 2) == 200
            assert await caller.status(b"") == 200
            head = request(url, b"", head="Expect: 100-continue\r\n", length=5)
            assert await caller.status(head) == 100
            assert await caller.status(b"three") == 200
        async with calling(url) as caller:
            assert await caller.status(b"POST /known HTTP/1.0\r\nContent-Length: 4\r\n\r\nfour") == 200
            assert await caller.end() == b""
    assert house.heard == [b"one", b"two", b"two", b"three", b"four"]


@pytest.mark.parametrize(
    ("what", "status", "cut"),
    [
        (lambda url: request(url, b"x" * (MOST + 1)), 413, 1),
        (lambda _: b"hello\r\n\r\n", 400, 0),
        (lambda _: b"GET / HTTP/1.1\r\nX: " + b"x" * 32 * 1024, 431, 0),
        (lambda url: request(url, head=f"X: {'x' * 32 * 1024}\r\n"), 431, 0),
        (lambda url: request(f"{url}?{'x' * 32 * 1024}"), 431, 0),
        (lambda _: b"\x16\x03\x01\x02\x00\r\n\r\n", 400, 0),
    ],
)
async def test_bad_manners_are_answered_and_shown_the_door(house, what, status, cut):
    async with door(house) as listener, calling(listener.url) as caller:
        assert await caller.status(what(f"{listener.url}/here")) == status
        await caller.end()
    assert (house.heard, house.cut, listener.callers.ill_mannered) == ([], cut, 1)


async def test_who_is_slow_is_dropped(house):
    async with door(house, pace=Pace(request_within_s=0.05, idle_s=0.05)) as listener:
        url = f"{listener.url}/known"
        async with calling(url) as caller:
            assert await caller.end() == b""
        async with calling(url) as caller:
            assert await caller.status(request(url)) == 200
            assert await caller.end() == b""
        async with calling(url) as caller:
            caller.writer.write(request(url)[:-1])
            assert await caller.end() == b""
    assert listener.callers.ill_mannered == 1


async def test_too_many_at_once_are_turned_away_and_nobody_else(house):
    async with door(house, bounds=Bounds(callers=1)) as listener:
        url = f"{listener.url}/known"
        async with calling(url) as first:
            assert await first.status(request(url)) == 200
            async with calling(url) as second:
                assert await second.end() == b""
            assert await first.status(request(url)) == 200


@pytest.mark.parametrize("tls", [False, True])
async def test_strangers_of_one_address_are_few_and_cost_the_others_nothing(house, tmp_path, tls):
    context, certificate = certified(tmp_path)
    bounds = Bounds(strangers=FEW_STRANGERS)
    async with door(house, bounds=bounds, **(certificate if tls else {})) as listener:
        async with silent(listener.url, 40) as still_open:
            await becomes(still_open, FEW_STRANGERS)
            assert listener.callers.turned_away == 40 - FEW_STRANGERS
            async with calling(listener.url, context if tls else None) as caller:
                assert await caller.status(request(f"{listener.url}/here")) == 200
        await asyncio.sleep(0.05)  # those are gone, and forgotten
        async with silent(listener.url, FEW_STRANGERS) as still_open:
            await asyncio.sleep(0.05)
            assert still_open() == FEW_STRANGERS


@pytest.mark.parametrize(("target", "says"), [("/known", Said()), ("/here", Said(known=True))])
async def test_who_has_shown_a_secret_in_head_or_body_is_no_stranger(house, target, says):
    house.says = says
    async with door(house, bounds=Bounds(strangers=2)) as listener, contextlib.AsyncExitStack() as stack:
        for _ in range(5):  # as if from behind a proxy
            caller = await stack.enter_async_context(calling(listener.url))
            assert await caller.status(request(f"{listener.url}{target}")) == 200
        assert listener.callers.turned_away == 0


async def test_bodies_of_strangers_share_what_room_there_is_and_give_it_back(house):
    async with door(house, bounds=Bounds(strange_bytes=MOST)) as listener:
        url = f"{listener.url}/here"
        async with calling(url) as first, calling(url) as known:
            first.writer.write(request(url, b"x" * (MOST - 10), length=MOST))
            await becomes(lambda: listener._strange_bytes, MOST - 10)  # noqa: SLF001
            async with calling(url) as second:
                assert await second.status(request(url, b"x" * 11)) == 503
                assert await second.end() == b""
            assert await known.status(request(f"{listener.url}/known", b"x" * MOST)) == 200
            assert await first.status(b"x" * 10) == 200
        async with calling(url) as third:
            third.writer.write(request(url, b"x" * 500, length=MOST))
            await becomes(lambda: listener._strange_bytes, 500)  # noqa: SLF001
        await becomes(lambda: listener._strange_bytes, 0)  # noqa: SLF001
    assert listener.callers.turned_away == 1


async def test_a_stranger_is_answered_once(house):
    async with door(house) as listener, calling(listener.url) as caller:
        head = await caller.says(request(f"{listener.url}/here", b"once") * 100)
        assert head.startswith(b"HTTP/1.1 200")
        assert b"Connection: close\r\n" in head
        assert b"HTTP" not in await caller.end()
        await becomes(lambda: len(listener._visitors), 0)  # noqa: SLF001
    assert house.heard == [b"once"]


ANSWERED = 8 * 1024


class Hoard(House):
    """Answers at length, and sees what of it waits to be taken."""

    def __init__(self) -> None:
        super().__init__()
        self.says = Said(body=b"x" * ANSWERED)
        self.listener: Listener | None = None
        self.most_untaken = 0

    def admits(self, method: str, target: str, headers: Mapping[str, str]) -> Coming | HTTPStatus:
        assert self.listener is not None
        for each in self.listener._visitors:  # noqa: SLF001
            visitor: Any = each
            if visitor._transport is not None:  # noqa: SLF001
                self.most_untaken = max(self.most_untaken, visitor._transport.get_write_buffer_size())  # noqa: SLF001
        return super().admits(method, target, headers)


async def asks_much_and_reads_late(directory, *, tls):
    context, certificate = certified(directory)
    house, asked = Hoard(), 2000
    async with door(house, **(certificate if tls else {})) as listener:
        house.listener = listener
        async with calling(listener.url, context if tls else None) as caller:
            caller.writer.write(request(f"{listener.url}/known") * asked)
            for _ in range(asked):
                assert (await caller.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                await caller.reader.readexactly(ANSWERED)
            assert await caller.status(request(f"{listener.url}/known")) == 200  # it is no stranger yet
    assert len(house.heard) == asked + 1
    assert house.most_untaken <= UNTAKEN_BYTES + ANSWERED


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_answers_that_nobody_takes_are_few(tmp_path, run, tls):
    run(asks_much_and_reads_late(tmp_path, tls=tls))


async def test_who_takes_no_answer_is_dropped(house):
    house.says = Said(body=b"x" * 4 * 1024 * 1024)
    async with door(house, pace=Pace(request_within_s=0.05)) as listener, calling(listener.url) as caller:
        caller.writer.write(request(f"{listener.url}/known") * 50)
        await becomes(lambda: len(listener._visitors), 1)  # noqa: SLF001
        await becomes(lambda: len(listener._visitors), 0)  # noqa: SLF001
    assert 0 < len(house.heard) < 10


async def few_addresses_call(directory, *, tls):
    context, certificate = certified(directory)
    house = House()
    async with door(house, bounds=Bounds(callers=8), **(certificate if tls else {})) as listener:
        async with calling(listener.url, context if tls else None) as known:
            assert await known.status(request(f"{listener.url}/known")) == 200
            async with silent(listener.url, 7) as still_open:
                await becomes(lambda: len(listener._visitors), 8)  # noqa: SLF001
                for _ in range(3):
                    async with calling(listener.url, context if tls else None) as caller:
                        assert await caller.status(request(f"{listener.url}/here")) == 200
                await becomes(still_open, 6)  # the place of one is enough for those who do not stay
            assert await known.status(request(f"{listener.url}/known")) == 200
        assert listener.callers.turned_away == 1


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_strangers_that_hold_all_places_make_room_for_one_from_elsewhere(tmp_path, run, tls):
    run(few_addresses_call(tmp_path, tls=tls))


async def calls_over_tls(directory):
    context, certificate = certified(directory)
    house = House()
    async with contextlib.AsyncExitStack() as stack:
        listener = await stack.enter_async_context(door(house, **certificate))
        assert listener.url.startswith("https://127.0.0.1:")
        url = f"{listener.url}/known"
        async with calling(url, context) as caller:
            assert await caller.status(request(url)) == 200
            assert await caller.status(request(url) * 2) == 200
            assert await caller.status(b"") == 200
        async with calling(url, context) as caller:
            assert await caller.status(request(f"{listener.url}/there")) == 404
            assert await caller.end() == b""
        with pytest.raises(ssl.SSLError):  # it does not know the authority
            async with calling(url, ssl.create_default_context()):
                pass
        async with calling(url) as caller:
            caller.writer.write(request(url))  # no TLS at all
            assert b"HTTP" not in await caller.end()
        async with silent(url, 3) as still_open:  # in the middle of their handshakes
            await asyncio.sleep(0.05)
            assert still_open() == 3
            assert listener.callers.ill_mannered == 2
            ends = asyncio.get_running_loop().time()
            await stack.aclose()
            assert asyncio.get_running_loop().time() - ends < 1.0
            await becomes(still_open, 0)
    assert len(house.heard) == 3


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_it_speaks_tls_with_its_own_certificate(tmp_path, run):
    run(calls_over_tls(tmp_path))


async def test_who_is_slow_with_tls_is_dropped(house, tmp_path):
    _, certificate = certified(tmp_path)
    async with door(house, pace=Pace(greet_within_s=0.05), **certificate) as listener:
        async with calling(listener.url) as caller:
            assert await caller.end() == b""
        assert listener.callers.ill_mannered == 1


async def test_its_end_ends_all_lines(house):
    async with contextlib.AsyncExitStack() as stack:
        async with door(house) as listener:
            caller = await stack.enter_async_context(calling(listener.url))
            assert await caller.status(request(f"{listener.url}/known")) == 200
        assert await caller.end() == b""
