"""Gives a room that nobody came to back: warns once, looks a last time, and orders it once at most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import assert_never

from agent.core.commands import obey, why_not_released
from agent.core.devices import misconfigured
from agent.core.events import ClockStruck, CommandGiven, CurrentValuesRead, RoomEvent
from agent.core.facts import FactKind, ListBookings, ReadValues, ReleaseFact, Request, ShowLine, Step
from agent.core.glance import standing_hold
from agent.core.holds import MAY_BE_THERE, Turn, name_message, surfaces_on, turn
from agent.core.model import (
    NOTHING_KNOWN,
    UNDER_WAY,
    Ability,
    AnswerStatus,
    Booking,
    BookingPhase,
    CalendarPhase,
    CommandId,
    DevicePhase,
    DeviceState,
    EvidenceKind,
    Hold,
    HoldId,
    HoldPhase,
    Meeting,
    Policy,
    ReleaseAttempt,
    ReleaseMode,
    ReleasePhase,
    Releasing,
    Room,
    SensorId,
    SensorPhase,
    ShowingPhase,
    Surface,
)
from agent.core.noticing import CLEARS_LATE
from agent.core.occupancy import witnesses
from agent.core.orders import ReleaseBooking
from agent.core.renewing import replace
from agent.core.writing import believed_calendar, read_soon

KNOWN_WITHIN = timedelta(minutes=3)  # of its start a booking is known to have begun, or we were away
SHOWN_WITHIN = timedelta(seconds=60)  # a screen that is free and awake has the warning by then
CHECKED_WITHIN = timedelta(seconds=30)  # bookings and sensors are read in seconds
LOOKS_AFTER = (timedelta(seconds=20), timedelta(seconds=45), timedelta(seconds=80))  # within an order's time
FRAMES_APART = timedelta(seconds=5)  # what a device says of one change comes in several
WORTH_IT = timedelta(minutes=5)  # a room that is free for less is of no use to anybody
ASKED_ON = (Surface.SCREEN, Surface.CONTROLLER)  # where those look who are in the room
COUNTS_AT_S = (60, 30, 10)  # the countdown says so much and no more: nobody is there to watch it
LINES_OVERLAP = timedelta(seconds=2)  # a line stays until the next has come
REMEMBER = timedelta(hours=1)  # after its end a booking that was taken back is listed no more
AT_ONCE = datetime.min.replace(tzinfo=UTC)
ROOMD = "roomd"  # who orders it

CHECKS_IN = (
    "The device itself deletes bookings without check-in, so that roomd releases none in this room: "
    "set `xConfiguration Bookings CheckIn Enabled: False`."
)
ANSWERS_UNHEARD = (
    "Answers to a question on its screens are not heard, so that roomd releases none in this room: "
    "let it be heard over WebSocket or SSH, or ask nobody with `warning_s = 0` in [release]."
)
PERHAPS_CHECKS_IN = (
    "Whether the device itself deletes bookings cannot be read, so that roomd releases none in this room: "
    "give its account a role that may read `Configuration Bookings CheckIn`, such as Admin."
)


# ── the table ─────────────────────────────────────────────────────────────────────────────────────


class Sign(StrEnum):
    """What is seen of a booking that may be released."""

    BEGUN = "begun"
    EMPTY = "empty"  # its grace is over, and nobody is there for sure
    UNWARNED = "unwarned"  # the same, where nobody is to be warned
    SEEN = "seen"  # somebody is there, has answered, checked in, or touched the screen
    DOUBTFUL = "doubtful"  # it is excluded, or nobody can say any more that nobody is there
    NO_MEANS = "no_means"  # neither a calendar nor a device could take it back
    ELAPSED = "elapsed"  # the warning has stood for its time
    CHECKED = "checked"  # all was read anew, and nobody is there
    REHEARSED = "rehearsed"  # the same, in a dry run
    GONE = "gone"
    REFUSED = "refused"
    OVER = "over"  # it ended, was deleted or put off by somebody else


@dataclass(frozen=True, slots=True)
class Move:
    """Where a sign leads, and what the cloud is told of it."""

    to: ReleasePhase
    tells: FactKind | None = None


_KEPT = Move(ReleasePhase.KEPT, FactKind.BOOKING_KEPT)
_SPARED = Move(ReleasePhase.SPARED, FactKind.BOOKING_KEPT)
_OVER = Move(ReleasePhase.SPARED)
_FAILED = Move(ReleasePhase.FAILED, FactKind.BOOKING_RELEASE_FAILED)

RELEASE_TRANSITIONS: Mapping[tuple[ReleasePhase | None, Sign], Move] = {
    (None, Sign.BEGUN): Move(ReleasePhase.WAITING),
    (ReleasePhase.WAITING, Sign.SEEN): Move(ReleasePhase.KEPT),
    (ReleasePhase.WAITING, Sign.DOUBTFUL): Move(ReleasePhase.SPARED),
    (ReleasePhase.WAITING, Sign.OVER): _OVER,
    (ReleasePhase.WAITING, Sign.NO_MEANS): _FAILED,
    (ReleasePhase.WAITING, Sign.EMPTY): Move(ReleasePhase.WARNED),
    (ReleasePhase.WAITING, Sign.UNWARNED): Move(ReleasePhase.CHECKING),
    (ReleasePhase.WARNED, Sign.SEEN): _KEPT,
    (ReleasePhase.WARNED, Sign.DOUBTFUL): _SPARED,
    (ReleasePhase.WARNED, Sign.OVER): _OVER,
    (ReleasePhase.WARNED, Sign.ELAPSED): Move(ReleasePhase.CHECKING),
    (ReleasePhase.CHECKING, Sign.SEEN): _KEPT,
    (ReleasePhase.CHECKING, Sign.DOUBTFUL): _SPARED,
    (ReleasePhase.CHECKING, Sign.OVER): _OVER,
    (ReleasePhase.CHECKING, Sign.NO_MEANS): _FAILED,
    (ReleasePhase.CHECKING, Sign.REHEARSED): Move(ReleasePhase.UNCLAIMED, FactKind.BOOKING_UNCLAIMED),
    (ReleasePhase.CHECKING, Sign.CHECKED): Move(ReleasePhase.ASKED),
    (ReleasePhase.ASKED, Sign.GONE): Move(ReleasePhase.RELEASED, FactKind.BOOKING_RELEASED),
    (ReleasePhase.ASKED, Sign.REFUSED): _FAILED,
}
LEADS_ON = frozenset({Sign.EMPTY, Sign.UNWARNED, Sign.ELAPSED})


class Cause(StrEnum):
    """Why nothing is released, as the contract names it."""

    ANSWERED = "answered"
    DISMISSED = "dismissed"
    SEEN = "seen"
    CHECKED_IN = "checked_in"
    EXTENDED = "extended"
    UNKNOWN = "unknown"
    UNSEEN = "unseen"
    UNCHECKED = "unchecked"
    EXCLUDED = "excluded"
    HELD = "held"
    INTERRUPTED = "interrupted"


# ── what happens ──────────────────────────────────────────────────────────────────────────────────


def release(before: Room, taken: Step, event: RoomEvent, *, now: datetime, policy: Policy) -> Step:
    """Follow the bookings that nobody may have come to, after an event and all that came of it.

    `before` is the room as it was before the event. Returns `taken` itself where nothing is to be done.
    """
    rules = policy.rules(taken.room.id).releasing
    if rules.mode is ReleaseMode.OFF and not taken.room.releases and not _explained(taken.room):
        return taken
    if not _is_news(before, taken.room, event):
        return taken
    step = _explain(taken, rules, now)
    step = _forget(step, now)
    for booking in taken.room.bookings.values():
        if _is_new(step.room, booking, rules):
            step = _take_up(step, booking, rules, now)
    if isinstance(event, CurrentValuesRead):
        step = _read(step, event)
    for key in tuple(step.room.releases):
        before_it: ReleaseAttempt | None = None
        while (attempt := step.room.releases.get(key)) is not None and attempt is not before_it:
            before_it = attempt  # it may go on at once
            if attempt.under_way:
                step = _go_on(step, attempt, now, policy)
    return _unanswered(step)


def next_release(room: Room, policy: Policy) -> datetime | None:
    """When the clock has something to say of a release; derived, so that a restart loses none."""
    rules = policy.rules(room.id).releasing
    off = rules.mode is ReleaseMode.OFF
    if off and not room.releases and not _explained(room):
        return None
    due = [AT_ONCE for state in room.devices.values() if state.release_why != _why_not(state, rules)]
    due += [b.starts_at for b in room.bookings.values() if _is_new(room, b, rules)]
    for attempt in room.releases.values():
        if attempt.under_way:
            due += _next_of(room, attempt, rules)
        else:
            due.append(_forgotten_at(room, attempt))
    return min(due, default=None)


def shifted(attempt: ReleaseAttempt, by: timedelta) -> ReleaseAttempt:
    """An attempt after the clock jumped: what is waited for is waited for as long."""

    def moved(instant: datetime | None) -> datetime | None:
        return None if instant is None else instant + by

    return replace(
        attempt,
        since=attempt.since + by,
        due_at=attempt.due_at + by,
        empty_since=moved(attempt.empty_since),
        warned_at=moved(attempt.warned_at),
        acts_at=moved(attempt.acts_at),
        check_at=moved(attempt.check_at),
    )


def _is_news(before: Room, after: Room, event: RoomEvent) -> bool:
    if isinstance(event, ClockStruck | CurrentValuesRead):
        return True
    return after is not before and (
        after.bookings is not before.bookings
        or after.devices is not before.devices
        or after.sensors is not before.sensors
        or after.third_party is not before.third_party
        or after.attendances is not before.attendances
        or after.watch is not before.watch
        or after.holds is not before.holds
        or after.commands is not before.commands
        or after.calendars is not before.calendars
        or after.releases is not before.releases
    )


# ── the device's own check-in ─────────────────────────────────────────────────────────────────────


def _explained(room: Room) -> bool:
    return any(state.release_why is not None for state in room.devices.values())


def _explain(step: Step, rules: Releasing, now: datetime) -> Step:
    """Say of each device that stands in the way why, among its shortcomings; told where it is news."""
    for state in step.room.devices.values():
        why = _why_not(state, rules)
        if why == state.release_why:
            continue
        others = tuple(words for words in state.shortcomings if words != state.release_why)
        told = replace(state, release_why=why, shortcomings=(*others, why) if why else others)
        devices = {**step.room.devices, state.id: told}
        facts = misconfigured(state, told, now) if why else ()
        step = replace(step, room=replace(step.room, devices=devices), facts=(*step.facts, *facts))
    return step


def _why_not(state: DeviceState, rules: Releasing) -> str | None:
    if rules.mode is ReleaseMode.OFF or Ability.BOOKINGS in state.lacks:
        return None
    if state.checks_in:
        return CHECKS_IN
    if state.phase is not DevicePhase.CONNECTED:
        return None
    if state.checks_in is None:
        return PERHAPS_CHECKS_IN
    return None if rules.warning <= timedelta() or _can_answer(state) else ANSWERS_UNHEARD


def _can_answer(state: DeviceState) -> bool:
    """Whether nobody can say "We are here" to a screen of this device in vain."""
    return state.hears_answers or not surfaces_on(state, ASKED_ON)


def _is_barred(room: Room, rules: Releasing) -> bool:
    """Whether a device of the room deletes bookings by itself, or may, or has screens that answer nobody.

    Two that release would work against each other; and whoever answers and is not heard would lose his room.
    """
    return any(
        state.checks_in is not False for state in room.devices.values() if Ability.BOOKINGS not in state.lacks
    ) or (rules.warning > timedelta() and not all(_can_answer(state) for state in room.devices.values()))


# ── taking up ─────────────────────────────────────────────────────────────────────────────────────


def _is_new(room: Room, booking: Booking, rules: Releasing) -> bool:
    """Whether this booking has begun, and there was no attempt to release it, under whatever name."""
    if rules.mode is ReleaseMode.OFF or booking.phase is not BookingPhase.STARTED:
        return False
    return not any(_is_of(attempt, booking) for attempt in room.releases.values())


def _is_of(attempt: ReleaseAttempt, booking: Booking) -> bool:
    return attempt.booking == booking.key or (
        attempt.starts_at == booking.starts_at and not _names(booking).isdisjoint(attempt.names)
    )


def _names(booking: Booking) -> frozenset[str]:
    """All by which it may come again; taken with its start, as ids come to mean others."""
    ids = (*booking.booking_ids.values(), *booking.entries.values())
    return frozenset(name for name in (booking.meeting_id, booking.meeting.ical_uid, *ids) if name)


def _take_up(step: Step, booking: Booking, rules: Releasing, now: datetime) -> Step:
    asked_at = booking.requested_at or booking.starts_at  # whoever asks for it on a device stands there
    known_at = now if now > booking.starts_at + KNOWN_WITHIN else booking.starts_at
    attempt = ReleaseAttempt(
        booking=booking.key,
        phase=ReleasePhase.WAITING,
        since=now,
        starts_at=booking.starts_at,
        ends_at=booking.ends_at,
        due_at=max(known_at, asked_at) + rules.grace,
        names=tuple(sorted(_names(booking))),
    )
    return _move(step, attempt, booking, Sign.BEGUN, now, first=True)


def _forgotten_at(room: Room, attempt: ReleaseAttempt) -> datetime:
    """A while after its booking's end, which may have been put off since."""
    ends = (b.ends_at for b in room.bookings.values() if b.live and _is_of(attempt, b))
    return max((attempt.ends_at, *ends)) + REMEMBER


