"""Whether anybody is in a room: which words of its devices and sensors count, and which are habit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from agent.core.events import PeopleCounted
from agent.core.model import (
    DeviceId,
    DevicePhase,
    EvidenceKind,
    Occupancy,
    Room,
    Rules,
    Seen,
    SensorId,
    Watch,
)
from agent.core.occupancy import witnesses
from agent.core.renewing import replace

CLEARS_LATE = timedelta(seconds=120)  # a device tells that the last of them has left by then at the latest
SAME_COUNT = timedelta(hours=8)  # nobody's heads: people come, go, and leave the picture
SAME_WORD = timedelta(hours=12)  # presence, a call or a cable left in a laptop, day and night
PICTURE_GONE = timedelta(days=4)  # a poster is not seen in the dark of a long weekend either
BLIND_FOR = timedelta(hours=24)  # who has not told presence for so long does not tell it any more

NEVER = datetime.max.replace(tzinfo=UTC)

DELIBERATE = frozenset({EvidenceKind.CALL, EvidenceKind.SHARING})  # nobody does that in passing

Sign = tuple[EvidenceKind, str]


# ── looking ───────────────────────────────────────────────────────────────────────────────────────


def look(room: Room, *, heard: DeviceId | SensorId | None, now: datetime) -> Watch:
    """What is noticed of people now; the same object if nothing is new.

    `heard` has just said something of people, if anybody has.
    """
    before = room.watch
    says = witnesses(room, now=now)
    seen: Mapping[str, Seen] = {
        who: after
        for who in _who(room)
        if (
            after := _remembered(
                before.seen.get(who), says.get(who), now, ours=who in room.devices, anew=who == heard
            )
        )
    }
    if seen == before.seen:
        seen = before.seen
    there = _there(room, seen, says, now)
    if seen is before.seen and there is before.there and before.there_since is not None:
        return before
    since = before.there_since if there is before.there and before.there_since is not None else now
    return replace(before, seen=seen, there=there, there_since=since, looked_at=now)


def recount(before: Room, room: Room, event: PeopleCounted, *, now: datetime) -> Watch | None:
    """What `look` notices where the only witness counts more people than before, or fewer, and still some.

    That is most of what a busy site says, and a small part of what there is to look at. None: look.
    """
    watch = room.watch
    known, state = watch.seen.get(event.device), room.devices.get(event.device)
    said, says = before.sensors.get(event.device), room.sensors.get(event.device)
    only = len(watch.seen) == 1 and not room.third_party and state is not None and state.use is None
    if known is None or said is None or says is None or not only or watch.there is not True:
        return None
    if not known.anew or known.picture is not None or EvidenceKind.PEOPLE not in known.up:
        return None
    counts = said.people and says.people and known.people == said.people != says.people
    if not counts or state is None or state.phase is not DevicePhase.CONNECTED:
        return None
    seen = replace(known, people=says.people, same_since=now)
    return replace(watch, seen={event.device: seen}, looked_at=now)


def _who(room: Room) -> Iterator[DeviceId | SensorId]:
    """All that may say something of people."""
    yield from room.devices
    yield from room.third_party


def _remembered(
    known: Seen | None, said: Occupancy | None, now: datetime, *, ours: bool, anew: bool
) -> Seen | None:
    if known is None:
        return None if said is None else _seen(Seen(), said, now, ours=ours)
    if anew and not known.anew:
        known = replace(known, anew=True)
    return _seen(known, said if known.anew else None, now, ours=ours)


def _seen(known: Seen, said: Occupancy | None, now: datetime, *, ours: bool) -> Seen:
    if said is None:  # it is away: what stood stands no more, and what it was used to say is not forgotten
        return replace(known, up={}, same_since=None) if known.up or known.same_since else known
    people, same_since, picture, pictured_at = _counted(known, said.people, now)
    signs = _signs(said, picture or 0)
    up = {kind: known.up.get(kind, now) for kind, is_up in signs.items() if is_up}
    steady: Mapping[EvidenceKind, datetime] = {
        kind: known.steady.get(kind, now)
        for kind, is_up in signs.items()
        if kind is not EvidenceKind.PEOPLE and (is_up or (is_up is None and kind in known.steady))
    }
    tells = _tells(said, ours=ours) is not None
    seen = replace(
        known,
        up=known.up if up == known.up else up,
        steady=known.steady if steady == known.steady else steady,
        people=people,
        same_since=same_since,
        picture=picture,
        pictured_at=pictured_at,
        tells=known.tells or tells,
        blind_since=None if tells or not known.tells else known.blind_since or now,
    )
    return known if seen == known else seen


def _counted(
    known: Seen, count: int | None, now: datetime
) -> tuple[int | None, datetime | None, int | None, datetime | None]:
    """What it counts, since when it is the same, how many are pictures, and when so many were last seen.

    A number that never changes is no people's. What is known of pictures stays known while a camera sleeps;
    but nothing is learnt then: whoever was counted last may be at home, and who comes first in the morning
    is no poster.
    """
    if count is None and known.people is None:
        return None, None, known.picture, known.pictured_at
    people = known.people if count is None else count
    since = known.same_since if count is not None and people == known.people else None
    if since is None and count is not None:
        since = now
    picture, pictured_at = known.picture, known.pictured_at
    if people and people > (picture or 0) and since is not None and since + SAME_COUNT <= now:
        picture = people
    if picture is None or (people or 0) >= picture:
        pictured_at = None
    elif pictured_at is None:
        pictured_at = now
    elif pictured_at + PICTURE_GONE <= now:
        picture = pictured_at = None
    return people, since, picture, pictured_at


def _signs(said: Occupancy, pictures: int) -> Mapping[EvidenceKind, bool | None]:
    """Each sign of people: yes, no, or unknown. In use is one only where no other of them explains it."""
    explained = said.presence or said.in_call or said.sharing
    return {
        EvidenceKind.PEOPLE: None if said.people is None else said.people > pictures,
        EvidenceKind.PRESENCE: said.presence,
        EvidenceKind.IN_USE: None if said.in_use and explained else said.in_use,
        EvidenceKind.CALL: said.in_call,
        EvidenceKind.SHARING: said.sharing,
    }


def _tells(said: Occupancy, *, ours: bool) -> bool | None:
    """Whether this one would know of anybody: then, whether it does.

    Of a device presence alone is the word for that: a count of 0 means nobody in the picture, and a room that
    is not in use has people in it who only talk. A sensor of somebody else's says what it is made to say.
    """
    if ours:
        return said.presence
    known = (None if said.people is None else said.people > 0, said.presence, said.in_use)
    told = [each for each in known if each is not None]
    return any(told) if told else None


# ── what counts ───────────────────────────────────────────────────────────────────────────────────


def standing(watch: Watch, *, now: datetime) -> Iterator[tuple[Sign, datetime]]:
    """Every sign of people that stands now and is believed, and since when it has without a pause."""
    for who, seen in watch.seen.items():
        for kind, since in seen.up.items():
            if _believed(seen, kind, now):
                yield (kind, who), since


def _believed(seen: Seen, kind: EvidenceKind, now: datetime) -> bool:
    since = seen.steady.get(kind)
    return since is None or since + SAME_WORD > now


def _there(
    room: Room, seen: Mapping[str, Seen], says: Mapping[DeviceId | SensorId, Occupancy], now: datetime
) -> bool | None:
    """Whether anybody is there: yes by any sign; no if one says so who would know, and none such is away."""
    empty = away = False
    for who in _who(room):
        known = seen.get(who)
        if known is None:
            continue
        if any(_believed(known, kind, now) for kind in known.up):
            return True
        said = says.get(who) if known.anew else None
        if said is None:
            away = away or known.tells
            continue
        told = _tells(said, ours=who in room.devices)
        if told is False:
            empty = True
        elif told is None and known.tells and known.blind_since is not None:
            away = away or known.blind_since + BLIND_FOR > now
    return False if empty and not away else None


def people(watch: Watch, room: Room, *, now: datetime) -> int | None:
    """How many people are counted, without pictures of people; None: nobody counts, or nothing but those."""
    for who, said in witnesses(room, now=now).items():
        if said.people is not None:
            known = watch.seen.get(who)
            pictures = (known.picture if known is not None else None) or 0
            return None if 0 < pictures >= said.people else said.people - pictures
    return None


def believed_until(watch: Watch) -> Iterator[tuple[Sign, datetime, datetime]]:
    """Every sign of people that stands, since when it has, and until when it is believed if it goes on."""
    for who, seen in watch.seen.items():
        for kind, since in seen.up.items():
            steady = seen.steady.get(kind)
            yield (kind, who), since, NEVER if steady is None else steady + SAME_WORD


def lasts_until(
    sign: Sign, since: datetime, starts_at: datetime, rules: Rules, devices: Collection[str]
) -> datetime:
    """When a sign that stands since then is somebody's coming: no passer-by, and nobody's leaving.

    What stood already when the booking began has to last as long from there.
    """
    if sign[0] in DELIBERATE and since >= starts_at:
        return since
    return max(since, starts_at) + lasts_after(sign, rules, devices)


def lasts_after(sign: Sign, rules: Rules, devices: Collection[str]) -> timedelta:
    """How long a sign has to stand to be somebody who stays; a word that clears late stands the longer."""
    kind, who = sign
    if kind in DELIBERATE or (kind is EvidenceKind.PEOPLE and who in devices):
        return rules.judging.people_for
    late = max((each.clears_after for each in rules.sensors if each.id == who), default=CLEARS_LATE)
    return rules.judging.people_for + max(late, CLEARS_LATE)


# ── gaps and clocks ───────────────────────────────────────────────────────────────────────────────


def look_away(watch: Watch, *, now: datetime) -> Watch:
    """The same when the agent starts: nobody has looked for a while, and each is to be heard anew."""
    if watch.there_since is None:
        return watch
    looked_at = min(watch.looked_at or watch.there_since, now)
    return replace(
        watch,
        seen={
            who: replace(
                seen,
                up={},
                steady={kind: min(since, now) for kind, since in seen.steady.items()},
                same_since=None,  # nobody knows what it counted meanwhile
                blind_since=_past(seen.blind_since, now),
                pictured_at=_past(seen.pictured_at, now),
                anew=False,
            )
            for who, seen in watch.seen.items()
        },
        there=None,
        there_since=looked_at,
        looked_at=looked_at,
    )


def _past(instant: datetime | None, now: datetime) -> datetime | None:
    return None if instant is None else min(instant, now)


def look_shifted(watch: Watch, by: timedelta) -> Watch:
    """The same after the clock jumped: what is running runs on."""
    if watch.there_since is None:
        return watch

    def moved(instant: datetime | None) -> datetime | None:
        return None if instant is None else instant + by

    return replace(
        watch,
        seen={
            who: replace(
                seen,
                up={kind: since + by for kind, since in seen.up.items()},
                steady={kind: since + by for kind, since in seen.steady.items()},
                blind_since=moved(seen.blind_since),
                same_since=moved(seen.same_since),
                pictured_at=moved(seen.pictured_at),
            )
            for who, seen in watch.seen.items()
        },
        there_since=watch.there_since + by,
        looked_at=moved(watch.looked_at),
    )
