"""A site's Webex: its integration's life, workspaces and their Hybrid Calendars, devices by the cloud."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import structlog

from agent.core.model import RoomId
from cloud_link.calendars import integration as states
from cloud_link.calendars.accounts import LinkedRoom, WebexAccount
from cloud_link.calendars.errors import (
    CalendarError,
    CredentialWrong,
    Gone,
    IntegrationError,
    Refused,
    Revoked,
    Throttled,
    Transient,
)
from cloud_link.calendars.integration import Deed, Phase, Said, Service, Turned
from cloud_link.calendars.matching import Ground, Matching, Named, match
from cloud_link.calendars.opening import read_file, trusting
from cloud_link.calendars.views import IntegrationTurned, IntegrationView, RoomView
from cloud_link.calendars.webex import (
    LANE,
    Integration,
    Lines,
    NotAllowed,
    OperationalState,
    Webex,
    activate,
)
from cloud_link.calendars.webex_access import RenewalPace, RenewedGrant, WebexTokens
from cloud_link.calendars.webex_codes import (
    NEW_CODE,
    SCOPES,
    Action,
    Activation,
    Deprovisioned,
    ManifestApproved,
    Provisioned,
    TokenReplaced,
    XapiAccess,
    lacking,
    touches,
)
from cloud_link.calendars.webex_grant import Grant, GrantDamaged, GrantFile, Revocation
from cloud_link.calendars.webex_messages import Observation, as_tree
from cloud_link.calendars.webex_queue import QueuePace, WebexQueue
from cloud_link.calendars.webex_rooms import CloudDevice, HybridCalendar, HybridPhase, Tree, Workspace
from cloud_link.calendars.wire import Wire, WirePace

log = structlog.get_logger()

LISTING: Final = "Bookings.List"  # shows whether a calendar lives
LOST_AFTER: Final = 2  # times that the queue could not be heard: one line that breaks is nothing to speak of
BOOKINGS_TOUCHED: Final[Tree] = {"Event": {"Bookings": {"Updated": {}}}}

HEALTH: Final[Mapping[Phase, OperationalState]] = {
    Phase.CONNECTING: OperationalState.OPERATIONAL,
    Phase.ACTIVE: OperationalState.OPERATIONAL,
    Phase.DEGRADED: OperationalState.IMPAIRED,
    Phase.DOUBTED: OperationalState.IMPAIRED,
    Phase.CREDENTIAL: OperationalState.TOKEN_INVALID,
    Phase.CLOCK_SKEW: OperationalState.OUTAGE,
    Phase.REVOKED: OperationalState.OUTAGE,
}

Tell = Callable[[IntegrationTurned], Awaitable[None]]


class Ear(Protocol):
    """Whoever is told what one device says; nothing is done there."""

    def heard(self, tree: Tree) -> None:
        """It said this: a tree from its root (`Status`, `Event`)."""

    def missed(self, why: str, *, again: bool) -> None:
        """What it said may be lost; `again`: it can be asked anew at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePace:
    """How often what is looked at."""

    directory_every: timedelta = timedelta(hours=24)  # workspaces and devices, at the latest
    devices_every: timedelta = timedelta(hours=1)  # which of them are on line
    hinted_after: timedelta = timedelta(minutes=1)  # since the last time, whatever is hinted
    judged_every: timedelta = timedelta(hours=1)  # each room's Hybrid Calendar
    unanswered_for: timedelta = timedelta(minutes=5)  # one that could not be judged rests
    strangers_every: timedelta = timedelta(minutes=15)  # a device that is not in the directory is looked for
    look_every_s: float = 30.0  # at the activation code's file, and at the clock
    rest_s: float = 10.0  # at least, before a session that failed is begun again
    renewal: RenewalPace = field(default_factory=RenewalPace)
    queue: QueuePace = field(default_factory=QueuePace)
    wire: WirePace = field(default_factory=WirePace)


class _Anew(Exception):
    """There is another grant: begin with it."""


