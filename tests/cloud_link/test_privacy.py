"""Private fields are read by the one who may, or by nobody."""

from __future__ import annotations

import base64
import json
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from structlog.testing import capture_logs

from agent.core.facts import BookingFact, FactKind
from agent.core.model import BookingKey, Meeting
from cloud_link.contract import ClockState
from cloud_link.envelope import Privacy, PrivateField, room_state, seal
from cloud_link.privacy import (
    ALGORITHM,
    ENCRYPTION,
    LOOK_EVERY_S,
    PrivacyMode,
    Rotating,
    UnusableKey,
    choose,
    choose_recipient,
    dropped,
    plain,
    read_recipients,
    sealed,
    trouble,
)
from tests.cloud_link.made import FJORD, NINE, SITE, booking, room

PRIVATE_KEY = ECKey.generate_key("P-256", {"kid": "cloud-2026"})
RECIPIENT = ECKey.import_key(PRIVATE_KEY.as_dict(private=False))
NEXT_PRIVATE = ECKey.generate_key("P-256", {"kid": "cloud-2027"})
NEXT = ECKey.import_key(NEXT_PRIVATE.as_dict(private=False))
K1, K2 = BookingKey("k1"), BookingKey("k2")


def opened(compact: str | None, key: ECKey = PRIVATE_KEY) -> str:
    assert compact is not None
    plaintext = jwe.decrypt_compact(compact, key, algorithms=[ALGORITHM, ENCRYPTION]).plaintext
    assert plaintext is not None
    return plaintext.decode()


def written(folder: Path, text: str | bytes) -> Path:
    """As an operator replaces a file: the new one is moved over the old one."""
    file, new = folder / "recipient", folder / "recipient.new"
    new.write_bytes(text if isinstance(text, bytes) else text.encode())
    return new.rename(file)


def public(key: ECKey, **more: object) -> dict[str, object]:
    return {**key.as_dict(private=False), **more}


def read_recipient(file: Path, *, now: float = 0.0) -> ECKey:
    return choose_recipient(file, read_recipients(file), now=now)


def header_of(compact: str | None) -> dict[str, Any]:
    assert compact is not None
    header: dict[str, Any] = json.loads(unpadded(compact.split(".")[0]))
    return header


def unpadded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def opened_by_the_book(compact: str, key: ECKey) -> str:
    """As RFC 7516 and RFC 7518 (section 4.6) say, with nothing but primitives."""
    protected, wrapped, nonce, ciphertext, tag = compact.split(".")
    epk = header_of(compact)["epk"]
    x, y = (int.from_bytes(unpadded(epk[name]), "big") for name in ("x", "y"))
    theirs = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    pem = key.as_pem(private=True)
    ours = load_pem_private_key(pem, password=None)
    assert isinstance(ours, EllipticCurvePrivateKey)
    algorithm = b"ECDH-ES+A256KW"
    info = struct.pack("!I", len(algorithm)) + algorithm + struct.pack("!II", 0, 0) + struct.pack("!I", 256)
    agreed = ConcatKDFHash(SHA256(), 32, info).derive(ours.exchange(ECDH(), theirs))
    content_key = aes_key_unwrap(agreed, unpadded(wrapped))
    sealed_text = unpadded(ciphertext) + unpadded(tag)
    return AESGCM(content_key).decrypt(unpadded(nonce), sealed_text, protected.encode()).decode()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(PrivateField), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_what_is_sealed_is_read_by_the_recipient(field: PrivateField, value: str):
    assert opened(sealed(RECIPIENT)(field, value, booking=K1, private=False)) == value


def test_what_is_sealed_is_read_by_nobody_else():
    compact = sealed(RECIPIENT)(PrivateField.TITLE, "Budget", booking=K1, private=False)
    with pytest.raises(JoseError):
        opened(compact, ECKey.generate_key("P-256"))


def test_whoever_keeps_to_the_standard_can_read_it():
    compact = sealed(RECIPIENT)(PrivateField.TITLE, "Budsjett æøå", booking=K1, private=False)
    assert compact is not None
    assert opened_by_the_book(compact, PRIVATE_KEY) == "Budsjett æøå"


