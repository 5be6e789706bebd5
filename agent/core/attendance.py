"""Who came to what was booked: each booking's attendance, its verdict, and use without a booking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import assert_never

from agent.core.events import (
    BookingCheckedIn,
    ClockStepped,
    ClockStruck,
    CurrentValuesRead,
    PeopleCounted,
    PromptAnswered,
    RoomEvent,
    SensorSaid,
)
from agent.core.facts import AttendanceFact, BookingFact, FactKind, Step, UseFact
from agent.core.model import (
    Attendance,
    AttendancePhase,
    Booking,
    BookingKey,
    BookingPhase,
    DeviceId,
    Evidence,
    EvidenceKind,
    Outcome,
    Policy,
    ReleasePhase,
    Room,
    Rules,
    SensorId,
    Use,
    Watch,
)
from agent.core.noticing import (
    CLEARS_LATE,
    DELIBERATE,
    Sign,
    believed_until,
    lasts_after,
    lasts_until,
    look,
    look_away,
    look_shifted,
    people,
    recount,
    standing,
)
from agent.core.renewing import replace

ZERO = timedelta(0)
BEFORE = timedelta(microseconds=1)  # the last moment before another
LOOK_EVERY = timedelta(minutes=5)  # while somebody's booking runs: what a crash would leave unknown of it
CLOCKS_DIFFER = timedelta(seconds=60)  # a device's from ours, or ours from itself when it is set right
CHECKED_OUT, DUPLICATE = "checked_out", "duplicate"
USE_CLEARS_WITHIN = timedelta(seconds=5)  # after presence, by the same device
EARLY = timedelta(minutes=10)  # before its start, people wait in a room that nobody else came to
UNBOOKED_AT_MOST = timedelta(hours=4)  # then it is told, and counted anew

OPEN = frozenset({AttendancePhase.AWAITED, AttendancePhase.ATTENDED, AttendancePhase.DESERTED})
TOUCHES = frozenset({EvidenceKind.CHECK_IN, EvidenceKind.ANSWER})
HEARD_ANEW = (ClockStruck, ClockStepped, CurrentValuesRead, SensorSaid, PromptAnswered)


# ── the table ─────────────────────────────────────────────────────────────────────────────────────


class AttendanceSign(StrEnum):
    """What is known by now of a booking that has begun."""

    BEGUN = "begun"
    SOMEBODY = "somebody"  # is there, for long enough
    NOBODY = "nobody"  # is there, for sure and for long enough
    ENDED = "ended"  # it is over, whatever its verdict


@dataclass(frozen=True, slots=True)
class Move:
    """Where a sign leads, and what the cloud is told of it."""

    to: AttendancePhase
    tells: FactKind | None


ATTENDANCE_TRANSITIONS: Mapping[tuple[AttendancePhase | None, AttendanceSign], Move] = {
    (None, AttendanceSign.BEGUN): Move(AttendancePhase.AWAITED, None),
    (AttendancePhase.AWAITED, AttendanceSign.SOMEBODY): Move(
        AttendancePhase.ATTENDED, FactKind.BOOKING_ATTENDED
    ),
    (AttendancePhase.AWAITED, AttendanceSign.NOBODY): Move(
        AttendancePhase.DESERTED, FactKind.BOOKING_DESERTED
    ),
    (AttendancePhase.AWAITED, AttendanceSign.ENDED): Move(AttendancePhase.OVER, None),
    (AttendancePhase.ATTENDED, AttendanceSign.NOBODY): Move(
        AttendancePhase.DESERTED, FactKind.BOOKING_DESERTED
    ),
    (AttendancePhase.ATTENDED, AttendanceSign.ENDED): Move(AttendancePhase.OVER, None),
    (AttendancePhase.DESERTED, AttendanceSign.SOMEBODY): Move(
        AttendancePhase.ATTENDED, FactKind.BOOKING_ATTENDED
    ),
    (AttendancePhase.DESERTED, AttendanceSign.ENDED): Move(AttendancePhase.OVER, None),
}

VERDICTS: Mapping[Outcome, FactKind] = {
    Outcome.GHOST: FactKind.BOOKING_GHOST,
    Outcome.LEFT_EARLY: FactKind.BOOKING_LEFT_EARLY,
    Outcome.ATTENDED: FactKind.BOOKING_JUDGED,
    Outcome.OVERRUN: FactKind.BOOKING_JUDGED,
    Outcome.UNKNOWN: FactKind.BOOKING_JUDGED,
}


# ── the door ──────────────────────────────────────────────────────────────────────────────────────


def judge(before: Room, taken: Step, event: RoomEvent, *, now: datetime, policy: Policy) -> Step:
    """Follow who is in the room after an event, and what that means for the bookings that run.

    `before` is the room as it was before the event, `taken` what came of it so far. Returns `taken` itself if
    nothing in it has to do with people.
    """
    room = taken.room
    if (
        room.sensors is before.sensors
        and room.bookings is before.bookings
        and room.devices is before.devices
        and room.third_party is before.third_party
        and not isinstance(event, HEARD_ANEW)
    ):
        return taken
    if isinstance(event, PeopleCounted) and event.people:
        recounted = _recounted(before, room, event, event.people, now)
        if recounted is not None:
            return replace(taken, room=recounted)
    watch = look(room, heard=_speaker(event), now=now)
    scene = _Scene(taken=taken, event=event, watch=watch, now=now, rules=policy.rules(room.id))
    attendances, told = _bookings(scene)
    watch, told_of_use = _unbooked(scene, attendances)
    if (attendances or watch.unbooked) and watch.looked_at is not None and now > watch.looked_at:
        written = room is not before or watch is not room.watch or attendances is not room.attendances
        if written or now >= watch.looked_at + LOOK_EVERY:
            watch = replace(watch, looked_at=now)
    if watch is room.watch and attendances is room.attendances:
        return taken
    judged = replace(room, watch=watch, attendances=attendances)
    facts = (*taken.facts, *told, *told_of_use) if told or told_of_use else taken.facts
    return replace(taken, room=judged, facts=facts)


def _recounted(before: Room, room: Room, event: PeopleCounted, people: int, now: datetime) -> Room | None:
    """The room where nothing more follows of an event than more people or fewer."""
    if room.bookings is not before.bookings or room.devices is not before.devices:
        return None
    attendances, use = room.attendances, room.watch.unbooked
    if use is None and not any(_has_the_room(each) for each in attendances.values()):
        return None
    watch = recount(before, room, event, now=now)
    if watch is None:
        return None
    if use is not None and people > (use.people_peak or 0):
        watch = replace(watch, unbooked=replace(use, people_peak=people))
    for key, each in attendances.items():
        if each.phase is AttendancePhase.ATTENDED and people > (each.people_peak or 0):
            if room.bookings[key].ends_at <= now:
                return None
            attendances = {**attendances, key: replace(each, people_peak=people)}
    return replace(room, watch=watch, attendances=attendances)


def next_judgement(room: Room, policy: Policy) -> datetime | None:
    """When the clock has something to say of attendance; derived from the room, so a restart loses none."""
    if not room.bookings and not room.attendances and room.watch.unbooked is None:
        return None
    return min(_deadlines(room, policy.rules(room.id)), default=None)


def plans_anew(before: Room, after: Room) -> bool:
    """Whether `next_judgement` may say another time now; how many people there are is no matter of time."""
    if after.attendances is not before.attendances:
        return True
    use, was = after.watch.unbooked, before.watch.unbooked
    if use is was:
        return False
    return use is None or was is None or replace(use, people_peak=was.people_peak) != was


def _speaker(event: RoomEvent) -> DeviceId | SensorId | None:
    """Whose word is anew by this event: a single value says nothing of what was read before a gap."""
    match event:
        case CurrentValuesRead(device=device):
            return device
        case SensorSaid(sensor=sensor):
            return sensor
        case _:
            return None


# ── one moment ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """A room at one moment, with what has just happened in it."""

    taken: Step
    event: RoomEvent
    watch: Watch
    now: datetime
    rules: Rules

    @property
    def room(self) -> Room:
        return self.taken.room

    @cached_property
    def signs(self) -> Mapping[Sign, datetime]:
        """Every sign of people that stands and is believed, and since when."""
        return dict(standing(self.watch, now=self.now))

    @cached_property
    def people(self) -> int | None:
        return people(self.watch, self.room, now=self.now)

    def touches(self, booking: Booking) -> Iterator[Evidence]:
        """What somebody has just done to a screen, or confirmed."""
        event, now = self.event, self.now
        if isinstance(event, PromptAnswered):
            yield Evidence(kind=EvidenceKind.ANSWER, by=event.device, first_at=now, last_at=now)
        if (at := booking.checked_in_at) is not None:
            by = event.device if isinstance(event, BookingCheckedIn) else None
            yield Evidence(kind=EvidenceKind.CHECK_IN, by=by, first_at=at, last_at=at)

    def told_of(self, key: BookingKey) -> Iterator[BookingFact]:
        """What the cloud is told of this booking in this very step."""
        return (f for f in self.taken.facts if isinstance(f, BookingFact) and f.booking.key == key)

    def lasting(
        self, signs: Iterable[tuple[Sign, datetime]], starts_at: datetime, until: datetime
    ) -> Iterator[datetime]:
        """Since when somebody who is no passer-by is there, by each of these signs that had lasted then."""
        for sign, since in signs:
            if lasts_until(sign, since, starts_at, self.rules, self.room.devices) <= until:
                yield max(since, starts_at)

    def came(self, attendance: Attendance, until: datetime) -> Iterator[datetime]:
        """The same for whoever came to this booking."""
        signs = (
            (sign, since)
            for sign, since in self.signs.items()
            if _theirs_until(attendance, since, self.rules) <= until
        )
        return self.lasting(signs, attendance.starts_at, until)


_Facts = tuple[AttendanceFact | UseFact, ...]


def _bookings(scene: _Scene) -> tuple[Mapping[BookingKey, Attendance], _Facts]:
    """Every attendance followed to now; the same object if none has moved."""
    room = scene.room
    before = room.attendances
    after: dict[BookingKey, Attendance] = {}
    facts: _Facts = ()
    keys = (*before, *(key for key, b in room.bookings.items() if key not in before and _opens(b, scene)))
    for key in keys:
        attendance, told = _followed(before.get(key), room.bookings.get(key), scene)
        facts += told
        if attendance is not None:
            after[key] = attendance
    same = len(after) == len(before) and all(after[key] is before.get(key) for key in after)
    return before if same else after, facts


def _opens(booking: Booking, scene: _Scene) -> bool:
    """Whether a booking is to be watched from now on.

    From its first moment, whether or not anybody has told yet that it has begun: a device may take a while.
    """
    match booking.phase:
        case BookingPhase.STARTED:
            return True
        case BookingPhase.CONFIRMED:
            return booking.starts_at <= scene.now
        case BookingPhase.ENDED | BookingPhase.DELETED:  # all of it lies in a gap
            return any(fact.kind is FactKind.BOOKING_STARTED for fact in scene.told_of(booking.key))
        case _:
            return False


def _followed(
    attendance: Attendance | None, booking: Booking | None, scene: _Scene
) -> tuple[Attendance | None, _Facts]:
    """One booking's attendance at this moment; None if there is none to follow any more."""
    if attendance is not None and attendance.phase is AttendancePhase.OVER:
        return _after_the_end(attendance, booking, scene)
    if booking is None:
        return None, ()
    if attendance is None:
        attendance = _opened(booking, scene)
    match booking.phase:
        case BookingPhase.STARTED:
            return _running(attendance, booking, scene)
        case BookingPhase.CONFIRMED:
            put_off = booking.starts_at > scene.now or attendance.begun
            return (None, ()) if put_off else _running(attendance, booking, scene)
        case BookingPhase.ENDED | BookingPhase.DELETED:
            begun = attendance.begun or any(
                fact.kind in {FactKind.BOOKING_STARTED, FactKind.BOOKING_ENDED}
                for fact in scene.told_of(booking.key)
            )
            return _closed(attendance, booking, scene) if begun else (None, ())
        case (
            BookingPhase.REQUESTED | BookingPhase.PENDING | BookingPhase.FAILED | BookingPhase.EXPIRED
        ):  # it was raised anew as something else
            return None, ()
        case _:
            assert_never(booking.phase)


