"""Rooms whose calendars are at Microsoft or Google: read, believed, lost, consented to, and written in."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from cloud_link.calendars.webex_codes import MANIFEST
from tests.brokers.ports import free_port
from tests.clouds.google import Google, write_time
from tests.clouds.microsoft import READ_WRITE, Microsoft365
from tests.clouds.serving import Serving
from tests.clouds.webex import WebexCloud
from tests.clouds.webex_devices import Registration
from tests.installation import google_table, microsoft_table, pushes_table, webex_table
from tests.journeys.house import HASTE, House, house
from tests.simulator.bookings import Answer
from tests.simulator.site import Site

pytestmark = pytest.mark.slow

APPLICATION: Final = "6f1c9a02-7d0b-4c1e-9b53-0c7f1c1f5a11"
HURRY: Final = f"{HASTE},calendars"
SLOWLY_S: Final = 30.0  # what is refused twice, with minutes between that are seconds here

Json = Mapping[str, Any]


class Microsoft:
    """A tenant with rooms, and how roomd gets there."""

    def __init__(self) -> None:
        self.tenant: Final = Microsoft365(client_id=APPLICATION)
        self.serving: Final = Serving(self.tenant.answer)
        self.tenant.service = self.serving
        self.more = ""  # in the table
        self._door_port: int | None = None

    def pushes(self, port: int) -> None:
        """Have roomd listen there for what the tenant tells."""
        self._door_port = port
        self.tenant.receiver = self.serving.client_context()

    def add_room(self, id_: str, name: str) -> str:
        """A line of the configuration that links it."""
        return (
            f'calendar = {{ microsoft = "{self.tenant.add_room(f"{id_}@contoso.example", name).address}" }}'
        )

    def book(self, id_: str, title: str, starts_at: datetime, *, minutes: int = 30) -> str:
        ends_at = starts_at + timedelta(minutes=minutes)
        return self.tenant.add(f"{id_}@contoso.example", title, starts_at, ends_at)

    def titles(self, id_: str) -> list[str]:
        mailbox = self.tenant.rooms[f"{id_}@contoso.example"]
        return [str(entry.fields["subject"]) for entry in mailbox.entries.values()]

    def tables(self, directory: Path) -> str:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "clouds.pem").write_bytes(self.serving.pem)
        table = microsoft_table(
            directory,
            url=self.serving.url,
            tenant=self.tenant.tenant,
            client_id=APPLICATION,
            secret="s3cret",
        )
        tables = [table, self.more]
        if self._door_port is not None:
            tables.append(pushes_table(directory, port=self._door_port, authority=self.serving.authority))
        return "\n".join(tables)

    def take_consent_back(self) -> None:
        """As an administrator does: no token is given any more, and those that were are worth nothing."""
        self.tenant.faults.token_refusal = (400, "unauthorized_client", 700016)
        self.tenant._tokens.clear()  # noqa: SLF001 - the stand-in has no word for it

    def consent(self) -> None:
        self.tenant.faults.token_refusal = None


@asynccontextmanager
async def microsoft() -> AsyncIterator[Microsoft]:
    office = Microsoft()
    async with office.serving:
        yield office


def later(minutes: int = 60) -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=minutes)


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def of_the_agent(
    h: House, kind: str, where: Callable[[Json], object] = lambda _: True, *, within_s: float = 15.0
) -> Json:
    """What the agent itself tells of a service's calendars."""

    def found() -> list[Json]:
        return [
            event.body
            for event in h.recorder.events
            if event.stream == "agents/agent-1" and event.kind == kind and where(event.body["data"])
        ]

    await h.recorder.until(found, within_s=within_s)
    return found()[-1]


async def shown(h: House, service: str) -> Json:
    """What `roomd calendars` says."""
    code, out, err = await h.ask("calendars", "--json")
    assert (code, err) == (0, "")
    (found,) = [each for each in map(json.loads, out.splitlines()) if each["service"] == service]
    return dict(found)


