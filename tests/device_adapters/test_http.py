"""The HTTP line, against real sockets."""

import asyncio
import base64
import contextlib
import itertools
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import trustme
import uvloop
import xmltodict  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.events import (
    BookingCreated,
    BookingsListed,
    BookingsTouched,
    CallsCounted,
    CurrentValuesRead,
    DeviceConnected,
    DeviceLost,
    PeopleCounted,
    SharingSensed,
)
from agent.core.model import Credential, Device, DeviceId, RoomId, Trust
from device_adapters import http as lines
from device_adapters import trust
from device_adapters.errors import (
    AdminNeeded,
    BetterLine,
    CertificateRefused,
    DeviceBooting,
    DeviceBusy,
    DeviceError,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PasswordRefused,
    ServiceOff,
)
from device_adapters.fleet import Fleet
from device_adapters.http import Http, difference, is_below, place
from device_adapters.receiver import MAX_POST_BYTES, Receiver
from device_adapters.websocket import LinePace, WebSockets
from device_adapters.xapi.messages import (
    PERMISSION_DENIED,
    TOO_MANY_SUBSCRIPTIONS,
    Call,
    Feedback,
    Refusal,
    Reply,
)
from device_adapters.xapi.requests import UPTIME, WHO_ARE_YOU, get, list_bookings, subscribe
from device_adapters.xapi.translate import ANSWERS_UNHEARD
from device_adapters.xapi.xml import COMMAND_FAILED, INVALID_PARAMETERS, NO_SUCH_NODE
from tests.device_adapters.stage import IMPATIENT, Ear, Scripted, configured, door, receiving
from tests.simulator import ALL_VERSIONS, Site

pytestmark = pytest.mark.slow

FOREVER = float("inf")
Json = Any  # trees of any shape
BOOKINGS = ("Event", "Bookings")
PEOPLE = ("Status", "RoomAnalytics", "PeopleCount")
PRESENCE = ("Status", "RoomAnalytics", "PeoplePresence")
ZONE = ("Configuration", "Time", "Zone")
OFTEN = 0.05  # a poll interval, in seconds
SELDOM = 3600.0


class Codec:
    """A small device: getxml, putxml, sessions, four slots of HttpFeedback, and what goes wrong with them."""

    def __init__(self, firmware: str = "ce11.27.2.0.abc") -> None:
        identity = trustme.CA().issue_cert("127.0.0.1")
        self.door = Scripted()
        self.door.identity = identity
        self.port = 0
        self.password = "secret"
        self.sessions: dict[str, None] = {}
        self.begun = itertools.count(1)
        self.has_sessions = True
        self.requests: list[tuple[str, str]] = []  # method or name, target
        self.heads: list[str] = []
        self.answers: dict[str, list[bytes | None]] = {}  # by target: None is silence, b"" hanging up
        self.slots: dict[str, dict[str, Any]] = {}
        self.takes = lambda expression: True
        self.keeps = True
        self.listing: list[dict[str, Any]] = []
        self.tree: dict[str, Any] = {
            "Status": {
                "SystemUnit": {
                    "ProductId": "Cisco Room Bar",
                    "Hardware": {"Module": {"SerialNumber": "FOC1"}},
                    "Software": {"Version": firmware},
                    "State": {"NumberOfActiveCalls": "0"},
                    "Uptime": "1000",
                },
                "RoomAnalytics": {"PeopleCount": {"Current": "3"}, "PeoplePresence": "Yes"},
                "Conference": {"Presentation": {"Mode": "Off"}},
            },
            "Configuration": {"RoomAnalytics": {"PeopleCountOutOfCall": "On"}, "Time": {"Zone": "Etc/UTC"}},
        }
        self.meanwhile: dict[str, Callable[[], Awaitable[object]]] = {}  # before its answer leaves
        self.cookies = ""  # further ones, before the session's
        self._called = asyncio.Event()

    # what a test looks at

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.requests]

    async def until(self, happened, within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while not happened():
                self._called.clear()
                await self._called.wait()

    def configured(self, directory, *, trust: Trust | None = None) -> Device:
        known = self.door.configured(directory, trust=trust)
        return Device(
            id=DeviceId("codec"),
            room=RoomId("codec"),
            host="127.0.0.1",
            port=self.port,
            credential=Credential(username="roomd", password_file=known.credential.password_file),
            trust=known.trust,
        )

    # what it does by itself

    def count(self, people: int) -> None:
        self.tree["Status"]["RoomAnalytics"]["PeopleCount"]["Current"] = str(people)

    async def call_back(self, slot: str = "1", *, serial: str | None = "FOC1", **tree: Json) -> int:
        """Posts to where it was told; the status that it is answered with."""
        told = self.slots[slot]
        (root, body), *_ = tree.items()
        who = {} if serial is None else {"Identification": {"SerialNumber": serial}}
        if told["Format"] == "JSON":
            post = json.dumps({root: {**valued(who), **valued(body)}}).encode()
        else:
            post = xmltodict.unparse({root: {**who, **body}}).encode()
        host, _, path = told["URL"].removeprefix("http://").partition("/")
        reader, writer = await asyncio.open_connection(*host.split(":"))
        head = f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(post)}\r\n\r\n"
        writer.write(head.encode() + post)
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return int(answer.split()[1])

    # what comes over the wire

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lengths = [line for line in head.split("\r\n") if line.lower().startswith("content-length:")]
                body = await reader.readexactly(int(lengths[0].split(":")[1]) if lengths else 0)
                method, target, _ = head.split(" ", 2)
                answer = self.answer(method, target, head, body)
                self._called.set()
                if (meanwhile := self.meanwhile.pop(self.requests[-1][0], None)) is not None:
                    await meanwhile()
                if answer is None:
                    continue
                if answer == b"":
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def answer(self, method: str, target: str, head: str, body: bytes) -> bytes | None:
        name = target
        if target == "/putxml":
            name = named(xmltodict.parse(body))[0]
        self.requests.append((name, method))
        self.heads.append(head)
        if self.answers.get(name):
            return self.answers[name].pop(0)
        headers = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        basic = f"Basic {base64.b64encode(f'roomd:{self.password}'.encode()).decode()}"
        if target == "/xmlapi/session/begin":
            if not self.has_sessions:
                return http(404)
            if headers.get("Authorization") != basic:
                return http(401)
            session = f"SessionId=s{next(self.begun)}"
            self.sessions[session] = None
            return http(204, headers=f"{self.cookies}Set-Cookie: {session}; Path=/; Secure\r\n")
        if headers.get("Cookie") not in self.sessions and headers.get("Authorization") != basic:
            return http(401)
        if target == "/xmlapi/session/end":
            self.sessions.pop(headers["Cookie"], None)
            return http(204)
        if target == "/putxml":
            return self.put(body)
        found: Any = self.tree | {"Status": {**self.tree["Status"], **self.shown()}}
        path = target.partition("=")[2].split("/")[1:]
        for step in path:
            found = found.get(step) if isinstance(found, dict) else None
        if found is None:
            return http(200, '<EmptyResult product="Cisco Codec" version="ce11" apiVersion="4"/>')
        for step in reversed(path):
            found = {step: found}
        return http(200, xmltodict.unparse(found))

    def shown(self) -> dict[str, Any]:
        slots = [{"@item": number, **slot} for number, slot in self.slots.items()]
        return {"HttpFeedback": slots} if slots else {}

    def put(self, body: bytes) -> bytes:
        name, arguments = named(xmltodict.parse(body))
        slot = arguments.get("FeedbackSlot", "")
        match name:
            case "Bookings List":
                rows = {
                    "ResultInfo": {"TotalRows": str(len(self.listing))},
                    "LastUpdated": str(len(self.requests)),
                }
                bookings = [{"@item": str(n), **each} for n, each in enumerate(self.listing, 1)]
                result: dict[str, Any] = {"@status": "OK", **rows, "Booking": bookings}
                return http(200, xmltodict.unparse({"Command": {"BookingsListResult": result}}))
            case "HttpFeedback Register":
                expressions = arguments["Expression"]
                expressions = expressions if isinstance(expressions, list) else [expressions]
                if not all(self.takes(each["#text"]) for each in expressions):
                    return failed("HttpFeedbackRegisterResult", "Invalid expression")
                if self.keeps:
                    self.slots[slot] = {
                        "Expression": expressions,
                        "Format": arguments.get("Format", "XML"),
                        "Status": "OK",
                        "URL": arguments["ServerUrl"],
                    }
                return http(200, '<Command><HttpFeedbackRegisterResult status="OK"/></Command>')
            case "HttpFeedback Deregister":
                self.slots.pop(slot, None)
                return http(200, '<Command><HttpFeedbackDeregisterResult status="OK"/></Command>')
            case "Bookings Get":
                return failed("BookingsGetResult", "Booking not found")
            case "Time Zone":
                self.tree["Configuration"]["Time"]["Zone"] = arguments["#text"]
                return http(200, "<Configuration>\n  <Success/>\n</Configuration>")
        return http(200, "<ActionError>\n  <Reason>No action detected in document</Reason>\n</ActionError>")

    def expressions(self, slot: str = "1") -> list[str]:
        return [each["#text"] for each in self.slots[slot]["Expression"]]


