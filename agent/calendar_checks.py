"""Examines the calendars: what is granted, which rooms can be read, what mailboxes do to meetings."""

from __future__ import annotations

import asyncio
import email.utils
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, assert_never

from agent.core.events import CalendarEntry
from agent.core.model import RoomId
from agent.door_checks import examine_own_certificate, listens
from agent.findings import Finding, Visit, some
from cloud_link.calendars.accounts import (
    GoogleAccount,
    LinkedRoom,
    MicrosoftAccount,
    PushDoor,
    Way,
    WebexAccount,
)
from cloud_link.calendars.errors import (
    CalendarError,
    ClockSkewed,
    CredentialWrong,
    Misconfigured,
    Revoked,
    RoomDenied,
    RoomsDenied,
    RoomUnknown,
    Transient,
)
from cloud_link.calendars.integration import (
    Access,
    Integration,
    Phase,
    RoomPhase,
    Service,
    room_words,
    words,
)
from cloud_link.calendars.joins import Platform
from cloud_link.calendars.matching import Doubt, Ground, Matching, Named, match
from cloud_link.calendars.microsoft import RoomToList
from cloud_link.calendars.opening import read_file, trusting
from cloud_link.calendars.providers import Calendars, GoogleProvider, MicrosoftProvider, Provider
from cloud_link.calendars.tokens import TokenTold
from cloud_link.calendars.webex import Lines, activate
from cloud_link.calendars.webex_codes import Activation, lacking
from cloud_link.calendars.webex_grant import Grant, GrantDamaged, GrantFile, GrantUnread
from cloud_link.calendars.webex_rooms import HybridPhase
from cloud_link.calendars.window import today_and_tomorrow
from cloud_link.calendars.wire import Wire, WirePace

NAMES: Final[Mapping[Service, str]] = {
    Service.MICROSOFT: "Microsoft 365",
    Service.GOOGLE: "Google Workspace",
    Service.WEBEX: "Webex",
}
TELLING: Final = 3  # entries of a room: fewer may be so by chance
OFF_BY: Final = timedelta(seconds=60)  # clouds give some minutes; what is signed is to be valid at once
SHOWS_THAT_IT_LIVES: Final = "Bookings.List"  # of a Hybrid Calendar, by a device of the room
SETTLED: Final = (  # facts: what Exchange does to meetings by default hides them from everybody
    "-AutomateProcessing AutoAccept -DeleteComments $false -DeleteSubject $false "
    "-AddOrganizerToSubject $false -RemovePrivateProperty $false -ProcessExternalMeetingMessages $true"
)

GOING_ON: Final = frozenset({"active", "connecting", "degraded"})  # phases in which nobody need act

Listed = tuple[CalendarEntry, ...] | CalendarError


async def examine_calendars(visit: Visit) -> None:
    """Everything about calendars; what the running daemon says of them beside what is seen from here."""
    accounts = visit.configuration.accounts
    if accounts is None:
        visit.ok("calendars", "none are configured: rooms are as their devices say")
        return
    said = {str(each["service"]): each for each in visit.calendars}
    alone: list[set[str]] = []
    for service, account in (
        (Service.MICROSOFT, accounts.microsoft),
        (Service.GOOGLE, accounts.google),
        (Service.WEBEX, accounts.webex),
    ):
        if account is None:
            continue
        word = said.get(service.value)
        stopped = word is not None and word["phase"] not in GOING_ON
        if word is not None and not stopped:
            _by_daemon(visit, service, word)
        troubles: list[Finding] = []
        here = visit.noting(troubles)
        match account:
            case MicrosoftAccount():
                whose = f"{NAMES[service]}, certificate"
                examine_own_certificate(here, whose, account.certificate_file, account.key_file)
                # The organizer's name is compared with the title here, and forgotten with it.
                provider = MicrosoftProvider(replace(account, organizers=True), now=visit.now)
                alone.append(await _examine_service(here, provider, searched=account.search_bodies))
            case GoogleAccount():
                google = GoogleProvider(account, now=visit.now, rest=asyncio.sleep)
                alone.append(await _examine_service(here, google, searched=account.search_bodies))
            case WebexAccount():
                await _examine_webex(here, account, word)
            case other:
                assert_never(other)
        if word is not None and stopped and not troubles:  # else what was seen from here is why
            _by_daemon(visit, service, word)
    without = set.intersection(*alone) if alone else set()
    if without:
        visit.advise(
            "rooms without a calendar",
            f"no calendar is like {some(without)}",
            'nothing to do if they have none; else write below the room: calendar = { microsoft = "…" }',
        )
    if accounts.push is not None:
        await _examine_door(visit, accounts.push, said)


