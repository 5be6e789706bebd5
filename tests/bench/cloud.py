"""The cloud that has rooms held: when a command was written and answered, and when a device heard."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from tests.bench.broker import Broker
from tests.brokers.crew import Crew

ROOMS: Final = "roomd/v1/demo/rooms"
TEXT: Final = "Somebody is on the way. Please leave the room to them:"  # and the hold's name
ANSWERS: Final = ("I'm here", "Release it")  # a message that asks is a Prompt
HOLD_S: Final = 1800  # longer than a trial, and shorter than what a device must be reminded of
EXPIRES: Final = timedelta(minutes=5)
DISPLAY: Final = "UserInterface Message Prompt Display"
CLEAR: Final = "UserInterface Message Prompt Clear"

Name = Literal["hold.place", "hold.cancel"]
Json = Mapping[str, Any]
Heard = Mapping[str, Sequence[float]]  # when devices heard of a hold, by its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What is to stand on a room's screen."""

    room: str
    name: str


@dataclass(slots=True, kw_only=True)
class Given:
    """A command about a hold; times are monotonic seconds of this machine."""

    hold: str
    written_at: float
    late_s: float  # this program was, with writing it
    answered_at: float | None = None  # finally
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How long it took, over all that came."""

    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(slots=True, kw_only=True)
class Commanded:
    """A round of commands, what became of them, and what else there was meanwhile."""

    sent: int
    late_ms: float  # at most, this program was
    heard: Spread | None  # by the device
    lost: int  # no device heard of them
    repeated: int
    answered: Spread | None  # finally, at the cloud
    not_done: int  # answered otherwise, or not at all
    events: int | None = None  # people counts
    events_lost: int | None = None
    events_acknowledged: Spread | None = None  # frame to PUBACK
    busy: float | None = None  # how much of its core the contender used
    others: float | None = None  # how much of its core others used
    rest_busy: float | None = None  # how much of the other cores the site, the broker and this program used


class _Answer(msgspec.Struct):
    command_id: str
    status: str


class Cloud:
    """Talks to the broker itself, and not through the tap. Made by `cloud`."""

    def __init__(self, broker_port: int) -> None:
        self.broker: Final = Broker(
            broker_port, "cloud", listen_to=f"{ROOMS}/+/responses", heard=self._answered
        )
        self._given: Final[dict[str, Given]] = {}  # by the command's id
        self._decode: Final = msgspec.json.Decoder(_Answer).decode

    async def give(self, name: Name, holds: Sequence[Hold], *, rate: float) -> list[Given]:
        """One command for each hold, evenly, so many per second."""
        began = time.monotonic()
        given: list[Given] = []
        for turn, hold in enumerate(holds):
            due = began + turn / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            given.append(self._write(name, hold, due))
        return given

    def _write(self, name: Name, hold: Hold, due: float) -> Given:
        id_ = f"{hold.name}-{name}"
        arguments: dict[str, object] = {"hold_id": hold.name}
        if name == "hold.place":
            arguments |= {"text": f"{TEXT} {hold.name}", "duration_s": HOLD_S, "answers": ANSWERS}
        payload = msgspec.json.encode(
            {
                "command_id": id_,
                "expires_at": datetime.now(UTC) + EXPIRES,
                "requested_by": "bench",
                "arguments": arguments,
            }
        )
        now = time.monotonic()
        given = self._given[id_] = Given(hold=hold.name, written_at=now, late_s=now - due)
        self.broker.publish(f"{ROOMS}/{hold.room}/commands/{name}", payload)
        return given

    def _answered(self, _topic: str, payload: bytes, packet: int) -> None:
        now = time.monotonic()
        self.broker.take(packet)
        answer = self._decode(payload)
        given = self._given[answer.command_id]
        if answer.status != "accepted" and given.answered_at is None:
            given.answered_at = now
            given.done = answer.status == "done"


@asynccontextmanager
async def cloud(broker_port: int) -> AsyncIterator[Cloud]:
    """Connected, and hears answers."""
    async with Crew() as crew:
        made = Cloud(broker_port)
        crew.start(made.broker.keep_alive(), name="cloud")
        await made.broker.until_subscribed()
        try:
            yield made
        finally:
            made.broker.close()


def heard(name: Name, displays: Mapping[str, Iterable[Json]], clears: Mapping[str, Iterable[Json]]) -> Heard:
    """What devices were told, by room, as the simulator has it."""
    shown = [one for room in displays.values() for one in room]
    holds = {_named(one, "FeedbackId"): _named(one, "Text").rpartition(" ")[2] for one in shown}
    found: dict[str, list[float]] = {}
    for one in shown if name == "hold.place" else (one for room in clears.values() for one in room):
        hold = holds.get(_named(one, "FeedbackId"))
        if hold is not None:
            found.setdefault(hold, []).append(one["heard_at"])
    return found


def _named(command: Json, parameter: str) -> str:
    return str(command["parameters"].get(parameter, ""))


def account(given: Sequence[Given], by_devices: Heard) -> Commanded:
    """What became of a round's commands."""
    times = [by_devices.get(one.hold, ()) for one in given]
    return Commanded(
        sent=len(given),
        late_ms=1000 * max((one.late_s for one in given), default=0.0),
        heard=spread([min(at) - one.written_at for one, at in zip(given, times, strict=True) if at]),
        lost=sum(not at for at in times),
        repeated=sum(max(0, len(at) - 1) for at in times),
        answered=spread([one.answered_at - one.written_at for one in given if one.answered_at is not None]),
        not_done=sum(not one.done for one in given),
    )


def spread(took_s: Iterable[float]) -> Spread | None:
    """None of nothing."""
    took = sorted(took_s)
    if not took:
        return None
    return Spread(
        p50_ms=1000 * statistics.median(took),
        p99_ms=1000 * took[len(took) * 99 // 100],
        max_ms=1000 * took[-1],
    )
