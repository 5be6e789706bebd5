"""Asks a device once who it is and how it is configured, over one line or over each that it has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.core.model import Device, Transport
from device_adapters.conversation import Conversation, Dial
from device_adapters.errors import (
    DeviceBooting,
    DeviceError,
    DeviceTalksNonsense,
    DeviceUnreachable,
    PasswordRefused,
    PermissionRefused,
)
from device_adapters.xapi.messages import (
    NOT_READY,
    PERMISSION_DENIED,
    Call,
    Refusal,
    Reply,
)
from device_adapters.xapi.needs import Need
from device_adapters.xapi.requests import WHO_ARE_YOU, Path, get
from device_adapters.xapi.schema import TEXT, Firmware, Unreadable, read_firmware
from device_adapters.xapi.translate import identity

ANSWER_WITHIN_S = 15.0
CONTACT_NAME: Path = ("Status", "UserInterface", "ContactInfo", "Name")  # what it calls itself on its screen
SYSTEM_NAME: Path = ("Configuration", "SystemUnit", "Name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """Who a device says that it is."""

    product: str
    serial: str  # "" if it does not say
    software: str
    name: str | None

    @property
    def firmware(self) -> Firmware:
        """Its version, comparable."""
        return read_firmware(self.software)


async def asked(line: Conversation, calls: Sequence[Call]) -> list[Reply | Refusal]:
    """The answers to these calls, in their order; DeviceError if they do not come."""
    loop = asyncio.get_running_loop()
    until = loop.time() + ANSWER_WITHIN_S
    numbers = [line.send(call) for call in calls]
    answers: dict[int, Reply | Refusal] = {}
    while len(answers) < len(numbers):
        messages = await line.hear(until)
        if not messages:
            raise DeviceUnreachable("no answer in time")
        answers.update({each.id: each for each in messages if isinstance(each, Reply | Refusal)})
    return [answers[number] for number in numbers]


async def introduced(line: Conversation) -> Introduction:
    """Who it is; DeviceError if it does not say, or is no room device."""
    who, *names = await asked(line, [get(WHO_ARE_YOU), get(CONTACT_NAME), get(SYSTEM_NAME)])
    match who:
        case Refusal(code=code) if code == NOT_READY:
            raise DeviceBooting("it is not ready to answer")
        case Refusal(code=code) if code == PERMISSION_DENIED:
            raise PermissionRefused("it may not be asked who it is")
        case Refusal():
            raise DeviceTalksNonsense(f"no room device: {who.message[:100]}")
        case Reply():
            pass
    try:
        found = identity(who.result)
    except Unreadable as error:
        raise DeviceTalksNonsense(f"no room device: {error}") from None
    called = [name for answer in names if isinstance(answer, Reply) and (name := _text(answer.result))]
    return Introduction(
        product=found.product,
        serial=found.serial,
        software=found.firmware,
        name=called[0] if called else None,
    )


def _text(value: object) -> str | None:
    try:
        return TEXT.cast(value)
    except Unreadable:
        return None


async def met(
    device: Device, dials: Mapping[Transport, Dial]
) -> tuple[Introduction | None, Mapping[Transport, DeviceError | None]]:
    """Who a device is, and over which of its lines: None where one works, else why it does not.

    PasswordRefused at once, wherever it is met: each further line would spend another log-in.
    """
    found: Introduction | None = None
    lines: dict[Transport, DeviceError | None] = {}
    for transport in device.transports:
        try:
            async with dials[transport](device, contextlib.nullcontext()) as line:
                found = await introduced(line) if found is None else found
            lines[transport] = None
        except PasswordRefused:
            if found is None:
                raise
            lines[transport] = PasswordRefused("it does not take the password there", logins=1)
            break
        except DeviceError as error:
            lines[transport] = error
    return found, lines


# ── configuration ─────────────────────────────────────────────────────────────────────────────────


async def configured(line: Conversation, needs: Sequence[Need]) -> Mapping[str, object]:
    """What a device has of these, by their paths; without those that it does not tell."""
    paths = [need.path for need in needs]
    calls = [get(("Configuration", *path.split())) for path in paths]
    answers = await asked(line, calls)
    return {
        path: answer.result for path, answer in zip(paths, answers, strict=True) if isinstance(answer, Reply)
    }


async def mended(line: Conversation, needs: Sequence[Need]) -> Mapping[str, str]:
    """Set these and read them back: by path, why it did not take one; nothing if it took them all."""
    answers = await asked(line, [need.setting() for need in needs])
    now = await configured(line, needs)
    refused: dict[str, str] = {}
    for need, answer in zip(needs, answers, strict=True):
        if isinstance(answer, Refusal):
            denied = answer.code == PERMISSION_DENIED
            refused[need.path] = f"the account may not: {need.set_by} may" if denied else answer.message[:100]
        elif need.met(now.get(need.path)) is not True:
            refused[need.path] = "it said yes, and still has another value"
    return refused
