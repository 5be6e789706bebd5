"""Translates what a device says into the core's events; the only module that knows what xAPI paths mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import ClassVar, cast

from agent.core.events import (
    BookingCheckedIn,
    BookingCreated,
    BookingDeleted,
    BookingEnded,
    BookingFailed,
    BookingMoved,
    BookingRequested,
    BookingStarted,
    BookingsTouched,
    BookingTimeoutRead,
    CallsCounted,
    CheckInRead,
    LightModeRead,
    ListedBooking,
    PeopleCounted,
    PresenceSensed,
    PromptAnswered,
    PromptCleared,
    PromptDisplayed,
    RoomEvent,
    SharingSensed,
    ShortcomingsFound,
    SyncRequired,
    UptimeRead,
    UseSensed,
)
from agent.core.model import BookingId, DeviceId, FeedbackId, Meeting, MeetingId, RequestId, Surface
from device_adapters.xapi import needs
from device_adapters.xapi.messages import Feedback
from device_adapters.xapi.needs import Need
from device_adapters.xapi.schema import (
    ACTIVE_CALLS,
    BOOKING_TIMEOUT_S,
    DURATION_MIN,
    IDENTITY,
    MOMENT,
    OPTION,
    PEOPLE_COUNT,
    PEOPLE_PRESENCE,
    PRESENTATION_MODE,
    PROVISIONED,
    ROWS,
    SHOWN_S,
    TEXT,
    TRUE_FALSE,
    UPTIME_S,
    Unreadable,
)

Tree = Mapping[str, object]


class _Gone(Enum):
    """In a node's place: the device took it away (`ghost`)."""

    GONE = "gone"


GONE = _Gone.GONE
_MARKS = frozenset({"id", "Id", "ghost", "item", "maxOccurrence", "valueSpaceRef", "status"})  # not nodes
_ROOTS = frozenset({"Status", "Event", "Configuration"})


# ── the contract's words ──────────────────────────────────────────────────────────────────────────

FAILURE_CAUSES: Mapping[object, str] = {
    "Timeout": "timeout",
    "Decline": "declined",
    "ConfigError": "config",
    "HttpError": "http",
    "KmsError": "encryption",
}
DELETION_CAUSES: Mapping[object, str] = {
    "ManualCheckOut": "checked_out",
    "NoShow": "no_show",
    "Deleted": "deleted",
    "HotdeskSignout": "signed_out",
    "HotdeskOrganizerNotFoundInOrg": "organizer_unknown",
}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")


def snake(word: str) -> str:
    """`MicrosoftTeams` → `microsoft_teams`: a word that we have no word for yet."""
    return _HUMP.sub("_", word).strip("_").lower()


def _cause(causes: Mapping[object, str], value: object) -> str:
    if isinstance(value, str):
        return causes.get(value) or snake(value[:64]) or "unknown"
    return "unknown"


# ── shortcomings, in words that a technician can act on ───────────────────────────────────────────

TEAMS_ROOMS = (
    "The device runs Microsoft Teams Rooms: bookings cannot be extended or checked out on it; do that in the"
    " calendar."
)

ANSWERS_UNHEARD = (
    "Answers to messages on its screens are not heard, as the device is asked now and then over HTTP: switch"
    " on `NetworkServices Websocket: FollowHTTPService` or `NetworkServices SSH Mode: On`, or let it call"
    " roomd back."
)

_HEARD_NEEDS = tuple(need for need in needs.NEEDS if need.path.startswith("RoomAnalytics "))

# What a device cannot do by its nature: only told where no other device of the room does it.
COUNTS_NOBODY = (
    "The device does not count people: connect a camera that does (a Quad Camera), or configure another"
    " device of the room that counts them."
)
HAS_NO_BOOKINGS = (
    "The device knows no bookings: register it with a calendar service, or configure another device of the"
    " room that knows them."
)
NAVIGATOR_COUNTS_NOBODY = "A Room Navigator counts nobody: configure the room's codec or board beside it."
NAVIGATOR_HAS_NO_BOOKINGS = (
    "A Room Navigator that stands alone has no bookings: configure the room's codec or board beside it, or"
    " register the Navigator."
)


