"""Looks up the names of hosts: many at once, each once, and never for longer than somebody waits."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

NAMES_WITHIN_S: Final = 8.0
LOOKED_UP_AT_ONCE: Final = 32

Answer = frozenset[str] | int | None  # addresses; or the resolver's complaint; None: nothing came in time


def is_name(host: str) -> bool:
    """Whether it has to be looked up, beyond this machine."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return host not in {"", "localhost"}
    return False


def is_silence(answer: Answer) -> bool:
    """Whether no name server said anything, be it that there is no such name."""
    return answer is None or answer == socket.EAI_AGAIN


async def look_up(
    hosts: Iterable[str], known: dict[str, Answer], *, so_far: Callable[[int, int], None]
) -> None:
    """Fill in what is not known yet."""
    wanted = [host for host in dict.fromkeys(hosts) if host not in known]
    if not wanted:
        return
    loop, news, left = asyncio.get_running_loop(), asyncio.Event(), deque(wanted)
    found: dict[str, Answer] = {}

    def note(host: str, answer: Answer) -> None:
        found[host] = answer
        so_far(len(found), len(wanted))
        news.set()

    def work() -> None:
        with contextlib.suppress(IndexError, RuntimeError):  # nothing left; nobody waits any more
            while True:
                host = left.popleft()
                loop.call_soon_threadsafe(note, host, _addresses(host))

    so_far(0, len(wanted))
    for number in range(min(LOOKED_UP_AT_ONCE, len(wanted))):
        # Threads that nobody waits for: the loop would wait for its own at the end, for as long as a
        # resolver tries.
        threading.Thread(target=work, name=f"name {number}", daemon=True).start()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(NAMES_WITHIN_S):
            while len(found) < len(wanted):
                news.clear()
                await news.wait()
    left.clear()
    so_far(len(wanted), len(wanted))
    known.update(dict.fromkeys(wanted))
    known.update(found)


def _addresses(host: str) -> Answer:
    try:
        told = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return error.errno or socket.EAI_FAIL
    except (OSError, UnicodeError):
        return socket.EAI_NONAME
    return frozenset(str(each[4][0]) for each in told)
