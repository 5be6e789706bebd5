"""Replaces what a device says of people, places and secrets, so that anybody may read its conversation.

It is an allow-list: what is not known to be harmless is replaced. The same text becomes the same replacement
everywhere in one conversation, so that what belonged together still does; nothing of the text is left in it,
only of what kind it was. Nobody can turn it back without the memory that made it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from device_adapters.xapi.messages import Call, Feedback, Refusal, Reply, XapiMessage
from device_adapters.xapi.needs import NEEDS
from device_adapters.xapi.schema import COMMANDS, NODES

DEEPEST = 60  # levels; the deepest that a device has are ten
# Where a recording begins. Two days, so that clocks in the rooms still show what they showed: most places
# change their clocks between these halves of the year. Both are Mondays.
WINTER, SUMMER = date(2024, 1, 15), date(2024, 7, 15)
_SUMMER_MONTHS = range(4, 11)


class _Rule(Enum):
    """What a node holds: first what may stay if it looks as it should, then what is replaced."""

    NUMBER = "number"
    PRODUCT = "product"
    VERSION = "version"
    ZONE = "zone"
    ANY = "any"  # stays if it is a word of some value space
    TITLE = "Title"
    NAME = "Name"  # of a person: word by word, as some nodes have first and last name apart
    SERIAL = "SERIAL"
    PLACE = "Place"  # of a system or a room
    HOST = "host"
    SECRET = "secret"  # noqa: S105 - the word stands in the place of one


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# By a node's name, or by its parent's and its own. Every other node is ANY.
_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(
        _words("""A AmbientTemperature AutoCheckInDuration BookingTimeout CallId Capacity CenterFrequency
        Current DayOffset Days DirectShare Duration EndTimeBuffer Interval Level Limit MaxDuration
        MaximumMeetingExtension MinuteOffset MinutesFreed NumberOfActiveCalls NumberOfInProgressCalls
        NumberOfSuspendedCalls Offset OptionId RT60 RelativeHumidity ScheduledDuration Seconds
        SecondsSinceStart SecondsUntilEnd Source StartTimeBuffer Timeout TotalRows Uptime
        WindowDuration id item maxOccurrence"""),
        _Rule.NUMBER,
    ),
    **dict.fromkeys(("ProductId", "ProductPlatform", "ProductType"), _Rule.PRODUCT),
    **dict.fromkeys(
        ("Software Version", "Software DisplayName", "Version TeamsApp", "TeamsApp"), _Rule.VERSION
    ),
    "Time Zone": _Rule.ZONE,
    **dict.fromkeys(("Title", "Subject", "MeetingTitle"), _Rule.TITLE),
    **dict.fromkeys(
        _words("""OrganizerName FirstName LastName FullName DisplayName UserName Username ContactName
        OrganizerEmail Email"""),
        _Rule.NAME,
    ),
    **dict.fromkeys(("SerialNumber", "Serial"), _Rule.SERIAL),
    **dict.fromkeys(("SystemName", "SystemUnit Name", "ContactInfo"), _Rule.PLACE),
    **dict.fromkeys(("Hostname", "HostName", "Domain"), _Rule.HOST),
    **dict.fromkeys(
        _words("HostKey HostPin MeetingNumber Passphrase Password Pin PIN Secret Token"), _Rule.SECRET
    ),
}

# Words of value spaces. None of them says anything of anybody; colours, which are also names, are left out.
_WORDS = _words(
    """AdhocOnly All Auto BestEffort BookedUntil CUCM Closed Controller Current Decline Declined DeepSleep
    Deleted Disabled DisplayOff Edge Empty Enabled EnteringStandby Error Failed False Forbidden Free FreeUntil
    Fullscreen GoogleMeet Guaranteed H323 Halfwake HotdeskOrganizerNotFoundInOrg HotdeskSignout HttpError IP
    InCall Initialized Initializing InsideOnly JSON KmsError ConfigError Limited LocalOnly LocalRemote Manual
    ManualCheckOut Master Measured Measuring MicrosoftTeams Modal Multisite Networked No NoShow None
    NotApplicable OBTP OK OSD Off On Open Other ParameterError PersistentWebApp Personal Private Public
    Receiving RoomScheduler SIP Scheduled Sending Shared SharedAndPersonal Sleeping Spark Standby TMS Timeout
    True Unknown Upcoming VCS Video WebRTC Webex XML Yes Zoom"""
)
_PRODUCT_WORDS = _words(
    """10 24 55 55S 60 65 70 70S 75 75S 85 85S Audio Bar Board BYOD Camera Cisco Codec Desk Dual DX70 DX80 EQ
    EQX G2 Hub Huddle Kit LE Limited Mini MX200 MX300 MX700 MX800 Navigator Plus Pro Quad Room Series Single
    SX10 SX20 SX80 Table TelePresence Touch Wall Webex"""
)
_REFUSALS = frozenset(
    {
        "command not recognized",
        "illegal value",
        "internal error",
        "invalid id",
        "invalid params",
        "invalid request",
        "method not found",
        "no match on address expression",
        "no match on path argument",
        "no match on query argument",
        "parse error",
        "permission denied",
        "subscriber count exceeded",
        "system not ready to accept requests",
        "unknown command",
        "unknown subscription id",
    }
)

# Names of nodes stay where they are made of words that names of nodes are made of. Those that newer firmware
# brings mostly are, and they are what a bug report is often about.
_PARTS = _words(
    """6 Account Address Agenda Ahead Air Alarm Allow Allowed Answer Appearance Application Associated
    Availability Been Board body Bookable Broadcast Camera Cancellable Cause Celsius Change Cleared Close
    Code command Connect Connected Controllable Creation Custom Data Date Declinable Decline Deregister
    Desk Detected Detection Device Dial Enable Encryption Engagement Error Estimation Expression External
    Failure Format ghost Ghost Group Has Head Header Hot Hotdesk Hours Http Https I Identification Index
    Input Insecure Inside Invite IP Join Joined Keys Layout Lid Location Locus Logins MAC Main
    Measurement Method Microphone Middle Monitoring Move Multipoint Navigator Network New Noise
    Notifications Notify Numbers Octaves Office Old On Options Origin Original Outside Participants Path
    Pending Per Peripheral Peripherals Policy Presenter Preview Priority Privacy Protocol Provider
    Proximity Proxy Put Pv Quality Query Rate Reason Recording Recurrence Ref Register Release Remote
    Response Result Reverberation Role RTC Run Schedule Screen Security Selected Sender Sending Sensor
    Schema Series Server Service Session Sessions Sip Slot Snooze Sound Space Spark Stamp status
    Subscribe Unsubscribe Subsystem SW T Test Third Tls To Tracking Transcoding Tvoc UDI Ultrasound
    Update Upgrade URI Uri Url URL Usage V value Value Verify Video View Visibility Volume Warning Web
    Webex X Y Year"""
)
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_HUMPS = frozenset(
    hump
    for name in (
        *_PARTS,
        *(name for path in NODES for name in path),
        *(name for need in NEEDS for name in need.node),
        *(name for command in COMMANDS for name in command.split()),
        *(each.name for command in COMMANDS.values() for each in command.parameters),
        *_RULES,
    )
    for hump in _HUMP.findall(name)
)
_NODE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}(?:\.[0-9])?")
_ROOTS = frozenset({"xCommand", "xDoc", "xFeedback", "xGet", "xQuery", "xSet"})
_NUMBER = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,2})?")
_MOST = 10**9  # a number beyond that counts nothing; it names something
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9:.]{5,15}(?:Z|[+-][0-9]{2}:[0-9]{2})?)?")
_VERSION = re.compile(r"((?:ce|RoomOS)?\s?[0-9]{1,4}(?:\.[0-9]{1,6}){1,4})(?![0-9A-Za-z])")
_IMPOSSIBLE = "0001-01-01T00:00:00Z"  # in the place of a time that no calendar has

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_WEBEX_ID = re.compile(r"webex-[0-9]+")
_HEX = re.compile(r"(?=.*[a-fA-F])[0-9A-Fa-f]{16,}")
_DIGITS = re.compile(r"[0-9]+")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_LINK = re.compile(r"(https?)://\S+|(spark|webex|teams|h323):[^@\s]+", re.IGNORECASE)
_SIP = re.compile(r"(sips?):[^@\s]+@[^@\s]+", re.IGNORECASE)
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_WORD = re.compile(r"\S+")

_LONG = (512, 1024)  # ids, and texts, beyond which they are not read, or cut
_IP_NETS = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15")  # for documents, and tests


class Redaction:
    """The memory of one conversation: what was replaced by what."""

    __slots__ = ("_counts", "_replaced", "_used", "_zones", "began_at", "shift")

    def __init__(self, *, began_at: datetime, zones: frozenset[str]) -> None:
        """`began_at`, with its zone, is when the conversation began; `zones` are the time zones there are.

        Every date is shifted by the same number of whole days, so that it begins on the same day as any.
        """
        utc = began_at.astimezone(UTC)
        day = SUMMER if utc.month in _SUMMER_MONTHS else WINTER
        self.shift: timedelta = day - utc.date()
        self.began_at: datetime = utc + self.shift
        self._zones = zones
        self._replaced: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._used: set[str] = set()

    def call(self, call: Call) -> Call:
        """A call with its arguments replaced."""
        root, *words = call.method.split("/")
        known = root in _ROOTS and all(map(_is_name, words))
        params = {
            self._key(name): [_step(step) for step in value]
            if name in {"Path", "Query"} and isinstance(value, list | tuple)
            else self._node(value, (self._key(name),), 0)
            for name, value in call.params.items()
        }
        return Call(method=call.method if known else "unknown", params=params)

    def message(self, message: XapiMessage, *, asked: Call | None = None) -> XapiMessage:
        """A message with everything replaced that is not known to be harmless; `asked` is what it answers."""
        match message:
            case Feedback(tree):
                own = {"Id": tree["Id"]} if type(tree.get("Id")) is int else {}  # the subscription's number
                return Feedback({**_branch(self._node(tree, (), 0)), **own})
            case Refusal(number, code, words):
                known = words.strip().rstrip(".").lower() in _REFUSALS
                return Refusal(number, code, words if known else self._text("Refusal", words))
            case Reply(number, result):
                if asked is not None and asked.method.startswith("xFeedback/"):
                    return Reply(number, _numbered(result))
                return Reply(number, self._node(result, _path(asked), 0))

    def _node(self, value: object, path: tuple[str, ...], depth: int) -> object:
        if depth > DEEPEST:
            return None
        if isinstance(value, Mapping):
            return {
                name: self._node(below, path if name == "Value" else (*path[-1:], name), depth + 1)
                for name, below in ((self._key(key), below) for key, below in value.items())
            }
        if isinstance(value, list | tuple):
            return [self._node(each, path, depth + 1) for each in value]
        return self._leaf(value, path)

    def _key(self, name: object) -> str:
        """A node's name, or what stands for one that nobody knows."""
        text = str(name)
        return text if _is_name(text) else self._numbered("Node", text, lambda n: f"Node-{n}")

    def _leaf(self, value: object, path: tuple[str, ...]) -> object:
        rule = _RULES.get(" ".join(path[-2:])) or _RULES.get("".join(path[-1:])) or _Rule.ANY
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if rule is _Rule.NUMBER and abs(value) < _MOST:
                return value
            replaced = self._replace(rule, str(abs(value)))
            return (-1 if value < 0 else 1) * int(replaced) if replaced.isdecimal() else replaced
        if isinstance(value, float):
            return value if rule is _Rule.NUMBER and abs(value) < _MOST else 0.0
        text = value if isinstance(value, str) else str(value)
        if not text.strip():
            return text
        return self._kept(rule, text, path) or self._replace(rule, text)

    def _kept(self, rule: _Rule, text: str, path: tuple[str, ...]) -> str | None:
        """The text, or as much of it as is harmless; None if it has to be replaced."""
        match rule:
            case _Rule.NUMBER if _NUMBER.fullmatch(text):
                return text
            case _Rule.PRODUCT:
                known = [word for word in text.split() if word in _PRODUCT_WORDS]
                return " ".join(known) or "Room Device"
            case _Rule.VERSION if found := _VERSION.match(text):
                return found.group(1)  # without the build's hash
            case _Rule.ZONE if text in self._zones:
                return text
            case _Rule.NUMBER | _Rule.VERSION | _Rule.ZONE | _Rule.ANY:
                return text if text in _WORDS else self._shifted(text, timed="Time" in "".join(path[-1:]))
            case _:
                return None

    def _shifted(self, text: str, *, timed: bool) -> str | None:
        """The same time of another day; None if it is no time. Where `timed`, other ways to write it do."""
        found = _DATE.fullmatch(text)
        try:
            if found is None:
                return (datetime.fromisoformat(text) + self.shift).isoformat() if timed else None
            day, clock = date.fromisoformat(found.group(1)), found.group(2) or ""
            datetime.fromisoformat(text)
            return f"{day + self.shift}{clock}"
        except (ValueError, OverflowError):
            return None if found is None else _IMPOSSIBLE

    # ── replacing ──

    def _replace(self, rule: _Rule, text: str) -> str:
        if rule is _Rule.NAME:
            return _WORD.sub(lambda word: self._person(word.group()), text)
        if rule is _Rule.TITLE or rule is _Rule.PLACE:
            return self._text(rule.value, text)
        if rule is _Rule.SERIAL:
            return self._numbered(rule.value, text, lambda n: f"SERIAL{n:04d}")
        return self._alike(rule, text)

    def _person(self, word: str) -> str:
        if "@" in word:
            return self._numbered("person", word, lambda n: f"person-{n}@example.com")
        return self._text("Name", word)

    def _text(self, kind: str, text: str) -> str:
        return self._numbered(kind, text[: _LONG[1]].strip(), lambda n: f"{kind} {n}", like=text)

    def _alike(self, rule: _Rule, text: str) -> str:
        """Something of the same form: who reads it takes it for what it took the text for."""
        one = text.strip()
        if _UUID.fullmatch(one):
            return self._numbered("uuid", one, lambda n: f"00000000-0000-4000-8000-{n:012x}")
        if _WEBEX_ID.fullmatch(one):
            return self._numbered("webex", one, lambda n: f"webex-{n}")
        if _HEX.fullmatch(one):
            return self._numbered("hex", one, lambda n: f"f{n:0{len(one) - 1}x}", like=text)
        if _DIGITS.fullmatch(one):
            return self._numbered(f"digits {len(one)}", one, lambda n: _digits(len(one), n), like=text)
        if _MAC.fullmatch(one):
            return self._numbered("mac", one, _mac)
        if (version := _ip_version(one)) is not None:
            return self._numbered(f"ip {version}", one, _ipv4 if version == 4 else _ipv6)  # noqa: PLR2004
        if found := _LINK.fullmatch(one):
            web, other = found.groups()
            scheme = (web or other).lower()
            made = "https://link-{}.example.com/" if web else f"{scheme}:link-{{}}"
            return self._numbered("link", one, made.format, like=text)
        if found := _SIP.fullmatch(one):
            scheme = found.group(1).lower()
            return self._numbered("sip", one, lambda n: f"{scheme}:address-{n}@example.com", like=text)
        if _ADDRESS.fullmatch(one):
            return self._numbered("person", one, lambda n: f"person-{n}@example.com", like=text)
        match rule:
            case _Rule.SECRET:
                return self._numbered("secret", one, lambda n: f"secret-{n}", like=text)
            case _Rule.HOST:
                return self._numbered("host", one, lambda n: f"host-{n}.example.com", like=text)
            case _:
                return self._text("Text", text)

    def _numbered(self, kind: str, text: str, made: Callable[[int], str], *, like: str = "") -> str:
        """What stands for the text: made of a number that counts up, as long as it must be."""
        key = kind, text
        if (known := self._replaced.get(key)) is not None:
            return known
        instead = ""
        while not instead or instead in self._used:  # short ones run out of numbers of their length
            self._counts[kind] = number = self._counts.get(kind, 0) + 1
            instead = made(number)
        for longest in _LONG:
            if len(like) > longest >= len(instead):
                instead += "x" * (longest + 1 - len(instead))
        self._used.add(instead)
        self._replaced[key] = instead
        return instead


