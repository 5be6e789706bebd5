"""Where orders are handed in, the cloud's and those of people at this machine, and where answers wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog

from agent.core.commands import answer_of
from agent.core.events import CommandGiven, RoomEvent
from agent.core.model import CalendarPhase, CommandId, DevicePhase, Room, RoomId
from agent.core.orders import (
    FINAL_ANSWERS,
    Answer,
    AnswerStatus,
    BookRoom,
    ExtendBooking,
    Order,
    PlaceHold,
    ReleaseBooking,
    Resync,
)
from agent.core.writing import written_calendar
from cloud_link import commands
from cloud_link.commands import Command, Refused, Replay, Rules
from cloud_link.envelope import answer_body
from cloud_link.hearing import Hearing, nobody_knows
from cloud_link.inbox import Unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud_link.database import Database

log = structlog.get_logger()

CONNECTS_WITHIN_S = 15.0  # after a start: an order waits so long for the first device or calendar to take it
LOOK_EVERY_S = 0.05
NEEDS_SOMEBODY = (BookRoom, ExtendBooking, ReleaseBooking, Resync)
TAKEN_WITHIN = timedelta(minutes=1)  # whoever stands at the machine does not mean an hour later

Deliver = Callable[[RoomId, Sequence[RoomEvent]], Awaitable[None]]
Reply = Callable[[Sequence[Answer]], Awaitable[None]]
SendAgain = Callable[[Command], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _HandedIn:
    """A command as the broker would have brought it."""

    topic: str
    payload: bytes
    retained: bool = False
    response_topic: str | None = None
    correlation_data: bytes | None = None
    expiry_s: int | None = None


class Desk:
    """Judges and hands on; what is ordered is done by the rooms, in the order in which it came."""

    def __init__(
        self,
        rules: Rules,
        *,
        rooms: Callable[[], Mapping[RoomId, Room]],
        deliver: Deliver,
        send_again: SendAgain,
        answer: Reply,
        now: Callable[[], datetime],
    ) -> None:
        """`answer` puts on disk, and tells, what is answered here."""
        self._rules = rules
        self._answer = answer
        self._rooms = rooms
        self._deliver = deliver
        self._send_again = send_again
        self._now = now
        self._patient_until_s = asyncio.get_running_loop().time() + CONNECTS_WITHIN_S
        self._waiting: dict[CommandId, asyncio.Queue[Answer]] = {}

    def serve(self, rules: Rules) -> None:
        """Judge by these from now on; what was handed on before is for the rooms to do."""
        self._rules = rules

    def hearing(self, database: Database) -> Hearing:
        """The cloud's way in."""
        return Hearing(
            database,
            rules=lambda: self._rules,
            now=self._now,
            give=self._give,
            interrupted=self.interrupted,
        )

    async def _give(self, command: Command) -> None:
        if command.room is None or isinstance(command.order, Replay):
            await self._send_again(command)
            return
        order = command.order
        if isinstance(order, NEEDS_SOMEBODY) or (isinstance(order, PlaceHold) and order.book):
            await self._until_reached(command.room, order)
        if command.room not in self._rules.rooms:
            why = f"the room {command.room} was taken out of the configuration"
            refused = Answer(command=command.id, status=AnswerStatus.REFUSED, reason=why, at=self._now())
            await self._answer([refused])
            return
        given = CommandGiven(command=command.id, order=command.order, requested_by=command.requested_by)
        await self._deliver(command.room, (given,))

    async def _until_reached(self, room: RoomId, order: Order) -> None:
        """Right after a start devices and calendars are on their way; refusing would lose what came then."""
        loop = asyncio.get_running_loop()
        while loop.time() < self._patient_until_s:
            known = self._rooms().get(room)
            if known is None or _is_reached(known, order) or not _is_on_its_way(known):
                return
            await asyncio.sleep(LOOK_EVERY_S)

    def interrupted(self, unfinished: Unfinished) -> Answer | None:
        """What a room's own state says of a command that the last life had begun."""
        for room in self._rooms().values():
            begun = room.commands.get(unfinished.id)
            if begun is not None:
                return answer_of(begun) if begun.status in FINAL_ANSWERS else None
        return nobody_knows(unfinished, now=self._now())

    def tell(self, answers: Iterable[Answer]) -> None:
        """Hand answers, which are on disk now, to those who wait for them here."""
        for answer in answers:
            waiting = self._waiting.get(answer.command)
            if waiting is not None:
                waiting.put_nowait(answer)

    async def order(
        self, *, room: str, name: str, arguments: object, requested_by: str
    ) -> AsyncGenerator[dict[str, Any]]:
        """What somebody at this machine orders, by the contract's names: its answers, the last one final."""
        now = self._now()
        id_ = CommandId(f"here-{uuid4().hex}")
        wish = {
            "command_id": id_,
            "expires_at": (now + TAKEN_WITHIN).isoformat(),
            "requested_by": requested_by,
            "arguments": arguments,
        }
        handed_in = _HandedIn(
            topic=f"{self._rules.site.base}/rooms/{room}/commands/{name}", payload=json.dumps(wish).encode()
        )
        judged = commands.judge(handed_in, now=now, rules=self._rules)
        if isinstance(judged, Refused):
            log.warning("command.refused", command=id_, room=room, name=name, why=judged.reason)
            yield _told(judged.answer)
            return
        log.info("command.given", command=id_, room=room, name=name, requested_by=requested_by)
        with self._attended(id_) as answers:
            await self._give(judged)
            while True:
                answer = await answers.get()
                yield _told(answer)
                if answer.status is not AnswerStatus.ACCEPTED:
                    return

    @contextmanager
    def _attended(self, command: CommandId) -> Iterator[asyncio.Queue[Answer]]:
        answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._waiting[command] = answers
        try:
            yield answers
        finally:
            del self._waiting[command]


def _is_reached(room: Room, order: Order) -> bool:
    """Whether somebody of the room can take it: a device, or a calendar that may be written in."""
    if any(device.phase is DevicePhase.CONNECTED for device in room.devices.values()):
        return True
    if isinstance(order, Resync):
        return any(calendar.phase is CalendarPhase.ACTIVE for calendar in room.calendars.values())
    return written_calendar(room) is not None


def _is_on_its_way(room: Room) -> bool:
    return any(device.phase is DevicePhase.UNHEARD for device in room.devices.values()) or any(
        calendar.phase is CalendarPhase.CONNECTING for calendar in room.calendars.values()
    )


def _told(answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(answer_body(answer))
    return told
