"""A room's calendar as its device knows it, in the three kinds that devices have."""

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from tests.simulator.clock import Schedule
from tests.simulator.faults import Faults, Spoil

STARTS_BUFFER: Final = timedelta(seconds=300)  # the panel shows a meeting so long before it starts
REMINDS: Final = timedelta(seconds=300)  # TimeRemaining so long before the end

Cause = Literal["ManualCheckOut", "NoShow", "Deleted", "HotdeskSignout", "HotdeskOrganizerNotFoundInOrg"]
Failure = Literal["Timeout", "Decline", "ConfigError", "HttpError", "KmsError"]
Fields = Mapping[str, int | str]
Emit = Callable[[Sequence[tuple[str, Fields]]], None]  # events of one action, in order


class CalendarKind(StrEnum):
    """Where the room's bookings live, which decides what the device says about them."""

    HYBRID = "hybrid"  # Exchange, Microsoft 365 or Google through Webex; Id webex-N, MeetingId comes late
    ON_DEVICE = "on_device"  # the device is the calendar; requested and created at once
    PUSHED = "pushed"  # somebody pushes bookings in; opaque Id, no MeetingId, Updated only


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the backend will say to a booking request, and how long it takes."""

    outcome: Literal["confirm", "fail", "never", "by_hand"] = "confirm"
    after_s: float = 2.0
    cause: Failure = "Decline"
    listed_early: bool = False  # in the list before the answer, with Id and an empty MeetingId
    declines_overlaps: bool = True
    meeting_id: bool = True  # on_device only: whether it gives its bookings one
    releases: bool = True  # whether the backend heeds Delete, Respond Decline and CheckOut; all say OK anyway
    release_after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Organizer:
    first_name: str = "Ada"
    last_name: str = "Lovelace"
    email: str = "ada@example.com"
    id: str = "be81be28-0000-4000-8000-000000000001"


@dataclass(slots=True, kw_only=True, eq=False)
class Booking:
    """A reserved interval of the room, or one that is asked for."""

    id: str
    meeting_id: str
    title: str
    start: datetime
    end: datetime
    organizer: Organizer = field(default_factory=Organizer)
    private: bool = False
    platform: str = "MicrosoftTeams"
    number: str = ""
    protocol: str = "WebRTC"  # by which the number is called
    agenda: str = ""  # its description
    request_id: str = ""
    ad_hoc: bool = False
    pending: bool = False  # requested and not answered
    listed: bool = True
    started: bool = False
    ended: bool = False
    spoil: Spoil = ""
    edition: int = 0  # grows with each change of times, so that old alarms fall silent

    @property
    def duration_min(self) -> int:
        return round((self.end - self.start).total_seconds() / 60)

    def truth(self) -> dict[str, Any]:
        """As plain values, for comparing with what others believe."""
        return {
            "id": self.id,
            "meeting_id": self.meeting_id,
            "title": self.title,
            "start": stamp(self.start),
            "end": stamp(self.end),
            "private": self.private,
            "request_id": self.request_id,
            "pending": self.pending,
            "started": self.started,
            "ended": self.ended,
        }


def stamp(when: datetime) -> str:
    """A time as the devices write it."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def whole_second(when: datetime) -> datetime:
    return when.astimezone(UTC).replace(microsecond=0)


class NoSuchBooking(Exception):
    """Neither the id nor the meeting id is known."""


