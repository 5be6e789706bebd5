"""Which booking a device speaks of: by meeting id, request id, booking id, and at last by its times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.core.events import BookingsListed, ListedBooking
from agent.core.model import (
    UNANSWERED_PHASES,
    Booking,
    BookingId,
    BookingPhase,
    DeviceId,
    Meeting,
    MeetingId,
    RequestId,
    Room,
)

JUST_CREATED = timedelta(seconds=5)  # a request heard after its own answer comes within this


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one word of a device says of a booking; None is not said."""

    device: DeviceId
    request_id: RequestId | None = None
    booking_id: BookingId | None = None
    meeting_id: MeetingId | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    meeting: Meeting | None = None
    whole: bool = False  # a listing says everything of the meeting; an event its title and organizer
    from_webex: bool = False


def knows(device: DeviceId, booking: Booking) -> bool:
    """Whether this device has spoken of the booking and so would list it, or nobody has who is left."""
    nobody = not booking.booking_ids and booking.requested_on is None
    return nobody or device in booking.booking_ids or booking.requested_on == device


def find(room: Room, seen: Sighting, now: datetime) -> Booking | None:
    """The booking that a device speaks of, the living before the dead; None if it is a new one."""
    bookings = sorted(room.bookings.values(), key=lambda b: not b.live)
    waiting = [b for b in bookings if b.phase in UNANSWERED_PHASES]
    return (
        _by_request_id(waiting, seen)
        or _by_meeting_id(room, bookings, seen)
        # An id that was used before and is used again at another time is another request.
        or _by_request_id([b for b in bookings if _at_its_time(b, seen)], seen)
        or _by_booking_id(room, bookings, seen)
        or _by_times(bookings, seen, now)
    )


def _by_meeting_id(room: Room, bookings: Sequence[Booking], seen: Sighting) -> Booking | None:
    if seen.meeting_id is None:
        return None
    named = [b for b in bookings if b.meeting_id == seen.meeting_id]
    numbered = [b for b in named if b.booking_ids.get(seen.device) == seen.booking_id]
    if seen.booking_id is not None and numbered and not _renumbered(room, seen.device):
        named = numbered
    found = [b for b in named if _at_its_time(b, seen)] or [b for b in named if b.live]
    # Occurrences of a series may share a meeting id: the running one is meant, else the next.
    order = sorted(found, key=lambda b: (not b.live, b.phase is not BookingPhase.STARTED, b.starts_at))
    return order[0] if order else None


def _by_request_id(bookings: Sequence[Booking], seen: Sighting) -> Booking | None:
    if seen.request_id is None:
        return None
    return next((b for b in bookings if b.request_id == seen.request_id), None)


def _renumbered(room: Room, device: DeviceId) -> bool:
    state = room.devices.get(device)
    return state is not None and state.renumbered


def _by_booking_id(room: Room, bookings: Sequence[Booking], seen: Sighting) -> Booking | None:
    if seen.booking_id is None or _renumbered(room, seen.device):
        return None
    for booking in bookings:
        known = booking.booking_ids.get(seen.device) == seen.booking_id
        if known and _at_its_time(booking, seen) and not _rivals(booking.meeting_id, seen.meeting_id):
            return booking
    return None


def _by_times(bookings: Sequence[Booking], seen: Sighting, now: datetime) -> Booking | None:
    if seen.starts_at is None:
        return None
    for booking in bookings:
        if not booking.live or (booking.starts_at, booking.ends_at) != (seen.starts_at, seen.ends_at):
            continue
        if seen.request_id is not None and booking.request_id is not None:
            continue  # two requests for the same time are two
        waiting = booking.phase in UNANSWERED_PHASES
        if seen.booking_id is None:
            if waiting or now - booking.since <= JUST_CREATED:
                return booking  # a request without an id, told twice, or heard after its answer
        elif (waiting or _only_anothers(booking, seen)) and _titled_alike(booking, seen):
            return booking
    return None


def _only_anothers(booking: Booking, seen: Sighting) -> bool:
    """Whether this device has no word for the booking yet, and another has: it may be its word for it."""
    told_by_others = bool(booking.booking_ids) and seen.device not in booking.booking_ids
    return told_by_others and not _rivals(booking.meeting_id, seen.meeting_id)


def _at_its_time(booking: Booking, seen: Sighting) -> bool:
    return seen.starts_at is None or seen.starts_at == booking.starts_at


def _titled_alike(booking: Booking, seen: Sighting) -> bool:
    title = seen.meeting.title if seen.meeting else None
    return title is None or booking.meeting.title is None or title == booking.meeting.title


