"""The SSH line to a device; the only module that knows the library."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import asyncssh

from agent.core.model import SSH_PORT, Device, DeviceId, Trust
from device_adapters import trust
from device_adapters.conversation import AtOnce, Conversation
from device_adapters.errors import (
    DeviceBusy,
    DeviceError,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PasswordRefused,
    ServiceOff,
)
from device_adapters.system_words import unreachable
from device_adapters.trust import HostKeyRefused
from device_adapters.xapi.messages import Call, CallId, Unintelligible, XapiMessage
from device_adapters.xapi.tshell import TShell

WAITING_BYTES = 64 * 1024  # so much may wait to be heard, and as much in the library; then the device waits

# What a device of CE 9 offers, and newer ones; the library's own list has much that nobody needs.
_KEX = (
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group14-sha1",
)
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
_MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1",
)
# A server has a key of each of these kinds, and which of them was pinned cannot be seen in the pin.
_KEY_KINDS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"),
)
_PASSWORD, _INTERACTIVE = "password", "keyboard-interactive"

# Everything that matters comes out of the library as an error; it would tell of each connection otherwise.
asyncssh.set_log_level(logging.CRITICAL)

_KeyKind = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellPace:
    """How long a line waits for what, in seconds."""

    connect_within_s: float = 5.0  # on a building's own network a device answers at once or not at all
    greet_within_s: float = 15.0  # keys, log-in and the shell's welcome, on a codec that is busy with a call
    ping_after_s: float = 20.0  # of silence; and an answer must come within as much
    audit_first_after_s: float = 20.0  # when what is registered has just been registered
    audit_every_s: float = 600.0  # some firmware loses registrations without a word
    audit_within_s: float = 5.0  # less than a link waits for the answers that are queued behind it
    close_within_s: float = 1.0


class SshOff(ServiceOff):
    """Nobody listens at its SSH port, or nobody may log in there."""

    mend = "switch it on: xConfiguration NetworkServices SSH Mode: On"


class Shells:
    """Dials devices; remembers how each takes the password, and which of its keys is the pinned one."""

    def __init__(self, *, pace: ShellPace | None = None) -> None:
        self._pace = pace or ShellPace()
        self._key_kinds: dict[DeviceId, _KeyKind] = {}
        self._methods: dict[DeviceId, str] = {}  # to be tried first
        self._known: dict[Path, tuple[int, asyncssh.SSHKnownHosts]] = {}

    def forget(self, device: DeviceId) -> None:
        """Drop what was learned of a device."""
        self._key_kinds.pop(device, None)
        self._methods.pop(device, None)

    @contextlib.asynccontextmanager
    async def __call__(
        self, device: Device, door: AbstractAsyncContextManager[object]
    ) -> AsyncIterator[Conversation]:
        """Open a conversation with the shell behind `ssh host`; DeviceError if there can be none now."""
        trust.need_host_key(device.trust)
        password = trust.password(device.credential)
        wire = await self._open(device, door, password)
        try:
            yield ShellConversation(wire, self._pace)
        except DeviceError:
            wire.abort()  # it is known to be broken, or not to be read: nobody would answer a good-bye
            raise
        finally:
            await wire.close(within_s=self._pace.close_within_s)

    async def _open(self, device: Device, door: AbstractAsyncContextManager[object], password: str) -> _Wire:
        """Log in; where a key other than the pinned one was shown, ask for the device's others first."""
        proven = self._key_kinds.get(device.id)
        kinds = list(_KEY_KINDS)
        if proven is not None:  # first
            kinds.sort(key=lambda kind: kind != proven)
        shown: list[str] = []
        while kinds:
            wire = _Wire(asyncio.get_running_loop())
            login = _Login(device.trust, password)
            try:
                await self._log_in(device, door, wire, login, kinds)
            except (asyncssh.Error, OSError) as error:
                wire.abort()
                if isinstance(error, asyncssh.HostKeyNotVerifiable) and device.trust.host_key is not None:
                    shown.append(login.shown)
                    kinds = [kind for kind in kinds if login.algorithm not in kind]
                elif isinstance(error, asyncssh.KeyExchangeFailed) and shown:
                    break  # it has no key of another kind
                elif isinstance(error, TimeoutError) and wire.said_something and not wire.shell.welcomed:
                    raise DeviceTalksNonsense("no room device: its shell says no OK") from error
                else:
                    raise self._sorted(device, login, error) from error
            except BaseException:
                wire.abort()
                raise
            else:
                self._methods[device.id] = login.method
                if device.trust.host_key is not None:
                    self._key_kinds[device.id] = next(kind for kind in kinds if login.algorithm in kind)
                return wire
        raise HostKeyRefused(f"its host keys are {', '.join(shown)}, and not the one configured")

    async def _log_in(
        self,
        device: Device,
        door: AbstractAsyncContextManager[object],
        wire: _Wire,
        login: _Login,
        kinds: Sequence[_KeyKind],
    ) -> None:
        pace = self._pace
        async with asyncio.timeout(pace.connect_within_s):
            connected = await _connect(device.host, device.ssh_port)
        methods = [_PASSWORD, _INTERACTIVE]
        if self._methods.get(device.id) == _INTERACTIVE:
            methods.reverse()
        async with door, asyncio.timeout(pace.greet_within_s):
            try:
                known_hosts, algorithms = self._judged_by(device, connected, kinds)
                wire.connection = await _connection(
                    connected,
                    login,
                    username=device.credential.username,
                    known_hosts=known_hosts,
                    server_host_key_algs=algorithms,
                    preferred_auth=methods,
                    keepalive_interval=pace.ping_after_s,
                )
            except BaseException:
                connected.close()
                raise
            await wire.connection.create_session(
                lambda: wire, encoding=None, window=WAITING_BYTES, request_pty=False
            )
            await wire.greet()

    def _judged_by(
        self, device: Device, connected: socket.socket, kinds: Sequence[_KeyKind]
    ) -> tuple[object, Sequence[str] | tuple[()]]:
        """What the library takes for known hosts and host key algorithms; () is those of the known keys."""
        every = [algorithm for kind in kinds for algorithm in kind]
        if device.trust.host_key is not None:
            return ([], [], []), every  # each key is shown to `_Login`
        if device.trust.known_hosts is None:
            return None, every
        port = None if device.ssh_port == SSH_PORT else device.ssh_port
        address = connected.getpeername()[0]
        try:
            known = self._hosts(device.trust.known_hosts).match(device.host, address, port)
        except (OSError, ValueError) as error:
            raise HostKeyRefused(f"{device.trust.known_hosts} cannot be used: {error}") from error
        if not known[0] and not known[1]:
            raise HostKeyRefused(f"{device.trust.known_hosts} has no key of {device.host}")
        return known, ()

    def _hosts(self, file: Path) -> asyncssh.SSHKnownHosts:
        changed = file.stat().st_mtime_ns
        read = self._known.get(file)
        if read is None or read[0] != changed:
            read = self._known[file] = (changed, asyncssh.read_known_hosts(str(file)))
        return read[1]

    def _sorted(self, device: Device, login: _Login, error: Exception) -> DeviceError:
        """The library's errors, and the system's, in our words."""
        match error:
            case ConnectionRefusedError() if device.id not in self._methods:
                return SshOff(f"nobody listens at port {device.ssh_port}")
            case asyncssh.HostKeyNotVerifiable():
                return HostKeyRefused(f"its host key {login.shown} is not to be believed: {error.reason}")
            case asyncssh.PermissionDenied() if not login.spent:
                return SshOff("it lets nobody log in with a password over SSH")
            case asyncssh.DisconnectError(code=asyncssh.DISC_TOO_MANY_CONNECTIONS):
                return DeviceBusy(f"too many connections to it: {error.reason}"[:200])
            case asyncssh.DisconnectError() if login.spent and not login.done:
                # Also where the line breaks just then: some close it on a wrong password, and may count it.
                self._methods[device.id] = login.other_method  # the next dial is another attempt
                why = "its password has expired" if login.expired else "not with the configured password"
                user = device.credential.username
                return PasswordRefused(f"it does not let {user!r} in: {why}", logins=login.spent)
            case asyncssh.DisconnectError() | asyncssh.ChannelOpenError() if login.done:
                # The password was right, so this costs no log-in: it has no session left for us.
                return DeviceBusy(f"it takes the password and opens no shell: {error.reason}"[:200])
            case asyncssh.ConnectionLost():
                return DeviceUnreachable(f"it closed the line during the log-in: {error.reason}"[:200])
            case asyncssh.KeyExchangeFailed():
                return DeviceTalksNonsense(f"no common algorithms: {error.reason}"[:200])
            case asyncssh.DisconnectError():
                return DeviceTalksNonsense(f"no SSH: {error.reason}"[:200])
            case TimeoutError():
                return DeviceUnreachable("no answer in time")
            case _:
                return unreachable(error)