class _Kept:
    """The grant of one session, as it is on disk; what is renewed is written here, also when it is over."""

    def __init__(self, file: GrantFile, grant: Grant, writing: asyncio.Lock) -> None:
        """`writing` is held by whoever writes the file."""
        self.grant = grant
        self.superseded = False  # by another activation: what is still renewed is of the past
        self._file: Final = file
        self._writing: Final = writing

    async def renewed(self, renewed: RenewedGrant) -> None:
        """Transient if it cannot be kept."""
        async with self._writing:
            if not self.superseded:
                await self._keep(
                    replace(
                        self.grant,
                        refresh_token=renewed.refresh_token,
                        renewed_at=renewed.renewed_at,
                        lapses_at=renewed.lapses_at,
                    )
                )

    async def given(self, integration: Integration) -> None:
        """What the integration may do now. Transient if it cannot be kept."""
        async with self._writing:
            activation = replace(self.grant.activation, scopes=integration.scopes, access=integration.access)
            if not self.superseded and activation != self.grant.activation:
                await self._keep(replace(self.grant, activation=activation))

    async def _keep(self, grant: Grant) -> None:
        await asyncio.to_thread(self._file.keep, grant)
        self.grant = grant


@dataclass(slots=True)
class _Session:
    """What there is while the integration can be used."""

    kept: _Kept
    webex: Webex
    tokens: WebexTokens
    lines: Lines
    access: XapiAccess
    lacks: tuple[str, ...] = ()  # of what is always needed
    reported: OperationalState | None = None


