"""Keeps each room's state as a row, in the transaction that keeps its facts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from sqlite3 import Connection

import msgspec
import structlog

from agent.core.model import Room, RoomId
from cloud_link.rows import write

log = structlog.get_logger()

# In JSON no text has a bare quotation mark in it, so that nothing but the field itself looks like this.
_ORGANIZER = re.compile(rb'"(organizer|organizer_address)":"(?:[^"\\]|\\.)*"')
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Room).decode


def save(tx: Connection, rooms: Iterable[Room]) -> None:
    """Write each room's state over its last one, within the caller's transaction.

    Organizers are left out: who called a meeting is on no disk but as it leaves.
    """
    write(
        tx,
        "INSERT INTO snapshot (room, body) VALUES",
        [(room.id, body_of(room)) for room in rooms],
        "ON CONFLICT (room) DO UPDATE SET body = excluded.body",
    )


def body_of(room: Room) -> bytes:
    """What is kept of a room, as JSON."""
    body = _encode(room)
    if b'"organizer":"' in body or b'"organizer_address":"' in body:  # looked for first: most have none
        return _ORGANIZER.sub(rb'"\1":null', body)
    return body


def read_body(body: bytes) -> Room:
    """The room of which this was kept; msgspec.MsgspecError if it cannot be read."""
    return _decode(body)


def load(tx: Connection) -> dict[RoomId, Room]:
    """Every room's last state. One that cannot be read is left out: its devices will tell it anew."""
    rooms: dict[RoomId, Room] = {}
    for name, body in tx.execute("SELECT room, body FROM snapshot WHERE body <> x'' ORDER BY room"):
        try:
            rooms[RoomId(name)] = read_body(body)
        except msgspec.MsgspecError as error:
            log.error("room.forgotten", room=name, why=str(error), mend="its devices are asked anew")
    return rooms


def leave(tx: Connection, keep: Iterable[RoomId]) -> tuple[RoomId, ...]:
    """Forget the rooms that are configured no more, but for their names, which are returned.

    The names stay until `forget`: the broker still retains what was shown of them.
    """
    kept = set(keep)
    gone = tuple(RoomId(name) for (name,) in tx.execute("SELECT room FROM snapshot") if name not in kept)
    tx.executemany("UPDATE snapshot SET body = x'' WHERE room = ?", [(name,) for name in gone])
    return gone


def forget(tx: Connection, rooms: Iterable[RoomId]) -> None:
    """Delete the names of rooms that were left, and of which nothing is retained any more."""
    tx.executemany("DELETE FROM snapshot WHERE room = ? AND body = x''", [(name,) for name in rooms])
