"""What becomes of a command: taken up once, and answered when it is known what it did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import assert_never

from agent.core.belief import hear
from agent.core.calendars import devices_calendar
from agent.core.events import (
    BookingFailed,
    BookingRequested,
    BookingsTouched,
    CalendarOrderEvent,
    CalendarOrderRefused,
    CalendarOrderTaken,
    CalendarOrderUnanswered,
    CommandGiven,
    OrderRefused,
    OrderTaken,
)
from agent.core.facts import (
    Book,
    BookInCalendar,
    BookingFact,
    Extend,
    Fact,
    ListBookings,
    ReadValues,
    Release,
    Step,
)
from agent.core.holds import Circumstances, Turn, in_the_way, name_message, place, standing, surfaces_on, turn
from agent.core.model import (
    Ability,
    AnswerStatus,
    Booking,
    BookingPhase,
    CalendarKind,
    CalendarPhase,
    Command,
    CommandId,
    DeviceId,
    DevicePhase,
    DeviceState,
    Errand,
    Hold,
    HoldId,
    HoldPhase,
    Policy,
    RequestId,
    Room,
    Surface,
)
from agent.core.orders import (
    Answer,
    BookRoom,
    CancelHold,
    ClearMessage,
    ExtendBooking,
    ExtendHold,
    PlaceHold,
    ReleaseBooking,
    Resync,
    ShowMessage,
)
from agent.core.renewing import replace
from agent.core.writing import (
    ask_to_book,
    ask_to_extend,
    ask_to_release,
    believed_calendar,
    hear_calendar_back,
    read_soon,
    take_back,
    written_calendar,
    written_entry,
)

MINUTE = timedelta(minutes=1)  # in whole ones of which devices are told how long a booking lasts
LONGEST_HOLD = timedelta(hours=24)
LONGEST_TEXT = 255  # characters; no message of any firmware takes more
MOST_ANSWERS = 5
ANSWERS_WITHIN = timedelta(seconds=35)  # a device says yes or no, or nobody waits for it any more
SEEN_WITHIN = timedelta(seconds=90)  # what a device said yes to shows in its bookings by then
BOOKED_WITHIN = timedelta(seconds=120)  # after the device's own patience for the calendar's answer
LONGEST_PATIENCE = timedelta(seconds=300)  # of a device that waits for the calendar's answer
REMEMBER_DONE = timedelta(minutes=2)  # a command that is repeated later is known to the inbox

Result = Mapping[str, str | None]


class _NotDone(Exception):
    """The order cannot be carried out as it stands."""


# ── taking up ─────────────────────────────────────────────────────────────────────────────────────


def obey(room: Room, event: CommandGiven, *, now: datetime, policy: Policy) -> Step:
    """Take up an order, or say why not. One that is repeated is answered as it was, and not done again."""
    known = room.commands.get(event.command)
    if known is not None:
        return Step(room=room, answers=(answer_of(known),))
    step = Step(room=room)
    try:
        match event.order:
            case PlaceHold():
                return _place_hold(step, event, event.order, now, policy)
            case ExtendHold():
                return _extend_hold(step, event, event.order, now)
            case CancelHold(hold=hold_id):
                hold = _standing(room, hold_id)
                step = turn(step, hold, Turn.CANCELLED, now)
                return _done(step, event.command, now, {"hold_id": hold.id})
            case BookRoom():
                return _book_room(step, event, event.order, now, policy)
            case ExtendBooking():
                return _extend_booking(step, event, event.order, now)
            case ReleaseBooking(booking=name):
                return _release_booking(step, event, name, now)
            case ShowMessage():
                return _show_message(step, event, event.order, now, policy)
            case ClearMessage(surfaces=surfaces):
                return _clear_message(step, event, surfaces, now)
            case Resync():
                return _resync(step, event, now)
            case _:
                assert_never(event.order)
    except _NotDone as why:
        refused = Command(id=event.command, status=AnswerStatus.REFUSED, at=now, reason=str(why))
        return _say(Step(room=room), refused)


def _place_hold(step: Step, event: CommandGiven, order: PlaceHold, now: datetime, policy: Policy) -> Step:
    starts_at = max(order.starts_at or now, now)
    _fit_to_show(step.room, order)
    if order.ends_at <= starts_at:
        raise _NotDone("its end is not after its start and after now")
    if order.ends_at - starts_at > LONGEST_HOLD:
        raise _NotDone("it is longer than 24 hours")
    if len(order.answers) > MOST_ANSWERS or not all(answer.strip() for answer in order.answers):
        raise _NotDone("answers are up to five, and none is empty")
    if any(len(answer) > LONGEST_TEXT for answer in order.answers):
        raise _NotDone(f"an answer is longer than {LONGEST_TEXT} characters")
    other = in_the_way(step.room, starts_at, order.ends_at, but=order.hold)
    if other is not None:
        raise _NotDone(_in_the_way(other))
    before = standing(step.room, order.hold)
    if order.book and before is not None and before.request_id is not None:
        raise _NotDone(f"hold {order.hold} is booked as well: cancel it and release its booking first")
    result = {"hold_id": order.hold, "starts_at": starts_at.isoformat(), "ends_at": order.ends_at.isoformat()}
    name = name_message(step.room, event.command, policy)
    request_id: RequestId | None = None
    if order.book:
        request_id = _request_id(event.command)
        book = BookRoom(starts_at=starts_at, duration=order.ends_at - starts_at, title=order.title)
        step = _book_room(step, event, book, now, policy, result=result)
    if before is not None:
        step = turn(step, before, Turn.REPLACED, now)
    step = place(step, order, name, now=now, request_id=request_id, requested_by=event.requested_by)
    return step if order.book else _done(step, event.command, now, result)


def _fit_to_show(room: Room, order: PlaceHold | ShowMessage) -> None:
    if not order.text.strip():
        raise _NotDone("there is no text")
    if max(len(order.text), len(order.title or "")) > LONGEST_TEXT:
        raise _NotDone(f"its text or title is longer than {LONGEST_TEXT} characters")
    if not order.surfaces:
        raise _NotDone("no surface is named")
    for surface in order.surfaces:
        if not any(surfaces_on(device, (surface,)) for device in room.devices.values()):
            raise _NotDone(f"no device of the room has a {surface}")


def _extend_hold(step: Step, event: CommandGiven, order: ExtendHold, now: datetime) -> Step:
    hold = _standing(step.room, order.hold)
    if order.ends_at <= max(hold.starts_at, now):
        raise _NotDone("its new end is not after its start and after now")
    if order.ends_at - hold.starts_at > LONGEST_HOLD:
        raise _NotDone("it would be longer than 24 hours")
    other = in_the_way(step.room, hold.starts_at, order.ends_at, but=hold.id)
    if other is not None:
        raise _NotDone(_in_the_way(other))
    if order.ends_at != hold.ends_at:
        step = turn(
            step,
            replace(hold, ends_at=order.ends_at),
            Turn.EXTENDED,
            now,
            around=Circumstances(previous=hold),
        )
    result = {"hold_id": hold.id, "ends_at": order.ends_at.isoformat()}
    return _done(step, event.command, now, result)


def _standing(room: Room, hold_id: HoldId) -> Hold:
    hold = standing(room, hold_id)
    if hold is not None:
        return hold
    over = next((h for h in room.holds.values() if h.id == hold_id and not h.plain), None)
    raise _NotDone(f"there is no hold {hold_id}" if over is None else f"hold {hold_id} is over: {over.cause}")


def _clock(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _in_the_way(hold: Hold) -> str:
    return f"hold {hold.id} is in the way, from {_clock(hold.starts_at)} to {_clock(hold.ends_at)}"


def _show_message(step: Step, event: CommandGiven, order: ShowMessage, now: datetime, policy: Policy) -> Step:
    _fit_to_show(step.room, order)
    if not timedelta() < order.duration <= LONGEST_HOLD:
        raise _NotDone("its duration is not between nothing and 24 hours")
    for hold in step.room.holds.values():
        begun = hold.phase in {HoldPhase.DUE, HoldPhase.SHOWN} and hold.ends_at > now
        if begun and not hold.plain and _meet(step.room, hold.surfaces, order.surfaces):
            raise _NotDone(_in_the_way(hold))
    for hold in tuple(step.room.holds.values()):
        if hold.plain and hold.live and hold.warns_of is None:
            step = turn(step, hold, Turn.REPLACED, now)
    name = name_message(step.room, event.command, policy)
    step = place(step, order, name, now=now, requested_by=event.requested_by)
    return _say(
        step,
        Command(
            id=event.command,
            status=AnswerStatus.ACCEPTED,
            at=now,
            errand=Errand.MESSAGE,  # given up when its hold is over
            feedback_id=name,
        ),
    )


def _meet(room: Room, some: tuple[Surface, ...], others: tuple[Surface, ...]) -> bool:
    """Whether any device would show both on one surface."""
    return any(set(surfaces_on(d, some)) & set(surfaces_on(d, others)) for d in room.devices.values())


def _clear_message(step: Step, event: CommandGiven, surfaces: tuple[Surface, ...], now: datetime) -> Step:
    for hold in tuple(step.room.holds.values()):
        if not hold.plain or not hold.live or hold.warns_of is not None:
            continue
        rest = tuple(each for each in hold.surfaces if surfaces and each not in surfaces)
        if rest:
            holds = {**step.room.holds, hold.feedback_id: replace(hold, surfaces=rest)}
            step = replace(step, room=replace(step.room, holds=holds))
        else:
            step = turn(step, hold, Turn.CANCELLED, now)
    return _done(step, event.command, now, None)


def _book_room(
    step: Step,
    event: CommandGiven,
    order: BookRoom,
    now: datetime,
    policy: Policy,
    *,
    result: Result | None = None,
) -> Step:
    # As a device is told it: by it the booking is known again where nothing else names it.
    starts_at = order.starts_at.replace(microsecond=0)
    ends_at = starts_at - (-order.duration // MINUTE) * MINUTE
    if order.duration <= timedelta() or ends_at <= now:
        raise _NotDone("its end is not after its start and after now")
    for booking in step.room.bookings.values():
        if booking.live and booking.starts_at < ends_at and starts_at < booking.ends_at:
            raise _NotDone(_booked(booking))
    request_id = _request_id(event.command)
    calendar = written_calendar(step.room)
    if calendar is not None:
        book_there = BookInCalendar(
            calendar=calendar,
            command=event.command,
            request_id=request_id,
            starts_at=starts_at,
            ends_at=ends_at,
            title=order.title,
            organizer=order.organizer,
        )
        waits = _of_calendar(event.command, Errand.BOOKING, calendar, now, BOOKED_WITHIN)
        step = ask_to_book(step, book_there, now=now)
        return _say(step, replace(waits, result=result, request_id=request_id))
    why_not = _why_not_on_a_device(step.room)
    if why_not is not None:
        raise _NotDone(why_not)
    device = next(iter(_booking_devices(step.room)), None)
    if device is None:
        raise _NotDone("no device of the room that can book is connected")
    # As if somebody had asked on the device: its own word of it, if it has one, is the same request.
    asked = BookingRequested(
        device=device.id,
        request_id=request_id,
        starts_at=starts_at,
        ends_at=ends_at,
        title=order.title,
    )
    requested = hear(step.room, asked, now=now, policy=policy)
    book = Book(
        device=device.id,
        command=event.command,
        request_id=request_id,
        starts_at=starts_at,
        ends_at=ends_at,
        title=order.title,
        organizer=order.organizer,
    )
    step = replace(
        step,
        room=requested.room,
        facts=step.facts + requested.facts,
        requests=(*step.requests, book),
    )
    return _say(
        step,
        Command(
            id=event.command,
            status=AnswerStatus.ACCEPTED,
            at=now,
            result=result,
            errand=Errand.BOOKING,
            give_up_at=now + device.booking_timeout + BOOKED_WITHIN,
            devices=(device.id,),
            request_id=request_id,
        ),
    )


def _why_not_on_a_device(room: Room) -> str | None:
    """Why what is booked on a device would not last: the calendar that is believed would not know of it."""
    state = believed_calendar(room)
    if state is not None and not room.devices and not state.writes:
        return f"the room has no device, and roomd may not write in its {state.kind} calendar: writes = true"
    if state is None or devices_calendar(room) is CalendarKind.HYBRID:
        return None
    if any(device.hybrid_at is not None for device in room.devices.values()):
        return None
    if state.writes:
        why = state.why or "it has not been read yet"
        return f"nothing can be written in the {state.kind} calendar now: {why}; give it again"
    if devices_calendar(room) is None:
        return None  # it may be Hybrid Calendar's: if it is not, the calendar will not have it
    return (
        f"what is booked on the device does not get into the {state.kind} calendar, which is believed: "
        "let roomd write there (writes = true)"
    )


def _extend_booking(step: Step, event: CommandGiven, order: ExtendBooking, now: datetime) -> Step:
    booking = _find_booking(step.room, order.booking, now)
    if (order.ends_at is None) == (order.by is None):
        raise _NotDone("either a new end or by how much is to be given")
    ends_at = order.ends_at if order.ends_at is not None else booking.ends_at + (order.by or timedelta())
    if ends_at <= booking.ends_at:
        raise _NotDone(f"it ends at {_clock(booking.ends_at)}, and that is not before the new end")
    for other in step.room.bookings.values():
        overlaps = other.starts_at < ends_at and booking.starts_at < other.ends_at
        if other.live and other.key != booking.key and overlaps:
            raise _NotDone(_booked(other))
    entry = written_entry(step.room, booking)
    if entry is not None:
        step = ask_to_extend(step, event.command, entry, ends_at=ends_at)
        waits = _of_calendar(event.command, Errand.EXTENSION, entry[0], now, SEEN_WITHIN)
        return _say(step, replace(waits, booking=booking.key, ends_at=ends_at))
    device = _knowing_device(step.room, booking)
    extend = Extend(
        device=device,
        command=event.command,
        booking_id=booking.booking_ids.get(device),
        meeting_id=booking.meeting_id,
        ends_at=ends_at,
        by=ends_at - booking.ends_at,
    )
    step = replace(step, requests=(*step.requests, extend))
    return _say(step, _errand(event.command, Errand.EXTENSION, booking, device, now, ends_at))


def _release_booking(step: Step, event: CommandGiven, name: str, now: datetime) -> Step:
    booking = _find_booking(step.room, name, now)
    entry = written_entry(step.room, booking)
    if entry is not None:
        step = ask_to_release(step, event.command, entry)
        waits = _of_calendar(event.command, Errand.RELEASE, entry[0], now, SEEN_WITHIN)
        return _say(step, replace(waits, booking=booking.key))
    device = _knowing_device(step.room, booking)
    release = Release(device=device, command=event.command, booking=booking)
    step = replace(step, requests=(*step.requests, release))
    return _say(step, _errand(event.command, Errand.RELEASE, booking, device, now, None))


def why_not_released(room: Room, booking: Booking) -> str | None:
    """Why this booking cannot be given back now, in words with what to do about it; None: it can be tried."""
    if written_entry(room, booking) is not None:
        return None
    try:
        _knowing_device(room, booking)
    except _NotDone as why:
        return str(why)
    return None


def _errand(
    command: CommandId,
    errand: Errand,
    booking: Booking,
    device: DeviceId,
    now: datetime,
    ends_at: datetime | None,
) -> Command:
    return Command(
        id=command,
        status=AnswerStatus.ACCEPTED,
        at=now,
        errand=errand,
        give_up_at=now + SEEN_WITHIN,
        devices=(device,),
        booking=booking.key,
        ends_at=ends_at,
    )


def _of_calendar(
    command: CommandId, errand: Errand, calendar: CalendarKind, now: datetime, within: timedelta
) -> Command:
    return Command(
        id=command,
        status=AnswerStatus.ACCEPTED,
        at=now,
        errand=errand,
        give_up_at=now + within,
        calendars=(calendar,),
    )


def _find_booking(room: Room, name: str, now: datetime) -> Booking:
    """The booking of this name that stands, and of which no command is under way."""
    found = [b for b in room.bookings.values() if b.live and b.ends_at > now and name in _names(b)]
    if not found:
        raise _NotDone(f"no booking {name} stands")
    if len({b.key for b in found}) > 1:
        raise _NotDone(f"{name} names several bookings: " + ", ".join(b.key for b in found))
    booking = found[0]
    for command in room.commands.values():
        if command.booking == booking.key and command.status is AnswerStatus.ACCEPTED:
            raise _NotDone(f"command {command.id} about this booking is under way: wait for its answer")
    return booking


def _names(booking: Booking) -> frozenset[str | None]:
    ids = (*booking.booking_ids.values(), *booking.entries.values())
    return frozenset({booking.key, booking.meeting_id, *ids})


def _knowing_device(room: Room, booking: Booking) -> DeviceId:
    for device in _booking_devices(room):
        if device.id in booking.booking_ids:
            return device.id
    if booking.entries:
        raise _NotDone(
            "no device that knows the booking is connected, and its calendar cannot be written in now: "
            "roomd doctor says whether the site grants it"
        )
    raise _NotDone("no device that knows the booking is connected")


def _booking_devices(room: Room) -> list[DeviceState]:
    return [
        device
        for device in room.devices.values()
        if device.phase is DevicePhase.CONNECTED and Ability.BOOKINGS not in device.lacks
    ]


def _booked(booking: Booking) -> str:
    times = f"from {_clock(booking.starts_at)} to {_clock(booking.ends_at)}"
    return f"booking {booking.key} is in the way, {times}"


def _resync(step: Step, event: CommandGiven, now: datetime) -> Step:
    connected = [d for d in step.room.devices.values() if d.phase is DevicePhase.CONNECTED]
    read = [c.kind for c in step.room.calendars.values() if c.phase is CalendarPhase.ACTIVE]
    if not connected and not read:
        nor_calendar = ", and no calendar of it is reached" if step.room.calendars else ""
        raise _NotDone(f"no device of the room is connected{nor_calendar}")
    lists = _booking_devices(step.room)
    devices = {
        **step.room.devices,
        **{device.id: replace(device, asked_at=now, list_at=None) for device in lists},
    }
    for kind in read:
        step = read_soon(step, kind, now=now)
    step = replace(
        step,
        room=replace(step.room, devices=devices),
        requests=(
            *step.requests,
            *(ListBookings(device=device.id) for device in lists),
            *(ReadValues(device=device.id) for device in connected),
        ),
    )
    return _say(
        step,
        Command(
            id=event.command,
            status=AnswerStatus.ACCEPTED,
            at=now,
            errand=Errand.LISTING,
            give_up_at=now + SEEN_WITHIN,
            devices=tuple(device.id for device in lists),
            calendars=tuple(read),
        ),
    )


def _request_id(command: CommandId) -> RequestId:
    """In the form of the UUID that devices expect (version 8: of our own making)."""
    raw = bytearray(blake2b(command.encode(), digest_size=16).digest())
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    digits = raw.hex()
    return RequestId("-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])))


# ── seeing through ────────────────────────────────────────────────────────────────────────────────


def hear_back(room: Room, event: OrderTaken | OrderRefused, *, now: datetime, policy: Policy) -> Step:
    """Take in what a device said to what was asked of it."""
    step, command = Step(room=room), room.commands.get(event.command)
    if command is None or command.status is not AnswerStatus.ACCEPTED or event.device not in command.devices:
        return replace(step, ignored=1)
    match event:
        case OrderTaken():
            looked = hear(room, BookingsTouched(device=event.device), now=now, policy=policy)
            return _note(looked, replace(command, taken=True))
        case OrderRefused(why=why):
            if command.errand is Errand.BOOKING:
                failed = BookingFailed(device=event.device, request_id=command.request_id, cause="config")
                step = hear(room, failed, now=now, policy=policy)
                booking = _booking_of(step.room, command)
                if booking is not None and booking.phase is BookingPhase.CONFIRMED:
                    return step  # it was booked all the same
            return _finish(step, command, AnswerStatus.FAILED, now, reason=why)
        case _:
            assert_never(event)


def hear_calendar(room: Room, event: CalendarOrderEvent, *, now: datetime) -> Step:
    """Take in what a linked calendar said to what was asked of it."""
    step, command = Step(room=room), room.commands.get(event.command)
    asked = command is not None and event.calendar in command.calendars
    if command is None or not asked or command.status is not AnswerStatus.ACCEPTED:
        return replace(step, ignored=1)
    step = hear_calendar_back(step, _booking_of(room, command), event, now=now)
    match event:
        case CalendarOrderTaken():
            return _note(step, replace(command, taken=True))
        case CalendarOrderUnanswered():
            return step  # perhaps it was done: a listing says so, or nobody knows in the end
        case CalendarOrderRefused(why=why):
            return _finish(step, command, AnswerStatus.FAILED, now, reason=why)
        case _:
            assert_never(event)


def conclude(step: Step, facts: tuple[Fact, ...], *, now: datetime) -> Step:
    """Answer the commands of which it is known now what they did, or that nobody will know."""
    for key in tuple(step.room.commands):
        command = step.room.commands[key]
        if command.status is AnswerStatus.ACCEPTED:
            step = _conclude(step, command, facts, now)
        elif abs(now - command.at) >= REMEMBER_DONE:  # also by a clock that was far ahead
            commands = {k: c for k, c in step.room.commands.items() if k != key}
            step = replace(step, room=replace(step.room, commands=commands))
    return _unbook(step, now)


def next_conclusion(room: Room) -> datetime | None:
    """When a command is given up at the latest."""
    return min(
        (
            command.give_up_at
            for command in room.commands.values()
            if command.status is AnswerStatus.ACCEPTED and command.give_up_at is not None
        ),
        default=None,
    )


def left(command: Command, now: datetime) -> Command:
    """A command when the agent starts: nothing waits for what a clock that was set back puts far off."""
    if command.status is not AnswerStatus.ACCEPTED:
        return command  # an answer stays
    latest = now + LONGEST_PATIENCE + BOOKED_WITHIN
    give_up_at = None if command.give_up_at is None else min(command.give_up_at, latest)
    return replace(command, at=min(command.at, now), give_up_at=give_up_at)


def shifted(command: Command, by: timedelta) -> Command:
    """A command after the clock jumped: what is waited for is waited for as long; an answer stays."""
    if command.status is not AnswerStatus.ACCEPTED:
        return command
    give_up_at = None if command.give_up_at is None else command.give_up_at + by
    return replace(command, at=command.at + by, give_up_at=give_up_at)


def _conclude(step: Step, command: Command, facts: tuple[Fact, ...], now: datetime) -> Step:
    match command.errand:
        case Errand.BOOKING | Errand.EXTENSION | Errand.RELEASE:
            return _conclude_booking(step, command, facts, now)
        case Errand.MESSAGE:
            return _conclude_message(step, command, now)
        case Errand.LISTING:
            return _conclude_listing(step, command, now)
        case None:
            return step
        case _:
            assert_never(command.errand)


def _conclude_booking(step: Step, command: Command, facts: tuple[Fact, ...], now: datetime) -> Step:
    booking = _booking_of(step.room, command)
    told = None if booking is None else _told(booking)
    standing_ = booking is not None and booking.live
    if command.errand is Errand.BOOKING:
        granted = booking is not None and booking.phase in {BookingPhase.CONFIRMED, BookingPhase.STARTED}
        if booking is not None and granted and not _is_doubtful(step.room, booking):
            result = {**(command.result or {}), **_told(booking)}
            return _finish(step, command, AnswerStatus.DONE, now, result=result)
        if booking is not None and not booking.live:
            return _not_booked(step, command, booking, facts, now)
    elif command.errand is Errand.RELEASE and not standing_:
        return _finish(step, command, AnswerStatus.DONE, now, result=told)
    elif command.errand is Errand.EXTENSION:
        if booking is not None and command.ends_at is not None and booking.ends_at >= command.ends_at:
            return _finish(step, command, AnswerStatus.DONE, now, result=told)
        if not standing_:
            return _finish(step, command, AnswerStatus.FAILED, now, reason="the booking is over")
    if not _given_up(command, now):
        return step
    they = "calendar" if command.calendars else "device"
    if command.taken and command.errand is not Errand.BOOKING and _looked_since(step.room, command):
        return _finish(step, command, AnswerStatus.FAILED, now, reason=f"the {they} agreed and did not do it")
    return _finish(step, command, AnswerStatus.UNKNOWN, now, reason=f"no answer came from the {they} in time")


def _is_doubtful(room: Room, booking: Booking) -> bool:
    """Whether only a device's own calendar has it, and the one that is believed may never do so."""
    state = believed_calendar(room)
    if state is None or state.kind in booking.entries:
        return False
    return booking.calendar in {CalendarKind.ON_DEVICE, CalendarKind.PUSHED}


