"""Somebody looks in over HTTP while a real roomd hears its devices: what they see follows what happens."""

from __future__ import annotations

import ssl
from http import HTTPStatus

import httpx
import pytest

from tests.event_stream import events, heard
from tests.journeys.house import House, house

pytestmark = pytest.mark.slow


def looking(house: House) -> httpx.AsyncClient:
    """A client at the socket that is beside the command line's."""
    socket = house.installation.socket.with_name("http.sock")
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=20)


async def test_what_happens_in_a_room_is_seen_while_it_happens_and_the_end_is_clean(tmp_path):
    async with house(tmp_path, rooms=2) as there, looking(there) as client:
        await there.heard()
        device = there.devices[0]
        async with client.stream("GET", "/api/events") as response:
            stream = events(response)
            await heard(stream, "site")
            device.count_people(3)
            fact = await heard(stream, "fact", lambda fact: fact["data"].get("people") == 3)
            assert fact.data["type"] == "roomd.occupancy.changed.v1"
            shown = await heard(stream, "room", lambda room: room["people"] == 3)
            assert (shown.data["room"], shown.data["condition"]) == (device.room, "in_use")
            published = await there.counted(device, 3)
            assert published == fact.data  # the same as the cloud is told
            room = (await client.get(f"/api/rooms/{device.room}")).json()
            assert (room["people"], set(room)) == (3, set(shown.data))
            free = (await client.get("/api/rooms/free")).json()["rooms"]
            assert [each["room"] for each in free] == [there.devices[1].room]
            site = (await client.get("/api/site")).json()
            assert (site["broker"]["connected"], site["devices"]["connected"]) == (True, 2)
            assert (await client.get("/readyz")).status_code == HTTPStatus.OK
            assert b"roomd_" in (await client.get("/metrics")).content
            await there.roomd.stop()  # within systemd's patience, and somebody still listens
            assert not {each.kind async for each in stream} - {"site", "room", "fact"}
        assert there.roomd.code == 0
        assert "ERROR" not in there.roomd.log.upper()
