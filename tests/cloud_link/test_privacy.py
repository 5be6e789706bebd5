"""Private fields are read by the one who may, or by nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from agent.core.facts import BookingFact, FactKind
from agent.core.model import BookingKey, Meeting
from cloud_link.contract import ClockState
from cloud_link.envelope import Privacy, PrivateField, room_state, seal
from cloud_link.privacy import (
    ALGORITHM,
    ENCRYPTION,
    PrivacyMode,
    UnusableKey,
    choose,
    dropped,
    plain,
    read_recipient,
    sealed,
)
from tests.cloud_link.made import FJORD, NINE, SITE, booking, room

PRIVATE_KEY = ECKey.generate_key("P-256", {"kid": "cloud-2026"})
RECIPIENT = ECKey.import_key(PRIVATE_KEY.as_dict(private=False))
K1, K2 = BookingKey("k1"), BookingKey("k2")


def opened(compact: str | None, key: ECKey = PRIVATE_KEY) -> str:
    assert compact is not None
    plaintext = jwe.decrypt_compact(compact, key, algorithms=[ALGORITHM, ENCRYPTION]).plaintext
    assert plaintext is not None
    return plaintext.decode()


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "recipient"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(PrivateField), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_what_is_sealed_is_read_by_the_recipient(field: PrivateField, value: str):
    assert opened(sealed(RECIPIENT)(field, value, booking=K1, private=False)) == value


def test_what_is_sealed_is_read_by_nobody_else():
    compact = sealed(RECIPIENT)(PrivateField.TITLE, "Budget", booking=K1, private=False)
    with pytest.raises(JoseError):
        opened(compact, ECKey.generate_key("P-256"))


def test_the_header_says_how_and_for_whom():
    compact = sealed(RECIPIENT)(PrivateField.TITLE, "Budget", booking=K1, private=False)
    assert compact is not None
    header = jwe.decrypt_compact(compact, PRIVATE_KEY, algorithms=[ALGORITHM, ENCRYPTION]).headers()
    assert (header["alg"], header["enc"], header["kid"]) == ("ECDH-ES+A256KW", "A256GCM", "cloud-2026")


def test_a_key_without_a_name_is_named_by_its_thumbprint():
    nameless = ECKey.import_key({k: v for k, v in RECIPIENT.as_dict(private=False).items() if k != "kid"})
    compact = sealed(nameless)(PrivateField.TITLE, "Budget", booking=K1, private=False)
    assert compact is not None
    header = jwe.decrypt_compact(compact, PRIVATE_KEY, algorithms=[ALGORITHM, ENCRYPTION]).headers()
    assert header["kid"] == nameless.thumbprint()


def test_a_state_that_has_not_changed_stays_the_same_bytes():
    privacy = sealed(RECIPIENT)
    it = room(bookings_in_it=(booking(),))
    assert room_state(it, now=NINE, privacy=privacy) == room_state(it, now=NINE, privacy=privacy)


def test_the_same_title_of_two_bookings_cannot_be_told_to_be_the_same():
    privacy = sealed(RECIPIENT)
    assert privacy(PrivateField.TITLE, "1:1", booking=K1, private=False) != privacy(
        PrivateField.TITLE, "1:1", booking=K2, private=False
    )


def test_what_was_forgotten_is_sealed_anew_and_still_read():
    privacy = sealed(RECIPIENT, remembered=1)
    first = privacy(PrivateField.TITLE, "Budget", booking=K1, private=False)
    privacy(PrivateField.TITLE, "Standup", booking=K2, private=False)
    again = privacy(PrivateField.TITLE, "Budget", booking=K1, private=False)
    assert first != again
    assert opened(first) == opened(again)


@pytest.mark.parametrize("privacy", [sealed(RECIPIENT), dropped, plain], ids=["sealed", "dropped", "plain"])
def test_a_meeting_marked_private_has_no_title(privacy: Privacy):
    assert privacy(PrivateField.TITLE, "Notice", booking=K1, private=True) is None


def test_plain_leaves_the_rest_of_a_private_meeting():
    assert plain(PrivateField.ORGANIZER, "Kari", booking=K1, private=True) == "Kari"


@settings(max_examples=25, deadline=None)
@given(st.text("æøåßñ", min_size=6, max_size=30), st.booleans())
def test_sealed_no_word_of_a_meeting_leaves_in_plain(secret: str, private: bool):
    meeting = Meeting(
        title=f"title {secret}", organizer=f"by {secret}", join=f"sip:{secret}", private=private
    )
    fact = BookingFact(
        kind=FactKind.BOOKING_UPDATED, at=NINE, booking=booking(meeting=meeting), previous=booking()
    )
    envelope = seal(
        fact,
        room=FJORD,
        site=SITE,
        epoch="e",
        number=1,
        recorded_at=NINE,
        clock=ClockState.SYNCED,
        privacy=sealed(RECIPIENT),
    )
    data = json.loads(envelope.payload)["data"]
    assert secret not in envelope.payload.decode()
    assert opened(data["organizer"]) == f"by {secret}"
    assert opened(data["join"]) == f"sip:{secret}"
    assert (data["title"] is None) == private
    assert opened(data["previous"]["organizer"]) == "Kari"


# ── which privacy ─────────────────────────────────────────────────────────────────────────────────


def test_unsaid_it_is_sealed_where_there_is_a_key_and_else_dropped(tmp_path: Path):
    key_file = written(tmp_path, json.dumps(RECIPIENT.as_dict(private=False)))
    assert opened(choose(None, key_file)(PrivateField.TITLE, "Budget", booking=K1, private=False)) == "Budget"
    assert choose(None, None) is dropped


def test_what_is_said_counts(tmp_path: Path):
    key_file = written(tmp_path, json.dumps(RECIPIENT.as_dict(private=False)))
    assert choose(PrivacyMode.PLAIN, key_file) is plain
    assert choose(PrivacyMode.DROPPED, key_file) is dropped


def test_sealed_without_a_key_is_refused():
    with pytest.raises(UnusableKey, match="no key file is named"):
        choose(PrivacyMode.SEALED, None)


# ── the key file ──────────────────────────────────────────────────────────────────────────────────


def test_a_pem_file_serves_as_well_as_a_jwk(tmp_path: Path):
    key = read_recipient(written(tmp_path, RECIPIENT.as_pem(private=False)))
    assert opened(sealed(key)(PrivateField.JOIN, "sip:1@example.com", booking=K1, private=False))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no EC key"),
        ("hello", "no EC key"),
        ("{", "no EC key"),
        ("{}", "no EC key"),
        ('{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}', "no EC key"),
        ('{"kty": "EC", "crv": "P-256", "x": 1, "y": null}', "no EC key"),
        (b"\xff\xfe\x00", "neither a JWK nor a PEM file"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "no EC key"),
        (RSAKey.generate_key(2048).as_pem(private=False), "no EC key"),
        (OKPKey.generate_key("X25519").as_pem(private=False), "no EC key"),
        (json.dumps(ECKey.generate_key("P-384").as_dict(private=False)), "curve P-384"),
        (json.dumps(RECIPIENT.as_dict(private=False) | {"use": "sig"}), "meant for something other"),
        (json.dumps(RECIPIENT.as_dict(private=False) | {"alg": "ES256"}), "meant for something other"),
    ],
)
def test_an_unusable_key_is_refused_with_file_reason_and_mend(tmp_path: Path, content: str | bytes, why: str):
    file = written(tmp_path, content)
    with pytest.raises(UnusableKey, match=why) as refusal:
        read_recipient(file)
    assert str(file) in str(refusal.value)
    assert "public key" in str(refusal.value)


def test_a_missing_key_file_is_refused(tmp_path: Path):
    with pytest.raises(UnusableKey, match="No such file"):
        read_recipient(tmp_path / "none")


@pytest.mark.parametrize("kind", ["jwk", "pem"])
def test_a_private_key_is_refused_and_not_quoted(tmp_path: Path, kind: str):
    jwk = PRIVATE_KEY.as_dict(private=True)
    content = json.dumps(jwk) if kind == "jwk" else PRIVATE_KEY.as_pem(private=True)
    with pytest.raises(UnusableKey, match="private key") as refusal:
        read_recipient(written(tmp_path, content))
    assert str(jwk["d"]) not in str(refusal.value)
