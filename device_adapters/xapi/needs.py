"""What roomd needs of a device's configuration: one table for shortcomings, `doctor` and `enroll --fix`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.core.model import Transport
from device_adapters.xapi.messages import Call
from device_adapters.xapi.schema import (
    ALWAYS,
    COMMANDS,
    NODES,
    ROWS,
    SINCE_11_14,
    SINCE_11_15,
    SINCE_11_17,
    Firmware,
    Life,
    Unreadable,
)

ADMIN = "Admin"
ANYBODY = "Admin, Integrator or User"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A configuration, the value that roomd wants it to have, and what goes wrong without."""

    path: str  # below `Configuration`, as people write it: "RoomAnalytics PeopleCountOutOfCall"
    wanted: str
    bad: frozenset[str] = frozenset()  # what it is instead; any other value says nothing
    why: str  # what is lost otherwise, as the beginning of a sentence
    mends: bool = False  # `enroll --fix` may set it; else somebody has to decide that it is to be so
    unless: str = ""  # when it may stay as it is, as the end of a sentence
    life: Life = ALWAYS  # of the node
    least: int | None = None  # numbers from here on are as good as the wanted one
    good: frozenset[str] = frozenset()  # other values that are as good
    counting: bool = False  # only of devices that count people
    over: frozenset[Transport] | None = None  # only heard over these; None: over any
    without: tuple[str, str] | None = None  # no matter while this configuration has this value
    set_by: str = ANYBODY  # whose role may set it

    @property
    def node(self) -> tuple[str, ...]:
        """The path, as it is asked for."""
        return ("Configuration", *self.path.split())

    @property
    def command(self) -> str:
        """What a technician types, or sets on the device's web page."""
        return f"xConfiguration {self.path}: {self.wanted}"

    @property
    def sentence(self) -> str:
        """What is wrong, and what mends it: `trouble: set … .`."""
        return f"{self.why}: set `{self.command}`{self.unless}."

    def met(self, value: object) -> bool | None:
        """Whether this value will do, as any transport says it; None if it cannot be told."""
        if value is None or isinstance(value, Mapping | list):
            return None
        text = str(value)
        if text == self.wanted or text in self.good:
            return True
        if text in self.bad:
            return False
        if self.least is None:
            return None
        try:
            return ROWS.cast(value) >= self.least
        except Unreadable:
            return None

    def setting(self) -> Call:
        """The call that sets it."""
        return Call(method="xSet", params={"Path": self.node, "Value": self.wanted})


COUNTS_OUT_OF_CALLS = Need(
    path="RoomAnalytics PeopleCountOutOfCall",
    wanted="On",
    bad=frozenset({"Off"}),
    why="People are counted in calls only",
    mends=True,
    counting=True,
)
SENSES_PRESENCE = Need(
    path="RoomAnalytics PeoplePresenceDetector",
    wanted="On",
    bad=frozenset({"Off"}),
    why="Presence is not sensed",
    mends=True,
    counting=True,
)
SEES_HEADS = Need(
    path="RoomAnalytics PeoplePresence Input HeadDetector",
    wanted="On",
    bad=frozenset({"Off"}),
    why="Presence is not sensed by the camera",
    mends=True,
    life=SINCE_11_14,
    counting=True,
    set_by=ADMIN,
)
CALLS_ARE_USE = Need(
    path="RoomAnalytics RoomInUse InCall",
    wanted="Enabled",
    bad=frozenset({"Disabled"}),
    why="A call does not make the room used",
    life=SINCE_11_17,
    set_by=ADMIN,
)
SHARING_IS_USE = Need(
    path="RoomAnalytics RoomInUse LocalUsage",
    wanted="Enabled",
    bad=frozenset({"Disabled"}),
    why="Sharing a screen does not make the room used",
    life=SINCE_11_17,
    set_by=ADMIN,
)
LEAVES_BOOKINGS_ALONE = Need(
    path="Bookings CheckIn Enabled",
    wanted="False",
    bad=frozenset({"True"}),
    why="The device itself deletes bookings without check-in, so that roomd releases none in this room",
    life=SINCE_11_15,
    set_by=ADMIN,
)