def named(document: Json) -> tuple[str, dict[str, Any]]:
    """The name of what a putxml document asks for, and its arguments."""
    ((root, tree),) = document.items()
    names = []
    while "@command" not in tree and not (root == "Configuration" and isinstance(tree, str)):
        ((name, tree),) = tree.items()
        names.append(name)
    return " ".join(names), {"#text": tree} if isinstance(tree, str) else tree


def failed(name: str, reason: str) -> bytes:
    return http(200, f'<Command><{name} status="Error"><Reason>{reason}</Reason></{name}></Command>')


def valued(tree: Json) -> Json:
    """As terminals write it."""
    if isinstance(tree, dict):
        return {name: valued(below) for name, below in tree.items()}
    return {"Value": str(tree)}


def http(status: int, body: str = "", *, headers: str = "") -> bytes:
    content = body.encode()
    return f"HTTP/1.1 {status} x\r\n{headers}Content-Length: {len(content)}\r\n\r\n".encode() + content


@contextlib.asynccontextmanager
async def codec(firmware: str = "ce11.27.2.0.abc"):
    device = Codec(firmware)
    met = asyncio.Semaphore(0)
    lines_open = 0

    async def meet(reader, writer):
        nonlocal lines_open
        lines_open += 1
        await device.meet(reader, writer)
        met.release()

    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=device.door.context())
    device.port = device.door.port = server.sockets[0].getsockname()[1]
    try:
        yield device
    finally:
        server.close()
        for _ in range(lines_open):
            await met.acquire()


@contextlib.asynccontextmanager
async def talking(device, dial=None):
    async with (dial or Http(poll_every_s=SELDOM))(device, contextlib.AsyncExitStack()) as line:
        yield line


async def asked(line, *calls) -> list[object]:
    """The answers to calls, in their order; feedback is left out."""
    numbers = [line.send(call) for call in calls]
    answers: list[Any] = []
    while len(answers) < len(calls):
        answers += [each for each in await line.hear(FOREVER) if not isinstance(each, Feedback)]
    assert [each.id for each in answers] == numbers
    return [each.result if isinstance(each, Reply) else each for each in answers]


async def heard(line, wanted: int = 1) -> list[object]:
    """So many pieces of feedback."""
    trees: list[object] = []
    async with asyncio.timeout(10):
        while len(trees) < wanted:
            trees += [each.tree for each in await line.hear(FOREVER) if isinstance(each, Feedback)]
    return trees


async def until_it_ends(line) -> None:
    while True:
        await line.hear(FOREVER)


async def refused(device, dial=None) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        async with talking(device, dial) as line:
            await asked(line, get(UPTIME))
    return caught.value


# ── asking ──


async def test_values_and_branches_mean_what_they_mean_over_websocket(tmp_path):
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        assert line.transport == "http"
        uptime, unit, people, nothing = await asked(
            line, get(UPTIME), get(WHO_ARE_YOU), get(PEOPLE), get(("Status", "Nothing"))
        )
    assert uptime == "1000"
    assert unit == device.tree["Status"]["SystemUnit"]
    assert people == {"Current": "3"}
    assert isinstance(nothing, Refusal)
    assert nothing.code == NO_SUCH_NODE


async def test_a_command_gives_its_result_and_an_error_inside_200_is_an_error(tmp_path):
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        device.listing = [{"Id": "a", "Title": "<&>"}]
        listing, missing, unknown, bad = await asked(
            line,
            list_bookings(),
            Call(method="xCommand/Bookings/Get", params={"Id": "b"}),
            Call(method="xCommand/Do/Nothing", params={}),
            Call(method="xDoc", params={}),
        )
    assert listing == {
        "status": "OK",
        "ResultInfo": {"TotalRows": "1"},
        "LastUpdated": "2",
        "Booking": [{"Id": "a", "Title": "<&>", "id": 1}],
    }
    codes = [each.code for each in (missing, unknown, bad) if isinstance(each, Refusal)]
    assert codes == [COMMAND_FAILED, NO_SUCH_NODE, NO_SUCH_NODE]


async def test_a_setting_is_set(tmp_path):
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        done, zone, impossible = await asked(
            line,
            Call(method="xSet", params={"Path": ZONE, "Value": "Europe/Oslo"}),
            get(ZONE),
            Call(method="xSet", params={"Path": ("Status", "Audio"), "Value": "x"}),
        )
    assert (done, zone) == (True, "Europe/Oslo")
    assert isinstance(impossible, Refusal)
    assert impossible.code == INVALID_PARAMETERS


async def test_nothing_that_is_not_asked_for_is_waited_for_beyond_its_time(tmp_path):
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        loop = asyncio.get_running_loop()
        assert await line.hear(loop.time() + 0.01) == ()
        device.answers["/getxml?location=/Status/SystemUnit/Uptime"] = [None]
        line.send(get(UPTIME))
        assert await line.hear(loop.time() + 0.05) == ()


async def test_what_is_asked_while_somebody_hears_is_asked_at_once(tmp_path):
    async with codec() as device, talking(device.configured(tmp_path)) as line, asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(line.hear(FOREVER))
        await asyncio.sleep(0)
        line.send(get(UPTIME))
        (reply,) = await hearing
        assert isinstance(reply, Reply)


