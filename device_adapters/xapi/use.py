"""What telling a device that others sense people means as a call, and what it answers."""

from __future__ import annotations

from agent.core.events import UseRefused, UseTold
from agent.core.facts import TellUse
from device_adapters.xapi import requests
from device_adapters.xapi.plans import Plan
from device_adapters.xapi.requests import Makeup, NotUnderstood

SOURCE_MOST = 100  # characters of a source's name


class NobodysRoom(NotUnderstood):
    """A product that does not say whether its room is used."""

    mend = "nothing: the room's other devices are told"


def tell(asked: TellUse, makeup: Makeup) -> Plan:
    """Say whether somebody is seen, for so long. NotUnderstood, or Unreadable of `schema`."""
    if makeup.navigator:
        raise NobodysRoom("a Room Navigator that stands alone does not say whether the room is used")
    call = requests.set_use(
        makeup.firmware,
        source=asked.source[:SOURCE_MOST],
        in_use=asked.in_use,
        lasts_s=round(asked.lasts.total_seconds()),
    )
    taken = UseTold(device=asked.device, in_use=asked.in_use)
    return Plan(calls=(call,), taken=taken, refused=refused(asked))


def refused(asked: TellUse, why: str = "") -> UseRefused:
    """What is told where the device takes no such word."""
    return UseRefused(device=asked.device, in_use=asked.in_use, why=why)
