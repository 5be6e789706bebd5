"""The package on a booted Debian: from its installation to the last file that a purge takes away."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from cloud_link.database import ADDED, SCHEMA
from tests.brokers import Mosquitto
from tests.brokers.crew import Crew
from tests.brokers.ports import free_port
from tests.prove import ledger
from tests.prove.machine import REPOSITORY, CannotBoot, Failed, Machine, archive_of, packages
from tests.prove.recorder import Recorder
from tests.prove.scenario import Result, Trial
from tests.prove.world import NO_LIMITS, WINDOW
from tests.simulator.scripts import demonstrate, fill_day
from tests.simulator.site import Site

ROOMS: Final = 6
RATE: Final = 6.0  # deeds per second over the site
BACKLOG: Final = 40  # envelopes that wait while roomd is upgraded
STOPS_WITHIN_S: Final = 15.0  # systemd's patience
WATCHED_S: Final = 10  # for the one that hangs: as in the unit, but sooner
PASSES_WITHIN_S: Final = 120.0
LOOK_EVERY_S: Final = 0.2
LASTS_AT_MOST_S: Final = 1500.0  # with both packages built, and the root file system fetched
SECURE: Final = "15"  # tenths, as systemd-analyze counts how much is left open
SERVICE: Final = "roomd.service"
DATABASE: Final = "/var/lib/roomd/roomd.db"
CONFIGURATION: Final = "/etc/roomd/roomd.toml"

GHOSTS: Final = 3
COUNTED: Final = f"""
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from agent import trends
from agent.core.model import Counted, HourTally
begins = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
tally = HourTally(room=sys.argv[1], starts_at=begins, day=begins.date(), hour=begins.hour, length_s=3600,
    counted=Counted(booked_s=3600, empty_s=3600, bookings={GHOSTS}, ghosts={GHOSTS}))
with closing(trends.open_to_write(Path("{DATABASE}").parent)) as file, trends.writing(file) as tx:
    trends.save(tx, [tally])
