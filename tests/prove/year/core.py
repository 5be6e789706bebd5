"""The year as it happens to the core of roomd: what its devices say, what it asks of them, what it tells."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from agent import snapshots
from agent.core.devices import furnish
from agent.core.events import (
    BookingCreated,
    BookingDeleted,
    BookingEnded,
    BookingMoved,
    BookingsListed,
    BookingStarted,
    CalendarEntry,
    CalendarListed,
    CalendarOrderRefused,
    CalendarOrderTaken,
    CalendarTurned,
    CallsCounted,
    ClockStepped,
    ClockStruck,
    CurrentValuesRead,
    DeviceConnected,
    DeviceLost,
    ListedBooking,
    MessageShown,
    MessageTakenOff,
    OrderRefused,
    OrderTaken,
    PeopleCounted,
    PresenceSensed,
    PromptAnswered,
    PromptCleared,
    RoomEvent,
    SensorSaid,
    SharingSensed,
    UseRefused,
    UseSensed,
    UseTold,
)
from agent.core.facts import (
    CalendarRequest,
    Fact,
    Light,
    ListBookings,
    ReadValues,
    Release,
    ReleaseInCalendar,
    Request,
    RestoreLight,
    ShowOn,
    TakeOff,
    TellUse,
    Wake,
)
from agent.core.model import (
    Booking,
    BookingId,
    CalendarKind,
    CalendarPhase,
    CommandId,
    Credential,
    Device,
    DeviceId,
    EntryId,
    FeedbackId,
    Meeting,
    MeetingId,
    Policy,
    Room,
    RoomId,
    Sense,
    SensorId,
    SensorRules,
    Surface,
    Trust,
)
from agent.core.step import next_deadline, step
from agent.core.third_party import install
from tests.prove.year.people import MINUTE, NEVER, ZONE, Booked
from tests.prove.year.rivals import WAKES_AFTER_S
from tests.prove.year.rooms import Third
from tests.prove.year.sensors import Said, Seen, Timeline
from tests.prove.year.truth import Truth

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LOOKS_LATE_S: Final = 0.2  # at the clock, as roomd does
AWAKE_FOR_S: Final = 10 * MINUTE  # a device that was woken goes back to standby
NOTICED_AFTER_S: Final = 25.0  # that a device cannot be reached any more
MONTH_S: Final = 30 * 86400.0
REFUSES: Final = 0.015  # of releases: the device says no
FORGETS: Final = 0.015  # … or says yes, and the calendar does not do it
SIGN_OF_LIFE_S: Final = 50 * MINUTE  # a battery sensor says that it lives
POLLED_EVERY_S: Final = 25 * MINUTE  # a linked calendar; it pushes what is new as well
PUSHED_AFTER_S: Final = 4.0
LINKED: Final = CalendarKind.MICROSOFT
THIRD: Final = SensorId("third")
ENDS_LATE_S: Final = 3600.0  # the last verdicts come after the last day
STUCK: Final = 50  # strokes at one moment: a deadline that stands still


@dataclass(slots=True, kw_only=True)
class Prompt:
    """A question on a device's screen."""

    until_s: float
    answers: int


