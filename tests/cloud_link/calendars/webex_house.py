"""A site's Webex as the daemon runs it, with a simulated organisation, over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.core.model import CalendarPhase, RoomId
from cloud_link.calendars.accounts import LinkedRoom, Way, WebexAccount
from cloud_link.calendars.views import IntegrationTurned
from cloud_link.calendars.webex_access import RenewalPace
from cloud_link.calendars.webex_queue import QueuePace
from cloud_link.calendars.webex_site import SitePace, WebexSite
from cloud_link.calendars.wire import WirePace
from tests.clouds.webex import WebexCloud

WITHIN_S = 10.0
HASTY = SitePace(
    look_every_s=0.02,
    rest_s=0.02,
    hinted_after=timedelta(0),
    renewal=RenewalPace(without_s=0.0),
    queue=QueuePace(rest_s=0.02, between_s=0.0),
    wire=WirePace(attempts=1),
)


class Living:
    """A site while it runs."""

    def __init__(
        self,
        cloud: WebexCloud,
        account: WebexAccount,
        rooms: Sequence[LinkedRoom],
        state: Path,
        pace: SitePace,
        devices: Mapping[str, RoomId],
    ) -> None:
        self.cloud = cloud
        self.told: list[IntegrationTurned] = []
        self.later = timedelta(0)  # than this machine's clock
        self.site = WebexSite(
            account,
            rooms,
            state_directory=state,
            tell=self._tell,
            now=lambda: datetime.now(UTC) + self.later,
            luck=lambda: 0.5,
            devices=devices,
            pace=pace,
        )

    async def until(self, true: Callable[[], object], *, within_s: float = WITHIN_S) -> None:
        async with asyncio.timeout(within_s):
            while not true():  # noqa: ASYNC110 - a state tells nobody
                await asyncio.sleep(0.005)

    async def until_phase(self, phase: CalendarPhase) -> None:
        await self.until(lambda: self.site.view().phase is phase)

    def phases(self) -> list[CalendarPhase]:
        return [each.phase for each in self.told]

    async def _tell(self, turned: IntegrationTurned) -> None:
        self.told.append(turned)


def account_of(cloud: WebexCloud, directory: Path) -> WebexAccount:
    """With its files, as an operator puts them there."""
    files = {"ca.pem": cloud.pem, "secret": cloud.client_secret.encode()}
    for name, content in files.items():
        (directory / name).write_bytes(content)
    code = directory / "activation-code"
    if not code.exists():
        code.write_text(f"{cloud.sign(cloud.activation())}\n")
    return WebexAccount(
        client_id=cloud.client_id,
        client_secret_file=directory / "secret",
        activation_code_file=code,
        key_urls={"us-east-2_a": cloud.key_url},
        way=Way(ca_file=directory / "ca.pem"),
    )


def rooms_of(*names: str) -> list[LinkedRoom]:
    return [LinkedRoom(id=RoomId(name.lower().replace(" ", "-")), name=name) for name in names]


@contextlib.asynccontextmanager
async def living(
    cloud: WebexCloud,
    directory: Path,
    rooms: Sequence[LinkedRoom] = (),
    *,
    pace: SitePace = HASTY,
    until: CalendarPhase | None = CalendarPhase.ACTIVE,
    devices: Mapping[str, RoomId] | None = None,
    **changes: Any,  # noqa: ANN401 - fields of an account,
) -> AsyncIterator[Living]:
    """A site that runs; its state is kept in `directory / "state"`."""
    state = directory / "state"
    state.mkdir(exist_ok=True)

    account = replace(account_of(cloud, directory), **changes)
    here = Living(cloud, account, rooms, state, pace, devices or {})
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(here.site.run(), name="webex")
        if until is not None:
            await here.until_phase(until)
        yield here
        running.cancel()
