"""Throws what no device says at one of the parsers, for a while: it reads, or says that it cannot.

`python -m tests.prove.fuzz "JSON-RPC" --seed 1 --seconds 20` prints how much was thrown, and exits with 1 and
what did it when a parser broke, took too long over one input, or kept too much.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from agent.core.model import DeviceId, RoomId, SensorId
from device_adapters.receiver import read_post
from device_adapters.sensors import shapes
from device_adapters.sensors.ear import Ear
from device_adapters.sensors.shapes import Discovery
from device_adapters.xapi import requests, xml
from device_adapters.xapi.jsonrpc import JsonRpc
from device_adapters.xapi.messages import Feedback, Refusal, Reply, Unintelligible, XapiMessage
from device_adapters.xapi.translate import Translator
from device_adapters.xapi.tshell import TShell

ROOM: Final = 2 << 30  # bytes of address space: who asks for more gets MemoryError
GROWS_BY_AT_MOST: Final = 64 << 20  # bytes, between the first round and the last
ENDLESS: Final = 6 << 20  # bytes of one thing without an end
CHUNK: Final = 1 << 16
ONE_INPUT_MS: Final = 3_000
A_ROUND: Final = 400  # inputs
ENDLESS_WITHIN_S: Final = 30.0

# ── what is thrown ────────────────────────────────────────────────────────────────────────────────

WELCOME: Final = (
    b"\r\nWelcome to Heron\r\nCisco Codec Release RoomOS 11.23.1.8 3963b07b5c5\r\n"
    b"SW Release Date: 2024-12-12\r\n*r Login successful\r\n\r\nOK\r\n\r\nLast login from 10.0.0.1\r\n"
)
OLD_WELCOME: Final = (
    b"\nWelcome to Heron\nCisco Codec Release ce 9.15.17.4 1a2b3c4d5e6\n*r Login successful\n\nOK\n\n"
)
ECHO_OFF: Final = b"\x1b[?1034h\r\nOK\r\n\r\n"
IN_JSON: Final = b'{"Status":{"SystemUnit":{"Uptime":{"Value":"29038"}}},"ResultId":"roomd-json"}\n'
NOT_IN_JSON: Final = (
    b'\nCommand not recognized.\n*s SystemUnit Uptime: 29038\n** resultId: "roomd-json"\n** end\n\nOK\n'
)
IN_XML: Final = (
    b'<XmlDoc resultId="roomd-xml">\n<Status><SystemUnit item="1"><Uptime item="1">29038</Uptime>'
    b"</SystemUnit></Status></XmlDoc>\n"
)
TOLD_IN_JSON: Final = (
    b'{\r\n "Event":{"Bookings":{"Start":{"Id":{"Value":"w-7","id":"1"},"id":"1"},"id":"1"},"id":"1"}}\r\n',
    b'{"Status":{"RoomAnalytics":{"PeopleCount":{"Current":{"Value":"4"}}}}}\n',
    b'{"Status":{"Conference":{"Presentation":{"LocalInstance":[{"id":"2","ghost":"True"}]}}}}\n',
    (
        b'{"CommandResponse":{"BookingsListResult":{"status":"OK","Booking":[{"id":"1","Id":{"Value":"w-1"},'
        b'"Time":{"StartTime":{"Value":"2026-03-02T10:00:00Z"},"EndTime":{"Value":"2026-03-02T11:00Z"}}}]}},'
        b'"ResultId":"2"}\n'
    ),
    b'{"CommandResponse":{"XResult":{"status":"Error","Reason":{"Value":"} ** end"}}},"ResultId":"3"}\n',
    b"Command not recognized.\n",
    b'{"Value":"a leaf and no tree"}\n',
    b"/Event/Bookings\n** end\n",
)
TOLD_IN_XML: Final = (
    b'<Event>\n<Bookings item="1"><Updated item="1"/></Bookings></Event>\n',
    b"<Status>\n<RoomAnalytics><PeopleCount><Current>4</Current></PeopleCount></RoomAnalytics></Status>\n",
    (
        b'<Status><Conference><Presentation><LocalInstance item="2" ghost="True"/></Presentation>'
        b"</Conference></Status>\n"
    ),
    (
        b'<?xml version="1.0"?>\n<XmlDoc resultId="2"><Command><BookingsListResult status="OK">'
        b'<Booking item="1"><Id>webex-1</Id><Title>&lt;b&gt; &amp; ]]&gt;</Title></Booking>'
        b"</BookingsListResult></Command></XmlDoc>\n"
    ),
    (
        b'<XmlDoc resultId="3"><Status status="Error"><Reason>No match</Reason><XPath>X</XPath></Status>'
        b"</XmlDoc>\n"
    ),
    b'<Command><X status="Error"><![CDATA[</X>]]></X></Command>',
)
FRAMES: Final = (
    b'{"jsonrpc":"2.0","id":1,"result":{"Status":{"Uptime":5}}}',
    b'{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"No match","data":{}}}',
    b'{"jsonrpc":"2.0","method":"xFeedback/Event","params":{"Id":1,"Event":{"Bookings":{"Updated":{"id":1}}}}}',
    (
        b'{"jsonrpc":"2.0","method":"xFeedback/Event","params":{"Status":{"RoomAnalytics":{"PeopleCount":'
        b'{"Current":-1}}}}}'
    ),
    b'[{"id":1,"result":null},{"id":2,"result":[]}]',
)
POSTS: Final = (
    (
        b'{"Status":{"Identification":{"SerialNumber":{"Value":"FOC1"}},"RoomAnalytics":{"PeopleCount":'
        b'{"Current":{"Value":"4"}}}}}'
    ),
    b'{"Event":{"Identification":{"SerialNumber":{"Value":"FOC1"}},"Bookings":{"Updated":{"id":"1"},"id":"1"}}}',
    (
        b"<Status><Identification><SerialNumber>FOC1</SerialNumber></Identification><RoomAnalytics><PeopleCount>"
        b"<Current>4</Current></PeopleCount></RoomAnalytics></Status>"
    ),
)
NOISE: Final = b"a line of text that means nothing to anybody\n"
PIECES: Final = (
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u", b":", b",", b"null", b"1e999", b"-", b'"id":"1"', b"\x00"),
    *(b"<", b">", b"</", b"/>", b"<a>", b"</a>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"&", b"&#0;"),
    *(b"<!DOCTYPE a [<!ENTITY b 'bbbbbbbb'><!ENTITY c '&b;&b;&b;&b;'>]>", b"&c;", b"<?xml version='1.0'?>"),
    *(
        b"\n",
        b"\r\n",
        b"OK\n",
        b"ERROR\n",
        b"** end\n",
        b"\x1b[?1034h",
        b"\x1b[",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
    ),
    *(
        b'"ResultId":"1"',
        b'resultId="1"',
        b' status="Error"',
        b' item="1"',
        b' ghost="True"',
        b"*e Bookings\n",
    ),
    *(b"[" * 3_000, b'{"a":' * 3_000, b"<a>" * 3_000, b"9" * 5_000, b" " * 70_000, b"\xc3"),
)


@st.composite
def damaged(draw: st.DrawFn, whole: Sequence[bytes]) -> bytes:
    """What a device could say, with something cut out, doubled, put in, or turned."""
    said = bytearray(b"".join(draw(st.lists(st.sampled_from(whole), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 5))):
        begin = draw(st.integers(0, len(said)))
        end = min(len(said), begin + draw(st.integers(0, 40)))
        match draw(st.integers(0, 4)):
            case 0:
                del said[begin:end]
            case 1:
                said[begin:begin] = said[begin:end] * draw(st.integers(1, 30))
            case 2:
                said[begin:begin] = draw(st.sampled_from(PIECES))
            case 3:
                said[begin:end] = draw(st.binary(max_size=12))
            case _:
                said = said[:begin]
    return bytes(said)


def cut(data: bytes, ends: Iterable[int]) -> Iterator[bytes]:
    """In pieces, as a network might."""
    places = [0, *sorted(end % (len(data) + 1) for end in ends), len(data)]
    yield from (data[begin:end] for begin, end in itertools.pairwise(places))


PUBLISHED: Final = (
    b'{"battery":100,"linkquality":18,"occupancy":true,"last_seen":"2026-03-02T09:00:00+01:00"}',
    b'{"people":4,"presence":"none","last_seen":1772442000000}',
    b'{"state":"online"}',
    b"offline",
    b"3.0",
    b"unavailable",
    b'{"~":"a/b","stat_t":"~/s","val_tpl":"{{ value_json.zones[0].seen }}","pl_on":true,"avty_t":"~/lwt"}',
    b'{"cmps":{"one":{"p":"sensor","val_tpl":"{{value_json.n|int}}"}},"state_topic":"x","availability":[{"t":"y"}]}',
)


# ── who it is thrown at ───────────────────────────────────────────────────────────────────────────

Reader = Callable[[Iterable[bytes]], None]  # raises Unintelligible where it cannot read, and nothing else


def translated(messages: Iterable[XapiMessage], translator: Translator) -> None:
    for message in messages:
        assert isinstance(message, Reply | Refusal | Feedback)
        if isinstance(message, Feedback):
            translator.heard(message)


def by_json_rpc(pieces: Iterable[bytes]) -> None:
    protocol, translator = JsonRpc(), Translator(DeviceId("codec"))
    translated(protocol.receive(b"".join(pieces)), translator)


def by_shell(*greeting: bytes) -> Reader:
    def read(pieces: Iterable[bytes]) -> None:
        shell, translator = TShell(), Translator(DeviceId("codec"))
        for said in greeting:
            shell.receive(said)
            shell.to_send()
        shell.call(requests.get(requests.UPTIME))
        shell.call(requests.list_bookings())
        shell.call(requests.subscribe(("Event", "Bookings")))
        for piece in pieces:
            translated(shell.receive(piece), translator)
            shell.to_send()
            shell.audit()
        shell.give_up_audit()

    return read


def by_xml(pieces: Iterable[bytes]) -> None:
    tree = xml.read(b"".join(pieces))
    xml.fault(tree)
    translated([Feedback(tree)], Translator(DeviceId("codec")))


def by_post(pieces: Iterable[bytes]) -> None:
    _, tree = read_post(b"".join(pieces))
    translated([Feedback(tree)], Translator(DeviceId("codec")))


ROOM_OF_SENSORS: Final = RoomId("fjord")
ANNOUNCED_AT: Final = "homeassistant/binary_sensor/fjord/config"
SENSORS: Final = (
    shapes.zigbee2mqtt(SensorId("bridged"), ROOM_OF_SENSORS, "fjord"),
    shapes.home_assistant(SensorId("entity"), ROOM_OF_SENSORS, "sensor.fjord_people"),
    shapes.discovered(SensorId("announced"), ROOM_OF_SENSORS, Discovery(topic=ANNOUNCED_AT)),
)


def by_sensors(pieces: Iterable[bytes]) -> None:
    """At every topic: what is announced may have others."""
    ear, payload = Ear(SENSORS), b"".join(pieces)
    for topic in (*ear.topics, *ear.hear(ANNOUNCED_AT, payload, kept=True).subscribe):
        ear.hear(topic, payload, kept=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A parser, and what is thrown at it."""

    read: Reader
    whole: Sequence[bytes]
    endless: Sequence[bytes] = ()  # said over and over to one conversation