def test_it_works_on_uvloop_as_well(tmp_path):
    async def story() -> None:
        async with codec() as device:
            async with talking(device.configured(tmp_path)) as line:
                assert await asked(line, get(UPTIME)) == ["1000"]
            wrong = device.configured(tmp_path, trust=Trust(fingerprint="sha256:" + "0" * 64))
            assert isinstance(await refused(wrong), CertificateRefused)

    uvloop.run(story())


# ── trust ──


async def test_nothing_is_sent_to_a_device_with_another_fingerprint(tmp_path):
    async with codec() as device:
        wrong = device.configured(tmp_path, trust=Trust(fingerprint="sha256:" + "0" * 64))
        assert isinstance(await refused(wrong), CertificateRefused)
        assert device.requests == []


async def test_a_pin_holds_for_each_new_line_of_a_conversation(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "KEEP_ALIVE_S", 0.0)
    seen: list[None] = []
    verify = trust.verify
    monkeypatch.setattr(trust, "verify", lambda *these: seen.append(verify(*these)))
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        await asked(line, get(UPTIME), get(UPTIME))
    assert len(seen) == len(device.requests) == 4  # begin, two, end


async def test_an_authority_vouches_for_its_devices_and_no_others(tmp_path):
    async with codec() as device, codec() as stranger:
        authority = trustme.CA()
        ca_file = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(ca_file))
        error = await refused(stranger.configured(tmp_path, trust=Trust(ca_file=ca_file)))
        assert isinstance(error, CertificateRefused)
        assert "certificate" in str(error)
        assert stranger.requests == []
        async with talking(device.configured(tmp_path, trust=Trust(unverified=True))) as line:
            assert await asked(line, get(UPTIME)) == ["1000"]


# ── sessions and the password ──


async def test_one_session_serves_all_and_is_ended(tmp_path):
    async with codec() as device:
        async with talking(device.configured(tmp_path)) as line:
            await asked(line, get(UPTIME), list_bookings(), get(UPTIME))
            assert len(device.sessions) == 1
        assert device.sessions == {}
        assert device.names[0], device.names[-1] == ("/xmlapi/session/begin", "/xmlapi/session/end")
        assert sum("Authorization" in head for head in device.heads) == 1


async def test_a_session_is_ended_whatever_ends_the_conversation(tmp_path):
    async with codec() as device:
        found = device.configured(tmp_path)
        with pytest.raises(KeyError):
            async with talking(found):
                raise KeyError
        assert device.sessions == {}
        device.answers["/getxml?location=/Status/SystemUnit/Uptime"] = [http(200, "<!DOCTYPE a><a/>")]
        assert isinstance(await refused(found), DeviceTalksNonsense)
        assert device.sessions == {}

        async def for_ever():
            async with talking(found) as line:
                device.answers["/getxml?location=/Status/SystemUnit/Uptime"] = [None]
                line.send(get(UPTIME))
                await line.hear(FOREVER)

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(for_ever())
            await device.until(lambda: device.names.count("/getxml?location=/Status/SystemUnit/Uptime") == 2)
            assert len(device.sessions) == 1
            task.cancel()
        assert device.sessions == {}


async def test_a_session_that_could_not_be_ended_is_ended_the_next_time(tmp_path):
    async with codec() as device:
        found, dial = device.configured(tmp_path), Http(pace=LinePace(close_within_s=0.05))
        device.answers["/xmlapi/session/end"] = [None]
        async with talking(found, dial):
            pass
        assert list(device.sessions) == ["SessionId=s1"]
        async with talking(found, dial):
            assert list(device.sessions) == ["SessionId=s2"]
        assert device.sessions == {}


async def test_a_session_that_the_device_forgot_is_begun_anew(tmp_path):
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        await asked(line, get(UPTIME))
        device.sessions.clear()
        assert await asked(line, get(UPTIME)) == ["1000"]
        assert list(device.sessions) == ["SessionId=s2"]


async def test_a_device_without_sessions_is_shown_the_password_each_time(tmp_path):
    async with codec() as device:
        device.has_sessions = False
        async with talking(device.configured(tmp_path)) as line:
            assert await asked(line, get(UPTIME), get(UPTIME)) == ["1000", "1000"]


async def test_the_sessions_cookie_is_known_by_its_name(tmp_path):
    async with codec() as device:
        device.cookies = "Set-Cookie: lang=en; Path=/\r\nSet-Cookie: SessionId=; Max-Age=0\r\n"
        async with talking(device.configured(tmp_path)) as line:
            await asked(line, get(UPTIME))
        assert device.sessions == {}
        assert [head.count("Cookie: SessionId=s1\r\n") for head in device.heads] == [0, 1, 1]


async def test_an_account_without_the_role_is_told_which_one_and_costs_no_login(tmp_path):
    async with codec() as device:
        device.answers["/xmlapi/session/begin"] = [http(403)]
        error = await refused(device.configured(tmp_path))
        assert not isinstance(error, PasswordRefused)
        assert "Admin" in error.mend


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 x\r\nSet-Cookie : SessionId=hush\r\n\r\n",
        b"HTTP/1.1 204 x\r\nSet-Cookie\r\n SessionId=hush\r\n\r\n",
        b"HTTP/1.1 204 x\r\nSet-Cookie: SessionId=hush\x00\r\n\r\n",
        b"SessionId=hush\r\n\r\n",
        b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\nSessionId=hush\r\n",
        b"HTTP/1.1 200 x\r\nContent-Length: SessionId=hush\r\n\r\n",
    ],
)
async def test_an_answer_that_is_no_http_is_not_quoted(tmp_path, head):
    async with codec() as device:
        device.answers["/xmlapi/session/begin"] = [head]
        error = await refused(device.configured(tmp_path))
        assert isinstance(error, DeviceTalksNonsense)
        assert "hush" not in str(error)
        assert "no HTTP" in str(error)


async def test_a_wrong_password_costs_one_login(tmp_path):
    for has_sessions in (True, False):
        async with codec() as device:
            device.has_sessions = has_sessions
            device.password = "another"
            error = await refused(device.configured(tmp_path))
            assert isinstance(error, PasswordRefused)
            assert error.logins == 1
            assert len(device.requests) == (1 if has_sessions else 2)


async def test_a_password_that_is_changed_is_refused_when_the_session_is_lost(tmp_path):
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        device.sessions.clear()
        device.password = "another"
        with pytest.raises(PasswordRefused) as caught:
            await asked(line, get(UPTIME))
        assert caught.value.logins == 1