async def _connect(host: str, port: int) -> socket.socket:
    """A connected socket: the library would connect and log in as one, and the door is between the two."""
    loop = asyncio.get_running_loop()
    failed: OSError = OSError(f"no address of {host}")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connected = socket.socket(family, kind, protocol)
        try:
            connected.setblocking(False)  # noqa: FBT003 - as the system names it
            await loop.sock_connect(connected, address)
        except OSError as error:
            connected.close()
            failed = error
        except BaseException:
            connected.close()
            raise
        else:
            return connected
    raise failed


async def _connection(
    connected: socket.socket, login: asyncssh.SSHClient, **options: object
) -> asyncssh.SSHClientConnection:
    """Keys and log-in over a socket. Nothing of the account that roomd runs as counts: no file, no agent."""
    return await asyncssh.connect(
        sock=connected,
        config=None,
        client_factory=lambda: login,
        client_version="roomd",
        kex_algs=_KEX,
        encryption_algs=_CIPHERS,
        mac_algs=_MACS,
        compression_algs=None,
        public_key_auth=False,
        host_based_auth=False,
        gss_auth=False,
        gss_kex=False,
        client_keys=None,
        agent_path=None,
        x509_trusted_certs=None,
        x509_trusted_cert_paths=[],
        login_timeout=0,  # we count ourselves
        keepalive_count_max=1,
        **options,
    )


