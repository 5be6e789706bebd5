"""Webex's REST interface as one integration uses it: workspaces, devices, what they say, and its queue."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

import msgspec
import structlog

from cloud_link.calendars.errors import (
    CalendarError,
    Conflicting,
    CredentialWrong,
    Gone,
    Misconfigured,
    Refused,
    Revoked,
    Transient,
    Unreadable,
)
from cloud_link.calendars.tokens import TokenSource
from cloud_link.calendars.webex_access import reason
from cloud_link.calendars.webex_codes import (
    KEY_URLS,
    NEW_CODE,
    Activation,
    XapiAccess,
    key_url,
    read_activation,
    read_webex_url,
)
from cloud_link.calendars.webex_rooms import (
    CloudDevice,
    HeardBookings,
    HybridCalendar,
    Tree,
    Workspace,
    judge_hybrid,
    read_bookings,
    read_device,
    read_workspace,
)
from cloud_link.calendars.wire import Answer, Wire, WirePace, read_origin

log = structlog.get_logger()

PAGE = "999"  # items; what Cisco's own SDK asks for
MOST_PAGES = 1000
STATUS_NAMES_AT_ONCE = 10
LANE = "webex"  # its limits are the whole integration's: when it says so, nothing is asked for a while
POLL_WITHIN_S = 120.0  # an empty answer comes sooner

Dial = Callable[[str, WirePace | None], Wire]
"""Makes the wire to an origin, in the pace that is asked for, or its usual one."""
Found = TypeVar("Found", Workspace, CloudDevice)


class OperationalState(StrEnum):
    """How the integration says that it is, when an administrator asks."""

    OPERATIONAL = "operational"
    IMPAIRED = "impaired"
    OUTAGE = "outage"
    TOKEN_INVALID = "token_invalid"  # noqa: S105 - a state


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """The integration as Webex has it now."""

    poll_url: str = field(repr=False)  # who knows it and has a token hears all devices
    manifest_version: int
    scopes: tuple[str, ...]
    access: XapiAccess


class NotAllowed(Refused):
    """The integration's manifest does not have it, or nobody has approved that yet."""

    default_mend = "give the integration's manifest the scopes and the xAPI that roomd names, and approve it"


# ── asking ────────────────────────────────────────────────────────────────────────────────────────


class Lines:
    """The wires to Webex's hosts, which are several; use it with `async with`."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._wires: dict[tuple[str, bool], Wire] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for wire in self._wires.values():
            await wire.close()

    def to(self, url: str, *, polls: bool = False) -> Wire:
        """The wire to where a URL leads; one that has the patience for a long poll, or the usual one."""
        key = (read_origin(url, whole=False), polls)
        if key not in self._wires:
            pace = WirePace(attempts=1, answer_within_s=POLL_WITHIN_S, connections=2) if polls else None
            self._wires[key] = self._dial(key[0], pace)
        return self._wires[key]


async def fetch_keys(lines: Lines, url: str) -> bytes:
    """A region's JSON Web Key Set; CalendarError if it is not to be had."""
    answer = await lines.to(url).ask("GET", url)
    if answer.status != HTTPStatus.OK:
        raise Transient(f"Webex does not show its keys: {reason(answer)}")
    return answer.body


async def activate(
    lines: Lines, code: str, *, now: datetime, key_urls: Mapping[str, str] = KEY_URLS
) -> Activation:
    """What an activation code gives us, verified by its region's keys; CalendarError if it gives nothing."""
    keys = await fetch_keys(lines, key_url(code, urls=key_urls))
    return read_activation(code, keys, now=now)