async def test_neither_password_nor_session_is_in_a_log(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        await asked(line, get(UPTIME))
    for secret in ("secret", base64.b64encode(b"roomd:secret").decode(), "SessionId=s1"):
        assert secret not in caplog.text


async def test_what_is_not_allowed_is_refused_and_the_line_stands(tmp_path):
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        device.answers["/getxml?location=/Status/SystemUnit/Uptime"] = [http(403), http(400, "XML syntax")]
        forbidden, wrong, uptime = await asked(line, *[get(UPTIME)] * 3)
        assert isinstance(forbidden, Refusal)
        assert isinstance(wrong, Refusal)
        assert (forbidden.code, wrong.code, uptime) == (PERMISSION_DENIED, INVALID_PARAMETERS, "1000")


# ── what goes wrong ──


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(401), PasswordRefused),
        (http(403), AdminNeeded),
        (http(404), ServiceOff),
        (http(500), DeviceBooting),
        (http(502), DeviceBooting),
        (http(503), DeviceBusy),
        (http(301), DeviceTalksNonsense),
        (http(200, "<html>a printer</p>"), DeviceTalksNonsense),
        (http(200, "<Status>" + " " * (5 << 20)), DeviceTalksNonsense),
        (b"220 printer ready\r\n\r\n", DeviceTalksNonsense),
        (b"", DeviceUnreachable),
    ],
)
async def test_what_the_device_answers_says_what_to_do(tmp_path, answer, kind):
    async with codec() as device:
        for target in ("/xmlapi/session/begin", "/getxml?location=/Status/SystemUnit/Uptime"):
            device.answers[target] = [answer, b"", b""] if kind is DeviceUnreachable else [answer]
        assert type(await refused(device.configured(tmp_path))) is kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(http(502), DeviceBooting), (http(503), DeviceBusy), (b"", DeviceUnreachable)],
)
async def test_a_line_that_stood_breaks_for_the_same_reasons(tmp_path, answer, kind):
    async with codec() as device, contextlib.AsyncExitStack() as stack:
        line = await stack.enter_async_context(talking(device.configured(tmp_path)))
        await asked(line, get(UPTIME))
        device.answers["/getxml?location=/Status/SystemUnit/Uptime"] = [answer, answer]
        line.send(get(PEOPLE))
        line.send(get(UPTIME))
        (reply,) = await line.hear(FOREVER)  # what came before is heard first
        assert isinstance(reply, Reply)
        with pytest.raises(kind):
            await line.hear(FOREVER)


async def test_an_idle_line_that_the_device_closed_is_opened_anew(tmp_path):
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        await asked(line, get(UPTIME))
        device.answers["/getxml?location=/Status/SystemUnit/Uptime"] = [b""]  # asked, it hangs up
        assert await asked(line, get(UPTIME)) == ["1000"]


async def test_what_does_something_is_not_asked_twice(tmp_path):
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        device.answers["Bookings Book"] = [b""]
        line.send(Call(method="xCommand/Bookings/Book", params={}))
        with pytest.raises(DeviceUnreachable):
            await line.hear(FOREVER)
        assert device.names.count("Bookings Book") == 1


async def test_nobody_at_the_port_is_an_unreachable_device(tmp_path):
    async with codec() as device:
        found = device.configured(tmp_path)
    error = await refused(found)
    assert isinstance(error, DeviceUnreachable)
    assert str(error) == "nobody listens at its HTTPS port"


@pytest.mark.parametrize("tls", [True, False])
async def test_silence_is_an_unreachable_device(tmp_path, tls):
    async with door(itertools.repeat(b""), tls=tls) as (_, device):
        pace = LinePace(greet_within_s=0.1, close_within_s=0.1)
        assert isinstance(await refused(device.configured(tmp_path), Http(pace=pace)), DeviceUnreachable)


async def test_the_door_is_passed_when_the_device_answered_and_left_when_it_is_greeted(tmp_path):
    places = asyncio.Semaphore(1)
    async with codec() as device, codec() as other:
        async with Http()(device.configured(tmp_path), places):
            assert not places.locked()
        await places.acquire()
        dead = device.configured(tmp_path)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(entered(Http(), other.configured(tmp_path), places))
            await asyncio.sleep(0.05)
            assert not other.requests
            places.release()
            await waiting
        assert not places.locked()
        assert other.requests
    with pytest.raises(DeviceUnreachable):
        await entered(Http(), dead, places)


async def entered(dial, device, places):
    async with dial(device, places):
        pass


# ── being called back ──


async def test_all_that_is_subscribed_is_registered_together_in_one_slot(tmp_path):
    async with codec() as device, receiving() as receiver:
        dial = Http(receiver=receiver, poll_every_s=SELDOM)
        async with talking(device.configured(tmp_path), dial) as line:
            answers = await asked(line, *map(subscribe, (BOOKINGS, PEOPLE, ZONE)), get(UPTIME))
            assert answers == [{"Id": 1}, {"Id": 2}, {"Id": 3}, "1000"]
            assert device.names.count("HttpFeedback Register") == 1
            assert list(device.slots) == ["1"]
            assert device.expressions() == [
                "/Event/Bookings",
                "/Status/RoomAnalytics/PeopleCount",
                "/Configuration/Time/Zone",
            ]
            assert device.slots["1"]["URL"].startswith(receiver.url)
            more = await asked(line, subscribe(PRESENCE))
            assert more == [{"Id": 4}]
            assert len(device.expressions()) == 4
            gone = await asked(line, Call(method="xFeedback/Unsubscribe", params={"Id": 2}))
            assert gone == [True]
            assert "/Status/RoomAnalytics/PeopleCount" not in device.expressions()
        assert device.slots == {}
        assert device.sessions == {}


def test_there_are_four_slots():
    for slot in (0, 5):
        with pytest.raises(ValueError, match="slots"):
            Http(slot=slot)


@pytest.mark.parametrize(("firmware", "format_"), [("ce11.27.2.0.abc", "JSON"), ("something odd", "XML")])
async def test_what_the_device_posts_is_heard_in_either_format(tmp_path, firmware, format_):
    async with codec(firmware) as device, receiving() as receiver:
        dial = Http(receiver=receiver, slot=4, poll_every_s=SELDOM)
        async with talking(device.configured(tmp_path), dial) as line:
            await asked(line, subscribe(BOOKINGS), subscribe(PEOPLE))
            assert device.slots["4"]["Format"] == format_
            people = {"RoomAnalytics": {"PeopleCount": {"Current": "5"}}}
            start = {"Bookings": {"Start": {"Id": "webex-7"}}}
            assert await device.call_back("4", Status=people) == 200
            assert await device.call_back("4", Event=start) == 200
            assert await heard(line, 2) == [{"Status": people}, {"Event": start}]


@pytest.mark.parametrize(("firmware", "room"), [("ce11.27.2.0.abc", 15), ("ce26.1.1.2.abc", 50)])
async def test_there_is_room_for_so_many_subscriptions(tmp_path, firmware, room):
    async with codec(firmware) as device, receiving() as receiver:
        dial = Http(receiver=receiver, poll_every_s=SELDOM)
        async with talking(device.configured(tmp_path), dial) as line:
            calls = [subscribe(("Status", f"Node{number}")) for number in range(room + 2)]
            numbers = [line.send(call) for call in calls]
            answers: list[Any] = []
            while len(answers) < len(numbers):
                answers += await line.hear(FOREVER)
            full = [each for each in answers if isinstance(each, Refusal)]
            assert [each.id for each in full] == numbers[room:]
            assert {each.code for each in full} == {TOO_MANY_SUBSCRIPTIONS}
            assert len(device.expressions()) == room