def test_the_header_says_how_and_for_whom():
    header = header_of(sealed(RECIPIENT)(PrivateField.TITLE, "Budget", booking=K1, private=False))
    assert (header["alg"], header["enc"], header["kid"]) == ("ECDH-ES+A256KW", "A256GCM", "cloud-2026")


def test_a_key_without_a_name_is_named_by_its_thumbprint():
    nameless = ECKey.import_key({k: v for k, v in RECIPIENT.as_dict(private=False).items() if k != "kid"})
    compact = sealed(nameless)(PrivateField.TITLE, "Budget", booking=K1, private=False)
    header = header_of(compact)
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
        ('{"keys": []}', "none of the 0 keys"),
        ('{"keys": "mine"}', "none of the 0 keys"),
        ('{"keys": [5]}', "no EC key"),
        (json.dumps({"keys": [public(RECIPIENT, use="sig")] * 2}), "none of the 2 keys"),
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


@pytest.mark.parametrize("kind", ["jwk", "set", "pem"])
def test_a_private_key_is_refused_and_not_quoted(tmp_path: Path, kind: str):
    jwk = PRIVATE_KEY.as_dict(private=True)
    content: str | bytes = PRIVATE_KEY.as_pem(private=True)
    if kind == "jwk":
        content = json.dumps(jwk)
    elif kind == "set":
        content = json.dumps({"keys": [public(NEXT), jwk]})
    with pytest.raises(UnusableKey, match="private key") as refusal:
        read_recipient(written(tmp_path, content))
    assert str(jwk["d"]) not in str(refusal.value)


def test_a_key_as_a_browser_exports_it_serves(tmp_path: Path):
    file = written(tmp_path, json.dumps(public(RECIPIENT, key_ops=[], ext=True)))
    compact = sealed(read_recipient(file))(PrivateField.TITLE, "Budget", booking=K1, private=False)
    assert opened(compact) == "Budget"


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["kty", "crv", "x", "y", "d", "use", "alg", "kid", "key_ops", "x5c", "iat", "nbf", "exp"]
        ),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=50)
        | st.lists(st.text(max_size=5), max_size=2),
        min_size=1,
    ),
    st.booleans(),
)
def test_whatever_the_file_has_it_is_a_key_or_refused(
    tmp_path_factory: pytest.TempPathFactory, strange: dict[str, object], in_a_set: bool
):
    jwk = public(RECIPIENT, **strange)
    file = written(tmp_path_factory.mktemp("key"), json.dumps({"keys": [jwk]} if in_a_set else jwk))
    try:
        key = read_recipient(file, now=1e9)
    except UnusableKey:
        return
    assert opened(title(sealed(key))) == "Budget"


# ── a set of keys ─────────────────────────────────────────────────────────────────────────────────

OLD = public(RECIPIENT)
NEW = public(NEXT)


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        ([OLD, NEW], "cloud-2027"),  # the last, where they do not say
        ([NEW, OLD], "cloud-2026"),
        ([NEW | {"iat": 200}, OLD | {"iat": 100}], "cloud-2027"),  # issued last
        ([NEW | {"iat": 200}, OLD], "cloud-2027"),
        ([OLD, NEW | {"nbf": 1001}], "cloud-2026"),  # its time has not come
        ([OLD, NEW | {"nbf": 1000}], "cloud-2027"),
        ([NEW, OLD | {"exp": 1000}], "cloud-2027"),  # its time is over
        ([NEW, OLD | {"exp": 1001}], "cloud-2026"),
        ([OLD, NEW | {"use": "sig"}], "cloud-2026"),
        ([OLD, NEW | {"alg": "ECDH-ES"}], "cloud-2026"),
        ([OLD, {"kty": "OKP", "crv": "X25519", "x": "AA"}, {"kty": "new"}, 5, None], "cloud-2026"),
        ([OLD, public(ECKey.generate_key("P-384"))], "cloud-2026"),
    ],
)
def test_of_a_set_the_newest_key_that_can_be_used_is_sealed_for_and_no_other(
    tmp_path: Path, keys: list[object], chosen: str
):
    file = written(tmp_path, json.dumps({"keys": keys}))
    assert read_recipient(file, now=1000.0).kid == chosen


