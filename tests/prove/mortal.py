"""Runs roomd as it is, except that it kills or stops itself at named points, or rests less than elsewhere.

`PROVE_DIE_AT="before COMMIT:3"` is a `kill -9` when a commit is about to be made for the third time.
`PROVE_HALT_AT="before COMMIT:3,after PUBACK:1"` is a SIGSTOP there, and after whatever ends that one, at the
next. Whoever sends SIGCONT decides what has happened meanwhile.
`PROVE_HANG=loop` has a part of it hang for ever from the next SIGUSR1 on: "loop", "writer" or "forwarder".
`PROVE_HURRY` shortens rests and delays, and touches nothing else. The product knows nothing of this module.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import ModuleType
from typing import Any, Final

DIE_AT: Final = "PROVE_DIE_AT"
HALT_AT: Final = "PROVE_HALT_AT"
HANG: Final = "PROVE_HANG"
HURRY: Final = "PROVE_HURRY"
SLUGGISH_S: Final = 0.25
OURS: Final = ("agent", "cloud_link", "device_adapters")


class Doom:
    """Counts how often a point was passed, and strikes at the n-th time."""

    def __init__(self, at: int) -> None:
        self._left = at

    def pass_by(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Halts:
    """Points at which it stops, one after the other; each counts only from when its turn has come."""

    def __init__(self, points: Sequence[tuple[str, int]]) -> None:
        self.points: Final = tuple(points)
        self._turn = 0
        self._left = self.points[0][1]
        self._stopping = False  # the other threads go on for a moment, and what they pass does not count
        signal.signal(signal.SIGCONT, self._go_on)

    def pass_by(self, number: int) -> None:
        if number != self._turn or self._stopping:
            return
        self._left -= 1
        if self._left == 0:
            self._turn += 1
            self._left = self.points[self._turn][1] if self._turn < len(self.points) else 0
            self._stopping = True
            os.kill(os.getpid(), signal.SIGSTOP)

    def _go_on(self, *_: object) -> None:
        self._stopping = False


class Halt(Doom):
    """Passes by in a queue of halts."""

    def __init__(self, halts: Halts, number: int) -> None:
        super().__init__(0)
        self._halts = halts
        self._number = number

    def pass_by(self) -> None:
        self._halts.pass_by(self._number)


# ── laying hands on it ────────────────────────────────────────────────────────────────────────────


def _modules() -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.partition(".")[0] in OURS]


def _wrap(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:  # noqa: ANN401
    """Puts something around a function wherever the product has taken hold of it."""
    original = getattr(owner, name)  # AttributeError: the product has changed, and so must this
    wrapped = functools.wraps(original)(make(original))
    setattr(owner, name, wrapped)
    for module in _modules():
        for key, value in vars(module).copy().items():
            if value is original:
                setattr(module, key, wrapped)


def _before(doom: Doom, owner: Any, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> None:  # noqa: ANN401
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*values: Any, **named: Any) -> Any:  # noqa: ANN401
            if when(*values, **named):
                doom.pass_by()
            return original(*values, **named)

        return dying

    _wrap(owner, name, make)


def _after(doom: Doom, owner: Any, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> None:  # noqa: ANN401
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*values: Any, **named: Any) -> Any:  # noqa: ANN401
            result = original(*values, **named)
            if when(*values, **named):
                doom.pass_by()
            return result

        return dying

    _wrap(owner, name, make)


def _around_sql(doom: Doom, word: str, *, after: bool) -> None:
    """At a statement of SQLite's that begins with this word."""
    original = sqlite3.connect

    def connect(*values: Any, factory: type[sqlite3.Connection] = sqlite3.Connection, **named: Any) -> Any:  # noqa: ANN401
        class Dying(factory):  # type: ignore[misc,valid-type]
            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:  # noqa: ANN401
                struck = sql.lstrip().upper().startswith(word)
                if struck and not after:
                    doom.pass_by()
                result: sqlite3.Cursor = super().execute(sql, *values)
                if struck and after:
                    doom.pass_by()
                return result

        return original(*values, factory=Dying, **named)

    sqlite3.connect = connect


# ── the points ────────────────────────────────────────────────────────────────────────────────────


def _is_event(_: object, message: Any, *__: object) -> bool:  # noqa: ANN401
    return not message.retain