@dataclass(slots=True, kw_only=True)
class Line:
    """A device, and our conversation with it."""

    id: DeviceId
    seen: Seen
    reachable: bool = True
    heard: bool = False
    booted_s: float = 0.0
    numbered_from: int = 0  # `webex-N` begins anew at each restart
    told: Said | None = None  # what we have heard last
    woken_until_s: float = 0.0
    used_until_s: float = 0.0  # it was told by us that there is somebody
    prompts: dict[FeedbackId, Prompt] = field(default_factory=dict)
    said: Timeline = field(default_factory=lambda: Timeline([0.0], [Said()]))

    def says(self, t: float) -> Said:
        """Its sensors' words then."""
        said = (self.seen.awake if t < self.woken_until_s else self.seen.asleep).at(t)
        return said._replace(in_use=True) if t < self.used_until_s else said


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A fact about a booking, or about none, and when it was told (s since 1970)."""

    at_s: float
    booking: int | None
    fact: Fact


class Play:
    """One room, from its first day to its last."""

    def __init__(self, truth: Truth, *, policy: Policy, seed: int) -> None:
        past = truth.past
        self.past, self.truth, self.policy = past, truth, policy
        self.luck = Random(f"{seed}/play/{past.traits.number}")
        self.lines = {
            DeviceId(f"device-{number}"): Line(id=DeviceId(f"device-{number}"), seen=each)
            for number, each in enumerate(truth.seen)
        }
        self.third, self._third_said = truth.third, 0
        self._third_sent: int | None = None
        self.told: list[Told] = []
        self.steps = 0
        self.ignored = 0
        self.wrongs: list[str] = []
        self.ordered_s: dict[int, float] = {}
        self.released_s: dict[int, float] = {}  # by whom was that? by us
        self.restarted: list[tuple[float, float]] = []
        self._now_s = past.begins_s
        self._ahead_s = 0.0  # our wall clock is ahead of the true time
        self._up = True
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._by_start = sorted(past.bookings, key=lambda booked: booked.starts_s)
        self._starts = [booked.starts_s for booked in self._by_start]
        self.room = self._furnished(None)
        self._deadline_s: float | None = None
        self._plan()

    @property
    def heard(self) -> list[Timeline]:
        """What each device has said to us."""
        return [line.said for line in self.lines.values()]

    # ── time ──

    def run(self) -> None:
        """To the end of the year."""
        ends_s = self.past.ends_s + ENDS_LATE_S
        struck, struck_s = 0, 0.0
        while True:
            due_s = self._later[0][0] if self._later else ends_s
            if self._up and self._deadline_s is not None and self._deadline_s <= due_s:
                self._now_s = max(self._now_s, self._deadline_s)
                if self._now_s >= ends_s:
                    return
                struck = struck + 1 if self._now_s == struck_s else 1
                struck_s = self._now_s
                if struck > STUCK:
                    self.wrongs.append(f"{self.past.traits.name}: a deadline stands still at {self._wall()}")
                    return
                self._happen(ClockStruck())
                continue
            if due_s >= ends_s:
                return
            self._now_s, _, act = heapq.heappop(self._later)
            act()

    def _at(self, t: float, act: Callable[[], None]) -> None:
        if t >= self._now_s:
            self._number += 1
            heapq.heappush(self._later, (t, self._number, act))

    def _wall(self, t: float | None = None) -> datetime:
        """Our wall clock, which may be wrong."""
        return EPOCH + timedelta(seconds=(self._now_s if t is None else t) + self._ahead_s)

    # ── the core ──

    def _happen(self, event: RoomEvent) -> None:
        if not self._up:
            return
        taken = step(self.room, event, now=self._wall(), policy=self.policy)
        self.steps += 1
        self.ignored += taken.ignored
        self.room = taken.room
        for fact in taken.facts:
            self.told.append(Told(at_s=self._now_s, booking=_number_of(fact), fact=fact))
        self._look_ahead()
        for request in taken.requests:
            self._asked(request)
        for order in taken.calendar_requests:
            self._asked_calendar(order)

    def _look_ahead(self) -> None:
        due = next_deadline(self.room, self.policy)
        self._deadline_s = (
            None if due is None else (due - EPOCH).total_seconds() - self._ahead_s + LOOKS_LATE_S
        )

    def _furnished(self, kept: Room | None) -> Room:
        devices = tuple(
            Device(
                id=line,
                room=RoomId(self.past.traits.name),
                host="10.0.0.1",
                port=443,
                credential=Credential(username="roomd", password_file=Path("device-password")),
                trust=Trust(unverified=True),
            )
            for line in self.lines
        )
        linked = (LINKED,) if self.past.traits.linked else ()
        name = RoomId(self.past.traits.name)
        room = furnish(kept, name, devices, calendars=linked, writes=linked, now=self._wall())
        sensors = () if self.third is None else (SensorRules(id=THIRD),)
        return install(room, sensors, listening=False, now=self._wall())

    # ── what is to come ──

    def _plan(self) -> None:
        begins_s, ends_s = self.past.begins_s, self.past.ends_s
        for line in self.lines.values():
            line.booted_s = begins_s - 86400.0
            self._at(begins_s + 1.0, lambda line=line: self._connect(line))  # type: ignore[misc]
            for t in line.seen.asleep.times[1:]:
                self._at(t, lambda line=line: self._sense(line))  # type: ignore[misc]
            for span in line.seen.outages:
                self._at(span.from_s, lambda line=line: self._cut(line))  # type: ignore[misc]
                self._at(span.to_s, lambda line=line: self._mend(line))  # type: ignore[misc]
            for span in line.seen.reboots:
                self._at(span.from_s, lambda line=line: self._cut(line))  # type: ignore[misc]
                self._at(span.to_s, lambda line=line: self._boot(line))  # type: ignore[misc]
        for booked in self.past.bookings:
            self._foresee(booked)
        if self.past.traits.linked:
            self._at(begins_s + 2.0, self._link)
            self._at(begins_s + POLLED_EVERY_S, self._poll)
        if self.third is not None:
            for t, value in self.third.changes:
                self._at(t, lambda value=value: self._notice(value))  # type: ignore[misc]
            self._at(begins_s + 5.0, self._live)
        t = begins_s
        while (t := t + self.luck.expovariate(1 / MONTH_S)) < ends_s:
            lasts_s = self.luck.choice((8.0, 30.0, 300.0, 3600.0))
            self._at(t, lambda lasts_s=lasts_s: self._stop(lasts_s))  # type: ignore[misc]
            t += lasts_s
        if self.past.traits.number % 10 == 6:
            t = begins_s
            while (t := t + self.luck.expovariate(1 / MONTH_S)) < ends_s:
                by_s = self.luck.choice((-400.0, -70.0, 90.0, 1200.0))
                self._at(t, lambda by_s=by_s: self._jump(by_s))  # type: ignore[misc]
                t += 1800.0
                self._at(t, lambda by_s=by_s: self._jump(-by_s))  # type: ignore[misc]

    def _foresee(self, booked: Booked) -> None:
        if booked.created_s > self.past.begins_s:
            self._at(booked.created_s + 1, lambda: self._each(lambda line: self._created(line, booked)))
        late_s = self.luck.uniform(0.2, 3.0)
        self._at(
            booked.starts_s + late_s,
            lambda: self._if_stands(booked, BookingStarted),
        )
        if booked.changed_s < NEVER:
            self._at(booked.changed_s, lambda: self._each(lambda line: self._moved(line, booked)))
        if booked.deleted_s < NEVER:
            self._at(
                booked.deleted_s + 1, lambda: self._each(lambda line: self._deleted(line, booked, "deleted"))
            )
        self._at(booked.ends_s + late_s, lambda: self._if_stands(booked, BookingEnded))

        if self.past.traits.linked:
            for t in (booked.created_s, booked.changed_s, booked.deleted_s):
                self._at(t + PUSHED_AFTER_S, self._read_calendar)

    def _each(self, tell: Callable[[Line], None]) -> None:
        for line in self.lines.values():
            if line.heard and line.reachable:
                tell(line)

    # ── bookings ──

    def _stands(self, booked: Booked) -> bool:
        return (
            booked.created_s <= self._now_s < booked.deleted_s
            and self.released_s.get(booked.number, NEVER) > self._now_s
        )

    def _created(self, line: Line, booked: Booked) -> None:
        self._happen(
            BookingCreated(
                device=line.id,
                booking_id=_id(line, booked),
                meeting_id=_meeting(booked),
                starts_at=_true(booked.starts_s),
                ends_at=_true(booked.ends_at(self._now_s)),
            )
        )

    def _moved(self, line: Line, booked: Booked) -> None:
        if self._stands(booked):
            self._happen(
                BookingMoved(
                    device=line.id,
                    booking_id=_id(line, booked),
                    meeting_id=_meeting(booked),
                    starts_at=_true(booked.starts_s),
                    ends_at=_true(booked.ends_s),
                )
            )

    def _if_stands(self, booked: Booked, event: type[BookingStarted | BookingEnded]) -> None:
        if self._stands(booked):
            self._each(
                lambda line: self._happen(
                    event(device=line.id, booking_id=_id(line, booked), meeting_id=_meeting(booked))
                )
            )

    def _deleted(self, line: Line, booked: Booked, cause: str) -> None:
        self._happen(
            BookingDeleted(
                device=line.id, booking_id=_id(line, booked), meeting_id=_meeting(booked), cause=cause
            )
        )

    def _list(self, line: Line, asked_at: datetime) -> None:
        if not (line.reachable and line.heard):
            return
        tomorrow = _true(self._now_s).astimezone(ZONE).date() + timedelta(days=2)
        covers_until = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=ZONE).astimezone(UTC)
        first = bisect_left(self._starts, self._now_s - 26 * 3600.0)
        last = bisect_left(self._starts, (covers_until - EPOCH).total_seconds())
        listed = tuple(
            ListedBooking(
                booking_id=_id(line, booked),
                meeting_id=_meeting(booked),
                starts_at=_true(booked.starts_s),
                ends_at=_true(booked.ends_at(self._now_s)),
                meeting=_gathering(booked),
                from_webex=True,
            )
            for booked in self._by_start[first:last]
            if self._stands(booked) and booked.ends_at(self._now_s) > self._now_s
        )
        self._happen(
            BookingsListed(device=line.id, bookings=listed, asked_at=asked_at, covers_until=covers_until)
        )

    # ── a linked calendar ──

    def _link(self) -> None:
        self._happen(CalendarTurned(calendar=LINKED, phase=CalendarPhase.ACTIVE))
        self._read_calendar()

    def _poll(self) -> None:
        self._read_calendar()
        self._at(self._now_s + POLLED_EVERY_S, self._poll)

    def _read_calendar(self) -> None:
        asked_at = self._wall()
        covers_from_s, covers_until_s = self._now_s - 86400.0, self._now_s + 2 * 86400.0
        first = bisect_left(self._starts, covers_from_s)
        last = bisect_left(self._starts, covers_until_s)
        entries = tuple(
            CalendarEntry(
                entry_id=EntryId(f"e-{booked.number}"),
                ical_uid=f"i-{booked.number}",
                starts_at=_true(booked.starts_s),
                ends_at=_true(booked.ends_at(self._now_s)),
                all_day=booked.all_day,
                meeting=_gathering(booked),
            )
            for booked in self._by_start[first:last]
            if self._stands(booked) and booked.ends_at(self._now_s) > covers_from_s
        )
        self._happen(
            CalendarListed(
                calendar=LINKED,
                entries=entries,
                asked_at=asked_at,
                covers_from=asked_at - timedelta(days=1),
                covers_until=_true(covers_until_s),
            )
        )

    def _asked_calendar(self, request: CalendarRequest) -> None:
        soon_s = self._now_s + self.luck.uniform(0.5, 2.0)
        if isinstance(request, ReleaseInCalendar):
            self._at(soon_s, lambda: self._release_entry(request))
        else:
            self._at(soon_s, self._read_calendar)

    def _release_entry(self, request: ReleaseInCalendar) -> None:
        booked = self.past.bookings[int(request.entry_id[2:])]
        if not self._free(booked, request.command, None):
            why = "the calendar refused: no such entry"
            self._happen(CalendarOrderRefused(calendar=LINKED, command=request.command, why=why))
            return
        self._happen(CalendarOrderTaken(calendar=LINKED, command=request.command))
        self._at(self._now_s + PUSHED_AFTER_S + 3, self._read_calendar)

    # ── lines and sensors ──

    def _connect(self, line: Line) -> None:
        if not (line.reachable and self._up) or line.heard:
            return
        line.heard = True
        line.prompts.clear()
        self._happen(
            DeviceConnected(
                device=line.id,
                product="Cisco Room Kit",
                serial=f"FOC{self.past.traits.number:04d}{line.id[-1]}",
                firmware="RoomOS 11.23.1.8" if line.seen.eye.tells_use else "ce9.15.3.26",
                transport="websocket",
                uptime_s=int(self._now_s - line.booted_s),
                answers_requests=line.seen.eye.tells_use,
                surfaces=(Surface.SCREEN,),
                checks_in=False,
            )
        )
        asked_at = self._wall()
        self._at(self._now_s + 0.4, lambda: self._list(line, asked_at))
        self._at(self._now_s + 0.6, lambda: self._read(line))

    def _read(self, line: Line) -> None:
        if line.reachable and line.heard:
            line.told = said = line.says(self._now_s)
            self._note(line, said)
            self._happen(
                CurrentValuesRead(
                    device=line.id,
                    people=said.people,
                    presence=said.presence,
                    in_use=said.in_use,
                    calls=said.calls,
                    sharing=said.sharing,
                )
            )

    def _sense(self, line: Line) -> None:
        if not (line.reachable and line.heard) or line.told is None:
            return
        before, line.told = line.told, line.says(self._now_s)
        said = line.told
        self._note(line, said)
        if said.people != before.people:
            self._happen(PeopleCounted(device=line.id, people=said.people))
        if said.presence is not before.presence:
            self._happen(PresenceSensed(device=line.id, presence=said.presence))
        if said.in_use is not before.in_use:
            self._happen(UseSensed(device=line.id, in_use=said.in_use))
        if said.calls != before.calls:
            self._happen(CallsCounted(device=line.id, calls=said.calls))
        if said.sharing is not before.sharing:
            self._happen(SharingSensed(device=line.id, sharing=said.sharing))

    def _note(self, line: Line, said: Said) -> None:
        """Our own word that others sense people is none of the device's."""
        own = said._replace(in_use=None) if self._now_s < line.used_until_s else said
        if line.said.values[-1] != own:
            line.said.times.append(self._now_s)
            line.said.values.append(own)

    def _notice(self, value: int) -> None:
        self._third_said = value
        self._speak()

    def _live(self) -> None:
        self._speak()
        self._at(self._now_s + SIGN_OF_LIFE_S, self._live)

    def _speak(self) -> None:
        third = self.third
        if third is None or any(span.from_s <= self._now_s < span.to_s for span in third.away):
            return
        self._third_sent = self._third_said
        self._hear_third(self._third_said, kept=False)

    def _hear_third(self, value: int, *, kept: bool) -> None:
        counts = self.third is not None and self.third.kind is Third.COUNTER
        sense = Sense.PEOPLE if counts else Sense.PRESENCE
        said = value if counts else bool(value)
        self._happen(SensorSaid(sensor=THIRD, values={sense: said}, kept=kept))

    def _repeat(self) -> None:
        """The broker has kept the sensor's last word, however old."""
        if self._third_sent is not None:
            self._hear_third(self._third_sent, kept=True)

    def _cut(self, line: Line) -> None:
        line.reachable = False
        self._at(self._now_s + NOTICED_AFTER_S, lambda: self._lose(line))

    def _lose(self, line: Line) -> None:
        if not line.reachable and line.heard:
            line.heard, line.told = False, None
            self._happen(DeviceLost(device=line.id, why="no route to host"))

    def _mend(self, line: Line) -> None:
        line.reachable = True
        if line.heard:
            self._happen(DeviceLost(device=line.id, why="connection reset"))
            line.heard, line.told = False, None
        self._at(self._now_s + self.luck.uniform(1, 15), lambda: self._connect(line))

    def _boot(self, line: Line) -> None:
        line.booted_s, line.woken_until_s, line.used_until_s = self._now_s, 0.0, 0.0
        line.numbered_from += 500
        line.prompts.clear()
        self._mend(line)

    # ── roomd itself ──

    def _stop(self, lasts_s: float) -> None:
        self._up = False
        self.restarted.append((self._now_s, self._now_s + lasts_s))
        kept = snapshots.body_of(self.room)
        for line in self.lines.values():
            line.heard, line.told = False, None
        self._at(self._now_s + lasts_s, lambda: self._start(kept))

    def _start(self, kept: bytes) -> None:
        self._up = True
        self.room = self._furnished(snapshots.read_body(kept))
        self._look_ahead()
        self._at(self._now_s + 1.5, self._repeat)
        if self.past.traits.linked:
            self._at(self._now_s + 2.0, self._link)
        for line in self.lines.values():
            self._at(
                self._now_s + self.luck.uniform(0.5, 5),
                lambda line=line: self._connect(line),  # type: ignore[misc]
            )

    def _jump(self, by_s: float) -> None:
        self._ahead_s += by_s
        self._happen(ClockStepped(by=timedelta(seconds=by_s)))
        self._look_ahead()

    # ── what is asked of devices ──

    def _asked(self, request: Request) -> None:
        line = self.lines[request.device]
        if not (line.reachable and line.heard):
            return
        soon_s = self._now_s + self.luck.uniform(0.1, 0.5)
        match request:
            case ListBookings():
                asked_at = self._wall()
                self._at(soon_s, lambda: self._list(line, asked_at))
            case ReadValues():
                self._at(soon_s, lambda: self._read(line))
            case ShowOn():
                self._at(soon_s, lambda: self._show(line, request))
            case TakeOff(surface=surface, feedback_id=feedback_id):
                line.prompts.pop(feedback_id, None)
                off = MessageTakenOff(device=line.id, surface=surface, feedback_id=feedback_id)
                self._at(soon_s, lambda: self._say(line, off))
            case Light(feedback_id=feedback_id):
                lit = MessageShown(device=line.id, surface=Surface.LED, feedback_id=feedback_id)
                self._at(soon_s, lambda: self._say(line, lit))
            case RestoreLight(feedback_id=feedback_id):
                dark = MessageTakenOff(device=line.id, surface=Surface.LED, feedback_id=feedback_id)
                self._at(soon_s, lambda: self._say(line, dark))
            case Wake():
                self._wake(line)
            case Release():
                self._at(soon_s, lambda: self._release(line, request))
            case TellUse(in_use=in_use, lasts=lasts):
                self._at(soon_s, lambda: self._take_word(line, in_use, lasts))
            case _:
                pass

    def _say(self, line: Line, event: RoomEvent) -> None:
        if line.reachable and line.heard:
            self._happen(event)

    def _show(self, line: Line, request: ShowOn) -> None:
        until_s = (request.until - EPOCH).total_seconds() - self._ahead_s
        name = request.feedback_id
        self._say(line, MessageShown(device=line.id, surface=request.surface, feedback_id=name))
        if not request.answers:
            return
        line.prompts[name] = prompt = Prompt(until_s=until_s, answers=len(request.answers))
        touched_s = self.truth.answered(self._now_s, until_s)
        if touched_s is not None:
            self._at(touched_s, lambda: self._touch(line, name, prompt))
        self._at(until_s, lambda: self._lapse(line, name, prompt))

    def _touch(self, line: Line, name: FeedbackId, prompt: Prompt) -> None:
        if line.prompts.get(name) is prompt:
            del line.prompts[name]
            self._say(line, PromptAnswered(device=line.id, feedback_id=name, option=1))

    def _lapse(self, line: Line, name: FeedbackId, prompt: Prompt) -> None:
        if line.prompts.get(name) is prompt:
            del line.prompts[name]
            self._say(line, PromptCleared(device=line.id, feedback_id=name))

    def _wake(self, line: Line) -> None:
        """It looks again, and says what it sees, until it falls back into standby."""
        from_s = self._now_s + WAKES_AFTER_S
        until_s = self._now_s + AWAKE_FOR_S
        times = line.seen.awake.times
        for t in (from_s, *times[bisect_right(times, from_s) : bisect_left(times, until_s)], until_s):
            self._at(t, lambda: self._sense(line))

        def awake() -> None:
            line.woken_until_s = until_s
            self._sense(line)

        self._at(from_s, awake)

    def _take_word(self, line: Line, in_use: bool, lasts: timedelta) -> None:
        if not line.seen.eye.tells_use:
            why = "this firmware knows no such command"
            self._say(line, UseRefused(device=line.id, in_use=in_use, why=why))
            return
        line.used_until_s = self._now_s + lasts.total_seconds() if in_use else 0.0
        self._say(line, UseTold(device=line.id, in_use=in_use))
        self._sense(line)
        self._at(line.used_until_s, lambda: self._sense(line))

    def _release(self, line: Line, request: Release) -> None:
        number = _number(request.booking)
        booked = None if number is None else self.past.bookings[number]
        if booked is None or not self._free(booked, request.command, line):
            why = "the device refused: no such booking"
            self._say(line, OrderRefused(device=line.id, command=request.command, why=why))

    def _free(self, booked: Booked, command: CommandId, line: Line | None) -> bool:
        """Take it off the calendar, or only say so; False: refused."""
        drawn = self.luck.random()
        if not self._stands(booked) or drawn < REFUSES:
            return False
        if line is not None:
            self._say(line, OrderTaken(device=line.id, command=command))
        if drawn > 1 - FORGETS:
            return True
        gone_s = self._now_s + self.luck.uniform(0.5, 4)
        self.ordered_s[booked.number] = self._now_s
        self.released_s[booked.number] = gone_s
        self._at(
            gone_s + 0.2,
            lambda: self._each(lambda each: self._deleted(each, booked, "declined")),
        )
        return True


# ── names ─────────────────────────────────────────────────────────────────────────────────────────


def _true(t: float) -> datetime:
    """An instant as calendars say it, whatever our clock says."""
    return EPOCH + timedelta(seconds=t)


def _id(line: Line, booked: Booked) -> BookingId:
    return BookingId(f"webex-{booked.number + line.numbered_from}")


def _meeting(booked: Booked) -> MeetingId:
    return MeetingId(f"m-{booked.number}")


def _gathering(booked: Booked) -> Meeting:
    return Meeting(title="A meeting", organizer="Somebody", ical_uid=f"i-{booked.number}")


def _number(booking: Booking) -> int | None:
    names = (booking.meeting_id, *booking.entries.values())
    return next((int(name[2:]) for name in names if name), None)


def _number_of(fact: Fact) -> int | None:
    booking = getattr(fact, "booking", None)
    return None if booking is None else _number(booking)


def facts_by_booking(told: Sequence[Told]) -> Mapping[int, list[Told]]:
    """What was told of each booking, in order."""
    found: dict[int, list[Told]] = {}
    for each in told:
        if each.booking is not None:
            found.setdefault(each.booking, []).append(each)
    return found
