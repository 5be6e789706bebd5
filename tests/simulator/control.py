"""The simulator by remote control: one JSON object per line, a command in and an answer out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import orjson

from tests.simulator.bookings import Answer, Booking, NoSuchBooking, Organizer
from tests.simulator.device import Device
from tests.simulator.site import Site

LONGEST_LINE: Final = 64 * 1024 * 1024  # the truth of a large site is one line

# What may be done to a device by its method of the same name; "room" is a name, an index, or "all".
DEVICE_COMMANDS: Final = frozenset({
    "agenda",
    "answer_prompt",
    "be_present",
    "book_all_day",
    "book_in_outlook",
    "change_meeting_id",
    "check_in",
    "clear_faults",
    "close_shells",
    "deactivate_slots",
    "confirm",
    "count_people",
    "cut",
    "delete",
    "dismiss_alert",
    "dismiss_prompt",
    "end_call",
    "extend",
    "fail",
    "fault",
    "forget",
    "hold_open",
    "let_go",
    "lose_feedback",
    "move",
    "offer",
    "post_as_stranger",
    "post_huge",
    "reboot",
    "request_booking",
    "retitle",
    "send_junk",
    "share",
    "show_foreign",
    "spoil",
    "stand_by",
    "start_call",
    "stop_sharing",
    "sync_required",
    "touch",
    "truth",
    "warn_of_standby",
})  # fmt: skip


class Control:
    """Understands commands; knows nothing of sockets."""

    def __init__(self, site: Site) -> None:
        self._site: Final = site
        flood = site.flood
        self._site_commands: Final[Mapping[str, Callable[..., object]]] = {
            "advance": site.advance,
            "census": site.census,
            "describe": site.describe,
            "flood": flood.start,
            "flood_stop": flood.stop,
            "flood_totals": flood.totals,
            "flood_times": flood.times,
            "trust": site.trust,
            "now": lambda: site.clock.now().isoformat(),
        }
        self._more: Final[Mapping[str, Callable[..., object]]] = {
            "answer": lambda device, **more: setattr(device, "answer", Answer(**more)),
            "commands": _commands,
            "password": lambda device, value: setattr(device, "password", value),
            "presence_lag": lambda device, seconds: setattr(device, "presence_lag_s", float(seconds)),
            "lack": lambda device, nodes: device.lack(*nodes),
            "register_slot": _register_slot,
            "renew_certificate": site.renew_certificate,
            "renew_host_key": site.renew_host_key,
            "retry_rest": lambda device, seconds: setattr(device.slots, "retry_rest_s", float(seconds)),
            "screen": lambda device: device.screen.seen(),
        }

    def obey(self, line: bytes) -> bytes:
        """The answer to one command, with its `id` when it has one."""
        answer: dict[str, object] = {}
        try:
            command = dict(orjson.loads(line))
            if "id" in command:
                answer["id"] = command.pop("id")
            answer |= {"ok": True, "result": _plain(self._do(command))}
        except (orjson.JSONDecodeError, NoSuchBooking, TypeError, ValueError, KeyError, IndexError) as error:
            answer |= {"ok": False, "error": f"{type(error).__name__}: {error}"}
        return orjson.dumps(answer) + b"\n"

    def _do(self, command: dict[str, Any]) -> object:
        name = str(command.pop("do"))
        if name in self._site_commands:
            return self._site_commands[name](**command)
        if name == "truth" and "room" not in command:
            return self._site.truth()
        room = command.pop("room")
        arguments = self._arguments(command)
        if room == "all":
            return {device.room: self._do_to(device, name, arguments) for device in self._site.devices}
        return self._do_to(self._site.device(room), name, arguments)

    def _do_to(self, device: Device, name: str, arguments: Mapping[str, Any]) -> object:
        if name in DEVICE_COMMANDS:
            return getattr(device, name)(**arguments)
        if name in self._more:
            return self._more[name](device, **arguments)
        raise ValueError(f"no command {name}")

    def _arguments(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a method: times from text, values with a shape from objects."""
        arguments = dict(command)
        if "start" in arguments:
            arguments["start"] = datetime.fromisoformat(arguments["start"])
        if "start_in_s" in arguments:
            start = self._site.clock.now() + timedelta(seconds=arguments.pop("start_in_s"))
            arguments["start"] = start
        if isinstance(arguments.get("answer"), dict):
            arguments["answer"] = Answer(**arguments["answer"])
        if isinstance(arguments.get("organizer"), dict):
            arguments["organizer"] = Organizer(**arguments["organizer"])
        return arguments


class Remote:
    """The other end, for proofs and benchmarks in another process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader: Final = reader
        self._writer: Final = writer

    async def ask(self, do: str, **parameters: object) -> Any:  # noqa: ANN401 -- as the command has it
        """Does a command and returns its result; one at a time."""
        self._writer.write(orjson.dumps({"do": do, **parameters}) + b"\n")
        await self._writer.drain()
        line = await self._reader.readline()
        if not line:
            raise ConnectionError("the simulator is gone")
        answer = orjson.loads(line)
        if not answer["ok"]:
            raise ValueError(answer["error"])
        return answer["result"]


@contextlib.asynccontextmanager
async def remote(where: str) -> AsyncIterator[Remote]:
    """Talks to a simulator at a socket's path, or at host:port."""
    if _is_port(where):
        host, _, port = where.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=LONGEST_LINE)
    else:
        reader, writer = await asyncio.open_unix_connection(where, limit=LONGEST_LINE)
    try:
        yield Remote(reader, writer)
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def controlled(site: Site, where: str) -> AsyncIterator[None]:
    """Listens for commands at a socket's path, or at host:port."""
    loop = asyncio.get_running_loop()
    control = Control(site)
    server: asyncio.AbstractServer
    if _is_port(where):
        host, _, port = where.rpartition(":")
        server = await loop.create_server(lambda: _Listener(control), host, int(port))
    else:
        Path(where).unlink(missing_ok=True)
        server = await loop.create_unix_server(lambda: _Listener(control), where)
    try:
        yield
    finally:
        server.close()
        if not _is_port(where):
            Path(where).unlink(missing_ok=True)


class _Listener(asyncio.Protocol):
    """One controlling connection."""

    def __init__(self, control: Control) -> None:
        self._control: Final = control
        self._transport: asyncio.WriteTransport | None = None
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            if line.strip() and self._transport is not None:
                self._transport.write(self._control.obey(line))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None


def _is_port(where: str) -> bool:
    return "/" not in where and where.rpartition(":")[2].isdigit()


def _commands(device: Device, name: str = "") -> list[dict[str, object]]:
    received = device.received(name) if name else list(device.commands)
    return [
        {
            "name": one.name,
            "parameters": one.parameters,
            "at": one.at.isoformat(),
            "heard_at": one.heard_at,
        }
        for one in received
    ]


def _register_slot(device: Device, number: int, url: str, expressions: list[str], form: str = "XML") -> None:
    """As somebody else's HttpFeedback Register does."""
    device.slots.register(number, url, expressions, form)


def _plain(value: object) -> object:
    """As JSON can say it."""
    match value:
        case Booking():
            return value.truth()
        case tuple() | list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case Answer():
            return {field.name: getattr(value, field.name) for field in fields(value)}
        case _:
            return value
