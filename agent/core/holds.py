"""The life of a hold, and what a room's screens are to show now: devices are brought to that state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import assert_never

from agent.core.events import (
    LightModeRead,
    MessageRefused,
    MessageShown,
    MessageTakenOff,
    PromptAnswered,
    PromptCleared,
    PromptDisplayed,
    ScreenEvent,
)
from agent.core.facts import (
    BookingFact,
    Fact,
    FactKind,
    HoldFact,
    Light,
    Request,
    RestoreLight,
    ShowOn,
    Step,
    TakeOff,
    Wake,
)
from agent.core.model import (
    BookingPhase,
    CommandId,
    DeviceId,
    DevicePhase,
    DeviceState,
    FeedbackId,
    Hold,
    HoldId,
    HoldPhase,
    Policy,
    RequestId,
    Room,
    Showing,
    ShowingPhase,
    Surface,
)
from agent.core.orders import PlaceHold, ShowMessage
from agent.core.renewing import replace

LAPSES_AFTER = timedelta(seconds=3600)  # no device shows anything longer by itself
RENEW_BEFORE = timedelta(seconds=120)  # that is over
OVERDUE = timedelta(seconds=15)  # a device that has not answered by then is asked again
SHOW_AGAIN_AFTER = timedelta(seconds=30)  # something cleared it
REFUSED_AGAIN_AFTER = timedelta(seconds=60)  # a renewal was refused: what is shown is soon to lapse
SHOW_AGAIN = 2  # times at most: whoever dismisses it a third time has read it
MOST_RESTS = 64  # of `OVERDUE`: a light that cannot be put right is tried every quarter of an hour
TAKE_OFF_TRIES = 3  # a device that refuses as often has nothing to take off, or cannot
REPLACES_WITHIN = timedelta(seconds=3)  # a device says by then that what was renewed took the old one's place
LAPSE_IS_NEAR = timedelta(seconds=5)  # what is cleared so near its end was cleared by that
LAPSE_IS_SURE = timedelta(seconds=60)
LATE = timedelta(seconds=60)  # an end that is told later than that was slept through
REMEMBER_OVER = timedelta(minutes=10)  # so that its id is not taken for a new hold's
AT_ONCE = datetime.min.replace(tzinfo=UTC)
OURS = "roomd-"
MAY_BE_THERE = frozenset({ShowingPhase.ASKED, ShowingPhase.UP, ShowingPhase.LEAVING})
OF_THE_ROOM = frozenset({Surface.SCREEN, Surface.CONTROLLER})  # people in a call look at these


# ── the table ─────────────────────────────────────────────────────────────────────────────────────


_Said = MessageShown | MessageRefused | MessageTakenOff | PromptAnswered | PromptCleared


class Turn(StrEnum):
    """What happens to a hold."""

    PLACED = "placed"
    BEGUN = "begun"  # its time has come
    SHOWN = "shown"  # a surface shows it, for the first time there
    EXTENDED = "extended"  # it has another end
    ANSWERED = "answered"
    EXPIRED = "expired"  # its time is over
    CANCELLED = "cancelled"
    REPLACED = "replaced"  # placed anew with other words or times
    BOOKING_STARTED = "booking_started"  # somebody's meeting begins after it has
    REFUSED = "refused"  # no device can show it, or the booking that goes with it failed


@dataclass(frozen=True, slots=True)
class Move:
    """Where a turn leads, and what the cloud is told of it."""

    to: HoldPhase
    tells: tuple[FactKind, ...]


_ENDED = Move(HoldPhase.ENDED, (FactKind.HOLD_ENDED,))
_ANSWERED = Move(HoldPhase.ENDED, (FactKind.HOLD_ANSWERED, FactKind.HOLD_ENDED))
_FAILED = Move(HoldPhase.FAILED, (FactKind.HOLD_FAILED,))

HOLD_TRANSITIONS: Mapping[tuple[HoldPhase | None, Turn], Move] = {
    (None, Turn.PLACED): Move(HoldPhase.PLACED, (FactKind.HOLD_PLACED,)),
    (HoldPhase.PLACED, Turn.BEGUN): Move(HoldPhase.DUE, ()),
    (HoldPhase.PLACED, Turn.EXTENDED): Move(HoldPhase.PLACED, (FactKind.HOLD_EXTENDED,)),
    (HoldPhase.PLACED, Turn.CANCELLED): _ENDED,
    (HoldPhase.PLACED, Turn.REPLACED): _ENDED,
    (HoldPhase.PLACED, Turn.REFUSED): _FAILED,
    (HoldPhase.DUE, Turn.SHOWN): Move(HoldPhase.SHOWN, (FactKind.HOLD_SHOWN,)),
    (HoldPhase.DUE, Turn.EXTENDED): Move(HoldPhase.DUE, (FactKind.HOLD_EXTENDED,)),
    (HoldPhase.DUE, Turn.ANSWERED): _ANSWERED,  # the answer may overtake the word that it is shown
    (HoldPhase.DUE, Turn.EXPIRED): _FAILED,  # nobody has seen it
    (HoldPhase.DUE, Turn.CANCELLED): _ENDED,
    (HoldPhase.DUE, Turn.REPLACED): _ENDED,
    (HoldPhase.DUE, Turn.BOOKING_STARTED): _ENDED,
    (HoldPhase.DUE, Turn.REFUSED): _FAILED,
    (HoldPhase.SHOWN, Turn.SHOWN): Move(HoldPhase.SHOWN, (FactKind.HOLD_SHOWN,)),
    (HoldPhase.SHOWN, Turn.EXTENDED): Move(HoldPhase.SHOWN, (FactKind.HOLD_EXTENDED,)),
    (HoldPhase.SHOWN, Turn.ANSWERED): _ANSWERED,
    (HoldPhase.SHOWN, Turn.EXPIRED): _ENDED,
    (HoldPhase.SHOWN, Turn.CANCELLED): _ENDED,
    (HoldPhase.SHOWN, Turn.REPLACED): _ENDED,
    (HoldPhase.SHOWN, Turn.BOOKING_STARTED): _ENDED,
    (HoldPhase.SHOWN, Turn.REFUSED): _FAILED,  # the booking came to nothing
}


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


def name_message(room: Room, command: CommandId, policy: Policy) -> FeedbackId:
    """A name for what a command has shown that no other message has: `roomd-{agent}-{16 hex digits}`."""
    digest = blake2b(f"{room.id}\n{command}".encode(), digest_size=8).hexdigest()
    return FeedbackId(f"{OURS}{policy.agent}-{digest}")


def agent_of(feedback_id: str | None) -> str | None:
    """Which agent of ours gave a message its name, in this life or an earlier one; None: it is not ours."""
    if feedback_id is None or not feedback_id.startswith(OURS):
        return None
    return feedback_id.removeprefix(OURS).rpartition("-")[0] or None


# ── what is to be seen ────────────────────────────────────────────────────────────────────────────


def wanted(room: Room, now: datetime) -> dict[tuple[DeviceId, Surface], Hold]:
    """What every device and surface is to show, those that are away included.

    Holds go before warnings that nobody came, and these before messages.
    """
    shown: dict[tuple[DeviceId, Surface], Hold] = {}
    for hold in sorted(room.holds.values(), key=_standing):
        if hold.phase in {HoldPhase.DUE, HoldPhase.SHOWN} and now < hold.ends_at:
            for device in room.devices.values():
                for surface in surfaces_on(device, hold.surfaces):
                    shown.setdefault((device.id, surface), hold)
    return shown


def _standing(hold: Hold) -> tuple[bool, bool, datetime, FeedbackId]:
    """By which holds stand in order: the first is shown."""
    return hold.plain, hold.warns_of is None, hold.starts_at, hold.feedback_id


def surfaces_on(device: DeviceState, asked: tuple[Surface, ...]) -> tuple[Surface, ...]:
    """Which surfaces of a device these are; firmware that has no target shows on screen and controller."""
    if device.surfaces is None:
        return tuple(dict.fromkeys(asked))
    both = Surface.SCREEN in device.surfaces and Surface.CONTROLLER not in device.surfaces
    meant = (Surface.SCREEN if both and each is Surface.CONTROLLER else each for each in asked)
    return tuple(dict.fromkeys(each for each in meant if each in device.surfaces))


def in_the_way(room: Room, starts_at: datetime, ends_at: datetime, *, but: HoldId) -> Hold | None:
    """The hold that keeps the room for somebody else at that time."""
    overlapping = (
        hold
        for hold in room.holds.values()
        if hold.live
        and not hold.plain
        and hold.id != but
        and hold.starts_at < ends_at
        and starts_at < hold.ends_at
    )
    return min(overlapping, key=lambda hold: hold.starts_at, default=None)


def standing(room: Room, hold_id: HoldId) -> Hold | None:
    """The hold of this name that stands."""
    return next((h for h in room.holds.values() if h.id == hold_id and h.live and not h.plain), None)


# ── what happens ──────────────────────────────────────────────────────────────────────────────────


def place(
    step: Step,
    order: PlaceHold | ShowMessage,
    feedback_id: FeedbackId,
    *,
    now: datetime,
    request_id: RequestId | None = None,
    requested_by: str | None = None,
) -> Step:
    """Take up a hold or a message. Whether it may be placed is asked before."""
    match order:
        case PlaceHold():
            hold_id, starts_at, ends_at = order.hold, max(order.starts_at or now, now), order.ends_at
            answers, wake, plain = order.answers, order.wake, False
        case ShowMessage():
            hold_id, starts_at, ends_at = HoldId(feedback_id), now, now + order.duration
            answers, wake, plain = (), True, True
        case _:
            assert_never(order)
    hold = Hold(
        feedback_id=feedback_id,
        id=hold_id,
        plain=plain,
        phase=HoldPhase.PLACED,
        since=now,
        text=order.text,
        title=order.title,
        starts_at=starts_at,
        ends_at=ends_at,
        surfaces=tuple(dict.fromkeys(order.surfaces)),
        answers=answers,
        wake=wake,
        request_id=request_id,
        requested_by=requested_by,
    )
    step = turn(step, hold, Turn.PLACED, now, first=True)
    if starts_at <= now:
        step = turn(step, step.room.holds[feedback_id], Turn.BEGUN, now)
    return step


def see(step: Step, event: ScreenEvent, *, now: datetime, policy: Policy) -> Step:
    """Follow what devices say of their screens and lights."""
    device = step.room.devices.get(event.device)
    if device is None:
        return replace(step, ignored=step.ignored + 1)
    if isinstance(event, LightModeRead):
        lit = any(each.surface is Surface.LED for _, each in _on(step.room, device.id))
        unchanged = lit or event.mode == device.light_mode  # while it is lit the mode is ours
        return step if unchanged else _note(step, replace(device, light_mode=event.mode))
    if isinstance(event, PromptDisplayed):
        return _displayed(step, event, device, now, policy)
    hold = None if event.feedback_id is None else step.room.holds.get(event.feedback_id)
    if hold is None:
        return _stray(step, event, device, policy)
    match event:
        case PromptAnswered(option=option, surface=where):
            if not 1 <= option <= len(hold.answers):
                return replace(step, ignored=step.ignored + 1)
            answered = replace(hold, answer=hold.answers[option - 1]) if hold.live else hold
            return turn(
                step, answered, Turn.ANSWERED, now, around=Circumstances(device=event.device, surface=where)
            )
        case MessageShown(surface=surface):
            return _shown(step, hold, event.device, surface, now)
        case MessageTakenOff(surface=surface):
            showing = _showing(hold, event.device, surface)
            if showing is None or showing.phase is not ShowingPhase.LEAVING:
                return replace(step, ignored=step.ignored + 1)
            return _drop(step, hold, showing)
        case MessageRefused(surface=surface, why=why):
            return _refused(step, hold, event.device, surface, why, now)
        case PromptCleared(surface=where):
            for showing in hold.showings:
                if showing.device == event.device and where in {None, showing.surface}:
                    step = _cleared(step, step.room.holds[hold.feedback_id], showing, now)
            return step
        case _:
            assert_never(event)


def greet(step: Step, device: DeviceId) -> Step:
    """The device is there (again), or has restarted: nobody knows what it shows, so it is asked anew."""
    for hold in tuple(step.room.holds.values()):
        kept = tuple(
            each if each.device != device else _anew(each)
            for each in hold.showings
            if each.device != device or each.phase is not ShowingPhase.REFUSED or _renewal_refused(each)
        )
        if kept != hold.showings:
            step = _keep(step, replace(hold, showings=kept))
    return step


def _anew(showing: Showing) -> Showing:
    match showing.phase:
        case ShowingPhase.CLEARED:
            return showing  # whoever dismissed it has read it
        case ShowingPhase.LEAVING:
            return replace(showing, asked_at=None, refused=0)
        case ShowingPhase.ASKED | ShowingPhase.UP | ShowingPhase.REFUSED:
            return replace(showing, phase=ShowingPhase.ASKED, asked_at=None)
        case _:
            assert_never(showing.phase)


def _renewal_refused(showing: Showing) -> bool:
    """What was shown before may still be there."""
    return showing.phase is ShowingPhase.REFUSED and showing.told


def begin(step: Step, *, now: datetime) -> Step:
    """Begin what the clock says."""
    for hold in tuple(step.room.holds.values()):
        if hold.phase is HoldPhase.PLACED and hold.starts_at <= now:
            step = turn(step, hold, Turn.BEGUN, now)
    return step


def expire(step: Step, *, now: datetime) -> Step:
    """End what the clock says, at the times that were ordered, however late it is told."""
    for hold in tuple(step.room.holds.values()):
        if hold.live and hold.ends_at <= now:
            late = now > hold.ends_at + LATE
            begun_at = _taken_over_at(step.room, hold) if late else None
            sign = Turn.EXPIRED if begun_at is None else Turn.BOOKING_STARTED
            around = Circumstances(at=begun_at or hold.ends_at, recovered=late)
            step = turn(step, hold, sign, now, around=around)
    return step


def _taken_over_at(room: Room, hold: Hold) -> datetime | None:
    """When a meeting began in the middle of the hold, and nobody was there to notice."""
    if hold.plain or hold.phase not in {HoldPhase.DUE, HoldPhase.SHOWN}:
        return None
    starts = (
        b.starts_at
        for b in room.bookings.values()
        if b.phase in {BookingPhase.CONFIRMED, BookingPhase.STARTED, BookingPhase.ENDED}
        and (hold.request_id is None or b.request_id != hold.request_id)
        and hold.starts_at < b.starts_at < hold.ends_at
    )
    return min(starts, default=None)


def heed(step: Step, facts: tuple[Fact, ...], *, now: datetime) -> Step:
    """End the holds of a room in which a meeting has begun since; their own bookings do not count."""
    for fact in facts:
        if isinstance(fact, BookingFact) and fact.kind is FactKind.BOOKING_STARTED:
            for hold in tuple(step.room.holds.values()):
                own = hold.request_id is not None and hold.request_id == fact.booking.request_id
                begun = hold.phase in {HoldPhase.DUE, HoldPhase.SHOWN}
                meant = begun and not hold.plain and not own and fact.at < hold.ends_at
                if meant and fact.booking.starts_at > hold.starts_at:
                    around = Circumstances(at=fact.at, recovered=fact.recovered or now > fact.at + LATE)
                    step = turn(step, hold, Turn.BOOKING_STARTED, now, around=around)
    return step


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is told of a turn beside the hold."""

    at: datetime | None = None  # None: now
    device: DeviceId | None = None
    surface: Surface | None = None
    previous: Hold | None = None
    recovered: bool = False