def _opened(booking: Booking, scene: _Scene) -> Attendance:
    """Watched from its start, as far back as the room was."""
    move = ATTENDANCE_TRANSITIONS[None, AttendanceSign.BEGUN]
    starts_at = min(booking.starts_at, scene.now)
    known_from = max(starts_at, scene.watch.there_since or scene.now)
    return Attendance(
        booking=booking.key,
        phase=move.to,
        since=scene.now,
        starts_at=starts_at,
        follows=_follows(booking, scene.room),
        there=scene.watch.there,
        there_since=known_from,
        unknown=known_from - starts_at,
    )


def _follows(booking: Booking, room: Room) -> bool:
    """Whether people of another booking may still be there when this one begins."""
    return any(
        key != booking.key
        and each.came_at is not None
        and (other := room.bookings.get(key)) is not None
        and abs(booking.starts_at - min(other.ends_at, each.ends_at or other.ends_at)) <= EARLY
        for key, each in room.attendances.items()
    )


# ── while it runs ─────────────────────────────────────────────────────────────────────────────────


def _running(attendance: Attendance, booking: Booking, scene: _Scene) -> tuple[Attendance, _Facts]:
    """It runs; what is seen after its end and before anybody says that it has ended is not of it."""
    over = scene.now >= booking.ends_at
    after = attendance if over else _noticed(attendance, booking, scene)
    if booking.phase is not BookingPhase.STARTED:
        return after, ()
    facts: _Facts = ()
    if not after.begun:
        after = replace(after, begun=True)
    until = booking.ends_at - BEFORE if over else scene.now
    sign, at = _sign(attendance, after, scene, until)
    if sign is not None and (move := ATTENDANCE_TRANSITIONS.get((after.phase, sign))) is not None:
        after = _moved(after, move.to, at, scene)
        if move.tells is not None:
            facts = (_fact(move.tells, after, booking, scene, at=scene.now),)
    return _gone_since(after), facts


