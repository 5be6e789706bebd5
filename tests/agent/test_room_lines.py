"""Lines of rooms and devices come into a file that people wrote, and nothing else in it changes."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.room_lines import (
    LONGEST_ID,
    Addition,
    Amendment,
    Keys,
    NotWritable,
    called,
    changed,
    comments,
    slug,
    standing,
    taken_ids,
    unique,
)

FILE = """\
# The building at Lysaker; ask Kari before changing anything.

[site]
id = "oslo-lysaker"        # never change: the cloud knows us by it
timezone = "Europe/Oslo"

[devices]
username = "roomd"
password_file = 'device-password'

# ── first floor ──
[[rooms]]
id = "fjord"
name = "Fjord"
[[rooms.devices]]
host = "10.0.4.21"         # Cisco Room Bar Pro, FOC07000001
fingerprint = "sha256:aa"  # read at the device
# ssh_port = 22

[[rooms]]
id = "fjell"
calendar = { microsoft = "fjell@contoso.com" }

# ── calendars ──
[microsoft]
tenant = "contoso.onmicrosoft.com"
note = '''
[[rooms]]
id = "not a room"
'''
"""


def addition(room="sjo", host="10.0.4.30", **more):
    return Addition(room=room, host=host, keys={"fingerprint": "sha256:bb"}, **more)


def test_a_new_room_stands_behind_the_last_one_and_before_what_follows():
    after = changed(FILE, [addition(name="Sjø", capacity=6, remark="Cisco Desk Pro, FOC1")])
    block = """\
calendar = { microsoft = "fjell@contoso.com" }

[[rooms]]
id = "sjo"
name = "Sjø"
capacity = 6
[[rooms.devices]]
host = "10.0.4.30"  # Cisco Desk Pro, FOC1
fingerprint = "sha256:bb"

# ── calendars ──
"""
    assert block in after
    assert (
        after.replace(block, 'calendar = { microsoft = "fjell@contoso.com" }\n\n# ── calendars ──\n') == FILE
    )


def test_a_device_comes_into_a_room_that_stands_there():
    after = changed(FILE, [addition(room="fjord")])
    assert (
        '# ssh_port = 22\n[[rooms.devices]]\nhost = "10.0.4.30"\nfingerprint = "sha256:bb"\n\n[[rooms]]'
        in after
    )
    assert [each["host"] for each in tomllib.loads(after)["rooms"][0]["devices"]] == [
        "10.0.4.21",
        "10.0.4.30",
    ]


def test_a_device_comes_into_a_room_without_any():
    after = changed(FILE, [addition(room="fjell")])
    assert tomllib.loads(after)["rooms"][1]["devices"] == [{"host": "10.0.4.30", "fingerprint": "sha256:bb"}]
    assert '"fjell@contoso.com" }\n[[rooms.devices]]\n' in after


def test_a_device_at_another_address_keeps_what_is_said_of_it():
    after = changed(FILE, [Amendment(place=(0, 0), keys={"host": "10.0.4.99"})])
    assert 'host = "10.0.4.99"         # Cisco Room Bar Pro, FOC07000001' in after
    assert len(after.splitlines()) == len(FILE.splitlines())


def test_what_stands_there_is_never_written_twice():
    same = [
        addition(host="10.0.4.21"),
        addition(host="10.0.4.21:443"),
        addition(room="fjord", host="10.0.4.21"),
    ]
    assert changed(FILE, same) == FILE
    once = changed(FILE, [addition(), addition()])
    assert changed(once, [addition()]) == once
    assert changed(FILE, [Keys(table="devices", keys={"username": "somebody"})]) == FILE


def test_a_first_file_is_made_of_nothing():
    after = changed(
        "",
        [
            Keys(table="site", keys={"id": "oslo", "timezone": "Europe/Oslo"}),
            Keys(table="devices", keys={"username": "roomd"}),
            addition(name="Sjø"),
            addition(room="fjell", host="10.0.4.31"),
        ],
    )
    assert (
        after
        == """\
[site]
id = "oslo"
timezone = "Europe/Oslo"

[devices]
username = "roomd"

[[rooms]]
id = "sjo"
name = "Sjø"
[[rooms.devices]]
host = "10.0.4.30"
fingerprint = "sha256:bb"