async def test_an_expression_that_the_device_does_not_know_costs_no_other(tmp_path):
    async with codec() as device, receiving() as receiver:
        device.takes = lambda expression: expression != "/Status/RoomAnalytics/PeopleCount"
        dial = Http(receiver=receiver, poll_every_s=SELDOM)
        async with talking(device.configured(tmp_path), dial) as line:
            bookings, people, zone = await asked(line, *map(subscribe, (BOOKINGS, PEOPLE, ZONE)))
            assert bookings == {"Id": 1}
            assert zone == {"Id": 2}
            assert isinstance(people, Refusal)
            assert device.expressions() == ["/Event/Bookings", "/Configuration/Time/Zone"]


async def test_current_values_are_told_where_they_are_asked_for(tmp_path):
    async with codec() as device, receiving() as receiver:
        dial = Http(receiver=receiver, poll_every_s=SELDOM)
        async with talking(device.configured(tmp_path), dial) as line:
            line.send(
                Call(method="xFeedback/Subscribe", params={"Query": PEOPLE, "NotifyCurrentValue": True})
            )
            assert await heard(line) == [{"Status": {"RoomAnalytics": {"PeopleCount": {"Current": "3"}}}}]


async def subscribed_until(device, dial, happens):
    async with talking(device, dial) as line:
        await asked(line, subscribe(BOOKINGS))
        happens()
        await line.hear(FOREVER)


@pytest.mark.parametrize("how", ["failed", "forgotten"])
async def test_a_device_that_does_not_call_back_any_more_is_read_anew(tmp_path, how):
    async with codec() as device, receiving() as receiver:
        dial, found = Http(receiver=receiver, poll_every_s=OFTEN), device.configured(tmp_path)

        def happens() -> None:
            if how == "failed":
                device.slots["1"]["Status"] = "Failed"
            else:
                del device.slots["1"]

        with pytest.raises(DeviceUnreachable, match="read anew"):
            await subscribed_until(found, dial, happens)
        async with talking(found, dial) as line:
            await asked(line, subscribe(BOOKINGS))
            assert device.slots["1"]["URL"].startswith(receiver.url)


TMS = "https://tms:hush@tms.example.com/hush"


def taken(url: str = TMS, status: str = "OK") -> dict[str, Any]:
    return {"Expression": [], "Format": "XML", "Status": status, "URL": url}


async def test_what_another_system_takes_is_left_to_it(tmp_path):
    async with codec() as device, receiving() as receiver:
        dial, found = Http(receiver=receiver, poll_every_s=OFTEN), device.configured(tmp_path)
        with pytest.raises(DeviceUnreachable, match="read anew"):
            await subscribed_until(found, dial, lambda: device.slots.update({"1": taken()}))
        await polled(found, dial)
        assert device.slots == {"1": taken()}


async def test_what_another_system_took_since_the_last_look_is_not_taken_from_it(tmp_path):
    async with codec() as device, receiving() as receiver:
        async with talking(device.configured(tmp_path), Http(receiver=receiver, poll_every_s=SELDOM)) as line:
            await asked(line, subscribe(BOOKINGS))
            device.slots["1"] = taken()
        assert device.slots == {"1": taken()}


async def test_another_systems_slot_is_not_overwritten_and_it_is_said_whose_it_is(tmp_path):
    async with codec() as device, receiving() as receiver:
        device.slots["1"] = taken()
        dial, found = Http(receiver=receiver, poll_every_s=SELDOM), device.configured(tmp_path)
        async with talking(found, dial) as line:
            assert line.why is None
            with pytest.raises(BetterLine):
                await asked(line, subscribe(BOOKINGS))
        why = await polled(found, dial)
        assert "https://tms.example.com has its HttpFeedback slot 1" in why
        assert "hush" not in why
        assert device.slots == {"1": taken()}


@pytest.mark.parametrize("whose", ["ours of before", "ours from elsewhere", "given up", "nobody's"])
async def test_a_slot_that_is_ours_or_dead_is_taken(tmp_path, whose):
    async with codec() as device, receiving() as receiver:
        elsewhere = "http://127.0.0.1:9"
        receiver.urls.add(elsewhere)  # until a changed file moved the door
        before = {
            "ours of before": taken(f"{receiver.url}/anything"),
            "ours from elsewhere": taken(f"{elsewhere}/anything"),
            "given up": taken(status="Failed"),
            "nobody's": taken(""),
        }
        device.slots["1"] = before[whose]
        async with talking(device.configured(tmp_path), Http(receiver=receiver, poll_every_s=SELDOM)) as line:
            await asked(line, subscribe(BOOKINGS))
            assert device.slots["1"]["URL"].startswith(receiver.url)
            assert device.slots["1"]["URL"] != f"{receiver.url}/anything"
        assert device.slots == {}


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"\Ahttps?://[a-z@:\[\]%/.0-9]{0,20}\Z"))
def test_any_address_can_be_judged(address):
    assert len(place(address)) <= lines.PLACE_CHARACTERS
    assert not is_below(address, "https://roomd.example.com/feedback")


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("https://roomd.example.com/feedback/x", True),
        ("https://ROOMD.example.com:443/feedback/x", True),
        ("https://roomd.example.com/feedback2/x", False),
        ("https://roomd.example.com:8443/feedback/x", False),
        ("https://roomd.example.org/feedback/x", False),
    ],
)
def test_an_address_of_ours_is_known_however_it_is_written(address, ours):
    assert is_below(address, "https://roomd.example.com/feedback") is ours


async def test_a_restart_that_lost_session_and_registration_is_noticed_at_once(tmp_path):
    async with codec() as device, receiving() as receiver:
        dial = Http(receiver=receiver, poll_every_s=SELDOM)
        async with talking(device.configured(tmp_path), dial) as line:
            await asked(line, subscribe(BOOKINGS))
            device.sessions.clear()
            device.slots.clear()
            line.send(get(UPTIME))
            (reply,) = await line.hear(FOREVER)
            assert isinstance(reply, Reply)
            with pytest.raises(DeviceUnreachable, match="forgot"):
                await line.hear(FOREVER)


async def test_posts_that_cannot_be_read_or_heard_break_the_line(tmp_path, monkeypatch):
    async with codec() as device, receiving() as receiver:
        dial, found = Http(receiver=receiver, poll_every_s=SELDOM), device.configured(tmp_path)
        people = {"RoomAnalytics": {"PeopleCount": {"Current": "5"}}}
        async with talking(found, dial) as line:
            await asked(line, subscribe(PEOPLE))
            device.slots["1"]["Format"] = "JSON"
            monkeypatch.setattr(lines, "WAITING_BYTES", 2000)
            for _ in range(10):
                assert await device.call_back(Status=people) == 200
            assert len(await line.hear(FOREVER)) < 10  # what was heard before is heard
            with pytest.raises(DeviceUnreachable, match="faster"):
                await line.hear(FOREVER)
        monkeypatch.undo()
        async with talking(found, dial) as line:
            await asked(line, subscribe(PEOPLE))
            assert await device.call_back(Command={}) == 200
            with pytest.raises(DeviceTalksNonsense):
                await line.hear(FOREVER)
        assert device.sessions == {}


async def test_the_longest_post_is_heard_between_two_others(tmp_path):
    async with codec() as device, receiving() as receiver:
        dial = Http(receiver=receiver, poll_every_s=SELDOM)
        async with talking(device.configured(tmp_path), dial) as line:
            await asked(line, subscribe(PEOPLE))
            for length in (1, MAX_POST_BYTES - 1000, 1):
                assert await device.call_back(Status={"RoomAnalytics": {"Text": "x" * length}}) == 200
            assert len(await heard(line, 3)) == 3