def _rivals(one: MeetingId | None, other: MeetingId | None) -> bool:
    return one is not None and other is not None and one != other


def twin(room: Room, booking: Booking) -> Booking | None:
    """The same booking told by other devices, taken for another one as it was not told alike then."""
    for other in room.bookings.values():
        if (
            other.live
            and other.key != booking.key
            and (other.starts_at, other.ends_at) == (booking.starts_at, booking.ends_at)
            and other.meeting.title == booking.meeting.title
            and not _rivals(other.meeting_id, booking.meeting_id)
            and other.booking_ids
            and other.booking_ids.keys().isdisjoint(booking.booking_ids)
        ):
            return other
    return None


Likeness = Callable[[Booking, ListedBooking], bool]


def pair(room: Room, event: BookingsListed, *, renumbered: bool) -> tuple[tuple[Booking, ListedBooking], ...]:
    """Match known bookings and listed ones, the surest likeness first; each is used once."""

    def booking_id(known: Booking) -> BookingId | None:
        return None if renumbered else known.booking_ids.get(event.device)

    def same_start(known: Booking, listed: ListedBooking) -> bool:
        return known.starts_at == listed.starts_at

    def same_meeting(known: Booking, listed: ListedBooking) -> bool:
        return known.meeting_id is not None and known.meeting_id == listed.meeting_id

    def same_meeting_and_start(known: Booking, listed: ListedBooking) -> bool:
        return same_meeting(known, listed) and same_start(known, listed)

    def same_id_and_start(known: Booking, listed: ListedBooking) -> bool:
        return booking_id(known) == listed.booking_id and same_start(known, listed)

    def same_id(known: Booking, listed: ListedBooking) -> bool:
        return booking_id(known) == listed.booking_id and not _rivals(known.meeting_id, listed.meeting_id)

    def same_times(known: Booking, listed: ListedBooking) -> bool:
        times = (known.starts_at, known.ends_at) == (listed.starts_at, listed.ends_at)
        return times and not _rivals(known.meeting_id, listed.meeting_id)

    def same_times_and_title(known: Booking, listed: ListedBooking) -> bool:
        return same_times(known, listed) and known.meeting.title == listed.meeting.title

    def same_times_unsettled(known: Booking, listed: ListedBooking) -> bool:
        return same_times(known, listed) and (known.phase in UNANSWERED_PHASES or renumbered)

    def same_times_nameless(known: Booking, listed: ListedBooking) -> bool:
        return same_times(known, listed) and known.meeting_id is None and listed.meeting_id is None

    surest: tuple[Likeness, ...] = (same_meeting_and_start, same_meeting, same_id_and_start)
    looser: tuple[Likeness, ...] = (same_id, same_times_and_title, same_times_unsettled)

    def known(booking: Booking) -> bool:
        return booking.meeting_id is not None or knows(event.device, booking)

    def anothers(booking: Booking) -> bool:
        return not knows(event.device, booking)

    def any_of_them(_: Booking) -> bool:
        return True

    # Of several requests for the same times only the last can be granted: the others have failed unheard.
    standing = [b for b in room.bookings.values() if b.live]
    asked_for = [b for b in standing if b.phase in UNANSWERED_PHASES]
    living = [b for b in standing if b not in asked_for]
    living += sorted(asked_for, key=lambda b: b.requested_at or b.since, reverse=True)
    dead = [b for b in room.bookings.values() if not b.live]
    left = list(event.bookings)
    return (
        *_match(living, left, surest, among=known),
        # Those that are alike in all that is known may be taken for each other.
        *_match(living, left, (same_times_and_title,), among=anothers, alike_is_same=True),
        *_match(living, left, (same_times_nameless,), among=anothers),
        *_match(living, left, looser, among=known),
        # An echo has the times it had.
        *_match(dead, left, (same_meeting_and_start, same_id_and_start), among=any_of_them),
    )


def _match(
    unmatched: list[Booking],
    left: list[ListedBooking],
    likenesses: Iterable[Likeness],
    *,
    among: Callable[[Booking], bool],
    alike_is_same: bool = False,
) -> Iterator[tuple[Booking, ListedBooking]]:
    """Pairs that are alike and have no second candidate; takes them out of `unmatched` and `left`."""
    for alike in likenesses:
        for booking in [b for b in unmatched if among(b)]:
            found = [listed for listed in left if alike(booking, listed)]
            if len(found) == 1 or (found and alike_is_same):
                yield booking, found[0]
                left.remove(found[0])
                unmatched.remove(booking)