NOTHING_ELSE = Circumstances()


def turn(
    step: Step,
    hold: Hold,
    sign: Turn,
    now: datetime,
    *,
    first: bool = False,
    cause: str | None = None,
    around: Circumstances = NOTHING_ELSE,
) -> Step:
    """Move a hold by the table, tell what the table says; what it does not know is counted and left."""
    move = HOLD_TRANSITIONS.get((None if first else hold.phase, sign))
    if move is None:
        return replace(step, ignored=step.ignored + 1)
    match move.to:
        case HoldPhase.ENDED:
            cause = sign.value
        case HoldPhase.FAILED:
            cause = cause or _why_unseen(step.room, hold)
        case HoldPhase.PLACED | HoldPhase.DUE | HoldPhase.SHOWN:
            cause = None
        case _:
            assert_never(move.to)
    since = hold.since if move.to is hold.phase and not first else now
    moved = replace(hold, phase=move.to, since=since, cause=cause)
    step = _keep(step, moved)
    if hold.plain:
        return step
    facts = tuple(
        HoldFact(
            kind=kind,
            at=around.at or now,
            hold=moved,
            device=around.device,
            surface=around.surface,
            answer=moved.answer,
            previous=around.previous,
            cause=cause if kind in {FactKind.HOLD_ENDED, FactKind.HOLD_FAILED} else None,
            recovered=around.recovered,
        )
        for kind in move.tells
    )
    return replace(step, facts=step.facts + facts)


