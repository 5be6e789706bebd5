"""What a running roomd tells Prometheus, over the socket at which anybody at the machine may ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from tests.agent.test_metrics import Scraped, promtool
from tests.journeys.house import SEEN_WITHIN_S, House, house

pytestmark = pytest.mark.slow


async def scraped(h: House, where: Callable[[Scraped], object] = lambda _: True) -> Scraped:
    """What it tells, as soon as this is so."""
    transport = httpx.AsyncHTTPTransport(uds=str(h.installation.directory / "http.sock"))
    async with asyncio.timeout(SEEN_WITHIN_S), httpx.AsyncClient(transport=transport) as client:
        while True:
            answer = await client.get("http://localhost/metrics")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            told = Scraped(answer.content)
            if where(told):
                return told
            await asyncio.sleep(0.05)


async def test_a_running_roomd_tells_of_rooms_devices_and_what_was_delivered(tmp_path):
    async with house(tmp_path, rooms=2, feedback=True) as h:
        first, second = h.devices
        await h.heard()
        first.count_people(3)
        await h.counted(first, 3)
        judged = await h.delivered()
        assert judged
        told = await scraped(h, lambda told: told("roomd_outbox_envelopes") == 0)
        of_first = {"device": first.room, "room": first.room}
        assert told("roomd_device_phase", **of_first, phase="connected") == 1
        assert told("roomd_device_line", **of_first, transport="websocket") == 1
        assert told("roomd_device_connects_total", **of_first) == 1
        assert told("roomd_room_people", room=first.room) == 3
        assert told("roomd_facts_recorded_total", room=first.room, type="occupancy.changed")
        assert told("roomd_broker_connected") == 1
        assert told("roomd_broker_connects_total") == 1
        delivered = told("roomd_outbox_acknowledged_total")
        assert delivered
        assert told("roomd_outbox_delivery_seconds_count") == delivered
        assert told("roomd_callers_total", door="feedback", outcome="strangers") == 0
        promtool(["check", "metrics"], tmp_path, stdin=told.text)

        of_second = {"device": second.room, "room": second.room}
        second.fault(handshake_status=502)
        second.cut()
        await scraped(h, lambda told: told("roomd_device_phase", **of_second, phase="lost") == 1)
        second.clear_faults()
        told = await scraped(h, lambda told: told("roomd_device_connects_total", **of_second) == 2)
        assert told("roomd_device_losses_total", **of_second) == 1
        assert told("roomd_device_connects_total", **of_first) == 1