def _noticed(attendance: Attendance, booking: Booking, scene: _Scene) -> Attendance:
    """The same with what is noticed now: its evidence, how many there are, and whether anybody is there."""
    evidence = _witnessed(attendance.evidence, scene, from_=attendance.starts_at)
    for touch in scene.touches(booking):
        evidence = _touched(evidence, touch)
    if evidence is not attendance.evidence and evidence != attendance.evidence:
        attendance = replace(attendance, evidence=evidence)
    if attendance.phase is AttendancePhase.ATTENDED:
        peak = _peak(attendance.people_peak, scene.people)
        if peak != attendance.people_peak:
            attendance = replace(attendance, people_peak=peak)
    there = scene.watch.there
    if there is attendance.there:
        return attendance
    seen_at = scene.now if there or attendance.there else attendance.seen_at
    return replace(_settled(attendance, scene.now), there=there, seen_at=seen_at)


def _witnessed(evidence: tuple[Evidence, ...], scene: _Scene, *, from_: datetime) -> tuple[Evidence, ...]:
    """The evidence with the signs that stand now running, and no others; the same object if they are."""
    running = {(each.kind, each.by) for each in evidence if each.since is not None}
    if running == scene.signs.keys():
        return evidence
    after = [
        each if each.since is None or (each.kind, each.by) in scene.signs else _stopped(each, scene.now)
        for each in evidence
    ]
    for (kind, by), since in scene.signs.items():
        nth = next((nth for nth, each in enumerate(after) if (each.kind, each.by) == (kind, by)), None)
        begun = max(since, from_)
        if nth is None:
            after.append(Evidence(kind=kind, by=by, first_at=begun, last_at=begun, since=begun))
        elif after[nth].since is None:
            after[nth] = replace(after[nth], since=max(begun, after[nth].last_at))
    return tuple(after)