# ── one device's translator ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a device is, as `Status SystemUnit` says."""

    product: str
    serial: str
    firmware: str
    uptime_s: int | None

    @property
    def navigator(self) -> bool:
        """Whether it is a panel and no room system."""
        return "navigator" in self.product.lower()


class Translator:
    """Translates what one device says in one conversation; remembers what deltas leave out.

    Who shares and how the device is configured come as differences, so their sums are kept here.
    """

    __slots__ = (
        "_calls_here",
        "_events",
        "_in_teams_call",
        "_mode",
        "_shares",
        "_told_shortcomings",
        "_unmet",
        "booking_timeout_s",
        "checks_in",
        "counts",
        "device",
        "light_mode",
        "provisioned",
        "teams",
        "timezone",
        "unknown",
        "unreadable",
    )

    def __init__(self, device: DeviceId) -> None:
        self.device = device
        self.unknown = 0  # nodes heard that we know nothing of
        self.unreadable = 0  # nodes with values outside their value space
        self.timezone: str | None = None  # `Configuration Time Zone`, an IANA name
        self.booking_timeout_s: int | None = None
        self.checks_in: bool | None = None  # it deletes bookings that nobody checks in to
        self.provisioned: bool | None = None  # of a navigator: whether anybody provisions it
        self.teams = False  # it runs Microsoft Teams Rooms
        self.light_mode: str | None = None  # what its light follows; None: it has none, or does not say
        self.counts = False  # it has a number of people, be it that it does not know it now
        self._calls_here: int | None = None
        self._in_teams_call: bool | None = None
        self._events: list[RoomEvent] = []
        self._shares: frozenset[int] = frozenset()  # `LocalInstance`s that are there
        self._mode: bool | None = None  # whether the call carries something from this room
        self._unmet: frozenset[Need] = frozenset()  # as it is configured
        self._told_shortcomings: tuple[str, ...] = ()

    # ── what is heard and read ──

    def heard(self, feedback: Feedback) -> tuple[RoomEvent, ...]:
        """The events in a piece of feedback, in its order; what is unknown or unreadable is only counted."""
        return self._translate(feedback.tree)

    def read(self, path: Sequence[str], value: object) -> tuple[RoomEvent, ...]:
        """The events in the answer to `xGet path`: a leaf's value, or a subtree without its root.

        What is there beside the nodes that we know is no surprise and is not counted.
        """
        if path[:3] == ("Status", "Conference", "Presentation"):
            self._shares, self._mode = frozenset(), None  # this is the whole, and no difference
        elif path == ("Status", "RoomAnalytics"):
            self.counts = isinstance(_branch(value).get("PeopleCount"), dict)
        unknown = self.unknown
        tree: object = value
        for name in reversed(path):
            tree = {name: tree}
        events = self._translate(cast("Tree", tree))
        self.unknown = unknown
        return events

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """What the device's configuration hides from us, as far as it is known."""
        unmet = tuple(need.sentence for need in _HEARD_NEEDS if need in self._unmet)
        return (*unmet, TEAMS_ROOMS) if self.teams else unmet

    @property
    def sharing(self) -> bool | None:
        """Whether somebody in the room shares a screen; None until the device has said anything of it."""
        if self._shares:
            return True
        return self._mode

    def _translate(self, tree: Tree) -> tuple[RoomEvent, ...]:
        events = self._events = []
        for root, branch in tree.items():
            if root in _ROOTS:
                self._walk(branch, self._TABLE[root])
        return tuple(events)

    def _walk(self, value: object, at: _Node) -> None:
        """Follow the tree as far as the table knows it; no deeper than the table, whatever was sent."""
        if isinstance(at, dict):
            if type(value) is dict:
                if value.get("ghost") == "True":
                    self._walk_gone(at)
                    return
                for name, below in value.items():
                    known = at.get(name)
                    if known is not None:
                        self._walk(below, known)
                    elif name not in _MARKS:
                        self.unknown += 1
            elif type(value) is list:
                for each in value:
                    if type(each) is not list:
                        self._walk(each, at)
            elif value is not GONE:
                self.unreadable += 1
            return
        try:
            if type(value) is dict and value.get("ghost") == "True":
                value = GONE
            at(self, value)
        except Unreadable:
            self.unreadable += 1

    def _walk_gone(self, at: Mapping[str, _Node]) -> None:
        for below in at.values():
            if isinstance(below, dict):
                self._walk_gone(below)
            else:
                self._walk(GONE, below)

    # ── sensors ──

    def _people(self, value: object) -> None:
        count = None if value is GONE else PEOPLE_COUNT.cast(value)
        people = count if count is not None and count >= 0 else None
        self._events.append(PeopleCounted(device=self.device, people=people))

    def _presence(self, value: object) -> None:
        presence = None if value is GONE else PEOPLE_PRESENCE.cast(value)
        self._events.append(PresenceSensed(device=self.device, presence=presence))

    def _use(self, value: object) -> None:
        in_use = None if value is GONE else TRUE_FALSE.cast(value)
        self._events.append(UseSensed(device=self.device, in_use=in_use))

    def _calls(self, value: object) -> None:
        self._calls_here = None if value is GONE else ACTIVE_CALLS.cast(value)
        self._tell_calls()

    def _teams_call(self, value: object) -> None:
        self._in_teams_call = None if value is GONE else TRUE_FALSE.cast(value)
        self._tell_calls()

    def _tell_calls(self) -> None:
        # The device does not count Teams' calls among its own.
        calls = self._calls_here
        if self._in_teams_call is not None:
            calls = (calls or 0) + self._in_teams_call
        self._events.append(CallsCounted(device=self.device, calls=calls))

    def _teams_app(self, value: object) -> None:
        self.teams = value is not GONE and TEXT.cast(value) is not None

    def _shares_heard(self, value: object) -> None:
        if value is GONE:
            self._shares = frozenset()
        else:
            for each in value if isinstance(value, list) else [value]:
                if type(each) is not dict:
                    raise Unreadable("not an instance")
                number = ROWS.cast(each.get("id", 1))
                if each.get("ghost") == "True":
                    self._shares -= {number}
                else:
                    self._shares |= {number}
        self._mode = self._mode or False
        self._events.append(SharingSensed(device=self.device, sharing=self.sharing))

    def _mode_heard(self, value: object) -> None:
        self._mode = False if value is GONE else PRESENTATION_MODE.cast(value)
        self._events.append(SharingSensed(device=self.device, sharing=self.sharing))

    def _uptime(self, value: object) -> None:
        if value is not GONE:
            self._events.append(UptimeRead(device=self.device, uptime_s=UPTIME_S.cast(value)))

    # ── screens and lights ──

    def _prompt_displayed(self, value: object) -> None:
        # Somebody's prompt is there, whatever else can be read of it: it is not to be disturbed.
        for body in _bodies(value):
            shown = PromptDisplayed(
                device=self.device, feedback_id=_feedback_id(body), duration_s=_shown_s(body.get("Duration"))
            )
            self._events.append(shown)

    def _prompt_answered(self, value: object) -> None:
        for body in _bodies(value):
            option = OPTION.cast(body.get("OptionId"))
            answered = PromptAnswered(
                device=self.device,
                feedback_id=_feedback_id(body),
                option=option,
                surface=_surface(body.get("Origin")),
            )
            self._events.append(answered)

    def _prompt_cleared(self, value: object) -> None:
        for body in _bodies(value):
            cleared = PromptCleared(
                device=self.device,
                feedback_id=_feedback_id(body),
                surface=_surface(body.get("Target")) or _surface(body.get("Origin")),
            )
            self._events.append(cleared)

    def _light(self, value: object) -> None:
        self.light_mode = None if value is GONE else TEXT.cast(value)
        if self.light_mode is not None:
            self._events.append(LightModeRead(device=self.device, mode=self.light_mode))

    # ── bookings ──

    def _booking(self, value: object, build: _Build) -> None:
        """One event per body; where it cannot be read, the event still says that something changed."""
        for body in value if isinstance(value, list) else [value]:
            try:
                if type(body) is not dict:
                    raise Unreadable("no members")  # noqa: TRY301 - one mend for all that cannot be read
                event = build(self.device, body)
            except Unreadable:
                self.unreadable += 1
                event = BookingsTouched(device=self.device)
            self._events.append(event)

    def _requested(self, value: object) -> None:
        self._booking(value, _requested)

    def _created(self, value: object) -> None:
        self._booking(value, _created)

    def _failed(self, value: object) -> None:
        self._booking(value, _failed)

    def _moved(self, value: object) -> None:
        self._booking(value, _moved)

    def _started(self, value: object) -> None:
        self._booking(value, _started)

    def _checked_in(self, value: object) -> None:
        self._booking(value, _checked_in)

    def _ended(self, value: object) -> None:
        self._booking(value, _ended)

    def _deleted(self, value: object) -> None:
        self._booking(value, _deleted)

    def _touched(self, _value: object) -> None:
        # That the key is there is all there is to say: `Updated` comes as {}, {"id": 1} or "".
        self._events.append(BookingsTouched(device=self.device))

    def _sync(self, _value: object) -> None:
        self._events.append(SyncRequired(device=self.device))

    # ── configuration ──

    def _configured(self, value: object, need: Need) -> None:
        met = None if value is GONE else need.met(value)
        self._unmet = self._unmet | {need} if met is False else self._unmet - {need}
        self._tell_shortcomings()
        if met is None and value is not GONE:
            raise Unreadable("not a value of its value space")

    def _out_of_call(self, value: object) -> None:
        self._configured(value, needs.COUNTS_OUT_OF_CALLS)

    def _detector(self, value: object) -> None:
        self._configured(value, needs.SENSES_PRESENCE)

    def _head_detector(self, value: object) -> None:
        self._configured(value, needs.SEES_HEADS)

    def _use_in_call(self, value: object) -> None:
        self._configured(value, needs.CALLS_ARE_USE)

    def _use_by_sharing(self, value: object) -> None:
        self._configured(value, needs.SHARING_IS_USE)

    def _check_in(self, value: object) -> None:
        # Whether that is wrong depends on what roomd is to do in the room, which the core knows.
        self.checks_in = None  # also where it cannot be read
        self._events.append(CheckInRead(device=self.device, enabled=None))
        if value is not GONE:
            self.checks_in = TRUE_FALSE.cast(value)
            self._events[-1] = CheckInRead(device=self.device, enabled=self.checks_in)

    def _tell_shortcomings(self) -> None:
        now = self.shortcomings
        if now != self._told_shortcomings:
            self._told_shortcomings = now
            self._events.append(ShortcomingsFound(device=self.device, shortcomings=now))

    def _timeout(self, value: object) -> None:
        if value is not GONE:
            self.booking_timeout_s = BOOKING_TIMEOUT_S.cast(value)
            self._events.append(BookingTimeoutRead(device=self.device, seconds=self.booking_timeout_s))

    def _provisioning(self, value: object) -> None:
        self.provisioned = None if value is GONE else PROVISIONED.cast(value)

    def _zone(self, value: object) -> None:
        if value is not GONE:
            self.timezone = TEXT.cast(value)

    def _nothing(self, value: object) -> None:
        """Known, and of no use to us."""

    # ── paths ──

    _TABLE: ClassVar[Mapping[str, _Node]] = {
        "Status": {
            "RoomAnalytics": {
                "PeopleCount": {"Current": _people, "Capacity": _nothing},
                "PeoplePresence": _presence,
                "RoomInUse": _use,
            },
            "SystemUnit": {
                "State": {"NumberOfActiveCalls": _calls},
                "Uptime": _uptime,
            },
            "MicrosoftTeams": {
                "Calling": {"InCall": _teams_call},
                "Software": {"Version": {"TeamsApp": _teams_app}},
            },
            "Conference": {
                "Presentation": {
                    "LocalInstance": _shares_heard,
                    "Mode": _mode_heard,
                    "CallId": _nothing,
                    "Controllable": _nothing,
                    "Whiteboard": _nothing,
                },
            },
        },
        "Event": {
            "UserInterface": {
                "Message": {
                    "Prompt": {
                        "Display": _prompt_displayed,
                        "Response": _prompt_answered,
                        "Cleared": _prompt_cleared,
                    },
                },
            },
            "Bookings": {
                "BookingRequested": _requested,
                "BookingCreated": _created,
                "BookingFailed": _failed,
                "BookingMoved": _moved,
                "Start": _started,
                "CheckedIn": _checked_in,
                "End": _ended,
                "Deleted": _deleted,
                "Updated": _touched,
                "ExtensionRequested": _touched,
                "EditRequested": _touched,
                "SyncRequired": _sync,
                # A failed extension or edit leaves the booking as it was; the others are about screens.
                "ExtensionFailed": _nothing,
                "EditFailed": _nothing,
                "NotificationSnoozed": _nothing,
                "TimeRemaining": _nothing,
                "StartTimeBuffer": _nothing,
                "EndTimeBuffer": _nothing,
            },
        },
        "Configuration": {
            "RoomAnalytics": {
                "PeopleCountOutOfCall": _out_of_call,
                "PeoplePresenceDetector": _detector,
                "PeoplePresence": {"Input": {"HeadDetector": _head_detector}},
                "RoomInUse": {"InCall": _use_in_call, "LocalUsage": _use_by_sharing},
            },
            "Bookings": {
                "CheckIn": {"Enabled": _check_in},
                "AdhocBooking": {"BookingTimeout": _timeout},
            },
            "Provisioning": {"Mode": _provisioning},
            "Time": {"Zone": _zone},
            "UserInterface": {"LedControl": {"Mode": _light}},
        },
    }


