"""What the daemon says about itself, and what it must not say."""

from __future__ import annotations

import pytest
import structlog

from agent.telemetry import configure_logs

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _logs_as_before():
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def logs_in(_login: str) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("journal", [False, True])
def test_a_bug_is_logged_with_its_traceback_and_without_what_was_at_hand(monkeypatch, capsys, journal):
    if journal:
        monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    else:
        monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    configure_logs()
    try:
        logs_in(f"roomd:{SECRET}")
    except ZeroDivisionError:
        structlog.get_logger().exception("device.bug", device="fjord")
    told = capsys.readouterr().err
    assert SECRET not in told
    for words in ("device.bug", "fjord", "logs_in", "ZeroDivisionError"):
        assert words in told
