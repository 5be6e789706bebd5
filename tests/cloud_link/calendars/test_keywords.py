"""Which words in a location ask for a link."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloud_link.calendars.keywords import Keyword, Modifier, Word, join_pending, keyword

WEBEX, MEET = Keyword(word=Word.WEBEX), Keyword(word=Word.MEET)


@pytest.mark.parametrize(
    ("location", "meant"),
    [
        ("@webex", WEBEX),
        ("@meet", MEET),
        ("@WebEx", WEBEX),
        ("Fjord; @meet", MEET),
        ("Fjord;@webex;Bre", WEBEX),
        ("(@webex).", WEBEX),
        ("@webex.", WEBEX),
        ("@webex: Fjord", WEBEX),
        ("会議室 @webex", WEBEX),
        ("@webex:space", Keyword(word=Word.WEBEX, modifier=Modifier.SPACE)),
        ("@meet:SPACE", Keyword(word=Word.MEET, modifier=Modifier.SPACE)),
        ("@webex:myroom", Keyword(word=Word.WEBEX, modifier=Modifier.MYROOM)),
        ("@meet:MyRoom, Fjord", Keyword(word=Word.MEET, modifier=Modifier.MYROOM)),
        ("@webex:onetime", Keyword(word=Word.WEBEX, modifier=Modifier.ONETIME)),
    ],
)
def test_a_keyword_is_known_whatever_its_case_and_neighbours(location: str, meant: Keyword):
    assert keyword(location) == meant


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "Fjord",
        "webex",
        "me@webex.com",
        "me@webex",
        "kari.@webex",
        "jørgenø@webex",
        "@webex.com",
        "@webexfjord",
        "@webex_1",
        "@webex-corp.com",
        "@meeting",
        "@meetup",
        "@@webex",
        "@webex@meet",
        "@webex:spaceship",
        "@webex:\u017fpace",
        "@webex:room",
        "@ webex",
    ],
)
def test_what_only_looks_like_one_is_none(location: str | None):
    assert keyword(location) is None


@pytest.mark.parametrize(
    ("location", "meant"),
    [
        ("@meet @webex", MEET),
        ("@webex:space; @meet:myroom", Keyword(word=Word.WEBEX, modifier=Modifier.SPACE)),
        ("me@webex.com @meet @webex", MEET),
        ("@webex:room @meet", MEET),
    ],
)
def test_the_left_most_wins(location: str, meant: Keyword):
    assert keyword(location) == meant


def test_a_link_is_pending_until_it_is_there():
    assert join_pending("Fjord; @webex", None)
    assert not join_pending("Fjord; @webex", "https://acme.webex.com/meet/kari")
    assert not join_pending("Fjord", None)
    assert not join_pending(None, None)


WORDS = st.sampled_from(
    ["@", "@webex", "@meet", ":", ":space", ":myroom", ":onetime", ":\u017fpace", "İ", " ", ";", ".", "com"]
)


@given(st.lists(WORDS | st.text(max_size=5), max_size=20).map("".join))
@example("@meet:\u017fpace")
def test_whatever_is_written_is_read(location: str):
    found = keyword(location)
    pending = join_pending(location, None)
    assert pending == (found is not None)
    if found is not None:
        said = f"@{found.word}" + (f":{found.modifier}" if found.modifier else "")
        assert said in location.lower()


@given(before=st.text(max_size=30), after=st.text(max_size=30))
def test_a_keyword_between_spaces_is_found_unless_another_stands_before_it(before: str, after: str):
    found = keyword(f"{before} @webex:space {after}")
    assert found is not None
    assert "@" in before or found == Keyword(word=Word.WEBEX, modifier=Modifier.SPACE)
