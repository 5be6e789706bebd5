"""Words that would betray a meeting, wherever roomd might leave them: only their reader may find them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import re
import tarfile
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import psutil
import pytest
from joserfc import jwe
from joserfc.jwk import ECKey

from agent.core.events import CalendarEntry
from cloud_link.calendars.accounts import GoogleAccount, MicrosoftAccount, Way
from cloud_link.calendars.errors import CalendarError
from cloud_link.calendars.google import Origins
from cloud_link.calendars.microsoft import RoomToList
from cloud_link.calendars.opening import open_google, open_microsoft
from cloud_link.calendars.window import today_and_tomorrow
from tests.brokers import BadLine, Mosquitto
from tests.brokers.crew import Crew
from tests.brokers.ports import free_port
from tests.clouds.serving import Request, Response, call, text, tree
from tests.installation import Installation, install
from tests.prove.clouds import Clouds, Linked, Room, Service, clouds
from tests.prove.daemon import Roomd
from tests.prove.recorder import Recorder
from tests.simulator.bookings import Organizer
from tests.simulator.device import Device
from tests.simulator.site import Site

pytestmark = pytest.mark.slow

MODES: Final = ("sealed", "dropped", "plain")
SEEN_WITHIN_S: Final = 60.0  # asyncio's own checks are on, and slow
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
            "PROVE_HURRY": "broker,devices,states,calendars",
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

    async def told(self, kind: str, room: str) -> None:
        await self.recorder.until(lambda: self.recorder.of_kind(kind, room), within_s=SEEN_WITHIN_S)

    def _whole(self, state: Mapping[str, Any]) -> bool:
        if self.mode == "dropped":
            return bool(state["calendar"]["fresh"])
        return all(entry["organizer"] for entry in state["agenda"])

    async def sealing_why(self) -> str | None:
        code, said, complaints = await self.roomd.installation.ask("rooms", "--json")
        assert code == 0, complaints
        why: str | None = json.loads(said)["sealing_why"]
        return why

    async def forge(self) -> None:
        """Somebody who is no cloud calls at the door that is open for clouds."""
        assert self.clouds is not None
        door = f"https://localhost:{self.clouds.door_port}/hooks"
        said = json.dumps({"value": [{"subscriptionId": TITLE, "clientState": WHO, "lifecycleEvent": GUEST}]})
        for path, body in (("microsoft", said), ("google", BODY), (TITLE, BODY), (f"microsoft?{TITLE}", "")):
            await call(
                f"{door}/{path}",
                headers={
                    "X-Goog-Channel-Id": TITLE,
                    "X-Goog-Channel-Token": WHO,
                    "X-Goog-Resource-State": "exists",
                },
                body=body.encode(),
                context=self.clouds.microsoft.receiver,
            )

    async def looked_at(self) -> None:
        """What a technician sees, and what stands where any user of the machine can read."""
        for arguments in (("rooms", "--json"), ("outbox", "peek", "--json"), ("outbox", "stats", "--json")):
            code, said, complaints = await self.roomd.installation.ask(*arguments)
            assert code == 0, complaints
            assert birds(said + complaints) <= self.leaves
        if self.clouds is not None:
            for arguments in (("calendars", "--json"), ("link", "--json"), ("doctor", "--json")):
                _, said, complaints = await self.roomd.installation.ask(*arguments)
                assert said
                assert birds(said + complaints) == set()
        door = httpx.AsyncHTTPTransport(uds=str(self.directory / "http.sock"))
        async with httpx.AsyncClient(transport=door, base_url="http://localhost") as client:
            for path, leaves in (("/metrics", set()), ("/api/site", set()), ("/api/rooms", self.leaves)):
                answer = await client.get(path)
                assert answer.status_code == 200
                assert birds(answer.content) <= leaves, path
        process = psutil.Process(self.roomd.pid)
        assert birds("\0".join(process.cmdline())) == set()
        assert birds("\0".join(process.environ().values())) == set()

    async def reported(self) -> None:
        """A bug report tells even less."""
        file = self.directory / "bundle.tar.gz"
        code, _, complaints = await self.roomd.installation.ask("support", "--quick", "-o", str(file))
        assert code == 0, complaints
        with tarfile.open(file) as bundle:
            found = {entry.name: bundle.extractfile(entry) for entry in bundle}
            contents = {name: content.read() for name, content in found.items() if content is not None}
        assert "roomd-support/daemon.json" in contents
        assert {name: birds(content) for name, content in contents.items() if birds(content)} == {}

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
            assert found <= self.leaves | {"title", "join"}, file
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
        roomd = await stack.enter_async_context(
            Roomd(Talkative(directory=installation.directory, forked=True))
        )
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
            await s.told("booking.updated", device.room)
        await s.looked_at()
        s.judge()  # with its write-ahead log
        if mode == "plain":
            await s.reported()
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
        s.key_file.write_text("no key", encoding="ascii")
        async with asyncio.timeout(SEEN_WITHIN_S):
            while (why := await s.sealing_why()) is None:  # noqa: ASYNC110 -- another process tells it
                await asyncio.sleep(1.0)
        assert str(s.key_file) in why
        assert s.roomd.log.count("privacy.key_unusable") == 1
        book_at(device, hours=number * 0.5 + 0.5)
        await s.shown(device.room, entries=number + 1)
        await s.roomd.stop()
        read = opened(s.line.heard, READER) + opened(s.line.heard, NEXT_READER)
        assert birds(" ".join(read)) == MEETING
        assert birds(s.line.heard) == set()


# ── what calendars know ───────────────────────────────────────────────────────────────────────────

BODY: Final = f"{DESCRIPTION}: with {GUEST}@example.com"
CALENDARS: Final = Linked(microsoft=1, bare=2, by_name=False, follow=False, pushes=True)
ENTRIES: Final = 3  # that `fill` makes


def soon(hours: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)


def put(
    there: Clouds, room: Room, hours: float, *, link: str = "", body: str = BODY, private: bool = False
) -> None:
    """Somebody's meeting in a room's calendar, with all that betrays it."""
    title = SECRET if private else TITLE
    starts_at, ends_at = soon(hours), soon(hours + 0.4)
    if room.service is Service.MICROSOFT:
        there.microsoft.add(
            room.address,
            title,
            starts_at,
            ends_at,
            organizer={"emailAddress": {"name": WHO, "address": f"{BOSS}@example.com"}},
            attendees=[
                {
                    "type": "required",
                    "status": {"response": "accepted", "time": "0001-01-01T00:00:00Z"},
                    "emailAddress": {"name": GUEST, "address": f"{GUEST}@example.com"},
                }
            ],
            body={"contentType": "text", "content": body},
            bodyPreview=body,
            onlineMeeting={"joinUrl": link} if link else None,
            sensitivity="private" if private else "normal",
        )
        return
    entry = {"entryPointType": "video", "uri": link}
    there.google.calendars[room.address].put(
        {
            "id": f"kanari{starts_at:%H%M%S}{'p' if private else ''}",
            "summary": title,
            "start": {"dateTime": starts_at.isoformat(), "timeZone": "UTC"},
            "end": {"dateTime": ends_at.isoformat(), "timeZone": "UTC"},
            "organizer": {"email": f"{BOSS}@example.com", "displayName": WHO},
            "attendees": [
                {"email": f"{GUEST}@example.com", "displayName": GUEST, "responseStatus": "accepted"},
                {"email": room.address, "resource": True, "responseStatus": "accepted"},
            ],
            "description": body,
            "visibility": "private" if private else "default",
            **({"conferenceData": {"entryPoints": [entry]}} if link else {}),
        }
    )


def fill(there: Clouds) -> None:
    """Nothing but meetings with such words: a link where links are, one in a description, a private one."""
    for room in there.rooms:
        if room.service is Service.MICROSOFT:
            there.microsoft.rooms[room.address.lower()].entries.clear()
        else:
            there.google.calendars[room.address].events.clear()
            there.google.calendars[room.address].changed.clear()
        put(there, room, 1, link=LINK)
        put(there, room, 2, body=f"{BODY} {LINK}")
        put(there, room, 3, link=LINK, private=True)


def is_listing(request: Request) -> bool:
    return request.path.endswith(("$batch", "/calendarView", "/events")) and request.method in {"GET", "POST"}


STRANGE: Final = {"id": 5, "subject": TITLE, "summary": TITLE, "description": DESCRIPTION, "start": GUEST}
LISTS: Final = {"value": [STRANGE], "items": [STRANGE]}
AMISS: Final[Mapping[str, Response]] = {
    "cut off": text(json.dumps({**LISTS, "responses": [{"id": "0", "status": 200, "body": LISTS}]})[:-9]),
    "strange entries": tree(
        {
            **LISTS,
            "responses": [{"id": str(number), "status": 200, "body": LISTS} for number in range(9)],
        }
    ),
    "no list": tree({"value": STRANGE, "items": STRANGE, "responses": STRANGE}),
    "a refusal": tree({"error": {"code": "ErrorItemNotFound", "message": f"{TITLE} {DESCRIPTION}"}}, 404),
    "a failure": text(f"{TITLE} {DESCRIPTION}", 500),
    "elsewhere": Response(status=302, headers={"Location": f"https://example.com/{TITLE}"}),
    "more elsewhere": tree({"value": [], "items": [], "@odata.nextLink": f"https://example.com/{TITLE}"}),
}
SOME_AMISS: Final = ("cut off", "strange entries", "a refusal")


class Asked:
    """The clouds' own clients of ours, at a site without a daemon."""

    def __init__(self, there: Clouds, directory: Path) -> None:
        way = Way(ca_file=directory / "clouds.pem")
        tenant, google = there.url(Service.MICROSOFT), there.url(Service.GOOGLE)
        self.there = there
        self.microsoft = MicrosoftAccount(
            tenant=there.microsoft.tenant,
            client_id=there.microsoft.client_id,
            secret_file=directory / "microsoft-secret",
            login_url=tenant,
            graph_url=tenant,
            organizers=True,
            search_bodies=True,
            way=way,
        )
        self.google = GoogleAccount(
            key_file=directory / "google-key.json",
            subject=there.google.admin,
            organizers=True,
            search_bodies=True,
            origins=Origins(calendar=google, directory=google, mail=google),
            way=way,
        )

    async def list_all(self) -> list[tuple[CalendarEntry, ...] | CalendarError]:
        """Every room in each way that there is."""
        window = today_and_tomorrow(datetime.now(UTC), UTC)
        found: list[tuple[CalendarEntry, ...] | CalendarError] = []

        async def tell(_: str, listed: tuple[CalendarEntry, ...] | CalendarError) -> None:
            found.append(listed)

        async def attempt(asking: Awaitable[tuple[CalendarEntry, ...] | None]) -> None:
            try:
                listed = await asking
            except CalendarError as error:
                found.append(error)
            else:
                found.extend([] if listed is None else [listed])

        def now() -> datetime:
            return datetime.now(UTC)

        async with (
            open_microsoft(self.microsoft, on_token=lambda _: None, now=now) as microsoft,
            open_google(self.google, on_token=lambda _: None, now=now) as google,
        ):
            rooms = self.there.rooms
            to_list = [
                RoomToList(address=room.address, window=window, zone=UTC)
                for room in rooms
                if room.service is Service.MICROSOFT
            ]
            async with asyncio.TaskGroup() as tasks:  # what is asked again is waited for once
                for room in rooms:
                    client = microsoft if room.service is Service.MICROSOFT else google
                    tasks.create_task(attempt(client.list_room(room.address, window, UTC)))
                tasks.create_task(attempt(microsoft.list_rooms(to_list, tell)))
        return found