def _not_booked(
    step: Step, command: Command, booking: Booking, facts: tuple[Fact, ...], now: datetime
) -> Step:
    if booking.phase is not BookingPhase.EXPIRED:
        cause = _cause(booking, facts) or booking.phase.value
        return _finish(step, command, AnswerStatus.FAILED, now, reason=f"not booked: {cause}")
    if not command.calendars:
        reason = "the calendar has not answered in time"
        return _finish(step, command, AnswerStatus.FAILED, now, reason=reason)
    if not command.taken:
        reason = "no answer came from the calendar, and it does not have it"
        return _finish(step, command, AnswerStatus.FAILED, now, reason=reason)
    reason = "the calendar took it, and the room did not accept: it may be taken, or not be bookable"
    return _finish(take_back(step, command, booking), command, AnswerStatus.FAILED, now, reason=reason)


def _looked_since(room: Room, command: Command) -> bool:
    """Whether whoever was asked has listed its bookings since it said yes, within the time it has."""
    listed = [room.devices[device].listed_at for device in command.devices if device in room.devices]
    listed += [room.calendars[kind].listed_at for kind in command.calendars if kind in room.calendars]
    return any(at is not None and at > command.at + ANSWERS_WITHIN for at in listed)


def _given_up(command: Command, now: datetime) -> bool:
    return command.give_up_at is not None and command.give_up_at <= now