# ── bringing devices there ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Task:
    """Something that a device is to be asked for, or that is to be forgotten of it, at a time."""

    at: datetime
    hold: Hold
    device: DeviceState
    surface: Surface
    showing: Showing | None
    show: bool  # else: take it off


def bring(step: Step, *, now: datetime, policy: Policy) -> Step:
    """Ask devices for what they do not show yet and should, and to take off what they should not show."""
    for device in step.room.devices.values():
        if device.others_until is not None and device.others_until <= now:
            step = _note(step, replace(device, others_until=None))
    step = _lapse(step, now)
    for task in tuple(_tasks(step.room, now, policy)):
        if task.at <= now:
            step = _show(step, task, now, policy) if task.show else _take_off(step, task, now)
    kept = {
        key: hold
        for key, hold in step.room.holds.items()
        if hold.live or hold.showings or now < hold.since + REMEMBER_OVER
    }
    return step if len(kept) == len(step.room.holds) else replace(step, room=replace(step.room, holds=kept))


def next_turn(room: Room, policy: Policy) -> datetime | None:
    """When the clock has something to say to this room's holds; derived, so that a restart loses none."""
    if not room.holds:
        return None
    due = [d.others_until for d in room.devices.values() if d.others_until is not None]
    for hold in room.holds.values():
        if hold.phase is HoldPhase.PLACED:
            due.append(hold.starts_at)
        elif hold.live:
            due.append(hold.ends_at)
        else:
            due += [_lapsed_at(s) for s in hold.showings if s.until is not None]
    due += [task.at for task in _tasks(room, AT_ONCE, policy)]
    return min(due, default=None)


