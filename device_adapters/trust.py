"""Whether a device is who it should be, and what we show it of ourselves."""

from __future__ import annotations

import hashlib
import ssl

from agent.core.model import Credential, Trust
from device_adapters.errors import CertificateRefused, PasswordRefused


class Contexts:
    """The TLS contexts, one for all devices with the same trust: each holds some hundred kilobytes."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str | None, bool], ssl.SSLContext] = {}

    def context(self, trust: Trust) -> ssl.SSLContext:
        """The context to dial with; CertificateRefused if the authority's file cannot be read.

        A pin takes the place of authority and name, and `verify` must see to it after the handshake.
        """
        believes_any = trust.fingerprint is not None or trust.unverified
        ca_file = None if believes_any or trust.ca_file is None else str(trust.ca_file)
        context = self._contexts.get((ca_file, believes_any))
        if context is None:
            context = self._contexts[ca_file, believes_any] = _context(ca_file, believes_any=believes_any)
        return context

    def forget(self) -> None:
        """Read the authorities' files anew at the next dial."""
        self._contexts.clear()


def _context(ca_file: str | None, *, believes_any: bool) -> ssl.SSLContext:
    if believes_any:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:  # also ssl.SSLError: not a certificate
            raise CertificateRefused(f"the authority's file {ca_file} cannot be used: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # CE9 and newer speak it
    return context


def fingerprint(certificate: bytes) -> str:
    """`sha256:` and 64 hexadecimal digits of a DER certificate, as the configuration writes it."""
    return f"sha256:{hashlib.sha256(certificate).hexdigest()}"


def verify(certificate: bytes | None, trust: Trust) -> None:
    """CertificateRefused if the device's certificate (DER) is not the pinned one.

    To be called between the TLS handshake and the first byte of HTTP: the upgrade carries the password.
    """
    if trust.fingerprint is None:
        return
    seen = "none" if certificate is None else fingerprint(certificate)
    if seen != _plain(trust.fingerprint):
        raise CertificateRefused(f"the certificate's fingerprint is {seen}, and not the one configured")


def _plain(pinned: str) -> str:
    """As `fingerprint` writes it, whether it was copied with colons and capitals or without a prefix."""
    digits = pinned.lower().removeprefix("sha256:").replace(":", "").strip()
    return f"sha256:{digits}"


def password(credential: Credential) -> str:
    """Read the password: at each dial, so that a changed file counts and the secret is not kept.

    PasswordRefused, with no log-in spent, if the file cannot be read.
    """
    try:
        return credential.password_file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        raise PasswordRefused(f"the password file cannot be read: {error}", logins=0) from error


def mark(credential: Credential) -> bytes:
    """Something that changes with the content of the password file, and does not give it away."""
    try:
        return hashlib.sha256(credential.password_file.read_bytes()).digest()
    except OSError:
        return b""
