"""Simulated devices that are registered with the simulated Webex: what they say there and do by its word."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tests.clouds.webex import CommandFailed, WebexCloud
from tests.simulator import commands
from tests.simulator.device import Device
from tests.simulator.faults import Junk
from tests.simulator.firmware import Path
from tests.simulator.language import Leaf, Refused, plant

Json = dict[str, Any]


class Registration:
    """One device as Webex has it; hears it as those do who are on its network."""

    paused = False
    subscriptions = 0

    def __init__(self, cloud: WebexCloud, device: Device, workspace: str) -> None:
        self.connected_by_itself = True  # until a test takes it off
        self._cloud: Final = cloud
        self._device: Final = device
        self.id: Final = cloud.add_device(workspace, serial=device.serial, displayName=device.name)
        cloud.registered[self.id] = self
        device.lines.add(self)

    @property
    def connected(self) -> bool:
        return self.connected_by_itself and not self._device.down

    def values(self) -> Json:
        tree = plant(leaf for leaf in self._device.leaves() if leaf[0][0] == "Status")
        status: Json = tree.get("Status", {})
        return status

    def command(self, name: str, arguments: Json, body: str | None) -> Json:
        given = arguments if body is None else {**arguments, "body": body}
        try:
            return commands.run(self._device, name.replace(".", "/"), given)
        except Refused as refusal:
            raise CommandFailed(refusal.message) from refusal

    def come_back(self) -> None:
        """It was away from Webex, and tells all that it has."""
        self.connected_by_itself = True
        values = {key: value for path, value in self._device.leaves() if (key := self._told(path))}
        self._cloud.tell(self._cloud.status(self.id, values, full=True))

    # as whoever hears a device

    def feed(self, leaves: Sequence[Leaf]) -> None:
        if not self.connected:
            return
        updated = {key: value for path, value in leaves if path[-1] != "ghost" and (key := self._told(path))}
        removed = tuple(key for path, _ in leaves if path[-1] == "ghost" and (key := self._told(path[:-1])))
        if updated or removed:
            self._cloud.tell(self._cloud.status(self.id, updated, removed=removed))
        for key, value in self._events(leaves):
            if self._cloud.allows("events", key):
                self._cloud.tell(self._cloud.event(self.id, key, value))

    def count(self, people: int) -> int:
        return 0

    def forget(self) -> None: ...

    def send_junk(self, kind: Junk) -> None: ...

    def close_shell(self) -> None: ...

    def _told(self, path: Path) -> str | None:
        """The key of a status that Webex is told of."""
        if path[0] != "Status":
            return None
        name = ".".join(str(step) for step in path[1:] if isinstance(step, str))
        return key_of(path[1:]) if self._cloud.allows("statuses", name) else None

    def _events(self, leaves: Sequence[Leaf]) -> Iterator[tuple[str, Json]]:
        for name in dict.fromkeys(found for path, _ in leaves if (found := self._name(path))):
            depth = len(name) + 1
            body = [(path[depth:], value) for path, value in leaves if path[1:depth] == name]
            (value,) = [value for rest, value in body if not rest] or [plant(body)]
            yield ".".join(name), dict(value) if isinstance(value, Mapping) else {}

    def _name(self, path: Path) -> tuple[str, ...] | None:
        if path[0] != "Event":
            return None
        names = tuple(str(step) for step in path[1:])
        known = [names[:depth] for depth in range(len(names), 0, -1)]
        return next((name for name in known if name in self._device.firmware.events), None)


def key_of(path: Path) -> str:
    """`("Call", 1, "Status")` → `Call[1].Status`."""
    key = ""
    for step in path:
        key += f"[{step}]" if isinstance(step, int) else f".{step}" if key else step
    return key