def _conclude_listing(step: Step, command: Command, now: datetime) -> Step:
    states = [step.room.devices[device] for device in command.devices if device in step.room.devices]
    late = [str(state.id) for state in states if state.listed_at is None or state.listed_at < command.at]
    linked = [step.room.calendars[kind] for kind in command.calendars if kind in step.room.calendars]
    late += [f"the {c.kind} calendar" for c in linked if c.listed_at is None or c.listed_at < command.at]
    if not late:
        return _finish(step, command, AnswerStatus.DONE, now)
    if _given_up(command, now):
        reason = f"no list came from {', '.join(late)}"
        return _finish(step, command, AnswerStatus.FAILED, now, reason=reason)
    return step


def _conclude_message(step: Step, command: Command, now: datetime) -> Step:
    hold = None if command.feedback_id is None else step.room.holds.get(command.feedback_id)
    if hold is not None and hold.phase in {HoldPhase.PLACED, HoldPhase.DUE}:
        return step
    if hold is not None and (hold.phase is HoldPhase.SHOWN or hold.cause == Turn.EXPIRED):
        return _finish(step, command, AnswerStatus.DONE, now)
    reason = "it was not shown" if hold is None else f"it was not shown: {hold.cause}"
    return _finish(step, command, AnswerStatus.FAILED, now, reason=reason)


