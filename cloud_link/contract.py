"""The published models: what the cloud's developers read, and the wire carries, attribute by attribute."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from agent.core.model import (
    AttendancePhase,
    BookingPhase,
    CalendarKind,
    CalendarPhase,
    DevicePhase,
    EvidenceKind,
    Outcome,
    SensorPhase,
    Surface,
)
from agent.core.orders import AnswerStatus
from cloud_link.address import SLUG

# Names and meanings hold still: additions are free, a change of meaning needs `v2`. What is not known is null
# and not left out, so that a consumer can tell "unknown" from "a word that this version does not say".

# ── words ─────────────────────────────────────────────────────────────────────────────────────────

Time = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
        extra_json_schema={"format": "date-time"},
    ),
]
RoomSlug = Annotated[str, Meta(pattern=f"^{SLUG}$", description="The room's id, as configured on the site.")]
AgentSlug = Annotated[
    str, Meta(pattern=f"^{SLUG}$", description="The id of the agent (the daemon) at the site.")
]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
Minutes = Annotated[float, Meta(ge=0)]
StreamName = Annotated[
    str,
    Meta(
        pattern=f"^(rooms|agents)/{SLUG}(/responses)?$",
        description=(
            "Whose numbers are meant: `rooms/{room}` or `agents/{agent}`; with `/responses` behind it, those "
            "of answers to commands, which carry none: a command given again is answered again."
        ),
    ),
]
AS_PRIVACY_SAYS = (
    " A private field: where privacy is `sealed`, a compact JWE (ECDH-ES+A256KW, A256GCM, `kid`) of the "
    "UTF-8 text for the site's recipient key; where it is `plain`, the text; null where it is `dropped`, or "
    "not known."
)
NEVER_PLAIN = " A private field that leaves the site only as a JWE, and never in plain. Null in this version."
Title = Annotated[
    str | None,
    Meta(description="What the meeting is called. Null for one marked private." + AS_PRIVACY_SAYS),
]
Organizer = Annotated[
    str | None, Meta(description="Who called the meeting, as the calendar names them." + AS_PRIVACY_SAYS)
]
Join = Annotated[
    str | None, Meta(description="How to join the call: a link or a dial string." + AS_PRIVACY_SAYS)
]
Attendees = Annotated[str | None, Meta(description="The invitees." + NEVER_PLAIN)]
Description = Annotated[str | None, Meta(description="The body of the invitation." + NEVER_PLAIN)]
BookingKeyText = Annotated[
    str,
    Meta(
        min_length=1,
        description=(
            "roomd's own key: one per booking, from its request to its end, also when the booking id changes "
            "because the device was restarted."
        ),
    ),
]


Calendar = Annotated[
    CalendarKind,
    Meta(
        description=(
            "Whose word it is: `hybrid` (Webex Hybrid Calendar), `on_device` (the device's own calendar), "
            "`pushed` (put onto the device by TMS or an integrator: no meeting id, ever), `microsoft` or "
            "`google` (linked)."
        )
    ),
]
Phase = Annotated[
    BookingPhase,
    Meta(
        description=(
            "`requested` (asked for on a device, no answer yet), `pending` (waits for its meeting id), "
            "`confirmed` (has an identity that lasts), `started`, `ended`, `deleted` (gone before its end), "
            "`failed` (refused), `expired` (nobody answered)."
        )
    ),
]
Reach = Annotated[
    DevicePhase,
    Meta(
        description=(
            "`unheard` (configured, and never reached), `connected`, `lost` (dialled again and again), "
            "`refused` (it turned the agent away: a person must act)."
        )
    ),
]


CalendarReach = Annotated[
    CalendarPhase,
    Meta(
        description=(
            "`connecting` (linked, and not read yet), `active`, `degraded` (not read for a while; tried anew "
            "by itself), `operator credential` (the cloud refuses the secret or key: a person must give "
            "another), `clock skew` (the agent's clock is wrong: a person must set it), `revoked` (consent "
            "is gone: an administrator must give it again)."
        )
    ),
]


class ClockState(StrEnum):
    """Whether the agent's wall clock was in step with the world's."""

    SYNCED = "synced"
    UNSYNCED = "unsynced"


class RoomReach(StrEnum):
    """Whether a room is heard.

    `available`: every device is connected and well configured, and every linked calendar is active.
    `degraded`: some device or calendar is not. `unavailable`: no device is connected, or in a room without
    devices no calendar is active. `unknown`: nothing has been reached yet, or there is nothing.
    """

    AVAILABLE = "available"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


class CalendarService(StrEnum):
    """Whose calendars a site may have linked; a room's is `microsoft` or `google`."""

    MICROSOFT = "microsoft"
    GOOGLE = "google"
    WEBEX = "webex"  # says which rooms have a living Hybrid Calendar, and reaches devices


class AgentState(StrEnum):
    """Whether the agent is connected to the broker."""

    ONLINE = "online"
    OFFLINE = "offline"


# ── bookings ──────────────────────────────────────────────────────────────────────────────────────


class BookingData(Struct, frozen=True, kw_only=True):
    """A reserved interval of the room, as it is after what happened."""

    key: BookingKeyText
    request_id: Annotated[
        str | None,
        Meta(description="The device's `BookingRequestUUID`. Null for a booking not asked for on a device."),
    ]
    booking_id: Annotated[
        str | None,
        Meta(description="The `Id` by which a device knows it. It may change when the device is restarted."),
    ]
    meeting_id: Annotated[
        str | None,
        Meta(
            description="What the calendar backend calls it. Null until accepted; always null for `pushed`."
        ),
    ]
    ical_uid: Annotated[
        str | None, Meta(description="The iCalendar UID, the same in every attendee's calendar.")
    ]
    calendar: Annotated[
        Calendar | None, Meta(description="Whose word the booking is. Null until a calendar has answered.")
    ]
    starts_at: Annotated[Time, Meta(description="Its first moment.")]
    ends_at: Annotated[Time, Meta(description="The first moment that is free again.")]
    all_day: Annotated[bool, Meta(description="Whether the calendar marks it as lasting all day.")]
    platform: Annotated[
        str | None,
        Meta(description="What the call runs on, as the device names it: Webex, MicrosoftTeams, Zoom, …"),
    ]
    private: Annotated[
        bool, Meta(description="Whether its organizer marked it private: it then has no title.")
    ]
    phase: Phase
    entry_id: Annotated[
        str | None,
        Meta(description="What the linked calendar calls its entry. Null where no linked calendar has it."),
    ]
    join_pending: Annotated[
        bool,
        Meta(description="Whether the calendar asks, by a keyword, for a link to join by that is not there."),
    ]
    title: Title
    organizer: Organizer
    attendees: Attendees
    join: Join
    description: Description


