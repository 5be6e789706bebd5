"""The tap reads from bytes alone what was published and acknowledged."""

from tests.bench.tap import Connection, Told

ROOM = b"roomd/v1/demo/rooms/fjord/events/occupancy"
CONNECT_5 = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00"
CONNECT_311 = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"


def publish(packet: int, people: int, *, topic: bytes = ROOM, properties: bytes = b"\x00") -> bytes:
    payload = b'{"data":{"people":%d,"previous":{"people":9}}}' % people
    body = len(topic).to_bytes(2, "big") + topic + packet.to_bytes(2, "big") + properties + payload
    return bytes((0x32, len(body))) + body


def puback(packet: int, *more: int) -> bytes:
    return bytes((0x40, 2 + len(more))) + packet.to_bytes(2, "big") + bytes(more)


def hear(connection: Connection, *said: tuple[float, str, bytes]) -> tuple[list[Told], int]:
    for at, way, data in said:
        track = connection.up if way == "up" else connection.down
        track.times.append(at)
        track.chunks.append(data)
    return connection.told()


def test_a_count_is_told_when_its_puback_comes():
    told, refused = hear(
        Connection(),
        (0, "up", CONNECT_5),
        (1, "up", publish(7, 3, properties=b"\x02\x01\x01")),
        (2, "down", puback(7)),
    )
    assert told == [Told("fjord", 3, 1, 2)]
    assert refused == 0


def test_the_older_protocol_has_no_properties():
    told, _ = hear(
        Connection(), (0, "up", CONNECT_311), (1, "up", publish(7, 3, properties=b"")), (2, "down", puback(7))
    )
    assert told == [Told("fjord", 3, 1, 2)]


def test_a_packet_comes_when_its_last_byte_does():
    whole, connection = publish(1, 5), Connection()
    told, _ = hear(connection, (0, "up", CONNECT_5 + whole[:1]), (1, "up", whole[1:9]))
    assert told == []
    told, _ = hear(connection, (2, "up", whole[9:]), (3, "down", puback(1)[:3]), (4, "down", puback(1)[3:]))
    assert told == [Told("fjord", 5, 2, 4)]


def test_packet_numbers_are_used_again():
    told, _ = hear(
        Connection(),
        (0, "up", CONNECT_5 + publish(1, 1)),
        (1, "down", puback(1)),
        (2, "up", publish(1, 2)),
        (3, "down", puback(1)),
    )
    assert [(one.people, one.published_at, one.acknowledged_at) for one in told] == [(1, 0, 1), (2, 2, 3)]


def test_refused_and_other_messages_are_no_counts():
    state = publish(2, 4, topic=b"roomd/v1/demo/rooms/fjord/state")
    told, refused = hear(
        Connection(),
        (0, "up", CONNECT_5 + publish(1, 1) + state),
        (1, "down", puback(1, 0x97, 0) + puback(2)),
    )
    assert told == []
    assert refused == 1
