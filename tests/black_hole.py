"""A place in the network where nobody answers, neither with a word nor with a refusal."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

CALLERS = 4  # more than a queue of none takes


@contextmanager
def black_hole() -> Iterator[int]:
    """A port of every address of this machine where a connection is neither taken nor refused."""
    with socket.socket() as hole:
        hole.bind(("0.0.0.0", 0))
        hole.listen(0)
        port = int(hole.getsockname()[1])
        waiting = [socket.socket() for _ in range(CALLERS)]
        try:
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", port))
            yield port
        finally:
            for each in waiting:
                each.close()
