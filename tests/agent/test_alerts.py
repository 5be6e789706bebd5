"""The dashboard and the alerts we ship: what they ask for exists, and each alert goes off when it should."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tests.agent.test_metrics import DASHBOARD, DOCUMENTED, RULES, Scraped, everything, promtool

METRIC: Final = re.compile(r"\b((?:roomd|process)_[a-z0-9_]+)\b(\{[^}]*\})?")
MATCH: Final = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
OF_PROMETHEUS: Final = {"instance", "job"}
BOARD: Final = 'device="board",room="fjord"'

# alert → series that set it off (as promtool's unit tests write them, a sample a minute), and by when
FIRES: Final[Mapping[str, tuple[Mapping[str, str], str]]] = {
    "RoomdDown": ({'up{job="roomd"}': "0x10"}, "3m"),
    "RoomdRestarting": ({'process_start_time_seconds{job="roomd"}': "100x5 200x5 300x5 400x15"}, "25m"),
    "RoomdStuck": ({"roomd_stuck": "1x10"}, "3m"),
    "RoomdSlow": (
        {"roomd_loop_lag_seconds_sum": "0+30x30", "roomd_loop_lag_seconds_count": "0+60x30"},
        "20m",
    ),
    "RoomdClockUnsynced": ({"roomd_clock_synced": "0x30"}, "16m"),
    "RoomdCertificateExpires": (
        {'roomd_certificate_expiry_timestamp_seconds{use="broker"}': "1000000x100"},
        "62m",
    ),
    "RoomdDatabaseStuck": ({"roomd_database_stuck": "1x10"}, "2m"),
    "RoomdDiskNearlyFull": ({"roomd_disk_free_bytes": "1000x30"}, "11m"),
    "RoomdBrokerAway": ({"roomd_broker_connected": "0x10"}, "6m"),
    "RoomdBrokerRefuses": ({'roomd_broker_endings_total{ending="refused"}': "0 1x20"}, "4m"),
    "RoomdOutboxPaused": ({"roomd_outbox_paused": "1x10"}, "6m"),
    "RoomdCommandsDeaf": ({"roomd_commands_deaf": "1x20"}, "11m"),
    "RoomdNobodyListens": ({"roomd_outbox_nobody_listens": "1x30"}, "16m"),
    "RoomdOutboxOld": ({"roomd_outbox_oldest_age_seconds": "1000x20"}, "6m"),
    "RoomdOutboxFilling": ({"roomd_outbox_budget_used_ratio": "0.8x20"}, "6m"),
    "RoomdOutboxDropped": ({"roomd_outbox_dropped_total": "0 5x20"}, "3m"),
    "RoomdDeadLetters": ({"roomd_outbox_dead_letters_total": "0 1x20"}, "3m"),
    "RoomdSealingFailed": ({"roomd_sealing_failed": "1x20"}, "6m"),
    "RoomdDeviceRefused": ({f'roomd_device_phase{{{BOARD},phase="refused"}}': "1x20"}, "6m"),
    "RoomdDeviceLost": ({f'roomd_device_phase{{{BOARD},phase="unheard"}}': "1x40"}, "31m"),
    "RoomdTrendsNotWritten": ({"roomd_trends_waiting": "3x60"}, "31m"),
    "RoomdTrendsLost": ({"roomd_trends_lost_total": "0+1x20"}, "10m"),
    "RoomdSensorsCutOff": ({"roomd_sensors_connected": "0x20"}, "11m"),
    "RoomdSensorSilent": (
        {'roomd_sensor_phase{phase="stale",room="fjord",sensor="ceiling"}': "1x80"},
        "61m",
    ),
    "RoomdManyDevicesLost": (
        {
            'roomd_device_phase{device="a",room="a",phase="lost"}': "1x20",
            'roomd_device_phase{device="a",room="a",phase="connected"}': "0x20",
            'roomd_device_phase{device="b",room="b",phase="lost"}': "0x20",
            'roomd_device_phase{device="b",room="b",phase="connected"}': "1x20",
        },
        "6m",
    ),
    "RoomdDeviceFlapping": ({f"roomd_device_losses_total{{{BOARD}}}": "0+1x60"}, "30m"),
    "RoomdDeviceBug": ({f"roomd_device_bugs_total{{{BOARD}}}": "0 1x20"}, "3m"),
    "RoomdCalendarNeedsAPerson": (
        {'roomd_calendar_phase{service="google",phase="operator credential"}': "1x10"},
        "6m",
    ),
    "RoomdCalendarDegraded": ({'roomd_calendar_phase{service="google",phase="degraded"}': "1x40"}, "31m"),
    "RoomdCalendarStale": ({'roomd_calendar_oldest_listing_age_seconds{service="google"}': "4000x20"}, "11m"),
    "RoomdPushesFailing": ({'roomd_calendar_pushes_failing{service="google"}': "1x70"}, "61m"),
}
WELL: Final[Mapping[str, str]] = {  # a site as it should be, for an hour and more
    'up{job="roomd"}': "1x70",
    'process_start_time_seconds{job="roomd"}': "100x30 200x40",
    "roomd_loop_lag_seconds_sum": "0+0.1x70",
    "roomd_loop_lag_seconds_count": "0+60x70",
    "roomd_stuck": "0x30 1x1 0x38",
    "roomd_clock_synced": "1x70",
    'roomd_certificate_expiry_timestamp_seconds{use="broker"}': "10000000x70",
    "roomd_database_stuck": "0x70",
    "roomd_disk_free_bytes": "9000000000x70",
    "roomd_broker_connected": "1x30 0x2 1x38",
    'roomd_broker_endings_total{ending="retry"}': "0x30 1x40",
    'roomd_broker_endings_total{ending="refused"}': "0x70",
    "roomd_outbox_paused": "0x70",
    "roomd_commands_deaf": "0x70",
    "roomd_outbox_nobody_listens": "0x70",
    "roomd_outbox_oldest_age_seconds": "0x70",
    "roomd_outbox_budget_used_ratio": "0.1x70",
    "roomd_outbox_dropped_total": "0x70",
    "roomd_outbox_dead_letters_total": "0x70",
    "roomd_sealing_failed": "0x70",
    f'roomd_device_phase{{{BOARD},phase="connected"}}': "1x30 0x10 1x30",
    f'roomd_device_phase{{{BOARD},phase="lost"}}': "0x30 1x3 0x37",
    f'roomd_device_phase{{{BOARD},phase="refused"}}': "0x70",
    f"roomd_device_losses_total{{{BOARD}}}": "0x30 1x40",
    f"roomd_device_bugs_total{{{BOARD}}}": "0x70",
    'roomd_calendar_phase{service="google",phase="active"}': "1x70",
    'roomd_calendar_phase{service="google",phase="revoked"}': "0x70",
    'roomd_calendar_oldest_listing_age_seconds{service="google"}': "300x70",
    'roomd_calendar_pushes_failing{service="google"}': "0x70",
}


def alerts() -> dict[str, str]:
    """Expressions by the alert's name, out of the file as it is written: a line each."""
    text = RULES.read_text(encoding="utf-8")
    return dict(re.findall(r"^ +- alert: (\w+)\n +expr: (.+)$", text, flags=re.MULTILINE))