@pytest.mark.parametrize(
    ("times", "why"), [({"exp": 1000}, "expired"), ({"nbf": 1001}, "not to be used yet")]
)
@pytest.mark.parametrize("in_a_set", [True, False])
def test_without_a_key_of_today_the_file_is_refused(
    tmp_path: Path, times: dict[str, object], why: str, in_a_set: bool
):
    jwk = public(RECIPIENT, **times)
    file = written(tmp_path, json.dumps({"keys": [jwk]} if in_a_set else jwk))
    with pytest.raises(UnusableKey, match=why):
        read_recipient(file, now=1000.0)


# ── a key that is replaced ────────────────────────────────────────────────────────────────────────


class Clocks:
    """Both clocks of one who waits."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s

    def wait(self) -> None:
        self.s += LOOK_EVERY_S


def rotating(file: Path) -> tuple[Rotating, Clocks]:
    clocks = Clocks()
    return Rotating(file, now=clocks, monotonic=clocks), clocks


def title(privacy: Privacy, words: str = "Budget", *, booking: BookingKey = K1) -> str | None:
    return privacy(PrivateField.TITLE, words, booking=booking, private=False)


def test_what_leaves_after_a_new_key_was_put_there_is_sealed_for_it(tmp_path: Path):
    privacy, clocks = rotating(written(tmp_path, json.dumps(OLD)))
    before = title(privacy)
    written(tmp_path, json.dumps(NEW))
    clocks.wait()
    after = title(privacy)
    assert (header_of(before)["kid"], header_of(after)["kid"]) == ("cloud-2026", "cloud-2027")
    assert opened(before) == opened(after, NEXT_PRIVATE) == "Budget"
    with pytest.raises(JoseError):
        opened(after)


def test_pem_files_may_follow_each_other(tmp_path: Path):
    privacy, clocks = rotating(written(tmp_path, RECIPIENT.as_pem(private=False)))
    written(tmp_path, NEXT.as_pem(private=False))
    clocks.wait()
    after = title(privacy)
    assert header_of(after)["kid"] == NEXT.thumbprint()
    assert opened(after, NEXT_PRIVATE) == "Budget"


def test_the_same_key_written_again_changes_no_byte(tmp_path: Path):
    privacy, clocks = rotating(written(tmp_path, json.dumps(OLD)))
    before = title(privacy)
    written(tmp_path, json.dumps(OLD, indent=1))
    clocks.wait()
    assert title(privacy) == before


def test_a_key_in_place_of_another_of_the_same_name_is_taken(tmp_path: Path):
    privacy, clocks = rotating(written(tmp_path, json.dumps(OLD)))
    title(privacy)
    written(tmp_path, json.dumps(NEW | {"kid": "cloud-2026"}))
    clocks.wait()
    assert opened(title(privacy), NEXT_PRIVATE) == "Budget"


def test_the_file_is_looked_at_now_and_then_and_not_with_every_field(tmp_path: Path):
    privacy, clocks = rotating(written(tmp_path, json.dumps(OLD)))
    written(tmp_path, json.dumps(NEW))
    assert header_of(title(privacy))["kid"] == "cloud-2026"
    clocks.s += LOOK_EVERY_S - 0.1
    assert header_of(title(privacy, booking=K2))["kid"] == "cloud-2026"
    clocks.s += 0.2
    assert header_of(title(privacy))["kid"] == "cloud-2027"


def test_a_file_written_in_place_is_seen_too(tmp_path: Path):
    file = written(tmp_path, json.dumps(OLD))
    privacy, clocks = rotating(file)
    file.write_text(json.dumps(NEW))
    os.utime(file, ns=(0, 0))  # whatever `cp -p` makes of its times
    clocks.wait()
    assert header_of(title(privacy))["kid"] == "cloud-2027"


def test_a_link_that_leads_to_another_file_is_seen_too(tmp_path: Path):
    for name, jwk in (("old", OLD), ("new", NEW)):
        (tmp_path / name).write_text(json.dumps(jwk))
    link = tmp_path / "recipient"
    link.symlink_to("old")
    privacy, clocks = rotating(link)
    link.unlink()
    link.symlink_to("new")
    clocks.wait()
    assert header_of(title(privacy))["kid"] == "cloud-2027"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        ("", "no EC key"),
        (json.dumps(OLD)[:40], "no EC key"),
        (json.dumps(NEXT_PRIVATE.as_dict(private=True)), "private key"),
        (json.dumps(NEW | {"exp": 900}), "expired"),
    ],
    ids=["gone", "empty", "half-written", "private", "expired"],
)
def test_a_file_that_became_unusable_leaves_the_old_key_and_is_told_once(
    tmp_path: Path, content: str | None, why: str
):
    file = written(tmp_path, json.dumps(OLD))
    privacy, clocks = rotating(file)
    before = title(privacy)
    if content is None:
        file.unlink()
    else:
        written(tmp_path, content)
    with capture_logs() as logs:
        for number in range(3):
            clocks.wait()
            assert title(privacy) == before
            assert opened(title(privacy, f"Budget {number}")) == f"Budget {number}"
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("privacy.key_unusable", "error")]
    assert why in logs[0]["why"]
    assert logs[0]["still"] == "cloud-2026"
    assert str(NEXT_PRIVATE.as_dict(private=True)["d"]) not in str(logs)
    said = trouble(privacy)
    assert said is not None
    assert str(file) in said
    with capture_logs() as logs:
        written(tmp_path, json.dumps(NEW))
        clocks.wait()
        assert trouble(privacy) is None  # whoever asks looks, too: a quiet night seals nothing
    assert [entry["event"] for entry in logs] == ["privacy.key_changed"]
    assert opened(title(privacy), NEXT_PRIVATE) == "Budget"


def test_the_old_key_put_back_ends_the_trouble(tmp_path: Path):
    file = written(tmp_path, json.dumps(OLD))
    privacy, clocks = rotating(file)
    before = title(privacy)
    aside = file.rename(tmp_path / "aside")
    clocks.wait()
    assert title(privacy) == before
    assert trouble(privacy) is not None
    aside.rename(file)
    clocks.wait()
    assert title(privacy) == before
    assert trouble(privacy) is None


def test_a_key_of_a_set_takes_over_when_its_time_comes(tmp_path: Path):
    keys = [OLD | {"exp": 1010}, NEW | {"nbf": 1005}]
    privacy, clocks = rotating(written(tmp_path, json.dumps({"keys": keys})))
    assert header_of(title(privacy))["kid"] == "cloud-2026"
    clocks.wait()
    assert header_of(title(privacy))["kid"] == "cloud-2027"


def test_a_key_that_expires_with_no_other_there_goes_on_being_used_and_is_told(tmp_path: Path):
    privacy, clocks = rotating(written(tmp_path, json.dumps(OLD | {"exp": 1003})))
    before = title(privacy)
    clocks.wait()
    assert title(privacy) == before
    assert "expired" in (trouble(privacy) or "")


def test_what_is_sealed_elsewhere_has_no_key_to_trouble_about():
    assert trouble(dropped) is None
    assert trouble(plain) is None


def test_while_a_key_is_replaced_nothing_leaves_unsealed_on_any_thread(tmp_path: Path):
    clocks = Clocks()
    privacy = Rotating(written(tmp_path, json.dumps(OLD)), now=clocks, monotonic=clocks)
    keys = {"cloud-2026": PRIVATE_KEY, "cloud-2027": NEXT_PRIVATE}

    def seal_many(thread: int) -> list[tuple[str, str | None]]:
        words = [f"Budget {thread} {number}" for number in range(40)]
        return [(each, title(privacy, each)) for each in words]

    with ThreadPoolExecutor(4) as threads:
        work = [threads.submit(seal_many, thread) for thread in range(4)]
        for content in (json.dumps(NEW), "", json.dumps(OLD), json.dumps(NEW)):
            written(tmp_path, content)
            clocks.wait()
            title(privacy)
    for words, compact in (each for done in work for each in done.result()):
        assert opened(compact, keys[header_of(compact)["kid"]]) == words
    clocks.wait()
    assert header_of(title(privacy))["kid"] == "cloud-2027"
