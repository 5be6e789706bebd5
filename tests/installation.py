"""A roomd for a simulated site, as an installation has it: configuration, process and answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from tests.nursery import fork

ENDS_WITHIN_S = 15.0  # systemd's patience
READY_WITHIN_S = 60.0

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A directory with roomd's configuration, secrets, state and socket in it."""

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    forked: bool = False  # commands come from the nursery, which has imported them already

    @property
    def config(self) -> Path:
        return self.directory / "roomd.toml"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def socket(self) -> Path:
        return self.directory / "roomd.sock"

    @property
    def log(self) -> Path:
        return self.directory / "roomd.log"

    def command(self, *arguments: str) -> Sequence[str]:
        return (sys.executable, "-m", "agent.cli", *arguments, "--config", str(self.config))

    async def ask(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command to its end: exit code, answer, complaints."""
        if self.forked:
            return await self._ask_forked(*arguments)
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environment},
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    async def _ask_forked(self, *arguments: str) -> tuple[int, str, str]:
        _, _, module, *words = self.command(*arguments)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = await fork(
                module, words, environment={**os.environ, **self.environment}, out=out, err=err
            )
            try:
                code = await process.wait()
            finally:
                process.kill()
            out.seek(0)
            err.seek(0)
            return code, out.read().decode(), err.read().decode()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """The daemon, from its start until it was told to stop and has ended."""
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self.command("run"),
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                try:
                    async with asyncio.timeout(ENDS_WITHIN_S):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()
                    raise


def install(
    directory: Path,
    *,
    devices: Iterable[Json],
    broker_url: str,
    broker_ca: Path | None = None,
    device_ca: Path | None = None,
    site: str = "demo",
    extra: str = "",
    mqtt_extra: str = "",
    feedback: str = "",
    page: str = "listen = false",
    tables: str = "",
    links: Mapping[str, str] | None = None,
    bare: Iterable[tuple[str, str]] = (),
) -> Installation:
    """Write roomd's files for these devices, as the simulator describes them in its site.json.

    A device may name its `transport`, its id in Webex as `webex`, and no `host`; those that follow each other
    with the same room share it. `feedback` is the address at which devices call back; `page` are the lines of
    its table, `tables` stand before the rooms; `links` are one line more for a room; `bare` are ids and names
    of rooms without a device.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lines = [
        "[site]",
        f'id = "{site}"',
        'timezone = "Europe/Oslo"',
        'privacy = "plain"',
        "[agent]",
        'id = "agent-1"',
        f'state_directory = "{directory / "state"}"',
        f'socket = "{directory / "roomd.sock"}"',
        extra,
        *(["[feedback]", f'listen = "{feedback}"'] if feedback else []),
        "[page]",
        page,
        "[mqtt]",
        f'url = "{broker_url}"',
        *([f'ca_file = "{broker_ca}"'] if broker_ca else []),
        mqtt_extra,
        "[devices]",
        *([f'ca_file = "{device_ca}"'] if device_ca else []),
        tables,
    ]
    links = links or {}
    room = ""
    places = 0
    for device in devices:
        places = places + 1 if device["room"] == room else 1
        room = device["room"]
        password = directory / (f"password-{room}" if places == 1 else f"password-{room}-{places}")
        write_secret(password, str(device["password"]))
        if places == 1:
            lines += [
                "[[rooms]]",
                f'id = "{room}"',
                f'name = "{device.get("name") or room}"',
                f"capacity = {device.get('capacity', 8)}",
                links.get(room, ""),
            ]
        lines += [
            "[[rooms.devices]]",
            *([f'host = "{device["host"]}:{device["port"]}"'] if device["host"] else []),
            f'username = "{device["user"]}"',
            f'password_file = "{password.name}"',
            *([] if device_ca else [f'fingerprint = "{device["fingerprint"]}"']),
            f"ssh_port = {device['ssh_port']}",
            f'host_key = "{device["host_key"]}"',
            *([f'transport = "{device["transport"]}"'] if device.get("transport") else []),
            *([f'webex = "{device["webex"]}"'] if device.get("webex") else []),
        ]
    for id_, name in bare:
        lines += ["[[rooms]]", f'id = "{id_}"', f'name = "{name}"', links.get(id_, "")]
    installation = Installation(directory=directory)
    installation.config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return installation


def microsoft_table(directory: Path, *, url: str, tenant: str, client_id: str, secret: str) -> str:
    """The table of a tenant at `url`, whose authority is in `clouds.pem`; writes the secret's file."""
    directory.mkdir(parents=True, exist_ok=True)
    write_secret(directory / "microsoft-secret", secret)
    lines = [
        "[microsoft]",
        f'tenant = "{tenant}"',
        f'client_id = "{client_id}"',
        'secret_file = "microsoft-secret"',
        f'login_url = "{url}"',
        f'graph_url = "{url}"',
        'ca_file = "clouds.pem"',
    ]
    return "\n".join(lines)


def google_table(directory: Path, *, url: str, subject: str, key: str) -> str:
    """The table of a domain at `url`, whose authority is in `clouds.pem`; writes the key's file."""
    directory.mkdir(parents=True, exist_ok=True)
    write_secret(directory / "google-key.json", key)
    lines = [
        "[google]",
        'key_file = "google-key.json"',
        f'subject = "{subject}"',
        *(f'{name}_url = "{url}"' for name in ("calendar", "directory", "mail")),
        'ca_file = "clouds.pem"',
    ]
    return "\n".join(lines)


def webex_table(directory: Path, *, client_id: str, secret: str, code: str, key_url: str) -> str:
    """The table of an organisation whose authority is in `clouds.pem`; writes secret and activation code."""
    directory.mkdir(parents=True, exist_ok=True)
    write_secret(directory / "webex-secret", secret)
    write_secret(directory / "activation-code", code)
    lines = [
        "[webex]",
        f'client_id = "{client_id}"',
        'client_secret_file = "webex-secret"',
        'activation_code_file = "activation-code"',
        f'key_urls = {{ "us-east-2_a" = "{key_url}" }}',
        'ca_file = "clouds.pem"',
    ]
    return "\n".join(lines)


def pushes_table(directory: Path, *, port: int, authority: trustme.CA) -> str:
    """The table of a door at which the clouds call; writes its certificate and key."""
    directory.mkdir(parents=True, exist_ok=True)
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    write_secret(directory / "door-key.pem", certificate.private_key_pem.bytes().decode())
    (directory / "door.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    lines = [
        "[pushes]",
        f'listen = "127.0.0.1:{port}"',
        f'url = "https://localhost:{port}/hooks"',
        'certificate_file = "door.pem"',
        'key_file = "door-key.pem"',
    ]
    return "\n".join(lines)


def write_secret(path: Path, text: str) -> None:
    """What nobody else may read."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


def site_of(directory: Path) -> list[Json]:
    """The devices as the simulator wrote them."""
    described = json.loads((directory / "site.json").read_text(encoding="utf-8"))
    return list(described["devices"] if isinstance(described, dict) else described)
