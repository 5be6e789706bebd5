"""PURE: what a cloud sends ⇄ a shape, so that whatever comes in its place is refused and ends nothing."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from cloud_link.calendars.errors import Unreadable

Shape = TypeVar("Shape")


def decode(body: bytes | str | msgspec.Raw, shape: type[Shape]) -> Shape:
    """JSON in this shape (a msgspec type); Unreadable, which quotes nothing of it, if it is not."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # the last: a hundred thousand brackets
        raise Unreadable("what cannot be understood") from None
