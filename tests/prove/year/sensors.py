"""What each sensor made of a room's year: late, blind in standby, fooled by posters, and away at times."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from tests.prove.year.people import MINUTE, Past, Purpose, Span, Visit
from tests.prove.year.rooms import Eye, Third

LATE_S: Final = (20.0, 120.0)  # after the last of them has left, presence goes
STANDBY_AFTER_S: Final = 10 * MINUTE
LOOKS_AGAIN_S: Final = 5 * MINUTE  # on average: heads turn, and are counted anew
MONTH_S: Final = 30 * 86400.0


class Said(NamedTuple):
    """What a device says of the people before it; None is -1, Unknown or not there at all."""

    people: int | None = None
    presence: bool | None = None
    in_use: bool | None = None
    calls: int = 0
    sharing: bool = False

    @property
    def somebody(self) -> bool:
        """Whether anything of it speaks for people."""
        return bool(self.people or self.presence or self.in_use or self.calls or self.sharing)


class Timeline(NamedTuple):
    """A value that changes: from each time on (s since 1970) the value beside it."""

    times: list[float]
    values: list[Said]

    def at(self, t: float) -> Said:
        """What it is then; before the first change, what it is at first."""
        return self.values[max(0, bisect_right(self.times, t) - 1)]

    def during(self, from_s: float, to_s: float) -> Sequence[Said]:
        """All that it was from then to then."""
        if from_s >= to_s:
            return ()
        first, last = bisect_right(self.times, from_s) - 1, bisect_left(self.times, to_s)
        return self.values[max(0, first) : last]


@dataclass(slots=True, kw_only=True)
class Seen:
    """A device's whole year."""

    eye: Eye
    asleep: Timeline  # as it went to standby and woke by itself
    awake: Timeline  # as it would say if it were kept awake
    faces: list[Span]  # when there was somebody in its view whom it could see, from the first on
    outages: list[Span] = field(default_factory=list)  # it cannot be reached
    reboots: list[Span] = field(default_factory=list)

    def spoke(self, line: Timeline, from_s: float, to_s: float) -> bool:
        """Whether it spoke for people of whom it could know: not only for a poster, or for who passes by."""
        said = line.during(from_s, to_s)
        if any(each.calls or each.sharing or (self.eye.ultrasound and each.presence) for each in said):
            return True
        first = bisect_right(self.faces, from_s, key=lambda span: span.to_s)
        last = bisect_left(self.faces, to_s, key=lambda span: span.from_s)
        return any(
            each.somebody
            for span in self.faces[first:last]
            for each in line.during(max(from_s, span.from_s), min(to_s, span.to_s))
        )


@dataclass(slots=True, kw_only=True)
class ThirdSeen:
    """Another sensor's whole year: whether somebody is there, or how many."""

    kind: Third
    changes: list[tuple[float, int]]
    away: list[Span] = field(default_factory=list)

    def spoke(self, from_s: float, to_s: float) -> bool:
        """Whether it spoke for people at any moment from then to then."""
        if any(span.from_s <= from_s and to_s <= span.to_s for span in self.away):
            return False
        first = max(0, bisect_right(self.changes, (from_s, 1 << 30)) - 1)
        last = bisect_left(self.changes, (to_s, -1))
        return any(value > 0 for _, value in self.changes[first:last])


# ── devices ───────────────────────────────────────────────────────────────────────────────────────


