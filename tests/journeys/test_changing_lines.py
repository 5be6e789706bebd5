"""A device that is heard over another line, and a room that several devices serve: nothing of it is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.house import HASTE, House, house
from tests.simulator.bookings import Answer
from tests.simulator.device import Device

pytestmark = pytest.mark.slow

ROOM = "room-0001"
LOOKING = f"{HASTE},looks"  # "devices" makes roomd look for a better line every half second


def heard_over(transport: str, *, why: str = "") -> Callable[[Mapping[str, Any]], object]:
    """Of an availability: its only device is heard over this line, and no better one because of that.

    Who is asked over HTTP now and then lacks something, and the room is degraded.
    """

    def is_so(told: Mapping[str, Any]) -> bool:
        (device,) = told["devices"]
        return (
            told["state"] == ("degraded" if transport == "http" else "available")
            and device["transport"] == transport
            and why in (device["transport_why"] or "")
            and bool(device["transport_why"]) == bool(why)
        )

    return is_so


async def shown(h: House) -> tuple[Mapping[str, Any], str]:
    """What `roomd rooms` says of the first device, and of all to people."""
    code, out, _ = await h.ask("rooms", "--json")
    assert code == 0
    (room, *_) = json.loads(out)["rooms"]
    code, words, _ = await h.ask("rooms")
    assert code == 0
    device: Mapping[str, Any] = room["availability"]["devices"][0]
    return device, " ".join(words.split())


async def test_a_line_that_is_lost_in_mid_request_is_replaced_and_comes_back(tmp_path):
    async with house(tmp_path, haste=LOOKING) as h:
        (device,) = h.devices
        await h.heard()
        await h.retained(device, heard_over("websocket"), what="availability")
        device.book_in_outlook("Kept", start=device.now() + timedelta(hours=3))
        request = device.request_booking(
            "Ad hoc", start=device.now() + timedelta(minutes=20), answer=Answer(outcome="by_hand")
        )
        requested = await h.told("booking.requested", of=device)

        device.offer(websocket=False, ssh=True, http=True)
        device.cut()
        device.confirm(request)  # nobody hears it
        found = device.book_in_outlook("Found", start=device.now() + timedelta(hours=1))
        reach = await h.retained(device, heard_over("ssh", why="websocket: "), what="availability")
        confirmed = await h.told("booking.confirmed", of=device, key=requested["subject"])
        assert confirmed["recovered"] is True
        await h.listed(device, "Ad hoc", "Found", "Kept")
        seen, words = await shown(h)
        assert (seen["transport"], seen["transport_why"]) == ("ssh", reach["devices"][0]["transport_why"])
        assert "heard over ssh" in words.lower()
        assert str(seen["transport_why"]) in words

        again = device.request_booking(
            "Again", start=device.now() + timedelta(minutes=60 * 4), answer=Answer(outcome="by_hand")
        )
        requested_again = await h.told(
            "booking.requested", of=device, where=lambda data: data["title"] == "Again"
        )
        device.offer(websocket=False, ssh=False, http=True)
        device.cut()
        device.delete(found.id)
        device.confirm(again)
        await h.retained(device, heard_over("http", why="ssh: "), what="availability")
        await h.told("booking.confirmed", of=device, key=requested_again["subject"])
        await h.listed(device, "Ad hoc", "Again", "Kept")

        last = device.request_booking(
            "Last", start=device.now() + timedelta(hours=5), answer=Answer(after_s=0.7, listed_early=True)
        )
        device.offer(websocket=True, ssh=True, http=True)
        await h.retained(device, heard_over("websocket"), what="availability")
        await h.listed(device, "Ad hoc", "Again", "Kept", "Last")
        assert last
        seen, words = await shown(h)
        assert (seen["transport"], seen["transport_why"]) == ("websocket", None)
        assert "heard over" not in words.lower()

        (deleted,) = h.all_told("booking.deleted")
        assert deleted["data"]["title"] == "Found"
        assert not h.all_told("booking.expired")
        assert not h.all_told("booking.failed")
        confirmations = [each["subject"] for each in h.all_told("booking.confirmed")]
        assert len(confirmations) == len(set(confirmations)) == 5
        await h.delivered()


# ── several devices ───────────────────────────────────────────────────────────────────────────────


def of_one_room(site: Any, described: list[dict[str, Any]]) -> None:  # noqa: ANN401
    """A codec, a board beside it, and a navigator."""
    for each, transport in zip(described, ("websocket", "ssh", "http"), strict=True):
        each |= {"room": ROOM, "transport": transport}
    navigator: Device = site.devices[2]
    navigator.set_status({("Status", "SystemUnit", "ProductId"): "Cisco Room Navigator"})
    navigator.lack(
        "Command Bookings",
        "Event Bookings",
        "Status Bookings",
        "Status RoomAnalytics PeopleCount",
    )


async def test_the_devices_of_a_room_tell_of_one_room(tmp_path):
    async with house(tmp_path, rooms=3, arrange=of_one_room, haste=LOOKING) as h:
        codec, board, _ = h.devices
        reach = await h.retained(
            ROOM, lambda told: all(d["phase"] == "connected" for d in told["devices"]), what="availability"
        )
        assert [(d["device"], d["transport"]) for d in reach["devices"]] == [
            (ROOM, "websocket"),
            (f"{ROOM}-2", "ssh"),
            (f"{ROOM}-3", "http"),
        ]
        assert (reach["state"], reach["why"]) == ("available", None), reach

        # one booking, heard from two that number it differently
        start = codec.now() + timedelta(hours=1)
        board.book_in_outlook("Board only", start=start + timedelta(hours=2))
        weekly = codec.book_in_outlook("Weekly", start=start)
        board.book_in_outlook("Weekly", start=start, meeting_id=weekly.meeting_id)
        state = await h.listed(ROOM, "Board only", "Weekly")
        (entry,) = (each for each in state["agenda"] if each["title"] == "Weekly")
        assert entry["meeting_id"] == weekly.meeting_id
        assert len(h.all_told("booking.confirmed")) == 2

        # people are the codec's
        board.count_people(9)
        codec.count_people(2)
        await h.retained(ROOM, lambda state: state["occupancy"]["people"] == 2)

        # one that is lost degrades, and does not blind
        codec.fault(handshake_status=502)
        codec.cut()
        lost = await h.told("device.lost")
        assert lost["subject"] == ROOM
        reach = await h.retained(ROOM, lambda told: told["state"] == "degraded", what="availability")
        assert reach["why"].startswith(f"{ROOM}: ")
        moved = board.agenda()[0]
        board.move(moved.id, start=start + timedelta(minutes=15))
        codec.move(weekly.id, start=start + timedelta(minutes=15))
        told = await h.told("booking.moved", key=entry["key"])
        assert told["data"]["meeting_id"] == weekly.meeting_id
        board.book_in_outlook("While it was away", start=start + timedelta(hours=3))
        await h.listed(ROOM, "Board only", "Weekly", "While it was away")
        assert not h.all_told("booking.deleted")

        # and it comes back
        codec.clear_faults()
        await h.retained(ROOM, lambda told: told["state"] == "available", what="availability")
        codec.delete(weekly.id)
        board.delete(moved.id)
        deleted = await h.told("booking.deleted")
        assert deleted["subject"] == entry["key"]
        await h.listed(ROOM, "Board only", "While it was away")
        stories: dict[str, list[str]] = {}
        for event in h.all_told():
            if event["type"].startswith("roomd.booking."):
                past = event["type"].split(".")[2]
                stories.setdefault(event["subject"], []).extend([past] if past != "updated" else [])
        assert stories[entry["key"]] == ["confirmed", "moved", "deleted"]
        assert len(stories) == 3, stories
        await h.delivered()