def _tasks(room: Room, now: datetime, policy: Policy) -> Iterator[_Task]:
    """Everything that devices that are there are to be asked for, now or when its time comes."""
    desired = wanted(room, now)
    taken: set[tuple[DeviceId, Surface]] = set()
    for hold in room.holds.values():
        for showing in hold.showings:
            place_ = (showing.device, showing.surface)
            device = room.devices.get(showing.device)
            if showing.phase in MAY_BE_THERE or _renewal_refused(showing):
                taken.add(place_)
            if device is None or device.phase is not DevicePhase.CONNECTED:
                continue
            if showing.phase is ShowingPhase.LEAVING:
                yield _Task(_again_at(showing), hold, device, showing.surface, showing, show=False)
            elif desired.get(place_) is not hold:
                if showing.phase is ShowingPhase.CLEARED and hold.live:
                    continue  # hidden behind a hold for now; it keeps how often it was dismissed
                yield _Task(AT_ONCE, hold, device, showing.surface, showing, show=False)
            elif not _kept_from(room, device, showing.surface, policy):
                due = _show_at(hold, showing)
                if due is not None:
                    yield _Task(due, hold, device, showing.surface, showing, show=True)
    for place_, hold in desired.items():
        device = room.devices[place_[0]]
        new = place_ not in taken and _showing(hold, *place_) is None
        if new and device.phase is DevicePhase.CONNECTED and not _kept_from(room, device, place_[1], policy):
            yield _Task(AT_ONCE, hold, device, place_[1], None, show=True)