class BookingConfirmedData(BookingData, frozen=True, kw_only=True):
    """The booking, and how long the answer took."""

    after_s: Annotated[
        Seconds | None,
        Meta(description="Seconds since it was asked for. Null where it came from the calendar unasked."),
    ]


class BookingFailedData(BookingData, frozen=True, kw_only=True):
    """The booking that did not come to be, and why."""

    cause: Annotated[
        str | None,
        Meta(
            description="Why: timeout, declined, config, http, encryption, … Null if not known.",
            examples=["timeout", "declined", "config", "http", "encryption"],
        ),
    ]


class BookingDeletedData(BookingData, frozen=True, kw_only=True):
    """The booking that is gone, and why."""

    cause: Annotated[
        str | None,
        Meta(
            description=(
                "Why: checked_out, no_show, deleted, declined, duplicate (two were one), not_in_calendar "
                "(the calendar that is believed does not have it), … Null if not known."
            ),
            examples=["checked_out", "no_show", "deleted", "declined", "duplicate", "not_in_calendar"],
        ),
    ]


class EvidenceData(Struct, frozen=True, kw_only=True):
    """That people were noticed: by what, and by which device or sensor. Never who they are."""

    kind: Annotated[
        EvidenceKind,
        Meta(
            description=(
                "`people` (heads were counted), `presence`, `in_use` (the device says so for another reason "
                "than the others here), `call`, `sharing`, `check_in`, `answer` (to something on a screen)."
            )
        ),
    ]
    by: Annotated[
        str | None, Meta(description="The id of the device or sensor. Null where only a calendar says so.")
    ]
    first_at: Annotated[Time, Meta(description="When it was noticed first; not before the booking began.")]
    last_at: Annotated[Time, Meta(description="When it was noticed last.")]
    seconds: Annotated[
        Seconds,
        Meta(description="For how long, all told. 0 for what takes no time: a check-in, an answer."),
    ]


class BookingReleaseData(BookingData, frozen=True, kw_only=True):
    """The booking, and what became of the one attempt to give its room to others."""

    dry_run: Annotated[bool, Meta(description="Whether it was only rehearsed: nothing was shown or done.")]
    grace_over_at: Annotated[
        Time, Meta(description="When it was long enough since its start that the room might be released.")
    ]
    empty_since: Annotated[
        Time | None,
        Meta(description="Since when the room was known to be empty without a pause. Null: it was not."),
    ]
    warned_at: Annotated[
        Time | None,
        Meta(description="When a screen of the room first asked whether anybody is there. Null: none did."),
    ]
    witnesses: Annotated[
        tuple[str, ...],
        Meta(description="The devices and sensors that could tell of people when this was decided."),
    ]
    evidence: Annotated[
        tuple[EvidenceData, ...],
        Meta(description="What was noticed of people since it began: of `booking.released`, passers-by."),
    ]
    freed_from: Annotated[
        Time | None,
        Meta(description="The room is free from then on (`booking.unclaimed`: it would be). Else null."),
    ]
    minutes_freed: Annotated[
        Minutes | None,
        Meta(description="From then to the end that the booking had. Null where nothing was freed."),
    ]
    cause: Annotated[
        str | None,
        Meta(
            description=(
                "Of `booking.kept`, why: answered (on a screen), dismissed (the question was taken off a "
                "screen), seen (somebody was), checked_in, extended, unknown (whether anybody is there is "
                "not known), unseen (no screen showed the question), unchecked (the last check was not "
                "answered), excluded, held (a hold stands), interrupted (who would have heard an answer was "
                "away). Of "
                "`booking.release_failed`: why, in words that a technician can act on. Else null."
            ),
            examples=["answered", "dismissed", "seen", "checked_in", "unknown", "unseen", "unchecked"],
        ),
    ]


class BookingAttendanceData(BookingData, frozen=True, kw_only=True):
    """The booking, and what is known so far of who came to it."""

    came: Annotated[bool, Meta(description="Whether anybody came who is no passer-by.")]
    came_at: Annotated[Time | None, Meta(description="When the first of them did. Null: nobody, so far.")]
    seen_at: Annotated[
        Time | None,
        Meta(description="When anybody was noticed last; while somebody is there, since when. Null: never."),
    ]
    empty_since: Annotated[
        Time | None,
        Meta(description="Since when the room is known to be empty, where that is so. Else null."),
    ]
    evidence: Annotated[
        tuple[EvidenceData, ...],
        Meta(description="Everything by which people were noticed during it, also those who passed by."),
    ]
    minutes_known: Annotated[
        Minutes, Meta(description="For how long it was known whether anybody was there.")
    ]
    minutes_unknown: Annotated[
        Minutes,
        Meta(description="For how long nobody could tell: no sensor does, or it or roomd was away."),
    ]
    people_peak: Annotated[
        Count | None, Meta(description="The most people that were counted at once. Null: nobody was counted.")
    ]


class BookingVerdictData(BookingAttendanceData, frozen=True, kw_only=True):
    """The booking, which is over, and the verdict on it."""

    outcome: Annotated[
        Outcome,
        Meta(
            description=(
                "`ghost` (nobody came, and that is known for the whole of it), `left_early`, `attended`, "
                "`overrun` (its people stayed past its end), `unknown` (nobody can tell)."
            )
        ),
    ]
    minutes_freed: Annotated[
        Minutes | None,
        Meta(
            description=(
                "Of `left_early`: from when on nobody was there to the end that the booking had. Else null."
            )
        ),
    ]


class PreviousBooking(Struct, frozen=True, kw_only=True):
    """What has changed, as it was before: an attribute is here only if its value was another one.

    A private field is treated as in the booking itself: null may stand for a value that is dropped.
    """

    request_id: Annotated[str | None, Meta(description="The request id before.")] | UnsetType = UNSET
    booking_id: Annotated[str | None, Meta(description="The booking id before.")] | UnsetType = UNSET
    meeting_id: Annotated[str | None, Meta(description="The meeting id before.")] | UnsetType = UNSET
    ical_uid: Annotated[str | None, Meta(description="The iCalendar UID before.")] | UnsetType = UNSET
    calendar: Annotated[Calendar | None, Meta(description="The calendar before.")] | UnsetType = UNSET
    starts_at: Annotated[Time, Meta(description="When it would have started.")] | UnsetType = UNSET
    ends_at: Annotated[Time, Meta(description="When it would have ended.")] | UnsetType = UNSET
    all_day: Annotated[bool, Meta(description="Whether it was to last all day.")] | UnsetType = UNSET
    platform: Annotated[str | None, Meta(description="The platform before.")] | UnsetType = UNSET
    private: Annotated[bool, Meta(description="Whether it was marked private.")] | UnsetType = UNSET
    phase: Phase | UnsetType = UNSET
    entry_id: Annotated[str | None, Meta(description="The entry id before.")] | UnsetType = UNSET
    join_pending: (
        Annotated[bool, Meta(description="Whether a link was asked for and not there.")] | UnsetType
    ) = UNSET
    title: Title | UnsetType = UNSET
    organizer: Organizer | UnsetType = UNSET
    join: Join | UnsetType = UNSET