def _by_daemon(visit: Visit, service: Service, said: Mapping[str, Any]) -> None:
    """The integration as the running daemon has it."""
    what, phase, why = f"{NAMES[service]}, in roomd", str(said["phase"]), said.get("why")
    match phase:
        case "active" if not why:
            visit.ok(what, "active")
        case "connecting" if not why:
            visit.advise(what, "it is being asked for the first time", "look again in a minute")
        case "active" | "connecting" | "degraded":
            visit.advise(what, *_parted(phase, why))
        case _:
            visit.wrong(what, *_parted(phase, why), code=os.EX_NOPERM)


def _parted(phase: str, why: object) -> tuple[str, str | None]:
    """What is wrong, and its mend: an integration's words have them in this order."""
    seen, _, mend = str(why or "").partition("; ")
    return (f"{phase}: {seen}", mend) if mend else (phase, seen or None)


# ── Microsoft 365 and Google Workspace ────────────────────────────────────────────────────────────


def _trouble(visit: Visit, service: Service, error: CalendarError) -> None:
    """Nothing can be read at all, and why."""
    match error:
        case CredentialWrong():
            what, code = "credential", os.EX_CONFIG
        case ClockSkewed():
            what, code = "clock", os.EX_OSERR
        case Revoked():
            what, code = "consent", os.EX_NOPERM
        case Misconfigured():
            what, code = "configuration", os.EX_CONFIG
        case Transient():
            what, code = "reach", os.EX_UNAVAILABLE
        case _:
            what, code = "access", os.EX_NOPERM
    visit.wrong(f"{NAMES[service]}, {what}", str(error), _mend(visit, service, error), code=code)


_TROUBLES: Final[Mapping[type[CalendarError], Phase]] = {
    CredentialWrong: Phase.CREDENTIAL,
    ClockSkewed: Phase.CLOCK_SKEW,
    Revoked: Phase.REVOKED,
}
_ROOM_TROUBLES: Final[Mapping[type[CalendarError], RoomPhase]] = {
    RoomDenied: RoomPhase.ACCESS_DENIED,
    RoomUnknown: RoomPhase.NOT_FOUND,
}


def _mend(visit: Visit, service: Service, error: CalendarError) -> str | None:
    """What to do: by the error where it knows more than usual, else in the words of the running daemon."""
    kind = type(error)
    if error.mend == kind.default_mend:
        if (phase := _TROUBLES.get(kind)) is not None:
            return words(Integration(service=service, phase=phase, since=visit.now()))
        if (room_phase := _ROOM_TROUBLES.get(kind)) is not None:
            return room_words(service, Access(phase=room_phase))
    return error.mend


def _token_told(visit: Visit, service: Service) -> TokenTold:
    """Says once that the credential is good, as soon as a token is given for it."""
    given: list[None] = []

    def told(error: CalendarError | None) -> None:
        if error is None and not given:
            given.append(error)
            visit.ok(f"{NAMES[service]}, credential", "taken: a token was given")

    return told


async def _examine_service(visit: Visit, provider: Provider[Calendars], *, searched: bool) -> set[str]:
    """Credential, directory, links and rooms; which rooms have no calendar there, as far as can be told.

    `searched`: texts are looked through for links to join by.
    """
    try:
        async with provider.open(_token_told(visit, provider.service)) as calendars:
            await calendars.sign_in()
            return await _examine_rooms(visit, provider, calendars, searched=searched)
    except CalendarError as error:
        _trouble(visit, provider.service, error)
        return set()