class WebexSite:
    """One organisation's workspace integration, for as long as `run` is awaited.

    See also `device_adapters.cloud`, for which it is the cloud: what `follow`, `status` and `command` raise
    is LookupError where a device is not there now, ConnectionError where Webex is not, PermissionError for
    what the manifest does not have, ValueError where a question was refused, BlockingIOError where Webex asks
    for less, TimeoutError where a question was not answered.
    """

    def __init__(
        self,
        account: WebexAccount,
        rooms: Sequence[LinkedRoom],
        *,
        state_directory: Path,
        tell: Tell,
        now: Callable[[], datetime],
        luck: Callable[[], float],
        devices: Mapping[str, RoomId] | None = None,
        pace: SitePace | None = None,
    ) -> None:
        """Reads whether the grant was taken back before. `now` is UTC, `luck` in [0, 1).

        `devices` are those that rooms have by the configuration, by id in Webex or serial number.
        """
        self._account: Final = account
        self._rooms = tuple(rooms)
        self._devices_of = dict(devices or {})
        self._file: Final = GrantFile(state_directory)
        self._tell: Final = tell
        self._now: Final = now
        self._luck: Final = luck
        self._pace: Final = pace or SitePace()
        revoked = self._read_revoked()
        self._code = self._read_code()[1]  # the digest of what lies there
        self._refused_code = None if revoked is None else revoked.code
        self._integration = states.begin(
            Service.WEBEX, (), now(), revoked=None if revoked is None else revoked.why
        )
        self._session: _Session | None = None
        self._woken: Final = asyncio.Event()
        self._consent = False  # it was given again: what waits is begun
        self._withdrawn = False  # an administrator said so, and Webex signed it
        self._trouble: str | None = None  # since the directory was read last
        self._unrenewed: CalendarError | None = None  # why access was not renewed; it is good still
        self._writing: Final = asyncio.Lock()  # the grant
        # what Control Hub has
        self._workspaces: dict[str, Workspace] = {}
        self._devices: dict[str, CloudDevice] = {}
        self._serials: dict[str, str] = {}  # serial number → id
        self._matching: Matching | None = None
        self._moved: Mapping[RoomId, str] = {}  # rooms with a device that Control Hub has elsewhere, in words
        self._read_at: datetime | None = None
        self._directory_due = self._devices_due = self._hinted_at = now()
        self._strangers: dict[str, datetime] = {}  # and until when they are not looked for again
        # Hybrid Calendars
        self._hybrid: dict[RoomId, HybridCalendar] = {}
        self._judge_due: dict[RoomId, datetime] = {}
        # devices
        self._heard = False  # the queue is
        self._hearing: Final = asyncio.Event()  # and the directory was read: devices can be followed
        self._troubles = 0
        self._ears: Final[defaultdict[str, list[Ear]]] = defaultdict(list)

    # ── what others ask ──

    def rearrange(self, rooms: Sequence[LinkedRoom], devices: Mapping[str, RoomId]) -> None:
        """The site has these rooms now, and in them these devices; no device that is followed notices."""
        self._rooms, self._devices_of = tuple(rooms), dict(devices)
        if self._read_at is not None:
            self._link()
            self._find_moved()
        self._hint()

    def view(self) -> IntegrationView:
        """How it stands, with the rooms of the site."""
        now = self._integration
        lacks = self._session.lacks if self._session is not None else ()
        why = states.words(now)
        if now.phase in (Phase.CONNECTING, Phase.ACTIVE) and self._trouble is not None:
            why = self._trouble
        elif now.phase is Phase.ACTIVE and self._unrenewed is not None:
            why = _words(self._unrenewed)
        elif now.phase is Phase.ACTIVE and lacks:
            why = f"the integration's manifest lacks {', '.join(lacks)}; {NotAllowed.default_mend}"
        found = self._matching
        taken = {} if found is None else {each.one: each for each in found.matches}
        return IntegrationView(
            service=Service.WEBEX,
            phase=states.calendar_phase(now.phase),
            since=now.since,
            why=why,
            rooms=tuple(
                self._room_view(room, taken[room.id].other, taken[room.id].ground)
                if room.id in taken
                else self._room_view(room, None, Ground.BY_HAND if Service.WEBEX in room.left_out else None)
                for room in self._rooms
            ),
            doubts=() if found is None else found.doubts,
            others=()
            if found is None
            else tuple(_named(self._workspaces[each]) for each in found.others if each in self._workspaces),
        )

    def views(self) -> tuple[IntegrationView, ...]:
        """The same, as others who have several have it."""
        return (self.view(),)

    @property
    def hybrid(self) -> Mapping[RoomId, HybridCalendar]:
        """Of each room with a workspace, whether its Hybrid Calendar is configured and lives."""
        return dict(self._hybrid)

    @property
    def linked_workspaces(self) -> Mapping[RoomId, str]:
        """Which workspace is which room's, as far as that is certain."""
        found = self._matching
        return {} if found is None else {RoomId(each.one): each.other for each in found.matches}

    @property
    def devices(self) -> tuple[CloudDevice, ...]:
        """All devices of the organisation, as they were listed last."""
        return tuple(self._devices.values())

    async def consent(self, service: Service) -> bool:
        """An administrator says that consent was given again; False: it is not for us."""
        if service is not Service.WEBEX:
            return False
        await self._consented()
        return True

    def stepped(self, by: timedelta) -> None:
        """The wall clock jumped."""
        self._integration = states.stepped(self._integration, by)
        self._directory_due += by
        self._devices_due += by
        self._hinted_at += by
        self._judge_due = {room: at + by for room, at in self._judge_due.items()}
        self._strangers.clear()
        self._woken.set()

    # ── its life ──

    async def run(self) -> None:
        """Until cancelled; nothing that Webex says or does ends it."""
        while True:
            if self._integration.phase is not Phase.REVOKED and await self._try():
                continue
            await self._rest()

    async def _try(self) -> bool:
        """One session; what ends it says how it stands with us. Whether to begin the next one at once."""
        error: CalendarError | None = None
        try:
            await self._converse()
        except* _Anew:
            log.info("webex.begun_anew")
        except* CalendarError as errors:
            error = _gravest(errors)
        if error is not None:
            await self._ended_by(error)
        return error is None

    async def _converse(self) -> None:
        try:
            async with self._opened() as session:
                self._session = session
                queue = WebexQueue(
                    session.webex,
                    session.tokens,
                    session.lines,
                    self,
                    key_urls=self._account.key_urls,
                    pace=self._pace.queue,
                )
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(queue.listen(), name="webex queue")
                    tasks.create_task(self._look(session), name="webex directory")
        finally:
            self._session = None
            self._hear_devices(heard=False)
            self._troubles = 0
            self._miss("Webex is not heard any more", again=False)

    async def _ended_by(self, error: CalendarError) -> None:
        self._trouble = _words(error)
        said = states.said_by(error, at=self._now(), luck=self._luck())
        if not self._withdrawn:
            await self._turn(states.token_said(self._integration, said))
            return
        # Webex signed it: there is nothing to be looked at a second time.
        self._withdrawn = False
        doubted = states.token_said(self._integration, said).integration
        sure = states.token_said(doubted, replace(said, at=doubted.since + states.SECOND_LOOK))
        await self._turn(replace(sure, integration=replace(sure.integration, since=said.at)))

    async def _turn(self, turned: Turned) -> None:
        """Know it, do what is to be done, and tell it."""
        self._integration = turned.integration
        if Deed.WIPE in turned.deeds:
            await self._wipe()
        for told in turned.tells:
            if told.room is None:
                news = IntegrationTurned(
                    service=Service.WEBEX, phase=told.phase, why=told.why, at=self._now()
                )
                await self._tell(news)

    async def _wipe(self) -> None:
        """Forget all that consent gave us."""
        why = states.cause(self._integration)  # as it was told
        self._refused_code = self._code
        self._matching, self._read_at, self._moved = None, None, {}
        self._workspaces, self._devices, self._hybrid, self._judge_due = {}, {}, {}, {}
        gone = Revocation(why=why, at=self._now(), code=self._code)
        try:
            await asyncio.to_thread(self._file.wipe, gone)
        except Transient as error:  # its refresh token is dead in any case
            log.error("webex.grant_not_wiped", why=str(error), mend=error.mend)

    async def _rest(self) -> None:
        """Until a session may be begun: another activation code or a person's word ends it."""
        loop = asyncio.get_running_loop()
        soonest = loop.time() + self._pace.rest_s
        while not self._may_begin() or loop.time() < soonest:
            if await self._code_changed() or self._given_again():
                await self._consented()
            if self._consent:
                break
            left_s = soonest - loop.time() if self._may_begin() else self._pace.look_every_s
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, self._pace.look_every_s)):
                    await self._woken.wait()
        self._consent = False

    def _may_begin(self) -> bool:
        now = self._integration
        return now.phase is not Phase.REVOKED and (now.retry_at is None or now.retry_at <= self._now())

    def _given_again(self) -> bool:
        """Whether another activation code was there already when we started."""
        return self._integration.phase is Phase.REVOKED and self._refused_code not in (None, self._code)

    async def _consented(self) -> None:
        try:
            await asyncio.to_thread(self._file.consent)
        except Transient as error:  # whoever starts anew now is off still
            log.error("webex.consent_not_kept", why=str(error), mend=error.mend)
        turned = states.consented(self._integration, self._now())
        if turned.integration.phase is Phase.CONNECTING:
            await self._turn(turned)
        self._refused_code = None
        self._consent = True
        self._woken.set()

    # ── the grant ──

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[_Session]:
        account = self._account
        secret = read_file(account.client_secret_file, "client secret").decode(errors="replace").strip()
        if not secret:
            raise CredentialWrong(
                f"{account.client_secret_file} is empty", mend="put the client secret into it"
            )
        context = trusting(account.way)

        def dial(origin: str, pace: WirePace | None) -> Wire:
            return Wire(origin, context=context, proxy=account.way.proxy, pace=pace or self._pace.wire)

        async with Lines(dial) as lines:
            grant = await self._granted(lines)
            kept = _Kept(self._file, grant, self._writing)
            self._unrenewed = None
            async with WebexTokens(
                lines.to(grant.activation.oauth_url),
                grant.activation.oauth_url,
                client_id=account.client_id,
                client_secret=secret,
                refresh_token=grant.refresh_token,
                keep=kept.renewed,
                told=self._renewal_told,
                pace=self._pace.renewal,
                now=self._now,
                luck=self._luck,
            ) as tokens:
                webex = Webex(grant.activation, tokens, lines)
                yield _Session(
                    kept=kept, webex=webex, tokens=tokens, lines=lines, access=grant.activation.access
                )

    def _renewal_told(self, error: CalendarError | None) -> None:
        """Access was renewed, or not; where there is none left, whoever asks for it hears of it, too."""
        if error is not None and self._unrenewed is None:
            log.warning("webex.not_renewed", why=str(error), mend=error.mend)
        self._unrenewed = error
        self._woken.set()

    async def _granted(self, lines: Lines) -> Grant:
        """What is kept, or what the activation code gives that was put there since; CalendarError if none."""
        try:
            kept = self._file.read()
        except GrantDamaged:
            if not self._file.older_than(self._account.activation_code_file):
                raise  # the code that lies there was used for it
            kept = None
        code, self._code = self._read_code()
        if kept is not None and self._code in ("", kept.code):
            return kept
        if code is None:
            read_file(self._account.activation_code_file, "activation code")  # says what is wrong with it
            raise CredentialWrong("there is no activation code", mend=NEW_CODE)
        try:
            activation = await activate(lines, code, now=self._now(), key_urls=self._account.key_urls)
        except IntegrationError as error:
            if kept is None:
                raise
            log.warning("webex.code_not_taken", why=str(error), mend=error.mend)
            return kept
        if kept is not None and kept.first == _digest(activation.refresh_token):
            return kept  # Webex had told us of it before the code was put there
        return await self._keep(activation)

    async def _keep(self, activation: Activation) -> Grant:
        grant = Grant(
            activation=activation,
            refresh_token=activation.refresh_token,
            renewed_at=self._now(),
            lapses_at=None,
            code=self._code,
            first=_digest(activation.refresh_token),
        )
        async with self._writing:
            await asyncio.to_thread(self._file.keep, grant)
            if self._session is not None:
                self._session.kept.superseded = True
        return grant

    def _read_revoked(self) -> Revocation | None:
        try:
            return self._file.revoked()
        except CredentialWrong as error:  # whether there is a grant is seen next
            log.warning("webex.revocation_unread", why=str(error), mend=error.mend)
            return None

    def _read_code(self) -> tuple[str | None, str]:
        """The activation code, and its digest; None and "" if there is none."""
        try:
            content = read_file(self._account.activation_code_file, "activation code").strip()
        except CredentialWrong:
            return None, ""
        if not content:
            return None, ""
        code = content.decode(errors="replace")
        return code, _digest(code)

    async def _code_changed(self) -> bool:
        code = (await asyncio.to_thread(self._read_code))[1]
        changed, self._code = code not in ("", self._code), code or self._code
        return changed

    # ── what the queue tells ──

    async def switched_on(self, integration: Integration) -> None:
        """Webex has us, and what it gives us."""
        session = self._session
        if session is None:
            return
        session.access = integration.access
        given = replace(session.webex.activation, scopes=integration.scopes, access=integration.access)
        session.lacks = lacking(given, scopes=SCOPES, commands=(LISTING,))
        try:
            await session.kept.given(integration)
        except Transient as error:  # it is of use to the doctor alone
            log.warning("webex.access_not_kept", why=str(error), mend=error.mend)
        await self._turn(states.token_said(self._integration, states.answered(self._now())))

    async def hear(self, observations: Sequence[Observation]) -> None:
        """Devices said this."""
        for device, said in _by_device(observations).items():
            if device not in self._devices:
                self._look_for(device)
            events = [each for each in said if each.path[0] == "Event"]
            trees = [as_tree([each]) for each in events]
            if len(events) < len(said):
                trees.insert(0, as_tree(each for each in said if each.path[0] != "Event"))
            for ear in tuple(self._ears.get(device, ())):
                for tree in trees:
                    ear.heard(tree)
            if any(each.path[:2] == ("Event", "Bookings") for each in events):
                self._judge_soon(device)

    async def resumed(self, device_id: str) -> None:
        """A device was away: its bookings may have changed meanwhile."""
        for ear in tuple(self._ears.get(device_id, ())):
            ear.heard(BOOKINGS_TOUCHED)

    def follows(self, device_id: str) -> bool:
        """Whether a device is followed; of the others only their bookings are looked at."""
        return device_id in self._ears

    async def act(self, action: Action) -> None:
        """Webex said this of the integration."""
        match action:
            case Deprovisioned():
                self._withdrawn = True
            case Provisioned():
                await self._keep(action.activation)
                raise _Anew
            case ManifestApproved():
                log.info("webex.manifest_approved", version=action.version)
                if self._session is not None:
                    await self.switched_on(await self._session.webex.switch_on())
                self._hint()
            case TokenReplaced():
                self._hint()
            case _:
                pass  # the queue answers it

    async def anew(self) -> None:
        """What was on the queue may be lost."""
        self._hear_devices(heard=self._troubles < LOST_AFTER)
        self._woken.set()
        self._miss("what Webex had to tell may be lost; all is read anew", again=True)

    async def troubled(self, error: CalendarError | None) -> None:
        """The queue cannot be heard, or is heard again."""
        if error is None:
            self._troubles = 0
            self._hear_devices(heard=True)
            self._hint()
            return
        self._troubles += 1
        if self._troubles >= LOST_AFTER:
            self._hear_devices(heard=False)
            self._miss(f"Webex is not heard: {error}", again=False)
        said = states.said_by(error, at=self._now(), luck=self._luck())
        await self._turn(states.token_said(self._integration, said))

    def health(self) -> OperationalState:
        """How we are, for Control Hub."""
        if self._integration.phase is Phase.ACTIVE and isinstance(self._unrenewed, IntegrationError):
            return OperationalState.TOKEN_INVALID
        if self._session is not None and self._session.lacks:
            return OperationalState.IMPAIRED
        return HEALTH[self._integration.phase]

    # ── what Control Hub has ──

    async def _look(self, session: _Session) -> None:
        """Read the directory, judge the rooms' Hybrid Calendars and look at the code, each when it is due."""
        self._directory_due = self._now()
        while True:
            self._woken.clear()
            if self._heard and self._integration.phase in states.READING:
                await self._look_now(session)
            if await self._code_changed():
                raise _Anew
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_look_s()):
                    await self._woken.wait()

    async def _look_now(self, session: _Session) -> None:
        try:
            if self._directory_due <= self._now():
                await self._read_directory(session.webex)
            elif self._devices_due <= self._now():
                self._devices_due = self._now() + self._pace.devices_every
                self._list_devices(await session.webex.devices())
                self._find_moved()
            for room in self._to_be_judged():
                if not await self._judge(session.webex, room):
                    break
            await self._report(session)
        except IntegrationError:
            raise
        except CalendarError as error:
            if self._trouble is None:
                log.warning("webex.directory_unread", why=str(error), mend=error.mend)
            self._trouble = _words(error)
            said = states.said_by(error, at=self._now(), luck=self._luck())
            await self._turn(states.directory_said(self._integration, said))
            self._directory_due = self._read_again(error)

    def _read_again(self, error: CalendarError) -> datetime:
        """When the directory is to be read again that could not be read."""
        now = self._now()
        if isinstance(error, Transient):
            asked_s = max(error.retry_after_s or 0.0, self._pace.rest_s)
            return max(self._integration.retry_at or now, now + timedelta(seconds=asked_s))
        refused = self._integration.directory.retry_at or now
        return max(refused, now + timedelta(seconds=self._pace.rest_s))

    async def _report(self, session: _Session) -> None:
        """Tell Control Hub how we are, where that is news."""
        health = self.health()
        if health is session.reported:
            return
        session.reported = health
        try:
            await session.webex.report(health)
        except Refused as error:
            log.warning("webex.health_refused", why=str(error))

    def _until_look_s(self) -> float:
        if not self._heard:
            return self._pace.look_every_s
        due = min((self._directory_due, self._devices_due, *self._judge_due.values()))
        return min(max((due - self._now()).total_seconds(), 0.01), self._pace.look_every_s)

    async def _read_directory(self, webex: Webex) -> None:
        self._hinted_at = self._now() + self._pace.hinted_after
        workspaces, devices = await webex.workspaces(), await webex.devices()
        now = self._now()
        before = self._workspaces
        self._workspaces = {each.id: each for each in workspaces}
        self._list_devices(devices)
        self._read_at = now
        self._trouble = None
        self._directory_due = now + self._pace.directory_every * (1.0 - self._luck() / 4)
        self._devices_due = now + self._pace.devices_every
        self._link()
        self._find_moved()
        for room, workspace in self.linked_workspaces.items():
            if room not in self._judge_due or before.get(workspace) != self._workspaces[workspace]:
                self._judge_due[room] = now
        await self._turn(states.directory_said(self._integration, states.answered(now)))
        self._hear_devices(heard=self._heard)
        for room, said in self._found(now):
            await self._turn(states.room_said(self._integration, room, said))

    def _list_devices(self, devices: Sequence[CloudDevice]) -> None:
        before, self._devices = self._devices, {each.id: each for each in devices}
        self._serials = {each.serial: each.id for each in devices if each.serial}
        rooms = {workspace: room for room, workspace in self.linked_workspaces.items()}
        for device in devices:
            known = before.get(device.id)
            turned = known is None or (known.connected, known.workspace_id) != (
                device.connected,
                device.workspace_id,
            )
            if turned and (room := rooms.get(device.workspace_id or "")) is not None:
                self._judge_due[room] = self._now()

    def _find_moved(self) -> None:
        """Devices that fill a room, and by Control Hub are in another."""
        linked = self.linked_workspaces
        moved: dict[RoomId, str] = {}
        for named, room in self._devices_of.items():
            device = self._device(named)
            if device is None or device.workspace_id == linked.get(room):
                continue
            if room not in linked and device.workspace_id not in linked.values():
                continue  # nobody knows which workspace is this room's
            there = self._workspaces.get(device.workspace_id or "")
            where = "no workspace" if there is None else f"workspace {there.name}"
            moved[room] = (
                f"Control Hub has its device {named} in {where}; "
                "move the device in the file to the room where it is, or back in Control Hub"
            )
        for room in moved.keys() - self._moved.keys():
            log.warning("webex.device_moved", room=room, why=moved[room])
        self._moved = moved

    def _link(self) -> None:
        """Which workspace is which room's: by hand, by address, by name, or for a person to say."""
        by_hand: dict[str, str | None] = {each.id: each.webex for each in self._rooms if each.webex}
        by_hand |= {each.id: None for each in self._rooms if Service.WEBEX in each.left_out}
        self._matching = match(
            [
                Named(
                    id=each.id, name=each.name, capacity=each.capacity, address=each.microsoft or each.google
                )
                for each in self._rooms
            ],
            [_named(each) for each in self._workspaces.values()],
            by_hand=by_hand,
        )
        linked = self.linked_workspaces
        missing = [each.id for each in self._rooms if each.webex and each.id not in linked]
        self._integration = states.linked(self._integration, [*linked, *missing])
        self._hybrid = {room: each for room, each in self._hybrid.items() if room in linked}
        self._judge_due = {room: at for room, at in self._judge_due.items() if room in linked}
        for doubt in self._matching.doubts:
            log.debug("webex.room_doubted", room=doubt.one, why=doubt.why)

    def _found(self, now: datetime) -> Iterator[tuple[RoomId, Said]]:
        linked = self.linked_workspaces
        for room in self._rooms:
            if room.id in linked:
                yield room.id, states.answered(now)
            elif room.webex and Service.WEBEX not in room.left_out:
                why = f"Control Hub has no workspace {room.webex}"
                yield room.id, Said(outcome=states.Outcome.UNKNOWN, at=now, luck=self._luck(), why=why)

    def _hint(self) -> None:
        """The directory may have changed: look at it soon."""
        self._directory_due = min(self._directory_due, self._hinted_at)
        self._woken.set()

    def _look_for(self, device: str) -> None:
        """It is not in the directory: it may be by now."""
        if self._strangers.get(device, self._now()) <= self._now():
            self._strangers[device] = self._now() + self._pace.strangers_every
            self._hint()

    # ── Hybrid Calendars ──

    def _to_be_judged(self) -> tuple[RoomId, ...]:
        now = self._now()
        return tuple(room for room, at in self._judge_due.items() if at <= now)

    async def _judge(self, webex: Webex, room: RoomId) -> bool:
        """Judge one room; what was known stays where nothing is answered. Whether the others may be asked."""
        workspace = self._workspaces.get(self.linked_workspaces.get(room, ""))
        if workspace is None:
            self._judge_due.pop(room, None)
            return True
        try:
            judged = await webex.hybrid_calendar(workspace, self._devices.values())
        except Transient as error:
            self._judge_due[room] = self._now() + max(
                self._pace.unanswered_for, timedelta(seconds=error.retry_after_s or 0.0)
            )
            log.debug("webex.hybrid_unanswered", room=room, why=str(error))
            return not isinstance(error, Throttled)
        self._judge_due[room] = self._now() + self._pace.judged_every * (0.75 + self._luck() / 2)
        before = self._hybrid.get(room)
        self._hybrid[room] = judged
        if before is None or before.phase is not judged.phase:
            log.info("webex.hybrid_judged", room=room, phase=judged.phase.value, mend=judged.mend)
        return True

    def _judge_soon(self, device: str) -> None:
        """A device of a room told something of its bookings: that may show that its calendar lives."""
        known = self._devices.get(device)
        for room, workspace in self.linked_workspaces.items():
            if known is None or workspace != known.workspace_id:
                continue
            judged = self._hybrid.get(room)
            if judged is not None and judged.phase in (HybridPhase.CONFIGURED, HybridPhase.FAILING):
                soon = self._now() + self._pace.hinted_after
                self._judge_due[room] = min(self._judge_due.get(room, soon), soon)

    # ── devices ──

    def _hear_devices(self, *, heard: bool) -> None:
        self._heard = heard
        if heard and self._read_at is not None:
            self._hearing.set()
        else:
            self._hearing.clear()

    async def until_heard(self) -> None:
        """Returns when devices can be heard, or a person must do something before they can."""
        if self._integration.phase in states.READING:
            await self._hearing.wait()

    @contextmanager
    def follow(self, device: str, ear: Ear) -> Iterator[str]:
        """Have `ear` told what a device says; the device by its id in Webex, or its serial number. Its id."""
        if not self._hearing.is_set():
            why = states.words(self._integration) or "its directory is not read yet"
            raise ConnectionError(f"Webex is not heard: {why}")
        one = self._device(device)
        if one is None:
            self._look_for(device)
            raise LookupError(f"Webex has no device {device}")
        if one.id in self._ears:
            raise LookupError(f"another device of the file is Webex's device {device} already")
        self._ears[one.id].append(ear)
        try:
            yield one.id
        finally:
            self._ears[one.id].remove(ear)
            if not self._ears[one.id]:
                del self._ears[one.id]

    def _device(self, named: str) -> CloudDevice | None:
        """By its id in Webex, or its serial number."""
        return self._devices.get(named) or self._devices.get(self._serials.get(named, ""))

    def allows(self, path: Sequence[str]) -> bool:
        """Whether the manifest has anything of an event or a status, as in ("Event", "Bookings")."""
        if self._session is None or len(path) < 2:  # noqa: PLR2004 - a root and a node
            return False
        access = self._session.access
        keys = access.events if path[0] == "Event" else access.statuses
        return touches(keys, ".".join(path[1:]))

    async def status(self, device: str, names: Sequence[str]) -> Tree:
        """What a device says of itself now."""
        with _translated():
            return await self._webex().status(device, names)

    async def command(self, device: str, name: str, arguments: Tree, *, body: str | None) -> Tree:
        """What comes of a command; not repeated where it may have been done already."""
        with _translated():
            return await self._webex().command(device, name, arguments, body=body)

    def rest_s(self) -> float:
        """Seconds for which Webex wants nothing asked of any device; 0 if it may."""
        session = self._session
        return 0.0 if session is None else session.lines.to(session.webex.activation.api_url).rest_s(LANE)

    def _webex(self) -> Webex:
        if self._session is None:
            raise ConnectionError("Webex is not heard now")
        return self._session.webex

    def _miss(self, why: str, *, again: bool) -> None:
        for ears in tuple(self._ears.values()):
            for ear in tuple(ears):
                ear.missed(why, again=again)

    # ── views ──

    def _room_view(self, room: LinkedRoom, workspace: str | None, ground: Ground | None) -> RoomView:
        phase, why = states.standing(self._integration, room.id)
        if workspace is None and room.id not in self._integration.rooms:
            phase = states.calendar_phase(self._integration.phase)
            if self._matching is not None and ground is None:
                why = "no workspace is certainly this room's; see `roomd link`"
        return RoomView(
            room=room.id,
            address=workspace,
            ground=ground,
            phase=phase,
            why=why or self._moved.get(room.id),
            listed_at=None if workspace is None else self._read_at,
            pushed=workspace is not None and self._heard,
        )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _words(error: CalendarError) -> str:
    return f"{error}; {error.mend}"