class Webex:
    """One integration's view of its organisation. Everything here may raise CalendarError."""

    def __init__(self, activation: Activation, tokens: TokenSource, lines: Lines) -> None:
        self.activation = activation
        self._tokens = tokens
        self._lines = lines

    async def switch_on(self) -> Integration:
        """Tell Webex that we are there and want to be told by the queue; where that is."""
        wanted = {"provisioningState": "completed", "queue": {"state": "enabled"}}
        answer = await self._tell(wanted)
        said = answer.read(_App)
        if said.queue is None or not said.queue.poll_url:
            raise Misconfigured(
                "Webex gives this integration no queue",
                mend="let its manifest in Control Hub have notifications by long polling",
            )
        return Integration(
            poll_url=read_webex_url(said.queue.poll_url),
            manifest_version=said.manifest_version,
            scopes=said.scopes or self.activation.scopes,
            access=said.xapi_access_keys or self.activation.access,
        )

    async def report(self, state: OperationalState) -> None:
        """Tell Webex how we are: what Control Hub shows."""
        await self._tell({"operationalState": state.value})

    async def poll(self, poll_url: str) -> bytes:
        """What is on the queue, as it came; waits until there is something, or for a minute or so."""
        return (await self._ask("GET", poll_url, wire=self._lines.to(poll_url, polls=True))).body

    async def workspaces(self) -> tuple[Workspace, ...]:
        """All workspaces of the organisation, each once."""
        return await self._all("/workspaces", {}, read_workspace)

    async def devices(self, *, workspace_id: str | None = None) -> tuple[CloudDevice, ...]:
        """All devices of the organisation, or of one workspace, each once."""
        params = {} if workspace_id is None else {"workspaceId": workspace_id}
        return await self._all("/devices", params, read_device)

    async def status(self, device_id: str, names: Sequence[str]) -> Tree:
        """What a device says of itself now, a tree from the root; names as `RoomAnalytics.PeopleCount.*`."""
        found: dict[str, object] = {}
        for first in range(0, len(names), STATUS_NAMES_AT_ONCE):
            some = names[first : first + STATUS_NAMES_AT_ONCE]
            params = {"deviceId": device_id, "name": some}
            answer = await self._ask("GET", f"{self._api}/xapi/status", params=params)
            _merge(answer.read(_Result).result, found)
        return found

    async def command(
        self, device_id: str, name: str, arguments: Tree | None = None, *, body: str | None = None
    ) -> Tree:
        """What a device answers to a command, named as in `Bookings.List`; Refused if it would not do it.

        Not repeated where it may have been done already.
        """
        said: dict[str, object] = {"deviceId": device_id, "arguments": dict(arguments or {})}
        if body is not None:
            said["body"] = body
        answer = await self._ask("POST", f"{self._api}/xapi/command/{quote(name, safe='.')}", json=said)
        return answer.read(_Result).result

    async def heard_bookings(self, device_id: str) -> HeardBookings:
        """What a device's list of bookings for today shows of its calendar; their contents are not kept."""
        return read_bookings(await self.command(device_id, "Bookings.List", {"Days": 1}))

    async def hybrid_calendar(self, workspace: Workspace, devices: Iterable[CloudDevice]) -> HybridCalendar:
        """Whether a room has a configured and living Hybrid Calendar, asking its devices where that helps.

        Transient where none of those that are on line could be asked for now.
        """
        of_it = [device for device in devices if device.workspace_id == workspace.id]
        heard: HeardBookings | None = None
        unanswered: Transient | None = None
        for device in of_it if workspace.calendar is not None else ():
            if device.connected and (heard is None or not heard.hybrid):
                try:
                    new = await self.heard_bookings(device.id)
                except (Refused, Gone):
                    continue
                except Transient as error:
                    unanswered = error
                    continue
                heard = new if heard is None else heard + new
        if heard is None and unanswered is not None:
            raise unanswered
        return judge_hybrid(workspace, of_it, heard)

    @property
    def _api(self) -> str:
        return self.activation.api_url

    async def _tell(self, said: Tree) -> Answer:
        try:
            return await self._ask("PATCH", self.activation.app_url, json=said)
        except Gone as error:
            raise Revoked(
                f"the integration is no longer active in Control Hub: {error}", mend=NEW_CODE
            ) from None

    async def _all(
        self,
        path: str,
        params: Mapping[str, str],
        read: Callable[[object], Found],
    ) -> tuple[Found, ...]:
        found: dict[str, Found] = {}
        answer = await self._ask("GET", f"{self._api}{path}", params={**params, "max": PAGE})
        for _ in range(MOST_PAGES):
            for item in answer.read(_Page).items:
                try:
                    one = read(item)
                except ValueError:  # the others are not to suffer
                    log.warning("webex.entry_skipped", what=path.strip("/"))
                else:
                    found[one.id] = one
            link = next_link(answer.headers.get("link", ""))
            if link is None:
                return tuple(found.values())
            # A link to anywhere else would get our token: the wire refuses it.
            answer = await self._ask("GET", link, wire=self._lines.to(self._api))
        raise Unreadable("Webex's pages have no end")

    async def _ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str | Sequence[str]] | None = None,
        json: Tree | None = None,
        wire: Wire | None = None,
    ) -> Answer:
        lane = None if wire is not None else LANE
        wire = wire or self._lines.to(url)
        token = await self._tokens.token()
        answer = await wire.ask(method, url, token=token, params=params, json=json, lane=lane)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._tokens.forget(token)
            token = await self._tokens.token()
            answer = await wire.ask(method, url, token=token, params=params, json=json, lane=lane)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._tokens.forget(token)
            raise CredentialWrong(f"Webex does not take its own token: {reason(answer)}", mend=NEW_CODE)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(answer)
        return answer


def _refusal(answer: Answer) -> CalendarError:
    why = reason(answer)
    match answer.status:
        case HTTPStatus.FORBIDDEN:
            return NotAllowed(f"Webex refuses: {why}")
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            return Gone(f"Webex knows no such thing: {why}")
        case HTTPStatus.CONFLICT:
            return Conflicting(f"Webex refuses: {why}")
        case _:
            return Refused(f"Webex refuses: {why}")


def next_link(header: str) -> str | None:
    """The address of the next page in a `Link` header (RFC 8288); None on the last one."""
    for target, parameters in re.findall(r"<([^<>]*)>((?:\s*;\s*[^,;<>]+)*)", header):
        for parameter in parameters.split(";"):
            name, _, value = parameter.strip().partition("=")
            if name.strip().lower() == "rel" and "next" in value.strip().strip('"').lower().split():
                return str(target)
    return None


def _merge(tree: Tree, into: dict[str, object]) -> None:
    for name, value in tree.items():
        there = into.get(name)
        if isinstance(there, dict) and isinstance(value, Mapping):
            _merge(value, there)
        else:
            into[name] = value


class _Queue(msgspec.Struct, rename="camel"):
    poll_url: str = ""


class _App(msgspec.Struct, rename="camel"):
    manifest_version: int = 0
    scopes: tuple[str, ...] = ()
    xapi_access_keys: XapiAccess | None = None
    queue: _Queue | None = None


class _Page(msgspec.Struct):
    items: tuple[object, ...] = ()


class _Result(msgspec.Struct):
    result: dict[str, object] = {}
