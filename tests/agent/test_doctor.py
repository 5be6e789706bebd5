from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from agent import device_checks, doctor
from agent.asking import DaemonAbsent, ask
from agent.calendar_checks import SETTLED
from agent.doctor import consult
from agent.findings import Finding, Part, Verdict, exit_code
from agent.local_api import Broadcast, Inside, serve
from cloud_link.calendars import google_calendar
from cloud_link.calendars.google_calendar import Feature
from cloud_link.calendars.webex_codes import MANIFEST, SCOPES, Activation, XapiAccess
from cloud_link.calendars.webex_grant import GRANT, Grant, GrantFile, Revocation
from tests.agent.examining import AT, CANARY, examined, installed, one, secret, verdicts
from tests.brokers import Authority, Liar, Mosquitto
from tests.brokers.mosquitto import program
from tests.brokers.ports import free_port
from tests.clouds.google import Google
from tests.clouds.microsoft import Microsoft365
from tests.clouds.serving import Request, Response, Serving
from tests.clouds.webex import WebexCloud
from tests.installation import Installation, install
from tests.journeys.house import house
from tests.simulator.site import Site

APP = "9a3c1f0e-7b1d-4f6a-9a53-0c1f6f1f2a11"
SLOTS = [timedelta(minutes=30 * number) for number in range(4)]


def now() -> datetime:
    return AT


# ── the file, the clock, the disk ─────────────────────────────────────────────────────────────────


async def test_every_problem_of_the_file_is_found_and_nothing_else_is_looked_for(tmp_path):
    installation = installed(tmp_path)
    text = (
        installation.config.read_text()
        .replace("Europe/Oslo", "Europe/Atlantis")
        .replace("mqtt://", "http://")
    )
    installation.config.write_text(text)
    found = await examined(installation)
    assert {each.part for each in found} == {Part.FILE}
    assert {each.verdict for each in found} == {Verdict.WRONG}
    assert all(each.mend for each in found)
    assert exit_code(found) == os.EX_CONFIG


async def test_an_installation_that_never_ran_is_examined_from_outside(tmp_path):
    found = await examined(installed(tmp_path), Part.FILE, Part.DISK, Part.DAEMON)
    assert one(found, "roomd.toml").verdict is Verdict.OK
    assert one(found, "state").seen == "is not there yet"
    assert one(found, "free space").verdict is Verdict.OK
    assert one(found, "roomd", "no roomd answers").verdict is Verdict.ADVICE
    assert exit_code(found) == 0


async def test_a_state_directory_that_cannot_be_is_wrong(tmp_path):
    installation = installed(tmp_path)
    installation.state.write_text("a file")
    found = await examined(installation, Part.DISK)
    assert one(found, "state").verdict is Verdict.WRONG
    assert exit_code(found) == os.EX_CANTCREAT


async def test_a_budget_beyond_what_is_free_is_advised_against(tmp_path):
    free = shutil.disk_usage(tmp_path).free // (1024 * 1024)
    installation = installed(tmp_path, extra=f"budget_mb = {free + 10_000}")
    finding = one(await examined(installation, Part.DISK), "free space")
    assert finding.verdict is Verdict.ADVICE
    assert "may grow" in finding.seen


async def test_our_clock_is_compared_with_that_of_the_cloud(tmp_path):
    cloud = Microsoft365(client_id=APP)

    async def dated(_: object) -> Response:
        return Response(status=404, headers={"Date": "Tue, 10 Mar 2026 08:00:00 GMT"})

    async with Serving(dated) as serving:
        installation = microsoft(tmp_path, serving, cloud, rooms="fjord")
        good = await examined(installation, Part.CLOCK, at=AT + timedelta(seconds=20))
        assert one(good, "against").verdict is Verdict.OK
        for off in (timedelta(minutes=-5), timedelta(minutes=5)):
            found = await examined(installation, Part.CLOCK, at=AT + off)
            assert one(found, "against").verdict is Verdict.WRONG
            assert exit_code(found) == os.EX_OSERR


# ── the daemon's word ─────────────────────────────────────────────────────────────────────────────


def device(phase: str, why: str | None = None, **more: object) -> dict[str, Any]:
    nothing = {"device": "room", "product": "Room Bar", "firmware": "26.4.1", "transport": "websocket"}
    return {**nothing, "phase": phase, "why": why, "transport_why": None, "shortcomings": [], **more}


def picture(**changes: object) -> dict[str, Any]:
    devices = changes.pop("devices", [])
    return {
        "site": "demo",
        "agent": "agent-1",
        "version": "0.1.0",
        "broker": {"connected": True, "why": None, "deaf_why": None},
        "outbox": {"depth": 0, "dropped": 0},
        "rooms": [{"room": "room", "availability": {"devices": devices}}],
        **changes,
    }


@asynccontextmanager
async def answering(installation: Installation, said: dict[str, Any]) -> AsyncIterator[None]:
    """A daemon's socket with this picture."""

    async def look() -> dict[str, Any]:
        return said

    calendars = said.pop("calendars", [])
    inside = Inside(look, Broadcast(), None, calendars=lambda: calendars)  # type: ignore[arg-type]
    async with serve(installation.socket, inside):
        yield


@pytest.mark.slow
async def test_the_running_daemon_is_asked_and_nobody_else(tmp_path):
    async with Site(1) as site:
        site.write(tmp_path / "site")
        installation = install(
            tmp_path / "roomd", devices=site.describe()["devices"], broker_url="mqtt://127.0.0.1:1"
        )
        said = picture(devices=[device("connected", device=site.devices[0].room)])
        said["rooms"][0]["room"] = site.devices[0].room
        async with answering(installation, said):
            found = await examined(installation, Part.DAEMON, Part.BROKER, Part.DEVICES, at=None)
        assert {each.verdict for each in found} == {Verdict.OK}
        assert site.devices[0].logins == 0