def watched(past: Past, number: int, *, seed: int) -> Seen:
    """What the room's `number`-th device made of it all."""
    eye = past.traits.eyes[number]
    luck = Random(f"{seed}/eye/{past.traits.number}/{number}")
    first = number == 0  # calls and sharing are its own
    calls = _steps((span.from_s, span.to_s) for span in past.calls) if first else []
    shares = _steps((span.from_s, span.to_s) for span in past.shares) if first else []
    seen = list(_heads(past, eye, luck))
    heads = [*seen, *_passing(past, eye, luck)]
    shutters = past.shutters if first else []
    bodies = _steps((v.from_s, v.to_s) for v in past.visits) if eye.ultrasound else []
    touched = [*past.calls, *past.shares] if first else []
    moved = _together(heads) if eye.wakes_on_motion else []
    wakes = _kept_awake([*touched, *moved], past, eye)
    changes = sorted(
        [
            *((t, "heads", n) for t, n in heads),
            *((t, "bodies", n) for t, n in bodies),
            *((t, "calls", n) for t, n in calls),
            *((t, "shares", n) for t, n in shares),
            *((t, "shut", n) for t, n in _steps((s.from_s, s.to_s) for s in shutters)),
            *((t, "awake", n) for t, n in _steps((s.from_s, s.to_s) for s in wakes)),
            *((t, "posters", n) for t, n in _posters(past, eye)),
        ]
    )
    asleep = _told(changes, eye, past.begins_s, Random(f"{luck.random()}"), awake=False)
    awake = _told(changes, eye, past.begins_s, Random(f"{luck.random()}"), awake=True)
    outages = list(_gaps(past, luck, eye.outages, (2 * MINUTE, 180 * MINUTE)))
    apart = [(each.from_s - MINUTE, each.to_s + MINUTE) for each in outages]
    reboots = [  # one that is out of reach does not come back because it was restarted meanwhile
        each
        for each in _gaps(past, luck, eye.reboots, (90.0, 200.0))
        if not any(from_s < each.to_s and each.from_s < to_s for from_s, to_s in apart)
    ]
    faces = _together(seen)
    return Seen(eye=eye, asleep=asleep, awake=awake, faces=faces, outages=outages, reboots=reboots)


def _steps(spans: Iterable[tuple[float, float]]) -> list[tuple[float, int]]:
    """One more from the beginning of each, one less from its end."""
    return [step for from_s, to_s in spans for step in ((from_s, 1), (to_s, -1))]


def _heads(past: Past, eye: Eye, luck: Random) -> Iterator[tuple[float, int]]:
    """How many more or fewer heads it sees, and when: they turn, they bend, they are looked for anew."""
    for visit in past.visits:
        yield from _counted(visit, eye, luck)


def _passing(past: Past, eye: Eye, luck: Random) -> Iterator[tuple[float, int]]:
    """People behind a glass wall, in working hours."""
    t = past.begins_s
    while eye.glass and (t := t + luck.expovariate(eye.glass / 3600.0)) < past.ends_s:
        if 7 <= t % 86400 / 3600 < 17 and (t // 86400 + 3) % 7 < 5:  # 1 January 1970 was a Thursday
            yield (t, 1)
            yield (t + luck.uniform(3, 20), -1)


def _counted(visit: Visit, eye: Eye, luck: Random) -> Iterator[tuple[float, int]]:
    t, before = visit.from_s, 0
    if visit.purpose is not Purpose.MEETS or visit.view > 0.5:
        t += luck.uniform(0, 8)  # until they are in the picture
    sees = visit.view * (1 - eye.misses)
    while t < visit.to_s:
        now = sum(luck.random() < sees for _ in range(visit.heads))
        if now != before:
            yield (t, now - before)
            before = now
        t += luck.expovariate(1 / LOOKS_AGAIN_S)
    if before:
        yield (visit.to_s, -before)


def _together(changes: list[tuple[float, int]]) -> list[Span]:
    """The spans in which there is somebody at all."""
    spans, count, since = [], 0, 0.0
    for t, by in sorted(changes):
        if count == 0 and by > 0:
            since = t
        count += by
        if count == 0:
            spans.append(Span(from_s=since, to_s=t))
    return spans


def _kept_awake(spans: list[Span], past: Past, eye: Eye) -> list[Span]:
    """When it is out of standby: ten minutes longer than anything is done or seen to move."""
    if eye.never_sleeps:
        return [Span(from_s=past.begins_s, to_s=past.ends_s)]
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.from_s):
        to_s = span.to_s + STANDBY_AFTER_S
        if merged and span.from_s <= merged[-1].to_s:
            merged[-1] = Span(from_s=merged[-1].from_s, to_s=max(to_s, merged[-1].to_s))
        else:
            merged.append(Span(from_s=span.from_s, to_s=to_s))
    return merged


def _posters(past: Past, eye: Eye) -> Iterator[tuple[float, int]]:
    if not eye.posters:
        return
    if not eye.dims:
        yield (past.begins_s, eye.posters)
        return
    day_s = past.begins_s
    while day_s < past.ends_s:
        yield (day_s + 7 * 3600, eye.posters)
        yield (day_s + 19 * 3600, -eye.posters)
        day_s += 86400


