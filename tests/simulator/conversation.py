"""One client's JSON-RPC conversation with a device: requests in, replies and feedback out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from tests.simulator import commands
from tests.simulator.device import PEOPLE
from tests.simulator.language import (
    ANY,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NOT_READY,
    PARSE_ERROR,
    PERMISSION_DENIED,
    TOO_MANY_SUBSCRIBERS,
    Leaf,
    Pattern,
    Refused,
    covers,
    descend,
    elements,
    encode,
    plant,
)

if TYPE_CHECKING:
    from tests.simulator.device import Device


class Conversation:
    """Knows what the client has subscribed to; gives bytes and leaves sending them to the line."""

    def __init__(self, device: "Device") -> None:
        self._device: Final = device
        self._patterns: dict[int, Pattern] = {}
        self._last_id = 0

    @property
    def subscriptions(self) -> int:
        return len(self._patterns)

    def forget(self) -> None:
        self._patterns.clear()

    @property
    def counting(self) -> list[int]:
        """The subscriptions that hear the people count."""
        return [number for number, pattern in self._patterns.items() if covers(pattern, PEOPLE)]

    def receive(self, text: bytes) -> tuple[bytes | None, list[bytes]]:
        """The reply to one message, if it wants any, and the feedback that it sets off at once."""
        try:
            request = orjson.loads(text)
        except orjson.JSONDecodeError:
            return _error(None, Refused(PARSE_ERROR, "Parse error")), []
        request_id = request.get("id") if isinstance(request, dict) else None
        try:
            result, feedback = self._answer(request)
        except Refused as refusal:
            return _error(request_id, refusal), []
        if request_id is None:
            return None, feedback
        return encode({"id": request_id, "jsonrpc": "2.0", "result": result}), feedback

    def feedback(self, leaves: Sequence[Leaf]) -> list[bytes]:
        """One frame per subscription that covers any of the leaves."""
        frames: list[bytes] = []
        for number, pattern in self._patterns.items():
            heard = [leaf for leaf in leaves if covers(pattern, leaf[0])]
            if heard:
                frames.append(event(number, heard))
        return frames

    def _answer(self, request: object) -> tuple[object, list[bytes]]:
        if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
            raise Refused(INVALID_REQUEST, "Invalid request")
        method, parameters, request_id = request.get("method"), request.get("params", {}), request.get("id")
        if not isinstance(method, str) or not isinstance(parameters, dict):
            raise Refused(INVALID_REQUEST, "Invalid request")
        if isinstance(request_id, bool) or not isinstance(request_id, int | float | str | None):
            raise Refused(INVALID_REQUEST, "Invalid id")
        if self._device.faults.not_ready:
            raise Refused(NOT_READY, "System not ready to accept requests")
        match method:
            case "xGet":
                return self._get(parameters), []
            case "xSet":
                return self._set(parameters), []
            case "xQuery":
                return self._query(parameters), []
            case "xFeedback/Subscribe":
                return self._subscribe(parameters)
            case "xFeedback/Unsubscribe":
                return self._unsubscribe(parameters), []
            case "xDoc":
                return self._document(parameters), []
            case _ if method.startswith("xCommand/"):
                return commands.run(self._device, method.removeprefix("xCommand/"), parameters), []
            case _:
                raise Refused(METHOD_NOT_FOUND, "Method not found")

    def _get(self, parameters: Mapping[str, Any]) -> object:
        path = self._device.firmware.resolve(elements(parameters.get("Path")))
        if path is None or path[0] == "Event":
            raise Refused(METHOD_NOT_FOUND, "No match on Path argument")
        pattern = tuple(step if isinstance(step, int) else step.lower() for step in path)
        tree = plant(leaf for leaf in self._device.leaves() if covers(pattern, leaf[0]))
        try:
            return descend(tree, path)
        except KeyError:
            node = self._device.firmware.node(path)
            if isinstance(path[-1], int) or node.space is not None:
                raise Refused(METHOD_NOT_FOUND, "No match on Path argument") from None
            return [] if node.is_list else {}

    def _set(self, parameters: Mapping[str, Any]) -> bool:
        path = self._device.firmware.resolve(elements(parameters.get("Path")))
        if path is None or path[0] != "Configuration":
            raise Refused(METHOD_NOT_FOUND, "No match on Path argument")
        space = self._device.firmware.node(path).space
        if space is None or "Value" not in parameters:
            raise Refused(INVALID_PARAMS, "Invalid params")
        match self._device.faults.settings:
            case "denied":
                raise Refused(PERMISSION_DENIED, "Permission denied")
            case "ignored":
                return True
        try:
            self._device.configure(path, space.cast(parameters["Value"]))
        except ValueError as error:
            raise Refused(INVALID_PARAMS, f"Illegal value: {error}") from error
        return True

    def _query(self, parameters: Mapping[str, Any]) -> object:
        pattern = _pattern(parameters)
        found = plant(leaf for leaf in self._device.leaves() if covers(pattern, leaf[0]))
        if not found and not self._known(pattern):
            raise Refused(METHOD_NOT_FOUND, "No match on Query argument")
        return found

    def _subscribe(self, parameters: Mapping[str, Any]) -> tuple[object, list[bytes]]:
        pattern = _pattern(parameters)
        if not self._known(pattern) and not self._device.faults.accepts_unknown_queries:
            raise Refused(METHOD_NOT_FOUND, "No match on Query argument")
        if len(self._patterns) >= self._device.faults.subscription_limit:
            raise Refused(TOO_MANY_SUBSCRIBERS, "Subscriber count exceeded")
        self._last_id += 1
        self._patterns[self._last_id] = pattern
        current = [leaf for leaf in self._device.leaves() if covers(pattern, leaf[0])]
        tell = parameters.get("NotifyCurrentValue") is True and current
        return {"Id": self._last_id}, [event(self._last_id, current)] if tell else []

    def _unsubscribe(self, parameters: Mapping[str, Any]) -> bool:
        number = parameters.get("Id")
        if not isinstance(number, int) or self._patterns.pop(number, None) is None:
            raise Refused(INVALID_PARAMS, "Unknown subscription Id", {"Id": number})
        return True

    def _document(self, parameters: Mapping[str, Any]) -> object:
        """The least that jsxapi can work with: the names and types below a path."""
        path = self._device.firmware.resolve(elements(parameters.get("Path")))
        if path is None:
            raise Refused(METHOD_NOT_FOUND, "No match on Path argument")
        node = self._device.firmware.node(path)
        if node.space is not None:
            space = node.space
            return {"ValueSpace": {"Type": space.kind.value, "Value": list(space.literals)}}
        return {child.name: {} for child in node.children.values()}

    def _known(self, pattern: Pattern) -> bool:
        return ANY in pattern or self._device.firmware.resolve(pattern) is not None


def event(subscription: int, leaves: Sequence[Leaf]) -> bytes:
    """A feedback frame's text."""
    parameters = {"Id": subscription, **plant(leaves)}
    return encode({"jsonrpc": "2.0", "method": "xFeedback/Event", "params": parameters})


def _pattern(parameters: Mapping[str, Any]) -> Pattern:
    query = elements(parameters.get("Query"))
    pattern = tuple(step.lower() if isinstance(step, str) else step for step in query)
    if all(step == ANY for step in pattern):
        raise Refused(INVALID_PARAMS, "A wildcard cannot stand alone")
    return tuple(int(step) if isinstance(step, str) and step.isdigit() else step for step in pattern)


def _error(request_id: object, refusal: Refused) -> bytes:
    error: dict[str, object] = {"code": refusal.code, "message": refusal.message}
    if refusal.data is not None:
        error["data"] = refusal.data
    return encode({"error": error, "id": request_id, "jsonrpc": "2.0"})