def _is_name(text: str) -> bool:
    return _NODE.fullmatch(text) is not None and _HUMPS.issuperset(_HUMP.findall(text))


def _step(step: object) -> object:
    """An element of a path: a node's name, a wildcard or a number."""
    if isinstance(step, str) and (_is_name(step) or set(step) == {"*"}):
        return step
    return step if isinstance(step, int) else "unknown"


def _path(asked: Call | None) -> tuple[str, ...]:
    """Where the answer to `xGet` stands; a command's stands nowhere."""
    path = None if asked is None else asked.params.get("Path")
    return tuple(str(step) for step in path) if isinstance(path, Sequence) else ()


def _numbered(result: object) -> object:
    """The answer to a subscription: a number, or that it is done."""
    number = _branch(result).get("Id")
    return {"Id": number} if isinstance(number, int) else result is True


def _branch(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _digits(length: int, number: int) -> str:
    """As many digits, without a nought in front, as one reader may take them for a number."""
    return f"{10 ** (length - 1) + number}" if length > 1 else f"{number}"


def _mac(number: int) -> str:
    return f"00:00:5e:00:{0x53 + (number >> 8):02x}:{number & 0xFF:02x}"


def _ip_version(text: str) -> int | None:
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return None


def _ipv4(number: int) -> str:
    for network in map(ipaddress.ip_network, _IP_NETS):
        if number < network.num_addresses - 1:
            return str(network[number])
        number -= network.num_addresses - 2
    return "192.0.2.254"  # nobody has met so many


def _ipv6(number: int) -> str:
    return f"2001:db8::{number:x}"
