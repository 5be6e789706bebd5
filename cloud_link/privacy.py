"""What becomes of titles, organizers and join links as they leave: sealed for one reader, dropped, plain."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, assert_never

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from agent.core.model import BookingKey
from cloud_link.envelope import Privacy, PrivateField

log = structlog.get_logger()

ALGORITHM: Final = "ECDH-ES+A256KW"
ENCRYPTION: Final = "A256GCM"
CURVE: Final = "P-256"
REMEMBERED: Final = 8192  # values: the agendas of some 300 rooms; about 1 KB each
SECRET_PARTS: Final = frozenset({"d", "k", "p", "q"})  # of EC, symmetric and RSA keys
LOOK_EVERY_S: Final = 5.0  # at the key's file, for a new key
A_KEY_WOULD_BE: Final = f"put the recipient's public key there: a JWK, a JWK set or a PEM file, EC on {CURVE}"


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
            return Rotating(key_file)
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
    header = {"alg": ALGORITHM, "enc": ENCRYPTION, "kid": name_of(recipient)}

    @lru_cache(maxsize=remembered)
    def seal_once(_booking: BookingKey, _field: PrivateField, value: str) -> str:
        return jwe.encrypt_compact(
            dict(header), value.encode(), recipient, algorithms=[ALGORITHM, ENCRYPTION]
        )

    def seal(field: PrivateField, value: str, *, booking: BookingKey, private: bool) -> str | None:
        return None if private and field is PrivateField.TITLE else seal_once(booking, field, value)

    return seal


def name_of(key: ECKey) -> str:
    """By which the recipient knows a key: its `kid`, else its thumbprint (RFC 7638)."""
    return key.kid or key.thumbprint()


# ── a key that is replaced while roomd runs ───────────────────────────────────────────────────────


class Rotating:
    """Sealed for the key that a file has now; for the one it had, while what it has is unusable.

    The file is looked at while fields are sealed, at most every LOOK_EVERY_S, and read if it has changed. May
    be called from any thread. Raises `UnusableKey` when it is made, and never after.
    """

    def __init__(
        self,
        file: Path,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.file: Final = file
        self._now = now
        self._monotonic = monotonic
        self._looking = threading.Lock()
        self._look_at = monotonic() + LOOK_EVERY_S
        self._seen = _signature(file)  # before it is read: what is written meanwhile is seen by the next look
        self._unread = False  # the file, as it is now, could not be read
        self._recipients = read_recipients(file)
        self._key = choose_recipient(file, self._recipients, now=now())
        self._seal = sealed(self._key)
        self._trouble: str | None = None

    def __call__(self, field: PrivateField, value: str, *, booking: BookingKey, private: bool) -> str | None:
        """See `Privacy`."""
        self.look()
        return self._seal(field, value, booking=booking, private=private)

    @property
    def kid(self) -> str:
        """The name of the key for which is sealed now."""
        return name_of(self._key)

    @property
    def trouble(self) -> str | None:
        """Why the file's key is not used, with what to do about it; None while it is."""
        return self._trouble

    def look(self) -> None:
        """Take the file's key if it is another one, unless the last look was a moment ago."""
        if self._monotonic() < self._look_at or not self._looking.acquire(blocking=False):
            return
        try:
            self._look_at = self._monotonic() + LOOK_EVERY_S
            self._take()
        except UnusableKey as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.error(
                    "privacy.key_unusable",
                    file=str(self.file),
                    why=error.why,
                    mend=error.mend,
                    still=self.kid,
                )
        finally:
            self._looking.release()

    def _take(self) -> None:
        seen = _signature(self.file)
        if seen is None or seen != self._seen or self._unread:
            self._unread = True
            self._recipients = read_recipients(self.file)
            self._seen, self._unread = seen, False
        key = choose_recipient(self.file, self._recipients, now=self._now())
        if (key.thumbprint(), name_of(key)) != (self._key.thumbprint(), self.kid):
            log.info("privacy.key_changed", file=str(self.file), kid=name_of(key), before=self.kid)
            self._key, self._seal = key, sealed(key)
        elif self._trouble is not None:
            log.info("privacy.key_usable", file=str(self.file), kid=self.kid)
        self._trouble = None


