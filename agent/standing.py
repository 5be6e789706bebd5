"""Says in a few words how roomd stands: for systemd's status line, and for who asks whether it is ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.core.model import DevicePhase, Room, RoomId
from cloud_link.database import Trouble
from cloud_link.forwarder import Vitals


def in_one_line(rooms: Mapping[RoomId, Room], line: Vitals, *, waiting: int, stuck: Sequence[str]) -> str:
    """As `systemctl status` shows it; `waiting` are envelopes not yet acknowledged, `stuck` what hangs."""
    phases = [device.phase for room in rooms.values() for device in room.devices.values()]
    heard = sum(phase is DevicePhase.CONNECTED for phase in phases)
    if line.paused_why is not None:
        broker = "broker refuses what is published"
    elif line.connected:
        broker = "broker connected"
    else:
        broker = "broker away"
    words = (
        f"{len(rooms)} room{'s' * (len(rooms) != 1)}",
        f"{heard} of {len(phases)} device{'s' * (len(phases) != 1)}",
        broker,
        f"{waiting} waiting",
    )
    return ", ".join(words) + "".join(f"; {each}" for each in stuck)


def why_not_ready(*, begun: bool, trouble: Trouble | None, stuck: Sequence[str]) -> tuple[str, ...]:
    """Nothing where it does all that it is there for; a broker that is away is no reason."""
    reasons = list(stuck)
    if not begun:
        reasons.append("roomd is starting or stopping")
    if trouble is not None:
        mend = "make room on its disk" if trouble.full else "see that its disk can be written"
        reasons.append(f"the disk takes nothing: {trouble.why}; {mend}")
    return tuple(reasons)
