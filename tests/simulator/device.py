"""One simulated room device: its tree of values, its room, and what can be done to it."""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from tests.simulator.bookings import (
    Answer,
    Booking,
    Calendar,
    CalendarKind,
    Cause,
    Failure,
    Fields,
    Organizer,
    stamp,
    whole_second,
)
from tests.simulator.clock import Schedule
from tests.simulator.faults import Cut, Faults, Junk, Spoil
from tests.simulator.firmware import BUILD, Firmware, Parameter, Path, Scalar, profile
from tests.simulator.http_feedback import HttpFeedback
from tests.simulator.language import Leaf, flatten
from tests.simulator.screen import Screen, Surface

if TYPE_CHECKING:
    from tests.simulator.certificates import Identity
    from tests.simulator.host_keys import HostKey

PEOPLE: Final[Path] = ("Status", "RoomAnalytics", "PeopleCount", "Current")
PRESENCE: Final[Path] = ("Status", "RoomAnalytics", "PeoplePresence")
IN_USE: Final[Path] = ("Status", "RoomAnalytics", "RoomInUse")
SOURCES: Final[Path] = ("Status", "RoomAnalytics", "OccupancySensor")
MOST_SOURCES: Final = 16  # with a name, each a line of its own among the statuses
CALLS: Final[Path] = ("Status", "SystemUnit", "State", "NumberOfActiveCalls")
STANDBY: Final[Path] = ("Status", "Standby", "State")
SHARING: Final[Path] = ("Status", "Conference", "Presentation", "LocalInstance")

PRODUCTS: Final = (
    ("Cisco Room Bar Pro", "Room Bar Pro", 10),
    ("Cisco Room Kit EQ", "Room Kit EQ", 16),
    ("Cisco Board Pro 55 G2", "Board Pro 55 G2", 8),
    ("Cisco Desk Pro", "Desk Pro", 4),
)
REMEMBERED_COMMANDS: Final = 200

Standby = Literal["Standby", "EnteringStandby", "Halfwake", "Off"]
Service = Literal["websocket", "ssh", "http"]


class Visitor(Protocol):
    """A connection from outside, let in or not."""

    @property
    def service(self) -> Service: ...
    def cut(self, how: Cut) -> None: ...
    def hold(self) -> None: ...
    def let_go(self) -> None: ...
    def drop(self) -> None: ...


