"""Examines the broker: whether it lets us in, what it grants, and whether it keeps what the cloud reads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from agent.certificates import flaws, read, shown_at
from agent.core.model import RoomId
from agent.door_checks import examine_own_certificate
from agent.findings import Finding, Visit
from agent.line_words import AUTHORITY, NAME_SERVERS, in_words, mend_of
from agent.names import is_name, look_up
from cloud_link import broker
from cloud_link.address import Version
from cloud_link.broker import PORTS, BrokerError, Connection
from cloud_link.delivery import Ending, judge_ending
from cloud_link.envelope import Site, agent_stream, answers_of, room_stream

BROKER_WITHIN_S: Final = 10.0
GRANTS_WITHIN_S: Final = 5.0
CERTIFICATE_WITHIN_S: Final = 5.0
FEW_IN_FLIGHT: Final = 10  # of which each is another room's
REFUSED_FROM: Final = 0x80  # MQTT's reason codes: a refusal
NOT_AUTHORIZED: Final = 0x87
USUAL_BYTES: Final = 64 * 1024  # a room's state with two full days and joins has some ten kilobytes
SECURED: Final = frozenset({"mqtts", "wss"})
NOBODYS_ROOM: Final = RoomId("roomd-doctor")  # should a broker show it to somebody after all, it is no room
EXACTLY_ONCE: Final = 2  # QoS


async def examine_broker(visit: Visit) -> None:
    """By the running daemon's word where it is connected, else by connecting for a moment."""
    ours = visit.configuration.broker
    examine_own_certificate(visit, "certificate for the broker", ours.certificate_file, ours.key_file)
    url = visit.configuration.broker.url
    said = None if visit.picture is None else visit.picture["broker"]
    if said is not None and said["connected"]:
        if said["deaf_why"]:
            mend = "grant roomd the right to subscribe to its commands' topics"
            seen = f"connected, and brings no commands: {said['deaf_why']}"
            visit.wrong(url, seen, mend, code=os.EX_NOPERM)
        if said["why"]:
            mend = "grant roomd the right to publish below its base, and look at the broker's log"
            visit.wrong(url, f"connected, and takes nothing: {said['why']}", mend, code=os.EX_NOPERM)
        if said["deaf_why"] or said["why"]:
            await _from_here(visit)  # which names the topics
        else:
            await _certificate(visit)
            visit.ok(url, "roomd is connected")
        return
    troubles: list[Finding] = []
    await _from_here(visit.noting(troubles))
    if said is not None and not troubles:  # else what was seen from here is why
        why = in_words(str(said["why"] or "it is being dialled"))
        visit.wrong(url, f"roomd is not connected: {why}", "see the log of roomd; nothing is lost meanwhile")


async def _from_here(visit: Visit) -> None:
    url = visit.configuration.broker.url
    host = urlsplit(url).hostname or ""
    if is_name(host):
        await look_up([host], visit.names, so_far=visit.so_far)
        if not isinstance(visit.names[host], frozenset):
            visit.wrong(url, "not dialled: no address is known for its name", NAME_SERVERS)
            return
    await _certificate(visit)
    await _try(visit)


# ── TLS ───────────────────────────────────────────────────────────────────────────────────────────


async def _certificate(visit: Visit) -> None:
    """What the broker shows to anybody who connects, before any log-in."""
    address = visit.configuration.broker
    parts = urlsplit(address.url)
    if parts.scheme not in SECURED or parts.hostname is None:
        seen = f"{parts.scheme}:// is not encrypted: the password and all that is told can be read on its way"
        if not _at_home(parts.hostname):
            visit.advise("encryption", seen, "use mqtts:// or wss://, unless the way is guarded otherwise")
        return
    port = parts.port or PORTS[parts.scheme]
    shown = await shown_at(parts.hostname, port, within_s=CERTIFICATE_WITHIN_S)
    certificate = None if shown is None else read(shown.der)
    if shown is None or certificate is None:
        return  # what connects says why
    what, good = "certificate of the broker", True
    for flaw in flaws(certificate, now=visit.now(), pinned=False):
        good = False
        if flaw.over:
            visit.wrong(what, flaw.seen, flaw.mend, code=os.EX_CONFIG)
        else:
            visit.advise(what, flaw.seen, flaw.mend)
    if good:
        visit.ok(what, f"lasts until {certificate.not_valid_after_utc:%Y-%m-%d}; {_spaced(shown.version)}")


def _at_home(host: str | None) -> bool:
    return host is not None and (host in {"localhost", "::1"} or host.startswith("127."))


def _spaced(version: str) -> str:
    return version.replace("TLSv", "TLS ")


# ── connecting ────────────────────────────────────────────────────────────────────────────────────


async def _try(visit: Visit) -> None:
    """Connect for a moment under another client id, so as not to throw a daemon out that runs elsewhere."""
    address = visit.configuration.broker
    own = replace(address, client_id=f"{address.client_id}-doctor"[:200])
    for version in (Version.V5, Version.V311):
        try:
            async with broker.connect(
                replace(own, version=version), within_s=BROKER_WITHIN_S, lasting=False
            ) as connection:
                await _look_around(visit, connection)
                await connection.disconnect()
        except BrokerError as error:
            older = error.lost.unfit or judge_ending(error.lost.code) is Ending.OLDER
            if older and version is Version.V5:
                continue
            _refused(visit, error)
        return