def _is_birth(_: object, message: Any, *__: object) -> bool:  # noqa: ANN401
    return bool(message.retain) and message.topic.endswith("/status")


def _is_state(_: object, message: Any, *__: object) -> bool:  # noqa: ANN401
    return bool(message.retain) and message.topic.endswith("/state")


def _is_answer(_: object, message: Any, *__: object) -> bool:  # noqa: ANN401
    return str(message.topic).endswith("/responses")


def _of_answers(_: object, stream: str, *__: object) -> bool:
    return stream.endswith("/responses")


def _flushed(doom: Doom, name: str, when: Callable[..., bool]) -> None:
    """The bytes of what `name` wrote have left, and no answer can have come."""
    from cloud_link import broker  # noqa: PLC0415

    written = False

    def note(original: Callable[..., Any]) -> Callable[..., Any]:
        def noting(connection: Any, *values: Any) -> None:  # noqa: ANN401
            nonlocal written
            original(connection, *values)
            written = written or when(connection, *values)

        return noting

    def strike(original: Callable[..., Any]) -> Callable[..., Any]:
        def dying(connection: Any) -> None:  # noqa: ANN401
            nonlocal written
            original(connection)
            if written:
                written = False
                doom.pass_by()

        return dying

    _wrap(broker.Connection, name, note)
    _wrap(broker.Connection, "_flush", strike)


def _has_fact(kind: str) -> Callable[..., bool]:
    """Of `_Daemon._write`: whether such a fact is among those that are recorded."""

    def among(_: object, __: object, facts: Sequence[tuple[object, Any]], *___: object) -> bool:
        return any(fact.kind == kind for _, fact in facts)

    return among


def _has_answers(_: object, __: object, ___: object, answers: Sequence[object], *____: object) -> bool:
    return bool(answers)


def _posts(kind: str) -> Callable[..., bool]:
    """Of `Forwarder.offer`: whether such a fact, which is on disk now, is among those offered."""
    return lambda _, posted: any(one.envelope.kind == kind for one in posted)


def _of_type(*names: str) -> Callable[..., bool]:
    """Whether the last argument is, or holds, something of these."""

    def among(*values: Any) -> bool:  # noqa: ANN401
        last = values[-1]
        return any(type(one).__name__ in names for one in (last if isinstance(last, Sequence) else (last,)))

    return among


def _plan_of(*names: str) -> Callable[..., bool]:
    """Of `Talk._followed`: whether the plan that is answered tells one of these when it is done."""
    return lambda _, __, plan, *___: type(plan.taken).__name__ in names


OF_BOOKINGS: Final = ("Book", "Extend", "Release")
OF_HOLDS: Final = ("placed", "shown", "extended", "answered", "ended", "failed")


