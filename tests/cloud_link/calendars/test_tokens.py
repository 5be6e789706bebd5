"""Access tokens, from a token endpoint over real TLS sockets."""

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwt
from joserfc.jwk import RSAKey

from cloud_link.calendars.errors import CalendarError, CredentialWrong, Unreadable
from cloud_link.calendars.tokens import (
    Grant,
    Tokens,
    client_certificate,
    client_secret,
    service_account,
)
from cloud_link.calendars.wire import Answer, Wire, WirePace
from tests.clouds.serving import Request, Response, Serving, nothing, text, tree

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
SECRET = client_secret("app", "s3cret", scope="all")


class Endpoint:
    """Gives numbered tokens."""

    def __init__(self) -> None:
        self.lasts: object = 3600
        self.given = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.refusal: Response | None = None

    async def answer(self, request: Request) -> Response:
        await self.gate.wait()
        if self.refusal is not None:
            return self.refusal
        self.given += 1
        return tree({"token_type": "Bearer", "expires_in": self.lasts, "access_token": f"token-{self.given}"})


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
async def service(endpoint: Endpoint) -> AsyncIterator[Serving]:
    async with Serving(endpoint.answer) as serving:
        yield serving


def wrong(answer: Answer) -> CalendarError:
    return CredentialWrong(f"refused with {answer.status}")


@pytest.fixture
async def tokens(service: Serving) -> AsyncIterator[Callable[[Grant], Tokens]]:
    pace = WirePace(first_rest_s=0.001)
    async with Wire(service.url, context=service.client_context(), pace=pace) as wire:
        yield lambda grant: Tokens(wire, "/token", grant, refused=wrong, now=lambda: NOW)


Making = Callable[[Grant], Tokens]


async def test_many_who_need_one_ask_once(service: Serving, tokens: Making):
    source = tokens(SECRET)
    assert set(await asyncio.gather(*(source.token() for _ in range(10)))) == {"token-1"}
    assert await source.token() == "token-1"
    [request] = service.seen
    assert request.form == {
        "grant_type": "client_credentials",
        "client_id": "app",
        "client_secret": "s3cret",
        "scope": "all",
    }


async def test_many_who_are_refused_are_refused_once(endpoint: Endpoint, service: Serving, tokens: Making):
    source = tokens(SECRET)
    endpoint.refusal = tree({"error": "invalid_client"}, 401)
    endpoint.gate.clear()
    asking = [asyncio.get_running_loop().create_task(source.token()) for _ in range(10)]
    await service.until_seen(1)
    endpoint.gate.set()
    assert {type(error) for error in await asyncio.gather(*asking, return_exceptions=True)} == {
        CredentialWrong
    }
    assert len(service.seen) == 1
    endpoint.refusal = None
    assert await source.token() == "token-1"


async def test_renewed_before_it_lapses(endpoint: Endpoint, tokens: Making):
    source = tokens(SECRET)
    endpoint.lasts = 0
    assert [await source.token(), await source.token()] == ["token-1", "token-2"]


async def test_one_that_lasts_is_kept(endpoint: Endpoint, tokens: Making):
    source = tokens(SECRET)
    endpoint.lasts = 60
    assert [await source.token(), await source.token()] == ["token-1", "token-1"]


async def test_a_forgotten_one_is_not_given_again(tokens: Making):
    source = tokens(SECRET)
    first = await source.token()
    source.forget("another")
    assert await source.token() == first
    source.forget(first)
    assert await source.token() == "token-2"


async def test_a_failed_renewal_leaves_what_is_still_good(
    endpoint: Endpoint, tokens: Making, monkeypatch: pytest.MonkeyPatch
):
    source = tokens(SECRET)
    monkeypatch.setattr("cloud_link.calendars.tokens.RENEW_BEFORE_SHARE", 1.0)  # at once
    endpoint.lasts = 100
    assert await source.token() == "token-1"
    endpoint.refusal = nothing(503, Retry_After="600")
    assert await source.token() == "token-1"
    endpoint.refusal = None
    assert await source.token() == "token-2"