def _refused(visit: Visit, error: BrokerError) -> None:
    url, lost = visit.configuration.broker.url, error.lost
    why, mend = in_words(lost.why.removeprefix("CONNACK: ")), mend_of(lost.why)
    ca_file = visit.configuration.broker.ca_file
    if mend == AUTHORITY and ca_file is not None:
        mend = f"put the authority that issued the broker's certificate into {ca_file}: another is in it"
    elif mend == AUTHORITY:
        mend = (
            f"put the file of who issued it (PEM) into {visit.configuration.file.parent}, and name it "
            'below [mqtt]: ca_file = "broker-ca.pem"'
        )
    if lost.person:
        visit.wrong(url, why, mend or "mend [mqtt] in the configuration, or the file", code=os.EX_CONFIG)
    elif lost.code is not None and judge_ending(lost.code) is Ending.REFUSED:
        visit.wrong(
            url,
            f"the broker turned us away: {why}",
            "mend username and password_file. If the broker knows its clients by their ids, this says "
            "nothing of roomd's own: start it and look again",
            code=os.EX_NOPERM,
        )
    elif lost.server_reference:
        mend = f"write {lost.server_reference} into mqtt.url if that is meant"
        visit.wrong(url, f"the broker sends us to {lost.server_reference}: {why}", mend)
    else:
        mend = mend or (
            "check mqtt.url, the way to the broker, whether its port speaks TLS (mqtts, wss), and whether it "
            "wants a certificate of ours (certificate_file)"
        )
        visit.wrong(url, why, mend)


# ── inside ────────────────────────────────────────────────────────────────────────────────────────


async def _look_around(visit: Visit, connection: Connection) -> None:
    url, welcome = visit.configuration.broker.url, connection.welcome
    spoken = "MQTT 5" if welcome.version is Version.V5 else "MQTT 3.1.1"
    visit.ok(url, f"let us in, speaks {spoken}, takes {welcome.receive_maximum} messages in flight")
    if welcome.version is not Version.V5:
        seen = "the broker speaks MQTT 3.1.1 only, in which it cannot say what it refuses"
        visit.advise("protocol", seen, "take a broker that speaks MQTT 5, if you can choose")
    if welcome.receive_maximum < min(FEW_IN_FLIGHT, visit.configuration.window):
        seen = f"the broker takes {welcome.receive_maximum} at once: a backlog of many rooms takes long"
        mend = f"raise its Receive Maximum to {visit.configuration.window}, which roomd would use"
        visit.advise("messages in flight", seen, mend)
    if not welcome.retain_available:
        mend = "switch retained messages on: the cloud reads the latest state from them"
        visit.wrong("retained messages", "the broker keeps none", mend, code=os.EX_CONFIG)
    largest = welcome.maximum_packet_size
    if largest is not None and largest < USUAL_BYTES:
        seen = f"the broker takes {largest} bytes at most: the state of a busy room may be longer"
        visit.advise("largest packet", seen, f"raise it to {USUAL_BYTES} bytes or more")
    await _commands(visit, connection)
    await _publishing(visit, connection)


async def _commands(visit: Visit, connection: Connection) -> None:
    filters = visit.configuration.site.commands
    try:
        async with asyncio.timeout(GRANTS_WITHIN_S):
            codes = await connection.subscribe(filters)
    except TimeoutError:
        visit.advise("commands", "the broker did not answer a subscription", "look at its log")
        return
    refused = [each for each, code in zip(filters, codes, strict=False) if code >= REFUSED_FROM]
    if refused:
        mend = "grant the user the right to subscribe to them, and to publish below the same base"
        visit.wrong("commands", f"the broker refuses {', '.join(refused)}", mend, code=os.EX_NOPERM)
    else:
        visit.ok("commands", "may be subscribed to")


def topics(site: Site) -> Iterator[str]:
    """One of each kind that roomd publishes to: of the agent, and of a room that is none."""
    yield site.status
    yield site.health
    yield site.agent_events("outbox")
    yield site.responses(answers_of(agent_stream(site.agent)))
    yield site.availability(NOBODYS_ROOM)
    yield site.state(NOBODYS_ROOM)
    yield site.room_events(NOBODYS_ROOM, "booking")
    yield site.responses(answers_of(room_stream(NOBODYS_ROOM)))


async def _publishing(visit: Visit, connection: Connection) -> None:
    """Announce a message to each kind of topic, and never release it: what is refused is refused then."""
    welcome, what = connection.welcome, "publishing"
    site = visit.configuration.site
    asked = tuple(topics(site))
    if welcome.version is not Version.V5 or welcome.maximum_qos < EXACTLY_ONCE:
        visit.ok(
            what, "not tried, as this broker cannot be asked without a trace; roomd says what is refused"
        )
        return
    refused: dict[str, int] = {}
    try:
        async with asyncio.timeout(GRANTS_WITHIN_S):
            for topic in asked[: welcome.receive_maximum]:
                code = await connection.announce(topic)
                if code >= REFUSED_FROM:
                    refused[topic.replace(f"/{NOBODYS_ROOM}/", "/+/")] = code
    except TimeoutError:
        visit.advise(what, "the broker did not answer what was announced", "look at its log")
        return
    except BrokerError:  # some break the line at what they do not take
        visit.advise(what, "the broker broke the line when it was asked", "see what roomd says once it runs")
        return
    denied = [topic for topic, code in refused.items() if code == NOT_AUTHORIZED]
    if denied:
        mend = f"grant the user the right to publish to {site.base}/#"
        visit.wrong(what, f"the broker refuses {', '.join(denied)}", mend, code=os.EX_NOPERM)
    others = {topic: code for topic, code in refused.items() if code != NOT_AUTHORIZED}
    if others:
        said = ", ".join(f"{topic} (0x{code:02x})" for topic, code in others.items())
        visit.wrong(what, f"the broker does not take {said}", "look at the broker's log and limits")
    if not refused:
        visit.ok(what, "may be done to all topics")
