"""Certificates as they are shown: dates, signatures, keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from agent.certificates import flaws, read, shown_at
from tests.brokers.authority import Authority
from tests.brokers.mosquitto import HOST, Mosquitto
from tests.brokers.ports import free_port

NOW = datetime(2026, 3, 10, tzinfo=UTC)


def issued(*, since: timedelta, until: timedelta, bits: int | None = None) -> bytes:
    """A certificate of these dates, beside NOW; with a key of RSA of so many bits."""
    key = ec.generate_private_key(ec.SECP256R1()) if bits is None else rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW + since)
        .not_valid_after(NOW + until)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("since", "until", "pinned", "said"),
    [
        (-1, 400, False, []),
        (-1, 20, False, ["expires on 2026-03-30"]),
        (-20, -1, False, ["expired on 2026-03-09"]),
        (1, 20, False, ["is valid from 2026-03-11 only"]),
    ],
)
def test_dates_are_told(since, until, pinned, said):
    certificate = read(issued(since=timedelta(days=since), until=timedelta(days=until)))
    assert certificate is not None
    found = list(flaws(certificate, now=NOW, pinned=pinned))
    assert [each.seen.removeprefix("its certificate ") for each in found] == said


def test_a_pinned_one_that_expired_goes_on_and_its_new_fingerprint_is_asked_for():
    certificate = read(issued(since=timedelta(days=-20), until=timedelta(days=-1)))
    assert certificate is not None
    (found,) = flaws(certificate, now=NOW, pinned=True)
    assert not found.over
    assert "fingerprint" in found.mend


def test_a_short_key_is_told():
    certificate = read(issued(since=timedelta(days=-1), until=timedelta(days=99), bits=1024))
    assert certificate is not None
    (found,) = flaws(certificate, now=NOW, pinned=False)
    assert "1024 bits" in found.seen


def test_what_is_no_certificate_is_none():
    assert read(b"nothing") is None


async def test_what_a_server_shows_is_seen_without_believing_it(tmp_path):
    authority = Authority(tmp_path / "tls")
    async with Mosquitto(tmp_path / "broker", tls=authority) as broker:
        shown = await shown_at(HOST, broker.port, within_s=10)
    assert shown is not None
    assert shown.version.startswith("TLSv1.")
    assert read(shown.der) is not None
    assert await shown_at(HOST, free_port(), within_s=10) is None
