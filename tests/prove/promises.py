"""Judges commands and holds: what was ordered and pressed against what was answered, told and on screens."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from tests.prove.cloud import FINAL
from tests.prove.recorder import Event
from tests.prove.timeline import LED, Span, Wellness

# All of these in seconds in which roomd runs and has a conversation with the device. The contract's sixty
# seconds stand for an installation's rests and repeats; where `PROVE_HURRY` has shortened those, it is these.
OFF_WITHIN_S: Final = 10.0  # of its end
SOON_S: Final = 3.0  # a request that was on its way at the end of a hold may still come
SHOWN_WITHIN_S: Final = 12.0
CLOCKS_S: Final = 0.5  # between the wall clock in facts and the steady one of the timeline

LIFE: Final = re.compile("P[SE]*(AD|D|F)")
OPEN_LIFE: Final = re.compile("P[SE]*")
LETTERS: Final = {
    "hold.placed": "P",
    "hold.shown": "S",
    "hold.extended": "E",
    "hold.answered": "A",
    "hold.ended": "D",
    "hold.failed": "F",
}

Json = Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Order:
    """A command as it was given, however often."""

    id: str
    room: str
    name: str
    arguments: Json
    copies: int = 0  # that a broker has acknowledged, or may have

    @property
    def hold(self) -> str:
        return str(self.arguments.get("hold_id", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """Somebody chose an answer on a screen."""

    room: str
    text: str  # above it
    answer: str
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything that is judged. Times are monotonic unless they stand in facts and answers."""

    orders: Sequence[Order]
    presses: Sequence[Press]
    answers: Sequence[Json]
    events: Sequence[Event]
    spans: Sequence[Span]
    well: Mapping[str, Wellness]
    until_s: float
    wall_s: float  # what the wall clock is ahead of the steady one
    booked: Mapping[str, Sequence[str]] = field(
        default_factory=dict
    )  # room: titles, each time one was booked
    lasts_min: Mapping[str, float] = field(
        default_factory=dict
    )  # title: minutes, of what is booked in the end
    breaks: int = 0  # of connections and of the process: each may have an answer repeated
    disturbed: frozenset[str] = frozenset()  # rooms where something else is on the screens
    forgotten: frozenset[str] = frozenset()  # holds that were lost with a database: they end untold


@dataclass(slots=True, kw_only=True)
class Life:
    """A hold from one `placed` to its end, as facts tell it."""

    hold: str
    facts: list[Event]

    @property
    def placed_s(self) -> float:
        return _at(self.facts[0].body["recordedtime"])

    @property
    def over(self) -> Event | None:
        last = self.facts[-1]
        return last if last.kind in {"hold.ended", "hold.failed"} else None

    @property
    def answered(self) -> Event | None:
        return next((fact for fact in self.facts if fact.kind == "hold.answered"), None)


def judge(record: Record) -> list[str]:
    """What is wrong, in words; nothing if everything was kept."""
    wrongs = _answers(record) + _bookings(record)
    lives = _lives(record, wrongs)
    placements = _placements(record, lives, wrongs)
    wrongs += _pressed(record, placements)
    wrongs += _screens(record, placements)
    wrongs += _lights(record, lives)
    return wrongs


# ── commands ──────────────────────────────────────────────────────────────────────────────────────


def _answers(record: Record) -> list[str]:
    wrongs: list[str] = []
    came: dict[str, list[Json]] = defaultdict(list)
    for answer in record.answers:
        came[answer["command_id"]].append(answer)
    known = {order.id for order in record.orders}
    wrongs += [f"{id_}: an answer to a command that nobody gave" for id_ in came if id_ not in known]
    for order in record.orders:
        answers = came.get(order.id, [])
        final = [answer for answer in answers if answer["status"] in FINAL]
        if not final:
            so_far = [answer["status"] for answer in answers]
            wrongs.append(f"{order.room}: {order.name} {order.id} has no final answer, only {so_far}")
            continue
        different = {(a["status"], a["reason"], a["at"], str(a["result"])) for a in final}
        if len(different) > 1:
            told = sorted(f"{status} at {at}: {reason}" for status, reason, at, _ in different)
            wrongs.append(f"{order.room}: {order.name} {order.id} has {len(different)} final answers: {told}")
        allowed = order.copies + record.breaks + 1
        if len(final) > allowed:
            wrongs.append(f"{order.room}: {order.name} {order.id} was answered {len(final)} times")
    return wrongs