def _stopped(evidence: Evidence, at: datetime) -> Evidence:
    if evidence.since is None:
        return evidence
    at = max(at, evidence.since)
    return replace(evidence, last_at=at, lasted=evidence.lasted + (at - evidence.since), since=None)


def _worth_telling(evidence: Iterable[Evidence]) -> Iterator[Evidence]:
    """Without what is only the order in which a device tells that the last has left: presence, then use."""
    return (e for e in evidence if e.kind is not EvidenceKind.IN_USE or e.lasted > USE_CLEARS_WITHIN)


def _touched(evidence: tuple[Evidence, ...], touch: Evidence) -> tuple[Evidence, ...]:
    for nth, each in enumerate(evidence):
        if each.kind is touch.kind and (each.by == touch.by or each.kind is EvidenceKind.CHECK_IN):
            if each.kind is EvidenceKind.CHECK_IN:  # there is one, by whoever told it first
                return evidence
            return (*evidence[:nth], replace(each, last_at=touch.last_at), *evidence[nth + 1 :])
    return (*evidence, touch)


def _settled(attendance: Attendance, until: datetime) -> Attendance:
    """The same with the account closed up to then."""
    span = max(until - attendance.there_since, ZERO)
    if attendance.there is None:
        return replace(attendance, there_since=until, unknown=attendance.unknown + span)
    return replace(attendance, there_since=until, known=attendance.known + span)


def _sign(
    before: Attendance, attendance: Attendance, scene: _Scene, until: datetime
) -> tuple[AttendanceSign | None, datetime]:
    """What is known by then, and since when; `before` lacks what has just been noticed."""
    if attendance.phase is not AttendancePhase.ATTENDED:
        touches = [
            each.last_at
            for each in attendance.evidence
            if each.kind in TOUCHES and (attendance.came_at is None or each not in before.evidence)
        ]
        came = [*scene.came(attendance, until), *touches]
        if came:
            return AttendanceSign.SOMEBODY, max(min(came), attendance.starts_at)
    due = _deserted_at(attendance, scene.rules)
    if due is not None and due <= until:
        return AttendanceSign.NOBODY, _empty_since(attendance)
    return None, until


def _theirs_until(attendance: Attendance, since: datetime, rules: Rules) -> datetime:
    """Until when a sign that stands since then may be of the people whose booking ended as this one began."""
    before_it = attendance.follows and since < attendance.starts_at
    return attendance.starts_at + rules.judging.grace + CLEARS_LATE if before_it else since


