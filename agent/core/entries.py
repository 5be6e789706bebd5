"""Which booking an entry of a linked calendar is: by its id, by iCal UID or meeting id, at last by times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from agent.core.events import CalendarEntry
from agent.core.model import Booking, BookingPhase, CalendarKind

NOT_IN_CALENDAR = "not_in_calendar"  # the cause that is told: the believed calendar does not have it

HEARD_WITHIN = timedelta(seconds=60)  # a request that a calendar has granted already

Other = TypeVar("Other")
Likeness = Callable[[Booking, Other], bool]


def pair_entries(
    bookings: Sequence[Booking], entries: Sequence[CalendarEntry], calendar: CalendarKind, asked_at: datetime
) -> tuple[tuple[Booking, CalendarEntry], ...]:
    """Each standing booking with the entry of this calendar that it is; one entry is one booking.

    What was requested after the listing was asked for is in it by no other name.
    """

    def same_entry(booking: Booking, entry: CalendarEntry) -> bool:
        return booking.entries.get(calendar) == entry.entry_id

    def same_uid(booking: Booking, entry: CalendarEntry) -> bool:
        return _shared(booking.meeting.ical_uid, uid_of(entry)) and booking.starts_at == entry.starts_at

    def same_meeting(booking: Booking, entry: CalendarEntry) -> bool:
        return _names(booking, entry) and booking.starts_at == entry.starts_at

    def same_times(booking: Booking, entry: CalendarEntry) -> bool:
        rivals = _rivals(booking.meeting.ical_uid, uid_of(entry))
        return _same_times(booking, entry) and not rivals and not _requested_since(booking, asked_at)

    def same_times_and_title(booking: Booking, entry: CalendarEntry) -> bool:
        return same_times(booking, entry) and booking.meeting.title == entry.meeting.title

    def moved(booking: Booking, entry: CalendarEntry) -> bool:
        """An id of this calendar lasts: one that it knows by another is another."""
        same = _names(booking, entry) or _shared(booking.meeting.ical_uid, uid_of(entry))
        return same and calendar not in booking.entries

    left, unmatched = list(entries), list(bookings)
    sure: tuple[Likeness[CalendarEntry], ...] = (same_entry, same_uid, same_meeting, same_times_and_title)
    return (
        *_match(unmatched, left, sure),
        *_match(unmatched, left, (moved,), single=True),
        *_match(unmatched, left, (same_times,)),
    )


def pair_echoes(
    bookings: Sequence[Booking], entries: Sequence[CalendarEntry], calendar: CalendarKind
) -> tuple[tuple[Booking, CalendarEntry], ...]:
    """Each booking that is over with the entry that it was, where that is listed still or again."""

    def same_entry(booking: Booking, entry: CalendarEntry) -> bool:
        return booking.entries.get(calendar) == entry.entry_id

    def same_at_its_time(booking: Booking, entry: CalendarEntry) -> bool:
        same = _names(booking, entry) or _shared(booking.meeting.ical_uid, uid_of(entry))
        return same and booking.starts_at == entry.starts_at

    def same_times(booking: Booking, entry: CalendarEntry) -> bool:
        titles = (booking.meeting.title, entry.meeting.title)
        doubted = booking.phase is BookingPhase.ENDED or booking.cause == NOT_IN_CALENDAR
        alike = doubted or None in titles or titles[0] == titles[1]
        told_otherwise = calendar in booking.entries or _rivals(booking.meeting.ical_uid, uid_of(entry))
        return alike and not told_otherwise and _same_times(booking, entry)

    # Of several that were alike, the last one to be over is meant.
    newest = sorted(bookings, key=lambda b: b.since, reverse=True)
    return tuple(_match(newest, list(entries), (same_entry, same_at_its_time, same_times)))


def pair_words(
    agenda: Sequence[Booking], devices: Sequence[Booking], *, over: bool = False
) -> tuple[tuple[Booking, Booking], ...]:
    """Each booking that a calendar told of with the one that it is as devices tell it.

    One that is `over` is only what it is without doubt: another may have been booked in its place, if it is
    not over only because another calendar did not have it.
    """

    def same_meeting(booking: Booking, word: Booking) -> bool:
        return _same_meeting(booking, word) and booking.starts_at == word.starts_at

    def same_times(booking: Booking, word: Booking) -> bool:
        rivals = _rivals(booking.meeting_id, word.meeting_id)
        return (
            not rivals
            and (booking.starts_at, booking.ends_at) == (word.starts_at, word.ends_at)
            and not (_rivals(booking.meeting.ical_uid, word.meeting.ical_uid))
        )

    def same_times_and_title(booking: Booking, word: Booking) -> bool:
        titles = {booking.meeting.title, word.meeting.title}
        sure = not over or None not in titles
        return same_times(booking, word) and len(titles) == 1 and sure

    def denied(booking: Booking, word: Booking) -> bool:
        return same_times(booking, word) and booking.cause == NOT_IN_CALENDAR

    def same_times_alone(booking: Booking, word: Booking) -> bool:
        """Nobody asks for times that were taken a while ago, unless they are free again."""
        return same_times(booking, word) and not _requested_since(word, booking.since + HEARD_WITHIN)

    left, unmatched = list(devices), list(agenda)
    if over:
        return tuple(_match(unmatched, left, (same_meeting, same_times_and_title, denied)))
    return (
        *_match(unmatched, left, (same_meeting, same_times_and_title)),
        *_match(unmatched, left, (_same_meeting,), single=True),  # moved on one side
        *_match(unmatched, left, (same_times_alone,)),
    )


def taken_since(bookings: Iterable[Booking], entry: CalendarEntry, asked_at: datetime) -> bool:
    """Whether another asked for these very times after the listing was: one of both is there no more."""
    return any(_same_times(b, entry) and _requested_since(b, asked_at) for b in bookings)


def pair_names(agenda: Sequence[Booking], devices: Sequence[Booking]) -> tuple[tuple[Booking, Booking], ...]:
    """Each booking with the one by which devices name it, wherever either has moved."""
    return tuple(_match(list(agenda), list(devices), (_same_meeting,), single=True))


def uid_of(entry: CalendarEntry) -> str | None:
    """The entry's iCal UID, wherever the calendar says it."""
    return entry.ical_uid or entry.meeting.ical_uid