def board() -> Any:  # noqa: ANN401 - JSON
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def asked_by_panels() -> Iterator[tuple[str, str]]:
    for panel in board()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_every_alert_is_good_for_prometheus(tmp_path):
    promtool(["check", "rules", str(RULES)], tmp_path)


def test_every_alert_says_how_bad_it_is_and_what_to_do():
    text = RULES.read_text(encoding="utf-8")
    each = re.split(r"^ +- alert: ", text, flags=re.MULTILINE)[1:]
    assert len(each) == len(alerts())
    for alert in each:
        assert re.search(r"severity: (critical|warning)\}", alert), alert
        assert re.search(r"summary: \"\S", alert), alert
        assert re.search(r"description: \".{40}", alert), alert


def test_each_alert_goes_off_when_it_should_and_no_other(tmp_path):
    assert set(FIRES) == set(alerts())
    going_off = 'sum by (alertname) (ALERTS{alertstate="firing"})'

    def story(series: Mapping[str, str], expected: Mapping[str, Sequence[str]]) -> Any:  # noqa: ANN401
        return {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": going_off,
                    "eval_time": at,
                    "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in names],
                }
                for at, names in expected.items()
            ],
        }

    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            *(story(series, {"0m": (), at: (name,)}) for name, (series, at) in FIRES.items()),
            story(WELL, dict.fromkeys(("5m", "31m", "34m", "45m", "70m"), ())),
        ],
    }
    (tmp_path / "alerts.json").write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML, too
    promtool(["test", "rules", "alerts.json"], tmp_path)


def test_every_panel_asks_what_prometheus_understands(tmp_path):
    asked = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m").replace("$", "")}
        for number, (_, expression) in enumerate(asked_by_panels())
    ]
    assert asked
    (tmp_path / "panels.json").write_text(json.dumps({"groups": [{"name": "panels", "rules": asked}]}))
    promtool(["check", "rules", "panels.json"], tmp_path)


def test_the_dashboard_can_be_imported_anywhere():
    whole = board()
    ids = [panel["id"] for panel in whole["panels"]]
    assert len(ids) == len(set(ids))
    variables = {variable["name"]: variable for variable in whole["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    taken: set[tuple[int, int]] = set()
    for panel in whole["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        for target in panel.get("targets", ()):
            assert (
                target["datasource"]
                == panel["datasource"]
                == {
                    "type": "prometheus",
                    "uid": "${datasource}",
                }
            )
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= {*variables, "__rate_interval"}
    assert "http" not in json.dumps(whole)


async def test_everything_asked_for_is_told(tmp_path):
    """By name, by label, and by the value of a label where it is one of a few."""
    told = await everything(tmp_path)
    expressions = [*asked_by_panels(), *alerts().items()]
    expressions += [("variable", each["query"]["query"]) for each in board()["templating"]["list"][1:]]
    for where, expression in expressions:
        for name, matches in METRIC.findall(expression):
            assert name in told.names, (where, name)
            for label, how, value in MATCH.findall(matches):
                if label in OF_PROMETHEUS or value.startswith("$"):
                    continue
                values = _values(told, name, label)
                assert values, (where, name, label)
                wanted = value.split("|")
                if how in {"=", "=~"} or name != "roomd_callers_total":
                    assert set(wanted) <= values, (where, name, label, value)


def _values(told: Scraped, name: str, label: str) -> set[str]:
    return {dict(labels)[label] for there, labels in told.samples if there == name and label in dict(labels)}


async def test_every_family_has_a_sample_in_these_tests_and_a_line_in_the_documentation(tmp_path):
    told = await everything(tmp_path)
    text = DOCUMENTED.read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)`", text, flags=re.MULTILINE))
    for family in told.families:
        assert family.samples, family.name
        name = family.name + ("_total" if family.type == "counter" else "")
        assert name in listed, name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        (line,) = [row for row in text.splitlines() if row.startswith(f"| `{name}`")]
        assert labels == set(re.findall(r"`(\w+)`", line.split("|")[2])), name
    told_names = {f.name + ("_total" if f.type == "counter" else "") for f in told.families}
    assert {name for name in listed if name.startswith(("roomd_", "process_"))} == told_names
