"""Where a broker is, who we are to it, and what its topics are made of: values, without the library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

SLUG: Final = "[a-z0-9][a-z0-9-]{0,62}"  # a site, a room or an agent in a topic


class Version(IntEnum):
    """Which MQTT."""

    V311 = 4
    V5 = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the broker is, and who we are to it. Secrets are paths, read at every dial and not kept."""

    url: str  # mqtt, mqtts, ws or wss
    client_id: str
    ca_file: Path | None = None  # None: the system's authorities
    username: str | None = None
    password_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: int = 30
    largest_packet_bytes: int | None = None  # for a broker that has a bound and does not say so (MQTT 3.1.1)
    version: Version = Version.V5
