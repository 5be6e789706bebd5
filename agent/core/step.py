"""The core's one door: a room and an event in; the room, its facts and its requests out."""

from __future__ import annotations

from datetime import datetime, timedelta

from agent.core.attendance import judge, next_judgement, shifted_attendance, shifted_watch
from agent.core.belief import through
from agent.core.calendars import link_anew, list_calendar, next_reckoning, reckon, turn_calendar
from agent.core.calendars import shifted as shifted_calendar
from agent.core.commands import conclude, hear_back, hear_calendar, next_conclusion, obey
from agent.core.commands import shifted as shifted_command
from agent.core.correlation import next_strike, set_right, strike
from agent.core.devices import attend
from agent.core.events import (
    AgendaPut,
    AgendaRefused,
    BookingTimeoutRead,
    CalendarListed,
    CalendarOrderRefused,
    CalendarOrderTaken,
    CalendarOrderUnanswered,
    CalendarsLinked,
    CalendarTurned,
    CallsCounted,
    CheckInRead,
    ClockStepped,
    ClockStruck,
    CommandGiven,
    CurrentValuesRead,
    DeviceConnected,
    DeviceLost,
    DeviceRefused,
    LightModeRead,
    MessageRefused,
    MessageShown,
    MessageTakenOff,
    OrderRefused,
    OrderTaken,
    PeopleCounted,
    PresenceSensed,
    PromptAnswered,
    PromptCleared,
    PromptDisplayed,
    RoomEvent,
    SensorAway,
    SensorBack,
    SensorCutOff,
    SensorSaid,
    SharingSensed,
    ShortcomingsFound,
    UptimeRead,
    UseRefused,
    UseSensed,
    UseTold,
)
from agent.core.facts import BookingFact, FactKind, Step
from agent.core.holds import begin, bring, expire, greet, heed, next_turn, see
from agent.core.holds import shifted as shifted_hold
from agent.core.model import Booking, DevicePhase, DeviceState, Policy, Room
from agent.core.occupancy import forget_silent, next_weighing, sense, weigh
from agent.core.putting import hear_bookings, hear_put, next_put, put
from agent.core.putting import shifted as shifted_put
from agent.core.releasing import next_release, release
from agent.core.releasing import shifted as shifted_release
from agent.core.renewing import replace
from agent.core.tally import next_tally, tally
from agent.core.third_party import (
    hear_sensor,
    next_settling,
    sensed_by_others,
    settle,
    shifted_sensor,
    shifted_use,
    tell_use,
    turned,
)


def step(room: Room, event: RoomEvent, *, now: datetime, policy: Policy) -> Step:
    """Take one event into the room. `now` is UTC by the wall clock and never earlier than in the step before.

    Returns the same `room` object if nothing changed. Never raises: what cannot be is ignored and counted.
    """
    taken = _take(room, event, now=now, policy=policy)
    if taken.room.heard is not None and (isinstance(event, ClockStruck) or _is_news(room, taken.room)):
        taken = reckon(taken, now=now)
    if sensed_by_others(taken.room):
        taken = tell_use(taken, now=now, policy=policy)
    if room.puts_agenda or any(state.put or state.put_why for state in taken.room.devices.values()):
        taken = put(taken, now=now)
    taken = judge(room, taken, event, now=now, policy=policy)
    if taken.room.holds or taken.room.commands:
        taken = _follow(taken, now)
    taken = release(room, taken, event, now=now, policy=policy)
    if taken.room.holds or taken.room.commands:
        taken = bring(taken, now=now, policy=policy)
    return taken if room.tally is None else tally(room, taken, event, now=now, policy=policy)


def _is_news(before: Room, after: Room) -> bool:
    """Whether anything changed that linked calendars have to do with."""
    return (
        after.bookings is not before.bookings
        or after.heard is not before.heard
        or after.devices is not before.devices
        or after.calendars is not before.calendars
        or after.commands is not before.commands
    )


