"""OpenSSH's client, Cisco's jsxapi over SSH, and curl find nothing strange in a simulated device."""

import asyncio
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.simulator import ALL_VERSIONS, Answer, Device, Site
from tests.simulator_tests.test_judges import NODE, WITHIN_S, bring_jsxapi, saying, steps_in

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow


def needs(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"missing: {', '.join(missing)}; scripts/judges-install brings them")


async def output_of(*program: str, said: str = "", **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *program,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | environment,
    )
    async with asyncio.timeout(WITHIN_S):
        out, _ = await process.communicate(said.encode())
    return process.returncode or 0, out.decode()


# OpenSSH


async def openssh(
    device: Device, directory: Path, *options: str, said: str, password: str = ""
) -> tuple[int, str]:
    return await output_of(
        *("sshpass", "-e", "ssh", "-F", "none", "-p", str(device.ssh_port)),
        *("-o", f"UserKnownHostsFile={directory / 'known_hosts'}", "-o", "GlobalKnownHostsFile=none"),
        *("-o", "StrictHostKeyChecking=yes", "-o", "IdentityAgent=none", "-o", "NumberOfPasswordPrompts=1"),
        *("-o", "LogLevel=ERROR", *options, f"{device.user}@{device.host}"),
        said=said,
        SSHPASS=password or device.password,
    )


@pytest.mark.parametrize("way", ["password", "keyboard-interactive"])
@pytest.mark.parametrize("version", ALL_VERSIONS.values())
async def test_openssh_holds_a_conversation(tmp_path: Path, version: str, way: str):
    needs("ssh", "sshpass")
    async with Site(profile=version) as site:
        site.write(tmp_path)
        talk = (
            "echo off\n"
            'xStatus SystemUnit ProductId | resultId="1"\n'
            "xFeedback Register /Status/RoomAnalytics/PeopleCount\n"
            "xpreferences outputmode json\n"
            'xStatus RoomAnalytics PeopleCount Current | resultId="2"\n'
            "bye\n"
        )
        options = ("-T", "-o", f"PreferredAuthentications={way}")
        code, said = await openssh(site.devices[0], tmp_path, *options, said=talk)
        assert code == 0
        assert "*r Login successful\n" in said
        assert '*s SystemUnit ProductId: "Cisco Room Bar Pro"\n** resultId: "1"\n** end\n' in said
        assert '\n  "ResultId": "2"\n}\n' in said


async def test_openssh_gets_a_terminal(tmp_path: Path):
    needs("ssh", "sshpass")
    async with Site() as site:
        site.write(tmp_path)
        code, said = await openssh(
            site.devices[0], tmp_path, "-tt", said="echo off\nxStatus Standby State\nbye\n"
        )
        assert code == 0
        assert "\x1b[?1034h\r\nOK\r\n" in said
        assert "*s Standby State: Off\r\n** end\r\n\r\nOK\r\n" in said


async def test_openssh_refuses_another_host_key_and_is_refused_with_a_wrong_password(tmp_path: Path):
    needs("ssh", "sshpass")
    async with Site() as site:
        site.write(tmp_path)
        code, _ = await openssh(site.devices[0], tmp_path, "-T", said="", password="wrong")
        assert code == 5  # sshpass's word for a password that is not taken
        (tmp_path / "known_hosts").write_text(site.devices[0].known_hosts.replace("AAAA", "AAAB", 1))
        code, _ = await openssh(site.devices[0], tmp_path, "-T", said="")
        assert code != 0
        assert site.devices[0].logins == 0


async def test_ssh_keygen_prints_the_fingerprint_that_the_site_tells(tmp_path: Path):
    needs("ssh-keygen")
    async with Site(2) as site:
        site.write(tmp_path)
        code, said = await output_of("ssh-keygen", "-l", "-f", str(tmp_path / "known_hosts"))
        assert code == 0
        for device, line in zip(site.devices, said.splitlines(), strict=True):
            assert device.host_key in line


