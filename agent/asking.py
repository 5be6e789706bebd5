"""Asks the running daemon, over its Unix socket; how that answers, `local_api` says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

LONGEST_ANSWER: Final = 16 * 1024 * 1024


class DaemonAbsent(Exception):
    """Nobody answers on the socket: the daemon does not run, or runs elsewhere."""


async def ask(path: Path, question: str, **more: object) -> AsyncIterator[dict[str, Any]]:
    """The daemon's answers to a question, until it has no more. Raises `DaemonAbsent`.

    The question "order" names a `room`, a command by its `name`, and its `arguments`, as the contract does;
    "consent" names a `service`.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_ANSWER)
    except PermissionError:
        raise DaemonAbsent(
            f"{path} may not be opened by this user: run with sudo, or join the group roomd"
        ) from None
    except OSError:
        raise DaemonAbsent(
            f"no roomd answers on {path}: start it (systemctl start roomd, or `roomd run`), or name its "
            "configuration with --config"
        ) from None
    try:
        writer.write(json.dumps({"ask": question, **more}).encode() + b"\n")
        while line := await reader.readline():
            yield json.loads(line)
    finally:
        writer.close()
