"""Reports over 400 days of 1,000 rooms, as a person asks for them: from the command to its answer."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.agent import trends_made

ROOMS: Final = 1000
DAYS: Final = 400
QUICK_ROOMS: Final = 50
QUICK_DAYS: Final = 60
TIMES: Final = 3  # each, and the quickest counts: the machine has other things to do
AT_MOST_S: Final = 2.0
FORMS: Final[Mapping[str, Sequence[str]]] = {
    "table": (),
    "csv": ("--format", "csv"),
    "json": ("--json",),
    "html": ("--format", "html"),
}
HOW: Final = (
    "Python's start, the configuration of all rooms, reading, adding up, and for html the drawing are in it. "
    "The quickest of three; `of a core` is what its processes took of all cores, not what they waited."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one form of the report took (s), and how large it came out."""

    form: str
    rooms: int
    days: int
    took_s: float
    core_s: float
    mb: float

    @property
    def over(self) -> bool:
        """Whether a person waits longer than is promised."""
        return self.took_s > AT_MOST_S


def measure(
    directory: Path, *, quick: bool, say: Callable[[str], None], cores: frozenset[int]
) -> list[Asked]:
    """Make the file and the configuration, and ask for every form, on these cores, as a person would."""
    rooms, days = (QUICK_ROOMS, QUICK_DAYS) if quick else (ROOMS, DAYS)
    with tempfile.TemporaryDirectory(prefix="reports-", dir=directory) as name:
        where = Path(name)
        say(f"reports: {days} days of {rooms} rooms are made")
        made = trends_made.make(
            where, rooms=rooms, days=days, first=datetime.now(UTC).date() - timedelta(days=days)
        )
        file = where / "roomd.toml"
        file.write_text(_configuration(where, made), encoding="utf-8")
        found = []
        for form, words in FORMS.items():
            say(f"reports: {form}")
            every = [_run(where, file, words, cores) for _ in range(TIMES)]
            took_s, core_s, size = (min(of_all) for of_all in zip(*every, strict=True))
            found.append(
                Asked(form=form, rooms=rooms, days=days, took_s=took_s, core_s=core_s, mb=size / 1e6)
            )
        return found


def _configuration(where: Path, rooms: Sequence[str]) -> str:
    head = (
        f'[site]\nid = "bench"\ntimezone = "UTC"\n[agent]\nstate_directory = "{where}"\n'
        '[mqtt]\nurl = "mqtts://broker.example.com"\n'
    )
    return head + "".join(
        f'[[rooms]]\nid = "{room}"\nname = "Room {number}"\ncapacity = {4 + number % 9}\n'
        f'groups = ["floor-{number % 10}"]\n[[rooms.devices]]\nhost = "10.0.{number // 250}.{number % 250}"\n'
        for number, room in enumerate(rooms)
    )


def _run(where: Path, file: Path, words: Sequence[str], cores: frozenset[int]) -> tuple[float, float, int]:
    """Seconds that passed, seconds of a core, and bytes that were answered."""
    answer = where / "answer"
    with answer.open("wb") as out:
        began = time.perf_counter()
        process = subprocess.Popen(
            (sys.executable, "-m", "agent.cli", "report", "--config", str(file), "--last", "400d", *words),
            stdout=out,
            env={**os.environ, "MPLCONFIGDIR": str(where / "plots")},
        )
        os.sched_setaffinity(process.pid, cores)
        _, status, used = os.wait4(process.pid, 0)
        took_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"roomd report {' '.join(words)}: exit {process.returncode}"
    return took_s, used.ru_utime + used.ru_stime, answer.stat().st_size


def text(asked: Sequence[Asked]) -> str:
    """For a person."""
    first = asked[0]
    lines = [f"A report over {first.days} days of {first.rooms} rooms (to reach: {AT_MOST_S:.0f} s)"]
    for each in asked:
        verdict = "  OVER" if each.over else ""
        lines.append(
            f"  {each.form:<6} {each.took_s:5.2f} s, {each.core_s:5.2f} s of a core, {each.mb:6.2f} MB"
            f"{verdict}"
        )
    return "\n".join(lines)


def plain(asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """For a machine."""
    return [{**asdict(each), "at_most_s": AT_MOST_S} for each in asked]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as here:
        print(
            text(
                measure(
                    Path(here),
                    quick="--quick" in sys.argv,
                    say=lambda what: print(what, file=sys.stderr),
                    cores=frozenset(os.sched_getaffinity(0)),
                )
            )
        )
