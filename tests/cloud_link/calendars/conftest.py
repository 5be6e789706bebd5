"""Whom the stand-ins of clouds are believed by: their own authorities, and none of the machine's."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_authority_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are more than a hundred, and each client would read them all."""
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
