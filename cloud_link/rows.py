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


def write(tx: Connection, before: str, rows: Sequence[tuple[object, ...]], after: str = "") -> None:
    """Execute `before (?, …), (?, …) after` over all rows, within the caller's transaction.

    `before` ends where the first row stands: "INSERT INTO t VALUES". All rows are equally long.
    """
    for chunk in _chunks(rows):
        tx.execute(_statement(before, len(chunk[0]), len(chunk), after), tuple(chain.from_iterable(chunk)))


def _chunks(rows: Sequence[tuple[object, ...]]) -> Iterator[Sequence[tuple[object, ...]]]:
    """In lengths that are powers of two: a statement is prepared once for each length."""
    done, length = 0, AT_ONCE
    while done < len(rows):
        while length > len(rows) - done:
            length //= 2
        yield rows[done : done + length]
        done += length


@cache
def _statement(before: str, columns: int, rows: int, after: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{before} {', '.join([row] * rows)} {after}"