async def test_a_post_that_overtakes_an_answer_is_not_followed_by_what_was_before(tmp_path):
    async with codec() as device, receiving() as receiver:
        dial = Http(receiver=receiver, poll_every_s=OFTEN)
        async with talking(device.configured(tmp_path), dial) as line:
            await asked(line, subscribe(PEOPLE), get(PEOPLE))
            device.count(4)  # which it does not tell

            async def meanwhile() -> None:
                device.count(5)
                await device.call_back(Status={"RoomAnalytics": {"PeopleCount": {"Current": "5"}}})

            device.meanwhile["/getxml?location=/Status/RoomAnalytics/PeopleCount"] = meanwhile
            for tree in await heard(line, 2):
                assert tree == {"Status": {"RoomAnalytics": {"PeopleCount": {"Current": "5"}}}}


async def test_a_device_that_does_not_say_whose_posts_they_are_is_looked_at(tmp_path):
    async with codec() as device, receiving() as receiver:
        dial, found = Http(receiver=receiver, poll_every_s=SELDOM), device.configured(tmp_path)
        people = {"RoomAnalytics": {"PeopleCount": {"Current": "5"}}}
        async with talking(found, dial) as line:
            await asked(line, subscribe(PEOPLE))
            assert await device.call_back(Status=people, serial=None) == 200
            with pytest.raises(BetterLine):
                await line.hear(FOREVER)
        assert device.slots == {}
        assert "serial number" in await polled(found, dial)


# ── being looked at ──


async def polled(device, dial) -> str:
    """Why it is looked at in the next conversation, which it is from its beginning."""
    async with talking(device, dial) as line:
        why = str(line.why)
        assert why.startswith("polling every ")
        await asked(line, subscribe(BOOKINGS))
        assert line.why == why
    return why


async def test_it_is_said_that_and_why_a_device_is_looked_at(tmp_path):
    async with codec() as device:
        found = device.configured(tmp_path)
        assert "[feedback]" in await polled(found, Http(poll_every_s=SELDOM))
        assert "cannot listen" in await polled(found, Http(receiver=Receiver(), poll_every_s=SELDOM))


async def test_after_some_time_a_device_that_was_looked_at_may_call_again(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "POLL_FOR_S", 4 * OFTEN)
    async with codec() as device, receiving() as receiver:
        dial, found = Http(receiver=receiver, poll_every_s=OFTEN), device.configured(tmp_path)
        device.takes = lambda _: False
        for _ in range(2):  # it does not, the second time
            with pytest.raises(BetterLine):
                async with talking(found, dial) as line:
                    await asked(line, subscribe(BOOKINGS))
            assert device.slots == {}
            async with talking(found, dial) as line, asyncio.timeout(5):
                assert line.why is not None
                await asked(line, subscribe(BOOKINGS))
                with pytest.raises(BetterLine, match="again"):
                    await line.hear(FOREVER)
        device.takes = lambda _: True
        async with talking(found, dial) as line:
            assert line.why is None
            await asked(line, subscribe(BOOKINGS))
            assert list(device.slots) == ["1"]


async def test_a_device_that_quotes_where_it_should_call_gives_nothing_away(tmp_path):
    async with codec() as device, receiving() as receiver:
        dial, found = Http(receiver=receiver, poll_every_s=SELDOM), device.configured(tmp_path)
        register = device.put

        def quotes(body: bytes) -> bytes:
            url = (
                xmltodict.parse(body)["Command"].get("HttpFeedback", {}).get("Register", {}).get("ServerUrl")
            )
            return failed("HttpFeedbackRegisterResult", f"Illegal value {url}") if url else register(body)

        device.put = quotes
        with pytest.raises(BetterLine):
            async with talking(found, dial) as line:
                await asked(line, subscribe(BOOKINGS))
        why = await polled(found, dial)
        assert f"Illegal value {receiver.url}/…" in why


async def test_a_device_that_cannot_call_back_is_looked_at(tmp_path):
    async with codec() as device:
        dial = Http(poll_every_s=OFTEN)
        async with talking(device.configured(tmp_path), dial) as line:
            answers = await asked(line, *map(subscribe, (BOOKINGS, PEOPLE, PRESENCE)))
            assert answers == [{"Id": 1}, {"Id": 2}, {"Id": 3}]
            await asked(line, get(("Status", "RoomAnalytics")), list_bookings())
            assert device.slots == {}
            looked = device.names.count("Bookings List")
            await device.until(lambda: device.names.count("Bookings List") >= looked + 2)
            assert await line.hear(0) == ()  # nothing changed, so nothing is told
            device.count(7)
            assert await heard(line) == [{"Status": {"RoomAnalytics": {"PeopleCount": {"Current": "7"}}}}]
            device.listing = [{"Id": "a", "Time": {"StartTime": "x", "EndTime": "y"}}]
            assert await heard(line) == [{"Event": {"Bookings": {"Updated": {}}}}]
            del device.tree["Status"]["RoomAnalytics"]["PeoplePresence"]
            assert await heard(line) == [{"Status": {"RoomAnalytics": {"PeoplePresence": {"ghost": "True"}}}}]


async def test_configuration_is_looked_at_now_and_then(tmp_path):
    async with codec() as device:
        dial = Http(poll_every_s=OFTEN / 5)
        async with talking(device.configured(tmp_path), dial) as line:
            await asked(line, subscribe(ZONE), get(ZONE))
            device.tree["Configuration"]["Time"]["Zone"] = "Europe/Oslo"
            assert await heard(line) == [{"Configuration": {"Time": {"Zone": "Europe/Oslo"}}}]


async def test_what_cannot_be_looked_up_is_refused(tmp_path):
    prompt = ("Event", "UserInterface", "Message", "Prompt")
    async with codec() as device, talking(device.configured(tmp_path)) as line:
        bookings, prompted = await asked(line, subscribe(BOOKINGS), subscribe(prompt))
        assert bookings == {"Id": 1}
        assert isinstance(prompted, Refusal)


async def test_a_device_that_takes_no_registration_is_looked_at(tmp_path):
    for how in ("refuses", "forgets", "forbids"):
        async with codec() as device, receiving() as receiver:
            if how == "refuses":
                device.takes = lambda _: False
            device.keeps = how != "forgets"
            if how == "forbids":
                device.answers["HttpFeedback Register"] = [http(403)]
            dial, found = Http(receiver=receiver, poll_every_s=OFTEN), device.configured(tmp_path)
            with pytest.raises(BetterLine):
                async with talking(found, dial) as line:
                    await asked(line, subscribe(BOOKINGS))
            async with talking(found, dial) as line:
                assert "cannot be told to call back" in str(line.why)
                calls = (subscribe(BOOKINGS), subscribe(PEOPLE), get(PEOPLE))
                assert await asked(line, *calls) == [{"Id": 1}, {"Id": 2}, {"Current": "3"}]
                device.count(7)
                assert await heard(line) == [{"Status": {"RoomAnalytics": {"PeopleCount": {"Current": "7"}}}}]