def _show_at(hold: Hold, showing: Showing) -> datetime | None:
    match showing.phase:
        case ShowingPhase.ASKED:
            return _again_at(showing)
        case ShowingPhase.UP:
            if showing.until is None or showing.until >= hold.ends_at:
                return None
            return showing.until - RENEW_BEFORE
        case ShowingPhase.CLEARED:
            if showing.cleared > SHOW_AGAIN or showing.asked_at is None:
                return None
            return showing.asked_at + SHOW_AGAIN_AFTER
        case ShowingPhase.REFUSED if _renewal_refused(showing) and showing.asked_at is not None:
            return showing.asked_at + REFUSED_AGAIN_AFTER
        case ShowingPhase.REFUSED | ShowingPhase.LEAVING:
            return None
        case _:
            assert_never(showing.phase)


def _again_at(showing: Showing) -> datetime:
    rest = OVERDUE * min(2**showing.refused, MOST_RESTS)
    return AT_ONCE if showing.asked_at is None else showing.asked_at + rest


def _kept_from(room: Room, device: DeviceState, surface: Surface, policy: Policy) -> bool:
    """Whether nothing new may be put there now: somebody else's prompt, a call, a presentation."""
    if surface is Surface.LED:
        return False
    if surface in OF_THE_ROOM:
        if device.others_until is not None:
            return True
        if not policy.disturb:
            return any(sensed.in_call or sensed.sharing for sensed in room.sensors.values())
    return False


