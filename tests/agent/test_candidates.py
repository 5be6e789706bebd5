"""Hosts, ranges and tables as people write them become candidates, or a word on what is wrong with them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.candidates import MOST, NotEnrollable, candidates, plain_fingerprint, read_table


def written(*words):
    return [each.written for each in candidates(words)]


@pytest.mark.parametrize(
    ("word", "hosts"),
    [
        ("10.0.4.21", ["10.0.4.21"]),
        ("10.0.4.21:443", ["10.0.4.21"]),
        ("10.0.4.21:8443", ["10.0.4.21:8443"]),
        ("https://10.0.4.21/", ["10.0.4.21"]),
        ("10.0.4.30-32", ["10.0.4.30", "10.0.4.31", "10.0.4.32"]),
        ("10.0.4.254-10.0.5.1", ["10.0.4.254", "10.0.4.255", "10.0.5.0", "10.0.5.1"]),
        ("10.0.4.30-31:8443", ["10.0.4.30:8443", "10.0.4.31:8443"]),
        ("10.0.5.0/30", ["10.0.5.1", "10.0.5.2"]),
        ("10.0.5.2/30", ["10.0.5.1", "10.0.5.2"]),
        ("10.0.5.7/32", ["10.0.5.7"]),
        ("fjord.example.com", ["fjord.example.com"]),
        ("room-12.example.com:8443", ["room-12.example.com:8443"]),
        ("10-0-4-21.example.com", ["10-0-4-21.example.com"]),
        ("fd00::21", ["[fd00::21]"]),
        ("[fd00::21]:8443", ["[fd00::21]:8443"]),
    ],
)
def test_a_word_names_these_hosts(word, hosts):
    assert written(word) == hosts


NO_HOSTS = """10.0.4 10.0.4.300 10.0.4.9-3 10.0.4.1-300 10.0.0.0/21 10.0.0.0/99 fd00::/64 user@host host:0
host:99999 -x 10.0.4.1/path 443 [fd00::21 møterom fjord..example.com"""


@pytest.mark.parametrize("word", ["", "a b", f"{'a' * 64}.com", *NO_HOSTS.split()])
def test_what_names_no_hosts_is_told(word):
    with pytest.raises(NotEnrollable):
        candidates([word])


def test_everything_wrong_is_told_at_once():
    with pytest.raises(NotEnrollable) as told:
        candidates(["10.0.4.300", "fine", "10.0.4.9-3"])
    assert len(told.value.whys) == 2


def test_who_is_named_twice_is_one_and_named_by_itself():
    found = candidates(["10.0.4.0/29", "10.0.4.3", "10.0.4.3:443"])
    assert [each.written for each in found] == [f"10.0.4.{number}" for number in range(1, 7)]
    assert [each.written for each in found if each.named] == ["10.0.4.3"]


def test_a_network_of_22_bits_is_the_most():
    assert len(candidates(["10.0.4.0/22"])) == 1022
    with pytest.raises(NotEnrollable, match="several runs"):
        candidates(["10.0.4.0/22", "10.0.8.0/24"])


@given(st.integers(0, 255), st.integers(0, 255))
def test_a_range_has_everybody_between_its_ends(first, last):
    if first > last:
        with pytest.raises(NotEnrollable):
            candidates([f"10.0.4.{first}-{last}"])
    else:
        assert written(f"10.0.4.{first}-{last}") == [f"10.0.4.{number}" for number in range(first, last + 1)]


@given(st.text(max_size=30))
def test_no_word_surprises(word):
    with suppress(NotEnrollable):
        found = candidates([word])
        assert 0 < len(found) <= MOST
        assert [each.place for each in candidates([each.written for each in found])] == [
            each.place for each in found
        ]


# ── tables ────────────────────────────────────────────────────────────────────────────────────────

HEAD = "Host;Room;Name;Seats;Microsoft"
ROWS = "10.0.4.21;fjord;Fjord;8;fjord@contoso.com\n10.0.4.22;;Møterom;;\n"


def test_a_table_says_of_each_host_what_it_is():
    first, second = read_table(f"{HEAD}\n{ROWS}".encode()).candidates
    assert (first.written, first.room, first.name, first.capacity) == ("10.0.4.21", "fjord", "Fjord", 8)
    assert first.calendar == {"microsoft": "fjord@contoso.com"}
    assert (second.room, second.name, second.capacity, second.calendar) == (None, "Møterom", None, None)
    assert second.where == "line 3"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("said", ["", "sep"])
def test_tables_are_read_as_spreadsheets_save_them(encoding, separator, newline, said):
    text = f"{HEAD}\n{ROWS}\n;;;;\n".replace(";", separator).replace("\n", newline)
    if said:
        text = f"sep={separator}{newline}{text}"
    found = read_table(text.encode(encoding)).candidates
    assert [each.name for each in found] == ["Fjord", "Møterom"]
    assert found[0].where == ("line 3" if said else "line 2")


def test_cells_may_be_quoted_and_hold_separators_and_lines():
    table = 'name,host,seats\n"Fjord, the big one","10.0.4.21",12.0\n"two\nlines",10.0.4.22,"6,0"\n'
    first, second = read_table(table.encode()).candidates
    assert (first.name, first.capacity) == ("Fjord, the big one", 12)
    assert (second.name, second.capacity) == ("two\nlines", 6)


def test_columns_that_mean_nothing_are_named():
    table = read_table(b"IP address;Floor;Notes\n10.0.4.21;3;by the lift\n")
    assert table.unused == ("Floor", "Notes")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("10.0.4.21\n10.0.4.22", 'line 1: there is no column "host"'),
        ("host\n", "no line below"),
        ("host;Password\n10.0.4.21;secret", "line 1: roomd takes no passwords"),
        ("host;ip\n10.0.4.21;10.0.4.22", "line 1: two columns are the host"),
        ("host\n10.0.4.300", "line 2: '10.0.4.300' is no host"),
        ("host\n\n10.0.4.1-9", "line 3: '10.0.4.1-9' is many"),
        ("host;name\n;Fjord", "line 2: the host is missing"),
        ("host;room\n10.0.4.21;Big Room", "line 2: 'Big Room' cannot be a room's id"),
        ("host;seats\n10.0.4.21;many", "line 2: 'many' is no capacity"),
        ("host;seats\n10.0.4.21;0", "line 2: '0' is no capacity"),
        ("host;fingerprint\n10.0.4.21;abc", "line 2: the fingerprint is none"),
        ("host\n10.0.4.21\n10.0.4.21:443", "line 3: 10.0.4.21 stands on line 2 already"),
        ("host;name\n10.0.4.21;Fjord;8", "line 2: it has more cells"),
    ],
)
def test_what_is_wrong_with_a_table_names_the_line(table, told):
    with pytest.raises(NotEnrollable) as error:
        read_table(table.encode())
    assert told in str(error.value)


@given(st.binary(max_size=200))
def test_no_file_surprises(content):
    with suppress(NotEnrollable):
        assert read_table(content).candidates


def test_fingerprints_are_read_however_they_were_copied():
    digits = "ab" * 32
    copied = ["sha256 Fingerprint=" + ":".join(["AB"] * 32), f"SHA256:{digits.upper()}", digits]
    assert {plain_fingerprint(each) for each in copied} == {f"sha256:{digits}"}
