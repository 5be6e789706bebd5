"""Opens the page to those at the site: HTTP on a socket of this machine, and at an address."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from agent.local_api import Inside
from agent.settings import Page
from agent.site_page import SitePage, read_page

log = structlog.get_logger()


@asynccontextmanager
async def open_page(page: Page, inside: Inside) -> AsyncIterator[None]:
    """Show the site while the context stands; where it cannot be shown at one of the two, the log says so."""
    assert inside.sight is not None  # noqa: S101 - the daemon gives both
    site = SitePage(inside, read_page())
    config = Config(
        site.application(),
        http=H11Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(site.teller.run(), name="page")
        servers = []
        if page.host is not None:
            servers.append(
                await loop.create_server(lambda: H11Protocol(config, state, {}), page.host, page.port)
            )
        if page.socket is not None:
            page.socket.unlink(missing_ok=True)
            old = os.umask(0o117)
            servers.append(await loop.create_unix_server(lambda: H11Protocol(config, state, {}), page.socket))
            os.umask(old)
        try:
            yield
        finally:
            site.teller.close()
            telling.cancel()
            for server in servers:
                server.close()
            for task in list(state.tasks):
                task.cancel()
            if page.socket is not None:
                page.socket.unlink(missing_ok=True)