"""
ASKED_FOR: Final = """
import sys
from urllib.request import urlopen
print(urlopen("http://127.0.0.1:8580" + sys.argv[1], timeout=120).read().decode())
"""


class Installed:
    """A technician at the machine, with a broker and devices at the other end of the cable."""

    def __init__(
        self,
        machine: Machine,
        site: Site,
        broker: Mosquitto,
        recorder: Recorder,
        result: Result,
        *,
        port: int,
    ) -> None:
        self.machine: Final = machine
        self.site: Final = site
        self.broker: Final = broker
        self.recorder: Final = recorder
        self.result: Final = result
        self.state: Final = machine.root / DATABASE[1:].rpartition("/")[0]
        self._port: Final = port
        self._breaks = 0

    def fault(self) -> None:
        self.result.faults += 1
        self._breaks += 1
        self.result.allowed = WINDOW * self._breaks

    # ── what every step waits for

    async def up(self, *, not_pid: str = "") -> str:
        """It runs and has said so; its process."""
        await self.machine.until(
            "roomd runs",
            lambda seen: seen["ActiveState"] == "active" and seen["MainPID"] not in {"0", not_pid},
        )
        return (await self.machine.shown(SERVICE, "MainPID"))["MainPID"]

    async def told_more(self, events: int = 20) -> None:
        """So many facts more reach the cloud."""
        before = len(self.recorder.events)
        await self.recorder.until(lambda: len(self.recorder.events) >= before + events, within_s=90.0)

    async def waiting(self, enough: int) -> int:
        """Until so many envelopes wait on its disk."""
        async with asyncio.timeout(PASSES_WITHIN_S):
            while True:
                depth = ledger.waiting(self.state)
                if depth >= enough:
                    return depth
                await asyncio.sleep(LOOK_EVERY_S)

    async def delivered(self) -> None:
        """Until nothing waits."""
        async with asyncio.timeout(PASSES_WITHIN_S):
            while True:
                if not ledger.waiting(self.state):
                    return
                await asyncio.sleep(LOOK_EVERY_S)

    async def configured(self, *, name: str = "Fjord") -> None:
        """The file and its secrets, as docs/install.md has a technician write them."""
        lines = [
            "[site]",
            'id = "prove"',
            'timezone = "Europe/Oslo"',
            'privacy = "plain"',
            "[mqtt]",
            f'url = "mqtt://{self.machine.gateway}:{self._port}"',
            'username = "prove"',
            'password_file = "mqtt-password"',
        ]
        for device in self.site.describe()["devices"]:
            lines += [
                "[[rooms]]",
                f'id = "{device["room"]}"',
                f'name = "{name}"',
                "[[rooms.devices]]",
                f'host = "{device["host"]}:{device["port"]}"',
                f'username = "{device["user"]}"',
                f'password_file = "password-{device["room"]}"',
                f'fingerprint = "{device["fingerprint"]}"',
            ]
            await self._write(f"/etc/roomd/credentials/password-{device['room']}", device["password"])
        await self._write("/etc/roomd/credentials/mqtt-password", "not looked at")
        await self._write(CONFIGURATION, "\n".join(lines) + "\n")

    async def _write(self, file: str, text: str) -> None:
        await self.machine.run("tee", file, told=text)

    # ── a life, step by step

    async def installed(self, package: Path) -> None:
        """Nothing starts, and nothing complains, as long as there is no configuration."""
        machine = self.machine
        await install(machine, package)
        await machine.run("roomd", "--version")
        silent = await machine.run("systemd-analyze", "verify", "--man=no", SERVICE)
        assert not silent.err, f"systemd-analyze verify: {silent.err}"
        await machine.run("systemd-analyze", "security", f"--threshold={SECURE}", SERVICE)
        shown = await machine.shown(SERVICE, "ActiveState", "ConditionResult", "UnitFileState")
        assert shown == {"ActiveState": "inactive", "ConditionResult": "no", "UnitFileState": "enabled"}, (
            shown
        )
        failed = await machine.run("systemctl", "--failed", "--plain", "--no-legend")
        assert not failed.out.strip(), f"failed units: {failed.out}"
        for page in ("man1/roomd.1.gz", "man5/roomd.toml.5.gz"):
            assert (machine.root / "usr/share/man" / page).stat().st_size > 1000, page

    async def started(self) -> str:
        """The first fact is in the broker."""
        await self.configured()
        said = await self.machine.run("roomd", "check")
        assert "good" in said.out, said
        begun_s = time.monotonic()
        await self.machine.run("systemctl", "start", SERVICE)
        await self.recorder.until(lambda: self.recorder.events, within_s=60.0)
        self.result.notes.append(f"{time.monotonic() - begun_s:.1f} s from the start to the first fact")
        async with asyncio.timeout(PASSES_WITHIN_S):
            while True:
                if not await self._unheard():
                    break
                await asyncio.sleep(LOOK_EVERY_S)
        private = await self.machine.run("runuser", "-u", "nobody", "--", "cat", CONFIGURATION, fails=True)
        assert private.code != 0, "anybody can read the configuration"
        return await self.up()

    async def _unheard(self) -> list[str]:
        said = await self.machine.run("roomd", "rooms", "--json")
        rooms: list[dict[str, Any]] = json.loads(said.out)["rooms"]
        return [room["name"] for room in rooms if room["availability"]["state"] != "available"]

    async def reported(self) -> None:
        """With all that systemd forbids it, the process of the page's reports adds up and draws."""
        machine, room = self.machine, self.site.describe()["devices"][0]["room"]
        python = ("/usr/lib/roomd/bin/python", "-I", "-c")
        await machine.run("runuser", "-u", "roomd", "--", *python, COUNTED, room)
        begun_s = time.monotonic()
        page = await machine.run(*python, ASKED_FOR, "/trends")
        took_s = time.monotonic() - begun_s
        assert "Booked and empty" in page.out, page
        plot = await machine.run(*python, ASKED_FOR, "/trends/ghosts.svg")
        assert "<svg" in plot.out, plot
        said = await machine.run("runuser", "-u", "roomd", "--", "roomd", "report", "--json")
        assert json.loads(said.out)["total"]["ghosts"] == GHOSTS, said
        assert "trends.report_failed" not in await machine.log_of(SERVICE)
        self.result.notes.append(f"{took_s:.1f} s for the first report on the page")

    async def killed(self) -> None:
        before = await self.up()
        self.fault()
        await self.machine.run("kill", "-9", before)
        await self.up(not_pid=before)
        await self.told_more()

    async def hung(self) -> None:
        """Stopped where it stands, it feeds no watchdog any more."""
        machine = self.machine
        drop_in = "/run/systemd/system/roomd.service.d/sooner.conf"
        await machine.run("mkdir", "-p", drop_in.rpartition("/")[0])
        await self._write(drop_in, f"[Service]\nWatchdogSec={WATCHED_S}\n")
        await machine.run("systemctl", "daemon-reload")
        self.fault()
        await machine.run("systemctl", "restart", SERVICE)
        before = await self.up()
        await self.told_more(5)
        self.fault()
        begun_s = time.monotonic()
        await machine.run("kill", "-STOP", before)
        await machine.until(
            "the watchdog strikes",
            lambda seen: seen["ActiveState"] == "active" and seen["MainPID"] not in {"0", before},
            within_s=120.0,
        )
        self.result.notes.append(
            f"hung: {time.monotonic() - begun_s:.0f} s until it ran again, with WatchdogSec={WATCHED_S}"
        )
        assert "atchdog timeout" in await machine.log_of(SERVICE), "it was not the watchdog"
        await machine.run("rm", drop_in)
        await machine.run("systemctl", "daemon-reload")
        self.fault()
        await machine.run("systemctl", "restart", SERVICE)
        await self.told_more(5)

    async def reloaded(self) -> None:
        """A good file is taken; a bad one is refused in words, and the old goes on."""
        machine, before = self.machine, await self.up()
        await self.configured(name="Fjell")
        await machine.run("systemctl", "reload", SERVICE)
        await machine.run("cp", CONFIGURATION, "/root/good.toml")
        await self._write(CONFIGURATION, "[site]\nid = 7\n")
        refused = await machine.run("systemctl", "reload", SERVICE, fails=True)
        assert refused.code != 0, "systemd was not told that the file is bad"
        assert "site.timezone" in await machine.log_of(SERVICE), "the journal has no word of what is wrong"
        await machine.run("cp", "/root/good.toml", CONFIGURATION)
        await machine.run("systemctl", "reload", SERVICE)
        assert await self.up() == before, "a reload is no restart"
        await self.told_more(5)

    async def upgraded(self, package: Path) -> None:
        """With a backlog, and from a database as an older roomd left it."""
        machine = self.machine
        await self.broker.kill()
        self.fault()
        waits = await self.waiting(BACKLOG)
        begun_s = time.monotonic()
        await machine.run("systemctl", "stop", SERVICE)
        stopped_s = time.monotonic() - begun_s
        assert stopped_s < STOPS_WITHIN_S, f"{stopped_s:.1f} s to stop"
        made_older(machine.root / DATABASE[1:])
        await install(machine, package)
        await self.up()
        assert "database.migrated" in await machine.log_of(SERVICE), "nothing was migrated"
        still = ledger.waiting(self.state)
        assert still >= waits, f"{waits} waited before the upgrade, and {still} after it"
        await self.broker.start()
        await self.told_more()
        self.result.notes.append(f"upgraded with {still} envelopes waiting; stopped within {stopped_s:.1f} s")

    async def power_was_cut(self) -> None:
        await self.told_more(5)
        self.fault()
        await self.machine.cut_power()
        await self.machine.boot()
        await self.up()
        await self.told_more()

    async def rebooted(self) -> None:
        self.fault()
        await self.machine.reboot()
        await self.up()
        await self.told_more()

    async def stopped_in_time(self) -> None:
        """Also where the broker does not answer any more."""
        self.broker.freeze()
        self.fault()
        await self.waiting(5)
        begun_s = time.monotonic()
        await self.machine.run("systemctl", "stop", SERVICE)
        stopped_s = time.monotonic() - begun_s
        shown = await self.machine.shown(SERVICE, "Result", "ActiveState")
        assert shown == {"Result": "success", "ActiveState": "inactive"}, shown
        assert stopped_s < STOPS_WITHIN_S, f"{stopped_s:.1f} s to stop"
        self.broker.thaw()
        self.result.notes.append(f"stopped within {stopped_s:.1f} s of a broker that does not answer")
        await self.machine.run("systemctl", "start", SERVICE)
        await self.told_more()

    async def without_credentials(self) -> None:
        """A missing directory of secrets is told in words, once."""
        machine = self.machine
        self.fault()
        await machine.run("systemctl", "stop", SERVICE)
        await machine.run("mv", "/etc/roomd/credentials", "/root/credentials")
        await machine.run("systemctl", "start", SERVICE, fails=True)
        await machine.until(
            "it gives up", lambda seen: (seen["ActiveState"], seen["ExecMainStatus"]) == ("failed", "78")
        )
        assert "mqtt.password_file" in await machine.log_of(SERVICE), "nobody says which secret is missing"
        await machine.run("mv", "/root/credentials", "/etc/roomd/credentials")
        await machine.run("systemctl", "start", SERVICE)
        await self.up()

    async def downgraded(self, package: Path) -> None:
        """To a roomd that knows the database; and not to one that does not."""
        machine = self.machine
        self.fault()
        await install(machine, package, down=True)
        before = await self.up()
        await self.delivered()
        self.fault()
        await machine.run("systemctl", "stop", SERVICE)
        database = machine.root / DATABASE[1:]
        number(database, SCHEMA + 1)
        refused = await machine.run(*_apt(down=True), "--reinstall", f"/root/{package.name}", fails=True)
        assert refused.code != 0, "a database that it cannot read was no reason"
        assert f"schema {SCHEMA + 1}" in refused.out + refused.err, refused
        await machine.run("systemctl", "start", SERVICE, fails=True)  # the daemon says it, too
        await machine.until(
            "it gives up", lambda seen: (seen["ActiveState"], seen["ExecMainStatus"]) == ("failed", "65")
        )
        assert f"has schema {SCHEMA + 1}" in await machine.log_of(SERVICE)
        await machine.run("systemctl", "stop", SERVICE)
        number(database, SCHEMA)
        await machine.run("dpkg", "--configure", "-a")
        await machine.run("systemctl", "restart", SERVICE)
        await self.up(not_pid=before)
        await self.told_more(5)

    async def judged(self) -> None:
        """Everything that was promised has come, in order."""
        while True:
            await self.delivered()
            await self.machine.run("systemctl", "stop", SERVICE)
            promised = ledger.read(self.state)
            if not promised.pending:
                break
            self.fault()  # the day goes on: what was heard while it stopped waits for the next start
            await self.machine.run("systemctl", "start", SERVICE)
            await self.up()
        events = self.recorder.events
        with suppress(AssertionError, TimeoutError):  # the broker has it, and the witness may still read
            await self.recorder.until(lambda: not ledger.judge(promised, events).lost, within_s=30.0)
        judgement = ledger.judge(promised, events)
        result = self.result
        result.facts, result.lost, result.told = judgement.facts, judgement.lost, judgement.told
        result.repeated, result.out_of_order = judgement.repeated, judgement.out_of_order
        result.wrongs += judgement.wrongs
        if result.repeated > result.allowed:
            result.wrongs.append(
                f"{result.repeated} repeats, and no more than {result.allowed} were in flight"
            )
        log = await self.machine.log_of(SERVICE)
        if "Traceback" in log:
            result.wrongs.append(f"a traceback in the journal: {log[log.rindex('Traceback') :][:500]}")

    async def removed(self) -> None:
        """What a person wrote, and what is not delivered, stays until it is purged."""
        machine, root = self.machine, self.machine.root
        await machine.run("apt-get", "remove", "-q", "-y", "roomd")
        for kept in (CONFIGURATION, "/etc/roomd/credentials/mqtt-password", DATABASE):
            assert (root / kept[1:]).exists(), f"{kept} went with the package"
        assert not (root / "usr/lib/roomd").exists(), "something stays in /usr/lib/roomd"
        await machine.run("apt-get", "purge", "-q", "-y", "roomd")
        for gone in (
            "/etc/roomd",
            "/var/lib/roomd",
            "/run/roomd",
            "/etc/systemd/system/multi-user.target.wants/" + SERVICE,
        ):
            there = await machine.run("test", "-e", gone, fails=True)
            assert there.code != 0, f"{gone} is still there"