TARGETS: Final[Mapping[str, Target]] = {
    "JSON-RPC": Target(read=by_json_rpc, whole=FRAMES),
    "shell JSON": Target(
        read=by_shell(WELCOME, ECHO_OFF, IN_JSON),
        whole=(*TOLD_IN_JSON, *TOLD_IN_XML[:1]),
        endless=(b'{"a":', b"{" + b" " * 99, b'"', b"x", NOISE, TOLD_IN_JSON[1], b"\x1b[0"),
    ),
    "shell XML": Target(
        read=by_shell(OLD_WELCOME, ECHO_OFF, NOT_IN_JSON, IN_XML),
        whole=(*TOLD_IN_XML, *TOLD_IN_JSON[:1]),
        endless=(b"<a>", b"<a", b"<!--", NOISE, TOLD_IN_XML[1], b"<Event>" + b"y" * 99),
    ),
    "banners": Target(
        read=by_shell(),
        whole=(WELCOME, OLD_WELCOME, ECHO_OFF, IN_JSON, NOT_IN_JSON, IN_XML, b"login: ", b"$ "),
        endless=(NOISE, b"\x1b[1m", b"OK\n" + NOISE, b"{", b"no end "),
    ),
    "XML": Target(read=by_xml, whole=TOLD_IN_XML),
    "posts": Target(read=by_post, whole=POSTS),
    "sensors": Target(read=by_sensors, whole=PUBLISHED),
}


