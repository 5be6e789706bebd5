"""What went wrong with a cloud calendar, sorted by what the caller should do about it."""

from __future__ import annotations

from typing import ClassVar


class CalendarError(Exception):
    """The service did not do what was asked; the text tells an operator why, without secrets or contents."""

    default_mend: ClassVar[str] = "look at the calendar integration"

    def __init__(self, why: str, *, mend: str | None = None) -> None:
        super().__init__(why)
        self.mend = mend or self.default_mend  # what an operator does about it


# ── of the whole integration ──


class Transient(CalendarError):
    """Out of reach, overloaded or broken for now: ask again, after `retry_after_s` where the service said."""

    default_mend = "nothing to do if it passes; else check the network between and the service's status page"

    def __init__(self, why: str, *, retry_after_s: float | None = None, mend: str | None = None) -> None:
        super().__init__(why, mend=mend)
        self.retry_after_s = retry_after_s


class Throttled(Transient):
    """We ask too much for the moment: not before `retry_after_s`; None where the service did not say."""

    default_mend = "nothing to do: roomd asks less often for a while"


class Unreadable(Transient):
    """Not the service's own word: a login page in between, something too long, a strange link."""

    default_mend = "check that no proxy or portal answers in the service's place"


class IntegrationError(CalendarError):
    """All rooms of the service are out of reach until a person acts."""


class CredentialWrong(IntegrationError):
    """Our secret, certificate or key is not taken: an operator must bring another; nothing is forgotten."""

    default_mend = "bring a new secret, certificate or key"


class ClockSkewed(IntegrationError):
    """What we sign is not valid at the service's time of day: set our clock; nothing is forgotten."""

    default_mend = "set this machine's clock (NTP)"


class Revoked(IntegrationError):
    """The site's administrator took the consent back: stop, and forget what belongs to it if it stays so."""

    default_mend = "an administrator must consent again"


class Misconfigured(IntegrationError):
    """What the configuration says cannot work: no tenant of that name, say; nothing is forgotten."""

    default_mend = "mend the calendar's settings in the configuration"


class RoomsDenied(CalendarError):
    """We may not read the list of rooms; those whose address is known may still be read."""

    default_mend = "grant the permission to read the list of rooms"


class Refused(CalendarError):
    """One request was understood and turned down: asking again in the same words does not help."""

    default_mend = "nothing to do if it happens once; else report it"


class WritingOff(Refused):
    """The site has not switched on that we write to its calendars."""

    default_mend = "grant the permission to write and switch it on in the configuration"


class NotCalled(Refused):
    """The service does not call where we want to be told of changes: no room has that, and all are polled."""

    default_mend = "let the service reach the address in [pushes]; until then calendars are polled"


# ── of one room ──


class RoomError(CalendarError):
    """One room's calendar is not to be had; the others' are."""

    default_mend = "look at the room's mailbox"


class RoomDenied(RoomError):
    """We may not read this room: look again now and then, as such policies take effect with a delay."""

    default_mend = "let the application read this room's calendar"


class RoomUnknown(RoomError):
    """No calendar at this address."""

    default_mend = "check the address of the room's calendar in the configuration"


class Gone(CalendarError):
    """What was meant is no longer there: a subscription, an entry."""

    default_mend = "nothing to do"


class Conflicting(CalendarError):
    """It exists already, or somebody else changed it first."""

    default_mend = "nothing to do"
