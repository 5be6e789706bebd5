from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.core.model import Transport
from agent.settings import Configuration, ConfigurationRefused, read, read_whereabouts

NOBODY = 65534  # as Debian and others number it

GOOD = """
[site]
id = "oslo-lysaker"
timezone = "Europe/Oslo"

[mqtt]
url = "mqtts://broker.example.com:8883"
username = "oslo-lysaker"
password_file = "mqtt-password"

[devices]
username = "roomd"
password_file = "device-password"

[[rooms]]
id = "fjord"
name = "Fjord"
capacity = 8
[[rooms.devices]]
host = "10.0.4.21"
[[rooms.devices]]
host = "10.0.4.22:8443"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("mqtt-password", "device-password"):
        (tmp_path / name).write_text("hunter2\n", encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def reads(directory: Path, text: str = GOOD) -> Configuration:
    file = directory / "roomd.toml"
    file.write_text(text, encoding="utf-8")
    return read(file)


def refuses(directory: Path, text: str = GOOD) -> dict[str, str]:
    with pytest.raises(ConfigurationRefused) as refusal:
        reads(directory, text)
    return {problem.key: f"{problem.what}. {problem.mend}" for problem in refusal.value.problems}


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "{a=" * 5_000, "a = " + "9" * 5_000])
def test_what_no_reader_takes_is_refused_like_any_other_mistake(directory: Path, text: str):
    """A running roomd reads it as well, and goes on as it was."""
    assert "Look for what got into it" in refuses(directory, text)["the file"]


def test_the_smallest_configuration_is_enough(directory):
    configuration = reads(directory)
    assert configuration.notes == ()
    assert [(d.id, d.host, d.port) for d in configuration.devices] == [
        ("fjord", "10.0.4.21", 443),
        ("fjord-2", "10.0.4.22", 8443),
    ]
    assert configuration.site.base == "roomd/v1/oslo-lysaker"


def test_every_mistake_is_told_at_once(directory):
    text = (
        GOOD.replace('id = "fjord"', 'id = "Fjord Room"')
        .replace("capacity = 8", "capacity = 0\ncolour = 'red'")
        .replace('url = "mqtts://broker.example.com:8883"', "")
        .replace('host = "10.0.4.21"', 'host = "10.0.4.21"\nfingerprint = "12:34"')
    )
    assert set(refuses(directory, text)) == {
        "rooms[0].id",
        "rooms[0].capacity",
        "rooms[0].colour",
        "mqtt.url",
        "rooms[0].devices[0].fingerprint",
    }


def test_mistakes_of_different_kinds_are_told_at_once(directory):
    text = (
        GOOD.replace("capacity = 8", "colour = 'red'")
        .replace("10.0.4.22:8443", "10.0.4.21:443")
        .replace('password_file = "device-password"', 'password_file = "gone"')
    )
    told = refuses(directory, text)
    assert set(told) == {"rooms[0].colour", "devices.password_file", "rooms.devices.host"}


@pytest.mark.parametrize(
    "url", ["mqtt://[::1", "mqtt://h:99999", "mqtt://h:abc", "mqtt://h:0", "mqtt://", "h:1883"]
)
def test_a_broker_that_cannot_be_is_refused(directory, url):
    assert set(refuses(directory, GOOD.replace("mqtts://broker.example.com:8883", url))) == {"mqtt.url"}


@pytest.mark.parametrize(
    "host", ["10.0.0.1 or so", "10.0.0.1:0", "10.0.0.1:x", "user@h", "h/path", "", "10.0\\u0000"]
)
def test_a_host_that_cannot_be_is_refused(directory, host):
    assert "rooms[0].devices[0].host" in refuses(directory, GOOD.replace("10.0.4.21", host))


def test_two_devices_cannot_have_one_name(directory):
    text = GOOD + '[[rooms]]\nid = "fjord-2"\n[[rooms.devices]]\nhost = "10.0.4.23"\n'
    assert "fjord-2" in refuses(directory, text)["rooms.devices.id"]


def test_one_host_written_in_two_ways_is_one(directory):
    text = GOOD.replace("10.0.4.22:8443", "10.0.4.21:443")
    assert "10.0.4.21:443" in refuses(directory, text)["rooms.devices.host"]


@pytest.mark.parametrize(
    ("name", "value"), [("ROOMD_ROOMS", "x"), ("ROOMD_SITE__FOO", "x"), ("ROOMD_MQTT__WINDOW", "no")]
)
def test_a_mistake_in_the_environment_is_told_as_one(directory, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationRefused) as refusal:
        reads(directory)
    assert {str(problem.file) for problem in refusal.value.problems} == {"environment"}


def test_yes_is_no_number(directory):
    assert "rooms[0].capacity" in refuses(directory, GOOD.replace("capacity = 8", "capacity = true"))


def test_a_site_without_a_name_hides_no_other_mistake(directory):
    text = GOOD.replace('id = "oslo-lysaker"', 'id = "Oslo"').replace("Europe/Oslo", "Europe/Olso")
    told = refuses(directory, text.replace('password_file = "device-password"', 'password_file = "gone"'))
    assert set(told) == {"site.id", "site.timezone", "devices.password_file"}


def test_an_empty_file_says_what_it_lacks(directory):
    assert {"site", "mqtt", "rooms"} <= set(refuses(directory, ""))


def test_what_contradicts_itself_is_told_at_once(directory):
    text = (
        GOOD.replace("Europe/Oslo", "Europe/Olso")
        .replace("mqtts://broker.example.com:8883", "tcp://broker")
        .replace('password_file = "device-password"', 'password_file = "gone"')
    )
    told = refuses(directory, text)
    assert set(told) == {"site.timezone", "mqtt.url", "devices.password_file"}


def test_a_secret_stands_in_the_credentials_of_systemd_first(directory, tmp_path_factory, monkeypatch):
    credentials = tmp_path_factory.mktemp("credentials")
    (credentials / "device-password").write_text("other", encoding="utf-8")
    (credentials / "device-password").chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    configuration = reads(directory)
    assert configuration.devices[0].credential.password_file == credentials / "device-password"
    assert configuration.broker.password_file == directory / "mqtt-password"


def test_a_directory_of_credentials_beside_the_file_is_looked_into(directory):
    (directory / "credentials").mkdir(mode=0o700)
    (directory / "device-password").rename(directory / "credentials" / "device-password")
    configuration = reads(directory)
    assert configuration.devices[0].credential.password_file == directory / "credentials" / "device-password"
    assert configuration.broker.password_file == directory / "mqtt-password"


@pytest.mark.parametrize("name", ["møte-passord", "10.0.4.21:8443"])
def test_a_secret_that_systemd_could_not_hand_over_is_refused(directory, name):
    """It would start no roomd, and say no more than 243/CREDENTIALS."""
    (directory / "credentials").mkdir(mode=0o700)
    (directory / "credentials" / name).write_text("secret\n")
    with pytest.raises(ConfigurationRefused, match=r"systemd.*Name it with a-z"):
        reads(directory)
    (directory / "credentials" / name).rename(directory / "credentials" / "plain")
    (directory / "credentials" / ".editing.swp").write_text("passed over\n")
    reads(directory)


def test_systemd_puts_the_directory_before_the_names_of_its_credentials(
    directory, tmp_path_factory, monkeypatch
):
    handed = tmp_path_factory.mktemp("handed")
    (directory / "credentials").mkdir(mode=0o700)
    (directory / "device-password").rename(handed / "credentials_device-password")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(handed))
    configuration = reads(directory)
    assert configuration.devices[0].credential.password_file == handed / "credentials_device-password"
    (handed / "credentials_device-password").unlink()
    told = refuses(directory)["devices.password_file"]
    assert "was not there when systemd started" in told
    assert "systemctl restart roomd" in told


def test_an_empty_secret_is_refused(directory):
    (directory / "device-password").write_text("\n", encoding="utf-8")
    assert "empty" in refuses(directory, GOOD)["devices.password_file"]


def test_a_secret_that_everybody_can_read_is_worth_a_note(directory):
    directory.chmod(0o755)
    (directory / "device-password").chmod(0o644)
    assert any("chmod 640" in note for note in reads(directory).notes)
    directory.chmod(0o750)
    assert reads(directory).notes == (), "nobody else may enter there"


def test_the_environment_is_laid_over_the_file(directory, monkeypatch):
    monkeypatch.setenv("ROOMD_MQTT__URL", "mqtt://127.0.0.1:1883")
    assert reads(directory).broker.url == "mqtt://127.0.0.1:1883"


def test_the_environment_may_be_in_small_letters_and_hold_a_whole_table(directory, monkeypatch):
    monkeypatch.setenv("roomd_agent", '{"id": "a1"}')
    assert reads(directory).policy.agent == "a1"
    monkeypatch.setenv("roomd_agent", "{")
    with pytest.raises(ConfigurationRefused) as refusal:
        read_whereabouts(directory / "roomd.toml")
    assert [str(problem.file) for problem in refusal.value.problems] == ["environment"]
    monkeypatch.delenv("roomd_agent")
    monkeypatch.setenv("roomd_agent__budget_mb", "x")
    with pytest.raises(ConfigurationRefused, match="environment: roomd_agent__budget_mb: "):
        reads(directory)


def test_a_broker_beyond_this_machine_without_tls_is_worth_a_note(directory):
    text = GOOD.replace("mqtts://broker.example.com:8883", "mqtt://broker.example.com")
    assert any("not encrypted" in note for note in reads(directory, text).notes)


def test_unverified_devices_are_allowed_in_so_many_words(directory):
    text = GOOD.replace('username = "roomd"', 'username = "roomd"\nunverified = true')
    configuration = reads(directory, text)
    assert configuration.devices[0].trust.unverified
    assert any("not verified" in note for note in configuration.notes)


@pytest.mark.parametrize("before", ["", "sha256:", "SHA256:", "sha256 Fingerprint=", "SHA256 Fingerprint="])
def test_a_fingerprint_is_read_as_openssl_prints_it(directory, before):
    printed = before + ":".join(["AB"] * 32)
    text = GOOD.replace('host = "10.0.4.21"', f'host = "10.0.4.21"\nfingerprint = "{printed}"')
    assert reads(directory, text).devices[0].trust.fingerprint == "sha256:" + "ab" * 32


def test_sealed_needs_a_key(directory):
    text = GOOD.replace('id = "oslo-lysaker"', 'id = "oslo-lysaker"\nprivacy = "sealed"')
    assert "recipient_key_file" in refuses(directory, text)["site.privacy"]


def test_any_line_is_tried_unless_one_is_named(directory):
    assert reads(directory).devices[0].transports == (Transport.WEBSOCKET, Transport.SSH, Transport.HTTP)
    named = GOOD.replace('username = "roomd"', 'username = "roomd"\ntransport = "http"')
    assert reads(directory, named).devices[0].transports == (Transport.HTTP,)


def test_ssh_needs_a_host_key(directory):
    text = GOOD.replace('username = "roomd"', 'username = "roomd"\ntransport = "ssh"')
    assert "know the device" in refuses(directory, text)["rooms[0].devices[0].transport"]
    key = f"SHA256:{'A' * 43}"
    pinned = text.replace(':8443"', f':8443"\nhost_key = "{key}"\nssh_port = 2222')
    pinned = pinned.replace('"10.0.4.21"', f'"10.0.4.21"\nhost_key = "{key}"')
    device = reads(directory, pinned).devices[1]
    assert (device.trust.host_key, device.ssh_port) == (key, 2222)
    wrong = pinned.replace(key, "AA:BB")
    assert "is no host key" in refuses(directory, wrong)["rooms[0].devices[0].host_key"]


def test_where_devices_call_back(directory):
    assert reads(directory).feedback is None
    text = GOOD + '[feedback]\nlisten = "10.0.4.2"\nslot = 3\n'
    configuration = reads(directory, text)
    assert configuration.feedback is not None
    assert (configuration.feedback.host, configuration.feedback.port) == ("10.0.4.2", 8443)
    assert any("TMS" in note for note in configuration.notes)
    assert any("can be read on its way" in note for note in configuration.notes)
    assert "is not given" in refuses(directory, GOOD + '[feedback]\nurl = "http://a.b"\n')["feedback.listen"]
    assert "is no address" in refuses(directory, text + 'url = "a.b"\n')["feedback.url"]
    assert (
        "needs its key"
        in (refuses(directory, text + 'certificate_file = "roomd.toml"\n')["feedback.certificate_file"])
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:///feedback",
        "http://h/x?y=1",
        "http://h/x?",
        "http://h/x#y",
        "https://[x/feedback",
        "https://h:99999",
        "https://h:0",
        "https://user:hunter2@h/x",
        "https://h/a b",
        "https://hé/x",
        "ftp://h",
        "h",
        "",
    ],
)
def test_where_no_device_can_call_back_is_refused(directory, url):
    told = refuses(directory, GOOD + f'[feedback]\nlisten = "10.0.4.2"\nurl = "{url}"\n')
    assert set(told) == {"feedback.url"}
    assert "is no address" in told["feedback.url"]
    assert "hunter2" not in told["feedback.url"]


@pytest.mark.parametrize("listen", ["0.0.0.0:8443", "0.0.0.0", "[::]:8443", "[::]"])
def test_who_listens_at_all_addresses_says_which_one_devices_call(directory, listen):
    text = GOOD + f'[feedback]\nlisten = "{listen}"\n'
    assert set(refuses(directory, text)) == {"feedback.url"}
    for url in ("https://roomd.example.com:8443/feedback", "http://10.0.4.2:8443", "http://[fd00::1]:8443/"):
        feedback = reads(directory, text + f'url = "{url}"\n').feedback
        assert feedback is not None
        assert feedback.url == url


def test_a_file_that_is_no_toml_names_the_line(directory):
    assert "line 2" in refuses(directory, "\nid = = 3")["the file"]


def test_a_file_that_is_not_there_is_told_with_its_mend(tmp_path):
    with pytest.raises(ConfigurationRefused, match="--config"):
        read(tmp_path / "gone.toml")


def test_no_secret_is_in_what_is_handed_on(directory):
    assert "hunter2" not in repr(reads(directory))


def test_what_is_put_on_screens_is_configured_for_the_site_and_lines_for_devices(directory):
    plain = reads(directory)
    assert (plain.policy.disturb, plain.policy.light) == (False, "Yellow")
    assert not plain.devices[0].banner
    told = reads(directory, GOOD + '[holds]\ndisturb = true\nlight = "Red"\n')
    assert (told.policy.disturb, told.policy.light) == (True, "Red")
    assert told.policy.agent == told.site.agent
    assert "Yellow" in refuses(directory, GOOD + '[holds]\nlight = "Blue"\n')["holds.light"]


def test_a_file_that_cannot_even_be_looked_for_is_a_problem_like_any_other(directory):
    name = "x" * 300
    told = refuses(directory, GOOD.replace("device-password", name))
    assert "cannot be reached: File name too long" in told["devices.password_file"]


@contextmanager
def nobodys(directory: Path) -> Iterator[Path]:
    """A copy of a directory that is nobody's, and we are nobody meanwhile: root may enter everything."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(shutil.copytree(directory, name, dirs_exist_ok=True))
        if os.geteuid() != 0:
            yield copy
            return
        for each in (copy, *copy.rglob("*")):
            os.chown(each, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield copy
        finally:
            os.seteuid(0)


def test_who_may_not_look_at_the_secrets_can_ask_the_daemon_all_the_same(directory):
    with nobodys(directory) as ours:
        closed = ours / "credentials"
        closed.mkdir(mode=0)
        (ours / "device-password").unlink()
        configuration = reads(ours, GOOD + '[page]\ntoken_file = "page-token"\n')
        assert configuration.devices[0].credential.password_file == closed / "device-password"
        assert any("only root may look into it" in note for note in configuration.notes)
        closed.rmdir()


def test_where_the_daemon_is_is_known_without_what_the_file_names_and_whatever_else_is_wrong(directory):
    (directory / "device-password").unlink()
    wrong = GOOD.replace("capacity = 8", "capacity = 0") + '[google]\ndomain = "x"\n[webex]\n'
    (directory / "roomd.toml").write_text(wrong + '[agent]\nid = "a1"\nsocket = "/run/x.sock"\n')
    where = read_whereabouts(directory / "roomd.toml")
    assert (where.site, where.agent, str(where.timezone)) == ("oslo-lysaker", "a1", "Europe/Oslo")
    assert (where.socket, where.state_directory) == (Path("/run/x.sock"), Path("/var/lib/roomd"))
    assert set(refuses(directory, wrong)) > {"rooms[0].capacity", "devices.password_file"}
    (directory / "roomd.toml").write_text(
        wrong.replace('"Europe/Oslo"', '"Europe/Atlantis"') + "[agent]\nbudget_mb = 1\n"
    )
    with pytest.raises(ConfigurationRefused) as refusal:
        read_whereabouts(directory / "roomd.toml")
    assert {problem.key for problem in refusal.value.problems} == {"site.timezone", "agent.budget_mb"}


def test_who_asks_where_the_daemon_is_loads_nothing_of_brokers_keys_logs_and_waiting(directory):
    (directory / "roomd.toml").write_text(GOOD)
    heavy = "{'asyncio', 'cloud_link.broker', 'cloud_link.contract', 'cryptography', 'joserfc', 'numpy', "
    heavy += "'paho', 'pydantic_settings', 'rich', 'structlog'}"
    program = (
        "import sys; from pathlib import Path; from agent import cli; "
        "from agent.settings import read_whereabouts; print(read_whereabouts(Path(sys.argv[1])).site); "
        f"sys.exit(', '.join(sorted({heavy} & sys.modules.keys())) or 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, directory / "roomd.toml"],
        env={name: value for name, value in os.environ.items() if not name.startswith("ROOMD_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "oslo-lysaker\n", "")


def test_a_directory_that_may_not_be_entered_is_a_problem_like_any_other(directory):
    with nobodys(directory) as ours:
        closed = ours / "closed"
        closed.mkdir(mode=0)
        told = refuses(ours, GOOD.replace("device-password", "closed/password"))
        closed.rmdir()
    assert "may not be read by this user" in told["devices.password_file"]


@pytest.mark.parametrize("host", ["fjord..example.com", f"{'a' * 64}.example.com", ".example.com"])
def test_a_name_that_no_resolver_takes_is_no_host(directory, host):
    told = refuses(directory, GOOD.replace("broker.example.com", host).replace("10.0.4.22", host))
    assert set(told) == {"mqtt.url", "rooms[0].devices[1].host"}


def test_one_device_in_webex_is_one_device_here(directory):
    twice = GOOD.replace('host = "10.0.4.21"', 'host = "10.0.4.21"\nwebex = "foc1"').replace(
        'host = "10.0.4.22:8443"', 'webex = "FOC1"'
    )
    told = refuses(
        directory,
        f"""{twice}
[webex]
client_id = "C1"
client_secret_file = "mqtt-password"
activation_code_file = "mqtt-password"
""",
    )
    assert told.keys() == {"rooms.devices.webex"}
    assert "'foc1' stands there 2 times" in told["rooms.devices.webex"]