@pytest.mark.slow
async def test_a_device_that_the_running_roomd_does_not_know_is_dialled(tmp_path):
    async with Site(2) as site:
        site.write(tmp_path / "site")
        old, new = site.devices
        installation = install(
            tmp_path / "roomd", devices=site.describe()["devices"], broker_url="mqtt://127.0.0.1:1"
        )
        said = picture(devices=[device("connected", device=old.room)])
        said["rooms"][0]["room"] = old.room
        async with answering(installation, said):
            found = await examined(installation, Part.DAEMON, Part.DEVICES, at=None)
        assert one(found, "roomd", f"it does not know {new.room}").mend is not None
        assert one(found, new.room, "over websocket").verdict is Verdict.OK
        assert (old.logins, new.logins) == (0, 1)


async def test_a_page_that_is_not_shown_is_found(tmp_path):
    installation = installed(tmp_path)
    text = installation.config.read_text().replace("listen = false", f'listen = "127.0.0.1:{free_port()}"')
    installation.config.write_text(text)
    async with answering(installation, picture()):
        finding = one(await examined(installation, Part.DAEMON), "page")
    assert finding.verdict is Verdict.ADVICE
    assert "page.not_opened" in (finding.mend or "")


async def test_a_daemon_of_another_version_is_none_that_can_be_asked(tmp_path):
    installation = installed(tmp_path)
    async with answering(installation, {"version": "9.9"}):
        found = await examined(installation, Part.DAEMON, Part.DEVICES)
    assert one(found, "roomd", "another version").verdict is Verdict.ADVICE
    assert one(found, "devices").seen == "none are configured"


async def test_what_the_daemon_says_is_wrong_is_wrong(tmp_path):
    installation = installed(tmp_path)
    said = picture(
        broker={"connected": False, "why": "Not authorized", "deaf_why": None},
        devices=[
            device(
                "refused",
                "it does not let roomd in; mend the account on the device and reload roomd, "
                "or the password file and restart roomd",
            ),
            device(
                "lost",
                "no answer; check that it is switched on, its host in the configuration, "
                "and the network between",
                device="second",
            ),
            device(
                "connected", device="third", shortcomings=["Nobody is counted: set `xConfiguration …: On`."]
            ),
            device("connected", device="fourth", transport="ssh", transport_why="websocket: switched off"),
            device("unheard", device="fifth"),
        ],
    )
    said["rooms"].append({"room": "another", "availability": {"devices": []}})
    async with answering(installation, said):
        found = await examined(installation, Part.DAEMON, Part.BROKER, Part.DEVICES)
    changed = one(found, "roomd", "was changed since")
    assert changed.verdict is Verdict.ADVICE
    assert changed.seen.endswith("the file has no more another, fifth, fourth, second, third")
    assert one(found, "mqtt://").verdict is Verdict.WRONG
    assert one(found, "room", "does not let").mend == (
        "mend the account on the device and reload roomd, or the password file and restart roomd"
    )
    assert one(found, "second").seen == "no answer"
    assert one(found, "third").mend == "set `xConfiguration …: On`."
    assert {one(found, each).verdict for each in ("third", "fourth", "fifth")} == {Verdict.ADVICE}
    assert exit_code(found) == os.EX_NOPERM


# ── the broker ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_a_broker_that_lets_us_in_is_left_without_a_trace(tmp_path):
    async with Mosquitto(tmp_path / "broker", persistence=True) as broker:
        found = await examined(installed(tmp_path, broker_url=broker.url), Part.BROKER)
        assert verdicts(found) == {broker.url: "ok", "commands": "ok", "publishing": "ok"}
        assert "MQTT 5" in one(found, "mqtt://").seen
        assert not any("mid" in line for line in broker.log if "PUBLISH" in line)


