"""A site's Webex that is killed as it renews its access: `webex_site_mortal WHEN DIRECTORY ID KEY_URL`.

WHEN is `before` the new grant is kept, or `after`, and nothing else was done with it.
"""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from cloud_link.calendars.accounts import Way, WebexAccount
from cloud_link.calendars.views import IntegrationTurned
from cloud_link.calendars.webex_grant import Grant, GrantFile
from cloud_link.calendars.webex_site import WebexSite


async def main() -> None:
    """Die in the middle."""
    when, directory, client_id, key_url = sys.argv[1:]
    place = Path(directory)
    keep = GrantFile.keep

    def keep_and_die(file: GrantFile, grant: Grant) -> None:
        if when == "after":
            keep(file, grant)
        os.kill(os.getpid(), signal.SIGKILL)

    GrantFile.keep = keep_and_die  # type: ignore[assignment,method-assign]

    async def tell(_: IntegrationTurned) -> None: ...

    site = WebexSite(
        WebexAccount(
            client_id=client_id,
            client_secret_file=place / "secret",
            activation_code_file=place / "activation-code",
            key_urls={"us-east-2_a": key_url},
            way=Way(ca_file=place / "ca.pem"),
        ),
        (),
        state_directory=place / "state",
        tell=tell,
        now=lambda: datetime.now(UTC),
        luck=lambda: 0.5,
    )
    async with asyncio.timeout(20):
        await site.run()


if __name__ == "__main__":
    asyncio.run(main())
