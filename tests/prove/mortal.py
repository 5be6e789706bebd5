"""Runs roomd as it is, except that it kills itself at a named point, or rests less long than elsewhere.

`PROVE_DIE_AT="before COMMIT:3"` is a `kill -9` when a commit is about to be made for the third time.
`PROVE_HURRY` shortens rests and delays, and touches nothing else. The product knows nothing of this module.
"""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

DIE_AT: Final = "PROVE_DIE_AT"
HURRY: Final = "PROVE_HURRY"
OURS: Final = ("agent", "cloud_link", "device_adapters")


class Doom:
    """Counts how often a point was passed, and strikes at the n-th time."""

    def __init__(self, at: int) -> None:
        self._left = at

    def pass_by(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


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

    class Dying(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:  # noqa: ANN401
            struck = sql.lstrip().upper().startswith(word)
            if struck and not after:
                doom.pass_by()
            result = super().execute(sql, *values)
            if struck and after:
                doom.pass_by()
            return result

    original = sqlite3.connect
    sqlite3.connect = lambda *values, **named: original(*values, **{"factory": Dying, **named})


# ── the points ────────────────────────────────────────────────────────────────────────────────────


def _is_event(_: object, message: Any, *__: object) -> bool:  # noqa: ANN401
    return not message.retain


def _is_birth(_: object, message: Any, *__: object) -> bool:  # noqa: ANN401
    return bool(message.retain) and message.topic.endswith("/status")


def _is_state(_: object, message: Any, *__: object) -> bool:  # noqa: ANN401
    return bool(message.retain) and message.topic.endswith("/state")


def _flushed_events(doom: Doom) -> None:
    """The bytes of a PUBLISH with an event have left, and no answer can have come."""
    from cloud_link import broker  # noqa: PLC0415

    written = False

    def note(original: Callable[..., Any]) -> Callable[..., Any]:
        def noting(connection: Any, message: Any, token: object) -> None:  # noqa: ANN401
            nonlocal written
            original(connection, message, token)
            written = written or not message.retain

        return noting

    def strike(original: Callable[..., Any]) -> Callable[..., Any]:
        def dying(connection: Any) -> None:  # noqa: ANN401
            nonlocal written
            original(connection)
            if written:
                written = False
                doom.pass_by()

        return dying

    _wrap(broker.Connection, "publish", note)
    _wrap(broker.Connection, "_flush", strike)


def points() -> Mapping[str, Callable[[Doom], None]]:
    from agent import daemon, snapshots  # noqa: PLC0415
    from cloud_link import broker, database, forwarder, outbox  # noqa: PLC0415

    return {
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
        "after PUBLISH": _flushed_events,
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
    from cloud_link import broker, delivery, forwarder  # noqa: PLC0415
    from device_adapters import websocket  # noqa: PLC0415

    _default(websocket.LinePace, "ping_after_s", 2.0)
    _default(websocket.LinePace, "pong_within_s", 2.0)
    _default(forwarder.Conduct, "overdue_s", 4.0)
    _default(broker.Address, "keepalive_s", 4)
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


HURRIES: Final[Mapping[str, Callable[[], None]]] = {
    "broker": _hurry_broker,
    "devices": _hurry_devices,
    "looks": _hurry_looks,
    "lines": _hurry_lines,
    "house": _hurry_house,
    "states": _hurry_states,
}


def main() -> None:
    import agent.cli  # noqa: PLC0415
    import agent.daemon  # noqa: PLC0415

    for name in filter(None, os.environ.pop(HURRY, "").split(",")):
        HURRIES[name]()
    if wanted := os.environ.pop(DIE_AT, ""):
        point, _, times = wanted.rpartition(":")
        points()[point](Doom(int(times)))
    agent.cli.main()


if __name__ == "__main__":
    main()
