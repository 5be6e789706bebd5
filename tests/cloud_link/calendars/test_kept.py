"""What a restart knows of the calendars, also after a damaged file."""

from datetime import UTC, datetime
from pathlib import Path

from agent.core.model import RoomId
from cloud_link.calendars import kept
from cloud_link.calendars.integration import Service
from cloud_link.calendars.kept import KeptWatch, Revocation
from cloud_link.database import FILE, Connection, Database, open_database
from tests.cloud_link.stand import SMALL, append, seal

NINE = datetime(2026, 1, 14, 9, 0, 0, 123_000, tzinfo=UTC)
GONE = Revocation(why="consent is gone; ask for it", at=NINE, access=b"\x01" * 32)
FJORD, LAKE = RoomId("fjord"), RoomId("lake")
CONTOSO = "global contoso.example"
WATCHES = [KeptWatch(id=f"w{number}", address="fjord@contoso.example", body=b"{}") for number in range(3)]


def keep_all(tx: Connection) -> None:
    kept.keep_revoked(tx, Service.GOOGLE, GONE)
    kept.keep_links(
        tx,
        Service.MICROSOFT,
        {FJORD: "fjord@contoso.example", LAKE: "lake@contoso.example"},
        directory=CONTOSO,
    )
    for watch in WATCHES:
        kept.keep_watch(tx, Service.MICROSOFT, watch)


async def look(database: Database) -> kept.Kept:
    return await database.write(kept.read)


async def test_what_was_kept_is_there_after_a_restart(tmp_path: Path):
    async with open_database(tmp_path, limits=SMALL) as database:
        await database.write(keep_all)
    async with open_database(tmp_path, limits=SMALL) as database:
        found = await look(database)
        assert found.revoked == {Service.GOOGLE: GONE}
        assert found.links[Service.MICROSOFT] == {
            FJORD: "fjord@contoso.example",
            LAKE: "lake@contoso.example",
        }
        assert not found.links[Service.GOOGLE]
        assert found.watches[Service.MICROSOFT] == tuple(WATCHES)


async def test_a_damaged_file_gives_it_back(tmp_path: Path):
    async with open_database(tmp_path, limits=SMALL) as database:
        for _ in range(200):
            await append(database, [seal("rooms/fjord")])
        await database.write(keep_all)
        before = await look(database)

        def index(tx: Connection) -> int:
            row = tx.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'outbox_by_stream'").fetchone()
            return int(row[0])

        page = await database.write(index)
    with (tmp_path / FILE).open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x00" * 4096)
    async with open_database(tmp_path, limits=SMALL) as database:
        assert database.opened.reset is not None
        assert await look(database) == before


async def test_consent_again_forgets_that_it_was_gone(tmp_path: Path):
    async with open_database(tmp_path, limits=SMALL) as database:
        await database.write(keep_all)
        await database.write(lambda tx: kept.forget_revoked(tx, Service.GOOGLE))
        assert not (await look(database)).revoked


async def test_a_revoked_integration_keeps_no_subscription_and_leaves_the_others_theirs(tmp_path: Path):
    async with open_database(tmp_path, limits=SMALL) as database:
        await database.write(keep_all)
        await database.write(lambda tx: kept.keep_revoked(tx, Service.GOOGLE, GONE))
        assert len((await look(database)).watches[Service.MICROSOFT]) == 3
        await database.write(lambda tx: kept.keep_revoked(tx, Service.MICROSOFT, GONE))
        assert not (await look(database)).watches[Service.MICROSOFT]


async def test_links_and_watches_are_replaced(tmp_path: Path):
    async with open_database(tmp_path, limits=SMALL) as database:
        await database.write(keep_all)
        known = KeptWatch(id="w1", address="fjord@contoso.example", body=b'{"more": true}')
        await database.write(lambda tx: kept.keep_watch(tx, Service.MICROSOFT, known))
        await database.write(lambda tx: kept.forget_watch(tx, "w0"))
        await database.write(
            lambda tx: kept.keep_links(
                tx, Service.MICROSOFT, {LAKE: "lake@fabrikam.example"}, directory="global fabrikam.example"
            )
        )
        found = await look(database)
        assert found.watches[Service.MICROSOFT] == (known, WATCHES[2])
        assert found.links[Service.MICROSOFT] == {LAKE: "lake@fabrikam.example"}


async def test_what_was_found_in_another_tenant_is_no_link_of_this_one(tmp_path: Path):
    async with open_database(tmp_path, limits=SMALL) as database:
        await database.write(keep_all)
        before = await look(database)
        same = {Service.MICROSOFT: CONTOSO, Service.GOOGLE: "my_customer example.com"}
        assert await database.write(lambda tx: kept.begin(tx, same)) == before
        moved = {Service.MICROSOFT: "global fabrikam.example"}
        found = await database.write(lambda tx: kept.begin(tx, moved))
        assert found == await look(database)
        assert not any(found.links.values())
        assert found.watches == before.watches  # the service itself is asked which of them stand
        assert found.revoked == before.revoked


async def test_a_service_that_is_no_longer_configured_leaves_neither_links_nor_secrets(tmp_path: Path):
    async with open_database(tmp_path, limits=SMALL) as database:
        await database.write(keep_all)
        found = await database.write(lambda tx: kept.begin(tx, {Service.GOOGLE: "my_customer example.com"}))
        assert found == await look(database)
        assert not any(found.links.values())
        assert not any(found.watches.values())
        assert found.revoked == {Service.GOOGLE: GONE}


def test_secrets_stay_out_of_texts():
    assert "{}" not in repr(WATCHES[0])
    assert "x01" not in repr(GONE)