[[rooms]]
id = "fjell"
[[rooms.devices]]
host = "10.0.4.31"
fingerprint = "sha256:bb"
"""
    )


def test_a_table_that_is_missing_comes_before_the_rooms_and_keys_into_the_one_that_is_there():
    rooms = '# rooms\n[[rooms]]\nid = "a"\n'
    assert changed(rooms, [Keys(table="devices", keys={"username": "x"})]) == (
        '[devices]\nusername = "x"\n\n# rooms\n[[rooms]]\nid = "a"\n'
    )
    table = "[devices] # all of them\n# ssh_port = 22\n"
    assert changed(table, [Keys(table="devices", keys={"username": "x"})]) == (
        '[devices] # all of them\nusername = "x"\n# ssh_port = 22\n'
    )


def test_lines_of_windows_stay_lines_of_windows():
    after = changed(FILE.replace("\n", "\r\n"), [addition(name="Sjø"), addition(room="fjord", host="x")])
    assert after.count("\n") == after.count("\r\n")
    assert tomllib.loads(after)["rooms"][2]["name"] == "Sjø"


def test_a_file_without_an_end_of_line_gets_one():
    assert changed('[[rooms]]\nid = "a"', [addition(room="a", host="h")]) == (
        '[[rooms]]\nid = "a"\n[[rooms.devices]]\nhost = "h"\nfingerprint = "sha256:bb"\n'
    )


def test_devices_on_one_line_are_joined_by_another():
    after = changed('[[rooms]]\nid = "a"\ndevices = [{ host = "h" }] # one\n', [addition(room="a")])
    assert [each["host"] for each in tomllib.loads(after)["rooms"][0]["devices"]] == ["h", "10.0.4.30"]
    assert "# one" in after


@pytest.mark.parametrize(
    "text",
    ['rooms = [{ id = "a" }]', "rooms = []", "devices = 1", "rooms = 1", "no toml", "[[rooms]]\ndevices=1"],
)
def test_what_cannot_be_followed_is_left_to_a_person(text):
    with pytest.raises(NotWritable):
        changed(text, [addition(), Keys(table="devices", keys={"username": "x"})])


def test_devices_are_known_again_by_the_remark_behind_their_host():
    device, *_ = standing(FILE).devices
    assert device.host == ("10.0.4.21", 443)
    assert device.is_remarked("FOC07000001")
    assert not device.is_remarked("FOC0700000")
    assert not device.is_remarked("")


# ── any file ──────────────────────────────────────────────────────────────────────────────────────

WORDS = st.text(
    st.characters(
        codec="utf-8", exclude_characters="\r\n\x7f", exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn")
    ),
    max_size=12,
)
NOISE = st.sampled_from(
    [
        "",
        "# a comment with [[rooms]] in it",
        "#",
        "   # indented",
    ]
)
VALUES = st.sampled_from(
    [
        '"text with # and [[rooms]]"',
        "'literal ]'",
        '"""\n[[rooms]]\nid = "no" \\\n"quoted""\n"""',
        "'''\n[rooms]\n'''",
        "[\n  1, # one\n  [2, 3],\n]",
        '{ a = "}", b = [1] }',
        "true",
        '"""one more""""',
        r'"escaped \" and \\"',
    ]
)
HOSTS = st.integers(0, 40).map(lambda number: f"10.0.4.{number}")


@st.composite
def files(draw):
    lines = []

    def noise():
        lines.extend(draw(st.lists(NOISE, max_size=2)))

    def keys(prefix):
        for number in range(draw(st.integers(0, 2))):
            lines.append(f"{prefix}{number} = {draw(VALUES)}")
            noise()

    noise()
    keys("top")
    tables = iter(["site", "mqtt", '"devices"', "holds"])
    hosts = iter(draw(st.lists(HOSTS, unique=True, max_size=6)))
    for number in range(draw(st.integers(0, 5))):
        if draw(st.booleans()) and (name := next(tables, None)):
            lines.append(f"[{name}]  # table")
            noise()
            keys("key")
        lines.append(draw(st.sampled_from(["[[rooms]]", "[[ rooms ]]", '[["rooms"]] # r', "  [[rooms]]"])))
        lines.append(f'id = "r{number}"')
        noise()
        keys("own")
        if draw(st.booleans()):
            lines.append("[rooms.calendar]")
            keys("k")
        for host in [h for _ in range(draw(st.integers(0, 2))) if (h := next(hosts, None))]:
            lines.append(draw(st.sampled_from(["[[rooms.devices]]", "[[ rooms . devices ]] # d"])))
            lines.append(f'host = "{host}"')
            noise()
            keys("more")
    noise()
    newline = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    text = newline.join("\n".join(lines).split("\n"))
    return text + draw(st.sampled_from(["", newline, newline * 3]))