async def test_a_room_without_any_device_has_its_bookings_from_microsoft(tmp_path):
    async with microsoft() as office:
        links = {"attic": office.add_room("attic", "Attic")}
        office.book("attic", "Design review", later())
        async with house(
            tmp_path, rooms=0, haste=HURRY, tables=office.tables, links=links, bare=[("attic", "Attic")]
        ) as h:
            confirmed = await h.told("booking.confirmed", of="attic")
            assert confirmed["data"]["calendar"] == "microsoft"
            assert confirmed["data"]["title"] == "Design review"
            assert confirmed["data"]["ical_uid"]
            connected = await h.told("calendar.connected", of="attic")
            assert connected["data"]["calendar"] == "microsoft"
            own = await of_the_agent(h, "calendar.connected")
            assert own["source"] == "/sites/journey/agents/agent-1"
            assert (own["subject"], own["data"]["phase"]) == ("microsoft", "active")
            state = await h.listed("attic", "Design review")
            assert state["calendar"]["believed"] == "microsoft"
            assert state["calendar"]["fresh"] is True
            reach = await h.retained("attic", lambda it: it["state"] == "available", what="availability")
            assert [each["calendar"] for each in reach["calendars"]] == ["microsoft"]

            (key,) = office.tenant.rooms["attic@contoso.example"].entries
            starts = later(120)
            office.tenant.change(
                "attic@contoso.example", key, starts=starts, ends=later(150), subject="Review"
            )
            moved = await h.told("booking.moved", of="attic", key=confirmed["subject"])
            assert moved["data"]["starts_at"] == stamp(starts)

            said = await shown(h, "microsoft")
            assert (said["phase"], said["why"]) == ("active", None)
            (room,) = said["rooms"]
            assert (room["room"], room["address"], room["ground"], room["phase"]) == (
                "attic",
                "attic@contoso.example",
                "by hand",
                "active",
            )
            code, out, err = await h.ask("rooms")
            assert (code, err) == (0, "")
            assert "microsoft" in out
            health = await h._latest("agents/agent-1/health", lambda it: it["calendars"], within_s=15)  # noqa: SLF001
            assert [each["service"] for each in health["calendars"]] == ["microsoft"]


async def test_a_room_is_found_by_its_name_and_a_doubtful_one_is_left_to_a_person(tmp_path):
    async with microsoft() as office:
        office.add_room("attic", "Attic")
        office.add_room("dal-1", "Dal 1")
        office.add_room("dal-2", "Dal 2")
        office.book("attic", "Design review", later())
        async with house(
            tmp_path,
            rooms=0,
            haste=HURRY,
            tables=office.tables,
            bare=[("attic", "Attic"), ("dal", "Dal")],
        ) as h:
            await h.listed("attic", "Design review")
            code, out, err = await h.ask("link", "--json")
            assert (code, err) == (0, "")
            said = json.loads(out)
            grounds = {room["room"]: room["ground"] for room in said["rooms"]}
            assert grounds == {"attic": "name", "dal": None}
            (doubt,) = said["doubts"]
            assert doubt["room"] == "dal"
            assert {one["id"] for one in doubt["candidates"]} >= {
                "dal-1@contoso.example",
                "dal-2@contoso.example",
            }
            code, out, err = await h.ask("link")
            assert (code, err) == (0, "")
            assert 'calendar = { microsoft = "dal-1@contoso.example" }' in out

            # A restart knows what was found, also while Microsoft cannot be asked.
            await h.roomd.stop()
            office.tenant.faults.token_refusal = (503, "temporarily_unavailable", 90033)
            await h.start()
            state = await h.retained("attic", what="availability")
            assert [each["calendar"] for each in state["calendars"]] == ["microsoft"]


async def test_a_booking_made_on_a_device_is_confirmed_by_what_microsoft_shows(tmp_path):
    async with microsoft() as office:
        links = {"room-0001": office.add_room("room-0001", "Room 1")}
        async with house(tmp_path, haste=HURRY, tables=office.tables, links=links) as h:
            (device,) = h.devices
            await h.retained(device, lambda state: state["calendar"]["believed"] == "microsoft")
            starts_at = later(20)
            device.request_booking("Ad hoc", start=starts_at, duration_min=30, answer=Answer(after_s=600.0))
            requested = await h.told("booking.requested", of=device)
            office.book(device.room, "Ad hoc", starts_at)
            confirmed = await h.told("booking.confirmed", of=device, key=requested["subject"])
            assert confirmed["data"]["calendar"] == "microsoft"
            assert confirmed["data"]["request_id"] == requested["data"]["request_id"]
            assert confirmed["data"]["after_s"] > 0.0
            state = await h.listed(device, "Ad hoc")
            (entry,) = state["agenda"]
            assert entry["key"] == requested["subject"]
            assert len(h.all_told("booking.requested", of=device)) == 1
            assert len({body["subject"] for body in h.all_told(of=device) if "booking" in body["type"]}) == 1