def _signature(file: Path) -> tuple[int, ...] | None:
    try:
        seen = file.stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def trouble(privacy: Privacy) -> str | None:
    """What a person must do lest fields go on being sealed for an old key; looks at the file if it is due."""
    if not isinstance(privacy, Rotating):
        return None
    privacy.look()
    return privacy.trouble


# ── the key's file ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A public key that may be sealed for; times are seconds since 1970, as its owner wrote them."""

    key: ECKey
    issued_at: float | None = None  # `iat`
    not_before: float | None = None  # `nbf`
    expires_at: float | None = None  # `exp`


def choose_recipient(file: Path, recipients: Sequence[Recipient], *, now: float) -> ECKey:
    """The one to seal for at `now`, in seconds since 1970: the one issued last of those whose time it is.

    The last in the file where they do not say. Never more than one: a set is how a reader publishes the key
    it had, the key it has and the next one, and no word that there are several readers.
    """
    timely = [
        each
        for each in recipients
        if (each.not_before is None or each.not_before <= now)
        and (each.expires_at is None or now < each.expires_at)
    ]
    if not timely:
        early = any(each.not_before is not None and now < each.not_before for each in recipients)
        raise UnusableKey(
            file,
            "its key is not to be used yet" if early else "its key has expired",
            "put the key of today there, or see that this clock is right",
        )
    return max(enumerate(timely), key=lambda each: (each[1].issued_at or 0.0, each[0]))[1].key


def read_recipients(file: Path) -> tuple[Recipient, ...]:
    """The public keys in a file, in its order: one, or those of a JWK set that can be used here."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise UnusableKey(
            file, error.strerror or "it cannot be read", "let it exist and be readable by roomd"
        ) from error
    except UnicodeDecodeError:
        raise UnusableKey(file, "this is neither a JWK nor a PEM file") from None
    if not text.startswith("{"):
        return (_recipient(file, text),)
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise UnusableKey(file, "this is no EC key") from None
    if "keys" not in tree:
        return (_recipient(file, tree),)
    return _usable(file, tree["keys"])


def _usable(file: Path, keys: object) -> tuple[Recipient, ...]:
    """Those of a set that can be used; the others in it are for others (RFC 7517, section 5)."""
    members = keys if isinstance(keys, list) else []
    usable: list[Recipient] = []
    refusals: list[UnusableKey] = []
    for each in members:
        try:
            usable.append(_recipient(file, each if isinstance(each, dict) else {}))
        except UnusableKey as error:
            refusals.append(error)
    if any(isinstance(each, dict) and not SECRET_PARTS.isdisjoint(each) for each in members):
        raise UnusableKey(
            file,
            "there is a private key in this set, and whoever reads it can open what is sealed",
            "leave that where it was made, and put the public halves here",
        )
    if not usable and len(refusals) == 1:
        raise refusals[0]
    if not usable:
        raise UnusableKey(file, f"none of the {len(members)} keys in this set can be used")
    return tuple(usable)


def _recipient(file: Path, said: str | Mapping[str, Any]) -> Recipient:
    # The public half of a pair is for no operation by itself: WebCrypto writes `"key_ops": []`
    tree = {} if isinstance(said, str) else {name: said[name] for name in said if name != "key_ops"}
    try:
        # `from None`: the error of a parser may quote the file, and the file may be a private key
        key = ECKey.import_key(said if isinstance(said, str) else tree)
        curve, private = key.curve_name, key.is_private
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
        raise UnusableKey(file, "this is no EC key") from None
    if curve != CURVE:
        raise UnusableKey(file, f"the key is on the curve {curve}")
    if private:
        raise UnusableKey(
            file,
            "this is a private key, and whoever reads it can open what is sealed",
            "leave that where it was made, and put its public half here",
        )
    if key.get("use", "enc") != "enc" or key.get("alg", ALGORITHM) != ALGORITHM:
        raise UnusableKey(file, f"the key is meant for something other than {ALGORITHM}")
    return Recipient(
        key=key,
        issued_at=_seconds(tree.get("iat")),
        not_before=_seconds(tree.get("nbf")),
        expires_at=_seconds(tree.get("exp")),
    )


def _seconds(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
