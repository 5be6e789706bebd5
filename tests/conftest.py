"""What one test does to the whole process is undone before the next; and who takes long begins early."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command that is run in the test's own process has its say in what is logged."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(autouse=True, scope="module")
def _lines_left_open() -> Iterator[None]:
    """A line that is left open is blamed on the file that left it, not on who runs when it is found."""
    yield
    gc.collect()


LONG = ("journeys", "clouds_tests", "page")  # folders whose files start processes, and wait for them


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-example-in", type=int, default=1, help="of those that hypothesis makes up")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A long file that begins last would leave the other cores idle; examples are as many as wanted."""
    if (share := config.getoption("--one-example-in")) > 1:
        _have_fewer_examples(items, share)
    items.sort(key=lambda item: LONG.index(part) if (part := item.path.parts[-2]) in LONG else len(LONG))


def _have_fewer_examples(items: list[pytest.Item], share: int) -> None:
    """Of a test's own number, which goes before that of any profile."""
    from hypothesis import is_hypothesis_test, settings  # noqa: PLC0415

    kept: Any
    whole: settings
    made_up = {
        item.cls or item.obj
        for item in items
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)
    }
    for kept in made_up:  # a class is a machine of states
        name = "settings" if isinstance(kept, type) else "_hypothesis_internal_use_settings"
        whole = getattr(kept, name)
        setattr(kept, name, settings(whole, max_examples=max(whole.max_examples // share, 1)))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: nobody need look for garbage in it."""
    gc.collect()
    gc.freeze()
