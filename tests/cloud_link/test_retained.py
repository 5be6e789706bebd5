"""The latest wish for each topic."""

from hypothesis import given
from hypothesis import strategies as st

from cloud_link.retained import Retained

ROOM = "roomd/v1/oslo/rooms/fjord/state"


class Painter:
    """Counts how often it was asked for a picture."""

    def __init__(self) -> None:
        self.value = 0
        self.asked = 0

    def picture(self) -> bytes:
        self.asked += 1
        return str(self.value).encode()


def test_the_first_wish_goes_at_once_and_a_flood_once_per_interval():
    painter, retained = Painter(), Retained(least_interval_s=5.0, wake=lambda: None)
    sent: list[tuple[float, bytes]] = []
    for tick in range(1001):
        now_s, painter.value = tick / 100, tick
        retained.show(ROOM, painter.picture)
        shown = retained.take(now_s)
        if shown is not None:
            sent.append((now_s, shown.payload))
            retained.acknowledged(shown.topic)
    assert sent == [(0.0, b"0"), (5.0, b"500"), (10.0, b"1000")]
    assert painter.asked == 3


def test_a_wish_made_while_the_last_is_under_way_is_not_lost():
    painter, retained = Painter(), Retained(least_interval_s=5.0, wake=lambda: None)
    retained.show(ROOM, painter.picture)
    retained.take(0.0)
    painter.value = 1
    retained.show(ROOM, painter.picture)
    assert retained.take(100.0) is None
    retained.acknowledged(ROOM)
    shown = retained.take(5.0)
    assert shown is not None
    assert shown.payload == b"1"


def test_everything_is_published_anew_on_every_connection():
    painter, retained = Painter(), Retained(wake=lambda: None)
    for number in range(300):
        retained.show(f"{number}", painter.picture)
    for _ in range(3):
        retained.begin()
        topics = set()
        while (shown := retained.take(0.0)) is not None:
            topics.add(shown.topic)
        assert len(topics) == 300  # though no acknowledgement ever came
    assert len(retained) == 300


def test_a_refused_one_comes_again_later():
    painter, retained = Painter(), Retained(wake=lambda: None)
    retained.show(ROOM, painter.picture)
    retained.take(0.0)
    retained.refused(ROOM, not_before_s=60.0)
    assert retained.take(59.0) is None
    assert retained.take(60.0) is not None


def test_a_forgotten_topic_is_emptied_and_then_gone():
    painter, retained = Painter(), Retained(wake=lambda: None)
    retained.show(ROOM, painter.picture)
    retained.take(0.0)
    retained.acknowledged(ROOM)
    retained.forget(ROOM)
    shown = retained.take(5.0)
    assert shown is not None
    assert shown.payload == b""
    retained.acknowledged(ROOM)
    assert len(retained) == 0


@given(steps=st.lists(st.tuples(st.sampled_from("wtark"), st.integers(0, 2)), max_size=80))
def test_the_last_wish_is_always_shown_in_the_end(steps: list[tuple[str, int]]):
    wished: dict[str, int] = {}
    shown_last: dict[str, bytes] = {}
    retained, now_s = Retained(least_interval_s=5.0, wake=lambda: None), 0.0
    under_way: dict[str, bytes] = {}

    def take() -> bool:
        shown = retained.take(now_s)
        if shown is not None:
            assert shown.topic not in under_way
            under_way[shown.topic] = shown.payload
        return shown is not None

    def acknowledge() -> None:
        for topic, payload in under_way.items():
            shown_last[topic] = payload
            retained.acknowledged(topic)
        under_way.clear()

    for number, (step, which) in enumerate(steps):
        now_s += 1.0
        topic = str(which)
        match step:
            case "w":
                wished[topic] = number
                retained.show(topic, lambda topic=topic: str(wished[topic]).encode())  # type: ignore[misc]
            case "t":
                take()
            case "a":
                acknowledge()
            case "r":
                for one in under_way:
                    retained.refused(one, not_before_s=now_s + 2.0)
                under_way.clear()
            case _:
                retained.begin()
                under_way.clear()
    for _ in range(10):
        now_s += 10.0
        while take():
            pass
        acknowledge()
    assert shown_last == {topic: str(number).encode() for topic, number in wished.items()}
