"""Examines what roomd opens and shows itself: whether anybody listens there, and its certificates."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path
from typing import Final

from cryptography import x509

from agent.certificates import flaws
from agent.findings import Visit

DOOR_WITHIN_S: Final = 5.0


async def listens(host: str, port: int) -> bool:
    """Whether somebody on this machine does at this address, be it every one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where to, not from
    try:
        async with asyncio.timeout(DOOR_WITHIN_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def examine_own_certificate(visit: Visit, whose: str, certificate: Path | None, key: Path | None) -> None:
    """One of roomd's own, with its key: others believe it, and it runs out when nobody thinks of it."""
    if certificate is None:
        return
    what = f"{whose}, {certificate}"
    try:
        (shown, *_) = x509.load_pem_x509_certificates(certificate.read_bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password="")
    except PermissionError as error:
        mend = "run doctor with sudo"
        visit.advise(what, f"cannot be read by this user: {error.strerror}", mend)
        return
    except (OSError, ValueError) as error:
        mend = "name a certificate with its chain, and its key, both PEM"
        visit.wrong(what, f"cannot be used: {error}", mend, code=os.EX_CONFIG)
        return
    good = True
    for flaw in flaws(shown, now=visit.now(), pinned=False):
        good = False
        if flaw.over:
            visit.wrong(what, flaw.seen, f"{flaw.mend}, and reload roomd", code=os.EX_CONFIG)
        else:
            visit.advise(what, flaw.seen, f"{flaw.mend}, and reload roomd")
    if good:
        visit.ok(what, f"lasts until {shown.not_valid_after_utc:%Y-%m-%d}")