def _take(room: Room, event: RoomEvent, *, now: datetime, policy: Policy) -> Step:
    match event:
        case (
            PeopleCounted()
            | PresenceSensed()
            | UseSensed()
            | CallsCounted()
            | SharingSensed()
            | CurrentValuesRead()
        ):
            return sense(room, event, now=now)
        case SensorSaid() | SensorAway() | SensorCutOff() | SensorBack() | UseTold() | UseRefused():
            return hear_sensor(room, event, now=now, policy=policy)
        case DeviceConnected() | UptimeRead():
            attended = attend(room, event, now=now)
            anew = isinstance(event, DeviceConnected) or bool(attended.facts)
            return greet(attended, event.device) if anew and room.holds else attended
        case DeviceLost() | DeviceRefused() | BookingTimeoutRead() | CheckInRead() | ShortcomingsFound():
            return attend(room, event, now=now)
        case (
            MessageShown()
            | MessageRefused()
            | MessageTakenOff()
            | PromptDisplayed()
            | PromptAnswered()
            | PromptCleared()
            | LightModeRead()
        ):
            return see(Step(room=room), event, now=now, policy=policy)
        case CommandGiven():
            return obey(room, event, now=now, policy=policy)
        case CalendarTurned():
            return turn_calendar(room, event, now=now)
        case CalendarsLinked():
            return link_anew(room, event, now=now)
        case CalendarListed():
            return list_calendar(room, event, now=now)
        case CalendarOrderTaken() | CalendarOrderRefused() | CalendarOrderUnanswered():
            return hear_calendar(room, event, now=now)
        case AgendaPut() | AgendaRefused():
            return hear_put(room, event, now=now)
        case OrderTaken() | OrderRefused():
            return hear_back(room, event, now=now, policy=policy)
        case ClockStruck():
            struck = through(room, lambda view: strike(Step(room=view), now=now, policy=policy), now=now)
            settled = settle(forget_silent(struck.room, now=now), now=now, policy=policy)
            weighed = weigh(settled, now=now, sensor=turned(struck.room, settled))
            return replace(struck, room=weighed.room, facts=struck.facts + weighed.facts)
        case ClockStepped(by=by):
            shifted = _shifted(room, by, now)
            return Step(room=shifted, facts=_taken_back(room, shifted, now))
        case _:
            return hear_bookings(room, event, now=now, policy=policy)


def _follow(taken: Step, now: datetime) -> Step:
    """What an event means to holds and commands: whatever it was, their time may have come with it."""
    followed = begin(taken, now=now)
    followed = heed(followed, taken.facts, now=now)
    followed = expire(followed, now=now)
    return conclude(followed, taken.facts, now=now)


def next_deadline(room: Room, policy: Policy) -> datetime | None:
    """When the clock has something to say to this room; derived from its state, so a restart loses none."""
    as_heard = room if room.heard is None else replace(room, bookings=room.heard)
    due = (
        next_strike(as_heard, policy),
        next_reckoning(room),
        next_put(room),
        next_weighing(room),
        next_settling(room, policy),
        next_turn(room, policy),
        next_conclusion(room),
        next_judgement(room, policy),
        next_release(room, policy),
        next_tally(room),
    )
    return min((instant for instant in due if instant is not None), default=None)


def _taken_back(before: Room, after: Room, now: datetime) -> tuple[BookingFact, ...]:
    """What a clock that was ahead had started, and has not begun: the cloud was told that it had."""
    return tuple(
        BookingFact(
            kind=FactKind.BOOKING_UPDATED,
            at=now,
            booking=booking,
            previous=before.bookings[key],
            recovered=True,
        )
        for key, booking in after.bookings.items()
        if booking.live and booking.phase is not before.bookings[key].phase
    )


def _shifted(room: Room, by: timedelta, now: datetime) -> Room:
    """Move the spans that are running with a clock that jumped: a minute of waiting stays a minute.

    The times of bookings are said by calendars and stay as they are.
    """

    def moved(instant: datetime | None) -> datetime | None:
        return None if instant is None else instant + by

    def device(state: DeviceState) -> DeviceState:
        return replace(
            shifted_use(shifted_put(state, by), by),
            since=state.since + by,
            booted_at=moved(state.booted_at),
            list_at=now
            if state.phase is DevicePhase.CONNECTED
            else None,  # by the new time another list counts
            asked_at=moved(state.asked_at),
            listed_at=moved(state.listed_at),
            others_until=moved(state.others_until),
        )

    def booking(b: Booking) -> Booking:
        b = set_right(b, now)
        return replace(b, since=b.since + by, seen_at=b.seen_at + by, requested_at=moved(b.requested_at))

    return replace(
        room,
        devices={key: device(state) for key, state in room.devices.items()},
        bookings={key: booking(b) for key, b in room.bookings.items()},
        heard=None if room.heard is None else {key: booking(b) for key, b in room.heard.items()},
        calendars={kind: shifted_calendar(state, by, now) for kind, state in room.calendars.items()},
        third_party={key: shifted_sensor(state, by) for key, state in room.third_party.items()},
        occupancy_since=moved(room.occupancy_since),
        holds={key: shifted_hold(hold, by) for key, hold in room.holds.items()},
        commands={key: shifted_command(command, by) for key, command in room.commands.items()},
        watch=shifted_watch(room.watch, by),
        attendances={key: shifted_attendance(each, by) for key, each in room.attendances.items()},
        releases={key: shifted_release(attempt, by) for key, attempt in room.releases.items()},
    )