@pytest.mark.parametrize(
    "said",
    [
        text("<html>log in</html>"),
        tree({"access_token": ""}),
        tree({}),
        tree([]),
        tree({"access_token": "x", "token_type": "mac"}),
        tree({"access_token": "x", "expires_in": "soon"}),
    ],
)
async def test_what_is_no_token_is_not_taken_for_one(endpoint: Endpoint, tokens: Making, said: Response):
    endpoint.refusal = said
    with pytest.raises(Unreadable):
        await tokens(SECRET).token()


async def test_a_life_span_in_quotes(endpoint: Endpoint, tokens: Making):
    endpoint.lasts = "3599"  # as older endpoints of Microsoft write it
    source = tokens(SECRET)
    assert [await source.token(), await source.token()] == ["token-1", "token-1"]


# ── what is signed ──


@cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def certificate(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "roomd")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def public(key: rsa.RSAPrivateKey) -> RSAKey:
    spki = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return RSAKey.import_key(spki)


async def test_a_certificate_signs_anew_each_time(service: Serving, tokens: Making):
    audience = "https://login.example/t/oauth2/v2.0/token"
    grant = client_certificate(
        "app", key=pem(rsa_key()), certificate=certificate(rsa_key()), audience=audience, scope="all"
    )
    source = tokens(grant)
    source.forget(await source.token())
    await source.token()
    forms = [request.form for request in service.seen]
    assert forms[0]["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in forms[0]
    said = [jwt.decode(form["client_assertion"], public(rsa_key()), algorithms=["PS256"]) for form in forms]
    der = x509.load_pem_x509_certificate(certificate(rsa_key())).public_bytes(Encoding.DER)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert said[0].header == {"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint}
    claims = said[0].claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("app", "app", audience)
    assert claims["nbf"] <= NOW.timestamp() < claims["exp"] <= NOW.timestamp() + 600
    assert said[0].claims["jti"] != said[1].claims["jti"]


async def test_a_service_account_signs(service: Serving, tokens: Making):
    grant = service_account(
        "sa@p.iam.gserviceaccount.com",
        key=pem(rsa_key()).decode(),
        key_id="k1",
        audience="https://oauth2.googleapis.com/token",
        scopes=["a", "b"],
        subject="admin@example.com",
    )
    await tokens(grant).token()
    [request] = service.seen
    assert request.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    said = jwt.decode(request.form["assertion"], public(rsa_key()), algorithms=["RS256"])
    assert said.header == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert said.claims["scope"] == "a b"
    assert said.claims["sub"] == "admin@example.com"
    assert said.claims["exp"] - said.claims["iat"] == 3600
    assert said.claims["iat"] <= NOW.timestamp()


def test_a_locked_key_is_opened():
    client_certificate(
        "app",
        key=pem(rsa_key(), b"open"),
        certificate=certificate(rsa_key()),
        audience="a",
        scope="s",
        password="open",
    )


@pytest.mark.parametrize(
    ("key", "shown", "password"),
    [
        (lambda: b"canary", lambda: certificate(rsa_key()), None),
        (lambda: pem(rsa_key()), lambda: b"canary", None),
        (lambda: pem(rsa_key(1)), lambda: certificate(rsa_key()), None),
        (lambda: pem(ec.generate_private_key(ec.SECP256R1())), lambda: certificate(rsa_key()), None),
        (lambda: pem(rsa_key(), b"open"), lambda: certificate(rsa_key()), "canary"),
        (lambda: pem(rsa_key(), b"open"), lambda: certificate(rsa_key()), None),
        (
            lambda: rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            lambda: certificate(rsa_key()),
            None,
        ),
    ],
)
def test_keys_that_cannot_be_used(key: Callable[[], bytes], shown: Callable[[], bytes], password: str | None):
    with pytest.raises(CredentialWrong) as caught:
        client_certificate("app", key=key(), certificate=shown(), audience="a", scope="s", password=password)
    assert "bring" in caught.value.mend
    assert "canary" not in str(caught.value)


def test_the_clock_is_an_argument():
    early = service_account(
        "sa@x", key=pem(rsa_key()).decode(), key_id="k", audience="a", scopes=["s"], subject=None
    )(NOW)
    claims = jwt.decode(early["assertion"], public(rsa_key()), algorithms=["RS256"]).claims
    assert claims["iat"] < NOW.timestamp() < time.time() + 10 * 365 * 86400
    assert "sub" not in claims
