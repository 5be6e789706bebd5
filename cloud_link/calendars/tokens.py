"""Access tokens of the cloud calendars: asked for once by all who need one, and renewed before they lapse."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from cloud_link.calendars.errors import CalendarError, CredentialWrong, Unreadable
from cloud_link.calendars.wire import Answer, Wire

RENEW_BEFORE_S = 300.0  # what is under way must still be taken, and a renewal may have to be tried again
RENEW_BEFORE_SHARE = 0.2  # of a token that does not live long
ASSERTION_LASTS = timedelta(minutes=5)  # as Microsoft advises for what is signed with a certificate
SERVICE_ACCOUNT_LASTS = timedelta(hours=1)  # the longest that Google takes
BACKDATED = timedelta(seconds=30)  # our clock may be a little fast
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenSource(Protocol):
    """Whoever has access tokens to give."""

    async def token(self) -> str:
        """One that is good for a while; CalendarError if there is none to be had."""
        ...

    def forget(self, token: str) -> None:
        """Never give this one again: the service did not take it."""
        ...


Grant = Callable[[datetime], Mapping[str, str]]
"""The form that asks for a token, made for the time of day (UTC)."""

TokenTold = Callable[[CalendarError | None], None]
"""What came of asking for a token: told for each that was really asked for, None where one was given."""


def tell_nobody(_: CalendarError | None) -> None:
    """Nobody wants to know."""


class Tokens:
    """One token of one grant, from the token endpoint at `path` of `wire`. See TokenSource.

    Whoever asks while it is being fetched waits for the same answer, also if that is a refusal. `refused`
    sorts an answer that is no token; `told` hears of each answer once, however many wait for it.
    """

    def __init__(
        self,
        wire: Wire,
        path: str,
        grant: Grant,
        *,
        refused: Callable[[Answer], CalendarError],
        told: TokenTold = tell_nobody,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._wire = wire
        self._path = path
        self._grant = grant
        self._refused = refused
        self._told = told
        self._now = now
        self._token: _Token | None = None
        self._door = asyncio.Lock()
        self._answers = 0
        self._error: CalendarError | None = None

    async def token(self) -> str:
        """One that is good for a while, asked for if need be; CalendarError if there is none to be had."""
        loop = asyncio.get_running_loop()
        answers = self._answers
        async with self._door:
            if self._token is not None and loop.time() < self._token.renew_at:
                return self._token.text
            if self._answers != answers and self._error is not None:
                raise self._error  # somebody else asked while we waited
            asked_at = loop.time()
            try:
                self._token = await self._ask(asked_at)
            except CalendarError as error:
                self._answers += 1
                self._error = error
                self._told(error)
                if self._token is not None and asked_at < self._token.lapses_at:
                    return self._token.text  # not renewed this time, and still good
                raise
            self._answers += 1
            self._error = None
            self._told(None)
            return self._token.text

    def forget(self, token: str) -> None:
        """Never give this one again."""
        if self._token is not None and self._token.text == token:
            self._token = None

    async def _ask(self, asked_at: float) -> _Token:
        answer = await self._wire.ask("POST", self._path, form=self._grant(self._now()))
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise self._refused(answer)
        said = answer.read(_Said)
        if not said.access_token or said.token_type.lower() != "bearer":
            raise Unreadable("the token endpoint gave no bearer token")
        try:
            lasts = max(float(said.expires_in), 0.0)
        except ValueError:
            raise Unreadable("the token endpoint gave a token without a life span") from None
        return _Token(
            text=said.access_token,
            renew_at=asked_at + lasts - min(RENEW_BEFORE_S, lasts * RENEW_BEFORE_SHARE),
            lapses_at=asked_at + lasts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str = field(repr=False)
    renew_at: float  # loop time
    lapses_at: float


class _Said(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - a kind of token
    expires_in: float | str = 3600.0


# ── grants ────────────────────────────────────────────────────────────────────────────────────────


def client_secret(client_id: str, secret: str, *, scope: str) -> Grant:
    """Client credentials by a shared secret."""

    def grant(_: datetime) -> Mapping[str, str]:
        return {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": secret,
            "scope": scope,
        }

    return grant


def client_certificate(
    client_id: str, *, key: bytes, certificate: bytes, audience: str, scope: str, password: str | None = None
) -> Grant:
    """Client credentials by an assertion (PS256) for the endpoint `audience`; key and certificate are PEM.

    CredentialWrong if they cannot be used, or do not belong together.
    """
    signer = _private(key, password)
    try:
        shown = x509.load_pem_x509_certificate(certificate)
    except ValueError:
        raise CredentialWrong(
            "the certificate is not PEM", mend="bring the certificate as a PEM file"
        ) from None
    if shown.public_key() != signer.public_key:
        raise CredentialWrong(
            "the certificate and the private key do not belong together", mend="bring both of the same pair"
        )
    der = shown.public_bytes(Encoding.DER)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    header = {"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint}

    def grant(now: datetime) -> Mapping[str, str]:
        claims = {
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": secrets.token_urlsafe(16),
            "nbf": int((now - BACKDATED).timestamp()),
            "iat": int((now - BACKDATED).timestamp()),
            "exp": int((now + ASSERTION_LASTS).timestamp()),
        }
        return {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_assertion_type": CLIENT_ASSERTION,
            "client_assertion": jwt.encode(header, claims, signer, algorithms=["PS256"]),
            "scope": scope,
        }

    return grant


def service_account(
    email: str, *, key: str, key_id: str, audience: str, scopes: Sequence[str], subject: str | None
) -> Grant:
    """A service account's signed assertion (RS256), in the name of `subject`; `key` is PEM.

    CredentialWrong if the key cannot be used.
    """
    signer = _private(key.encode(), None)
    header = {"alg": "RS256", "typ": "JWT", "kid": key_id}

    def grant(now: datetime) -> Mapping[str, str]:
        begins = now - BACKDATED
        claims = {
            "iss": email,
            "scope": " ".join(scopes),
            "aud": audience,
            "iat": int(begins.timestamp()),
            "exp": int((begins + SERVICE_ACCOUNT_LASTS).timestamp()),
        }
        if subject is not None:
            claims["sub"] = subject
        return {
            "grant_type": JWT_BEARER,
            "assertion": jwt.encode(header, claims, signer, algorithms=["RS256"]),
        }

    return grant


def _private(pem: bytes, password: str | None) -> RSAKey:
    mend = "bring the private key as an RSA key in a PEM file"
    try:
        key = RSAKey.import_key(pem, password=password)
    except (ValueError, TypeError, JoseError):  # their texts may quote what was read
        raise CredentialWrong("the private key cannot be used", mend=mend) from None
    if not key.is_private:
        raise CredentialWrong("the key is a public one", mend=mend)
    return key