async def shown_host_key(
    host: str, port: int, *, connect_within_s: float, greet_within_s: float
) -> str | None:
    """The host key that is shown there, as it is pinned; None if nobody speaks SSH. No log-in is tried."""
    shown = _Shown()
    every = [algorithm for kind in _KEY_KINDS for algorithm in kind]
    try:
        async with asyncio.timeout(connect_within_s):
            connected = await _connect(host, port)
        with contextlib.closing(connected):
            async with asyncio.timeout(greet_within_s):
                await _connection(
                    connected, shown, username="", known_hosts=([], [], []), server_host_key_algs=every
                )
    except (asyncssh.Error, OSError):
        pass  # it always ends so: the key is seen, and refused
    return shown.key


class _Shown(asyncssh.SSHClient):
    """Looks at one host key and goes."""

    def __init__(self) -> None:
        self.key: str | None = None

    def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        self.key = trust.host_key(key.public_data)
        return False


class _Login(asyncssh.SSHClient):
    """Judges one host key, and shows the password once, whatever the device asks for."""

    def __init__(self, judged_by: Trust, password: str) -> None:
        self.spent = 0  # log-ins that the device counts
        self.done = False
        self.expired = False
        self.shown = "none"  # the host key's fingerprint
        self.algorithm = ""  # and its kind
        self.method = _PASSWORD
        self.other_method = _PASSWORD
        self._trust = judged_by
        self._password: str | None = password

    def validate_host_public_key(self, _host: str, _addr: str, _port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = trust.host_key(key.public_data)
        self.algorithm = key.algorithm.decode()
        return trust.is_pinned(key.public_data, self._trust)

    def password_auth_requested(self) -> str | None:
        return self._show(_PASSWORD)

    def kbdint_auth_requested(self) -> str | None:
        if self._password is None:
            self.other_method = _INTERACTIVE
            return None
        return ""

    def kbdint_challenge_received(
        self, _name: str, _instructions: str, _lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        if not prompts:
            return []  # something to read
        password = self._show(_INTERACTIVE) if len(prompts) == 1 else None
        return None if password is None else [password]

    def password_change_requested(self, _prompt: str, _lang: str) -> tuple[str, str]:
        self.expired = True
        return cast("tuple[str, str]", NotImplemented)

    def auth_completed(self) -> None:
        self.done = True
        self._password = None  # it need not stay in memory

    def _show(self, method: str) -> str | None:
        password, self._password = self._password, None
        if password is not None:
            self.spent += 1
            self.method = method
        return password


# ── the conversation ──────────────────────────────────────────────────────────────────────────────


class ShellConversation(AtOnce):
    """A conversation over SSH; see `Conversation`."""

    __slots__ = ("_audit_at", "_auditing", "_pace", "_wire", "transport", "why")

    def __init__(self, wire: _Wire, pace: ShellPace) -> None:
        self.transport = "ssh"
        self.why: str | None = None
        self._wire = wire
        self._pace = pace
        self._auditing = False
        self._audit_at = wire.loop.time() + pace.audit_first_after_s  # or to be given up, while under way

    def send(self, call: Call) -> CallId:
        """Put a call in the queue; lost without a word if the line is broken, which `hear` will tell."""
        number = self._wire.shell.call(call)
        self._wire.flush()
        return number

    async def hear(self, until: float) -> Sequence[XapiMessage]:
        """What has come, all of it. The library sends keep-alives where nothing comes for long."""
        wire = self._wire
        while not (messages := wire.read()):
            wire.check()
            now = wire.loop.time()
            if now >= until:
                return ()
            self._audit(now)
            await wire.wait(min(until, self._audit_at))
        return messages

    def _audit(self, now: float) -> None:
        """See to it that the device still knows what it was to tell of.

        A loss ends the line: the next one registers, reads and lists everything, as nobody knows since when
        the device was silent, and so nothing that happened meanwhile is lost.
        """
        shell, pace = self._wire.shell, self._pace
        if self._auditing and not shell.auditing:
            self._auditing = False
            self._audit_at = now + pace.audit_every_s
        if now < self._audit_at:
            return
        if self._auditing:
            shell.give_up_audit()
            self._audit_at = now  # the next look sees that it is over
        else:
            shell.audit()
            self._auditing = shell.auditing
            self._audit_at = now + pace.audit_within_s
        self._wire.flush()


class _Wire(asyncssh.SSHClientSession[bytes]):
    """Bytes between the shell's pure half and a channel; keeps them until they are read."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.shell = TShell()
        self.connection: asyncssh.SSHClientConnection | None = None
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.said_something = False
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._paused = False
        self._error: DeviceError | None = None

    # ── what the library calls ──

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype is not None:
            return  # what goes to standard error is no answer
        self.said_something = True
        self._pieces.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= WAITING_BYTES and not self._paused and self._channel is not None:
            self._paused = True
            self._channel.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self.fail(DeviceUnreachable("it closed its shell"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel = None
        match exc:
            case None:
                self.fail(DeviceUnreachable("it closed the line"))
            case OSError():
                self.fail(unreachable(exc))
            case _:
                self.fail(DeviceUnreachable(f"the line broke: {exc}"[:200]))

    # ── what the conversation calls ──

    async def greet(self) -> None:
        """Until the shell is ready for calls; DeviceError if it is none of a device."""
        while not self.shell.ready:
            self.read()
            self.check()
            if not self.shell.ready:
                await self.wait(None)

    def read(self) -> tuple[XapiMessage, ...]:
        """The messages in what waits; reading goes on if that had stopped it."""
        pieces, self._pieces, self._waiting_bytes = self._pieces, [], 0
        messages: list[XapiMessage] = []
        try:
            for piece in pieces or (b"",):
                messages.extend(self.shell.receive(piece))
        except Unintelligible as error:
            # What came before it is heard first; the next look says that this is the end.
            self.fail(DeviceTalksNonsense(str(error)))
        if self.shell.forgotten:
            lost = ", ".join(self.shell.forgotten)
            self.fail(DeviceUnreachable(f"it no longer knows what to tell of: {lost}"[:200]))
        self.flush()
        if self._paused and self._channel is not None:
            self._paused = False
            self._channel.resume_reading()
        return tuple(messages)

    def check(self) -> None:
        """DeviceError if the line is broken."""
        if self._error is not None and not self._pieces:
            raise self._error

    def fail(self, error: DeviceError) -> None:
        """The line is broken; the first reason counts."""
        self._error = self._error or error
        self._wake()

    async def wait(self, until: float | None) -> None:
        """Until something comes or breaks, or the loop's clock says `until`."""
        if self._pieces:
            return  # came while we read, as reading went on
        self._waiter = self.loop.create_future()
        timer = None if until is None else self.loop.call_at(until, self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def flush(self) -> None:
        """Send what the shell has to say, unless it is closed already."""
        out = self.shell.to_send()
        if out and self._channel is not None and not self._channel.is_closing():
            self._channel.write(out)

    async def close(self, *, within_s: float) -> None:
        """End the session, so that it does not count among the few that a device allows."""
        if self.connection is None:
            return
        try:
            self.connection.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self.connection.wait_closed()
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the line at once."""
        if self.connection is not None:
            self.connection.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