def _unbook(step: Step, now: datetime) -> Step:
    """A hold that was to be booked as well, and was not, is none."""
    for hold in tuple(step.room.holds.values()):
        if hold.live and hold.request_id is not None:
            command = next((c for c in step.room.commands.values() if c.request_id == hold.request_id), None)
            if command is not None and command.status in {AnswerStatus.FAILED, AnswerStatus.UNKNOWN}:
                step = turn(step, hold, Turn.REFUSED, now, cause=command.reason)
    return step


def _booking_of(room: Room, command: Command) -> Booking | None:
    if command.booking is not None:
        return room.bookings.get(command.booking)
    if command.request_id is None:
        return None
    return next((b for b in room.bookings.values() if b.request_id == command.request_id), None)


def _cause(booking: Booking, facts: tuple[Fact, ...]) -> str | None:
    about = (f for f in facts if isinstance(f, BookingFact) and f.booking.key == booking.key)
    return next((fact.cause for fact in about if fact.cause), None)


def _told(booking: Booking) -> Result:
    return {
        "key": booking.key,
        "booking_id": booking.booking_id,
        "meeting_id": booking.meeting_id,
        "entry_id": booking.entry_id,
        "ical_uid": booking.meeting.ical_uid,
        "starts_at": booking.starts_at.isoformat(),
        "ends_at": booking.ends_at.isoformat(),
    }


# ── answering ─────────────────────────────────────────────────────────────────────────────────────


def _done(step: Step, command: CommandId, now: datetime, result: Result | None) -> Step:
    return _say(step, Command(id=command, status=AnswerStatus.DONE, at=now, result=result))


def _finish(
    step: Step,
    command: Command,
    status: AnswerStatus,
    now: datetime,
    *,
    reason: str | None = None,
    result: Result | None = None,
) -> Step:
    return _say(step, replace(command, status=status, at=now, reason=reason, result=result, give_up_at=None))


def _say(step: Step, command: Command) -> Step:
    return replace(_note(step, command), answers=(*step.answers, answer_of(command)))


def _note(step: Step, command: Command) -> Step:
    commands = {**step.room.commands, command.id: command}
    return replace(step, room=replace(step.room, commands=commands))


def answer_of(command: Command) -> Answer:
    """What is known of a command, as whoever gave it is told."""
    return Answer(
        command=command.id,
        status=command.status,
        reason=command.reason,
        at=command.at,
        result=None
        if command.result is None or command.status is AnswerStatus.ACCEPTED
        else {**command.result},
    )
