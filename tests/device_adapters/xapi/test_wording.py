"""Whatever text somebody sends, what a device gets of it fits, is whole words, and hides nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_adapters.xapi.wording import ELLIPSIS, fit_box, fit_line, fit_title

FITS = (fit_box, fit_line, fit_title)
LIMITS = st.sampled_from((8, 32, 140, 255))
WORDS = st.text(alphabet="aå漢🙂e\u0301", min_size=1, max_size=12)
TEXTS = st.one_of(
    st.text(max_size=400),
    st.lists(WORDS, max_size=80).map(" ".join),
    st.lists(
        st.sampled_from(
            [
                "<br>",
                "<P>",
                "</p>",
                "<b>",
                "<",
                ">",
                "&lt;",
                "&",
                "&#60;",
                "\n",
                "\r\n",
                "\u2028",
                "\x00",
                "\u202e",
            ]
        )
        | WORDS,
        max_size=60,
    ).map("".join),
)


@given(TEXTS, LIMITS)
@pytest.mark.parametrize("fit", FITS)
def test_it_fits_whether_the_device_counts_characters_or_bytes(fit, text, most):
    assert len(fit(text, most).encode()) <= most


@given(TEXTS, LIMITS)
@pytest.mark.parametrize("fit", FITS)
def test_it_is_one_line_of_what_people_can_see(fit, text, most):
    fitted = fit(text, most)
    assert len(fitted.splitlines()) <= 1
    assert fitted.isprintable() or not re.search(
        "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", fitted
    )


@given(TEXTS, LIMITS)
def test_no_markup_stays_but_lines_and_paragraphs(text, most):
    assert not set("<>") & set(re.sub(r"<br>|</?p>", "", fit_box(text, most)))
    assert not set("<>") & set(fit_line(text, most))


@given(TEXTS, LIMITS)
def test_nothing_stays_that_stands_for_a_character(text, most):
    for fitted in (fit_box(text, most), fit_line(text, most)):
        assert not re.search(r"&(#|[a-zA-Z][a-zA-Z0-9]*;)", fitted)


@given(TEXTS, LIMITS)
def test_fitting_what_fits_changes_nothing_more(text, most):
    for fit in FITS:
        once = fit(text, most)
        assert fit(once, most) == once


@given(st.lists(WORDS, min_size=1, max_size=80), LIMITS)
def test_words_are_cut_off_and_not_cut(words, most):
    fitted = fit_line(" ".join(words), most)
    if fitted.endswith(ELLIPSIS):
        kept = fitted.removesuffix(ELLIPSIS).split(" ")
        assert kept == words[: len(kept)] or (len(kept) == 1 and words[0].startswith(kept[0]))
    else:
        assert fitted == " ".join(words)


def test_what_is_too_long_ends_after_a_word():
    assert fit_line("Held for Kari until half past two", 20) == "Held for Kari…"
    assert fit_box("Held for Kari<br>until half past two", 25) == "Held for Kari<br>until…"
    assert fit_box("Held for<br><p>Kari Nordmann", 20) == "Held for…"


def test_a_single_word_is_cut_between_its_characters():
    assert fit_line("x" * 300, 140) == "x" * 137 + ELLIPSIS
    assert fit_line("ø" * 10, 10) == "øøø…"
    assert fit_line("abcde\u0301f" + "x" * 9, 9) == "abcd…"


def test_lines_stay_lines_where_there_are_any():
    text = "Held\r\nfor <BR/>Kari\n"
    assert fit_box(text, 255) == "Held<br>for <br>Kari"
    assert fit_line(text, 140) == "Held for Kari"
    assert fit_title(text, 128) == "Held for <BR/>Kari"


def test_what_looks_like_markup_stays_readable():
    assert fit_box("R&D <b>now</b> &lt;b>", 255) == "R&D ‹b›now‹/b› ＆lt;b›"  # noqa: RUF001
    assert fit_title("R&D <all>", 128) == "R&D <all>"


def test_a_limit_that_has_no_room_for_anything_leaves_nothing():
    assert fit_line("Held", 2) == ""
