"""Makes a value anew with some of its fields changed: `dataclasses.replace` at a quarter of its cost.

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
        slots = {each.name: getattr(cls, each.name).__set__ for each in fields(cls)}
        known = {"cls": cls, "make": object.__new__, "slots": slots}
        known |= {f"put_{name}": put for name, put in slots.items()}
        lines = [
            "def renew(value, changes):",
            "    new = make(cls)",
            *(f"    put_{name}(new, value.{name})" for name in slots),
            "    for name, changed in changes.items():",
            "        slots[name](new, changed)",
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
        except KeyError as unknown:
            raise TypeError(f"{cls.__name__} has no field {unknown}") from None


__all__ = ["replace"]
