"""`[page]`: what may be written there, and what is refused before anybody could look in."""

from __future__ import annotations

import pytest
import trustme

from agent.settings import Configuration, Page
from tests.agent.test_settings import GOOD, directory, reads, refuses

TOKEN = "0123456789abcdef0123456789abcdef"

__all__ = ["directory"]


@pytest.fixture
def keys(directory):
    """A token, and a certificate with its key."""
    (directory / "page-token").write_text(f"{TOKEN}\n", encoding="utf-8")
    (directory / "page-token").chmod(0o600)
    identity = trustme.CA().issue_cert("roomd.example.com")
    (directory / "page.pem").write_bytes(b"".join(blob.bytes() for blob in identity.cert_chain_pems))
    identity.private_key_pem.write_to_path(str(directory / "page.key"))
    (directory / "page.key").chmod(0o600)
    identity.private_key_and_cert_chain_pem.write_to_path(str(directory / "both.pem"))
    return directory


def with_page(*lines: str) -> str:
    return GOOD + "\n".join(("", "[page]", *lines))


def page_of(configuration: Configuration) -> Page:
    assert configuration.page is not None
    return configuration.page


GUARDED = ('token_file = "page-token"', 'certificate_file = "page.pem"', 'key_file = "page.key"')


def test_without_a_word_it_is_for_this_machine_alone(directory):
    page = page_of(reads(directory))
    assert (page.host, page.port, page.token_file) == ("127.0.0.1", 8580, None)
    assert str(page.socket) == "/run/roomd/http.sock"
    assert page.local


def test_its_socket_is_beside_the_other_one(directory):
    text = GOOD + f'[agent]\nsocket = "{directory}/here/roomd.sock"\n'
    assert page_of(reads(directory, text)).socket == directory / "here" / "http.sock"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9:9000", "localhost:9000", "[::1]:8580"])
def test_this_machine_needs_neither_token_nor_certificate(directory, host):
    assert page_of(reads(directory, with_page(f'listen = "{host}"'))).local


@pytest.mark.parametrize(
    "host", ["0.0.0.0:8580", "10.0.4.2:8580", "[::]:8580", "roomd.example.com", "[fe80::1]:8580"]
)
def test_the_network_needs_both(keys, host):
    text = with_page(f'listen = "{host}"')
    told = refuses(keys, text)
    assert set(told) == {"page.token_file", "page.certificate_file"}
    assert "openssl rand -hex 32" in told["page.token_file"]
    assert "127.0.0.1" in told["page.certificate_file"]
    for number, left_out in ((0, "page.token_file"), (1, "page.certificate_file")):
        some = [line for n, line in enumerate(GUARDED) if n != number]
        assert left_out in refuses(keys, with_page(f'listen = "{host}"', *some))
    page = page_of(reads(keys, with_page(f'listen = "{host}"', *GUARDED)))
    assert not page.local
    assert (page.token_file, page.certificate_file) == (keys / "page-token", keys / "page.pem")


def test_who_listens_everywhere_is_told_that_names_are_missing(keys):
    listen = 'listen = "0.0.0.0:8580"'
    assert any("page.names" in note for note in reads(keys, with_page(listen, *GUARDED)).notes)
    named = reads(keys, with_page(listen, 'names = ["roomd.example.com"]', *GUARDED))
    assert not any("page.names" in note for note in named.notes)


def test_certificate_and_key_may_be_in_one_file(keys):
    page = page_of(reads(keys, with_page('certificate_file = "both.pem"')))
    assert (page.certificate_file, page.key_file) == (keys / "both.pem", None)


def test_each_of_the_two_can_be_switched_off(directory):
    assert page_of(reads(directory, with_page("listen = false"))).host is None
    assert page_of(reads(directory, with_page("socket = false"))).socket is None
    assert reads(directory, with_page("listen = false", "socket = false")).page is None


def test_the_environment_can_switch_it_off_as_well(directory, monkeypatch):
    monkeypatch.setenv("ROOMD_PAGE__LISTEN", "false")
    assert page_of(reads(directory)).host is None


@pytest.mark.parametrize(
    ("line", "key", "word"),
    [
        ("listen = true", "page.listen", "127.0.0.1:8580"),
        ("listen = 8580", "page.listen", "127.0.0.1:8580"),
        ('listen = "8580"', "page.listen", "no host"),
        ('listen = "127.0.0.1:0"', "page.listen", "no host"),
        ('listen = "127.0.0.1:99999"', "page.listen", "no host"),
        ('listen = ""', "page.listen", "no address"),
        ('socket = "http.sock"', "page.socket", "/run/roomd/http.sock"),
        ("socket = true", "page.socket", "no path"),
        ('socket = "/run/roomd/roomd.sock"', "page.socket", "agent.socket"),
        ('names = ["https://roomd.example.com"]', "page.names", "no host's name"),
        ('names = ["roomd.example.com:8580"]', "page.names", "no host's name"),
        ('names = "roomd.example.com"', "page.names", "no list"),
        ('token_file = "nowhere"', "page.token_file", "does not exist"),
        ('token_file = "short"', "page.token_file", "openssl rand"),
        ('token_file = "spaced"', "page.token_file", "openssl rand"),
        ('token_file = "empty"', "page.token_file", "is empty"),
        ('certificate_file = "page.pem"', "page.certificate_file", "PEM"),  # its key is elsewhere
        ('certificate_file = "page-token"\nkey_file = "page.key"', "page.certificate_file", "PEM"),
        ('key_file = "page.key"', "page.certificate_file", "not given"),
        ('colour = "red"', "page.colour", "not known"),
    ],
)
def test_mistakes_are_told_with_their_mend(keys, line, key, word):
    for name, text in (("short", "secret"), ("spaced", f"{TOKEN} {TOKEN}"), ("empty", "\n")):
        (keys / name).write_text(text, encoding="utf-8")
    told = refuses(keys, with_page(line))
    assert set(told) == {key}
    assert word in told[key]
    assert TOKEN not in told[key]


def test_a_port_that_is_taken_by_another_of_our_own_doors_is_refused(directory):
    text = with_page('listen = "127.0.0.1:8443"') + '\n[feedback]\nlisten = "127.0.0.1:8443"\n'
    assert set(refuses(directory, text)) == {"page.listen"}


def test_no_secret_stands_in_what_is_handed_on(keys):
    assert TOKEN not in repr(reads(keys, with_page(*GUARDED)))