def _forget(step: Step, now: datetime) -> Step:
    kept = {
        key: attempt
        for key, attempt in step.room.releases.items()
        if attempt.under_way or now < _forgotten_at(step.room, attempt)
    }
    unchanged = len(kept) == len(step.room.releases)
    return step if unchanged else replace(step, room=replace(step.room, releases=kept))


# ── following ─────────────────────────────────────────────────────────────────────────────────────


def _go_on(step: Step, attempt: ReleaseAttempt, now: datetime, policy: Policy) -> Step:
    booking = step.room.bookings.get(attempt.booking)
    rules = policy.rules(step.room.id).releasing
    if attempt.phase is ReleasePhase.ASKED:
        return _answered(step, attempt, booking, now)
    stands = booking is not None and booking.phase is BookingPhase.STARTED and booking.ends_at > now
    put_off = booking is not None and booking.starts_at != attempt.starts_at
    if put_off and attempt.phase is ReleasePhase.WAITING:
        return _drop(step, attempt)  # it will begin anew
    if booking is None or not stands or put_off:
        return _move(step, attempt, booking, Sign.OVER, now)
    match attempt.phase:
        case ReleasePhase.WAITING:
            if rules.mode is ReleaseMode.OFF:
                return _drop(step, attempt)
            return _wait(step, attempt, booking, now, policy)
        case ReleasePhase.WARNED | ReleasePhase.CHECKING:
            sign, cause = _objection(step.room, attempt, booking, now, policy)
            if sign is not None:
                return _move(step, attempt, booking, sign, now, cause=cause)
            if attempt.phase is ReleasePhase.WARNED:
                return _stand(step, attempt, booking, now, rules)
            return _check(step, attempt, booking, now, policy)
        case ReleasePhase.RELEASED | ReleasePhase.UNCLAIMED | ReleasePhase.KEPT:
            return step
        case ReleasePhase.SPARED | ReleasePhase.FAILED:
            return step
        case _:
            assert_never(attempt.phase)


