"""A device's SSH service: who comes in, the one shell of a connection, and what can go wrong there."""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Sequence
from typing import Final

import asyncssh

from tests.simulator.device import PEOPLE, Device, Service
from tests.simulator.faults import Cut, Junk
from tests.simulator.language import Leaf
from tests.simulator.shell import Shell
from tests.simulator.wire import DEEP, HUGE, TOO_FAR_BEHIND, linger_not

CRUMB: Final = 7  # bytes of a packet where text is cut in odd places
MARK: Final = 987654321  # a people count that nobody has
Challenge = tuple[str, str, str, Sequence[tuple[str, bool]]]

PROMPT: Final = "Password: "


async def serve(device: Device, listening: socket.socket) -> asyncssh.SSHAcceptor:
    """Listens for as long as the returned acceptor is open."""
    return await asyncssh.create_server(
        lambda: Guest(device),
        sock=listening,
        server_host_keys=[device.ssh_key.key],
        encoding=None,
        line_editor=False,
        compression_algs=None,
        gss_host=None,
        agent_forwarding=False,
        allow_scp=False,
        login_timeout=0,
        server_version="OpenSSH_9.0",
    )


class Guest(asyncssh.SSHServer):
    """One connection."""

    def __init__(self, device: Device) -> None:
        self.service: Final[Service] = "ssh"
        self.held = False
        self._device: Final = device
        self._connection: asyncssh.SSHServerConnection | None = None
        self._session: Session | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._device.visitors.add(self)
        if self._device.holding:
            self.hold()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection = None
        self._device.visitors.discard(self)
        self._device.on_change()

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return self._device.faults.ssh_password

    def validate_password(self, username: str, password: str) -> bool:
        return self._admit(username, [password])

    def kbdint_auth_supported(self) -> bool:
        return self._device.faults.ssh_keyboard

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Challenge:
        return "", "", "", [(PROMPT, False)]

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool:
        return self._admit(username, responses)

    def session_requested(self) -> "Session | bool":
        if self._session is not None:
            return False  # one shell per connection
        self._session = Session(self._device, self)
        return self._session

    def _admit(self, user: str, secrets: Sequence[str]) -> bool:
        full = self._device.faults.sessions_exhausted
        admitted = not full and len(secrets) == 1 and self._device.admits(user, secrets[0])
        self._device.on_change()
        return admitted

    # What the device calls

    def cut(self, how: Cut) -> None:
        connection = self._connection
        if connection is None:
            return
        match how:
            case "reset":
                linger_not(connection)
                connection.abort()
            case "close":
                connection.disconnect(asyncssh.DISC_BY_APPLICATION, "Closed")
            case "end":
                if (transport := self._transport()) is not None:
                    transport.close()

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.abort()

    def hold(self) -> None:
        """TCP stays; nothing is read or written any more."""
        self.held = True
        if (transport := self._transport()) is not None:
            transport.pause_reading()

    def let_go(self) -> None:
        if self.held:
            self.held = False
            if (transport := self._transport()) is not None:
                transport.resume_reading()

    def _transport(self) -> asyncio.Transport | None:
        if self._connection is None:
            return None
        return self._connection._transport  # noqa: SLF001 -- who hangs answers no keep-alive either


