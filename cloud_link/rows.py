"""Writes many rows with few statements: each statement costs the event loop its turn once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from sqlite3 import Connection
from typing import Final

# Python lets go of its interpreter lock around every step of SQLite, and gets it back from a busy event loop
# only after its switch interval. `executemany` steps for each row; one statement with many rows steps once.
AT_ONCE: Final = 64  # rows; with up to fifteen columns fewer variables than the 999 that an old SQLite allows
IN_ONE_PIECE: Final = 16  # rows: what comes together on an ordinary day


def write(tx: Connection, before: str, rows: Sequence[tuple[object, ...]], after: str = "") -> None:
    """Execute `before (?, …), (?, …) after` over all rows, within the caller's transaction.

    `before` ends where the first row stands: "INSERT INTO t VALUES". All rows are equally long.
    """
    for chunk in _chunks(rows):
        tx.execute(_statement(before, len(chunk[0]), len(chunk), after), tuple(chain.from_iterable(chunk)))


def _chunks(rows: Sequence[tuple[object, ...]]) -> Iterator[Sequence[tuple[object, ...]]]:
    """In one piece where they are few, else in lengths of which there are few: each is prepared once."""
    done, length = 0, AT_ONCE
    while done < len(rows):
        left = len(rows) - done
        while length > left > IN_ONE_PIECE:
            length //= 2
        length = min(length, left)
        yield rows[done : done + length]
        done += length


@cache
def _statement(before: str, columns: int, rows: int, after: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{before} {', '.join([row] * rows)} {after}"