ADDITIONS = st.builds(
    Addition,
    room=st.sampled_from(["r0", "r1", "r4", "new", "other"]),
    name=st.none() | WORDS,
    capacity=st.none() | st.integers(1, 500),
    calendar=st.none() | st.fixed_dictionaries({"microsoft": WORDS}),
    host=HOSTS,
    remark=st.text(max_size=90),
    keys=st.dictionaries(st.sampled_from(["fingerprint", "host_key", "username"]), WORDS, max_size=2),
)


@given(files(), st.lists(ADDITIONS, max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_file_says_afterwards_what_it_said_and_the_new_devices(text, additions):
    before = tomllib.loads(text)
    after = changed(text, additions)
    told = tomllib.loads(after)
    hosts = [device.host for device in standing(text).devices]
    fresh = {addition.host: addition for addition in reversed(additions)}
    fresh = {host: each for host, each in fresh.items() if (host, 443) not in hosts}
    assert sorted(str(device.host) for device in standing(after).devices) == sorted(
        str(host) for host in [*hosts, *((each, 443) for each in fresh)]
    )
    for room in told.get("rooms", []):
        room["devices"] = [each for each in room.get("devices", []) if each["host"] not in fresh]
    kept = told.pop("rooms", [])[: len(before.get("rooms", []))]
    assert kept == [{**room, "devices": room.get("devices", [])} for room in before.pop("rooms", [])]
    assert told == before
    left = iter(comments(after))
    assert all(comment in left for comment in comments(text))
    left = iter(after.split("\n"))
    assert all(
        line.rstrip("\r") in (found.rstrip("\r") for found in left) for line in text.rstrip().split("\n")
    )
    assert changed(after, additions) == after
    assert ("\r\n" in text) <= (after.count("\n") == after.count("\r\n"))


@given(files(), HOSTS)
@settings(max_examples=40, deadline=None)
def test_any_device_may_move_and_nothing_else_does(text, host):
    devices = standing(text).devices
    if not devices or any(device.host == (host, 443) for device in devices):
        return
    place = devices[-1].place
    after = changed(text, [Amendment(place=place, keys={"host": host})])
    before, told = tomllib.loads(text), tomllib.loads(after)
    before["rooms"][place[0]]["devices"][place[1]]["host"] = host
    assert told == before
    assert comments(after) == comments(text)


# ── ids ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("Fjord", "fjord"),
        ("Møterom Ås (3. etg.)", "moeterom-aas-3-etg"),
        ("Große Küche", "grosse-kueche"),
        ("Café Œuvre", "cafe-oeuvre"),
        ("  -- 12 -- ", "12"),
        ("会議室", ""),
        ("x" * 80, "x" * 63),
    ],
)
def test_names_become_ids(name, id_):
    assert slug(name) == id_


@given(st.text())
def test_every_name_becomes_an_id_that_may_stand_in_a_topic(name):
    found = slug(name)
    assert len(found) <= LONGEST_ID
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not found.startswith("-")


def test_ids_are_unique_also_where_they_are_as_long_as_they_may_be():
    assert unique("fjord", {"fjord", "fjord-2"}) == "fjord-3"
    long = unique("x" * 63, {"x" * 63})
    assert (len(long), long[-2:]) == (63, "-2")


def test_a_device_gets_an_id_of_its_own_where_its_place_would_give_it_anothers():
    rooms = [f'[[rooms]]\nid = "{room}"\n[[rooms.devices]]\nhost = "of-{room}"\n' for room in ("a", "a-2")]
    text = "".join(rooms)
    (second,) = called(text, [addition(room="a")])
    assert second.keys["id"] == "a-3"
    assert taken_ids(changed(text, [second])) == {"a", "a-2", "a-3"}
    (first, other) = called("", [addition(room="b"), addition(room="b", host="h3")])
    assert "id" not in first.keys
    assert "id" not in other.keys
