"""What the file says of sensors that are not Cisco's: how it is read, and refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from agent.changes import Part, difference
from agent.core.model import RoomId, Sense, SensorId, SensorRules
from agent.settings import Configuration, ConfigurationRefused, read
from device_adapters.sensors.shapes import Sensor

HEAD = """
[site]
id = "oslo"
timezone = "Europe/Oslo"
[mqtt]
url = "mqtts://broker.example.com"
username = "oslo"
password_file = "mqtt-password"
"""
ROOM = '[[rooms]]\nid = "fjord"\n'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("mqtt-password", "sensors-password"):
        (tmp_path / name).write_text("hunter2\n", encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def reads(directory: Path, *sensors: str, table: str = "", room: str = ROOM) -> Configuration:
    lines = "".join(f"[[rooms.sensors]]\n{each}\n" for each in sensors)
    file = directory / "roomd.toml"
    file.write_text(HEAD + table + room + lines, encoding="utf-8")
    return read(file)


def refuses(directory: Path, *sensors: str, table: str = "", room: str = ROOM) -> dict[str, str]:
    with pytest.raises(ConfigurationRefused) as refusal:
        reads(directory, *sensors, table=table, room=room)
    return {problem.key: f"{problem.what}. {problem.mend}" for problem in refusal.value.problems}


def sensor(directory: Path, line: str, table: str = "") -> Sensor:
    found = reads(directory, line, table=table).sensors
    assert found is not None
    (only,) = found.sensors
    return only


def rules(directory: Path, line: str, table: str = "") -> SensorRules:
    (only,) = reads(directory, line, table=table).policy.rules(RoomId("fjord")).sensors
    return only


def test_a_room_needs_neither_device_nor_calendar_where_it_has_a_sensor(directory):
    configuration = reads(directory, 'zigbee2mqtt = "fjord/ceiling"')
    assert configuration.notes == ()
    assert configuration.sensors is not None
    assert not configuration.sensors.own_broker
    assert configuration.sensors.broker.url == configuration.broker.url
    assert configuration.sensors.broker.password_file == configuration.broker.password_file
    assert configuration.sensors.broker.client_id == f"{configuration.broker.client_id}-sensors"


def test_a_site_without_sensors_hears_none(directory):
    assert reads(directory, room=ROOM + "calendar = { microsoft = false }\n").sensors is None
    (note,) = [n for n in reads(directory, table="[sensors]\n").notes if n.startswith("sensors")]
    assert "no room has" in note


def test_sensors_may_speak_through_a_broker_of_their_own(directory):
    login = 'username = "r"\npassword_file = "sensors-password"\n'
    table = f'[sensors]\nurl = "mqtts://building.example.com"\n{login}'
    found = reads(directory, 'topic = "a/b"', table=table).sensors
    assert found is not None
    assert found.own_broker
    assert (found.broker.url, found.broker.username) == ("mqtts://building.example.com", "r")
    assert found.broker.password_file == directory / "sensors-password"
    (note,) = reads(directory, 'topic = "a"', table='[sensors]\nurl = "mqtt://building"\n').notes
    assert "not encrypted" in note


def test_each_kind_is_heard_where_it_speaks(directory):
    base = '[sensors]\nzigbee2mqtt_base = "z2m"\nhome_assistant_base = "ha/states"\n'
    assert sensor(directory, 'zigbee2mqtt = "fjord"').topic == "zigbee2mqtt/fjord"
    assert sensor(directory, 'zigbee2mqtt = "fjord"', base).topic == "z2m/fjord"
    entity = 'home_assistant = "sensor.fjord_people"'
    assert sensor(directory, entity).topic == "homeassistant/sensor/fjord_people/state"
    assert sensor(directory, entity, base).topic == "ha/states/sensor/fjord_people/state"
    assert sensor(directory, 'topic = "b/4"\nsays = "people"').topic == "b/4"
    found = sensor(directory, 'discovery = "homeassistant/binary_sensor/x/config"\npresence = "a.b"')
    assert found.topic is None
    assert found.discovery is not None
    assert (found.discovery.sense, found.discovery.path) == (Sense.PRESENCE, ("a", "b"))


def test_values_are_found_by_their_paths_and_words(directory):
    line = (
        'topic = "b"\npeople = "zones[0].count"\npresence = "zones[0].seen"\nyes = ["Belegt"]\nno = ["frei"]'
    )
    reading = sensor(directory, line).reading
    assert reading is not None
    assert {value.sense: value.paths for value in reading.values} == {
        Sense.PEOPLE: (("zones", 0, "count"),),
        Sense.PRESENCE: (("zones", 0, "seen"),),
    }
    assert all(value.words.yes == {"belegt"} for value in reading.values)
    own = sensor(directory, 'topic = "b"\navailability = "b/lwt"\navailability_path = "on.line"').availability
    assert [(each.topic, each.path) for each in own] == [("b/lwt", ("on", "line"))]


def test_times_are_the_sensors_own_else_the_sites_else_by_its_kind(directory):
    assert rules(directory, 'topic = "b"') == SensorRules(id=SensorId("fjord-sensor"))
    assert rules(directory, 'home_assistant = "sensor.b"').stale_after == timedelta(days=1)
    table = "[sensors]\nclears_after_s = 600\nstale_after_s = 0\n"
    found = rules(
        directory, 'topic = "b"\nclears_after_s = 5\ncounts_after_s = 7\ncounts_people = true', table
    )
    assert found.clears_after == timedelta(seconds=5)
    assert found.counts_after == timedelta(seconds=7)
    assert found.stale_after is None
    assert found.counts_people


def test_sensors_are_called_by_their_rooms(directory):
    found = reads(directory, 'topic = "a"', 'topic = "b"', 'topic = "c"\nid = "door"').sensors
    assert found is not None
    assert [each.id for each in found.sensors] == ["fjord-sensor", "fjord-sensor-2", "door"]


@pytest.mark.parametrize(
    ("line", "key", "said"),
    [
        ("", "", "exactly one of"),
        ('topic = "a"\nzigbee2mqtt = "b"', "", "several ways"),
        ('topic = "a/#"', ".topic", "is no topic"),
        ('topic = ""', ".topic", "is no topic"),
        ('topic = "a"\npeople = "a..b"', ".people", "no path"),
        ('home_assistant = "fjord"', ".home_assistant", "no entity"),
        ('home_assistant = "sensor.a"\npeople = "x"', ".people", "one value"),
        ('topic = "a"\nsays = "people"\npeople = "x"', ".says", "Keep one"),
        ('topic = "a"\nsays = "motion"', ".says", "Write one of"),
        ('zigbee2mqtt = "a"\nsays = "people"', ".says", "presence ="),
        ('topic = "a"\nyes = ["on"]', ".no", "Write both"),
        ('topic = "a"\nyes = ["on"]\nno = ["ON"]', ".no", "stands in yes"),
        ('topic = "a"\ncomponent = "x"', ".component", "discovery"),
        ('topic = "a"\navailability_path = "x"', ".availability_path", "availability"),
        ('discovery = "a"\npeople = "x"\npresence = "y"', ".presence", "one value"),
        ('discovery = "a"\nseen_at = "x"', ".seen_at", "Take it out"),
        ('topic = "a"\nclears_after_s = -1', ".clears_after_s", "too small"),
        ('topic = "a"\nclears_after_s = true', ".clears_after_s", "number"),
        ('topic = "a"\nmood = "good"', ".mood", "not known"),
    ],
)
def test_what_cannot_be_is_refused_with_its_mend(directory, line, key, said):
    assert said in refuses(directory, line)[f"rooms[0].sensors[0]{key}"]


def test_no_two_have_the_same_name_and_none_that_of_a_device(directory):
    wrong = refuses(directory, 'topic = "a"\nid = "x"', 'topic = "b"\nid = "x"')
    assert "2 times" in wrong["rooms.sensors.id"]
    device = '[[rooms.devices]]\nhost = "10.0.4.21"\nusername = "r"\npassword_file = "mqtt-password"\n'
    wrong = refuses(directory, 'topic = "a"\nid = "fjord"', room=ROOM + device)
    assert "2 times" in wrong["rooms.sensors.id"]


def test_what_stands_beside_no_url_is_refused(directory):
    wrong = refuses(directory, 'topic = "a"', table='[sensors]\nusername = "x"\n')
    assert "Add url" in wrong["sensors.username"]
    wrong = refuses(directory, 'topic = "a"', table='[sensors]\nurl = "http://x"\n')
    assert "names no broker" in wrong["sensors.url"]


@pytest.mark.parametrize("url", ["", 'url = "mqtts://broker.example.com"\n'])
def test_no_two_lines_to_a_broker_have_the_same_client_id(directory, url):
    ours = reads(directory, 'topic = "a"').broker.client_id
    wrong = refuses(directory, 'topic = "a"', table=f'[sensors]\nclient_id = "{ours}"\n{url}')
    assert "throw the other out" in wrong["sensors.client_id"]


@pytest.mark.parametrize(
    ("line", "table", "part"),
    [
        ('topic = "other"', "", Part.SENSORS),
        ('topic = "a"\nclears_after_s = 5', "", Part.SENSES),
        ('topic = "a"', "[sensors]\ntell_devices = false\n", Part.SENSES),
        ('topic = "a"', '[sensors]\nurl = "mqtts://building"\n', Part.SENSORS),
    ],
    ids=["topic", "time", "telling", "broker"],
)
def test_what_changes_of_sensors_touches_nothing_else(directory, line, table, part):
    """What is only made otherwise of their words closes no line."""
    old = reads(directory, 'topic = "a"')
    assert difference(old, reads(directory, line, table=table)).parts == {part}


def test_a_sensor_that_is_silent_for_long_before_its_word_counts_is_noted(directory):
    notes = reads(directory, 'topic = "a"\nclears_after_s = 600\nstale_after_s = 300', 'topic = "b"').notes
    assert [note for note in notes if "repeats itself" in note and "fjord-sensor is" in note] == list(notes)
    assert len(notes) == 1
