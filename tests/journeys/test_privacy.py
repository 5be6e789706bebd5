"""Words that would betray a meeting, wherever roomd might leave them: only their reader may find them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from joserfc import jwe
from joserfc.jwk import ECKey

from tests.brokers import BadLine, Mosquitto
from tests.brokers.crew import Crew
from tests.brokers.ports import free_port
from tests.installation import Installation, install
from tests.prove.clouds import Clouds, Linked, Service, clouds
from tests.prove.daemon import Roomd
from tests.prove.recorder import Recorder
from tests.simulator.bookings import Organizer
from tests.simulator.device import Device
from tests.simulator.site import Site

pytestmark = pytest.mark.slow

MODES: Final = ("sealed", "dropped", "plain")
SEEN_WITHIN_S: Final = 30.0  # asyncio's own checks are on, and slow
READER: Final = ECKey.generate_key("P-256", {"kid": "reader"})
NEXT_READER: Final = ECKey.generate_key("P-256", {"kid": "next-reader"})
KEYS: Final = {"reader": READER, "next-reader": NEXT_READER}

# Every word that is looked for begins like this, and then says what it is.
KINDS: Final = ("title", "who", "join", "boss", "description", "guest", "secret")
TITLE, WHO, JOIN, BOSS, DESCRIPTION, GUEST, SECRET = (f"kanari{kind}" for kind in KINDS)
LINK: Final = f"https://example.webex.com/meet/{JOIN}"
MEETING: Final = frozenset({"title", "who", "join"})  # what the contract has private fields for

_BIRD: Final = re.compile(rb"kanari(title|who|join|boss|description|guest|secret)", re.IGNORECASE)
_FEATHERS: Final = [base64.b64encode(b"x" * shift + b"kanari")[shift and 4 : -4] for shift in range(3)]
_JWE: Final = re.compile(rb"eyJ[\w-]+(?:\.[\w-]+){4}")


def birds(data: bytes | str) -> set[str]:
    """Which of the words are in there, also as base64."""
    seen = data.encode() if isinstance(data, str) else data
    found = {match[1].decode().lower() for match in _BIRD.finditer(seen)}
    return found | {"base64" for feather in _FEATHERS if feather in seen}


def birds_in_files(directory: Path) -> dict[str, set[str]]:
    """File: the words in it, of all files below a directory as they lie on the disk."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {path.name: found for path in files if (found := birds(path.read_bytes()))}


def opened(data: bytes, key: ECKey) -> list[str]:
    """What a reader finds in what passed by."""
    texts = []
    for compact in {match[0] for match in _JWE.finditer(data)}:
        head = json.loads(base64.urlsafe_b64decode(compact.split(b".")[0] + b"=="))
        if head["kid"] == key.kid:
            plaintext = jwe.decrypt_compact(compact, key, algorithms=["ECDH-ES+A256KW", "A256GCM"]).plaintext
            assert plaintext is not None
            texts.append(plaintext.decode())
    return texts


def test_a_bird_is_found_in_any_feathers():
    assert birds(b"a " + TITLE.upper().encode()) == {"title"}
    for shift in range(3):
        assert birds(base64.b64encode(b"." * shift + DESCRIPTION.encode())) == {"base64"}
    assert birds(b"a sparrow, and base64: " + base64.b64encode(bytes(range(256)))) == set()


# ── a site whose every line is listened to ────────────────────────────────────────────────────────


