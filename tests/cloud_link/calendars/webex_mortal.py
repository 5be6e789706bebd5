"""Renews its access to Webex once and is killed on the way: `webex_mortal WHEN FILE URL ID SECRET`.

FILE has the refresh token. WHEN is `kept` (the new one is on disk, nothing else was done with it), `answered`
(the answer came, and nothing was kept).
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from cloud_link.calendars.webex_access import RenewedGrant, WebexTokens
from cloud_link.calendars.wire import Wire


async def main() -> None:
    """Die in the middle."""
    when, file, url, client_id, client_secret = sys.argv[1:]
    place = Path(file)

    async def keep(grant: RenewedGrant) -> None:
        if when == "kept":
            new = place.with_suffix(".new")
            with new.open("w") as written:
                written.write(grant.refresh_token)
                written.flush()
                os.fsync(written.fileno())
            new.replace(place)
        os.kill(os.getpid(), signal.SIGKILL)

    async with Wire(url) as wire:
        tokens = WebexTokens(
            wire,
            f"{url}/v1/access_token",
            client_id=client_id,
            client_secret=client_secret,
            refresh_token=place.read_text(),
            keep=keep,
        )
        await tokens.token()


if __name__ == "__main__":
    asyncio.run(main())
