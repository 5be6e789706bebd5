"""What a restart must know of the calendars: lost consent, standing subscriptions, links found by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from sqlite3 import Connection
from typing import Final

from agent.core.model import RoomId
from cloud_link import rows
from cloud_link.calendars.integration import Service

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """An integration that is off until an administrator consents again."""

    why: str  # in words
    at: datetime
    access: bytes = field(repr=False)  # digest of the credential and settings that were refused


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWatch:
    """A subscription or channel; `body` is its client's own, and has its secret in it."""

    id: str
    address: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """All of it, as it was read at the start."""

    revoked: Mapping[Service, Revocation] = field(default_factory=dict)
    links: Mapping[Service, Mapping[RoomId, str]] = field(default_factory=dict)  # addresses, found by name
    watches: Mapping[Service, tuple[KeptWatch, ...]] = field(default_factory=dict)


def begin(tx: Connection, directories: Mapping[Service, str]) -> Kept:
    """All that is kept of the services that there are now, with whose list of rooms each has.

    What was found in another's list, and the subscriptions of a service that is no longer configured, go.
    """
    for service in Service:
        if service not in directories:
            forget_watches(tx, service)
        tx.execute(
            "DELETE FROM calendar_links WHERE service = ? AND directory IS NOT ?",
            (service, directories.get(service)),
        )
    return read(tx)


def read(tx: Connection) -> Kept:
    """All that is kept, of every service."""
    gone = {service: revoked(tx, service) for service in Service}
    return Kept(
        revoked={service: each for service, each in gone.items() if each is not None},
        links={service: links(tx, service) for service in Service},
        watches={service: tuple(watches(tx, service)) for service in Service},
    )


# ── consent ───────────────────────────────────────────────────────────────────────────────────────


def revoked(tx: Connection, service: Service) -> Revocation | None:
    """Since when and why an integration is off; None if it is not."""
    row = tx.execute(
        "SELECT why, access, revoked_ms FROM calendar_revocations WHERE service = ?", (service,)
    ).fetchone()
    if row is None:
        return None
    why, access, revoked_ms = row
    return Revocation(why=why, at=EPOCH + timedelta(milliseconds=revoked_ms), access=access)


def keep_revoked(tx: Connection, service: Service, revocation: Revocation) -> None:
    """It is off from now on, also after a restart; what is known of its subscriptions goes."""
    tx.execute(
        "INSERT OR REPLACE INTO calendar_revocations (service, why, access, revoked_ms) VALUES (?, ?, ?, ?)",
        (
            service,
            revocation.why,
            revocation.access,
            (revocation.at - EPOCH) // timedelta(milliseconds=1),
        ),
    )
    forget_watches(tx, service)


def forget_revoked(tx: Connection, service: Service) -> None:
    """Somebody consented again."""
    tx.execute("DELETE FROM calendar_revocations WHERE service = ?", (service,))


# ── subscriptions ─────────────────────────────────────────────────────────────────────────────────


def watches(tx: Connection, service: Service) -> list[KeptWatch]:
    """All that may stand, by id."""
    found = tx.execute(
        "SELECT id, address, body FROM calendar_watches WHERE service = ? ORDER BY id", (service,)
    )
    return [KeptWatch(id=id_, address=address, body=body) for id_, address, body in found]


def keep_watch(tx: Connection, service: Service, watch: KeptWatch) -> None:
    """A new one, or one of which more is known."""
    tx.execute(
        "INSERT OR REPLACE INTO calendar_watches (id, service, address, body) VALUES (?, ?, ?, ?)",
        (watch.id, service, watch.address, watch.body),
    )


def forget_watch(tx: Connection, id_: str) -> None:
    """It does not stand any more."""
    tx.execute("DELETE FROM calendar_watches WHERE id = ?", (id_,))


def forget_watches(tx: Connection, service: Service) -> None:
    """None of a service stands any more."""
    tx.execute("DELETE FROM calendar_watches WHERE service = ?", (service,))


# ── links ─────────────────────────────────────────────────────────────────────────────────────────


def links(tx: Connection, service: Service) -> dict[RoomId, str]:
    """Addresses that were found by name."""
    found = tx.execute("SELECT room, address FROM calendar_links WHERE service = ? ORDER BY room", (service,))
    return {RoomId(room): address for room, address in found}


def keep_links(tx: Connection, service: Service, addresses: Mapping[RoomId, str], *, directory: str) -> None:
    """These and no others, as they were found in this list of rooms."""
    tx.execute("DELETE FROM calendar_links WHERE service = ?", (service,))
    rows.write(
        tx,
        "INSERT INTO calendar_links (service, room, address, directory) VALUES",
        [(service, room, address, directory) for room, address in addresses.items()],
    )