class Overheard(BadLine):
    """A line that remembers what it carried, either way."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._heard: defaultdict[asyncio.StreamWriter, bytearray] = defaultdict(bytearray)

    @property
    def heard(self) -> bytes:
        return b"\n".join(self._heard.values())

    async def _write_slowly(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        self._heard[writer] += data
        await super()._write_slowly(writer, data)


class Talkative(Installation):
    """An installation whose daemon logs all that it can."""

    def command(self, *arguments: str) -> Sequence[str]:
        more = ("--verbose",) if arguments[0] == "run" else ()
        return (*super().command(*arguments), *more)


@dataclass(kw_only=True)
class Stage:
    """What a test has in its hands."""

    mode: str
    site: Site
    line: Overheard
    recorder: Recorder
    roomd: Roomd
    clouds: Clouds | None

    @property
    def directory(self) -> Path:
        return self.roomd.installation.directory

    @property
    def key_file(self) -> Path:
        return self.directory / "recipient.json"

    async def start(self) -> None:
        environment = {
            "ROOMD_SITE__PRIVACY": self.mode,
            "PYTHONASYNCIODEBUG": "1",  # asyncio tells of slow callbacks, with what they were called with
            "PROVE_HURRY": "broker,devices,states",
        }
        if self.mode == "sealed":
            self.put_key(READER)
            environment["ROOMD_SITE__RECIPIENT_KEY_FILE"] = str(self.key_file)
        if self.clouds is not None:
            for service in Service:
                environment[f"ROOMD_{service.upper()}__ORGANIZERS"] = "true"
                environment[f"ROOMD_{service.upper()}__SEARCH_BODIES"] = "true"
        await self.roomd.start(module="tests.prove.mortal", environment=environment)

    def put_key(self, key: ECKey) -> None:
        new = self.key_file.with_suffix(".new")
        new.write_text(json.dumps(key.as_dict(private=False)), encoding="ascii")
        new.rename(self.key_file)

    async def shown(self, room: str, *, entries: int) -> Mapping[str, Any]:
        """The room's state, as soon as its agenda has so many entries, all with what listings say."""
        topic = f"roomd/v1/privacy/rooms/{room}/state"

        def found() -> Mapping[str, Any] | None:
            state = json.loads(self.recorder.latest.get(topic, b"{}"))
            return state if len(state.get("agenda", ())) == entries and self._whole(state) else None

        await self.recorder.until(found, within_s=SEEN_WITHIN_S)
        state = found()
        assert state is not None
        return state

    def _whole(self, state: Mapping[str, Any]) -> bool:
        if self.mode == "dropped":
            return bool(state["calendar"]["fresh"])
        return all(entry["organizer"] for entry in state["agenda"])

    async def logged(self, word: str) -> None:
        async with asyncio.timeout(SEEN_WITHIN_S):
            while word not in self.roomd.log:  # noqa: ASYNC110 -- another process writes it
                await asyncio.sleep(0.05)

    async def looked_at(self) -> None:
        """What a technician sees, and what stands where any user of the machine can read."""
        for arguments in (("rooms", "--json"), ("outbox", "peek", "--json"), ("outbox", "stats", "--json")):
            code, said, complaints = await self.roomd.installation.ask(*arguments)
            assert code == 0, complaints
            assert birds(said + complaints) <= self.leaves
        process = psutil.Process(self.roomd.pid)
        assert birds("\0".join(process.cmdline())) == set()
        assert birds("\0".join(process.environ().values())) == set()

    @property
    def leaves(self) -> set[str]:
        """What may leave in plain."""
        return set(MEETING) if self.mode == "plain" else set()

    def judge(self) -> None:
        """What left, what lies on the disk, and what was logged."""
        assert birds(self.roomd.log) == set()
        passed = self.line.heard
        assert birds(passed) == self.leaves
        read = birds(" ".join(opened(passed, READER)))
        assert read == (MEETING if self.mode == "sealed" else set())
        for file, found in birds_in_files(self.roomd.installation.state).items():
            assert found <= MEETING, file
        if self.clouds is not None:
            for service, serving in self.clouds.servings.items():
                asked = [
                    f"{request.method} {request.target} {request.headers}".encode() + request.body
                    for request in serving.seen
                ]
                assert birds(b"\n".join(asked)) == set(), service


