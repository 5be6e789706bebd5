"""Counts what each way of judging got right and wrong, room by room, in numbers that can be added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from agent.core.facts import AttendanceFact, Fact, FactKind, ReleaseFact, UseFact
from agent.core.model import Judging, Outcome, Policy, ReleaseMode, Releasing, RoomId, Rules, SensorRules
from tests.prove.year.core import THIRD, Play, facts_by_booking
from tests.prove.year.people import DAYS, GHOSTS, MINUTE, NEVER, ZONE, Booked, Kind, Past, Purpose, lived
from tests.prove.year.rivals import PATIENCE, RIVALS, patient, released_at
from tests.prove.year.rooms import Traits, furnished
from tests.prove.year.sensors import noticed, watched
from tests.prove.year.truth import Release, Truth

ROOMD: Final = "roomd"
NO_VERDICT: Final = "no verdict"
BLIND_AT_MOST_S: Final = 150.0  # what a device said last counts so long when it is away
VERDICTS: Final = frozenset({FactKind.BOOKING_GHOST, FactKind.BOOKING_LEFT_EARLY, FactKind.BOOKING_JUDGED})


@dataclass(slots=True, kw_only=True)
class Score:
    """What became of a number of rooms; every number may be added to that of other rooms."""

    rooms: int = 0
    bookings: int = 0
    ghosts: int = 0  # in truth
    steps: int = 0
    ignored: int = 0
    faults: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)  # "kind of booking|verdict|signs or none"
    releases: Counter[str] = field(default_factory=Counter)  # "rule|patience|release|kind of booking"
    unbooked: Counter[str] = field(default_factory=Counter)
    wrongs: list[str] = field(default_factory=list)  # promises broken
    samples: dict[str, list[str]] = field(default_factory=dict)  # some of each kind, to look at

    def add(self, other: Score) -> None:
        """Take another's numbers in."""
        for name in ("rooms", "bookings", "ghosts", "steps", "ignored", "faults"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.verdicts += other.verdicts
        self.releases += other.releases
        self.unbooked += other.unbooked
        self.wrongs += other.wrongs
        for what, where in other.samples.items():
            self.samples[what] = [*self.samples.get(what, ()), *where][:8]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Score:
        """Read back."""
        counters = {name: Counter(said[name]) for name in ("verdicts", "releases", "unbooked")}
        return cls(**{**said, **counters})

    def sample(self, what: str, where: str) -> None:
        """Remember one to look at."""
        found = self.samples.setdefault(what, [])
        if len(found) < 3:
            found.append(where)

    def released(self, rule: str, patience: int, *what: Release) -> int:
        """How many of its releases were so."""
        return sum(
            count
            for key, count in self.releases.items()
            if (said := key.split("|"))[:2] == [rule, str(patience)] and said[2] in what
        )

    def judged(self, *outcomes: str, ghosts: bool | None = None, kinds: Iterable[Kind] | None = None) -> int:
        """How many bookings were given one of these verdicts."""
        wanted = None if kinds is None else {str(kind) for kind in kinds}
        of_ghosts = {str(kind) for kind in GHOSTS}
        return sum(
            count
            for key, count in self.verdicts.items()
            if (said := key.split("|"))[1] in outcomes
            and (ghosts is None or (said[0] in of_ghosts) is ghosts)
            and (wanted is None or said[0] in wanted)
        )


def policy_of(traits: Traits, *, release: bool) -> Policy:
    """What the site wants of the room: as roomd has it where nobody configures anything."""
    rules = Rules(
        capacity=traits.seats,
        judging=Judging(),
        releasing=Releasing(mode=ReleaseMode.ON if release else ReleaseMode.OFF),
        sensors=() if traits.third is None else (SensorRules(id=THIRD),),
    )
    return Policy(
        timezone=ZONE,
        relist_every=timedelta(hours=12),  # every hint is heard here
        tell_use=traits.number % 2 == 0,  # every three minutes while somebody is there: half of them show it
        rooms={RoomId(traits.name): rules},
    )


def scored(number: int, *, seed: int, days: int = DAYS, release: bool = True, rivals: bool = True) -> Score:
    """One room's year, judged by everybody."""
    traits = furnished(seed, number)
    past = lived(traits, seed=seed, days=days)
    seen = [watched(past, eye, seed=seed) for eye in range(len(traits.eyes))]
    third = noticed(past, seed=seed)
    truth = Truth(past, seen, third)
    score = Score(rooms=1, bookings=len(past.bookings), faults=traits.faults)
    score.ghosts = sum(truth.ghost(booked) for booked in past.bookings)
    rivals = rivals and bool(seen)
    _judge(score, truth, seed=seed)
    if release:
        _release(score, truth, seed=seed)
    if rivals:
        for rule in RIVALS:
            for times in PATIENCE:
                for booked in past.bookings:
                    at_s = released_at(patient(rule, times), booked, seen[0], truth)
                    if at_s is not None:
                        what = truth.released(booked, at_s)
                        score.releases[f"{rule.name}|{times}|{what}|{booked.kind}"] += 1
    return score


def _judge(score: Score, truth: Truth, *, seed: int) -> None:
    past = truth.past
    play = Play(truth, policy=policy_of(past.traits, release=False), seed=seed)
    play.run()
    _take_over(score, play)
    told = facts_by_booking(play.told)
    for booked in past.bookings:
        finals = [
            each.fact
            for each in told.get(booked.number, ())
            if isinstance(each.fact, AttendanceFact) and each.fact.kind in VERDICTS
        ]
        where = f"{past.traits.name} booking {booked.number} ({booked.kind})"
        if len(finals) > 1:
            score.wrongs.append(f"{where} was judged {len(finals)} times")
        verdict = str(finals[-1].attendance.outcome) if finals else NO_VERDICT
        signs = "signs" if truth.signs(booked, booked.ends_s) else "none"
        score.verdicts[f"{booked.kind}|{verdict}|{signs}"] += 1
        if verdict == Outcome.GHOST and past.traits.third is None:
            blind_s = truth.blind_s(booked, play.restarted)
            if blind_s > BLIND_AT_MOST_S:
                score.wrongs.append(
                    f"{where} {_when(booked)}: judged a ghost, and nobody could tell for {blind_s:.0f} s"
                )
        score.sample(f"{booked.kind}|{verdict}|{signs}", f"{where} {_when(booked)}")
    _unbooked(score, past, [each.fact for each in play.told])


def _unbooked(score: Score, past: Past, facts: list[Fact]) -> None:
    """Walk-ins that were told, and those that were not."""
    told = [
        (fact.use.since.timestamp(), fact.until.timestamp()) for fact in facts if isinstance(fact, UseFact)
    ]
    walks = [
        (visit.from_s, visit.to_s)
        for visit in past.visits
        if visit.purpose is Purpose.WALKS_IN and visit.to_s - visit.from_s > 12 * MINUTE
    ]
    for from_s, to_s in walks:
        found = any(a < to_s and from_s < b for a, b in told)
        score.unbooked["found" if found else "missed"] += 1
    people = [(v.from_s, v.to_s) for v in past.visits] + [(c.from_s, c.to_s) for c in past.calls]
    for from_s, to_s in told:
        if not any(a < to_s and from_s < b for a, b in people):
            score.unbooked["nobody was there"] += 1
            score.sample("used unbooked by nobody", f"{past.traits.name} {_clock(from_s)} to {_clock(to_s)}")


def _release(score: Score, truth: Truth, *, seed: int) -> None:
    past = truth.past
    play = Play(truth, policy=policy_of(past.traits, release=True), seed=seed)
    play.run()
    _take_over(score, play)
    told: dict[int, list[float]] = {}
    for each in play.told:
        if isinstance(each.fact, ReleaseFact):
            score.releases[f"{ROOMD} told|1|{each.fact.kind}|{each.fact.cause}"] += 1
            if each.fact.kind is FactKind.BOOKING_RELEASED and each.booking is not None:
                told.setdefault(each.booking, []).append(each.at_s)
    for number, at_s in play.ordered_s.items():  # like the rivals: by what could be known when it was done
        booked = past.bookings[number]
        what = truth.released(booked, at_s, play.heard)
        where = f"{past.traits.name} booking {number} ({booked.kind}) {_when(booked)}, at {_clock(at_s)}"
        score.releases[f"{ROOMD}|1|{what}|{booked.kind}"] += 1
        score.sample(f"released: {what}", where)
        if what is Release.SEEN:
            score.wrongs.append(f"{where}: released, though somebody was seen")
        if number not in told:
            score.sample("released and never told", where)
            score.releases[f"{ROOMD} told|1|never told|None"] += 1
    for number, at in told.items():
        where = f"{past.traits.name} booking {number} {_when(past.bookings[number])}"
        gone_s = play.released_s.get(number, NEVER)
        deleted_s = past.bookings[number].deleted_s
        if len(at) > 1:
            score.wrongs.append(f"{where}: told {len(at)} times that it was released")
        if at[0] < min(gone_s, deleted_s):
            score.wrongs.append(f"{where}: told as released, and it stood")


def _take_over(score: Score, play: Play) -> None:
    score.steps += play.steps
    score.ignored += play.ignored
    score.wrongs += play.wrongs


def _when(booked: Booked) -> str:
    return f"{_clock(booked.starts_s)} to {_clock(booked.ends_s)[-5:]}"


def _clock(t: float) -> str:
    return f"{datetime.fromtimestamp(t, tz=UTC):%m-%d %H:%M}"