def _show(step: Step, task: _Task, now: datetime, policy: Policy) -> Step:
    hold, device, surface = task.hold, task.device.id, task.surface
    before = task.showing or Showing(device=device, surface=surface, phase=ShowingPhase.ASKED)
    requests: list[Request] = []
    if surface is Surface.LED:
        until = None
        requests.append(Light(device=device, feedback_id=hold.feedback_id, colour=policy.light))
    else:
        until = min(hold.ends_at, now + LAPSES_AFTER)
        if hold.wake and before.asked_at is None:
            requests.append(Wake(device=device))
        requests.append(
            ShowOn(
                device=device,
                surface=surface,
                hold=hold.id,
                title=hold.title,
                text=hold.text,
                answers=hold.answers,
                feedback_id=hold.feedback_id,
                until=until,
            )
        )
    # What was shown before may stay longer than what is asked for now, should this one not come.
    latest = until if until is None or before.until is None else max(until, before.until)
    asked = replace(
        before,
        phase=ShowingPhase.ASKED,
        asked_at=now,
        until=latest,
        anew=before.told and before.phase is not ShowingPhase.CLEARED,
    )
    return _set(_send(step, *requests), step.room.holds[hold.feedback_id], asked)


def _take_off(step: Step, task: _Task, now: datetime) -> Step:
    showing = task.showing
    if showing is None:
        return step
    hold = step.room.holds[task.hold.feedback_id]
    never = showing.phase is ShowingPhase.REFUSED and not _renewal_refused(showing)
    lapsed = showing.until is None or showing.until <= now
    if never or (showing.phase is ShowingPhase.CLEARED and lapsed):  # else it may be cleared in part only
        return _drop(step, hold, showing)
    asked = replace(showing, phase=ShowingPhase.LEAVING, asked_at=now)
    if showing.surface is Surface.LED:
        mode = task.device.light_mode or "Auto"
        request: Request = RestoreLight(device=showing.device, feedback_id=hold.feedback_id, mode=mode)
    else:
        request = TakeOff(
            device=showing.device,
            surface=showing.surface,
            feedback_id=hold.feedback_id,
            answers=hold.answers,
        )
    return _set(_send(step, request), hold, asked)


def _lapse(step: Step, now: datetime) -> Step:
    """Forget what a device that is away has let lapse long ago."""
    for hold in tuple(step.room.holds.values()):
        kept = tuple(s for s in hold.showings if hold.live or s.until is None or now < _lapsed_at(s))
        if len(kept) != len(hold.showings):
            step = _keep(step, replace(hold, showings=kept))
    return step


def _lapsed_at(showing: Showing) -> datetime:
    return AT_ONCE if showing.until is None else showing.until + LAPSE_IS_SURE


# ── one event each ────────────────────────────────────────────────────────────────────────────────


