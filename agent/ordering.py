"""`roomd hold`, `book`, `release`, `message`, `resync`: what somebody at this machine orders of a room."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from agent.terminal import DEFAULT, ConfigOption, JsonOption, fail, read_whereabouts, wait_for

if TYPE_CHECKING:
    from agent.settings import Whereabouts

app = typer.Typer()

Json = Mapping[str, Any]

SPAN = re.compile(r"(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m(?:in)?)?(?:(\d{1,6})s)?")
TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
SOON = timedelta(hours=12)  # a time of day that is further off has rather passed
EXITS = {  # by the final answer's status
    "done": os.EX_OK,
    "refused": os.EX_DATAERR,
    "expired": os.EX_TEMPFAIL,
    "failed": os.EX_PROTOCOL,
    "unknown": os.EX_IOERR,  # and not "try again": it may have been done
}

RoomArgument = Annotated[str, typer.Argument(metavar="ROOM", help="The room's id.")]
ForOption = Annotated[str, typer.Option("--for", help="How long: 90s, 15m, 1h30m.", metavar="SPAN")]
UntilOption = Annotated[
    str, typer.Option("--until", help="Or until when: 14:30, or 2026-11-21T14:30+01:00.", metavar="TIME")
]
FromOption = Annotated[
    str, typer.Option("--from", help="From when on, likewise; now if left out.", metavar="TIME")
]
TitleOption = Annotated[str, typer.Option("--title", help="The heading above the text.")]
OnOption = Annotated[
    str,
    typer.Option("--on", help="Where: screen, controller, scheduler, led; with commas.", metavar="SURFACES"),
]


class Unclear(Exception):
    """What was typed cannot be understood."""


# ── the commands ──────────────────────────────────────────────────────────────────────────────────


@app.command()
def hold(  # noqa: PLR0913, PLR0917 - one option for each word of the contract
    room: RoomArgument,
    text: Annotated[str, typer.Option("--text", "-t", help="What the screens say.")] = "",
    lasting: ForOption = "",
    until: UntilOption = "",
    starting: FromOption = "",
    title: TitleOption = "",
    answer: Annotated[
        list[str] | None,
        typer.Option("--answer", "-a", help="Something to press; up to five times.", metavar="TEXT"),
    ] = None,
    on: OnOption = "",
    wake: Annotated[bool, typer.Option("--wake", help="Wakes devices that stand by.")] = False,
    book: Annotated[bool, typer.Option("--book", help="Books the room for that time as well.")] = False,
    hold_id: Annotated[
        str, typer.Option("--id", help="The hold's name; else one is made, or the one that stands is meant.")
    ] = "",
    extend: Annotated[bool, typer.Option("--extend", help="Gives a hold that stands another end.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Takes a hold back.")] = False,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Keep a room for somebody for a while, and say so on its screens."""
    if (extend or cancel) and (text or title or answer or starting or on or wake or book):
        fail("--extend and --cancel go with --id, and --extend with --for or --until, only", os.EX_USAGE)
    if extend and cancel:
        fail("either --extend or --cancel", os.EX_USAGE)

    async def work(order: _Orders) -> None:
        if cancel:
            id_ = order.hold(hold_id)["hold"]
            await order.give("hold.cancel", {"hold_id": id_}, f"hold {id_} is taken back")
        elif extend:
            found = order.hold(hold_id)
            id_, ended_at = found["hold"], datetime.fromisoformat(found["ends_at"])
            ends_at = end(ended_at, lasting, until, zone=order.zone, now=order.now)
            words = f"hold {id_} lasts until {order.clock(ends_at)}"
            await order.give("hold.extend", {"hold_id": id_, "ends_at": ends_at.isoformat()}, words)
        else:
            from agent.core.commands import MOST_ANSWERS

            if not text:
                raise Unclear("give --text: what the screens are to say")
            if answer and len(answer) > MOST_ANSWERS:
                raise Unclear(f"{MOST_ANSWERS} answers at most")
            starts_at = instant(starting, order.now, order.zone) if starting else order.now
            ends_at = end(starts_at, lasting, until, zone=order.zone)
            id_ = hold_id or f"here-{uuid4().hex[:8]}"
            arguments = {
                "hold_id": id_,
                "text": text,
                "title": title or None,
                "starts_at": starts_at.isoformat() if starting else None,
                "ends_at": ends_at.isoformat(),
                "surfaces": surfaces(on or "screen"),
                "answers": answer or [],
                "wake": wake,
                "book": book,
            }
            order.note_absence()
            order.note_bookings(starts_at, ends_at)
            booked = " and booked" if book else ""
            words = f"held{booked} from {order.clock(starts_at)} until {order.clock(ends_at)}, hold {id_}"
            await order.give("hold.place", arguments, words)

    _order(config, room, work, as_json=as_json)


