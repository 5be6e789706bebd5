"""Keeps what anybody wrote, a title or a name, from moving a cursor, breaking a line or hiding a word."""

from __future__ import annotations


def printable(text: str) -> str:
    """The same with a space for every sign that cannot be seen."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)