_Leaf = Callable[[Translator, object], None]
_Node = _Leaf | dict[str, "_Node"]

_Build = Callable[[DeviceId, Tree], RoomEvent]


# ── members of events and listings ────────────────────────────────────────────────────────────────


SURFACES: Mapping[str, Surface] = {
    "OSD": Surface.SCREEN,
    "Controller": Surface.CONTROLLER,
    "RoomScheduler": Surface.SCHEDULER,
}


def _bodies(value: object) -> Sequence[Tree]:
    """The bodies of events that came at once; of one without fields, an empty one."""
    return [_branch(each) for each in (value if isinstance(value, list) else [value])]


def _feedback_id(body: Tree) -> FeedbackId | None:
    """None also where it cannot be read: then it is none of ours."""
    try:
        text = IDENTITY.cast(body.get("FeedbackId"))
    except Unreadable:
        return None
    return None if text is None else FeedbackId(text)


def _surface(value: object) -> Surface | None:
    return SURFACES.get(value) if isinstance(value, str) else None


def _shown_s(value: object) -> int | None:
    try:
        return SHOWN_S.cast(value)
    except Unreadable:
        return None


def _request_id(body: Tree) -> RequestId | None:
    text = IDENTITY.cast(body.get("BookingRequestUUID"))
    return None if text is None else RequestId(text)


