"""Posts at the door where the clouds call that no cloud has sent: one by one, and by the thousand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import ssl
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import h11

from tests.prove.clouds import Clouds, Room, Service

AT_ONCE: Final = 8  # lines over which a flood comes
ANSWERED_WITHIN_S: Final = 30.0
CHUNK: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A request at the door."""

    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def forge(clouds: Clouds, room: Room, luck: random.Random) -> Post:
    """One that looks like a cloud's, of this room, by somebody who knows everything but the secret."""
    if room.service is Service.GOOGLE:
        known = [each for each in clouds.google.channels.values() if each.calendar == room.address]
        channel = luck.choice(known).id if known and luck.random() < 0.7 else secrets.token_hex(16)
        token = luck.choice(("", "x", secrets.token_urlsafe(32)))
        return Post(
            target="/hooks/google",
            headers=(
                ("X-Goog-Channel-ID", channel),
                *((("X-Goog-Channel-Token", token),) if token else ()),
                ("X-Goog-Resource-ID", "r"),
                ("X-Goog-Resource-URI", "https://www.googleapis.com/calendar/v3/calendars/x/events"),
                ("X-Goog-Resource-State", luck.choice(("exists", "sync", "not_exists"))),
                ("X-Goog-Message-Number", str(luck.randrange(1, 1 << 40))),
            ),
        )
    known_too = [
        each.body["id"] for each in clouds.microsoft.subscriptions.values() if each.address == room.address
    ]
    id_ = luck.choice(known_too) if known_too and luck.random() < 0.7 else str(uuid4())
    state = luck.choice((None, "", "x" * 128, secrets.token_urlsafe(48)))
    said: dict[str, object] = {
        "subscriptionId": id_,
        "clientState": state,
        "changeType": luck.choice(("created", "deleted", "updated")),
        "resource": f"Users/x/Events/{uuid4()}",
        "tenantId": clouds.microsoft.tenant,
        "resourceData": {"@odata.type": "#Microsoft.Graph.Event", "id": "AAMk"},
        "subscriptionExpirationDateTime": "2026-12-01T00:00:00Z",
    }
    if luck.random() < 0.2:
        said["lifecycleEvent"] = luck.choice(("subscriptionRemoved", "missed", "reauthorizationRequired"))
    body = luck.choice(
        (
            json.dumps({"value": [said] * luck.choice((1, 1, 50))}).encode(),
            json.dumps({"value": said}).encode(),
            b'{"value": [',
            b"\xff" * 200,
        )
    )
    return Post(target="/hooks/microsoft", headers=(("Content-Type", "application/json"),), body=body)


async def flood(clouds: Clouds, luck: random.Random, count: int) -> dict[int, int]:
    """So many forged posts as fast as they are answered; how often each status came, 0 for none."""
    context = ssl.create_default_context(cadata=clouds.authority.cert_pem.bytes().decode())
    posts = [forge(clouds, luck.choice(clouds.rooms), luck) for _ in range(count)]
    came: dict[int, int] = {}
    async with asyncio.TaskGroup() as lines:
        for number in range(AT_ONCE):
            lines.create_task(
                _send(clouds.door_port, context, posts[number::AT_ONCE], came), name=f"flood {number}"
            )
    return came


async def _send(port: int, context: ssl.SSLContext, posts: list[Post], came: dict[int, int]) -> None:
    left = list(reversed(posts))
    while left:
        before = len(left)
        with contextlib.suppress(OSError, EOFError, TimeoutError, h11.RemoteProtocolError):
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
            try:
                await _converse(reader, writer, left, came)
            finally:
                writer.close()
        if len(left) == before:
            left.pop()
            came[0] = came.get(0, 0) + 1


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: list[Post], came: dict[int, int]
) -> None:
    """Over one line until it is closed."""
    http = h11.Connection(h11.CLIENT)
    while left:
        post = left[-1]
        headers = [("Host", "localhost"), ("Content-Length", str(len(post.body))), *post.headers]
        parts = [
            http.send(h11.Request(method="POST", target=post.target, headers=headers)),
            http.send(h11.Data(data=post.body)) if post.body else b"",
            http.send(h11.EndOfMessage()),
        ]
        writer.write(b"".join(part or b"" for part in parts))
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            status = await _answer(http, reader)
        came[status] = came.get(status, 0) + 1
        left.pop()
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            return
        http.start_next_cycle()


async def _answer(http: h11.Connection, reader: asyncio.StreamReader) -> int:
    status = 0
    while True:
        happening = http.next_event()
        if happening is h11.NEED_DATA:
            data = await reader.read(CHUNK)
            http.receive_data(data)
            if not data and not status:
                raise EOFError
        elif isinstance(happening, h11.Response):
            status = happening.status_code
        elif isinstance(happening, h11.EndOfMessage | h11.ConnectionClosed):
            return status