async def test_microsoft_tells_of_changes_where_it_can_reach_us(tmp_path):
    async with microsoft() as office:
        links = {"attic": office.add_room("attic", "Attic")}
        office.pushes(free_port())
        async with house(
            tmp_path, rooms=0, haste=HURRY, tables=office.tables, links=links, bare=[("attic", "Attic")]
        ) as h:
            await h.told("calendar.connected", of="attic")
            async with asyncio.timeout(SLOWLY_S):
                while not (await shown(h, "microsoft"))["rooms"][0]["pushed"]:  # noqa: ASYNC110 -- its process
                    await asyncio.sleep(0.1)
            (subscription,) = office.tenant.subscriptions.values()
            assert subscription.address == "attic@contoso.example"
            office.book("attic", "Design review", later())
            await office.tenant.notify("attic@contoso.example", change="created")
            await h.listed("attic", "Design review")
            assert [status for _, status in office.tenant.delivered] == [202]
            code = await h.roomd.stop()
            assert code == 0
            assert "pushes.not_opened" not in h.roomd.log
            assert office.tenant.subscriptions, "it is found again by the next life"


async def test_a_door_that_cannot_be_opened_stops_nobody(tmp_path):
    async with microsoft() as office:
        links = {"attic": office.add_room("attic", "Attic")}
        office.book("attic", "Design review", later())
        office.pushes(office.serving.port)  # somebody is there already
        async with house(
            tmp_path, rooms=0, haste=HURRY, tables=office.tables, links=links, bare=[("attic", "Attic")]
        ) as h:
            await h.listed("attic", "Design review")
            assert "pushes.not_opened" in h.roomd.log
            assert office.tenant.subscriptions == {}
            _, out, _ = await h.ask("calendars")
            assert "nobody can call at" in " ".join(out.split())


async def test_consent_that_is_taken_back_falls_back_on_devices_and_comes_again(tmp_path):
    async with microsoft() as office:
        links = {"room-0001": office.add_room("room-0001", "Room 1")}
        async with house(tmp_path, haste=HURRY, tables=office.tables, links=links, start=False) as h:
            (device,) = h.devices
            lasting = later(-30)
            office.book(device.room, "Open house", lasting, minutes=8 * 60)
            device.book_in_outlook("Open house", start=lasting, duration_min=8 * 60)
            seen: list[list[str]] = []
            h.recorder.on_state = lambda state: seen.append([each["title"] for each in state["agenda"]])
            await h.start()
            await h.listed(device, "Open house")
            await h.retained(device, lambda state: state["calendar"]["believed"] == "microsoft")
            await h.told("booking.confirmed", of=device)
            (key,) = {body["subject"] for body in h.all_told("booking.confirmed", of=device)}
            first = len(seen)

            office.take_consent_back()
            revoked = await of_the_agent(h, "calendar.revoked", within_s=SLOWLY_S)
            assert revoked["data"]["phase"] == "revoked"
            assert "roomd calendars connect microsoft" in revoked["data"]["why"]
            of_room = await h.told("calendar.revoked", of=device)
            assert of_room["data"]["calendar"] == "microsoft"
            switched = await h.told(
                "calendar.switched", of=device, where=lambda data: data["previous"] == "microsoft"
            )
            assert switched["data"]["calendar"] == "hybrid"
            state = await h.retained(device, lambda state: state["calendar"]["believed"] == "hybrid")
            assert [each["key"] for each in state["agenda"]] == [key]

            # It stays off over a restart, until somebody says that consent was given again.
            assert (await shown(h, "microsoft"))["phase"] == "revoked"
            code, _, _ = await h.ask("calendars", "connect", "microsoft")
            assert code in {os.EX_OK, os.EX_NOPERM, os.EX_TEMPFAIL}, "it was not given yet"
            office.consent()
            code, out, err = await h.ask("calendars", "connect", "microsoft")
            assert code == 0
            assert out.startswith("microsoft: ")
            assert "waited for no consent" not in err
            await h.told(
                "calendar.switched",
                of=device,
                where=lambda data: data["previous"] == "hybrid" and data["calendar"] == "microsoft",
                within_s=SLOWLY_S,
            )
            await h.retained(device, lambda state: state["calendar"]["believed"] == "microsoft")
            assert all(titles == ["Open house"] for titles in seen[first:]), "no empty room in between"
            code, out, err = await h.ask("calendars", "connect", "microsoft")
            assert (code, out) == (0, "microsoft: active\n")
            assert "waited for no consent" in err
            assert not h.all_told("booking.deleted", of=device)
            await h.delivered()