def _empty_since(attendance: Attendance) -> datetime:
    return max(attendance.there_since, attendance.starts_at, attendance.seen_at or attendance.starts_at)


def _deserted_at(attendance: Attendance, rules: Rules) -> datetime | None:
    """When nobody is there for so long that it counts, if nobody comes; None if anybody may be there."""
    if attendance.there is not False:
        return None
    due = _empty_since(attendance) + rules.judging.empty_for
    match attendance.phase:
        case AttendancePhase.AWAITED:
            return max(due, max(attendance.starts_at, attendance.since) + rules.judging.grace)
        case AttendancePhase.ATTENDED:
            return due
        case AttendancePhase.DESERTED | AttendancePhase.OVER:
            return None
        case _:
            assert_never(attendance.phase)


def _moved(attendance: Attendance, to: AttendancePhase, at: datetime, scene: _Scene) -> Attendance:
    attendance = replace(attendance, phase=to, since=scene.now)
    if to is AttendancePhase.ATTENDED:
        return replace(
            attendance,
            came_at=attendance.came_at or at,
            seen_at=max(at, attendance.seen_at or at),
            deserted_since=None,
            people_peak=_peak(attendance.people_peak, scene.people),
        )
    return replace(attendance, deserted_since=at)


def _gone_since(attendance: Attendance) -> Attendance:
    """Since when a deserted room is empty for sure: not while nobody can tell, and from then on anew."""
    if attendance.phase is not AttendancePhase.DESERTED:
        return attendance
    if attendance.there is None and attendance.deserted_since is not None:
        return replace(attendance, deserted_since=None)
    if attendance.there is False and attendance.deserted_since is None:
        return replace(attendance, deserted_since=_empty_since(attendance))
    return attendance


def _peak(before: int | None, now: int | None) -> int | None:
    return before if now is None else max(now, before or 0)


# ── the verdict ───────────────────────────────────────────────────────────────────────────────────


def _closed(attendance: Attendance, booking: Booking, scene: _Scene) -> tuple[Attendance, _Facts]:
    """It is over, and judged; but whether its people stay on is still to be seen, where they are there."""
    ends_at = max(min(scene.now, booking.ends_at), attendance.starts_at)
    if scene.now <= ends_at:  # what has just happened may have happened just before
        attendance = _noticed(attendance, booking, scene)
    attendance = _gone_since(_covered(_settled(attendance, ends_at), booking, ends_at))
    verdict, freed = _verdict(attendance, booking, ends_at, scene)
    over = replace(
        attendance,
        phase=ATTENDANCE_TRANSITIONS[attendance.phase, AttendanceSign.ENDED].to,
        since=scene.now,
        evidence=tuple(_worth_telling(_stopped(each, ends_at) for each in attendance.evidence)),
        seen_at=ends_at if attendance.there else attendance.seen_at,
        ends_at=ends_at,
    )
    if verdict is Outcome.ATTENDED and _may_overrun(over, booking, scene):
        return replace(over, left=booking), ()
    return _judged(over, verdict, booking, scene, freed=freed)


def _covered(attendance: Attendance, booking: Booking, ends_at: datetime) -> Attendance:
    """The account, made as long as the booking was: what a clock has jumped over, nobody has seen."""
    whole = max(ends_at - min(attendance.starts_at, booking.starts_at), ZERO)
    missing = whole - attendance.known - attendance.unknown
    if missing > CLOCKS_DIFFER:
        return replace(attendance, unknown=attendance.unknown + missing)
    unknown = min(attendance.unknown, whole)
    return replace(attendance, unknown=unknown, known=whole - unknown)


def _verdict(
    attendance: Attendance, booking: Booking, ends_at: datetime, scene: _Scene
) -> tuple[Outcome, timedelta | None]:
    """What it was, and how much of it was freed by those who left early."""
    cause = next((fact.cause for fact in scene.told_of(booking.key) if fact.cause is not None), booking.cause)
    if cause == DUPLICATE:
        return Outcome.UNKNOWN, None
    early = ends_at + CLOCKS_DIFFER < booking.ends_at
    if attendance.came_at is None:
        in_time = attendance.phase is not AttendancePhase.DESERTED  # before it was one
        cancelled = not _ours(booking, scene.room) and (
            cause == CHECKED_OUT or (early and (in_time or _given_back(booking, cause)))
        )
        return _of_nobody(attendance, cancelled, scene), None
    if early and _given_back(booking, cause):
        gone_at = attendance.deserted_since or ends_at
    elif (attendance.there is False or attendance.deserted_since is not None) and not booking.all_day:
        gone_at = attendance.deserted_since or _empty_since(attendance)
    elif attendance.there and not early and _for_the_next(attendance, booking, scene.room):
        return Outcome.UNKNOWN, None
    else:
        return Outcome.ATTENDED, None
    freed = booking.ends_at - max(gone_at, booking.starts_at)
    return (Outcome.LEFT_EARLY, freed) if freed >= scene.rules.judging.empty_for else (Outcome.ATTENDED, None)


