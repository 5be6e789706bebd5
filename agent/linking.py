"""Reads what the configuration says of the site's calendars: how they are reached, and whose they are."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent.core.model import RoomId
from agent.tables import (
    CalendarTable,
    CalendarTables,
    GoogleTable,
    MicrosoftTable,
    PushesTable,
    ServiceTable,
    WebexTable,
)
from cloud_link.calendars.accounts import (
    Accounts,
    GoogleAccount,
    LinkedRoom,
    MicrosoftAccount,
    PushDoor,
    Way,
    WebexAccount,
)
from cloud_link.calendars.errors import Misconfigured
from cloud_link.calendars.google import GOOGLE, Origins
from cloud_link.calendars.google_calendar import Writing
from cloud_link.calendars.integration import Service
from cloud_link.calendars.microsoft import Cloud
from cloud_link.calendars.webex_codes import KEY_URLS
from cloud_link.calendars.webex_grant import GRANT
from cloud_link.calendars.wire import read_origin

PUSHES_PORT = 8444


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomLine:
    """What the file says of a room, as far as calendars go."""

    key: str
    id: RoomId
    name: str
    capacity: int | None
    calendar: CalendarTable
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a file beside the configuration is found, and where mistakes and notes are gathered."""

    wrong: Callable[[str, str, str], None]  # key, what, mend
    note: Callable[[str], None]
    file: Callable[[str, str | None], Path | None]
    secret: Callable[[str, str | None], Path | None]
    place: Callable[[str], Path]  # where a secret would be
    kept: Path  # the state directory
    host: Callable[[str, str, int], tuple[str, int]]


# ── how calendars are reached ─────────────────────────────────────────────────────────────────────


def read_accounts(tables: CalendarTables, look: Look) -> Accounts | None:
    """By what the site reaches its calendars; None if it has none. What is wrong is gathered by `look`."""
    if tables == CalendarTables():
        return None
    accounts = Accounts(
        microsoft=None if tables.microsoft is None else _microsoft(tables.microsoft, look),
        google=None if tables.google is None else _google(tables.google, look),
        webex=None if tables.webex is None else _webex(tables.webex, look),
        push=None if tables.pushes is None else _pushes(tables.pushes, look),
    )
    if tables.pushes is not None and not tables.read:
        look.note("pushes: nobody calls there, for there is neither [microsoft] nor [google]")
    return accounts


def _microsoft(table: MicrosoftTable, look: Look) -> MicrosoftAccount | None:
    tenant = _needed(look, "microsoft.tenant", table.tenant, 'Write its id, or its domain like "contoso.com"')
    client_id = _needed(
        look,
        "microsoft.client_id",
        table.client_id,
        "Copy the application's id from Entra, App registrations",
    )
    certificate = table.certificate_file is not None or table.key_file is not None
    if table.secret_file is not None and certificate:
        look.wrong(
            "microsoft.secret_file",
            "stands beside a certificate",
            "Keep one: secret_file, or certificate_file with key_file",
        )
    elif table.secret_file is None and not certificate:
        look.wrong(
            "microsoft.secret_file", "is not given", "Add it, or certificate_file and key_file in its place"
        )
    elif certificate:
        _both(look, "microsoft", table.certificate_file, table.key_file)
    secret_file = look.secret("microsoft.secret_file", table.secret_file)
    certificate_file = look.file("microsoft.certificate_file", table.certificate_file)
    key_file = look.secret("microsoft.key_file", table.key_file)
    way = _way("microsoft", table, look)
    login_url = _origin(look, "microsoft.login_url", table.login_url)
    graph_url = _origin(look, "microsoft.graph_url", table.graph_url)
    if tenant is None or client_id is None:
        return None
    return MicrosoftAccount(
        tenant=tenant,
        client_id=client_id,
        secret_file=secret_file,
        certificate_file=certificate_file,
        key_file=key_file,
        cloud=Cloud[table.cloud.upper()],
        login_url=login_url,
        graph_url=graph_url,
        organizers=table.organizers,
        search_bodies=table.search_bodies,
        writes=table.writes,
        way=way,
    )


