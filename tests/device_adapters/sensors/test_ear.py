"""What sensors say by way of zigbee2mqtt, Home Assistant, or plainly; as those really publish it."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.events import SensorAway, SensorBack, SensorSaid
from agent.core.model import RoomId, Sense, SensorId
from device_adapters.sensors import shapes
from device_adapters.sensors.discovery import announced
from device_adapters.sensors.ear import Ear
from device_adapters.sensors.payloads import Unreadable, Value
from device_adapters.sensors.shapes import Discovery

FJORD, SKOG = RoomId("fjord"), RoomId("skog")
ONE, OTHER = SensorId("fjord-sensor"), SensorId("skog-sensor")
ZIGBEE = shapes.zigbee2mqtt(ONE, FJORD, "fjord/ceiling")
TOPIC = "zigbee2mqtt/fjord/ceiling"


def heard(ear, topic, payload, *, kept=False):
    if not isinstance(payload, bytes):
        payload = payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()
    came = ear.hear(topic, payload, kept=kept)
    assert came.unreadable == []
    return [event for _, event in came.events]


def only(ear, topic, payload, *, kept=False):
    (event,) = heard(ear, topic, payload, kept=kept)
    return event


def presence(value):
    return {Sense.PRESENCE: value}


# ── zigbee2mqtt ──


def test_a_motion_sensor_of_zigbee2mqtt():
    said = only(
        Ear([ZIGBEE]),
        TOPIC,
        {
            "battery": 100,
            "linkquality": 18,
            "occupancy": True,
            "temperature": 19.9,
            "update_available": False,
        },
    )
    assert said == SensorSaid(sensor=ONE, values=presence(True))


def test_a_radar_sensor_of_zigbee2mqtt():
    said = only(Ear([ZIGBEE]), TOPIC, {"presence": False, "target_distance": 0, "illuminance": 12})
    assert said.values == presence(False)


def test_a_counter_of_zigbee2mqtt():
    said = only(Ear([ZIGBEE]), TOPIC, {"battery": 87, "status": "in", "people": 4, "voltage": 3700})
    assert said.values == {Sense.PEOPLE: 4}


def test_what_zigbee2mqtt_says_of_batteries_is_a_sign_of_life():
    assert only(Ear([ZIGBEE]), TOPIC, {"battery": 97}).values == {}


def test_zigbee2mqtt_may_say_when_it_heard_the_sensor():
    said = only(
        Ear([ZIGBEE]), TOPIC, {"occupancy": True, "last_seen": "2026-03-02T09:00:00+01:00"}, kept=True
    )
    assert said.kept
    assert f"{said.at:%H:%M}" == "08:00"


@pytest.mark.parametrize(
    ("off", "on"),
    [("offline", "online"), ({"state": "offline"}, {"state": "online"})],
    ids=["legacy", "json"],
)
@pytest.mark.parametrize(
    "topic", [f"{TOPIC}/availability", "zigbee2mqtt/bridge/state"], ids=["sensor", "bridge"]
)
def test_zigbee2mqtt_says_in_both_its_ways_what_is_offline(topic, off, on):
    ear = Ear([ZIGBEE])
    assert heard(ear, topic, on) == []
    away = only(ear, topic, off)
    assert isinstance(away, SensorAway)
    assert topic in away.why
    assert only(ear, topic, on) == SensorBack(sensor=ONE)


def test_a_sensor_is_back_only_when_all_that_it_speaks_through_is():
    ear = Ear([ZIGBEE])
    heard(ear, "zigbee2mqtt/bridge/state", "offline")
    heard(ear, f"{TOPIC}/availability", "offline")
    assert isinstance(only(ear, "zigbee2mqtt/bridge/state", "online"), SensorAway)
    assert only(ear, f"{TOPIC}/availability", "online") == SensorBack(sensor=ONE)


def test_after_a_cut_who_is_there_is_heard_anew():
    ear = Ear([ZIGBEE])
    heard(ear, "zigbee2mqtt/bridge/state", "offline")
    ear.cut_off()
    assert heard(ear, "zigbee2mqtt/bridge/state", "online") == []


def test_one_bridge_speaks_for_all_its_sensors():
    ear = Ear([ZIGBEE, shapes.zigbee2mqtt(OTHER, SKOG, "skog")])
    assert {event.sensor for event in heard(ear, "zigbee2mqtt/bridge/state", "offline")} == {ONE, OTHER}
    assert ear.topics.count("zigbee2mqtt/bridge/state") == 1


# ── Home Assistant ──

STATE = "homeassistant/binary_sensor/fjord_presence/state"


def test_a_binary_sensor_of_home_assistants_statestream():
    ear = Ear([shapes.home_assistant(ONE, FJORD, "binary_sensor.fjord_presence")])
    assert only(ear, STATE, "on").values == presence(True)
    assert only(ear, STATE, "off").values == presence(False)
    assert only(ear, STATE, "unknown").values == presence(None)
    assert isinstance(only(ear, STATE, "unavailable"), SensorAway)
    assert isinstance(only(ear, "homeassistant/status", "offline"), SensorAway)
    assert only(ear, "homeassistant/status", "online") == SensorBack(sensor=ONE)


def test_a_number_of_home_assistants_statestream_is_one_of_people():
    ear = Ear([shapes.home_assistant(ONE, FJORD, "sensor.fjord_people", base="ha/states")])
    assert only(ear, "ha/states/sensor/fjord_people/state", "3").values == {Sense.PEOPLE: 3}
    assert only(ear, "ha/states/sensor/fjord_people/state", "3.0").values == {Sense.PEOPLE: 3}
    assert only(ear, "ha/states/sensor/fjord_people/state", "unknown").values == {Sense.PEOPLE: None}


@pytest.mark.parametrize("entity", ["fjord", ".fjord", "sensor.", "a.b.c"])
def test_what_is_no_entity_is_refused(entity):
    with pytest.raises(Unreadable):
        shapes.home_assistant(ONE, FJORD, entity)


CONFIG = "homeassistant/binary_sensor/0x00158d00/occupancy/config"
ANNOUNCED = {  # as zigbee2mqtt itself announces a sensor
    "availability": [
        {"topic": "zigbee2mqtt/bridge/state", "value_template": "{{ value_json.state }}"},
        {"topic": "zigbee2mqtt/fjord/availability", "value_template": "{{ value_json.state }}"},
    ],
    "availability_mode": "all",
    "device": {"identifiers": ["zigbee2mqtt_0x00158d00"], "name": "fjord"},
    "device_class": "occupancy",
    "name": "Occupancy",
    "payload_off": False,
    "payload_on": True,
    "state_topic": "zigbee2mqtt/fjord",
    "unique_id": "0x00158d00_occupancy_zigbee2mqtt",
    "value_template": "{{ value_json.occupancy }}",
}


def discovering(topic=CONFIG, **more):
    return shapes.discovered(ONE, FJORD, Discovery(topic=topic, **more))


def test_a_sensor_says_itself_where_and_how_it_is_heard():
    ear = Ear([discovering()])
    assert ear.topics == (CONFIG,)
    came = ear.hear(CONFIG, json.dumps(ANNOUNCED).encode(), kept=True)
    assert set(came.subscribe) == {
        "zigbee2mqtt/fjord",
        "zigbee2mqtt/bridge/state",
        "zigbee2mqtt/fjord/availability",
    }
    assert only(ear, "zigbee2mqtt/fjord", {"occupancy": True, "battery": 3}).values == presence(True)
    assert only(ear, "zigbee2mqtt/fjord", {"occupancy": False}).values == presence(False)
    assert isinstance(only(ear, "zigbee2mqtt/fjord/availability", {"state": "offline"}), SensorAway)
    assert ear.hear(CONFIG, json.dumps(ANNOUNCED).encode(), kept=False).subscribe == []  # the same again


def test_an_announcement_may_be_written_short():
    short = {
        "~": "office/fjord",
        "stat_t": "~/motion",
        "avty_t": "~/lwt",
        "pl_avail": "Hello",
        "pl_not_avail": "Gone",
        "pl_on": "MOVES",
        "pl_off": "still",
    }
    ear = Ear([discovering()])
    assert ear.hear(CONFIG, json.dumps(short).encode(), kept=True).subscribe == [
        "office/fjord/motion",
        "office/fjord/lwt",
    ]
    assert only(ear, "office/fjord/motion", "MOVES").values == presence(True)
    assert only(ear, "office/fjord/motion", "still").values == presence(False)
    assert only(ear, "office/fjord/motion", "None").values == presence(None)
    assert isinstance(only(ear, "office/fjord/lwt", "Gone"), SensorAway)
    assert only(ear, "office/fjord/lwt", "Hello") == SensorBack(sensor=ONE)


@pytest.mark.parametrize("keys", [("off_delay", "expire_after"), ("off_dly", "exp_aft")])
def test_what_its_silence_means_an_announcement_says_too(keys: tuple[str, str]):
    off, expires = keys
    ear = Ear([discovering()])
    ear.hear(CONFIG, json.dumps({"state_topic": "t", off: 30, expires: 3600}).encode(), kept=True)
    said = only(ear, "t", "ON")
    assert (said.yes_for, said.stale_after) == (timedelta(seconds=30), timedelta(hours=1))


@pytest.mark.parametrize(
    ("off", "span"), [("30", timedelta(seconds=30)), (0, timedelta(0)), (2.0, timedelta(seconds=2))]
)
def test_a_span_may_be_written_otherwise_and_none_is_a_span_as_well(off: object, span: timedelta):
    ear = Ear([discovering()])
    announcement = {"state_topic": "t", "off_delay": off, "expire_after": 0}
    ear.hear(CONFIG, json.dumps(announcement).encode(), kept=True)
    said = only(ear, "t", "ON")
    assert (said.yes_for, said.stale_after) == (span, None)


@pytest.mark.parametrize("odd", [-1, "soon", "", "-3", "9" * 400, True, None, 1e300, [30]])
def test_silence_that_an_announcement_does_not_measure_means_nothing(odd: object):
    ear = Ear([discovering()])
    ear.hear(CONFIG, json.dumps({"state_topic": "t", "off_delay": odd}).encode(), kept=True)
    assert only(ear, "t", "ON").yes_for is None


def test_a_device_may_announce_several_at_once():
    whole = {
        "dev": {"ids": "ea334450945afc", "name": "Ceiling"},
        "o": {"name": "maker"},
        "cmps": {
            "count": {
                "p": "sensor",
                "val_tpl": "{{ value_json.zones[1]['people'] | int }}",
                "unique_id": "c",
            },
            "seen": {"p": "binary_sensor", "val_tpl": "{{value_json.seen}}", "unique_id": "s"},
        },
        "stat_t": "ceiling/state",
    }
    ear = Ear([discovering("homeassistant/device/0AFFD2/config", component="count")])
    ear.hear("homeassistant/device/0AFFD2/config", json.dumps(whole).encode(), kept=True)
    said = only(ear, "ceiling/state", {"zones": [{}, {"people": 4}]})
    assert said.values == {Sense.PEOPLE: 4}
    with pytest.raises(Unreadable, match="count, seen"):
        announced(discovering("homeassistant/device/0AFFD2/config"), json.dumps(whole).encode())


def test_a_device_that_announces_one_thing_needs_no_name_for_it():
    whole = {"cmps": {"seen": {"p": "binary_sensor", "stat_t": "c/seen"}}}
    ear = Ear([discovering()])
    assert ear.hear(CONFIG, json.dumps(whole).encode(), kept=True).subscribe == ["c/seen"]
    assert only(ear, "c/seen", "ON").values == presence(True)


def test_a_template_that_does_more_needs_a_path_of_ours():
    clever = {**ANNOUNCED, "value_template": "{% if value_json.a > 3 %}ON{% else %}OFF{% endif %}"}
    ear = Ear([discovering()])
    came = ear.hear(CONFIG, json.dumps(clever).encode(), kept=True)
    ((_, why),) = came.unreadable
    assert [event for _, event in came.events] == [SensorAway(sensor=ONE, why=why)]  # everybody can see why
    assert "write presence, people or in_use with the path beside discovery" in why
    ear = Ear([discovering(path=("occupancy",), sense=Sense.IN_USE)])
    ear.hear(CONFIG, json.dumps(clever).encode(), kept=True)
    assert only(ear, "zigbee2mqtt/fjord", {"occupancy": True}).values == {Sense.IN_USE: True}


def test_an_announcement_that_is_taken_back_takes_the_sensor_with_it():
    ear = Ear([discovering()])
    ear.hear(CONFIG, json.dumps(ANNOUNCED).encode(), kept=True)
    assert isinstance(only(ear, CONFIG, b""), SensorAway)
    assert heard(ear, "zigbee2mqtt/fjord", {"occupancy": True}) == []


def test_an_announcement_that_comes_again_brings_the_sensor_back():
    ear = Ear([discovering()])
    for _ in range(2):
        came = ear.hear(CONFIG, json.dumps(ANNOUNCED).encode(), kept=False)
        assert [event for _, event in came.events] == [SensorBack(sensor=ONE)]
        assert isinstance(only(ear, CONFIG, b""), SensorAway)


def test_availability_that_cannot_be_followed_does_not_silence_a_sensor():
    clever = {
        "topic": "zigbee2mqtt/bridge/state",
        "value_template": "{{ 'online' if value_json.up else 'off' }}",
    }
    ear = Ear([discovering()])
    came = ear.hear(CONFIG, json.dumps({**ANNOUNCED, "availability": [clever]}).encode(), kept=True)
    assert (came.subscribe, came.unreadable) == (["zigbee2mqtt/fjord"], [])
    assert only(ear, "zigbee2mqtt/fjord", {"occupancy": True}).values == presence(True)


def test_a_sensor_that_moves_is_heard_at_its_new_topic_alone():
    ear = Ear([discovering()])
    ear.hear(CONFIG, json.dumps(ANNOUNCED).encode(), kept=True)
    ear.hear(CONFIG, json.dumps({**ANNOUNCED, "state_topic": "zigbee2mqtt/new"}).encode(), kept=False)
    assert heard(ear, "zigbee2mqtt/fjord", {"occupancy": True}) == []
    assert only(ear, "zigbee2mqtt/new", {"occupancy": True}).values == presence(True)


@pytest.mark.parametrize("mode", ["any", "latest", "nonsense"])
def test_of_several_words_of_availability_the_announcement_says_which_counts(mode):
    ear = Ear([discovering()])
    ear.hear(CONFIG, json.dumps({**ANNOUNCED, "availability_mode": mode}).encode(), kept=True)
    heard(ear, "zigbee2mqtt/bridge/state", {"state": "offline"})
    heard(ear, "zigbee2mqtt/fjord/availability", {"state": "online"})
    again = heard(ear, "zigbee2mqtt/bridge/state", {"state": "offline"})
    assert [type(event) for event in again] == ([] if mode == "any" else [SensorAway])


# ── anything else ──


def test_json_of_any_make():
    values = (
        Value(sense=Sense.PEOPLE, paths=(("data", "count"),)),
        Value(sense=Sense.PRESENCE, paths=(("data", "seen"),)),
    )
    ear = Ear([shapes.structured(ONE, FJORD, "b/4/fjord", values=values)])
    said = only(ear, "b/4/fjord", {"data": {"count": 2, "seen": 1}})
    assert said.values == {Sense.PEOPLE: 2, Sense.PRESENCE: True}


def test_one_topic_may_be_of_several_rooms():
    ear = Ear(
        [
            shapes.structured(ONE, FJORD, "floor", values=(Value(sense=Sense.PEOPLE, paths=(("fjord",),)),)),
            shapes.structured(OTHER, SKOG, "floor", values=(Value(sense=Sense.PEOPLE, paths=(("skog",),)),)),
        ]
    )
    came = ear.hear("floor", b'{"fjord": 2, "skog": 0}', kept=False)
    assert [(room, event.values) for room, event in came.events if isinstance(event, SensorSaid)] == [
        (FJORD, {Sense.PEOPLE: 2}),
        (SKOG, {Sense.PEOPLE: 0}),
    ]


@pytest.mark.parametrize("payload", [b"<html>", b'{"occupancy": "large movement"}'])
def test_what_cannot_be_understood_is_told_and_leaves_nothing_known(payload):
    """A radar's word for somebody that the file does not have must not leave its last, nobody, standing."""
    came = Ear([ZIGBEE]).hear(TOPIC, payload, kept=False)
    assert [sensor for sensor, _ in came.unreadable] == [ONE]
    ((_, said),) = came.events
    assert isinstance(said, SensorSaid)
    assert said.values == {Sense.PRESENCE: None, Sense.PEOPLE: None}
    assert said.why is not None
    assert came.unreadable[0][1] in said.why


