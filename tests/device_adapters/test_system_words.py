"""What people read of a line that broke: our words, and no numbers of the system's."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from device_adapters.system_words import unreachable


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "nobody listens there"),
        (OSError(errno.ECONNREFUSED, "Connect call failed ('10.0.4.21', 443)"), "nobody listens there"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "the other side reset it"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "nothing has this address"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no name server knows its name"),
        (OSError(errno.EPROTO, os.strerror(errno.EPROTO)), "Protocol error"),
        (
            OSError(
                "Multiple exceptions: [Errno 101] Connect call failed ('2001:db8::1', 443, 0, 0), "
                "[Errno 113] Connect call failed ('192.0.2.1', 443)"
            ),
            "nothing has this address",
        ),
        (RuntimeError(), "the line broke"),
    ],
)
def test_the_systems_numbers_are_told_in_words(error, words):
    assert str(unreachable(error)) == words