async def _examine_rooms(
    visit: Visit, provider: Provider[Calendars], calendars: Calendars, *, searched: bool
) -> set[str]:
    service, name, rooms = provider.service, NAMES[provider.service], visit.configuration.linked
    by_hand = _by_hand(service, rooms)
    directory: tuple[Named, ...] | None = None
    try:
        directory = await calendars.named()
    except (RoomsDenied, Misconfigured) as error:
        unnamed = [room.id for room in rooms if room.id not in by_hand]
        if isinstance(error, Misconfigured) and not any(by_hand.values()):
            raise
        seen = f"the list of rooms cannot be read: {error}"
        if unnamed:
            visit.wrong(f"{name}, directory", seen, error.mend, code=os.EX_NOPERM)
        else:
            visit.advise(f"{name}, directory", f"{seen}; every room has its address by hand", error.mend)
    else:
        visit.ok(f"{name}, directory", f"{len(directory)} rooms")
    found = _link(visit, service, rooms, directory, by_hand)
    addresses = {RoomId(each.one): each.other for each in found.matches}
    listed = await _read(visit, provider, calendars, addresses)
    _tell_of_reading(visit, service, listed, of=len(addresses))
    readable = {room: entries for room, entries in listed.items() if not isinstance(entries, CalendarError)}
    of_address = {addresses[room]: entries for room, entries in readable.items()}
    if service is Service.MICROSOFT:
        _judge_exchange(visit, of_address, searched=searched)
    else:
        _judge_meet(visit, of_address)
    return set() if directory is None else set(found.alone)


def _by_hand(service: Service, rooms: Iterable[LinkedRoom]) -> dict[str, str | None]:
    """What the configuration says of rooms' calendars; None for those that are to have none."""
    said: dict[str, str | None] = {}
    for room in rooms:
        address = room.microsoft if service is Service.MICROSOFT else room.google
        if service in room.left_out:
            said[room.id] = None
        elif address is not None:
            said[room.id] = address.lower()
    return said


def _link(
    visit: Visit,
    service: Service,
    rooms: Sequence[LinkedRoom],
    directory: Sequence[Named] | None,
    by_hand: Mapping[str, str | None],
) -> Matching:
    """Which calendar is each room's, as the daemon finds it; what it cannot find is told."""
    name = NAMES[service]
    listed = directory or ()
    hidden = {address for address in by_hand.values() if address} - {each.id for each in listed}
    ones = [Named(id=room.id, name=room.name, capacity=room.capacity) for room in rooms]
    # An address by hand is good also where the list does not show it.
    others = [*listed, *(Named(id=address, name=address) for address in sorted(hidden))]
    found = match(ones, others, by_hand=by_hand)
    grounds = Counter(each.ground for each in found.matches)
    by_name = grounds[Ground.NAME] + grounds[Ground.ADDRESS]
    seen = f"{grounds[Ground.BY_HAND]} rooms by hand, {by_name} found by name"
    if found.left_out:
        seen += f", {len(found.left_out)} left out"
    if found.matches:
        visit.ok(f"{name}, links", seen)
    else:
        mend = "write the rooms' addresses into the configuration: `roomd link` shows the lines"
        visit.wrong(f"{name}, links", seen, mend, code=os.EX_CONFIG)
    if hidden and listed:
        visit.advise(
            f"{name}, links",
            f"not in the list of rooms: {some(hidden)}",
            "nothing to do if they can be read: rooms that are hidden from the address list are not in it, "
            "and new ones come a day or two late",
        )
    for doubt in found.doubts:
        visit.advise(f"{name}, {doubt.one}", doubt.why, _line_to_write(service, doubt))
    return found


def _line_to_write(service: Service, doubt: Doubt) -> str:
    if not doubt.candidates:
        return "check the address in the configuration"
    lines = " or ".join(f'calendar = {{ {service.value} = "{each.other}" }}' for each in doubt.candidates)
    return f"write below the room: {lines}"


async def _read(
    visit: Visit, provider: Provider[Calendars], calendars: Calendars, addresses: Mapping[RoomId, str]
) -> dict[RoomId, Listed]:
    """What each linked room answers, once."""
    sharing: dict[str, list[RoomId]] = defaultdict(list)
    for room, address in addresses.items():
        sharing[address].append(room)
    found: dict[RoomId, Listed] = {}
    of_all: list[CalendarError] = []

    async def tell(address: str, listed: Listed) -> None:
        found.update(dict.fromkeys(sharing[address.lower()], listed))
        visit.so_far(len(found), len(addresses))

    async def list_some(some: Sequence[RoomToList]) -> None:
        try:
            await calendars.list_rooms(some, tell)
        except CalendarError as error:  # the other rooms would say the same
            of_all.append(error)

    zone = visit.configuration.policy.timezone
    window = today_and_tomorrow(visit.now(), zone)
    to_list = [RoomToList(address=address, window=window, zone=zone) for address in sharing]
    shares = 1 if provider.batch > 1 else provider.at_once  # a batch makes its own
    visit.so_far(0, len(addresses))
    async with asyncio.TaskGroup() as tasks:
        for share in range(shares):
            tasks.create_task(list_some(to_list[share::shares]), name=f"{provider.service} listing {share}")
    if of_all:
        _trouble(visit, provider.service, of_all[0])
    return found


