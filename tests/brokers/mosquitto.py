"""A real broker of one's own: a private mosquitto to be killed, frozen and started again."""

import asyncio
import base64
import hashlib
import os
import secrets
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.brokers.authority import Authority
from tests.brokers.crew import Crew
from tests.brokers.ports import free_port
from tests.brokers.waiting import SEEN_WITHIN_S, Changes

HOST = "127.0.0.1"
STOPS_WITHIN_S = 5.0
ROUNDS = 101  # of mosquitto_passwd


class BrokerFailed(Exception):
    """mosquitto did not start; its log says why."""


def program(name: str = "mosquitto") -> str:
    """Where it is; Debian puts daemons where an ordinary user's PATH does not look."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed (Debian: mosquitto and mosquitto-clients)")
    return found


class Mosquitto:
    """`async with` starts it and it has ended afterwards, whatever happened.

    With `persistence` a change is on disk before the next message is acknowledged, so that a kill loses one
    at most. `extra` is text for its configuration file.
    """

    def __init__(
        self,
        directory: Path,
        *,
        tls: Authority | None = None,
        users: Mapping[str, str] | None = None,
        websockets: bool = False,
        persistence: bool = False,
        receive_maximum: int | None = None,
        extra: str = "",
    ) -> None:
        self.port = free_port()
        self.websocket_port = free_port() if websockets else None
        self.log: list[str] = []
        self._directory = directory
        self._tls = tls
        self._users = users
        self._persistence = persistence
        self._receive_maximum = receive_maximum
        self._extra = extra
        self._process: asyncio.subprocess.Process | None = None
        self._log_ended = False
        self._crew = Crew()
        self._changes = Changes()

    @property
    def url(self) -> str:
        return f"{'mqtt' if self._tls is None else 'mqtts'}://{HOST}:{self.port}"

    @property
    def websocket_url(self) -> str:
        if self.websocket_port is None:
            raise ValueError("made without websockets=True")
        return f"{'ws' if self._tls is None else 'wss'}://{HOST}:{self.websocket_port}"

    @property
    def ca_file(self) -> Path | None:
        return None if self._tls is None else self._tls.ca_file

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.running and self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def __aenter__(self) -> Self:
        await self._crew.__aenter__()
        try:
            await self.start()
        except BaseException:
            self._end(signal.SIGKILL)
            await self._crew.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop()
        finally:
            self._end(signal.SIGKILL)
            await self._crew.__aexit__(kind, error, trace)

    async def start(self) -> None:
        """Returns when it accepts connections; after `stop` or `kill`, on the same port as before."""
        if self.running:
            return
        self._write_config()
        started_at = len(self.log)
        self._log_ended = False
        self._process = await asyncio.create_subprocess_exec(
            program(),
            "-c",
            str(self._directory / "mosquitto.conf"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stderr is not None
        self._crew.start(self._keep_log(self._process, self._process.stderr), name="mosquitto-log")
        await self.until_logged(" running", since=started_at)
        _, writer = await asyncio.open_connection(HOST, self.port)
        writer.close()
        await writer.wait_closed()
        await self.until_logged(" connection from ", since=started_at)  # before that it forgets a SIGTERM

    async def stop(self) -> None:
        """As systemd would: SIGTERM, and SIGKILL for one that does not listen."""
        self.thaw()
        self._end(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOPS_WITHIN_S):
                await self._ended()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """As the power cut: SIGKILL."""
        self._end(signal.SIGKILL)
        await self._ended()

    def freeze(self) -> None:
        """TCP stays up and the kernel goes on accepting, but nobody answers."""
        self._end(signal.SIGSTOP)

    def thaw(self) -> None:
        self._end(signal.SIGCONT)

    async def until_logged(self, text: str, *, since: int = 0, within_s: float = SEEN_WITHIN_S) -> None:
        def told() -> bool:
            if self._log_ended:
                raise BrokerFailed("\n".join(self.log[-20:]))
            return any(text in line for line in self.log[since:])

        await self._changes.until(told, within_s=within_s, seen=lambda: "\n".join(self.log[-20:]))

    def _end(self, how: signal.Signals) -> None:
        if self.running and self._process is not None:
            self._process.send_signal(how)

    async def _ended(self) -> None:
        """The process is gone, and its log is all there."""
        if self._process is not None:
            await self._changes.until(lambda: self._log_ended, within_s=None)

    async def _keep_log(self, process: asyncio.subprocess.Process, errors: asyncio.StreamReader) -> None:
        async for line in errors:
            self.log.append(line.decode(errors="replace").rstrip())
            self._changes.happened()
        await process.wait()
        self._log_ended = True
        self._changes.happened()

    def _write_config(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        lines = [
            "per_listener_settings false",
            "log_dest stderr",
            "log_type all",
            f"allow_anonymous {'true' if self._users is None else 'false'}",
            f"persistence {'true' if self._persistence else 'false'}",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes another, who cannot read our directory
        if self._users is not None:
            lines.append(f"password_file {self._write_passwords(self._users)}")
        if self._persistence:
            lines += [
                f"persistence_location {self._directory}/",
                "autosave_on_changes true",
                "autosave_interval 1",
            ]
        if self._receive_maximum is not None:
            lines.append(f"max_inflight_messages {self._receive_maximum}")
        lines.append(self._extra)
        for port, protocol in ((self.port, "mqtt"), (self.websocket_port, "websockets")):
            if port is None:
                continue
            lines += [f"listener {port} {HOST}", f"protocol {protocol}"]
            if self._tls is not None:
                lines += [f"certfile {self._tls.certificate_file}", f"keyfile {self._tls.key_file}"]
        (self._directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def _write_passwords(self, users: Mapping[str, str]) -> Path:
        """In mosquitto_passwd's own format, which is quicker than running it."""
        path = self._directory / "passwords"
        lines = []
        for name, password in users.items():
            salt = secrets.token_bytes(12)
            digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS)
            lines.append(
                f"{name}:$7${ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
            )
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")
        return path
