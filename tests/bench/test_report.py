"""The report keeps the lines apart: what has no floor and no target is told in a table of its own."""

from tests.bench.report import tables, targets
from tests.bench.trial import Outcome


def test_other_lines_come_last_without_ratio_or_target():
    roomd = Outcome(contender="roomd", devices=1000, line="websocket", durable=True, ready_s=3.0)
    floor = Outcome(contender="floor", devices=1000, line="websocket", durable=True, ready_s=2.0)
    shell = Outcome(contender="roomd-ssh", devices=200, line="ssh", durable=True, ready_s=9.0)
    called = Outcome(contender="roomd-http", devices=200, line="http", durable=True, kb_per_device=181.0)
    first, last = tables([shell, called, roomd, floor])
    assert first.startswith("1000 devices ")
    assert "3.00 (1.50)" in first
    assert last.startswith("200 devices, other lines ")
    assert "roomd-ssh" in last
    assert "9.00  " in last
    assert "(" not in last
    assert "flood" not in last
    assert {target.devices for target in targets([shell, called, roomd, floor])} == {1000}
