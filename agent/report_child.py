"""Makes a report beside the daemon: asked on standard input, answered on standard output, and then gone."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from agent.report_choice import Question

NICER: Final = 10  # what people and devices wait for goes first
FIRST_TO_GO: Final = b"900"  # of a thousand: when memory runs out, a report is the least to lose


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the page wants made."""

    question: Question
    link: dict[str, list[str]]  # the query that leads to the page's plots
    cache: str  # where the plots' library may keep what it knows of fonts


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What it gets; where `trouble` is told, nothing else is there."""

    page: str = ""  # HTML
    plots: dict[str, str] = {}  # SVG, each a file of its own
    rooms: str = ""  # CSV
    report: msgspec.Raw = msgspec.Raw(b"{}")
    trouble: str = ""  # "absent": nothing was ever counted; else what is wrong with the file


def main() -> None:
    """Answer one question."""
    _step_back()
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    os.environ["MPLCONFIGDIR"] = asked.cache
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # nothing here is large enough for more
    sys.stdout.buffer.write(msgspec.json.encode(make(asked)))


def make(asked: Asked) -> Made:
    """The report, in every form that the page has."""
    from agent.report import read_report  # noqa: PLC0415 - after what numpy reads of the environment is set
    from agent.trends import FILE  # noqa: PLC0415

    try:
        report = read_report(asked.question)
    except sqlite3.OperationalError as error:
        absent = not (Path(asked.question.directory) / FILE).exists()
        return Made(trouble="absent" if absent else str(error))
    except (sqlite3.DatabaseError, zlib.error, ValueError) as error:
        return Made(trouble=str(error))
    from agent.report_html import fragment  # noqa: PLC0415 - only where there is something to be drawn
    from agent.report_plots import alone, draw_all  # noqa: PLC0415
    from agent.report_words import as_csv, told  # noqa: PLC0415

    plots: Mapping[str, str] = draw_all(report)
    return Made(
        page=fragment(report, asked=asked.link),
        plots={name: alone(svg) for name, svg in plots.items()},
        rooms=as_csv(report, "room"),
        report=msgspec.Raw(msgspec.json.encode(told(report))),
    )


def _step_back() -> None:
    with contextlib.suppress(OSError):  # where that is not allowed
        os.nice(NICER)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(FIRST_TO_GO)


if __name__ == "__main__":
    main()