def _names(booking: Booking, entry: CalendarEntry) -> bool:
    """Whether the meeting id that a device tells is this calendar's own name for it."""
    return booking.meeting_id is not None and booking.meeting_id in {entry.entry_id, uid_of(entry)}


def _same_meeting(booking: Booking, word: Booking) -> bool:
    if word.meeting_id is not None and word.meeting_id in {
        booking.meeting_id,
        booking.meeting.ical_uid,
        *booking.entries.values(),
    }:
        return True
    return _shared(booking.meeting.ical_uid, word.meeting.ical_uid)


def _same_times(booking: Booking, entry: CalendarEntry) -> bool:
    return (booking.starts_at, booking.ends_at) == (entry.starts_at, entry.ends_at)


def _requested_since(booking: Booking, asked_at: datetime) -> bool:
    return booking.requested_at is not None and booking.requested_at > asked_at


def _shared(one: str | None, other: str | None) -> bool:
    return one is not None and one == other


def _rivals(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _match(
    unmatched: list[Booking],
    left: list[Other],
    likenesses: Iterable[Likeness[Other]],
    *,
    single: bool = False,
) -> Iterator[tuple[Booking, Other]]:
    """Pairs that are alike, the surest likeness first; takes them out of both lists.

    With `single` only those that have no second candidate on either side.
    """
    for alike in likenesses:
        for booking in tuple(unmatched):
            found = [other for other in left if alike(booking, other)]
            if not found:
                continue
            if single and (len(found) > 1 or sum(alike(b, found[0]) for b in unmatched) > 1):
                continue
            yield booking, found[0]
            left.remove(found[0])
            unmatched.remove(booking)