def statuses(record: Record) -> Mapping[str, str]:
    """Command: its first final answer."""
    found: dict[str, str] = {}
    for answer in record.answers:
        if answer["status"] in FINAL:
            found.setdefault(answer["command_id"], answer["status"])
    return found


def _bookings(record: Record) -> list[str]:
    wrongs: list[str] = []
    said = statuses(record)
    booked = {room: Counter(titles) for room, titles in record.booked.items()}
    for order in record.orders:
        if order.name == "booking.book" or order.arguments.get("book"):
            times = booked.get(order.room, Counter())[order.arguments["title"]]
            status = said.get(order.id)
            if times > 1:
                wrongs.append(f"{order.room}: {order.name} {order.id} was booked {times} times")
            elif status == "done" and not times:
                wrongs.append(f"{order.room}: {order.name} {order.id} is done, and the device was not asked")
            elif status in {"refused", "expired"} and times:
                wrongs.append(f"{order.room}: {order.name} {order.id} is {status}, and was booked")
    return wrongs + _extended(record, said)


def _extended(record: Record, said: Mapping[str, str]) -> list[str]:
    """Each `booking.extend` has made its booking longer once, or not at all where it is not `done`."""
    titles = {
        answer["result"]["key"]: order.arguments["title"]
        for order in record.orders
        for answer in record.answers
        if order.name == "booking.book" and answer["command_id"] == order.id and answer["status"] == "done"
    }
    given = {
        order.arguments.get("title"): float(order.arguments.get("duration_min", 0)) for order in record.orders
    }
    least, most = dict(given), dict(given)
    for order in record.orders:
        if order.name == "booking.extend":
            title = titles[order.arguments["key"]]
            most[title] += order.arguments["by_min"]
            least[title] += order.arguments["by_min"] if said.get(order.id) == "done" else 0.0
    return [
        f"{title} lasts {minutes:g} minutes, and should {least[title]:g} to {most[title]:g}"
        for title, minutes in record.lasts_min.items()
        if title in given and not least[title] <= minutes <= most[title]
    ]


# ── what the cloud was told ───────────────────────────────────────────────────────────────────────