def _displayed(
    step: Step, event: PromptDisplayed, device: DeviceState, now: datetime, policy: Policy
) -> Step:
    """A prompt came up. Of ours those stay that a hold wants; before anybody else's ours stands back."""
    ours = None if event.feedback_id is None else step.room.holds.get(event.feedback_id)
    if ours is not None and (ours.live or any(s.device == device.id for s in ours.showings)):
        return step
    if event.feedback_id is not None and agent_of(event.feedback_id) == policy.agent:
        return _send(step, _off_screen(device.id, event.feedback_id))
    for hold, showing in tuple(_on(step.room, device.id)):
        hidden = showing.phase is ShowingPhase.UP and showing.surface in OF_THE_ROOM
        if hold.answers and hidden and showing.cleared < SHOW_AGAIN:  # a screen shows one prompt at a time
            count = showing.cleared + 1
            anew = replace(showing, phase=ShowingPhase.ASKED, asked_at=None, cleared=count)
            step = _set(step, step.room.holds[hold.feedback_id], anew)
    lapses = timedelta(seconds=event.duration_s) if event.duration_s else LAPSES_AFTER
    return _note(step, replace(device, others_until=now + min(lapses, LAPSES_AFTER)))


def _shown(step: Step, hold: Hold, device: DeviceId, surface: Surface, now: datetime) -> Step:
    showing = _showing(hold, device, surface) or Showing(
        device=device, surface=surface, phase=ShowingPhase.UP, asked_at=now
    )
    if showing.phase is ShowingPhase.LEAVING:
        return step  # said before it is taken off
    told = showing.told or not hold.live
    step = _set(step, hold, replace(showing, phase=ShowingPhase.UP, told=True, why=None))
    if told:
        return step
    around = Circumstances(device=device, surface=surface)
    return turn(step, step.room.holds[hold.feedback_id], Turn.SHOWN, now, around=around)


def _refused(step: Step, hold: Hold, device: DeviceId, surface: Surface, why: str, now: datetime) -> Step:
    showing = _showing(hold, device, surface)
    if showing is None:
        return replace(step, ignored=step.ignored + 1)
    match showing.phase:
        case ShowingPhase.LEAVING:
            refused = replace(showing, refused=showing.refused + 1, why=why)
            if refused.refused >= TAKE_OFF_TRIES and showing.until is not None:
                return _drop(step, hold, showing)  # it lapses by itself; a light never does
            return _set(step, hold, refused)
        case ShowingPhase.ASKED:
            step = _set(step, hold, replace(showing, phase=ShowingPhase.REFUSED, why=why))
            hold = step.room.holds[hold.feedback_id]
            if hold.phase is HoldPhase.DUE and _refused_everywhere(step.room, hold):
                return turn(step, hold, Turn.REFUSED, now)
            return step
        case ShowingPhase.UP | ShowingPhase.CLEARED | ShowingPhase.REFUSED:
            return replace(step, ignored=step.ignored + 1)
        case _:
            assert_never(showing.phase)


def _refused_everywhere(room: Room, hold: Hold) -> bool:
    for device in room.devices.values():
        for surface in surfaces_on(device, hold.surfaces):
            showing = _showing(hold, device.id, surface)
            if showing is None or showing.phase is not ShowingPhase.REFUSED:
                return False
    return True


def _cleared(step: Step, hold: Hold, showing: Showing, now: datetime) -> Step:
    if showing.surface is Surface.LED:
        return step
    match showing.phase:
        case ShowingPhase.LEAVING:
            return _drop(step, hold, showing)
        case ShowingPhase.UP if showing.until is not None and now >= showing.until - LAPSE_IS_NEAR:
            return _set(step, hold, replace(showing, phase=ShowingPhase.ASKED, asked_at=None))
        case ShowingPhase.UP if (
            showing.anew and showing.asked_at and now < showing.asked_at + REPLACES_WITHIN
        ):
            return _set(step, hold, replace(showing, anew=False))  # once: the next is somebody's
        case ShowingPhase.UP:
            count = showing.cleared + 1
            cleared = replace(showing, phase=ShowingPhase.CLEARED, asked_at=now, cleared=count)
            return _set(step, hold, cleared)
        case ShowingPhase.ASKED | ShowingPhase.CLEARED | ShowingPhase.REFUSED:
            return step  # a renewal may clear what it renews
        case _:
            assert_never(showing.phase)


