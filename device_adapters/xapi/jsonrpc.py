"""JSON-RPC 2.0 as devices speak it over WebSocket: calls to bytes, frames to messages."""

from __future__ import annotations

import msgspec

from device_adapters.xapi.messages import Call, CallId, Feedback, Refusal, Reply, Unintelligible, XapiMessage


class _Error(msgspec.Struct, gc=False):
    code: int = 0
    message: str = ""


class _Frame(msgspec.Struct, gc=False):
    """One message; which of its members are there says what it is."""

    id: int | str | None = None
    method: str | None = None
    params: dict[str, object] | None = None
    result: object = msgspec.UNSET
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Frame | list[_Frame]).decode
_encode = msgspec.json.Encoder().encode


class JsonRpc:
    """The numbering of one conversation's calls, and the reading of its frames."""

    __slots__ = ("_calls", "unknown")

    def __init__(self) -> None:
        self._calls = 0
        self.unknown = 0  # frames that are no answer to us and no feedback: newer firmware may say more

    def call(self, call: Call) -> tuple[CallId, bytes]:
        """Number a call and give the frame to send."""
        self._calls += 1
        call_id = CallId(self._calls)
        return call_id, _encode(
            {"jsonrpc": "2.0", "id": call_id, "method": call.method, "params": call.params}
        )

    def receive(self, frame: bytes | str) -> tuple[XapiMessage, ...]:
        """Read one frame, which may be a batch: its messages in order.

        Unintelligible where it is not JSON, not an object or a list of such, or nested beyond reason.
        """
        try:
            heard = _decode(frame)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise Unintelligible(f"not JSON-RPC: {error}"[:200]) from None
        except RecursionError:
            raise Unintelligible("not JSON-RPC: nested too deeply") from None
        if isinstance(heard, _Frame):
            message = self._message(heard)
            return () if message is None else (message,)
        return tuple(message for each in heard if (message := self._message(each)) is not None)

    def _message(self, frame: _Frame) -> XapiMessage | None:
        if frame.method == "xFeedback/Event" and frame.params is not None:
            return Feedback(frame.params)
        if isinstance(frame.id, int):
            if frame.error is not None:
                return Refusal(CallId(frame.id), frame.error.code, frame.error.message)
            if frame.result is not msgspec.UNSET:
                return Reply(CallId(frame.id), frame.result)
        self.unknown += 1
        return None