def _wait(step: Step, attempt: ReleaseAttempt, booking: Booking, now: datetime, policy: Policy) -> Step:
    """Nobody has come yet: wait for somebody, or for the end of its grace."""
    rules = policy.rules(step.room.id).releasing
    if _somebody_came(step.room, booking, now, policy):
        return _move(step, attempt, booking, Sign.SEEN, now)
    empty = step.room.watch.there is False
    since = (attempt.empty_since or now) if empty else None
    if since != attempt.empty_since or booking.ends_at != attempt.ends_at:
        attempt = replace(attempt, empty_since=since, ends_at=booking.ends_at)
        step = _keep(step, attempt)
    due = _begins_at(step.room, attempt, rules)
    if due is None or due > now:
        return step
    warned = rules.warning > timedelta()
    if booking.ends_at - now < rules.warning + WORTH_IT or _is_excluded(booking, rules, now, policy):
        return _move(step, attempt, booking, Sign.DOUBTFUL, now, cause=Cause.EXCLUDED)
    attempt = replace(attempt, dry_run=rules.mode is ReleaseMode.DRY_RUN)
    why = why_not_released(step.room, booking)
    if why is not None:
        return _move(step, attempt, booking, Sign.NO_MEANS, now, cause=why)
    if not warned:
        step = _move(step, attempt, booking, Sign.UNWARNED, now)
        return _ask_anew(step, step.room.releases[booking.key], now)
    if attempt.dry_run:
        attempt = replace(attempt, acts_at=now + rules.warning)  # as if it had been shown
    else:
        step, attempt = _warn(step, attempt, booking, now, policy)
    return _move(step, attempt, booking, Sign.EMPTY, now)


