"""Opens the clients of a site's accounts: reads secrets, believes authorities, and takes the proxy."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, assert_never

from cloud_link.calendars.accounts import Accounts, GoogleAccount, MicrosoftAccount, Way
from cloud_link.calendars.errors import CredentialWrong, Misconfigured
from cloud_link.calendars.google import Google
from cloud_link.calendars.google_calendar import read_key
from cloud_link.calendars.integration import Service
from cloud_link.calendars.microsoft import Microsoft, token_path, token_source
from cloud_link.calendars.tokens import Grant, TokenTold, client_certificate, client_secret
from cloud_link.calendars.wire import Answer, Wire, WirePace, never, read_origin

LARGEST_FILE: Final = 64 * 1024  # of a secret or a key


@asynccontextmanager
async def open_microsoft(
    account: MicrosoftAccount,
    *,
    on_token: TokenTold,
    now: Callable[[], datetime],
    pace: WirePace | None = None,
) -> AsyncIterator[Microsoft]:
    """A tenant's client. CredentialWrong where a file is no secret or key, Misconfigured for the rest."""
    login = account.login_url or account.cloud.login
    graph = account.graph_url or account.cloud.graph
    grant = _grant(account, login)
    context = trusting(account.way)
    async with AsyncExitStack() as doors:
        login_wire, graph_wire = [
            await doors.enter_async_context(Wire(origin, context=context, proxy=account.way.proxy, pace=pace))
            for origin in (login, graph)
        ]
        tokens = token_source(login_wire, account.tenant, grant, told=on_token, now=now)
        yield Microsoft(
            graph_wire,
            tokens,
            lists_rooms=account.cloud.lists_rooms,
            organizers=account.organizers,
            bodies=account.search_bodies,
            writes=account.writes,
            pace=pace,
        )


def _grant(account: MicrosoftAccount, login: str) -> Grant:
    scope = account.cloud.scope
    if account.certificate_file is not None:
        if account.key_file is None:
            raise Misconfigured("a certificate without its private key", mend="name its key as key_file, too")
        parts = read_origin(login)
        return client_certificate(
            account.client_id,
            key=read_file(account.key_file, "private key"),
            certificate=read_file(account.certificate_file, "certificate"),
            audience=parts.removesuffix(":443") + token_path(account.tenant),
            scope=scope,
        )
    if account.secret_file is None:
        raise Misconfigured("neither a secret nor a certificate", mend="name one as secret_file")
    try:
        secret = read_file(account.secret_file, "client secret").decode("utf-8").strip()
    except UnicodeDecodeError:
        raise CredentialWrong(f"{account.secret_file} is no client secret: not text") from None
    if not secret:
        raise CredentialWrong(f"{account.secret_file} is empty", mend="put the client secret into it")
    return client_secret(account.client_id, secret, scope=scope)


@asynccontextmanager
async def open_google(
    account: GoogleAccount,
    *,
    on_token: TokenTold,
    now: Callable[[], datetime],
    rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    pace: WirePace | None = None,
) -> AsyncIterator[Google]:
    """A domain's client. CredentialWrong where the file is no key, Misconfigured for the rest."""
    key = read_key(read_file(account.key_file, "service account's key"))
    context = trusting(account.way)

    def dial(origin: str, *, throttled: Callable[[Answer], bool] = never) -> Wire:
        return Wire(origin, context=context, proxy=account.way.proxy, throttled=throttled, pace=pace)

    async with Google(
        key,
        subject=account.subject,
        customer=account.customer,
        organizers=account.organizers,
        bodies=account.search_bodies,
        writes=account.writes,
        books_as=account.books_as,
        origins=account.origins,
        dial=dial,
        on_token=on_token,
        now=now,
        rest=rest,
    ) as client:
        yield client


def trusting(way: Way) -> ssl.SSLContext:
    """Whom to believe that it is the service; Misconfigured if the file has no authority."""
    context = ssl.create_default_context()
    if way.ca_file is not None:
        try:
            context.load_verify_locations(way.ca_file)
        except OSError as error:  # also ssl.SSLError: no certificate
            raise Misconfigured(
                f"the authority's file {way.ca_file} cannot be used: {error.strerror or error}",
                mend="name a file with the authority's certificate (PEM), or leave ca_file out",
            ) from None
    return context


def read_file(path: Path, what: str) -> bytes:
    """What a credential's file holds; CredentialWrong if it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise CredentialWrong(
            f"the {what} cannot be read: {path}: {error.strerror}",
            mend=f"put it into {path}, where the user roomd may read it",
        ) from None
    if len(content) > LARGEST_FILE:
        raise CredentialWrong(f"{path} is no {what}: too long")
    return content


def access_of(account: MicrosoftAccount | GoogleAccount) -> bytes:
    """A digest of what access is asked for with: whether consent was refused for it is known by that."""
    match account:
        case MicrosoftAccount():
            named = [account.tenant, account.client_id, account.cloud.name]
            files = [account.secret_file, account.certificate_file, account.key_file]
        case GoogleAccount():
            named = [account.subject, account.customer]
            files = [account.key_file]
        case _:
            assert_never(account)
    digest = hashlib.sha256("\0".join(named).encode())
    for path in files:
        try:
            content = b"" if path is None else read_file(path, "credential")
        except CredentialWrong:
            content = b""
        digest.update(hashlib.sha256(content).digest())
    return digest.digest()


def directories_of(accounts: Accounts) -> dict[Service, str]:
    """Whose list of rooms each service has: what was found by name in another's is worth nothing here."""
    found: dict[Service, str] = {}
    if (microsoft := accounts.microsoft) is not None:
        found[Service.MICROSOFT] = directory_of(microsoft)
    if (google := accounts.google) is not None:
        found[Service.GOOGLE] = directory_of(google)
    return found


def directory_of(account: MicrosoftAccount | GoogleAccount) -> str:
    """Whose list of rooms an account has, so that another's can be told from it."""
    match account:
        case MicrosoftAccount():
            return f"{account.cloud.name} {account.tenant}".lower()
        case GoogleAccount():  # `my_customer` is the subject's
            return f"{account.customer} {account.subject.rpartition('@')[2]}".lower()
        case _:
            assert_never(account)