def _tell_of_reading(visit: Visit, service: Service, listed: Mapping[RoomId, Listed], *, of: int) -> None:
    """How many rooms can be read, and what the others say; those that say the same are told together."""
    good = [room for room, each in listed.items() if not isinstance(each, CalendarError)]
    if good:
        visit.ok(f"{NAMES[service]}, rooms", f"{len(good)} of {of} can be read")
    alike: dict[tuple[type[CalendarError], str], list[RoomId]] = defaultdict(list)
    errors: dict[tuple[type[CalendarError], str], CalendarError] = {}
    for room, each in listed.items():
        if isinstance(each, CalendarError):
            alike[type(each), str(each)].append(room)
            errors[type(each), str(each)] = each
    for key, error in errors.items():
        what, mend = f"{NAMES[service]}, {some(alike[key])}", _mend(visit, service, error)
        match error:
            case RoomDenied():
                visit.wrong(what, str(error), mend, code=os.EX_NOPERM)
            case RoomUnknown():
                visit.wrong(what, str(error), mend, code=os.EX_CONFIG)
            case Transient():
                visit.advise(what, str(error), mend)
            case _:
                visit.wrong(what, str(error), mend)


# ── what the clouds do to meetings ────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Signs:
    """How many of a room's entries show what; nothing of what is in them."""

    shown: int = 0  # that may show a title at all
    untitled: int = 0
    named: int = 0  # whose organizer is known
    after_organizer: int = 0  # whose title begins with the organizer's name
    linked: Counter[str] = field(default_factory=Counter)  # by platform; "" without a link to join


def _signs(entries: Iterable[CalendarEntry]) -> _Signs:
    signs = _Signs()
    for entry in entries:
        meeting = entry.meeting
        signs.linked[meeting.platform or ""] += 1
        if meeting.private:
            continue
        signs.shown += 1
        signs.untitled += not meeting.title
        if meeting.organizer and meeting.title:
            signs.named += 1
            begins = meeting.title.strip().casefold().startswith(meeting.organizer.strip().casefold())
            signs.after_organizer += begins
    return signs


def _judge_exchange(
    visit: Visit, of_address: Mapping[str, tuple[CalendarEntry, ...]], *, searched: bool
) -> None:
    """What a room's mailbox does to its meetings (`Set-CalendarProcessing`), as far as entries show it."""
    signs = {address: _signs(entries) for address, entries in sorted(of_address.items())}
    what = f"{NAMES[Service.MICROSOFT]}, mailboxes"
    deleted = [at for at, sign in signs.items() if sign.shown >= TELLING and sign.untitled == sign.shown]
    added = [at for at, sign in signs.items() if sign.named >= TELLING and sign.after_organizer == sign.named]
    unlinked = [
        at
        for at, sign in signs.items()
        if sign.linked[""] >= TELLING and sign.linked.total() == sign.linked[""]
    ]
    if deleted:
        visit.advise(
            what,
            "no entry of today and tomorrow has a subject: Exchange deletes it (DeleteSubject), and mostly "
            f"the text with the link as well (DeleteComments): {some(deleted)}",
            _settle(deleted),
        )
    if added:
        visit.advise(
            what,
            "every subject is or begins with the organizer's name, which leaves with the title "
            f"(AddOrganizerToSubject): {some(added)}",
            _settle(added),
        )
    if searched and unlinked:
        visit.advise(
            what,
            "no entry has a link to join by, though texts are searched for one. If there should be some, "
            f"Exchange deletes the text (DeleteComments): {some(unlinked)}",
            _settle(unlinked),
        )


def _settle(mailboxes: Sequence[str]) -> str:
    """The line of Exchange Online PowerShell that leaves meetings as they are."""
    if len(mailboxes) == 1:
        return f"Set-CalendarProcessing -Identity {mailboxes[0]} {SETTLED}"
    quoted = ",".join(f'"{each}"' for each in mailboxes)
    return f"{quoted} | ForEach-Object {{ Set-CalendarProcessing -Identity $_ {SETTLED} }}"


def _judge_meet(visit: Visit, of_address: Mapping[str, tuple[CalendarEntry, ...]]) -> None:
    """Google puts a link of its own into every event where the domain lets it, and that link goes first."""
    linked = sum((_signs(entries).linked for entries in of_address.values()), Counter[str]())
    total = linked.total() - linked[""]
    if total >= TELLING and linked[Platform.MEET.value] == total:
        visit.advise(
            f"{NAMES[Service.GOOGLE]}, links to join by",
            "every link is one of Google Meet. Where Google adds them by itself, @webex in a location never "
            "becomes a link of Webex",
            "if people mean Webex: Admin console, Apps, Calendar, Sharing settings, Video calls: do not add "
            "them automatically",
        )