def _somebody_came(room: Room, booking: Booking, now: datetime, policy: Policy) -> bool:
    """Whether anything at all was noticed of people since its start, but for those who were leaving then.

    Whoever was seen for a moment may sit where no camera looks: a passer-by keeps a room nobody uses, and
    nobody loses one that he uses.
    """
    attendance = room.attendances.get(booking.key)
    if booking.checked_in_at is not None or attendance is None:
        return booking.checked_in_at is not None
    if attendance.came_at is not None:
        return True
    late = {sensor.id: sensor.clears_after for sensor in policy.rules(room.id).sensors}
    for each in attendance.evidence:
        left_by = booking.starts_at + max(late.get(SensorId(each.by or ""), CLEARS_LATE), CLEARS_LATE)
        last_at = now if each.since is not None else each.last_at
        if each.kind is EvidenceKind.IN_USE and last_at - each.first_at < FRAMES_APART:
            continue  # presence cleared a frame before use did
        if each.first_at > booking.starts_at or last_at > left_by:
            return True
    return False


def _begins_at(room: Room, attempt: ReleaseAttempt, rules: Releasing) -> datetime | None:
    """When its warning is due, if nothing changes; None: something else has to change first."""
    if attempt.empty_since is None or _is_barred(room, rules):
        return None
    for other in room.releases.values():
        if other.phase in UNDER_WAY and other.phase is not ReleasePhase.WAITING:
            return None  # one question at a time
    if any(
        hold.live and not hold.plain and hold.phase is not HoldPhase.PLACED for hold in room.holds.values()
    ):
        return None
    if any(
        c.booking == attempt.booking and c.status is AnswerStatus.ACCEPTED for c in room.commands.values()
    ):
        return None
    # Whoever came while nobody could tell may sit where no camera looks: as if it had begun after that.
    empty_for = max(rules.empty_for, rules.grace) if _was_unknown(room, attempt) else rules.empty_for
    return max(attempt.due_at, attempt.empty_since + empty_for)