@app.command()
def book(  # noqa: PLR0913, PLR0917 - as above
    room: RoomArgument,
    lasting: ForOption = "",
    until: UntilOption = "",
    starting: FromOption = "",
    title: Annotated[str, typer.Option("--title", help="What the meeting is called.")] = "",
    organizer: Annotated[str, typer.Option("--organizer", help="Who books it.")] = "",
    extend: Annotated[
        str,
        typer.Option(
            "--extend", help="A booking that is to last longer: its id, or `now`.", metavar="BOOKING"
        ),
    ] = "",
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Book a room on one of its devices, or have a booking end later; waits for the calendar's answer."""
    if extend and (starting or title or organizer):
        fail("--extend goes with --for or --until only", os.EX_USAGE)

    async def work(order: _Orders) -> None:
        if extend:
            booking = order.booking(extend)
            ends_at = end(
                datetime.fromisoformat(booking["ends_at"]), lasting, until, zone=order.zone, now=order.now
            )
            arguments: dict[str, object] = {"key": booking["key"], "ends_at": ends_at.isoformat()}
            words = f"{order.named(booking)} lasts until {order.clock(ends_at)}"
            await order.give("booking.extend", arguments, words)
            return
        starts_at = instant(starting, order.now, order.zone) if starting else order.now
        ends_at = end(starts_at, lasting, until, zone=order.zone)
        arguments = {
            "starts_at": starts_at.isoformat(),
            "duration_min": -int(-(ends_at - starts_at).total_seconds() // 60),
            "title": title or None,
            "organizer": organizer or None,
        }
        words = f"booked from {order.clock(starts_at)} until {order.clock(ends_at)}"
        await order.give("booking.book", arguments, words)

    _order(config, room, work, as_json=as_json)


@app.command()
def release(
    room: RoomArgument,
    booking: Annotated[
        str,
        typer.Argument(metavar="[BOOKING]", help="Its key, booking id or meeting id; else the present one."),
    ] = "now",
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Give a room back: declines, deletes or ends a booking, whichever its calendar understands."""

    async def work(order: _Orders) -> None:
        found = order.booking(booking)
        await order.give("booking.release", {"key": found["key"]}, f"{order.named(found)} is given back")

    _order(config, room, work, as_json=as_json)


@app.command()
def message(
    room: RoomArgument,
    text: Annotated[str, typer.Option("--text", "-t", help="What the screens say.")] = "",
    lasting: ForOption = "5m",
    title: TitleOption = "",
    on: OnOption = "screen",
    clear: Annotated[bool, typer.Option("--clear", help="Takes the message off everywhere.")] = False,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show a plain message on a room's screens for a while."""
    if clear and text:
        fail("either --text or --clear", os.EX_USAGE)

    async def work(order: _Orders) -> None:
        if clear:
            await order.give("message.clear", {}, "the message is taken off")
            return
        if not text:
            raise Unclear("give --text: what the screens are to say")
        order.note_absence()
        arguments = {
            "text": text,
            "title": title or None,
            "surfaces": surfaces(on),
            "duration_s": int(span(lasting).total_seconds()),
        }
        await order.give("message.show", arguments, f"the message is shown for {lasting}")

    _order(config, room, work, as_json=as_json)


@app.command()
def resync(room: RoomArgument, config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Have a room's devices list their bookings and say their current values anew."""

    async def work(order: _Orders) -> None:
        await order.give("room.resync", {}, "bookings are listed and current values read anew")

    _order(config, room, work, as_json=as_json)


# ── what was typed ────────────────────────────────────────────────────────────────────────────────


def span(text: str) -> timedelta:
    """`90s`, `15m`, `1h30m`, `2d`. Raises `Unclear`."""
    found = SPAN.fullmatch(text.strip().lower())
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0)
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not length:
        raise Unclear(f"{text!r} is no span of time: write it like 90s, 15m or 1h30m")
    return length


def instant(text: str, now: datetime, zone: tzinfo) -> datetime:
    """`14:30` by the site's clock, if within twelve hours; or a whole ISO time. UTC. Raises `Unclear`."""
    found = TIME_OF_DAY.fullmatch(text.strip())
    if found is not None:
        local = now.astimezone(zone)
        at = local.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
        at = (at if at >= local else at + timedelta(days=1)).astimezone(UTC)
        if at - now > SOON:
            raise Unclear(f"{text} has passed; with its date, like 2026-11-21T{text}, it can be tomorrow's")
        return at
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unclear(f"{text!r} is no time: write it like 14:30 or 2026-11-21T14:30+01:00") from None


def end(
    starts_at: datetime, lasting: str, until: str, *, zone: tzinfo, now: datetime | None = None
) -> datetime:
    """So long after the start, or at a time after it (after now, if given). Raises `Unclear`."""
    if lasting and until:
        raise Unclear("either --for or --until, not both")
    if not lasting and not until:
        raise Unclear("say how long with --for, or until when with --until")
    return starts_at + span(lasting) if lasting else instant(until, now or starts_at, zone)


def surfaces(text: str) -> list[str]:
    """`screen,led`. Raises `Unclear`."""
    from agent.core.model import Surface

    named = [part.strip().lower() for part in text.split(",") if part.strip()]
    for each in named:
        if each not in set(Surface):
            raise Unclear(f"{each} is no surface: there are {', '.join(Surface)}")
    return named


# ── giving the order ──────────────────────────────────────────────────────────────────────────────


class _Orders:
    """One order of one room, and what has to be known of the room to give it."""

    def __init__(self, where: Whereabouts, room: str, *, as_json: bool) -> None:
        self._socket = where.socket
        self._room = room
        self._as_json = as_json
        self.zone = where.timezone
        self.now = datetime.now(UTC)
        self._known: Json = {}

    def clock(self, at: datetime) -> str:
        """A time as people here read it; with its day where that is not today."""
        local, today = at.astimezone(self.zone), self.now.astimezone(self.zone)
        return local.strftime("%H:%M" if local.date() == today.date() else "%Y-%m-%d %H:%M")

    def named(self, booking: Json) -> str:
        """A booking in a few words: its times and, where it is known, its title."""
        from agent.signs import printable

        times = self._times(booking)
        return f"{times} {printable(booking['title'])}" if booking["title"] else times

    async def give(self, name: str, arguments: Json, words: str) -> None:
        """Give it and wait for its end; `words` say what is true once it is done."""
        from agent.asking import ask
        from agent.core.model import AnswerStatus

        question = {"room": self._room, "name": name, "arguments": arguments}
        async for answer in ask(self._socket, "order", **question):
            if "status" not in answer:  # an older daemon
                fail(str(answer.get("error", answer)), os.EX_SOFTWARE)
            if answer["status"] == AnswerStatus.ACCEPTED:
                self._note("taken up, and not done yet; waiting …")
                continue
            self._tell(answer, words)
            raise typer.Exit(EXITS[answer["status"]])
        fail(
            f"{self._room}: roomd stopped before it was done; see `roomd rooms` when it runs again",
            os.EX_TEMPFAIL,
        )

    def _tell(self, answer: Json, words: str) -> None:
        from agent.core.model import AnswerStatus

        if self._as_json:
            print(json.dumps(answer))
        elif answer["status"] == AnswerStatus.DONE:
            result = answer["result"] or {}
            ids = "".join(
                f", {each.removesuffix('_id')} {result[each]}"
                for each in ("booking_id", "meeting_id")
                if result.get(each)
            )
            print(f"{self._room}: {words}{ids}")
        else:
            print(f"{self._room}: {answer['status']}: {answer['reason']}", file=sys.stderr)

    async def look(self) -> None:
        """What is known of the room, by its id or its name; out where there is no such room."""
        from agent.asking import ask

        rooms = [room async for picture in ask(self._socket, "picture") for room in picture["rooms"]]
        named = [room for room in rooms if str(room["name"]).casefold() == self._room.casefold()]
        found = [room for room in rooms if room["room"] == self._room] or named
        if len(found) != 1:
            known = ", ".join(f"{room['room']} ({room['name']})" for room in found or rooms) or "none"
            what = "which of them is meant?" if found else "no such room; there are"
            fail(f"{self._room}: {what} {known}", os.EX_DATAERR)
        self._known = dict(found[0])
        self._room = self._known["room"]

    def note_absence(self) -> None:
        """Say so where nothing will be seen yet."""
        reach = self._known["availability"]
        if reach["devices"] and reach["state"] in {"unavailable", "unknown"}:
            self._note("none of its devices is reached; its screens say it when one is")

    def note_bookings(self, starts_at: datetime, ends_at: datetime) -> None:
        """Say so where somebody has the room then: a hold is words, and keeps nobody out."""
        for booking in self._known["state"]["agenda"]:
            begins, ends = _period(booking)
            if begins < ends_at and starts_at < ends:
                self._note(f"it is booked then: {self.named(booking)}")

    def hold(self, name: str) -> Json:
        """The hold of this name; of none, the one that stands now or next."""
        holds = sorted(self._known["holds"], key=lambda each: str(each["starts_at"]))
        found = next((each for each in holds if name in {"", each["hold"]}), None)
        if found is None:
            known = "".join(f"\n  {each['hold']}  {self._times(each)}" for each in holds)
            what = "no hold stands" if not name else f"there is no hold {name}"
            fail(f"{self._room}: {what}{'; known are' + known if known else ''}", os.EX_DATAERR)
        return dict(found)

    def booking(self, name: str) -> Json:
        """The booking of this key or id; `now` is the present one."""
        state = self._known["state"]
        if name == "now":
            if state["current"] is None:
                fail(f"{self._room}: nothing is booked now{self._agenda(state)}", os.EX_DATAERR)
            return dict(state["current"])
        ids = ("key", "booking_id", "meeting_id")
        found = next((each for each in state["agenda"] if name in {each[id_] for id_ in ids}), None)
        if found is None:
            fail(f"{self._room}: there is no booking {name}{self._agenda(state)}", os.EX_DATAERR)
        return dict(found)

    def _agenda(self, state: Json) -> str:
        if not state["agenda"]:
            return ", and no other booking is known"
        return "; known are\n" + "\n".join(f"  {each['key']}  {self.named(each)}" for each in state["agenda"])

    def _times(self, one: Json) -> str:
        starts_at, ends_at = _period(one)
        return f"{self.clock(starts_at)}–{self.clock(ends_at)}"

    def _note(self, words: str) -> None:
        if not self._as_json:
            print(f"{self._room}: {words}", file=sys.stderr)


def _period(one: Json) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(one["starts_at"]), datetime.fromisoformat(one["ends_at"])


def _order(config: Path, room: str, work: Callable[[_Orders], Awaitable[None]], *, as_json: bool) -> None:
    where = read_whereabouts(config)

    async def give() -> None:
        orders = _Orders(where, room, as_json=as_json)
        await orders.look()
        await work(orders)

    try:
        wait_for(give())
    except Unclear as unclear:
        fail(str(unclear), os.EX_USAGE)
