"""What becomes of titles, organizers and join links as they leave: sealed for one reader, dropped, plain."""

from __future__ import annotations

import json
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Final, assert_never

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from agent.core.model import BookingKey
from cloud_link.envelope import Privacy, PrivateField

ALGORITHM: Final = "ECDH-ES+A256KW"
ENCRYPTION: Final = "A256GCM"
CURVE: Final = "P-256"
REMEMBERED: Final = 8192  # values: the agendas of some 300 rooms; about 1 KB each
A_KEY_WOULD_BE: Final = f"put the recipient's public key there: a JWK or a PEM file, EC on {CURVE}"


class PrivacyMode(StrEnum):
    """How private fields leave the site."""

    SEALED = "sealed"  # only the holder of the recipient's private key can read them
    DROPPED = "dropped"
    PLAIN = "plain"  # for a site that runs its own broker


class UnusableKey(ValueError):
    """The recipient's key cannot be used; says which file, why, and the mend."""

    def __init__(self, file: Path | None, why: str, mend: str = A_KEY_WOULD_BE) -> None:
        super().__init__(f"{file or 'recipient key'}: {why}; {mend}")
        self.file = file
        self.why = why
        self.mend = mend


def choose(mode: PrivacyMode | None, key_file: Path | None) -> Privacy:
    """The privacy that a site asks for; where it does not say, sealed if there is a key, else dropped."""
    match mode or (PrivacyMode.DROPPED if key_file is None else PrivacyMode.SEALED):
        case PrivacyMode.SEALED:
            if key_file is None:
                raise UnusableKey(None, "privacy is sealed, and no key file is named")
            return sealed(read_recipient(key_file))
        case PrivacyMode.DROPPED:
            return dropped
        case PrivacyMode.PLAIN:
            return plain
        case other:
            assert_never(other)


def dropped(_field: PrivateField, _value: str, *, booking: BookingKey, private: bool) -> None:
    """Nothing leaves."""


def plain(field: PrivateField, value: str, *, booking: BookingKey, private: bool) -> str | None:  # noqa: ARG001
    """Everything leaves as it is, but for the titles of meetings marked private."""
    return None if private and field is PrivateField.TITLE else value


def sealed(recipient: ECKey, *, remembered: int = REMEMBERED) -> Privacy:
    """Each field is a JWE of its own, for this recipient alone.

    A field of a booking stays the same JWE while it is remembered, so that a room's state which has not
    changed stays the same bytes. The same title of two bookings is two JWEs: nobody on the way can tell that
    they are the same.
    """
    header = {"alg": ALGORITHM, "enc": ENCRYPTION, "kid": recipient.kid or recipient.thumbprint()}

    @lru_cache(maxsize=remembered)
    def seal_once(_booking: BookingKey, _field: PrivateField, value: str) -> str:
        return jwe.encrypt_compact(
            dict(header), value.encode(), recipient, algorithms=[ALGORITHM, ENCRYPTION]
        )

    def seal(field: PrivateField, value: str, *, booking: BookingKey, private: bool) -> str | None:
        return None if private and field is PrivateField.TITLE else seal_once(booking, field, value)

    return seal


def read_recipient(file: Path) -> ECKey:
    """The recipient's public key, or a word on what is wrong with the file."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise UnusableKey(
            file, error.strerror or "it cannot be read", "let it exist and be readable by roomd"
        ) from error
    except UnicodeDecodeError:
        raise UnusableKey(file, "this is neither a JWK nor a PEM file") from None
    key = _parse(file, text)
    if key.curve_name != CURVE:
        raise UnusableKey(file, f"the key is on the curve {key.curve_name}")
    if key.is_private:
        raise UnusableKey(
            file,
            "this is a private key, and whoever reads it can open what is sealed",
            "leave that where it was made, and put its public half here",
        )
    if key.get("use", "enc") != "enc" or key.get("alg", ALGORITHM) != ALGORITHM:
        raise UnusableKey(file, f"the key is meant for something other than {ALGORITHM}")
    return key


def _parse(file: Path, text: str) -> ECKey:
    try:
        # `from None`: the error of a parser may quote the file, and the file may be a private key
        return ECKey.import_key(json.loads(text) if text.startswith("{") else text)
    except (JoseError, ValueError, TypeError, KeyError):
        raise UnusableKey(file, "this is no EC key") from None
