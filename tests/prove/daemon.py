"""roomd as a process of its own, to be started, killed, frozen and stopped; it knows nothing of tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from tests.installation import ENDS_WITHIN_S, Installation
from tests.nursery import Forked, fork

LOOK_EVERY_S: Final = 0.02


class TookTooLong(Exception):
    """It did not stop in the time that systemd gives it."""


class Roomd:
    """One daemon at a time for one installation. `async with` sees to it that none is left behind.

    One that is `forked` comes from the nursery, which has imported it already.
    """

    def __init__(
        self,
        installation: Installation,
        *,
        environment: Mapping[str, str] | None = None,
        forked: bool = False,
    ) -> None:
        self.installation: Final = installation
        self.environment = dict(environment or {})
        self.starts = 0
        self._forked: Final = forked
        self._process: asyncio.subprocess.Process | Forked | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How it ended: an exit code, or minus the signal's number."""
        return None if self._process is None else self._process.returncode

    @property
    def log(self) -> str:
        path = self.installation.log
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    async def start(self, *, module: str = "agent.cli", environment: Mapping[str, str] | None = None) -> None:
        """Returns at once; `until_up` waits."""
        if self.running:
            raise AssertionError("it is running")
        words = self.installation.command("run")[3:]
        told = {
            **os.environ,
            **self.installation.environment,
            **self.environment,
            **(environment or {}),
        }
        with self.installation.log.open("ab") as log:
            if self._forked:
                self._process = await fork(module, words, environment=told, out=log, err=log)
            else:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    module,
                    *words,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=told,
                    start_new_session=True,
                )
        self.starts += 1

    async def until_up(self, *, within_s: float = 20.0) -> None:
        """It answers on its socket."""
        async with asyncio.timeout(within_s):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_unix_connection(self.installation.socket)
                    writer.close()
                    return
                if not self.running:
                    raise AssertionError(f"roomd has ended with {self.code}:\n{self.log[-3000:]}")
                await asyncio.sleep(LOOK_EVERY_S)

    async def ended(self, *, within_s: float | None = None) -> int:
        """Until it ends by itself; how."""
        assert self._process is not None
        async with asyncio.timeout(within_s):
            return await self._process.wait()

    async def kill(self) -> None:
        """As the power cut."""
        if self.running:
            self.send(signal.SIGKILL)
            await self.ended()

    async def stop(self, *, within_s: float = ENDS_WITHIN_S) -> int:
        """As systemd does it. Raises `TookTooLong`, and then it is killed."""
        self.thaw()
        self.send(signal.SIGTERM)
        try:
            return await self.ended(within_s=within_s)
        except TimeoutError:
            await self.kill()
            raise TookTooLong(f"not stopped within {within_s:g} s of SIGTERM:\n{self.log[-2000:]}") from None

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def send(self, sign: signal.Signals) -> None:
        """Sent, if there is anybody."""
        if self.running and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(sign)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running:
            await asyncio.shield(self.kill())