def _ours(booking: Booking, room: Room) -> bool:
    """Whether it was roomd that gave it back, as nobody came: whatever the device calls that."""
    attempt = room.releases.get(booking.key)
    return attempt is not None and attempt.phase in {ReleasePhase.ASKED, ReleasePhase.RELEASED}


def _given_back(booking: Booking, cause: str | None) -> bool:
    """Whether a booking that is over before its time was ended by somebody on a device."""
    return booking.phase is BookingPhase.ENDED or cause == CHECKED_OUT


def _of_nobody(attendance: Attendance, cancelled: bool, scene: _Scene) -> Outcome:  # noqa: FBT001
    """The verdict on a booking to which nobody came, as far as is known."""
    if attendance.unknown > ZERO or attendance.there is None or cancelled:
        return Outcome.UNKNOWN
    for each in attendance.evidence:
        if each.kind in TOUCHES or (each.kind in DELIBERATE and each.first_at > attendance.starts_at):
            return Outcome.UNKNOWN
        if each.lasted > lasts_after((each.kind, each.by or ""), scene.rules, scene.room.devices):
            return Outcome.UNKNOWN  # somebody looked in more than once, or sat where they were hardly seen
    return Outcome.GHOST


def _for_the_next(attendance: Attendance, booking: Booking, room: Room) -> bool:
    """Whether those who came at the very end of it came for what begins right after."""
    if attendance.came_at is None or attendance.came_at < booking.ends_at - EARLY:
        return False
    awaited = attendance.starts_at + EARLY < attendance.came_at  # for longer than people are late
    return awaited and any(
        other.key != booking.key
        and other.phase in {BookingPhase.CONFIRMED, BookingPhase.STARTED}
        and booking.ends_at <= other.starts_at <= booking.ends_at + EARLY
        for other in room.bookings.values()
    )


def _may_overrun(attendance: Attendance, booking: Booking, scene: _Scene) -> bool:
    """Whether it ended at its time with its people there, and they still are, in a room that is free."""
    ended = booking.phase is BookingPhase.ENDED and attendance.ends_at == booking.ends_at
    stayed = (
        attendance.there is True
        and scene.watch.there is True
        and not _taken(scene.room, attendance, scene.now)
    )
    return ended and stayed and (scene.watch.there_since or scene.now) <= booking.ends_at


def _taken(room: Room, attendance: Attendance, now: datetime) -> bool:
    """Whether another booking has the room."""
    return any(
        other.key != attendance.booking
        and (
            other.phase is BookingPhase.STARTED
            or (other.phase is BookingPhase.CONFIRMED and other.starts_at <= now)
        )
        for other in room.bookings.values()
    )


def _after_the_end(
    attendance: Attendance, booking: Booking | None, scene: _Scene
) -> tuple[Attendance | None, _Facts]:
    """It is over: kept while it is remembered, for it may be raised again; and judged, if it was not yet."""
    put_off = booking is not None and _put_off(attendance, booking)
    if booking is not None and (put_off or _begins_again(booking, scene)):
        told: _Facts = ()
        if attendance.outcome is None and attendance.left is not None:
            attendance, told = _judged(attendance, Outcome.ATTENDED, attendance.left, scene)
        if put_off:
            after, more = _followed(None, booking, scene) if _opens(booking, scene) else (None, ())
            return after, told + more
        anew = _reopened(attendance, scene)
        follow = _running if booking.phase is BookingPhase.STARTED else _closed
        after, more = follow(anew, booking, scene)
        return after, told + more
    if attendance.outcome is None and attendance.left is not None:
        if scene.watch.there is not True or _taken(scene.room, attendance, scene.now):
            return _judged(attendance, Outcome.ATTENDED, attendance.left, scene)
        if scene.now >= _overrun_at(attendance, scene.rules):
            return _judged(attendance, Outcome.OVERRUN, attendance.left, scene)
        return attendance, ()
    return (None, ()) if booking is None else (attendance, ())


def _put_off(attendance: Attendance, booking: Booking) -> bool:
    """Whether it was raised again for a time of which nothing was watched."""
    watched_until = attendance.ends_at or attendance.since
    return booking.starts_at >= watched_until and booking.starts_at > attendance.starts_at