NEEDS: tuple[Need, ...] = (
    COUNTS_OUT_OF_CALLS,
    SENSES_PRESENCE,
    SEES_HEADS,
    CALLS_ARE_USE,
    SHARING_IS_USE,
    LEAVES_BOOKINGS_ALONE,
    Need(
        path="NetworkServices HTTP Mode",
        wanted="HTTPS",
        bad=frozenset({"Off"}),
        why="Its web server is off, and its WebSocket with it",
        good=frozenset({"HTTP+HTTPS"}),
        over=frozenset({Transport.SSH}),
        set_by=ADMIN,
    ),
    Need(
        path="NetworkServices Websocket",
        wanted="FollowHTTPService",
        bad=frozenset({"Off"}),
        why="Its WebSocket is off, over which roomd hears most, and soonest",
        over=frozenset({Transport.SSH, Transport.HTTP}),
        set_by=ADMIN,
    ),
    Need(
        path="HttpFeedback UseHttpProxy",
        wanted="Off",
        bad=frozenset({"On"}),
        why="What it calls back to roomd goes by way of its HTTP proxy",
        unless=" if the proxy does not lead to roomd",
        over=frozenset({Transport.HTTP}),
        without=("NetworkServices HTTP Proxy Mode", "Off"),
        set_by=ADMIN,
    ),
    Need(
        path="Security Session InactivityTimeout",
        wanted="0",
        why="It ends sessions that are silent for a minute, and roomd asks once a minute",
        least=2,  # minutes
        set_by=ADMIN,
    ),
    Need(
        path="Security Session MaxSessionsPerUser",
        wanted="20",
        why="It lets an account have so few sessions that one that broke keeps roomd out",
        least=4,  # roomd's own, one that broke, a look for a better line, and `doctor`
        set_by=ADMIN,
    ),
    Need(
        path="Security Session MaxTotalSessions",
        wanted="20",
        why="It has so few sessions in all that others keep roomd out",
        least=6,
        set_by=ADMIN,
    ),
)


def needs_of(
    product: str, firmware: Firmware, *, counts_people: bool = True, over: Transport | None = None
) -> tuple[Need, ...]:
    """What roomd needs of this device, in the order of its weight.

    `counts_people`: whether it has a sensor for them at all. `over`: how it is heard; None leaves out what
    depends on that. A Room Navigator counts nobody and is in no calls.
    """
    navigator = "navigator" in product.lower()
    return tuple(
        need
        for need in NEEDS
        if need.life.covers(firmware)
        and (need.over is None or over in need.over)
        and not (need.counting and not counts_people)
        and not (navigator and need.path.startswith("RoomAnalytics "))
    )


def shortfalls(needs: tuple[Need, ...], configured: Mapping[str, object]) -> tuple[Need, ...]:
    """The needs that are not met, by configuration as it was read; what was not read is not told."""
    return tuple(
        need
        for need in needs
        if need.met(configured.get(need.path)) is False
        and not (need.without is not None and configured.get(need.without[0]) == need.without[1])
    )


# ── what newer firmware brings ────────────────────────────────────────────────────────────────────

# By the node or the command that brings it, so that its life is told in one place.
BROUGHT: tuple[tuple[str, str], ...] = (
    ("Event Bookings Start", "it does not say when a booking starts and ends"),
    ("UserInterface LedControl Color Set", "the light at the door cannot show a hold"),
    ("Event Bookings Deleted", "it does not say why a booking is gone"),
    ("Status RoomAnalytics RoomInUse", "it does not say whether the room is in use"),
    ("Bookings Extend", "bookings cannot be extended on it"),
    ("Event Bookings BookingCreated", "what became of a booking request is found by listing, later"),
    ("Bookings CheckOut", "bookings cannot be checked out on it"),
    ("Target", "the panel at the door shows no messages"),
)


def lacked(firmware: Firmware) -> tuple[tuple[str, Firmware], ...]:
    """What this firmware does not have of what roomd uses, in words, and since when there is it."""
    found: list[tuple[str, Firmware]] = []
    for name, loses in BROUGHT:
        node = tuple(name.split())
        if name == "Target":
            (life,) = (each.life for each in COMMANDS[_MESSAGE].parameters if each.name == name)
        else:
            life = NODES[node] if node in NODES else COMMANDS[name].life
        if not life.covers(firmware):
            found.append((loses, life.since))
    return tuple(found)


_MESSAGE = "UserInterface Message Prompt Display"
