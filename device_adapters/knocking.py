"""Looks at what answers at an address, and at its keys, without showing it a password."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from agent.core.model import Trust
from device_adapters import trust
from device_adapters.ssh import shown_host_key

CONNECT_WITHIN_S = 3.0  # on a building's own network a device answers at once or not at all
ANSWER_WITHIN_S = 10.0  # TLS and a page, on a codec that is busy with a call
LONGEST_HEAD = 16 * 1024
REALM = re.compile(rb'^www-authenticate:.*realm="[^"\r\n]*(cisco|tandberg)', re.IGNORECASE | re.MULTILINE)

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_STARTING = (502, 503)
_UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


class Sign(Enum):
    """What seems to be there."""

    DEVICE = "device"  # it asks for a password as only a room device does
    UNSURE = "unsure"  # it speaks TLS or SSH, and says nothing by which it could be known
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Knocked:
    """What was seen at an address."""

    sign: Sign
    fingerprint: str | None = None  # of its certificate
    certified: bool = False  # its certificate is to be believed without a pin
    host_key: str | None = None
    why: str = ""  # there is not more to be seen


async def knock(
    host: str, port: int, *, ssh_port: int, contexts: trust.Contexts, ca_file: Path | None
) -> Knocked:
    """Look at what answers there over TLS and SSH; the authority is `ca_file`, or those of this machine.

    CertificateRefused if the authority's file cannot be used.
    """
    believed = contexts.context(Trust(ca_file=ca_file))
    anybody = contexts.context(Trust(unverified=True))
    async with asyncio.TaskGroup() as tasks:
        key = tasks.create_task(
            shown_host_key(host, ssh_port, connect_within_s=CONNECT_WITHIN_S, greet_within_s=ANSWER_WITHIN_S),
            name=f"host key of {host}",
        )
        web = tasks.create_task(_web(host, port, believed, anybody), name=f"certificate of {host}")
    seen, host_key = web.result(), key.result()
    if seen.sign is Sign.NOBODY and host_key is not None:
        seen = replace(seen, sign=Sign.UNSURE)
    return replace(seen, host_key=host_key)


async def _web(host: str, port: int, believed: ssl.SSLContext, anybody: ssl.SSLContext) -> Knocked:
    try:
        try:
            async with _secured(host, port, believed) as line:
                return replace(await _seen(line, host), certified=True)
        except ssl.SSLCertVerificationError:
            async with _secured(host, port, anybody) as line:
                return await _seen(line, host)
    except ssl.SSLError as error:
        return Knocked(sign=Sign.UNSURE, why=f"no TLS: {error.reason or error}")
    except TimeoutError:
        return Knocked(sign=Sign.NOBODY, why="no answer")
    except ConnectionRefusedError:
        return Knocked(sign=Sign.NOBODY, why=f"nobody listens at port {port}")
    except (socket.gaierror, UnicodeError):
        return Knocked(sign=Sign.NOBODY, why="nobody knows this name (DNS)")
    except OSError as error:
        return Knocked(sign=Sign.NOBODY, why=error.strerror or type(error).__name__)


_Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def _secured(host: str, port: int, context: ssl.SSLContext) -> AsyncIterator[_Line]:
    async with asyncio.timeout(CONNECT_WITHIN_S):
        reader, writer = await asyncio.open_connection(host, port, limit=LONGEST_HEAD)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await writer.start_tls(context, server_hostname=host)
            yield reader, writer
    finally:
        writer.transport.abort()


async def _seen(line: _Line, host: str) -> Knocked:
    """What is shown over a line that is secured, and how a password is asked for."""
    shown = line[1].get_extra_info("ssl_object").getpeercert(binary_form=True)
    fingerprint = None if shown is None else trust.fingerprint(shown)
    status, head = await _asked(line, host, "/getxml?location=/Status/SystemUnit", "")
    if status == _UNAUTHORIZED and REALM.search(head):
        return Knocked(sign=Sign.DEVICE, fingerprint=fingerprint)
    if status == _NOT_FOUND:  # its HTTP may be off, and its WebSocket on
        status, _ = await _asked(line, host, "/ws", _UPGRADE)
        if status in {_UNAUTHORIZED, _FORBIDDEN}:
            return Knocked(sign=Sign.DEVICE, fingerprint=fingerprint)
    why = "it is starting" if status in _STARTING else "it does not ask for a password as a room device does"
    return Knocked(sign=Sign.UNSURE, fingerprint=fingerprint, why=why)


async def _asked(line: _Line, host: str, target: str, headers: str) -> tuple[int, bytes]:
    """Status and head of the answer; 0 if it is no HTTP. Nobody's name and no password is in the question."""
    reader, writer = line
    name = f"[{host}]" if ":" in host else host
    question = f"GET {target} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: roomd\r\n{headers}\r\n"
    try:
        writer.write(question.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"^content-length: *(\d{1,5}) *\r$", head, re.IGNORECASE | re.MULTILINE)
        await reader.readexactly(int(length[1]) if length else 0)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
        return 0, b""
    found = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    return (0 if found is None else int(found[1])), head
