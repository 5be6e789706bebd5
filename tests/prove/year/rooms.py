"""The rooms of the year: how many seats, which devices, and what is wrong with what they see."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

ROOMS: Final = 50
BARE: Final = 46  # has no device of Cisco's


class Third(StrEnum):
    """A sensor in the room that is not Cisco's."""

    MOTION = "motion"  # sees who moves; who sits still is nobody to it for minutes
    RADAR = "radar"  # sees who breathes
    COUNTER = "counter"  # counts who passes the door, and miscounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Eye:
    """A device of the room, and what it can see."""

    tells_use: bool = True  # has `RoomInUse` (RoomOS 11 and newer)
    ultrasound: bool = False  # off by default since 11.14
    counts_out_of_call: bool = True  # `PeopleCountOutOfCall On`
    wakes_on_motion: bool = True
    dozes: bool = False  # senses presence in standby as well
    never_sleeps: bool = False
    shuttered: bool = False  # its lid is closed for good
    posters: int = 0  # pictures of people in its view
    dims: bool = False  # it does not see the posters when the lights are out
    misses: float = 0.05  # the share of heads in its view that it does not see
    glass: float = 0.0  # people an hour who pass behind a glass wall, and are seen
    outages: float = 1.0  # a month: it cannot be reached, and goes on by itself
    reboots: float = 1.0  # a month


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """One room."""

    name: str
    number: int
    seats: int
    eyes: tuple[Eye, ...]
    corner: float = 0.01  # the share of meetings that sit where no camera sees them
    forsaken: float = 0.2  # the share of bookings that nobody comes to
    busy: float = 5.0  # bookings on a working day
    linked: bool = False  # roomd reads its Microsoft 365 calendar, and may write in it
    third: Third | None = None
    third_dies: float = 0.3  # times a year: its battery, for days

    @property
    def faults(self) -> int:
        """How many things are wrong with it from the first day to the last."""
        eyes = sum(
            bool(eye.posters) + eye.shuttered + (eye.glass > 0) + (not eye.counts_out_of_call)
            for eye in self.eyes
        )
        return eyes + (self.corner > 0.05)


def furnished(seed: int, number: int) -> Traits:
    """A room by its number; the same for the same seed."""
    luck = Random(f"{seed}/room/{number}")
    kind = number % 25  # what is rare is in each half of the rooms once or twice, not by luck
    eye = Eye(
        tells_use=luck.random() < 0.7,
        ultrasound=luck.random() < 0.4,
        counts_out_of_call=luck.random() < 0.8,
        wakes_on_motion=luck.random() < 0.6,
        dozes=luck.random() < 0.35,
        never_sleeps=kind in {3, 4},
        shuttered=kind == 5,
        posters={1: 1, 3: 2}.get(kind, 0),  # the second is in front of a device that never sleeps
        dims=number == 1,
        misses=luck.choice((0.02, 0.05, 0.1)),
        glass=4.0 if kind in {7, 8} else 0.0,
        outages=20.0 if kind == 11 else luck.choice((0.5, 1.0, 3.0)),
        reboots=luck.choice((0.5, 1.0, 2.0)),
    )
    eyes: tuple[Eye, ...] = (eye,)
    if kind in {12, 13, 14, 15}:
        eyes += (
            Eye(
                tells_use=eye.tells_use,
                counts_out_of_call=luck.random() < 0.5,
                wakes_on_motion=luck.random() < 0.6,
                misses=luck.choice((0.05, 0.3)),
                outages=luck.choice((1.0, 6.0)),
                posters=1 if kind == 15 else 0,
            ),
        )
    if number == BARE:
        eyes = ()
    return Traits(
        name=f"room-{number:02d}",
        number=number,
        seats=luck.choice((4, 4, 6, 8, 8, 12, 20)),
        eyes=eyes,
        corner=0.12 if kind in {9, 10, 16, 17} else 0.01,
        forsaken=luck.uniform(0.12, 0.3),
        busy=luck.uniform(3.0, 6.5),
        linked=kind in {20, 21},
        third={
            2: Third.MOTION,
            5: Third.RADAR,
            9: Third.MOTION,
            18: Third.RADAR,
            19: Third.COUNTER,
            21: Third.RADAR,
        }.get(kind),
    )
