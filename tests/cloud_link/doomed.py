"""A process that accepts and forwards events until it kills itself: `doomed DIR URL POINT NTH`.

What it has promised stands in `DIR/accepted`, one line for each event: written after the database said so.
With one of REPLAYED for its point, it only sends again what somebody asks for in its inbox.
"""
# ruff: noqa: ANN401 (wraps functions of any kind)

import asyncio
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloud_link import database as database_module
from cloud_link import outbox, replays
from cloud_link.broker import Connection
from cloud_link.forwarder import Forwarder
from cloud_link.replays import Replays, Turn
from tests.cloud_link.asking import Shell
from tests.cloud_link.stand import QUICK, SEEN_WITHIN_S, append, forwarding, seal

ROOMS = 7


def dying(nth: int) -> Callable[[], None]:
    left = nth

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def around(
    owner: Any,
    name: str,
    *,
    before: Callable[[], None] | None = None,
    after: Callable[[], None] | None = None,
) -> None:
    original = getattr(owner, name)

    def wrapped(*args: Any, **more: Any) -> Any:
        if before is not None:
            before()
        result = original(*args, **more)
        if after is not None:
            after()
        return result

    setattr(owner, name, wrapped)


POINTS: dict[str, Callable[[Callable[[], None]], None]] = {
    "numbered, not committed": lambda step: around(outbox, "append", after=step),
    "committed, not told": lambda step: around(database_module, "_commit", after=step),
    "told, not sent": lambda step: around(Forwarder, "_offer", before=step),
    "sent, not acknowledged": lambda step: around(Connection, "publish", after=step),
    "acknowledged, not settled": lambda step: around(Forwarder, "_judge", before=step),
    "settling": lambda step: around(outbox, "settle", after=step),
    "settled": lambda step: around(Forwarder, "_settled", after=step),
    "keeping house": lambda step: around(outbox, "_forget_acknowledged", after=step),
    "never": lambda step: None,
}


def at_its_end(step: Callable[[], None]) -> None:
    take = Replays._take  # noqa: SLF001

    def wrapped(self: Replays, turned: Turn) -> None:
        if turned.ended:
            step()
        take(self, turned)

    Replays._take = wrapped  # type: ignore[method-assign]  # noqa: SLF001


REPLAYED: dict[str, Callable[[Callable[[], None]], None]] = {
    "taken up, not committed": lambda step: around(replays, "begin", after=step),
    "sent again, not acknowledged": lambda step: around(Connection, "publish", after=step),
    "acknowledged again, not noted": lambda step: around(Replays, "judge", after=step),
    "noted, not committed": lambda step: around(replays, "turn", after=step),
    "at its end, not told": at_its_end,
}


async def live(directory: Path, url: str, point: str, nth: int) -> None:
    POINTS[point](dying(nth))
    accepted = os.open(directory / "accepted", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    luck = random.Random(nth)
    async with forwarding(directory / "state", url, conduct=QUICK) as stand:
        turns = 0 if point == "never" else 400
        for turn in range(turns):
            seals = [seal(f"rooms/r{luck.randrange(ROOMS)}") for _ in range(luck.randrange(1, 6))]
            posted = await append(stand.database, seals)
            lines = "".join(f"{one.envelope.stream} {one.envelope.number}\n" for one in posted)
            os.write(accepted, lines.encode())
            stand.forwarder.offer(posted)
            if turn % 10 == 9:
                stand.forwarder._house.set()  # noqa: SLF001 (its hour has come)
        await stand.settled()
    os.close(accepted)


async def send_again(directory: Path, url: str, point: str, nth: int) -> None:
    REPLAYED[point](dying(nth))
    shell = Shell()
    async with forwarding(directory / "state", url, hearing=shell.hearing, before=shell.meet, conduct=QUICK):
        async with asyncio.timeout(SEEN_WITHIN_S):
            await asyncio.Event().wait()


def main() -> None:
    life = send_again if sys.argv[3] in REPLAYED else live
    asyncio.run(life(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))


if __name__ == "__main__":
    main()
