"""Processes of roomd that need not import it each time: it is imported once, and they are forked from there.

A daemon takes two seconds of a core to import what it is made of, and journeys start hundreds of them. Who is
forked is a process like any other, with an id, a session, an environment, files and an end of its own; only
the command line and the environment that the kernel shows of it are those of the one that it comes from.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

LOADED: Final = ("agent.cli", "agent.daemon", "agent.doctor", "agent.support", "tests.prove.mortal")
ORDER_AT_MOST: Final = 1 << 17  # bytes: arguments and environment
CHANNEL: Final = 3  # the first file behind input, output and errors
LOOK_EVERY_S: Final = 0.01
ROOT: Final = Path(__file__).parents[1]


class Forked:
    """One process, as `asyncio.subprocess.Process` shows those that it starts."""

    def __init__(self, pid: int, handle: int, told: socket.socket) -> None:
        self.pid: Final = pid
        self._handle: Final = handle
        self._told: Final = told
        self._code: int | None = None

    @property
    def returncode(self) -> int | None:
        """Its exit code, minus the number of the signal that ended it, or None while it runs."""
        if self._code is None:
            with contextlib.suppress(BlockingIOError):
                told = self._told.recv(16)
                if not told:
                    self._signal(signal.SIGKILL)
                    raise AssertionError("the parent of all has ended, and nobody knows how this one did")
                self._code = int(told)
                self._told.close()
                os.close(self._handle)
        return self._code

    async def wait(self) -> int:
        """How it ended."""
        while (code := self.returncode) is None:  # noqa: ASYNC110 -- another process ends
            await asyncio.sleep(LOOK_EVERY_S)
        return code

    def send_signal(self, sign: int) -> None:
        if self.returncode is None:
            self._signal(signal.Signals(sign))

    def _signal(self, sign: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended, which we have not been told yet
            signal.pidfd_send_signal(self._handle, sign)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def fork(
    module: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    out: IO[Any] | None = None,
    err: IO[Any] | None = None,
) -> Forked:
    """Have the module's `main` run with these arguments, nothing to read, and a session of its own.

    What it says is for nobody, what it complains of for whoever runs the tests, unless there are files.
    """
    with Path(os.devnull).open("wb") as nobody:
        files = (out or nobody).fileno(), 2 if err is None else err.fileno()
        return await asyncio.to_thread(_ask_for, module, tuple(arguments), environment, files)


def _ask_for(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], files: Sequence[int]
) -> Forked:
    order = json.dumps([module, arguments, dict(environment), str(Path.cwd())]).encode()
    assert len(order) < ORDER_AT_MOST
    told, tells = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with tells:
        socket.send_fds(_parent(), [order], [*files, tells.fileno()])
    pid, handles, _, _ = socket.recv_fds(told, 16, 1)
    if not handles:
        raise AssertionError("the parent of all has ended")
    told.setblocking(False)
    return Forked(int(pid), handles[0], told)


_one_at_a_time: Final = threading.Lock()


def _parent() -> socket.socket:
    with _one_at_a_time:
        return _started()


@functools.cache
def _started() -> socket.socket:
    """The channel to the parent, which ends when it is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    begin = (
        f"import os; os.dup2({theirs.fileno()}, {CHANNEL}); from tests import nursery; nursery.be_parent()"
    )
    with theirs:
        parent = subprocess.Popen(
            (sys.executable, "-c", begin),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        parent.wait()

    atexit.register(end)
    return ours


# ── the parent ────────────────────────────────────────────────────────────────────────────────────


def be_parent() -> None:
    """Fork whoever is ordered until nobody can order any more, and then leave none behind."""
    for each in LOADED:
        importlib.import_module(each)
    gc.collect()
    gc.freeze()
    os.closerange(CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))
    if (life := _bring_up()) is not None:
        life()


def _bring_up() -> Callable[[], None] | None:
    """In the parent None, at the end; in each child its life. Files are numbers, which a child can forget."""
    children: dict[int, tuple[int, int]] = {}  # by their handle: the process, and whom to tell of its end
    ready = select.poll()
    ready.register(CHANNEL, select.POLLIN)
    while True:
        for file, _ in ready.poll():
            if file == CHANNEL:
                order, (out, err, tells) = _ordered()
                if not order:
                    for handle in children:
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                    return None
                pid = os.fork()
                if pid == 0:
                    os.setsid()
                    os.dup2(out, 1)
                    os.dup2(err, 2)
                    os.closerange(CHANNEL, os.sysconf("SC_OPEN_MAX"))
                    return functools.partial(_live, *order)
                os.close(out)
                os.close(err)
                handle = os.pidfd_open(pid)
                children[handle] = pid, tells
                ready.register(handle, select.POLLIN)
                _tell(tells, pid, [handle])
            else:
                pid, tells = children.pop(file)
                ready.unregister(file)
                os.close(file)
                _tell(tells, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), [])
                os.close(tells)


def _ordered() -> tuple[list[Any], Sequence[int]]:
    with socket.socket(fileno=os.dup(CHANNEL)) as channel:
        order, files, _, _ = socket.recv_fds(channel, ORDER_AT_MOST, 3)
    return (json.loads(order), files) if order else ([], (0, 0, 0))


def _tell(tells: int, number: int, handles: Sequence[int]) -> None:
    """To whoever ordered it, if they are there still."""
    with socket.socket(fileno=os.dup(tells)) as line, contextlib.suppress(OSError):
        socket.send_fds(line, [str(number).encode()], list(handles))


def _live(name: str, arguments: Sequence[str], environment: Mapping[str, str], directory: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(directory)
    module = importlib.import_module(name)
    sys.modules["__main__"] = module
    sys.argv = [str(module.__file__), *arguments]
    module.main()