def _was_unknown(room: Room, attempt: ReleaseAttempt) -> bool:
    """Whether nobody could tell for a while since its start whether anybody is there."""
    attendance = room.attendances.get(attempt.booking)
    return attendance is None or attendance.unknown > timedelta()


def _is_excluded(booking: Booking, rules: Releasing, now: datetime, policy: Policy) -> bool:
    if booking.all_day or (booking.meeting.private and not rules.private):
        return True
    if rules.longest is not None and booking.ends_at - booking.starts_at > rules.longest:
        return True
    if any(hours.hold(now.astimezone(policy.timezone)) for hours in rules.hours):
        return True
    if not rules.organizers:
        return False
    return _is_spared(booking.meeting, rules.organizers)


def _is_spared(meeting: Meeting, patterns: Sequence[str]) -> bool:
    """Whether it is perhaps of one of these: a name says nothing of an address, nor the other way round.

    Organizers are on no disk: after a restart nobody knows them until they are listed.
    """
    known = [who.casefold() for who in (meeting.organizer, meeting.organizer_address) if who]
    return any(
        any(fnmatchcase(who, pattern.casefold()) for who in known)
        or not any(("@" in who) == ("@" in pattern) for who in known)
        for pattern in patterns
    )


def _objection(
    room: Room, attempt: ReleaseAttempt, booking: Booking, now: datetime, policy: Policy
) -> tuple[Sign, Cause] | tuple[None, None]:
    """What keeps a booking of which the room is asked; none: nothing does."""
    rules = policy.rules(room.id).releasing
    hold = None if attempt.prompt is None else room.holds.get(attempt.prompt)
    there = room.watch.there
    attendance = room.attendances.get(booking.key)
    noticed = () if attendance is None else attendance.evidence
    if hold is not None and hold.answer is not None:
        return Sign.SEEN, Cause.ANSWERED
    if booking.checked_in_at is not None:
        return Sign.SEEN, Cause.CHECKED_IN
    if there or any(each.since is not None or each.last_at > attempt.since for each in noticed):
        return Sign.SEEN, Cause.SEEN
    if hold is not None and any(showing.cleared for showing in hold.showings):
        return Sign.SEEN, Cause.DISMISSED
    if booking.ends_at != attempt.ends_at:
        return Sign.SEEN, Cause.EXTENDED
    rehearses_now = rules.mode is ReleaseMode.DRY_RUN and not attempt.dry_run
    if rules.mode is ReleaseMode.OFF or rehearses_now or _is_excluded(booking, rules, now, policy):
        return Sign.DOUBTFUL, Cause.EXCLUDED
    if _is_barred(room, rules):
        return Sign.DOUBTFUL, Cause.EXCLUDED
    if standing_hold(room, now=now) is not None:
        return Sign.DOUBTFUL, Cause.HELD
    if attempt.empty_since is None or (hold is not None and _was_deaf(room, hold)):
        return Sign.DOUBTFUL, Cause.INTERRUPTED
    if there is None:
        return Sign.DOUBTFUL, Cause.UNKNOWN
    if attempt.prompt is not None and (hold is None or not hold.live):
        return Sign.DOUBTFUL, Cause.UNSEEN
    return None, None


def _was_deaf(room: Room, hold: Hold) -> bool:
    """Whether a device that shows the question was away meanwhile: an answer to it may have been lost."""
    return any(
        device is None or device.phase is not DevicePhase.CONNECTED or device.since > hold.since
        for device in (room.devices.get(showing.device) for showing in hold.showings)
    )


# ── the warning ───────────────────────────────────────────────────────────────────────────────────