def _points_of_commands() -> Mapping[str, Callable[[Doom], None]]:
    """A command from the broker to its answer, and a hold from the disk to the screen and back."""
    from agent import daemon, desk, pipeline  # noqa: PLC0415
    from cloud_link import broker, forwarder, hearing, inbox  # noqa: PLC0415
    from device_adapters import fleet, link  # noqa: PLC0415

    fleet_, told = fleet.Fleet, forwarder.Forwarder
    found: dict[str, Callable[[Doom], None]] = {
        # in
        "before a command is kept": lambda doom: _before(doom, inbox, "take"),
        "while a command is kept": lambda doom: _after(doom, inbox, "take"),
        "before a command's PUBACK": lambda doom: _before(doom, broker.Connection, "acknowledge"),
        "after a command's PUBACK": lambda doom: _flushed(doom, "acknowledge", lambda *_: True),
        "before a command is given": lambda doom: _before(doom, desk.Desk, "_give"),
        "before a command is taken up": lambda doom: _before(
            doom, pipeline.Pipeline, "deliver", _of_type("CommandGiven")
        ),
        # done
        "before an answer is recorded": lambda doom: _before(doom, daemon._Daemon, "_write", _has_answers),  # noqa: SLF001
        "while an answer is recorded": lambda doom: _after(doom, daemon._Daemon, "_write", _has_answers),  # noqa: SLF001
        "when an answer is on disk": lambda doom: _before(doom, desk.Desk, "tell"),
        # at the device
        "before it is shown": lambda doom: _before(doom, fleet_, "ask", _of_type("ShowOn")),
        "after it is asked to show": lambda doom: _after(doom, fleet_, "ask", _of_type("ShowOn")),
        "before it is known as shown": lambda doom: _before(
            doom, link.Talk, "_followed", _plan_of("MessageShown")
        ),
        "before it is told as shown": lambda doom: _before(
            doom, pipeline.Pipeline, "deliver", _of_type("MessageShown")
        ),
        "before it is told as pressed": lambda doom: _before(
            doom, pipeline.Pipeline, "deliver", _of_type("PromptAnswered")
        ),
        "before it is taken off": lambda doom: _before(doom, fleet_, "ask", _of_type("TakeOff")),
        "after it is asked to take off": lambda doom: _after(doom, fleet_, "ask", _of_type("TakeOff")),
        "before it is known as taken off": lambda doom: _before(
            doom, link.Talk, "_followed", _plan_of("MessageTakenOff")
        ),
        "before it is lit": lambda doom: _before(doom, fleet_, "ask", _of_type("Light")),
        "before the light is restored": lambda doom: _before(doom, fleet_, "ask", _of_type("RestoreLight")),
        "before it is booked": lambda doom: _before(doom, fleet_, "ask", _of_type(*OF_BOOKINGS)),
        "after it is asked to book": lambda doom: _after(doom, fleet_, "ask", _of_type(*OF_BOOKINGS)),
        "before it is known as booked": lambda doom: _before(
            doom, link.Talk, "_followed", _plan_of("OrderTaken")
        ),
        # out
        "before an answer leaves": lambda doom: _before(doom, broker.Connection, "publish", _is_answer),
        "after an answer has left": lambda doom: _flushed(doom, "publish", _is_answer),
        "after an answer's PUBACK": lambda doom: _before(doom, told, "_settle", _of_answers),
        # at the start
        "before what was begun is taken up": lambda doom: _before(doom, hearing.Hearing, "_take_up_again"),
        "while what was begun is read": lambda doom: _after(doom, inbox, "unfinished"),
    }
    for each in OF_HOLDS:
        kind = f"hold.{each}"
        found[f"before {kind} is recorded"] = lambda doom, kind=kind: _before(  # type: ignore[misc]
            doom,
            daemon._Daemon,  # noqa: SLF001
            "_write",
            _has_fact(kind),
        )
        found[f"while {kind} is recorded"] = lambda doom, kind=kind: _after(  # type: ignore[misc]
            doom,
            daemon._Daemon,  # noqa: SLF001
            "_write",
            _has_fact(kind),
        )
        found[f"when {kind} is on disk"] = lambda doom, kind=kind: _before(doom, told, "offer", _posts(kind))  # type: ignore[misc]
    return found


def _points_of_calendars() -> Mapping[str, Callable[[Doom], None]]:
    """A calendar from its cloud to the disk, and consent from one who gives and takes it."""
    from agent import pipeline  # noqa: PLC0415
    from cloud_link.calendars import kept, site  # noqa: PLC0415

    deliver = (pipeline.Pipeline, "deliver")
    return {
        "before a listing is taken in": lambda doom: _before(doom, *deliver, _of_type("CalendarListed")),
        "before a calendar's turn is taken in": lambda doom: _before(
            doom, *deliver, _of_type("CalendarTurned")
        ),
        "before a calendar is asked to book": lambda doom: _before(
            doom, site.SiteCalendars, "ask", _of_type("BookInCalendar")
        ),
        "before a calendar's answer is taken in": lambda doom: _before(
            doom, *deliver, _of_type("CalendarOrderTaken")
        ),
        "while links are kept": lambda doom: _after(doom, kept, "keep_links"),
        "before lost consent is kept": lambda doom: _before(doom, kept, "keep_revoked"),
        "while lost consent is kept": lambda doom: _after(doom, kept, "keep_revoked"),
        "before consent is kept": lambda doom: _before(doom, kept, "forget_revoked"),
        "while consent is kept": lambda doom: _after(doom, kept, "forget_revoked"),
        "while a watch is kept": lambda doom: _after(doom, kept, "keep_watch"),
        "while a watch is forgotten": lambda doom: _after(doom, kept, "forget_watch"),
    }


