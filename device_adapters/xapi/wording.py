"""Fits texts that others wrote to what a device's message takes: their length, their lines, no markup."""

from __future__ import annotations

import re
import unicodedata

# Whether a device counts characters or bytes is nowhere written: what has so few bytes fits either way.

ELLIPSIS = "…"
_BREAK = "<br>"

# The only markup that messages understand; nothing else may look like any.
_MARKUP = re.compile(r"<(br|/?p) ?/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?=#|[a-z][a-z0-9]{0,31};|lt|gt|amp|quot|nbsp)", re.IGNORECASE)
_LOOKS_ALIKE = str.maketrans(
    {
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    }
)
_HARMLESS_AND = "\N{FULLWIDTH AMPERSAND}"

_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Direction marks and overrides can turn a text into another one; U+FFFE and U+FFFF cannot be written as XML.
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffe\uffff]"
)
_NO_TEXT = re.compile("[\ud800-\udfff]")  # halves of characters, which no encoding has
_SPACES = re.compile(r"[^\S\n]+")
_PIECES = re.compile(r"<br>|</?p>|\s+|[^\s<]+|<")
_JOINED = frozenset({"Mn", "Me", "Mc", "Sk"})  # belongs to the character before it
_JOINERS = frozenset("\u200c\u200d\ufe0e\ufe0f")


def fit_box(text: str, most: int) -> str:
    """For prompts and alerts: lines become `<br>`, which with `<p>` is the only markup that stays.

    At most `most` bytes; what is longer ends in an ellipsis, after a whole word where there is one.
    """
    tame = _tame(text, "\n", keep=True)
    return _cut(_strip(_SPACES.sub(" ", tame).replace("\n", _BREAK)), most)


def fit_line(text: str, most: int) -> str:
    """For banners, titles and answers, on one line and without any markup; else like `fit_box`."""
    return _cut(" ".join(_tame(text, " ", keep=False).split()), most)


def fit_title(text: str, most: int) -> str:
    """For a booking's title, which nobody takes for markup; else like `fit_line`."""
    return _cut(" ".join(_legible(_LINE_END.sub(" ", text)).split()), most)


def _tame(text: str, line_end: str, *, keep: bool) -> str:
    """Legible text, its lines ended by `line_end`, in which nothing but kept markup can be taken for any."""
    pieces: list[str] = []
    end = 0
    legible = _legible(_LINE_END.sub(line_end, text))
    for found in _MARKUP.finditer(legible):
        pieces += [_harmless(legible[end : found.start()]), f"<{found[1].lower()}>" if keep else " "]
        end = found.end()
    return "".join([*pieces, _harmless(legible[end:])])


def _harmless(text: str) -> str:
    return _ENTITY.sub(_HARMLESS_AND, text.translate(_LOOKS_ALIKE))


def _legible(text: str) -> str:
    return _NO_TEXT.sub("\ufffd", _HIDDEN.sub("", text))


def _strip(text: str) -> str:
    """Without empty lines at its ends."""
    while text != (text := text.strip().removeprefix(_BREAK).removesuffix(_BREAK)):
        pass
    return text


def _cut(text: str, most: int) -> str:
    if _size(text) <= most:
        return text
    room = most - _size(ELLIPSIS)
    if room < 0:
        return ""
    whole, used = "", 0
    for piece in _PIECES.findall(text):
        used += _size(piece)
        if used > room:
            break
        whole += piece
    whole = _without_open_end(whole)
    return (whole or _within_word(text, room)) + ELLIPSIS


def _without_open_end(text: str) -> str:
    """Without white space and markup at its end, which nothing follows any more."""
    while text != (text := re.sub(r"(?:<br>|<p>)\Z", "", text.rstrip())):
        pass
    return "" if not re.sub(r"</?p>|<br>", "", text).strip() else text


def _within_word(text: str, room: int) -> str:
    """As much of the first word as there is room for, and of no character half."""
    word = next((each for each in _PIECES.findall(text) if each[0] != "<" and not each.isspace()), "")
    head = word.encode()[:room].decode(errors="ignore")
    while head and len(head) < len(word) and _joined(word[len(head)], head[-1]):
        head = head[:-1]
    return head


def _joined(after: str, before: str) -> bool:
    return after in _JOINERS or before == "\u200d" or unicodedata.category(after) in _JOINED


def _size(text: str) -> int:
    return len(text.encode())
