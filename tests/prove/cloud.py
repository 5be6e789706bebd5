"""The cloud as it gives commands: plain JSON over MQTT, and the answers as they come back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from tests.prove.recorder import Recorder, publish

FINAL: Final = frozenset({"done", "refused", "expired", "failed", "unknown"})
ANSWERED_WITHIN_S: Final = 15.0

Json = Mapping[str, Any]


class Cloud:
    """Gives commands at a broker, and reads in a recorder what they are answered."""

    def __init__(self, port: int, recorder: Recorder, *, site: str) -> None:
        self._port: Final = port
        self._recorder: Final = recorder
        self._base: Final = f"roomd/v1/{site}"

    async def give(
        self,
        room: str,
        name: str,
        arguments: Json | None = None,
        *,
        id_: str = "",
        expires_in_s: float = 60.0,
        times: int = 1,
        response_topic: str = "",
    ) -> str:
        """Give it, so many times at once; the command's id. The broker has it when this returns."""
        id_ = id_ or uuid4().hex
        wish = {
            "command_id": id_,
            "expires_at": (datetime.now(UTC) + timedelta(seconds=expires_in_s)).isoformat(),
            "requested_by": "cloud",
            "arguments": arguments or {},
        }
        message = (f"{self._base}/{self._whose(room)}/commands/{name}", json.dumps(wish).encode())
        await publish(
            self._port, [message] * times, client_id=f"cloud-{uuid4().hex}", response_topic=response_topic
        )
        return id_

    def answers(self, id_: str) -> list[Json]:
        """All that came so far."""
        return [answer for answer in self._recorder.answers if answer["command_id"] == id_]

    def final(self, id_: str) -> list[Json]:
        """The final ones that came so far: more than one only where it was repeated."""
        return [answer for answer in self.answers(id_) if answer["status"] in FINAL]

    async def answered(self, id_: str, *, within_s: float = ANSWERED_WITHIN_S) -> Json:
        """The first final answer."""
        await self._recorder.until(lambda: self.final(id_), within_s=within_s)
        return self.final(id_)[0]

    async def done(self, room: str, name: str, arguments: Json | None = None, **more: Any) -> Json:  # noqa: ANN401
        """Give it and wait until it is answered finally."""
        return await self.answered(await self.give(room, name, arguments, **more))

    def _whose(self, room: str) -> str:
        return room if "/" in room else f"rooms/{room}"
