"""The wall clock beside the steady one: what time it is, whether anybody set it, and when it jumped."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cloud_link.contract import ClockState

JUMP_S = 2.0  # a step, and not the slewing of a time service, which stays far below between two looks
_TIME_ERROR = 5  # adjtimex(2): the kernel's clock is not synchronised


class Clock:
    """Tells the time, and notices when the wall clock jumps against the steady one."""

    def __init__(
        self, *, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()

    def now(self) -> datetime:
        """The wall clock's time, in UTC."""
        return datetime.fromtimestamp(self._wall(), UTC)

    def look(self) -> tuple[datetime, timedelta | None]:
        """The time, and by how much the wall clock jumped before it, if it did."""
        by = self.jump()
        return self.now(), by

    def jump(self) -> timedelta | None:
        """By how much the wall clock jumped since the last look, if it did; drift is followed quietly."""
        offset = self._wall() - self._steady()
        by = offset - self._offset
        self._offset = offset
        return timedelta(seconds=by) if abs(by) >= JUMP_S else None


class _Timex(ctypes.Structure):
    _fields_ = (("modes", ctypes.c_uint), ("room_for_the_rest", ctypes.c_byte * 256))


_adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)  # looked up once: it is asked with every transaction


def state() -> ClockState:
    """Whether a time service keeps the kernel's clock, as adjtimex(2) says; reading it needs no rights."""
    if _adjtimex is None or _adjtimex(ctypes.byref(_Timex(modes=0))) in {-1, _TIME_ERROR}:
        return ClockState.UNSYNCED
    return ClockState.SYNCED