def _off_screen(device: DeviceId, feedback_id: FeedbackId) -> TakeOff:
    return TakeOff(device=device, surface=Surface.SCREEN, feedback_id=feedback_id)


def _stray(step: Step, event: _Said, device: DeviceState, policy: Policy) -> Step:
    """A message that no hold of this room is: of an earlier life of ours it goes, anybody else's stays."""
    match event:
        case PromptCleared() | PromptAnswered():
            if device.others_until is not None:
                return _note(step, replace(device, others_until=None))
        case MessageShown(surface=surface, feedback_id=feedback_id):
            if agent_of(feedback_id) == policy.agent:
                if surface is Surface.LED:
                    mode = device.light_mode or "Auto"
                    return _send(step, RestoreLight(device=device.id, feedback_id=feedback_id, mode=mode))
                return _send(step, TakeOff(device=device.id, surface=surface, feedback_id=feedback_id))
        case _:
            pass
    return replace(step, ignored=step.ignored + 1)


def _why_unseen(room: Room, hold: Hold) -> str:
    """Why nobody saw a hold, in words that a technician can act on."""
    refusals = {f"{s.device} refused ({s.surface}): {s.why}": None for s in hold.showings if s.why}
    away = [d.id for d in room.devices.values() if d.phase is not DevicePhase.CONNECTED]
    reasons = [*refusals, *(f"{device} was not reached" for device in away)]
    if not any(surfaces_on(device, hold.surfaces) for device in room.devices.values()):
        reasons.append("no device of the room has such a surface")
    return "; ".join(reasons) or "its devices were busy with a call, a presentation or another message"


def _showing(hold: Hold, device: DeviceId, surface: Surface) -> Showing | None:
    return next((s for s in hold.showings if s.device == device and s.surface is surface), None)


def _on(room: Room, device: DeviceId) -> Iterator[tuple[Hold, Showing]]:
    for hold in room.holds.values():
        yield from ((hold, s) for s in hold.showings if s.device == device)


def _set(step: Step, hold: Hold, showing: Showing) -> Step:
    others = tuple(s for s in hold.showings if (s.device, s.surface) != (showing.device, showing.surface))
    return _keep(step, replace(hold, showings=(*others, showing)))


def _drop(step: Step, hold: Hold, showing: Showing) -> Step:
    return _keep(step, replace(hold, showings=tuple(s for s in hold.showings if s is not showing)))


def _keep(step: Step, hold: Hold) -> Step:
    return replace(step, room=replace(step.room, holds={**step.room.holds, hold.feedback_id: hold}))


def _note(step: Step, device: DeviceState) -> Step:
    devices = {**step.room.devices, device.id: device}
    return replace(step, room=replace(step.room, devices=devices))


def _send(step: Step, *requests: Request) -> Step:
    return replace(step, requests=(*step.requests, *requests))


# ── restarts and clocks ───────────────────────────────────────────────────────────────────────────


def left(hold: Hold, devices: Mapping[DeviceId, DeviceState], now: datetime) -> Hold:
    """A hold when the agent starts: without devices that are gone, nothing in a set-back clock's future."""
    showings = tuple(
        replace(
            s,
            asked_at=None if s.asked_at is None else min(s.asked_at, now),
            until=None if s.until is None else min(s.until, now + LAPSES_AFTER),
        )
        for s in hold.showings
        if s.device in devices
    )
    return replace(hold, since=min(hold.since, now), showings=showings)


def shifted(hold: Hold, by: timedelta) -> Hold:
    """A hold after the clock jumped: what a device was given stays as long; what was ordered stays.

    Nobody ordered a warning: it stands as long as it was to stand.
    """
    showings = tuple(
        replace(
            s,
            asked_at=None if s.asked_at is None else s.asked_at + by,
            until=None if s.until is None else s.until + by,
        )
        for s in hold.showings
    )
    if hold.warns_of is not None:
        hold = replace(hold, starts_at=hold.starts_at + by, ends_at=hold.ends_at + by)
    return replace(hold, since=hold.since + by, showings=showings)
