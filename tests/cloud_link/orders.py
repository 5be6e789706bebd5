"""Commands as the cloud gives them, for the tests of their way."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from agent.core.model import AgentId, RoomId, SiteId
from cloud_link import inbox, outbox
from cloud_link.commands import Command, Refused, Rules, judge
from cloud_link.database import Connection
from cloud_link.envelope import Site
from cloud_link.outbox import Posted

SITE = Site(site=SiteId("oslo"), agent=AgentId("a1"))
BASE = SITE.base
FJORD, LAKE = RoomId("fjord"), RoomId("lake")
RULES = Rules(site=SITE, rooms=frozenset({FJORD, LAKE}))
ANSWERS_OF_FJORD = "rooms/fjord/responses"
RESPONSES = f"{BASE}/{ANSWERS_OF_FJORD}"
NOW = datetime.now(UTC).replace(microsecond=0)  # long ago, by the time that the last test has its turn
ALL_DAY = 24 * 60.0  # minutes: good for however long the tests take


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """As `broker.Incoming`."""

    topic: str = f"{BASE}/rooms/fjord/commands/hold.place"
    payload: bytes
    retained: bool = False
    response_topic: str | None = None
    correlation_data: bytes | None = None
    expiry_s: int | None = None


def at(minutes: float) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat()


def said(id_: str = "c1", *, minutes: float = 5, **arguments: object) -> dict[str, object]:
    hold = {"hold_id": "h1", "text": "Kari is on her way", "duration_s": 900}
    return {
        "command_id": id_,
        "expires_at": at(minutes),
        "requested_by": "concierge",
        "arguments": arguments or hold,
    }


def payload(id_: str = "c1", *, minutes: float = 5, **arguments: object) -> bytes:
    return json.dumps(said(id_, minutes=minutes, **arguments)).encode()


def lasting(id_: str = "c1") -> bytes:
    """For who goes by the real clock, which `NOW` is behind."""
    return payload(id_, minutes=ALL_DAY)


def judged(arrival: Arrival, *, minutes: float = 0) -> Command | Refused:
    return judge(arrival, now=NOW + timedelta(minutes=minutes), rules=RULES)


def command(id_: str = "c1", **more: object) -> Command:
    verdict = judged(replace(Arrival(payload=payload(id_)), **more))  # type: ignore[arg-type]
    assert isinstance(verdict, Command), verdict
    return verdict


def refusal(id_: str = "c1") -> Refused:
    verdict = judged(Arrival(payload=payload(id_, nonsense=True), correlation_data=b"7"))
    assert isinstance(verdict, Refused)
    return verdict


def franked(tx: Connection, stream: str) -> list[Posted]:
    return inbox.franked(tx, outbox.pending(tx, stream, after=0, limit=1000))