def _lives(record: Record, wrongs: list[str]) -> list[Life]:
    by_hold: dict[tuple[str, str], list[Event]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    for event in record.events:
        if event.kind in LETTERS and (event.source, event.id) not in seen:
            seen.add((event.source, event.id))
            by_hold[event.stream, event.body["subject"]].append(event)
    lives: list[Life] = []
    for (stream, hold), facts in by_hold.items():
        told = "".join(LETTERS[fact.kind] for fact in facts)
        at = 0
        while at < len(told):
            match = LIFE.match(told, at) or OPEN_LIFE.match(told, at)
            if match is None:
                wrongs.append(f"{stream}: hold {hold} is told as {[fact.kind for fact in facts]}")
                break
            life = Life(hold=hold, facts=facts[at : match.end()])
            lives.append(life)
            at = match.end()
            if life.over is None and hold not in record.forgotten:
                wrongs.append(f"{stream}: hold {hold} has no end: {[fact.kind for fact in life.facts]}")
    return lives


def _placements(record: Record, lives: Sequence[Life], wrongs: list[str]) -> list[tuple[Order, Life]]:
    """Which command brought which life: one for each that was done, in their order."""
    at = {
        answer["command_id"]: answer["at"] for answer in record.answers if answer["status"] in FINAL
    }  # an errand's later answer keeps the order, as holds of a room do not overlap
    said = statuses(record)
    orders: dict[str, list[Order]] = defaultdict(list)
    for order in record.orders:
        if order.name == "hold.place" and said.get(order.id) in {"done", "failed"}:
            orders[order.hold].append(order)
    of_hold: dict[str, list[Life]] = defaultdict(list)
    for life in lives:
        of_hold[life.hold].append(life)
    found: list[tuple[Order, Life]] = []
    for hold in sorted({*orders, *of_hold}):
        given = sorted(orders[hold], key=lambda order: at[order.id])
        done = [order for order in given if said[order.id] == "done"]
        if not len(done) <= len(of_hold[hold]) <= len(given):
            wrongs.append(f"hold {hold} was placed {len(of_hold[hold])} times by {len(done)} commands")
        found += zip(given, of_hold[hold], strict=False)
    wrongs += _turns(record, lives)
    return found


def _turns(record: Record, lives: Sequence[Life]) -> list[str]:
    """Extended and cancelled no more often than it was ordered, and as often as was answered `done`."""
    said = statuses(record)
    cancelled: Counter[str] = Counter()
    extended: Counter[str] = Counter()
    for life in lives:
        extended[life.hold] += sum(fact.kind == "hold.extended" for fact in life.facts)
        if life.over is not None and life.over.body["data"]["cause"] == "cancelled":
            cancelled[life.hold] += 1
    wrongs: list[str] = []
    for name, told in (("hold.cancel", cancelled), ("hold.extend", extended)):
        done = Counter(o.hold for o in record.orders if o.name == name and said.get(o.id) == "done")
        wrongs += [
            f"hold {hold}: {name} done {done[hold]} times, and told {told[hold]} times"
            for hold in sorted({*done, *told})
            if told[hold] != done[hold]
        ]
    return wrongs


def _pressed(record: Record, placements: Iterable[tuple[Order, Life]]) -> list[str]:
    wrongs: list[str] = []
    for order, life in placements:
        text = order.arguments["text"]
        pressed = [press for press in record.presses if press.room == order.room and press.text == text]
        answered, over = life.answered, life.over
        if answered is not None and answered.body["data"]["answer"] not in {p.answer for p in pressed}:
            chosen = answered.body["data"]["answer"]
            wrongs.append(f"{order.room}: hold {life.hold} was answered {chosen!r}, and nobody chose that")
        if answered is not None or over is None:
            continue
        over_s = _at(over.body["time"]) - record.wall_s
        heard = [p for p in pressed if _heard(record, order.room, p.at_s, over_s)]
        if heard:
            wrongs.append(f"{order.room}: hold {life.hold} was answered {heard[0].answer!r} and not so told")
    return wrongs


def _heard(record: Record, room: str, press_s: float, over_s: float) -> bool:
    """Whether it was pressed before the end, and roomd was there then and for a while."""
    well = record.well[room]
    after_s = min(press_s + SOON_S, over_s)
    return after_s - press_s >= SOON_S and well.between(press_s - 0.2, after_s) >= SOON_S


# ── what was on the screens ───────────────────────────────────────────────────────────────────────


def _screens(record: Record, placements: Sequence[tuple[Order, Life]]) -> list[str]:
    wrongs: list[str] = []
    offset_s = record.wall_s
    mine: dict[tuple[str, str], list[Span]] = defaultdict(list)
    for span in record.spans:
        mine[span.room, span.thing.text].append(span)
    ours: dict[str, list[Span]] = defaultdict(list)
    for order, life in placements:
        text = order.arguments["text"]
        spans = mine.pop((order.room, text), [])
        ours[order.room] += spans
        placed_s, over = life.placed_s - offset_s, life.over
        ends_s = _at(life.facts[-1].body["data"]["ends_at"])  # of a forgotten one
        over_s = (ends_s if over is None else _at(over.body["time"])) - offset_s
        told_s = record.until_s if over is None else _at(over.body["recordedtime"]) - offset_s
        wrongs += _times(record, order.room, life.hold, spans, placed_s, over_s, told_s)
        names = {span.thing.name for span in spans if span.thing.kind == "Prompt"}
        if len(names) > 1:
            wrongs.append(f"{order.room}: hold {life.hold} was shown under {len(names)} names")
        if order.room not in record.disturbed and life.hold:
            gap_s = _unseen(record, order, life, spans, placed_s, over_s)
            if gap_s > SHOWN_WITHIN_S:
                wrongs.append(f"{order.room}: hold {life.hold} was not on the screen for {gap_s:.1f} s")
    said = statuses(record)
    for order in record.orders:
        if order.name == "hold.place" and mine.get((order.room, order.arguments["text"])):
            status = said.get(order.id)
            wrongs.append(f"{order.room}: {order.id} is {status}, was not told, and was on the screen")
    for room, spans in ours.items():
        wrongs += _side_by_side(record, room, spans)
    return wrongs


def _times(
    record: Record,
    room: str,
    hold: str,
    spans: Iterable[Span],
    placed_s: float,
    over_s: float,
    told_s: float,
) -> list[str]:
    wrongs: list[str] = []
    well = record.well[room]
    for span in spans:
        to_s = record.until_s if span.to_s is None else span.to_s
        where = f"{room}: hold {hold} on the {span.thing.surface}"
        if span.from_s < placed_s - CLOCKS_S:
            wrongs.append(f"{where}: shown before it was on disk")
        late_s = well.between(max(span.from_s, over_s), to_s)
        if to_s > over_s and late_s > OFF_WITHIN_S:
            wrongs.append(f"{where}: still there {late_s:.1f} s after its end")
        again_s = well.between(told_s, span.from_s)
        if span.from_s > told_s and again_s > SOON_S:
            wrongs.append(f"{where}: shown again {again_s:.1f} s after its end")
    return wrongs


def _unseen(
    record: Record, order: Order, life: Life, spans: Sequence[Span], placed_s: float, over_s: float
) -> float:
    """The longest that it was on none of its surfaces, in well seconds."""
    well = record.well[order.room]
    starts = order.arguments.get("starts_at")
    from_s = max(placed_s, _at(starts) - record.wall_s) if starts else placed_s
    if order.arguments.get("surfaces") == [LED.lower()]:
        return 0.0
    longest_s, seen_until_s = 0.0, from_s
    for span in sorted(spans, key=lambda span: span.from_s):
        longest_s = max(longest_s, well.between(seen_until_s, min(span.from_s, over_s)))
        seen_until_s = max(seen_until_s, record.until_s if span.to_s is None else span.to_s)
    return max(longest_s, well.between(seen_until_s, over_s) if seen_until_s < over_s else 0.0)


def _side_by_side(record: Record, room: str, spans: Sequence[Span]) -> list[str]:
    """Two of ours at once, on whichever surfaces: other words, or another name."""
    well = record.well[room]
    ordered = sorted(spans, key=lambda span: span.from_s)
    wrongs: list[str] = []
    for number, one in enumerate(ordered):
        one_to_s = record.until_s if one.to_s is None else one.to_s
        for other in ordered[number + 1 :]:
            if other.from_s >= one_to_s:
                break
            alike = one.thing.text == other.thing.text and one.thing.name == other.thing.name
            other_to_s = record.until_s if other.to_s is None else other.to_s
            both_s = well.between(other.from_s, min(one_to_s, other_to_s))
            if not alike and both_s > SOON_S:
                words = f"{one.thing.text!r} and {other.thing.text!r}"
                wrongs.append(f"{room}: side by side for {both_s:.1f} s: {words}")
    return wrongs


def _lights(record: Record, lives: Sequence[Life]) -> list[str]:
    """No light is coloured by hand while no hold stands."""
    wrongs: list[str] = []
    offset_s = record.wall_s
    for span in record.spans:
        if span.thing.kind != LED:
            continue
        well = record.well[span.room]
        to_s = record.until_s if span.to_s is None else span.to_s
        dark_s, at_s = 0.0, span.from_s  # without a hold, at the longest; how far we have looked
        for life in sorted((x for x in lives if x.facts[0].stream == f"rooms/{span.room}"), key=_placed):
            over = life.over
            over_s = record.until_s if over is None else _at(over.body["time"]) - offset_s
            dark_s = max(dark_s, well.between(at_s, min(to_s, life.placed_s - offset_s)))
            at_s = max(at_s, min(to_s, over_s))
        dark_s = max(dark_s, well.between(at_s, to_s))
        if dark_s > OFF_WITHIN_S:
            wrongs.append(f"{span.room}: the light was coloured for {dark_s:.1f} s without a hold")
    return wrongs


def _placed(life: Life) -> float:
    return life.placed_s


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