# ── throwing ──────────────────────────────────────────────────────────────────────────────────────


def peak() -> int:
    """The most that this process has had in memory, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def a_round(target: Target, number: int) -> None:
    """Some hundred inputs, others for each number."""

    @seed(number)
    @settings(
        max_examples=A_ROUND,
        deadline=ONE_INPUT_MS,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(target.whole), st.lists(st.integers(0, 1 << 20), max_size=6))
    def thrown(said: bytes, ends: list[int]) -> None:
        with contextlib.suppress(Unintelligible):
            target.read(cut(said, ends))

    thrown()


def without_end(target: Target, what: bytes) -> None:
    """One thing over and over: it is given up, or goes by without being kept."""
    many = what * (CHUNK // len(what) + 1)
    began_s, before = time.process_time(), peak()  # others may be at work as well
    with contextlib.suppress(Unintelligible):
        target.read(many for _ in range(ENDLESS // len(many)))
    lasted_s, grown = time.process_time() - began_s, peak() - before
    assert lasted_s < ENDLESS_WITHIN_S, f"{what[:40]!r} without an end took {lasted_s:.0f} s of CPU"
    assert grown < GROWS_BY_AT_MOST, f"{what[:40]!r} without an end took {grown >> 20} MiB"


def throw(target: Target, *, first: int, seconds: float) -> dict[str, Any]:
    """For so long; what was thrown. Raises what a parser raised."""
    until = time.monotonic() + seconds
    for what in target.endless:
        without_end(target, what)
    a_round(target, first)
    settled, rounds = peak(), 1
    while time.monotonic() < until:
        a_round(target, first + rounds)
        rounds += 1
    grown = peak() - settled
    assert grown < GROWS_BY_AT_MOST, f"{rounds} rounds took {grown >> 20} MiB more than the first"
    return {"inputs": rounds * A_ROUND + len(target.endless), "grown_mib": round(grown / (1 << 20), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.prove.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    thrown = throw(TARGETS[options.target], first=options.seed * 1_000_000, seconds=options.seconds)
    sys.stdout.write(json.dumps(thrown) + "\n")


if __name__ == "__main__":
    main()
