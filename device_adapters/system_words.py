"""Says in our words what the system says of a line to a device that could not be had, or broke."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Mapping
from typing import Final

from device_adapters.errors import DeviceUnreachable

_NOBODY_LISTENS: Final = "nobody listens there"
_HUNG_UP: Final = "the other side reset it"
_UNSEEN: Final = "nothing has this address"
_NOT_LET_OUT: Final = "this machine does not let roomd out to it"
_NO_FILE_LEFT: Final = "roomd may open no more files"
_BY_NUMBER: Final[Mapping[int | None, str]] = {
    errno.ECONNREFUSED: _NOBODY_LISTENS,
    errno.ECONNRESET: _HUNG_UP,
    errno.ECONNABORTED: _HUNG_UP,
    errno.EPIPE: _HUNG_UP,
    errno.EHOSTUNREACH: _UNSEEN,
    errno.EHOSTDOWN: _UNSEEN,
    errno.ENETUNREACH: "no way leads there",
    errno.ENETDOWN: "this machine's network is down",
    errno.EADDRNOTAVAIL: "this machine has no address to reach it from",
    errno.ETIMEDOUT: "it does not answer",
    errno.EPERM: _NOT_LET_OUT,  # as a firewall of this machine puts it
    errno.EACCES: _NOT_LET_OUT,
    errno.EMFILE: _NO_FILE_LEFT,
    errno.ENFILE: _NO_FILE_LEFT,
    socket.EAI_NONAME: "no name server knows its name",
    socket.EAI_NODATA: "its name has no address",
    socket.EAI_AGAIN: "no name server answers",
    socket.EAI_FAIL: "no name server answers",
}
_IN_BRACKETS: Final = re.compile(r"\[Errno (-?\d+)\]")


def unreachable(error: BaseException) -> DeviceUnreachable:
    """A line that could not be had, or broke, as the system or a library tells it.

    Where a name has several addresses asyncio tells the numbers of all in one text: the last one counts.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (told := _IN_BRACKETS.findall(str(error))):
        number = int(told[-1])
    words = error.strerror if isinstance(error, OSError) else None
    return DeviceUnreachable(_BY_NUMBER.get(number) or words or str(error) or "the line broke")