async def test_a_service_that_the_site_does_not_have_cannot_be_connected(tmp_path):
    async with house(tmp_path) as h:
        await h.heard()
        assert await h.roomd.stop() == 0
        with closing(sqlite3.connect(h.installation.state / "roomd.db")) as connection, connection:
            connection.execute("INSERT INTO calendar_watches VALUES ('w1', 'google', 'a@x.example', x'01')")
        await h.start()
        await h.roomd.until_up()
        with closing(sqlite3.connect(h.installation.state / "roomd.db")) as connection:
            assert not connection.execute("SELECT * FROM calendar_watches").fetchall()
        code, out, err = await h.ask("calendars", "connect", "microsoft")
        assert (code, out) == (os.EX_CONFIG, "")
        assert "[microsoft]" in err
        code, out, err = await h.ask("calendars", "connect", "outlook")
        assert (code, out) == (os.EX_USAGE, "")
        for command in ("calendars", "link"):
            code, out, err = await h.ask(command)
            assert (code, out) == (0, "")
            assert "[google]" in err


async def test_the_cloud_books_extends_and_releases_in_the_calendar(tmp_path):
    async with microsoft() as office:
        office.more = "writes = true"
        office.tenant.roles = set(READ_WRITE)
        links = {"attic": office.add_room("attic", "Attic")}
        async with house(
            tmp_path, rooms=0, haste=HURRY, tables=office.tables, links=links, bare=[("attic", "Attic")]
        ) as h:
            await h.told("calendar.connected", of="attic")
            starts_at = later(60)
            answer = await h.cloud.done(
                "attic",
                "booking.book",
                {"starts_at": starts_at.isoformat(), "duration_min": 30, "title": "From the cloud"},
            )
            assert answer["status"] == "done", answer
            assert office.titles("attic") == ["From the cloud"]
            confirmed = await h.told("booking.confirmed", of="attic")
            assert answer["result"]["key"] == confirmed["subject"]
            await h.retained(
                "attic", lambda state: [each["calendar"] for each in state["agenda"]] == ["microsoft"]
            )
            assert len({body["subject"] for body in h.all_told("booking.confirmed", of="attic")}) == 1

            key = {"key": confirmed["subject"]}
            extended = await h.cloud.done(
                "attic", "booking.extend", {**key, "ends_at": later(120).isoformat()}
            )
            assert extended["status"] == "done", extended
            released = await h.cloud.done("attic", "booking.release", key)
            assert released["status"] == "done", released
            await h.listed("attic")
            assert office.tenant.problems == []


async def test_a_cloud_that_hangs_holds_up_no_stop_and_what_was_ordered_is_answered(tmp_path):
    async with microsoft() as office:
        office.more = "writes = true"
        office.tenant.roles = set(READ_WRITE)
        links = {"attic": office.add_room("attic", "Attic")}
        async with house(
            tmp_path, rooms=0, haste=HURRY, tables=office.tables, links=links, bare=[("attic", "Attic")]
        ) as h:
            await h.told("calendar.connected", of="attic")
            await h.listed("attic")
            office.tenant.faults.writing_latency_s = 6.0
            order = {"starts_at": later().isoformat(), "duration_min": 30, "title": "From the cloud"}
            id_ = await h.cloud.give("attic", "booking.book", order)
            await h.recorder.until(lambda: h.cloud.answers(id_))
            assert [answer["status"] for answer in h.cloud.answers(id_)] == ["accepted"]
            async with asyncio.timeout(SLOWLY_S):
                await office.tenant.written.wait()
            assert await h.roomd.stop() == 0
            office.tenant.faults.writing_latency_s = 0.0
            await h.start()  # what is recorded is delivered by the next life
            answer = await h.cloud.answered(id_)
            assert answer["status"] == "done", answer


