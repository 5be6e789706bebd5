"""What a broker keeps for a client: subscriptions, what is on its way, and what waits."""

import asyncio
from collections import deque
from dataclasses import dataclass

from tests.brokers.packets import NONE, Properties, Will, Wish
from tests.brokers.topics import covers

FOR_EVER_S = 0xFFFFFFFF  # MQTT 5, 3.1.2.11.2
WINDOW = 65535  # Receive Maximum where the client names none
MIDS = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a publisher handed over."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties = NONE
    client_id: str | None = None  # None: from the broker itself
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message for one subscriber."""

    message: Message
    qos: int
    retain: bool
    identifiers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    wish: Wish
    identifiers: tuple[int, ...] = ()


class Session:
    """Outlives its connections, for as long as it was agreed."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.subscriptions: dict[str, Subscription] = {}
        self.on_its_way: dict[int, Delivery] = {}
        self.waiting: deque[Delivery] = deque()
        self.window = WINDOW
        self.expiry_s = 0
        self.will: Will | None = None
        self.ending: asyncio.Task[None] | None = None  # its expiry
        self.dying: asyncio.Task[None] | None = None  # its will's delay
        self._last_mid = 0

    def wants(self, message: Message) -> Delivery | None:
        """One delivery, however many of its subscriptions match."""
        matching = [
            each
            for each in self.subscriptions.values()
            if covers(each.wish.topic_filter, message.topic)
            and not (each.wish.no_local and message.client_id == self.client_id)
        ]
        if not matching:
            return None
        return Delivery(
            message=message,
            qos=min(message.qos, max(each.wish.qos for each in matching)),
            retain=message.retain and any(each.wish.retain_as_published for each in matching),
            identifiers=tuple(number for each in matching for number in each.identifiers),
        )

    def next(self) -> tuple[int, Delivery] | None:
        """Puts the oldest that waits on its way, if there is room."""
        if not self.waiting or len(self.on_its_way) >= self.window:
            return None
        self._last_mid = self._last_mid % MIDS + 1
        while self._last_mid in self.on_its_way:
            self._last_mid = self._last_mid % MIDS + 1
        self.on_its_way[self._last_mid] = self.waiting.popleft()
        return self._last_mid, self.on_its_way[self._last_mid]

    def rest(self) -> None:
        """Nothing runs out while the client is there."""
        for task in (self.ending, self.dying):
            if task is not None:
                task.cancel()
        self.ending = self.dying = None