def _begins_again(booking: Booking, scene: _Scene) -> bool:
    """Whether what was over has begun again; it may be over again by now, if all of it lies in a gap."""
    match booking.phase:
        case BookingPhase.STARTED:
            return True
        case BookingPhase.ENDED | BookingPhase.DELETED:
            return any(fact.kind is FactKind.BOOKING_STARTED for fact in scene.told_of(booking.key))
        case _:
            return False


def _overrun_at(attendance: Attendance, rules: Rules) -> datetime:
    return (attendance.ends_at or attendance.since) + rules.judging.overrun_after


def _reopened(attendance: Attendance, scene: _Scene) -> Attendance:
    """It is not over after all: it goes on where it was, with what was seen of the room meanwhile."""
    ended_at = attendance.ends_at or attendance.since
    known_from = min(max(ended_at, scene.watch.there_since or scene.now), scene.now)
    return replace(
        attendance,
        phase=AttendancePhase.AWAITED if attendance.came_at is None else AttendancePhase.ATTENDED,
        since=scene.now,
        outcome=None,
        there=scene.watch.there,
        there_since=known_from,
        unknown=attendance.unknown + max(known_from - ended_at, ZERO),
        deserted_since=None,
        left=None,
        ends_at=None,
    )


def _judged(
    attendance: Attendance,
    outcome: Outcome,
    booking: Booking,
    scene: _Scene,
    *,
    freed: timedelta | None = None,
) -> tuple[Attendance, _Facts]:
    judged = replace(attendance, outcome=outcome, left=None)
    return judged, (_fact(VERDICTS[outcome], judged, booking, scene, at=scene.now, freed=freed),)


def _fact(
    kind: FactKind,
    attendance: Attendance,
    booking: Booking,
    scene: _Scene,
    *,
    at: datetime,
    freed: timedelta | None = None,
) -> AttendanceFact:
    settled = attendance if attendance.phase is AttendancePhase.OVER else _settled(attendance, at)
    return AttendanceFact(
        kind=kind,
        at=at,
        booking=booking,
        attendance=attendance,
        known=settled.known,
        unknown=settled.unknown,
        freed=freed,
        recovered=any(fact.recovered for fact in scene.told_of(booking.key)),
    )


# ── without a booking ─────────────────────────────────────────────────────────────────────────────


def _unbooked(scene: _Scene, attendances: Mapping[BookingKey, Attendance]) -> tuple[Watch, _Facts]:
    """People in a room that is not booked: from the first of them until the last has left for a while."""
    watch, use = scene.watch, scene.watch.unbooked
    there = watch.there is True
    if use is None and not there:
        return watch, ()
    begun = [each.starts_at for each in attendances.values() if _has_the_room(each)]
    if begun:
        if use is None:
            return watch, ()
        until = min(use.seen_at or scene.now, *begun)
        return replace(watch, unbooked=None), _told(use, until, scene)
    if use is None:
        since = max(
            watch.there_since or scene.now, _free_since(attendances) or watch.there_since or scene.now
        )
        return replace(watch, unbooked=_used(Use(since=since), scene)), ()
    after = _used(use, scene)
    if there and scene.now >= use.since + UNBOOKED_AT_MOST:
        anew = _used(Use(since=scene.now), scene)
        return replace(watch, unbooked=anew), _told(after, scene.now, scene)
    if not there:
        gone_at = use.seen_at or scene.now
        after = replace(after, seen_at=gone_at)
        if scene.now >= gone_at + scene.rules.judging.empty_for:
            return replace(watch, unbooked=None), _told(after, gone_at, scene)
    elif use.seen_at is not None:
        after = replace(after, seen_at=None)
    return (watch, ()) if after == use else (replace(watch, unbooked=after), ())


def _has_the_room(attendance: Attendance) -> bool:
    """Whether it runs, or its people may have stayed on."""
    return attendance.phase is not AttendancePhase.OVER or attendance.outcome is None


def _free_since(attendances: Mapping[BookingKey, Attendance]) -> datetime | None:
    return max((each.ends_at for each in attendances.values() if each.ends_at is not None), default=None)


def _used(use: Use, scene: _Scene) -> Use:
    evidence = _witnessed(use.evidence, scene, from_=use.since)
    ended = [
        ((each.kind, each.by or ""), each.since)
        for each, after in zip(use.evidence, evidence, strict=False)
        if each.since is not None and after.since is None
    ]
    lasting = use.lasting or any(scene.lasting(ended, use.since, scene.now))
    peak = _peak(use.people_peak, scene.people)
    if (evidence, lasting, peak) == (use.evidence, use.lasting, use.people_peak):
        return use
    return replace(use, evidence=evidence, lasting=lasting, people_peak=peak)