@pytest.mark.slow
async def test_what_a_broker_refuses_is_found(tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("user roomd\ntopic read nothing\n")
    async with Mosquitto(tmp_path / "broker", users={"roomd": "right"}, extra=f"acl_file {acl}\n") as broker:
        with_user = {
            "broker_url": broker.url,
            "mqtt_extra": 'username = "roomd"\npassword_file = "mqtt-password"',
        }
        secret(tmp_path, "mqtt-password", "right")
        found = await examined(installed(tmp_path, **with_user), Part.BROKER)
        assert one(found, broker.url).verdict is Verdict.OK
        secret(tmp_path, "mqtt-password", "wrong")
        found = await examined(installed(tmp_path, **with_user), Part.BROKER)
        assert one(found, broker.url).verdict is Verdict.WRONG
        assert exit_code(found) == os.EX_NOPERM


@pytest.mark.slow
async def test_topics_that_may_not_be_published_to_are_found_and_nobody_hears_of_it(tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic read #\ntopic write roomd/v1/demo/rooms/+/events/#\n")
    async with Mosquitto(tmp_path / "broker", extra=f"acl_file {acl}\n") as broker:
        listener = await asyncio.create_subprocess_exec(
            *(
                program("mosquitto_sub"),
                "-h",
                "127.0.0.1",
                "-p",
                str(broker.port),
                "-t",
                "#",
                "-v",
                "-C",
                "1",
            ),
            stdout=asyncio.subprocess.PIPE,
        )
        await broker.until_logged("Sending SUBACK")
        found = await examined(installed(tmp_path, broker_url=broker.url), Part.BROKER)
        assert listener.returncode is None
        listener.terminate()
        out, _ = await listener.communicate()
        assert out == b""
    finding = one(found, "publishing")
    assert finding.code == os.EX_NOPERM
    assert "roomd/v1/demo/rooms/+/state" in finding.seen
    assert "agents/agent-1/status" in finding.seen
    assert "/events/booking" not in finding.seen
    assert finding.mend == "grant the user the right to publish to roomd/v1/demo/#"


@pytest.mark.slow
async def test_why_the_running_daemon_is_not_connected_is_looked_for_from_here(tmp_path):
    away = picture(broker={"connected": False, "why": None, "deaf_why": None})
    acl = tmp_path / "acl"
    acl.write_text("topic read #\n")
    async with Mosquitto(tmp_path / "broker", extra=f"acl_file {acl}\n") as broker:
        installation = installed(tmp_path, broker_url=broker.url)
        async with answering(installation, away):
            found = await examined(installation, Part.BROKER)
        (wrong,) = [each for each in found if each.verdict is Verdict.WRONG]
        assert wrong.what == "publishing"
        paused = picture(broker={"connected": True, "why": "Not authorized", "deaf_why": None})
        async with answering(installation, paused):
            found = await examined(installation, Part.BROKER)
        assert "takes nothing: Not authorized" in one(found, broker.url, "connected").seen
        assert "rooms/+/state" in one(found, "publishing").seen
    async with Mosquitto(tmp_path / "another") as broker:
        installation = installed(tmp_path / "good", broker_url=broker.url)
        async with answering(installation, away):
            found = await examined(installation, Part.BROKER)
    (wrong,) = [each for each in found if each.verdict is Verdict.WRONG]
    assert wrong.seen == "roomd is not connected: it is being dialled"


@pytest.mark.slow
async def test_the_brokers_certificate_is_judged(tmp_path):
    authority = Authority(tmp_path / "tls")
    async with Mosquitto(tmp_path / "broker", tls=authority) as broker:
        extra = f'ca_file = "{authority.ca_file}"'
        found = await examined(
            installed(tmp_path, broker_url=broker.url, mqtt_extra=extra), Part.BROKER, at=None
        )
        assert "TLS 1." in one(found, "certificate of the broker").seen
        assert {each.verdict for each in found} == {Verdict.OK}
        found = await examined(installed(tmp_path, broker_url=broker.url), Part.BROKER, at=None)
        finding = one(found, broker.url)
        assert "its authority is not known here" in finding.seen
        assert "ca_file" in (finding.mend or "")
        other = Authority(tmp_path / "other").ca_file
        found = await examined(
            installed(tmp_path, broker_url=broker.url, mqtt_extra=f'ca_file = "{other}"'),
            Part.BROKER,
            at=None,
        )
        assert str(other) in (one(found, broker.url).mend or "")


@pytest.mark.parametrize(
    ("left", "verdict"),
    [
        (timedelta(days=90), Verdict.OK),
        (timedelta(days=9), Verdict.ADVICE),
        (-timedelta(days=1), Verdict.WRONG),
    ],
)
async def test_the_certificate_that_roomd_shows_the_broker_is_not_to_run_out_unseen(tmp_path, left, verdict):
    ours = trustme.CA().issue_cert("roomd", not_after=AT + left)
    secret(tmp_path, "client.key", ours.private_key_pem.bytes().decode())
    secret(tmp_path, "client.pem", ours.cert_chain_pems[0].bytes().decode())
    installation = installed(
        tmp_path,
        broker_url=f"mqtts://127.0.0.1:{free_port()}",
        mqtt_extra='certificate_file = "client.pem"\nkey_file = "client.key"',
    )
    assert one(await examined(installation, Part.BROKER), "client.pem").verdict is verdict
    secret(tmp_path, "client.key", trustme.CA().issue_cert("x").private_key_pem.bytes().decode())
    finding = one(await examined(installation, Part.BROKER), "client.pem")
    assert (finding.verdict, finding.code) == (Verdict.WRONG, os.EX_CONFIG)


async def test_a_broker_that_wants_a_certificate_of_ours_says_so(tmp_path):
    authority = Authority(tmp_path / "tls")
    context = authority.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context) as broker:
        url = f"mqtts://127.0.0.1:{broker.sockets[0].getsockname()[1]}"
        extra = f'ca_file = "{authority.ca_file}"'
        found = await examined(installed(tmp_path, broker_url=url, mqtt_extra=extra), Part.BROKER, at=None)
    finding = one(found, url)
    assert "_ssl" not in finding.seen
    assert "certificate_file" in (finding.mend or "")


async def test_an_older_broker_is_spoken_to_in_its_own_words_and_keeps_no_session(tmp_path):
    async with Liar() as liar:
        liar.only_311(answer="old code")
        found = await examined(installed(tmp_path, broker_url=liar.url), Part.BROKER)
        assert "MQTT 3.1.1" in one(found, "mqtt://").seen
        assert one(found, "commands").verdict is Verdict.OK
        assert {each.expiry_s for each in liar.sessions.values()} <= {0}
        assert liar.received == []


async def test_a_broker_that_refuses_our_commands_is_found(tmp_path):
    async with Liar() as liar:
        liar.subacks = lambda _: 0x87
        found = await examined(installed(tmp_path, broker_url=liar.url), Part.BROKER)
        assert one(found, "commands").code == os.EX_NOPERM
        assert {each.expiry_s for each in liar.sessions.values()} <= {0}


async def test_a_broker_that_is_not_there_is_found(tmp_path):
    found = await examined(installed(tmp_path, broker_url=f"mqtt://127.0.0.1:{free_port()}"), Part.BROKER)
    assert exit_code(found) == os.EX_UNAVAILABLE


# ── the devices ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_each_device_is_dialled_once_and_its_trouble_is_its_own(tmp_path):
    async with Site(3) as site:
        site.write(tmp_path / "site")
        described = [dict(each) for each in site.describe()["devices"]]
        described[1]["password"] = "not this"
        described[2]["port"] = free_port()
        described[2]["ssh_port"] = free_port()
        installation = install(
            tmp_path / "roomd",
            devices=described,
            broker_url="mqtt://127.0.0.1:1",
            device_ca=tmp_path / "site" / "ca.pem",
        )
        steps: list[tuple[Part, int, int]] = []
        found = await examined(installation, Part.DEVICES, at=None, progress=steps)
        names = [each["room"] for each in described]
        assert one(found, names[0]).verdict is Verdict.OK
        assert "over websocket" in one(found, names[0]).seen
        assert one(found, names[1]).code == os.EX_NOPERM
        assert one(found, names[2]).code == os.EX_UNAVAILABLE
        assert all(one(found, name).mend for name in names[1:])
        assert steps[-1] == (Part.DEVICES, 3, 3)


async def test_a_password_that_one_device_refuses_is_not_tried_at_the_others(tmp_path):
    async with Site(3) as site:
        site.write(tmp_path / "site")
        described = [{**each, "password": "not this"} for each in site.describe()["devices"]]
        installation = install(
            tmp_path / "roomd",
            devices=described,
            broker_url="mqtt://127.0.0.1:1",
            device_ca=tmp_path / "site" / "ca.pem",
        )
        text = installation.config.read_text()
        named = re.findall(r"password_file = .*", text)[0]
        installation.config.write_text(re.sub(r"password_file = .*", named, text))
        found = await examined(installation, Part.DEVICES)
    (refused,) = [each for each in found if each.verdict is Verdict.WRONG]
    assert refused.code == os.EX_NOPERM
    assert "log-ins" in (refused.mend or "")
    untried = one(found, described[1]["room"], "not tried")
    assert described[2]["room"] in untried.what
    assert untried.verdict is Verdict.ADVICE


@pytest.mark.slow
async def test_a_devices_time_begins_when_its_turn_comes(tmp_path, monkeypatch):
    monkeypatch.setattr(device_checks, "DEVICE_WITHIN_S", 3.0)

    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(-1)
        writer.close()

    silent = await asyncio.start_server(says_nothing, "127.0.0.1", 0)
    async with silent, Site(2) as site:
        site.write(tmp_path / "site")
        described = [dict(each) for each in site.describe()["devices"]]
        port = silent.sockets[0].getsockname()[1]
        described[0] |= {"host": "127.0.0.1", "port": port, "ssh_port": port}
        installation = install(
            tmp_path / "roomd",
            devices=described,
            broker_url="mqtt://127.0.0.1:1",
            device_ca=tmp_path / "site" / "ca.pem",
        )
        text = installation.config.read_text()
        assert "[devices]\n" in text
        installation.config.write_text(text.replace("[devices]\n", "[devices]\ndial_at_once = 1\n"))
        found = await examined(installation, Part.DEVICES, at=None)
    assert one(found, described[0]["room"]).verdict is Verdict.WRONG
    assert one(found, described[1]["room"]).verdict is Verdict.OK


async def test_a_device_whose_transport_is_the_cloud_is_left_to_the_daemon_though_it_has_a_host(tmp_path):
    async with WebexCloud() as cloud:
        installation = webex(tmp_path, cloud, "a code")
        text = installation.config.read_text()
        device = """
[[rooms.devices]]
host = "127.0.0.1:1"
username = "roomd"
password_file = "webex-secret"
webex = "FOC1"
transport = "cloud"
"""
        installation.config.write_text(text + device)
        found = await examined(installation, Part.DEVICES)
    (finding,) = found
    assert finding.verdict is Verdict.ADVICE
    assert "only the running daemon asks" in finding.seen


# ── Microsoft 365 ─────────────────────────────────────────────────────────────────────────────────


def microsoft(
    directory: Path,
    serving: Serving,
    cloud: Microsoft365,
    *,
    rooms: str,
    secret_text: str = "s3cret",
    more: str = "",
) -> Installation:
    cloud.service = serving
    secret(directory, "graph-secret", secret_text)
    secret(directory, "cloud.pem", serving.pem.decode())
    return installed(
        directory,
        rooms=rooms,
        tables=f"""
[microsoft]
tenant = "{cloud.tenant}"
client_id = "{APP}"
secret_file = "graph-secret"
login_url = "{serving.url}"
graph_url = "{serving.url}"
ca_file = "cloud.pem"
{more}
""",
    )


@dataclass
class Tenant:
    cloud: Microsoft365
    serving: Serving
    directory: Path

    def installation(self, rooms: str, *, secret_text: str = "s3cret", more: str = "") -> Installation:
        return microsoft(
            self.directory, self.serving, self.cloud, rooms=rooms, secret_text=secret_text, more=more
        )


@pytest.fixture
async def tenant(tmp_path: Path) -> AsyncIterator[Tenant]:
    cloud = Microsoft365(client_id=APP, now=now)
    for name in ("fjord", "hall", "dale"):
        cloud.add_room(f"{name}@contoso.example")
    async with Serving(cloud.answer) as serving:
        yield Tenant(cloud, serving, tmp_path)
    assert cloud.problems == []
    wrote = {each.target for each in serving.seen if each.method != "GET"}
    assert {target.rpartition("/")[2] for target in wrote} <= {"token", "$batch"}


async def test_a_tenant_that_can_be_read_is_found_so(tenant):
    tenant.cloud.add("fjord@contoso.example", CANARY, AT, AT + timedelta(hours=1))
    found = await examined(tenant.installation("fjord\nhall\ndale"), Part.CALENDARS)
    assert [each.seen for each in found if each.part is Part.CALENDARS] == [
        "taken: a token was given",
        "3 rooms",
        "0 rooms by hand, 3 found by name",
        "3 of 3 can be read",
    ]
    assert exit_code(found) == 0


async def test_a_wrong_secret_is_the_operators_and_a_lost_consent_the_administrators(tenant):
    found = await examined(tenant.installation("fjord", secret_text="old"), Part.CALENDARS)
    assert "the secret's value" in (one(found, "credential").mend or "")
    assert exit_code(found) == os.EX_CONFIG
    tenant.cloud.faults.token_refusal = (400, "unauthorized_client", 700016)
    found = await examined(tenant.installation("fjord"), Part.CALENDARS)
    assert "administrator of the tenant" in (one(found, "consent").mend or "")
    assert exit_code(found) == os.EX_NOPERM


async def test_rooms_that_are_denied_or_unknown_are_named_each_with_its_mend(tenant):
    tenant.cloud.rooms["dale@contoso.example"].refusal = (
        403,
        "ErrorAccessDenied",
        "Access to OData is disabled.",
    )
    tenant.cloud.add_room("hidden@contoso.example", hidden=True)
    rooms = (
        'fjord\ndale\nvault: calendar = { microsoft = "hidden@contoso.example" }\n'
        'lost: calendar = { microsoft = "lost@contoso.example" }\nattic: calendar = { microsoft = false }'
    )
    found = await examined(tenant.installation(rooms), Part.CALENDARS)
    assert one(found, "links", "by hand").seen == "2 rooms by hand, 2 found by name, 1 left out"
    assert "hidden@contoso.example" in one(found, "links", "not in the list").seen
    assert one(found, "365, rooms").seen == "2 of 4 can be read"
    for room, code in (("dale", os.EX_NOPERM), ("lost", os.EX_CONFIG)):
        assert one(found, f"365, {room}").code == code
        assert one(found, f"365, {room}").mend
    assert not [each for each in found if "attic" in each.seen]


async def test_rooms_that_say_the_same_are_told_together(tenant):
    tenant.cloud.roles.discard("Calendars.Read")
    found = await examined(tenant.installation("fjord\nhall\ndale"), Part.CALENDARS)
    (wrong,) = [each for each in found if each.verdict is Verdict.WRONG]
    assert wrong.what == "Microsoft 365, dale, fjord, hall"
    assert "Calendars.Read" in (wrong.mend or "")


async def test_a_cloud_that_fails_in_the_middle_is_said_once(tenant):
    def fail(request: Request) -> Response | None:
        return Response(status=403, body=b"{}") if request.target.endswith("$batch") else None

    tenant.serving.interrupt = fail
    found = await examined(tenant.installation("fjord\nhall"), Part.CALENDARS)
    assert len([each for each in found if each.verdict is Verdict.WRONG]) == 1


async def test_without_the_list_of_rooms_those_with_an_address_are_read(tenant):
    tenant.cloud.roles.discard("Place.Read.All")
    by_hand = 'fjord: calendar = { microsoft = "fjord@contoso.example" }'
    found = await examined(tenant.installation(by_hand), Part.CALENDARS)
    assert one(found, "directory").verdict is Verdict.ADVICE
    assert one(found, "365, rooms").seen == "1 of 1 can be read"
    found = await examined(tenant.installation(f"{by_hand}\nhall"), Part.CALENDARS)
    assert one(found, "directory").verdict is Verdict.WRONG


async def test_doubts_and_rooms_without_a_calendar_are_for_a_person(tenant):
    tenant.cloud.add_room("north@contoso.example", "Meadow North")
    tenant.cloud.add_room("south@contoso.example", "Meadow South")
    found = await examined(tenant.installation("fjord\nmeadow\nwardrobe"), Part.CALENDARS)
    doubt = one(found, "365, meadow")
    assert doubt.verdict is Verdict.ADVICE
    assert 'calendar = { microsoft = "north@contoso.example" }' in (doubt.mend or "")
    assert "wardrobe" in one(found, "without a calendar").seen


async def test_what_exchange_does_to_meetings_is_told_with_the_line_that_mends_it(tenant):
    for starts in SLOTS:
        slot = (AT + starts, AT + starts + timedelta(minutes=20))
        tenant.cloud.add("fjord@contoso.example", "", *slot)
        tenant.cloud.add("hall@contoso.example", "Ada Lovelace", *slot)
        tenant.cloud.add("dale@contoso.example", CANARY, *slot)
    found = await examined(tenant.installation("fjord\nhall\ndale"), Part.CALENDARS)
    deleted, added = one(found, "mailboxes", "DeleteSubject"), one(found, "mailboxes", "AddOrganizer")
    assert "fjord@" in deleted.seen
    assert "hall@" in added.seen
    assert deleted.mend == (
        "Set-CalendarProcessing -Identity fjord@contoso.example -AutomateProcessing AutoAccept "
        "-DeleteComments $false -DeleteSubject $false -AddOrganizerToSubject $false "
        "-RemovePrivateProperty $false -ProcessExternalMeetingMessages $true"
    )
    assert not [each for each in found if "dale@" in each.seen]
    assert exit_code(found) == 0


async def test_private_entries_say_nothing_of_a_mailbox(tenant):
    for starts in SLOTS:
        slot = (AT + starts, AT + starts + timedelta(minutes=20))
        tenant.cloud.add("fjord@contoso.example", CANARY, *slot, sensitivity="private")
    found = await examined(tenant.installation("fjord"), Part.CALENDARS)
    assert not [each for each in found if "mailboxes" in each.what]


async def test_a_cloud_that_is_away_is_away_and_no_more(tenant):
    installation = tenant.installation("fjord")
    text = installation.config.read_text().replace(tenant.serving.url, f"https://127.0.0.1:{free_port()}")
    installation.config.write_text(text)
    found = await examined(installation, Part.CALENDARS)
    assert one(found, "reach").verdict is Verdict.WRONG
    assert exit_code(found) == os.EX_UNAVAILABLE


# ── Google Workspace ──────────────────────────────────────────────────────────────────────────────


@dataclass
class Domain:
    cloud: Google
    serving: Serving
    directory: Path

    def installation(self, rooms: str) -> Installation:
        secret(self.directory, "google-key.json", self.cloud.key_file(self.serving.url))
        secret(self.directory, "cloud.pem", self.serving.pem.decode())
        return installed(
            self.directory,
            rooms=rooms,
            tables=f"""
[google]
key_file = "google-key.json"
subject = "{self.cloud.admin}"
calendar_url = "{self.serving.url}"
directory_url = "{self.serving.url}"
mail_url = "{self.serving.url}"
ca_file = "cloud.pem"
""",
        )


@pytest.fixture
async def domain(tmp_path: Path) -> AsyncIterator[Domain]:
    cloud = Google(now=now)
    async with Serving(cloud.answer) as serving:
        yield Domain(cloud, serving, tmp_path)
    assert {each.target for each in serving.seen if each.method != "GET"} <= {"/token"}


def event(starts: timedelta, **more: object) -> dict[str, Any]:
    start, end = AT + starts, AT + starts + timedelta(minutes=20)
    times = {"start": {"dateTime": start.isoformat()}, "end": {"dateTime": end.isoformat()}}
    return {"summary": CANARY, **times, **more}


async def test_a_domain_is_examined_room_by_room(domain):
    for name in ("Fjord", "Hall", "Dale"):
        domain.cloud.add_room(name)
    denied = domain.cloud.rooms[1]["resourceEmail"]
    domain.cloud.faults.denied.add(denied)
    found = await examined(domain.installation("fjord\nhall\ndale"), Part.CALENDARS)
    assert one(found, "credential").verdict is Verdict.OK
    assert one(found, "directory").seen == "3 rooms"
    assert one(found, "Workspace, rooms").seen == "2 of 3 can be read"
    assert one(found, "Workspace, hall").code == os.EX_NOPERM


async def test_a_delegation_that_was_taken_back_is_said_once(domain):
    domain.cloud.add_room("Fjord")
    domain.cloud.delegated.discard("calendar.readonly")
    found = await examined(domain.installation("fjord"), Part.CALENDARS)
    (wrong,) = [each for each in found if each.verdict is Verdict.WRONG]
    assert "elegation" in (wrong.mend or "")
    assert wrong.code == os.EX_NOPERM


async def test_links_that_google_adds_by_itself_are_pointed_out(domain):
    calendar = domain.cloud.add_room("Fjord")
    for number, starts in enumerate(SLOTS):
        calendar.put(event(starts, id=f"e{number}", hangoutLink="https://meet.google.com/abc-defg-hij"))
    found = await examined(domain.installation("fjord"), Part.CALENDARS)
    assert "@webex" in one(found, "links to join by").seen


# ── Webex, pushes and the daemon's word on calendars ──────────────────────────────────────────────


def webex(directory: Path, cloud: WebexCloud, code: str) -> Installation:
    secret(directory, "webex-secret", cloud.client_secret)
    secret(directory, "webex-code", code)
    secret(directory, "cloud.pem", cloud.pem.decode())
    return installed(
        directory,
        rooms="fjord",
        tables=f"""
[webex]
client_id = "{cloud.client_id}"
client_secret_file = "webex-secret"
activation_code_file = "webex-code"
ca_file = "cloud.pem"
[webex.key_urls]
us-east-2_a = "{cloud.key_url}"
""",
    )


async def test_an_activation_code_is_verified_and_not_used(tmp_path):
    async with WebexCloud() as cloud:
        good = webex(tmp_path, cloud, cloud.sign(cloud.activation()))
        found = await examined(good, Part.CALENDARS, at=datetime.now(UTC))
        assert one(found, "activation code").seen.endswith("Contoso")
        found = await examined(good, Part.CALENDARS, at=datetime.now(UTC) - timedelta(hours=1))
        assert exit_code(found) == os.EX_OSERR
        found = await examined(webex(tmp_path, cloud, "no code"), Part.CALENDARS)
        assert exit_code(found) == os.EX_CONFIG
        assert {each.target for each in cloud.seen} == {"/jwks"}


async def test_what_webex_once_granted_is_known_without_asking(tmp_path):
    async with WebexCloud() as cloud:
        installation = webex(tmp_path, cloud, "a code that was used long ago")
        installation.state.mkdir()
        kept = GrantFile(installation.state)
        access = XapiAccess(commands=("UserInterface.Message.*",))
        activation = Activation(
            org_id="org",
            org_name="Contoso",
            app_id="app",
            app_url=cloud.app_url,
            oauth_url=f"{cloud.api}/access_token",
            api_url=cloud.api,
            region="us-east-2_a",
            scopes=SCOPES,
            access=access,
            refresh_token="s3cret",
        )
        grant = Grant(
            activation=activation,
            refresh_token="s3cret",
            renewed_at=AT,
            lapses_at=AT + timedelta(days=90),
        )
        kept.keep(grant)
        found = await examined(installation, Part.CALENDARS)
        assert one(found, "grant").verdict is Verdict.OK
        assert "Bookings.List" in one(found, "manifest").seen
        found = await examined(installation, Part.CALENDARS, at=AT + timedelta(days=91))
        assert one(found, "grant").code == os.EX_NOPERM
        kept.wipe(Revocation(why="it was removed in Control Hub", at=AT))
        found = await examined(installation, Part.CALENDARS)
        assert "activate" in (one(found, "grant", "removed").mend or "")
        assert cloud.seen == []


async def test_a_grant_that_cannot_be_read_from_here_is_no_reason_to_activate_again(tmp_path):
    said: dict[str, Any] = {"service": "webex", "phase": "active", "why": None, "rooms": [], "hybrid": {}}
    async with WebexCloud() as cloud:
        installation = webex(tmp_path, cloud, "a code that was used long ago")
        (installation.state / GRANT).mkdir(parents=True)  # no user may read it
        finding = one(await examined(installation, Part.CALENDARS), "grant")
        assert finding.verdict is Verdict.ADVICE
        assert "sudo" in (finding.mend or "")
        (installation.state / GRANT).rmdir()
        (installation.state / GRANT).write_text("{")
        finding = one(await examined(installation, Part.CALENDARS), "grant", "damaged")
        assert (finding.verdict, finding.code) == (Verdict.WRONG, os.EX_CONFIG)
        async with answering(installation, picture(calendars=[said])):
            found = await examined(installation, Part.CALENDARS)
            assert one(found, "grant", "damaged").verdict is Verdict.ADVICE
            (installation.state / GRANT).unlink()
            GrantFile(installation.state).wipe(Revocation(why="long ago", at=AT))
            found = await examined(installation, Part.CALENDARS)
        assert exit_code(found) == 0
        assert not [each for each in found if "activat" in f"{each.what} {each.mend}"]
        assert cloud.seen == []


@pytest.mark.parametrize("phase", ["active", "connecting"])
async def test_what_an_integration_lacks_is_told_though_it_works(tmp_path, phase):
    said: dict[str, Any] = {
        "service": "webex",
        "phase": phase,
        "why": "lacks spark:all; approve the manifest",
        "rooms": [],
    }
    async with WebexCloud() as cloud:
        installation = webex(tmp_path, cloud, cloud.sign(cloud.activation()))
        async with answering(installation, picture(calendars=[said])):
            finding = one(await examined(installation, Part.CALENDARS), "in roomd")
    assert finding.verdict is Verdict.ADVICE
    assert finding.seen == f"{phase}: lacks spark:all"
    assert finding.mend == "approve the manifest"


async def test_hybrid_calendars_are_as_the_daemon_saw_them(tmp_path):
    hybrid = {"a": "living", "b": "configured", "c": "failing", "d": "none"}
    said: dict[str, Any] = {"service": "webex", "phase": "active", "why": None, "rooms": [], "hybrid": hybrid}
    async with WebexCloud() as cloud:
        installation = webex(tmp_path, cloud, cloud.sign(cloud.activation()))
        async with answering(installation, picture(calendars=[said])):
            found = await examined(installation, Part.CALENDARS, at=datetime.now(UTC))
    assert [each.seen for each in found if "Hybrid" in each.what] == [
        "configured for 2 of 4 rooms, seen alive in 1",
        "does not work in c",
        "no calendar in Control Hub: d",
    ]


async def test_the_daemons_word_on_integrations_is_told(tenant):
    calendars = [
        {
            "service": "microsoft",
            "phase": "revoked",
            "why": "nobody consented; an administrator must consent again",
            "rooms": [],
        }
    ]
    installation = tenant.installation("fjord")
    async with answering(installation, picture(calendars=calendars)):
        found = await examined(installation, Part.CALENDARS)
    finding = one(found, "in roomd")
    assert finding.seen == "revoked: nobody consented"
    assert finding.mend == "an administrator must consent again"
    assert exit_code(found) == os.EX_NOPERM


async def test_a_wrong_secret_is_told_once_though_the_daemon_knows_it_as_well(tenant):
    calendars = [
        {"service": "microsoft", "phase": "operator credential", "why": "the secret is refused", "rooms": []}
    ]
    installation = tenant.installation("fjord", secret_text="old")
    async with answering(installation, picture(calendars=calendars)):
        found = await examined(installation, Part.CALENDARS)
    assert len([each for each in found if each.verdict is Verdict.WRONG]) == 1


async def test_a_door_that_nobody_stands_at_is_found(tenant):
    port = free_port()
    authority = trustme.CA()
    issued = authority.issue_cert("roomd.example.com")
    installation = tenant.installation(
        "fjord",
        more=f"""
[pushes]
listen = "127.0.0.1:{port}"
url = "https://roomd.example.com/hooks"
certificate_file = "door.pem"
key_file = "door.key"
""",
    )
    secret(tenant.directory, "door.pem", issued.cert_chain_pems[0].bytes().decode())
    secret(tenant.directory, "door.key", issued.private_key_pem.bytes().decode())
    found = await examined(installation, Part.CALENDARS)
    assert one(found, "pushes", "nobody listens").verdict is Verdict.ADVICE
    rooms = [{"room": "fjord", "address": "fjord@contoso.example", "pushed": False}]
    said = picture(calendars=[{"service": "microsoft", "phase": "active", "why": None, "rooms": rooms}])
    async with answering(installation, said):
        found = await examined(installation, Part.CALENDARS)
        assert one(found, "pushes", "nobody listens").verdict is Verdict.WRONG
        assert one(found, "pushes", "0 of 1 rooms").verdict is Verdict.ADVICE
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
        async with server:
            found = await examined(installation, Part.CALENDARS)
        assert one(found, "pushes", "roomd listens").verdict is Verdict.OK
    assert one(found, "door.pem").verdict is Verdict.OK
    found = await examined(installation, Part.CALENDARS, at=datetime(3100, 1, 1, tzinfo=UTC))
    assert one(found, "door.pem").code == os.EX_CONFIG


# ── as a person and a machine see it ──────────────────────────────────────────────────────────────


async def test_findings_are_grouped_and_each_mend_stands_below(tmp_path, capsys):
    found: list[Finding] = []
    await consult(installed(tmp_path).config, {Part.FILE, Part.DAEMON}, found, as_json=False)
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert (lines[0], lines[1][:10]) == ("Configuration file", "  ok      ")
    assert "Running daemon" in lines
    assert any(line.startswith("          → ") for line in lines)
    assert shown.err == ""


async def test_what_is_wrong_is_told_once_more_where_it_has_long_passed_by(tmp_path, capsys):
    port = free_port()
    devices = [
        {
            "room": f"room-{number:02}",
            "host": f"127.9.0.{number}",
            "port": port,
            "ssh_port": port,
            "user": "roomd",
            "password": "s3cret",
            "fingerprint": "sha256:" + "0" * 64,
            "host_key": "SHA256:" + "0" * 43,
        }
        for number in range(1, 31)
    ]
    installation = install(tmp_path / "roomd", devices=devices, broker_url="mqtt://127.0.0.1:1")
    found: list[Finding] = []
    await consult(installation.config, {Part.DEVICES}, found, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert "30 wrong, 0 to think about" in lines
    assert lines[-1].startswith("  Devices: room-01 (127.9.0.1), ")
    assert "and 18 more" in lines[-1]


async def test_who_stops_reading_ends_it_without_a_word(tmp_path):
    ends, ours = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *installed(tmp_path).command("doctor", "--only", "file", "--only", "devices"),
        stdout=ours,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(ends)
    os.close(ours)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


def test_a_finding_is_folded_between_words_and_hangs_below_its_beginning():
    finding = Finding(
        part=Part.DISK, what="here", verdict=Verdict.WRONG, seen="one two three four five", mend="mend it so"
    )
    assert doctor.line_of(finding, 34).plain.splitlines() == [
        "  wrong   here: one two three four",
        "          five",
        "          → mend it so",
    ]
    assert "\n" not in doctor.line_of(replace(finding, mend=None), None).plain


@pytest.mark.slow
async def test_what_looks_like_an_emoji_is_told_as_it_is(tmp_path, capsys):
    installation = installed(tmp_path, broker_url="mqtt://[fd00:a:b::1]:1")
    installation.config.write_text(installation.config.read_text().replace("Europe/Oslo", "a:b:c"))
    await consult(installation.config, (Part.FILE,), [], as_json=True)
    assert "a:b:c" in capsys.readouterr().out


async def test_who_waits_sees_what_is_being_looked_at(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    await consult(installed(tmp_path).config, {Part.DISK}, [], as_json=False)
    told = capfd.readouterr()
    assert "Disk …" in told.err
    assert told.err.endswith("\r\x1b[K")
    assert "…" not in told.out


@pytest.mark.parametrize("how", [(), ("--json",)])
async def test_an_answer_that_finds_no_room_is_no_traceback(tmp_path, how):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        process = await asyncio.create_subprocess_exec(
            *installed(tmp_path).command("doctor", "--only", "file", *how),
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
        )
    _, err = await process.communicate()
    assert process.returncode == os.EX_IOERR
    assert err.decode() == "what was found cannot be written there: No space left on device\n"


async def test_a_file_that_cannot_be_used_is_told_to_be_all_that_was_looked_at(tmp_path, capsys):
    found: list[Finding] = []
    await consult(tmp_path / "none.toml", tuple(Part), found, as_json=False)
    assert [each.part for each in found] == [Part.FILE]
    assert "Nothing else was looked at" in capsys.readouterr().out


async def test_the_command_answers_in_json_and_by_its_exit_code(tmp_path):
    installation = installed(tmp_path, broker_url=f"mqtt://127.0.0.1:{free_port()}")
    code, out, err = await installation.ask("doctor", "--json", "--only", "file", "--only", "broker")
    told = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (os.EX_UNAVAILABLE, "")
    assert [(each["part"], each["severity"]) for each in told if each["severity"] != "advice"] == [
        ("file", "ok"),
        ("broker", "wrong"),
    ]
    code, _, err = await installation.ask("doctor", "--only", "weather")
    assert (code, "weather" in err) == (os.EX_USAGE, True)


@pytest.mark.slow
async def test_what_the_daemon_reads_and_what_is_seen_from_here_agree(tenant):
    tenant.cloud.now = lambda: datetime.now(UTC)
    tenant.cloud.rooms["dale@contoso.example"].refusal = (403, "ErrorAccessDenied", "Access is denied.")
    installation = tenant.installation("fjord\ndale")
    async with installation.running():
        async with asyncio.timeout(45):
            while not {"active", "degraded"} <= {  # noqa: ASYNC110  another process reads them
                room["phase"] for room in await rooms_of(installation)
            }:
                await asyncio.sleep(0.1)
        code, out, _ = await installation.ask("doctor", "--json", "--only", "calendars")
    told = {each["what"]: each["severity"] for each in map(json.loads, out.splitlines())}
    assert told["Microsoft 365, in roomd"] == "ok"
    assert told["Microsoft 365, rooms"] == "ok"
    assert told["Microsoft 365, dale"] == "wrong"
    assert code == os.EX_NOPERM


async def rooms_of(installation: Installation) -> list[dict[str, Any]]:
    with contextlib.suppress(DaemonAbsent):
        async for answer in ask(installation.socket, "calendars"):
            return [room for each in answer["calendars"] for room in each["rooms"]]
    return []


@pytest.mark.slow
async def test_beside_a_running_daemon_its_word_counts_and_no_device_is_dialled_again_unasked(tmp_path):
    async with house(tmp_path, rooms=2, feedback=True) as h:
        await h.heard()
        logins = [each.logins for each in h.devices]
        code, out, _ = await h.ask("doctor", "--json")
        told = [json.loads(line) for line in out.splitlines()]
        assert not [each for each in told if each["severity"] == "wrong"]
        assert code == 0
        assert {each["part"] for each in told} == {part.value for part in Part}
        seen = {each["what"]: each["seen"] for each in told if each["part"] == "devices"}
        assert "listens on" in seen.pop("feedback")
        assert seen.keys() >= {f"{each.room} ({each.host})" for each in h.devices}
        heard = [each for what, each in seen.items() if not what.startswith("RoomOS ")]
        assert all("over websocket" in each and "certificate" in each for each in heard)
        assert [each.logins for each in h.devices] == logins
        code, out, _ = await h.ask("doctor", "--json", "--thorough", "--only", "devices")
        told = [json.loads(line) for line in out.splitlines()]
        heard = [each["seen"] for each in told if each["what"].startswith("room-")]
        assert code == 0
        assert all("2 of 30 sessions open" in each for each in heard)  # roomd's, and this one
        assert [each.logins for each in h.devices] == [before + 1 for before in logins]


# ── the page for administrators ───────────────────────────────────────────────────────────────────


def test_the_manifest_on_the_page_is_what_roomd_asks_webex_for():
    (manifest,) = (json.loads(text) for text in fenced("json"))
    assert {each["scope"] for each in manifest["apiAccess"]} == set(SCOPES)
    paths = {kind: {each["path"] for each in manifest["xapiAccess"][kind]} for kind in manifest["xapiAccess"]}
    assert paths == {
        "status": set(MANIFEST.statuses),
        "commands": set(MANIFEST.commands),
        "events": set(MANIFEST.events),
    }


def test_the_scopes_and_the_exchange_line_on_the_page_are_those_of_the_code():
    (scopes,) = fenced("text")
    assert set(scopes.split()) == {google_calendar.SCOPES[each] for each in (Feature.CALENDAR, Feature.ROOMS)}
    assert any(SETTLED in text for text in fenced("powershell"))


def fenced(kind: str) -> list[str]:
    """The blocks of this kind on the page."""
    page = (Path(__file__).parents[2] / "docs" / "calendars.md").read_text(encoding="utf-8")
    return re.findall(rf"^ *```{kind}\n(.*?)^ *```", page, re.DOTALL | re.MULTILINE)