def _ids(body: Tree) -> tuple[BookingId | None, MeetingId | None]:
    """The booking's ids; "" is none (a pushed calendar has no meeting ids)."""
    booking_id, meeting_id = IDENTITY.cast(body.get("Id")), IDENTITY.cast(body.get("MeetingId"))
    return (
        None if booking_id is None else BookingId(booking_id),
        None if meeting_id is None else MeetingId(meeting_id),
    )


def _known_ids(body: Tree) -> tuple[BookingId | None, MeetingId | None]:
    booking_id, meeting_id = _ids(body)
    if booking_id is None and meeting_id is None:
        raise Unreadable("neither Id nor MeetingId")
    return booking_id, meeting_id


def _span(body: Tree) -> tuple[datetime, datetime]:
    starts_at = MOMENT.cast(body.get("StartTime"))
    try:
        return starts_at, starts_at + timedelta(minutes=DURATION_MIN.cast(body.get("Duration")))
    except OverflowError:
        raise Unreadable("ends after the end of time") from None


def _moment(value: object) -> datetime | None:
    """When it happened, if the device says so and it can be read: the event is no less true without."""
    try:
        return None if value in (None, "") else MOMENT.cast(value)
    except Unreadable:
        return None


def _requested(device: DeviceId, body: Tree) -> RoomEvent:
    starts_at, ends_at = _span(body)
    return BookingRequested(
        device=device,
        request_id=_request_id(body),
        starts_at=starts_at,
        ends_at=ends_at,
        title=_lenient(body.get("Title")),
    )


