"""Whether a device is who it should be, and what we show it of ourselves."""

from __future__ import annotations

import base64
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


# ── host keys of SSH ──────────────────────────────────────────────────────────────────────────────


class HostKeyRefused(CertificateRefused):
    """We do not believe that it is the device, by its host key."""

    mend = (
        "write the device's host key into host_key, as `ssh-keygen -l` prints it (SHA256:…), or name an "
        "OpenSSH file with it in known_hosts"
    )


def host_key(public_key: bytes) -> str:
    """`SHA256:` and base64 of a public key in SSH's own encoding, as `ssh-keygen -l` prints it."""
    return f"SHA256:{base64.b64encode(hashlib.sha256(public_key).digest()).decode().rstrip('=')}"


def is_pinned(public_key: bytes, trust: Trust) -> bool:
    """Whether this is the host key that is pinned; False if none is."""
    if trust.host_key is None:
        return False
    pinned = trust.host_key.strip().rstrip("=")  # the prefix in any case, base64 as it is
    return f"SHA256:{pinned.partition(':')[2] or pinned}" == host_key(public_key)


def need_host_key(trust: Trust) -> None:
    """HostKeyRefused if nothing is configured by which a host key could be judged: then there is no SSH."""
    if trust.host_key is None and trust.known_hosts is None and not trust.unverified:
        raise HostKeyRefused("neither host_key nor known_hosts is configured for SSH")


# ── what we show ──────────────────────────────────────────────────────────────────────────────────


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
