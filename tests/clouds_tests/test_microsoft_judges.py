"""Microsoft's own clients find nothing strange in the simulated tenant, nor in what roomd asks of it."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cloud_link.calendars import graph
from cloud_link.calendars.errors import CalendarError
from cloud_link.calendars.microsoft import Listed, Microsoft, RoomToList, token_source
from cloud_link.calendars.tokens import client_secret
from cloud_link.calendars.window import today_and_tomorrow
from cloud_link.calendars.wire import Wire, WirePace
from tests.clouds.microsoft import EVENT_PROPERTIES, READ_WRITE, SUBSCRIPTION_PROPERTIES, Microsoft365
from tests.clouds.serving import Json, Request, Response, Serving, nothing, text

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".tools" / "judges-microsoft" / "bin" / "python"
WITHIN_S = 60.0
OSLO = ZoneInfo("Europe/Oslo")
FJORD = "fjord@contoso.example"
EIGHT, NINE = (datetime(2026, 1, 14, hour, tzinfo=UTC) for hour in (8, 9))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]  # the judges may have to be installed first


class Judge:
    """Microsoft's clients, in a process and an environment of their own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, what: str, **order: Json) -> Json:
        """What it saw; {"refused": [status, code]} if Graph would not."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": what, **order}).encode() + b"\n")
        async with asyncio.timeout(WITHIN_S):
            line = await self._process.stdout.readline()
        assert line, "the judge fell over; see standard error"
        told = json.loads(line)
        return told.get("said", told)


@contextlib.asynccontextmanager
async def judging(service: Serving, tenant: Microsoft365, folder: Path) -> AsyncIterator[Judge]:
    ca = folder / "ca.pem"
    ca.write_bytes(service.pem)
    lines = {name for name in os.environ if name.upper() in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(Path(__file__).with_name("graph_judge.py")),
        service.url,
        str(ca),
        tenant.tenant,
        tenant.client_id,
        env={name: value for name, value in os.environ.items() if name not in lines},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Judge(process)
    finally:
        process.kill()
        await process.wait()


@pytest.fixture(scope="module", autouse=True)
def judges() -> None:
    made = subprocess.run(
        [ROOT / "scripts" / "python-judges", "microsoft"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        why = f"NOT JUDGED: scripts/python-judges failed: {made.stderr.strip()[-500:]}"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)


@pytest.fixture
def tenant() -> Microsoft365:
    made = Microsoft365()
    made.add_room(FJORD, floorLabel="2nd")
    return made


@pytest.fixture
async def service(tenant: Microsoft365) -> AsyncIterator[Serving]:
    async with Serving(tenant.answer) as service:
        tenant.service = service
        yield service


async def echo(request: Request) -> Response:
    token = request.query.get("validationToken")
    return nothing(202) if token is None else text(token)


def furnish(tenant: Microsoft365) -> None:
    """A lively day in Fjord."""
    link = "https://teams.microsoft.com/l/meetup-join/19%3ameeting_a/0?context=x"
    meeting = {"joinUrl": link, "conferenceId": "177513992", "tollNumber": "+1 425-555-0123"}
    tenant.add(FJORD, "Weekly", EIGHT, NINE, onlineMeeting=meeting, onlineMeetingProvider="teamsForBusiness")
    tenant.add(FJORD, "Fair", date(2026, 1, 14), date(2026, 1, 15), showAs="free")
    tenant.add(FJORD, None, EIGHT, NINE, sensitivity="private", isCancelled=True)
    where = {"displayName": "Fjord; @webex", "locationType": "conferenceRoom", "uniqueIdType": "private"}
    tenant.add(FJORD, "Keyword", EIGHT, NINE, location=where, locations=[where])
    tenant.add_series(
        FJORD,
        "Daily",
        first=date(2026, 1, 14),
        at="09:00",
        minutes=30,
        zone="Europe/Oslo",
        days=range(2),
        windows_zone="W. Europe Standard Time",
    )


async def test_msal_and_graphs_own_client_do_all_that_roomd_does(
    tenant: Microsoft365, service: Serving, tmp_path: Path
):
    furnish(tenant)
    for number in range(249):
        tenant.add_room(f"room{number:03}@contoso.example")
    tenant.roles = set(READ_WRITE)
    async with judging(service, tenant, tmp_path) as judge:
        assert (await judge.do("token", secret="s3cret"))["token_type"] == "Bearer"
        rooms = await judge.do("rooms")
        assert len(rooms["found"]) == 250
        assert rooms["found"][0] == [FJORD, "Fjord", 8]
        assert rooms["strange"] == []

        view = await judge.do(
            "view",
            address=FJORD,
            starts="2026-01-14T00:00:00+00:00",
            ends="2026-01-15T23:00:00+00:00",
            prefer='outlook.timezone="UTC", outlook.body-content-type="text"',
            select=[],
            top=4,
        )
        assert (view["pages"], len(view["found"]), view["strange"]) == (2, 6, [])
        assert ["Weekly", "2026-01-14T08:00:00.0000000", "UTC", "busy", False] in view["found"]
        assert ["Fair", "2026-01-14T00:00:00.0000000", "UTC", "free", True] in view["found"]

        booked = await judge.do(
            "book",
            address=FJORD,
            subject="Ad hoc",
            starts="2026-01-14T12:00:00",
            ends="2026-01-14T13:00:00",
            transaction="t1",
        )
        assert booked == {"same": True, "organizer": True, "strange": []}
        await judge.do("decline", address=FJORD, name="AAMkAG-e1=")
        assert await judge.do("decline", address=FJORD, name="AAMkAG-e1=") == {
            "refused": [404, "ErrorItemNotFound"]
        }

        tenant.throttle(FJORD, seconds=1)
        assert await judge.do("refused", address="nobody@contoso.example") == [404, "ErrorInvalidUser"]
        tenant.rooms["room001@contoso.example"].refusal = 403, "ErrorAccessDenied", "Access is denied."
        statuses = await judge.do(
            "batch", addresses=[FJORD, "room000@contoso.example", "room001@contoso.example"]
        )
        assert statuses == {FJORD: 429, "room000@contoso.example": 200, "room001@contoso.example": 403}
    assert not tenant.problems


async def test_graphs_own_client_subscribes_and_renews(
    tenant: Microsoft365, service: Serving, tmp_path: Path
):
    async with Serving(echo) as door, judging(service, tenant, tmp_path) as judge:
        tenant.receiver = door.client_context()
        await judge.do("token", secret="s3cret")
        until = datetime.now(UTC) + timedelta(hours=1)
        order = {"address": FJORD, "url": f"{door.url}/hooks", "secret": "s", "until": until.isoformat()}
        made = await judge.do("subscribe", **order)
        assert (made["state"], made["strange"]) == ("s", [])
        assert await judge.do("subscribe", **order) == {"refused": [409, "ExtensionError"]}
        later = until + timedelta(hours=10)
        renewed = await judge.do("renew", name=made["id"], until=later.isoformat())
        assert renewed == {"until": later.isoformat(), "strange": []}
        assert await judge.do("subscriptions") == {"found": [made["id"]], "strange": []}
        await judge.do("unsubscribe", name=made["id"])
        assert await judge.do("renew", name=made["id"], until=later.isoformat()) == {
            "refused": [404, "ResourceNotFound"]
        }
        nowhere = {**order, "url": "https://127.0.0.1:1/hooks"}
        assert await judge.do("subscribe", **nowhere) == {"refused": [400, "ValidationError"]}
    assert not tenant.problems


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        ((400, "unauthorized_client", 700016), "unauthorized_client"),
        ((401, "invalid_client", 7000222), "invalid_client"),
        ((400, "invalid_grant", 65001), "invalid_grant"),
    ],
)
async def test_msal_reads_the_refusals_as_meant(
    tenant: Microsoft365, service: Serving, tmp_path: Path, refusal: tuple[int, str, int], error: str
):
    tenant.faults.token_refusal = refusal
    async with judging(service, tenant, tmp_path) as judge:
        said = await judge.do("token", secret="s3cret")
        assert (said["error"], said["error_codes"]) == (error, [refusal[2]])
        assert said["error_description"].startswith(f"AADSTS{refusal[2]}: ")


async def test_msal_signs_and_is_believed(tenant: Microsoft365, service: Serving, tmp_path: Path):
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "roomd")])
    shown = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "certificate.pem").write_bytes(shown.public_bytes(Encoding.PEM))
    signed = {"key": str(tmp_path / "key.pem"), "certificate": str(tmp_path / "certificate.pem")}
    async with judging(service, tenant, tmp_path) as judge:
        assert (await judge.do("token", **signed))["error_codes"] == [700027]
        tenant.certificates.append(shown)
        assert (await judge.do("token", **signed))["token_type"] == "Bearer"


class Tapped:
    """A tenant, and every body that was asked and answered, with the published shape that it is to have."""

    def __init__(self, tenant: Microsoft365) -> None:
        self._tenant = tenant
        self.bodies: list[tuple[str, str]] = []

    async def answer(self, request: Request) -> Response:
        response = await self._tenant.answer(request)
        if request.path.endswith("/$batch"):
            urls = {each["id"]: each["url"] for each in request.json()["requests"]}
            for each in response.json()["responses"]:
                self._note(
                    "GET", f"/v1.0{urls[each['id']]}".partition("?")[0], b"", each["status"], each["body"]
                )
        elif request.path.startswith("/v1.0"):
            self._note(request.method, request.path, request.body, response.status, response.body)
        return response

    def _note(self, method: str, path: str, asked: bytes, status: int, answered: Json) -> None:
        shape = next(shape for pattern, shape in SHAPES if re.fullmatch(pattern, path))
        if asked:
            self.bodies.append((shape.removesuffix("s") if method == "POST" else shape, asked.decode()))
        if answered:
            body = answered.decode() if isinstance(answered, bytes) else json.dumps(answered)
            made = shape.removesuffix("s") if method == "POST" else shape
            self.bodies.append(("error" if status >= 400 else made, body))


SHAPES = (
    (r"/v1.0/places/microsoft\.graph\.room", "rooms"),
    (r"/v1.0/places/[^/]+", "room"),
    (r"/v1.0/users/[^/]+/calendarView", "events"),
    (r"/v1.0/users/[^/]+/events", "events"),
    (r"/v1.0/users/[^/]+/events/[^/]+", "event"),
    (r"/v1.0/users/[^/]+/events/[^/]+/decline", "decline"),
    (r"/v1.0/subscriptions", "subscriptions"),
    (r"/v1.0/subscriptions/[^/]+(?:/reauthorize)?", "subscription"),
)


async def test_every_body_that_roomd_sends_and_gets_is_as_published(tenant: Microsoft365, tmp_path: Path):
    furnish(tenant)
    tenant.roles = set(READ_WRITE)
    tapped = Tapped(tenant)
    async with Serving(tapped.answer) as service, Serving(echo) as door, contextlib.AsyncExitStack() as stack:
        tenant.service, tenant.receiver = service, door.client_context()
        wire = await stack.enter_async_context(
            Wire(service.url, context=service.client_context(), pace=WirePace(first_rest_s=0.001))
        )
        tokens = token_source(wire, tenant.tenant, client_secret("app-1", "s3cret", scope="all/.default"))
        client = Microsoft(wire, tokens, organizers=True, bodies=True, writes=True)
        window = today_and_tomorrow(datetime(2026, 1, 14, 9, tzinfo=UTC), OSLO)

        async def tell(address: str, listed: Listed) -> None:
            pass

        await client.rooms()
        await client.room(FJORD)
        await client.room("hidden@contoso.example")
        listed = await client.list_room(FJORD, window, OSLO)
        rooms = [
            RoomToList(address=address, window=window, zone=OSLO)
            for address in (FJORD, "nobody@contoso.example")
        ]
        await client.list_rooms(rooms, tell)
        until = datetime.now(UTC) + timedelta(hours=70)
        made = await client.subscribe(
            FJORD, url=f"{door.url}/hooks", lifecycle_url=f"{door.url}/life", client_state="s", until=until
        )
        await client.renew(made, until=until)
        await client.subscriptions()
        await client.unsubscribe(made.id)
        booked = await client.book(
            FJORD,
            starts_at=NINE,
            ends_at=NINE + timedelta(hours=1),
            title="x",
            organizer="Ada",
            request_id="r",
        )
        await client.extend(FJORD, booked, ends_at=NINE + timedelta(hours=2))
        await client.release(FJORD, booked)
        await client.release(FJORD, listed[0].entry_id)
        with pytest.raises(CalendarError):
            await client.list_room("nobody@contoso.example", window, OSLO)

        async with judging(service, tenant, tmp_path) as judge:
            strange = {
                (shape, body): found
                for shape, body in tapped.bodies
                if (found := await judge.do("read", shape=shape, text=body))
            }
            published = set(await judge.do("properties", shape="event"))
            assert published >= EVENT_PROPERTIES
            assert set(graph.SELECTED.split(",")) <= published
            assert set(await judge.do("properties", shape="subscription")) >= SUBSCRIPTION_PROPERTIES
            assert await judge.do("read", shape="event", text='{"showAs": "bogus", "foo": 1}') == [
                ".foo",
                ".showAs",
            ]
    assert strange == {}
    assert {shape for shape, _ in tapped.bodies} >= {shape for _, shape in SHAPES} | {"error"}
    assert not tenant.problems