def _created(device: DeviceId, body: Tree) -> RoomEvent:
    starts_at, ends_at = _span(body)
    booking_id, meeting_id = _ids(body)
    if booking_id is None:
        raise Unreadable("no Id")
    return BookingCreated(
        device=device,
        booking_id=booking_id,
        meeting_id=meeting_id,
        starts_at=starts_at,
        ends_at=ends_at,
        request_id=_request_id(body),
        title=_lenient(body.get("Title")),
        organizer=_lenient(body.get("OrganizerName")) or _lenient(body.get("OrganizerEmail")),
        organizer_address=_lenient(body.get("OrganizerEmail")),
    )


def _failed(device: DeviceId, body: Tree) -> RoomEvent:
    cause = _cause(FAILURE_CAUSES, body.get("FailureCause"))
    return BookingFailed(device=device, request_id=_request_id(body), cause=cause)


def _moved(device: DeviceId, body: Tree) -> RoomEvent:
    starts_at, ends_at = _span(body)
    booking_id, meeting_id = _known_ids(body)
    return BookingMoved(
        device=device, booking_id=booking_id, meeting_id=meeting_id, starts_at=starts_at, ends_at=ends_at
    )


def _started(device: DeviceId, body: Tree) -> RoomEvent:
    booking_id, meeting_id = _known_ids(body)
    return BookingStarted(device=device, booking_id=booking_id, meeting_id=meeting_id)