@asynccontextmanager
async def stage(
    directory: Path, mode: str, *, transports: Sequence[str] = ("websocket",), linked: Linked | None = None
) -> AsyncIterator[Stage]:
    """A site of a room for each of these lines to a device, with these calendars, and nothing begun."""
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(Site(len(transports), address_base="127.77.0.1"))
        site.write(directory / "site")
        described = [
            {**device, "transport": transport}
            for device, transport in zip(site.describe()["devices"], transports, strict=True)
        ]
        there: Clouds | None = None
        if linked is not None:
            luck = random.Random(7)
            there = await stack.enter_async_context(
                clouds(luck=luck, linked=linked, devices=site.devices, door_port=free_port())
            )
        broker = await stack.enter_async_context(Mosquitto(directory / "broker"))
        line = await stack.enter_async_context(Overheard(broker.port))
        installation = install(
            directory / "roomd",
            devices=described,
            broker_url=f"mqtt://127.0.0.1:{line.port}",
            device_ca=directory / "site" / "ca.pem",
            site="privacy",
            feedback=f"127.0.0.1:{free_port()}" if "http" in transports else "",
            tables="" if there is None else there.tables(directory / "roomd"),
            links={} if there is None else there.links(),
            bare=() if there is None else there.bare(),
        )
        roomd = await stack.enter_async_context(Roomd(Talkative(directory=installation.directory)))
        recorder = Recorder(broker.port)
        recorder.also_seen = lambda: f"and roomd said:\n{roomd.log[-2000:]}"
        crew = await stack.enter_async_context(Crew())
        crew.start(recorder.run(), name="recorder")
        await recorder.until_listening()
        yield Stage(mode=mode, site=site, line=line, recorder=recorder, roomd=roomd, clouds=there)


# ── what devices know ─────────────────────────────────────────────────────────────────────────────

ADA: Final = Organizer(first_name=WHO, last_name="Lovelace", email=f"{BOSS}@example.com")


def book_at(device: Device, *, hours: float = 1.0, title: str = TITLE, **more: Any) -> str:  # noqa: ANN401
    start = device.now() + timedelta(hours=hours)
    booking = device.book_in_outlook(
        title, start=start, organizer=ADA, number=LINK, agenda=f"{DESCRIPTION} {GUEST}@example.com", **more
    )
    return booking.id


@pytest.mark.parametrize("mode", MODES)
async def test_of_what_devices_know_only_the_reader_learns(tmp_path, mode):
    async with stage(tmp_path, mode, transports=("websocket", "ssh", "http")) as s:
        first = [book_at(device) for device in s.site.devices]
        for device in s.site.devices:
            book_at(device, hours=2, title=SECRET, private=True)
        await s.start()
        for device in s.site.devices:
            await s.shown(device.room, entries=2)
        for device, booking in zip(s.site.devices, first, strict=True):
            book_at(device, hours=3, title=SECRET, private=True)
            device.request_booking(TITLE, start=device.now() + timedelta(hours=5))
            device.retitle(booking, f"{TITLE} again")
            spoilt = book_at(device, hours=4)
            device.spoil(spoilt, "garbage_times")
        for device in s.site.devices:
            await s.recorder.until(
                lambda device=device: s.recorder.of_kind("booking.updated", device.room),
                within_s=SEEN_WITHIN_S,
            )
        await s.looked_at()
        s.judge()  # with its write-ahead log
        await s.roomd.stop()
        s.judge()


@pytest.mark.parametrize("mode", ["sealed", "plain"])
async def test_nor_does_what_is_put_aside_of_a_broken_database_tell_more(tmp_path, mode):
    async with stage(tmp_path, mode) as s:
        [device] = s.site.devices
        book_at(device)
        await s.start()
        await s.shown(device.room, entries=1)
        await s.roomd.stop()
        for file in s.roomd.installation.state.glob("*.db"):
            with file.open("r+b") as database:
                database.seek(4096)
                database.write(b"\xff" * 8192)
        book_at(device, hours=2)
        await s.start()
        await s.shown(device.room, entries=2)
        assert list(s.roomd.installation.state.glob("*corrupt*"))
        await s.roomd.stop()
        s.judge()


async def test_a_new_key_is_taken_while_roomd_runs(tmp_path):
    async with stage(tmp_path, "sealed") as s:
        [device] = s.site.devices
        book_at(device)
        await s.start()
        await s.shown(device.room, entries=1)
        s.put_key(NEXT_READER)
        for number in itertools.count(2):  # what is sealed already stays as it is: something new must leave
            book_at(device, hours=number * 0.5)
            await s.shown(device.room, entries=number)
            if opened(s.line.heard, NEXT_READER):
                break
            await asyncio.sleep(1.0)
        assert "privacy.key_changed" in s.roomd.log
        await s.roomd.stop()
        read = opened(s.line.heard, READER) + opened(s.line.heard, NEXT_READER)
        assert birds(" ".join(read)) == MEETING
        assert birds(s.line.heard) == set()
