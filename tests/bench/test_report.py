"""The report keeps the lines apart: what has no floor and no target is told in a table of its own."""

from pathlib import Path

from tests.bench.cloud import Commanded, Spread
from tests.bench.report import sizing, tables, targets
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


def commanded(p50_ms: float, others: float = 0.0) -> Commanded:
    return Commanded(
        sent=400,
        late_ms=0.4,
        heard=Spread(p50_ms=p50_ms, p99_ms=30.0, max_ms=31.0),
        lost=7,
        repeated=0,
        answered=None,
        not_done=400,
        others=others,
    )


def test_commands_have_a_table_and_a_floor_of_their_own():
    roomd = Outcome(
        contender="roomd-commands", devices=1000, line="websocket", durable=True, trial="commands"
    )
    floor = Outcome(
        contender="floor-commands", devices=1000, line="websocket", durable=True, trial="commands"
    )
    roomd.placed, floor.placed, floor.cancelled = commanded(9.0), commanded(6.0), commanded(5.0, others=0.4)
    events = Outcome(contender="roomd", devices=1000, line="websocket", durable=True, ready_s=3.0)
    first, second = tables([roomd, floor, events])
    assert "3.00" in first
    assert "hold.place" not in first
    assert "9.0 (1.50)" in second
    assert next(row.split() for row in second.splitlines() if "not answered" in row)[-2:] == ["400", "–"]
    assert "floor: disturbed" in second
    assert "roomd: disturbed" not in second
    assert len(targets([roomd, floor])) == 0


def test_the_sizing_table_is_markdown_with_a_row_for_each_size():
    outcome = Outcome(
        contender="roomd",
        devices=1000,
        line="websocket",
        durable=True,
        ready_s=3.04,
        ready_mb=151.2,
        cpu_us_per_event=400.0,
        p99_ms=12.3,
        delivered_per_s=2345.6,
    )
    table = sizing([outcome], {"processor": "a processor", "kernel": "6.1"}).splitlines()
    assert table[0] in Path("docs/operations.md").read_text(encoding="utf-8").splitlines()
    assert table[0].count("|") == table[2].count("|") == 9
    assert table[2] == ("| 1,000 | 3.0 s | 151 MB | – | – | 20 % | 12 ms | 2,346 |")