def _named(workspace: Workspace) -> Named:
    return Named(id=workspace.id, name=workspace.name, capacity=workspace.capacity, address=workspace.address)


def _by_device(observations: Sequence[Observation]) -> Mapping[str, list[Observation]]:
    said: defaultdict[str, list[Observation]] = defaultdict(list)
    for each in observations:
        said[each.device_id].append(each)
    return said


def _gravest(group: BaseExceptionGroup[CalendarError]) -> CalendarError:
    """What says most of the integration: that it was taken back, what a person must mend, what may pass."""
    found: list[CalendarError] = []
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            found.append(_gravest(each))
        else:
            found.append(each)
    return max(found, key=lambda each: (isinstance(each, Revoked), isinstance(each, IntegrationError)))


@contextmanager
def _translated() -> Iterator[None]:
    """In the words of those who know nothing of calendars."""
    try:
        yield
    except Gone as error:
        raise LookupError(f"the device is not connected to Webex: {error}") from None
    except NotAllowed as error:
        raise PermissionError(str(error)) from None
    except Throttled as error:
        raise BlockingIOError(str(error)) from None
    except Transient as error:
        raise TimeoutError(str(error)) from None
    except IntegrationError as error:
        raise ConnectionError(str(error)) from None
    except CalendarError as error:
        raise ValueError(str(error)) from None
