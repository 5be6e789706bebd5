"""The desk: what is handed in is judged, goes to its room, and its answers find whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from agent.core.devices import furnish
from agent.core.events import CalendarListed, CalendarTurned, CommandGiven, RoomEvent
from agent.core.model import (
    AgentId,
    AnswerStatus,
    CalendarKind,
    CalendarPhase,
    Command,
    Policy,
    Room,
    RoomId,
    SiteId,
)
from agent.core.orders import Answer, CommandId, Resync
from agent.core.step import step
from agent.desk import Desk
from cloud_link.commands import Rules
from cloud_link.envelope import Site
from cloud_link.inbox import State, Unfinished

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FJORD = RoomId("fjord")
SITE = Site(site=SiteId("oslo"), agent=AgentId("a1"))


class Rooms:
    """One room without devices, moved by the core as it is."""

    def __init__(self, *, calendars: tuple[CalendarKind, ...] = ()) -> None:
        self.room: Room = furnish(None, FJORD, (), calendars=calendars, writes=calendars, now=NOW)
        self.given: list[CommandGiven] = []
        self.desk = Desk(
            Rules(site=SITE, rooms=frozenset({FJORD})),
            rooms=lambda: {FJORD: self.room},
            deliver=self.deliver,
            send_again=self.send_again,
            answer=self.answer,
            now=lambda: NOW,
        )

    def read(self) -> None:
        """The room's calendar is read for the first time, and nothing is in it."""
        kind = CalendarKind.MICROSOFT
        for event in (
            CalendarTurned(calendar=kind, phase=CalendarPhase.ACTIVE),
            CalendarListed(
                calendar=kind,
                entries=(),
                asked_at=NOW,
                covers_from=NOW - timedelta(hours=12),
                covers_until=NOW + timedelta(days=1),
            ),
        ):
            self.room = step(self.room, event, now=NOW, policy=Policy()).room

    async def deliver(self, room: RoomId, events: Sequence[RoomEvent]) -> None:
        assert room == FJORD
        for event in events:
            assert isinstance(event, CommandGiven)
            self.given.append(event)
            taken = step(self.room, event, now=NOW, policy=Policy())
            self.room = taken.room
            self.desk.tell(taken.answers)

    async def send_again(self, command: object) -> None:
        raise AssertionError(command)

    async def answer(self, answers: Sequence[Answer]) -> None:
        self.desk.tell(answers)

    async def order(self, name: str, arguments: object, room: str = "fjord") -> list[dict[str, object]]:
        async with asyncio.timeout(5):
            return [
                each
                async for each in self.desk.order(
                    room=room, name=name, arguments=arguments, requested_by="ola"
                )
            ]


async def test_an_order_is_carried_to_its_room_and_answered():
    rooms = Rooms()
    (answer,) = await rooms.order("message.clear", {})
    assert answer["status"] == "done"
    (given,) = rooms.given
    assert given.requested_by == "ola"
    assert given.command == answer["command_id"]


async def test_what_the_room_refuses_is_answered_so():
    (answer,) = await Rooms().order("room.resync", {})
    assert (answer["status"], answer["reason"]) == ("refused", "no device of the room is connected")


BOOK = {"starts_at": "2026-11-21T13:00:00Z", "duration_min": 30}


async def test_a_room_whose_calendar_may_be_written_in_needs_no_device():
    rooms = Rooms(calendars=(CalendarKind.MICROSOFT,))
    rooms.read()
    async with aclosing(
        rooms.desk.order(room="fjord", name="booking.book", arguments=BOOK, requested_by="ola")
    ) as answers:
        assert (await anext(answers))["status"] == "accepted"


async def test_right_after_a_start_an_order_waits_for_its_calendar():
    rooms = Rooms(calendars=(CalendarKind.MICROSOFT,))

    async with asyncio.TaskGroup() as tasks:
        order = rooms.desk.order(room="fjord", name="booking.book", arguments=BOOK, requested_by="ola")
        asked = tasks.create_task(anext(order), name="order")
        await asyncio.sleep(0)
        assert not rooms.given
        rooms.read()
        assert (await asked)["status"] == "accepted"
        await order.aclose()


async def test_what_cannot_be_understood_never_reaches_a_room():
    rooms = Rooms()
    for room, name, arguments, word in (
        ("attic", "room.resync", {}, "attic"),
        ("fjord", "room.paint", {}, "room.resync"),
        ("fjord", "room.resync", {"colour": "red"}, "colour"),
        ("fjord", "room.resync", 7, "object"),
        ("../fjord", "room.resync", {}, "topic"),
    ):
        (answer,) = await rooms.order(name, arguments, room)
        assert answer["status"] == "refused"
        assert word in str(answer["reason"])
    assert not rooms.given


async def test_a_room_that_goes_while_an_order_waits_takes_it_no_more():
    rooms = Rooms(calendars=(CalendarKind.MICROSOFT,))
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(rooms.order("booking.book", BOOK), name="order")
        await asyncio.sleep(0)
        rooms.desk.serve(Rules(site=SITE, rooms=frozenset()))
        rooms.read()
    (answer,) = asked.result()
    assert answer["status"] == "refused"
    assert "taken out of the configuration" in str(answer["reason"])
    assert not rooms.given


async def test_who_hangs_up_is_not_waited_for():
    rooms = Rooms()
    rooms.desk.tell([])

    async def keep(_: RoomId, events: Sequence[RoomEvent]) -> None:
        (event,) = events
        assert isinstance(event, CommandGiven)
        rooms.desk.tell([Answer(command=event.command, status=AnswerStatus.ACCEPTED, at=NOW)])

    desk = Desk(
        Rules(site=SITE, rooms=frozenset({FJORD})),
        rooms=dict,
        deliver=keep,
        send_again=rooms.send_again,
        answer=rooms.answer,
        now=lambda: NOW,
    )
    rooms.desk = desk
    asked = desk.order(room="fjord", name="room.resync", arguments={}, requested_by="ola")
    async with aclosing(asked) as answers:
        assert (await anext(answers))["status"] == "accepted"
    desk.tell([Answer(command=CommandId("here-1"), status=AnswerStatus.DONE, at=NOW)])  # nobody waits for it


def unfinished(id_: str) -> Unfinished:
    return Unfinished(
        id=CommandId(id_),
        topic="roomd/v1/oslo/rooms/fjord/commands/room.resync",
        payload=b"",
        state=State.BEGUN,
        received_at=NOW,
        expires_at=NOW + timedelta(minutes=1),
    )


async def test_after_a_restart_the_room_says_what_became_of_a_command():
    rooms = Rooms()
    await rooms.deliver(FJORD, [CommandGiven(command=CommandId("c1"), order=Resync())])
    waiting = Command(id=CommandId("c2"), status=AnswerStatus.ACCEPTED, at=NOW)
    commands = {**rooms.room.commands, waiting.id: waiting}
    rooms.room = Room(id=FJORD, commands=commands)
    interrupted = rooms.desk.interrupted
    known = interrupted(unfinished("c1"))
    assert known is not None
    assert known.status is AnswerStatus.REFUSED
    assert interrupted(unfinished("c2")) is None
    lost = interrupted(unfinished("c3"))
    assert lost is not None
    assert lost.status is AnswerStatus.UNKNOWN
