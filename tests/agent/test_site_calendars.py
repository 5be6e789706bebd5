"""The site's calendars as the daemon has them, before anybody was asked anything."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.core.model import CalendarKind, CalendarPhase
from agent.settings import read
from agent.site_calendars import Calendars, open_calendars
from cloud_link.database import open_database

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SITE = """
[site]
id = "oslo"
timezone = "Europe/Oslo"
[mqtt]
url = "mqtt://127.0.0.1:1883"
[microsoft]
tenant = "contoso.example"
client_id = "6f1c9a02-7d0b-4c1e-9b53-0c7f1c1f5a11"
secret_file = "secret"
writes = true
[google]
key_file = "secret"
subject = "roomd@example.com"
[webex]
client_id = "C1"
client_secret_file = "secret"
activation_code_file = "secret"
[[rooms]]
id = "fjord"
calendar = { microsoft = "fjord@contoso.example", google = "c_1@resource.calendar.google.com" }
[[rooms]]
id = "elv"
"""


async def nobody(*_: object) -> None:
    raise AssertionError("nothing is told before anybody was asked")


@asynccontextmanager
async def calendars(directory: Path) -> AsyncIterator[Calendars]:
    (directory / "secret").write_text("s3cret", encoding="utf-8")
    (directory / "roomd.toml").write_text(SITE, encoding="utf-8")
    configuration = read(directory / "roomd.toml")
    assert configuration.accounts is not None
    async with open_database(directory / "state") as database:
        made = await open_calendars(configuration, configuration.accounts, database)
        yield made(deliver=nobody, tell=nobody, now=lambda: NOW, luck=random.Random(1).random)


async def test_rooms_have_the_calendars_that_they_were_given_the_better_first(tmp_path):
    async with calendars(tmp_path) as site:
        assert site.linked() == {"fjord": (CalendarKind.MICROSOFT, CalendarKind.GOOGLE)}
        assert site.writes() == {CalendarKind.MICROSOFT}


async def test_each_service_is_shown_with_all_its_rooms(tmp_path):
    async with calendars(tmp_path) as site:
        shown = site.pictured(whole=False)
        assert [each["service"] for each in shown] == ["microsoft", "google", "webex"]
        assert [room["room"] for room in shown[0]["rooms"]] == ["fjord", "elv"]
        assert [room["address"] for room in shown[0]["rooms"]] == ["fjord@contoso.example", None]
        assert shown[2]["hybrid"] == {}
        assert "doubts" not in shown[0]
        whole = site.pictured(whole=True)
        assert [(each["doubts"], each["others"]) for each in whole] == [([], [])] * 3
        assert "s3cret" not in str(whole)


async def test_health_counts_the_rooms_that_can_be_read(tmp_path):
    async with calendars(tmp_path) as site:
        told = {each.service: each for each in site.health()}
        assert (told["microsoft"].rooms, told["microsoft"].readable) == (1, 0)
        assert told["microsoft"].phase is CalendarPhase.CONNECTING


async def test_consent_is_for_a_service_that_is_there(tmp_path):
    async with calendars(tmp_path) as site:
        assert await site.consent("microsoft")
        assert await site.consent("webex")
        assert not await site.consent("exchange")


async def test_a_clock_that_jumps_is_heard_by_all(tmp_path):
    async with calendars(tmp_path) as site:
        site.stepped(timedelta(hours=1))
        assert len(site.views()) == 3


def test_what_has_no_calendars_loads_none_of_their_libraries():
    program = (
        "import sys, agent.{0}; "
        "sys.exit(', '.join(n for n in sys.modules if n == 'stamina' or n.startswith('cloud_link.cal')) or 0)"
    )
    for module in ("daemon", "cli"):
        run = subprocess.run(
            [sys.executable, "-c", program.format(module)], capture_output=True, text=True, check=False
        )
        assert (run.returncode, run.stderr) == (0, "")
