"""What tests of `roomd doctor` share: an installation to examine, and the findings."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from agent.doctor import examine
from agent.findings import Finding, Part
from tests.installation import Installation, install

CANARY = "Merger with Initech"
AT = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)


async def examined(
    installation: Installation,
    *parts: Part,
    at: datetime | None = AT,
    thorough: bool = False,
    progress: list[tuple[Part, int, int]] | None = None,
) -> list[Finding]:
    """What is found, in its order; nothing of it may be a secret or a content.

    The simulated devices have the real time; `at` None is that, too.
    """
    found: list[Finding] = []
    steps: list[tuple[Part, int, int]] = [] if progress is None else progress
    async with asyncio.timeout(30):
        await examine(
            installation.config,
            parts or tuple(Part),
            tell=found.append,
            progress=lambda *step: steps.append(step),
            now=lambda: at or datetime.now(UTC),
            thorough=thorough,
        )
    for secret in ("s3cret", CANARY, "Ada", "PRIVATE KEY", "ya29"):
        assert secret not in str(found)
    return found


def one(found: Collection[Finding], what: str, seen: str = "") -> Finding:
    """The only finding about this."""
    (finding,) = [each for each in found if what in each.what and seen in each.seen]
    return finding


def verdicts(found: Collection[Finding]) -> dict[str, str]:
    return {each.what: each.verdict.value for each in found}


def installed(
    directory: Path,
    *,
    tables: str = "",
    rooms: str = "",
    broker_url: str = "mqtt://127.0.0.1:1",
    mqtt_extra: str = "",
    extra: str = "",
) -> Installation:
    """An installation without devices; `rooms` are ids in lines, or `id: line` with a line more."""
    links = dict(part.split(": ", 1) for part in rooms.split("\n") if ": " in part)
    ids = [part.split(": ", 1)[0] for part in rooms.split("\n") if part]
    bare = [(each, each.title()) for each in ids] or [("room", "Room")]
    return install(
        directory / "roomd",
        devices=(),
        broker_url=broker_url,
        mqtt_extra=mqtt_extra,
        extra=extra,
        tables=tables,
        links=links,
        bare=bare,
    )


def secret(directory: Path, name: str, text: str) -> None:
    file = directory / "roomd" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)
