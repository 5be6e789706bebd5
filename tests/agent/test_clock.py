from datetime import timedelta

from agent.clock import Clock, state
from cloud_link.contract import ClockState


class Watch:
    """Two clocks that a test can set."""

    def __init__(self):
        self.wall_s = 1_800_000_000.0
        self.steady_s = 100.0

    def pass_time(self, seconds: float, *, drift: float = 0.0) -> None:
        self.steady_s += seconds
        self.wall_s += seconds + drift

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.wall_s, steady=lambda: self.steady_s)


def test_time_that_passes_is_no_jump():
    watch = Watch()
    clock = watch.clock()
    watch.pass_time(3600)
    assert clock.jump() is None


def test_a_clock_that_is_set_has_jumped_once():
    watch = Watch()
    clock = watch.clock()
    watch.wall_s -= 7200
    assert clock.jump() == timedelta(hours=-2)
    watch.pass_time(1)
    assert clock.jump() is None


def test_slewing_is_followed_quietly():
    watch = Watch()
    clock = watch.clock()
    for _ in range(100):
        watch.pass_time(60, drift=0.03)
        assert clock.jump() is None


def test_the_kernel_says_whether_its_clock_is_kept():
    assert state() in ClockState
