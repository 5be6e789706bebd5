"""A bare tsh client for the tests of the simulator: it adds nothing and forgives nothing."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncssh

from tests.simulator import Device, Site

WITHIN_S = 5.0


class ShellClient:
    """Text in, text out; `message` takes one JSON message off."""

    def __init__(
        self, process: asyncssh.SSHClientProcess[bytes], connection: asyncssh.SSHClientConnection
    ) -> None:
        self.process = process
        self.connection = connection
        self.heard = ""

    def say(self, text: str) -> None:
        self.process.stdin.write(text.encode())

    async def more(self) -> str:
        """What comes next; EOFError at the end."""
        try:
            async with asyncio.timeout(WITHIN_S):
                data = await self.process.stdout.read(65536)
        except asyncssh.ConnectionLost:
            data = b""
        if not data:
            raise EOFError(self.heard)
        self.heard += data.decode()
        return self.heard

    async def until(self, end: str) -> str:
        """All that comes up to the end of a text, which is taken off."""
        while end not in self.heard:
            await self.more()
        before, _, self.heard = self.heard.partition(end)
        return before + end

    async def message(self) -> Any:  # noqa: ANN401 -- as JSON has it
        """The next JSON object."""
        while True:
            with contextlib.suppress(json.JSONDecodeError):
                stripped = self.heard.lstrip()
                found, end = json.JSONDecoder().raw_decode(stripped)
                self.heard = stripped[end:]
                return found
            await self.more()

    async def ask(self, line: str) -> Any:  # noqa: ANN401 -- as JSON has it
        """Sends a line and returns the next message, which must be its answer."""
        self.say(f'{line} | resultId="asked"\n')
        answer = await self.message()
        assert answer.pop("ResultId") == "asked", answer
        return answer

    async def speak_json(self) -> None:
        await self.until("OK\n")
        self.say("echo off\n")
        await self.until("\nOK\n")
        self.say("xpreferences outputmode json\n")
        assert (await self.ask("xStatus SystemUnit Uptime"))["Status"]
        self.heard = ""


def plain(tree: Any) -> Any:  # noqa: ANN401 -- as JSON has it
    """A tree without ids and with bare values."""
    if isinstance(tree, list):
        return [plain(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "Value" in tree:
        return tree["Value"]
    return {name: plain(value) for name, value in tree.items() if name != "id"}


def without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[\?\d+h", "", text)


@contextlib.asynccontextmanager
async def shell(
    site: Site, device: Device | None = None, *, password: str = "", terminal: str | None = None
) -> AsyncIterator[ShellClient]:
    device = device or site.devices[0]
    async with (
        asyncssh.connect(
            device.host,
            device.ssh_port,
            username=device.user,
            password=password or device.password,
            known_hosts=asyncssh.import_known_hosts(device.known_hosts),
            client_keys=None,
            agent_path=None,
            config=None,
        ) as connection,
        connection.create_process(encoding=None, term_type=terminal) as process,
    ):
        yield ShellClient(process, connection)


@contextlib.asynccontextmanager
async def json_shell(site: Site, device: Device | None = None) -> AsyncIterator[ShellClient]:
    async with shell(site, device) as client:
        await client.speak_json()
        yield client