async def test_a_device_whose_calls_do_not_arrive_is_looked_at(tmp_path):
    async with codec() as device, receiving() as receiver:
        dial, found = Http(receiver=receiver, poll_every_s=OFTEN / 5), device.configured(tmp_path)

        async def changes_and_does_not_tell() -> None:
            for people in itertools.count(4):
                device.count(people)
                looked = device.names.count("Bookings List")
                await device.until(lambda looked=looked: device.names.count("Bookings List") > looked)

        async with talking(found, dial) as line, asyncio.TaskGroup() as tasks:
            await asked(line, subscribe(BOOKINGS), subscribe(PEOPLE))
            assert list(device.slots) == ["1"]
            changing = tasks.create_task(changes_and_does_not_tell())
            assert len(await heard(line, 2)) >= 2  # what was found is told, and then it ends
            with pytest.raises(BetterLine, match="nothing arrives"):
                await until_it_ends(line)
            changing.cancel()
        assert device.slots == {}
        assert "TlsVerify" in await polled(found, dial)  # and it is known the next time
        assert device.slots == {}
        dial.forget(found.id)
        async with talking(found, dial) as line:
            await asked(line, subscribe(BOOKINGS), subscribe(PEOPLE))
            assert list(device.slots) == ["1"]


async def test_a_device_that_gives_up_twice_without_one_post_is_looked_at(tmp_path):
    async with codec() as device, receiving() as receiver:
        dial, found = Http(receiver=receiver, poll_every_s=OFTEN), device.configured(tmp_path)
        for _ in range(2):
            with pytest.raises(DeviceUnreachable, match="gave up"):
                await subscribed_until(found, dial, lambda: device.slots["1"].update(Status="Failed"))
        device.slots.clear()
        async with talking(found, dial) as line:
            await asked(line, subscribe(BOOKINGS))
            assert device.slots == {}


# ── differences ──


def test_only_what_is_different_is_told():
    before = {"Mode": "Off", "LocalInstance": [{"id": 1, "Source": "2"}, {"id": 2, "Source": "3"}], "A": "1"}
    after = {"Mode": "Off", "LocalInstance": [{"id": 2, "Source": "4"}, {"id": 3, "Source": "5"}]}
    assert difference(before, before) is None
    assert difference(before, after) == {
        "LocalInstance": [{"Source": "4", "id": 2}, {"Source": "5", "id": 3}, {"ghost": "True", "id": 1}],
        "A": {"ghost": "True"},
    }
    assert difference(None, {"A": "1"}) == {"A": "1"}
    assert difference({"A": "1"}, None) == {"ghost": "True"}
    assert difference("1", "2") == "2"
    assert difference(["a"], ["b"]) == ["b"]
    assert difference([{"id": 1}, {"id": 2}], [{"id": 2}, {"id": 1}]) is None


TREES = st.recursive(
    st.sampled_from(["0", "1"]),
    lambda below: (
        st.dictionaries(st.sampled_from("AB"), below, max_size=2)
        | st.dictionaries(st.integers(1, 3), st.dictionaries(st.sampled_from("AB"), below), max_size=2).map(
            lambda members: [{**body, "id": number} for number, body in members.items()]
        )
    ),
    max_leaves=8,
)


def patched(before: Json, told: Json) -> Json:
    """What somebody knows who knew `before` and is told a difference; in the order of ids."""
    if told is None:
        return before
    if isinstance(told, dict):
        if told.get("ghost") == "True":
            return None
        known = before if isinstance(before, dict) else {}
        both = {name: patched(known.get(name), told.get(name)) for name in {**known, **told}}
        return {name: value for name, value in both.items() if value is not None}
    if isinstance(told, list) and isinstance(before, list):
        members = {each["id"]: each for each in before}
        for each in told:
            members[each["id"]] = patched(members.get(each["id"]), each)
        return [members[number] for number in sorted(members) if members[number] is not None]
    return told


def in_order(tree: Json) -> Json:
    if isinstance(tree, dict):
        return {name: in_order(below) for name, below in tree.items()}
    if isinstance(tree, list):
        return [in_order(each) for each in sorted(tree, key=lambda each: each["id"])]
    return tree


@settings(max_examples=200, deadline=None)
@given(TREES, TREES)
def test_who_is_told_the_difference_knows_what_is(before, after):
    told = difference(before, after)
    if type(before) is type(after):
        assert in_order(patched(before, told)) == in_order(after)


# ── a link over it ──


@contextlib.asynccontextmanager
async def hearing(device, dial):
    ear = Ear()
    fleet = Fleet([device], ear.deliver, dial=dial, luck=lambda: 0.5, patience=IMPATIENT)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(fleet.run(), name="fleet")
        yield ear
        running.cancel()


async def test_a_link_hears_a_device_that_calls_back_and_one_that_is_looked_at(tmp_path):
    for polled in (False, True):
        async with codec() as device, receiving() as receiver:
            device.listing = [
                {"Id": "a", "Time": {"StartTime": "2026-03-02T09:00:00Z", "EndTime": "2026-03-02T09:30:00Z"}}
            ]
            dial = Http(receiver=None if polled else receiver, poll_every_s=OFTEN)
            async with hearing(device.configured(tmp_path), dial) as ear:
                listed = await ear.until_heard(BookingsListed)
                connected, values = ear.of(DeviceConnected)[0], ear.of(CurrentValuesRead)[0]
                assert (connected.transport, connected.serial, connected.uptime_s) == ("http", "FOC1", 1000)
                assert (values.people, values.presence, values.calls, values.sharing) == (3, True, 0, False)
                assert [each.booking_id for each in listed.bookings] == ["a"]
                device.count(5)
                device.listing = []
                if not polled:
                    await device.call_back(Event={"Bookings": {"Updated": ""}})
                    await device.call_back(Status={"RoomAnalytics": {"PeopleCount": {"Current": "5"}}})
                await ear.until_heard(BookingsTouched)
                assert (await ear.until_heard(PeopleCounted)).people == 5
            assert device.sessions == {}
            assert device.slots == {}


async def test_a_link_whose_device_does_not_take_a_registration_says_so_and_loses_nothing(tmp_path):
    async with codec() as device, receiving() as receiver:
        device.takes = lambda _: False
        dial = Http(receiver=receiver, poll_every_s=OFTEN)
        async with hearing(device.configured(tmp_path), dial) as ear:
            await ear.until_heard(BookingsListed)
            (connected,) = ear.of(DeviceConnected)
            assert "cannot be told to call back" in str(connected.transport_why)
            assert not ear.of(DeviceLost)
            device.count(5)
            assert (await ear.until_heard(PeopleCounted)).people == 5
        assert device.sessions == {}


async def test_a_link_whose_registration_is_lost_reads_all_anew(tmp_path):
    async with codec() as device, receiving() as receiver:
        dial = Http(receiver=receiver, poll_every_s=OFTEN)
        async with hearing(device.configured(tmp_path), dial) as ear:
            await ear.until_heard(BookingsListed)
            device.slots.clear()
            assert "forgot" in (await ear.until_heard(DeviceLost)).why
            await ear.until_heard(DeviceConnected, times=2)
            await ear.until_heard(BookingsListed, times=2)


# ── a simulated site ──