def _apt(*, down: bool = False) -> tuple[str, ...]:
    return ("apt-get", "install", "-q", "-y", *(["--allow-downgrades"] if down else []))


async def install(machine: Machine, package: Path, *, down: bool = False) -> None:
    """As a technician does it, without a network beyond the cable."""
    await asyncio.to_thread((machine.root / "root" / package.name).write_bytes, package.read_bytes())
    await machine.run(*_apt(down=down), f"/root/{package.name}")


def made_older(database: Path) -> None:
    """As the version before would have left it: without what came last."""
    with closing(sqlite3.connect(database, isolation_level=None)) as tx:
        for statement in ADDED[SCHEMA]:
            kind, name = statement.split()[1:3]
            found = tx.execute(
                "SELECT name FROM sqlite_schema WHERE type = ? AND substr(name, 1, ?) = ?",
                (kind.lower(), len(name), name),
            ).fetchall()
            for (each,) in found:
                tx.execute(f"DROP {kind} {each}")
        tx.execute(f"PRAGMA user_version = {SCHEMA - 1}")


def number(database: Path, schema: int) -> None:
    """Says that the database is of another schema."""
    with closing(sqlite3.connect(database, isolation_level=None)) as tx:
        tx.execute(f"PRAGMA user_version = {schema}")
        tx.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@asynccontextmanager