# ── Webex ─────────────────────────────────────────────────────────────────────────────────────────


async def _examine_webex(visit: Visit, account: WebexAccount, said: Mapping[str, Any] | None) -> None:
    """Only what changes nothing: a new token would take the daemon's away, so rooms are the daemon's word."""
    name = NAMES[Service.WEBEX]
    activation = await _examine_grant(visit, account, works=said is not None and said["phase"] == "active")
    lacks = () if activation is None else lacking(activation, commands=(SHOWS_THAT_IT_LIVES,))
    if lacks:
        mend = "give it to the integration by its manifest, and approve that in Control Hub"
        visit.advise(f"{name}, manifest", f"does not have {', '.join(lacks)}", mend)
    if said is None:
        seen = "only the running daemon can read them"
        visit.advise(f"{name}, workspaces", seen, "start roomd, and look again")
        return
    for room in said.get("rooms", ()):
        if room.get("why") and room["why"] != said.get("why"):
            visit.advise(f"{name}, {room['room']}", *_parted(str(room["phase"]), room["why"]))
    _tell_of_hybrid(visit, said.get("hybrid", {}))


async def _examine_grant(visit: Visit, account: WebexAccount, *, works: bool) -> Activation | None:
    """What Webex gave the site, by the daemon's own file; None if that does not say.

    `works`: the running daemon says so, which goes before whatever its file looks like from here.
    """
    what, kept = f"{NAMES[Service.WEBEX]}, grant", GrantFile(visit.configuration.state_directory)
    try:
        grant, revoked = kept.read(), kept.revoked()
    except GrantUnread as error:
        visit.advise(what, str(error), "run doctor with sudo")
        return None
    except GrantDamaged as error:
        if works:
            visit.advise(what, f"{error}, and the running daemon has it still", error.mend)
        else:
            visit.wrong(what, str(error), error.mend, code=os.EX_CONFIG)
        return None
    if revoked is not None and not works:
        mend = words(Integration(service=Service.WEBEX, phase=Phase.REVOKED, since=visit.now()))
        visit.wrong(what, f"was taken back: {revoked.why}", mend, code=os.EX_NOPERM)
        return None
    if grant is None:
        return None if works else await _verify_code(visit, account)
    if not works or grant.lapses_at is None or grant.lapses_at > visit.now():
        _tell_of_grant(visit, grant)
    return grant.activation


def _tell_of_hybrid(visit: Visit, phases: Mapping[str, str]) -> None:
    """Which rooms have a living Hybrid Calendar, by what the running daemon last saw."""
    what = f"{NAMES[Service.WEBEX]}, Hybrid Calendar"
    rooms = defaultdict(list)
    for room, phase in phases.items():
        rooms[phase].append(room)
    if living := rooms[HybridPhase.LIVING] + rooms[HybridPhase.CONFIGURED]:
        seen = f"configured for {len(living)} of {len(phases)} rooms, seen alive in"
        visit.ok(what, f"{seen} {len(rooms[HybridPhase.LIVING])}")
    if failing := rooms[HybridPhase.FAILING]:
        mend = "look at the workspaces in Control Hub, and at the rooms' mailboxes"
        visit.advise(what, f"does not work in {some(failing)}", mend)
    if without := rooms[HybridPhase.NONE]:
        mend = (
            "nothing to do if these rooms are read directly; else give the workspaces a calendar: "
            "Control Hub, Workspaces, Scheduling"
        )
        visit.advise(what, f"no calendar in Control Hub: {some(without)}", mend)


def _tell_of_grant(visit: Visit, grant: Grant) -> None:
    what, seen = f"{NAMES[Service.WEBEX]}, grant", f"of {grant.activation.org_name}"
    if grant.lapses_at is None:
        visit.ok(what, seen)
    elif grant.lapses_at > visit.now():
        visit.ok(what, f"{seen}, good until {grant.lapses_at:%Y-%m-%d}, and renewed before by roomd")
    else:
        mend = words(Integration(service=Service.WEBEX, phase=Phase.CREDENTIAL, since=visit.now()))
        seen = f"{seen}, lapsed on {grant.lapses_at:%Y-%m-%d}, as roomd did not run to renew it"
        visit.wrong(what, seen, mend, code=os.EX_NOPERM)


