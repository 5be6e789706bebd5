"""What a device is to the file follows from its address, its keys and its serial number: nobody guesses."""

from pathlib import Path

import pytest

from agent.candidates import Candidate
from agent.enrolling import Outcome, Visit, changes, device_of, recognize, sort
from agent.room_lines import Addition, Amendment, changed, standing
from device_adapters.introduction import Introduction
from device_adapters.knocking import Knocked, Sign
from tests.simulator.host_keys import host_key

ONE, TWO, THREE = (f"sha256:{digit * 64}" for digit in "abc")
SSH_ONE, SSH_TWO = (host_key(1, number).fingerprint for number in range(2))


def visit(host="10.0.4.30", *, named=True, sign=Sign.DEVICE, key=ONE, ssh=None, certified=False, **said):
    knocked = Knocked(sign=sign, fingerprint=key, host_key=ssh, certified=certified)
    return Visit(candidate=Candidate(host=host, named=named, **said), knocked=knocked, outcome=Outcome.NEW)


def met(each, name="Fjord", serial="FOC1", product="Cisco Room Bar Pro"):
    each.introduction = Introduction(product=product, serial=serial, software="ce26.4.1", name=name)
    return each


def device(host, *lines, room="fjord"):
    return "\n".join([f'[[rooms]]\nid = "{room}"\n[[rooms.devices]]\nhost = "{host}"', *lines, ""])


def sorted_by(text, *visits, repin=False):
    there = standing(text)
    for each in visits:
        each.standing = next((one for one in there.devices if one.host == each.candidate.place), None)
    sort(visits, there, repin=repin)
    return [each.outcome for each in visits]


def written(text, *visits, room=None):
    found = changes(visits, text, standing(text), room=room, login=lambda _: {}, ssh_port=None)
    return found, changed(text, found)


# ── by keys ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pins", "seen", "outcome"),
    [
        ((f'fingerprint = "{ONE}"',), {}, Outcome.KNOWN),
        ((f'fingerprint = "{ONE[7:].upper()}"',), {}, Outcome.KNOWN),
        ((f'fingerprint = "{TWO}"',), {}, Outcome.CHANGED),
        ((f'fingerprint = "{TWO}"',), {"certified": True}, Outcome.CHANGED),
        ((f'fingerprint = "{TWO}"',), {"key": None, "ssh": SSH_ONE}, Outcome.KNOWN),
        ((f'fingerprint = "{ONE}"', f'host_key = "{SSH_ONE}"'), {"ssh": SSH_ONE}, Outcome.KNOWN),
        ((f'fingerprint = "{ONE}"', f'host_key = "{SSH_ONE}"'), {"ssh": SSH_TWO}, Outcome.CHANGED),
        ((f'host_key = "{SSH_ONE}"',), {"ssh": SSH_ONE}, Outcome.KNOWN),
        ((), {}, Outcome.CHANGED),
        ((), {"certified": True}, Outcome.KNOWN),
        (("unverified = true",), {}, Outcome.KNOWN),
        (("unverified = true",), {"sign": Sign.NOBODY, "key": None}, Outcome.NOBODY),
    ],
)
def test_a_device_of_the_file_is_believed_by_what_the_file_says(pins, seen, outcome):
    each = visit("10.0.4.21", **seen)
    assert sorted_by(device("10.0.4.21", *pins), each) == [outcome]
    assert each.believed == (outcome is Outcome.KNOWN)


def test_new_keys_are_only_taken_when_asked_for():
    each = visit("10.0.4.21")
    assert sorted_by(device("10.0.4.21", f'fingerprint = "{TWO}"'), each, repin=True) == [Outcome.REPINNED]
    assert not each.believed
    assert each.fingerprint is None
    each.shown = True
    _, text = written(device("10.0.4.21", f'fingerprint = "{TWO}"'), met(each))
    assert text == device("10.0.4.21", f'fingerprint = "{ONE}"')


@pytest.mark.parametrize(
    ("seen", "outcome", "believed"),
    [
        ({}, Outcome.NEW, False),
        ({"certified": True}, Outcome.NEW, True),
        ({"fingerprint": ONE}, Outcome.NEW, True),
        ({"fingerprint": TWO}, Outcome.CHANGED, False),
        ({"sign": Sign.UNSURE}, Outcome.NEW, False),
        ({"sign": Sign.UNSURE, "named": False}, Outcome.STRANGER, False),
        ({"sign": Sign.UNSURE, "key": None}, Outcome.STRANGER, False),
        ({"sign": Sign.UNSURE, "key": None, "ssh": SSH_ONE}, Outcome.NEW, False),
        ({"sign": Sign.NOBODY, "key": None}, Outcome.NOBODY, False),
    ],
)
def test_somebody_new_is_believed_by_an_authority_a_table_or_a_person(seen, outcome, believed):
    each = visit(**seen)
    assert sorted_by("", each) == [outcome]
    assert each.believed is believed