def _points_of_reloads() -> Mapping[str, Callable[[Doom], None]]:
    """A changed file from the signal to when it holds."""
    from agent import daemon, desk, pipeline, snapshots  # noqa: PLC0415
    from cloud_link import database, forwarder  # noqa: PLC0415
    from device_adapters import fleet  # noqa: PLC0415

    ours = daemon._Daemon  # noqa: SLF001
    return {
        "before a changed file is applied": lambda doom: _before(doom, ours, "_apply"),
        "when lines are closed": lambda doom: _before(doom, pipeline.Pipeline, "rearrange"),
        "while rooms are kept": lambda doom: _after(doom, snapshots, "leave"),
        "when rooms are on disk": lambda doom: _before(doom, ours, "_clear"),
        "before a line is opened anew": lambda doom: _before(doom, fleet.Fleet, "add"),
        "before it turns to another broker": lambda doom: _before(doom, forwarder.Forwarder, "turn_to"),
        "before the budget is another": lambda doom: _before(doom, database.Database, "grant"),
        "when a changed file is applied": lambda doom: _before(doom, desk.Desk, "serve"),
        "before a room's name is forgotten": lambda doom: _before(doom, snapshots, "forget"),
    }


def points() -> Mapping[str, Callable[[Doom], None]]:
    from agent import daemon, snapshots  # noqa: PLC0415
    from cloud_link import broker, database, forwarder, outbox  # noqa: PLC0415

    return {
        **_points_of_commands(),
        **_points_of_calendars(),
        **_points_of_reloads(),
        # at the start
        "opened": lambda doom: _after(doom, database, "_open_or_rescue"),
        "furnished": lambda doom: _after(doom, daemon, "furnish"),
        "counting the connection": lambda doom: _after(doom, outbox, "next_connection"),
        # a fact on its way to the disk
        "before append": lambda doom: _before(doom, outbox, "append"),
        "after append": lambda doom: _after(doom, outbox, "append"),
        "before the snapshot": lambda doom: _before(doom, snapshots, "save"),
        "after the snapshot": lambda doom: _after(doom, snapshots, "save"),
        "before COMMIT": lambda doom: _around_sql(doom, "COMMIT", after=False),
        "after COMMIT": lambda doom: _around_sql(doom, "COMMIT", after=True),
        "before it is offered": lambda doom: _before(doom, forwarder.Forwarder, "offer"),
        # a fact on its way to the broker
        "before PUBLISH": lambda doom: _before(doom, broker.Connection, "publish", _is_event),
        "after PUBLISH": lambda doom: _flushed(doom, "publish", _is_event),
        "after PUBACK": lambda doom: _before(doom, forwarder.Forwarder, "_settle"),
        "before it is settled": lambda doom: _before(doom, outbox, "settle"),
        "after it is settled": lambda doom: _after(doom, outbox, "settle"),
        # what is retained
        "before birth": lambda doom: _before(doom, broker.Connection, "publish", _is_birth),
        "after birth": lambda doom: _after(doom, broker.Connection, "publish", _is_birth),
        "while states are shown": lambda doom: _after(doom, broker.Connection, "publish", _is_state),
        # giving up, and cleaning
        "before a burial": lambda doom: _before(doom, outbox, "dead_letter"),
        "after a burial": lambda doom: _after(doom, outbox, "dead_letter"),
        "keeping house": lambda doom: _after(doom, outbox, "keep_house"),
        # a damaged file
        "before quarantine": lambda doom: _before(doom, database, "_quarantine"),
        "after quarantine": lambda doom: _after(doom, database, "_quarantine"),
        "while salvaging": lambda doom: _after(doom, database, "_salvage_outbox"),
        "after salvage": lambda doom: _after(doom, database, "_salvage"),
        "before the reset is told": lambda doom: _after(doom, database, "_open_or_rescue"),
        # at the end
        "before the close": lambda doom: _before(doom, database, "_close_cleanly"),
        "after the close": lambda doom: _after(doom, database, "_close_cleanly"),
    }


# ── hanging ───────────────────────────────────────────────────────────────────────────────────────


