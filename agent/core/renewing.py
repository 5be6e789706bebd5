"""Makes a value anew with some of its fields changed: `dataclasses.replace` at a fifth of its cost.

Every event makes half a dozen values anew, and the library's own way was most of what a step cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import replace
else:
    from dataclasses import fields
    from functools import cache

    Value = TypeVar("Value")

    @cache
    def _renewal(cls: type[Value]) -> Callable[[Value, dict[str, Any]], Value]:
        """Of a value and its changes; written out for this class, as the library writes its `__init__`."""
        names = [each.name for each in fields(cls)]
        known = {"cls": cls, "Open": type(cls.__name__, (), {"__slots__": names}), "put": setattr}
        lines = [
            "def renew(value, changes):",
            "    new = Open()",
            *(f"    new.{name} = value.{name}" for name in names),
            "    for name, changed in changes.items():",
            "        put(new, name, changed)",
            "    new.__class__ = cls",  # of the same slots; from here on it is frozen
            "    return new",
        ]
        exec("\n".join(lines), known)  # noqa: S102 - of names of fields, which Python has read already
        return known["renew"]

    def replace(value: Value, /, **changes: Any) -> Value:  # noqa: ANN401 - as the library says it
        """`value` with these fields; TypeError of a name that it has not.

        For the core's own dataclasses: frozen, slotted, and without anything done after `__init__`.
        """
        cls = type(value)
        try:
            return _renewal(cls)(value, changes)
        except AttributeError:
            unknown = sorted(changes.keys() - {each.name for each in fields(cls)})
            raise TypeError(f"{cls.__name__} has no field {', '.join(map(repr, unknown))}") from None


__all__ = ["replace"]
