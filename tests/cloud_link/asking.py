"""A consumer who asks for events again, and what stands between the broker and the forwarder then."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

from agent.core.orders import Answer
from cloud_link.commands import Command, Replay
from cloud_link.database import Database
from cloud_link.forwarder import Forwarder
from cloud_link.hearing import Hearing, nobody_knows
from cloud_link.inbox import Unfinished
from tests.cloud_link.orders import ALL_DAY, BASE, RULES, Arrival, at, judged

ASKED_HERE = f"{BASE}/agents/a1/commands/agent.replay"
ANSWERED_HERE = f"{BASE}/agents/a1/responses"


def body(
    id_: str = "c1", first: int = 1, *, minutes: float = ALL_DAY, room: str = "fjord", **more: object
) -> bytes:
    arguments = {"room": room, "first": first, **more}
    return json.dumps({"command_id": id_, "expires_at": at(minutes), "arguments": arguments}).encode()


def replay(id_: str = "c1", first: int = 1, **more: Any) -> Command:  # noqa: ANN401 (as `body`)
    command = judged(Arrival(topic=ASKED_HERE, payload=body(id_, first, **more)))
    assert isinstance(command, Command), command
    return command


class Shell:
    """What the daemon does with a command to the agent itself."""

    def __init__(self) -> None:
        self.forwarder: Forwarder | None = None
        self.asked: list[str] = []

    async def give(self, command: Command) -> None:
        assert self.forwarder is not None
        assert isinstance(command.order, Replay)
        await self.forwarder.replay(command)

    def interrupted(self, unfinished: Unfinished) -> Answer:
        self.asked.append(unfinished.id)
        return nobody_knows(unfinished, now=datetime.now(UTC))

    def hearing(self, database: Database) -> Hearing:
        return Hearing(
            database,
            rules=lambda: RULES,
            now=partial(datetime.now, UTC),
            give=self.give,
            interrupted=self.interrupted,
        )

    def meet(self, forwarder: Forwarder) -> None:
        self.forwarder = forwarder
