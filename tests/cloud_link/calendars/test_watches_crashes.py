"""Whatever moment roomd is killed in: after the next start each room has one watch, and it is ours."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from agent.listening import Listener
from cloud_link.calendars.integration import Service
from cloud_link.calendars.push import PushSite
from cloud_link.calendars.watches import GoogleWatches, MicrosoftWatches
from cloud_link.database import open_database
from tests.brokers.ports import free_port
from tests.callers import becomes
from tests.cloud_link.calendars.watching import Ears, google, keeping, microsoft, rows
from tests.clouds.google import Google as GoogleCloud
from tests.clouds.microsoft import Microsoft365
from tests.clouds.serving import Serving
from tests.nursery import fork

pytestmark = [pytest.mark.slow]

ROOMS = [f"room{number}@contoso.example" for number in range(3)]


class House:
    """Where roomd lives: its disk, its door, and how late it is there."""

    def __init__(self, directory: Path, authority: trustme.CA) -> None:
        self.directory = directory
        self.authority = authority
        self.port = free_port()
        self.door = f"https://127.0.0.1:{self.port}"
        self.late = timedelta()
        self.certificate = directory / "door.pem"
        identity = authority.issue_cert("127.0.0.1")
        self.certificate.write_bytes(identity.private_key_and_cert_chain_pem.bytes())
        authority.cert_pem.write_to_path(str(directory / "authority.pem"))

    def now(self) -> datetime:
        return datetime.now(UTC) + self.late

    async def dies(self, point: str, nth: int, **told: str) -> None:
        """Lives up to that point."""
        file = self.directory / "told"
        file.write_text(
            json.dumps(
                {
                    "state": str(self.directory / "state"),
                    "authority": str(self.directory / "authority.pem"),
                    "certificate": str(self.certificate),
                    "port": str(self.port),
                    "door": self.door,
                    "point": point,
                    "nth": str(nth),
                    "late_days": str(self.late / timedelta(days=1)),
                    **told,
                }
            )
        )
        mortal = "tests.cloud_link.calendars.watch_mortal"
        process = await fork(mortal, [str(file)], environment=os.environ)
        try:
            async with asyncio.timeout(40.0):
                assert await process.wait() == -signal.SIGKILL
        finally:
            process.kill()

    @asynccontextmanager
    async def listens(self, watches: MicrosoftWatches | GoogleWatches) -> AsyncIterator[None]:
        site = PushSite({watches.service: watches})
        door = Listener(site, host="127.0.0.1", port=self.port, certificate=self.certificate)
        async with door, keeping(watches):
            yield


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, trustme.CA())


@pytest.mark.parametrize(
    ("point", "nth", "late"),
    [
        ("asked, not kept", 1, 0.0),
        ("asked, not kept", 3, 0.0),
        ("kept, not used", 2, 0.0),
        ("renewed, not kept", 1, 2.0),
        ("renewed, not kept", 3, 2.0),  # due by 1.61 days, whatever the luck
    ],
)
async def test_subscriptions_are_neither_doubled_nor_lost(house, point, nth, late):
    tenant = Microsoft365(now=house.now)
    for room in ROOMS:
        tenant.add_room(room)
    service = Service.MICROSOFT
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(Serving(tenant.answer, authority=house.authority))
        tenant.service, tenant.receiver = cloud, cloud.client_context()
        told = {"service": "microsoft", "cloud": cloud.url, "rooms": " ".join(ROOMS)}
        if late:
            await house.dies("kept, not used", len(ROOMS), **told)
            house.late = timedelta(days=late)
        await house.dies(point, nth, **told)

        database = await stack.enter_async_context(open_database(house.directory / "state"))
        client = await stack.enter_async_context(microsoft(tenant, cloud))
        ears = Ears()
        watches = MicrosoftWatches(
            lambda: client,
            url=house.door,
            database=database,
            kept=await rows(database, service),
            hint=ears.hint,
            turned=ears.turned,
            now=house.now,
            luck=lambda: 0.5,
        )
        async with house.listens(watches):
            watches.use(ROOMS)
            await becomes(lambda: ears.pushed, set(ROOMS))
            await becomes(lambda: sorted(each.address for each in tenant.subscriptions.values()), ROOMS)
            await becomes(lambda: watches._leaving or watches._under_way or None, None)  # noqa: SLF001
            assert {row.id for row in await rows(database, service)} == set(tenant.subscriptions)
            for room in ROOMS:
                await tenant.notify(room)
            await becomes(lambda: sorted(set(ears.hints)), ROOMS)
    assert not tenant.problems


@pytest.mark.parametrize(
    ("point", "nth", "late", "orphans"),
    [
        ("kept, not asked", 1, 0.0, 0),
        ("answered, not kept", 2, 0.0, 1),
        ("made, not stopped", 1, 5.6, 0),
    ],
)
async def test_channels_are_neither_doubled_nor_lost(house, point, nth, late, orphans):
    workspace = GoogleCloud(now=house.now)
    calendar = workspace.add_room("Fjord")
    service = Service.GOOGLE
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(Serving(workspace.answer, authority=house.authority))
        workspace.hook_context = cloud.client_context()
        await stack.enter_async_context(workspace.running())
        told = {
            "service": "google",
            "cloud": cloud.url,
            "rooms": calendar.address,
            "key": workspace.key_file(cloud.url),
        }
        database = None
        ears = Ears()
        if late:  # a channel that has been heard
            async with AsyncExitStack() as first:
                database = await first.enter_async_context(open_database(house.directory / "state"))
                client = await first.enter_async_context(google(workspace, cloud, house.now))
                watches = GoogleWatches(
                    lambda: client,
                    url=house.door,
                    database=database,
                    kept=(),
                    hint=ears.hint,
                    turned=ears.turned,
                    now=house.now,
                    luck=lambda: 0.5,
                )
                async with house.listens(watches):
                    watches.use([calendar.address])
                    await becomes(lambda: ears.pushed, {calendar.address})
                    await becomes(watches._to_write.is_set, wanted=False)  # noqa: SLF001
                    await database.write(lambda _: None)
            house.late = timedelta(days=late)
        await house.dies(point, nth, **told)

        database = await stack.enter_async_context(open_database(house.directory / "state"))
        again = await stack.enter_async_context(google(workspace, cloud, house.now))
        ears = Ears()
        watches = GoogleWatches(
            lambda: again,
            url=house.door,
            database=database,
            kept=await rows(database, service),
            hint=ears.hint,
            turned=ears.turned,
            now=house.now,
            luck=lambda: 0.5,
        )
        async with house.listens(watches):
            watches.use([calendar.address])
            await becomes(lambda: ears.pushed, {calendar.address})
            await becomes(lambda: len(workspace.channels), 1 + orphans)
            calendar.put({"id": "new", "start": {"date": "2026-01-01"}, "end": {"date": "2026-01-02"}})
            await becomes(lambda: bool(ears.hints), wanted=True)
            # One whose answer never came is known by what it says, and stopped.
            await becomes(lambda: len(workspace.channels), 1)
            [id_] = workspace.channels
            assert id_ in {row.id for row in await rows(database, service)}
