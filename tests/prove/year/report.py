"""The year's numbers side by side, and what was to be reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from agent.core.model import Outcome
from tests.prove.year.people import GHOSTS
from tests.prove.year.rivals import PATIENCE, RIVALS
from tests.prove.year.score import ROOMD, Score
from tests.prove.year.truth import Release

HEAD: Final = ("found", "missed", "recall", "precision", "seen", "unseen", "later", "freed")
PRECISE: Final = 0.98  # of the verdicts: nobody can see those who are in nobody's view
WIDTHS: Final = (26, 7, 8, 8, 11, 7, 8, 7, 7)
SOMEBODY: Final = (Outcome.ATTENDED, Outcome.LEFT_EARLY, Outcome.OVERRUN)


def table(score: Score) -> Iterator[str]:
    """One line for each way of judging, and what the columns mean."""
    yield (
        f"{score.rooms} rooms, {score.bookings} bookings, {score.ghosts} of them ghosts; "
        f"roomd's core took {score.steps} steps"
    )
    yield f"{'':{sum(WIDTHS[:5])}}{'wrong':>{sum(WIDTHS[5:8])}}"
    yield _row("", *HEAD)
    found = score.judged(Outcome.GHOST, ghosts=True)
    false = score.judged(Outcome.GHOST, ghosts=False)
    seen = _judged_ghost(score, "signs")
    yield _row(
        "roomd, verdicts",
        *(found, score.ghosts - found, _share(found, score.ghosts), _share(found, found + false)),
        *(seen, false - seen),
    )
    yield _releases(score, ROOMD, 1, "roomd, releases")
    for rule in RIVALS:
        yield _releases(score, rule.name, 1, rule.name)
        equal = _as_careful(score, rule.name)
        if equal is None:
            most = max(PATIENCE)
            yield _releases(score, rule.name, most, f"  {most} times as patient")
        elif equal != 1:
            yield _releases(score, rule.name, equal, f"  {equal} times as patient")
    yield "wrong: a sensor had spoken for its people (seen), none had (unseen), they came later (later)"
    yield "freed: its people had been there, and had left for good"
    unknown_ghosts = score.judged(Outcome.UNKNOWN, ghosts=True)
    unknown_used = score.judged(Outcome.UNKNOWN, ghosts=False)
    taken = score.judged(*SOMEBODY, ghosts=True)
    yield (
        f"verdicts of roomd: unknown of {unknown_ghosts} ghosts and {unknown_used} others; "
        f"{taken} ghosts taken for attended, as somebody was in the room"
    )
    told = ", ".join(f"{count} {what}" for what, count in sorted(score.unbooked.items()))
    yield f"used without a booking: {told or 'nothing'}"


def kinds(score: Score) -> Iterator[str]:
    """What became of each kind of booking, and some of each to look at."""
    rows: dict[str, Counter[str]] = {}
    for key, count in score.verdicts.items():
        kind, verdict, signs = key.split("|")
        rows.setdefault(f"{kind} ({signs})", Counter())[verdict] += count
    for kind in sorted(rows):
        yield f"  {kind:44} {dict(rows[kind].most_common())}"
    for key, count in sorted(score.releases.items()):
        if key.startswith(ROOMD):
            yield f"  {key}: {count}"
    for what, where in sorted(score.samples.items()):
        if _expected(what):
            continue
        yield f"  {what}:"
        yield from (f"      {each}" for each in where)


def _expected(what: str) -> bool:
    kind, _, rest = what.partition("|")
    verdict = rest.partition("|")[0]
    return verdict == Outcome.GHOST if kind in GHOSTS else verdict in SOMEBODY


def broken(score: Score) -> list[str]:
    """What was to be reached and was not, in words."""
    wrongs = list(score.wrongs[:12])
    if len(score.wrongs) > 12:
        wrongs.append(f"and {len(score.wrongs) - 12} more")
    found = score.released(ROOMD, 1, Release.RIGHT)
    for rule in RIVALS:
        equal = _as_careful(score, rule.name)
        theirs = 0 if equal is None else score.released(rule.name, equal, Release.RIGHT)
        if theirs >= found:
            wrongs.append(f"{rule.name} finds {theirs} ghosts with no more wrong releases, roomd {found}")
    ghosts, wrong = score.judged(Outcome.GHOST), score.judged(Outcome.GHOST, ghosts=False)
    if wrong > (1 - PRECISE) * ghosts:
        wrongs.append(f"{wrong} of {ghosts} bookings that were judged ghosts were none")
    return wrongs


def _as_careful(score: Score, rule: str) -> int | None:
    """The patience at which it finds most, of those with no more wrong releases than roomd has."""
    ours = score.released(ROOMD, 1, Release.SEEN)
    careful = [times for times in PATIENCE if score.released(rule, times, Release.SEEN) <= ours]
    return max(careful, key=lambda times: score.released(rule, times, Release.RIGHT), default=None)


def _judged_ghost(score: Score, signs: str) -> int:
    of_ghosts = {str(kind) for kind in GHOSTS}
    return sum(
        count
        for key, count in score.verdicts.items()
        if (said := key.split("|"))[1] == Outcome.GHOST and said[2] == signs and said[0] not in of_ghosts
    )


def _releases(score: Score, rule: str, times: int, name: str) -> str:
    right, afterwards, seen, unseen, soon = (
        score.released(rule, times, what)
        for what in (Release.RIGHT, Release.AFTERWARDS, Release.SEEN, Release.UNSEEN, Release.TOO_SOON)
    )
    wrong = seen + unseen + soon
    return _row(
        name,
        *(right, score.ghosts - right, _share(right, score.ghosts), _share(right, right + wrong)),
        *(seen, unseen, soon, afterwards),
    )


def _row(first: str, *others: object) -> str:
    cells = [str(cell) for cell in others]
    cells += [""] * (len(WIDTHS) - 1 - len(cells))
    return f"{first:{WIDTHS[0]}}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS[1:], strict=True)
    )


def _share(part: int, whole: int) -> str:
    return "" if not whole else f"{100 * part / whole:.1f} %"