class Hang(Doom):
    """Whoever passes by after the signal goes no further."""

    def __init__(self) -> None:
        super().__init__(0)
        self._armed = False
        signal.signal(signal.SIGUSR1, self._arm)

    def _arm(self, *_: object) -> None:
        self._armed = True

    def pass_by(self) -> None:
        if self._armed:
            threading.Event().wait()


class _Deaf(asyncio.Event):
    """A wake-up that gets lost."""

    def set(self) -> None:
        pass


def _hang_forwarder(hang: Hang) -> None:
    from cloud_link import forwarder  # noqa: PLC0415

    def lose(original: Callable[..., Any]) -> Callable[..., Any]:
        def losing(self: Any, *values: Any) -> None:  # noqa: ANN401
            original(self, *values)
            if hang._armed:  # noqa: SLF001
                self._event = _Deaf()

        return losing

    _wrap(forwarder.Forwarder, "_wake_at", lose)


def _hang_loop(hang: Hang) -> None:
    """Where the clock is looked at, four times a second."""
    from agent import clock  # noqa: PLC0415

    _before(hang, clock.Clock, "look")


HANGS: Final[Mapping[str, Callable[[Hang], None]]] = {
    "loop": _hang_loop,
    "writer": lambda hang: _around_sql(hang, "COMMIT", after=False),
    "forwarder": _hang_forwarder,
}


# ── haste ─────────────────────────────────────────────────────────────────────────────────────────


def _default(owner: Any, name: str, value: object) -> None:  # noqa: ANN401
    """Another default of a dataclass's field."""
    defaults = owner.__init__.__kwdefaults__
    if name not in defaults:
        raise AttributeError(f"{owner.__qualname__} has no {name}")
    defaults[name] = value


def _hurry_broker() -> None:
    from cloud_link import broker, delivery  # noqa: PLC0415

    _default(delivery.Rest, "shortest_s", 0.05)
    _default(delivery.Rest, "longest_s", 1.0)
    broker.WILL_DELAY_S = 1  # type: ignore[misc]


def _hurry_devices() -> None:
    from device_adapters import lifecycle  # noqa: PLC0415

    rest_s = lifecycle.spread

    def shorter(rest: Any, *, failures: int, luck: float) -> float:  # noqa: ANN401
        return min(rest_s(rest, failures=failures, luck=luck), 0.5)

    _wrap(lifecycle, "spread", lambda _: shorter)
    _default(lifecycle.Patience, "look_at_credential_s", 0.2)


def _hurry_lines() -> None:
    from cloud_link import address, delivery, forwarder  # noqa: PLC0415
    from device_adapters import websocket  # noqa: PLC0415

    _default(websocket.LinePace, "ping_after_s", 2.0)
    _default(websocket.LinePace, "pong_within_s", 2.0)
    _default(forwarder.Conduct, "overdue_s", 4.0)
    _default(address.Address, "keepalive_s", 4)
    delivery.OVERDUE_S = 4.0  # type: ignore[misc]


def _hurry_house() -> None:
    from cloud_link import forwarder  # noqa: PLC0415

    _default(forwarder.Conduct, "house_every_s", 0.5)


def _hurry_states() -> None:
    from cloud_link import retained  # noqa: PLC0415

    _default(retained.Retained, "least_interval_s", 0.2)


def _hurry_looks() -> None:
    """At devices that are polled, at what those who call back have registered, and at what shells have."""
    from device_adapters import http, ssh  # noqa: PLC0415

    _default(http.Http, "poll_every_s", 0.5)
    _default(ssh.ShellPace, "audit_first_after_s", 1.0)
    _default(ssh.ShellPace, "audit_every_s", 3.0)


def _hurry_holds() -> None:
    """An hour of a device's is eight seconds, and whoever waits for it waits as much less."""
    from agent.core import holds  # noqa: PLC0415

    _hurry_again()
    _shorten(holds, "LAPSES_AFTER", 8.0)
    _shorten(holds, "RENEW_BEFORE", 4.0)
    _shorten(holds, "LAPSE_IS_NEAR", 0.5)
    _shorten(holds, "LAPSE_IS_SURE", 5.0)
    _shorten(holds, "SHOW_AGAIN_AFTER", 3.0)