def _told(use: Use, until: datetime, scene: _Scene) -> _Facts:
    """Told if it was long enough, and more than somebody who looked in."""
    running = [((e.kind, e.by or ""), e.since) for e in use.evidence if e.since is not None]
    lasting = use.lasting or any(scene.lasting(running, use.since, until))
    if not lasting or until - use.since < scene.rules.judging.unbooked_for:
        return ()
    whole = replace(
        use,
        evidence=tuple(_worth_telling(_stopped(each, until) for each in use.evidence)),
        lasting=True,
        seen_at=until,
    )
    return (UseFact(kind=FactKind.ROOM_USED_UNBOOKED, at=scene.now, use=whole, until=until),)


# ── when ──────────────────────────────────────────────────────────────────────────────────────────


def _deadlines(room: Room, rules: Rules) -> Iterator[datetime]:
    watch = room.watch
    running = False
    for key, booking in room.bookings.items():
        attendance = room.attendances.get(key)
        if attendance is None:
            if booking.phase is BookingPhase.CONFIRMED:
                yield booking.starts_at
        elif attendance.phase in OPEN and booking.phase is BookingPhase.STARTED:
            running = True
            yield from (at for at in _next_moves(attendance, room, rules) if at < booking.ends_at)
    for attendance in room.attendances.values():
        if attendance.outcome is None and attendance.left is not None:
            yield _overrun_at(attendance, rules)
    if (use := watch.unbooked) is not None:
        if use.seen_at is None:
            yield use.since + UNBOOKED_AT_MOST
        else:
            yield use.seen_at + rules.judging.empty_for
    if (running or watch.unbooked is not None) and watch.looked_at is not None:
        yield watch.looked_at + LOOK_EVERY


def _next_moves(attendance: Attendance, room: Room, rules: Rules) -> Iterator[datetime]:
    if attendance.phase is not AttendancePhase.ATTENDED:
        for sign, since, until in believed_until(room.watch):
            at = max(
                lasts_until(sign, since, attendance.starts_at, rules, room.devices),
                _theirs_until(attendance, since, rules),
            )
            if at < until:
                yield at
    due = _deserted_at(attendance, rules)
    if due is not None:
        yield due


# ── gaps and clocks ───────────────────────────────────────────────────────────────────────────────


def left_attendance(attendance: Attendance, watch: Watch, *, now: datetime) -> Attendance:
    """The same when the agent starts: nobody has looked since `watch` says, and what runs ran until then."""
    if attendance.phase is AttendancePhase.OVER:
        return attendance
    looked_at = max(attendance.there_since, min(watch.looked_at or attendance.there_since, now))
    return replace(
        _settled(attendance, looked_at),
        there=None,
        there_since=min(looked_at, now),
        seen_at=looked_at if attendance.there else attendance.seen_at,
        deserted_since=None,
        evidence=tuple(_stopped(each, looked_at) for each in attendance.evidence),
    )


def left_watch(watch: Watch, *, now: datetime) -> Watch:
    """The same for the room, booked or not: who used it without a booking has left, for all that is known."""
    left = look_away(watch, now=now)
    use = watch.unbooked
    if use is None or left.looked_at is None:
        return left
    looked_at = max(use.since, left.looked_at)
    gone = replace(
        use,
        seen_at=use.seen_at or looked_at,
        evidence=tuple(_stopped(each, looked_at) for each in use.evidence),
    )
    return replace(left, unbooked=gone)


def shifted_attendance(attendance: Attendance, by: timedelta) -> Attendance:
    """The same after the clock jumped: what is running runs on; when a booking begins, calendars say."""

    def moved(instant: datetime | None) -> datetime | None:
        return None if instant is None else instant + by

    return replace(
        attendance,
        since=attendance.since + by,
        ends_at=attendance.ends_at if attendance.left is None else moved(attendance.ends_at),
        evidence=_shifted_evidence(attendance.evidence, by),
        came_at=moved(attendance.came_at),
        seen_at=moved(attendance.seen_at),
        deserted_since=moved(attendance.deserted_since),
        there_since=attendance.there_since + by,
    )


def shifted_watch(watch: Watch, by: timedelta) -> Watch:
    """The same for the room, booked or not."""
    shifted, use = look_shifted(watch, by), watch.unbooked
    if use is None:
        return shifted
    moved = replace(
        use,
        since=use.since + by,
        seen_at=None if use.seen_at is None else use.seen_at + by,
        evidence=_shifted_evidence(use.evidence, by),
    )
    return replace(shifted, unbooked=moved)


def _shifted_evidence(evidence: tuple[Evidence, ...], by: timedelta) -> tuple[Evidence, ...]:
    return tuple(
        replace(
            each,
            first_at=each.first_at + by,
            last_at=each.last_at + by,
            since=None if each.since is None else each.since + by,
        )
        for each in evidence
    )