class BookingChangedData(BookingData, frozen=True, kw_only=True):
    """The booking as it is now, and what it was."""

    previous: Annotated[
        PreviousBooking | None,
        Meta(description="What has changed, as it was before. Null where that is not known."),
    ]


# ── people ────────────────────────────────────────────────────────────────────────────────────────


class OccupancyValues(Struct, frozen=True, kw_only=True):
    """What sensors say. Null is unknown: never empty, and never no."""

    people: Annotated[
        Count | None, Meta(description="How many people are seen. Null if no device can count now.")
    ]
    presence: Annotated[
        bool | None, Meta(description="Whether anybody is there; clears up to two minutes late.")
    ]
    in_use: Annotated[
        bool | None,
        Meta(description="Whether the room is used, as the device concludes from all that it senses."),
    ]
    in_call: Annotated[bool | None, Meta(description="Whether a device of the room is in a call.")]
    sharing: Annotated[
        bool | None, Meta(description="Whether somebody shares a screen, in a call or in the room.")
    ]


class OccupancyData(OccupancyValues, frozen=True, kw_only=True):
    """What sensors say now, and said before."""

    previous: Annotated[OccupancyValues, Meta(description="As the cloud was told before.")]
    sensor: Annotated[
        str | None,
        Meta(
            description=(
                "The sensor that is not a device's own (one over MQTT) by whose word it changed. Null where "
                "it was a device's, and where a word ran out."
            )
        ),
    ]


# ── days ──────────────────────────────────────────────────────────────────────────────────────────


class WorkingHoursData(Struct, frozen=True, kw_only=True):
    """The part of a day that the site calls its working hours."""

    length_min: Annotated[Minutes, Meta(description="How long they are; 0 at a weekend.")]
    booked_min: Annotated[Minutes, Meta(description="A booking ran.")]
    in_use_min: Annotated[Minutes, Meta(description="Somebody was there, with a booking or without.")]
    unknown_min: Annotated[Minutes, Meta(description="Whether anybody was there is not known.")]


class RoomUseData(Struct, frozen=True, kw_only=True):
    """People were in the room while no booking ran, for longer than somebody who looks in."""

    starts_at: Annotated[Time, Meta(description="When the first of them was noticed, or a booking ended.")]
    ends_at: Annotated[Time, Meta(description="When the last was, or a booking began.")]
    minutes: Annotated[Minutes, Meta(description="From the one to the other.")]
    people_peak: Annotated[
        Count | None, Meta(description="The most people that were counted at once. Null: nobody was counted.")
    ]
    evidence: Annotated[tuple[EvidenceData, ...], Meta(description="By what they were noticed.")]


class RoomDayData(Struct, frozen=True, kw_only=True):
    """What was counted of a room from midnight to midnight by its own clock; no titles, no persons.

    What is not known is in `unknown_min`, and nowhere taken for an empty room.
    """

    day: Annotated[str, Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="By the room's own clock.")]
    starts_at: Annotated[Time, Meta(description="The midnight at its beginning.")]
    ends_at: Annotated[Time, Meta(description="The midnight at its end.")]
    length_min: Annotated[
        Minutes, Meta(description="1440; 1380 or 1500 where the clocks were changed in between.")
    ]
    booked_min: Annotated[Minutes, Meta(description="A booking ran.")]
    attended_min: Annotated[Minutes, Meta(description="A booking ran, and somebody was there.")]
    empty_min: Annotated[Minutes, Meta(description="A booking ran, and nobody was there, for sure.")]
    in_use_min: Annotated[Minutes, Meta(description="Somebody was there, with a booking or without.")]
    unbooked_min: Annotated[Minutes, Meta(description="Somebody was there without a booking.")]
    unknown_min: Annotated[
        Minutes,
        Meta(description="Whether anybody was there is not known: no sensor told, or the agent was down."),
    ]
    unwatched_min: Annotated[
        Minutes,
        Meta(description="The agent was down: nothing else is counted of these, not even booked time."),
    ]
    bookings: Annotated[Count, Meta(description="Bookings that began.")]
    attended: Annotated[Count, Meta(description="Verdicts of this day, at the end of bookings: attended.")]
    ghosts: Annotated[Count, Meta(description="Verdicts: nobody came.")]
    left_early: Annotated[Count, Meta(description="Verdicts: left before the end.")]
    overran: Annotated[Count, Meta(description="Verdicts: stayed past the end.")]
    unknown: Annotated[Count, Meta(description="Verdicts: nobody can tell.")]
    freed_min: Annotated[Minutes, Meta(description="By those who left early, up to their bookings' ends.")]
    released: Annotated[Count, Meta(description="Bookings that the agent gave back.")]
    released_min: Annotated[Minutes, Meta(description="What was left of these.")]
    unbooked: Annotated[Count, Meta(description="Uses without a booking.")]
    people_average: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="Of the time in which people were counted. Null: they never were."),
    ]
    people_peak: Annotated[Count | None, Meta(description="The most that were counted at once, or null.")]
    capacity: Annotated[Count | None, Meta(description="Seats, where the configuration says so.")]
    working: Annotated[WorkingHoursData, Meta(description="The same day's working hours.")]


# ── holds ─────────────────────────────────────────────────────────────────────────────────────────


class HoldValues(Struct, frozen=True, kw_only=True):
    """Words that keep the room for somebody. They are not repeated here: whoever placed them knows them."""

    hold: Annotated[str, Meta(min_length=1, description="The hold's id, as it was placed.")]
    starts_at: Annotated[Time, Meta(description="When it begins.")]
    ends_at: Annotated[Time, Meta(description="When it ends, or would have.")]
    surfaces: Annotated[
        tuple[str, ...],
        Meta(description="Where it is shown: screen, controller, scheduler, led."),
    ]


class HoldData(HoldValues, frozen=True, kw_only=True):
    """The hold, and what became of it."""

    device: Annotated[str | None, Meta(description="The device that shows it, or on which it was answered.")]
    surface: Annotated[str | None, Meta(description="The surface of that device.")]
    answer: Annotated[str | None, Meta(description="The answer that was chosen, as it stood there.")]
    previous_ends_at: Annotated[
        Time | None, Meta(description="When it would have ended, if it was extended.")
    ]
    cause: Annotated[
        str | None,
        Meta(
            description=(
                "Why it ended: expired, cancelled, answered, replaced, booking_started. "
                "Of a failure: why, in words that a technician can act on."
            ),
            examples=["expired", "cancelled", "answered", "replaced", "booking_started"],
        ),
    ]


