"""The same day on every firmware and over every line: the same facts, but for what cannot be told there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest

from tests.journeys.house import HASTE, House, house
from tests.simulator.bookings import Answer, Booking
from tests.simulator.device import Device
from tests.simulator.firmware import ALL_VERSIONS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

LINES: Final = ("websocket", "ssh", "http called", "http polled")
ENDED_WITHIN_S: Final = 45.0  # our clock waits for the device's word for fifteen seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A firmware and a line to it."""

    version: str
    line: str

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))

    @property
    def transport(self) -> str:
        return self.line.split()[0]

    @property
    def polled(self) -> bool:
        return self.line == "http polled"


PAIRS: Final = tuple(
    Pair(version=version, line=line)
    for version, line in product(ALL_VERSIONS.values(), LINES)
    if line != "websocket" or not version.startswith("9.")  # there its WebSocket is off unless configured
)


# ── what is told ──────────────────────────────────────────────────────────────────────────────────

# Of each booking, by its title: the kinds of its facts in their order, with the cause where there is one.
PRIVATE: Final = "(private)"
THE_DAY: Final[Mapping[str, Sequence[str]]] = {
    "Ad hoc": ("requested", "confirmed", "started", "moved", "moved", "ended"),
    "Elsewhere": ("confirmed", "updated", "moved", "deleted: deleted"),
    "Refused": ("requested", "failed: declined"),
    "Left early": ("confirmed", "started", "deleted: checked_out"),
    "Kept": ("confirmed",),
    PRIVATE: ("confirmed",),
}
RETITLED: Final = {"Elsewhere again": "Elsewhere"}