@pytest.mark.parametrize("version", ALL_VERSIONS.values())
async def test_the_same_comes_out_as_over_websocket(tmp_path, version):
    async with Site(profile=version) as site, receiving() as receiver:
        simulated = site.devices[0]
        simulated.offer(websocket=True)  # CE 9 comes with it switched off
        simulated.book_in_outlook("Weekly", duration_min=45)
        simulated.count_people(3)
        found = configured(simulated, tmp_path)
        told = []
        for dial in (WebSockets(), Http(receiver=receiver, poll_every_s=SELDOM), Http(poll_every_s=SELDOM)):
            async with hearing(found, dial) as ear:
                listed = await ear.until_heard(BookingsListed)
                connected, values = ear.of(DeviceConnected)[0], ear.of(CurrentValuesRead)[0]
                told.append(
                    (
                        replace(connected, transport="", transport_why=None, uptime_s=None),
                        values,
                        listed.bookings,
                    )
                )
            assert not simulated.sessions
        assert told[1] == told[0]
        polled = told[2][0]
        assert polled.shortcomings == (*told[0][0].shortcomings, ANSWERS_UNHEARD)
        as_others = replace(polled, shortcomings=told[0][0].shortcomings, hears_answers=True)
        assert (as_others, *told[2][1:]) == told[0]


@pytest.mark.parametrize("version", ALL_VERSIONS.values())
@pytest.mark.parametrize("polled", [False, True])
async def test_a_day_is_heard_over_http(tmp_path, version, polled):
    async with Site(profile=version) as site, receiving() as receiver:
        simulated = site.devices[0]
        dial = Http(receiver=None if polled else receiver, poll_every_s=OFTEN if polled else SELDOM)
        async with hearing(configured(simulated, tmp_path), dial) as ear:
            await ear.until_heard(BookingsListed)
            simulated.count_people(4)
            await ear.until(lambda: any(each.people == 4 for each in ear.of(PeopleCounted)))
            simulated.start_call()
            await ear.until(lambda: any(each.calls == 1 for each in ear.of(CallsCounted)))
            simulated.share()
            await ear.until(lambda: any(each.sharing for each in ear.of(SharingSensed)))
            simulated.stop_sharing()
            await ear.until(lambda: ear.of(SharingSensed)[-1].sharing is False)
            simulated.book_in_outlook("Weekly")
            if polled or version.startswith(("9.", "10.", "11.14")):
                await ear.until_heard(BookingsTouched)
            else:
                await ear.until_heard(BookingCreated)
            assert not ear.of(DeviceLost)
        assert not simulated.sessions
        assert simulated.subscriptions == 0


async def test_a_restart_loses_nothing_for_ever(tmp_path):
    async with Site() as site, receiving() as receiver:
        simulated = site.devices[0]
        dial = Http(receiver=receiver, poll_every_s=OFTEN)
        async with hearing(configured(simulated, tmp_path), dial) as ear:
            await ear.until_heard(BookingsListed)
            simulated.reboot(0.1, answers="502")
            await ear.until_heard(DeviceConnected, times=2)
            await ear.until_heard(BookingsListed, times=2)
            simulated.count_people(6)
            await ear.until(lambda: any(each.people == 6 for each in ear.of(PeopleCounted)))
        assert not simulated.sessions


@pytest.mark.parametrize("junk", ["huge", "binary", "text", "deep", "array", "truncated", "unknown_reply"])
async def test_junk_ends_one_conversation_and_no_more(tmp_path, junk):
    async with Site() as site, receiving() as receiver:
        simulated = site.devices[0]
        dial = Http(receiver=receiver, poll_every_s=OFTEN)
        async with hearing(configured(simulated, tmp_path), dial) as ear:
            await ear.until_heard(BookingsListed)
            simulated.send_junk(junk)
            await ear.until_heard(DeviceConnected, times=2)
            simulated.count_people(6)
            await ear.until(lambda: any(each.people == 6 for each in ear.of(PeopleCounted)))
        assert not simulated.sessions


async def test_a_line_may_be_left_at_any_moment_and_its_session_is_ended(tmp_path):
    """The library keeps its connection for busy, if a request is given up in the wrong moment."""
    async with codec() as device:
        for moments in range(30):
            async with talking(device.configured(tmp_path)) as line:
                line.send(get(UPTIME))
                for _ in range(moments):
                    await asyncio.sleep(0)
            assert device.requests[-1][0] == "/xmlapi/session/end"


async def test_another_device_that_found_the_address_is_not_believed(tmp_path):
    async with Site() as site, receiving() as receiver:
        simulated = site.devices[0]
        dial = Http(receiver=receiver, poll_every_s=OFTEN)
        async with hearing(configured(simulated, tmp_path), dial) as ear:
            await ear.until_heard(BookingsListed)
            simulated.slots.post_as_stranger()
            await ear.until_heard(DeviceConnected, times=2)  # as it was answered with an error
            assert receiver.callers.impostors == 1
            assert not any(each.people == 99 for each in ear.of(PeopleCounted))


async def test_too_many_sessions_are_a_busy_device(tmp_path):
    async with Site() as site:
        simulated = site.devices[0]
        simulated.fault(sessions_exhausted=True)
        assert isinstance(await refused(configured(simulated, tmp_path)), DeviceBusy)


# ── calls over TLS ──


def receiving_over_tls(directory, authority):
    identity = authority.issue_cert("127.0.0.1")
    certificate = directory / "receiver.pem"
    certificate.write_bytes(identity.private_key_and_cert_chain_pem.bytes())
    return receiving(certificate=certificate)


async def test_a_device_calls_back_over_tls_where_it_believes_the_certificate(tmp_path):
    authority = trustme.CA()
    async with Site() as site, receiving_over_tls(tmp_path, authority) as receiver:
        site.trust(authority.cert_pem.bytes().decode())
        simulated = site.devices[0]
        assert simulated.config("HttpFeedback", "TlsVerify") == "On"
        dial = Http(receiver=receiver, poll_every_s=SELDOM)
        async with hearing(configured(simulated, tmp_path), dial) as ear:
            await ear.until_heard(BookingsListed)
            assert ear.of(DeviceConnected)[0].transport_why is None
            simulated.count_people(6)
            await ear.until(lambda: any(each.people == 6 for each in ear.of(PeopleCounted)))
        assert receiver.callers.posts


async def test_a_device_that_does_not_believe_the_certificate_is_looked_at(tmp_path):
    async with Site() as site, receiving_over_tls(tmp_path, trustme.CA()) as receiver:
        simulated = site.devices[0]
        simulated.slots.retry_rest_s = 0.01
        dial = Http(receiver=receiver, poll_every_s=OFTEN)
        async with hearing(configured(simulated, tmp_path), dial) as ear:
            for people in itertools.count(5):
                await ear.until_heard(BookingsListed, times=len(ear.of(DeviceConnected)) or 1)
                simulated.count_people(people)
                await ear.until(lambda people=people: any(e.people == people for e in hears(ear)))
                if why := ear.of(DeviceConnected)[-1].transport_why:
                    break
            assert "TlsVerify" in why
        assert not receiver.callers.posts


def hears(ear):
    return [*ear.of(PeopleCounted), *ear.of(CurrentValuesRead)]
