"""What a device says, whichever line it comes over: an answer, a refusal, or something it tells unasked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType

CallId = NewType("CallId", int)  # counts up within one conversation


class Unintelligible(ValueError):
    """A frame or text that is not xAPI; the message says why, without repeating what was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Something to ask of a device: the JSON-RPC method and its parameters."""

    method: str
    params: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call: a leaf's value, a subtree without its root, or a command's result."""

    id: CallId
    result: object


@dataclass(frozen=True, slots=True)
class Refusal:
    """The device would not do what was asked; codes as in the API Transport Guide, p. 24."""

    id: CallId
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """Heard unasked: what changed, as a tree from its root (`Status`, `Event`, `Configuration`)."""

    tree: Mapping[str, object]


XapiMessage = Reply | Refusal | Feedback


# The codes of a refusal.
NOT_READY = -31997
TOO_MANY_SUBSCRIPTIONS = -31998
PERMISSION_DENIED = -31999