@pytest.fixture
async def asked(tmp_path) -> AsyncIterator[Asked]:
    linked = Linked(bare=2, by_name=False)
    async with clouds(luck=random.Random(7), linked=linked, devices=(), door_port=free_port()) as there:
        there.tables(tmp_path)
        fill(there)
        yield Asked(there, tmp_path)


async def test_what_is_read_of_a_calendar_has_no_description_and_no_invitees(asked, caplog, capfd):
    caplog.set_level("DEBUG")
    found = await asked.list_all()
    assert [len(entries) for entries in found] == [ENTRIES] * 3
    for entries in found:  # the organizer's address is compared with `spare_organizers`, and goes no further
        assert birds(msgspec.json.encode(entries)) == MEETING | {"boss"}
        assert birds(repr(entries)) == set()
    assert birds("".join([caplog.text, *capfd.readouterr()])) == set()
    for serving in asked.there.servings.values():
        assert birds(b"".join(request.target.encode() + request.body for request in serving.seen)) == set()


@pytest.mark.parametrize("amiss", AMISS)
async def test_what_a_cloud_says_amiss_is_repeated_nowhere(asked, caplog, capfd, amiss):
    caplog.set_level("DEBUG")
    for serving in asked.there.servings.values():
        serving.interrupt = lambda request: AMISS[amiss] if is_listing(request) else None
    found = await asked.list_all()
    errors = [each for each in found if isinstance(each, CalendarError)]
    assert errors or amiss == "strange entries"
    told = "".join(line for error in errors for line in (*traceback.format_exception(error), error.mend))
    assert birds(told) == set()
    assert birds(repr([each for each in found if each not in errors])) == set()
    assert birds("".join([caplog.text, *capfd.readouterr()])) == set()