class Session(asyncssh.SSHServerSession[bytes]):
    """The shell of a connection."""

    def __init__(self, device: Device, guest: Guest) -> None:
        self.paused = False
        self._device: Final = device
        self._guest: Final = guest
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._terminal = False
        self._shell = Shell(device, terminal=False)
        self._late: deque[str] = deque()  # answers that are held back, in their order
        self._batch: list[bytes] = []
        self._counting: tuple[bytes, bytes] | None = None  # pre-encoded, around the people count

    @property
    def subscriptions(self) -> int:
        return self._shell.subscriptions

    # What asyncssh calls

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def pty_requested(self, term_type: str, term_size: tuple[int, int, int, int], term_modes: object) -> bool:
        self._terminal = True
        return True

    def shell_requested(self) -> bool:
        return True

    def session_started(self) -> None:
        self._shell = Shell(self._device, terminal=self._terminal)
        self._device.lines.add(self)
        self._send(self._shell.greeting())
        self._device.on_change()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if self._guest.held:
            return
        faults = self._device.faults
        self._counting = None
        for answer in self._shell.receive(data):
            if faults.unknown_replies and self._shell.mode == "json":
                self.send_junk("unknown_reply")
            if faults.reply_delay_s > 0:
                self._late.append(answer)
                asyncio.get_running_loop().call_later(faults.reply_delay_s, self._send_late)
            else:
                self._send(answer)
        self._counting = None
        self._device.on_change()
        if self._shell.over:
            self.close_shell()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel = None
        self._device.lines.discard(self)
        self._device.on_change()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    # What the device calls

    def feed(self, leaves: Sequence[Leaf]) -> None:
        faults = self._device.faults
        for text in self._shell.feedback(leaves):
            if faults.drop_frames:
                faults.drop_frames -= 1 if faults.drop_frames > 0 else 0
                continue
            self._device.frames_sent += 1
            for _ in range(2 if faults.duplicate_frames else 1):
                self._send(text)

    def count(self, people: int) -> int:
        if not self._shell.hears_people or self._channel is None or self._guest.held:
            return 0
        if self._counting is None:
            before, after = self._shell.printed_feedback([(PEOPLE, MARK)]).split(str(MARK))
            self._counting = self._encoded(before), self._encoded(after)
        before_count, after_count = self._counting
        self._channel.write(b"%b%d%b" % (before_count, people, after_count))
        return 1

    def forget(self) -> None:
        self._shell.forget()
        self._counting = None

    def send_junk(self, kind: Junk) -> None:
        match kind:
            case "text":
                self._send("*r Login successful\nOK\n")
            case "binary":
                self._write(bytes(range(256)))
            case "huge":
                padding = "x" * HUGE
                self._send(f'{{"Status":{{"SystemUnit":{{"Padding":{{"Value":"{padding}"}}}}}}}}\n')
            case "deep":
                self._send('{"Status":' + '{"A":' * DEEP + "{}" + "}" * DEEP + "}\n")
            case "array":
                self._send('[{"ResultId":"1"}]\n')
            case "truncated":
                self._send('{\n  "Status": {\n    "RoomAnal')
            case "unknown_node":
                self._send('{"Status":{"Coffee":{"Temperature":{"Value":"93"}}}}\n')
            case "unknown_event":
                self._send('{"Event":{"Bookings":{"Celebrated":{"Id":{"Value":"webex-1","id":"1"}}}}}\n')
            case "unknown_reply":
                self._send('{"CommandResponse":{"DialResult":{"status":"OK"}},"ResultId":"nobody-asked"}\n')

    def close_shell(self) -> None:
        """The connection stays."""
        if self._channel is not None:
            self._channel.exit(0)

    # Inside

    def _send_late(self) -> None:
        if self._late:
            self._send(self._late.popleft())

    def _send(self, text: str) -> None:
        if not text:
            return
        data = self._encoded(text)
        faults = self._device.faults
        if faults.batch_s > 0:
            self._batch.append(data)
            if len(self._batch) == 1:
                asyncio.get_running_loop().call_later(faults.batch_s, self._release_batch)
        elif faults.fragmented:
            for start in range(0, len(data), CRUMB):
                self._write(data[start : start + CRUMB])
        else:
            self._write(data)

    def _encoded(self, text: str) -> bytes:
        """A terminal turns the ends of lines into what it needs."""
        return (text.replace("\n", "\r\n") if self._terminal else text).encode()

    def _release_batch(self) -> None:
        batch, self._batch = self._batch, []
        self._write(b"".join(batch))

    def _write(self, data: bytes) -> None:
        channel = self._channel
        if channel is None or self._guest.held or not data:
            return
        if channel.get_write_buffer_size() > TOO_FAR_BEHIND:
            self._guest.drop()
            return
        with contextlib.suppress(BrokenPipeError):  # the client has just left
            channel.write(data)