def test_a_key_that_nobody_else_shows_is_a_device_at_another_address():
    text = device("10.0.4.21", f'fingerprint = "{ONE}"')
    each = visit()
    assert sorted_by(text, each) == [Outcome.MOVED]
    found, after = written(text, met(each))
    assert found == [Amendment(place=(0, 0), keys={"host": "10.0.4.30"})]
    assert after == text.replace("10.0.4.21", "10.0.4.30")


def test_a_certificate_that_many_share_says_nothing():
    text = device("10.0.4.21", f'fingerprint = "{ONE}"')
    assert sorted_by(text, visit(), visit("10.0.4.31")) == [Outcome.NEW, Outcome.NEW]
    two = text + device("10.0.4.22", f'fingerprint = "{ONE}"', room="fjell")
    assert sorted_by(two, visit()) == [Outcome.NEW]


@pytest.mark.parametrize(
    ("each", "lines"),
    [
        (visit(ssh=SSH_ONE), []),
        (visit(ssh=SSH_ONE, certified=True), ["websocket", "http"]),
        (visit(ssh=SSH_ONE, fingerprint=ONE), ["websocket", "http"]),
    ],
)
def test_the_password_goes_over_no_line_whose_key_nobody_vouches_for(each, lines):
    def over(one):
        return [str(line) for line in device_of(one, standing(""), Path).transports]

    assert over(each) == lines
    each.shown = True
    assert over(each) == ["websocket", "ssh", "http"]


def test_a_device_that_is_known_by_its_host_key_is_asked_over_ssh_alone():
    text = device("10.0.4.21", f'host_key = "{SSH_ONE}"')
    each = visit("10.0.4.21", ssh=SSH_ONE)
    sorted_by(text, each)
    found = device_of(each, standing(text), Path)
    assert [str(line) for line in found.transports] == ["ssh"]


# ── by serial numbers ─────────────────────────────────────────────────────────────────────────────


def test_a_device_that_was_reset_and_moved_is_known_by_the_serial_number_behind_its_host():
    text = device("10.0.4.21", f'fingerprint = "{TWO}"').replace('21"\n', '21"  # Room Bar Pro, FOC1\n')
    each = visit()
    assert sorted_by(text, each) == [Outcome.NEW]
    each.shown = True
    recognize([met(each)], standing(text))
    assert each.outcome is Outcome.MOVED
    _, after = written(text, each)
    assert after == text.replace("10.0.4.21", "10.0.4.30").replace(TWO, ONE)


def test_one_device_at_two_addresses_is_one_and_the_file_knows_which():
    text = device("10.0.4.21", f'fingerprint = "{ONE}"')
    other, known = visit("10.0.4.77", key=TWO), visit("10.0.4.21")
    assert sorted_by(text, other, known) == [Outcome.NEW, Outcome.KNOWN]
    recognize([met(other), met(known)], standing(text))
    assert [other.outcome, known.outcome] == [Outcome.SAME, Outcome.KNOWN]
    assert "10.0.4.21" in other.why


# ── rooms ─────────────────────────────────────────────────────────────────────────────────────────


def rooms_of(text, *visits, room=None):
    found, _ = written(text, *visits, room=room)
    return [each.room for each in found if isinstance(each, Addition)]


def test_a_room_is_called_as_its_device_or_for_want_of_a_name_by_something_else():
    assert rooms_of("", met(visit(), name="Møterom Ås")) == ["moeterom-aas"]
    assert rooms_of("", met(visit("heron.example.com"), name=None)) == ["heron"]
    assert rooms_of("", met(visit(), name=None, serial="FOC2413N7XK")) == ["room-bar-pro-n7xk"]
    assert rooms_of("", met(visit(), name="会議室")) == ["room-foc1"]


def test_rooms_of_one_name_are_two_and_a_person_is_told():
    first, second = met(visit()), met(visit("10.0.4.31"))
    assert rooms_of("", first, second) == ["fjord", "fjord-2"]
    third = met(visit("10.0.4.32"))
    text = device("10.0.4.21", "").replace('"fjord"', '"fjord"\nname = "Fjord"')
    assert rooms_of(text, third) == ["fjord-2"]
    assert any("--room fjord" in note for note in third.notes)


def test_a_room_that_has_only_a_calendar_gets_the_device_of_its_name():
    text = '[[rooms]]\nid = "big"\nname = "Fjord"\ncalendar = { microsoft = "fjord@contoso.com" }\n'
    assert rooms_of(text, met(visit())) == ["big"]


def test_lines_of_a_table_with_one_name_are_one_room_and_its_room_goes_before_the_option():
    first, second = met(visit(name="Aula")), met(visit("10.0.4.31", name="aula"))
    assert rooms_of("", first, second) == ["aula", "aula"]
    assert rooms_of("", met(visit(room="b")), met(visit("10.0.4.31")), room="a") == ["b", "a"]


def test_a_navigator_that_stands_alone_is_pointed_out():
    each = met(visit(), product="Cisco Room Navigator")
    assert rooms_of("", each) == ["fjord"]
    assert any("counts nobody" in note for note in each.notes)
    again = met(visit(), product="Cisco Room Navigator")
    assert rooms_of("", again, room="fjord") == ["fjord"]
    assert again.notes == []