def _google(table: GoogleTable, look: Look) -> GoogleAccount | None:
    named = _needed(look, "google.key_file", table.key_file, "Name the JSON key of the service account")
    subject = _needed(
        look,
        "google.subject",
        table.subject,
        "Write the address of the user whom the service account acts for; it must see the rooms",
    )
    key_file = look.secret("google.key_file", named)
    origins = Origins(
        calendar=_origin(look, "google.calendar_url", table.calendar_url) or GOOGLE.calendar,
        directory=_origin(look, "google.directory_url", table.directory_url) or GOOGLE.directory,
        mail=_origin(look, "google.mail_url", table.mail_url) or GOOGLE.mail,
    )
    way = _way("google", table, look)
    if key_file is None or subject is None:
        return None
    return GoogleAccount(
        key_file=key_file,
        subject=subject,
        customer=table.customer,
        books_as=table.books_as,
        organizers=table.organizers,
        search_bodies=table.search_bodies,
        writes=frozenset(Writing(name) for name in table.writes),
        origins=origins,
        way=way,
    )


def _webex(table: WebexTable, look: Look) -> WebexAccount | None:
    where = "Control Hub shows it with the workspace integration"
    client_id = _needed(look, "webex.client_id", table.client_id, f"{where}: copy it")
    secret = _needed(
        look, "webex.client_secret_file", table.client_secret_file, f"{where}: name the file that holds it"
    )
    code = _needed(
        look,
        "webex.activation_code_file",
        table.activation_code_file,
        f"{where} once it is activated: name the file that holds it",
    )
    secret_file = look.secret("webex.client_secret_file", secret)
    # A code is used once: whoever takes it away afterwards does well.
    used = code is not None and os.path.exists(look.kept / GRANT)  # noqa: PTH110 - says no where it may not look
    code_file = look.place(code) if used and code else look.secret("webex.activation_code_file", code)
    for region, url in table.key_urls.items():
        try:
            read_origin(url, whole=False)
            why = "" if _is_web_address(url) else "is no address"
        except Misconfigured as error:
            why = str(error)
        if why:
            look.wrong(f"webex.key_urls.{region}", why, 'Write it like "https://xapi-a.wbx2.com/jwks"')
    way = _way("webex", table, look)
    if client_id is None or secret_file is None or code_file is None:
        return None
    return WebexAccount(
        client_id=client_id,
        client_secret_file=secret_file,
        activation_code_file=code_file,
        key_urls={**KEY_URLS, **table.key_urls},
        way=way,
    )


def _pushes(table: PushesTable, look: Look) -> PushDoor | None:
    listen = _needed(look, "pushes.listen", table.listen, 'Write where to listen, like "127.0.0.1:8444"')
    url = _needed(
        look,
        "pushes.url",
        table.url,
        'Write how the clouds reach this machine, like "https://roomd.example.com/hooks"',
    )
    if url is not None and url.startswith("http://"):
        look.wrong("pushes.url", "is not https", "Write it with https://: the clouds call nothing else")
    elif url is not None and not _is_web_address(url, only="https"):
        look.wrong(
            "pushes.url",
            "is no address that a cloud calls",
            'Write it like "https://roomd.example.com/hooks", without user, "?" and "#"',
        )
    _both(look, "pushes", table.certificate_file, table.key_file)
    certificate_file = look.file("pushes.certificate_file", table.certificate_file)
    key_file = look.secret("pushes.key_file", table.key_file)
    if listen is None or url is None:
        return None
    host, port = look.host("pushes.listen", listen, PUSHES_PORT)
    if certificate_file is None and host not in {"127.0.0.1", "::1", "localhost"}:
        look.note(
            "pushes: without certificate_file, what a reverse proxy passes on can be read on its way here; "
            "127.0.0.1 needs none"
        )
    return PushDoor(
        host=host, port=port, url=url.rstrip("/"), certificate_file=certificate_file, key_file=key_file
    )


def _needed(look: Look, key: str, value: str | None, mend: str) -> str | None:
    if value is None:
        look.wrong(key, "is not given", mend)
    return value


