"""What the configuration says of calendars: read into values, or refused with every mistake at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.core.model import Transport
from agent.settings import Configuration, ConfigurationRefused, read
from cloud_link.calendars.google import GOOGLE
from cloud_link.calendars.google_calendar import Writing
from cloud_link.calendars.integration import Service
from cloud_link.calendars.microsoft import Cloud
from cloud_link.calendars.webex_codes import KEY_URLS

SITE = """
[site]
id = "oslo-lysaker"
timezone = "Europe/Oslo"

[mqtt]
url = "mqtts://broker.example.com:8883"

[devices]
username = "roomd"
password_file = "secret"
"""
MICROSOFT = """
[microsoft]
tenant = "contoso.onmicrosoft.com"
client_id = "11111111-2222-3333-4444-555555555555"
secret_file = "secret"
"""
GOOGLE_TABLE = """
[google]
key_file = "secret"
subject = "roomd@example.com"
"""
WEBEX = """
[webex]
client_id = "C1"
client_secret_file = "secret"
activation_code_file = "secret"
"""
PUSHES = """
[pushes]
listen = "127.0.0.1:8444"
url = "https://roomd.example.com/hooks"
"""
ROOM = """
[[rooms]]
id = "fjord"
name = "Fjord"
capacity = 8
"""
DEVICE = """
[[rooms.devices]]
host = "10.0.4.21"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n", encoding="utf-8")
    secret.chmod(0o600)
    return tmp_path


def reads(directory: Path, *parts: str) -> Configuration:
    file = directory / "roomd.toml"
    file.write_text(SITE + "".join(parts), encoding="utf-8")
    return read(file)


def refuses(directory: Path, *parts: str) -> dict[str, str]:
    with pytest.raises(ConfigurationRefused) as refusal:
        reads(directory, *parts)
    assert all(problem.mend for problem in refusal.value.problems)
    return {problem.key: f"{problem.what}. {problem.mend}" for problem in refusal.value.problems}


def test_a_site_without_calendars_has_no_accounts(directory):
    configuration = reads(directory, ROOM, DEVICE)
    assert (configuration.accounts, configuration.linked, configuration.services) == (None, (), ())