def _checked_in(device: DeviceId, body: Tree) -> RoomEvent:
    booking_id, meeting_id = _known_ids(body)
    return BookingCheckedIn(device=device, booking_id=booking_id, meeting_id=meeting_id)


def _ended(device: DeviceId, body: Tree) -> RoomEvent:
    booking_id, meeting_id = _known_ids(body)
    ended_at = _moment(body.get("EndTime"))
    return BookingEnded(device=device, booking_id=booking_id, meeting_id=meeting_id, ended_at=ended_at)


def _deleted(device: DeviceId, body: Tree) -> RoomEvent:
    booking_id, meeting_id = _known_ids(body)
    return BookingDeleted(
        device=device,
        booking_id=booking_id,
        meeting_id=meeting_id,
        cause=_cause(DELETION_CAUSES, body.get("Cause")),
        at=_moment(body.get("TimeStamp")),
    )


# ── answers ───────────────────────────────────────────────────────────────────────────────────────


def identity(system_unit: object) -> Identity:
    """Who says so in `Status SystemUnit`; Unreadable if it lacks a product or a firmware: no room device."""
    unit = _branch(system_unit)
    software = _branch(unit.get("Software"))
    module = _branch(_branch(unit.get("Hardware")).get("Module"))
    product = TEXT.cast(unit.get("ProductId"))
    firmware = TEXT.cast(software.get("Version")) or TEXT.cast(software.get("DisplayName"))
    if product is None or firmware is None:
        raise Unreadable("no ProductId or no Software Version")
    try:
        uptime_s = UPTIME_S.cast(unit.get("Uptime"))
    except Unreadable:
        uptime_s = None
    return Identity(
        product=product,
        serial=TEXT.cast(module.get("SerialNumber")) or "",
        firmware=firmware,
        uptime_s=uptime_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one answer to `Bookings List` holds."""

    bookings: tuple[ListedBooking, ...]
    unreadable: frozenset[BookingId]  # there, with impossible times
    nameless_from: tuple[datetime | None, ...]  # when entries without an Id start, where that can be read
    rows: int  # entries of any kind on this page
    total: int  # entries that there are in all, on all pages


def page(result: object) -> Page:
    """Read an answer to `Bookings List`, leniently: no schema describes it, and each version adds members.

    An empty list has no `Booking`, and says so in `ResultInfo`. Unreadable if it is no listing, or one that
    failed: that must not be taken for a room without bookings.
    """
    if type(result) is not dict or result.get("status", "OK") != "OK":
        raise Unreadable("no listing")
    found = result.get("Booking")
    if found is None and "ResultInfo" not in result:
        raise Unreadable("no listing")
    entries = found if isinstance(found, list) else [] if found is None else [found]
    bookings: dict[BookingId, ListedBooking] = {}
    unreadable: set[BookingId] = set()
    nameless_from: list[datetime | None] = []
    for entry in entries:
        try:
            booking_id = _ids(_branch(entry))[0]
        except Unreadable:
            booking_id = None
        if booking_id is None:
            nameless_from.append(_moment(_branch(_branch(entry).get("Time")).get("StartTime")))
            continue
        try:
            bookings.setdefault(booking_id, _listed(booking_id, _branch(entry)))
        except Unreadable:
            unreadable.add(booking_id)
    try:
        total = ROWS.cast(_branch(result.get("ResultInfo")).get("TotalRows"))
    except Unreadable:
        total = len(entries)
    return Page(
        bookings=tuple(bookings.values()),
        unreadable=frozenset(unreadable - bookings.keys()),
        nameless_from=tuple(nameless_from),
        rows=len(entries),
        total=total,
    )


def _listed(booking_id: BookingId, entry: Tree) -> ListedBooking:
    time = _branch(entry.get("Time"))
    starts_at, ends_at = MOMENT.cast(time.get("StartTime")), MOMENT.cast(time.get("EndTime"))
    if ends_at <= starts_at:
        raise Unreadable("ends before it starts")
    return ListedBooking(
        booking_id=booking_id,
        meeting_id=_ids(entry)[1],
        starts_at=starts_at,
        ends_at=ends_at,
        meeting=_meeting(entry),
        from_webex=_WEBEX_ID.fullmatch(booking_id) is not None,
    )


def _meeting(entry: Tree) -> Meeting:
    """The gathering. `Agenda`, its description, is never read."""
    private = entry.get("Privacy") == "Private"
    organizer = _branch(entry.get("Organizer"))
    names = (_lenient(organizer.get(part)) for part in ("FirstName", "LastName"))
    platform = _lenient(entry.get("MeetingPlatform"))
    return Meeting(
        title=None if private else _lenient(entry.get("Title")),  # the API gives it all the same
        organizer=" ".join(filter(None, names)) or _lenient(organizer.get("Email")),
        organizer_address=_lenient(organizer.get("Email")),
        platform=snake(platform) or None if platform else None,
        join=_join(entry),
        private=private,
    )


def _join(entry: Tree) -> str | None:
    """The first number that is a link or an address and no telephone number."""
    found = _branch(_branch(entry.get("DialInfo")).get("Calls")).get("Call")
    for call in found if isinstance(found, list) else [found]:
        number = _lenient(_branch(call).get("Number"))
        if number is not None and _JOINABLE.match(number):
            return number
    return None


_WEBEX_ID = re.compile(r"webex-[0-9]+")
_JOINABLE = re.compile(
    r"(?:https?://|spark:|webex:|teams:|sips?:[^@\s]+@|h323:|[^@\s]+@)[^@\s]+\Z", re.IGNORECASE
)


def _lenient(value: object) -> str | None:
    """A member that a booking can do without."""
    try:
        return TEXT.cast(value)
    except Unreadable:
        return None


def _branch(value: object) -> Tree:
    return value if type(value) is dict else {}
