"""Judges what reached the subscriber against what roomd had promised on its disk; counts for itself."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.prove.recorder import Event

FILE: Final = "roomd.db"
ANSWERS: Final = "/responses"  # end of the streams that carry no numbers; `promises` judges answers
SHOWN_AT_MOST: Final = 4

StreamOfEpoch = tuple[str, str]  # epoch, stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What a database says that it has promised."""

    epochs: tuple[str, ...]  # the last is the one that counts now
    counts: Mapping[StreamOfEpoch, int]  # numbers 1 to this
    payloads: Mapping[tuple[str, str], bytes]  # stream, id: what is still there, acknowledged or not
    pending: frozenset[tuple[str, str]]  # stream, id: not acknowledged

    @property
    def facts(self) -> int:
        return sum(self.counts.values())


@dataclass(slots=True, kw_only=True)
class Judgement:
    """What was found."""

    facts: int = 0
    lost: int = 0
    told: int = 0  # given up, and the cloud was told which
    repeated: int = 0
    out_of_order: int = 0
    changed: int = 0  # repeats that are not the same bytes
    wrongs: list[str] = field(default_factory=list)


def read(state: Path) -> Accepted:
    """Reads the database beside a running daemon or without one. Raises sqlite3.Error, FileNotFoundError."""
    path = state / FILE
    if not path.exists():
        raise FileNotFoundError(path)
    still = "" if path.with_name(FILE + "-wal").exists() else "&immutable=1"
    with closing(
        sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro{still}", uri=True, isolation_level=None, timeout=1.0
        )
    ) as tx:
        tx.execute("BEGIN")  # all of it at one moment
        epoch = str(tx.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0])
        counts = {
            (epoch, str(name)): int(after) - 1
            for name, after in tx.execute("SELECT name, next_number FROM streams")
            if after > 1 and not name.endswith(ANSWERS)
        }
        payloads: dict[tuple[str, str], bytes] = {}
        pending: set[tuple[str, str]] = set()
        for name, id_, payload, waits in tx.execute(
            "SELECT s.name, o.id, o.payload, o.place > s.settled_place FROM outbox o "
            "JOIN streams s ON s.id = o.stream"
        ):
            payloads[name, id_] = payload
            if waits:
                pending.add((name, id_))
    return Accepted(epochs=(epoch,), counts=counts, payloads=payloads, pending=frozenset(pending))


def waiting(state: Path) -> int:
    """How many envelopes are not acknowledged."""
    path = state / FILE
    with closing(
        sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=1.0)
    ) as tx:
        found = tx.execute(
            "SELECT count(*) FROM outbox o JOIN streams s ON s.id = o.stream WHERE o.place > s.settled_place"
        ).fetchone()
    return int(found[0])


def together(books: Sequence[Accepted]) -> Accepted:
    """The last database, with those before it that were rescued: their numbers are promises as well."""
    counts: dict[StreamOfEpoch, int] = {}
    payloads: dict[tuple[str, str], bytes] = {}
    for book in books:
        for key, count in book.counts.items():
            counts[key] = max(count, counts.get(key, 0))
        payloads |= book.payloads
    epochs = tuple(dict.fromkeys(epoch for book in books for epoch in book.epochs))
    return Accepted(epochs=epochs, counts=counts, payloads=payloads, pending=books[-1].pending)


def judge(accepted: Accepted, events: Sequence[Event], *, given_up: Iterable[str] = ()) -> Judgement:
    """Everything promised was delivered or told as a gap, in order, and every repeat is the same bytes.

    `given_up`: epochs whose database was damaged beyond reading, as an `outbox.reset` has told.
    """
    found = Judgement(facts=accepted.facts)
    first: dict[tuple[str, str], bytes] = {}
    numbers: dict[StreamOfEpoch, set[int]] = defaultdict(set)
    newest: dict[str, tuple[int, int]] = {}  # source: rank of its epoch, number
    ranks = {epoch: rank for rank, epoch in enumerate(accepted.epochs, 1)}
    for event in events:
        key = (event.stream, event.id)
        known = first.get(key)
        if known is not None:
            if known != event.payload:
                found.changed += 1
                found.wrongs.append(f"{event.stream} {event.id} came again with other bytes")
            elif not event.dup:
                found.repeated += 1
            continue
        first[key] = event.payload
        numbers[event.epoch, event.stream].add(event.number)
        rank = ranks.setdefault(event.epoch, len(ranks) + 1)
        after = newest.get(event.source, (0, 0))
        if (rank, event.number) <= after:
            found.out_of_order += 1
            found.wrongs.append(f"{event.stream} {event.id} came after number {after[1]}")
        else:
            newest[event.source] = (rank, event.number)
        promised = accepted.payloads.get(key)
        if promised is not None and promised != event.payload:
            found.changed += 1
            found.wrongs.append(f"{event.stream} {event.id} is not what lies on disk")
    _look_for_loss(found, accepted, numbers, _gaps(events), given_up=set(given_up))
    del found.wrongs[SHOWN_AT_MOST * 4 :]
    return found


def _look_for_loss(
    found: Judgement,
    accepted: Accepted,
    numbers: Mapping[StreamOfEpoch, set[int]],
    gaps: Mapping[StreamOfEpoch, list[Mapping[str, Any]]],
    *,
    given_up: set[str],
) -> None:
    for (epoch, stream), count in sorted(accepted.counts.items()):
        missing = set(range(1, count + 1)) - numbers.get((epoch, stream), set())
        told = 0
        for gap in gaps.get((epoch, stream), ()):
            covered = {number for number in missing if gap["first"] <= number <= gap["last"]}
            if len(covered) > gap["count"]:
                found.wrongs.append(f"{stream}: a gap of {gap['count']} hides {len(covered)} missing events")
                covered = set(sorted(covered)[: gap["count"]])
            missing -= covered
            told += len(covered)
        if epoch in given_up:
            told += len(missing)
            missing = set()
        found.told += told
        if missing:
            found.lost += len(missing)
            shown = ", ".join(map(str, sorted(missing)[:SHOWN_AT_MOST]))
            found.wrongs.append(f"{stream}: {len(missing)} of {count} never came: {epoch}-{shown} …")
    for (epoch, stream), seen in sorted(numbers.items()):
        count = accepted.counts.get((epoch, stream), 0)
        if max(seen) > count and epoch not in given_up:
            found.wrongs.append(
                f"{stream}: number {epoch}-{max(seen)} was delivered and is not on disk ({count})"
            )


def _gaps(events: Sequence[Event]) -> Mapping[StreamOfEpoch, list[Mapping[str, Any]]]:
    gaps: dict[StreamOfEpoch, dict[tuple[int, int], Mapping[str, Any]]] = defaultdict(dict)
    for event in events:
        if event.kind == "outbox.gap":
            data = event.body["data"]
            gaps[data["epoch"], data["stream"]][data["first"], data["last"]] = data
    return {key: list(found.values()) for key, found in gaps.items()}