def _warn(
    step: Step, attempt: ReleaseAttempt, booking: Booking, now: datetime, policy: Policy
) -> tuple[Step, ReleaseAttempt]:
    """Ask on the screens whether anybody is there: once."""
    rules = policy.rules(step.room.id).releasing
    prompt = name_message(step.room, CommandId(f"release {booking.key}"), policy)
    released_at = now + rules.warning
    text = rules.text.replace("{time}", f"{released_at.astimezone(policy.timezone):%H:%M}")
    hold = Hold(
        feedback_id=prompt,
        id=HoldId(prompt),
        plain=True,
        warns_of=booking.key,
        phase=HoldPhase.PLACED,
        since=now,
        text=text,
        title=rules.title or None,
        starts_at=now,
        ends_at=min(booking.ends_at, released_at + SHOWN_WITHIN + CHECKED_WITHIN),
        surfaces=ASKED_ON,
        answers=(rules.answer,),
        wake=True,
    )
    step = turn(step, hold, Turn.PLACED, now, first=True)
    step = turn(step, step.room.holds[prompt], Turn.BEGUN, now)
    return step, replace(attempt, prompt=prompt)


def _stand(step: Step, attempt: ReleaseAttempt, booking: Booking, now: datetime, rules: Releasing) -> Step:
    """The warning stands: count down, and go on when its time is over."""
    seen_on = [device for device, _ in _shown_on(step.room, attempt)]
    if attempt.acts_at is None:
        if not seen_on:
            if now < attempt.since + SHOWN_WITHIN:
                return step
            return _move(step, attempt, booking, Sign.DOUBTFUL, now, cause=Cause.UNSEEN)
        attempt = replace(attempt, warned_at=now, acts_at=now + rules.warning)
        step = _keep(step, attempt)
    over_at = attempt.acts_at or now
    if now >= over_at:
        if attempt.prompt is not None and not seen_on:
            return _move(step, attempt, booking, Sign.DOUBTFUL, now, cause=Cause.UNSEEN)
        step = _move(step, attempt, booking, Sign.ELAPSED, now)
        return _ask_anew(step, step.room.releases[booking.key], now)
    return _count_down(step, attempt, over_at, now, rules)


def _shown_on(room: Room, attempt: ReleaseAttempt) -> list[tuple[DeviceState, Surface]]:
    """Where the question stands now, on devices that are there."""
    hold = None if attempt.prompt is None else room.holds.get(attempt.prompt)
    if hold is None:
        return []
    return [
        (room.devices[showing.device], showing.surface)
        for showing in hold.showings
        if showing.phase is ShowingPhase.UP
        and showing.device in room.devices
        and room.devices[showing.device].phase is DevicePhase.CONNECTED
    ]


def _count_down(
    step: Step, attempt: ReleaseAttempt, over_at: datetime, now: datetime, rules: Releasing
) -> Step:
    if not rules.countdown or attempt.prompt is None:
        return step
    due_s = [seconds for seconds in _counts(rules) if over_at - timedelta(seconds=seconds) <= now]
    if not due_s or attempt.counted_s == due_s[-1]:
        return step
    seconds = due_s[-1]
    later = [each for each in _counts(rules) if each < seconds]
    lasts = timedelta(seconds=seconds - (later[0] if later else 0)) + LINES_OVERLAP
    text = rules.countdown.replace("{seconds}", str(seconds))
    lines = [ShowLine(device=device.id, text=text, lasts=lasts) for device in _counted_on(step.room, attempt)]
    return _send(_keep(step, replace(attempt, counted_s=seconds)), lines)


def _counts(rules: Releasing) -> tuple[int, ...]:
    """What the countdown says, the most first."""
    whole = int(rules.warning.total_seconds())
    return (whole, *(seconds for seconds in COUNTS_AT_S if seconds < whole))


def _counted_on(room: Room, attempt: ReleaseAttempt) -> list[DeviceState]:
    """Devices on whose screen the question stands, and where no message of ours is a line by itself."""
    taken = {
        showing.device
        for hold in room.holds.values()
        if hold.feedback_id != attempt.prompt
        for showing in hold.showings
        if showing.surface is Surface.SCREEN and showing.phase in MAY_BE_THERE
    }
    return [
        device
        for device, surface in _shown_on(room, attempt)
        if surface is Surface.SCREEN and device.id not in taken
    ]


# ── the last check, and the order ─────────────────────────────────────────────────────────────────


