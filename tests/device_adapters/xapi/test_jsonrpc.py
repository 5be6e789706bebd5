"""Frames to messages."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_adapters.xapi.jsonrpc import JsonRpc
from device_adapters.xapi.messages import Call, CallId, Feedback, Refusal, Reply, Unintelligible

FIRST = CallId(1)


def test_calls_are_numbered_from_one():
    rpc = JsonRpc()
    first = rpc.call(Call(method="xGet", params={"Path": ("Status", "Audio", "Volume")}))
    second = rpc.call(Call(method="xGet", params={}))
    assert (first[0], second[0]) == (1, 2)
    assert json.loads(first[1]) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "xGet",
        "params": {"Path": ["Status", "Audio", "Volume"]},
    }


def test_an_answer_a_refusal_and_feedback_are_told_apart():
    rpc = JsonRpc()
    assert rpc.receive(b'{"id":1,"jsonrpc":"2.0","result":{"status":"OK"}}') == (
        Reply(FIRST, {"status": "OK"}),
    )
    frame = b'{"jsonrpc":"2.0","id":111,"error":{"code":1,"data":{"Cause":21},"message":"Not paired"}}'
    assert rpc.receive(frame) == (Refusal(CallId(111), 1, "Not paired"),)
    assert rpc.receive(b'{"jsonrpc":"2.0","method":"xFeedback/Event","params":{"Id":1,"Status":{}}}') == (
        Feedback({"Id": 1, "Status": {}}),
    )


@pytest.mark.parametrize("result", ["null", "0", "false", '""', "[]"])
def test_an_empty_result_is_an_answer(result):
    assert JsonRpc().receive(f'{{"id":1,"result":{result}}}') == (Reply(FIRST, json.loads(result)),)


def test_a_batch_is_read_in_its_order():
    batch = b'[{"id":2,"result":1},{"method":"xFeedback/Event","params":{"Id":1}},{"id":1,"result":2}]'
    assert JsonRpc().receive(batch) == (Reply(CallId(2), 1), Feedback({"Id": 1}), Reply(FIRST, 2))


@pytest.mark.parametrize(
    "frame",
    [
        b'{"id":"nobody-asked","jsonrpc":"2.0","result":{"status":"OK"}}',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}',
        b'{"jsonrpc":"2.0","method":"xSomething/New","params":{}}',
        b"{}",
    ],
)
def test_what_is_neither_answer_nor_feedback_is_counted_and_left(frame):
    rpc = JsonRpc()
    assert rpc.receive(frame) == ()
    assert rpc.unknown == 1


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"OK\r\n",
        b"*r Login successful\r\nOK",
        b'"text"',
        b"17",
        b"[1]",
        b"[[]]",
        b'{"id":1,"result":',
        b'{"id":1,"result":"\xff\xfe"}',
        b'{"id":1,"result":"\\ud800"}',
        b'{"id":1,"result":NaN}',
        b'{"id":{},"result":1}',
        b'{"id":1,"error":"no"}',
        b'{"method":"xFeedback/Event","params":[]}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"jsonrpc":"2.0","params":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id":1,"result":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        bytes(range(256)),
    ],
)
def test_what_is_not_json_rpc_is_one_clear_error(frame):
    with pytest.raises(Unintelligible, match="not JSON-RPC"):
        JsonRpc().receive(frame)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
MEMBERS = st.sampled_from(["id", "method", "params", "result", "error", "jsonrpc", "code", "message"])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_frame_is_a_crash(frame):
    _receive(frame)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(MEMBERS, JSON | st.just("xFeedback/Event") | st.dictionaries(MEMBERS, JSON), max_size=6)
)
def test_no_shape_is_a_crash(frame):
    _receive(json.dumps(frame).encode())


def _receive(frame: bytes) -> None:
    try:
        messages = JsonRpc().receive(frame)
    except Unintelligible:
        return
    assert all(isinstance(message, Reply | Refusal | Feedback) for message in messages)
