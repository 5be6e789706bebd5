"""What a certificate that is shown to us says of itself: how long it lasts, and whether it is a good one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

EXPIRES_SOON: Final = timedelta(days=30)  # who orders certificates by hand needs some weeks
LEAST_RSA_BITS: Final = 2048
BROKEN_HASHES: Final = frozenset({"md5", "sha1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a TLS server showed."""

    version: str  # of TLS, like "TLSv1.3"
    der: bytes  # its certificate


async def shown_at(host: str, port: int, *, within_s: float, name: str | None = None) -> Shown | None:
    """What is shown there to anybody, without a word of ours; None if nobody speaks TLS there in time.

    Nothing is judged: it is read to be told, and no secret is sent.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(within_s):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name or host)
    except (OSError, TimeoutError, UnicodeError):
        return None
    talk = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    der = talk.getpeercert(binary_form=True)
    return None if der is None else Shown(version=str(talk.version()), der=der)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """What is wrong with a certificate, and what to do about it."""

    seen: str
    mend: str
    over: bool = False  # it is not to be believed now


def read(der: bytes) -> x509.Certificate | None:
    """The certificate; None if it is none."""
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return None


def flaws(certificate: x509.Certificate, *, now: datetime, pinned: bool) -> Iterator[Flaw]:
    """What is wrong with it. A pinned one is believed at any time: its dates are for those who look."""
    until, since = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    renew = "renew it"
    if pinned:
        renew += ", and write the new one's fingerprint into the configuration"
    if until <= now:
        yield Flaw(seen=f"its certificate expired on {until:%Y-%m-%d}", mend=renew, over=not pinned)
    elif since > now:
        mend = "check the clock of this machine, and that of who issued it"
        yield Flaw(seen=f"its certificate is valid from {since:%Y-%m-%d} only", mend=mend, over=not pinned)
    elif until - now < EXPIRES_SOON:
        yield Flaw(seen=f"its certificate expires on {until:%Y-%m-%d}", mend=renew)
    try:
        digest = certificate.signature_hash_algorithm
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return
    if digest is not None and digest.name in BROKEN_HASHES and not pinned:
        name = {"sha1": "SHA-1", "md5": "MD5"}[digest.name]
        yield Flaw(seen=f"its certificate is signed with {name}, which can be forged", mend=renew)
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_RSA_BITS:
        short = f"the key of its certificate is short: {key.key_size} bits of RSA"
        yield Flaw(seen=short, mend=f"{renew}, with {LEAST_RSA_BITS} bits or more")