def _ask_anew(step: Step, attempt: ReleaseAttempt, now: datetime) -> Step:
    """Have all read anew that says whether the booking stands, and whether anybody is there."""
    lists = _lists(step.room)
    senses = [
        state.id
        for state in step.room.devices.values()
        if state.phase is DevicePhase.CONNECTED and state.id in step.room.sensors
    ]
    devices = {**step.room.devices, **{d.id: replace(d, asked_at=now, list_at=None) for d in lists}}
    step = replace(step, room=replace(step.room, devices=devices))
    requests: list[Request] = [ListBookings(device=device.id) for device in lists]
    step = _send(step, [*requests, *(ReadValues(device=device) for device in senses)])
    believed = believed_calendar(step.room)
    if believed is not None and believed.phase is CalendarPhase.ACTIVE:
        step = read_soon(step, believed.kind, now=now)
    return _keep(step, replace(attempt, check_at=now, devices_left=tuple(senses)))


def _lists(room: Room) -> list[DeviceState]:
    return [
        state
        for state in room.devices.values()
        if state.phase is DevicePhase.CONNECTED and Ability.BOOKINGS not in state.lacks
    ]


def _read(step: Step, event: CurrentValuesRead) -> Step:
    for attempt in step.room.releases.values():
        if attempt.phase is ReleasePhase.CHECKING and event.device in attempt.devices_left:
            left = tuple(device for device in attempt.devices_left if device != event.device)
            step = _keep(step, replace(attempt, devices_left=left))
    return step


def _check(step: Step, attempt: ReleaseAttempt, booking: Booking, now: datetime, policy: Policy) -> Step:
    """The last check: when all is read, and still nobody is there, act."""
    room, check_at = step.room, attempt.check_at or attempt.since
    listed = all(state.listed_at is not None and state.listed_at >= check_at for state in _lists(room))
    believed = believed_calendar(room)
    read = believed is None or (believed.listed_at is not None and believed.listed_at >= check_at)
    heard = all(
        state.phase is not SensorPhase.UNHEARD or state.says == NOTHING_KNOWN
        for state in room.third_party.values()
    )
    if attempt.devices_left or not listed or not read or not heard:
        if now < check_at + CHECKED_WITHIN:
            return step
        return _move(step, attempt, booking, Sign.DOUBTFUL, now, cause=Cause.UNCHECKED)
    if attempt.dry_run:
        return _move(step, attempt, booking, Sign.REHEARSED, now, freed_from=now)
    command = _name(room, booking)
    given = CommandGiven(command=command, order=ReleaseBooking(booking=booking.key), requested_by=ROOMD)
    ordered = obey(room, given, now=now, policy=policy)
    step = replace(
        step,
        room=ordered.room,
        facts=(*step.facts, *ordered.facts),
        requests=(*step.requests, *ordered.requests),
        calendar_requests=(*step.calendar_requests, *ordered.calendar_requests),
    )
    attempt = replace(attempt, command=command)
    said = ordered.room.commands[command]
    if said.status is AnswerStatus.REFUSED:
        return _move(step, attempt, booking, Sign.NO_MEANS, now, cause=said.reason)
    return _move(step, attempt, booking, Sign.CHECKED, now)


def _name(room: Room, booking: Booking) -> CommandId:
    """The same for the same booking at the same time: what was ordered once is not done again."""
    digest = blake2b(f"{room.id}\n{booking.key}\n{booking.starts_at}".encode(), digest_size=12).hexdigest()
    return CommandId(f"roomd-release-{digest}")


def _answered(step: Step, attempt: ReleaseAttempt, booking: Booking | None, now: datetime) -> Step:
    """What is known of the order."""
    command = None if attempt.command is None else step.room.commands.get(attempt.command)
    if command is not None and command.status is AnswerStatus.ACCEPTED:
        return _look_again(step, attempt, now)
    if booking is not None and _is_gone(booking, attempt, now):
        return _move(step, attempt, booking, Sign.GONE, now, freed_from=now)
    if command is None or command.status is AnswerStatus.DONE:
        cause = "it ended before it was known to be taken back"
    else:
        cause = command.reason or command.status.value
    return _move(step, attempt, booking, Sign.REFUSED, now, cause=cause)


def _look_again(step: Step, attempt: ReleaseAttempt, now: datetime) -> Step:
    """Whoever agreed may take its time: what it lists later says whether it was done."""
    looked_at = attempt.check_at or attempt.since
    if not any(looked_at < look <= now for look in _looks(attempt)):
        return step
    lists = _lists(step.room)
    devices = {**step.room.devices, **{d.id: replace(d, asked_at=now, list_at=None) for d in lists}}
    step = replace(step, room=replace(step.room, devices=devices))
    step = _send(step, [ListBookings(device=device.id) for device in lists])
    return _keep(step, replace(attempt, check_at=now))