def test_a_word_that_was_taken_off_the_broker_says_nothing():
    assert heard(Ear([ZIGBEE]), TOPIC, b"") == []


ALL = [
    ZIGBEE,
    shapes.home_assistant(OTHER, SKOG, "binary_sensor.skog"),
    shapes.discovered(SensorId("found"), FJORD, Discovery(topic=CONFIG)),
    shapes.plain(SensorId("plain"), FJORD, "plain", value=Value(sense=Sense.PEOPLE)),
]
TOPICS = sorted(
    {topic for sensor in ALL for topic in Ear([sensor]).topics} | {"zigbee2mqtt/fjord", "nobody's"}
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from([*ANNOUNCED, "~", "cmps", "state", "occupancy", "stat_t", "avty", "topic"]),
            inside,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(TOPICS),
            st.binary(max_size=40)
            | ANY_JSON.map(lambda tree: json.dumps(tree).encode())
            | st.just(json.dumps(ANNOUNCED).encode()),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_nothing_that_a_broker_brings_ends_anything(messages):
    ear = Ear(ALL)
    for topic, payload, kept in messages:
        came = ear.hear(topic, payload, kept=kept)
        assert all(event.sensor in ear.sensors for _, event in came.events)
        assert all(topic and not set(topic) & set("+#\0") for topic in came.subscribe)
    assert set(ear.sensors) == {sensor.id for sensor in ALL}
