"""What `roomd doctor` says of devices, against a simulated site."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent import device_checks
from agent.findings import Part, Verdict
from device_adapters.xapi.messages import PERMISSION_DENIED
from tests.agent.examining import examined, one
from tests.black_hole import black_hole
from tests.brokers.ports import free_port
from tests.installation import Installation, install
from tests.simulator import Device
from tests.simulator.site import Site

NOWHERE = "mqtt://127.0.0.1:1"


def described(site: Site) -> list[dict[str, Any]]:
    return [dict(each) for each in site.describe()["devices"]]


def furnished(
    directory: Path, site: Site, devices: Sequence[dict[str, Any]], *, pinned: bool = False
) -> Installation:
    site.write(directory / "site")
    authority = None if pinned else directory / "site" / "ca.pem"
    return install(directory / "roomd", devices=devices, broker_url=NOWHERE, device_ca=authority)


def one_account(installation: Installation) -> None:
    """All devices have the first one's password file."""
    lines = installation.config.read_text().splitlines()
    (first, *_) = [line for line in lines if line.startswith("password_file")]
    text = "\n".join(first if line.startswith("password_file") else line for line in lines)
    installation.config.write_text(text)


def configure(device: Device, path: str, value: str | int) -> None:
    device.configure(("Configuration", *path.split()), value)


async def test_what_a_device_is_and_how_it_is_believed_stands_in_one_line(tmp_path):
    async with Site(1, profile="11.27") as site:
        installation = furnished(tmp_path, site, described(site), pinned=True)
        found = await examined(installation, Part.DEVICES, at=None)
        finding = one(found, site.devices[0].room)
        assert finding.verdict is Verdict.OK
        for said in ("11.27.2.0", "over websocket", "1 of 30 sessions open", "certificate pinned, until 20"):
            assert said in finding.seen
        assert "the panel at the door shows no messages (since 26.1)" in one(found, "RoomOS 11.27.2").seen
        assert site.devices[0].logins == 1
        assert not site.devices[0].screen.seen()["OSD"]["messages"]


async def test_a_role_that_is_too_small_is_found_without_showing_anything(tmp_path):
    async with Site(1) as site:
        device = site.devices[0]
        denied = ("Security Session List", "UserInterface Message Prompt Display")
        device.fault(command_errors=dict.fromkeys(denied, PERMISSION_DENIED))
        found = await examined(furnished(tmp_path, site, described(site)), Part.DEVICES, at=None)
        finding = one(found, device.room)
        assert finding.verdict is Verdict.ADVICE
        assert "too small to show messages" in finding.seen
        assert finding.mend == "give it RoomControl or Integrator, or Admin."
        assert device.room in one(found, "lights at the door").seen


async def test_an_account_that_may_more_than_it_needs_is_told_once_for_all(tmp_path):
    async with Site(2) as site:
        for device in site.devices:
            device.lack("Configuration UserInterface LedControl", "Command UserInterface LedControl")
        found = await examined(furnished(tmp_path, site, described(site)), Part.DEVICES, at=None)
        finding = one(found, "account roomd")
        assert all(device.room in finding.seen for device in site.devices)
        assert finding.mend is not None
        assert "User and Integrator" in finding.mend


async def test_configuration_that_works_against_roomd_is_told_with_the_command_that_mends_it(tmp_path):
    async with Site(1) as site:
        device = site.devices[0]
        configure(device, "RoomAnalytics PeopleCountOutOfCall", "Off")
        configure(device, "RoomAnalytics RoomInUse InCall", "Disabled")
        configure(device, "Bookings CheckIn Enabled", "True")
        configure(device, "Security Session MaxSessionsPerUser", 2)
        found = await examined(furnished(tmp_path, site, described(site)), Part.DEVICES, at=None)
        mends = [each.mend for each in found if device.room in each.what]
        assert mends == [
            "set `xConfiguration RoomAnalytics PeopleCountOutOfCall: On`.",
            "set `xConfiguration RoomAnalytics RoomInUse InCall: Enabled`.",
            "set `xConfiguration Security Session MaxSessionsPerUser: 20`.",
        ]


async def test_a_device_that_releases_bookings_itself_is_told_where_roomd_is_to_release_them(tmp_path):
    async with Site(2) as site:
        for device in site.devices:
            configure(device, "Bookings CheckIn Enabled", "True")
        installation = furnished(tmp_path, site, described(site))
        text = installation.config.read_text()
        releasing, other = site.devices
        line = f'id = "{releasing.room}"\n'
        installation.config.write_text(text.replace(line, line + 'release = { mode = "dry-run" }\n'))
        found = await examined(installation, Part.DEVICES, at=None)
        finding = one(found, releasing.room)
        assert "deletes bookings without check-in" in finding.seen
        assert finding.mend == "set `xConfiguration Bookings CheckIn Enabled: False`."
        assert "check-in" not in one(found, other.room).seen


