"""The dashboards as files: well made, of series that exist."""

import json
import re
from typing import Any

import pytest

from candlecast import metrics
from tests.monitoring.watched import DASHBOARDS, MONITORING, names_in, panels, rules

SERVER = {"type": "prometheus", "uid": "$datasource"}
VARIABLES = [
    ("datasource", "datasource"),
    ("namespace", "query"),
    ("release", "query"),
    ("runbooks", "textbox"),
    ("screen", "textbox"),
]
PANELS = [pytest.param(panel, id=f"{name} {panel['title']}") for name in DASHBOARDS for panel in panels(name)]


def test_there_is_one_for_each_question() -> None:
    assert list(DASHBOARDS) == ["candlecast-pipeline", "candlecast-quality", "candlecast-service"]


@pytest.mark.row(52)
@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboard_can_be_provisioned_anywhere(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert dashboard["id"] is None
    assert dashboard["uid"] == name
    assert len(name) <= 40
    assert [(one["name"], one["type"]) for one in dashboard["templating"]["list"]] == VARIABLES
    text = (MONITORING / "grafana" / "dashboards" / f"{name}.json").read_text()
    assert text == json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"
    assert "localhost" not in text


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_two_panels_share_an_id_a_title_or_a_place(name: str) -> None:
    every = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert len({panel["title"] for panel in every}) == len(every)
    taken: set[tuple[int, int]] = set()
    for panel in every:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboard_says_how_to_read_it_and_where_to_go_on(name: str) -> None:
    (first, *_) = DASHBOARDS[name]["panels"]
    assert first["type"] == "text"
    text = first["options"]["content"]
    for row in (panel["title"] for panel in DASHBOARDS[name]["panels"] if panel["type"] == "row"):
        assert row.split()[0] in text, row
    linked = set(re.findall(r"\[(\w+)\]\(\$runbooks/Candlecast\1\.md\)", text))
    assert len(linked) >= 5
    assert "($screen)" in text


def test_every_alert_is_linked_from_a_dashboard() -> None:
    text = " ".join(dashboard["panels"][0]["options"]["content"] for dashboard in DASHBOARDS.values())
    assert {f"Candlecast{name}" for name in re.findall(r"\[(\w+)\]\(\$runbooks", text)} == {
        rule["alert"] for rule in rules("alert")
    }


@pytest.mark.row(52)
@pytest.mark.parametrize("panel", PANELS)
def test_panel_has_a_unit_a_description_and_the_chosen_server(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == SERVER
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEF"[: len(panel["targets"])])
    for target in panel["targets"]:
        expression = target["expr"]
        assert target["datasource"] == SERVER
        assert target["legendFormat"]
        selected = expression.count('{namespace=~"$namespace", release=~"$release"')
        assert selected == len(re.findall(r"(?<![\w:])(?:candlecast|slo)[_:]", expression)), "one is not chosen"
        assert set(re.findall(r"\[([^]]*)\]", expression)) <= {"$__rate_interval", "1h"}


@pytest.mark.row(52)
def test_dashboards_use_only_series_that_exist_and_show_every_metric() -> None:
    expressions = [target["expr"] for name in DASHBOARDS for panel in panels(name) for target in panel["targets"]]
    used = {name for expression in expressions for name in names_in(expression)}
    recorded = {rule["record"] for rule in rules("record")}
    assert used <= metrics.sample_names() | recorded
    assert used >= {metric.name for metric in (*metrics.SERVICE_STATE, *metrics.STATE)}
