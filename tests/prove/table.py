"""The table at the end, as text that can be read in a log as well."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from tests.prove.scenario import Result

WIDTH = 132


def show(results: Sequence[Result], console: Console) -> None:
    """Every scenario in a row, the sums below, and then what was wrong."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("scenario", no_wrap=True)
    for name in ("faults", "facts", "lost", "told", "repeated", "allowed", "out of order", "recovered in s"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for result in results:
        table.add_row(*_row(result))
    played = [result for result in results if result.skipped is None]
    table.add_section()
    table.add_row(
        f"{len(played)} scenarios",
        *(
            f"{sum(getattr(result, name) for result in played)}"
            for name in ("faults", "facts", "lost", "told", "repeated", "allowed", "out_of_order")
        ),
        f"{max((result.recovered_s or 0.0 for result in played), default=0.0):.1f} at most",
        _sum(played),
    )
    console.print(table)
    for result in results:
        for wrong in result.wrongs:
            console.print(f"[red]{result.name}[/]: {wrong}", soft_wrap=True, markup=True, highlight=False)


def _sum(played: Sequence[Result]) -> str:
    if not played:
        return "nothing was proven"
    return "[green]kept[/]" if all(result.kept for result in played) else "[red]BROKEN[/]"


def line(result: Result) -> str:
    """A scenario that is over, in one line."""
    if result.skipped is not None:
        return f"skipped: {result.skipped}"
    verdict = "kept" if result.kept else f"BROKEN: {result.wrongs[0]}"
    recovered = "" if result.recovered_s is None else f", recovered in {result.recovered_s:.1f} s"
    return (
        f"{verdict} ({result.faults} faults, {result.facts} facts, {result.lost} lost, "
        f"{result.repeated} repeated{recovered}; {result.lasted_s:.0f} s)"
    )


def _row(result: Result) -> Sequence[str]:
    if result.skipped is not None:
        return (result.name, *[""] * 8, f"[yellow]skipped[/]: {result.skipped}")
    return (
        result.name,
        str(result.faults),
        str(result.facts),
        _bad(result.lost),
        str(result.told),
        _bad(result.repeated) if result.repeated > result.allowed else str(result.repeated),
        str(result.allowed),
        _bad(result.out_of_order),
        "never" if result.recovered_s is None else f"{result.recovered_s:.1f}",
        "[green]kept[/]" if result.kept else "[red]BROKEN[/]",
    )


def _bad(count: int) -> str:
    return f"[red]{count}[/]" if count else "0"