class HoldState(HoldValues, frozen=True, kw_only=True):
    """The hold that the room's screens are to show now."""

    shown: Annotated[bool, Meta(description="Whether any of them shows it.")]


# ── devices ───────────────────────────────────────────────────────────────────────────────────────


class DeviceValues(Struct, frozen=True, kw_only=True):
    """One codec, board or navigator of the room."""

    device: Annotated[str, Meta(min_length=1, description="The device's id, as configured on the site.")]
    phase: Reach
    since: Annotated[Time, Meta(description="When it entered this phase.")]
    product: Annotated[str | None, Meta(description="The product, as the device names itself.")]
    serial: Annotated[str | None, Meta(description="The serial number of its hardware.")]
    firmware: Annotated[str | None, Meta(description="The version of its RoomOS.")]
    transport: Annotated[
        str | None, Meta(description="How it is heard: websocket, ssh, http, or cloud (by way of Webex).")
    ]
    shortcomings: Annotated[
        tuple[str, ...],
        Meta(description="What is misconfigured on it, in words that a technician can act on."),
    ]


class DeviceData(DeviceValues, frozen=True, kw_only=True):
    """The device, and what became of it."""

    booted_at: Annotated[Time | None, Meta(description="When it was started last, by its own uptime.")]
    cause: Annotated[str | None, Meta(description="Why, in words that a technician can act on.")]


class DeviceReach(DeviceValues, frozen=True, kw_only=True):
    """The device, why it is not heard, and why it is not heard better."""

    why: Annotated[str | None, Meta(description="Why it is not heard. Null while it is.")]
    transport_why: Annotated[
        str | None,
        Meta(description="Why it is not heard over a better line. Null where that is the best one."),
    ]


class SensorReach(Struct, frozen=True, kw_only=True):
    """A sensor that is not a device's own, and whether its word counts."""

    sensor: Annotated[str, Meta(description="Its id at this site.")]
    phase: Annotated[
        SensorPhase,
        Meta(
            description=(
                "`unheard` (it has not spoken since it could be heard, or cannot be heard), `heard`, `away` "
                "(what stands behind it says that it is offline), `stale` (it has been silent for too long)."
            )
        ),
    ]
    since: Annotated[Time, Meta(description="Since when.")]
    said_at: Annotated[
        Time | None,
        Meta(description="Its last sign of life, give or take a minute. Null if it never gave one."),
    ]
    why: Annotated[str | None, Meta(description="What is wrong, in words. Null while nothing is.")]


# ── calendars ─────────────────────────────────────────────────────────────────────────────────────


class CalendarValues(Struct, frozen=True, kw_only=True):
    """A calendar that is linked to the room, and whether it can be read."""

    calendar: Annotated[
        CalendarService,
        Meta(description="Which one: `microsoft` or `google`; of the agent's own events also `webex`."),
    ]
    phase: CalendarReach
    since: Annotated[Time, Meta(description="When it entered this phase.")]
    listed_at: Annotated[
        Time | None,
        Meta(description="When it was read last, all that it covers. Null if it never was, or is revoked."),
    ]
    why: Annotated[
        str | None, Meta(description="Why it cannot be read, and what to do about it. Null while it can.")
    ]


class CalendarData(CalendarValues, frozen=True, kw_only=True):
    """The linked calendar of the room (of the agent: all of this service), and what became of it."""

    cause: Annotated[str | None, Meta(description="Why, and what to do about it, in words.")]


class CalendarSwitchedData(Struct, frozen=True, kw_only=True):
    """Whose word the agenda is from now on, and whose it was."""

    calendar: Annotated[
        Calendar | None,
        Meta(description="That is believed now. Null: none that is left has told of a booking."),
    ]
    previous: Annotated[
        Calendar | None, Meta(description="That was believed before. Null: none had told of a booking.")
    ]
    cause: Annotated[
        str | None,
        Meta(description="Why the other is not believed any more. Null: a better one can be read."),
    ]


# ── the agent's own facts ─────────────────────────────────────────────────────────────────────────


class OutboxGapData(Struct, frozen=True, kw_only=True):
    """Events that will never come: a reader who misses these numbers need not wait for them."""

    stream: StreamName
    epoch: Annotated[str, Meta(min_length=1, description="The epoch of the numbers.")]
    first: Annotated[Count, Meta(description="The first number of the span in which something was dropped.")]
    last: Annotated[Count, Meta(description="The last number of the span, itself dropped.")]
    count: Annotated[
        int,
        Meta(
            ge=1, description="How many were dropped: fewer than the span is long if others in it were kept."
        ),
    ]
    reason: Annotated[str, Meta(min_length=1, description="Why they were dropped.")]


class OutboxResetData(Struct, frozen=True, kw_only=True):
    """The agent's database was rescued: every stream counts anew, under a new epoch."""

    epoch: Annotated[
        str, Meta(min_length=1, description="The new epoch: ids and sequences start anew with it.")
    ]
    previous_epoch: Annotated[
        str | None, Meta(description="The epoch that is over. Null if it cannot be read.")
    ]
    salvaged: Annotated[
        Count, Meta(description="How many unsent events could be saved; they keep their old ids.")
    ]
    reason: Annotated[str, Meta(min_length=1, description="What was wrong with the database.")]


# ── the envelopes ─────────────────────────────────────────────────────────────────────────────────


class CloudEvent(Struct, frozen=True, kw_only=True, tag_field="type"):
    """A CloudEvents 1.0 envelope in structured JSON (`application/cloudevents+json`)."""

    specversion: Annotated[Literal["1.0"], Meta(description="The version of CloudEvents.")]
    id: Annotated[
        str,
        Meta(
            pattern=r"^.+-[0-9]+$",
            description="`{epoch}-{number}`; together with `source` the key for removing repeats.",
        ),
    ]
    source: Annotated[
        str,
        Meta(
            pattern=f"^/sites/{SLUG}/(rooms|agents)/{SLUG}$",
            description="`/sites/{site}/rooms/{room}`; for the agent's own `/sites/{site}/agents/{agent}`.",
        ),
    ]
    subject: Annotated[
        str,
        Meta(
            min_length=1,
            description=(
                "What it is about: a booking's key, a device's id, the room's id for occupancy and for a "
                "switch of calendars, else the calendar, the stream of a gap, the agent's id for a reset."
            ),
        ),
    ]
    time: Annotated[
        Time,
        Meta(description="When it happened, as the device or the calendar says, else when it was heard."),
    ]
    sequence: Annotated[
        str,
        Meta(
            pattern=r"^[0-9]+$",
            description="The source's gapless number, as a decimal string; starts anew with a new epoch.",
        ),
    ]
    recordedtime: Annotated[Time, Meta(description="When the agent wrote it to its disk.")]
    recovered: Annotated[
        bool, Meta(description="Whether it was found by comparing after a gap, and not heard as it happened.")
    ]
    clock: Annotated[ClockState, Meta(description="The agent's clock when it was recorded.")]