def _both(look: Look, table: str, certificate: str | None, key: str | None) -> None:
    if (certificate is None) != (key is None):
        look.wrong(
            f"{table}.certificate_file", "needs its key, and a key its certificate", "Name both, or neither"
        )


def _way(name: str, table: ServiceTable, look: Look) -> Way:

    if table.proxy is not None and not _is_web_address(table.proxy, path=False):
        look.wrong(
            f"{name}.proxy",
            "is no proxy's address",
            'Write it like "http://proxy.example.com:3128", without user',
        )
    return Way(ca_file=look.file(f"{name}.ca_file", table.ca_file), proxy=table.proxy)


def _origin(look: Look, key: str, url: str | None) -> str | None:
    """Where a service is, in place of where everybody finds it."""
    if url is None:
        return None
    try:
        return read_origin(url)
    except Misconfigured as error:
        look.wrong(key, str(error), 'Write it like "https://graph.example.com", without a path')
        return None


def _is_web_address(url: str, *, only: str | None = None, path: bool = True) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ({only} if only else {"http", "https"})
            and bool(parts.hostname)
            and parts.port != 0
            and "@" not in parts.netloc  # it is shown to whoever asks what is configured
            and (path or parts.path in {"", "/"})
            and re.fullmatch(r"[!-~]+", url) is not None
            and not {"?", "#"} & set(url)
        )
    except ValueError:
        return False


# ── whose they are ────────────────────────────────────────────────────────────────────────────────


def read_links(rooms: Sequence[RoomLine], tables: CalendarTables, look: Look) -> tuple[LinkedRoom, ...]:
    """Every room as its calendars know it; none at a site that has no calendars."""
    put = [room.id for room in rooms if room.calendar.put_on_devices]
    _without_a_table(rooms, tables, look)
    for room in rooms:
        if room.calendar.put_on_devices and (not room.devices or not tables.read):
            look.wrong(
                f"{room.key}.calendar.put_on_devices",
                "has nothing to put there" if room.devices else "has no device to put it on",
                "Add [microsoft] or [google], or take it out" if room.devices else "Take it out",
            )
    if put:
        look.note(
            f"calendar.put_on_devices: the agenda of {', '.join(put)} is written into the devices with "
            "Bookings Put; by Cisco's terms, what earns money with it needs Cisco's written permission"
        )
    _shared(rooms, look)
    return () if tables == CalendarTables() else tuple(_linked(rooms))


def _without_a_table(rooms: Sequence[RoomLine], tables: CalendarTables, look: Look) -> None:
    for room in rooms:
        for service in ("microsoft", "google", "webex"):
            if isinstance(getattr(room.calendar, service), str) and getattr(tables, service) is None:
                look.wrong(
                    f"{room.key}.calendar.{service}",
                    f"has no [{service}] to be read by",
                    f"Add the table [{service}], or take this out",
                )


def _shared(rooms: Sequence[RoomLine], look: Look) -> None:
    """One calendar may be of several rooms that are let together, and is mostly a line that was copied."""
    for service in ("microsoft", "google", "webex"):
        said = [(room.id, getattr(room.calendar, service)) for room in rooms]
        counted = Counter(address.lower() for _, address in said if isinstance(address, str))
        for address, times in counted.items():
            if times > 1:
                whose = [id_ for id_, one in said if isinstance(one, str) and one.lower() == address]
                look.note(f"rooms.calendar.{service}: {address} is of {' and '.join(whose)}")


def _linked(rooms: Sequence[RoomLine]) -> Iterator[LinkedRoom]:
    def given(value: str | bool | None) -> str | None:  # noqa: FBT001 - as the file has it
        return value if isinstance(value, str) else None

    for room in rooms:
        calendar = room.calendar
        left_out: frozenset[Service] = frozenset(
            service for service in Service if getattr(calendar, service.value) is False
        )
        yield LinkedRoom(
            id=room.id,
            name=room.name,
            capacity=room.capacity,
            microsoft=given(calendar.microsoft),
            google=given(calendar.google),
            webex=given(calendar.webex),
            left_out=left_out,
        )