async def _verify_code(visit: Visit, account: WebexAccount) -> Activation | None:
    """What the activation code says; it is used up by whoever begins with it, and so not here."""
    try:
        read_file(account.client_secret_file, "client secret")
        code = read_file(account.activation_code_file, "activation code").decode("ascii", "replace")
        context = trusting(account.way)

        def dial(origin: str, pace: WirePace | None) -> Wire:
            return Wire(origin, context=context, proxy=account.way.proxy, pace=pace)

        async with Lines(dial) as lines:
            activation = await activate(lines, code, now=visit.now(), key_urls=account.key_urls)
    except CalendarError as error:
        _trouble(visit, Service.WEBEX, error)
        return None
    visit.ok(f"{NAMES[Service.WEBEX]}, activation code", f"signed by Webex, for {activation.org_name}")
    return activation


# ── the door for pushes ───────────────────────────────────────────────────────────────────────────


async def _examine_door(visit: Visit, door: PushDoor, said: Mapping[str, Mapping[str, Any]]) -> None:
    what = "pushes"
    if not door.url.startswith("https://"):
        mend = "write pushes.url with https://: the clouds call nothing else"
        visit.wrong(what, f"{door.url} is no https", mend, code=os.EX_CONFIG)
    examine_own_certificate(visit, what, door.certificate_file, door.key_file)
    place = f"{door.host}:{door.port}"
    if visit.picture is None:
        visit.advise(what, f"nobody listens on {place} while roomd does not run", None)
    elif shut := [each["pushes"] for each in said.values() if each.get("pushes")]:
        seen, _, mend = str(shut[0]).partition("; ")
        visit.wrong(what, seen, mend or None)
    elif await listens(door.host, door.port):
        visit.ok(what, f"roomd listens on {place}")
    else:
        mend = "see why in the log of roomd; until it listens, each room is asked every few minutes"
        visit.wrong(what, f"nobody listens on {place}", mend)
    for service in (Service.MICROSOFT, Service.GOOGLE):
        rooms = [room for room in said.get(service.value, {}).get("rooms", ()) if room.get("address")]
        if rooms:
            pushed = sum(bool(room.get("pushed")) for room in rooms)
            seen = f"{pushed} of {len(rooms)} rooms of {NAMES[service]} are told of as they change"
            if pushed == len(rooms):
                visit.ok(what, seen)
            elif not said[service.value].get("pushes"):
                visit.advise(what, seen, f"see that {door.url} leads to {place} from the internet")


# ── the clouds' clock ─────────────────────────────────────────────────────────────────────────────


async def clock_of_clouds(visit: Visit) -> None:
    """Our clock against that of whoever gives tokens: they refuse what is signed minutes off."""
    accounts = visit.configuration.accounts
    if accounts is None:
        return
    if accounts.microsoft is not None:
        there = accounts.microsoft.login_url or accounts.microsoft.cloud.login
        await _compare(visit, there, accounts.microsoft.way)
    elif accounts.google is not None:
        await _compare(visit, accounts.google.origins.calendar, accounts.google.way)


async def _compare(visit: Visit, origin: str, way: Way) -> None:
    try:
        pace = WirePace(attempts=1, connect_within_s=5.0, answer_within_s=5.0)
        async with Wire(origin, context=trusting(way), proxy=way.proxy, pace=pace) as wire:
            asked_at = visit.now()
            answer = await wire.ask("GET", "/")
            answered_at = visit.now()
        there = email.utils.parsedate_to_datetime(answer.headers["date"])
    except (CalendarError, KeyError, ValueError):
        return  # whether it can be reached is the calendars' business
    there = there if there.tzinfo else there.replace(tzinfo=UTC)
    off = _off(there, asked_at, answered_at)
    what, seen = f"against {wire.origin}", f"{off.total_seconds():.0f} s apart"
    if off > OFF_BY:
        mend = "set this machine's clock and keep it set (NTP); see `timedatectl`"
        visit.wrong(what, seen, mend, code=os.EX_OSERR)
    else:
        visit.ok(what, seen)


def _off(there: datetime, asked_at: datetime, answered_at: datetime) -> timedelta:
    """How far our clock is off at least: the answer's second was somewhere between asking and hearing."""
    early, late = asked_at - there - timedelta(seconds=1), there - answered_at
    return max(timedelta(), early, late)
