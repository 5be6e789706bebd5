"""`python -m tests.prove.year`: some rooms of the year, or all of them; prints what everybody made of it."""

from __future__ import annotations

import argparse
import json
import sys

from tests.prove.year import report
from tests.prove.year.people import DAYS
from tests.prove.year.rooms import ROOMS
from tests.prove.year.score import Score, scored


def main() -> int:
    """Reads the command line; 0 if all that was to be reached is reached, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove.year", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rooms", default=f"0-{ROOMS - 1}", metavar="FROM-TO")
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--json", action="store_true", help="the numbers, to be added up")
    parser.add_argument("--kinds", action="store_true", help="also what became of each kind of booking")
    options = parser.parse_args()
    first, _, last = options.rooms.partition("-")
    score = Score()
    for number in range(int(first), int(last or first) + 1):
        score.add(scored(number, seed=options.seed, days=options.days))
        if not options.json:
            print(f"room {number} …", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps(score.as_dict()))
        return 0
    print("\n".join(report.table(score)))
    if options.kinds:
        print("\n".join(report.kinds(score)))
    wrongs = report.broken(score)
    print("\n".join(f"NOT REACHED: {wrong}" for wrong in wrongs))
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
