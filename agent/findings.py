"""What an examination finds: what was looked at, what was seen, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from agent.names import Answer
from agent.settings import Configuration

MOST_NAMED: Final = 12


class Part(StrEnum):
    """What is examined together, in the order in which it is told."""

    FILE = "file"
    PERMISSIONS = "permissions"
    CLOCK = "clock"
    DISK = "disk"
    DNS = "dns"
    DAEMON = "daemon"
    BROKER = "broker"
    DEVICES = "devices"
    CALENDARS = "calendars"
    SENSORS = "sensors"


TITLES: Mapping[Part, str] = {
    Part.FILE: "Configuration file",
    Part.PERMISSIONS: "Permissions",
    Part.CLOCK: "Clock",
    Part.DISK: "Disk",
    Part.DNS: "Names of hosts",
    Part.DAEMON: "Running daemon",
    Part.BROKER: "Broker",
    Part.DEVICES: "Devices",
    Part.CALENDARS: "Calendars",
    Part.SENSORS: "Sensors that are not Cisco's",
}


class Verdict(StrEnum):
    """How it stands with something."""

    OK = "ok"
    ADVICE = "advice"  # it works, and could be better; or it cannot be told from here
    WRONG = "wrong"  # it does not work until a person acts


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. Without secrets, titles and contents, so that it can be shown around."""

    part: Part
    what: str
    verdict: Verdict
    seen: str
    mend: str | None = None  # what to do; None where there is nothing to do
    code: int = os.EX_OK  # of sysexits, where it is wrong

    def told(self) -> dict[str, str | None]:
        """For machines."""
        return {
            "part": self.part,
            "what": self.what,
            "severity": self.verdict,
            "seen": self.seen,
            "mend": self.mend,
        }


def some(names: Iterable[str]) -> str:
    """Some names, in a sentence, and how many more there are."""
    listed = sorted(names)
    more = len(listed) - MOST_NAMED
    return ", ".join(listed[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def exit_code(findings: Iterable[Finding]) -> int:
    """0 if nothing is wrong, else sysexits' code of what is gravest: higher numbers need a person more."""
    return max((finding.code for finding in findings), default=os.EX_OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What every check has at hand, and where it says what it finds.

    `picture` and `calendars`: the running daemon's own word; None while none answers, and then `absent` says
    why. `progress`: how far long work has come, of how much.
    """

    part: Part
    configuration: Configuration
    picture: Mapping[str, Any] | None
    calendars: Sequence[Mapping[str, Any]]  # each service's, as `roomd calendars --json` has them
    absent: str
    thorough: bool  # also log in where the running daemon is logged in already
    names: dict[str, Answer]  # of hosts, as far as they were looked up
    now: Callable[[], datetime]  # UTC
    tell: Callable[[Finding], None]
    progress: Callable[[Part, int, int], None]

    def ok(self, what: str, seen: str) -> None:
        """It is as it should be."""
        self.tell(Finding(part=self.part, what=what, verdict=Verdict.OK, seen=seen))

    def advise(self, what: str, seen: str, mend: str | None) -> None:
        """It works all the same, or cannot be told from here."""
        self.tell(Finding(part=self.part, what=what, verdict=Verdict.ADVICE, seen=seen, mend=mend))

    def wrong(self, what: str, seen: str, mend: str | None, *, code: int = os.EX_UNAVAILABLE) -> None:
        """It does not work."""
        self.tell(Finding(part=self.part, what=what, verdict=Verdict.WRONG, seen=seen, mend=mend, code=code))

    def noting(self, troubles: list[Finding]) -> Visit:
        """The same, which also puts what is found wrong into `troubles`."""

        def tell(finding: Finding) -> None:
            if finding.verdict is Verdict.WRONG:
                troubles.append(finding)
            self.tell(finding)

        return replace(self, tell=tell)

    def so_far(self, done: int, of: int) -> None:
        """Long work has come so far."""
        self.progress(self.part, done, of)
