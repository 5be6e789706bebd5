"""Ports for those who must find theirs free a moment later, and again after a restart."""

import contextlib
import secrets
import socket
from pathlib import Path

HOST = "127.0.0.1"
LOWEST, HIGHEST = 10_000, 32_768


def free_port() -> int:
    """A port at which nobody listens, and from which no other test's connection starts meanwhile.

    The kernel's own choice would be one that it soon gives to an outgoing connection; a broker that is to
    listen there a moment later, or again after a restart, would find it taken.
    """
    ports = list(range(LOWEST, _first_of_the_kernels()))
    while ports:
        port = ports.pop(secrets.randbelow(len(ports)))
        with socket.socket() as line, contextlib.suppress(OSError):
            line.bind((HOST, port))
            return port
    raise OSError("no port is free")


def _first_of_the_kernels() -> int:
    """From which port on the kernel chooses those of outgoing connections (Linux: 32768)."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return first if first > LOWEST else HIGHEST