def _told(
    changes: list[tuple[float, str, int]], eye: Eye, begins_s: float, luck: Random, *, awake: bool
) -> Timeline:
    """The device's own conclusions. Presence comes at once and goes late; standby knows nothing."""
    now = dict.fromkeys(("heads", "bodies", "calls", "shares", "shut", "awake", "posters"), 0)
    times, values = [begins_s], [Said(in_use=False if eye.tells_use else None)]
    lingers_until: float | None = None  # presence is still told, though nobody is sensed
    present = False

    def say(t: float) -> None:
        nonlocal present, lingers_until
        on = awake or now["awake"] > 0
        open_ = not eye.shuttered and not now["shut"]
        sees = open_ and (on or eye.dozes)
        heads = now["heads"] + now["posters"] if sees else 0
        sensed = heads > 0 or now["bodies"] > 0
        knows = sees or eye.ultrasound
        if not knows:
            present, lingers_until = False, None
        elif sensed:
            present, lingers_until = True, None
        elif present and lingers_until is None:
            lingers_until = t + luck.uniform(*LATE_S)
        presence = (present or sensed) if knows else None
        counts = sees and on and (eye.counts_out_of_call or now["calls"] > 0)
        calls, sharing = now["calls"], now["shares"] > 0
        said = Said(
            people=heads if counts else None,
            presence=presence,
            in_use=bool(presence or calls or sharing) if eye.tells_use else None,
            calls=calls,
            sharing=sharing,
        )
        if said != values[-1]:
            times.append(t)
            values.append(said)

    for t, what, by in changes:
        if lingers_until is not None and lingers_until <= t:
            gone_s, lingers_until, present = lingers_until, None, False
            say(gone_s)
        now[what] += by
        say(t)
    if lingers_until is not None:
        present = False
        say(lingers_until)
    return Timeline(times, values)


def _gaps(past: Past, luck: Random, a_month: float, lasts_s: tuple[float, float]) -> Iterator[Span]:
    t = past.begins_s
    while (t := t + luck.expovariate(a_month / MONTH_S)) < past.ends_s:
        to_s = t + luck.uniform(*lasts_s)
        yield Span(from_s=t, to_s=to_s)
        t = to_s + MINUTE


# ── sensors that are not Cisco's ──────────────────────────────────────────────────────────────────


def noticed(past: Past, *, seed: int) -> ThirdSeen | None:
    """What the room's other sensor made of it, if it has one."""
    kind = past.traits.third
    if kind is None:
        return None
    luck = Random(f"{seed}/third/{past.traits.number}")
    match kind:
        case Third.MOTION:
            spans = [span for visit in past.visits for span in _motions(visit, luck)]
        case Third.RADAR:
            spans = [Span(from_s=v.from_s + 2, to_s=v.to_s + luck.uniform(10, 40)) for v in past.visits]
        case Third.COUNTER:
            return ThirdSeen(kind=kind, changes=list(_through_the_door(past, luck)), away=_dead(past, luck))
    changes = [(past.begins_s, 0)]
    for span in _merged(spans):
        changes += [(span.from_s, 1), (span.to_s, 0)]
    return ThirdSeen(kind=kind, changes=changes, away=_dead(past, luck))


def _motions(visit: Visit, luck: Random) -> Iterator[Span]:
    """It holds for a minute after the last movement that it saw."""
    t = visit.from_s
    while t < visit.to_s:
        yield Span(from_s=t, to_s=t + 60.0)
        t += luck.expovariate(visit.moves * min(visit.heads, 3) / 90.0)
    yield Span(from_s=visit.to_s, to_s=visit.to_s + 60.0)  # they get up


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.from_s):
        if merged and span.from_s <= merged[-1].to_s:
            merged[-1] = Span(from_s=merged[-1].from_s, to_s=max(span.to_s, merged[-1].to_s))
        else:
            merged.append(span)
    return merged


def _through_the_door(past: Past, luck: Random) -> Iterator[tuple[float, int]]:
    """Two who leave side by side are one to it; at night it begins anew at nobody."""
    events = sorted((t, by * v.heads) for v in past.visits for t, by in ((v.from_s, 1), (v.to_s, -1)))
    count, day = 0, -1
    yield (past.begins_s, 0)
    for t, by in events:
        if (today := int(t // 86400)) != day:
            day, count = today, 0
        missed = 1 if luck.random() < 0.03 else 0
        count = max(0, count + (by - missed if by > 0 else by + missed))
        yield (t, count)


def _dead(past: Past, luck: Random) -> list[Span]:
    """Days without a word: nobody has changed its battery."""
    a_month = past.traits.third_dies / 12
    return list(_gaps(past, luck, a_month, (86400.0, 12 * 86400.0)))
