from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.changes import Changes, Part, difference, files_of
from agent.settings import Configuration, read

FILE = """
[site]
id = "oslo"
timezone = "Europe/Oslo"
privacy = "plain"
[agent]
id = "agent-1"
[mqtt]
url = "mqtts://broker.example.com"
username = "oslo"
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
host = "10.0.4.22"
[[rooms]]
id = "elv"
[[rooms.devices]]
host = "10.0.4.23"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("mqtt-password", "device-password", "other-password", "key.pem", "ca.pem"):
        (tmp_path / name).write_text("secret\n", encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def configured(directory: Path, text: str = FILE) -> Configuration:
    file = directory / "roomd.toml"
    file.write_text(text, encoding="utf-8")
    return read(file)


def changed(directory: Path, *pairs: tuple[str, str]) -> Changes:
    text = FILE
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    return difference(configured(directory), configured(directory, text))


def test_the_same_file_changes_nothing(directory: Path):
    changes = difference(configured(directory), configured(directory))
    assert changes.nothing
    assert changes.applied == configured(directory)


def test_a_room_s_name_and_capacity_touch_no_line(directory: Path):
    changes = changed(directory, ('name = "Fjord"\ncapacity = 8', 'name = "The Fjord"\ncapacity = 12'))
    assert changes.parts == {Part.ROOMS}
    assert not any((changes.devices_changed, changes.devices_new, changes.devices_gone))
    assert not any((changes.rooms_new, changes.rooms_gone, changes.rooms_refitted))


def test_rooms_come_and_go_with_their_devices(directory: Path):
    changes = changed(directory, ('id = "elv"', 'id = "bekk"'), ('"10.0.4.22"', '"10.0.4.29"'))
    assert (changes.rooms_new, changes.rooms_gone) == (("bekk",), ("elv",))
    assert [device.id for device in changes.devices_new] == ["bekk"]
    assert changes.devices_gone == ("elv",)
    assert [device.id for device in changes.devices_changed] == ["fjord-2"]
    assert changes.rooms_refitted == ()


def test_a_device_that_is_gone_refits_its_room_alone(directory: Path):
    changes = changed(directory, ('[[rooms.devices]]\nhost = "10.0.4.22"\n', ""))
    assert changes.rooms_refitted == ("fjord",)
    assert changes.devices_gone == ("fjord-2",)
    assert changes.devices_changed == ()


def test_a_device_that_moves_to_another_room_is_dialled_for_that(directory: Path):
    changes = changed(
        directory,
        ('[[rooms.devices]]\nhost = "10.0.4.22"\n', ""),
        (
            'host = "10.0.4.23"\n',
            'host = "10.0.4.23"\n[[rooms.devices]]\nid = "fjord-2"\nhost = "10.0.4.22"\n',
        ),
    )
    assert [(device.id, device.room) for device in changes.devices_changed] == [("fjord-2", "elv")]
    assert changes.rooms_refitted == ("fjord", "elv")


def test_whose_count_is_believed_is_no_matter_of_its_line(directory: Path):
    changes = changed(directory, ('host = "10.0.4.22"', 'host = "10.0.4.22"\ncounts_people = true'))
    assert changes.devices_changed == ()
    assert changes.rooms_refitted == ("fjord",)


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ('url = "mqtts://broker.example.com"', 'url = "mqtts://other.example.com"', {Part.BROKER}),
        ('username = "oslo"', 'username = "bergen"', {Part.BROKER}),
        ("[devices]", "window = 10\n[devices]", {Part.WINDOW}),
        ("[mqtt]", "budget_mb = 64\n[mqtt]", {Part.BUDGET}),
        ("[devices]", "[devices]\ndial_at_once = 4", {Part.DIALLING}),
        ("Europe/Oslo", "Europe/Helsinki", {Part.TIMEZONE}),
        ("[mqtt]", "[holds]\ndisturb = true\n[mqtt]", {Part.HOLDS}),
        ('privacy = "plain"', 'privacy = "dropped"', {Part.PRIVACY}),
        ("[mqtt]", '[feedback]\nlisten = "10.0.4.2:8443"\n[mqtt]', {Part.FEEDBACK}),
        ("[mqtt]", "[page]\nlisten = false\n[mqtt]", {Part.PAGE}),
    ],
)
def test_what_changed_is_named(directory: Path, before: str, after: str, parts: set[Part]):
    changes = changed(directory, (before, after))
    assert changes.parts == parts
    assert changes.waiting == ()
    assert not changes.devices_changed


def test_a_password_for_all_devices_changes_them_all(directory: Path):
    changes = changed(directory, ('password_file = "device-password"', 'password_file = "other-password"'))
    assert [device.id for device in changes.devices_changed] == ["fjord", "fjord-2", "elv"]
    assert changes.parts == {Part.DEVICES}


def test_what_waits_for_a_restart_is_named_and_the_rest_is_applied(directory: Path):
    old = configured(directory)
    changes = changed(
        directory,
        ('id = "oslo"', 'id = "bergen"'),
        ('id = "agent-1"', 'id = "agent-2"\nstate_directory = "/elsewhere"\nsocket = "/elsewhere/sock"'),
        ('url = "mqtts://broker.example.com"', 'url = "mqtts://broker.example.com"\nroot = "other"'),
        ("capacity = 8", "capacity = 9"),
    )
    assert changes.waiting == ("site.id", "agent.id", "mqtt.root", "agent.state_directory", "agent.socket")
    assert changes.applied.site == old.site
    assert changes.applied.broker == old.broker, "its client id follows the site only with the site"
    assert changes.applied.policy.agent == old.policy.agent
    assert changes.applied.state_directory == old.state_directory
    assert changes.applied.rooms[0].capacity == 9
    assert Part.ROOMS in changes.parts
    assert Part.BROKER not in changes.parts


def test_a_file_that_became_another_is_for_those_who_read_it(directory: Path):
    configuration = configured(directory)
    changes = difference(configuration, configuration, touched=[directory / "device-password"])
    assert changes.devices_touched == {"fjord", "fjord-2", "elv"}
    assert not changes.broker_touched
    assert not changes.parts
    changes = difference(configuration, configuration, touched=[directory / "mqtt-password"])
    assert changes.broker_touched
    assert not changes.devices_touched
    assert not changes.nothing


LISTENING = FILE.replace(
    "[mqtt]",
    '[feedback]\nlisten = "10.0.4.2:8443"\ncertificate_file = "ca.pem"\nkey_file = "key.pem"\n[mqtt]',
)


def test_a_renewed_certificate_opens_its_door_anew(directory: Path):
    configuration = configured(directory, LISTENING)
    assert directory / "ca.pem" in files_of(configuration)
    changes = difference(configuration, configuration, touched=[directory / "ca.pem"])
    assert changes.parts == {Part.FEEDBACK}


GOOGLE = """
[google]
key_file = "key.json"
subject = "roomd@example.com"
"""
WEBEX = """
[webex]
client_id = "C1"
client_secret_file = "other-password"
activation_code_file = "code"
"""


@pytest.fixture
def with_calendars(directory: Path) -> str:
    (directory / "key.json").write_text(
        '{"type": "service_account", "client_email": "a@b", "private_key": "k", "token_uri": "https://t"}',
        encoding="utf-8",
    )
    (directory / "key.json").chmod(0o600)
    (directory / "code").write_text("code", encoding="utf-8")
    (directory / "code").chmod(0o600)
    return FILE.replace("[devices]", f"{WEBEX}[devices]")


def test_a_new_room_leaves_webex_as_it_is(directory: Path, with_calendars: str):
    old = configured(directory, with_calendars)
    new = configured(directory, f'{with_calendars}[[rooms]]\nid = "bekk"\n')
    assert difference(old, new).parts == {Part.ROOMS, Part.CALENDARS}


def test_calendars_that_come_and_go(directory: Path, with_calendars: str):
    without, with_webex = configured(directory), configured(directory, with_calendars)
    for old, new in ((without, with_webex), (with_webex, without)):
        assert difference(old, new).parts >= {Part.CALENDARS, Part.WEBEX}


def test_webex_s_secret_is_webex_s_alone_and_its_code_looks_after_itself(
    directory: Path, with_calendars: str
):
    there = configured(directory, with_calendars)
    touched = [directory / "other-password", directory / "code"]
    assert difference(there, there, touched=touched).parts == {Part.WEBEX}
    assert difference(there, there, touched=touched[1:]).nothing


def test_a_site_that_seals_goes_on_with_the_key_that_it_watches(directory: Path):
    old = configured(directory)
    sealing = replace(old, privacy=_Sealing(directory / "key.pem"))
    assert Part.PRIVACY in difference(old, sealing).parts


class _Sealing:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, *_: object, **__: object) -> None:
        """Nothing leaves."""


DECIDED = {
    # what difference() looks at; whoever adds a field has to say what becomes of it at a reload
    *("site", "policy", "privacy", "broker", "window", "rooms", "dial_at_once", "feedback", "page"),
    *("accounts", "linked", "sensors", "state_directory", "budget_bytes", "socket"),
    *("file", "notes"),  # neither can change by what stands in the file
}


def test_every_field_of_the_configuration_is_decided_upon():
    assert {each.name for each in fields(Configuration)} == DECIDED


def test_other_policies_would_be_seen(directory: Path):
    old = configured(directory)
    new = replace(old, policy=replace(old.policy, relist_every=timedelta(minutes=1)))
    assert difference(old, new).parts == {Part.HOLDS}
    moved = replace(old, policy=replace(old.policy, timezone=ZoneInfo("UTC")))
    assert difference(old, moved).parts == {Part.TIMEZONE}