# Of who came, which is told as it is seen: lines differ by seconds in that, and not in what comes of it.
VERDICTS: Final = ("booking.ghost", "booking.left_early", "booking.judged")
OF_ATTENDANCE: Final = {"attended", "deserted", "ghost", "left_early", "judged"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What is told otherwise where something cannot be told, and why."""

    where: Callable[[Pair], bool]
    booking: str
    told: Sequence[str]
    why: str


DIFFERENCES: Final = (
    Difference(
        where=lambda pair: pair.polled or pair.numbers < (10,),
        booking="Ad hoc",
        told=THE_DAY["Ad hoc"][1:],
        why="a listing does not have what is not confirmed, and who is polled or has only `Updated` "
        "tells nothing but listings",
    ),
    Difference(
        where=lambda pair: pair.polled or pair.numbers < (10,),
        booking="Refused",
        told=(),
        why="the same: it was never in a listing",
    ),
    Difference(
        where=lambda pair: not pair.polled and (10,) <= pair.numbers < (11, 23),
        booking="Refused",
        told=("requested",),
        why="BookingFailed is in 11.23 and newer; before, it is told as expired when its time is up, "
        "which is after this day",
    ),
    Difference(
        where=lambda pair: pair.polled or pair.numbers < (11, 14),
        booking="Left early",
        told=("confirmed", "started", "deleted: deleted"),
        why="the event Deleted, which has the cause, is in 11.14 and newer, and is not polled",
    ),
)


def expected(pair: Pair) -> Mapping[str, Sequence[str]]:
    other = {each.booking: each.told for each in DIFFERENCES if each.where(pair)}
    return {title: told for title, told in {**THE_DAY, **other}.items() if told}


def completes(event: Mapping[str, Any]) -> bool:
    """Whether it only adds what an event of the device does not say and its listing does."""
    before, after = event["data"]["previous"], event["data"]
    return all(value in {None, after[name]} for name, value in before.items() if name != "private")


def told(h: House, device: Device) -> Mapping[str, Sequence[str]]:
    """What was told of each booking of a room, as in THE_DAY."""
    stories: dict[str, list[str]] = {}
    titles: dict[str, str] = {}
    for event in h.all_told(of=device):
        noun, past = event["type"].removeprefix("roomd.").split(".")[:2]
        if noun != "booking" or past in OF_ATTENDANCE:
            continue
        data = event["data"]
        known = titles.get(data["key"], "")
        title = PRIVATE if data["private"] else data["title"] or known
        titles[data["key"]] = RETITLED.get(title, title)
        if past == "updated" and completes(event):
            continue
        cause = f": {data['cause']}" if data.get("cause") else ""
        stories.setdefault(data["key"], []).append(f"{past}{cause}")
    assert len(set(titles.values())) == len(titles), f"one booking under two keys: {titles} {stories}"
    return {titles[key]: tuple(story) for key, story in stories.items()}


async def attended(h: House, device: Device) -> None:
    """What has begun is judged, once: whose people were counted was attended."""

    def verdicts() -> list[Any]:
        return [each for kind in VERDICTS for each in h.all_told(kind, of=device)]

    begun = Counter(each["subject"] for each in h.all_told("booking.started", of=device))
    await h.recorder.until(
        lambda: Counter(each["subject"] for each in verdicts()) >= begun, within_s=ENDED_WITHIN_S
    )
    assert Counter(each["subject"] for each in verdicts()) == begun
    (ad_hoc,) = (each["subject"] for each in h.all_told("booking.ended", of=device))
    (came,) = h.all_told("booking.attended", of=device, key=ad_hoc)
    assert "call" in {each["kind"] for each in came["data"]["evidence"]}
    (verdict,) = (each["data"] for each in verdicts() if each["subject"] == ad_hoc)
    assert (verdict["outcome"], verdict["people_peak"]) == ("attended", 3)


def same(state: Mapping[str, Any], truth: Mapping[str, Any]) -> None:
    """What is retained is what the device has, ids and all."""
    assert [
        (each["booking_id"], each["meeting_id"], each["starts_at"][:19], each["ends_at"][:19], each["title"])
        for each in state["agenda"]
        if each["phase"] != "requested"
    ] == [
        (
            each["id"],
            each["meeting_id"],
            each["start"][:19],
            each["end"][:19],
            None if each["private"] else each["title"],
        )
        for each in truth["bookings"]
        if not each["ended"]
    ]
    assert state["current"] is None
    assert state["next"]["title"] in {"Kept", "Refused"}


# ── the day ───────────────────────────────────────────────────────────────────────────────────────


def whole(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def entry(state: Mapping[str, Any], title: str) -> Mapping[str, Any]:
    return next((each for each in state["agenda"] if each["title"] == title), {})


def arranged(pairs: Sequence[Pair]) -> Callable[[Any, list[dict[str, Any]]], None]:
    """Each device with its line, and without HttpFeedback where it is to be polled."""

    def arrange(site: Any, described: list[dict[str, Any]]) -> None:  # noqa: ANN401
        for device, each, pair in zip(site.devices, described, pairs, strict=True):
            each["transport"] = pair.transport
            if pair.polled:
                device.lack("Command HttpFeedback")

    return arrange


def extended(ad_hoc: Booking) -> Callable[[Mapping[str, Any]], object]:
    return lambda state: (
        entry(state, "Ad hoc").get("ends_at") == whole(ad_hoc.end)
        and entry(state, "Elsewhere")
        and entry(state, "Kept")
    )


def put_off(elsewhere: Booking) -> Callable[[Mapping[str, Any]], object]:
    return lambda state: (
        entry(state, "Elsewhere again").get("starts_at") == whole(elsewhere.start)
        and entry(state, "Left early").get("phase") == "started"
    )


async def have_a_day(h: House, pairs: Mapping[Device, Pair]) -> None:
    """All rooms at the same time."""
    devices, now = h.devices, h.devices[0].now()
    asked = {
        device: device.request_booking(
            "Ad hoc", start=now - timedelta(seconds=40), duration_min=15, answer=Answer(outcome="by_hand")
        )
        for device in devices
    }
    for device in devices:
        if "requested" in expected(pairs[device])["Ad hoc"]:
            await h.told("booking.requested", of=device)
    ad_hoc = {device: device.confirm(request) for device, request in asked.items()}
    for device, booking in ad_hoc.items():
        state = await h.retained(device, lambda state: (state["current"] or {}).get("title") == "Ad hoc")
        assert (state["current"]["booking_id"], state["current"]["meeting_id"]) == (
            booking.id,
            booking.meeting_id,
        )
    for device in devices:
        device.count_people(3)
        device.start_call()
    for device in devices:
        senses = await h.retained(
            device, lambda state: state["occupancy"]["people"] == 3 and state["occupancy"]["in_call"]
        )
        assert senses["occupancy"]["in_use"] is True
    for device, booking in ad_hoc.items():
        device.extend(booking.id, 15, answer=Answer(after_s=0.1))
    elsewhere = {
        device: device.book_in_outlook("Elsewhere", start=now + timedelta(hours=1)) for device in devices
    }
    for device in devices:
        device.book_in_outlook("Kept", start=now + timedelta(hours=2))
        device.book_in_outlook("Secret", start=now + timedelta(hours=3), private=True)
        device.request_booking(
            "Refused", start=now + timedelta(hours=4), answer=Answer(outcome="fail", after_s=0.1)
        )
    for device, booking in ad_hoc.items():
        await h.retained(device, extended(booking))
    for device, booking in elsewhere.items():
        device.retitle(booking.id, "Elsewhere again")
    for device in devices:
        await h.retained(device, lambda state: entry(state, "Elsewhere again"))
    for device, booking in elsewhere.items():
        device.move(booking.id, start=booking.start + timedelta(minutes=15))
        begun = device.now() - timedelta(seconds=50)
        device.move(ad_hoc[device].id, start=begun, duration_min=1)
        device.book_in_outlook("Left early", start=device.now() - timedelta(seconds=20))
    for device, booking in elsewhere.items():
        await h.retained(device, put_off(booking))
    for device, booking in elsewhere.items():
        device.delete(booking.id, "Deleted")
        left = next(each for each in device.agenda() if each.title == "Left early")
        device.delete(left.id, "ManualCheckOut")
        device.end_call()
        device.presence_lag_s = 0.0
        device.count_people(0)
    for device in devices:
        await h.told("booking.ended", of=device, within_s=ENDED_WITHIN_S)
        await h.retained(
            device, lambda state: not entry(state, "Left early") and not entry(state, "Elsewhere again")
        )


async def test_the_same_day_gives_the_same_facts_on_every_firmware_and_over_every_line(tmp_path):
    versions = [pair.version for pair in PAIRS]
    async with house(
        tmp_path,
        rooms=len(PAIRS),
        profile=versions,
        arrange=arranged(PAIRS),
        feedback=True,
        haste=f"{HASTE},looks",
    ) as h:
        await h.heard()
        pairs = dict(zip(h.devices, PAIRS, strict=True))
        await have_a_day(h, pairs)
        senses: dict[str, Pair] = {}
        for device, pair in pairs.items():
            assert told(h, device) == expected(pair), pair
            await attended(h, device)
            confirmed = {
                each["data"]["booking_id"]: each["data"]["meeting_id"]
                for each in h.all_told("booking.confirmed", of=device)
            }
            assert all(confirmed[booking.id] == booking.meeting_id for booking in device.agenda()), pair
            state = await h.retained(device, lambda state: state["occupancy"]["in_use"] is False)
            same(state, device.truth())
            senses.setdefault(json.dumps({**state["occupancy"], "since": None}), pair)
            reach = await h.retained(device, what="availability")
            (heard,) = reach["devices"]
            assert heard["transport"] == pair.transport
            if pair.polled:
                assert reach["state"] == "degraded", pair
                assert "Answers to messages on its screens are not heard" in reach["why"], pair
                assert "polling every" in heard["transport_why"]
                assert "cannot be told to call back" in heard["transport_why"]
            else:
                assert (reach["state"], reach["why"], heard["transport_why"]) == ("available", None, None)
            assert pair.version in heard["firmware"]
        assert len(senses) == 1, senses
        await h.delivered()