def test_a_site_without_calendars_does_not_load_their_libraries(directory):
    reads(directory, ROOM, DEVICE)
    program = (
        "import sys; from pathlib import Path; from agent.settings import read; read(Path(sys.argv[1])); "
        "sys.exit(', '.join(name for name in ('httpx', 'stamina') if name in sys.modules) or 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, directory / "roomd.toml"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_microsoft_is_read_with_a_secret(directory):
    accounts = reads(directory, MICROSOFT, ROOM).accounts
    assert accounts is not None
    assert accounts.microsoft is not None
    assert accounts.microsoft.secret_file == directory / "secret"
    assert accounts.microsoft.cloud is Cloud.GLOBAL
    assert not accounts.microsoft.writes
    assert (accounts.google, accounts.webex, accounts.push) == (None, None, None)


def test_microsoft_is_read_with_a_certificate_in_another_cloud(directory):
    table = MICROSOFT.replace("secret_file", 'cloud = "us_defence"\nkey_file = "secret"\ncertificate_file')
    table += (
        'login_url = "https://login.example.com"\ngraph_url = "https://graph.example.com:8443"\n'
        'writes = true\norganizers = true\nsearch_bodies = true\nproxy = "http://proxy.example.com:3128"\n'
        'ca_file = "secret"\n'
    )
    accounts = reads(directory, table, ROOM).accounts
    assert accounts is not None
    account = accounts.microsoft
    assert account is not None
    assert account.cloud is Cloud.US_DEFENCE
    assert (account.certificate_file, account.key_file) == (directory / "secret", directory / "secret")
    assert account.login_url == "https://login.example.com:443"
    assert account.graph_url == "https://graph.example.com:8443"
    assert (account.writes, account.organizers, account.search_bodies) == (True, True, True)
    assert (account.way.ca_file, account.way.proxy) == (directory / "secret", "http://proxy.example.com:3128")


def test_google_writes_only_what_the_site_names(directory):
    table = GOOGLE_TABLE + 'writes = ["insert", "delete"]\ncalendar_url = "http://127.0.0.1:8080"\n'
    accounts = reads(directory, table, ROOM).accounts
    assert accounts is not None
    assert accounts.google is not None
    assert accounts.google.writes == {Writing.INSERT, Writing.DELETE}
    assert accounts.google.origins.calendar == "http://127.0.0.1:8080"
    assert accounts.google.origins.directory == GOOGLE.directory


def test_webex_is_read(directory):
    keys = 'key_urls = { "us-test" = "https://127.0.0.1:9000/jwks" }\n'
    accounts = reads(directory, WEBEX + keys, ROOM, DEVICE).accounts
    assert accounts is not None
    assert accounts.webex is not None
    assert accounts.webex.client_id == "C1"
    assert reads(directory, WEBEX, MICROSOFT, ROOM, DEVICE).services == ("microsoft", "webex")
    assert accounts.webex.key_urls == {**KEY_URLS, "us-test": "https://127.0.0.1:9000/jwks"}


@pytest.mark.parametrize("url", ["http://xapi-a.wbx2.com/jwks", "https://u:p@xapi-a.wbx2.com/jwks"])
def test_keys_come_only_from_where_they_can_be_asked_for(directory, url):
    told = refuses(directory, WEBEX + f'key_urls = {{ "us-test" = "{url}" }}\n', ROOM, DEVICE)
    assert told.keys() == {"webex.key_urls.us-test"}


def test_a_code_that_was_used_need_not_lie_there_any_more(directory):
    table = WEBEX.replace('code_file = "secret"', 'code_file = "code"')
    place = f'[agent]\nstate_directory = "{directory}"\n'
    assert refuses(directory, place, table, ROOM).keys() == {"webex.activation_code_file"}
    (directory / "webex-grant.json").touch()
    accounts = reads(directory, place, table, ROOM).accounts
    assert accounts is not None
    assert accounts.webex is not None
    assert accounts.webex.activation_code_file == directory / "code"


def test_the_door_of_the_clouds_is_read(directory):
    configuration = reads(directory, MICROSOFT, PUSHES, ROOM)
    assert configuration.accounts is not None
    door = configuration.accounts.push
    assert door is not None
    assert (door.host, door.port, door.url) == ("127.0.0.1", 8444, "https://roomd.example.com/hooks")
    assert configuration.notes == ()


def test_devices_and_clouds_do_not_call_at_one_port(directory):
    feedback = '[feedback]\nlisten = "0.0.0.0:8444"\nurl = "http://10.0.4.2:8444"\n'
    assert set(refuses(directory, feedback, MICROSOFT, PUSHES, ROOM, DEVICE)) == {"pushes.listen"}


def test_every_room_is_linked_by_hand_or_to_be_found(directory):
    rooms = (
        '[[rooms]]\nid = "fjord"\ncalendar = { microsoft = "fjord@contoso.com", google = false }\n',
        '[[rooms]]\nid = "elv"\nname = "Elv"\ncapacity = 4\n',
    )
    linked = reads(directory, MICROSOFT, GOOGLE_TABLE, *rooms).linked
    assert [(each.id, each.name, each.capacity) for each in linked] == [
        ("fjord", "fjord", None),
        ("elv", "Elv", 4),
    ]
    assert [each.microsoft for each in linked] == ["fjord@contoso.com", None]
    assert [each.left_out for each in linked] == [{Service.GOOGLE}, frozenset()]


def test_every_mistake_is_told_at_once(directory):
    told = refuses(
        directory,
        '[microsoft]\ntenant = "common"\nclient_id = "roomd"\nlogin_url = "http://login.example.com"\n'
        'proxy = "http://me:hunter2@proxy.example.com"\ncolour = "red"\n',
        '[google]\nwrites = ["everything"]\nsubject = "nobody"\n',
        '[pushes]\nlisten = "127.0.0.1:8444"\nurl = "http://roomd.example.com"\n',
        'certificate_file = "secret"\n',
        '[[rooms]]\nid = "fjord"\n',
        'calendar = { microsoft = "Fjord", google = true, webex = "W1", put_on_devices = true }\n',
    )
    assert {
        "microsoft.tenant",
        "microsoft.client_id",
        "microsoft.login_url",
        "microsoft.secret_file",
        "microsoft.proxy",
        "microsoft.colour",
        "google.writes[0]",
        "google.subject",
        "google.key_file",
        "pushes.url",
        "pushes.certificate_file",
        "rooms[0].calendar.microsoft",
        "rooms[0].calendar.google",
        "rooms[0].calendar.webex",
        "rooms[0].calendar.put_on_devices",
    } <= set(told)
    assert "hunter2" not in "".join(told.values())


@pytest.mark.parametrize(
    ("table", "key", "words"),
    [
        (PUSHES.replace("https:", "http:"), "pushes.url", "with https://"),
        (PUSHES.replace("127.0.0.1:8444", "8444"), "pushes.listen", '"10.0.4.21:8444"'),
        (GOOGLE_TABLE.replace("roomd@example.com", "roomd"), "google.subject", "no user's address"),
        (f"{GOOGLE_TABLE}writes = true", "google.writes", 'writes = ["…"]'),
        (MICROSOFT.replace("contoso.onmicrosoft.com", "common"), "microsoft.tenant", "names no tenant"),
    ],
)
def test_a_mistake_is_told_once_with_a_mend_that_helps(directory, table, key, words):
    found = refuses(directory, MICROSOFT if "[microsoft]" not in table else "", table, ROOM)
    assert found.keys() == {key}
    assert words in found[key]


def test_a_room_s_calendar_is_a_table(directory):
    found = refuses(directory, MICROSOFT, ROOM, 'calendar = "fjord@contoso.com"')
    assert "calendar = { microsoft =" in found["rooms[0].calendar"]


def test_a_room_of_a_service_that_is_not_there_is_refused(directory):
    room = '[[rooms]]\nid = "fjord"\ncalendar = { google = "fjord@resource.calendar.google.com" }\n'
    told = refuses(directory, MICROSOFT, room)
    assert told == {
        "rooms[0].calendar.google": "has no [google] to be read by. Add the table [google], or take this out"
    }
    assert set(refuses(directory, room)) == {"rooms[0].calendar.google"}


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('key_file = "secret"', "microsoft.secret_file"),
        ('certificate_file = "secret"', "microsoft.secret_file"),
        ('graph_url = "https://graph.example.com/v1.0"', "microsoft.graph_url"),
        ('proxy = "socks5://127.0.0.1"', "microsoft.proxy"),
        ('ca_file = "gone"', "microsoft.ca_file"),
        ('cloud = "germany"', "microsoft.cloud"),
    ],
)
def test_what_cannot_be_of_microsoft_is_refused(directory, line, key):
    assert set(refuses(directory, MICROSOFT + line + "\n", ROOM)) == {key}


