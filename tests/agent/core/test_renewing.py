"""What is made anew is what the library would make."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from agent.core import events, facts, model, orders
from agent.core.renewing import replace

VALUES = [
    each
    for module in (model, events, facts, orders)
    for _, each in inspect.getmembers(module, inspect.isclass)
    if dataclasses.is_dataclass(each) and each.__module__ == module.__name__
]


@pytest.mark.parametrize("cls", VALUES, ids=lambda cls: cls.__name__)
def test_a_value_is_made_anew_as_the_library_does(cls: type):
    names = [each.name for each in dataclasses.fields(cls)]
    value = cls(**{name: f"old {name}" for name in names})
    for name in names:
        changed = replace(value, **{name: "new"})
        assert changed == dataclasses.replace(value, **{name: "new"})
        assert getattr(value, name) == f"old {name}"
    assert replace(value) == value
    assert replace(value) is not value


def test_a_field_that_there_is_not_is_refused():
    unknown: Any = {"persons": 3}
    with pytest.raises(TypeError, match="Occupancy has no field 'persons'"):
        replace(model.NOTHING_KNOWN, **unknown)


def test_no_value_does_anything_after_it_was_made():
    assert not [cls for cls in VALUES if hasattr(cls, "__post_init__")]
    assert not [cls for cls in VALUES for each in dataclasses.fields(cls) if not each.init]