class Hearer(Protocol):
    """Where feedback goes: a WebSocket, a shell, or the slots of HttpFeedback."""

    @property
    def paused(self) -> bool:
        """Whether the client reads too slowly."""

    @property
    def subscriptions(self) -> int: ...
    def feed(self, leaves: Sequence[Leaf]) -> None: ...
    def count(self, people: int) -> int:
        """Tells a people count in the fastest way; returns how many frames that made."""

    def forget(self) -> None:
        """Loses what the client has registered for, without a word."""

    def send_junk(self, kind: Junk) -> None: ...
    def close_shell(self) -> None:
        """Ends it, if it is a shell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a device is and who may come in."""

    room: str
    name: str
    host: str
    port: int
    ssh_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A command that came over the wire."""

    name: str  # "Bookings Book"
    parameters: Mapping[str, object]
    at: datetime
    heard_at: float = field(default_factory=time.monotonic)  # monotonic seconds of this machine


class TooManySources(Exception):
    """Others that say whether the room is used are counted."""


class Device:
    """Everything about one device except its sockets."""

    def __init__(
        self,
        *,
        index: int,
        address: Address,
        firmware: Firmware,
        kind: CalendarKind,
        schedule: Schedule,
        seed: int,
        identity: "Identity",
        ssh_key: "HostKey",
        user: str = "roomd",
        password: str,
    ) -> None:
        self.index: Final = index
        self.room: Final = address.room
        self.name: Final = address.name
        self.host: Final = address.host
        self.port: Final = address.port
        self.ssh_port: Final = address.ssh_port
        self.firmware = firmware
        self.user: Final = user
        self.password = password
        self.identity = identity
        self.ssh_key = ssh_key
        self.faults: Final = Faults()
        self.screen: Final = Screen(self, schedule)
        self.luck: Final = random.Random(f"{seed}/{index}")
        self.serial: Final = f"FOC{seed % 100:02d}{index:06d}"
        self.commands: Final[deque[Received]] = deque(maxlen=REMEMBERED_COMMANDS)
        self.told: Final[Counter[str]] = Counter()  # events, by name, whether or not anybody listened
        self.frames_sent = 0
        self.lists_sent = 0  # of what is registered, by shells
        self.logins = 0
        self.failed_logins = 0
        self.presence_lag_s = 120.0  # RoomOS may take two minutes to notice an empty room
        self.people_in_room = 0  # the truth; what the device says may be -1
        self.lines: Final[set[Hearer]] = set()  # let in
        self.visitors: Final[set[Visitor]] = set()  # all that are connected, let in or not
        self.holding = False  # newcomers are let in and then ignored
        self.down: Literal["", "refuse", "502"] = ""
        self.on_door: Callable[[Device], None] = lambda _: None  # set by the site, which owns the sockets
        self.on_change: Callable[[], None] = lambda: None
        self.sessions: Final[set[str]] = set()  # of the HTTP service, by their cookie
        self.slots: Final = HttpFeedback(self)
        self._locked_until: datetime | None = None
        self._lacking: set[str] = set()
        self._offered: dict[str, bool] = {"websocket": True, "ssh": True, "http": True}
        self._schedule: Final = schedule
        self._booted_at = schedule.clock.now() - timedelta(seconds=self.luck.randint(3_600, 3_000_000))
        self._config: Final[dict[Path, Scalar]] = {}
        self._status: Final = self._first_status()
        self._presence_edition = 0
        self.sources: Final[dict[str, int]] = {}  # that say the room is used, and which word that was
        self._words = 0
        self._named: Final[list[str]] = []  # those that ever had a name, in the order of their numbers
        self.calendar: Final = Calendar(
            kind=kind,
            schedule=schedule,
            luck=self.luck,
            faults=self.faults,
            emit=self._emit_bookings,
            changed=self._refresh_bookings,
            zone=lambda: str(self.config("Time", "Zone")),
            booking_timeout_s=lambda: float(self.config("Bookings", "AdhocBooking", "BookingTimeout") or 60),
        )
        for path in (("PeopleCountOutOfCall",), ("PeoplePresenceDetector",)):
            self._config[("Configuration", "RoomAnalytics", *path)] = "On"  # as an installer leaves it
        self._config[("Configuration", "SystemUnit", "Name")] = self.name

    def __repr__(self) -> str:
        return f"<Device {self.room} {self.host}:{self.port} {self.firmware.version}>"

    @property
    def url(self) -> str:
        return f"wss://{self.host}:{self.port}/ws"

    @property
    def profile(self) -> str:
        return self.firmware.version

    @property
    def kind(self) -> CalendarKind:
        return self.calendar.kind

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, lower-case hex."""
        return self.identity.fingerprint

    @property
    def host_key(self) -> str:
        """The fingerprint of the SSH server's key, as `ssh-keygen -l` prints it: "SHA256:…"."""
        return self.ssh_key.fingerprint

    @property
    def known_hosts(self) -> str:
        """The line of a known_hosts file."""
        return self.ssh_key.known(self.host, self.ssh_port)

    @property
    def answer(self) -> Answer:
        """What the backend says to booking requests that do not bring an answer of their own."""
        return self.calendar.answer

    @answer.setter
    def answer(self, answer: Answer) -> None:
        self.calendar.answer = answer

    def now(self) -> datetime:
        return self._schedule.clock.now()

    # What a test or a demonstration does to the room

    def request_booking(
        self,
        title: str = "Ad hoc meeting",
        *,
        start: datetime | None = None,
        duration_min: int = 30,
        answer: Answer | None = None,
        organizer: Organizer | None = None,
    ) -> str:
        """Somebody books on the panel; returns the BookingRequestUUID."""
        return self.calendar.request(
            title, start=start, duration_min=duration_min, answer=answer, organizer=organizer
        ).request_id

    def confirm(self, request_id: str, *, meeting_id: str | None = None) -> Booking:
        return self.calendar.confirm(request_id, meeting_id=meeting_id)

    def fail(self, request_id: str, cause: Failure = "Decline") -> None:
        self.calendar.fail(request_id, cause)

    def forget(self, request_id: str) -> None:
        self.calendar.forget(request_id)

    def book_in_outlook(
        self,
        title: str = "Weekly",
        *,
        start: datetime | None = None,
        duration_min: int = 30,
        private: bool = False,
        organizer: Organizer | None = None,
        **more: Any,  # noqa: ANN401 -- any field of a booking
    ) -> Booking:
        """A booking that nobody asked the device for; pushed, when the calendar is of that kind."""
        begin = start or self.now()
        draft = self.calendar.draft(
            title,
            begin,
            begin + timedelta(minutes=duration_min),
            private=private,
            organizer=organizer or Organizer(),
            **more,
        )
        return self.calendar.book_elsewhere(draft)

    def book_all_day(self, title: str = "Offsite", *, day: int = 0) -> Booking:
        """From midnight to midnight, where the room is."""
        start, end = self.calendar.local_day(day), self.calendar.local_day(day + 1)
        return self.calendar.book_elsewhere(self.calendar.draft(title, start, end))

    def move(
        self, booking_id: str, *, start: datetime | None = None, duration_min: int | None = None
    ) -> Booking:
        return self.calendar.move(booking_id, start=start, duration_min=duration_min)

    def retitle(self, booking_id: str, title: str) -> Booking:
        return self.calendar.retitle(booking_id, title)

    def extend(self, booking_id: str, minutes: int = 15, *, answer: Answer | None = None) -> Booking:
        return self.calendar.extend(booking_id, minutes, answer=answer)

    def delete(self, booking_id: str, cause: Cause = "Deleted") -> Booking:
        return self.calendar.delete(booking_id, cause)

    def check_in(self, booking_id: str) -> Booking:
        return self.calendar.check_in(booking_id)

    def change_meeting_id(self, booking_id: str, meeting_id: str | None = None) -> Booking:
        return self.calendar.change_meeting_id(booking_id, meeting_id)

    def spoil(self, booking_id: str, how: Spoil) -> None:
        """Makes one booking of the List unreadable."""
        self.calendar.find(booking_id, booking_id).spoil = how

    def sync_required(self) -> None:
        self.calendar.sync_required()

    def agenda(self) -> tuple[Booking, ...]:
        """The truth about the bookings."""
        return self.calendar.agenda()

    def count_people(self, people: int) -> None:
        """So many are in the room; -1 when the camera cannot say."""
        self.people_in_room = people
        self._presence_edition += 1
        if people == 0 and self._status[PRESENCE] == "Yes" and self.presence_lag_s > 0:
            leave = partial(self._notice_empty, self._presence_edition)
            self._schedule.after(self.presence_lag_s, leave)
            self._refresh_room()
        else:
            self._refresh_room(presence="Yes" if people > 0 else "No" if people == 0 else None)

    def be_present(self, presence: Literal["Yes", "No", "Unknown"]) -> None:
        """What the presence detector says, whatever the camera counts."""
        self._presence_edition += 1
        self._refresh_room(presence=presence)

    def sense_elsewhere(self, source: str, in_use: bool, *, lasts_s: float) -> None:
        """Another sensor's word, by the name of its source; it runs out unless it is said again."""
        if source and source not in self._named:
            if len(self._named) == MOST_SOURCES:
                raise TooManySources(f"Maximum number of sensors ({MOST_SOURCES}) reached")
            self._named.append(source)
        if in_use:
            self._words += 1
            self.sources[source] = self._words
            self._schedule.after(lasts_s, partial(self._forget_source, source, self._words))
        else:
            self.sources.pop(source, None)
        self._refresh_sources()

    def _forget_source(self, source: str, word: int) -> None:
        if self.sources.get(source) == word:
            del self.sources[source]
            self._refresh_sources()

    def _refresh_sources(self) -> None:
        for number, source in enumerate(self._named, 1):
            self.set_status({
                (*SOURCES, number, "ID"): source,
                (*SOURCES, number, "RoomInUse"): "True" if source in self.sources else "False",
            })  # fmt: skip
        self._refresh_room()

    def start_call(self) -> None:
        self.set_status({CALLS: int(self._status[CALLS]) + 1})
        self._refresh_room()

    def end_call(self) -> None:
        self.set_status({CALLS: max(0, int(self._status[CALLS]) - 1)})
        self._refresh_room()

    def share(self, instance: int = 1, *, source: int = 2) -> None:
        """Somebody shows something from a cable."""
        mode = "LocalRemote" if self._status[CALLS] else "LocalOnly"
        values: dict[Path, Scalar] = {
            (*SHARING, instance, "SendingMode"): mode,
            (*SHARING, instance, "Source"): source,
        }
        if self._status[CALLS]:
            values["Status", "Conference", "Presentation", "Mode"] = "Sending"
        self.set_status(values)
        self._refresh_room()

    def stop_sharing(self, instance: int = 1) -> None:
        self.forget_status((*SHARING, instance))
        self.set_status({("Status", "Conference", "Presentation", "Mode"): "Off"})
        self._refresh_room()

    def stand_by(self, state: Standby = "Standby") -> None:
        self.set_status({STANDBY: state})
        self._refresh_room()

    def warn_of_standby(self, seconds: int = 30) -> None:
        """An event whose body is a bare number."""
        self.emit([("Standby", "SecondsToStandby")], [seconds])

    # What people do at the screens; NotShown when what they tap is not there

    def answer_prompt(self, option: int, *, feedback_id: str | None = None, origin: str = "") -> None:
        """Somebody taps an option of the prompt; `origin` is a surface, left out the first that shows one."""
        self.screen.press(option, feedback_id, origin)

    def dismiss_prompt(self, *, origin: str = "") -> None:
        """Somebody taps beside the prompt."""
        self.screen.dismiss("Prompt", origin)

    def dismiss_alert(self, *, origin: str = "") -> None:
        """Somebody takes note of the alert."""
        self.screen.dismiss("Alert", origin)

    def touch(self, surface: Surface = "Controller") -> None:
        """Somebody touches a surface, which wakes it and the device."""
        if self.screen.dark(surface):
            self.stand_by("Off")

    def show_foreign(
        self,
        kind: Literal["Prompt", "Alert", "TextLine"] = "Prompt",
        text: str = "Please close the door",
        *,
        title: str = "",
        options: Sequence[str] = ("OK",),
        feedback_id: str = "somebody-else",
        duration_s: int = 0,
        target: str = "",
    ) -> None:
        """Somebody else's macro shows something; a target needs 26.1."""
        given: dict[str, Scalar] = {"Text": text, "Title": title, "Duration": duration_s, "Target": target}
        if kind == "Prompt":
            given["FeedbackId"] = feedback_id
            given |= {f"Option.{number}": option for number, option in enumerate(options, 1)}
        _, spec = self.firmware.commands[f"UserInterface/Message/{kind}/Display".lower()]
        shown = {each.name: each.default for each in spec.values() if each.default is not None}
        for name, value in given.items():
            if value or name == "Text":
                if name.lower() not in spec:
                    raise ValueError(f"a {kind} has no {name} here")
                shown[name] = spec[name.lower()].space.cast(value)
        self.screen.show(kind, shown)

    # What goes wrong

    def fault(self, **switches: object) -> None:
        self.faults.set(switches)

    def clear_faults(self) -> None:
        self.faults.clear()

    def cut(self, how: Cut = "reset", *, service: Service | None = None) -> None:
        """Ends all connections, or those to one service."""
        for visitor in list(self.visitors):
            if service is None or visitor.service == service:
                visitor.cut(how)

    def offer(
        self, *, websocket: bool | None = None, ssh: bool | None = None, http: bool | None = None
    ) -> None:
        """Switches services on and off, as their configurations do; connections to what is off end.

        With HTTP off the XML interface answers 404 while the WebSocket works; with both off, the port is
        closed.
        """
        wished = {"websocket": websocket, "ssh": ssh, "http": http}
        self._offered |= {name: wish for name, wish in wished.items() if wish is not None}
        web = self._offered["websocket"] or self._offered["http"]
        modes = {"HTTP": "HTTPS" if web else "Off", "SSH": "On" if self._offered["ssh"] else "Off"}
        for name, mode in modes.items():
            self._config["Configuration", "NetworkServices", name, "Mode"] = mode
        if websocket is not None:
            following = "FollowHTTPService" if websocket else "Off"
            self._config["Configuration", "NetworkServices", "Websocket"] = following
        self._rearrange()

    def lack(self, *nodes: str) -> None:
        """The device does without some nodes and what is below: "Command Bookings", "Status Standby"."""
        self._lacking |= set(nodes)
        self.firmware = profile(self.firmware.version, frozenset(self._lacking))

    def offers(self, service: Service) -> bool:
        """Whether this service is switched on; a device that is away answers for itself."""
        if service == "ssh":
            return self.config("NetworkServices", "SSH", "Mode") != "Off"
        if self.config("NetworkServices", "HTTP", "Mode") == "Off":
            return False
        if service == "websocket":
            return self.config("NetworkServices", "Websocket") != "Off"
        return self._offered["http"]

    @property
    def open_to_web(self) -> bool:
        """Whether anybody listens at the HTTPS port."""
        return self.down != "refuse" and self.config("NetworkServices", "HTTP", "Mode") != "Off"

    @property
    def open_to_ssh(self) -> bool:
        """Whether anybody listens at the SSH port."""
        return not self.down and self.offers("ssh")

    def close_shells(self) -> None:
        """Ends all shells and keeps their connections."""
        for line in list(self.lines):
            line.close_shell()

    def deactivate_slots(self) -> None:
        """HttpFeedback is sent no more, as after too many failures."""
        self.slots.deactivate()

    def post_as_stranger(self, serial: str = "FOC00STRANGER") -> None:
        """HttpFeedback that says it comes from another device."""
        self.slots.post_as_stranger(serial)

    def post_huge(self) -> None:
        """HttpFeedback that is far too long."""
        self.slots.post_huge()

    def lose_feedback(self) -> None:
        """Forgets all registrations of whoever is connected, silently, and those of HttpFeedback."""
        for line in list(self.lines):
            line.forget()

    def hold_open(self, *, newcomers: bool = False) -> None:
        """Keeps the TCP connections and neither reads nor answers, not even pings."""
        self.holding = newcomers
        for visitor in self.visitors:
            visitor.hold()

    def let_go(self) -> None:
        self.holding = False
        for visitor in list(self.visitors):
            visitor.let_go()

    def reboot(self, down_s: float = 30.0, *, answers: Literal["refuse", "502"] = "502") -> None:
        """Closes everything, is away for a while, and comes back with Uptime 0 and ids counted anew."""
        self.down = answers
        self.on_door(self)
        self.cut("end")
        self.screen.go_dark()
        self.sessions.clear()
        self.forget_status(SOURCES)
        self.sources.clear()
        self._named.clear()
        if not self.faults.slots_survive_reboot:
            self.slots.forget()
        self._schedule.after(down_s, self._come_back)

    def send_junk(self, kind: Junk) -> None:
        """Something that no client expects, to everybody who is connected."""
        for line in list(self.lines):
            line.send_junk(kind)

    # The door

    def admits(self, user: str, password: str) -> bool:
        """Whether these may come in; too many mistakes close the door for a while."""
        now = self.now()
        if self._locked_until is not None and now < self._locked_until:
            return False
        if (user, password) == (self.user, self.password):
            self.failed_logins = 0
            self.logins += 1
            return True
        self.failed_logins += 1
        allowed = int(self.config("Security", "Session", "MaxFailedLogins") or 0)
        if allowed and self.failed_logins >= allowed:
            self.failed_logins = 0
            minutes = int(self.config("Security", "Session", "FailedLoginsLockoutTime") or 0)
            self._locked_until = now + timedelta(minutes=minutes)
        return False

    @property
    def sessions_full(self) -> bool:
        """Whether the sessions of HTTP, which never end by themselves, and the shells are too many."""
        most = int(self.config("Security", "Session", "MaxSessionsPerUser") or 20)
        shells = sum(visitor.service == "ssh" for visitor in self.visitors)
        return self.faults.sessions_exhausted or len(self.sessions) + shells >= most

    def begin_session(self) -> str:
        cookie = f"{self.luck.getrandbits(256):064x}"
        self.sessions.add(cookie)
        return cookie

    def end_session(self, cookie: str) -> None:
        self.sessions.discard(cookie)

    @property
    def locked(self) -> bool:
        return self._locked_until is not None and self.now() < self._locked_until

    # The tree

    def config(self, *names: str) -> Scalar | None:
        path: Path = ("Configuration", *names)
        return self._config.get(path, self.firmware.defaults.get(path))

    def status(self, *names: Scalar) -> Scalar | None:
        return self._status.get(("Status", *names))

    def configure(self, path: Path, value: Scalar) -> None:
        """As xSet does."""
        if self.config(*(str(step) for step in path[1:])) != value:
            self._config[path] = value
            self.feed([(path, value)])
            self._refresh_room()
            self.refresh_light()
            if path[1] == "NetworkServices":
                self._rearrange()

    def set_status(self, values: Mapping[Path, Scalar]) -> None:
        """Tells what has changed; values that this firmware does not know are left out."""
        changed: list[Leaf] = []
        for path, value in values.items():
            if self._status.get(path) != value and self.firmware.resolve(path) is not None:
                self._status[path] = value
                changed.append((path, value))
        if changed:
            self.feed(changed)

    def forget_status(self, prefix: Path) -> None:
        """Takes an element of a list away, and says so."""
        gone = [path for path in self._status if path[: len(prefix)] == prefix]
        for path in gone:
            del self._status[path]
        if gone:
            self.feed([((*prefix, "ghost"), "True")])

    def refresh_light(self) -> None:
        """After what the light follows has changed."""
        self.set_status({("Status", "UserInterface", "LedControl", "Color"): self.screen.light})

    def set_silently(self, path: Path, value: Scalar) -> None:
        """For floods, which tell by themselves."""
        self._status[path] = value

    def leaves(self) -> Iterable[Leaf]:
        """Every value that the device has now."""
        for path, value in self._status.items():
            if not self._lacking or self.firmware.resolve(path) is not None:
                yield path, self._shown(path, value)
        for path, value in self.firmware.defaults.items():
            yield path, self._config.get(path, value)
        yield ("Status", "SystemUnit", "Uptime"), self.uptime_s
        yield ("Status", "Time", "SystemTime"), stamp(self.now())

    @property
    def uptime_s(self) -> int:
        return max(0, int((self.now() - self._booted_at).total_seconds()))

    # Telling

    def emit(self, names: Sequence[tuple[str, ...]], bodies: Sequence[object]) -> None:
        """Events of one action, without the fields and events that this firmware does not have."""
        together: list[Leaf] = []
        for name, body in zip(names, bodies, strict=True):
            spec = self.firmware.events.get(name)
            if spec is None:
                continue
            self.told[" ".join(name)] += 1
            leaves = list(flatten(("Event", *name), self._shaped(body, spec)))
            if self.faults.delivery == "merged":
                together.extend(leaves)
            else:
                self.feed(leaves, whole=True)
        if together:
            self.feed(together, whole=True)

    def feed(self, leaves: Sequence[Leaf], *, whole: bool = False) -> None:
        """Sends changes to whoever asked for them."""
        if not whole and self.faults.delivery == "split":
            for leaf in leaves:
                self.feed([leaf], whole=True)
            return
        shown = [(path, self._shown(path, value)) for path, value in leaves]
        for line in list(self.lines):
            line.feed(shown)
        self.on_change()

    def truth(self) -> dict[str, Any]:
        """Everything about the room that others should come to know, as plain values."""
        return {
            "room": self.room,
            "name": self.name,
            "host": self.host,
            "profile": self.profile,
            "kind": str(self.kind),
            "serial": self.serial,
            "bookings": [booking.truth() for booking in self.agenda()],
            "pending": [booking.truth() for booking in self.calendar.bookings if booking.pending],
            "people": self._status[PEOPLE],
            "people_in_room": self.people_in_room,
            "presence": self._status[PRESENCE],
            "in_use": self._status.get(IN_USE),
            "calls": self._status[CALLS],
            "sharing": self.sharing,
            "standby": self._status[STANDBY],
            "screen": self.screen.seen(),
            "uptime_s": self.uptime_s,
            "connections": len(self.lines),
            "subscriptions": self.subscriptions,
            "frames_sent": self.frames_sent,
            "events": dict(self.told),
            "logins": self.logins,
            "sessions": len(self.sessions),
            "posted": self.slots.posted,
            "locked": self.locked,
        }

    @property
    def subscriptions(self) -> int:
        return sum(line.subscriptions for line in self.lines)

    def received(self, name: str) -> list[Received]:
        """The commands of this name that came, oldest first."""
        return [command for command in self.commands if command.name == name]

    # Inside

    def _rearrange(self) -> None:
        """After a service was switched on or off; who did it may still get the answer."""
        self.on_door(self)
        self._schedule.after(0, self._send_off)

    def _send_off(self) -> None:
        for visitor in list(self.visitors):
            if not self.offers(visitor.service):
                visitor.cut("end")

    @property
    def sharing(self) -> bool:
        return any(path[: len(SHARING)] == SHARING for path in self._status)

    def _come_back(self) -> None:
        self._booted_at = self.now()
        self.calendar.renumber()
        self.down = ""
        self.stand_by("Off")
        self.refresh_light()
        self.on_door(self)
        self.on_change()

    def _notice_empty(self, edition: int) -> None:
        if edition == self._presence_edition:
            self._refresh_room(presence="No")

    def _refresh_room(self, *, presence: str | None = None) -> None:
        busy = self._status[CALLS] != 0
        counts = self.config("RoomAnalytics", "PeopleCountOutOfCall") == "On" or busy
        awake = self._status[STANDBY] == "Off"
        if self.config("RoomAnalytics", "PeoplePresenceDetector") != "On":
            presence = "Unknown"
        elif presence is None:
            presence = str(self._status[PRESENCE])
        in_use = presence == "Yes" or busy or self.sharing or bool(self.sources)
        self.set_status({
            PEOPLE: self.people_in_room if counts and awake else -1,
            PRESENCE: presence,
            IN_USE: "True" if in_use else "False",
        })  # fmt: skip

    def _refresh_bookings(self) -> None:
        current, following = self.calendar.current(), self.calendar.next_start()
        if current is not None:
            status, until = "BookedUntil", stamp(current.end)
        elif following is not None:
            status, until = "FreeUntil", stamp(following)
        else:
            status, until = "Free", ""
        self.set_status({
            ("Status", "Bookings", "Current", "Id"): current.id if current else "",
            ("Status", "Bookings", "Availability", "Status"): status,
            ("Status", "Bookings", "Availability", "TimeStamp"): until,
        })  # fmt: skip
        self.refresh_light()

    def _emit_bookings(self, events: Sequence[tuple[str, Fields]]) -> None:
        self.emit([("Bookings", name) for name, _ in events], [fields for _, fields in events])

    def _shaped(self, body: object, spec: Mapping[str, Parameter]) -> object:
        """The body as this firmware sends it."""
        if not isinstance(body, Mapping):
            return body
        fields = {field.name: body[field.name] for field in spec.values() if self._tells(field, body)}
        if not fields:
            return self._emptiness()
        return {**fields, "id": 1} if self.faults.event_ids else fields

    def _tells(self, field: Parameter, body: Mapping[str, object]) -> bool:
        blank = body.get(field.name) == "" and not self.faults.blank_meeting_ids
        return field.required or (field.name in body and not blank)

    def _emptiness(self) -> object:
        match self.faults.empty_event:
            case "{}":
                return {}
            case "id":
                return {"id": 1}
            case "text":
                return ""

    def _shown(self, path: Path, value: object) -> object:
        return str(value) if self.faults.people_as_text and path == PEOPLE else value

    def _first_status(self) -> dict[Path, Scalar]:
        product, platform, capacity = PRODUCTS[self.index % len(PRODUCTS)]
        mac = f"00:1b:54:{self.index >> 16 & 255:02x}:{self.index >> 8 & 255:02x}:{self.index & 255:02x}"
        values: dict[tuple[Scalar, ...], Scalar] = {
            ("Bookings", "Availability", "Status"): "Free",
            ("Bookings", "Availability", "TimeStamp"): "",
            ("Bookings", "Current", "Id"): "",
            ("Conference", "Presentation", "Mode"): "Off",
            ("Network", 1, "Ethernet", "MacAddress"): mac,
            ("Network", 1, "IPv4", "Address"): self.host,
            ("Provisioning", "Status"): "Provisioned",
            ("RoomAnalytics", "AmbientNoise", "Level", "A"): 38,
            ("RoomAnalytics", "AmbientTemperature"): "21.5",
            ("RoomAnalytics", "Engagement", "CloseProximity"): "False",
            ("RoomAnalytics", "PeopleCount", "Capacity"): capacity,
            ("RoomAnalytics", "PeopleCount", "Current"): 0,
            ("RoomAnalytics", "PeoplePresence"): "No",
            ("RoomAnalytics", "RelativeHumidity"): 34,
            ("RoomAnalytics", "RoomInUse"): "False",
            ("RoomAnalytics", "Sound", "Level", "A"): 40,
            ("RoomAnalytics", "T3Alarm", "Detected"): "False",
            ("Standby", "Level"): "None",
            ("Standby", "State"): "Off",
            ("SystemUnit", "Hardware", "Module", "SerialNumber"): self.serial,
            ("SystemUnit", "ProductId"): product,
            ("SystemUnit", "ProductPlatform"): platform,
            ("SystemUnit", "ProductType"): "Cisco Codec",
            ("SystemUnit", "Software", "DisplayName"): self.firmware.display_name,
            ("SystemUnit", "Software", "Name"): "s53200",
            ("SystemUnit", "Software", "Version"): f"ce{self.firmware.version}.{BUILD}",
            ("SystemUnit", "State", "NumberOfActiveCalls"): 0,
            ("SystemUnit", "State", "NumberOfInProgressCalls"): 0,
            ("SystemUnit", "State", "NumberOfSuspendedCalls"): 0,
            ("SystemUnit", "State", "System"): "Initialized",
            ("UserInterface", "ContactInfo", "Name"): self.name,
            ("UserInterface", "LedControl", "Color"): "Green",
            ("Webex", "Status"): "Registered",
        }
        return {
            path: value
            for names, value in values.items()
            if self.firmware.resolve(path := ("Status", *names)) is not None
        }


__all__ = ["Address", "Device", "Received", "Standby", "TooManySources", "whole_second"]