async def test_google_is_read_likewise(tmp_path):
    google = Google()
    async with Serving(google.answer) as serving:
        calendar = google.add_room("Attic")
        starts_at = later()
        calendar.put(
            {
                "id": "ev000001",
                "summary": "Design review",
                "start": {"dateTime": write_time(starts_at)},
                "end": {"dateTime": write_time(starts_at + timedelta(minutes=30))},
            }
        )

        def tables(directory: Path) -> str:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "clouds.pem").write_bytes(serving.pem)
            key = google.key_file(serving.url)
            return google_table(directory, url=serving.url, subject=google.admin, key=key)

        links = {"attic": f'calendar = {{ google = "{calendar.address}" }}'}
        async with house(
            tmp_path, rooms=0, haste=HURRY, tables=tables, links=links, bare=[("attic", "Attic")]
        ) as h:
            confirmed = await h.told("booking.confirmed", of="attic")
            assert confirmed["data"]["calendar"] == "google"
            await h.listed("attic", "Design review")
            calendar.delete("ev000001")
            await h.told("booking.deleted", of="attic", key=confirmed["subject"])
            await h.listed("attic")
            said = await shown(h, "google")
            assert [room["room"] for room in said["rooms"]] == ["attic"]
            google.delegated.clear()
            google._tokens.clear()  # noqa: SLF001 - the stand-in has no word for it
            revoked = await of_the_agent(h, "calendar.revoked", within_s=SLOWLY_S)
            assert revoked["subject"] == "google"


async def test_what_a_calendar_has_is_put_on_a_device_that_has_none_of_its_own(tmp_path):
    async with microsoft() as office:
        address = office.add_room("room-0001", "Room 1").split('"')[1]
        links = {"room-0001": f'calendar = {{ microsoft = "{address}", put_on_devices = true }}'}
        office.book("room-0001", "Design review", later())
        async with house(tmp_path, calendar="on_device", haste=HURRY, tables=office.tables, links=links) as h:
            (device,) = h.devices
            async with asyncio.timeout(SLOWLY_S):
                while [each.title for each in device.agenda()] != ["Design review"]:  # noqa: ASYNC110 -- its own
                    await asyncio.sleep(0.1)
            state = await h.listed(device, "Design review")
            assert [entry["calendar"] for entry in state["agenda"]] == ["microsoft"]
            await h.told("booking.confirmed", of=device)
            assert len({body["subject"] for body in h.all_told(of=device) if "booking" in body["type"]}) == 1
            assert "written permission" in h.roomd.log


# ── by way of Webex ───────────────────────────────────────────────────────────────────────────────


def reached_by(cloud: WebexCloud, directory: Path) -> str:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "clouds.pem").write_bytes(cloud.pem)
    return webex_table(
        directory,
        client_id=cloud.client_id,
        secret=cloud.client_secret,
        code=cloud.sign(cloud.activation()),
        key_url=cloud.key_url,
    )


async def test_a_device_that_only_webex_leads_to_is_heard_by_way_of_it(tmp_path):
    links: dict[str, str] = {}
    async with WebexCloud(poll_within_s=1.0) as cloud:
        cloud.manifest.update(
            commands=[*MANIFEST.commands], statuses=[*MANIFEST.statuses], events=[*MANIFEST.events]
        )

        def only_webex(site: Site, described: list[dict[str, Any]]) -> None:
            (device,) = site.devices
            Registration(cloud, device, cloud.add_workspace("Attic"))
            links["attic"] = f'[[rooms.devices]]\nwebex = "{device.serial}"'
            described.clear()

        async with house(
            tmp_path,
            haste=HURRY,
            tables=partial(reached_by, cloud),
            links=links,
            bare=[("attic", "Attic")],
            arrange=only_webex,
        ) as h:
            (device,) = h.devices
            connected = await h.told("device.connected", of="attic", within_s=SLOWLY_S)
            assert connected["data"]["transport"] == "cloud"
            own = await of_the_agent(h, "calendar.connected")
            assert (own["subject"], own["data"]["phase"]) == ("webex", "active")
            device.count_people(3)
            await h.told("occupancy.changed", of="attic", where=lambda data: data["people"] == 3)
            device.book_in_outlook("Weekly", start=later(60))
            await h.listed("attic", "Weekly")
            answer = await h.cloud.done("attic", "room.resync", {})
            assert answer["status"] == "done", answer
            said = await shown(h, "webex")
            assert [(room["room"], room["ground"]) for room in said["rooms"]] == [("attic", "name")]
            assert list(said["hybrid"]) == ["attic"]
            await h.delivered()