@pytest.mark.parametrize("mode", MODES)
async def test_of_what_calendars_know_only_the_reader_learns(tmp_path, mode):
    async with stage(tmp_path, mode, linked=CALENDARS) as s:
        assert s.clouds is not None
        fill(s.clouds)
        await s.start()
        for room in s.clouds.rooms:
            await s.shown(room.id, entries=ENTRIES)
        async with asyncio.timeout(SEEN_WITHIN_S):
            while len(s.clouds.microsoft.subscriptions) < 2 or not s.clouds.google.channels:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await s.forge()
        for number, name in enumerate(SOME_AMISS, 1):
            nonsense = [Nonsense(AMISS[name]) for _ in s.clouds.servings]
            for serving, said in zip(s.clouds.servings.values(), nonsense, strict=True):
                serving.interrupt = said
            for room in s.clouds.rooms:
                put(s.clouds, room, 3 + number * 0.5, link=LINK)
                await s.clouds.tell(room, "created")
            async with asyncio.timeout(SEEN_WITHIN_S):
                for said in nonsense:
                    await said.said.wait()
            for serving in s.clouds.servings.values():
                serving.interrupt = lambda _: None
        for room in s.clouds.rooms:
            await s.clouds.tell(room, "updated")
            await s.shown(room.id, entries=ENTRIES + len(SOME_AMISS))
        await s.looked_at()
        s.judge()
        await s.roomd.stop()
        s.judge()


class Nonsense:
    """What a cloud says to whoever lists, once it was asked."""

    def __init__(self, amiss: Response) -> None:
        self.said = asyncio.Event()
        self._amiss = amiss

    def __call__(self, request: Request) -> Response | None:
        if not is_listing(request):
            return None
        self.said.set()
        return self._amiss