async def test_over_a_worse_line_the_switch_of_the_better_one_is_named(tmp_path):
    async with Site(1) as site:
        device = site.devices[0]
        device.offer(websocket=False, http=False)
        one_device = described(site)
        one_device[0] |= {"transport": "ssh"}
        installation = furnished(tmp_path, site, one_device)
        text = installation.config.read_text().replace(
            "[devices]\n", f'[devices]\nknown_hosts = "{tmp_path / "site" / "known_hosts"}"\n'
        )
        installation.config.write_text(text)
        found = await examined(installation, Part.DEVICES, at=None)
        mends = [each.mend for each in found if device.room in each.what]
        assert "set `xConfiguration NetworkServices HTTP Mode: HTTPS`." in mends
        assert "set `xConfiguration NetworkServices Websocket: FollowHTTPService`." in mends


@pytest.mark.parametrize(("by", "way"), [(timedelta(minutes=5), "behind"), (timedelta(hours=-3), "ahead of")])
async def test_a_clock_that_is_off_is_found(tmp_path, by, way):
    async with Site(1) as site:
        found = await examined(
            furnished(tmp_path, site, described(site)), Part.DEVICES, at=datetime.now(UTC) + by
        )
        (seen,) = [each.seen for each in found if "clock" in each.seen]
        assert way in seen


async def test_two_hosts_that_are_one_device_are_found(tmp_path):
    async with Site(1) as site:
        twice = described(site) * 2
        short = twice[0]["host"].replace(".0.", ".")  # 127.1.1 is 127.1.0.1, and another host to the file
        twice[1] = {**twice[1], "room": "another", "host": short}
        found = await examined(furnished(tmp_path, site, twice, pinned=True), Part.DEVICES, at=None)
        finding = one(found, "serial number")
        assert finding.verdict is Verdict.WRONG
        assert "another" in finding.seen


@pytest.mark.slow
async def test_the_living_are_heard_though_the_dead_have_the_same_password_and_come_first(tmp_path):
    with black_hole() as port:
        async with Site(3) as site:
            for device in site.devices:
                device.password = site.devices[0].password
            dead = [
                {
                    **described(site)[0],
                    "room": f"dead-{number}",
                    "host": f"127.8.0.{number}",
                    "port": port,
                    "ssh_port": port,
                    "transport": "websocket",
                }
                for number in range(1, 6)
            ]
            installation = furnished(tmp_path, site, [*dead, *described(site)])
            one_account(installation)
            found = await examined(installation, Part.DEVICES, at=None)
            assert {one(found, device.room).verdict for device in site.devices} == {Verdict.OK}
            assert {one(found, each["room"]).verdict for each in dead} == {Verdict.WRONG}


async def test_a_second_refusal_stops_a_password_that_others_took(tmp_path, monkeypatch):
    monkeypatch.setattr(device_checks, "DIALLED_AT_ONCE", 1)
    async with Site(4) as site:
        for device in site.devices:
            device.password = site.devices[0].password
        installation = furnished(tmp_path, site, described(site))
        one_account(installation)
        for device in site.devices[1:]:
            device.password = "another"
        found = await examined(installation, Part.DEVICES, at=None)
        assert [device.logins for device in site.devices] == [1, 0, 0, 0]
        refused = [each for each in found if each.verdict is Verdict.WRONG]
        assert len(refused) == 2
        assert site.devices[3].room in one(found, site.devices[3].room, "not tried").what


async def test_a_password_file_that_cannot_be_read_is_told_once(tmp_path):
    async with Site(3) as site:
        installation = furnished(tmp_path, site, described(site))
        one_account(installation)
        installation.config.with_name(f"password-{site.devices[0].room}").unlink()
        installation.config.with_name(f"password-{site.devices[0].room}").mkdir()
        found = await examined(installation, Part.DEVICES, at=None)
        if {each.part for each in found} == {Part.FILE}:
            return  # the file itself says so
        assert len([each for each in found if each.verdict is Verdict.WRONG]) == 1


@pytest.mark.parametrize(("transport", "verdict"), [("websocket", Verdict.WRONG), ("", Verdict.ADVICE)])
async def test_a_certificate_that_nobody_vouches_for_is_told_with_its_fingerprint(
    tmp_path, transport, verdict
):
    async with Site(1, self_signed=True) as site:
        (device,) = described(site)
        installation = furnished(tmp_path, site, [{**device, "transport": transport}], pinned=True)
        text = installation.config.read_text()
        kept = [line for line in text.splitlines() if not line.startswith("fingerprint")]
        installation.config.write_text("\n".join(kept))
        found = await examined(installation, Part.DEVICES, at=None)
        finding = one(found, site.devices[0].room)
        assert finding.verdict is verdict
        assert "its certificate is signed by itself" in finding.seen
        assert f'fingerprint = "sha256:{site.devices[0].fingerprint.removeprefix("sha256:")}"' in (
            finding.mend or ""
        )


async def test_libraries_words_are_put_into_ours(tmp_path):
    async with Site(1) as site:
        (device,) = described(site)
        device |= {"port": free_port(), "ssh_port": free_port()}
        finding = one(await examined(furnished(tmp_path, site, [device]), Part.DEVICES, at=None), "room")
        assert "Errno" not in finding.seen
        assert "nobody listens" in finding.seen