def _looks(attempt: ReleaseAttempt) -> tuple[datetime, ...]:
    return tuple(attempt.since + after for after in LOOKS_AFTER)


def _is_gone(booking: Booking, attempt: ReleaseAttempt, now: datetime) -> bool:
    if booking.phase is BookingPhase.DELETED:
        return True
    return booking.phase is BookingPhase.ENDED and now < attempt.ends_at  # checked out


# ── moving ────────────────────────────────────────────────────────────────────────────────────────


def _move(
    step: Step,
    attempt: ReleaseAttempt,
    booking: Booking | None,
    sign: Sign,
    now: datetime,
    *,
    first: bool = False,
    cause: str | None = None,
    freed_from: datetime | None = None,
) -> Step:
    """Move an attempt by the table, tell what the table says; what it does not know is counted and left."""
    move = RELEASE_TRANSITIONS.get((None if first else attempt.phase, sign))
    if move is None:
        return replace(step, ignored=step.ignored + 1)
    moved = replace(attempt, phase=move.to, since=now, cause=cause)
    step = _keep(step, moved)
    if sign not in LEADS_ON:
        step = _clear_screens(step, moved, now)
    if move.tells is None or booking is None:
        return step
    attendance = step.room.attendances.get(attempt.booking)
    fact = ReleaseFact(
        kind=move.tells,
        at=now,
        booking=step.room.bookings.get(booking.key, booking),
        attempt=moved,
        freed_from=freed_from,
        witnesses=tuple(witnesses(step.room, now=now)),
        evidence=() if attendance is None else attendance.evidence,
        cause=cause,
    )
    return replace(step, facts=(*step.facts, fact))


def _clear_screens(step: Step, attempt: ReleaseAttempt, now: datetime) -> Step:
    """Take the question off, and the line that counts down."""
    hold = None if attempt.prompt is None else step.room.holds.get(attempt.prompt)
    if hold is None:
        return step
    if attempt.counted_s is not None:
        off = [ShowLine(device=d.id, text="", lasts=timedelta()) for d in _counted_on(step.room, attempt)]
        step = _send(step, off)
    return turn(step, hold, Turn.CANCELLED, now) if hold.live else step


def _keep(step: Step, attempt: ReleaseAttempt) -> Step:
    return replace(step, room=replace(step.room, releases={**step.room.releases, attempt.booking: attempt}))


def _drop(step: Step, attempt: ReleaseAttempt) -> Step:
    releases = {key: each for key, each in step.room.releases.items() if key != attempt.booking}
    return replace(step, room=replace(step.room, releases=releases))


def _send(step: Step, requests: Iterable[Request]) -> Step:
    return replace(step, requests=(*step.requests, *requests))


def _unanswered(step: Step) -> Step:
    """Without the answers to our own orders: nobody waits for them but we."""
    if not step.answers:
        return step
    ours = {attempt.command for attempt in step.room.releases.values()}
    answers = tuple(answer for answer in step.answers if answer.command not in ours)
    return step if len(answers) == len(step.answers) else replace(step, answers=answers)


def _next_of(room: Room, attempt: ReleaseAttempt, rules: Releasing) -> list[datetime]:
    """When the clock moves an attempt that is under way."""
    if rules.mode is ReleaseMode.OFF and attempt.phase is not ReleasePhase.ASKED:
        return [AT_ONCE]
    match attempt.phase:
        case ReleasePhase.WAITING:
            due = _begins_at(room, attempt, rules)
            return [] if due is None else [due]
        case ReleasePhase.WARNED | ReleasePhase.CHECKING if attempt.empty_since is None:
            return [attempt.since]
        case ReleasePhase.WARNED:
            over_at = attempt.acts_at
            if over_at is None:
                return [attempt.since + SHOWN_WITHIN]
            counts = _counts(rules) if rules.countdown and attempt.prompt is not None else ()
            said = attempt.counted_s
            return [over_at, *(over_at - timedelta(seconds=s) for s in counts if said is None or s < said)]
        case ReleasePhase.CHECKING:
            return [(attempt.check_at or attempt.since) + CHECKED_WITHIN]
        case ReleasePhase.ASKED:
            command = None if attempt.command is None else room.commands.get(attempt.command)
            if command is None or command.status is not AnswerStatus.ACCEPTED:
                return [attempt.since]
            return [look for look in _looks(attempt) if look > (attempt.check_at or attempt.since)]
        case ReleasePhase.RELEASED | ReleasePhase.UNCLAIMED | ReleasePhase.KEPT:
            return []
        case ReleasePhase.SPARED | ReleasePhase.FAILED:
            return []
        case _:
            assert_never(attempt.phase)
