"""An outbox on a real disk and a forwarder upon it, for the tests of the way to the broker."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from cloud_link import outbox
from cloud_link.address import Address
from cloud_link.broker import Dial, dialling
from cloud_link.database import Database, Limits, open_database
from cloud_link.delivery import Rest
from cloud_link.envelope import Envelope
from cloud_link.forwarder import Agent, Conduct, Forwarder
from cloud_link.hearing import Hearing
from cloud_link.outbox import Gap, Posted, Seal, Teller

T = TypeVar("T")
BASE = "roomd/v1/oslo"
AGENT_STREAM = "agents/a1"
STATUS = f"{BASE}/{AGENT_STREAM}/status"
SEEN_WITHIN_S = 10.0

SMALL = Limits(budget_bytes=4 * 1024 * 1024, ballast_bytes=64 * 1024, gather_s=0.0)
QUICK = Conduct(
    rest=Rest(shortest_s=0.01, longest_s=0.05), settle_within_s=0.005, overdue_s=0.4, house_every_s=3600.0
)


def _sealed(stream: str, kind: str, body: str, *, epoch: str, number: int) -> Envelope:
    id_ = f"{epoch}-{number}"
    payload = json.dumps({"stream": stream, "id": id_, "number": number, "body": body}).encode()
    topic = f"{BASE}/{stream}/events/{kind.partition('.')[0]}"
    return Envelope(stream=stream, number=number, id=id_, topic=topic, payload=payload, kind=kind)


def seal(stream: str, kind: str = "booking.started", body: str = "") -> tuple[str, Seal]:
    return stream, partial(_sealed, stream, kind, body)


def seal_gap(gap: Gap, *, epoch: str, number: int) -> Envelope:
    body = json.dumps([gap.stream, gap.epoch, gap.first, gap.last, gap.count, gap.reason])
    return _sealed(AGENT_STREAM, "outbox.gap", body, epoch=epoch, number=number)


TELLER = Teller(stream=AGENT_STREAM, seal=seal_gap)


def status(*, online: bool, connection: int, reason: str | None) -> bytes:
    return json.dumps({"online": online, "connection": connection, "reason": reason}).encode()


AGENT = Agent(status_topic=STATUS, status=status, teller=TELLER)


def append(database: Database, seals: Sequence[tuple[str, Seal]]) -> asyncio.Future[list[Posted]]:
    now = outbox.moment_now()
    return database.submit(lambda tx: outbox.append(tx, seals, recorded=now))


async def until(predicate: Callable[[], object], *, within_s: float = SEEN_WITHIN_S) -> None:
    """Looks again and again: what is waited for happens on other threads and at the other end of a line."""
    async with asyncio.timeout(within_s):
        while not predicate():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


@dataclass(kw_only=True)
class Stand:
    """Everything between an event and the broker."""

    database: Database
    forwarder: Forwarder

    async def post(self, seals: Iterable[tuple[str, Seal]]) -> list[Posted]:
        posted = await append(self.database, list(seals))
        self.forwarder.offer(posted)
        return posted

    async def settled(self) -> None:
        """Until the outbox is empty."""
        async with asyncio.timeout(SEEN_WITHIN_S):
            while any(head.pending for head in await self.database.write(outbox.heads)):  # noqa: ASYNC110
                await asyncio.sleep(0.002)


def address(url: str, **more: object) -> Address:
    return Address(url=url, client_id="a1", **more)  # type: ignore[arg-type]


@asynccontextmanager
async def forwarding(
    directory: Path,
    to: str | Address | Dial,
    *,
    conduct: Conduct = QUICK,
    limits: Limits = SMALL,
    luck: Callable[[], float] = lambda: 0.5,
    before: Callable[[Forwarder], None] = lambda forwarder: None,
    hearing: Callable[[Database], Hearing | None] = lambda database: None,
) -> AsyncIterator[Stand]:
    """Runs until the block ends, then stops cleanly."""
    there = address(to) if isinstance(to, str) else to
    dial = dialling(there) if isinstance(there, Address) else there
    async with open_database(directory, limits=limits) as database, asyncio.TaskGroup() as tasks:
        forwarder = Forwarder(database, dial, AGENT, luck=luck, conduct=conduct, hearing=hearing(database))
        before(forwarder)
        running = tasks.create_task(forwarder.run(), name="forwarder")
        try:
            yield Stand(database=database, forwarder=forwarder)
            forwarder.stop()
            await running
        finally:
            running.cancel()


def numbers(payloads: Iterable[bytes], stream: str) -> list[int]:
    """The numbers of a stream, in the order in which they came."""
    told = [json.loads(payload) for payload in payloads]
    return [each["number"] for each in told if each.get("stream") == stream]


def without_repeats(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