async def installation(
    release: str, archive: Path, result: Result, seed: int, directory: Path
) -> AsyncIterator[Installed]:
    """The machine booted, the site's day begun, the witness listening."""
    luck = random.Random(f"{seed}/machine {release}")
    port = free_port()
    async with Machine(archive, directory, devices=ROOMS) as machine:
        extra = f"{NO_LIMITS}\nlistener {port} {machine.gateway}"
        broker = Mosquitto(directory / "broker", persistence=True, extra=extra)
        site = Site(ROOMS, calendar="mix", seed=luck.randrange(1000), address_base=machine.devices_from)
        async with site, broker, Crew() as crew:
            fill_day(site)
            recorder = Recorder(broker.port)
            crew.start(recorder.run(), name="recorder")
            await recorder.until_listening()
            crew.start(demonstrate(site, RATE), name="day")
            yield Installed(machine, site, broker, recorder, result, port=port)


async def a_life(release: str, result: Result, seed: int) -> None:
    with (REPOSITORY / "Makefile").open() as turn, tempfile.TemporaryDirectory(prefix="machine-") as name:
        while True:  # one machine at a time: each wants the control groups for itself
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.5)
        directory = Path(name)
        step = "before all"
        try:
            archive = await archive_of(release)
            package, later = await packages(release, directory)
            async with installation(release, archive, result, seed, directory) as there:
                for step, done in (
                    ("install", partial(there.installed, package)),
                    ("first fact", there.started),
                    ("report", there.reported),
                    ("kill -9", there.killed),
                    ("hang", there.hung),
                    ("reload", there.reloaded),
                    ("upgrade", partial(there.upgraded, later)),
                    ("power cut", there.power_was_cut),
                    ("reboot", there.rebooted),
                    ("stop", there.stopped_in_time),
                    ("no credentials", there.without_credentials),
                    ("downgrade", partial(there.downgraded, package)),
                    ("ledger", there.judged),
                    ("remove", there.removed),
                ):
                    begun_s = time.monotonic()
                    await done()
                    if os.environ.get("PROVE_STEPS"):
                        result.notes.append(f"{step}: {time.monotonic() - begun_s:.1f} s")
        except (CannotBoot, Failed, AssertionError, OSError) as error:
            result.wrongs.append(f"{step}: {type(error).__name__}: {error}")


MACHINE: Final = tuple(
    Trial(
        name=f"machine, Debian {release}",
        tells="the package, booted: kill, hang, reload, upgrade, power cut, stop, downgrade, purge",
        run=partial(a_life, release),
        lasts_at_most_s=LASTS_AT_MOST_S,
    )
    for release in ("12", "13")
)
