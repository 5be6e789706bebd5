"""What one test does to the whole process is undone before the next."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command that is run in the test's own process has its say in what is logged."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