def test_a_secret_comes_from_the_credentials_first(directory, tmp_path_factory, monkeypatch):
    credentials = tmp_path_factory.mktemp("credentials")
    (credentials / "secret").write_text("better", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    accounts = reads(directory, MICROSOFT, ROOM).accounts
    assert accounts is not None
    assert accounts.microsoft is not None
    assert accounts.microsoft.secret_file == credentials / "secret"


def test_the_secret_itself_is_in_no_value(directory):
    assert "hunter2" not in repr(reads(directory, MICROSOFT, GOOGLE_TABLE, WEBEX, PUSHES, ROOM, DEVICE))


def test_only_a_room_with_neither_device_nor_calendar_nor_sensor_is_worth_a_note(directory):
    assert "has no device, calendar or sensor" in reads(directory, ROOM).notes[0]
    assert reads(directory, MICROSOFT, ROOM).notes == ()
    left_out = "calendar = { microsoft = false }\n"
    assert "has no device, calendar or sensor" in reads(directory, MICROSOFT, ROOM, left_out).notes[0]


def test_putting_the_agenda_on_devices_names_the_terms(directory):
    configuration = reads(directory, MICROSOFT, ROOM, "calendar = { put_on_devices = true }\n", DEVICE)
    assert configuration.rooms[0].put_on_devices
    assert "written permission" in configuration.notes[0]
    assert set(refuses(directory, ROOM, "calendar = { put_on_devices = true }\n", DEVICE)) == {
        "rooms[0].calendar.put_on_devices"
    }


def test_one_calendar_of_two_rooms_is_worth_a_note(directory):
    calendar = 'calendar = { microsoft = "fjord@contoso.com" }\n'
    other = '[[rooms]]\nid = "elv"\n' + calendar.upper().replace("CALENDAR", "calendar").replace(
        "MICROSOFT", "microsoft"
    )
    configuration = reads(directory, MICROSOFT, ROOM, calendar, other)
    assert "fjord and elv" in configuration.notes[0]


def test_a_door_that_is_open_to_the_way_is_worth_a_note(directory):
    open_door = PUSHES.replace("127.0.0.1", "0.0.0.0")
    assert "certificate_file" in reads(directory, MICROSOFT, open_door, ROOM).notes[0]
    assert "nobody calls" in reads(directory, PUSHES, ROOM, DEVICE).notes[0]


# ── devices that only Webex reaches ───────────────────────────────────────────────────────────────


def test_a_device_may_be_reached_through_webex_alone(directory):
    device = reads(directory, WEBEX, ROOM, '[[rooms.devices]]\nwebex = "FOC123"\n').devices[0]
    assert (device.host, device.webex, device.transports) == ("", "FOC123", (Transport.CLOUD,))


def test_webex_is_the_last_line_of_a_device_that_has_a_host(directory):
    device = reads(directory, WEBEX, ROOM, DEVICE, 'webex = "FOC123"\n').devices[0]
    assert device.transports == (Transport.WEBSOCKET, Transport.SSH, Transport.HTTP, Transport.CLOUD)
    only = reads(directory, WEBEX, ROOM, DEVICE, 'webex = "FOC123"\ntransport = "cloud"\n').devices[0]
    assert only.transports == (Transport.CLOUD,)


@pytest.mark.parametrize(
    ("tables", "device", "key"),
    [
        ("", 'webex = "FOC123"', "webex"),
        ("", 'host = "10.0.0.1"\nwebex = "FOC123"', "webex"),
        (WEBEX, 'host = "10.0.0.1"\ntransport = "cloud"', "webex"),
        (WEBEX, 'webex = "FOC123"\ntransport = "websocket"', "host"),
        (WEBEX, 'id = "panel"', "host"),
    ],
)
def test_a_device_that_no_line_leads_to_is_refused(directory, tables, device, key):
    assert set(refuses(directory, tables, ROOM, f"[[rooms.devices]]\n{device}\n")) == {
        f"rooms[0].devices[0].{key}"
    }