class BookingRequested(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.requested.v1"):
    """Somebody asked for the room on a device."""

    data: BookingData


class BookingConfirmed(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.confirmed.v1"):
    """A booking has an identity that lasts.

    A meeting id, or its booking id on an on-device or pushed calendar. Also told of bookings that arrive
    from the calendar unasked.
    """

    data: BookingConfirmedData


class BookingFailed(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.failed.v1"):
    """The calendar backend refused a request."""

    data: BookingFailedData


class BookingExpired(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.expired.v1"):
    """Nobody answered a request within the device's booking timeout, and a listing shows it gone."""

    data: BookingData


class BookingMoved(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.moved.v1"):
    """A booking has other times now."""

    data: BookingChangedData


class BookingUpdated(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.updated.v1"):
    """Something about a booking other than its times changed."""

    data: BookingChangedData


class BookingStarted(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.started.v1"):
    """A booking's time has come."""

    data: BookingData


class BookingCheckedIn(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.checked_in.v1"):
    """Somebody confirmed on a device that the booking is used."""

    data: BookingData


class BookingEnded(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.ended.v1"):
    """A booking's time is over."""

    data: BookingData


class BookingDeleted(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.deleted.v1"):
    """A booking was taken off the calendar before its end."""

    data: BookingDeletedData


class BookingAttended(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.attended.v1"):
    """Somebody is there who is no passer-by: the first time, and again after nobody was."""

    data: BookingAttendanceData


class BookingDeserted(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.deserted.v1"):
    """Nobody is there, for sure: nobody came within the grace time, or all have left for a while."""

    data: BookingAttendanceData


class BookingGhost(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.ghost.v1"):
    """It is over and nobody came, which is known for the whole of it.

    Each booking that has started is followed by exactly one of `ghost`, `left_early` and `judged`.
    """

    data: BookingVerdictData


class BookingLeftEarly(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.left_early.v1"):
    """It is over, and its people left before its end, or gave it back."""

    data: BookingVerdictData


class BookingJudged(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.judged.v1"):
    """It is over, and was attended, or overrun, or nobody can tell. Overruns are told when that is known."""

    data: BookingVerdictData


class BookingReleased(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.released.v1"):
    """Nobody came, roomd gave the booking back, and it is known to be gone: once at most of a booking."""

    data: BookingReleaseData


class BookingUnclaimed(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.unclaimed.v1"):
    """Nobody came, and nothing was done: where releasing is set to `dry-run`, it would have been now."""

    data: BookingReleaseData


class BookingKept(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.kept.v1"):
    """The room was asked whether anybody is there, and is not given to others; `cause` says why."""

    data: BookingReleaseData


class BookingReleaseFailed(CloudEvent, frozen=True, kw_only=True, tag="roomd.booking.release_failed.v1"):
    """Nobody came, and the booking could not be given back, or nobody knows whether it was: no second try."""

    data: BookingReleaseData


class RoomUsedUnbooked(CloudEvent, frozen=True, kw_only=True, tag="roomd.room.used_unbooked.v1"):
    """The room was used while it was not booked. Told when that is over, and every four hours until then."""

    data: RoomUseData


class RoomDay(CloudEvent, frozen=True, kw_only=True, tag="roomd.room.day.v1"):
    """A day of the room is over, by its own clock. Told once, also of days on which the agent was down."""

    data: RoomDayData


class OccupancyChanged(CloudEvent, frozen=True, kw_only=True, tag="roomd.occupancy.changed.v1"):
    """The people of the room, or what is known of them, changed."""

    data: OccupancyData


class HoldPlaced(CloudEvent, frozen=True, kw_only=True, tag="roomd.hold.placed.v1"):
    """A hold is taken on."""

    data: HoldData


class HoldShown(CloudEvent, frozen=True, kw_only=True, tag="roomd.hold.shown.v1"):
    """A surface shows the hold, for the first time there."""

    data: HoldData


class HoldAnswered(CloudEvent, frozen=True, kw_only=True, tag="roomd.hold.answered.v1"):
    """Somebody in front of a screen chose an answer; that ends the hold."""

    data: HoldData


class HoldExtended(CloudEvent, frozen=True, kw_only=True, tag="roomd.hold.extended.v1"):
    """The hold has another end."""

    data: HoldData


class HoldEnded(CloudEvent, frozen=True, kw_only=True, tag="roomd.hold.ended.v1"):
    """The hold is over; screens that cannot be reached now are cleared when they can."""

    data: HoldData


class HoldFailed(CloudEvent, frozen=True, kw_only=True, tag="roomd.hold.failed.v1"):
    """The hold could not be shown, or not be booked; `cause` says why."""

    data: HoldData


class DeviceConnected(CloudEvent, frozen=True, kw_only=True, tag="roomd.device.connected.v1"):
    """A device is heard."""

    data: DeviceData


class DeviceLost(CloudEvent, frozen=True, kw_only=True, tag="roomd.device.lost.v1"):
    """A device is not heard any more; it is dialled again and again."""

    data: DeviceData


class DeviceRefused(CloudEvent, frozen=True, kw_only=True, tag="roomd.device.refused.v1"):
    """A device turned the agent away: a person must act."""

    data: DeviceData


class DeviceRebooted(CloudEvent, frozen=True, kw_only=True, tag="roomd.device.rebooted.v1"):
    """A device was restarted."""

    data: DeviceData


class DeviceUpgraded(CloudEvent, frozen=True, kw_only=True, tag="roomd.device.upgraded.v1"):
    """A device runs another firmware now."""

    data: DeviceData


class DeviceMisconfigured(CloudEvent, frozen=True, kw_only=True, tag="roomd.device.misconfigured.v1"):
    """A device's configuration hides something from the agent, or does so no longer."""

    data: DeviceData


class CalendarConnected(CloudEvent, frozen=True, kw_only=True, tag="roomd.calendar.connected.v1"):
    """A linked calendar of the room can be read; of the agent: the calendars of this service can."""

    data: CalendarData


class CalendarDegraded(CloudEvent, frozen=True, kw_only=True, tag="roomd.calendar.degraded.v1"):
    """A linked calendar of the room (of the agent: any of this service) cannot be read now.

    Its last word holds for a while.
    """

    data: CalendarData


class CalendarRevoked(CloudEvent, frozen=True, kw_only=True, tag="roomd.calendar.revoked.v1"):
    """A linked calendar of the room (of the agent: any of this service) may not be read any more.

    It is off until an administrator consents again.
    """

    data: CalendarData


class CalendarSwitched(CloudEvent, frozen=True, kw_only=True, tag="roomd.calendar.switched.v1"):
    """Another calendar is believed now. Where the two differ, facts with `recovered` follow."""

    data: CalendarSwitchedData


class OutboxGap(CloudEvent, frozen=True, kw_only=True, tag="roomd.outbox.gap.v1"):
    """Events were dropped: which numbers of which stream, and why."""

    data: OutboxGapData


class OutboxReset(CloudEvent, frozen=True, kw_only=True, tag="roomd.outbox.reset.v1"):
    """The agent's database was rescued, and a new epoch began."""

    data: OutboxResetData


RoomFactEvent = (
    BookingRequested
    | BookingConfirmed
    | BookingFailed
    | BookingExpired
    | BookingMoved
    | BookingUpdated
    | BookingStarted
    | BookingCheckedIn
    | BookingEnded
    | BookingDeleted
    | BookingAttended
    | BookingDeserted
    | BookingGhost
    | BookingLeftEarly
    | BookingJudged
    | BookingReleased
    | BookingUnclaimed
    | BookingKept
    | BookingReleaseFailed
    | RoomUsedUnbooked
    | RoomDay
    | OccupancyChanged
    | HoldPlaced
    | HoldShown
    | HoldAnswered
    | HoldExtended
    | HoldEnded
    | HoldFailed
    | DeviceConnected
    | DeviceLost
    | DeviceRefused
    | DeviceRebooted
    | DeviceUpgraded
    | DeviceMisconfigured
    | CalendarConnected
    | CalendarDegraded
    | CalendarRevoked
    | CalendarSwitched
)
AgentFactEvent = OutboxGap | OutboxReset | CalendarConnected | CalendarDegraded | CalendarRevoked
Event = RoomFactEvent | AgentFactEvent


# ── retained: the agent ───────────────────────────────────────────────────────────────────────────


class AgentStatus(Struct, frozen=True, kw_only=True):
    """Birth and death of the agent's connection to the broker.

    Ignore a death whose `connection` is older than that of the last birth: it comes late.
    """

    agent: AgentSlug
    state: AgentState
    connection: Annotated[Count, Meta(description="Counts the agent's connections, across restarts.")]
    since: Annotated[
        Time | None,
        Meta(
            description="When it came or went. Null in a death that the broker tells: nobody saw the moment."
        ),
    ]
    version: Annotated[str, Meta(min_length=1, description="The agent's version.")]
    reason: Annotated[
        str | None,
        Meta(
            description="Why it is offline: `stop` (on purpose), `lost`, … Null while online.",
            examples=["stop", "lost"],
        ),
    ]


class OutboxHealth(Struct, frozen=True, kw_only=True):
    """What waits to be acknowledged by the broker."""

    depth: Annotated[Count, Meta(description="How many events wait.")]
    oldest_age_s: Annotated[
        Seconds | None, Meta(description="How long the oldest has waited. Null if none waits.")
    ]
    bytes: Annotated[Count, Meta(description="How much of the disk they take.")]
    drops: Annotated[Count, Meta(description="How many were dropped since this epoch began.")]


class DeviceCounts(Struct, frozen=True, kw_only=True):
    """The site's devices by phase."""

    unheard: Annotated[Count, Meta(description="Configured, and never reached.")]
    connected: Annotated[Count, Meta(description="Heard.")]
    lost: Annotated[Count, Meta(description="Not reached now.")]
    refused: Annotated[Count, Meta(description="Turned the agent away: a person must act.")]


class SensorCounts(Struct, frozen=True, kw_only=True):
    """The site's sensors that are not a device's own, by phase."""

    unheard: Annotated[Count, Meta(description="They have not spoken yet, or cannot be heard.")]
    heard: Annotated[Count, Meta(description="Their word counts.")]
    away: Annotated[Count, Meta(description="What stands behind them says that they are offline.")]
    stale: Annotated[Count, Meta(description="They have been silent for too long.")]
    why: Annotated[
        str | None,
        Meta(description="Why none, or not all, can be heard by their broker. Null while all can."),
    ]


class CommandsHealth(Struct, frozen=True, kw_only=True):
    """The commands that came over the broker since the agent's start."""

    kept: Annotated[Count, Meta(description="How many were kept, to be done.")]
    repeated: Annotated[Count, Meta(description="How many came again: answered again, and not done again.")]
    refused: Annotated[Count, Meta(description="How many were refused before anything was done.")]
    deaf_why: Annotated[
        str | None,
        Meta(
            description=(
                "Why none can come although the agent is connected: the broker refuses the subscription. "
                "Null while they can."
            ),
            examples=["the broker refuses roomd/v1/oslo-lysaker/rooms/+/commands/+ (0x87)"],
        ),
    ]


class CalendarsHealth(Struct, frozen=True, kw_only=True):
    """The calendars of one service that the site has linked."""

    service: Annotated[CalendarService, Meta(description="`microsoft`, `google` or `webex`.")]
    phase: CalendarReach
    since: Annotated[Time, Meta(description="Since when it stands so.")]
    why: Annotated[
        str | None, Meta(description="Why they cannot be read, and what to do about it. Null while they can.")
    ]
    rooms: Annotated[Count, Meta(description="How many rooms of the site are linked.")]
    readable: Annotated[Count, Meta(description="How many of them can be read now.")]


class AgentHealth(Struct, frozen=True, kw_only=True):
    """How the agent does, every 60 seconds. Older than three periods: take the agent for dead."""

    agent: AgentSlug
    at: Annotated[Time, Meta(description="When this was measured.")]
    outbox: OutboxHealth
    devices: DeviceCounts
    acknowledged_at: Annotated[
        Time | None,
        Meta(description="When the broker last acknowledged an event. Null if not since the start."),
    ]
    clock: ClockState
    disk_free_bytes: Annotated[Count | None, Meta(description="Free space where the outbox lives.")]
    memory_bytes: Annotated[Count | None, Meta(description="Resident memory of the agent.")]
    loop_lag_s: Annotated[
        Seconds | None, Meta(description="The worst delay of the agent's event loop this period.")
    ]
    commands: Annotated[CommandsHealth | None, Meta(description="Null where the agent does not count them.")]
    calendars: Annotated[
        tuple[CalendarsHealth, ...], Meta(description="By service; empty at a site that has linked none.")
    ]
    sensors: Annotated[
        SensorCounts | None, Meta(description="Null at a site that has no sensors but its devices' own.")
    ]
    sealing_why: Annotated[
        str | None,
        Meta(
            description="Why private fields go on being sealed for the key that the recipient's key file had "
            "before, with what to do. Null while the file's key is used, and where nothing is sealed."
        ),
    ]


# ── retained: a room ──────────────────────────────────────────────────────────────────────────────


class RoomAvailability(Struct, frozen=True, kw_only=True):
    """Whether the room is heard.

    It holds only while the agent's status is online and its health is younger than three periods.
    """

    room: RoomSlug
    state: RoomReach
    since: Annotated[
        Time | None,
        Meta(description="The last change of any device, calendar or sensor. Null for a room without any."),
    ]
    why: Annotated[str | None, Meta(description="What is wrong, in words. Null while available.")]
    devices: Annotated[tuple[DeviceReach, ...], Meta(description="Every configured device of the room.")]
    calendars: Annotated[
        tuple[CalendarValues, ...], Meta(description="Every linked calendar of the room, the better first.")
    ]
    sensors: Annotated[
        tuple[SensorReach, ...],
        Meta(description="Every sensor of the room that is not a device's own, in the order of the file."),
    ]


class RoomOccupancy(OccupancyValues, frozen=True, kw_only=True):
    """What sensors say, and since when."""

    since: Annotated[Time | None, Meta(description="When it last changed. Null if nothing is known yet.")]


class RoomCalendar(Struct, frozen=True, kw_only=True):
    """The calendar that is believed for this room, and how fresh the agenda is."""

    believed: Annotated[Calendar | None, Meta(description="The calendar. Null while no booking has told it.")]
    listed_at: Annotated[
        Time | None, Meta(description="When the whole agenda was read last. Null if it never was.")
    ]
    fresh: Annotated[
        bool,
        Meta(
            description="Whether changes are heard as they happen. False after a cut, until it was read anew."
        ),
    ]


class AttendanceState(Struct, frozen=True, kw_only=True):
    """How the booking that runs is attended."""

    booking: BookingKeyText
    phase: Annotated[
        AttendancePhase,
        Meta(
            description=(
                "`awaited` (nobody came yet, or nobody can tell), `attended`, `deserted` (nobody is there, "
                "for sure), `over` (its end has come; whether its people stay on is still to be seen)."
            )
        ),
    ]
    since: Annotated[Time, Meta(description="When it entered this phase.")]
    came_at: Annotated[Time | None, Meta(description="When somebody came. Null: nobody, so far.")]
    empty_since: Annotated[
        Time | None, Meta(description="Since when the room is known to be empty, while deserted. Else null.")
    ]


class ReleaseState(Struct, frozen=True, kw_only=True):
    """The booking that is about to be released, as nobody seems to be there."""

    booking: BookingKeyText
    dry_run: Annotated[bool, Meta(description="Whether it is only told what would be done.")]
    warned_at: Annotated[
        Time | None, Meta(description="When a screen first asked whether anybody is there. Null: none did.")
    ]
    acts_at: Annotated[
        Time | None,
        Meta(description="When all is looked at a last time, and acted. Null while nobody has been asked."),
    ]


class RoomState(Struct, frozen=True, kw_only=True):
    """The latest of everything: coalesced, and not an event. The same state is the same bytes."""

    room: RoomSlug
    agenda: Annotated[
        tuple[BookingData, ...],
        Meta(description="Bookings that stand, asked for or granted, by their start."),
    ]
    current: Annotated[
        BookingData | None,
        Meta(description="The granted booking whose time it is, or null."),
    ]
    next: Annotated[
        BookingData | None,
        Meta(description="The granted booking that starts next, or null."),
    ]
    occupancy: RoomOccupancy
    attendance: Annotated[
        AttendanceState | None,
        Meta(description="Who came to the current booking. Null if there is none, or it has not begun."),
    ]
    hold: Annotated[
        HoldState | None, Meta(description="The hold that is on the room's screens. Null if there is none.")
    ]
    release: Annotated[
        ReleaseState | None,
        Meta(description="What is about to be released, as nobody seems to be there. Null if nothing is."),
    ]
    calendar: RoomCalendar


# ── commands ──────────────────────────────────────────────────────────────────────────────────────

TEXT_AT_MOST = 255  # what a device's message commands take of each of their texts
ANSWERS_AT_MOST = 5
HOLD_AT_MOST_S = 24 * 3600
MESSAGE_AT_MOST_S = 3600  # a device takes its own messages off by then
BOOKING_AT_MOST_MIN = 24 * 60

Instant = Annotated[
    datetime,
    Meta(tz=True, description="RFC 3339, in UTC or with an offset."),
]
CommandIdText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"^[!-~]+$",
        description=(
            "Chosen by whoever gives the command, unique within the site: one that was given before is "
            "answered again and never done twice. Visible ASCII."
        ),
    ),
]
HoldIdText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"^[!-~]+$",
        description="The hold's id, chosen by whoever places it. Visible ASCII.",
    ),
]
ShownText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=TEXT_AT_MOST,
        pattern=r"\S",
        description="What the screens say, as plain text; shortened for surfaces that have room for less.",
    ),
]
Surfaces = Annotated[
    tuple[Surface, ...],
    Meta(
        min_length=1,
        max_length=4,
        description=(
            "Where: `screen`, `controller` (the panel on the table), `scheduler` (the panel at the door), "
            "`led`."
        ),
    ),
]
KeyRef = Annotated[
    Annotated[str, Meta(min_length=1, max_length=256)] | None, Meta(description="The booking's `key`.")
]
BookingIdRef = Annotated[
    Annotated[str, Meta(min_length=1, max_length=1024)] | None, Meta(description="Or its `booking_id`.")
]
MeetingIdRef = Annotated[
    Annotated[str, Meta(min_length=1, max_length=1024)] | None, Meta(description="Or its `meeting_id`.")
]
TitleText = Annotated[str, Meta(min_length=1, max_length=TEXT_AT_MOST)]


class Arguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a command is about. What is not listed is refused, so that no wish is lost in silence."""


class NoArguments(Arguments, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing needs to be said."""


class HoldPlaceArguments(Arguments, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A hold. Exactly one of `ends_at` and `duration_s`; at most 24 hours."""

    hold_id: HoldIdText
    text: ShownText
    title: Annotated[TitleText | None, Meta(description="The heading above the text.")] = None
    starts_at: Annotated[Instant | None, Meta(description="When it begins. Left out: at once.")] = None
    ends_at: Annotated[Instant | None, Meta(description="When it ends.")] = None
    duration_s: Annotated[
        Annotated[int, Meta(ge=1, le=HOLD_AT_MOST_S)] | None,
        Meta(description="Or how long it lasts from its beginning, in seconds."),
    ] = None
    surfaces: Surfaces = (Surface.SCREEN,)
    answers: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=TEXT_AT_MOST, pattern=r"\S")], ...],
        Meta(
            max_length=ANSWERS_AT_MOST,
            description="What the people in front of the screen may answer, each one once.",
        ),
    ] = ()
    wake: Annotated[bool, Meta(description="Bring the devices out of standby, so that it is read.")] = False
    book: Annotated[bool, Meta(description="Book the room for that time as well.")] = False


class HoldExtendArguments(Arguments, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which hold, and its new end."""

    hold_id: HoldIdText
    ends_at: Annotated[Instant, Meta(description="The new end, in the future, at most 24 hours away.")]


class HoldCancelArguments(Arguments, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which hold."""

    hold_id: HoldIdText


class BookingBookArguments(Arguments, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When, and what for."""

    starts_at: Annotated[Instant, Meta(description="When it begins.")]
    duration_min: Annotated[
        int, Meta(ge=1, le=BOOKING_AT_MOST_MIN, description="How long it lasts, in minutes.")
    ]
    title: Annotated[TitleText | None, Meta(description="What the meeting is called.")] = None
    organizer: Annotated[TitleText | None, Meta(description="Who books it.")] = None


class BookingExtendArguments(Arguments, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which booking, named in exactly one way, and exactly one of `ends_at` and `by_min`."""

    key: KeyRef = None
    booking_id: BookingIdRef = None
    meeting_id: MeetingIdRef = None
    ends_at: Annotated[Instant | None, Meta(description="Its new end.")] = None
    by_min: Annotated[
        Annotated[int, Meta(ge=1, le=BOOKING_AT_MOST_MIN)] | None,
        Meta(description="Or by how many minutes it becomes longer."),
    ] = None


class BookingReleaseArguments(Arguments, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which booking, named in exactly one way."""

    key: KeyRef = None
    booking_id: BookingIdRef = None
    meeting_id: MeetingIdRef = None


class MessageShowArguments(Arguments, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plain message."""

    text: ShownText
    title: Annotated[TitleText | None, Meta(description="The heading above the text.")] = None
    surfaces: Surfaces = (Surface.SCREEN,)
    duration_s: Annotated[int, Meta(ge=1, le=MESSAGE_AT_MOST_S, description="How long it stays, in seconds.")]


class MessageClearArguments(Arguments, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where; everywhere if it is left out."""

    surfaces: Annotated[Surfaces | None, Meta(description="Where. Left out: everywhere.")] = None


class AgentReplayArguments(Arguments, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of a room's events."""

    room: RoomSlug
    first: Annotated[int, Meta(ge=1, description="The `sequence` of the first to be sent again.")]
    last: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="That of the last. Left out: up to the newest.")
    ] = None
    epoch: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None,
        Meta(description="The epoch of these numbers. Left out: the present one."),
    ] = None


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command: kept on the site's disk before it is acknowledged, done once, and answered.

    Never retained. With MQTT 5 a Response Topic under `{root}/v1/{site}/`, Correlation Data and a Message
    Expiry may go along; of both expiries the earlier counts.
    """

    command_id: CommandIdText
    expires_at: Annotated[
        Instant, Meta(description="A command that comes later is not done; at most 7 days away.")
    ]
    requested_by: Annotated[
        Annotated[str, Meta(min_length=1, max_length=256)] | None,
        Meta(description="Who asks for it, for the record."),
    ] = None


class HoldPlace(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say on the room's screens that it is held, for a while, also over reconnects and reboots."""

    arguments: HoldPlaceArguments


class HoldExtend(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give a hold that stands another end."""

    arguments: HoldExtendArguments


class HoldCancel(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take a hold off the screens."""

    arguments: HoldCancelArguments


class BookingBook(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Book the room; the final answer waits for the calendar's."""

    arguments: BookingBookArguments


class BookingExtend(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Have a booking end later."""

    arguments: BookingExtendArguments


class BookingRelease(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give the room back: decline or delete, whichever its calendar understands."""

    arguments: BookingReleaseArguments


class MessageShow(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Show a plain message."""

    arguments: MessageShowArguments


class MessageClear(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take the plain message off."""

    arguments: MessageClearArguments = MessageClearArguments()


class RoomResync(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List bookings and current values anew."""

    arguments: NoArguments = NoArguments()


class AgentReplay(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send acknowledged events of a room again, while they are kept (24 hours, or 64 MB of all rooms).

    They come exactly as they were, in order, and behind all that is new; repeats are possible, also after a
    restart. `done` comes with the last of them; its result says `sent`, `missing` (not kept any more, or
    refused by the broker), and the `first` and `last` sequence in `epoch` that it speaks of. Where nothing of
    it is kept, it is refused, and the result says what is: `kept_first`, `kept_last`, `kept_epoch`. One goes
    after the other; one that cannot begin before `expires_at` has expired.
    """

    arguments: AgentReplayArguments


RoomCommand = (
    HoldPlace
    | HoldExtend
    | HoldCancel
    | BookingBook
    | BookingExtend
    | BookingRelease
    | MessageShow
    | MessageClear
    | RoomResync
)
ROOM_COMMANDS: dict[str, type[RoomCommand]] = {  # the last level of the topic
    "hold.place": HoldPlace,
    "hold.extend": HoldExtend,
    "hold.cancel": HoldCancel,
    "booking.book": BookingBook,
    "booking.extend": BookingExtend,
    "booking.release": BookingRelease,
    "message.show": MessageShow,
    "message.clear": MessageClear,
    "room.resync": RoomResync,
}
AGENT_COMMANDS: dict[str, type[AgentReplay]] = {"agent.replay": AgentReplay}


class CommandAnswer(Struct, frozen=True, kw_only=True):
    """What became of a command: `accepted` at most once, and one of the others at the end.

    It is told at least once, in order within a room, and again whenever the same command comes again.
    """

    command_id: Annotated[str | None, Meta(description="The command's id. Null where it could not be read.")]
    status: Annotated[
        AnswerStatus,
        Meta(
            description=(
                "`accepted` (begun: another answer follows), `done`, `refused` (nothing was done), `expired` "
                "(it came too late), `failed` (begun, and a device or calendar said no), `unknown` (begun, "
                "and interrupted: nobody can tell)."
            )
        ),
    ]
    reason: Annotated[str | None, Meta(description="Why, in words that a person can act on.")]
    at: Annotated[Time, Meta(description="When this was known.")]
    result: Annotated[
        dict[str, str | int | float | bool | None] | None,
        Meta(description="What the command brought: all ids of the booking, or the hold's, …"),
    ]
