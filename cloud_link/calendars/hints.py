"""When a room's calendar is listed next: hints only say that it is worth a look; a listing is the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from agent.core.model import RoomId

# ── how often ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How soon after a hint a room is listed, and how often without one."""

    quiet: timedelta = timedelta(seconds=2)  # one change is told as a creation and two or three updates
    at_latest: timedelta = timedelta(seconds=10)  # after the first hint, however many follow
    burst: timedelta = timedelta(seconds=30)  # no room is listed a third time within that
    poll_soonest: timedelta = timedelta(minutes=5)  # while nobody pushes
    poll_latest: timedelta = timedelta(minutes=15)
    look_soonest: timedelta = timedelta(minutes=18)  # although somebody pushes: pushes are lost by contract,
    look_latest: timedelta = timedelta(minutes=25)  # and what was not read for half an hour is not believed
    retry_soonest: timedelta = timedelta(seconds=15)
    retry_latest: timedelta = timedelta(minutes=10)


RHYTHM: Final = Rhythm()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How many requests a provider takes from all rooms together."""

    per_minute: int
    at_once: int  # that may go ahead of the minute's pace

    @property
    def each(self) -> timedelta:
        """The time that one request uses up."""
        return timedelta(minutes=1) / self.per_minute


# A service account reads all rooms as one user, who has 600 a minute; watches and the directory need some.
GOOGLE_QUOTA: Final = Quota(per_minute=480, at_once=8)
# Each mailbox has 10,000 in ten minutes, more than `burst` lets a room use; this spares the line and the CPU.
MICROSOFT_QUOTA: Final = Quota(per_minute=1200, at_once=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What is used up of a quota: all of it until `until` if nothing may go ahead of its pace."""

    until: datetime


def free_at(spent: Spent, quota: Quota) -> datetime:
    """From when on the next request may go; a time that is past is now."""
    return spent.until - (quota.at_once - 1) * quota.each


def spend(spent: Spent | None, quota: Quota, now: datetime, *, requests: int = 1) -> Spent:
    """After so many requests at `now`: one that asks for several rooms may cost several."""
    return Spent(until=max(spent.until if spent else now, now) + requests * quota.each)


def bounded(spent: Spent | None, quota: Quota, now: datetime, *, waiting: int) -> Spent | None:
    """What can be used up at `now` while so many wait for it: what is more is left of a clock set back."""
    if spent is None:
        return None
    return Spent(until=min(spent.until, now + (waiting + quota.at_once) * quota.each))


# ── one room ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is known of the listings of one room. Times are UTC."""

    room: RoomId
    since: datetime  # when the room was linked, or the daemon started
    pushed: bool = False  # somebody tells us of changes, as far as we know
    hinted_at: datetime | None = None  # the first hint that no listing has been begun for since
    hinted_last: datetime | None = None
    asked_at: datetime | None = None  # a listing is under way since
    answers: datetime | None = None  # the first of the hints for which it was begun
    begun: tuple[datetime, ...] = ()  # the last two of all listings
    listed_at: datetime | None = None  # when the last one that came was asked for
    luck: float = 0.5  # in [0, 1): when it is polled next
    failures: int = 0  # in a row
    retry_at: datetime | None = None


_LISTINGS_IN_A_BURST: Final = 2


def hinted(look: Look, now: datetime) -> Look:
    """After a push, a delta that is not empty, or whatever else says that something may have changed."""
    return replace(look, hinted_at=look.hinted_at or now, hinted_last=now)


def push_turned(look: Look, now: datetime, *, pushed: bool) -> Look:
    """After pushes have begun to come or can no longer be relied on; what was missed before is looked for."""
    turned = replace(look, pushed=pushed)
    return hinted(turned, now) if pushed and not look.pushed else turned


def begun(look: Look, now: datetime) -> Look:
    """After a listing has been asked for: what is hinted from now on is not in it for certain."""
    return replace(
        look,
        asked_at=now,
        answers=look.hinted_at,
        hinted_at=None,
        hinted_last=None,
        begun=(*look.begun, now)[-_LISTINGS_IN_A_BURST:],
    )


def listed(look: Look, *, luck: float) -> Look:
    """After the listing under way has come, whole; `luck` in [0, 1) decides when the next poll is."""
    return replace(
        look, listed_at=look.asked_at, asked_at=None, answers=None, luck=luck, failures=0, retry_at=None
    )


def failed(look: Look, now: datetime, *, luck: float, rhythm: Rhythm = RHYTHM) -> Look:
    """After the listing under way came to nothing: its hints stand, and it is tried again after a rest."""
    rest = min(rhythm.retry_latest, rhythm.retry_soonest * 2 ** min(look.failures, 16))
    return replace(
        look,
        asked_at=None,
        answers=None,
        hinted_at=look.answers or look.hinted_at,
        hinted_last=look.hinted_last or look.answers,
        failures=look.failures + 1,
        retry_at=now + rest * (0.5 + luck / 2),
    )


def stepped(look: Look, by: timedelta) -> Look:
    """After the wall clock jumped: spans that are running move with it."""

    def moved(at: datetime | None) -> datetime | None:
        return None if at is None else at + by

    return replace(
        look,
        since=look.since + by,
        hinted_at=moved(look.hinted_at),
        hinted_last=moved(look.hinted_last),
        asked_at=moved(look.asked_at),
        answers=moved(look.answers),
        begun=tuple(at + by for at in look.begun),
        listed_at=moved(look.listed_at),
        retry_at=moved(look.retry_at),
    )


def next_listing(
    look: Look, *, not_before: datetime | None = None, rhythm: Rhythm = RHYTHM
) -> datetime | None:
    """When the room is to be listed, a time that is past being at once; None while a listing is under way.

    `not_before`: what the provider asked for (Retry-After), or when a room that is denied is tried again.
    """
    if look.asked_at is not None:
        return None
    at = _poll(look, rhythm)
    if look.hinted_at is not None and look.hinted_last is not None:  # both, or neither
        at = min(at, look.hinted_last + rhythm.quiet, look.hinted_at + rhythm.at_latest)
    if len(look.begun) == _LISTINGS_IN_A_BURST:
        at = max(at, look.begun[0] + rhythm.burst)
    for bound in (look.retry_at, not_before):
        at = at if bound is None else max(at, bound)
    return at


def _poll(look: Look, rhythm: Rhythm) -> datetime:
    """When nobody says anything; so a day is read as soon as it is the room's tomorrow."""
    if look.listed_at is None:
        return look.since
    if look.pushed:
        return look.listed_at + rhythm.look_soonest + look.luck * (rhythm.look_latest - rhythm.look_soonest)
    return look.listed_at + rhythm.poll_soonest + look.luck * (rhythm.poll_latest - rhythm.poll_soonest)


def urgency(look: Look) -> tuple[int, datetime]:
    """Sorts those that are due: first those with hints, then the unknown, then the oldest known."""
    if look.hinted_at is not None:
        return 0, look.hinted_at
    return (1, look.since) if look.listed_at is None else (2, look.listed_at)
