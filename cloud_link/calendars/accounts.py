"""By what a site reaches its calendars: what the configuration says of each service, and nothing read yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agent.core.model import RoomId
from cloud_link.calendars.google import GOOGLE, Origins
from cloud_link.calendars.google_calendar import Writing
from cloud_link.calendars.integration import Service
from cloud_link.calendars.microsoft import Cloud
from cloud_link.calendars.webex_codes import KEY_URLS

WritingSet = frozenset[Writing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a service is reached: by whose authority it is believed, and through which proxy."""

    ca_file: Path | None = None  # beside the machine's own authorities
    proxy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrosoftAccount:
    """A tenant, and the application that was registered in it. Secret or certificate, never both."""

    tenant: str
    client_id: str
    secret_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    cloud: Cloud = Cloud.GLOBAL
    login_url: str | None = None  # in place of the cloud's own
    graph_url: str | None = None
    organizers: bool = False  # fetch their names
    search_bodies: bool = False  # fetch descriptions where nothing else has a link to join by, and drop them
    writes: bool = False
    way: Way = Way()


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleAccount:
    """A Workspace domain, and the service account that it delegates to."""

    key_file: Path
    subject: str  # the user whom it acts for
    customer: str = "my_customer"
    books_as: str | None = None
    organizers: bool = False
    search_bodies: bool = False
    writes: WritingSet = frozenset()
    origins: Origins = GOOGLE
    way: Way = Way()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebexAccount:
    """A Webex organisation, and the workspace integration that was made in it."""

    client_id: str
    client_secret_file: Path
    activation_code_file: Path
    key_urls: dict[str, str] = field(default_factory=lambda: dict(KEY_URLS))  # by region
    way: Way = Way()


@dataclass(frozen=True, slots=True, kw_only=True)
class PushDoor:
    """Where the clouds call us when something changes; behind a reverse proxy, or with a certificate."""

    host: str
    port: int
    url: str  # https, as the clouds reach it
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedRoom:
    """A room as its calendars know it: addresses given by hand, or none, and then it is found by its name."""

    id: RoomId
    name: str
    capacity: int | None = None
    microsoft: str | None = None  # its mailbox
    google: str | None = None  # its resource's address
    webex: str | None = None  # its workspace's id
    left_out: frozenset[Service] = frozenset()  # by hand: it is to have none of these


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """All that a site has of calendars."""

    microsoft: MicrosoftAccount | None = None
    google: GoogleAccount | None = None
    webex: WebexAccount | None = None
    push: PushDoor | None = None