# jsxapi


@pytest.mark.parametrize("version", ALL_VERSIONS.values())
async def test_jsxapi_works_a_device_over_ssh(version: str):
    await bring_jsxapi()
    async with Site(profile=version) as site:
        device = site.devices[0]
        device.answer = Answer(after_s=0.1, listed_early=version.startswith("9."))
        program = ("node", str(HERE / "jsxapi_ssh_judge.js"), f"ssh://{device.host}:{device.ssh_port}")
        arguments = (*program, device.user, device.password)
        async with saying(arguments, NODE | {"SSH_AUTH_SOCK": ""}) as output:
            seen = await steps_in(output, device)
        assert seen.get("error") is None
        assert seen["done"]
        assert seen["uptime"].isdigit()
        assert seen["analytics"]["PeopleCount"]["Current"] == "0"
        assert seen["zone"] == "Europe/Oslo"
        assert seen["empty"]["ResultInfo"] == {"TotalRows": "0"}
        assert seen["refused"] == "Unknown command"
        for step in ("illegal", "invalid", "nowhere"):
            assert seen[step], step
        assert seen["booked"]["status"] == "OK"
        heard = {one["name"]: one["value"] for one in seen["heard"]}
        assert heard["people"] == "3"
        assert seen["listed"]["Booking"][0]["Title"] == 'Judged {by} "quotes"'
        assert seen["put"] == {"status": "OK"}
        assert [booking.title for booking in device.agenda()] == ["Møte 会議"]


# curl


async def curl(site: Site, directory: Path, path: str, *options: str, user: str = "") -> tuple[int, str]:
    """The status and the body."""
    device = site.devices[0]
    who = ("--user", user or f"{device.user}:{device.password}") if user != "nobody" else ()
    code, said = await output_of(
        *("curl", "--disable", "--silent", "--show-error", "--noproxy", "*"),
        *("--cacert", str(directory / "ca.pem"), "--write-out", "\n%{http_code}", *who, *options),
        f"https://{device.host}:{device.port}{path}",
    )
    assert code == 0
    body, _, status = said.rpartition("\n")
    return int(status), body


@pytest.mark.parametrize("version", ALL_VERSIONS.values())
async def test_curl_reads_writes_and_holds_a_session(tmp_path: Path, version: str):
    needs("curl")
    async with Site(profile=version) as site:
        site.write(tmp_path)
        jar = str(tmp_path / "cookies")
        assert (await curl(site, tmp_path, "/xmlapi/session/begin", "-X", "POST", "-c", jar))[0] == 204
        location = "/getxml?location=/Status/SystemUnit/Software/Version"
        status, text = await curl(site, tmp_path, location, "-b", jar, user="nobody")
        assert (status, ET.fromstring(text).get("product")) == (200, "Cisco Codec")
        site.devices[0].book_in_outlook("Weekly <&>")
        document = tmp_path / "list.xml"
        padding = "<!-- " + "x" * 2_000_000 + " -->"  # so large that curl asks first whether it may go on
        document.write_text(f'<Command>{padding}<Bookings><List command="True"/></Bookings></Command>')
        sent = ("-b", jar, "-H", "Content-Type: text/xml", "--data-binary", f"@{document}")
        status, text = await curl(site, tmp_path, "/putxml", *sent, user="nobody")
        assert status == 200
        assert ET.fromstring(text).findtext("BookingsListResult/Booking/Title") == "Weekly <&>"
        ended = await curl(site, tmp_path, "/xmlapi/session/end", "-X", "POST", "-b", jar, user="nobody")
        assert ended[0] == 204
        assert (await curl(site, tmp_path, location, "-b", jar, user="nobody"))[0] == 401
        assert (await curl(site, tmp_path, location, user="roomd:wrong"))[0] == 401
        assert site.devices[0].logins == 1