def _hurry_again() -> None:
    """What a device did not answer is asked again soon; what it shows lasts as long as ever."""
    from agent.core import commands, holds  # noqa: PLC0415

    _shorten(holds, "OVERDUE", 3.0)
    _shorten(commands, "SEEN_WITHIN", 15.0)
    _shorten(commands, "BOOKED_WITHIN", -45.0)  # after a device's minute, which is not ours to shorten


def _hurry_calendars() -> None:
    """Minutes are seconds: how often rooms are read, how long clouds are left alone, when consent is gone."""
    from cloud_link.calendars import hints, integration, wire  # noqa: PLC0415

    rhythm = {"quiet": 0.2, "at_latest": 1.0, "burst": 1.0, "retry_soonest": 0.3, "retry_latest": 2.0}
    _set(hints.RHYTHM, **rhythm, poll_soonest=1.5, poll_latest=3.0)
    for name in ("UNREACHABLE", "CREDENTIAL", "CLOCK", "DENIED", "THROTTLED"):
        _set(getattr(integration, f"{name}_RESTS"), first=0.4, longest=1.5)
    _shorten(integration, "SECOND_LOOK", 4.0)
    _default(wire.WirePace, "first_rest_s", 0.1)
    _default(wire.WirePace, "patience_s", 2.0)
    _default(wire.WirePace, "connect_within_s", 4.0)
    _default(wire.WirePace, "answer_within_s", 6.0)


def _hurry_stale() -> None:
    """A calendar that is not read is believed for so long, and not for half an hour."""
    from agent.core import calendars  # noqa: PLC0415

    _shorten(calendars, "FRESH_FOR", 12.0)
    _shorten(calendars, "FIRST_READ_WITHIN", 8.0)


def _hurry_releases() -> None:
    """A room need be empty for seconds and not for minutes, and is warned for a twentieth of the time."""
    from agent import release_table  # noqa: PLC0415

    def quicker(original: Callable[..., Any]) -> Callable[..., Any]:
        def read(*tables: Any) -> Any:  # noqa: ANN401
            rules = original(*tables)
            return replace(
                rules, grace=rules.grace / 240, empty_for=rules.empty_for / 240, warning=rules.warning / 20
            )

        return read

    _wrap(release_table, "releasing", quicker)


def _be_sluggish() -> None:
    """The other way round: a disk that takes its time."""

    class Slow(Doom):
        def pass_by(self) -> None:
            time.sleep(SLUGGISH_S)

    _around_sql(Slow(0), "COMMIT", after=False)


def _set(frozen: object, **seconds: float) -> None:
    """Other spans in a value that the product made when it was imported."""
    for name, value in seconds.items():
        if not isinstance(getattr(frozen, name), timedelta):
            raise AttributeError(f"{frozen}.{name} is no timedelta")
        object.__setattr__(frozen, name, timedelta(seconds=value))


def _shorten(module: ModuleType, name: str, seconds: float) -> None:
    if not isinstance(getattr(module, name), timedelta):
        raise AttributeError(f"{module.__name__}.{name} is no timedelta")
    setattr(module, name, timedelta(seconds=seconds))


HURRIES: Final[Mapping[str, Callable[[], None]]] = {
    "broker": _hurry_broker,
    "devices": _hurry_devices,
    "looks": _hurry_looks,
    "lines": _hurry_lines,
    "house": _hurry_house,
    "states": _hurry_states,
    "holds": _hurry_holds,
    "again": _hurry_again,
    "calendars": _hurry_calendars,
    "stale": _hurry_stale,
    "releases": _hurry_releases,
    "sluggish": _be_sluggish,
}


def main() -> None:
    import agent.cli  # noqa: PLC0415
    import agent.daemon  # noqa: PLC0415

    for name in filter(None, os.environ.pop(HURRY, "").split(",")):
        HURRIES[name]()
    if wanted := os.environ.pop(DIE_AT, ""):
        point, _, times = wanted.rpartition(":")
        points()[point](Doom(int(times)))
    if wanted := os.environ.pop(HANG, ""):
        HANGS[wanted](Hang())
    if wanted := os.environ.pop(HALT_AT, ""):
        named = [each.rpartition(":") for each in wanted.split(",")]
        halts = Halts([(point, int(times)) for point, _, times in named])
        known = points()
        for number, (point, _) in enumerate(halts.points):
            known[point](Halt(halts, number))
    agent.cli.main()


if __name__ == "__main__":
    main()
