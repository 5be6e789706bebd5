"""What the tables of the file share, and those that are about calendars: `linking` says what these mean."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError

from cloud_link.address import SLUG

NO_TENANTS = frozenset(
    {"common", "organizations", "consumers"}
)  # of people who log in, not of an application
GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
TENANT: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]*")
ADDRESS: Final = re.compile(r"[^@\s]+@[^@\s]+")


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("should be a number")
    return value


Number = Annotated[int, BeforeValidator(_no_truth)]  # `true` is none
Slug = Annotated[str, StringConstraints(pattern=f"^{SLUG}$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def span(number: int | None, usual: timedelta, unit: timedelta) -> timedelta:
    """How long something lasts of which the file says so many of these units; `usual` if it says nothing."""
    return usual if number is None else number * unit


def refused(what: str, mend: str) -> PydanticCustomError:
    """What a validator raises: what is wrong, and how to mend it."""
    return PydanticCustomError("refused", "{what}", {"what": what, "mend": mend})


def _address(value: object) -> object:
    if value is False or (isinstance(value, str) and ADDRESS.fullmatch(value)):
        return value
    raise refused(
        "is no address",
        'Write it like "fjord@contoso.com", or false where the room is to have no such calendar',
    )


def _user(value: object) -> object:
    if isinstance(value, str) and ADDRESS.fullmatch(value):
        return value
    raise refused("is no user's address", 'Write it like "rooms@contoso.com"')


def _workspace(value: object) -> object:
    if value is False or (isinstance(value, str) and value.strip() and len(value) <= 500):  # noqa: PLR2004
        return value
    raise refused(
        "is no workspace's id",
        "Write the id that `roomd link` shows in quotes, or false where the room is to have none",
    )


def _application(value: object) -> object:
    if isinstance(value, str) and GUID.fullmatch(value):
        return value
    raise refused("is no application's id", "Copy it from Entra: App registrations, Application (client) ID")


def _tenant(value: object) -> object:
    if isinstance(value, str) and TENANT.fullmatch(value) and value.lower() not in NO_TENANTS:
        return value
    raise refused("names no tenant", 'Write its id, or a domain of it like "contoso.onmicrosoft.com"')


Address = Annotated[str | bool, BeforeValidator(_address)]
Workspace = Annotated[str | bool, BeforeValidator(_workspace)]

# ── the file's shape ──────────────────────────────────────────────────────────────────────────────


class Table(BaseModel):
    """A table of the file: unknown keys are mistakes, and no value stands in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class BrokerTable(Table):
    """Who roomd is to a broker, and how the two know each other."""

    client_id: Words | None = None
    ca_file: str | None = None
    username: Words | None = None
    password_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


class ServiceTable(Table):
    """What every service has."""

    ca_file: str | None = None
    proxy: str | None = None


class MicrosoftTable(ServiceTable):
    """`[microsoft]`."""

    tenant: Annotated[str, BeforeValidator(_tenant)] | None = None
    client_id: Annotated[str, BeforeValidator(_application)] | None = None
    secret_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    cloud: Literal["global", "us_government", "us_defence", "china"] = "global"
    login_url: str | None = None
    graph_url: str | None = None
    organizers: bool = False
    search_bodies: bool = False
    writes: bool = False


class GoogleTable(ServiceTable):
    """`[google]`."""

    key_file: str | None = None
    subject: Annotated[str, BeforeValidator(_user)] | None = None
    customer: Words = "my_customer"
    books_as: Annotated[str, BeforeValidator(_user)] | None = None
    organizers: bool = False
    search_bodies: bool = False
    writes: tuple[Literal["insert", "quickAdd", "patch", "delete", "acl"], ...] = ()
    calendar_url: str | None = None
    directory_url: str | None = None
    mail_url: str | None = None


class WebexTable(ServiceTable):
    """`[webex]`."""

    client_id: Words | None = None
    client_secret_file: str | None = None
    activation_code_file: str | None = None
    key_urls: dict[str, str] = {}


class PushesTable(Table):
    """`[pushes]`."""

    listen: Words | None = None
    url: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


class CalendarTable(Table):
    """`calendar = { … }` of a room."""

    microsoft: Address | None = None
    google: Address | None = None
    webex: Workspace | None = None
    put_on_devices: bool = False


class CalendarTables(Table):
    """What the file has of each service."""

    microsoft: MicrosoftTable | None = None
    google: GoogleTable | None = None
    webex: WebexTable | None = None
    pushes: PushesTable | None = None

    @property
    def read(self) -> tuple[str, ...]:
        """The services whose calendars are read."""
        return tuple(name for name in ("microsoft", "google") if getattr(self, name) is not None)
