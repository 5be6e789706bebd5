"""Restores a backup again and again, each time killed one step later: `cut_short STATE FILE INTO`.

A step is a rename or a removal, which are all that others can see of it. Copies of STATE are in INTO, one for
each step and named after it; the last restore came to its end.
"""

import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from cloud_link.copies import restore

STEPS = {"os.rename", "os.remove"}
AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def killed_at(step: int, file: Path, state: Path) -> bool:
    """Whether the restore had so many steps."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in {0, -signal.SIGKILL}:
            sys.exit(code)
        return code != 0
    left = step

    def look(event: str, _: object) -> None:
        nonlocal left
        left -= event in STEPS
        if left == 0 and event in STEPS:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    restore(file, state, at=AT, readable=lambda _: None, lose=True)
    sys.exit()


def main(state: Path, file: Path, into: Path) -> None:
    for step in count(1):
        shutil.copytree(state, into / str(step))
        if not killed_at(step, file, into / str(step)):
            return


if __name__ == "__main__":
    main(*(Path(each) for each in sys.argv[1:]))
