"""What one test does to the whole process is undone before the next; and who takes long begins early."""

import gc
from collections.abc import Iterator

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A long file that begins last would leave the other cores idle."""
    items.sort(key=lambda item: LONG.index(part) if (part := item.path.parts[-2]) in LONG else len(LONG))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: nobody need look for garbage in it."""
    gc.collect()
    gc.freeze()