class Calendar:
    """The bookings of one room, their alarms, and the events that they cause."""

    def __init__(
        self,
        *,
        kind: CalendarKind,
        schedule: Schedule,
        luck: random.Random,
        faults: Faults,
        emit: Emit,
        changed: Callable[[], None],
        zone: Callable[[], str],
        booking_timeout_s: Callable[[], float],
    ) -> None:
        self.kind: Final = kind
        self.answer = Answer()
        self.bookings: list[Booking] = []
        self.updated_at = schedule.clock.now()
        self._schedule: Final = schedule
        self._luck: Final = luck
        self._faults: Final = faults
        self._emit: Final = emit
        self._changed: Final = changed
        self._zone: Final = zone
        self._booking_timeout_s: Final = booking_timeout_s
        self._last_number = 0

    # Reading

    def agenda(self) -> tuple[Booking, ...]:
        """What a full List would hold, in order of time."""
        return tuple(sorted((replace(b) for b in self.bookings if b.listed), key=lambda b: (b.start, b.id)))

    def find(self, booking_id: str = "", meeting_id: str = "") -> Booking:
        for booking in self.bookings:
            if booking.listed and (
                booking.id == booking_id or (meeting_id and booking.meeting_id == meeting_id)
            ):
                return booking
        raise NoSuchBooking(booking_id or meeting_id)

    def requested(self, request_id: str) -> Booking:
        for booking in reversed(self.bookings):
            if booking.pending and booking.request_id == request_id:
                return booking
        raise NoSuchBooking(request_id)

    def current(self) -> Booking | None:
        running = [b for b in self.bookings if b.listed and b.started and not b.ended]
        return min(running, key=lambda b: b.start, default=None)

    def next_start(self) -> datetime | None:
        now = self._schedule.clock.now()
        return min((b.start for b in self.bookings if b.listed and b.start > now), default=None)

    def local_day(self, offset: int) -> datetime:
        """Midnight, where the room is, so many days from today."""
        zone = ZoneInfo(self._zone())
        today = self._schedule.clock.now().astimezone(zone).date() + timedelta(days=offset)
        return datetime(today.year, today.month, today.day, tzinfo=zone)

    # Asked for on the device

    def request(
        self,
        title: str,
        *,
        start: datetime | None = None,
        duration_min: int = 30,
        request_id: str = "",
        answer: Answer | None = None,
        organizer: Organizer | None = None,
    ) -> Booking:
        """Somebody taps the panel, or a command books; how it goes on depends on the kind of calendar."""
        answer = answer or self.answer
        begin = whole_second(start or self._schedule.clock.now())
        if self._faults.reuse_uuid:
            request_id = "00000000-0000-4000-8000-00000000feed"
        booking = Booking(
            id=self._new_id(),
            meeting_id="",
            title=title,
            start=begin,
            end=begin + timedelta(minutes=duration_min),
            organizer=organizer or Organizer(),
            request_id=request_id or self._guid(),
            ad_hoc=True,
            pending=True,
            listed=False,
        )
        self.bookings.append(booking)
        if self.kind is CalendarKind.PUSHED:
            booking.pending, booking.listed = False, True
            self._tell((), booking)
            return booking
        self._emit([("BookingRequested", self._request_fields(booking))])
        if self.kind is CalendarKind.ON_DEVICE:
            self._confirm(booking, self._guid() if answer.meeting_id else "")
            return booking
        if answer.listed_early:
            booking.listed = True
            self._tell((), booking)
        match answer.outcome:
            case "confirm":
                self._answer_later(answer.after_s, booking, partial(self._decide, booking, answer))
            case "fail":
                self._answer_later(answer.after_s, booking, partial(self._fail, booking, answer.cause))
            case "never":
                self._answer_later(self._booking_timeout_s(), booking, partial(self._forget, booking))
            case "by_hand":
                pass
        return booking

    def confirm(self, request_id: str, *, meeting_id: str | None = None) -> Booking:
        """The backend has accepted."""
        return self._confirm(self.requested(request_id), meeting_id)

    def fail(self, request_id: str, cause: Failure = "Decline") -> None:
        """The backend has refused, or cannot be asked."""
        self._fail(self.requested(request_id), cause)

    def forget(self, request_id: str) -> None:
        """The device stops waiting and says nothing."""
        self._forget(self.requested(request_id))

    # Changed elsewhere

    def book_elsewhere(self, booking: Booking) -> Booking:
        """In Outlook, at the door of another system, or pushed in."""
        self.bookings.append(booking)
        created = {
            "Id": booking.id,
            "MeetingId": booking.meeting_id,
            "Duration": booking.duration_min,
            "StartTime": stamp(booking.start),
            "Title": booking.title,
            **self._organizer_fields(booking),
        }
        self._tell((("BookingCreated", created),) if self._speaks else (), booking)
        return booking

    def draft(self, title: str, start: datetime, end: datetime, **more: Any) -> Booking:  # noqa: ANN401 -- any field of a booking
        """A booking with fresh ids that is not in the calendar yet."""
        meeting_id = "" if self.kind is CalendarKind.PUSHED else self._guid()
        ids = {"id": self._new_id(), "meeting_id": meeting_id}
        return Booking(**{
            **ids, "title": title, "start": whole_second(start), "end": whole_second(end), **more
        })  # fmt: skip

    def move(
        self, booking_id: str, *, start: datetime | None = None, duration_min: int | None = None
    ) -> Booking:
        booking = self.find(booking_id, booking_id)
        length = booking.end - booking.start if duration_min is None else timedelta(minutes=duration_min)
        booking.start = whole_second(start) if start else booking.start
        booking.end = booking.start + length
        moved = {**self._id_fields(booking), "Duration": booking.duration_min}
        moved["StartTime"] = stamp(booking.start)
        self._tell((("BookingMoved", moved),) if self._speaks else (), booking)
        return booking

    def retitle(self, booking_id: str, title: str) -> Booking:
        booking = self.find(booking_id, booking_id)
        booking.title = title
        self._tell(())
        return booking

    def extend(self, booking_id: str, minutes: int, *, answer: Answer | None = None) -> Booking:
        """On the device: asked for at once, longer when the backend agrees."""
        booking = self.find(booking_id, booking_id)
        answer = answer or self.answer
        if self._speaks:
            asked = {
                **self._id_fields(booking),
                "Duration": minutes,
                "NewEndTime": stamp(booking.end + timedelta(minutes=minutes)),
                "OriginalMeetingId": booking.meeting_id,
            }
            self._emit([("ExtensionRequested", asked)])
        if self.kind is not CalendarKind.HYBRID:
            self._lengthen(booking, minutes)
        elif answer.outcome == "confirm":
            grant = partial(self._grant, booking, minutes, answer)
            self._later(answer.after_s, booking, grant)
        elif answer.outcome == "fail":
            self._later(answer.after_s, booking, partial(self._refuse_extension, booking, answer.cause))
        return booking

    def edit(
        self, booking_id: str, *, title: str | None, start: datetime | None, duration_min: int | None
    ) -> Booking:
        """On the device: asked for at once, changed when the backend agrees."""
        booking = self.find(booking_id, booking_id)
        answer = self.answer
        apply = partial(self._change, booking, title, start, duration_min)
        refuse = partial(self._refuse_edit, booking)
        if self._speaks:
            self._emit([("EditRequested", {"MeetingId": booking.meeting_id})])
        if self.kind is not CalendarKind.HYBRID:
            apply()
        elif answer.outcome == "confirm":
            begin = whole_second(start or booking.start)
            lasts = booking.duration_min if duration_min is None else duration_min
            end = begin + timedelta(minutes=lasts)

            def decide() -> None:
                moved = (begin, end) != (booking.start, booking.end)
                if moved and answer.declines_overlaps and self._taken(begin, end, but=booking):
                    refuse("Decline")
                else:
                    apply()

            self._later(answer.after_s, booking, decide)
        elif answer.outcome == "fail":
            self._later(answer.after_s, booking, partial(refuse, answer.cause))
        return booking

    def release(self, booking_id: str, cause: Cause = "Deleted") -> Booking:
        """By a command: gone when the backend has agreed, at once where there is none."""
        booking = self.find(booking_id, booking_id)
        if self.kind is not CalendarKind.HYBRID or (self.answer.releases and not self.answer.release_after_s):
            return self.delete(booking.id, cause)
        if self.answer.releases:
            self._later(self.answer.release_after_s, booking, lambda: self.delete(booking.id, cause))
        return booking

    def delete(self, booking_id: str, cause: Cause = "Deleted") -> Booking:
        booking = self.find(booking_id, booking_id)
        self.bookings.remove(booking)
        booking.edition += 1
        now = whole_second(self._schedule.clock.now())
        freed = max(timedelta(0), booking.end - max(now, booking.start))
        deleted = {
            **self._span_fields(booking),
            "Cause": cause,
            "MinutesFreed": round(freed.total_seconds() / 60),
            "OrganizerId": booking.organizer.id,
            "TimeStamp": stamp(now),
        }
        ends = self._faults.end_after_delete and booking.started and not booking.ended
        end = (("End", self._span_fields(booking)),) if ends else ()
        self._tell((("Deleted", deleted), *end) if self._speaks else end)
        return booking

    def check_in(self, booking_id: str) -> Booking:
        booking = self.find(booking_id, booking_id)
        offset = round((self._schedule.clock.now() - booking.start).total_seconds() / 60)
        fields = self._span_fields(booking)
        fields.pop("ScheduledDuration")
        self._tell((("CheckedIn", {**fields, "MinuteOffset": offset}),))
        return booking

    def change_meeting_id(self, booking_id: str, meeting_id: str | None = None) -> Booking:
        booking = self.find(booking_id, booking_id)
        booking.meeting_id = self._guid() if meeting_id is None else meeting_id
        self._tell(())
        return booking

    def sync_required(self) -> None:
        self._emit([("SyncRequired", {})])

    def snooze(self, booking_id: str) -> None:
        self._emit([("NotificationSnoozed", self._id_fields(self.find(booking_id, booking_id)))])

    def replace_all(self, bookings: Sequence[Booking]) -> None:
        """A push, or a clearing when there are none."""
        self.bookings[:] = bookings
        for booking in bookings:
            self._arm(booking)
        self._tell(())

    def renumber(self) -> None:
        """What a reboot does to the ids of hybrid calendars: they start at 1 again and are used anew."""
        if self.kind is not CalendarKind.HYBRID:
            return
        self._last_number = 0
        for booking in sorted(self.bookings, key=lambda booking: booking.start):
            booking.id = self._new_id()
        self._changed()

    # Inside

    def _decide(self, booking: Booking, answer: Answer) -> None:
        if answer.declines_overlaps and self._taken(booking.start, booking.end, but=booking):
            self._fail(booking, "Decline")
        else:
            self._confirm(booking, None)

    def _confirm(self, booking: Booking, meeting_id: str | None) -> Booking:
        booking.pending, booking.listed = False, True
        booking.meeting_id = self._guid() if meeting_id is None else meeting_id
        created = {**self._request_fields(booking), **self._id_fields(booking)}
        self._tell((("BookingCreated", {**created, **self._organizer_fields(booking)}),), booking)
        return booking

    def _fail(self, booking: Booking, cause: Failure) -> None:
        self.bookings.remove(booking)
        failed: Fields = {"BookingRequestUUID": booking.request_id, "FailureCause": cause}
        if booking.listed:
            self._tell((("BookingFailed", failed),))
        else:
            self._emit([("BookingFailed", failed)])

    def _forget(self, booking: Booking) -> None:
        self.bookings.remove(booking)
        if booking.listed:
            self._tell(())

    def _answer_later(self, seconds: float, booking: Booking, act: Callable[[], object]) -> None:
        self._later(seconds, booking, lambda: act() if booking.pending else None)

    @property
    def _speaks(self) -> bool:
        """Whether this kind announces changes by events of their own, not only by Updated."""
        return self.kind is not CalendarKind.PUSHED

    def _tell(self, events: Sequence[tuple[str, Fields]], booking: Booking | None = None) -> None:
        """After a change of the list: the events it causes, Updated, and the alarms set anew."""
        self.updated_at = self._schedule.clock.now()
        self._emit([*events, ("Updated", {})])
        if booking is not None:
            self._arm(booking)
        self._changed()

    def _arm(self, booking: Booking) -> None:
        booking.edition += 1
        now = self._schedule.clock.now()
        if booking.end <= now:
            if booking.started and not booking.ended:
                self._end(booking, booking.edition)
            return
        booking.ended = False
        if booking.start > now and booking.started:
            booking.started = False  # moved into the future: it will start again
        if not booking.started:
            if booking.start - STARTS_BUFFER > now:
                alarm = partial(self._announce, booking, booking.edition, "StartTimeBuffer")
                self._schedule.at(booking.start - STARTS_BUFFER, alarm)
            if booking.start > now:
                self._schedule.at(booking.start, partial(self._start, booking, booking.edition))
            else:
                self._start(booking, booking.edition)
        if booking.end - REMINDS > max(now, booking.start):
            remind = partial(self._announce, booking, booking.edition, "TimeRemaining")
            self._schedule.at(booking.end - REMINDS, remind)
        self._schedule.at(booking.end, partial(self._end, booking, booking.edition))

    def _announce(self, booking: Booking, edition: int, name: str) -> None:
        if self._still(booking, edition):
            seconds = {"Seconds": int(REMINDS.total_seconds())} if name == "TimeRemaining" else {}
            self._emit([(name, {**self._id_fields(booking), **seconds})])

    def _start(self, booking: Booking, edition: int) -> None:
        if self._still(booking, edition) and not booking.started:
            booking.started = True
            self._emit([("Start", self._id_fields(booking))])
            self._changed()

    def _end(self, booking: Booking, edition: int) -> None:
        if self._still(booking, edition) and booking.started and not booking.ended:
            booking.ended = True
            self._emit([("End", self._span_fields(booking))])
            self._forget_old()
            self._changed()

    def _still(self, booking: Booking, edition: int) -> bool:
        """Nothing has changed since the alarm was set."""
        return booking.edition == edition and booking.listed and booking in self.bookings

    def _forget_old(self) -> None:
        yesterday = self._schedule.clock.now() - timedelta(days=1)
        self.bookings[:] = [booking for booking in self.bookings if booking.end > yesterday]

    def _later(self, seconds: float, booking: Booking, act: Callable[[], object]) -> None:
        def unless_gone() -> None:
            if booking in self.bookings:
                act()

        self._schedule.after(seconds, unless_gone)

    def _grant(self, booking: Booking, minutes: int, answer: Answer) -> None:
        end = booking.end + timedelta(minutes=minutes)
        if answer.declines_overlaps and self._taken(booking.end, end, but=booking):
            self._refuse_extension(booking, "Decline")
        else:
            self._lengthen(booking, minutes)

    def _refuse_extension(self, booking: Booking, cause: Failure) -> None:
        failed = {
            "ExtensionStart": stamp(booking.end),
            "FailureCause": cause,
            "OriginalMeetingId": booking.meeting_id,
        }
        self._emit([("ExtensionFailed", failed)])

    def _refuse_edit(self, booking: Booking, cause: Failure) -> None:
        self._emit([("EditFailed", {"FailureCause": cause, "MeetingId": booking.meeting_id})])

    def _lengthen(self, booking: Booking, minutes: int) -> None:
        booking.end += timedelta(minutes=minutes)
        self._tell((), booking)

    def _change(
        self, booking: Booking, title: str | None, start: datetime | None, duration_min: int | None
    ) -> None:
        booking.title = booking.title if title is None else title
        if start is not None or duration_min is not None:
            self.move(booking.id, start=start, duration_min=duration_min)
        else:
            self._tell(())

    def _taken(self, start: datetime, end: datetime, *, but: Booking) -> bool:
        return any(
            other is not but and other.start < end and start < other.end
            for other in self.bookings
            if other.listed and not other.pending
        )

    def _request_fields(self, booking: Booking) -> dict[str, int | str]:
        uuid_field = {} if self._faults.no_request_uuid else {"BookingRequestUUID": booking.request_id}
        return {
            **uuid_field,
            "Duration": booking.duration_min,
            "StartTime": stamp(booking.start),
            "Title": booking.title,
        }

    @staticmethod
    def _organizer_fields(booking: Booking) -> dict[str, int | str]:
        organizer = booking.organizer
        name = f"{organizer.first_name} {organizer.last_name}".strip()
        return {"OrganizerEmail": organizer.email, "OrganizerId": organizer.id, "OrganizerName": name}

    @staticmethod
    def _id_fields(booking: Booking) -> dict[str, int | str]:
        return {"Id": booking.id, "MeetingId": booking.meeting_id}

    def _span_fields(self, booking: Booking) -> dict[str, int | str]:
        return {
            **self._id_fields(booking),
            "EndTime": stamp(booking.end),
            "ScheduledDuration": booking.duration_min,
            "StartTime": stamp(booking.start),
        }

    def _new_id(self) -> str:
        match self.kind:
            case CalendarKind.HYBRID:
                self._last_number += 1
                return f"webex-{self._last_number}"
            case CalendarKind.ON_DEVICE:
                return self._guid()
            case CalendarKind.PUSHED:
                return f"{self._luck.getrandbits(128):032x}"

    def _guid(self) -> str:
        return str(uuid.UUID(int=self._luck.getrandbits(128), version=4))
